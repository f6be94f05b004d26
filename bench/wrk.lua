-- Sends the bytes of one file, as they are, over and over; prints what happened as JSON.
--
--     wrk … -s wrk.lua URL -- REQUEST_FILE
--
-- The file holds one request or a pipelined batch of them. It is set as wrk's *static* request
-- (no global `request` function), so that no Lua runs while the load does; wrk counts the requests
-- in it and waits for as many answers.

wrk.init = function(args)
  local file = assert(io.open(args[1], "rb"))
  local bytes = file:read("*a")
  file:close()
  wrk.request = function() return bytes end
end

function done(summary)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "bytes": %d, "errors": ' ..
    '{"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.duration, summary.bytes,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
