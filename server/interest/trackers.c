#include "trackers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "resp/reply.h"
#include "server/broadcast/news.h"
#include "prefixes.h"
#include "tracked.h"

/* A handle: the worker's number above so many bits. They begin again after millions of clients; then two may
 * have one, and are told of each other's keys. */
#define SEQUENCE_BITS 24
#define SEQUENCE_MASK ((UINT32_C(1) << SEQUENCE_BITS) - 1)
/* Keys of a turn that wait to be told of prefixes take no more memory than this: of more it is only told that
 * every key may have changed. */
#define WAITING_MOST ((size_t)1 << 20)
/* Where one command, transaction or script tells so much that others would have waited long ago, its letters
 * become one for all. */
#define UNREAD_MOST (2 * NEWS_MOST)
/* So many keys that wait are put in order. */
#define SORTED_LEAST 16
/* What a reply for pushes may keep. */
#define TEXT_KEEP 4096
/* From here on what several clients are told is sent from the one place where it is, rather than copied. */
#define SHARE_LEAST 4096

/* A key has changed, for one worker. Of prefixes it stays and waits, among others. */
struct letter {
    struct message message;
    struct chain_link link; /* by hash */
    struct letter *next;
    uint64_t author; /* the client that has changed it; 0: nobody, or several */
    uint32_t length;
    uint32_t count;     /* of handles; 0: it is for those with a prefix */
    uint32_t handles[]; /* behind them, the key */
};

struct everything {
    struct message message;
    _Atomic bool is_sent;
};

/* A worker's. Its own, but for the last two. */
struct post {
    struct chains trackers;
    struct tracker *first, *last;
    struct tracker *cursor; /* the next one to be told; who is told may go, and others with it */
    struct chains waiting;  /* letters, by key */
    struct letter *waiting_first, *waiting_last;
    struct settling *settling; /* while they are told */
    size_t waiting_bytes;
    bool waits_for_all;      /* instead of them: they were too many */
    uint64_t waiting_author; /* of all of them; 0: there are several */
    struct reply texts[2];   /* of a letter, or of those that wait: for RESP2 and RESP3 */
    /* Of those that wait: for whom the text is, and whoever has the same prefixes; and where it is shared. */
    const struct tracker *told[2];
    struct payload *shared[2];
    struct everything *everything;
    _Atomic uint32_t sequence;
};

_Atomic uint32_t trackers_wanted;

static struct {
    struct keyspace *keyspace;
    struct post *posts;
    uint32_t count;
} all;

static struct post *post_of(const struct worker *worker) {
    return &all.posts[worker->number];
}

/* ------------------------------------------------------------------ handles */

uint32_t tracker_handle(const struct worker *worker) {
    uint32_t sequence;
    do sequence = (atomic_fetch_add(&post_of(worker)->sequence, 1) + 1) & SEQUENCE_MASK;
    while (sequence == 0);
    return worker->number << SEQUENCE_BITS | sequence;
}

struct worker *tracker_worker(uint32_t handle) {
    return worker_at(handle >> SEQUENCE_BITS);
}

/* With that handle, of the client that follows upon `client` (ids begin at 1). */
static struct tracker *find_behind(const struct post *post, uint32_t handle, uint64_t client) {
    struct tracker *found = NULL;
    for (struct chain_link *link = chains_find(&post->trackers, handle); link != NULL; link = link->next) {
        struct tracker *tracker = (struct tracker *)((char *)link - offsetof(struct tracker, link));
        if (link->hash == handle && tracker->client > client &&
            (found == NULL || tracker->client < found->client))
            found = tracker;
    }
    return found;
}

static struct tracker *find_of(const struct post *post, uint32_t handle, uint64_t client) {
    struct tracker *found = find_behind(post, handle, client - 1);
    return found != NULL && found->client == client ? found : NULL;
}

/* ------------------------------------------------------------------ coming and going */

