#include "later.h"

#include <assert.h>
#include <stdlib.h>

#include "resp/reply.h"
#include "server/interest/blocking.h"
#include "server/worker/worker.h"
#include "account.h"
#include "under_way.h"

/* Once something is kept, what follows it is, too. A client that has waited for a key is served by whoever
 * fills it, and reads the reply when its turn comes: what happens in between comes behind it. */
bool later_is_due(const struct task *task) {
    const struct under_way *under_way = task->under_way;
    if (task->session.subscriptions->later != NULL) return true;
    return under_way != NULL &&
           (under_way->errand != NULL || under_way->inquiry != NULL || under_way->is_unanswered ||
            (under_way->blocked != NULL && blocking_is_answered(under_way->blocked)));
}

static struct reply *later_of(struct subscriptions *list) {
    if (list->later != NULL) return list->later;
    list->later = malloc(sizeof *list->later);
    if (list->later != NULL) reply_init(list->later, 2); /* what it gets is RESP already */
    return list->later;
}

bool later_keep(struct task *task, const char *data, size_t length, void *owner, void (*release)(void *owner),
                size_t most, bool *is_over) {
    struct subscriptions *list = task->session.subscriptions;
    size_t before = session_bytes(&task->session);
    struct reply *later = later_of(list);
    *is_over = false;
    if (later == NULL) {
        if (owner != NULL) release(owner);
        return false;
    }
    later->most = most;
    if (owner == NULL)
        reply_raw(later, data, length);
    else
        reply_raw_reference(later, data, length, owner, release);
    list->later_bytes = sizeof *later + later->capacity + later->referenced_bytes +
                        later->reference_capacity * sizeof later->references[0];
    worker_account_session(worker_self(), &task->session, before);
    *is_over = later->is_over || list->later_bytes > most;
    return !later->is_broken && !*is_over;
}

static void later_end(struct worker *worker, struct task *task) {
    struct session *session = &task->session;
    struct subscriptions *list = session->subscriptions;
    size_t before = session_bytes(session);
    reply_free(list->later);
    free(list->later);
    list->later = NULL;
    list->later_bytes = 0;
    session_subscriptions_trim(session);
    worker_account_session(worker, session, before);
}

void later_tell(struct worker *worker, struct task *task, struct reply *reply) {
    if (task->session.subscriptions->later == NULL) return;
    reply_append(reply, task->session.subscriptions->later);
    later_end(worker, task);
}

void later_forget(struct worker *worker, struct task *task) {
    if (task->session.subscriptions != NULL && task->session.subscriptions->later != NULL)
        later_end(worker, task);
}
