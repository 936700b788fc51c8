/* Histories of the embedded engine and of real connections are linearizable (tests/history.h):
 * several players ask for the same few keys in rounds, and after each round check what they were
 * answered. Meanwhile tables grow and shrink, the gate closes, memory is reclaimed. Lists and sets
 * are played with on connections only, with thresholds that have them change their form often; and so are
 * transactions and scripts, each of which happens at one moment.
 *
 *     HISTORY_SECONDS=120 history_test     default 16, shared by the engine's and those of strings on
 *                                          connections; the others get 1/4 as much
 *     SEED=... history_test                the same choices again
 *     TEST='*engine*' history_test         only that one
 *
 * A value is a number, stored as one of several texts, so that every encoding and every way to
 * change one in place is met; what is read must be one of these texts to the last byte. */
#include "tests/engine.h"
#include "tests/history.h"
#include "tests/support.h"

#include <sched.h>

#define HISTORIES 18
#define SINGLES 12 /* histories of one key; the others have 2 to HISTORY_KEYS */
#define PLAYERS_MOST 8
#define ROUND SCALED(4096, 1024)
#define PIPELINE_MOST 8
#define STEPS_MOST 4 /* of a transaction that is chosen at once; it may be part of another */

struct player {
    pthread_t thread;
    struct world *world;
    size_t number;
    uint64_t random, written;
    char *text, *other; /* room for STEPS_MOST values, and for one */
    /* Of this round's transactions. */
    struct operation *steps;
    size_t step_count;
    struct lane *lane; /* of the engine, or */
    redisContext *connection;
};

/* What is played with, and by how many. */
struct world {
    void (*open)(struct player *player);
    void (*step)(struct player *player);
    void (*close)(struct player *player);
    struct operation (*choose)(struct player *player, size_t which);
    size_t players, pipeline;
    int weight; /* how many operations a step is for its round */
    struct keyspace *keyspace;
    struct server *server;
    struct history *histories[HISTORIES];
    size_t key_count[HISTORIES];
    char names[HISTORIES][HISTORY_KEYS][16];
    const char *name_of[HISTORIES][HISTORY_KEYS];
    struct key keys[HISTORIES][HISTORY_KEYS]; /* for the engine */
    pthread_barrier_t barrier;
    _Atomic size_t next_check;
    _Atomic size_t hot; /* the history that half of this round's operations belong to */
    atomic_bool is_over, is_violated;
    _Atomic uint64_t kept, refused; /* EXECs with WATCH */
    int64_t ends_at;
};

/* How often a transaction that is refused is tried: a round has room for these many. */
#define TRIES_MOST 4
#define STEPS_A_ROUND ((size_t)ROUND / TRIES_MOST * 2 * STEPS_MOST)

/* ------------------------------------------------------------------ values as texts */

#define FORM_SHORT 4
#define FORM_LONGER 5
#define FORM_APART 6
#define FORM_OWN 7 /* the engine: changed in place by plain stores; the server: a large one */
#define VALUE_MOST 20000

static size_t value_length(const struct player *player, int64_t value) {
    switch (history_form(value)) {
    case FORM_SHORT: return 30;
    case FORM_LONGER: return 100;
    case FORM_APART: return 520;
    case FORM_OWN: return player->lane != NULL ? 60 : VALUE_MOST;
    default: return 0; /* as long as its digits */
    }
}

static size_t value_write(const struct player *player, int64_t value, char *text) {
    size_t length = (size_t)snprintf(text, 32, "%lld", (long long)value),
           wanted = value_length(player, value);
    if (wanted == 0) return length;
    /* The number again and again, so that every word of it tells. */
    text[length++] = ':';
    for (size_t part = length; length < wanted; length++) text[length] = text[length - part];
    return wanted;
}

static int64_t value_read(struct player *player, const char *text, size_t length) {
    char digits[24] = {0};
    if (length > VALUE_MOST) return HISTORY_GARBAGE;
    memcpy(digits, text, length < sizeof digits - 1 ? length : sizeof digits - 1);
    int64_t value = strtoll(digits, NULL, 10);
    if (value_write(player, value, player->other) != length || memcmp(text, player->other, length) != 0)
        return HISTORY_GARBAGE;
    return value;
}

/* Never the same twice; and a number that Lua has, which are those of 53 bits. */
static int64_t value_choose(struct player *player) {
    static const unsigned forms[16] = {
        0,          0,          0,           0,           0,           0,           0,          FORM_SHORT,
        FORM_SHORT, FORM_SHORT, FORM_LONGER, FORM_LONGER, FORM_LONGER, FORM_LONGER, FORM_APART, FORM_OWN};
    unsigned form = forms[random_below(&player->random, 16)];
    if (form == FORM_OWN && player->lane == NULL && random_below(&player->random, 8) != 0) form = FORM_SHORT;
    return (int64_t)(((uint64_t)player->number << 29 | ++player->written) << 19 | (uint64_t)form << 16);
}

/* ------------------------------------------------------------------ what to ask */

static uint8_t choose_keys(struct player *player, size_t count, uint64_t least) {
    uint64_t keys;
    do keys = random_below(&player->random, UINT64_C(1) << count);
    while ((uint64_t)__builtin_popcountll(keys) < least);
    return (uint8_t)keys;
}

