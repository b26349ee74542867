#include "protocol/session/receiver.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/scope.h"
#include "protocol/session/receiver_state.h"

enum {
    SCOPES_FIRST = 4,
    SHARDS_FIRST = 2
};

void
cfc_receiver_config_defaults(struct cfc_receiver_config *config)
{
    config->frame_size_max = CFC_FRAME_SIZE_DEFAULT;
    config->content_size_max = CFC_BODY_SIZE_MAX;
    config->budget_size = CFC_BODY_SIZE_MAX;
    config->fresh_period_ns = CFC_S;
    config->nack_delay_ns = CFC_MS;
    config->nack_retry_ns = 5 * CFC_MS;
    config->hello_retry_ns = 200 * CFC_MS;
    config->report_retry_ns = 200 * CFC_MS;
    config->report_refresh_ns = 30 * CFC_S;
}

static int
check_labels(const struct cfc_label *labels, uint32_t count)
{
    if (count > CFC_LABEL_COUNT_MAX || (count > 0 && labels == NULL)) {
        return CONFCAST_ERR_INVALID;
    }
    for (uint32_t i = 0; i < count; i++) {
        int code = cfc_label_check(labels[i].key, labels[i].key_size, labels[i].value,
                                   labels[i].value_size);

        if (code != CONFCAST_OK) {
            return code;
        }
    }
    return CONFCAST_OK;
}

static bool
is_time_valid(uint64_t ns)
{
    /* Far from overflow whatever the doublings, and never a busy loop. */
    return ns > 0 && ns <= 24 * 3600 * CFC_S;
}

static int
check_config(const struct cfc_receiver_config *c)
{
    if (cfc_consumer_id_check(c->id, c->id_size) != CONFCAST_OK || c->verifier.verify == NULL ||
        c->alloc.alloc == NULL || c->alloc.free == NULL || c->frame_size_max < CFC_FRAME_SIZE_MIN ||
        c->frame_size_max > CFC_FRAME_SIZE_MAX || c->content_size_max == 0 ||
        c->content_size_max > CFC_BODY_SIZE_MAX || c->budget_size == 0 ||
        !is_time_valid(c->fresh_period_ns) || !is_time_valid(c->nack_delay_ns) ||
        !is_time_valid(c->nack_retry_ns) || !is_time_valid(c->hello_retry_ns) ||
        !is_time_valid(c->report_retry_ns) || !is_time_valid(c->report_refresh_ns)) {
        return CONFCAST_ERR_INVALID;
    }
    return check_labels(c->labels, c->label_count);
}

/* An array of labels and their text in one allocation; NULL for no labels. */
static int
copy_labels(const struct cfc_alloc *alloc, const struct cfc_label *labels, uint32_t count,
            struct cfc_label **out)
{
    size_t size = count * sizeof(struct cfc_label);
    struct cfc_label *copy;
    char *text;

