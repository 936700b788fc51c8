/* DEBUG PROTOCOL: a sample of every kind of reply, for the tests of clients. */
#include "debug.h"

static void sample_string(struct reply *reply) {
    reply_bulk_text(reply, "Hello World");
}

static void sample_integer(struct reply *reply) {
    reply_integer(reply, 12345);
}

static void sample_double(struct reply *reply) {
    reply_double(reply, 3.141);
}

static void sample_bignum(struct reply *reply) {
    static const char digits[] = "1234567999999999999999999999999999999";
    reply_big_number(reply, digits, sizeof digits - 1);
}

static void sample_elements(struct reply *reply) {
    for (int i = 0; i < 3; i++) reply_integer(reply, i);
}

static void sample_array(struct reply *reply) {
    reply_array(reply, 3);
    sample_elements(reply);
}

static void sample_set(struct reply *reply) {
    reply_set(reply, 3);
    sample_elements(reply);
}

static void sample_map(struct reply *reply) {
    reply_map(reply, 3);
    for (int i = 0; i < 3; i++) {
        reply_integer(reply, i);
        reply_boolean(reply, i == 1);
    }
}

/* An attribute is not a reply itself: the reply that it belongs to follows it. */
static void sample_attribute(struct reply *reply) {
    if (reply->protocol > 2) {
        reply_attribute(reply, 1);
        reply_bulk_text(reply, "key-popularity");
        reply_array(reply, 2);
        reply_bulk_text(reply, "key:123");
        reply_integer(reply, 90);
    }
    reply_bulk_text(reply, "Some real reply following the attribute");
}

/* A push is not a reply either: a client that has taken note of it still waits for one. */
static void sample_push(struct reply *reply) {
    if (reply->protocol < 3) {
        reply_error(reply, "ERR RESP2 is not supported by this command");
        return;
    }
    reply_push(reply, 2);
    reply_bulk_text(reply, "server-cpu-usage");
    reply_integer(reply, 42);
    reply_bulk_text(reply, "Some real reply following the push reply");
}

static void sample_verbatim(struct reply *reply) {
    static const char text[] = "This is a verbatim\nstring";
    reply_verbatim(reply, "txt", text, sizeof text - 1);
}

static void sample_true(struct reply *reply) {
    reply_boolean(reply, true);
}

static void sample_false(struct reply *reply) {
    reply_boolean(reply, false);
}

static const struct {
    const char *name;
    void (*write)(struct reply *reply);
} samples[] = {
    {"string", sample_string}, {"integer", sample_integer},   {"double", sample_double},
    {"bignum", sample_bignum}, {"null", reply_null},          {"array", sample_array},
    {"set", sample_set},       {"map", sample_map},           {"attrib", sample_attribute},
    {"push", sample_push},     {"verbatim", sample_verbatim}, {"true", sample_true},
    {"false", sample_false},
};

static void command_debug_protocol(const struct call *call, struct reply *reply) {
    if (!debug_takes(call, 3, 3, reply)) return;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        if (!argument_is(&call->arguments[2], samples[i].name)) continue;
        samples[i].write(reply);
        return;
    }
    reply_error(reply, "ERR Wrong protocol type name. Please use one of the following: "
                       "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false");
}

/* ------------------------------------------------------------------ rows */

const struct command samples_commands[] = {
    {.name = "debug|protocol", .arity = -2, .flags = DEBUG_FLAGS, .plain = command_debug_protocol},
    {.name = NULL},
};
