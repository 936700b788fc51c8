#include "script.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/keyspace.h"
#include "shard/scope/undo.h"
#include "server/base/clock.h"
#include "server/broadcast/outbox.h"
#include "server/command/command_table.h"
#include "server/script/libraries.h"
#include "server/script/shebang.h"
#include "server/script/state.h"
#include "server/script/texts.h"
#include "execute.h"
#include "keys.h"
#include "leave.h"
#include "memory.h"
#include "pause.h"
#include "permit.h"
#include "script_notes.h"
#include "slow_script.h"
#include "take.h"
#include "under_way.h"

/* What all scripts of a worker may take together. */
#define MEMORY_MOST ((size_t)256 << 20)
/* A script that takes longer is taken back, and begins again on a thread of long work. */
#define SHORT_NS 1000000
/* How long whoever has the stray token waits for a shard before it begins again; and if it should not. */
#define WAIT_NS 200000
#define WAIT_LONG_NS 5000000

/* Of the words for what a script may not do; a user's name may be longer. */
#define WHY_SIZE 1024

/* A transaction of more scripts leaves no room for them behind. */
#define ROW_KEPT 64

/* Why a run has to begin again. */
enum restart {
    RESTART_NOT,
    RESTART_WITH_SHARD,
    RESTART_WITH_ALL,
    RESTART_ELSEWHERE,
    /* Or why it can't: */
    RESTART_WITHOUT_MEMORY,
    RESTART_IN_THE_WAY,
};

/* What is replied instead, or NULL. */
static const char *refusal_of(enum restart restart) {
    if (restart == RESTART_WITHOUT_MEMORY) return ERROR_NO_MEMORY;
    if (restart != RESTART_IN_THE_WAY) return NULL;
    return "BUSY A script took longer than busy-reply-threshold where others would have had to wait for it: "
           "what it had written is taken back";
}

/* One of a transaction's, found before there are shards. */
struct found_in_row {
    struct found_script found;
    uint32_t keys; /* how many it was given */
    bool only_reads;
    struct compiled *compiled; /* held, or found.shelved is; */
    struct reply refusal;      /* or this is why there is nothing to run */
};

struct scripting {
    struct script_state *state;
    struct script_cache *cache;
    struct library_shelf *shelf;
    struct script_notes notes;
    struct slow_script slow;
    /* Of the run at hand: */
    struct execution *execution;
    struct found_script found;
    uint32_t key_count;        /* that it was given */
    struct command row;        /* what is known of this script, for this one time */
    struct write_scope *write; /* or NULL */
    const struct read_scope *read;
    struct session session; /* of what it calls: what a script selects is its own */
    bool only_reads, is_short_of_memory;
    bool may_only_read; /* what was found may write, and its command doesn't let it */
    bool calls_writes;  /* it has called a command that may write */
    bool may_leave;     /* its worker, once it turns out to be long */
    /* While one is looked for: what takes long to read is another thread's; and that is so. */
    bool may_leave_unread, leaves_unread;
    uint64_t began; /* cycles */
    bool is_ended;  /* SCRIPT KILL */
    bool has_token;
    uint64_t changes; /* of the scope, before it */
    enum restart restart;
    struct key *keys; /* of the command that it calls, and where they stand */
    uint32_t *positions;
    uint32_t key_capacity;
    /* Of the transaction at hand: */
    struct found_in_row *row_found;
    uint32_t row_count, row_capacity, row_at;
};

/* Who may wait while holding shards: one in all the server. */
static atomic_flag stray_token = ATOMIC_FLAG_INIT;
static atomic_int waiting __attribute__((unused)); /* asserts it */

/* ------------------------------------------------------------------ a worker's */

struct scripting *scripting_of(struct worker *worker) {
    struct scripting *known = atomic_load_explicit(&worker->dispatcher->scripting, memory_order_relaxed);
    if (known != NULL) return known;
    struct scripting *made = calloc(1, sizeof *made);
    if (made == NULL) return NULL;
    made->state = script_state_create(MEMORY_MOST, clock_cycles() ^ (uint64_t)worker->number << 56);
    slow_script_init(&made->slow);
    if (made->state != NULL) made->cache = script_cache_create(made->state);
    if (made->state != NULL) made->shelf = library_shelf_create(made->state);
    if (made->cache == NULL || made->shelf == NULL || !script_notes_open(&made->notes)) {
        scripting_free(made);
        return NULL;
    }
    atomic_store(&worker->dispatcher->scripting, made);
    return made;
}

