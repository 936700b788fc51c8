/* Memory runs out in what runs several commands as one: scripts, functions and transactions. For each row of
 * commands, and each way to have it run, the n-th allocation of the whole (queueing, compiling, running,
 * starting again) fails, for every n until none is left to fail; and again so that all behind it fail, too.
 *
 * Whichever it is, each command of the row has done all that it does, or nothing; the answer says of each
 * which of the two it is; and an answer that says that all of it had no memory has changed nothing. A script
 * that has an error leaves what came before, as in Redis. What a client waits for, it gets, or it waits on.
 *
 * They go through dispatch, on a worker of this process. SHARE=20 tries about one of 20 failures, drawn by
 * SEED. WAY=text tries those ways that have it in their names. */
#include "tests/engine.h"

#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>

#include "answers.h"
#include "digest.h"
#include "failing.h"
#include "server/acl/users.h"
#include "server/base/clock.h"
#include "server/base/process.h"
#include "server/client/clients.h"
#include "server/commands/commands.h"
#include "server/config/config.h"
#include "server/interest/blocking.h"
#include "server/interest/interest.h"
#include "server/interest/watch.h"
#include "server/net/loop.h"
#include "server/net/tls.h"
#include "server/run/dispatch.h"
#include "server/run/dispatcher.h"
#include "server/run/hold.h"
#include "server/run/script.h"
#include "server/run/slow_script.h"
#include "server/script/texts.h"
#include "server/task/transaction.h"
#include "server/task/user.h"
#include "server/worker/worker.h"

#define PARTS_MOST 6
#define WORDS_MOST 40
#define HOLD_SECONDS 600
#define NOW 1000000000

static struct keyspace *keyspace;
static struct worker *self;
static uint64_t chance, share = 1;
static int status = 1;
static sem_t is_done;

/* ------------------------------------------------------------------ clients */

static void on_wake(struct task *task, enum park_reason reason) {
    (void)task;
    (void)reason;
}

static void on_peer(const struct task *task, char *out, size_t size) {
    (void)task;
    snprintf(out, size, "here");
}

static const struct task_functions functions = {.wake = on_wake, .peer = on_peer};

struct client {
    struct task task;
    struct reply reply; /* to the last request */
};

static void client_open(struct client *client) {
    *client = (struct client){
        .task = {.functions = &functions, .session = {.id = 1, .protocol = 2, .is_authenticated = true}}};
    reply_init(&client->reply, 2);
}

static void client_close(struct client *client) {
    dispatch_forget(self, &client->task);
    reply_free(&client->reply);
}

/* Until it is woken, by somebody who has let go what it waits for. */
static void await_wake(const struct client *client) {
    while (task_is_parked(&client->task)) {
        worker_read_mail(self);
        sched_yield();
    }
}

static enum outcome try_words(struct client *client, const struct bulk *words, uint32_t count) {
    self->now = NOW; /* so that what is to expire does so at the same time each time */
    dispatch_enter(self);
    enum outcome outcome = dispatch_request(self, &client->task, words, count, NULL, &client->reply);
    dispatch_leave(self);
    return outcome;
}

/* While it waits, what is held is let go. */
static void ask_words(struct client *client, const struct bulk *words, uint32_t count) {
    reply_clear(&client->reply, 0);
    client->reply.is_broken = client->reply.is_over = false;
    while (try_words(client, words, count) == OUTCOME_PARKED) {
        hold_release_all();
        await_wake(client);
    }
}

static uint32_t split(char *text, struct bulk *words) {
    uint32_t count = 0;
    for (char *rest = text, *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        CHECK(count < WORDS_MOST);
        words[count++] = (struct bulk){.data = word, .length = strlen(word)};
    }
    return count;
}

static void ask(struct client *client, const char *line) {
    char text[512];
    struct bulk words[WORDS_MOST];
    snprintf(text, sizeof text, "%s", line);
    ask_words(client, words, split(text, words));
}

static bool has_error(const struct client *client) {
    return client->reply.length == 0 || client->reply.data[0] == '-';
}

