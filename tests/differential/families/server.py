"""The server about itself: COMMAND, CONFIG, DEBUG, OBJECT, MEMORY, SLOWLOG, LATENCY, unknown commands."""

from actions import Action

# What Latchkey has; COMMAND is only asked about these and about names that nobody has.
COMMAND_NAMES = [name.encode() for name in (
    'set get getex getdel getset setnx setex psetex append strlen setrange getrange substr incr decr incrby decrby incrbyfloat mget mset '
    'msetnx lcs setbit getbit bitcount bitpos bitop bitfield bitfield_ro del unlink exists type touch keys scan randomkey rename renamenx copy '
    'move expire pexpire expireat pexpireat expiretime pexpiretime ttl pttl persist ping echo hello auth select reset quit client command '
    'dbsize flushdb flushall swapdb time memory object debug slowlog latency config lolwut info shutdown monitor '
    'hset hsetnx hmset hget hmget hdel hlen hstrlen hexists hkeys hvals hgetall hincrby hincrbyfloat hrandfield hscan '
    'lpush rpush lpushx rpushx lpop rpop llen lindex lset lrange ltrim lrem linsert lpos lmove rpoplpush lmpop blpop brpop blmove '
    'brpoplpush blmpop sadd srem smove sismember smismember scard smembers srandmember spop sinter sunion sdiff sinterstore sunionstore '
    'sdiffstore sintercard sscan zadd zincrby zrem zcard zscore zmscore zrank zrevrank zcount zlexcount zrange zrangebyscore '
    'zrevrangebyscore zrangebylex zrevrangebylex zrevrange zrangestore zremrangebyrank zremrangebyscore zremrangebylex zunion zinter zdiff '
    'zunionstore zinterstore zdiffstore zintercard zpopmin zpopmax zmpop bzpopmin bzpopmax bzmpop zrandmember zscan pfadd pfcount pfmerge '
    'pfdebug pfselftest geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro geosearch geosearchstore '
    'sort sort_ro '
    'xadd xlen xrange xrevrange xdel xtrim xread xreadgroup xack xclaim xautoclaim xpending xsetid xinfo xgroup '
    'multi exec discard watch unwatch eval eval_ro evalsha evalsha_ro script fcall fcall_ro function').split()]
SUBCOMMAND_NAMES = [name.encode() for name in (
    'client|id client|getname client|setname client|no-evict client|reply client|info client|list client|kill client|pause client|unpause '
    'client|unblock client|help command|count command|info command|docs command|list command|getkeys command|getkeysandflags command|help '
    'memory|usage memory|doctor memory|stats memory|purge memory|malloc-stats memory|help object|encoding object|refcount object|idletime '
    'object|freq object|help slowlog|get slowlog|len slowlog|reset slowlog|help latency|latest latency|history latency|reset latency|graph '
    'latency|doctor latency|histogram latency|help config|get config|set config|rewrite config|resetstat config|help '
    'client|setinfo client|no-touch xinfo|stream xinfo|groups xinfo|consumers xinfo|help xgroup|create xgroup|setid xgroup|destroy '
    'xgroup|createconsumer xgroup|delconsumer xgroup|help script|load script|exists script|flush script|kill script|debug script|help '
    'function|load function|delete function|flush function|list function|dump function|restore function|stats function|kill function|help').split()]
SAMPLE_ARGUMENTS = [b'a', b'b', b'c', b'1', b'2', b'GET', b'SET', b'u8', b'0', b'AND', b'NX', b'DB', b'ENCODING', b'USAGE', b'']


def some_names(words, most=3):
    return [words.cased(words.one_of(words.pick(COMMAND_NAMES, COMMAND_NAMES, SUBCOMMAND_NAMES))) if words.chance(0.9)
            else words.pick(b'nosuch', b'', b'get|x', b'client|nosuch', b'config', b'client|', b'|') for _ in range(words.between(1, most))]