static size_t choose_history(struct player *player) {
    if (random_below(&player->random, 2) == 0)
        return atomic_load_explicit(&player->world->hot, memory_order_relaxed);
    return random_below(&player->random, HISTORIES);
}

static struct operation choose_of_strings(struct player *player, size_t which) {
    static const uint8_t singles[20] = {
        OPERATION_GET,        OPERATION_GET,  OPERATION_GET,    OPERATION_GET,    OPERATION_GET,
        OPERATION_GET,        OPERATION_GET,  OPERATION_GET,    OPERATION_GET,    OPERATION_SET,
        OPERATION_SET,        OPERATION_SET,  OPERATION_SET_NX, OPERATION_SET_XX, OPERATION_SET_GET,
        OPERATION_SET_NX_GET, OPERATION_INCR, OPERATION_INCR,   OPERATION_DEL,    OPERATION_EXPIRE};
    static const uint8_t several[10] = {OPERATION_MGET, OPERATION_MGET, OPERATION_MGET, OPERATION_MGET,
                                        OPERATION_MSET, OPERATION_MSET, OPERATION_MSET, OPERATION_RENAME,
                                        OPERATION_DEL,  OPERATION_MGET};
    struct operation operation = {.argument = 0};
    size_t count = player->world->key_count[which];
    bool is_single = count == 1 || random_below(&player->random, 3) == 0;
    operation.kind =
        is_single ? singles[random_below(&player->random, 20)] : several[random_below(&player->random, 10)];
    operation.keys = (uint8_t)(1u << random_below(&player->random, count));
    if (operation.kind == OPERATION_RENAME) {
        unsigned from = (unsigned)__builtin_ctz(operation.keys);
        operation.target = (uint8_t)((from + 1 + random_below(&player->random, count - 1)) % count);
    } else if (!is_single) {
        operation.keys = choose_keys(player, count, 2);
    }
    operation.argument = value_choose(player);
    return operation;
}

/* A list's elements are all different. A bit more is taken than put, or they would grow for ever. */
static struct operation choose_of_list(struct player *player, unsigned key, unsigned target) {
    static const uint8_t kinds[16] = {OPERATION_LPUSH, OPERATION_LPUSH, OPERATION_LPUSH, OPERATION_RPUSH,
                                      OPERATION_RPUSH, OPERATION_RPUSH, OPERATION_LPOP,  OPERATION_LPOP,
                                      OPERATION_LPOP,  OPERATION_RPOP,  OPERATION_RPOP,  OPERATION_RPOP,
                                      OPERATION_RPOP,  OPERATION_LMOVE, OPERATION_LMOVE, OPERATION_LMOVE};
    struct operation operation = {
        .kind = kinds[random_below(&player->random, 16)],
        .keys = (uint8_t)(1u << key),
        .target = (uint8_t)target,
    };
    operation.argument =
        operation.kind == OPERATION_LMOVE ? (int64_t)random_below(&player->random, 4) : value_choose(player);
    return operation;
}

/* One of a few that a set may have: three integers, then texts, the last of them too long for a
 * packed form. */
static int64_t member_choose(struct player *player) {
    static const unsigned forms[6] = {0, 0, 0, FORM_SHORT, FORM_SHORT, FORM_LONGER};
    uint64_t number = random_below(&player->random, 6);
    return (int64_t)(number << 19 | (uint64_t)forms[number] << 16);
}

static struct operation choose_of_set(struct player *player, unsigned key, unsigned target) {
    static const uint8_t kinds[16] = {
        OPERATION_SADD,      OPERATION_SADD,      OPERATION_SADD,      OPERATION_SADD,
        OPERATION_SADD,      OPERATION_SREM,      OPERATION_SREM,      OPERATION_SISMEMBER,
        OPERATION_SISMEMBER, OPERATION_SISMEMBER, OPERATION_SISMEMBER, OPERATION_SISMEMBER,
        OPERATION_SPOP,      OPERATION_SPOP,      OPERATION_SMOVE,     OPERATION_SMOVE};
    return (struct operation){
        .kind = kinds[random_below(&player->random, 16)],
        .keys = (uint8_t)(1u << key),
        .target = (uint8_t)target,
        .argument = member_choose(player),
    };
}

/* Every other history is one of lists. */
static struct operation choose_of_collections(struct player *player, size_t which) {
    size_t count = player->world->key_count[which];
    unsigned key = (unsigned)random_below(&player->random, count);
    unsigned target = (unsigned)random_below(&player->random, count);
    if (random_below(&player->random, 64) == 0) {
        uint8_t keys = choose_keys(player, count, 1);
        return (struct operation){.kind = OPERATION_DEL, .keys = keys};
    }
    return which % 2 == 0 ? choose_of_list(player, key, target) : choose_of_set(player, key, target);
}

/* ------------------------------------------------------------------ asking the engine */

/* One operation inside a scope. */
struct work {
    struct player *player;
    const struct key *keys;
    struct operation *operation;
};

static int64_t entry_number(struct player *player, const struct entry *entry) {
    struct string_view view;
    if (entry == NULL) return HISTORY_ABSENT;
    entry_string(entry, &view);
    return value_read(player, view.data, view.length);
}

