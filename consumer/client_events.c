#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <urcu/urcu-memb.h>

#include "consumer/client.h"
#include "protocol/base/time.h"
#include "protocol/wire/head.h"

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

struct cfc_now
cfc_client_now(void)
{
    return (struct cfc_now){.mono_ns = clock_ns(CLOCK_MONOTONIC),
                            .unix_ns = clock_ns(CLOCK_REALTIME)};
}

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
    out.unix_ns = clock_ns(CLOCK_REALTIME);
    client->event(client->event_arg, &out);
}

/* ---- Contents held --------------------------------------------------------------------------- */

struct cfc_loaded *
cfc_client_find(struct confcast *client, const struct cfc_digest *id)
{
    for (uint32_t i = 0; i < client->content_count; i++) {
        if (cfc_digest_equal(&client->contents[i]->id, id)) {
            return client->contents[i];
        }
    }
    return NULL;
}

static void
update_keep(struct confcast *client)
{
    struct cfc_digest ids[CFC_CLIENT_CONTENTS_MAX];

    if (client->persister == NULL) {
        return;
    }
    for (uint32_t i = 0; i < client->content_count; i++) {
        ids[i] = client->contents[i]->id;
    }
    cfc_persister_keep(client->persister, ids, client->content_count);
}

/* Takes the reference over. */
static int
hold(struct confcast *client, struct cfc_loaded *loaded)
{
    if (client->content_count == CFC_CLIENT_CONTENTS_MAX) {
        cfc_loaded_unref(loaded);
        return CONFCAST_ERR_LIMIT;
    }
    client->contents[client->content_count++] = loaded;
    update_keep(client);
    return CONFCAST_OK;
}

static void
release(struct confcast *client, const struct cfc_digest *id)
{
    for (uint32_t i = 0; i < client->content_count; i++) {
        if (cfc_digest_equal(&client->contents[i]->id, id)) {
            cfc_loaded_unref(client->contents[i]); /* a view may still hold it */
            client->contents[i] = client->contents[--client->content_count];
            update_keep(client);
            return;
        }
    }
}

static void
load_one(struct confcast *client, const struct cfc_digest *id)
{
    struct cfc_loaded *loaded;

    if (cfc_digest_is_zero(id) || cfc_client_find(client, id) != NULL ||
        cfc_cache_load(client->cache, id, client->sha, &loaded) != CONFCAST_OK) {
        return;
    }
    if (hold(client, loaded) == CONFCAST_OK) {
        cfc_receiver_content_held(client->receiver, id);
    }
}

