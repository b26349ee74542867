#include "protocol/wire/link.h"

#include "tests/unit/cunit_main.h"
#include "tests/unit/wire_patch.h"

/* Where things stand in the encoded example HELLO: see the layout in link.h. */
enum {
    ID = 64,
    LABELS = ID + sizeof(FIXTURE_CONSUMER) - 1,
    LABEL_1 = LABELS + 2 + 8,
    PROOF = LABEL_1 + 2 + 4,
    HOLDS = PROOF + 4 + 40,
    HELLO_MAC = HOLDS + 4 + 16
};

static struct fixture fx;

static int
encode_hello(const struct cfc_hello *hello)
{
    return cfc_hello_encode(hello, &fx.credential_key, fx.frame, sizeof(fx.frame), &fx.size);
}

static int
decode_hello(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_hello hello;

    return cfc_hello_decode(frame, f->sha, &hello);
}

static int
check_hello(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_hello hello;
    int rc = cfc_hello_decode(frame, f->sha, &hello);

    return rc == CONFCAST_OK ? cfc_hello_check(frame, &f->credential_key) : rc;
}

/* Puts `size` bytes before the MAC, whose bytes then no longer fit. */
static void
insert_before_mac(const void *bytes, size_t size)
{
    size_t at = fx.size - CFC_MAC_SIZE;

    memmove(fx.frame + at + size, fx.frame + at, CFC_MAC_SIZE);
    memcpy(fx.frame + at, bytes, size);
    fx.size += size;
    cfc_put_u16(fx.frame + 4, (uint16_t)fx.size);
}

static int
decode_now(struct cfc_hello *out)
{
    struct cfc_frame frame;
    int rc = cfc_frame_open(fx.frame, fx.size, &frame);

    return rc == CONFCAST_OK ? cfc_hello_decode(&frame, fx.sha, out) : rc;
}

static void
a_decoded_hello_says_what_was_encoded(void)
{
    struct cfc_hello in = example_hello(fx.sha);
    struct cfc_hello out;

    CU_ASSERT_EQUAL_FATAL(encode_hello(&in), CONFCAST_OK);
    CU_ASSERT_EQUAL(fx.size, HELLO_MAC + CFC_MAC_SIZE);
    CU_ASSERT_EQUAL_FATAL(decode_now(&out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.consumer_key, in.consumer_key);
    CU_ASSERT_EQUAL(out.incarnation, 12);
    CU_ASSERT_EQUAL(memcmp(out.nonce, in.nonce, sizeof(in.nonce)), 0);
    CU_ASSERT_EQUAL(memcmp(out.cookie, in.cookie, sizeof(in.cookie)), 0);
    CU_ASSERT_EQUAL(out.id_size, in.id_size);
    CU_ASSERT_PTR_EQUAL(out.id, fx.frame + ID);
    CU_ASSERT_EQUAL(out.label_count, 2);
    CU_ASSERT_EQUAL(out.labels[0].value_size, 4);
    CU_ASSERT_EQUAL(memcmp(out.labels[0].value, "eu-1", 4), 0);
    CU_ASSERT_EQUAL(out.labels[1].value_size, 0);
    CU_ASSERT_PTR_EQUAL(out.head_proof, fx.frame + PROOF + 4);
    CU_ASSERT_EQUAL(out.head_proof_size, 40);
    CU_ASSERT_PTR_EQUAL(out.holds, fx.frame + HOLDS + 4);
    CU_ASSERT_EQUAL(out.hold_count, 2);
}

static void
damage_to_each_field_of_a_hello_is_named(void)
{
    static const struct patch patches[] = {
        {"another incarnation", 16, 8, 13, CONFCAST_OK},
        {"id size 0", 56, 1, 0, CONFCAST_ERR_RANGE},
        {"id size beyond", 56, 1, 128, CONFCAST_ERR_LENGTH},
        {"id size above the limit", 56, 1, 129, CONFCAST_ERR_RANGE},
        {"no labels", 57, 1, 0, CONFCAST_ERR_LENGTH},
        {"17 labels", 57, 1, 17, CONFCAST_ERR_RANGE},
        {"reserved u16", 58, 2, 1, CONFCAST_ERR_VERSION},
        {"reserved u32", 60, 4, 1, CONFCAST_ERR_VERSION},
        {"space in the id", ID, 1, ' ', CONFCAST_ERR_RANGE},
        {"NUL in the id", ID, 1, 0, CONFCAST_ERR_RANGE},
        {"another id", ID, 1, 'g', CONFCAST_ERR_WRONG_STREAM},
        {"another key", 8, 1, 0, CONFCAST_ERR_WRONG_STREAM},
        {"label key beyond", LABELS, 1, 255, CONFCAST_ERR_LENGTH},
        {"empty label key", LABEL_1, 2, 0x0400, CONFCAST_ERR_RANGE},
        {"space in a label key", LABELS + 2, 1, ' ', CONFCAST_ERR_RANGE},
        {"space in a label value", LABELS + 6, 1, ' ', CONFCAST_ERR_RANGE},
        {"a label key twice", LABEL_1 + 2, 4, 0x656e6f7a, CONFCAST_ERR_RANGE},
        {"critical TLV", PROOF, 2, 0x8009, CONFCAST_ERR_UNSUPPORTED},
        {"unknown TLV", PROOF, 2, 9, CONFCAST_OK},
        {"a TLV twice", PROOF, 2, 3, CONFCAST_ERR_RANGE},
        {"the other TLV twice", HOLDS, 2, 2, CONFCAST_ERR_RANGE},
        {"TLV size below", HOLDS + 2, 2, 15, CONFCAST_ERR_LENGTH},
        {"TLV size above", HOLDS + 2, 2, 17, CONFCAST_ERR_LENGTH},
        {"padding that is not zero", HOLDS, 2, 4, CONFCAST_ERR_VERSION},
    };
    struct cfc_hello hello = example_hello(fx.sha);

    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_hello), 0);
}