def command_keys(words):
    inner = words.pick(
        [b'SET', b'a', b'1'], [b'SET', b'a', b'1', b'GET'], [b'SET', b'a', b'1', b'EX', b'5', b'get'], [b'MSET', b'a', b'1', b'b', b'2'], [b'MGET', b'a', b'b', b'c'],
        [b'BITOP', b'AND', b'd', b'a', b'b'], [b'COPY', b'a', b'b', b'REPLACE'], [b'RENAME', b'a', b'b'], [b'LCS', b'a', b'b', b'LEN'],
        [b'BITFIELD', b'a', b'GET', b'u8', b'0'], [b'BITFIELD', b'a', b'SET', b'u8', b'0', b'1'], [b'BITFIELD_RO', b'a', b'GET', b'u8', b'0'], [b'DEL', b'a', b'b'],
        [b'OBJECT', b'ENCODING', b'a'], [b'MEMORY', b'USAGE', b'a'], [b'CLIENT', b'LIST'], [b'nosuch', b'a'], [b'PING'], [b'GET'], [b'SCAN', b'0'],
        [b'ZUNIONSTORE', b'a', b'2', b'b', b'c'], [b'ZINTER', words.pick(b'2', b'3', b'0', b'x'), b'a', b'b'], [b'SINTERCARD', b'2', b'a', b'b'], [b'LMPOP', b'1', b'a', b'LEFT'],
        [b'BLMPOP', b'0', b'2', b'a', b'b', b'LEFT'], [b'BLPOP', b'a', b'b', b'0'], [b'LMOVE', b'a', b'b', b'LEFT', b'LEFT'], [b'SORT', b'a', b'BY', b'b', b'STORE', b'c'],
        [b'SDIFFSTORE', b'a', b'b', b'c'], [b'PFMERGE', b'a', b'b', b'c'], [b'ZRANGESTORE', b'a', b'b', b'0', b'-1'],
        [b'OBJECT', b'HELP'], [b'CLIENT', b'nosuch'], [b'MSET', b'a'], [b'TOUCH'] + [words.key() for _ in range(3)])
    if words.chance(0.4):
        inner = [words.cased(words.one_of(COMMAND_NAMES))] + [words.one_of(SAMPLE_ARGUMENTS) for _ in range(words.below(5))]
    return [b'COMMAND', words.pick(b'GETKEYS', b'GETKEYSANDFLAGS', b'getkeys')] + inner


def command(words):
    draw = words.below(10)
    if draw < 3:
        return [b'COMMAND', words.cased(b'INFO')] + some_names(words)
    if draw < 5:
        return [b'COMMAND', words.cased(b'DOCS')] + some_names(words)
    if draw < 8:
        return command_keys(words)
    return [b'COMMAND'] + words.pick(
        [b'COUNT'], [b'LIST'], [b'LIST', b'FILTERBY', b'PATTERN', words.pick(b'get*', b'*bit*', b'client|*', b'nosuch*', b'', b'GET*', b's?t', b'*|info')],
        [b'LIST', b'FILTERBY', b'ACLCAT', words.pick(b'string', b'bitmap', b'keyspace', b'connection', b'fast', b'nosuch', b'dangerous', b'slow', b'read',
                                                      b'write', b'admin', b'STRING', b'')],
        [b'LIST', b'FILTERBY', b'MODULE', b'nosuch'], [b'LIST', b'FILTERBY', b'foo', b'bar'], [b'LIST', b'FILTERBY'], [b'LIST', b'foo'],
        [b'LIST', b'FILTERBY', b'PATTERN'], [b'foo'], [b'COUNT', b'x'], [b'HELP'], [b'GETKEYS'], [b'LIST', b'filterby', b'aclcat', b'keyspace'])


def config(words):
    return [b'CONFIG'] + words.pick(
        [b'GET', words.pick(b'maxmemory', b'port*x', b'nosuch', b'proto-max-bulk-len', b'databases', b'MAXMEMORY', b'max[m]emory', b'', b'slowlog-max-len',
                            b'maxmemory-policy', b'hz', b'lfu-log-factor', b'save', b'requirepass', b'timeout', b'tcp-keepalive', b'loglevel')],
        [b'GET', b'maxmemory', b'nosuch', b'databases', b'maxmemory'], [b'GET'], [b'SET'], [b'SET', b'maxmemory'], [b'SET', b'nosuch', b'1'],
        [b'SET', b'maxmemory', words.pick(b'abc', b'-1', b'1x', b'')], [b'SET', b'maxmemory', b'0', b'nosuch', b'1'], [b'SET', b'databases', b'8'],
        [b'SET', b'maxmemory', b'0', b'maxmemory', b'0'], [b'SET', b'loglevel', words.pick(b'foo', b'notice')], [b'SET', b'maxmemory-policy', b'foo'],
        [b'SET', b'slowlog-max-len', words.pick(b'128', b'-1', b'abc', b'128 ')], [b'SET', b'timeout', words.pick(b'0', b'-1', b'abc', b'99999999999999999999')],
        [b'SET', b'slowlog-log-slower-than', b'10000', b'slowlog-max-len', b'128'], [b'SET', b'slowlog-max-len', b'128', b'loglevel', b'foo'],
        [b'SET', b'latency-tracking', words.pick(b'yes', b'YES', b'maybe')], [b'SET', b'MAXMEMORY', b'0'], [b'SET', b'lfu-log-factor', b'10'],
        [b'SET', b'hz', words.pick(b'10', b'abc')], [b'SET', b'maxmemory', b'0', b'loglevel'],
        [b'RESETSTAT'], [b'RESETSTAT', b'x'], [b'REWRITE'], [b'REWRITE', b'x'], [b'HELP'], [b'foo'], [b'GET', b'max*policy', b'hz'])


