#include "protocol/wire/head.h"

#include "confcast/error.h"
#include "protocol/base/scope.h"
#include "protocol/wire/content.h"
#include "protocol/wire/signed.h"

enum {
    SIGNED_FIXED_SIZE = 80, /* signed size up to and with the key id */
    INLINE_FIXED_SIZE = 8
};

static int
check_arm(const struct cfc_arm *arm, bool is_last)
{
    if (arm->selector > CFC_SELECT_LABEL) {
        return CONFCAST_ERR_VERSION;
    }
    if ((arm->selector == CFC_SELECT_ALL) != is_last) {
        return CONFCAST_ERR_RANGE;
    }
    if (arm->selector != CFC_SELECT_COHORT && arm->threshold != 0) {
        return CONFCAST_ERR_RANGE;
    }
    if (arm->selector != CFC_SELECT_LABEL) {
        if (arm->label_key_size != 0 || arm->label_value_size != 0) {
            return CONFCAST_ERR_RANGE;
        }
    } else if (cfc_label_check(arm->label_key, arm->label_key_size, arm->label_value,
                               arm->label_value_size) != CONFCAST_OK) {
        return CONFCAST_ERR_RANGE;
    }
    return cfc_digest_is_zero(&arm->content) ? CONFCAST_ERR_RANGE : CONFCAST_OK;
}

