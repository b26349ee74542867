/* The route table: which rules it may hold, and every route against every role, over the scope that
 * was granted and over others, sent through the rule and the handler. */
#include "controlplane/api/api.h"
#include "controlplane/auth/access.h"
#include "tests/unit/model_fixture.h"

#define NOW   T0
#define HEX8  "deadbeef"
#define HEX64 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8

static struct model m;
static struct cfc_access access;
static struct cfc_api api;
static struct cfc_reply reply;

static void
open_all(void)
{
    model_open(&m);
    CU_ASSERT_EQUAL_FATAL(cfc_access_open(&access, m.service, true), CONFCAST_OK);
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

/* ---- What a table may hold --------------------------------------------------------------------
 */

static void
nothing(struct cfc_api *api_, const struct cfc_request *request, struct cfc_reply *out)
{
    (void)api_;
    (void)request;
    cfc_reply_json(out, 200, json_object());
}

static void
a_route_without_a_fitting_rule_cannot_be_served(void)
{
    static const struct {
        struct cfc_api_route route;
        int wanted;
    } rows[] = {
        {{"GET", "/v1/x", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_READ, nothing}, CONFCAST_OK},
        {{"PUT", "/v1/x/", CFC_TAIL_SCOPE, CFC_BODY_SMALL, "", CFC_RIGHT_WRITE, nothing},
         CONFCAST_OK},
        {{"GET", "/readyz", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_PUBLIC, nothing},
         CONFCAST_OK},
        {{"POST", "/v1/x", CFC_TAIL_NONE, CFC_BODY_SMALL, "", CFC_RIGHT_IN_BODY, nothing},
         CONFCAST_OK},
        /* No rule, and rules that are none. */
        {{"GET", "/v1/x", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_UNSET, nothing},
         CONFCAST_ERR_AUTHORITY},
        {{"GET", "/v1/x", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_COUNT, nothing},
         CONFCAST_ERR_AUTHORITY},
        {{"GET", "/v1/x", CFC_TAIL_NONE, CFC_BODY_NONE, "", (enum cfc_right)99, nothing},
         CONFCAST_ERR_AUTHORITY},
        /* Open to all, and no health check. */
        {{"GET", "/v1/x", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_PUBLIC, nothing},
         CONFCAST_ERR_AUTHORITY},
        {{"POST", "/healthz", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_PUBLIC, nothing},
         CONFCAST_ERR_AUTHORITY},
        /* A consumer's right to what is not for consumers. */
        {{"GET", "/v1/config/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "", CFC_RIGHT_CONSUME, nothing},
         CONFCAST_ERR_AUTHORITY},
        {{"POST", "/v1/ack", CFC_TAIL_NONE, CFC_BODY_SMALL, "", CFC_RIGHT_CONSUME, nothing},
         CONFCAST_OK},
        /* A change that a reader may make. */
        {{"PUT", "/v1/x/", CFC_TAIL_SCOPE, CFC_BODY_SMALL, "", CFC_RIGHT_READ, nothing},
         CONFCAST_ERR_AUTHORITY},
        {{"DELETE", "/v1/x/", CFC_TAIL_SCOPE, CFC_BODY_NONE, "", CFC_RIGHT_READ, nothing},
         CONFCAST_ERR_AUTHORITY},
        /* A rule in the body that is not there, or of a route that names its scope. */
        {{"POST", "/v1/x", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_IN_BODY, nothing},
         CONFCAST_ERR_AUTHORITY},
        {{"POST", "/v1/x/", CFC_TAIL_SCOPE, CFC_BODY_SMALL, "", CFC_RIGHT_IN_BODY, nothing},
         CONFCAST_ERR_AUTHORITY},
        {{"GET", "/v1/x", CFC_TAIL_NONE, CFC_BODY_SMALL, "", CFC_RIGHT_IN_BODY, nothing},
         CONFCAST_ERR_AUTHORITY},
        /* No handler; a path whose end does not fit. */
        {{"GET", "/v1/x", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_READ, NULL},
         CONFCAST_ERR_AUTHORITY},
        {{"GET", "/v1/x", CFC_TAIL_SCOPE, CFC_BODY_NONE, "", CFC_RIGHT_READ, nothing},
         CONFCAST_ERR_AUTHORITY},
        {{"GET", "/v1/x/", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_READ, nothing},
         CONFCAST_ERR_AUTHORITY},
        {{"GET", "", CFC_TAIL_NONE, CFC_BODY_NONE, "", CFC_RIGHT_READ, nothing},
         CONFCAST_ERR_AUTHORITY},
    };
    const struct cfc_api_route twice[] = {rows[0].route, rows[1].route, rows[0].route};
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CU_ASSERT_EQUAL(cfc_api_check_routes(&rows[i].route, 1), rows[i].wanted);
    }
    CU_ASSERT_EQUAL(cfc_api_check_routes(twice, 2), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_api_check_routes(twice, 3), CONFCAST_ERR_EXISTS);
    CU_ASSERT_EQUAL(cfc_api_check_routes(routes, count), CONFCAST_OK);
}

/* ---- The matrix -------------------------------------------------------------------------------
 */

/* What each route lets whom do, written down a second time: V(iewer), A(uthor), P (approver),
 * R(eleaser), O(perator).  In a body, every '$' stands for the scope. */
static const struct row {
    const char *method;
    const char *path;
    const char *roles;
    const char *body; /* NULL = none */
} rows[] = {
    {"PUT", "/v1/config/", "AO", "{}"},
    {"GET", "/v1/config/", "VAPRO", NULL},
    {"DELETE", "/v1/config/", "AO", NULL},
    {"POST", "/v1/batch", "AO", "{\"items\":[{\"put\":\"$\",\"document\":{}}]}"},
    {"POST", "/v1/batch", "AO", "{\"items\":[{\"delete\":\"$\"}]}"},
    {"POST", "/v1/batch", "RO", "{\"items\":[{\"release\":\"$\",\"action\":\"promote\"}]}"},
    {"GET", "/v1/history/", "VAPRO", NULL},
    {"GET", "/v1/scopes/", "VAPRO", NULL},
    {"GET", "/v1/release/", "VAPRO", NULL},
    {"POST", "/v1/release/", "RO", "{\"action\":\"promote\"}"},
    {"POST", "/v1/release/", "RO", "{\"action\":\"disable\"}"},
    {"POST", "/v1/approve/", "PO", "{\"revision\":1,\"digest\":\"" HEX64 "\"}"},
    {"GET", "/v1/schema/", "VAPRO", NULL},
    {"PUT", "/v1/schema/", "AO", "{}"},
    {"GET", "/v1/settings/", "VAPRO", NULL},
    {"PUT", "/v1/settings/", "O", "{}"},
    {"GET", "/v1/effective/", "VAPRO", NULL},
    {"GET", "/v1/layers/", "VAPRO", NULL},
    {"PUT", "/v1/layers/", "RO", "{\"layers\":[]}"},
    {"GET", "/v1/status", "VAPRO", NULL},
    {"GET", "/v1/status/", "VAPRO", NULL},
    {"GET", "/v1/consumers", "VAPRO", NULL},
    {"GET", "/v1/consumers/", "VAPRO", NULL},
    {"GET", "/v1/audit", "VAPRO", NULL},
    /* No role makes a consumer. */
    {"GET", "/v1/snapshot/", "", NULL},
    {"POST", "/v1/hello", "", "x"},
    {"POST", "/v1/ack", "", "x"},
    {"GET", "/healthz", "*", NULL},
    {"GET", "/readyz", "*", NULL},
    {"GET", "/metrics", "VAPRO", NULL},
    {"POST", "/v1/tokens", "O", "{\"identity\":\"eve\",\"roles\":[\"viewer\"],\"scope\":\"*\"}"},
    {"GET", "/v1/tokens", "O", NULL},
    {"DELETE", "/v1/tokens/", "O", NULL},
    {"POST", "/v1/backup", "O", NULL},
    {"GET", "/v1/roles", "O", NULL},
    {"PUT", "/v1/roles", "O", "{\"bindings\":[]}"},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* Grants against the scope that a request is for. */
static const struct {
    const char *grant; /* "" = all */
    const char *scope;
    bool is_inside;
} places[] = {
    {"", "acme", true},
    {"acme", "acme", true},
    {"acme", "acme/eu", true},
    {"acme/eu", "acme", false},
    {"acme", "acme2", false},
    {"acme", "acm", false},
    {"acme", "other/acme", false},
    {"acme/eu", "acme/us", false},
    {"acme/eu", "acme/eu2", false},
    /* Scopes that look like what other routes have at their end. */
    {"web-1", "web-1", true},
    {"0123456789abcdef", "0123456789abcdef", true},
};

static const char letters[] = "VAPRO";

static const struct cfc_api_route *
route_of(const struct row *row)
{
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(routes[i].method, row->method) == 0 && strcmp(routes[i].path, row->path) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}

static void
every_route_is_in_the_matrix_and_every_row_is_a_route(void)
{
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);

    for (size_t r = 0; r < count; r++) {
        bool is_listed = false;

        for (size_t i = 0; i < ROW_COUNT; i++) {
            is_listed |= route_of(&rows[i]) == &routes[r];
        }
        CU_ASSERT(is_listed);
        if (!is_listed) {
            fprintf(stderr, "the matrix lacks %s %s\n", routes[r].method, routes[r].path);
        }
    }
    for (size_t i = 0; i < ROW_COUNT; i++) {
        CU_ASSERT_PTR_NOT_NULL(route_of(&rows[i]));
    }
}

static void
fill(char *out, size_t capacity, const char *body, const char *scope)
{
    size_t size = 0;

    for (; *body != '\0' && size + strlen(scope) + 1 < capacity; body++) {
        size += *body == '$' ? (size_t)snprintf(out + size, capacity - size, "%s", scope)
                             : (size_t)snprintf(out + size, capacity - size, "%c", *body);
    }
    out[size] = '\0';
}

/* Sends the row's request for a scope; the status. */
static unsigned
send_row(const struct row *row, const struct cfc_identity *identity, const char *scope)
{
    const struct cfc_api_route *route = route_of(row);
    struct cfc_request request = {.author = "one", .identity = identity, .unix_ns = NOW};
    char target[128];
    char body[256];
    const char *rest = "";

    cfc_reply_clear(&reply);
    if (route->tail == CFC_TAIL_SCOPE) {
        rest = scope;
    } else if (route->tail == CFC_TAIL_CONSUMER_ID) {
        rest = "web-1";
    } else if (route->tail == CFC_TAIL_TOKEN_ID) {
        rest = "0123456789abcdef";
    }
    snprintf(target, sizeof(target), "%s%s", row->path, rest);
    CU_ASSERT_EQUAL_FATAL(cfc_target_parse(target, &request.target), CONFCAST_OK);
    if (row->body != NULL) {
        fill(body, sizeof(body), row->body, scope);
        request.body = body;
        request.body_size = strlen(body);
    }
    route = cfc_api_find(&request, row->method, &reply);
    CU_ASSERT_PTR_EQUAL_FATAL(route, route_of(row));
    if (cfc_api_authorize(&api, &request, route, &reply)) {
        cfc_api_handle(&api, &request, route, &reply);
    }
    return reply.status;
}

static bool
is_forbidden(const struct row *row, const struct cfc_identity *identity, const char *scope)
{
    uint64_t seq = cfc_service_seq(m.service);
    unsigned status = send_row(row, identity, scope);

    if (status == 403) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(reply.body);
        CU_ASSERT_PTR_NOT_NULL(strstr(reply.body, "\"code\":\"forbidden\""));
        CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    } else {
        /* Let in: what comes is the handler's own answer, at once or later, and never a missing
         * right. */
        CU_ASSERT(reply.later != NULL || status == 200 || status == 404 || status == 409 ||
                  status == 503);
    }
    return status == 403;
}

