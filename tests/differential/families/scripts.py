"""EVAL, EVALSHA, SCRIPT: random Lua (lua.py) over random commands of the other families, on declared and undeclared keys."""

import hashlib

from actions import ENDLESS, Action
import lua

from . import bits, geo, hashes, hyperloglog, keys, lists, sets, sort, sorted_sets, streams, strings

SOURCES = (strings, bits, keys, hashes, lists, sets, sorted_sets, streams, hyperloglog, geo, sort)
# Their replies have no order; a script sorts them.
UNORDERED = (b'KEYS', b'HKEYS', b'HVALS', b'HGETALL', b'SMEMBERS', b'SINTER', b'SUNION', b'SDIFF')
# Time, chance and memory; what Redis 7.0 answers otherwise than 7.2 (see differences.py), which can't be told from outside of a script.
LEFT_OUT = (b'TTL', b'PTTL', b'EXPIRETIME', b'PEXPIRETIME', b'OBJECT', b'RANDOMKEY', b'SCAN', b'HSCAN', b'SSCAN', b'ZSCAN', b'SPOP', b'SRANDMEMBER', b'HRANDFIELD', b'ZRANDMEMBER', b'XINFO', b'XPENDING',
            b'XCLAIM', b'XAUTOCLAIM', b'XREAD', b'XREADGROUP', b'LPOS', b'PFDEBUG', b'PFSELFTEST', b'SWAPDB', b'ZRANK', b'ZREVRANK')
# Refused in a script.
REFUSED = ([b'MULTI'], [b'EXEC'], [b'DISCARD'], [b'WATCH', b'a'], [b'UNWATCH'], [b'EVAL', b'return 1', b'0'], [b'EVALSHA', b'x', b'0'], [b'SCRIPT', b'EXISTS', b'x'], [b'MONITOR'], [b'SUBSCRIBE', b'a'], [b'PUNSUBSCRIBE'], [b'AUTH', b'x'],
           [b'HELLO', b'3'], [b'RESET'], [b'QUIT'], [b'CLIENT', b'ID'], [b'CONFIG', b'GET', b'port'], [b'DEBUG', b'SLEEP', b'0'], [b'SHUTDOWN', b'NOSAVE'], [b'BLPOP', b'nokey', b'0'],
           [b'BLMOVE', b'nokey', b'b', b'LEFT', b'LEFT', b'0'], [b'BZPOPMIN', b'nokey', b'0'], [b'FUNCTION', b'LIST'], [b'FCALL', b'f', b'0'], [b'nosuch', b'x'], [b'GET'], [b'SET', b'a'],
           [b'GET', b'a', b'b'], [b'', b'x'], [b'CLIENT', b'nosuch'], [b'EVAL_RO', b'return 1', b'0'])
ALLOWED = ([b'PUBLISH', b'news', b'x'], [b'SPUBLISH', b'news', b'x'], [b'KEYS', b'nosuch*'], [b'EXISTS', b'undeclared'], [b'PING'], [b'ECHO', b'x'], [b'SELECT', b'2'], [b'SELECT', b'99'], [b'DBSIZE'], [b'PING', b'a'])
SEEN = [] # scripts that this seed has run


def is_fit(request):
    return (request[0].upper() not in LEFT_OUT and not any(part.upper() in (b'WITHSCORES', b'WITHSCORE') and request[0].upper() == b'ZRANDMEMBER' for part in request) and
            not (request[0].upper() == b'XADD' and any(b'*' in part for part in request[2:])) and sum(map(len, request)) < 3000)


def requests(words):
    """One or more commands of any family."""
    while True:
        draw = words.below(30)
        if draw == 0:
            return [list(words.one_of(REFUSED))]
        if draw == 1:
            return [list(words.one_of(ALLOWED))]
        source = words.one_of(SOURCES)
        function = words.random.choices([row[1] for row in source.COMMANDS], [row[0] for row in source.COMMANDS])[0]
        words.choose_pool(source.__name__.rsplit('.', 1)[-1])
        if words.pool[0].startswith(b'big'):
            words.choose_small()
        made = function(words)
        if not isinstance(made, list):
            continue
        steps = made if isinstance(made[0], list) else [made]
        if all(isinstance(step, list) and is_fit(step) for step in steps):
            return steps


