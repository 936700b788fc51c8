/* A load generator that costs little itself, so that a run measures the server. Prints one line of JSON.
 *
 *     build/release/bench/load --port 6379 --case get --clients 50 --pipeline 16 --value 64 --keys 10000
 *         --prefill --seconds 2
 *
 *     --host ADDRESS --port N    where the server is (127.0.0.1, 6379)
 *     --unix PATH                or its unix socket
 *     --protocol NAME            resp or memcached (get and set)
 *     --case NAME                get, set, incr, mget, ping
 *     --clients N --threads N    connections, and the threads that have them (50, 1)
 *     --pipeline N               requests that are sent at once; the next follow when all are answered (1)
 *     --value BYTES              (64)
 *     --mget-keys N              keys of one MGET (10)
 *     --keys N --first-key N     the keys are N from that number on (10000, 0)
 *     --distribution D           uniform; hot: 90 % of requests to 1 % of keys; zipf: exponent 0.99
 *     --prefill                  sets every key first; with --seconds 0 that is all
 *     --ttl SECONDS              keys that are set live so long (0: always)
 *     --expire-at MS             or until that Unix time (resp only)
 *     --seconds S --warmup S     how long is measured, and how long it runs before (1, 0.2)
 *     --requests N               or so many requests, all measured
 *     --pid N                    tells the CPU time of that process over the measured time, from the
 *                                scheduler's counters
 *     --seed N                   for the choice of keys
 *
 * A thread has one batch of requests, written before the run; before each use only the digits of its keys are
 * written anew. A key is "key:" and twelve digits ("int:" for INCR), so requests of a case have one length.
 * Replies are looked at only as far as it takes to know them: one that looks as it should is skipped by its
 * known length. Any error fails the run; missing values are counted.
 *
 * Latency is the time from sending a batch to having its last reply. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "histogram.h"

#define KEY_LENGTH 16
#define KEY_DIGITS 12
#define RECEIVE_MOST ((size_t)256 * 1024)
#define EVENTS_MOST 1024
/* A server that says nothing for so long is taken for dead. */
#define SILENCE_MS 20000
/* Draws from a zipf distribution that are made beforehand, and gone through again and again. */
#define DRAWS ((size_t)1 << 20)
#define ZIPF_EXPONENT 0.99
/* A prime above any number of keys: multiplying by it spreads the popular ones over the keyspace. */
#define SCATTER 2654435761u

enum kind { GET, SET, INCR, MGET, PING, KINDS };
enum distribution { UNIFORM, HOT, ZIPF, DISTRIBUTIONS };

static const char *const kind_names[KINDS] = {"get", "set", "incr", "mget", "ping"};
static const char *const distribution_names[DISTRIBUTIONS] = {"uniform", "hot", "zipf"};
static const char *const protocol_names[] = {"resp", "memcached"};

static struct {
    const char *host, *unix_path;
    uint16_t port;
    enum protocol protocol;
    enum kind kind;
    enum distribution distribution;
    uint32_t clients, threads, pipeline, mget_keys;
    size_t value;
    uint64_t keys, first_key, ttl, expire_at, requests, seed;
    double seconds, warmup;
    pid_t pid;
    bool prefills;
} options = {
    .host = "127.0.0.1",
    .port = 6379,
    .clients = 50,
    .threads = 1,
    .pipeline = 1,
    .mget_keys = 10,
    .value = 64,
    .keys = 10000,
    .seconds = 1,
    .warmup = 0.2,
    .seed = 1,
};

/* What is run: the case, or the prefill before it. */
struct plan {
    enum kind kind;
    uint32_t clients, threads, pipeline;
    uint64_t requests;  /* 0: until told to stop */
    bool is_sequential; /* every key once */
};

/* A batch of requests as it is sent, and what is known of the replies. */
struct batch {
    char *bytes;
    size_t request_length;
    uint32_t keys_each;   /* of a request */
    size_t *digits;       /* where the keys' digits are */
    char header[40];      /* what a good reply begins with, */
    size_t header_length; /* and the beginning of every value in it */
    char item[32];
    size_t item_length;
    size_t item_stride;
    size_t reply_length; /* 0: not known beforehand */
};

struct connection {
    int fd;
    uint32_t awaited; /* replies */
    uint64_t sent_at;
    struct frame frame;
    char *rest; /* of a batch that the socket didn't take at once; is_writing while there is some */
    size_t rest_at, rest_length;
    bool is_writing;
};

