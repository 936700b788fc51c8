/* What is done in a scope is taken back as a whole. tests/oom tries it with every command, and rows of
 * them; here is what each way to change leaves behind. */
#include "tests/engine.h"

#include "shard/base/journal.h"
#include "shard/base/memory.h"
#include "shard/scope/undo.h"
#include "shard/value/fields.h"
#include "shard/value/list.h"
#include "shard/value/sorted.h"

#define NOW 1000000

static struct keyspace *keyspace;
static struct lane *lane;
static int undone; /* how often a listener was told */

static void on_changed(void *context, struct write_scope *scope, const struct key *key,
                       const struct entry *entry, enum event event, bool is_new) {
    (void)context;
    (void)scope;
    (void)key;
    (void)entry;
    (void)is_new;
    undone += event == EVENT_UNDO;
}

/* What a listener that keeps what it hears has heard of undos. */
static struct {
    uint64_t told; /* that is still true, as of the last one that went back */
    int taken_back, settled;
} heard;

static void on_taken_back(void *context, const struct scope *scope, uint64_t told) {
    (void)context;
    (void)scope;
    heard.told = told;
    heard.taken_back++;
}

static void on_settled(void *context, const struct scope *scope) {
    (void)context;
    assert_null(scope->undo);
    heard.settled++;
}

static int open_keyspace(void **state) {
    (void)state;
    keyspace = keyspace_with(4, 2, 5);
    keyspace_listen(keyspace, &(struct keyspace_listener){
                                  .changed = on_changed, .taken_back = on_taken_back, .settled = on_settled});
    lane = lane_attach(keyspace);
    return 0;
}

static int close_keyspace(void **state) {
    (void)state;
    lane_detach(lane);
    keyspace_close(keyspace);
    return 0;
}

static struct key key_named(const char *name) {
    return keyspace_key(keyspace, 0, name, strlen(name));
}

/* "-" is absent, "!" is no string. */
static void expect_held(const char *name, const char *value, int64_t expiry) {
    struct holding holding;
    struct key key = key_named(name);
    struct string_view view;
    hold_shards(&holding, lane, &key, 1, NOW);
    const struct entry *entry = scope_read(&holding.scope.reading, &key);
    if (strcmp(value, "-") == 0) {
        assert_null(entry);
    } else if (strcmp(value, "!") == 0) {
        assert_true(entry != NULL && entry_type(entry) != TYPE_STRING);
    } else {
        assert_non_null(entry);
        entry_string(entry, &view);
        assert_int_equal(view.length, strlen(value));
        assert_memory_equal(view.data, value, view.length);
        assert_true(entry_expiry(entry) == expiry);
    }
    hold_end(&holding);
}

static void prepare(void) {
    put(lane, 0, "short", 5, "value", 5, ENTRY_NO_EXPIRY, NOW);
    put(lane, 0, "number", 6, "12", 2, ENTRY_NO_EXPIRY, NOW);
    put(lane, 0, "mortal", 6, "value", 5, NOW + 1000, NOW);
    put(lane, 0, "gone", 4, "lapsed", 6, NOW - 1, NOW - 10);
    drop(lane, 0, "new", 3, NOW);
    drop(lane, 0, "copy", 4, NOW);
}

static void expect_prepared(void) {
    expect_held("short", "value", ENTRY_NO_EXPIRY);
    expect_held("number", "12", ENTRY_NO_EXPIRY);
    expect_held("mortal", "value", NOW + 1000);
    expect_held("gone", "-", 0);
    expect_held("new", "-", 0);
    expect_held("copy", "-", 0);
    check_accounting(lane);
}

