/* The acts: a function for each, and the tables of them. An act takes some milliseconds as a rule, half a
 * second at most, and leaves nothing open but its actor's heavy connection. What it is answered is nobody's
 * concern here. */
#include <string.h>
#include <stdio.h>
#include <time.h>

#include "tests/support.h"
#include "scripts.h"
#include "storm.h"

/* Names are few, so that clients meet. */
#define KEYS 40
#define QUEUES 6
#define WAIT_MS 300
#define SOFT_CLIENTS 6
#define HEAVY_OPEN_MS 1000

const char *const storm_slow_keys[] = {"set:a", "set:b", "set:k", "slow:0", "slow:1", "slow:2", NULL};

static void pass(uint64_t milliseconds) {
    struct timespec time = {.tv_sec = 0, .tv_nsec = (long)milliseconds * 1000000};
    nanosleep(&time, NULL);
}

static void send_and_clear(struct actor *actor, const struct wire *wire) {
    wire_send_text(wire, &actor->text, WAIT_MS);
    text_clear(&actor->text);
}

/* ------------------------------------------------------------------ everyday traffic */

static void add_everyday(struct actor *actor) {
    struct text *text = &actor->text;
    int key = (int)draw(actor, KEYS), queue = (int)draw(actor, QUEUES);
    switch (draw(actor, 14)) {
    case 0: text_request_with(text, 1 + draw(actor, 2000), "SET str:%d", key); break;
    case 1: text_request(text, "GET str:%d", key); break;
    case 2:
        text_request(text, "MGET str:%d str:%d str:%d set:small", key, (key + 1) % KEYS, (key + 2) % KEYS);
        break;
    case 3:
        text_request(text, "MSET str:%d a str:%d b str:%d c", key, (key + 7) % KEYS, (key + 9) % KEYS);
        break;
    case 4: text_request_with(text, 100 + draw(actor, 20000), "SET str:%d", key + 1000); break;
    case 5: text_request_with(text, 100, "SET passing:%d EX 1 x", (int)draw(actor, 5000)); break;
    case 6:
        text_request(text, "SET passing:%d x PX %d", (int)draw(actor, 5000), 1 + (int)draw(actor, 200));
        break;
    case 7: text_request(text, "HSET hash:%d a 1 b 2 c 3 f%d 4", key, (int)draw(actor, 500)); break;
    case 8:
        text_request(text, "ZADD zset:%d %d a %d b", key, (int)draw(actor, 99), (int)draw(actor, 99));
        break;
    case 9: text_request(text, "RPUSH queue:%d x y", queue); break;
    case 10: text_request(text, "LPOP queue:%d", queue); break;
    case 11: text_request(text, "DEL str:%d hash:%d queue:%d", key, key, queue); break;
    case 12: text_request(text, "RENAME str:%d str:%d", key, (key + 3) % KEYS); break;
    default: text_request(text, "APPEND str:%d abc", key); break;
    }
}

static void play_everyday(struct actor *actor) {
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    uint64_t rounds = 1 + draw(actor, 20);
    for (uint64_t i = 0; i < rounds && !atomic_load(&actor->storm->is_over); i++) {
        for (uint64_t k = 1 + draw(actor, 40); k > 0; k--) add_everyday(actor);
        send_and_clear(actor, &wire);
        if (!wire_finish(&wire, WAIT_MS)) break;
    }
    actor_close(actor, &wire);
}

/* Written on one connection, deleted on another: as a rule another worker's. */
static void play_large(struct actor *actor) {
    struct wire one, other;
    if (!actor_open(actor, &one)) return;
    bool has_other = actor_open(actor, &other);
    int key = (int)draw(actor, 8);
    for (int i = 0; i < 3 && has_other; i++) {
        text_request_with(&actor->text, 1 + draw(actor, 4 << 20), "SET large:%d", key);
        send_and_clear(actor, &one);
        if (!wire_finish(&one, WAIT_MS)) break;
        wire_say(&other, "DEL large:%d", key);
        if (!wire_finish(&other, WAIT_MS)) break;
    }
    if (has_other) actor_close(actor, &other);
    actor_close(actor, &one);
}

