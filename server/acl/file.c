/* A line of an aclfile is split at each blank, without quotes, and has no comments, as it is rewritten as a
 * whole. Nothing of a file is taken over if anything in it is wrong. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shard/base/hash.h"
#include "server/base/log.h"
#include "server/command/command.h"
#include "server/config/config.h"
#include "server/task/user.h"
#include "describe.h"
#include "users.h"

#define BLANKS " \t\r\n"
/* Of what is wrong, so much is told. */
#define MISTAKES_MOST 16384
/* Of a name: who has not authenticated yet can't say one that is longer than 16 KB. */
#define NAME_MOST ((size_t)1 << 20)

/* What has been read so far. */
struct loading {
    const char *path;
    int line;
    struct user_loaded *users;
    uint32_t count, room;
    struct hash_secret secret;
    uint32_t
        *places; /* by the hash of a name, twice as many as there is room for: 1 + the user's index, or 0 */
    struct reply *mistakes;
    bool has_syntax_error; /* told of once in each line */
    bool is_short;         /* of memory */
};

static void __attribute__((format(printf, 2, 3))) mistake(struct loading *loading, const char *format, ...) {
    char text[1024];
    va_list arguments;
    if (loading->mistakes->length > MISTAKES_MOST) return;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0) return;
    reply_raw(loading->mistakes, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

static void loading_free(struct loading *loading) {
    for (uint32_t i = 0; i < loading->count; i++) {
        free(loading->users[i].name.data);
        rules_let_go(loading->users[i].rules);
    }
    free(loading->users);
    free(loading->places);
}

/* Where the user of that name is, or would be. */
static uint32_t *place_of(const struct loading *loading, const struct bulk *name) {
    uint64_t at = hash_bytes(&loading->secret, name->data, name->length), last = 2 * loading->room - 1;
    for (;; at++) {
        uint32_t *place = &loading->places[at & last];
        if (*place == 0) return place;
        const struct bulk *known = &loading->users[*place - 1].name;
        if (known->length == name->length && memcmp(known->data, name->data, name->length) == 0) return place;
    }
}

/* For one more user. false: no memory. */
static bool loading_reserve(struct loading *loading) {
    if (loading->count < loading->room) return true;
    uint32_t room = loading->room == 0 ? 16 : 2 * loading->room;
    struct user_loaded *users = realloc(loading->users, room * sizeof *users);
    if (users == NULL) return false;
    loading->users = users;
    uint32_t *places = calloc(2 * (size_t)room, sizeof *places);
    if (places == NULL) return false;
    free(loading->places);
    loading->places = places;
    loading->room = room;
    for (uint32_t i = 0; i < loading->count; i++) *place_of(loading, &users[i].name) = i + 1;
    return true;
}

/* There is room for it, and no user of that name. NULL: no memory, or none for such a name. */
static struct rules *user_begin(struct loading *loading, const struct bulk *name) {
    if (name->length > NAME_MOST) return NULL;
    struct user_loaded *user = &loading->users[loading->count];
    *user = (struct user_loaded){.name = {.data = malloc(name->length + 1), .length = name->length}};
    user->rules = rules_create();
    if (user->name.data == NULL || user->rules == NULL) {
        free(user->name.data);
        rules_let_go(user->rules);
        return NULL;
    }
    memcpy(user->name.data, name->data, name->length);
    user->name.data[name->length] = '\0';
    *place_of(loading, name) = ++loading->count;
    return user->rules;
}

/* An unknown command holds no secret, and so it is named. */
static void on_word_failed(void *context, const struct bulk *word, enum rules_error error) {
    struct loading *loading = context;
    if (error == RULES_UNKNOWN) {
        mistake(loading, "%s:%d: Error in applying operation '%.*s': %s. ", loading->path, loading->line,
                word->length < 256 ? (int)word->length : 256, word->data, rules_error_text(error));
    } else if (!loading->has_syntax_error) {
        mistake(loading, "%s:%d: %s. ", loading->path, loading->line, rules_error_text(error));
        loading->has_syntax_error = true;
    }
}

static void read_words(struct loading *loading, struct bulk *words, uint32_t count) {
    if (count < 2 || words[0].length != 4 || memcmp(words[0].data, "user", 4) != 0) {
        mistake(loading, "%s:%d should start with user keyword followed by the username. ", loading->path,
                loading->line);
        return;
    }
    int shown = words[1].length < 256 ? (int)words[1].length : 256;
    if (!rules_name_is_fine(words[1].data, words[1].length)) {
        mistake(loading, "'%s:%d: username '%.*s' contains invalid characters. ", loading->path,
                loading->line, shown, words[1].data);
        return;
    }
    if (!loading_reserve(loading)) {
        loading->is_short = true;
        return;
    }
    if (*place_of(loading, &words[1]) != 0) {
        mistake(loading, "WARNING: Duplicate user '%.*s' found on line %d. ", shown, words[1].data,
                loading->line);
        return;
    }
    struct rules *rules = user_begin(loading, &words[1]);
    loading->has_syntax_error = false;
    enum rules_error error = rules == NULL
                                 ? RULES_NO_MEMORY
                                 : rules_apply_each(rules, words + 2, count - 2, on_word_failed, loading);
    if (error == RULES_UNMATCHED)
        mistake(loading, "%s:%d: Unmatched parenthesis in selector definition.", loading->path,
                loading->line);
    if (error == RULES_NO_MEMORY) loading->is_short = true;
}

/* The blanks at both ends of a word that isn't the user's name are none of it. */
static void word_trim(struct bulk *word) {
    while (word->length > 0 && strchr("\t\r\n", word->data[word->length - 1]) != NULL) word->length--;
    while (word->length > 0 && strchr("\t\r\n", word->data[0]) != NULL) {
        word->data++;
        word->length--;
    }
}

static void read_line(struct loading *loading, char *line, size_t length) {
    while (length > 0 && strchr(BLANKS, line[length - 1]) != NULL) length--;
    while (length > 0 && strchr(BLANKS, line[0]) != NULL) {
        line++;
        length--;
    }
    if (length == 0) return;
    uint32_t count = 1, at = 0;
    for (size_t i = 0; i < length; i++) count += line[i] == ' ';
    struct bulk *words = malloc(count * sizeof *words);
    if (words == NULL) {
        loading->is_short = true;
        return;
    }
    for (size_t start = 0; at < count; at++) {
        const char *blank = memchr(line + start, ' ', length - start);
        size_t end = blank == NULL ? length : (size_t)(blank - line);
        words[at] = (struct bulk){.data = line + start, .length = end - start};
        if (at > 1) word_trim(&words[at]);
        start = end + 1;
    }
    read_words(loading, words, count);
    free(words);
}

bool users_load(const char *path, struct reply *mistakes) {
    struct loading loading = {.path = path, .mistakes = mistakes};
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        mistake(&loading, "Error loading ACLs, opening file '%s': %s", path, strerror(errno));
        return false;
    }
    int error = hash_secret_draw(&loading.secret, NULL);
    if (error != 0) mistake(&loading, "Error loading ACLs, no randomness: %s. ", strerror(error));
    users_change_begin();
    while (!loading.is_short && (length = getline(&line, &capacity, file)) >= 0) {
        loading.line++;
        read_line(&loading, line, (size_t)length);
    }
    if (ferror(file)) mistake(&loading, "Error loading ACLs, reading file '%s': %s. ", path, strerror(errno));
    fclose(file);
    free(line);
    bool is_done = mistakes->length == 0 && !loading.is_short && !mistakes->is_broken;
    if (is_done) {
        is_done = users_replace(loading.users, loading.count);
        loading.is_short = !is_done;
        for (uint32_t i = 0; is_done && i < loading.count; i++) loading.users[i].rules = NULL;
    }
    users_change_end();
    if (loading.is_short) mistake(&loading, "Out of memory. ");
    if (!is_done)
        mistake(&loading,
                "WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    loading_free(&loading);
    return is_done;
}

/* ------------------------------------------------------------------ writing */

static bool write_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, data, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        data += written;
        length -= (size_t)written;
    }
    return true;
}