/* All ways to change a string, one after the other and on one another. */
static void change_all(struct write_scope *scope) {
    struct key names[] = {key_named("short"), key_named("number"), key_named("mortal"),
                          key_named("gone"),  key_named("new"),    key_named("copy")};
    struct edit edit;
    scope_edit(scope, &names[0], &edit);
    assert_true(edit_put_string(&edit, "other", 5, NULL, false)); /* of the same length */
    scope_changed(&edit, EVENT_SET);
    scope_edit(scope, &names[0], &edit);
    memcpy(edit_stretch_string(&edit, 10) + 5, "more!", 5);
    scope_changed(&edit, EVENT_APPEND);
    scope_edit(scope, &names[0], &edit);
    memcpy(edit_stretch_string(&edit, 12), "written over", 12);
    scope_changed(&edit, EVENT_SETRANGE);
    scope_edit(scope, &names[1], &edit);
    assert_true(edit_put_integer(&edit, 77));
    scope_changed(&edit, EVENT_INCRBY);
    scope_edit(scope, &names[1], &edit);
    assert_true(edit_set_expiry(&edit, NOW + 5));
    scope_changed(&edit, EVENT_EXPIRE);
    scope_edit(scope, &names[2], &edit);
    assert_true(edit_set_expiry(&edit, NOW + 7));
    assert_true(edit_put_string_until(&edit, "12345", 5, NULL, NOW + 8));
    scope_changed(&edit, EVENT_SET);
    scope_edit(scope, &names[3], &edit);
    assert_null(edit.entry);
    assert_true(edit_put_text(&edit, "again", 5));
    scope_changed(&edit, EVENT_SET);
    scope_edit(scope, &names[4], &edit);
    assert_true(edit_put_string(&edit, "new", 3, NULL, false));
    scope_changed(&edit, EVENT_SET);
    const struct entry *source = scope_read(&scope->reading, &names[0]);
    scope_edit(scope, &names[5], &edit);
    assert_true(edit_put_moved(&edit, source));
    scope_changed(&edit, EVENT_RENAME_TO);
    scope_edit(scope, &names[0], &edit);
    edit_remove_moved(&edit);
    scope_changed(&edit, EVENT_RENAME_FROM);
    scope_edit(scope, &names[4], &edit);
    edit_remove(&edit);
    scope_changed(&edit, EVENT_DEL);
}

static void what_was_changed_replaced_or_removed_comes_back(void **state) {
    struct holding holding;
    struct undo undo;
    (void)state;
    prepare();
    uint64_t changes = counts_of(keyspace).changes;
    hold_all(&holding, lane, NOW);
    undone = 0;
    undo_begin(&undo, &holding.scope);
    change_all(&holding.scope);
    assert_int_equal(holding.scope.scope.changes, 11);
    undo_back(&undo);
    assert_int_equal(holding.scope.scope.changes, 0);
    hold_all_end(&holding);
    assert_int_equal(counts_of(keyspace).changes, changes);
    assert_true(undone >= 10);
    expect_prepared();
}

static void what_is_not_taken_back_is_as_without_an_undo(void **state) {
    struct holding holding;
    struct undo undo;
    (void)state;
    prepare();
    hold_all(&holding, lane, NOW);
    undone = 0;
    undo_begin(&undo, &holding.scope);
    change_all(&holding.scope);
    undo_end(&undo);
    hold_all_end(&holding);
    assert_int_equal(undone, 0);
    expect_held("short", "-", 0);
    expect_held("copy", "written over", ENTRY_NO_EXPIRY);
    expect_held("number", "77", NOW + 5);
    expect_held("mortal", "12345", NOW + 8);
    expect_held("gone", "again", ENTRY_NO_EXPIRY);
    expect_held("new", "-", 0);
    check_accounting(lane);
    keyspace_reclaim(lane);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
}

static void an_inner_undo_takes_back_only_what_is_its_own(void **state) {
    struct holding holding;
    struct undo outer, inner;
    struct edit edit;
    struct key key = key_named("short");
    (void)state;
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        prepare();
        hold_all(&holding, lane, NOW);
        undo_begin(&outer, &holding.scope);
        scope_edit(&holding.scope, &key, &edit);
        assert_true(edit_put_string(&edit, "first", 5, NULL, false));
        scope_changed(&edit, EVENT_SET);
        undo_begin(&inner, &holding.scope);
        change_all(&holding.scope);
        undo_conclude(&inner, is_kept == 1);
        if (is_kept == 0) {
            undo_end(&outer);
            hold_all_end(&holding);
            expect_held("short", "first", ENTRY_NO_EXPIRY);
            continue;
        }
        undo_back(&outer);
        hold_all_end(&holding);
        expect_prepared();
    }
}

