#include "probe.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support.h"

#define OPEN_MS 20000
#define PACE_MS 3
#define LIST_PACE_MS 250
#define LIST_MS 30000
#define LIST_BYTES ((size_t)4 << 20)
/* A complaint is made in time; but whether the answer comes at all, is worth knowing. */
#define PATIENCE_MS 10000

static void pace(int milliseconds) {
    struct timespec time = {.tv_sec = 0, .tv_nsec = milliseconds * 1000000L};
    nanosleep(&time, NULL);
}

static bool is_hold(const struct wire *wire, const char *key, double seconds, char *answer, size_t size) {
    struct text request = {NULL, 0, 0};
    text_request(&request, "DEBUG HOLD %s %.1f", key, seconds);
    bool is_answered = wire_ask(wire, &request, answer, size, OPEN_MS);
    text_free(&request);
    return is_answered && answer[0] == '+';
}

/* Tells all holds to end, and waits until a slow key's shard is seen to be free. */
static void release_all(struct probe *probe) {
    char answer[128];
    wire_say(&probe->wire, "DEBUG RELEASE");
    wire_finish(&probe->wire, OPEN_MS);
    for (const char *const *key = storm_slow_keys; *key != NULL; key++)
        while (!is_hold(&probe->wire, *key, 0, answer, sizeof answer) && strncmp(answer, "-BUSY", 5) == 0)
            pace(1);
}

/* Whose shard is free while all the slow ones are held. */
static bool find_key(struct probe *probe) {
    char answer[128];
    bool is_found = false;
    for (const char *const *key = storm_slow_keys; *key != NULL; key++)
        is_hold(&probe->wire, *key, 600, answer, sizeof answer);
    for (int i = 0; i < 1000 && !is_found; i++) {
        snprintf(probe->key, sizeof probe->key, "probe:%u:%d", probe->worker, i);
        is_found = is_hold(&probe->wire, probe->key, 0, answer, sizeof answer);
    }
    release_all(probe);
    return is_found;
}

void probe_open(struct probe *probe, struct storm *storm, uint32_t worker) {
    *probe =
        (struct probe){.storm = storm, .worker = worker, .state = worker + 1, .limit_us = OPEN_MS * 1000LL};
    if (!storm_open_on(storm, &probe->wire, worker, OPEN_MS))
        storm_complain(storm, "no connection is to be had on worker %u", worker);
    else if (!find_key(probe))
        storm_complain(storm, "no key is to be had for worker %u", worker);
    else
        wire_say(&probe->wire, "CLIENT NO-EVICT ON");
    wire_finish(&probe->wire, OPEN_MS);
}

static const char *write_request(struct probe *probe, struct text *text) {
    text_clear(text);
    switch (probe->state++ % 8) {
    case 0: text_request(text, "PING"); return "PING";
    case 1: text_request_with(text, 100, "SET %s", probe->key); return "SET";
    case 2: text_request(text, "INFO stats"); return "INFO";
    case 3: text_request(text, "APPEND %s x", probe->key); return "APPEND";
    case 4: text_request(text, "DEL %s", probe->key); return "DEL";
    case 5: text_request(text, "INCR %s", probe->key); return "INCR";
    default: text_request(text, "GET %s", probe->key); return "GET";
    }
}

/* ------------------------------------------------------------------ what the machine keeps others from */

#define PULSE_MS 10

/* For how long a thread that could have run has not been let run, by /proc's schedstat: its second number. */
static int64_t read_delay_us(const char *path) {
    FILE *file = fopen(path, "r");
    unsigned long long ran = 0, waited = 0;
    if (file == NULL) return 0; /* the thread has ended */
    int found = fscanf(file, "%llu %llu", &ran, &waited);
    fclose(file);
    return found == 2 ? (int64_t)(waited / 1000) : 0;
}

/* Adds the most that one of the server's threads has been delayed since the last time. */
static void pulse_beat(struct pulse *pulse) {
    char folder[64], path[384];
    snprintf(folder, sizeof folder, "/proc/%d/task", (int)pulse->server);
    int64_t most = 0;
    DIR *threads = opendir(folder);
    if (threads == NULL) return;
    pthread_mutex_lock(&pulse->mutex);
    for (struct dirent *entry; (entry = readdir(threads)) != NULL;) {
        unsigned long number = strtoul(entry->d_name, NULL, 10);
        if (number == 0) continue;
        snprintf(path, sizeof path, "%s/%s/schedstat", folder, entry->d_name);
        int64_t delay = read_delay_us(path), *known = NULL;
        for (uint32_t i = 0; i < pulse->count && known == NULL; i++)
            if (pulse->threads[i] == number) known = &pulse->delays[i];
        if (known != NULL) {
            most = delay - *known > most ? delay - *known : most;
            *known = delay;
        } else if (pulse->count < PULSE_THREADS_MOST) {
            pulse->threads[pulse->count] = number;
            pulse->delays[pulse->count++] = delay;
        }
    }
    pulse->lost_us += most;
    pthread_mutex_unlock(&pulse->mutex);
    closedir(threads);
}

/* What of a wait is the machine's. The pulse adds up the worst of all threads, and a server that spins or is
 * hung beside busy neighbours is as delayed as an honest one: a quarter of any wait is the server's own. */
static int64_t excuse(int64_t lost_us, int64_t waited_us) {
    int64_t most = waited_us / 4 * 3;
    return lost_us < most ? lost_us : most;
}

int64_t pulse_lost_us(struct pulse *pulse) {
    pulse_beat(pulse);
    pthread_mutex_lock(&pulse->mutex);
    int64_t lost = pulse->lost_us;
    pthread_mutex_unlock(&pulse->mutex);
    return lost;
}

