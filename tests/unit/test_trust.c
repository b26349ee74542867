/* Digests, MACs and the key ring against published answers: FIPS 180-2 and RFC 8032. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/trust/digest.h"
#include "protocol/trust/keyring.h"
#include "protocol/trust/mac.h"
#include "tests/unit/cunit_main.h"

static void
unhex(const char *hex, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned byte = 0;
        int count = sscanf(hex + 2 * i, "%2x", &byte);

        assert(count == 1);
        (void)count;
        out[i] = (uint8_t)byte;
    }
}

static bool
is_hex(const void *bytes, size_t size, const char *hex)
{
    uint8_t expected[128];

    assert(size <= sizeof(expected) && strlen(hex) == 2 * size);
    unhex(hex, expected, size);
    return memcmp(bytes, expected, size) == 0;
}

static void
sha256_gives_the_published_digests(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_digest d;

    CU_ASSERT_PTR_NOT_NULL_FATAL(sha);
    cfc_sha256_once(sha, NULL, "abc", 3, &d);
    CU_ASSERT(is_hex(&d, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    cfc_sha256_once(sha, NULL, "", 0, &d);
    CU_ASSERT(is_hex(&d, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    cfc_sha256_begin(sha, NULL);
    cfc_sha256_add(sha, "abcdbcdecdefdefgefghfghighij", 28);
    cfc_sha256_add(sha, "hijkijkljklmklmnlmnomnopnopq", 28);
    cfc_sha256_end(sha, &d);
    CU_ASSERT(is_hex(&d, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"));
    cfc_sha256_free(sha);
    cfc_sha256_free(NULL);
}

/* Every way to cut bytes into pieces around the edges of blocks, by the extensions of the processor
 * (where there are some) and by the library. */
static void
sha256_does_not_depend_on_who_makes_it_nor_on_the_pieces(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_sha256 *library = cfc_sha256_new_by_library();
    uint8_t bytes[300];

    CU_ASSERT_FATAL(sha != NULL && library != NULL);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(7 * i + i / 5);
    }
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        struct cfc_digest expected;

        cfc_sha256_once(library, "domain", bytes, size, &expected);
        for (size_t first = 0; first <= size; first += first < 70 ? 1 : 13) {
            struct cfc_digest d;

            cfc_sha256_begin(sha, "domain");
            cfc_sha256_add(sha, bytes, first);
            cfc_sha256_add(sha, bytes + first, size - first);
            cfc_sha256_end(sha, &d);
            CU_ASSERT_TRUE(cfc_digest_equal(&d, &expected));
        }
    }
    cfc_sha256_free(sha);
    cfc_sha256_free(library);
}

static void
bytes_digested_beside_others_give_the_same_digests(void)
{
    static uint8_t stream[8000];
    static const size_t late_max[] = {0, 63, 64, 500, 8000};
    struct cfc_prng prng = {.state = 5};
    struct cfc_sha256 *host = cfc_sha256_new();
    struct cfc_sha256 *guest = cfc_sha256_new();
    struct cfc_sha256 *library = cfc_sha256_new_by_library();
    uint32_t unlike_count = 0;

    CU_ASSERT_FATAL(host != NULL && guest != NULL && library != NULL);
    for (size_t i = 0; i < sizeof(stream); i++) {
        stream[i] = (uint8_t)cfc_prng_next(&prng);
    }
    for (int round = 0; round < 400; round++) {
        struct cfc_digest expected, d;
        size_t done = cfc_prng_below(&prng, 200); /* added before */

        cfc_sha256_begin(guest, "stream");
        cfc_sha256_add(guest, stream, done);
        while (done < sizeof(stream)) {
            uint8_t leaf[700];
            size_t leaf_size = cfc_prng_below(&prng, sizeof(leaf));
            size_t piece = cfc_prng_below(&prng, 900);

            piece = piece < sizeof(stream) - done ? piece : sizeof(stream) - done;
            cfc_sha256_add_beside(guest, stream + done, piece, host, late_max[(size_t)round % 5]);
            done += piece;
            memset(leaf, (int)done, sizeof(leaf));
            cfc_sha256_once(host, "leaf", leaf, leaf_size, &d);
            cfc_sha256_once(library, "leaf", leaf, leaf_size, &expected);
            unlike_count += !cfc_digest_equal(&d, &expected);
        }
        cfc_sha256_end(guest, &d);
        cfc_sha256_once(library, "stream", stream, sizeof(stream), &expected);
        unlike_count += !cfc_digest_equal(&d, &expected);
    }
    CU_ASSERT_EQUAL(unlike_count, 0);
    cfc_sha256_free(host);
    cfc_sha256_free(guest);
    cfc_sha256_free(library);
}

