#include "users.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/mutex.h"
#include "server/command/command.h"
#include "server/config/config.h"
#include "server/task/user.h"
#include "check.h"

_Atomic bool users_matter;

/* What a thread has last seen of a user; that thread's own. */
struct seen {
    uint64_t changes;
    struct rules *rules; /* held */
    uint64_t narrowed;
};

struct known_user {
    struct user user;                /* first: it is cast back */
    struct rules *rules;             /* the present ones; guarded by the mutex, as `narrowed` */
    _Atomic uint64_t narrowed;       /* by which change its clients were last to hear less */
    struct known_user *removed_next; /* users_remove's, and the rules that it had */
    struct rules *removed_rules;
    struct seen seen[];
};

static struct mutex mutex = MUTEX_INITIALIZER;
static struct mutex changing = MUTEX_INITIALIZER; /* outside of it */
static struct {
    struct known_user **list; /* by name */
    uint32_t count, room;
} table GUARDED_BY(mutex);
static _Atomic uint64_t changes = 1; /* more by one with each; changed with the mutex held */
/* These are set before there are other threads. */
static uint32_t thread_count;
static struct known_user *default_user;
static struct rules *no_rights; /* of those that are gone */

static struct known_user *known(struct user *user) {
    return user == NULL ? default_user : (struct known_user *)user;
}

static void on_end(struct user *user) {
    struct known_user *ended = known(user);
    for (uint32_t i = 0; i < thread_count; i++) rules_let_go(ended->seen[i].rules);
    rules_let_go(ended->rules);
    free(ended);
}

/* Held once. It takes the rules over, unless there is no memory. */
static struct known_user *user_create(const struct bulk *name, struct rules *rules) {
    size_t size = sizeof(struct known_user) + thread_count * sizeof(struct seen);
    struct known_user *user = calloc(1, size + name->length + 1);
    if (user == NULL) return NULL;
    char *text = (char *)user + size;
    if (name->length > 0) memcpy(text, name->data, name->length);
    user->user.name = text;
    user->user.length = name->length;
    user->user.end = on_end;
    atomic_init(&user->user.holders, 1);
    user->rules = rules;
    return user;
}

/* ------------------------------------------------------------------ the table */

/* As memcmp, the shorter one first. */
static int compare(const struct known_user *user, const struct bulk *name) {
    size_t length = user->user.length < name->length ? user->user.length : name->length;
    int order = length == 0 ? 0 : memcmp(user->user.name, name->data, length);
    if (order != 0) return order;
    return user->user.length < name->length ? -1 : user->user.length > name->length;
}