    *out = NULL;
    if (count == 0) {
        return CONFCAST_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        size += (size_t)labels[i].key_size + labels[i].value_size;
    }
    copy = cfc_alloc(alloc, size);
    if (copy == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    text = (char *)(copy + count);
    for (uint32_t i = 0; i < count; i++) {
        copy[i] = labels[i];
        copy[i].key = text;
        memcpy(text, labels[i].key, labels[i].key_size);
        text += labels[i].key_size;
        copy[i].value = text;
        if (labels[i].value_size > 0) {
            memcpy(text, labels[i].value, labels[i].value_size);
        }
        text += labels[i].value_size;
    }
    *out = copy;
    return CONFCAST_OK;
}

int
cfc_receiver_new(const struct cfc_receiver_config *config, struct cfc_receiver **out)
{
    struct cfc_receiver *r;
    int code = check_config(config);

    if (code != CONFCAST_OK) {
        return code;
    }
    r = cfc_alloc(&config->alloc, sizeof(*r) + config->id_size);
    if (r == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(r, 0, sizeof(*r));
    r->config = *config;
    r->id = (char *)(r + 1);
    memcpy(r->id, config->id, config->id_size);
    r->config.id = r->id;
    code = copy_labels(&config->alloc, config->labels, config->label_count, &r->labels);
    if (code != CONFCAST_OK) {
        goto err_free;
    }
    r->config.labels = r->labels;
    code = cfc_content_set_init(&r->contents, &config->alloc);
    if (code != CONFCAST_OK) {
        goto err_labels;
    }
    r->sha = cfc_sha256_new();
    if (r->sha == NULL) {
        code = CONFCAST_ERR_NO_MEMORY;
        goto err_contents;
    }
    r->engine_fresh_period_ns = config->fresh_period_ns;
    r->consumer_key = cfc_consumer_key(r->sha, r->id, config->id_size);
    r->prng.state = config->seed ^ r->consumer_key;
    r->timing.delay_ns = config->nack_delay_ns;
    r->timing.retry_ns = config->nack_retry_ns;
    r->timing.doublings = CFC_ASK_DOUBLINGS_MIN;
    r->nack_wait.seed = cfc_prng_next(&r->prng);
    r->heard_ns = CFC_NEVER;
    r->tick_ns = CFC_NEVER;
    r->latch_unix_ns = CFC_NEVER;
    cfc_early_rx_init(&r->early, &config->alloc);
    cfc_verify_guard_init(&r->guard);
    cfc_link_rx_init(&r->link, &r->config.session_key, config->incarnation, config->seed,
                     config->hello_retry_ns, &r->prng);
    cfc_loss_meter_init(&r->loss);
    cfc_report_rx_init(&r->report, config->report_retry_ns, config->report_refresh_ns, &r->prng);
    *out = r;
    return CONFCAST_OK;

err_contents:
    cfc_content_set_free(&r->contents);
err_labels:
    cfc_free(&config->alloc, r->labels);
err_free:
    cfc_free(&config->alloc, r);
    return code;
}

void
cfc_receiver_free(struct cfc_receiver *r)
{
    struct cfc_alloc alloc;

    if (r == NULL) {
        return;
    }
    alloc = r->config.alloc;
    for (uint32_t i = 0; i < r->scope_count; i++) {
        cfc_free(&alloc, r->scopes[i]->frame);
        cfc_free(&alloc, r->scopes[i]);
    }
    cfc_free(&alloc, r->scopes);
    cfc_free(&alloc, r->scope_table);
    cfc_free(&alloc, r->shards);
    cfc_content_set_free(&r->contents);
    cfc_early_rx_free(&r->early);
    cfc_sha256_free(r->sha);
    cfc_free(&alloc, r->labels);
    cfc_free(&alloc, r);
}

void
cfc_receiver_count(struct cfc_receiver *r, int code)
{
    int number = -code;

    if (number > 0 && number < (int)(sizeof(r->stats.errors) / sizeof(r->stats.errors[0]))) {
        r->stats.errors[number]++;
    }
}

static uint16_t *
table_place(uint16_t *table, uint32_t mask, struct cfc_scope_rx *const *scopes, uint64_t scope_id)
{
    uint32_t i = (uint32_t)scope_id & mask;

    while (table[i] != 0 && scopes[table[i] - 1]->id != scope_id) {
        i = (i + 1) & mask;
    }
    return &table[i];
}

struct cfc_scope_rx *
cfc_receiver_find_scope(const struct cfc_receiver *r, uint64_t scope_id)
{
    uint16_t place;

    if (r->scope_count == 0) {
        return NULL;
    }
    place = *table_place(r->scope_table, 2 * r->scope_capacity - 1, r->scopes, scope_id);
    return place != 0 ? r->scopes[place - 1] : NULL;
}

/* Room for one more scope. */
static int
grow_scopes(struct cfc_receiver *r)
{
    const struct cfc_alloc *alloc = &r->config.alloc;
    uint32_t capacity = r->scope_capacity > 0 ? 2 * r->scope_capacity : SCOPES_FIRST;
    struct cfc_scope_rx **scopes;
    uint16_t *table;

    if (r->scope_count < r->scope_capacity) {
        return CONFCAST_OK;
    }
    scopes = cfc_alloc(alloc, capacity * sizeof(struct cfc_scope_rx *));
    if (scopes == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    table = cfc_alloc(alloc, 2 * capacity * sizeof(uint16_t));
    if (table == NULL) {
        cfc_free(alloc, scopes);
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(table, 0, 2 * capacity * sizeof(uint16_t));
    for (uint32_t i = 0; i < r->scope_count; i++) {
        scopes[i] = r->scopes[i];
        *table_place(table, 2 * capacity - 1, scopes, scopes[i]->id) = (uint16_t)(i + 1);
    }
    cfc_free(alloc, r->scopes);
    cfc_free(alloc, r->scope_table);
    r->scopes = scopes;
    r->scope_table = table;
    r->scope_capacity = capacity;
    return CONFCAST_OK;
}

int
cfc_receiver_subscribe(struct cfc_receiver *r, const char *path, size_t size, uint32_t *idx)
{
    struct cfc_scope_rx *scope;
    uint64_t id;
    int code = cfc_scope_check(path, size);

    if (code != CONFCAST_OK) {
        return code;
    }
    id = cfc_scope_id(r->sha, path, size);
    scope = cfc_receiver_find_scope(r, id);
    if (scope != NULL) {
        bool is_same = scope->path_size == size && memcmp(scope->path, path, size) == 0;

        return is_same ? CONFCAST_ERR_EXISTS : CONFCAST_ERR_COLLISION;
    }
    if (r->scope_count >= CFC_RECEIVER_SCOPES_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    code = grow_scopes(r);
    if (code != CONFCAST_OK) {
        return code;
    }
    scope = cfc_alloc(&r->config.alloc, sizeof(*scope) + size);
    if (scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(scope, 0, sizeof(*scope));
    scope->idx = r->scope_count;
    scope->id = id;
    scope->path_size = (uint16_t)size;
    memcpy(scope->path, path, size);
    /* Whoever joins asks for the head as soon as there is somebody to ask. */
    cfc_ask_restart(&scope->head_ask, r->now.mono_ns);
    cfc_ask_stop(&scope->fresh_ask);
    r->scopes[r->scope_count] = scope;
    *table_place(r->scope_table, 2 * r->scope_capacity - 1, r->scopes, id) =
        (uint16_t)(scope->idx + 1);
    r->scope_count++;
    cfc_receiver_queue_scope(r, scope);
    *idx = scope->idx;
    return CONFCAST_OK;
}

void
cfc_receiver_queue_scope(struct cfc_receiver *r, struct cfc_scope_rx *scope)
{
    if (scope->is_queued) {
        return;
    }
    scope->is_queued = true;
    scope->next_queued = NULL;
    if (r->queue_last != NULL) {
        r->queue_last->next_queued = scope;
    } else {
        r->queue_first = scope;
    }
    r->queue_last = scope;
}

void
cfc_receiver_queue_users(struct cfc_receiver *r, const struct cfc_entry *entry)
{
    for (uint32_t i = 0; i < r->scope_count; i++) {
        const struct cfc_scope_rx *scope = r->scopes[i];

        for (uint32_t n = 0; n < scope->name_count; n++) {
            if (scope->names[n].entry == entry) {
                cfc_receiver_queue_scope(r, r->scopes[i]);
                break;
            }
        }
    }
}

struct cfc_fresh_rx *
cfc_receiver_find_shard(const struct cfc_receiver *r, uint32_t shard)
{
    for (uint32_t i = 0; i < r->shard_count; i++) {
        if (r->shards[i].shard == shard) {
            return &r->shards[i];
        }
    }
    return NULL;
}

struct cfc_fresh_rx *
cfc_receiver_make_shard(struct cfc_receiver *r, uint32_t shard)
{
    struct cfc_fresh_rx *found = cfc_receiver_find_shard(r, shard);

    if (found != NULL) {
        return found;
    }
    if (r->shard_count == r->shard_capacity) {
        uint32_t capacity = r->shard_capacity > 0 ? 2 * r->shard_capacity : SHARDS_FIRST;
        struct cfc_fresh_rx *shards;

        if (capacity > CFC_RECEIVER_SHARDS_MAX) {
            return NULL;
        }
        shards = cfc_alloc(&r->config.alloc, capacity * sizeof(struct cfc_fresh_rx));
        if (shards == NULL) {
            return NULL;
        }
        if (r->shard_count > 0) {
            memcpy(shards, r->shards, r->shard_count * sizeof(struct cfc_fresh_rx));
        }
        cfc_free(&r->config.alloc, r->shards);
        r->shards = shards;
        r->shard_capacity = capacity;
    }
    found = &r->shards[r->shard_count++];
    cfc_fresh_rx_init(found, shard);
    return found;
}

static int
restore_head(struct cfc_receiver *r, struct cfc_scope_rx *scope, const uint8_t *bytes, size_t size)
{
    struct cfc_frame frame;
    struct cfc_head head;
    int code = cfc_frame_open(bytes, size, &frame);

    if (code == CONFCAST_OK && frame.type != CFC_FRAME_HEAD) {
        code = CONFCAST_ERR_UNSUPPORTED;
    }
    if (code == CONFCAST_OK) {
        code = cfc_head_decode(&frame, r->sha, &head);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    if (head.scope_size != scope->path_size ||
        memcmp(head.scope, scope->path, scope->path_size) != 0) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    if (head.version != scope->version) {
        return head.version < scope->version ? CONFCAST_ERR_ROLLBACK : CONFCAST_ERR_INVALID;
    }
    /* It was accepted when it was issued: neither its end nor that of its key matters now. */
    code = cfc_head_verify(&head, &r->config.verifier, head.issued_unix_ns);
    if (code != CONFCAST_OK) {
        return code;
    }
    return cfc_receiver_accept_head(r, scope, &frame, &head, false);
}

int
cfc_receiver_restore(struct cfc_receiver *r, uint32_t idx, uint64_t floor_epoch,
                     uint64_t floor_version, const uint8_t *head_frame, size_t size,
                     const struct cfc_now *now)
{
    struct cfc_scope_rx *scope = idx < r->scope_count ? r->scopes[idx] : NULL;

    r->now = *now;
    if (scope == NULL) {
        return CONFCAST_ERR_RANGE;
    }
    if (scope->version != 0) {
        return CONFCAST_ERR_EXISTS;
    }
    scope->epoch = floor_epoch;
    scope->version = floor_version;
    cfc_receiver_queue_scope(r, scope);
    return head_frame != NULL ? restore_head(r, scope, head_frame, size) : CONFCAST_OK;
}

int
cfc_receiver_content_held(struct cfc_receiver *r, const struct cfc_digest *content)
{
    int code = cfc_content_set_hold(&r->contents, content);

    if (code == CONFCAST_OK) {
        cfc_receiver_queue_users(r, cfc_content_set_find(&r->contents, content));
    }
    return code;
}

/* What never comes is asked for the more rarely the larger the fleet is.  In a large one an answer
 * waits for others to ask, so that what it takes says nothing of the way. */
void
cfc_receiver_fit_timing(struct cfc_receiver *r)
{
    bool is_large;

    r->timing.doublings = cfc_nack_wait_doublings(r->link.windows.nack_us, r->config.nack_retry_ns);
    is_large = r->timing.doublings > CFC_ASK_DOUBLINGS_MIN;
    r->timing.first_ns =
        is_large ? 0 : cfc_answer_time_first(&r->answer_time, r->config.nack_retry_ns);
}

static int
on_welcome(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    struct cfc_welcome welcome;
    int code = cfc_link_rx_welcome(&r->link, frame, r->now.mono_ns, &welcome);

    if (code == CONFCAST_ERR_MAC && welcome.kind == CFC_WELCOME_REFUSE) {
        /* Either forged, or our credential is not what the engine knows: the owner should know. */
        r->identity_reason = CONFCAST_ERR_MAC;
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    if (welcome.kind == CFC_WELCOME_REFUSE) {
        r->identity_reason = -(int)welcome.refusal;
    } else if (welcome.kind == CFC_WELCOME_ACCEPT) {
        cfc_receiver_fit_timing(r);
        cfc_loss_meter_restart(&r->loss);
        r->advice_seq = 0;
        cfc_report_rx_again(&r->report, true, r->link.windows.report_ms, r->now.mono_ns);
        r->nack_wait.from_ns =
            r->now.mono_ns + cfc_nack_wait_draw(&r->prng, r->link.windows.nack_us);
    }
    return CONFCAST_OK;
}

static int
on_status(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    bool was_alive = cfc_receiver_is_engine_alive(r);
    bool has_generation;
    struct cfc_status status;
    int code = cfc_status_decode(frame, &status);

    if (code != CONFCAST_OK) {
        return code;
    }
    has_generation = cfc_link_rx_status(&r->link, &status, r->now.mono_ns);
    cfc_receiver_fit_timing(r);
    if (has_generation) {
        cfc_report_rx_again(&r->report, false, r->link.windows.report_ms, r->now.mono_ns);
    }
    r->is_tick_due = r->is_tick_due || !was_alive;
    if (!r->link.has_session || status.boot_id != r->link.boot_id) {
        return CONFCAST_OK;
    }
    for (uint32_t i = 0; i < status.echo_count; i++) {
        struct cfc_echo echo;

        cfc_status_echo_at(&status, i, &echo);
        if (echo.consumer_key == r->consumer_key) {
            cfc_report_rx_echo(&r->report, echo.report_seq, r->now.mono_ns);
        }
    }
    return CONFCAST_OK;
}

static int
dispatch(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    switch (frame->type) {
    case CFC_FRAME_HEAD:
        return cfc_receiver_on_head(r, frame);
    case CFC_FRAME_CONTENT:
        return cfc_receiver_on_content(r, frame);
    case CFC_FRAME_PAGE:
        return cfc_receiver_on_page(r, frame);
    case CFC_FRAME_SYMBOL:
        return cfc_receiver_on_symbol(r, frame);
    case CFC_FRAME_FRESH:
        return cfc_receiver_on_fresh(r, frame);
    case CFC_FRAME_STATUS:
        return on_status(r, frame);
    case CFC_FRAME_WELCOME:
        return on_welcome(r, frame);
    case CFC_FRAME_GONE:
        return cfc_receiver_on_gone(r, frame);
    case CFC_FRAME_ADVICE:
        return cfc_receiver_on_advice(r, frame);
    default:
        /* What consumers send is not for them. */
        return CONFCAST_ERR_WRONG_STREAM;
    }
}

int
cfc_receiver_on_frame(struct cfc_receiver *r, const uint8_t *bytes, size_t size,
                      const struct cfc_now *now)
{
    struct cfc_frame frame;
    int code;

    r->now = *now;
    r->stats.frames++;
    code = cfc_frame_open(bytes, size, &frame);
    if (code == CONFCAST_ERR_AGAIN) {
        return CONFCAST_OK;
    }
    if (code == CONFCAST_OK) {
        code = dispatch(r, &frame);
        if (code == CONFCAST_ERR_NOT_FOUND || code == CONFCAST_ERR_WRONG_STREAM) {
            cfc_receiver_keep_early(r, &frame);
        } else if (code == CONFCAST_OK && r->early.first != NULL &&
                   frame.type != CFC_FRAME_SYMBOL) {
            cfc_receiver_take_early(r);
        }
    }
    cfc_receiver_count(r, code);
    return code;
}

void
cfc_receiver_heard(struct cfc_receiver *r, uint64_t until_ns)
{
    r->heard_ns = until_ns;
}

int
cfc_receiver_set_labels(struct cfc_receiver *r, const struct cfc_label *labels, uint32_t count)
{
    struct cfc_label *copy;
    int code = check_labels(labels, count);

    if (code == CONFCAST_OK) {
        code = copy_labels(&r->config.alloc, labels, count, &copy);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    cfc_free(&r->config.alloc, r->labels);
    r->labels = copy;
    r->config.labels = copy;
    r->config.label_count = count;
    /* The engine learns labels from HELLO. */
    cfc_link_rx_renew(&r->link, r->now.mono_ns);
    return CONFCAST_OK;
}

static uint64_t
latch_due(const struct cfc_receiver *r)
{
    uint64_t left_ns;

    if (r->latch_unix_ns == CFC_NEVER) {
        return CFC_NEVER;
    }
    if (r->latch_unix_ns <= r->now.unix_ns) {
        return r->now.mono_ns;
    }
    left_ns = r->latch_unix_ns - r->now.unix_ns;
    return left_ns < CFC_NEVER - r->now.mono_ns ? r->now.mono_ns + left_ns : CFC_NEVER;
}

uint64_t
cfc_receiver_deadline(const struct cfc_receiver *r)
{
    uint64_t due_ns[6];
    bool has_engine = r->pull_mode != CFC_PULL_ONLY;
    uint64_t deadline_ns = has_engine ? r->link.deadline_ns : CFC_NEVER;

    if (r->queue_first != NULL || r->contents.event_first != NULL || r->is_tick_due ||
        r->identity_reason != CONFCAST_OK) {
        return 0;
    }
    due_ns[0] = r->tick_ns;
    due_ns[1] = latch_due(r);
    due_ns[2] = has_engine && r->link.has_session ? cfc_receiver_nack_due(r) : CFC_NEVER;
    due_ns[3] = r->pull_mode == CFC_PULL_OFF && r->link.has_session && r->scope_count > 0
                    ? r->report.at_ns
                    : CFC_NEVER;
    due_ns[4] = cfc_early_rx_deadline(&r->early);
    due_ns[5] = has_engine && r->link.has_session ? r->loss.at_ns : CFC_NEVER;
    for (size_t i = 0; i < sizeof(due_ns) / sizeof(due_ns[0]); i++) {
        deadline_ns = due_ns[i] < deadline_ns ? due_ns[i] : deadline_ns;
    }
    return deadline_ns;
}

int
cfc_receiver_scope(const struct cfc_receiver *r, uint32_t idx, struct cfc_receiver_scope *out)
{
    const struct cfc_scope_rx *scope;
    const struct cfc_fresh_rx *shard;
    const struct cfc_entry *arm = NULL;

    if (idx >= r->scope_count) {
        return CONFCAST_ERR_RANGE;
    }
    scope = r->scopes[idx];
    memset(out, 0, sizeof(*out));
    if (scope->frame != NULL) {
        arm = cfc_content_set_find(&r->contents, &scope->head.arms[scope->arm].content);
    }
    cfc_scope_rx_report(scope, arm, &out->entry);
    out->published = scope->published;
    out->freshness = scope->freshness;
    shard = scope->has_shard ? cfc_receiver_find_shard(r, scope->shard) : NULL;
    if (shard != NULL) {
        out->fresh_unix_ns = shard->time_unix_ns;
    }
    if (scope->serving != NULL) {
        out->serving = scope->serving->id;
    }
    out->equivocations = scope->equivocations;
    out->evidence_version = scope->evidence_version;
    memcpy(out->evidence, scope->evidence, sizeof(out->evidence));
    return CONFCAST_OK;
}

const struct cfc_receiver_stats *
cfc_receiver_stats(const struct cfc_receiver *r)
{
    return &r->stats;
}

bool
cfc_receiver_is_linked(const struct cfc_receiver *r)
{
    return r->link.has_session;
}