static void
tlvs_of_a_hello_have_content(void)
{
    static const uint8_t proof[] = {2, 0, 0, 0};
    static const uint8_t holds[] = {3, 0, 0, 0};
    static const uint8_t seven[] = {3, 0, 7, 0, 1, 2, 3, 4, 5, 6, 7};
    static const uint8_t zeroes[] = {4, 0, 2, 0, 0, 0};
    struct cfc_hello hello = example_hello(fx.sha);
    struct cfc_hello out;

    hello.head_proof = NULL;
    hello.holds = NULL;
    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    insert_before_mac(zeroes, sizeof(zeroes));
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_OK);
    insert_before_mac(proof, sizeof(proof));
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    insert_before_mac(holds, sizeof(holds));
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    insert_before_mac(seven, sizeof(seven));
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_ERR_LENGTH);
}

static void
capabilities_of_a_hello_come_once_and_unknown_ones_pass(void)
{
    static const uint8_t later[] = {6, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0x80};
    static const uint8_t none[] = {6, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t seven[] = {6, 0, 7, 0, 1, 0, 0, 0, 0, 0, 0};
    static const uint8_t nine[] = {6, 0, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    struct cfc_hello hello = example_hello(fx.sha);
    struct cfc_hello out;

    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.capabilities, 0);
    insert_before_mac(later, sizeof(later));
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.capabilities, CFC_CAPABILITY_DELTAS | UINT64_C(1) << 63);
    insert_before_mac(later, sizeof(later));
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    insert_before_mac(none, sizeof(none));
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    insert_before_mac(seven, sizeof(seven));
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    insert_before_mac(nine, sizeof(nine));
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_ERR_LENGTH);
    hello.capabilities = CFC_CAPABILITY_DELTAS;
    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.capabilities, CFC_CAPABILITY_DELTAS);
}

static void
a_hello_of_any_id_is_padded_to_the_answers_size(void)
{
    char id[CFC_CONSUMER_ID_SIZE_MAX];
    struct cfc_hello hello = {.id = id};

    memset(id, 'x', sizeof(id));
    for (unsigned size = 1; size <= CFC_CONSUMER_ID_SIZE_MAX; size++) {
        size_t bare = 64 + size + 16;
        size_t padded = bare >= 128 ? bare : bare > 124 ? bare + 4 : 128;
        struct cfc_hello out;

        hello.id_size = (uint8_t)size;
        hello.consumer_key = cfc_consumer_key(fx.sha, id, size);
        CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
        CU_ASSERT_EQUAL(fx.size, padded);
        CU_ASSERT_EQUAL(decode_now(&out), CONFCAST_OK);
    }
    CU_ASSERT(CFC_WELCOME_SIZE <= CFC_HELLO_SIZE_MIN);
}

static void
a_hello_below_the_least_size_is_short(void)
{
    struct cfc_hello hello = example_hello(fx.sha);
    struct cfc_frame frame;
    struct cfc_hello out;
    uint8_t *copy;
    int rc;

    hello.head_proof = NULL;
    hello.holds = NULL;
    hello.label_count = 0;
    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    copy = prefix_of(&fx, CFC_HELLO_SIZE_MIN - 1, &frame, &rc);
    CU_ASSERT_EQUAL_FATAL(rc, CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_hello_decode(&frame, fx.sha, &out), CONFCAST_ERR_SHORT);
    CU_ASSERT_EQUAL(cfc_hello_check(&frame, &fx.credential_key), CONFCAST_ERR_MAC);
    free(copy);
}

