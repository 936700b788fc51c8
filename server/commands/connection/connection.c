/* Commands of a client about its own session: its user, its protocol, its database. */
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/keyspace.h"
#include "server/config/config.h"
#include "server/broadcast/monitor.h"
#include "server/broadcast/subscriptions.h"
#include "server/base/version.h"
#include "server/interest/tracking.h"
#include "server/run/permit.h"
#include "server/run/transaction.h"
#include "server/task/user.h"
#include "server/worker/worker.h"
#include "server/command/command.h"
#include "server/commands/client/own.h"

static void command_ping(const struct call *call, struct reply *reply) {
    bool is_among_messages = call->protocol == 2 && session_is_subscriber(call->session);
    if (call->count > 2) {
        reply_error(reply, "ERR wrong number of arguments for 'ping' command");
        return;
    }
    if (is_among_messages) {
        reply_array(reply, 2);
        reply_bulk_text(reply, "pong");
    }
    if (is_among_messages && call->count == 1)
        reply_bulk_text(reply, "");
    else if (call->count == 2)
        reply_bulk(reply, call->arguments[1].data, call->arguments[1].length);
    else
        reply_status(reply, "PONG");
}

static void command_echo(const struct call *call, struct reply *reply) {
    reply_bulk(reply, call->arguments[1].data, call->arguments[1].length);
}

static void command_quit(struct session *session, const struct call *call, struct reply *reply) {
    (void)call;
    session->closes_after_reply = true;
    reply_ok(reply);
}

/* SELECT, COPY, MOVE and SWAPDB each check the number of a database with words of their own; these are
 * SELECT's. */
static void command_select(struct session *session, const struct call *call, struct reply *reply) {
    int64_t index;
    if (!argument_integer_within(&call->arguments[1], INT32_MIN, INT32_MAX, &index, reply, NULL)) return;
    if (index < 0 || index >= keyspace_database_count(call->keyspace)) {
        reply_error(reply, "ERR DB index is out of range");
        return;
    }
    session->database = (uint32_t)index;
    reply_ok(reply);
}

/* Makes the session what it is on a new connection. */
static void command_reset(struct worker *worker, struct task *task, const struct call *call,
                          struct reply *reply) {
    struct session *session = &task->session;
    (void)call;
    monitor_forget(task);
    subscriptions_forget(worker, task);
    tracking_end(worker, task);
    transaction_end(worker, task);
    session->database = 0;
    reply->protocol = session->protocol = 2;
    session->is_no_evict = session->is_no_touch = false;
    session->reply_mode = REPLY_ON;
    session_become(session, NULL);
    session->is_authenticated = config_is_open();
    size_t before = session_bytes(session);
    free(session->name);
    session->name = NULL;
    worker_account_session(worker, session, before);
    reply_status(reply, "RESET");
}

/* ------------------------------------------------------------------ authentication */

