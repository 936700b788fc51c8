/* Keys: where they stand among the arguments, and each hashed once, however often the request is tried. */
#ifndef SERVER_RUN_KEYS_H
#define SERVER_RUN_KEYS_H

#include "dispatcher.h"

/* Fills in the call's keys, which are the execution's, the frame's, or, of a request with more arguments than
 * the frame has room for, its own until it is done: then they are more than FRAME_KEYS, or their number is
 * known only now. A request's arguments bound it. false when out of memory.
 *
 * To find very many takes long, so that the lane leaves the gate for that. */
bool find_keys(struct execution *execution);
/* Bytes that the call's keys may take beside the frame's until it is done. */
size_t keys_bytes(const struct call *call);

#endif
