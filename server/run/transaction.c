#include "transaction.h"

#include <assert.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/keyspace.h"
#include "shard/scope/undo.h"
#include "server/base/clock.h"
#include "server/broadcast/outbox.h"
#include "server/command/command_table.h"
#include "server/interest/watch.h"
#include "server/observe/statistics.h"
#include "server/task/user.h"
#include "account.h"
#include "execute.h"
#include "inquire.h"
#include "prepare.h"
#include "leave.h"
#include "memory.h"
#include "pause.h"
#include "permit.h"
#include "script.h"
#include "slow_script.h"
#include "take.h"
#include "under_way.h"

/* ------------------------------------------------------------------ queueing */

static struct transaction *transaction_at(const struct execution *execution) {
    return execution->task->session.transaction;
}

/* Whether it concerns other workers or the process (INFO reads files), and so isn't for a moment in which
 * shards are held. */
static bool runs_apart(const struct command *command) {
    bool is_about_keys = (command->flags & COMMAND_READONLY) != 0; /* DBSIZE */
    if (command->keeps_its_place || command->answers_each || command->concerns_hearing) return false;
    return command->visit != NULL || command->worker != NULL ||
           (command->plain != NULL && !is_about_keys &&
            (command->flags & (COMMAND_ADMIN | COMMAND_SUMS)) != 0);
}

/* Neighbours are mostly of one kind, and say the same. */
static void take_note(struct transaction *transaction, const struct command *command,
                      const struct queued *before) {
    if (before != NULL && before->command == command) return;
    transaction->flags |= command->flags;
    if (command->script != NULL) transaction->has_scripts = transaction->needs_shards = true;
    if (command->write != NULL) transaction->writes = true;
    if (command->read != NULL || command->write != NULL || command_wants_all(command))
        transaction->needs_shards = true;
    if (command_wants_all(command)) transaction->wants_all = true;
    if (command->read == NULL || (command->flags & COMMAND_OPTIMISTIC) == 0) transaction->cant_look = true;
    if (command->keeps_its_place) transaction->changes_scripts = true;
    if (command->answers_each || command->concerns_hearing) transaction->changes_hearing = true;
    /* A script that begins again would see what has been done already, or do it twice. */
    bool is_done_once = transaction->changes_scripts || transaction->changes_hearing;
    if (transaction->has_scripts && is_done_once) transaction->wants_all = true;
    if (command->session != NULL || command->answers_each) transaction->concerns_session = true;
    if (command->changes_user) transaction->changes_user = true;
    if (command->room != NULL) transaction->asks_room = true;
    if ((command->flags & COMMAND_MAY_BE_SILENT) != 0) transaction->may_be_silent = true;
    if (runs_apart(command)) transaction->goes_apart = true;
}

/* Whether it runs before the others; not where one of those may make its client another user. */
static bool asks_first(const struct transaction *transaction, const struct command *command) {
    return command->is_question && !transaction->changes_user;
}

/* Whoever queues what needs a shard of a script that has taken too long is told so at once. */
static const char *busy_error(const struct execution *execution) {
    const struct call *call = &execution->call;
    struct frame *frame = execution->frame;
    const char *error = NULL;
    if (slow_scripts_busy_any() == NULL || !frame_reserve_keys(frame, call->count)) return NULL;
    int found =
        command_find_keys(call->command, call->arguments, call->count, frame->positions, NULL, call->count);
    for (int i = 0; i < found && error == NULL; i++) {
        const struct bulk *argument = &call->arguments[frame->positions[i]];
        uint64_t hash = keyspace_hash(frame->keyspace, argument->data, argument->length);
        error = slow_scripts_busy(keyspace_shard_of(frame->keyspace, hash));
    }
    return error;
}

#define QUEUED "+QUEUED\r\n"

