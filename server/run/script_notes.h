/* What leaves a script, kept until it is concluded: what its commands count for, lines for monitors, and for
 * the log. If the script begins again, it is forgotten.
 *
 * Several scripts of one transaction are noted one behind the other. */
#ifndef SERVER_RUN_SCRIPT_NOTES_H
#define SERVER_RUN_SCRIPT_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher.h"

struct note;
struct tally;
struct user;

struct script_notes {
    struct tally *tallies;          /* by a command's id */
    const struct command **touched; /* those that have been called */
    uint32_t touched_count;
    struct note *first, *last;
    size_t bytes;
    bool misses_some; /* there was no room for more */
};

/* false: no memory; what there is is to be freed all the same. */
bool script_notes_open(struct script_notes *notes);
void script_notes_free(struct script_notes *notes);
void script_notes_clear(struct script_notes *notes);

/* A script, whose commands follow. */
void script_notes_begin(struct script_notes *notes, const struct call *call);
/* It has called a command. error_code: NULL, it hasn't failed. */
void script_notes_call(struct script_notes *notes, const struct call *call, uint64_t nanoseconds,
                       const char *error_code);
/* As that user (NULL: the default one) it was denied a command, a key or a channel (enum verdict). */
void script_notes_denial(struct script_notes *notes, struct user *user, int verdict,
                         const struct bulk *object);
void script_notes_log(struct script_notes *notes, int level, const char *text, size_t length);

/* The next script is concluded, and holds no shard: what was noted of it goes out. */
void script_notes_publish_next(struct script_notes *notes, const struct execution *execution);
/* All are: what they count for. */
void script_notes_publish_counts(struct script_notes *notes, const struct execution *execution);

#endif
