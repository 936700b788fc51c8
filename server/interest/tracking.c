#include "tracking.h"

#include <assert.h>
#include <stdlib.h>

#include "shard/base/mutex.h"
#include "server/task/transaction.h"
#include "prefixes.h"
#include "tracked.h"

static struct {
    struct keyspace *keyspace;
    struct chains *of_worker; /* the tracking clients of each, which are its own */
    uint32_t workers;
    struct mutex mutex; /* what is noted is forgotten with the last client, and not behind the next one */
} all = {.mutex = MUTEX_INITIALIZER};

static struct chains *clients_of(const struct worker *worker) {
    return &all.of_worker[worker->number];
}

/* ------------------------------------------------------------------ what it reads */

static void follow(struct session *session) {
    const struct tracking *tracking = session->subscriptions->tracking;
    bool is_noted = tracking->caching == CACHING_OPTIN ? tracking->is_turned : !tracking->is_turned;
    session->tracks = tracking->prefixes == NULL && is_noted ? tracking->link.hash : 0;
}

void tracking_note_keys(uint32_t tracks, const struct call *call) {
    for (uint32_t i = 0; i < call->key_count; i++) tracker_reads(tracks, &call->keys[i]);
}

void tracking_turn(struct session *session) {
    assert(session->subscriptions->tracking->caching != CACHING_ALL);
    session->subscriptions->tracking->is_turned = true;
    follow(session);
}

void tracking_command_done(struct session *session, bool holds_on) {
    struct tracking *tracking = session->subscriptions->tracking;
    if (tracking == NULL || !tracking->is_turned || holds_on) return;
    tracking->is_turned = false;
    follow(session);
}

/* ------------------------------------------------------------------ whom it redirects to */

/* As Redis does it, each time that something should have been told. */
static void on_broken(struct worker *home, uint32_t handle) {
    struct chain_link *link = chains_find(clients_of(home), handle);
    while (link != NULL && link->hash != handle) link = link->next;
    if (link == NULL) return;
    struct tracking *tracking = (struct tracking *)link;
    tracking->is_broken = true;
    if (tracking->task->session.protocol != 3) return;
    struct reply text;
    reply_init(&text, 3);
    reply_push(&text, 2);
    reply_bulk_text(&text, "tracking-redir-broken");
    reply_integer(&text, (int64_t)tracking->redirect);
    if (!text.is_broken) tracking->task->functions->push(tracking->task, text.data, text.length);
    reply_free(&text);
}

bool tracking_target(struct worker *worker, struct task *task) {
    size_t before = session_bytes(&task->session);
    struct subscriptions *list = session_subscriptions(&task->session);
    if (list == NULL) return false;
    list->is_target = true;
    worker_account_session(worker, &task->session, before);
    return true;
}

/* ------------------------------------------------------------------ on */

static bool refuse(struct reply *reply, const char *why) {
    reply_error(reply, why);
    return false;
}

static bool prefixes_may_be(const struct prefix_list *list, const struct tracking_wish *wish,
                            struct reply *reply) {
    struct prefix_overlap overlap;
    if (!prefix_list_overlap(list, wish->prefixes, wish->prefix_count, &overlap))
        return refuse(reply, "OOM out of memory");
    if (!overlap.is_any) return true;
    reply_error_format(reply,
                       "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client must "
                       "not overlap.",
                       (int)overlap.prefix.length, overlap.prefix.data,
                       overlap.is_listed ? "an existing" : "another provided", (int)overlap.other.length,
                       overlap.other.data);
    return false;
}

