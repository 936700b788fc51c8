"""Where Redis 7.2, which Latchkey follows, answers otherwise than 7.0.15, which the comparison runs against.

A row is frozen knowledge: what each version says, why, and probes (requests on a connection of their own with the exact bytes that
7.0.15 and Latchkey answer). run.py checks the probes against Latchkey every time, and against redis-server too, so that a row
that no longer tells the truth is noticed. `accepts` says whether two different replies of a random sequence are this row's difference;
a row without it has to be kept out of random sequences (its reason says how). Where the reason is Redis's own, it names the pull request,
or the place in 7.2's source.
"""

import re


class Row:
    def __init__(self, name, old, new, reason, probes, accepts=None):
        self.name, self.old, self.new, self.reason, self.probes, self.accepts = name, old, new, reason, probes, accepts
        self.uses = 0


def _upper(arguments, index):
    return arguments[index].upper() if len(arguments) > index else b''


def _is_client_subcommand(name, replies):
    def accepts(arguments, ours, theirs):
        return (_upper(arguments, 0) == b'CLIENT' and _upper(arguments, 1) == name
                and theirs == ('-', b"ERR unknown subcommand '%b'. Try CLIENT HELP." % arguments[1])
                and any(re.fullmatch(reply, ours[0].encode() + (ours[1] or b''), re.DOTALL) for reply in replies))
    return accepts


def _is_hello_order(arguments, ours, theirs):
    return _upper(arguments, 0) == b'HELLO' and ours[0] == theirs[0] == '-' and len(arguments) > 4


def _shortest(reply):
    """A reply with every number in it in its shortest form."""
    if isinstance(reply[1], tuple):
        return (reply[0], tuple(_shortest(part) for part in reply[1]))
    if reply[0] in '$,' and isinstance(reply[1], bytes) and re.fullmatch(rb'-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?', reply[1]):
        return (reply[0], repr(float(reply[1])))
    return reply


SCRIPTED = (b'EVAL', b'EVALSHA', b'EVAL_RO', b'EVALSHA_RO', b'FCALL', b'FCALL_RO') # replies of any command may come from these


def _is_double(arguments, ours, theirs):
    return (_upper(arguments, 0).startswith((b'Z', b'BZ', b'G')) or _upper(arguments, 0) in SCRIPTED) and _shortest(ours) == _shortest(theirs)


def _with_one_nan(reply):
    if isinstance(reply[1], tuple):
        return (reply[0], tuple(_with_one_nan(part) for part in reply[1]))
    return (reply[0], b'nan') if reply[0] in '$,' and reply[1] == b'-nan' else reply


def _is_nan(arguments, ours, theirs):
    return _upper(arguments, 0) in SCRIPTED and ours == _with_one_nan(theirs)


def as_queued(step):
    """CLIENT INFO of a transaction is compared as CLIENT LIST is: by shape. See its row."""
    return [step[0], b'LIST'] + step[2:] if step[0].upper() == b'CLIENT' and _upper(step, 1) == b'INFO' else step


def _is_of_an_ended_exec(arguments, ours, theirs):
    return (_upper(arguments, 0) == b'SCRIPT' and _upper(arguments, 1) == b'EXISTS' and ours[0] == theirs[0] == '*' and len(ours[1]) == len(theirs[1])
            and all(mine == other or (mine, other) == ((':', 1), (':', 0)) for mine, other in zip(ours[1], theirs[1])))


def _is_second_store(arguments, ours, theirs):
    return (_upper(arguments, 1).startswith(b'GETKEYS') and _upper(arguments, 2).startswith(b'GEORADIUS') and ours[0] == theirs[0] == '*'
            and len(ours[1]) == len(theirs[1]) + 1 and ours[1][:len(theirs[1])] == theirs[1])


