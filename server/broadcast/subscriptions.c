#include "subscriptions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/chains.h"
#include "server/command/command.h"
#include "broadcast.h"
#include "news.h"
#include "outbox.h"

struct moment;

struct subscription {
    struct hearer hearer;
    struct chain_link link; /* among its worker's, by channel and client */
    struct channel *channel;
    struct subscription *next, *previous; /* of its client's, of one kind, or of those that are leaving */
    struct moment *arrival, *departure;   /* that its worker has still to read; or NULL */
};

/* ------------------------------------------------------------------ finding them */

bool subscriptions_attach(struct worker *worker) {
    worker->broadcast = calloc(1, sizeof *worker->broadcast);
    return worker->broadcast != NULL;
}

void subscriptions_detach(struct worker *worker) {
    if (worker->broadcast == NULL) return;
    assert(worker->broadcast->subscriptions.count == 0 && "its clients are closed");
    free(worker->broadcast);
    worker->broadcast = NULL;
}

/* Each client of a channel has another. */
static uint32_t hash_of(const struct task *task, const struct bulk *name) {
    return channel_hash(name) + (uint32_t)(task->session.id * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

static struct subscription *find(const struct worker *worker, const struct task *task, enum channel_kind kind,
                                 const struct bulk *name) {
    uint32_t hash = hash_of(task, name);
    if (task->session.subscriptions == NULL) return NULL;
    for (struct chain_link *link = chains_find(&worker->broadcast->subscriptions, hash); link != NULL;
         link = link->next) {
        struct subscription *found =
            (struct subscription *)((char *)link - offsetof(struct subscription, link));
        if (link->hash == hash && found->hearer.task == task && channel_is(found->channel, kind, name))
            return found;
    }
    return NULL;
}

/* ------------------------------------------------------------------ a client's lists */

/* With what it has of the channel and of its place there, where the name stands once more. */
static size_t bytes_of(const struct channel *channel) {
    return sizeof(struct subscription) + sizeof *channel + sizeof(struct part) + 2 * channel->length;
}

static void list_append(struct subscriptions *list, struct subscription *subscription) {
    enum channel_kind kind = subscription->channel->kind;
    subscription->next = NULL;
    subscription->previous = list->last[kind];
    if (subscription->previous != NULL)
        subscription->previous->next = subscription;
    else
        list->first[kind] = subscription;
    list->last[kind] = subscription;
    list->counts[kind]++;
    list->bytes += bytes_of(subscription->channel);
}

static void list_remove(struct subscriptions *list, const struct subscription *subscription) {
    enum channel_kind kind = subscription->channel->kind;
    if (subscription->next != NULL)
        subscription->next->previous = subscription->previous;
    else
        list->last[kind] = subscription->previous;
    if (subscription->previous != NULL)
        subscription->previous->next = subscription->next;
    else
        list->first[kind] = subscription->next;
    list->counts[kind]--;
    list->bytes -= bytes_of(subscription->channel);
}

/* ------------------------------------------------------------------ confirmations */

static const char *const words[CHANNEL_KINDS][2] = {
    [CHANNEL] = {"unsubscribe", "subscribe"},
    [CHANNEL_PATTERN] = {"punsubscribe", "psubscribe"},
    [CHANNEL_SHARD] = {"sunsubscribe", "ssubscribe"},
};

/* As Redis counts: channels and patterns together. name: NULL, there was none. */
static void confirm(const struct task *task, enum channel_kind kind, bool hears, const struct bulk *name,
                    struct reply *reply) {
    const struct subscriptions *list = task->session.subscriptions;
    uint64_t count = 0;
    if (list != NULL && kind == CHANNEL_SHARD) count = list->counts[kind];
    if (list != NULL && kind != CHANNEL_SHARD)
        count = (uint64_t)list->counts[CHANNEL] + list->counts[CHANNEL_PATTERN];
    reply_push(reply, 3);
    reply_bulk_text(reply, words[kind][hears]);
    if (name == NULL)
        reply_null(reply);
    else
        reply_bulk(reply, name->data, name->length);
    reply_integer(reply, (int64_t)count);
}

/* ------------------------------------------------------------------ at the right moment
 *
 * The table changes under the channel's lock, and what its worker's hearers are changes when the worker has
 * read all that was published until then. So what was published before is heard by those who heard the
 * channel then, and by nobody else, and what PUBLISH counts is what arrives. */

struct moment {
    struct message message;
    struct subscription *subscription; /* NULL: it went without waiting for it */
    bool is_there;
};

static void on_arrival(struct worker *worker, struct message *message) {
    struct moment *moment = (struct moment *)message;
    (void)worker;
    hearer_enter(&moment->subscription->hearer);
    moment->is_there = true;
}

static void on_departure(struct worker *worker, struct message *message) {
    struct moment *moment = (struct moment *)message;
    (void)worker;
    hearer_leave(&moment->subscription->hearer);
    moment->is_there = true;
}

/* false: no memory. */
static bool join(struct worker *worker, struct subscription *subscription, enum channel_kind kind,
                 const struct bulk *name) {
#ifdef PLANT_EARLY_ENTRY
    subscription->channel = channel_join(kind, name, worker, &subscription->hearer, NULL);
    if (subscription->channel != NULL) hearer_enter(&subscription->hearer);
    return subscription->channel != NULL;
#endif
    struct moment moment = {.message.handle = on_arrival, .subscription = subscription};
    subscription->channel = channel_join(kind, name, worker, &subscription->hearer, &moment.message);
    if (subscription->channel == NULL) return false;
    worker_read_news_until(worker, &moment.is_there);
    return true;
}

static void part(struct worker *worker, struct subscription *subscription) {
    struct moment moment = {.message.handle = on_departure, .subscription = subscription};
    channel_part(subscription->channel, worker, &subscription->hearer, &moment.message);
    worker_read_news_until(worker, &moment.is_there);
}

/* ------------------------------------------------------------------ when that moment comes later
 *
 * Within a transaction the moment has memory of its own, and a subscription that has been ended stays until
 * its worker has read what was published before. The client may go first. */

static void leaving_enter(struct subscriptions *list, struct subscription *subscription) {
    subscription->previous = NULL;
    subscription->next = list->leaving;
    if (subscription->next != NULL) subscription->next->previous = subscription;
    list->leaving = subscription;
}

static void leaving_leave(struct subscriptions *list, const struct subscription *subscription) {
    if (subscription->next != NULL) subscription->next->previous = subscription->previous;
    if (subscription->previous != NULL)
        subscription->previous->next = subscription->next;
    else
        list->leaving = subscription->next;
}

static void on_late_arrival(struct worker *worker, struct message *message) {
    struct moment *moment = (struct moment *)message;
    (void)worker;
    if (moment->subscription != NULL) {
        moment->subscription->arrival = NULL;
        hearer_enter(&moment->subscription->hearer);
    }
    free(moment);
}

static void on_late_departure(struct worker *worker, struct message *message) {
    struct moment *moment = (struct moment *)message;
    struct subscription *subscription = moment->subscription;
    free(moment);
    if (subscription == NULL) return;
    struct session *session = &subscription->hearer.task->session;
    size_t before = session_bytes(session);
    hearer_leave(&subscription->hearer);
    leaving_leave(session->subscriptions, subscription);
    free(subscription);
    session_subscriptions_trim(session);
    worker_account_session(worker, session, before);
}

static struct moment *moment_create(struct subscription *subscription,
                                    void (*handle)(struct worker *worker, struct message *message)) {
    struct moment *moment = malloc(sizeof *moment);
    if (moment != NULL) *moment = (struct moment){.message.handle = handle, .subscription = subscription};
    return moment;
}

/* false: no memory. */
static bool join_later(struct worker *worker, struct subscription *subscription, enum channel_kind kind,
                       const struct bulk *name) {
    struct moment *moment = moment_create(subscription, on_late_arrival);
    if (moment == NULL) return false;
    subscription->arrival = moment;
    subscription->channel = channel_join(kind, name, worker, &subscription->hearer, &moment->message);
    if (subscription->channel == NULL) free(moment);
    return subscription->channel != NULL;
}

/* What is on its way to it finds it no more. */
static void leave(struct subscription *subscription) {
    if (subscription->arrival != NULL) subscription->arrival->subscription = NULL;
    if (subscription->departure != NULL) subscription->departure->subscription = NULL;
    hearer_leave(&subscription->hearer);
    free(subscription);
}

/* It is its client's no longer. Without memory for the moment that is now. */
static void part_later(struct worker *worker, struct subscription *subscription) {
    subscription->departure = moment_create(subscription, on_late_departure);
    channel_part(subscription->channel, worker, &subscription->hearer,
                 subscription->departure == NULL ? NULL : &subscription->departure->message);
    subscription->channel = NULL;
    if (subscription->departure != NULL)
        leaving_enter(subscription->hearer.task->session.subscriptions, subscription);
    else
        leave(subscription);
}

/* ------------------------------------------------------------------ coming and going */

static bool add(struct worker *worker, struct task *task, enum channel_kind kind, const struct bulk *name,
                bool is_within) {
    struct session *session = &task->session;
    struct chains *table = &worker->broadcast->subscriptions;
    size_t before = session_bytes(session);
    struct subscription *subscription = malloc(sizeof *subscription);
    if (subscription == NULL || session_subscriptions(session) == NULL) {
        free(subscription);
        return false;
    }
    *subscription = (struct subscription){.hearer.task = task};
    bool is_listed = chains_insert(table, &subscription->link, hash_of(task, name));
    if (!is_listed || !(is_within ? join_later : join)(worker, subscription, kind, name)) {
        if (is_listed) chains_remove(table, &subscription->link);
        free(subscription);
        session_subscriptions_trim(session);
        return false;
    }
    assert(session->subscriptions != NULL && "what it had left before was read before this began");
    list_append(session->subscriptions, subscription);
    worker_account_session(worker, session, before);
    return true;
}

static void remove_one(struct worker *worker, struct task *task, struct subscription *subscription,
                       bool is_within) {
    struct session *session = &task->session;
    size_t before = session_bytes(session);
    list_remove(session->subscriptions, subscription);
    chains_remove(&worker->broadcast->subscriptions, &subscription->link);
    if (is_within) {
        part_later(worker, subscription);
    } else {
        part(worker, subscription);
        free(subscription);
    }
    session_subscriptions_trim(session);
    worker_account_session(worker, session, before);
}

void subscribe(struct worker *worker, struct task *task, enum channel_kind kind, const struct bulk *name,
               bool is_within, struct reply *reply) {
    if (is_within) outbox_flush(worker);
    if (find(worker, task, kind, name) == NULL && !add(worker, task, kind, name, is_within))
        reply_error(reply, ERROR_NO_MEMORY);
    else
        confirm(task, kind, true, name, reply);
}

void unsubscribe(struct worker *worker, struct task *task, enum channel_kind kind, const struct bulk *name,
                 bool is_within, struct reply *reply) {
    if (is_within) outbox_flush(worker);
    struct subscription *subscription = find(worker, task, kind, name);
#ifdef PLANT_LATE_LEAVE
    if (subscription != NULL && !is_within) {
        list_remove(task->session.subscriptions, subscription);
        confirm(task, kind, false, name, reply);
        list_append(task->session.subscriptions, subscription);
        remove_one(worker, task, subscription, is_within);
        return;
    }
#endif
    if (subscription != NULL) remove_one(worker, task, subscription, is_within);
    confirm(task, kind, false, name, reply);
}

/* The name is the channel's, which goes with its last hearer. */
static bool unsubscribe_first(struct worker *worker, struct task *task, enum channel_kind kind,
                              bool is_within, struct reply *reply) {
    struct subscription *first =
        task->session.subscriptions == NULL ? NULL : task->session.subscriptions->first[kind];
    if (first == NULL) return false;
    struct bulk name = {.length = first->channel->length};
    name.data = malloc(name.length + 1);
    if (name.data == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return false;
    }
    memcpy(name.data, first->channel->name, name.length);
    remove_one(worker, task, first, is_within);
    confirm(task, kind, false, &name, reply);
    free(name.data);
    return true;
}

void unsubscribe_all(struct worker *worker, struct task *task, enum channel_kind kind, bool is_within,
                     struct reply *reply) {
    size_t mark = reply_mark(reply);
    if (is_within) outbox_flush(worker);
    while (unsubscribe_first(worker, task, kind, is_within, reply)) continue;
    if (reply_mark(reply) == mark) confirm(task, kind, false, NULL, reply);
}

/* Not even what is on its way to it is heard any more. Each has left its list before it is freed, which the
 * analyzer doesn't follow. NOLINTBEGIN(clang-analyzer-unix.Malloc) */
void subscriptions_forget(struct worker *worker, struct task *task) {
    struct session *session = &task->session;
    struct subscriptions *list = session->subscriptions;
    if (list == NULL) return;
    size_t before = session_bytes(session);
    for (int kind = 0; kind < CHANNEL_KINDS; kind++)
        for (struct subscription *first; (first = list->first[kind]) != NULL;) {
            list_remove(list, first);
            chains_remove(&worker->broadcast->subscriptions, &first->link);
            channel_part(first->channel, worker, &first->hearer, NULL);
            leave(first);
        }
    for (struct subscription *first; (first = list->leaving) != NULL;) {
        leaving_leave(list, first);
        leave(first);
    }
    session_subscriptions_trim(session);
    worker_account_session(worker, session, before);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

bool subscriptions_are_all(const struct session *session,
                           bool (*is_wanted)(const void *context, enum channel_kind kind, const char *name,
                                             size_t length),
                           const void *context) {
    const struct subscriptions *list = session->subscriptions;
    for (int kind = 0; list != NULL && kind < CHANNEL_KINDS; kind++)
        for (const struct subscription *at = list->first[kind]; at != NULL; at = at->next)
            if (!is_wanted(context, (enum channel_kind)kind, at->channel->name, at->channel->length))
                return false;
    return true;
}
