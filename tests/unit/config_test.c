/* server/config/ and server/base/log.c: files and command lines with and without mistakes, CONFIG
 * SET's all or none, and what CONFIG REWRITE leaves behind. */
#include "server/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/config/options.h"
#include "shard/value/value.h"

/* From the folder that tests are run in. */
#ifndef LATCHKEY_CONF
#define LATCHKEY_CONF "latchkey.conf"
#endif

#define MOST_ARGUMENTS 16

/* What is kept of requirepass is what it proves. */
static bool password_is(const char *password, size_t length) {
    unsigned char kept[SHA256_DIGEST_LENGTH], digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)password, length, digest);
    return password_digest(kept) && memcmp(kept, digest, sizeof kept) == 0;
}

static char folder[] = "/tmp/config_test.XXXXXX";
static char file[64], other_file[64], log_file[64];
static char messages[8192]; /* what config_load printed */
static struct reply reply;

static void file_write(const char *name, const char *text) {
    FILE *out = fopen(name, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static const char *file_read(const char *name) {
    static char text[65536];
    FILE *in = fopen(name, "r");
    assert_non_null(in);
    text[fread(text, 1, sizeof text - 1, in)] = '\0';
    fclose(in);
    return text;
}

/* config_load with these arguments; the list ends with NULL. */
static bool load(const char *first, ...) {
    char *arguments[MOST_ARGUMENTS] = {(char *)"latchkey"};
    int count = 1;
    va_list list;
    va_start(list, first);
    for (const char *argument = first; argument; argument = va_arg(list, const char *))
        arguments[count++] = (char *)argument;
    va_end(list);
    FILE *printed = tmpfile();
    assert_non_null(printed);
    fflush(stderr);
    int error = dup(STDERR_FILENO);
    dup2(fileno(printed), STDERR_FILENO);
    bool is_fine = config_load(count, arguments);
    fflush(stderr);
    dup2(error, STDERR_FILENO);
    close(error);
    rewind(printed);
    messages[fread(messages, 1, sizeof messages - 1, printed)] = '\0';
    fclose(printed);
    return is_fine;
}

static bool load_file(const char *text) {
    file_write(file, text);
    return load(file, NULL);
}

static uint32_t bulks_from(struct bulk *bulks, const char *first, va_list list) {
    uint32_t count = 0;
    for (const char *word = first; word; word = va_arg(list, const char *))
        bulks[count++] = (struct bulk){(char *)word, strlen(word), NULL};
    return count;
}

static const char *replied(void) {
    static char text[65536];
    assert_true(reply.length < sizeof text);
    memcpy(text, reply.data, reply.length);
    text[reply.length] = '\0';
    return text;
}

static const char *set(const char *first, ...) {
    struct bulk bulks[MOST_ARGUMENTS];
    va_list list;
    va_start(list, first);
    uint32_t count = bulks_from(bulks, first, list);
    va_end(list);
    reply_clear(&reply, 0);
    config_set(bulks, count, true, &reply);
    return replied();
}

static const char *get(const char *first, ...) {
    struct bulk bulks[MOST_ARGUMENTS];
    va_list list;
    va_start(list, first);
    uint32_t count = bulks_from(bulks, first, list);
    va_end(list);
    reply_clear(&reply, 0);
    config_get(bulks, count, &reply);
    return replied();
}

static const char *value(const char *name) {
    static char text[4096];
    config_text(name, text, sizeof text);
    return text;
}

static const char *rewrite(void) {
    log_open(log_file); /* it logs, and the test's output is for the test */
    reply_clear(&reply, 0);
    config_rewrite(&reply);
    return replied();
}

#define assert_contains(text, part)                                                                          \
    do {                                                                                                     \
        if (!strstr(text, part)) fail_msg("\"%s\" is not in:\n%s", part, text);                              \
    } while (0)
#define FAILED(name, why) "-ERR CONFIG SET failed (possibly related to argument '" name "') - " why "\r\n"

/* ---- Reading ---- */

static void defaults_without_arguments(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_string_equal(messages, "");
    assert_int_equal(config.port, 6379);
    assert_int_equal(config.databases, 16);
    assert_int_equal(config.proto_max_bulk_len, 512 * 1024 * 1024);
    assert_true(config.protected_mode);
    assert_int_equal(config.loglevel, LOG_NOTICE);
    assert_int_equal(config.maxmemory_policy, POLICY_NOEVICTION);
    assert_int_equal(config.enable_debug_command, DEBUG_COMMAND_NO);
    assert_string_equal(value("bind"), "* -::*");
    assert_string_equal(config_file(), "");
    assert_false(config_has_password());
}

static void threads_and_shards_follow_the_cpus_unless_told(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_true(config.threads >= 1);
    assert_true(config.shards >= 256 * config.threads);
    assert_int_equal(config.shards & (config.shards - 1), 0);
    assert_true(load("--threads", "3", NULL));
    assert_int_equal(config.threads, 3);
    assert_int_equal(config.shards, 1024);
    assert_string_equal(value("shards"), "1024");
    /* With little memory there are fewer, so that they don't take it all. */
    assert_true(load("--threads", "1", "--maxmemory", "8mb", NULL));
    assert_int_equal(config.shards, 32);
    assert_true(load("--threads", "3", "--shards", "16", NULL));
    assert_int_equal(config.shards, 16);
    assert_false(load("--shards", "100", NULL));
    assert_contains(messages, "power of two, such as 64 or 128");
}

static void file_with_comments_quotes_and_sizes(void **state) {
    (void)state;
    assert_true(load_file("# a comment\n\n   \t\n  PORT 7000\r\n  # another\nrequirepass \"a "
                          "\\\"b\\x41\"\nproto-max-bulk-len 2MB\n"
                          "client-query-buffer-limit 3000k\nunixsocketperm 770\nloglevel "
                          "Warning\nbind 127.0.0.1 -::1\nsave \"\"\nappendonly no"));
    assert_int_equal(config.port, 7000);
    assert_string_equal(value("requirepass"), "a \"bA");
    assert_int_equal(config.proto_max_bulk_len, 2 * 1024 * 1024);
    assert_int_equal(config.client_query_buffer_limit, 3000000);
    assert_int_equal(config.unixsocketperm, 0770);
    assert_string_equal(value("unixsocketperm"), "770");
    assert_int_equal(config.loglevel, LOG_WARNING);
    assert_string_equal(value("bind"), "127.0.0.1 -::1");
    assert_string_equal(config_file(), file);
}

static void mistakes_name_file_line_and_what_would_be_right(void **state) {
    (void)state;
    static const struct {
        const char *text, *where, *why;
    } cases[] = {
        {"port 1\n\nprot 7000\n", "line 3:\n    prot 7000", "Did you mean 'port'?"},
        {"max-clients 3\n", "line 1", "Did you mean 'maxclients'?"},
        {"lazyfree-lazy-user-fush yes\n", "line 1", "Did you mean 'lazyfree-lazy-user-flush'?"},
        {"port=7000\n", "line 1", "port 7000"},
        {"frobnicate 1\n", "line 1", "Unknown option 'frobnicate'. latchkey.conf"},
        {"port\n", "line 1", "'port' takes one value"},
        {"port 1 2\n", "line 1", "'port' takes one value"},
        {"port 70000\n", "line 1", "argument must be between 0 and 65535 inclusive"},
        {"port seven\n", "line 1", "argument couldn't be parsed into an integer"},
        {"unixsocketperm 8\n", "line 1", "octal"},
        {"unixsocketperm 1777\n", "line 1", "argument must be between 0 and 777 inclusive"},
        {"proto-max-bulk-len 1tb\n", "line 1", "argument must be a memory value"},
        {"proto-max-bulk-len 9000000000gb\n", "line 1", "argument must be a memory value"},
        {"protected-mode maybe\n", "line 1", "argument must be 'yes' or 'no'"},
        {"# x\nloglevel loud\n", "line 2", "debug, verbose, notice, warning, nothing"},
        {"requirepass \"x\n", "line 1", "Unbalanced quotes"},
        {"maxmemory 0%\n", "line 1", "argument must be a memory value"},
        {"maxmemory 101%\n", "line 1", "argument must be a memory value"},
        {"save 900\n", "line 1", "Invalid save parameters"},
        {"tls-port 65536\n", "line 1", "argument must be between 0 and 65535 inclusive"},
        {"cluster-enabled yes\n", "line 1", "no node of a cluster"},
        {"replicaof 127.0.0.1 6379\n", "line 1", "nobody's replica"},
        {"min-replicas-to-write 1\n", "line 1", "has no replicas"},
        {"user\n", "line 1", "takes a name"},
        {"user x on\nuser y on\nuser x off\n", "line 3", "Duplicate user found"},
        {"loadmodule x.so\n", "line 1", "loads no modules"},
        {"rename-command KEYS\n", "line 1", "a command and its new name"},
        {"include nothing_there.conf\n", "line 1", "nothing_there.conf"},
        {"include\n", "line 1", "takes one file name"},
        {"dir /nonexistent\n", "line 1:\n    dir /nonexistent", "No such file"},
        {"port 1\nlogfile /nonexistent/log\n", "line 2:\n    logfile", "No such file"},
        {"client-output-buffer-limit normal 1 2\n", "line 1", "Wrong number of arguments in buffer limit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (load_file(cases[i].text)) fail_msg("accepted: %s", cases[i].text);
        assert_contains(messages, cases[i].why);
        assert_contains(messages, cases[i].where);
        assert_contains(messages, file);
    }
}

static void included_files_are_read_in_place(void **state) {
    (void)state;
    file_write(other_file, "timeout 7\nport 7001\n");
    assert_true(load_file("port 7000\ninclude other.conf\nhz 20\n"));
    assert_int_equal(config.port, 7001);
    assert_int_equal(config.timeout, 7);
    assert_true(load_file("include oth*.conf\nport 7000\ninclude no_such_*.conf\n"));
    assert_int_equal(config.port, 7000);
    file_write(other_file, "\nprot 1\n");
    assert_false(load_file("include other.conf\n"));
    assert_contains(messages, "other.conf, line 2");
    assert_false(load_file("include test.conf\n"));
    assert_contains(messages, "does one include itself?");
}

static void command_line_wins_over_the_file(void **state) {
    (void)state;
    file_write(file, "port 7000\nhz 20\n");
    assert_true(load(file, "--port", "7002", "--bind", "127.0.0.1", "-::1", "--save", "", "--appendonly",
                     "no", NULL));
    assert_int_equal(config.port, 7002);
    assert_int_equal(config.hz, 20);
    assert_string_equal(value("bind"), "127.0.0.1 -::1");
    assert_true(load("--slowlog-log-slower-than", "-1", "--requirepass", "--x",
                     "--client-output-buffer-limit", "normal 1 2 3", NULL));
    assert_int_equal(config.slowlog_log_slower_than, -1);
    assert_string_equal(value("requirepass"), "--x");
    assert_int_equal(config.output_limits[OUTPUT_NORMAL].soft, 2);
}

static void mistakes_on_the_command_line_are_explained(void **state) {
    (void)state;
    assert_false(load("--prot", "7000", NULL));
    assert_contains(messages, "command line:\n    --prot 7000");
    assert_contains(messages, "Did you mean 'port'?");
    assert_false(load("--port", "--hz", "3", NULL));
    assert_contains(messages, "'port' takes one value");
    assert_false(load("--port=7000", NULL));
    assert_contains(messages, "--port 7000");
    assert_false(load("-p", "7000", NULL));
    assert_contains(messages, "two dashes");
    assert_false(load("port", "7000", NULL));
    assert_contains(messages, "Can't open the configuration file 'port'");
    assert_contains(messages, "begins with two dashes");
    assert_false(load(folder, NULL));
    assert_contains(messages, "Is a directory");
}

static void help_and_version_end_well(void **state) {
    (void)state;
    static const struct {
        const char *argument, *text;
    } cases[] = {{"--help", "--port 6379"}, {"--version", "Latchkey server v=" LATCHKEY_VERSION}};
    for (size_t i = 0; i < 2; i++) {
        int ends[2], status;
        char text[8192];
        size_t length = 0;
        assert_int_equal(pipe(ends), 0);
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            char *arguments[] = {(char *)"latchkey", (char *)cases[i].argument};
            dup2(ends[1], STDOUT_FILENO);
            config_load(2, arguments);
            _exit(1);
        }
        close(ends[1]);
        for (ssize_t got; (got = read(ends[0], text + length, sizeof text - 1 - length)) > 0;)
            length += (size_t)got;
        text[length] = '\0';
        close(ends[0]);
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_contains(text, cases[i].text);
    }
}

/* ---- The file that explains ---- */

static void every_option_is_found_by_its_names_and_no_two_share_one(void **state) {
    (void)state;
    for (int i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        assert_int_equal(option_find(option->name, strlen(option->name)), i);
        if (option->alias) assert_int_equal(option_find(option->alias, strlen(option->alias)), i);
    }
    assert_int_equal(option_find("por", 3), -1);
}

static void latchkey_conf_holds_every_option_with_its_default(void **state) {
    (void)state;
    char text[65536], line[256];
    strcpy(text, file_read(LATCHKEY_CONF));
    assert_true(load(NULL));
    char *all = strdup(get("*", NULL));
    assert_non_null(all);
    if (!load(LATCHKEY_CONF, NULL)) fail_msg("%s", messages);
    assert_string_equal(all, get("*", NULL));
    /* Each name that CONFIG GET knows begins a line, or stands among those without effect; there is none
     * else, or the file could not be read. */
    const char *without_effect = strstr(text, "For Redis's configurations");
    assert_non_null(without_effect);
    char *next = strchr(all, '\n') + 1;
    for (int index = 0; *next; index++) {
        long length = strtol(next + 1, &next, 10);
        next += 2;
        snprintf(line, sizeof line, "\n%.*s ", (int)length, next);
        bool is_old_name = strstr(line, "-ziplist-") != NULL ||
                           strstr(line, "\nlua-time-limit ") != NULL; /* of an option that has its line */
        if (strcmp(line, "\nmaxmemory-clients ") == 0)
            strcpy(line, "\n# maxmemory-clients "); /* its default depends on the machine */
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)length < 63 ? (int)length : 63, next);
        if (index % 2 == 0 && !is_old_name && !strstr(text, line) && !strstr(without_effect, name))
            fail_msg("latchkey.conf does not have:%s", line);
        next += length + 2;
    }
    free(all);
}

