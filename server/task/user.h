/* Who a session is: a name, and a count of those that hold it. What the user may do is server/acl's, whose
 * own part of a user follows this one.
 *
 * A session holds its user; the default user, who never goes, is NULL there. A user that was deleted is gone
 * for good: another one of the same name is another user. */
#ifndef SERVER_TASK_USER_H
#define SERVER_TASK_USER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEFAULT_USER "default"

struct user {
    _Atomic uint32_t holders;
    _Atomic bool is_gone;
    void (*end)(struct user *user); /* when nobody holds it any more; on whichever thread that is */
    size_t length;
    const char *name; /* without blanks and zero bytes; a zero byte follows it */
};

/* NULL is fine for both. */
static inline struct user *user_hold(struct user *user) {
    if (user != NULL) atomic_fetch_add_explicit(&user->holders, 1, memory_order_relaxed);
    return user;
}
static inline void user_let_go(struct user *user) {
    if (user != NULL && atomic_fetch_sub(&user->holders, 1) == 1) user->end(user);
}

static inline const char *user_name(const struct user *user) {
    return user == NULL ? DEFAULT_USER : user->name;
}

#endif
