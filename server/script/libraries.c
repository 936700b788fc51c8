#include "dump.h"
#include "libraries.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shard/base/mutex.h"
#include "copy.h"
#include "names.h"
#include "shebang.h"

/* As many functions a library may have: what registers more does nothing else. */
#define FUNCTIONS_MOST 65536

/* ------------------------------------------------------------------ a library */

struct shared_library {
    struct library library;
    atomic_uint holders;
    size_t begin; /* of what is compiled, in its code */
    uint32_t capacity;
    bool is_slow;       /* loading it takes long */
    struct names names; /* of its functions; complete once it is loaded */
};

static struct shared_library *shared(const struct library *library) {
    return (struct shared_library *)(uintptr_t)library;
}

static void library_let_go(struct shared_library *library) {
    if (library == NULL || atomic_fetch_sub(&library->holders, 1) != 1) return;
    for (uint32_t i = 0; i < library->library.function_count; i++) {
        free(library->library.functions[i].name);
        free(library->library.functions[i].description);
    }
    names_free(&library->names);
    free(library->library.functions);
    free(library->library.name);
    free(library->library.code);
    free(library);
}

static const char *function_name_at(const void *row, uint32_t number) {
    const struct library_function *functions = row;
    return functions[number].name;
}

static struct shared_library *library_make(const char *code, size_t length, char *error, size_t error_size) {
    const char *name;
    size_t name_length, begin;
    if (!shebang_read_library(code, length, &name, &name_length, &begin, error, error_size)) return NULL;
    struct shared_library *library = calloc(1, sizeof *library);
    if (library != NULL) {
        library->holders = 1;
        library->begin = begin;
        library->library.name = copy_text(name, name_length);
        library->library.code = malloc(length);
        library->library.code_length = length;
        library->names = (struct names){.name_at = function_name_at, .folds_case = true};
        if (library->library.name != NULL && library->library.code != NULL) {
            memcpy(library->library.code, code, length);
            return library;
        }
        library_let_go(library);
    }
    snprintf(error, error_size, "out of memory");
    return NULL;
}

/* As Redis does, a function is found by its name in any case, where a library is not. */
static int compare_names(const char *name, size_t length, const char *other) {
    size_t other_length = strlen(other);
    int order = strncasecmp(name, other, length < other_length ? length : other_length);
    return order != 0 ? order : (length > other_length) - (length < other_length);
}

/* ------------------------------------------------------------------ the set */

struct named {
    const struct library *library;
    uint32_t function; /* its number there */
};

struct shared_set {
    struct library_set set;
    atomic_uint holders;
    struct named *names; /* of all functions, by name */
};

static struct mutex mutex = MUTEX_INITIALIZER;
static struct shared_set *today GUARDED_BY(&mutex); /* NULL: empty, and none was made yet */
static _Atomic uint64_t changes;

static struct shared_set *shared_set(const struct library_set *set) {
    return (struct shared_set *)(uintptr_t)set;
}

static void set_free(struct shared_set *set) {
    for (uint32_t i = 0; i < set->set.library_count; i++) library_let_go(shared(set->set.libraries[i]));
    free(set->set.libraries);
    free(set->names);
    free(set);
}

void libraries_let_go(const struct library_set *held) {
    struct shared_set *set = shared_set(held);
    if (set != NULL && atomic_fetch_sub(&set->holders, 1) == 1) set_free(set);
}

size_t libraries_bytes(const struct library_set *set) {
    size_t bytes = 0;
    for (uint32_t i = 0; set != NULL && i < set->library_count; i++)
        bytes += sizeof(struct shared_library) + set->libraries[i]->code_length;
    return bytes;
}

static const char *name_of(const struct named *named) {
    return named->library->functions[named->function].name;
}

static int compare_named(const void *a, const void *b) {
    return compare_names(name_of(a), strlen(name_of(a)), name_of(b));
}

