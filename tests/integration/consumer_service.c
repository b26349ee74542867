/* A service as an application would write it, that checks what libconfcast promises while
 * test_consumer.py swaps its config under it: four reader threads see one content per section, the
 * change callback sees old and new, the validator's no is kept.
 *
 *     consumer_service FLEET CREDENTIAL INTERFACE STATE_DIR SCOPE
 *     consumer_service AGENT_SOCKET SCOPE
 *
 * The config is {"generation": g, "keys": {"k0": 1000 * g, "k1": 1000 * g + 1, ...}}; one with
 * "poison" is refused.  Prints a line of JSON when something has changed, looking every 20 ms, and
 * one at the end (SIGTERM), with what was seen; exits 1 if anything was wrong. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "confcast/confcast.h"

enum {
    READERS = 4,
    KEYS = 32,
    LOOK_MS = 20
};

static struct confcast_key keys[KEYS];
static char pointers[KEYS][16];
static atomic_bool is_ending;
static atomic_uint_fast64_t sections; /* reader sections that saw a config */
static atomic_uint_fast64_t mixed;    /* ... that saw two */
static atomic_uint_fast64_t fallen;   /* ... an older version than before */
static atomic_uint_fast64_t changes;
static atomic_uint_fast64_t odd_changes; /* that were wrong about old or new */
static atomic_uint_fast64_t validations;
static atomic_uint_fast64_t refusals;

/* Reads every key of one section; whether they belong together. */
static bool
is_whole(const struct confcast_view *view)
{
    int64_t generation = confcast_get_i64(view, CONFCAST_KEY("/generation"), -1, NULL);
    bool is_fine = generation >= 0;

    for (int i = 0; i < KEYS; i++) {
        is_fine = is_fine && confcast_get_i64(view, &keys[i], -1, NULL) == generation * 1000 + i;
    }
    return is_fine;
}

/* One reader: a thousand sections, then a breath, since others need the machine too. */
static void *
read_on(void *arg)
{
    const struct timespec breath = {.tv_nsec = 1000000};
    struct confcast_scope *scope = arg;
    uint64_t last_version = 0;

    for (unsigned n = 1; !atomic_load_explicit(&is_ending, memory_order_relaxed); n++) {
        const struct confcast_view *view;

        if (n % 1000 == 0) {
            nanosleep(&breath, NULL);
        }
        confcast_read_lock();
        view = confcast_view(scope);
        if (view != NULL) {
            atomic_fetch_add_explicit(&sections, 1, memory_order_relaxed);
            if (!is_whole(view)) {
                atomic_fetch_add(&mixed, 1);
            }
            if (confcast_view_version(view) < last_version) {
                atomic_fetch_add(&fallen, 1);
            }
            last_version = confcast_view_version(view);
        }
        confcast_read_unlock();
    }
    return NULL;
}

static int
validate(void *arg, struct confcast_scope *scope, const struct confcast_view *candidate)
{
    bool is_poison = confcast_get(candidate, CONFCAST_KEY("/poison")).view != NULL;

    (void)arg;
    (void)scope;
    atomic_fetch_add(&validations, 1);
    atomic_fetch_add(&refusals, is_poison);
    return is_poison;
}

static void
note_change(void *arg, struct confcast_scope *scope, const struct confcast_view *before,
            const struct confcast_view *after)
{
    static uint8_t
        last[32]; /* content of the change before: the library makes one call at a time */
    bool is_first = atomic_fetch_add(&changes, 1) == 0;
    bool is_fine = is_whole(after) && confcast_view(scope) == after;

    (void)arg;
    if (is_first) {
        is_fine = is_fine && before == NULL;
    } else {
        is_fine = is_fine && before != NULL && is_whole(before) &&
                  memcmp(confcast_view_content(before), last, sizeof(last)) == 0 &&
                  memcmp(confcast_view_content(after), last, sizeof(last)) != 0 &&
                  confcast_view_version(before) < confcast_view_version(after);
    }
    memcpy(last, confcast_view_content(after), sizeof(last));
    atomic_fetch_add(&odd_changes, !is_fine);
}

static void
print_log(void *arg, int level, const char *line)
{
    (void)arg;
    fprintf(stderr, "%d %s\n", level, line);
}

