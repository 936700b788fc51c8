/* The table of options, and what single ones of those in rows.h have of their own. */
#include "options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config.h"
#include "idle.h"
#include "password.h"
#include "server/base/log.h"
#include "server/base/process.h"
#include "shard/base/number.h"
#include "shard/value/hyperloglog.h"
#include "shard/value/value.h"

#define MEBIBYTE (INT64_C(1) << 20)
#define MOST_ADDRESSES 16
#define SHARDS_PER_THREAD 256
#define MOST_SHARDS 65536
#define SHARD_MEMORY (INT64_C(256) << 10) /* at least so much of maxmemory for each */
#define MOST_THREADS 192                  /* the keyspace has 256 lanes; others than workers need some */
#define MOST_LONG_THREADS 48              /* a quarter of them */
#define DESCRIPTORS_RESERVED 32           /* as in Redis, that a limit of open files means as many clients */
#define DESCRIPTORS_SHARED 20             /* stdio, listeners, signals, log, and what is open for a moment */
#define DESCRIPTORS_PER_THREAD 4
#define DESCRIPTORS_PER_LONG_THREAD 2

struct config config;

/* A quarter of what this process may have. */
static int64_t initial_client_memory(void) {
    static int64_t memory;
    if (memory == 0) memory = process_memory_available() / 4;
    return memory;
}

/* Redis takes any number and uses the nearest one that makes sense. */
static bool check_hz(char *value, char *why) {
    (void)why;
    long hz = strtol(value, NULL, 10);
    if (hz < 1) snprintf(value, VALUE_SIZE, "1");
    if (hz > 500) snprintf(value, VALUE_SIZE, "500");
    return true;
}

static bool check_shards(char *value, char *why) {
    long shards = strtol(value, NULL, 10);
    if ((shards & (shards - 1)) == 0) return true;
    long below = 1;
    while (below * 2 < shards) below *= 2;
    return refuse(why, "argument must be a power of two, such as %ld or %ld, or 0", below, below * 2);
}

static int64_t resolve_threads(void) {
    cpu_set_t available;
    int count = 1;
    if (sched_getaffinity(0, sizeof available, &available) == 0) count = CPU_COUNT(&available);
    if (count < 1) count = 1;
    return count < MOST_THREADS ? count : MOST_THREADS;
}

static int64_t resolve_long_threads(void) {
    int64_t threads = atomic_load_explicit(&config.threads, memory_order_relaxed);
    return threads < 8 ? 2 : threads / 4;
}

static int64_t resolve_shards(void) {
    int64_t wanted = SHARDS_PER_THREAD * atomic_load_explicit(&config.threads, memory_order_relaxed);
    int64_t limit = atomic_load_explicit(&config.maxmemory, memory_order_relaxed), shards = 1;
    while (shards < wanted && shards < MOST_SHARDS) shards *= 2;
    /* Where there is little room, it isn't for tables with next to nothing in them. */
    while (limit > 0 && shards > 1 && limit / shards < SHARD_MEMORY) shards /= 2;
    return shards;
}

static void show_number(const struct option *option, const char *value, char *out, size_t size) {
    (void)value;
    snprintf(out, size, "%lld", (long long)atomic_load_explicit(option->number, memory_order_relaxed));
}

static void show_dir(const struct option *option, const char *value, char *out, size_t size) {
    (void)option, (void)value;
    if (!getcwd(out, size)) snprintf(out, size, ".");
}

static bool compose_bind(const struct bulk *words, int count, const char *present, char *out, char *why) {
    (void)present;
    if (count > MOST_ADDRESSES) return refuse(why, "Too many bind addresses specified.");
    return list_join(words, count, out, why);
}

