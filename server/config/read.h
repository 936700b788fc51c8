/* Reading: from files and the command line to the texts of options. */
#ifndef SERVER_CONFIG_READ_H
#define SERVER_CONFIG_READ_H

#include <stdio.h>

#include "values.h"

#define MISTAKE_SIZE 2048

struct renames {
    char **words; /* pairs: a command's name, and its new one or "" */
    size_t count;
};

/* Lines that begin with "user", without that word. */
struct user_lines {
    struct user_line {
        struct bulk *words; /* each with memory of its own, and a zero byte behind it */
        uint32_t count;
    } *lines;
    uint32_t count;
};

/* One reading: that of the start, into `values`, or that of a rewrite, into an array of its own. */
struct reading {
    char **values;               /* MOST_OPTIONS of them, which have their defaults */
    struct renames *renames;     /* NULL: they are of no interest */
    struct user_lines *users;    /* likewise */
    uint32_t users_included;     /* how many stand in files that the first one includes */
    char *origins[MOST_OPTIONS]; /* where each value comes from, for messages; NULL: the default */
    int depth;                   /* of included files */
    char mistake[MISTAKE_SIZE];  /* "" also if memory was what was missing */
};

/* Where the words at hand stand. */
struct position {
    const char *file; /* NULL: the command line */
    int line;
    const char *text; /* as it was written */
};

/* Functions that return a bool return false after a mistake, which then stands in the reading. */

bool read_stream(struct reading *reading, FILE *stream, const char *name);
/* Returns 1, 0 after a mistake in it, or -1 with errno if it can't be opened. */
int read_file(struct reading *reading, const char *name);
/* --name value ... from arguments[0] on. An argument that begins with two dashes begins an option, unless a
 * value is due and no option has that name: then it is the value (--requirepass --x7). As in Redis, --save
 * without a value is --save "", and a last -- means nothing. */
bool read_arguments(struct reading *reading, int count, char **arguments);

/* Writes the mistake with where it is; returns false. */
bool reading_mistake(struct reading *reading, const struct position *position, const char *why);
void user_lines_free(struct user_lines *users);
/* But for the values, which are the caller's, as are renames and users. */
void reading_free(struct reading *reading);

#endif
