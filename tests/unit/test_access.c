/* Tokens, roles and identities. */
#include "controlplane/auth/access.h"

#include "controlplane/api/api.h"
#include "protocol/base/time.h"
#include "tests/unit/instruction_count.h"
#include "tests/unit/model_fixture.h"

#define NOW T0

static struct model m;
static struct cfc_access acl;
static struct cfc_api api;
static struct cfc_reply reply;
static struct cfc_identity who;

static void
open_all(bool is_required)
{
    model_open(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_access_open(&acl, m.service, is_required), CONFCAST_OK);
    cfc_api_init(&api, m.service, 1 << 20);
    api.access = &acl;
}

static void
close_all(void)
{
    cfc_reply_clear(&reply);
    cfc_access_close(&acl);
    model_close(&m);
}

/* Sends a request as `identity`, through the rule and the handler; returns the status. */
static unsigned
send_as(const struct cfc_identity *identity, const char *method, const char *target,
        const char *body, const char *key)
{
    struct cfc_request request = {.author = identity->name,
                                  .identity = identity,
                                  .body = body,
                                  .body_size = body != NULL ? strlen(body) : 0,
                                  .idempotency_key = key,
                                  .unix_ns = NOW};
    const struct cfc_api_route *route;

    cfc_reply_clear(&reply);
    CU_ASSERT_EQUAL_FATAL(cfc_target_parse(target, &request.target), CONFCAST_OK);
    route = cfc_api_find(&request, method, &reply);
    if (route != NULL && cfc_api_authorize(&api, &request, route, &reply)) {
        cfc_api_handle(&api, &request, route, &reply);
    }
    return reply.status;
}

/* Bodies end where their size says; not all are texts. */
static bool
answer_has(const char *text)
{
    return reply.body != NULL && memmem(reply.body, reply.body_size, text, strlen(text)) != NULL;
}

static const struct cfc_identity root = {.name = "root", .is_all = true};

/* Makes a token; the secret is static. */
static const char *
make_token(const char *body)
{
    static char text[CFC_TOKEN_TEXT_SIZE + 1];
    const char *found;

    text[0] = '\0';
    CU_ASSERT_EQUAL(send_as(&root, "POST", "/v1/tokens", body, NULL), 200);
    found = strstr(reply.body, CFC_TOKEN_PREFIX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    snprintf(text, sizeof(text), "%s", found);
    return text;
}

static int
bear_at(const char *text, uint64_t unix_ns)
{
    char header[256];
    struct cfc_credentials credentials = {.authorization = header, .unix_ns = unix_ns};

    snprintf(header, sizeof(header), "Bearer %s", text);
    return cfc_access_identify(&acl, &credentials, &who);
}

static uint64_t
denied(enum cfc_denial denial)
{
    return atomic_load(&acl.denials[denial]);
}

#define ANN "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"acme\",\"expires_in_s\":60}"

static void
a_token_is_its_identity_until_it_expires(void)
{
    const char *text;

    open_all(true);
    text = make_token(ANN);
    CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(who.name, "ann");
    CU_ASSERT_EQUAL(who.proof, CFC_PROOF_TOKEN);
    CU_ASSERT_FALSE(who.is_all);
    CU_ASSERT(cfc_identity_allows(&who, CFC_RIGHT_WRITE, "acme/eu"));
    CU_ASSERT_FALSE(cfc_identity_allows(&who, CFC_RIGHT_RELEASE, "acme/eu"));
    CU_ASSERT_EQUAL(bear_at(text, NOW + 60 * CFC_S - 1), CONFCAST_OK);
    CU_ASSERT_EQUAL(bear_at(text, NOW + 60 * CFC_S), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(denied(CFC_DENIAL_EXPIRED_TOKEN), 1);
    close_all();
}

static void
a_wrong_character_anywhere_in_a_token_is_refused(void)
{
    char text[CFC_TOKEN_TEXT_SIZE + 2];

    open_all(true);
    snprintf(text, sizeof(text), "%s", make_token(ANN));
    for (size_t i = 0; i < CFC_TOKEN_TEXT_SIZE; i++) {
        char kept = text[i];

        text[i] = kept == '0' ? '1' : '0';
        CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_ERR_AUTHORITY);
        text[i] = '\0';
        CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_ERR_AUTHORITY);
        text[i] = kept;
    }
    CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_OK);
    text[CFC_TOKEN_TEXT_SIZE] = '0';
    text[CFC_TOKEN_TEXT_SIZE + 1] = '\0';
    CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(denied(CFC_DENIAL_BAD_TOKEN), 2 * CFC_TOKEN_TEXT_SIZE + 1);
    close_all();
}

