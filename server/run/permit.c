#include "permit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "server/task/transaction.h"
#include "server/task/user.h"

/* Of a line about a client, with a name of a usual length. */
#define LINE_SIZE 1024

static void count(struct worker *worker, enum acl_reason reason) {
    counter *const counters[] = {
        [ACL_REASON_COMMAND] = &worker->denied_commands,
        [ACL_REASON_KEY] = &worker->denied_keys,
        [ACL_REASON_CHANNEL] = &worker->denied_channels,
        [ACL_REASON_AUTH] = &worker->denied_names,
    };
    counter_add(counters[reason], 1);
}

static enum acl_reason reason_of(enum verdict verdict) {
    return verdict == VERDICT_KEY       ? ACL_REASON_KEY
           : verdict == VERDICT_CHANNEL ? ACL_REASON_CHANNEL
                                        : ACL_REASON_COMMAND;
}

/* An errand's task has no connection, and says less. */
static void describe(const struct task *task, char line[LINE_SIZE]) {
    const struct session *session = &task->session;
    char peer[TASK_ADDRESS];
    if (task->functions->describe != NULL) {
        task->functions->describe(task, line, LINE_SIZE);
        return;
    }
    task->functions->peer(task, peer, sizeof peer);
    snprintf(line, LINE_SIZE, "id=%llu addr=%s name=%.256s db=%u user=%.256s",
             (unsigned long long)session->id, peer, session->name == NULL ? "" : session->name,
             session->database, user_name(session_user(session)));
}

static void note(const struct task *task, struct worker *worker, enum acl_reason reason,
                 enum acl_context context, const struct bulk *object, const struct bulk *name, int64_t now) {
    char line[LINE_SIZE];
    count(worker, reason);
    describe(task, line);
    acl_log_note(reason, context, object, name, line, now);
}

static struct bulk name_of(const struct user *user) {
    const char *name = user_name(user);
    return (struct bulk){.data = (char *)(uintptr_t)name, .length = strlen(name)};
}

static void note_denial(const struct execution *execution, const struct user *user, enum verdict verdict,
                        enum acl_context context, const struct bulk *object) {
    const struct bulk name = name_of(user);
    if (verdict == VERDICT_NO_MEMORY || verdict == VERDICT_ALLOWED) return;
    note(execution->task, execution->worker, reason_of(verdict), context, object, &name, execution->call.now);
}

struct bulk denial_object(const struct call *call, struct denial denial) {
    if (denial.verdict != VERDICT_COMMAND) return call->arguments[denial.position];
    return (struct bulk){.data = (char *)(uintptr_t)call->command->full_name,
                         .length = strlen(call->command->full_name)};
}

struct denial permission_of(struct user *user, const struct worker *worker, const struct call *call) {
    struct denial denial;
    denial.verdict = rules_check(users_rules(user, worker->number), call->command, call->arguments,
                                 call->count, &denial.position);
    return denial;
}

static struct denial permission(const struct execution *execution, const struct call *call) {
    return permission_of(session_user(&execution->task->session), execution->worker, call);
}

/* ------------------------------------------------------------------ requests */

/* A user's name may be of any length. */
static void reply_text(struct reply *reply, const struct execution *execution, const struct call *call,
                       enum verdict verdict) {
    const char *name = user_name(session_user(&execution->task->session));
    if (verdict == VERDICT_COMMAND)
        reply_error_format(reply, "NOPERM User %s has no permissions to run the '%s' command", name,
                           call->command->full_name);
    else if (verdict == VERDICT_NO_MEMORY)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_error_format(reply, "NOPERM No permissions to access a %s",
                           verdict == VERDICT_KEY ? "key" : "channel");
}

void denial_reply(const struct execution *execution, const struct call *call, struct denial denial,
                  struct reply *reply) {
    const struct transaction *transaction = execution->task->session.transaction;
    bool is_queueing = transaction != NULL && transaction->is_open;
    const struct bulk object = denial_object(call, denial);
    execution->task->last_command = (uint16_t)(call->command->id + 1); /* what is shown of the client */
    reply_text(reply, execution, call, denial.verdict);
    note_denial(execution, session_user(&execution->task->session), denial.verdict,
                is_queueing ? ACL_MULTI : ACL_TOPLEVEL, &object);
}

