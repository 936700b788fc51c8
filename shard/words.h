/* Bytes in an allocation of whole words, read word by word, atomically: how a reader without a lock looks at what somebody may be writing in the same
 * way (entry_store). What it has read counts only if the shard's version is the same afterwards.
 *
 *     12 bytes at offset 12     |  .  .  .  .  .  .  .  .  |  .  .  .  .  a  b  c  d  |  e  f  g  h  i  j  k  l  |
 *                               0                          8                          16
 *
 * The words that the bytes stand in are read whole, so the allocation ends with a word (entry_size). The acquire order makes a writer's hold of the lock
 * visible to who sees what it wrote, and so the check afterwards fail. */
#ifndef SHARD_WORDS_H
#define SHARD_WORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a word's first byte is its lowest");

static inline uint64_t words_read(const void *words, size_t index) {
    return atomic_load_explicit((const _Atomic uint64_t *)words + index, memory_order_acquire);
}

/* Up to 8 bytes, at least one, in the low bytes of what is returned. The others are anything. */
static inline uint64_t words_take(const void *words, size_t offset, size_t count) {
    size_t within = offset % 8;
    uint64_t taken = words_read(words, offset / 8) >> (8 * within);
    return within + count <= 8 ? taken : taken | words_read(words, offset / 8 + 1) << (8 * (8 - within));
}

static inline bool words_equal(const void *words, size_t offset, const char *bytes, size_t length) {
    uint64_t wanted;
    for (; length >= 8; length -= 8, offset += 8, bytes += 8) {
        memcpy(&wanted, bytes, 8);
        if (words_take(words, offset, 8) != wanted) return false;
    }
    if (length == 0) return true;
    uint64_t rest = words_take(words, offset, length);
    for (; length > 0; length--, rest >>= 8)
        if ((char)rest != *bytes++) return false;
    return true;
}

/* Each word is stored by itself: a wider load of what was just stored in parts would wait for the stores to be done. */
static inline void words_copy(const void *words, size_t offset, char *out, size_t length) {
    if (offset % 8 == 0)
        for (; length >= 8; length -= 8, offset += 8, out += 8) {
            uint64_t word = words_read(words, offset / 8);
            memcpy(out, &word, 8);
        }
    for (; length >= 8; length -= 8, offset += 8, out += 8) {
        uint64_t word = words_take(words, offset, 8);
        memcpy(out, &word, 8);
    }
    if (length == 0) return;
    uint64_t rest = words_take(words, offset, length);
    for (; length > 0; length--, rest >>= 8) *out++ = (char)rest;
}

#endif