/* The digest of no token is all zeroes in memory: nothing must compare equal to it. */
struct pair {
    struct cfc_digest a;
    struct cfc_digest b;
};

static void
compare(void *arg)
{
    const struct pair *pair = arg;
    volatile bool is_equal = cfc_token_digest_equal(&pair->a, &pair->b);

    (void)is_equal;
}

/* By the count of instructions, which says more than a clock on a busy machine. */
static void
digests_are_compared_by_as_many_instructions_wherever_they_differ(void)
{
    struct pair pair;
    long equal;

    memset(&pair, 0x5a, sizeof(pair));
    compare(&pair); /* so that the dynamic linker has done its part */
    equal = cfc_count_instructions(compare, &pair);
    CU_ASSERT_FATAL(equal > 0);
    CU_ASSERT(cfc_token_digest_equal(&pair.a, &pair.b));
    for (size_t i = 0; i < sizeof(pair.a.bytes); i++) {
        pair.b.bytes[i] ^= 1;
        CU_ASSERT_FALSE(cfc_token_digest_equal(&pair.a, &pair.b));
        CU_ASSERT_EQUAL(cfc_count_instructions(compare, &pair), equal);
        pair.b.bytes[i] ^= 1;
    }
}

static void
without_tokens_no_token_is_good(void)
{
    open_all(true);
    CU_ASSERT_EQUAL(bear_at("", NOW), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(bear_at("cfct_0000000000000000_"
                            "0000000000000000000000000000000000000000000000000000000000000000",
                            NOW),
                    CONFCAST_ERR_AUTHORITY);
    close_all();
}

static void
a_deleted_token_is_refused_at_once_and_after_a_restart(void)
{
    char text[CFC_TOKEN_TEXT_SIZE + 1];
    char other[CFC_TOKEN_TEXT_SIZE + 1];
    char target[64];

    open_all(true);
    snprintf(text, sizeof(text), "%s", make_token(ANN));
    snprintf(other, sizeof(other), "%s", make_token(ANN));
    snprintf(target, sizeof(target), "/v1/tokens/%.16s", text + 5);
    CU_ASSERT_EQUAL(send_as(&root, "DELETE", target, NULL, NULL), 200);
    CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(bear_at(other, NOW), CONFCAST_OK);
    CU_ASSERT_EQUAL(send_as(&root, "DELETE", target, NULL, NULL), 404);
    cfc_access_close(&acl);
    model_reopen(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_access_open(&acl, m.service, true), CONFCAST_OK);
    CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(bear_at(other, NOW), CONFCAST_OK);
    close_all();
}

/* Neither lists nor repeated answers nor the audit log hold the secret or its digest. */
static void
the_secret_is_in_one_answer_only(void)
{
    char text[CFC_TOKEN_TEXT_SIZE + 1];
    char hex[65];
    struct cfc_digest digest;
    const char *found;
    struct cfc_store_value value;

    open_all(true);
    CU_ASSERT_EQUAL(send_as(&root, "POST", "/v1/tokens", ANN, "key-1"), 200);
    found = strstr(reply.body, CFC_TOKEN_PREFIX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    snprintf(text, sizeof(text), "%s", found);
    cfc_token_digest(text, &digest);
    for (size_t i = 0; i < 32; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest.bytes[i]);
    }
    CU_ASSERT_EQUAL(send_as(&root, "POST", "/v1/tokens", ANN, "key-1"), 200);
    CU_ASSERT(reply.is_replay);
    CU_ASSERT(answer_has("\"token\":null"));
    CU_ASSERT_FALSE(answer_has(text + 22));
    CU_ASSERT_EQUAL(send_as(&root, "GET", "/v1/tokens", NULL, NULL), 200);
    CU_ASSERT(answer_has("\"identity\":\"ann\""));
    CU_ASSERT_FALSE(answer_has(text + 22));
    CU_ASSERT_FALSE(answer_has(hex));
    CU_ASSERT_EQUAL(send_as(&root, "GET", "/v1/audit?format=lines", NULL, NULL), 200);
    CU_ASSERT(answer_has("token-create"));
    CU_ASSERT_FALSE(answer_has(text + 22));
    CU_ASSERT_FALSE(answer_has(hex));
    snprintf(hex, sizeof(hex), "w/token:%.16s", text + 5);
    CU_ASSERT_EQUAL_FATAL(cfc_store_get(m.store, hex, strlen(hex), &value), CONFCAST_OK);
    CU_ASSERT_PTR_NULL(memmem(value.bytes, value.size, text + 22, strlen(text + 22)));
    cfc_store_value_free(&value);
    close_all();
}

static void
malformed_tokens_and_roles_are_refused(void)
{
    static const char *const tokens[] = {
        "[]",
        "{\"identity\":\"ann\",\"roles\":[\"author\"]}",
        "{\"identity\":\"ann\",\"roles\":[],\"scope\":\"*\"}",
        "{\"identity\":\"ann\",\"roles\":[\"root\"],\"scope\":\"*\"}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"\"}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"A\"}",
        "{\"identity\":\"\",\"roles\":[\"author\"],\"scope\":\"*\"}",
        "{\"identity\":\"a b\",\"roles\":[\"author\"],\"scope\":\"*\"}",
        "{\"identity\":\"uid:0\",\"roles\":[\"author\"],\"scope\":\"*\"}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"*\",\"expires_in_s\":0}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"*\",\"expires_in_s\":315360001}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"*\",\"admin\":true}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"*\",\"expires_in_s\":1.5}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"*\",\"expires_in_s\":\"9\"}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"*\",\"expires_in_s\":1e400}",
        "{\"identity\":\"ann\",\"identity\":\"bob\",\"roles\":[\"author\"],\"scope\":\"*\"}",
        "{\"identity\":\"ann\",\"\\u0069dentity\":\"b\",\"roles\":[\"author\"],\"scope\":\"*\"}",
        "{\"identity\":\"ann\\u0000x\",\"roles\":[\"author\"],\"scope\":\"*\"}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"acme\\u0000\"}",
        "{\"identity\":\"ann\",\"roles\":[\"Author\"],\"scope\":\"*\"}",
        "{\"identity\":\"ann\",\"roles\":[\"author\"],\"scope\":\"*\"} x",
        "",
    };
    static const char *const roles[] = {
        "{}",
        "{\"bindings\":[{}]}",
        "{\"bindings\":[{\"identity\":\"uid:x\",\"roles\":[\"viewer\"],\"scope\":\"*\"}]}",
        "{\"bindings\":[{\"identity\":\"a\",\"roles\":[\"viewer\"],\"scope\":\"*\",\"x\":1}]}",
        "{\"bindings\":{}}",
    };

    open_all(true);
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        CU_ASSERT_EQUAL(send_as(&root, "POST", "/v1/tokens", tokens[i], NULL), 400);
    }
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        CU_ASSERT_EQUAL(send_as(&root, "PUT", "/v1/roles", roles[i], NULL), 400);
    }
    close_all();
}

