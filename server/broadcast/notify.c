#include "notify.h"

#include <stdlib.h>
#include <string.h>

#include "shard/base/number.h"
#include "server/base/log.h"
#include "channels.h"
#include "outbox.h"

/* Names of channels that are written where there is no need to ask for memory. */
#define NAME_SHORT 256
/* Of such a name's beginning, behind its kind: the database and "__:". */
#define HEAD_MOST (NUMBER_DIGITS + 4)

/* An event without a class is told to nobody. */
static const uint32_t class_of[EVENT_COUNT] = {
    [EVENT_SET] = EVENTS_STRING,
    [EVENT_SETRANGE] = EVENTS_STRING,
    [EVENT_APPEND] = EVENTS_STRING,
    [EVENT_INCRBY] = EVENTS_STRING,
    [EVENT_INCRBYFLOAT] = EVENTS_STRING,
    [EVENT_SETBIT] = EVENTS_STRING,
    [EVENT_EXPIRE] = EVENTS_GENERIC,
    [EVENT_PERSIST] = EVENTS_GENERIC,
    [EVENT_DEL] = EVENTS_GENERIC,
    [EVENT_EXPIRED] = EVENTS_EXPIRED,
    [EVENT_EVICTED] = EVENTS_EVICTED,
    [EVENT_RENAME_FROM] = EVENTS_GENERIC,
    [EVENT_RENAME_TO] = EVENTS_GENERIC,
    [EVENT_MOVE_FROM] = EVENTS_GENERIC,
    [EVENT_MOVE_TO] = EVENTS_GENERIC,
    [EVENT_COPY_TO] = EVENTS_GENERIC,
    [EVENT_LPUSH] = EVENTS_LIST,
    [EVENT_RPUSH] = EVENTS_LIST,
    [EVENT_LPOP] = EVENTS_LIST,
    [EVENT_RPOP] = EVENTS_LIST,
    [EVENT_LINSERT] = EVENTS_LIST,
    [EVENT_LSET] = EVENTS_LIST,
    [EVENT_LREM] = EVENTS_LIST,
    [EVENT_LTRIM] = EVENTS_LIST,
    [EVENT_SORTSTORE] = EVENTS_LIST,
    [EVENT_SADD] = EVENTS_SET,
    [EVENT_SREM] = EVENTS_SET,
    [EVENT_SPOP] = EVENTS_SET,
    [EVENT_SINTERSTORE] = EVENTS_SET,
    [EVENT_SUNIONSTORE] = EVENTS_SET,
    [EVENT_SDIFFSTORE] = EVENTS_SET,
    [EVENT_HSET] = EVENTS_HASH,
    [EVENT_HINCRBY] = EVENTS_HASH,
    [EVENT_HINCRBYFLOAT] = EVENTS_HASH,
    [EVENT_HDEL] = EVENTS_HASH,
    [EVENT_ZADD] = EVENTS_ZSET,
    [EVENT_ZINCR] = EVENTS_ZSET,
    [EVENT_ZREM] = EVENTS_ZSET,
    [EVENT_ZREMRANGEBYSCORE] = EVENTS_ZSET,
    [EVENT_ZREMRANGEBYRANK] = EVENTS_ZSET,
    [EVENT_ZREMRANGEBYLEX] = EVENTS_ZSET,
    [EVENT_ZPOPMIN] = EVENTS_ZSET,
    [EVENT_ZPOPMAX] = EVENTS_ZSET,
    [EVENT_ZUNIONSTORE] = EVENTS_ZSET,
    [EVENT_ZINTERSTORE] = EVENTS_ZSET,
    [EVENT_ZDIFFSTORE] = EVENTS_ZSET,
    [EVENT_ZRANGESTORE] = EVENTS_ZSET,
    [EVENT_GEORADIUSSTORE] = EVENTS_ZSET,
    [EVENT_GEOSEARCHSTORE] = EVENTS_ZSET,
    [EVENT_PFADD] = EVENTS_STRING,
    [EVENT_XADD] = EVENTS_STREAM,
    [EVENT_XTRIM] = EVENTS_STREAM,
    [EVENT_XDEL] = EVENTS_STREAM,
    [EVENT_XSETID] = EVENTS_STREAM,
    [EVENT_XGROUP_CREATE] = EVENTS_STREAM,
    [EVENT_XGROUP_CREATECONSUMER] = EVENTS_STREAM,
    [EVENT_XGROUP_DELCONSUMER] = EVENTS_STREAM,
    [EVENT_XGROUP_DESTROY] = EVENTS_STREAM,
    [EVENT_XGROUP_SETID] = EVENTS_STREAM,
    [EVENT_NEW] = EVENTS_NEW,
    [EVENT_KEYMISS] = EVENTS_MISS,
};

