#include "stream.h"

#include <assert.h>
#include <stdlib.h>

#include "../base/journal.h"
#include "../base/memory.h"
#include "stream_groups.h"

enum entry_flag { ENTRY_DELETED = 1, ENTRY_SAME_FIELDS = 2 };

/* What stands at the beginning of a node. */
struct master {
    uint32_t deleted_at, first_field; /* places; the count is the first element */
    int64_t count, deleted;
    uint32_t fields;
};

static const uint32_t count_at = 6; /* the first element of any packed sequence */

static int64_t integer_at(const struct packed *packed, uint32_t at) {
    int64_t value = 0;
    packed_integer(packed, at, &value);
    return value;
}

static struct master master_read(const struct packed *packed) {
    struct master master = {.count = integer_at(packed, count_at)};
    master.deleted_at = packed_next(packed, count_at);
    master.deleted = integer_at(packed, master.deleted_at);
    uint32_t fields_at = packed_next(packed, master.deleted_at);
    master.fields = (uint32_t)integer_at(packed, fields_at);
    master.first_field = packed_next(packed, fields_at);
    return master;
}

/* ------------------------------------------------------------------ Redis's radix tree
 *
 * It holds each node's id as 16 bytes, the highest first: a leaf for each, a branch wherever some go
 * different ways, and one node for the bytes between any two of these, if there are any. So XINFO STREAM's
 * number follows from where ids part, which neighbours tell. */

#define ID_BYTES 16

/* How many bytes two ids begin with alike. */
static uint32_t common_bytes(struct stream_id one, struct stream_id other) {
    if (one.ms != other.ms) return (uint32_t)__builtin_clzll(one.ms ^ other.ms) / 8;
    return one.seq == other.seq ? ID_BYTES : 8 + (uint32_t)__builtin_clzll(one.seq ^ other.seq) / 8;
}

/* The lowest id, or the highest, that begins with the first `count` < 16 bytes of this one. */
static struct stream_id first_alike(struct stream_id id, uint32_t count) {
    uint64_t rest = UINT64_MAX >> count % 8 * 8;
    return count < 8 ? (struct stream_id){id.ms & ~rest, 0} : (struct stream_id){id.ms, id.seq & ~rest};
}

static struct stream_id last_alike(struct stream_id id, uint32_t count) {
    uint64_t rest = UINT64_MAX >> count % 8 * 8;
    return count < 8 ? (struct stream_id){id.ms | rest, UINT64_MAX}
                     : (struct stream_id){id.ms, id.seq | rest};
}

/* How many nodes more that tree needs for one more id than for those of `tree`. */
static uint64_t radix_cost(const struct tree *tree, struct stream_id id) {
    if (tree->count == 0) return 1;
    struct tree_place before = tree_until(tree, id), after = tree_from(tree, id);
    uint32_t left = before.node == NULL ? 0 : common_bytes(tree_slot(before)->id, id);
    uint32_t right = after.node == NULL ? 0 : common_bytes(tree_slot(after)->id, id);
    uint32_t parts =
        left > right ? left : right; /* from these, the closest to it, it differs in the byte after these */
    uint64_t leaf = parts + 1 < ID_BYTES ? 2 : 1;
    struct tree_place first = tree_from(tree, first_alike(id, parts)),
                      last = tree_until(tree, last_alike(id, parts));
    uint32_t below = common_bytes(tree_slot(first)->id, tree_slot(last)->id);
    if (below == parts) return leaf; /* there is a branch already */
    uint32_t above = 0;
    before = tree_previous(first);
    after = tree_next(last);
    if (before.node != NULL) above = common_bytes(tree_slot(before)->id, id) + 1;
    if (after.node != NULL && common_bytes(tree_slot(after)->id, id) + 1 > above)
        above = common_bytes(tree_slot(after)->id, id) + 1;
    /* What they had in common from `above` to `below` is one node, which is broken up. */
    return leaf + 1 + (parts > above) + (below > parts + 1) - 1;
}

/* ------------------------------------------------------------------ nodes */

static uint32_t skip(const struct packed *packed, uint32_t at, uint32_t count) {
    while (count-- > 0) at = packed_next(packed, at);
    return at;
}

/* The first entry's place, or PACKED_END. */
static uint32_t first_entry(const struct packed *packed, const struct master *master) {
    return skip(packed, master->first_field, master->fields + 1);
}