/* Pieces that do not follow each other, a host that takes another guest, a guest that is begun anew
 * or freed while something of it is late. */
static void
a_guest_may_move_and_end_at_any_time(void)
{
    uint8_t a[300], b[300];
    struct cfc_sha256 *host = cfc_sha256_new();
    struct cfc_sha256 *first = cfc_sha256_new();
    struct cfc_sha256 *second = cfc_sha256_new();
    struct cfc_sha256 *third = cfc_sha256_new();
    struct cfc_digest expected, d;

    memset(a, 1, sizeof(a));
    memset(b, 2, sizeof(b));
    cfc_sha256_begin(first, NULL);
    cfc_sha256_add_beside(first, a, 200, host, 1000);
    cfc_sha256_begin(second, NULL);
    cfc_sha256_add_beside(second, b, 200, host, 1000); /* the host's guest from now on */
    cfc_sha256_add_beside(first, b + 100, 150, host, 1000);
    cfc_sha256_once(host, NULL, a, sizeof(a), &d);
    cfc_sha256_end(first, &d);
    cfc_sha256_begin(host, NULL);
    cfc_sha256_add(host, a, 200);
    cfc_sha256_add(host, b + 100, 150);
    cfc_sha256_end(host, &expected);
    CU_ASSERT_TRUE(cfc_digest_equal(&d, &expected));
    cfc_sha256_end(second, &d);
    cfc_sha256_once(host, NULL, b, 200, &expected);
    CU_ASSERT_TRUE(cfc_digest_equal(&d, &expected));

    cfc_sha256_begin(third, NULL);
    cfc_sha256_add_beside(third, a, 300, host, 1000);
    cfc_sha256_free(third);
    cfc_sha256_once(host, NULL, b, 200, &d);
    CU_ASSERT_TRUE(cfc_digest_equal(&d, &expected));
    cfc_sha256_begin(first, NULL);
    cfc_sha256_add_beside(first, a, 300, host, 1000);
    cfc_sha256_begin(first, NULL);
    cfc_sha256_free(host);
    cfc_sha256_add(first, b, 200);
    cfc_sha256_end(first, &d);
    CU_ASSERT_TRUE(cfc_digest_equal(&d, &expected));
    cfc_sha256_free(first);
    cfc_sha256_free(second);
}

static void
a_domain_is_hashed_with_its_nul(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_digest a;
    struct cfc_digest b;

    cfc_sha256_once(sha, "x", "y", 1, &a);
    cfc_sha256_once(sha, NULL, "x\0y", 3, &b);
    CU_ASSERT_TRUE(cfc_digest_equal(&a, &b));
    cfc_sha256_once(sha, NULL, "xy", 2, &b);
    CU_ASSERT_FALSE(cfc_digest_equal(&a, &b));
    CU_ASSERT_FALSE(cfc_digest_is_zero(&a));
    memset(&a, 0, sizeof(a));
    CU_ASSERT_TRUE(cfc_digest_is_zero(&a));
    cfc_sha256_free(sha);
}

static void
no_two_domains_are_the_same(void)
{
    static const char *const domains[] = {
        CFC_DOMAIN_CONTENT,     CFC_DOMAIN_SYMBOL,      CFC_DOMAIN_PAGE,
        CFC_DOMAIN_COHORT,      CFC_DOMAIN_FRESH_LEAF,  CFC_DOMAIN_FRESH_NODE,
        CFC_DOMAIN_HEAD_ID,     CFC_DOMAIN_SALT,        CFC_DOMAIN_HEAD_SIG,
        CFC_DOMAIN_CONTENT_SIG, CFC_DOMAIN_FRESH_SIG,   CFC_DOMAIN_FLEET_SIG,
        CFC_DOMAIN_COOKIE,      CFC_DOMAIN_HELLO,       CFC_DOMAIN_WELCOME,
        CFC_DOMAIN_SESSION,     CFC_DOMAIN_FRAME,       CFC_DOMAIN_REPORT_TAG,
        CFC_DOMAIN_CRED_REPORT, CFC_DOMAIN_CRED_SESSION};
    size_t count = sizeof(domains) / sizeof(domains[0]);

    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(strncmp(domains[i], "confcast/v1/", 12), 0);
        CU_ASSERT(strlen(domains[i]) < 64);
        for (size_t j = 0; j < i; j++) {
            CU_ASSERT_STRING_NOT_EQUAL(domains[i], domains[j]);
        }
    }
}