/* What needs no luck. */
static void prepare(struct client *client, const char *line) {
    ask(client, line);
    if (has_error(client)) fail_msg("%s: %.*s", line, (int)client->reply.length, client->reply.data);
}

/* ------------------------------------------------------------------ what is run */

static const char *const state[] = {
    "FLUSHALL",
    "SET text ohmytext",
    "SET number 12",
    "SET soon text",
    "EXPIRE soon 1000",
    "HSET hash field 1 other 2",
    "RPUSH list b a c",
    "SADD set one two",
    "ZADD sorted 1 one 2 two",
    "SADD second three",
    "XADD stream 1-1 field one",
    "SET long xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
};

/* The keys that scripts may declare, and the one that another thread holds where a way says so. */
static const char *const names[] = {"text",   "number", "soon",   "hash", "list", "set",
                                    "sorted", "second", "stream", "long", "new"};
#define NAMES (sizeof names / sizeof names[0])
static const char held[] = "stray";

/* The last one is of the key that may be held. A part may be wrong: it changes nothing, and what comes behind
 * it goes on, where the way lets it. */
static const char *const rows[][PARTS_MOST] = {
    {"SET text other", "HSET hash field 2 third 3", "RPUSH list d e f", "SADD set three", "INCR stray"},
    {"DEL text hash", "INCR number", "LPUSH new a b c d e", "SET long short EX 500", "INCR stray"},
    {"INCR text", "SET new value", "LPUSH hash a", "EXPIRE hash 100", "ZADD sorted 5 five", "INCR stray"},
    {"RENAME hash new", "SORT list ALPHA STORE text", "SMOVE set second one", "APPEND long more",
     "INCR stray"},
    {"DEL set sorted stream", "PERSIST soon", "LPOP list 3", "COPY text new", "SET stray some"},
    {"XADD stream 2-1 field two", "XADD new 1-1 field one", "MSET text 1 number two", "SREM set one two",
     "APPEND stray some"},
};
#define ROWS (sizeof rows / sizeof rows[0])

/* Runs its arguments, each a command, and answers with their answers; or ends with the first that is an
 * error. */
#define SCRIPT(call)                                                                                         \
    "local answers = {} "                                                                                    \
    "for i, line in ipairs(ARGV) do "                                                                        \
    "local words = {} "                                                                                      \
    "for word in string.gmatch(line, '[^ ]+') do words[#words + 1] = word end "                              \
    "answers[i] = redis." call "(unpack(words)) "                                                            \
    "end "                                                                                                   \
    "return answers"
static const char patient[] = SCRIPT("pcall"), strict[] = SCRIPT("call");
static const char library[] =
    "#!lua name=library\nredis.register_function('patient', function(KEYS, ARGV) " SCRIPT("pcall") " end)";

enum runner { RUNS_PLAIN, RUNS_EVAL, RUNS_EVALSHA, RUNS_FCALL };

struct way {
    const char *name;
    const char *script;
    enum runner runner;
    int queued_plain; /* of the parts, in MULTI, before the script; below 0: there is no MULTI */
    bool declares;    /* its keys, but for the one that may be held */
    bool is_busy;     /* that one is held until the request waits */
    bool is_new;      /* the worker has no Lua, and nobody knows the script */
};

static const struct way ways[] = {
    {"EVAL", patient, RUNS_EVAL, -1, true, false, false},
    {"EVAL of undeclared keys", patient, RUNS_EVAL, -1, false, false, false},
    {"EVAL that ends with an error", strict, RUNS_EVAL, -1, true, false, false},
    {"EVALSHA", patient, RUNS_EVALSHA, -1, true, false, false},
    {"FCALL", patient, RUNS_FCALL, -1, true, false, false},
    {"EXEC", NULL, RUNS_PLAIN, PARTS_MOST, false, false, false},
    {"EXEC of an EVAL", patient, RUNS_EVAL, 0, true, false, false},
    {"EXEC of a command and an EVAL", patient, RUNS_EVAL, 1, false, false, false},
    {"EXEC of a command and an FCALL", patient, RUNS_FCALL, 1, false, false, false},
    {"EVAL of a key that is held", patient, RUNS_EVAL, -1, true, true, false},
    {"FCALL of a key that is held", patient, RUNS_FCALL, -1, true, true, false},
    {"EXEC of an EVAL of a key that is held", patient, RUNS_EVAL, 2, true, true, false},
    {"EXEC of an FCALL of a key that is held", patient, RUNS_FCALL, 2, true, true, false},
    {"a worker's first EVAL", patient, RUNS_EVAL, -1, true, false, true},
    {"a worker's first FCALL", patient, RUNS_FCALL, -1, true, false, true},
};
#define WAYS (sizeof ways / sizeof ways[0])
/* A new Lua state is a few thousand allocations. */
#define NEW_SHARE 4

