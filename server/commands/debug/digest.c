/* DEBUG DIGEST and DIGEST-VALUE: all data, or a value, as one line.
 *
 * DIGEST and DIGEST-VALUE give what Redis gives for the same data, so that two servers can be
 * compared by one line. Everything is built of SHA-1, from a digest of zeros, in two ways to take
 * bytes in:
 *
 *     add   digest = digest xor sha1(bytes)     order doesn't matter
 *     mix   add, then digest = sha1(digest)     order matters
 *
 *     value     mix the type's number, mix the string; with an expiry: add "!!expire!!"
 *     entry     mix the key, then go on as for the value
 *     data set  for each database with keys: mix its number, then add its entries' digests
 *
 * Numbers are taken in as 4 bytes, big-endian. */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "shard/keyspace.h"
#include "shard/value/fields.h"
#include "shard/value/list.h"
#include "shard/value/members.h"
#include "shard/value/sorted.h"
#include "shard/value/stream.h"
#include "debug.h"

#define DIGEST_BYTES 20
#define ERROR_DIGEST "ERR SHA-1 is not to be had from libcrypto"

/* SHA-1 of libcrypto, fetched once for many digests. */
struct hasher {
    EVP_MD *kind;
    EVP_MD_CTX *context;
    bool is_broken;
};

struct digest {
    unsigned char bytes[DIGEST_BYTES];
};

static void hasher_open(struct hasher *hasher) {
    hasher->kind = EVP_MD_fetch(NULL, "SHA1", NULL);
    hasher->context = EVP_MD_CTX_new();
    hasher->is_broken = hasher->kind == NULL || hasher->context == NULL;
}

static void hasher_close(struct hasher *hasher) {
    EVP_MD_CTX_free(hasher->context);
    EVP_MD_free(hasher->kind);
}

static void hash(struct hasher *hasher, const void *data, size_t length, struct digest *out) {
    memset(out, 0, sizeof *out);
    if (hasher->is_broken) return;
    hasher->is_broken = EVP_DigestInit_ex2(hasher->context, hasher->kind, NULL) != 1 ||
                        EVP_DigestUpdate(hasher->context, data, length) != 1 ||
                        EVP_DigestFinal_ex(hasher->context, out->bytes, NULL) != 1;
}

static void digest_add(struct digest *digest, struct hasher *hasher, const void *data, size_t length) {
    struct digest added;
    hash(hasher, data, length, &added);
    for (size_t i = 0; i < DIGEST_BYTES; i++) digest->bytes[i] ^= added.bytes[i];
}

static void digest_mix(struct digest *digest, struct hasher *hasher, const void *data, size_t length) {
    struct digest added;
    digest_add(digest, hasher, data, length);
    added = *digest;
    hash(hasher, added.bytes, DIGEST_BYTES, digest);
}

static void digest_mix_number(struct digest *digest, struct hasher *hasher, uint32_t number) {
    uint32_t bytes = htonl(number);
    digest_mix(digest, hasher, &bytes, sizeof bytes);
}

struct digesting {
    struct digest *digest;
    struct hasher *hasher;
};

/* In order. */
static bool digest_element(void *context, const struct packed_text *text) {
    const struct digesting *digesting = context;
    digest_mix(digesting->digest, digesting->hasher, text->data, text->length);
    return true;
}

/* In any order. */
static bool digest_member(void *context, const struct packed_text *text) {
    const struct digesting *digesting = context;
    digest_add(digesting->digest, digesting->hasher, text->data, text->length);
    return true;
}

static void digest_pair(void *context, const struct packed_text *first, const struct packed_text *second) {
    const struct digesting *digesting = context;
    struct digest pair = {{0}};
    digest_mix(&pair, digesting->hasher, first->data, first->length);
    digest_mix(&pair, digesting->hasher, second->data, second->length);
    digest_add(digesting->digest, digesting->hasher, pair.bytes, DIGEST_BYTES);
}

static bool digest_scored(void *context, const struct packed_text *member, double score) {
    char digits[32];
    struct packed_text text = {.data = digits,
                               .length = (size_t)snprintf(digits, sizeof digits, "%.17g", score)};
    digest_pair(context, member, &text);
    return true;
}

/* Mixes ids, fields and values in, in their order. */
static void digest_stream(const struct digesting *digesting, const struct stream *stream) {
    struct stream_reader reader;
    struct packed_text name, value;
    char id[64];
    stream_read(&reader, stream, STREAM_ID_LEAST, STREAM_ID_MOST, false);
    while (stream_next(&reader)) {
        int length = snprintf(id, sizeof id, "%llu.%llu", (unsigned long long)reader.id.ms,
                              (unsigned long long)reader.id.seq);
        digest_mix(digesting->digest, digesting->hasher, id, (size_t)length);
        for (uint32_t i = 0; i < reader.field_count; i++) {
            stream_field(&reader, &name, &value);
            digest_mix(digesting->digest, digesting->hasher, name.data, name.length);
            digest_mix(digesting->digest, digesting->hasher, value.data, value.length);
        }
    }
}

