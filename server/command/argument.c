/* What many commands do with an argument first: compare it with a word, read it as a number, insist on a
 * string. Where that fails the reply is Redis's, so that a command only has to return. */
#include "command.h"

#include <string.h>

#include "shard/base/number.h"

static unsigned char letter_upper(unsigned char letter) {
    return letter >= 'a' && letter <= 'z' ? (unsigned char)(letter - 'a' + 'A') : letter;
}

/* Most words that are asked for are not the one: the first letter decides, before anything is measured. */
bool argument_is(const struct bulk *argument, const char *word) {
    for (size_t i = 0; i < argument->length; i++)
        if (word[i] == '\0' ||
            letter_upper((unsigned char)argument->data[i]) != letter_upper((unsigned char)word[i]))
            return false;
    return word[argument->length] == '\0';
}

bool argument_equals(const struct bulk *argument, const char *text) {
    return argument->length == strlen(text) && memcmp(argument->data, text, argument->length) == 0;
}

bool arguments_tell_flush(const struct call *call, uint32_t from) {
    return call->count == from || (call->count == from + 1 && (argument_is(&call->arguments[from], "ASYNC") ||
                                                               argument_is(&call->arguments[from], "SYNC")));
}

bool argument_integer(const struct bulk *argument, int64_t *value, struct reply *reply, const char *error) {
    if (number_parse(argument->data, argument->length, value)) return true;
    reply_error(reply, error == NULL ? ERROR_NOT_INTEGER : error);
    return false;
}

bool argument_integer_within(const struct bulk *argument, int64_t least, int64_t most, int64_t *value,
                             struct reply *reply, const char *error) {
    if (!argument_integer(argument, value, reply, error)) return false;
    if (*value >= least && *value <= most) return true;
    if (error != NULL)
        reply_error(reply, error);
    else if (least == 0 && most == INT64_MAX)
        reply_error(reply, "ERR value is out of range, must be positive");
    else
        reply_error_format(reply, "ERR value is out of range, value must between %lld and %lld",
                           (long long)least, (long long)most);
    return false;
}

bool argument_timeout(const struct bulk *argument, int64_t now, int64_t *timeout, struct reply *reply) {
    int64_t end;
    if (!argument_integer(argument, timeout, reply, "ERR timeout is not an integer or out of range"))
        return false;
    if (*timeout >= 0 && !__builtin_add_overflow(*timeout, now, &end)) return true;
    reply_error(reply, *timeout < 0 ? "ERR timeout is negative" : "ERR timeout is out of range");
    return false;
}

void reply_lines(struct reply *reply, const char *const *lines, size_t count) {
    reply_array(reply, count);
    for (size_t i = 0; i < count; i++) reply_status(reply, lines[i]);
}

void reply_collected(struct reply *reply, struct reply *text) {
    if (text->is_broken)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_verbatim(reply, "txt", text->length == 0 ? "" : text->data, text->length);
    reply_free(text);
}

void reply_subcommand_error(const struct call *call, struct reply *reply) {
    char name[64];
    const struct bulk *command = &call->arguments[0], *subcommand = &call->arguments[1];
    size_t length = command->length < sizeof name ? command->length : sizeof name;
    for (size_t i = 0; i < length; i++) name[i] = (char)letter_upper((unsigned char)command->data[i]);
    reply_error_format(
        reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %.*s HELP.",
        subcommand->length < 128 ? (int)subcommand->length : 128, subcommand->data, (int)length, name);
}

bool check_type(const struct entry *entry, enum type type, struct reply *reply) {
    if (entry == NULL || entry_type(entry) == type) return true;
    reply_error(reply, ERROR_WRONG_TYPE);
    return false;
}

bool check_string(const struct entry *entry, struct reply *reply) {
    return check_type(entry, TYPE_STRING, reply);
}
