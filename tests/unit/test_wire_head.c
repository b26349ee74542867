#include "protocol/wire/head.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/wire_patch.h"

/* Where things stand in the encoded example: see the layout in head.h. */
enum {
    ARM_0 = 96 + sizeof(FIXTURE_SCOPE) - 1,
    ARM_1 = ARM_0 + 72 + 8,
    ARM_2 = ARM_1 + 72,
    SIGNATURE = ARM_2 + 72,
    SIGNED_SIZE = SIGNATURE - CFC_FRAME_HEADER_SIZE,
    INLINE = SIGNATURE + CFC_SIGNATURE_SIZE
};

static struct fixture fx;

static int
encode(const struct cfc_head *head)
{
    return cfc_head_encode(head, &fx.signer, fx.sha, fx.frame, sizeof(fx.frame), &fx.size);
}

static int
encode_in(const struct cfc_head *head, size_t capacity)
{
    return cfc_head_encode(head, &fx.signer, fx.sha, fx.frame, capacity, &fx.size);
}

static int
decode(struct cfc_head *out)
{
    struct cfc_frame frame;
    int rc = cfc_frame_open(fx.frame, fx.size, &frame);

    return rc == CONFCAST_OK ? cfc_head_decode(&frame, fx.sha, out) : rc;
}

static int
decode_only(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_head head;

    return cfc_head_decode(frame, f->sha, &head);
}

static int
decode_and_verify(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_head head;
    int rc = cfc_head_decode(frame, f->sha, &head);

    return rc == CONFCAST_OK ? cfc_head_verify(&head, &f->verifier, 0) : rc;
}

/* The example with one more TLV at the end of its signed part; the signature is not renewed. */
static void
encode_with_signed_tlv(uint16_t type)
{
    struct cfc_head head = example_head(fx.sha);
    uint8_t tlv[6] = {(uint8_t)type, (uint8_t)(type >> 8), 2, 0, 0xaa, 0xbb};

    head.inlined.is_present = false;
    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    memmove(fx.frame + SIGNATURE + sizeof(tlv), fx.frame + SIGNATURE, CFC_SIGNATURE_SIZE);
    memcpy(fx.frame + SIGNATURE, tlv, sizeof(tlv));
    fx.size += sizeof(tlv);
    cfc_put_u16(fx.frame + 4, (uint16_t)fx.size);
    cfc_put_u16(fx.frame + 16, (uint16_t)(SIGNED_SIZE + sizeof(tlv)));
}

/* The example without inline content and with a TLV in the unsigned part. */
static void
encode_with_unsigned_tlv(uint16_t type, const void *bytes, size_t size)
{
    struct cfc_head head = example_head(fx.sha);
    struct cfc_writer w;

    head.inlined.is_present = false;
    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    w = cfc_writer_of(fx.frame + fx.size, sizeof(fx.frame) - fx.size);
    cfc_tlv_write(&w, type, bytes, size);
    fx.size += cfc_writer_size(&w);
    cfc_put_u16(fx.frame + 4, (uint16_t)fx.size);
}

