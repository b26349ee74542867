/* Bad JSON in the body, and scope names that are none in the path, in a parameter or in the body,
 * of every route there is.  The routes come from the table itself: one that is added is held to all
 * of this, and fails here until its body is written down below. */
#include "controlplane/api/api.h"
#include "controlplane/auth/access.h"
#include "controlplane/model/record.h"
#include "tests/unit/model_fixture.h"

#define NOW   T0
#define HEX8  "deadbeef"
#define HEX64 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8
#define ID    "0123456789abcdef"

static const struct cfc_identity root = {.name = "root", .proof = CFC_PROOF_PEER, .is_all = true};

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
    CU_ASSERT_EQUAL_FATAL(put_text(&m, "acme/eu", "{}"), CONFCAST_OK);
}

static void
close_all(void)
{
    cfc_reply_clear(&reply);
    cfc_access_close(&access);
    model_close(&m);
}

/* The URL of a route for a scope. */
static void
target_of(const struct cfc_api_route *route, const char *scope, char *out, size_t capacity)
{
    static const char *const tails[] = {
        [CFC_TAIL_NONE] = "", [CFC_TAIL_CONSUMER_ID] = "web-1", [CFC_TAIL_TOKEN_ID] = ID};
    int size = snprintf(out, capacity, "%s%s", route->path,
                        route->tail == CFC_TAIL_SCOPE ? scope : tails[route->tail]);

    CU_ASSERT_FATAL(size > 0 && (size_t)size < capacity);
}

/* Sends a request as a whole; the status. */
static unsigned
send_target(const char *method, const char *target, const struct cfc_identity *identity,
            const char *body, size_t body_size)
{
    struct cfc_request request = {.author = "root",
                                  .identity = identity,
                                  .unix_ns = NOW,
                                  .body = body,
                                  .body_size = body_size};
    const struct cfc_api_route *route;

    cfc_reply_clear(&reply);
    if (cfc_target_parse(target, &request.target) != CONFCAST_OK) {
        return 400; /* as the server says */
    }
    route = cfc_api_find(&request, method, &reply);
    if (route != NULL && cfc_api_authorize(&api, &request, route, &reply)) {
        cfc_api_handle(&api, &request, route, &reply);
    }
    return reply.status;
}

static unsigned
send_body(const struct cfc_api_route *route, const char *body, size_t body_size)
{
    char target[128];

    target_of(route, "acme/eu", target, sizeof(target));
    return send_target(route->method, target, &root, body, body_size);
}

static bool
has_code(const char *code)
{
    char text[64];

    snprintf(text, sizeof(text), "\"code\":\"%s\"", code);
    return reply.body != NULL && strstr(reply.body, text) != NULL;
}

/* ---- Bodies that are no documents -------------------------------------------------------------
 */

#define TEXT(text) text, sizeof(text) - 1
#define TEN(x)     x x x x x x x x x x

