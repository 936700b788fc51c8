/* A command: a row of a table and a function that sees no connection and takes no lock.
 *
 * The row says where the keys are and what the command does with them. Dispatch (dispatch.h) finds the row,
 * takes the shards that the keys live in, and calls the one function that the row fills, with a scope as the
 * proof. */
#ifndef SERVER_COMMAND_COMMAND_H
#define SERVER_COMMAND_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reply.h"
#include "resp/request.h"
#include "shard/base/key.h"
#include "shard/scope/scope.h"
#include "server/task/session.h"
#include "outcome.h"

struct block;
struct execution;
struct found_script;
struct scripting;
struct further;
struct worker;
struct task;
struct inquiry;
struct walk;

/* One execution. Everything is borrowed and valid until the function returns. */
struct call {
    const struct command *command; /* the row; a subcommand's own row for CONFIG GET and its like */
    /* [0] is the command's name as the client wrote it, [1] the subcommand's if it has one */
    const struct bulk *arguments;
    uint32_t count;         /* of arguments */
    const struct key *keys; /* in the order of the row's key specs, hashed, database filled in */
    uint32_t key_count;
    uint32_t database;
    int protocol;
    int64_t now; /* unix time in milliseconds, the same as the scope's */
    /* In a transaction or a script, where time stands still: unix time in microseconds, as it was first asked
     * for; 0 until then. NULL otherwise. */
    int64_t *moment;
    const struct session *session;
    struct keyspace *keyspace;
    /* of a row with COMMAND_FINDS; NULL: all shards are held, or nothing further may be asked for */
    struct further *further;
    /* where a command says that it would wait; NULL: it may not, and answers as if its time were up */
    struct block *block;
    /* which of the command's keys keys[0] is: not 0 only where a waiting command is run again for one of its
     * keys */
    uint32_t key_index;
};

/* What a command may ask for that finds keys by looking (SORT's patterns), or that has work left when it
 * needs no shard any more. */
struct further {
    /* What the command has prepared, to be found here when it is run again; NULL: nothing. It is forgotten if
     * there won't be another run, and counted to the client meanwhile. */
    void *kept;
    size_t kept_bytes;
    void (*forget)(void *kept);
    /* Shards of keys that it found are added to these. If wants_shards is set then, whatever it has replied
     * is forgotten, and it is run again with them: it must not have changed anything. */
    struct shard_set *shards;
    bool wants_shards;
    /* The rest of its work, when the scope has ended; NULL: there is none. It frees the context. */
    void (*finish)(void *context, const struct call *call, struct reply *reply);
    void *context;
};

#define WAITING_TEXT 48
/* How a command waits that isn't content with any value of its type (XREAD). Each function may be NULL.
 * `call` is that of a run to come, for one key. */
struct waiting {
    /* Whether the command would have an answer if that were the key's entry (NULL: there is none). */
    bool (*is_ready)(const struct call *call, const struct entry *entry);
    /* What it answers when its key expires or is evicted; NULL: it goes on waiting. */
    void (*reply_gone)(const struct call *call, struct reply *reply);
    /* Arguments that mean something else later ("$") are kept in other words: writes them, and returns their
     * length, or 0 if the index-th is kept as it is. `call` is the first one. */
    size_t (*keep_argument)(const struct write_scope *scope, const struct call *call, uint32_t index,
                            char text[WAITING_TEXT]);
    /* The index of the argument on which alone, beside the key, it depends whether there is an answer.
     * Waiters with the same argument there stand in one line: if the first of them has no answer, those
     * behind it have none either. NULL: each waiter stands for itself. */
    uint32_t (*subject)(const struct call *call);
};

/* A command that waits for one of its keys to be filled (BLPOP): instead of a reply it leaves this. */
struct block {
    bool wants;
    enum type type;                /* of the value that it waits for */
    int64_t timeout;               /* milliseconds; 0: for ever */
    uint32_t key_count;            /* the first so many of its keys are waited for; 0: all */
    const struct waiting *waiting; /* NULL: for any value of the type */
};

/* The functions a row may have; each row fills exactly one, but for `read` and `write` of a command that
 * writes only if it has a second key (SORT with STORE). */
typedef void read_function(const struct read_scope *scope, const struct call *call, struct reply *reply);
typedef void write_function(struct write_scope *scope, const struct call *call, struct reply *reply);
/* Registers what its session wants to know of the keys, with their shards held as for a write (WATCH). */
typedef void watch_function(struct write_scope *scope, struct session *session, const struct call *call,
                            struct reply *reply);
/* Takes what it needs, and runs others' functions with it (EXEC). */
typedef enum outcome run_function(struct execution *execution);
/* Finds the script that a call means, or replies why it can't be run (EVAL, FCALL). */
typedef bool script_function(struct scripting *scripting, const struct call *call, struct found_script *found,
                             struct reply *reply);