/* ------------------------------------------------------------------ what should come of it */

/* Of a row, when those parts have been done that the mask has, and the others were not even tried. */
struct outcome_of {
    bool is_known;
    uint64_t digest;
    char *answers[PARTS_MOST]; /* of those that were done */
    size_t lengths[PARTS_MOST];
};

static struct {
    const char *const *parts;
    uint32_t count;
    struct outcome_of by_mask[1 << PARTS_MOST];
} row;

static struct client builder;

static void build(void) {
    for (size_t i = 0; i < sizeof state / sizeof state[0]; i++) prepare(&builder, state[i]);
}

static void row_begin(const char *const *parts) {
    row.parts = parts;
    row.count = 0;
    while (row.count < PARTS_MOST && parts[row.count] != NULL) row.count++;
}

static void row_end(void) {
    for (uint32_t mask = 0; mask < 1U << PARTS_MOST; mask++)
        for (uint32_t i = 0; i < PARTS_MOST; i++) free(row.by_mask[mask].answers[i]);
    memset(&row, 0, sizeof row);
}

/* Leaves the state behind that the row begins with. */
static const struct outcome_of *outcome_of(uint32_t mask) {
    struct outcome_of *outcome = &row.by_mask[mask];
    if (outcome->is_known) return outcome;
    build();
    for (uint32_t i = 0; i < row.count; i++) {
        if ((mask & 1U << i) == 0) continue;
        ask(&builder, row.parts[i]);
        outcome->lengths[i] = builder.reply.length;
        outcome->answers[i] = memcpy(malloc(builder.reply.length), builder.reply.data, builder.reply.length);
    }
    outcome->digest = digest_of(self->lane);
    outcome->is_known = true;
    build();
    return outcome;
}

/* ------------------------------------------------------------------ a try */

/* What is known of the parts. */
struct findings {
    uint32_t known, done; /* masks; what isn't known may have been done or not */
    bool is_prefix;       /* if one was done, those before it were */
    bool is_answered;     /* the answers are there, of all that are known to be done */
    const char *answers[PARTS_MOST];
    size_t lengths[PARTS_MOST];
    const char *wrong; /* or that is wrong with the answer */
};

static uint32_t all_parts(void) {
    return (1U << row.count) - 1;
}

static void none_done(struct findings *findings, uint32_t from) {
    findings->known |= all_parts() & ~((1U << from) - 1);
}

/* An error that doesn't come of too little memory would mislead its client. */
static bool tells_of_memory(const char *data, size_t length) {
    return memmem(data, length, "memory", 6) != NULL;
}

/* The answers of some parts. One that had no memory has changed nothing; where Lua had none for its answer it
 * may have been done or not. Returns what is behind them. */
static size_t find_each(const char *data, size_t length, size_t at, uint32_t from, uint32_t to,
                        struct findings *findings) {
    static const char unclear[] = "-ERR not enough memory";
    for (uint32_t i = from; i < to; i++) {
        size_t size = reply_end(data + at, length - at);
        if (size < sizeof unclear || memcmp(data + at, unclear, sizeof unclear - 1) != 0) {
            findings->known |= 1U << i;
            if (!is_out_of_memory(data + at, size)) findings->done |= 1U << i;
            findings->answers[i] = data + at;
            findings->lengths[i] = size;
        } else {
            findings->is_answered = false;
        }
        at += size;
    }
    return at;
}

