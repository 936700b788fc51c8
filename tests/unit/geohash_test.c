/* Places as numbers: known ones, that they come back, and that a search's nine cells miss nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include <cmocka.h>

#include "server/commands/geo/geohash.h"
#include "tests/engine.h"

static uint64_t chance;

static double between(double least, double most) {
    return least + (most - least) * (double)(random_next(&chance) >> 11) * 0x1p-53;
}

static struct place anywhere(double latitude_most) {
    return (struct place){between(-GEO_LONGITUDE_MOST, GEO_LONGITUDE_MOST),
                          between(-latitude_most, latitude_most)};
}

static void known_places_have_their_known_numbers(void **unused) {
    (void)unused;
    struct place palermo = {13.361389, 38.115556}, catania = {15.087269, 37.502669};
    char text[GEOHASH_TEXT];
    assert_true(geohash_score(palermo) == 3479099956230698.0);
    assert_true(geohash_score(catania) == 3479447370796909.0);
    assert_true(fabs(place_distance(geohash_place(3479099956230698), geohash_place(3479447370796909)) -
                     166274.1516) < 0.0001);
    geohash_text(geohash_place(3479099956230698), text);
    assert_memory_equal(text, "sqc8b49rny0", GEOHASH_TEXT);
    /* The edges are a column and a row behind the last ones. */
    assert_true(geohash_score((struct place){180, GEO_LATITUDE_MOST}) == 13510798882111488.0);
    assert_true(geohash_score((struct place){-180, -GEO_LATITUDE_MOST}) == 0);
}

static void only_places_on_the_grid_are_valid(void **unused) {
    (void)unused;
    assert_true(place_is_valid((struct place){180, -85}));
    assert_true(place_is_valid((struct place){-180, GEO_LATITUDE_MOST}));
    assert_false(place_is_valid((struct place){180.001, 0}));
    assert_false(place_is_valid((struct place){-181, 0}));
    assert_false(place_is_valid((struct place){0, 85.06}));
    assert_false(place_is_valid((struct place){0, -INFINITY}));
}

static void a_place_comes_back_within_its_cell(void **unused) {
    (void)unused;
    for (int i = 0; i < 100000; i++) {
        struct place place = anywhere(GEO_LATITUDE_MOST), back = geohash_place(geohash_score(place));
        assert_true(fabs(back.longitude - place.longitude) <= 180 * 0x1p-26);
        assert_true(fabs(back.latitude - place.latitude) <= GEO_LATITUDE_MOST * 0x1p-26);
        assert_true(geohash_score(back) == geohash_score(place));
    }
}

static void whatever_the_score_a_place_is_on_the_grid(void **unused) {
    (void)unused;
    static const double scores[] = {0,         -0.0,   -1,     0.5,    -0.5,    1e300,  -1e300,   INFINITY,
                                    -INFINITY, 0x1p52, 0x1p53, 0x1p63, -0x1p63, 0x1p64, 0x1.8p63, 5e-324};
    for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++)
        assert_true(place_is_valid(geohash_place(scores[i])));
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = random_next(&chance);
        double score;
        memcpy(&score, &bits, sizeof score);
        if (!isnan(score)) assert_true(place_is_valid(geohash_place(score)));
    }
}

static void distances_are_those_of_a_sphere(void **unused) {
    (void)unused;
    const double around = 2 * M_PI * 6372797.560856;
    struct place origin = {0, 0};
    assert_true(place_distance(origin, origin) == 0);
    assert_true(fabs(place_distance(origin, (struct place){90, 0}) - around / 4) < 0.01);
    assert_true(fabs(place_distance(origin, (struct place){180, 0}) - around / 2) < 0.01);
    assert_true(fabs(place_distance((struct place){5, -10}, (struct place){5, 80}) - around / 4) < 0.01);
    assert_true(fabs(place_distance((struct place){179.5, 0}, (struct place){-179.5, 0}) - around / 360) <
                0.01);
    for (int i = 0; i < 10000; i++) {
        struct place one = anywhere(85), other = anywhere(85),
                     opposite = {one.longitude > 0 ? one.longitude - 180 : one.longitude + 180,
                                 -one.latitude};
        assert_true(place_distance(one, other) == place_distance(other, one));
        assert_true(fabs(place_distance(one, other) + place_distance(other, opposite) - around / 2) < 1);
        assert_true(place_distance(one, opposite) <= around / 2);
    }
}

