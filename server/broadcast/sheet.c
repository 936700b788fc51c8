#include "sheet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/memory.h"

/* What one takes at least, and at most; a text has its length in front. */
#define BYTES_LEAST 192
#define BYTES_MOST 16384

static void put_away(struct desk *desk) {
    if (desk->pad == NULL) return;
    desk->pad->sheet = desk->sheet;
    desk->pad->written = desk->written;
    desk->pad = NULL;
}

/* It lies on its desk then. */
static struct desk *take(struct pad *pad) {
    struct desk *desk = pad->desk;
    if (desk->pad == pad) return desk;
    put_away(desk);
    desk->pad = pad;
    desk->sheet = pad->sheet;
    desk->written = pad->written;
    pad->sheet = NULL; /* what it had is the desk's to say now, and would be out of date */
    return desk;
}

static bool is_open(const struct desk *desk) {
#ifdef PLANT_LATE_TEXT
    if (desk->sheet != NULL) return true; /* whatever has been sent behind it */
#endif
    return desk->sheet != NULL && worker_news_end_with(desk->pad->worker, &desk->sheet->message);
}

/* Nothing more is written on its sheet, if there is one. */
static void close_sheet(struct desk *desk) {
    if (desk->sheet == NULL) return;
    desk->sheet->used = desk->written;
    desk->sheet = NULL;
}

/* As much as was written the last time until somebody read, or twice as much as on one that is full: what
 * comes in equal bursts takes a sheet for each. */
static size_t size_of_next(const struct desk *desk, size_t needed) {
    size_t size = is_open(desk) ? (size_t)2 * desk->written : (size_t)desk->pad->before + desk->written;
    if (size < needed) size = needed;
    size += sizeof(struct sheet);
    if (size > BYTES_MOST) size = BYTES_MOST;
    return memory_good_size(size < BYTES_LEAST ? BYTES_LEAST : size);
}

bool pad_prepare(struct pad *pad, size_t length) {
    const struct desk *desk = take(pad);
    size_t needed = sizeof(uint32_t) + length;
    assert(pad->blank == NULL && needed <= BYTES_MOST - sizeof(struct sheet));
    if (is_open(desk) && needed <= desk->sheet->capacity - desk->written) return true;
    size_t size = size_of_next(desk, needed);
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
    struct desk *desk = take(pad);
    struct sheet *made = pad->blank;
    if (made != NULL) {
        pad->before = is_open(desk) ? pad->before + desk->written : 0;
        close_sheet(desk);
        desk->sheet = made;
        desk->written = 0;
        pad->blank = NULL;
    }
    uint32_t prefix = (uint32_t)length;
    char *at = desk->sheet->texts + desk->written;
    memcpy(at, &prefix, sizeof prefix);
    memcpy(at + sizeof prefix, text, length);
    desk->written += (uint32_t)sizeof prefix + prefix;
    return made;
}

/* Wherever it lies. */
static void close_sheet_of(struct pad *pad) {
    struct desk *desk = pad->desk;
    if (desk->pad == pad) {
        close_sheet(desk);
    } else if (pad->sheet != NULL) {
        pad->sheet->used = pad->written;
        pad->sheet = NULL;
    }
}

void pad_end(struct pad *pad) {
    struct desk *desk = pad->desk;
    if (desk == NULL) return;
    close_sheet_of(pad);
    if (desk->pad == pad) desk->pad = NULL;
}

void sheet_take(struct sheet *sheet) {
    struct pad *pad = sheet->pad;
    struct desk *desk = pad->desk;
    mutex_lock(&desk->mutex);
    if ((desk->pad == pad ? desk->sheet : pad->sheet) == sheet) close_sheet_of(pad);
    mutex_unlock(&desk->mutex);
}

const char *sheet_text(const struct sheet *sheet, uint32_t *at, size_t *length) {
    uint32_t prefix;
    const char *text = sheet->texts + *at + sizeof prefix;
    memcpy(&prefix, sheet->texts + *at, sizeof prefix);
    *at += (uint32_t)sizeof prefix + prefix;
    *length = prefix;
    return text;
}