/* How many of an operand's elements (of a string's bytes) a call goes over, if there are so many; 0 if there
 * is none. WORK_UNKNOWN: it hasn't been looked at, and the answer is the most that it can be. */
typedef uint64_t work_function(const struct call *call, uint64_t size);
#define WORK_UNKNOWN UINT64_MAX
/* Likewise, where it takes a look at the operand to tell. */
typedef uint64_t work_in_function(const struct call *call, const struct entry *entry);
/* Bytes that a write is going to need beside those of its arguments, as its operands are now. Where there is
 * a limit, room is made for them before the function is called; what is not known before (how many are in an
 * intersection) counts as the most that it can be. Changes nothing. */
typedef size_t room_function(const struct write_scope *scope, const struct call *call);
/* Needs no shard: PING, TIME, COMMAND, CONFIG GET. */
typedef void plain_function(const struct call *call, struct reply *reply);
/* Changes the session it came from: SELECT, HELLO, CLIENT SETNAME. */
typedef void session_function(struct session *session, const struct call *call, struct reply *reply);
/* Goes over the keyspace shard by shard, one shared at a time (SCAN, KEYS, RANDOMKEY). The first call has no
 * scope (NULL): it checks the arguments and sets walk->shard to the first shard wanted. Each further call
 * holds exactly walk->shard; it works on it and sets walk->shard to the next one wanted, or walk->is_done
 * after having written the reply. Between two calls anything may happen to the keyspace, and other requests
 * may run; what must survive is kept in walk. call->arguments may have moved, their content not. */
typedef void walk_function(const struct read_scope *scope, const struct call *call, struct walk *walk,
                           struct reply *reply);
/* About this process or about connections: runs on the worker with the task at hand. */
typedef void worker_function(struct worker *worker, struct task *task, const struct call *call,
                             struct reply *reply);
/* Asks every worker about its connections: `check` (if there is one) looks at the arguments first, and
 * replies and returns false if they are wrong; `visit` runs on each worker and writes to its own partial
 * answer; `conclude` runs where the command came from, when all have answered. */
typedef bool check_function(const struct call *call, struct reply *reply);
/* Before that: true if the asking worker alone could answer, and has. */
typedef bool answer_function(struct worker *worker, struct task *task, const struct call *call,
                             struct reply *reply);
typedef void visit_function(struct worker *worker, struct inquiry *inquiry);
typedef void conclude_function(struct inquiry *inquiry, const struct call *call, struct reply *reply);

struct walk {
    uint32_t shard; /* the shard at hand; the next one when the function returns */
    bool is_done;
    bool is_long;       /* set by the first call: each further one may take long */
    uint64_t number[4]; /* the command's own, zero at first */
    /* the command's own, empty at first (with the call's protocol): elements gathered so far */
    struct reply items;
};

enum command_flag {
    COMMAND_WRITE = 1 << 0,
    COMMAND_READONLY = 1 << 1,
    COMMAND_DENYOOM = 1 << 2,
    COMMAND_ADMIN = 1 << 3,
    COMMAND_NOSCRIPT = 1 << 4,
    COMMAND_BLOCKING = 1 << 5,
    COMMAND_LOADING = 1 << 6,
    COMMAND_STALE = 1 << 7,
    COMMAND_SKIP_MONITOR = 1 << 8,
    COMMAND_SKIP_SLOWLOG = 1 << 9,
    COMMAND_FAST = 1 << 10,
    COMMAND_NO_AUTH = 1 << 11,
    COMMAND_MAY_REPLICATE = 1 << 12,
    COMMAND_NO_MULTI = 1 << 13,
    COMMAND_ALLOW_BUSY = 1 << 14,
    COMMAND_NO_ASYNC_LOADING = 1 << 15,
    COMMAND_MOVABLE_KEYS = 1 << 16,
    COMMAND_PUBSUB = 1 << 17,
    COMMAND_SENTINEL = 1 << 18,
    COMMAND_PROTECTED = 1 << 19,
    /* Ours, not shown to clients: the write function wants every shard (FLUSHALL, SWAPDB). */
    COMMAND_ALL_SHARDS = 1 << 24,
    /* Ours, with it: but those that have no table of the session's database will do without (FLUSHDB). */
    COMMAND_ONE_DATABASE = 1 << 23,
    /* Ours: may leave a request without an answer, as Redis does (MONITOR of a client that is a monitor). */
    COMMAND_MAY_BE_SILENT = 1 << 22,
    /* Ours: clients are told of one command without subcommands, although dispatch knows them as rows
     * (DEBUG). */
    COMMAND_HIDES_SUBCOMMANDS = 1 << 25,
    /* Ours: may take long with large values. */
    COMMAND_LONG = 1 << 28,
    /* Ours: likewise, but only if its arguments say so, however large the values are: `work` is asked. */
    COMMAND_LONG_BY_ARGUMENTS = 1 << 20,
    /* Ours: the read function may run without a lock, in an optimistic scope, as it is content with a copy of
     * the entry and of a string's bytes. A value with a structure, an entry's address or its size can be had
     * under the lock only. */
    COMMAND_OPTIMISTIC = 1 << 27,
    /* Ours: no shard is looked into, but what tables publish is summed up: their memory must stay for so
     * long. */
    COMMAND_SUMS = 1 << 29,
    /* Ours: the function uses call->further. */
    COMMAND_FINDS = 1 << 30,
    /* COMMAND DOCS calls it a "syscmd". */
    COMMAND_SYSTEM = 1 << 26,
    /* Ours: `visit` runs on the threads of long work as well: it is about what runs there, not about
     * clients. */
    COMMAND_EVERY_THREAD = 1 << 21,
};

