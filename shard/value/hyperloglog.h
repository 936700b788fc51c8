/* HyperLogLog: about how many different elements there were, in 12 KB or less (Flajolet et al., 2007; the
 * estimator is Ertl's, "New cardinality estimation algorithms for HyperLogLog sketches", 2017). The bytes are
 * those that Redis has under its keys, which clients may GET and SET:
 *
 *     +--------+----------+------+---------------------+-----------------
 *     | "HYLL" | encoding | 0    | cached count        | registers ...
 *     | 4 B    | 1 B      | 3 B  | 8 B, top bit: stale |
 *     +--------+----------+------+---------------------+-----------------
 *
 *     dense    16384 registers of 6 bits
 *     sparse   00nnnnnn          that many registers (1 to 64) are 0
 *              01nnnnnn nnnnnnnn likewise, up to 16384
 *              1vvvvvnn          that many (1 to 4) are v (1 to 32)
 *
 * Functions on plain memory: no value of a type of its own, but strings. */
#ifndef SHARD_VALUE_HYPERLOGLOG_H
#define SHARD_VALUE_HYPERLOGLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HLL_REGISTERS 16384
#define HLL_HEADER 16
#define HLL_DENSE_BYTES (HLL_HEADER + HLL_REGISTERS * 6 / 8)

/* One that is being worked on: a copy of the bytes. */
struct hll {
    size_t length;
    unsigned char bytes[HLL_DENSE_BYTES + 8];
};

void hll_init(struct hll *hll); /* empty, sparse */
/* Whether these bytes are one, as far as the header tells. */
bool hll_is_one(const char *bytes, size_t length);
bool hll_is_dense(const char *bytes);
/* Copies it. false if it is too long to be one. */
bool hll_load(struct hll *hll, const char *bytes, size_t length);

/* The register that an element falls into, and what it may raise it to. */
uint32_t hll_register_of(const char *element, size_t length, uint8_t *rank);
/* The value of a register. false if the bytes are corrupt. */
bool hll_register(const char *bytes, size_t length, uint32_t index, uint8_t *value);
enum hll_result { HLL_CORRUPT = -1, HLL_SAME = 0, HLL_RAISED = 1 };
/* Raises a register; a sparse one becomes dense where it would get longer than sparse_most bytes, or a
 * register too high. */
enum hll_result hll_raise(struct hll *hll, uint32_t index, uint8_t rank, size_t sparse_most);
/* In the bytes of a dense one, wherever they are. */
bool hll_dense_raise(char *bytes, uint32_t index, uint8_t rank);
bool hll_make_dense(struct hll *hll); /* false if it is corrupt */

/* Raises each of 16384 registers to what the bytes have. false if they are corrupt. */
bool hll_merge(const char *bytes, size_t length, uint8_t *registers);
uint64_t hll_count(const uint8_t *registers);

/* The cached count. false if it is stale. */
bool hll_cached(const char *bytes, uint64_t *count);
void hll_cache(char *bytes, uint64_t count);
void hll_make_stale(char *bytes);

#endif
