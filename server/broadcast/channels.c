#include "channels.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "resp/reply.h"
#include "shard/base/hash.h"
#include "shard/base/mutex.h"
#include "shard/base/number.h"
#include "server/base/chains.h"
#include "server/base/glob.h"
#include "server/base/shared_mutex.h"
#include "news.h"

#define STRIPES 64
/* A pattern's bytes before its first special one, up to so many, tell in a look whether it can match. */
#define PREFIX_MOST 63
/* Of a message's parts: "$<length>" and line ends. */
#define FRAME_MOST 32
/* A channel's name of no more bytes is kept with what its hearers are told before each text. A pattern of
 * more has no desk. */
#define NAME_MOST 256
/* So many patterns that match are found without an allocation. */
#define MATCHES_FIRST 16

/* What is looked up stands apart from what each message changes. */
struct stripe {
    struct desk desk;
    _Alignas(64) struct chains channels GUARDED_BY(&desk.mutex); /* of both kinds */
};

/* What some patterns begin with: there as long as they are. */
struct prefix {
    struct chain_link link; /* by hash */
    struct pattern *first;
    uint32_t length;
};

struct pattern {
    struct channel channel; /* first: a channel is cast back */
    struct prefix *prefix;
    struct pattern *next, *previous; /* of those with that prefix, which may be many */
};

static struct {
    struct hash_secret secret;
    struct stripe stripes[STRIPES];
    struct desk of_patterns[STRIPES]; /* for the pads of some; their mutexes within a stripe's */
    _Alignas(64) _Atomic uint64_t counts[CHANNEL_KINDS];
} all;

static struct {
    struct shared_mutex mutex;
    struct chains by_name GUARDED_BY(&mutex);
    struct chains by_prefix GUARDED_BY(&mutex);
    uint32_t of_length[PREFIX_MOST + 1] GUARDED_BY(&mutex); /* how many prefixes are that long */
} patterns = {.mutex = SHARED_MUTEX_INITIALIZER};

bool channels_start(void) {
    for (uint32_t i = 0; i < STRIPES; i++) {
        mutex_init_spinning(&all.stripes[i].desk.mutex);
        mutex_init_spinning(&all.of_patterns[i].mutex);
    }
    return hash_secret_draw(&all.secret, NULL) == 0;
}

uint32_t channel_hash(const struct bulk *name) {
    return (uint32_t)hash_bytes(&all.secret, name->data, name->length);
}

bool channel_is(const struct channel *channel, enum channel_kind kind, const struct bulk *name) {
    return channel->kind == kind && channel->length == name->length &&
           memcmp(channel->name, name->data, name->length) == 0;
}

static struct stripe *stripe_of(uint32_t hash) {
    return &all.stripes[hash % STRIPES];
}

/* Within a stripe all have the same lower bits. */
static uint32_t hash_within(uint32_t hash) {
    return hash / STRIPES;
}

static struct channel *find(const struct chains *chains, uint32_t hash, enum channel_kind kind,
                            const struct bulk *name) {
    struct chain_link *link = chains_find(chains, hash);
    while (link != NULL && (link->hash != hash || !channel_is((struct channel *)link, kind, name)))
        link = link->next;
    return (struct channel *)link;
}

static void channel_fill(struct channel *channel, enum channel_kind kind, const struct bulk *name,
                         char *room) {
    memcpy(room, name->data, name->length);
    *channel = (struct channel){.kind = kind, .length = name->length, .name = room};
}

/* ------------------------------------------------------------------ what its hearers read */

/* Returns how many bytes, no more than FRAME_MOST beside its own. */
static size_t write_bulk(char *out, const struct bulk *bulk) {
    size_t length = 0;
    out[length++] = '$';
    length += number_format_unsigned(out + length, bulk->length);
    out[length++] = '\r';
    out[length++] = '\n';
    memcpy(out + length, bulk->data, bulk->length);
    length += bulk->length;
    out[length++] = '\r';
    out[length++] = '\n';
    return length;
}

static const char *const heads[CHANNEL_KINDS] = {
    [CHANNEL] = "3\r\n$7\r\nmessage\r\n",
    [CHANNEL_SHARD] = "3\r\n$8\r\nsmessage\r\n",
    [CHANNEL_PATTERN] = "4\r\n$8\r\npmessage\r\n",
};

