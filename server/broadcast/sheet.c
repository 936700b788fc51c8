#include "sheet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/memory.h"

/* What one takes at least, and at most; a text has its length in front. */
#define BYTES_LEAST 192
#define BYTES_MOST 16384

static bool is_open(const struct pad *pad) {
#ifdef PLANT_LATE_TEXT
    if (pad->sheet != NULL) return true; /* whatever has been sent behind it */
#endif
    return pad->sheet != NULL && worker_news_end_with(pad->worker, &pad->sheet->message);
}

/* As much as was written the last time until somebody read, or twice as much as on one that is full: what
 * comes in equal bursts takes a sheet for each. */
static size_t size_of_next(const struct pad *pad, size_t needed) {
    size_t size = is_open(pad) ? (size_t)2 * pad->written : (size_t)pad->before + pad->written;
    if (size < needed) size = needed;
    size += sizeof(struct sheet);
    if (size > BYTES_MOST) size = BYTES_MOST;
    return memory_good_size(size < BYTES_LEAST ? BYTES_LEAST : size);
}

bool pad_prepare(struct pad *pad, size_t length) {
    size_t needed = sizeof(uint32_t) + length;
    assert(pad->blank == NULL && needed <= BYTES_MOST - sizeof(struct sheet));
    if (is_open(pad) && needed <= pad->sheet->capacity - pad->written) return true;
    size_t size = size_of_next(pad, needed);
    struct sheet *blank = malloc(size);
    if (blank == NULL) return false;
    blank->pad = pad;
    blank->bytes = size;
    blank->capacity = (uint32_t)(size - sizeof *blank);
    pad->blank = blank;
    return true;
}

void pad_discard(struct pad *pad) {
    free(pad->blank);
    pad->blank = NULL;
}

struct sheet *pad_write(struct pad *pad, const char *text, size_t length) {
    struct sheet *made = pad->blank;
    if (made != NULL) {
        pad->before = is_open(pad) ? pad->before + pad->written : 0;
        pad_close(pad);
        pad->sheet = made;
        pad->blank = NULL;
        pad->written = 0;
    }
    uint32_t prefix = (uint32_t)length;
    char *at = pad->sheet->texts + pad->written;
    memcpy(at, &prefix, sizeof prefix);
    memcpy(at + sizeof prefix, text, length);
    pad->written += (uint32_t)sizeof prefix + prefix;
    return made;
}

void pad_close(struct pad *pad) {
    if (pad->sheet == NULL) return;
    pad->sheet->used = pad->written;
    pad->sheet = NULL;
}

void sheet_take(struct sheet *sheet) {
    struct pad *pad = sheet->pad;
    mutex_lock(pad->mutex);
    if (pad->sheet == sheet) pad_close(pad);
    mutex_unlock(pad->mutex);
}

const char *sheet_text(const struct sheet *sheet, uint32_t *at, size_t *length) {
    uint32_t prefix;
    const char *text = sheet->texts + *at + sizeof prefix;
    memcpy(&prefix, sheet->texts + *at, sizeof prefix);
    *at += (uint32_t)sizeof prefix + prefix;
    *length = prefix;
    return text;
}
