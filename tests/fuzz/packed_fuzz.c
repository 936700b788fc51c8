/* Any bytes at packed sequences (shard/value/packed.h). They are taken twice: as a sequence from outside,
 * which if it is declared valid must be readable from both ends and bear every change; and as changes of a
 * sequence that is compared with a plain array after each of them. */
#include "shard/value/packed.h"
#include "shard/value/value.h"
#include "input.h"

#define MOST 60
#define LENGTH_MOST 9000

struct array {
    char *texts[MOST];
    size_t lengths[MOST];
    int count;
};

/* ------------------------------------------------------------------ the array */

static void array_remove(struct array *array, int at) {
    size_t behind = (size_t)(array->count - at - 1);
    free(array->texts[at]);
    memmove(array->texts + at, array->texts + at + 1, behind * sizeof array->texts[0]);
    memmove(array->lengths + at, array->lengths + at + 1, behind * sizeof array->lengths[0]);
    array->count--;
}

static void array_insert(struct array *array, int at, struct text text) {
    size_t behind = (size_t)(array->count - at);
    memmove(array->texts + at + 1, array->texts + at, behind * sizeof array->texts[0]);
    memmove(array->lengths + at + 1, array->lengths + at, behind * sizeof array->lengths[0]);
    array->texts[at] = input_copy(text.data, text.length);
    array->lengths[at] = text.length;
    array->count++;
}

static int array_find(const struct array *array, int at, struct text text, int step) {
    for (; at < array->count; at += step)
        if (array->lengths[at] == text.length && memcmp(array->texts[at], text.data, text.length) == 0)
            return at;
    return -1;
}

/* ------------------------------------------------------------------ reading */

static void compare_element(const struct packed *packed, uint32_t at, const char *data, size_t length) {
    struct packed_text text;
    int64_t value;
    packed_get(packed, at, &text);
    CHECK(text.length == length && memcmp(text.data, data, length) == 0);
    CHECK(packed_equals(packed, at, data, length));
    CHECK(packed_integer(packed, at, &value) == text.is_integer);
    CHECK(!text.is_integer || value == text.integer);
}

static void compare(const struct packed *packed, const struct array *array) {
    uint32_t at = packed_first(packed);
    CHECK(packed_count(packed) == (uint32_t)array->count);
    for (int i = 0; i < array->count; i++, at = packed_next(packed, at)) {
        compare_element(packed, at, array->texts[i], array->lengths[i]);
        CHECK(packed_at(packed, i) == at && packed_at(packed, i - array->count) == at);
    }
    CHECK(at == PACKED_END && packed_at(packed, array->count) == PACKED_END);
    at = packed_last(packed);
    for (int i = array->count; i-- > 0; at = packed_previous(packed, at))
        compare_element(packed, at, array->texts[i], array->lengths[i]);
    CHECK(at == PACKED_END);
    CHECK(packed_is_valid(packed, packed_length(packed)));
    CHECK(packed_length(packed) <= packed_bytes(packed));
}

/* ------------------------------------------------------------------ changing */

/* Short ones as they are, numbers as digits, and long ones of few bytes. */
static struct text take_text(struct input *input, char *room) {
    static const unsigned widths[4] = {1, 2, 4, 8};
    uint8_t how = input_byte(input);
    size_t length;
    const uint8_t *bytes;
    switch (how & 3) {
    case 0:
        length = input_take(input, how >> 2, &bytes);
        if (length > 0) memcpy(room, bytes, length);
        return (struct text){room, length};
    case 1: {
        unsigned width = widths[how >> 2 & 3];
        uint64_t number = input_number(input, width) << (64 - width * 8);
        int64_t value = (int64_t)number >> (64 - width * 8);
        return (struct text){room, (size_t)sprintf(room, "%lld", (long long)value)};
    }
    default:
        length = input_number(input, 2) % LENGTH_MOST;
        memset(room, how, length);
        return (struct text){room, length};
    }
}

static void insert(struct packed **packed, struct array *array, int at, struct input *input) {
    char room[2][LENGTH_MOST];
    const struct text texts[] = {take_text(input, room[0]), take_text(input, room[1])};
    uint32_t count = 1 + (input_byte(input) & 1), place = packed_at(*packed, at), made;
    if (array->count + (int)count > MOST) return;
    if (count == 1) {
        CHECK(packed_insert(packed, place, texts[0].data, texts[0].length, &made));
        compare_element(*packed, made, texts[0].data, texts[0].length);
    } else {
        CHECK(packed_insert_many(packed, place, texts, count));
    }
    for (uint32_t i = count; i-- > 0;) array_insert(array, at, texts[i]);
}

