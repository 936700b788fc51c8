"""SORT and SORT_RO, of lists, sets and sorted sets, by themselves and by other keys."""

from words import OWN_KEYS


def fill(words):
    """Sources whose elements other keys tell about."""
    draw = words.below(8)
    elements = [b'%d' % words.below(20) for _ in range(words.between(1, 12))]
    if draw < 2:
        return [b'RPUSH', b'sort:list'] + elements
    if draw < 4:
        return [b'SADD', b'sort:set'] + elements
    if draw < 6:
        return [b'ZADD', b'sort:zset'] + [part for element in elements for part in (b'%d' % words.below(9), element)]
    if draw < 7:
        return [b'SET', b'weight_%d' % words.below(20), words.pick(b'%d' % words.below(100), b'%d.5' % words.below(10), b'x')]
    return [b'HSET', b'object_%d' % words.below(20), b'weight', b'%d' % words.below(100), b'name', b'n%d' % words.below(50)]


def source(words):
    """Sorted sets only with scores of ours: for SORT's sake Redis makes a large one of a small one, which then keeps a -0."""
    return words.pick(b'sort:list', b'sort:list', b'sort:set', b'sort:zset', words.one_of(OWN_KEYS[words.pick('lists', 'sets', 'hashes')]))


def sort(words):
    name = words.pick(b'SORT', b'SORT', b'SORT_RO')
    key = source(words)
    options = []
    by = words.pick(None, None, b'weight_*', b'object_*->weight', b'nosort', b'missing_*', b'constant')
    if by and b'*' not in by and key not in (b'sort:list', b'sort:zset'): # a set has no order of its own to compare
        by = None
    if by:
        options.append([words.cased(b'BY'), by])
    # Ties of texts are in no order, and texts that are no digits in that of the locale.
    if words.chance(0.3) and (by is None or b'*' not in by) and key.startswith(b'sort:'):
        options.append([words.cased(b'ALPHA')])
    if words.chance(0.3):
        options.append([words.cased(words.pick(b'ASC', b'DESC'))])
    if words.chance(0.3):
        options.append([words.cased(b'LIMIT'), words.pick(b'0', b'1', b'3', b'-1', words.integer_small()), words.pick(b'5', b'2', b'-1', b'0', words.integer_small())])
    for _ in range(words.pick(0, 0, 1, 2)):
        options.append([words.cased(b'GET'), words.pick(b'#', b'weight_*', b'object_*->name', b'object_*->', b'none', b'*', b'missing_*->x')])
    if words.chance(0.2):
        options.append([words.cased(b'STORE'), words.pick(b'sort:list', b'sort:stored', words.key())])
    words.random.shuffle(options)
    if words.chance(0.02): # last, or BY would take the next option for a pattern
        options.append([words.pick(b'BY', b'LIMIT', b'GET', b'STORE', b'foo')])
    # Redis takes an errno that an earlier command has left for its own: this one leaves none.
    return [[b'ZADD', b'sort:errno', b'1.5', b'a'], [name, key] + [part for option in options for part in option]]


COMMANDS = [
    (10, fill),
    (20, sort),
    (1, lambda words: [b'LRANGE', b'sort:stored', b'0', b'-1']),
    (1, lambda words: [b'DEL', words.pick(b'sort:list', b'sort:set', b'sort:zset', b'weight_%d' % words.below(20))]),
]