/* Where a value comes from another key, and replaces what was there, that is a new one to Redis. What comes
 * from another set is told when it has left that. */
static bool is_told_as_new(enum event event, bool is_new) {
    bool is_always = event == EVENT_RENAME_TO || event == EVENT_MOVE_TO || event == EVENT_COPY_TO;
    return is_always || (is_new && event != EVENT_SMOVE_TO);
}

/* And where a value went is told when it has left the other key: that is mentioned then (scope_mention). */
static bool is_mentioned(enum event event) {
    return event == EVENT_RENAME_TO || event == EVENT_MOVE_TO;
}

static bool is_removal(enum event event) {
    return event == EVENT_DEL || event == EVENT_EXPIRED || event == EVENT_EVICTED ||
           event == EVENT_RENAME_FROM || event == EVENT_MOVE_FROM || event == EVENT_UNDO;
}

/* ------------------------------------------------------------------ telling */

static bool is_anybody_there(void) {
    return channels_count(CHANNEL) > 0 || channels_count(CHANNEL_PATTERN) > 0;
}

/* An event that is lost is seldom lost alone: a line a second says so. */
static void lose(void) {
    static _Atomic int64_t said;
    const struct worker *worker = worker_self();
    int64_t second = worker == NULL ? 0 : worker->now / 1000;
    if (atomic_exchange(&said, second) == second) return;
    log_write(LOG_WARNING, "Out of memory: what has happened to some keys is told to nobody");
}

#ifdef PLANT_LATE_EVENT
/* With the thread's next one, when what it tells of is held no more. */
static int64_t publish_late(const struct bulk *name, const struct bulk *text) {
    static _Thread_local char bytes[2][NAME_SHORT];
    static _Thread_local struct bulk kept[2];
    int64_t size = kept[0].length == 0 ? 0 : channels_publish(CHANNEL, &kept[0], &kept[1]);
    kept[0].length = 0;
    if (name->length > NAME_SHORT || text->length > NAME_SHORT) return channels_publish(CHANNEL, name, text);
    for (int i = 0; i < 2; i++) {
        kept[i] = *(i == 0 ? name : text);
        memcpy(bytes[i], kept[i].data, kept[i].length);
        kept[i].data = bytes[i];
    }
    return size;
}
#define channels_publish(kind, name, text) publish_late(name, text)
#endif

static void send(const struct scope *scope, const struct bulk *name, const struct bulk *text, bool stays) {
    struct worker *worker = worker_self();
    bool is_sent = worker != NULL && (scope->undo != NULL || outbox_is_open(worker))
                       ? outbox_keep(worker, name, text, scope->lane->told, stays)
                       : channels_publish(CHANNEL, name, text) >= 0;
    if (!is_sent) lose();
}