static int compare_libraries(const void *a, const void *b) {
    const struct library *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

/* Takes a hold of each library. NULL when out of memory, or two functions have one name: then *twice is
 * it. */
static struct shared_set *set_make(struct library *const *libraries, uint32_t count, const char **twice) {
    struct shared_set *set = calloc(1, sizeof *set);
    *twice = NULL;
    if (set == NULL) return NULL;
    set->holders = 1;
    for (uint32_t i = 0; i < count; i++) set->set.function_count += libraries[i]->function_count;
    set->set.libraries = malloc((count + 1) * sizeof *set->set.libraries);
    set->names = malloc((set->set.function_count + 1) * sizeof *set->names);
    if (set->set.libraries == NULL || set->names == NULL) {
        set_free(set);
        return NULL;
    }
    uint32_t named = 0;
    for (uint32_t i = 0; i < count; i++) {
        atomic_fetch_add(&shared(libraries[i])->holders, 1);
        set->set.libraries[set->set.library_count++] = libraries[i];
        for (uint32_t j = 0; j < libraries[i]->function_count; j++)
            set->names[named++] = (struct named){libraries[i], j};
    }
    qsort(set->set.libraries, count, sizeof *set->set.libraries, compare_libraries);
    qsort(set->names, named, sizeof *set->names, compare_named);
    for (uint32_t i = 1; i < named; i++) {
        if (compare_named(&set->names[i - 1], &set->names[i]) != 0) continue;
        *twice = name_of(&set->names[i]);
        set_free(set);
        return NULL;
    }
    return set;
}

static struct shared_set *set_today(void) REQUIRES(&mutex) {
    const char *twice;
    if (today == NULL) today = set_make(NULL, 0, &twice);
    return today;
}

const struct library_set *libraries_hold(void) {
    mutex_lock(&mutex);
    struct shared_set *set = set_today();
    if (set != NULL) atomic_fetch_add(&set->holders, 1);
    mutex_unlock(&mutex);
    return set == NULL ? NULL : &set->set;
}

/* Another set holds from now on. Returns the one before, which is to be let go without the mutex. */
static struct shared_set *renew(struct shared_set *after) REQUIRES(&mutex) {
    struct shared_set *before = today;
    today = after;
    atomic_fetch_add(&changes, 1);
    return before;
}

static bool is_named(const struct library *library, const char *name, size_t length) {
    return strlen(library->name) == length && memcmp(library->name, name, length) == 0;
}

static const char *library_name_at(const void *row, uint32_t number) {
    struct shared_library *const *libraries = row;
    return libraries[number]->library.name;
}

/* A name as those who bring it spell it. */
static const char *spelled(const char *name, struct shared_library *const *added, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const struct library_function *functions = added[i]->library.functions;
        uint32_t number = names_find(&added[i]->names, functions, name, strlen(name));
        if (number != NAMES_NONE) return functions[number].name;
    }
    return name;
}

/* Today's set becomes what is kept of it, and these. Errors as Redis words them. */
static const char *change(struct shared_library *const *added, uint32_t count, enum library_policy policy,
                          char *error, size_t error_size) {
    const char *twice = NULL, *wrong = NULL;
    struct names names = {.name_at = library_name_at};
    bool has_names = true;
    for (uint32_t i = 0; i < count && has_names; i++)
        has_names = names_add(&names, added[i]->library.name, strlen(added[i]->library.name), i);
    mutex_lock(&mutex);
    struct shared_set *before = set_today(), *after = NULL;
    uint32_t kept = 0, most = before == NULL ? 0 : before->set.library_count;
    struct library **libraries = malloc((most + count + 1) * sizeof *libraries);
    if (before == NULL || libraries == NULL || !has_names) {
        wrong = "out of memory";
    } else {
        for (uint32_t i = 0; i < most && policy != LIBRARY_FLUSH && wrong == NULL; i++) {
            struct library *library = &shared(before->set.libraries[i])->library;
            if (names_find(&names, added, library->name, strlen(library->name)) == NAMES_NONE) {
                libraries[kept++] = library;
            } else if (policy == LIBRARY_APPEND) {
                snprintf(error, error_size, "Library %s already exists", library->name);
                wrong = error;
            }
        }
        for (uint32_t i = 0; i < count; i++) libraries[kept++] = &added[i]->library;
        if (wrong == NULL) after = set_make(libraries, kept, &twice);
        if (twice != NULL)
            snprintf(error, error_size, "Function %s already exists", spelled(twice, added, count));
        if (wrong == NULL && after == NULL) wrong = twice != NULL ? error : "out of memory";
        if (after != NULL) before = renew(after);
    }
    mutex_unlock(&mutex);
    if (after != NULL) libraries_let_go(&before->set);
    free(libraries);
    names_free(&names);
    return wrong;
}