static void digest_content(struct digest *digest, struct hasher *hasher, const struct entry *entry) {
    struct digesting digesting = {digest, hasher};
    struct string_view view;
    switch (entry_type(entry)) {
    case TYPE_STRING:
        entry_string(entry, &view);
        digest_mix(digest, hasher, view.data, view.length);
        break;
    case TYPE_LIST: list_each(entry_value(entry), 0, UINT64_MAX, false, digest_element, &digesting); break;
    case TYPE_SET: members_each(entry_value(entry), digest_member, &digesting); break;
    case TYPE_ZSET: sorted_each(entry_value(entry), 0, UINT64_MAX, false, digest_scored, &digesting); break;
    case TYPE_HASH: fields_each(entry_value(entry), digest_pair, &digesting); break;
    case TYPE_STREAM: digest_stream(&digesting, entry_value(entry)); break;
    default: break;
    }
}

static void digest_take_value(struct digest *digest, struct hasher *hasher, const struct entry *entry) {
    static const char mark[] = "!!expire!!";
    static const uint32_t type_numbers[TYPE_COUNT] = {
        [TYPE_STRING] = 0, [TYPE_LIST] = 1, [TYPE_SET] = 2,
        [TYPE_ZSET] = 3,   [TYPE_HASH] = 4, [TYPE_STREAM] = 6,
    };
    digest_mix_number(digest, hasher, type_numbers[entry_type(entry)]);
    digest_content(digest, hasher, entry);
    if (entry_expiry(entry) != ENTRY_NO_EXPIRY) digest_add(digest, hasher, mark, sizeof mark - 1);
}

static void digest_reply(const struct digest *digest, struct reply *reply) {
    char text[2 * DIGEST_BYTES + 1];
    for (size_t i = 0; i < DIGEST_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", digest->bytes[i]);
    reply_status(reply, text);
}

static void command_debug_digest_value(const struct read_scope *scope, const struct call *call,
                                       struct reply *reply) {
    struct hasher hasher;
    size_t mark = reply_mark(reply);
    hasher_open(&hasher);
    reply_array(reply, call->key_count);
    for (uint32_t i = 0; i < call->key_count; i++) {
        struct digest digest = {{0}};
        const struct entry *entry = scope_peek(scope, &call->keys[i]);
        if (entry != NULL) digest_take_value(&digest, &hasher, entry);
        digest_reply(&digest, reply);
    }
    if (hasher.is_broken) {
        reply_truncate(reply, mark);
        reply_error(reply, ERROR_DIGEST);
    }
    hasher_close(&hasher);
}

struct summing {
    struct hasher hasher;
    struct digest digest;
    uint32_t database;
    bool has_database; /* its number has been mixed in: before the first key that hasn't expired */
};

static void sum_entry(void *context, const struct entry *entry) {
    struct summing *summing = context;
    struct digest digest = {{0}};
    size_t length;
    const char *key = entry_key(entry, &length);
    if (!summing->has_database) digest_mix_number(&summing->digest, &summing->hasher, summing->database);
    summing->has_database = true;
    digest_mix(&digest, &summing->hasher, key, length);
    digest_take_value(&digest, &summing->hasher, entry);
    digest_add(&summing->digest, &summing->hasher, digest.bytes, DIGEST_BYTES);
}

static void sum_database(struct summing *summing, const struct read_scope *all,
                         const struct keyspace *keyspace, uint32_t database) {
    for (uint32_t shard = 0; shard < keyspace_shard_count(keyspace); shard++) {
        uint64_t position = keyspace_shard_position(keyspace, shard);
        if (keyspace_shard_keys(keyspace, shard, database) > 0)
            scope_scan(all, shard, database, position, SIZE_MAX, sum_entry, summing);
    }
}

static void command_debug_digest(struct write_scope *scope, const struct call *call, struct reply *reply) {
    const struct read_scope all = {scope->scope};
    struct summing summing = {.digest = {{0}}};
    if (!debug_takes(call, 2, 2, reply)) return;
    hasher_open(&summing.hasher);
    for (uint32_t database = 0; database < keyspace_database_count(call->keyspace); database++) {
        struct keyspace_size size;
        keyspace_size(call->keyspace, database, &size);
        if (size.keys == 0) continue;
        summing.database = database;
        summing.has_database = false;
        sum_database(&summing, &all, call->keyspace, database);
    }
    if (summing.hasher.is_broken)
        reply_error(reply, ERROR_DIGEST);
    else
        digest_reply(&summing.digest, reply);
    hasher_close(&summing.hasher);
}

/* ------------------------------------------------------------------ rows */

const struct command digest_commands[] = {
    {.name = "debug|digest-value",
     .arity = -2,
     .flags = DEBUG_FLAGS,
     .keys = {{KEY_RO, 2, -1, 1}},
     .read = command_debug_digest_value},
    {.name = "debug|digest",
     .arity = -2,
     .flags = DEBUG_FLAGS | COMMAND_ALL_SHARDS,
     .write = command_debug_digest},
    {.name = NULL},
};
