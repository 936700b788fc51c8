"""Connections: PING, HELLO, AUTH, CLIENT, RESET, QUIT, broken requests.

What changes or ends a connection for good runs on one of its own (Action 'talk'), so that the connections in use stay in step.
"""

from actions import Action
import resp

INFO_ATTRIBUTES = [b'LIB-NAME', b'LIB-VER', b'lib-name', b'Lib-Ver', b'foo', b'']


def name(words):
    return words.pick(b'name', b'a', b'', b'with space', b'line\n', b'\x7f', b'\xff', b'~', b'!', b'x' * 200, b'0', b'nul\x00')


def hello(words):
    """HELLO with at most one wrong thing and no name beside it: then both versions leave the same state behind (differences.py)."""
    return words.pick(
        [b'HELLO'], [b'HELLO', b'2'], [b'HELLO', b'3'], [b'HELLO', b'3'],
        [b'HELLO', words.pick(b'2', b'3'), words.cased(b'SETNAME'), name(words)],
        [b'HELLO', words.pick(b'2', b'3'), words.cased(b'AUTH'), words.pick(b'default', b'nobody'), words.pick(b'', b'secret')],
        [b'HELLO', words.pick(b'2', b'3'), b'AUTH', b'default', b'x', b'SETNAME', name(words)],
        [b'HELLO', words.pick(b'1', b'4', b'abc', b'', b'03', b'-1', b'99999999999999999999')],
        [b'HELLO', words.pick(b'2', b'3', b'4'), words.pick(b'SETNAME', b'AUTH', b'foo')],
        [b'HELLO', b'3', b'AUTH', b'default'])


def client(words):
    return [b'CLIENT'] + words.pick(
        [b'ID'], [b'GETNAME'], [b'GETNAME'], [b'SETNAME', name(words)], [b'NO-EVICT', words.pick(b'on', b'off', b'ON', b'foo')],
        [b'NO-TOUCH', words.pick(b'on', b'off', b'OFF', b'foo')], [b'SETINFO', words.one_of(INFO_ATTRIBUTES), name(words)],
        [b'INFO'], [b'LIST'], [b'LIST', b'TYPE', words.pick(b'normal', b'NORMAL', b'pubsub', b'replica', b'master', b'foo')],
        [b'LIST', b'ID', words.pick(b'0', b'abc', b'999999999', b'-1', b'')], [b'LIST', b'foo'], [b'LIST', b'TYPE'], [b'LIST', b'ID'],
        [b'KILL', words.pick(b'127.0.0.1:1', b'foo', b'')], [b'KILL', b'ID', words.pick(b'0', b'-1', b'abc', b'999999999', b'')],
        [b'KILL', b'TYPE', words.pick(b'replica', b'master', b'pubsub', b'foo', b'slave')], [b'KILL', b'ADDR', words.pick(b'1.2.3.4:5', b'foo')],
        [b'KILL', b'LADDR', b'1.2.3.4:5'], [b'KILL', b'USER', words.pick(b'nobody', b'')], [b'KILL', b'SKIPME', words.pick(b'foo', b'')],
        [b'KILL', b'ID', b'999999999', b'SKIPME', words.pick(b'yes', b'no', b'foo')], [b'KILL', b'foo', b'bar'], [b'KILL', b'ID'],
        [b'KILL', b'ID', b'999999999', b'ADDR'], [b'KILL'], [b'PAUSE', words.pick(b'abc', b'-1', b'', b'1.5', b'0')],
        [b'PAUSE', words.pick(b'0', b'abc'), words.pick(b'WRITE', b'ALL', b'foo')], [b'UNPAUSE'],
        [b'UNBLOCK', words.pick(b'0', b'-1', b'abc', b'999999999')],
        [b'UNBLOCK', b'999999999', words.pick(b'TIMEOUT', b'ERROR', b'foo', b'timeout')], [b'UNBLOCK'], [b'REPLY', words.pick(b'ON', b'foo', b'on')],
        [b'REPLY'], [b'HELP'], [b'foo'], [b''], [b'GETNAME', b'x'], [b'ID', b'x'], [b'INFO', b'x'])


def reply_modes(words):
    """CLIENT REPLY OFF and SKIP, with commands between."""
    words.choose_small()
    parts = []
    for _ in range(words.between(1, 4)):
        parts.append([b'CLIENT', b'REPLY', words.pick(b'OFF', b'SKIP', b'ON', b'skip', b'foo')])
        for _ in range(words.below(4)):
            parts.append(words.pick([b'PING'], [b'SET', words.key(), words.value()], [b'GET', words.key()], [b'nosuch'], [b'GET'], [b'MGET', words.key()]))
    return Action('talk', parts + [[b'CLIENT', b'REPLY', b'ON'], [b'PING', b'end']])


