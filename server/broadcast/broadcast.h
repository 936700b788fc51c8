/* What broadcasting keeps on each worker: for the files of this room only. */
#ifndef SERVER_BROADCAST_BROADCAST_H
#define SERVER_BROADCAST_BROADCAST_H

#include "server/base/chains.h"
#include "outbox.h"

struct broadcast {
    struct chains subscriptions; /* of the worker's clients, by channel and client */
    struct outbox outbox;
};

#endif
