-- GET requests for files on some devices, in an order of their own for each thread.
-- Arguments after "--": format of a path, first device, last device, files on each.

local requests = {}

function init(args)
   local first, last, files = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
   for device = first, last do
      for file = 1, files do
         requests[#requests + 1] = wrk.format("GET", string.format(args[1], device, file))
      end
   end
   math.randomseed(tonumber(tostring(requests):match("0x(%x+)"), 16) % 2147483647)
end

function request()
   return requests[math.random(#requests)]
end

-- figures.py reads this line.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      "isolation requests=%d duration_us=%d p50_us=%d p99_us=%d max_us=%d " ..
      "connect=%d read=%d write=%d timeout=%d status=%d\n",
      summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), latency.max,
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
