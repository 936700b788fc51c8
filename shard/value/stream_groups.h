/* Groups of consumers, which share the entries of a stream among them.
 *
 * A group knows up to which id entries were delivered. One that was delivered and not acknowledged is
 * pending: it stands in the group's tree and in that of the consumer that has it, both leading to the same
 * delivery.
 *
 *     group --- pending: id -> delivery <- id : pending --- consumer
 *                                 |                            ^
 *                                 +----------------------------+
 */
#ifndef SHARD_VALUE_STREAM_GROUPS_H
#define SHARD_VALUE_STREAM_GROUPS_H

#include "stream.h"

struct stream_group {
    struct text name;
    struct stream_id last; /* that was delivered */
    int64_t entries_read;  /* how many of all that were ever added are behind it, or STREAM_UNKNOWN */
    struct tree pending;   /* struct stream_delivery */
    struct names consumers;
    char bytes[];
};

struct stream_consumer {
    struct text name;
    int64_t seen;   /* unix ms: when it last asked */
    int64_t active; /* when it last got something; -1: never */
    struct tree pending;
    char bytes[];
};

struct stream_delivery {
    struct stream_consumer *consumer;
    int64_t time; /* unix ms, of the last one */
    uint64_t count;
};

/* NULL if there is none of that name. */
struct stream_group *group_find(const struct stream *stream, struct text name);
struct stream_consumer *consumer_find(const struct stream_group *group, struct text name);

/* There is none of that name yet. NULL when out of memory. */
struct stream_group *group_create(struct stream *stream, struct text name, struct stream_id last,
                                  int64_t entries_read);
struct stream_consumer *consumer_create(struct stream *stream, struct stream_group *group, struct text name,
                                        int64_t now);
/* With all that is pending. */
void group_destroy(struct stream *stream, struct stream_group *group);
/* What it has is pending no more. */
void consumer_destroy(struct stream *stream, struct stream_group *group, struct stream_consumer *consumer);

/* The id is the consumer's from now on, whoever had it; the delivery's time and count are as they were, or 0
 * if it is new. NULL when out of memory: nothing has changed. */
struct stream_delivery *delivery_put(struct stream *stream, struct stream_group *group,
                                     struct stream_consumer *consumer, struct stream_id id);
/* Returns whether it was pending. */
bool delivery_remove(struct stream *stream, struct stream_group *group, struct stream_id id);

/* Before a field is written to directly, as what it was may have to come back (journal.h). */
void group_prepare(struct stream_group *group);
void consumer_prepare(struct stream_consumer *consumer);
void delivery_prepare(struct stream_delivery *delivery);
/* For what may say that there was no memory: whether there is room to tell so of two of each. */
bool delivery_room(void);

/* The group has read the entry of this id, which is above what it had read. */
void group_advance(const struct stream *stream, struct stream_group *group, struct stream_id id);
/* How many entries it has still to read. false if that isn't known. */
bool group_lag(const struct stream *stream, const struct stream_group *group, int64_t *lag);

/* For stream.c: as copy and free_some of a kind. */
bool groups_copy(struct stream *to, const struct stream *from);
bool groups_free_some(struct stream *stream, size_t budget);

#endif
