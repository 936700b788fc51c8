/* The workers: their threads, mailboxes, and end. What they do in between is given to them at their start. */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shard/base/counter.h"
#include "shard/base/memory.h"
#include "shard/lock/lane.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/process.h"
#include "server/config/config.h"
#include "server/net/loop.h"
#include "server/task/session.h"

/* After the time that workers have for their end: to close what is left, and to notice. */
#define END_MS 1000

/* All of them. Set up by workers_start before the first thread and freed by workers_join after the last. */
static struct {
    struct worker **workers; /* those that serve, and behind them those aside */
    uint32_t count, aside;   /* how many serve, and how many don't */
    uint32_t created;        /* of all of them */
    int stopping_fd, ended_fd;
    _Atomic int64_t stop_at; /* monotonic ms by which all have ended; 0: not stopping */
    _Atomic uint32_t drained, ended;
    pthread_mutex_t moves;   /* held while something is put in another worker's mailbox that moves there */
    _Atomic uint32_t frozen; /* changed with `moves` held, from 0: nothing moves meanwhile */
    pthread_mutex_t mutex;   /* of the start only */
    pthread_cond_t started_changed;
    uint32_t started, failed;
} all = {.stopping_fd = -1,
         .ended_fd = -1,
         .moves = PTHREAD_MUTEX_INITIALIZER,
         .mutex = PTHREAD_MUTEX_INITIALIZER,
         .started_changed = PTHREAD_COND_INITIALIZER};

static _Thread_local struct worker *self;

struct worker *worker_self(void) {
    return self;
}

uint32_t worker_count(void) {
    return all.count;
}

uint32_t workers_aside_count(void) {
    return all.aside;
}

struct worker *worker_at(uint32_t number) {
    return all.workers[number];
}

uint64_t workers_connection_count(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < all.count; i++) sum += counter_read(&all.workers[i]->connection_count);
    return sum;
}

/* ------------------------------------------------------------------ messages */

bool worker_push(struct worker *worker, struct message *message) {
    return mailbox_push(&worker->mailbox, message);
}

void worker_wake(struct worker *worker) {
    assert((self == NULL || self->lane == NULL || self->lane->scopes == 0) &&
           "no system call while a shard is held");
    loop_wake(worker->loop);
}

/* Locks ring when they have been released. Only a lane that opens the gate for others may hold shards, those
 * that it came through the gate for: whoever was kept out must not wait until it is done with them. */
static void ring(struct bell *bell) {
    loop_wake(((struct worker *)((char *)bell - offsetof(struct worker, bell)))->loop);
}

void worker_send(struct worker *worker, struct message *message) {
    if (worker_push(worker, message)) worker_wake(worker);
}

static void read_all(struct worker *worker, struct mailbox *mailbox) {
    struct message *message;
    assert(self == worker && "nobody but its thread takes what is in its mailbox");
    mailbox_rearm(mailbox);
    while ((message = mailbox_pop(mailbox))) message->handle(worker, message);
}

/* An unset signal needs no rearming: whoever sets it wakes the loop, and the next turn sees it. */
void worker_read_mail(struct worker *worker) {
    if (mailbox_is_filled(&worker->mailbox)) read_all(worker, &worker->mailbox);
}

bool worker_push_news(struct worker *worker, struct message *message) {
    return mailbox_push(&worker->news, message);
}

void worker_push_news_quietly(struct worker *worker, struct message *message) {
    mailbox_push_quietly(&worker->news, message);
}

void worker_call_for_news(struct worker *worker) {
    if (mailbox_call(&worker->news)) worker_wake(worker);
}

/* What is awaited is in there; another thread may just be linking a message in front of it. */
void worker_read_news_until(struct worker *worker, const bool *is_read) {
    assert(self == worker);
    while (!*is_read) {
        struct message *message = mailbox_pop(&worker->news);
        if (message != NULL)
            message->handle(worker, message);
        else
            sched_yield();
    }
}

struct mark {
    struct message message;
    bool is_read;
};

static void mark_arrived(struct worker *worker, struct message *message) {
    (void)worker;
    ((struct mark *)message)->is_read = true;
}

