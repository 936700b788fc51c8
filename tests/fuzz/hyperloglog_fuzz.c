/* Any bytes as HyperLogLogs that a client has SET, and the PF* commands on them, in a keyspace as the server
 * has it. Nothing may be read or written out of bounds; what is refused has changed nothing; and of keys that
 * are in order, the registers are those that plain decoders here and a plain maximum say.
 *
 * An input tells first of the keys, then of the commands. */
#include "server/command/command_table.h"
#include "server/commands/commands.h"
#include "server/config/config.h"
#include "shard/latchkey.h"
#include "shard/value/hyperloglog.h"
#include "input.h"

#define KEYS 3
#define ARGUMENTS_MOST 12
#define BYTES_MOST (HLL_DENSE_BYTES + 64)

/* A key's bytes, and what they mean. */
struct image {
    bool is_there, is_right;
    size_t length;
    char bytes[2 * BYTES_MOST];
    uint8_t registers[HLL_REGISTERS];
};

struct trial {
    struct lane *lane;
    struct key keys[KEYS];
    struct image images[KEYS];
};

/* ------------------------------------------------------------------ what bytes mean */

static void raise_to(uint8_t *registers, uint32_t index, uint8_t value) {
    if (value > registers[index]) registers[index] = value;
}

/* Bit by bit. */
static void decode_dense(struct image *image) {
    for (uint32_t i = 0; i < HLL_REGISTERS * 6; i++) {
        uint8_t bit = (uint8_t)image->bytes[HLL_HEADER + i / 8] >> i % 8 & 1;
        image->registers[i / 6] |= (uint8_t)(bit << i % 6);
    }
    image->is_right = true;
}

static void decode_sparse(struct image *image) {
    const uint8_t *at = (const uint8_t *)image->bytes + HLL_HEADER,
                  *end = (const uint8_t *)image->bytes + image->length;
    uint32_t index = 0;
    while (at < end) {
        uint8_t first = *at++, value = 0;
        uint32_t run = (first & 63u) + 1;
        if ((first & 128) != 0) {
            run = (first & 3u) + 1;
            value = (uint8_t)((first >> 2 & 31) + 1);
        } else if ((first & 64) != 0) {
            if (at == end) return;
            run = ((first & 63u) << 8 | *at++) + 1;
        }
        if (index + run > HLL_REGISTERS) return;
        while (run-- > 0) image->registers[index++] = value;
    }
    image->is_right = index == HLL_REGISTERS;
}

static void look(void *context, const struct read_scope *scope) {
    struct trial *trial = context;
    for (int i = 0; i < KEYS; i++) {
        struct image *image = &trial->images[i];
        const struct entry *entry = scope_read(scope, &trial->keys[i]);
        struct string_view view;
        memset(image, 0, sizeof *image);
        image->is_there = entry != NULL;
        image->is_right = entry == NULL;
        if (entry == NULL) continue;
        entry_string(entry, &view);
        CHECK(view.length <= sizeof image->bytes);
        memcpy(image->bytes, view.data, view.length);
        image->length = view.length;
        image->is_right = false;
        if (!hll_is_one(image->bytes, image->length)) continue;
        if (hll_is_dense(image->bytes))
            decode_dense(image);
        else
            decode_sparse(image);
    }
}

/* ------------------------------------------------------------------ keys */

/* Without a header it is hardly ever one, so most get a header, and many the right length. */
static void set_key(struct trial *trial, int number, struct input *input) {
    char bytes[2 * BYTES_MOST] = "HYLL";
    uint8_t how = input_byte(input);
    const uint8_t *taken;
    size_t length;
    if (how % 8 == 0) return;
    length = input_take(input, how % 8 == 1 ? BYTES_MOST : input_number(input, 2) % BYTES_MOST, &taken);
    if (how % 8 == 1) {
        if (length > 0) memcpy(bytes, taken, length);
    } else {
        bytes[4] = how % 8 > 3;
        memset(bytes + 5, 0, HLL_HEADER - 5);
        bytes[HLL_HEADER - 1] = (char)(how & 128); /* whether the count that it keeps is stale */
        if (length > 0) memcpy(bytes + HLL_HEADER, taken, length);
        length += HLL_HEADER;
    }
    if (how % 8 == 2 || how % 8 == 3) {
        for (size_t i = length; i < HLL_DENSE_BYTES; i++)
            bytes[i] = length > HLL_HEADER ? bytes[HLL_HEADER + i % (length - HLL_HEADER)] : (char)how;
        length = HLL_DENSE_BYTES;
    }
    if (how % 8 > 5 && length + 2 < HLL_DENSE_BYTES) { /* the rest of the registers is 0 */
        bytes[length++] = 0x7F;
        bytes[length++] = (char)input_byte(input);
    }
    struct latchkey_item item = {.key = trial->keys[number].data,
                                 .key_length = trial->keys[number].length,
                                 .value = bytes,
                                 .value_length = length};
    CHECK(latchkey_set(trial->lane, &item) == LATCHKEY_OK);
}

