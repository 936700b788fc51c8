/* The commands of the latency monitor. */
#include "server/observe/latency.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "server/command/command_table.h"
#include "server/config/config.h"
#include "server/observe/statistics.h"
#include "server/command/command.h"

static void command_latency_latest(const struct call *call, struct reply *reply) {
    struct latency_event events[LATENCY_EVENTS];
    uint32_t count = latency_events(events);
    (void)call;
    reply_array(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct latency_sample *last = latency_sample(&events[i], events[i].count - 1);
        reply_array(reply, 4);
        reply_bulk_text(reply, events[i].name);
        reply_integer(reply, last->second);
        reply_integer(reply, last->milliseconds);
        reply_integer(reply, events[i].most);
    }
}

static void command_latency_history(const struct call *call, struct reply *reply) {
    const struct bulk *name = &call->arguments[2];
    struct latency_event event = {.count = 0};
    latency_find(name->data, name->length, &event);
    reply_array(reply, event.count);
    for (uint32_t i = 0; i < event.count; i++) {
        reply_array(reply, 2);
        reply_integer(reply, latency_sample(&event, i)->second);
        reply_integer(reply, latency_sample(&event, i)->milliseconds);
    }
}

static void command_latency_reset(const struct call *call, struct reply *reply) {
    int64_t removed = call->count == 2 ? latency_clear() : 0;
    for (uint32_t i = 2; i < call->count; i++)
        if (latency_forget(call->arguments[i].data, call->arguments[i].length)) removed++;
    reply_integer(reply, removed);
}

/* ------------------------------------------------------------------ for people */

#define GRAPH_ROWS 4

static void age_text(char *out, size_t size, int64_t seconds) {
    if (seconds < 60)
        snprintf(out, size, "%llds", (long long)seconds);
    else if (seconds < 3600)
        snprintf(out, size, "%lldm", (long long)(seconds / 60));
    else if (seconds < 86400)
        snprintf(out, size, "%lldh", (long long)(seconds / 3600));
    else
        snprintf(out, size, "%lldd", (long long)(seconds / 86400));
}

/* A column per sample, oldest left: its bar in four rows, and beneath, top to bottom, how long ago it was. */
static void draw(const struct latency_event *event, int64_t now, struct reply *out) {
    int64_t least = INT64_MAX, most = 0;
    char text[160], age[24];
    for (uint32_t i = 0; i < event->count; i++) {
        int64_t value = latency_sample(event, i)->milliseconds;
        if (value < least) least = value;
        if (value > most) most = value;
    }
    int length = snprintf(text, sizeof text, "%s - high %lld ms, low %lld ms (all time high %lld ms)\n",
                          event->name, (long long)most, (long long)least, (long long)event->most);
    reply_raw(out, text, (size_t)length);
    for (int i = 0; i < 80; i++) reply_raw(out, "-", 1);
    reply_raw(out, "\n", 1);
    for (int row = GRAPH_ROWS - 1; row >= 0; row--) {
        for (uint32_t i = 0; i < event->count; i++) {
            int64_t value = latency_sample(event, i)->milliseconds;
            int64_t height = most == least ? 1 : (value - least) * (2 * GRAPH_ROWS - 1) / (most - least) + 1;
            reply_raw(out, height >= 2 * row + 2 ? "#" : height == 2 * row + 1 ? "_" : " ", 1);
        }
        reply_raw(out, "\n", 1);
    }
    reply_raw(out, "\n", 1);
    for (size_t line = 0; line < 4; line++) {
        for (uint32_t i = 0; i < event->count; i++) {
            age_text(age, sizeof age, now / 1000 - latency_sample(event, i)->second);
            reply_raw(out, line < strlen(age) ? &age[line] : " ", 1);
        }
        reply_raw(out, "\n", 1);
    }
}

static void command_latency_graph(const struct call *call, struct reply *reply) {
    const struct bulk *name = &call->arguments[2];
    struct latency_event event;
    if (!latency_find(name->data, name->length, &event)) {
        reply_error_format(reply, "ERR No samples available for event '%.*s'", (int)name->length, name->data);
        return;
    }
    struct reply text;
    reply_init(&text, call->protocol);
    draw(&event, call->now, &text);
    reply_collected(reply, &text);
}

struct advice {
    const char *event, *text;
};

static const struct advice advices[] = {
    {"command", "A command took long on its worker. See SLOWLOG GET for which; KEYS and big MGETs are the "
                "usual ones. Only requests for its "
                "shards and its own worker's waited."},
    {"fast-command", "A command that is quick by nature took long: the machine was short of CPU time or "
                     "swapping. Look at its load, and at "
                     "whether `threads` is more than the cores there are."},
};

static void report(const struct latency_event *event, struct reply *out) {
    char text[512];
    int64_t sum = 0;
    assert(event->count > 0 && "an event is made for its first sample");
    for (uint32_t i = 0; i < event->count; i++) sum += latency_sample(event, i)->milliseconds;
    int length = snprintf(text, sizeof text, "%s: %u spikes kept, %lld ms on average, the worst %lld ms.\n",
                          event->name, event->count, (long long)(sum / event->count), (long long)event->most);
    reply_raw(out, text, (size_t)length);
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++) {
        if (strcmp(advices[i].event, event->name) != 0) continue;
        reply_raw(out, advices[i].text, strlen(advices[i].text));
        reply_raw(out, "\n", 1);
    }
}