/* What the scope says, without what the readers counted. */
static void
describe(struct confcast *client, struct confcast_scope *scope, char *text, size_t size)
{
    static const char *const sources[] = {"none", "network", "disk", "agent"};
    struct confcast_status status = {.size = sizeof(status)};
    struct confcast_stats stats = {.size = sizeof(stats)};
    int64_t generation;
    uint64_t refused = 0;

    confcast_status(scope, &status);
    confcast_stats(client, &stats);
    confcast_read_lock();
    generation = confcast_get_i64(confcast_view(scope), CONFCAST_KEY("/generation"), -1, NULL);
    confcast_read_unlock();
    for (size_t i = 0; i < sizeof(stats.refused) / sizeof(stats.refused[0]); i++) {
        refused += stats.refused[i];
    }
    snprintf(text, size,
             "\"generation\":%" PRId64 ",\"accepted\":%" PRIu64 ",\"serving\":%" PRIu64
             ",\"durable\":%" PRIu64 ",\"state\":%d,\"source\":\"%s\",\"reason\":\"%s\","
             "\"stale\":%s,\"datagrams\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"short\":%" PRIu64
             ",\"rollback\":%" PRIu64 ",\"signature\":%" PRIu64 ",\"version\":%" PRIu64,
             generation, status.accepted, status.serving, status.durable, (int)status.state,
             sources[status.source], confcast_error_word(status.reason),
             status.is_stale ? "true" : "false", stats.datagrams, refused,
             stats.refused[-CONFCAST_ERR_SHORT], stats.refused[-CONFCAST_ERR_ROLLBACK],
             stats.refused[-CONFCAST_ERR_SIGNATURE], stats.refused[-CONFCAST_ERR_VERSION]);
}

static void
print(const char *description)
{
    printf("{%s,\"sections\":%" PRIuFAST64 ",\"mixed\":%" PRIuFAST64 ",\"fallen\":%" PRIuFAST64
           ",\"changes\":%" PRIuFAST64 ",\"odd_changes\":%" PRIuFAST64
           ",\"validations\":%" PRIuFAST64 ",\"refusals\":%" PRIuFAST64 "}\n",
           description, atomic_load(&sections), atomic_load(&mixed), atomic_load(&fallen),
           atomic_load(&changes), atomic_load(&odd_changes), atomic_load(&validations),
           atomic_load(&refusals));
    fflush(stdout);
}

/* Prints what changes until a signal comes. */
static void
report(struct confcast *client, struct confcast_scope *scope, const sigset_t *signals)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
    char description[1024];
    char last[1024] = "";

    do {
        describe(client, scope, description, sizeof(description));
        if (strcmp(description, last) != 0) {
            print(description);
            memcpy(last, description, sizeof(last));
        }
    } while (sigtimedwait(signals, NULL, &look) < 0);
}

static void
print_last(struct confcast *client, struct confcast_scope *scope)
{
    char description[1024];

    describe(client, scope, description, sizeof(description));
    print(description);
}

static bool
is_fine(void)
{
    return atomic_load(&mixed) == 0 && atomic_load(&fallen) == 0 && atomic_load(&odd_changes) == 0;
}

int
main(int argc, char **argv)
{
    struct confcast_options options = CONFCAST_OPTIONS_INIT;
    struct confcast_scope_options watch = CONFCAST_SCOPE_OPTIONS_INIT;
    pthread_t readers[READERS];
    struct confcast *client;
    struct confcast_scope *scope;
    sigset_t signals;
    int error;

    if (argc == 6) {
        options.fleet_path = argv[1];
        options.credential_path = argv[2];
        options.interface = argv[3];
        options.state_dir = argv[4];
    } else if (argc == 3) {
        options.agent_path = argv[1];
    } else {
        fprintf(stderr, "usage: consumer_service FLEET CREDENTIAL INTERFACE STATE_DIR SCOPE\n"
                        "       consumer_service AGENT_SOCKET SCOPE\n");
        return 3;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    for (int i = 0; i < KEYS; i++) {
        snprintf(pointers[i], sizeof(pointers[i]), "/keys/k%d", i);
        confcast_key_init(&keys[i], pointers[i]);
    }
    options.log = print_log;
    watch.change = note_change;
    watch.validate = validate;
    error = confcast_open(&options, &client);
    if (error == CONFCAST_OK) {
        error = confcast_subscribe(client, argv[argc - 1], &watch, &scope);
    }
    if (error != CONFCAST_OK) {
        fprintf(stderr, "consumer_service: %s\n", confcast_error_text(error));
        return 2;
    }
    for (int i = 0; i < READERS; i++) {
        if (pthread_create(&readers[i], NULL, read_on, scope) != 0) {
            return 2;
        }
    }
    report(client, scope, &signals);
    atomic_store(&is_ending, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    print_last(client, scope);
    confcast_close(client);
    return is_fine() ? 0 : 1;
}
