"""Sets: members, drawing, what several have in common."""

from actions import Action


def member(words):
    draw = words.below(20)
    if draw < 9:
        return b'%d' % words.below(12)
    if draw < 15:
        return b'm%d' % words.below(10)
    if draw < 17:
        return b'%d' % words.between(-10 ** 10, 10 ** 10)
    return words.pick(b'', b'-0', b'007', b'long member ' * 6, words.value())


def members(words, most=5):
    return [member(words) for _ in range(words.between(1, most))]


def many(words):
    """Enough that numbers become a table, or what is packed does."""
    count = words.pick(20, 130, 520)
    start = words.below(100)
    return [b'SADD', words.key()] + [words.pick(b'', b'', b'x')[:0] + b'%d' % (start + number) if words.chance(0.99) else b'n%d' % number
                                     for number in range(count)]


def draw(words):
    key = words.key()
    return Action('drawn', [b'SMEMBERS', key, b'|', b'SRANDMEMBER', key] +
                  words.pick([], [b'1'], [b'3'], [b'-5'], [b'1000'], [b'0'], [b'-40'], [b'x'], [b'1', b'2']))


def pop(words):
    """Both servers draw members of their own, which are put back."""
    key = words.key()
    return Action('popped', [b'SMEMBERS', key, b'SADD', b'|', b'SPOP', key] + words.pick([], [b'1'], [b'2'], [b'5'], [b'0'], [b'-1'], [b'abc']))


def operation(words):
    return [words.pick(b'SINTER', b'SUNION', b'SDIFF')] + words.keys()


def store(words):
    return [words.pick(b'SINTERSTORE', b'SUNIONSTORE', b'SDIFFSTORE'), words.key()] + words.keys()


def card(words):
    keys = words.keys()
    command = [b'SINTERCARD', b'%d' % len(keys) if words.chance(0.9) else words.integer_small()] + keys
    if words.chance(0.5):
        command += [words.cased(b'LIMIT'), words.pick(b'0', b'1', b'2', b'100', b'-1', b'abc')]
    return command


def scan(words):
    options = []
    if words.chance(0.4):
        options += [words.cased(b'MATCH'), words.pick(b'm*', b'*', b'1*', b'nothing', b'[0-3]')]
    if words.chance(0.5):
        options += [words.cased(b'COUNT'), words.pick(b'1', b'3', b'10', b'1000')]
    return Action('scan_value', [b'SSCAN', words.key(), b'1'] + options)


COMMANDS = [
    (30, lambda words: [b'SADD', words.key()] + members(words, words.pick(2, 5, 40))),
    (2, many),
    (14, lambda words: [b'SREM', words.key()] + members(words, 10)),
    (8, lambda words: [b'SMOVE', words.key(), words.key(), member(words)]),
    (8, lambda words: [b'SISMEMBER', words.key(), member(words)]),
    (5, lambda words: [b'SMISMEMBER', words.key()] + members(words)),
    (6, lambda words: [b'SCARD', words.key()]),
    (6, lambda words: [b'SMEMBERS', words.key()]),
    (5, draw),
    (5, pop),
    (2, lambda words: [[b'SPOP', words.key(), b'100000']]), # as it is: all of them
    (12, operation),
    (10, store),
    (6, card),
    (5, scan),
    (4, lambda words: [b'OBJECT', b'ENCODING', words.key()]),
]
