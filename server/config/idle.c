/* Options of Redis that have nothing to act on here: each a row with the reason why.
 *
 * A configuration made for Redis starts, CONFIG GET and REWRITE keep what it says, and the log tells what has
 * no effect and why. What would break a promise if it were merely kept (access control, being a replica) is
 * refused by its `check`. A row whose option comes to life moves to rows.h. */
#include "idle.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "shard/base/number.h"

static bool check_cluster(char *value, char *why) {
    if (strcmp(value, "no") == 0) return true;
    return refuse(why, "Latchkey is no node of a cluster: its clients would look for slots that "
                       "nobody tells them of. Run it "
                       "with 'no'; one process uses all cores");
}

static bool check_min_replicas(char *value, char *why) {
    return strcmp(value, "0") == 0 ||
           refuse(why, "Latchkey has no replicas, so no write could be as safe as this asks for. Use 0");
}

static bool check_file_name(char *value, char *why) {
    return !strchr(value, '/') || refuse(why, "%s", "dbfilename can't be a path, just a filename");
}

static bool check_file_name_needed(char *value, char *why) {
    if (!*value) return refuse(why, "the name can't be empty");
    return !strchr(value, '/') || refuse(why, "a name is wanted, not a path");
}

/* Redis's template for the process's title: text, and names of its own in braces; not blank. */
static bool check_title(char *value, char *why) {
    static const char *const names[] = {"title",    "listen-addr", "server-mode", "port",
                                        "tls-port", "unixsocket",  "config-file"};
    bool is_fine = value[strspn(value, " \t\r\n")] != '\0';
    for (const char *open = strchr(value, '{'); open && is_fine; open = strchr(open + 1, '{')) {
        size_t length = strcspn(open + 1, "}");
        is_fine = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            is_fine = is_fine || (open[1 + length] == '}' && strlen(names[i]) == length &&
                                  strncmp(open + 1, names[i], length) == 0);
    }
    return is_fine || refuse(why, "template format is invalid or contains unknown variables");
}

static bool check_host(char *value, char *why) {
    for (const char *letter = value; *letter; letter++) {
        if (!isalnum((unsigned char)*letter) && *letter != '-' && *letter != '.')
            return refuse(why, "Hostnames may only contain alphanumeric characters, hyphens or dots");
    }
    return strlen(value) < 256 || refuse(why, "Hostnames must be less than 256 characters");
}

/* "3600 1 300 100": after so many seconds with so many changes. None clears what `present` has. */
static bool compose_save(const struct bulk *words, int count, const char *present, char *out, char *why) {
    bool is_clearing = count == 0 || (count == 1 && words[0].length == 0);
    size_t length = (size_t)snprintf(out, VALUE_SIZE, "%s", is_clearing ? "" : present);
    if (is_clearing) return true;
    if (count % 2 != 0) return refuse(why, "Invalid save parameters");
    for (int i = 0; i < count; i += 2) {
        int64_t seconds, changes;
        if (!number_parse(words[i].data, words[i].length, &seconds) || seconds < 1 || seconds > INT_MAX ||
            !number_parse(words[i + 1].data, words[i + 1].length, &changes) || changes < 0 ||
            changes > INT_MAX)
            return refuse(why, "Invalid save parameters");
        if (length + 32 > VALUE_SIZE)
            return refuse(why, "argument must be shorter than %d bytes", VALUE_SIZE);
        length += (size_t)snprintf(out + length, VALUE_SIZE - length, "%s%lld %lld", length ? " " : "",
                                   (long long)seconds, (long long)changes);
    }
    return true;
}

static bool compose_replicaof(const struct bulk *words, int count, const char *present, char *out,
                              char *why) {
    (void)present;
    *out = '\0';
    if (count == 0 || (count == 1 && words[0].length == 0)) return true;
    if (count != 2) return refuse(why, "wrong number of arguments");
    if (word_is(&words[0], "no") && word_is(&words[1], "one")) return true;
    return refuse(why, "Latchkey is nobody's replica, and would serve an empty keyspace in the "
                       "name of another server. Leave this out");
}

