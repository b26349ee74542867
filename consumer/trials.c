#include "consumer/trials.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "confcast/error.h"
#include "consumer/cache_file.h"
#include "protocol/base/time.h"

const uint64_t CFC_TRIAL_NS = 60 * CFC_S;
const uint64_t CFC_STRIKES_NS = 600 * CFC_S;

/* As they lie in the file, which is this machine's alone. */
struct header {
    char magic[8];
    uint64_t is_running; /* 1: a process has it, or had it and crashed */
};

struct slot {
    uint64_t scope_id;
    struct cfc_trial_content trial;
    struct cfc_trial_content good;
    uint64_t first_strike_unix_ns;
    uint32_t strikes;
    uint8_t is_served; /* by the process that has the file, and not passed yet */
    uint8_t is_aside;
    uint8_t reserved[2];
    uint64_t checksum;
};

_Static_assert(sizeof(struct header) == 16 && sizeof(struct slot) == 128, "the file's layout");

static const char NAME[] = "trials";
static const char MAGIC[8] = "CFCTRL1";

struct cfc_trials {
    int fd; /* -1: the file system takes no writes */
    uint32_t strikes_max;
    pthread_mutex_t lock; /* guards the slots */
    size_t count;
    struct slot slots[CFC_TRIALS_SCOPES_MAX];
    struct slot *begun; /* of the last begin, and what it was */
    struct slot before;
    struct cfc_trials *next; /* under open_lock */
};

/* Those whose process may end by exit(). */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cfc_trials *open_ones;

void
cfc_trials_lock_list(void)
{
    pthread_mutex_lock(&open_lock);
}

void
cfc_trials_unlock_list(void)
{
    pthread_mutex_unlock(&open_lock);
}

/* ---- The file ---------------------------------------------------------------------------------
 */

static uint64_t
checksum(const struct slot *slot)
{
    return XXH3_64bits(slot, offsetof(struct slot, checksum));
}

static void
write_running(const struct cfc_trials *trials, bool is_running)
{
    struct header header = {.is_running = is_running};

    memcpy(header.magic, MAGIC, sizeof(MAGIC));
    if (trials->fd >= 0) {
        (void)cfc_file_write_at(trials->fd, &header, sizeof(header), 0);
    }
}

static void
write_slot(struct cfc_trials *trials, struct slot *slot)
{
    size_t at = sizeof(struct header) + (size_t)(slot - trials->slots) * sizeof(*slot);

    slot->checksum = checksum(slot);
    if (trials->fd >= 0) {
        (void)cfc_file_write_at(trials->fd, slot, sizeof(*slot), at);
    }
}

static void
count_strike(const struct cfc_trials *trials, struct slot *slot, uint64_t now_unix_ns)
{
    bool is_first = slot->strikes == 0 || now_unix_ns < slot->first_strike_unix_ns ||
                    now_unix_ns - slot->first_strike_unix_ns > CFC_STRIKES_NS;

    if (is_first) {
        slot->strikes = 0;
        slot->first_strike_unix_ns = now_unix_ns;
    }
    slot->strikes++;
    slot->is_aside = slot->strikes >= trials->strikes_max && slot->good.version != 0;
}

/* Takes over the sound slots of a file. */
static void
take_slots(struct cfc_trials *trials, const uint8_t *bytes, size_t size, uint64_t now_unix_ns)
{
    struct header header;

    if (size < sizeof(header) || memcmp(bytes, MAGIC, sizeof(MAGIC)) != 0) {
        return;
    }
    memcpy(&header, bytes, sizeof(header));
    for (size_t at = sizeof(header); size - at >= sizeof(struct slot); at += sizeof(struct slot)) {
        struct slot *slot = &trials->slots[trials->count];

        memcpy(slot, bytes + at, sizeof(*slot));
        if (slot->checksum != checksum(slot)) {
            continue;
        }
        if (header.is_running == 1 && slot->is_served) {
            count_strike(trials, slot, now_unix_ns);
        }
        slot->is_aside = slot->is_aside && trials->strikes_max != UINT32_MAX;
        slot->is_served = false;
        trials->count++;
    }
}

