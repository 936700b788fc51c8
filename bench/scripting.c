/* Scripts on several threads, without sockets: how many times as many are run by N workers as by one, if no
 * two want the same keys.
 *
 *     build/release/bench/scripting [seconds] [workers] [rounds] [row]      as a rule 1, 2, 9 and all rows
 *
 * Each worker runs its own client's scripts, one after the other, as dispatch is given them by a connection:
 * EVALSHA of a GET, of a token bucket (HMGET, arithmetic, HSET, PEXPIRE), and for comparison plain GET and
 * SET; and SET while a client of one more worker hears of each (keyevent), and beside it, while each is only
 * counted, with its shard held, where all workers count. In each round one worker runs alone, then all of
 * them; what is shown are medians over the rounds: requests per second, and the nanoseconds of CPU that each
 * took on all threads, which others on the machine disturb less. */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resp/reply.h"
#include "resp/request.h"
#include "server/base/clock.h"
#include "server/base/process.h"
#include "server/broadcast/channels.h"
#include "server/broadcast/notify.h"
#include "server/commands/commands.h"
#include "server/config/config.h"
#include "server/interest/blocking.h"
#include "server/interest/interest.h"
#include "server/interest/watch.h"
#include "server/net/loop.h"
#include "server/run/dispatch.h"
#include "server/run/long_work.h"
#include "server/run/slow_script.h"
#include "server/task/task.h"
#include "server/worker/worker.h"

#define WORKERS_MOST 64
#define ROUNDS_MOST 99
#define KEYS 1000
#define WORDS_MOST 8
#define SHA_LENGTH 40
/* Requests between two looks at the time. */
#define BURST 64

/* From the last one on, somebody hears of it. */
enum kind { KIND_GET, KIND_SET, KIND_EVALSHA, KIND_BUCKET, KIND_SET_COUNTED, KIND_SET_TOLD, KINDS };
static const char *const kind_names[KINDS] = {
    "GET", "SET", "EVALSHA of GET", "EVALSHA of a token bucket", "SET, counted", "SET, told of"};
static const char *const sources[KINDS] = {
    [KIND_EVALSHA] = "return redis.call('get', KEYS[1])",
    [KIND_BUCKET] =
        "local b = redis.call('hmget', KEYS[1], 'tokens', 'time') local now = tonumber(ARGV[1]) "
        "local tokens = math.min(10, (tonumber(b[1]) or 10) + (now - (tonumber(b[2]) or now)) * 5) "
        "local is_let = tokens >= 1 if is_let then tokens = tokens - 1 end "
        "redis.call('hset', KEYS[1], 'tokens', tokens, 'time', now) redis.call('pexpire', KEYS[1], 60000) "
        "return is_let and 1 or 0",
};

static struct keyspace *keyspace;
static char shas[KINDS][SHA_LENGTH + 1];
/* Of the part at hand: set before its workers are let go. */
static enum kind kind;
static double seconds = 1;
static sem_t go[WORKERS_MOST], done;
static uint64_t counts[WORKERS_MOST];
static atomic_bool is_over;
static uint32_t workers; /* that are measured; the next one listens */

