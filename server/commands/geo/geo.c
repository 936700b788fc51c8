/* Places: sorted sets whose scores are numbers of places (geohash.h), so that ZRANGE, ZREM and all the others
 * work on them as well.
 *
 * A search has a center and an area around it. All of its commands are one function; they differ in where the
 * center is said, and whether the result may be kept. */
#include <math.h>
#include <stdlib.h>

#include "shard/base/number.h"
#include "shard/value/sorted.h"
#include "server/commands/sorted_set/additions.h"
#include "server/command/command.h"
#include "geohash.h"
#include "server/commands/sorted_set/ranges.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/room.h"

#define ERROR_NO_MEMBER "ERR could not decode requested zset member"

/* Of so many places all may be looked at before it matters. */
#define LITTLE 1024

/* ------------------------------------------------------------------ arguments and replies */

/* Reads longitude and latitude. Replies what is wrong and returns false. */
static bool read_place(const struct bulk *arguments, struct place *place, struct reply *reply) {
    if (!score_parse(&arguments[0], &place->longitude) || !score_parse(&arguments[1], &place->latitude)) {
        reply_error(reply, ERROR_NOT_FLOAT);
        return false;
    }
    if (place_is_valid(*place)) return true;
    reply_error_format(reply, "ERR invalid longitude,latitude pair %f,%f", place->longitude, place->latitude);
    return false;
}

/* The factor from a unit of length to meters. */
static bool read_unit(const struct bulk *argument, double *meters, struct reply *reply) {
    static const struct {
        const char *name;
        double meters;
    } units[] = {{"M", 1}, {"KM", 1000}, {"FT", 0.3048}, {"MI", 1609.34}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!argument_is(argument, units[i].name)) continue;
        *meters = units[i].meters;
        return true;
    }
    reply_error(reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

static bool read_length(const struct bulk *argument, double *length, const char *error, struct reply *reply) {
    if (score_parse(argument, length)) return true;
    reply_error(reply, error);
    return false;
}

static void reply_distance(struct reply *reply, double distance) {
    reply_bulk_format(reply, "%.4f", distance);
}

static void reply_coordinate(struct reply *reply, double degrees) {
    char text[5120]; /* as number_format_long_double wants it */
    reply_double_text(reply, text, number_format_long_double(text, sizeof text, degrees));
}

static void reply_place(struct reply *reply, struct place place) {
    reply_array(reply, 2);
    reply_coordinate(reply, place.longitude);
    reply_coordinate(reply, place.latitude);
}

/* ------------------------------------------------------------------ adding and asking */

/* Returns the index of the first longitude. */
static uint32_t geoadd_flags(const struct call *call, uint32_t *flags) {
    uint32_t i = 2;
    for (; i < call->count; i++) {
        if (argument_is(&call->arguments[i], "NX"))
            *flags |= ZADD_NX;
        else if (argument_is(&call->arguments[i], "XX"))
            *flags |= ZADD_XX;
        else if (argument_is(&call->arguments[i], "CH"))
            *flags |= ZADD_CH;
        else
            break;
    }
    return i;
}

static void command_geoadd(struct write_scope *scope, const struct call *call, struct reply *reply) {
    uint32_t flags = 0, first = geoadd_flags(call, &flags), left = call->count - first, places = left / 3;
    if (left == 0 || left % 3 != 0 || ((flags & ZADD_NX) != 0 && (flags & ZADD_XX) != 0)) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    double few[16], *scores = few;
    if (places > sizeof few / sizeof few[0] && (scores = malloc(places * sizeof *scores)) == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    struct place place;
    uint32_t read = 0;
    for (; read < places && read_place(&call->arguments[first + 3 * read], &place, reply); read++)
        scores[read] = geohash_score(place);
    if (read == places) sorted_add(scope, call, &(struct additions){flags, first + 2, 3, scores}, reply);
    if (scores != few) free(scores);
}

/* The member's place. false if there is no such member. */
static bool member_place(const void *value, const struct bulk *member, struct place *place) {
    double score;
    if (value == NULL || !sorted_score(value, text_of(member), &score)) return false;
    *place = geohash_place(score);
    return true;
}

static void command_geodist(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    double meters = 1;
    const void *value;
    struct place one, other;
    if (call->count > 5) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (call->count == 5 && !read_unit(&call->arguments[4], &meters, reply)) return;
    if (!value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply)) return;
    if (!member_place(value, &call->arguments[2], &one) || !member_place(value, &call->arguments[3], &other))
        reply_null(reply);
    else
        reply_distance(reply, place_distance(one, other) / meters);
}

static void command_geohash(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (!value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply)) return;
    reply_array(reply, call->count - 2);
    for (uint32_t i = 2; i < call->count; i++) {
        struct place place;
        char text[GEOHASH_TEXT];
        if (!member_place(value, &call->arguments[i], &place)) {
            reply_null(reply);
            continue;
        }
        geohash_text(place, text);
        reply_bulk(reply, text, sizeof text);
    }
}

