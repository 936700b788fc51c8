/* Rules: what one user may do, and how it proves who it is.
 *
 *     on nopass >password #hash     ~key:* %R~key &channel +@read -keys +client|id     (~tmp:* +set)
 *     ------- the user's -------    ------------- the root selector -------------     -- another --
 *
 * A call is allowed if one of the selectors allows all of it: the command, each of its keys, each of its
 * channels. Words are applied one after the other, each to what those before it have made; what commands may
 * be run is kept as a bit for each row of the table of commands.
 *
 * Rules are made, or copied, by whoever changes them, and never change any more once others can see them.
 * They are counted by holders. What one user may have is bounded: a call is checked in a time that the
 * operator can foresee. */
#ifndef SERVER_ACL_RULES_H
#define SERVER_ACL_RULES_H

#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "selector.h"

/* Of a user's selectors, and of its passwords. */
#define RULES_SELECTORS_MOST 1024
#define RULES_PASSWORDS_MOST 1024
/* Of what its selectors but the root have together: patterns and words. */
#define RULES_PARTS_MOST 65536
/* Of comparisons in one command: the worker that applies its words does nothing else, and so others wait for
 * a quarter of a second at most. Three lists that are full, with ten times as many words that were there
 * already, take less. */
#define RULES_STEPS_MOST ((uint64_t)1 << 28)

struct rules {
    _Atomic uint32_t holders;
    bool is_on, needs_no_password, skips_sanitizing;
    unsigned char (*passwords)[SHA256_DIGEST_LENGTH];
    uint32_t password_count;
    struct selector *selectors; /* the root is the first */
    uint32_t selector_count;    /* at least 1 */
    uint64_t
        steps_left; /* of what words may still cost (selector_steps); whoever makes the rules may set it */
};

/* As Redis words it, without "ERR". */
const char *rules_error_text(enum rules_error error);

/* As they are made, or copied, words may cost what they like.
 *
 * A new user's: off, without a password, and with no right, but to all channels if acl-pubsub-default says
 * so. One holder. NULL: no memory. */
struct rules *rules_create(void);
/* Those of the user that everybody is before there are others: on, nopass, ~* &* +@all. */
struct rules *rules_create_all(void);
struct rules *rules_copy(const struct rules *rules);
struct rules *rules_hold(struct rules *rules);
void rules_let_go(struct rules *rules); /* NULL is fine */

/* One word. What fails has changed nothing. A selector is one word with blanks in it: "(~a* +get)". */
enum rules_error rules_apply(struct rules *rules, const struct bulk *word);
/* Words in their order, where the parts of a selector may be words of their own. Ends with the first that
 * fails; then *failed (if it isn't NULL) is that word, or of an unmatched parenthesis the word that has it,
 * in memory to be freed, or without memory NULL. Those before it were applied. */
enum rules_error rules_apply_all(struct rules *rules, const struct bulk *words, uint32_t count,
                                 struct bulk *failed);
/* The same, going on behind those that fail, with each of which `failed` is called. RULES_UNMATCHED, and
 * nothing was applied, or RULES_NO_MEMORY; else RULES_FINE. */
enum rules_error rules_apply_each(struct rules *rules, const struct bulk *words, uint32_t count,
                                  void (*failed)(void *context, const struct bulk *word,
                                                 enum rules_error error),
                                  void *context);

/* From now on this is the one password, given as its digest; NULL: none is needed. */
enum rules_error rules_set_password(struct rules *rules, const unsigned char *digest);
/* Whether that proves it; without memory nothing does. Takes as long for one password as for another of the
 * same length. */
bool rules_password_fits(const struct rules *rules, const char *password, size_t length);
/* The root selector forbids nothing. */
bool rules_allow_all(const struct rules *rules);

#endif