static void
roles_are_replaced_on_their_version_only(void)
{
    static const char body[] =
        "{\"bindings\":[{\"identity\":\"uid:7\",\"roles\":[\"releaser\"],\"scope\":\"acme\"}]}";
    struct cfc_credentials peer = {.is_unix = true, .peer_uid = 7, .unix_ns = NOW};

    open_all(true);
    CU_ASSERT_EQUAL(cfc_access_identify(&acl, &peer, &who), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_identity_allows(&who, CFC_RIGHT_READ, "acme"));
    CU_ASSERT_EQUAL(send_as(&root, "PUT", "/v1/roles?expected_version=5", body, NULL), 409);
    CU_ASSERT_EQUAL(send_as(&root, "PUT", "/v1/roles?expected_version=0", body, NULL), 200);
    CU_ASSERT_EQUAL(send_as(&root, "PUT", "/v1/roles?expected_version=0", body, NULL), 409);
    CU_ASSERT_EQUAL(send_as(&root, "GET", "/v1/roles", NULL, NULL), 200);
    CU_ASSERT(answer_has("\"identity\":\"uid:7\""));
    CU_ASSERT_EQUAL(cfc_access_identify(&acl, &peer, &who), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(who.name, "uid:7");
    CU_ASSERT_EQUAL(who.proof, CFC_PROOF_PEER);
    CU_ASSERT(cfc_identity_allows(&who, CFC_RIGHT_RELEASE, "acme/eu"));
    CU_ASSERT_FALSE(cfc_identity_allows(&who, CFC_RIGHT_RELEASE, "other"));
    peer.peer_uid = 8;
    CU_ASSERT_EQUAL(cfc_access_identify(&acl, &peer, &who), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_identity_allows(&who, CFC_RIGHT_READ, "acme"));
    close_all();
}

static void
on_the_unix_socket_root_and_our_user_may_do_everything(void)
{
    struct cfc_credentials peer = {.is_unix = true, .peer_uid = 0, .unix_ns = NOW};

    open_all(true);
    acl.own_uid = 4242;
    CU_ASSERT_EQUAL(cfc_access_identify(&acl, &peer, &who), CONFCAST_OK);
    CU_ASSERT(who.is_all);
    peer.peer_uid = 4242;
    CU_ASSERT_EQUAL(cfc_access_identify(&acl, &peer, &who), CONFCAST_OK);
    CU_ASSERT(who.is_all);
    peer.peer_uid = 4243;
    CU_ASSERT_EQUAL(cfc_access_identify(&acl, &peer, &who), CONFCAST_OK);
    CU_ASSERT_FALSE(who.is_all);
    close_all();
}

static void
credentials_that_are_shown_are_never_passed_over(void)
{
    struct cfc_credentials none = {.unix_ns = NOW};
    struct cfc_credentials foreign = {.has_certificate = true, .unix_ns = NOW};
    struct cfc_credentials basic = {.authorization = "Basic cm9vdDpyb290", .is_unix = true};
    struct cfc_credentials as_uid = {.has_certificate = true, .certificate_name = "uid:0"};
    char bearer[256];

    for (int is_required = 0; is_required <= 1; is_required++) {
        open_all(is_required != 0);
        CU_ASSERT_EQUAL(cfc_access_identify(&acl, &none, &who),
                        is_required ? CONFCAST_ERR_AUTHORITY : CONFCAST_OK);
        CU_ASSERT_EQUAL(who.is_all, is_required == 0);
        CU_ASSERT_EQUAL(cfc_access_identify(&acl, &foreign, &who), CONFCAST_ERR_AUTHORITY);
        CU_ASSERT_EQUAL(cfc_access_identify(&acl, &as_uid, &who), CONFCAST_ERR_AUTHORITY);
        CU_ASSERT_EQUAL(cfc_access_identify(&acl, &basic, &who), CONFCAST_ERR_AUTHORITY);
        CU_ASSERT_FALSE(who.is_all);
        foreign.authorization = bearer;
        snprintf(bearer, sizeof(bearer), "Bearer %s", make_token(ANN));
        CU_ASSERT_EQUAL(cfc_access_identify(&acl, &foreign, &who), CONFCAST_ERR_AUTHORITY);
        CU_ASSERT_EQUAL(who.grant_count, 0);
        foreign.certificate_name = "zoe";
        CU_ASSERT_EQUAL(cfc_access_identify(&acl, &foreign, &who), CONFCAST_OK);
        CU_ASSERT_STRING_EQUAL(who.name, "ann");
        foreign.authorization = NULL;
        foreign.certificate_name = NULL;
        CU_ASSERT_EQUAL(denied(CFC_DENIAL_NO_CREDENTIAL), is_required);
        CU_ASSERT_EQUAL(denied(CFC_DENIAL_CERTIFICATE), 3);
        close_all();
    }
}

/* A reload that fails must not leave what was revoked in force. */
static void
nobody_is_known_while_the_store_cannot_be_read(void)
{
    char text[CFC_TOKEN_TEXT_SIZE + 1];
    struct cfc_store_fault *fault;

    open_all(true);
    snprintf(text, sizeof(text), "%s", make_token(ANN));
    fault = cfc_store_fault_plan(m.store);
    fault->fail_at = 1;
    fault->is_lasting = true;
    fault->error = CONFCAST_ERR_IO;
    cfc_access_reload(&acl);
    CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_ERR_IO);
    fault->fail_at = 0;
    fault->is_lasting = false;
    CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_OK);
    close_all();
}