void scripting_free(struct scripting *scripting) {
    if (scripting == NULL) return;
    if (scripting->cache != NULL) script_cache_free(scripting->cache);
    if (scripting->shelf != NULL) library_shelf_free(scripting->shelf);
    if (scripting->state != NULL) script_state_free(scripting->state);
    assert(scripting->row_count == 0);
    free(scripting->row_found);
    free(scripting->keys);
    free(scripting->positions);
    script_notes_free(&scripting->notes);
    slow_script_free(&scripting->slow);
    free(scripting);
}

struct script_cache *scripting_cache(const struct scripting *scripting) {
    return scripting->cache;
}

struct library_shelf *scripting_shelf(const struct scripting *scripting) {
    return scripting->shelf;
}

bool scripting_tidy(struct worker *worker) {
    struct scripting *scripting = atomic_load_explicit(&worker->dispatcher->scripting, memory_order_relaxed);
    if (scripting == NULL) return false;
    if (script_cache_tidy(scripting->cache)) script_state_litter(scripting->state);
    return script_state_tidy(scripting->state);
}

bool scripting_leaves(struct scripting *scripting) {
    if (scripting->may_leave_unread) scripting->leaves_unread = true;
    return scripting->may_leave_unread;
}

size_t scripting_bytes(const struct worker *worker) {
    const struct scripting *scripting = atomic_load(&worker->dispatcher->scripting);
    return scripting == NULL ? 0 : script_state_bytes(scripting->state);
}

static bool reserve_keys(struct scripting *scripting, uint32_t count) {
    if (count <= scripting->key_capacity) return true;
    struct key *keys = realloc(scripting->keys, count * sizeof *keys);
    if (keys != NULL) scripting->keys = keys;
    uint32_t *positions = realloc(scripting->positions, count * sizeof *positions);
    if (positions != NULL) scripting->positions = positions;
    if (keys == NULL || positions == NULL) return false;
    scripting->key_capacity = count;
    return true;
}

/* ------------------------------------------------------------------ stray keys */

static bool has_written(const struct scripting *scripting) {
    return scripting->write != NULL && scripting->write->scope.changes != scripting->changes;
}

/* What has changed, by the script or, in a transaction, before it, can't be taken back where all shards are
 * held, nor where there was no memory for what that needs. */
static bool can_begin_again(const struct scripting *scripting) {
    const struct write_scope *write = scripting->write;
    if (write == NULL || write->scope.changes == 0) return true;
    return write->scope.undo != NULL && undo_is_able(write->scope.undo);
}

static bool take_one_more(const struct scripting *scripting, uint32_t shard) {
    struct shard_set *shards = &scripting->execution->frame->shards;
    return scripting->write != NULL
               ? scope_try_grow(scripting->write, shards, shard)
               : scope_try_grow_read((struct read_scope *)(uintptr_t)scripting->read, shards, shard);
}

static bool take_token(struct scripting *scripting) {
#ifdef PLANT_TWO_TOKENS
    return scripting->has_token = true;
#endif
    if (!scripting->has_token) scripting->has_token = !atomic_flag_test_and_set(&stray_token);
    return scripting->has_token;
}

static void give_token(struct scripting *scripting) {
    if (scripting->has_token) atomic_flag_clear(&stray_token);
    scripting->has_token = false;
}

/* With the token, which nobody else has: whoever holds that shard waits for nobody. */
static bool wait_for_one_more(struct scripting *scripting, uint32_t shard) {
    bool had_token = scripting->has_token, is_taken;
    if (!take_token(scripting)) return false;
    assert(atomic_fetch_add(&waiting, 1) == 0 && "nobody else waits while holding shards");
    uint64_t began = clock_cycles(), most = had_token ? WAIT_LONG_NS : WAIT_NS;
    do is_taken = take_one_more(scripting, shard);
    while (!is_taken && clock_cycles_to_ns(clock_cycles() - began) < most);
    assert(atomic_fetch_sub(&waiting, 1) == 1);
    if (!had_token) give_token(scripting);
    return is_taken;
}

static bool refuse(struct reply *reply, const char *why) {
    reply_error(reply, why);
    return false;
}

