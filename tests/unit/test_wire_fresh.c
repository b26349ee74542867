#include "protocol/wire/fresh.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/wire_patch.h"

enum {
    SIGNATURE = 88,
    PAGE = SIGNATURE + CFC_SIGNATURE_SIZE, /* page index */
    PROOF = PAGE + 12
};

static struct fixture fx;
static const struct cfc_fresh fixed = {.shard = 7,
                                       .epoch = 5,
                                       .sequence = 1042,
                                       .time_unix_ns = 1000,
                                       .not_after_unix_ns = 2000,
                                       .fleet_size = 100000};

/* A period of `count` entries with its own memory, which period_close() frees. */
struct period {
    struct cfc_fresh_builder builder;
    struct cfc_fresh_entry *entries;
    uint8_t *nodes;
    uint32_t page_count;
};

static int
period_open(struct period *p, uint32_t count)
{
    p->entries = calloc(count + 1, sizeof(*p->entries));
    p->nodes = malloc(cfc_fresh_nodes_size(count) + 1);
    p->page_count = cfc_fresh_page_count(count);
    assert(p->entries != NULL && p->nodes != NULL);
    for (uint32_t i = 0; i < count; i++) {
        p->entries[i].scope_id = 10 + UINT64_C(1000000007) * i;
        p->entries[i].version = i + 1;
        fill(p->entries[i].head_digest, CFC_SHORT_DIGEST_SIZE, (uint8_t)i);
    }
    return cfc_fresh_builder_init(&p->builder, &fixed, p->entries, count, p->nodes, &fx.signer,
                                  fx.sha);
}

static void
period_close(struct period *p)
{
    free(p->entries);
    free(p->nodes);
}

static void
encode_page(const struct period *p, uint32_t page)
{
    CU_ASSERT_EQUAL_FATAL(
        cfc_fresh_encode_page(&p->builder, page, fx.frame, sizeof(fx.frame), &fx.size),
        CONFCAST_OK);
}

static int
decode_only(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_fresh fresh;

    (void)f;
    return cfc_fresh_decode(frame, &fresh);
}

static int
decode_and_check(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_fresh fresh;
    int rc = cfc_fresh_decode(frame, &fresh);

    return rc == CONFCAST_OK ? cfc_fresh_check_page(&fresh, f->sha) : rc;
}

static int
decode_check_and_verify(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_fresh fresh;
    int rc = cfc_fresh_decode(frame, &fresh);

    if (rc == CONFCAST_OK) {
        rc = cfc_fresh_check_page(&fresh, f->sha);
    }
    return rc == CONFCAST_OK ? cfc_fresh_verify(&fresh, &f->verifier, 0) : rc;
}

/* What decode_and_check() says to the frame of the fixture with one bit of a byte flipped. */
static int
check_flipped(size_t offset)
{
    struct cfc_frame frame;
    int rc;

    fx.frame[offset] ^= 0x10;
    rc = cfc_frame_open(fx.frame, fx.size, &frame);
    rc = rc == CONFCAST_OK ? decode_and_check(&fx, &frame) : rc;
    fx.frame[offset] ^= 0x10;
    return rc;
}

/* One page: its entries come back, it proves, and what is tampered with does not. */
static unsigned
page_errors(const struct period *p, uint32_t page)
{
    struct cfc_fresh fresh;
    struct cfc_frame frame;
    unsigned errors = 0;

    encode_page(p, page);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
    errors += cfc_fresh_check_page(&fresh, fx.sha) != CONFCAST_OK;
    for (uint32_t i = 0; i < fresh.entry_count; i++) {
        const struct cfc_fresh_entry *in = &p->entries[page * CFC_FRESH_PAGE_ENTRIES_MAX + i];
        struct cfc_fresh_entry out;

        cfc_fresh_entry_at(&fresh, i, &out);
        errors += out.scope_id != in->scope_id || out.version != in->version ||
                  memcmp(out.head_digest, in->head_digest, sizeof(out.head_digest)) != 0;
    }
    if (fresh.entry_count > 0) {
        errors += check_flipped(fx.size - 1) != CONFCAST_ERR_DIGEST; /* last head digest */
        errors += check_flipped(64) != CONFCAST_ERR_DIGEST;          /* root */
    }
    for (uint32_t i = 0; i < fresh.proof_count; i++) {
        errors += check_flipped(PROOF + i * 16u + i % 16) != CONFCAST_ERR_DIGEST;
    }
    errors += check_flipped(PAGE) == CONFCAST_OK;     /* page 16 off */
    errors += check_flipped(PAGE + 4) == CONFCAST_OK; /* page count */
    return errors;
}

