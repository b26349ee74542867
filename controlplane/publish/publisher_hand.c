#include <assert.h>
#include <poll.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/log/log.h"
#include "controlplane/publish/publisher_internal.h"
#include "protocol/base/time.h"
#include "protocol/wire/content.h"

enum {
    BATCH_COUNT = 64 /* decisions whose contents share an arena */
};

/* ---- The sets, made for one frame size ------------------------------------------------------- */

void
cfc_publisher_free_sets(struct cfc_publisher *p)
{
    cfc_head_set_free(p->heads); /* names contents: goes first */
    cfc_coded_set_free(p->contents);
    p->heads = NULL;
    p->contents = NULL;
}

static uint32_t
symbol_size_for(uint32_t frame_size_max)
{
    uint32_t room = frame_size_max - CFC_SYMBOL_HEADER_SIZE;

    return room < CFC_SYMBOL_SIZE_DEFAULT ? room / 32 * 32 : CFC_SYMBOL_SIZE_DEFAULT;
}

/* Nine of ten of those who are alive say that they hold what it names, and take deltas. */
static bool
is_base_held(void *arg, const struct cfc_decision *in_force)
{
    struct cfc_publisher *p = arg;
    struct cfc_apply_counts counts;

    return cfc_service_status(p->config.service, in_force->scope, &counts) == CONFCAST_OK &&
           counts.published == in_force->version && counts.alive > 0 &&
           counts.patchable * 10 >= counts.alive * 9;
}

int
cfc_publisher_make_sets(struct cfc_publisher *p, uint32_t frame_size_max)
{
    struct cfc_coded_set_config contents = {
        .signer = p->config.signer,
        .crew = p->crew,
        .shard = p->config.shard,
        .symbol_size = symbol_size_for(frame_size_max),
        .retained_max = p->config.retained_max,
    };
    struct cfc_head_set_config heads = {
        .signer = p->config.signer,
        .crew = p->crew,
        .shard = p->config.shard,
        .epoch = cfc_service_epoch(p->config.service),
        .frame_size_max = frame_size_max,
        .is_base_held = is_base_held,
        .arg = p,
    };
    int error = cfc_coded_set_new(&contents, &p->contents);

    if (error == CONFCAST_OK) {
        error = cfc_head_set_new(&heads, p->contents, &p->heads);
    }
    if (error != CONFCAST_OK) {
        cfc_publisher_free_sets(p);
        return error;
    }
    p->frame_size_max = frame_size_max;
    return CONFCAST_OK;
}

bool
cfc_publisher_is_made_for(const struct cfc_publisher *p, uint32_t frame_size_max)
{
    return symbol_size_for(frame_size_max) == symbol_size_for(p->frame_size_max);
}

/* ---- Handing over ---------------------------------------------------------------------------- */

void
cfc_publisher_disconnected(struct cfc_publisher *p, const char *why)
{
    cfc_engine_link_close(&p->link);
    p->is_synced = false;
    p->next_connect_ns = cfc_publisher_mono_ns() + CFC_PUBLISHER_RECONNECT_MS * CFC_MS;
    pthread_mutex_lock(&p->lock);
    p->status.is_connected = false;
    p->status.engine.count = 0;
    pthread_mutex_unlock(&p->lock);
    cfc_log(CFC_LOG_WARN, "publish", "engine disconnected why=%s", why);
}

static int
hand_content(struct cfc_publisher *p, struct cfc_coded *coded, bool is_pull_only)
{
    struct cfc_handoff message = {.type = CFC_HANDOFF_ARENA};
    int error;

    /* Several scopes may name it: it is sent to all once one of their heads needs that. */
    if (coded->is_handed && (is_pull_only || !coded->is_pull_only)) {
        return CONFCAST_OK;
    }
    if (!coded->arena->is_handed) {
        message.u.arena.arena = coded->arena->number;
        message.u.arena.size = coded->arena->size;
        error = cfc_engine_link_send(&p->link, &message, coded->arena->fd);
        if (error != CONFCAST_OK) {
            return error;
        }
        coded->arena->is_handed = true;
    }
    message = (struct cfc_handoff){
        .type = CFC_HANDOFF_CONTENT,
        .u.content = {.arena = coded->arena->number,
                      .tree_offset = coded->tree_offset,
                      .tree_size = coded->tree_size,
                      .coded_offset = coded->coded_offset,
                      .is_pull_only = is_pull_only,
                      .frame = coded->frame,
                      .frame_size = coded->frame_size},
    };
    error = cfc_engine_link_send(&p->link, &message, -1);
    if (error == CONFCAST_OK) {
        coded->is_handed = true;
        coded->is_pull_only = is_pull_only;
        CFC_PUBLISHER_COUNT(p, contents_handed, 1);
    }
    return error;
}

/* Whether the head carries this content itself, so that nobody needs its symbols unless they ask.
 */
static bool
is_inlined(const struct cfc_signed_head *head, const struct cfc_coded *coded,
           struct cfc_sha256 *sha)
{
    struct cfc_frame frame;
    struct cfc_head decoded;