/* What a union on the heavy worker is in the way of. */
static void play_add(struct actor *actor) {
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    for (int i = 0; i < 50; i++) text_request(&actor->text, "SADD set:k z%d", i);
    send_and_clear(actor, &wire);
    wire_finish(&wire, WAIT_MS);
    actor_close(actor, &wire);
}

/* Watches, queues, and as a rule runs what it has queued; some go in the midst of it. Some ask all workers,
 * and some take all shards. */
static void play_transaction(struct actor *actor) {
    static const char *const besides[] = {"PING",   "CLIENT LIST", "CLIENT KILL ID 0",
                                          "DBSIZE", "SELECT 1",    "INFO stats"};
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    for (uint64_t rounds = 1 + draw(actor, 10); rounds > 0; rounds--) {
        if (draw(actor, 2) == 0) text_request(&actor->text, "WATCH set:k number:%d", (int)draw(actor, 8));
        text_request(&actor->text, "MULTI");
        for (uint64_t k = draw(actor, 10); k > 0; k--) add_everyday(actor);
        if (draw(actor, 4) == 0) text_request(&actor->text, "%s", besides[draw(actor, 6)]);
        if (draw(actor, 8) > 0) text_request(&actor->text, "%s", draw(actor, 8) > 0 ? "EXEC" : "DISCARD");
        send_and_clear(actor, &wire);
        if (draw(actor, 4) > 0 && !wire_finish(&wire, WAIT_MS)) break;
    }
    actor_close(actor, &wire);
}

/* ------------------------------------------------------------------ all shards */

static void play_flush(struct actor *actor) {
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    uint64_t database = 1 + draw(actor, 3);
    wire_say(&wire, "SELECT %d", (int)database);
    for (int i = 0; i < 5; i++) add_everyday(actor);
    send_and_clear(actor, &wire);
    switch (draw(actor, 8)) {
    case 0: wire_say(&wire, "FLUSHALL"); break;
    case 1: wire_say(&wire, "FLUSHALL ASYNC"); break;
    case 2: wire_say(&wire, "SWAPDB %d %d", (int)database, (int)(database % 3 + 1)); break;
    case 3: wire_say(&wire, "SWAPDB 0 %d", (int)database); break;
    default: wire_say(&wire, "FLUSHDB"); break;
    }
    if (draw(actor, 2) == 0) wire_finish(&wire, WAIT_MS);
    actor_close(actor, &wire);
    pass(draw(actor, 30));
}

static void play_pause(struct actor *actor) {
    struct wire wire;
    int milliseconds = 1 + (int)draw(actor, 150);
    if (!actor_open(actor, &wire)) return;
    /* Not all the time; and what is excused is set before and after, since the server's own time of it lies
     * in between. */
    if (atomic_load(&actor->storm->excused_until) < now_us() - 500000) {
        atomic_store(&actor->storm->excused_until, now_us() + 10000000);
        wire_say(&wire, "CLIENT PAUSE %d %s", milliseconds, draw(actor, 2) == 0 ? "ALL" : "WRITE");
        if (draw(actor, 3) == 0) wire_say(&wire, "CLIENT UNPAUSE");
        wire_finish(&wire, 5000);
        atomic_store(&actor->storm->excused_until, now_us() + milliseconds * 1000);
    }
    actor_close(actor, &wire);
    pass(draw(actor, 20));
}

static void play_hold(struct actor *actor) {
    struct wire wire;
    if (atomic_exchange(&actor->storm->holds, true)) {
        play_everyday(actor);
        return;
    }
    if (actor_open(actor, &wire)) {
        uint64_t milliseconds = 50 + draw(actor, 1850);
        wire_say(&wire, "DEBUG HOLD slow:%d %.3f", (int)draw(actor, 3), (double)milliseconds / 1000);
        wire_finish(&wire, WAIT_MS);
        wire_say(&wire, "SET slow:%d x", (int)draw(actor, 3));
        wire_finish(&wire, 20);
        actor_close(actor, &wire);
        for (uint64_t i = 0; i < milliseconds && !atomic_load(&actor->storm->is_over); i += 50) pass(50);
    }
    atomic_store(&actor->storm->holds, false);
}