/* The last one's: its length stands at the very end. PACKED_END if there is none: then that is the master's
 * zero. */
static uint32_t last_entry(const struct packed *packed) {
    uint32_t at = packed_last(packed);
    int64_t length = integer_at(packed, at);
    if (length == 0) return PACKED_END;
    while (length-- > 0) at = packed_previous(packed, at);
    return at;
}

static uint32_t previous_entry(const struct packed *packed, uint32_t at) {
    at = packed_previous(packed, at);
    int64_t length = integer_at(packed, at);
    if (length == 0) return PACKED_END;
    while (length-- > 0) at = packed_previous(packed, at);
    return at;
}

/* An entry's head. */
struct head {
    int64_t flags;
    struct stream_id id;
    uint32_t fields;
    uint32_t body; /* the place of its first field, or of the first value if the fields are the node's */
};

static struct head head_read(const struct packed *packed, uint32_t at, struct stream_id master,
                             uint32_t node_fields) {
    struct head head = {.flags = integer_at(packed, at), .fields = node_fields};
    at = packed_next(packed, at);
    head.id.ms = master.ms + (uint64_t)integer_at(packed, at);
    at = packed_next(packed, at);
    head.id.seq = master.seq + (uint64_t)integer_at(packed, at);
    head.body = packed_next(packed, at);
    if ((head.flags & ENTRY_SAME_FIELDS) != 0) return head;
    head.fields = (uint32_t)integer_at(packed, head.body);
    head.body = packed_next(packed, head.body);
    return head;
}

static uint32_t entry_behind(const struct packed *packed, const struct head *head) {
    bool is_same = (head->flags & ENTRY_SAME_FIELDS) != 0;
    return packed_next(packed, skip(packed, head->body, is_same ? head->fields : head->fields * 2));
}

/* A node of one entry, whose id is then the node's: it may have so many fields that nobody should go over
 * them for each of many ids, only to see that it isn't the one. (A node of more is small.) */
static bool is_single(const struct master *master) {
    return master->count + master->deleted == 1;
}

static bool is_node_single(struct tree_place place) {
    struct master master = master_read(tree_slot(place)->to);
    return is_single(&master);
}

/* ------------------------------------------------------------------ as a whole */

struct stream *stream_create(void) {
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream != NULL) stream->bytes = memory_size(stream);
    return stream;
}

bool stream_edge(const struct stream *stream, bool is_last, struct stream_id *id) {
    struct stream_reader reader;
    struct tree_place place = is_last ? tree_last(&stream->nodes) : tree_first(&stream->nodes);
    if (place.node != NULL && is_node_single(place)) {
        *id = tree_slot(place)->id;
        return true;
    }
    stream_read(&reader, stream, STREAM_ID_LEAST, STREAM_ID_MOST, is_last);
    if (!stream_next(&reader)) return false;
    *id = reader.id;
    return true;
}

/* After entries have gone. */
static void find_first(struct stream *stream) {
    if (stream->count == 0 || !stream_edge(stream, false, &stream->first)) stream->first = STREAM_ID_LEAST;
}

bool stream_id_increment(struct stream_id *id) {
    if (++id->seq != 0) return true;
    return ++id->ms != 0;
}

bool stream_id_decrement(struct stream_id *id) {
    if (id->seq-- != 0) return true;
    return id->ms-- != 0;
}

void stream_prepare(struct stream *stream) {
    journal_keep(stream, sizeof *stream);
}

static void slot_set(struct tree_slot *slot, struct packed *packed) {
    if (slot->to == packed) return;
    journal_keep(&slot->to, sizeof slot->to);
    slot->to = packed;
}

/* ------------------------------------------------------------------ appending */

#define FEW_DRAFTS 64

/* Has the node's limits reached, as Redis reckons them: by the bytes it has and those of the texts to come,
 * or by its entries, removed ones included. */
static bool is_full(const struct packed *packed, const struct master *master, const struct text *texts,
                    uint32_t fields) {
    size_t most = value_limit(&value_limits.stream_node_bytes), coming = 0;
    uint32_t entries = value_limit(&value_limits.stream_node_entries);
    if (most == 0 || most > PACKED_MOST) most = PACKED_MOST;
    for (uint32_t i = 0; i < fields * 2; i++) coming += texts[i].length;
    return packed_length(packed) + coming >= most ||
           (entries > 0 && master->count + master->deleted >= entries);
}