enum outcome transaction_queue(struct execution *execution) {
    struct transaction *transaction = transaction_at(execution);
    const struct call *call = &execution->call;
    const char *busy = busy_error(execution);
    if ((call->command->flags & COMMAND_NO_MULTI) != 0) {
        reply_error(execution->reply, "ERR Command not allowed inside a transaction");
        execution->is_rejected = true;
    } else if (busy != NULL) {
        reply_error(execution->reply, busy);
        execution->is_rejected = true;
    } else if (eviction_is_limited(execution->frame->lane)) {
        bool is_made;
        enum outcome outcome = make_room(execution, room_needed(execution), &is_made);
        if (outcome == OUTCOME_PARKED) return outcome;
    }
    if (!execution->is_rejected) {
        size_t bytes = transaction->bytes;
        const struct queued *before = transaction->last;
        struct queued *queued = transaction_append(transaction, call->command, call->arguments, call->count);
        if (queued != NULL) {
            const struct prepared *prepared = execution->prepared;
            queued->has_hash = prepared != NULL && prepared->has_key;
            if (queued->has_hash) queued->hash = prepared->key.hash;
            take_note(transaction, call->command, before);
            if (loads_long(call)) transaction->loads_long = true;
            counter_add(&execution->worker->name_bytes, transaction->bytes - bytes);
            reply_raw(execution->reply, QUEUED, strlen(QUEUED));
            return OUTCOME_DONE;
        }
        reply_error(execution->reply, ERROR_NO_MEMORY);
        execution->is_rejected = true;
    }
    transaction->has_failed = true;
    return OUTCOME_DONE;
}

/* ------------------------------------------------------------------ its end */

static void unwatch(struct worker *worker, struct session *session, struct write_scope *scope) {
    struct transaction *transaction = session->transaction;
    if (transaction->watches == NULL) return;
    struct ended_watches *ended = &worker->dispatcher->ended_watches;
    size_t before = session_bytes(session), ended_before = ended->bytes;
    watch_end(ended, transaction->watches, scope);
    counter_add(&worker->ended_bytes, ended->bytes - ended_before);
    transaction->watches = NULL;
    transaction->watch_bytes = 0;
    worker_account_session(worker, session, before);
}

void transaction_end(struct worker *worker, struct task *task) {
    struct session *session = &task->session;
    if (session->transaction == NULL) return;
    unwatch(worker, session, NULL);
    counter_subtract(&worker->name_bytes, transaction_bytes(session->transaction));
    transaction_free(session->transaction);
    session->transaction = NULL;
}

void transaction_unwatch(struct worker *worker, struct task *task) {
    struct session *session = &task->session;
    if (session->transaction == NULL) return;
    unwatch(worker, session, NULL);
    session->transaction->is_touched = false;
    size_t before = session_bytes(session);
    if (!session->transaction->is_open) {
        transaction_free(session->transaction);
        session->transaction = NULL;
    }
    worker_account_session(worker, session, before);
}

/* EXEC is answered with an error, and what was queued is forgotten. */
static void abort_with(struct execution *execution, const char *why) {
    transaction_end(execution->worker, execution->task);
    reply_error_format(execution->reply, "EXECABORT Transaction discarded because of: %s", why);
}

void transaction_refused(struct execution *execution, size_t mark) {
    struct transaction *transaction = transaction_at(execution);
    const struct command *command = execution->call.command;
    struct reply *reply = execution->reply;
    bool is_exec = command != NULL && command->run == transaction_run;
    if (!is_exec && transaction != NULL && transaction->is_open) transaction->has_failed = true;
    if (!is_exec) return;
    char why[256];
    size_t length = reply->length - mark - 3; /* "-" and the line's end */
    if (reply->is_broken || length >= sizeof why) return;
    memcpy(why, reply->data + mark + 1, length);
    why[length] = '\0';
    reply_truncate(reply, mark);
    reply_errors_clear(reply);
    abort_with(execution, strncmp(why, "ERR ", 4) == 0 ? why + 4 : why);
}