/* What stands for the parts from that one on: an answer each, or an error of the script as a whole. */
static void find_of_script(const struct way *way, const char *data, size_t length, uint32_t from,
                           struct findings *findings) {
    if (data[0] == '-') {
        bool is_script_s = memmem(data, length, " script", 7) != NULL;
        if (!is_script_s) none_done(findings, from);
        if (!tells_of_memory(data, length) && way->script != strict) findings->wrong = "another error";
        findings->is_prefix = way->script == strict;
        findings->is_answered = false;
        return;
    }
    size_t at = (size_t)((const char *)memchr(data, '\n', length) - data) + 1;
    if (data[0] != '*' || reply_count(data, length) != (int64_t)(row.count - from)) {
        findings->wrong = "not an answer for each";
        return;
    }
    find_each(data, length, at, from, row.count, findings);
}

static void find_of_exec(const struct way *way, const struct reply *reply, struct findings *findings) {
    const char *data = reply->data;
    size_t length = reply->length;
    uint32_t plain = (uint32_t)way->queued_plain < row.count ? (uint32_t)way->queued_plain : row.count;
    if (data[0] == '-') {
        none_done(findings, 0);
        if (memcmp(data, "-EXECABORT", 10) != 0 && !tells_of_memory(data, length))
            findings->wrong = "another error";
        return;
    }
    size_t at = (size_t)((const char *)memchr(data, '\n', length) - data) + 1;
    if (data[0] != '*' || reply_count(data, length) != (int64_t)(plain + (way->runner != RUNS_PLAIN))) {
        findings->wrong = "not an answer for each";
        return;
    }
    at = find_each(data, length, at, 0, plain, findings);
    if (way->runner != RUNS_PLAIN) find_of_script(way, data + at, length - at, plain, findings);
}

static void find_out(const struct way *way, const struct reply *reply, struct findings *findings) {
    *findings = (struct findings){.is_answered = true};
    if (reply->is_broken) {
        findings->is_answered = false;
        return;
    }
    if (!is_whole(reply))
        findings->wrong = "no whole reply";
    else if (way->queued_plain >= 0)
        find_of_exec(way, reply, findings);
    else
        find_of_script(way, reply->data, reply->length, 0, findings);
}

static bool is_prefix(uint32_t mask) {
    return (mask & (mask + 1)) == 0;
}

static const char *judge_answers(const struct findings *findings) {
    const struct outcome_of *outcome = outcome_of(findings->done);
    for (uint32_t i = 0; i < row.count; i++) {
        if ((findings->done & 1U << i) == 0) continue;
        if (findings->lengths[i] != outcome->lengths[i] ||
            memcmp(findings->answers[i], outcome->answers[i], outcome->lengths[i]) != 0)
            return "another answer";
    }
    return NULL;
}

/* What is wrong, or NULL. */
static const char *judge(const struct findings *findings, uint64_t digest) {
    if (findings->wrong != NULL) return findings->wrong;
    bool is_found = false;
    for (uint32_t mask = 0; mask <= all_parts() && !is_found; mask++) {
        if ((mask & findings->known) != findings->done) continue;
        if (findings->is_prefix && !is_prefix(mask)) continue;
        is_found = outcome_of(mask)->digest == digest;
    }
    if (!is_found)
        return findings->known == all_parts() ? "not what the answer says" : "half of a command is done";
    return findings->is_answered ? judge_answers(findings) : NULL;
}

/* ------------------------------------------------------------------ requests */

static struct bulk bulk_of(const char *text) {
    return (struct bulk){.data = (char *)(uintptr_t)text, .length = strlen(text)};
}

/* Taken before anything fails. */
static const char *sha_of(const struct way *way) {
    static char shas[WAYS][SHA_LENGTH + 1];
    char *sha = shas[way - ways];
    if (*sha == '\0') CHECK(texts_sha(sha, way->script, strlen(way->script)));
    return sha;
}