/* A layer shows its values in the scope that names it. */
static void
a_foreign_layer_cannot_be_named(void)
{
    struct cfc_identity eu = {.name = "eu",
                              .grant_count = 1,
                              .grants = {{.roles = 1u << CFC_ROLE_RELEASER, .scope = "acme/eu"}}};

    open_all(true);
    CU_ASSERT_EQUAL(put_text(&m, "acme/us", "{\"secret\":1}"), CONFCAST_OK);
    CU_ASSERT_EQUAL(send_as(&eu, "PUT", "/v1/layers/acme/eu", "{\"layers\":[\"acme/us\"]}", NULL),
                    403);
    CU_ASSERT_EQUAL(send_as(&eu, "PUT", "/v1/layers/acme/eu",
                            "{\"layers\":[\"acme\",\"acme/eu/x\",\"acme/eu\"]}", NULL),
                    200);
    close_all();
}

/* One foreign scope, or one action too many, and nothing of the batch is done. */
static void
a_batch_needs_the_right_for_each_of_its_items(void)
{
    struct cfc_identity ann = {.name = "ann",
                               .grant_count = 1,
                               .grants = {{.roles = 1u << CFC_ROLE_AUTHOR, .scope = "acme/eu"}}};

    open_all(true);
    CU_ASSERT_EQUAL(send_as(&ann, "POST", "/v1/batch",
                            "{\"items\":[{\"put\":\"acme/eu\",\"document\":{}},"
                            "{\"put\":\"acme/us\",\"document\":{}}]}",
                            NULL),
                    403);
    CU_ASSERT_EQUAL(send_as(&ann, "POST", "/v1/batch",
                            "{\"items\":[{\"put\":\"acme/eu\",\"document\":{}},"
                            "{\"release\":\"acme/eu\",\"action\":\"promote\"}]}",
                            NULL),
                    403);
    CU_ASSERT_EQUAL(send_as(&root, "GET", "/v1/config/acme/eu", NULL, NULL), 404);
    CU_ASSERT_EQUAL(send_as(&ann, "POST", "/v1/batch",
                            "{\"items\":[{\"put\":\"acme/eu\",\"document\":{}}]}", NULL),
                    200);
    close_all();
}