const char *libraries_delete(const char *name, size_t length) {
    const char *wrong = "Library not found", *twice;
    mutex_lock(&mutex);
    struct shared_set *before = set_today(), *after = NULL;
    uint32_t kept = 0, count = before == NULL ? 0 : before->set.library_count;
    struct library **libraries = malloc((count + 1) * sizeof *libraries);
    for (uint32_t i = 0; i < count && libraries != NULL; i++)
        if (!is_named(before->set.libraries[i], name, length))
            libraries[kept++] = &shared(before->set.libraries[i])->library;
    if (libraries == NULL || before == NULL) {
        wrong = "out of memory";
    } else if (kept < count) {
        after = set_make(libraries, kept, &twice);
        wrong = after == NULL ? "out of memory" : NULL;
    }
    if (after != NULL) before = renew(after);
    mutex_unlock(&mutex);
    if (after != NULL) libraries_let_go(&before->set);
    free(libraries);
    return wrong;
}

void libraries_flush(void) {
    mutex_lock(&mutex);
    struct shared_set *before = renew(NULL);
    mutex_unlock(&mutex);
    if (before != NULL) libraries_let_go(&before->set);
}

/* ------------------------------------------------------------------ a worker's */

struct shelved {
    struct shared_library *library;
    int *functions;   /* by the numbers of the library's */
    uint32_t holders; /* the shelf is one */
};

struct library_shelf {
    struct script_state *state;
    uint64_t seen; /* of changes, when the set was taken */
    const struct library_set *set;
    struct shelved **shelved;
    uint32_t count, capacity;
};

struct library_shelf *library_shelf_create(struct script_state *state) {
    struct library_shelf *shelf = calloc(1, sizeof *shelf);
    if (shelf != NULL) shelf->state = state;
    return shelf;
}

/* What was loaded is forgotten, and the library let go. */
static void unload(struct library_shelf *shelf, struct shared_library *library, int *functions) {
    for (uint32_t i = 0; i < library->library.function_count; i++)
        if (functions[i] != 0) script_forget(shelf->state, functions[i]);
    library_let_go(library);
    free(functions);
}

void library_shelf_hold(struct shelved *shelved) {
    shelved->holders++;
}

void library_shelf_let_go(struct library_shelf *shelf, struct shelved *shelved) {
    if (--shelved->holders > 0) return;
    unload(shelf, shelved->library, shelved->functions);
    free(shelved);
}

void library_shelf_free(struct library_shelf *shelf) {
    for (uint32_t i = 0; i < shelf->count; i++) library_shelf_let_go(shelf, shelf->shelved[i]);
    libraries_let_go(shelf->set);
    free(shelf->shelved);
    free(shelf);
}

/* Takes over the library and its functions. NULL: no memory. */
static struct shelved *shelve(struct library_shelf *shelf, struct shared_library *library, int *functions) {
    struct shelved *shelved = malloc(sizeof *shelved);
    if (shelved != NULL && shelf->count == shelf->capacity) {
        uint32_t capacity = shelf->capacity == 0 ? 4 : 2 * shelf->capacity;
        struct shelved **larger = realloc(shelf->shelved, capacity * sizeof *larger);
        if (larger != NULL) shelf->shelved = larger;
        if (larger != NULL) shelf->capacity = capacity;
    }
    if (shelved == NULL || shelf->count == shelf->capacity) {
        unload(shelf, library, functions);
        free(shelved);
        return NULL;
    }
    *shelved = (struct shelved){library, functions, 1};
    shelf->shelved[shelf->count] = shelved;
    shelf->count++;
    return shelved;
}

static bool is_in(const struct library_set *set, const struct library *library) {
    const struct library **found =
        bsearch(&library, set->libraries, set->library_count, sizeof *set->libraries, compare_libraries);
    return found != NULL && *found == library;
}

/* Sees today's set, and lets go of what isn't in it any more. False when out of memory. */
static bool look(struct library_shelf *shelf) {
    uint64_t now = atomic_load(&changes);
    if (shelf->set != NULL && shelf->seen == now) return true;
    const struct library_set *set = libraries_hold();
    if (set == NULL) return false;
    libraries_let_go(shelf->set);
    shelf->set = set;
    shelf->seen = now; /* or less than what the set has, which is looked at once more then */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < shelf->count; i++) {
        if (is_in(set, &shelf->shelved[i]->library->library))
            shelf->shelved[kept++] = shelf->shelved[i];
        else
            library_shelf_let_go(shelf, shelf->shelved[i]);
    }
    shelf->count = kept;
    return true;
}

/* ------------------------------------------------------------------ loading */

/* What a library registers while it loads: for the first time, or in a further state, where it must be the
 * same. */
struct loading {
    const struct script_run *run;
    struct shared_library *library;
    int *functions;
    uint32_t count, turns;
    bool is_first;
};

/* Code of more bytes, or that takes more turns to load, takes long: about a millisecond. */
#define SLOW_BYTES 65536
#define SLOW_TURNS 64