bool tracking_may_begin(const struct session *session, const struct tracking_wish *wish,
                        struct reply *reply) {
    const struct tracking *tracking =
        session->subscriptions == NULL ? NULL : session->subscriptions->tracking;
    if (!wish->is_broadcast && wish->prefix_count > 0)
        return refuse(reply, "ERR PREFIX option requires BCAST mode to be enabled");
    if (tracking != NULL && (tracking->prefixes != NULL) != wish->is_broadcast)
        return refuse(reply,
                      "ERR You can't switch BCAST mode on/off before disabling tracking for this client, "
                      "and then re-enabling it with a different mode.");
    if (wish->is_broadcast && (wish->is_optin || wish->is_optout))
        return refuse(reply, "ERR OPTIN and OPTOUT are not compatible with BCAST");
    if (wish->is_optin && wish->is_optout)
        return refuse(reply, "ERR You can't specify both OPTIN mode and OPTOUT mode");
    if (tracking != NULL && ((wish->is_optin && tracking->caching == CACHING_OPTOUT) ||
                             (wish->is_optout && tracking->caching == CACHING_OPTIN)))
        return refuse(reply,
                      "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, "
                      "and then re-enabling it with a different mode.");
    return !wish->is_broadcast || prefixes_may_be(tracking == NULL ? NULL : tracking->prefixes, wish, reply);
}

/* Who reads a key that has expired tells the others: it is removed then. */
static void count_clients(bool is_one_more) {
    mutex_lock(&all.mutex);
    if (is_one_more) {
        if (atomic_fetch_add(&trackers_wanted, 1) == 0) {
            keyspace_want(all.keyspace, true);
            keyspace_tell_dead(all.keyspace, true);
        }
    } else if (atomic_fetch_sub(&trackers_wanted, 1) == 1) {
        keyspace_want(all.keyspace, false);
        keyspace_tell_dead(all.keyspace, false);
        tracked_clear();
    }
    mutex_unlock(&all.mutex);
}

static size_t bytes_of(const struct tracking *tracking) {
    size_t prefixes = tracking->prefixes == NULL ? 0 : tracking->prefixes->bytes;
    return sizeof *tracking + sizeof(struct tracker) + 2 * prefixes;
}

static void prefixes_leave(const struct prefix_list *list, uint32_t count, const struct worker *receiver) {
    for (uint32_t i = 0; i < count; i++)
        prefix_leave(prefix_at(list, i), list->at[i].length, receiver->number);
}

static bool prefixes_enter(const struct prefix_list *list, const struct worker *receiver) {
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        if (prefix_enter(prefix_at(list, i), list->at[i].length, receiver->number)) continue;
        prefixes_leave(list, i, receiver);
        return false;
    }
    return true;
}

static void tracking_free(struct tracking *tracking) {
    free(tracking->farewell);
    free(tracking->prefixes);
    free(tracking);
}

/* As it is wished, beside the old one or NULL. NULL: no memory. */
static struct tracking *tracking_create(struct task *task, const struct tracking *old,
                                        const struct tracking_wish *wish, bool is_elsewhere) {
    struct bulk every = {.data = (char *)(uintptr_t)""};
    const struct bulk *prefixes = wish->prefix_count > 0 ? wish->prefixes : &every;
    struct tracking *made = malloc(sizeof *made);
    if (made == NULL) return NULL;
    *made = (struct tracking){
        .task = task,
        .redirect = wish->redirect,
        .caching = wish->is_optin    ? CACHING_OPTIN
                   : wish->is_optout ? CACHING_OPTOUT
                                     : CACHING_ALL,
        .is_turned = old != NULL && old->is_turned,
        .spares_itself = wish->is_noloop,
    };
    if (is_elsewhere) made->farewell = malloc(sizeof *made->farewell);
    if (wish->is_broadcast)
        made->prefixes = prefix_list_with(old == NULL ? NULL : old->prefixes, prefixes,
                                          wish->prefix_count > 0 ? wish->prefix_count : 1);
    bool is_whole =
        (made->farewell != NULL || !is_elsewhere) && (made->prefixes != NULL || !wish->is_broadcast);
    if (is_whole) return made;
    tracking_free(made);
    return NULL;
}

static bool tracker_begin(struct worker *worker, const struct tracking *tracking, struct worker *receiver,
                          struct task *(*find)(struct worker *worker, uint64_t id)) {
    struct tracker *tracker = tracker_create(tracking->prefixes);
    if (tracker == NULL) return false;
    tracker->link.hash = tracking->link.hash;
    tracker->client = tracking->task->session.id;
    tracker->home = worker;
    tracker->on_broken = on_broken;
    tracker->find = find;
    tracker->redirect = tracking->redirect;
    tracker->spares_itself = tracking->spares_itself;
    if (receiver != worker) {
        tracker_send(tracker);
        return true;
    }
    tracker->task = tracking->redirect == 0 ? tracking->task : find(worker, tracking->redirect);
    if (tracker_enter(worker, tracker)) return true;
    free(tracker);
    return false;
}