def statements(words, keys_, arguments):
    """A few calls, and what is made of their replies."""
    lines, results = [], []
    for _ in range(words.between(1, 4)):
        for request in requests(words):
            made = lua.call(words, request, keys_, arguments)
            name = request[0].upper()
            if name in UNORDERED:
                made = b'S(%b)' % made
            results.append((b'r%d' % (len(results) + 1), name))
            lines.append(b'local %b=%b' % (results[-1][0], made))
            if len(results) > 12:
                return lines, results
    return lines, results


def is_exact(name):
    """Whether the reply holds no score, which 7.0 writes otherwise."""
    return name[:1] not in b'ZBG' and name != b'SORT' and name != b'SORT_RO'


# Calls from within what calls back, and of many keys that nobody has declared.
NESTED = (
    b"local t={} for i=1,%d do t[i]=i end table.sort(t,function(a,b) redis.call('incr',K[1]) return a>b end) return {t,redis.call('get',K[1])}",
    b"return (string.gsub('abc','.',function(c) return redis.call('rpush','script:loop',c) end))",
    b"return (string.gsub('abc','.',function(c) return redis.call('nosuch',c) end))",
    b"local t=setmetatable({},{__index=function(_,k) return redis.call('get',k) end}) return t[K[1]]",
    b"local t=setmetatable({},{__newindex=function(_,k,v) redis.call('set',k,v) end}) t[K[1]]=%d return redis.call('get',K[1])",
    b"local t=setmetatable({},{__call=function(_,...) return redis.call(...) end}) return t('echo','x')",
    b"local c=coroutine.wrap(function() for i=1,3 do coroutine.yield(redis.call('rpush','script:loop',i)) end end) return {c(),c(),c(),c()}",
    b"local ok,e=pcall(function() redis.call('set',K[1],%d) error({err='LATE x'}) end) return {ok,e.err,redis.call('get',K[1])}",
    b"local ok,e=pcall(function() return pcall(function() return redis.call('lpush','script:sum',1) end) end) return {ok,e}",
    b"return select(2,xpcall(function() redis.call('incr','script:list') end,function(e) return type(e)=='table' and e.err or e end))",
    b"for i=1,%d do redis.call('set','many:'..i,i) end return redis.call('dbsize')", b"local n=0 for i=1,%d do n=n+redis.call('del','many:'..i) end return n",
    b"for i=1,%d do redis.call('hset','script:hash:'..i%%5,i,i*2) end return redis.call('hlen','script:hash:1')",
    b"for i=1,%d do redis.call('zadd','script:sorted',i%%7,i) end return redis.call('zrangebyscore','script:sorted',2,3)",
    b"redis.call('set',K[1],'x') redis.call('rename',K[1],'script:renamed') return {redis.call('exists',K[1]),redis.call('get','script:renamed')}",
    b"redis.setresp(3) local r=redis.call('hgetall','script:hash:2') redis.setresp(2) local f={} for k,v in pairs(r.map or {}) do f[#f+1]=k..'='..v end table.sort(f) return f",
    b"local r=redis.call('xadd','script:stream','MAXLEN',5,%d..'-'..redis.call('incr','script:id'),'f','v') return {r,redis.call('xlen','script:stream')}",
    b"local t={} for i=1,%d do t[#t+1]='k'..i t[#t+1]=i end redis.call('mset',unpack(t)) return redis.call('mget','k1','k2','k%d')",
    b"redis.call('set','script:raw',cmsgpack.pack({1,{a='b'},%d})) local r=cmsgpack.unpack(redis.call('get','script:raw')) return {r[1],r[2].a,r[3]}",
    b"redis.call('set','script:raw',cjson.encode({n=%d})) return cjson.decode(redis.call('get','script:raw')).n",
    b"redis.call('set','script:raw',struct.pack('>I',%d)) return struct.unpack('>I',redis.call('get','script:raw'))",
    b"local s=redis.sha1hex('%d') redis.call('set','script:sha',s) return {s,redis.call('strlen','script:sha')}",
)


def nested(words, keys_):
    keys_.append(words.key())
    return words.one_of(NESTED).replace(b'%d', b'%d' % words.pick(3, words.between(1, 30), words.between(1, 300))).replace(b'%%', b'%')


