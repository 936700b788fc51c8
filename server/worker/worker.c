/* The workers: their threads, turns, and end.
 *
 * New connections. Every worker listens on every socket; who is awake first takes the connection and gives it
 * to the worker that has the fewest: itself, or another by message. A worker that is busy for long takes
 * none, and no connection waits for it. Later they may move (balance.h).
 *
 * Stopping. Each worker stops listening, receives what has arrived up to now, and goes on with its turns
 * until nothing is unanswered or unsent. A request of one worker may wait for an answer of another, so that
 * all of them keep turning until the last is done, or the time is over. */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shard/base/counter.h"
#include "shard/lock/lane.h"
#include "shard/base/memory.h"
#include "server/client/client_limit.h"
#include "server/base/clock.h"
#include "server/config/config.h"
#include "server/run/dispatch.h"
#include "server/base/log.h"
#include "server/base/process.h"

#define TICK_MS 100
/* After the time that workers have for their end: to close what is left, and to notice. */
#define END_MS 1000
/* More than that at once is a pipeline, which is looked at ahead by itself. */
#define AHEAD_MOST 512
/* A tick looks at one in so many connections, so that each is looked at about once a second. */
#define SWEEP_TICKS 10
#define SWEEP_LEAST 16
#define QUIET_MOST 256
/* How long a worker doesn't listen when there are no descriptors. */
#define LISTEN_PAUSE_MS 200
/* A turn that has lasted for so long may last longer: a usual one takes less than a millisecond. */
#define STUCK_MS 10

/* All of them. Set up by workers_start before the first thread and freed by workers_join after the last. */
static struct {
    struct worker **workers;
    uint32_t count;
    int stopping_fd, ended_fd;
    _Atomic int64_t stop_at; /* monotonic ms by which all have ended; 0: not stopping */
    _Atomic uint32_t drained, ended;
    _Atomic int64_t complained; /* monotonic ms of the last log line about missing descriptors */
    pthread_mutex_t moves;      /* held while a connection is put in another worker's mailbox */
    _Atomic uint32_t frozen;    /* changed with `moves` held, from 0: nobody moves meanwhile */
    pthread_mutex_t mutex;      /* of the start only */
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

struct worker *worker_at(uint32_t number) {
    return all.workers[number];
}

uint64_t workers_connection_count(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < all.count; i++) sum += counter_read(&all.workers[i]->connection_count);
    return sum;
}

