/* Bytes in an allocation of whole words, read word by word, atomically: how a reader without a lock looks at
 * what somebody may be writing in the same way (entry_store). What it has read counts only if the shard's
 * version is the same afterwards.
 *
 *     at offset 12:   |  .  .  .  .  .  .  .  .  |  .  .  .  .  a  b  c  d  |  e  f  g  h  i  j  k  l  |
 *                     0                          8                          16
 *
 * The words that the bytes stand in are read whole, so the allocation ends with a word (entry_size). The
 * acquire order makes a writer's hold of the lock visible to a reader that sees what it wrote, and so the
 * check afterwards fail.
 *
 * On x86, where all loads acquire and all stores release, and one of sixteen bytes moves each of its two
 * words whole, pairs of words are moved at a time; ThreadSanitizer, which doesn't know that, is shown the
 * words. */
#ifndef SHARD_BASE_WORDS_H
#define SHARD_BASE_WORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/* The low `count` bytes, fewer than 8, of a word that has them. */
static inline uint64_t word_low(uint64_t word, size_t count) {
    return word & ((UINT64_C(1) << (8 * count)) - 1);
}

/* Fewer than 8 bytes. */
static inline uint64_t bytes_take(const char *bytes, size_t count) {
    uint64_t word = 0;
    if ((count & 4) != 0) {
        uint32_t four;
        memcpy(&four, bytes, 4);
        word = four;
        bytes += 4;
    }
    for (size_t i = count & 4; i < count; i++) word |= (uint64_t)(unsigned char)*bytes++ << (8 * i);
    return word;
}

/* Bytes that begin with a word. */
static inline bool words_equal_aligned(const void *place, const char *bytes, size_t length) {
    const _Atomic uint64_t *words = place;
    uint64_t wanted;
    for (; length >= 8; length -= 8, bytes += 8) {
        memcpy(&wanted, bytes, 8);
        if (words_read(words++, 0) != wanted) return false;
    }
    return length == 0 || word_low(words_read(words, 0), length) == bytes_take(bytes, length);
}

static inline bool words_equal(const void *words, size_t offset, const char *bytes, size_t length) {
    if (offset % 8 == 0) return words_equal_aligned((const char *)words + offset, bytes, length);
    uint64_t wanted;
    for (; length >= 8; length -= 8, offset += 8, bytes += 8) {
        memcpy(&wanted, bytes, 8);
        if (words_take(words, offset, 8) != wanted) return false;
    }
    return length == 0 || word_low(words_take(words, offset, length), length) == bytes_take(bytes, length);
}

static inline void word_put(char *out, uint64_t word) {
    memcpy(out, &word, 8);
}

#ifdef __SSE2__
static inline void pair_move(void *to, const void *from) {
    _mm_storeu_si128(to, _mm_loadu_si128(from));
}
#endif
static inline void words_put_pair(char *out, const _Atomic uint64_t *from) {
#if defined __SSE2__ && !defined USE_SANITIZER
    pair_move(out, (const char *)from);
    atomic_signal_fence(memory_order_acquire);
#else
    word_put(out, words_read(from, 0));
    word_put(out + 8, words_read(from, 1));
#endif
}

/* The writer's side. */
static inline void word_set_from(_Atomic uint64_t *word, const unsigned char *bytes) {
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    atomic_store_explicit(word, value, memory_order_release);
}
static inline void words_set_pair(_Atomic uint64_t *words, const unsigned char *bytes) {
#if defined __SSE2__ && !defined USE_SANITIZER
    atomic_signal_fence(memory_order_release);
    pair_move((char *)words, bytes);
#else
    word_set_from(words, bytes);
    word_set_from(words + 1, bytes + 8);
#endif
}

/* Fewer than 8 bytes. */
static inline void word_put_low(char *out, uint64_t word, size_t count) {
    for (; count > 0; count--, word >>= 8) *out++ = (char)word;
}

/* Bytes that begin with a word. */
static inline void words_copy_aligned(const void *place, char *out, size_t length) {
    const _Atomic uint64_t *words = place;
    for (; length >= 32; length -= 32, out += 32, words += 4) {
        words_put_pair(out, words);
        words_put_pair(out + 16, words + 2);
    }
    for (; length >= 8; length -= 8, out += 8) word_put(out, words_read(words++, 0));
    if (length > 0) word_put_low(out, words_read(words, 0), length);
}

/* In words or pairs of them, never by the byte but for the rest: a wider load of what was just stored in
 * parts would wait for the stores to be done. */
static inline void words_copy(const void *words, size_t offset, char *out, size_t length) {
    if (offset % 8 == 0) {
        words_copy_aligned((const char *)words + offset, out, length);
        return;
    }
    for (; length >= 8; length -= 8, offset += 8, out += 8) word_put(out, words_take(words, offset, 8));
    if (length > 0) word_put_low(out, words_take(words, offset, length), length);
}

#endif