/* ------------------------------------------------------------------ commands */

struct request {
    write_function *function;
    struct call call;
    struct bulk arguments[ARGUMENTS_MOST];
    struct key keys[KEYS];
    int numbers[KEYS]; /* of the keys */
    struct reply reply;
};

static void run(void *context, struct write_scope *scope) {
    struct request *request = context;
    request->function(scope, &request->call, &request->reply);
}

static void add_argument(struct request *request, const void *data, size_t length) {
    request->arguments[request->call.count++] =
        (struct bulk){.data = (char *)(uintptr_t)data, .length = length};
}

static void add_key(struct request *request, const struct trial *trial, int number) {
    request->numbers[request->call.key_count] = number;
    request->keys[request->call.key_count++] = trial->keys[number];
    add_argument(request, trial->keys[number].data, trial->keys[number].length);
}

static void ask(struct trial *trial, struct request *request) {
    request->call.arguments = request->arguments;
    request->call.keys = request->keys;
    request->call.keyspace = trial->lane->keyspace;
    request->call.protocol = 2;
    reply_init(&request->reply, 2);
    latchkey_write(trial->lane, request->keys, request->call.key_count, run, request);
    CHECK(request->reply.length > 0);
}

static bool is_refused(const struct request *request) {
    return request->reply.data[0] == '-';
}

static int64_t answer(const struct request *request) {
    CHECK(request->reply.data[0] == ':');
    char digits[24] = ""; /* no zero byte follows the reply */
    size_t length = request->reply.length - 1;
    CHECK(length > 2 && length < sizeof digits);
    memcpy(digits, request->reply.data + 1, length);
    return strtoll(digits, NULL, 10);
}

/* What is refused has changed nothing. */
static void compare_refused(const struct image *before, const struct image *after) {
    for (int i = 0; i < KEYS; i++)
        CHECK(before[i].length == after[i].length &&
              memcmp(before[i].bytes, after[i].bytes, before[i].length) == 0);
}

static void compare_registers(const struct image *image, const uint8_t *registers) {
    CHECK(image->is_right);
    CHECK(memcmp(image->registers, registers, HLL_REGISTERS) == 0);
}

static write_function *function_of(const char *name) {
    const struct bulk whole = {.data = (char *)(uintptr_t)name, .length = strlen(name)};
    return command_find(&whole)->write;
}

static void add(struct trial *trial, struct input *input, const struct image *before) {
    struct request request = {.function = function_of("pfadd")};
    uint8_t registers[HLL_REGISTERS];
    const struct image *mine, *old;
    add_argument(&request, "PFADD", 5);
    add_key(&request, trial, input_byte(input) % KEYS);
    old = &before[request.numbers[0]];
    mine = &trial->images[request.numbers[0]];
    memcpy(registers, old->registers, sizeof registers);
    for (int left = input_byte(input) % 8; left > 0; left--) {
        const uint8_t *element;
        uint8_t rank;
        size_t length = input_take(input, 4, &element);
        uint32_t index = hll_register_of((const char *)element, length, &rank);
        add_argument(&request, element, length);
        raise_to(registers, index, rank);
    }
    ask(trial, &request);
    latchkey_read(trial->lane, trial->keys, KEYS, look, trial);
    if (is_refused(&request)) {
        CHECK(old->is_there && !old->is_right);
        compare_refused(before, trial->images);
    } else if (old->is_right) {
        compare_registers(mine, registers);
        CHECK(answer(&request) ==
              (!old->is_there || memcmp(registers, old->registers, sizeof registers) != 0));
    }
    reply_free(&request.reply);
}