    return cfc_frame_open(head->frame, head->frame_size, &frame) == CONFCAST_OK &&
           cfc_head_decode(&frame, sha, &decoded) == CONFCAST_OK && decoded.inlined.is_present &&
           cfc_digest_equal(&decoded.arms[decoded.inlined.arm].content, &coded->id);
}

/* Hands over one content that a head names: its delta against what the fleet holds, and the whole.
 * One of them goes to all, if any does: the delta where there is one.  The whole is for those who
 * ask then; they get both CONTENT frames, and take the delta if they can. */
static int
hand_named(struct cfc_publisher *p, const struct cfc_signed_head *head, size_t i)
{
    struct cfc_coded *whole = head->contents[i];
    struct cfc_coded *delta = NULL;
    bool had_it = (head->known >> i & 1) != 0 || cfc_coded_was_told(whole, head->entry.scope_id);
    bool is_known = had_it || is_inlined(head, whole, p->sha);
    int error = CONFCAST_OK;

    if (!cfc_digest_is_zero(&head->base)) {
        delta = cfc_coded_find_delta(whole, &head->base);
    }
    if (delta != NULL) {
        error = hand_content(p, delta, is_known);
        CFC_PUBLISHER_COUNT(p, deltas_published, !had_it);
    }
    return error == CONFCAST_OK ? hand_content(p, whole, is_known || delta != NULL) : error;
}

static int
hand_head(struct cfc_publisher *p, struct cfc_signed_head *head)
{
    struct cfc_handoff message = {.type = CFC_HANDOFF_HEAD,
                                  .u.head = {.frame = head->frame, .frame_size = head->frame_size}};
    int error = CONFCAST_OK;

    for (size_t i = 0; error == CONFCAST_OK && i < head->content_count; i++) {
        error = hand_named(p, head, i);
    }
    if (error == CONFCAST_OK) {
        error = cfc_engine_link_send(&p->link, &message, -1);
    }
    if (error == CONFCAST_OK) {
        for (size_t i = 0; i < head->content_count; i++) {
            cfc_coded_note_told(head->contents[i], head->entry.scope_id);
        }
        head->known = UINT32_MAX;
        CFC_PUBLISHER_COUNT(p, heads_handed, 1);
        cfc_service_note_published(p->config.service, head->decision->scope,
                                   head->decision->version, cfc_publisher_unix_ns());
    }
    return error;
}

static uint32_t
fleet_size(struct cfc_publisher *p)
{
    return (uint32_t)p->status.consumers; /* only this thread writes it */
}

static int
keep_fresh_page(void *arg, const uint8_t *frame, size_t size, bool is_changed)
{
    struct cfc_publisher *p = arg;

    (void)is_changed;
    if (p->config.pull != NULL) {
        /* Without memory for it those who pull keep the FRESH before. */
        (void)cfc_pull_store_fresh_page(p->config.pull, frame, size);
    }
    return CONFCAST_OK;
}

static int
hand_fresh_page(void *arg, const uint8_t *frame, size_t size, bool is_changed)
{
    struct cfc_publisher *p = arg;
    struct cfc_handoff message = {
        .type = CFC_HANDOFF_FRESH,
        .u.fresh = {.is_changed = is_changed, .frame = frame, .frame_size = size}};

    (void)keep_fresh_page(p, frame, size, is_changed);
    return p->is_synced ? cfc_engine_link_send(&p->link, &message, -1) : CONFCAST_OK;
}

int
cfc_publisher_hand_fresh(struct cfc_publisher *p, bool is_for_engine)
{
    uint64_t now = cfc_publisher_unix_ns();
    uint64_t start_ns = cfc_publisher_mono_ns();
    uint64_t end_ns;
    int error;

    if (p->config.pull != NULL) {
        cfc_pull_store_fresh_begin(p->config.pull);
    }
    p->is_pull_fresh_due = false;
    if (is_for_engine) {
        p->next_fresh_ns = start_ns + p->config.fresh_period_ns;
    }
    error = cfc_head_set_fresh(p->heads, cfc_service_seq(p->config.service), now,
                               now + 10 * p->config.fresh_period_ns, fleet_size(p), is_for_engine,
                               is_for_engine ? hand_fresh_page : keep_fresh_page, p);
    if (p->config.pull != NULL && error == CONFCAST_OK) {
        cfc_pull_store_fresh_end(p->config.pull);
    }
    /* It goes over all scopes: heads, which say the same of one scope, must not wait for it. */
    end_ns = cfc_publisher_mono_ns();
    p->fresh_free_ns = end_ns + CFC_PUBLISHER_FRESH_PAUSE * (end_ns - start_ns);
    CFC_PUBLISHER_COUNT(p, fresh_signed, 1);
    return error;
}