static void
no_bit_of_a_hello_can_change(void)
{
    struct cfc_hello hello = example_hello(fx.sha);
    struct cfc_key other = fx.credential_key;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    CU_ASSERT_EQUAL(flips_accepted(&fx, 0, fx.size, check_hello), 0);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_hello_check(&frame, &fx.credential_key), CONFCAST_OK);
    other.bytes[0] ^= 1;
    CU_ASSERT_EQUAL(cfc_hello_check(&frame, &other), CONFCAST_ERR_MAC);
}

static void
encoding_a_hello_refuses_bad_names_and_small_buffers(void)
{
    struct cfc_hello hello = example_hello(fx.sha);
    struct cfc_hello bad = hello;
    size_t size;

    bad.id_size = 0;
    CU_ASSERT_EQUAL(encode_hello(&bad), CONFCAST_ERR_INVALID);
    bad.id_size = CFC_CONSUMER_ID_SIZE_MAX + 1;
    CU_ASSERT_EQUAL(encode_hello(&bad), CONFCAST_ERR_INVALID);
    bad = hello;
    bad.label_count = CFC_LABEL_COUNT_MAX + 1;
    CU_ASSERT_EQUAL(encode_hello(&bad), CONFCAST_ERR_INVALID);
    bad = hello;
    bad.labels[1] = bad.labels[0];
    CU_ASSERT_EQUAL(encode_hello(&bad), CONFCAST_ERR_INVALID);
    bad = hello;
    bad.hold_count = UINT16_MAX / 8 + 1;
    CU_ASSERT_EQUAL(encode_hello(&bad), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL_FATAL(encode_hello(&hello), CONFCAST_OK);
    size = fx.size;
    for (size_t capacity = 0; capacity < size; capacity++) {
        CU_ASSERT_EQUAL(cfc_hello_encode(&hello, &fx.credential_key, fx.frame, capacity, &fx.size),
                        CONFCAST_ERR_LIMIT);
    }
}

static int
encode_welcome(const struct cfc_welcome *welcome)
{
    return cfc_welcome_encode(welcome, &fx.credential_key, fx.frame, sizeof(fx.frame), &fx.size);
}

static int
decode_welcome(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_welcome welcome;

    (void)f;
    return cfc_welcome_decode(frame, &welcome);
}

static int
check_welcome(const struct fixture *f, const struct cfc_frame *frame)
{
    int rc = decode_welcome(f, frame);

    return rc == CONFCAST_OK ? cfc_welcome_check(frame, &f->credential_key) : rc;
}

static void
a_decoded_welcome_says_what_was_encoded(void)
{
    struct cfc_welcome in = example_welcome();
    struct cfc_welcome out;
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(encode_welcome(&in), CONFCAST_OK);
    CU_ASSERT_EQUAL(fx.size, CFC_WELCOME_SIZE);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_welcome_decode(&frame, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.boot_id, in.boot_id);
    CU_ASSERT_EQUAL(out.kind, in.kind);
    CU_ASSERT_EQUAL(out.session, in.session);
    CU_ASSERT_EQUAL(memcmp(out.nonce, in.nonce, sizeof(in.nonce)), 0);
    CU_ASSERT_EQUAL(memcmp(out.token, in.token, sizeof(in.token)), 0);
    CU_ASSERT_TRUE(cfc_address_equal(&out.observed, &in.observed));
    CU_ASSERT_EQUAL(out.windows.hello_ms, 1000);
    CU_ASSERT_EQUAL(out.windows.nack_us, 2000);
    CU_ASSERT_EQUAL(out.windows.report_ms, 3000);
    CU_ASSERT_EQUAL(out.windows.report_generation, 4);
    CU_ASSERT_EQUAL(cfc_welcome_check(&frame, &fx.credential_key), CONFCAST_OK);
}

static void
damage_to_each_field_of_a_welcome_is_named(void)
{
    static const struct patch patches[] = {
        {"kind 3", 16, 1, 3, CONFCAST_ERR_VERSION},
        {"CHALLENGE with a MAC", 16, 1, 0, CONFCAST_ERR_VERSION},
        {"REFUSE without a reason", 16, 1, 2, CONFCAST_ERR_RANGE},
        {"reserved u8", 17, 1, 1, CONFCAST_ERR_VERSION},
        {"reserved u16", 18, 2, 1, CONFCAST_ERR_VERSION},
        {"another session", 20, 4, 1, CONFCAST_OK},
        {"ACCEPT with a reason", 74, 2, 27, CONFCAST_ERR_RANGE},
        {"reserved u32", 76, 4, 1, CONFCAST_ERR_VERSION},
    };
    struct cfc_welcome welcome = example_welcome();
    struct cfc_frame frame;

    CU_ASSERT_EQUAL_FATAL(encode_welcome(&welcome), CONFCAST_OK);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_welcome), 0);
    CU_ASSERT_EQUAL(flips_accepted(&fx, 0, fx.size, check_welcome), 0);
    fx.size++;
    cfc_put_u16(fx.frame + 4, (uint16_t)fx.size);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_welcome(&fx, &frame), CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL(cfc_welcome_check(&frame, &fx.credential_key), CONFCAST_ERR_MAC);
}

