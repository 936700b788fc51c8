/* What happened to a key, or is told of it without having changed it. The names are those of Redis's
 * keyspace notifications (https://redis.io/docs/latest/develop/use/keyspace-notifications/), where it has
 * one. */
#ifndef SHARD_STORE_EVENT_H
#define SHARD_STORE_EVENT_H

enum event {
    EVENT_SET, /* the whole value was replaced */
    EVENT_SETRANGE,
    EVENT_APPEND,
    EVENT_INCRBY,
    EVENT_INCRBYFLOAT,
    EVENT_SETBIT,
    EVENT_ENCODING,    /* the same value is kept otherwise; Redis tells nobody */
    EVENT_EXPIRE,      /* got a time to live, or another one */
    EVENT_PERSIST,     /* lost it */
    EVENT_DEL,         /* removed by a command */
    EVENT_EXPIRED,     /* removed because its time was up */
    EVENT_EVICTED,     /* removed to make room */
    EVENT_RENAME_FROM, /* removed, its value went elsewhere */
    EVENT_RENAME_TO,   /* got the value of another key */
    EVENT_MOVE_FROM,
    EVENT_MOVE_TO,
    EVENT_COPY_TO,
    /* Of values with a structure. Where the value has become empty, the key is gone, and "del" follows. */
    EVENT_LPUSH,
    EVENT_RPUSH,
    EVENT_LPOP,
    EVENT_RPOP,
    EVENT_LINSERT,
    EVENT_LSET,
    EVENT_LREM,
    EVENT_LTRIM,
    EVENT_SADD,
    EVENT_SREM,
    EVENT_SPOP,
    EVENT_SMOVE_TO, /* got a member of another set; "sadd" is mentioned when that has lost it */
    EVENT_SINTERSTORE,
    EVENT_SUNIONSTORE,
    EVENT_SDIFFSTORE,
    EVENT_HSET,
    EVENT_HINCRBY,
    EVENT_HINCRBYFLOAT,
    EVENT_HDEL,
    EVENT_ZADD,
    EVENT_ZINCR,
    EVENT_ZREM,
    EVENT_ZREMRANGEBYSCORE,
    EVENT_ZREMRANGEBYRANK,
    EVENT_ZREMRANGEBYLEX,
    EVENT_ZPOPMIN,
    EVENT_ZPOPMAX,
    EVENT_ZUNIONSTORE,
    EVENT_ZINTERSTORE,
    EVENT_ZDIFFSTORE,
    EVENT_ZRANGESTORE,
    EVENT_GEORADIUSSTORE,
    EVENT_GEOSEARCHSTORE,
    EVENT_SORTSTORE,
    EVENT_PFADD,
    EVENT_PFCOUNT,
    EVENT_XADD,
    EVENT_XTRIM,
    EVENT_XDEL,
    EVENT_XSETID,
    EVENT_XACK,
    EVENT_XGROUP_CREATE,
    EVENT_XGROUP_CREATECONSUMER,
    EVENT_XGROUP_DELCONSUMER,
    EVENT_XGROUP_DESTROY,
    EVENT_XGROUP_SETID,
    EVENT_XCLAIM,
    EVENT_XAUTOCLAIM,
    EVENT_XREADGROUP,
    EVENT_NEW,     /* it is there, and was not; only mentioned, and so is: */
    EVENT_KEYMISS, /* it was asked for, and isn't there */
    EVENT_FLUSH,   /* removed with its whole database */
    EVENT_SWAP,    /* its database was exchanged with another one */
    EVENT_UNDO,    /* it is again what it was before the last change that was told of (undo.h) */
    EVENT_COUNT
};

/* "set", "setrange", ... NULL where Redis has no event of that kind. */
const char *event_name(enum event event);

#endif