/* With the pattern, or the channel's name. head->bytes is to be freed. false: no memory. */
static bool head_create(struct head *head, enum channel_kind kind, const struct bulk *name) {
    bool is_within = kind == CHANNEL_PATTERN || name->length <= NAME_MOST;
    size_t length = strlen(heads[kind]);
    char *bytes = malloc(length + (is_within ? FRAME_MOST + name->length : 0));
    if (bytes == NULL) return false;
    memcpy(bytes, heads[kind], length);
    if (is_within) length += write_bulk(bytes + length, name);
    *head = (struct head){.bytes = bytes, .length = length, .has_name = is_within && kind != CHANNEL_PATTERN};
    return true;
}

static void head_free(const struct head *head) {
    free((void *)(uintptr_t)head->bytes);
}

static struct payload *payload_of(const struct bulk *name, const struct bulk *text) {
    struct payload *payload = payload_create(name->length + text->length + (size_t)2 * FRAME_MOST);
    if (payload == NULL) return NULL;
    payload->name_length = write_bulk(payload->bytes, name);
    payload->length = payload->name_length + write_bulk(payload->bytes + payload->name_length, text);
    return payload;
}

static bool is_brief(const struct bulk *name, const struct bulk *text) {
    return text->length <= BRIEF_MOST && name->length <= BRIEF_MOST &&
           name->length + text->length <= BRIEF_MOST - (size_t)2 * FRAME_MOST;
}

static void brief_write(struct brief *brief, const struct bulk *name, const struct bulk *text) {
    brief->name_length = write_bulk(brief->bytes, name);
    brief->length = brief->name_length + write_bulk(brief->bytes + brief->name_length, text);
}

/* ------------------------------------------------------------------ channels */

static struct channel *channel_at(struct stripe *stripe, uint32_t hash, enum channel_kind kind,
                                  const struct bulk *name) REQUIRES(&stripe->desk.mutex) {
    struct channel *channel = find(&stripe->channels, hash_within(hash), kind, name);
    if (channel != NULL) return channel;
    channel = malloc(sizeof *channel + name->length);
    if (channel == NULL) return NULL;
    channel_fill(channel, kind, name, (char *)(channel + 1));
    channel->audience.desk = &stripe->desk;
    if (!chains_insert(&stripe->channels, &channel->link, hash_within(hash))) {
        free(channel);
        return NULL;
    }
    atomic_fetch_add(&all.counts[kind], 1);
    return channel;
}

static void channel_leave_if_empty(struct stripe *stripe, struct channel *channel)
    REQUIRES(&stripe->desk.mutex) {
    if (channel->audience.parts != NULL) return;
    chains_remove(&stripe->channels, &channel->link);
    atomic_fetch_sub(&all.counts[channel->kind], 1);
    free(channel);
}

static struct channel *join_channel(enum channel_kind kind, const struct bulk *name, struct worker *worker,
                                    struct hearer *hearer, struct message *mark) {
    uint32_t hash = channel_hash(name);
    struct stripe *stripe = stripe_of(hash);
    struct head head;
    if (!head_create(&head, kind, name)) return NULL;
    mutex_lock(&stripe->desk.mutex);
    struct channel *channel = channel_at(stripe, hash, kind, name);
    bool is_counted = channel != NULL && audience_count(&channel->audience, worker, hearer, &head);
    if (is_counted && mark != NULL) news_mark(worker, mark);
    if (channel != NULL && !is_counted) channel_leave_if_empty(stripe, channel);
    mutex_unlock(&stripe->desk.mutex);
    head_free(&head);
    return is_counted ? channel : NULL;
}

static void part_channel(struct channel *channel, struct worker *worker, struct hearer *hearer,
                         struct message *mark) {
    const struct bulk name = {.data = (char *)(uintptr_t)channel->name, .length = channel->length};
    struct stripe *stripe = stripe_of(channel_hash(&name));
    mutex_lock(&stripe->desk.mutex);
    audience_discount(&channel->audience, hearer);
    if (mark != NULL) news_mark(worker, mark);
    channel_leave_if_empty(stripe, channel);
    mutex_unlock(&stripe->desk.mutex);
}

/* ------------------------------------------------------------------ patterns */

static uint32_t prefix_length(const struct bulk *name) {
    uint32_t length = 0;
    while (length < name->length && length < PREFIX_MOST && strchr("*?[\\", name->data[length]) == NULL)
        length++;
    return length;
}

static uint32_t prefix_hash(const char *bytes, size_t length) {
    return (uint32_t)hash_bytes(&all.secret, bytes, length);
}

/* All of one hash and length are one, whatever their bytes: who looks compares the whole pattern. */
static struct prefix *prefix_find(uint32_t hash, uint32_t length) REQUIRES_SHARED(&patterns.mutex) {
    struct chain_link *link = chains_find(&patterns.by_prefix, hash);
    while (link != NULL && (link->hash != hash || ((struct prefix *)link)->length != length))
        link = link->next;
    return (struct prefix *)link;
}

