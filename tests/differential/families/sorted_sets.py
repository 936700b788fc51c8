"""Sorted sets: scores, ranks, ranges of all kinds, what several have in common."""

from actions import Action


def member(words):
    draw = words.below(20)
    if draw < 15:
        return b'm%d' % words.below(14)
    if draw < 17:
        return b'%d' % words.below(300)
    return words.pick(b'', b'-0', b'a', b'b', b'ab', b'long member ' * 6, words.value())


def members(words, most=5):
    return [member(words) for _ in range(words.between(1, most))]


def score(words):
    draw = words.below(20)
    if draw < 9:
        return b'%d' % words.between(-5, 12)
    if draw < 11:
        return words.pick(b'inf', b'-inf', b'+inf', b'-0', b'0.5', b'1e3')
    if draw < 17:
        return b'%.*f' % (words.below(6), words.random.uniform(-20, 20))
    return words.float()


def add(words):
    command = [b'ZADD', words.key()]
    for option in (b'NX', b'XX', b'GT', b'LT', b'CH', b'INCR'):
        if words.chance(0.1):
            command.append(words.cased(option))
    for _ in range(words.pick(1, 1, 2, 5, words.between(1, 30))):
        command += [score(words), member(words)]
    if words.chance(0.02):
        command.pop()
    return command


def many(words):
    """Enough that a packed one becomes a large one."""
    command = [b'ZADD', words.key()]
    same = words.chance(0.4)
    for number in range(words.pick(20, 130, 300)):
        command += [b'0' if same else score(words), b'm%d' % number]
    return command


def score_bound(words):
    return words.pick(b'-inf', b'+inf', b'(', b'') + b'' if words.chance(0.1) else words.pick(b'', b'', b'(') + words.pick(b'%d' % words.between(-6, 13), b'-inf', b'+inf', b'2.5')


def name_bound(words):
    if words.chance(0.3):
        return words.pick(b'-', b'+')
    if words.chance(0.05):
        return words.pick(b'', b'm1', b'-x', b'++')
    return words.pick(b'[', b'(') + words.pick(member(words), b'm', b'm1')


def key_for(words, kind):
    """Ranges of names mean something where all scores are the same: in keys that nothing else is put into."""
    return words.pick(b'names:1', b'names:2', b'names:3') if kind == 'name' else words.key()


def add_names(words):
    command = [b'ZADD', key_for(words, 'name')]
    for _ in range(words.pick(1, 5, 40, 200)):
        command += [b'0', words.pick(member(words), b'n%d' % words.below(400))]
    return [command] # as it is: no score but this


def bounds(words, kind):
    if kind == 'score':
        return [score_bound(words), score_bound(words)]
    if kind == 'name':
        return [name_bound(words), name_bound(words)]
    return [words.index(), words.index()]


def limit(words):
    return [words.cased(b'LIMIT'), words.pick(b'0', b'0', b'1', b'5', b'-1', words.integer_small()), words.pick(b'-1', b'1', b'3', b'100', b'0', words.integer_small())]


def range_(words):
    kind = words.pick('rank', 'score', 'name')
    command = [b'ZRANGE', key_for(words, kind)] + bounds(words, kind)
    options = {'rank': [], 'score': [[words.cased(b'BYSCORE')]], 'name': [[words.cased(b'BYLEX')]]}[kind]
    if words.chance(0.4):
        options.append([words.cased(b'REV')])
    if words.chance(0.4 if kind != 'rank' else 0.05):
        options.append(limit(words))
    if words.chance(0.4 if kind != 'name' else 0.05):
        options.append([words.cased(b'WITHSCORES')])
    words.random.shuffle(options)
    return command + [part for option in options for part in option]


def old_range(words):
    name, kind = words.pick((b'ZRANGEBYSCORE', 'score'), (b'ZREVRANGEBYSCORE', 'score'), (b'ZRANGEBYLEX', 'name'), (b'ZREVRANGEBYLEX', 'name'), (b'ZREVRANGE', 'rank'))
    command = [name, key_for(words, kind)] + bounds(words, kind)
    if words.chance(0.35) and kind != 'name':
        command.append(words.cased(b'WITHSCORES'))
    if words.chance(0.35):
        command += limit(words)
    return command


def range_store(words):
    command = range_(words)
    return [b'ZRANGESTORE', words.key()] + [part for part in command[1:] if part.upper() != b'WITHSCORES' or words.chance(0.05)]


