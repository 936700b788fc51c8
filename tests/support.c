/* A test's server is a child process whose log is a pipe. A line of the log says when it is ready,
 * a descriptor of the process says when it has ended, and nothing sleeps in between. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Sanitizers on a machine with other things to do. */
#define READY_SECONDS 60
#define STOP_SECONDS 60
/* Between the free port's being found and the server's taking it, somebody else may. */
#define ATTEMPTS 5
#define OPTIONS_MOST 62
#define RUNNING_MOST 64

/* Guarded by mutex. What is killed if the program ends without stopping it. */
static struct server *running[RUNNING_MOST];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pid_t owner;

int64_t now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static _Noreturn void give_up(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* ------------------------------------------------------------------ starting */

int port_free(void) {
    static unsigned int state;
    if (state == 0) state = (unsigned int)now_us() ^ (unsigned int)getpid();
    for (;;) {
        int port = 10000 + rand_r(&state) % 20000;
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) give_up("no free port", strerror(errno));
        bool is_free = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
        close(fd);
        if (is_free) return port;
    }
}

static void launch(struct server *server, const char *const *options) {
    const char *binary = getenv("LATCHKEY");
    const char *backend = getenv("IO_BACKEND");
    if (binary == NULL) give_up("LATCHKEY", "must name the server to test");
    char port[16];
    snprintf(port, sizeof port, "%d", server->port);
    const char *const fixed[] = {binary,   "--port",    port,
                                 "--bind", "127.0.0.1", "--enable-debug-command",
                                 "yes",    "--dir",     server->directory};
    size_t count = sizeof fixed / sizeof fixed[0];
    const char *arguments[sizeof fixed / sizeof fixed[0] + 2 + OPTIONS_MOST + 1] = {NULL};
    memcpy(arguments, fixed, sizeof fixed);
    if (backend != NULL) {
        arguments[count++] = "--io-backend";
        arguments[count++] = backend;
    }
    for (size_t i = 0; options != NULL && options[i] != NULL; i++) {
        if (i == OPTIONS_MOST) give_up("server_start", "too many options");
        arguments[count++] = options[i];
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) give_up("no pipe", strerror(errno));
    /* Sent when the thread that forks ends; only the main thread lasts as long as the test. */
    bool is_main = gettid() == getpid();
    pid_t parent = getpid();
    server->pid = fork();
    if (server->pid < 0) give_up("no process", strerror(errno));
    if (server->pid == 0) {
        if (is_main) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (is_main && getppid() != parent) _exit(127); /* it died before we asked */
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        execv(binary, (char *const *)(uintptr_t)arguments);
        dprintf(STDERR_FILENO, "%s: %s\n", binary, strerror(errno));
        _exit(127);
    }
    close(ends[1]);
    server->log = ends[0];
}

enum start { START_READY, START_PORT_TAKEN, START_FAILED };

/* Reads the log until it says that the server serves, or why not. */
static enum start wait_until_ready(const struct server *server) {
    char text[16384];
    size_t length = 0;
    int64_t deadline = now_us() + READY_SECONDS * 1000000LL;
    for (;;) {
        struct pollfd watched = {.fd = server->log, .events = POLLIN};
        int64_t left = deadline - now_us();
        int events = left <= 0 ? 0 : poll(&watched, 1, (int)(left / 1000) + 1);
        if (events < 0 && errno == EINTR) continue;
        ssize_t count = events <= 0 ? 0 : read(server->log, text + length, sizeof text - 1 - length);
        if (count > 0) length += (size_t)count;
        text[length] = '\0';
        if (strstr(text, "Ready to accept connections") != NULL) return START_READY;
        if (count <= 0) {
            if (strstr(text, strerror(EADDRINUSE)) != NULL) return START_PORT_TAKEN;
            fprintf(stderr, "the server %s:\n%s\n", events == 0 ? "is not ready in time" : "ended", text);
            return START_FAILED;
        }
        /* Only a sanitizer says so much; the last half is enough to find the line that matters. */
        if (length == sizeof text - 1) {
            memmove(text, text + length / 2, length - length / 2);
            length -= length / 2;
        }
    }
}

/* The pipe must not fill. Passed on are warnings, and all that follows a sanitizer's or an
 * assertion's first word. */
static void *read_log(void *argument) {
    FILE *log = argument;
    char *line = NULL;
    size_t capacity = 0;
    bool is_report = false;
    while (getline(&line, &capacity, log) > 0) {
        if (strstr(line, "Sanitizer") != NULL || strstr(line, "runtime error") != NULL ||
            strstr(line, "Assertion") != NULL)
            is_report = true;
        if (is_report || strstr(line, " # ") != NULL) fputs(line, stderr);
    }
    free(line);
    fclose(log);
    return NULL;
}