def _is_rank_with_score(arguments, ours, theirs):
    if _upper(arguments, 0) == b'COMMAND' and _upper(arguments, 2) in (b'ZRANK', b'ZREVRANK'):
        return len(arguments) > 5 and theirs == ('-', b'ERR Invalid number of arguments specified for command')
    return _upper(arguments, 0) in (b'ZRANK', b'ZREVRANK') and len(arguments) > 3 and theirs[0] == '-' and b'wrong number' in theirs[1]


def _with_long_timeouts(reply):
    """A reply in which no timeout is negative."""
    if isinstance(reply[1], tuple):
        return (reply[0], tuple(_with_long_timeouts(part) for part in reply[1]))
    return (reply[0], re.sub(b'^ERR timeout is negative', b'ERR timeout is out of range', reply[1])) if reply[0] == '-' else reply


def _is_long_timeout(arguments, ours, theirs):
    if _upper(arguments, 0) in SCRIPTED:
        return ours == _with_long_timeouts(theirs)
    return (_upper(arguments, 0)[:1] == b'B' and ours == ('-', b'ERR timeout is out of range') and theirs == ('-', b'ERR timeout is negative'))


LOWEST_RANK = b'ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807'


def _is_lowest_rank(arguments, ours, theirs):
    return _upper(arguments, 0) == b'LPOS' and b'-9223372036854775808' in arguments and ours == ('-', LOWEST_RANK)


def _is_unbalanced(arguments, ours, theirs):
    return _upper(arguments, 0) in (b'XREAD', b'XREADGROUP') and ours[0] == theirs[0] == '-' and b'Unbalanced' in ours[1] and b'Unbalanced' in theirs[1]


NO_KEY = b'$-1\r\n'
OK = b'+OK\r\n'
SYNTAX = b'-ERR syntax error\r\n'


def _unknown_client(name):
    return b"-ERR unknown subcommand '%b'. Try CLIENT HELP.\r\n" % name


def _loglevels(names):
    return b"-ERR CONFIG SET failed (possibly related to argument 'loglevel') - argument(s) must be one of the following: " + names + b'\r\n'


def _is_loglevel(arguments, ours, theirs):
    return ours[0] == theirs[0] == '-' and ours[1] == theirs[1] + b', nothing' and b"'loglevel'" in ours[1]


UNKNOWN_STRINGMATCH = b"-ERR unknown subcommand or wrong number of arguments for 'STRINGMATCH-LEN'. Try DEBUG HELP.\r\n"


def _is_stringmatch(arguments, ours, theirs):
    return (_upper(arguments, 0) == b'DEBUG' and _upper(arguments, 1) == b'STRINGMATCH-LEN' and ours[0] == ':' and theirs[0] == '-'
            and b'unknown subcommand' in theirs[1])


# Probes: (request as words, what 7.0.15 answers, what Latchkey answers); bytes, or a compiled pattern for the whole reply.
def _eval(script):
    return [b'EVAL', script, b'0']


def _bulk(text):
    return b'$%d\r\n%b\r\n' % (len(text), text)


def _object(length, order):
    """A bulk of JSON: keys of so many bytes and a digit, which is their value, in this order."""
    return _bulk(b'{%b}' % b','.join(b'"%b%c":%c' % (b'k' * length, digit, digit) for digit in order))