struct thread {
    _Alignas(64) _Atomic uint64_t done; /* requests; its own thread writes it */
    pthread_t thread;
    const struct plan *plan;
    struct connection *connections;
    uint32_t connection_count, busy;
    int epoll_fd;
    uint64_t to_send, next_key, random;
    size_t draw;
    uint64_t errors, absent;
    struct batch batch;
    char *memory; /* for receiving */
    struct histogram latencies;
};

struct result {
    uint64_t requests, errors, absent;
    double seconds, server_ns, client_ns;
    struct histogram latencies;
};

enum phase { WARMING, MEASURING, STOPPING };

static _Atomic int phase; /* enum phase */
static pthread_barrier_t connected;
static char digits4[10000][4];
static uint32_t *draws;

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void *memory_take(size_t size) {
    void *memory = calloc(1, size);
    if (!memory) fail("no memory");
    return memory;
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* ------------------------------------------------------------------ keys */

/* Marsaglia's xorshift with a multiplication behind it. */
static uint64_t random_next(uint64_t *state) {
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1d;
}

static uint64_t random_below(uint64_t *state, uint64_t bound) {
    return (uint64_t)(((unsigned __int128)random_next(state) * bound) >> 64);
}

static void digits_write(char *out, uint64_t number) {
    memcpy(out, digits4[number / 100000000 % 10000], 4);
    memcpy(out + 4, digits4[number / 10000 % 10000], 4);
    memcpy(out + 8, digits4[number % 10000], 4);
}

static void digits_prepare(void) {
    for (int i = 0; i < 10000; i++) {
        char text[12];
        snprintf(text, sizeof text, "%04d", i);
        memcpy(digits4[i], text, 4);
    }
}

/* Gray et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994. */
static void draws_prepare(void) {
    double keys = (double)options.keys, zeta = 0, two = 1 + pow(0.5, ZIPF_EXPONENT);
    for (uint64_t i = 1; i <= options.keys; i++) zeta += 1 / pow((double)i, ZIPF_EXPONENT);
    double alpha = 1 / (1 - ZIPF_EXPONENT);
    double eta = (1 - pow(2 / keys, 1 - ZIPF_EXPONENT)) / (1 - two / zeta);
    uint64_t state = options.seed * 2 + 1;
    draws = memory_take(DRAWS * sizeof *draws);
    for (size_t i = 0; i < DRAWS; i++) {
        double at = (double)(random_next(&state) >> 11) * 0x1p-53;
        double rank = at * zeta < 1 ? 0 : at * zeta < two ? 1 : keys * pow(eta * at - eta + 1, alpha);
        draws[i] = (uint32_t)((uint64_t)rank % options.keys * SCATTER % options.keys);
    }
}

static uint64_t key_choose(struct thread *thread) {
    if (thread->plan->is_sequential) return options.first_key + thread->next_key++;
    switch (options.distribution) {
    case HOT: {
        uint64_t hot = options.keys / 100 ? options.keys / 100 : 1;
        bool is_hot = random_below(&thread->random, 10) != 0;
        return options.first_key + random_below(&thread->random, is_hot ? hot : options.keys);
    }
    case ZIPF: return options.first_key + draws[thread->draw++ % DRAWS];
    default: return options.first_key + random_below(&thread->random, options.keys);
    }
}

/* ------------------------------------------------------------------ the batch */

static size_t bulk_write(char *out, const char *data, size_t length) {
    size_t at = (size_t)sprintf(out, "$%zu\r\n", length);
    memcpy(out + at, data, length);
    memcpy(out + at + length, "\r\n", 2);
    return at + length + 2;
}

/* One request of memcached's text protocol; the digits' place goes to *digits. */
static size_t memcached_write(char *out, enum kind kind, const char *value, size_t *digits) {
    size_t at = (size_t)sprintf(out, "%s key:%0*d", kind_names[kind], KEY_DIGITS, 0);
    *digits = at - KEY_DIGITS;
    if (kind == SET) {
        at += (size_t)sprintf(out + at, " 0 %llu %zu\r\n", (unsigned long long)options.ttl, options.value);
        memcpy(out + at, value, options.value);
        at += options.value;
    }
    memcpy(out + at, "\r\n", 2);
    return at + 2;
}

/* One request in RESP. An INCR's keys are set to a number. */
static size_t resp_write(char *out, enum kind kind, uint32_t keys_each, const char *value, size_t *digits) {
    static const char *const words[KINDS] = {"GET", "SET", "INCR", "MGET", "PING"};
    bool has_ttl = kind == SET && (options.ttl > 0 || options.expire_at > 0);
    const char *key = options.kind == INCR ? "int:000000000000" : "key:000000000000";
    size_t at = (size_t)sprintf(out, "*%u\r\n", 1 + keys_each + (kind == SET) + (has_ttl ? 2 : 0));
    at += bulk_write(out + at, words[kind], strlen(words[kind]));
    for (uint32_t i = 0; i < keys_each; i++) {
        at += bulk_write(out + at, key, KEY_LENGTH);
        digits[i] = at - 2 - KEY_DIGITS;
    }
    if (kind == SET && options.kind == INCR)
        at += bulk_write(out + at, "1000", 4);
    else if (kind == SET)
        at += bulk_write(out + at, value, options.value);
    if (!has_ttl) return at;
    char ttl[24];
    snprintf(ttl, sizeof ttl, "%llu",
             (unsigned long long)(options.expire_at ? options.expire_at : options.ttl));
    at += options.expire_at ? bulk_write(out + at, "PXAT", 4) : bulk_write(out + at, "EX", 2);
    return at + bulk_write(out + at, ttl, strlen(ttl));
}

/* What every good reply looks like. */
static void batch_expect(struct batch *batch, enum kind kind) {
    bool is_resp = options.protocol == PROTOCOL_RESP;
    switch (kind) {
    case SET: strcpy(batch->header, is_resp ? "+OK\r\n" : "STORED\r\n"); break;
    case PING: strcpy(batch->header, "+PONG\r\n"); break;
    case MGET: snprintf(batch->header, sizeof batch->header, "*%u\r\n", batch->keys_each); break;
    default: strcpy(batch->header, is_resp ? "" : "VALUE key:"); break;
    }
    batch->header_length = batch->reply_length = strlen(batch->header);
    if (kind == INCR) {
        batch->reply_length = 0;
    } else if (!is_resp && kind == GET) {
        char line[64];
        batch->reply_length =
            (size_t)snprintf(line, sizeof line, "VALUE key:%0*d 0 %zu\r\n", KEY_DIGITS, 0, options.value) +
            options.value + strlen("\r\nEND\r\n");
    } else if (kind == GET || kind == MGET) {
        batch->item_length = (size_t)snprintf(batch->item, sizeof batch->item, "$%zu\r\n", options.value);
        batch->item_stride = batch->item_length + options.value + 2;
        batch->reply_length += batch->keys_each * batch->item_stride;
    }
}

static void batch_make(struct batch *batch, const struct plan *plan) {
    *batch = (struct batch){.keys_each = plan->kind == MGET ? options.mget_keys : plan->kind != PING};
    char *value = memory_take(options.value + 1);
    memset(value, 'v', options.value);
    char *one = memory_take(256 + options.value + (size_t)batch->keys_each * 32);
    size_t *digits = memory_take((batch->keys_each + 1) * sizeof *digits);
    batch->request_length = options.protocol == PROTOCOL_RESP
                                ? resp_write(one, plan->kind, batch->keys_each, value, digits)
                                : memcached_write(one, plan->kind, value, digits);
    batch->bytes = memory_take(batch->request_length * plan->pipeline);
    batch->digits = memory_take((size_t)plan->pipeline * (batch->keys_each + 1) * sizeof *batch->digits);
    for (uint32_t i = 0; i < plan->pipeline; i++) {
        memcpy(batch->bytes + i * batch->request_length, one, batch->request_length);
        for (uint32_t j = 0; j < batch->keys_each; j++) {
            batch->digits[i * batch->keys_each + j] = i * batch->request_length + digits[j];
        }
    }
    batch_expect(batch, plan->kind);
    free(value);
    free(one);
    free(digits);
}

static void batch_free(struct batch *batch) {
    free(batch->bytes);
    free(batch->digits);
}

/* Whether a reply as it should be, with all values, stands at the beginning. */
static bool reply_is_expected(const struct batch *batch, const char *data, size_t length) {
    if (batch->reply_length == 0 || length < batch->reply_length) return false;
    if (memcmp(data, batch->header, batch->header_length) != 0 || data[batch->reply_length - 1] != '\n')
        return false;
    if (batch->item_length == 0) return true;
    const char *item = data + batch->header_length;
    for (uint32_t i = 0; i < batch->keys_each; i++, item += batch->item_stride) {
        if (memcmp(item, batch->item, batch->item_length) != 0) return false;
    }
    return true;
}

/* ------------------------------------------------------------------ connections */

static int server_connect(void) {
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    bool is_unix = options.unix_path != NULL;
    if (is_unix && strlen(options.unix_path) >= sizeof local.sun_path)
        fail("%s: too long", options.unix_path);
    if (is_unix)
        strcpy(local.sun_path, options.unix_path);
    else if (inet_pton(AF_INET, options.host, &remote.sin_addr) != 1)
        fail("%s is no IPv4 address", options.host);
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    /* Over loopback it is the server's thread that runs this side's congestion control, while it sends: so
     * that this is as little as can be. */
    if (!is_unix && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) != 0)
        fail("TCP_CONGESTION: %s", strerror(errno));
    const struct sockaddr *address =
        is_unix ? (const struct sockaddr *)&local : (const struct sockaddr *)&remote;
    if (fd < 0 || connect(fd, address, is_unix ? sizeof local : sizeof remote) != 0)
        fail("can't connect: %s", strerror(errno));
    if (!is_unix && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        fail("TCP_NODELAY: %s", strerror(errno));
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail("O_NONBLOCK: %s", strerror(errno));
    return fd;
}

static void connection_watch(struct thread *thread, struct connection *connection, int operation) {
    struct epoll_event event = {.events = EPOLLIN | (connection->is_writing ? EPOLLOUT : 0),
                                .data.ptr = connection};
    if (epoll_ctl(thread->epoll_fd, operation, connection->fd, &event) != 0)
        fail("epoll_ctl: %s", strerror(errno));
}

/* Returns how many bytes went. */
static size_t bytes_send(const struct connection *connection, const char *data, size_t length) {
    ssize_t sent = send(connection->fd, data, length, MSG_NOSIGNAL);
    if (sent >= 0) return (size_t)sent;
    if (errno != EAGAIN) fail("can't send: %s", strerror(errno));
    return 0;
}

/* The batch is about to be used by others, so the rest is kept. */
static void rest_keep(struct thread *thread, struct connection *connection, const char *data, size_t length) {
    connection->rest = realloc(connection->rest, length);
    if (!connection->rest) fail("no memory");
    memcpy(connection->rest, data, length);
    connection->rest_at = 0;
    connection->rest_length = length;
    connection->is_writing = true;
    connection_watch(thread, connection, EPOLL_CTL_MOD);
}

static void rest_send(struct thread *thread, struct connection *connection) {
    connection->rest_at += bytes_send(connection, connection->rest + connection->rest_at,
                                      connection->rest_length - connection->rest_at);
    if (connection->rest_at < connection->rest_length) return;
    connection->is_writing = false;
    connection_watch(thread, connection, EPOLL_CTL_MOD);
}

/* Sends the next batch, if there is to be one. */
static void batch_send(struct thread *thread, struct connection *connection, uint64_t now) {
    struct batch *batch = &thread->batch;
    uint32_t count = thread->plan->pipeline;
    if (atomic_load_explicit(&phase, memory_order_relaxed) == STOPPING) return;
    if (thread->plan->requests > 0) {
        if (thread->to_send < count) count = (uint32_t)thread->to_send;
        thread->to_send -= count;
    }
    if (count == 0) return;
    for (uint32_t i = 0; i < count * batch->keys_each; i++)
        digits_write(batch->bytes + batch->digits[i], key_choose(thread));
    thread->busy++;
    connection->awaited = count;
    connection->sent_at = now;
    size_t length = count * batch->request_length;
    size_t sent = bytes_send(connection, batch->bytes, length);
    if (sent < length) rest_keep(thread, connection, batch->bytes + sent, length - sent);
}

static void reply_count(struct thread *thread, const struct frame *frame) {
    thread->absent += frame->absent;
    if (!frame->is_error) return;
    if (thread->errors++ == 0)
        fprintf(stderr, "load: the server answered: %.*s\n", (int)strcspn(frame->line, "\r\n"), frame->line);
}

/* Takes replies from the bytes. Returns how many ended. */
static uint32_t replies_take(struct thread *thread, struct connection *connection, const char *data,
                             size_t length) {
    const struct batch *batch = &thread->batch;
    struct frame *frame = &connection->frame;
    uint32_t count = 0;
    while (length > 0) {
        size_t taken = batch->reply_length;
        if (frame_is_between(frame) && reply_is_expected(batch, data, length)) {
            count++;
        } else {
            taken = frame_advance(frame, options.protocol, data, length);
            if (frame_is_between(frame)) {
                count++;
                reply_count(thread, frame);
            }
        }
        data += taken;
        length -= taken;
    }
    return count;
}

static void connection_receive(struct thread *thread, struct connection *connection) {
    ssize_t length = recv(connection->fd, thread->memory, RECEIVE_MOST, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0)
        fail("the server closed a connection%s%s", length < 0 ? ": " : "", length < 0 ? strerror(errno) : "");
    uint32_t count = replies_take(thread, connection, thread->memory, (size_t)length);
    if (count > connection->awaited) fail("%u replies more than requests", count - connection->awaited);
    connection->awaited -= count;
    if (count > 0) {
        uint64_t done = atomic_load_explicit(&thread->done, memory_order_relaxed);
        atomic_store_explicit(&thread->done, done + count, memory_order_relaxed);
    }
    if (connection->awaited > 0 || !frame_is_between(&connection->frame)) return;
    uint64_t now = now_ns();
    thread->busy--;
    if (atomic_load_explicit(&phase, memory_order_relaxed) == MEASURING)
        histogram_add(&thread->latencies, now - connection->sent_at);
    batch_send(thread, connection, now);
}

/* ------------------------------------------------------------------ a run */

static void *thread_run(void *argument) {
    struct thread *thread = argument;
    struct epoll_event events[EVENTS_MOST];
    thread->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < thread->connection_count; i++) {
        thread->connections[i].fd = server_connect();
        connection_watch(thread, &thread->connections[i], EPOLL_CTL_ADD);
    }
    pthread_barrier_wait(&connected);
    for (uint32_t i = 0; i < thread->connection_count; i++)
        batch_send(thread, &thread->connections[i], now_ns());
    while (thread->busy > 0) {
        int found = epoll_wait(thread->epoll_fd, events, EVENTS_MOST, SILENCE_MS);
        if (found == 0) fail("no reply for %d seconds", SILENCE_MS / 1000);
        for (int i = 0; i < found; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->is_writing && (events[i].events & EPOLLOUT)) rest_send(thread, connection);
            if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) connection_receive(thread, connection);
        }
    }
    return NULL;
}

