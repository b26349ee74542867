#include "protocol/session/sender_share.h"
#include "protocol/session/sender_state.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"

enum {
    CONSUMERS_MAX = 1 << 24,
    SCOPES_MAX = 1 << 22,
    CONTENTS_MAX = 1 << 20,
    /* One consumer takes at most this part of the repair rate. */
    CONSUMER_SHARE = 4,
};

void
cfc_sender_config_defaults(struct cfc_sender_config *config)
{
    memset(config, 0, sizeof(*config));
    config->group_count = CFC_GROUP_COUNT_MAX;
    config->frame_size_max = CFC_FRAME_SIZE_DEFAULT;
    config->rate_bytes = 62500000; /* 500 Mbit/s */
    config->burst_bytes = 64 * CFC_FRAME_SIZE_DEFAULT;
    config->consumers_max = 1 << 17;
    config->scopes_max = 1 << 14;
    config->contents_max = 1 << 12;
    config->gather_ns = CFC_MS;
    config->echo_ns = 50 * CFC_MS;
    config->unicast_askers_max = 2;
    config->status_period_ns = 500 * CFC_MS;
    config->repair_rate_bytes = 31250000; /* 250 Mbit/s */
    config->loss_quantile = 900;
    config->loss_max = CFC_LOSS_ONE / 20;
    config->outlier_min = CFC_LOSS_ONE * 3 / 10;
    config->advice_hold_s = 300;
    config->windows =
        (struct cfc_windows){.hello_ms = 20, .nack_us = 25, .report_ms = 5, .report_generation = 1};
}

static bool
is_loss_valid(const struct cfc_sender_config *c)
{
    return c->loss_quantile >= 1 && c->loss_quantile <= 1000 && c->advice_hold_s >= 1 &&
           c->advice_hold_s <= CFC_ADVICE_HOLD_S_MAX &&
           (c->rate_bytes == 0 || c->rate_floor_bytes <= c->rate_bytes);
}

static bool
is_valid(const struct cfc_sender_config *c)
{
    return c->alloc.alloc != NULL && c->alloc.free != NULL && c->group_count >= 1 &&
           c->group_count <= CFC_GROUP_COUNT_MAX && c->frame_size_max >= CFC_FRAME_SIZE_MIN &&
           c->frame_size_max <= CFC_FRAME_SIZE_MAX &&
           (c->rate_bytes == 0 || c->burst_bytes >= c->frame_size_max) &&
           c->rate_bytes <= CFC_PACER_RATE_MAX && c->repair_rate_bytes <= CFC_PACER_RATE_MAX &&
           c->consumers_max >= 1 && c->consumers_max <= CONSUMERS_MAX && c->scopes_max >= 1 &&
           c->scopes_max <= SCOPES_MAX && c->contents_max >= 1 && c->contents_max <= CONTENTS_MAX &&
           c->unicast_askers_max >= 1 && c->unicast_askers_max <= CFC_ASKERS_MAX &&
           c->status_period_ns >= 1 && is_loss_valid(c);
}

static int
init_roster(struct cfc_sender *s)
{
    const struct cfc_sender_config *c = &s->config;
    struct cfc_roster_config roster = {
        .consumer_count_max = c->consumers_max,
        /* The first of several takes it for all of them. */
        .repair_rate = c->is_helper ? 0 : c->repair_rate_bytes / CONSUMER_SHARE,
        .boot_id = c->boot_id,
        .nonce_key = c->cookie_key,
        .seed = c->seed,
    };

    if (roster.repair_rate == 0 && c->repair_rate_bytes > 0 && !c->is_helper) {
        roster.repair_rate = 1;
    }
    roster.repair_burst =
        cfc_sender_max(CFC_BLOCK_SYMBOLS_MAX * c->frame_size_max, roster.repair_rate / 10);
    return cfc_roster_init(&s->roster, &roster, &c->alloc);
}

