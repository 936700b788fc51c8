#include "errand.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/base/mutex.h"
#include "shard/entry/blob.h"
#include "account.h"
#include "keys.h"
#include "server/interest/watch.h"
#include "server/task/transaction.h"
#include "server/task/user.h"

/* One long thread's. */
struct long_thread {
    struct task_queue ready;
    struct errand *errands; /* all that it has */
    bool is_idle;           /* guarded by `mutex`: nobody has woken it since it found nothing to do */
};

static struct long_thread *threads; /* by worker number, less worker_count() */

static struct mutex mutex = MUTEX_INITIALIZER;
static struct task_queue fresh GUARDED_BY(mutex); /* those to begin */

static _Atomic uint64_t sent;

/* Errands whose clients have gone hold memory that no client can be closed for. While they hold more than
 * this, what takes long stays with its client. */
#define LEFT_MOST ((size_t)64 * 1024 * 1024)
static _Atomic size_t left_bytes;

static struct long_thread *thread_of(const struct worker *worker) {
    return &threads[worker->number - worker_count()];
}

/* ------------------------------------------------------------------ the errand's task */

static void on_wake(struct task *task, enum park_reason reason) {
    (void)reason;
    task_queue_append(&thread_of(worker_self())->ready, task);
}

static void on_peer(const struct task *task, char *out, size_t size) {
    snprintf(out, size, "%s", ((const struct errand *)task)->peer);
}

static void on_origin(const struct task *task, char *out, size_t size) {
    snprintf(out, size, "%s", ((const struct errand *)task)->address);
}

static bool on_is_local(const struct task *task) {
    return ((const struct errand *)task)->is_local;
}

/* Nobody subscribes or monitors by way of an errand, and nobody knows it to close it. */
static const struct task_functions functions = {
    .wake = on_wake,
    .peer = on_peer,
    .origin = on_origin,
    .is_local = on_is_local,
};

/* On whichever thread that takes its time. */
static void arguments_end(struct errand *errand) {
    for (uint32_t i = 0; errand->referred_bytes > 0 && i < errand->count; i++)
        if (errand->arguments[i].owner != NULL) blob_release(errand->arguments[i].owner);
    request_memory_free(&errand->memory);
    errand->arguments = NULL;
    errand->count = 0;
}

/* Where no thread is left that could end it. */
static void lose_transaction(struct transaction *transaction) {
    struct ended_watches ended = {.first = NULL};
    if (transaction->watches != NULL) watch_end(&ended, transaction->watches, NULL);
    watch_abandon(&ended);
    transaction->watches = NULL;
    transaction_free(transaction);
}

static void errand_free(struct errand *errand) {
    if (errand->task.session.transaction != NULL) lose_transaction(errand->task.session.transaction);
    arguments_end(errand);
    session_names_free(errand->task.session.name, errand->task.session.library);
    session_become(&errand->task.session, NULL);
    reply_free(&errand->reply);
    free(errand);
}

/* ------------------------------------------------------------------ there */

/* Any thread. Whoever finds nothing says so before it goes to sleep, so that one of those is woken; where all
 * are at work, the first that is done looks. */
static void put(struct errand *errand) {
    uint32_t idle = 0;
    mutex_lock(&mutex);
    task_queue_append(&fresh, &errand->task);
    while (idle < workers_aside_count() && !threads[idle].is_idle) idle++;
    bool is_anybody = idle < workers_aside_count();
    if (is_anybody) threads[idle].is_idle = false;
    mutex_unlock(&mutex);
    if (is_anybody) worker_wake(worker_at(worker_count() + idle));
}

static void set_idle(struct long_thread *thread, bool is_idle) {
    mutex_lock(&mutex);
    thread->is_idle = is_idle;
    mutex_unlock(&mutex);
}

static struct errand *take_fresh(struct long_thread *thread) {
    mutex_lock(&mutex);
    struct errand *errand = (struct errand *)task_queue_take(&fresh);
    thread->is_idle = errand == NULL;
    mutex_unlock(&mutex);
    if (errand == NULL) return NULL;
    errand->next = thread->errands;
    if (errand->next != NULL) errand->next->previous = errand;
    thread->errands = errand;
    return errand;
}

