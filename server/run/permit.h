/* Permission: what a user may run is asked here, and what is denied is replied, counted, and noted in ACL
 * LOG. */
#ifndef SERVER_RUN_PERMIT_H
#define SERVER_RUN_PERMIT_H

#include "server/acl/check.h"
#include "server/acl/log.h"
#include "server/acl/users.h"
#include "dispatcher.h"

struct queued;

/* Of a request as it comes in, to be run or to be queued. false: it is refused, and that is replied. Only if
 * users_are_on(). */
bool is_permitted(const struct execution *execution);
/* Of a call that was queued, when its turn comes: as the rules are by now. Shards may be held. false: that is
 * replied, and kept with what was queued; it is counted and noted afterwards (queued_denial_note). */
bool is_still_permitted(const struct execution *execution, struct queued *queued, const struct call *call,
                        struct reply *reply);
void queued_denial_note(const struct execution *execution, struct queued *queued);

/* What another client's waiter may take, on the worker that fills its key. It says nothing: the waiter's own
 * worker does (denial_reply). */
struct denial {
    enum verdict verdict;
    uint32_t position;
};
struct denial permission_of(struct user *user, const struct worker *worker, const struct call *call);
void denial_reply(const struct execution *execution, const struct call *call, struct denial denial,
                  struct reply *reply);

/* Of a script's call. true: it may; else `why` has the words for it, and it is the caller's to have the
 * denial noted. */
bool script_is_permitted(const struct execution *execution, const struct call *call, struct denial *denial,
                         char *why, size_t size);
/* What a denied call is noted by: the command's name, the key or the channel. */
struct bulk denial_object(const struct call *call, struct denial denial);
/* The script is concluded: what was denied to it as that user is counted and noted. */
void script_denial_note(const struct execution *execution, const struct user *user, enum verdict verdict,
                        const struct bulk *object);

/* AUTH and HELLO: `word` is the command as the client wrote it. On a worker. */
void denial_of_name(const struct session *session, const struct bulk *word, const struct bulk *name,
                    int64_t now);

#endif