static struct thread *threads_start(const struct plan *plan) {
    struct thread *threads = aligned_alloc(64, plan->threads * sizeof *threads);
    if (!threads) fail("no memory");
    memset(threads, 0, plan->threads * sizeof *threads);
    pthread_barrier_init(&connected, NULL, plan->threads + 1);
    for (uint32_t i = 0; i < plan->threads; i++) {
        struct thread *thread = &threads[i];
        thread->plan = plan;
        thread->connection_count = plan->clients / plan->threads + (i < plan->clients % plan->threads);
        thread->connections = memory_take(thread->connection_count * sizeof *thread->connections);
        thread->next_key = plan->requests * i / plan->threads;
        thread->to_send = plan->requests * (i + 1) / plan->threads - thread->next_key;
        thread->random = (options.seed * plan->threads + i + 1) * 0x9e3779b97f4a7c15;
        thread->draw = DRAWS / plan->threads * i;
        thread->memory = memory_take(RECEIVE_MOST);
        batch_make(&thread->batch, plan);
        int error = pthread_create(&thread->thread, NULL, thread_run, thread);
        if (error != 0) fail("no thread: %s", strerror(error));
    }
    return threads;
}

static void threads_end(struct thread *threads, uint32_t count, struct result *result) {
    for (uint32_t i = 0; i < count; i++) {
        struct thread *thread = &threads[i];
        pthread_join(thread->thread, NULL);
        result->errors += thread->errors;
        result->absent += thread->absent;
        histogram_merge(&result->latencies, &thread->latencies);
        for (uint32_t j = 0; j < thread->connection_count; j++) {
            close(thread->connections[j].fd);
            free(thread->connections[j].rest);
        }
        close(thread->epoll_fd);
        batch_free(&thread->batch);
        free(thread->connections);
        free(thread->memory);
    }
    pthread_barrier_destroy(&connected);
}

