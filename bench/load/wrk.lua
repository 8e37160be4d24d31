-- The requests of one run. Arguments after "--": method, size of the body, first and last device,
-- first file number, files on each device (for a PUT: distance of two file numbers), numbers for
-- each thread of wrk. A GET asks for the files at random; a PUT goes through the numbers, and begins
-- again behind the last one.

local threads = 0

function setup(thread)
   thread:set("thread_number", threads)
   threads = threads + 1
end

-- As MogileFS names files.
local function path(device, fid)
   local digits = string.format("%010d", fid)
   return string.format("/dev%d/%s/%s/%s/%s.fid", device,
      digits:sub(1, 1), digits:sub(2, 4), digits:sub(5, 7), digits)
end

local requests = {}
local head, body, fid, step, first, numbers

function init(args)
   local method, size = args[1], tonumber(args[2])
   local first_device, last_device = tonumber(args[3]), tonumber(args[4])
   local first_fid = tonumber(args[5])
   if method == "PUT" then
      -- wrk.format would cost as much as the server with a body of 1 MiB.
      head = " HTTP/1.1\r\nHost: bench\r\nContent-Length: " .. size .. "\r\n\r\n"
      body = string.rep("m", size)
      step = tonumber(args[6])
      numbers = tonumber(args[7])
      first = first_fid + thread_number * numbers
      fid = first
      return
   end
   for device = first_device, last_device do
      for file = 0, tonumber(args[6]) - 1 do
         requests[#requests + 1] = wrk.format(method, path(device, first_fid + file))
      end
   end
   math.randomseed(thread_number + 1)
end

function request()
   if fid then
      fid = first + (fid - first + step) % numbers
      return "PUT " .. path(1, fid) .. head .. body
   end
   return requests[math.random(#requests)]
end

-- wrk.py reads this line.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      "bench requests=%d duration_us=%d p50_us=%d p99_us=%d max_us=%d " ..
      "connect=%d read=%d write=%d timeout=%d status=%d\n",
      summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), latency.max,
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