/* The shard is the scope's, or the run ends, or it can't, and so the command fails. */
static bool stray_to(struct scripting *scripting, uint32_t shard, struct reply *reply) {
    struct worker *worker = scripting->execution->worker;
    if (scripting->found.strays != NULL)
        atomic_store_explicit(scripting->found.strays, true, memory_order_relaxed);
    bool is_granted = take_one_more(scripting, shard);
    bool is_awaited = !is_granted && (has_written(scripting) || scripting->has_token) &&
                      wait_for_one_more(scripting, shard);
    if (is_granted || is_awaited) {
        counter_add(is_granted ? &worker->strays_granted : &worker->strays_awaited, 1);
        slow_script_grows(&scripting->slow, scripting->execution->frame->lane, shard);
        return true;
    }
    if (!can_begin_again(scripting)) return refuse(reply, ERROR_NO_MEMORY);
    if (has_written(scripting))
        counter_add(&worker->strays_undone, 1);
    else
        counter_add(&worker->strays_begun_again, 1);
    struct under_way *under_way = under_way_of(scripting->execution->task);
    bool is_known = under_way != NULL && shard_set_add(&under_way->found, shard);
    if (is_known) under_way->has_strayed = true;
    scripting->restart = is_known ? RESTART_WITH_SHARD : RESTART_WITHOUT_MEMORY;
    return false;
}

/* With all shards nothing is taken back: one that writes, and then turns out to be long, could not leave its
 * worker any more; and to go over all keys takes long by itself. */
static bool want_all(struct scripting *scripting, struct reply *reply) {
    bool is_aside = scripting->execution->worker->is_aside;
    if (!can_begin_again(scripting)) return refuse(reply, ERROR_NO_MEMORY);
    if (scripting->may_leave) {
        scripting->restart = RESTART_ELSEWHERE;
        return false;
    }
    const char *busy = slow_scripts_busy_any(); /* asked once: they may end meanwhile */
    if (!is_aside && busy != NULL && slow_scripts_crowd(workers_aside_count())) return refuse(reply, busy);
    struct under_way *under_way = under_way_of(scripting->execution->task);
    if (under_way != NULL) under_way->wants_all = under_way->has_strayed = true;
    scripting->restart = under_way != NULL ? RESTART_WITH_ALL : RESTART_WITHOUT_MEMORY;
    return false;
}

/* ------------------------------------------------------------------ what it calls */

static bool is_about_others(const struct command *command) {
    return command->worker != NULL || command->visit != NULL || command->run != NULL ||
           command->watch != NULL;
}

/* What the script's caller may not do, the script may not either. */
static bool is_call_permitted(struct scripting *scripting, const struct call *call, struct reply *reply) {
    char why[WHY_SIZE];
    struct denial denial;
    if (script_is_permitted(scripting->execution, call, &denial, why, sizeof why)) return true;
    reply_error(reply, why);
    if (denial.verdict == VERDICT_ALLOWED || denial.verdict == VERDICT_NO_MEMORY) return false;
    const struct bulk object = denial_object(call, denial);
    script_notes_denial(&scripting->notes, session_user(&scripting->execution->task->session),
                        (int)denial.verdict, &object);
    return false;
}

/* Redis's checks in Redis's order. */
static bool may_call(struct scripting *scripting, const struct call *call, struct reply *reply) {
    const struct command *command = call->command;
    if (command == NULL) return refuse(reply, "ERR Unknown Redis command called from script");
    if (!command_arity_fits(command, call->count))
        return refuse(reply, "ERR Wrong number of args calling Redis command from script");
    if ((command->flags & COMMAND_NOSCRIPT) != 0 || is_about_others(command))
        return refuse(reply, "ERR This Redis command is not allowed from script");
    if (users_are_on() && !is_call_permitted(scripting, call, reply)) return false;
    bool writes = (command->flags & (COMMAND_WRITE | COMMAND_MAY_REPLICATE)) != 0;
    if (writes && scripting->only_reads)
        return refuse(reply, "ERR Write commands are not allowed from read-only scripts.");
    /* As Redis has it, a command that may write is enough, whether it has found anything to change or not. */
    if ((command->flags & COMMAND_DENYOOM) != 0 && scripting->is_short_of_memory && !scripting->calls_writes)
        return refuse(reply, ERROR_OUT_OF_MEMORY);
    if ((command->flags & COMMAND_WRITE) != 0) scripting->calls_writes = true;
    return true;
}