static struct errand *errand_new(size_t bytes) {
    struct errand *errand = malloc(sizeof *errand + bytes);
    if (errand != NULL) *errand = (struct errand){.bytes = sizeof *errand + bytes};
    return errand;
}

/* With the asker's own arguments, which are many. NULL: they aren't, or there is no memory. */
static struct errand *errand_with_handed_over(struct task *asker, const struct call *call) {
    struct request_memory memory = {.input = NULL};
    if (asker->functions->hand_over == NULL) return NULL;
    struct errand *errand = errand_new(0);
    if (errand == NULL || !asker->functions->hand_over(asker, call->arguments, &memory)) {
        free(errand);
        return NULL;
    }
    errand->memory = memory;
    errand->arguments = memory.arguments;
    errand->bytes += memory.arguments_bytes + memory.input_bytes;
    errand->referred_bytes = memory.owned_bytes;
    return errand;
}

/* Large arguments are referred to, small ones copied. */
static size_t bytes_copied(const struct bulk *argument) {
    return argument->owner != NULL ? 0 : argument->length + 1;
}

static struct errand *errand_with_copies(const struct call *call) {
    size_t bytes = call->count * sizeof(struct bulk);
    for (uint32_t i = 0; i < call->count; i++) bytes += bytes_copied(&call->arguments[i]);
    struct errand *errand = errand_new(bytes);
    if (errand == NULL) return NULL;
    errand->arguments = errand->copies;
    char *at = (char *)(errand->copies + call->count);
    for (uint32_t i = 0; i < call->count; i++) {
        const struct bulk *argument = &call->arguments[i];
        errand->copies[i] = *argument;
        if (argument->owner != NULL) {
            blob_retain(argument->owner);
            errand->referred_bytes += argument->length;
            continue;
        }
        errand->copies[i].data = at;
        memcpy(at, argument->data, argument->length);
        at[argument->length] = '\0';
        at += argument->length + 1;
    }
    return errand;
}

/* EXEC's goes along, and ends there. */
static void take_transaction(struct worker *worker, struct task *asker, struct errand *errand) {
    size_t before = session_bytes(&asker->session);
    errand->task.session.transaction = asker->session.transaction;
    asker->session.transaction = NULL;
    worker_account_session(worker, &asker->session, before);
    errand->bytes += before - session_bytes(&asker->session);
}

struct errand *errand_send(struct worker *worker, struct task *asker, const struct call *call, size_t most,
                           bool takes_transaction) {
    const struct session *session = &asker->session;
    struct session_names names;
    if (atomic_load(&left_bytes) > LEFT_MOST || !session_names_keep(session, &names)) return NULL;
    struct errand *errand = errand_with_handed_over(asker, call);
    if (errand == NULL) errand = errand_with_copies(call);
    if (errand == NULL) {
        session_names_free(names.name, names.library);
        return NULL;
    }
    errand->origin = worker;
    errand->asker = asker;
    errand->command = call->command;
    errand->bytes += keys_bytes(call);
    errand->count = call->count;
    errand->brings_session = takes_transaction && session->transaction->concerns_session;
    errand->task.functions = &functions;
    errand->task.refusals = asker->refusals;
    errand->task.has_discarded = asker->has_discarded;
    errand->task.session.id = session->id;
    session_follow(&errand->task.session, session);
    session_names_put_back(&errand->task.session, &names);
    errand->task.session.reply_mode = REPLY_ON; /* there */
    errand->is_local = asker->functions->is_local(asker);
    asker->functions->peer(asker, errand->peer, sizeof errand->peer);
    asker->functions->origin(asker, errand->address, sizeof errand->address);
    reply_init(&errand->reply, call->protocol);
    errand->reply.most = most;
    if (takes_transaction) take_transaction(worker, asker, errand);
    counter_add(&worker->wait_bytes, errand->bytes);
    atomic_fetch_add(&sent, 1);
    put(errand);
    return errand;
}