static void
cohorts_nest_and_follow_the_salt(void)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    unsigned below = 0;
    unsigned same = 0;

    for (unsigned i = 0; i < 10000; i++) {
        char id[16];
        int size = snprintf(id, sizeof(id), "host-%u", i);
        uint32_t cohort = cfc_cohort(sha, 7, id, (size_t)size);

        below += cohort < UINT32_MAX / 4 ? 1 : 0;
        same += cohort == cfc_cohort(sha, 8, id, (size_t)size) ? 1 : 0;
    }
    /* 2,500 expected; the standard deviation is 43. */
    CU_ASSERT(below > 2300 && below < 2700);
    CU_ASSERT(same < 3);
    cfc_sha256_free(sha);
}

static void
a_mac_is_keyed_blake2b_over_domain_and_pieces(void)
{
    /* By Python's hashlib: blake2b(b"d\0abc", key=bytes(range(32)), digest_size=16 and 32). */
    struct cfc_piece pieces[2] = {{"a", 1}, {"bc", 2}};
    struct cfc_key key;
    struct cfc_key derived;
    struct cfc_mac mac;

    for (int i = 0; i < CFC_KEY_SIZE; i++) {
        key.bytes[i] = (uint8_t)i;
    }
    cfc_mac_make(&key, "d", pieces, 2, &mac);
    CU_ASSERT(is_hex(&mac, 16, "372efea239b74e6db29f374ac54912be"));
    cfc_key_derive(&key, "d", pieces, 2, &derived);
    CU_ASSERT(
        is_hex(&derived, 32, "83d7e4bd9e8cf0da5463046a97970e952ec833cc76f3af8f8e1cf5b2a9139f0d"));
    CU_ASSERT_EQUAL(cfc_mac_check(&key, "d", pieces, 2, &mac), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_mac_check(&key, "e", pieces, 2, &mac), CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(cfc_mac_check(&key, "d", pieces, 1, &mac), CONFCAST_ERR_MAC);
    CU_ASSERT_EQUAL(cfc_mac_check(&derived, "d", pieces, 2, &mac), CONFCAST_ERR_MAC);
    mac.bytes[15] ^= 1;
    CU_ASSERT_EQUAL(cfc_mac_check(&key, "d", pieces, 2, &mac), CONFCAST_ERR_MAC);
}

static void
a_credential_key_is_the_consumers_own(void)
{
    struct cfc_key fleet = {{1}};
    struct cfc_key a;
    struct cfc_key b;

    cfc_credential_key(&fleet, CFC_DOMAIN_CRED_SESSION, "a", 1, &a);
    cfc_credential_key(&fleet, CFC_DOMAIN_CRED_SESSION, "b", 1, &b);
    CU_ASSERT_NOT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
    cfc_credential_key(&fleet, CFC_DOMAIN_CRED_REPORT, "a", 1, &b);
    CU_ASSERT_NOT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
}

static void
a_seed_gives_the_published_public_key(void)
{
    struct cfc_signing_key key;
    uint8_t seed[32];

    unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", seed, 32);
    CU_ASSERT_EQUAL(cfc_signing_key_from_seed(seed, &key), CONFCAST_OK);
    CU_ASSERT(is_hex(key.public_key, 32,
                     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
}

static struct cfc_ring_key
ring_key(const uint8_t public_key[CFC_PUBLIC_KEY_SIZE], const char *prefix)
{
    struct cfc_ring_key key = {0};

    memcpy(key.public_key, public_key, CFC_PUBLIC_KEY_SIZE);
    if (prefix != NULL) {
        key.prefix_count = 1;
        memcpy(key.prefixes[0], prefix, strlen(prefix) + 1);
    }
    return key;
}

struct signed_thing {
    struct cfc_signing_key key;
    struct cfc_signer signer;
    uint8_t signature[CFC_SIGNATURE_SIZE];
};

/* "message" signed under the domain "d". */
static void
sign(struct signed_thing *thing)
{
    static const uint8_t seed[32] = {3, 1, 4, 1, 5};

    cfc_signing_key_from_seed(seed, &thing->key);
    thing->signer = cfc_signing_key_signer(&thing->key);
    CU_ASSERT_EQUAL_FATAL(
        thing->signer.sign(thing->signer.ctx, "d", (const uint8_t *)"message", 7, thing->signature),
        CONFCAST_OK);
}

static int
verify(const struct cfc_keyring *ring, const struct signed_thing *thing, const char *scope,
       uint64_t unix_ns, const char *domain, const char *message)
{
    struct cfc_verifier v = cfc_keyring_verifier(ring);

    return v.verify(v.ctx, thing->signer.key_id, scope, scope != NULL ? strlen(scope) : 0, unix_ns,
                    domain, (const uint8_t *)message, strlen(message), thing->signature);
}

static void
a_signature_binds_domain_and_message(void)
{
    struct cfc_keyring ring = {0};
    struct signed_thing thing;
    struct cfc_ring_key key;

    sign(&thing);
    key = ring_key(thing.key.public_key, NULL);
    CU_ASSERT_EQUAL(verify(&ring, &thing, NULL, 0, "d", "message"), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(cfc_keyring_add(&ring, &key), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify(&ring, &thing, NULL, 0, "d", "message"), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify(&ring, &thing, NULL, 0, "e", "message"), CONFCAST_ERR_SIGNATURE);
    CU_ASSERT_EQUAL(verify(&ring, &thing, NULL, 0, "d", "messagf"), CONFCAST_ERR_SIGNATURE);
    thing.signature[0] ^= 1;
    CU_ASSERT_EQUAL(verify(&ring, &thing, NULL, 0, "d", "message"), CONFCAST_ERR_SIGNATURE);
}

static void
authority_ends_at_a_segment(void)
{
    struct cfc_keyring ring = {0};
    struct signed_thing thing;
    struct cfc_ring_key key;

    sign(&thing);
    key = ring_key(thing.key.public_key, "acme/shop");
    key.prefix_count = 2;
    memcpy(key.prefixes[1], "beta", 5);
    CU_ASSERT_EQUAL_FATAL(cfc_keyring_add(&ring, &key), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify(&ring, &thing, "acme/shop", 0, "d", "message"), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify(&ring, &thing, "acme/shop/prod", 0, "d", "message"), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify(&ring, &thing, "beta/x", 0, "d", "message"), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify(&ring, &thing, NULL, 0, "d", "message"), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify(&ring, &thing, "acme/shops", 0, "d", "message"), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(verify(&ring, &thing, "acme", 0, "d", "message"), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(verify(&ring, &thing, "acme/sho", 0, "d", "message"), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(verify(&ring, &thing, "", 0, "d", "message"), CONFCAST_ERR_AUTHORITY);
}

static void
a_key_ends_after_its_last_nanosecond(void)
{
    struct cfc_keyring ring = {0};
    struct signed_thing thing;
    struct cfc_ring_key key;

    sign(&thing);
    key = ring_key(thing.key.public_key, NULL);
    key.not_after_unix_ns = 500;
    CU_ASSERT_EQUAL_FATAL(cfc_keyring_add(&ring, &key), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify(&ring, &thing, NULL, 500, "d", "message"), CONFCAST_OK);
    CU_ASSERT_EQUAL(verify(&ring, &thing, NULL, 501, "d", "message"), CONFCAST_ERR_EXPIRED);
}

static void
a_small_order_key_verifies_nothing(void)
{
    /* The neutral element as public key and as R, S = 0: the equation would hold for any message.
     */
    static const uint8_t neutral[32] = {1};
    struct cfc_ring_key key = ring_key(neutral, NULL);
    struct cfc_keyring ring = {0};
    struct signed_thing thing = {.signature = {1}};

    CU_ASSERT_EQUAL_FATAL(cfc_keyring_add(&ring, &key), CONFCAST_OK);
    memcpy(thing.signer.key_id, ring.keys[0].id, CFC_KEY_ID_SIZE);
    CU_ASSERT_EQUAL(verify(&ring, &thing, NULL, 0, "d", "message"), CONFCAST_ERR_SIGNATURE);
}

static void
a_ring_holds_16_different_keys(void)
{
    struct cfc_keyring ring = {0};
    struct cfc_ring_key key = {0};

    for (unsigned i = 0; i < CFC_KEYRING_KEYS_MAX; i++) {
        key.public_key[0] = (uint8_t)i;
        CU_ASSERT_EQUAL(cfc_keyring_add(&ring, &key), CONFCAST_OK);
        if (i == 0) {
            CU_ASSERT_EQUAL(cfc_keyring_add(&ring, &key), CONFCAST_ERR_EXISTS);
        }
    }
    CU_ASSERT_EQUAL(ring.key_count, CFC_KEYRING_KEYS_MAX);
    key.public_key[0] = 99;
    CU_ASSERT_EQUAL(cfc_keyring_add(&ring, &key), CONFCAST_ERR_LIMIT);
    ring.key_count--;
    key.prefix_count = CFC_KEYRING_PREFIXES_MAX + 1;
    CU_ASSERT_EQUAL(cfc_keyring_add(&ring, &key), CONFCAST_ERR_LIMIT);
}

static void
what_no_frame_can_hold_is_neither_signed_nor_verified(void)
{
    static uint8_t big[CFC_FRAME_SIZE_MAX + 1];
    struct cfc_keyring ring = {0};
    struct signed_thing thing;
    struct cfc_ring_key key;
    struct cfc_verifier v = cfc_keyring_verifier(&ring);
    char long_domain[65];

    memset(long_domain, 'd', 64);
    long_domain[64] = '\0';
    sign(&thing);
    key = ring_key(thing.key.public_key, NULL);
    CU_ASSERT_EQUAL_FATAL(cfc_keyring_add(&ring, &key), CONFCAST_OK);
    CU_ASSERT_EQUAL(
        thing.signer.sign(thing.signer.ctx, "d", big, CFC_FRAME_SIZE_MAX, thing.signature),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(v.verify(v.ctx, thing.signer.key_id, NULL, 0, 0, "d", big, CFC_FRAME_SIZE_MAX,
                             thing.signature),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(
        v.verify(v.ctx, thing.signer.key_id, NULL, 0, 0, "d", big, sizeof(big), thing.signature),
        CONFCAST_ERR_SIGNATURE);
    CU_ASSERT_EQUAL(thing.signer.sign(thing.signer.ctx, "d", big, sizeof(big), thing.signature),
                    CONFCAST_ERR_INTERNAL);
    CU_ASSERT_EQUAL(thing.signer.sign(thing.signer.ctx, long_domain, big, 1, thing.signature),
                    CONFCAST_ERR_INTERNAL);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(sha256_gives_the_published_digests),
    CFC_CASE(sha256_does_not_depend_on_who_makes_it_nor_on_the_pieces),
    CFC_CASE(bytes_digested_beside_others_give_the_same_digests),
    CFC_CASE(a_guest_may_move_and_end_at_any_time),
    CFC_CASE(a_domain_is_hashed_with_its_nul),
    CFC_CASE(no_two_domains_are_the_same),
    CFC_CASE(cohorts_nest_and_follow_the_salt),
    CFC_CASE(a_mac_is_keyed_blake2b_over_domain_and_pieces),
    CFC_CASE(a_credential_key_is_the_consumers_own),
    CFC_CASE(a_seed_gives_the_published_public_key),
    CFC_CASE(a_signature_binds_domain_and_message),
    CFC_CASE(authority_ends_at_a_segment),
    CFC_CASE(a_key_ends_after_its_last_nanosecond),
    CFC_CASE(a_small_order_key_verifies_nothing),
    CFC_CASE(a_ring_holds_16_different_keys),
    CFC_CASE(what_no_frame_can_hold_is_neither_signed_nor_verified),
};

CFC_TEST_MAIN("trust", cases)
