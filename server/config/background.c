/* Life in the background: `daemonize` and `pidfile`. */
#include "config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

bool config_daemonize(void) {
    if (!atomic_load_explicit(&config.daemonize, memory_order_relaxed)) return true;
    fflush(NULL); /* or the child would write it again */
    pid_t child = fork();
    if (child < 0) return false;
    if (child > 0) _exit(0);
    if (setsid() < 0) return false;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nowhere < 0) return false;
    bool is_fine = dup2(nowhere, STDIN_FILENO) >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0 &&
                   dup2(nowhere, STDERR_FILENO) >= 0;
    if (nowhere > STDERR_FILENO) close(nowhere);
    return is_fine;
}

bool config_pidfile_write(void) {
    char path[PATH_MAX];
    if (config_text("pidfile", path, sizeof path) == 0) return true;
    FILE *file = fopen(path, "we");
    if (!file) return false;
    bool is_written = fprintf(file, "%d\n", (int)getpid()) > 0;
    return fclose(file) == 0 && is_written;
}

void config_pidfile_remove(void) {
    char path[PATH_MAX];
    if (config_text("pidfile", path, sizeof path) > 0) unlink(path);
}
