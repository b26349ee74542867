/* How a consumer that pulls proves itself: the header, its MAC, and the nonces. */
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/auth/consumer.h"
#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"

#define TARGET "/v1/snapshot/acme/prod?after=3&wait_s=10"
#define T0     (5000 * CFC_S)

static struct cfc_key fleet_key = {.bytes = {7}};
static struct cfc_consumer_auth auth;
static struct cfc_sha256 *sha;
static char text[CFC_PULL_AUTH_TEXT_MAX];
static struct cfc_pull_auth parsed;

static void
write_header(const char *id, const char *method, const char *target, const char *body,
             uint64_t nonce_ns)
{
    struct cfc_pull_auth mine = {.id = ""};
    char nonce[CFC_PULL_NONCE_TEXT_SIZE + 1];
    struct cfc_key key;

    snprintf(mine.id, sizeof(mine.id), "%s", id);
    cfc_consumer_auth_nonce(&auth, nonce_ns, nonce);
    CU_ASSERT_EQUAL_FATAL(cfc_pull_hex_parse(nonce, strlen(nonce), mine.nonce, sizeof(mine.nonce)),
                          CONFCAST_OK);
    cfc_credential_key(&fleet_key, CFC_DOMAIN_CRED_REPORT, id, strlen(id), &key);
    cfc_pull_auth_make(&mine, &key, method, target, body, strlen(body), sha);
    cfc_pull_auth_write(&mine, text);
}

static int
check(const char *method, const char *target, uint64_t now_ns)
{
    return cfc_consumer_auth_check(&auth, text, method, target, now_ns, &parsed);
}

static void
setup(void)
{
    sha = cfc_sha256_new();
    cfc_consumer_auth_init(&auth, &fleet_key);
    write_header("web-1.eu", "GET", TARGET, "", T0);
}

static void
the_right_header_is_taken_for_its_request_alone(void)
{
    setup();
    CU_ASSERT_EQUAL(check("GET", TARGET, T0), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(parsed.id, "web-1.eu");
    CU_ASSERT_EQUAL(cfc_pull_auth_check_body(&parsed, "", 0, sha), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_pull_auth_check_body(&parsed, "x", 1, sha), CONFCAST_ERR_DIGEST);
    CU_ASSERT_EQUAL(check("HEAD", TARGET, T0), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(check("GET", TARGET "0", T0), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(check("GET", "/v1/snapshot/acme", T0), CONFCAST_ERR_AUTHORITY);
    write_header("web-2", "POST", "/v1/ack", "report", T0);
    CU_ASSERT_EQUAL(check("POST", "/v1/ack", T0), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_pull_auth_check_body(&parsed, "report", 6, sha), CONFCAST_OK);
    cfc_sha256_free(sha);
}

static void
a_header_with_any_byte_changed_is_nobodys(void)
{
    size_t size;

    setup();
    size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        char was = text[i];

        text[i] = was == 'f' ? '0' : (char)(was + 1);
        CU_ASSERT_EQUAL(check("GET", TARGET, T0), CONFCAST_ERR_AUTHORITY);
        text[i] = '\0';
        CU_ASSERT_EQUAL(check("GET", TARGET, T0), CONFCAST_ERR_AUTHORITY);
        text[i] = was;
    }
    CU_ASSERT_EQUAL(check("GET", TARGET, T0), CONFCAST_OK);
    CU_ASSERT_FATAL(size + 2 <= sizeof(text));
    memcpy(text + size, "0", 2);
    CU_ASSERT_EQUAL(check("GET", TARGET, T0), CONFCAST_ERR_AUTHORITY);
    cfc_sha256_free(sha);
}

static void
what_is_no_header_of_ours_is_refused(void)
{
    static const char *const rows[] = {"",
                                       "Bearer x",
                                       "Confcast",
                                       "Confcast ",
                                       "Confcast web-1",
                                       "Confcast    ",
                                       "confcast web-1 00 00 00",
                                       "Confcast web 1 2 3 4",
                                       "Confcast ../x 00 00 00"};

    setup();
    CU_ASSERT_EQUAL(cfc_consumer_auth_check(&auth, NULL, "GET", TARGET, T0, &parsed),
                    CONFCAST_ERR_AUTHORITY);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CU_ASSERT_EQUAL(cfc_consumer_auth_check(&auth, rows[i], "GET", TARGET, T0, &parsed),
                        CONFCAST_ERR_AUTHORITY);
    }
    cfc_sha256_free(sha);
}

static void
a_nonce_lasts_one_to_two_of_its_times_and_ends_with_its_daemon(void)
{
    const uint64_t slot_ns = CFC_CONSUMER_NONCE_S * CFC_S;
    uint64_t start_ns = T0 / slot_ns * slot_ns;

    setup();
    write_header("web-1", "GET", TARGET, "", start_ns);
    CU_ASSERT_EQUAL(check("GET", TARGET, start_ns + 2 * slot_ns - 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(check("GET", TARGET, start_ns + 2 * slot_ns), CONFCAST_ERR_REPLAY);
    write_header("web-1", "GET", TARGET, "", start_ns + slot_ns - 1);
    CU_ASSERT_EQUAL(check("GET", TARGET, start_ns + 2 * slot_ns - 1), CONFCAST_OK);
    cfc_consumer_auth_init(&auth, &fleet_key);
    CU_ASSERT_EQUAL(check("GET", TARGET, start_ns + slot_ns), CONFCAST_ERR_REPLAY);
    cfc_sha256_free(sha);
}

static void
a_credential_of_another_fleet_or_id_does_not_do(void)
{
    struct cfc_key right = fleet_key;

    setup();
    fleet_key.bytes[3] ^= 1; /* what the header was made with */
    write_header("web-1", "GET", TARGET, "", T0);
    fleet_key = right;
    CU_ASSERT_EQUAL(check("GET", TARGET, T0), CONFCAST_ERR_AUTHORITY);
    write_header("web-1", "GET", TARGET, "", T0);
    memcpy(strstr(text, "web-1"), "web-2", 5);
    CU_ASSERT_EQUAL(check("GET", TARGET, T0), CONFCAST_ERR_AUTHORITY);
    cfc_sha256_free(sha);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(the_right_header_is_taken_for_its_request_alone),
    CFC_CASE(a_header_with_any_byte_changed_is_nobodys),
    CFC_CASE(what_is_no_header_of_ours_is_refused),
    CFC_CASE(a_nonce_lasts_one_to_two_of_its_times_and_ends_with_its_daemon),
    CFC_CASE(a_credential_of_another_fleet_or_id_does_not_do),
};

CFC_TEST_MAIN("pull_auth", cases)