static void read_some(void *context, const struct read_scope *scope) {
    struct work *work = context;
    for (unsigned i = 0; i < HISTORY_KEYS; i++)
        if ((work->operation->keys >> i & 1) != 0) {
            int64_t value = entry_number(work->player, scope_read(scope, &work->keys[i]));
            if (work->operation->kind == OPERATION_GET)
                work->operation->result = value;
            else
                work->operation->values[i] = value;
        }
}

static void put_value(struct player *player, struct edit *edit, int64_t value) {
    size_t length = value_write(player, value, player->text);
    if (history_form(value) == FORM_OWN &&
        (edit->entry == NULL || entry_string_length(edit->entry) <= length)) {
        char *data = edit_stretch_string(edit, length);
        CHECK(data != NULL);
        memcpy(data, player->text, length);
    } else {
        CHECK(edit_put_string(edit, player->text, length, NULL, false));
    }
}

static void write_one(struct work *work, struct write_scope *scope, unsigned key) {
    struct edit edit;
    struct operation *operation = work->operation;
    scope_edit(scope, &work->keys[key], &edit);
    bool is_present = edit.entry != NULL;
    enum event event = EVENT_SET;
    switch (operation->kind) {
    case OPERATION_SET_NX_GET:
    case OPERATION_SET_GET:
        operation->result = entry_number(work->player, edit.entry);
        if (is_present && operation->kind == OPERATION_SET_NX_GET) break;
        put_value(work->player, &edit, operation->argument);
        break;
    case OPERATION_SET:
    case OPERATION_MSET: put_value(work->player, &edit, operation->argument); break;
    case OPERATION_DEL:
        operation->result += is_present;
        edit_remove(&edit);
        event = EVENT_DEL;
        break;
    case OPERATION_EXPIRE: /* it stays as a dead entry: whoever comes next must find it absent */
        operation->result = is_present;
        event = EVENT_EXPIRE;
        if (is_present) CHECK(edit_set_expiry(&edit, 1));
        break;
    default: CHECK(false);
    }
    if (edit.is_changed)
        scope_changed(&edit, event);
    else
        scope_unchanged(&edit);
}

static void rename_one(struct work *work, struct write_scope *scope) {
    const struct read_scope reading = {scope->scope};
    struct operation *operation = work->operation;
    const struct key *from = &work->keys[__builtin_ctz(operation->keys)];
    const struct entry *source = scope_peek(&reading, from);
    struct edit edit;
    operation->result = source != NULL;
    if (source == NULL) return;
    scope_edit(scope, &work->keys[operation->target], &edit);
    CHECK(edit_put_copy(&edit, source));
    scope_changed(&edit, EVENT_RENAME_TO);
    scope_edit(scope, from, &edit);
    edit_remove(&edit);
    scope_changed(&edit, EVENT_RENAME_FROM);
}

static void write_some(void *context, struct write_scope *scope) {
    struct work *work = context;
    if (work->operation->kind == OPERATION_RENAME) {
        rename_one(work, scope);
        return;
    }
    for (unsigned i = 0; i < HISTORY_KEYS; i++)
        if ((work->operation->keys >> i & 1) != 0) write_one(work, scope, i);
}

static size_t keys_of(const struct operation *operation, const struct key *keys, struct key *few) {
    unsigned set = operation->keys | (operation->kind == OPERATION_RENAME ? 1u << operation->target : 0);
    size_t count = 0;
    for (unsigned i = 0; i < HISTORY_KEYS; i++)
        if ((set >> i & 1) != 0) few[count++] = keys[i];
    return count;
}

static void read_by_look(struct work *work, const struct key *few, size_t count) {
    struct lane *lane = work->player->lane;
    struct read_scope scope;
    struct look look;
    lane_enter_waiting(lane);
    scope_look(&scope, lane, &look, (int64_t)time(NULL) * 1000);
    read_some(work, &scope);
    bool is_sound = scope_end_look(&scope);
    lane_leave(lane);
    if (!is_sound) latchkey_read(lane, few, count, read_some, work);
}

static void ask_engine_for(struct work *work, const struct key *key) {
    struct player *player = work->player;
    struct operation *operation = work->operation;
    bool is_plain = random_below(&player->random, 2) == 0; /* by latchkey_..., or by a scope */
    struct latchkey_item item = {.key = key->data, .key_length = key->length, .value = player->text};
    struct key few[HISTORY_KEYS];
    size_t count = keys_of(operation, work->keys, few);
    ssize_t length;
    enum latchkey_result result;
    switch (operation->kind) {
    case OPERATION_SET:
        if (!is_plain) break;
        item.value_length = value_write(player, operation->argument, player->text);
        CHECK(latchkey_set(player->lane, &item) == LATCHKEY_OK);
        return;
    case OPERATION_SET_NX:
    case OPERATION_SET_XX:
        item.only_if_absent = operation->kind == OPERATION_SET_NX;
        item.only_if_present = operation->kind == OPERATION_SET_XX;
        item.value_length = value_write(player, operation->argument, player->text);
        operation->result = latchkey_set(player->lane, &item) == LATCHKEY_OK;
        return;
    case OPERATION_INCR:
        result = latchkey_increment(player->lane, key->data, key->length, 1, &operation->result);
        CHECK(result == LATCHKEY_OK || result == LATCHKEY_WRONG_TYPE);
        if (result == LATCHKEY_WRONG_TYPE) operation->result = HISTORY_REFUSED;
        return;
    case OPERATION_GET:
        if (!is_plain) break;
        length = latchkey_get(player->lane, key->data, key->length, player->text, VALUE_MOST);
        operation->result = length < 0 ? HISTORY_ABSENT : value_read(player, player->text, (size_t)length);
        return;
    case OPERATION_MGET:
        if (is_plain)
            read_by_look(work, few, count);
        else
            latchkey_read(player->lane, few, count, read_some, work);
        return;
    default: break;
    }
    if (operation->kind == OPERATION_GET)
        latchkey_read(player->lane, few, count, read_some, work);
    else
        latchkey_write(player->lane, few, count, write_some, work);
}