static void start_reader(struct server *server) {
    FILE *log = fdopen(server->log, "r");
    if (log == NULL || pthread_create(&server->reader, NULL, read_log, log) != 0)
        give_up("the server's log", "can't be read");
}

/* ------------------------------------------------------------------ ending */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status, (void)kind, (void)place;
    return remove(path);
}

static void remove_directory(const char *path) {
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void kill_running(void) {
    if (getpid() != owner) return; /* a test's own child ends */
    for (int i = 0; i < RUNNING_MOST; i++) {
        struct server *server = running[i];
        if (server == NULL) continue;
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        pthread_join(server->reader, NULL); /* what a sanitizer said is worth seeing */
        remove_directory(server->directory);
    }
}

static void note_running(struct server *server) {
    bool is_noted = false;
    pthread_mutex_lock(&mutex);
    if (owner != getpid()) {
        owner = getpid();
        atexit(kill_running);
    }
    for (int i = 0; i < RUNNING_MOST && !is_noted; i++) {
        if (running[i] != NULL) continue;
        running[i] = server;
        is_noted = true;
    }
    pthread_mutex_unlock(&mutex);
    if (!is_noted) give_up("server_start", "too many servers");
}

static void forget_running(const struct server *server) {
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < RUNNING_MOST; i++)
        if (running[i] == server) running[i] = NULL;
    pthread_mutex_unlock(&mutex);
}

/* ------------------------------------------------------------------ what tests call */

struct server *server_start(const char *const *options) {
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) give_up("server_start", "out of memory");
    signal(SIGPIPE, SIG_IGN); /* a server that went away is a reply's error, not our end */
    strcpy(server->directory, "/tmp/latchkey-test-XXXXXX");
    if (mkdtemp(server->directory) == NULL) give_up(server->directory, strerror(errno));
    enum start outcome = START_PORT_TAKEN;
    for (int attempt = 0; attempt < ATTEMPTS && outcome == START_PORT_TAKEN; attempt++) {
        server->port = port_free();
        launch(server, options);
        outcome = wait_until_ready(server);
        if (outcome == START_READY) {
            start_reader(server);
            note_running(server);
            return server;
        }
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        close(server->log);
    }
    remove_directory(server->directory);
    give_up("the server does not start", outcome == START_PORT_TAKEN ? "no port stays free" : "see above");
}

/* The end of a child is an event like any other: its descriptor becomes readable. */
static bool has_ended_within(pid_t pid, int seconds) {
    struct pollfd watched = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    if (watched.fd < 0) give_up("pidfd_open", strerror(errno));
    int64_t deadline = now_us() + seconds * 1000000LL, left = deadline - now_us();
    int events = 0;
    do {
        events = poll(&watched, 1, (int)(left / 1000) + 1);
        left = deadline - now_us();
    } while (events < 0 && errno == EINTR && left > 0);
    close(watched.fd);
    return events > 0;
}

void server_await_end(const struct server *server) {
    struct pollfd watched = {.fd = pidfd_open(server->pid, 0), .events = POLLIN};
    assert_return_code(watched.fd, errno);
    if (poll(&watched, 1, PATIENCE_SECONDS * 1000) != 1) fail_msg("the server doesn't end");
    close(watched.fd);
}

int server_stop(struct server *server) {
    int status = 0;
    kill(server->pid, SIGTERM);
    if (!has_ended_within(server->pid, STOP_SECONDS))
        give_up("server_stop", "the server was told to end, and doesn't");
    waitpid(server->pid, &status, 0);
    forget_running(server);
    pthread_join(server->reader, NULL);
    remove_directory(server->directory);
    free(server);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int scaled(int full, int slow) {
    return getenv("IS_SLOW_SERVER") != NULL ? slow : full;
}

double server_cpu_seconds(const struct server *server) {
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)server->pid);
    FILE *file = fopen(path, "r");
    if (file == NULL || fgets(line, sizeof line, file) == NULL) give_up(path, "can't be read");
    fclose(file);
    /* The name may have blanks in it; what follows it has none. */
    const char *behind_name = strrchr(line, ')');
    if (behind_name == NULL ||
        sscanf(behind_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        give_up(path, "reads otherwise than expected");
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

redisContext *server_connect(const struct server *server) {
    redisContext *connection = redisConnect("127.0.0.1", server->port);
    if (connection == NULL) give_up("server_connect", "out of memory");
    if (connection->err != 0) give_up("server_connect", connection->errstr);
    return connection;
}

/* Others are kept open meanwhile, as the next one would take their place. A worker that does not turn, since
 * the machine has others to do, is given nobody for a while. */
redisContext *server_connect_to(const struct server *server, long worker) {
    redisContext *others[MOST_CONNECTIONS_TRIED], *found = NULL;
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    int count = 0;
    while (found == NULL) {
        redisContext *connection = server_connect(server);
        if (ask_integer(connection, "DEBUG WORKER") == worker)
            found = connection;
        else
            others[count++] = connection;
        if (count < MOST_CONNECTIONS_TRIED) continue;
        if (now_us() > deadline) fail_msg("none of %d connections is worker %ld's", count, worker);
        while (count > 0) redisFree(others[--count]);
    }
    while (count > 0) redisFree(others[--count]);
    return found;
}

/* ------------------------------------------------------------------ replies as text */

static void text_write(FILE *out, const redisReply *reply) {
    switch (reply->type) {
    case REDIS_REPLY_NIL: fputs("(nil)", out); break;
    case REDIS_REPLY_INTEGER: fprintf(out, "%lld", reply->integer); break;
    case REDIS_REPLY_ARRAY:
        fputc('[', out);
        for (size_t i = 0; i < reply->elements; i++) {
            if (i > 0) fputs(", ", out);
            text_write(out, reply->element[i]);
        }
        fputc(']', out);
        break;
    default: fwrite(reply->str, 1, (size_t)reply->len, out); break;
    }
}

char *reply_text(const redisReply *reply) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL) give_up("reply_text", "out of memory");
    text_write(out, reply);
    fclose(out);
    return text;
}

