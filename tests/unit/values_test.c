/* Hashes, sets, lists and sorted sets as values: every form against a plain array, with limits small enough
 * that each becomes a larger form on the way. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard/value/kinds.h"
#include "shard/value/fields.h"
#include "shard/value/list.h"
#include "shard/value/members.h"
#include "shard/value/numbers.h"
#include "shard/value/sorted.h"
#include "shard/value/form.h"

#define NAMES 600
#define MOST 4000

static void limits_set(int64_t entries) {
    atomic_store(&value_limits.hash_listpack_entries, entries);
    atomic_store(&value_limits.set_listpack_entries, entries);
    atomic_store(&value_limits.set_intset_entries, entries);
    atomic_store(&value_limits.zset_listpack_entries, entries);
}

/* Short and long ones, numbers and others; each its own. */
static struct text name_of(int number) {
    static char names[NAMES][120];
    char *name = names[number];
    if (name[0] == '\0') {
        if (number % 3 == 0)
            sprintf(name, "%d", number * 70001);
        else if (number % 50 == 1)
            sprintf(name, "%0*d", 90, number);
        else
            sprintf(name, "name:%d", number);
    }
    return (struct text){name, strlen(name)};
}

static bool is_text(const struct packed_text *text, struct text wanted) {
    return text->length == wanted.length && memcmp(text->data, wanted.data, wanted.length) == 0;
}

static int number_of(const struct packed_text *text) {
    for (int i = 0; i < NAMES; i++)
        if (is_text(text, name_of(i))) return i;
    return -1;
}

/* A copy is as large as it is said to be, has as much in it, and goes in slices. */
static void *check_copy(const struct value_kind *kind, const void *value) {
    void *copy = kind->copy(value);
    assert_non_null(copy);
    assert_int_equal(kind->count(copy), kind->count(value));
    assert_string_equal(kind->encoding_name(copy), kind->encoding_name(value));
    assert_true(kind->bytes(copy) > 0);
    return copy;
}

static void free_in_slices(const struct value_kind *kind, void *value) {
    uint64_t slices = 1, most = kind->count(value) / 2 + 3; /* nodes go as well */
    while (!kind->free_some(value, 3)) slices++;
    assert_true(slices <= most);
}

/* ------------------------------------------------------------------ hashes */

struct pairs {
    int values[NAMES]; /* -1: absent */
    int visits[NAMES];
    int count;
};

static void visit_pair(void *context, const struct packed_text *field, const struct packed_text *text) {
    struct pairs *pairs = context;
    int number = number_of(field);
    assert_true(number >= 0 && pairs->values[number] >= 0);
    assert_true(is_text(text, name_of(pairs->values[number])));
    pairs->visits[number]++;
}

static void check_fields(const void *value, struct pairs *pairs) {
    struct packed_text field, text;
    assert_int_equal(fields_count(value), pairs->count);
    for (int i = 0; i < NAMES; i++) {
        pairs->visits[i] = 0;
        assert_int_equal(fields_get(value, name_of(i), &text), pairs->values[i] >= 0);
        if (pairs->values[i] >= 0) assert_true(is_text(&text, name_of(pairs->values[i])));
    }
    fields_each(value, visit_pair, pairs);
    uint64_t position = 0;
    do position = fields_scan(value, position, 5, visit_pair, pairs);
    while (position != 0);
    for (int i = 0; i < NAMES; i++) assert_int_equal(pairs->visits[i], pairs->values[i] >= 0 ? 2 : 0);
    if (pairs->count == 0) return;
    fields_random(value, &field, &text);
    visit_pair(pairs, &field, &text);
}

