#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/client.h"
#include "consumer/set.h"
#include "protocol/base/time.h"
#include "protocol/wire/head.h"

_Static_assert((int)CONFCAST_STATE_NONE == (int)CFC_APPLY_NONE &&
                   (int)CONFCAST_STATE_RECEIVING == (int)CFC_APPLY_RECEIVING &&
                   (int)CONFCAST_STATE_PREPARED == (int)CFC_APPLY_PREPARED &&
                   (int)CONFCAST_STATE_APPLIED == (int)CFC_APPLY_APPLIED &&
                   (int)CONFCAST_STATE_REJECTED == (int)CFC_APPLY_REJECTED &&
                   (int)CONFCAST_STATE_REVERTED == (int)CFC_APPLY_REVERTED &&
                   (int)CONFCAST_STATE_DEGRADED == (int)CFC_APPLY_DEGRADED,
               "public states are those of reports");

enum {
    SILENT_PERIODS = 3 /* without any proof until a scope counts as stale */
};

void
cfc_client_say(struct confcast *client, int level, const char *format, ...)
{
    char line[512];
    va_list args;

    if (client->log == NULL) {
        return;
    }
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    client->log(client->log_arg, level, line);
}

void
cfc_client_tell(struct confcast *client, const char *event, const struct cfc_receiver_event *about,
                uint64_t bytes)
{
    struct confcast_event out = {.event = event, .bytes = bytes};

    if (client->event == NULL) {
        return;
    }
    if (about->scope_idx < client->scope_count) {
        out.scope = client->scopes[about->scope_idx]->path;
    }
    out.epoch = about->epoch;
    out.version = about->version;
    memcpy(out.content, about->content.bytes, sizeof(out.content));
    out.reason = about->reason;
    out.arm = about->arm;
    out.unix_ns = cfc_client_now().unix_ns;
    client->event(client->event_arg, &out);
}

/* ---- Contents held --------------------------------------------------------------------------- */

/* Takes the reference over, also on NO_MEMORY. */
static int
hold(struct confcast *client, struct cfc_loaded *loaded)
{
    uint64_t key = cfc_digest_key(&loaded->id);
    int error = cfc_contents_hold(&client->contents, loaded);

    if (error == CONFCAST_OK) {
        cfc_xdp_host_held(client->xdp, key);
    }
    return error;
}

static void
release(struct confcast *client, const struct cfc_digest *id)
{
    cfc_contents_release(&client->contents, id);
    cfc_xdp_host_dropped(client->xdp, cfc_digest_key(id));
}

/* The content from memory or from disk, held and known to the receiver; NULL when it is nowhere. */
static struct cfc_loaded *
load(struct confcast *client, const struct cfc_digest *id)
{
    struct cfc_loaded *loaded = cfc_contents_find(&client->contents, id);
    int error;

    if (loaded != NULL || cfc_digest_is_zero(id)) {
        return loaded;
    }
    loaded = cfc_contents_take_kept(&client->contents, id);
    error = loaded != NULL ? CONFCAST_OK : CONFCAST_ERR_NOT_FOUND;
    if (loaded == NULL && client->cache != NULL) {
        error = cfc_cache_load(client->cache, id, client->sha, &loaded);
    }
    if (error != CONFCAST_OK) {
        if (error != CONFCAST_ERR_NOT_FOUND) {
            cfc_client_say(client, 1, "cached content not used key=%016llx error=%s",
                           (unsigned long long)cfc_digest_key(id), confcast_error_word(error));
        }
        return NULL;
    }
    if (hold(client, loaded) != CONFCAST_OK) {
        return NULL;
    }
    if (cfc_receiver_content_held(client->receiver, id) != CONFCAST_OK) {
        release(client, id);
        return NULL;
    }
    return loaded;
}

static void
note_times(struct confcast_scope *scope, const struct cfc_head *head)
{
    static const uint64_t later = UINT64_MAX;

    scope->times = (struct cfc_head_times){
        .version = head->version,
        .activate_unix_ns = head->activation == CFC_ACTIVATE_HOLD ? later : head->activate_unix_ns,
        .confirm_unix_ns = head->confirm_by_unix_ns};
    for (uint32_t i = 0; i < head->arm_count; i++) {
        if (!cfc_digest_is_zero(&head->arms[i].fallback)) {
            scope->times.fallback_arms |= (uint8_t)(1U << i);
        }
    }
}