static void task_enter(struct tracker *tracker) {
    struct subscriptions *list = tracker->task->session.subscriptions;
    tracker->task_previous = NULL;
    tracker->task_next = list->trackers;
    if (tracker->task_next != NULL) tracker->task_next->task_previous = tracker;
    list->trackers = tracker;
}

static void task_leave(struct tracker *tracker) {
    if (tracker->task == NULL) return;
    if (tracker->task_next != NULL) tracker->task_next->task_previous = tracker->task_previous;
    if (tracker->task_previous != NULL)
        tracker->task_previous->task_next = tracker->task_next;
    else
        tracker->task->session.subscriptions->trackers = tracker->task_next;
    tracker->task = NULL;
}

static void list_enter(struct post *post, struct tracker *tracker) {
    bool is_first = tracker->prefixes != NULL;
    tracker->next = is_first ? post->first : NULL;
    tracker->previous = is_first ? NULL : post->last;
    *(tracker->next != NULL ? &tracker->next->previous : &post->last) = tracker;
    *(tracker->previous != NULL ? &tracker->previous->next : &post->first) = tracker;
}

static void list_leave(struct post *post, const struct tracker *tracker) {
    if (post->cursor == tracker) post->cursor = tracker->next;
    for (int i = 0; i < 2; i++)
        if (post->told[i] == tracker) post->told[i] = NULL;
    *(tracker->next != NULL ? &tracker->next->previous : &post->last) = tracker->previous;
    *(tracker->previous != NULL ? &tracker->previous->next : &post->first) = tracker->next;
}

struct tracker *tracker_create(const struct prefix_list *prefixes) {
    struct tracker *tracker = calloc(1, sizeof *tracker + (prefixes == NULL ? 0 : prefixes->bytes));
    if (tracker == NULL || prefixes == NULL) return tracker;
    memcpy(tracker + 1, prefixes, prefixes->bytes);
    tracker->prefixes = (const struct prefix_list *)(tracker + 1);
    return tracker;
}

static void take_out(struct post *post, struct tracker *tracker) {
    chains_remove(&post->trackers, &tracker->link);
    list_leave(post, tracker);
    task_leave(tracker);
    free(tracker);
}

bool tracker_enter(struct worker *worker, struct tracker *tracker) {
    struct post *post = post_of(worker);
    struct tracker *old = find_of(post, tracker->link.hash, tracker->client);
    assert(worker == worker_self() && worker == tracker_worker(tracker->link.hash));
    if (!chains_insert(&post->trackers, &tracker->link, tracker->link.hash)) return false;
    if (old != NULL) take_out(post, old);
    list_enter(post, tracker);
    if (tracker->task != NULL) task_enter(tracker);
    return true;
}

static void tell_broken(const struct worker *worker, const struct tracker *tracker);

static void tracker_arrived(struct worker *worker, struct message *message) {
    struct tracker *tracker = (struct tracker *)message;
    news_was_read(worker, sizeof *tracker);
    tracker->task = tracker->find(worker, tracker->redirect);
    if (tracker->task != NULL && tracker->task->session.subscriptions == NULL) tracker->task = NULL;
    if (tracker_enter(worker, tracker)) return;
    tell_broken(worker, tracker);
    free(tracker);
}

void tracker_send(struct tracker *tracker) {
    tracker->message.handle = tracker_arrived;
    news_post(tracker_worker(tracker->link.hash), &tracker->message, sizeof *tracker);
}

static void farewell_arrived(struct worker *worker, struct message *message) {
    struct farewell *farewell = (struct farewell *)message;
    news_was_read(worker, sizeof *farewell);
    tracker_leave(farewell->handle, farewell->client, NULL);
    free(farewell);
}

void tracker_leave(uint32_t handle, uint64_t client, struct farewell *farewell) {
    struct worker *worker = tracker_worker(handle);
    if (farewell != NULL) {
        farewell->message.handle = farewell_arrived;
        farewell->handle = handle;
        farewell->client = client;
        news_post(worker, &farewell->message, sizeof *farewell);
        return;
    }
    struct post *post = post_of(worker);
    assert(worker == worker_self());
    struct tracker *tracker = find_of(post, handle, client);
    if (tracker != NULL) take_out(post, tracker);
}

