"""Actions: what takes more than one command to ask. Each runs alike on both servers and returns an observation, a tree of plain
values that is then compared.

An action gets the server, the connection that is in use, and its arguments (bytes; for `talk` and others, requests).
"""

import random
import re
import select
import time

import resp
from servers import Gone


class Action:
    __slots__ = ('name', 'arguments')

    def __init__(self, name, arguments):
        self.name, self.arguments = name, arguments

    def __repr__(self):
        return '%s %s' % (self.name, ' '.join(repr(argument) for argument in self.arguments))


def scan_all(connection, options=()):
    """Every key that a whole iteration returns, or the reply that was none."""
    cursor, found = b'0', set()
    for _ in range(1000000):
        reply = connection.ask(b'SCAN', cursor, *options)
        try:
            (kind, (cursor_reply, keys)) = reply
            cursor = cursor_reply[1]
            assert kind == '*' and cursor_reply[0] == '$' and re.fullmatch(b'0|[1-9][0-9]{0,19}', cursor) and keys[0] == '*'
            found.update(key[1] for key in keys[1])
            assert all(key[0] == '$' for key in keys[1])
        except (ValueError, TypeError, AssertionError):
            return reply
        if cursor == b'0':
            return found
    return 'SCAN never came to an end'


def scan(server, connection, options):
    found = scan_all(connection, options)
    return sorted(found) if isinstance(found, set) else found


def randomkey(server, connection, _):
    found = scan_all(connection)
    kinds = []
    for _ in range(3):
        reply = connection.ask(b'RANDOMKEY')
        kinds.append('a member' if reply[0] == '$' and reply[1] in found else reply)
    return kinds


def _split(arguments):
    bar = arguments.index(b'|')
    return arguments[:bar], arguments[bar + 1:]


def _texts(reply):
    return [part[1] for part in reply[1]] if isinstance(reply[1], tuple) else []


def drawn(server, connection, arguments):
    """What a command draws is checked against all there is: how many, from where, and that they are different unless the count is negative."""
    ask, draw = _split(arguments)
    name = ask[0]
    whole = connection.ask(*ask)
    reply = connection.ask(*draw)
    if whole[0] == '-' or reply[0] == '-':
        return [whole[0] == '-', reply]
    items = [text for part in whole[1] for text in ([half[1] for half in part[1]] if isinstance(part[1], tuple) else [part[1]])]
    has_pairs = name != b'SMEMBERS'
    pairs = dict(zip(items[::2], items[1::2])) if name != b'SMEMBERS' else dict.fromkeys(items)
    if not isinstance(reply[1], tuple):
        return ['one', reply[1] is None, reply[1] is None or reply[1] in pairs]
    found = [part[1][0][1] if isinstance(part[1], tuple) else part[1] for part in reply[1]]
    values = True
    if len(draw) > 3:
        flat = [text for part in reply[1] for text in ([half[1] for half in part[1]] if isinstance(part[1], tuple) else [part[1]])]
        found, held = flat[::2], flat[1::2]
        values = all(pairs.get(text) == value for text, value in zip(found, held)) and has_pairs
    is_distinct = draw[2].startswith(b'-') or len(set(found)) == len(found)
    return [reply[0], len(reply[1]), all(text in pairs for text in found), values, is_distinct]


def popped(server, connection, arguments):
    """Members that are drawn and taken out, and put back."""
    (name, key, put), pop = _split(arguments)
    before = connection.ask(name, key)
    reply = connection.ask(*pop)
    after = connection.ask(name, key)
    if before[0] == '-' or reply[0] == '-':
        return [before[0] == '-', reply]
    taken = _texts(reply) if isinstance(reply[1], tuple) else [reply[1]] if reply[1] is not None else []
    left = sorted(set(_texts(before)) - set(taken))
    if taken:
        connection.ask(put, key, *taken)
    return [reply[0], reply[1] is None, len(taken), left == sorted(_texts(after)), len(set(taken)) == len(taken), set(taken) <= set(_texts(before))]


def scan_value(server, connection, arguments):
    """Every element that a whole iteration of a value returns."""
    name, key, width = arguments[:3]
    cursor, found = b'0', set()
    for _ in range(1000000):
        reply = connection.ask(name, key, cursor, *arguments[3:])
        if reply[0] != '*' or len(reply[1]) != 2:
            return reply
        cursor, items = reply[1][0][1], _texts(reply[1][1])
        if name == b'ZSCAN':
            items[1::2] = [repr(float(score)) for score in items[1::2]] # 7.0 writes more digits than it takes
        found.update(tuple(items[place:place + int(width)]) for place in range(0, len(items), int(width)))
        if cursor == b'0':
            return sorted(found)
    return 'it never came to an end'