/* Notes the times of this head, and loads what it names and is here, in memory or on disk; the XDP
 * filter lets the rest through. */
static void
take_head(struct confcast *client, struct confcast_scope *scope, const uint8_t *head_frame,
          size_t size)
{
    uint64_t keys[CFC_XDP_HOST_NAMED_MAX];
    size_t key_count = 0;
    struct cfc_frame frame;
    struct cfc_head head;

    if (cfc_frame_open(head_frame, size, &frame) != CONFCAST_OK ||
        cfc_head_decode(&frame, client->sha, &head) != CONFCAST_OK) {
        return;
    }
    note_times(scope, &head);
    for (uint32_t i = 0; i < head.arm_count; i++) {
        const struct cfc_arm *arm = &head.arms[i];

        (void)load(client, &arm->content);
        (void)load(client, &arm->fallback);
        keys[key_count++] = cfc_digest_key(&arm->content);
        if (!cfc_digest_is_zero(&arm->fallback)) {
            keys[key_count++] = cfc_digest_key(&arm->fallback);
        }
    }
    cfc_xdp_host_named(client->xdp, scope->scope_id, keys, key_count);
}

/* ---- Serving --------------------------------------------------------------------------------- */

/* Publishes `view` and tells the application when the content is another one. */
static void
publish(struct confcast_scope *scope, struct confcast_view *view, bool is_other_content)
{
    struct confcast_view *before = cfc_view_exchange(&scope->view, view);

    if (is_other_content && scope->change != NULL) {
        confcast_read_lock();
        scope->change(scope->change_arg, scope, before, view);
        confcast_read_unlock();
    }
    cfc_view_retire(before, is_other_content, &scope->client->retired);
}

/* CRASH_LOOP: this version is set aside.  Otherwise a content that is another one is on trial from
 * now on, before the application sees it. */
static int
begin_trial(struct confcast_scope *scope, const struct cfc_loaded *loaded, uint64_t epoch,
            uint64_t version)
{
    struct cfc_trial_content served = {.epoch = epoch, .version = version, .content = loaded->id};
    struct cfc_trials *trials = cfc_cache_trials(scope->client->cache);

    if (cfc_trials_is_aside(trials, scope->scope_id, epoch, version, &loaded->id) &&
        scope->view != NULL) {
        return CONFCAST_ERR_CRASH_LOOP;
    }
    cfc_trials_begin(trials, scope->scope_id, &served, scope->is_restoring);
    return CONFCAST_OK;
}

/* A content that was served for long enough is the one to go back to. */
static void
end_trial(struct confcast_scope *scope, uint64_t now_ns)
{
    if (scope->trial_since_ns != 0 && now_ns - scope->trial_since_ns >= CFC_TRIAL_NS) {
        cfc_trials_pass(cfc_cache_trials(scope->client->cache), scope->scope_id);
        scope->trial_since_ns = 0;
    }
}

