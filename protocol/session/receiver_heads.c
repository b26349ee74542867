/* Heads as they come: acceptance, and what an accepted head names. */
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"
#include "protocol/session/receiver_state.h"

enum {
    FRAME_SIZE_OFFSET = 4
};

/* The needs of the contents that a head names, given what is to be served now. */
static enum cfc_need
need_of(const struct cfc_scope_rx *scope, const struct cfc_head *head, uint8_t own_arm, uint8_t arm,
        bool is_fallback)
{
    bool is_fallback_target = scope->is_reverted;

    if (arm != own_arm) {
        return CFC_NEED_OTHER;
    }
    if (!scope->is_active) {
        is_fallback_target = !cfc_digest_is_zero(&head->arms[arm].fallback);
    }
    return is_fallback == is_fallback_target ? CFC_NEED_TARGET : CFC_NEED_ARM;
}

static void
release_names(struct cfc_receiver *r, const struct cfc_scope_name *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cfc_content_set_release(&r->contents, names[i].entry, names[i].need);
    }
}

/* Refers to all that `head` names.  NO_MEMORY: refers to nothing. */
static int
acquire_names(struct cfc_receiver *r, const struct cfc_scope_rx *scope, const struct cfc_head *head,
              uint8_t own_arm, struct cfc_scope_name names[CFC_SCOPE_NAMES_MAX], uint32_t *count)
{
    *count = 0;
    for (uint8_t arm = 0; arm < head->arm_count; arm++) {
        const struct cfc_digest *ids[2] = {&head->arms[arm].content, &head->arms[arm].fallback};

        for (int i = 0; i < 2; i++) {
            struct cfc_scope_name *name = &names[*count];

            if (cfc_digest_is_zero(ids[i])) {
                continue;
            }
            name->need = need_of(scope, head, own_arm, arm, i == 1);
            name->entry = cfc_content_set_acquire(&r->contents, ids[i], name->need,
                                                  cfc_receiver_content_due(r));
            if (name->entry == NULL) {
                release_names(r, names, *count);
                *count = 0;
                return CONFCAST_ERR_NO_MEMORY;
            }
            (*count)++;
        }
    }
    return CONFCAST_OK;
}

static void
replace_names(struct cfc_receiver *r, struct cfc_scope_rx *scope,
              const struct cfc_scope_name names[CFC_SCOPE_NAMES_MAX], uint32_t count)
{
    struct cfc_scope_name old[CFC_SCOPE_NAMES_MAX];
    uint32_t old_count = scope->name_count;

    memcpy(old, scope->names, sizeof(old));
    memcpy(scope->names, names, count * sizeof(names[0]));
    scope->name_count = count;
    release_names(r, old, old_count);
}

void
cfc_receiver_rename(struct cfc_receiver *r, struct cfc_scope_rx *scope)
{
    struct cfc_scope_name names[CFC_SCOPE_NAMES_MAX];
    uint32_t count;

    /* All entries exist already, so that this cannot fail for want of memory. */
    if (acquire_names(r, scope, &scope->head, scope->arm, names, &count) == CONFCAST_OK) {
        replace_names(r, scope, names, count);
    }
}

/* A copy of a HEAD frame up to its signature: a valid frame without the unsigned TLVs. */
static uint8_t *
copy_frame(struct cfc_receiver *r, const struct cfc_frame *frame, const struct cfc_head *head,
           size_t *size)
{
    uint8_t *copy;

    *size = (size_t)(head->signature - frame->bytes) + CFC_SIGNATURE_SIZE;
    copy = cfc_alloc(&r->config.alloc, *size);
    if (copy != NULL) {
        memcpy(copy, frame->bytes, *size);
        cfc_put_u16(copy + FRAME_SIZE_OFFSET, (uint16_t)*size);
    }
    return copy;
}

static int
decode_copy(struct cfc_receiver *r, const uint8_t *bytes, size_t size, struct cfc_head *head)
{
    struct cfc_frame frame;
    int code = cfc_frame_open(bytes, size, &frame);

    return code == CONFCAST_OK ? cfc_head_decode(&frame, r->sha, head) : code;
}