static struct text text_of_number(char *text, int number) {
    return (struct text){text, (size_t)snprintf(text, 32, "element:%d", number)};
}

/* A list that is folded in the middle. */
static void open_list(struct write_scope *scope, const struct key *key, struct edit *edit) {
    char text[32];
    scope_edit(scope, key, edit);
    edit_remove(edit);
    void *value = list_create();
    for (int i = 0; i < 5000; i++) assert_true(list_push(&value, false, text_of_number(text, i)));
    list_expect(&value, 100000, 1);
    assert_true(edit_put_value(edit, TYPE_LIST, value, false));
    scope_changed(edit, EVENT_RPUSH);
}

static bool add_up(void *context, const struct packed_text *text) {
    uint64_t *sum = context;
    for (size_t i = 0; i < text->length; i++) *sum = *sum * 31 + (unsigned char)text->data[i];
    return true;
}

static void of_a_value_only_what_changes_is_kept(void **state) {
    struct holding holding;
    struct undo undo;
    struct edit edit;
    struct key key = key_named("list");
    char text[32];
    uint64_t before = 0, after = 0;
    (void)state;
    hold_all(&holding, lane, NOW);
    open_list(&holding.scope, &key, &edit);
    const void *value = entry_value(scope_read(&holding.scope.reading, &key));
    size_t bytes = entry_bytes(scope_read(&holding.scope.reading, &key));
    list_each(value, 0, 5000, false, add_up, &before);
    undo_begin(&undo, &holding.scope);
    scope_edit(&holding.scope, &key, &edit);
    void *opened = edit_open_value(&edit);
    list_remove(&opened, 4990, 10);
    for (int i = 0; i < 20; i++) assert_true(list_push(&opened, i % 2 == 0, text_of_number(text, i)));
    assert_true(list_insert(&opened, 2500, text_of_number(text, 1)));
    edit_close_value(&edit, opened, true);
    scope_changed(&edit, EVENT_LTRIM);
    undo_back(&undo);
    const struct entry *entry = scope_read(&holding.scope.reading, &key);
    assert_ptr_equal(entry_value(entry), value);
    assert_int_equal(entry_bytes(entry), bytes);
    assert_int_equal(list_count(value), 5000);
    list_each(value, 0, 5000, false, add_up, &after);
    assert_true(before == after);
    hold_all_end(&holding);
    check_accounting(lane);
    drop(lane, 0, "list", 4, NOW);
}

static void put_packed(struct write_scope *scope, const struct key *key, enum type type, struct edit *edit) {
    char text[32];
    void *value = type == TYPE_HASH ? fields_create() : sorted_create(1, 1);
    for (int i = 0; i < 40; i++) {
        struct text name = text_of_number(text, i);
        if (type == TYPE_HASH)
            assert_int_equal(fields_put(&value, name, name), PUT_NEW);
        else
            assert_int_equal(sorted_put(&value, name, i), SCORED_NEW);
    }
    scope_edit(scope, key, edit);
    assert_true(edit_put_value(edit, type, value, false));
    scope_changed(edit, EVENT_SET);
}

/* Each turn it needs more room, or less, and each score moves a pair; one copy must do for all of that. */
static void change_packed(void **value, enum type type) {
    static const char long_text[60];
    struct text one = {"element:1", 9}, two = {"element:2", 9};
    for (int i = 0; i < 500; i++) {
        struct text text = {long_text, i % 2 == 0 ? sizeof long_text : 1};
        if (type == TYPE_HASH) {
            assert_int_equal(fields_put(value, one, text), PUT_OVER);
            assert_int_equal(fields_put(value, two, text), PUT_OVER);
        } else {
            double score;
            assert_int_equal(sorted_put(value, one, i % 2 == 0 ? 100 : 0.123456789), SCORED_OTHERWISE);
            assert_int_equal(sorted_put(value, two, i % 2 == 0 ? -1 : 1.123456789), SCORED_OTHERWISE);
            assert_true(sorted_score(*value, one, &score) && score == (i % 2 == 0 ? 100 : 0.123456789));
            assert_int_equal(sorted_count(*value), 40);
        }
    }
}

