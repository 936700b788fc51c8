/* A load by TLS: GETs of values of one length, in batches, by one thread; or handshakes, one after the other.
 * Prints one line of JSON.
 *
 *     build/release/bench/tls_load --port 7000 --authority FILE --pid N [--clients 50] [--pipeline 16]
 *         [--seconds 2] [--prefill] [--handshakes]
 *
 * The keys are 10,000, and their values 64 bytes; --prefill sets them first. --pid tells the CPU time of that
 * process over the measured time, from the scheduler's counters: per request, or per handshake. Handshakes
 * resume nothing; each is followed by one request, so that it is over on the other side as well. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEYS 10000
#define REQUEST "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012u\r\n"
#define REQUEST_LENGTH 36
#define VALUE_LENGTH 64
#define REPLY_LENGTH 71
#define PIPELINE_MOST 256
#define CLIENTS_MOST 1000
#define WARMUP_SECONDS 0.3
/* A server that says nothing for so long is taken for dead. */
#define SILENCE_SECONDS 20

struct client {
    int fd;
    SSL *ssl;
    size_t missing; /* bytes of replies */
};

static int port, clients_wanted = 50, pipeline = 1;
static pid_t pid;
static double seconds = 2;
static const char *authority;
static bool prefills, shakes;
static SSL_CTX *context;
static struct client clients[CLIENTS_MOST];
static unsigned seed = 1;

static void fail(const char *what) {
    fprintf(stderr, "tls_load: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Of all of the server's threads, in nanoseconds. */
static uint64_t server_cpu(void) {
    char path[320];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    if (!folder) fail(path);
    for (struct dirent *task; (task = readdir(folder));) {
        unsigned long long ran;
        if (task->d_name[0] == '.') continue; /* the process, whose first thread that would be again */
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, task->d_name);
        FILE *file = fopen(path, "re");
        if (!file) continue;
        if (fscanf(file, "%llu", &ran) == 1) sum += ran;
        fclose(file);
    }
    closedir(folder);
    return sum;
}

static void client_begin(struct client *client) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = SILENCE_SECONDS};
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("can't connect");
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    client->ssl = SSL_new(context);
    SSL_set_fd(client->ssl, client->fd);
    if (SSL_connect(client->ssl) != 1) fail("handshake");
    client->missing = 0;
}

static void client_end(struct client *client) {
    SSL_free(client->ssl);
    close(client->fd);
}

static void batch_send(struct client *client) {
    static char batch[PIPELINE_MOST * REQUEST_LENGTH + 1];
    for (int i = 0; i < pipeline; i++)
        snprintf(batch + i * REQUEST_LENGTH, REQUEST_LENGTH + 1, REQUEST, (unsigned)rand_r(&seed) % KEYS);
    if (SSL_write(client->ssl, batch, pipeline * REQUEST_LENGTH) != pipeline * REQUEST_LENGTH) fail("write");
    client->missing = (size_t)pipeline * REPLY_LENGTH;
}

/* Of the replies so many bytes more have come, of which the first is known. */
static void batch_receive(struct client *client) {
    static char bytes[65536];
    size_t whole = (size_t)pipeline * REPLY_LENGTH;
    do {
        size_t length = 0;
        if (SSL_read_ex(client->ssl, bytes, sizeof bytes, &length) != 1) fail("read");
        if (length > client->missing || (client->missing == whole && (bytes[0] != '$' || bytes[1] == '-'))) {
            fprintf(stderr, "tls_load: not the reply that was to be: %.40s\n", bytes);
            exit(1);
        }
        client->missing -= length;
    } while (client->missing > 0);
}

static void prefill(void) {
    struct client client;
    char request[160], value[VALUE_LENGTH + 1], reply[5];
    client_begin(&client);
    memset(value, 'v', VALUE_LENGTH);
    value[VALUE_LENGTH] = '\0';
    for (unsigned i = 0; i < KEYS; i++) {
        int length = snprintf(request, sizeof request, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012u\r\n$%d\r\n%s\r\n",
                              i, VALUE_LENGTH, value);
        size_t got = 0;
        if (SSL_write(client.ssl, request, length) != length ||
            SSL_read_ex(client.ssl, reply, sizeof reply, &got) != 1 || got != sizeof reply || reply[0] != '+')
            fail("prefill");
    }
    client_end(&client);
}

/* What is done over and over, and how often it was. */
static uint64_t gets(int epoll_fd) {
    struct epoll_event events[CLIENTS_MOST];
    int count = epoll_wait(epoll_fd, events, CLIENTS_MOST, SILENCE_SECONDS * 1000);
    if (count <= 0) fail("no answer");
    for (int i = 0; i < count; i++) {
        struct client *client = events[i].data.ptr;
        batch_receive(client);
        batch_send(client);
    }
    return (uint64_t)count * (uint64_t)pipeline;
}

static uint64_t handshake(int epoll_fd) {
    struct client client;
    (void)epoll_fd;
    client_begin(&client);
    batch_send(&client);
    batch_receive(&client);
    client_end(&client);
    return 1;
}

static void measure(void) {
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < clients_wanted && !shakes; i++) {
        client_begin(&clients[i]);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, clients[i].fd, &event) != 0) fail("epoll");
        batch_send(&clients[i]);
    }
    uint64_t (*step)(int) = shakes ? handshake : gets;
    for (double until = now() + WARMUP_SECONDS; now() < until;) step(epoll_fd);
    uint64_t count = 0, before = server_cpu();
    double began = now();
    do count += step(epoll_fd);
    while (now() < began + seconds);
    double took = now() - began, spent = (double)(server_cpu() - before);
    printf("{\"count\": %llu, \"per_second\": %.0f, \"server_ns\": %.1f, \"cipher\": \"%s\"}\n",
           (unsigned long long)count, (double)count / took, spent / (double)count,
           shakes ? "" : SSL_get_cipher_name(clients[0].ssl));
}

static void options_read(int argc, char **argv) {
    static const struct option names[] = {
        {"port", 1, NULL, 'p'},    {"authority", 1, NULL, 'a'},  {"pid", 1, NULL, 'i'},
        {"clients", 1, NULL, 'c'}, {"pipeline", 1, NULL, 'P'},   {"seconds", 1, NULL, 's'},
        {"prefill", 0, NULL, 'f'}, {"handshakes", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'a': authority = optarg; break;
        case 'i': pid = atoi(optarg); break;
        case 'c': clients_wanted = atoi(optarg); break;
        case 'P': pipeline = atoi(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'f': prefills = true; break;
        case 'h': shakes = true; break;
        default: exit(1);
        }
    }
    if (port > 0 && authority && pid > 0 && clients_wanted > 0 && clients_wanted <= CLIENTS_MOST &&
        pipeline > 0 && pipeline <= PIPELINE_MOST)
        return;
    fprintf(stderr, "tls_load: --port, --authority and --pid are needed; see its source\n");
    exit(1);
}

int main(int argc, char **argv) {
    options_read(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_load_verify_locations(context, authority, NULL) != 1) fail(authority);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(context, 1);
    if (prefills) prefill();
    measure();
}