/* What was sent by somebody whose client has been answered may be behind what another thread is just linking:
 * who has seen that answer is not answered before it is read. */
void worker_read_all_news(struct worker *worker) {
    struct mark mark = {.message.handle = mark_arrived};
    read_all(worker, &worker->news);
    if (!mailbox_is_cut(&worker->news)) return;
    (void)mailbox_push(&worker->news, &mark.message);
    worker_read_news_until(worker, &mark.is_read);
}

/* ------------------------------------------------------------------ moves */

void workers_freeze(void) {
    pthread_mutex_lock(&all.moves);
    atomic_fetch_add(&all.frozen, 1);
    pthread_mutex_unlock(&all.moves);
}

void workers_thaw(void) {
    atomic_fetch_sub(&all.frozen, 1);
}

bool workers_are_frozen(void) {
    return atomic_load_explicit(&all.frozen, memory_order_relaxed) > 0;
}

bool workers_move_begin(void) {
    pthread_mutex_lock(&all.moves);
    if (atomic_load(&all.frozen) == 0 && atomic_load(&all.stop_at) == 0) return true;
    pthread_mutex_unlock(&all.moves);
    return false;
}

void workers_move_end(void) {
    pthread_mutex_unlock(&all.moves);
}

/* ------------------------------------------------------------------ the end */

static void wake_all(void) {
    for (uint32_t i = 0; i < all.created; i++) worker_wake(all.workers[i]);
}

void workers_stop(int64_t milliseconds) {
    int64_t none = 0;
    if (!atomic_compare_exchange_strong(&all.stop_at, &none, clock_monotonic_ms() + milliseconds)) return;
    uint64_t one = 1;
    if (write(all.stopping_fd, &one, sizeof one) < 0)
        log_write(LOG_WARNING, "Can't tell that the workers stop: %s", strerror(errno));
    wake_all();
}

int64_t workers_stop_at(void) {
    return atomic_load_explicit(&all.stop_at, memory_order_relaxed);
}

void workers_drained_add(void) {
    if (atomic_fetch_add(&all.drained, 1) + 1 == all.count) wake_all();
}

bool workers_are_drained(void) {
    return atomic_load(&all.drained) == all.count;
}

int64_t workers_patience_ms(void) {
    return atomic_load_explicit(&config.shutdown_timeout, memory_order_relaxed) * 1000;
}

int workers_stopping_fd(void) {
    return all.stopping_fd;
}