/* The kernel's word and none at all are not held up: those are the way in when all else fails. */
static void
only_who_is_proven_by_a_secret_is_held_to_a_rate(void)
{
    struct cfc_identity token = {.name = "ann", .proof = CFC_PROOF_TOKEN};
    struct cfc_identity cert = {.name = "bob", .proof = CFC_PROOF_CERTIFICATE};
    struct cfc_identity peer = {.name = "uid:0", .proof = CFC_PROOF_PEER};
    struct cfc_identity none = {.name = "anonymous", .proof = CFC_PROOF_NONE};
    uint64_t wait_ns;

    open_all(true);
    CU_ASSERT(cfc_access_may_ask(&acl, &token, NOW, &wait_ns));
    cfc_access_limit(&acl, 2);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(cfc_access_may_ask(&acl, &token, NOW, &wait_ns), i < 2);
        CU_ASSERT_EQUAL(wait_ns, i < 2 ? 0 : CFC_S / 2);
        CU_ASSERT_EQUAL(cfc_access_may_ask(&acl, &cert, NOW, &wait_ns), i < 2);
        CU_ASSERT(cfc_access_may_ask(&acl, &peer, NOW, &wait_ns));
        CU_ASSERT(cfc_access_may_ask(&acl, &none, NOW, &wait_ns));
    }
    close_all();
}