def wait_until_gone(server, connection, arguments):
    key, milliseconds, how = arguments
    if how == b'PX':
        replies = [connection.ask(b'SET', key, b'short', b'PX', milliseconds)]
    elif how == b'PSETEX':
        replies = [connection.ask(b'PSETEX', key, milliseconds, b'short')]
    elif how == b'PXAT':
        replies = [connection.ask(b'SET', key, b'short', b'PXAT', b'%d' % (int(time.time() * 1000) + int(milliseconds)))]
    else:
        replies = [connection.ask(b'SET', key, b'short')]
        if how == b'GETEX':
            replies.append(connection.ask(b'GETEX', key, b'PX', milliseconds))
        else:
            replies.append(connection.ask(b'PEXPIRE', key, milliseconds))
    deadline = time.monotonic() + 10
    while connection.ask(b'EXISTS', key) != (':', 0):
        if time.monotonic() > deadline:
            return replies + ['still there after ten seconds']
        time.sleep(0.001)
    return replies + [connection.ask(b'GET', key), connection.ask(b'TTL', key), connection.ask(b'DEL', key)]


def talk(server, connection, parts):
    """Requests on a connection of their own, pipelined, and every reply until its end, which QUIT brings."""
    return raw(server, connection, [b''.join(resp.encode(part) for part in parts + [[b'QUIT']]), b'close'])[0]


def raw(server, connection, arguments):
    """Bytes on a connection of their own. `end`: the stream is ended behind them (for short replies only: a server may drop what its
    socket didn't take at once). `close`: it is the server that has to end it."""
    data, mode = arguments
    own = server.connect()
    try:
        try:
            own.send(data)
        except Gone:
            pass # the server may close before it has read all
        if mode == b'end':
            own.half_close()
        received, state = own.read_to_end(4) # seconds that only a server that should have closed takes
        return [resp.parse_all(received), state]
    finally:
        own.close()



def _mask_hello(reply):
    """HELLO's map without what tells two processes apart, and its advice without the version, which only 7.2 has there."""
    if reply[0] == '-':
        return (reply[0], reply[1].replace(b'HELLO <proto> AUTH', b'HELLO AUTH'))
    if reply[0] not in '*%' or not reply[1]:
        return reply
    items = list(reply[1])
    for place in range(0, len(items) - 1, 2):
        if items[place][1] in (b'version', b'id'):
            items[place + 1] = (items[place + 1][0], 'masked')
    return (reply[0], tuple(items))


def password(server, connection, arguments):
    """CONFIG SET requirepass, then what a connection may and may not do before AUTH."""
    secret = arguments[0]
    seen = [connection.ask(b'CONFIG', b'SET', b'requirepass', secret), connection.ask(b'PING')]
    try:
        own = server.connect()
        for request in ([b'PING'], [b'GET', b'a'], [b'nosuch'], [b'GET'], [b'ECHO', b'x'], [b'AUTH', b'wrong'], [b'AUTH', b'default', b'wrong'], [b'AUTH', b'nobody', secret],
                        [b'HELLO'], [b'HELLO', b'3'], [b'HELLO', b'3', b'AUTH', b'default', b'wrong'], [b'COMMAND', b'COUNT'], [b'RESET'], [b'SELECT', b'1'],
                        [b'AUTH'], [b'AUTH', b'a', b'b', b'c'], [b'HELLO', b'2', b'AUTH', b'default', secret], [b'PING'], [b'RESET'], [b'PING'], [b'AUTH', secret],
                        [b'PING'], [b'AUTH', b'wrong'], [b'PING'], [b'AUTH', b'default', secret], [b'CONFIG', b'GET', b'requirepass'], [b'HELLO', b'3', b'AUTH', b'default', secret],
                        [b'QUIT']):
            seen.append(_mask_hello(own.ask(*request)))
        own.close()
        for data in (b'*11\r\n', b'*1\r\n$16385\r\n', b'QUIT\r\n'):
            seen.append(raw(server, connection, [data, b'close']))
        seen.append(raw(server, connection, [b'*10\r\n$4\r\nPING\r\n$16384\r\n', b'end']))
    finally:
        seen.append(connection.ask(b'CONFIG', b'SET', b'requirepass', b''))
    return seen


def _answers_within(connection, seconds):
    return bool(select.select([connection.socket], [], [], seconds)[0])


