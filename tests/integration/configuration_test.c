/* Configuration: where values come from, what is refused and how it is said, and what single options do to
 * the process.
 *
 * server_start always gives the same options first, so these tests start their servers themselves. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define ARGUMENTS_MOST 32

/* ------------------------------------------------------------------ processes */

/* A server of ours, and what it has said so far. */
struct process {
    pid_t pid;
    int output; /* its standard output and error */
    int input;  /* its standard input's other end */
    char *said;
    size_t length;
    bool has_closed; /* its output */
};

static char folder[] = "/tmp/latchkey-test-XXXXXX"; /* of the test that runs; removed after it */

static int folder_create(void **state) {
    (void)state;
    strcpy(strrchr(folder, '-') + 1, "XXXXXX");
    signal(SIGPIPE, SIG_IGN);
    return mkdtemp(folder) == NULL;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status, (void)kind, (void)place;
    return remove(path);
}

static int folder_remove(void **state) {
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static rlim_t files_most; /* if not 0, how many files the next server may have open */

/* Starts the server with exactly these arguments, ended by NULL, in the test's folder. */
static void process_start(struct process *process, const char *const *arguments) {
    const char *binary = getenv("LATCHKEY"), *list[ARGUMENTS_MOST] = {binary};
    char path[4096];
    int output[2], input[2];
    if (binary == NULL || realpath(binary, path) == NULL) fail_msg("LATCHKEY must name the server to test");
    for (size_t i = 0; arguments[i] != NULL; i++) list[1 + i] = arguments[i];
    assert_return_code(pipe2(output, O_CLOEXEC), errno);
    assert_return_code(pipe2(input, O_CLOEXEC), errno);
    *process = (struct process){.output = output[0], .input = input[1]};
    process->pid = fork();
    assert_return_code(process->pid, errno);
    if (process->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(input[0], STDIN_FILENO);
        dup2(output[1], STDOUT_FILENO);
        dup2(output[1], STDERR_FILENO);
        if (chdir(folder) != 0) _exit(126);
        if (files_most != 0) {
            setrlimit(RLIMIT_NOFILE, &(struct rlimit){files_most, files_most});
            prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE); /* which lets root raise it again */
        }
        execv(path, (char *const *)(uintptr_t)list);
        _exit(127);
    }
    close(output[1]);
    close(input[0]);
}

/* Reads what it says until the text comes, or until it says no more (text NULL: for that). */
static bool process_says(struct process *process, const char *text) {
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    while (text == NULL || process->said == NULL || strstr(process->said, text) == NULL) {
        struct pollfd watched = {.fd = process->output, .events = POLLIN};
        int64_t left = deadline - now_us();
        if (process->has_closed) return false;
        if (left <= 0 || poll(&watched, 1, (int)(left / 1000) + 1) == 0)
            fail_msg("the server doesn't say %s, but: %s", text == NULL ? "that it ends" : text,
                     process->said);
        process->said = realloc(process->said, process->length + 4097);
        assert_non_null(process->said);
        ssize_t count = read(process->output, process->said + process->length, 4096);
        if (count > 0) process->length += (size_t)count;
        process->said[process->length] = '\0';
        process->has_closed = count <= 0;
    }
    return true;
}

