/* Rows by name. The index is an open-addressed table of a few KB, less than a quarter full, keyed by the name
 * in lower case: up to 16 letters are two words, and two words and the length are the whole comparison. Few
 * names are longer, and those are compared letter by letter. */
#include "command_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/number.h"
#include "server/base/log.h"

#define INDEX_BITS 11
#define INDEX_SIZE (1u << INDEX_BITS)

/* A name in lower case, as far as two words hold it. */
struct folded {
    uint64_t words[2];
    size_t length;
};

struct index_entry {
    struct folded name;
    const char *spelled; /* in lower case */
    struct command *command;
};

/* A subcommand stands in its index by its own part ("get" of "config|get"), beside its command. */
static struct index_entry commands[INDEX_SIZE], subcommands[INDEX_SIZE];
static struct command *all; /* the rows, each command followed by its subcommands */
static const struct command **by_id;
static uint32_t count_all, count_top;

static unsigned char letter_lower(unsigned char letter) {
    return letter >= 'A' && letter <= 'Z' ? (unsigned char)(letter | 0x20) : letter;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "word_of puts the first byte lowest");

/* Up to eight bytes as a word, the others zero. Loads may overlap. */
static uint64_t word_of(const char *bytes, size_t length) {
    uint64_t word = 0;
    if (length >= 8) {
        memcpy(&word, bytes, 8);
    } else if (length >= 4) {
        uint32_t head, tail;
        memcpy(&head, bytes, 4);
        memcpy(&tail, bytes + length - 4, 4);
        word = head | (uint64_t)tail << (length - 4) * 8;
    } else {
        for (size_t i = 0; i < length; i++) word |= (uint64_t)(unsigned char)bytes[i] << i * 8;
    }
    return word;
}

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight letters at once: bit 7 of each byte tells whether it is a capital, and moves to bit 5, which makes it
 * small. */
static uint64_t word_lower(uint64_t word) {
    uint64_t ascii = word & EACH_BYTE(0x7f);
    uint64_t from_a = ascii + EACH_BYTE(0x80 - 'A'), behind_z = ascii + EACH_BYTE(0x7f - 'Z');
    return word | ((from_a & ~behind_z & ~word & EACH_BYTE(0x80)) >> 2);
}

static struct folded fold(const char *name, size_t length) {
    size_t second = length <= 8 ? 0 : length < 16 ? length - 8 : 8;
    return (struct folded){
        .words = {word_lower(word_of(name, length)), word_lower(word_of(name + 8 * (second > 0), second))},
        .length = length,
    };
}

static uint32_t slot_of(const struct folded *name, const struct command *parent) {
    uint64_t mixed = name->words[0] * UINT64_C(0x9E3779B97F4A7C15) ^
                     name->words[1] * UINT64_C(0xC2B2AE3D27D4EB4F) ^
                     (uint64_t)(uintptr_t)parent * UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(mixed >> (64 - INDEX_BITS));
}

/* The part of a name that two words don't hold. */
static bool tail_is(const char *spelled, const char *name, size_t length) {
    for (size_t i = sizeof(uint64_t) * 2; i < length; i++)
        if ((unsigned char)spelled[i] != letter_lower((unsigned char)name[i])) return false;
    return true;
}

static const struct index_entry *find_entry(const struct index_entry *index, const struct command *parent,
                                            const char *name, size_t length) {
    struct folded folded = fold(name, length);
    for (uint32_t slot = slot_of(&folded, parent);; slot = (slot + 1) & (INDEX_SIZE - 1)) {
        const struct index_entry *entry = &index[slot];
        if (entry->command == NULL) return NULL;
        if (entry->name.words[0] == folded.words[0] && entry->name.words[1] == folded.words[1] &&
            entry->name.length == length && entry->command->parent == parent &&
            tail_is(entry->spelled, name, length))
            return entry;
    }
}

static const struct command *find(const struct index_entry *index, const struct command *parent,
                                  const char *name, size_t length) {
    const struct index_entry *entry = find_entry(index, parent, name, length);
    return entry != NULL ? entry->command : NULL;
}

/* ------------------------------------------------------------------ setting up */

static void index_add(struct index_entry *index, struct command *command, const char *spelled) {
    struct folded folded = fold(spelled, strlen(spelled));
    assert(find_entry(index, command->parent, spelled, strlen(spelled)) == NULL && "one row for a name");
    uint32_t slot = slot_of(&folded, command->parent);
    while (index[slot].command != NULL) slot = (slot + 1) & (INDEX_SIZE - 1);
    index[slot] = (struct index_entry){folded, spelled, command};
}

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (memory != NULL) return memory;
    log_write(LOG_WARNING, "Out of memory at start");
    exit(1);
}

