/* CLIENT, as far as it is about the client's own connection: its number, its name, its library, and how it
 * wants to be treated. */
#include "own.h"

#include <stdlib.h>
#include <string.h>

#include "server/command/command.h"

/* ------------------------------------------------------------------ names */

static bool is_printable(const struct bulk *text) {
    for (size_t i = 0; i < text->length; i++)
        if (text->data[i] < '!' || text->data[i] > '~') return false;
    return true;
}

/* `what` is how a refusal speaks of the name. */
static bool name_check(const struct bulk *what, const struct bulk *name, struct reply *reply) {
    int length = (int)what->length;
    if (name->length > SESSION_NAME_MOST)
        reply_error_format(reply, "ERR %.*s cannot be longer than %zu bytes.", length, what->data,
                           SESSION_NAME_MOST);
    else if (!is_printable(name))
        reply_error_format(reply, "ERR %.*s cannot contain spaces, newlines or special characters.", length,
                           what->data);
    else
        return true;
    return false;
}

/* Sets an owned text; an empty one clears it. */
static bool text_set(char **place, const struct bulk *text, struct reply *reply) {
    char *copy = NULL;
    if (text->length > 0) {
        copy = malloc(text->length + 1);
        if (copy == NULL) {
            reply_error(reply, ERROR_NO_MEMORY);
            return false;
        }
        memcpy(copy, text->data, text->length);
        copy[text->length] = '\0';
    }
    free(*place);
    *place = copy;
    return true;
}

static const struct bulk client_names = {.data = (char *)(uintptr_t)"Client names",
                                         .length = sizeof "Client names" - 1};

bool client_name_check(const struct bulk *name, struct reply *reply) {
    return name_check(&client_names, name, reply);
}

bool client_name_set(struct session *session, const struct bulk *name, struct reply *reply) {
    return client_name_check(name, reply) && text_set(&session->name, name, reply);
}

/* ------------------------------------------------------------------ commands */

static void command_client_id(struct session *session, const struct call *call, struct reply *reply) {
    (void)call;
    reply_integer(reply, (int64_t)session->id);
}

static void command_client_getname(struct session *session, const struct call *call, struct reply *reply) {
    (void)call;
    if (session->name == NULL)
        reply_null(reply);
    else
        reply_bulk_text(reply, session->name);
}

static void command_client_setname(struct session *session, const struct call *call, struct reply *reply) {
    if (client_name_set(session, &call->arguments[2], reply)) reply_ok(reply);
}

static void command_client_setinfo(struct session *session, const struct call *call, struct reply *reply) {
    const struct bulk *option = &call->arguments[2], *value = &call->arguments[3];
    bool is_name = argument_is(option, "LIB-NAME");
    if (!is_name && !argument_is(option, "LIB-VER")) {
        reply_error_format(reply, "ERR Unrecognized option '%.*s'", (int)option->length, option->data);
        return;
    }
    if (!name_check(option, value, reply)) return;
    if (session->library == NULL) session->library = calloc(1, sizeof *session->library);
    if (session->library == NULL)
        reply_error(reply, ERROR_NO_MEMORY);
    else if (text_set(is_name ? &session->library->name : &session->library->version, value, reply))
        reply_ok(reply);
}

static void command_client_reply(struct session *session, const struct call *call, struct reply *reply) {
    const struct bulk *mode = &call->arguments[2];
    if (argument_is(mode, "ON")) {
        session->reply_mode = REPLY_ON;
        reply_ok(reply);
    } else if (argument_is(mode, "OFF")) {
        session->reply_mode = REPLY_OFF;
    } else if (argument_is(mode, "SKIP")) {
        if (session->reply_mode != REPLY_OFF) session->reply_mode = REPLY_SKIP_NEXT;
    } else {
        reply_error(reply, ERROR_SYNTAX);
    }
}

/* What it is now, if the value is neither. */
static bool read_switch(bool is_on, const struct bulk *value, struct reply *reply) {
    if (argument_is(value, "ON") || argument_is(value, "OFF")) {
        reply_ok(reply);
        return argument_is(value, "ON");
    }
    reply_error(reply, ERROR_SYNTAX);
    return is_on;
}

static void command_client_no_evict(struct session *session, const struct call *call, struct reply *reply) {
    session->is_no_evict = read_switch(session->is_no_evict, &call->arguments[2], reply);
}

static void command_client_no_touch(struct session *session, const struct call *call, struct reply *reply) {
    session->is_no_touch = read_switch(session->is_no_touch, &call->arguments[2], reply);
}

/* ------------------------------------------------------------------ rows */

const struct command own_client_commands[] = {
    {.name = "client|getname",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .session = command_client_getname,
     .categories = "connection",
     .since = "2.6.9",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Tells the connection's name"},
    {.name = "client|id",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .session = command_client_id,
     .categories = "connection",
     .since = "5.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Tells the connection's number"},
    {.name = "client|no-evict",
     .arity = 3,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .session = command_client_no_evict,
     .categories = "connection",
     .since = "7.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Spares the connection when client memory is short",
     .syntax = "enabled:oneof(on=ON off=OFF)"},
    {.name = "client|reply",
     .arity = 3,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_MAY_BE_SILENT,
     .session = command_client_reply,
     .categories = "connection",
     .since = "3.2.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Chooses whether the connection is answered",
     .syntax = "on_off_skip:oneof(on=ON off=OFF skip=SKIP)"},
    {.name = "client|setname",
     .arity = 3,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .session = command_client_setname,
     .categories = "connection",
     .since = "2.6.9",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Names the connection",
     .syntax = "connection-name:string"},
    {.name = "client|no-touch",
     .arity = 3,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .session = command_client_no_touch,
     .categories = "connection",
     .since = "7.2.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Makes the connection's commands leave access times alone",
     .syntax = "enabled:oneof(on=ON off=OFF)"},
    {.name = "client|setinfo",
     .arity = 4,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .session = command_client_setinfo,
     .categories = "connection",
     .since = "7.2.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Notes the client library's name or version",
     .syntax = "attr:oneof(libname:string=LIB-NAME libver:string=LIB-VER)",
     .tips = "request_policy:all_nodes,response_policy:all_succeeded"},
    {.name = NULL},
};
