/* CLIENT: what one client may learn of the others, and do to them. Connections belong to their workers, so
 * every such command asks all workers (inquiry.h): each looks at its own, and the asker puts the answers
 * together. */
#include <stdlib.h>
#include <string.h>

#include "shard/base/number.h"
#include "server/acl/users.h"
#include "server/run/dispatch.h"
#include "server/task/user.h"
#include "server/worker/inquiry.h"
#include "server/client/clients.h"
#include "server/command/command.h"

static void command_client_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CACHING (YES|NO)",
        "    Whether the next command's keys are tracked, in the modes OPTIN and OPTOUT.",
        "GETNAME",
        "    The name of this connection.",
        "GETREDIR",
        "    The connection to which this one's invalidations are redirected.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    A line about this connection.",
        "KILL <ip:port>",
        "    Closes the connection that came from there.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Closes every connection that meets all of the options:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      where it came from",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      where it arrived",
        "    * ID <client-id>",
        "      its number",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      its type",
        "    * USER <username>",
        "      who it has authenticated as",
        "    * SKIPME (YES|NO)",
        "      whether to spare this connection (default: yes)",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [...]]",
        "    A line about every connection, or about those.",
        "NO-EVICT (ON|OFF)",
        "    Keeps this connection when client memory is short.",
        "NO-TOUCH (ON|OFF)",
        "    Commands of this connection leave the keys' access times as they are.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Makes all requests, or only writes, wait for that many milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Whether this connection is answered.",
        "SETINFO <LIB-NAME|LIB-VER> <value>",
        "    Tells which client library is used.",
        "SETNAME <name>",
        "    Names this connection.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
        "    Tells this connection when keys change of which it may keep copies.",
        "TRACKINGINFO",
        "    How it is told of them.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Ends the wait of a blocked client.",
        "UNPAUSE",
        "    Ends a pause.",
        "HELP",
        "    This text.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* The line about a client, whole, however long its names are. */
static void write_description(struct reply *text, const struct connection *connection) {
    char line[CONNECTION_DESCRIPTION], *whole = NULL;
    size_t length = connection_describe(connection, line, sizeof line);
    if (length >= sizeof line) {
        whole = malloc(length + 1);
        if (whole == NULL) {
            text->is_broken = true;
            return;
        }
        connection_describe(connection, whole, length + 1);
    }
    reply_raw(text, whole == NULL ? line : whole, length);
    reply_raw(text, "\n", 1);
    free(whole);
}

static void command_client_info(struct worker *worker, struct task *task, const struct call *call,
                                struct reply *reply) {
    struct reply text;
    (void)worker;
    reply_init(&text, call->protocol);
    write_description(&text, connection_of(task));
    reply_collected(reply, &text);
}

/* ------------------------------------------------------------------ which connections are meant */

/* There are no replicas so far: those types are known, and match nobody. */
static bool is_of_type(const struct session *session, const struct bulk *type) {
    return argument_is(type, session_is_subscriber(session) ? "pubsub" : "normal");
}

static bool is_known_type(const struct bulk *type) {
    return argument_is(type, "normal") || argument_is(type, "master") || argument_is(type, "replica") ||
           argument_is(type, "slave") || argument_is(type, "pubsub");
}

struct filter {
    const struct bulk *peer, *local, *type, *user;
    int64_t id; /* 0: any */
    bool spares_asker;
    bool is_old_form; /* CLIENT KILL ip:port */
};