/* Others' keys in the same shards, in waves, so that tables grow and shrink. */
static void disturb(struct player *player) {
    uint64_t chance = random_below(&player->random, 4096);
    char name[32];
    uint64_t wave = player->written / 4000, each = random_below(&player->random, 4000);
    size_t length =
        (size_t)snprintf(name, sizeof name, "passing:%zu:%llu", player->number, (unsigned long long)each);
    if (wave % 2 != 0)
        latchkey_delete(player->lane, name, length);
    else
        latchkey_set(player->lane,
                     &(struct latchkey_item){
                         .key = name, .key_length = length, .value = name, .value_length = length});
    if (chance < 64) latchkey_idle(player->lane, 20);
    if (chance != 0) return;
    struct holding holding;
    hold_all(&holding, player->lane, 1);
    hold_all_end(&holding);
}

static void step_engine(struct player *player) {
    struct world *world = player->world;
    size_t which = choose_history(player);
    struct operation what = world->choose(player, which);
    const struct key *key = &world->keys[which][__builtin_ctz(what.keys)];
    struct work work = {.player = player, .keys = world->keys[which]};
    work.operation = history_begin(world->histories[which], player->number, &what);
    /* Not for what enters the gate itself. */
    bool is_visit = what.kind != OPERATION_MGET && random_below(&player->random, 4) == 0;
    if (is_visit) latchkey_enter(player->lane);
    ask_engine_for(&work, key);
    if (is_visit) latchkey_leave(player->lane);
    history_end(work.operation);
    if (random_below(&player->random, 8) == 0) disturb(player);
}

static void open_engine(struct player *player) {
    player->lane = lane_attach(player->world->keyspace);
    CHECK(player->lane != NULL);
}

static void close_engine(struct player *player) {
    lane_detach(player->lane);
}

/* ------------------------------------------------------------------ asking the server */

#define WORDS_OF_ONE (1 + 2 * HISTORY_KEYS + 2)
#define WORDS_MOST (8 + HISTORY_KEYS + STEPS_MOST * (1 + WORDS_OF_ONE))

struct words {
    const char *words[WORDS_MOST];
    size_t lengths[WORDS_MOST];
    int count;
};

static void say(struct words *words, const char *text, size_t length) {
    words->words[words->count] = text;
    words->lengths[words->count++] = length;
}

static void say_word(struct words *words, const char *word) {
    say(words, word, strlen(word));
}

/* What of an operation is sent behind the keys, or behind each of them. */
enum wording { PLAIN, WITH_VALUE, WITH_TARGET, WITH_TARGET_AND_VALUE, WITH_TARGET_AND_ENDS };