/* ------------------------------------------------------------------ ends of connections */

/* In one packet, in any order, what ends or changes a session. */
static void play_ends(struct actor *actor) {
    static const char *const requests[] = {
        "MONITOR",           "MONITOR",          "QUIT",      "RESET",   "PING",
        "CLIENT REPLY SKIP", "CLIENT REPLY OFF", "GET str:1", "HELLO 3", "CLIENT ID"};
    static const char *const wrong[] = {"*1\r\n+PING\r\n", "*-7\r\n$x\r\n", "*99999999999\r\n", "\"\r\n"};
    for (int i = 0; i < 4; i++) {
        struct wire wire;
        if (!actor_open(actor, &wire)) return;
        for (uint64_t k = 1 + draw(actor, 4); k > 0; k--)
            text_request(&actor->text, "%s", requests[draw(actor, sizeof requests / sizeof requests[0])]);
        if (draw(actor, 3) == 0) {
            const char *garbage = wrong[draw(actor, sizeof wrong / sizeof wrong[0])];
            text_bytes(&actor->text, garbage, strlen(garbage));
        }
        send_and_clear(actor, &wire);
        wire_read_some(&wire, 1 + draw(actor, 4000), (int)draw(actor, 30));
        actor_close(actor, &wire);
    }
}

/* Half of a request, at any place of it, and then nothing more. */
static void play_half(struct actor *actor) {
    for (int i = 0; i < 10; i++) {
        struct wire wire;
        if (!actor_open(actor, &wire)) return;
        switch (draw(actor, 4)) {
        case 0: text_request_with(&actor->text, 1 + draw(actor, 100000), "SET str:1"); break;
        case 1: text_request(&actor->text, "MSET a b c d e f g h"); break;
        case 2: text_bytes(&actor->text, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10000000\r\nabcdefgh", 38); break;
        default: text_bytes(&actor->text, "*1000000\r\n$0\r\n\r\n$0\r\n\r\n", 22); break;
        }
        actor->text.length -= draw(actor, actor->text.length);
        send_and_clear(actor, &wire);
        if (draw(actor, 2) == 0) wire_read_some(&wire, 1, 1 + (int)draw(actor, 5));
        if (draw(actor, 3) > 0) {
            storm_depart(actor->storm, wire.id, "half (reset)");
            wire_reset(&wire);
        } else {
            actor_close(actor, &wire);
        }
    }
}

static void play_kill(struct actor *actor) {
    struct wire victim, killer;
    if (!actor_open(actor, &victim)) return;
    if (actor_open(actor, &killer)) {
        switch (draw(actor, 5)) {
        case 0: wire_say(&victim, "BLPOP queue:%d never:1 never:2 0", (int)draw(actor, QUEUES)); break;
        case 1: wire_say(&victim, "MONITOR"); break;
        case 2: wire_say(&victim, "SET slow:%d x", (int)draw(actor, 3)); break;
        case 3: text_request_with(&actor->text, 300000, "SET str:1"); break;
        default: add_everyday(actor); break;
        }
        send_and_clear(actor, &victim);
        if (victim.id != 0) {
            switch (draw(actor, 4)) {
            case 0: wire_say(&killer, "CLIENT UNBLOCK %llu ERROR", (unsigned long long)victim.id); break;
            case 1: wire_say(&killer, "CLIENT UNBLOCK %llu", (unsigned long long)victim.id); break;
            default: wire_say(&killer, "CLIENT KILL ID %llu", (unsigned long long)victim.id); break;
            }
        }
        wire_finish(&killer, WAIT_MS);
        actor_close(actor, &killer);
    }
    actor_close(actor, &victim);
}

/* Many replies that nobody reads: some wait a while and then do, some for longer than the soft limit
 * allows. */
static void play_unread(struct actor *actor) {
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    if (draw(actor, 3) == 0) wire_say(&wire, "MONITOR");
    text_request_with(&actor->text, 20000, "SET unread");
    for (uint64_t i = 1 + draw(actor, 300); i > 0; i--)
        text_request(&actor->text, draw(actor, 2) == 0 ? "GET unread" : "MGET unread unread unread");
    send_and_clear(actor, &wire);
    for (uint64_t i = draw(actor, 25); i > 0 && !atomic_load(&actor->storm->is_over); i--) {
        pass(50);
        wire_say(&wire, "GET unread");
    }
    if (draw(actor, 2) == 0) wire_read_some(&wire, 100 << 20, WAIT_MS);
    actor_close(actor, &wire);
}

/* Owed more than the soft limit allows for a second (the server's options), and then read at once, just when
 * time is up. */
static void play_soft(struct actor *actor) {
    struct wire wires[SOFT_CLIENTS];
    for (int i = 0; i < SOFT_CLIENTS; i++) {
        if (!actor_open(actor, &wires[i])) return;
        text_request_with(&actor->text, 30000, "SET unread");
        for (int k = 0; k < 400; k++) text_request(&actor->text, "MGET unread unread");
        send_and_clear(actor, &wires[i]);
    }
    pass(900);
    for (int i = 0; i < SOFT_CLIENTS; i++) {
        pass(draw(actor, 60));
        wire_read_some(&wires[i], 64 << 20, 30);
    }
    for (int i = 0; i < SOFT_CLIENTS; i++) actor_close(actor, &wires[i]);
}

/* ------------------------------------------------------------------ waiting for keys */

#define WAITERS_MOST 72

static void play_chain(struct actor *actor) {
    struct wire waiters[WAITERS_MOST], giver;
    int order[QUEUES];
    for (int i = 0; i < QUEUES; i++) order[i] = i;
    for (int i = QUEUES - 1; i > 0; i--) {
        int other = (int)draw(actor, (uint64_t)i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    /* Many from the first to the second, then one on each further step. */
    static const uint32_t counts[] = {1, 2, 5, 63, 64, 68};
    uint32_t first = counts[draw(actor, sizeof counts / sizeof counts[0])], count = 0;
    if (!actor_open(actor, &giver)) return;
    for (uint32_t i = 0; i < first + 3; i++) {
        int step = i < first ? 0 : (int)(i - first) + 1;
        if (!actor_open(actor, &waiters[count])) break;
        wire_say(&waiters[count],
                 draw(actor, 8) > 0 ? "BLMOVE chain:%d chain:%d RIGHT LEFT 0"
                                    : "BRPOPLPUSH chain:%d chain:%d 0.2",
                 order[step], order[step + 1]);
        count++;
    }
    /* They wait by now: what they asked before is done, though not necessarily this. */
    wire_say(&giver, "DEL chain:%d", order[1]);
    wire_finish(&giver, WAIT_MS);
    for (uint64_t i = 1 + draw(actor, 5); i > 0; i--)
        text_request(&actor->text, "LPUSH chain:%d x", order[0]);
    for (int i = 0; i < 4; i++)
        text_request(&actor->text, draw(actor, 2) == 0 ? "LRANGE chain:%d 0 -1" : "LPUSH chain:%d y",
                     order[draw(actor, QUEUES)]);
    send_and_clear(actor, &giver);
    wire_finish(&giver, WAIT_MS);
    if (draw(actor, 3) == 0) wire_say(&giver, "DEL chain:%d chain:%d chain:%d", order[1], order[2], order[3]);
    actor_close(actor, &giver);
    for (uint32_t i = 0; i < count; i++) actor_close(actor, &waiters[i]);
}

/* Waits for what never comes, sends what nobody will run, and is gone. */
static void play_gone(struct actor *actor) {
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    wire_say(&wire, "BLPOP never:%d never:x 0", (int)draw(actor, 5));
    for (uint64_t i = 1 + draw(actor, 400); i > 0; i--) text_request_with(&actor->text, 4000, "SET str:1");
    wire_send_text(&wire, &actor->text, 50);
    text_clear(&actor->text);
    storm_depart(actor->storm, wire.id, "gone");
    wire_close(&wire);
}

static void play_wait(struct actor *actor) {
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    for (int i = 0; i < 5; i++) {
        text_request(&actor->text, "BLPOP queue:%d queue:%d never:%d 0.0%d", (int)draw(actor, QUEUES),
                     (int)draw(actor, QUEUES), i, 1 + (int)draw(actor, 3));
        if (draw(actor, 4) == 0) text_request(&actor->text, "BZPOPMIN zset:%d 0.01", (int)draw(actor, KEYS));
        if (draw(actor, 4) == 0)
            text_request(&actor->text, "XREAD BLOCK 5 STREAMS stream:%d $", (int)draw(actor, 3));
    }
    send_and_clear(actor, &wire);
    wire_finish(&wire, WAIT_MS);
    actor_close(actor, &wire);
}

/* ------------------------------------------------------------------ the limit */

static void play_limit(struct actor *actor) {
    static const char *const policies[] = {"noeviction",     "allkeys-lru",    "allkeys-lfu",
                                           "allkeys-s3fifo", "allkeys-random", "volatile-ttl"};
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    wire_say(&wire, "CONFIG SET maxmemory-policy %s",
             policies[draw(actor, sizeof policies / sizeof policies[0])]);
    if (draw(actor, 2) == 0)
        wire_say(&wire, "CONFIG SET maxmemory 0");
    else
        wire_say(&wire, "CONFIG SET maxmemory %dmb", 20 + (int)draw(actor, 100));
    wire_finish(&wire, WAIT_MS);
    if (draw(actor, 2) == 0) {
        for (uint64_t i = draw(actor, 200); i > 0; i--)
            text_request_with(&actor->text, 1 + draw(actor, 8000), "SET fill:%d", (int)draw(actor, 20000));
        send_and_clear(actor, &wire);
        wire_finish(&wire, WAIT_MS);
    }
    actor_close(actor, &wire);
    pass(draw(actor, 100));
}

static void play_ask(struct actor *actor) {
    static const char *const requests[] = {"INFO",           "CLIENT LIST",     "CLIENT INFO",
                                           "DBSIZE",         "MEMORY STATS",    "SLOWLOG GET",
                                           "LATENCY LATEST", "RANDOMKEY",       "CONFIG GET max*",
                                           "COMMAND COUNT",  "DEBUG HTSTATS 0", "SCAN 0 COUNT 100",
                                           "MEMORY DOCTOR",  "CONFIG RESETSTAT"};
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    for (int i = 0; i < 5; i++)
        wire_say(&wire, "%s", requests[draw(actor, sizeof requests / sizeof requests[0])]);
    if (draw(actor, 2) == 0) wire_finish(&wire, WAIT_MS);
    actor_close(actor, &wire);
}

/* Users come, change and go, while clients are them. Nobody else is one of them. */
static void play_users(struct actor *actor) {
    static const char *const rules[] = {
        "allkeys",       "resetkeys",      "~str:*",         "%R~str:*",    "+@all", "-@all",        "-get",
        "+@read +blpop", "(~set:* +sadd)", "clearselectors", "allchannels", "on",    "resetchannels"};
    static const char *const requests[] = {
        "GET str:1",      "SET str:2 x",   "BLPOP storm:list 0.02", "ACL LOG 3",
        "MULTI",          "EXEC",          "SADD set:k x",          "PUBLISH storm x",
        "ACL WHOAMI",     "ACL LOG RESET", "SORT slow:0 BY w_*",    "RESET",
        "SUBSCRIBE storm"};
    enum { RULES = sizeof rules / sizeof rules[0], REQUESTS = sizeof requests / sizeof requests[0] };
    struct wire wire;
    int user = (int)draw(actor, 4);
    if (!actor_open(actor, &wire)) return;
    if (draw(actor, 4) == 0)
        wire_say(&wire, "ACL DELUSER storm:%d", user);
    else /* each may say ECHO, which tells that all is answered */
        wire_say(&wire, "ACL SETUSER storm:%d on nopass %s %s +echo", user, rules[draw(actor, RULES)],
                 rules[draw(actor, RULES)]);
    if (draw(actor, 3) > 0) {
        wire_say(&wire, "AUTH storm:%d x", user);
        for (uint64_t i = draw(actor, 8); i > 0; i--) wire_say(&wire, "%s", requests[draw(actor, REQUESTS)]);
        text_request_of(&actor->text, "for i = 1, 9 do redis.pcall('get', 'str:' .. i) end", "EVAL @ 0");
        send_and_clear(actor, &wire);
    }
    if (draw(actor, 2) == 0) wire_finish(&wire, WAIT_MS);
    actor_close(actor, &wire);
}

/* ------------------------------------------------------------------ heavy */

static bool has_heavy_connection(struct actor *actor) {
    if (actor->heavy.fd >= 0) return true;
    if (storm_open_on(actor->storm, &actor->heavy, HEAVY_WORKER, HEAVY_OPEN_MS)) return true;
    pass(20);
    return false;
}

/* Sends what is to be sent, and waits for it: who has not been answered for long begins anew. */
static void work_hard(struct actor *actor) {
    struct wire *wire = &actor->heavy;
    bool is_fine = wire_send_text(wire, &actor->text, 1000);
    text_clear(&actor->text);
    if (!is_fine || !wire_finish(wire, 1000)) wire_reset(wire);
}

static void play_union(struct actor *actor) {
    if (!has_heavy_connection(actor)) return;
    text_request(&actor->text, "SELECT 0");
    for (uint32_t i = 0; i < actor->storm->unions; i++)
        text_request(&actor->text, "SUNIONSTORE set:k set:a set:b");
    work_hard(actor);
}

/* They may have been flushed or evicted meanwhile. */
static void play_fill(struct actor *actor) {
    if (!has_heavy_connection(actor)) return;
    const char *key = draw(actor, 2) == 0 ? "set:a" : "set:b";
    uint32_t first = (uint32_t)draw(actor, actor->storm->members);
    for (uint32_t i = 0; i < actor->storm->members / 2; i += 200) {
        char line[8192];
        int length = snprintf(line, sizeof line, "SADD %s", key);
        for (uint32_t k = i; k < i + 200; k++)
            length += snprintf(line + length, sizeof line - (size_t)length, " member:%u",
                               (first + k) % (2 * actor->storm->members));
        text_request(&actor->text, "%s", line);
    }
    work_hard(actor);
}

static void play_sort(struct actor *actor) {
    if (!has_heavy_connection(actor)) return;
    struct text *text = &actor->text;
    for (int i = 0; i < 20; i++) text_request(text, "RPUSH slow:0 5 3 9 1 7 22 14 8 6 2");
    text_request(text, draw(actor, 2) == 0 ? "SORT slow:0 BY w_* LIMIT 0 10"
                                           : "SORT slow:0 BY w_* GET str:* STORE slow:1");
    text_request(text, "LTRIM slow:0 0 1000");
    work_hard(actor);
}

static void play_long(struct actor *actor) {
    if (!has_heavy_connection(actor)) return;
    struct text *text = &actor->text;
    switch (draw(actor, 5)) {
    case 0: text_request(text, "KEYS *a*b*c*"); break;
    case 1:
        text_request_with(text, 1000, "SET slow:1");
        text_request_with(text, 1000, "SET slow:2");
        text_request(text, "LCS slow:1 slow:2 IDX");
        break;
    case 2: text_request(text, "ZUNIONSTORE slow:2 2 set:a set:b"); break;
    case 3: text_request(text, "SDIFFSTORE slow:1 set:k set:a"); break;
    default: text_request(text, "SMEMBERS set:a"); break;
    }
    work_hard(actor);
}

/* Those that once broke something stand first. */
const struct act light_acts[] = {
    {"everyday", play_everyday},
    {"add", play_add},
    {"ends", play_ends},
    {"half", play_half},
    {"chain", play_chain},
    {"gone", play_gone},
    {"large", play_large},
    {"limit", play_limit},
    {"flush", play_flush},
    {"pause", play_pause},
    {"hold", play_hold},
    {"unread", play_unread},
    {"soft", play_soft},
    {"kill", play_kill},
    {"wait", play_wait},
    {"ask", play_ask},
    {"add", play_add},
    {"transaction", play_transaction},
    {"script", play_script},
    {"function", play_function},
    {"slow_script", play_slow_script},
    {"users", play_users},
    {NULL, NULL},
};
const struct act heavy_acts[] = {
    {"union", play_union}, {"union", play_union}, {"fill", play_fill},
    {"sort", play_sort},   {"long", play_long},   {NULL, NULL},
};