static void insert_integer(struct packed **packed, struct array *array, int at, struct input *input) {
    char digits[24];
    int64_t value = (int64_t)input_number(input, 8);
    uint32_t made;
    if (array->count == MOST) return;
    CHECK(packed_insert_integer(packed, packed_at(*packed, at), value, &made));
    array_insert(array, at, (struct text){digits, (size_t)sprintf(digits, "%lld", (long long)value)});
    CHECK(made == packed_at(*packed, at));
}

static void replace(struct packed **packed, struct array *array, int at, struct input *input) {
    char room[LENGTH_MOST];
    if (at == array->count) return;
    struct text text = take_text(input, room);
    CHECK(packed_replace(packed, packed_at(*packed, at), text.data, text.length));
    array_remove(array, at);
    array_insert(array, at, text);
}

static void remove_some(struct packed **packed, struct array *array, int at, struct input *input) {
    if (at == array->count) return;
    uint32_t count = input_byte(input), next = packed_remove(packed, packed_at(*packed, at), count);
    for (uint32_t i = 0; i < count && at < array->count; i++) array_remove(array, at);
    CHECK(next == packed_at(*packed, at));
}

static void find(const struct packed *packed, const struct array *array, int at, struct input *input) {
    char room[LENGTH_MOST];
    struct text text = take_text(input, room);
    uint32_t skip = input_byte(input) & 1;
    if (at == array->count) return;
    if ((input_byte(input) & 1) != 0) /* one that is there */
        text = (struct text){array->texts[array->count - 1], array->lengths[array->count - 1]};
    int place = array_find(array, at, text, (int)skip + 1);
    uint32_t found = packed_find(packed, packed_at(packed, at), text.data, text.length, skip);
    CHECK(found == (place < 0 ? PACKED_END : packed_at(packed, place)));
}

static void change(struct packed **packed, struct array *array, struct input *input) {
    uint8_t what = input_byte(input);
    int at = input_byte(input) % (array->count + 1);
    switch (what % 8) {
    case 0:
    case 1:
    case 2: insert(packed, array, at, input); break;
    case 3: insert_integer(packed, array, at, input); break;
    case 4: replace(packed, array, at, input); break;
    case 5: remove_some(packed, array, at, input); break;
    case 6: find(*packed, array, at, input); break;
    default: {
        struct packed *copy = packed_copy(*packed);
        CHECK(copy != NULL);
        free(*packed);
        *packed = copy;
    }
    }
    compare(*packed, array);
}

static void change_all(struct packed *packed, struct array *array, struct input *input) {
    compare(packed, array);
    while (input->at < input->end) change(&packed, array, input);
    while (array->count > 0) array_remove(array, array->count - 1);
    free(packed);
}

/* ------------------------------------------------------------------ what comes from outside */

/* The total length and the end's mark are right: bytes seldom hit upon them. */
static struct packed *frame(const uint8_t *data, size_t length) {
    uint8_t *bytes = malloc(4 + length + 1);
    uint32_t total = (uint32_t)(4 + length + 1);
    CHECK(bytes != NULL);
    memcpy(bytes, &total, sizeof total);
    if (length > 0) memcpy(bytes + 4, data, length);
    bytes[4 + length] = 0xFF;
    return (struct packed *)bytes;
}

static void from_outside(const uint8_t *data, size_t length) {
    struct packed *framed = frame(data, length), *packed;
    struct array array = {.count = 0};
    struct input input = {data, data + length};
    bool is_valid = packed_is_valid(framed, 4 + length + 1);
    packed = is_valid ? packed_copy(framed) : NULL;
    free(framed);
    if (!is_valid) return;
    CHECK(packed != NULL && packed_length(packed) == 4 + length + 1);
    for (uint32_t at = packed_first(packed); at != PACKED_END && array.count < MOST;
         at = packed_next(packed, at)) {
        struct packed_text text;
        packed_get(packed, at, &text);
        array_insert(&array, array.count, (struct text){text.data, text.length});
    }
    if (packed_count(packed) > MOST) packed_remove(&packed, packed_at(packed, MOST), UINT32_MAX);
    change_all(packed, &array, &input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    struct array array = {.count = 0};
    struct input input = {data, data + length};
    from_outside(data, length);
    change_all(packed_create(), &array, &input);
    return 0;
}