def program(words, keys_, arguments):
    """A script's text. K and A stand for KEYS and ARGV."""
    draw = words.below(100)
    if draw < 30:
        lines, results = statements(words, keys_, arguments)
        if words.chance(0.2):
            lines.insert(words.below(len(lines) + 1), b'redis.setresp(%d)' % words.pick(2, 3))
        if words.chance(0.1):
            lines.insert(words.below(len(lines) + 1), b"redis.call('select',%d)" % words.below(3))
        if words.chance(0.25):
            name, command = words.one_of(results)
            if is_exact(command):
                lines.append(words.pick(b"if type(%b)=='string' then redis.call('set','script:copy',%b) end", b"if type(%b)=='table' and not %b.err then redis.call('rpush','script:list',#%b) end",
                                        b"if type(%b)=='number' then redis.call('incrby','script:sum',%b) end").replace(b'%b', name))
        return b' '.join(lines + [words.pick(b'return %b' % results[-1][0], b'return {%b}' % b','.join(name for name, _ in results), b'return {%b}' % b','.join(
            (b'%b or false' % name) for name, _ in results), b'return 1', b'')])
    if draw < 36: # one command and its reply, as it is
        request = requests(words)[0]
        made = lua.call(words, request, keys_, arguments)
        return b'return S(%b)' % made if request[0].upper() in UNORDERED else b'return %b' % made
    if draw < 42: # loops over keys
        for _ in range(words.between(1, 5)):
            keys_.append(words.key())
        arguments.append(b'%d' % words.between(1, 9)) # A[1]; others that may follow, or another function's, say anything
        return words.pick(b"local n=0 for i,k in ipairs(K) do n=n+redis.call('exists',k) end return n", b"local o={} for i=1,#K do o[i]=redis.call('type',K[i]) end return o",
                          b"local o={} for i=1,#K do o[i]=redis.call('type',K[i]).ok end return o", b"for i=#K,1,-1 do redis.pcall('append',K[i],A[1]) end return #K",
                          b"local o={} for _,k in pairs(K) do local r=redis.pcall('incrby',k,A[1]) if type(r)=='table' then o[#o+1]=r.err else o[#o+1]=r end end return o",
                          b"for i,k in ipairs(K) do redis.pcall('set',k,i) end return redis.call('mget',unpack(K))", b"for i,k in ipairs(K) do redis.call('set',k..':own',i) end return redis.call('get',K[1]..':own')",
                          b"local t=0 while t<tonumber(A[1]) and t<30 do t=t+1 redis.call('rpush','script:loop',t) end return redis.call('lrange','script:loop',0,-1)", b"redis.call('del',unpack(K)) return #K",
                          b"for i,k in ipairs(K) do if redis.call('exists',k)==0 then return k end end return false", b"repeat local r=redis.call('lpop','script:loop') until not r return redis.call('llen','script:loop')")
    if draw < 46:
        return nested(words, keys_)
    if draw < 57:
        return b'return ' + lua.value(words)
    if draw < 62: # as a reply of RESP3 would be given on
        return b'redis.setresp(3) return ' + lua.value(words)
    if draw < 64:
        return b'return redis.call(%b)' % b','.join(lua.scalar(words) for _ in range(words.below(4)))
    if draw < 66: # numbers as arguments: those that 7.0 writes as 7.2 does
        return b"return redis.call('echo',%b)" % words.pick(b'5', b'-5', b'0.5', b'1.25', b'2^53', b'1e15', b'1/0', b'3.0', b'0x10', b'2^31')
    if draw < 80:
        return words.pick(lua.json, lua.message_pack, lua.struct, lua.bits, lua.strings, lua.strings, lua.tables)(words)
    return lua.failure(words)


def shebang(words):
    return words.pick(b'#!lua\n', b'#!lua flags=no-writes\n', b'#!lua flags=allow-oom\n', b'#!lua flags=no-writes,allow-stale\n', b'#!lua flags=allow-cross-slot-keys\n', b'#!lua flags=no-cluster\n', b'#!lua flags=\n',
                      b'#!lua flags=nosuch\n', b'#!lua name=x\n', b'#!lua flags=no-writes foo\n', b'#!python\n', b'#!\n', b'#!lua', b'#! lua\n', b'#!lua  flags=no-writes\n', b'#!LUA\n', b'#!lua flags=no-writes flags=allow-oom\n')


