#include "scripts.h"

#include <stdio.h>
#include <string.h>

#include "storm.h"

#define WAIT_MS 300
#define KEYS 40 /* acts.c's everyday ones */

struct script {
    const char *text, *arguments; /* "%d" is any small number, there may be three */
};

/* What they do to each other's keys and states is what matters: to those that are declared and those that
 * are not, before and after they have written, to another database, to all. */
static const struct script scripts[] = {
    {"return redis.call('get', KEYS[1])", "1 str:%d"},
    {"redis.call('set', KEYS[1], ARGV[1]) return redis.call('get', KEYS[1])", "1 str:%d %d"},
    {"return redis.call('incr', KEYS[1]) + redis.call('incr', KEYS[2])", "2 number:%d number:%d"},
    {"for i = 0, 5 do redis.call('incr', 'number:' .. (ARGV[1] + i * ARGV[2]) % 8) end", "0 %d %d"},
    {"redis.call('incr', KEYS[1]) return redis.call('rename', 'str:' .. ARGV[1], 'str:' .. ARGV[2])",
     "1 number:%d %d %d"},
    {"return {redis.pcall('get', 'str:' .. ARGV[1]), redis.pcall('lpush', 'str:' .. ARGV[2], 'x')}",
     "0 %d %d"},
    {"redis.call('select', 1) redis.call('set', 'str:' .. ARGV[1], ARGV[2])", "0 %d %d"},
    {"redis.call('incr', KEYS[1]) return redis.call('scan', 0, 'count', 50)", "1 number:%d"},
    {"return {redis.call('dbsize'), redis.call('randomkey')}", "0"},
    {"redis.call('rpush', KEYS[1], ARGV[1], ARGV[2]) return redis.call('lpop', 'queue:' .. ARGV[1] % 6)",
     "1 queue:%d %d %d"},
    {"redis.call('lpush', 'chain:' .. ARGV[1] % 6, 'x')", "0 %d"},
    {"local all = {} for i = 1, 20000 do all[i] = i .. 'x' end return #cjson.encode(all)", "0"},
    {"return redis.pcall('nothing', string.rep('x', ARGV[1] * 1000))", "0 %d"},
    {"redis.call('set', KEYS[1], 'x') error('enough')", "1 str:%d"},
    {"redis.call('set', KEYS[1], 'x', 'px', 1 + ARGV[1]) return redis.call('pttl', KEYS[1])",
     "1 passing:%d %d"},
    {"redis.setresp(3) return redis.call('hgetall', KEYS[1])", "1 hash:%d"},
};
#define SCRIPTS (sizeof scripts / sizeof scripts[0])

static const char *const libraries[] = {
    "#!lua name=one\nlocal calls = 0 "
    "redis.register_function('add', function(keys, args) calls = calls + 1 "
    "redis.call('incr', keys[1]) return redis.call('incr', 'number:' .. args[1] % 8) end) "
    "redis.register_function{function_name='look', flags={'no-writes'}, "
    "callback=function(keys, args) return redis.call('get', 'str:' .. args[1]) end}",
    "#!lua name=two\nredis.register_function('all', function(keys, args) "
    "redis.call('set', keys[1], args[1]) return redis.call('dbsize') end)",
    "#!lua name=one\nredis.register_function('add', function(keys, args) return redis.call('get', keys[1]) "
    "end)",
    "#!lua name=two\nfor i = 1, 200000 do end redis.register_function('all', function(keys, args) "
    "return redis.call('incr', keys[1]) end)",
};
#define LIBRARIES (sizeof libraries / sizeof libraries[0])

static int any(struct actor *actor) {
    return (int)draw(actor, KEYS);
}

static void add_script(struct actor *actor, const char *command, const struct script *script) {
    char rest[128];
    snprintf(rest, sizeof rest, script->arguments, any(actor), any(actor), any(actor));
    text_request_of(&actor->text, script->text, "%s @ %s", command, rest);
}

/* So long that another thread compiles it. */
static void add_long(struct actor *actor) {
    static const char end[] = "\nreturn redis.call('incr', KEYS[1])";
    char text[70000 + sizeof end];
    memset(text, '-', 70000);
    memcpy(text + 70000, end, sizeof end);
    if (draw(actor, 3) == 0)
        text_request_of(&actor->text, text, "SCRIPT LOAD @");
    else
        text_request_of(&actor->text, text, "EVAL @ 1 number:%d", any(actor) % 8);
}