static void
every_page_proves_and_no_tampered_one_does(void)
{
    static const uint32_t counts[] = {0, 1, 32, 33, 64, 65, 96, 97, 1000, 100000};

    for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
        unsigned errors = 0;
        struct period p;

        CU_ASSERT_EQUAL_FATAL(period_open(&p, counts[n]), CONFCAST_OK);
        CU_ASSERT_EQUAL(p.page_count, counts[n] == 0 ? 1 : (counts[n] + 31) / 32);
        for (uint32_t page = 0; page < p.page_count; page++) {
            errors += page_errors(&p, page);
        }
        CU_ASSERT_EQUAL(errors, 0);
        CU_ASSERT_EQUAL(
            cfc_fresh_encode_page(&p.builder, p.page_count, fx.frame, sizeof(fx.frame), &fx.size),
            CONFCAST_ERR_RANGE);
        period_close(&p);
    }
}

static void
the_largest_shard_fits_and_one_more_scope_does_not(void)
{
    struct period p;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, CFC_FRESH_ENTRIES_MAX), CONFCAST_OK);
    CU_ASSERT_EQUAL(p.page_count, 4096);
    CU_ASSERT_EQUAL(page_errors(&p, 0), 0);
    CU_ASSERT_EQUAL(page_errors(&p, 4095), 0);
    encode_page(&p, 4095);
    CU_ASSERT_EQUAL(fx.frame[PAGE + 8], CFC_FRESH_PROOF_MAX);
    CU_ASSERT(fx.size <= CFC_FRAME_SIZE_DEFAULT);
    period_close(&p);
    CU_ASSERT_EQUAL(period_open(&p, CFC_FRESH_ENTRIES_MAX + 1), CONFCAST_ERR_LIMIT);
    period_close(&p);
}

static void
a_page_of_one_place_does_not_prove_at_another(void)
{
    struct period p;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, 1000), CONFCAST_OK);
    encode_page(&p, 6);
    cfc_put_u32(fx.frame + PAGE, 7);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_and_check(&fx, &frame), CONFCAST_ERR_DIGEST);
    period_close(&p);
}

static void
damage_to_each_field_is_named(void)
{
    static const struct patch patches[] = {
        {"signed size below the fixed part", 16, 2, 71, CONFCAST_ERR_LENGTH},
        {"signed size one above", 16, 2, 73, CONFCAST_ERR_LENGTH},
        {"reserved field", 18, 2, 1, CONFCAST_ERR_VERSION},
        {"another shard", 20, 4, 8, CONFCAST_ERR_WRONG_STREAM},
        {"another key", 8, 8, 8, CONFCAST_ERR_WRONG_STREAM},
        {"key above 32 bits", 12, 4, 1, CONFCAST_ERR_WRONG_STREAM},
        {"epoch 0", 24, 8, 0, CONFCAST_ERR_RANGE},
        {"another sequence", 32, 8, 0, CONFCAST_OK},
        {"another fleet size", 56, 4, 0, CONFCAST_OK},
        {"one scope less", 60, 4, 69, CONFCAST_ERR_RANGE},
        {"one scope more", 60, 4, 71, CONFCAST_ERR_RANGE},
        {"no scopes", 60, 4, 0, CONFCAST_ERR_RANGE},
        {"scopes above the limit", 60, 4, CFC_FRESH_ENTRIES_MAX + 1, CONFCAST_ERR_LIMIT},
        {"page index beyond", PAGE, 4, 3, CONFCAST_ERR_RANGE},
        {"page index that wraps", PAGE, 4, UINT32_MAX, CONFCAST_ERR_RANGE},
        {"page of another size", PAGE, 4, 0, CONFCAST_ERR_RANGE},
        {"page count", PAGE + 4, 4, 4, CONFCAST_ERR_RANGE},
        {"one proof less", PAGE + 8, 1, 0, CONFCAST_ERR_RANGE},
        {"one proof more", PAGE + 8, 1, 2, CONFCAST_ERR_RANGE},
        {"one entry less", PAGE + 9, 1, 5, CONFCAST_ERR_RANGE},
        {"33 entries", PAGE + 9, 1, 33, CONFCAST_ERR_RANGE},
        {"reserved field of the page", PAGE + 10, 2, 0x100, CONFCAST_ERR_VERSION},
        {"entries out of order", PROOF + 16, 8, UINT64_MAX, CONFCAST_ERR_RANGE},
        {"an entry twice", PROOF + 16, 8, 10 + UINT64_C(1000000007) * 65, CONFCAST_ERR_RANGE},
    };
    struct period p;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, 70), CONFCAST_OK);
    encode_page(&p, 2);
    CU_ASSERT_EQUAL(fx.size, PROOF + 16 + 6 * 32);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_only), 0);
    period_close(&p);
}

