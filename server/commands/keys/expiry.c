/* When keys end: EXPIRE and its kin set the moment, TTL and its kin tell it, PERSIST takes it back.
 * The four names of each group differ in the unit and in what they count from. */
#include "server/command/command.h"
#include "server/commands/shared/moment.h"

enum condition {
    WHEN_WITHOUT = 1 << 0, /* NX: it has no expiry */
    WHEN_WITH = 1 << 1,    /* XX: it has one */
    WHEN_LATER = 1 << 2,   /* GT: the new one is later */
    WHEN_SOONER = 1 << 3,  /* LT: the new one is sooner */
};

/* ------------------------------------------------------------------ setting */

static bool parse_conditions(const struct call *call, unsigned *conditions, struct reply *reply) {
    static const struct {
        const char *name;
        enum condition condition;
    } words[] = {{"NX", WHEN_WITHOUT}, {"XX", WHEN_WITH}, {"GT", WHEN_LATER}, {"LT", WHEN_SOONER}};
    *conditions = 0;
    for (uint32_t i = 3; i < call->count; i++) {
        const struct bulk *option = &call->arguments[i];
        size_t word = 0;
        while (word < 4 && !argument_is(option, words[word].name)) word++;
        if (word == 4) {
            reply_error_format(reply, "ERR Unsupported option %.*s", (int)option->length, option->data);
            return false;
        }
        *conditions |= words[word].condition;
    }
    if ((*conditions & WHEN_WITHOUT) != 0 && *conditions != WHEN_WITHOUT) {
        reply_error(reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*conditions & WHEN_LATER) != 0 && (*conditions & WHEN_SOONER) != 0) {
        reply_error(reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* A key without expiry counts as one that ends infinitely late. */
static bool is_met(unsigned conditions, int64_t present, int64_t moment) {
    bool has_one = present != ENTRY_NO_EXPIRY;
    if ((conditions & WHEN_WITHOUT) != 0 && has_one) return false;
    if ((conditions & WHEN_WITH) != 0 && !has_one) return false;
    if ((conditions & WHEN_LATER) != 0 && (!has_one || moment <= present)) return false;
    if ((conditions & WHEN_SOONER) != 0 && has_one && moment >= present) return false;
    return true;
}

static void expire(struct write_scope *scope, const struct call *call, struct reply *reply,
                   struct moment_form form) {
    unsigned conditions;
    int64_t moment;
    struct edit edit;
    if (!parse_conditions(call, &conditions, reply) ||
        !moment_parse(call, &call->arguments[2], form, &moment, reply))
        return;
    scope_edit(scope, &call->keys[0], &edit);
    if (edit.entry == NULL || !is_met(conditions, entry_expiry(edit.entry), moment)) {
        scope_unchanged(&edit);
        reply_integer(reply, 0);
        return;
    }
    if (moment <= call->now) {
        edit_remove(&edit);
        scope_changed(&edit, EVENT_DEL);
        reply_integer(reply, 1);
        return;
    }
    if (!edit_set_expiry(&edit, moment)) {
        scope_unchanged(&edit);
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    scope_changed(&edit, EVENT_EXPIRE);
    reply_integer(reply, 1);
}

static void command_expire(struct write_scope *scope, const struct call *call, struct reply *reply) {
    expire(scope, call, reply, (struct moment_form){1000, true});
}

static void command_pexpire(struct write_scope *scope, const struct call *call, struct reply *reply) {
    expire(scope, call, reply, (struct moment_form){1, true});
}

static void command_expireat(struct write_scope *scope, const struct call *call, struct reply *reply) {
    expire(scope, call, reply, (struct moment_form){1000, false});
}

static void command_pexpireat(struct write_scope *scope, const struct call *call, struct reply *reply) {
    expire(scope, call, reply, (struct moment_form){1, false});
}

static void command_persist(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct edit edit;
    scope_edit(scope, &call->keys[0], &edit);
    if (edit.entry == NULL || entry_expiry(edit.entry) == ENTRY_NO_EXPIRY) {
        scope_unchanged(&edit);
        reply_integer(reply, 0);
    } else if (!edit_set_expiry(&edit, ENTRY_NO_EXPIRY)) {
        scope_unchanged(&edit);
        reply_error(reply, ERROR_NO_MEMORY);
    } else {
        scope_changed(&edit, EVENT_PERSIST);
        reply_integer(reply, 1);
    }
}

/* ------------------------------------------------------------------ telling */

#define NO_KEY (-2)
#define NO_EXPIRY (-1)

static void tell(const struct read_scope *scope, const struct call *call, struct reply *reply,
                 struct moment_form form) {
    struct read_scope quiet = *scope;
    quiet.scope.counts_access = false; /* counts a hit or a miss, but is no use of the value */
    const struct entry *entry = scope_read(&quiet, &call->keys[0]);
    int64_t expiry = entry == NULL ? ENTRY_NO_EXPIRY : entry_expiry(entry);
    if (expiry == ENTRY_NO_EXPIRY) {
        reply_integer(reply, entry == NULL ? NO_KEY : NO_EXPIRY);
        return;
    }
    int64_t milliseconds = form.is_relative ? expiry - call->now : expiry;
    if (form.unit == 1)
        reply_integer(reply, milliseconds);
    else
        reply_integer(reply, milliseconds / form.unit +
                                 (milliseconds % form.unit >= form.unit / 2)); /* the nearest second */
}

static void command_ttl(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    tell(scope, call, reply, (struct moment_form){1000, true});
}

static void command_pttl(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    tell(scope, call, reply, (struct moment_form){1, true});
}

static void command_expiretime(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    tell(scope, call, reply, (struct moment_form){1000, false});
}

static void command_pexpiretime(const struct read_scope *scope, const struct call *call,
                                struct reply *reply) {
    tell(scope, call, reply, (struct moment_form){1, false});
}

/* ------------------------------------------------------------------ rows */

const struct command expiry_commands[] = {
    {.name = "expire",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_expire,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Sets how many seconds a key lives",
     .syntax = "key:key#0 seconds:integer [condition:oneof@7.0.0(nx=NX xx=XX gt=GT lt=LT)]",
     .history = "7.0.0:NX, XX, GT, LT"},
    {.name = "pexpire",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_pexpire,
     .categories = "keyspace",
     .since = "2.6.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Sets how many milliseconds a key lives",
     .syntax = "key:key#0 milliseconds:integer [condition:oneof@7.0.0(nx=NX xx=XX gt=GT lt=LT)]",
     .history = "7.0.0:NX, XX, GT, LT"},
    {.name = "expireat",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_expireat,
     .categories = "keyspace",
     .since = "1.2.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Sets the second at which a key ends",
     .syntax = "key:key#0 unix-time-seconds:unix-time [condition:oneof@7.0.0(nx=NX xx=XX gt=GT lt=LT)]",
     .history = "7.0.0:NX, XX, GT, LT"},
    {.name = "pexpireat",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_pexpireat,
     .categories = "keyspace",
     .since = "2.6.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Sets the millisecond at which a key ends",
     .syntax = "key:key#0 unix-time-milliseconds:unix-time [condition:oneof@7.0.0(nx=NX xx=XX "
               "gt=GT lt=LT)]",
     .history = "7.0.0:NX, XX, GT, LT"},
    {.name = "expiretime",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_expiretime,
     .categories = "keyspace",
     .since = "7.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Tells the second at which a key ends",
     .syntax = "key:key#0"},
    {.name = "pexpiretime",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_pexpiretime,
     .categories = "keyspace",
     .since = "7.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Tells the millisecond at which a key ends",
     .syntax = "key:key#0"},
    {.name = "ttl",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_ttl,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Tells how many seconds a key has left",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output",
     .history = "2.8.0:answers -2"},
    {.name = "pttl",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_pttl,
     .categories = "keyspace",
     .since = "2.6.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Tells how many milliseconds a key has left",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output",
     .history = "2.8.0:answers -2"},
    {.name = "persist",
     .arity = 2,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_persist,
     .categories = "keyspace",
     .since = "2.2.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Removes a key's end",
     .syntax = "key:key#0"},
    {.name = NULL},
};