static bool has_fields(const struct packed *packed, const struct master *master, const struct text *texts,
                       uint32_t fields) {
    if (master->fields != fields) return false;
    uint32_t at = master->first_field;
    for (uint32_t i = 0; i < fields; i++, at = packed_next(packed, at))
        if (!packed_equals(packed, at, texts[2 * i].data, texts[2 * i].length)) return false;
    return true;
}

static uint32_t draft_master(struct packed_draft *drafts, const struct text *texts, uint32_t fields) {
    uint32_t count = 0;
    drafts[count++] = packed_draft_integer(0);
    drafts[count++] = packed_draft_integer(0);
    drafts[count++] = packed_draft_integer(fields);
    for (uint32_t i = 0; i < fields; i++)
        drafts[count++] = packed_draft_text(texts[2 * i].data, texts[2 * i].length);
    drafts[count++] = packed_draft_integer(0);
    return count;
}

static uint32_t draft_entry(struct packed_draft *drafts, struct stream_id delta, bool is_same,
                            const struct text *texts, uint32_t fields) {
    uint32_t count = 0;
    drafts[count++] = packed_draft_integer(is_same ? ENTRY_SAME_FIELDS : 0);
    drafts[count++] = packed_draft_integer((int64_t)delta.ms);
    drafts[count++] = packed_draft_integer((int64_t)delta.seq);
    if (!is_same) drafts[count++] = packed_draft_integer(fields);
    for (uint32_t i = 0; i < fields; i++) {
        if (!is_same) drafts[count++] = packed_draft_text(texts[2 * i].data, texts[2 * i].length);
        drafts[count++] = packed_draft_text(texts[2 * i + 1].data, texts[2 * i + 1].length);
    }
    drafts[count] = packed_draft_integer(count);
    return count + 1;
}

/* To the last node. */
static bool append_to(struct stream *stream, struct tree_slot *slot, const struct master *master,
                      struct stream_id id, const struct text *texts, uint32_t fields,
                      struct packed_draft *drafts) {
    struct packed *packed = slot->to;
    size_t before = packed_bytes(packed), length = packed_length(packed);
    struct stream_id delta = {id.ms - slot->id.ms, id.seq - slot->id.seq};
    uint32_t count = draft_entry(drafts, delta, has_fields(packed, master, texts, fields), texts, fields);
    bool is_done = packed_append(&packed, drafts, count);
    if (is_done && !packed_replace_integer(&packed, count_at, master->count + 1)) {
        packed_remove(&packed, (uint32_t)length - 1, count);
        is_done = false;
    }
    slot_set(slot, packed);
    stream->bytes = stream->bytes - before + packed_bytes(packed);
    return is_done;
}

static bool append_new(struct stream *stream, struct stream_id id, const struct text *texts, uint32_t fields,
                       struct packed_draft *drafts) {
    struct packed *packed = packed_create();
    if (packed == NULL) return false;
    uint32_t count = draft_master(drafts, texts, fields);
    drafts[0] = packed_draft_integer(1);
    count += draft_entry(drafts + count, STREAM_ID_LEAST, true, texts, fields);
    uint64_t radix_nodes = radix_cost(&stream->nodes, id);
    if (packed_append(&packed, drafts, count) && tree_add(&stream->nodes, id, packed)) {
        stream->radix_nodes += radix_nodes;
        stream->bytes += packed_bytes(packed);
        return true;
    }
    journal_free(packed);
    return false;
}

bool stream_append(struct stream *stream, struct stream_id id, const struct text *texts, uint32_t fields) {
    struct packed_draft few[FEW_DRAFTS], *drafts = few;
    struct tree_place last = tree_last(&stream->nodes);
    uint64_t needed = UINT64_C(9) + UINT64_C(2) * fields;
    bool is_done = false;
    assert(stream_id_compare(id, stream->last) > 0 && "ids ascend");
    if (!journal_room(8, 2 * sizeof *stream)) return false;
    stream_prepare(stream);
    if (needed > FEW_DRAFTS && (drafts = malloc(needed * sizeof *drafts)) == NULL) return false;
    if (last.node != NULL) {
        struct tree_slot *slot = tree_slot(last);
        struct master master = master_read(slot->to);
        if (is_full(slot->to, &master, texts, fields))
            last.node = NULL;
        else
            is_done = append_to(stream, slot, &master, id, texts, fields, drafts);
    }
    if (last.node == NULL) is_done = append_new(stream, id, texts, fields, drafts);
    if (drafts != few) free(drafts);
    if (!is_done) return false;
    stream->added++;
    stream->last = id;
    if (++stream->count == 1) stream->first = id;
    return true;
}