static void what_is_changed_often_is_kept_once(void **state) {
    static const enum type types[] = {TYPE_HASH, TYPE_ZSET};
    struct holding holding;
    struct undo undo;
    struct edit edit;
    struct key key = key_named("packed");
    (void)state;
    hold_all(&holding, lane, NOW);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        put_packed(&holding.scope, &key, types[i], &edit);
        const struct entry *entry = edit.entry;
        const void *value = entry_value(entry);
        size_t bytes = entry_bytes(entry);
        undo_begin(&undo, &holding.scope);
        for (int opened = 0; opened < 2; opened++) {
            scope_edit(&holding.scope, &key, &edit);
            void *changed = edit_open_value(&edit);
            change_packed(&changed, types[i]);
            edit_close_value(&edit, changed, true);
            scope_changed(&edit, EVENT_SET);
        }
        assert_ptr_equal(undo.journal->last, &undo.journal->first); /* two copies, and notes of them */
        undo_back(&undo);
        assert_ptr_equal(entry_value(entry), value);
        assert_int_equal(entry_bytes(entry), bytes);
    }
    hold_all_end(&holding);
    check_accounting(lane);
    drop(lane, 0, "packed", 6, NOW);
}

static int64_t spent(void) {
    return atomic_load(&lane->account->spent);
}

static void replace_large(struct write_scope *scope, const struct key *key, bool by_nothing) {
    struct edit edit;
    scope_edit(scope, key, &edit);
    if (by_nothing)
        edit_remove(&edit);
    else
        assert_true(edit_put_string(&edit, "small", 5, NULL, false));
    scope_changed(&edit, EVENT_SET);
}

static void what_an_undo_keeps_is_charged_for_as_long_as_it_lasts(void **state) {
    static char large[1000000];
    struct holding holding;
    struct undo undo, inner;
    struct key key = key_named("large");
    (void)state;
    for (int i = 0; i < 8; i++) {
        bool is_done = (i & 1) != 0, by_nothing = (i & 2) != 0, is_nested = (i & 4) != 0;
        drop(lane, 0, "large", 5, NOW);
        keyspace_reclaim(lane);
        int64_t without = spent();
        put(lane, 0, "large", 5, large, sizeof large, ENTRY_NO_EXPIRY, NOW);
        int64_t with = spent();
        hold_all(&holding, lane, NOW);
        undo_begin(&undo, &holding.scope);
        if (is_nested) undo_begin(&inner, &holding.scope);
        replace_large(&holding.scope, &key, by_nothing);
        assert_true(spent() >= with);
        if (is_nested) undo_conclude(&inner, is_done);
        if (is_nested && is_done) assert_true(spent() >= with);
        undo_conclude(&undo, is_done);
        assert_true(spent() >= with); /* it is back, or retired */
        hold_all_end(&holding);
        keyspace_reclaim(lane);
        if (is_done)
            assert_true(spent() < without + 1000);
        else
            assert_int_equal(spent(), with);
        check_accounting(lane);
    }
    drop(lane, 0, "large", 5, NOW);
}

static void a_broken_journal_says_so(void **state) {
    struct holding holding;
    struct undo undo;
    (void)state;
    hold_all(&holding, lane, NOW);
    undo_begin(&undo, &holding.scope);
    assert_true(undo_is_able(&undo));
    assert_true(undo_room(&holding.scope));
    journal_open = undo.journal;
    journal_break();
    assert_false(journal_room(1, 1));
    journal_open = NULL;
    assert_false(undo_is_able(&undo));
    assert_false(undo_room(&holding.scope));
    undo_end(&undo);
    hold_all_end(&holding);
}