struct connection *worker_find_connection(struct worker *worker, uint64_t id) {
    return connection_ids_find(&worker->ids, id);
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

/* Locks ring when they have been released. Only who opens the gate for others may hold shards, those that it
 * came through the gate for: whoever was kept out must not wait until it is done with them. */
static void ring(struct bell *bell) {
    loop_wake(((struct worker *)((char *)bell - offsetof(struct worker, bell)))->loop);
}

void worker_send(struct worker *worker, struct message *message) {
    if (worker_push(worker, message)) worker_wake(worker);
}

/* An unset signal needs no rearming: whoever sets it wakes the loop, and the next turn sees it. */
static void mail_handle(struct worker *worker) {
    if (!atomic_load_explicit(&worker->mailbox.is_signalled, memory_order_relaxed)) return;
    mailbox_rearm(&worker->mailbox);
    struct message *message;
    while ((message = mailbox_pop(&worker->mailbox))) message->handle(worker, message);
}

/* ------------------------------------------------------------------ new connections */

/* A connection on its way to the worker that will have it: a new one, or one that another had. */
struct handover {
    struct message message;
    struct connection *connection; /* NULL: new */
    int fd;
    bool is_unix;
};

static void worker_adopt(struct worker *worker, int fd, bool is_unix) {
    if (worker->is_stopping) {
        close(fd);
    } else if (connection_open(worker, fd, is_unix)) {
        return;
    }
    atomic_fetch_sub_explicit(&worker->assigned, 1, memory_order_relaxed);
}

static void handover_handle(struct worker *worker, struct message *message) {
    struct handover *handover = (struct handover *)message;
    if (!handover->connection)
        worker_adopt(worker, handover->fd, handover->is_unix);
    else if (!connection_arrive(handover->connection, worker))
        atomic_fetch_sub_explicit(&worker->assigned, 1, memory_order_relaxed);
    else if (worker->is_stopping)
        connection_last_call(handover->connection);
    free(handover);
}

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

/* A worker that stops lets all moves end before it takes its last look at the mailbox. */
bool worker_hand_over(struct connection *connection, struct worker *destination) {
    struct handover *handover = malloc(sizeof *handover);
    if (!handover) return false;
    *handover = (struct handover){.message.handle = handover_handle, .connection = connection};
    pthread_mutex_lock(&all.moves);
    bool goes =
        atomic_load(&all.frozen) == 0 && atomic_load(&all.stop_at) == 0 && connection_has_left(connection);
    if (goes) {
        atomic_fetch_add_explicit(&destination->assigned, 1, memory_order_relaxed);
        worker_send(destination, &handover->message);
    }
    pthread_mutex_unlock(&all.moves);
    if (!goes) free(handover);
    return goes;
}

/* Its turn lasts: it runs a long command, and who would be given to it now would wait for the end of that. */
static bool is_stuck(struct worker *worker, int64_t now) {
    int64_t since = atomic_load_explicit(&worker->turning_since, memory_order_relaxed);
    return since != 0 && now - since >= STUCK_MS;
}

/* Those that are busy with one thing for long, and then those that may lack a processor, get none while there
 * are others. */
static struct worker *worker_with_fewest(struct worker *own) {
    struct worker *fewest = own;
    uint64_t least = counter_read(&own->assigned);
    bool is_in_doubt = balance_is_in_doubt(own);
    int64_t now = clock_monotonic_ms();
    for (uint32_t i = 0; i < all.count; i++) {
        bool is_this_in_doubt = balance_is_in_doubt(all.workers[i]);
        if (all.workers[i] != own && is_stuck(all.workers[i], now)) continue;
        uint64_t count = counter_read(&all.workers[i]->assigned);
        if (is_this_in_doubt != is_in_doubt ? is_this_in_doubt : count >= least) continue;
        least = count;
        fewest = all.workers[i];
        is_in_doubt = is_this_in_doubt;
    }
    return fewest;
}

static uint64_t assigned_total(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < all.count; i++) sum += counter_read(&all.workers[i]->assigned);
    return sum;
}