static void
an_empty_shard_has_no_root(void)
{
    struct period p;
    struct cfc_fresh fresh;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, 0), CONFCAST_OK);
    encode_page(&p, 0);
    CU_ASSERT_EQUAL(fx.size, PROOF);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
    CU_ASSERT_EQUAL(fresh.scope_count, 0);
    CU_ASSERT_EQUAL(fresh.page_count, 0);
    CU_ASSERT_EQUAL(decode_check_and_verify(&fx, &frame), CONFCAST_OK);
    fx.frame[79] = 1;
    CU_ASSERT_EQUAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_ERR_RANGE);
    period_close(&p);
}

static void
no_bit_of_a_signed_page_can_change(void)
{
    struct period p;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, 70), CONFCAST_OK);
    encode_page(&p, 2);
    CU_ASSERT_EQUAL(flips_accepted(&fx, 0, fx.size, decode_check_and_verify), 0);
    period_close(&p);
}

static void
all_pages_of_a_period_share_their_signed_bytes(void)
{
    uint8_t first[PAGE];
    struct cfc_fresh fresh;
    struct cfc_frame frame;
    struct period p;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, 70), CONFCAST_OK);
    encode_page(&p, 0);
    memcpy(first + 16, fx.frame + 16, PAGE - 16);
    encode_page(&p, 2);
    CU_ASSERT_EQUAL(memcmp(first + 16, fx.frame + 16, PAGE - 16), 0);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
    CU_ASSERT_EQUAL(fresh.epoch, fixed.epoch);
    CU_ASSERT_EQUAL(fresh.sequence, fixed.sequence);
    CU_ASSERT_EQUAL(fresh.time_unix_ns, fixed.time_unix_ns);
    CU_ASSERT_EQUAL(fresh.not_after_unix_ns, fixed.not_after_unix_ns);
    CU_ASSERT_EQUAL(fresh.fleet_size, fixed.fleet_size);
    CU_ASSERT_EQUAL(fresh.scope_count, 70);
    CU_ASSERT_EQUAL(cfc_fresh_verify(&fresh, &fx.verifier, 0), CONFCAST_OK);
    period_close(&p);
}

static void
a_key_of_some_scopes_does_not_speak_for_a_shard(void)
{
    struct cfc_ring_key key = ring_key_of(&fx.signing_key);
    struct cfc_keyring ring = {0};
    struct cfc_verifier verifier;
    struct cfc_fresh fresh;
    struct cfc_frame frame;
    struct period p;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, 1), CONFCAST_OK);
    encode_page(&p, 0);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
    key.prefix_count = 1;
    memcpy(key.prefixes[0], "acme", 5);
    key.not_after_unix_ns = 1000;
    CU_ASSERT_EQUAL_FATAL(cfc_keyring_add(&ring, &key), CONFCAST_OK);
    verifier = cfc_keyring_verifier(&ring);
    CU_ASSERT_EQUAL(cfc_fresh_verify(&fresh, &verifier, 0), CONFCAST_ERR_AUTHORITY);
    ring.keys[0].prefix_count = 0;
    CU_ASSERT_EQUAL(cfc_fresh_verify(&fresh, &verifier, 1000), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fresh_verify(&fresh, &verifier, 1001), CONFCAST_ERR_EXPIRED);
    period_close(&p);
}