static bool prefix_enter(struct pattern *pattern) REQUIRES(&patterns.mutex) {
    const struct bulk name = {.data = (char *)(uintptr_t)pattern->channel.name,
                              .length = pattern->channel.length};
    uint32_t length = prefix_length(&name), hash = prefix_hash(name.data, length);
    struct prefix *prefix = prefix_find(hash, length);
    if (prefix == NULL) {
        prefix = malloc(sizeof *prefix);
        if (prefix == NULL) return false;
        *prefix = (struct prefix){.length = length};
        if (!chains_insert(&patterns.by_prefix, &prefix->link, hash)) {
            free(prefix);
            return false;
        }
        patterns.of_length[length]++;
    }
    pattern->prefix = prefix;
    pattern->previous = NULL;
    pattern->next = prefix->first;
    if (pattern->next != NULL) pattern->next->previous = pattern;
    prefix->first = pattern;
    return true;
}

static void prefix_leave(const struct pattern *pattern) REQUIRES(&patterns.mutex) {
    struct prefix *prefix = pattern->prefix;
    if (pattern->next != NULL) pattern->next->previous = pattern->previous;
    if (pattern->previous != NULL)
        pattern->previous->next = pattern->next;
    else
        prefix->first = pattern->next;
    if (prefix->first != NULL) return;
    chains_remove(&patterns.by_prefix, &prefix->link);
    patterns.of_length[prefix->length]--;
    free(prefix);
}

static struct pattern *pattern_create(const struct bulk *name, uint32_t hash) REQUIRES(&patterns.mutex) {
    struct pattern *pattern = malloc(sizeof *pattern + name->length);
    if (pattern == NULL) return NULL;
    channel_fill(&pattern->channel, CHANNEL_PATTERN, name, (char *)(pattern + 1));
    if (name->length <= NAME_MOST) pattern->channel.audience.desk = &all.of_patterns[hash % STRIPES];
    if (!chains_insert(&patterns.by_name, &pattern->channel.link, hash)) {
        free(pattern);
        return NULL;
    }
    if (!prefix_enter(pattern)) {
        chains_remove(&patterns.by_name, &pattern->channel.link);
        free(pattern);
        return NULL;
    }
    atomic_fetch_add(&all.counts[CHANNEL_PATTERN], 1);
    return pattern;
}

static void pattern_leave_if_empty(struct channel *channel) REQUIRES(&patterns.mutex) {
    struct pattern *pattern = (struct pattern *)channel;
    if (channel->audience.parts != NULL) return;
    chains_remove(&patterns.by_name, &channel->link);
    prefix_leave(pattern);
    atomic_fetch_sub(&all.counts[CHANNEL_PATTERN], 1);
    free(pattern);
}

/* Its desk has pads of other patterns, too, whose sheets are read meanwhile. */
static void desk_lock(struct desk *desk) NO_THREAD_SAFETY_ANALYSIS {
    if (desk != NULL) mutex_lock(&desk->mutex);
}

static void desk_unlock(struct desk *desk) NO_THREAD_SAFETY_ANALYSIS {
    if (desk != NULL) mutex_unlock(&desk->mutex);
}

static bool pattern_count(struct audience *audience, struct worker *worker, struct hearer *hearer,
                          const struct head *head) REQUIRES(&patterns.mutex) {
    desk_lock(audience->desk);
    bool is_counted = audience_count(audience, worker, hearer, head);
    desk_unlock(audience->desk);
    return is_counted;
}

static struct channel *join_pattern(const struct bulk *name, struct worker *worker, struct hearer *hearer,
                                    struct message *mark) {
    uint32_t hash = channel_hash(name);
    struct head head;
    if (!head_create(&head, CHANNEL_PATTERN, name)) return NULL;
    shared_mutex_lock(&patterns.mutex);
    struct channel *channel = find(&patterns.by_name, hash, CHANNEL_PATTERN, name);
    if (channel == NULL) channel = (struct channel *)pattern_create(name, hash);
    bool is_counted = channel != NULL && pattern_count(&channel->audience, worker, hearer, &head);
    if (is_counted && mark != NULL) news_mark(worker, mark);
    if (channel != NULL && !is_counted) pattern_leave_if_empty(channel);
    shared_mutex_unlock(&patterns.mutex);
    head_free(&head);
    return is_counted ? channel : NULL;
}

static void part_pattern(struct channel *channel, struct worker *worker, struct hearer *hearer,
                         struct message *mark) {
    shared_mutex_lock(&patterns.mutex);
    desk_lock(channel->audience.desk);
    audience_discount(&channel->audience, hearer);
    desk_unlock(channel->audience.desk);
    if (mark != NULL) news_mark(worker, mark);
    pattern_leave_if_empty(channel);
    shared_mutex_unlock(&patterns.mutex);
}