static void ask_script(struct client *client, const struct way *way, uint32_t from) {
    static const char *const commands[] = {
        [RUNS_EVAL] = "EVAL", [RUNS_EVALSHA] = "EVALSHA", [RUNS_FCALL] = "FCALL"};
    struct bulk words[WORDS_MOST];
    char number[16];
    uint32_t count = 0;
    snprintf(number, sizeof number, "%zu", way->declares ? NAMES : 0);
    words[count++] = bulk_of(commands[way->runner]);
    words[count++] = bulk_of(way->runner == RUNS_EVAL      ? way->script
                             : way->runner == RUNS_EVALSHA ? sha_of(way)
                                                           : "patient");
    words[count++] = bulk_of(number);
    for (size_t i = 0; way->declares && i < NAMES; i++) words[count++] = bulk_of(names[i]);
    for (uint32_t i = from; i < row.count; i++) words[count++] = bulk_of(row.parts[i]);
    ask_words(client, words, count);
}

/* false: it was told that this has not been done, and so leaves the rest. */
static bool ask_all(struct client *client, const struct way *way) {
    if (way->queued_plain < 0) {
        ask_script(client, way, 0);
        return true;
    }
    uint32_t plain = (uint32_t)way->queued_plain < row.count ? (uint32_t)way->queued_plain : row.count;
    ask(client, "MULTI");
    if (client->reply.is_broken || has_error(client)) return false;
    for (uint32_t i = 0; i < plain && !client->reply.is_broken; i++) ask(client, row.parts[i]);
    if (way->runner != RUNS_PLAIN && !client->reply.is_broken) ask_script(client, way, plain);
    if (client->reply.is_broken) return false; /* it is closed */
    ask(client, "EXEC");
    return true;
}

static void hold(void) {
    const struct key key = keyspace_key(keyspace, 0, held, strlen(held));
    const char *error = hold_start(keyspace, &key, HOLD_SECONDS, self->now);
    while (error != NULL && strncmp(error, "BUSY", 4) == 0) { /* the last one is just about to let go */
        sched_yield();
        error = hold_start(keyspace, &key, HOLD_SECONDS, self->now);
    }
    if (error != NULL) fail_msg("%s", error);
}

/* What the worker knows of scripts, as it is when none has come yet; or as it is when all have. */
static void learn(const struct way *way) {
    struct scripting *scripting = atomic_load(&self->dispatcher->scripting);
    if (way->is_new) {
        atomic_store(&self->dispatcher->scripting, NULL);
        scripting_free(scripting);
        texts_flush();
    } else if (way->runner == RUNS_EVALSHA) {
        (void)sha_of(way);
        const struct bulk words[] = {bulk_of("SCRIPT"), bulk_of("LOAD"), bulk_of(way->script)};
        ask_words(&builder, words, 3);
    } else if (way->runner == RUNS_EVAL) {
        texts_flush();
    }
}

static int wrong, tried;

static void complain(const struct way *way, const struct client *client, int64_t after, enum failing how,
                     const char *what) {
    fprintf(stderr, "%s: %s ...; allocation %d%s fails: %s: %.*s\n", way->name, row.parts[0], (int)after,
            how == FAIL_ONE ? "" : " and all behind it", what,
            (int)(client->reply.length < 400 ? client->reply.length : 400), client->reply.data);
    wrong++;
}

static bool try_one(const struct way *way, int64_t after, enum failing how) {
    struct client client;
    struct findings findings;
    client_open(&client);
    learn(way);
    if (way->is_busy) hold();
    failing_begin(after, how);
    bool is_sent = ask_all(&client, way);
    bool has_failed = failing_end();
    hold_release_all();
    uint64_t digest = digest_of(self->lane), before = outcome_of(0)->digest;
    check_accounting(self->lane);
    const char *what = NULL;
    if (is_sent) {
        find_out(way, &client.reply, &findings);
        if (digest != before) build();
        what = judge(&findings, digest);
        if (client.task.session.transaction != NULL) what = "the transaction goes on";
    } else if (digest != before) {
        what = "something is done that wasn't begun";
    }
    tried++;
    if (what != NULL) complain(way, &client, after, how, what);
    client_close(&client);
    return has_failed && what == NULL;
}