static void give_up(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* ------------------------------------------------------------------ the least that all must agree upon */

static struct {
    _Alignas(64) _Atomic uint64_t changes;
    _Alignas(64) _Atomic uint32_t is_wanted;
} tally;

static void on_changed(void *context, struct write_scope *scope, const struct key *key,
                       const struct entry *entry, enum event event, bool is_new) {
    (void)context, (void)scope, (void)key, (void)entry, (void)event, (void)is_new;
    atomic_fetch_add(&tally.changes, 1);
}

static void tally_begin(bool is_wanted) {
    atomic_store(&tally.is_wanted, is_wanted);
    keyspace_want(keyspace, is_wanted);
}

/* ------------------------------------------------------------------ a client of a worker */

static void on_wake(struct task *task, enum park_reason reason) {
    (void)task;
    (void)reason;
}

static void on_peer(const struct task *task, char *out, size_t size) {
    (void)task;
    snprintf(out, size, "here");
}

static bool is_local(const struct task *task) {
    (void)task;
    return true;
}

static bool on_hand_over(struct task *task, const struct bulk *arguments, struct request_memory *memory) {
    (void)task;
    (void)arguments;
    (void)memory;
    return false;
}

static void on_push(struct task *task, const char *data, size_t length) {
    (void)task;
    (void)data;
    (void)length;
}

static void on_push_reference(struct task *task, const char *data, size_t length, void *owner,
                              void (*release)(void *owner)) {
    on_push(task, data, length);
    release(owner);
}

static const struct task_functions functions = {.wake = on_wake,
                                                .push = on_push,
                                                .push_reference = on_push_reference,
                                                .peer = on_peer,
                                                .origin = on_peer,
                                                .is_local = is_local,
                                                .hand_over = on_hand_over};

struct client {
    struct worker *worker;
    struct task task;
    struct reply reply;
};

/* One that was interrupted for long has become a long thread's, and one may wait for a key: as a worker that
 * has nothing else to do. */
static void wait_outside(struct client *client) {
    struct worker *worker = client->worker;
    dispatch_leave(worker);
    for (int next = 0; task_is_parked(&client->task); loop_deliver(worker->loop)) {
        (void)loop_wait(worker->loop, next);
        worker->now = clock_wall_ms();
        worker->now_monotonic = clock_monotonic_ms();
        worker_read_mail(worker);
        next = dispatch_timers(worker, false);
    }
    dispatch_enter(worker);
}

static void ask(struct client *client, const char *const *words, uint32_t count) {
    struct bulk arguments[WORDS_MOST];
    for (uint32_t i = 0; i < count; i++)
        arguments[i] = (struct bulk){.data = (char *)(uintptr_t)words[i], .length = strlen(words[i])};
    reply_clear(&client->reply, SIZE_MAX);
    while (dispatch_request(client->worker, &client->task, arguments, count, NULL, &client->reply) !=
           OUTCOME_DONE)
        wait_outside(client);
    if (client->reply.length == 0 || client->reply.data[0] == '-') give_up("a request was answered an error");
}

static void key_name(char *out, size_t size, const struct client *client, uint64_t number) {
    snprintf(out, size, "%s:%u:%llu", kind == KIND_BUCKET ? "bucket" : "key", client->worker->number,
             (unsigned long long)number);
}

static void ask_next(struct client *client, uint64_t number) {
    char key[64], now[32];
    key_name(key, sizeof key, client, number % KEYS);
    snprintf(now, sizeof now, "%llu", (unsigned long long)(number / KEYS));
    if (kind == KIND_GET)
        ask(client, (const char *const[]){"GET", key}, 2);
    else if (kind == KIND_SET || kind == KIND_SET_COUNTED || kind == KIND_SET_TOLD)
        ask(client, (const char *const[]){"SET", key, now}, 3);
    else
        ask(client, (const char *const[]){"EVALSHA", shas[kind], "1", key, now}, 5);
}

static void fill(struct client *client) {
    char key[64];
    for (uint64_t i = 0; i < KEYS; i++) {
        key_name(key, sizeof key, client, i);
        ask(client, (const char *const[]){"SET", key, "a value of some bytes"}, 3);
    }
}

static void turn(struct client *client, uint64_t first) {
    struct worker *worker = client->worker;
    worker->now = clock_wall_ms();
    worker->now_monotonic = clock_monotonic_ms();
    worker_read_mail(worker);
    dispatch_enter(worker);
    for (uint64_t i = 0; i < BURST; i++) ask_next(client, first + i);
    dispatch_leave(worker);
    (void)dispatch_timers(worker, false);
}

static uint64_t run(struct client *client) {
    if (kind == KIND_SET_TOLD && client->worker->number == 0) {
        dispatch_enter(client->worker);
        ask(client, (const char *const[]){"CONFIG", "SET", "notify-keyspace-events", "E$"}, 4);
        dispatch_leave(client->worker);
    }
    uint64_t count = 0, began = clock_cycles();
    while ((double)clock_cycles_to_ns(clock_cycles() - began) < seconds * 1e9) {
        turn(client, count);
        count += BURST;
    }
    return count;
}

/* ------------------------------------------------------------------ the workers */

static void load_scripts(struct client *client) {
    for (int i = 0; i < KINDS; i++) {
        if (sources[i] == NULL) continue;
        ask(client, (const char *const[]){"SCRIPT", "LOAD", sources[i]}, 3);
        memcpy(shas[i], client->reply.data + strlen("$40\r\n"), SHA_LENGTH);
    }
}

static void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0 && errno == EINTR) continue;
}

static void listen_until_over(struct client *client) {
    struct worker *worker = client->worker;
    dispatch_enter(worker);
    ask(client, (const char *const[]){"SUBSCRIBE", "__keyevent@0__:set"}, 2);
    dispatch_leave(worker);
    for (sem_post(&done); !atomic_load(&is_over); loop_deliver(worker->loop)) {
        (void)loop_wait(worker->loop, 100);
        worker_read_mail(worker);
        worker_read_news(worker);
        (void)dispatch_timers(worker, false);
    }
}

static void run_until_over(struct client *client) {
    struct worker *worker = client->worker;
    dispatch_enter(worker);
    fill(client);
    if (worker->number == 0) load_scripts(client);
    dispatch_leave(worker);
    sem_post(&done);
    for (wait_for(&go[worker->number]); !atomic_load(&is_over); wait_for(&go[worker->number])) {
        counts[worker->number] = run(client);
        sem_post(&done);
    }
}