/* ------------------------------------------------------------------ joining and parting */

struct channel *channel_join(enum channel_kind kind, const struct bulk *name, struct worker *worker,
                             struct hearer *hearer, struct message *mark) {
    return kind == CHANNEL_PATTERN ? join_pattern(name, worker, hearer, mark)
                                   : join_channel(kind, name, worker, hearer, mark);
}

void channel_part(struct channel *channel, struct worker *worker, struct hearer *hearer,
                  struct message *mark) {
    if (channel->kind == CHANNEL_PATTERN)
        part_pattern(channel, worker, hearer, mark);
    else
        part_channel(channel, worker, hearer, mark);
}

/* ------------------------------------------------------------------ publishing */

/* Those that match, while patterns stay as they are. */
struct matches {
    struct audience **audiences; /* one place is kept free in front, for the channel's own */
    uint32_t count, capacity;
    struct audience *first[MATCHES_FIRST];
};

static bool matches_add(struct matches *matches, struct audience *audience) {
    if (matches->count == matches->capacity) {
        uint32_t capacity = matches->capacity * 2;
        bool is_first = matches->audiences == matches->first;
        struct audience **audiences =
            realloc(is_first ? NULL : (void *)matches->audiences, capacity * sizeof(struct audience *));
        if (audiences == NULL) return false;
        if (is_first) memcpy(audiences, matches->first, sizeof matches->first);
        matches->audiences = audiences;
        matches->capacity = capacity;
    }
    matches->audiences[matches->count++] = audience;
    return true;
}

static void matches_begin(struct matches *matches) {
    matches->audiences = matches->first;
    matches->capacity = MATCHES_FIRST;
    matches->count = 1;
}

static void matches_end(struct matches *matches) {
    if (matches->audiences != matches->first) free((void *)matches->audiences);
}

static bool match_prefix(struct matches *matches, const struct bulk *name, uint32_t length)
    REQUIRES_SHARED(&patterns.mutex) {
    const struct prefix *prefix = prefix_find(prefix_hash(name->data, length), length);
    for (struct pattern *pattern = prefix == NULL ? NULL : prefix->first; pattern != NULL;
         pattern = pattern->next) {
        if (!glob_matches(pattern->channel.name, pattern->channel.length, name->data, name->length, false))
            continue;
        if (!matches_add(matches, &pattern->channel.audience)) return false;
    }
    return true;
}

static bool match(struct matches *matches, const struct bulk *name) REQUIRES_SHARED(&patterns.mutex) {
    for (uint32_t length = 0; length <= PREFIX_MOST && length <= name->length; length++)
        if (patterns.of_length[length] > 0 && !match_prefix(matches, name, length)) return false;
    return true;
}

static uint64_t size_of(const struct matches *matches, uint32_t from) {
    uint64_t size = 0;
    for (uint32_t i = from; i < matches->count; i++) size += audience_size(matches->audiences[i]);
    return size;
}

static uint64_t hearers_of(enum channel_kind kind, const struct bulk *name, uint32_t hash) {
    struct stripe *stripe = stripe_of(hash);
    mutex_lock(&stripe->desk.mutex);
    const struct channel *channel = find(&stripe->channels, hash_within(hash), kind, name);
    uint64_t size = channel == NULL ? 0 : audience_size(&channel->audience);
    mutex_unlock(&stripe->desk.mutex);
    return size;
}

static int64_t write_to(struct audience *audience, const struct brief *brief) {
    int64_t size = (int64_t)audience_size(audience);
    return news_write(audience, brief) ? size : -1;
}

static int64_t write_to_pattern(struct audience *audience, const struct brief *brief) {
    mutex_lock(&audience->desk->mutex);
    int64_t size = write_to(audience, brief);
    mutex_unlock(&audience->desk->mutex);
    return size;
}

/* What is short and for one audience at most, as nearly all is. false: this is another case. */
static bool publish_brief(const struct matches *matches, uint32_t hash, enum channel_kind kind,
                          const struct bulk *name, const struct bulk *text, int64_t *size) {
    struct stripe *stripe = stripe_of(hash);
    struct audience *pattern = matches->count == 2 ? matches->audiences[1] : NULL;
    struct brief brief;
    if (matches->count > 2 || !is_brief(name, text) || (pattern != NULL && pattern->desk == NULL))
        return false;
    brief_write(&brief, name, text);
    mutex_lock(&stripe->desk.mutex);
    struct channel *channel = find(&stripe->channels, hash_within(hash), kind, name);
    bool is_alone = channel == NULL || pattern == NULL;
    *size = 0;
    if (is_alone && channel != NULL)
        *size = write_to(&channel->audience, &brief);
    else if (is_alone && pattern != NULL)
        *size = write_to_pattern(pattern, &brief);
    mutex_unlock(&stripe->desk.mutex);
    return is_alone;
}