struct cfc_trials *
cfc_trials_open(int dir_fd, uint32_t strikes_max, uint64_t now_unix_ns)
{
    struct cfc_trials *trials = calloc(1, sizeof(*trials));
    uint8_t *bytes = NULL;
    size_t size = 0;

    if (trials == NULL) {
        return NULL;
    }
    trials->strikes_max = strikes_max;
    pthread_mutex_init(&trials->lock, NULL);
    if (cfc_file_read(dir_fd, NAME, sizeof(struct header) + sizeof(trials->slots), &bytes, &size) ==
        CONFCAST_OK) {
        take_slots(trials, bytes, size, now_unix_ns);
        free(bytes);
    }
    trials->fd = openat(dir_fd, NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    /* The slots first: a process that dies here has served nothing. */
    for (size_t i = 0; i < trials->count; i++) {
        write_slot(trials, &trials->slots[i]);
    }
    if (trials->fd >= 0) {
        (void)!ftruncate(trials->fd,
                         (off_t)(sizeof(struct header) + trials->count * sizeof(struct slot)));
    }
    write_running(trials, true);
    pthread_mutex_lock(&open_lock);
    trials->next = open_ones;
    open_ones = trials;
    pthread_mutex_unlock(&open_lock);
    return trials;
}

static void
forget(struct cfc_trials *trials)
{
    for (struct cfc_trials **at = &open_ones; *at != NULL; at = &(*at)->next) {
        if (*at == trials) {
            *at = trials->next;
            return;
        }
    }
}

void
cfc_trials_close(struct cfc_trials *trials)
{
    if (trials == NULL) {
        return;
    }
    pthread_mutex_lock(&open_lock);
    forget(trials);
    pthread_mutex_unlock(&open_lock);
    write_running(trials, false);
    if (trials->fd >= 0) {
        close(trials->fd);
    }
    pthread_mutex_destroy(&trials->lock);
    free(trials);
}

void
cfc_trials_abandon(struct cfc_trials *trials)
{
    if (trials != NULL && trials->fd >= 0) {
        close(trials->fd);
        trials->fd = -1;
    }
}

/* exit() and a return from main() are no crash, though nobody closed the client. */
static __attribute__((destructor)) void
on_exit_of_process(void)
{
    if (pthread_mutex_trylock(&open_lock) == 0) {
        for (const struct cfc_trials *trials = open_ones; trials != NULL; trials = trials->next) {
            write_running(trials, false);
        }
        pthread_mutex_unlock(&open_lock);
    }
}

/* ---- Slots ------------------------------------------------------------------------------------
 */

static struct slot *
find(struct cfc_trials *trials, uint64_t scope_id)
{
    for (size_t i = 0; i < trials->count; i++) {
        if (trials->slots[i].scope_id == scope_id) {
            return &trials->slots[i];
        }
    }
    return NULL;
}

static bool
is_same(const struct cfc_trial_content *a, const struct cfc_trial_content *b)
{
    return a->epoch == b->epoch && a->version == b->version &&
           cfc_digest_equal(&a->content, &b->content);
}

bool
cfc_trials_is_aside(struct cfc_trials *trials, uint64_t scope_id, uint64_t epoch, uint64_t version,
                    const struct cfc_digest *content)
{
    struct cfc_trial_content asked = {.epoch = epoch, .version = version, .content = *content};
    const struct slot *slot;
    bool is_aside;

    if (trials == NULL) {
        return false;
    }
    pthread_mutex_lock(&trials->lock);
    slot = find(trials, scope_id);
    is_aside = slot != NULL && slot->is_aside && is_same(&slot->trial, &asked);
    pthread_mutex_unlock(&trials->lock);
    return is_aside;
}

struct cfc_trial_content
cfc_trials_good(struct cfc_trials *trials, uint64_t scope_id)
{
    struct cfc_trial_content good = {.version = 0};
    const struct slot *slot;

    if (trials != NULL) {
        pthread_mutex_lock(&trials->lock);
        slot = find(trials, scope_id);
        if (slot != NULL) {
            good = slot->good;
        }
        pthread_mutex_unlock(&trials->lock);
    }
    return good;
}

/* Puts what is served on trial in its slot. */
static void
try_in(struct slot *slot, const struct cfc_trial_content *served, bool is_again)
{
    bool is_good =
        slot->good.version != 0 && cfc_digest_equal(&slot->good.content, &served->content);
    bool is_tried = is_same(&slot->trial, served);

    /* What is set aside stays so while the good one serves in its place. */
    if (!is_good && !is_tried && !(is_again && slot->strikes > 0)) {
        slot->trial = *served;
        slot->strikes = 0;
        slot->is_aside = false;
        is_tried = true;
    }
    slot->is_served = !is_good && is_tried;
}

void
cfc_trials_begin(struct cfc_trials *trials, uint64_t scope_id,
                 const struct cfc_trial_content *served, bool is_again)
{
    struct slot *slot;

    if (trials == NULL) {
        return;
    }
    pthread_mutex_lock(&trials->lock);
    slot = find(trials, scope_id);
    if (slot == NULL && trials->count < CFC_TRIALS_SCOPES_MAX) {
        slot = &trials->slots[trials->count++];
        slot->scope_id = scope_id;
    }
    trials->begun = slot;
    if (slot != NULL) {
        trials->before = *slot;
        try_in(slot, served, is_again);
        write_slot(trials, slot);
    }
    pthread_mutex_unlock(&trials->lock);
}

void
cfc_trials_withdraw(struct cfc_trials *trials, uint64_t scope_id)
{
    struct slot *slot;

    if (trials == NULL) {
        return;
    }
    pthread_mutex_lock(&trials->lock);
    slot = find(trials, scope_id);
    if (slot != NULL) {
        if (slot == trials->begun) {
            *slot = trials->before;
        }
        slot->is_served = slot == trials->begun && slot->is_served;
        write_slot(trials, slot);
    }
    trials->begun = NULL;
    pthread_mutex_unlock(&trials->lock);
}

void
cfc_trials_pass(struct cfc_trials *trials, uint64_t scope_id)
{
    struct slot *slot;

    if (trials == NULL) {
        return;
    }
    pthread_mutex_lock(&trials->lock);
    slot = find(trials, scope_id);
    if (slot != NULL && slot->is_served) {
        slot->good = slot->trial;
        slot->is_served = false;
        slot->strikes = 0;
        slot->is_aside = false;
        write_slot(trials, slot);
    }
    pthread_mutex_unlock(&trials->lock);
}

size_t
cfc_trials_goods(struct cfc_trials *trials, struct cfc_digest *ids, size_t capacity)
{
    size_t count = 0;

    if (trials == NULL) {
        return 0;
    }
    pthread_mutex_lock(&trials->lock);
    for (size_t i = 0; i < trials->count && count < capacity; i++) {
        if (trials->slots[i].good.version != 0) {
            ids[count++] = trials->slots[i].good.content;
        }
    }
    pthread_mutex_unlock(&trials->lock);
    return count;
}
