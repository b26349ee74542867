/* What each message of the control plane does. */
#include "dataplane/control_internal.h"

#include <assert.h>

#include "confcast/error.h"
#include "dataplane/log.h"
#include "protocol/snapshot/tree.h"
#include "protocol/wire/frame.h"

bool
cfc_control_answer(struct cfc_control *c, const struct cfc_handoff *message)
{
    const uint32_t answers_max = sizeof(c->answers) / sizeof(c->answers[0]);

    if (c->answer_count == answers_max) {
        cfc_log_error("the control plane does not read its answers");
        return false;
    }
    c->answers[(c->answer_first + c->answer_count++) % answers_max] = *message;
    return true;
}

static int
refuse(struct cfc_control *c, enum cfc_handoff_type type, int error, uint64_t key)
{
    struct cfc_handoff answer = {.type = CFC_HANDOFF_REFUSED};

    answer.u.refused.type = (uint16_t)type;
    answer.u.refused.error = (uint16_t)-error;
    answer.u.refused.key = key;
    c->stats.refused++;
    cfc_log_warning("refused message %d of the control plane (key %016llx): %s", (int)type,
                    (unsigned long long)key, confcast_error_text(error));
    return cfc_control_answer(c, &answer) ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

static int
tell_released(struct cfc_control *c, const struct cfc_ledger_free *released)
{
    struct cfc_handoff answer = {.type = CFC_HANDOFF_RELEASE_ARENA};

    for (uint32_t i = 0; i < released->count; i++) {
        answer.u.release_arena.arena = released->arenas[i];
        if (!cfc_control_answer(c, &answer)) {
            return CONFCAST_ERR_LIMIT;
        }
    }
    return CONFCAST_OK;
}

void
cfc_control_slot_released(struct cfc_control *c, uint32_t slot)
{
    struct cfc_ledger_free released;

    cfc_ledger_release_content(c->ledger, slot, &released);
    /* A full queue shows at the next message; an arena more or less does not harm. */
    (void)tell_released(c, &released);
}

/* The key of a frame that need not be a good one. */
static uint64_t
frame_key(const uint8_t *frame, size_t size)
{
    return size >= CFC_FRAME_HEADER_SIZE ? cfc_get_u64(frame + 8) : 0;
}

static int
apply_arena(struct cfc_control *c, const struct cfc_handoff_arena *m, int fd)
{
    uint32_t idx;
    int rc;

    if (fd == CFC_CONTROL_NO_FD) {
        cfc_log_error("the control plane sent an arena without its descriptor");
        return CONFCAST_ERR_INVALID;
    }
    rc = cfc_arenas_add(&c->arenas, m->arena, fd, m->size, &idx);
    return rc == CONFCAST_OK ? rc : refuse(c, CFC_HANDOFF_ARENA, rc, m->arena);
}

/* Where a CONTENT's tree and coded bytes lie.  Decode errors, INVALID (a tree of another size than
 * the content has), RANGE (outside the arena), NOT_FOUND (no such arena). */
static int
find_memory(struct cfc_control *c, const struct cfc_handoff_content *m, struct cfc_content *content,
            uint32_t *arena, const uint8_t **tree_bytes, const uint8_t **coded)
{
    struct cfc_frame frame;
    struct cfc_tree tree;
    int rc = cfc_frame_open(m->frame, m->frame_size, &frame);

    if (rc == CONFCAST_OK && frame.type != CFC_FRAME_CONTENT) {
        rc = CONFCAST_ERR_UNSUPPORTED;
    }
    if (rc == CONFCAST_OK) {
        rc = cfc_content_decode(&frame, content);
    }
    if (rc == CONFCAST_OK) {
        rc = cfc_tree_init(&tree, content);
    }
    if (rc == CONFCAST_OK && m->tree_size != cfc_tree_digests_size(&tree)) {
        rc = CONFCAST_ERR_INVALID;
    }
    if (rc == CONFCAST_OK) {
        rc = cfc_arenas_find(&c->arenas, m->arena, arena);
    }
    if (rc != CONFCAST_OK) {
        return rc;
    }
    *tree_bytes = cfc_arena_range(&c->arenas, *arena, m->tree_offset, m->tree_size);
    *coded = cfc_arena_range(&c->arenas, *arena, m->coded_offset, content->coded_size);
    return *tree_bytes != NULL && *coded != NULL ? CONFCAST_OK : CONFCAST_ERR_RANGE;
}

static int
apply_content(struct cfc_control *c, const struct cfc_handoff_content *m)
{
    struct cfc_ledger_free released;
    struct cfc_content content;
    const uint8_t *tree;
    const uint8_t *coded;
    uint32_t arena;
    uint32_t slot = CFC_SENDER_NO_SLOT;
    int rc = find_memory(c, m, &content, &arena, &tree, &coded);

    if (rc == CONFCAST_OK) {
        rc = cfc_sender_put_content(c->config.sender, m->frame, m->frame_size, tree, m->tree_size,
                                    coded, m->is_pull_only, &slot);
    }
    if (rc != CONFCAST_OK && rc != CONFCAST_ERR_EXISTS) {
        return refuse(c, CFC_HANDOFF_CONTENT, rc, frame_key(m->frame, m->frame_size));
    }
    cfc_ledger_put_content(c->ledger, slot, &content.content, arena, rc == CONFCAST_OK, &released);
    return tell_released(c, &released);
}

static int
apply_drop_content(struct cfc_control *c, const struct cfc_digest *content)
{
    int rc = cfc_sender_drop_content(c->config.sender, content);

    if (rc != CONFCAST_OK) {
        return refuse(c, CFC_HANDOFF_DROP_CONTENT, rc, cfc_digest_key(content));
    }
    cfc_ledger_drop_content(c->ledger, content);
    return CONFCAST_OK;
}

static int
apply_head(struct cfc_control *c, const struct cfc_handoff_head *m, const struct cfc_now *now)
{
    uint64_t scope_id = frame_key(m->frame, m->frame_size);
    int rc = cfc_sender_put_head(c->config.sender, m->frame, m->frame_size, now);

    if (rc == CONFCAST_OK) {
        rc = cfc_ledger_put_head(c->ledger, scope_id);
    }
    return rc == CONFCAST_OK ? rc : refuse(c, CFC_HANDOFF_HEAD, rc, scope_id);
}

static int
apply_drop_head(struct cfc_control *c, uint64_t scope_id)
{
    int rc = cfc_sender_drop_head(c->config.sender, scope_id);

    cfc_ledger_drop_head(c->ledger, scope_id);
    return rc == CONFCAST_OK ? rc : refuse(c, CFC_HANDOFF_DROP_HEAD, rc, scope_id);
}

/* What the engine holds beyond what this connection handed over goes: it was dropped while the
 * control plane was away. */
static int
apply_synced(struct cfc_control *c, const struct cfc_now *now)
{
    uint32_t head_count = 0;
    uint32_t content_count = 0;
    struct cfc_digest content;
    uint64_t scope_id;

    while (cfc_ledger_stale_head(c->ledger, &scope_id)) {
        (void)cfc_sender_drop_head(c->config.sender, scope_id);
        cfc_ledger_drop_head(c->ledger, scope_id);
        head_count++;
    }
    while (cfc_ledger_stale_content(c->ledger, &content)) {
        (void)cfc_sender_drop_content(c->config.sender, &content);
        cfc_ledger_drop_content(c->ledger, &content);
        content_count++;
    }
    cfc_sender_ask_reports(c->config.sender, now);
    cfc_log_info("synced: %u heads, %u contents, %llu bytes shared; dropped %u heads, %u contents",
                 cfc_ledger_head_count(c->ledger), cfc_ledger_content_count(c->ledger),
                 (unsigned long long)cfc_arenas_size(&c->arenas), head_count, content_count);
    return CONFCAST_OK;
}

static int
apply_rest(struct cfc_control *c, const struct cfc_handoff *m, const struct cfc_now *now)
{
    int rc;

    switch (m->type) {
    case CFC_HANDOFF_SHARD:
        rc = cfc_sender_set_shard(c->config.sender, m->u.shard.shard, m->u.shard.epoch,
                                  m->u.shard.fleet_size);
        return rc == CONFCAST_OK ? rc : refuse(c, m->type, rc, m->u.shard.shard);
    case CFC_HANDOFF_FRESH:
        rc = cfc_sender_put_fresh(c->config.sender, m->u.fresh.frame, m->u.fresh.frame_size,
                                  m->u.fresh.is_changed, now);
        return rc == CONFCAST_OK
                   ? rc
                   : refuse(c, m->type, rc, frame_key(m->u.fresh.frame, m->u.fresh.frame_size));
    case CFC_HANDOFF_DROP_CONTENT:
        return apply_drop_content(c, &m->u.drop_content.content);
    case CFC_HANDOFF_DROP_HEAD:
        return apply_drop_head(c, m->u.drop_head.scope_id);
    case CFC_HANDOFF_SYNCED:
        return apply_synced(c, now);
    default:
        cfc_log_error("the control plane sent message %d, which is for itself", (int)m->type);
        return CONFCAST_ERR_UNSUPPORTED;
    }
}

int
cfc_control_apply(struct cfc_control *c, const struct cfc_handoff *message, int fd,
                  const struct cfc_now *now)
{
    if (fd != CFC_CONTROL_NO_FD && message->type != CFC_HANDOFF_ARENA) {
        cfc_log_error("the control plane sent a descriptor with message %d", (int)message->type);
        return CONFCAST_ERR_INVALID;
    }
    if (!c->has_hello && message->type != CFC_HANDOFF_CONTROL_HELLO) {
        cfc_log_error("the control plane began with message %d", (int)message->type);
        return CONFCAST_ERR_INVALID;
    }
    switch (message->type) {
    case CFC_HANDOFF_CONTROL_HELLO:
        c->has_hello = true;
        return CONFCAST_OK;
    case CFC_HANDOFF_ARENA:
        return apply_arena(c, &message->u.arena, fd);
    case CFC_HANDOFF_CONTENT:
        return apply_content(c, &message->u.content);
    case CFC_HANDOFF_HEAD:
        return apply_head(c, &message->u.head, now);
    default:
        return apply_rest(c, message, now);
    }
}
