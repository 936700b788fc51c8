/* Lines of files and arguments of the command line, to texts of options or to a message that says where the
 * mistake is and what would be right. */
#include "read.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_NESTED_FILES 16

void reading_free(struct reading *reading) {
    values_free(reading->origins);
}

static bool is_secret(const char *name, size_t length) {
    int index = option_find(name, length);
    return index >= 0 && (option_at(index)->flags & OPTION_SECRET) != 0;
}

/* What is said of a mistake may go to a log, which is no place for a password. */
static void position_format(const struct position *position, char *out, size_t size) {
    const char *name = position->text + strspn(position->text, " \t-");
    size_t length = strcspn(name, " \t=");
    bool is_hidden = is_secret(name, length);
    int shown = is_hidden ? (int)(name + length - position->text) : 200;
    const char *rest = is_hidden ? " (redacted)" : "";
    if (position->file)
        snprintf(out, size, "%s, line %d:\n    %.*s%s", position->file, position->line, shown, position->text,
                 rest);
    else
        snprintf(out, size, "command line:\n    %.*s%s", shown, position->text, rest);
}

bool reading_mistake(struct reading *reading, const struct position *position, const char *why) {
    char where[PATH_MAX + 256];
    position_format(position, where, sizeof where);
    snprintf(reading->mistake, sizeof reading->mistake, "%.1400s\n%.600s", where, why);
    return false;
}

static int least_of(int a, int b, int c) {
    int least = a < b ? a : b;
    return least < c ? least : c;
}

/* How many letters must be put in, left out, replaced, or swapped with their neighbour to come from
 * one name to the other (optimal string alignment), capitals or not. Names are shorter than 64. */
static int name_distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    int rows[3][65];
    int *before = rows[0], *previous = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++) previous[j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            int here = tolower((unsigned char)a[i - 1]), there = tolower((unsigned char)b[j - 1]);
            row[j] = least_of(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (here != there));
            bool is_swap = i > 1 && j > 1 && here == tolower((unsigned char)b[j - 2]) &&
                           tolower((unsigned char)a[i - 2]) == there;
            if (is_swap && before[j - 2] + 1 < row[j]) row[j] = before[j - 2] + 1;
        }
        int *free_row = before;
        before = previous;
        previous = row;
        row = free_row;
    }
    return previous[b_length];
}

/* The option whose name is most like it, or NULL if none is. */
static const char *name_nearest(const char *name, size_t length) {
    if (length == 0 || length > 64) return NULL;
    const char *nearest = NULL;
    int least = length <= 3 ? 2 : 2 + (int)length / 3; /* in a short name every letter counts */
    for (int i = 0; i < option_count(); i++) {
        int distance = name_distance(name, length, option_at(i)->name, strlen(option_at(i)->name));
        if (distance >= least) continue;
        least = distance;
        nearest = option_at(i)->name;
    }
    return nearest;
}

static void unknown_name(const char *name, size_t length, bool is_command_line, char *why) {
    int shown = length < 64 ? (int)length : 64;
    const char *equals = memchr(name, '=', length);
    if (equals && option_find(name, (size_t)(equals - name)) >= 0) {
        int value_length = (int)(length - (size_t)(equals - name) - 1);
        if (is_secret(name, (size_t)(equals - name))) value_length = 0;
        refuse(why, "Name and value are separated by a blank: %s%.*s %.*s", is_command_line ? "--" : "",
               (int)(equals - name), name, value_length < 64 ? value_length : 64, equals + 1);
        return;
    }
    const char *nearest = name_nearest(name, length);
    if (nearest)
        refuse(why, "Unknown option '%.*s'. Did you mean '%s'?", shown, name, nearest);
    else
        refuse(why, "Unknown option '%.*s'. latchkey.conf explains those there are.", shown, name);
}