/* Where the name is, or would be. */
static uint32_t place_of(const struct bulk *name) REQUIRES(mutex) {
    uint32_t low = 0, high = table.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(table.list[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct known_user *find(const struct bulk *name) REQUIRES(mutex) {
    uint32_t place = place_of(name);
    return place < table.count && compare(table.list[place], name) == 0 ? table.list[place] : NULL;
}

static bool table_reserve(uint32_t count) REQUIRES(mutex) {
    if (count <= table.room) return true;
    uint32_t room = table.room == 0 ? 16 : 2 * table.room;
    if (room < count) room = count;
    struct known_user **list = realloc(table.list, room * sizeof *list);
    if (list == NULL) return false;
    table.list = list;
    table.room = room;
    return true;
}

static void table_insert(struct known_user *user) REQUIRES(mutex) {
    const struct bulk name = {.data = (char *)(uintptr_t)user->user.name, .length = user->user.length};
    uint32_t place = place_of(&name);
    assert(table.count < table.room);
    memmove(&table.list[place + 1], &table.list[place], (table.count - place) * sizeof *table.list);
    table.list[place] = user;
    table.count++;
}

/* ------------------------------------------------------------------ changes */

/* What is asked of new clients, and by those who know nothing of users, depends on the default one. */
static void tell_of_default(void) REQUIRES(mutex) {
    const struct rules *rules = default_user->rules;
    access_publish(!rules->needs_no_password, rules->needs_no_password && rules->is_on);
}

/* After what was changed, and before the mutex is released. That there were others is never forgotten: one
 * that was deleted may still have a client somewhere. */
static void changed(void) REQUIRES(mutex) {
    if (table.count > 1 || !rules_allow_all(default_user->rules)) atomic_store(&users_matter, true);
    tell_of_default();
    atomic_fetch_add(&changes, 1);
}

/* Returns the rules before, to be let go without the mutex. */
static struct rules *exchange(struct known_user *user, struct rules *rules) REQUIRES(mutex) {
    struct rules *old = user->rules;
    user->rules = rules;
    if (rules_narrow_channels(old, rules)) atomic_store(&user->narrowed, atomic_load(&changes) + 1);
    return old;
}

enum users_outcome users_put(const struct bulk *name, struct rules *rules, const struct rules *base) {
    struct known_user *fresh = user_create(name, rules); /* mostly in vain: users change rarely */
    struct rules *old = NULL;
    mutex_lock(&mutex);
    struct known_user *user = find(name);
    bool is_late = base != NULL && (user == NULL || user->rules != base);
    bool is_put = !is_late && (user != NULL || (fresh != NULL && table_reserve(table.count + 1)));
    if (is_put && user != NULL) {
        old = exchange(user, rules);
    } else if (is_put) {
        table_insert(fresh);
        fresh = NULL;
    }
    if (is_put) changed();
    mutex_unlock(&mutex);
    rules_let_go(old);
    free(fresh);
    return is_put ? USERS_PUT : is_late ? USERS_LATE : USERS_NO_MEMORY;
}

void users_change_begin(void) NO_THREAD_SAFETY_ANALYSIS {
    mutex_lock(&changing);
}

void users_change_end(void) NO_THREAD_SAFETY_ANALYSIS {
    mutex_unlock(&changing);
}

/* It stands in the table no more. Returns its rules, as exchange. */
static struct rules *end(struct known_user *user) REQUIRES(mutex) {
    struct rules *old = user->rules;
    user->rules = rules_hold(no_rights);
    atomic_store(&user->user.is_gone, true);
    return old;
}

/* Those that are gone leave the table, all at once. */
static void table_sweep(void) REQUIRES(mutex) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < table.count; i++)
        if (!atomic_load(&table.list[i]->user.is_gone)) table.list[kept++] = table.list[i];
    table.count = kept;
}

uint32_t users_remove(const struct bulk *names, uint32_t count, bool *is_done) {
    struct known_user *first = NULL;
    uint32_t removed = 0;
    mutex_lock(&mutex);
    for (uint32_t i = 0; !*is_done && i < count; i++) {
        struct known_user *user = find(&names[i]);
        if (user == NULL || user == default_user || atomic_load(&user->user.is_gone)) continue;
        user->removed_rules = end(user);
        user->removed_next = first;
        first = user;
        removed++;
    }
    *is_done = true;
    if (removed > 0) {
        table_sweep();
        changed();
    }
    mutex_unlock(&mutex);
    /* Requests of others may wait for the mutex: what the users had is freed without it. */
    for (struct known_user *user = first, *next; user != NULL; user = next) {
        next = user->removed_next;
        rules_let_go(user->removed_rules);
        user_let_go(&user->user);
    }
    return removed;
}

static bool is_default(const struct bulk *name) {
    return argument_equals(name, DEFAULT_USER);
}

static int compare_fresh(const void *one, const void *other) {
    const struct known_user *user = *(struct known_user *const *)one;
    const struct known_user *next = *(struct known_user *const *)other;
    if (user == NULL || next == NULL) return (user == NULL) - (next == NULL);
    const struct bulk name = {.data = (char *)(uintptr_t)next->user.name, .length = next->user.length};
    return compare(user, &name);
}

/* The users that are going to be there but the default one, and whether they are all there. They are in their
 * order, so that many of them are put into the table in a moment. */
static struct known_user **create_all(const struct user_loaded *loaded, uint32_t count, bool *are_all) {
    struct known_user **fresh = calloc(count + 1, sizeof(struct known_user *));
    *are_all = fresh != NULL;
    for (uint32_t i = 0; *are_all && i < count; i++) {
        if (is_default(&loaded[i].name)) continue;
        fresh[i] = user_create(&loaded[i].name, loaded[i].rules);
        *are_all = fresh[i] != NULL;
    }
    if (*are_all) qsort(fresh, count, sizeof *fresh, compare_fresh);
    return fresh;
}

bool users_replace(struct user_loaded *loaded, uint32_t count) {
    bool are_all;
    struct known_user **fresh = create_all(loaded, count, &are_all), **old = NULL;
    struct rules *rules = NULL, **old_rules = NULL;
    uint32_t old_count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (is_default(&loaded[i].name)) rules = loaded[i].rules;
    bool is_made = rules == NULL;
    if (is_made) rules = rules_create_all();
    mutex_lock(&mutex);
    old = malloc(table.count * sizeof(struct known_user *));
    old_rules = malloc(table.count * sizeof(struct rules *));
    bool is_done = are_all && rules != NULL && old != NULL && old_rules != NULL && table_reserve(count + 1);
    if (is_done) {
        for (uint32_t i = 0; i < table.count; i++) {
            if (table.list[i] == default_user) continue;
            old[old_count] = table.list[i];
            old_rules[old_count++] = end(table.list[i]);
        }
        table.count = 0;
        table_insert(default_user);
        for (uint32_t i = 0; i < count; i++)
            if (fresh[i] != NULL) table_insert(fresh[i]);
        rules = exchange(default_user, rules);
        changed();
    }
    mutex_unlock(&mutex);
    for (uint32_t i = 0; i < old_count; i++) {
        rules_let_go(old_rules[i]);
        user_let_go(&old[i]->user);
    }
    for (uint32_t i = 0; !is_done && fresh != NULL && i < count; i++) free(fresh[i]);
    if (is_done || is_made) rules_let_go(rules);
    free(old);
    free(old_rules);
    free(fresh);
    return is_done;
}

/* ------------------------------------------------------------------ what a request asks */

static __attribute__((noinline)) const struct rules *see(struct known_user *user, struct seen *seen) {
    struct rules *old = seen->rules;
    mutex_lock(&mutex);
    seen->changes = atomic_load_explicit(&changes, memory_order_relaxed);
    seen->rules = rules_hold(user->rules);
    mutex_unlock(&mutex);
    rules_let_go(old);
    return seen->rules;
}

const struct rules *users_rules(struct user *user, uint32_t thread) {
    struct known_user *own = known(user);
    struct seen *seen = &own->seen[thread];
    assert(thread < thread_count);
    if (seen->changes == atomic_load_explicit(&changes, memory_order_relaxed)) return seen->rules;
    return see(own, seen);
}

/* ------------------------------------------------------------------ what others ask */

bool users_exist(const struct bulk *name) {
    mutex_lock(&mutex);
    bool exists = find(name) != NULL;
    mutex_unlock(&mutex);
    return exists;
}

struct rules *users_find(const struct bulk *name) {
    mutex_lock(&mutex);
    const struct known_user *user = find(name);
    struct rules *rules = user == NULL ? NULL : rules_hold(user->rules);
    mutex_unlock(&mutex);
    return rules;
}

bool users_authenticate(const struct bulk *name, const struct bulk *password, struct user **user) {
    mutex_lock(&mutex);
    struct known_user *found = find(name);
    struct rules *rules = found == NULL ? NULL : rules_hold(found->rules);
    *user = found == default_user ? NULL : user_hold((struct user *)found);
    mutex_unlock(&mutex);
    bool is_proven =
        rules != NULL && rules->is_on &&
        (rules->needs_no_password || rules_password_fits(rules, password->data, password->length));
    rules_let_go(rules);
    if (is_proven) return true;
    user_let_go(*user);
    *user = NULL;
    return false;
}

bool users_hearing_is_narrowed(const struct bulk *name, uint32_t thread, struct user **user) {
    mutex_lock(&mutex);
    struct known_user *found = find(name);
    *user = found == default_user ? NULL : user_hold((struct user *)found);
    mutex_unlock(&mutex);
    if (found == NULL) return false;
    struct seen *seen = &found->seen[thread];
    uint64_t narrowed = atomic_load(&found->narrowed);
    bool is_news = narrowed > seen->narrowed;
    seen->narrowed = narrowed;
    if (is_news) return true;
    user_let_go(*user);
    return false;
}

struct user_listed *users_list(uint32_t *count) {
    mutex_lock(&mutex);
    *count = table.count;
    struct user_listed *list = malloc(table.count * sizeof *list);
    for (uint32_t i = 0; list != NULL && i < table.count; i++) {
        list[i].user = user_hold(&table.list[i]->user);
        list[i].rules = rules_hold(table.list[i]->rules);
    }
    mutex_unlock(&mutex);
    return list;
}

void users_list_free(struct user_listed *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        user_let_go(list[i].user);
        rules_let_go(list[i].rules);
    }
    free(list);
}