def script(words):
    """(text, keys, arguments)"""
    keys_, arguments = [], []
    body = lua.begin(program(words, keys_, arguments))
    if b'K[' in body or b'A[' in body or b'K)' in body or b'#K' in body:
        body = b'local K,A=KEYS,ARGV ' + body
    if words.chance(0.08):
        body = shebang(words) + body
    for _ in range(words.pick(0, 0, 0, 1, 2)):
        arguments.append(words.value())
    if words.chance(0.2) and not keys_: # more keys than it uses
        keys_.append(words.key())
    return body, keys_, arguments


def sha(body):
    return hashlib.sha1(body).hexdigest().encode()


def tail(words, keys_, arguments):
    """What follows the script in a request."""
    count = b'%d' % len(keys_)
    if words.chance(0.03):
        count = words.pick(b'-1', b'abc', b'', b'1.5', b'100', b'99999999999999999999', b'%d' % (len(keys_) + len(arguments) + 1), b'%d' % (len(keys_) + len(arguments)), b' 0', b'0')
    return [count] + keys_ + arguments


def eval_(words):
    body, keys_, arguments = script(words)
    name = words.pick(b'EVAL', b'EVAL', b'EVAL', b'EVAL_RO')
    return [[name, body] + tail(words, keys_, arguments)]


def loaded(words):
    """A script by its sum: after SCRIPT LOAD, after EVAL, or without either."""
    body, keys_, arguments = script(words)
    name = sha(body) if words.chance(0.8) else sha(body).upper()
    before = words.pick([[b'SCRIPT', b'LOAD', body]], [[b'SCRIPT', b'LOAD', body]], [[b'EVAL', body] + tail(words, keys_, arguments)], [])
    after = words.pick([], [], [[b'SCRIPT', b'EXISTS', name, b'0' * 40, sha(b'return 1')]], [[b'SCRIPT', b'FLUSH'] + words.pick([], [b'SYNC'], [b'ASYNC']), [b'EVALSHA', name] + tail(words, keys_, arguments)])
    return before + [[words.pick(b'EVALSHA', b'EVALSHA', b'EVALSHA_RO'), name] + tail(words, keys_, arguments) for _ in range(words.pick(1, 1, 2))] + after


def administrative(words):
    return [[b'SCRIPT'] + words.pick([b'EXISTS', sha(b'return 1')], [b'EXISTS'], [b'EXISTS', b'', b'x', sha(b'return 1')], [b'LOAD', b'return 1'], [b'LOAD', b'return +'], [b'LOAD'], [b'LOAD', b'', b'x'], [b'LOAD', b''],
                                      [b'FLUSH'], [b'FLUSH', b'foo'], [b'FLUSH', b'SYNC', b'x'], [b'KILL'], [b'KILL', b'x'], [b'foo'], [b'HELP'], [b'LOAD', b'#!lua flags=nosuch\nreturn 1'])]


def refused(words):
    return [words.pick([b'EVAL'], [b'EVAL', b'return 1'], [b'EVALSHA'], [b'EVALSHA', b'x', b'0'], [b'EVALSHA', b'f' * 40, b'0'], [b'EVALSHA', b'f' * 41, b'0'], [b'EVALSHA', b'g' * 40, b'0'], [b'EVAL_RO'],
                       [b'EVALSHA_RO', b'f' * 40, b'0'], [b'EVAL', b'', b'0'], [b'EVAL', b'return 1', b'1'], [b'EVAL', b'return KEYS', b'2', b'a'], [b'EVALSHA', b'f' * 40, b'-1'], [b'EVAL', b'return \x00 1', b'0'],
                       [b'EVAL', b'return 1 -- comment', b'0'], [b'EVAL', b'--', b'0'], [b'EVAL', b'\x1bLua', b'0'], [b'EVAL', b'return 1 end', b'0'], [b'EVAL', b'end return 1', b'0'], [b'EVAL', b'#comment\nreturn 1', b'0'])]


def busy(words):
    """Few of them: each takes a while."""
    kind = words.pick(b'writes', *ENDLESS)
    return Action('busy', [kind, words.pick(b'EVAL', b'EVAL', b'EXEC', b'FCALL'), b'key:%d' % words.below(14)])


