/* What happened to a key. The names are those of Redis's keyspace notifications
 * (https://redis.io/docs/latest/develop/use/keyspace-notifications/), where it has one. */
#ifndef SHARD_EVENT_H
#define SHARD_EVENT_H

enum event {
    EVENT_SET,          /* the whole value was replaced */
    EVENT_SETRANGE,
    EVENT_APPEND,
    EVENT_INCRBY,
    EVENT_INCRBYFLOAT,
    EVENT_SETBIT,
    EVENT_EXPIRE,       /* got a time to live, or another one */
    EVENT_PERSIST,      /* lost it */
    EVENT_DEL,          /* removed by a command */
    EVENT_EXPIRED,      /* removed because its time was up */
    EVENT_EVICTED,      /* removed to make room */
    EVENT_RENAME_FROM,  /* removed, its value went elsewhere */
    EVENT_RENAME_TO,    /* got the value of another key */
    EVENT_MOVE_FROM,
    EVENT_MOVE_TO,
    EVENT_COPY_TO,
    EVENT_FLUSH,        /* removed with its whole database */
    EVENT_SWAP,         /* its database was exchanged with another one */
    EVENT_COUNT
};

/* "set", "setrange", ... NULL where Redis has no event of that kind. */
const char *event_name(enum event event);

#endif