/* Finds its keys, and has their shards. */
static bool take_keys(struct scripting *scripting, struct call *call, struct reply *reply) {
    const struct command *command = call->command;
    struct keyspace *keyspace = scripting->execution->frame->keyspace;
    const struct scope *scope = &scripting->read->scope;
    if (scope->held != NULL && command_wants_all(command)) return want_all(scripting, reply);
    if (!reserve_keys(scripting, call->count)) return refuse(reply, ERROR_NO_MEMORY);
    int found =
        command_find_keys(command, call->arguments, call->count, scripting->positions, NULL, call->count);
    for (int i = 0; i < found; i++) {
        const struct bulk *argument = &call->arguments[scripting->positions[i]];
        scripting->keys[i] = keyspace_key(keyspace, call->database, argument->data, argument->length);
        uint64_t hash = scripting->keys[i].hash;
        if (!scope_holds(scope, hash) && !stray_to(scripting, keyspace_shard_of(keyspace, hash), reply))
            return false;
    }
    call->keys = scripting->keys;
    call->key_count = found < 0 ? 0 : (uint32_t)found;
    return true;
}

static void call_one(struct scripting *scripting, struct call *call, struct reply *reply) {
    if (call->command->session != NULL)
        call->command->session(&scripting->session, call, reply);
    else
        execute_inside(scripting->execution, call, scripting->write, scripting->read, reply);
}

/* What takes long, by what it goes over, does so on another thread from the start. */
static bool leaves_for(struct scripting *scripting, const struct call *call) {
    bool leaves = scripting->may_leave && call->key_count > 0 && can_begin_again(scripting) &&
                  call_takes_long(call, &scripting->read->scope);
    if (leaves) scripting->restart = RESTART_ELSEWHERE;
    return leaves;
}

static enum script_verdict on_call(void *context, const struct bulk *arguments, uint32_t count,
                                   struct reply *reply) {
    struct scripting *scripting = context;
    const struct execution *execution = scripting->execution;
    struct call call;
    call_begin_within(&call, execution, &scripting->session);
    call.command = command_meant(arguments, count);
    call.arguments = arguments;
    call.count = count;
    call.protocol = reply->protocol;
    reply_errors_clear(reply);
    if (!may_call(scripting, &call, reply)) return SCRIPT_GOES_ON;
    bool has_shards = take_keys(scripting, &call, reply);
    if (scripting->restart != RESTART_NOT) return SCRIPT_ENDS;
    if (!has_shards) return SCRIPT_GOES_ON;
    if (leaves_for(scripting, &call)) return SCRIPT_ENDS;
    uint64_t began = clock_cycles();
    call_one(scripting, &call, reply);
    call.database = scripting->session.database; /* a line of SELECT has the new one */
    script_notes_call(&scripting->notes, &call, clock_cycles_to_ns(clock_cycles() - began) + 1,
                      reply->error_count > 0 ? reply->error_code : NULL);
    return SCRIPT_GOES_ON;
}

/* Every few microseconds. */
static enum script_verdict on_turn(void *context) {
    struct scripting *scripting = context;
    uint64_t nanoseconds = clock_cycles_to_ns(clock_cycles() - scripting->began);
    if (nanoseconds < SHORT_NS) return SCRIPT_GOES_ON;
    if (scripting->may_leave && can_begin_again(scripting)) {
        scripting->restart = RESTART_ELSEWHERE;
        return SCRIPT_ENDS;
    }
    scripting->is_ended =
        slow_script_goes_on(&scripting->slow, scripting->execution->frame->lane, nanoseconds,
                            has_written(scripting), scripting->read->scope.held);
    /* On a worker, whose clients would wait without end, and who would say SCRIPT KILL? */
    bool is_in_the_way = scripting->slow.is_busy && !scripting->execution->worker->is_aside;
    if (is_in_the_way && !has_written(scripting)) scripting->is_ended = true;
    if (is_in_the_way && !scripting->is_ended && can_begin_again(scripting))
        scripting->restart = RESTART_IN_THE_WAY;
    return scripting->is_ended || scripting->restart != RESTART_NOT ? SCRIPT_ENDS : SCRIPT_GOES_ON;
}

static enum script_verdict on_before_long(void *context) {
    struct scripting *scripting = context;
    if (!scripting->may_leave || !can_begin_again(scripting)) return SCRIPT_GOES_ON;
    scripting->restart = RESTART_ELSEWHERE;
    return SCRIPT_ENDS;
}

static int on_may_run(void *context, const struct bulk *arguments, uint32_t count) {
    struct scripting *scripting = context;
    const struct call call = {
        .command = command_meant(arguments, count), .arguments = arguments, .count = count};
    char why[WHY_SIZE];
    struct denial denial;
    if (call.command == NULL) return -1;
    if (!users_are_on()) return 1;
    if (!command_arity_fits(call.command, count))
        return rules_allow_command(
            users_rules(session_user(&scripting->execution->task->session), worker_self()->number),
            call.command, arguments, count);
    (void)script_is_permitted(scripting->execution, &call, &denial, why, sizeof why);
    return denial.verdict == VERDICT_ALLOWED;
}

