/* How long does one insertion take while the table grows? Fills an embedded keyspace, times every insertion,
 * and tells the slowest, and the most entries that any of them moved.
 *
 *     build/release/bench/growth [keys] [shards]     default 5000000 512 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shard/latchkey.h"

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int compare(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static double percentile_us(const uint32_t *sorted, size_t count, double percentile) {
    size_t at = (size_t)((double)count * percentile / 100.0);
    return sorted[at < count ? at : count - 1] / 1000.0;
}

int main(int argc, char **argv) {
    size_t keys = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000000;
    uint32_t shards = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 512;
    struct keyspace *keyspace = keyspace_open(&(struct keyspace_options){.shards = shards});
    uint32_t *times = malloc(keys * sizeof *times);
    if (keys == 0 || keyspace == NULL || times == NULL) {
        fprintf(stderr, "growth: can't start with %zu keys in %u shards (a power of two)\n", keys, shards);
        return 1;
    }
    struct lane *lane = lane_attach(keyspace);
    int64_t began = now_ns(), before = began;
    for (size_t i = 0; i < keys; i++) {
        char key[32];
        int length = snprintf(key, sizeof key, "key:%012zu", i);
        latchkey_set(lane,
                     &(struct latchkey_item){
                         .key = key, .key_length = (size_t)length, .value = "01234567", .value_length = 8});
        int64_t after = now_ns();
        times[i] = (uint32_t)(after - before);
        before = after;
    }
    double seconds = (double)(before - began) / 1e9;
    struct keyspace_size size;
    keyspace_size(keyspace, 0, &size);
    qsort(times, keys, sizeof *times, compare);
    printf("%zu insertions into %u shards in %.2f s (%.0f ns each)\n", keys, shards, seconds,
           seconds * 1e9 / (double)keys);
    printf("microseconds: p50 %.2f  p99 %.2f  p99.9 %.2f  p99.99 %.2f  slowest %.1f\n",
           percentile_us(times, keys, 50), percentile_us(times, keys, 99), percentile_us(times, keys, 99.9),
           percentile_us(times, keys, 99.99), times[keys - 1] / 1000.0);
    printf("entries moved by one operation: %" PRIu64 " at most\n", size.moves_most);
    printf("table bytes per key: %.2f\n", (double)size.table_bytes / (double)size.keys);
    lane_detach(lane);
    keyspace_close(keyspace);
    free(times);
    return 0;
}