static void fields_are_those_of_a_map(void **unused) {
    (void)unused;
    for (int64_t limit = 4; limit <= 512; limit *= 8) {
        limits_set(limit);
        struct pairs pairs = {.count = 0};
        for (int i = 0; i < NAMES; i++) pairs.values[i] = -1;
        void *value = fields_create();
        for (int step = 0; step < MOST; step++) {
            int number = (int)value_random(limit == 512 ? 40 : NAMES), text = (int)value_random(NAMES);
            if (limit == 512 && step < MOST / 2) {
                number -= number % 50 == 1; /* at first nothing that is too long */
                text -= text % 50 == 1;
            }
            if (value_random(3) > 0) {
                enum put put = fields_put(&value, name_of(number), name_of(text));
                assert_int_equal(put, pairs.values[number] < 0 ? PUT_NEW : PUT_OVER);
                pairs.count += pairs.values[number] < 0;
                pairs.values[number] = text;
            } else {
                assert_int_equal(fields_remove(&value, name_of(number)), pairs.values[number] >= 0);
                pairs.count -= pairs.values[number] >= 0;
                pairs.values[number] = -1;
            }
            if (step % 400 == 0) check_fields(value, &pairs);
        }
        check_fields(value, &pairs);
        assert_string_equal(hash_kind.encoding_name(value), "hashtable");
        void *copy = check_copy(&hash_kind, value);
        check_fields(copy, &pairs);
        free_in_slices(&hash_kind, copy);
        value_free(&hash_kind, value);
    }
    void *small = fields_create();
    assert_int_equal(fields_put(&small, name_of(2), name_of(3)), PUT_NEW);
    assert_string_equal(hash_kind.encoding_name(small), "listpack");
    struct packed_text field, text;
    fields_at(small, 0, &field, &text);
    assert_true(is_text(&field, name_of(2)) && is_text(&text, name_of(3)));
    free_in_slices(&hash_kind, check_copy(&hash_kind, small));
    value_free(&hash_kind, small);
}

/* ------------------------------------------------------------------ sets */

struct flags {
    bool is_in[NAMES];
    int visits[NAMES];
    int count;
};

static bool visit_member(void *context, const struct packed_text *member) {
    struct flags *flags = context;
    int number = number_of(member);
    assert_true(number >= 0 && flags->is_in[number]);
    flags->visits[number]++;
    return true;
}

static void check_members(const void *value, struct flags *flags) {
    struct packed_text member;
    assert_int_equal(members_count(value), flags->count);
    for (int i = 0; i < NAMES; i++) {
        flags->visits[i] = 0;
        assert_int_equal(members_has(value, name_of(i)), flags->is_in[i]);
    }
    members_each(value, visit_member, flags);
    uint64_t position = 0;
    do position = members_scan(value, position, 5, visit_member, flags);
    while (position != 0);
    for (int i = 0; i < NAMES; i++) assert_int_equal(flags->visits[i], flags->is_in[i] ? 2 : 0);
    if (flags->count == 0) return;
    members_random(value, &member);
    visit_member(flags, &member);
}

/* step: 3 draws numbers only. */
static void run_members(int64_t limit, int step, const char *last) {
    limits_set(limit);
    struct flags flags = {.count = 0};
    void *value = members_create(name_of(0), 1);
    for (int i = 0; i < MOST; i++) {
        int number = (int)value_random(NAMES / (unsigned)step) * step;
        if (limit == 5000 && number % 50 == 1) number--;
        if (value_random(3) > 0) {
            assert_int_equal(members_add(&value, name_of(number)), !flags.is_in[number]);
            flags.count += !flags.is_in[number];
            flags.is_in[number] = true;
        } else {
            assert_int_equal(members_remove(&value, name_of(number)), flags.is_in[number]);
            flags.count -= flags.is_in[number];
            flags.is_in[number] = false;
        }
        if (i % 400 == 0) check_members(value, &flags);
    }
    check_members(value, &flags);
    assert_string_equal(set_kind.encoding_name(value), last);
    void *copy = check_copy(&set_kind, value);
    check_members(copy, &flags);
    free_in_slices(&set_kind, copy);
    value_free(&set_kind, value);
}

static void members_are_those_of_a_set(void **unused) {
    (void)unused;
    run_members(8, 1, "hashtable");
    run_members(8, 3, "hashtable");
    run_members(512, 3, "intset");
    run_members(5000, 1, "listpack");
    run_members(64, 1, "hashtable");
}