def pause(server, connection, arguments):
    """CLIENT PAUSE: what waits, what doesn't, and that everything is answered at the end."""
    mode, key = arguments
    first, second = server.connect(), server.connect()
    try:
        if mode.upper() == b'WRITE':
            seen = [first.ask(b'CLIENT', b'PAUSE', b'60000', mode), second.ask(b'EXISTS', key), second.ask(b'PING')]
            second.send(resp.encode([b'SET', key, b'paused']) + resp.encode([b'GET', key]))
            seen.append(_answers_within(second, 0.05))
            seen += [first.ask(b'CLIENT', b'UNPAUSE'), second.read(), second.read()]
            return seen
        began = time.monotonic()
        seen = [first.ask(b'CLIENT', b'PAUSE', b'80', *([mode] if mode else []))]
        seen += [second.ask(b'EXISTS', key), time.monotonic() - began > 0.06]
        return seen + [first.ask(b'PING')]
    finally:
        first.close()
        second.close()


def kill(server, connection, arguments):
    """CLIENT KILL of a connection made for it, by each way to name it."""
    how = arguments[0]
    victim, killer = server.connect(), server.connect()
    try:
        identity = b'%d' % victim.ask(b'CLIENT', b'ID')[1]
        address = b'127.0.0.1:%d' % victim.socket.getsockname()[1]
        if how == b'ID':
            seen = [killer.ask(b'CLIENT', b'KILL', b'ID', identity)]
        elif how == b'ADDR':
            seen = [killer.ask(b'CLIENT', b'KILL', b'ADDR', address)]
        elif how == b'LADDR':
            seen = [killer.ask(b'CLIENT', b'KILL', b'LADDR', b'127.0.0.1:%d' % server.port, b'ID', identity, b'TYPE', b'normal')]
        elif how == b'old':
            seen = [killer.ask(b'CLIENT', b'KILL', address)]
        elif how == b'SKIPME':
            return [victim.ask(b'CLIENT', b'KILL', b'ID', identity), victim.ask(b'CLIENT', b'KILL', b'ID', identity, b'SKIPME', b'yes'), victim.ask(b'PING')]
        else:
            victim.send(resp.encode([b'CLIENT', b'KILL', b'ID', identity, b'SKIPME', b'no']) + resp.encode([b'PING']))
            return [resp.parse_all(victim.read_to_end(4)[0])]
        return seen + [victim.read_to_end(4), killer.ask(b'CLIENT', b'KILL', b'ID', identity), killer.ask(b'CLIENT', b'LIST', b'ID', identity)]
    finally:
        victim.close()
        killer.close()


def in_order(reply):
    """A reply whose arrays, maps and sets have no order of their own."""
    if isinstance(reply, tuple) and len(reply) == 2 and isinstance(reply[1], tuple):
        items = [in_order(part) for part in reply[1]]
        if items and len(items) % 2 == 0 and all(name[0] in '$+' for name in items[::2]) and reply[0] != '~':
            items = [(items[place], items[place + 1]) for place in range(0, len(items), 2)]
        return (reply[0], tuple(sorted(items, key=repr)))
    return reply