static const struct {
    const char *text;
    size_t size;
    const char *code;
} bad_bodies[] = {
    {TEXT("{\"a\":1,\"a\":2}"), "duplicate_key"},
    {TEXT("{\"a\":1,\"\\u0061\":2}"), "duplicate_key"},
    {TEXT("{\"\\u00e9\":1,\"\xc3\xa9\":2}"), "duplicate_key"},
    {TEXT("{\"x\":{\"y\":[{\"a\":1,\"b\":0,\"\\u0061\":1}]}}"), "duplicate_key"},
    {TEXT("{\"a\":" TEN("[[[[[[") "[[[[]]]]" TEN("]]]]]]") "}"), "depth"},
    {TEXT("{\"a\":" TEN("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":")
              TEN("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":") "1"),
     "depth"},
    {TEXT("{\"a\":" TEN(TEN(TEN("[")))), "depth"},
    {TEXT("{\"a\":1e400}"), "syntax"},
    {TEXT("{\"a\":[-1e400]}"), "syntax"},
    {TEXT("{\"a\":NaN}"), "syntax"},
    {TEXT("{\"a\":Infinity}"), "syntax"},
    {TEXT("{\"a\":-Infinity}"), "syntax"},
    {TEXT("{\"a\":01}"), "syntax"},
    {TEXT("{\"a\":+1}"), "syntax"},
    {TEXT("{\"a\":1.}"), "syntax"},
    {TEXT("{\"a\":0x10}"), "syntax"},
    {TEXT("{\"a\":\"\\ud800\"}"), "encoding"},
    {TEXT("{\"a\":\"\\udc00\"}"), "encoding"},
    {TEXT("{\"a\":\"\\udc00\\ud800\"}"), "encoding"},
    {TEXT("{\"a\":\"\\ud800\\u0061\"}"), "encoding"},
    {TEXT("{\"\\ud800\":1}"), "encoding"},
    {TEXT("{\"a\":\"\\u0000\"}"), "encoding"},
    {TEXT("{\"a\\u0000b\":1}"), "encoding"},
    {TEXT("{\"a\":\"\0\"}"), "encoding"},
    {TEXT("{\"a\":\"\xff\"}"), "encoding"},
    {TEXT("{\"a\":\"\xc0\xaf\"}"), "encoding"},
    {TEXT("{\"a\":\"\xed\xa0\x80\"}"), "encoding"},
    {TEXT("{\"a\":\"\xf4\x90\x80\x80\"}"), "encoding"},
    {TEXT("\xef\xbb\xbf{}"), "syntax"},
    {TEXT("{\"a\":9007199254740992}"), "number"},
    {TEXT("{\"a\":-9007199254740992}"), "number"},
    {TEXT("{\"a\":[{\"b\":100000000000000000000}]}"), "number"},
    {TEXT("{\"a\":1" TEN(TEN(TEN("0"))) "}"), "number"},
    {TEXT(""), "syntax"},
    {TEXT(" "), "syntax"},
    {TEXT("null"), "syntax"},
    {TEXT("[]"), "syntax"},
    {TEXT("\"{}\""), "syntax"},
    {TEXT("{"), "syntax"},
    {TEXT("{} {}"), "syntax"},
    {TEXT("{}\0"), "syntax"},
    {TEXT("{\"a\":1,}"), "syntax"},
    {TEXT("{'a':1}"), "syntax"},
    {TEXT("{\"a\":1} // why"), "syntax"},
};

static void
check_bad_bodies(const struct cfc_api_route *route)
{
    for (size_t i = 0; i < sizeof(bad_bodies) / sizeof(bad_bodies[0]); i++) {
        uint64_t seq = cfc_service_seq(m.service);
        unsigned wanted = strcmp(bad_bodies[i].code, "number") == 0 ? 422 : 400;
        unsigned status = send_body(route, bad_bodies[i].text, bad_bodies[i].size);
        bool is_good = status == wanted && has_code(bad_bodies[i].code) &&
                       cfc_service_seq(m.service) == seq && reply.later == NULL;

        CU_ASSERT(is_good);
        if (!is_good) {
            fprintf(stderr, "%s %s: %.60s: %u %s\n", route->method, route->path, bad_bodies[i].text,
                    status, reply.body != NULL ? reply.body : "");
        }
    }
}

/* None of these is refused for what the lists above are about; a route may dislike the members. */
static void
check_edges(const struct cfc_api_route *route)
{
    static const char *const good[] = {
        "{\"a\":9007199254740991,\"b\":-9007199254740991}",
        "{\"a\":1,\"A\":2,\"\\u0041\\u0041\":3}",
        "{\"a\":" TEN("[[[[[[") "[[[]]]" TEN("]]]]]]") "}",
        "{\"a\":\"\\ud83d\\ude00\"}",
        "{\"a\":[1e308,-0.0,1E-400]}",
        " \t\r\n{}\n",
    };
    static const char *const codes[] = {"duplicate_key", "depth", "syntax", "encoding", "number"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        send_body(route, good[i], strlen(good[i]));
        for (size_t k = 0; k < sizeof(codes) / sizeof(codes[0]); k++) {
            CU_ASSERT_FALSE(has_code(codes[k]));
        }
    }
}

/* What takes frames is asked by tests/integration/test_pull.py. */
static bool
takes_json(const struct cfc_api_route *route)
{
    return route->body != CFC_BODY_NONE && route->body != CFC_BODY_FRAMES;
}

static void
every_route_with_a_body_refuses_what_is_no_document(void)
{
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);
    size_t checked = 0;

    open_all();
    for (size_t i = 0; i < count; i++) {
        if (takes_json(&routes[i])) {
            check_bad_bodies(&routes[i]);
            check_edges(&routes[i]);
            checked++;
        }
    }
    CU_ASSERT(checked >= 9);
    close_all();
}

/* ---- Names that are no scopes -----------------------------------------------------------------
 */

#define SEG63 "s23456789012345678901234567890123456789012345678901234567890123"

static const char *const bad_scopes[] = {
    "",
    "/",
    "..",
    ".",
    "acme/..",
    "acme/../other",
    "acme/./eu",
    "acme//eu",
    "/acme",
    "acme/",
    "acme/eu/",
    "Acme",
    "acme/EU",
    " acme",
    "acme ",
    "acme\t",
    "acme/eu\n",
    "-acme",
    ".acme",
    "_acme",
    "acme/-eu",
    "acme\\eu",
    "acme%2feu",
    "acme%2Feu",
    "acme/%2e%2e/eu",
    "acme/eu?x",
    "acme/eu#x",
    "acme/*",
    "**",
    "acm\xc3\xa9",
    "\xd0\xb0\xd1\x81me",         /* Cyrillic a and c */
    "\xef\xbd\x81\xef\xbd\x83me", /* full width a and c */
    "acme\xe2\x88\x95"            /* a division slash */
    "eu",
    "acme\xe2\x80\x8b",    /* a zero-width space */
    "acme\xe2\x80\xae/eu", /* a change of direction */
    "ac\xcc\xa7me",        /* a combining cedilla */
    "a/b/c/d/e/f/g/h/i",
    SEG63 "4",
    "acme/" SEG63 "4/eu",
    SEG63 "/" SEG63 "/" SEG63 "/" SEG63 "/" SEG63 "/" SEG63 "/" SEG63 "/" SEG63 "/a",
};

#define BAD_SCOPE_COUNT (sizeof(bad_scopes) / sizeof(bad_scopes[0]))

/* A good body of each route that takes one; each '$' is the name of a scope. */
static const struct {
    const char *method;
    const char *path;
    const char *body;
} samples[] = {
    {"PUT", "/v1/config/", "{\"a\":1}"},
    {"POST", "/v1/batch", "{\"items\":[{\"put\":\"$\",\"document\":{}}]}"},
    {"POST", "/v1/batch", "{\"items\":[{\"put\":\"acme/x\",\"document\":{}},{\"delete\":\"$\"}]}"},
    {"POST", "/v1/batch", "{\"items\":[{\"release\":\"$\",\"action\":\"promote\"}]}"},
    {"POST", "/v1/release/", "{\"action\":\"promote\"}"},
    {"POST", "/v1/approve/", "{\"revision\":1,\"digest\":\"" HEX64 "\"}"},
    {"PUT", "/v1/schema/", "{}"},
    {"PUT", "/v1/settings/", "{}"},
    {"PUT", "/v1/layers/", "{\"layers\":[\"$\"]}"},
    {"PUT", "/v1/layers/", "{\"layers\":[\"$\",\"acme/eu\"]}"},
    {"POST", "/v1/tokens", "{\"identity\":\"eve\",\"roles\":[\"viewer\"],\"scope\":\"$\"}"},
    {"PUT", "/v1/roles",
     "{\"bindings\":[{\"identity\":\"eve\",\"roles\":[\"viewer\"],\"scope\":\"$\"}]}"},
};

#define SAMPLE_COUNT (sizeof(samples) / sizeof(samples[0]))

static bool
is_of(size_t sample, const struct cfc_api_route *route)
{
    return strcmp(samples[sample].method, route->method) == 0 &&
           strcmp(samples[sample].path, route->path) == 0;
}

/* The sample with a name in the place of its '$', as JSON. */
static void
fill(char *out, size_t capacity, const char *body, const char *name)
{
    size_t size = 0;

    for (; *body != '\0'; body++) {
        const char *p = *body == '$' ? name : NULL;

        CU_ASSERT_FATAL(size + strlen(name) * 6 + 2 < capacity);
        for (; p != NULL && *p != '\0'; p++) {
            size += (unsigned char)*p < 0x20 || *p == '\\'
                        ? (size_t)snprintf(out + size, 7, "\\u%04x", (unsigned char)*p)
                        : (size_t)snprintf(out + size, 2, "%c", *p);
        }
        if (p == NULL) {
            out[size++] = *body;
        }
    }
    out[size] = '\0';
}

static unsigned
send_sample(size_t sample, const struct cfc_identity *identity, const char *name)
{
    char body[4096];
    char target[128];
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);

    fill(body, sizeof(body), samples[sample].body, name);
    for (size_t i = 0; i < count; i++) {
        if (is_of(sample, &routes[i])) {
            target_of(&routes[i], "acme/eu", target, sizeof(target));
            return send_target(routes[i].method, target, identity, body, strlen(body));
        }
    }
    CU_FAIL("a sample of no route");
    return 0;
}

static void
every_route_with_a_body_has_a_sample_that_is_taken(void)
{
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);

    open_all();
    for (size_t i = 0; i < count; i++) {
        bool is_there = !takes_json(&routes[i]);

        for (size_t s = 0; s < SAMPLE_COUNT; s++) {
            is_there |= is_of(s, &routes[i]);
        }
        CU_ASSERT(is_there);
        if (!is_there) {
            fprintf(stderr, "no sample of %s %s\n", routes[i].method, routes[i].path);
        }
    }
    for (size_t s = 0; s < SAMPLE_COUNT; s++) {
        unsigned status = send_sample(s, &root, "acme");

        CU_ASSERT(reply.later != NULL || (status != 400 && status != 413 && status != 422));
    }
    close_all();
}