/* ------------------------------------------------------------------ reading */

static void enter_node(struct stream_reader *reader) {
    reader->packed = NULL;
    if (reader->place.node == NULL) return;
    reader->packed = tree_slot(reader->place)->to;
    reader->master = tree_slot(reader->place)->id;
    struct master master = master_read(reader->packed);
    reader->node_fields = master.fields;
    reader->first_field = master.first_field;
    bool may_skip = is_single(&master) && !reader->is_backwards;
    if (may_skip && stream_id_compare(reader->master, reader->end) > 0)
        reader->packed = NULL;
    else if (may_skip && stream_id_compare(reader->master, reader->start) < 0)
        reader->entry = PACKED_END;
    else
        reader->entry =
            reader->is_backwards ? last_entry(reader->packed) : first_entry(reader->packed, &master);
}

void stream_read(struct stream_reader *reader, const struct stream *stream, struct stream_id start,
                 struct stream_id end, bool is_backwards) {
    *reader = (struct stream_reader){.start = start, .end = end, .is_backwards = is_backwards};
    reader->place = tree_until(&stream->nodes, is_backwards ? end : start);
    if (reader->place.node == NULL && !is_backwards) reader->place = tree_first(&stream->nodes);
    enter_node(reader);
}

/* Takes the entry at hand, and goes on to the next one in the node. false if it isn't one to be shown. */
static bool take_entry(struct stream_reader *reader, struct head *head) {
    const struct packed *packed = reader->packed;
    *head = head_read(packed, reader->entry, reader->master, reader->node_fields);
    reader->entry = reader->is_backwards ? previous_entry(packed, reader->entry) : entry_behind(packed, head);
    if ((head->flags & ENTRY_DELETED) != 0) return false;
    return stream_id_compare(head->id, reader->is_backwards ? reader->end : reader->start) *
               (reader->is_backwards ? -1 : 1) >=
           0;
}

bool stream_next(struct stream_reader *reader) {
    struct head head;
    while (reader->packed != NULL) {
        if (reader->entry == PACKED_END) {
            reader->place = reader->is_backwards ? tree_previous(reader->place) : tree_next(reader->place);
            enter_node(reader);
            continue;
        }
        if (!take_entry(reader, &head)) continue;
        bool is_beyond = reader->is_backwards ? stream_id_compare(head.id, reader->start) < 0
                                              : stream_id_compare(head.id, reader->end) > 0;
        if (is_beyond) break;
        reader->id = head.id;
        reader->field_count = head.fields;
        reader->is_same = (head.flags & ENTRY_SAME_FIELDS) != 0;
        reader->value_at = head.body;
        reader->name_at = reader->first_field;
        return true;
    }
    reader->packed = NULL;
    return false;
}

void stream_field(struct stream_reader *reader, struct packed_text *name, struct packed_text *value) {
    const struct packed *packed = reader->packed;
    uint32_t *names = reader->is_same ? &reader->name_at : &reader->value_at;
    packed_get(packed, *names, name);
    *names = packed_next(packed, *names);
    packed_get(packed, reader->value_at, value);
    reader->value_at = packed_next(packed, reader->value_at);
}

bool stream_has(const struct stream *stream, struct stream_id id) {
    struct stream_reader reader;
    struct tree_place place = tree_until(&stream->nodes, id);
    if (place.node == NULL) return false;
    if (is_node_single(place)) return stream_id_compare(tree_slot(place)->id, id) == 0;
    stream_read(&reader, stream, id, id, false);
    return stream_next(&reader);
}

bool stream_has_after(const struct stream *stream, struct stream_id id) {
    struct stream_id last;
    /* The last id that ever was is nearly always still there. */
    if (stream->count == 0 || stream_id_compare(stream->last, id) <= 0) return false;
    return stream_edge(stream, true, &last) && stream_id_compare(last, id) > 0;
}

