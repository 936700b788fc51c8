#include "fields.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"
#include "dictionary.h"
#include "form.h"

/* A field with its value, in a dictionary. */
struct pair {
    uint32_t field_length, text_length;
    char bytes[]; /* the field, then the value */
};

struct table {
    struct dictionary *dictionary;
    size_t pair_bytes;
};

static const char *pair_name(const void *item, size_t *length) {
    const struct pair *pair = item;
    *length = pair->field_length;
    return pair->bytes;
}

static struct pair *pair_create(struct text field, struct text text) {
    if (field.length > UINT32_MAX || text.length > UINT32_MAX) return NULL;
    struct pair *pair = journal_malloc(sizeof *pair + field.length + text.length);
    if (pair == NULL) return NULL;
    pair->field_length = (uint32_t)field.length;
    pair->text_length = (uint32_t)text.length;
    if (field.length > 0) memcpy(pair->bytes, field.data, field.length);
    if (text.length > 0) memcpy(pair->bytes + field.length, text.data, text.length);
    return pair;
}

static struct table *table_of(const void *value) {
    return value_untag(value);
}

static bool is_large(const void *value) {
    return value_form(value) == VALUE_LARGE;
}

static struct packed_text plain(const char *data, size_t length) {
    return (struct packed_text){.data = data, .length = length};
}

static void pair_texts(const struct pair *pair, struct packed_text *field, struct packed_text *text) {
    *field = plain(pair->bytes, pair->field_length);
    *text = plain(pair->bytes + pair->field_length, pair->text_length);
}

void *fields_create(void) {
    return packed_create();
}

uint64_t fields_count(const void *value) {
    return is_large(value) ? dictionary_count(table_of(value)->dictionary) : packed_count(value) / 2;
}

/* ------------------------------------------------------------------ the large form */

static bool table_add(struct table *table, struct pair *pair) {
    if (!dictionary_insert(table->dictionary, value_hash(pair->bytes, pair->field_length), pair))
        return false;
    journal_keep(&table->pair_bytes, sizeof table->pair_bytes);
    table->pair_bytes += memory_size(pair);
    return true;
}

static struct table *table_create(void) {
    struct table *table = calloc(1, sizeof *table);
    if (table != NULL && (table->dictionary = dictionary_create(pair_name)) != NULL) return table;
    free(table);
    return NULL;
}

static bool table_free_some(struct table *table, size_t budget) {
    for (struct pair *pair; budget > 0; budget--) {
        if ((pair = dictionary_take_any(table->dictionary)) == NULL) {
            dictionary_free(table->dictionary);
            free(table);
            return true;
        }
        free(pair);
    }
    return false;
}

struct build {
    struct table *table;
    bool is_failed;
};

static void build_add(void *context, const struct packed_text *field, const struct packed_text *text) {
    struct build *build = context;
    if (build->is_failed) return;
    struct pair *pair =
        pair_create((struct text){field->data, field->length}, (struct text){text->data, text->length});
    if (pair != NULL && table_add(build->table, pair)) return;
    free(pair);
    build->is_failed = true;
}

/* The same pairs in a table; NULL when out of memory. */
static struct table *table_from(const void *value) {
    struct build build = {table_create(), false};
    if (build.table == NULL) return NULL;
    fields_each(value, build_add, &build);
    if (!build.is_failed) return build.table;
    table_free_some(build.table, SIZE_MAX);
    return NULL;
}

static bool enlarge(void **value) {
    struct journal *paused = journal_pause();
    struct table *table = table_from(*value);
    journal_resume(paused);
    if (table == NULL || !value_made(&hash_kind, value_tag(table, VALUE_LARGE))) return false;
    journal_free(*value);
    *value = value_tag(table, VALUE_LARGE);
    return true;
}

/* ------------------------------------------------------------------ single fields */

bool fields_get(const void *value, struct text field, struct packed_text *text) {
    if (is_large(value)) {
        const struct pair *pair = dictionary_find(
            table_of(value)->dictionary, value_hash(field.data, field.length), field.data, field.length);
        if (pair != NULL) *text = plain(pair->bytes + pair->field_length, pair->text_length);
        return pair != NULL;
    }
    uint32_t at = packed_find(value, packed_first(value), field.data, field.length, 1);
    if (at == PACKED_END) return false;
    packed_get(value, packed_next(value, at), text);
    return true;
}

static enum put table_put(struct table *table, struct text field, struct text text) {
    uint64_t hash = value_hash(field.data, field.length);
    struct pair *present = dictionary_find(table->dictionary, hash, field.data, field.length);
    if (!journal_room(8, text.length + 4 * sizeof(uint64_t))) return PUT_FAILED;
    if (present != NULL && present->text_length == text.length) {
        journal_keep(present->bytes + present->field_length, text.length);
        if (text.length > 0) memcpy(present->bytes + present->field_length, text.data, text.length);
        return PUT_OVER;
    }
    struct pair *pair = pair_create(field, text);
    if (pair == NULL) return PUT_FAILED;
    if (present == NULL) {
        if (table_add(table, pair)) return PUT_NEW;
        journal_free(pair);
        return PUT_FAILED;
    }
    dictionary_replace(table->dictionary, hash, present, pair);
    journal_keep(&table->pair_bytes, sizeof table->pair_bytes);
    table->pair_bytes += memory_size(pair) - memory_size(present);
    journal_free(present);
    return PUT_OVER;
}

