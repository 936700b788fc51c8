/* The program: brings the parts up in order, waits for a signal or SHUTDOWN, and takes them down again. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shard/keyspace.h"
#include "server/acl/file.h"
#include "server/acl/users.h"
#include "server/broadcast/channels.h"
#include "server/broadcast/notify.h"
#include "server/client/client_limit.h"
#include "server/client/listeners.h"
#include "server/client/serve.h"
#include "server/base/clock.h"
#include "server/command/command_table.h"
#include "server/commands/commands.h"
#include "server/config/config.h"
#include "server/run/slow_script.h"
#include "server/run/hold.h"
#include "server/interest/blocking.h"
#include "server/interest/tracking.h"
#include "server/interest/watch.h"
#include "server/run/maxmemory.h"
#include "server/net/listen.h"
#include "server/net/tls.h"
#include "server/base/log.h"
#include "server/base/process.h"
#include "server/worker/worker.h"

/* How long clients may take to read what they are owed when a signal ends the server. */
#define SHARDS_PER_WORKER 256
#define SHARDS_MOST 65536

/* shards as configured, or as many as fit the workers; a power of two. */
static uint32_t shards_choose(uint32_t workers) {
    int64_t wanted = atomic_load_explicit(&config.shards, memory_order_relaxed);
    if (wanted <= 0) wanted = (int64_t)workers * SHARDS_PER_WORKER;
    uint32_t shards = 1;
    while (shards < wanted && shards < SHARDS_MOST) shards *= 2;
    return shards;
}

static uint32_t long_threads(void) {
    return (uint32_t)atomic_load_explicit(&config.long_threads, memory_order_relaxed);
}

static struct keyspace *keyspace_start(uint32_t workers) {
    struct keyspace_options options = {
        .shards = shards_choose(workers),
        .databases = (uint32_t)atomic_load_explicit(&config.databases, memory_order_relaxed),
        .lanes = workers + long_threads() + 8,
    };
    struct keyspace *keyspace = keyspace_open(&options);
    if (!keyspace)
        log_write(LOG_WARNING, "Can't open a keyspace of %u shards: %s", options.shards, strerror(errno));
    else
        log_write(LOG_NOTICE, "Keyspace: %u shards, %u databases", options.shards, options.databases);
    return keyspace;
}

/* ------------------------------------------------------------------ bind and ports, while the server runs */

static struct listening *present; /* what is listened on; changed under the configuration's lock only */
static char present_words[4096];  /* `bind` */

static bool listen_on(const char *words) {
    int dropped[LISTEN_MOST];
    uint32_t dropped_count = 0;
    struct listen_ports ports = listen_ports();
    bool is_done = listen_change(present, words, ports, dropped, &dropped_count);
    /* If it isn't done, workers may have seen sockets shut down that listen again by now. */
    if (!listeners_change(present, dropped, dropped_count)) {
        log_write(LOG_WARNING,
                  "Out of memory: workers can't be told what to listen on. Set 'port' or 'bind' again.");
        return false;
    }
    if (is_done && ports.tls == 0)
        log_write(LOG_NOTICE, "Listening on '%s', port %d", words, ports.tcp);
    else if (is_done)
        log_write(LOG_NOTICE, "Listening on '%s', port %d, and by TLS on port %d", words, ports.tcp,
                  ports.tls);
    return is_done;
}

static bool on_bind_set(const char *words) {
    if (!listen_on(words)) return false;
    snprintf(present_words, sizeof present_words, "%s", words);
    return true;
}

static bool on_port_set(const char *port) {
    (void)port; /* it has its field already */
    return listen_on(present_words);
}

static void listening_may_change(struct listening *listening) {
    present = listening;
    config_text("bind", present_words, sizeof present_words);
    config_on_set("bind", on_bind_set, "Failed to bind to specified addresses.");
    config_on_set("port", on_port_set, "Unable to listen on this port. Check server logs.");
    tls_may_change();
    config_on_set("tls-port", on_port_set, "Unable to listen on this port. Check server logs.");
}

/* The signals that end the server are taken by the main thread when it asks for them, and by nobody else. */
static void signals_block(sigset_t *ending) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(ending);
    sigaddset(ending, SIGTERM);
    sigaddset(ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, ending, NULL);
}

static void leave_at_once(int signal_number) {
    (void)signal_number;
    _exit(1);
}

/* From now on a signal doesn't wait for anything. */
static void signals_release(const sigset_t *ending) {
    struct sigaction action = {.sa_handler = leave_at_once};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, ending, NULL);
}