static const char *note_first(struct loading *loading, const struct script_function *function) {
    struct shared_library *library = loading->library;
    if (!shebang_is_name(function->name, function->name_length)) return SHEBANG_BAD_NAME;
    if (names_find(&library->names, library->library.functions, function->name, function->name_length) !=
        NAMES_NONE)
        return "Function already exists in the library";
    if (loading->count == FUNCTIONS_MOST) return "too many functions in a library";
    if (loading->count == library->capacity) {
        uint32_t capacity = library->capacity == 0 ? 4 : 2 * library->capacity;
        struct library_function *functions =
            realloc(library->library.functions, capacity * sizeof *functions);
        if (functions != NULL) library->library.functions = functions;
        int *numbers = realloc(loading->functions, capacity * sizeof *numbers);
        if (numbers != NULL) loading->functions = numbers;
        if (functions == NULL || numbers == NULL) return "out of memory";
        library->capacity = capacity;
    }
    struct library_function *made = &library->library.functions[loading->count];
    *made = (struct library_function){.name = copy_text(function->name, function->name_length),
                                      .flags = function->flags};
    if (function->description != NULL)
        made->description = copy_text(function->description, function->description_length);
    if (made->name == NULL || (function->description != NULL && made->description == NULL) ||
        !names_add(&library->names, function->name, function->name_length, loading->count)) {
        free(made->name);
        free(made->description);
        return "out of memory";
    }
    loading->functions[loading->count++] = function->function;
    library->library.function_count = loading->count;
    return NULL;
}

static const char *note_function(void *context, const struct script_function *function) {
    struct loading *loading = context;
    if (loading->is_first) return note_first(loading, function);
    uint32_t number = names_find(&loading->library->names, loading->library->library.functions,
                                 function->name, function->name_length);
    int *place = number == NAMES_NONE ? NULL : &loading->functions[number];
    if (place == NULL || *place != 0) return "the library registers other functions than before";
    *place = function->function;
    return NULL;
}

/* The host is asked with its own context, which stands in the loading's. */
static enum script_verdict turn_of(void *context) {
    struct loading *loading = context;
    loading->turns++;
    return loading->run->host->turn(loading->run->context);
}

static void log_of(void *context, int level, const char *text, size_t length) {
    const struct loading *loading = context;
    if (loading->run->host->log != NULL) loading->run->host->log(loading->run->context, level, text, length);
}

static const struct script_host while_loading = {.turn = turn_of, .log = log_of};