static void *pulse_run(void *argument) {
    struct storm *storm = argument;
    while (!atomic_load(&storm->is_over)) {
        pulse_beat(&storm->pulse);
        pace(PULSE_MS);
    }
    return NULL;
}

void pulse_begin(struct storm *storm, pthread_t *thread) {
    if (pthread_create(thread, NULL, pulse_run, storm) != 0) abort();
}

/* ------------------------------------------------------------------ probes */

/* How long it took beyond what is excused; negative: no answer came, and the connection is what is wrong. */
static int64_t probe_once(struct probe *probe, struct text *text, const char *name) {
    char answer[256];
    int64_t own = read_delay_us("/proc/thread-self/schedstat"), lost = pulse_lost_us(&probe->storm->pulse);
    int64_t sent = now_us(), limit = probe->limit_us;
    int milliseconds = (int)(limit / 1000) + PATIENCE_MS + 1000;
    bool is_answered = wire_ask(&probe->wire, text, answer, sizeof answer, milliseconds);
    int64_t ended = now_us(), excused = atomic_load(&probe->storm->excused_until);
    int64_t took = ended - (excused > sent ? (excused < ended ? excused : ended) : sent);
    if (took > limit) {
        took -= excuse(pulse_lost_us(&probe->storm->pulse) - lost +
                           read_delay_us("/proc/thread-self/schedstat") - own,
                       took);
    }
    if (is_answered && took <= limit) return took > 0 ? took : 0;
    if (!is_answered && ended - sent < milliseconds * 900LL) {
        storm_complain(probe->storm, "worker %u closed the connection of its probe at %s", probe->worker,
                       name);
    } else {
        storm_complain(probe->storm,
                       "worker %u answered %s %s %.1f s, %.1f s more than may be (it was sent at %.1f s)",
                       probe->worker, name, is_answered ? "after" : "not within", (double)took / 1e6,
                       (double)(took - limit) / 1e6, (double)(sent % 1000000000) / 1e6);
    }
    return -1;
}

bool probe_some(struct probe *probe, uint64_t count) {
    struct text text = {NULL, 0, 0};
    bool is_fine = true;
    for (uint64_t i = 0; i < count && is_fine; i++) {
        const char *name = write_request(probe, &text);
        int64_t took = probe_once(probe, &text, name);
        is_fine = took >= 0;
        if (took > probe->slowest_us) probe->slowest_us = took;
        probe->count++;
    }
    text_free(&text);
    return is_fine;
}

static void *probe_run(void *argument) {
    struct probe *probe = argument;
    while (!atomic_load(&probe->storm->is_over) && probe_some(probe, 1)) pace(PACE_MS);
    return NULL;
}

void probe_begin(struct probe *probe) {
    probe->slowest_us = 0;
    if (pthread_create(&probe->thread, NULL, probe_run, probe) != 0) abort();
}

void probe_end(struct probe *probe) {
    pthread_join(probe->thread, NULL);
}

/* ------------------------------------------------------------------ census */

/* The line of that client, or NULL. */
static const char *find_line(const char *list, uint64_t id) {
    char start[32];
    snprintf(start, sizeof start, "\nid=%llu ", (unsigned long long)id);
    return strstr(list, start);
}

/* Who should have gone by the time that the list was asked for is gone from it; else it is looked at once
 * more: a worker sees ends of connections after it has told who is there. */
static void look_for_departed(struct census *census, const char *list, int64_t asked) {
    struct storm *storm = census->storm;
    int64_t lost = pulse_lost_us(&storm->pulse);
    char found[512] = "";
    double since = 0;
    const char *act = NULL;
    pthread_mutex_lock(&storm->mutex);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < storm->departed_count; i++) {
        struct departed *departed = &storm->departed[i];
        const char *line = find_line(list, departed->id);
        if (line == NULL && departed->at < asked) {
            census->seen_off++;
            continue;
        }
        int64_t since_us = asked - departed->at;
        since_us -= excuse(lost - departed->lost_us, since_us);
        if (line != NULL && since_us > census->limit_us && departed->sightings++ > 0 && found[0] == '\0') {
            snprintf(found, sizeof found, "%.*s", (int)strcspn(line + 1, "\r\n"), line + 1);
            since = (double)since_us / 1e6;
            act = departed->act;
        }
        storm->departed[kept++] = *departed;
    }
    storm->departed_count = kept;
    pthread_mutex_unlock(&storm->mutex);
    if (found[0] != '\0')
        storm_complain(storm, "gone for %.1f s (%s), and still listed: %s", since, act == NULL ? "-" : act,
                       found);
}

static void *census_run(void *argument) {
    struct census *census = argument;
    struct text request = {NULL, 0, 0};
    char *list = malloc(LIST_BYTES);
    if (list == NULL) abort();
    text_request(&request, "CLIENT LIST");
    while (!atomic_load(&census->storm->is_over)) {
        int64_t asked = now_us();
        if (!wire_ask(&census->wire, &request, list, LIST_BYTES, LIST_MS)) {
            storm_complain(census->storm, "CLIENT LIST is not answered, %.1f s after it was asked for",
                           (double)(now_us() - asked) / 1e6);
            break;
        }
        census->lists++;
        look_for_departed(census, list, asked);
        pace(LIST_PACE_MS);
    }
    free(list);
    text_free(&request);
    return NULL;
}

void census_begin(struct census *census) {
    if (!wire_open(&census->wire, census->storm->port, OPEN_MS))
        storm_complain(census->storm, "no connection is to be had");
    else if (pthread_create(&census->thread, NULL, census_run, census) != 0)
        abort();
}

void census_end(struct census *census) {
    if (census->wire.fd < 0) return;
    pthread_join(census->thread, NULL);
    wire_close(&census->wire);
}