/* Replies and returns false if the password doesn't prove the name. */
static bool authenticate(struct session *session, const struct call *call, const struct bulk *name,
                         const struct bulk *password, struct reply *reply) {
    struct user *user;
    if (users_authenticate(name, password, &user)) {
        session_become(session, user);
        session->is_authenticated = true;
        return true;
    }
    denial_of_name(session, &call->arguments[0], name, call->now);
    reply_error(reply, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

static void command_auth(struct session *session, const struct call *call, struct reply *reply) {
    if (call->count > 3) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (call->count == 2 && !config_has_password()) {
        reply_error(reply, "ERR AUTH <password> called without any password configured for the default user. "
                           "Are you sure your "
                           "configuration is correct?");
        return;
    }
    const struct bulk unnamed = {.data = DEFAULT_USER, .length = strlen(DEFAULT_USER)};
    const struct bulk *name = call->count == 3 ? &call->arguments[1] : &unnamed;
    if (authenticate(session, call, name, &call->arguments[call->count - 1], reply)) reply_ok(reply);
}

static void greet(const struct session *session, struct reply *reply) {
    reply_map(reply, 7);
    reply_bulk_text(reply, "server");
    reply_bulk_text(reply, "redis"); /* clients look for it */
    reply_bulk_text(reply, "version");
    reply_bulk_text(reply, REDIS_VERSION);
    reply_bulk_text(reply, "proto");
    reply_integer(reply, session->protocol);
    reply_bulk_text(reply, "id");
    reply_integer(reply, (int64_t)session->id);
    reply_bulk_text(reply, "mode");
    reply_bulk_text(reply, "standalone");
    reply_bulk_text(reply, "role");
    reply_bulk_text(reply, "master");
    reply_bulk_text(reply, "modules");
    reply_array(reply, 0);
}

static void command_hello(struct session *session, const struct call *call, struct reply *reply) {
    int64_t version = 0;
    const struct bulk *user = NULL, *password = NULL, *name = NULL; /* user and password: both or neither */
    if (call->count > 1) {
        if (!argument_integer(&call->arguments[1], &version, reply,
                              "ERR Protocol version is not an integer or out of range"))
            return;
        if (version < 2 || version > 3) {
            reply_error(reply, "NOPROTO unsupported protocol version");
            return;
        }
    }
    for (uint32_t i = 2; i < call->count; i++) {
        uint32_t left = call->count - 1 - i;
        const struct bulk *option = &call->arguments[i];
        if (argument_is(option, "AUTH") && left >= 2) {
            user = &call->arguments[i + 1];
            password = &call->arguments[i + 2];
            i += 2;
        } else if (argument_is(option, "SETNAME") && left >= 1) {
            name = &call->arguments[++i];
            if (!client_name_check(name, reply)) return;
        } else {
            reply_error_format(reply, "ERR Syntax error in HELLO option '%.*s'", (int)option->length,
                               option->data);
            return;
        }
    }
    struct user *before = user_hold(session_user(session));
    bool was_authenticated = session->is_authenticated;
    if (password != NULL && !authenticate(session, call, user, password, reply)) {
        user_let_go(before);
        return;
    }
    if (!session_is_admitted(session)) {
        user_let_go(before);
        reply_error(reply, "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
                           "HELLO <proto> AUTH <user> "
                           "<pass> option can be used to authenticate the client and select the RESP "
                           "protocol version at the same time");
        return;
    }
    if (name != NULL && !client_name_set(session, name, reply)) {
        session_become(session, before); /* there was no memory: nothing has changed */
        session->is_authenticated = was_authenticated;
        return;
    }
    user_let_go(before);
    if (version != 0) reply->protocol = session->protocol = (uint8_t)version;
    greet(session, reply);
}

/* ------------------------------------------------------------------ rows */

const struct command connection_commands[] = {
    {.name = "ping",
     .arity = -1,
     .flags = COMMAND_FAST,
     .plain = command_ping,
     .is_for_subscribers = true,
     .categories = "connection",
     .since = "1.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Answers PONG, or its argument",
     .syntax = "[message:string]",
     .tips = "request_policy:all_shards,response_policy:all_succeeded"},
    {.name = "echo",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST,
     .plain = command_echo,
     .categories = "connection",
     .since = "1.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Answers its argument",
     .syntax = "message:string"},
    {.name = "hello",
     .arity = -1,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_NO_AUTH |
              COMMAND_ALLOW_BUSY,
     .session = command_hello,
     .changes_user = true,
     .categories = "connection",
     .since = "6.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Agrees on the protocol version",
     .syntax = "[arguments:block(protover:integer [username_password:block=AUTH(username:string "
               "password:string)] [clientname:string=SETNAME])]",
     .history = "6.2.0:the version may be left out"},
    {.name = "auth",
     .arity = -2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_NO_AUTH |
              COMMAND_ALLOW_BUSY,
     .session = command_auth,
     .changes_user = true,
     .categories = "connection",
     .since = "1.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Authenticates the connection",
     .syntax = "[username:string@6.0.0] password:string",
     .history = "6.0.0:takes a user name, too"},
    {.name = "select",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST,
     .session = command_select,
     .categories = "connection",
     .since = "1.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Chooses the database",
     .syntax = "index:integer"},
    {.name = "reset",
     .arity = 1,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_NO_AUTH |
              COMMAND_ALLOW_BUSY,
     .worker = command_reset,
     .runs_at_once = true,
     .is_for_subscribers = true,
     .categories = "connection",
     .since = "6.2.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Makes the connection as new"},
    {.name = "quit",
     .arity = -1,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_NO_AUTH |
              COMMAND_ALLOW_BUSY,
     .session = command_quit,
     .runs_at_once = true,
     .is_for_subscribers = true,
     .categories = "connection",
     .since = "1.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Closes the connection"},
    {.name = NULL},
};