static void command_geopos(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (!value_read(scope, &call->keys[0], TYPE_ZSET, &value, reply)) return;
    reply_array(reply, call->count - 2);
    for (uint32_t i = 2; i < call->count; i++) {
        struct place place;
        if (member_place(value, &call->arguments[i], &place))
            reply_place(reply, place);
        else
            reply_null_array(reply);
    }
}

/* ------------------------------------------------------------------ where the result goes */

#define RADIUS_KEYS_MOST 4

/* Positions of GEORADIUS's keys: the source, what the first STORE and the first STOREDIST name, as its key
 * specs say, and if neither is the one that counts, the last one. */
static uint32_t radius_keys(const struct bulk *arguments, uint32_t count,
                            uint32_t positions[RADIUS_KEYS_MOST]) {
    uint32_t named[2] = {0, 0}, last = 0, next = 0, found = 1;
    positions[0] = 1;
    for (uint32_t i = argument_is(&arguments[0], "GEORADIUS") ? 6 : 5; i + 1 < count; i++) {
        bool is_distances = argument_is(&arguments[i], "STOREDIST");
        if (!is_distances && !argument_is(&arguments[i], "STORE")) continue;
        if (named[is_distances] == 0) named[is_distances] = i + 1;
        if (i < next) continue; /* itself the name of a key */
        last = i + 1;
        next = i + 2;
    }
    const uint32_t candidates[] = {named[0], named[1], last == named[0] || last == named[1] ? 0 : last};
    for (size_t k = 0; k < sizeof candidates / sizeof candidates[0]; k++)
        if (candidates[k] != 0) positions[found++] = candidates[k];
    return found;
}

static int georadius_find_keys(const struct bulk *arguments, uint32_t count, uint32_t *positions,
                               uint32_t *flags, uint32_t capacity) {
    uint32_t all[RADIUS_KEYS_MOST], found = radius_keys(arguments, count, all);
    if (found > capacity) found = capacity;
    for (uint32_t k = 0; k < found; k++) {
        positions[k] = all[k];
        if (flags != NULL) flags[k] = k == 0 ? KEY_RO | KEY_ACCESS : KEY_OW | KEY_UPDATE;
    }
    return (int)found;
}

static const struct key *radius_key_at(const struct call *call, const struct bulk *argument) {
    uint32_t positions[RADIUS_KEYS_MOST], found = radius_keys(call->arguments, call->count, positions);
    for (uint32_t k = 1; k < found && k < call->key_count; k++)
        if (&call->arguments[positions[k]] == argument) return &call->keys[k];
    return NULL;
}

/* ------------------------------------------------------------------ a search's options */

/* How a command is written. */
enum form {
    FORM_PLACE,  /* key longitude latitude radius unit: GEORADIUS */
    FORM_MEMBER, /* key member radius unit: GEORADIUSBYMEMBER */
    FORM_OPTIONS /* all by options: GEOSEARCH */
};

struct found {
    struct packed_text name;
    double score, distance;
    struct place place;
    size_t turn; /* in which it was found: order among equal distances */
};