/* Where keys are, in the terms of Redis's key specifications. They begin at index `first`; or, if there is a
 * keyword, behind the first argument that is it, searched from `first` on (or from that far before the end
 * backwards, if negative), and there are none if it isn't there. Then either the last key is at `last`
 * (relative to the first if >= 0, counted from the end of the arguments if negative; with a limit, from the
 * end of the first limit-th of the arguments that are left), and every `step`th argument is one; or the first
 * argument is their number, and the keys follow it. The last spec of a row is followed by one of zeros. */
struct key_spec {
    uint32_t flags; /* enum key_flag */
    int first;
    int last;
    int step;
    const char *keyword; /* in upper case */
    int limit;
    bool is_keynum;
    bool is_unknown;   /* only find_keys knows */
    const char *notes; /* for clients: why it is as it is, where that surprises; or NULL */
};
/* Another way to find them, for what specs can't say: as command_find_keys. */
typedef int find_keys_function(const struct bulk *arguments, uint32_t count, uint32_t *positions,
                               uint32_t *flags, uint32_t capacity);
enum key_flag {
    KEY_RO = 1 << 0,
    KEY_RW = 1 << 1,
    KEY_OW = 1 << 2,
    KEY_RM = 1 << 3,
    KEY_ACCESS = 1 << 4,
    KEY_UPDATE = 1 << 5,
    KEY_INSERT = 1 << 6,
    KEY_DELETE = 1 << 7,
    KEY_NOT_KEY = 1 << 8,
    KEY_INCOMPLETE = 1 << 9,
    KEY_VARIABLE_FLAGS = 1 << 10,
};

/* Which arguments behind the name are channels that a user needs permission for. */
enum command_channels {
    CHANNELS_NONE,
    CHANNELS_FIRST,
    CHANNELS_ALL,
    CHANNELS_PATTERNS, /* all, which are patterns of channels */
};

/* Rows stand below their functions, in server/commands/. Only `name`, `arity` and one function are needed to
 * run; the rest is what COMMAND tells. A command with subcommands (CONFIG) has a row of its own, with a
 * function only if it may stand alone (COMMAND); each subcommand is a row named "config|get", in whatever
 * file. */
struct command {
    const char *name; /* lower case; a subcommand's is "config|get" */
    int arity;        /* as Redis: name and subcommand included, negative: at least */
    uint32_t flags;
    /* Three that are assigned at start stand here, among what each request looks at: */
    uint32_t id;       /* index of its statistics */
    uint32_t only_key; /* index of the argument that is its one key; 0: it has none or several */
    bool has_scope;    /* its function is called in a scope, with the shards of its keys or with all */
    read_function *read;
    write_function *write;
    /* With `write` alone, of one that changes nothing but may wait (XREAD): what it is where nobody waits and
     * the scope is shared, in a script that only reads. */
    read_function *view;
    room_function *room; /* NULL: what it needs is what its arguments take */
    watch_function *watch;
    run_function *run;
    script_function *script; /* with `run` */
    bool is_function;        /* of a library (FCALL) */
    /* In a transaction it runs in its place, though it is about the process: those behind it see what it did
     * (SCRIPT LOAD). Scripts among them don't begin again. */
    bool keeps_its_place;
    /* It compiles, or even runs, code that its client sends, and so may take long. It isn't about its
     * worker. */
    enum loads { LOADS_NOTHING, LOADS_TEXT, LOADS_AND_RUNS } loads;
    work_function *work;       /* of what may take long. NULL: it goes over all of its operands */
    work_in_function *work_in; /* instead */
    plain_function *plain;
    session_function *session;
    walk_function *walk;
    bool removes_dead; /* a walk that takes keys which have expired away, where that is told */
    worker_function *worker;
    bool is_question; /* `visit` only looks: in a transaction it goes before the others, else behind them */
    bool is_for_subscribers; /* with RESP2, too, where they may do little else */
    bool publishes;          /* others may be told something by it, if it is no script */
    bool answers_each; /* of its arguments has an answer of its own (SUBSCRIBE): those it tells of come even
                        * to a client that wants no replies */
    bool concerns_hearing; /* of its client, and so runs in its place in a transaction */
    bool changes_user;     /* that its client is (AUTH) */
    bool runs_at_once;     /* not queued by a transaction that is open (EXEC, QUIT) */
    bool tells_later;      /* with COMMAND_EVERY_THREAD: those threads' answers aren't waited for */
    check_function *check;
    answer_function *answer; /* or NULL */
    /* What it changes holds before all workers have been asked, and is only waited for: nobody is told that
     * this takes too long, as that sounds as if nothing had been done. */
    bool holds_at_once;
    visit_function *visit;
    conclude_function *conclude;
    struct key_spec keys[4];
    find_keys_function *find_keys; /* goes before the specs, which clients are told */
    enum command_channels channels;
    /* ACL categories beyond those that flags imply, blank-separated: "keyspace dangerous" */
    const char *categories;
    const char *since;
    const char *group; /* "string", "generic", ... */
    const char *complexity;
    const char *summary;
    const char *syntax;     /* what follows the name, in the language of server/command/syntax.h */
    const char *tips;       /* comma-separated, or NULL */
    const char *history;    /* "6.0.0:text;7.0.0:text", or NULL */
    const char *deprecated; /* "6.2.0:what to use instead", or NULL */

