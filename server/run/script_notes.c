#include "script_notes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/broadcast/monitor.h"
#include "server/command/command_table.h"
#include "server/observe/statistics.h"
#include "server/task/user.h"
#include "permit.h"

/* What lines may take together until their script is concluded. */
#define BYTES_MOST ((size_t)32 << 20)
/* Codes of errors that are told apart. */
#define CODES_MOST 8

struct tally {
    uint64_t calls, nanoseconds;
    struct failure {
        char code[32];
        uint64_t count;
    } failures[CODES_MOST];
    uint32_t failure_count;
};

enum note_kind { NOTE_SCRIPT, NOTE_CALL, NOTE_LOG, NOTE_DENIAL };

struct note {
    struct note *next;
    enum note_kind kind;
    int level;         /* of a log line; of a denial its verdict */
    struct user *user; /* of a denial, held: its client may be another one when it is published */
    uint32_t database; /* of a call */
    uint32_t count;    /* of arguments; 0: nobody is to be shown it */
    size_t bytes;
    struct bulk arguments[]; /* and their bytes; of a log line one */
};

bool script_notes_open(struct script_notes *notes) {
    notes->tallies = calloc(command_table_count(), sizeof *notes->tallies);
    notes->touched = calloc(command_table_count(), sizeof(struct command *));
    return notes->tallies != NULL && notes->touched != NULL;
}

static void note_free(struct note *note) {
    user_let_go(note->user);
    free(note);
}

static void forget_lines(struct script_notes *notes) {
    for (struct note *note; (note = notes->first) != NULL;) {
        notes->first = note->next;
        note_free(note);
    }
    notes->last = NULL;
    notes->bytes = 0;
    notes->misses_some = false;
}

void script_notes_free(struct script_notes *notes) {
    forget_lines(notes);
    free(notes->tallies);
    free((void *)notes->touched);
}

static void forget_counts(struct script_notes *notes) {
    for (uint32_t i = 0; i < notes->touched_count; i++) {
        struct tally *tally = &notes->tallies[notes->touched[i]->id];
        tally->calls = tally->nanoseconds = tally->failure_count = 0;
    }
    notes->touched_count = 0;
}

void script_notes_clear(struct script_notes *notes) {
    forget_lines(notes);
    forget_counts(notes);
}

/* ------------------------------------------------------------------ taking notes */

static void add(struct script_notes *notes, struct note *note) {
    if (notes->last != NULL)
        notes->last->next = note;
    else
        notes->first = note;
    notes->last = note;
    notes->bytes += note->bytes;
}

/* With copies of the arguments. NULL: there is no room, or no memory. */
static struct note *note_with(struct script_notes *notes, enum note_kind kind, const struct bulk *arguments,
                              uint32_t count) {
    size_t bytes = sizeof(struct note) + count * sizeof(struct bulk);
    for (uint32_t i = 0; i < count; i++) bytes += arguments[i].length;
    struct note *note = bytes > BYTES_MOST - notes->bytes ? NULL : malloc(bytes);
    if (note == NULL) {
        notes->misses_some = true;
        return NULL;
    }
    *note = (struct note){.kind = kind, .count = count, .bytes = bytes};
    char *at = (char *)&note->arguments[count];
    for (uint32_t i = 0; i < count; i++) {
        note->arguments[i] = (struct bulk){.data = at, .length = arguments[i].length};
        memcpy(at, arguments[i].data, arguments[i].length);
        at += arguments[i].length;
    }
    add(notes, note);
    return note;
}

void script_notes_begin(struct script_notes *notes, const struct call *call) {
    if (!monitor_is_on() && notes->first == NULL) return; /* none is told from another by it yet */
    struct note *note = note_with(notes, NOTE_SCRIPT, call->arguments, monitor_is_on() ? call->count : 0);
    if (note != NULL) note->database = call->database;
}

void script_notes_call(struct script_notes *notes, const struct call *call, uint64_t nanoseconds,
                       const char *error_code) {
    struct tally *tally = &notes->tallies[call->command->id];
    if (tally->calls == 0) notes->touched[notes->touched_count++] = call->command;
    tally->calls++;
    tally->nanoseconds += nanoseconds;
    if (error_code != NULL) {
        uint32_t i = 0;
        while (i < tally->failure_count && strcmp(tally->failures[i].code, error_code) != 0) i++;
        if (i == CODES_MOST) i--; /* one code stands for those that nobody has thought of */
        if (i == tally->failure_count) {
            struct failure *failure = &tally->failures[tally->failure_count++];
            snprintf(failure->code, sizeof failure->code, "%s", error_code);
            failure->count = 0;
        }
        tally->failures[i].count++;
    }
    if (!monitor_is_on() || (call->command->flags & (COMMAND_SKIP_MONITOR | COMMAND_ADMIN)) != 0) return;
    struct note *note = note_with(notes, NOTE_CALL, call->arguments, call->count);
    if (note != NULL) note->database = call->database;
}

void script_notes_log(struct script_notes *notes, int level, const char *text, size_t length) {
    const struct bulk line = {.data = (char *)(uintptr_t)text, .length = length};
    struct note *note = note_with(notes, NOTE_LOG, &line, 1);
    if (note != NULL) note->level = level;
}

void script_notes_denial(struct script_notes *notes, struct user *user, int verdict,
                         const struct bulk *object) {
    struct note *note = note_with(notes, NOTE_DENIAL, object, 1);
    if (note == NULL) return;
    note->level = verdict;
    note->user = user_hold(user);
}

/* ------------------------------------------------------------------ publishing */

static void publish(const struct note *note, const struct execution *execution) {
    const char *origin = note->kind == NOTE_CALL ? "lua" : NULL;
    if (note->kind == NOTE_LOG)
        log_write((enum log_level)note->level, "%.*s", (int)note->arguments[0].length,
                  note->arguments[0].data);
    else if (note->kind == NOTE_DENIAL)
        script_denial_note(execution, note->user, (enum verdict)note->level, &note->arguments[0]);
    else if (note->count > 0 && monitor_is_on())
        monitor_feed(execution->task, note->database, origin, note->arguments, note->count, NULL);
}

void script_notes_publish_next(struct script_notes *notes, const struct execution *execution) {
    bool is_first = true;
    for (struct note *note; (note = notes->first) != NULL; is_first = false) {
        if (note->kind == NOTE_SCRIPT && !is_first) return;
        publish(note, execution);
        notes->first = note->next;
        if (notes->first == NULL) notes->last = NULL;
        notes->bytes -= note->bytes;
        note_free(note);
    }
    if (notes->misses_some)
        log_write(LOG_WARNING,
                  "A script had more lines for the log and for monitors than %zu MB: some are lost",
                  BYTES_MOST >> 20);
    notes->misses_some = false;
}

void script_notes_publish_counts(struct script_notes *notes, const struct execution *execution) {
    struct statistics *statistics = execution->dispatcher->statistics;
    for (uint32_t i = 0; i < notes->touched_count; i++) {
        const struct command *command = notes->touched[i];
        const struct tally *tally = &notes->tallies[command->id];
        statistics_count(statistics, command, tally->calls, tally->nanoseconds);
        for (uint32_t j = 0; j < tally->failure_count; j++) {
            statistics_count_failed(statistics, command, tally->failures[j].count);
            statistics_count_error(tally->failures[j].code, tally->failures[j].count);
        }
    }
    forget_counts(notes);
}
