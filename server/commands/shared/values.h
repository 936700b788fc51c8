/* What commands do first and last with a value that has a structure: read it, open it for a change, put it
 * back. */
#ifndef SERVER_COMMANDS_SHARED_VALUES_H
#define SERVER_COMMANDS_SHARED_VALUES_H

#include "shard/scope/undo.h"
#include "shard/value/packed.h"
#include "shard/value/value.h"
#include "server/command/command.h"

static inline struct text text_of(const struct bulk *argument) {
    return (struct text){argument->data, argument->length};
}

/* The key's value in *value, NULL if it is absent. Replies WRONGTYPE and returns false if it is of another
 * type. */
bool value_read(const struct read_scope *scope, const struct key *key, enum type type, const void **value,
                struct reply *reply);
/* The same for a key that a write command only reads. */
bool value_view(const struct write_scope *scope, const struct key *key, enum type type, const void **value,
                struct reply *reply);

/* The same for one that may be changed, so that it is no read: neither a hit nor a miss. */
bool value_peek(const struct write_scope *scope, const struct key *key, enum type type, const void **value,
                struct reply *reply);

/* A value that is being changed. `value` is the command's to change, and moves; NULL if the key is absent,
 * until the command makes one. */
struct opened {
    struct edit edit;
    enum type type;
    void *value;
    bool was_there;
};

/* Opens the key's value for a change. If it is of another type, or if an undo has no memory to keep what was,
 * that is replied and false is returned, and then there is nothing to close. */
bool value_open(struct write_scope *scope, const struct key *key, enum type type, struct opened *opened,
                struct reply *reply);
/* Closes it. A command that failed halfway says 0, and its undo goes back. `changes` is how many elements
 * have come, gone or changed, as Redis counts them; 0: nothing has, and nobody is told. A value that has
 * become empty goes, and its key with it. If a new one can't be kept for want of memory, it is freed,
 * false is returned, and the reply is the caller's. */
bool value_close(struct opened *opened, uint64_t changes, enum event event);
/* Gives the key this value, whatever it had, which counts as so many changes; an empty one, or NULL, removes
 * the key. What STORE commands end with. Replies and returns false when out of memory; the value is consumed
 * in any case. */
bool value_store(struct write_scope *scope, const struct key *key, enum type type, void *value,
                 uint64_t changes, enum event event, struct reply *reply);

void reply_element(struct reply *reply, const struct packed_text *text);
/* The same as list_each and members_each call it, with the reply as context. Returns true. */
bool reply_each(void *reply, const struct packed_text *text);

#endif
