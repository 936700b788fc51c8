/* What broadcasting keeps on each worker: for the files of this room only. */
#ifndef SERVER_BROADCAST_BROADCAST_H
#define SERVER_BROADCAST_BROADCAST_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/chains.h"

struct publication;

struct broadcast {
    struct chains subscriptions; /* of the worker's clients, by channel and client */
    struct outbox {
        bool is_open;
        struct publication *first, **end;
        size_t bytes;
    } outbox; /* outbox.c's */
};

#endif