ROWS = [
    Row('Scores in their shortest form', 'seventeen digits', 'as many as it takes',
        'redis/redis #10587: doubles are printed by an algorithm that finds the shortest',
        [(b'ZADD doubles 0.1 a', b':1\r\n', b':1\r\n'),
         (b'ZSCORE doubles a', b'$19\r\n0.10000000000000001\r\n', b'$3\r\n0.1\r\n'),
         (b'DEL doubles', b':1\r\n', b':1\r\n')],
        _is_double),
    Row('XREAD of more keys than ids', 'XREAD, $', 'the command and the id that it is about', 'redis/redis #12238',
        [(b'XREAD STREAMS a b 0', b"-ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.\r\n",
          b"-ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.\r\n"),
         (b'XREADGROUP GROUP g c STREAMS a b >', b"-ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.\r\n",
          b"-ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.\r\n")],
        _is_unbalanced),
    Row('A consumer that gets nothing', 'is not made', 'is made',
        'redis/redis #11099: who reads or claims is made, whether it gets something or not; random sequences make it before',
        [(b'XGROUP CREATE reads g 0 MKSTREAM', OK, OK),
         (b'XCLAIM reads g c 0 1-1', b'*0\r\n', b'*0\r\n'),
         (b'XGROUP CREATECONSUMER reads g c', b':1\r\n', b':0\r\n'),
         (b'DEL reads', b':1\r\n', b':1\r\n')]),
    Row('XSETID below what was deleted', 'OK', 'an error',
        'redis/redis #11444: the last id stays above the highest deleted one; random sequences only set ids above all others',
        [(b'XADD setid 1-1 a b', b'$3\r\n1-1\r\n', b'$3\r\n1-1\r\n'),
         (b'XADD setid 5-1 a b', b'$3\r\n5-1\r\n', b'$3\r\n5-1\r\n'),
         (b'XDEL setid 5-1', b':1\r\n', b':1\r\n'),
         (b'XSETID setid 3-0', OK, b'-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id\r\n'),
         (b'DEL setid', b':1\r\n', b':1\r\n')]),
    Row('ZRANK and ZREVRANK WITHSCORE', 'wrong number of arguments', 'rank and score, or what is wrong',
        'redis/redis #11235',
        [(b'ZADD ranks 2 a', b':1\r\n', b':1\r\n'),
         (b'ZRANK ranks a WITHSCORE', b"-ERR wrong number of arguments for 'zrank' command\r\n", b'*2\r\n:0\r\n$1\r\n2\r\n'),
         (b'ZREVRANK ranks b WITHSCORE', b"-ERR wrong number of arguments for 'zrevrank' command\r\n", b'*-1\r\n'),
         (b'DEL ranks', b':1\r\n', b':1\r\n')],
        _is_rank_with_score),
    Row('Timeouts that are too long for 64 bits', 'their overflow is negative', 'out of range', 'redis/redis #11338',
        [(b'BLPOP nokey 1e400', b'-ERR timeout is negative\r\n', b'-ERR timeout is out of range\r\n'),
         (b'BLPOP nokey 9.3e15', b'-ERR timeout is negative\r\n', b'-ERR timeout is out of range\r\n'),
         (b'BLPOP nokey -1', b'-ERR timeout is negative\r\n', b'-ERR timeout is negative\r\n')],
        _is_long_timeout),
    Row('LPOS RANK of the lowest number', 'its negation, itself, is taken for 1', 'out of range',
        'redis/redis #12167',
        [(b'RPUSH ranks x', b':1\r\n', b':1\r\n'),
         (b'LPOS ranks x RANK -9223372036854775808', b':0\r\n', b'-' + LOWEST_RANK + b'\r\n'),
         (b'LPOS ranks x RANK -9223372036854775807', NO_KEY, NO_KEY),
         (b'DEL ranks', b':1\r\n', b':1\r\n')],
        _is_lowest_rank),
    Row('CLIENT NO-TOUCH', 'unknown subcommand', 'OK, or a syntax error', 'redis/redis #11483',
        [(b'CLIENT NO-TOUCH on', _unknown_client(b'NO-TOUCH'), OK),
         (b'CLIENT NO-TOUCH OFF', _unknown_client(b'NO-TOUCH'), OK),
         (b'CLIENT NO-TOUCH foo', _unknown_client(b'NO-TOUCH'), SYNTAX),
         (b'CLIENT NO-TOUCH', _unknown_client(b'NO-TOUCH'), b"-ERR wrong number of arguments for 'client|no-touch' command\r\n")],
        _is_client_subcommand(b'NO-TOUCH', [rb'\+OK', rb'-ERR syntax error', rb"-ERR wrong number of arguments for 'client\|no-touch' command"])),
    Row('CLIENT SETINFO', 'unknown subcommand', 'OK, or what is wrong with it', 'redis/redis #11758',
        [(b'CLIENT SETINFO LIB-NAME probe', _unknown_client(b'SETINFO'), OK),
         (b'CLIENT SETINFO lib-ver 1.2.3', _unknown_client(b'SETINFO'), OK),
         (b'CLIENT INFO', re.compile(rb'\$[0-9]+\r\nid=.* resp=2\n\r\n', re.DOTALL), re.compile(rb'\$[0-9]+\r\nid=.* resp=2 lib-name=probe lib-ver=1\.2\.3\n\r\n', re.DOTALL)),
         (b'CLIENT SETINFO foo bar', _unknown_client(b'SETINFO'), b"-ERR Unrecognized option 'foo'\r\n"),
         ([b'CLIENT', b'SETINFO', b'LIB-NAME', b'two words'], _unknown_client(b'SETINFO'), b'-ERR LIB-NAME cannot contain spaces, newlines or special characters.\r\n'),
         ([b'CLIENT', b'SETINFO', b'lib-ver', b'a\nb'], _unknown_client(b'SETINFO'), b'-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n'),
         ([b'CLIENT', b'SETINFO', b'LIB-NAME', b''], _unknown_client(b'SETINFO'), OK),
         (b'CLIENT INFO', re.compile(rb'\$[0-9]+\r\nid=.* resp=2\n\r\n', re.DOTALL), re.compile(rb'\$[0-9]+\r\nid=.* resp=2 lib-name= lib-ver=1\.2\.3\n\r\n', re.DOTALL)),
         (b'CLIENT SETINFO', _unknown_client(b'SETINFO'), b"-ERR wrong number of arguments for 'client|setinfo' command\r\n")],
        _is_client_subcommand(b'SETINFO', [rb'\+OK', rb"-ERR Unrecognized option '.*'", rb'-ERR .* cannot contain spaces, newlines or special characters\.',
                                           rb"-ERR wrong number of arguments for 'client\|setinfo' command"])),
    Row('CLIENT LIST and INFO: lib-name, lib-ver', 'no such fields', 'behind resp, empty at first', 'redis/redis #11758; exemptions.client_shape knows them',
        [(b'CLIENT INFO', re.compile(rb'\$[0-9]+\r\nid=.* redir=-1 resp=2\n\r\n', re.DOTALL), re.compile(rb'\$[0-9]+\r\nid=.* redir=-1 resp=2 lib-name= lib-ver=\n\r\n', re.DOTALL)),
         (b'CLIENT LIST', re.compile(rb'\$[0-9]+\r\n(id=[^\n]* redir=-1 resp=[23]\n)+\r\n'),
          re.compile(rb'\$[0-9]+\r\n(id=[^\n]* redir=-1 resp=[23] lib-name=[^ \n]* lib-ver=[^ \n]*\n)+\r\n'))]),
    Row('HELLO reads all its options before it acts on one', 'SETNAME and AUTH take effect where they stand, even if a later option is wrong',
        'nothing takes effect unless all is right; a syntax error is told before a wrong password',
        'redis/redis #11659: HELLO is all or nothing. Random sequences give HELLO at most one wrong thing, and no name with it',
        [(b'HELLO 2 SETNAME early foo', b"-ERR Syntax error in HELLO option 'foo'\r\n", b"-ERR Syntax error in HELLO option 'foo'\r\n"),
         (b'CLIENT GETNAME', b'$5\r\nearly\r\n', NO_KEY),
         (b'HELLO 2 AUTH nobody wrong foo', b'-WRONGPASS invalid username-password pair or user is disabled.\r\n', b"-ERR Syntax error in HELLO option 'foo'\r\n"),
         (b'HELLO 2 SETNAME late AUTH nobody wrong', b'-WRONGPASS invalid username-password pair or user is disabled.\r\n',
          b'-WRONGPASS invalid username-password pair or user is disabled.\r\n'),
         (b'CLIENT GETNAME', b'$4\r\nlate\r\n', NO_KEY)],
        _is_hello_order),
    Row('HELLO without authentication', "the advice leaves the version out", 'the advice has it', "helloCommand in src/networking.c of redis/redis 7.2; the action password leaves those words out",
        []),
    Row('RESET and CLIENT NO-EVICT, NO-TOUCH', 'NO-EVICT outlives a RESET', 'both are ended', 'redis/redis #11483',
        [(b'CLIENT NO-EVICT on', OK, OK),
         (b'CLIENT INFO', re.compile(rb'\$[0-9]+\r\nid=.* flags=e .*\r\n', re.DOTALL), re.compile(rb'\$[0-9]+\r\nid=.* flags=e .*\r\n', re.DOTALL)),
         (b'CLIENT NO-TOUCH on', _unknown_client(b'NO-TOUCH'), OK),
         (b'CLIENT INFO', re.compile(rb'\$[0-9]+\r\nid=.* flags=e .*\r\n', re.DOTALL), re.compile(rb'\$[0-9]+\r\nid=.* flags=eT .*\r\n', re.DOTALL)),
         (b'RESET', b'+RESET\r\n', b'+RESET\r\n'),
         (b'CLIENT INFO', re.compile(rb'\$[0-9]+\r\nid=.* flags=e .*\r\n', re.DOTALL), re.compile(rb'\$[0-9]+\r\nid=.* flags=N .*\r\n', re.DOTALL))]),
    Row("CONFIG SET loglevel: 'nothing'", 'no such level', 'a level of its own', 'redis/redis #12133',
        [(b'CONFIG SET loglevel foo', _loglevels(b'debug, verbose, notice, warning'), _loglevels(b'debug, verbose, notice, warning, nothing'))],
        _is_loglevel),
    Row('DEBUG STRINGMATCH-LEN', 'unknown subcommand', '1 or 0', 'debugCommand in src/debug.c of redis/redis 7.2',
        [(b'DEBUG STRINGMATCH-LEN 34 *1*', UNKNOWN_STRINGMATCH, b':0\r\n'), (b'DEBUG STRINGMATCH-LEN a* abc', UNKNOWN_STRINGMATCH, b':1\r\n')],
        _is_stringmatch),
    Row('Numbers given to redis.call', 'seventeen digits, and -0', 'as many digits as it takes, and 0',
        "redis/redis #11884; since 7.2.5 (#13115) whole numbers within 2^62 are written as integers. Random scripts give numbers that both write alike",
        [(_eval(b"return redis.call('echo',0.1)"), _bulk(b'0.10000000000000001'), _bulk(b'0.1')),
         (_eval(b"return redis.call('echo',-0)"), _bulk(b'-0'), _bulk(b'0')),
         (_eval(b"return redis.call('echo',1e17)"), _bulk(b'1e+17'), _bulk(b'100000000000000000')),
         (_eval(b"return redis.call('echo',3e-5)"), _bulk(b'3.0000000000000001e-05'), _bulk(b'0.00003'))]),
    Row('A script returns no number', 'nan or -nan, as the machine has it', 'nan', "redis/redis #11597, in 7.2's release notes",
        [(_eval(b'return {double=0/0}'), _bulk(b'-nan'), _bulk(b'nan'))], _is_nan),
    Row('TIME in a script', 'goes on', 'stands still', "redis/redis #10300, in 7.2's release notes: scripts and transactions see one time. Random scripts don't ask for it",
        [(_eval(b"local a=redis.call('time') for i=1,1e6 do end local b=redis.call('time') return a[1]==b[1] and a[2]==b[2]"), NO_KEY, b':1\r\n')]),
    Row("Scripts: 'server'", 'no such global variable', "redis by another name", "Valkey's, and neither Redis's",
        [(_eval(b"return server.call('ping')"),
          b"-ERR user_script:1: Script attempted to access nonexistent global variable 'server' script: d2465b732b78966d467df86a45fafcea979eee51, on @user_script:1.\r\n",
          b'+PONG\r\n')]),
    Row('Order of a table with keys of 32 bytes and more', "Redis's Lua hashes each of their bytes", "Lua's own hashes some",
        'neither Lua nor Redis promises an order. Random tables have shorter keys',
        [(_eval(b"local t={} for i=1,4 do t[('k'):rep(40)..i]=i end return cjson.encode(t)"), _object(40, b'4132'), _object(40, b'4213')),
         (_eval(b"local t={} for i=1,4 do t[('k'):rep(30)..i]=i end return cjson.encode(t)"), _object(30, b'2143'), _object(30, b'2143'))]),
    Row('math.random without a seed', 'every server begins with the same number', "a worker's numbers are its own", 'Random scripts seed it first',
        [(_eval(b'math.randomseed(3) return math.random(1000)'), b':784\r\n', b':784\r\n')]),
    Row('Scripts that came by EVAL', 'are kept for ever', 'the last 500 are kept', 'as Redis has it since 7.4: EVAL of texts that are all different has to end somewhere', []),
    Row('EVAL in a transaction that a watched key ends', 'its script is not kept', 'it is', 'what is queued is compiled before EXEC has its shards, and looks at what it watches',
        [(b'WATCH k', OK, OK), (b'SET k 1', OK, OK), (b'MULTI', OK, OK), (_eval(b'return 5'), b'+QUEUED\r\n', b'+QUEUED\r\n'), (b'EXEC', b'*-1\r\n', b'*-1\r\n'),
         (b'SCRIPT EXISTS 4ca238f611c9d0ae4e9a75a5dbac22aedc379801', b'*1\r\n:0\r\n', b'*1\r\n:1\r\n'), (b'SCRIPT FLUSH', OK, OK)], _is_of_an_ended_exec),
    Row('CLIENT INFO in a transaction', 'the connection where it stands', 'as it is behind the last command',
        'it asks the system about the socket, which nobody does who holds shards',
        [(b'MULTI', OK, OK), (b'CLIENT INFO', b'+QUEUED\r\n', b'+QUEUED\r\n'), (b'SELECT 1', b'+QUEUED\r\n', b'+QUEUED\r\n'),
         (b'EXEC', re.compile(rb'\*2\r\n\$[0-9]+\r\nid=.* db=0 .*\r\n\+OK\r\n', re.DOTALL), re.compile(rb'\*2\r\n\$[0-9]+\r\nid=.* db=1 .*\r\n\+OK\r\n', re.DOTALL)),
         (b'SELECT 0', OK, OK)]),
    Row('COMMAND GETKEYS of GEORADIUS with STORE twice', 'the first', 'both', 'Redis writes to the last; who takes locks by its keys has to know that one',
        [(b'COMMAND GETKEYS GEORADIUS k 1 1 1 m STORE a STORE b', b'*2\r\n$1\r\nk\r\n$1\r\na\r\n', b'*3\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\nb\r\n')], _is_second_store),
    Row('FUNCTION DUMP', 'RDB version 10', 'RDB version 11', "RDB_VERSION in src/rdb.h of redis/redis 7.2; the action functions_carried takes payloads back to where they came from",
        [(b'FUNCTION FLUSH', OK, OK),
         (b'FUNCTION DUMP', b'$10\r\n\x0a\x00\x5d\x9b\x5c\x40\x0f\x7f\xa2\xda\r\n', b'$10\r\n\x0b\x00\x34\x44\xe1\x33\xf2\xe0KS\r\n')]),
]


