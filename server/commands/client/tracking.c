/* CLIENT TRACKING and what belongs to it: a client keeps copies of keys, and wants to be told when they
 * change. Only who is redirected to must be looked for on all workers. */
#include <stdlib.h>

#include "shard/base/number.h"
#include "server/client/clients.h"
#include "server/command/command.h"
#include "server/interest/tracking.h"
#include "server/worker/inquiry.h"

/* ------------------------------------------------------------------ TRACKING */

static struct task *find_task(struct worker *worker, uint64_t id) {
    struct connection *found = clients_find(worker, id);
    return found == NULL ? NULL : &found->task;
}

static bool read_redirect(struct tracking_wish *wish, const struct bulk *argument, const char **error) {
    int64_t id;
    if (wish->redirect != 0) {
        *error = "ERR A client can only redirect to a single other client";
        return false;
    }
    if (!number_parse(argument->data, argument->length, &id)) {
        *error = ERROR_NOT_INTEGER;
        return false;
    }
    wish->redirect = id <= 0 ? UINT64_MAX : (uint64_t)id; /* nobody has that one */
    return true;
}

/* Its prefixes are to be freed. Where something is wrong *error says so; whom it redirects to is looked for
 * before that matters if it stands before it, as in Redis. */
static void wish_read(struct tracking_wish *wish, const struct bulk *arguments, uint32_t count,
                      const char **error) {
    *wish = (struct tracking_wish){.prefixes = malloc(count * sizeof(struct bulk))};
    *error = wish->prefixes == NULL ? ERROR_NO_MEMORY : NULL;
    for (uint32_t i = 3; i < count && *error == NULL; i++) {
        const struct bulk *option = &arguments[i];
        bool has_more = i + 1 < count;
        if (argument_is(option, "REDIRECT") && has_more)
            (void)read_redirect(wish, &arguments[++i], error);
        else if (argument_is(option, "BCAST"))
            wish->is_broadcast = true;
        else if (argument_is(option, "OPTIN"))
            wish->is_optin = true;
        else if (argument_is(option, "OPTOUT"))
            wish->is_optout = true;
        else if (argument_is(option, "NOLOOP"))
            wish->is_noloop = true;
        else if (argument_is(option, "PREFIX") && has_more)
            wish->prefixes[wish->prefix_count++] = arguments[++i];
        else
            *error = ERROR_SYNTAX;
    }
    wish->is_on = argument_is(&arguments[2], "ON");
    if (*error == NULL && !wish->is_on && !argument_is(&arguments[2], "OFF")) *error = ERROR_SYNTAX;
}

/* Who is redirected to is there. */
static void follow_wish(struct worker *worker, struct task *task, const struct tracking_wish *wish,
                        const char *error, struct worker *receiver, struct reply *reply) {
    if (error != NULL) {
        reply_error(reply, error);
    } else if (!wish->is_on) {
        tracking_end(worker, task);
        reply_ok(reply);
    } else if (tracking_may_begin(&task->session, wish, reply)) {
        if (tracking_begin(worker, task, wish, receiver, find_task))
            reply_ok(reply);
        else
            reply_error(reply, ERROR_NO_MEMORY);
    }
}

/* true: it is on this worker, and won't leave it. */
static bool is_here(struct worker *worker, uint64_t id) {
    struct task *found = find_task(worker, id);
    return found != NULL && tracking_target(worker, found);
}

static bool command_client_tracking_answer(struct worker *worker, struct task *task, const struct call *call,
                                           struct reply *reply) {
    struct tracking_wish wish;
    const char *error;
    wish_read(&wish, call->arguments, call->count, &error);
    bool is_answered = wish.redirect == 0 || is_here(worker, wish.redirect);
    if (is_answered) follow_wish(worker, task, &wish, error, worker, reply);
    free(wish.prefixes);
    return is_answered;
}

static void command_client_tracking_visit(struct worker *worker, struct inquiry *inquiry) {
    struct tracking_wish wish;
    const char *error;
    wish_read(&wish, inquiry->arguments, inquiry->count, &error);
    inquiry_answer(inquiry, worker)->number = wish.redirect != 0 && is_here(worker, wish.redirect);
    free(wish.prefixes);
}

static void command_client_tracking_conclude(struct inquiry *inquiry, const struct call *call,
                                             struct reply *reply) {
    struct tracking_wish wish;
    const char *error;
    uint32_t found = 0;
    while (found < inquiry->workers && inquiry->answers[found].number == 0) found++;
    wish_read(&wish, call->arguments, call->count, &error);
    if (found == inquiry->workers)
        reply_error(reply, "ERR The client ID you want redirect to does not exist");
    else
        follow_wish(inquiry->origin, inquiry->task, &wish, error, worker_at(found), reply);
    free(wish.prefixes);
}

