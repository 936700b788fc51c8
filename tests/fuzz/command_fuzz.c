/* Any bytes to any command: a server of one worker in this process, a client on its unix socket, and requests
 * that the fuzzer's bytes make of the command table's rows, of keys that exist, of numbers and of the words
 * in the rows' own syntax. Scripts are drawn from some real ones, most of which run a command that is made in
 * the same way.
 *
 * Each request is answered by exactly one well-formed reply, or the connection is closed; and none makes the
 * server hold more than 64 times its arguments, its reply and the data there is, and a megabyte. Left out is
 * what isn't to be answered so, and what ends the server or keeps it busy by design. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sanitizer/allocator_interface.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/interest/blocking.h"
#include "server/interest/tracking.h"
#include "server/interest/watch.h"
#include "server/broadcast/channels.h"
#include "server/broadcast/notify.h"
#include "server/client/client_limit.h"
#include "server/client/serve.h"
#include "server/base/clock.h"
#include "server/command/command_table.h"
#include "server/acl/users.h"
#include "server/commands/commands.h"
#include "server/config/config.h"
#include "server/run/maxmemory.h"
#include "server/script/texts.h"
#include "server/net/listen.h"
#include "server/base/process.h"
#include "server/worker/worker.h"
#include "shard/keyspace.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define REQUESTS_MOST 12
#define ARGUMENTS_MOST 24
#define ROWS_MOST 1024
#define GROUP_MOST 4
#define SHARDS 16
/* A request that has not been answered is then asked whether it waits for a key, and in the end taken for
 * lost. */
#define WAIT_MS 20
#define LOST_MS 60000
#define TIMES_MOST 64
#define BYTES_MOST ((int64_t)1 << 20)
#define SENTINEL "sentinel-7c1f"

/* The server is still there at the end, and holds its data by pointers that have other bits as well. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

/* ------------------------------------------------------------------ memory */

/* Of the server's threads. The fuzzer and the client are another. */
static _Atomic int64_t live, peak;
static _Thread_local bool is_client;

static void note_allocation(const volatile void *pointer, size_t size) {
    (void)pointer;
    if (is_client) return;
    int64_t now = atomic_fetch_add_explicit(&live, (int64_t)size, memory_order_relaxed) + (int64_t)size;
    if (now > atomic_load_explicit(&peak, memory_order_relaxed))
        atomic_store_explicit(&peak, now, memory_order_relaxed);
}

static void note_free(const volatile void *pointer) {
    if (pointer == NULL || is_client) return;
    atomic_fetch_sub_explicit(&live,
                              (int64_t)__sanitizer_get_allocated_size((const void *)(uintptr_t)pointer),
                              memory_order_relaxed);
}

/* ------------------------------------------------------------------ the server */

static char socket_path[64];
static const struct command *rows[ROWS_MOST];
static uint32_t row_count;
static int64_t empty; /* bytes in use while there are no data */

/* Requests that are not to be answered by one reply, that end connections or the server, or that keep it from
 * answering. */
