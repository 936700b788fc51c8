/* Keyspace notifications: what is told of keys, to whom, in which order, and when nothing is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define TEXT_MOST 4096

static struct server *start(const char *threads, const char *events) {
    struct server *server = server_start((const char *const[]){"--threads", threads, "--enable-debug-command",
                                                               "yes", "--balance-clients", "no",
                                                               "--notify-keyspace-events", events, NULL});
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    redisFree(admin);
    return server;
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* A client that hears what matches. */
static struct resp3 *hear(struct resp3 *connection, const char *pattern) {
    char text[256];
    resp3_send_text(connection, "HELLO 3\r\n");
    resp3_value_free(resp3_read(connection));
    snprintf(text, sizeof text, "PSUBSCRIBE %s\r\n", pattern);
    resp3_send_text(connection, text);
    snprintf(text, sizeof text, ">[psubscribe, %s, 1]", pattern);
    resp3_expect_value(connection, text);
    return connection;
}

static struct resp3 *hearer_of(const struct server *server, long worker) {
    return hear(resp3_connect_to(server, worker), "__key*__:*");
}

/* The channel's name behind "__key", and what is told there; in front of what is known already. */
static void append(char *heard, const struct resp3_value *message) {
    size_t length = strlen(heard);
    assert_int_equal(message->kind, '>');
    assert_int_equal(message->count, 4);
    assert_string_equal(message->elements[0].text, "pmessage");
    snprintf(heard + length, TEXT_MOST - length, "%s%s %s", length > 0 ? ", " : "",
             message->elements[2].text + strlen("__key"), message->elements[3].text);
}

/* All that it has been told by now, as it has seen a reply to a later request of its own. */
static char *heard_by(struct resp3 *hearer) {
    char *heard = calloc(1, TEXT_MOST);
    resp3_send_text(hearer, "PING until-here\r\n");
    for (;;) {
        struct resp3_value *value = resp3_read(hearer);
        bool is_end = value->kind == '$';
        if (!is_end) append(heard, value);
        resp3_value_free(value);
        if (is_end) return heard;
    }
}

static void expect_heard(struct resp3 *hearer, const char *expected) {
    char *heard = heard_by(hearer);
    assert_string_equal(heard, expected);
    free(heard);
}

/* Sends a line and waits for its reply, whatever that is. */
static void ask(struct resp3 *teller, const char *request) {
    char line[TEXT_MOST];
    snprintf(line, sizeof line, "%s\r\n", request);
    resp3_send_text(teller, line);
    resp3_value_free(resp3_read(teller));
}

/* What is told by keyevent only, as "event key". */
static void expect_events(struct resp3 *hearer, const char *request, const char *expected) {
    char *heard = heard_by(hearer), events[TEXT_MOST] = "";
    size_t length = 0;
    for (const char *at = strstr(heard, "event@0__:"); at != NULL; at = strstr(at, "event@0__:")) {
        at += strlen("event@0__:");
        length += (size_t)snprintf(events + length, sizeof events - length, "%s%.*s", length > 0 ? ", " : "",
                                   (int)strcspn(at, ","), at);
    }
    if (strcmp(events, expected) != 0) fail_msg("%s: told '%s', not '%s'", request, events, expected);
    free(heard);
}

/* ------------------------------------------------------------------ what is told */