def accepts(arguments, ours, theirs):
    """Whether the two replies differ as a row says."""
    for row in ROWS:
        if row.accepts and row.accepts(arguments, ours, theirs):
            row.uses += 1
            return True
    return False


# COMMAND INFO and COMMAND DOCS, compared field by field.

# (command, field) -> what changed. Fields of INFO: arity flags first last step categories tips keys. Of DOCS: their names.
CHANGED_FIELDS = {
    ('quit', 'doc_flags'): 'redis/redis #11439: QUIT is deprecated',
    ('quit', 'deprecated_since'): 'redis/redis #11439: QUIT is deprecated',
    ('quit', 'replaced_by'): 'redis/redis #11439: QUIT is deprecated',
    ('zrank', 'arity'): 'redis/redis #11235: WITHSCORE',
    ('zrank', 'arguments'): 'redis/redis #11235: WITHSCORE',
    ('zrevrank', 'arity'): 'redis/redis #11235: WITHSCORE',
    ('zrevrank', 'arguments'): 'redis/redis #11235: WITHSCORE',
    ('geohash', 'arguments'): '7.0 does not say that the members may be left out',
    ('geopos', 'arguments'): '7.0 does not say that the members may be left out',
    ('flushall', 'arguments'): "7.0 calls the kind of flush async",
    ('flushdb', 'arguments'): "7.0 calls the kind of flush async",
    ('script|flush', 'arguments'): "7.0 calls the kind of flush async",
    ('function|flush', 'arguments'): "7.0 calls the kind of flush async",
    ('pfmerge', 'arguments'): '7.0 does not say that the sources may be left out',
}
# Subcommands that 7.0.15 does not list.
NEW_SUBCOMMANDS = {b'client|setinfo', b'client|no-touch'}
INFO_FIELDS = ('name', 'arity', 'flags', 'first', 'last', 'step', 'categories', 'tips', 'keys', 'subcommands')
# Words of COMMAND DOCS that are sentences (each implementation has its own) or that 7.0.15 does not have.
_SENTENCES = (b'summary', b'history', b'notes', b'complexity')
_NEW_WORDS = (b'display_text',)


