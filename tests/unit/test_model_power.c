/* Power is lost at every sync of a random history, and whenever a change was acknowledged: the
 * service opens what survived, every change that was acknowledged is there, and of the others a
 * prefix, none of them half done.  On RocksDB, with changes that share syncs. */
#include <pthread.h>
#include <sys/syscall.h>

#include "protocol/base/prng.h"
#include "tests/unit/model_dump.h"
#include "tests/unit/model_fixture.h"
#include "tests/unit/power_disk.h"
#include "tests/unit/temp_dir.h"

enum {
    STEP_COUNT = 40,
    CUTS_MAX = 400,
    GROUP_MAX = 4, /* changes that wait for one sync */
    SEED_COUNT = 2,
};

/* One moment at which power is lost. */
struct cut {
    char path[300];
    int acknowledged; /* changes that somebody was told of */
    int staged;       /* changes that were made, and one that was under way */
};

static pthread_mutex_t history_lock = PTHREAD_MUTEX_INITIALIZER;
static struct power_disk disk; /* root NULL = syncs are those of the system */
static struct temp_dir cuts_dir;
static struct cut cuts[CUTS_MAX];
static int cut_count;
static int acknowledged;
static int staged;
static struct cfc_prng torn;         /* how much of what was not synced survives */
static char *states[STEP_COUNT + 1]; /* after so many changes */

/* Before a sync takes effect, and when somebody has just been told. */
static void
cut_here(void)
{
    struct cut *cut = &cuts[cut_count];
    uint64_t choice = cfc_prng_next(&torn);
    /* Nothing of it, a part, all of it: the disk may have written as far as it liked. */
    uint32_t keep_ppm = choice % 3 == 0 ? 0 : choice % 3 == 1 ? (choice >> 8) % 1000000 : 1000000;

    assert(cut_count < CUTS_MAX);
    snprintf(cut->path, sizeof(cut->path), "%s/%d", cuts_dir.path, cut_count);
    mkdir(cut->path, 0700);
    cut->acknowledged = acknowledged;
    cut->staged = staged;
    power_lost(&disk, cut->path, keep_ppm, (choice >> 4) % 2 == 0);
    cut_count++;
}

static int
sync_by(long number, int fd)
{
    int result;

    pthread_mutex_lock(&history_lock);
    if (disk.root != NULL) {
        cut_here();
    }
    result = (int)syscall(number, fd);
    if (disk.root != NULL && result == 0) {
        power_synced(&disk, fd);
    }
    pthread_mutex_unlock(&history_lock);
    return result;
}

/* The engine finds these before those of libc. */
int
fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

static int
open_on(struct model *m, const char *path)
{
    struct cfc_store_rocksdb_config store = {.path = path};
    struct cfc_service_config config = {.shares_syncs = true};
    int error;

    memset(m, 0, sizeof(*m));
    m->now = T0;
    error = cfc_store_rocksdb_open(&store, &m->store);
    if (error == CONFCAST_OK) {
        error = cfc_service_open(m->store, &config, &m->service);
        if (error != CONFCAST_OK) {
            cfc_store_close(m->store);
        }
    }
    return error;
}

/* Without versions: those rise with the epochs that openings take. */
static char *
state_of(struct model *m)
{
    char *state = dump(m->service, false);
    char *audit = dump_audit(m->service);
    char *text = NULL;

    CU_ASSERT_FATAL(asprintf(&text, "%s%s", state, audit) >= 0);
    free(state);
    free(audit);
    return text;
}

/* A change of any kind; what is refused is none. */
static int
change(struct model *m, struct cfc_prng *prng)
{
    static const char *const scopes[] = {"acme", "acme/shop", "acme/mail"};
    static const char *const layers[] = {"acme/mail", "acme/shop"};
    static char text[CFC_STORE_BLOB_CHUNK_SIZE + 4096];
    const char *scope = scopes[cfc_prng_below(prng, 3)];
    uint64_t number = cfc_prng_next(prng) % 1000;

    switch (cfc_prng_below(prng, 9)) {
    case 0:
        /* By way of a blob of two pieces. */
        memset(text, 'x', sizeof(text));
        snprintf(text, sizeof(text), "{\"n\":%03u,\"a\":\"", (unsigned)number);
        text[strlen(text)] = 'x';
        memcpy(text + sizeof(text) - 3, "\"}", 3);
        return put_text(m, scope, text);
    case 1:
    case 2:
        snprintf(text, sizeof(text), "{\"n\":%u}", (unsigned)number);
        return put_text(m, scope, text);
    case 3:
    case 4:
        return promote(m, scope);
    case 5:
        return canary(m, scope, "stages:10%,20%");
    case 6:
        return act(m, scope, CFC_ACTION_ROLLBACK);
    case 7:
        return number % 2 == 0 ? delete_scope(m, scope) : act(m, scope, CFC_ACTION_ADVANCE);
    default:
        return set_layers(m, "acme/shop", layers, 1 + number % 2);
    }
}

