/* Going through what is large in steps: cursors, and HSCAN, SSCAN and ZSCAN. */
#ifndef SERVER_COMMANDS_SHARED_SCANNING_H
#define SERVER_COMMANDS_SHARED_SCANNING_H

#include "server/command/command.h"
#include "shard/value/packed.h"

/* Reads a cursor as Redis does: what strtoul takes. */
bool cursor_parse(const struct bulk *argument, uint64_t *cursor);

/* One call of HSCAN, SSCAN or ZSCAN. */
struct value_scan {
    uint64_t position; /* the cursor */
    int64_t count;
    const struct bulk *pattern; /* NULL: any */
    struct reply items;         /* the command's to write: what was found */
    size_t found;               /* how many there are in items; the command counts */
};

/* Reads cursor, options and the value, and opens items with the reply's protocol. false if it has replied
 * already: what is wrong, or that there is nothing; then there is nothing to end. */
bool value_scan_begin(const struct read_scope *scope, const struct call *call, enum type type,
                      struct value_scan *scan, const void **value, struct reply *reply);
bool value_scan_matches(const struct value_scan *scan, const struct packed_text *text);
/* Replies the next position and what was found, or that there was no memory for that. */
void value_scan_end(struct value_scan *scan, uint64_t next, struct reply *reply);

#endif
