#include "members.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"
#include "../base/number.h"
#include "dictionary.h"
#include "form.h"
#include "numbers.h"

#define NUMBER_DIGITS 20
#define LENGTH_LONG 255u

/* A member in a dictionary: its length in one byte, or 255 and four more, then its bytes. */
struct member {
    unsigned char bytes[1];
};

struct table {
    struct dictionary *dictionary;
    size_t member_bytes;
};

static const char *member_name(const void *item, size_t *length) {
    const struct member *member = item;
    if (member->bytes[0] != LENGTH_LONG) {
        *length = member->bytes[0];
        return (const char *)member->bytes + 1;
    }
    uint32_t long_length;
    memcpy(&long_length, member->bytes + 1, sizeof long_length);
    *length = long_length;
    return (const char *)member->bytes + 5;
}

static struct member *member_create(struct text text) {
    if (text.length > UINT32_MAX) return NULL;
    size_t header = text.length < LENGTH_LONG ? 1 : 5;
    struct member *member = journal_malloc(header + text.length);
    if (member == NULL) return NULL;
    uint32_t length = (uint32_t)text.length;
    member->bytes[0] = (unsigned char)(header == 1 ? length : LENGTH_LONG);
    if (header == 5) memcpy(member->bytes + 1, &length, sizeof length);
    if (length > 0) memcpy(member->bytes + header, text.data, length);
    return member;
}

static struct table *table_of(const void *value) {
    return value_untag(value);
}
static struct numbers *numbers_of(const void *value) {
    return value_untag(value);
}

static bool number_of(struct text text, int64_t *number) {
    return text.length <= NUMBER_DIGITS && number_parse(text.data, text.length, number);
}

/* ------------------------------------------------------------------ the large form */

static struct table *table_create(void) {
    struct table *table = calloc(1, sizeof *table);
    if (table != NULL && (table->dictionary = dictionary_create(member_name)) != NULL) return table;
    free(table);
    return NULL;
}

static bool table_free_some(struct table *table, size_t budget) {
    for (struct member *member; budget > 0; budget--) {
        if ((member = dictionary_take_any(table->dictionary)) == NULL) {
            dictionary_free(table->dictionary);
            free(table);
            return true;
        }
        free(member);
    }
    return false;
}

static bool table_insert(struct table *table, uint64_t hash, struct text text) {
    if (!journal_room(4, 2 * sizeof table->member_bytes)) return false;
    struct member *member = member_create(text);
    if (member == NULL) return false;
    if (!dictionary_insert(table->dictionary, hash, member)) {
        journal_free(member);
        return false;
    }
    journal_keep(&table->member_bytes, sizeof table->member_bytes);
    table->member_bytes += memory_size(member);
    return true;
}

static int table_add(struct table *table, struct text text) {
    uint64_t hash = value_hash(text.data, text.length);
    if (dictionary_find(table->dictionary, hash, text.data, text.length) != NULL) return 0;
    return table_insert(table, hash, text) ? 1 : -1;
}

static bool build_add(void *context, const struct packed_text *member) {
    struct table **table = context;
    if (table_insert(*table, value_hash(member->data, member->length),
                     (struct text){member->data, member->length}))
        return true;
    table_free_some(*table, SIZE_MAX);
    *table = NULL;
    return false;
}

/* The same members in a table; NULL when out of memory. */
static struct table *table_from(const void *value) {
    struct table *table = table_create();
    if (table != NULL) members_each(value, build_add, &table);
    return table;
}

/* ------------------------------------------------------------------ from form to form */

void *members_create(struct text first, uint64_t expected) {
    int64_t number;
    if (number_of(first, &number) && expected <= value_limit(&value_limits.set_intset_entries)) {
        struct numbers *numbers = numbers_create();
        return numbers == NULL ? NULL : value_tag(numbers, VALUE_NUMBERS);
    }
    if (expected <= value_limit(&value_limits.set_listpack_entries) &&
        first.length <= value_limit(&value_limits.set_listpack_value))
        return packed_create();
    struct table *table = table_create();
    return table == NULL ? NULL : value_tag(table, VALUE_LARGE);
}