static void each_command_tells_the_events_that_redis_tells_in_its_order(void **state) {
    static const struct {
        const char *request, *events;
    } cases[] = {
        {"SET s 1", "new s, set s"},
        {"SET s 2 EX 100", "set s, expire s"},
        {"SETEX s 100 3", "set s, expire s"},
        {"GETEX s PERSIST", "persist s"},
        {"GETEX s EX 100", "expire s"},
        {"GETEX s PXAT 1", "del s"},
        {"SET s v GET", "keymiss s, new s, set s"},
        {"GETDEL s", "del s"},
        {"GETDEL s", "keymiss s"},
        {"INCR n", "new n, incrby n"},
        {"INCRBYFLOAT n 1", "incrbyfloat n"},
        {"APPEND n 1", "append n"},
        {"SETRANGE n 0 22", "setrange n"},
        {"MSET n 1 m 2", "set n, new m, set m"},
        {"SETBIT m 1 1", "setbit m"},
        {"BITOP NOT b m", "new b, set b"},
        {"BITOP AND b none none", "keymiss none, keymiss none, del b"},
        {"EXPIRE m -1", "del m"},
        {"HSET h f 1 g 2", "new h, hset h"},
        {"HINCRBY h f 1", "hincrby h"},
        {"HDEL h f g", "hdel h, del h"},
        {"RPUSH l a b c", "new l, rpush l"},
        {"LMOVE l k LEFT RIGHT", "new k, rpush k, lpop l"},
        {"LMOVE k k LEFT RIGHT", "rpush k, lpop k"},
        {"RPOP k", "rpop k, del k"},
        {"LTRIM l 5 6", "ltrim l, del l"},
        {"SADD a 1 2", "new a, sadd a"},
        {"SMOVE a z 1", "srem a, new z, sadd z"},
        {"SPOP a 5", "spop a, del a"},
        {"SUNIONSTORE u z", "new u, sunionstore u"},
        {"SINTERSTORE u z none", "keymiss none, del u"},
        {"SORT z STORE sorted", "new sorted, sortstore sorted"},
        {"ZADD b 1 m", "new b, zadd b"},
        {"ZADD b INCR 1 m", "zincr b"},
        {"ZRANGESTORE c b 0 -1", "new c, zrangestore c"},
        {"ZPOPMIN b", "zpopmin b, del b"},
        {"GEOADD g 1 1 m", "new g, zadd g"},
        {"PFADD p 1", "new p, pfadd p"},
        {"PFMERGE q p", "keymiss q, new q, pfadd q"},
        {"XADD x 1-1 f v", "new x, xadd x"},
        {"XADD x MAXLEN 1 2-1 f v", "xadd x, xtrim x"},
        {"XGROUP CREATE x gr 0", "xgroup-create x"},
        {"XREADGROUP GROUP gr me STREAMS x >", "xgroup-createconsumer x"},
        {"XDEL x 2-1", "xdel x"},
        {"RENAME x y", "new y, rename_from x, rename_to y"},
        {"RENAME c y", "new y, rename_from c, rename_to y"},
        {"COPY y n REPLACE", "new n, copy_to n"},
        {"DEL y n none", "del y, del n"},
        {"TTL none", "keymiss none"},
        {"OBJECT ENCODING none", ""},
        {"FLUSHALL", ""},
        {"SET s 1", "new s, set s"},
        {"SWAPDB 0 1", ""},
    };
    struct server *server = start("2", "EAnm");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect_to(server, 1);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ask(teller, cases[i].request);
        expect_events(hearer, cases[i].request, cases[i].events);
    }
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