struct search {
    const struct call *call;
    struct reply *reply;
    enum form form;
    bool may_store;
    const void *value;       /* NULL: there is none */
    const struct key *store; /* NULL: the result is replied */
    bool stores_distances;
    /* Options. */
    bool has_member, has_place, has_circle, has_box;
    struct area area;
    double meters; /* of one unit */
    bool with_distance, with_bits, with_place, is_any;
    int order;     /* of distances: 1, -1, or 0 if there is none */
    int64_t count; /* 0: all */
    /* Results. */
    struct found *found;
    size_t found_count, capacity, limit;
    bool is_failed;
};

/* What the functions below return for an option: how many arguments it has, 0 if they don't know it, or this
 * if they have replied an error. */
#define OPTION_REFUSED (-1)

static int refuse(struct search *search, const char *error) {
    reply_error(search->reply, error);
    return OPTION_REFUSED;
}

/* With an absent key any member is accepted: nothing can be found around it. */
static bool center_on_member(struct search *search, const struct bulk *member) {
    if (search->value == NULL || member_place(search->value, member, &search->area.center)) return true;
    reply_error(search->reply, ERROR_NO_MEMBER);
    return false;
}

static bool read_circle(struct search *search, const struct bulk *arguments) {
    double radius;
    if (!read_length(&arguments[0], &radius, "ERR need numeric radius", search->reply)) return false;
    if (radius < 0) {
        reply_error(search->reply, "ERR radius cannot be negative");
        return false;
    }
    if (!read_unit(&arguments[1], &search->meters, search->reply)) return false;
    search->area.radius = radius * search->meters;
    return true;
}

static bool read_box(struct search *search, const struct bulk *arguments) {
    double width, height;
    if (!read_length(&arguments[0], &width, "ERR need numeric width", search->reply)) return false;
    if (!read_length(&arguments[1], &height, "ERR need numeric height", search->reply)) return false;
    if (width < 0 || height < 0) {
        reply_error(search->reply, "ERR height or width cannot be negative");
        return false;
    }
    if (!read_unit(&arguments[2], &search->meters, search->reply)) return false;
    search->area.is_box = true;
    search->area.width = width * search->meters;
    search->area.height = height * search->meters;
    return true;
}

static int common_option(struct search *search, const struct bulk *option, uint32_t left) {
    if (argument_is(option, "WITHDIST"))
        search->with_distance = true;
    else if (argument_is(option, "WITHHASH"))
        search->with_bits = true;
    else if (argument_is(option, "WITHCOORD"))
        search->with_place = true;
    else if (argument_is(option, "ANY"))
        search->is_any = true;
    else if (argument_is(option, "ASC"))
        search->order = 1;
    else if (argument_is(option, "DESC"))
        search->order = -1;
    else if (!argument_is(option, "COUNT") || left < 1)
        return 0;
    else if (!argument_integer(option + 1, &search->count, search->reply, NULL))
        return OPTION_REFUSED;
    else
        return search->count > 0 ? 2 : refuse(search, "ERR COUNT must be > 0");
    return 1;
}

static int radius_option(struct search *search, const struct bulk *option, uint32_t left) {
    bool is_distances = argument_is(option, "STOREDIST");
    if (!search->may_store || left < 1 || (!is_distances && !argument_is(option, "STORE"))) return 0;
    search->store = radius_key_at(search->call, option + 1);
    search->stores_distances = is_distances;
    return 2;
}

static int search_option(struct search *search, const struct bulk *option, uint32_t left) {
    if (argument_is(option, "FROMMEMBER") && left >= 1 && !search->has_place) {
        search->has_member = true;
        return center_on_member(search, option + 1) ? 2 : OPTION_REFUSED;
    }
    if (argument_is(option, "FROMLONLAT") && left >= 2 && !search->has_member) {
        search->has_place = true;
        return read_place(option + 1, &search->area.center, search->reply) ? 3 : OPTION_REFUSED;
    }
    if (argument_is(option, "BYRADIUS") && left >= 2 && !search->has_box) {
        search->has_circle = true;
        return read_circle(search, option + 1) ? 3 : OPTION_REFUSED;
    }
    if (argument_is(option, "BYBOX") && left >= 3 && !search->has_circle) {
        search->has_box = true;
        return read_box(search, option + 1) ? 4 : OPTION_REFUSED;
    }
    if (!argument_is(option, "STOREDIST") || !search->may_store) return 0;
    search->stores_distances = true;
    return 1;
}