def _without(reply, words):
    """The tree without the pairs of these names; maps and flattened maps alike."""
    if not isinstance(reply, tuple) or len(reply) < 2 or not isinstance(reply[1], tuple):
        return reply
    items = reply[1]
    if len(items) % 2 == 0 and items and all(item[0] in '$+' for item in items[::2]):
        kept = []
        for name, value in zip(items[::2], items[1::2]):
            if name[1] not in words:
                kept += [name, _without(value, words)]
        return (reply[0], tuple(kept))
    return (reply[0], tuple(_without(item, words) for item in items))


def _with_any_notes(reply):
    """The tree, where a note is a note."""
    if not isinstance(reply, tuple) or len(reply) < 2 or not isinstance(reply[1], tuple):
        return reply
    items = [_with_any_notes(item) for item in reply[1]]
    return (reply[0], tuple(('$', b'') if place > 0 and items[place - 1] == ('$', b'notes') else item for place, item in enumerate(items)))


def _ordered(reply):
    return sorted(reply[1]) if isinstance(reply[1], tuple) else reply[1]


def _info_problems(ours, theirs):
    """Names of the fields in which two entries of COMMAND INFO differ."""
    if ours == theirs:
        return []
    if ours[0] != theirs[0] or not isinstance(ours[1], tuple) or not isinstance(theirs[1], tuple) or len(ours[1]) != len(theirs[1]) or len(ours[1]) != 10:
        return ['form']
    name = theirs[1][0][1].decode('latin-1')
    problems = []
    for field, mine, other in zip(INFO_FIELDS, ours[1], theirs[1]):
        if mine == other or (name, field) in CHANGED_FIELDS:
            continue
        if field in ('flags', 'categories', 'tips') and mine[0] == other[0] and _ordered(mine) == _ordered(other):
            continue
        if field == 'keys' and _with_any_notes(mine) == _with_any_notes(other):
            continue
        if field == 'subcommands' and mine[0] == other[0]:
            mine_by_name = {entry[1][0][1]: entry for entry in mine[1]}
            other_by_name = {entry[1][0][1]: entry for entry in other[1]}
            from families.server import SUBCOMMAND_NAMES
            for key in sorted((set(mine_by_name) | set(other_by_name)) & set(SUBCOMMAND_NAMES) - NEW_SUBCOMMANDS):
                if key not in mine_by_name or key not in other_by_name:
                    problems.append('subcommands: %s' % key.decode())
                else:
                    problems += ['%s: %s' % (key.decode(), problem) for problem in _info_problems(mine_by_name[key], other_by_name[key])]
            continue
        problems.append(field)
    return problems


