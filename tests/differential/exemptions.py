"""Exemptions: replies that are compared by shape because they tell of time, chance, memory, or of the process itself.

A row is (command words, function, reason). The function gets the arguments and both replies (ours, Redis's) and says whether they
are alike. It is asked only if the replies differ; an error on one side always has to be an error, word for word, on the other.
"""

import re

from differences import same_docs, same_info

SECONDS = 3


def same_kind(arguments, ours, theirs):
    """The type alone."""
    return ours[0] == theirs[0] and (ours[1] is None) == (theirs[1] is None)


def positive_numbers(arguments, ours, theirs):
    return ours[0] == theirs[0] == ':' and ours[1] > 0 and theirs[1] > 0


def natural_numbers(arguments, ours, theirs):
    return ours[0] == theirs[0] == ':' and ours[1] >= 0 and theirs[1] >= 0


def near(limit):
    def compare(arguments, ours, theirs):
        return ours[0] == theirs[0] == ':' and ours[1] >= 0 and theirs[1] >= 0 and abs(ours[1] - theirs[1]) <= limit
    return compare


def idle_shape(arguments, ours, theirs):
    # A small integer is shared among its holders, and has been idle for as long as Redis runs.
    return ours[0] == theirs[0] == ':' and 0 <= ours[1] <= theirs[1] + 30


def same_members(arguments, ours, theirs):
    return ours[0] == theirs[0] and isinstance(ours[1], tuple) and sorted(ours[1]) == sorted(theirs[1])


def same_map(arguments, ours, theirs):
    """Pairs in any order, with the same values."""
    def pairs(reply):
        return sorted(zip(reply[1][::2], reply[1][1::2]))
    return ours[0] == theirs[0] and isinstance(ours[1], tuple) and pairs(ours) == pairs(theirs)


def same_libraries(arguments, ours, theirs):
    """Libraries, their functions and flags in any order."""
    from actions import in_order
    return in_order(ours) == in_order(theirs)


def _is_scan(reply):
    return (reply[0] == '*' and len(reply[1]) == 2 and reply[1][0][0] == '$' and re.fullmatch(b'[0-9]{1,20}', reply[1][0][1]) is not None
            and reply[1][1][0] == '*' and all(key[0] == '$' for key in reply[1][1][1]))


def scan_shape(arguments, ours, theirs):
    return _is_scan(ours) and _is_scan(theirs)


def help_shape(arguments, ours, theirs):
    return ours[0] == theirs[0] == '*' and len(ours[1]) > 2 and all(line[0] == '+' for line in ours[1])


def hello_shape(arguments, ours, theirs):
    def masked(reply):
        pairs = list(zip(reply[1][::2], reply[1][1::2]))
        return [(name, (value[0], None) if name[1] in (b'version', b'id') else value) for name, value in pairs]
    return ours[0] == theirs[0] and isinstance(ours[1], tuple) and masked(ours) == masked(theirs)


def same_encoding(arguments, ours, theirs):
    return is_newer_encoding(ours, theirs)


def is_newer_encoding(ours, theirs):
    # 7.2 makes room for all arguments of an SADD, equal ones too, and so may begin with a larger form.
    if theirs == ('$', b'intset'):
        return ours in (('$', b'listpack'), ('$', b'hashtable'))
    # Redis's SORT makes a large one of a sorted set, for its own convenience.
    return ours == ('$', b'listpack') and theirs in (('$', b'quicklist'), ('$', b'hashtable'), ('$', b'skiplist'))


SAME_CLIENT_FIELDS = {'db', 'name', 'resp', 'user', 'cmd', 'sub', 'psub', 'ssub', 'multi', 'flags', 'redir'}


def _clients(reply):
    text = reply[1].decode('latin-1')
    if reply[0] == '=':
        text = text[len('txt:'):]
    return [dict(field.split('=', 1) for field in line.split(' ')) for line in text.split('\n') if line]


def client_shape(arguments, ours, theirs):
    """The fields of Redis 7.0 in their order, lib-name and lib-ver behind them; one's own line also with the same state."""
    if ours[0] != theirs[0] or not isinstance(ours[1], bytes):
        return False
    try:
        mine, others = _clients(ours), _clients(theirs)
    except ValueError:
        return False
    if bool(mine) != bool(others):
        return False
    for line in mine:
        if [field for field in line if field not in ('lib-name', 'lib-ver')] != list(others[0]):
            return False
        if not re.fullmatch(r'127\.0\.0\.1:[0-9]+', line['addr']) or not line['id'].isdigit() or not line['age'].isdigit():
            return False
    if arguments[1].upper() == b'INFO':
        for line in (mine[0], others[0]): # in 7.2 NO-TOUCH shows, and RESET ends NO-EVICT: differences.py probes both
            line['flags'] = line['flags'].replace('T', '').replace('e', '') or 'N'
        return all(mine[0][field] == others[0][field] for field in SAME_CLIENT_FIELDS)
    return True


