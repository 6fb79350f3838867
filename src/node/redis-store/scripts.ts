/** Scripts: Lua that Redis runs as one step. KEYS[1] is the hash of the store's keys, ARGV the arguments in order. */

/** key, expected, desired → what the key holds afterwards, or `expected`, as `Store.compareSet`. */
export const COMPARE_SET = `
local value = redis.call('HGET', KEYS[1], ARGV[1])
if (not value and ARGV[2] == '') or value == ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return ARGV[3]
end
return value or ARGV[2]`;

/** key, piece → nothing */
export const APPEND = `
local value = redis.call('HGET', KEYS[1], ARGV[1]) or ''
redis.call('HSET', KEYS[1], ARGV[1], value .. ARGV[2])`;

/**
 * key, amount, the amount's negative, "1" if the sum must be a number that JavaScript does not round → the sum as text; or an
 * error whose message has "integer" or "overflow" in it, or "rounded", and nothing is added. Lua's numbers are doubles, so the
 * sum is read as text.
 */
export const ADD = `
local added = redis.pcall('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
if type(added) == 'table' and added.err then return redis.error_reply(added.err) end
local sum = redis.call('HGET', KEYS[1], ARGV[1])
local digits = string.gsub(sum, '-', '')
local isLong = #digits > 16 or (#digits == 16 and digits > '9007199254740991')
if ARGV[4] == '1' and isLong then
  redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[3])
  return redis.error_reply('ERR the sum would be rounded')
end
return sum`;

/** keys → which of them are missing, by their numbers from 1 */
export const MISSING = `
local missing = {}
for i, key in ipairs(ARGV) do
  if redis.call('HEXISTS', KEYS[1], key) == 0 then missing[#missing + 1] = i end
end
return missing`;