static void
signed_tlvs_are_skipped_unless_critical(void)
{
    struct cfc_fresh fresh;
    struct cfc_frame frame;
    struct period p;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, 1), CONFCAST_OK);
    encode_page(&p, 0);
    memmove(fx.frame + SIGNATURE + 4, fx.frame + SIGNATURE, fx.size - SIGNATURE);
    cfc_put_u32(fx.frame + SIGNATURE, 9);
    fx.size += 4;
    cfc_put_u16(fx.frame + 4, (uint16_t)fx.size);
    cfc_put_u16(fx.frame + 16, 72 + 4);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fresh_check_page(&fresh, fx.sha), CONFCAST_OK);
    cfc_put_u32(fx.frame + SIGNATURE, 0x8009);
    CU_ASSERT_EQUAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_ERR_UNSUPPORTED);
    cfc_put_u32(fx.frame + SIGNATURE, 0x10009);
    CU_ASSERT_EQUAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_ERR_LENGTH);
    period_close(&p);
}

static void
bytes_after_the_entries_are_refused(void)
{
    struct cfc_fresh fresh;
    struct cfc_frame frame;
    struct period p;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, 1), CONFCAST_OK);
    encode_page(&p, 0);
    fx.frame[fx.size++] = 0;
    cfc_put_u16(fx.frame + 4, (uint16_t)fx.size);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_ERR_LENGTH);
    frame.type = CFC_FRAME_HEAD;
    CU_ASSERT_EQUAL(cfc_fresh_decode(&frame, &fresh), CONFCAST_ERR_INVALID);
    period_close(&p);
}

static void
a_builder_refuses_unsorted_entries_and_epoch_zero(void)
{
    struct cfc_fresh_entry entries[3] = {{.scope_id = 1}, {.scope_id = 3}, {.scope_id = 3}};
    struct cfc_fresh without_epoch = fixed;
    struct cfc_fresh_builder b;
    uint8_t nodes[16];

    CU_ASSERT_EQUAL(cfc_fresh_builder_init(&b, &fixed, entries, 3, nodes, &fx.signer, fx.sha),
                    CONFCAST_ERR_INVALID);
    entries[2].scope_id = 2;
    CU_ASSERT_EQUAL(cfc_fresh_builder_init(&b, &fixed, entries, 3, nodes, &fx.signer, fx.sha),
                    CONFCAST_ERR_INVALID);
    entries[2].scope_id = 4;
    CU_ASSERT_EQUAL(cfc_fresh_builder_init(&b, &fixed, entries, 3, nodes, &fx.signer, fx.sha),
                    CONFCAST_OK);
    without_epoch.epoch = 0;
    CU_ASSERT_EQUAL(
        cfc_fresh_builder_init(&b, &without_epoch, entries, 3, nodes, &fx.signer, fx.sha),
        CONFCAST_ERR_INVALID);
}

static void
a_page_fits_exactly_or_not_at_all(void)
{
    struct period p;
    size_t size;

    CU_ASSERT_EQUAL_FATAL(period_open(&p, 33), CONFCAST_OK);
    encode_page(&p, 1);
    size = fx.size;
    for (size_t capacity = 0; capacity < size; capacity++) {
        CU_ASSERT_EQUAL(cfc_fresh_encode_page(&p.builder, 1, fx.frame, capacity, &fx.size),
                        CONFCAST_ERR_LIMIT);
    }
    CU_ASSERT_EQUAL(cfc_fresh_encode_page(&p.builder, 1, fx.frame, size, &fx.size), CONFCAST_OK);
    period_close(&p);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_page_proves_and_no_tampered_one_does),
    CFC_CASE(the_largest_shard_fits_and_one_more_scope_does_not),
    CFC_CASE(a_page_of_one_place_does_not_prove_at_another),
    CFC_CASE(damage_to_each_field_is_named),
    CFC_CASE(an_empty_shard_has_no_root),
    CFC_CASE(no_bit_of_a_signed_page_can_change),
    CFC_CASE(all_pages_of_a_period_share_their_signed_bytes),
    CFC_CASE(a_key_of_some_scopes_does_not_speak_for_a_shard),
    CFC_CASE(signed_tlvs_are_skipped_unless_critical),
    CFC_CASE(bytes_after_the_entries_are_refused),
    CFC_CASE(a_builder_refuses_unsorted_entries_and_epoch_zero),
    CFC_CASE(a_page_fits_exactly_or_not_at_all),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    failed = cfc_test_main("wire_fresh", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