/* ------------------------------------------------------------------ its commands, in one scope */

/* Its keys are there only while all have theirs. */
static void call_queued(const struct execution *execution, const struct queued *queued, struct call *call) {
    const struct session *session = &execution->task->session;
    bool has_keys = execution->call.keys != NULL && queued->key_count > 0;
    call_begin_within(call, execution, session);
    call->command = queued->command;
    call->arguments = queued->arguments;
    call->count = queued->count;
    if (!has_keys) return;
    call->keys = execution->call.keys + queued->first_key;
    call->key_count = queued->key_count;
}

/* Its keys were found in the database that was the session's at first: SELECT may have been in between. */
static void move_keys(struct frame *frame, const struct queued *queued, uint32_t database) {
    if (queued->key_count == 0) return;
    struct key *keys = frame->keys + queued->first_key;
    if (keys[0].database == database) return;
    for (uint32_t i = 0; i < queued->key_count; i++) keys[i].database = database;
}

/* Of its commands, each its own. */
static void answers_open(struct transaction *transaction) {
    transaction->holds_more = true;
    for (struct queued *queued = transaction->first; queued != NULL; queued = queued->next) {
        assert(!queued->has_answer && "once, before the first of them is asked for");
        reply_init(&queued->answer, 2);
        queued->has_answer = true;
    }
}

/* All answers together are bounded like any reply, and are the session's until they are put together. */
static void answer_begin(const struct execution *execution, struct queued *queued) {
    const struct reply *reply = execution->reply;
    size_t held = reply->length + execution->transaction->answer_length;
    queued->answer.most = reply->most > held ? reply->most - held : 1;
    queued->answer.protocol = execution->task->session.protocol;
}

static void answer_end(const struct execution *execution, const struct queued *queued) {
    size_t bytes = queued->answer.capacity + queued->answer.referenced_bytes;
    execution->transaction->answer_length += queued->answer.length;
    execution->transaction->answer_bytes += bytes;
    counter_add(&execution->worker->name_bytes, bytes);
}

static void run_one(struct execution *execution, struct queued *queued, struct write_scope *write,
                    const struct read_scope *read, struct reply *reply) {
    struct call call;
    uint32_t errors = reply->error_count;
    if (reply == &queued->answer) answer_begin(execution, queued);
    queued->database = execution->task->session.database;
    move_keys(execution->frame, queued, queued->database);
    call_queued(execution, queued, &call);
    reply->protocol = call.protocol;
    execution->answers_several |= queued->command->answers_each;
    bool is_denied = users_are_on() && !is_still_permitted(execution, queued, &call, reply);
    if (is_denied && queued->command->script != NULL)
        script_pass_over(execution);
    else if (is_denied)
        ; /* that is its answer */
    else if (queued->command->script != NULL)
        script_run_inside(execution, &call, write, read, reply);
    else
        execute_inside(execution, &call, write, read, reply);
    queued->has_failed = reply->error_count > errors;
    if (queued->has_failed) memcpy(queued->error_code, reply->error_code, sizeof queued->error_code);
    if (reply == &queued->answer) answer_end(execution, queued);
}

/* What runs behind the others does so for who is the user in its place among them (AUTH). */
static void ask_apart(struct execution *execution, struct queued *queued) {
    struct transaction *transaction = execution->transaction;
    struct call call;
    if (!users_are_on() || asks_first(transaction, queued->command)) return;
    transaction->answer_length -= queued->answer.length; /* of a run that was taken back */
    reply_truncate(&queued->answer, 0);
    call_queued(execution, queued, &call);
    answer_begin(execution, queued);
    (void)is_still_permitted(execution, queued, &call, &queued->answer);
    answer_end(execution, queued);
}

/* Neighbours that are timed together; those that haven't been timed yet begin at `first`. */
struct stopwatch {
    uint64_t boundary;
    struct queued *first;
    uint32_t untimed;
    bool may_share;
};

