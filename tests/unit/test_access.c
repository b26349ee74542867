/* Tokens, roles and identities; and every route against every role and a foreign scope. */
#include "controlplane/auth/access.h"

#include "controlplane/api/api.h"
#include "protocol/base/time.h"
#include "tests/unit/model_fixture.h"

#define NOW T0

static struct model m;
static struct cfc_access access;
static struct cfc_api api;
static struct cfc_reply reply;
static struct cfc_identity who;

static void
open_all(bool is_required)
{
    model_open(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_access_open(&access, m.service, is_required), CONFCAST_OK);
    cfc_api_init(&api, m.service, 1 << 20);
    api.access = &access;
}

static void
close_all(void)
{
    cfc_reply_clear(&reply);
    cfc_access_close(&access);
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
    return cfc_access_identify(&access, &credentials, &who);
}

static uint64_t
denied(enum cfc_denial denial)
{
    return atomic_load(&access.denials[denial]);
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
    cfc_access_close(&access);
    model_reopen(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_access_open(&access, m.service, true), CONFCAST_OK);
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
    CU_ASSERT_PTR_NOT_NULL(strstr(reply.body, "\"token\":null"));
    CU_ASSERT_PTR_NULL(strstr(reply.body, text + 22));
    CU_ASSERT_EQUAL(send_as(&root, "GET", "/v1/tokens", NULL, NULL), 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply.body, "\"identity\":\"ann\""));
    CU_ASSERT_PTR_NULL(strstr(reply.body, text + 22));
    CU_ASSERT_PTR_NULL(strstr(reply.body, hex));
    CU_ASSERT_EQUAL(send_as(&root, "GET", "/v1/audit?format=lines", NULL, NULL), 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply.body, "token-create"));
    CU_ASSERT_PTR_NULL(strstr(reply.body, text + 22));
    CU_ASSERT_PTR_NULL(strstr(reply.body, hex));
    snprintf(hex, sizeof(hex), "w/token:%.16s", text + 5);
    CU_ASSERT_EQUAL_FATAL(cfc_store_get(m.store, hex, strlen(hex), &value), CONFCAST_OK);
    CU_ASSERT_PTR_NULL(strstr((const char *)value.bytes, text + 22));
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
    CU_ASSERT_EQUAL(cfc_access_identify(&access, &peer, &who), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_identity_allows(&who, CFC_RIGHT_READ, "acme"));
    CU_ASSERT_EQUAL(send_as(&root, "PUT", "/v1/roles?expected_version=5", body, NULL), 409);
    CU_ASSERT_EQUAL(send_as(&root, "PUT", "/v1/roles?expected_version=0", body, NULL), 200);
    CU_ASSERT_EQUAL(send_as(&root, "PUT", "/v1/roles?expected_version=0", body, NULL), 409);
    CU_ASSERT_EQUAL(send_as(&root, "GET", "/v1/roles", NULL, NULL), 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply.body, "\"identity\":\"uid:7\""));
    CU_ASSERT_EQUAL(cfc_access_identify(&access, &peer, &who), CONFCAST_OK);
    CU_ASSERT_STRING_EQUAL(who.name, "uid:7");
    CU_ASSERT_EQUAL(who.proof, CFC_PROOF_PEER);
    CU_ASSERT(cfc_identity_allows(&who, CFC_RIGHT_RELEASE, "acme/eu"));
    CU_ASSERT_FALSE(cfc_identity_allows(&who, CFC_RIGHT_RELEASE, "other"));
    peer.peer_uid = 8;
    CU_ASSERT_EQUAL(cfc_access_identify(&access, &peer, &who), CONFCAST_OK);
    CU_ASSERT_FALSE(cfc_identity_allows(&who, CFC_RIGHT_READ, "acme"));
    close_all();
}

static void
on_the_unix_socket_root_and_our_user_may_do_everything(void)
{
    struct cfc_credentials peer = {.is_unix = true, .peer_uid = 0, .unix_ns = NOW};

    open_all(true);
    access.own_uid = 4242;
    CU_ASSERT_EQUAL(cfc_access_identify(&access, &peer, &who), CONFCAST_OK);
    CU_ASSERT(who.is_all);
    peer.peer_uid = 4242;
    CU_ASSERT_EQUAL(cfc_access_identify(&access, &peer, &who), CONFCAST_OK);
    CU_ASSERT(who.is_all);
    peer.peer_uid = 4243;
    CU_ASSERT_EQUAL(cfc_access_identify(&access, &peer, &who), CONFCAST_OK);
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

    for (int is_required = 0; is_required <= 1; is_required++) {
        open_all(is_required != 0);
        CU_ASSERT_EQUAL(cfc_access_identify(&access, &none, &who),
                        is_required ? CONFCAST_ERR_AUTHORITY : CONFCAST_OK);
        CU_ASSERT_EQUAL(who.is_all, is_required == 0);
        CU_ASSERT_EQUAL(cfc_access_identify(&access, &foreign, &who), CONFCAST_ERR_AUTHORITY);
        CU_ASSERT_EQUAL(cfc_access_identify(&access, &as_uid, &who), CONFCAST_ERR_AUTHORITY);
        CU_ASSERT_EQUAL(cfc_access_identify(&access, &basic, &who), CONFCAST_ERR_AUTHORITY);
        CU_ASSERT_FALSE(who.is_all);
        CU_ASSERT_EQUAL(denied(CFC_DENIAL_NO_CREDENTIAL), is_required);
        CU_ASSERT_EQUAL(denied(CFC_DENIAL_CERTIFICATE), 2);
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
    cfc_access_reload(&access);
    CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_ERR_IO);
    fault->fail_at = 0;
    fault->is_lasting = false;
    CU_ASSERT_EQUAL(bear_at(text, NOW), CONFCAST_OK);
    close_all();
}