static bool read_options(struct search *search, uint32_t first) {
    const struct call *call = search->call;
    for (uint32_t i = first; i < call->count;) {
        const struct bulk *option = &call->arguments[i];
        uint32_t left = call->count - i - 1;
        int taken = common_option(search, option, left);
        if (taken == 0)
            taken = search->form == FORM_OPTIONS ? search_option(search, option, left)
                                                 : radius_option(search, option, left);
        if (taken == 0) taken = refuse(search, ERROR_SYNTAX);
        if (taken == OPTION_REFUSED) return false;
        i += (uint32_t)taken;
    }
    return true;
}

/* Reads what stands before the options. Returns the index of the first option, or 0 if an error was
 * replied. */
static uint32_t read_head(struct search *search) {
    const struct bulk *arguments = search->call->arguments;
    switch (search->form) {
    case FORM_PLACE:
        return read_place(&arguments[2], &search->area.center, search->reply) &&
                       read_circle(search, &arguments[4])
                   ? 6
                   : 0;
    case FORM_MEMBER:
        if (search->value == NULL) return 5; /* Redis doesn't look at the radius then */
        return center_on_member(search, &arguments[2]) && read_circle(search, &arguments[3]) ? 5 : 0;
    case FORM_OPTIONS: break;
    }
    return search->may_store ? 3 : 2;
}

