/* Hashes: fields and their values. Small ones are packed pairs ("listpack"), others a dictionary
 * ("hashtable"), from hash-max-listpack-entries and -value on. */
#ifndef SHARD_VALUE_FIELDS_H
#define SHARD_VALUE_FIELDS_H

#include "packed.h"
#include "value.h"

void *fields_create(void); /* empty; NULL when out of memory */
uint64_t fields_count(const void *value);
/* Returns whether the field is there, and its value's text. */
bool fields_get(const void *value, struct text field, struct packed_text *text);

enum put { PUT_FAILED /* out of memory */, PUT_NEW, PUT_OVER };
enum put fields_put(void **value, struct text field, struct text text);
/* Returns whether it was there. */
bool fields_remove(void **value, struct text field);

typedef void fields_visitor(void *context, const struct packed_text *field, const struct packed_text *text);
void fields_each(const void *value, fields_visitor *visit, void *context);
/* As dictionary_scan; a packed hash is visited whole. */
uint64_t fields_scan(const void *value, uint64_t position, uint64_t count, fields_visitor *visit,
                     void *context);
/* One drawn evenly; not empty. */
void fields_random(const void *value, struct packed_text *field, struct packed_text *text);
/* The index-th in the order of fields_each, for small ones. */
void fields_at(const void *value, uint64_t index, struct packed_text *field, struct packed_text *text);

#endif