def debug(words):
    return [b'DEBUG'] + words.pick(
        [b'OBJECT', words.key()], [b'OBJECT'], [b'DIGEST'], [b'DIGEST-VALUE'] + words.keys(4), [b'DIGEST-VALUE'], [b'PROTOCOL', protocol_type(words)],
        [b'PROTOCOL', protocol_type(words)], [b'PROTOCOL', protocol_type(words)], [b'PROTOCOL'], [b'PROTOCOL', b'foo'],
        [b'STRINGMATCH-LEN', b'%d' % words.below(200), words.pattern()], [b'STRINGMATCH-LEN', words.pattern()],
        [b'ERROR', words.pick(b'foo', b'ERR x', b'', b'line\r\nend', b'MY code', b'-x')], [b'ERROR'], [b'SET-ACTIVE-EXPIRE', b'1'],
        [b'SET-ACTIVE-EXPIRE'], [b'foo'], [b'foo', b'bar'], [b'SLEEP', b'0'], [b'LOG'])


def protocol_type(words):
    return words.cased(words.pick(b'string', b'integer', b'double', b'null', b'array', b'set', b'map', b'attrib', b'push', b'verbatim', b'true', b'false',
                                  b'bignum'))


def about(words):
    return words.pick(
        [b'TIME'], [b'TIME', b'x'], [b'DBSIZE'], [b'DBSIZE', b'x'], [b'MEMORY', b'USAGE', words.key()], [b'MEMORY', b'USAGE', words.key(), b'SAMPLES', words.count()],
        [b'MEMORY', b'USAGE', words.key(), b'SAMPLES'], [b'MEMORY', b'USAGE', words.key(), b'foo', b'1'], [b'MEMORY', b'USAGE'], [b'MEMORY', b'HELP'],
        [b'MEMORY', b'foo'], [b'MEMORY', b'DOCTOR'], [b'MEMORY', b'STATS'], [b'MEMORY', b'PURGE'], [b'SLOWLOG', b'GET'], [b'SLOWLOG', b'GET', words.pick(b'0', b'10', b'-1', b'-2', b'abc')],
        [b'SLOWLOG', b'LEN'], [b'SLOWLOG', b'RESET'], [b'SLOWLOG', b'HELP'], [b'SLOWLOG', b'foo'], [b'SLOWLOG', b'GET', b'1', b'2'], [b'SLOWLOG', b'LEN', b'x'],
        [b'LATENCY', b'LATEST'], [b'LATENCY', b'HISTORY', b'command'], [b'LATENCY', b'HISTORY'], [b'LATENCY', b'RESET'], [b'LATENCY', b'RESET', b'nosuch'],
        [b'LATENCY', b'GRAPH', b'nosuch'], [b'LATENCY', b'DOCTOR'], [b'LATENCY', b'HELP'], [b'LATENCY', b'foo'], [b'LATENCY', b'HISTOGRAM', words.one_of(COMMAND_NAMES)],
        [b'LATENCY', b'HISTOGRAM', b'nosuch'], [b'LOLWUT'], [b'LOLWUT', b'VERSION', words.pick(b'5', b'6', b'1', b'abc')], [b'INFO'], [b'INFO', b'server'],
        [b'INFO', b'nosuch'], [b'INFO', b'keyspace', b'server'], [b'SHUTDOWN', b'foo'], [b'SHUTDOWN', b'SAVE', b'NOSAVE'], [b'SHUTDOWN', b'ABORT'])


def unknown(words):
    return [words.pick(b'nosuch', b'', b'foo\r\nbar', b'getx', b'\x00', b'x' * 300, b'get|x', b'config|get', b'CLIENT|ID', b'\xff', b'ge', b'set ')] + [
        words.pick(b'a', b'', b'b' * 200, b'line\r\n', b'\x00', b'argument') for _ in range(words.below(8))]


COMMANDS = [
    (12, command),
    (10, config),
    (14, debug),
    (12, about),
    (8, unknown),
]
