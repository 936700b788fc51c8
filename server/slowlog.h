/* SLOWLOG: the requests that took longest lately. A list under a mutex, since entries are rare. */
#ifndef SERVER_SLOWLOG_H
#define SERVER_SLOWLOG_H

#include <stdint.h>

#include "../resp/request.h"

/* Takes a request that was slower than slowlog-log-slower-than. Any thread. Keeps at most 32 arguments of at most 128 bytes. name may
 * be NULL. */
void slowlog_note(const struct bulk *arguments, uint32_t count, uint64_t microseconds, int64_t now, const char *peer, const char *name);

#endif