static bool is_complete(const struct search *search) {
    const struct bulk *name = &search->call->arguments[0];
    const char *missing = NULL;
    bool has_extras = search->with_distance || search->with_bits || search->with_place;
    if (search->store != NULL && has_extras) {
        reply_error_format(search->reply,
                           "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                           search->form == FORM_OPTIONS ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
        return false;
    }
    if (search->form == FORM_OPTIONS && !search->has_member && !search->has_place)
        missing = "FROMMEMBER or FROMLONLAT";
    else if (search->form == FORM_OPTIONS && !search->has_circle && !search->has_box)
        missing = "BYRADIUS and BYBOX";
    if (missing != NULL) {
        reply_error_format(search->reply, "ERR exactly one of %s can be specified for %.*s", missing,
                           (int)name->length, name->data);
        return false;
    }
    if (search->count == 0 && search->is_any) {
        reply_error(search->reply, "ERR the ANY argument requires COUNT argument");
        return false;
    }
    return true;
}

static bool search_parse(struct search *search) {
    uint32_t first = read_head(search);
    if (first == 0 || !read_options(search, first) || !is_complete(search)) return false;
    /* COUNT means the nearest ones, unless ANY is given. */
    if (search->count > 0 && search->order == 0 && !search->is_any) search->order = 1;
    search->limit = search->is_any ? (size_t)search->count : SIZE_MAX;
    return true;
}

/* ------------------------------------------------------------------ searching */

static bool make_room(struct search *search) {
    if (search->found_count < search->capacity) return true;
    size_t capacity = search->capacity == 0 ? 32 : search->capacity * 2;
    struct found *found = realloc(search->found, capacity * sizeof *found);
    if (found == NULL) return false;
    search->found = found;
    search->capacity = capacity;
    return true;
}

static bool look_at(void *context, const struct packed_text *name, double score) {
    struct search *search = context;
    struct place place = geohash_place(score);
    double distance;
    if (!area_contains(&search->area, place, &distance)) return true;
    if (!make_room(search)) {
        search->is_failed = true;
        return false;
    }
    search->found[search->found_count] =
        (struct found){*name, score, distance / search->meters, place, search->found_count};
    return ++search->found_count < search->limit;
}

/* Nearest first. */
static int compare(const void *left, const void *right, void *context) {
    const struct found *one = left, *other = right;
    const struct search *search = context;
    if (one->distance < other->distance) return -search->order;
    if (one->distance > other->distance) return search->order;
    return one->turn < other->turn ? -1 : 1;
}

/* Finds places and puts them into the order that is wanted. Returns how many of them are wanted. */
static size_t look(struct search *search) {
    struct score_range ranges[AREA_RANGES_MOST];
    size_t count = area_ranges(&search->area, ranges);
    for (size_t i = 0; i < count && search->found_count < search->limit && !search->is_failed; i++) {
        uint64_t first = sorted_below(search->value, ranges[i].least, false),
                 end = sorted_below(search->value, ranges[i].end, false);
        if (first < end) sorted_each(search->value, first, end - first, false, look_at, search);
    }
    if (search->order != 0 && search->found_count > 0)
        qsort_r(search->found, search->found_count, sizeof *search->found, compare, search);
    return search->count > 0 && (uint64_t)search->count < search->found_count ? (size_t)search->count
                                                                              : search->found_count;
}

/* A number's digits are where the struct is now, not where it was copied from. */
static struct text name_of(const struct found *found) {
    return (struct text){found->name.is_integer ? found->name.digits : found->name.data, found->name.length};
}

static void reply_found(const struct search *search, const struct found *found) {
    struct reply *reply = search->reply;
    struct text name = name_of(found);
    size_t extras = (size_t)search->with_distance + (size_t)search->with_bits + (size_t)search->with_place;
    if (extras > 0) reply_array(reply, 1 + extras);
    reply_bulk(reply, name.data, name.length);
    if (search->with_distance) reply_distance(reply, found->distance);
    if (search->with_bits) reply_integer(reply, (int64_t)found->score);
    if (search->with_place) reply_place(reply, found->place);
}

/* NULL when out of memory. */
static void *make_result(const struct search *search, size_t count) {
    size_t longest = 0;
    for (size_t i = 0; i < count; i++)
        longest = search->found[i].name.length > longest ? search->found[i].name.length : longest;
    void *result = sorted_create(count, longest);
    for (size_t i = 0; i < count && result != NULL; i++) {
        const struct found *found = &search->found[i];
        if (sorted_put(&result, name_of(found), search->stores_distances ? found->distance : found->score) !=
            SCORED_FAILED)
            continue;
        value_free(&zset_kind, result);
        result = NULL;
    }
    return result;
}

static void store(struct write_scope *scope, const struct search *search, size_t count) {
    void *result = count == 0 ? NULL : make_result(search, count);
    enum event event = search->form == FORM_OPTIONS ? EVENT_GEOSEARCHSTORE : EVENT_GEORADIUSSTORE;
    if (count > 0 && result == NULL)
        reply_error(search->reply, ERROR_NO_MEMORY);
    else if (value_store(scope, search->store, TYPE_ZSET, result, count, event, search->reply))
        reply_integer(search->reply, (int64_t)count);
}

/* Searches the source's value, and replies or stores the result. `scope` is NULL if nothing is to be
 * stored. */
static void search_run(struct search *search, struct write_scope *scope) {
    if (!search_parse(search)) return;
    size_t count = search->value == NULL ? 0 : look(search);
    if (search->is_failed) {
        reply_error(search->reply, ERROR_NO_MEMORY);
    } else if (search->store != NULL) {
        store(scope, search, count);
    } else {
        reply_array(search->reply, count);
        for (size_t i = 0; i < count; i++) reply_found(search, &search->found[i]);
    }
    free(search->found);
}

static void search_read(const struct read_scope *scope, const struct call *call, enum form form,
                        struct reply *reply) {
    struct search search = {.call = call, .reply = reply, .form = form, .meters = 1};
    if (value_read(scope, &call->keys[0], TYPE_ZSET, &search.value, reply)) search_run(&search, NULL);
}

static void search_write(struct write_scope *scope, const struct call *call, enum form form,
                         const struct key *source, const struct key *store, struct reply *reply) {
    struct search search = {
        .call = call, .reply = reply, .form = form, .may_store = true, .store = store, .meters = 1};
    if (value_view(scope, source, TYPE_ZSET, &search.value, reply)) search_run(&search, scope);
}

/* Places that are looked at: those in the ranges of scores that cover the area. */
static uint64_t work_of(const struct call *call, const struct entry *entry, enum form form) {
    struct reply refusal; /* that the command is going to give */
    struct search search = {.call = call, .reply = &refusal, .form = form, .meters = 1};
    struct score_range ranges[AREA_RANGES_MOST];
    if (entry_type(entry) != TYPE_ZSET) return 0;
    search.value = entry_value(entry);
    uint64_t work = 0, size = sorted_count(search.value);
    if (size <= LITTLE) return size;
    search.may_store = call->command->write != NULL;
    reply_init(&refusal, call->protocol);
    size_t count = search_parse(&search) ? area_ranges(&search.area, ranges) : 0;
    reply_free(&refusal);
    for (size_t i = 0; i < count; i++) {
        uint64_t first = sorted_below(search.value, ranges[i].least, false),
                 end = sorted_below(search.value, ranges[i].end, false);
        if (first < end) work += end - first;
    }
    return work < search.limit ? work : search.limit;
}

static uint64_t work_of_search(const struct call *call, const struct entry *entry) {
    return work_of(call, entry, FORM_OPTIONS);
}

static uint64_t work_of_georadius(const struct call *call, const struct entry *entry) {
    return work_of(call, entry, FORM_PLACE);
}

static uint64_t work_of_georadiusbymember(const struct call *call, const struct entry *entry) {
    return work_of(call, entry, FORM_MEMBER);
}

static void command_georadius(struct write_scope *scope, const struct call *call, struct reply *reply) {
    search_write(scope, call, FORM_PLACE, &call->keys[0], NULL, reply);
}

static void command_georadiusbymember(struct write_scope *scope, const struct call *call,
                                      struct reply *reply) {
    search_write(scope, call, FORM_MEMBER, &call->keys[0], NULL, reply);
}

static void command_georadius_ro(const struct read_scope *scope, const struct call *call,
                                 struct reply *reply) {
    search_read(scope, call, FORM_PLACE, reply);
}

static void command_georadiusbymember_ro(const struct read_scope *scope, const struct call *call,
                                         struct reply *reply) {
    search_read(scope, call, FORM_MEMBER, reply);
}

static void command_geosearch(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    search_read(scope, call, FORM_OPTIONS, reply);
}

static void command_geosearchstore(struct write_scope *scope, const struct call *call, struct reply *reply) {
    search_write(scope, call, FORM_OPTIONS, &call->keys[1], &call->keys[0], reply);
}

/* ------------------------------------------------------------------ rows */

const struct command geo_commands[] = {
    {.name = "geoadd",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_geoadd,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(log(N))",
     .summary = "Adds places, or moves them",
     .syntax = "key:key#0 [condition:oneof@6.2.0(nx=NX xx=XX)] [change=CH@6.2.0] "
               "longitude_latitude_member:block(longitude:double latitude:double member:string)...",
     .history = "6.2.0:CH, NX and XX"},
    {.name = "geodist",
     .arity = -4,
     .flags = COMMAND_READONLY,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_geodist,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(log(N))",
     .summary = "Tells how far two places are from each other",
     .syntax = "key:key#0 member1:string member2:string [unit:oneof(m=M km=KM ft=FT mi=MI)]"},
    {.name = "geohash",
     .arity = -2,
     .flags = COMMAND_READONLY,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_geohash,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(log(N))",
     .summary = "Tells the standard geohash texts of places",
     .syntax = "key:key#0 [member:string...]"},
    {.name = "geopos",
     .arity = -2,
     .flags = COMMAND_READONLY,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_geopos,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(N)",
     .summary = "Tells longitude and latitude of places",
     .syntax = "key:key#0 [member:string...]"},
    {.name = "georadius",
     .arity = -6,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .work_in = work_of_georadius,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1},
              {.flags = KEY_OW | KEY_UPDATE, .first = 6, .keyword = "STORE", .last = 0, .step = 1},
              {.flags = KEY_OW | KEY_UPDATE, .first = 6, .keyword = "STOREDIST", .last = 0, .step = 1}},
     .write = command_georadius,
     .room = room_for_first,
     .find_keys = georadius_find_keys,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places within a distance from a point, and may keep them",
     .syntax = "key:key#0 longitude:double latitude:double radius:double unit:oneof(m=M km=KM "
               "ft=FT mi=MI) [withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH] "
               "[count:block(count:integer=COUNT [any=ANY@6.2.0])] [order:oneof(asc=ASC "
               "desc=DESC)] [key:key#1=STORE] [key:key#2=STOREDIST]",
     .history = "6.2.0:ANY;7.0.0:units in upper case",
     .deprecated = "6.2.0:`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"},
    {.name = "georadius_ro",
     .arity = -6,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work_in = work_of_georadius,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_georadius_ro,
     .categories = "geo",
     .since = "3.2.10",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places within a distance from a point",
     .syntax = "key:key#0 longitude:double latitude:double radius:double unit:oneof(m=M km=KM "
               "ft=FT mi=MI) [withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH] "
               "[count:block(count:integer=COUNT [any=ANY@6.2.0])] [order:oneof(asc=ASC "
               "desc=DESC)]",
     .history = "6.2.0:ANY",
     .deprecated = "6.2.0:`GEOSEARCH` with the `BYRADIUS` argument"},
    {.name = "georadiusbymember",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .work_in = work_of_georadiusbymember,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1},
              {.flags = KEY_OW | KEY_UPDATE, .first = 5, .keyword = "STORE", .last = 0, .step = 1},
              {.flags = KEY_OW | KEY_UPDATE, .first = 5, .keyword = "STOREDIST", .last = 0, .step = 1}},
     .write = command_georadiusbymember,
     .room = room_for_first,
     .find_keys = georadius_find_keys,
     .categories = "geo",
     .since = "3.2.0",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places within a distance from another one, and may keep them",
     .syntax = "key:key#0 member:string radius:double unit:oneof(m=M km=KM ft=FT mi=MI) "
               "[withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH] "
               "[count:block(count:integer=COUNT [any=ANY])] [order:oneof(asc=ASC desc=DESC)] "
               "[key:key#1=STORE] [key:key#2=STOREDIST]",
     .history = "7.0.0:units in upper case",
     .deprecated = "6.2.0:`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments"},
    {.name = "georadiusbymember_ro",
     .arity = -5,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work_in = work_of_georadiusbymember,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_georadiusbymember_ro,
     .categories = "geo",
     .since = "3.2.10",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places within a distance from another one",
     .syntax = "key:key#0 member:string radius:double unit:oneof(m=M km=KM ft=FT mi=MI) "
               "[withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH] "
               "[count:block(count:integer=COUNT [any=ANY])] [order:oneof(asc=ASC desc=DESC)]",
     .deprecated = "6.2.0:`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"},
    {.name = "geosearch",
     .arity = -7,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work_in = work_of_search,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_geosearch,
     .categories = "geo",
     .since = "6.2.0",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Finds the places in a circle or a box",
     .syntax = "key:key#0 from:oneof(member:string=FROMMEMBER "
               "longitude_latitude:block=FROMLONLAT(longitude:double latitude:double)) "
               "by:oneof(circle:block(radius:double=BYRADIUS unit:oneof(m=M km=KM ft=FT mi=MI)) "
               "box:block(width:double=BYBOX height:double unit:oneof(m=M km=KM ft=FT mi=MI))) "
               "[order:oneof(asc=ASC desc=DESC)] [count:block(count:integer=COUNT [any=ANY])] "
               "[withcoord=WITHCOORD] [withdist=WITHDIST] [withhash=WITHHASH]",
     .history = "7.0.0:units in upper case"},
    {.name = "geosearchstore",
     .arity = -8,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .work_in = work_of_search,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1}, {KEY_RO | KEY_ACCESS, 2, 0, 1}},
     .write = command_geosearchstore,
     .room = room_for_second,
     .categories = "geo",
     .since = "6.2.0",
     .group = "geo",
     .complexity = "O(N+log(M))",
     .summary = "Keeps the places in a circle or a box",
     .syntax = "destination:key#0 source:key#1 from:oneof(member:string=FROMMEMBER "
               "longitude_latitude:block=FROMLONLAT(longitude:double latitude:double)) "
               "by:oneof(circle:block(radius:double=BYRADIUS unit:oneof(m=M km=KM ft=FT mi=MI)) "
               "box:block(width:double=BYBOX height:double unit:oneof(m=M km=KM ft=FT mi=MI))) "
               "[order:oneof(asc=ASC desc=DESC)] [count:block(count:integer=COUNT [any=ANY])] "
               "[storedist=STOREDIST]",
     .history = "7.0.0:units in upper case"},
    {.name = NULL},
};
