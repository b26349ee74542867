#include "consumer/set.h"

#include <stdlib.h>
#include <string.h>

#include "consumer/client.h"
#include "consumer/fork_guard.h"
#include "consumer/scope.h"
#include "protocol/base/time.h"

#define HELD_TOLD_DEFAULT_NS (10 * CFC_S)

/* ---- What readers see ------------------------------------------------------------------------ */

const struct confcast_set_view *
confcast_set_view(const struct confcast_set *set)
{
    return __atomic_load_n(&set->view, __ATOMIC_ACQUIRE);
}

const struct confcast_view *
confcast_set_member(const struct confcast_set_view *view, size_t idx)
{
    return view != NULL && idx < view->count ? &view->members[idx] : NULL;
}

uint64_t
confcast_set_version(const struct confcast_set_view *view)
{
    return view != NULL ? view->version : 0;
}

static void
free_view(struct confcast_set_view *view)
{
    for (uint32_t i = 0; view != NULL && i < view->count; i++) {
        cfc_loaded_unref(view->members[i].loaded);
    }
    free(view);
}

static void
free_after_grace(struct rcu_head *head)
{
    struct confcast_set_view *view = caa_container_of(head, struct confcast_set_view, rcu);

    cfc_grace_acquire();
    atomic_fetch_sub(&view->retired->size, view->retired_size);
    free_view(view);
}

/* Frees it after a grace period, with the contents that `after` (or NULL) does not have. */
static void
retire(struct confcast_set_view *view, const struct confcast_set_view *after,
       struct cfc_retired *retired)
{
    if (view == NULL) {
        return;
    }
    view->retired = retired;
    view->retired_size = sizeof(*view) + view->count * sizeof(view->members[0]);
    for (uint32_t i = 0; i < view->count; i++) {
        if (after == NULL || after->members[i].loaded != view->members[i].loaded) {
            view->retired_size += cfc_view_content_size(&view->members[i]);
        }
    }
    atomic_fetch_add(&retired->size, view->retired_size);
    cfc_grace_release();
    urcu_bp_call_rcu(&view->rcu, free_after_grace);
}

/* ---- Following the members ------------------------------------------------------------------- */

/* Whether two members of one version are at the same point of it.  Members with other times in
 * their heads go through it each on their own. */
static bool
is_same_phase(const struct cfc_served *a, const struct cfc_served *b)
{
    return a->activate_unix_ns != b->activate_unix_ns || a->confirm_unix_ns != b->confirm_unix_ns ||
           a->phase == b->phase;
}

/* The place of the member that lags most; `count` when all agree.  *newest: the highest version
 * that one serves. */
static uint32_t
find_lagging(const struct confcast_set *set, uint64_t *newest)
{
    uint64_t lowest = UINT64_MAX;
    uint32_t lagging = set->count;

    *newest = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct confcast_view *view = set->scopes[i]->view;
        uint64_t version = view != NULL ? view->served.version : 0;

        *newest = version > *newest ? version : *newest;
        if (version < lowest) {
            lowest = version;
            lagging = i;
        }
    }
    if (lowest != *newest || *newest == 0) {
        return lagging;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        const struct cfc_served *served = &set->scopes[i]->view->served;

        for (uint32_t j = 0; j < i; j++) {
            const struct cfc_served *other = &set->scopes[j]->view->served;

            if (!is_same_phase(served, other)) {
                return served->phase < other->phase ? i : j;
            }
        }
    }
    return set->count;
}

/* Whether the set's view is what its members serve. */
static bool
is_current(const struct confcast_set *set)
{
    for (uint32_t i = 0; set->view != NULL && i < set->count; i++) {
        const struct confcast_view *mine = &set->view->members[i];
        const struct confcast_view *view = set->scopes[i]->view;

        if (mine->loaded != view->loaded || mine->served.version != view->served.version ||
            mine->served.epoch != view->served.epoch || mine->served.phase != view->served.phase) {
            return false;
        }
    }
    return set->view != NULL;
}

static struct confcast_set_view *
new_view(const struct confcast_set *set, uint64_t version)
{
    struct confcast_set_view *view =
        calloc(1, sizeof(*view) + set->count * sizeof(view->members[0]));

    if (view == NULL) {
        return NULL;
    }
    view->version = version;
    view->count = set->count;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct confcast_view *member = set->scopes[i]->view;

        view->members[i].index = member->index;
        view->members[i].served = member->served;
        view->members[i].loaded = cfc_loaded_ref(member->loaded);
    }
    return view;
}

static bool
is_other(const struct confcast_set_view *before, const struct confcast_set_view *after)
{
    for (uint32_t i = 0; before != NULL && i < after->count; i++) {
        if (!cfc_digest_equal(&before->members[i].loaded->id, &after->members[i].loaded->id)) {
            return true;
        }
    }
    return before == NULL;
}

static void
publish(struct confcast_set *set, struct confcast_set_view *view)
{
    struct confcast_set_view *before = __atomic_exchange_n(&set->view, view, __ATOMIC_ACQ_REL);

    if (set->change != NULL && is_other(before, view)) {
        confcast_read_lock();
        set->change(set->change_arg, set, before, view);
        confcast_read_unlock();
    }
    retire(before, view, &set->client->retired);
}