static enum put packed_put(struct packed **packed, struct text field, struct text text) {
    uint32_t at = packed_find(*packed, packed_first(*packed), field.data, field.length, 1);
    if (at != PACKED_END)
        return packed_replace(packed, packed_next(*packed, at), text.data, text.length) ? PUT_OVER
                                                                                        : PUT_FAILED;
    const struct text both[] = {field, text};
    return packed_insert_many(packed, PACKED_END, both, 2) ? PUT_NEW : PUT_FAILED;
}

enum put fields_put(void **value, struct text field, struct text text) {
    if (!is_large(*value)) {
        uint32_t longest = value_limit(&value_limits.hash_listpack_value);
        if (field.length <= longest && text.length <= longest) {
            struct packed *packed = *value;
            enum put put = packed_put(&packed, field, text);
            *value = packed;
            /* One too many is converted with the others; if there is no memory for that, it stays as it
             * is. */
            if (put == PUT_NEW && packed_count(packed) / 2 > value_limit(&value_limits.hash_listpack_entries))
                enlarge(value);
            return put;
        }
        if (!enlarge(value)) return PUT_FAILED;
    }
    return table_put(table_of(*value), field, text);
}

bool fields_remove(void **value, struct text field) {
    if (is_large(*value)) {
        struct table *table = table_of(*value);
        struct pair *pair = dictionary_remove(table->dictionary, value_hash(field.data, field.length),
                                              field.data, field.length);
        if (pair == NULL) return false;
        journal_keep(&table->pair_bytes, sizeof table->pair_bytes);
        table->pair_bytes -= memory_size(pair);
        journal_free(pair);
        return true;
    }
    struct packed *packed = *value;
    uint32_t at = packed_find(packed, packed_first(packed), field.data, field.length, 1);
    if (at == PACKED_END) return false;
    packed_remove(&packed, at, 2);
    *value = packed;
    return true;
}

/* ------------------------------------------------------------------ all of them */

struct visit {
    fields_visitor *visit;
    void *context;
};

static void visit_pair(const struct visit *visit, const struct pair *pair) {
    struct packed_text field, text;
    pair_texts(pair, &field, &text);
    visit->visit(visit->context, &field, &text);
}

static bool each_pair(void *context, void *item) {
    visit_pair(context, item);
    return true;
}

static void scan_pair(void *context, void *item) {
    visit_pair(context, item);
}

void fields_each(const void *value, fields_visitor *visit, void *context) {
    if (is_large(value)) {
        struct visit all = {visit, context};
        dictionary_each(table_of(value)->dictionary, each_pair, &all);
        return;
    }
    struct packed_text field, text;
    for (uint32_t at = packed_first(value); at != PACKED_END; at = packed_next(value, at)) {
        packed_get(value, at, &field);
        at = packed_next(value, at);
        packed_get(value, at, &text);
        visit(context, &field, &text);
    }
}

uint64_t fields_scan(const void *value, uint64_t position, uint64_t count, fields_visitor *visit,
                     void *context) {
    struct visit some = {visit, context};
    if (is_large(value))
        return dictionary_scan(table_of(value)->dictionary, position, count, scan_pair, &some);
    fields_each(value, visit, context);
    return 0;
}

void fields_at(const void *value, uint64_t index, struct packed_text *field, struct packed_text *text) {
    assert(!is_large(value));
    uint32_t at = packed_at(value, (int64_t)index * 2);
    packed_get(value, at, field);
    packed_get(value, packed_next(value, at), text);
}

void fields_random(const void *value, struct packed_text *field, struct packed_text *text) {
    if (is_large(value))
        pair_texts(dictionary_random(table_of(value)->dictionary), field, text);
    else
        fields_at(value, value_random(fields_count(value)), field, text);
}

/* ------------------------------------------------------------------ what the keyspace must know */

static const char *encoding_name(const void *value) {
    return is_large(value) ? "hashtable" : "listpack";
}

static size_t bytes(const void *value) {
    if (!is_large(value)) return packed_bytes(value);
    const struct table *table = table_of(value);
    return memory_size(table) + dictionary_bytes(table->dictionary) + table->pair_bytes;
}

static void *copy(const void *value) {
    if (!is_large(value)) return packed_copy(value);
    struct table *table = table_from(value);
    return table == NULL ? NULL : value_tag(table, VALUE_LARGE);
}

static bool free_some(void *value, size_t budget) {
    if (is_large(value)) return table_free_some(table_of(value), budget);
    free(value);
    return true;
}

const struct value_kind hash_kind = {encoding_name, bytes, fields_count, copy, free_some};