/* A name that is none is 400 for the mightiest, and nothing but a refusal for who may work below
 * acme: no spelling leads out of there. */
static void
names_in_bodies_are_held_to_the_rule_of_paths(void)
{
    struct cfc_identity one = {.name = "one", .proof = CFC_PROOF_TOKEN, .grant_count = 1};

    one.grants[0].roles = (1u << CFC_ROLE_COUNT) - 1;
    snprintf(one.grants[0].scope, sizeof(one.grants[0].scope), "acme");
    open_all();
    for (size_t s = 0; s < SAMPLE_COUNT; s++) {
        for (size_t i = 0; i < BAD_SCOPE_COUNT && strchr(samples[s].body, '$') != NULL; i++) {
            uint64_t seq = cfc_service_seq(m.service);
            unsigned status = send_sample(s, &root, bad_scopes[i]);
            bool is_good = status == 400 && reply.later == NULL &&
                           (has_code("scope_name") || has_code("invalid"));

            CU_ASSERT(is_good);
            if (!is_good) {
                fprintf(stderr, "%s %s: %s: %u %s\n", samples[s].method, samples[s].body,
                        bad_scopes[i], status, reply.body != NULL ? reply.body : "");
            }
            status = send_sample(s, &one, bad_scopes[i]);
            CU_ASSERT(status == 400 || status == 403);
            CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
        }
    }
    close_all();
}