static void add_one(struct actor *actor) {
    const struct script *script = &scripts[draw(actor, SCRIPTS)];
    if (draw(actor, 40) == 0) {
        add_long(actor);
        return;
    }
    switch (draw(actor, 12)) {
    case 0: text_request(&actor->text, "SCRIPT FLUSH %s", draw(actor, 2) == 0 ? "ASYNC" : "SYNC"); break;
    case 1: text_request_of(&actor->text, script->text, "SCRIPT LOAD @"); break;
    case 2: text_request(&actor->text, "SCRIPT EXISTS a b"); break;
    case 3: add_script(actor, "EVAL_RO", script); break;
    case 4: text_request(&actor->text, "INCR number:%d", any(actor) % 8); break;
    default: add_script(actor, "EVAL", script); break;
    }
}

static void finish_or_not(struct actor *actor, struct wire *wire) {
    wire_send_text(wire, &actor->text, WAIT_MS);
    text_clear(&actor->text);
    if (draw(actor, 8) > 0) wire_finish(wire, WAIT_MS);
}

void play_script(struct actor *actor) {
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    for (uint64_t rounds = 1 + draw(actor, 8); rounds > 0; rounds--) {
        bool is_transaction = draw(actor, 3) == 0;
        if (is_transaction && draw(actor, 2) == 0)
            text_request(&actor->text, "WATCH number:%d str:%d", any(actor) % 8, any(actor));
        if (is_transaction) text_request(&actor->text, "MULTI");
        for (uint64_t k = 1 + draw(actor, 8); k > 0; k--) add_one(actor);
        if (is_transaction) text_request(&actor->text, "%s", draw(actor, 8) > 0 ? "EXEC" : "DISCARD");
        finish_or_not(actor, &wire);
    }
    actor_close(actor, &wire);
}

void play_function(struct actor *actor) {
    struct wire wire;
    if (!actor_open(actor, &wire)) return;
    for (uint64_t k = 1 + draw(actor, 20); k > 0; k--) {
        switch (draw(actor, 10)) {
        case 0:
            text_request(&actor->text, "FUNCTION FLUSH %s", draw(actor, 2) == 0 ? "ASYNC" : "SYNC");
            break;
        case 1: text_request(&actor->text, "FUNCTION DELETE one"); break;
        case 2: text_request(&actor->text, "FUNCTION LIST"); break;
        case 3: text_request(&actor->text, "FUNCTION STATS"); break;
        case 4: text_request(&actor->text, "FCALL all 1 str:%d x", any(actor)); break;
        case 5: text_request(&actor->text, "FCALL_RO look 1 str:%d %d", any(actor), any(actor)); break;
        case 6:
        case 7:
            text_request_of(&actor->text, libraries[draw(actor, LIBRARIES)], "FUNCTION LOAD REPLACE @");
            break;
        default: text_request(&actor->text, "FCALL add 1 number:%d %d", any(actor) % 8, any(actor)); break;
        }
    }
    finish_or_not(actor, &wire);
    actor_close(actor, &wire);
}

/* Some hundredths of a second each, since nobody may be left who ends it. */
static const struct script slow[] = {
    {"local n = 0 for i = 1, 3000000 do n = n + i end return n", "1 slow:%d"},
    {"redis.call('get', KEYS[1]) for i = 1, 100000 do pcall(function() end) end", "1 slow:%d"},
    {"redis.call('set', KEYS[1], 'x') for i = 1, 1000000 do end return redis.call('incr', 'number:1')",
     "1 slow:%d"},
    {"redis.call('sadd', 'set:k', 'y') for i = 1, 10 do string.find(string.rep('a', 60), '.-.-b') end", "0"},
};

void play_slow_script(struct actor *actor) {
    static const char *const others[] = {"SCRIPT KILL",    "FUNCTION KILL", "FUNCTION STATS",
                                         "SET slow:1 x",   "GET slow:2",    "SCRIPT FLUSH",
                                         "FUNCTION FLUSH", "CLIENT LIST",   "CLIENT KILL ID 0"};
    struct wire slow_one, other;
    if (!actor_open(actor, &slow_one)) return;
    char rest[32];
    const struct script *script = &slow[draw(actor, sizeof slow / sizeof slow[0])];
    bool is_transaction = draw(actor, 3) == 0;
    snprintf(rest, sizeof rest, script->arguments, (int)draw(actor, 3));
    if (is_transaction) text_request(&actor->text, "MULTI");
    text_request_of(&actor->text, script->text, "EVAL @ %s", rest);
    if (is_transaction) text_request(&actor->text, "EXEC");
    wire_send_text(&slow_one, &actor->text, WAIT_MS);
    text_clear(&actor->text);
    if (actor_open(actor, &other)) {
        for (uint64_t k = draw(actor, 6); k > 0; k--) {
            wire_say(&other, "%s", others[draw(actor, sizeof others / sizeof others[0])]);
            wire_read_some(&other, 1, (int)draw(actor, 20));
        }
        wire_finish(&other, WAIT_MS);
        actor_close(actor, &other);
    }
    if (draw(actor, 2) == 0) wire_finish(&slow_one, WAIT_MS);
    actor_close(actor, &slow_one);
}
