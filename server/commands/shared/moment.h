/* Moments at which keys end, as commands name them: seconds or milliseconds, from now or from 1970 on. Inside
 * there is one form only: unix time in milliseconds. */
#ifndef SERVER_COMMANDS_SHARED_MOMENT_H
#define SERVER_COMMANDS_SHARED_MOMENT_H

#include "server/command/command.h"

struct moment_form {
    int64_t unit;     /* milliseconds */
    bool is_relative; /* counts from now */
};

/* The moment that the argument names. Replies what is wrong with it and returns false. */
bool moment_parse(const struct call *call, const struct bulk *argument, struct moment_form form,
                  int64_t *moment, struct reply *reply);
/* Likewise, and only numbers above zero are right, as SET has it; to EXPIRE others are moments that are
 * over. */
bool moment_parse_positive(const struct call *call, const struct bulk *argument, struct moment_form form,
                           int64_t *moment, struct reply *reply);

#endif