static void a_set_takes_the_form_that_fits(void **unused) {
    (void)unused;
    static char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    limits_set(4);
    struct text number = {"12", 2}, other = {"a", 1}, longer = {long_name, 100}, longest = {long_name, 300};
    void *value = members_create(number, 1);
    assert_string_equal(set_kind.encoding_name(value), "intset");
    assert_int_equal(members_add(&value, number), 1);
    assert_int_equal(members_add(&value, longest), 1); /* numbers that get company which is too long */
    assert_string_equal(set_kind.encoding_name(value), "hashtable");
    assert_true(members_has(value, longest) && members_has(value, number));
    assert_true(members_remove(&value, longest));
    value_free(&set_kind, value);
    value = members_create(other, 1);
    assert_string_equal(set_kind.encoding_name(value), "listpack");
    assert_int_equal(members_add(&value, longer), 1);
    assert_string_equal(set_kind.encoding_name(value), "hashtable");
    value_free(&set_kind, value);
    value = members_create(other, 100);
    assert_string_equal(set_kind.encoding_name(value), "hashtable");
    value_free(&set_kind, value);
    value = members_create(number, 5);
    assert_string_equal(set_kind.encoding_name(value), "hashtable");
    value_free(&set_kind, value);
}

static void numbers_stay_in_order_and_widen(void **unused) {
    (void)unused;
    static const int64_t wanted[] = {INT64_MIN, INT32_MIN, INT16_MIN, -5,       0,
                                     7,         INT16_MAX, INT32_MAX, INT64_MAX};
    static const int order[] = {4, 5, 3, 6, 2, 7, 1, 8, 0};
    struct numbers *numbers = numbers_create();
    for (int i = 0; i < 9; i++) {
        assert_int_equal(numbers_add(&numbers, wanted[order[i]]), 1);
        assert_int_equal(numbers_add(&numbers, wanted[order[i]]), 0);
    }
    assert_int_equal(numbers_count(numbers), 9);
    for (uint32_t i = 0; i < 9; i++) assert_true(numbers_at(numbers, i) == wanted[i]);
    assert_true(numbers_has(numbers, INT32_MIN));
    assert_false(numbers_has(numbers, 6));
    assert_true(numbers_bytes(numbers) >= 72);
    assert_false(numbers_remove(&numbers, 6));
    for (int i = 0; i < 9; i++) assert_true(numbers_remove(&numbers, wanted[i]));
    assert_int_equal(numbers_count(numbers), 0);
    free(numbers);
}

/* ------------------------------------------------------------------ lists */

struct row {
    int numbers[MOST];
    int count, at, step;
};

static bool visit_element(void *context, const struct packed_text *text) {
    struct row *row = context;
    assert_true(row->at >= 0 && row->at < row->count);
    assert_true(is_text(text, name_of(row->numbers[row->at])));
    row->at += row->step;
    return true;
}

static void check_list(const void *value, struct row *row) {
    struct packed_text text;
    assert_int_equal(list_count(value), row->count);
    if (row->count == 0) return;
    row->at = 0;
    row->step = 1;
    list_each(value, 0, UINT64_MAX, false, visit_element, row);
    assert_int_equal(row->at, row->count);
    row->at = row->count - 1;
    row->step = -1;
    list_each(value, (uint64_t)row->count - 1, UINT64_MAX, true, visit_element, row);
    assert_int_equal(row->at, -1);
    for (int i = 0; i < 20; i++) {
        int at = (int)value_random((uint64_t)row->count);
        list_get(value, (uint64_t)at, &text);
        assert_true(is_text(&text, name_of(row->numbers[at])));
        row->at = at;
        row->step = 1;
        list_each(value, (uint64_t)at, 1, false, visit_element, row);
        assert_int_equal(row->at, at + 1);
    }
}

static void row_insert(struct row *row, int at, int number) {
    memmove(row->numbers + at + 1, row->numbers + at, (size_t)(row->count++ - at) * sizeof(int));
    row->numbers[at] = number;
}

static void row_remove(struct row *row, int at, int count) {
    memmove(row->numbers + at, row->numbers + at + count, (size_t)(row->count - at - count) * sizeof(int));
    row->count -= count;
}