/* Until a signal comes, or somebody has asked for it (SHUTDOWN). */
static void wait_for_end(int signals) {
    struct pollfd watched[2] = {{.fd = signals, .events = POLLIN},
                                {.fd = workers_stopping_fd(), .events = POLLIN}};
    while (poll(watched, 2, -1) < 0 && errno == EINTR) continue;
    struct signalfd_siginfo info;
    if ((watched[0].revents & POLLIN) && read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        log_write(LOG_NOTICE, "Received %s scheduling shutdown...",
                  info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

/* Whether systemd waits to be told that the server is ready (Type=notify), and `supervised` lets us tell
 * it. */
static bool is_supervised(void) {
    int mode = atomic_load_explicit(&config.supervised, memory_order_relaxed);
    return (mode == SUPERVISED_SYSTEMD || mode == SUPERVISED_AUTO) && getenv("NOTIFY_SOCKET") != NULL;
}

/* sd_notify(3): a datagram to the socket that the environment names, whose first letter is @ if it has no
 * file. */
static void supervisor_tell(const char *text) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *name = getenv("NOTIFY_SOCKET");
    if (!is_supervised() || name == NULL || strlen(name) >= sizeof address.sun_path) return;
    memcpy(address.sun_path, name, strlen(name));
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    if (*name == '@') address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0)
        log_write(LOG_WARNING, "Can't tell the supervisor at %s: %s", name, strerror(errno));
    if (fd >= 0) close(fd);
}

enum served { SERVED_NOT, SERVED, SERVED_CUT_SHORT /* a thread is still running */ };

static enum served serve(struct listening *listening) {
    sigset_t ending;
    signals_block(&ending);
    int signals = signalfd(-1, &ending, SFD_CLOEXEC);
    uint32_t workers = (uint32_t)atomic_load_explicit(&config.threads, memory_order_relaxed);
    struct keyspace *keyspace = keyspace_start(workers);
    if (signals < 0 || !keyspace) return SERVED_NOT;
    limit_start(keyspace);
    client_limit_start();
    if (!interest_start(keyspace) || !slow_scripts_start(keyspace) || !channels_start()) return SERVED_NOT;
    notify_start(keyspace);
    blocking_start(keyspace);
    watch_start(keyspace);
    if (!tracking_start(keyspace, workers)) return SERVED_NOT;
    if (!users_start(workers + long_threads()) || !users_load_at_start()) return SERVED_NOT;
    listening_may_change(listening);
    if (!serve_start(keyspace, workers, long_threads(), listening)) return SERVED_NOT;
    process_is_ready();
    log_write(LOG_NOTICE, "Ready to accept connections");
    supervisor_tell("READY=1\nSTATUS=Ready to accept connections\n");
    wait_for_end(signals);
    signals_release(&ending);
    log_write(LOG_NOTICE, "User requested shutdown...");
    supervisor_tell("STOPPING=1\n");
    hold_end_all();
    workers_stop(workers_patience_ms());
    if (!workers_await_end()) {
        log_write(LOG_WARNING,
                  "A command takes longer than is waited for (shutdown-timeout); it is left undone.");
        workers_abandon();
        return SERVED_CUT_SHORT;
    }
    workers_join();
    blocking_stop();
    users_stop();
    interest_stop();
    watch_stop();
    tracking_stop();
    slow_scripts_stop();
    keyspace_close(keyspace);
    close(signals);
    return SERVED;
}

int main(int argc, char **argv) {
    tls_count_memory();
    if (!config_load(argc, argv)) return 1;
    /* A supervisor watches the process that it has started. */
    if (!is_supervised() && !config_daemonize()) {
        log_write(LOG_WARNING, "Can't go to the background: %s", strerror(errno));
        return 1;
    }
    clock_init();
    process_init();
    commands_register();
    if (!config_each_rename(commands_rename)) return 1;
    log_write(LOG_NOTICE, "Latchkey %s, process %d, starts", LATCHKEY_VERSION, (int)getpid());
    if (atomic_load(&config.tls_port) != 0 && !tls_start()) {
        log_write(LOG_WARNING, "Failed to configure TLS, exiting. The lines above say why.");
        return 1;
    }
    struct listening listening;
    if (!listen_open(&listening)) return 1;
    if (!config_pidfile_write()) log_write(LOG_WARNING, "Can't write the pidfile: %s", strerror(errno));
    enum served served = serve(&listening);
    listen_close(&listening);
    tls_stop();
    config_pidfile_remove();
    if (served != SERVED_NOT) log_write(LOG_NOTICE, "Latchkey is now ready to exit, bye bye...");
    if (served == SERVED_CUT_SHORT) _exit(0);
    return served == SERVED ? 0 : 1;
}