/* It has run. */
static void time_one(struct stopwatch *watch, struct queued *queued) {
    const struct queued *next = queued->next;
    if (watch->untimed++ == 0) watch->first = queued;
    if (next != NULL && next->command == queued->command && watch->may_share &&
        watch->untimed < CLOCK_SHARERS && command_shares_clock(queued->command))
        return;
    uint64_t now = clock_cycles(), each = clock_cycles_to_ns(now - watch->boundary) / watch->untimed + 1;
    for (struct queued *one = watch->first; one != next; one = one->next) one->nanoseconds = each;
    watch->boundary = now;
    watch->untimed = 0;
}

/* write: NULL if none of them writes; read: NULL if none needs a shard. */
static void run_in_row(struct execution *execution, struct write_scope *write,
                       const struct read_scope *read) {
    struct transaction *transaction = execution->transaction;
    struct reply *reply = execution->reply;
    if (transaction->watches != NULL && watch_is_touched(transaction->watches, read)) {
        reply_null_array(reply);
        return;
    }
    size_t answers = 0, header = 0;
    if (transaction->may_be_silent)
        header = reply_defer(reply);
    else if (!transaction->goes_apart)
        reply_array(reply, transaction->count);
    const struct frame *frame = execution->frame;
    bool was_read = frame->boundary_task == execution->task; /* a moment ago, for EXEC */
    struct stopwatch watch = {.boundary = was_read ? frame->boundary : clock_cycles(),
                              .may_share = clock_may_be_shared()};
    for (struct queued *queued = transaction->first; queued != NULL; queued = queued->next) {
        if (transaction->goes_apart && runs_apart(queued->command)) {
            ask_apart(execution, queued);
            continue;
        }
        struct reply *to = transaction->goes_apart ? &queued->answer : reply;
        size_t mark = reply_mark(to);
        run_one(execution, queued, write, read, to);
        if (execution->begins_again) return;
        answers += to->length > mark;
        assert(to->is_broken || to->length == mark || queued->command->answers_each ||
               reply_is_one(to, mark));
        time_one(&watch, queued);
    }
    if (transaction->may_be_silent && !transaction->goes_apart) reply_defer_array(reply, header, answers);
    transaction->has_run = true;
}

/* What its commands may have done to the session, as it was before them. */
struct session_before {
    struct session session;
    struct session_names names;
    bool has_names;
};

/* false: no memory. */
static bool session_keep(const struct session *session, bool keeps_names, struct session_before *before) {
    before->session = *session;
    before->has_names = keeps_names;
    bool is_kept = !keeps_names || session_names_keep(session, &before->names);
    if (is_kept) user_hold(session_user(session));
    return is_kept;
}

static void session_let_go(const struct session_before *before) {
    if (before->has_names) session_names_free(before->names.name, before->names.library);
    user_let_go(session_user(&before->session));
}

static void session_put_back(struct worker *worker, struct session *session,
                             const struct session_before *before) {
    size_t bytes = session_bytes(session);
    if (before->has_names) session_names_put_back(session, &before->names);
    worker_account_session(worker, session, bytes);
    session_follow(session, &before->session);
    user_let_go(session_user(&before->session));
}

/* What has been changed by now is taken back, and so is the rest: nothing has happened. */
static void take_back(struct execution *execution, size_t mark, const struct session_before *before) {
    struct transaction *transaction = execution->transaction;
    reply_truncate(execution->reply, mark);
    reply_errors_clear(execution->reply);
    session_put_back(execution->worker, &execution->task->session, before);
    for (struct queued *queued = transaction->first; queued != NULL; queued = queued->next)
        if (queued->has_answer && !runs_apart(queued->command)) {
            transaction->answer_length -= queued->answer.length;
            reply_truncate(&queued->answer, 0);
        }
    execution->begins_again = false;
    if (execution->refusal == NULL) return;
    reply_error(execution->reply, execution->refusal);
    execution->refusal = NULL;
}

