#include "answers.h"

#include <string.h>

#include "shard/base/number.h"

int64_t reply_count(const char *data, size_t length) {
    const char *newline = memchr(data, '\n', length);
    int64_t count = 0;
    return newline != NULL && newline - data > 2 &&
                   number_parse(data + 1, (size_t)(newline - data) - 2, &count)
               ? count
               : 0;
}

size_t reply_end(const char *data, size_t length) {
    const char *newline = length == 0 ? NULL : memchr(data, '\n', length);
    if (newline == NULL) return 0;
    size_t line = (size_t)(newline - data) + 1;
    int64_t count = reply_count(data, length);
    if (data[0] == '+' || data[0] == '-' || data[0] == ':' || count < 0) return line;
    if (data[0] == '$') return line + (size_t)count + 2 <= length ? line + (size_t)count + 2 : 0;
    if (data[0] != '*') return 0;
    for (; count > 0; count--) {
        size_t part = reply_end(data + line, length - line);
        if (part == 0) return 0;
        line += part;
    }
    return line;
}

bool is_whole(const struct reply *reply) {
    return reply->reference_count > 0 ||
           (reply->length > 0 && reply_end(reply->data, reply->length) == reply->length);
}

bool is_out_of_memory(const char *data, size_t length) {
    static const char *const errors[] = {"-OOM ", "-ERR Insufficient memory"};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (length > strlen(errors[i]) && memcmp(data, errors[i], strlen(errors[i])) == 0)
            return memchr(data, '\n', length) == data + length - 1;
    return false;
}