static void a_key_hears_its_event_before_the_event_hears_its_key(void **state) {
    struct server *server = start("1", "KEA");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect(server);
    (void)state;
    ask(teller, "SELECT 3");
    ask(teller, "MSET one 1 two 2");
    expect_heard(hearer, "space@3__:one set, event@3__:set one, space@3__:two set, event@3__:set two");
    ask(teller, "MOVE one 4");
    expect_heard(hearer, "space@3__:one move_from, event@3__:move_from one, "
                         "space@4__:one move_to, event@4__:move_to one");
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

static void no_more_is_told_than_what_was_asked_for(void **state) {
    static const struct {
        const char *letters, *shown, *heard;
    } cases[] = {
        {"", "", ""},
        {"A", "A", ""},
        {"K$", "$K", "space@0__:k set"},
        {"gE", "gE", "event@0__:expire k"},
        {"KEg$lshzxetd", "AKE", "space@0__:k set, event@0__:set k, space@0__:k expire, event@0__:expire k"},
        {"AEn", "AE", "event@0__:new k, event@0__:set k, event@0__:expire k"},
        {"mnKEt", "tnKEm", "space@0__:k new, event@0__:new k"},
    };
    struct server *server = start("1", "");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect(server);
    redisContext *admin = server_connect(server);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char shown[256];
        expect(admin, "OK", "CONFIG SET notify-keyspace-events %s", cases[i].letters);
        snprintf(shown, sizeof shown, "[notify-keyspace-events, %s]", cases[i].shown);
        expect(admin, shown, "CONFIG GET notify-keyspace-events");
        ask(teller, "SETEX k 100 v");
        expect_heard(hearer, cases[i].heard);
        ask(teller, "FLUSHALL");
    }
    expect(
        admin,
        "ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class "
        "character. Use 'Ag$lshzxeKEtmdn'.",
        "CONFIG SET notify-keyspace-events KEq");
    redisFree(admin);
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

/* ------------------------------------------------------------------ what has expired */

static void a_read_that_meets_a_key_whose_time_is_up_tells_expired_and_then_keymiss(void **state) {
    static const struct {
        const char *request, *events;
    } cases[] = {
        {"GET dead", "expired dead, keymiss dead"},
        {"MGET none dead live", "keymiss none, expired dead, keymiss dead"},
        {"STRLEN dead", "expired dead, keymiss dead"},
        {"EXISTS live dead", "expired dead, keymiss dead"},
        {"TTL dead", "expired dead, keymiss dead"},
        {"OBJECT ENCODING dead", "expired dead"},
        {"SUNION dead", "expired dead, keymiss dead"},
        {"SET dead 1 KEEPTTL", "expired dead, new dead, set dead"},
        {"RENAME dead other", "expired dead"},
        {"SMOVE none dead x", "expired dead"},
        {"COPY dead other", "expired dead, keymiss dead"},
        {"SORT numbers BY d*d GET #", "expired dead, keymiss dead"},
        {"EVAL_RO \"return redis.call('get','dead')\" 0", "expired dead, keymiss dead"},
        {"EVAL \"return redis.call('get','dead')\" 1 dead", "expired dead, keymiss dead"},
    };
    struct server *server = start("2", "EAnm");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect_to(server, 1);
    (void)state;
    ask(teller, "SET live 1");
    ask(teller, "RPUSH numbers ea");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ask(teller, "DEL dead");
        ask(teller, "SET dead 1 PXAT 1");
        free(heard_by(hearer));
        ask(teller, cases[i].request);
        expect_events(hearer, cases[i].request, cases[i].events);
    }
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

/* Redis's SCAN and RANDOMKEY take such keys away, KEYS doesn't; SCAN only those that its pattern matches. */
static void a_walk_that_meets_a_key_whose_time_is_up_tells_expired(void **state) {
    static const struct {
        const char *request, *reply, *events;
    } cases[] = {
        {"KEYS *", "[live]", ""},
        {"DBSIZE", "2", ""},
        {"SCAN 0 MATCH l*", "[0, [live]]", ""},
        {"SCAN 0 MATCH l* TYPE list", "[0, []]", ""},
        {"SCAN 0 MATCH d*", "[0, []]", "expired dead"},
        {"SCAN 0 COUNT 1000", "[0, [live]]", "expired dead"},
        {"SCAN 0 TYPE list", "[0, []]", "expired dead"},
        {"EVAL \"return redis.call('scan', 0, 'match', 'd*')\" 0", "[0, []]", "expired dead"},
        {"EVAL_RO \"return redis.call('scan', 0)\" 0", "[0, [live]]", "expired dead"},
    };
    struct server *server = start("2", "EAnm");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect_to(server, 1);
    (void)state;
    ask(teller, "SET live 1");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[256];
        ask(teller, "DEL dead");
        ask(teller, "SET dead 1 PXAT 1");
        free(heard_by(hearer));
        snprintf(line, sizeof line, "%s\r\n", cases[i].request);
        resp3_send_text(teller, line);
        resp3_expect_value(teller, cases[i].reply);
        expect_events(hearer, cases[i].request, cases[i].events);
    }
    /* In a transaction, and where nothing else is there to be drawn. */
    resp3_exchange(teller, "MULTI\r\nSCAN 0\r\nEXEC",
                   "+OK\r\n+QUEUED\r\n*1\r\n*2\r\n$1\r\n0\r\n*1\r\n$4\r\nlive\r\n");
    expect_events(hearer, "EXEC", "");
    ask(teller, "DEL live");
    ask(teller, "SET dead 1 PXAT 1");
    free(heard_by(hearer));
    resp3_exchange(teller, "MULTI\r\nSCAN 0\r\nEXEC", "+OK\r\n+QUEUED\r\n*1\r\n*2\r\n$1\r\n0\r\n*0\r\n");
    expect_events(hearer, "EXEC", "expired dead");
    ask(teller, "SET dead 1 PXAT 1");
    free(heard_by(hearer));
    resp3_exchange(teller, "RANDOMKEY", "$-1\r\n");
    expect_events(hearer, "RANDOMKEY", "expired dead");
    resp3_exchange(teller, "DBSIZE", ":0\r\n");
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

static void a_transaction_that_only_reads_tells_of_what_has_expired(void **state) {
    struct server *server = start("1", "Exm");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect(server);
    (void)state;
    ask(teller, "SET dead 1 PXAT 1");
    resp3_exchange(teller, "MULTI\r\nGET none\r\nGET dead\r\nGET dead\r\nEXEC",
                   "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    expect_events(hearer, "EXEC", "keymiss none, expired dead, keymiss dead, keymiss dead");
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

/* A read that looks in its own way (TTL doesn't count as a use) tells all the same; what fails behind it
 * takes back what it has told itself, and nothing else. */
static void what_a_read_has_told_is_not_taken_back_by_what_fails_behind_it(void **state) {
    struct server *server = start("1", "Exm$g");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect(server);
    (void)state;
    ask(teller, "SADD s x");
    for (int i = 0; i < 2; i++) {
        resp3_exchange(teller,
                       i == 0 ? "MULTI\r\nSET k 1 PXAT 1\r\nTTL k\r\nHSET s f v g w\r\nEXEC"
                              : "MULTI\r\nEVAL \"return 1\" 0\r\nSET k 1 PXAT 1\r\nTTL k\r\nEXEC",
                       i == 0 ? "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n:-2\r\n"
                                "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
                              : "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n+OK\r\n:-2\r\n");
        expect_events(hearer, "EXEC", "set k, expire k, expired k, keymiss k");
    }
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

static void keys_that_expire_or_are_evicted_while_nobody_asks_are_told(void **state) {
    struct server *server = start("2", "Exe");
    struct resp3 *hearer = hear(resp3_connect_to(server, 0), "__keyevent@0__:*");
    redisContext *admin = server_connect(server);
    char value[20001];
    (void)state;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    expect(admin, "OK", "SET k v PXAT 1");
    expect(admin, "OK", "DEBUG SET-ACTIVE-EXPIRE 1");
    resp3_expect_value(hearer, ">[pmessage, __keyevent@0__:*, __keyevent@0__:expired, k]");
    expect(admin, "OK", "CONFIG SET maxmemory-policy allkeys-random");
    for (int i = 0; i < 300; i++) expect(admin, "OK", "SET key:%d %s", i, value);
    expect(admin, "OK", "CONFIG SET maxmemory %lld", (long long)info_number(admin, "used_memory") - 1000000);
    struct resp3_value *message = resp3_read(hearer);
    assert_string_equal(message->elements[2].text, "__keyevent@0__:evicted");
    assert_memory_equal(message->elements[3].text, "key:", 4);
    resp3_value_free(message);
    redisFree(admin);
    resp3_close(hearer);
    stop(server);
}

/* ------------------------------------------------------------------ in which order, and how often */

static void a_transaction_tells_in_one_order_with_what_it_publishes(void **state) {
    struct server *server = start("2", "KE$");
    struct resp3 *hearer = hear(resp3_connect_to(server, 0), "*"), *teller = resp3_connect_to(server, 1);
    (void)state;
    resp3_exchange(teller, "MULTI\r\nMSET a 1 b 2\r\nPUBLISH __keyfree x\r\nSET c 3\r\nEXEC",
                   "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n:1\r\n+OK\r\n");
    expect_heard(hearer, "space@0__:a set, event@0__:set a, space@0__:b set, event@0__:set b, free x, "
                         "space@0__:c set, event@0__:set c");
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

static void what_a_client_tells_itself_follows_its_reply(void **state) {
    struct server *server = start("1", "E$");
    struct resp3 *both = hear(resp3_connect(server), "__keyevent*");
    (void)state;
    resp3_send_text(both, "MSET a 1 b 2\r\nMULTI\r\nSET c 3\r\nSET d 4\r\nEXEC\r\n");
    resp3_expect_value(both, "OK");
    resp3_expect_value(both, ">[pmessage, __keyevent*, __keyevent@0__:set, a]");
    resp3_expect_value(both, ">[pmessage, __keyevent*, __keyevent@0__:set, b]");
    resp3_expect_value(both, "OK");
    resp3_expect_value(both, "QUEUED");
    resp3_expect_value(both, "QUEUED");
    resp3_expect_value(both, "[OK, OK]");
    resp3_expect_value(both, ">[pmessage, __keyevent*, __keyevent@0__:set, c]");
    resp3_expect_value(both, ">[pmessage, __keyevent*, __keyevent@0__:set, d]");
    resp3_close(both);
    stop(server);
}

static void expect_once(const char *heard, const char *event) {
    const char *first = strstr(heard, event);
    if (first == NULL || strstr(first + 1, event) != NULL) fail_msg("not once '%s' in '%s'", event, heard);
}

/* It takes too long for its worker, is undone there, and begins again on a thread of long work. */
static void what_is_undone_is_not_told_and_what_begins_again_tells_once(void **state) {
    struct server *server = start("2", "EAm");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect_to(server, 1);
    (void)state;
    ask(teller, "SET dead 1 PXAT 1");
    free(heard_by(hearer));
    ask(teller, "EVAL \"redis.call('get', 'none') redis.call('get', 'dead') redis.call('incr', KEYS[1]) "
                "for i = 1, 3e6 do end return 1\" 1 k");
    char *heard = heard_by(hearer);
    expect_once(heard, "expired dead"); /* it has gone, however often that is asked for */
    expect_once(heard, "keymiss none");
    expect_once(heard, "keymiss dead");
    expect_once(heard, "incrby k");
    free(heard);
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

static void who_has_seen_a_reply_sees_what_it_told_before(void **state) {
    struct server *server = start("4", "KE$");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect_to(server, 1);
    (void)state;
    for (int i = 0; i < 1000; i++) {
        ask(teller, "SET k v");
        expect_heard(hearer, "space@0__:k set, event@0__:set k");
    }
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

static void a_blocked_client_that_is_served_tells_behind_what_has_served_it(void **state) {
    struct server *server = start("2", "El");
    struct resp3 *hearer = hearer_of(server, 0), *teller = resp3_connect_to(server, 1);
    redisContext *admin = server_connect(server), *waiting = connect_and_wait(server, admin, "BLPOP l 0");
    (void)state;
    ask(teller, "RPUSH l a b");
    expect_answer(waiting, "[l, a]");
    expect_events(hearer, "RPUSH", "rpush l, lpop l");
    redisFree(admin);
    resp3_close(hearer);
    resp3_close(teller);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_tells_the_events_that_redis_tells_in_its_order),
        cmocka_unit_test(a_key_hears_its_event_before_the_event_hears_its_key),
        cmocka_unit_test(no_more_is_told_than_what_was_asked_for),
        cmocka_unit_test(a_read_that_meets_a_key_whose_time_is_up_tells_expired_and_then_keymiss),
        cmocka_unit_test(a_walk_that_meets_a_key_whose_time_is_up_tells_expired),
        cmocka_unit_test(a_transaction_that_only_reads_tells_of_what_has_expired),
        cmocka_unit_test(keys_that_expire_or_are_evicted_while_nobody_asks_are_told),
        cmocka_unit_test(what_a_read_has_told_is_not_taken_back_by_what_fails_behind_it),
        cmocka_unit_test(a_transaction_tells_in_one_order_with_what_it_publishes),
        cmocka_unit_test(what_a_client_tells_itself_follows_its_reply),
        cmocka_unit_test(what_is_undone_is_not_told_and_what_begins_again_tells_once),
        cmocka_unit_test(who_has_seen_a_reply_sees_what_it_told_before),
        cmocka_unit_test(a_blocked_client_that_is_served_tells_behind_what_has_served_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