bool workers_await_end(void) {
    struct pollfd ended = {.fd = all.ended_fd, .events = POLLIN};
    for (;;) {
        int64_t left = atomic_load(&all.stop_at) + END_MS - clock_monotonic_ms();
        int found = poll(&ended, 1, left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
        if (found > 0 || (found == 0 && left <= 0)) return found > 0;
    }
}

static void report_end(void) {
    uint64_t one = 1;
    if (atomic_fetch_add(&all.ended, 1) + 1 == all.created && write(all.ended_fd, &one, sizeof one) < 0) {
        log_write(LOG_WARNING, "Can't report the end of the workers: %s", strerror(errno));
    }
}

/* ------------------------------------------------------------------ the thread */

static void report_start(bool is_serving) {
    pthread_mutex_lock(&all.mutex);
    if (is_serving)
        all.started++;
    else
        all.failed++;
    pthread_cond_signal(&all.started_changed);
    pthread_mutex_unlock(&all.mutex);
}

static void *worker_run(void *argument) {
    struct worker *worker = argument;
    self = worker;
    char name[16];
    bool serves = worker->number < all.count;
    snprintf(name, sizeof name, serves ? "latchkey-w%u" : "latchkey-l%u",
             serves ? worker->number : worker->number - all.count);
    pthread_setname_np(pthread_self(), name);
    process_worker_begins(worker->number);
    worker->now = clock_wall_ms();
    worker->now_monotonic = clock_monotonic_ms();
    bool is_serving = worker->work->begin(worker);
    report_start(is_serving);
    if (is_serving) worker->work->serve(worker);
    report_end();
    return NULL;
}

static void worker_free(struct worker *worker) {
    if (!worker) return;
    worker->work->free(worker);
    loop_free(worker->loop);
    free(worker);
}

static struct worker *worker_create(uint32_t number, struct keyspace *keyspace,
                                    const struct worker_work *work, const void *context) {
    struct worker *worker = memory_lines(sizeof *worker);
    if (!worker) return NULL;
    worker->number = number;
    worker->work = work;
    worker->bell.ring = ring;
    worker->keyspace = keyspace;
    mailbox_init(&worker->mailbox);
    mailbox_init(&worker->news);
    char backend[32];
    config_text("io-backend", backend, sizeof backend);
    worker->loop = loop_create(backend, work->handlers, worker);
    if (!worker->loop)
        log_write(LOG_WARNING, "Can't create a loop for worker %u (io-backend %s): %s", number, backend,
                  strerror(errno));
    if (worker->loop && (!work->create || work->create(worker, context))) return worker;
    worker_free(worker);
    return NULL;
}

/* Threads of workers take no signals: those are the main thread's. */
static bool threads_create(void) {
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    uint32_t created = 0;
    int error = 0;
    while (created < all.created && error == 0) {
        assert(all.workers[created] && "they have been made before");
        error = pthread_create(&all.workers[created]->thread, NULL, worker_run, all.workers[created]);
        if (error == 0) created++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) log_write(LOG_WARNING, "Can't create a thread for worker %u: %s", created, strerror(error));
    pthread_mutex_lock(&all.mutex);
    while (all.started + all.failed < created) pthread_cond_wait(&all.started_changed, &all.mutex);
    bool is_done = all.started == all.created;
    pthread_mutex_unlock(&all.mutex);
    if (is_done) return true;
    workers_stop(0);
    for (uint32_t i = 0; i < created; i++) pthread_join(all.workers[i]->thread, NULL);
    return false;
}

static void workers_free(void) {
    for (uint32_t i = 0; i < all.created; i++) worker_free(all.workers[i]);
    free(all.workers);
    if (all.stopping_fd >= 0) close(all.stopping_fd);
    if (all.ended_fd >= 0) close(all.ended_fd);
    all.workers = NULL;
    all.count = all.aside = all.created = all.started = all.failed = 0;
    all.stopping_fd = all.ended_fd = -1;
    atomic_store(&all.stop_at, 0);
    atomic_store(&all.drained, 0);
    atomic_store(&all.ended, 0);
    atomic_store(&all.frozen, 0);
}

bool workers_start(struct keyspace *keyspace, uint32_t count, const struct worker_work *work,
                   const void *context, uint32_t aside, const struct worker_work *aside_work) {
    all.count = count;
    all.aside = aside;
    all.stopping_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    all.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    all.workers = calloc(count + aside, sizeof *all.workers);
    bool is_created = all.stopping_fd >= 0 && all.ended_fd >= 0 && all.workers;
    while (is_created && all.created < count + aside) {
        uint32_t i = all.created;
        all.workers[i] = worker_create(i, keyspace, i < count ? work : aside_work, context);
        if (all.workers[i])
            all.created++;
        else
            is_created = false;
    }
    if (!is_created || !threads_create()) {
        log_write(LOG_WARNING, "Can't start %u workers", count);
        workers_free();
        return false;
    }
    log_write(LOG_NOTICE, "%u workers and %u for long commands, loop: %s", count, aside,
              loop_backend_name(all.workers[0]->loop));
    return true;
}

void workers_abandon(void) {
    for (uint32_t i = 0; i < all.created; i++) pthread_detach(all.workers[i]->thread);
}

void workers_join(void) {
    for (uint32_t i = 0; i < all.created; i++) pthread_join(all.workers[i]->thread, NULL);
    workers_free();
}

void worker_account_session(struct worker *worker, const struct session *session, size_t before) {
    counter_add(&worker->name_bytes, (uint64_t)session_bytes(session) - before); /* modulo 2^64 */
}

double worker_cpu_seconds(const struct worker *worker) {
    clockid_t clock;
    struct timespec time;
    if (pthread_getcpuclockid(worker->thread, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}
