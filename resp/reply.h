/* Replies: values to bytes, RESP2 or RESP3, into one growing buffer.
 *
 * A command writes its reply here and knows of no socket. Nothing fails visibly: if memory runs out,
 * is_broken is set, later writes are dropped, and whoever sends the bytes closes the client instead.
 *
 * Large values are not copied: reply_bulk_reference puts a reference among the bytes, which the sender sends
 * from the value itself and then releases. */
#ifndef RESP_REPLY_H
#define RESP_REPLY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `length` bytes at `data` belong into the stream after the first `offset` bytes of the buffer. */
struct reply_reference {
    size_t offset;
    const char *data;
    size_t length;
    void *owner;
    void (*release)(void *owner);
};

struct reply {
    char *data;
    size_t length;
    size_t capacity;
    struct reply_reference *references; /* in order of offset */
    uint32_t reference_count;
    uint32_t reference_capacity;
    size_t referenced_bytes;
    int protocol; /* 2 or 3 */
    bool is_broken;
    bool is_over; /* broken, since it would be longer than may be */
    size_t most;  /* how long it may become, references aside; 0: a gigabyte */
    /* Errors written since reply_errors_clear, and the first word of the last one ("WRONGTYPE"), for INFO's
     * errorstats. */
    uint32_t error_count;
    char error_code[32];
};

void reply_init(struct reply *reply, int protocol);
/* Releases the buffer and every reference. */
void reply_free(struct reply *reply);
/* Forgets the content, releases references, keeps the buffer if its capacity is at most `keep` bytes. */
void reply_clear(struct reply *reply, size_t keep);

/* Content so far, to come back to with reply_truncate: for a command that has to begin again. */
size_t reply_mark(const struct reply *reply);
void reply_truncate(struct reply *reply, size_t mark);

/* Simple kinds. `text` of a status has no line break. */
void reply_status(struct reply *reply, const char *text);
void reply_ok(struct reply *reply);
void reply_integer(struct reply *reply, int64_t value);
void reply_bulk(struct reply *reply, const char *data, size_t length);
/* A bulk whose bytes the caller writes to what is returned; NULL when broken. */
char *reply_bulk_space(struct reply *reply, size_t length);
void reply_bulk_text(struct reply *reply, const char *text);
void reply_bulk_integer(struct reply *reply, int64_t value);
void reply_bulk_format(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The reply takes over one reference to owner. release may run on any thread that sends, outside every
 * lock. */
void reply_bulk_reference(struct reply *reply, const char *data, size_t length, void *owner,
                          void (*release)(void *));
void reply_null(struct reply *reply);                /* "$-1" or "_" */
void reply_null_array(struct reply *reply);          /* "*-1" or "_" */
void reply_boolean(struct reply *reply, bool value); /* RESP2: integer 1 or 0 */
/* RESP3 ",1.5"; RESP2 a bulk. The fewest digits that read back the same, laid out as Redis 7.2 does ("inf",
 * "-inf", "nan", "1e+20"). */
void reply_double(struct reply *reply, double value);
/* The layout alone, without a terminator's being counted; out has 64 bytes or more. Returns the length. */
size_t reply_double_format(char *out, size_t size, double value);
/* The same for one that is laid out already. */
void reply_double_text(struct reply *reply, const char *text, size_t length);
/* RESP3 "=15\r\ntxt:..."; RESP2 a bulk. kind has three letters. */
void reply_verbatim(struct reply *reply, const char *kind, const char *data, size_t length);
void reply_big_number(struct reply *reply, const char *digits, size_t length); /* RESP2: a bulk */

/* Aggregates: followed by that many values (twice as many for a map or attribute). RESP2 sees arrays; for an
 * attribute RESP2 must not be sent anything, so the caller asks the protocol first. */
void reply_array(struct reply *reply, size_t count);
void reply_map(struct reply *reply, size_t count);
void reply_set(struct reply *reply, size_t count);
void reply_push(struct reply *reply, size_t count);
void reply_attribute(struct reply *reply, size_t count);

/* An aggregate whose count is known only afterwards: write the elements behind the mark, then the header is
 * put before them. */
size_t reply_defer(struct reply *reply);
void reply_defer_array(struct reply *reply, size_t mark, size_t count);
void reply_defer_map(struct reply *reply, size_t mark, size_t count);
void reply_defer_set(struct reply *reply, size_t mark, size_t count);

/* Errors: text begins with the code ("ERR syntax error", "WRONGTYPE ..."); line breaks in it become
 * blanks. */
void reply_error(struct reply *reply, const char *text);
void reply_error_format(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_errors_clear(struct reply *reply);

/* What was written since the mark is one whole value, no less and no more. Walks all of it. */
bool reply_is_one(const struct reply *reply, size_t mark);

/* Moves all that another reply holds behind what is here: nothing is copied where nothing is here yet. What
 * was broken there is broken here. */
void reply_append(struct reply *reply, struct reply *other);
/* Bytes that are RESP already. */
void reply_raw(struct reply *reply, const char *data, size_t length);
/* Likewise by reference, as reply_bulk_reference. */
void reply_raw_reference(struct reply *reply, const char *data, size_t length, void *owner,
                         void (*release)(void *));

#endif