static void fsync_folder(const char *path) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        snprintf(folder, sizeof folder, ".");
    else
        slash[slash == folder ? 1 : 0] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd); /* the new name is in place; only its endurance is at stake */
    close(fd);
}

/* The file keeps its mode; a new one is its owner's alone, since it has what passwords are compared with. */
static bool file_replace(const char *path, const char *data, size_t length) {
    char temporary[PATH_MAX + 16];
    struct stat status = {.st_mode = 0600};
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    bool is_there = stat(path, &status) == 0;
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) return false;
    bool is_fine = write_all(fd, data, length) && fchmod(fd, status.st_mode & 07777) == 0;
    if (is_fine && is_there && fchown(fd, status.st_uid, status.st_gid) != 0 && errno != EPERM)
        is_fine = false;
    is_fine = is_fine && fsync(fd) == 0;
    int error = errno;
    if (close(fd) != 0 && is_fine) {
        is_fine = false;
        error = errno;
    }
    if (is_fine && rename(temporary, path) != 0) {
        is_fine = false;
        error = errno;
    }
    if (!is_fine) unlink(temporary);
    errno = error;
    if (is_fine) fsync_folder(path);
    return is_fine;
}

/* A line of a configuration is split with quotes. */
static void describe_configured(const struct user_listed *listed, struct reply *text) {
    struct reply rules;
    reply_init(&rules, 2);
    describe_rules_for_file(listed->rules, &rules);
    describe_word(listed->user->name, listed->user->length, text);
    for (size_t at = 0; !rules.is_broken && at < rules.length;) {
        const char *word = rules.data + at, *blank = memchr(word, ' ', rules.length - at);
        size_t length = blank == NULL ? rules.length - at : (size_t)(blank - word);
        reply_raw(text, " ", 1);
        describe_word(word, length, text);
        at += length + 1;
    }
    text->is_broken = text->is_broken || rules.is_broken;
    reply_free(&rules);
}