static bool is_left_out(const char *name) {
    static const char *const names[] = {"subscribe",    "psubscribe",   "ssubscribe",     "unsubscribe",
                                        "punsubscribe", "sunsubscribe", "monitor",        "shutdown",
                                        "quit",         "client|reply", "client|kill",    "client|pause",
                                        "debug",        "config|set",   "config|rewrite", "failover",
                                        "replicaof",    "auth",         "acl|setuser"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return strncmp(name, "debug|", 6) == 0;
}

/* A script's text or a library's, or what stands for one, is the first of its arguments. */
static bool is_of_scripts(const struct command *row) {
    return row->script != NULL || strcmp(row->full_name, "script|load") == 0 ||
           strcmp(row->full_name, "function|load") == 0;
}

/* Rows of scripts stand there several times, since one is another each time. */
#define TIMES_A_SCRIPT 6

static void find_rows(void) {
    for (uint32_t id = 0; id < command_table_count() && row_count < ROWS_MOST; id++) {
        const struct command *row = command_by_id(id);
        if (row != NULL && row->full_name != NULL && !is_left_out(row->full_name)) rows[row_count++] = row;
    }
    CHECK(row_count > 200);
    for (uint32_t i = 0, count = row_count; i < count; i++)
        for (int times = 1; is_of_scripts(rows[i]) && times < TIMES_A_SCRIPT && row_count < ROWS_MOST;
             times++)
            rows[row_count++] = rows[i];
}

static void serve(void) {
    static char folder[] = "/tmp/latchkey-fuzz-XXXXXX";
    static struct listening listening;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(socket_path, sizeof socket_path, "%s/s", folder);
    char *arguments[] = {(char *)(uintptr_t)"fuzz",
                         (char *)(uintptr_t)"--port",
                         (char *)(uintptr_t)"0",
                         (char *)(uintptr_t)"--unixsocket",
                         socket_path,
                         (char *)(uintptr_t)"--threads",
                         (char *)(uintptr_t)"1",
                         (char *)(uintptr_t)"--io-backend",
                         (char *)(uintptr_t)"epoll",
                         (char *)(uintptr_t)"--proto-max-bulk-len",
                         (char *)(uintptr_t)"1mb",
                         (char *)(uintptr_t)"--loglevel",
                         (char *)(uintptr_t)"nothing",
                         NULL};
    CHECK(config_load((int)(sizeof arguments / sizeof arguments[0]) - 1, arguments));
    clock_init();
    process_init();
    commands_register();
    find_rows();
    CHECK(listen_open(&listening));
    struct keyspace_options options = {.shards = SHARDS, .databases = 16, .lanes = 9};
    struct keyspace *keyspace = keyspace_open(&options);
    CHECK(keyspace != NULL);
    limit_start(keyspace);
    client_limit_start();
    CHECK(interest_start(keyspace) && channels_start() && users_start(2));
    notify_start(keyspace);
    blocking_start(keyspace);
    watch_start(keyspace);
    CHECK(tracking_start(keyspace, 1));
    CHECK(serve_start(keyspace, 1, 1, &listening));
    process_is_ready();
}

/* ------------------------------------------------------------------ a client */

struct client {
    int fd;
    char *data;
    size_t length, capacity;
    bool is_ended;
};

static void client_open(struct client *client) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(strlen(socket_path) < sizeof address.sun_path);
    strcpy(address.sun_path, socket_path);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    client->length = 0;
    client->is_ended = false;
    CHECK(client->fd >= 0 && connect(client->fd, (struct sockaddr *)&address, sizeof address) == 0);
}

/* Waits for an event of the socket; returns which. The fuzzer's own alarm goes off every second, and then the
 * wait begins anew. */
static short await_events(const struct client *client, short events, int milliseconds) {
    struct pollfd watched = {.fd = client->fd, .events = events};
    int count;
    do count = poll(&watched, 1, milliseconds);
    while (count < 0 && errno == EINTR);
    return count > 0 ? watched.revents : 0;
}

/* What comes within the time, behind what is there. false: nothing. */
static bool client_receive(struct client *client, int milliseconds) {
    if (client->is_ended || await_events(client, POLLIN, milliseconds) == 0) return false;
    if (client->capacity - client->length < 65536) {
        client->capacity = client->capacity * 2 + 131072;
        client->data = realloc(client->data, client->capacity);
        CHECK(client->data != NULL);
    }
    ssize_t count = recv(client->fd, client->data + client->length, client->capacity - client->length, 0);
    if (count <= 0)
        client->is_ended = true;
    else
        client->length += (size_t)count;
    return true;
}

/* Sends all, and reads meanwhile. */
static void client_send(struct client *client, const char *data, size_t length) {
    while (length > 0 && !client->is_ended) {
        short events = await_events(client, POLLIN | POLLOUT, LOST_MS);
        CHECK(events != 0);
        if ((events & POLLIN) != 0) client_receive(client, 0);
        if ((events & POLLOUT) == 0) continue;
        ssize_t sent = send(client->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            while (client_receive(client, 0)) continue;
            client->is_ended = true;
            return;
        }
        data += sent;
        length -= (size_t)sent;
    }
}

/* ------------------------------------------------------------------ replies */

#define INCOMPLETE 0
#define WRONG SIZE_MAX

/* A line's number, which must be one. false: it isn't. */
static bool read_count(const char *from, const char *end, long long *number) {
    bool is_negative = from < end && *from == '-', is_lost = false;
    if (is_negative) from++;
    if (from == end) return false;
    for (*number = 0; from < end && *from >= '0' && *from <= '9'; from++) {
        long long digit = is_negative ? '0' - *from : *from - '0';
        is_lost = is_lost || __builtin_mul_overflow(*number, 10, number) ||
                  __builtin_add_overflow(*number, digit, number);
    }
    return from == end && !is_lost;
}