/* Escapes whatever is not plain, so that the name itself arrives. */
static void
escape(char *out, size_t capacity, const char *name)
{
    size_t size = 0;

    for (; *name != '\0' && size + 4 < capacity; name++) {
        bool is_plain = strchr("abcdefghijklmnopqrstuvwxyz0123456789/._-", *name) != NULL;

        size += (size_t)snprintf(out + size, 4, is_plain ? "%c" : "%%%02x",
                                 is_plain ? *name : (unsigned char)*name);
    }
    out[size] = '\0';
}

static void
names_in_paths_are_held_to_it_on_every_route_and_in_both_spellings(void)
{
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);

    open_all();
    for (size_t r = 0; r < count; r++) {
        for (size_t i = 0; i < BAD_SCOPE_COUNT && routes[r].tail == CFC_TAIL_SCOPE; i++) {
            char escaped[2048];
            char target[4096];
            uint64_t seq = cfc_service_seq(m.service);

            /* Raw, a '?' would begin the query. */
            if (strpbrk(bad_scopes[i], "? ") == NULL) {
                target_of(&routes[r], bad_scopes[i], target, sizeof(target));
                CU_ASSERT_EQUAL(send_target(routes[r].method, target, &root, "{}", 2), 400);
            }
            escape(escaped, sizeof(escaped), bad_scopes[i]);
            target_of(&routes[r], escaped, target, sizeof(target));
            CU_ASSERT_EQUAL(send_target(routes[r].method, target, &root, "{}", 2), 400);
            CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
        }
    }
    close_all();
}