/* Scripts may find, when something is changed already, that they need more shards. */
static void run_all(struct execution *execution, struct write_scope *write, const struct read_scope *read) {
    const struct transaction *transaction = execution->transaction;
    struct session *session = &execution->task->session;
    struct session_before before;
    struct undo undo;
    size_t mark = reply_mark(execution->reply);
    bool may_begin_again = transaction->has_scripts && read != NULL && read->scope.held != NULL;
    if (!session_keep(session, may_begin_again && transaction->concerns_session, &before)) {
        reply_error(execution->reply, ERROR_NO_MEMORY);
        return;
    }
    if (transaction->has_scripts) script_begin_row(execution);
    if (may_begin_again && write != NULL) undo_begin(&undo, write);
    outbox_open(execution->worker);
    run_in_row(execution, write, read);
    outbox_close(execution->worker, !execution->begins_again);
    if (may_begin_again && write != NULL) undo_conclude(&undo, !execution->begins_again);
    if (execution->begins_again) {
        /* Its own changes, and that they were taken back, are none to what it watches. */
        if (transaction->watches != NULL) watch_renew(transaction->watches);
        take_back(execution, mark, &before);
        return;
    }
    session_let_go(&before);
    if (write != NULL) unwatch(execution->worker, session, write);
}

static void run_reading(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    assert(reply == execution_of_call(call)->reply);
    (void)reply;
    run_all(execution_of_call(call), NULL, scope);
}

static void run_writing(struct write_scope *scope, const struct call *call, struct reply *reply) {
    assert(reply == execution_of_call(call)->reply);
    (void)reply;
    run_all(execution_of_call(call), scope, &scope->reading);
}

/* Scripts among it may read any keys, and remove those that have expired. */
static void run_reading_alone(struct write_scope *scope, const struct call *call, struct reply *reply) {
    assert(reply == execution_of_call(call)->reply);
    (void)reply;
    run_all(execution_of_call(call), NULL, &scope->reading);
}

static size_t room_of_all(const struct write_scope *scope, const struct call *call) {
    struct execution *execution = execution_of_call(call);
    size_t room = 0;
    for (const struct queued *queued = execution->transaction->first; queued != NULL; queued = queued->next) {
        struct call inner;
        if (queued->command->room == NULL) continue;
        call_queued(execution, queued, &inner);
        room += queued->command->room(scope, &inner);
    }
    return room;
}

/* ------------------------------------------------------------------ all of it as one request */

static void key_add(struct execution *execution, struct key key) {
    struct key *keys = execution->frame->keys;
    keys[execution->call.key_count++] = key;
}

static struct key only_key(const struct execution *execution, const struct queued *queued) {
    const struct bulk *argument = &queued->arguments[queued->command->only_key];
    uint32_t database = execution->call.database;
    if (queued->has_hash)
        return (struct key){
            .data = argument->data, .length = argument->length, .hash = queued->hash, .database = database};
    return keyspace_key(execution->frame->keyspace, database, argument->data, argument->length);
}

/* The keys of all, each one's in a row, and those that are watched. */
static bool find_all_keys(struct execution *execution) {
    struct transaction *transaction = execution->transaction;
    struct frame *frame = execution->frame;
    struct call *call = &execution->call;
    uint32_t watched = transaction->watches == NULL ? 0 : watch_count(transaction->watches);
#ifdef PLANT_UNWATCHED_SHARDS
    watched = 0;
#endif
    if (!frame_reserve_keys(frame, transaction->argument_count + watched)) return false;
    call->keys = frame->keys;
    call->key_count = 0;
    for (struct queued *queued = transaction->first; queued != NULL; queued = queued->next) {
        const struct command *command = queued->command;
        queued->first_key = call->key_count;
        queued->key_count = 0;
        if (command->read == NULL && command->write == NULL && command->script == NULL) continue;
        if (command->only_key != 0) {
            key_add(execution, only_key(execution, queued));
            queued->key_count = 1;
            continue;
        }
        int found = command_find_keys(command, queued->arguments, queued->count, frame->positions, NULL,
                                      queued->count);
        for (int i = 0; i < found; i++) {
            const struct bulk *argument = &queued->arguments[frame->positions[i]];
            key_add(execution,
                    keyspace_key(frame->keyspace, call->database, argument->data, argument->length));
        }
        queued->key_count = call->key_count - queued->first_key;
    }
    for (uint32_t i = 0; i < watched; i++) key_add(execution, *watch_key(transaction->watches, i));
    return true;
}