static void try_all(const struct way *way, enum failing how) {
    uint64_t step = way->is_new ? share * NEW_SHARE : share;
    int64_t after = (int64_t)random_below(&chance, step);
    while (try_one(way, after, how)) after += 1 + (int64_t)random_below(&chance, 2 * step - 1);
}

static void each_command_does_all_or_nothing_and_the_answer_says_which(void **unused) {
    const char *wanted = getenv("WAY");
    (void)unused;
    wrong = tried = 0;
    for (size_t i = 0; i < ROWS; i++) {
        row_begin(rows[i]);
        for (size_t j = 0; j < WAYS; j++) {
            if (wanted != NULL && strstr(ways[j].name, wanted) == NULL) continue;
            for (enum failing how = FAIL_ONE; how <= FAIL_ALL_FROM; how++) try_all(&ways[j], how);
        }
        row_end();
    }
    print_message("%d failures of an allocation\n", tried);
    assert_int_equal(wrong, 0);
}

/* ------------------------------------------------------------------ who waits */

static const char *const pushes[PARTS_MOST] = {"SET text other", "RPUSH queue one", "DEL list"};

static enum outcome wait_for_queue(struct client *client) {
    const struct bulk words[] = {bulk_of("BLPOP"), bulk_of("queue"), bulk_of("0")};
    return try_words(client, words, 3);
}

/* What has become of the one element that a client waits for, as the answers of the others may leave it. */
static const char *judge_waiter(struct client *waiter, const struct findings *findings) {
    ask(&builder, "LLEN queue");
    bool is_left = builder.reply.data[1] == '1', is_pushed = (findings->done & 2) != 0;
    bool is_known = (findings->known & 2) != 0, is_served = !task_is_parked(&waiter->task);
    if (!is_served && is_left) return "the client waits beside what it waits for";
    if (!is_served) return is_known && is_pushed ? "what was pushed is gone" : NULL;
    wait_for_queue(waiter);
    bool is_error = waiter->reply.is_broken || has_error(waiter);
    if (is_known && !is_pushed) return "the client was woken by nothing";
    if (is_error) return waiter->reply.is_broken || is_left ? NULL : "what was pushed is gone";
    return is_left ? "the client was given what is still there" : NULL;
}

static bool try_with_waiter(const struct way *way, int64_t after, enum failing how) {
    struct client client, waiter;
    struct findings findings = {.known = 0};
    client_open(&client);
    client_open(&waiter);
    build();
    learn(way);
    CHECK(wait_for_queue(&waiter) == OUTCOME_PARKED && waiter.task.park_reason == PARK_ON_KEY);
    failing_begin(after, how);
    bool is_sent = ask_all(&client, way);
    bool has_failed = failing_end();
    worker_read_mail(self);
    worker_read_news(self); /* a reply to who waited is one */
    const char *what = NULL;
    if (is_sent) {
        find_out(way, &client.reply, &findings);
        what = findings.wrong;
    } else {
        findings.known = all_parts();
    }
    if (what == NULL) what = judge_waiter(&waiter, &findings);
    check_accounting(self->lane);
    tried++;
    if (what != NULL) complain(way, &client, after, how, what);
    client_close(&waiter);
    client_close(&client);
    return has_failed && what == NULL;
}

static void a_client_that_waits_is_served_or_waits_on(void **unused) {
    (void)unused;
    wrong = tried = 0;
    row_begin(pushes);
    for (size_t i = 0; i < WAYS; i++) {
        if (ways[i].is_busy || ways[i].is_new) continue;
        for (enum failing how = FAIL_ONE; how <= FAIL_ALL_FROM; how++) {
            int64_t after = (int64_t)random_below(&chance, share);
            while (try_with_waiter(&ways[i], after, how))
                after += 1 + (int64_t)random_below(&chance, 2 * share - 1);
        }
    }
    row_end();
    print_message("%d failures of an allocation\n", tried);
    assert_int_equal(wrong, 0);
}

/* ------------------------------------------------------------------ users */