static void
each_kind_of_welcome_carries_only_its_own(void)
{
    struct cfc_welcome welcome = example_welcome();
    struct cfc_frame frame;

    welcome.kind = CFC_WELCOME_CHALLENGE;
    CU_ASSERT_EQUAL(encode_welcome(&welcome), CONFCAST_ERR_INVALID); /* a session */
    welcome.session = 0;
    CU_ASSERT_EQUAL(encode_welcome(&welcome), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_welcome(&fx, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_welcome_check(&frame, &fx.credential_key), CONFCAST_ERR_MAC);
    welcome.refusal = 27;
    CU_ASSERT_EQUAL(encode_welcome(&welcome), CONFCAST_ERR_INVALID);
    welcome.kind = CFC_WELCOME_REFUSE;
    CU_ASSERT_EQUAL(encode_welcome(&welcome), CONFCAST_ERR_INVALID); /* a token */
    memset(welcome.token, 0, sizeof(welcome.token));
    CU_ASSERT_EQUAL(encode_welcome(&welcome), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL(check_welcome(&fx, &frame), CONFCAST_OK);
    welcome.kind = 3;
    CU_ASSERT_EQUAL(encode_welcome(&welcome), CONFCAST_ERR_INVALID);
    welcome = example_welcome();
    CU_ASSERT_EQUAL(
        cfc_welcome_encode(&welcome, &fx.credential_key, fx.frame, CFC_WELCOME_SIZE - 1, &fx.size),
        CONFCAST_ERR_LIMIT);
}

static void
a_cookie_depends_on_all_it_was_made_from(void)
{
    struct cfc_address address = fx.address;
    struct cfc_key key = fx.session_key;
    uint8_t a[CFC_COOKIE_SIZE];
    uint8_t b[CFC_COOKIE_SIZE];

    cfc_cookie_make(&key, 1, 2, &address, a);
    cfc_cookie_make(&key, 1, 2, &address, b);
    CU_ASSERT_EQUAL(memcmp(a, b, sizeof(a)), 0);
    cfc_cookie_make(&key, 2, 2, &address, b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
    cfc_cookie_make(&key, 1, 3, &address, b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
    address.port++;
    cfc_cookie_make(&key, 1, 2, &address, b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
    address = fx.address;
    address.ip[0]++;
    cfc_cookie_make(&key, 1, 2, &address, b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
    key.bytes[0]++;
    cfc_cookie_make(&key, 1, 2, &fx.address, b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
}

static void
a_session_key_depends_on_both_nonces_and_the_boot(void)
{
    struct cfc_key key;
    uint8_t nonce[CFC_NONCE_SIZE] = {0};

    cfc_session_key(&fx.credential_key, nonce, fx.engine_nonce, FIXTURE_BOOT_ID, &key);
    CU_ASSERT_NOT_EQUAL(memcmp(&key, &fx.session_key, sizeof(key)), 0);
    cfc_session_key(&fx.credential_key, fx.hello_nonce, nonce, FIXTURE_BOOT_ID, &key);
    CU_ASSERT_NOT_EQUAL(memcmp(&key, &fx.session_key, sizeof(key)), 0);
    cfc_session_key(&fx.credential_key, fx.hello_nonce, fx.engine_nonce, 1, &key);
    CU_ASSERT_NOT_EQUAL(memcmp(&key, &fx.session_key, sizeof(key)), 0);
    cfc_session_key(&fx.credential_key, fx.hello_nonce, fx.engine_nonce, FIXTURE_BOOT_ID, &key);
    CU_ASSERT_EQUAL(memcmp(&key, &fx.session_key, sizeof(key)), 0);
}

static int
decode_status(const struct fixture *f, const struct cfc_frame *frame)
{
    struct cfc_status status;

    (void)f;
    return cfc_status_decode(frame, &status);
}

static void
a_decoded_status_says_what_was_encoded(void)
{
    static const struct patch patches[] = {
        {"one echo less", 44, 2, 1, CONFCAST_ERR_LENGTH},
        {"one echo more", 44, 2, 3, CONFCAST_ERR_LENGTH},
        {"65 echoes", 44, 2, 65, CONFCAST_ERR_RANGE},
        {"another port", 46, 2, 1, CONFCAST_OK},
    };
    struct cfc_status in = example_status();
    struct cfc_status out;
    struct cfc_frame frame;
    struct cfc_echo echo;

    CU_ASSERT_EQUAL_FATAL(
        cfc_status_encode(&in, example_echoes, fx.frame, sizeof(fx.frame), &fx.size), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_frame_open(fx.frame, fx.size, &frame), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_status_decode(&frame, &out), CONFCAST_OK);
    CU_ASSERT_EQUAL(out.boot_id, in.boot_id);
    CU_ASSERT_EQUAL(out.time_unix_ns, in.time_unix_ns);
    CU_ASSERT_EQUAL(out.fleet_size, in.fleet_size);
    CU_ASSERT_EQUAL(out.windows.report_generation, 4);
    CU_ASSERT_TRUE(cfc_address_equal(&out.unicast, &in.unicast));
    CU_ASSERT_EQUAL(out.echo_count, 2);
    cfc_status_echo_at(&out, 1, &echo);
    CU_ASSERT_EQUAL(echo.consumer_key, 0x2222);
    CU_ASSERT_EQUAL(echo.report_seq, 6);
    CU_ASSERT_EQUAL(PATCHES_WRONG(&fx, patches, decode_status), 0);
}

static void
a_status_holds_64_echoes_and_not_65(void)
{
    static const struct cfc_echo echoes[CFC_STATUS_ECHOES_MAX];
    struct cfc_status status = example_status();

    status.echo_count = CFC_STATUS_ECHOES_MAX;
    CU_ASSERT_EQUAL(cfc_status_encode(&status, echoes, fx.frame, CFC_FRAME_SIZE_DEFAULT, &fx.size),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_status_encode(&status, echoes, fx.frame, fx.size - 1, &fx.size),
                    CONFCAST_ERR_LIMIT);
    status.echo_count++;
    CU_ASSERT_EQUAL(cfc_status_encode(&status, echoes, fx.frame, sizeof(fx.frame), &fx.size),
                    CONFCAST_ERR_INVALID);
}

static void
a_frame_of_another_type_is_the_callers_mistake(void)
{
    struct cfc_frame frame = {.type = CFC_FRAME_HEAD, .bytes = fx.frame, .size = 112};
    struct cfc_hello hello;

    CU_ASSERT_EQUAL(cfc_hello_decode(&frame, fx.sha, &hello), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(decode_welcome(&fx, &frame), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(decode_status(&fx, &frame), CONFCAST_ERR_INVALID);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_decoded_hello_says_what_was_encoded),
    CFC_CASE(damage_to_each_field_of_a_hello_is_named),
    CFC_CASE(tlvs_of_a_hello_have_content),
    CFC_CASE(capabilities_of_a_hello_come_once_and_unknown_ones_pass),
    CFC_CASE(a_hello_of_any_id_is_padded_to_the_answers_size),
    CFC_CASE(a_hello_below_the_least_size_is_short),
    CFC_CASE(no_bit_of_a_hello_can_change),
    CFC_CASE(encoding_a_hello_refuses_bad_names_and_small_buffers),
    CFC_CASE(a_decoded_welcome_says_what_was_encoded),
    CFC_CASE(damage_to_each_field_of_a_welcome_is_named),
    CFC_CASE(each_kind_of_welcome_carries_only_its_own),
    CFC_CASE(a_cookie_depends_on_all_it_was_made_from),
    CFC_CASE(a_session_key_depends_on_both_nonces_and_the_boot),
    CFC_CASE(a_decoded_status_says_what_was_encoded),
    CFC_CASE(a_status_holds_64_echoes_and_not_65),
    CFC_CASE(a_frame_of_another_type_is_the_callers_mistake),
};

int
main(void)
{
    int failed;

    fixture_open(&fx);
    failed = cfc_test_main("wire_link", cases, sizeof(cases) / sizeof(cases[0]));
    fixture_close(&fx);
    return failed;
}
