/* ACL SETUSER, DELUSER, LOAD: what changes users. When they are answered every worker has done with what it
 * began under the rules before, and clients that may not stay are closed: each worker is asked to see to its
 * own (inquiry.h). ACL SAVE, and who the users are. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "server/acl/check.h"
#include "server/acl/describe.h"
#include "server/acl/file.h"
#include "server/acl/users.h"
#include "server/broadcast/subscriptions.h"
#include "server/client/clients.h"
#include "server/command/command.h"
#include "server/config/config.h"
#include "server/task/user.h"
#include "server/worker/inquiry.h"

#define SHOWN_MOST 1024

/* ------------------------------------------------------------------ clients that may not stay */

/* The client that asks is answered before it is closed, and may do nothing any more. */
static void turn_out(struct connection *connection, const struct inquiry *inquiry) {
    struct session *session = &connection->task.session;
    if (session->id != inquiry->asker) {
        connection_dismiss(connection, "its user has changed");
        return;
    }
    session_become(session, NULL);
    session->is_authenticated = false;
    session->closes_after_reply = true;
}

static void turn_out_gone(struct worker *worker, const struct inquiry *inquiry) {
    for (struct connection *connection = worker->clients->connections, *next; connection != NULL;
         connection = next) {
        const struct user *user = session_user(&connection->task.session);
        next = connection->next;
        if (user != NULL && atomic_load(&user->is_gone)) turn_out(connection, inquiry);
    }
}

static bool may_hear(const void *context, enum channel_kind kind, const char *name, size_t length) {
    return rules_allow_channel(context, name, length, kind == CHANNEL_PATTERN);
}

/* Who hears what its user may not hear any more. */
static void turn_out_hearers(struct worker *worker, struct user *user, const struct inquiry *inquiry) {
    const struct rules *rules = users_rules(user, worker->number);
    for (struct connection *connection = worker->clients->connections, *next; connection != NULL;
         connection = next) {
        const struct session *session = &connection->task.session;
        next = connection->next;
        if (session_user(session) != user || subscriptions_are_all(session, may_hear, rules)) continue;
        turn_out(connection, inquiry);
    }
}

static void reply_ok_of(struct inquiry *inquiry, const struct call *call, struct reply *reply) {
    (void)inquiry;
    (void)call;
    reply_ok(reply);
}

/* ------------------------------------------------------------------ SETUSER */

static void reply_rules_error(enum rules_error error, const struct bulk *failed, struct reply *reply) {
    int shown = failed->length < SHOWN_MOST ? (int)failed->length : SHOWN_MOST;
    const char *word = failed->data == NULL ? "" : failed->data;
    if (error == RULES_NO_MEMORY)
        reply_error(reply, ERROR_NO_MEMORY);
    else if (error == RULES_UNMATCHED)
        reply_error_format(reply, "ERR Unmatched parenthesis in acl selector starting at '%.*s'.", shown,
                           word);
    else
        reply_error_format(reply, "ERR Error in ACL SETUSER modifier '%.*s': %s", shown, word,
                           rules_error_text(error));
}

/* *is_late: the user was deleted meanwhile, and nothing is done. */
static enum rules_error try_to_set(const struct call *call, struct bulk *failed, bool *is_late) {
    const struct bulk *name = &call->arguments[2];
    struct rules *present = users_find(name), *rules = present == NULL ? rules_create() : rules_copy(present);
    enum rules_error error = RULES_NO_MEMORY;
    enum users_outcome outcome = USERS_NO_MEMORY;
    if (rules != NULL) rules->steps_left = RULES_STEPS_MOST;
    if (rules != NULL) error = rules_apply_all(rules, call->arguments + 3, call->count - 3, failed);
    if (error == RULES_FINE) outcome = users_put(name, rules, present);
    if (error == RULES_FINE && outcome == USERS_NO_MEMORY) error = RULES_NO_MEMORY;
    *is_late = outcome == USERS_LATE;
    rules_let_go(present);
    if (outcome != USERS_PUT) rules_let_go(rules);
    return error;
}