static void refuse(struct worker *worker, int fd, const char *error) {
    /* A new socket takes a line; if not, there is nobody to tell. */
    if (send(fd, error, strlen(error), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_write(LOG_DEBUG, "Can't tell a refused client");
    close(fd);
    counter_add(&worker->rejected_connections, 1);
}

/* Descriptors or memory are used up: all the worker's listeners rest for a moment, so that the loop doesn't
 * turn in vain. */
static void listening_rest(struct worker *worker, int error) {
    for (uint32_t i = 0; i < worker->listener_count; i++)
        loop_set_listening(worker->loop, &worker->listeners[i], false);
    worker->listen_again = worker->now_monotonic + LISTEN_PAUSE_MS;
    int64_t last = atomic_load(&all.complained);
    if ((last && worker->now_monotonic - last < 10000) ||
        !atomic_compare_exchange_strong(&all.complained, &last, worker->now_monotonic)) {
        return;
    }
    log_write(LOG_WARNING, "Can't accept clients: %s. %s", strerror(error),
              error == EMFILE || error == ENFILE
                  ? "Lower 'maxclients', or raise the limit of open files (ulimit -n, LimitNOFILE=)."
                  : "New clients wait until there is room.");
}

static void listening_resume(struct worker *worker) {
    for (uint32_t i = 0; i < worker->listener_count; i++)
        loop_set_listening(worker->loop, &worker->listeners[i], true);
    worker->listen_again = 0;
}

static void on_accepted(void *context, struct stream *listener, int fd) {
    struct worker *worker = context;
    bool is_unix = listener->is_unix;
    if (fd == -EINVAL) { /* it was shut down; a message on its way drops it, or says that it listens again */
        loop_set_listening(worker->loop, listener, false);
        return;
    }
    if (fd < 0) {
        listening_rest(worker, -fd);
        return;
    }
    if (assigned_total() >= (uint64_t)atomic_load_explicit(&config.maxclients, memory_order_relaxed)) {
        refuse(worker, fd, "-ERR max number of clients reached\r\n");
        return;
    }
    if (!is_unix && listen_refuses(fd)) {
        refuse(worker, fd,
               "-DENIED Protected mode is on: without a password and a chosen address only local clients are "
               "served. To be reached from "
               "elsewhere, set 'requirepass', or 'bind' to the addresses to serve on, or, on a network you "
               "trust, 'protected-mode no'.\r\n");
        return;
    }
    if (!is_unix) listen_tune(fd);
    struct worker *home = worker_with_fewest(worker);
    atomic_fetch_add_explicit(&home->assigned, 1, memory_order_relaxed);
    struct handover *handover = home != worker ? malloc(sizeof *handover) : NULL;
    if (handover) {
        *handover = (struct handover){.message.handle = handover_handle, .fd = fd, .is_unix = is_unix};
        worker_send(home, &handover->message);
        return;
    }
    if (home != worker) { /* no memory for a message: stays here */
        atomic_fetch_sub_explicit(&home->assigned, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&worker->assigned, 1, memory_order_relaxed);
    }
    worker_adopt(worker, fd, is_unix);
}

/* ------------------------------------------------------------------ other sockets to listen on */

/* What all workers are told, each by a message of its own. The last that has heard it ends it. */
struct relisten {
    _Atomic uint32_t pending;
    struct listening listening;
    int dropped[LISTEN_MOST];
    uint32_t dropped_count;
    struct relisten_message {
        struct message message;
        struct relisten *relisten;
    } messages[];
};

static void relisten_heard(struct relisten *relisten) {
    if (atomic_fetch_sub(&relisten->pending, 1) > 1) return;
    for (uint32_t i = 0; i < relisten->dropped_count; i++) close(relisten->dropped[i]);
    free(relisten);
}

static bool is_among(int fd, const int *fds, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (fds[i] == fd) return true;
    return false;
}

static void listener_add(struct worker *worker, int fd, bool is_unix) {
    uint32_t place = worker->listener_count;
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        if (worker->listeners[i].fd == fd) {
            if (!worker->listen_again) loop_set_listening(worker->loop, &worker->listeners[i], true);
            return;
        }
        if (worker->listeners[i].is_closed) place = i;
    }
    struct stream *listener = &worker->listeners[place];
    listener->is_unix = is_unix;
    if (!loop_listen(worker->loop, listener, fd)) {
        log_write(LOG_WARNING, "Worker %u can't listen: %s", worker->number, strerror(errno));
        listener->is_closed = true;
        listener->fd = -1;
    } else if (worker->listen_again) {
        loop_set_listening(worker->loop, listener, false);
    }
    if (place == worker->listener_count) worker->listener_count++;
}

static void relisten_handle(struct worker *worker, struct message *message) {
    struct relisten *relisten = ((struct relisten_message *)message)->relisten;
    for (uint32_t i = 0; i < worker->listener_count && !worker->is_stopping; i++) {
        struct stream *listener = &worker->listeners[i];
        if (!listener->is_closed &&
            !is_among(listener->fd, relisten->listening.sockets, relisten->listening.count))
            loop_unlisten(worker->loop, listener);
    }
    for (uint32_t i = 0; i < relisten->listening.count && !worker->is_stopping; i++)
        listener_add(worker, relisten->listening.sockets[i], relisten->listening.is_unix[i]);
    relisten_heard(relisten);
}

bool workers_listen(const struct listening *listening, const int *dropped, uint32_t dropped_count) {
    struct relisten *relisten = calloc(1, sizeof *relisten + all.count * sizeof relisten->messages[0]);
    if (!relisten) return false;
    relisten->listening = *listening;
    relisten->dropped_count = dropped_count;
    for (uint32_t i = 0; i < dropped_count; i++) relisten->dropped[i] = dropped[i];
    atomic_store(&relisten->pending, all.count);
    for (uint32_t i = 0; i < all.count; i++) {
        relisten->messages[i] =
            (struct relisten_message){.message.handle = relisten_handle, .relisten = relisten};
        worker_send(all.workers[i], &relisten->messages[i].message);
    }
    return true;
}

/* ------------------------------------------------------------------ a turn */

/* Somebody may wait for the gate: between two connections is the moment. */
static void gate_yield(struct worker *worker) {
    if (worker->is_inside) dispatch_yield(worker);
}

static void on_received(void *context, struct stream *stream, char *data, ssize_t length) {
    connection_receive((struct connection *)stream, data, length);
    gate_yield(context);
}

/* Requests of several connections are as good as a pipeline: their cache lines can be fetched together. */
static void on_arrived(void *context, const struct stream *stream, char *data, size_t length) {
    struct worker *worker = context;
    if (!worker->is_inside) return;
    if (!stream)
        dispatch_fetch_ahead(worker);
    else if (length <= AHEAD_MOST && connection_is_between_requests((const struct connection *)stream))
        dispatch_look_ahead(worker, ((const struct connection *)stream)->task.session.database, data, length);
}

static void on_sendable(void *context, struct stream *stream) {
    (void)context;
    connection_sendable((struct connection *)stream);
}

static const struct loop_handlers handlers = {
    .accepted = on_accepted,
    .received = on_received,
    .arrived = on_arrived,
    .sendable = on_sendable,
};

/* Those that were ready when the turn began; who is not done goes behind them and runs in the next. */
static void run_ready(struct worker *worker, uint32_t count) {
    while (count-- > 0 && worker->ready.first) {
        connection_run(connection_of(worker->ready.first));
        gate_yield(worker);
    }
}

static void flush(struct worker *worker) {
    struct connection *connection = worker->flush;
    worker->flush = NULL;
    while (connection) {
        struct connection *next = connection->flush_next;
        connection->is_flush_due = false;
        connection->flush_next = NULL;
        if (connection->state != CONNECTION_CLOSED && !connection->stream.is_sending)
            connection_sendable(connection);
        connection = next;
    }
}

/* One that was to be flushed once more stays until the list of those has let go of it. */
static void free_closed(struct worker *worker) {
    struct task *kept = NULL;
    while (worker->closed) {
        struct connection *connection = connection_of(worker->closed);
        worker->closed = connection->task.queue_next;
#ifdef PLANT_FREED_FLUSH
        connection->is_flush_due = false;
#endif
        if (!connection->is_flush_due) {
            connection_free(connection);
            continue;
        }
        connection->task.queue_next = kept;
        kept = &connection->task;
    }
    worker->closed = kept;
}

/* Those whose clients have gone without the loop's being told, whatever the reason. */
struct quiet {
    struct connection *connections[QUIET_MOST];
    struct pollfd watched[QUIET_MOST];
    nfds_t count;
};

static void end_those_hung_up(struct quiet *quiet) {
    int found = quiet->count > 0 ? poll(quiet->watched, quiet->count, 0) : 0;
    for (nfds_t i = 0; i < quiet->count && found > 0; i++) {
        short events = quiet->watched[i].revents;
        if (events == 0) continue;
        found--;
        connection_hung_up(quiet->connections[i], (events & (POLLERR | POLLHUP)) != 0);
    }
    quiet->count = 0;
}

static void sweep(struct worker *worker) {
    struct quiet quiet = {.count = 0};
    uint64_t count = counter_read(&worker->connection_count) / SWEEP_TICKS + SWEEP_LEAST;
    if (!worker->sweep) worker->sweep = worker->connections;
    while (count-- > 0 && worker->sweep) {
        struct connection *connection = worker->sweep;
        worker->sweep = connection->next;
        connection_check(connection);
#ifndef PLANT_UNNOTICED_END
        if (!connection_is_quiet(connection)) continue;
#else
        continue;
#endif
        quiet.connections[quiet.count] = connection;
        quiet.watched[quiet.count++] = (struct pollfd){.fd = connection->stream.fd, .events = POLLRDHUP};
        if (quiet.count == QUIET_MOST) end_those_hung_up(&quiet);
    }
    end_those_hung_up(&quiet);
}

static bool needs_ticks(const struct worker *worker) {
    return worker->listen_again || worker->lingering.first || worker->over_soft_limit ||
           worker->is_stopping || counter_read(&worker->output_bytes) > 0 ||
           (worker->connections && atomic_load_explicit(&config.timeout, memory_order_relaxed) > 0);
}

static void tick(struct worker *worker) {
    if (worker->now_monotonic < worker->next_tick) return;
    worker->next_tick = worker->now_monotonic + TICK_MS;
    if (worker->listen_again && worker->now_monotonic >= worker->listen_again && !worker->is_stopping)
        listening_resume(worker);
    /* All linger for the same time, so the first ends first. */
    for (struct connection *first; worker->lingering.first;) {
        first = connection_of(worker->lingering.first);
        if (first->linger_until > worker->now_monotonic) break;
        connection_close(first, NULL);
    }
    sweep(worker);
}

/* One turn. `milliseconds` is how long it may wait; returns how long the next one may. */
static int turn(struct worker *worker, int milliseconds) {
    bool is_idle = loop_wait(worker->loop, milliseconds) == 0 && worker->ready.count == 0;
    worker->now = clock_wall_ms();
    worker->now_monotonic = clock_monotonic_ms();
    counter_add(&worker->turns, 1);
    atomic_store_explicit(&worker->turning_since, worker->now_monotonic, memory_order_relaxed);
    mail_handle(worker);
    uint32_t ready = worker->ready.count;
    dispatch_enter(worker);
    worker->is_inside = true;
    loop_deliver(worker->loop);
    run_ready(worker, ready);
    dispatch_leave(worker);
    worker->is_inside = false;
    int next = dispatch_timers(worker, is_idle);
    tick(worker);
    flush(worker);
    client_limit_check(worker);
    balance_turn(worker);
    free_closed(worker);
    atomic_store_explicit(&worker->turning_since, 0, memory_order_relaxed);
    if (worker->ready.first || worker->flush) return 0;
    if (needs_ticks(worker) && (next < 0 || next > TICK_MS)) next = TICK_MS;
    int patience = balance_patience(worker);
    return patience >= 0 && (next < 0 || next > patience) ? patience : next;
}

/* ------------------------------------------------------------------ the end */

static void stop_begin(struct worker *worker) {
    worker->is_stopping = true;
    worker->listen_again = 0;
    for (uint32_t i = 0; i < worker->listener_count; i++)
        loop_set_listening(worker->loop, &worker->listeners[i], false);
}

/* What has arrived by now is run, however long it takes to be received. A client that never stops sending
 * doesn't hold up the end. */
static void stop_receive(struct worker *worker) {
    turn(worker, 0); /* bytes that the loop has taken from the kernel already */
    for (struct connection *connection = worker->connections; connection; connection = connection->next)
        connection_last_call(connection);
}

static bool has_busy(const struct worker *worker) {
    for (struct connection *connection = worker->connections; connection; connection = connection->next) {
        if (connection_is_busy(connection)) return true;
    }
    return false;
}

static void close_last(struct connection *connection) {
    connection_discard_input(connection);
    connection_close(connection, NULL);
}

static void close_all(struct worker *worker) {
    while (worker->connections) close_last(worker->connections);
    while (worker->lingering.first) close_last(connection_of(worker->lingering.first));
    flush(worker);
    free_closed(worker);
}

static void stop(struct worker *worker) {
    stop_begin(worker);
    balance_stop(worker);
    workers_freeze(); /* whoever is on the way here is in the mailbox now; and nobody moves any more */
    stop_receive(worker);
    int milliseconds = 0;
    for (;;) {
        milliseconds = turn(worker, milliseconds);
        if (!worker->is_drained && !has_busy(worker)) {
            worker->is_drained = true;
            if (atomic_fetch_add(&all.drained, 1) + 1 == all.count) {
                for (uint32_t i = 0; i < all.count; i++) worker_wake(all.workers[i]);
            }
        }
        if (atomic_load(&all.drained) == all.count || worker->now_monotonic >= atomic_load(&all.stop_at))
            break;
    }
    close_all(worker);
    mail_handle(worker);
    close_all(worker); /* whoever came with the mail */
}

void workers_stop(int64_t milliseconds) {
    int64_t none = 0;
    if (!atomic_compare_exchange_strong(&all.stop_at, &none, clock_monotonic_ms() + milliseconds)) return;
    uint64_t one = 1;
    if (write(all.stopping_fd, &one, sizeof one) < 0)
        log_write(LOG_WARNING, "Can't tell that the workers stop: %s", strerror(errno));
    for (uint32_t i = 0; i < all.count; i++) worker_wake(all.workers[i]);
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
    if (atomic_fetch_add(&all.ended, 1) + 1 == all.count && write(all.ended_fd, &one, sizeof one) < 0) {
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

static bool listeners_add(struct worker *worker) {
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        if (loop_listen(worker->loop, &worker->listeners[i], worker->listeners[i].fd)) continue;
        log_write(LOG_WARNING, "Worker %u can't listen: %s", worker->number, strerror(errno));
        return false;
    }
    return true;
}

static void *worker_run(void *argument) {
    struct worker *worker = argument;
    self = worker;
    char name[16];
    snprintf(name, sizeof name, "latchkey-w%u", worker->number);
    pthread_setname_np(pthread_self(), name);
    process_worker_begins(worker->number);
    worker->now = clock_wall_ms();
    worker->now_monotonic = clock_monotonic_ms();
    bool is_attached = dispatch_attach(worker, worker->keyspace);
    if (!is_attached) log_write(LOG_WARNING, "Worker %u finds no seat at the keyspace", worker->number);
    bool is_serving = is_attached && listeners_add(worker);
    balance_start(worker);
    report_start(is_serving);
    int milliseconds = 0;
    while (is_serving && !atomic_load_explicit(&all.stop_at, memory_order_relaxed))
        milliseconds = turn(worker, milliseconds);
    if (is_serving) stop(worker);
    if (is_attached) dispatch_detach(worker);
    balance_end(worker);
    report_end();
    return NULL;
}

static void worker_free(struct worker *worker) {
    if (!worker) return;
    /* Who ended earlier may still have been sent a connection. Other messages came too late to matter; nobody
     * waits for them. */
    struct message *message;
    while ((message = mailbox_pop(&worker->mailbox))) {
        if (message->handle == relisten_handle)
            relisten_heard(((struct relisten_message *)message)->relisten);
        if (message->handle != handover_handle) continue;
        struct handover *handover = (struct handover *)message;
        close(handover->connection ? handover->connection->stream.fd : handover->fd);
        if (handover->connection) connection_free(handover->connection);
        free(handover);
    }
    dispatch_free(worker);
    loop_free(worker->loop);
    connection_ids_free(&worker->ids);
    free(worker->monitors);
    free(worker->arguments);
    free(worker);
}

static struct worker *worker_create(uint32_t number, struct keyspace *keyspace, const int *sockets,
                                    const bool *is_unix, uint32_t count) {
    struct worker *worker = memory_lines(sizeof *worker);
    if (!worker) return NULL;
    worker->number = number;
    worker->bell.ring = ring;
    worker->keyspace = keyspace;
    mailbox_init(&worker->mailbox);
    worker->listener_count = count;
    for (uint32_t i = 0; i < count; i++) {
        worker->listeners[i] = (struct stream){.fd = sockets[i], .is_unix = is_unix[i]};
    }
    char backend[32];
    config_text("io-backend", backend, sizeof backend);
    worker->loop = loop_create(backend, &handlers, worker);
    if (worker->loop) return worker;
    log_write(LOG_WARNING, "Can't create a loop for worker %u (io-backend %s): %s", number, backend,
              strerror(errno));
    worker_free(worker);
    return NULL;
}

/* The option is looked at in ticks, and a worker without reason to tick may wait for ever. */
static void on_timeout_changed(void) {
    for (uint32_t i = 0; i < all.count; i++) worker_wake(all.workers[i]);
}

/* Threads of workers take no signals: those are the main thread's. */
static bool threads_create(void) {
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    uint32_t created = 0;
    int error = 0;
    while (created < all.count && error == 0) {
        error = pthread_create(&all.workers[created]->thread, NULL, worker_run, all.workers[created]);
        if (error == 0) created++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) log_write(LOG_WARNING, "Can't create a thread for worker %u: %s", created, strerror(error));
    pthread_mutex_lock(&all.mutex);
    while (all.started + all.failed < created) pthread_cond_wait(&all.started_changed, &all.mutex);
    bool is_done = all.started == all.count;
    pthread_mutex_unlock(&all.mutex);
    if (is_done) return true;
    workers_stop(0);
    for (uint32_t i = 0; i < created; i++) pthread_join(all.workers[i]->thread, NULL);
    return false;
}

static void workers_free(void) {
    for (uint32_t i = 0; i < all.count; i++) worker_free(all.workers[i]);
    free(all.workers);
    if (all.stopping_fd >= 0) close(all.stopping_fd);
    if (all.ended_fd >= 0) close(all.ended_fd);
    all.workers = NULL;
    all.count = all.started = all.failed = 0;
    all.stopping_fd = all.ended_fd = -1;
    atomic_store(&all.stop_at, 0);
    atomic_store(&all.drained, 0);
    atomic_store(&all.ended, 0);
    atomic_store(&all.frozen, 0);
}

bool workers_start(struct keyspace *keyspace, uint32_t count, const int *sockets, const bool *is_unix,
                   uint32_t socket_count) {
    all.stopping_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    all.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    all.workers = calloc(count, sizeof *all.workers);
    bool is_created = all.stopping_fd >= 0 && all.ended_fd >= 0 && all.workers;
    for (uint32_t i = 0; is_created && i < count; i++) {
        all.workers[i] = worker_create(i, keyspace, sockets, is_unix, socket_count);
        if (all.workers[i])
            all.count++;
        else
            is_created = false;
    }
    config_on_change("timeout", on_timeout_changed); /* before there is a thread that could change it */
    if (!is_created || !threads_create()) {
        log_write(LOG_WARNING, "Can't start %u workers", count);
        workers_free();
        return false;
    }
    log_write(LOG_NOTICE, "%u workers, loop: %s", count, loop_backend_name(all.workers[0]->loop));
    return true;
}

void workers_abandon(void) {
    for (uint32_t i = 0; i < all.count; i++) pthread_detach(all.workers[i]->thread);
}

void workers_join(void) {
    for (uint32_t i = 0; i < all.count; i++) pthread_join(all.workers[i]->thread, NULL);
    workers_free();
}

double worker_cpu_seconds(const struct worker *worker) {
    clockid_t clock;
    struct timespec time;
    if (pthread_getcpuclockid(worker->thread, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}
