/* News: how a text reaches all of an audience. It is written once, and each worker with hearers gets one
 * message for all of them, in a mailbox of its own, which it empties before it executes anything: a client
 * that has seen a reply also sees what that command told others.
 *
 * Whoever sends holds the lock of all audiences that are meant until all workers have their message, so that
 * all hearers of an audience hear everything in the same order. */
#ifndef SERVER_BROADCAST_NEWS_H
#define SERVER_BROADCAST_NEWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audience.h"

/* What is no longer than this, with all that belongs to it, is written on sheets (sheet.h). */
#define BRIEF_MOST 512

/* A text that several messages share. */
struct payload {
    _Atomic uint32_t holders;
    size_t name_length; /* of its beginning: the channel's name, which not all parts are told */
    size_t length, capacity;
    char bytes[];
};

/* With one holder, the caller, and room for so many bytes. NULL: no memory. */
struct payload *payload_create(size_t capacity);
void payload_append(struct payload *payload, const void *bytes, size_t length);
void payload_release(struct payload *payload);

/* Memory of news that may wait for one worker; as Redis's hard limit for subscribers. */
#define NEWS_MOST ((size_t)32 * 1024 * 1024)
/* Some worker has more than that to read: who has more to tell waits. */
bool news_is_congested(void);

/* A short text, as a payload. */
struct brief {
    size_t name_length, length;
    char bytes[BRIEF_MOST];
};
/* To the hearers of this one, with its lock and its desk's mutex held, on sheets. The rest as
 * news_send. */
bool news_write(struct audience *audience, const struct brief *brief);

/* To the hearers of all these, with their locks held. false: no memory, and nobody is told anything. What
 * isn't for this worker's own hearers wakes theirs by news_wake. */
bool news_send(struct payload *payload, struct audience *const *audiences, uint32_t count);
/* Likewise, but for `except`, of what may be lost: then, and if a worker has too much to read, its hearers of
 * that audience are closed, since they would miss lines. It isn't urgent: waking another worker for each line
 * costs as much as what the line tells of, so that one is called at a turn's end, once a millisecond. */
void news_send_or_close(struct payload *payload, struct audience *audience, const struct task *except);
/* At the end of a turn, before its replies are sent, with no shard and no lock held: wakes those that this
 * thread has sent something and not woken. */
void news_wake(void);

/* At the end of a turn: calls those that were told what isn't urgent. now: monotonic, in milliseconds. false:
 * not yet, this millisecond has had its call. */
bool news_call(int64_t now);

/* Where this worker has come in what it reads: `handle` is called on this worker behind all news that have
 * been sent up to now. With the lock of the audience for which that matters; `mark` stays until then. */
void news_mark(struct worker *worker, struct message *mark);

/* A message of another kind among the news, for which so many bytes count until it is read; whoever reads it
 * says so. In memory of its own, which is freed if no worker reads it any more. */
void news_post(struct worker *worker, struct message *message, size_t bytes);
void news_was_read(struct worker *worker, size_t bytes);

/* When no worker runs any more: forgets what wasn't read, and frees it unless it is_kept by somebody else. */
void news_abandon(struct worker *worker, bool (*is_kept)(const struct message *message));

#endif