static void text_replace(char **at, char *text) {
    free(*at);
    *at = text;
    /* The analyzer forgets what an element of an array holds when another is set through an index it
     * doesn't know. values_free frees all of them. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
}

/* `name` gets the value that the words stand for. */
static bool reading_assign(struct reading *reading, const struct position *position, const struct bulk *name,
                           const struct bulk *words, int count) {
    char value[VALUE_SIZE], why[WHY_SIZE] = "";
    int index = option_find(name->data, name->length);
    if (index < 0) {
        unknown_name(name->data, name->length, !position->file, why);
        return reading_mistake(reading, position, why);
    }
    const struct option *option = option_at(index);
    if (count == 0 || (count > 1 && option->kind != OPTION_LIST)) {
        refuse(why, "wrong number of arguments: '%s' takes %s, such as: %s%s %s", option->name,
               option->kind == OPTION_LIST ? "at least one value"
                                           : "one value; put quotes around it if it has blanks",
               position->file ? "" : "--", option->name, *option->initial ? option->initial : "\"\"");
        return reading_mistake(reading, position, why);
    }
    if (!option_canonical(option, words, count, reading->values[index], value, why))
        return reading_mistake(reading, position, why);

    char where[PATH_MAX + 256];
    position_format(position, where, sizeof where);
    char *text = strdup(value), *origin = strdup(where);
    if (!text || !origin) {
        free(text);
        free(origin);
        return reading_mistake(reading, position, "out of memory");
    }
    text_replace(&reading->values[index], text);
    text_replace(&reading->origins[index], origin);
    return true;
}

static bool read_include(struct reading *reading, const struct position *position, const struct bulk *word);

static bool read_rename(struct reading *reading, const struct position *position, const struct bulk *words,
                        int count) {
    if (count != 3)
        return reading_mistake(reading, position,
                               "wrong number of arguments: 'rename-command' takes a command and its new "
                               "name, or \"\"");
    if (!reading->renames) return true;
    char **renames = realloc(reading->renames->words, (reading->renames->count + 1) * 2 * sizeof *renames);
    if (!renames) return reading_mistake(reading, position, "out of memory");
    reading->renames->words = renames;
    char *from = strndup(words[1].data, words[1].length), *to = strndup(words[2].data, words[2].length);
    if (!from || !to) {
        free(from);
        free(to);
        return reading_mistake(reading, position, "out of memory");
    }
    renames[2 * reading->renames->count] = from;
    renames[2 * reading->renames->count++ + 1] = to;
    return true;
}

static bool user_line_is_known(const struct user_lines *users, const struct bulk *name) {
    for (uint32_t i = 0; i < users->count; i++) {
        const struct bulk *known = &users->lines[i].words[0];
        if (known->length == name->length && memcmp(known->data, name->data, name->length) == 0) return true;
    }
    return false;
}

static void user_line_free(struct user_line *line) {
    for (uint32_t i = 0; i < line->count; i++) {
        OPENSSL_cleanse(line->words[i].data, line->words[i].length);
        free(line->words[i].data);
    }
    free(line->words);
}

void user_lines_free(struct user_lines *users) {
    for (uint32_t i = 0; i < users->count; i++) user_line_free(&users->lines[i]);
    free(users->lines);
    *users = (struct user_lines){.lines = NULL};
}

static bool user_line_copy(struct user_line *line, const struct bulk *words, uint32_t count) {
    *line = (struct user_line){.words = calloc(count, sizeof *line->words)};
    for (; line->words && line->count < count; line->count++) {
        struct bulk *copy = &line->words[line->count];
        copy->data = malloc(words[line->count].length + 1);
        if (!copy->data) break;
        copy->length = words[line->count].length;
        memcpy(copy->data, words[line->count].data, copy->length);
        copy->data[copy->length] = '\0';
    }
    if (line->words && line->count == count) return true;
    user_line_free(line);
    return false;
}

/* What the words mean is for those to say who know commands. */
static bool read_user(struct reading *reading, const struct position *position, const struct bulk *words,
                      int count) {
    struct user_lines *users = reading->users;
    if (count < 2) return reading_mistake(reading, position, "'user' takes a name, and rules");
    if (reading->depth > 0) reading->users_included++;
    if (!users) return true;
    if (user_line_is_known(users, &words[1]))
        return reading_mistake(reading, position,
                               "Duplicate user found. A user can only be defined once in config files");
    struct user_line *lines = realloc(users->lines, (users->count + 1) * sizeof *lines);
    if (lines) users->lines = lines;
    if (!lines || !user_line_copy(&lines[users->count], words + 1, (uint32_t)count - 1))
        return reading_mistake(reading, position, "out of memory");
    users->count++;
    return true;
}

/* A line's words, or an argument's with its values: an option, or one of the few things that are none. */
static bool read_words(struct reading *reading, const struct position *position, const struct bulk *words,
                       int count) {
    /* Redis ignores these, too. */
    static const char *const ignored[] = {"list-max-ziplist-entries", "list-max-ziplist-value",
                                          "lua-replicate-commands"};
    static const struct {
        const char *name, *why;
    } refused[] = {
        {"loadmodule", "Latchkey loads no modules, so their commands would be missing. Leave this "
                       "out if you can do without them"},
        {"sentinel", "Latchkey is no sentinel. Run redis-sentinel for that"},
    };
    if (word_is(&words[0], "include")) {
        return count == 2
                   ? read_include(reading, position, &words[1])
                   : reading_mistake(reading, position,
                                     "wrong number of arguments: 'include' takes one file name or pattern");
    }
    if (word_is(&words[0], "rename-command")) return read_rename(reading, position, words, count);
    if (word_is(&words[0], "user")) return read_user(reading, position, words, count);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (word_is(&words[0], refused[i].name)) return reading_mistake(reading, position, refused[i].why);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (word_is(&words[0], ignored[i]) && count == 2) return true;
    return reading_assign(reading, position, &words[0], words + 1, count - 1);
}

/* One line, which is overwritten. */
static bool read_line(struct reading *reading, const struct position *position, char *line, size_t length) {
    size_t start = 0;
    while (length > start && isspace((unsigned char)line[length - 1])) length--;
    while (start < length && isspace((unsigned char)line[start])) start++;
    if (start == length || line[start] == '#') return true;
    /* At most every other byte begins a word; a user may have very many. */
    size_t most = (length - start) / 2 + 1;
    struct bulk *words = malloc(most * sizeof *words);
    if (!words) return reading_mistake(reading, position, "out of memory");
    int count = request_split(line + start, length - start, words, (int)most);
    bool is_fine = true;
    if (count < 0)
        is_fine = reading_mistake(reading, position,
                                  "Unbalanced quotes: a quoted value ends with the quote it began with, and "
                                  "a blank or nothing follows");
    else if (count > MOST_WORDS && !word_is(&words[0], "user"))
        is_fine =
            reading_mistake(reading, position, "wrong number of arguments: so many values can't be right");
    else if (count > 0)
        is_fine = read_words(reading, position, words, count);
    free(words);
    return is_fine;
}

bool read_stream(struct reading *reading, FILE *stream, const char *name) {
    char *line = NULL, *copy = NULL;
    size_t capacity = 0;
    ssize_t length;
    bool is_fine = true;
    for (int number = 1; is_fine && (length = getline(&line, &capacity, stream)) >= 0; number++) {
        free(copy);
        copy = strndup(line, (size_t)length);
        if (!copy) break;
        copy[strcspn(copy, "\r\n")] = '\0';
        struct position position = {name, number, copy};
        is_fine = read_line(reading, &position, line, (size_t)length);
    }
    if (is_fine && (ferror(stream) || !feof(stream))) {
        snprintf(reading->mistake, sizeof reading->mistake, "Can't read %s: %s", name, strerror(errno));
        is_fine = false;
    }
    free(line);
    free(copy);
    return is_fine;
}

int read_file(struct reading *reading, const char *name) {
    FILE *stream = fopen(name, "re");
    if (!stream) return -1;
    struct stat status;
    if (fstat(fileno(stream), &status) == 0 && S_ISDIR(status.st_mode)) {
        fclose(stream);
        errno = EISDIR;
        return -1;
    }
    bool is_fine = read_stream(reading, stream, name);
    fclose(stream);
    return is_fine;
}

/* A relative name begins at the folder of the file that includes it. */
static bool read_include(struct reading *reading, const struct position *position, const struct bulk *word) {
    char pattern[2 * PATH_MAX], why[WHY_SIZE];
    const char *slash = position->file ? strrchr(position->file, '/') : NULL;
    bool is_relative = word->length == 0 || word->data[0] != '/';
    int folder = is_relative && slash ? (int)(slash - position->file) + 1 : 0;
    if (word->length == 0 || word->length >= PATH_MAX)
        return reading_mistake(reading, position, "'include' takes a file name");
    snprintf(pattern, sizeof pattern, "%.*s%.*s", folder, position->file ? position->file : "",
             (int)word->length, word->data);
    if (reading->depth == MOST_NESTED_FILES) {
        refuse(why, "more than %d files include one another: does one include itself?", MOST_NESTED_FILES);
        return reading_mistake(reading, position, why);
    }
    glob_t found;
    int outcome = glob(pattern, 0, NULL, &found);
    if (outcome != 0) {
        /* A pattern may match nothing, a name may not. */
        if (outcome == GLOB_NOMATCH && strpbrk(pattern, "*?[")) return true;
        refuse(why, "can't open '%.300s': %s", pattern,
               outcome == GLOB_NOSPACE ? "out of memory" : "there is no such file to be read");
        return reading_mistake(reading, position, why);
    }
    reading->depth++;
    int is_fine = 1;
    for (size_t i = 0; i < found.gl_pathc && is_fine == 1; i++) {
        is_fine = read_file(reading, found.gl_pathv[i]);
        if (is_fine < 0) {
            refuse(why, "can't open '%.300s': %s", found.gl_pathv[i], strerror(errno));
            reading_mistake(reading, position, why);
        }
    }
    reading->depth--;
    globfree(&found);
    return is_fine == 1;
}

/* What an argument that begins an option holds: its name, and with blanks in it values as well ("--maxmemory
 * 700mb"), as on a line of a file. `copy` is where the words are; returns how many, or -1. */
static int argument_split(const char *argument, char **copy, struct bulk words[MOST_WORDS]) {
    *copy = strdup(argument + 2);
    if (!*copy) return -1;
    if (strpbrk(*copy, " \t")) return request_split(*copy, strlen(*copy), words, MOST_WORDS);
    words[0] = (struct bulk){*copy, strlen(*copy), NULL};
    return 1;
}

bool read_arguments(struct reading *reading, int count, char **arguments) {
    bool is_fine = true;
    for (int i = 0; i < count && is_fine;) {
        struct bulk words[MOST_WORDS];
        int next = i + 1;
        char *copy = NULL;
        struct position position = {NULL, 0, arguments[i]};
        if (strncmp(arguments[i], "--", 2) != 0) {
            return reading_mistake(reading, &position,
                                   "An option begins with two dashes, and a configuration file comes "
                                   "first: latchkey file --name value");
        }
        if (strcmp(arguments[i], "--") == 0 && next == count) return true;
        int word_count = argument_split(arguments[i], &copy, words);
        bool is_save = word_count == 1 && word_is(&words[0], "save");
        for (; word_count > 0 && next < count && word_count < MOST_WORDS; next++) {
            const char *argument = arguments[next];
            bool has_dashes = strncmp(argument, "--", 2) == 0;
            if (has_dashes &&
                (word_count > 1 || is_save || option_find(argument + 2, strcspn(argument + 2, " ")) >= 0))
                break;
            words[word_count++] = (struct bulk){arguments[next], strlen(argument), NULL};
        }
        if (is_save && word_count == 1) words[word_count++] = (struct bulk){arguments[i], 0, NULL};
        char text[256];
        int length = snprintf(text, sizeof text, "%s", arguments[i]);
        for (int j = i + 1; j < next && length < (int)sizeof text; j++) {
            const char *quote = *arguments[j] && !strchr(arguments[j], ' ') ? "" : "'";
            length +=
                snprintf(text + length, sizeof text - (size_t)length, " %s%s%s", quote, arguments[j], quote);
        }
        position.text = text;
        is_fine = word_count > 0 ? read_words(reading, &position, words, word_count)
                                 : reading_mistake(reading, &position, "Unbalanced quotes");
        free(copy);
        i = next;
    }
    return is_fine;
}
