#include "protocol/session/sender_view.h"

#include <assert.h>

#include "confcast/error.h"
#include "protocol/session/sender_share.h"
#include "protocol/session/sender_state.h"

static const char *const phases[] = {
#define NAME_(name) #name,
    CFC_CAST_PHASES(NAME_)
#undef NAME_
};

void
cfc_sender_view_queues(const struct cfc_sender *s, struct cfc_sender_queues *out)
{
    const struct cfc_slot_list *repairs = s->repair.lists;

    *out = (struct cfc_sender_queues){
        .heads = s->heads.by_scope.count,
        .contents = s->contents.used_count - s->contents.free.count - s->contents.released.count,
        .passes_news = cfc_pass_queue_count(&s->contents.passes, true),
        .passes_rest = cfc_pass_queue_count(&s->contents.passes, false),
        .replies = s->link.reply_count,
        .echoes = s->roster.echoes.count,
        .repairs_gathering = repairs[CFC_REPAIR_GATHERING].count,
        .repairs_unicast = repairs[CFC_REPAIR_UNICAST].count,
        .repairs_multicast = repairs[CFC_REPAIR_MULTICAST].count + s->repair.urgent_multicast.count,
        .repairs_quiet = repairs[CFC_REPAIR_QUIET].count,
        .upcalls = s->upcalls.count,
        .fleet_size = cfc_sender_fleet_size(s),
        .pacing_rate_bytes = s->loss.rate,
        .pacing_level_bytes = s->pacer.level,
        .pacing_slowdowns = s->loss.slowdowns,
        .pacing_floor_bytes = s->config.rate_bytes > 0 ? s->loss.config.rate_floor : 0,
        .pacing_state = s->loss.state,
        .loss_reporters = s->loss.all_count,
        .loss_outliers = s->loss.outlier_count,
        .loss_p50 = cfc_fleet_loss_quantile(&s->loss, 500),
        .loss_p90 = cfc_fleet_loss_quantile(&s->loss, 900),
        .loss_p99 = cfc_fleet_loss_quantile(&s->loss, 990),
        .loss_p999 = cfc_fleet_loss_quantile(&s->loss, 999),
        .loss_worst = cfc_fleet_loss_quantile(&s->loss, 1000),
        .parity_sixteenths = s->contents.parity.level,
    };
    out->heads_due = s->heads.stops.count;
    for (uint32_t i = 0; i < CFC_HEAD_SENDINGS; i++) {
        out->heads_due += s->heads.due[i].count;
    }
}

/* Source symbols of the blocks before `block`. */
static uint64_t
symbols_before(const struct cfc_content_slot *slot, uint32_t block)
{
    uint64_t all =
        (slot->content.coded_size + slot->content.symbol_size - 1) / slot->content.symbol_size;
    uint64_t before = (uint64_t)block * slot->content.fec_k;

    return before < all ? before : all;
}

/* Source symbols sent of the blocks that go together. */
static uint64_t
symbols_of_group(const struct cfc_content_slot *slot)
{
    uint64_t sum = 0;

    for (uint32_t block = slot->first_block; block < slot->end_block; block++) {
        sum +=
            cfc_sender_min(cfc_geometry_block_symbols(&slot->tree.geometry, &slot->content, block),
                           slot->symbol + (block < slot->block));
    }
    return sum;
}

static uint64_t
symbols_done(const struct cfc_content_slot *slot)
{
    switch (slot->phase) {
    case CFC_CAST_IDLE:
        return slot->sent_groups != 0 ? symbols_before(slot, UINT32_MAX) : 0;
    case CFC_CAST_ANNOUNCE:
        return 0;
    case CFC_CAST_PAGES:
        return symbols_before(slot, slot->first_block);
    case CFC_CAST_SYMBOLS:
        return symbols_before(slot, slot->first_block) + symbols_of_group(slot);
    default:
        return symbols_before(slot, UINT32_MAX);
    }
}

static struct cfc_scope_coding
view_coding(const struct cfc_content_slot *slot)
{
    return (struct cfc_scope_coding){
        .content = slot->content.content,
        .coding = slot->content.coding,
        .phase = phases[slot->phase],
        .symbols = symbols_before(slot, UINT32_MAX),
        .symbols_done = symbols_done(slot),
        .groups = slot->groups,
        .sent_groups = slot->sent_groups,
        .is_pull_only = slot->is_pull_only,
    };
}

/* The codings of one content, behind those that are there. */
static void
add_codings(const struct cfc_content_tx *ct, const struct cfc_digest *content,
            struct cfc_scope_view *out)
{
    uint32_t i;

    if (cfc_digest_is_zero(content) || !cfc_content_tx_holds(ct, content)) {
        return;
    }
    for (uint32_t k = 0; k < out->coding_count; k++) {
        if (cfc_digest_equal(&out->codings[k].content, content)) {
            return; /* several arms name it */
        }
    }
    for (i = cfc_content_tx_find(ct, cfc_digest_key(content));
         i != CFC_SLOT_NONE && out->coding_count < CFC_SCOPE_CODINGS_MAX;
         i = ct->slots[i].sibling) {
        out->codings[out->coding_count++] = view_coding(&ct->slots[i]);
    }
}

int
cfc_sender_view_scope(const struct cfc_sender *s, uint64_t scope_id, struct cfc_scope_view *out)
{
    uint32_t slot = cfc_head_tx_find(&s->heads, scope_id);
    const struct cfc_head_slot *h;
    struct cfc_frame frame;
    struct cfc_head head;
    int code;

    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    h = &s->heads.slots[slot];
    *out = (struct cfc_scope_view){.epoch = h->epoch,
                                   .version = h->version,
                                   .sendings = h->sending,
                                   .group = h->group,
                                   .is_reported = h->news_ns == 0};
    code = cfc_frame_open(h->frame, h->frame_size, &frame);
    if (code == CONFCAST_OK) {
        code = cfc_head_decode(&frame, s->sha, &head);
    }
    assert(code == CONFCAST_OK);
    for (uint32_t i = 0; i < head.arm_count; i++) {
        add_codings(&s->contents, &head.arms[i].content, out);
        add_codings(&s->contents, &head.arms[i].fallback, out);
    }
    return CONFCAST_OK;
}

void
cfc_sender_share_view(const struct cfc_sender *helper, struct cfc_scope_view *view)
{
    for (uint32_t i = 0; i < view->coding_count; i++) {
        struct cfc_scope_coding *coding = &view->codings[i];
        uint32_t slot = cfc_content_tx_find_coding(
            &helper->contents, cfc_digest_key(&coding->content), coding->coding);

        if (slot != CFC_SLOT_NONE) {
            *coding = view_coding(&helper->contents.slots[slot]);
        }
    }
}