/* true: it is done. Of a user that is deleted by somebody else nothing is left: then it is made anew. */
static bool set_user(const struct call *call, struct reply *reply) {
    struct bulk failed = {.data = NULL};
    enum rules_error error;
    bool is_late;
    users_change_begin();
    do error = try_to_set(call, &failed, &is_late);
    while (is_late);
    users_change_end();
    if (error != RULES_FINE) reply_rules_error(error, &failed, reply);
    free(failed.data);
    return error == RULES_FINE;
}

static bool command_setuser_answer(struct worker *worker, struct task *task, const struct call *call,
                                   struct reply *reply) {
    (void)worker;
    (void)task;
    if (rules_name_is_fine(call->arguments[2].data, call->arguments[2].length)) return !set_user(call, reply);
    reply_error(reply, "ERR Usernames can't contain spaces or null characters");
    return true;
}

static void command_setuser_visit(struct worker *worker, struct inquiry *inquiry) {
    struct user *user;
    if (!users_hearing_is_narrowed(&inquiry->arguments[2], worker->number, &user)) return;
    turn_out_hearers(worker, user, inquiry);
    user_let_go(user);
}

/* ------------------------------------------------------------------ DELUSER */

static bool command_deluser_check(const struct call *call, struct reply *reply) {
    for (uint32_t i = 2; i < call->count; i++) {
        if (!argument_equals(&call->arguments[i], DEFAULT_USER)) continue;
        reply_error(reply, "ERR The 'default' user cannot be removed");
        return false;
    }
    return true;
}

/* Whoever comes first removes them, and counts; one who is made anew meanwhile stays. */
static void command_deluser_visit(struct worker *worker, struct inquiry *inquiry) {
    struct inquiry_answer *answer = inquiry_answer(inquiry, worker);
    answer->number = users_remove(inquiry->arguments + 2, inquiry->count - 2, &inquiry->is_done);
    turn_out_gone(worker, inquiry);
}

static void command_deluser_conclude(struct inquiry *inquiry, const struct call *call, struct reply *reply) {
    int64_t removed = 0;
    (void)call;
    for (uint32_t i = 0; i < inquiry->workers; i++) removed += inquiry->answers[i].number;
    reply_integer(reply, removed);
}

/* ------------------------------------------------------------------ LOAD, SAVE */

static bool has_file(char path[PATH_MAX], struct reply *reply) {
    config_text("aclfile", path, PATH_MAX);
    if (*path != '\0') return true;
    reply_error(reply,
                "ERR This Redis instance is not configured to use an ACL file. You may want to specify users "
                "via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis "
                "configuration file set) in order to store users in the Redis configuration.");
    return false;
}

static bool command_load_answer(struct worker *worker, struct task *task, const struct call *call,
                                struct reply *reply) {
    char path[PATH_MAX];
    struct reply mistakes;
    (void)worker;
    (void)task;
    if (!has_file(path, reply)) return true;
    reply_init(&mistakes, call->protocol);
    bool is_loaded = users_load(path, &mistakes);
    if (!is_loaded && mistakes.length == 0)
        reply_error(reply, ERROR_NO_MEMORY);
    else if (!is_loaded)
        reply_error_format(reply, "ERR %.*s", (int)mistakes.length, mistakes.data);
    reply_free(&mistakes);
    return !is_loaded;
}

/* As in Redis 7.2 all clients of users other than the default one go. */
static void command_load_visit(struct worker *worker, struct inquiry *inquiry) {
    static char name[] = DEFAULT_USER;
    const struct bulk default_name = {.data = name, .length = sizeof name - 1};
    struct user *user;
    turn_out_gone(worker, inquiry);
    if (users_hearing_is_narrowed(&default_name, worker->number, &user))
        turn_out_hearers(worker, user, inquiry);
}

static void command_save(const struct call *call, struct reply *reply) {
    char path[PATH_MAX];
    (void)call;
    if (!has_file(path, reply)) return;
    if (users_save(path))
        reply_ok(reply);
    else
        reply_error(reply, "ERR There was an error trying to save the ACLs. Please check the server logs for "
                           "more information");
}