static void
check_place(const struct row *row, int role, size_t place)
{
    const struct cfc_api_route *route = route_of(row);
    bool is_scoped = route->tail == CFC_TAIL_SCOPE || route->right == CFC_RIGHT_IN_BODY;
    bool is_inside = is_scoped ? places[place].is_inside : places[place].grant[0] == '\0';
    bool may = row->roles[0] == '*' || (is_inside && strchr(row->roles, letters[role]) != NULL);
    struct cfc_identity one = {.name = "one", .proof = CFC_PROOF_TOKEN, .grant_count = 1};
    bool was_refused;

    one.grants[0].roles = (uint8_t)(1u << role);
    snprintf(one.grants[0].scope, sizeof(one.grants[0].scope), "%s", places[place].grant);
    was_refused = is_forbidden(row, &one, places[place].scope);
    CU_ASSERT_EQUAL(was_refused, !may);
    if (was_refused == may) {
        fprintf(stderr, "%s %s as %c over '%s' for '%s': %u\n", row->method, row->path,
                letters[role], places[place].grant, places[place].scope, reply.status);
    }
}

static void
every_route_is_closed_to_every_role_and_scope_that_it_is_not_for(void)
{
    open_all();
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        put_text(&m, places[i].scope, "{}");
    }
    for (size_t i = 0; i < ROW_COUNT; i++) {
        for (int role = 0; role < CFC_ROLE_COUNT; role++) {
            for (size_t place = 0; place < sizeof(places) / sizeof(places[0]); place++) {
                check_place(&rows[i], role, place);
            }
        }
    }
    close_all();
}