/* Of any shape, from a meter to a thousand kilometers. */
static struct area some_area(void) {
    struct area area = {.center = anywhere(65), .is_box = random_below(&chance, 2) == 0};
    area.radius = pow(10, between(0, 6));
    area.width = area.radius * between(0.1, 2);
    area.height = area.radius * between(0.1, 2);
    return area;
}

static bool is_in_one(double score, const struct score_range *ranges, size_t count) {
    size_t in = 0;
    for (size_t i = 0; i < count; i++) in += score >= ranges[i].least && score < ranges[i].end;
    assert_true(in <= 1);
    return in == 1;
}

static void what_an_area_contains_is_in_one_of_its_ranges(void **unused) {
    (void)unused;
    int contained = 0;
    for (int i = 0; i < SCALED(20000, 4000); i++) {
        struct area area = some_area();
        struct score_range ranges[AREA_RANGES_MOST];
        size_t count = area_ranges(&area, ranges);
        assert_in_range(count, 1, AREA_RANGES_MOST);
        for (int k = 0; k < 50; k++) {
            double degrees = area.radius / 100000, distance;
            struct place place = {area.center.longitude + between(-degrees, degrees),
                                  area.center.latitude + between(-degrees, degrees)};
            if (place.longitude > 180) place.longitude -= 360;
            if (place.longitude < -180) place.longitude += 360;
            if (!place_is_valid(place)) continue;
            double score = geohash_score(place);
            if (!area_contains(&area, geohash_place(score), &distance)) continue;
            contained++;
            assert_true(distance == place_distance(area.center, geohash_place(score)));
            if (!is_in_one(score, ranges, count))
                fail_msg("%f %f is missing around %f %f", place.longitude, place.latitude,
                         area.center.longitude, area.center.latitude);
        }
    }
    assert_true(contained > 10000);
}

static void a_small_area_is_a_small_part_of_the_scores(void **unused) {
    (void)unused;
    for (int i = 0; i < 10000; i++) {
        struct area area = {.center = anywhere(60), .radius = 100};
        struct score_range ranges[AREA_RANGES_MOST];
        double sum = 0;
        for (size_t k = area_ranges(&area, ranges); k > 0; k--)
            sum += ranges[k - 1].end - ranges[k - 1].least;
        assert_true(sum <= 9 * 0x1p52 / 0x1p30); /* 40 million meters / 2^15 are more than 1 km */
    }
}

static void a_large_area_is_everything_once(void **unused) {
    (void)unused;
    struct area area = {.center = {10, 10}, .radius = 3e7};
    struct score_range ranges[AREA_RANGES_MOST];
    size_t count = area_ranges(&area, ranges);
    assert_int_equal(count, 4);
    double distance;
    for (int i = 0; i < 10000; i++) {
        struct place place = anywhere(85);
        assert_true(is_in_one(geohash_score(place), ranges, count));
        assert_true(area_contains(&area, place, &distance));
    }
    area.radius = INFINITY;
    assert_int_equal(area_ranges(&area, ranges), 4);
}

static void no_area_at_all_is_the_place_itself(void **unused) {
    (void)unused;
    for (int i = 0; i < 1000; i++) {
        double score = geohash_score(anywhere(85)), distance;
        struct area area = {.center = geohash_place(score)};
        struct score_range ranges[AREA_RANGES_MOST];
        assert_true(is_in_one(score, ranges, area_ranges(&area, ranges)));
        assert_true(area_contains(&area, area.center, &distance));
        assert_true(distance == 0);
        area.center.latitude += area.center.latitude > 0 ? -0.001 : 0.001;
        assert_false(area_contains(&area, geohash_place(score), &distance));
    }
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    chance = seed_take();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_places_have_their_known_numbers),
        cmocka_unit_test(only_places_on_the_grid_are_valid),
        cmocka_unit_test(a_place_comes_back_within_its_cell),
        cmocka_unit_test(whatever_the_score_a_place_is_on_the_grid),
        cmocka_unit_test(distances_are_those_of_a_sphere),
        cmocka_unit_test(what_an_area_contains_is_in_one_of_its_ranges),
        cmocka_unit_test(a_small_area_is_a_small_part_of_the_scores),
        cmocka_unit_test(a_large_area_is_everything_once),
        cmocka_unit_test(no_area_at_all_is_the_place_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