static bool compose_percentiles(const struct bulk *words, int count, const char *present, char *out,
                                char *why) {
    (void)present;
    size_t length = 0;
    *out = '\0';
    for (int i = 0; i < count; i++) {
        char text[64], *end;
        if (words[i].length == 0 || words[i].length >= sizeof text ||
            isspace((unsigned char)words[i].data[0]))
            return refuse(why, "Invalid latency-tracking-info-percentiles parameters");
        memcpy(text, words[i].data, words[i].length);
        text[words[i].length] = '\0';
        double percentile = strtod(text, &end);
        if (end != text + words[i].length)
            return refuse(why, "Invalid latency-tracking-info-percentiles parameters");
        if (!(percentile >= 0.0 && percentile <= 100.0))
            return refuse(why, "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
        int digits = snprintf(text, sizeof text, "%.6f", percentile);
        while (text[digits - 1] == '0') digits--;
        if (text[digits - 1] == '.') digits--;
        length += (size_t)snprintf(out + length, VALUE_SIZE - length, "%s%.*s", i ? " " : "", digits, text);
    }
    return true;
}

/* Classes of events in Redis's order, which is that of enum event_class; A is the first ten. */
static const char event_letters[] = "g$lshzxetdnKEm", event_letters_all[] = "g$lshzxetd";

/* Each once and in order. */
static bool check_events(char *value, char *why) {
    if (value[strspn(value, "Ag$lshzxeKEtmdn")] != '\0')
        return refuse(why, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    bool are_all = true;
    for (const char *letter = event_letters_all; *letter; letter++)
        are_all = are_all && strchr(value, *letter) != NULL;
    are_all = are_all || strchr(value, 'A') != NULL;
    char text[sizeof event_letters + 1];
    size_t length = 0;
    if (are_all) text[length++] = 'A';
    for (const char *letter = event_letters; *letter; letter++) {
        bool is_in_all = are_all && strchr(event_letters_all, *letter) != NULL;
        if (!is_in_all && strchr(value, *letter) != NULL) text[length++] = *letter;
    }
    text[length] = '\0';
    memcpy(value, text, length + 1);
    return true;
}

/* Who says neither K nor E is told nothing. */
static bool apply_events(const char *value, char *why) {
    uint32_t classes = 0;
    (void)why;
    for (; *value != '\0'; value++)
        classes |=
            *value == 'A' ? EVENTS_MODULE * 2 - 1 : 1U << (strchr(event_letters, *value) - event_letters);
    if ((classes & (EVENTS_BY_KEY | EVENTS_BY_EVENT)) == 0) classes = 0;
    atomic_store_explicit(&config.events, classes, memory_order_relaxed);
    return true;
}

/* Redis shows no n beside A, although it is kept. */
static void show_events(const struct option *option, const char *value, char *out, size_t size) {
    (void)option;
    bool are_all = value[0] == 'A';
    snprintf(out, size, "%s%s", are_all ? "A" : "", value + (are_all ? strspn(value, "An") : 0));
}

struct output_limit_read {
    long long hard, soft, soft_seconds;
};
/* Redis calls the class "slave" when it answers, and takes both words. */
static const char *const output_class_names[] = {"normal", "slave", "pubsub"};
#define OUTPUT_LIMITS_FORMAT "normal %lld %lld %lld slave %lld %lld %lld pubsub %lld %lld %lld"

static void output_limits_read(const char *text, struct output_limit_read limits[OUTPUT_CLASSES]) {
    int read = sscanf(text, OUTPUT_LIMITS_FORMAT, &limits[0].hard, &limits[0].soft, &limits[0].soft_seconds,
                      &limits[1].hard, &limits[1].soft, &limits[1].soft_seconds, &limits[2].hard,
                      &limits[2].soft, &limits[2].soft_seconds);
    assert(read == 9 && "the text is canonical");
    (void)read;
}

/* Any of the classes, each with three numbers; the others stay as they are. */
static bool compose_output_limits(const struct bulk *words, int count, const char *present, char *out,
                                  char *why) {
    struct output_limit_read limits[OUTPUT_CLASSES] = {{0}};
    if (count % 4 != 0) return refuse(why, "Wrong number of arguments in buffer limit configuration.");
    output_limits_read(present, limits);
    for (int i = 0; i < count; i += 4) {
        int class = 0;
        while (class < OUTPUT_CLASSES && !word_is(&words[i], output_class_names[class])) class ++;
        if (word_is(&words[i], "replica")) class = OUTPUT_REPLICA;
        if (class == OUTPUT_CLASSES)
            return refuse(why, "Invalid client class specified in buffer limit configuration.");
        int64_t hard, soft, seconds;
        if (!memory_parse(words[i + 1].data, words[i + 1].length, &hard) ||
            !memory_parse(words[i + 2].data, words[i + 2].length, &soft) ||
            !number_parse(words[i + 3].data, words[i + 3].length, &seconds) || seconds < 0)
            return refuse(why, "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
        limits[class] = (struct output_limit_read){hard, soft, seconds};
    }
    snprintf(out, VALUE_SIZE, OUTPUT_LIMITS_FORMAT, limits[0].hard, limits[0].soft, limits[0].soft_seconds,
             limits[1].hard, limits[1].soft, limits[1].soft_seconds, limits[2].hard, limits[2].soft,
             limits[2].soft_seconds);
    return true;
}

static bool apply_output_limits(const char *value, char *why) {
    (void)why;
    struct output_limit_read limits[OUTPUT_CLASSES] = {{0}};
    output_limits_read(value, limits);
    for (int i = 0; i < OUTPUT_CLASSES; i++) {
        struct output_limit *limit = &config.output_limits[i];
        atomic_store_explicit(&limit->hard, limits[i].hard, memory_order_relaxed);
        atomic_store_explicit(&limit->soft, limits[i].soft, memory_order_relaxed);
        atomic_store_explicit(&limit->soft_seconds, limits[i].soft_seconds, memory_order_relaxed);
    }
    return true;
}

static bool apply_dir(const char *value, char *why) {
    return chdir(value) == 0 || refuse(why, "can't change to folder '%s': %s", value, strerror(errno));
}

static bool apply_logfile(const char *value, char *why) {
    return log_open(value) == 0 || refuse(why, "can't open the log file '%s': %s", value, strerror(errno));
}

static bool apply_loglevel(const char *value, char *why) {
    (void)value, (void)why;
    log_level_set((enum log_level)atomic_load_explicit(&config.loglevel, memory_order_relaxed));
    return true;
}

static bool apply_requirepass(const char *value, char *why) {
    char password[VALUE_SIZE];
    bool is_set = password_set(password, bytes_from_canonical(value, password, sizeof password));
    OPENSSL_cleanse(password, sizeof password);
    return is_set || refuse(why, "out of memory");
}

/* Raises the limit of open files for `clients` as far as allowed. Returns for how many clients it
 * is enough. */
static int64_t descriptors_provide(int64_t clients) {
    rlim_t needed =
        DESCRIPTORS_SHARED +
        DESCRIPTORS_PER_THREAD * (rlim_t)atomic_load_explicit(&config.threads, memory_order_relaxed) +
        DESCRIPTORS_PER_LONG_THREAD *
            (rlim_t)atomic_load_explicit(&config.long_threads, memory_order_relaxed);
    rlim_t reserved = needed > DESCRIPTORS_RESERVED ? needed : DESCRIPTORS_RESERVED;
    rlim_t wanted = (rlim_t)clients + reserved;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return clients; /* accept() will tell */
    if (limit.rlim_cur >= wanted) return clients;
    struct rlimit raised = {.rlim_cur = wanted,
                            .rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return clients;
    /* Without privilege the hard limit is the end. */
    raised = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (limit.rlim_max > limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    if (limit.rlim_cur >= wanted) return clients;
    return limit.rlim_cur > reserved ? (int64_t)(limit.rlim_cur - reserved) : 1;
}

static bool apply_maxclients(const char *value, char *why) {
    int64_t wanted = strtoll(value, NULL, 10);
    int64_t possible = descriptors_provide(wanted);
    if (possible >= wanted) return true;
    return refuse(why,
                  "The operating system is not able to handle the specified number of clients, try with %lld",
                  (long long)possible);
}

static bool start_maxclients(const char *value, char *why) {
    (void)why;
    int64_t wanted = strtoll(value, NULL, 10);
    int64_t possible = descriptors_provide(wanted);
    if (possible >= wanted) return true;
    atomic_store_explicit(&config.maxclients, possible, memory_order_relaxed);
    log_write(LOG_WARNING,
              "maxclients is lowered from %lld to %lld, since this process may not open more files. "
              "Raise the limit (ulimit -n, or LimitNOFILE in a systemd unit) or set maxclients to what "
              "is needed.",
              (long long)wanted, (long long)possible);
    return true;
}

static const char *const supervised_names[] = {"upstart", "systemd", "auto", "no", NULL};
static const char *const loglevel_names[] = {"debug", "verbose", "notice", "warning", "nothing", NULL};
static const char *const permission_names[] = {"no", "yes", "local", NULL};
static const char *const tls_auth_names[] = {"no", "yes", "optional", NULL};
static const char *const acl_pubsub_names[] = {"allchannels", "resetchannels", NULL};
static const char *const backend_names[] = {"auto", "io_uring", "epoll", NULL};
static const char *const policy_names[] = {
    "volatile-lru", "volatile-lfu",   "volatile-random", "volatile-ttl", "allkeys-lru",
    "allkeys-lfu",  "allkeys-random", "allkeys-s3fifo",  "noeviction",   NULL,
};

#define IMMUTABLE .flags = OPTION_IMMUTABLE
#define INTEGER(text, field, initial_text, low, high, ...)                                                   \
    {.name = text,                                                                                           \
     .kind = OPTION_INTEGER,                                                                                 \
     .initial = initial_text,                                                                                \
     .least = low,                                                                                           \
     .most = high,                                                                                           \
     .number = &config.field,                                                                                \
     __VA_ARGS__},
#define OCTAL(text, field, initial_text, high, ...)                                                          \
    {.name = text,                                                                                           \
     .kind = OPTION_OCTAL,                                                                                   \
     .initial = initial_text,                                                                                \
     .most = high,                                                                                           \
     .number = &config.field,                                                                                \
     __VA_ARGS__},
#define MEMORY(text, field, initial_text, low, high, ...)                                                    \
    {.name = text,                                                                                           \
     .kind = OPTION_MEMORY,                                                                                  \
     .initial = initial_text,                                                                                \
     .least = low,                                                                                           \
     .most = high,                                                                                           \
     .number = &config.field,                                                                                \
     __VA_ARGS__},
#define BOOLEAN(text, field, initial_text, ...)                                                              \
    {.name = text, .kind = OPTION_BOOLEAN, .initial = initial_text, .boolean = &config.field, __VA_ARGS__},
#define CHOICE(text, field, initial_text, names, ...)                                                        \
    {.name = text,                                                                                           \
     .kind = OPTION_CHOICE,                                                                                  \
     .initial = initial_text,                                                                                \
     .choice = &config.field,                                                                                \
     .choices = names,                                                                                       \
     __VA_ARGS__},
#define TEXT(text, initial_text, ...)                                                                        \
    {.name = text, .kind = OPTION_TEXT, .initial = initial_text, __VA_ARGS__},
#define BYTES(text, initial_text, ...)                                                                       \
    {.name = text, .kind = OPTION_BYTES, .initial = initial_text, .flags = OPTION_SECRET, __VA_ARGS__},
#define LIST(text, initial_text, function, ...)                                                              \
    {.name = text, .kind = OPTION_LIST, .initial = initial_text, .compose = function, __VA_ARGS__},
/* For shard/value, which has fields of its own. */
#define VALUE_NUMBER(text, field, initial_text, low, high, ...)                                              \
    {.name = text,                                                                                           \
     .kind = OPTION_INTEGER,                                                                                 \
     .initial = initial_text,                                                                                \
     .least = low,                                                                                           \
     .most = high,                                                                                           \
     .number = &value_limits.field,                                                                          \
     __VA_ARGS__},
#define VALUE_LIMIT(text, field, initial_text, ...)                                                          \
    VALUE_NUMBER(text, field, initial_text, 0, INT64_MAX, .ceiling = UINT32_MAX, __VA_ARGS__)
#define VALUE_BYTES(text, field, initial_text, ...)                                                          \
    {.name = text,                                                                                           \
     .kind = OPTION_MEMORY,                                                                                  \
     .initial = initial_text,                                                                                \
     .most = INT64_MAX,                                                                                      \
     .ceiling = UINT32_MAX,                                                                                  \
     .number = &value_limits.field,                                                                          \
     __VA_ARGS__},

static const struct option options[] = {
#include "rows.h"
};
#define COUNT ((int)(sizeof options / sizeof *options))
_Static_assert(COUNT <= MOST_OPTIONS / 2, "half of the options that there can be");

int option_count(void) {
    return COUNT + idle_option_count;
}

const struct option *option_at(int index) {
    assert(index >= 0 && index < option_count());
    return index < COUNT ? &options[index] : &idle_options[index - COUNT];
}

int option_find(const char *name, size_t length) {
    struct bulk word = {(char *)name, length, NULL};
    for (int i = 0; i < option_count(); i++) {
        if (word_is(&word, option_at(i)->name)) return i;
        if (option_at(i)->alias != NULL && word_is(&word, option_at(i)->alias)) return i;
    }
    return -1;
}