/* Known by name and bound to nothing; and bound to another tenant by two roles. */
static void
who_has_no_grant_for_it_is_denied_everywhere_by_default(void)
{
    struct cfc_identity nobody = {.name = "nobody", .proof = CFC_PROOF_CERTIFICATE};
    struct cfc_identity other = {.name = "other", .proof = CFC_PROOF_TOKEN, .grant_count = 1};

    other.grants[0].roles = (1u << CFC_ROLE_COUNT) - 1;
    snprintf(other.grants[0].scope, sizeof(other.grants[0].scope), "other");
    open_all();
    for (size_t i = 0; i < ROW_COUNT; i++) {
        bool is_public = rows[i].roles[0] == '*';

        CU_ASSERT_EQUAL(is_forbidden(&rows[i], &nobody, "acme"), !is_public);
        CU_ASSERT_EQUAL(is_forbidden(&rows[i], &other, "acme"), !is_public);
        CU_ASSERT_EQUAL(send_row(&rows[i], NULL, "acme") == 503 &&
                            strstr(reply.body, "nobody is known") != NULL,
                        !is_public);
    }
    close_all();
}

/* Rights over different scopes do not add up to one that nobody gave. */
static void
grants_do_not_lend_each_other_roles_or_scopes(void)
{
    struct cfc_identity two = {.name = "two",
                               .proof = CFC_PROOF_TOKEN,
                               .grant_count = 2,
                               .grants = {{.roles = 1u << CFC_ROLE_AUTHOR, .scope = "acme/eu"},
                                          {.roles = 1u << CFC_ROLE_RELEASER, .scope = "acme/us"}}};

    open_all();
    CU_ASSERT(cfc_identity_allows(&two, CFC_RIGHT_WRITE, "acme/eu/x"));
    CU_ASSERT(cfc_identity_allows(&two, CFC_RIGHT_RELEASE, "acme/us"));
    CU_ASSERT_FALSE(cfc_identity_allows(&two, CFC_RIGHT_RELEASE, "acme/eu"));
    CU_ASSERT_FALSE(cfc_identity_allows(&two, CFC_RIGHT_WRITE, "acme/us"));
    CU_ASSERT_FALSE(cfc_identity_allows(&two, CFC_RIGHT_READ, "acme"));
    CU_ASSERT_FALSE(cfc_identity_allows(&two, CFC_RIGHT_READ, NULL));
    CU_ASSERT_FALSE(cfc_identity_allows(&two, CFC_RIGHT_UNSET, "acme/eu"));
    CU_ASSERT_FALSE(cfc_identity_allows(&two, CFC_RIGHT_IN_BODY, "acme/eu"));
    CU_ASSERT(cfc_identity_allows_somewhere(&two, CFC_RIGHT_WRITE));
    CU_ASSERT_FALSE(cfc_identity_allows_somewhere(&two, CFC_RIGHT_OPERATE));
    close_all();
}