/* Loads a library's code here. The functions, which are the caller's, or NULL and the error. */
static int *load(struct library_shelf *shelf, struct shared_library *library, const struct script_run *run,
                 bool is_first, char *error, size_t error_size) {
    struct loading loading = {.run = run, .library = library, .is_first = is_first};
    const struct script_run own = {
        .host = &while_loading, .context = &loading, .name = library->library.name};
    if (!is_first) loading.functions = calloc(library->library.function_count, sizeof *loading.functions);
    if (!is_first && loading.functions == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    bool is_loaded = script_load_library(shelf->state, library->library.code + library->begin,
                                         library->library.code_length - library->begin, &own, note_function,
                                         error, error_size);
    if (is_loaded && library->library.function_count == 0) {
        snprintf(error, error_size, "No functions registered");
        is_loaded = false;
    }
    if (is_first) library->is_slow = library->library.code_length > SLOW_BYTES || loading.turns > SLOW_TURNS;
    if (is_loaded) return loading.functions;
    for (uint32_t i = 0; i < library->library.function_count && loading.functions != NULL; i++)
        if (loading.functions[i] != 0) script_forget(shelf->state, loading.functions[i]);
    free(loading.functions);
    return NULL;
}

static bool has_library(const struct library_set *set, const char *name) {
    for (uint32_t i = 0; i < set->library_count; i++)
        if (strcmp(set->libraries[i]->name, name) == 0) return true;
    return false;
}

const char *library_load(struct library_shelf *shelf, const char *code, size_t length, bool replaces,
                         const struct script_run *run, const char **name, size_t *name_length, char *error,
                         size_t error_size) {
    struct shared_library *library = library_make(code, length, error, error_size);
    if (library == NULL) return error;
    const char *wrong = NULL;
    if (!look(shelf)) {
        wrong = "out of memory";
    } else if (!replaces && has_library(shelf->set, library->library.name)) {
        snprintf(error, error_size, "Library '%s' already exists", library->library.name);
        wrong = error;
    }
    int *functions = wrong == NULL ? load(shelf, library, run, true, error, error_size) : NULL;
    if (functions == NULL) {
        library_let_go(library);
        return wrong == NULL ? error : wrong;
    }
    wrong = change(&library, 1, replaces ? LIBRARY_REPLACE : LIBRARY_APPEND, error, error_size);
    if (wrong != NULL) {
        unload(shelf, library, functions);
        return wrong;
    }
    /* Without memory for keeping what was loaded, it is loaded again when it is called. */
    (void)shelve(shelf, library, functions);
    size_t begin;
    (void)shebang_read_library(code, length, name, name_length, &begin, error, error_size);
    return NULL;
}

bool library_find(struct library_shelf *shelf, const char *name, size_t length, bool loads_slow,
                  const struct script_run *run, struct library_place *place, char *error, size_t error_size) {
    if (!look(shelf)) return false;
    const struct named *names = shared_set(shelf->set)->names, *found = NULL;
    for (uint32_t low = 0, high = shelf->set->function_count; low < high && found == NULL;) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_names(name, length, name_of(&names[middle]));
        if (order == 0)
            found = &names[middle];
        else if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (found == NULL) return false;
    struct library_function *known = &found->library->functions[found->function];
    *place = (struct library_place){.flags = known->flags, .name = known->name, .strays = &known->strays};
    struct shared_library *library = shared(found->library);
    for (uint32_t i = 0; i < shelf->count; i++)
        if (shelf->shelved[i]->library == library) {
            place->shelved = shelf->shelved[i];
            place->function = place->shelved->functions[found->function];
            return true;
        }
    place->is_elsewhere = library->is_slow && !loads_slow;
    if (place->is_elsewhere) return true;
    int *functions = load(shelf, library, run, false, error, error_size);
    if (functions == NULL) return true;
    atomic_fetch_add(&library->holders, 1);
    place->shelved = shelve(shelf, library, functions);
    if (place->shelved == NULL) {
        snprintf(error, error_size, "out of memory");
        return true;
    }
    place->function = functions[found->function];
    if (place->function == 0)
        snprintf(error, error_size, "the library registers other functions than before");
    return true;
}

/* ------------------------------------------------------------------ restoring */

#define LIBRARIES_MOST 4096

struct restored {
    struct shared_library *libraries[LIBRARIES_MOST];
    int *functions[LIBRARIES_MOST];
    uint32_t count;
    struct names names;
};

/* Reads and loads one library of a payload after the other. */
static const char *restore_all(struct library_shelf *shelf, const char *payload, size_t length,
                               const struct script_run *run, struct restored *restored, char *error,
                               size_t error_size) {
    size_t at = 0, code_length;
    const char *wrong;
    for (char *code; (code = dump_next(payload, length, &at, &code_length, &wrong)) != NULL;) {
        bool is_full = restored->count == LIBRARIES_MOST;
        struct shared_library *library = is_full ? NULL : library_make(code, code_length, error, error_size);
        free(code);
        if (library == NULL) return is_full ? "too many libraries" : error;
        const char *name = library->library.name;
        if (names_find(&restored->names, restored->libraries, name, strlen(name)) != NAMES_NONE) {
            snprintf(error, error_size, "Library '%s' already exists", library->library.name);
            library_let_go(library);
            return error;
        }
        int *functions = load(shelf, library, run, true, error, error_size);
        if (functions == NULL) {
            library_let_go(library);
            return error;
        }
        if (!names_add(&restored->names, name, strlen(name), restored->count)) {
            unload(shelf, library, functions);
            return "out of memory";
        }
        restored->libraries[restored->count] = library;
        restored->functions[restored->count++] = functions;
    }
    return wrong;
}

const char *library_restore(struct library_shelf *shelf, const char *payload, size_t length,
                            enum library_policy policy, const struct script_run *run, char *error,
                            size_t error_size) {
    if (!dump_is_valid(payload, length)) return "DUMP payload version or checksum are wrong";
    struct restored *restored = calloc(1, sizeof *restored);
    if (restored == NULL) return "out of memory";
    restored->names.name_at = library_name_at;
    const char *wrong = restore_all(shelf, payload, length, run, restored, error, error_size);
    if (wrong == NULL) wrong = change(restored->libraries, restored->count, policy, error, error_size);
    for (uint32_t i = 0; i < restored->count; i++) {
        if (wrong != NULL)
            unload(shelf, restored->libraries[i], restored->functions[i]);
        else
            (void)shelve(shelf, restored->libraries[i], restored->functions[i]);
    }
    names_free(&restored->names);
    free(restored);
    return wrong;
}
