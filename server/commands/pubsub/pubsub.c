/* Channels: hearing them, telling something to whoever does, and who that is. */
#include "server/base/glob.h"
#include "server/broadcast/channels.h"
#include "server/broadcast/outbox.h"
#include "server/broadcast/subscriptions.h"
#include "server/command/command.h"
#include "server/worker/worker.h"

/* ------------------------------------------------------------------ hearing */

/* A shard's channels stand where a command's keys would. */
static enum channel_kind kind_of(const struct call *call) {
    const struct command *command = call->command;
    if (command->keys[0].step != 0) return CHANNEL_SHARD;
    return command->name[0] == 'p' ? CHANNEL_PATTERN : CHANNEL;
}

/* Several replies are under way in a transaction. */
static bool is_in_transaction(const struct call *call) {
    return call->moment != NULL;
}

static void command_subscribe(struct worker *worker, struct task *task, const struct call *call,
                              struct reply *reply) {
    if (kind_of(call) == CHANNEL_SHARD && is_in_transaction(call)) { /* the others Redis lets pass */
        reply_error(reply, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
        return;
    }
    for (uint32_t i = 1; i < call->count; i++)
        subscribe(worker, task, kind_of(call), &call->arguments[i], is_in_transaction(call), reply);
}

static void command_unsubscribe(struct worker *worker, struct task *task, const struct call *call,
                                struct reply *reply) {
    if (call->count == 1) unsubscribe_all(worker, task, kind_of(call), is_in_transaction(call), reply);
    for (uint32_t i = 1; i < call->count; i++)
        unsubscribe(worker, task, kind_of(call), &call->arguments[i], is_in_transaction(call), reply);
}

/* ------------------------------------------------------------------ telling */

static void publish_to(enum channel_kind kind, const struct call *call, struct reply *reply) {
    int64_t count = publish(worker_self(), kind, &call->arguments[1], &call->arguments[2]);
    if (count < 0)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_integer(reply, count);
}

static void command_publish(const struct call *call, struct reply *reply) {
    publish_to(CHANNEL, call, reply);
}

static void command_spublish(const struct call *call, struct reply *reply) {
    publish_to(CHANNEL_SHARD, call, reply);
}

/* ------------------------------------------------------------------ who hears what */

struct listing {
    const struct bulk *pattern; /* NULL: all */
    struct reply *reply;
    size_t count;
};

static void list_one(void *context, const char *name, size_t length) {
    struct listing *listing = context;
    const struct bulk *pattern = listing->pattern;
    if (pattern != NULL && !glob_matches(pattern->data, pattern->length, name, length, false)) return;
    reply_bulk(listing->reply, name, length);
    listing->count++;
}

static void list_channels(enum channel_kind kind, const struct call *call, struct reply *reply) {
    if (call->count > 3) {
        reply_subcommand_error(call, reply);
        return;
    }
    struct listing listing = {.pattern = call->count == 3 ? &call->arguments[2] : NULL, .reply = reply};
    size_t mark = reply_defer(reply);
    if (channels_visit(kind, list_one, &listing)) {
        reply_defer_array(reply, mark, listing.count);
        return;
    }
    reply_truncate(reply, mark);
    reply_error(reply, ERROR_NO_MEMORY);
}

static void command_pubsub_channels(const struct call *call, struct reply *reply) {
    list_channels(CHANNEL, call, reply);
}

static void command_pubsub_shardchannels(const struct call *call, struct reply *reply) {
    list_channels(CHANNEL_SHARD, call, reply);
}

static void count_hearers(enum channel_kind kind, const struct call *call, struct reply *reply) {
    reply_array(reply, (size_t)2 * (call->count - 2));
    for (uint32_t i = 2; i < call->count; i++) {
        reply_bulk(reply, call->arguments[i].data, call->arguments[i].length);
        reply_integer(reply, (int64_t)channels_hearers(kind, &call->arguments[i]));
    }
}

static void command_pubsub_numsub(const struct call *call, struct reply *reply) {
    count_hearers(CHANNEL, call, reply);
}

static void command_pubsub_shardnumsub(const struct call *call, struct reply *reply) {
    count_hearers(CHANNEL_SHARD, call, reply);
}

static void command_pubsub_numpat(const struct call *call, struct reply *reply) {
    (void)call;
    reply_integer(reply, (int64_t)channels_count(CHANNEL_PATTERN));
}

static void command_pubsub_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CHANNELS [<pattern>]",
        "    Channels that somebody hears, those that match the pattern or all.",
        "NUMPAT",
        "    How many different patterns somebody hears.",
        "NUMSUB [<channel> ...]",
        "    How many hear each of these channels, those of patterns aside.",
        "SHARDCHANNELS [<pattern>]",
        "    Shard channels that somebody hears, those that match the pattern or all.",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    How many hear each of these shard channels.",
        "HELP",
        "    Prints this help.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof *lines);
}

/* ------------------------------------------------------------------ rows */

#define HEARING_FLAGS (COMMAND_PUBSUB | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE)
#define TELLING_FLAGS                                                                                        \
    (COMMAND_PUBSUB | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_MAY_REPLICATE)