static bool spec_is_none(const struct key_spec *spec) {
    return spec->first == 0 && !spec->is_unknown;
}

static bool has_only_key(const struct command *command) {
    const struct key_spec *spec = &command->keys[0];
    bool is_plain = spec->keyword == NULL && !spec->is_keynum && command->find_keys == NULL;
    /* It is looked at where the arguments stand, which there may be fewer of (DEBUG OBJECT). */
    bool is_there = spec->first < abs(command->arity);
    if ((spec->flags & KEY_NOT_KEY) != 0) return false;
    return is_plain && is_there && spec->first > 0 && spec->last == 0 && spec_is_none(spec + 1);
}

/* A command's own part in a subcommand's name: "get" of "config|get"; NULL if it isn't that command's. */
static const char *own_part(const struct command *parent, const struct command *row) {
    size_t length = strlen(parent->name);
    return strncmp(row->name, parent->name, length) == 0 && row->name[length] == '|' ? row->name + length + 1
                                                                                     : NULL;
}

static struct command *row_place(struct command *place, const struct command *row, struct command *parent) {
    bool is_hidden = parent != NULL && (parent->flags & COMMAND_HIDES_SUBCOMMANDS) != 0;
    assert(((row->flags & COMMAND_OPTIMISTIC) == 0 || row->read != NULL) &&
           "only a read can do without locks");
    *place = *row;
    place->parent = parent;
    place->full_name = is_hidden ? parent->name : row->name;
    place->only_key = has_only_key(row) ? (uint32_t)row->keys[0].first : 0;
    place->has_scope = row->run == NULL && (row->read != NULL || row->write != NULL || row->watch != NULL);
    place->id = is_hidden ? parent->id : count_all;
    if (!is_hidden) by_id[count_all++] = place;
    return place;
}

/* A command's subcommands, which may stand in any file, follow it. Returns the place behind the last. */
static struct command *subcommands_place(struct command *parent, const struct command *const *files,
                                         size_t count) {
    struct command *place = parent + 1;
    for (size_t i = 0; i < count; i++)
        for (const struct command *row = files[i]; row->name != NULL; row++) {
            const char *own = own_part(parent, row);
            if (own == NULL) continue;
            index_add(subcommands, row_place(place++, row, parent), own);
            parent->subcommand_count++;
        }
    if (parent->subcommand_count > 0) parent->subcommands = parent + 1;
    return place;
}

static size_t rows_count(const struct command *const *files, size_t count) {
    size_t rows = 0;
    for (size_t i = 0; i < count; i++)
        for (const struct command *row = files[i]; row->name != NULL; row++) rows++;
    return rows;
}

void command_table_init(const struct command *const *files, size_t count) {
    if (by_id != NULL) return;
    size_t rows = rows_count(files, count);
    assert(rows > 0 && rows < INDEX_SIZE / 4 && "the index stays sparse");
    all = allocate(rows * sizeof *all);
    by_id = allocate(rows * sizeof(const struct command *));
    struct command *place = all;
    for (size_t i = 0; i < count; i++)
        for (const struct command *row = files[i]; row->name != NULL; row++) {
            if (strchr(row->name, '|') != NULL) continue;
            struct command *command = row_place(place, row, NULL);
            count_top++;
            index_add(commands, command, command->name);
            place = subcommands_place(command, files, count);
        }
    assert(place == all + rows && "what a subcommand belongs to has a row as well");
}

static void row_remove(struct command *command) {
    command->is_removed = true;
    count_top--;
    for (uint32_t i = 0; i < command->subcommand_count; i++) command->subcommands[i].is_removed = true;
}

bool command_table_has(const char *name) {
    return find_entry(commands, NULL, name, strlen(name)) != NULL;
}