/* ---- Status ---------------------------------------------------------------------------------- */

/* Why this member lags, as far as it is known here. */
static void
blame(struct confcast_set *set, uint32_t lagging, struct confcast_set_status *status)
{
    struct confcast_scope *scope = set->scopes[lagging];

    status->held_by = lagging;
    pthread_mutex_lock(&scope->lock);
    status->state = scope->status.state;
    status->member_accepted = scope->status.accepted;
    status->reason =
        scope->status.state == CONFCAST_STATE_REJECTED ? scope->status.reason : CONFCAST_ERR_AGAIN;
    pthread_mutex_unlock(&scope->lock);
}

/* Tells once of a set that is held for long. */
static void
tell_held(struct confcast_set *set, const struct confcast_set_status *status)
{
    struct confcast *client = set->client;
    const struct confcast_scope *scope = set->scopes[status->held_by];
    struct cfc_receiver_event about = {
        .scope_idx = scope->idx, .version = status->newest, .reason = status->reason};

    set->is_held_told = true;
    cfc_client_say(client, 1, "a set is held scope=%s serving=%llu newest=%llu reason=%s",
                   scope->path, (unsigned long long)status->serving,
                   (unsigned long long)status->newest, confcast_error_word(status->reason));
    cfc_client_tell(client, "set_held", &about, 0);
}

/* `held_ns` of what is kept is the time since when it is held. */
static void
note_status(struct confcast_set *set, const struct confcast_set_status *status)
{
    pthread_mutex_lock(&set->lock);
    if (memcmp(&set->status, status, sizeof(*status)) != 0) {
        set->status = *status;
        pthread_cond_broadcast(&set->changed);
    }
    pthread_mutex_unlock(&set->lock);
}

static void
refresh_status(struct confcast_set *set, uint32_t lagging, uint64_t newest)
{
    struct confcast_set_status status;
    uint64_t now_ns = cfc_client_now().mono_ns;

    memset(&status, 0, sizeof(status)); /* padding too: it is compared */
    status.size = sizeof(status);
    status.serving = confcast_set_version(set->view);
    status.newest = newest;
    status.is_held = newest != 0 && (lagging < set->count || set->is_short);
    if (!status.is_held) {
        if (set->is_held_told) {
            cfc_client_say(set->client, 1, "the set goes on serving=%llu",
                           (unsigned long long)status.serving);
        }
        set->is_held_told = false;
        set->held_since_ns = 0;
        note_status(set, &status);
        return;
    }
    blame(set, lagging < set->count ? lagging : 0, &status);
    if (lagging == set->count) {
        status.reason = CONFCAST_ERR_NO_MEMORY;
    }
    set->held_since_ns = set->held_since_ns != 0 ? set->held_since_ns : now_ns;
    status.held_ns = set->held_since_ns;
    note_status(set, &status);
    if (!set->is_held_told && now_ns - set->held_since_ns >= set->held_told_ns) {
        tell_held(set, &status);
    }
}

static void
follow(struct confcast_set *set)
{
    uint64_t newest;
    uint32_t lagging = find_lagging(set, &newest);

    set->is_short = false;
    if (lagging == set->count && !is_current(set)) {
        struct confcast_set_view *view = new_view(set, newest);

        set->is_short = view == NULL;
        if (view != NULL) {
            publish(set, view);
        }
    }
    refresh_status(set, lagging, newest);
}

void
cfc_sets_update(struct confcast *client)
{
    if (client->is_in_sets) {
        client->is_set_again = true;
        return;
    }
    client->is_in_sets = true;
    do {
        client->is_set_again = false;
        for (struct confcast_set *set = client->sets; set != NULL; set = set->next) {
            follow(set);
        }
    } while (client->is_set_again);
    client->is_in_sets = false;
}

