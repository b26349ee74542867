#include "protocol/session/gone_tx.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/wire/nack.h"

_Static_assert(CFC_GONE_CROWDS == 64, "one bit of `due` for each");

void
cfc_gone_tx_init(struct cfc_gone_tx *gt, uint32_t group_count)
{
    memset(gt, 0, sizeof(*gt));
    gt->group_count = group_count;
}

static bool
is_alone(const struct cfc_gone_crowd *crowd, uint32_t consumer)
{
    for (uint32_t i = 0; i < crowd->alone_count; i++) {
        if (crowd->alone[i] == consumer) {
            return true;
        }
    }
    return false;
}

bool
cfc_gone_tx_covers(struct cfc_gone_tx *gt, uint64_t scope_id, uint32_t consumer, uint64_t now_ns)
{
    /* A scope id is a digest: its low bits tell scopes apart but also choose their group. */
    uint32_t place = (uint32_t)(scope_id >> 32) % CFC_GONE_CROWDS;
    struct cfc_gone_crowd *crowd = &gt->crowds[place];

    if (crowd->since_ns == 0 || now_ns - crowd->since_ns >= CFC_GONE_WINDOW_NS) {
        gt->due &= ~(UINT64_C(1) << place);
        *crowd = (struct cfc_gone_crowd){.scope_id = scope_id, .since_ns = now_ns};
    }
    if (crowd->scope_id != scope_id || is_alone(crowd, consumer)) {
        return false;
    }
    if (crowd->alone_count < CFC_GONE_ALONE) {
        crowd->alone[crowd->alone_count++] = consumer;
        return false;
    }
    if (now_ns >= crowd->quiet_until_ns) {
        gt->due |= UINT64_C(1) << place;
        crowd->quiet_until_ns = now_ns + CFC_GONE_QUIET_NS;
    }
    return true;
}

int
cfc_gone_tx_poll(struct cfc_gone_tx *gt, uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    struct cfc_gone gone = {.want = CFC_WANT_HEAD};
    int code;

    if (gt->due == 0) {
        return CONFCAST_ERR_AGAIN;
    }
    gone.key = gt->crowds[__builtin_ctzll(gt->due)].scope_id;
    gt->due &= gt->due - 1;
    code = cfc_gone_encode(&gone, header, capacity, &out->header_size);
    assert(code == CONFCAST_OK);
    (void)code;
    out->is_multicast = true;
    out->group = (uint32_t)(gone.key % gt->group_count);
    return CONFCAST_OK;
}
