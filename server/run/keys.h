/* Keys: where they stand among the arguments, and each hashed once. */
#ifndef SERVER_RUN_KEYS_H
#define SERVER_RUN_KEYS_H

#include "dispatcher.h"

/* Fills in the call's keys, which are the frame's or the execution's. A request's arguments bound their
 * number. false when out of memory. */
bool find_keys(struct execution *execution);

#endif