/* CPU time of all its threads; 0 without --pid. */
static double server_cpu_ns(void) {
    if (options.pid == 0) return 0;
    char path[320];
    snprintf(path, sizeof path, "/proc/%d/task", (int)options.pid);
    DIR *tasks = opendir(path);
    if (!tasks) fail("%s: %s", path, strerror(errno));
    double sum = 0;
    for (struct dirent *task = readdir(tasks); task; task = readdir(tasks)) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)options.pid, task->d_name);
        FILE *file = fopen(path, "re");
        double running;
        if (file && fscanf(file, "%lf", &running) == 1) sum += running;
        if (file) fclose(file);
    }
    closedir(tasks);
    return sum;
}

static double client_cpu_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void result_mark(struct result *result, const struct thread *threads, uint32_t count, double sign) {
    uint64_t done = 0;
    for (uint32_t i = 0; i < count; i++) done += atomic_load_explicit(&threads[i].done, memory_order_relaxed);
    result->requests = sign > 0 ? done - result->requests : done;
    result->seconds += sign * (double)now_ns() / 1e9;
    result->server_ns += sign * server_cpu_ns();
    result->client_ns += sign * client_cpu_ns();
}

static void wait_seconds(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
    while (nanosleep(&left, &left) != 0) continue;
}

static void plan_run(const struct plan *plan, struct result *result) {
    bool is_timed = plan->requests == 0;
    memset(result, 0, sizeof *result);
    atomic_store(&phase, is_timed ? WARMING : MEASURING);
    struct thread *threads = threads_start(plan);
    if (!is_timed) result_mark(result, threads, plan->threads, -1);
    pthread_barrier_wait(&connected);
    if (is_timed) {
        wait_seconds(options.warmup);
        result_mark(result, threads, plan->threads, -1);
        atomic_store(&phase, MEASURING);
        wait_seconds(options.seconds);
        result_mark(result, threads, plan->threads, 1);
        atomic_store(&phase, STOPPING);
        threads_end(threads, plan->threads, result);
    } else {
        threads_end(threads, plan->threads, result);
        result_mark(result, threads, plan->threads, 1);
    }
    free(threads);
}

