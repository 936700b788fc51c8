"""Streams: entries with ids of their own (those that the servers make differ), groups, what is pending.

Ids are small, so that they meet; XSETID's are above all of them, since 7.0 lets it go below what was deleted. Times that entries have been idle for
are either none or far more than a run takes."""


def sequence(words):
    return words.pick(b'0', b'1', b'2', b'3', b'%d' % words.below(8))


def identifier(words):
    draw = words.below(40)
    if draw < 30:
        return b'%d-%b' % (words.between(1, 60), sequence(words))
    if draw < 36:
        return b'%d' % words.between(0, 60)
    if draw < 38:
        return words.pick(b'0', b'0-0', b'0-1', b'18446744073709551615-18446744073709551615', b'18446744073709551615')
    return words.pick(b'', b'-', b'+', b'x', b'1-x', b'1-', b'-1', b'1-1-1', b'007-01', b'+5', b' 5', b'5--0', b'99999999999999999999-1', b'5-*', b'*-5', b'1-+1')


def added(words):
    """For XADD: ascending more often than not."""
    draw = words.below(20)
    if draw < 9:
        return b'%d-*' % words.between(1, 60)
    if draw < 19:
        return b'%d-%b' % (words.between(1, 60), sequence(words))
    return identifier(words)


def bound(words):
    draw = words.below(10)
    if draw < 3:
        return words.pick(b'-', b'+')
    return words.pick(b'', b'', b'(') + identifier(words)


def field(words):
    return words.pick(b'a', b'b', b'temperature', b'field', b'7') if words.chance(0.9) else words.value()


def pairs(words):
    if words.chance(0.6):
        return [b'a', b'%d' % words.below(1000), b'b', words.pick(b'x', b'-0', b'', b'007', b'value ' * 12)]
    command = []
    for _ in range(words.pick(1, 1, 2, 3, 30)):
        command += [field(words), words.value()]
    return command


def threshold(words):
    command = []
    if words.chance(0.6):
        command = [words.cased(b'MAXLEN')] + words.pick([], [b'~'], [b'=']) + [words.pick(b'0', b'1', b'3', b'10', b'50', b'1000', b'-1', b'x')]
    else:
        command = [words.cased(b'MINID')] + words.pick([], [b'~'], [b'=']) + [identifier(words)]
    if words.chance(0.15):
        command += [words.cased(b'LIMIT'), words.pick(b'0', b'1', b'100', b'1000', b'-1', b'x')]
    return command


def add(words, key=None):
    command = [b'XADD', key or words.key()]
    if words.chance(0.1):
        command.append(words.cased(b'NOMKSTREAM'))
    if words.chance(0.1):
        command += threshold(words)
        if words.chance(0.05):
            command += threshold(words)
    command += [added(words)] + pairs(words)
    if words.chance(0.03):
        command.pop()
    return command


def many(words):
    """Several nodes."""
    key, ms = words.key(), words.between(1, 60)
    return [[b'XADD', key, b'%d-*' % ms] + pairs(words) for _ in range(words.pick(20, 120, 250))]


def group(words):
    return words.pick(b'g', b'g', b'g', b'h', b'')


def consumer(words):
    return words.pick(b'c1', b'c2', b'c3', b'', b'long consumer name')


def create(words):
    subcommand = words.cased(words.pick(b'CREATE', b'CREATE', b'CREATE', b'SETID'))
    command = [b'XGROUP', subcommand, words.key(), group(words), words.pick(b'0', b'0', b'$', identifier(words))]
    if words.chance(0.3):
        command.append(words.cased(b'MKSTREAM'))
    if words.chance(0.15):
        command += [words.cased(b'ENTRIESREAD'), words.pick(b'0', b'1', b'5', b'-1', b'-2', b'x')]
    return command


def change_group(words):
    draw = words.below(10)
    if draw < 2:
        return [b'XGROUP', b'DESTROY', words.key(), group(words)]
    if draw < 6:
        return [b'XGROUP', b'CREATECONSUMER', words.key(), group(words), consumer(words)]
    if draw < 9:
        return [b'XGROUP', b'DELCONSUMER', words.key(), group(words), consumer(words)]
    return [b'XGROUP', words.pick(b'foo', b'HELP', b'CREATE', b'DESTROY'), words.key()]


def read_options(words):
    command = []
    if words.chance(0.6):
        command += [words.cased(b'COUNT'), words.pick(b'1', b'2', b'5', b'20', b'0', b'-1', b'x')]
    return command


def read(words):
    keys = words.keys(3)
    ids = [words.pick(b'0', b'$', identifier(words), identifier(words)) for _ in keys]
    if words.chance(0.03):
        ids.pop()
    return [b'XREAD'] + read_options(words) + [words.cased(b'STREAMS')] + keys + ids