static void on_log(void *context, int level, const char *text, size_t length) {
    struct scripting *scripting = context;
    script_notes_log(&scripting->notes, level, text, length);
}

static const struct script_host host = {on_call, on_turn, on_before_long, on_may_run, on_log, NULL};

/* ------------------------------------------------------------------ a run */

/* "numkeys key ... argument ...": replies what is wrong with the number. */
static bool read_counts(const struct call *call, uint32_t *keys, struct reply *reply) {
    int64_t count;
    const char *wrong = call->command->is_function ? "ERR Bad number of keys provided" : NULL;
    if (!argument_integer(&call->arguments[2], &count, reply, wrong)) return false;
    if (count > (int64_t)call->count - 3)
        return refuse(reply, "ERR Number of keys can't be greater than number of args");
    if (count < 0) return refuse(reply, "ERR Number of keys can't be negative");
    *keys = (uint32_t)count;
    return true;
}

/* A task that keeps the gate closed would keep its errand out. */
static void look_within(struct scripting *scripting, const struct execution *execution) {
    scripting->may_leave_unread = may_leave(execution) && !execution->task->is_closer;
    scripting->leaves_unread = false;
}

static bool find(struct scripting *scripting, const struct call *call, struct reply *reply) {
    bool finds_first = call->command->is_function; /* as Redis looks at them */
    scripting->may_only_read = false;
    if (finds_first && !call->command->script(scripting, call, &scripting->found, reply)) return false;
    if (!read_counts(call, &scripting->key_count, reply)) return false;
    if (!finds_first && !call->command->script(scripting, call, &scripting->found, reply)) return false;
    uint32_t flags = scripting->found.flags;
    bool says_read = (call->command->flags & COMMAND_READONLY) != 0;
    scripting->may_only_read = says_read && (flags & (SCRIPT_NO_WRITES | SCRIPT_SAYS_NOTHING)) == 0;
    if (scripting->may_only_read)
        return refuse(reply, "ERR Can not execute a script with write flag using *_ro command.");
    scripting->only_reads = says_read || (flags & SCRIPT_NO_WRITES) != 0;
    return true;
}

/* Where all shards are held nothing is left that it could begin again with. */
static bool can_be_undone(const struct write_scope *write) {
    return write != NULL && write->scope.held != NULL;
}

/* In the scope. What it has replied is forgotten if it is to begin again. */
static void run(struct scripting *scripting, struct execution *execution, const struct call *call,
                struct write_scope *write, const struct read_scope *read, struct reply *reply) {
    uint32_t keys = scripting->key_count;
    assert(read != NULL && "a script has a scope");
    scripting->execution = execution;
    scripting->write = write;
    scripting->read = read;
    scripting->restart = RESTART_NOT;
    scripting->calls_writes = false;
    scripting->changes = write == NULL ? 0 : write->scope.changes;
    scripting->session = (struct session){.id = call->session->id,
                                          .database = call->database,
                                          .protocol = 2,
                                          .is_authenticated = true,
                                          .is_no_touch = call->session->is_no_touch};
    struct script_run at_hand = {
        .host = &host,
        .context = scripting,
        .name = scripting->found.name,
        .keys = call->arguments + 3,
        .arguments = call->arguments + 3 + keys,
        .key_count = keys,
        .argument_count = call->count - 3 - keys,
        .is_function = scripting->found.is_function,
    };
    scripting->began = clock_cycles();
    scripting->is_ended = false;
    /* What a library keeps in its own variables can't be taken back: one that is known to stray should not
     * begin again, so that it has the token first, or else every shard. */
    bool strays = scripting->found.strays != NULL && atomic_load(scripting->found.strays);
    if (can_be_undone(write) && strays && !take_token(scripting)) {
        (void)want_all(scripting, reply);
        return;
    }
    slow_script_begin(&scripting->slow, at_hand.name, at_hand.is_function, call);
    bool is_done = script_run(scripting->state, scripting->found.function, &at_hand, reply) == SCRIPT_DONE;
    if (!is_done) script_rewind(scripting->state);
    give_token(scripting);
    slow_script_end(&scripting->slow, read->scope.held);
    if (scripting->is_ended)
        reply_error_format(reply, "ERR Script killed by user with SCRIPT KILL... script: %s, on @user_%s:%d.",
                           at_hand.name, at_hand.is_function ? "function" : "script",
                           script_ended_line(scripting->state));
}