/* Behind what is said already. text: room for a value. */
static void say_operation(const struct player *player, size_t which, const struct operation *operation,
                          char *text, struct words *words) {
    static const struct {
        const char *name;
        enum wording wording;
        const char *options[2];
    } kinds[OPERATION_KINDS] = {
        [OPERATION_GET] = {"GET", PLAIN, {NULL}},
        [OPERATION_SET] = {"SET", WITH_VALUE, {NULL}},
        [OPERATION_SET_NX] = {"SET", WITH_VALUE, {"NX"}},
        [OPERATION_SET_XX] = {"SET", WITH_VALUE, {"XX"}},
        [OPERATION_SET_GET] = {"SET", WITH_VALUE, {"GET"}},
        [OPERATION_SET_NX_GET] = {"SET", WITH_VALUE, {"NX", "GET"}},
        [OPERATION_INCR] = {"INCR", PLAIN, {NULL}},
        [OPERATION_DEL] = {"DEL", PLAIN, {NULL}},
        [OPERATION_EXPIRE] = {"PEXPIREAT", PLAIN, {"1"}},
        [OPERATION_MSET] = {"MSET", WITH_VALUE, {NULL}},
        [OPERATION_MGET] = {"MGET", PLAIN, {NULL}},
        [OPERATION_RENAME] = {"RENAME", WITH_TARGET, {NULL}},
        [OPERATION_LPUSH] = {"LPUSH", WITH_VALUE, {NULL}},
        [OPERATION_RPUSH] = {"RPUSH", WITH_VALUE, {NULL}},
        [OPERATION_LPOP] = {"LPOP", PLAIN, {NULL}},
        [OPERATION_RPOP] = {"RPOP", PLAIN, {NULL}},
        [OPERATION_LMOVE] = {"LMOVE", WITH_TARGET_AND_ENDS, {NULL}},
        [OPERATION_SADD] = {"SADD", WITH_VALUE, {NULL}},
        [OPERATION_SREM] = {"SREM", WITH_VALUE, {NULL}},
        [OPERATION_SISMEMBER] = {"SISMEMBER", WITH_VALUE, {NULL}},
        [OPERATION_SPOP] = {"SPOP", PLAIN, {NULL}},
        [OPERATION_SMOVE] = {"SMOVE", WITH_TARGET_AND_VALUE, {NULL}},
    };
    static const char *const ends[2] = {"LEFT", "RIGHT"};
    const char *const *keys = player->world->name_of[which];
    enum wording wording = kinds[operation->kind].wording;
    size_t length = 0;
    if (wording == WITH_VALUE || wording == WITH_TARGET_AND_VALUE)
        length = value_write(player, operation->argument, text);
    say_word(words, kinds[operation->kind].name);
    for (unsigned i = 0; i < HISTORY_KEYS; i++) {
        if ((operation->keys >> i & 1) == 0) continue;
        say_word(words, keys[i]);
        if (wording == WITH_VALUE) say(words, text, length);
    }
    if (wording >= WITH_TARGET) say_word(words, keys[operation->target]);
    if (wording == WITH_TARGET_AND_VALUE) say(words, text, length);
    if (wording == WITH_TARGET_AND_ENDS) {
        say_word(words, ends[(operation->argument & HISTORY_FROM_END) != 0]);
        say_word(words, ends[(operation->argument & HISTORY_TO_END) != 0]);
    }
    for (size_t i = 0; i < 2 && kinds[operation->kind].options[i] != NULL; i++)
        say_word(words, kinds[operation->kind].options[i]);
}

static void send_words(struct player *player, struct words *words) {
    CHECK(redisAppendCommandArgv(player->connection, words->count, words->words, words->lengths) == REDIS_OK);
    words->count = 0;
}

static void send_word(struct player *player, const char *word) {
    struct words words = {.count = 0};
    say_word(&words, word);
    send_words(player, &words);
}

static void send_operation(struct player *player, size_t which, const struct operation *operation) {
    struct words words = {.count = 0};
    say_operation(player, which, operation, player->text, &words);
    send_words(player, &words);
}

static int64_t reply_value(struct player *player, const redisReply *reply) {
    if (reply->type == REDIS_REPLY_NIL) return HISTORY_ABSENT;
    return reply->type == REDIS_REPLY_STRING ? value_read(player, reply->str, reply->len) : HISTORY_GARBAGE;
}

static void take_reply(struct player *player, struct operation *operation, const redisReply *reply) {
    bool is_error = reply->type == REDIS_REPLY_ERROR;
    switch (operation->kind) {
    case OPERATION_GET:
    case OPERATION_SET_GET:
    case OPERATION_SET_NX_GET:
    case OPERATION_LPOP:
    case OPERATION_RPOP:
    case OPERATION_LMOVE:
    case OPERATION_SPOP: operation->result = reply_value(player, reply); break;
    case OPERATION_SET_NX:
    case OPERATION_SET_XX:
        CHECK(reply->type == REDIS_REPLY_NIL || reply->type == REDIS_REPLY_STATUS);
        operation->result = reply->type == REDIS_REPLY_STATUS;
        break;
    case OPERATION_INCR:
        CHECK(is_error ? strstr(reply->str, "not an integer") != NULL : reply->type == REDIS_REPLY_INTEGER);
        operation->result = is_error ? HISTORY_REFUSED : reply->integer;
        break;
    case OPERATION_DEL:
    case OPERATION_EXPIRE:
    case OPERATION_LPUSH:
    case OPERATION_RPUSH:
    case OPERATION_SADD:
    case OPERATION_SREM:
    case OPERATION_SISMEMBER:
    case OPERATION_SMOVE:
        CHECK(reply->type == REDIS_REPLY_INTEGER);
        operation->result = reply->integer;
        break;
    case OPERATION_MGET:
        CHECK(reply->type == REDIS_REPLY_ARRAY &&
              reply->elements == (size_t)__builtin_popcount(operation->keys));
        for (unsigned i = 0, next = 0; i < HISTORY_KEYS; i++)
            if ((operation->keys >> i & 1) != 0)
                operation->values[i] = reply_value(player, reply->element[next++]);
        break;
    case OPERATION_RENAME:
        CHECK(is_error ? strstr(reply->str, "no such key") != NULL : reply->type == REDIS_REPLY_STATUS);
        operation->result = !is_error;
        break;
    default: CHECK(reply->type == REDIS_REPLY_STATUS);
    }
}

static redisReply *next_reply(struct player *player) {
    redisReply *reply = NULL;
    if (redisGetReply(player->connection, (void **)&reply) == REDIS_OK) return reply;
    fprintf(stderr, "the server has gone: %s\n", player->connection->errstr);
    abort();
}

