/* Which form a value has, in the low bits of its pointer, so that a small value is nothing but its packed
 * bytes. */
#ifndef SHARD_VALUE_FORM_H
#define SHARD_VALUE_FORM_H

#include <stdint.h>

enum value_form {
    VALUE_PACKED, /* struct packed */
    VALUE_LARGE,  /* the type's own */
    VALUE_NUMBERS /* of sets only: numbers.h */
};

static inline enum value_form value_form(const void *value) {
    return (enum value_form)((uintptr_t)value & 3u);
}
static inline void *value_untag(const void *value) {
    return (void *)((uintptr_t)value & ~(uintptr_t)3u);
}
static inline void *value_tag(const void *memory, enum value_form form) {
    return (void *)((uintptr_t)memory | (uintptr_t)form);
}

#endif
