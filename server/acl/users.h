/* Users by name, and the rules that each has at present.
 *
 * The table is guarded by a mutex, which is taken by who changes it, lists it or authenticates. Requests take
 * none: each thread keeps, for each user, the rules that it has last seen, and a number that counts all
 * changes, read once a request, tells whether they are still the present ones. Rules that were replaced stay
 * until no thread has them any more.
 *
 * So a change is seen by each request that begins after users_put has returned; what has begun before has
 * been checked by the rules before. Who needs to know that nothing is under way any more asks all workers. */
#ifndef SERVER_ACL_USERS_H
#define SERVER_ACL_USERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/task/session.h"
#include "rules.h"

/* Before other threads, when there is a configuration and a table of commands: the default user, with
 * requirepass as its password if there is one. threads: how many workers there are going to be, those aside
 * included. false: no memory. */
bool users_start(uint32_t threads);
/* When no other thread is left, and no session. */
void users_stop(void);

/* There are, or were, users besides the default one, or that one may not do everything. While there were
 * none, a request need not ask what it may do. */
extern _Atomic bool users_matter;
static inline bool users_are_on(void) {
    return atomic_load_explicit(&users_matter, memory_order_relaxed);
}

/* The present rules of the session's user, on the thread with that number: until it asks again. */
const struct rules *users_rules(struct user *user, uint32_t thread);

/* ------------------------------------------------------------------ any thread */

/* The present rules of the user with that name, held; NULL if there is none. */
struct rules *users_find(const struct bulk *name);
bool users_exist(const struct bulk *name);
/* Gives the user, who is made if there is none of that name, these rules, which are taken over if that is
 * done. base: what they were made of, held; NULL: of nothing. */
enum users_outcome {
    USERS_PUT,
    USERS_LATE, /* the user with the rules `base` went meanwhile */
    USERS_NO_MEMORY,
};
enum users_outcome users_put(const struct bulk *name, struct rules *rules, const struct rules *base);
/* One at a time: who makes rules out of the present ones holds this from users_find to users_put. Only
 * users_remove doesn't wait for it, as workers don't. */
void users_change_begin(void);
void users_change_end(void);
/* The users of these names are gone, but for the default one, who can't go; what still has them may do
 * nothing any more. Returns how many there were. Of several callers with one *is_done, which is false
 * before, the first does it, and the others find it done. */
uint32_t users_remove(const struct bulk *names, uint32_t count, bool *is_done);

/* Whether the password proves the name: then *user is that user, held, or NULL for the default one. */
bool users_authenticate(const struct bulk *name, const struct bulk *password, struct user **user);

/* Whether clients of the user with that name may be hearing channels that it may not hear any more, on the
 * thread with that number, which is going to look: it is told once of each change. Then *user is that user,
 * held, or NULL for the default one. */
bool users_hearing_is_narrowed(const struct bulk *name, uint32_t thread, struct user **user);

/* All of them in the order of their names, each held: what they were at one moment. NULL: no memory. */
struct user_listed {
    struct user *user; /* never NULL */
    struct rules *rules;
};
struct user_listed *users_list(uint32_t *count);
void users_list_free(struct user_listed *list, uint32_t count);

/* All users anew (ACL LOAD), each once; the default one has its rules, or those of its beginning if it isn't
 * among them; whoever else there was is gone. The rules are taken over. false: no memory, nothing has
 * changed, and the rules are the caller's. */
struct user_loaded {
    struct bulk name;
    struct rules *rules;
};
bool users_replace(struct user_loaded *loaded, uint32_t count);

#endif