static void step_server(struct player *player) {
    struct world *world = player->world;
    struct operation *operations[PIPELINE_MOST];
    size_t count = 1 + random_below(&player->random, world->pipeline);
    for (size_t i = 0; i < count; i++) {
        size_t which = choose_history(player);
        struct operation what = world->choose(player, which);
        send_operation(player, which, &what);
        operations[i] = history_begin(world->histories[which], player->number, &what);
    }
    for (size_t i = 0; i < count; i++) {
        redisReply *reply = next_reply(player);
        take_reply(player, operations[i], reply);
        history_end(operations[i]);
        freeReplyObject(reply);
    }
}

/* ------------------------------------------------------------------ several at one moment */

/* Runs each of its arguments' commands, of which it is told the number of words. */
static const char script[] = "local answers, at = {}, 1 "
                             "while ARGV[at] do "
                             "local count = tonumber(ARGV[at]) "
                             "answers[#answers + 1] = redis.pcall(unpack(ARGV, at + 1, at + count)) "
                             "at = at + count + 1 "
                             "end "
                             "return answers";

static bool is_reading(const struct operation *operation) {
    return operation->kind == OPERATION_GET || operation->kind == OPERATION_MGET;
}

/* Behind those that the transaction has. */
static void choose_steps(struct player *player, size_t which, size_t count, bool only_read,
                         struct operation *transaction) {
    for (size_t i = 0; i < count; i++) {
        struct operation step;
        do step = choose_of_strings(player, which);
        while (only_read && !is_reading(&step));
        ((struct operation *)(uintptr_t)transaction->steps)[transaction->argument++] = step;
    }
}

static void transaction_begin(struct player *player, struct operation *transaction) {
    *transaction = (struct operation){.kind = OPERATION_TRANSACTION, .keys = 1};
    transaction->steps = &player->steps[player->step_count];
}

static void send_step(struct player *player, size_t which, const struct operation *transaction,
                      int64_t step) {
    send_operation(player, which, &transaction->steps[step]);
}

/* From the step on, whose keys are declared or not. */
static void send_script(struct player *player, size_t which, const struct operation *transaction,
                        int64_t from, bool only_reads) {
    struct words words = {.count = 0};
    char numbers[STEPS_MOST][16], number[16];
    size_t declared = random_below(&player->random, 2) == 0 ? player->world->key_count[which] : 0;
    say_word(&words, only_reads ? "EVAL_RO" : "EVAL");
    say_word(&words, script);
    snprintf(number, sizeof number, "%zu", declared);
    say_word(&words, number);
    for (size_t i = 0; i < declared; i++) say_word(&words, player->world->name_of[which][i]);
    for (int64_t i = from; i < transaction->argument; i++) {
        int place = words.count;
        say_word(&words, "");
        say_operation(player, which, &transaction->steps[i], player->text + (i - from) * (VALUE_MOST + 64),
                      &words);
        snprintf(numbers[i - from], sizeof numbers[0], "%d", words.count - place - 1);
        words.words[place] = numbers[i - from];
        words.lengths[place] = strlen(numbers[i - from]);
    }
    send_words(player, &words);
}

static void take_steps(struct player *player, const struct operation *transaction, int64_t from,
                       redisReply *const *replies, size_t count) {
    for (size_t i = 0; i < count; i++)
        take_reply(player, (struct operation *)(uintptr_t)&transaction->steps[from + (int64_t)i], replies[i]);
}

/* So many answers of no interest, and the one behind them. */
static redisReply *reply_behind(struct player *player, int64_t queued) {
    for (int64_t i = 0; i < queued; i++) {
        redisReply *reply = next_reply(player);
        CHECK(reply->type == REDIS_REPLY_STATUS);
        freeReplyObject(reply);
    }
    return next_reply(player);
}

static void record(struct player *player, struct operation *recorded, const struct operation *transaction) {
    recorded->argument = transaction->argument;
    history_end(recorded);
    player->step_count += (size_t)transaction->argument;
}

/* MULTI, some commands, EXEC; the last of them may be a script that does the rest. */
static void play_transaction(struct player *player, size_t which) {
    struct history *history = player->world->histories[which];
    struct operation what;
    bool only_reads = random_below(&player->random, 4) == 0,
         has_script = random_below(&player->random, 3) == 0;
    transaction_begin(player, &what);
    int64_t plain = (int64_t)random_below(&player->random, STEPS_MOST) + !has_script;
    choose_steps(player, which, (size_t)plain, only_reads, &what);
    if (has_script)
        choose_steps(player, which, 1 + random_below(&player->random, STEPS_MOST - 1), only_reads, &what);
    send_word(player, "MULTI");
    for (int64_t i = 0; i < plain; i++) send_step(player, which, &what, i);
    if (has_script) send_script(player, which, &what, plain, only_reads);
    send_word(player, "EXEC");
    struct operation *recorded = history_begin(history, player->number, &what);
    redisReply *reply = reply_behind(player, 1 + plain + has_script);
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == (size_t)plain + has_script);
    take_steps(player, &what, 0, reply->element, (size_t)plain);
    if (has_script) {
        const redisReply *inner = reply->element[plain];
        CHECK(inner->type == REDIS_REPLY_ARRAY && inner->elements == (size_t)(what.argument - plain));
        take_steps(player, &what, plain, inner->element, inner->elements);
    }
    freeReplyObject(reply);
    record(player, recorded, &what);
}

