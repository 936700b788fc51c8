/* Replays a workload against a server that speaks RESP: GET, and SET where there was nothing. Prints one line
 * of JSON.
 *
 *     build/release/bench/replay --port 6379 --workload web07 --value 64 --share 1000000
 *
 *     --port N           of 127.0.0.1
 *     --workload NAME    as bench/simulate knows them
 *     --value BYTES      (64); those of a mixed workload are around it
 *     --share BYTES      maxmemory is set to what the server uses when empty and this; 0: to no limit
 *     --traces FOLDER    (bench/traces)
 *     --policy NAME      maxmemory-policy is set to it
 *     --fill N           doesn't replay, but sets the first N objects, to see what they cost
 *
 * The order is that of the workload. GETs are sent together only as long as none of them asks for a key
 * twice, and the SETs of those that found nothing follow before the next GETs do. What a server keeps for the
 * connection counts as its memory, and a limit may be small; so little is sent at once, and the server is
 * told to use its buffers before its memory is taken for that of an empty one. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "bench/workloads/workload.h"

#define BATCH_MOST 128
/* Of requests, and of the values in replies, at once: a part of the share, and no less and no more than
 * these. */
#define BYTES_LEAST ((size_t)16 * 1024)
#define BYTES_MOST ((size_t)128 * 1024)
#define SHARE_PARTS 128
#define KEY_LENGTH 16
/* A server that says nothing for so long is taken for dead. */
#define SILENCE_SECONDS 60

static struct {
    const char *workload, *traces, *policy;
    uint16_t port;
    uint32_t value, fill;
    unsigned long long share;
} options = {.traces = "bench/traces", .port = 6379, .value = 64};

static struct workload workload;
static int server;
static char *value_bytes;
static size_t bytes_at_once = BYTES_MOST;
/* What is sent next, and how many replies it will have. */
static char *out;
static size_t out_length, out_room;
static uint32_t out_requests;

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("replay: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void *memory_take(void *memory, size_t size) {
    memory = realloc(memory, size);
    if (memory == NULL) fail("no memory");
    return memory;
}

/* ------------------------------------------------------------------ requests and replies */

static void server_connect(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    struct timeval patience = {.tv_sec = SILENCE_SECONDS};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || connect(server, (const struct sockaddr *)&address, sizeof address) != 0)
        fail("can't connect to port %u: %s", options.port, strerror(errno));
    if (setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        fail("setsockopt: %s", strerror(errno));
}

static void out_bulk(const char *data, size_t length) {
    if (out_length + length + 32 > out_room) {
        out_room = 2 * out_room + length + 64;
        out = memory_take(out, out_room);
    }
    out_length += (size_t)sprintf(out + out_length, "$%zu\r\n", length);
    memcpy(out + out_length, data, length);
    memcpy(out + out_length + length, "\r\n", 2);
    out_length += length + 2;
}

static void out_array(unsigned count) {
    if (out_length + 32 > out_room) out = memory_take(out, out_room += 1024);
    out_length += (size_t)sprintf(out + out_length, "*%u\r\n", count);
    out_requests++;
}

static void out_key(uint32_t object) {
    char key[KEY_LENGTH + 1];
    snprintf(key, sizeof key, "key:%012u", object);
    out_bulk(key, KEY_LENGTH);
}

static uint32_t value_length(uint32_t object) {
    return workload.is_mixed ? workload_object_size(object, options.value) : options.value;
}

static void out_get(uint32_t object) {
    out_array(2);
    out_bulk("GET", 3);
    out_key(object);
}

static void out_set(uint32_t object) {
    out_array(3);
    out_bulk("SET", 3);
    out_key(object);
    out_bulk(value_bytes, value_length(object));
}

/* Who was stopped and goes on finds its calls interrupted. */
static bool is_interrupted(ssize_t result) {
    return result < 0 && errno == EINTR;
}

static void out_send(void) {
    for (size_t sent = 0; sent < out_length;) {
        ssize_t went = send(server, out + sent, out_length - sent, MSG_NOSIGNAL);
        if (is_interrupted(went)) continue;
        if (went < 0) fail("can't send: %s", strerror(errno));
        sent += (size_t)went;
    }
    out_length = 0;
}

static size_t bytes_receive(char *bytes, size_t room) {
    ssize_t came;
    do came = recv(server, bytes, room, 0);
    while (is_interrupted(came));
    if (came < 0) fail("nothing comes: %s", strerror(errno));
    if (came == 0) fail("the server closed the connection");
    return (size_t)came;
}

/* Sends what is there, and takes as many replies. is_absent, if wanted, is told of each whether it was
 * nil. */
static void out_exchange(bool *is_absent) {
    static char bytes[64 * 1024];
    static struct frame frame;
    out_send();
    for (uint32_t taken = 0; taken < out_requests;) {
        size_t length = bytes_receive(bytes, sizeof bytes);
        for (size_t at = 0; at < length;) {
            at += frame_advance(&frame, PROTOCOL_RESP, bytes + at, length - at);
            if (!frame_is_between(&frame)) continue;
            if (frame.is_error) fail("the server answered %s", frame.line);
            if (is_absent) is_absent[taken] = frame.absent > 0;
            taken++;
        }
    }
    out_requests = 0;
}

/* Sends what is there, one request, and takes its reply as text. */
static void out_exchange_text(char *text, size_t room) {
    struct frame frame = {0};
    size_t length = 0;
    out_send();
    do {
        size_t came = bytes_receive(text + length, room - 1 - length);
        frame_advance(&frame, PROTOCOL_RESP, text + length, came);
        length += came;
    } while (!frame_is_between(&frame) && length < room - 1);
    text[length] = 0;
    out_requests = 0;
}

