"""Lists: both ends, places, moving."""


def element(words):
    draw = words.below(20)
    if draw < 9:
        return b'%d' % words.below(12)
    if draw < 15:
        return b'e%d' % words.below(10)
    return words.pick(b'', b'-0', b'007', b'long element ' * 6, words.value())


def elements(words, most=5):
    return [element(words) for _ in range(words.between(1, most))]


def push(words):
    return [words.pick(b'LPUSH', b'RPUSH', b'LPUSH', b'RPUSH', b'LPUSHX', b'RPUSHX'), words.key()] + elements(words, words.pick(2, 5, 40))


def many(words):
    """Enough bytes for several nodes."""
    return [words.pick(b'LPUSH', b'RPUSH'), words.key()] + [element(words) if words.chance(0.9) else b'x' * 900 for _ in range(words.pick(30, 150, 400))]


def pop(words):
    return [words.pick(b'LPOP', b'RPOP'), words.key()] + words.pick([], [], [b'1'], [b'2'], [b'10'], [b'1000'], [b'0'], [b'-1'], [b'x'], [b'1', b'2'])


def position(words):
    command = [b'LPOS', words.key(), element(words)]
    for option in (b'RANK', b'COUNT', b'MAXLEN'):
        if words.chance(0.35):
            command += [words.cased(option), words.integer_small()]
    return command


def side(words):
    return words.cased(words.pick(b'LEFT', b'RIGHT')) if words.chance(0.97) else b'UP'


def several(words):
    keys = words.keys()
    command = [b'LMPOP', b'%d' % len(keys) if words.chance(0.9) else words.integer_small()] + keys + [side(words)]
    if words.chance(0.5):
        command += [words.cased(b'COUNT'), words.pick(b'1', b'2', b'10', b'100', b'0', b'-1', b'x')]
    return command


def at_once(words):
    """A command that waits, where it needn't: there is an element, or a value of another type."""
    key, timeout = words.key(), words.pick(b'0.1', b'-1', b'x', b'1e400', b'') if words.chance(0.2) else b'0.05'
    keys = words.keys(2) + [key]
    return [[b'RPUSH', key] + elements(words), words.pick(
        [b'BLPOP'] + keys + [timeout], [b'BRPOP'] + keys + [timeout], [b'BLMOVE', key, words.key(), side(words), side(words), timeout],
        [b'BRPOPLPUSH', key, words.key(), timeout],
        [b'BLMPOP', timeout, b'%d' % len(keys)] + keys + [side(words)] + words.pick([], [b'COUNT', words.pick(b'1', b'2', b'0', b'10')]))]


COMMANDS = [
    (30, push),
    (2, many),
    (14, pop),
    (6, lambda words: [b'LLEN', words.key()]),
    (8, lambda words: [b'LINDEX', words.key(), words.index()]),
    (6, lambda words: [b'LSET', words.key(), words.index(), element(words)]),
    (10, lambda words: [b'LRANGE', words.key(), words.index(), words.index()]),
    (5, lambda words: [b'LTRIM', words.key(), words.pick(b'0', b'0', b'1', b'-30', words.index()), words.pick(b'-1', b'-1', b'-2', b'30', words.index())]),
    (8, lambda words: [b'LREM', words.key(), words.pick(b'0', b'1', b'-1', b'2', b'-2', words.integer_small()), element(words)]),
    (8, lambda words: [b'LINSERT', words.key(), words.cased(words.pick(b'BEFORE', b'AFTER', b'BEFORE', b'AFTER', b'foo')), element(words), element(words)]),
    (8, position),
    (8, lambda words: [b'LMOVE', words.key(), words.key(), side(words), side(words)]),
    (5, lambda words: [b'RPOPLPUSH', words.key(), words.key()]),
    (8, several),
    (6, at_once),
    (4, lambda words: [b'OBJECT', b'ENCODING', words.key()]),
]