/* What a viewer of everything sees: that a token was made, and by whom; nothing to use it with. */
static void
a_viewer_sees_the_audit_log_and_neither_tokens_nor_roles(void)
{
    struct cfc_identity viewer = {
        .name = "v", .grant_count = 1, .grants = {{.roles = 1u << CFC_ROLE_VIEWER}}};
    struct cfc_identity of_acme = {.name = "v",
                                   .grant_count = 1,
                                   .grants = {{.roles = 1u << CFC_ROLE_VIEWER, .scope = "acme"}}};

    open_all(true);
    make_token(ANN);
    CU_ASSERT_EQUAL(send_as(&viewer, "GET", "/v1/tokens", NULL, NULL), 403);
    CU_ASSERT_EQUAL(send_as(&viewer, "GET", "/v1/roles", NULL, NULL), 403);
    CU_ASSERT_EQUAL(send_as(&viewer, "GET", "/v1/audit", NULL, NULL), 200);
    CU_ASSERT(answer_has("\"action\":\"token-create\""));
    CU_ASSERT(answer_has("\"author\":\"root\""));
    CU_ASSERT_FALSE(answer_has(CFC_TOKEN_PREFIX));
    CU_ASSERT_EQUAL(send_as(&of_acme, "GET", "/v1/audit", NULL, NULL), 403);
    CU_ASSERT_EQUAL(send_as(&of_acme, "GET", "/metrics", NULL, NULL), 403);
    CU_ASSERT_EQUAL(send_as(&of_acme, "GET", "/v1/consumers", NULL, NULL), 403);
    close_all();
}

static void
denials_are_counted_in_the_metrics(void)
{
    struct cfc_identity nobody = {.name = "nobody"};

    open_all(true);
    CU_ASSERT_EQUAL(send_as(&nobody, "GET", "/v1/status", NULL, NULL), 403);
    bear_at("x", NOW);
    CU_ASSERT_EQUAL(send_as(&root, "GET", "/metrics", NULL, NULL), 200);
    CU_ASSERT(answer_has("confcast_access_denied_total{reason=\"forbidden\"} 1\n"));
    CU_ASSERT(answer_has("confcast_access_denied_total{reason=\"bad_token\"} 1\n"));
    close_all();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_token_is_its_identity_until_it_expires),
    CFC_CASE(a_wrong_character_anywhere_in_a_token_is_refused),
    CFC_CASE(digests_are_compared_by_as_many_instructions_wherever_they_differ),
    CFC_CASE(without_tokens_no_token_is_good),
    CFC_CASE(a_deleted_token_is_refused_at_once_and_after_a_restart),
    CFC_CASE(the_secret_is_in_one_answer_only),
    CFC_CASE(malformed_tokens_and_roles_are_refused),
    CFC_CASE(roles_are_replaced_on_their_version_only),
    CFC_CASE(on_the_unix_socket_root_and_our_user_may_do_everything),
    CFC_CASE(credentials_that_are_shown_are_never_passed_over),
    CFC_CASE(nobody_is_known_while_the_store_cannot_be_read),
    CFC_CASE(a_foreign_layer_cannot_be_named),
    CFC_CASE(a_batch_needs_the_right_for_each_of_its_items),
    CFC_CASE(only_who_is_proven_by_a_secret_is_held_to_a_rate),
    CFC_CASE(a_viewer_sees_the_audit_log_and_neither_tokens_nor_roles),
    CFC_CASE(denials_are_counted_in_the_metrics),
};

CFC_TEST_MAIN("access", cases)