/* ------------------------------------------------------------------ the default user */

/* CONFIG SET requirepass: its digest is known already. */
static bool on_password_set(const char *value) {
    const struct bulk name = {.data = (char *)(uintptr_t)DEFAULT_USER, .length = strlen(DEFAULT_USER)};
    unsigned char digest[SHA256_DIGEST_LENGTH];
    (void)value;
    bool has_password = password_digest(digest);
    users_change_begin();
    struct rules *present = users_find(&name), *rules = rules_copy(present);
    rules_let_go(present);
    bool is_set = rules != NULL && rules_set_password(rules, has_password ? digest : NULL) == RULES_FINE &&
                  users_put(&name, rules, NULL) == USERS_PUT;
    if (!is_set) rules_let_go(rules);
    users_change_end();
    return is_set;
}

bool users_start(uint32_t threads) {
    static char text[] = "resetchannels";
    const struct bulk no_channels = {.data = text, .length = sizeof text - 1};
    const struct bulk name = {.data = (char *)(uintptr_t)DEFAULT_USER, .length = strlen(DEFAULT_USER)};
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct rules *rules = rules_create_all();
    thread_count = threads;
    no_rights = rules_create();
    if (rules == NULL || no_rights == NULL) return false;
    if (password_digest(digest) && rules_set_password(rules, digest) != RULES_FINE) return false;
    default_user = user_create(&name, rules);
    if (default_user == NULL) return false;
    if (rules_apply(no_rights, &no_channels) != RULES_FINE) return false;
    mutex_lock(&mutex);
    bool is_fine = table_reserve(1);
    if (is_fine) table_insert(default_user);
    if (is_fine) changed();
    mutex_unlock(&mutex);
    config_on_set("requirepass", on_password_set, "Out of memory");
    return is_fine;
}

void users_stop(void) {
    mutex_lock(&mutex);
    for (uint32_t i = 0; i < table.count; i++) user_let_go(&table.list[i]->user);
    free(table.list);
    table.list = NULL;
    table.count = table.room = 0;
    mutex_unlock(&mutex);
    rules_let_go(no_rights);
}
