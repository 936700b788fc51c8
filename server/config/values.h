/* The texts that options are set to, and how the fields of `config` follow them. */
#ifndef SERVER_CONFIG_VALUES_H
#define SERVER_CONFIG_VALUES_H

#include <stddef.h>

#include "options.h"
#include "shard/base/mutex.h"

extern struct mutex values_mutex;
extern char *values[MOST_OPTIONS] GUARDED_BY(values_mutex); /* canonical */

/* Copies the text to where everybody reads it. */
void value_project(int index) REQUIRES(values_mutex);
/* Copies an option's text as CONFIG GET shows it; returns its length, cut to size - 1. */
size_t value_text(int index, char *out, size_t size) EXCLUDES(values_mutex);

/* Of this array or of another one; elements that are NULL are none. */
void values_free(char *texts[MOST_OPTIONS]);
/* false: out of memory. */
bool values_set_defaults(char *texts[MOST_OPTIONS]);

#endif