/* Waits for its end: its exit status, or 128 + the signal that killed it. */
static int process_end(struct process *process) {
    int status = 0;
    process_says(process, NULL);
    assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
    close(process->output);
    if (process->input >= 0) close(process->input);
    process->input = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void process_free(struct process *process) {
    free(process->said);
    process->said = NULL;
}

/* Tells it to end, and expects that it does so without complaint. */
static void process_stop(struct process *process) {
    kill(process->pid, SIGTERM);
    int status = process_end(process);
    if (status != 0) fail_msg("exit status %d: %s", status, process->said);
    process_free(process);
}

#define START(process, ...) process_start(process, (const char *const[]){__VA_ARGS__, NULL})

static void await_ready(struct process *process) {
    if (!process_says(process, "Ready to accept connections"))
        fail_msg("the server doesn't start: %s", process->said);
}

static redisContext *connect_to(int port) {
    redisContext *connection = redisConnect("127.0.0.1", port);
    assert_non_null(connection);
    if (connection->err != 0) fail_msg("port %d: %s", port, connection->errstr);
    return connection;
}

/* ------------------------------------------------------------------ files */

/* A name in the test's folder, to be freed. */
static char *path_of(const char *name) {
    char *path;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

/* Writes a file of the test's folder, and returns its path, to be freed. */
static char *file_write(const char *name, const char *format, ...) {
    va_list arguments;
    char *path = path_of(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* The whole of a file, to be freed; NULL if there is none. */
static char *file_read(const char *path) {
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    if (file == NULL) return NULL;
    if (getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = strdup("");
    }
    fclose(file);
    return text;
}

static bool file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

static void expect_within(const char *text, const char *part) {
    if (text == NULL || strstr(text, part) == NULL)
        fail_msg("expected to find\n%s\nin\n%s", part, text == NULL ? "nothing" : text);
}

static void expect_not_within(const char *text, const char *part) {
    if (strstr(text, part) != NULL) fail_msg("did not expect\n%s\nin\n%s", part, text);
}

/* ------------------------------------------------------------------ where values come from */

static void options_win_over_the_file_and_later_lines_over_earlier_ones(void **state) {
    (void)state;
    struct process server;
    int of_file = port_free(), of_option = port_free();
    char option[16];
    snprintf(option, sizeof option, "%d", of_option);
    free(file_write("more.conf", "hz 25\ntimeout 3\n"));
    char *path = file_write("main.conf",
                            "# a comment\n"
                            "port %d\n"
                            "bind 127.0.0.1\n"
                            "\n"
                            "  MaxClients   50  \n"
                            "requirepass \"a \\x62\"\n"
                            "timeout 1\n"
                            "include more.conf\n"
                            "timeout 7\n",
                            of_file);
    START(&server, path, "--port", option, "--maxclients", "60");
    await_ready(&server);
    redisContext *connection = connect_to(of_option);
    expect(connection, "NOAUTH Authentication required.", "PING");
    expect(connection, "OK", "AUTH %s", "a b");
    expect(connection, "[maxclients, 60]", "CONFIG GET maxclients");
    expect(connection, "[hz, 25]", "CONFIG GET hz");
    expect(connection, "[timeout, 7]", "CONFIG GET timeout");
    expect(connection, "[bind, 127.0.0.1]", "CONFIG GET bind");
    redisReply *info = redisCommand(connection, "INFO server");
    char expected[256];
    snprintf(expected, sizeof expected, "\r\nconfig_file:%s\r\n", path);
    expect_within(info->str, expected);
    snprintf(expected, sizeof expected, "\r\ntcp_port:%d\r\n", of_option);
    expect_within(info->str, expected);
    freeReplyObject(info);
    redisFree(connection);
    process_stop(&server);
    /* Without options the file alone decides. */
    START(&server, path);
    await_ready(&server);
    connection = connect_to(of_file);
    expect(connection, "OK", "AUTH %s", "a b");
    expect(connection, "[maxclients, 50]", "CONFIG GET maxclients");
    redisFree(connection);
    process_stop(&server);
    free(path);
}

static void a_dash_reads_the_configuration_from_standard_input(void **state) {
    (void)state;
    static const char lines[] = "maxclients 77\nbind 127.0.0.1\n# the rest\nhz 33";
    struct process server;
    int port = port_free();
    char option[16];
    snprintf(option, sizeof option, "%d", port);
    START(&server, "-", "--port", option, "--hz", "44");
    assert_int_equal(write(server.input, lines, sizeof lines - 1), sizeof lines - 1);
    close(server.input);
    server.input = -1;
    await_ready(&server);
    redisContext *connection = connect_to(port);
    expect(connection, "[maxclients, 77]", "CONFIG GET maxclients");
    expect(connection, "[hz, 44]", "CONFIG GET hz");
    expect(connection, "ERR The server is running without a config file", "CONFIG REWRITE");
    redisFree(connection);
    process_stop(&server);
}

/* ------------------------------------------------------------------ what is refused */

/* Runs it to its end, which should not be a good one, and checks what it says. */
static void expect_refusal(const char *const *arguments, const char *said) {
    struct process process;
    process_start(&process, arguments);
    close(process.input);
    process.input = -1;
    int status = process_end(&process);
    if (status == 0 || status >= 126) fail_msg("exit status %d: %s", status, process.said);
    expect_within(process.said, said);
    process_free(&process);
}

/* ------------------------------------------------------------------ made for Redis */

/* What Debian's redis.conf and Redis's own say, but for folders that a test doesn't have. */
static void a_configuration_made_for_redis_starts(void **state) {
    (void)state;
    struct process server;
    int port = port_free();
    char text[16];
    snprintf(text, sizeof text, "%d", port);
    char *path = file_write(
        "redis.conf",
        "bind 127.0.0.1 -::1\nprotected-mode yes\nport 6379\ntcp-backlog 511\ntimeout "
        "0\ntcp-keepalive 300\n"
        "daemonize no\nsupervised auto\npidfile redis-server.pid\nloglevel notice\nlogfile \"\"\n"
        "databases 16\nalways-show-logo no\nset-proc-title yes\n"
        "proc-title-template \"{title} {listen-addr} {server-mode}\"\nlocale-collate \"\"\n"
        "save 3600 1\nsave 300 100 60 10000\nstop-writes-on-bgsave-error yes\nrdbcompression yes\n"
        "rdbchecksum yes\ndbfilename dump.rdb\nrdb-del-sync-files no\ndir ./\n"
        "replica-serve-stale-data yes\nreplica-read-only yes\nrepl-diskless-sync yes\n"
        "repl-diskless-load disabled\nreplica-priority 100\nacllog-max-len 128\n"
        "lazyfree-lazy-eviction no\nreplica-lazy-flush no\noom-score-adj no\n"
        "oom-score-adj-values 0 200 800\ndisable-thp yes\nappendonly yes\n"
        "appendfilename \"appendonly.aof\"\nappenddirname \"appendonlydir\"\nappendfsync everysec\n"
        "auto-aof-rewrite-min-size 64mb\nlatency-monitor-threshold 0\nnotify-keyspace-events \"\"\n"
        "list-max-ziplist-entries 512\nactiverehashing yes\n"
        "client-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit replica 256mb 64mb "
        "60\n"
        "hz 10\ndynamic-hz yes\njemalloc-bg-thread yes\n"
        "rename-command FLUSHALL \"\"\nrename-command BGREWRITEAOF \"\"\n");
    START(&server, path, "--supervised", "systemd", "--port", text);
    await_ready(&server);
    redisContext *connection = connect_to(port);
    expect(connection, "[save, 3600 1 300 100 60 10000]", "CONFIG GET save");
    expect(connection, "[appendonly, yes]", "CONFIG GET appendonly");
    expect(connection, "OK", "SET k v");
    redisFree(connection);
    /* Once for a reason, not once for an option; and loudly what is promised in vain. */
    expect_within(server.said, "save, appendonly, appendfilename, appenddirname, appendfsync, "
                               "auto-aof-rewrite-min-size, dbfilename, "
                               "rdbcompression, rdbchecksum, rdb-del-sync-files, "
                               "stop-writes-on-bgsave-error have no effect here: "
                               "all is kept in memory only");
    expect_within(server.said,
                  "The configuration asks for persistence (appendonly, save), and there is none");
    process_stop(&server);
    free(path);
}

static void options_made_for_redis_start(void **state) {
    (void)state;
    static const struct {
        const char *arguments[4], *name, *shown, *said;
    } cases[] = {
        {{"--appendonly", "yes"},
         "appendonly",
         "yes",
         "appendonly has no effect here: all is kept in memory only"},
        {{"--save", "60", "1"}, "save", "60 1", "save has no effect here: all is kept in memory only"},
        {{"--save", ""}, "save", "", "save has no effect here"},
        {{"--save"}, "save", "", "save has no effect here"},
        {{"--io-threads", "4"},
         "io-threads",
         "4",
         "io-threads has no effect here: each thread reads, executes and writes"},
        {{"--maxmemory-samples", "5"},
         "maxmemory-samples",
         "5",
         "maxmemory-samples has no effect here: eviction takes"},
        {{"--tls-replication", "yes"},
         "tls-replication",
         "yes",
         "tls-replication has no effect here: there is"},
        {{"--tls-port", "0"}, "tls-port", "0", "Ready"},
        {{"--maxmemory 700mb"}, "maxmemory", "734003200", "Ready"},
        {{"--"}, "save", "", "Ready"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct process server;
        int port = port_free();
        char text[16], expected[128];
        snprintf(text, sizeof text, "%d", port);
        const char *const *given = cases[i].arguments;
        const char *arguments[] = {"--bind", "127.0.0.1", "--port", text,     "--threads",
                                   "1",      given[0],    given[1], given[2], NULL};
        process_start(&server, arguments);
        await_ready(&server);
        redisContext *connection = connect_to(port);
        snprintf(expected, sizeof expected, "[%s, %s]", cases[i].name, cases[i].shown);
        expect(connection, expected, "CONFIG GET %s", cases[i].name);
        redisFree(connection);
        expect_within(server.said, cases[i].said);
        process_stop(&server);
    }
}

static void a_renamed_command_has_its_new_name_only(void **state) {
    (void)state;
    struct process server;
    int port = port_free();
    char text[16];
    snprintf(text, sizeof text, "%d", port);
    char *path = file_write(
        "renames.conf", "rename-command CONFIG a-Name-Longer-Than-16-Letters\nrename-command FLUSHALL \"\"\n"
                        "rename-command GET SET2\nrename-command SCRIPT \"\"\n");
    START(&server, path, "--bind", "127.0.0.1", "--port", text, "--threads", "1", "--rename-command", "DEL",
          "GET");
    await_ready(&server);
    redisContext *connection = connect_to(port);
    expect(connection, "OK", "SET k v");
    expect(connection, "v", "set2 k");
    expect(connection, "1", "GET k");
    expect(connection, "ERR unknown command 'DEL', with args beginning with: 'k' ", "DEL k");
    expect(connection, "ERR unknown command 'FLUSHALL', with args beginning with: ", "FLUSHALL");
    expect(connection, "ERR unknown command 'CONFIG', with args beginning with: 'GET' 'hz' ",
           "CONFIG GET hz");
    expect(connection, "[hz, 10]", "A-NAME-longer-than-16-letters GET hz");
    expect(connection,
           "ERR unknown command 'A-NAME-longer-than-16-lettert', with args beginning with: 'GET' "
           "'hz' ",
           "A-NAME-longer-than-16-lettert GET hz");
    expect(connection, "[]", "COMMAND LIST FILTERBY PATTERN flushall");
    expect(connection, "[(nil)]", "COMMAND INFO flushall");
    redisFree(connection);
    process_stop(&server);
    free(path);
    expect_refusal((const char *const[]){"--rename-command", "GET", "SET", NULL},
                   "Target command name already exists");
    expect_refusal((const char *const[]){"--rename-command", "GETT", "", NULL},
                   "rename-command GETT: No such command in rename-command");
    expect_refusal((const char *const[]){"--rename-command", "CONFIG|GET", "x", NULL},
                   "No such command in rename-command");
}

/* Debian's unit has Type=notify: what never says that it is ready is killed. */
static void systemd_is_told_when_the_server_is_ready(void **state) {
    (void)state;
    struct process server;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char message[128] = "", text[16];
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", folder);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof address), errno);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    snprintf(text, sizeof text, "%d", port_free());
    START(&server, "--bind", "127.0.0.1", "--port", text, "--supervised", "systemd", "--daemonize", "yes");
    unsetenv("NOTIFY_SOCKET");
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&watched, 1, PATIENCE_SECONDS * 1000), 1);
    assert_true(recv(fd, message, sizeof message - 1, 0) > 0);
    expect_within(message, "READY=1\n");
    process_stop(&server); /* it is the process that was started: it didn't go to the background */
    close(fd);
}

/* As in Redis, a limit of 64 files means 32 clients, and all of them are served. */
static void a_low_limit_of_open_files_leaves_half_to_clients(void **state) {
    (void)state;
    struct process server;
    int port = port_free();
    char text[16];
    snprintf(text, sizeof text, "%d", port);
    files_most = 64;
    START(&server, "--bind", "127.0.0.1", "--port", text, "--threads", "2");
    files_most = 0;
    await_ready(&server);
    redisContext *connections[32];
    connections[0] = connect_to(port);
    expect(connections[0], "[maxclients, 32]", "CONFIG GET maxclients");
    for (int i = 1; i < 32; i++) connections[i] = connect_to(port);
    for (int i = 0; i < 32; i++) expect(connections[i], "PONG", "PING");
    for (int i = 0; i < 32; i++) redisFree(connections[i]);
    expect_within(server.said, "maxclients is lowered from 10000 to 32");
    process_stop(&server);
}

static void a_mistake_in_the_file_is_shown_with_its_file_and_line(void **state) {
    (void)state;
    static const struct {
        const char *content;
        int line;
        const char *text, *why;
    } cases[] = {
        {"prot 7000\n", 1, "prot 7000", "Unknown option 'prot'. Did you mean 'port'?"},
        {"# x\n\n\nzzzzzzzz 1\n", 4, "zzzzzzzz 1",
         "Unknown option 'zzzzzzzz'. latchkey.conf explains those there are."},
        {"hz 10\nport\n", 2, "port", "wrong number of arguments"},
        {"port 1 2\n", 1, "port 1 2", "wrong number of arguments"},
        {"port 70000\n", 1, "port 70000", "argument must be between 0 and 65535 inclusive"},
        {"port 12x\n", 1, "port 12x", "argument couldn't be parsed into an integer"},
        {"protected-mode maybe\n", 1, "protected-mode maybe", "argument must be 'yes' or 'no'"},
        {"loglevel loud\n", 1, "loglevel loud",
         "argument(s) must be one of the following: debug, verbose, notice, warning, nothing"},
        {"proto-max-bulk-len 1x\n", 1, "proto-max-bulk-len 1x", "argument must be a memory value"},
        {"unixsocketperm 9\n", 1, "unixsocketperm 9", "argument couldn't be parsed as an octal number"},
        {"shards 100\n", 1, "shards 100", "argument must be a power of two, such as 64 or 128, or 0"},
        {"requirepass \"a\n", 1, "requirepass (redacted)", "Unbalanced quotes"},
        {"masterauth a b\n", 1, "masterauth (redacted)", "wrong number of arguments"},
        {"include nowhere.conf\n", 1, "include nowhere.conf", "there is no such file"},
        {"save 60\n", 1, "save 60", "Invalid save parameters"},
        {"tls-port x\n", 1, "tls-port x", "argument couldn't be parsed into an integer"},
        {"maxmemory 120%\n", 1, "maxmemory 120%", "argument must be a memory value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[512];
        char *path = file_write("bad.conf", "%s", cases[i].content);
        snprintf(expected, sizeof expected, "%s, line %d:\n    %s\n", path, cases[i].line, cases[i].text);
        expect_refusal((const char *const[]){path, "--port", "0", NULL}, expected);
        expect_refusal((const char *const[]){path, "--port", "0", NULL}, cases[i].why);
        free(path);
    }
    /* In an included file, it is that one which is named. */
    char *path = file_write("main.conf", "hz 1\ninclude *.part\n"),
         *part = file_write("a.part", "hz 2\nhz two\n"), expected[512];
    snprintf(expected, sizeof expected, "%s, line 2:\n    hz two\n", part);
    expect_refusal((const char *const[]){path, NULL}, expected);
    free(path);
    free(part);
}

static void a_mistake_on_the_command_line_is_shown_as_such(void **state) {
    (void)state;
    expect_refusal((const char *const[]){"--prot", "1", NULL},
                   "command line:\n    --prot 1\nUnknown option 'prot'. Did you mean 'port'?");
    expect_refusal((const char *const[]){"--port=7000", NULL},
                   "Name and value are separated by a blank: --port 7000");
    expect_refusal((const char *const[]){"--port", NULL},
                   "wrong number of arguments: 'port' takes one value");
    expect_refusal((const char *const[]){"-p", "7000", NULL}, "Options are written with two dashes");
    expect_refusal((const char *const[]){"nowhere.conf", NULL},
                   "Can't open the configuration file 'nowhere.conf': No such file or directory");
    expect_refusal((const char *const[]){"--port", "0", "--dir", "/nowhere", NULL},
                   "can't change to folder '/nowhere'");
    expect_refusal((const char *const[]){"--port", "0", "--logfile", "/nowhere/log", NULL},
                   "can't open the log file '/nowhere/log'");
    expect_refusal((const char *const[]){"--port", "0", NULL}, "Configured to not listen anywhere, exiting.");
    expect_refusal((const char *const[]){"--port", "1", "--bind", "no.such.host.invalid", NULL},
                   "Can't listen on 'no.such.host.invalid'");
}

static void a_port_in_use_is_named_and_the_exit_status_tells(void **state) {
    (void)state;
    struct process server;
    char option[16], expected[128];
    snprintf(option, sizeof option, "%d", port_free());
    START(&server, "--port", option, "--bind", "127.0.0.1");
    await_ready(&server);
    snprintf(expected, sizeof expected, "Can't listen on '127.0.0.1', port %s: Address already in use.",
             option);
    expect_refusal((const char *const[]){"--port", option, "--bind", "127.0.0.1", NULL}, expected);
    process_stop(&server);
}

static void help_and_version_are_no_mistakes(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"--help", "Usage: latchkey"},
                                           {"-h", "Usage: latchkey"},
                                           {"--version", "Latchkey server v="},
                                           {"-v", "Latchkey server v="}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct process process;
        START(&process, cases[i][0]);
        assert_int_equal(process_end(&process), 0);
        expect_within(process.said, cases[i][1]);
        process_free(&process);
    }
}

/* ------------------------------------------------------------------ CONFIG */

static void config_set_changes_all_of_its_options_or_none(void **state) {
    (void)state;
    struct server *server = server_start(NULL);
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "CONFIG SET timeout 5 hz 20 slowlog-max-len 7");
    expect(connection, "[timeout, 5]", "CONFIG GET timeout");
    expect(connection, "[hz, 20]", "CONFIG GET hz");
    expect(connection,
           "ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be "
           "parsed into an integer",
           "CONFIG SET timeout 6 hz x");
    expect(connection,
           "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
           "CONFIG SET timeout 6 databases 1");
    expect(connection, "ERR Unknown option or number of arguments for CONFIG SET - 'nonesuch'",
           "CONFIG SET timeout 6 nonesuch 1");
    expect(connection, "ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter",
           "CONFIG SET timeout 6 timeout 7");
    expect(connection, "ERR syntax error", "CONFIG SET timeout 6 hz");
    expect(connection, "ERR wrong number of arguments for 'config|set' command", "CONFIG SET timeout");
    /* What the system refuses only when it is applied is taken back with the others. */
    redisReply *reply =
        redisCommand(connection, "CONFIG SET timeout 6 requirepass x maxclients 4000000000 hz 30");
    expect_within(reply->str, "ERR CONFIG SET failed (possibly related to argument 'maxclients') - "
                              "The operating system is not able to "
                              "handle the specified number of clients, try with ");
    freeReplyObject(reply);
    expect(connection, "[timeout, 5]", "CONFIG GET timeout");
    expect(connection, "[hz, 20]", "CONFIG GET hz");
    expect(connection, "[maxclients, 10000]", "CONFIG GET maxclients");
    redisContext *other = server_connect(server);
    expect(other, "PONG", "PING"); /* no password has come of it */
    redisFree(other);
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

static void config_get_takes_several_patterns(void **state) {
    (void)state;
    struct server *server = server_start((const char *const[]){"--threads", "3", NULL});
    redisContext *connection = server_connect(server);
    expect(connection, "[slowlog-log-slower-than, 10000, slowlog-max-len, 128]", "CONFIG GET SLOWLOG-*");
    expect(connection, "[timeout, 0, hz, 10]", "CONFIG GET hz time?ut hz");
    expect(connection, "[]", "CONFIG GET nothing");
    expect(connection, "[threads, 3]", "CONFIG GET threads");
    expect(connection,
           "[client-output-buffer-limit, normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 "
           "8388608 60]",
           "CONFIG GET client-output-buffer-limit");
    expect(connection, "OK", "CONFIG SET proto-max-bulk-len 2mb");
    expect(connection, "[proto-max-bulk-len, 2097152]", "CONFIG GET proto-max-bulk-len");
    redisReply *all = redisCommand(connection, "CONFIG GET *");
    assert_true(all->elements >= 2 * 30);
    assert_int_equal(all->elements % 2, 0);
    freeReplyObject(all);
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

static void config_rewrite_keeps_comments_order_and_permissions(void **state) {
    (void)state;
    struct process server;
    char option[16];
    int port = port_free();
    snprintf(option, sizeof option, "%d", port);
    char *path = file_write("latchkey.conf", "# Our server.\n"
                                             "bind 127.0.0.1\n"
                                             "\n"
                                             "# Idle clients.\n"
                                             "timeout 5\n"
                                             "\thz  20\n"
                                             "# the end\n");
    assert_return_code(chmod(path, 0640), errno);
    START(&server, path, "--port", option);
    await_ready(&server);
    redisContext *connection = connect_to(port);
    expect(connection, "OK", "CONFIG SET timeout 9 requirepass %s proto-max-bulk-len 3mb", "a \"b");
    expect(connection, "OK", "CONFIG REWRITE");
    char *text = file_read(path), expected[512];
    /* An option of the command line is part of what is true now, and so is written as well. */
    snprintf(expected, sizeof expected,
             "# Our server.\n"
             "bind 127.0.0.1\n"
             "\n"
             "# Idle clients.\n"
             "timeout 9\n"
             "\thz  20\n"
             "# the end\n"
             "\n"
             "# Generated by CONFIG REWRITE\n"
             "port %d\n"
             "requirepass \"a \\\"b\"\n"
             "proto-max-bulk-len 3mb\n",
             port);
    assert_string_equal(text, expected);
    free(text);
    struct stat status;
    assert_return_code(stat(path, &status), errno);
    assert_int_equal(status.st_mode & 0777, 0640);
    /* Once more changes nothing; a value that goes back to the file's is found there. */
    expect(connection, "OK", "CONFIG REWRITE");
    text = file_read(path);
    assert_string_equal(text, expected);
    free(text);
    expect(connection, "OK", "CONFIG SET timeout 5");
    expect(connection, "OK", "CONFIG REWRITE");
    text = file_read(path);
    expect_within(text, "# Idle clients.\ntimeout 5\n");
    free(text);
    redisFree(connection);
    process_stop(&server);
    /* A start from the file finds it all. */
    START(&server, path);
    await_ready(&server);
    connection = connect_to(port);
    expect(connection, "OK", "AUTH %s", "a \"b");
    expect(connection, "[proto-max-bulk-len, 3145728]", "CONFIG GET proto-max-bulk-len");
    expect(connection, "[hz, 20]", "CONFIG GET hz");
    redisFree(connection);
    process_stop(&server);
    free(path);
}

#define HASH_OF_P "148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940"

static void config_rewrite_has_the_users_that_there_are(void **state) {
    (void)state;
    struct process server;
    char option[16], expected[512];
    int port = port_free();
    snprintf(option, sizeof option, "%d", port);
    char *path = file_write("latchkey.conf", "# Ours.\n"
                                             "bind 127.0.0.1\n"
                                             "user app on >p ~a* +@read '(~b +set)'\n"
                                             "timeout 0\n"
                                             "user gone on nopass -@all\n");
    START(&server, path, "--port", option);
    await_ready(&server);
    redisContext *connection = connect_to(port);
    expect(connection, "1", "ACL DELUSER gone");
    expect(connection, "OK", "ACL SETUSER new");
    expect(connection, "OK", "CONFIG REWRITE");
    char *text = file_read(path);
    snprintf(expected, sizeof expected,
             "# Ours.\n"
             "bind 127.0.0.1\n"
             "user app on sanitize-payload #" HASH_OF_P
             " ~a* resetchannels -@all +@read (~b resetchannels -@all +set)\n"
             "user default on nopass sanitize-payload ~* &* +@all\n"
             "user new off sanitize-payload resetchannels -@all\n"
             "timeout 0\n"
             "\n"
             "# Generated by CONFIG REWRITE\n"
             "port %d\n",
             port);
    assert_string_equal(text, expected);
    free(text);
    redisFree(connection);
    process_stop(&server);
    START(&server, path);
    await_ready(&server);
    connection = connect_to(port);
    expect(connection, "[app, default, new]", "ACL USERS");
    /* Without any but the one that is always there, there are no lines about them. */
    expect(connection, "2", "ACL DELUSER app new");
    expect(connection, "OK", "CONFIG REWRITE");
    text = file_read(path);
    assert_null(strstr(text, "user"));
    free(text);
    redisFree(connection);
    process_stop(&server);
    free(path);
}

static void config_resetstat_sets_what_info_counts_to_zero(void **state) {
    (void)state;
    struct server *server = server_start(NULL);
    redisContext *connection = server_connect(server);
    static const char *const counted[] = {"\nkeyspace_hits:1\r",       "\nkeyspace_misses:1\r",
                                          "\ntotal_error_replies:1\r", "\nerrorstat_WRONGTYPE:count=1\r",
                                          "\ncmdstat_get:calls=2,",    "\nlatency_percentiles_usec_get:"};
    expect(connection, "OK", "SET k v");
    expect(connection, "v", "GET k");
    expect(connection, "(nil)", "GET none");
    expect(connection, "WRONGTYPE ours", "DEBUG ERROR %s", "WRONGTYPE ours");
    redisReply *before = redisCommand(connection, "INFO everything");
    for (size_t i = 0; i < sizeof counted / sizeof counted[0]; i++) expect_within(before->str, counted[i]);
    freeReplyObject(before);
    expect(connection, "OK", "CONFIG RESETSTAT");
    redisReply *after = redisCommand(connection, "INFO everything");
    for (size_t i = 0; i < sizeof counted / sizeof counted[0]; i++) expect_not_within(after->str, counted[i]);
    expect_within(after->str, "\nkeyspace_hits:0\r");
    expect_within(after->str, "\ntotal_error_replies:0\r");
    expect_within(after->str, "\ntotal_connections_received:0\r");
    expect_within(after->str, "\ndb0:keys=1,"); /* what there is stays */
    freeReplyObject(after);
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

/* ------------------------------------------------------------------ where it listens */

static void a_unix_socket_has_its_permissions_and_goes_with_the_server(void **state) {
    (void)state;
    struct process server;
    char *path = path_of("socket");
    free(file_write("socket", "left by somebody")); /* is replaced */
    START(&server, "--port", "0", "--unixsocket", path, "--unixsocketperm", "770");
    await_ready(&server);
    struct stat status;
    assert_return_code(stat(path, &status), errno);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0770);
    struct resp3 *connection = resp3_connect_path(path), *monitor = resp3_connect_path(path);
    resp3_send_text(connection, "CLIENT INFO\r\n");
    struct resp3_value *line = resp3_read(connection);
    char expected[128];
    snprintf(expected, sizeof expected, " addr=%s:0 laddr=%s:0 ", path, path);
    expect_within(line->text, expected);
    expect_within(line->text, " flags=U ");
    resp3_value_free(line);
    resp3_send_text(monitor, "MONITOR\r\n");
    resp3_expect(monitor, "+OK\r\n");
    resp3_send_text(connection, "PING\r\n");
    resp3_expect(connection, "+PONG\r\n");
    char *seen = resp3_read_line(monitor);
    snprintf(expected, sizeof expected, " [0 unix:%s] \"PING\"\r\n", path);
    expect_within(seen, expected);
    free(seen);
    resp3_close(connection);
    resp3_close(monitor);
    process_stop(&server);
    assert_false(file_exists(path));
    free(path);
}

static void ipv6_is_served_where_there_is_any(void **state) {
    (void)state;
    struct process server;
    char option[16], expected[64];
    int port = port_free();
    snprintf(option, sizeof option, "%d", port);
    START(&server, "--port", option, "--bind", "127.0.0.1", "-::1");
    await_ready(&server);
    redisContext *old = connect_to(port), *new = redisConnect("::1", port);
    expect(old, "PONG", "PING");
    bool is_there = new->err == 0;
    if (is_there) {
        redisReply *line = redisCommand(new, "CLIENT INFO");
        assert_non_null(line);
        expect_within(line->str, " addr=[::1]:");
        snprintf(expected, sizeof expected, " laddr=[::1]:%d ", port);
        expect_within(line->str, expected);
        freeReplyObject(line);
    }
    redisFree(new);
    redisFree(old);
    process_stop(&server);
    if (!is_there) skip();
}

/* ------------------------------------------------------------------ protected mode */

/* A network of our own: only loopback, with a second address that no loopback address is. */
#define STRANGER "10.77.0.1"

static bool network_create(void) {
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
    struct ifreq request = {.ifr_name = "lo"};
    struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
    bool is_done = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    strcpy(request.ifr_name, "lo:1");
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    inet_pton(AF_INET, STRANGER, &address->sin_addr);
    is_done = is_done && ioctl(fd, SIOCSIFADDR, &request) == 0;
    if (fd >= 0) close(fd);
    return is_done;
}

/* What the server says to a PING from that address; "" if it can't be asked. */
static void ask_from(const char *address, char *answer, size_t size) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(7000)};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t length = -1;
    inet_pton(AF_INET, address, &place.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&place, sizeof place) == 0 &&
        send(fd, "PING\r\n", 6, MSG_NOSIGNAL) >= 0)
        length = recv(fd, answer, size - 1, 0);
    answer[length < 0 ? 0 : length] = '\0';
    close(fd);
}