/* What a signal's shutdown does, each word once and in Redis's order. */
static bool compose_shutdown(const struct bulk *words, int count, const char *present, char *out, char *why) {
    static const char *const names[] = {"save", "nosave", "now", "force"};
    bool is_given[4] = {false};
    (void)present;
    for (int i = 0; i < count; i++) {
        size_t name = 0;
        while (name < 4 && !word_is(&words[i], names[name])) name++;
        if (name == 4 && !word_is(&words[i], "default"))
            return refuse(why, "argument(s) must be one of the following: default, save, nosave, now, force");
        if (name < 4) is_given[name] = true;
    }
    if (count == 0)
        return refuse(why, "argument(s) must be one of the following: default, save, nosave, now, force");
    if (is_given[0] && is_given[1])
        return refuse(why, "shutdown options SAVE and NOSAVE can't be used simultaneously");
    size_t length = 0;
    for (size_t name = 0; name < 4; name++) {
        if (is_given[name])
            length +=
                (size_t)snprintf(out + length, VALUE_SIZE - length, "%s%s", length ? " " : "", names[name]);
    }
    if (length == 0) snprintf(out, VALUE_SIZE, "default");
    return true;
}

static bool compose_oom_scores(const struct bulk *words, int count, const char *present, char *out,
                               char *why) {
    (void)present;
    if (count != 3) return refuse(why, "wrong number of arguments");
    for (int i = 0; i < count; i++) {
        int64_t score;
        if (!number_parse(words[i].data, words[i].length, &score) || score < -2000 || score > 2000)
            return refuse(why, "Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
    }
    return list_join(words, count, out, why);
}

static const char *const facility_names[] = {"user",   "local0", "local1", "local2", "local3",
                                             "local4", "local5", "local6", "local7", NULL};
static const char *const appendfsync_names[] = {"everysec", "always", "no", NULL};
static const char *const oom_names[] = {"no", "yes", "relative", "absolute", NULL};
static const char *const sanitize_names[] = {"no", "yes", "clients", NULL};
static const char *const endpoint_names[] = {"ip", "hostname", "unknown-endpoint", NULL};
static const char *const propagation_names[] = {"ignore", "panic", "panic-on-replicas", NULL};
static const char *const diskless_names[] = {"disabled", "on-empty-db", "swapdb", NULL};
static const char *const module_command_names[] = {"no", "yes", "local", NULL};

#define IDLE_INTEGER(text, old, initial_text, low, high, reason)                                             \
    .name = text, .alias = old, .kind = OPTION_INTEGER, .initial = initial_text, .least = low, .most = high, \
    .idle = reason
#define IDLE_MEMORY(text, initial_text, low, reason)                                                         \
    .name = text, .kind = OPTION_MEMORY, .initial = initial_text, .least = low, .most = INT64_MAX,           \
    .idle = reason
#define IDLE_BOOLEAN(text, old, initial_text, reason)                                                        \
    .name = text, .alias = old, .kind = OPTION_BOOLEAN, .initial = initial_text, .idle = reason
#define IDLE_CHOICE(text, initial_text, names, reason)                                                       \
    .name = text, .kind = OPTION_CHOICE, .initial = initial_text, .choices = names, .idle = reason
#define IDLE_TEXT(text, old, initial_text, reason)                                                           \
    .name = text, .alias = old, .kind = OPTION_TEXT, .initial = initial_text, .idle = reason
#define IDLE_SECRET(text, reason)                                                                            \
    .name = text, .kind = OPTION_BYTES, .initial = "", .flags = OPTION_SECRET, .idle = reason
#define IDLE_LIST(text, old, initial_text, function, reason)                                                 \
    .name = text, .alias = old, .kind = OPTION_LIST, .initial = initial_text, .compose = function,           \
    .idle = reason
/* Why, as the end of a sentence. Options that share a reason share a line of the log. */
#define NO_DISK "all is kept in memory only, and nothing is written to disk or read from it"
#define NO_REPLICATION "there is no replication"
#define NO_CLUSTER "there is no cluster mode"
#define NO_SCRIPTS "there are no scripts, functions or modules"
#define NO_DEFRAGMENTATION "values are not moved to defragment memory"
#define ALWAYS_SLICED                                                                                        \
    "large values are always freed in slices beside the requests, and tables always grow in "                \
    "small steps"
#define THREADS_SAY                                                                                          \
    "each thread reads, executes and writes for its clients, and 'threads' says how many there "             \
    "are"
#define STARTER_SAYS                                                                                         \
    "whoever starts the process decides that (taskset, systemd's CPUAffinity= or "                           \
    "OOMScoreAdjust=, a core's pattern)"
#define NO_SYSLOG "the log goes to 'logfile' or to standard output only"
#define NO_TITLE "the process keeps the title it was started with"
#define SAMPLES_SAY "eviction takes the best of a fixed number of keys, as long as there is need"
#define IMMUTABLE .flags = OPTION_IMMUTABLE

const struct option idle_options[] = {
    {IDLE_LIST("save", NULL, "", compose_save, NO_DISK), .flags = OPTION_ADDS},
    {IDLE_BOOLEAN("appendonly", NULL, "no", NO_DISK)},
    {IDLE_TEXT("appendfilename", NULL, "appendonly.aof", NO_DISK), IMMUTABLE,
     .check = check_file_name_needed},
    {IDLE_TEXT("appenddirname", NULL, "appendonlydir", NO_DISK), IMMUTABLE, .check = check_file_name_needed},
    {IDLE_CHOICE("appendfsync", "everysec", appendfsync_names, NO_DISK)},
    {IDLE_BOOLEAN("no-appendfsync-on-rewrite", NULL, "no", NO_DISK)},
    {IDLE_INTEGER("auto-aof-rewrite-percentage", NULL, "100", 0, INT_MAX, NO_DISK)},
    {IDLE_MEMORY("auto-aof-rewrite-min-size", "67108864", 0, NO_DISK)},
    {IDLE_BOOLEAN("aof-load-truncated", NULL, "yes", NO_DISK)},
    {IDLE_BOOLEAN("aof-use-rdb-preamble", NULL, "yes", NO_DISK)},
    {IDLE_BOOLEAN("aof-timestamp-enabled", NULL, "no", NO_DISK)},
    {IDLE_BOOLEAN("aof-rewrite-incremental-fsync", NULL, "yes", NO_DISK)},
    {IDLE_BOOLEAN("aof-disable-auto-gc", NULL, "no", NO_DISK), .flags = OPTION_HIDDEN},
    {IDLE_TEXT("dbfilename", NULL, "dump.rdb", NO_DISK), .flags = OPTION_PROTECTED, .check = check_file_name},
    {IDLE_BOOLEAN("rdbcompression", NULL, "yes", NO_DISK)},
    {IDLE_BOOLEAN("rdbchecksum", NULL, "yes", NO_DISK), IMMUTABLE},
    {IDLE_BOOLEAN("rdb-del-sync-files", NULL, "no", NO_DISK)},
    {IDLE_BOOLEAN("rdb-save-incremental-fsync", NULL, "yes", NO_DISK)},
    {IDLE_INTEGER("rdb-key-save-delay", NULL, "0", INT_MIN, INT_MAX, NO_DISK), .flags = OPTION_HIDDEN},
    {IDLE_INTEGER("key-load-delay", NULL, "0", INT_MIN, INT_MAX, NO_DISK), .flags = OPTION_HIDDEN},
    {IDLE_INTEGER("loading-process-events-interval-bytes", NULL, "2097152", 1024, INT_MAX, NO_DISK),
     .flags = OPTION_HIDDEN},
    {IDLE_BOOLEAN("stop-writes-on-bgsave-error", NULL, "yes", NO_DISK)},
    {IDLE_CHOICE("sanitize-dump-payload", "no", sanitize_names, NO_DISK)},
    {IDLE_LIST("shutdown-on-sigint", NULL, "default", compose_shutdown, NO_DISK)},
    {IDLE_LIST("shutdown-on-sigterm", NULL, "default", compose_shutdown, NO_DISK)},
    /* Replication: */
    {IDLE_LIST("replicaof", "slaveof", "", compose_replicaof, NO_REPLICATION), IMMUTABLE},
    {IDLE_TEXT("masteruser", NULL, "", NO_REPLICATION), .flags = OPTION_SECRET},
    {IDLE_SECRET("masterauth", NO_REPLICATION)},
    {IDLE_BOOLEAN("replica-serve-stale-data", "slave-serve-stale-data", "yes", NO_REPLICATION)},
    {IDLE_BOOLEAN("replica-read-only", "slave-read-only", "yes", NO_REPLICATION)},
    {IDLE_BOOLEAN("replica-ignore-maxmemory", "slave-ignore-maxmemory", "yes", NO_REPLICATION)},
    {IDLE_BOOLEAN("replica-lazy-flush", "slave-lazy-flush", "no", NO_REPLICATION)},
    {IDLE_BOOLEAN("replica-announced", NULL, "yes", NO_REPLICATION)},
    {IDLE_BOOLEAN("replica-ignore-disk-write-errors", NULL, "no", NO_REPLICATION)},
    {IDLE_INTEGER("replica-priority", "slave-priority", "100", 0, INT_MAX, NO_REPLICATION)},
    {IDLE_TEXT("replica-announce-ip", "slave-announce-ip", "", NO_REPLICATION)},
    {IDLE_INTEGER("replica-announce-port", "slave-announce-port", "0", 0, 65535, NO_REPLICATION)},
    {IDLE_BOOLEAN("repl-diskless-sync", NULL, "yes", NO_REPLICATION)},
    {IDLE_INTEGER("repl-diskless-sync-delay", NULL, "5", 0, INT_MAX, NO_REPLICATION)},
    {IDLE_INTEGER("repl-diskless-sync-max-replicas", NULL, "0", 0, INT_MAX, NO_REPLICATION)},
    {IDLE_CHOICE("repl-diskless-load", "disabled", diskless_names, NO_REPLICATION)},
    {IDLE_INTEGER("repl-ping-replica-period", "repl-ping-slave-period", "10", 1, INT_MAX, NO_REPLICATION)},
    {IDLE_INTEGER("repl-timeout", NULL, "60", 1, INT_MAX, NO_REPLICATION)},
    {IDLE_BOOLEAN("repl-disable-tcp-nodelay", NULL, "no", NO_REPLICATION)},
    {IDLE_MEMORY("repl-backlog-size", "1048576", 1, NO_REPLICATION)},
    {IDLE_INTEGER("repl-backlog-ttl", NULL, "3600", 0, INT64_MAX, NO_REPLICATION)},
    {IDLE_INTEGER("min-replicas-to-write", "min-slaves-to-write", "0", 0, INT_MAX, NO_REPLICATION),
     .check = check_min_replicas},
    {IDLE_INTEGER("min-replicas-max-lag", "min-slaves-max-lag", "10", 0, INT_MAX, NO_REPLICATION)},
    {IDLE_CHOICE("propagation-error-behavior", "ignore", propagation_names, NO_REPLICATION),
     .flags = OPTION_HIDDEN},
    {IDLE_TEXT("bind-source-addr", NULL, "", NO_REPLICATION)},
    /* Cluster: */
    {IDLE_BOOLEAN("cluster-enabled", NULL, "no", NO_CLUSTER), IMMUTABLE, .check = check_cluster},
    {IDLE_TEXT("cluster-config-file", NULL, "nodes.conf", NO_CLUSTER), IMMUTABLE},
    {IDLE_INTEGER("cluster-node-timeout", NULL, "15000", 0, INT64_MAX, NO_CLUSTER)},
    {IDLE_INTEGER("cluster-port", NULL, "0", 0, 65535, NO_CLUSTER), IMMUTABLE},
    {IDLE_INTEGER("cluster-replica-validity-factor", "cluster-slave-validity-factor", "10", 0, INT_MAX,
                  NO_CLUSTER)},
    {IDLE_INTEGER("cluster-migration-barrier", NULL, "1", 0, INT_MAX, NO_CLUSTER)},
    {IDLE_BOOLEAN("cluster-allow-replica-migration", NULL, "yes", NO_CLUSTER)},
    {IDLE_BOOLEAN("cluster-require-full-coverage", NULL, "yes", NO_CLUSTER)},
    {IDLE_BOOLEAN("cluster-replica-no-failover", "cluster-slave-no-failover", "no", NO_CLUSTER)},
    {IDLE_BOOLEAN("cluster-allow-reads-when-down", NULL, "no", NO_CLUSTER)},
    {IDLE_BOOLEAN("cluster-allow-pubsubshard-when-down", NULL, "yes", NO_CLUSTER)},
    {IDLE_MEMORY("cluster-link-sendbuf-limit", "0", 0, NO_CLUSTER)},
    {IDLE_TEXT("cluster-announce-ip", NULL, "", NO_CLUSTER)},
    {IDLE_TEXT("cluster-announce-hostname", NULL, "", NO_CLUSTER), .check = check_host},
    {IDLE_TEXT("cluster-announce-human-nodename", NULL, "", NO_CLUSTER), .check = check_host},
    {IDLE_INTEGER("cluster-announce-port", NULL, "0", 0, 65535, NO_CLUSTER)},
    {IDLE_INTEGER("cluster-announce-tls-port", NULL, "0", 0, 65535, NO_CLUSTER)},
    {IDLE_INTEGER("cluster-announce-bus-port", NULL, "0", 0, 65535, NO_CLUSTER)},
    {IDLE_CHOICE("cluster-preferred-endpoint-type", "ip", endpoint_names, NO_CLUSTER)},
    /* Encryption of what this server would connect to: */
    {IDLE_TEXT("tls-client-cert-file", NULL, "", NO_REPLICATION)},
    {IDLE_TEXT("tls-client-key-file", NULL, "", NO_REPLICATION)},
    {IDLE_SECRET("tls-client-key-file-pass", NO_REPLICATION)},
    {IDLE_BOOLEAN("tls-replication", NULL, "no", NO_REPLICATION)},
    {IDLE_BOOLEAN("tls-cluster", NULL, "no", NO_CLUSTER)},
    /* Scripts, notifications: */
    {IDLE_CHOICE("enable-module-command", "no", module_command_names, NO_SCRIPTS), IMMUTABLE},
    /* Memory: */
    {IDLE_INTEGER("maxmemory-samples", NULL, "5", 1, INT_MAX, SAMPLES_SAY)},
    {IDLE_INTEGER("maxmemory-eviction-tenacity", NULL, "10", 0, 100, SAMPLES_SAY)},
    {IDLE_BOOLEAN("lazyfree-lazy-eviction", NULL, "no", ALWAYS_SLICED)},
    {IDLE_BOOLEAN("lazyfree-lazy-server-del", NULL, "no", ALWAYS_SLICED)},
    {IDLE_BOOLEAN("activerehashing", NULL, "yes", ALWAYS_SLICED)},
    {IDLE_BOOLEAN("activedefrag", NULL, "no", NO_DEFRAGMENTATION)},
    {IDLE_MEMORY("active-defrag-ignore-bytes", "104857600", 1, NO_DEFRAGMENTATION)},
    {IDLE_INTEGER("active-defrag-threshold-lower", NULL, "10", 0, 1000, NO_DEFRAGMENTATION)},
    {IDLE_INTEGER("active-defrag-threshold-upper", NULL, "100", 0, 1000, NO_DEFRAGMENTATION)},
    {IDLE_INTEGER("active-defrag-cycle-min", NULL, "1", 1, 99, NO_DEFRAGMENTATION)},
    {IDLE_INTEGER("active-defrag-cycle-max", NULL, "25", 1, 99, NO_DEFRAGMENTATION)},
    {IDLE_INTEGER("active-defrag-max-scan-fields", NULL, "1000", 1, INT64_MAX, NO_DEFRAGMENTATION)},
    {IDLE_BOOLEAN("jemalloc-bg-thread", NULL, "yes", "the allocator's threads always give memory back")},
    {IDLE_BOOLEAN("disable-thp", NULL, "yes", STARTER_SAYS), IMMUTABLE},
    /* The process: */
    {IDLE_INTEGER("io-threads", NULL, "1", 1, 128, THREADS_SAY), IMMUTABLE},
    {IDLE_BOOLEAN("io-threads-do-reads", NULL, "no", THREADS_SAY), IMMUTABLE},
    {IDLE_BOOLEAN("dynamic-hz", NULL, "yes", THREADS_SAY)},
    {IDLE_TEXT("server_cpulist", NULL, "", STARTER_SAYS), IMMUTABLE},
    {IDLE_TEXT("bio_cpulist", NULL, "", STARTER_SAYS), IMMUTABLE},
    {IDLE_TEXT("aof_rewrite_cpulist", NULL, "", STARTER_SAYS), IMMUTABLE},
    {IDLE_TEXT("bgsave_cpulist", NULL, "", STARTER_SAYS), IMMUTABLE},
    {IDLE_CHOICE("oom-score-adj", "no", oom_names, STARTER_SAYS)},
    {IDLE_LIST("oom-score-adj-values", NULL, "0 200 800", compose_oom_scores, STARTER_SAYS)},
    {IDLE_BOOLEAN("crash-log-enabled", NULL, "yes", STARTER_SAYS)},
    {IDLE_BOOLEAN("crash-memcheck-enabled", NULL, "yes", STARTER_SAYS)},
    {IDLE_BOOLEAN("use-exit-on-panic", NULL, "no", STARTER_SAYS), .flags = OPTION_HIDDEN},
    {IDLE_INTEGER("watchdog-period", NULL, "0", 0, INT_MAX, STARTER_SAYS), .flags = OPTION_HIDDEN},
    {IDLE_INTEGER("socket-mark-id", NULL, "0", 0, UINT_MAX, STARTER_SAYS), IMMUTABLE},
    {IDLE_BOOLEAN("syslog-enabled", NULL, "no", NO_SYSLOG), IMMUTABLE},
    {IDLE_TEXT("syslog-ident", NULL, "redis", NO_SYSLOG), IMMUTABLE},
    {IDLE_CHOICE("syslog-facility", "local0", facility_names, NO_SYSLOG), IMMUTABLE},
    {IDLE_BOOLEAN("set-proc-title", NULL, "yes", NO_TITLE), IMMUTABLE},
    {IDLE_TEXT("proc-title-template", NULL, "{title} {listen-addr} {server-mode}", NO_TITLE),
     .check = check_title},
    {IDLE_BOOLEAN("always-show-logo", NULL, "no", "there is no logo"), IMMUTABLE},
    {IDLE_TEXT("ignore-warnings", NULL, "", "the warnings that it would ignore are never given")},
    {IDLE_TEXT("locale-collate", NULL, "", "texts are always ordered by their bytes")},
};

#define COUNT (sizeof idle_options / sizeof *idle_options)
_Static_assert(COUNT <= MOST_OPTIONS / 2, "half of the options that there can be");
const int idle_option_count = COUNT;
