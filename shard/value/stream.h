/* Streams: entries of fields and values, each with an id above the one before, and groups of consumers that
 * read them (stream_groups.h).
 *
 *     struct stream --> tree of nodes, by the id of the first entry that each was made for
 *                         |
 *                         v
 *                  packed:  count | deleted | n | field 1 ... field n | 0 |  entry | entry | ...
 *
 *                  entry:   flags | ms | seq | value 1 ... value n | length        of the node's own fields
 *                           (SAME_FIELDS)
 *                       or  flags | ms | seq | m | field 1 | value 1 ... | length  of any others
 *
 * ms and seq are what the id has more than that of the node; `length` counts the elements before it, so that
 * one can go backwards. A removed entry is only flagged until its node is gone as a whole. The layout is that
 * of Redis's stream nodes, so that dumps can take them as they are.
 *
 * Reading is through struct stream and a reader; all changes through the functions here and in
 * stream_groups.h. */
#ifndef SHARD_VALUE_STREAM_H
#define SHARD_VALUE_STREAM_H

#include "packed.h"
#include "tree.h"
#include "value.h"

/* Things with a name, each beginning with it (struct text), in the order of their names. */
struct names {
    void **items;
    uint32_t count, capacity;
};

struct stream {
    struct tree nodes;
    uint64_t count;               /* entries that aren't removed */
    uint64_t added;               /* that ever were (Redis's entries-added) */
    struct stream_id first, last; /* the first there is (0-0: none), and the last that ever was */
    struct stream_id deleted;     /* the highest that was removed by its id */
    struct names groups;
    uint64_t deliveries; /* pending ones, of all groups */
    /* that Redis's radix tree of these nodes would have, but for the one of an empty tree */
    uint64_t radix_nodes;
    size_t bytes; /* of all that it owns but the nodes of `nodes` */
};

struct stream *stream_create(void); /* NULL when out of memory */

/* Before a field is written to directly, as what it was may have to come back (journal.h). */
void stream_prepare(struct stream *stream);

/* The id is above stream->last. texts are pairs of a field and its value. false when out of memory. */
bool stream_append(struct stream *stream, struct stream_id id, const struct text *texts, uint32_t fields);
/* Removes an entry by its id; whether it was there. It counts as deleted. */
bool stream_remove(struct stream *stream, struct stream_id id);

/* What is to be removed from the front: all but the last `length` entries, or what is below an id. An
 * approximate trim takes whole nodes only; and with a limit, only as long as they have no more entries
 * together. */
enum stream_trim_by { STREAM_TRIM_NOTHING, STREAM_TRIM_LENGTH, STREAM_TRIM_ID };
struct stream_trim {
    enum stream_trim_by by;
    bool is_approximate;
    uint64_t length;
    struct stream_id id;
    uint64_t limit; /* 0: none */
};
/* Returns how many went. */
uint64_t stream_trim(struct stream *stream, const struct stream_trim *trim);

/* ------------------------------------------------------------------ reading */

/* The entries with ids from `start` to `end`, both included, forwards or backwards. Void after any change to
 * the stream's entries. */
struct stream_reader {
    struct stream_id id;  /* of the entry at hand */
    uint32_t field_count; /* and how many fields it has */
    /* Private. */
    struct stream_id start, end, master;
    struct tree_place place;
    const struct packed *packed;
    uint32_t entry, node_fields, first_field, name_at, value_at;
    bool is_backwards, is_same;
};
void stream_read(struct stream_reader *reader, const struct stream *stream, struct stream_id start,
                 struct stream_id end, bool is_backwards);
/* Goes to the next entry. false: there is none. */
bool stream_next(struct stream_reader *reader);
/* The next field of the entry at hand. */
void stream_field(struct stream_reader *reader, struct packed_text *name, struct packed_text *value);
bool stream_has(const struct stream *stream, struct stream_id id);
/* Is there an entry with an id above this one? */
bool stream_has_after(const struct stream *stream, struct stream_id id);
/* The entry with the lowest, or highest, id. false if there is none. */
bool stream_edge(const struct stream *stream, bool is_last, struct stream_id *id);

/* The next id, or the one before. false if there is none. */
bool stream_id_increment(struct stream_id *id);
bool stream_id_decrement(struct stream_id *id);

/* ------------------------------------------------------------------ how far a reader has come */

#define STREAM_UNKNOWN (-1)
/* How many entries were ever added up to this id, as far as that can be told without counting them; else
 * STREAM_UNKNOWN. */
int64_t stream_added_until(const struct stream *stream, struct stream_id id);
/* May an entry have been removed that is not below this id? */
bool stream_has_gap(const struct stream *stream, struct stream_id id);

#endif
