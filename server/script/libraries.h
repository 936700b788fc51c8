/* Function libraries: one set for all workers, and for each worker what it has loaded of them.
 *
 * A set is never changed: a change makes a new one, and counts. A worker compares the count with what it
 * has seen, so a change holds on all workers when it returns, and nobody waits for it; what runs ends on
 * the library that it began with. A library is loaded into a worker's state when the first of its
 * functions is called there: its local variables are each worker's own. */
#ifndef SERVER_SCRIPT_LIBRARIES_H
#define SERVER_SCRIPT_LIBRARIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state.h"

struct library_function {
    char *name, *description; /* description may be NULL */
    uint32_t flags;           /* shebang.h */
    _Atomic bool strays;      /* noted by those who run it: it takes keys that were not declared */
};

struct library {
    char *name;
    char *code; /* with its first line */
    size_t code_length;
    struct library_function *functions; /* by name */
    uint32_t function_count;
};

struct library_set {
    const struct library **libraries; /* by name */
    uint32_t library_count;
    uint32_t function_count;
};

/* Today's set, to be read until it is let go. NULL when out of memory. Any thread. */
const struct library_set *libraries_hold(void);
void libraries_let_go(const struct library_set *set);
/* Of its libraries' texts. NULL: none. */
size_t libraries_bytes(const struct library_set *set);

/* Each returns NULL, or the error as Redis words it after "ERR ". Any thread; what is changed holds when
 * it returns. */
const char *libraries_delete(const char *name, size_t length);
void libraries_flush(void);

/* ---------------------------------------------------------------- a worker's */

struct library_shelf;

/* Of libraries that are loaded in this state, by its thread only. NULL when out of memory. */
struct library_shelf *library_shelf_create(struct script_state *state);
/* Before the state is freed. */
void library_shelf_free(struct library_shelf *shelf);

/* Loads a library into this state, and lets all have it. run: host and context for script_load_library;
 * its turn ends what takes too long. Returns NULL and its name (in name, valid as long as code is), or the
 * error. */
const char *library_load(struct library_shelf *shelf, const char *code, size_t length, bool replaces,
                         const struct script_run *run, const char **name, size_t *name_length, char *error,
                         size_t error_size);

enum library_policy { LIBRARY_APPEND, LIBRARY_REPLACE, LIBRARY_FLUSH };

/* FUNCTION RESTORE: loads all libraries of a payload (dump.h), or none. As library_load. */
const char *library_restore(struct library_shelf *shelf, const char *payload, size_t length,
                            enum library_policy policy, const struct script_run *run, char *error,
                            size_t error_size);

/* Finds a function by its name. False: there is none. Valid until the next call with this shelf.
 *
 * Its library is loaded here if it hasn't been; if that fails, place->function is 0, and error has why. */
struct shelved;
struct library_place {
    int function;            /* what it is run by */
    struct shelved *shelved; /* its library, here */
    uint32_t flags;
    const char *name;
    _Atomic bool *strays;
    bool is_elsewhere; /* its library isn't loaded, as that takes long */
};
/* loads_slow  whether a library is loaded here though that takes long */
bool library_find(struct library_shelf *shelf, const char *name, size_t length, bool loads_slow,
                  const struct script_run *run, struct library_place *place, char *error, size_t error_size);

/* What has just been found stays until it is let go, whatever becomes of its library meanwhile. */
void library_shelf_hold(struct shelved *shelved);
void library_shelf_let_go(struct library_shelf *shelf, struct shelved *shelved);

#endif