/* ------------------------------------------------------------------ removing */

static void node_drop(struct stream *stream, struct tree_place place) {
    struct packed *packed = tree_slot(place)->to;
    stream->bytes -= packed_bytes(packed);
    struct stream_id id = tree_slot(place)->id;
    tree_remove(&stream->nodes, id);
    stream->radix_nodes -= radix_cost(&stream->nodes, id);
    journal_free(packed);
}

/* The flag fits where the flags were. */
static void flag_deleted(struct packed **packed, uint32_t at, int64_t flags) {
    if (!packed_own(packed)) journal_break();
    bool is_done = packed_replace_integer(packed, at, flags | ENTRY_DELETED);
    assert(is_done && "a number below 128 is one byte");
    (void)is_done;
}

/* `count` entries of a node have been flagged; a node without any other goes. Counts may take more bytes than
 * before, and memory for that may be wanting: then the deleted ones are taken for fewer, which makes the node
 * a little larger than it has to be. The count gets no longer. */
static void count_deleted(struct stream *stream, struct tree_place place, size_t before, int64_t count) {
    struct packed *packed = tree_slot(place)->to;
    struct master master = master_read(packed);
    packed_replace_integer(&packed, master.deleted_at, master.deleted + count);
    packed_replace_integer(&packed, count_at, master.count - count);
    slot_set(tree_slot(place), packed);
    stream->bytes = stream->bytes - before + packed_bytes(packed);
    stream->count -= (uint64_t)count;
    if (master.count == count) node_drop(stream, place);
}

/* Finds a present entry in its node. */
static uint32_t find_entry(struct tree_place place, struct stream_id id, struct head *head) {
    const struct packed *packed = tree_slot(place)->to;
    struct master master = master_read(packed);
    if (is_single(&master) && stream_id_compare(tree_slot(place)->id, id) != 0) return PACKED_END;
    for (uint32_t at = first_entry(packed, &master); at != PACKED_END; at = entry_behind(packed, head)) {
        *head = head_read(packed, at, tree_slot(place)->id, master.fields);
        int order = stream_id_compare(head->id, id);
        /* A removed one may have a higher id than those behind it, if the stream's last id was set back. */
        if ((head->flags & ENTRY_DELETED) != 0 || order < 0) continue;
        return order == 0 ? at : PACKED_END;
    }
    return PACKED_END;
}

bool stream_remove(struct stream *stream, struct stream_id id) {
    struct tree_place place = tree_until(&stream->nodes, id);
    struct head head = {0};
    if (place.node == NULL) return false;
    uint32_t at = find_entry(place, id, &head);
    if (at == PACKED_END) return false;
    struct packed *packed = tree_slot(place)->to;
    size_t before = packed_bytes(packed);
    stream_prepare(stream);
    flag_deleted(&packed, at, head.flags);
    slot_set(tree_slot(place), packed);
    count_deleted(stream, place, before, 1);
    if (stream_id_compare(id, stream->deleted) > 0) stream->deleted = id;
    if (stream->count == 0 || stream_id_compare(id, stream->first) == 0) find_first(stream);
    return true;
}

/* ------------------------------------------------------------------ trimming */

static struct stream_id last_id_of(struct tree_place place) {
    const struct packed *packed = tree_slot(place)->to;
    return head_read(packed, last_entry(packed), tree_slot(place)->id, master_read(packed).fields).id;
}

static bool trims_all_of(const struct stream *stream, const struct stream_trim *trim, struct tree_place place,
                         uint64_t entries) {
    if (trim->by == STREAM_TRIM_LENGTH) return stream->count - entries >= trim->length;
    return stream_id_compare(last_id_of(place), trim->id) < 0;
}