/* Bytes of the reply that begins there; INCOMPLETE or WRONG. An attribute belongs to what follows it. */
static size_t reply_length(const char *data, size_t length, int depth) {
    if (length == 0) return INCOMPLETE;
    const char *newline = memchr(data, '\n', length);
    if (newline == NULL) return INCOMPLETE;
    size_t line = (size_t)(newline - data) + 1;
    long long count = 0;
    if (line < 3 || newline[-1] != '\r' || depth > 16) return WRONG;
    switch (data[0]) {
    case '+':
    case '-':
    case ',':
    case '(': return memchr(data, '\r', line - 2) == NULL ? line : WRONG;
    case ':': return read_count(data + 1, newline - 1, &count) ? line : WRONG;
    case '_': return line == 3 ? line : WRONG;
    case '#': return line == 4 && (data[1] == 't' || data[1] == 'f') ? line : WRONG;
    case '$':
    case '=':
        if (!read_count(data + 1, newline - 1, &count) || count < -1) return WRONG;
        if (count == -1) return line;
        if (length < line + (size_t)count + 2) return INCOMPLETE;
        return memcmp(data + line + count, "\r\n", 2) == 0 ? line + (size_t)count + 2 : WRONG;
    case '*':
    case '~':
    case '>':
    case '%':
    case '|':
        if (!read_count(data + 1, newline - 1, &count) || count < -1) return WRONG;
        if (count == -1) return data[0] == '*' ? line : WRONG;
        if (data[0] == '%' || data[0] == '|') count *= 2;
        if (data[0] == '|') count++;
        for (size_t at = line; count >= 0; count--) {
            if (count == 0) return at;
            size_t part = reply_length(data + at, length - at, depth + 1);
            if (part == INCOMPLETE || part == WRONG) return part;
            at += part;
        }
        return WRONG;
    default: return WRONG;
    }
}

/* ------------------------------------------------------------------ requests */

struct request_text {
    char *data;
    size_t length, capacity;
    size_t begins[GROUP_MOST + 1]; /* of each request of the group */
    uint32_t count;
};
static struct request_text group;

static void group_bytes(const void *data, size_t length) {
    if (group.length + length > group.capacity) {
        group.capacity = (group.length + length) * 2;
        group.data = realloc(group.data, group.capacity);
        CHECK(group.data != NULL);
    }
    memcpy(group.data + group.length, data, length);
    group.length += length;
}

static void group_line(char kind, size_t number) {
    char line[32];
    group_bytes(line, (size_t)snprintf(line, sizeof line, "%c%zu\r\n", kind, number));
}

static void group_argument(const void *data, size_t length) {
    group_line('$', length);
    if (length > 0) group_bytes(data, length);
    group_bytes("\r\n", 2);
}

/* A word of the row's syntax: those in capitals are its options. */
static bool syntax_word(const struct command *row, uint8_t which, char *word, size_t size) {
    const char *at = row->syntax;
    if (at == NULL) return false;
    uint32_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t wanted = count == 0 ? 0 : which % count;
        if (pass == 1 && count == 0) return false;
        count = 0;
        for (at = row->syntax; (at = strchr(at, '=')) != NULL;) {
            size_t length = strspn(++at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
            if (length == 0) continue;
            if (pass == 1 && count == wanted && length < size) {
                memcpy(word, at, length);
                word[length] = '\0';
                return true;
            }
            count++;
        }
    }
    return false;
}