static unsigned long long used_memory(void) {
    static const char name[] = "\r\nused_memory:";
    char text[16384];
    out_array(2);
    out_bulk("INFO", 4);
    out_bulk("memory", 6);
    out_exchange_text(text, sizeof text);
    const char *field = strstr(text, name);
    if (field == NULL) fail("INFO memory has no used_memory");
    return strtoull(field + strlen(name), NULL, 10);
}

static unsigned long long key_count(void) {
    char text[256];
    out_array(1);
    out_bulk("DBSIZE", 6);
    out_exchange_text(text, sizeof text);
    if (text[0] != ':') fail("DBSIZE answered %s", text);
    return strtoull(text + 1, NULL, 10);
}

static void config_set(const char *name, const char *setting) {
    out_array(4);
    out_bulk("CONFIG", 6);
    out_bulk("SET", 3);
    out_bulk(name, strlen(name));
    out_bulk(setting, strlen(setting));
    out_exchange(NULL);
}

/* ------------------------------------------------------------------ the replay */

/* How many GETs may wait for their replies. */
static uint32_t batch_most(void) {
    size_t most = bytes_at_once / (options.value + 16);
    return most < 1 ? 1 : most > BATCH_MOST ? BATCH_MOST : (uint32_t)most;
}

static void misses_set(const uint32_t *objects, const bool *is_absent, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!is_absent[i]) continue;
        if (out_length > 0 && out_length + value_length(objects[i]) + 64 > bytes_at_once) out_exchange(NULL);
        out_set(objects[i]);
    }
    if (out_length > 0) out_exchange(NULL);
}

/* As much traffic as there will be, none of which stays. */
static void buffers_use(void) {
    uint32_t most = batch_most();
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < most; i++) {
            out_array(2);
            out_bulk("ECHO", 4);
            out_bulk(value_bytes, options.value);
            if (out_length + options.value + 64 > bytes_at_once) out_exchange(NULL);
        }
        if (out_length > 0) out_exchange(NULL);
    }
}

static uint64_t workload_replay(void) {
    uint32_t objects[BATCH_MOST], most = batch_most();
    bool is_absent[BATCH_MOST];
    uint64_t misses = 0, batch = 0;
    uint64_t *asked_in = memory_take(NULL, workload.objects * sizeof *asked_in);
    memset(asked_in, 0, workload.objects * sizeof *asked_in);
    for (size_t at = 0; at < workload.request_count;) {
        uint32_t count = 0;
        batch++;
        while (count < most && at < workload.request_count) {
            uint32_t object = workload.requests[at];
            if (asked_in[object] == batch) break;
            asked_in[object] = batch;
            objects[count++] = object;
            out_get(object);
            at++;
        }
        out_exchange(is_absent);
        for (uint32_t i = 0; i < count; i++) misses += is_absent[i];
        misses_set(objects, is_absent, count);
    }
    free(asked_in);
    return misses;
}

static void workload_fill(void) {
    for (uint32_t object = 0; object < options.fill && object < workload.objects; object++) {
        out_set(object);
        if (out_length > bytes_at_once / 2) out_exchange(NULL);
    }
    if (out_length > 0) out_exchange(NULL);
}

static void options_take(int argc, char **argv) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'},   {"workload", 1, 0, 'w'}, {"value", 1, 0, 'v'}, {"share", 1, 0, 's'},
        {"traces", 1, 0, 't'}, {"policy", 1, 0, 'o'},   {"fill", 1, 0, 'f'},  {0}};
    for (int letter; (letter = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (letter) {
        case 'p': options.port = (uint16_t)atoi(optarg); break;
        case 'w': options.workload = optarg; break;
        case 'v': options.value = (uint32_t)atoi(optarg); break;
        case 's': options.share = strtoull(optarg, NULL, 10); break;
        case 't': options.traces = optarg; break;
        case 'o': options.policy = optarg; break;
        case 'f': options.fill = (uint32_t)atoi(optarg); break;
        default: exit(2);
        }
    }
    if (options.workload == NULL) fail("which --workload?");
}

static double now_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    options_take(argc, argv);
    if (!workload_open(&workload, options.workload, options.traces)) return 1;
    value_bytes = memory_take(NULL, (size_t)options.value * 8 + 1);
    memset(value_bytes, 'v', (size_t)options.value * 8 + 1);
    if (options.share > 0) bytes_at_once = options.share / SHARE_PARTS;
    if (bytes_at_once < BYTES_LEAST) bytes_at_once = BYTES_LEAST;
    if (bytes_at_once > BYTES_MOST) bytes_at_once = BYTES_MOST;
    server_connect();
    if (options.policy) config_set("maxmemory-policy", options.policy);
    buffers_use();
    unsigned long long empty = used_memory(), limit = options.share > 0 ? empty + options.share : 0;
    char text[24];
    snprintf(text, sizeof text, "%llu", limit);
    config_set("maxmemory", text);
    double began = now_seconds();
    uint64_t misses = 0;
    if (options.fill > 0)
        workload_fill();
    else
        misses = workload_replay();
    double seconds = now_seconds() - began;
    printf("{\"objects\": %u, \"requests\": %zu, \"misses\": %llu, \"keys\": %llu, \"empty\": %llu, "
           "\"maxmemory\": %llu, \"used\": %llu, \"seconds\": %.3f}\n",
           workload.objects, workload.request_count, (unsigned long long)misses, key_count(), empty, limit,
           used_memory(), seconds);
    workload_close(&workload);
    free(value_bytes);
    free(out);
    close(server);
    return 0;
}