/* A row for this one time: what stands in it is what its commands are together. */
static const struct command *row_of(const struct execution *execution) {
    const struct transaction *transaction = execution->transaction;
    struct command *row = &execution->dispatcher->transaction_row;
    if (row->name == NULL)
        *row = *execution->call.command; /* EXEC's: it takes as long as queueing a command */
    row->flags = transaction->flags & (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MAY_REPLICATE);
    if ((transaction->flags & (COMMAND_LONG | COMMAND_LONG_BY_ARGUMENTS)) != 0) row->flags |= COMMAND_LONG;
    if (transaction->wants_all) row->flags |= COMMAND_ALL_SHARDS;
    if (!transaction->cant_look && transaction->watches == NULL) row->flags |= COMMAND_OPTIMISTIC;
    row->room = transaction->asks_room ? room_of_all : NULL;
    row->read = NULL;
    row->write = NULL;
    row->run = NULL;
    if (transaction->writes || execution->scripts_write)
        row->write = run_writing;
    else if (transaction->has_scripts && reads_remove_dead(execution))
        row->write = run_reading_alone;
    else
        row->read = run_reading;
    return row;
}

static enum outcome run_here(struct execution *execution) {
    struct transaction *transaction = execution->transaction;
    const struct command *exec = execution->call.command;
    enum outcome outcome = OUTCOME_PARKED;
    execution->call.command = row_of(execution);
    if (!find_all_keys(execution))
        outcome = execution_lacks_memory(execution);
    else if (!transaction->has_scripts || script_look_for_memory(execution) == OUTCOME_DONE)
        outcome = run_larger_with_scope(execution);
    execution->call.command = exec;
    return outcome;
}

/* With all shards nothing is taken back: a script that turns out to be long couldn't leave any more. Nor
 * could what is read or loaded in its place among them. And many commands take long whatever they are. */
static bool leaves_at_once(const struct execution *execution) {
    const struct transaction *transaction = execution->transaction;
    bool is_long = (transaction->has_scripts && transaction->wants_all) || transaction->loads_long ||
                   transaction->argument_count > LONG_ELEMENTS;
    return is_long && !execution->task->is_closer && may_leave(execution);
}

static enum outcome run_whole(struct execution *execution) {
    struct transaction *transaction = execution->transaction;
    execution_stand_still(execution);
    transaction->has_run = false; /* what was looked at may have been in vain */
    if (leaves_at_once(execution) && leave(execution)) return OUTCOME_PARKED;
    if (!transaction->needs_shards && transaction->watches == NULL) {
        bool is_made = true;
        if ((transaction->flags & COMMAND_DENYOOM) != 0) {
            enum outcome outcome = make_room(execution, room_to_make(execution), &is_made);
            if (!is_made) return outcome;
        }
        run_all(execution, NULL, NULL);
        return OUTCOME_DONE;
    }
    enum outcome outcome = run_here(execution);
    if (outcome == OUTCOME_PARKED || !execution->begins_elsewhere) return outcome;
    execution->begins_elsewhere = false;
    return leave(execution) ? OUTCOME_PARKED : run_here(execution);
}