    /* What follows is assigned at start. */
    const char *full_name; /* as clients are told: the name, or the command's that hides it */
    const struct command *parent;
    struct command *subcommands;
    uint32_t subcommand_count;
    bool is_removed; /* by rename-command: nobody finds it, nobody is told of it */
};

/* Among others, or in a script, it wants every shard. Of those that sum up, those that read keys do; the
 * others tell of the process. */
static inline bool command_wants_all(const struct command *command) {
    bool counts_keys = (command->flags & COMMAND_SUMS) != 0 && (command->flags & COMMAND_READONLY) != 0;
    return command->walk != NULL || counts_keys ||
           (command->flags & (COMMAND_ALL_SHARDS | COMMAND_FINDS)) != 0;
}

/* Errors that many commands give, word for word Redis's. */
#define ERROR_SYNTAX "ERR syntax error"
#define ERROR_WRONG_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define ERROR_NOT_INTEGER "ERR value is not an integer or out of range"
#define ERROR_NOT_FLOAT "ERR value is not a valid float"
#define ERROR_NO_KEY "ERR no such key"
#define ERROR_OUT_OF_MEMORY "OOM command not allowed when used memory > 'maxmemory'."
#define ERROR_NO_MEMORY "OOM out of memory"
#define ERROR_STRING_TOO_LONG "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
#define ERROR_NOT_POSITIVE "ERR value is out of range, must be positive"
#define ERROR_INDEX_RANGE "ERR index out of range"

/* Case-blind comparison of an argument with a word in upper or lower case. */
bool argument_is(const struct bulk *argument, const char *word);
/* Byte by byte, as a user's name or an address is compared. */
bool argument_equals(const struct bulk *argument, const char *text);
/* What is left from that index on is "[ASYNC | SYNC]": how FLUSHALL and its like are told to free. */
bool arguments_tell_flush(const struct call *call, uint32_t from);
/* Parses, or replies `error` (ERROR_NOT_INTEGER if NULL) and returns false. */
bool argument_integer(const struct bulk *argument, int64_t *value, struct reply *reply, const char *error);
/* An integer within [least, most], or the reply Redis gives ("ERR value is out of range, value must between
 * ..." or `error`). */
bool argument_integer_within(const struct bulk *argument, int64_t least, int64_t most, int64_t *value,
                             struct reply *reply, const char *error);
/* Milliseconds from `now` on, or the reply that Redis gives. What is read is no less than 0 and ends before
 * time does. */
bool argument_timeout(const struct bulk *argument, int64_t now, int64_t *timeout, struct reply *reply);
/* Replies lines of text: a HELP. */
void reply_lines(struct reply *reply, const char *const *lines, size_t count);
/* Redis's error for a subcommand that is unknown or has a wrong number of arguments, where a row alone can't
 * tell. */
void reply_subcommand_error(const struct call *call, struct reply *reply);
/* Replies the text and frees it; or an error, if there was no memory for all of it. */
void reply_collected(struct reply *reply, struct reply *text);
/* Replies WRONGTYPE and returns false if entry is not NULL and not a string. */
bool check_string(const struct entry *entry, struct reply *reply);
/* Replies WRONGTYPE and returns false if entry is not NULL and of another type. */
bool check_type(const struct entry *entry, enum type type, struct reply *reply);

#endif
