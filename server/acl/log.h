/* ACL LOG: what was denied lately, the newest first. What is denied again within a minute is the same entry,
 * with its count. Any thread. */
#ifndef SERVER_ACL_LOG_H
#define SERVER_ACL_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "resp/request.h"

/* Of a key, a channel or a name so much is kept: clients choose them. */
#define ACL_LOG_TEXT_MOST 1024

enum acl_reason { ACL_REASON_COMMAND, ACL_REASON_KEY, ACL_REASON_CHANNEL, ACL_REASON_AUTH };
enum acl_context { ACL_TOPLEVEL, ACL_MULTI, ACL_LUA };

struct acl_log_entry {
    struct acl_log_entry *next, *previous;
    enum acl_reason reason;
    enum acl_context context;
    int64_t id, created; /* unix time in milliseconds, as the next */
    uint64_t count;
    int64_t updated;
    char *client; /* what CLIENT LIST shows of who was denied last */
    size_t object_length, user_length;
    char text[]; /* both */
};

/* acllog-max-len says how many are kept. client: a line about the client, or NULL. now: unix time in
 * milliseconds. Without memory the entry is missing. */
void acl_log_note(enum acl_reason reason, enum acl_context context, const struct bulk *object,
                  const struct bulk *user, const char *client, int64_t now);
/* Calls `visit` with each of the first so many, oldest last, with the log's lock held: it does nothing but
 * copy. */
void acl_log_visit(int64_t most, void (*visit)(void *context, const struct acl_log_entry *entry),
                   void *context);
void acl_log_clear(void);

#endif