static void account_scripts(const struct execution *execution) {
    const struct transaction *transaction = execution->transaction;
    if (!transaction->has_scripts) return;
    for (const struct queued *queued = transaction->first; queued != NULL; queued = queued->next)
        if (queued->command->script != NULL && !queued->is_denied) script_end_one(execution);
    script_end_row(execution);
}

static void account_one(const struct execution *execution, const struct queued *queued) {
    struct execution inner = *execution;
    call_queued(execution, queued, &inner.call);
    execution->task->session.database = queued->database;
    account_inner(&inner, queued->nanoseconds, queued->has_failed ? queued->error_code : NULL);
    if (queued->command->script != NULL) script_end_one(execution);
}

static void account_denied(const struct execution *execution, struct queued *queued) {
    queued_denial_note(execution, queued);
    statistics_count_error("NOPERM", 1);
}

/* Of neighbours, those of which there is nothing to be told but that there were so many. */
static struct queued *account_like(const struct execution *execution, struct queued *first) {
    struct queued *queued = first;
    uint64_t count = 0, nanoseconds = 0;
    while (queued != NULL && queued->command == first->command && queued->nanoseconds > 0 &&
           !queued->has_failed && !queued->is_denied && !account_tells(queued->nanoseconds)) {
        nanoseconds += queued->nanoseconds;
        queued->nanoseconds = 0;
        queued = queued->next;
        count++;
    }
    if (count > 0) statistics_count(execution->dispatcher->statistics, first->command, count, nanoseconds);
    return queued;
}

/* Each is counted and shown as if it had come by itself. */
static void account_all(const struct execution *execution) {
    struct session *session = &execution->task->session;
    uint32_t database = session->database;
    for (struct queued *queued = execution->transaction->first; queued != NULL;) {
        struct queued *before = queued;
        if (queued->command->script == NULL) queued = account_like(execution, queued);
        if (queued != before) continue;
        if (queued->is_denied)
            account_denied(execution, queued);
        else if (queued->nanoseconds > 0) /* else it hasn't run yet */
            account_one(execution, queued);
        queued->nanoseconds = 0;
        queued = queued->next;
    }
    if (execution->transaction->has_scripts) script_end_row(execution);
    session->database = database;
}

/* ------------------------------------------------------------------ what runs apart */

/* From transaction->at on: the questions, or what isn't one. */
static enum outcome run_apart(struct execution *execution, bool is_question) {
    struct transaction *transaction = execution->transaction;
    for (; transaction->at != NULL; transaction->at = transaction->at->next) {
        struct queued *queued = transaction->at;
        const struct command *command = queued->command;
        if (!runs_apart(command) || asks_first(transaction, command) != is_question) continue;
        if (!is_question && queued->is_denied) continue; /* it has its answer */
        struct execution inner = *execution;
        call_queued(execution, queued, &inner.call);
        inner.reply = &queued->answer;
        answer_begin(execution, queued);
        uint64_t before = clock_cycles();
        bool has_begun = execution->task->under_way != NULL && execution->task->under_way->inquiry != NULL;
        bool is_denied = is_question && !has_begun && users_are_on() &&
                         !is_still_permitted(execution, queued, &inner.call, inner.reply);
        if (is_denied)
            ; /* that is its answer */
        else if (command->visit == NULL)
            execute_without_shards(&inner);
        else if (run_inquiry(&inner) == OUTCOME_PARKED)
            return OUTCOME_PARKED;
        queued->nanoseconds = clock_cycles_to_ns(clock_cycles() - before) + 1;
        queued->database = execution->task->session.database;
        queued->has_failed = inner.reply->error_count > 0;
        memcpy(queued->error_code, inner.reply->error_code, sizeof queued->error_code);
        answer_end(execution, queued);
    }
    return OUTCOME_DONE;
}