static void
names_in_parameters_are_held_to_it(void)
{
    open_all();
    CU_ASSERT_EQUAL(send_target("GET", "/v1/consumers?scope=acme/eu", &root, NULL, 0), 200);
    for (size_t i = 0; i < BAD_SCOPE_COUNT; i++) {
        char escaped[2048];
        char target[4096];

        escape(escaped, sizeof(escaped), bad_scopes[i]);
        snprintf(target, sizeof(target), "/v1/consumers?scope=%s", escaped);
        CU_ASSERT_EQUAL(send_target("GET", target, &root, NULL, 0), 400);
    }
    close_all();
}

/* ---- Keys of requests -------------------------------------------------------------------------
 */

/* Each route that changes something, with a request that it takes: '@' is the digest of acme/eu's
 * first revision, '#' the id of a token. */
static const struct {
    const char *method;
    const char *path;
    const char *rest;
    const char *body;
} changes[] = {
    {"PUT", "/v1/config/", "acme/eu", "{\"a\":1}"},
    {"DELETE", "/v1/config/", "acme/eu", NULL},
    {"POST", "/v1/batch", "", "{\"items\":[{\"put\":\"acme/eu\",\"document\":{}}]}"},
    {"POST", "/v1/release/", "acme/eu", "{\"action\":\"promote\"}"},
    {"POST", "/v1/approve/", "acme/eu", "{\"revision\":1,\"digest\":\"@\"}"},
    {"PUT", "/v1/schema/", "acme/eu", "{}"},
    {"PUT", "/v1/settings/", "acme/eu", "{}"},
    {"PUT", "/v1/layers/", "acme/eu", "{\"layers\":[\"acme/eu\"]}"},
    {"POST", "/v1/tokens", "", "{\"identity\":\"eve\",\"roles\":[\"viewer\"],\"scope\":\"*\"}"},
    {"DELETE", "/v1/tokens/", "#", NULL},
    {"PUT", "/v1/roles", "", "{\"bindings\":[]}"},
};

#define CHANGE_COUNT (sizeof(changes) / sizeof(changes[0]))

static char token_id[17];
static char digest_hex[65];

static void
expand(char *out, size_t capacity, const char *text)
{
    size_t size = 0;

    out[0] = '\0';
    for (; text != NULL && *text != '\0' && size < capacity; text++) {
        size += *text == '@'   ? (size_t)snprintf(out + size, capacity - size, "%s", digest_hex)
                : *text == '#' ? (size_t)snprintf(out + size, capacity - size, "%s", token_id)
                               : (size_t)snprintf(out + size, capacity - size, "%c", *text);
    }
    CU_ASSERT_FATAL(size < capacity);
}

static unsigned
send_change(size_t idx, const char *author, const char *key)
{
    struct cfc_request request = {
        .author = author, .identity = &root, .unix_ns = m.now += 1000, .idempotency_key = key};
    const struct cfc_api_route *route;
    char target[256];
    char rest[64];
    char body[512];

    expand(rest, sizeof(rest), changes[idx].rest);
    expand(body, sizeof(body), changes[idx].body);
    snprintf(target, sizeof(target), "%s%s", changes[idx].path, rest);
    request.body = changes[idx].body != NULL ? body : NULL;
    request.body_size = strlen(body);
    cfc_reply_clear(&reply);
    CU_ASSERT_EQUAL_FATAL(cfc_target_parse(target, &request.target), CONFCAST_OK);
    route = cfc_api_find(&request, changes[idx].method, &reply);
    CU_ASSERT_PTR_NOT_NULL_FATAL(route);
    CU_ASSERT_FATAL(cfc_api_authorize(&api, &request, route, &reply));
    cfc_api_handle(&api, &request, route, &reply);
    CU_ASSERT_PTR_NULL(reply.later);
    return reply.status;
}

