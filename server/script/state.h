/* A Lua state for one worker, and the runs of scripts in it.
 *
 * A state belongs to one thread and holds no lock: what it needs of the server it asks its host for, a
 * table of functions that the caller gives with each run. A run never waits. It lets the host turn every
 * so many steps, also inside of what Lua does in C (patterns, sorting, large allocations), and there the
 * host may serve others, but must not enter this state again. When the host says that the run ends,
 * nothing of the script goes on: no pcall, coroutine or error handler can hold it up.
 *
 * The same run twice, with the same host's answers, is the same: a run's random numbers are put back by
 * script_rewind. What it can't put back are the local variables of a library.
 *
 * Memory is bounded, all blocks together and each one, and counted; a script that wants more has an error. */
#ifndef SERVER_SCRIPT_STATE_H
#define SERVER_SCRIPT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reply.h"
#include "resp/request.h"

struct script_state;

/* Whether a run goes on. */
enum script_verdict { SCRIPT_GOES_ON, SCRIPT_ENDS };

/* redis.set_repl's flags. */
#define SCRIPT_REPL_AOF 1
#define SCRIPT_REPL_REPLICA 2

/* What a script needs of the server. All are called on the state's thread, with the context of the run. */
struct script_host {
    /* redis.call and pcall: writes one reply, in reply->protocol, or says that the run ends; then the
     * reply is not looked at. The arguments' bytes are the script's own strings, valid until the function
     * returns, not to be written to; count is at least 1. */
    enum script_verdict (*call)(void *context, const struct bulk *arguments, uint32_t count,
                                struct reply *reply);
    /* Called every few microseconds of a run. */
    enum script_verdict (*turn)(void *context);
    /* Called before what takes about a millisecond or more, during which there is no turn. NULL: it may. */
    enum script_verdict (*before_long)(void *context);
    /* redis.acl_check_cmd: 1 or 0, or -1 if there is no such command. */
    int (*may_run)(void *context, const struct bulk *arguments, uint32_t count);
    /* redis.log; level is a log_level of server/base/log.h. */
    void (*log)(void *context, int level, const char *text, size_t length);
    void (*set_replication)(void *context, int flags); /* NULL: it is nobody's concern */
};

/* One run of a script or function. */
struct script_run {
    const struct script_host *host;
    void *context;
    const char *name; /* for error messages: the script's SHA1, or the function's name */
    const struct bulk *keys, *arguments;
    uint32_t key_count, argument_count;
    bool is_function; /* a library's: it is given keys and arguments, which are a script's globals */
};

enum script_outcome {
    SCRIPT_DONE,  /* the reply is written, be it an error of the script's */
    SCRIPT_ENDED, /* the host ended it; nothing is written */
};
/* In which line of its text the last run was ended. */
int script_ended_line(const struct script_state *state);

/* most  bytes that all of its blocks together may take
 * seed  of its random numbers; two states with the same seed draw the same
 *
 * NULL when out of memory. */
struct script_state *script_state_create(size_t most, uint64_t seed);
void script_state_free(struct script_state *state);

/* The limit holds from the next allocation on; less than what is in use lets no script allocate. */
void script_state_limit(struct script_state *state, size_t most);
/* Bytes in use. Any thread. */
size_t script_state_bytes(const struct script_state *state);
/* Takes a bounded step of collecting what scripts left behind. To be called when no shard is held, after a
 * run or when idle. True if there is more to do. */
bool script_state_tidy(struct script_state *state);
/* Much of what it holds has been forgotten (script_forget): the next tidying begins whatever was
 * allocated. */
void script_state_litter(struct script_state *state);

/* Compiles a script's text (without its shebang, but with that line's end, so that lines count alike) to a
 * number, which is what it is run by. 0: there is an error, in `error`, as Redis words it after "ERR Error
 * compiling script (new function): ". */
int script_compile(struct script_state *state, const char *text, size_t length, char *error,
                   size_t error_size);
void script_forget(struct script_state *state, int function);

/* Runs what script_compile or a library gave. The reply is one whole value in reply->protocol. */
enum script_outcome script_run(struct script_state *state, int function, const struct script_run *run,
                               struct reply *reply);

/* The next run begins with the random numbers that the last one began with. */
void script_rewind(struct script_state *state);

/* What a library registers. Texts are valid during the call. */
struct script_function {
    const char *name, *description; /* description may be NULL */
    size_t name_length, description_length;
    uint32_t flags; /* shebang.h */
    int function;
};

/* Runs a library's text (as script_compile's), which registers its functions: `registered` is called for
 * each, and returns NULL or why it is refused. run->host gives turns and log; a library can't call
 * commands. False: there is an error, in `error`, as Redis words it after "ERR "; what had been registered
 * is to be forgotten by the caller (script_forget), as it is when the library goes. */
bool script_load_library(struct script_state *state, const char *text, size_t length,
                         const struct script_run *run,
                         const char *(*registered)(void *context, const struct script_function *function),
                         char *error, size_t error_size);

#endif
