"""The keyspace: existence, names, expiry, iteration, databases."""

from actions import Action


def database(words):
    return b'%d' % words.below(4) if words.chance(0.85) else words.pick(b'15', b'16', b'-1', b'abc', b'', b'1.5', b'99999999999', b'007', b' 1')


def expire(words):
    name = words.pick(b'EXPIRE', b'PEXPIRE', b'EXPIREAT', b'PEXPIREAT')
    time = {b'EXPIRE': words.seconds, b'PEXPIRE': words.milliseconds, b'EXPIREAT': words.unix_seconds, b'PEXPIREAT': words.unix_milliseconds}[name]()
    command = [name, words.key(), time]
    if words.chance(0.5):
        command.append(words.cased(words.pick(b'NX', b'XX', b'GT', b'LT')))
    if words.chance(0.12):
        command.append(words.pick(b'NX', b'XX', b'GT', b'LT', b'foo', b''))
    return command


def scan(words):
    """A whole iteration, compared as a set."""
    options = []
    if words.chance(0.5):
        options.append([words.cased(b'MATCH'), words.pattern()])
    if words.chance(0.5):
        options.append([words.cased(b'COUNT'), words.pick(b'1', b'2', b'10', b'100', b'1000', b'9223372036854775807')])
    if words.chance(0.4):
        options.append([words.cased(b'TYPE'), words.pick(b'string', b'STRING', b'list', b'hash', b'nosuchtype')])
    words.random.shuffle(options)
    return Action('scan', [part for option in options for part in option])


def scan_refused(words):
    return [b'SCAN', words.pick(b'0', b'abc', b'-1', b'', b'18446744073709551616', b' 0', b'0x0', b'1.5')] + words.pick(
        [b'COUNT', b'0'], [b'COUNT', b'-1'], [b'COUNT', b'abc'], [b'MATCH'], [b'COUNT'], [b'TYPE'], [b'foo'], [b'foo', b'bar'],
        [b'COUNT', b'5', b'MATCH'], [b'COUNT', b'9223372036854775808'])


def copy(words):
    command = [b'COPY', words.key(), words.key()]
    options = []
    if words.chance(0.5):
        options.append([words.cased(b'DB'), database(words)])
    if words.chance(0.5):
        options.append([words.cased(b'REPLACE')])
    if words.chance(0.04):
        options.append([words.pick(b'DB', b'foo', b'')])
    words.random.shuffle(options)
    for option in options:
        command += option
    return command


def short_life(words):
    """A key with a few milliseconds to live: both servers are asked until it is gone from both."""
    return Action('wait_until_gone', [words.key(), b'%d' % words.between(1, 12)] + [words.pick(b'PX', b'PEXPIRE', b'PSETEX', b'GETEX', b'PXAT')])


COMMANDS = [
    (8, lambda words: [words.pick(b'DEL', b'UNLINK')] + words.keys(3)),
    (8, lambda words: [words.pick(b'EXISTS', b'TOUCH')] + words.keys(4)),
    (5, lambda words: [b'TYPE', words.key()]),
    (2, lambda words: [b'KEYS', words.pattern()]),
    (1.0, scan),
    (1, scan_refused),
    (0.7, lambda words: Action('randomkey', [])),
    (0.4, lambda words: [b'RANDOMKEY']),
    (5, lambda words: [words.pick(b'RENAME', b'RENAMENX'), words.key(), words.key()]),
    (7, copy),
    (5, lambda words: [b'MOVE', words.key(), database(words)]),
    (26, expire),
    (12, lambda words: [words.pick(b'TTL', b'PTTL', b'EXPIRETIME', b'PEXPIRETIME'), words.key()]),
    (5, lambda words: [b'PERSIST', words.key()]),
    (0.25, short_life),
    (4, lambda words: [b'SELECT', database(words)]),
    (4, lambda words: [b'OBJECT', words.cased(b'ENCODING'), words.key()]),
    (3, lambda words: [b'OBJECT', words.cased(words.pick(b'REFCOUNT', b'IDLETIME', b'FREQ')), words.key()]),
    (0.3, lambda words: [b'OBJECT', words.pick(b'HELP', b'foo', b'', b'ENCODING', b'FREQ')]),
    (1.5, lambda words: [b'DBSIZE']),
    (0.5, lambda words: [b'SWAPDB', database(words), database(words)]),
    (0.12, lambda words: [words.pick(b'FLUSHDB', b'FLUSHALL')] + words.pick([], [], [b'ASYNC'], [b'SYNC'], [b'async'], [b'foo'], [b'SYNC', b'ASYNC'])),
]