/* ---- CONFIG GET and SET ---- */

/* What a client that was made for Redis 7.2 may ask for, with Redis's default where it says nothing about a
 * machine. */
static void every_option_of_redis_is_known(void **state) {
    (void)state;
    static const struct {
        const char *name, *initial;
    } known[] = {
        {"acl-pubsub-default", "resetchannels"},
        {"aclfile", ""},
        {"acllog-max-len", "128"},
        {"active-defrag-cycle-max", "25"},
        {"active-defrag-cycle-min", "1"},
        {"active-defrag-ignore-bytes", "104857600"},
        {"active-defrag-max-scan-fields", "1000"},
        {"active-defrag-threshold-lower", "10"},
        {"active-defrag-threshold-upper", "100"},
        {"active-expire-effort", "1"},
        {"activedefrag", "no"},
        {"activerehashing", "yes"},
        {"always-show-logo", "no"},
        {"aof-disable-auto-gc", "no"},
        {"aof-load-truncated", "yes"},
        {"aof-rewrite-incremental-fsync", "yes"},
        {"aof-timestamp-enabled", "no"},
        {"aof-use-rdb-preamble", "yes"},
        {"aof_rewrite_cpulist", ""},
        {"appenddirname", "appendonlydir"},
        {"appendfilename", "appendonly.aof"},
        {"appendfsync", "everysec"},
        {"appendonly", "no"},
        {"auto-aof-rewrite-min-size", "67108864"},
        {"auto-aof-rewrite-percentage", "100"},
        {"bgsave_cpulist", ""},
        {"bind", "* -::*"},
        {"bind-source-addr", ""},
        {"bio_cpulist", ""},
        {"busy-reply-threshold", "5000"},
        {"client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"},
        {"client-query-buffer-limit", "1073741824"},
        {"cluster-allow-pubsubshard-when-down", "yes"},
        {"cluster-allow-reads-when-down", "no"},
        {"cluster-allow-replica-migration", "yes"},
        {"cluster-announce-bus-port", "0"},
        {"cluster-announce-hostname", ""},
        {"cluster-announce-human-nodename", ""},
        {"cluster-announce-ip", ""},
        {"cluster-announce-port", "0"},
        {"cluster-announce-tls-port", "0"},
        {"cluster-config-file", "nodes.conf"},
        {"cluster-enabled", "no"},
        {"cluster-link-sendbuf-limit", "0"},
        {"cluster-migration-barrier", "1"},
        {"cluster-node-timeout", "15000"},
        {"cluster-port", "0"},
        {"cluster-preferred-endpoint-type", "ip"},
        {"cluster-replica-no-failover", "no"},
        {"cluster-replica-validity-factor", "10"},
        {"cluster-require-full-coverage", "yes"},
        {"cluster-slave-no-failover", "no"},
        {"cluster-slave-validity-factor", "10"},
        {"crash-log-enabled", "yes"},
        {"crash-memcheck-enabled", "yes"},
        {"daemonize", "no"},
        {"databases", "16"},
        {"dbfilename", "dump.rdb"},
        {"disable-thp", "yes"},
        {"dynamic-hz", "yes"},
        {"enable-debug-command", "no"},
        {"enable-module-command", "no"},
        {"enable-protected-configs", "no"},
        {"hash-max-listpack-entries", "512"},
        {"hash-max-listpack-value", "64"},
        {"hash-max-ziplist-entries", "512"},
        {"hash-max-ziplist-value", "64"},
        {"hll-sparse-max-bytes", "3000"},
        {"hz", "10"},
        {"ignore-warnings", ""},
        {"io-threads", "1"},
        {"io-threads-do-reads", "no"},
        {"jemalloc-bg-thread", "yes"},
        {"latency-monitor-threshold", "0"},
        {"latency-tracking", "yes"},
        {"latency-tracking-info-percentiles", "50 99 99.9"},
        {"lazyfree-lazy-eviction", "no"},
        {"lazyfree-lazy-expire", "no"},
        {"lazyfree-lazy-server-del", "no"},
        {"lazyfree-lazy-user-del", "no"},
        {"lazyfree-lazy-user-flush", "no"},
        {"lfu-decay-time", "1"},
        {"lfu-log-factor", "10"},
        {"list-max-listpack-size", "-2"},
        {"list-max-ziplist-size", "-2"},
        {"locale-collate", ""},
        {"logfile", ""},
        {"loglevel", "notice"},
        {"lua-time-limit", "5000"},
        {"masterauth", ""},
        {"masteruser", ""},
        {"maxmemory", "0"},
        {"maxmemory-eviction-tenacity", "10"},
        {"maxmemory-policy", "noeviction"},
        {"maxmemory-samples", "5"},
        {"min-replicas-max-lag", "10"},
        {"min-replicas-to-write", "0"},
        {"min-slaves-max-lag", "10"},
        {"min-slaves-to-write", "0"},
        {"no-appendfsync-on-rewrite", "no"},
        {"notify-keyspace-events", ""},
        {"oom-score-adj", "no"},
        {"oom-score-adj-values", "0 200 800"},
        {"pidfile", ""},
        {"port", "6379"},
        {"proc-title-template", "{title} {listen-addr} {server-mode}"},
        {"propagation-error-behavior", "ignore"},
        {"protected-mode", "yes"},
        {"proto-max-bulk-len", "536870912"},
        {"rdb-del-sync-files", "no"},
        {"rdb-save-incremental-fsync", "yes"},
        {"rdbchecksum", "yes"},
        {"rdbcompression", "yes"},
        {"repl-backlog-size", "1048576"},
        {"repl-backlog-ttl", "3600"},
        {"repl-disable-tcp-nodelay", "no"},
        {"repl-diskless-load", "disabled"},
        {"repl-diskless-sync", "yes"},
        {"repl-diskless-sync-delay", "5"},
        {"repl-diskless-sync-max-replicas", "0"},
        {"repl-ping-replica-period", "10"},
        {"repl-ping-slave-period", "10"},
        {"repl-timeout", "60"},
        {"replica-announce-ip", ""},
        {"replica-announce-port", "0"},
        {"replica-announced", "yes"},
        {"replica-ignore-disk-write-errors", "no"},
        {"replica-ignore-maxmemory", "yes"},
        {"replica-lazy-flush", "no"},
        {"replica-priority", "100"},
        {"replica-read-only", "yes"},
        {"replica-serve-stale-data", "yes"},
        {"replicaof", ""},
        {"requirepass", ""},
        {"sanitize-dump-payload", "no"},
        {"save", ""},
        {"server_cpulist", ""},
        {"set-max-intset-entries", "512"},
        {"set-max-listpack-entries", "128"},
        {"set-max-listpack-value", "64"},
        {"set-proc-title", "yes"},
        {"shutdown-on-sigint", "default"},
        {"shutdown-on-sigterm", "default"},
        {"shutdown-timeout", "10"},
        {"slave-announce-ip", ""},
        {"slave-announce-port", "0"},
        {"slave-ignore-maxmemory", "yes"},
        {"slave-lazy-flush", "no"},
        {"slave-priority", "100"},
        {"slave-read-only", "yes"},
        {"slave-serve-stale-data", "yes"},
        {"slaveof", ""},
        {"slowlog-log-slower-than", "10000"},
        {"slowlog-max-len", "128"},
        {"socket-mark-id", "0"},
        {"stop-writes-on-bgsave-error", "yes"},
        {"stream-node-max-bytes", "4096"},
        {"stream-node-max-entries", "100"},
        {"supervised", "no"},
        {"syslog-enabled", "no"},
        {"syslog-facility", "local0"},
        {"syslog-ident", "redis"},
        {"tcp-backlog", "511"},
        {"tcp-keepalive", "300"},
        {"timeout", "0"},
        {"tls-auth-clients", "yes"},
        {"tls-ca-cert-dir", ""},
        {"tls-ca-cert-file", ""},
        {"tls-cert-file", ""},
        {"tls-ciphers", ""},
        {"tls-ciphersuites", ""},
        {"tls-client-cert-file", ""},
        {"tls-client-key-file", ""},
        {"tls-client-key-file-pass", ""},
        {"tls-cluster", "no"},
        {"tls-dh-params-file", ""},
        {"tls-key-file", ""},
        {"tls-key-file-pass", ""},
        {"tls-port", "0"},
        {"tls-prefer-server-ciphers", "no"},
        {"tls-protocols", ""},
        {"tls-replication", "no"},
        {"tls-session-cache-size", "20480"},
        {"tls-session-cache-timeout", "300"},
        {"tls-session-caching", "yes"},
        {"tracking-table-max-keys", "1000000"},
        {"unixsocket", ""},
        {"unixsocketperm", "0"},
        {"zset-max-listpack-entries", "128"},
        {"zset-max-listpack-value", "64"},
        {"zset-max-ziplist-entries", "128"},
        {"zset-max-ziplist-value", "64"},
    };
    assert_true(load(NULL));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, "*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(known[i].name),
                 known[i].name, strlen(known[i].initial), known[i].initial);
        assert_string_equal(get(known[i].name, NULL), expected);
    }
}