static void
without_an_access_only_public_routes_are_served(void)
{
    struct cfc_identity root = {.name = "root", .is_all = true};

    open_all();
    api.access = NULL;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        struct cfc_request request = {.rest = "acme", .identity = &root};

        cfc_reply_clear(&reply);
        CU_ASSERT_EQUAL(cfc_api_authorize(&api, &request, route_of(&rows[i]), &reply),
                        rows[i].roles[0] == '*');
    }
    close_all();
}

/* Even one that is given all roles, or that a daemon without credentials lets do everything. */
static void
a_consumer_may_consume_and_nothing_else_may(void)
{
    struct cfc_identity consumer = {
        .name = "web-1", .proof = CFC_PROOF_TOKEN, .is_consumer = true, .is_all = true};
    struct cfc_identity root = {.name = "root", .is_all = true};

    consumer.grant_count = 1;
    consumer.grants[0].roles = (1u << CFC_ROLE_COUNT) - 1;
    open_all();
    for (size_t i = 0; i < ROW_COUNT; i++) {
        bool is_for_consumers = rows[i].roles[0] == '\0';

        CU_ASSERT_EQUAL(is_forbidden(&rows[i], &consumer, "acme"),
                        !is_for_consumers && rows[i].roles[0] != '*');
        CU_ASSERT_EQUAL(is_forbidden(&rows[i], &root, "acme"), is_for_consumers);
    }
    close_all();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_route_without_a_fitting_rule_cannot_be_served),
    CFC_CASE(every_route_is_in_the_matrix_and_every_row_is_a_route),
    CFC_CASE(every_route_is_closed_to_every_role_and_scope_that_it_is_not_for),
    CFC_CASE(who_has_no_grant_for_it_is_denied_everywhere_by_default),
    CFC_CASE(a_consumer_may_consume_and_nothing_else_may),
    CFC_CASE(grants_do_not_lend_each_other_roles_or_scopes),
    CFC_CASE(without_an_access_only_public_routes_are_served),
};

CFC_TEST_MAIN("routes", cases)
