/* The start: what is read in which order, and what follows from it. */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "read.h"
#include "server/base/log.h"

static char file_path[PATH_MAX];      /* written at the start only */
static struct renames start_renames;  /* written at the start only */
static struct user_lines start_users; /* likewise, and forgotten once they are read: there may be passwords */

/* The first argument, if it is a file's name. */
static bool read_first_file(struct reading *reading, const char *argument) {
    if (strcmp(argument, "-") == 0) return read_stream(reading, stdin, "standard input");
    if (*argument == '-') {
        struct position position = {NULL, 0, argument};
        return reading_mistake(reading, &position,
                               "Options are written with two dashes and their whole name, such as --port "
                               "7000. Try --help.");
    }
    int outcome = -1;
    char path[PATH_MAX];
    if (realpath(argument, path)) outcome = read_file(reading, path);
    if (outcome < 0) {
        const char *hint =
            option_find(argument, strlen(argument)) >= 0 ? "\nAn option begins with two dashes." : "";
        snprintf(reading->mistake, sizeof reading->mistake, "Can't open the configuration file '%s': %s%s",
                 argument, strerror(errno), hint);
        return false;
    }
    memcpy(file_path, path, strlen(path) + 1);
    return outcome == 1;
}

static bool read_all(struct reading *reading, int argc, char **argv) {
    int next = 1;
    if (argc > 1 && strncmp(argv[1], "--", 2) != 0) {
        if (!read_first_file(reading, argv[1])) return false;
        next = 2;
    }
    return read_arguments(reading, argc - next, argv + next);
}

static bool start_options(struct reading *reading) REQUIRES(values_mutex) {
    for (int i = 0; i < option_count(); i++) value_project(i);
    for (int i = 0; i < option_count(); i++) {
        char why[WHY_SIZE] = "";
        bool (*start)(const char *, char *) = option_at(i)->start ? option_at(i)->start : option_at(i)->apply;
        if (!start || start(values[i], why)) continue;
        snprintf(reading->mistake, sizeof reading->mistake, "%.1400s\n%.600s",
                 reading->origins[i] ? reading->origins[i] : option_at(i)->name, why);
        return false;
    }
    return true;
}

/* One line for each reason, with all options that it concerns; those that promise that data outlives the
 * process get a warning of their own. */
static void start_log_idle(const struct reading *reading) REQUIRES(values_mutex) {
    bool is_told[MOST_OPTIONS] = {false};
    for (int i = 0; i < option_count(); i++) {
        if (!option_at(i)->idle || !reading->origins[i] || is_told[i]) continue;
        char names[3072];
        size_t length = 0;
        int count = 0;
        for (int j = i; j < option_count(); j++) {
            if (!option_at(j)->idle || !reading->origins[j] ||
                strcmp(option_at(i)->idle, option_at(j)->idle) != 0)
                continue;
            is_told[j] = true;
            if (length + strlen(option_at(j)->name) + 3 > sizeof names) continue;
            length += (size_t)snprintf(names + length, sizeof names - length, "%s%s", count++ ? ", " : "",
                                       option_at(j)->name);
        }
        log_write(LOG_NOTICE, "%s %s no effect here: %s.", names, count > 1 ? "have" : "has",
                  option_at(i)->idle);
    }
    bool is_durable =
        *values[option_find("save", 4)] || strcmp(values[option_find("appendonly", 10)], "yes") == 0;
    if (is_durable)
        log_write(LOG_WARNING, "The configuration asks for persistence (appendonly, save), and "
                               "there is none: what is stored is gone when the process ends.");
}

/* Which allocator is linked decides at run time: jemalloc has mallctl. */
extern int mallctl(const char *name, void *old_value, size_t *old_length, void *value, size_t length)
    __attribute__((weak));

static void print_version(void) {
    printf("Latchkey server v=%s malloc=%s bits=%d\n", LATCHKEY_VERSION, mallctl ? "jemalloc" : "libc",
           (int)sizeof(void *) * 8);
}

static void print_help(void) {
    printf("Usage: latchkey [FILE | -] [--OPTION VALUE ...] ...\n"
           "       latchkey --help | --version\n\n"
           "Reads the configuration FILE (- is standard input), then the options, which win over "
           "it.\n\n"
           "The most used options, with their defaults:\n");
    for (int i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        if (!option->help) continue;
        bool needs_quotes = !*option->initial || strchr(option->initial, ' ');
        char text[64];
        snprintf(text, sizeof text, "%s %s%s%s", option->name, needs_quotes ? "\"" : "", option->initial,
                 needs_quotes ? "\"" : "");
        printf("  --%-22s %s\n", text, option->help);
    }
    printf("\nlatchkey.conf explains every option; each can stand in the file as well as here.\n\n"
           "Examples:\n"
           "  latchkey\n"
           "  latchkey /etc/latchkey/latchkey.conf\n"
           "  latchkey --port 7000 --threads 4\n"
           "  latchkey latchkey.conf --loglevel verbose --bind 127.0.0.1 -::1\n"
           "  echo 'requirepass secret' | latchkey - --port 7000\n");
}

bool config_load(int argc, char **argv) {
    for (int i = 1; i < argc && i < 3; i++) {
        bool is_help = strcmp(argv[i], "--help") == 0 || (i == 1 && strcmp(argv[i], "-h") == 0);
        bool is_version = strcmp(argv[i], "--version") == 0 || (i == 1 && strcmp(argv[i], "-v") == 0);
        if (!is_help && !is_version) continue;
        if (is_help)
            print_help();
        else
            print_version();
        exit(0);
    }
    mutex_lock(&values_mutex);
    struct reading reading = {.values = values, .renames = &start_renames, .users = &start_users};
    user_lines_free(&start_users);
    *file_path = '\0';
    bool is_fine = values_set_defaults(values) && read_all(&reading, argc, argv) && start_options(&reading);
    if (is_fine) start_log_idle(&reading);
    mutex_unlock(&values_mutex);
    if (!is_fine) {
        fprintf(stderr, "Latchkey can't start: there is a mistake in its configuration.\n%s\n",
                *reading.mistake ? reading.mistake : "out of memory");
    }
    reading_free(&reading);
    return is_fine;
}

const char *config_file(void) {
    return file_path;
}

bool config_each_rename(bool (*rename)(const char *from, const char *to)) {
    for (size_t i = 0; i < start_renames.count; i++)
        if (!rename(start_renames.words[2 * i], start_renames.words[2 * i + 1])) return false;
    return true;
}

uint32_t config_user_count(void) {
    return start_users.count;
}

bool config_each_user(bool (*visit)(const struct bulk *words, uint32_t count)) {
    bool is_fine = true;
    for (uint32_t i = 0; is_fine && i < start_users.count; i++)
        is_fine = visit(start_users.lines[i].words, start_users.lines[i].count);
    user_lines_free(&start_users);
    return is_fine;
}