static void options_without_effect_are_checked_kept_and_said_so(void **state) {
    (void)state;
    static const struct {
        const char *name, *given, *kept;
    } kept[] = {
        {"appendonly", "yes", "yes"},
        {"save", "60 1", "60 1"},
        {"save", "", ""},
        {"shutdown-on-sigterm", "force NOW save", "save now force"},
        {"auto-aof-rewrite-min-size", "1kb", "1024"},
        {"slave-priority", "7", "7"},
        {"oom-score-adj-values", "3 2 1", "3 2 1"},
        {"proc-title-template", "{title} {port}", "{title} {port}"},
        {"hash-max-listpack-entries", "9223372036854775807", "9223372036854775807"},
        {"hash-max-listpack-value", "1kb", "1024"},
    };
    static const struct {
        const char *name, *given, *why;
    } refused[] = {
        {"save", "60", "Invalid save parameters"},
        {"save", "0 1", "Invalid save parameters"},
        {"appendfsync", "often", "argument(s) must be one of the following: everysec, always, no"},
        {"slave-priority", "-1", "argument must be between 0 and 2147483647 inclusive"},
        {"shutdown-on-sigint", "save nosave",
         "shutdown options SAVE and NOSAVE can't be used simultaneously"},
        {"oom-score-adj-values", "1 2", "wrong number of arguments"},
        {"proc-title-template", "{foo}", "template format is invalid or contains unknown variables"},
        {"io-threads", "4", "can't set immutable config"},
        {"cluster-announce-hostname", "a/b",
         "Hostnames may only contain alphanumeric characters, hyphens or dots"},
    };
    assert_true(load(NULL));
    log_open(log_file);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        assert_string_equal(set(kept[i].name, kept[i].given, NULL), "+OK\r\n");
        assert_string_equal(value(kept[i].name), kept[i].kept);
    }
    assert_int_equal(value_limits.hash_listpack_entries, UINT32_MAX);
    assert_int_equal(value_limits.hash_listpack_value, 1024);
    assert_contains(file_read(log_file), "CONFIG SET appendonly is kept, but has no effect here: ");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, FAILED("%s", "%s"), refused[i].name, refused[i].why);
        assert_string_equal(set(refused[i].name, refused[i].given, NULL), expected);
    }
}

