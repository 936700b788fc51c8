/* Places over the wire: what is stored, how searches are said, and what each of them answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/resp3.h"
#include "tests/one_client.h"

static int fill(void **unused) {
    (void)unused;
    expect(client, "OK", "FLUSHALL");
    expect(client, "2", "GEOADD sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
    expect(client, "2", "GEOADD sicily 12.758489 38.788135 edge1 17.241510 38.788135 edge2");
    return 0;
}

static void a_place_is_a_member_of_a_sorted_set(void **unused) {
    (void)unused;
    expect(client, "3479099956230698", "ZSCORE sicily Palermo");
    expect(client, "[sqc8b49rny0, (nil), sqdtr74hyu0]", "GEOHASH sicily Palermo nobody Catania");
    expect(client, "[[13.36138933897018433, 38.11555639549629859], (nil)]", "GEOPOS sicily Palermo nobody");
    expect(client, "[(nil)]", "GEOPOS nowhere Palermo");
    expect(client, "[]", "GEOHASH nowhere");
    expect(client, "1", "ZREM sicily Palermo");
    expect(client, "[(nil)]", "GEOPOS sicily Palermo");
}

static void conditions_of_adding_are_those_of_zadd(void **unused) {
    (void)unused;
    expect(client, "0", "GEOADD sicily XX 1 1 Rome");
    expect(client, "0", "GEOADD sicily NX 1 1 Palermo");
    expect(client, "1", "GEOADD sicily XX CH 1 1 Palermo");
    expect(client, "1", "GEOADD sicily 1 1 Palermo 12.5 41.9 Rome");
    expect(client, "ERR syntax error", "GEOADD sicily NX XX 1 1 x");
    expect(client, "ERR syntax error", "GEOADD sicily 1 1 x 2");
    expect(client, "ERR value is not a valid float", "GEOADD sicily a 1 x");
    expect(client, "ERR invalid longitude,latitude pair 181.000000,0.000000", "GEOADD sicily 1 1 x 181 0 y");
    expect(client, "(nil)", "ZSCORE sicily x");
    expect(client, "OK", "SET text x");
    expect(client, "WRONGTYPE Operation against a key holding the wrong kind of value", "GEOADD text 1 1 x");
}

static void distances_have_four_places_and_a_unit(void **unused) {
    (void)unused;
    expect(client, "166274.1516", "GEODIST sicily Palermo Catania");
    expect(client, "166.2742", "GEODIST sicily Palermo Catania KM");
    expect(client, "103.3182", "GEODIST sicily Palermo Catania mi");
    expect(client, "545518.8700", "GEODIST sicily Palermo Catania ft");
    expect(client, "0.0000", "GEODIST sicily Palermo Palermo");
    expect(client, "(nil)", "GEODIST sicily Palermo nobody");
    expect(client, "(nil)", "GEODIST nowhere a b");
    expect(client, "ERR unsupported unit provided. please use M, KM, FT, MI",
           "GEODIST sicily Palermo Catania cm");
    expect(client, "ERR syntax error", "GEODIST sicily Palermo Catania m m");
}

static void a_circle_is_searched_by_place_and_by_member(void **unused) {
    (void)unused;
    expect(client, "[Catania, Palermo]", "GEOSEARCH sicily FROMLONLAT 15 37 BYRADIUS 200 km ASC");
    expect(client, "[Palermo, Catania]", "GEORADIUS sicily 15 37 200 km DESC");
    expect(client, "[Palermo, edge1]", "GEORADIUSBYMEMBER_RO sicily Palermo 100 km ASC");
    expect(client,
           "[[Palermo, 190.4424, 3479099956230698, [13.36138933897018433, 38.11555639549629859]], "
           "[Catania, 56.4413, 3479447370796909, "
           "[15.08726745843887329, 37.50266842333162032]]]",
           "GEORADIUS_RO sicily 15 37 200 km WITHCOORD WITHHASH WITHDIST DESC");
    expect(client, "[Palermo]", "GEOSEARCH sicily BYRADIUS 0 m FROMMEMBER Palermo");
    expect(client, "[]", "GEORADIUS sicily -60 -30 1000 km");
}

static void a_box_is_searched_by_its_sides(void **unused) {
    (void)unused;
    expect(client, "[Catania, Palermo, edge2, edge1]",
           "GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 400 400 km ASC");
    expect(client, "[[Catania, 56.4413], [Palermo, 190.4424]]",
           "GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 300 400 km ASC WITHDIST");
    expect(client, "[Catania]", "GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 1000 200 km");
}

static void count_means_the_nearest_unless_any_will_do(void **unused) {
    (void)unused;
    expect(client, "[Catania]", "GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 400 400 km COUNT 1");
    expect(client, "[edge1, edge2]", "GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 400 400 km COUNT 2 DESC");
    expect(client, "[Palermo, edge1]", "GEOSEARCH sicily FROMLONLAT 15 37 BYBOX 400 400 km COUNT 2 ANY ASC");
    expect(client, "ERR COUNT must be > 0", "GEORADIUS sicily 15 37 200 km COUNT 0");
    expect(client, "ERR the ANY argument requires COUNT argument", "GEORADIUS sicily 15 37 200 km ANY");
}

static void a_result_is_kept_as_places_or_as_distances(void **unused) {
    (void)unused;
    expect(client, "2", "GEOSEARCHSTORE found sicily FROMLONLAT 15 37 BYRADIUS 200 km");
    expect(client, "[Palermo, 3479099956230698, Catania, 3479447370796909]", "ZRANGE found 0 -1 WITHSCORES");
    expect(client, "1", "GEOSEARCHSTORE found sicily FROMLONLAT 15 37 BYRADIUS 200 km COUNT 1 STOREDIST");
    expect(client, "[Catania, 56.4412578701582]", "ZRANGE found 0 -1 WITHSCORES");
    expect(client, "2", "GEORADIUS sicily 15 37 200 km STOREDIST other STORE found");
    expect(client, "0", "EXISTS other");
    expect(client, "3479099956230698", "ZSCORE found Palermo");
    expect(client, "2", "GEORADIUSBYMEMBER sicily Palermo 100 km STOREDIST sicily");
    expect(client, "[Palermo, edge1]", "ZRANGE sicily 0 -1");
    expect(client, "0", "GEOSEARCHSTORE found nowhere FROMLONLAT 15 37 BYRADIUS 200 km");
    expect(client, "0", "EXISTS found");
}

static void a_search_that_is_said_wrongly_is_refused(void **unused) {
    (void)unused;
    expect(client, "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for geosearch",
           "geosearch sicily BYRADIUS 1 m ASC WITHDIST");
    expect(client, "ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
           "GEOSEARCH sicily FROMLONLAT 1 1 ASC WITHDIST");
    expect(client, "ERR syntax error", "GEOSEARCH sicily FROMLONLAT 1 1 FROMMEMBER Palermo BYRADIUS 1 m");
    expect(client, "ERR syntax error", "GEOSEARCH sicily FROMLONLAT 1 1 BYRADIUS 1 m STORE x");
    expect(client, "ERR syntax error", "GEORADIUS_RO sicily 1 1 1 m STORE x");
    expect(client, "ERR could not decode requested zset member", "GEORADIUSBYMEMBER sicily nobody 1 m");
    expect(client, "[]", "GEORADIUSBYMEMBER nowhere nobody 1 m");
    expect(client, "ERR need numeric radius", "GEORADIUS sicily 1 1 x m");
    expect(client, "ERR radius cannot be negative", "GEORADIUS sicily 1 1 -1 m");
    expect(client, "ERR need numeric width", "GEOSEARCH sicily FROMLONLAT 1 1 BYBOX x 1 m");
    expect(client, "ERR need numeric height", "GEOSEARCH sicily FROMLONLAT 1 1 BYBOX 1 x m");
    expect(client, "ERR height or width cannot be negative", "GEOSEARCH sicily FROMLONLAT 1 1 BYBOX 1 -1 m");
    expect(client,
           "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD "
           "options",
           "GEORADIUS sicily 1 1 1 m STORE x WITHDIST");
    expect(client, "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
           "GEOSEARCHSTORE x sicily FROMLONLAT 1 1 BYRADIUS 1 m WITHHASH");
}

static void coordinates_are_numbers_in_resp3(void **unused) {
    (void)unused;
    struct resp3 *newer = resp3_connect(server);
    RESP3_COMMAND(newer, "HELLO", "3");
    resp3_value_free(resp3_read(newer));
    RESP3_COMMAND(newer, "GEOPOS", "sicily", "Palermo", "nobody");
    resp3_expect(newer, "*2\r\n*2\r\n,13.36138933897018433\r\n,38.11555639549629859\r\n_\r\n");
    RESP3_COMMAND(newer, "GEODIST", "sicily", "Palermo", "Catania");
    resp3_expect(newer, "$11\r\n166274.1516\r\n");
    resp3_close(newer);
}

/* Enough that the sorted set is a large one, and that a search goes through all nine cells. */
static void a_search_finds_what_a_walk_over_all_places_finds(void **unused) {
    (void)unused;
    int inside = 0;
    for (int i = 0; i < 2000; i++)
        redisAppendCommand(client, "GEOADD grid %f %f %d", i % 50 * 0.01, i / 50 * 0.01, i);
    for (int i = 0; i < 2000; i++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(client, (void **)&reply), REDIS_OK);
        assert_int_equal(reply->integer, 1);
        freeReplyObject(reply);
    }
    redisReply *found = redisCommand(client, "GEORADIUSBYMEMBER grid 1025 15 km");
    for (int i = 0; i < 2000; i++) {
        redisReply *distance = redisCommand(client, "GEODIST grid 1025 %d km", i);
        inside += strtod(distance->str, NULL) <= 15;
        freeReplyObject(distance);
    }
    assert_int_equal(found->elements, inside);
    assert_true(inside > 100);
    freeReplyObject(found);
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_place_is_a_member_of_a_sorted_set, fill),
        cmocka_unit_test_setup(conditions_of_adding_are_those_of_zadd, fill),
        cmocka_unit_test_setup(distances_have_four_places_and_a_unit, fill),
        cmocka_unit_test_setup(a_circle_is_searched_by_place_and_by_member, fill),
        cmocka_unit_test_setup(a_box_is_searched_by_its_sides, fill),
        cmocka_unit_test_setup(count_means_the_nearest_unless_any_will_do, fill),
        cmocka_unit_test_setup(a_result_is_kept_as_places_or_as_distances, fill),
        cmocka_unit_test_setup(a_search_that_is_said_wrongly_is_refused, fill),
        cmocka_unit_test_setup(coordinates_are_numbers_in_resp3, fill),
        cmocka_unit_test_setup(a_search_finds_what_a_walk_over_all_places_finds, fill),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