/* As they stand before each try; the file has what was there at the mark. */
static const char *const users_state[] = {
    "ACL DELUSER ann bob eve",
    "ACL SETUSER eve reset on nopass ~file* +@read",
    "ACL SETUSER bob reset on >other",
    "ACL SAVE",
    "ACL DELUSER eve",
    "ACL SETUSER bob reset on >one >more ~a:* %R~b:* &c* +@read +select|1 (~t* +set)",
    "ACL SETUSER ann reset on nopass ~* +@all",
    "ACL LOG RESET",
};
static const char *const users_rows[] = {
    "ACL SETUSER bob >two ~d:* %W~e:* &f +@write -get +client|id (~g* +set) (%R~h +get)",
    "ACL SETUSER eve on nopass ~x +@all -@dangerous",
    "ACL SETUSER bob reset",
    "ACL SETUSER bob <one -select resetkeys clearselectors ~z",
    "ACL SETUSER default -get",
    "ACL DELUSER bob nobody ann",
    "ACL LOAD",
    "ACL SAVE",
    "ACL GETUSER bob",
    "ACL DRYRUN bob get secret",
    "ACL LOG",
    "AUTH bob one",
    "AUTH bob wrong",
    "HELLO 2 AUTH bob more SETNAME it",
};
static char users_file[] = "/tmp/latchkey-oom-XXXXXX";

/* What the users may do, what the file has, and who the client is. */
struct users_seen {
    char list[4096], file[4096], self[16];
};

static void users_see(const struct client *client, struct users_seen *seen) {
    memset(seen, 0, sizeof *seen);
    prepare(&builder, "ACL LIST");
    CHECK(builder.reply.length < sizeof seen->list);
    memcpy(seen->list, builder.reply.data, builder.reply.length);
    FILE *file = fopen(users_file, "re");
    CHECK(file != NULL);
    CHECK(fread(seen->file, 1, sizeof seen->file - 1, file) > 0);
    fclose(file);
    snprintf(seen->self, sizeof seen->self, "%s", user_name(session_user(&client->task.session)));
}

/* All of it is written, or zero. */
static bool is_same_seen(const struct users_seen *one, const struct users_seen *other) {
    return memcmp(one, other, sizeof *one) == 0;
}

static void users_build(void) {
    prepare(&builder, "ACL SETUSER default reset on nopass ~* &* +@all");
    for (size_t i = 0; i < sizeof users_state / sizeof users_state[0]; i++) prepare(&builder, users_state[i]);
}

/* Returns whether an allocation has failed. *wanted: what is seen when none does, as it is found then. */
static bool try_users(const char *line, int64_t after, enum failing how, struct users_seen *wanted) {
    struct client client;
    struct users_seen before, seen;
    client_open(&client);
    users_build();
    users_see(&client, &before);
    failing_begin(after, how);
    ask(&client, line);
    bool has_failed = failing_end();
    users_see(&client, &seen);
    bool is_before = is_same_seen(&seen, &before), is_error = !client.reply.is_broken && has_error(&client);
    const char *what = NULL;
    if (!has_failed)
        *wanted = seen;
    else if (!client.reply.is_broken && !is_whole(&client.reply))
        what = "no whole reply";
    else if (is_error && !is_before)
        what = "an error has changed something";
    else if (!is_error && !is_same_seen(&seen, wanted) && !(client.reply.is_broken && is_before))
        what = "it isn't what it is otherwise";
    if (what != NULL) {
        fprintf(stderr, "%s; allocation %d%s fails: %s: %.*s\n%s", line, (int)after,
                how == FAIL_ONE ? "" : " and all behind it", what, (int)client.reply.length,
                client.reply.data, seen.list);
        wrong++;
    }
    tried++;
    client_close(&client);
    session_become(&client.task.session, NULL);
    session_names_free(client.task.session.name, client.task.session.library);
    return has_failed && what == NULL;
}