void trackers_lose_task(struct task *task) {
    struct subscriptions *list = task->session.subscriptions;
    while (list->trackers != NULL) task_leave(list->trackers);
}

/* ------------------------------------------------------------------ telling one */

/* Home, where it is known whether the client cares. */
struct breakage {
    struct message message;
    uint32_t handle;
    void (*on_broken)(struct worker *home, uint32_t handle);
};

static void breakage_arrived(struct worker *worker, struct message *message) {
    struct breakage *breakage = (struct breakage *)message;
    news_was_read(worker, sizeof *breakage);
    breakage->on_broken(worker, breakage->handle);
    free(breakage);
}

/* Without memory for it the client hears of it the next time. */
static void tell_broken(const struct worker *worker, const struct tracker *tracker) {
    struct breakage *breakage = tracker->home == worker ? NULL : malloc(sizeof *breakage);
    if (tracker->home == worker) {
        tracker->on_broken(tracker->home, tracker->link.hash);
    } else if (breakage != NULL) {
        *breakage = (struct breakage){.message.handle = breakage_arrived,
                                      .handle = tracker->link.hash,
                                      .on_broken = tracker->on_broken};
        news_post(tracker->home, &breakage->message, sizeof *breakage);
    }
}

/* As Redis has it: a push with RESP3; with RESP2 a message, to another client that is a subscriber. 0: it
 * can't be told. */
static int protocol_of(const struct tracker *tracker) {
    const struct session *session = &tracker->task->session;
    if (session->protocol == 3) return 3;
    return tracker->redirect != 0 && session_is_subscriber(session) ? 2 : 0;
}

/* What follows is the keys, or a null. */
static void text_begin(struct reply *text, int protocol) {
    text->protocol = protocol;
    reply_push(text, protocol == 3 ? 2 : 3);
    reply_bulk_text(text, protocol == 3 ? "invalidate" : "message");
    if (protocol == 2) reply_bulk_text(text, "__redis__:invalidate");
}

/* Without memory for the text, the client can't be told of keys, nor of its having been told nothing. */
static void push(struct tracker *tracker, const struct reply *text) {
    const struct task_functions *functions = tracker->task->functions;
    if (text->is_broken)
        functions->close(tracker->task, "out of memory");
    else
        functions->push(tracker->task, text->data, text->length);
}

/* Between two uses they are empty, and keep little: what one turn tells may be much. */
static void texts_clear(struct post *post) {
    for (int i = 0; i < 2; i++) reply_clear(&post->texts[i], TEXT_KEEP);
}

/* ------------------------------------------------------------------ telling all of a worker */

static void tell_everything(struct worker *worker) {
    struct post *post = post_of(worker);
    for (struct tracker *tracker = post->first; tracker != NULL; tracker = post->cursor) {
        post->cursor = tracker->next;
        if (tracker->task == NULL) {
            tell_broken(worker, tracker);
            continue;
        }
        int protocol = protocol_of(tracker);
        if (protocol == 0) continue;
        struct reply *text = &post->texts[protocol - 2];
        reply_clear(text, TEXT_KEEP);
        text_begin(text, protocol);
        reply_null(text);
        push(tracker, text);
    }
    texts_clear(post);
}

static void everything_arrived(struct worker *worker, struct message *message) {
    struct everything *everything = (struct everything *)message;
    atomic_store(&everything->is_sent, false); /* what happens from here on is told once more */
    tell_everything(worker);
}

void trackers_tell_everything(struct worker *worker) {
    struct everything *everything = post_of(worker)->everything;
    if (!atomic_exchange(&everything->is_sent, true)) news_post(worker, &everything->message, 0);
}

void trackers_tell_all(void) {
    if (atomic_load(&trackers_wanted) == 0) return;
    tracked_clear();
    for (uint32_t i = 0; i < worker_count(); i++) trackers_tell_everything(worker_at(i));
}