#define ASKING_FLAGS (COMMAND_PUBSUB | COMMAND_LOADING | COMMAND_STALE)
#define SHARD_CHANNELS(to) {{.flags = KEY_NOT_KEY, .first = 1, .last = to, .step = 1}}

const struct command pubsub_commands[] = {
    {.name = "subscribe",
     .arity = -2,
     .flags = HEARING_FLAGS,
     .worker = command_subscribe,
     .answers_each = true,
     .is_for_subscribers = true,
     .channels = CHANNELS_ALL,
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of channels",
     .summary = "Hears what is published to channels",
     .syntax = "channel:string..."},
    {.name = "unsubscribe",
     .arity = -1,
     .flags = HEARING_FLAGS,
     .worker = command_unsubscribe,
     .answers_each = true,
     .is_for_subscribers = true,
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of channels",
     .summary = "Hears these channels no longer, or none",
     .syntax = "[channel:string...]"},
    {.name = "psubscribe",
     .arity = -2,
     .flags = HEARING_FLAGS,
     .worker = command_subscribe,
     .answers_each = true,
     .is_for_subscribers = true,
     .channels = CHANNELS_PATTERNS,
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of patterns",
     .summary = "Hears what is published to channels that match patterns",
     .syntax = "pattern:block(pattern:pattern)..."},
    {.name = "punsubscribe",
     .arity = -1,
     .flags = HEARING_FLAGS,
     .worker = command_unsubscribe,
     .answers_each = true,
     .is_for_subscribers = true,
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of patterns",
     .summary = "Hears these patterns no longer, or none",
     .syntax = "[pattern:pattern...]"},
    {.name = "ssubscribe",
     .arity = -2,
     .flags = HEARING_FLAGS,
     .worker = command_subscribe,
     .answers_each = true,
     .is_for_subscribers = true,
     .keys = SHARD_CHANNELS(-1),
     .channels = CHANNELS_ALL,
     .since = "7.0.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of channels",
     .summary = "Hears what is published to shard channels",
     .syntax = "shardchannel:string..."},
    {.name = "sunsubscribe",
     .arity = -1,
     .flags = HEARING_FLAGS,
     .worker = command_unsubscribe,
     .answers_each = true,
     .is_for_subscribers = true,
     .keys = SHARD_CHANNELS(-1),
     .since = "7.0.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of channels",
     .summary = "Hears these shard channels no longer, or none",
     .syntax = "[shardchannel:string...]"},
    {.name = "publish",
     .arity = 3,
     .flags = TELLING_FLAGS,
     .plain = command_publish,
     .publishes = true,
     .channels = CHANNELS_FIRST,
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N+M) where N is the number of clients that hear the channel and M that of patterns",
     .summary = "Tells those something who hear the channel",
     .syntax = "channel:string message:string"},
    {.name = "spublish",
     .arity = 3,
     .flags = TELLING_FLAGS,
     .plain = command_spublish,
     .publishes = true,
     .keys = SHARD_CHANNELS(0),
     .channels = CHANNELS_FIRST,
     .since = "7.0.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of clients that hear the channel",
     .summary = "Tells those something who hear the shard channel",
     .syntax = "shardchannel:string message:string"},
    {.name = "pubsub",
     .arity = -2,
     .since = "2.8.0",
     .group = "pubsub",
     .complexity = "Depends on the subcommand",
     .summary = "Tells who hears what"},
    {.name = "pubsub|channels",
     .arity = -2,
     .flags = ASKING_FLAGS,
     .plain = command_pubsub_channels,
     .since = "2.8.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of channels that somebody hears",
     .summary = "Lists the channels that somebody hears",
     .syntax = "[pattern:pattern]"},
    {.name = "pubsub|numpat",
     .arity = 2,
     .flags = ASKING_FLAGS,
     .plain = command_pubsub_numpat,
     .since = "2.8.0",
     .group = "pubsub",
     .complexity = "O(1)",
     .summary = "Counts the patterns that somebody hears"},
    {.name = "pubsub|numsub",
     .arity = -2,
     .flags = ASKING_FLAGS,
     .plain = command_pubsub_numsub,
     .since = "2.8.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of channels asked for",
     .summary = "Counts those who hear channels",
     .syntax = "[channel:string...]"},
    {.name = "pubsub|shardchannels",
     .arity = -2,
     .flags = ASKING_FLAGS,
     .plain = command_pubsub_shardchannels,
     .since = "7.0.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of shard channels that somebody hears",
     .summary = "Lists the shard channels that somebody hears",
     .syntax = "[pattern:pattern]"},
    {.name = "pubsub|shardnumsub",
     .arity = -2,
     .flags = ASKING_FLAGS,
     .plain = command_pubsub_shardnumsub,
     .since = "7.0.0",
     .group = "pubsub",
     .complexity = "O(N) where N is the number of shard channels asked for",
     .summary = "Counts those who hear shard channels",
     .syntax = "[shardchannel:string...]"},
    {.name = "pubsub|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_pubsub_help,
     .since = "6.2.0",
     .group = "pubsub",
     .complexity = "O(1)",
     .summary = "Tells about the subcommands"},
    {.name = NULL},
};