static int
init_loss(struct cfc_sender *s)
{
    const struct cfc_sender_config *c = &s->config;
    struct cfc_fleet_loss_config loss = {
        /* A helper hears no consumers. */
        .consumer_count_max = c->is_helper ? 1 : c->consumers_max,
        .rate = c->rate_bytes,
        .rate_floor =
            c->rate_floor_bytes != 0 ? c->rate_floor_bytes : c->rate_bytes / CFC_PACE_FLOOR_DIVISOR,
        .quantile = c->loss_quantile,
        .loss_max = c->loss_max,
        .outlier_min = c->outlier_min,
        .advice_hold_s = c->advice_hold_s,
    };

    loss.rate_floor += loss.rate_floor == 0;
    return cfc_fleet_loss_init(&s->loss, &loss, &c->alloc);
}

static int
init_repair(struct cfc_sender *s)
{
    const struct cfc_sender_config *c = &s->config;
    struct cfc_repair_config repair = {
        .gather_ns = c->gather_ns,
        .unicast_askers_max = c->unicast_askers_max,
        .frame_size_max = c->frame_size_max,
        .rate_bytes = c->repair_rate_bytes,
        .burst_bytes = cfc_sender_max(16 * c->frame_size_max, c->repair_rate_bytes / 100),
        .seed = c->seed,
    };
    int code;

    s->repair.stock = (struct cfc_repair_stock){
        .contents = &s->contents, .heads = &s->heads, .beacons = &s->beacons};
    s->repair.roster = &s->roster;
    s->repair.stats = &s->stats;
    code = cfc_repair_init(&s->repair, &repair, &c->alloc);
    if (code == CONFCAST_OK && c->share_count > 1) {
        cfc_pacer_init_granted(&s->repair.budget, c->repair_rate_bytes);
    }
    return code;
}