/* ------------------------------------------------------------------ LIST, USERS, WHOAMI */

/* An answer for each user is to follow. NULL: there is no memory, and that is replied. */
static struct user_listed *list_begin(struct reply *reply, uint32_t *count) {
    struct user_listed *list = users_list(count);
    if (list == NULL)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_array(reply, *count);
    return list;
}

static void command_list(const struct call *call, struct reply *reply) {
    uint32_t count;
    struct user_listed *list = list_begin(reply, &count);
    (void)call;
    if (list == NULL) return;
    for (uint32_t i = 0; i < count; i++) {
        struct reply text;
        reply_init(&text, 2);
        reply_raw(&text, "user ", strlen("user "));
        reply_raw(&text, list[i].user->name, list[i].user->length);
        reply_raw(&text, " ", 1);
        describe_rules(list[i].rules, &text);
        if (text.is_broken)
            reply->is_broken = true;
        else
            reply_bulk(reply, text.data, text.length);
        reply_free(&text);
    }
    users_list_free(list, count);
}

static void command_users(const struct call *call, struct reply *reply) {
    uint32_t count;
    struct user_listed *list = list_begin(reply, &count);
    (void)call;
    if (list == NULL) return;
    for (uint32_t i = 0; i < count; i++) reply_bulk(reply, list[i].user->name, list[i].user->length);
    users_list_free(list, count);
}

static void command_whoami(const struct call *call, struct reply *reply) {
    reply_bulk_text(reply, user_name(session_user(call->session)));
}

/* ------------------------------------------------------------------ rows */

#define CHANGING_FLAGS (COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE)

const struct command users_commands[] = {
    {.name = "acl",
     .arity = -2,
     .since = "6.0.0",
     .group = "server",
     .complexity = "Depends on the subcommand",
     .summary = "Commands about users"},
    {.name = "acl|setuser",
     .arity = -3,
     .flags = CHANGING_FLAGS,
     .answer = command_setuser_answer,
     .visit = command_setuser_visit,
     .conclude = reply_ok_of,
     .holds_at_once = true,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(N) for N rules",
     .summary = "Makes a user, or changes what it may do",
     .syntax = "username:string [rule:string...]",
     .history = "6.2.0:rules for channels;7.0.0:selectors, and patterns of keys for reading or writing",
     .tips = "request_policy:all_nodes,response_policy:all_succeeded"},
    {.name = "acl|deluser",
     .arity = -3,
     .flags = CHANGING_FLAGS,
     .check = command_deluser_check,
     .visit = command_deluser_visit,
     .conclude = command_deluser_conclude,
     .holds_at_once = true,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(1) for each user, and O(N) for N clients",
     .summary = "Deletes users, and closes their clients",
     .syntax = "username:string...",
     .tips = "request_policy:all_nodes,response_policy:all_succeeded"},
    {.name = "acl|load",
     .arity = 2,
     .flags = CHANGING_FLAGS,
     .answer = command_load_answer,
     .visit = command_load_visit,
     .conclude = reply_ok_of,
     .holds_at_once = true,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(N) for N users",
     .summary = "Reads all users anew from the aclfile"},
    {.name = "acl|save",
     .arity = 2,
     .flags = CHANGING_FLAGS,
     .plain = command_save,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(N) for N users",
     .summary = "Writes all users to the aclfile",
     .tips = "request_policy:all_nodes,response_policy:all_succeeded"},
    {.name = "acl|list",
     .arity = 2,
     .flags = CHANGING_FLAGS,
     .plain = command_list,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(N) for N users",
     .summary = "Shows all users as an aclfile has them"},
    {.name = "acl|users",
     .arity = 2,
     .flags = CHANGING_FLAGS,
     .plain = command_users,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(N) for N users",
     .summary = "Shows the names of all users"},
    {.name = "acl|whoami",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_whoami,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Shows who the client is"},
    {.name = NULL},
};
