/* Every option there is, by its number: those of rows.h in their order, then those of idle.c. */
#ifndef SERVER_CONFIG_OPTIONS_H
#define SERVER_CONFIG_OPTIONS_H

#include "option.h"

int option_count(void);
/* 0 <= index < option_count() */
const struct option *option_at(int index);
/* By its name or its older one, capitals or not. -1: there is none. */
int option_find(const char *name, size_t length);

#endif