static void draw_argument(struct input *input, const struct command *row) {
    static const char *const words[] = {"0",
                                        "1",
                                        "-1",
                                        "2",
                                        "3",
                                        "10",
                                        "100",
                                        "-100",
                                        "1000000",
                                        "4294967296",
                                        "-9223372036854775808",
                                        "9223372036854775807",
                                        "1.5",
                                        "-inf",
                                        "+inf",
                                        "nan",
                                        "1e400",
                                        "(1",
                                        "[a",
                                        "-",
                                        "+",
                                        "*",
                                        "$",
                                        ">",
                                        "0-1",
                                        "1-1",
                                        "0-0",
                                        "a",
                                        "b",
                                        "c",
                                        "",
                                        "*a?[b-c]*",
                                        "u8",
                                        "i64",
                                        "#1",
                                        "#",
                                        "m",
                                        "km",
                                        "GET",
                                        "SET",
                                        "INCRBY",
                                        "STREAMS",
                                        "ID",
                                        "COUNT",
                                        "LIMIT",
                                        "WITHSCORES",
                                        "BY",
                                        "STORE",
                                        "0.01"};
    char text[64];
    const uint8_t *bytes;
    uint8_t kind = input_byte(input), which = input_byte(input);
    if (kind < 80) { /* a key of its kind, as a rule */
        snprintf(text, sizeof text, "%s:%d",
                 kind < 70 || row->group == NULL ? (row->group == NULL ? "string" : row->group) : "list",
                 which % 3);
        group_argument(text, strlen(text));
    } else if (kind < 140) {
        const char *word = words[which % (sizeof words / sizeof words[0])];
        group_argument(word, strlen(word));
    } else if (kind < 190 && syntax_word(row, which, text, sizeof text)) {
        group_argument(text, strlen(text));
    } else if (kind < 200) {
        snprintf(text, sizeof text, "%lld", (long long)(int64_t)input_number(input, 1 + which % 8));
        group_argument(text, strlen(text));
    } else if (kind < 205) { /* long, and of one byte */
        static char filled[20000];
        memset(filled, input_byte(input), sizeof filled);
        group_argument(filled, (size_t)which * 70);
    } else {
        size_t length = input_take(input, which % 48, &bytes);
        group_argument(bytes, length);
    }
}

/* Mostly as many words as the row takes, its name's included. */
static uint32_t draw_count(struct input *input, const struct command *row) {
    uint32_t least = (uint32_t)(row->arity < 0 ? -row->arity : row->arity), more = input_byte(input);
    uint32_t count = more < 200 ? least + (row->arity < 0 ? more % 8 : 0) : more % ARGUMENTS_MOST;
    uint32_t own = strchr(row->full_name, '|') == NULL ? 1 : 2;
    return count < own ? own : count;
}

static void group_name(const struct command *row) {
    const char *name = row->full_name, *bar = strchr(name, '|');
    group_argument(name, bar == NULL ? strlen(name) : (size_t)(bar - name));
    if (bar != NULL) group_argument(bar + 1, strlen(bar + 1));
}

static void draw_command(struct input *input, const struct command *row, uint32_t count) {
    group_name(row);
    for (uint32_t i = strchr(row->full_name, '|') == NULL ? 1 : 2; i < count; i++) draw_argument(input, row);
}

/* None of them goes on for ever, whatever it is given, and none takes much more memory than that. */
static const char *const scripts[] = {
    "return redis.call(unpack(ARGV))",
    "return redis.pcall(unpack(ARGV))",
    "redis.setresp(3) return redis.call(unpack(ARGV))",
    "#!lua flags=no-writes\nreturn redis.pcall(unpack(ARGV))",
    "#!lua flags=allow-oom,allow-cross-slot-keys\nreturn redis.call(unpack(ARGV))",
    "redis.call('set', 'string:2', 'stray') return redis.call(unpack(ARGV))",
    "local one = redis.pcall(unpack(ARGV)) local two = redis.pcall(unpack(ARGV)) return {one, two, #KEYS}",
    "local answer = redis.pcall(unpack(ARGV)) return cjson.encode(answer)",
    "local answer = redis.pcall(unpack(ARGV)) return cmsgpack.unpack(cmsgpack.pack(answer))",
    "redis.call('select', 1) redis.pcall(unpack(ARGV)) error(ARGV[1])",
    "for i, key in ipairs(KEYS) do redis.call('set', key, ARGV[i] or '') end return redis.call('dbsize')",
    "return {KEYS, ARGV, {ok = ARGV[1]}, {err = ARGV[2]}, {double = 1.5}, 3.99, true, false, 'x'}",
    "return redis.error_reply(ARGV[1] or '')",
    "return redis.status_reply(ARGV[#ARGV] or '')",
    "redis.setresp(3) return {map = {[ARGV[1] or 1] = ARGV}, set = {a = true}}",
    "return cjson.decode(ARGV[#ARGV])",
    "return {cmsgpack.unpack_limit(ARGV[#ARGV], 3, 0)}",
    "return {struct.unpack(ARGV[#ARGV - 1], ARGV[#ARGV])}",
    "return struct.pack(ARGV[1], unpack(ARGV, 2))",
    "return {bit.tohex(ARGV[1], ARGV[2]), bit.bxor(ARGV[1], ARGV[2]), bit.rol(ARGV[1], ARGV[2])}",
    "return string.format(ARGV[1], unpack(ARGV, 2))",
    "return {tonumber(ARGV[1]), tostring(ARGV), redis.sha1hex(ARGV[1]), #ARGV, pcall(error, ARGV)}",
    "redis.log(redis.LOG_DEBUG, unpack(ARGV)) return redis.acl_check_cmd(unpack(ARGV))",
    "redis.replicate_commands() redis.set_repl(tonumber(ARGV[1])) return redis.breakpoint()",
    "return setmetatable(ARGV, {__index = function(t, i) return i < 9 and i or nil end})",
};
#define SCRIPTS (sizeof scripts / sizeof scripts[0])