/* Adds one to three keys. Returns whether all are in order, and their registers together. */
static bool add_sources(struct trial *trial, struct input *input, struct request *request,
                        const struct image *before, uint8_t *registers) {
    bool is_right = true;
    for (int left = 1 + input_byte(input) % KEYS; left > 0; left--) {
        int number = input_byte(input) % KEYS;
        add_key(request, trial, number);
        is_right = is_right && before[number].is_right;
        for (uint32_t i = 0; i < HLL_REGISTERS; i++) raise_to(registers, i, before[number].registers[i]);
    }
    return is_right;
}

static void count(struct trial *trial, struct input *input, const struct image *before) {
    struct request request = {.function = function_of("pfcount")};
    uint8_t registers[HLL_REGISTERS] = {0};
    uint64_t kept;
    add_argument(&request, "PFCOUNT", 7);
    bool is_right = add_sources(trial, input, &request, before, registers);
    const struct image *first = &before[request.numbers[0]];
    bool is_kept = request.call.key_count == 1 && hll_is_one(first->bytes, first->length) &&
                   hll_cached(first->bytes, &kept);
    ask(trial, &request);
    latchkey_read(trial->lane, trial->keys, KEYS, look, trial);
    CHECK(is_refused(&request) == (!is_right && !is_kept));
    if (is_refused(&request))
        compare_refused(before, trial->images);
    else
        CHECK(answer(&request) == (int64_t)(is_kept ? kept : hll_count(registers)));
    for (int i = 0; i < KEYS; i++)
        if (before[i].is_right) compare_registers(&trial->images[i], before[i].registers);
    reply_free(&request.reply);
}

static void merge(struct trial *trial, struct input *input, const struct image *before) {
    struct request request = {.function = function_of("pfmerge")};
    uint8_t registers[HLL_REGISTERS] = {0};
    add_argument(&request, "PFMERGE", 7);
    bool is_right = add_sources(trial, input, &request, before, registers);
    ask(trial, &request);
    latchkey_read(trial->lane, trial->keys, KEYS, look, trial);
    CHECK(is_refused(&request) == !is_right);
    if (is_refused(&request))
        compare_refused(before, trial->images);
    else
        compare_registers(&trial->images[request.numbers[0]], registers);
    reply_free(&request.reply);
}

static void debug(struct trial *trial, struct input *input, const struct image *before) {
    static const char *const names[4] = {"ENCODING", "DECODE", "GETREG", "TODENSE"};
    struct request request = {.function = function_of("pfdebug")};
    const char *name = names[input_byte(input) % 4];
    int number = input_byte(input) % KEYS;
    add_argument(&request, "PFDEBUG", 7);
    add_argument(&request, name, strlen(name));
    add_key(&request, trial, number);
    ask(trial, &request);
    latchkey_read(trial->lane, trial->keys, KEYS, look, trial);
    if (is_refused(&request)) compare_refused(before, trial->images);
    if (before[number].is_right) compare_registers(&trial->images[number], before[number].registers);
    reply_free(&request.reply);
}

static void command(struct trial *trial, struct input *input) {
    static struct image before[KEYS];
    uint8_t what = input_byte(input);
    memcpy(before, trial->images, sizeof before);
    switch (what % 8) {
    case 0:
    case 1:
    case 2: add(trial, input, before); break;
    case 3:
    case 4: count(trial, input, before); break;
    case 5:
    case 6: merge(trial, input, before); break;
    default: debug(trial, input, before);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    static const char *const names[KEYS] = {"a", "b", "c"};
    static const int64_t limits[4] = {3000, 100, 20, 0};
    static struct trial trial;
    struct input input = {data, data + length};
    if (trial.lane == NULL) {
        commands_register();
        struct keyspace *keyspace = keyspace_open(&(struct keyspace_options){.shards = 4});
        CHECK(keyspace != NULL);
        trial.lane = lane_attach(keyspace);
        CHECK(trial.lane != NULL);
        for (int i = 0; i < KEYS; i++) trial.keys[i] = keyspace_key(keyspace, 0, names[i], 1);
    }
    atomic_store(&config.hll_sparse_max_bytes, limits[input_byte(&input) % 4]);
    for (int i = 0; i < KEYS; i++) {
        set_key(&trial, i, &input);
    }
    latchkey_read(trial.lane, trial.keys, KEYS, look, &trial);
    for (int steps = 0; input.at < input.end && steps < 40; steps++) command(&trial, &input);
    /* A leak detector doesn't see through a table's slots. */
    for (int i = 0; i < KEYS; i++) latchkey_delete(trial.lane, names[i], 1);
    latchkey_idle(trial.lane, 100);
    return 0;
}