static bool describe_all(struct reply *text, bool is_configuration) {
    uint32_t count;
    struct user_listed *list = users_list(&count);
    if (list == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        reply_raw(text, "user ", 5);
        if (is_configuration) {
            describe_configured(&list[i], text);
        } else {
            reply_raw(text, list[i].user->name, list[i].user->length);
            reply_raw(text, " ", 1);
            describe_rules_for_file(list[i].rules, text);
        }
        reply_raw(text, "\n", 1);
    }
    users_list_free(list, count);
    return !text->is_broken;
}

bool users_save(const char *path) {
    struct reply text;
    reply_init(&text, 2);
    errno = ENOMEM;
    bool is_saved = describe_all(&text, false) && file_replace(path, text.data, text.length);
    if (!is_saved)
        log_write(LOG_WARNING, "ACL SAVE can't write '%s', which stays as it is: %s", path, strerror(errno));
    reply_free(&text);
    return is_saved;
}

/* Whether the default user is what it is without a word about it. */
static bool is_as_made(const struct rules *rules) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct rules *made = rules_create_all();
    struct reply present, as_made;
    reply_init(&present, 2);
    reply_init(&as_made, 2);
    bool is_same =
        made != NULL && (!password_digest(digest) || rules_set_password(made, digest) == RULES_FINE);
    if (is_same) {
        describe_rules(rules, &present);
        describe_rules(made, &as_made);
        is_same = !present.is_broken && !as_made.is_broken && present.length == as_made.length &&
                  memcmp(present.data, as_made.data, present.length) == 0;
    }
    reply_free(&present);
    reply_free(&as_made);
    rules_let_go(made);
    return is_same;
}

/* For CONFIG REWRITE. */
static bool describe_for_configuration(char **lines) {
    char path[PATH_MAX];
    struct reply text;
    uint32_t count;
    config_text("aclfile", path, sizeof path);
    *lines = NULL;
    if (*path != '\0') return true;
    struct user_listed *list = users_list(&count);
    if (list == NULL) return false;
    bool is_needless = count == 1 && is_as_made(list[0].rules);
    users_list_free(list, count);
    reply_init(&text, 2);
    bool is_described = is_needless || describe_all(&text, true);
    if (is_described) reply_raw(&text, "", 1);
    *lines = is_described && !text.is_broken ? strdup(text.data) : NULL;
    reply_free(&text);
    return *lines != NULL;
}

/* ------------------------------------------------------------------ at the start */

static bool load_configured(const struct bulk *words, uint32_t count) {
    const struct bulk *name = &words[0];
    struct rules *rules = rules_create();
    struct bulk failed = {.data = NULL};
    enum rules_error error = RULES_NO_MEMORY;
    if (!rules_name_is_fine(name->data, name->length)) {
        log_write(LOG_WARNING, "Spaces not allowed in ACL usernames");
        rules_let_go(rules);
        return false;
    }
    if (rules != NULL) error = rules_apply_all(rules, words + 1, count - 1, &failed);
    bool is_on = rules != NULL && rules->is_on;
    if (error == RULES_FINE && users_put(name, rules, NULL) == USERS_PUT) {
        if (!is_on)
            log_write(LOG_NOTICE,
                      "The user '%s' is disabled (there is no 'on' modifier in the user description). Make "
                      "sure this is not a configuration error.",
                      name->data);
        return true;
    }
    log_write(LOG_WARNING, "Error loading ACL rule '%s' for the user named '%s': %s",
              failed.data == NULL ? "" : failed.data, name->data,
              rules_error_text(error == RULES_FINE ? RULES_NO_MEMORY : error));
    rules_let_go(rules);
    free(failed.data);
    return false;
}

bool users_load_at_start(void) {
    char path[PATH_MAX];
    struct reply mistakes;
    config_on_rewrite_users(describe_for_configuration);
    config_text("aclfile", path, sizeof path);
    if (*path != '\0' && config_user_count() > 0) {
        log_write(LOG_WARNING, "Users are defined in the configuration, and 'aclfile' names a file that has "
                               "them: which ones count can't be told. Use one of the two.");
        return false;
    }
    if (!config_each_user(load_configured)) {
        log_write(LOG_WARNING, "Critical error while loading ACLs. Exiting.");
        return false;
    }
    if (*path == '\0') return true;
    reply_init(&mistakes, 2);
    bool is_loaded = users_load(path, &mistakes);
    if (!is_loaded)
        log_write(LOG_WARNING, "Aborting startup because of ACL errors: %.*s", (int)mistakes.length,
                  mistakes.data == NULL ? "" : mistakes.data);
    reply_free(&mistakes);
    return is_loaded;
}
