/* Requests: bytes to arguments, in place.
 *
 * The parser reads RESP arrays of bulk strings ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") and inline requests ("GET
 * k\r\n") from memory that the caller owns. It copies nothing: an argument points into that memory. It knows
 * no socket; it is fed, and says what it would like next. RESP:
 * https://redis.io/docs/latest/develop/reference/protocol-spec/
 *
 * The caller keeps the bytes of an unfinished request contiguous and calls again when there are more; the
 * parser remembers where it stopped as offsets from the request's first byte, so the memory may move in
 * between, and no byte of it is looked at twice. Time spent is linear in the bytes received, however they
 * were cut.
 *
 * A large argument can be received straight into memory of its own (REQUEST_WANTS_BULK). Its bytes are then
 * not part of the request's memory: for the parser they are cut out of the stream. */
#ifndef RESP_REQUEST_H
#define RESP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From this length on a bulk is worth memory of its own. */
#define REQUEST_BULK_APART 16384

/* One argument. data[length] is readable but not part of the argument (it is the '\r' that ended it, or the
 * end of the memory that the caller gave for it, which is one byte longer than asked; for an inline request
 * it is a byte of the line).
 *
 * owner is NULL, or what the caller passed to request_receive_bulk or, later, to request_move_bulk: who wants
 * to keep the bytes keeps that instead of copying. */
struct bulk {
    char *data;
    size_t length;
    void *owner;
};

/* A request's arguments and the bytes that they point to, handed over as they are: both are page memory
 * (shard/base/pages.h), of these sizes. What is apart has owners, which are handed over as well. */
struct request_memory {
    struct bulk *arguments;
    size_t arguments_bytes;
    char *input;
    size_t input_bytes;
    size_t owned_bytes; /* of all owners; 0: there are none */
};
/* Frees both; the owners of arguments are the caller's. */
void request_memory_free(struct request_memory *memory);

struct request_limits {
    int64_t bulk_length;   /* proto-max-bulk-len, in bytes */
    bool is_authenticated; /* if not: at most 10 arguments, of at most 16384 bytes each */
};

enum request_status {
    /* arguments[0..count) are valid until the memory changes; count may be 0: nothing to run, no reply */
    REQUEST_READY,
    REQUEST_PARTIAL, /* needs more bytes behind those it has */
    /* needs memory for an argument's first bytes, or all parser->bulk_length: request_receive_bulk, or
     * request_decline_bulk */
    REQUEST_WANTS_BULK,
    /* bytes are due in the memory given: request_bulk_space, then request_bulk_received; or more memory is:
     * request_move_bulk */
    REQUEST_IN_BULK,
    REQUEST_ERROR, /* parser->error is Redis's message, without "-ERR " and line end; reply it and close */
};

struct request_parser {
    struct bulk *arguments; /* owned by the parser */
    uint32_t count;
    uint32_t capacity;
    const char *error;   /* valid until the next one on this thread */
    int64_t bulk_length; /* of the argument being read, -1 before it is known */
    /* Private from here on (resp/request.c explains). */
    size_t position; /* offset of the next byte to look at */
    size_t searched; /* up to here the unfinished line at position has no end */
    char *apart;     /* memory of the bulk that is received apart */
    void *apart_owner;
    size_t apart_filled, apart_capacity;
    int32_t expected; /* arguments of this request, -1 before they are known */
    bool is_declined; /* the bulk at hand stays in line */
    bool is_finished; /* the last call returned a request: the next one begins anew */
};

void request_parser_init(struct request_parser *parser);

/* Releases what the parser itself allocated; not the owners of arguments, which are the caller's: see
 * request_owners. */
void request_parser_free(struct request_parser *parser);

/* The array of a request that was READY becomes the caller's, and with it the references to its owners. The
 * parser has none, and begins a new request when it is called. */
void request_hand_over(struct request_parser *parser, struct request_memory *memory);

/* Parses one request.
 *
 * data, length  all bytes received since the last request ended, the request's first byte first
 * consumed      set when REQUEST_READY: bytes that this request took; the next one begins there
 *
 * After REQUEST_READY the next call begins a new request. Never reads beyond length. Returns REQUEST_ERROR
 * also when out of memory for the argument array (its capacity is bounded by what was received: it grows with
 * the arguments that have come in, never by the announced count alone). Its messages are those of Redis 7.2:
 * "Protocol error: too big inline request", "... unbalanced quotes in request", "... too big mbulk count
 * string", "... invalid multibulk length", "... unauthenticated multibulk length", "... too big bulk count
 * string", "... expected '$', got 'X'", "... invalid bulk length", "... unauthenticated bulk length". */
enum request_status request_parse(struct request_parser *parser, const struct request_limits *limits,
                                  char *data, size_t length, size_t *consumed);

/* Takes arguments that were parsed elsewhere as those of a request that has just been READY. The parser is
 * idle. false when out of memory. */
bool request_adopt(struct request_parser *parser, const struct bulk *arguments, uint32_t count);

/* After REQUEST_WANTS_BULK: how many bytes of the bulk data already holds; less than bulk_length, or all and
 * no line end. */
size_t request_bulk_present(const struct request_parser *parser, size_t length);

/* Answers REQUEST_WANTS_BULK with memory: destination has room for capacity + 1 bytes, where capacity is at
 * most bulk_length, and no less than what is present. A length is announced with ten bytes and sent with as
 * many as it says: a caller that gives less memory at first, and more as it fills, holds no more than what
 * came calls for. Copies the bytes of the bulk that data already holds, and cuts them out of data (what lies
 * behind moves up; *length shrinks). The argument's owner will be `owner`, which is not NULL. */
void request_receive_bulk(struct request_parser *parser, char *destination, size_t capacity, void *owner,
                          char *data, size_t *length);

/* The memory is full and the bulk isn't whole (request_bulk_space said that nothing is missing, the parser
 * REQUEST_IN_BULK): what has come is now at destination, which has room for a capacity that is larger than
 * before, and at most bulk_length. */
void request_move_bulk(struct request_parser *parser, char *destination, size_t capacity, void *owner);

/* Answers REQUEST_WANTS_BULK with "no": the bulk is parsed in line like a small one. */
void request_decline_bulk(struct request_parser *parser);

/* Where the next bytes of the bulk go, and how many there is memory for (while REQUEST_IN_BULK, 0 only before
 * request_move_bulk). */
char *request_bulk_space(struct request_parser *parser, size_t *missing);

/* `received` bytes were written at request_bulk_space. True when the bulk is whole: parse on. */
bool request_bulk_received(struct request_parser *parser, size_t received);

/* Calls release(owner) for every owner that the unfinished or last parsed request still holds, and clears
 * them. To be called after a request was run (a caller that wants to keep an owner took a reference) and when
 * a connection closes in the middle of one. */
void request_owners(struct request_parser *parser, void (*release)(void *owner));

/* True between requests: no byte of a next one was looked at. The last one's arguments may still be in
 * use. */
bool request_is_idle(const struct request_parser *parser);

/* Splits a line as Redis splits inline requests and configuration lines: blanks separate, "..." takes \n \r
 * \t \b \a \\ \" and \xHH escapes, '...' takes \'. A NUL is a byte like any other (in Redis it hides the end
 * of its line). Works in place: results point into line, which is overwritten. Returns the number of words,
 * at most `most` (words beyond are not stored but counted), or -1 for unbalanced quotes. */
int request_split(char *line, size_t length, struct bulk *words, int most);

#endif