static int row_remove_equal(struct row *row, int number, int count) {
    int removed = 0, most = count == 0 ? MOST : abs(count);
    for (int i = count < 0 ? row->count - 1 : 0; i >= 0 && i < row->count && removed < most;
         i += count < 0 ? -1 : 1)
        if (row->numbers[i] == number) {
            row_remove(row, i, 1);
            removed++;
            if (count >= 0) i--;
        }
    return removed;
}

static void run_list(int64_t node_size, int64_t depth) {
    static struct row row;
    row.count = 0;
    atomic_store(&value_limits.list_listpack_size, node_size);
    atomic_store(&value_limits.list_compress_depth, depth);
    void *value = list_create();
    for (int step = 0; step < MOST; step++) {
        int number = (int)value_random(30), at = (int)value_random((uint64_t)row.count + 1), count;
        bool shrinks = step > MOST * 2 / 3;
        switch (value_random(shrinks ? 12 : 9)) {
        case 0:
        case 1:
        case 2:
            list_expect(&value, name_of(number).length, 1);
            assert_true(list_push(&value, true, name_of(number)));
            row_insert(&row, 0, number);
            break;
        case 3:
        case 4:
            list_expect(&value, name_of(number).length, 1);
            assert_true(list_push(&value, false, name_of(number)));
            row_insert(&row, row.count, number);
            break;
        case 5:
            assert_true(list_insert(&value, (uint64_t)at, name_of(number)));
            row_insert(&row, at, number);
            break;
        case 6:
            if (at == row.count) break;
            assert_true(list_set(&value, (uint64_t)at, name_of(number)));
            row.numbers[at] = number;
            break;
        case 7:
            count = (int)value_random(5) - 2;
            assert_int_equal(list_remove_equal(&value, name_of(number), count),
                             row_remove_equal(&row, number, count));
            break;
        default:
            count = (int)value_random((uint64_t)(row.count - at) / (shrinks ? 3 : 10) + 2);
            if (count > row.count - at) count = row.count - at;
            list_remove(&value, (uint64_t)at, (uint64_t)count);
            row_remove(&row, at, count);
        }
        if (step % 200 == 0) check_list(value, &row);
    }
    check_list(value, &row);
    void *copy = check_copy(&list_kind, value);
    check_list(copy, &row);
    free_in_slices(&list_kind, copy);
    list_remove(&value, 0, list_count(value));
    assert_int_equal(list_count(value), 0);
    value_free(&list_kind, value);
}

static void elements_are_those_of_a_row(void **unused) {
    (void)unused;
    for (int round = 0; round < 4; round++) {
        run_list(1, round);
        run_list(5, round);
        run_list(-1, round);
        run_list(-9, round);
    }
}

static void a_list_becomes_large_and_small_again(void **unused) {
    (void)unused;
    atomic_store(&value_limits.list_listpack_size, 10);
    void *value = list_create();
    for (int i = 0; i < 10; i++) {
        list_expect(&value, 8, 1);
        assert_true(list_push(&value, false, name_of(i)));
    }
    assert_string_equal(list_kind.encoding_name(value), "listpack");
    list_expect(&value, 8, 1);
    assert_true(list_push(&value, false, name_of(10)));
    assert_string_equal(list_kind.encoding_name(value), "quicklist");
    void *copy = check_copy(&list_kind, value);
    free_in_slices(&list_kind, copy);
    list_remove(&value, 0, 10);
    assert_string_equal(list_kind.encoding_name(value), "listpack");
    assert_int_equal(list_count(value), 1);
    value_free(&list_kind, value);
    atomic_store(&value_limits.list_listpack_size, -2);
}

/* ------------------------------------------------------------------ sorted sets */

struct ranking {
    double scores[NAMES];
    bool is_in[NAMES];
    int order[NAMES], count, at, step, visits[NAMES];
};

static struct ranking ranking;

static int compare(const void *one, const void *other) {
    int first = *(const int *)one, second = *(const int *)other;
    if (ranking.scores[first] != ranking.scores[second])
        return ranking.scores[first] < ranking.scores[second] ? -1 : 1;
    return strcmp(name_of(first).data, name_of(second).data);
}

static bool visit_ranked(void *context, const struct packed_text *member, double score) {
    (void)context;
    int number = number_of(member);
    assert_int_equal(number, ranking.order[ranking.at]);
    assert_true(score == ranking.scores[number]);
    ranking.at += ranking.step;
    return true;
}