/* From the front of the first node. Returns how many went. */
static uint64_t trim_within(struct stream *stream, const struct stream_trim *trim, struct tree_place place) {
    struct packed *packed = tree_slot(place)->to;
    size_t before = packed_bytes(packed);
    struct master master = master_read(packed);
    struct head head = {0};
    uint64_t removed = 0;
    for (uint32_t at = first_entry(packed, &master); at != PACKED_END; at = entry_behind(packed, &head)) {
        head = head_read(packed, at, tree_slot(place)->id, master.fields);
        if ((head.flags & ENTRY_DELETED) != 0) continue;
        bool is_enough = trim->by == STREAM_TRIM_LENGTH ? stream->count - removed <= trim->length
                                                        : stream_id_compare(head.id, trim->id) >= 0;
        if (is_enough) break;
        flag_deleted(&packed, at, head.flags);
        removed++;
    }
    slot_set(tree_slot(place), packed);
    if (removed > 0) count_deleted(stream, place, before, (int64_t)removed);
    return removed;
}

uint64_t stream_trim(struct stream *stream, const struct stream_trim *trim) {
    uint64_t removed = 0;
    if (trim->by == STREAM_TRIM_NOTHING) return 0;
    stream_prepare(stream);
    for (struct tree_place place; (place = tree_first(&stream->nodes)).node != NULL;) {
        if (trim->by == STREAM_TRIM_LENGTH && stream->count <= trim->length) break;
        uint64_t entries = (uint64_t)integer_at(tree_slot(place)->to, count_at);
        if (trim->limit > 0 && removed + entries > trim->limit) break;
        if (!trims_all_of(stream, trim, place, entries)) {
            if (!trim->is_approximate) removed += trim_within(stream, trim, place);
            break;
        }
        node_drop(stream, place);
        stream->count -= entries;
        removed += entries;
    }
    if (removed > 0) find_first(stream);
    return removed;
}

/* ------------------------------------------------------------------ how far a reader has come */

bool stream_has_gap(const struct stream *stream, struct stream_id id) {
    if (stream->count == 0 || stream_id_compare(stream->deleted, STREAM_ID_LEAST) == 0) return false;
    return stream_id_compare(id, stream->deleted) <= 0;
}

int64_t stream_added_until(const struct stream *stream, struct stream_id id) {
    int with_last = stream_id_compare(id, stream->last), with_first = stream_id_compare(id, stream->first);
    int64_t added = (int64_t)stream->added, count = (int64_t)stream->count;
    if (added == 0) return 0;
    if (count == 0 && with_last <= 0) return added;
    if (with_last == 0) return added;
    if (with_last > 0) return STREAM_UNKNOWN;
    bool has_deleted = stream_id_compare(stream->deleted, STREAM_ID_LEAST) != 0;
    if (has_deleted && stream_id_compare(stream->deleted, stream->first) >= 0) return STREAM_UNKNOWN;
    if (with_first < 0) return added - count;
    return with_first == 0 ? added - count + 1 : STREAM_UNKNOWN;
}

/* ------------------------------------------------------------------ what the keyspace must know */

static const char *encoding_name(const void *value) {
    (void)value;
    return "stream";
}

static size_t bytes(const void *value) {
    const struct stream *stream = value;
    return stream->bytes + stream->nodes.bytes;
}

static uint64_t count(const void *value) {
    const struct stream *stream = value;
    return stream->count + stream->deliveries;
}

static bool free_some(void *value, size_t budget) {
    struct stream *stream = value;
    for (; budget > 0; budget--) {
        struct packed *packed = tree_drain(&stream->nodes);
        if (packed == NULL) break;
        free(packed);
    }
    if (budget == 0 || !groups_free_some(stream, budget)) return false;
    free(stream);
    return true;
}

static bool copy_nodes(struct stream *to, const struct stream *from) {
    for (struct tree_place place = tree_first(&from->nodes); place.node != NULL; place = tree_next(place)) {
        struct packed *packed = packed_copy(tree_slot(place)->to);
        if (packed == NULL || !tree_add(&to->nodes, tree_slot(place)->id, packed)) {
            free(packed);
            return false;
        }
        to->bytes += packed_bytes(packed);
    }
    return true;
}

static void *copy(const void *value) {
    const struct stream *from = value;
    struct stream *to = stream_create();
    if (to == NULL) return NULL;
    to->count = from->count;
    to->added = from->added;
    to->first = from->first;
    to->last = from->last;
    to->deleted = from->deleted;
    to->radix_nodes = from->radix_nodes;
    if (copy_nodes(to, from) && groups_copy(to, from)) return to;
    value_free(&stream_kind, to);
    return NULL;
}

const struct value_kind stream_kind = {encoding_name, bytes, count, copy, free_some};