/* ------------------------------------------------------------------ telling of a key that was read */

static const char *key_of(const struct letter *letter) {
    return (const char *)(letter->handles + letter->count);
}

static size_t letter_bytes(const struct letter *letter) {
    return sizeof *letter + letter->count * sizeof letter->handles[0] + letter->length;
}

static struct reply *text_of(struct post *post, int protocol, const struct letter *letter) {
    struct reply *text = &post->texts[protocol - 2];
    if (text->length > 0) return text;
    text_begin(text, protocol);
    reply_array(text, 1);
    reply_bulk(text, key_of(letter), letter->length);
    return text;
}

/* Whoever hears of prefixes now may have heard of what it read before; that is over. */
static void tell_one(struct worker *worker, struct tracker *tracker, const struct letter *letter) {
    if (tracker->prefixes != NULL || (tracker->spares_itself && tracker->client == letter->author)) return;
    int protocol = tracker->task == NULL ? 0 : protocol_of(tracker);
    if (tracker->task == NULL)
        tell_broken(worker, tracker);
    else if (protocol != 0)
        push(tracker, text_of(post_of(worker), protocol, letter));
}

static void tell_readers(struct worker *worker, const struct letter *letter) {
    struct post *post = post_of(worker);
    for (uint32_t i = 0; i < letter->count; i++) {
        struct tracker *tracker = find_behind(post, letter->handles[i], 0);
        while (tracker != NULL) {
            uint64_t client = tracker->client;
            tell_one(worker, tracker, letter);
            tracker = find_behind(post, letter->handles[i], client);
        }
    }
    texts_clear(post);
}

/* ------------------------------------------------------------------ telling of prefixes */

static struct letter *find_waiting(const struct post *post, const struct letter *like) {
    for (struct chain_link *link = chains_find(&post->waiting, like->link.hash); link != NULL;
         link = link->next) {
        struct letter *letter = (struct letter *)((char *)link - offsetof(struct letter, link));
        if (link->hash == like->link.hash && letter->length == like->length &&
            memcmp(key_of(letter), key_of(like), like->length) == 0)
            return letter;
    }
    return NULL;
}

static void forget_waiting(struct post *post) {
    for (struct letter *letter = post->waiting_first, *next; letter != NULL; letter = next) {
        next = letter->next;
        free(letter);
    }
    chains_clear(&post->waiting);
    post->waiting_first = post->waiting_last = NULL;
    post->waiting_bytes = 0;
    post->waits_for_all = false;
}

static bool is_anything_waiting(const struct post *post) {
    return post->waiting_first != NULL || post->waits_for_all;
}

static void wait_for_all(struct post *post) {
    forget_waiting(post);
    post->waits_for_all = true;
    post->waiting_author = 0;
}

/* Takes the letter. */
static void wait_to_be_told(struct worker *worker, struct letter *letter) {
    struct post *post = post_of(worker);
    if (post->waits_for_all) {
        free(letter);
        return;
    }
    if (post->waiting_first == NULL) post->waiting_author = letter->author;
    if (post->waiting_author != letter->author) post->waiting_author = 0;
    struct letter *waiting = find_waiting(post, letter);
    if (waiting != NULL) {
        if (waiting->author != letter->author) waiting->author = 0;
        free(letter);
        return;
    }
    if (!chains_insert(&post->waiting, &letter->link, letter->link.hash)) {
        free(letter);
        wait_for_all(post);
        return;
    }
    letter->next = NULL;
    *(post->waiting_last != NULL ? &post->waiting_last->next : &post->waiting_first) = letter;
    post->waiting_last = letter;
    post->waiting_bytes += letter_bytes(letter);
    if (post->waiting_bytes > WAITING_MOST) wait_for_all(post);
}

/* Many clients may have prefixes of their own: where many keys wait as well, each client's are looked up
 * among them rather than each of them compared. */
