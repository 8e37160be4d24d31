-- The requests of one run, each built once: a 1 MiB body must not be formatted per request.
-- Arguments after "--": method, size of the body, format of a path, first number, count.

local threads = 0

function setup(thread)
   thread:set("thread_index", threads)
   threads = threads + 1
end

local requests = {}
local position = 0

function init(args)
   local method, size = args[1], tonumber(args[2])
   local first, count = tonumber(args[4]), tonumber(args[5])
   local body, shift = nil, 0
   if method == "PUT" then
      body = string.rep("m", size)
      shift = thread_index * count
   end
   for i = 1, count do
      local path = string.format(args[3], first + shift + i - 1)
      requests[i] = wrk.format(method, path, nil, body)
   end
end

function request()
   position = position % #requests + 1
   return requests[position]
end

-- report.py reads this line.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      "bench requests=%d duration_us=%d p99_us=%d " ..
      "connect=%d read=%d write=%d timeout=%d status=%d\n",
      summary.requests, summary.duration, latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