static void play_script(struct player *player, size_t which) {
    struct history *history = player->world->histories[which];
    struct operation what;
    bool only_reads = random_below(&player->random, 4) == 0;
    transaction_begin(player, &what);
    choose_steps(player, which, 1 + random_below(&player->random, STEPS_MOST), only_reads, &what);
    send_script(player, which, &what, 0, only_reads);
    struct operation *recorded = history_begin(history, player->number, &what);
    redisReply *reply = next_reply(player);
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == (size_t)what.argument);
    take_steps(player, &what, 0, reply->element, reply->elements);
    freeReplyObject(reply);
    record(player, recorded, &what);
}

static void watch_and_get(struct player *player, size_t which, const struct operation *get) {
    struct words words = {.count = 0};
    say_word(&words, "WATCH");
    for (unsigned i = 0; i < HISTORY_KEYS; i++)
        if ((get->keys >> i & 1) != 0) say_word(&words, player->world->name_of[which][i]);
    send_words(player, &words);
    send_operation(player, which, get);
}

/* What is read of keys that are watched is read again, as it were, when EXEC is: else that does nothing, and
 * all begins again. */
static void play_watching(struct player *player, size_t which) {
    struct history *history = player->world->histories[which];
    size_t count = player->world->key_count[which];
    bool is_done = false;
    for (int tries = 0; tries < TRIES_MOST && !is_done; tries++) {
        struct operation what, *recorded, *steps = &player->steps[player->step_count];
        transaction_begin(player, &what);
        steps[what.argument++] =
            (struct operation){.kind = OPERATION_MGET, .keys = choose_keys(player, count, 1)};
        choose_steps(player, which, 1 + random_below(&player->random, STEPS_MOST - 1), false, &what);
        watch_and_get(player, which, &what.steps[0]);
        redisReply *reply = reply_behind(player, 1);
        take_steps(player, &what, 0, &reply, 1);
        freeReplyObject(reply);
        send_word(player, "MULTI");
        for (int64_t i = 1; i < what.argument; i++) send_step(player, which, &what, i);
        send_word(player, "EXEC");
        recorded = history_begin(history, player->number, &what);
        reply = reply_behind(player, what.argument);
        is_done = reply->type == REDIS_REPLY_ARRAY;
        CHECK(is_done || reply->type == REDIS_REPLY_NIL);
        atomic_fetch_add(is_done ? &player->world->kept : &player->world->refused, 1);
        if (is_done)
            take_steps(player, &what, 1, reply->element, reply->elements);
        else
            what.argument = 0;
        freeReplyObject(reply);
        record(player, recorded, &what);
    }
}

/* A quarter of what is asked are single commands. */
static void step_transactions(struct player *player) {
    size_t which = choose_history(player);
    switch (random_below(&player->random, 4)) {
    case 0: step_server(player); break;
    case 1: play_transaction(player, which); break;
    case 2: play_watching(player, which); break;
    default: play_script(player, which);
    }
}

static void open_connection(struct player *player) {
    player->connection = server_connect(player->world->server);
}

static void close_connection(struct player *player) {
    redisFree(player->connection);
}

/* ------------------------------------------------------------------ rounds */

static void check_some(struct world *world) {
    for (size_t which; (which = atomic_fetch_add(&world->next_check, 1)) < HISTORIES;)
        if (history_check(world->histories[which], stderr) != HISTORY_LINEARIZABLE)
            atomic_store(&world->is_violated, true);
}

/* On a slow machine, or a busy one, the time may be up before each kind of thing has happened once: then it
 * goes on. */
static bool is_enough(const struct world *world) {
    if (world->keyspace != NULL) return counts_of(world->keyspace).gate_closings > 0;
    return world->step != step_transactions ||
           (atomic_load(&world->kept) > 0 && atomic_load(&world->refused) > 0);
}

/* Between the barriers of a round nothing is pending. */
static void *play(void *argument) {
    struct player *player = argument;
    struct world *world = player->world;
    player->text = malloc(STEPS_MOST * (VALUE_MOST + 64));
    player->other = malloc(VALUE_MOST + 64);
    player->steps = malloc(STEPS_A_ROUND * sizeof *player->steps);
    CHECK(player->text != NULL && player->other != NULL && player->steps != NULL);
    world->open(player);
    while (!atomic_load(&world->is_over)) {
        for (int i = 0; i < ROUND; i += world->weight) world->step(player);
        pthread_barrier_wait(&world->barrier);
        check_some(world);
        pthread_barrier_wait(&world->barrier);
        player->step_count = 0;
        if (player->number == 0) {
            atomic_store(&world->next_check, 0);
            atomic_store(&world->hot, random_below(&player->random, HISTORIES));
            if ((now_us() >= world->ends_at && is_enough(world)) || atomic_load(&world->is_violated))
                atomic_store(&world->is_over, true);
        }
        pthread_barrier_wait(&world->barrier);
    }
    world->close(player);
    free(player->text);
    free(player->other);
    free(player->steps);
    return NULL;
}

static int64_t seconds_us(double share) {
    const char *text = getenv("HISTORY_SECONDS");
    return (int64_t)((text != NULL ? atof(text) : 16.0) * 1e6 * share);
}