/* The next change that is not refused. */
static void
take_step(struct model *m, struct cfc_prng *prng)
{
    char *state;

    pthread_mutex_lock(&history_lock);
    staged++; /* from now on it may be there */
    pthread_mutex_unlock(&history_lock);
    while (change(m, prng) != CONFCAST_OK) {
    }
    state = state_of(m);
    CU_ASSERT_PTR_NULL_FATAL(states[staged]);
    states[staged] = state;
}

static void
live_through(const char *path, uint64_t seed)
{
    struct cfc_prng prng = {.state = seed};
    struct model m;
    int step = 0;

    CU_ASSERT_EQUAL_FATAL(open_on(&m, path), CONFCAST_OK);
    states[0] = state_of(&m);
    while (step < STEP_COUNT) {
        int group = 1 + (int)cfc_prng_below(&prng, GROUP_MAX);
        struct cfc_mark mark;

        cfc_service_mark_begin(m.service, &mark);
        for (; group > 0 && step < STEP_COUNT; group--) {
            take_step(&m, &prng);
            step++;
        }
        cfc_service_mark_end(m.service, &mark);
        CU_ASSERT_EQUAL_FATAL(cfc_service_wait_durable(m.service, &mark), CONFCAST_OK);
        pthread_mutex_lock(&history_lock);
        acknowledged = step;
        cut_here();
        pthread_mutex_unlock(&history_lock);
    }
    model_close(&m);
}

/* Whether what survived is the state after some number of changes that may be. */
static bool
is_whole(const struct cut *cut)
{
    struct model m;
    bool is_known = false;
    char *found;
    int error = open_on(&m, cut->path);

    if (error != CONFCAST_OK) {
        printf("%s: %s\n", cut->path, confcast_error_word(error));
        return false;
    }
    found = state_of(&m);
    for (int i = cut->acknowledged; i <= cut->staged && !is_known; i++) {
        is_known = states[i] != NULL && strcmp(found, states[i]) == 0;
    }
    if (!is_known) {
        printf("%s: not one of %d to %d:\n%s", cut->path, cut->acknowledged, cut->staged, found);
    }
    free(found);
    /* And it goes on from there. */
    if (put_text(&m, "acme/after", "{\"n\":1}") != CONFCAST_OK) {
        is_known = false;
    }
    model_close(&m);
    return is_known;
}

static void
live_and_lose_power_everywhere(uint64_t seed)
{
    struct temp_dir dir = temp_dir_make();
    int whole = 0;
    int unacknowledged_survived = 0;

    cuts_dir = temp_dir_make();
    cut_count = 0;
    acknowledged = 0;
    staged = 0;
    torn.state = seed;
    disk.root = dir.path;
    live_through(dir.path, seed);
    disk.root = NULL;
    power_disk_free(&disk);
    for (int i = 0; i < cut_count; i++) {
        whole += is_whole(&cuts[i]);
        unacknowledged_survived += cuts[i].staged > cuts[i].acknowledged;
    }
    CU_ASSERT_EQUAL(whole, cut_count);
    /* A sync for each group at least, and changes that waited for one. */
    CU_ASSERT_TRUE(cut_count >= STEP_COUNT / GROUP_MAX);
    CU_ASSERT_TRUE(unacknowledged_survived >= STEP_COUNT / GROUP_MAX);
    for (int i = 0; i <= STEP_COUNT; i++) {
        free(states[i]);
        states[i] = NULL;
    }
    temp_dir_remove(&cuts_dir);
    temp_dir_remove(&dir);
}

static void
power_loss_at_every_sync_takes_nothing_acknowledged_and_leaves_nothing_half_done(void)
{
    for (uint64_t seed = 1; seed <= SEED_COUNT; seed++) {
        live_and_lose_power_everywhere(seed);
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(power_loss_at_every_sync_takes_nothing_acknowledged_and_leaves_nothing_half_done),
};

CFC_TEST_MAIN("model_power", cases)