static void options_without_effect_survive_a_rewrite(void **state) {
    (void)state;
    static const char text[] = "# kept\nappendonly yes\nsave 900 1\nsave 300 10\nrename-command "
                               "KEYS \"\"\ntls-protocols \"TLSv1.2 TLSv1.3\"\n";
    log_open(log_file);
    assert_true(load_file(text));
    assert_string_equal(value("save"), "900 1 300 10");
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_string_equal(file_read(file), text);
    assert_string_equal(set("appendfsync", "always", "save", "60 1", NULL), "+OK\r\n");
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_string_equal(file_read(file), "# kept\nappendonly yes\nsave 60 1\nrename-command KEYS "
                                         "\"\"\ntls-protocols \"TLSv1.2 TLSv1.3\"\n"
                                         "\n# Generated by CONFIG REWRITE\nappendfsync always\n");
    assert_true(load(file, NULL));
    assert_string_equal(value("save"), "60 1");
    /* What an included file adds is not added to again. */
    file_write(other_file, "save 900 1\n");
    assert_true(load_file("include other.conf\n"));
    assert_string_equal(set("save", "60 1", NULL), "+OK\r\n");
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_true(load(file, NULL));
    assert_string_equal(value("save"), "60 1");
}

static void the_folder_is_changed_only_where_that_is_allowed(void **state) {
    (void)state;
    char present[4096], wanted[256];
    assert_true(load(NULL));
    config_text("dir", present, sizeof present);
    assert_string_equal(set("dir", "/", NULL), FAILED("dir", "can't set protected config"));
    assert_true(load("--enable-protected-configs", "local", NULL));
    assert_string_equal(set("dir", "/", NULL), "+OK\r\n");
    assert_string_equal(value("dir"), "/");
    snprintf(wanted, sizeof wanted, "%.255s", present);
    assert_string_equal(set("dir", wanted, NULL), "+OK\r\n");
    struct bulk pair[] = {{(char *)"dir", 3, NULL}, {(char *)"/", 1, NULL}};
    reply_clear(&reply, 0);
    config_set(pair, 2, false, &reply); /* somebody from elsewhere */
    assert_string_equal(replied(), FAILED("dir", "can't set protected config"));
}

