"""Bits: single bits, counts and searches by byte and by bit, BITOP, BITFIELD with every type and overflow."""

EDGE_TYPES = [b'u0', b'i0', b'u64', b'i65', b'u63', b'i64', b'u', b'i', b'x8', b'', b'u-1', b'i08', b'U8', b'I8', b'u8 ', b'8']


def field_type(words):
    if words.chance(0.06):
        return words.one_of(EDGE_TYPES)
    return b'u%d' % words.between(1, 63) if words.chance(0.5) else b'i%d' % words.between(1, 64)


def field_offset(words):
    draw = words.random.random()
    if draw < 0.6:
        return b'%d' % words.below(200)
    if draw < 0.9:
        return b'#%d' % words.below(20)
    return words.pick(b'-1', b'#-1', b'#', b'', b'##1', b'abc', b'#abc', b'4294967295', b'4294967296', b'#4294967295', b'9223372036854775807',
                      b'#9223372036854775807', b'1.5', b'#1.5', b'# 1')


def field_value(words):
    draw = words.random.random()
    if draw < 0.5:
        return b'%d' % words.between(-300, 300)
    if draw < 0.8:
        power = words.between(0, 63)
        return b'%d' % (words.pick(1, -1) * (2 ** power + words.between(-1, 1)))
    return words.integer()


def bitfield(words, name=b'BITFIELD'):
    command = [name, words.key()]
    for _ in range(words.between(0 if words.chance(0.05) else 1, 5)):
        draw = words.below(10)
        if draw < 3 or (name == b'BITFIELD_RO' and words.chance(0.9)):
            command += [words.cased(b'GET'), field_type(words), field_offset(words)]
        elif draw < 5:
            command += [words.cased(b'SET'), field_type(words), field_offset(words), field_value(words)]
        elif draw < 8:
            command += [words.cased(b'INCRBY'), field_type(words), field_offset(words), field_value(words)]
        else:
            command += [words.cased(b'OVERFLOW'), words.cased(words.pick(b'WRAP', b'SAT', b'FAIL', b'FAIL', b'SAT', b'foo' if words.chance(0.2) else b'WRAP'))]
    return command


def range_with_unit(words):
    draw = words.below(8)
    if draw == 0:
        return []
    if draw == 1:
        return [words.index()]
    if draw < 4:
        return [words.index(), words.index()]
    if draw < 7:
        return [words.index(), words.index(), words.cased(words.pick(b'BIT', b'BYTE'))]
    return [words.index(), words.index(), words.pick(b'foo', b'', b'BITS', b'BIT')] + ([b'x'] if words.chance(0.3) else [])


def bitop(words):
    name = words.pick(b'AND', b'OR', b'XOR', b'NOT', b'AND', b'OR', b'XOR', b'NOT', b'foo' if words.chance(0.2) else b'AND')
    sources = [words.key()] if name == b'NOT' and words.chance(0.9) else words.keys(5)
    return [b'BITOP', words.cased(name), words.key()] + sources


def count_in_pattern(words):
    """A value whose ends and runs are interesting, then questions about it."""
    key = words.key()
    value = words.pick(b'\x00', b'\xff', b'\x00\xff', b'\xff\x00') * words.between(1, 20) + words.bytes(words.below(4))
    return [[b'SET', key, value], [b'BITCOUNT', key] + range_with_unit(words), [b'BITPOS', key, words.pick(b'0', b'1')] + range_with_unit(words),
            [b'BITPOS', key, words.pick(b'0', b'1')] + range_with_unit(words)]


COMMANDS = [
    (10, lambda words: [b'SETBIT', words.key(), words.bit_offset(), words.pick(b'0', b'1', b'1', b'1') if words.chance(0.95) else words.integer()]),
    (6, lambda words: [b'GETBIT', words.key(), words.bit_offset()]),
    (6, lambda words: [b'BITCOUNT', words.key()] + range_with_unit(words)),
    (8, lambda words: [b'BITPOS', words.key(), words.pick(b'0', b'1') if words.chance(0.95) else words.integer()] + range_with_unit(words)),
    (4, count_in_pattern),
    (7, bitop),
    (12, bitfield),
    (4, lambda words: bitfield(words, b'BITFIELD_RO')),
]