/* With the matches that are there; the channel's own come first. */
static int64_t publish_to(struct matches *matches, enum channel_kind kind, const struct bulk *name,
                          const struct bulk *text) {
    uint32_t hash = channel_hash(name);
    struct stripe *stripe = stripe_of(hash);
    int64_t told;
    if (publish_brief(matches, hash, kind, name, text, &told)) return told;
    if (matches->count == 1 && hearers_of(kind, name, hash) == 0) return 0;
    struct payload *payload = payload_of(name, text);
    if (payload == NULL) return -1;
    mutex_lock(&stripe->desk.mutex);
    struct channel *channel = find(&stripe->channels, hash_within(hash), kind, name);
    if (channel != NULL) matches->audiences[0] = &channel->audience;
    uint32_t from = channel == NULL;
    int64_t size = (int64_t)size_of(matches, from);
    bool is_sent = news_send(payload, matches->audiences + from, matches->count - from);
    mutex_unlock(&stripe->desk.mutex);
    payload_release(payload);
    return is_sent ? size : -1;
}

static bool has_patterns(enum channel_kind kind) {
    return kind == CHANNEL && channels_count(CHANNEL_PATTERN) > 0;
}

int64_t channels_publish(enum channel_kind kind, const struct bulk *name, const struct bulk *text) {
    struct matches matches;
    bool may_match = has_patterns(kind);
    assert(kind != CHANNEL_PATTERN);
    if (channels_count(kind) == 0 && !may_match) return 0;
    matches_begin(&matches);
    if (!may_match) return publish_to(&matches, kind, name, text);
    shared_mutex_lock_shared(&patterns.mutex);
    int64_t size = match(&matches, name) ? publish_to(&matches, kind, name, text) : -1;
    shared_mutex_unlock_shared(&patterns.mutex);
    matches_end(&matches);
    return size;
}

int64_t channels_audience(enum channel_kind kind, const struct bulk *name) {
    struct matches matches;
    int64_t size = (int64_t)channels_hearers(kind, name);
    if (!has_patterns(kind)) return size;
    matches_begin(&matches);
    shared_mutex_lock_shared(&patterns.mutex);
    size = match(&matches, name) ? size + (int64_t)size_of(&matches, 1) : -1;
    shared_mutex_unlock_shared(&patterns.mutex);
    matches_end(&matches);
    return size;
}

/* ------------------------------------------------------------------ what there is */

uint64_t channels_count(enum channel_kind kind) {
    return atomic_load_explicit(&all.counts[kind], memory_order_relaxed);
}

uint64_t channels_hearers(enum channel_kind kind, const struct bulk *name) {
    return channels_count(kind) == 0 ? 0 : hearers_of(kind, name, channel_hash(name));
}

/* Their names, each behind its length. */
static void write_names(struct stripe *stripe, enum channel_kind kind, struct reply *names)
    REQUIRES(&stripe->desk.mutex) {
    const struct chains *channels = &stripe->channels;
    for (uint32_t i = 0; i < channels->bucket_count; i++)
        for (struct chain_link *link = channels->buckets[i]; link != NULL; link = link->next) {
            const struct channel *channel = (const struct channel *)link;
            if (channel->kind != kind) continue;
            reply_raw(names, (const char *)&channel->length, sizeof channel->length);
            reply_raw(names, channel->name, channel->length);
        }
}

bool channels_visit(enum channel_kind kind, void (*visit)(void *context, const char *name, size_t length),
                    void *context) {
    struct reply names;
    assert(kind != CHANNEL_PATTERN);
    reply_init(&names, 2);
    for (uint32_t i = 0; i < STRIPES && !names.is_broken; i++) {
        struct stripe *stripe = &all.stripes[i];
        reply_clear(&names, SIZE_MAX);
        mutex_lock(&stripe->desk.mutex);
        write_names(stripe, kind, &names);
        mutex_unlock(&stripe->desk.mutex);
        for (size_t at = 0, length; at < names.length && !names.is_broken; at += length) {
            memcpy(&length, names.data + at, sizeof length);
            at += sizeof length;
            visit(context, names.data + at, length);
        }
    }
    bool is_whole = !names.is_broken;
    reply_free(&names);
    return is_whole;
}