static bool replace(void **value, void *by) {
    if (!value_made(&set_kind, by)) return false;
    journal_free(value_untag(*value)); /* numbers or packed: one allocation */
    *value = by;
    return true;
}

static bool enlarge(void **value) {
    struct journal *paused = journal_pause();
    struct table *table = table_from(*value);
    journal_resume(paused);
    return table != NULL && replace(value, value_tag(table, VALUE_LARGE));
}

static bool append(void *context, const struct packed_text *member) {
    struct packed **packed = context;
    if (packed_insert_integer(packed, PACKED_END, member->integer, NULL)) return true;
    free(*packed);
    *packed = NULL;
    return false;
}

/* Numbers that get company of another kind. */
static bool pack(void **value) {
    struct journal *paused = journal_pause();
    struct packed *packed = packed_create();
    if (packed != NULL) members_each(*value, append, &packed);
    journal_resume(paused);
    return packed != NULL && replace(value, packed);
}

/* ------------------------------------------------------------------ single members */

uint64_t members_count(const void *value) {
    switch (value_form(value)) {
    case VALUE_NUMBERS: return numbers_count(numbers_of(value));
    case VALUE_LARGE: return dictionary_count(table_of(value)->dictionary);
    default: return packed_count(value);
    }
}

bool members_has(const void *value, struct text member) {
    int64_t number;
    switch (value_form(value)) {
    case VALUE_NUMBERS: return number_of(member, &number) && numbers_has(numbers_of(value), number);
    case VALUE_LARGE:
        return dictionary_find(table_of(value)->dictionary, value_hash(member.data, member.length),
                               member.data, member.length) != NULL;
    default: return packed_find(value, packed_first(value), member.data, member.length, 0) != PACKED_END;
    }
}

static int numbers_put(void **value, int64_t number) {
    struct numbers *numbers = numbers_of(*value);
    int added = numbers_add(&numbers, number);
    *value = value_tag(numbers, VALUE_NUMBERS);
    if (added <= 0) return added;
    /* One too many: all become something else; if there is no memory for that, they stay. */
    uint32_t count = numbers_count(numbers);
    if (count > value_limit(&value_limits.set_intset_entries)) enlarge(value);
    return added;
}

static int packed_put(void **value, struct text member) {
    struct packed *packed = *value;
    if (packed_find(packed, packed_first(packed), member.data, member.length, 0) != PACKED_END) return 0;
    bool fits = member.length <= value_limit(&value_limits.set_listpack_value) &&
                packed_count(packed) < value_limit(&value_limits.set_listpack_entries);
    if (!fits) return enlarge(value) ? table_add(table_of(*value), member) : -1;
    bool is_done = packed_insert(&packed, PACKED_END, member.data, member.length, NULL);
    *value = packed;
    return is_done ? 1 : -1;
}

/* A member that is no number comes to numbers. */
static int numbers_leave(void **value, struct text member) {
    bool fits = numbers_count(numbers_of(*value)) < value_limit(&value_limits.set_listpack_entries) &&
                member.length <= value_limit(&value_limits.set_listpack_value);
    /* The longest of them may be too long as well. */
    uint32_t count = numbers_count(numbers_of(*value));
    char digits[24];
    for (uint32_t i = 0; fits && i < count; i += count > 1 ? count - 1 : 1)
        fits = number_format(digits, numbers_at(numbers_of(*value), i)) <=
               value_limit(&value_limits.set_listpack_value);
    if (!(fits ? pack(value) : enlarge(value))) return -1;
    return fits ? packed_put(value, member) : table_add(table_of(*value), member);
}

int members_add(void **value, struct text member) {
    int64_t number;
    switch (value_form(*value)) {
    case VALUE_NUMBERS:
        return number_of(member, &number) ? numbers_put(value, number) : numbers_leave(value, member);
    case VALUE_LARGE: return table_add(table_of(*value), member);
    default: return packed_put(value, member);
    }
}

static bool numbers_take(void **value, struct text member) {
    int64_t number;
    struct numbers *numbers = numbers_of(*value);
    bool was_there = number_of(member, &number) && numbers_remove(&numbers, number);
    *value = value_tag(numbers, VALUE_NUMBERS);
    return was_there;
}