static void command_latency_doctor(const struct call *call, struct reply *reply) {
    struct latency_event events[LATENCY_EVENTS];
    struct reply text;
    reply_init(&text, call->protocol);
    bool is_off = atomic_load_explicit(&config.latency_monitor_threshold, memory_order_relaxed) == 0;
    uint32_t count = latency_events(events);
    for (uint32_t i = 0; i < count; i++) report(&events[i], &text);
    const char *otherwise = is_off ? "The latency monitor is off. Turn it on with CONFIG SET "
                                     "latency-monitor-threshold <milliseconds>.\n"
                                   : "No spike over the threshold has been seen.\n";
    if (text.length == 0) reply_raw(&text, otherwise, strlen(otherwise));
    reply_collected(reply, &text);
}

/* ------------------------------------------------------------------ HISTOGRAM */

/* Cumulative counts at powers of two of a microsecond, only where they grow. */
static void reply_histogram(const struct command_totals *totals, struct reply *reply) {
    reply_map(reply, 2);
    reply_bulk_text(reply, "calls");
    reply_integer(reply, (int64_t)totals->calls);
    reply_bulk_text(reply, "histogram_usec");
    size_t mark = reply_defer(reply), pairs = 0;
    uint64_t seen = 0, shown = 0;
    uint32_t step = 0;
    for (int64_t microseconds = 1; microseconds <= INT64_C(1) << 21; microseconds *= 2) {
        while (step < HISTOGRAM_STEPS && histogram_value(step) <= (uint64_t)microseconds * 1000)
            seen += counter_read(&totals->histogram.counts[step++]);
        if (seen == shown) continue;
        shown = seen;
        reply_integer(reply, microseconds);
        reply_integer(reply, (int64_t)seen);
        pairs++;
    }
    reply_defer_map(reply, mark, pairs);
}

static size_t reply_command_histogram(const struct command *command, struct reply *reply) {
    struct command_totals totals;
    statistics_totals(command, &totals);
    if (totals.calls == 0) return 0;
    reply_bulk_text(reply, command->full_name);
    reply_histogram(&totals, reply);
    return 1;
}

static size_t reply_with_subcommands(const struct command *command, struct reply *reply) {
    if (command->subcommands == NULL) return reply_command_histogram(command, reply);
    size_t shown = 0;
    for (uint32_t i = 0; i < command->subcommand_count; i++)
        shown += reply_command_histogram(&command->subcommands[i], reply);
    return shown;
}

static void command_latency_histogram(const struct call *call, struct reply *reply) {
    size_t mark = reply_defer(reply), shown = 0;
    if (call->count == 2)
        for (uint32_t id = 0; id < command_table_count(); id++)
            shown += reply_command_histogram(command_by_id(id), reply);
    for (uint32_t i = 2; i < call->count; i++) {
        const struct command *command = command_find(&call->arguments[i]);
        if (command != NULL) shown += reply_with_subcommands(command, reply);
    }
    reply_defer_map(reply, mark, shown);
}

static void command_latency_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    What was seen, and what to do about it.",
        "GRAPH <event>",
        "    A drawing of an event's spikes.",
        "HISTORY <event>",
        "    An event's spikes: unix time, milliseconds.",
        "LATEST",
        "    Each event's latest spike, and its worst.",
        "RESET [<event> ...]",
        "    Forgets these events' spikes, or all.",
        "HISTOGRAM [COMMAND ...]",
        "    How long executions of these commands, or of all, have taken.",
        "HELP",
        "    This text.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ rows */

const struct command latency_commands[] = {
    {.name = "latency",
     .arity = -2,
     .since = "2.8.13",
     .group = "server",
     .complexity = "as its subcommands",
     .summary = "Commands about slow moments"},
    {.name = "latency|doctor",
     .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_latency_doctor,
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Explains slow moments",
     .tips = "nondeterministic_output,request_policy:all_nodes,response_policy:special"},
    {.name = "latency|graph",
     .arity = 3,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_latency_graph,
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Draws an event's slow moments",
     .syntax = "event:string",
     .tips = "nondeterministic_output,request_policy:all_nodes,response_policy:special"},
    {.name = "latency|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_latency_help,
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "latency|histogram",
     .arity = -2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_latency_histogram,
     .since = "7.0.0",
     .group = "server",
     .complexity = "O(N) for N commands",
     .summary = "Tells how execution times are spread",
     .syntax = "[command:string...]",
     .tips = "nondeterministic_output,request_policy:all_nodes,response_policy:special"},
    {.name = "latency|history",
     .arity = 3,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_latency_history,
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Tells an event's slow moments",
     .syntax = "event:string",
     .tips = "nondeterministic_output,request_policy:all_nodes,response_policy:special"},
    {.name = "latency|latest",
     .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_latency_latest,
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Tells each event's latest slow moment",
     .tips = "nondeterministic_output,request_policy:all_nodes,response_policy:special"},
    {.name = "latency|reset",
     .arity = -2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_latency_reset,
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Forgets slow moments",
     .syntax = "[event:string...]",
     .tips = "request_policy:all_nodes,response_policy:all_succeeded"},
    {.name = NULL},
};