struct settling {
    const struct letter **letters; /* in the order in which they came */
    struct prefix_key *keys;       /* NULL: there are few */
    uint32_t *picked;              /* places of those that are for one client */
    uint32_t count;
};

static void settling_end(struct post *post) {
    if (post->settling == NULL) return;
    free((void *)post->settling->letters);
    free(post->settling->keys);
    free(post->settling->picked);
    free(post->settling);
    post->settling = NULL;
}

/* false: no memory. */
static bool settling_begin(struct post *post) {
    uint32_t count = 0, all_of_them = post->waiting.count;
    struct settling *settling = calloc(1, sizeof *settling);
    if (settling == NULL) return false;
    post->settling = settling;
    settling->letters = (const struct letter **)malloc(all_of_them * sizeof(struct letter *));
    settling->picked = malloc(all_of_them * sizeof *settling->picked);
    if (all_of_them >= SORTED_LEAST) settling->keys = malloc(all_of_them * sizeof *settling->keys);
    if (settling->letters == NULL || settling->picked == NULL ||
        (all_of_them >= SORTED_LEAST && settling->keys == NULL)) {
        settling_end(post);
        return false;
    }
    for (const struct letter *letter = post->waiting_first; letter != NULL; letter = letter->next, count++) {
        settling->letters[count] = letter;
        if (settling->keys != NULL)
            settling->keys[count] =
                (struct prefix_key){.bytes = key_of(letter), .length = letter->length, .place = count};
    }
    assert(count == all_of_them);
    settling->count = count;
    if (settling->keys != NULL) prefix_keys_sort(settling->keys, count);
    return true;
}

static int by_place(const void *one, const void *other) {
    uint32_t first = *(const uint32_t *)one, second = *(const uint32_t *)other;
    return (first > second) - (first < second);
}

/* Those with one of its prefixes, in their order; some may be its own. */
static uint32_t pick(const struct settling *settling, const struct tracker *tracker) {
    const struct prefix_list *prefixes = tracker->prefixes;
    uint32_t count = 0;
    if (settling->keys != NULL && prefixes->at[0].length > 0 && prefixes->count < settling->count) {
        count = prefix_list_pick(prefixes, settling->keys, settling->count, settling->picked);
        if (count > 1) qsort(settling->picked, count, sizeof *settling->picked, by_place);
        return count;
    }
    for (uint32_t i = 0; i < settling->count; i++) {
        const struct letter *letter = settling->letters[i];
        if (prefix_list_matches(prefixes, key_of(letter), letter->length)) settling->picked[count++] = i;
    }
    return count;
}

static bool is_own(const struct tracker *tracker, const struct letter *letter) {
    return tracker->spares_itself && tracker->client == letter->author;
}

/* Of whatever is for that one; nothing: the text is empty. */
static void write_waiting(const struct post *post, const struct tracker *tracker, int protocol,
                          struct reply *text) {
    const struct settling *settling = post->settling;
    uint32_t picked = settling == NULL ? 0 : pick(settling, tracker), count = 0;
    reply_clear(text, TEXT_KEEP);
    if (settling != NULL && picked == 0) return;
    text_begin(text, protocol);
    if (settling == NULL) {
        reply_null(text);
        return;
    }
    size_t mark = reply_defer(text);
    for (uint32_t i = 0; i < picked; i++) {
        const struct letter *letter = settling->letters[settling->picked[i]];
        if (is_own(tracker, letter)) continue;
        reply_bulk(text, key_of(letter), letter->length);
        count++;
    }
    reply_defer_array(text, mark, count);
    if (count == 0) reply_clear(text, TEXT_KEEP);
}

static bool is_told_any(const struct post *post, const struct tracker *tracker) {
    const struct settling *settling = post->settling;
    if (settling == NULL) return true;
    uint32_t picked = pick(settling, tracker), i = 0;
    while (i < picked && is_own(tracker, settling->letters[settling->picked[i]])) i++;
    return i < picked;
}

static void shared_forget(struct post *post, int protocol) {
    struct payload **shared = &post->shared[protocol - 2];
    if (*shared != NULL) payload_release(*shared);
    *shared = NULL;
}