static void prefill(void) {
    struct plan plan = {
        .kind = SET,
        .clients = 4,
        .threads = 1,
        .pipeline = options.value <= 2048 ? 64 : 4,
        .requests = options.keys,
        .is_sequential = true,
    };
    struct result *result = memory_take(sizeof *result);
    plan_run(&plan, result);
    if (result->errors > 0) fail("not all keys could be set");
    free(result);
}

static void result_print(const struct result *result) {
    double requests = result->requests > 0 ? (double)result->requests : 1;
    printf("{\"case\": \"%s\", \"protocol\": \"%s\", \"clients\": %u, \"threads\": %u, "
           "\"pipeline\": %u, \"value\": %zu, ",
           kind_names[options.kind], protocol_names[options.protocol], options.clients, options.threads,
           options.pipeline, options.value);
    printf("\"keys\": %llu, \"distribution\": \"%s\", \"requests\": %llu, \"seconds\": %.4f, "
           "\"per_second\": %.0f, ",
           (unsigned long long)options.keys, distribution_names[options.distribution],
           (unsigned long long)result->requests, result->seconds, (double)result->requests / result->seconds);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, ",
           histogram_quantile(&result->latencies, 0.5) / 1e3,
           histogram_quantile(&result->latencies, 0.99) / 1e3,
           histogram_quantile(&result->latencies, 0.999) / 1e3);
    if (options.pid != 0) printf("\"server_ns\": %.1f, ", result->server_ns / requests);
    printf("\"client_ns\": %.1f, \"absent\": %llu, \"errors\": %llu}\n", result->client_ns / requests,
           (unsigned long long)result->absent, (unsigned long long)result->errors);
}