bool
cfc_sets_have(const struct confcast *client, const struct confcast_scope *scope)
{
    for (const struct confcast_set *set = client->sets; set != NULL; set = set->next) {
        for (uint32_t i = 0; i < set->count; i++) {
            if (set->scopes[i] == scope) {
                return true;
            }
        }
    }
    return false;
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static int
add_set(struct confcast *client, void *arg)
{
    struct confcast_set *set = arg;

    if (client->set_count == CONFCAST_SETS_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    client->set_count++;
    set->next = client->sets;
    client->sets = set;
    cfc_sets_update(client);
    return CONFCAST_OK;
}

static bool
are_members(const struct confcast *client, struct confcast_scope *const *scopes, size_t count)
{
    if (count == 0 || count > CONFCAST_SET_SCOPES_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (scopes[i] == NULL || scopes[i]->client != client) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (scopes[i] == scopes[j]) {
                return false;
            }
        }
    }
    return true;
}

int
confcast_set_open(struct confcast *client, struct confcast_scope *const *scopes, size_t count,
                  const struct confcast_set_options *given, struct confcast_set **out)
{
    struct confcast_set_options options = CONFCAST_SET_OPTIONS_INIT;
    struct confcast_set *set;
    int error;

    *out = NULL;
    if (!are_members(client, scopes, count) ||
        (given != NULL && cfc_client_take_struct(&options, sizeof(options), given,
                                                 sizeof(options)) != CONFCAST_OK)) {
        return CONFCAST_ERR_INVALID;
    }
    set = calloc(1, sizeof(*set));
    if (set == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    set->client = client;
    set->count = (uint32_t)count;
    memcpy(set->scopes, scopes, count * sizeof(set->scopes[0]));
    set->change = options.change;
    set->change_arg = options.change_arg;
    set->held_told_ns = options.held_ms != 0 ? options.held_ms * CFC_MS : HELD_TOLD_DEFAULT_NS;
    set->status.size = sizeof(set->status);
    cfc_client_init_lock(&set->lock, &set->changed);
    *out = set; /* before its callback is called */
    error = cfc_client_call(client, add_set, set);
    if (error != CONFCAST_OK) {
        *out = NULL;
        pthread_cond_destroy(&set->changed);
        pthread_mutex_destroy(&set->lock);
        free(set);
    }
    return error;
}

/* Sends waiters away and waits until they have gone. */
static void
send_away(struct confcast_set *set)
{
    pthread_mutex_lock(&set->lock);
    set->is_closed = true;
    pthread_cond_broadcast(&set->changed);
    while (set->waiter_count > 0) {
        pthread_cond_wait(&set->changed, &set->lock);
    }
    pthread_mutex_unlock(&set->lock);
}

static void
free_set(struct confcast_set *set)
{
    pthread_cond_destroy(&set->changed);
    pthread_mutex_destroy(&set->lock);
    free(set);
}

static int
remove_set(struct confcast *client, void *arg)
{
    struct confcast_set *set = arg;

    for (struct confcast_set **at = &client->sets; *at != NULL; at = &(*at)->next) {
        if (*at == set) {
            *at = set->next;
            client->set_count--;
            break;
        }
    }
    retire(__atomic_exchange_n(&set->view, NULL, __ATOMIC_ACQ_REL), NULL, &client->retired);
    return CONFCAST_OK;
}

int
confcast_set_close(struct confcast_set *set)
{
    int error;

    if (set == NULL) {
        return CONFCAST_OK;
    }
    if (!atomic_load(&set->client->is_forked) && cfc_client_is_own_thread(set->client)) {
        return CONFCAST_ERR_INVALID;
    }
    error = cfc_client_call(set->client, remove_set, set);
    if (error == CONFCAST_OK) {
        send_away(set);
        free_set(set);
    }
    return error;
}

void
cfc_sets_reset_locks(struct confcast *client)
{
    for (struct confcast_set *set = client->sets; set != NULL; set = set->next) {
        set->waiter_count = 0;
        cfc_client_init_lock(&set->lock, &set->changed);
    }
}

void
cfc_sets_close(struct confcast *client)
{
    for (struct confcast_set *set = client->sets; set != NULL; set = set->next) {
        send_away(set);
    }
}

void
cfc_sets_free(struct confcast *client)
{
    while (client->sets != NULL) {
        struct confcast_set *set = client->sets;

        client->sets = set->next;
        free_view(set->view);
        free_set(set);
    }
}

/* ---- Asking ---------------------------------------------------------------------------------- */

int
confcast_set_status(const struct confcast_set *set, struct confcast_set_status *status)
{
    struct confcast_set *mine = (struct confcast_set *)(uintptr_t)set;
    struct confcast_set_status copy;

    if (atomic_load(&set->client->is_forked)) {
        return CONFCAST_ERR_CLOSED;
    }
    cfc_fork_guard_resume();
    pthread_mutex_lock(&mine->lock);
    copy = mine->status;
    pthread_mutex_unlock(&mine->lock);
    if (copy.is_held) {
        copy.held_ns = cfc_client_now().mono_ns - copy.held_ns;
    }
    return cfc_client_give_struct(status, &copy, sizeof(copy), sizeof(copy));
}

struct set_wait {
    const struct confcast_set *set;
    uint64_t version;
};

/* AGAIN: not yet.  Under the set's lock. */
static int
wait_result(const void *arg)
{
    const struct set_wait *wait = arg;
    const struct confcast_set_status *status = &wait->set->status;

    if (status->serving >= wait->version && status->serving != 0) {
        return CONFCAST_OK;
    }
    if (wait->set->is_closed) {
        return CONFCAST_ERR_CLOSED;
    }
    if (status->is_held && status->state == CONFCAST_STATE_REJECTED &&
        status->member_accepted >= wait->version) {
        return status->reason;
    }
    return CONFCAST_ERR_AGAIN;
}

int
confcast_set_wait(struct confcast_set *set, uint64_t version, uint32_t timeout_ms)
{
    const struct set_wait wait = {.set = set, .version = version};
    const struct cfc_client_waiting waiting = {.lock = &set->lock,
                                               .changed = &set->changed,
                                               .count = &set->waiter_count,
                                               .is_closed = &set->is_closed};

    return cfc_client_wait(set->client, &waiting, wait_result, &wait, timeout_ms);
}