static void name_keys(struct world *world) {
    for (size_t which = 0; which < HISTORIES; which++) {
        size_t count = which < SINGLES ? 1 : 2 + which % (HISTORY_KEYS - 1);
        world->key_count[which] = count;
        for (size_t i = 0; i < count; i++) {
            char *name = world->names[which][i];
            size_t length = (size_t)snprintf(name, sizeof world->names[which][i], "history%zu.%zu", which, i);
            world->name_of[which][i] = name;
            if (world->keyspace != NULL)
                world->keys[which][i] = keyspace_key(world->keyspace, 0, name, length);
        }
        world->histories[which] = history_open(world->name_of[which], count, world->players, (size_t)ROUND);
    }
}

/* Returns how many operations were checked. */
static uint64_t play_all(struct world *world, uint64_t seed, double share) {
    struct player players[PLAYERS_MOST];
    uint64_t checked = 0;
    name_keys(world);
    /* cmocka would go on from the signal in the wrong thread. */
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    pthread_barrier_init(&world->barrier, NULL, (unsigned)world->players);
    int64_t began = now_us();
    world->ends_at = began + seconds_us(share);
    for (size_t i = 0; i < world->players; i++) {
        players[i] = (struct player){.world = world, .number = i, .random = seed + i};
        assert_int_equal(pthread_create(&players[i].thread, NULL, play, &players[i]), 0);
    }
    for (size_t i = 0; i < world->players; i++) pthread_join(players[i].thread, NULL);
    for (size_t i = 0; i < HISTORIES; i++) {
        checked += history_checked(world->histories[i]);
        history_close(world->histories[i]);
    }
    pthread_barrier_destroy(&world->barrier);
    print_message("%llu operations checked in %.1f s\n", (unsigned long long)checked,
                  (double)(now_us() - began) / 1e6);
    return checked;
}

static void histories_of_the_engine_are_linearizable(void **state) {
    (void)state;
    uint64_t seed = seed_take();
    struct world *world = calloc(1, sizeof *world);
    world->open = open_engine, world->step = step_engine, world->close = close_engine;
    world->choose = choose_of_strings;
    world->players = 4;
    world->weight = 1;
    world->keyspace = keyspace_with(8, 1, seed);
    uint64_t checked = play_all(world, seed, 0.5);
    struct keyspace_counts counts = counts_of(world->keyspace);
    print_message("%llu looks held, %llu failed, %llu takes were refused, the gate closed %llu times\n",
                  (unsigned long long)counts.looks, (unsigned long long)counts.failed_looks,
                  (unsigned long long)counts.busy_takes, (unsigned long long)counts.gate_closings);
    assert_false(atomic_load(&world->is_violated));
    assert_true(checked > 0 && counts.gate_closings > 0);
    keyspace_close(world->keyspace);
    free(world);
}

static void play_on_connections(struct world *world, double share) {
    uint64_t seed = seed_take();
    world->open = open_connection, world->close = close_connection;
    uint64_t checked = play_all(world, seed, share);
    assert_false(atomic_load(&world->is_violated));
    assert_true(checked > 0);
    assert_int_equal(server_stop(world->server), 0);
    free(world);
}

static void histories_of_connections_are_linearizable(void **state) {
    (void)state;
    struct world *world = calloc(1, sizeof *world);
    world->choose = choose_of_strings;
    world->step = step_server;
    world->pipeline = PIPELINE_MOST;
    world->weight = PIPELINE_MOST;
    world->players = 7; /* with all of their pipelines, fewer than HISTORY_PENDING */
    world->server = server_start((const char *const[]){"--threads", "4", "--shards", "8", NULL});
    play_on_connections(world, 0.5);
}

/* Shorter pipelines: of the elements of a set each is as good as a key, so that what is pending has
 * more ways to happen. */
static void histories_of_lists_and_sets_are_linearizable(void **state) {
    (void)state;
    struct world *world = calloc(1, sizeof *world);
    world->choose = choose_of_collections;
    world->step = step_server;
    world->pipeline = PIPELINE_MOST / 2;
    world->weight = PIPELINE_MOST / 2;
    world->players = 6;
    world->server = server_start(
        (const char *const[]){"--threads", "4", "--shards", "8", "--list-max-listpack-size", "4",
                              "--set-max-intset-entries", "2", "--set-max-listpack-entries", "4", NULL});
    play_on_connections(world, 0.25);
}

/* Each at one moment: so they are serializable, in an order that agrees with time. */
static void histories_of_transactions_and_scripts_are_serializable(void **state) {
    (void)state;
    struct world *world = calloc(1, sizeof *world);
    world->choose = choose_of_strings;
    world->step = step_transactions;
    world->pipeline = 1;
    world->weight = TRIES_MOST;
    world->players = 6;
    world->server = server_start((const char *const[]){"--threads", "4", "--shards", "8", NULL});
    play_on_connections(world, 0.25);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_of_transactions_and_scripts_are_serializable),
        cmocka_unit_test(histories_of_the_engine_are_linearizable),
        cmocka_unit_test(histories_of_connections_are_linearizable),
        cmocka_unit_test(histories_of_lists_and_sets_are_linearizable),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