int
cfc_publisher_hand_everything(struct cfc_publisher *p)
{
    struct cfc_handoff message = {.type = CFC_HANDOFF_SHARD,
                                  .u.shard = {.shard = p->config.shard,
                                              .fleet_size = fleet_size(p),
                                              .epoch = cfc_service_epoch(p->config.service)}};
    int error = cfc_engine_link_send(&p->link, &message, -1);

    cfc_coded_set_forget_handed(p->contents);
    for (size_t i = 0; error == CONFCAST_OK && i < cfc_head_set_count(p->heads); i++) {
        error = hand_head(p, cfc_head_set_at(p->heads, i));
    }
    if (error == CONFCAST_OK) {
        p->is_synced = true; /* on an error the caller closes the link, which takes it back */
        error = cfc_publisher_hand_fresh(p, true);
    }
    if (error == CONFCAST_OK) {
        message.type = CFC_HANDOFF_SYNCED;
        error = cfc_engine_link_send(&p->link, &message, -1);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    pthread_mutex_lock(&p->lock);
    p->status.is_connected = true;
    pthread_mutex_unlock(&p->lock);
    cfc_log(CFC_LOG_INFO, "publish", "engine synced heads=%zu contents=%zu",
            cfc_head_set_count(p->heads), cfc_coded_set_count(p->contents));
    return CONFCAST_OK;
}

/* ---- Decisions ------------------------------------------------------------------------------- */

static int
add_contents(struct cfc_publisher *p, struct cfc_decision *const *decisions, size_t count)
{
    struct cfc_config_body *bodies[BATCH_COUNT * 2 * CFC_ARM_COUNT_MAX];
    size_t body_count = 0;

    for (size_t i = 0; i < count; i++) {
        for (uint32_t a = 0; a < decisions[i]->arm_count; a++) {
            bodies[body_count++] = decisions[i]->arms[a].content;
            if (decisions[i]->arms[a].fallback != NULL) {
                bodies[body_count++] = decisions[i]->arms[a].fallback;
            }
        }
    }
    return cfc_coded_set_add(p->contents, bodies, body_count);
}

/* Takes the head, unless it fails before the set has it. */
static int
publish(struct cfc_publisher *p, struct cfc_signed_head **prepared)
{
    struct cfc_signed_head *head = *prepared;
    struct cfc_decision *decision = head->decision;
    int error = cfc_head_set_put(p->heads, head);

    if (error != CONFCAST_OK) {
        return error;
    }
    *prepared = NULL;
    if (decision->version <= p->start_seq) {
        /* An earlier process published this to the scope; whoever lacks it asks. */
        head->known = UINT32_MAX;
    }
    p->is_pull_fresh_due = p->config.pull != NULL;
    if (p->config.pull != NULL && !p->status.is_refusing) {
        error = cfc_pull_store_put(p->config.pull, decision, head->frame, head->frame_size);
        if (error != CONFCAST_OK) {
            return error;
        }
        cfc_service_note_published(p->config.service, decision->scope, decision->version,
                                   cfc_publisher_unix_ns());
    }
    if (p->is_synced && !p->status.is_refusing) {
        error = hand_head(p, head);
        if (error != CONFCAST_OK) {
            cfc_publisher_disconnected(p, confcast_error_word(error));
        }
    }
    return CONFCAST_OK; /* What was not handed over goes with the next connection. */
}

static void
evict(struct cfc_publisher *p)
{
    struct cfc_handoff message = {.type = CFC_HANDOFF_DROP_CONTENT};
    bool was_handed = false;

    while (cfc_coded_set_evict(p->contents, &message.u.drop_content.content, &was_handed) ==
           CONFCAST_OK) {
        if (p->is_synced && was_handed &&
            cfc_engine_link_send(&p->link, &message, -1) != CONFCAST_OK) {
            cfc_publisher_disconnected(p, "send");
        }
    }
}

void
cfc_publisher_take_decisions(struct cfc_publisher *p)
{
    struct cfc_signed_head *heads[BATCH_COUNT] = {NULL};
    struct cfc_decision *decisions[BATCH_COUNT];
    size_t count = 0;
    int error;

    while (count < BATCH_COUNT &&
           cfc_service_poll_decision(p->config.service, &decisions[count]) == CONFCAST_OK) {
        count++;
    }
    if (count == 0) {
        return;
    }
    error = add_contents(p, decisions, count);
    if (error == CONFCAST_OK) {
        error = cfc_head_set_prepare(p->heads, decisions, count, cfc_publisher_unix_ns(), heads);
    }
    for (size_t i = 0; error == CONFCAST_OK && i < count; i++) {
        error = publish(p, &heads[i]);
    }
    if (error != CONFCAST_OK) {
        /* Nothing is lost: the model gives every decision again, and a scope keeps its head until
         * then. */
        cfc_log(CFC_LOG_ERROR, "publish", "publish failed error=%s", confcast_error_word(error));
        cfc_service_requeue_decisions(p->config.service);
        p->next_tick_ns = cfc_publisher_mono_ns() + CFC_PUBLISHER_TICK_MS * CFC_MS;
        poll(NULL, 0, CFC_PUBLISHER_RECONNECT_MS);
    }
    for (size_t i = 0; i < count; i++) {
        cfc_head_set_drop(heads[i]);
        cfc_decision_unref(decisions[i]);
    }
    evict(p);
}