def operation(words):
    name = words.pick(b'ZUNION', b'ZINTER', b'ZDIFF', b'ZUNIONSTORE', b'ZINTERSTORE', b'ZDIFFSTORE', b'ZINTERCARD')
    keys = words.keys()
    command = [name] + ([words.key()] if name.endswith(b'STORE') else []) + [b'%d' % len(keys) if words.chance(0.93) else words.integer_small()] + keys
    if words.chance(0.3 if b'DIFF' not in name else 0.03):
        command += [words.cased(b'WEIGHTS')] + [words.pick(b'1', b'2', b'-1', b'0.5', b'inf', b'0', words.float()) for _ in keys]
    if words.chance(0.3 if b'DIFF' not in name else 0.03):
        command += [words.cased(b'AGGREGATE'), words.cased(words.pick(b'SUM', b'MIN', b'MAX', b'SUM', b'MIN', b'MAX', b'AVG'))]
    if words.chance(0.4):
        command.append(words.cased(b'WITHSCORES'))
    if words.chance(0.3 if name == b'ZINTERCARD' else 0.02):
        command += [words.cased(b'LIMIT'), words.pick(b'0', b'1', b'2', b'100', b'-1', b'abc')]
    return command


def pop(words):
    return [words.pick(b'ZPOPMIN', b'ZPOPMAX'), words.key()] + words.pick([], [], [b'1'], [b'2'], [b'10'], [b'1000'], [b'0'], [b'-1'], [b'x'], [b'1', b'2'])


def several(words):
    keys = words.keys()
    command = [b'ZMPOP', b'%d' % len(keys) if words.chance(0.9) else words.integer_small()] + keys + [words.cased(words.pick(b'MIN', b'MAX', b'MIN', b'MAX', b'foo'))]
    if words.chance(0.5):
        command += [words.cased(b'COUNT'), words.pick(b'1', b'2', b'10', b'100', b'0', b'-1', b'x')]
    return command


def at_once(words):
    """A command that waits, where it needn't: there is a member, or a value of another type."""
    key, timeout = words.key(), words.pick(b'0.1', b'-1', b'x', b'1e400', b'') if words.chance(0.2) else b'0.05'
    keys = words.keys(2) + [key]
    return [[b'ZADD', key, b'%d' % words.below(9), member(words)], words.pick(
        [b'BZPOPMIN'] + keys + [timeout], [b'BZPOPMAX'] + keys + [timeout],
        [b'BZMPOP', timeout, b'%d' % len(keys)] + keys + [words.cased(words.pick(b'MIN', b'MAX'))] + words.pick([], [b'COUNT', words.pick(b'1', b'2', b'0', b'10')]))]


def draw(words):
    key = words.key()
    arguments = [b'ZRANDMEMBER', key]
    if words.chance(0.8):
        arguments.append(words.pick(b'1', b'3', b'-5', b'1000', b'0', b'-1', b'-40', b'x'))
        if words.chance(0.5):
            arguments.append(words.pick(words.cased(b'WITHSCORES'), b'foo'))
    return Action('drawn', [b'ZRANGE', key, b'0', b'-1', b'WITHSCORES', b'|'] + arguments)


def scan(words):
    options = []
    if words.chance(0.4):
        options += [words.cased(b'MATCH'), words.pick(b'm*', b'*', b'm1*', b'nothing', b'm[0-3]')]
    if words.chance(0.5):
        options += [words.cased(b'COUNT'), words.pick(b'1', b'3', b'10', b'1000')]
    return Action('scan_value', [b'ZSCAN', words.key(), b'2'] + options)


COMMANDS = [
    (30, add),
    (2, many),
    (8, lambda words: [b'ZINCRBY', words.key(), score(words) if words.chance(0.95) else words.pick(b'LT', b'nx', b'INCR', b'ch'), member(words)]),
    (10, lambda words: [b'ZREM', words.key()] + members(words, 8)),
    (6, lambda words: [b'ZCARD', words.key()]),
    (8, lambda words: [b'ZSCORE', words.key(), member(words)]),
    (4, lambda words: [b'ZMSCORE', words.key()] + members(words)),
    (8, lambda words: [words.pick(b'ZRANK', b'ZREVRANK'), words.key(), member(words)]),
    (5, lambda words: [b'ZCOUNT', words.key()] + bounds(words, 'score')),
    (4, add_names),
    (3, lambda words: [b'ZREM', key_for(words, 'name')] + members(words, 20)),
    (5, lambda words: [b'ZLEXCOUNT', key_for(words, 'name')] + bounds(words, 'name')),
    (14, range_),
    (10, old_range),
    (5, range_store),
    (2, lambda words: [b'ZREMRANGEBYRANK', words.key()] + bounds(words, 'rank')),
    (2, lambda words: [b'ZREMRANGEBYSCORE', words.key()] + bounds(words, 'score')),
    (2, lambda words: [b'ZREMRANGEBYLEX', key_for(words, 'name')] + bounds(words, 'name')),
    (12, operation),
    (8, pop),
    (6, several),
    (5, at_once),
    (5, draw),
    (5, scan),
    (4, lambda words: [b'OBJECT', b'ENCODING', words.key()]),
]