/* ------------------------------------------------------------------ options */

static uint64_t number_option(const char *text, uint64_t least, uint64_t most) {
    char *end;
    uint64_t number = strtoull(text, &end, 10);
    if (end == text || *end != 0 || number < least || number > most) {
        fail("'%s' should be a number from %llu to %llu", text, (unsigned long long)least,
             (unsigned long long)most);
    }
    return number;
}

static double seconds_option(const char *text) {
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != 0 || !(seconds >= 0 && seconds <= 86400))
        fail("'%s' should be a number of seconds", text);
    return seconds;
}

static int name_option(const char *text, const char *const *names, int count) {
    for (int i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) return i;
    }
    fail("'%s' is none of those that there are", text);
}

static void option_take(int option, const char *text) {
    switch (option) {
    case 'h': options.host = text; break;
    case 'p': options.port = (uint16_t)number_option(text, 1, 65535); break;
    case 'u': options.unix_path = text; break;
    case 'x': options.protocol = (enum protocol)name_option(text, protocol_names, 2); break;
    case 'C': options.kind = (enum kind)name_option(text, kind_names, KINDS); break;
    case 'd':
        options.distribution = (enum distribution)name_option(text, distribution_names, DISTRIBUTIONS);
        break;
    case 'c': options.clients = (uint32_t)number_option(text, 1, 100000); break;
    case 't': options.threads = (uint32_t)number_option(text, 1, 256); break;
    case 'P': options.pipeline = (uint32_t)number_option(text, 1, 100000); break;
    case 'm': options.mget_keys = (uint32_t)number_option(text, 1, 10000); break;
    case 'v': options.value = number_option(text, 0, (uint64_t)512 << 20); break;
    case 'k': options.keys = number_option(text, 1, (uint64_t)1 << 31); break;
    case 'f': options.first_key = number_option(text, 0, (uint64_t)1 << 39); break;
    case 'e': options.ttl = number_option(text, 0, (uint64_t)1 << 31); break;
    case 'E': options.expire_at = number_option(text, 0, (uint64_t)1 << 43); break;
    case 'n': options.requests = number_option(text, 1, (uint64_t)1 << 40); break;
    case 's': options.seconds = seconds_option(text); break;
    case 'w': options.warmup = seconds_option(text); break;
    case 'i': options.pid = (pid_t)number_option(text, 1, 1 << 30); break;
    case 'S': options.seed = number_option(text, 0, (uint64_t)1 << 40); break;
    case 'F': options.prefills = true; break;
    default: exit(1);
    }
}