static void users_are_changed_as_they_are_asked_to_be_or_not_at_all(void **unused) {
    (void)unused;
    wrong = tried = 0;
    for (size_t i = 0; i < sizeof users_rows / sizeof users_rows[0]; i++) {
        struct users_seen wanted;
        try_users(users_rows[i], INT64_MAX, FAIL_ONE, &wanted);
        for (enum failing how = FAIL_ONE; how <= FAIL_ALL_FROM; how++)
            for (int64_t after = 0; try_users(users_rows[i], after, how, &wanted); after++) continue;
    }
    users_build();
    print_message("%d failures of an allocation\n", tried);
    assert_int_equal(wrong, 0);
}

/* ------------------------------------------------------------------ the program */

/* The key that is held shares its shard with no other: else what declares them would wait for it at once. */
static int open_all(void **unused) {
    (void)unused;
    const struct key stray = keyspace_key(keyspace, 0, held, strlen(held));
    for (size_t i = 0; i < NAMES; i++) {
        const struct key key = keyspace_key(keyspace, 0, names[i], strlen(names[i]));
        if (keyspace_shard_of(keyspace, key.hash) == keyspace_shard_of(keyspace, stray.hash))
            fail_msg("%s is in the shard of %s", names[i], held);
    }
    client_open(&builder);
    const struct bulk words[] = {bulk_of("FUNCTION"), bulk_of("LOAD"), bulk_of(library)};
    ask_words(&builder, words, 3);
    if (has_error(&builder)) fail_msg("%.*s", (int)builder.reply.length, builder.reply.data);
    build();
    return 0;
}

static int close_all(void **unused) {
    (void)unused;
    client_close(&builder);
    return 0;
}

/* Those who change users look for them there. */
static struct clients no_clients;

static bool on_begin(struct worker *worker) {
    self = worker;
    self->clients = &no_clients;
    return dispatch_attach(worker, keyspace);
}

/* Everything is the worker's, on its thread. */
static void on_serve(struct worker *worker) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_does_all_or_nothing_and_the_answer_says_which),
        cmocka_unit_test(a_client_that_waits_is_served_or_waits_on),
        /* From here on each request is asked what it may do. */
        cmocka_unit_test(users_are_changed_as_they_are_asked_to_be_or_not_at_all),
    };
    status = cmocka_run_group_tests(tests, open_all, close_all);
    hold_end_all();
    dispatch_detach(worker);
    sem_post(&is_done);
}

static void on_free(struct worker *worker) {
    dispatch_free(worker);
}

static const struct loop_handlers handlers = {.accepted = NULL}; /* its loop has no streams */
static const struct worker_work work = {
    .handlers = &handlers,
    .begin = on_begin,
    .serve = on_serve,
    .free = on_free,
};

int main(void) {
    static const uint64_t words[4] = {11, 12, 13, 14};
    char *arguments[] = {(char *)(uintptr_t)"latchkey",
                         (char *)(uintptr_t)"--loglevel",
                         (char *)(uintptr_t)"warning",
                         (char *)(uintptr_t)"--aclfile",
                         users_file,
                         NULL};
    int file = mkostemp(users_file, O_CLOEXEC);
    CHECK(file >= 0 && close(file) == 0);
    alarm(1800);
    tls_count_memory(); /* so that OpenSSL's allocations fail, too */
    clock_init();
    process_init();
    commands_register();
    CHECK(config_load(5, arguments));
    chance = seed_take();
    if (getenv("SHARE") != NULL) share = strtoull(getenv("SHARE"), NULL, 10);
    keyspace =
        keyspace_open(&(struct keyspace_options){.shards = 64, .databases = 2, .lanes = 8, .seed = words});
    CHECK(keyspace != NULL);
    CHECK(interest_start(keyspace) && slow_scripts_start(keyspace));
    blocking_start(keyspace);
    watch_start(keyspace);
    CHECK(users_start(1));
    CHECK(sem_init(&is_done, 0, 0) == 0);
    CHECK(workers_start(keyspace, 1, &work, NULL, 0, NULL));
    while (sem_wait(&is_done) != 0) continue;
    workers_stop(0);
    CHECK(workers_await_end());
    workers_join();
    watch_stop();
    blocking_stop();
    interest_stop();
    keyspace_close(keyspace);
    users_stop();
    unlink(users_file);
    return status;
}
