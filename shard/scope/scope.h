/* Scopes: the proof that shards are held, and the only way to an entry.
 *
 * A function that takes a read scope runs while the shards of its keys are held shared, and gets const
 * entries. One that takes a write scope runs while they are held exclusively, and may edit. Whoever holds a
 * scope never waits: taking one is a try (scope_try_*), and what to do when a shard is busy is up to the
 * caller: a server parks the connection, a thread of an embedding program sleeps (scope_wait).
 *
 * A read scope may also be optimistic: it holds nothing and stores to nothing that others read. What its
 * functions return are copies, and whether they belong together is known at its end (scope_end_look): if not,
 * the caller forgets the answer and takes the lock. A function that works through a read scope need not know
 * of it, as long as it does nothing but read and write its answer.
 *
 * No entry changes except between scope_edit and scope_changed. The first is where the value as it was is
 * shown to listeners; the second is where they learn what it has become. Expiry, eviction, flush and swap
 * pass through them too.
 *
 * Memory that a reader without a lock might still see is not freed but retired (lane.h). */
#ifndef SHARD_SCOPE_SCOPE_H
#define SHARD_SCOPE_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../entry/entry.h"
#include "../store/event.h"
#include "../base/key.h"
#include "../lock/rwlock.h"
#include "shard_set.h"

struct keyspace;
struct lane;
struct shard;
struct undo;

/* What an optimistic scope has looked at: shards with their versions, and the copies it made of entries. It
 * belongs to a thread, which uses it for one scope after the other. */
#define LOOK_SHARDS 64
#define LOOK_BYTES 16384
#define LOOK_STRING 65536
struct look {
    uint32_t count;
    bool is_failed; /* a shard was being written to, or an entry is of a kind that can't be read so */
    /* set after scope_look: strings above LOOK_STRING are left to the lock, as what is seen keeps others'
     * memory from being freed */
    bool is_long;
    uint32_t hits, misses;
    size_t used; /* of copies */
    struct {
        const struct rwlock *lock;
        uint32_t version;
    } seen[LOOK_SHARDS];
    uint64_t copies[LOOK_BYTES / sizeof(uint64_t)];
};

struct scope {
    struct keyspace *keyspace;
    struct lane *lane;
    int64_t now;                  /* unix time in milliseconds; what expires at or before it is absent */
    const struct shard_set *held; /* NULL: all shards, by the closed gate, unless: */
    struct look *look;            /* not NULL: nothing is held, and reads are optimistic */
    bool is_exclusive;
    bool counts_access; /* false for a client with NO-TOUCH: reads leave no trace in eviction's bookkeeping */
    bool is_silent;     /* no miss is told of */
    bool is_editing;    /* between scope_edit and scope_changed; only for the assertion that they pair up */
    uint64_t changes;   /* through this scope: scope_changed calls, as scope_count_more corrects them */
    uint64_t author;    /* whose changes they are, as whoever takes scopes numbers them; 0: nobody's */
    struct undo *undo;  /* undo.h; NULL: what is done is done */
};

struct read_scope {
    struct scope scope;
};
/* Which is one to read through as well: BITOP reads its sources so. */
struct write_scope {
    union {
        struct scope scope;
        struct read_scope reading;
    };
};
_Static_assert(offsetof(struct read_scope, scope) == 0, "a write scope's own is also that of its reading");

/* ------------------------------------------------------------------ reading */

/* The entry of a key, or NULL: to be read until the scope ends. Counts a hit or a miss, and the access.
 * An expired entry is absent; whether that or a miss is told: keyspace_tell_dead. The key's shard must be in
 * the scope (asserted). */
const struct entry *scope_read(const struct read_scope *scope, const struct key *key);
/* The same where a string is wanted, with a shorter way for those whose bytes stand in the entry itself: then
 * NULL, and *plain tells where they are. They go straight to where they are wanted, without a copy in
 * between. Otherwise plain->entry is NULL. */
struct plain_string {
    const struct entry *entry;
    size_t offset, length;
};
const struct entry *scope_read_string(const struct read_scope *scope, const struct key *key,
                                      struct plain_string *plain);
void plain_string_copy(const struct plain_string *plain, char *out);
/* The same as scope_read, leaving no trace: for commands that look at a key without using its value (TTL,
 * TYPE, OBJECT, DEBUG). */
const struct entry *scope_peek(const struct read_scope *scope, const struct key *key);

/* The same for a command that may be about to change the key: Redis takes that for no read, but removes what
 * has expired on the way, and so does this where somebody wants to be told of it (keyspace_tell_dead). */
const struct entry *scope_view(const struct write_scope *scope, const struct key *key);

/* Whether the key is there and its time is up. The shard is held. */
bool scope_meets_dead(const struct scope *scope, const struct key *key);

/* Whether it may be asked for keys with that hash: their shard is in the scope. */
bool scope_holds(const struct scope *scope, uint64_t hash);

/* Visits the entries of one database of one held shard in the order of their hashes.
 *
 * position a place in the order of all hashes (52 bits), within this shard: keyspace_shard_position, or what
 * the last call returned
 * count     stop after the bucket in which that many entries were visited
 * visit     is called for every entry that has not expired
 *
 * Returns the next position, or SCOPE_SCAN_END when the shard has no more. A position stays meaningful while
 * the table grows and shrinks: an entry present throughout a full scan is visited at least once. */