/* As Redis reads them. */
static void command_line_forms_of_redis(void **state) {
    (void)state;
    log_open(log_file);
    assert_true(load("--maxmemory 700mb", "--save", "--timeout", "3", "--", NULL));
    assert_int_equal(config.maxmemory, 700 << 20);
    assert_string_equal(value("save"), "");
    assert_int_equal(config.timeout, 3);
    assert_true(load("--save", "60", "1", "900", "2", "--tls-port", "0", NULL));
    assert_string_equal(value("save"), "60 1 900 2");
    assert_true(load("--save 60 1", "--save", NULL));
    assert_string_equal(value("save"), "");
    assert_true(load("--requirepass", "a b", "--bind 127.0.0.1", "::1", NULL));
    assert_string_equal(value("requirepass"), "a b");
    assert_string_equal(value("bind"), "127.0.0.1 ::1");
    assert_false(load("--port 1 2", NULL));
    assert_contains(messages, "'port' takes one value");
}

static void get_answers_each_option_once(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_string_equal(get("TIMEOUT", "timeo*", "timeout", "nothing", NULL),
                        "*2\r\n$7\r\nTIMEOUT\r\n$1\r\n0\r\n");
    assert_string_equal(get("save", NULL), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    assert_string_equal(get("nothing", NULL), "*0\r\n");
    assert_contains(get("client-output-buffer-limit", NULL),
                    "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
    assert_contains(get("proto-*", NULL), "536870912");
    reply.protocol = 3;
    assert_string_equal(get("timeout", NULL), "%1\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    reply.protocol = 2;
}

static void set_changes_and_refuses_in_the_words_of_redis(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_string_equal(set("TimeOut", "5", NULL), "+OK\r\n");
    assert_int_equal(config.timeout, 5);
    assert_string_equal(set("foo", "1", NULL),
                        "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n");
    assert_string_equal(set("timeout", "1", "foo", "1", NULL),
                        "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n");
    assert_string_equal(set("timeout", "1", "hz", NULL), "-ERR syntax error\r\n");
    assert_string_equal(set("HZ", "abc", NULL), FAILED("hz", "argument couldn't be parsed into an integer"));
    assert_string_equal(set("timeout", "+3", NULL),
                        FAILED("timeout", "argument couldn't be parsed into an integer"));
    assert_string_equal(set("timeout", "1", "TIMEOUT", "2", NULL), FAILED("TIMEOUT", "duplicate parameter"));
    assert_string_equal(set("databases", "3", NULL), FAILED("databases", "can't set immutable config"));
    assert_string_equal(set("protected-mode", "1", NULL),
                        FAILED("protected-mode", "argument must be 'yes' or 'no'"));
    assert_string_equal(set("tcp-keepalive", "-1", NULL),
                        FAILED("tcp-keepalive", "argument must be between 0 and 2147483647 inclusive"));
    assert_string_equal(set("proto-max-bulk-len", "-1", NULL),
                        FAILED("proto-max-bulk-len", "argument must be a memory value"));
    assert_string_equal(
        set("proto-max-bulk-len", "1", NULL),
        FAILED("proto-max-bulk-len", "argument must be between 1048576 and 9223372036854775807 inclusive"));
    assert_string_equal(
        set("loglevel", "loud", NULL),
        FAILED("loglevel",
               "argument(s) must be one of the following: debug, verbose, notice, warning, nothing"));
    assert_string_equal(
        set("latency-tracking-info-percentiles", "50 101", NULL),
        FAILED("latency-tracking-info-percentiles",
               "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"));
    assert_string_equal(set("maxmemory", "100mb", NULL), "+OK\r\n");
    assert_int_equal(config.maxmemory, 100 << 20);
    assert_string_equal(set("maxmemory", "0", "save", "", "appendonly", "no", NULL), "+OK\r\n");
    assert_int_equal(config.timeout, 5);
}

static void hz_is_brought_within_its_bounds(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_string_equal(set("hz", "1000", NULL), "+OK\r\n");
    assert_int_equal(config.hz, 500);
    assert_string_equal(set("hz", "0", NULL), "+OK\r\n");
    assert_string_equal(value("hz"), "1");
}

static void set_of_several_is_all_or_none(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_string_equal(set("timeout", "5", "lfu-decay-time", "3", "hz", "x", NULL),
                        FAILED("hz", "argument couldn't be parsed into an integer"));
    assert_int_equal(config.timeout, 0);
    assert_int_equal(config.lfu_decay_time, 1);
    assert_string_equal(value("timeout"), "0");
    assert_string_equal(set("timeout", "5", "lfu-decay-time", "3", NULL), "+OK\r\n");
    assert_int_equal(config.timeout, 5);
    assert_int_equal(config.lfu_decay_time, 3);
}

/* The last of the values can only be refused once the others are in force: they must be taken back.
 */
static void set_takes_back_what_was_applied(void **state) {
    (void)state;
    assert_true(load("--requirepass", "old", NULL));
    char answer[512];
    snprintf(answer, sizeof answer, "%s",
             set("requirepass", "new", "timeout", "9", "maxclients", "4294967295", NULL));
    if (answer[0] == '+') skip(); /* so many files are allowed here */
    assert_contains(answer,
                    "The operating system is not able to handle the specified number of clients, try with");
    assert_true(password_is("old", 3));
    assert_false(password_is("new", 3));
    assert_int_equal(config.timeout, 0);
    assert_int_not_equal(config.maxclients, 4294967295);
    assert_string_equal(value("requirepass"), "old");
}

static void output_limits_change_class_by_class(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_string_equal(set("client-output-buffer-limit", "normal 1mb 2k 3 replica 5g 4 3", NULL), "+OK\r\n");
    assert_string_equal(value("client-output-buffer-limit"),
                        "normal 1048576 2000 3 slave 5000000000 4 3 pubsub 33554432 8388608 60");
    assert_int_equal(config.output_limits[OUTPUT_NORMAL].hard, 1048576);
    assert_int_equal(config.output_limits[OUTPUT_NORMAL].soft_seconds, 3);
    assert_string_equal(set("client-output-buffer-limit", "", NULL), "+OK\r\n");
    assert_string_equal(set("client-output-buffer-limit", "master 1 2 3", NULL),
                        FAILED("client-output-buffer-limit",
                               "Invalid client class specified in buffer limit configuration."));
    assert_string_equal(set("client-output-buffer-limit", "normal 9 9 9 normal 4 x 6", NULL),
                        FAILED("client-output-buffer-limit",
                               "Error in hard, soft or soft_seconds setting in buffer limit configuration."));
    assert_int_equal(config.output_limits[OUTPUT_NORMAL].hard, 1048576);
}

static void percentiles_are_shown_in_short_form(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_string_equal(set("latency-tracking-info-percentiles", "0.1 33.333333333 1e1 5.0 99.9999999", NULL),
                        "+OK\r\n");
    assert_string_equal(value("latency-tracking-info-percentiles"), "0.1 33.333333 10 5 100");
    assert_string_equal(set("latency-tracking-info-percentiles", "", NULL), "+OK\r\n");
    assert_string_equal(value("latency-tracking-info-percentiles"), "");
    assert_contains(set("latency-tracking-info-percentiles", "50 abc", NULL),
                    "Invalid latency-tracking-info-percentiles parameters");
    assert_contains(set("latency-tracking-info-percentiles", "nan", NULL), "should sit between");
}

static void password_is_compared_whole(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_false(config_has_password());
    assert_string_equal(set("requirepass", "secret", NULL), "+OK\r\n");
    assert_true(config_has_password());
    assert_true(password_is("secret", 6));
    assert_false(password_is("secre", 5));
    assert_false(password_is("secret\0", 7));
    assert_false(password_is("", 0));
    assert_string_equal(set("requirepass", "", NULL), "+OK\r\n");
    assert_false(config_has_password());
}

static int changes;
static void count_change(void) {
    changes++;
}

static void password_may_have_any_bytes(void **state) {
    (void)state;
    static const char password[] = "\0a\\0 \"\xff\n\0";
    const size_t length = sizeof password - 1;
    struct bulk pair[] = {{(char *)"requirepass", 11, NULL}, {(char *)password, length, NULL}};
    char text[64];
    assert_true(load_file("requirepass x\n"));
    for (int round = 0; round < 2; round++) {
        if (round == 0) {
            reply_clear(&reply, 0);
            config_set(pair, 2, true, &reply);
            assert_string_equal(replied(), "+OK\r\n");
            assert_string_equal(rewrite(), "+OK\r\n");
            assert_string_equal(file_read(file), "requirepass \"\\x00a\\\\0 \\\"\xff\\x0a\\x00\"\n");
        } else {
            assert_true(load(file, NULL));
        }
        assert_true(config_has_password());
        assert_true(password_is(password, length));
        assert_false(password_is(password, length - 1));
        assert_int_equal(config_text("requirepass", text, sizeof text), length);
        assert_memory_equal(text, password, length);
        get("requirepass", NULL);
        assert_memory_equal(reply.data + reply.length - length - 2, password, length);
    }
    assert_true(load(NULL));
}

static void listeners_hear_of_changes_that_hold(void **state) {
    (void)state;
    assert_true(load(NULL));
    config_on_change("timeout", count_change);
    set("timeout", "5", "hz", "x", NULL);
    set("hz", "20", NULL);
    assert_int_equal(changes, 0);
    set("hz", "10", "timeout", "5", NULL);
    assert_int_equal(changes, 1);
}

static void text_is_cut_to_the_room_there_is(void **state) {
    (void)state;
    char small[4];
    assert_true(load("--requirepass", "secret", NULL));
    assert_int_equal(config_text("requirepass", small, sizeof small), 3);
    assert_string_equal(small, "sec");
}

/* ---- CONFIG REWRITE ---- */

static void rewrite_needs_a_file(void **state) {
    (void)state;
    assert_true(load(NULL));
    assert_string_equal(rewrite(), "-ERR The server is running without a config file\r\n");
}

static void rewrite_without_changes_leaves_the_file_as_it_is(void **state) {
    (void)state;
    const char *text = "# head\nport 7000\n\n  hz 20 \nPROTO-MAX-BULK-LEN "
                       "2mb\nclient-output-buffer-limit normal 1 1 1\n"
                       "client-output-buffer-limit pubsub 1 1 1\n# no line end";
    assert_true(load_file(text));
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_string_equal(file_read(file), text);
}

static void rewrite_changes_lines_in_place_and_appends_the_rest(void **state) {
    (void)state;
    assert_true(load_file("# head\ntimeout 1\n# about hz\nhz 20\n\ntimeout 2\nport 7000"));
    set("timeout", "3", "requirepass", "a \"b\\\n\xc3\xa4", "proto-max-bulk-len", "2mb", NULL);
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_string_equal(file_read(file),
                        "# head\n# about hz\nhz 20\n\ntimeout 3\nport 7000\n\n# Generated by CONFIG REWRITE\n"
                        "requirepass \"a \\\"b\\\\\\x0a\xc3\xa4\"\nproto-max-bulk-len 2mb\n");
    set("loglevel", "verbose", NULL);
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_contains(file_read(file), "proto-max-bulk-len 2mb\nloglevel verbose\n");
    assert_true(load(file, NULL));
    assert_int_equal(config.timeout, 3);
    assert_int_equal(config.port, 7000);
    assert_string_equal(value("requirepass"), "a \"b\\\n\xc3\xa4");
}

static void rewrite_keeps_the_mode_of_the_file_and_no_other_file(void **state) {
    (void)state;
    struct stat status;
    assert_true(load_file("timeout 1\n"));
    chmod(file, 0640);
    set("timeout", "2", NULL);
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    char command[128];
    snprintf(command, sizeof command, "ls %s/test.conf.* 2>/dev/null | grep -q .", folder);
    assert_int_not_equal(system(command), 0);
}

static void rewrite_writes_what_the_command_line_said(void **state) {
    (void)state;
    file_write(file, "port 7000\n");
    assert_true(load(file, "--port", "7005", "--bind", "127.0.0.1", "-::1", NULL));
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_string_equal(file_read(file), "port 7005\n\n# Generated by CONFIG REWRITE\nbind 127.0.0.1 -::1\n");
}

static void rewrite_has_the_last_word_over_included_files(void **state) {
    (void)state;
    file_write(other_file, "timeout 7\n");
    assert_true(load_file("timeout 1\ninclude other.conf\nhz 20\n"));
    assert_int_equal(config.timeout, 7);
    set("timeout", "3", "hz", "30", NULL);
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_string_equal(file_read(file),
                        "include other.conf\nhz 30\n\n# Generated by CONFIG REWRITE\ntimeout 3\n");
    assert_string_equal(file_read(other_file), "timeout 7\n");
    assert_true(load(file, NULL));
    assert_int_equal(config.timeout, 3);
}

static void rewrite_back_to_the_default_is_written_too(void **state) {
    (void)state;
    assert_true(load_file("timeout 5\nsave \"\"\nclient-output-buffer-limit normal 1 1 1\n"));
    set("timeout", "0", "client-output-buffer-limit", "normal 0 0 0", NULL);
    assert_string_equal(rewrite(), "+OK\r\n");
    assert_true(load(file, NULL));
    assert_int_equal(config.timeout, 0);
    assert_int_equal(config.output_limits[OUTPUT_NORMAL].hard, 0);
}

static void rewrite_refuses_a_file_that_was_broken_meanwhile(void **state) {
    (void)state;
    assert_true(load_file("timeout 5\n"));
    file_write(file, "timeout 5\nfrobnicate\n");
    assert_contains(rewrite(), "-ERR Rewriting config file: ");
    assert_contains(rewrite(), "line 2");
    assert_string_equal(file_read(file), "timeout 5\nfrobnicate\n");
}

/* A random walk: after any sequence of changes a rewritten file reads back as what was in force. */
static void rewrite_round_trip_of_random_changes(void **state) {
    (void)state;
    const char *text = getenv("SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)getpid();
    print_message("seed %u\n", seed);
    static const char *const choices[][4] = {
        {"timeout", "0", "5", "77"},
        {"requirepass", "", "a b", "\"'\\#\t"},
        {"loglevel", "notice", "debug", "nothing"},
        {"proto-max-bulk-len", "1mb", "1048577", "3gb"},
        {"latency-tracking", "yes", "no", "yes"},
        {"latency-tracking-info-percentiles", "", "50", "1 2.5 99.99"},
        {"client-output-buffer-limit", "normal 1 2 3", "replica 1mb 2 3 normal 0 0 0", "pubsub 0 0 0"},
        {"maxmemory-policy", "noeviction", "allkeys-s3fifo", "volatile-ttl"},
    };
    assert_true(load_file("# begin\nrequirepass x\ntimeout 1\nloglevel "
                          "debug\nclient-output-buffer-limit normal 7 7 7\n# end\n"));
    for (int round = 0; round < 200; round++) {
        for (int i = rand_r(&seed) % 4; i >= 0; i--) {
            const char *const *choice = choices[(size_t)rand_r(&seed) % (sizeof choices / sizeof *choices)];
            assert_string_equal(set(choice[0], choice[1 + rand_r(&seed) % 3], NULL), "+OK\r\n");
        }
        char *before = strdup(get("*", NULL));
        assert_string_equal(rewrite(), "+OK\r\n");
        assert_true(load(file, NULL));
        assert_string_equal(get("*", NULL), before);
        assert_contains(file_read(file), "# end\n");
        free(before);
    }
}

/* ---- Threads ---- */

static _Atomic bool is_over;

static void *read_on(void *unused) {
    char text[64];
    while (!is_over) {
        config_text("requirepass", text, sizeof text);
        assert_true(strcmp(text, "one") == 0 || strcmp(text, "another") == 0);
        password_is("one", 3);
    }
    return unused;
}

static void texts_may_be_read_while_they_change(void **state) {
    (void)state;
    pthread_t reader;
    assert_true(load("--requirepass", "one", NULL));
    is_over = false;
    assert_int_equal(pthread_create(&reader, NULL, read_on, NULL), 0);
    for (int i = 0; i < 2000; i++) set("requirepass", i % 2 ? "one" : "another", NULL);
    is_over = true;
    pthread_join(reader, NULL);
}

/* ---- The process ---- */

static void pidfile_is_written_and_removed(void **state) {
    (void)state;
    char path[80], expected[32];
    snprintf(path, sizeof path, "%s/pid", folder);
    snprintf(expected, sizeof expected, "%d\n", (int)getpid());
    assert_true(load("--pidfile", path, NULL));
    assert_true(config_pidfile_write());
    assert_string_equal(file_read(path), expected);
    config_pidfile_remove();
    assert_int_not_equal(access(path, F_OK), 0);
}

static void daemon_lives_on_in_a_session_of_its_own(void **state) {
    (void)state;
    int ends[2], status;
    pid_t ids[2];
    assert_true(load("--daemonize", "yes", NULL));
    assert_int_equal(pipe(ends), 0);
    pid_t parent = fork();
    if (parent == 0) {
        if (!config_daemonize()) _exit(1);
        pid_t mine[2] = {getpid(), getsid(0)};
        ssize_t written = write(ends[1], mine, sizeof mine);
        _exit(written == sizeof mine ? 0 : 1);
    }
    assert_int_equal(read(ends[0], ids, sizeof ids), sizeof ids);
    waitpid(parent, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_not_equal(ids[0], parent);
    assert_int_equal(ids[0], ids[1]);
    close(ends[0]);
    close(ends[1]);
    assert_true(load(NULL));
}

static void log_lines_have_the_form_that_log_readers_know(void **state) {
    (void)state;
    unlink(log_file);
    assert_true(load("--logfile", log_file, "--loglevel", "verbose", NULL));
    log_write(LOG_DEBUG, "unseen");
    log_write(LOG_VERBOSE, "one %d", 1);
    log_write(LOG_WARNING, "two\r\nthree\x1b[1m \xc3\xa4\\ %c", 0);
    char endless[5000];
    memset(endless, 7, sizeof endless);
    log_write(LOG_WARNING, "%.*s", (int)sizeof endless, endless);
    const char *text = file_read(log_file);
    int pid, day, year, hour, minute, second, millisecond;
    char month[4], mark;
    assert_int_equal(sscanf(text, "%d:M %d %3s %d %d:%d:%d.%3d %c one 1\n", &pid, &day, month, &year, &hour,
                            &minute, &second, &millisecond, &mark),
                     9);
    assert_int_equal(pid, getpid());
    assert_int_equal(mark, '-');
    assert_contains(text, "# two\\r\\nthree\\x1b[1m \\xc3\\xa4\\ \\x00\n");
    const char *last = strrchr(text, '#');
    assert_in_range(strlen(last), 3900, 4096);
    assert_string_equal(last + strlen(last) - 5, "\\x07\n");
    assert_null(strstr(text, "unseen"));
    assert_string_equal(set("loglevel", "nothing", NULL), "+OK\r\n");
    log_write(LOG_WARNING, "unheard");
    assert_null(strstr(file_read(log_file), "unheard"));
    assert_true(load(NULL));
}

static void long_log_lines_are_cut_but_ended(void **state) {
    (void)state;
    char text[8192];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    unlink(log_file);
    assert_true(load("--logfile", log_file, NULL));
    log_write(LOG_NOTICE, "%s", text);
    log_write(LOG_NOTICE, "next");
    const char *written = file_read(log_file);
    assert_contains(written, "x\n");
    assert_contains(written, "* next\n");
    assert_true(load(NULL));
}

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(file, sizeof file, "%s/test.conf", folder);
    snprintf(other_file, sizeof other_file, "%s/other.conf", folder);
    snprintf(log_file, sizeof log_file, "%s/log", folder);
    reply_init(&reply, 2);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(file);
    unlink(other_file);
    unlink(log_file);
    reply_free(&reply);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_without_arguments),
        cmocka_unit_test(threads_and_shards_follow_the_cpus_unless_told),
        cmocka_unit_test(file_with_comments_quotes_and_sizes),
        cmocka_unit_test(mistakes_name_file_line_and_what_would_be_right),
        cmocka_unit_test(included_files_are_read_in_place),
        cmocka_unit_test(command_line_wins_over_the_file),
        cmocka_unit_test(mistakes_on_the_command_line_are_explained),
        cmocka_unit_test(help_and_version_end_well),
        cmocka_unit_test(every_option_is_found_by_its_names_and_no_two_share_one),
        cmocka_unit_test(latchkey_conf_holds_every_option_with_its_default),
        cmocka_unit_test(every_option_of_redis_is_known),
        cmocka_unit_test(options_without_effect_are_checked_kept_and_said_so),
        cmocka_unit_test(options_without_effect_survive_a_rewrite),
        cmocka_unit_test(the_folder_is_changed_only_where_that_is_allowed),
        cmocka_unit_test(command_line_forms_of_redis),
        cmocka_unit_test(get_answers_each_option_once),
        cmocka_unit_test(set_changes_and_refuses_in_the_words_of_redis),
        cmocka_unit_test(hz_is_brought_within_its_bounds),
        cmocka_unit_test(set_of_several_is_all_or_none),
        cmocka_unit_test(set_takes_back_what_was_applied),
        cmocka_unit_test(output_limits_change_class_by_class),
        cmocka_unit_test(percentiles_are_shown_in_short_form),
        cmocka_unit_test(password_is_compared_whole),
        cmocka_unit_test(password_may_have_any_bytes),
        cmocka_unit_test(listeners_hear_of_changes_that_hold),
        cmocka_unit_test(text_is_cut_to_the_room_there_is),
        cmocka_unit_test(rewrite_needs_a_file),
        cmocka_unit_test(rewrite_without_changes_leaves_the_file_as_it_is),
        cmocka_unit_test(rewrite_changes_lines_in_place_and_appends_the_rest),
        cmocka_unit_test(rewrite_keeps_the_mode_of_the_file_and_no_other_file),
        cmocka_unit_test(rewrite_writes_what_the_command_line_said),
        cmocka_unit_test(rewrite_has_the_last_word_over_included_files),
        cmocka_unit_test(rewrite_back_to_the_default_is_written_too),
        cmocka_unit_test(rewrite_refuses_a_file_that_was_broken_meanwhile),
        cmocka_unit_test(rewrite_round_trip_of_random_changes),
        cmocka_unit_test(texts_may_be_read_while_they_change),
        cmocka_unit_test(pidfile_is_written_and_removed),
        cmocka_unit_test(daemon_lives_on_in_a_session_of_its_own),
        cmocka_unit_test(log_lines_have_the_form_that_log_readers_know),
        cmocka_unit_test(long_log_lines_are_cut_but_ended),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
