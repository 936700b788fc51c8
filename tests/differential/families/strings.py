"""Strings: SET with every option, counters, ranges, LCS."""


def expiry_options(words, with_persist=False):
    """One of the expiry options with a fitting time, or something invalid."""
    draw = words.below(12)
    if draw < 2:
        return [words.cased(b'EX'), words.seconds()]
    if draw < 4:
        return [words.cased(b'PX'), words.milliseconds()]
    if draw < 6:
        return [words.cased(b'EXAT'), words.unix_seconds()]
    if draw < 8:
        return [words.cased(b'PXAT'), words.unix_milliseconds()]
    if draw < 10:
        return [words.cased(b'PERSIST' if with_persist else b'KEEPTTL')]
    if draw < 11:
        return []
    return [words.pick(b'EX', b'PX', b'EXAT', b'PXAT', b'KEEPTTL', b'PERSIST')]


def set_(words):
    command = [b'SET', words.key(), words.value()]
    options = []
    if words.chance(0.35):
        options.append([words.cased(words.pick(b'NX', b'XX'))])
    if words.chance(0.3):
        options.append([words.cased(b'GET')])
    if words.chance(0.4):
        options.append(expiry_options(words))
    if words.chance(0.04): # combinations that are refused
        options.append([words.pick(b'NX', b'XX', b'GET', b'KEEPTTL', b'PERSIST', b'foo', b'')])
    if words.chance(0.04):
        options.append(expiry_options(words))
    words.random.shuffle(options)
    for option in options:
        command += option
    return command


def set_expired_then_use(words):
    """A key that is set with a time in the past is gone for whatever comes next."""
    key = words.key()
    time = [b'PXAT', b'%d' % words.between(1, 100000)] if words.chance(0.5) else [b'EXAT', b'%d' % words.between(1, 1000)]
    first = [b'SET', key, words.value()] + time
    other = words.key()
    then = words.pick([b'GET', key], [b'INCR', key], [b'APPEND', key, b'x'], [b'SETRANGE', key, b'2', b'x'], [b'GETSET', key, b'y'],
                      [b'GETDEL', key], [b'SETNX', key, b'z'], [b'SET', key, b'n', b'XX'], [b'SET', key, b'n', b'NX', b'GET'], [b'EXISTS', key],
                      [b'PERSIST', key], [b'EXPIRE', key, b'100000'], [b'TTL', key], [b'TYPE', key], [b'RENAME', key, other],
                      [b'COPY', key, other], [b'MOVE', key, b'1'], [b'STRLEN', key], [b'SETBIT', key, b'3', b'1'], [b'MSETNX', key, b'1'],
                      [b'OBJECT', b'ENCODING', key], [b'MGET', key, other], [b'UNLINK', key], [b'INCRBYFLOAT', key, b'1.5'],
                      [b'BITFIELD', key, b'INCRBY', b'u8', b'0', b'1'], [b'BITOP', b'NOT', other, key], [b'TOUCH', key],
                      [b'SET', key, b'k', b'KEEPTTL'], [b'GETEX', key, b'PERSIST'])
    # Last a write that meets the key: from here on it is gone from memory too, and DBSIZE may be asked.
    return [first, then, [b'DEL', key]]


def counter(words):
    name = words.pick(b'INCR', b'DECR', b'INCRBY', b'DECRBY')
    return [name, words.key()] + ([words.integer()] if name.endswith(b'BY') else [])


def counter_at_limit(words):
    key = words.key()
    limit = words.pick(b'9223372036854775807', b'-9223372036854775808', b'9223372036854775800', b'-9223372036854775800', b'9999', b'10000', b'-1')
    return [[b'SET', key, limit], counter_of(words, key), counter_of(words, key), [b'OBJECT', b'ENCODING', key]]


def counter_of(words, key):
    name = words.pick(b'INCR', b'DECR', b'INCRBY', b'DECRBY')
    return [name, key] + ([words.integer()] if name.endswith(b'BY') else [])


def float_from(words):
    key = words.key()
    return [[b'SET', key, words.float()], [b'INCRBYFLOAT', key, words.float()], [b'GET', key]]


def pairs(words, name):
    command = [name]
    for _ in range(words.between(1, 4)):
        command += [words.key(), words.value()]
    return command


def lcs(words):
    words.choose_small()
    command = [b'LCS', words.key(), words.key()]
    options = []
    if words.chance(0.3):
        options.append([b'LEN'])
    if words.chance(0.5):
        options.append([b'IDX'])
    if words.chance(0.4):
        options.append([b'MINMATCHLEN', words.count()])
    if words.chance(0.4):
        options.append([b'WITHMATCHLEN'])
    words.random.shuffle(options)
    for option in options:
        command += [words.cased(option[0])] + option[1:]
    return command


def lcs_of_similar(words):
    text = [words.pick(97, 98, 99, 100) for _ in range(words.between(1, 60))]
    other = [byte for byte in text if words.chance(0.8)] + [words.pick(97, 98) for _ in range(words.below(5))]
    keys = words.pick([b'key:1', b'key:2'], [b'key:3', b'key:4'])
    options = words.pick([], [b'LEN'], [b'IDX'], [b'IDX', b'WITHMATCHLEN'], [b'IDX', b'MINMATCHLEN', words.count()],
                         [b'IDX', b'MINMATCHLEN', words.count(), b'WITHMATCHLEN'])
    return [[b'MSET', keys[0], bytes(text), keys[1], bytes(other)], [b'LCS'] + keys + options]


COMMANDS = [
    (30, set_),
    (4, set_expired_then_use),
    (14, lambda words: [b'GET', words.key()]),
    (8, lambda words: [b'GETEX', words.key()] + (expiry_options(words, True) if words.chance(0.8) else [])),
    (4, lambda words: [b'GETDEL', words.key()]),
    (4, lambda words: [b'GETSET', words.key(), words.value()]),
    (4, lambda words: [b'SETNX', words.key(), words.value()]),
    (4, lambda words: [b'SETEX', words.key(), words.seconds(), words.value()]),
    (4, lambda words: [b'PSETEX', words.key(), words.milliseconds(), words.value()]),
    (8, lambda words: [b'APPEND', words.key(), words.value()]),
    (4, lambda words: [b'STRLEN', words.key()]),
    (6, lambda words: [b'SETRANGE', words.key(), words.offset(), words.value()]),
    (8, lambda words: [words.pick(b'GETRANGE', b'GETRANGE', b'SUBSTR'), words.key(), words.index(), words.index()]),
    (10, counter),
    (5, counter_at_limit),
    (6, lambda words: [b'INCRBYFLOAT', words.key(), words.float()]),
    (6, float_from),
    (5, lambda words: [b'MGET'] + words.keys()),
    (4, lambda words: pairs(words, b'MSET')),
    (4, lambda words: pairs(words, b'MSETNX')),
    (4, lcs),
    (4, lcs_of_similar),
]
