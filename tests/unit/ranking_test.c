/* The order of a sorted set's members, against a plain sorted array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard/base/memory.h"
#include "shard/value/ranking.h"

#define MEMBERS 6000

struct model {
    struct ranked *items[MEMBERS];
    int count;
};

static int compare(const void *one, const void *other) {
    const struct ranked *const *a = one, *const *b = other;
    if ((*a)->score != (*b)->score) return (*a)->score < (*b)->score ? -1 : 1;
    struct text left = ranked_name(*a), right = ranked_name(*b);
    int order = memcmp(left.data, right.data, left.length < right.length ? left.length : right.length);
    return order != 0 ? order : left.length < right.length ? -1 : left.length > right.length;
}

static struct ranked *item_create(double score, int number) {
    char name[400];
    int length = sprintf(name, number % 100 == 0 ? "%0300d" : "member:%d", number);
    struct ranked *item = ranked_create(score, (struct text){name, (size_t)length});
    assert_non_null(item);
    assert_int_equal(ranked_name(item).length, length);
    assert_memory_equal(ranked_name(item).data, name, (size_t)length);
    return item;
}

static void add(struct ranking *ranking, struct model *model, struct ranked *item) {
    assert_true(ranking_insert(ranking, item->score, item));
    model->items[model->count++] = item;
}

static void drop(struct ranking *ranking, struct model *model, int at) {
    struct ranked *item = model->items[at];
    ranking_remove(ranking, item->score, item);
    model->items[at] = model->items[--model->count];
    free(item);
}

static void check(const struct ranking *ranking, struct model *model) {
    qsort(model->items, (size_t)model->count, sizeof model->items[0], compare);
    assert_int_equal(ranking->count, model->count);
    if (model->count == 0) {
        assert_null(ranking->root);
        assert_int_equal(ranking->bytes, 0);
        assert_int_equal(ranking_below(ranking, &(struct bound){.or_equal = true}), 0);
        return;
    }
    struct standing up = ranking_at(ranking, 0), down = ranking_at(ranking, (uint64_t)model->count - 1);
    for (int i = 0; i < model->count; i++, up = standing_next(up), down = standing_previous(down)) {
        assert_ptr_equal(standing_item(up), model->items[i]);
        assert_ptr_equal(standing_item(down), model->items[model->count - 1 - i]);
        standing_prefetch(up, 4, i % 2 == 0);
        assert_ptr_equal(standing_item(ranking_at(ranking, (uint64_t)i)), model->items[i]);
        struct bound bound = {true, true, model->items[i]->score, ranked_name(model->items[i]), false};
        assert_int_equal(ranking_below(ranking, &bound), i);
        bound.or_equal = true;
        assert_int_equal(ranking_below(ranking, &bound), i + 1);
    }
    assert_null(up.leaf);
    assert_null(down.leaf);
}

static void free_all(struct ranking *ranking, struct model *model) {
    while (model->count > 0) free(model->items[--model->count]);
    size_t budget = 0, slices = 0;
    do {
        budget = 7;
        slices++;
        assert_true(slices < 10 * MEMBERS);
    } while (!ranking_free_some(ranking, &budget));
}

static void ranks_are_places_in_the_order_whatever_comes_and_goes(void **unused) {
    (void)unused;
    static struct model model;
    for (int scores = 1; scores <= 1000000; scores *= 100) {
        struct ranking ranking = {0};
        for (int round = 0, number = 0; round < 6; round++) {
            bool is_growing = round % 2 == 0;
            for (int step = 0; step < 2500; step++) {
                if (model.count > 0 && value_random(10) < (is_growing ? 2 : 9))
                    drop(&ranking, &model, (int)value_random((uint64_t)model.count));
                else if (model.count < MEMBERS)
                    add(&ranking, &model, item_create((double)value_random((uint64_t)scores), number++));
            }
            check(&ranking, &model);
        }
        free_all(&ranking, &model);
    }
}

static void an_order_that_has_lost_all_is_empty_and_can_be_filled_again(void **unused) {
    (void)unused;
    static struct model model;
    struct ranking ranking = {0};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3000; i++) add(&ranking, &model, item_create(i % 7, i));
        check(&ranking, &model);
        while (model.count > 0)
            drop(&ranking, &model,
                 round == 0   ? 0
                 : round == 1 ? model.count - 1
                              : (int)value_random((uint64_t)model.count));
        check(&ranking, &model);
    }
}

static void members_that_come_in_order_leave_full_nodes(void **unused) {
    (void)unused;
    static struct model model;
    for (int direction = -1; direction <= 1; direction += 2) {
        struct ranking ranking = {0};
        for (int i = 0; i < MEMBERS; i++) add(&ranking, &model, item_create(direction * i, i));
        assert_true(ranking.bytes < (size_t)MEMBERS * 20);
        check(&ranking, &model);
        free_all(&ranking, &model);
    }
}

static void an_item_may_be_in_twice_while_its_score_changes(void **unused) {
    (void)unused;
    static struct model model;
    struct ranking ranking = {0};
    for (int i = 0; i < 2000; i++) add(&ranking, &model, item_create(i, i));
    for (int i = 0; i < 5000; i++) {
        struct ranked *item = model.items[value_random(2000)];
        double score = (double)value_random(4000) / 2;
        if (score == item->score) continue;
        assert_true(ranking_insert(&ranking, score, item));
        assert_int_equal(ranking.count, 2001);
        ranking_remove(&ranking, item->score, item);
        item->score = score;
    }
    check(&ranking, &model);
    free_all(&ranking, &model);
}

static void places_by_score_alone_and_by_name_alone_are_found(void **unused) {
    (void)unused;
    static struct model model;
    struct ranking ranking = {0};
    for (int i = 0; i < 300; i++) {
        char name[8];
        sprintf(name, "%03d", i);
        add(&ranking, &model, ranked_create(5, (struct text){name, 3}));
    }
    assert_int_equal(ranking_below(&ranking, &(struct bound){.has_score = true, .score = 5}), 0);
    assert_int_equal(
        ranking_below(&ranking, &(struct bound){.has_score = true, .score = 5, .or_equal = true}), 300);
    assert_int_equal(ranking_below(&ranking, &(struct bound){.has_name = true, .name = {"123", 3}}), 123);
    assert_int_equal(
        ranking_below(&ranking, &(struct bound){.has_name = true, .name = {"123", 3}, .or_equal = true}),
        124);
    assert_int_equal(ranking_below(&ranking, &(struct bound){.has_name = true, .name = {"1231", 4}}), 124);
    free_all(&ranking, &model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_places_in_the_order_whatever_comes_and_goes),
        cmocka_unit_test(an_order_that_has_lost_all_is_empty_and_can_be_filled_again),
        cmocka_unit_test(members_that_come_in_order_leave_full_nodes),
        cmocka_unit_test(an_item_may_be_in_twice_while_its_score_changes),
        cmocka_unit_test(places_by_score_alone_and_by_name_alone_are_found),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