def functions_carried(server, connection, arguments):
    """FUNCTION DUMP's payload brings the libraries back: after FLUSH, or beside themselves."""
    listed = connection.ask(b'FUNCTION', b'LIST', b'WITHCODE')
    payload = connection.ask(b'FUNCTION', b'DUMP')
    if payload[0] != '$':
        return [payload]
    policy = [arguments[0]] if arguments[0] else []
    beside = connection.ask(b'FUNCTION', b'RESTORE', payload[1], *policy)
    # Which of the libraries is named first isn't the same.
    seen = [re.sub(b'lib_[0-9]', b'a library', beside[1]) if beside[0] == '-' else beside]
    broken = bytearray(payload[1])
    broken[len(broken) // 2] ^= 1
    seen += [connection.ask(b'FUNCTION', b'RESTORE', bytes(broken), b'FLUSH'), connection.ask(b'FUNCTION', b'RESTORE', payload[1][:-1])]
    seen += [connection.ask(b'FUNCTION', b'FLUSH'), connection.ask(b'FUNCTION', b'LIST'), connection.ask(b'FUNCTION', b'RESTORE', payload[1])]
    after = connection.ask(b'FUNCTION', b'LIST', b'WITHCODE')
    return seen + [in_order(after), in_order(after) == in_order(listed)]


# Scripts that come to no end, by what would hold up a kill; not patterns, coroutines and handlers of errors, which hold it up in Redis. They are given one key.
ENDLESS = {
    b'plain': b'while true do end',
    b'reads': b"while true do redis.call('get',KEYS[1]) end",
    b'strays': b"local i=0 while true do i=i+1 redis.call('exists','stray:'..i%9) end",
    b'pcall': b'while true do pcall(function() while true do end end) end',
    b'call': b"while true do redis.pcall('get',KEYS[1]) pcall(error,'x') end",
    b'sort': b'while true do local t={} for i=1,1000 do t[i]=i end table.sort(t,function(a,b) return a>b end) end',
    b'metamethod': b'local t=setmetatable({},{__index=function() while true do end end}) while true do pcall(function() return t.x end) end',
    b'formats': b"while true do local s=string.format('%99s',cjson.encode({1,2,3})) cmsgpack.unpack(cmsgpack.pack({s})) end",
}
# It has written, and so goes on to its end; which comes when the process has spent so many seconds.
WRITES = b"redis.call('set',KEYS[1],'first') local t=os.clock() while os.clock()-t<0.4 do end redis.call('append',KEYS[1],'-last') return 'done'"
BUSY_LIBRARY = b"#!lua name=endless\nredis.register_function('endless',function(KEYS,ARGV) %b end)"
BUSY_MS = 25


def _code(reply):
    """An error without its words: EXEC itself isn't called when Redis is busy, and says so."""
    return (reply[0], reply[1].split(b' ')[0]) if reply[0] == '-' else reply


def _masked_stats(reply):
    """FUNCTION STATS without the time that it tells."""
    if not isinstance(reply, tuple) or len(reply) < 2 or not isinstance(reply[1], tuple):
        return reply
    items = [_masked_stats(item) for item in reply[1]]
    return (reply[0], tuple((items[place][0], 'masked') if place > 0 and items[place - 1][1:] == (b'duration_ms',) else items[place] for place in range(len(items))))


def busy(server, connection, arguments):
    """A script or function that comes to no end, and what others are told who need its key, until it is killed; or one that has written,
    and isn't. What they are told who don't need it differs: here they are served (design.md, 13)."""
    kind, how, key = arguments
    is_function, writes = how == b'FCALL', kind == b'writes'
    body = WRITES if writes else ENDLESS[kind]
    runner, other = server.connect(), server.connect()
    kill_word, wrong_word = (b'FUNCTION', b'SCRIPT') if is_function else (b'SCRIPT', b'FUNCTION')
    seen = [runner.ask(b'CONFIG', b'SET', b'busy-reply-threshold', b'%d' % BUSY_MS), runner.ask(b'DEL', key)]
    try:
        if is_function:
            seen.append(runner.ask(b'FUNCTION', b'LOAD', b'REPLACE', BUSY_LIBRARY % body))
        request = [b'FCALL', b'endless'] if is_function else [b'EVAL', body]
        if how == b'EXEC':
            seen += [runner.ask(b'MULTI'), runner.ask(b'GET', key), runner.ask(*request, b'1', key)]
            request = [b'EXEC']
        else:
            request += [b'1', key]
        runner.send(resp.encode(request))
        deadline = time.monotonic() + 10
        reply = other.ask(b'STRLEN', key)
        while not reply[1:] or not str(reply[1]).startswith("b'BUSY"):
            if time.monotonic() > deadline:
                return seen + ['never busy', reply]
            reply = other.ask(b'STRLEN', key)
        seen.append(reply)
        if writes: # before its time is up
            seen += [other.ask(kill_word, b'KILL'), runner.read(), other.ask(b'GET', key)]
            return seen + [other.ask(kill_word, b'KILL')]
        seen += [other.ask(wrong_word, b'KILL')]
        if is_function:
            seen.append(_masked_stats(other.ask(b'FUNCTION', b'STATS')))
        seen += [other.ask(b'SET', key, b'x'), other.ask(b'WATCH', key), other.ask(b'MULTI'), other.ask(b'GET', key), other.ask(b'DISCARD'), other.ask(b'MULTI'), other.ask(b'GET', key),
                 _code(other.ask(b'EXEC')), other.ask(b'EVAL', b"return redis.call('get',KEYS[1])", b'1', key), other.ask(b'UNWATCH'), other.ask(b'RESET'), other.ask(kill_word, b'KILL')]
        seen += [runner.read(), other.ask(b'GET', key), other.ask(kill_word, b'KILL'), runner.ask(b'PING')]
        return seen
    finally:
        runner.close()
        other.close()
        last = server.connect()
        last.ask(b'CONFIG', b'SET', b'busy-reply-threshold', b'5000')
        last.ask(b'FUNCTION', b'DELETE', b'endless')
        last.close()


def without_room(server, connection, parts):
    """Requests while there is less memory to be had than is in use, each with its reply."""
    own = server.connect()
    try:
        before = own.ask(b'CONFIG', b'GET', b'maxmemory-policy')[1][1][1]
        seen = [own.ask(b'CONFIG', b'SET', b'maxmemory-policy', b'noeviction'), own.ask(b'CONFIG', b'SET', b'maxmemory', b'1')]
        try:
            seen += [own.ask(*part) for part in parts]
        finally:
            own.ask(b'RESET')
            seen += [own.ask(b'CONFIG', b'SET', b'maxmemory', b'0'), own.ask(b'CONFIG', b'SET', b'maxmemory-policy', before)]
        return seen
    finally:
        own.close()


# What a user is told who may not do something, in the words of 7.0 and of 7.2 (differences.py has both to the letter): by what it is about.
_DENIALS = [
    (re.compile(rb"The user executing the script can't run this command or subcommand|ACL failure in script: User limited has no permissions to run the '[^']*' command"), b'denied: command'),
    (re.compile(rb"The user executing the script can't access at least one of the keys mentioned in the command arguments|ACL failure in script: No permissions to access a key"), b'denied: key'),
    (re.compile(rb"The user executing the script can't publish to the channel mentioned in the command|ACL failure in script: No permissions to access a channel"), b'denied: channel'),
    (re.compile(rb"NOPERM (?:this user|User limited) has no permissions to run the '[^']*' command"), b'NOPERM: command'),
    (re.compile(rb"NOPERM (?:this user has no permissions to access one of the keys used as arguments|No permissions to access a key)"), b'NOPERM: key'),
]


def _denials_masked(reply):
    if isinstance(reply, tuple):
        return tuple(_denials_masked(part) for part in reply)
    if isinstance(reply, bytes):
        for words, kind in _DENIALS:
            reply = words.sub(kind, reply)
    return reply


def limited(server, connection, parts):
    """Requests of a user who may do some of what they ask for; the first part is the rules."""
    own, admin = server.connect(), server.connect()
    try:
        seen = [admin.ask(b'ACL', b'SETUSER', b'limited', b'reset', b'on', b'nopass', *parts[0]), own.ask(b'AUTH', b'limited', b'x')]
        return seen + [_denials_masked(own.ask(*part)) for part in parts[1:]]
    finally:
        own.close()
        admin.ask(b'ACL', b'DELUSER', b'limited')
        admin.close()


def keyspace(server, connection, _):
    """Everything that is in every database, by ways that change nothing. The connection's database is set again by its user."""
    own = server.connect()
    try:
        image = {}
        for database in range(16):
            if own.ask(b'SELECT', b'%d' % database) != ('+', b'OK'):
                return {'select': 'SELECT %d was refused' % database}
            found = scan_all(own)
            if not isinstance(found, set):
                return {'scan': found}
            names = sorted(found)
            requests = []
            for name in names:
                requests += [[b'OBJECT', b'ENCODING', name], [b'TYPE', name], [b'PEXPIRETIME', name], [b'GET', name], [b'DEBUG', b'DIGEST-VALUE', name]]
            own.send(b''.join(resp.encode(request) for request in requests))
            replies = [own.read() for _ in requests]
            for place, name in enumerate(names):
                image[(database, name)] = replies[5 * place:5 * place + 5]
            image[(database, 'DBSIZE')] = [own.ask(b'DBSIZE')]
        image['DEBUG DIGEST'] = [own.ask(b'DEBUG', b'DIGEST')]
        return image
    finally:
        own.close()


def requests_of(action):
    """The request that each observation answers ([]: none that could be answered otherwise), or None: it isn't like that."""
    if action.name == 'talk':
        return action.arguments
    if action.name == 'without_room':
        return [[], []] + action.arguments + [[], []]
    if action.name == 'limited':
        return [[], []] + action.arguments[1:]
    return None


ACTIONS = {function.__name__: function for function in (scan, randomkey, wait_until_gone, talk, raw, password, pause, kill, keyspace, drawn, popped, scan_value, functions_carried, busy,
                                                            without_room, limited)}


def cut_places(length, seed):
    """Where a pipeline's bytes are cut: a few places, anywhere."""
    draw = random.Random(seed)
    return sorted(draw.randrange(length) for _ in range(draw.randint(1, 5))) if length else []