static void on_serve(struct worker *worker) {
    struct client client = {
        .worker = worker,
        .task = {.functions = &functions,
                 .session = {.id = worker->number + 1, .protocol = 2, .is_authenticated = true}}};
    reply_init(&client.reply, 2);
    if (worker->number == workers)
        listen_until_over(&client);
    else
        run_until_over(&client);
    dispatch_forget(worker, &client.task);
    reply_free(&client.reply);
    dispatch_detach(worker);
    sem_post(&done);
}

static bool on_begin(struct worker *worker) {
    return dispatch_attach(worker, keyspace);
}

static void on_free(struct worker *worker) {
    dispatch_free(worker);
}

static const struct loop_handlers handlers = {.accepted = NULL}; /* its loop has no streams */
static const struct worker_work work = {
    .handlers = &handlers, .begin = on_begin, .serve = on_serve, .free = on_free};

/* ------------------------------------------------------------------ a part: some of them run */

/* So many requests in a second, and the CPU time that all threads took for each of them. */
struct pace {
    double rate, cpu_ns;
};

static double cpu_seconds(void) {
    double sum = 0;
    for (uint32_t i = 0; i <= workers; i++) sum += worker_cpu_seconds(worker_at(i));
    return sum;
}

static struct pace pace_of(uint32_t running) {
    uint64_t sum = 0;
    double cpu = cpu_seconds();
    for (uint32_t i = 0; i < running; i++) sem_post(&go[i]);
    for (uint32_t i = 0; i < running; i++) wait_for(&done);
    for (uint32_t i = 0; i < running; i++) sum += counts[i];
    return (struct pace){.rate = (double)sum / seconds, .cpu_ns = (cpu_seconds() - cpu) * 1e9 / (double)sum};
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

static void measure(int rounds) {
    double alone[ROUNDS_MOST], together[ROUNDS_MOST], ratios[ROUNDS_MOST];
    double cpu_alone[ROUNDS_MOST], cpu_together[ROUNDS_MOST];
    if (kind == KIND_SET_COUNTED) tally_begin(true);
    for (int i = 0; i < rounds; i++) {
        struct pace one = pace_of(1), all = pace_of(workers);
        alone[i] = one.rate;
        together[i] = all.rate;
        ratios[i] = all.rate / one.rate;
        cpu_alone[i] = one.cpu_ns;
        cpu_together[i] = all.cpu_ns;
    }
    printf("%-26s %12.0f %12.0f %9.2f %9.0f %9.0f\n", kind_names[kind], median(alone, rounds),
           median(together, rounds), median(ratios, rounds), median(cpu_alone, rounds),
           median(cpu_together, rounds));
    fflush(stdout);
    if (kind == KIND_SET_COUNTED) tally_begin(false);
}

static long number_given(int count, char **words, int index, long usual, long most) {
    if (count <= index) return usual;
    char *end;
    long number = strtol(words[index], &end, 10);
    if (*words[index] == '\0' || *end != '\0' || number < 1 || number > most)
        give_up("usage: scripting [seconds] [workers] [rounds] [row]");
    return number;
}

int main(int count, char **words) {
    seconds = (double)number_given(count, words, 1, 1, 3600);
    workers = (uint32_t)number_given(count, words, 2, 2, WORKERS_MOST);
    int rounds = (int)number_given(count, words, 3, 9, ROUNDS_MOST);
    long row = number_given(count, words, 4, 0, KINDS);
    char *arguments[] = {words[0], (char *)(uintptr_t)"--loglevel", (char *)(uintptr_t)"warning", NULL};
    clock_init();
    process_init();
    commands_register();
    if (!config_load(3, arguments)) return 1;
    keyspace = keyspace_open(
        &(struct keyspace_options){.shards = 256 * workers, .databases = 16, .lanes = 2 * workers + 6});
    if (keyspace == NULL || !interest_start(keyspace) || !slow_scripts_start(keyspace) || !channels_start())
        give_up("out of memory");
    keyspace_listen(keyspace, &(struct keyspace_listener){.changed = on_changed, .wanted = &tally.is_wanted});
    notify_start(keyspace);
    blocking_start(keyspace);
    watch_start(keyspace);
    sem_init(&done, 0, 0);
    for (uint32_t i = 0; i < workers; i++) sem_init(&go[i], 0, 0);
    if (!workers_start(keyspace, workers + 1, &work, NULL, 1, &long_work))
        give_up("the workers can't be started");
    for (uint32_t i = 0; i <= workers; i++) wait_for(&done);
    printf("%-26s %12s %4u %s %9s %9s %9s\n", "requests per second", "1 worker", workers, "of them", "ratio",
           "ns, 1", "ns, all");
    for (kind = 0; kind < KINDS; kind++)
        if (row == 0 || row == (long)kind + 1) measure(rounds);
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < workers; i++) sem_post(&go[i]);
    worker_wake(worker_at(workers));
    for (uint32_t i = 0; i <= workers; i++) wait_for(&done);
    workers_stop(0);
    workers_join();
    watch_stop();
    blocking_stop();
    interest_stop();
    keyspace_close(keyspace);
    return 0;
}