static bool table_take(struct table *table, struct text text) {
    struct member *member =
        dictionary_remove(table->dictionary, value_hash(text.data, text.length), text.data, text.length);
    if (member == NULL) return false;
    journal_keep(&table->member_bytes, sizeof table->member_bytes);
    table->member_bytes -= memory_size(member);
    journal_free(member);
    return true;
}

bool members_remove(void **value, struct text member) {
    if (value_form(*value) == VALUE_NUMBERS) return numbers_take(value, member);
    if (value_form(*value) == VALUE_LARGE) return table_take(table_of(*value), member);
    struct packed *packed = *value;
    uint32_t at = packed_find(packed, packed_first(packed), member.data, member.length, 0);
    if (at == PACKED_END) return false;
    packed_remove(&packed, at, 1);
    *value = packed;
    return true;
}

/* ------------------------------------------------------------------ all of them */

static void number_text(int64_t number, struct packed_text *text) {
    text->is_integer = true;
    text->integer = number;
    text->length = number_format(text->digits, number);
    text->data = text->digits;
}

static void item_text(const void *item, struct packed_text *text) {
    text->is_integer = false;
    text->data = member_name(item, &text->length);
}

struct visit {
    members_visitor *visit;
    void *context;
};

static bool each_item(void *context, void *item) {
    const struct visit *visit = context;
    struct packed_text text;
    item_text(item, &text);
    return visit->visit(visit->context, &text);
}

static void scan_item(void *context, void *item) {
    each_item(context, item);
}

void members_each(const void *value, members_visitor *visit, void *context) {
    struct visit all = {visit, context};
    struct packed_text text;
    switch (value_form(value)) {
    case VALUE_LARGE: dictionary_each(table_of(value)->dictionary, each_item, &all); return;
    case VALUE_NUMBERS:
        for (uint32_t i = 0; i < numbers_count(numbers_of(value)); i++) {
            number_text(numbers_at(numbers_of(value), i), &text);
            if (!visit(context, &text)) return;
        }
        return;
    default:
        for (uint32_t at = packed_first(value); at != PACKED_END; at = packed_next(value, at)) {
            packed_get(value, at, &text);
            if (!visit(context, &text)) return;
        }
    }
}

uint64_t members_scan(const void *value, uint64_t position, uint64_t count, members_visitor *visit,
                      void *context) {
    struct visit some = {visit, context};
    if (value_form(value) == VALUE_LARGE)
        return dictionary_scan(table_of(value)->dictionary, position, count, scan_item, &some);
    members_each(value, visit, context);
    return 0;
}

void members_random(const void *value, struct packed_text *member) {
    uint64_t index = value_form(value) == VALUE_LARGE ? 0 : value_random(members_count(value));
    switch (value_form(value)) {
    case VALUE_LARGE: item_text(dictionary_random(table_of(value)->dictionary), member); return;
    case VALUE_NUMBERS: number_text(numbers_at(numbers_of(value), (uint32_t)index), member); return;
    default: packed_get(value, packed_at(value, (int64_t)index), member);
    }
}

/* ------------------------------------------------------------------ what the keyspace must know */

static const char *encoding_name(const void *value) {
    switch (value_form(value)) {
    case VALUE_NUMBERS: return "intset";
    case VALUE_LARGE: return "hashtable";
    default: return "listpack";
    }
}

static size_t bytes(const void *value) {
    if (value_form(value) != VALUE_LARGE) return memory_size(value_untag(value));
    const struct table *table = table_of(value);
    return memory_size(table) + dictionary_bytes(table->dictionary) + table->member_bytes;
}

static void *copy(const void *value) {
    void *made;
    switch (value_form(value)) {
    case VALUE_NUMBERS:
        return (made = numbers_copy(numbers_of(value))) == NULL ? NULL : value_tag(made, VALUE_NUMBERS);
    case VALUE_LARGE: return (made = table_from(value)) == NULL ? NULL : value_tag(made, VALUE_LARGE);
    default: return packed_copy(value);
    }
}

static bool free_some(void *value, size_t budget) {
    if (value_form(value) == VALUE_LARGE) return table_free_some(table_of(value), budget);
    free(value_untag(value));
    return true;
}

const struct value_kind set_kind = {encoding_name, bytes, members_count, copy, free_some};