static void
a_decoded_head_says_what_was_encoded(void)
{
    struct cfc_head in = example_head(fx.sha);
    struct cfc_head out;

    CU_ASSERT_EQUAL_FATAL(encode(&in), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(decode(&out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.kind, in.kind);
    CU_ASSERT_EQUAL(out.activation, in.activation);
    CU_ASSERT_EQUAL(out.shard, in.shard);
    CU_ASSERT_EQUAL(out.epoch, in.epoch);
    CU_ASSERT_EQUAL(out.version, in.version);
    CU_ASSERT_EQUAL(out.issued_unix_ns, in.issued_unix_ns);
    CU_ASSERT_EQUAL(out.not_after_unix_ns, in.not_after_unix_ns);
    CU_ASSERT_EQUAL(out.activate_unix_ns, in.activate_unix_ns);
    CU_ASSERT_EQUAL(out.confirm_by_unix_ns, in.confirm_by_unix_ns);
    CU_ASSERT_EQUAL(out.rollout_salt, in.rollout_salt);
    CU_ASSERT_EQUAL(memcmp(out.key_id, fx.signer.key_id, CFC_KEY_ID_SIZE), 0);
    CU_ASSERT_EQUAL(out.scope_size, in.scope_size);
    CU_ASSERT_PTR_EQUAL(out.scope, fx.frame + 96);
    CU_ASSERT_EQUAL(out.arm_count, 3);
    CU_ASSERT_EQUAL(out.arms[1].threshold, in.arms[1].threshold);
    CU_ASSERT_EQUAL(memcmp(out.arms[0].label_key, "zone", 4), 0);
    CU_ASSERT_EQUAL(memcmp(out.arms[0].label_value, "eu-1", 4), 0);
    CU_ASSERT_TRUE(cfc_digest_equal(&out.arms[0].fallback, &in.arms[0].fallback));
    CU_ASSERT_TRUE(cfc_digest_equal(&out.arms[2].content, &in.arms[2].content));
    CU_ASSERT_TRUE(out.inlined.is_present);
    CU_ASSERT_EQUAL(out.inlined.arm, 2);
    CU_ASSERT_EQUAL(out.inlined.coded_size, sizeof(example_body));
    CU_ASSERT_EQUAL(memcmp(out.inlined.coded, example_body, sizeof(example_body)), 0);
    CU_ASSERT_EQUAL(out.signed_size, SIGNED_SIZE);
    CU_ASSERT_EQUAL(cfc_head_verify(&out, &fx.verifier, 0), CONFCAST_OK);
    CU_ASSERT_TRUE(cfc_head_same_decision(&in, &out));
}

static void
damage_to_each_field_is_named(void)
{
    static const struct patch patches[] = {
        {"signed size below the fixed part", 16, 2, 79, CONFCAST_ERR_LENGTH},
        {"signed size without the last arm", 16, 2, SIGNED_SIZE - 1, CONFCAST_ERR_LENGTH},
        {"signed size one above", 16, 2, SIGNED_SIZE + 1, CONFCAST_ERR_LENGTH},
        {"signed size beyond the frame", 16, 2, 0xffff, CONFCAST_ERR_LENGTH},
        {"scope size 0", 18, 2, 0, CONFCAST_ERR_SCOPE_NAME},
        {"scope size beyond", 18, 2, 0xffff, CONFCAST_ERR_LENGTH},
        {"kind 3", 20, 1, 3, CONFCAST_OK},
        {"kind 4", 20, 1, 4, CONFCAST_ERR_VERSION},
        {"activation 3", 21, 1, 3, CONFCAST_ERR_VERSION},
        {"activation NOW with a time", 21, 1, 0, CONFCAST_ERR_RANGE},
        {"activation HOLD with a time", 21, 1, 1, CONFCAST_ERR_RANGE},
        {"activation AT without a time", 64, 8, 0, CONFCAST_ERR_RANGE},
        {"no arm", 22, 1, 0, CONFCAST_ERR_RANGE},
        {"two of three arms", 22, 1, 2, CONFCAST_ERR_LENGTH},
        {"four of three arms", 22, 1, 4, CONFCAST_ERR_LENGTH},
        {"five arms", 22, 1, 5, CONFCAST_ERR_RANGE},
        {"reserved byte", 23, 1, 1, CONFCAST_ERR_VERSION},
        {"another shard", 24, 4, 8, CONFCAST_OK},
        {"reserved word", 28, 4, 0x80000000, CONFCAST_ERR_VERSION},
        {"epoch 0", 32, 8, 0, CONFCAST_ERR_RANGE},
        {"epoch 1", 32, 8, 1, CONFCAST_OK},
        {"version 0", 40, 8, 0, CONFCAST_ERR_RANGE},
        {"version 1", 40, 8, 1, CONFCAST_OK},
        {"capital in the scope", 96, 1, 'A', CONFCAST_ERR_SCOPE_NAME},
        {"NUL in the scope", 97, 1, 0, CONFCAST_ERR_SCOPE_NAME},
        {"another scope", 96, 1, 'b', CONFCAST_ERR_WRONG_STREAM},
        {"another key", 8, 1, 0, CONFCAST_ERR_WRONG_STREAM},
        {"selector 3", ARM_1, 1, 3, CONFCAST_ERR_VERSION},
        {"ALL before the last arm", ARM_1, 1, 0, CONFCAST_ERR_RANGE},
        {"COHORT as the last arm", ARM_2, 1, 1, CONFCAST_ERR_RANGE},
        {"COHORT with a label", ARM_0, 1, 1, CONFCAST_ERR_RANGE},
        {"LABEL without a key", ARM_1, 1, 2, CONFCAST_ERR_RANGE},
        {"label beyond the signed part", ARM_2 + 1, 1, 1, CONFCAST_ERR_LENGTH},
        {"label value beyond the signed part", ARM_2 + 2, 1, 255, CONFCAST_ERR_LENGTH},
        {"reserved byte of an arm", ARM_2 + 3, 1, 1, CONFCAST_ERR_VERSION},
        {"threshold of ALL", ARM_2 + 4, 4, 1, CONFCAST_ERR_RANGE},
        {"threshold of LABEL", ARM_0 + 4, 4, 1, CONFCAST_ERR_RANGE},
        {"threshold of COHORT", ARM_1 + 4, 4, 0, CONFCAST_OK},
        {"space in a label key", ARM_0 + 72, 1, ' ', CONFCAST_ERR_RANGE},
        {"space in a label value", ARM_0 + 76, 1, ' ', CONFCAST_ERR_RANGE},
        {"critical unsigned TLV", INLINE, 2, 0x8009, CONFCAST_ERR_UNSUPPORTED},
        {"unknown unsigned TLV", INLINE, 2, 9, CONFCAST_OK},
        {"TLV size below", INLINE + 2, 2, 26, CONFCAST_ERR_LENGTH},
        {"TLV size beyond", INLINE + 2, 2, 28, CONFCAST_ERR_LENGTH},
        {"TLV too short for its fields", INLINE + 2, 2, 7, CONFCAST_ERR_LENGTH},
        {"inline arm 3 of 3", INLINE + 4, 1, 3, CONFCAST_ERR_RANGE},
        {"inline encoding DELTA", INLINE + 5, 1, 2, CONFCAST_ERR_RANGE},
        {"inline encoding 3", INLINE + 5, 1, 3, CONFCAST_ERR_VERSION},
        {"inline ZSTD of another size", INLINE + 5, 1, 1, CONFCAST_OK},
        {"inline reserved field", INLINE + 6, 2, 0x100, CONFCAST_ERR_VERSION},
        {"inline RAW of another size", INLINE + 8, 4, 20, CONFCAST_ERR_RANGE},
        {"inline body size 0", INLINE + 8, 4, 0, CONFCAST_ERR_RANGE},
        {"inline body above the limit", INLINE + 8, 4, CFC_BODY_SIZE_MAX + 1, CONFCAST_ERR_LIMIT},
    };
    struct cfc_head head = example_head(fx.sha);

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_only), 0);
}