/* Reads CLIENT KILL's arguments. With reply NULL they have been read before and are right. */
static bool filter_read(struct filter *filter, const struct bulk *arguments, uint32_t count,
                        struct reply *reply) {
    *filter = (struct filter){.spares_asker = true};
    if (count == 3) {
        filter->peer = &arguments[2];
        filter->spares_asker = false;
        filter->is_old_form = true;
        return true;
    }
    for (uint32_t i = 2; i < count; i += 2) {
        const struct bulk *option = &arguments[i], *value = &arguments[i + 1];
        if (i + 1 == count) {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
        if (argument_is(option, "ID")) {
            if (!number_parse(value->data, value->length, &filter->id) || filter->id < 1) {
                reply_error(reply, "ERR client-id should be greater than 0");
                return false;
            }
        } else if (argument_is(option, "TYPE")) {
            if (!is_known_type(value)) {
                reply_error_format(reply, "ERR Unknown client type '%.*s'", (int)value->length, value->data);
                return false;
            }
            filter->type = value;
        } else if (argument_is(option, "ADDR")) {
            filter->peer = value;
        } else if (argument_is(option, "LADDR")) {
            filter->local = value;
        } else if (argument_is(option, "USER")) {
            if (reply != NULL && !users_exist(value)) {
                reply_error_format(reply, "ERR No such user '%.*s'", (int)value->length, value->data);
                return false;
            }
            filter->user = value;
        } else if (argument_is(option, "SKIPME") && (argument_is(value, "YES") || argument_is(value, "NO"))) {
            filter->spares_asker = argument_is(value, "YES");
        } else {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static bool filter_matches(const struct filter *filter, const struct connection *connection, uint64_t asker) {
    char address[TASK_ADDRESS];
    if (filter->spares_asker && connection->task.session.id == asker) return false;
    if (filter->id != 0 && connection->task.session.id != (uint64_t)filter->id) return false;
    if (filter->type != NULL && !is_of_type(&connection->task.session, filter->type)) return false;
    if (filter->user != NULL &&
        !argument_equals(filter->user, user_name(session_user(&connection->task.session))))
        return false;
    if (filter->peer != NULL) {
        connection_peer(connection, address, sizeof address);
        if (!argument_equals(filter->peer, address)) return false;
    }
    if (filter->local != NULL) {
        connection_local(connection, address, sizeof address);
        if (!argument_equals(filter->local, address)) return false;
    }
    return true;
}

/* ------------------------------------------------------------------ KILL */

static bool command_client_kill_check(const struct call *call, struct reply *reply) {
    struct filter filter;
    return filter_read(&filter, call->arguments, call->count, reply);
}

static void command_client_kill_visit(struct worker *worker, struct inquiry *inquiry) {
    struct inquiry_answer *answer = inquiry_answer(inquiry, worker);
    struct filter filter;
    filter_read(&filter, inquiry->arguments, inquiry->count, NULL);
    bool is_one = filter.id != 0;
    struct connection *first =
        is_one ? clients_find(worker, (uint64_t)filter.id) : worker->clients->connections;
    for (struct connection *connection = first, *next; connection != NULL; connection = next) {
        next = is_one ? NULL : connection->next;
        if (!filter_matches(&filter, connection, inquiry->asker)) continue;
        answer->number++;
        /* A client that closes itself is answered before it is closed. */
        if (connection->task.session.id == inquiry->asker)
            connection->task.session.closes_after_reply = true;
        else
            connection_dismiss(connection, "killed by CLIENT KILL");
        if (filter.is_old_form) return;
    }
}

static int64_t sum_of_answers(const struct inquiry *inquiry) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < inquiry->workers; i++) sum += inquiry->answers[i].number;
    return sum;
}

static void command_client_kill_conclude(struct inquiry *inquiry, const struct call *call,
                                         struct reply *reply) {
    int64_t killed = sum_of_answers(inquiry);
    if (call->count > 3)
        reply_integer(reply, killed);
    else if (killed > 0)
        reply_ok(reply);
    else
        reply_error(reply, "ERR No such client");
}

/* ------------------------------------------------------------------ LIST */

static bool command_client_list_check(const struct call *call, struct reply *reply) {
    if (call->count == 2) return true;
    if (call->count == 4 && argument_is(&call->arguments[2], "TYPE")) {
        const struct bulk *type = &call->arguments[3];
        if (is_known_type(type)) return true;
        reply_error_format(reply, "ERR Unknown client type '%.*s'", (int)type->length, type->data);
        return false;
    }
    if (call->count >= 4 && argument_is(&call->arguments[2], "ID")) {
        for (uint32_t i = 3; i < call->count; i++) {
            int64_t id;
            if (!argument_integer(&call->arguments[i], &id, reply, "ERR Invalid client ID")) return false;
        }
        return true;
    }
    reply_error(reply, ERROR_SYNTAX);
    return false;
}

/* Stands before each line of a worker's answer: which of the ids the line is for, and how long it is. */
struct line_head {
    uint32_t position;
    size_t length;
};

static void list_by_id(struct worker *worker, struct inquiry *inquiry, struct reply *out) {
    for (uint32_t i = 3; i < inquiry->count; i++) {
        int64_t id = 0;
        number_parse(inquiry->arguments[i].data, inquiry->arguments[i].length, &id);
        const struct connection *found = clients_find(worker, (uint64_t)id);
        if (found == NULL) continue;
        struct line_head head = {.position = i};
        size_t mark = out->length;
        reply_raw(out, (const char *)&head, sizeof head);
        write_description(out, found);
        if (out->is_broken) break;
        head.length = out->length - mark - sizeof head;
        memcpy(out->data + mark, &head, sizeof head);
    }
}

static bool is_by_id(const struct bulk *arguments, uint32_t count) {
    return count > 2 && argument_is(&arguments[2], "ID");
}

static void command_client_list_visit(struct worker *worker, struct inquiry *inquiry) {
    struct reply *out = &inquiry_answer(inquiry, worker)->text;
    if (is_by_id(inquiry->arguments, inquiry->count)) {
        list_by_id(worker, inquiry, out);
        return;
    }
    const struct bulk *type = inquiry->count > 2 ? &inquiry->arguments[3] : NULL;
    for (const struct connection *connection = worker->clients->connections; connection != NULL;
         connection = connection->next)
        if (type == NULL || is_of_type(&connection->task.session, type)) write_description(out, connection);
}

/* The next line among a worker's, if it has another. */
static bool next_line(const struct reply *answer, size_t at, struct line_head *head) {
    if (at == answer->length) return false;
    memcpy(head, answer->data + at, sizeof *head);
    return true;
}

/* Puts the workers' lines into the order in which the ids were given; each worker's lines are in that
 * order. */
static void merge_lines(const struct inquiry *inquiry, struct reply *lines) {
    size_t *at = calloc(inquiry->workers + 1U, sizeof *at);
    if (at == NULL) {
        lines->is_broken = true;
        return;
    }
    for (;;) {
        struct line_head first = {.position = UINT32_MAX}, head;
        uint32_t whose = 0;
        for (uint32_t i = 0; i < inquiry->workers; i++) {
            if (!next_line(&inquiry->answers[i].text, at[i], &head) || head.position >= first.position)
                continue;
            first = head;
            whose = i;
        }
        if (first.position == UINT32_MAX) break;
        reply_raw(lines, inquiry->answers[whose].text.data + at[whose] + sizeof head, first.length);
        at[whose] += sizeof head + first.length;
    }
    free(at);
}

static void command_client_list_conclude(struct inquiry *inquiry, const struct call *call,
                                         struct reply *reply) {
    struct reply lines;
    reply_init(&lines, call->protocol);
    for (uint32_t i = 0; i < inquiry->workers; i++)
        lines.is_broken = lines.is_broken || inquiry->answers[i].text.is_broken;
    if (is_by_id(call->arguments, call->count)) {
        merge_lines(inquiry, &lines);
    } else {
        for (uint32_t i = 0; i < inquiry->workers; i++)
            reply_raw(&lines, inquiry->answers[i].text.data, inquiry->answers[i].text.length);
    }
    reply_collected(reply, &lines);
}

/* ------------------------------------------------------------------ UNBLOCK */

static bool command_client_unblock_check(const struct call *call, struct reply *reply) {
    int64_t id;
    if (call->count > 4) {
        reply_subcommand_error(call, reply);
        return false;
    }
    if (call->count == 4 && !argument_is(&call->arguments[3], "TIMEOUT") &&
        !argument_is(&call->arguments[3], "ERROR")) {
        reply_error(reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return false;
    }
    return argument_integer(&call->arguments[2], &id, reply, NULL);
}

/* A client is blocked if it waits for a key to be filled (BLPOP); a request that is parked on a lock or by a
 * pause isn't blocked in this sense, as in Redis. */
static void command_client_unblock_visit(struct worker *worker, struct inquiry *inquiry) {
    int64_t id = 0;
    const struct bulk *argument = &inquiry->arguments[2];
    struct connection *connection =
        number_parse(argument->data, argument->length, &id) ? clients_find(worker, (uint64_t)id) : NULL;
    bool is_error = inquiry->count == 4 && argument_is(&inquiry->arguments[3], "ERROR");
    inquiry_answer(inquiry, worker)->number =
        connection != NULL && dispatch_unblock(&connection->task, is_error);
}

static void command_client_unblock_conclude(struct inquiry *inquiry, const struct call *call,
                                            struct reply *reply) {
    (void)call;
    reply_integer(reply, sum_of_answers(inquiry));
}

/* ------------------------------------------------------------------ PAUSE */

static bool command_client_pause_check(const struct call *call, struct reply *reply) {
    int64_t timeout;
    if (call->count > 4) {
        reply_subcommand_error(call, reply);
        return false;
    }
    if (call->count == 4 && !argument_is(&call->arguments[3], "WRITE") &&
        !argument_is(&call->arguments[3], "ALL")) {
        reply_error(reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
        return false;
    }
    return argument_timeout(&call->arguments[2], call->now, &timeout, reply);
}

/* A pause under way is neither shortened nor loosened by another one. */
static void command_client_pause_visit(struct worker *worker, struct inquiry *inquiry) {
    int64_t timeout = 0;
    bool only_writes = inquiry->count == 4 && argument_is(&inquiry->arguments[3], "WRITE"),
         present_only_writes;
    argument_timeout(&inquiry->arguments[2], worker->now_monotonic, &timeout,
                     &inquiry_answer(inquiry, worker)->text);
    int64_t until = worker->now_monotonic + timeout;
    int64_t present = dispatch_paused_until(worker, &present_only_writes);
    if (present > worker->now_monotonic) {
        if (present > until) until = present;
        only_writes = only_writes && present_only_writes;
    }
    dispatch_pause(worker, until, only_writes);
}

static void conclude_ok(struct inquiry *inquiry, const struct call *call, struct reply *reply) {
    (void)inquiry;
    (void)call;
    reply_ok(reply);
}

static void command_client_unpause_visit(struct worker *worker, struct inquiry *inquiry) {
    (void)inquiry;
    dispatch_pause(worker, 0, false);
}

/* ------------------------------------------------------------------ rows */

const struct command client_commands[] = {
    {.name = "client",
     .arity = -2,
     .since = "2.4.0",
     .group = "connection",
     .complexity = "as its subcommands",
     .summary = "Commands about connections"},
    {.name = "client|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_client_help,
     .categories = "connection",
     .since = "5.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "client|info",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .worker = command_client_info,
     .categories = "connection",
     .since = "6.2.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Describes this connection",
     .tips = "nondeterministic_output"},
    {.name = "client|kill",
     .arity = -3,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .check = command_client_kill_check,
     .visit = command_client_kill_visit,
     .conclude = command_client_kill_conclude,
     .categories = "connection",
     .since = "2.4.0",
     .group = "connection",
     .complexity = "O(N) for N connections",
     .summary = "Closes connections",
     .syntax = "filter:oneof(ip:port:string~2.8.12 new-format:oneof([client-id:integer=ID@2.8.12] "
               "[normal_master_slave_pubsub:oneof=TYPE@2.8.12(normal=NORMAL master=MASTER@3.2.0 "
               "slave=SLAVE replica=REPLICA@5.0.0 pubsub=PUBSUB)] [username:string=USER] "
               "[ip:port:string=ADDR] [ip:port:string=LADDR@6.2.0] [yes/no:string=SKIPME])...)",
     .history = "2.8.12:options, ID among them;3.2.0:TYPE master;5.0.0:TYPE replica;6.2.0:LADDR"},
    {.name = "client|list",
     .arity = -2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .check = command_client_list_check,
     .visit = command_client_list_visit,
     .is_question = true,
     .conclude = command_client_list_conclude,
     .categories = "connection",
     .since = "2.4.0",
     .group = "connection",
     .complexity = "O(N) for N connections",
     .summary = "Describes the connections",
     .syntax = "[normal_master_replica_pubsub:oneof=TYPE@5.0.0(normal=NORMAL master=MASTER "
               "replica=REPLICA pubsub=PUBSUB)] [id:block=ID@6.2.0(client-id:integer...)]",
     .tips = "nondeterministic_output",
     .history = "2.8.12:field id;5.0.0:TYPE;6.0.0:field user;6.2.0:fields argv-mem, tot-mem, "
                "laddr, redir, and ID;7.0.0:fields resp, multi-mem, rbs, rbp;7.0.3:field "
                "ssub;7.2.0:fields lib-name, lib-ver"},
    {.name = "client|pause",
     .arity = -3,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_EVERY_THREAD,
     .check = command_client_pause_check,
     .visit = command_client_pause_visit,
     .conclude = conclude_ok,
     .categories = "connection",
     .since = "2.9.50",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Makes requests wait for a while",
     .syntax = "timeout:integer [mode:oneof@6.2.0(write=WRITE all=ALL)]",
     .history = "6.2.0:WRITE"},
    {.name = "client|unblock",
     .arity = -3,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .check = command_client_unblock_check,
     .visit = command_client_unblock_visit,
     .conclude = command_client_unblock_conclude,
     .categories = "connection",
     .since = "5.0.0",
     .group = "connection",
     .complexity = "O(N) for N connections",
     .summary = "Ends the wait of a blocked connection",
     .syntax = "client-id:integer [timeout_error:oneof(timeout=TIMEOUT error=ERROR)]"},
    {.name = "client|unpause",
     .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_EVERY_THREAD,
     .tells_later = true,
     .visit = command_client_unpause_visit,
     .conclude = conclude_ok,
     .categories = "connection",
     .since = "6.2.0",
     .group = "connection",
     .complexity = "O(N) for N paused connections",
     .summary = "Ends a pause"},
    {.name = NULL},
};