static void begin_again(struct execution *execution) {
    struct further *further = &execution->task->under_way->further;
    execution->call.further = further;
    further->wants_shards = true;
}

static void run_writing(struct write_scope *scope, const struct call *call, struct reply *reply);

/* The scope's run, which it may have to take back. */
static void run_in_scope(const struct call *call, struct write_scope *write, const struct read_scope *read,
                         struct reply *reply) {
    struct execution *execution = execution_of_call(call);
    struct scripting *scripting = scripting_of(execution->worker);
    struct undo undo;
    bool is_undone = can_be_undone(write);
    script_notes_clear(&scripting->notes);
    script_notes_begin(&scripting->notes, call);
    if (is_undone) undo_begin(&undo, write);
    outbox_open(execution->worker);
    run(scripting, execution, call, write, read, reply);
    outbox_close(execution->worker, scripting->restart == RESTART_NOT);
    if (is_undone) undo_conclude(&undo, scripting->restart == RESTART_NOT);
    if (scripting->restart == RESTART_NOT) return;
    script_notes_clear(&scripting->notes);
    if (scripting->restart == RESTART_ELSEWHERE) return;
    const char *refusal = refusal_of(scripting->restart);
    if (refusal != NULL)
        reply_error(reply, refusal);
    else
        begin_again(execution);
}

/* ------------------------------------------------------------------ in a transaction */

static bool row_reserve(struct scripting *scripting) {
    if (scripting->row_count < scripting->row_capacity) return true;
    uint32_t capacity = scripting->row_capacity == 0 ? 16 : scripting->row_capacity * 2;
    struct found_in_row *larger = realloc(scripting->row_found, capacity * sizeof *larger);
    if (larger == NULL) return false;
    scripting->row_found = larger;
    scripting->row_capacity = capacity;
    return true;
}

/* Whether it only reads. One that isn't there now may be when its turn comes, and may do anything. */
static bool find_in_row(struct scripting *scripting, const struct call *call) {
    struct found_in_row *row = &scripting->row_found[scripting->row_count++];
    *row = (struct found_in_row){.only_reads = false};
    reply_init(&row->refusal, call->protocol);
    if (!find(scripting, call, &row->refusal)) return false;
    row->found = scripting->found;
    row->keys = scripting->key_count;
    row->only_reads = scripting->only_reads;
    if (row->found.shelved != NULL)
        library_shelf_hold(row->found.shelved);
    else
        row->compiled = script_cache_hold(scripting->cache, row->found.text);
    return row->only_reads;
}

bool script_find_row(const struct execution *execution, bool *writes, bool *leaves) {
    struct scripting *scripting = scripting_of(execution->worker);
    const struct transaction *transaction = execution->transaction;
    *writes = *leaves = false;
    if (scripting == NULL) return false;
    assert(scripting->row_count == 0);
    look_within(scripting, execution);
    for (const struct queued *queued = transaction->first; queued != NULL && !*leaves;
         queued = queued->next) {
        struct call call = execution->call;
        if (queued->command->script == NULL) continue;
        if (!row_reserve(scripting)) return false;
        call.command = queued->command;
        call.arguments = queued->arguments;
        call.count = queued->count;
        if (!find_in_row(scripting, &call)) *writes = true;
        *leaves = scripting->leaves_unread;
    }
    return true;
}

void script_let_go_row(const struct execution *execution) {
    struct scripting *scripting = scripting_of(execution->worker);
    if (scripting == NULL) return;
    for (; scripting->row_count > 0; scripting->row_count--) {
        struct found_in_row *row = &scripting->row_found[scripting->row_count - 1];
        if (row->compiled != NULL) script_cache_let_go(scripting->cache, row->compiled);
        if (row->found.shelved != NULL) library_shelf_let_go(scripting->shelf, row->found.shelved);
        reply_free(&row->refusal);
    }
    if (scripting->row_capacity <= ROW_KEPT) return;
    free(scripting->row_found);
    scripting->row_found = NULL;
    scripting->row_capacity = 0;
}