/* ------------------------------------------------------------------ CACHING, GETREDIR, TRACKINGINFO */

static const struct tracking *tracking_of(const struct session *session) {
    return session_is_tracking(session) ? session->subscriptions->tracking : NULL;
}

static void command_client_caching(struct session *session, const struct call *call, struct reply *reply) {
    const struct tracking *tracking = tracking_of(session);
    bool is_yes = argument_is(&call->arguments[2], "YES");
    if (tracking == NULL)
        reply_error(reply, "ERR CLIENT CACHING can be called only when the client is in tracking mode with "
                           "OPTIN or OPTOUT mode enabled");
    else if (!is_yes && !argument_is(&call->arguments[2], "NO"))
        reply_error(reply, ERROR_SYNTAX);
    else if (is_yes && tracking->caching != CACHING_OPTIN)
        reply_error(reply, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    else if (!is_yes && tracking->caching != CACHING_OPTOUT)
        reply_error(reply, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    else {
        tracking_turn(session);
        reply_ok(reply);
    }
}

static int64_t redirection(const struct tracking *tracking) {
    return tracking == NULL ? -1 : (int64_t)tracking->redirect;
}

static void command_client_getredir(struct session *session, const struct call *call, struct reply *reply) {
    (void)call;
    reply_integer(reply, redirection(tracking_of(session)));
}

static size_t write_flags(const struct tracking *tracking, struct reply *reply) {
    const char *flags[6];
    size_t count = 0;
    flags[count++] = tracking == NULL ? "off" : "on";
    if (tracking != NULL) {
        if (tracking->prefixes != NULL) flags[count++] = "bcast";
        if (tracking->caching == CACHING_OPTIN) flags[count++] = "optin";
        if (tracking->caching == CACHING_OPTOUT) flags[count++] = "optout";
        if (tracking->is_turned)
            flags[count++] = tracking->caching == CACHING_OPTIN ? "caching-yes" : "caching-no";
        if (tracking->spares_itself) flags[count++] = "noloop";
        if (tracking->is_broken) flags[count++] = "broken_redirect";
    }
    for (size_t i = 0; i < count; i++) reply_bulk_text(reply, flags[i]);
    return count;
}

static void command_client_trackinginfo(struct session *session, const struct call *call,
                                        struct reply *reply) {
    const struct tracking *tracking = tracking_of(session);
    const struct prefix_list *prefixes = tracking == NULL ? NULL : tracking->prefixes;
    (void)call;
    reply_map(reply, 3);
    reply_bulk_text(reply, "flags");
    size_t mark = reply_defer(reply);
    reply_defer_set(reply, mark, write_flags(tracking, reply));
    reply_bulk_text(reply, "redirect");
    reply_integer(reply, redirection(tracking));
    reply_bulk_text(reply, "prefixes");
    reply_array(reply, prefixes == NULL ? 0 : prefixes->count);
    for (uint32_t i = 0; prefixes != NULL && i < prefixes->count; i++)
        reply_bulk(reply, prefix_at(prefixes, i), prefixes->at[i].length);
}

/* ------------------------------------------------------------------ rows */

const struct command tracking_commands[] = {
    {.name = "client|tracking",
     .arity = -3,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .answer = command_client_tracking_answer,
     .visit = command_client_tracking_visit,
     .conclude = command_client_tracking_conclude,
     .categories = "connection",
     .since = "6.0.0",
     .group = "connection",
     .complexity = "O(1). Some options may introduce additional complexity.",
     .summary = "Tells the connection of changes to keys that it keeps copies of",
     .syntax = "status:oneof(on=ON off=OFF) [client-id:integer=REDIRECT] [prefix:string=PREFIX+...] "
               "[bcast=BCAST] [optin=OPTIN] [optout=OPTOUT] [noloop=NOLOOP]"},
    {.name = "client|caching",
     .arity = 3,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .session = command_client_caching,
     .concerns_hearing = true,
     .categories = "connection",
     .since = "6.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Says whether the next command's keys are tracked",
     .syntax = "mode:oneof(yes=YES no=NO)"},
    {.name = "client|getredir",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .session = command_client_getredir,
     .concerns_hearing = true,
     .categories = "connection",
     .since = "6.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Tells whom the connection redirects to"},
    {.name = "client|trackinginfo",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .session = command_client_trackinginfo,
     .concerns_hearing = true,
     .categories = "connection",
     .since = "6.2.0",
     .group = "connection",
     .complexity = "O(1)",
     .summary = "Tells how the connection is told of changes"},
    {.name = NULL},
};