uint64_t errands_sent(void) {
    return atomic_load(&sent);
}

/* ------------------------------------------------------------------ and back */

static void left_free(struct errand *errand) {
    counter_subtract(&errand->origin->ended_bytes, errand->bytes);
    atomic_fetch_sub(&left_bytes, errand->bytes);
    errand_free(errand);
}

static void errand_returns(struct worker *worker, struct message *message) {
    struct errand *errand = (struct errand *)((char *)message - offsetof(struct errand, message));
    assert(errand->origin == worker);
    (void)worker;
    errand->is_back = true;
    if (errand->asker == NULL)
        left_free(errand);
    else if (errand->is_done)
        task_wake(errand->asker);
}

/* What its commands have made of the session, they have made of the client's. */
static void bring_session(struct errand *errand, struct task *asker) {
    struct session *session = &asker->session, *brought = &errand->task.session;
    const struct session_names names = {brought->name, brought->library};
    size_t before = session_bytes(session);
    brought->reply_mode = session->reply_mode;
    session_follow(session, brought);
    const struct user *user = session_user(session);
    if (user != NULL && atomic_load(&user->is_gone)) session->closes_after_reply = true; /* meanwhile */
    session_names_put_back(session, &names);
    brought->name = NULL;
    brought->library = NULL;
    worker_account_session(errand->origin, session, before);
}

void errand_conclude(struct errand *errand, struct task *asker, struct reply *reply) {
    assert(errand->is_back && errand->asker == asker);
    asker->has_discarded = errand->task.has_discarded;
    if (errand->brings_session) bring_session(errand, asker);
    reply_append(reply, &errand->reply);
    counter_subtract(&errand->origin->wait_bytes, errand->bytes);
    errand_free(errand);
}

void errand_leave(struct errand *errand) {
    counter_subtract(&errand->origin->wait_bytes, errand->bytes);
    if (errand->is_back) {
        errand_free(errand);
        return;
    }
    errand->asker = NULL;
    errand->bytes += errand->referred_bytes; /* its client's to account for until that went */
    counter_add(&errand->origin->ended_bytes, errand->bytes);
    atomic_fetch_add(&left_bytes, errand->bytes);
    atomic_store(&errand->is_left, true);
}

bool errand_lost(struct message *message) {
    if (message->handle != errand_returns) return false;
    errand_free((struct errand *)((char *)message - offsetof(struct errand, message)));
    return true;
}

void errand_return(struct worker *worker, struct errand *errand, bool is_done) {
    struct long_thread *thread = thread_of(worker);
    if (errand->next != NULL) errand->next->previous = errand->previous;
    if (errand->previous != NULL)
        errand->previous->next = errand->next;
    else
        thread->errands = errand->next;
    arguments_end(errand);
    errand->is_done = is_done;
    errand->message.handle = errand_returns;
    worker_send(errand->origin, &errand->message);
}

/* ------------------------------------------------------------------ a long thread's */

bool errands_open(void) {
    if (threads == NULL) threads = calloc(workers_aside_count(), sizeof *threads);
    return threads != NULL;
}

void errands_close(void) {
    mutex_lock(&mutex);
    for (struct task *task; (task = task_queue_take(&fresh)) != NULL;) errand_free((struct errand *)task);
    mutex_unlock(&mutex);
    free(threads);
    threads = NULL;
    atomic_store(&left_bytes, 0);
}

struct errand *errand_take(const struct worker *worker) {
    struct long_thread *thread = thread_of(worker);
    struct errand *errand = (struct errand *)task_queue_take(&thread->ready);
    if (errand == NULL) return take_fresh(thread);
    set_idle(thread, false);
    return errand;
}

struct errand *errand_any(const struct worker *worker) {
    struct long_thread *thread = thread_of(worker);
    return thread->errands != NULL ? thread->errands : take_fresh(thread);
}

bool errand_is_left(const struct errand *errand) {
    return atomic_load(&errand->is_left);
}
