#include "moment.h"

static bool moment_parse_least(const struct call *call, const struct bulk *argument, struct moment_form form,
                               int64_t least, int64_t *moment, struct reply *reply) {
    int64_t number;
    if (!argument_integer(argument, &number, reply, NULL)) return false;
    if (number >= least && !__builtin_mul_overflow(number, form.unit, moment) &&
        !__builtin_add_overflow(*moment, form.is_relative ? call->now : 0, moment))
        return true;
    reply_error_format(reply, "ERR invalid expire time in '%s' command", call->command->full_name);
    return false;
}

bool moment_parse(const struct call *call, const struct bulk *argument, struct moment_form form,
                  int64_t *moment, struct reply *reply) {
    return moment_parse_least(call, argument, form, INT64_MIN, moment, reply);
}

bool moment_parse_positive(const struct call *call, const struct bulk *argument, struct moment_form form,
                           int64_t *moment, struct reply *reply) {
    return moment_parse_least(call, argument, form, 1, moment, reply);
}
