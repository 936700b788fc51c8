#include "subscriptions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/chains.h"
#include "server/command/command.h"
#include "broadcast.h"
#include "news.h"

struct subscription {
    struct hearer hearer;
    struct chain_link link; /* among its worker's, by channel and client */
    struct channel *channel;
    struct subscription *next, *previous; /* of its client's, of one kind */
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

/* With what it has of the channel and of its place there. */
static size_t bytes_of(const struct channel *channel) {
    return sizeof(struct subscription) + sizeof *channel + channel->length;
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
    struct hearer *hearer;
    bool enters, is_there;
};

static void on_moment(struct worker *worker, struct message *message) {
    struct moment *moment = (struct moment *)message;
    (void)worker;
    if (moment->enters)
        hearer_enter(moment->hearer);
    else
        hearer_leave(moment->hearer);
    moment->is_there = true;
}

/* Its channel is known; `at_once`: now. */
static bool join(struct worker *worker, struct subscription *subscription, enum channel_kind kind,
                 const struct bulk *name, bool at_once) {
    struct moment moment = {.message.handle = on_moment, .hearer = &subscription->hearer, .enters = true};
    subscription->channel =
        channel_join(kind, name, worker, &subscription->hearer, at_once ? NULL : &moment.message);
    if (subscription->channel == NULL) return false;
    if (at_once)
        hearer_enter(&subscription->hearer);
    else
        worker_read_news_until(worker, &moment.is_there);
    return true;
}

static void part(struct worker *worker, struct subscription *subscription, bool at_once) {
    struct moment moment = {.message.handle = on_moment, .hearer = &subscription->hearer};
    channel_part(subscription->channel, worker, &subscription->hearer, at_once ? NULL : &moment.message);
    if (at_once)
        hearer_leave(&subscription->hearer);
    else
        worker_read_news_until(worker, &moment.is_there);
}

/* ------------------------------------------------------------------ coming and going */

static bool add(struct worker *worker, struct task *task, enum channel_kind kind, const struct bulk *name,
                bool at_once) {
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
    if (!is_listed || !join(worker, subscription, kind, name, at_once)) {
        if (is_listed) chains_remove(table, &subscription->link);
        free(subscription);
        session_subscriptions_trim(session);
        return false;
    }
    list_append(session->subscriptions, subscription);
    worker_account_session(worker, session, before);
    return true;
}

static void remove_one(struct worker *worker, struct task *task, struct subscription *subscription,
                       bool at_once) {
    struct session *session = &task->session;
    size_t before = session_bytes(session);
    list_remove(session->subscriptions, subscription);
    part(worker, subscription, at_once);
    chains_remove(&worker->broadcast->subscriptions, &subscription->link);
    free(subscription);
    session_subscriptions_trim(session);
    worker_account_session(worker, session, before);
}

void subscribe(struct worker *worker, struct task *task, enum channel_kind kind, const struct bulk *name,
               bool at_once, struct reply *reply) {
    if (find(worker, task, kind, name) == NULL && !add(worker, task, kind, name, at_once))
        reply_error(reply, ERROR_NO_MEMORY);
    else
        confirm(task, kind, true, name, reply);
}

void unsubscribe(struct worker *worker, struct task *task, enum channel_kind kind, const struct bulk *name,
                 bool at_once, struct reply *reply) {
    struct subscription *subscription = find(worker, task, kind, name);
    if (subscription != NULL) remove_one(worker, task, subscription, at_once);
    confirm(task, kind, false, name, reply);
}

/* The name is the channel's, which goes with its last hearer. */
static bool unsubscribe_first(struct worker *worker, struct task *task, enum channel_kind kind, bool at_once,
                              struct reply *reply) {
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
    remove_one(worker, task, first, at_once);
    confirm(task, kind, false, &name, reply);
    free(name.data);
    return true;
}

void unsubscribe_all(struct worker *worker, struct task *task, enum channel_kind kind, bool at_once,
                     struct reply *reply) {
    size_t mark = reply_mark(reply);
    while (unsubscribe_first(worker, task, kind, at_once, reply)) continue;
    if (reply_mark(reply) == mark) confirm(task, kind, false, NULL, reply);
}

void subscriptions_forget(struct worker *worker, struct task *task) {
    for (int kind = 0; kind < CHANNEL_KINDS; kind++)
        while (task->session.subscriptions != NULL && task->session.subscriptions->first[kind] != NULL)
            remove_one(worker, task, task->session.subscriptions->first[kind], true);
}

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