def short_talk(words):
    """A connection's life in a few commands, ended by QUIT or by nobody."""
    words.choose_small()
    parts = []
    for _ in range(words.between(1, 8)):
        parts.append(words.pick([b'PING'], hello(words), [b'CLIENT', b'SETNAME', name(words)], [b'CLIENT', b'GETNAME'], [b'RESET'],
                                [b'SELECT', b'%d' % words.below(17)], [b'SET', words.key(), words.value()], [b'GET', words.key()], [b'DBSIZE'],
                                [b'AUTH', words.pick(b'x', b'default', b'')], [b'AUTH', words.pick(b'default', b'nobody'), b'x'],
                                [b'HELLO', b'3'], [b'HELLO', b'2'], [b'RESET', b'x'], [b'ECHO', words.value()]))
    if words.chance(0.4):
        parts += [words.pick([b'QUIT'], [b'quit'], [b'QUIT', b'x']), [b'PING', b'after']]
    return Action('talk', parts)


def malformed(words):
    """Requests that are refused with a protocol error; the connection ends."""
    words.choose_small()
    first = words.pick(b'', resp.encode([b'PING']), b'PING\r\n', resp.encode([b'SET', words.key(), b'1']))
    return Action('raw', [first + words.pick(
        b'*1\r\n+PING\r\n', b'*1\r\n:1\r\n', b'*1\r\nPING\r\n', b'*1\r\n\r\n', b'*abc\r\n', b'*1x\r\n', b'* 1\r\n', b'*+1\r\n', b'*\r\n$4\r\nPING\r\n',
        b'*2147483648\r\n', b'*99999999999999999999\r\n', b'*1\r\n$abc\r\n', b'*1\r\n$-1\r\n', b'*1\r\n$-2\r\n',
        b'*1\r\n$536870913\r\n', b'*1\r\n$99999999999999999999\r\n', b'*1\r\n$\r\n', b'*1\r\n$ 4\r\nPING\r\n', b'*1\r\n$+4\r\nPING\r\n',
        b'*1\r\n$4x\r\nPING\r\n', b'*2\r\n$4\r\nPING\r\n*1\r\n', b'*2\r\n$4\r\nECHO\r\n$\r\n', b'*1\r\n$1.5\r\n', b'*1.5\r\n', b'*1\r\n*1\r\n',
        b'SET "a\r\n', b"SET 'a\r\n", b'SET "a"b c\r\n', b"SET 'a'b c\r\n", b'"\r\n', b'PING "\\x4\r\n', b'GET "a\\"\r\n', b'*-99999999999999999999\r\n',
        b'x' * 70000, b'*' + b'1' * 70000, b'*1\r\n$' + b'1' * 70000, b'*1\r\n$4\r\nPINGxx*1\r\n$4x\r\n'), b'close'])


def fragment(words):
    """Odd bytes that may or may not be requests, then the end of the stream: whatever was complete is answered."""
    words.choose_small()
    whole = b''.join(words.pick(resp.encode([b'PING']), resp.encode([b'SET', words.key(), words.value()]), resp.encode([b'GET', words.key()]),
                                b'PING\r\n', b'PING\n', b'\r\n', b'\n', b'*0\r\n', b'*-1\r\n', b'*-5\r\n', b'  PING  \r\n', b'GET \t a\r\n', b'echo "a\\x41\\n"\r\n',
                                b"echo 'a\\'b'\r\n", b"echo 'a\\nb'\r\n", b'echo ""\r\n', b"''\r\n", b'""\r\n', b'*1\r\n$0\r\n\r\n', b'*1048577\r\n', b'*2147483647\r\n')
                     for _ in range(words.between(1, 6)))
    if words.chance(0.6):
        data = bytearray(whole)
        for _ in range(words.between(1, 3)):
            place = words.below(len(data)) if data else 0
            draw = words.below(4)
            if draw == 0 and data:
                data[place] = words.below(256)
            elif draw == 1 and data:
                del data[place]
            elif draw == 2:
                data.insert(place, words.pick(42, 36, 13, 10, 48, 49, 45, 0, 34, 39))
            else:
                del data[place:]
        whole = bytes(data)
    # Redis looks for a line's end with strchr, so a NUL in a header hides all that follows; not a behaviour to compare.
    return Action('raw', [whole.replace(b'\x00', b'z'), b'end'])


COMMANDS = [
    (6, lambda words: [b'PING'] + words.pick([], [], [words.value()], [b'a', b'b'])),
    (5, lambda words: [b'ECHO', words.value()]),
    (5, hello),
    (2, lambda words: [b'AUTH'] + words.pick([b'x'], [b''], [b'default', b'x'], [b'nobody', b'x'], [b'a', b'b', b'c'], [])),
    (4, lambda words: [b'SELECT', b'%d' % words.below(4)]),
    (0.5, lambda words: [b'RESET']),
    (24, client),
    (1.0, reply_modes),
    (1.5, short_talk),
    (1.5, malformed),
    (2.0, fragment),
    (0.1, lambda words: Action('password', [words.pick(b'secret', b'two words', b'\xff\x01x')])),
    (0.08, lambda words: Action('pause', [words.pick(b'WRITE', b'ALL', b'write', b''), words.key()])),
    (0.15, lambda words: Action('kill', [words.pick(b'ID', b'ADDR', b'old', b'LADDR', b'SKIPME', b'self')])),
]
