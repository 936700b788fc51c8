/* The scripts that the server knows, by the SHA1 of their text: one table for all workers, and for each
 * worker what it has compiled of them.
 *
 * A text is never changed, and stays while somebody holds it. Forgetting one (SCRIPT FLUSH, or because it
 * is the least used of those that came by EVAL only) marks it, and whoever finds it marked takes it as not
 * there: so a flush holds on all workers when it returns, without asking them, and what runs ends on the
 * text that it began with. */
#ifndef SERVER_SCRIPT_TEXTS_H
#define SERVER_SCRIPT_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state.h"

#define SHA_LENGTH 40

/* As many are kept of the scripts that nobody loaded by SCRIPT LOAD, and so many bytes of them, but always
 * the last one. */
#define TEXTS_BY_EVAL 500
#define TEXTS_BY_EVAL_BYTES ((size_t)64 << 20)

struct script_text;

/* Writes the SHA1 of a text in lower case, with a terminator. false: OpenSSL has no memory, and nothing is
 * written. */
bool texts_sha(char sha[SHA_LENGTH + 1], const char *text, size_t length);

/* What a text says of itself (shebang.h). */
uint32_t texts_flags(const struct script_text *text);
const char *texts_name(const struct script_text *text); /* its SHA1 */
size_t texts_length(const struct script_text *text);

/* Whether all workers know a script, by its SHA1 (in upper or lower case; 40 characters). Any thread. */
bool texts_has(const char *sha);
/* Forgets all of them. Any thread. */
void texts_flush(void);
/* How many there are, and the bytes that they take. Any thread. */
size_t texts_count(void);
size_t texts_bytes(void);

/* ---------------------------------------------------------------- a worker's */

struct script_cache;
struct compiled;

/* Of scripts that are compiled in this state, by its thread only. NULL when out of memory. */
struct script_cache *script_cache_create(struct script_state *state);
/* Before the state is freed. */
void script_cache_free(struct script_cache *cache);

/* Between requests: lets go of what is gone, once that is much. True if the state's garbage is then worth
 * collecting. */
bool script_cache_tidy(struct script_cache *cache);

/* Finds a script by its SHA1 (in upper or lower case; 40 characters), or NULL. Takes no lock if this
 * worker has had it before. Valid until the next call with this cache.
 *
 * now milliseconds; when it was used last */
struct script_text *script_cache_find(struct script_cache *cache, const char *sha, int64_t now);

/* Adds a script, and compiles it: for SCRIPT LOAD (is_loaded), or EVAL. NULL: the error, as Redis words it
 * after "ERR ", is in `error`. Where it is known already it is found, and from then on loaded. */
struct script_text *script_cache_add(struct script_cache *cache, const char *text, size_t length,
                                     bool is_loaded, int64_t now, char *error, size_t error_size);

/* What it is run by in this cache's state; 0 and an error, as for script_cache_add, if it can't be
 * compiled. */
int script_cache_function(struct script_cache *cache, struct script_text *text, char *error,
                          size_t error_size);

/* Whether that takes no compiling: of a text that script_cache_find has given, or of one with this SHA1 that
 * may not be known at all. */
bool script_cache_is_compiled(const struct script_cache *cache, const char *sha);

/* What script_cache_function has just given for a text stays, with the text, until it is let go, whatever is
 * found, added or forgotten meanwhile. */
struct compiled *script_cache_hold(struct script_cache *cache, const struct script_text *text);
void script_cache_let_go(struct script_cache *cache, struct compiled *compiled);

#endif
