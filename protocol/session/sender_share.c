#include "protocol/session/sender_share.h"

#include <assert.h>

#include "confcast/error.h"
#include "protocol/session/sender_state.h"

void
cfc_sender_share_content(const struct cfc_sender *first, uint32_t slot,
                         struct cfc_share_content *out)
{
    const struct cfc_content_slot *held = &first->contents.slots[slot];

    assert(slot < first->contents.used_count && held->frame != NULL);
    *out = (struct cfc_share_content){.key = cfc_digest_key(&held->content.content),
                                      .frame = held->frame,
                                      .frame_size = held->frame_size,
                                      .tree = held->digests,
                                      .tree_size = cfc_tree_digests_size(&held->tree),
                                      .coded = held->coded};
}

bool
cfc_sender_share_has_new_heads(const struct cfc_sender *first)
{
    return !cfc_slot_list_is_empty(&first->heads.stops) ||
           !cfc_slot_list_is_empty(&first->heads.due[0]);
}

struct cfc_share_fleet
cfc_sender_share_fleet(const struct cfc_sender *first)
{
    return (struct cfc_share_fleet){.size = cfc_sender_fleet_size(first),
                                    .consumers = first->roster.known.count,
                                    .lacking = cfc_fleet_loss_lacking(&first->loss),
                                    .parity = cfc_fleet_loss_parity(&first->loss)};
}

uint64_t
cfc_sender_share_rate(const struct cfc_sender *first)
{
    return first->loss.rate;
}

void
cfc_sender_share_sent(struct cfc_sender *first, uint32_t symbols)
{
    cfc_fleet_loss_sent(&first->loss, symbols);
}

void
cfc_sender_share_want(struct cfc_sender *helper, uint64_t content_key, uint32_t groups,
                      bool is_news, uint64_t now_ns)
{
    uint32_t slot = cfc_content_tx_find(&helper->contents, content_key);
    struct cfc_digest content;

    if (slot == CFC_SLOT_NONE) {
        return;
    }
    content = helper->contents.slots[slot].content.content;
    helper->calm_until_ns = 0;
    for (; groups != 0; groups &= groups - 1) {
        cfc_content_tx_want(&helper->contents, &content, (uint32_t)__builtin_ctz(groups), is_news,
                            now_ns);
    }
}

void
cfc_sender_share_drop(struct cfc_sender *helper, uint64_t content_key)
{
    uint32_t slot = cfc_content_tx_find(&helper->contents, content_key);
    struct cfc_digest content;

    if (slot != CFC_SLOT_NONE) {
        content = helper->contents.slots[slot].content.content;
        (void)cfc_content_tx_drop(&helper->contents, &content);
    }
}

int
cfc_sender_share_ask(struct cfc_sender *helper, const struct cfc_share_ask *ask,
                     const struct cfc_now *now)
{
    int code;

    cfc_roster_mirror(&helper->roster, ask->consumer, ask->consumer_key, ask->session,
                      &ask->address, ask->groups);
    helper->calm_until_ns = 0;
    code = cfc_repair_ask(&helper->repair, ask->consumer, &ask->entry, now->mono_ns);
    if (code != CONFCAST_OK) {
        helper->stats.errors[-code]++;
    }
    return code;
}

void
cfc_sender_share_fit(struct cfc_sender *helper, const struct cfc_share_fleet *fleet)
{
    helper->shards[0].fleet_size = fleet->size;
    helper->roster.known.count = fleet->consumers;
    helper->repair.lacking = fleet->lacking;
    helper->contents.parity.reported = fleet->parity;
    cfc_sender_fit_windows(helper);
}

static struct cfc_pacer *
pacer_of(struct cfc_sender *s, enum cfc_grant which)
{
    return which == CFC_GRANT_MULTICAST ? &s->pacer : &s->repair.budget;
}

bool
cfc_sender_lacks(const struct cfc_sender *s, enum cfc_grant which)
{
    const struct cfc_pacer *pacer = which == CFC_GRANT_MULTICAST ? &s->pacer : &s->repair.budget;

    return pacer->rate > 0 && pacer->level < s->config.frame_size_max;
}

void
cfc_sender_grant(struct cfc_sender *s, enum cfc_grant which, uint64_t bytes)
{
    cfc_pacer_grant(pacer_of(s, which), bytes);
}

void
cfc_sender_expect(struct cfc_sender *s, enum cfc_grant which, uint64_t at_ns)
{
    cfc_pacer_expect(pacer_of(s, which), at_ns);
}