void expect(redisContext *connection, const char *expected, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(connection, format, arguments);
    va_end(arguments);
    if (reply == NULL) fail_msg("%s: %s", format, connection->errstr);
    char *actual = reply_text(reply);
    if (strcmp(actual, expected) != 0) fail_msg("%s: expected %s, got %s", format, expected, actual);
    free(actual);
    freeReplyObject(reply);
}

int64_t info_number(redisContext *connection, const char *name) {
    char field[64];
    redisReply *reply = redisCommand(connection, "INFO");
    assert_non_null(reply);
    snprintf(field, sizeof field, "\n%s:", name);
    const char *found = strstr(reply->str, field);
    if (found == NULL) fail_msg("INFO has no %s", name);
    int64_t value = strtoll(found + strlen(field), NULL, 10);
    freeReplyObject(reply);
    return value;
}

void await_info_between(redisContext *connection, const char *name, int64_t least, int64_t most) {
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000), value;
    while ((value = info_number(connection, name)) < least || value > most)
        if (now_us() > deadline)
            fail_msg("%s stays %lld, and doesn't become %lld to %lld", name, (long long)value,
                     (long long)least, (long long)most);
}

void await_info(redisContext *connection, const char *name, int64_t value) {
    await_info_between(connection, name, value, value);
}

/* A loop that turns for nothing does so within microseconds. */
void expect_rest(redisContext *connection) {
    enum { ASKED = 500, TURNS_EACH = 3, TURNS_MS = 1 };
    int64_t began = now_us(), turns = info_number(connection, "eventloop_cycles");
    for (int i = 0; i < ASKED; i++) (void)info_number(connection, "eventloop_cycles");
    turns = info_number(connection, "eventloop_cycles") - turns;
    int64_t milliseconds = (now_us() - began) / 1000;
    if (turns > ASKED * TURNS_EACH + milliseconds * TURNS_MS)
        fail_msg("%lld turns of the loops, for %d questions in %lld ms", (long long)turns, ASKED,
                 (long long)milliseconds);
}

int64_t ask_integer(redisContext *connection, const char *command) {
    redisReply *reply = redisCommand(connection, command);
    if (reply == NULL) fail_msg("%s: %s", command, connection->errstr);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    int64_t value = reply->integer;
    freeReplyObject(reply);
    return value;
}

redisContext *connect_and_wait(const struct server *server, redisContext *observer, const char *command) {
    redisContext *waiting = server_connect(server);
    redisReply *id = redisCommand(waiting, "CLIENT ID");
    char pattern[64];
    snprintf(pattern, sizeof pattern, "id=%lld ", id->integer);
    freeReplyObject(id);
    redisAppendCommand(waiting, command);
    int done = 0;
    while (!done) redisBufferWrite(waiting, &done);
    for (bool is_blocked = false; !is_blocked;) {
        redisReply *list = redisCommand(observer, "CLIENT LIST");
        const char *line = strstr(list->str, pattern);
        assert_non_null(line);
        const char *flags = strstr(line, " flags=");
        is_blocked = flags != NULL && flags[strlen(" flags=")] == 'b';
        freeReplyObject(list);
    }
    return waiting;
}

void expect_next(redisContext *connection, const char *expected) {
    redisReply *reply;
    assert_int_equal(redisGetReply(connection, (void **)&reply), REDIS_OK);
    char *text = reply_text(reply);
    assert_string_equal(text, expected);
    free(text);
    freeReplyObject(reply);
}

void expect_answer(redisContext *waiting, const char *expected) {
    expect_next(waiting, expected);
    redisFree(waiting);
}
