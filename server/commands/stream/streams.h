/* What commands about streams have in common: ids as they are written, and entries as they are replied. */
#ifndef SERVER_COMMANDS_STREAM_STREAMS_H
#define SERVER_COMMANDS_STREAM_STREAMS_H

#include "shard/value/stream_groups.h"
#include "server/commands/shared/values.h"

#define ERROR_STREAM_ID "ERR Invalid stream ID specified as stream command argument"

/* "ms-seq", or "ms" with the sequence number `missing`; unless it is to be strict, "-" and "+" too.
 * has_sequence, unless NULL, allows "ms-*" and becomes false for it. */
bool id_parse(const struct bulk *argument, uint64_t missing, bool is_strict, bool *has_sequence,
              struct stream_id *id);
/* Reads a strict id; or replies what is wrong, and returns false. */
bool id_argument(const struct bulk *argument, struct stream_id *id, struct reply *reply);
/* Reads all arguments from `first` on as strict ids. */
bool ids_check(const struct call *call, uint32_t first, struct reply *reply);
/* Reads the bounds of a range, either of which may be excluded ("(ms-seq"); or replies what is wrong, and
 * returns false. */
bool id_start(const struct bulk *argument, struct stream_id *id, struct reply *reply);
bool id_end(const struct bulk *argument, struct stream_id *id, struct reply *reply);

size_t id_format(char text[WAITING_TEXT], struct stream_id id);
void reply_id(struct reply *reply, struct stream_id id);
/* Replies the entry that the reader is at: its id, and its fields with their values. */
void reply_entry(struct reply *reply, struct stream_reader *reader);
/* Replies the entry of this id. false if it isn't there: then nothing was replied. */
bool reply_entry_of(struct reply *reply, const struct stream *stream, struct stream_id id);
/* Replies at most `count` entries (0: all) of a range, as an array. */
void reply_entries(struct reply *reply, const struct stream *stream, struct stream_id start,
                   struct stream_id end, bool is_backwards, uint64_t count);
/* Replies that a group has to be there, and isn't. */
void reply_no_group(struct reply *reply, const struct bulk *key, const struct bulk *group);

/* Opens the stream of the call's only key and finds the group. false if it has replied already: then there is
 * nothing to end. */
struct opened_group {
    struct opened opened;
    struct stream *stream;
    struct stream_group *group;
    struct stream_consumer *consumer; /* group_consumer */
    bool is_changed;
    uint64_t counted; /* as changes; 0: as one, if anything is */
    enum event event; /* of the most telling of the changes */
};
bool group_open(struct write_scope *scope, const struct key *key, const struct bulk *name,
                struct opened_group *opened);
/* Finds the consumer, or makes it; it has been seen now. false when out of memory. */
bool group_consumer(struct opened_group *opened, const struct bulk *name, int64_t now);
void group_close(struct opened_group *opened);
/* Instead, where the undo that it is in is going back. */
void group_give_up(struct opened_group *opened);

#endif