static void options_read(int argc, char **argv) {
    static const struct option names[] = {
        {"host", 1, NULL, 'h'},         {"port", 1, NULL, 'p'},
        {"unix", 1, NULL, 'u'},         {"protocol", 1, NULL, 'x'},
        {"case", 1, NULL, 'C'},         {"clients", 1, NULL, 'c'},
        {"distribution", 1, NULL, 'd'}, {"threads", 1, NULL, 't'},
        {"pipeline", 1, NULL, 'P'},     {"value", 1, NULL, 'v'},
        {"mget-keys", 1, NULL, 'm'},    {"keys", 1, NULL, 'k'},
        {"first-key", 1, NULL, 'f'},    {"ttl", 1, NULL, 'e'},
        {"requests", 1, NULL, 'n'},     {"seconds", 1, NULL, 's'},
        {"warmup", 1, NULL, 'w'},       {"pid", 1, NULL, 'i'},
        {"seed", 1, NULL, 'S'},         {"prefill", 0, NULL, 'F'},
        {"expire-at", 1, NULL, 'E'},    {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) option_take(option, optarg);
    if (optind < argc) fail("'%s' is no option", argv[optind]);
    if (options.threads > options.clients) options.threads = options.clients;
    if (options.protocol == PROTOCOL_MEMCACHED && options.kind != GET && options.kind != SET)
        fail("memcached has get and set here");
}

int main(int argc, char **argv) {
    options_read(argc, argv);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    digits_prepare();
    if (options.prefills) prefill();
    if (options.requests == 0 && options.seconds == 0) return 0;
    if (options.distribution == ZIPF) draws_prepare();
    struct plan plan = {
        .kind = options.kind,
        .clients = options.clients,
        .threads = options.threads,
        .pipeline = options.pipeline,
        .requests = options.requests,
    };
    struct result *result = memory_take(sizeof *result);
    plan_run(&plan, result);
    result_print(result);
    bool failed = result->errors > 0;
    free(result);
    return failed;
}