/* A script as text, by its sum, or in a library whose one function it is. */
static void group_script(const struct command *row, const char *script) {
    char library[512], sha[SHA_LENGTH + 1];
    const char *body = *script == '#' ? strchr(script, '\n') + 1 : script;
    if (strcmp(row->full_name, "function|load") == 0) {
        snprintf(library, sizeof library,
                 "#!lua name=fuzz\nredis.register_function('run', function(KEYS, ARGV) %s end)", body);
        group_argument(library, strlen(library));
    } else if (row->is_function) {
        group_argument("run", 3);
    } else if (strncmp(row->full_name, "evalsha", 7) == 0) {
        CHECK(texts_sha(sha, script, strlen(script)));
        group_argument(sha, SHA_LENGTH);
    } else {
        group_argument(script, strlen(script));
    }
}

static void draw_script(struct input *input, const struct command *row) {
    const char *script = scripts[input_byte(input) % SCRIPTS];
    const struct command *inner = rows[input_number(input, 2) % row_count];
    uint32_t keys = input_byte(input) % 4, count = draw_count(input, inner);
    char number[8];
    if (row->script == NULL) {
        bool replaces = strcmp(row->full_name, "function|load") == 0 && keys > 0;
        group_line('*', 3 + replaces);
        group_name(row);
        if (replaces) group_argument("REPLACE", 7);
        group_script(row, script);
        return;
    }
    group_line('*', 3 + keys + count);
    group_name(row);
    group_script(row, script);
    group_argument(number, (size_t)snprintf(number, sizeof number, "%u", keys));
    for (uint32_t i = 0; i < keys; i++) draw_argument(input, inner);
    draw_command(input, inner, count);
}

static void draw_request(struct input *input) {
    const struct command *row = rows[input_number(input, 2) % row_count];
    group.begins[group.count++] = group.length;
    /* Some are anything, as those of other rows are. */
    if (is_of_scripts(row) && input_byte(input) < 230) {
        draw_script(input, row);
        return;
    }
    uint32_t count = draw_count(input, row);
    group_line('*', count);
    draw_command(input, row, count);
}

/* For a report: the requests, as they were sent. */
static _Noreturn void give_up(const char *what, const struct client *client) {
    fprintf(stderr, "%s\n--- asked:\n%.*s\n--- answered:\n%.*s\n", what,
            (int)(group.length < 4000 ? group.length : 4000), group.data,
            (int)(client->length < 4000 ? client->length : 4000), client->data);
    abort();
}

/* Until a line's end has come. */
static void await_line(struct client *client) {
    while (client->length == 0 || memchr(client->data, '\n', client->length) == NULL)
        if (!client_receive(client, LOST_MS) || client->is_ended)
            give_up(client->is_ended ? "another connection is closed" : "another connection isn't answered",
                    client);
}

static void unblock(struct client *control, uint64_t id) {
    char request[64];
    client_send(control, request,
                (size_t)snprintf(request, sizeof request, "CLIENT UNBLOCK %llu\r\n", (unsigned long long)id));
    await_line(control);
    control->length = 0;
}

