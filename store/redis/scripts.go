package redis

import goredis "github.com/redis/go-redis/v9"

// version is the function that both scripts begin with. The version of a record
// is "" when there is none, and "0" when the key holds something else.
const version = `
local function version(key)
	local v = redis.pcall('HGET', key, 'version')
	if not v then return '' end
	if type(v) == 'table' or not string.match(v, '^%d+$') then return '0' end
	return v
end
local function now()
	local t = redis.call('TIME')
	return t[1] * 1000000 + t[2]
end
`

// readScript answers the time in µs, and for each key its version, row and
// format.
var readScript = goredis.NewScript(version + `
local answer = {now()}
for _, key in ipairs(KEYS) do
	local v, row, format = version(key), '', ''
	if v ~= '' and v ~= '0' then
		local fields = redis.call('HMGET', key, 'row', 'format')
		row, format = fields[1] or '', fields[2] or ''
	end
	table.insert(answer, v)
	table.insert(answer, row)
	table.insert(answer, format)
end
return answer
`)

// swapScript writes a record if it still has the version that was read, and if
// it is not too late. What may fail for a reason of its own, and must not leave
// half of a call behind, is called with pcall: the journal's key may hold
// something else, and a user may lack the right to publish.
//
// KEYS: record, journal. ARGV: old version, new version, row, format, until in
// µs, journal's line or ”, lines to keep, their life in ms, channel, notice or ”.
var swapScript = goredis.NewScript(version + `
local old = version(KEYS[1])
if old ~= ARGV[1] or now() >= tonumber(ARGV[5]) then return 0 end
if old == '0' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'row', ARGV[3], 'format', ARGV[4])
if ARGV[6] ~= '' then
	if type(redis.pcall('LPUSH', KEYS[2], ARGV[6])) == 'table' then
		redis.call('DEL', KEYS[2])
		redis.call('LPUSH', KEYS[2], ARGV[6])
	end
	redis.call('LTRIM', KEYS[2], 0, ARGV[7] - 1)
	redis.call('PEXPIRE', KEYS[2], ARGV[8])
end
if ARGV[10] ~= '' then redis.pcall('PUBLISH', ARGV[9], ARGV[10]) end
return 1
`)

// linesScript answers the time in µs and the newest lines of a journal.
var linesScript = goredis.NewScript(version + `
local lines = redis.pcall('LRANGE', KEYS[1], 0, ARGV[1] - 1)
if lines.err then lines = {} end
return {now(), lines}
`)

// probeScript finds out whether the server lets this user write, by removing
// what does not exist.
var probeScript = goredis.NewScript(`
redis.call('TIME')
return redis.call('DEL', KEYS[1])
`)

// swapMessageScript writes what is known of a message if it still has the version
// that was read, and if it is not too late.
//
// KEYS: message. ARGV: old version, new version, row, format, until in µs, ”
// where the content stays what it is, content, end in ms or 0 for none.
var swapMessageScript = goredis.NewScript(version + `
local old = version(KEYS[1])
if old ~= ARGV[1] and not (ARGV[1] == '' and old == '0') or now() >= tonumber(ARGV[5]) then return 0 end
if old == '0' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'row', ARGV[3], 'format', ARGV[4])
if ARGV[6] ~= '' then
	if ARGV[7] == '' then redis.call('HDEL', KEYS[1], 'content') else redis.call('HSET', KEYS[1], 'content', ARGV[7]) end
end
if ARGV[8] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIREAT', KEYS[1], ARGV[8]) end
return 1
`)

// leaveScript removes a name from an inbox, unless it came in anew.
//
// KEYS: inbox. ARGV: name, score.
var leaveScript = goredis.NewScript(`
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score and tonumber(score) == tonumber(ARGV[2]) then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0
`)