static bool visit_any(void *context, const struct packed_text *member, double score) {
    (void)context;
    int number = number_of(member);
    assert_true(ranking.is_in[number] && score == ranking.scores[number]);
    ranking.visits[number]++;
    return true;
}

static void check_sorted(const void *value) {
    double score;
    uint64_t rank;
    struct packed_text member;
    ranking.count = 0;
    for (int i = 0; i < NAMES; i++) {
        ranking.visits[i] = 0;
        assert_int_equal(sorted_score(value, name_of(i), &score), ranking.is_in[i]);
        if (ranking.is_in[i]) ranking.order[ranking.count++] = i;
    }
    qsort(ranking.order, (size_t)ranking.count, sizeof ranking.order[0], compare);
    assert_int_equal(sorted_count(value), ranking.count);
    ranking.at = 0;
    ranking.step = 1;
    sorted_each(value, 0, UINT64_MAX, false, visit_ranked, NULL);
    assert_int_equal(ranking.at, ranking.count);
    if (ranking.count == 0) return;
    ranking.step = -1;
    ranking.at = ranking.count - 1;
    sorted_each(value, (uint64_t)ranking.count - 1, UINT64_MAX, true, visit_ranked, NULL);
    assert_int_equal(ranking.at, -1);
    for (int i = 0; i < ranking.count; i++) {
        int number = ranking.order[i], below = 0, up_to = 0;
        assert_true(sorted_rank(value, name_of(number), &rank, &score));
        assert_int_equal(rank, i);
        for (int k = 0; k < ranking.count; k++) {
            below += ranking.scores[ranking.order[k]] < score;
            up_to += ranking.scores[ranking.order[k]] <= score;
        }
        assert_int_equal(sorted_below(value, score, false), below);
        assert_int_equal(sorted_below(value, score, true), up_to);
    }
    uint64_t position = 0;
    do position = sorted_scan(value, position, 5, visit_any, NULL);
    while (position != 0);
    for (int i = 0; i < NAMES; i++) assert_int_equal(ranking.visits[i], ranking.is_in[i]);
    sorted_random(value, &member, &score);
    visit_any(NULL, &member, score);
}

static double draw_score(void) {
    switch (value_random(6)) {
    case 0: return (double)value_random(10) / 8;
    case 1: return value_random(2) ? INFINITY : -INFINITY;
    case 2: return 1e300;
    default: return (double)value_random(20) - 10;
    }
}

static void scores_make_the_order(void **unused) {
    (void)unused;
    for (int64_t limit = 4; limit <= 1024; limit *= 16) {
        limits_set(limit);
        memset(&ranking, 0, sizeof ranking);
        void *value = sorted_create(1, 5);
        for (int step = 0; step < MOST; step++) {
            int number = (int)value_random(limit == 1024 ? 60 : NAMES);
            if (limit == 1024 && number % 50 == 1) number--;
            uint64_t action = value_random(12), rank = value_random(sorted_count(value) + 1),
                     some = value_random(4);
            if (action < 8) {
                double score = draw_score();
                enum scored wanted = !ranking.is_in[number]            ? SCORED_NEW
                                     : ranking.scores[number] == score ? SCORED_SAME
                                                                       : SCORED_OTHERWISE;
                assert_int_equal(sorted_put(&value, name_of(number), score), wanted);
                ranking.is_in[number] = true;
                ranking.scores[number] = score;
            } else if (action < 11) {
                assert_int_equal(sorted_remove(&value, name_of(number)), ranking.is_in[number]);
                ranking.is_in[number] = false;
            } else if (rank + some <= sorted_count(value)) {
                check_sorted(value);
                for (uint64_t i = rank; i < rank + some; i++) ranking.is_in[ranking.order[i]] = false;
                sorted_remove_range(&value, rank, some);
            }
            if (step % 500 == 0) check_sorted(value);
        }
        check_sorted(value);
        assert_string_equal(zset_kind.encoding_name(value), limit == 1024 ? "listpack" : "skiplist");
        void *copy = check_copy(&zset_kind, value);
        check_sorted(copy);
        free_in_slices(&zset_kind, copy);
        value_free(&zset_kind, value);
    }
}