/* To the channel that begins so for that object, which is a key or an event. */
static void tell_by(const struct scope *scope, const char *kind, uint32_t database, const struct bulk *object,
                    const struct bulk *text, bool stays) {
    char room[NAME_SHORT], *name = room;
    size_t most = strlen(kind) + HEAD_MOST + object->length;
    if (most > sizeof room) name = malloc(most);
    if (name == NULL) {
        lose();
        return;
    }
    char *end = stpcpy(name, kind);
    end += number_format_unsigned(end, database);
    end = stpcpy(end, "__:");
    memcpy(end, object->data, object->length);
    send(scope, &(struct bulk){.data = name, .length = (size_t)(end - name) + object->length}, text, stays);
    if (name != room) free(name);
}

static void tell(const struct scope *scope, const struct key *key, enum event event, uint32_t classes) {
    if ((classes & class_of[event]) == 0) return;
    const char *name = event_name(event);
    const struct bulk what = {.data = (char *)(uintptr_t)name, .length = strlen(name)};
    const struct bulk whom = {.data = (char *)(uintptr_t)key->data, .length = key->length};
    bool stays = event == EVENT_EXPIRED && scope->undo == NULL;
    if ((classes & EVENTS_BY_KEY) != 0) tell_by(scope, "__keyspace@", key->database, &whom, &what, stays);
    if ((classes & EVENTS_BY_EVENT) != 0) tell_by(scope, "__keyevent@", key->database, &what, &whom, stays);
}

/* ------------------------------------------------------------------ listening */

static uint32_t classes_now(void) {
    return is_anybody_there() ? atomic_load_explicit(&config.events, memory_order_relaxed) : 0;
}

/* What has made a value empty has also removed its key. */
static void on_changed(void *context, struct write_scope *scope, const struct key *key,
                       const struct entry *entry, enum event event, bool is_new) {
    (void)context;
    uint32_t classes = classes_now();
    if (classes == 0 || event == EVENT_UNDO) return;
    if (is_told_as_new(event, is_new)) tell(&scope->scope, key, EVENT_NEW, classes);
    if (!is_mentioned(event)) tell(&scope->scope, key, event, classes);
    if (entry == NULL && !is_removal(event)) tell(&scope->scope, key, EVENT_DEL, classes);
}

static void on_mentioned(void *context, const struct scope *scope, const struct key *key, enum event event) {
    (void)context;
    uint32_t classes = classes_now();
    if (classes != 0) tell(scope, key, event, classes);
}

static void on_taken_back(void *context, const struct scope *scope, uint64_t told) {
    struct worker *worker = worker_self();
    (void)context;
    (void)scope;
    if (worker != NULL) outbox_take_back(worker, told);
}

static void on_settled(void *context, const struct scope *scope) {
    struct worker *worker = worker_self();
    (void)context;
    (void)scope;
    if (worker != NULL) outbox_settle(worker);
}

/* ------------------------------------------------------------------ what reads do for it */

/* Changed under the configuration's lock, or before there are threads. */
static struct {
    struct keyspace *keyspace;
    bool tells, tells_dead, tells_misses;
} reads;

static bool follow(const char *letters) {
    uint32_t classes = atomic_load(&config.events);
    bool tells = classes != 0, tells_misses = (classes & EVENTS_MISS) != 0,
         tells_dead = tells_misses || (classes & EVENTS_EXPIRED) != 0;
    (void)letters;
    if (tells != reads.tells) keyspace_want(reads.keyspace, tells);
    if (tells_misses != reads.tells_misses) keyspace_tell_misses(reads.keyspace, tells_misses);
    if (tells_dead != reads.tells_dead) keyspace_tell_dead(reads.keyspace, tells_dead);
    reads.tells = tells;
    reads.tells_misses = tells_misses;
    reads.tells_dead = tells_dead;
    return true;
}

void notify_start(struct keyspace *keyspace) {
    reads.keyspace = keyspace;
    (void)follow(NULL);
    config_on_set("notify-keyspace-events", follow, "");
    keyspace_listen(keyspace, &(struct keyspace_listener){.changed = on_changed,
                                                          .mentioned = on_mentioned,
                                                          .taken_back = on_taken_back,
                                                          .settled = on_settled,
                                                          .wanted = &config.events});
}
