/* The options of Redis that have no effect here. Rows as in option.h, with a reason in `idle`. */
#ifndef SERVER_CONFIG_IDLE_H
#define SERVER_CONFIG_IDLE_H

#include "option.h"

extern const struct option idle_options[];
extern const int idle_option_count;

#endif