void
cfc_client_load_named(struct confcast *client, const uint8_t *head_frame, size_t size)
{
    struct cfc_frame frame;
    struct cfc_head head;

    if (client->cache == NULL || cfc_frame_open(head_frame, size, &frame) != CONFCAST_OK ||
        frame.type != CFC_FRAME_HEAD ||
        cfc_head_decode(&frame, client->sha, &head) != CONFCAST_OK) {
        return;
    }
    for (uint32_t i = 0; i < head.arm_count; i++) {
        load_one(client, &head.arms[i].content);
        load_one(client, &head.arms[i].fallback);
    }
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void
on_accepted(struct confcast *client, struct confcast_scope *scope,
            const struct cfc_receiver_event *event)
{
    struct cfc_cache_job *job;

    if (client->cache != NULL) {
        int error =
            cfc_cache_set_floor(client->cache, scope->scope_id, event->epoch, event->version);

        if (error != CONFCAST_OK) {
            cfc_client_say(client, 0, "floor not raised scope=%s error=%s", scope->path,
                           confcast_error_word(error));
        }
        cfc_client_load_named(client, event->bytes, event->size);
        job = calloc(1, sizeof(*job));
        if (job != NULL && event->size <= sizeof(job->head)) {
            job->scope_id = scope->scope_id;
            memcpy(job->head, event->bytes, event->size);
            job->head_size = event->size;
            cfc_persister_put(client->persister, scope->idx, 0, job);
        }
        free(job);
    }
    cfc_client_tell(client, "accepted", event, 0);
}

/* Decodes, checks and indexes what the receiver collected. */
static int
decode(struct confcast *client, const struct cfc_receiver_event *event, struct cfc_loaded **out)
{
    struct cfc_loaded *base = NULL;
    uint8_t *body;
    int error = cfc_coding_check((enum cfc_encoding)event->encoding, event->bytes, event->size,
                                 event->body_size);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (event->encoding == CFC_ENCODING_ZSTD_DELTA) {
        base = cfc_client_find(client, &event->base);
        if (base == NULL) {
            return CONFCAST_ERR_NO_BASE;
        }
    }
    body = malloc(event->body_size);
    if (body == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = cfc_coding_decode(client->coder, (enum cfc_encoding)event->encoding, event->bytes,
                              event->size, base != NULL ? base->body : NULL,
                              base != NULL ? base->body_size : 0, body, event->body_size);
    if (error != CONFCAST_OK) {
        free(body);
        return error;
    }
    return cfc_loaded_new(body, event->body_size, &event->content, client->sha, out);
}

static void
on_content(struct confcast *client, const struct cfc_receiver_event *event,
           const struct cfc_now *now)
{
    struct cfc_loaded *loaded = NULL;
    int error = decode(client, event, &loaded);

    if (error == CONFCAST_OK) {
        error = hold(client, loaded);
    }
    if (error != CONFCAST_OK) {
        cfc_client_say(client, 1, "content refused key=%016llx error=%s",
                       (unsigned long long)cfc_digest_key(&event->content),
                       confcast_error_word(error));
    }
    cfc_receiver_content_done(client->receiver, &event->content, error, now);
}

static int
ask_validator(struct confcast_scope *scope, const struct confcast_view *candidate)
{
    int code = CONFCAST_OK;

    pthread_mutex_lock(&scope->callback_lock);
    if (scope->validate != NULL && scope->validate(scope->validate_arg, scope, candidate) != 0) {
        code = CONFCAST_ERR_APP_REJECT;
    }
    pthread_mutex_unlock(&scope->callback_lock);
    return code;
}

/* Publishes `view` and tells the application when the content is another one. */
static void
publish(struct confcast_scope *scope, struct confcast_view *view, bool is_other_content)
{
    struct confcast_view *before = rcu_xchg_pointer(&scope->view, view);

    if (is_other_content) {
        pthread_mutex_lock(&scope->callback_lock);
        if (scope->change != NULL) {
            confcast_read_lock();
            scope->change(scope->change_arg, scope, before, view);
            confcast_read_unlock();
        }
        pthread_mutex_unlock(&scope->callback_lock);
    }
    cfc_view_retire(before);
}

static void
persist_serving(struct confcast *client, struct confcast_scope *scope,
                const struct cfc_receiver_event *event, struct cfc_loaded *loaded)
{
    struct cfc_cache_job *job;

    if (client->persister == NULL) {
        return;
    }
    job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return; /* not durable: the next version tries again */
    }
    job->scope_id = scope->scope_id;
    memcpy(job->serving.path, scope->path, sizeof(job->serving.path));
    job->serving.epoch = event->epoch;
    job->serving.version = event->version;
    job->serving.content = event->content;
    job->loaded = cfc_loaded_ref(loaded);
    cfc_persister_put(client->persister, scope->idx, event->version, job);
    free(job);
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

static int
serve(struct confcast *client, struct confcast_scope *scope, const struct cfc_receiver_event *event)
{
    struct cfc_loaded *loaded = cfc_client_find(client, &event->content);
    struct confcast_view *view;
    bool is_other_content;
    int code = CONFCAST_OK;

    if (loaded == NULL) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    /* Only this thread replaces views, so that the current one stays. */
    is_other_content = scope->view == NULL || scope->view->loaded != loaded;
    view = cfc_view_new(loaded, event->epoch, event->version);
    if (view == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (is_other_content) {
        code = ask_validator(scope, view);
    }
    if (code != CONFCAST_OK) {
        cfc_view_free(view);
        return code;
    }
    scope->is_from_disk = scope->is_from_disk && !is_other_content;
    publish(scope, view, is_other_content);
    persist_serving(client, scope, event, loaded);
    cfc_client_tell(client, word_for(event->state), event, loaded->body_size);
    return CONFCAST_OK;
}

static void
on_freshness(struct confcast *client, struct confcast_scope *scope,
             const struct cfc_receiver_event *event)
{
    static const char *const words[] = {
        [CFC_FRESHNESS_UNKNOWN] = "unknown",
        [CFC_FRESHNESS_FRESH] = "fresh",
        [CFC_FRESHNESS_CONTROL_SILENT] = "control_silent",
        [CFC_FRESHNESS_STALE] = "stale",
    };

    scope->reported_freshness = event->freshness;
    cfc_client_tell(client, words[event->freshness], event, 0);
}

static void
on_event(struct confcast *client, const struct cfc_receiver_event *event, const struct cfc_now *now)
{
    struct confcast_scope *scope =
        event->scope_idx < client->scope_count ? client->scopes[event->scope_idx] : NULL;

    switch (event->type) {
    case CFC_EVENT_ACCEPTED:
        on_accepted(client, scope, event);
        break;
    case CFC_EVENT_CONTENT:
        on_content(client, event, now);
        break;
    case CFC_EVENT_SERVE:
        cfc_receiver_served(client->receiver, event->scope_idx, serve(client, scope, event), now);
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
        on_freshness(client, scope, event);
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

    while (cfc_receiver_poll_event(client->receiver, &now, &event) == CONFCAST_OK) {
        on_event(client, &event, &now);
        now = cfc_client_now();
    }
}

static void
refresh_one(struct confcast *client, struct confcast_scope *scope)
{
    struct cfc_receiver_scope now;
    struct confcast_status status = {.size = sizeof(status)};

    if (cfc_receiver_scope(client->receiver, scope->idx, &now) != CONFCAST_OK) {
        return;
    }
    status.epoch = now.entry.epoch;
    status.accepted = now.entry.accepted;
    status.serving = now.entry.serving_version;
    status.published = now.published;
    status.durable = now.entry.durable;
    status.state = (enum confcast_state)now.entry.state;
    status.reason = -(int)now.entry.reason;
    status.is_stale = now.freshness == CFC_FRESHNESS_STALE;
    status.is_control_silent = now.freshness == CFC_FRESHNESS_CONTROL_SILENT;
    if (scope->view != NULL) {
        status.source = scope->is_from_disk ? CONFCAST_SOURCE_DISK : CONFCAST_SOURCE_NETWORK;
        memcpy(status.content, scope->view->loaded->id.bytes, sizeof(status.content));
        status.content_size = scope->view->loaded->body_size;
    }
    pthread_mutex_lock(&scope->lock);
    if (memcmp(&scope->status, &status, sizeof(status)) != 0) {
        scope->status = status;
        pthread_cond_broadcast(&scope->changed);
    }
    pthread_mutex_unlock(&scope->lock);
}

void
cfc_client_refresh_status(struct confcast *client)
{
    for (uint32_t i = 0; i < client->scope_count; i++) {
        refresh_one(client, client->scopes[i]);
    }
}
