/* SLOWLOG: the requests that took longest lately. */
#ifndef SERVER_OBSERVE_SLOWLOG_H
#define SERVER_OBSERVE_SLOWLOG_H

#include <stdint.h>

#include "resp/request.h"

/* Takes a request that was slower than slowlog-log-slower-than. Any thread. At most 32 arguments of it are
 * kept, and at most 128 bytes of each and of the name, which may be NULL. Takes a few steps, however many
 * requests are kept. */
void slowlog_note(const struct bulk *arguments, uint32_t count, uint64_t microseconds, int64_t now,
                  const char *peer, const char *name);

#endif