bool command_table_rename(const char *from, const char *to) {
    struct index_entry *entry =
        (struct index_entry *)(uintptr_t)find_entry(commands, NULL, from, strlen(from));
    if (entry == NULL) {
        log_write(LOG_WARNING, "rename-command %s: No such command in rename-command", from);
        return false;
    }
    struct command *command = entry->command;
    entry->name.length =
        SIZE_MAX; /* no name matches it any more; entries in slots behind it are found all the same */
    if (*to == '\0') {
        row_remove(command);
        return true;
    }
    if (find_entry(commands, NULL, to, strlen(to)) != NULL) {
        log_write(LOG_WARNING, "rename-command %s %s: Target command name already exists", from, to);
        return false;
    }
    char *spelled = strdup(to); /* stays until the end of the process, as the index does */
    if (spelled == NULL) {
        log_write(LOG_WARNING, "Out of memory at start");
        return false;
    }
    for (char *letter = spelled; *letter != '\0'; letter++)
        *letter = (char)letter_lower((unsigned char)*letter);
    index_add(commands, command, spelled);
    return true; /* NOLINT(clang-analyzer-unix.Malloc): the index keeps the name */
}

/* ------------------------------------------------------------------ finding */

uint32_t command_table_count(void) {
    return count_all;
}

uint32_t command_count(void) {
    return count_top;
}

const struct command *command_by_id(uint32_t id) {
    return by_id[id];
}

const struct command *command_find(const struct bulk *name) {
    const char *bar = memchr(name->data, '|', name->length);
    size_t length = bar == NULL ? name->length : (size_t)(bar - name->data);
    const struct command *command = find(commands, NULL, name->data, length);
    if (command == NULL || bar == NULL) return command;
    if ((command->flags & COMMAND_HIDES_SUBCOMMANDS) != 0) return NULL;
    return find(subcommands, command, bar + 1, name->length - length - 1);
}

const struct command *command_find_subcommand(const struct command *command, const struct bulk *name) {
    return find(subcommands, command, name->data, name->length);
}

/* At most 128 bytes of the arguments, each in quotes, as Redis has it: what it prints ends at a zero byte. */
static bool reply_unknown(const struct bulk *arguments, uint32_t count, struct reply *reply) {
    char text[160];
    size_t length = 0;
    for (uint32_t i = 1; i < count && length < 128; i++) {
        size_t shown = strnlen(arguments[i].data, arguments[i].length);
        if (shown > 128 - length) shown = 128 - length;
        text[length++] = '\'';
        memcpy(text + length, arguments[i].data, shown);
        length += shown;
        text[length++] = '\'';
        text[length++] = ' ';
    }
    size_t name = strnlen(arguments[0].data, arguments[0].length);
    reply_error_format(reply, "ERR unknown command '%.*s', with args beginning with: %.*s",
                       name < 128 ? (int)name : 128, arguments[0].data, (int)length, text);
    return false;
}

static bool reply_unknown_subcommand(const struct bulk *arguments, struct reply *reply) {
    char name[64];
    size_t length = arguments[0].length < sizeof name ? arguments[0].length : sizeof name;
    for (size_t i = 0; i < length; i++) {
        unsigned char letter = letter_lower((unsigned char)arguments[0].data[i]);
        name[i] = (char)(letter >= 'a' && letter <= 'z' ? letter - 0x20 : letter);
    }
    size_t sub = strnlen(arguments[1].data, arguments[1].length);
    reply_error_format(reply, "ERR unknown subcommand '%.*s'. Try %.*s HELP.", sub < 128 ? (int)sub : 128,
                       arguments[1].data, (int)length, name);
    return false;
}

bool command_arity_fits(const struct command *command, uint32_t count) {
    return command->arity >= 0 ? count == (uint32_t)command->arity : count >= (uint32_t)-command->arity;
}

const struct command *command_look_up(const struct bulk *arguments, uint32_t count) {
    const struct command *found = find(commands, NULL, arguments[0].data, arguments[0].length);
    return found != NULL && found->subcommands == NULL && command_arity_fits(found, count) ? found : NULL;
}

const struct command *command_meant(const struct bulk *arguments, uint32_t count) {
    const struct command *found = find(commands, NULL, arguments[0].data, arguments[0].length);
    if (found == NULL || found->subcommands == NULL || count < 2) return found;
    const struct command *sub = command_find_subcommand(found, &arguments[1]);
    if ((found->flags & COMMAND_HIDES_SUBCOMMANDS) == 0) return sub;
    /* A command that hides its subcommands has a function of its own, which answers what none of them can. */
    return sub != NULL && command_arity_fits(sub, count) ? sub : found;
}

bool command_check(const struct bulk *arguments, uint32_t count, const struct command **command,
                   struct reply *reply) {
    const struct command *found = *command = command_meant(arguments, count);
    if (found == NULL && find(commands, NULL, arguments[0].data, arguments[0].length) != NULL)
        return reply_unknown_subcommand(arguments, reply);
    if (found == NULL) return reply_unknown(arguments, count, reply);
    if (command_arity_fits(found, count)) return true;
    reply_error_format(reply, "ERR wrong number of arguments for '%s' command", found->full_name);
    return false;
}