static void
a_zero_content_id_is_refused(void)
{
    struct cfc_head head = example_head(fx.sha);
    struct cfc_head out;

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    memset(fx.frame + ARM_1 + 8, 0, 32);
    CU_ASSERT_EQUAL(decode(&out), CONFCAST_ERR_RANGE);
    memset(&head.arms[1].content, 0, 32);
    CU_ASSERT_EQUAL(encode(&head), CONFCAST_ERR_INVALID);
}

static void
signed_tlvs_are_skipped_unless_critical(void)
{
    struct cfc_head out;

    encode_with_signed_tlv(9);
    CU_ASSERT_EQUAL(decode(&out), CONFCAST_OK);
    CU_ASSERT_FALSE(out.inlined.is_present);
    encode_with_signed_tlv(CFC_TLV_INLINE_CONTENT);
    CU_ASSERT_EQUAL(decode(&out), CONFCAST_OK);
    CU_ASSERT_FALSE(out.inlined.is_present);
    encode_with_signed_tlv(CFC_TLV_CRITICAL | 9);
    CU_ASSERT_EQUAL(decode(&out), CONFCAST_ERR_UNSUPPORTED);
}

static void
a_second_inline_content_is_refused(void)
{
    static const uint8_t in[] = {0, 1, 0, 0, 9, 0, 0, 0, 0xaa};
    struct cfc_writer w;
    struct cfc_head out;

    encode_with_unsigned_tlv(CFC_TLV_INLINE_CONTENT, in, sizeof(in));
    CU_ASSERT_EQUAL(decode(&out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.inlined.body_size, 9);
    w = cfc_writer_of(fx.frame + fx.size, sizeof(fx.frame) - fx.size);
    cfc_tlv_write(&w, CFC_TLV_INLINE_CONTENT, in, sizeof(in));
    fx.size += cfc_writer_size(&w);
    cfc_put_u16(fx.frame + 4, (uint16_t)fx.size);
    CU_ASSERT_EQUAL(decode(&out), CONFCAST_ERR_RANGE);
    encode_with_unsigned_tlv(CFC_TLV_INLINE_CONTENT, in, 7);
    CU_ASSERT_EQUAL(decode(&out), CONFCAST_ERR_LENGTH);
    /* Without a single coded byte there is nothing to decode. */
    encode_with_unsigned_tlv(CFC_TLV_INLINE_CONTENT, in, 8);
    CU_ASSERT_EQUAL(decode(&out), CONFCAST_ERR_RANGE);
}

static void
no_bit_of_a_signed_head_can_change(void)
{
    struct cfc_head head = example_head(fx.sha);

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    CU_ASSERT_EQUAL(flips_accepted(&fx, 0, INLINE, decode_and_verify), 0);
}

static void
bytes_outside_the_signature_do_not_matter_to_it(void)
{
    struct cfc_head head = example_head(fx.sha);
    struct cfc_head out;

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    fx.frame[fx.size - 1] ^= 1;
    CU_ASSERT_EQUAL_FATAL(decode(&out), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_head_verify(&out, &fx.verifier, 0), CONFCAST_OK);
}

/* Adds the order of the group, 2^252 + 27742317777372353535851937790883648493, to S. */
static void
add_group_order(uint8_t s[32])
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                      0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    unsigned carry = 0;

    for (int i = 0; i < 32; i++) {
        carry += (unsigned)s[i] + order[i];
        s[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

static void
a_non_canonical_signature_is_refused(void)
{
    struct cfc_head head = example_head(fx.sha);
    struct cfc_head out;

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    add_group_order(fx.frame + SIGNATURE + 32);
    CU_ASSERT_EQUAL_FATAL(decode(&out), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_head_verify(&out, &fx.verifier, 0), CONFCAST_ERR_SIGNATURE);
}

/* A ring with the fixture's key under one prefix and not-after. */
static int
verify_with(const char *prefix, uint64_t not_after, uint64_t unix_ns)
{
    struct cfc_ring_key key = ring_key_of(&fx.signing_key);
    struct cfc_keyring ring = {0};
    struct cfc_verifier verifier;
    struct cfc_head out;

    key.prefix_count = 1;
    memcpy(key.prefixes[0], prefix, strlen(prefix) + 1);
    key.not_after_unix_ns = not_after;
    CU_ASSERT_EQUAL_FATAL(cfc_keyring_add(&ring, &key), CONFCAST_OK);
    verifier = cfc_keyring_verifier(&ring);
    CU_ASSERT_EQUAL_FATAL(decode(&out), CONFCAST_OK);
    return cfc_head_verify(&out, &verifier, unix_ns);
}

static void
a_key_signs_only_under_its_prefix_and_until_its_end(void)
{
    struct cfc_head head = example_head(fx.sha);
    struct cfc_keyring empty = {0};
    struct cfc_verifier verifier = cfc_keyring_verifier(&empty);

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify_with("acme", 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify_with("acme/checkout/prod", 0, 0), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify_with("acme/check", 0, 0), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(verify_with("acme/checkout/prod/eu", 0, 0), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(verify_with("other", 0, 0), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(verify_with("acme", 1000, 1000), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify_with("acme", 1000, 1001), CONFCAST_ERR_EXPIRED);
    CU_ASSERT_EQUAL_FATAL(decode(&head), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_head_verify(&head, &verifier, 0), CONFCAST_ERR_AUTHORITY);
}

static void
encoding_refuses_what_decoding_refuses(void)
{
    struct cfc_head head = example_head(fx.sha);
    struct cfc_head bad;

#define REFUSED(change, code)                                                                      \
    do {                                                                                           \
        bad = head;                                                                                \
        change;                                                                                    \
        CU_ASSERT_EQUAL(encode(&bad), code);                                                       \
    } while (0)

    REFUSED(bad.kind = 4, CONFCAST_ERR_INVALID);
    REFUSED(bad.activation = 3, CONFCAST_ERR_INVALID);
    REFUSED(bad.activate_unix_ns = 0, CONFCAST_ERR_INVALID);
    REFUSED(bad.arm_count = 0, CONFCAST_ERR_INVALID);
    REFUSED(bad.arm_count = 5, CONFCAST_ERR_INVALID);
    REFUSED(bad.epoch = 0, CONFCAST_ERR_INVALID);
    REFUSED(bad.version = 0, CONFCAST_ERR_INVALID);
    REFUSED(bad.scope_size = 0, CONFCAST_ERR_INVALID);
    REFUSED(bad.scope = "acme//checkout/pro", CONFCAST_ERR_INVALID);
    REFUSED(bad.arms[2].selector = CFC_SELECT_COHORT, CONFCAST_ERR_INVALID);
    REFUSED(bad.arms[1] = bad.arms[2], CONFCAST_ERR_INVALID);
    REFUSED((bad.arms[1].label_key = "a", bad.arms[1].label_key_size = 1), CONFCAST_ERR_INVALID);
    REFUSED((bad.arms[2].label_value = "a", bad.arms[2].label_value_size = 1),
            CONFCAST_ERR_INVALID);
    REFUSED(bad.arms[0].label_key_size = 0, CONFCAST_ERR_INVALID);
    REFUSED(bad.arms[0].label_value = "eu 1", CONFCAST_ERR_INVALID);
    REFUSED(bad.inlined.arm = 3, CONFCAST_ERR_INVALID);
    REFUSED(bad.inlined.encoding = 2, CONFCAST_ERR_INVALID);
    REFUSED(bad.inlined.base.bytes[0] = 1, CONFCAST_ERR_INVALID);
    REFUSED(bad.inlined.body_size = CFC_BODY_SIZE_MAX + 1, CONFCAST_ERR_LIMIT);
    REFUSED(bad.inlined.coded_size = SIZE_MAX, CONFCAST_ERR_LIMIT);
#undef REFUSED
}

static void
a_frame_fits_exactly_or_not_at_all(void)
{
    struct cfc_head head = example_head(fx.sha);
    size_t size;

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    size = fx.size;
    CU_ASSERT_EQUAL(encode_in(&head, size), CONFCAST_OK);
    for (size_t capacity = 0; capacity < size; capacity++) {
        CU_ASSERT_EQUAL(encode_in(&head, capacity), CONFCAST_ERR_LIMIT);
    }
}

static void
a_frame_without_room_for_fields_and_signature_is_short(void)
{
    enum {
        LEAST = 96 + CFC_SIGNATURE_SIZE
    };
    struct cfc_head head = example_head(fx.sha);
    struct cfc_frame frame;
    uint8_t *copy;
    int rc;

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    copy = prefix_of(&fx, LEAST - 1, &frame, &rc);
    CU_ASSERT_EQUAL(cfc_head_decode(&frame, fx.sha, &head), CONFCAST_ERR_SHORT);
    free(copy);
    copy = prefix_of(&fx, LEAST, &frame, &rc);
    CU_ASSERT_EQUAL(cfc_head_decode(&frame, fx.sha, &head), CONFCAST_ERR_LENGTH);
    free(copy);
}

static void
the_largest_head_fits_the_default_frame_but_not_the_smallest(void)
{
    char scope[CFC_SCOPE_SIZE_MAX];
    char label[CFC_LABEL_SIZE_MAX];
    struct cfc_head head = example_head(fx.sha);
    struct cfc_head out;

    memset(scope, 'a', sizeof(scope));
    memset(label, 'b', sizeof(label));
    for (size_t i = CFC_SEGMENT_SIZE_MAX; i < sizeof(scope); i += CFC_SEGMENT_SIZE_MAX + 1) {
        scope[i] = '/';
    }
    head.scope = scope;
    head.scope_size = sizeof(scope);
    head.arm_count = CFC_ARM_COUNT_MAX;
    head.arms[3] = head.arms[2];
    for (int i = 0; i < 3; i++) {
        head.arms[i] = head.arms[0];
        head.arms[i].label_key = label;
        head.arms[i].label_value = label;
        head.arms[i].label_key_size = sizeof(label);
        head.arms[i].label_value_size = sizeof(label);
    }
    head.inlined.is_present = false;
    CU_ASSERT_EQUAL_FATAL(encode_in(&head, CFC_FRAME_SIZE_DEFAULT), CONFCAST_OK);
    CU_ASSERT_EQUAL(fx.size, 96 + 511 + 4 * 72 + 3 * 126 + 64);
    CU_ASSERT_EQUAL(encode_in(&head, CFC_FRAME_SIZE_MIN), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode(&out), CONFCAST_OK);
    head.scope_size++;
    CU_ASSERT_EQUAL(encode(&head), CONFCAST_ERR_INVALID);
}

static int
sign_never(void *ctx, const char *domain, const uint8_t *bytes, size_t size,
           uint8_t signature[CFC_SIGNATURE_SIZE])
{
    (void)ctx;
    (void)domain;
    (void)bytes;
    (void)size;
    (void)signature;
    return CONFCAST_ERR_INTERNAL;
}

static void
the_signers_error_is_passed_on(void)
{
    struct cfc_head head = example_head(fx.sha);
    struct cfc_signer signer = {.sign = sign_never};

    CU_ASSERT_EQUAL(cfc_head_encode(&head, &signer, fx.sha, fx.frame, sizeof(fx.frame), &fx.size),
                    CONFCAST_ERR_INTERNAL);
}

static void
a_frame_of_another_type_is_the_callers_mistake(void)
{
    struct cfc_head head = example_head(fx.sha);
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    frame.type = CFC_FRAME_CONTENT;
    CU_ASSERT_EQUAL(cfc_head_decode(&frame, fx.sha, &head), CONFCAST_ERR_INVALID);
}

static void
the_digest_covers_the_signed_part_and_nothing_else(void)
{
    struct cfc_head head = example_head(fx.sha);
    uint8_t a[CFC_SHORT_DIGEST_SIZE];
    uint8_t b[CFC_SHORT_DIGEST_SIZE];
    struct cfc_head out;

    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(decode(&out), CONFCAST_OK);
    cfc_head_digest(&out, fx.sha, a);
    head.inlined.is_present = false;
    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(decode(&out), CONFCAST_OK);
    cfc_head_digest(&out, fx.sha, b);
    CU_ASSERT_EQUAL(memcmp(a, b, sizeof(a)), 0);
    head.issued_unix_ns++;
    CU_ASSERT_EQUAL_FATAL(encode(&head), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(decode(&out), CONFCAST_OK);
    cfc_head_digest(&out, fx.sha, b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
}

static void
a_repeated_decision_is_told_from_another(void)
{
    struct cfc_head a = example_head(fx.sha);
    struct cfc_head b = a;

    b.epoch++;
    b.issued_unix_ns++;
    b.not_after_unix_ns++;
    b.key_id[0]++;
    b.inlined.is_present = false;
    CU_ASSERT_TRUE(cfc_head_same_decision(&a, &b));

#define DIFFERS(change)                                                                            \
    do {                                                                                           \
        b = a;                                                                                     \
        change;                                                                                    \
        CU_ASSERT_FALSE(cfc_head_same_decision(&a, &b));                                           \
        CU_ASSERT_FALSE(cfc_head_same_decision(&b, &a));                                           \
    } while (0)

    DIFFERS(b.scope = "acme/checkout/prof");
    DIFFERS(b.scope_size--);
    DIFFERS(b.shard++);
    DIFFERS(b.version++);
    DIFFERS(b.kind = CFC_HEAD_ROLLBACK);
    DIFFERS(b.activation = CFC_ACTIVATE_HOLD);
    DIFFERS(b.activate_unix_ns++);
    DIFFERS(b.confirm_by_unix_ns++);
    DIFFERS(b.rollout_salt++);
    DIFFERS(b.arm_count = 2);
    DIFFERS(b.arms[1].threshold++);
    DIFFERS(b.arms[1].selector = CFC_SELECT_LABEL);
    DIFFERS(b.arms[2].content.bytes[31]++);
    DIFFERS(b.arms[2].fallback.bytes[31]++);
    DIFFERS(b.arms[0].label_key = "zonf");
    DIFFERS(b.arms[0].label_value = "eu-2");
    DIFFERS(b.arms[0].label_value_size = 3);
#undef DIFFERS
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_decoded_head_says_what_was_encoded),
    CFC_CASE(damage_to_each_field_is_named),
    CFC_CASE(a_zero_content_id_is_refused),
    CFC_CASE(signed_tlvs_are_skipped_unless_critical),
    CFC_CASE(a_second_inline_content_is_refused),
    CFC_CASE(no_bit_of_a_signed_head_can_change),
    CFC_CASE(bytes_outside_the_signature_do_not_matter_to_it),
    CFC_CASE(a_non_canonical_signature_is_refused),
    CFC_CASE(a_key_signs_only_under_its_prefix_and_until_its_end),
    CFC_CASE(encoding_refuses_what_decoding_refuses),
    CFC_CASE(a_frame_fits_exactly_or_not_at_all),
    CFC_CASE(a_frame_without_room_for_fields_and_signature_is_short),
    CFC_CASE(the_largest_head_fits_the_default_frame_but_not_the_smallest),
    CFC_CASE(the_signers_error_is_passed_on),
    CFC_CASE(a_frame_of_another_type_is_the_callers_mistake),
    CFC_CASE(the_digest_covers_the_signed_part_and_nothing_else),
    CFC_CASE(a_repeated_decision_is_told_from_another),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    failed = cfc_test_main("wire_head", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
