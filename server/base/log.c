/* The log: a line is put together on the writer's stack and handed to the kernel in one write, so
 * that lines of different threads never mix. A file is opened and closed per line: it can be moved
 * away at any time and nothing needs to be told. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Longer lines are cut; the longest we write are a client's description. */
#define LINE_SIZE 4096

static pthread_mutex_t path_mutex = PTHREAD_MUTEX_INITIALIZER;
static char path[PATH_MAX]; /* guarded by path_mutex; "" is standard output */
static _Atomic int least_level = LOG_NOTICE;

static int file_open(const char *file) {
    return open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

int log_open(const char *file) {
    if (strlen(file) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (*file) {
        int fd = file_open(file);
        if (fd < 0) return -1;
        close(fd);
    }
    pthread_mutex_lock(&path_mutex);
    memcpy(path, file, strlen(file) + 1);
    pthread_mutex_unlock(&path_mutex);
    return 0;
}

void log_level_set(enum log_level level) {
    atomic_store_explicit(&least_level, (int)level, memory_order_relaxed);
}

/* "PID:M 24 Nov 2026 08:00:00.000 * "; returns its length. */
static size_t line_begin(char *line, size_t size, enum log_level level) {
    static const char marks[] = {
        [LOG_DEBUG] = '.', [LOG_VERBOSE] = '-', [LOG_NOTICE] = '*', [LOG_WARNING] = '#'};
    struct timeval now;
    gettimeofday(&now, NULL);
    struct tm date;
    localtime_r(&now.tv_sec, &date);
    char text[64];
    strftime(text, sizeof text, "%d %b %Y %H:%M:%S", &date);
    int length = snprintf(line, size, "%d:M %s.%03d %c ", (int)getpid(), text, (int)(now.tv_usec / 1000),
                          marks[level]);
    return length > 0 ? (size_t)length : 0;
}

static void line_write(const char *line, size_t length) {
    char file[PATH_MAX];
    pthread_mutex_lock(&path_mutex);
    memcpy(file, path, strlen(path) + 1);
    pthread_mutex_unlock(&path_mutex);
    int fd = *file ? file_open(file) : STDOUT_FILENO;
    if (fd < 0) return; /* nowhere to complain */
    while (length > 0) {
        ssize_t written = write(fd, line, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) break;
        line += written;
        length -= (size_t)written;
    }
    if (*file) close(fd);
}

/* What a client sent may be part of the text, and a log is read by terminals and programs: it mustn't be able
 * to forge a line, nor to say to a terminal what that obeys. What isn't visible in ASCII is written as Redis
 * writes such bytes elsewhere. What has no room is left out, and room for the line's end stays. Returns the
 * line's length. */
static size_t append_visible(char line[LINE_SIZE], size_t length, const char *text, size_t text_length) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < text_length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= ' ' && byte <= '~') {
            if (length + 2 > LINE_SIZE) break;
            line[length++] = (char)byte;
            continue;
        }
        if (length + 5 > LINE_SIZE) break;
        line[length++] = '\\';
        if (byte == '\n' || byte == '\r' || byte == '\t') {
            line[length++] = byte == '\n' ? 'n' : byte == '\r' ? 'r' : 't';
        } else {
            line[length++] = 'x';
            line[length++] = digits[byte >> 4];
            line[length++] = digits[byte & 15];
        }
    }
    return length;
}

void log_write(enum log_level level, const char *format, ...) {
    if (level >= LOG_NOTHING || (int)level < atomic_load_explicit(&least_level, memory_order_relaxed)) return;
    int error = errno; /* callers log first and look at errno after */
    char line[LINE_SIZE], text[LINE_SIZE];
    size_t start = line_begin(line, sizeof line, level);
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t length = wanted > 0 ? (size_t)wanted : 0;
    if (length > sizeof text - 1) length = sizeof text - 1;
    length = append_visible(line, start, text, length);
    line[length] = '\n';
    line_write(line, length + 1);
    errno = error;
}