int
cfc_client_swap(struct confcast_scope *scope, struct cfc_loaded *loaded,
                const struct cfc_served *served)
{
    bool is_other_content =
        scope->view == NULL || !cfc_digest_equal(&scope->view->loaded->id, &loaded->id);
    bool is_tried = is_other_content && scope->client->cache != NULL;
    struct confcast_view *view = cfc_view_new(loaded, served);

    if (view == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (is_tried) {
        int error = begin_trial(scope, loaded, served->epoch, served->version);

        if (error != CONFCAST_OK) {
            cfc_view_free(view);
            return error;
        }
    }
    if (is_other_content && scope->validate != NULL &&
        scope->validate(scope->validate_arg, scope, view) != 0) {
        if (is_tried) {
            cfc_trials_withdraw(cfc_cache_trials(scope->client->cache), scope->scope_id);
        }
        cfc_view_free(view);
        return CONFCAST_ERR_APP_REJECT;
    }
    if (is_tried) {
        scope->trial_since_ns = cfc_client_now().mono_ns;
    }
    publish(scope, view, is_other_content);
    return CONFCAST_OK;
}

static void
persist_serving(struct confcast_scope *scope, uint64_t epoch, uint64_t version, uint8_t state,
                struct cfc_loaded *loaded)
{
    struct cfc_cache_serving serving = {
        .epoch = epoch, .version = version, .state = state, .content = loaded->id};

    if (scope->client->persister != NULL) {
        memcpy(serving.path, scope->path, sizeof(serving.path));
        cfc_persister_put_serving(scope->client->persister, scope->idx, &serving, loaded);
    }
}

static const char *
word_for(uint8_t state)
{
    switch (state) {
    case CFC_APPLY_REVERTED:
        return "reverted";
    case CFC_APPLY_PREPARED:
        return "fallback";
    default:
        return "applied";
    }
}

static struct cfc_served
served_under(const struct confcast_scope *scope, uint64_t epoch, uint64_t version, uint8_t arm,
             uint8_t phase)
{
    struct cfc_served served = {.epoch = epoch, .version = version, .phase = phase};

    if (scope->times.version == version) {
        served.activate_unix_ns = scope->times.activate_unix_ns;
        served.confirm_unix_ns =
            (scope->times.fallback_arms >> arm & 1) != 0 ? scope->times.confirm_unix_ns : 0;
    }
    return served;
}

static int
serve(struct confcast *client, struct confcast_scope *scope, const struct cfc_receiver_event *event)
{
    struct cfc_loaded *loaded = cfc_contents_find(&client->contents, &event->content);
    int error = CONFCAST_ERR_NOT_FOUND;

    if (loaded != NULL) {
        struct cfc_served served =
            served_under(scope, event->epoch, event->version, event->arm, event->state);

        error = cfc_client_swap(scope, loaded, &served);
    }
    if (error == CONFCAST_OK) {
        persist_serving(scope, event->epoch, event->version, event->state, loaded);
        cfc_client_tell(client, word_for(event->state), event, loaded->body_size);
    }
    return error;
}

bool
cfc_client_is_stalled(struct confcast *client)
{
    uint64_t size = atomic_load(&client->retired.size);
    struct cfc_receiver_event about = {.scope_idx = CFC_RECEIVER_NO_SCOPE,
                                       .reason = CONFCAST_ERR_BUSY};
    bool is_over = size > client->retired_size_max;

    if (is_over && !client->is_stall_told) {
        cfc_client_say(client, 0,
                       "a reader does not leave its section: new versions wait bytes=%llu",
                       (unsigned long long)size);
        cfc_client_tell(client, "stalled_reader", &about, size);
    }
    client->is_stall_told = is_over;
    return is_over;
}

static void
on_serve(struct confcast *client, struct confcast_scope *scope,
         const struct cfc_receiver_event *event)
{
    struct cfc_now now;
    int code;

    if (cfc_client_is_stalled(client)) {
        scope->is_deferred = true;
        scope->deferred = *event;
        return;
    }
    code = serve(client, scope, event);
    now = cfc_client_now();
    cfc_receiver_served(client->receiver, scope->idx, code, &now);
}

void
cfc_client_serve_deferred(struct confcast *client)
{
    for (uint32_t i = 0; i < client->scope_count; i++) {
        struct confcast_scope *scope = client->scopes[i];

        if (scope->is_deferred) {
            struct cfc_receiver_event event = scope->deferred;

            scope->is_deferred = false;
            on_serve(client, scope, &event);
        }
    }
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void
on_accepted(struct confcast *client, struct confcast_scope *scope,
            const struct cfc_receiver_event *event)
{
    if (client->cache != NULL) {
        /* Before the next event, which may be the swap.  A disk that fails does not stop it: the
         * floor holds in memory, and the persister tells of the disk. */
        (void)cfc_floor_raise(cfc_cache_floor(client->cache), scope->scope_id, event->epoch,
                              event->version);
        cfc_persister_put_head(client->persister, scope->idx, event->bytes, event->size);
    }
    take_head(client, scope, event->bytes, event->size);
    cfc_client_tell(client, "accepted", event, 0);
}

/* Decodes, checks and indexes what the receiver collected. */
static int
decode(struct confcast *client, const struct cfc_receiver_event *event, struct cfc_loaded **out)
{
    struct cfc_loaded *base = NULL;
    uint8_t *body;
    int error;

    if (cfc_assembly_finish(client->assembly, event, out) == CONFCAST_OK) {
        return CONFCAST_OK;
    }
    error = cfc_coding_check((enum cfc_encoding)event->encoding, event->bytes, event->size,
                             event->body_size);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (event->encoding == CFC_ENCODING_ZSTD_DELTA) {
        base = cfc_contents_find(&client->contents, &event->base);
        if (base == NULL) {
            return CONFCAST_ERR_NO_BASE;
        }
    }
    body = cfc_alloc(&cfc_consumer_heap, event->body_size);
    if (body == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = cfc_coding_decode(client->coder, (enum cfc_encoding)event->encoding, event->bytes,
                              event->size, base != NULL ? base->body : NULL,
                              base != NULL ? base->body_size : 0, body, event->body_size);
    if (error != CONFCAST_OK) {
        cfc_free(&cfc_consumer_heap, body);
        return error;
    }
    return cfc_loaded_new(body, event->body_size, &event->content, client->sha, out);
}

bool
cfc_client_assemble(struct confcast *client)
{
    struct cfc_receiver_part part;
    bool is_behind = false;

    if (cfc_receiver_part(client->receiver, &part) == CONFCAST_OK) {
        struct cfc_loaded *base = part.encoding == CFC_ENCODING_ZSTD_DELTA
                                      ? cfc_contents_find(&client->contents, &part.base)
                                      : NULL;

        is_behind = cfc_assembly_take(client->assembly, &part, base);
    }
    return is_behind;
}

void
cfc_client_end_assembly(struct confcast *client)
{
    struct cfc_receiver_part part;

    if (cfc_receiver_part(client->receiver, &part) != CONFCAST_OK) {
        cfc_assembly_reset(client->assembly);
    }
}

static void
on_content(struct confcast *client, const struct cfc_receiver_event *event)
{
    struct cfc_loaded *loaded = NULL;
    struct cfc_now now;
    int error = decode(client, event, &loaded);

    if (error == CONFCAST_OK) {
        loaded->is_pulled = client->is_pulled;
        error = hold(client, loaded);
    }
    if (error == CONFCAST_OK && client->persister != NULL) {
        cfc_persister_put_content(client->persister, loaded);
    }
    if (error != CONFCAST_OK) {
        cfc_client_say(client, 1, "content refused key=%016llx error=%s",
                       (unsigned long long)cfc_digest_key(&event->content),
                       confcast_error_word(error));
    }
    now = cfc_client_now();
    cfc_receiver_content_done(client->receiver, &event->content, error, &now);
}

static void
on_freshness(struct confcast *client, const struct cfc_receiver_event *event)
{
    static const char *const words[] = {
        [CFC_FRESHNESS_UNKNOWN] = "unknown",
        [CFC_FRESHNESS_FRESH] = "fresh",
        [CFC_FRESHNESS_CONTROL_SILENT] = "control_silent",
        [CFC_FRESHNESS_STALE] = "stale",
    };

    cfc_client_tell(client, words[event->freshness], event, 0);
}

static void
on_event(struct confcast *client, const struct cfc_receiver_event *event)
{
    struct confcast_scope *scope =
        event->scope_idx < client->scope_count ? client->scopes[event->scope_idx] : NULL;

    switch (event->type) {
    case CFC_EVENT_ACCEPTED:
        on_accepted(client, scope, event);
        break;
    case CFC_EVENT_CONTENT:
        on_content(client, event);
        break;
    case CFC_EVENT_SERVE:
        on_serve(client, scope, event);
        break;
    case CFC_EVENT_PREPARED:
        cfc_client_tell(client, "prepared", event, 0);
        break;
    case CFC_EVENT_REJECTED:
        cfc_client_say(client, 1, "rejected scope=%s version=%llu reason=%s", scope->path,
                       (unsigned long long)event->version, confcast_error_word(event->reason));
        cfc_client_tell(client, "rejected", event, 0);
        break;
    case CFC_EVENT_RELEASE:
        release(client, &event->content);
        break;
    case CFC_EVENT_FRESHNESS:
        on_freshness(client, event);
        break;
    case CFC_EVENT_IDENTITY:
        cfc_client_say(client, 0, "the engine refuses this consumer reason=%s",
                       confcast_error_word(event->reason));
        cfc_client_tell(client, "identity", event, 0);
        break;
    }
}

void
cfc_client_drain_events(struct confcast *client)
{
    struct cfc_receiver_event event;
    struct cfc_now now = cfc_client_now();

    if (client->is_draining) {
        return;
    }
    client->is_draining = true;
    if (client->persister != NULL) {
        cfc_persister_hold(client->persister);
    }
    while (cfc_receiver_poll_event(client->receiver, &now, &event) == CONFCAST_OK) {
        on_event(client, &event);
        now = cfc_client_now();
    }
    if (client->persister != NULL) {
        cfc_persister_let_go(client->persister);
    }
    client->is_draining = false;
    cfc_sets_update(client);
}

/* ---- Restoring ------------------------------------------------------------------------------- */

/* Serves again what the last process served, before the accepted head has its say: it may be lost,
 * be newer than any content that is here, or wait for its activation. */
static void
restore_serving(struct confcast *client, struct confcast_scope *scope,
                const struct cfc_cache_serving *serving)
{
    struct cfc_loaded *loaded = load(client, &serving->content);
    struct cfc_now now;
    int error = CONFCAST_ERR_NOT_FOUND;

    if (loaded != NULL) {
        error = cfc_receiver_restore_serving(client->receiver, scope->idx, serving->epoch,
                                             serving->version, &serving->content, serving->state);
    }
    if (error == CONFCAST_OK) {
        struct cfc_receiver_scope now_known = {.serving = {{0}}};
        struct cfc_served served;

        (void)cfc_receiver_scope(client->receiver, scope->idx, &now_known);
        served = served_under(scope, serving->epoch, serving->version, now_known.entry.arm,
                              serving->state);
        scope->is_restoring = true;
        error = cfc_client_swap(scope, loaded, &served);
        scope->is_restoring = false;
        now = cfc_client_now();
        cfc_receiver_served(client->receiver, scope->idx, error, &now);
    }
    if (error == CONFCAST_OK) {
        persist_serving(scope, serving->epoch, serving->version, serving->state, loaded);
    } else {
        cfc_client_say(client, 1, "what was served is not served again scope=%s error=%s",
                       scope->path, confcast_error_word(error));
    }
}

/* What was served is set aside: the good content serves, if it is still here.  The accepted head
 * then asks for its own, and is refused. */
static void
replace_aside(struct confcast *client, struct confcast_scope *scope,
              struct cfc_cache_serving *serving)
{
    struct cfc_trials *trials = cfc_cache_trials(client->cache);
    struct cfc_trial_content good = cfc_trials_good(trials, scope->scope_id);

    if (serving->version == 0 || !cfc_trials_is_aside(trials, scope->scope_id, serving->epoch,
                                                      serving->version, &serving->content)) {
        return;
    }
    if (load(client, &good.content) == NULL) {
        cfc_client_say(client, 0, "a crash loop, and the content before is not here scope=%s",
                       scope->path);
        return;
    }
    cfc_client_say(client, 0, "set aside after a crash loop scope=%s version=%llu serving=%llu",
                   scope->path, (unsigned long long)serving->version,
                   (unsigned long long)good.version);
    serving->epoch = good.epoch;
    serving->version = good.version;
    serving->content = good.content;
    serving->state = CFC_APPLY_NONE;
}

void
cfc_client_restore(struct confcast *client, struct confcast_scope *scope)
{
    struct cfc_cache_serving serving = {.version = 0};
    uint8_t head[CFC_FRAME_SIZE_MAX];
    size_t head_size = 0;
    uint64_t epoch = 0;
    uint64_t version = 0;
    struct cfc_now now = cfc_client_now();
    int error;

    if (client->cache == NULL) {
        return;
    }
    (void)cfc_floor_get(cfc_cache_floor(client->cache), scope->scope_id, &epoch, &version);
    if (cfc_cache_serving(client->cache, scope->scope_id, &serving) != CONFCAST_OK ||
        strcmp(serving.path, scope->path) != 0) {
        serving.version = 0;
    }
    if (serving.version > version) { /* the floor was lost, but not all that it says */
        version = serving.version;
        epoch = serving.epoch;
        (void)cfc_floor_raise(cfc_cache_floor(client->cache), scope->scope_id, epoch, version);
    }
    if (version == 0) {
        return;
    }
    error = cfc_cache_head(client->cache, scope->scope_id, head, sizeof(head), &head_size);
    error = cfc_receiver_restore(client->receiver, scope->idx, epoch, version,
                                 error == CONFCAST_OK ? head : NULL, head_size, &now);
    if (error == CONFCAST_OK && head_size > 0) {
        take_head(client, scope, head, head_size);
    } else if (error != CONFCAST_OK) {
        cfc_client_say(client, 1, "the head accepted last is not used scope=%s error=%s",
                       scope->path, confcast_error_word(error));
    }
    replace_aside(client, scope, &serving);
    if (serving.version != 0) {
        restore_serving(client, scope, &serving);
    }
    cfc_client_drain_events(client);
}

/* ---- Status ---------------------------------------------------------------------------------- */

void
cfc_client_set_status(struct confcast_scope *scope, const struct confcast_status *status)
{
    bool is_other;

    pthread_mutex_lock(&scope->lock);
    is_other = memcmp(&scope->status, status, sizeof(*status)) != 0;
    if (is_other) {
        scope->status = *status;
        pthread_cond_broadcast(&scope->changed);
    }
    pthread_mutex_unlock(&scope->lock);
    if (is_other && scope->client->on_status != NULL) {
        scope->client->on_status(scope->client->on_status_arg);
    }
}

static enum confcast_source
source_of(const struct cfc_loaded *loaded)
{
    if (loaded->is_from_disk) {
        return CONFCAST_SOURCE_DISK;
    }
    return loaded->is_pulled ? CONFCAST_SOURCE_PULL : CONFCAST_SOURCE_NETWORK;
}

static void
refresh_one(struct confcast *client, struct confcast_scope *scope, uint64_t now_ns)
{
    struct cfc_receiver_scope now;
    struct confcast_status status;

    if (cfc_receiver_scope(client->receiver, scope->idx, &now) != CONFCAST_OK) {
        return;
    }
    memset(&status, 0, sizeof(status)); /* padding too: it is compared below */
    status.size = sizeof(status);
    status.epoch = now.entry.epoch;
    status.accepted = now.entry.accepted;
    status.serving = now.entry.serving_version;
    /* A signed head proves that its version exists, as FRESH does. */
    status.published = now.published > now.entry.accepted ? now.published : now.entry.accepted;
    status.durable = now.entry.durable;
    status.state = (enum confcast_state)now.entry.state;
    status.reason = -(int)now.entry.reason;
    if (status.state == CONFCAST_STATE_APPLIED && scope->persist_error != CONFCAST_OK) {
        status.state = CONFCAST_STATE_DEGRADED;
        status.reason = scope->persist_error;
    }
    status.is_stale = now.freshness == CFC_FRESHNESS_STALE ||
                      (now.freshness == CFC_FRESHNESS_UNKNOWN &&
                       now_ns - scope->since_ns >= SILENT_PERIODS * CFC_S);
    status.is_control_silent = now.freshness == CFC_FRESHNESS_CONTROL_SILENT;
    status.fresh_unix_ns = now.fresh_unix_ns;
    if (scope->view != NULL) {
        status.source = source_of(scope->view->loaded);
        memcpy(status.content, scope->view->loaded->id.bytes, sizeof(status.content));
        status.content_size = scope->view->loaded->body_size;
    }
    cfc_client_set_status(scope, &status);
}

void
cfc_client_refresh_status(struct confcast *client)
{
    uint64_t now_ns = cfc_client_now().mono_ns;

    for (uint32_t i = 0; i < client->scope_count; i++) {
        end_trial(client->scopes[i], now_ns);
        refresh_one(client, client->scopes[i], now_ns);
    }
}