/* ------------------------------------------------------------------ the journal by itself */

static int called;

static void on_back(void *context, void *note) {
    int number;
    memcpy(&number, note, sizeof number);
    assert_ptr_equal(context, &called);
    called = called * 10 + number;
}

static void notes_are_taken_back_from_the_newest_to_the_oldest(void **state) {
    static const struct journal_kind kind = {on_back, NULL};
    struct journal journal;
    (void)state;
    called = 0;
    journal_init(&journal, &called, NULL);
    int one = 1, two = 2, three = 3;
    assert_non_null(journal_note(&journal, &kind, &one, sizeof one));
    struct journal_mark mark = journal_mark(&journal);
    assert_non_null(journal_note(&journal, &kind, &two, sizeof two));
    assert_non_null(journal_note(&journal, &kind, &three, sizeof three));
    journal_back(&journal, mark);
    assert_int_equal(called, 32);
    journal_end(&journal);
    assert_int_equal(called, 32);
}

static void memory_is_what_it_was(void **state) {
    struct journal journal;
    static char large[100000];
    char *kept = malloc(16), *owned = malloc(32);
    (void)state;
    memset(large, 'a', sizeof large);
    strcpy(kept, "kept");
    strcpy(owned, "owned");
    journal_init(&journal, NULL, NULL);
    struct journal_mark mark = journal_mark(&journal);
    journal_open = &journal;
    assert_true(journal_room(3, sizeof large));
    journal_keep(large, sizeof large);
    memset(large, 'b', sizeof large);
    journal_keep(large, 10);
    memset(large, 'c', 10);
    char *made = journal_calloc(1, 16), *own = journal_own(owned), *moved = journal_realloc(kept, 8);
    assert_non_null(made);
    assert_ptr_not_equal(own, owned);
    assert_ptr_equal(journal_own(own), own);
    assert_string_equal(moved, "kept");
    strcpy(own, "other");
    strcpy(moved, "moved");
    journal_free(made);
    journal_open = NULL;
    journal_back(&journal, mark);
    assert_string_equal(kept, "kept");
    assert_string_equal(owned, "owned");
    for (size_t i = 0; i < sizeof large; i++) assert_int_equal(large[i], 'a');
    journal_end(&journal);
    free(kept);
    free(owned);
}

static int64_t told;

static void on_count(void *context, int64_t bytes) {
    (void)context;
    told += bytes;
}

static void what_a_journal_holds_is_told_and_taken_off_again(void **state) {
    struct journal journal;
    static char many[1000][200];
    (void)state;
    journal_init(&journal, NULL, on_count);
    struct journal_mark mark = journal_mark(&journal);
    for (int is_back = 0; is_back < 2; is_back++) {
        told = 0;
        journal_open = &journal;
        for (size_t i = 0; i < 1000; i++) journal_keep(many[i], sizeof many[i]);
        assert_true(told >= 200000 - JOURNAL_UNTOLD);
        void *let_go = malloc(500000);
        journal_free(let_go);
        assert_true(told >= 700000 - JOURNAL_UNTOLD);
        journal_open = NULL;
        if (is_back == 0) {
            journal_back(&journal, mark);
            free(let_go);
        } else {
            journal_end(&journal);
        }
        assert_true(told >= 0 && told < JOURNAL_UNTOLD);
    }
    assert_int_equal(told, 0);
}

static void bytes_are_kept_once_for_each_mark(void **state) {
    struct journal journal;
    uint64_t word = 1;
    (void)state;
    journal_init(&journal, NULL, NULL);
    struct journal_mark outer = journal_mark(&journal), inner = outer;
    for (int i = 0; i < 2; i++) {
        journal_open = &journal;
        for (int j = 0; j < 1000; j++) {
            journal_keep(&word, sizeof word);
            word++;
        }
        journal_open = NULL;
        if (i == 0) inner = journal_mark(&journal);
    }
    assert_ptr_equal(journal.last, &journal.first);
    journal_back(&journal, inner);
    assert_true(word == 1001);
    journal_open = &journal;
    journal_keep(&word, sizeof word);
    word = 5;
    journal_open = NULL;
    journal_back(&journal, inner);
    assert_true(word == 1001);
    journal_back(&journal, outer);
    assert_true(word == 1);
    journal_end(&journal);
}

