/* SLOWLOG: the requests that took longest lately. Any thread. */
#ifndef SERVER_OBSERVE_SLOWLOG_H
#define SERVER_OBSERVE_SLOWLOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "resp/request.h"

/* Of a longer request, so many arguments are kept; the last of them says how many more there were. */
#define SLOWLOG_ARGUMENTS 32
/* Entries that are looked at in one go. */
#define SLOWLOG_SLICE 64

/* An entry, one allocation: the texts follow the struct. They are the arguments, the client's address and its
 * name. Constant once it is in the log. */
struct slow_request {
    _Atomic uint32_t holders; /* the log, and whoever is just reading it */
    uint32_t count;           /* of arguments */
    int64_t id, time, microseconds;
    uint32_t lengths[SLOWLOG_ARGUMENTS + 2];
    char text[];
};

/* Takes a request that was slower than slowlog-log-slower-than. At most SLOWLOG_ARGUMENTS arguments of it are
 * kept, and at most 128 bytes of each and of the name, which may be NULL. Takes a few steps, however many
 * requests are kept. now: unix time in milliseconds */
void slowlog_note(const struct bulk *arguments, uint32_t count, uint64_t microseconds, int64_t now,
                  const char *peer, const char *name);

/* Holds entries before the one with the number *end (INT64_MAX: from the newest on), newest first, at most
 * `most`, and moves *end to the last of them. Returns how many; fewer than SLOWLOG_SLICE and `most`: there
 * are no more. Each of them is to be given to slowlog_let_go. */
uint32_t slowlog_hold(struct slow_request *held[SLOWLOG_SLICE], int64_t *end, int64_t most);
void slowlog_let_go(struct slow_request *request);
int64_t slowlog_length(void);
void slowlog_clear(void);

#endif
