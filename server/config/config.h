/* Configuration: one table of options, filled from the file, the command line and CONFIG SET, read by
 * everybody. rows.h is the table, and the place to add an option.
 *
 * Values live in `config`. A number or boolean is a relaxed atomic that any worker may read at any time.
 * Texts change under a mutex: config_text copies. An option with an `apply` is only taken over if that
 * succeeds. */
#ifndef SERVER_CONFIG_CONFIG_H
#define SERVER_CONFIG_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reply.h"
#include "resp/request.h"
#include "server/base/version.h"

/* In the order of their names in options.c. */
enum debug_command_mode { DEBUG_COMMAND_NO, DEBUG_COMMAND_YES, DEBUG_COMMAND_LOCAL };
enum tls_auth_mode { TLS_AUTH_NO, TLS_AUTH_YES, TLS_AUTH_OPTIONAL };
enum supervised_mode { SUPERVISED_UPSTART, SUPERVISED_SYSTEMD, SUPERVISED_AUTO, SUPERVISED_NO };
enum acl_pubsub_mode { ACL_PUBSUB_ALL, ACL_PUBSUB_NONE };
enum maxmemory_policy {
    POLICY_VOLATILE_LRU,
    POLICY_VOLATILE_LFU,
    POLICY_VOLATILE_RANDOM,
    POLICY_VOLATILE_TTL,
    POLICY_ALLKEYS_LRU,
    POLICY_ALLKEYS_LFU,
    POLICY_ALLKEYS_RANDOM,
    POLICY_ALLKEYS_S3FIFO,
    POLICY_NOEVICTION,
};

/* notify-keyspace-events, a bit for each letter; the order is that of the letters in options.c. */
enum event_class {
    EVENTS_GENERIC = 1 << 0,
    EVENTS_STRING = 1 << 1,
    EVENTS_LIST = 1 << 2,
    EVENTS_SET = 1 << 3,
    EVENTS_HASH = 1 << 4,
    EVENTS_ZSET = 1 << 5,
    EVENTS_EXPIRED = 1 << 6,
    EVENTS_EVICTED = 1 << 7,
    EVENTS_STREAM = 1 << 8,
    EVENTS_MODULE = 1 << 9,
    EVENTS_NEW = 1 << 10,
    EVENTS_BY_KEY = 1 << 11,
    EVENTS_BY_EVENT = 1 << 12,
    EVENTS_MISS = 1 << 13,
};

enum output_class { OUTPUT_NORMAL, OUTPUT_REPLICA, OUTPUT_PUBSUB, OUTPUT_CLASSES };

/* Present values: a field for each number, boolean and choice of rows.h, named as in the file with '_' for
 * '-'. What is text or list there, config_text gives. */
#define FIELD_OF_NUMBER(name, field, ...) _Atomic int64_t field;
#define INTEGER FIELD_OF_NUMBER
#define OCTAL FIELD_OF_NUMBER
#define MEMORY FIELD_OF_NUMBER
#define BOOLEAN(name, field, ...) _Atomic bool field;
#define CHOICE(name, field, ...) _Atomic int field; /* an enum, whose order is that of the choices' names */
#define TEXT(...)
#define BYTES(...)
#define LIST(...)
#define VALUE_LIMIT(...)
#define VALUE_BYTES(...)
#define VALUE_NUMBER(...)
struct config {
#include "rows.h"
    /* client-output-buffer-limit, by class. */
    struct output_limit {
        _Atomic int64_t hard, soft, soft_seconds;
    } output_limits[OUTPUT_CLASSES];
    /* notify-keyspace-events: enum event_class, or 0 if nothing is told. */
    _Atomic uint32_t events;
};
#undef FIELD_OF_NUMBER
extern struct config config;

/* Sets defaults, then reads the command line: an optional file first, then --name value pairs, in Redis's way
 * (`latchkey latchkey.conf --port 7000`); "-" reads the file from standard input; --help and --version print
 * and exit. Changes to `dir`, opens the log, raises the limit of open files (and lowers maxclients, with a
 * log line, where that fails). On a mistake prints file, line, the option and what would be right, and
 * returns false. Before any other thread. */
bool config_load(int argc, char **argv);

/* What `daemonize yes` asks for: goes on in a child of its own session without terminal; the parent exits.
 * Nothing if it is off. After config_load and before any thread. false with errno. */
bool config_daemonize(void);
/* Writes the process's number to `pidfile` if there is one, and takes the file away again. false with
 * errno. */
bool config_pidfile_write(void);
void config_pidfile_remove(void);

/* Copies any option's value as CONFIG GET shows it ("" if unset) and returns its length; cut to size - 1. */
size_t config_text(const char *name, char *out, size_t size);
/* The same from within an `apply` of config_on_set, which has the lock of all texts. */
size_t config_text_in_apply(const char *name, char *out, size_t size);
/* What requirepass is now, as a SHA-256 digest. false: there is none. */
bool password_digest(unsigned char digest[32]);
/* What the default user is like, by whoever keeps users; as long as nobody has said, requirepass tells.
 * is_open: a new client is the default user, and may do what that one may, without saying so. */
void access_publish(bool has_password, bool is_open);
bool config_has_password(void);
bool config_is_open(void);
/* Whether the option of that name holds something that logs must not show. */
bool config_is_secret(const struct bulk *name);

/* CONFIG GET pattern ...: a map of every option that matches any, in Redis's form. */
void config_get(const struct bulk *patterns, uint32_t count, struct reply *reply);
/* CONFIG SET name value ...: all or none, with Redis's errors. `count` counts names and values. Who is_local
 * may also set what `enable-protected-configs local` protects. */
void config_set(const struct bulk *pairs, uint32_t count, bool is_local, struct reply *reply);
/* CONFIG REWRITE: keeps the file's comments and order. Replies OK or Redis's error. */
void config_rewrite(struct reply *reply);
/* The file's absolute path, or "". */
const char *config_file(void);

/* Calls `rename` for each rename-command of the start, in order; "" as the new name takes the command away.
 * false as soon as one returns false. */
bool config_each_rename(bool (*rename)(const char *from, const char *to));

/* Calls `visit` with the words behind "user" of each such line of the start, in order, of which there is at
 * least one: a name, which ends with a zero byte. false as soon as one returns false. */
bool config_each_user(bool (*visit)(const struct bulk *words, uint32_t count));
uint32_t config_user_count(void);
/* CONFIG REWRITE has these lines about users, each "user name words..." with its end, in place of those that
 * are in the file; if `describe` gives NULL, it leaves those alone. What it gives is freed; false: out of
 * memory. Before other threads. */
void config_on_rewrite_users(bool (*describe)(char **lines));

/* From now on CONFIG SET takes the option over only if `apply` does, which is called with the new value when
 * all options of the request have theirs, and again with the old one if another of them then refuses. It
 * holds the lock of all texts, so it calls config_text_in_apply, and neither config_text nor
 * config_on_change. Of several for one option each has to take it over, in the order in which they came; none
 * of them is called again if one behind it refuses. Before other threads. */
void config_on_set(const char *name, bool (*apply)(const char *value), const char *refusal);

/* `apply` is called after the option took a new value at run time, on the thread that set it and outside
 * every lock (it threads the change to workers by message). Registered before other threads start. */
void config_on_change(const char *name, void (*apply)(void));

#endif