/* As many replies as were asked for, and the sentinel's; or the end. Returns how many bytes they had. */
static size_t read_replies(struct client *client, struct client *control, uint64_t id, uint32_t count) {
    size_t at = 0;
    int waited = 0;
    for (uint32_t i = 0; i <= count;) {
        size_t bytes = reply_length(client->data + at, client->length - at, 0);
        if (bytes == WRONG) give_up("a reply isn't well-formed", client);
        if (bytes != INCOMPLETE) {
            bool is_sentinel = bytes > 15 && memcmp(client->data + at, "$13\r\n" SENTINEL, 18) == 0;
            if (is_sentinel != (i == count))
                give_up(is_sentinel ? "a reply is missing" : "there is one reply more", client);
            at += bytes;
            i++;
            continue;
        }
        if (client->is_ended) return at;
        if (client_receive(client, WAIT_MS)) continue;
        waited += WAIT_MS;
        if (waited > LOST_MS) give_up("a request isn't answered", client);
        unblock(control, id);
    }
    if (at != client->length) give_up("there is more than was asked for", client);
    return at;
}

static void run_group(struct client *client, struct client *control, uint64_t id) {
    /* Before it, what a transaction has queued is run: or else it would be queued as well. */
    static const char exec[] = "*1\r\n$4\r\nEXEC\r\n",
                      sentinel[] = "*2\r\n$4\r\nECHO\r\n$13\r\n" SENTINEL "\r\n";
    client->length = 0;
    int64_t before = atomic_load(&live), data = before > empty ? before - empty : 0;
    group_bytes(exec, sizeof exec - 1);
    group.count++;
    group_bytes(sentinel, sizeof sentinel - 1);
    atomic_store(&peak, before);
    client_send(client, group.data, group.length);
    size_t answered = read_replies(client, control, id, group.count);
    int64_t grown = atomic_load(&peak) - before, kept = atomic_load(&live) - empty;
    if (kept > data) data = kept; /* what it has made is an operand, too */
    int64_t most = TIMES_MOST * ((int64_t)group.length + (int64_t)answered + data) + BYTES_MOST;
    if (grown > most) {
        fprintf(stderr, "%lld bytes were allocated, %lld would be many; data %lld\n", (long long)grown,
                (long long)most, (long long)data);
        give_up("too much memory", client);
    }
}

static uint64_t ask_id(struct client *client) {
    client->length = 0;
    client_send(client, "CLIENT ID\r\n", 11);
    await_line(client);
    long long id = 0;
    if (!read_count(client->data + 1, memchr(client->data, '\r', client->length), &id))
        give_up("CLIENT ID answers no number", client);
    client->length = 0;
    return (uint64_t)id;
}

/* Something of each type; and nothing of what the last one left. */
static void begin(struct client *control) {
    static const char text[] =
        "FLUSHALL\r\nSET string:0 abcabc\r\nSET string:1 12\r\nRPUSH list:0 a b c 1 2\r\nSADD "
        "set:0 a b c\r\nSADD set:1 1 2 3\r\nHSET hash:0 a 1 b 2\r\n"
        "ZADD sorted-set:0 1 a 2 b 3 c\r\nXADD stream:0 1-1 a b\r\nXGROUP CREATE stream:0 a "
        "0\r\nPFADD hyperloglog:0 a b\r\nGEOADD geo:0 1 1 a 2 2 b\r\nSET bitmap:0 abc\r\nSET "
        "generic:0 x\r\n";
    uint32_t lines = 0, seen = 0;
    for (const char *at = text; *at != '\0'; at++) lines += *at == '\n';
    control->length = 0;
    client_send(control, text, sizeof text - 1);
    for (size_t at = 0; seen < lines;) {
        const char *newline =
            control->length > at ? memchr(control->data + at, '\n', control->length - at) : NULL;
        if (newline == NULL) {
            CHECK(client_receive(control, LOST_MS));
            continue;
        }
        at = (size_t)(newline - control->data) + 1;
        seen++;
    }
    control->length = 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    is_client = true;
    CHECK(__sanitizer_install_malloc_and_free_hooks(note_allocation, note_free) != 0);
    serve();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    static struct client client, control;
    struct input input = {bytes, bytes + length};
    if (control.data == NULL) {
        client_open(&control);
        begin(&control);
        empty = atomic_load(&live); /* or nearly: a dozen small values */
    }
    begin(&control);
    client_open(&client);
    uint64_t id = ask_id(&client);
    for (int i = 0; i < REQUESTS_MOST && input.at < input.end && !client.is_ended; i++) {
        group.length = group.count = 0;
        uint32_t wanted = 1 + input_byte(&input) % GROUP_MOST;
        while (group.count < wanted && input.at < input.end) draw_request(&input);
        if (group.count > 0) run_group(&client, &control, id);
    }
    close(client.fd);
    return 0;
}
