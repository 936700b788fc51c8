/* Any sequence of changes to a stream: appended, removed and trimmed entries, groups, consumers and what they
 * have pending, against plain arrays. */
#include <stddef.h>
#include <stdint.h>

#include "tests/stream_model.h"

struct bytes {
    const uint8_t *at, *end;
};

static uint32_t draw_byte(void *context, uint32_t below) {
    struct bytes *bytes = context;
    uint32_t value = 0;
    for (uint32_t range = below; range > 0 && bytes->at < bytes->end; range >>= 8)
        value = value << 8 | *bytes->at++;
    return value % below;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    struct bytes bytes = {data, data + length};
    struct stream_model *model = stream_model_create(draw_byte, &bytes);
    if (model == NULL) abort();
    atomic_store(&value_limits.stream_node_entries, 1 + (int64_t)draw_byte(&bytes, 16));
    while (bytes.at < bytes.end) stream_model_step(model);
    stream_model_check(model);
    stream_model_free(model);
    return 0;
}