static void release_of_owner(void *owner) {
    payload_release(owner);
}

static void push_waiting(struct post *post, struct tracker *tracker, int protocol) {
    const struct reply *text = &post->texts[protocol - 2];
    struct payload **shared = &post->shared[protocol - 2];
    if (text->length >= SHARE_LEAST && *shared == NULL && !text->is_broken) {
        *shared = payload_create(text->length);
        if (*shared != NULL) payload_append(*shared, text->data, text->length);
    }
    if (*shared == NULL) {
        push(tracker, text);
        return;
    }
    atomic_fetch_add(&(*shared)->holders, 1);
    tracker->task->functions->push_reference(tracker->task, (*shared)->bytes, (*shared)->length, *shared,
                                             release_of_owner);
}

/* Those with the same prefixes mostly stand together, and are told the same. */
static void tell_waiting(struct post *post, struct tracker *tracker) {
    int protocol = protocol_of(tracker);
    if (protocol == 0) return;
    const struct tracker *like = post->told[protocol - 2];
    struct reply *text = &post->texts[protocol - 2];
    bool is_same =
        like != NULL && !tracker->spares_itself && prefix_list_is_same(like->prefixes, tracker->prefixes);
    if (!is_same) {
        shared_forget(post, protocol);
        write_waiting(post, tracker, protocol, text);
    }
    post->told[protocol - 2] = tracker->spares_itself ? NULL : tracker;
    if (text->length > 0 || text->is_broken) push_waiting(post, tracker, protocol);
}

void trackers_settle(const struct worker *worker) {
    if (!trackers_are_wanted() || !is_anything_waiting(post_of(worker))) return;
    struct post *post = post_of(worker);
    if (!post->waits_for_all && !settling_begin(post)) wait_for_all(post);
    for (struct tracker *tracker = post->first; tracker != NULL && tracker->prefixes != NULL;
         tracker = post->cursor) {
        post->cursor = tracker->next;
        if (tracker->task != NULL)
            tell_waiting(post, tracker);
        else if (is_told_any(post, tracker))
            tell_broken(worker, tracker);
    }
    for (int protocol = 2; protocol <= 3; protocol++) {
        shared_forget(post, protocol);
        post->told[protocol - 2] = NULL;
    }
    texts_clear(post);
    settling_end(post);
    forget_waiting(post);
}

/* What it has done itself is told at the turn's end, as Redis does it. */
bool trackers_are_due(const struct worker *worker, const struct session *session) {
    const struct post *post = post_of(worker);
    return is_anything_waiting(post) && post->waiting_author != session->id;
}

/* ------------------------------------------------------------------ what has changed */

static void letter_arrived(struct worker *worker, struct message *message) {
    struct letter *letter = (struct letter *)message;
    news_was_read(worker, letter_bytes(letter));
    if (letter->count == 0) {
        wait_to_be_told(worker, letter);
        return;
    }
    tell_readers(worker, letter);
    free(letter);
}

static void send_letter(struct worker *worker, uint64_t author, uint32_t hash, const char *key, size_t length,
                        const uint32_t *handles, uint32_t count) {
    bool has_room = atomic_load_explicit(&worker->news_bytes, memory_order_relaxed) <= UNREAD_MOST;
    struct letter *letter = has_room ? malloc(sizeof *letter + count * sizeof(uint32_t) + length) : NULL;
    if (letter == NULL) {
        trackers_tell_everything(worker);
        return;
    }
    letter->message.handle = letter_arrived;
    letter->link.hash = hash;
    letter->author = author;
    letter->length = (uint32_t)length;
    letter->count = count;
    if (count > 0) memcpy(letter->handles, handles, count * sizeof(uint32_t));
    if (length > 0) memcpy(letter->handles + count, key, length);
    news_post(worker, &letter->message, letter_bytes(letter));
}

