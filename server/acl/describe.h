/* Rules as texts, which make the same rules again: what ACL LIST, GETUSER and SAVE show. Each is written
 * behind what `text` has, as bytes (reply_raw); text->is_broken afterwards: no memory. */
#ifndef SERVER_ACL_DESCRIBE_H
#define SERVER_ACL_DESCRIBE_H

#include "resp/reply.h"
#include "rules.h"

/* "on sanitize-payload #hash ~* &* +@all (~a -@all +get)" */
void describe_rules(const struct rules *rules, struct reply *text);
/* The same for a file: in a selector, words that would otherwise be read as something else (that have quotes,
 * or a parenthesis at their end) are in quotes, of which Redis shows none. */
void describe_rules_for_file(const struct rules *rules, struct reply *text);
/* Behind what `text` has, the word, which is put in quotes if a line of a configuration would otherwise be
 * read differently. */
void describe_word(const char *word, size_t length, struct reply *text);
/* "+@all -set" */
void describe_commands(const struct selector *selector, struct reply *text);
/* "~a %R~b" */
void describe_keys(const struct selector *selector, struct reply *text);
/* "&a &b" */
void describe_channels(const struct selector *selector, struct reply *text);

/* "on", "nopass" and their like, in Redis's order. Returns how many; at most RULES_FLAGS. */
#define RULES_FLAGS 3
uint32_t describe_flags(const struct rules *rules, const char *flags[RULES_FLAGS]);
#define RULES_HASH_SIZE (2 * SHA256_DIGEST_LENGTH + 1)
void describe_password(const struct rules *rules, uint32_t index, char hash[RULES_HASH_SIZE]);

#endif