def time_shape(arguments, ours, theirs):
    return (ours[0] == theirs[0] == '*' and len(ours[1]) == 2 and all(part[0] == '$' and part[1].isdigit() for part in ours[1])
            and abs(int(ours[1][0][1]) - int(theirs[1][0][1])) <= SECONDS and 0 <= int(ours[1][1][1]) < 1000000)


def debug_object_shape(arguments, ours, theirs):
    def masked(reply):
        text = re.sub(rb'(Value at:|refcount:|serializedlength:|lru:|lru_seconds_idle:)[0-9a-fx]+', rb'\1', reply[1])
        return re.sub(rb' ql_.*', b'', re.sub(rb'encoding:(quicklist|hashtable|listpack)', b'encoding:', text)) # 7.2 packs what 7.0 doesn't
    return ours[0] == theirs[0] == '+' and masked(ours) == masked(theirs)


def _number_near(ours, theirs):
    return ours[0] == theirs[0] == ':' and abs(ours[1] - theirs[1]) <= SECONDS * 1000


def _same_but(places, ours, theirs):
    """Two rows, of which these places hold times."""
    mine, others = ours[1], theirs[1]
    return len(mine) == len(others) and all(_number_near(one, other) if place in places else one == other
                                            for place, (one, other) in enumerate(zip(mine, others)))


def _same_rows(places, ours, theirs):
    return ours[0] == theirs[0] and len(ours[1]) == len(theirs[1]) and all(_same_but(places, one, other) for one, other in zip(ours[1], theirs[1]))


def pending_shape(arguments, ours, theirs):
    """Rows of id, consumer, idle time, deliveries."""
    return _same_rows((2,), ours, theirs)


def _as_map(reply):
    return dict(zip((name[1] for name in reply[1][::2]), reply[1][1::2]))


def _same_fields(ours, theirs, special, new=()):
    """Maps with the same fields, but for those that are special (a function each), and without the new ones."""
    mine, others = _as_map(ours), _as_map(theirs)
    if [name for name in mine if name not in new] != list(others):
        return False
    return all(special.get(name, lambda one, other: one == other)(mine[name], others[name]) for name in others)


def _each(compare):
    return lambda ours, theirs: len(ours[1]) == len(theirs[1]) and all(compare(one, other) for one, other in zip(ours[1], theirs[1]))


def _same_consumer(ours, theirs):
    return _same_fields(ours, theirs, {b'seen-time': _number_near, b'pending': lambda one, other: _same_rows((1,), one, other)}, (b'active-time',))


def _same_group(ours, theirs):
    return _same_fields(ours, theirs, {b'pending': lambda one, other: _same_rows((2,), one, other), b'consumers': _each(_same_consumer)})


def xinfo_stream_shape(arguments, ours, theirs):
    """Times; and what is new in 7.2."""
    special = {b'groups': lambda one, other: one == other or _each(_same_group)(one, other)}
    return _same_fields(ours, theirs, special)


def xinfo_consumers_shape(arguments, ours, theirs):
    return _each(lambda one, other: _same_fields(one, other, {b'idle': _number_near}, (b'inactive',)))(ours, theirs)


def text_shape(arguments, ours, theirs):
    return ours[0] == theirs[0] and ours[0] in '$=+' and bool(ours[1]) == bool(theirs[1])


def command_list_shape(arguments, ours, theirs):
    """Ours is what Redis lists, without the commands that we don't have."""
    from families.server import COMMAND_NAMES, SUBCOMMAND_NAMES
    have = set(COMMAND_NAMES) | set(SUBCOMMAND_NAMES)
    new = {b'client|setinfo', b'client|no-touch'}
    if ours[0] != theirs[0] or not all(name[0] == '$' for name in ours[1]):
        return False
    mine, others = {name[1] for name in ours[1]}, {name[1] for name in theirs[1]}
    if len(mine) != len(ours[1]):
        return False
    return (mine & have) - new == (others & have) - new