# What a script says of itself before it does what takes memory, or doesn't.
DEEDS = [b"return redis.call('set',KEYS[1],ARGV[1])", b"return redis.pcall('set',KEYS[1],ARGV[1])", b"return redis.call('get',KEYS[1])", b"redis.call('del',KEYS[1]) return redis.call('set',KEYS[1],ARGV[1])",
         b"return {redis.pcall('append',KEYS[1],ARGV[1]),redis.pcall('exists',KEYS[1]),redis.pcall('persist',KEYS[1])}", b"local r=redis.pcall('rpush',KEYS[1],ARGV[1]) return r.err or r", b'return 1',
         b"redis.call('del',KEYS[1]) redis.call('set',KEYS[1],ARGV[1]) redis.call('incr',KEYS[1])", b"return redis.call('dbsize')", b"error(redis.pcall('sadd',KEYS[1],ARGV[1]))"]


def deed(words):
    body = (shebang(words) if words.chance(0.6) else b'') + words.one_of(DEEDS)
    if words.chance(0.2):
        flags = words.pick(b'', b'', b",flags={'allow-oom'}", b",flags={'no-writes'}")
        code = b"#!lua name=roomy\nredis.register_function{function_name='roomy',callback=function(KEYS,ARGV) %b end%b}" % (body.split(b'\n')[-1], flags)
        return [[b'FUNCTION', b'LOAD', b'REPLACE', code], [words.pick(b'FCALL', b'FCALL_RO'), b'roomy', b'1', words.key(), words.value()], [b'FUNCTION', b'DELETE', b'roomy']]
    return [[words.pick(b'EVAL', b'EVAL', b'EVAL_RO'), body, b'1', words.key(), words.value()]]


def without_room(words):
    """Scripts, and transactions with and without them, where there is no memory."""
    parts = []
    for _ in range(words.between(1, 4)):
        steps = [step for _ in range(words.between(1, 3)) for step in words.pick(deed, deed, lambda words: [words.pick([b'SET', words.key(), b'x'], [b'GET', words.key()], [b'DEL', words.key()])])(words)]
        parts += [[b'MULTI']] + steps + [[words.pick(b'EXEC', b'EXEC', b'DISCARD')]] if words.chance(0.4) else steps
    return Action('without_room', parts)


RULES = [b'~key:*', b'%R~key:*', b'%W~key:*', b'~*', b'resetkeys', b'&news', b'allchannels', b'resetchannels', b'+@all', b'-@all', b'+@read', b'-@write', b'-@string', b'+eval', b'+evalsha', b'+fcall', b'+@scripting', b'-get', b'-set',
         b'+set', b'-publish', b'+publish', b'-script', b'+script|load', b'-@dangerous', b'-flushall', b'+select', b'+del', b'-incr', b'(+get ~a)', b'(+set ~b* +eval)']
PUBLISHED = [b"return redis.call('publish','news','x')", b"return redis.pcall('publish','other','x')", b"return {redis.acl_check_cmd('set','key:1','x') and 1 or 0,redis.acl_check_cmd('get','a') and 1 or 0}",
             b"return {redis.acl_check_cmd('publish','news','x') and 1 or 0,redis.acl_check_cmd('script','kill') and 1 or 0,redis.acl_check_cmd('config','get') and 1 or 0}",
             b"local r=redis.pcall('set','a','x') return type(r)=='table' and (r.err or r.ok)", b"redis.call('set','key:1','x') return redis.call('get','a')", b"redis.pcall('flushall') return redis.pcall('select',1)"]


def limited(words):
    """Scripts of a user who may not do everything."""
    parts = [[b'~key:*', b'&news', b'+@all', b'-set'] if words.chance(0.3) else [words.pick(b'+@all', b'+@scripting', b'+eval')] + [words.one_of(RULES) for _ in range(words.between(1, 7))]]
    for _ in range(words.between(1, 5)):
        draw = words.below(10)
        if draw < 4:
            parts += eval_(words)
        elif draw < 6:
            parts += loaded(words)
        else:
            parts.append([words.pick(b'EVAL', b'EVAL', b'EVAL_RO'), words.one_of(PUBLISHED), b'0'])
        if words.chance(0.2):
            parts[-1:] = [[b'MULTI'], parts[-1], [b'EXEC']]
    for part in parts[1:]: # of '1.5' keys Redis looks whether one may be had, before it says that this is no number
        if len(part) > 2 and part[0].upper() not in (b'SCRIPT',) and not part[2].isdigit():
            part[2] = b'0'
    return Action('limited', parts)


COMMANDS = [
    (40, eval_),
    (12, loaded),
    (2, administrative),
    (2, refused),
    (0.15, busy),
    (0.6, without_room),
    (0.8, limited),
]