/* Something for each change to be about. */
static void
open_for_changes(void)
{
    static const char marker[] = "\"id\":\"";
    size_t create = 0;
    const char *id;

    open_all();
    cfc_digest_to_hex(&m.put.digest, digest_hex);
    while (strcmp(changes[create].path, "/v1/tokens") != 0) {
        create++;
    }
    CU_ASSERT_EQUAL_FATAL(send_change(create, "ops", NULL), 200);
    id = strstr(reply.body, marker);
    CU_ASSERT_PTR_NOT_NULL_FATAL(id);
    snprintf(token_id, sizeof(token_id), "%.16s", id + sizeof(marker) - 1);
}

static void
every_route_that_changes_something_is_among_the_changes(void)
{
    size_t count;
    const struct cfc_api_route *routes = cfc_api_routes(&count);

    for (size_t r = 0; r < count; r++) {
        /* A backup changes nothing of the store's; what consumers say may be said again. */
        bool is_there = strcmp(routes[r].method, "GET") == 0 ||
                        routes[r].right == CFC_RIGHT_CONSUME ||
                        strcmp(routes[r].path, "/v1/backup") == 0;

        for (size_t i = 0; i < CHANGE_COUNT; i++) {
            is_there |= strcmp(changes[i].method, routes[r].method) == 0 &&
                        strcmp(changes[i].path, routes[r].path) == 0;
        }
        CU_ASSERT(is_there);
        if (!is_there) {
            fprintf(stderr, "no change by %s %s\n", routes[r].method, routes[r].path);
        }
    }
}

/* The answer under a key is that of the first request, and its author's alone. */
static void
check_key(size_t idx)
{
    uint64_t seq;
    char *first;

    open_for_changes();
    CU_ASSERT_EQUAL(send_change(idx, "cat", "key"), 200);
    CU_ASSERT_FALSE(reply.is_replay);
    first = strdup(reply.body);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    seq = cfc_service_seq(m.service);
    CU_ASSERT_EQUAL(send_change(idx, "cat", "key"), 200);
    CU_ASSERT(reply.is_replay);
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    if (strstr(first, "\"token\":\"") == NULL) {
        CU_ASSERT_STRING_EQUAL(reply.body, first);
    } else {
        CU_ASSERT_PTR_NOT_NULL(strstr(reply.body, "\"token\":null"));
    }
    /* Under the same key, another request is another, whatever its route. */
    for (size_t other = 0; other < CHANGE_COUNT; other++) {
        if (other != idx) {
            CU_ASSERT_EQUAL(send_change(other, "cat", "key"), 422);
            CU_ASSERT(has_code("replay"));
        }
    }
    CU_ASSERT_EQUAL(cfc_service_seq(m.service), seq);
    send_change(idx, "bob", "key");
    CU_ASSERT_FALSE(reply.is_replay);
    CU_ASSERT_FALSE(has_code("replay"));
    /* Names and keys do not run into each other. */
    send_change(idx, "ca", "tkey");
    CU_ASSERT_FALSE(reply.is_replay);
    CU_ASSERT_FALSE(has_code("replay"));
    free(first);
    close_all();
}

static void
a_key_gives_its_author_the_first_answer_on_every_route_and_nobody_else(void)
{
    for (size_t i = 0; i < CHANGE_COUNT; i++) {
        check_key(i);
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_route_with_a_body_refuses_what_is_no_document),
    CFC_CASE(every_route_with_a_body_has_a_sample_that_is_taken),
    CFC_CASE(names_in_bodies_are_held_to_the_rule_of_paths),
    CFC_CASE(names_in_paths_are_held_to_it_on_every_route_and_in_both_spellings),
    CFC_CASE(names_in_parameters_are_held_to_it),
    CFC_CASE(every_route_that_changes_something_is_among_the_changes),
    CFC_CASE(a_key_gives_its_author_the_first_answer_on_every_route_and_nobody_else),
};

CFC_TEST_MAIN("route_input", cases)