/* The next one's, as it was found, unless what stands before it may have changed what there is. */
static bool find_again(struct scripting *scripting, const struct execution *execution,
                       const struct call *call, struct reply *reply) {
    const struct found_in_row *row = &scripting->row_found[scripting->row_at++];
    const struct reply *refusal = &row->refusal;
    assert(scripting->row_at <= scripting->row_count && "each was found before there were shards");
    if (execution->transaction->changes_scripts) return find(scripting, call, reply);
    scripting->found = row->found;
    scripting->key_count = row->keys;
    scripting->only_reads = row->only_reads;
    if (refusal->length == 0 && !refusal->is_broken) return true;
    reply_raw(reply, refusal->data, refusal->length);
    reply->is_broken = reply->is_broken || refusal->is_broken;
    reply->error_count += refusal->error_count;
    memcpy(reply->error_code, refusal->error_code, sizeof reply->error_code);
    return false;
}

void script_begin_row(const struct execution *execution) {
    struct scripting *scripting = scripting_of(execution->worker);
    if (scripting == NULL) return;
    script_notes_clear(&scripting->notes);
    scripting->row_at = 0;
    scripting->may_leave_unread = false; /* what is looked for once more is so within its shards */
    /* What it does to libraries and scripts isn't taken back. */
    scripting->may_leave = may_leave(execution) && !execution->transaction->changes_scripts;
}

void script_end_one(const struct execution *execution) {
    struct scripting *scripting = scripting_of(execution->worker);
    if (scripting != NULL) script_notes_publish_next(&scripting->notes, execution);
}

void script_end_row(const struct execution *execution) {
    struct scripting *scripting = scripting_of(execution->worker);
    if (scripting != NULL) script_notes_publish_counts(&scripting->notes, execution);
}

void script_pass_over(const struct execution *execution) {
    struct scripting *scripting = scripting_of(execution->worker);
    if (scripting != NULL) scripting->row_at++;
}