static void names_make_the_order_where_scores_are_equal(void **unused) {
    (void)unused;
    for (int64_t limit = 4; limit <= 512; limit *= 128) {
        limits_set(limit);
        void *value = sorted_create((uint64_t)limit + 1, 3);
        char name[8];
        for (int i = 0; i < 100; i++) {
            sprintf(name, "%02d", (i * 37) % 100);
            assert_int_equal(sorted_put(&value, (struct text){name, 2}, 0), SCORED_NEW);
        }
        assert_int_equal(sorted_before(value, (struct text){"42", 2}, false), 42);
        assert_int_equal(sorted_before(value, (struct text){"42", 2}, true), 43);
        assert_int_equal(sorted_before(value, (struct text){"420", 3}, false), 43);
        assert_int_equal(sorted_before(value, (struct text){"", 0}, true), 0);
        assert_int_equal(sorted_before(value, (struct text){"a", 1}, false), 100);
        value_free(&zset_kind, value);
    }
}

static bool is_sorted_large(const void *value) {
    return value_form(value) == VALUE_LARGE;
}

static void a_sorted_set_that_fits_is_packed_and_then_knows_no_negative_zero(void **unused) {
    (void)unused;
    char too_long[65] = {0};
    const struct text names[] = {{"b", 1}, {"a", 1}, {too_long, sizeof too_long}};
    double score;
    limits_set(10);
    void *value = sorted_create(UINT64_MAX, 0);
    assert_true(is_sorted_large(value));
    for (int i = 0; i < 3; i++) assert_int_equal(sorted_put(&value, names[i], -0.0), SCORED_NEW);
    limits_set(2);
    sorted_pack(&value); /* too many */
    assert_true(is_sorted_large(value));
    limits_set(10);
    sorted_pack(&value); /* too long a one */
    assert_true(is_sorted_large(value));
    assert_true(sorted_score(value, names[0], &score) && score == 0 && signbit(score));
    assert_true(sorted_remove(&value, names[2]));
    sorted_pack(&value);
    sorted_pack(&value); /* it is */
    assert_false(is_sorted_large(value));
    assert_int_equal(sorted_count(value), 2);
    assert_int_equal(sorted_before(value, names[0], false), 1);
    assert_true(sorted_score(value, names[0], &score) && score == 0 && !signbit(score));
    value_free(&zset_kind, value);
}

static void scores_are_written_so_that_they_read_back(void **unused) {
    (void)unused;
    static const double scores[] = {0, -1, 3, 0.1, 1e15, 1e16, 1e300, -2.5, 1.0 / 3};
    char text[40];
    for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
        text[score_format(text, scores[i])] = '\0';
        assert_true(strtod(text, NULL) == scores[i]);
    }
    text[score_format(text, -0.0)] = '\0';
    assert_true(signbit(strtod(text, NULL)));
}

static void every_type_but_strings_has_a_kind(void **unused) {
    (void)unused;
    assert_null(value_kind(TYPE_STRING));
    assert_ptr_equal(value_kind(TYPE_LIST), &list_kind);
    assert_ptr_equal(value_kind(TYPE_SET), &set_kind);
    assert_ptr_equal(value_kind(TYPE_ZSET), &zset_kind);
    assert_ptr_equal(value_kind(TYPE_HASH), &hash_kind);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_those_of_a_map),
        cmocka_unit_test(members_are_those_of_a_set),
        cmocka_unit_test(a_set_takes_the_form_that_fits),
        cmocka_unit_test(numbers_stay_in_order_and_widen),
        cmocka_unit_test(elements_are_those_of_a_row),
        cmocka_unit_test(a_list_becomes_large_and_small_again),
        cmocka_unit_test(scores_make_the_order),
        cmocka_unit_test(names_make_the_order_where_scores_are_equal),
        cmocka_unit_test(a_sorted_set_that_fits_is_packed_and_then_knows_no_negative_zero),
        cmocka_unit_test(scores_are_written_so_that_they_read_back),
        cmocka_unit_test(every_type_but_strings_has_a_kind),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