/* To each worker of those who have read it. */
static void tell_record(struct tracked *record, uint64_t author) {
    uint32_t count;
    size_t length;
    const uint32_t *handles = tracked_clients(record, &count);
    const char *key = tracked_name(record, &length);
    for (uint32_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && handles[to] >> SEQUENCE_BITS == handles[from] >> SEQUENCE_BITS;)
            to++;
        send_letter(tracker_worker(handles[from]), author, 0, key, length, handles + from, to - from);
    }
    tracked_free(record);
}

static void tell_prefixes(const struct key *key, uint64_t author) {
    struct worker_set workers = {{0}};
    prefixes_find(key->data, key->length, &workers);
    for (uint32_t i = 0; i < worker_count(); i++)
        if ((workers.bits[i / 64] >> i % 64 & 1) != 0)
            send_letter(worker_at(i), author, (uint32_t)key->hash, key->data, key->length, NULL, 0);
}

static void tell_change(const struct key *key, uint64_t author) {
    struct tracked *record = tracked_take(key);
    if (record != NULL) tell_record(record, author);
    if (prefixes_count() > 0) tell_prefixes(key, author);
}

/* Whoever makes room or removes what has expired does so for everybody. Where a value went is told when it
 * has left the other key. */
static void on_changed(void *context, struct write_scope *scope, const struct key *key,
                       const struct entry *entry, enum event event, bool is_new) {
    (void)context, (void)entry, (void)is_new;
    if (event == EVENT_ENCODING || event == EVENT_RENAME_TO) return;
#ifdef PLANT_UNTOLD_CHANGE
    static _Atomic uint32_t changes;
    if (atomic_fetch_add(&changes, 1) % 500 == 499) return;
#endif
    bool is_nobodys = event == EVENT_EXPIRED || event == EVENT_EVICTED;
    tell_change(key, is_nobodys ? 0 : scope->scope.author);
}

static void on_mentioned(void *context, const struct scope *scope, const struct key *key, enum event event) {
    (void)context;
    if (event == EVENT_RENAME_TO) tell_change(key, scope->author);
}

/* One that is too many goes for one that comes; where the limit was lowered, several. */
#define EXCESS_MOST 16

void tracker_reads(uint32_t handle, const struct key *key) {
    struct tracked *excess;
    if (!tracked_add(key, handle)) {
        excess = tracked_take(key);
        if (excess != NULL) tell_record(excess, 0);
        if (!tracked_add(key, handle)) trackers_tell_everything(tracker_worker(handle));
    }
    for (int i = 0; i < EXCESS_MOST && (excess = tracked_take_excess(key)) != NULL; i++)
        tell_record(excess, 0);
}

/* ------------------------------------------------------------------ start and end */

bool trackers_start(struct keyspace *keyspace, uint32_t workers) {
    all.keyspace = keyspace;
    all.count = workers;
    all.posts = calloc(workers, sizeof *all.posts);
    for (uint32_t i = 0; all.posts != NULL && i < workers; i++) {
        struct post *post = &all.posts[i];
        post->everything = calloc(1, sizeof *post->everything);
        if (post->everything == NULL) return false;
        post->everything->message.handle = everything_arrived;
        reply_init(&post->texts[0], 2);
        reply_init(&post->texts[1], 3);
    }
    if (all.posts == NULL || !prefixes_start(workers)) return false;
    tracked_start();
    keyspace_listen(keyspace, &(struct keyspace_listener){.changed = on_changed,
                                                          .mentioned = on_mentioned,
                                                          .wanted = &trackers_wanted});
    return true;
}

/* What was sent and not read has been freed with the news. */
void trackers_stop(void) {
    for (uint32_t i = 0; i < all.count; i++) {
        struct post *post = &all.posts[i];
        while (post->first != NULL) take_out(post, post->first);
        forget_waiting(post);
        reply_free(&post->texts[0]);
        reply_free(&post->texts[1]);
        if (!atomic_load(&post->everything->is_sent)) free(post->everything);
    }
    free(all.posts);
    all.posts = NULL;
    tracked_stop();
    prefixes_stop();
}