static int
init_parts(struct cfc_sender *s)
{
    const struct cfc_sender_config *c = &s->config;
    int code;

    /* For cfc_sender_free(), should one of the parts not come into being. */
    s->contents.alloc = c->alloc;
    s->heads.alloc = c->alloc;
    cfc_pacer_init(&s->pacer, c->rate_bytes, cfc_sender_max(c->burst_bytes, 1), 0);
    if (c->share_count > 1) {
        cfc_pacer_init_granted(&s->pacer, c->rate_bytes);
    }
    s->status_due_ns = c->is_helper ? CFC_NEVER : 0;
    cfc_gone_tx_init(&s->gone, c->group_count);
    cfc_beacon_tx_init(&s->beacons, c->group_count, c->status_period_ns, &c->alloc);
    s->sha = cfc_sha256_new();
    if (s->sha == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    code =
        cfc_content_tx_init(&s->contents, c->contents_max, c->frame_size_max, c->seed, &c->alloc);
    if (code == CONFCAST_OK) {
        code = cfc_head_tx_init(&s->heads, c->scopes_max, c->group_count,
                                c->rate_bytes > 0 ? c->frame_size_max * CFC_S / c->rate_bytes : 0,
                                s->sha, c->seed, &c->alloc);
    }
    if (code == CONFCAST_OK) {
        code = init_roster(s);
    }
    if (code == CONFCAST_OK) {
        code = init_loss(s);
    }
    if (code == CONFCAST_OK) {
        code = cfc_link_tx_init(&s->link, c);
    }
    if (code == CONFCAST_OK) {
        code = cfc_upcall_queue_init(&s->upcalls, &c->alloc);
    }
    return code == CONFCAST_OK ? init_repair(s) : code;
}

int
cfc_sender_new(const struct cfc_sender_config *config, struct cfc_sender **out)
{
    struct cfc_sender *s;
    int code;

    if (!is_valid(config)) {
        return CONFCAST_ERR_INVALID;
    }
    s = cfc_alloc(&config->alloc, sizeof(*s));
    if (s == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(s, 0, sizeof(*s));
    s->config = *config;
    code = init_parts(s);
    if (code != CONFCAST_OK) {
        cfc_sender_free(s);
        return code;
    }
    *out = s;
    return CONFCAST_OK;
}

void
cfc_sender_free(struct cfc_sender *s)
{
    struct cfc_alloc alloc;

    if (s == NULL) {
        return;
    }
    alloc = s->config.alloc;
    cfc_repair_free(&s->repair, &alloc);
    cfc_upcall_queue_free(&s->upcalls, &alloc);
    cfc_link_tx_free(&s->link, &alloc);
    cfc_fleet_loss_free(&s->loss, &alloc);
    cfc_roster_free(&s->roster, &alloc);
    cfc_head_tx_free(&s->heads);
    cfc_content_tx_free(&s->contents);
    cfc_beacon_tx_free(&s->beacons);
    cfc_sha256_free(s->sha);
    cfc_free(&alloc, s);
}

uint32_t
cfc_sender_fleet_size(const struct cfc_sender *s)
{
    uint32_t size = 0;

    for (uint32_t i = 0; i < CFC_SENDER_SHARDS_MAX; i++) {
        if (s->shards[i].fleet_size > size) {
            size = s->shards[i].fleet_size;
        }
    }
    return size;
}

void
cfc_sender_fit_windows(struct cfc_sender *s)
{
    cfc_link_tx_fit_windows(
        &s->link, (uint32_t)cfc_sender_max(cfc_sender_fleet_size(s), s->roster.known.count));
    cfc_repair_fit(&s->repair, s->link.windows.nack_us, s->config.gather_ns);
}

int
cfc_sender_set_shard(struct cfc_sender *s, uint32_t shard, uint64_t epoch, uint32_t size)
{
    if (shard >= CFC_SENDER_SHARDS_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    if (epoch < s->shards[shard].epoch) {
        return CONFCAST_ERR_FENCED;
    }
    s->shards[shard] = (struct cfc_sender_shard){.epoch = epoch, .fleet_size = size};
    cfc_sender_fit_windows(s);
    return CONFCAST_OK;
}

/* The fence: what comes under a higher epoch than the one announced raises it. */
static int
pass_fence(struct cfc_sender *s, uint32_t shard, uint64_t epoch)
{
    if (shard >= CFC_SENDER_SHARDS_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    if (epoch < s->shards[shard].epoch) {
        return CONFCAST_ERR_FENCED;
    }
    s->shards[shard].epoch = epoch;
    return CONFCAST_OK;
}

int
cfc_sender_put_content(struct cfc_sender *s, const uint8_t *frame, size_t size, const uint8_t *tree,
                       size_t tree_size, const uint8_t *coded, bool is_pull_only, uint32_t *slot)
{
    const struct cfc_share_hooks *share = s->config.share;
    int code = cfc_content_tx_put(&s->contents, frame, size, tree, tree_size, coded,
                                  is_pull_only || share != NULL, slot);

    if (share != NULL && code == CONFCAST_OK) {
        s->contents.slots[*slot].refs++;
    }
    if (share != NULL && (code == CONFCAST_OK || (code == CONFCAST_ERR_EXISTS && !is_pull_only))) {
        share->put(share->ctx, *slot, is_pull_only);
    }
    return code;
}

int
cfc_sender_drop_content(struct cfc_sender *s, const struct cfc_digest *content)
{
    const struct cfc_share_hooks *share = s->config.share;

    if (share != NULL && cfc_content_tx_holds(&s->contents, content)) {
        for (uint32_t i = cfc_content_tx_find(&s->contents, cfc_digest_key(content));
             i != CFC_SLOT_NONE; i = s->contents.slots[i].sibling) {
            share->drop(share->ctx, i);
        }
    }
    return cfc_content_tx_drop(&s->contents, content);
}

/* Opens a frame that must be of one type. */
static int
open_frame(const struct cfc_sender *s, const uint8_t *bytes, size_t size, uint8_t type,
           struct cfc_frame *out)
{
    int code = cfc_frame_open(bytes, size, out);

    if (code == CONFCAST_ERR_AGAIN || (code == CONFCAST_OK && out->type != type)) {
        return CONFCAST_ERR_UNSUPPORTED;
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    return size <= s->config.frame_size_max ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

static bool
is_held(const struct cfc_sender *s, const struct cfc_head *head, const struct cfc_digest *content)
{
    const struct cfc_inline_content *inlined = &head->inlined;

    return cfc_digest_is_zero(content) || cfc_content_tx_holds(&s->contents, content) ||
           (inlined->is_present && cfc_digest_equal(&head->arms[inlined->arm].content, content));
}

/* A head of `group` names this content, or none. */
static void
want(struct cfc_sender *s, const struct cfc_digest *content, uint32_t group, bool is_news,
     uint64_t now_ns)
{
    const struct cfc_share_hooks *share = s->config.share;

    if (share == NULL) {
        cfc_content_tx_want(&s->contents, content, group, is_news, now_ns);
    } else if (cfc_content_tx_holds(&s->contents, content)) {
        share->want(share->ctx, cfc_content_tx_find(&s->contents, cfc_digest_key(content)), group,
                    is_news, now_ns);
    }
}

int
cfc_sender_put_head(struct cfc_sender *s, const uint8_t *bytes, size_t size,
                    const struct cfc_now *now)
{
    struct cfc_frame frame;
    struct cfc_head head;
    uint32_t group;
    bool is_news;
    int code = open_frame(s, bytes, size, CFC_FRAME_HEAD, &frame);

    if (code == CONFCAST_OK) {
        code = cfc_head_decode(&frame, s->sha, &head);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    for (uint32_t i = 0; i < head.arm_count; i++) {
        if (!is_held(s, &head, &head.arms[i].content) ||
            !is_held(s, &head, &head.arms[i].fallback)) {
            return CONFCAST_ERR_NOT_FOUND;
        }
    }
    s->calm_until_ns = 0;
    is_news = now->unix_ns < head.issued_unix_ns ||
              now->unix_ns - head.issued_unix_ns <= CFC_SENDER_NEWS_NS;
    code = pass_fence(s, head.shard, head.epoch);
    if (code == CONFCAST_OK) {
        code = cfc_head_tx_put(&s->heads, &frame, &head, cfc_sender_fleet_size(s), is_news,
                               now->mono_ns);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    group = (uint32_t)(frame.key % s->config.group_count);
    for (uint32_t i = 0; i < head.arm_count; i++) {
        want(s, &head.arms[i].content, group, is_news, now->mono_ns);
        want(s, &head.arms[i].fallback, group, is_news, now->mono_ns);
    }
    return CONFCAST_OK;
}

int
cfc_sender_drop_head(struct cfc_sender *s, uint64_t scope_id)
{
    return cfc_head_tx_drop(&s->heads, scope_id);
}

int
cfc_sender_put_fresh(struct cfc_sender *s, const uint8_t *bytes, size_t size, bool is_changed,
                     const struct cfc_now *now)
{
    struct cfc_frame frame;
    struct cfc_fresh fresh;
    int code = open_frame(s, bytes, size, CFC_FRAME_FRESH, &frame);

    s->calm_until_ns = 0;
    (void)now;
    if (code == CONFCAST_OK) {
        code = cfc_fresh_decode(&frame, &fresh);
    }
    if (code == CONFCAST_OK) {
        code = pass_fence(s, fresh.shard, fresh.epoch);
    }
    if (code == CONFCAST_OK) {
        code = cfc_beacon_tx_put(&s->beacons, &frame, &fresh, is_changed);
    }
    if (code == CONFCAST_OK) {
        s->shards[fresh.shard].fleet_size = fresh.fleet_size;
    }
    return code;
}

void
cfc_sender_ask_reports(struct cfc_sender *s, const struct cfc_now *now)
{
    s->link.windows.report_generation++;
    cfc_roster_forget_reports(&s->roster);
    s->calm_until_ns = 0;
    s->status_due_ns = now->mono_ns;
}

int
cfc_sender_poll_upcall(struct cfc_sender *s, struct cfc_upcall *out)
{
    uint32_t slot = cfc_content_tx_take_released(&s->contents);

    if (slot != CFC_SLOT_NONE) {
        *out = (struct cfc_upcall){.type = CFC_UPCALL_RELEASED, .slot = slot};
        return CONFCAST_OK;
    }
    return cfc_upcall_queue_poll(&s->upcalls, out);
}

const struct cfc_sender_stats *
cfc_sender_stats(const struct cfc_sender *s)
{
    return &s->stats;
}
