"""FUNCTION and FCALL: random libraries, whose functions have the bodies of random scripts (scripts.py)."""

from actions import Action
import lua

from . import scripts

LIBRARIES = [b'lib_%d' % number for number in range(4)]
FUNCTIONS = [b'f_%d' % number for number in range(8)]


def body(words):
    """(text of a function's body, keys, arguments)"""
    keys_, arguments = [], []
    text = lua.begin(scripts.program(words, keys_, arguments))
    return text.replace(b'KEYS', b'K').replace(b'ARGV', b'A'), keys_, arguments


def flags(words):
    return words.pick(b'', b"'no-writes'", b"'allow-oom'", b"'no-writes','allow-stale'", b"'allow-cross-slot-keys'", b"'no-cluster'", b"'nosuch'", b'5') if words.chance(0.3) else b''


def registration(words, name, text):
    function = b'function(K,A) %b end' % text
    if words.chance(0.5):
        return b"redis.register_function('%b',%b)" % (name, function)
    description = words.pick(b'', b'', b",description='what it does'", b',description=5')
    return b"redis.register_function{function_name='%b',callback=%b,flags={%b}%b}" % (name, function, flags(words), description)


BROKEN = [b"redis.register_function('f_1')", b'redis.register_function()', b"redis.register_function('f 1',function() end)", b"redis.register_function('',function() end)", b"redis.register_function('f_1',5)",
          b"redis.register_function{function_name='f_1'}", b'redis.register_function{callback=function() end}', b"redis.register_function{function_name='f_1',callback=function() end,foo=1}", b"redis.register_function(5,function() end)",
          b"redis.register_function('f_1',function() end) redis.register_function('f_1',function() end)", b"redis.call('get','a')", b"redis.register_function('f_1',redis.call)", b'return 1', b'', b'return +', b"error('boom')",
          b"x=1", b'return nosuch', b"local a=KEYS", b"redis.register_function('f_1',function() return 1 end) error('late')", b"redis.register_function({function_name='f_1',callback=function() end},1)", b'redis.setresp(3)',
          b"redis.register_function{1,2}", b"redis.register_function{function_name='f_1',callback=function() end,flags='no-writes'}", b"redis.register_function{function_name='f_1',callback=function() end,flags={'nosuch'}}",
          b"redis.register_function('f_1',function() return x end) x=5", b"local function g() return 1 end redis.register_function('f_1',function() return g() end)", b"redis.log(redis.LOG_DEBUG,'x') redis.register_function('f_1',function() return redis.REPL_ALL end)",
          b"redis.register_function('f_1',function(K,A) return {type(KEYS),1} end)", b"redis.register_function('f_1',function(K,A) y=1 end)", b"redis.register_function('f_1',function(...) return {#{...},select('#',...)} end)",
          b"redis.register_function('f_1',function(K,A) redis.register_function('f_2',function() end) end)", b"redis.register_function('f_1',function(K,A) local o={} for k in pairs(_G) do if k~=[[server]] then o[#o+1]=k end end table.sort(o) return o end)",
          b"local o={} for k in pairs(redis) do o[#o+1]=k end table.sort(o) error(table.concat(o,','))", b"local o={} for k in pairs(_G) do if k~=[[server]] then o[#o+1]=k end end table.sort(o) error(table.concat(o,','))",
          b"redis.register_function('f_1',function(K,A) local o={} for k in pairs(redis) do o[#o+1]=k end table.sort(o) return o end)", b'math.random=1', b'_G.x=1', b'setmetatable(_G,{})', b"redis.register_function('f_1',coroutine.wrap(function() return 1 end))"]
HEADS = [b'#!lua name=%b\n', b'#!lua name=%b flags=no-writes\n', b'#!lua\n', b'#!python name=%b\n', b'#!lua name=\n', b'#!lua name=a b\n', b'#!lua name=%b name=x\n', b'#!lua name=%b', b'', b'#!lua name=a-b\n', b'#!lua NAME=%b\n', b'#! lua name=%b\n', b'#!lua name=%b\r\n']


def load(words):
    """A library of one to three functions, and calls of them."""
    library = words.one_of(LIBRARIES)
    head = HEADS[0] if words.chance(0.93) else words.one_of(HEADS)
    options = words.pick([b'REPLACE'], [b'REPLACE'], [b'REPLACE'], [b'replace'], [], [b'foo'])
    if words.chance(0.2):
        code = head.replace(b'%b', library) + words.one_of(BROKEN)
        return [[b'FUNCTION', b'LOAD'] + options + [code], [b'FCALL', b'f_1', b'1', b'a', b'b']]
    registered, calls = [], []
    for _ in range(words.between(1, 3)):
        name = words.one_of(FUNCTIONS)
        text, keys_, arguments = body(words)
        registered.append(registration(words, name, text))
        calls += [[words.pick(b'FCALL', b'FCALL', b'FCALL_RO'), name if words.chance(0.95) else name.upper()] + scripts.tail(words, keys_, arguments) for _ in range(words.pick(1, 1, 2))]
    code = head.replace(b'%b', library) + words.pick(b' ', b'\n').join(registered)
    return [[b'FUNCTION', b'LOAD'] + options + [code]] + calls


def called(words):
    """Whatever is loaded by then."""
    return [[words.pick(b'FCALL', b'FCALL', b'FCALL_RO'), words.one_of(FUNCTIONS)] + words.pick([b'0'], [b'1', words.key()], [b'2', words.key(), words.key(), words.value()])
            for _ in range(words.pick(1, 1, 2))]


def administrative(words):
    return [[b'FUNCTION'] + words.pick([b'LIST'], [b'LIST', b'WITHCODE'], [b'LIST', b'LIBRARYNAME', words.pick(b'lib_1', b'lib*', b'*', b'nosuch', b'LIB_[0-2]')], [b'LIST', b'LIBRARYNAME', b'lib*', b'WITHCODE'], [b'LIST', b'LIBRARYNAME'],
                                       [b'LIST', b'foo'], [b'LIST', b'WITHCODE', b'WITHCODE'], [b'DELETE', words.one_of(LIBRARIES)], [b'DELETE', b'nosuch'], [b'DELETE'], [b'FLUSH'] + words.pick([], [b'SYNC'], [b'ASYNC'], [b'foo'], [b'SYNC', b'x']),
                                       [b'KILL'], [b'foo'], [b'LOAD'], [b'LOAD', b'x', b'y', b'z'], [b'RESTORE', b'x'], [b'RESTORE', b''], [b'RESTORE', words.bytes(20), b'FLUSH'], [b'RESTORE', b'x', b'foo'], [b'RESTORE'], [b'STATS'],
                                       [b'STATS', b'x'], [b'HELP'], [b'DUMP', b'x'])]


def refused(words):
    return [words.pick([b'FCALL'], [b'FCALL', b'nosuch', b'0'], [b'FCALL', b'f_1'], [b'FCALL_RO', b'nosuch', b'0'], [b'FCALL', b'f_1', b'abc'], [b'FCALL', b'f_1', b'-1'], [b'FCALL', b'f_1', b'9', b'a'],
                       [b'FCALL', words.one_of(FUNCTIONS), b'0'], [b'FCALL_RO', words.one_of(FUNCTIONS), b'1', words.key()])]


COMMANDS = [
    (20, load),
    (8, called),
    (8, administrative),
    (4, refused),
    (1.5, lambda words: Action('functions_carried', [words.pick(b'FLUSH', b'APPEND', b'REPLACE', b'', b'replace')])),
]