static int
check_inline(const struct cfc_head *head)
{
    const struct cfc_inline_content *in = &head->inlined;

    if (!in->is_present) {
        return CONFCAST_OK;
    }
    if (in->arm >= head->arm_count) {
        return CONFCAST_ERR_RANGE;
    }
    if (in->encoding > CFC_ENCODING_ZSTD_DELTA) {
        return CONFCAST_ERR_VERSION;
    }
    if (in->body_size == 0 || in->coded_size == 0 ||
        (in->encoding == CFC_ENCODING_ZSTD_DELTA) == cfc_digest_is_zero(&in->base) ||
        cfc_digest_equal(&in->base, &head->arms[in->arm].content)) {
        return CONFCAST_ERR_RANGE;
    }
    if (in->body_size > CFC_BODY_SIZE_MAX || in->coded_size > CFC_FRAME_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (in->encoding == CFC_ENCODING_RAW && in->coded_size != in->body_size) {
        return CONFCAST_ERR_RANGE;
    }
    return CONFCAST_OK;
}

/* The rules of a head that need no bytes; both directions obey them. */
static int
check_rules(const struct cfc_head *head)
{
    if (head->kind > CFC_HEAD_DELETED || head->activation > CFC_ACTIVATE_AT) {
        return CONFCAST_ERR_VERSION;
    }
    if (head->arm_count < 1 || head->arm_count > CFC_ARM_COUNT_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    if (head->epoch == 0 || head->version == 0) {
        return CONFCAST_ERR_RANGE;
    }
    if ((head->activation == CFC_ACTIVATE_AT) != (head->activate_unix_ns != 0)) {
        return CONFCAST_ERR_RANGE;
    }
    for (uint32_t i = 0; i < head->arm_count; i++) {
        int rc = check_arm(&head->arms[i], i + 1 == head->arm_count);

        if (rc != CONFCAST_OK) {
            return rc;
        }
    }
    return check_inline(head);
}

static int
read_arm(struct cfc_reader *r, struct cfc_arm *arm)
{
    uint8_t reserved;

    arm->selector = cfc_read_u8(r);
    arm->label_key_size = cfc_read_u8(r);
    arm->label_value_size = cfc_read_u8(r);
    reserved = cfc_read_u8(r);
    arm->threshold = cfc_read_u32(r);
    cfc_read_copy(r, arm->content.bytes, sizeof(arm->content.bytes));
    cfc_read_copy(r, arm->fallback.bytes, sizeof(arm->fallback.bytes));
    arm->label_key = (const char *)cfc_read_bytes(r, arm->label_key_size);
    arm->label_value = (const char *)cfc_read_bytes(r, arm->label_value_size);
    if (r->has_failed) {
        return CONFCAST_ERR_LENGTH;
    }
    return reserved == 0 ? CONFCAST_OK : CONFCAST_ERR_VERSION;
}

static int
read_signed_part(struct cfc_reader *r, struct cfc_head *out)
{
    uint8_t reserved8;
    uint32_t reserved32;
    int rc;

    (void)cfc_read_u16(r);
    out->scope_size = cfc_read_u16(r);
    out->kind = cfc_read_u8(r);
    out->activation = cfc_read_u8(r);
    out->arm_count = cfc_read_u8(r);
    reserved8 = cfc_read_u8(r);
    out->shard = cfc_read_u32(r);
    reserved32 = cfc_read_u32(r);
    out->epoch = cfc_read_u64(r);
    out->version = cfc_read_u64(r);
    out->issued_unix_ns = cfc_read_u64(r);
    out->not_after_unix_ns = cfc_read_u64(r);
    out->activate_unix_ns = cfc_read_u64(r);
    out->confirm_by_unix_ns = cfc_read_u64(r);
    out->rollout_salt = cfc_read_u64(r);
    cfc_read_copy(r, out->key_id, sizeof(out->key_id));
    if (reserved8 != 0 || reserved32 != 0) {
        return CONFCAST_ERR_VERSION;
    }
    if (out->arm_count < 1 || out->arm_count > CFC_ARM_COUNT_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    out->scope = (const char *)cfc_read_bytes(r, out->scope_size);
    if (r->has_failed) {
        return CONFCAST_ERR_LENGTH;
    }
    rc = cfc_scope_check(out->scope, out->scope_size);
    for (uint32_t i = 0; rc == CONFCAST_OK && i < out->arm_count; i++) {
        rc = read_arm(r, &out->arms[i]);
    }
    return rc == CONFCAST_OK ? cfc_tlv_skip_all(r) : rc;
}

static int
read_inline(const struct cfc_tlv *tlv, struct cfc_inline_content *out)
{
    struct cfc_reader r = cfc_reader_of(tlv->bytes, tlv->size);
    uint16_t reserved;

    if (out->is_present) {
        return CONFCAST_ERR_RANGE;
    }
    if (tlv->size < INLINE_FIXED_SIZE) {
        return CONFCAST_ERR_LENGTH;
    }
    out->is_present = true;
    out->arm = cfc_read_u8(&r);
    out->encoding = cfc_read_u8(&r);
    reserved = cfc_read_u16(&r);
    out->body_size = cfc_read_u32(&r);
    out->coded_size = cfc_reader_left(&r);
    out->coded = cfc_read_bytes(&r, out->coded_size);
    return reserved == 0 ? CONFCAST_OK : CONFCAST_ERR_VERSION;
}

/* The same of a delta, which needs a base.  An older end skips it and asks for the content. */
static int
read_inline_delta(const struct cfc_tlv *tlv, struct cfc_inline_content *out)
{
    struct cfc_reader r = cfc_reader_of(tlv->bytes, tlv->size);
    uint32_t reserved;

    if (out->is_present) {
        return CONFCAST_ERR_RANGE;
    }
    if (tlv->size < INLINE_FIXED_SIZE + sizeof(out->base.bytes)) {
        return CONFCAST_ERR_LENGTH;
    }
    out->is_present = true;
    out->encoding = CFC_ENCODING_ZSTD_DELTA;
    out->arm = cfc_read_u8(&r);
    reserved = cfc_read_u8(&r);
    reserved |= cfc_read_u16(&r);
    out->body_size = cfc_read_u32(&r);
    cfc_read_copy(&r, out->base.bytes, sizeof(out->base.bytes));
    out->coded_size = cfc_reader_left(&r);
    out->coded = cfc_read_bytes(&r, out->coded_size);
    return reserved == 0 ? CONFCAST_OK : CONFCAST_ERR_VERSION;
}

static int
read_unsigned_part(struct cfc_reader *r, struct cfc_head *out)
{
    struct cfc_tlv tlv;
    int rc;

    while ((rc = cfc_tlv_next(r, &tlv)) == CONFCAST_OK) {
        if (tlv.type == CFC_TLV_INLINE_CONTENT) {
            rc = read_inline(&tlv, &out->inlined);
        } else if (tlv.type == CFC_TLV_INLINE_DELTA) {
            rc = read_inline_delta(&tlv, &out->inlined);
        } else if (tlv.is_critical) {
            rc = CONFCAST_ERR_UNSUPPORTED;
        }
        if (rc != CONFCAST_OK) {
            return rc;
        }
    }
    return rc == CONFCAST_ERR_AGAIN ? CONFCAST_OK : rc;
}

int
cfc_head_decode(const struct cfc_frame *frame, struct cfc_sha256 *sha, struct cfc_head *out)
{
    struct cfc_signed_frame parts;
    int rc = cfc_signed_frame_open(frame, CFC_FRAME_HEAD, SIGNED_FIXED_SIZE, &parts);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    *out = (struct cfc_head){.signed_bytes = parts.signed_bytes,
                             .signed_size = parts.signed_size,
                             .signature = parts.signature};
    rc = read_signed_part(&parts.signed_part, out);
    if (rc == CONFCAST_OK) {
        rc = read_unsigned_part(&parts.rest, out);
    }
    if (rc == CONFCAST_OK) {
        rc = check_rules(out);
    }
    if (rc == CONFCAST_OK && cfc_scope_id(sha, out->scope, out->scope_size) != frame->key) {
        rc = CONFCAST_ERR_WRONG_STREAM;
    }
    return rc;
}

static void
write_arm(struct cfc_writer *w, const struct cfc_arm *arm)
{
    cfc_write_u8(w, arm->selector);
    cfc_write_u8(w, arm->label_key_size);
    cfc_write_u8(w, arm->label_value_size);
    cfc_write_u8(w, 0);
    cfc_write_u32(w, arm->threshold);
    cfc_write_bytes(w, arm->content.bytes, sizeof(arm->content.bytes));
    cfc_write_bytes(w, arm->fallback.bytes, sizeof(arm->fallback.bytes));
    cfc_write_bytes(w, arm->label_key, arm->label_key_size);
    cfc_write_bytes(w, arm->label_value, arm->label_value_size);
}

static void
write_signed_part(struct cfc_writer *w, const struct cfc_head *head,
                  const struct cfc_signer *signer)
{
    cfc_write_u16(w, 0); /* cfc_signed_frame_sign() fills it in */
    cfc_write_u16(w, head->scope_size);
    cfc_write_u8(w, head->kind);
    cfc_write_u8(w, head->activation);
    cfc_write_u8(w, head->arm_count);
    cfc_write_u8(w, 0);
    cfc_write_u32(w, head->shard);
    cfc_write_u32(w, 0);
    cfc_write_u64(w, head->epoch);
    cfc_write_u64(w, head->version);
    cfc_write_u64(w, head->issued_unix_ns);
    cfc_write_u64(w, head->not_after_unix_ns);
    cfc_write_u64(w, head->activate_unix_ns);
    cfc_write_u64(w, head->confirm_by_unix_ns);
    cfc_write_u64(w, head->rollout_salt);
    cfc_write_bytes(w, signer->key_id, sizeof(signer->key_id));
    cfc_write_bytes(w, head->scope, head->scope_size);
    for (uint32_t i = 0; i < head->arm_count; i++) {
        write_arm(w, &head->arms[i]);
    }
}

static void
write_inline(struct cfc_writer *w, const struct cfc_inline_content *in)
{
    bool is_delta = in->encoding == CFC_ENCODING_ZSTD_DELTA;
    size_t base_size = is_delta ? sizeof(in->base.bytes) : 0;

    cfc_write_u16(w, is_delta ? CFC_TLV_INLINE_DELTA : CFC_TLV_INLINE_CONTENT);
    cfc_write_u16(w, (uint16_t)(INLINE_FIXED_SIZE + base_size + in->coded_size));
    cfc_write_u8(w, in->arm);
    cfc_write_u8(w, is_delta ? 0 : in->encoding);
    cfc_write_u16(w, 0);
    cfc_write_u32(w, in->body_size);
    cfc_write_bytes(w, in->base.bytes, base_size);
    cfc_write_bytes(w, in->coded, in->coded_size);
}

int
cfc_head_encode(const struct cfc_head *head, const struct cfc_signer *signer,
                struct cfc_sha256 *sha, uint8_t *frame, size_t capacity, size_t *size)
{
    struct cfc_writer w = cfc_writer_of(frame, capacity);
    int rc;

    if (cfc_scope_check(head->scope, head->scope_size) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    rc = check_rules(head);
    if (rc != CONFCAST_OK) {
        return rc == CONFCAST_ERR_LIMIT ? rc : CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(&w, CFC_FRAME_HEAD, cfc_scope_id(sha, head->scope, head->scope_size));
    write_signed_part(&w, head, signer);
    rc = cfc_signed_frame_sign(&w, signer, CFC_DOMAIN_HEAD_SIG);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    if (head->inlined.is_present) {
        write_inline(&w, &head->inlined);
    }
    return cfc_frame_finish(&w, size);
}

int
cfc_head_verify(const struct cfc_head *head, const struct cfc_verifier *verifier, uint64_t unix_ns)
{
    return verifier->verify(verifier->ctx, head->key_id, head->scope, head->scope_size, unix_ns,
                            CFC_DOMAIN_HEAD_SIG, head->signed_bytes, head->signed_size,
                            head->signature);
}

void
cfc_head_digest(const struct cfc_head *head, struct cfc_sha256 *sha,
                uint8_t out[CFC_SHORT_DIGEST_SIZE])
{
    struct cfc_digest digest;

    cfc_sha256_once(sha, CFC_DOMAIN_HEAD_ID, head->signed_bytes, head->signed_size, &digest);
    memcpy(out, digest.bytes, CFC_SHORT_DIGEST_SIZE);
}

static bool
same_text(const char *a, size_t a_size, const char *b, size_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static bool
same_arm(const struct cfc_arm *a, const struct cfc_arm *b)
{
    return a->selector == b->selector && a->threshold == b->threshold &&
           cfc_digest_equal(&a->content, &b->content) &&
           cfc_digest_equal(&a->fallback, &b->fallback) &&
           same_text(a->label_key, a->label_key_size, b->label_key, b->label_key_size) &&
           same_text(a->label_value, a->label_value_size, b->label_value, b->label_value_size);
}

bool
cfc_head_same_decision(const struct cfc_head *a, const struct cfc_head *b)
{
    bool is_same = same_text(a->scope, a->scope_size, b->scope, b->scope_size) &&
                   a->shard == b->shard && a->version == b->version && a->kind == b->kind &&
                   a->activation == b->activation && a->activate_unix_ns == b->activate_unix_ns &&
                   a->confirm_by_unix_ns == b->confirm_by_unix_ns &&
                   a->rollout_salt == b->rollout_salt && a->arm_count == b->arm_count;

    for (uint32_t i = 0; is_same && i < a->arm_count; i++) {
        is_same = same_arm(&a->arms[i], &b->arms[i]);
    }
    return is_same;
}