/* SORT looks at its options when it is run. Returns what is wrong with them for that user, or NULL. */
static const char *sort_error(const struct execution *execution, const struct call *call) {
    if ((call->command->flags & COMMAND_FINDS) == 0) return NULL;
    struct user *user = session_user(&execution->task->session);
    return rules_sort_error(users_rules(user, execution->worker->number), call->command, call->arguments,
                            call->count);
}

static bool may_sort(const struct execution *execution, const struct call *call, struct reply *reply) {
    const char *error = sort_error(execution, call);
    if (error != NULL) reply_error(reply, error);
    return error == NULL;
}

bool is_permitted(const struct execution *execution) {
    const struct call *call = &execution->call;
    const struct transaction *transaction = execution->task->session.transaction;
    struct denial denial = permission(execution, call);
    if (denial.verdict == VERDICT_ALLOWED) {
        bool is_queueing = transaction != NULL && transaction->is_open;
        return is_queueing || may_sort(execution, call, execution->reply);
    }
    denial_reply(execution, call, denial, execution->reply);
    return false;
}

static void queued_denial_forget(struct queued *queued) {
    user_let_go(queued->denied_as);
    queued->denied_as = NULL;
    queued->is_denied = false;
}

bool is_still_permitted(const struct execution *execution, struct queued *queued, const struct call *call,
                        struct reply *reply) {
    static const char *const reasons[] = {
        [VERDICT_COMMAND] = "no permission to execute the command or subcommand",
        [VERDICT_KEY] = "no permission to touch the specified keys",
        [VERDICT_CHANNEL] = "no permission to access one of the channels used as arguments to the command",
    };
    struct denial denial = permission(execution, call);
    bool is_allowed = denial.verdict == VERDICT_ALLOWED;
    queued_denial_forget(queued); /* it may have been asked before, in vain */
    if (is_allowed && may_sort(execution, call, reply)) return true;
    queued->is_denied = true;
    queued->verdict = (uint8_t)denial.verdict;
    queued->denied_at = denial.position;
    queued->denied_as = user_hold(session_user(&execution->task->session));
    execution->transaction->holds_more = true;
    if (denial.verdict == VERDICT_NO_MEMORY)
        reply_error(reply, ERROR_NO_MEMORY);
    else if (!is_allowed)
        reply_error_format(
            reply,
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the "
            "EXEC call. This command is no longer allowed for the following reason: %s",
            reasons[denial.verdict]);
    return false;
}

void queued_denial_note(const struct execution *execution, struct queued *queued) {
    const struct denial denial = {(enum verdict)queued->verdict, queued->denied_at};
    const struct call call = {
        .command = queued->command, .arguments = queued->arguments, .count = queued->count};
    const struct bulk object = denial_object(&call, denial);
    note_denial(execution, queued->denied_as, denial.verdict, ACL_MULTI, &object);
    queued_denial_forget(queued);
}

/* ------------------------------------------------------------------ scripts */

bool script_is_permitted(const struct execution *execution, const struct call *call, struct denial *denial,
                         char *why, size_t size) {
    struct user *user = session_user(&execution->task->session);
    *denial = permission(execution, call);
    if (denial->verdict == VERDICT_ALLOWED) {
        const char *error = sort_error(execution, call);
        if (error != NULL) snprintf(why, size, "%s", error);
        return error == NULL;
    }
    if (denial->verdict == VERDICT_NO_MEMORY) {
        snprintf(why, size, "%s", ERROR_NO_MEMORY);
        return false;
    }
    size_t length = (size_t)snprintf(why, size, "ERR ACL failure in script: ");
    verdict_text(denial->verdict, user_name(user), call->command, NULL, why + length, size - length);
    return false;
}

void script_denial_note(const struct execution *execution, const struct user *user, enum verdict verdict,
                        const struct bulk *object) {
    note_denial(execution, user, verdict, ACL_LUA, object);
}

/* ------------------------------------------------------------------ names */

void denial_of_name(const struct session *session, const struct bulk *word, const struct bulk *name,
                    int64_t now) {
    const struct transaction *transaction = session->transaction;
    bool is_queued = transaction != NULL && transaction->is_open;
    note(task_of_session(session), worker_self(), ACL_REASON_AUTH, is_queued ? ACL_MULTI : ACL_TOPLEVEL, word,
         name, now);
}