void script_run_inside(struct execution *execution, const struct call *call, struct write_scope *write,
                       const struct read_scope *read, struct reply *reply) {
    struct scripting *scripting = scripting_of(execution->worker);
    if (scripting == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    script_notes_begin(&scripting->notes, call);
    if (!find_again(scripting, execution, call, reply)) return;
    assert((write != NULL || scripting->only_reads) && "a scope that is as the scripts in it");
    bool says_nothing = (scripting->found.flags & SCRIPT_SAYS_NOTHING) != 0;
    scripting->is_short_of_memory = execution->is_short_of_memory && says_nothing;
    if (execution->is_short_of_memory && !says_nothing && !scripting->only_reads &&
        (scripting->found.flags & SCRIPT_ALLOW_OOM) == 0) {
        reply_error(reply, ERROR_OUT_OF_MEMORY);
        return;
    }
    size_t mark = reply_mark(reply);
    run(scripting, execution, call, write, read, reply);
    if (scripting->restart == RESTART_NOT) return;
    reply_truncate(reply, mark);
    script_notes_clear(&scripting->notes);
    execution->begins_again = true;
    execution->begins_elsewhere = scripting->restart == RESTART_ELSEWHERE;
    execution->refusal = refusal_of(scripting->restart);
    if (!execution->begins_elsewhere && execution->refusal == NULL) begin_again(execution);
}

/* ------------------------------------------------------------------ by itself */

static void run_reading(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    run_in_scope(call, NULL, scope, reply);
}

static void run_writing(struct write_scope *scope, const struct call *call, struct reply *reply) {
    run_in_scope(call, scope, &scope->reading, reply);
}

/* Which keys it reads isn't known: with their shards for itself, it removes those that have expired. */
static void run_reading_alone(struct write_scope *scope, const struct call *call, struct reply *reply) {
    run_in_scope(call, NULL, &scope->reading, reply);
}

static void fill_row(struct scripting *scripting, const struct execution *execution) {
    const struct command *command = execution->call.command;
    struct command *row = &scripting->row;
    if (row->name != command->name) *row = *command;
    bool says_nothing = (scripting->found.flags & SCRIPT_SAYS_NOTHING) != 0;
    row->flags = scripting->may_leave ? 0 : COMMAND_LONG;
    row->read = NULL;
    row->write = NULL;
    if (scripting->only_reads && reads_remove_dead(execution)) {
        row->write = run_reading_alone;
    } else if (scripting->only_reads) {
        row->read = run_reading;
    } else {
        row->write = run_writing;
        row->flags |= COMMAND_WRITE | COMMAND_MAY_REPLICATE;
        if (!says_nothing && (scripting->found.flags & SCRIPT_ALLOW_OOM) == 0) row->flags |= COMMAND_DENYOOM;
    }
    row->run = NULL;
}

enum outcome script_look_for_memory(struct execution *execution) {
    bool is_made = true;
    size_t mark = reply_mark(execution->reply);
    struct task *task = execution->task;
    execution->is_short_of_memory = false;
    if (!eviction_is_limited(execution->frame->lane)) return OUTCOME_DONE;
    if (task->is_closer) {
        execution->is_short_of_memory = task->under_way != NULL && task->under_way->is_short_of_memory;
        return OUTCOME_DONE;
    }
    if (make_room(execution, room_to_make(execution), &is_made) == OUTCOME_PARKED) return OUTCOME_PARKED;
    struct under_way *under_way = is_made ? task->under_way : under_way_of(task);
    if (under_way != NULL) under_way->is_short_of_memory = !is_made;
    if (is_made) return OUTCOME_DONE;
    reply_truncate(execution->reply, mark);
    reply_errors_clear(execution->reply);
    execution->is_rejected = false;
    execution->is_short_of_memory = true;
    return OUTCOME_DONE;
}

/* A script that says nothing of itself is run though there is no memory, and its commands are judged. */
static enum outcome look_for_memory(struct scripting *scripting, struct execution *execution) {
    bool is_judged = !scripting->only_reads && (scripting->found.flags & SCRIPT_SAYS_NOTHING) != 0;
    if (is_judged && script_look_for_memory(execution) == OUTCOME_PARKED) return OUTCOME_PARKED;
    scripting->is_short_of_memory = is_judged && execution->is_short_of_memory;
    return OUTCOME_DONE;
}

static enum outcome run_here(struct scripting *scripting, struct execution *execution) {
    const struct command *command = execution->call.command;
    enum outcome outcome;
    fill_row(scripting, execution);
    execution->call.command = &scripting->row;
    if (!find_keys(execution))
        outcome = execution_lacks_memory(execution);
    else if (look_for_memory(scripting, execution) == OUTCOME_PARKED)
        outcome = OUTCOME_PARKED;
    else
        outcome = run_larger_with_scope(execution);
    execution->call.command = command;
    return outcome;
}

/* What there is no memory for is refused for that, as in Redis, before it is for anything else. */
static enum outcome refuse_to_write(struct scripting *scripting, struct execution *execution, size_t mark) {
    if ((scripting->found.flags & SCRIPT_ALLOW_OOM) != 0) return OUTCOME_DONE;
    enum outcome outcome = script_look_for_memory(execution);
    if (outcome == OUTCOME_DONE && !execution->is_short_of_memory) return OUTCOME_DONE;
    reply_truncate(execution->reply, mark);
    reply_errors_clear(execution->reply);
    if (outcome == OUTCOME_DONE) reply_error(execution->reply, ERROR_OUT_OF_MEMORY);
    return outcome;
}

enum outcome script_run_whole(struct execution *execution) {
    struct scripting *scripting = scripting_of(execution->worker);
    if (scripting == NULL) return execution_lacks_memory(execution);
    if (execution->task->under_way == NULL && is_long_at_once(execution) && leave(execution))
        return OUTCOME_PARKED;
    script_notes_clear(&scripting->notes);
    size_t mark = reply_mark(execution->reply);
    look_within(scripting, execution);
    bool is_found = find(scripting, &execution->call, execution->reply);
    if (scripting->leaves_unread) {
        if (leave(execution)) return OUTCOME_PARKED;
        look_within(scripting, execution);
        is_found = find(scripting, &execution->call, execution->reply);
    }
    if (!is_found && scripting->may_only_read && eviction_is_limited(execution->frame->lane) &&
        refuse_to_write(scripting, execution, mark) == OUTCOME_PARKED)
        return OUTCOME_PARKED;
    if (!is_found) {
        script_notes_begin(&scripting->notes, &execution->call);
        script_notes_publish_next(&scripting->notes, execution);
        return OUTCOME_DONE;
    }
    if (!scripting->only_reads && script_waits_for_pause(execution)) return OUTCOME_PARKED;
    scripting->may_leave = may_leave(execution);
    scripting->restart = RESTART_NOT;
    execution_stand_still(execution);
    if (run_here(scripting, execution) == OUTCOME_PARKED) return OUTCOME_PARKED;
    if (scripting->restart == RESTART_ELSEWHERE) {
        if (leave(execution)) return OUTCOME_PARKED;
        scripting->may_leave = false;
        if (run_here(scripting, execution) == OUTCOME_PARKED) return OUTCOME_PARKED;
    }
    if (scripting->notes.first != NULL) script_notes_publish_next(&scripting->notes, execution);
    script_notes_publish_counts(&scripting->notes, execution);
    return OUTCOME_DONE;
}
