#include "drawing.h"

#include <stdlib.h>

#include "shard/value/value.h"

bool draw_parse(const struct call *call, const char *word, struct draw *draw, struct reply *reply) {
    *draw = (struct draw){.is_one = call->count == 2, .has_more = call->count == 4, .count = 1};
    if (draw->is_one) return true;
    bool is_wrong = call->count > (word == NULL ? 3 : 4);
    if (is_wrong && word == NULL) {
        reply_error(reply, ERROR_SYNTAX);
        return false;
    }
    if (!argument_integer_within(&call->arguments[2], -INT64_MAX, INT64_MAX, &draw->count, reply, NULL))
        return false;
    if (is_wrong || (draw->has_more && !argument_is(&call->arguments[3], word))) {
        reply_error(reply, ERROR_SYNTAX);
        return false;
    }
    if (draw->has_more && (draw->count < -INT64_MAX / 2 || draw->count > INT64_MAX / 2)) {
        reply_error(reply, "ERR value is out of range");
        return false;
    }
    return true;
}

uint64_t draw_wanted(const struct draw *draw, uint64_t size) {
    if (size == 0) return 0;
    if (draw->count < 0) return (uint64_t)-draw->count;
    return (uint64_t)draw->count < size ? (uint64_t)draw->count : size;
}

bool selection_takes(struct selection *selection) {
    bool takes = value_random(selection->left) < selection->wanted;
    selection->left--;
    if (takes) selection->wanted--;
    return takes;
}

bool pointers_init(struct pointers *pointers, uint64_t count) {
    size_t slots = 16;
    while (slots < count * 2) slots *= 2;
    pointers->mask = slots - 1;
    pointers->slots = calloc(slots, sizeof *pointers->slots);
    return pointers->slots != NULL;
}

bool pointers_add(struct pointers *pointers, const void *pointer) {
    size_t at = (size_t)((uintptr_t)pointer * UINT64_C(0x9E3779B97F4A7C15) >> 20) & pointers->mask;
    for (; pointers->slots[at] != NULL; at = (at + 1) & pointers->mask)
        if (pointers->slots[at] == pointer) return false;
    pointers->slots[at] = pointer;
    return true;
}

void pointers_free(struct pointers *pointers) {
    free(pointers->slots);
}