static void change_one(struct write_scope *scope, const char *name) {
    struct key key = key_named(name);
    struct edit edit;
    scope_edit(scope, &key, &edit);
    assert_true(edit_put_string(&edit, "changed", 7, NULL, false));
    scope_changed(&edit, EVENT_SET);
}

static void listeners_hear_how_much_of_what_was_told_is_still_true(void **state) {
    struct holding holding;
    struct undo outer, inner;
    (void)state;
    prepare();
    hold_all(&holding, lane, NOW);
    heard.taken_back = heard.settled = 0;
    uint64_t before = lane->told;
    change_one(&holding.scope, "short"); /* told of: 1 */
    undo_begin(&outer, &holding.scope);
    change_one(&holding.scope, "gone"); /* it has expired, and is new: 3 */
    undo_begin(&inner, &holding.scope);
    change_one(&holding.scope, "number");
    undo_back(&inner);
    assert_int_equal(heard.taken_back, 1);
    assert_int_equal(heard.told - before, 3);
    assert_int_equal(heard.settled, 0);
    undo_begin(&inner, &holding.scope);
    change_one(&holding.scope, "number");
    undo_end(&inner);
    assert_int_equal(heard.settled, 0);
    undo_back(&outer);
    assert_int_equal(heard.taken_back, 2);
    assert_int_equal(heard.told - before, 1);
    assert_int_equal(heard.settled, 1);
    undo_begin(&outer, &holding.scope);
    change_one(&holding.scope, "number");
    undo_end(&outer);
    assert_int_equal(heard.taken_back, 2);
    assert_int_equal(heard.settled, 2);
    hold_all_end(&holding);
}

/* Its time may be up as it comes; then whoever meets it removes it. */
static void what_expires_within_an_undo_comes_back_as_it_was(void **state) {
    (void)state;
    static const char *const names[] = {"new", "short", "gone"};
    for (size_t i = 0; i < 3; i++)
        for (int is_done = 0; is_done < 2; is_done++) {
            struct holding holding;
            struct undo undo;
            struct edit edit;
            struct key key = key_named(names[i]);
            prepare();
            hold_all(&holding, lane, NOW);
            undo_begin(&undo, &holding.scope);
            scope_edit(&holding.scope, &key, &edit);
            assert_true(edit_put_string_until(&edit, "v", 1, NULL, NOW - 1));
            scope_changed(&edit, EVENT_SET);
            scope_edit(&holding.scope, &key, &edit);
            assert_null(edit.entry);
            scope_unchanged(&edit);
            undo_conclude(&undo, is_done);
            hold_all_end(&holding);
            if (is_done)
                expect_held(names[i], "-", 0);
            else
                expect_prepared();
            check_accounting(lane);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_changed_replaced_or_removed_comes_back),
        cmocka_unit_test(what_is_not_taken_back_is_as_without_an_undo),
        cmocka_unit_test(an_inner_undo_takes_back_only_what_is_its_own),
        cmocka_unit_test(of_a_value_only_what_changes_is_kept),
        cmocka_unit_test(what_is_changed_often_is_kept_once),
        cmocka_unit_test(what_an_undo_keeps_is_charged_for_as_long_as_it_lasts),
        cmocka_unit_test(a_broken_journal_says_so),
        cmocka_unit_test(notes_are_taken_back_from_the_newest_to_the_oldest),
        cmocka_unit_test(memory_is_what_it_was),
        cmocka_unit_test(what_a_journal_holds_is_told_and_taken_off_again),
        cmocka_unit_test(bytes_are_kept_once_for_each_mark),
        cmocka_unit_test(listeners_hear_how_much_of_what_was_told_is_still_true),
        cmocka_unit_test(what_expires_within_an_undo_comes_back_as_it_was),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_keyspace, close_keyspace);
}