#define SCOPE_SCAN_END UINT64_MAX
typedef void scope_visitor(void *context, const struct entry *entry);
uint64_t scope_scan(const struct read_scope *scope, uint32_t shard, uint32_t database, uint64_t position,
                    size_t count, scope_visitor *visit, void *context);
/* For whoever has gone from `position` to `next`, which scope_scan has returned, and is taken for one who
 * meets what is there: what has expired in between is removed, where somebody wants to be told of it
 * (keyspace_tell_dead) and the shard is held exclusively; else nothing happens. `wants` says of which
 * entries, and doesn't change anything; NULL: of all. */
typedef bool scope_filter(void *context, const struct entry *entry);
void scope_remove_dead(const struct read_scope *scope, uint32_t shard, uint32_t database, uint64_t position,
                       uint64_t next, scope_filter *wants, void *context);

/* ------------------------------------------------------------------ changing */

/* A key that is being changed. entry is NULL while the key is absent; it moves when the value does, so read
 * it from here. */
struct edit {
    struct write_scope *scope;
    const struct key *key;
    struct shard *shard;
    struct entry *entry;
    uint64_t place; /* private: its slot in the table */
    void *kept;     /* private: what its scope's undo knows of the open value */
    bool is_changed;
    bool is_new;  /* the key was absent when it got a value */
    bool is_open; /* between edit_open_value and edit_close_value */
};

/* Begins a change. Removes the entry first, as EVENT_EXPIRED, if its time is up. At most one edit of a scope
 * is open at a time, and it ends with scope_changed, or with scope_unchanged if nothing was changed through
 * it. */
void scope_edit(struct write_scope *scope, const struct key *key, struct edit *edit);
void scope_changed(struct edit *edit, enum event event);
void scope_unchanged(struct edit *edit);
/* A change counts once, as scope_changed has told of it. What Redis counts otherwise (elements that came or
 * went, what moved from one key to another and changed both) says here by how much more, or, below 0,
 * less. */
void scope_count_more(struct write_scope *scope, int64_t more);
/* Redis tells more events than there are changes ("set", and then "expire"), and of keys that haven't
 * changed: those are told here, in their turn. The key's shard is in the scope. */
void scope_mention(const struct scope *scope, const struct key *key, enum event event);

/* The ways to change. Those that return bool return false when out of memory, and then nothing has changed:
 * the command answers with -OOM and ends the edit with scope_unchanged.
 *
 * A new value drops the key's expiry unless keep_expiry is set. */

/* Bytes are copied, or, if blob is not NULL (they are the blob's whole content), a reference to it is taken.
 * A canonical integer of up to 20 bytes is held as one. */
bool edit_put_string(struct edit *edit, const char *data, size_t length, struct blob *blob, bool keep_expiry);
/* The same with an expiry: unix time in milliseconds. */
bool edit_put_string_until(struct edit *edit, const char *data, size_t length, struct blob *blob,
                           int64_t expiry);
/* Keep an expiry: what INCR and its kin want. The second never makes an integer of the text, as INCRBYFLOAT
 * doesn't. */
bool edit_put_integer(struct edit *edit, int64_t value);
bool edit_put_text(struct edit *edit, const char *data, size_t length);
/* Bytes that are no integer and no "embstr" either, whatever they are: what BITOP stores. blob as above. */
bool edit_put_raw(struct edit *edit, const char *data, size_t length, struct blob *blob, bool keep_expiry);
/* Makes the string (absent: an empty one) exactly `length` bytes long, new bytes zero, and writable until the
 * edit ends: for APPEND, SETRANGE, SETBIT, BITFIELD. Never shortens: length is at least the present one.
 * Keeps an expiry. Grows in place where it can. Returns NULL when out of memory. The value's encoding becomes
 * raw. */
char *edit_stretch_string(struct edit *edit, size_t length);
/* What that would allocate for at least so many bytes: 0 if it has them already, or if the key has no
 * string. */
size_t scope_stretch_bytes(const struct write_scope *scope, const struct key *key, size_t length);
/* A value with a structure, of that type (value/value.h), which is the entry's from then on; on failure still
 * the caller's. */
bool edit_put_value(struct edit *edit, enum type type, void *value, bool keep_expiry);
/* The value of the entry, which is present and no string, to be changed in place; until it is closed nothing
 * else is done with the edit. Closing says where it is now (it may have moved), and counts its bytes anew. A
 * value that has become empty is closed, and then edit_remove takes the key away: listeners see from the
 * absent entry that the operation's event also meant "del". */
void *edit_open_value(struct edit *edit);
void edit_close_value(struct edit *edit, void *value, bool is_changed);
/* expiry: unix time in milliseconds, or ENTRY_NO_EXPIRY. The entry is present. */
bool edit_set_expiry(struct edit *edit, int64_t expiry);
/* The key gets a copy of source's value and expiry. source belongs to another key of the scope. */
bool edit_put_copy(struct edit *edit, const struct entry *source);
/* The same without copying: what the source has apart belongs to both, until the source is removed by
 * edit_remove_moved within the same scope, with nothing in between that changes either. */
bool edit_put_moved(struct edit *edit, const struct entry *source);
void edit_remove_moved(struct edit *edit);
/* Absent is fine: then nothing changes. Freeing a large value happens later, off the lock. */
void edit_remove(struct edit *edit);

/* All of an edit that removes the key, if it is there, without asking what time it is: also of one that has
 * expired "del" is told, as in Redis where nothing is left to be stored. */
void scope_remove(struct write_scope *scope, const struct key *key);

/* What remains of scopes is for those who take them: scope_take.h. */

#endif