/* A version that names a content anew gives it another chance. */
static void
forgive_names(struct cfc_receiver *r, const struct cfc_scope_rx *scope)
{
    for (uint32_t i = 0; i < scope->name_count; i++) {
        struct cfc_entry *entry = scope->names[i].entry;

        entry->bad_count = 0;
        entry->is_inline_bad = false;
        entry->owner_retries = 0;
        if (entry->state == CFC_ENTRY_REFUSED) {
            cfc_content_set_state(&r->contents, entry, CFC_ENTRY_ABSENT);
            cfc_ask_restart(&entry->ask, cfc_receiver_content_due(r));
        }
    }
}

/* Whether the key of a verified head has authority for every scope, as FRESH asks: only then does
 * its epoch fence the whole shard.  A key that is confined to one tenant must not fence the others.
 * Asked when an epoch rises, which is rare. */
static bool
speaks_for_shard(const struct cfc_receiver *r, const struct cfc_head *head)
{
    const struct cfc_verifier *verifier = &r->config.verifier;

    return verifier->verify(verifier->ctx, head->key_id, "", 0, r->now.unix_ns, CFC_DOMAIN_HEAD_SIG,
                            head->signed_bytes, head->signed_size, head->signature) == CONFCAST_OK;
}

int
cfc_receiver_accept_head(struct cfc_receiver *r, struct cfc_scope_rx *scope,
                         const struct cfc_frame *frame, const struct cfc_head *head,
                         bool is_same_decision)
{
    struct cfc_scope_name names[CFC_SCOPE_NAMES_MAX];
    struct cfc_fresh_rx *shard = cfc_receiver_make_shard(r, head->shard);
    struct cfc_head copied;
    uint8_t *copy;
    size_t size;
    uint32_t count;
    uint8_t arm = scope->arm;
    int code;

    if (shard == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    copy = copy_frame(r, frame, head, &size);
    if (copy == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    code = decode_copy(r, copy, size, &copied);
    if (code != CONFCAST_OK) {
        goto err_free;
    }
    if (!is_same_decision) {
        arm = cfc_scope_rx_choose_arm(head, r->sha, r->id, r->config.id_size, r->config.labels,
                                      r->config.label_count);
    }
    code = acquire_names(r, scope, &copied, arm, names, &count);
    if (code != CONFCAST_OK) {
        goto err_free;
    }

    cfc_free(&r->config.alloc, scope->frame);
    scope->frame = copy;
    scope->frame_size = size;
    scope->head = copied;
    scope->arm = arm;
    scope->version = head->version;
    scope->epoch = head->epoch > scope->epoch ? head->epoch : scope->epoch;
    scope->shard = head->shard;
    scope->has_shard = true;
    if (scope->epoch > shard->epoch && speaks_for_shard(r, head)) {
        shard->epoch = scope->epoch;
    }
    cfc_head_digest(head, r->sha, scope->head_digest);
    scope->head_error = CONFCAST_OK;
    if (!is_same_decision) {
        scope->is_active = false;
        scope->is_reverted = false;
        scope->is_prepared_told = false;
        memset(scope->rejections, 0, sizeof(scope->rejections));
    }
    (void)cfc_scope_rx_latch(scope, r->now.unix_ns);
    replace_names(r, scope, names, count);
    cfc_receiver_rename(r, scope);
    if (!is_same_decision) {
        forgive_names(r, scope);
    }
    if (scope->published <= scope->version) {
        cfc_ask_stop(&scope->head_ask);
    }
    cfc_receiver_queue_scope(r, scope);
    return CONFCAST_OK;

err_free:
    cfc_free(&r->config.alloc, copy);
    return code;
}

static bool
is_announced(const struct cfc_receiver *r, const struct cfc_scope_rx *scope,
             const struct cfc_head *head)
{
    uint8_t digest[CFC_SHORT_DIGEST_SIZE];

    if (head->version != scope->published) {
        return false;
    }
    cfc_head_digest(head, r->sha, digest);
    return memcmp(digest, scope->published_digest, sizeof(digest)) == 0;
}

static int
verify_head(struct cfc_receiver *r, const struct cfc_scope_rx *scope, const struct cfc_head *head)
{
    enum cfc_verify_kind kind =
        is_announced(r, scope, head) ? CFC_VERIFY_ANNOUNCED : CFC_VERIFY_HEAD;
    uint8_t memo[CFC_SHORT_DIGEST_SIZE];
    int code = cfc_verify_guard_admit(&r->guard, kind, r->sha, head->signed_bytes,
                                      head->signed_size, head->signature, r->now.mono_ns, memo);

    if (code != CONFCAST_OK) {
        return code;
    }
    code = cfc_head_verify(head, &r->config.verifier, r->now.unix_ns);
    if (code == CONFCAST_ERR_SIGNATURE) {
        cfc_verify_guard_failed(&r->guard, memo);
    }
    return code;
}

static void
keep_evidence(struct cfc_receiver *r, struct cfc_scope_rx *scope, const struct cfc_head *head)
{
    scope->equivocations++;
    scope->evidence_version = head->version;
    memcpy(scope->evidence[0], scope->head_digest, CFC_SHORT_DIGEST_SIZE);
    cfc_head_digest(head, r->sha, scope->evidence[1]);
}

/* What the newest published head was refused for is of interest, and asking for it again at once is
 * of no use.  Forged heads must not slow the asking down, so that only a head that FRESH announced
 * does, or one that was asked for in vain for long. */
static int
refuse(struct cfc_receiver *r, struct cfc_scope_rx *scope, bool is_known_genuine, int code)
{
    struct cfc_ask *ask = &scope->head_ask;
    uint64_t again_ns = r->now.mono_ns + CFC_RECEIVER_REFUSED_RETRY_NS;

    scope->head_error = code;
    if (cfc_ask_is_on(ask) && ask->at_ns < again_ns &&
        (is_known_genuine || ask->tries >= CFC_ASK_DOUBLINGS_MIN)) {
        ask->at_ns = again_ns;
    }
    cfc_receiver_queue_scope(r, scope);
    return code;
}

static bool
is_about_head(int code)
{
    return code == CONFCAST_ERR_JUMP || code == CONFCAST_ERR_EXPIRED ||
           code == CONFCAST_ERR_NOT_YET_VALID || code == CONFCAST_ERR_AUTHORITY;
}

/* The contents that the accepted head names, and that are being collected. */
static void
probe_contents(const struct cfc_receiver *r, const struct cfc_scope_rx *scope)
{
    for (uint32_t i = 0; i < scope->name_count; i++) {
        const struct cfc_entry *entry = scope->names[i].entry;

        if (entry->state == CFC_ENTRY_COLLECTING) {
            cfc_content_rx_probed(entry->rx, r->now.mono_ns);
        }
    }
}

int
cfc_receiver_on_head(struct cfc_receiver *r, const struct cfc_frame *frame)
{
    struct cfc_scope_rx *scope = cfc_receiver_find_scope(r, frame->key);
    const struct cfc_fresh_rx *shard;
    enum cfc_head_verdict verdict;
    struct cfc_head head;
    int code;

    if (scope == NULL) {
        return CONFCAST_ERR_WRONG_STREAM;
    }
    code = cfc_head_decode(frame, r->sha, &head);
    if (code != CONFCAST_OK) {
        return code == CONFCAST_ERR_UNSUPPORTED ? refuse(r, scope, false, code) : code;
    }
    shard = cfc_receiver_find_shard(r, head.shard);
    code = cfc_scope_rx_check(scope, &head, shard != NULL ? shard->epoch : 0,
                              shard != NULL ? shard->sequence : 0, r->now.unix_ns, &verdict);
    if (code == CONFCAST_OK && verdict == CFC_HEAD_REPEATED) {
        cfc_receiver_take_inlined(r, &head);
        probe_contents(r, scope);
        return CONFCAST_OK;
    }
    if (code == CONFCAST_OK) {
        code = verify_head(r, scope, &head);
    }
    if (code != CONFCAST_OK) {
        return is_about_head(code) ? refuse(r, scope, is_announced(r, scope, &head), code) : code;
    }
    if (verdict == CFC_HEAD_REENDORSED && !cfc_head_same_decision(&scope->head, &head)) {
        keep_evidence(r, scope, &head);
        return refuse(r, scope, true, CONFCAST_ERR_EQUIVOCATION);
    }
    code = cfc_receiver_accept_head(r, scope, frame, &head, verdict == CFC_HEAD_REENDORSED);
    if (code != CONFCAST_OK) {
        return code;
    }
    scope->is_accepted_due = true;
    cfc_receiver_take_inlined(r, &head);
    return CONFCAST_OK;
}