struct protection {
    const char *arguments[8];
    bool is_denied; /* to a stranger */
    const char *answer;
};

/* In the process that has the network: the number of what is wrong, counted from 2, or 0. */
static int protection_check(const struct protection *cases, int count) {
    static const char denied[] =
        "-DENIED Redis is running in protected mode because protected mode is enabled and "
        "no password is set for the default user. In this mode connections are only "
        "accepted from the loopback interface. ";
    for (int i = 0; i < count; i++) {
        struct process server;
        char answer[2048];
        process_start(&server, cases[i].arguments);
        await_ready(&server);
        ask_from("127.0.0.1", answer, sizeof answer);
        bool is_right = strcmp(answer, cases[i].answer) == 0;
        ask_from(STRANGER, answer, sizeof answer);
        if (cases[i].is_denied)
            is_right = is_right && strncmp(answer, denied, strlen(denied)) == 0 &&
                       strcmp(answer + strlen(answer) - 2, "\r\n") == 0;
        else
            is_right = is_right && strcmp(answer, cases[i].answer) == 0;
        kill(server.pid, SIGTERM);
        if (process_end(&server) != 0 || !is_right) return 2 + i;
        process_free(&server);
    }
    return 0;
}

static void protected_mode_serves_this_machine_only_while_there_is_no_password(void **state) {
    (void)state;
    static const struct protection cases[] = {
        {{"--port", "7000"}, true, "+PONG\r\n"},
        {{"--port", "7000", "--protected-mode", "no"}, false, "+PONG\r\n"},
        {{"--port", "7000", "--requirepass", "x"}, false, "-NOAUTH Authentication required.\r\n"},
        {{"--port", "7000", "--bind", "127.0.0.1", STRANGER}, true, "+PONG\r\n"}, /* whatever is chosen */
    };
    int status = 0;
    pid_t child = fork();
    assert_return_code(child, errno);
    if (child == 0) _exit(network_create() ? protection_check(cases, sizeof cases / sizeof cases[0]) : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 1) skip(); /* no network of our own to be had */
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ------------------------------------------------------------------ the process */

/* Reads the log until the server is ready. It fails if one of our children (-1: any) ends before. */
static void await_ready_in(const char *log, pid_t child) {
    for (;;) {
        bool has_ended = waitpid(child, NULL, WNOHANG) != 0;
        char *text = file_read(log);
        bool is_ready = text != NULL && strstr(text, " * Ready to accept connections\n") != NULL;
        if (has_ended) fail_msg("the server ended: %s", text == NULL ? "and wrote nothing" : text);
        free(text);
        if (is_ready) return;
    }
}

static void the_log_goes_to_its_file_as_loud_as_it_should(void **state) {
    (void)state;
    struct process server;
    char option[16];
    int port = port_free();
    char *log = path_of("the.log");
    snprintf(option, sizeof option, "%d", port);
    START(&server, "--port", option, "--bind", "127.0.0.1", "--logfile", "the.log", "--loglevel", "notice");
    await_ready_in(log, server.pid);
    redisContext *connection = connect_to(port);
    expect(connection, "PONG", "PING");
    char *text = file_read(log);
    expect_not_within(text, "Accepted 127.0.0.1:");
    free(text);
    expect(connection, "OK", "CONFIG SET loglevel verbose");
    redisContext *other = connect_to(port);
    expect(other, "PONG", "PING");
    text = file_read(log);
    expect_within(text, " - Accepted 127.0.0.1:");
    free(text);
    /* Moved away, it is written anew. */
    char *moved = path_of("old.log");
    assert_return_code(rename(log, moved), errno);
    redisFree(other);
    other = connect_to(port);
    expect(other, "PONG", "PING");
    text = file_read(log);
    expect_within(text, " - Accepted 127.0.0.1:");
    free(text);
    expect(connection, "OK", "CONFIG SET loglevel nothing");
    redisFree(other);
    redisFree(connection);
    kill(server.pid, SIGTERM);
    assert_int_equal(process_end(&server), 0);
    assert_int_equal(server.length, 0); /* nothing on standard output */
    text = file_read(log);
    expect_not_within(text, "bye bye");
    free(text);
    process_free(&server);
    free(moved);
    free(log);
}

static void the_pidfile_is_there_while_the_server_is(void **state) {
    (void)state;
    struct process server;
    char option[16], expected[16];
    snprintf(option, sizeof option, "%d", port_free());
    START(&server, "--port", option, "--bind", "127.0.0.1", "--pidfile", "the.pid");
    await_ready(&server);
    char *path = path_of("the.pid"), *text = file_read(path);
    snprintf(expected, sizeof expected, "%d\n", (int)server.pid);
    assert_string_equal(text, expected);
    process_stop(&server);
    assert_false(file_exists(path));
    free(text);
    free(path);
}

static void a_daemon_leaves_its_starter_and_ends_when_told(void **state) {
    (void)state;
    struct process starter;
    char option[16];
    int port = port_free(), status = 0;
    char *pidfile = path_of("the.pid"), *log = path_of("the.log");
    snprintf(option, sizeof option, "%d", port);
    /* Its parent will be gone, and then it is ours, so that we see its end. */
    assert_return_code(prctl(PR_SET_CHILD_SUBREAPER, 1), errno);
    START(&starter, "--port", option, "--bind", "127.0.0.1", "--daemonize", "yes", "--pidfile", pidfile,
          "--logfile", log);
    assert_int_equal(process_end(&starter), 0);
    await_ready_in(log, -1);
    char *text = file_read(pidfile);
    pid_t daemon = (pid_t)strtol(text, NULL, 10);
    assert_true(daemon > 0 && daemon != starter.pid);
    redisContext *connection = connect_to(port);
    expect(connection, "PONG", "PING");
    assert_int_equal(getsid(daemon), daemon);
    kill(daemon, SIGTERM);
    assert_int_equal(waitpid(daemon, &status, 0), daemon);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_false(file_exists(pidfile));
    redisFree(connection);
    process_free(&starter);
    free(text);
    free(log);
    free(pidfile);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, folder_create, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(options_win_over_the_file_and_later_lines_over_earlier_ones),
        TEST(a_dash_reads_the_configuration_from_standard_input),
        TEST(a_configuration_made_for_redis_starts),
        TEST(options_made_for_redis_start),
        TEST(a_renamed_command_has_its_new_name_only),
        TEST(systemd_is_told_when_the_server_is_ready),
        TEST(a_low_limit_of_open_files_leaves_half_to_clients),
        TEST(a_mistake_in_the_file_is_shown_with_its_file_and_line),
        TEST(a_mistake_on_the_command_line_is_shown_as_such),
        TEST(a_port_in_use_is_named_and_the_exit_status_tells),
        TEST(help_and_version_are_no_mistakes),
        TEST(config_set_changes_all_of_its_options_or_none),
        TEST(config_get_takes_several_patterns),
        TEST(config_rewrite_keeps_comments_order_and_permissions),
        TEST(config_rewrite_has_the_users_that_there_are),
        TEST(config_resetstat_sets_what_info_counts_to_zero),
        TEST(a_unix_socket_has_its_permissions_and_goes_with_the_server),
        TEST(ipv6_is_served_where_there_is_any),
        TEST(protected_mode_serves_this_machine_only_while_there_is_no_password),
        TEST(the_log_goes_to_its_file_as_loud_as_it_should),
        TEST(the_pidfile_is_there_while_the_server_is),
        TEST(a_daemon_leaves_its_starter_and_ends_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