def _command_names():
    from families.server import COMMAND_NAMES
    return COMMAND_NAMES


def same_info(arguments, ours, theirs):
    if ours[0] != theirs[0] or not isinstance(ours[1], tuple):
        return False
    if len(arguments) < 3: # the whole table: what both have, and ours has to have all that we know of
        left, right = ({entry[1][0][1]: entry for entry in reply[1]} for reply in (ours, theirs))
        return set(_command_names()) <= set(left) and not any(_info_problems(left[name], right[name]) for name in set(left) & set(right))
    if len(ours[1]) != len(theirs[1]):
        return False
    for name, mine, other in zip(arguments[2:], ours[1], theirs[1]):
        if name.lower() in NEW_SUBCOMMANDS and mine[0] == '*' and mine[1] and other[1] is None:
            continue
        if _info_problems(mine, other):
            return False
    return True


def _docs_by_name(reply):
    return dict(zip((name[1] for name in reply[1][::2]), reply[1][1::2]))


def _docs_problems(name, mine, other):
    if mine == other:
        return []
    if mine[0] != other[0]:
        return ['form']
    left, right = _docs_by_name(mine), _docs_by_name(other)
    problems = []
    for field in sorted(set(left) | set(right)):
        if field in _SENTENCES or (name.decode('latin-1'), field.decode('latin-1')) in CHANGED_FIELDS:
            continue
        if field not in left or field not in right:
            problems.append('%s: only one side has it' % field.decode())
        elif field == b'subcommands':
            subs_left, subs_right = _docs_by_name(left[field]), _docs_by_name(right[field])
            from families.server import SUBCOMMAND_NAMES
            for key in sorted((set(subs_left) | set(subs_right)) & set(SUBCOMMAND_NAMES) - NEW_SUBCOMMANDS):
                if key not in subs_left or key not in subs_right:
                    problems.append('subcommands: %s: only one side has it' % key.decode())
                else:
                    problems += ['%s: %s' % (key.decode(), problem) for problem in _docs_problems(key, subs_left[key], subs_right[key])]
        elif _without(left[field], _SENTENCES + _NEW_WORDS) != _without(right[field], _SENTENCES + _NEW_WORDS):
            problems.append(field.decode())
    return problems