static void assemble(struct execution *execution) {
    struct transaction *transaction = execution->transaction;
    size_t answers = 0;
    for (const struct queued *queued = transaction->first; queued != NULL; queued = queued->next)
        answers += queued->answer.length > 0;
    reply_array(execution->reply, answers);
    for (struct queued *queued = transaction->first; queued != NULL; queued = queued->next)
        reply_append(execution->reply, &queued->answer);
}

/* The phases before the commands, they, and those behind them. PARKED: the rest is to come. */
static enum outcome run_phases(struct execution *execution) {
    struct transaction *transaction = execution->transaction;
    if (transaction->phase == TRANSACTION_ASKS) {
        if (transaction->at == NULL) {
            transaction->at = transaction->first;
            if (transaction->goes_apart) answers_open(transaction);
        }
        if (transaction->goes_apart && run_apart(execution, true) == OUTCOME_PARKED) return OUTCOME_PARKED;
        transaction->phase = TRANSACTION_RUNS;
    }
    if (transaction->phase == TRANSACTION_RUNS) {
        if (run_whole(execution) == OUTCOME_PARKED) return OUTCOME_PARKED;
        if (!transaction->has_run || !transaction->goes_apart) return OUTCOME_DONE;
        account_scripts(execution); /* others' may run before this one goes on */
        transaction->phase = TRANSACTION_DOES;
        transaction->at = transaction->first;
    }
    if (run_apart(execution, false) == OUTCOME_PARKED) return OUTCOME_PARKED;
    assemble(execution);
    execution->answers_several |= transaction->changes_hearing; /* what it was is forgotten where it parks */
    return OUTCOME_DONE;
}

/* What takes no shard of it, but time: scripts are compiled, and libraries loaded, and it is known whether
 * they write. */
static bool find_scripts(struct execution *execution, bool *leaves) {
    const struct transaction *transaction = execution->transaction;
    bool writes;
    if (!script_find_row(execution, &writes, leaves)) return false;
    execution->scripts_write = writes || transaction->changes_scripts;
    return true;
}

static enum outcome run_prepared(struct execution *execution) {
    const struct transaction *transaction = execution->transaction;
    bool is_to_come = transaction->has_scripts && transaction->phase != TRANSACTION_DOES, leaves = false;
    if (is_to_come && !find_scripts(execution, &leaves)) return execution_lacks_memory(execution);
    if (leaves) {
        script_let_go_row(execution);
        if (leave(execution)) return OUTCOME_PARKED;
        if (!find_scripts(execution, &leaves)) return execution_lacks_memory(execution);
    }
    if (is_to_come && execution->scripts_write && script_waits_for_pause(execution)) return OUTCOME_PARKED;
    return run_phases(execution);
}

enum outcome transaction_run(struct execution *execution) {
    struct transaction *transaction = transaction_at(execution);
    if (transaction == NULL || !transaction->is_open) {
        reply_error(execution->reply, "ERR EXEC without MULTI");
        return OUTCOME_DONE;
    }
    if (transaction->has_failed) {
        transaction_end(execution->worker, execution->task);
        reply_error(execution->reply, "EXECABORT Transaction discarded because of previous errors.");
        return OUTCOME_DONE;
    }
    if (transaction->is_touched) {
        transaction_end(execution->worker, execution->task);
        reply_null_array(execution->reply);
        return OUTCOME_DONE;
    }
    size_t mark = reply_mark(execution->reply);
    execution->transaction = transaction;
    bool has_scripts = transaction->has_scripts; /* it may leave */
    enum outcome outcome = run_prepared(execution);
    if (has_scripts) script_let_go_row(execution);
    if (outcome == OUTCOME_PARKED) return outcome;
    if (transaction->has_run) {
        account_all(execution);
        reply_errors_clear(execution->reply); /* they are its commands' */
    }
    if (execution->is_rejected)
        transaction_refused(execution, mark);
    else
        transaction_end(execution->worker, execution->task);
    execution->transaction = NULL;
    return OUTCOME_DONE;
}