/* ---- The matrix -------------------------------------------------------------------------------
 */

/* What each role may, written down a second time: methods with their path, "" for none. */
static bool
expected_allowed(enum cfc_role role, const struct cfc_api_route *route)
{
    bool is_read = strcmp(route->method, "GET") == 0;
    bool is_admin =
        strstr(route->path, "/v1/tokens") != NULL || strstr(route->path, "/v1/roles") != NULL;
    bool is_definition = strcmp(route->path, "/v1/config/") == 0;
    bool is_release =
        strcmp(route->path, "/v1/release/") == 0 || strcmp(route->path, "/v1/layers/") == 0;

    if (role == CFC_ROLE_OPERATOR) {
        return true;
    }
    if (is_admin) {
        return false;
    }
    if (is_read) {
        return true;
    }
    if (is_definition) {
        return role == CFC_ROLE_AUTHOR;
    }
    if (is_release) {
        return role == CFC_ROLE_RELEASER;
    }
    if (route->right == CFC_RIGHT_APPROVE) {
        return role == CFC_ROLE_APPROVER;
    }
    if (route->right == CFC_RIGHT_WRITE) {
        return role == CFC_ROLE_AUTHOR;
    }
    return false;
}

static bool
is_let_in(const struct cfc_api_route *route, const struct cfc_identity *identity, const char *rest)
{
    struct cfc_request request = {.rest = rest, .identity = identity};
    bool is_allowed;

    cfc_reply_clear(&reply);
    is_allowed = cfc_api_authorize(&api, &request, route, &reply);
    CU_ASSERT_EQUAL(reply.status, is_allowed ? 0 : 403);
    return is_allowed;
}

static void
every_route_holds_to_its_rule_for_every_role_and_scope(void)
{
    static const struct {
        const char *grant;
        const char *scope;
        bool is_inside;
    } rows[] = {
        {"", "acme", true},
        {"acme", "acme", true},
        {"acme", "acme/eu", true},
        {"acme/eu", "acme", false},
        {"acme", "acme2", false},
        {"acme", "acm", false},
        {"acme", "other/acme", false},
        {"acme/eu", "acme/us", false},
    };
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);

    open_all(true);
    for (size_t r = 0; r < count; r++) {
        const struct cfc_api_route *route = &routes[r];
        struct cfc_identity nobody = {.name = "nobody"};

        if (route->right == CFC_RIGHT_PUBLIC) {
            CU_ASSERT(strcmp(route->path, "/healthz") == 0 || strcmp(route->path, "/readyz") == 0);
            continue;
        }
        if (route->right == CFC_RIGHT_IN_BODY) {
            continue;
        }
        CU_ASSERT_FALSE(is_let_in(route, &nobody, "acme"));
        CU_ASSERT(is_let_in(route, &root, "acme"));
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            for (int role = 0; role < CFC_ROLE_COUNT; role++) {
                struct cfc_identity one = {.name = "one", .grant_count = 1};
                bool is_inside =
                    route->tail == CFC_TAIL_SCOPE ? rows[i].is_inside : rows[i].grant[0] == '\0';
                bool wanted = is_inside && expected_allowed((enum cfc_role)role, route);

                one.grants[0].roles = (uint8_t)(1u << role);
                snprintf(one.grants[0].scope, sizeof(one.grants[0].scope), "%s", rows[i].grant);
                CU_ASSERT_EQUAL(is_let_in(route, &one, rows[i].scope), wanted);
            }
        }
    }
    close_all();
}

static void
without_an_access_only_public_routes_are_served(void)
{
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);

    open_all(true);
    for (size_t r = 0; r < count; r++) {
        struct cfc_request request = {.rest = "acme"};

        cfc_reply_clear(&reply);
        CU_ASSERT_EQUAL(cfc_api_authorize(&api, &request, &routes[r], &reply),
                        routes[r].right == CFC_RIGHT_PUBLIC);
    }
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

static void
denials_are_counted_in_the_metrics(void)
{
    struct cfc_identity nobody = {.name = "nobody"};

    open_all(true);
    CU_ASSERT_EQUAL(send_as(&nobody, "GET", "/v1/status", NULL, NULL), 403);
    bear_at("x", NOW);
    CU_ASSERT_EQUAL(send_as(&root, "GET", "/metrics", NULL, NULL), 200);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(reply.body, "confcast_access_denied_total{reason=\"forbidden\"} 1\n"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(reply.body, "confcast_access_denied_total{reason=\"bad_token\"} 1\n"));
    close_all();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_token_is_its_identity_until_it_expires),
    CFC_CASE(a_wrong_character_anywhere_in_a_token_is_refused),
    CFC_CASE(without_tokens_no_token_is_good),
    CFC_CASE(a_deleted_token_is_refused_at_once_and_after_a_restart),
    CFC_CASE(the_secret_is_in_one_answer_only),
    CFC_CASE(malformed_tokens_and_roles_are_refused),
    CFC_CASE(roles_are_replaced_on_their_version_only),
    CFC_CASE(on_the_unix_socket_root_and_our_user_may_do_everything),
    CFC_CASE(credentials_that_are_shown_are_never_passed_over),
    CFC_CASE(nobody_is_known_while_the_store_cannot_be_read),
    CFC_CASE(every_route_holds_to_its_rule_for_every_role_and_scope),
    CFC_CASE(without_an_access_only_public_routes_are_served),
    CFC_CASE(a_foreign_layer_cannot_be_named),
    CFC_CASE(a_batch_needs_the_right_for_each_of_its_items),
    CFC_CASE(denials_are_counted_in_the_metrics),
};

CFC_TEST_MAIN("access", cases)