def same_docs(arguments, ours, theirs):
    if ours[0] != theirs[0] or not isinstance(ours[1], tuple):
        return False
    left, right = _docs_by_name(ours), _docs_by_name(theirs)
    if len(arguments) < 3:
        return set(_command_names()) <= set(left) and not any(_docs_problems(name, left[name], right[name]) for name in set(left) & set(right))
    if set(left) - NEW_SUBCOMMANDS != set(right):
        return False
    return not any(_docs_problems(name, left[name], right[name]) for name in right)


def why_tables_differ(arguments, ours, theirs):
    """For people: which fields of COMMAND INFO or DOCS differ."""
    if ours[0] != theirs[0] or not isinstance(ours[1], tuple) or not isinstance(theirs[1], tuple):
        return []
    if _upper(arguments, 1) == b'INFO':
        return ['%s: %s' % (name.decode('latin-1'), problem) for name, mine, other in zip(arguments[2:], ours[1], theirs[1])
                for problem in _info_problems(mine, other)]
    if _upper(arguments, 1) == b'DOCS':
        left, right = _docs_by_name(ours), _docs_by_name(theirs)
        found = ['%s: only one side has it' % name.decode('latin-1') for name in set(left) ^ set(right)]
        return found + ['%s: %s' % (name.decode('latin-1'), problem) for name in set(left) & set(right)
                        for problem in _docs_problems(name, left[name], right[name])]
    return []