def known(keys, name, reader):
    """7.0 makes a consumer only when it gets something, 7.2 always: so it is made before."""
    return [[b'XGROUP', b'CREATECONSUMER', key, name, reader] for key in keys]


def read_group(words):
    keys = words.keys(2)
    ids = [words.pick(b'>', b'>', b'>', b'>', b'0', identifier(words)) for _ in keys]
    name, reader = group(words), consumer(words)
    command = [b'XREADGROUP', words.cased(b'GROUP'), name, reader] + read_options(words)
    if words.chance(0.1):
        command.append(words.cased(b'NOACK'))
    return known(keys, name, reader) + [command + [words.cased(b'STREAMS')] + keys + ids]


def acknowledge(words):
    return [b'XACK', words.key(), group(words)] + [identifier(words) for _ in range(words.pick(1, 2, 10))]


def pending(words):
    command = [b'XPENDING', words.key(), group(words)]
    if words.chance(0.7):
        if words.chance(0.2):
            command += [words.cased(b'IDLE'), words.pick(b'0', b'100000', b'-1', b'x')]
        command += [bound(words) if words.chance(0.3) else b'-', bound(words) if words.chance(0.3) else b'+', words.pick(b'10', b'100', b'1', b'0', b'-1', b'x')]
        if words.chance(0.3):
            command.append(consumer(words))
    return command


def idle(words):
    return words.pick(b'0', b'0', b'0', b'100000', b'-1', b'x') if words.chance(0.6) else b'0'


def claim(words):
    key, name, claimer = words.key(), group(words), consumer(words)
    command = [b'XCLAIM', key, name, claimer, idle(words)] + [identifier(words) for _ in range(words.pick(1, 3, 10))]
    for option in ([b'IDLE', words.pick(b'0', b'500000', b'-5', b'x')], [b'TIME', words.pick(b'1000', b'9999999999999', b'x')],
                   [b'RETRYCOUNT', words.pick(b'0', b'7', b'-1', b'x')], [b'FORCE'], [b'JUSTID'], [b'LASTID', identifier(words)]):
        if words.chance(0.12):
            command += [words.cased(option[0])] + option[1:]
    return known([key], name, claimer) + [command]


def claim_all(words):
    key, name, claimer = words.key(), group(words), consumer(words)
    command = [b'XAUTOCLAIM', key, name, claimer, idle(words), words.pick(b'-', b'0', bound(words))]
    if words.chance(0.4):
        command += [words.cased(b'COUNT'), words.pick(b'1', b'2', b'10', b'0', b'x')]
    if words.chance(0.3):
        command.append(words.cased(b'JUSTID'))
    return known([key], name, claimer) + [command]


def inform(words):
    draw = words.below(10)
    if draw < 3:
        return [b'XINFO', b'STREAM', words.key()]
    if draw < 5:
        return [b'XINFO', b'STREAM', words.key(), words.cased(b'FULL')] + words.pick([], [b'COUNT', b'0'], [b'COUNT', b'3'], [b'COUNT', b'-1'], [b'COUNT'], [b'COUNT', b'x'])
    if draw < 8:
        return [b'XINFO', b'GROUPS', words.key()]
    return [b'XINFO', b'CONSUMERS', words.key(), group(words)]


def set_id(words):
    command = [b'XSETID', words.key(), b'%d-%d' % (words.between(100, 120), words.below(5))]
    if words.chance(0.3):
        command += [words.cased(b'ENTRIESADDED'), words.pick(b'0', b'10', b'100', b'1000', b'-1', b'x')]
    if words.chance(0.3):
        command += [words.cased(b'MAXDELETEDID'), b'%d-%d' % (words.below(99), words.below(5))]
    return command


def list_range(words):
    command = [words.pick(b'XRANGE', b'XREVRANGE'), words.key(), bound(words), bound(words)]
    if words.chance(0.4):
        command += [words.cased(b'COUNT'), words.pick(b'1', b'5', b'100', b'0', b'-1', b'x')]
    return command


COMMANDS = [
    (40, add),
    (2, many),
    (4, lambda words: [b'XLEN', words.key()]),
    (12, list_range),
    (8, lambda words: [b'XDEL', words.key()] + [identifier(words) for _ in range(words.pick(1, 3, 20))]),
    (4, lambda words: [b'XTRIM', words.key()] + threshold(words)),
    (1, set_id),
    (8, read),
    (16, create),
    (6, change_group),
    (20, read_group),
    (8, acknowledge),
    (8, pending),
    (8, claim),
    (6, claim_all),
    (10, inform),
    (3, lambda words: [b'DEL', words.key()]),
    (2, lambda words: [b'COPY', words.key(), words.key(), b'REPLACE']),
]