/* ------------------------------------------------------------------ keys */

/* SET reads the old value only if it is asked to. */
static uint32_t flags_of_set(const struct bulk *arguments, uint32_t count) {
    for (uint32_t i = 3; i < count; i++)
        if (argument_is(&arguments[i], "GET")) return KEY_RW | KEY_ACCESS | KEY_UPDATE;
    return KEY_OW | KEY_UPDATE;
}

/* BITFIELD changes nothing if all it is asked for is GET. */
static uint32_t flags_of_bitfield(const struct bulk *arguments, uint32_t count) {
    for (uint32_t i = 2; i < count; i++) {
        uint32_t left = count - i - 1;
        if (argument_is(&arguments[i], "GET") && left >= 2)
            i += 2;
        else if (argument_is(&arguments[i], "OVERFLOW") && left >= 1)
            i++;
        else
            return KEY_RW | KEY_ACCESS | KEY_UPDATE;
    }
    return KEY_RO | KEY_ACCESS;
}

static uint32_t flags_of(const struct command *command, const struct key_spec *spec,
                         const struct bulk *arguments, uint32_t count) {
    if ((spec->flags & KEY_VARIABLE_FLAGS) == 0) return spec->flags;
    return strcmp(command->name, "set") == 0 ? flags_of_set(arguments, count)
                                             : flags_of_bitfield(arguments, count);
}

/* Index of the first key, or 0 if there is none. */
static int64_t keys_begin(const struct key_spec *spec, const struct bulk *arguments, uint32_t count) {
    if (spec->keyword == NULL) return spec->first;
    bool is_forward = spec->first > 0;
    int64_t at = is_forward ? spec->first : (int64_t)count + spec->first;
    /* The keyword can't be the last argument: keys would have to follow. */
    for (; at >= 1 && at + 1 < count; at += is_forward ? 1 : -1)
        if (argument_is(&arguments[at], spec->keyword)) return at + 1;
    return 0;
}

/* From *first to *last. false if the arguments don't fit. */
static bool keys_range(const struct key_spec *spec, const struct bulk *arguments, uint32_t count,
                       int64_t *first, int64_t *last) {
    if (spec->is_keynum) {
        int64_t keys;
        const struct bulk *number = &arguments[*first];
        if (*first >= count || !number_parse(number->data, number->length, &keys)) return false;
        if (keys < 0 || keys > count) return false;
        ++*first;
        *last = *first + keys - 1;
        return keys == 0 || *last < count;
    }
    if (spec->last >= 0)
        *last = *first + spec->last;
    else if (spec->limit > 1)
        *last = *first + (count - *first) / spec->limit + spec->last;
    else
        *last = (int64_t)count + spec->last;
    return *last >= *first && *last < count;
}

bool command_has_all_keys(const struct command *command, const struct bulk *arguments, uint32_t count) {
    if (command->find_keys != NULL) return true;
    for (const struct key_spec *spec = command->keys; !spec_is_none(spec); spec++) {
        int64_t first = keys_begin(spec, arguments, count), last;
        if (first == 0) continue;
        if (!keys_range(spec, arguments, count, &first, &last) || last < first) return false;
    }
    return true;
}

int command_find_keys(const struct command *command, const struct bulk *arguments, uint32_t count,
                      uint32_t *positions, uint32_t *flags, uint32_t capacity) {
    uint32_t found = 0;
    if (flags == NULL && command->only_key != 0 && command->only_key < count && capacity > 0) {
        positions[0] = command->only_key;
        return 1;
    }
    if (command->find_keys != NULL) return command->find_keys(arguments, count, positions, flags, capacity);
    if (spec_is_none(&command->keys[0]) || (command->keys[0].flags & KEY_NOT_KEY) != 0) return -1;
    for (const struct key_spec *spec = command->keys; !spec_is_none(spec); spec++) {
        int64_t first = keys_begin(spec, arguments, count), last;
        if (first == 0 || (found > 0 && first >= count)) continue; /* PFMERGE may have a destination only */
        if (!keys_range(spec, arguments, count, &first, &last)) return -1;
        for (int64_t at = first; at <= last && found < capacity; at += spec->step, found++) {
            positions[found] = (uint32_t)at;
            if (flags != NULL) flags[found] = flags_of(command, spec, arguments, count);
        }
    }
    return (int)found;
}
