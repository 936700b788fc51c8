/* The line is read where it stands, as often as it is asked for: COMMAND DOCS is rare, and a tree kept in
 * memory would have to be built, owned and freed.
 *
 * A reply announces how many elements follow before the first of them, and flags, which the line has behind
 * the items inside, go before those. So an item is read to its end first, the items inside it only counted;
 * then it is written, and the items inside are read again to be written in turn. The depth of a tree is 4 or
 * 5, so that costs nothing worth more. */
#include "syntax.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A piece of the line; data is NULL if the item doesn't have it. */
struct text {
    const char *data;
    size_t length;
};

struct item {
    struct text name, type, token, since, deprecated_since;
    int key_spec; /* -1: none */
    bool is_optional, is_multiple, repeats_token;
    const char *inside; /* the first item inside, or NULL */
};

/* Reads items up to the end of the line, or to the ')' around them. *at is then behind the last, or where the
 * error is. */
static bool count_items(const char **at, uint32_t *count);

static bool text_is(const struct text *text, const char *word) {
    return text->length == strlen(word) && memcmp(text->data, word, text->length) == 0;
}

/* ------------------------------------------------------------------ reading */

static bool skip(const char **at, const char *word) {
    size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0) return false;
    *at += length;
    return true;
}

static bool is_at_repetition(const char *at) {
    return strncmp(at, "...", 3) == 0 || strncmp(at, "+...", 4) == 0;
}

/* What stands before any of `ends`, a repetition, or the end of the line; at least one character. */
static bool read_until(const char **at, const char *ends, struct text *text) {
    text->data = *at;
    while (**at != '\0' && strchr(ends, **at) == NULL && !is_at_repetition(*at)) (*at)++;
    text->length = (size_t)(*at - text->data);
    return text->length > 0;
}

static bool read_name(const char **at, struct item *item) {
    static const char *const types[] = {"string",    "integer",    "double", "key",  "pattern",
                                        "unix-time", "pure-token", "oneof",  "block"};
    if (!read_until(at, " []()#=@~", &item->name)) return false;
    const char *colon = memrchr(item->name.data, ':', item->name.length);
    if (colon == NULL) {
        item->type = (struct text){"pure-token", strlen("pure-token")};
        return **at == '=';
    }
    item->type = (struct text){colon + 1, (size_t)(*at - colon) - 1};
    item->name.length = (size_t)(colon - item->name.data);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (text_is(&item->type, types[i])) return item->name.length > 0;
    *at = colon + 1;
    return false;
}

static bool read_key_spec(const char **at, struct item *item) {
    if (**at < '0' || **at > '9') return false;
    item->key_spec = *(*at)++ - '0';
    return true;
}

static bool read_token(const char **at, struct item *item) {
    if (!skip(at, "\"")) return read_until(at, " []()@~", &item->token);
    item->token.data = *at;
    while (**at != '\0' && **at != '"') (*at)++;
    item->token.length = (size_t)(*at - item->token.data);
    return skip(at, "\"");
}

static bool is_version(const struct text *text) {
    for (size_t i = 0; i < text->length; i++)
        if ((text->data[i] < '0' || text->data[i] > '9') && text->data[i] != '.') return false;
    return true;
}

static bool read_version(const char **at, struct text *version) {
    return read_until(at, " []()@~", version) && is_version(version);
}

static bool read_inside(const char **at, struct item *item) {
    uint32_t count;
    item->inside = *at;
    return count_items(at, &count) && skip(at, ")");
}

/* oneof and block say what the items inside mean, so there are none without, and none elsewhere; and a pure
 * token is its token. */
static bool is_complete(const struct item *item) {
    bool is_container = text_is(&item->type, "oneof") || text_is(&item->type, "block");
    if (text_is(&item->type, "pure-token") && item->token.data == NULL) return false;
    if (item->key_spec >= 0 && !text_is(&item->type, "key") && !text_is(&item->type, "pattern")) return false;
    if (item->repeats_token && item->token.data == NULL) return false;
    return is_container == (item->inside != NULL);
}

static bool read_item(const char **at, struct item *item) {
    *item = (struct item){.key_spec = -1};
    item->is_optional = skip(at, "[");
    if (!read_name(at, item)) return false;
    if (skip(at, "#") && !read_key_spec(at, item)) return false;
    if (skip(at, "=") && !read_token(at, item)) return false;
    if (skip(at, "@") && !read_version(at, &item->since)) return false;
    if (skip(at, "~") && !read_version(at, &item->deprecated_since)) return false;
    if (skip(at, "(") && !read_inside(at, item)) return false;
    item->repeats_token = skip(at, "+");
    item->is_multiple = skip(at, "...");
    if (item->repeats_token && !item->is_multiple) return false;
    if (item->is_optional && !skip(at, "]")) return false;
    return is_complete(item);
}

static bool count_items(const char **at, uint32_t *count) {
    struct item item;
    *count = 0;
    do {
        if (!read_item(at, &item)) return false;
        (*count)++;
    } while (skip(at, " "));
    return **at == '\0' || **at == ')';
}

const char *syntax_error(const char *syntax) {
    uint32_t count;
    return count_items(&syntax, &count) && *syntax == '\0' ? NULL : syntax;
}

/* ------------------------------------------------------------------ writing */

static void write_items(const char *at, struct reply *reply);

static void write_text(const char *name, const struct text *text, struct reply *reply) {
    if (text->data == NULL) return;
    reply_bulk_text(reply, name);
    reply_bulk(reply, text->data, text->length);
}

static void write_flags(const struct item *item, struct reply *reply) {
    size_t count = (size_t)item->is_optional + item->is_multiple + item->repeats_token;
    if (count == 0) return;
    reply_bulk_text(reply, "flags");
    reply_set(reply, count);
    if (item->is_optional) reply_status(reply, "optional");
    if (item->is_multiple) reply_status(reply, "multiple");
    if (item->repeats_token) reply_status(reply, "multiple_token");
}

/* The text to display came with 7.2: whatever is typed has one, a oneof or a block is displayed as what is
 * inside. */
static void write_item(const struct item *item, struct reply *reply) {
    size_t always = 3; /* name, type, and the text to display or what is inside */
    reply_map(reply, always + (item->key_spec >= 0) + (item->token.data != NULL) +
                         (item->since.data != NULL) + (item->deprecated_since.data != NULL) +
                         (item->is_optional || item->is_multiple));
    write_text("name", &item->name, reply);
    write_text("type", &item->type, reply);
    if (item->inside == NULL) write_text("display_text", &item->name, reply);
    if (item->key_spec >= 0) {
        reply_bulk_text(reply, "key_spec_index");
        reply_integer(reply, item->key_spec);
    }
    write_text("token", &item->token, reply);
    write_text("since", &item->since, reply);
    write_text("deprecated_since", &item->deprecated_since, reply);
    write_flags(item, reply);
    if (item->inside == NULL) return;
    reply_bulk_text(reply, "arguments");
    write_items(item->inside, reply);
}

/* Only items that read_item likes are counted, so even a wrong line, where nothing is asserted, gives a reply
 * that is one. */
static void write_items(const char *at, struct reply *reply) {
    const char *end = at;
    struct item item;
    uint32_t count;
    count_items(&end, &count);
    reply_array(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        read_item(&at, &item);
        write_item(&item, reply);
        skip(&at, " ");
    }
}

void syntax_reply(const char *syntax, struct reply *reply) {
    assert(syntax_error(syntax) == NULL && "the row's syntax is one");
    write_items(syntax, reply);
}