/* The new one is there by now, beside the old. What was noted for a handle that goes is told of no more. */
static void old_end(struct worker *worker, struct tracking *old, uint32_t handle) {
    struct worker *receiver = tracker_worker(old->link.hash);
    if (old->prefixes != NULL) prefixes_leave(old->prefixes, old->prefixes->count, receiver);
    chains_remove(clients_of(worker), &old->link);
    if (old->link.hash != handle) {
        tracker_leave(old->link.hash, old->task->session.id, old->farewell);
        old->farewell = NULL;
    }
    tracking_free(old);
}

bool tracking_begin(struct worker *worker, struct task *task, const struct tracking_wish *wish,
                    struct worker *receiver, struct task *(*find)(struct worker *worker, uint64_t id)) {
    struct session *session = &task->session;
    size_t before = session_bytes(session);
    struct subscriptions *list = session_subscriptions(session);
    struct tracking *old = list == NULL ? NULL : list->tracking,
                    *made = list == NULL ? NULL : tracking_create(task, old, wish, receiver != worker);
    bool stays = old != NULL && tracker_worker(old->link.hash) == receiver, is_listed = false,
         has_begun = false;
    if (made != NULL) {
        made->link.hash = stays ? old->link.hash : tracker_handle(receiver);
        is_listed = chains_insert(clients_of(worker), &made->link, made->link.hash);
    }
    bool has_prefixes = is_listed && prefixes_enter(made->prefixes, receiver);
    if (has_prefixes) has_begun = tracker_begin(worker, made, receiver, find);
    if (!has_begun) {
        if (has_prefixes && made->prefixes != NULL)
            prefixes_leave(made->prefixes, made->prefixes->count, receiver);
        if (is_listed) chains_remove(clients_of(worker), &made->link);
        if (made != NULL) tracking_free(made);
        session_subscriptions_trim(session);
        return false;
    }
    /* Within a transaction it comes behind all that is read there, which was noted for nobody. */
    bool is_behind_reads = session->transaction != NULL && session->transaction->is_open,
         loses_noted = is_behind_reads || (old != NULL && !stays && old->prefixes == NULL);
    if (old == NULL) count_clients(true);
    if (old != NULL) old_end(worker, old, made->link.hash);
    list->tracking = made;
    list->tracking_bytes = bytes_of(made);
    follow(session);
    if (loses_noted) trackers_tell_everything(receiver);
    worker_account_session(worker, session, before);
    return true;
}

/* ------------------------------------------------------------------ and off */

void tracking_end(struct worker *worker, struct task *task) {
    struct session *session = &task->session;
    if (!session_is_tracking(session)) return;
    size_t before = session_bytes(session);
    struct tracking *old = session->subscriptions->tracking;
    session->subscriptions->tracking = NULL;
    session->subscriptions->tracking_bytes = 0;
    session->tracks = 0;
    old_end(worker, old, 0);
    count_clients(false);
    session_subscriptions_trim(session);
    worker_account_session(worker, session, before);
}

void tracking_forget(struct worker *worker, struct task *task) {
    struct session *session = &task->session;
    tracking_end(worker, task);
    if (session->subscriptions == NULL || !session->subscriptions->is_target) return;
    size_t before = session_bytes(session);
    trackers_lose_task(task);
    session->subscriptions->is_target = false;
    session_subscriptions_trim(session);
    worker_account_session(worker, session, before);
}

bool tracking_start(struct keyspace *keyspace, uint32_t workers) {
    all.keyspace = keyspace;
    all.workers = workers;
    all.of_worker = calloc(workers, sizeof *all.of_worker);
    return all.of_worker != NULL && trackers_start(keyspace, workers);
}

void tracking_stop(void) {
    trackers_stop();
    for (uint32_t i = 0; i < all.workers; i++) chains_clear(&all.of_worker[i]);
    free(all.of_worker);
    all.of_worker = NULL;
}