EXEMPTIONS = [
    ('CLIENT ID', positive_numbers, 'numbers of connections differ between processes'),
    ('CLIENT INFO', client_shape, 'ports, ages and buffer sizes; lib-name and lib-ver are 7.2'),
    ('CLIENT LIST', client_shape, 'ports, ages and buffer sizes; lib-name and lib-ver are 7.2'),
    ('HELLO', hello_shape, 'version and connection number'),
    ('TTL', near(SECONDS), 'the servers run a moment apart'),
    ('PTTL', near(SECONDS * 1000), 'the servers run a moment apart'),
    ('EXPIRETIME', near(SECONDS), 'the servers run a moment apart'),
    ('PEXPIRETIME', near(SECONDS * 1000), 'the servers run a moment apart'),
    ('OBJECT IDLETIME', idle_shape, 'the servers run a moment apart, clocks of idleness are coarse, and Redis shares small integers'),
    ('OBJECT REFCOUNT', positive_numbers, 'Redis shares small integers among their holders; here nothing but large strings is shared'),
    ('MEMORY USAGE', positive_numbers, 'sizes are those of the allocator and of our own layout'),
    ('MEMORY STATS', same_kind, 'sizes'),
    ('MEMORY DOCTOR', text_shape, 'advice in our own words'),
    ('TIME', time_shape, 'the servers run a moment apart'),
    ('RANDOMKEY', same_kind, 'chance; membership is checked by the action randomkey'),
    ('KEYS', same_members, 'order is that of the hash'),
    ('HKEYS', same_members, 'order is that of the hash'),
    ('HVALS', same_members, 'order is that of the hash'),
    ('HGETALL', same_map, 'order is that of the hash'),
    ('SMEMBERS', same_members, 'order is that of the hash'),
    ('SINTER', same_members, 'order is that of the hash'),
    ('SUNION', same_members, 'order is that of the hash'),
    ('SDIFF', same_members, 'order is that of the hash'),
    ('SPOP', same_members, 'order is that of the hash; what is drawn is checked by the action popped'),
    ('HSCAN', scan_shape, 'cursors and order are those of the hash; whole iterations are compared by the action scan_value'),
    ('ZSCAN', scan_shape, 'cursors and order are those of the hash; whole iterations are compared by the action scan_value'),
    ('SSCAN', scan_shape, 'cursors and order are those of the hash; whole iterations are compared by the action scan_value'),
    ('OBJECT ENCODING', same_encoding, '7.2 packs short lists and sets, which 7.0 does not'),
    ('SCAN', scan_shape, 'cursors and order are those of the hash; whole iterations are compared by the action scan'),
    ('CONFIG GET', same_map, 'order of a map'),
    ('DEBUG OBJECT', debug_object_shape, 'address, lru clock, shared integers, and length in a dump we do not have'),
    ('INFO', text_shape, 'figures of the process'),
    ('LOLWUT', text_shape, 'art and version'),
    ('COMMAND COUNT', positive_numbers, 'we have fewer commands'),
    ('COMMAND LIST', command_list_shape, 'we have fewer commands; order is that of a hash'),
    ('COMMAND', same_info, 'we have fewer commands; order is that of a hash'),
    ('COMMAND INFO', same_info, 'order within sets; changes from 7.0 to 7.2'),
    ('COMMAND DOCS', same_docs, 'sentences are our own; order of the map; changes from 7.0 to 7.2'),
    ('SLOWLOG GET', same_kind, 'durations'),
    ('SLOWLOG LEN', natural_numbers, 'durations'),
    ('LATENCY LATEST', same_kind, 'durations'),
    ('LATENCY HISTORY', same_kind, 'durations'),
    ('LATENCY RESET', natural_numbers, 'durations'),
    ('LATENCY DOCTOR', text_shape, 'advice in our own words'),
    ('LATENCY HISTOGRAM', same_kind, 'durations'),
    ('FUNCTION LIST', same_libraries, 'order is that of a hash'),
    ('XPENDING', pending_shape, 'idle times'),
    ('XINFO STREAM', xinfo_stream_shape, "how it is kept, times, and 7.2's active-time"),
    ('XINFO CONSUMERS', xinfo_consumers_shape, "idle times, and 7.2's inactive"),
    ('* HELP', help_shape, 'sentences are our own'),
]

def _is_taken(reply):
    return re.fullmatch(rb'ERR Function [a-z_0-9]+ already exists', reply[1]) is not None


# The same for two different errors.
ERRORS = [
    ('COMMAND GETKEYS', lambda arguments, ours, theirs: ours[1] == b'ERR Invalid command specified', 'we have fewer commands'),
    ('COMMAND GETKEYSANDFLAGS', lambda arguments, ours, theirs: ours[1] == b'ERR Invalid command specified', 'we have fewer commands'),
    ('FUNCTION LOAD', lambda arguments, ours, theirs: _is_taken(ours) and _is_taken(theirs), 'which of several is named is that of a hash'),
    ('CONFIG SET', lambda arguments, ours, theirs: ours[1].replace(b'allkeys-s3fifo, ', b'') == theirs[1], 'we have a maxmemory-policy more'),
]

_TABLE = {}
for _words, _function, _reason in EXEMPTIONS:
    _TABLE[tuple(word.encode() for word in _words.split())] = _words, _function

uses = {}


def alike(arguments, ours, theirs):
    """Whether two different replies are alike by an exemption."""
    if not arguments:
        return False
    name = arguments[0].upper()
    second = arguments[1].upper() if len(arguments) > 1 else b''
    if ours[0] == '-' or theirs[0] == '-':
        for words, function, _ in ERRORS:
            if ours[0] == theirs[0] and words.encode() == name + b' ' + second and function(arguments, ours, theirs):
                uses[words] = uses.get(words, 0) + 1
                return True
        return False
    row = _TABLE.get((name, second)) or (_TABLE.get((name,)) if name != b'COMMAND' or not second else None) or (_TABLE.get((b'*', b'HELP')) if second == b'HELP' else None)
    try:
        if row is None or not row[1](arguments, ours, theirs):
            return False
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return False # a reply of another form than the row's function expects
    uses[row[0]] = uses.get(row[0], 0) + 1
    return True
