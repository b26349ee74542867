/* Whole requests from anybody, through all that stands before and behind the sockets: headers,
 * target, credentials, rights, routes, and the handlers on a service in memory.
 *
 *     one byte, who asks   METHOD TARGET\n   NAME: VALUE\n ...   \n   body
 *
 * The byte 0x01 in a value stands for a good token.  What answers is a documented status with JSON;
 * what is refused changes nothing; and who has rights below acme alone neither reads nor changes
 * anything elsewhere, whatever was asked. */
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "confcast/error.h"
#include "controlplane/api/api.h"
#include "controlplane/api/headers.h"
#include "controlplane/auth/access.h"
#include "controlplane/store/store.h"
#include "tests/fuzz/target.h"

#define NOW    UINT64_C(1700000000000000000)
#define SECRET "zzsecretzz"

enum {
    TOKEN_MARK = 0x01,
    HEADER_COUNT_MAX = 24,
    HEADER_SIZE_MAX = 300,
};

struct world {
    struct cfc_store *store;
    struct cfc_service *service;
    struct cfc_access access;
    struct cfc_api api;
    char token[CFC_TOKEN_TEXT_SIZE + 1];
};

static const struct cfc_identity root = {.name = "root", .proof = CFC_PROOF_PEER, .is_all = true};

static void
put(struct world *w, const char *scope, const char *text)
{
    struct cfc_change change = {.author = "root", .unix_ns = NOW};
    struct cfc_put put = {.scope = scope, .text = text, .text_size = strlen(text)};
    struct cfc_release_order order = {.scope = scope, .action = CFC_ACTION_PROMOTE};
    struct cfc_put_result result;
    struct cfc_release_view view;

    CFC_FUZZ_CHECK(cfc_service_put(w->service, &change, &put, &result, NULL) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_service_release(w->service, &change, &order, &view, NULL) == CONFCAST_OK);
}

/* A token of an author and releaser of acme. */
static void
make_token(struct world *w)
{
    static const char body[] =
        "{\"identity\":\"ann\",\"roles\":[\"author\",\"releaser\"],\"scope\":\"acme\"}";
    static const char marker[] = "\"token\":\"";
    struct cfc_request request = {.author = "root",
                                  .identity = &root,
                                  .unix_ns = NOW,
                                  .body = body,
                                  .body_size = sizeof(body) - 1};
    struct cfc_reply reply = {0};
    const struct cfc_api_route *route;
    const char *text;

    CFC_FUZZ_CHECK(cfc_target_parse("/v1/tokens", &request.target) == CONFCAST_OK);
    route = cfc_api_find(&request, "POST", &reply);
    CFC_FUZZ_CHECK(route != NULL && cfc_api_authorize(&w->api, &request, route, &reply));
    cfc_api_handle(&w->api, &request, route, &reply);
    text = reply.body != NULL ? strstr(reply.body, marker) : NULL;
    CFC_FUZZ_CHECK(text != NULL);
    memcpy(w->token, text + sizeof(marker) - 1, CFC_TOKEN_TEXT_SIZE);
    w->token[CFC_TOKEN_TEXT_SIZE] = '\0';
    cfc_reply_clear(&reply);
}

static void
open_world(struct world *w)
{
    memset(w, 0, sizeof(*w));
    CFC_FUZZ_CHECK(cfc_store_mem_open(&w->store) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_service_open(w->store, NULL, &w->service) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_access_open(&w->access, w->service, true) == CONFCAST_OK);
    cfc_api_init(&w->api, w->service, 64 * 1024);
    w->api.access = &w->access;
    put(w, "acme", "{\"a\":1}");
    put(w, "acme/eu", "{\"b\":{\"c\":[1,2]}}");
    put(w, "other", "{\"s\":\"" SECRET "\"}");
    make_token(w);
}

static void
close_world(struct world *w)
{
    cfc_access_close(&w->access);
    cfc_service_close(w->service);
    cfc_store_close(w->store);
}

/* ---- The request ------------------------------------------------------------------------------
 */

/* A line without its end, at most capacity - 1 bytes of it; false at the end of the input. */
static bool
take_line(const uint8_t **p, const uint8_t *end, char *line, size_t capacity, size_t *size)
{
    const uint8_t *stop = *p < end ? memchr(*p, '\n', (size_t)(end - *p)) : NULL;
    size_t length = (size_t)((stop != NULL ? stop : end) - *p);

    if (*p >= end) {
        return false;
    }
    *size = length < capacity - 1 ? length : capacity - 1;
    memcpy(line, *p, *size);
    line[*size] = '\0';
    *p += length + (stop != NULL ? 1 : 0);
    return true;
}

struct header_text {
    char name[HEADER_SIZE_MAX];
    char value[HEADER_SIZE_MAX];
};

/* "NAME: VALUE" with the token in the place of its mark. */
static void
take_header(const struct world *w, struct cfc_headers *headers, struct header_text *out,
            const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    size_t name_size = colon != NULL ? (size_t)(colon - line) : size;
    size_t value_size = 0;

    memcpy(out->name, line, name_size);
    out->name[name_size] = '\0';
    for (size_t i = name_size + 1; i < size; i++) {
        if (i == name_size + 1 && line[i] == ' ') {
            continue;
        }
        if (line[i] == TOKEN_MARK && value_size + CFC_TOKEN_TEXT_SIZE < HEADER_SIZE_MAX - 1) {
            memcpy(out->value + value_size, w->token, CFC_TOKEN_TEXT_SIZE);
            value_size += CFC_TOKEN_TEXT_SIZE;
        } else if (value_size < HEADER_SIZE_MAX - 1) {
            out->value[value_size++] = line[i];
        }
    }
    out->value[value_size] = '\0';
    cfc_headers_add(headers, out->name, name_size, out->value, value_size);
}

/* Somebody without a token, by the first byte: root, nobody, or one with roles below acme. */
static void
make_somebody(uint8_t choice, struct cfc_identity *one)
{
    *one = (struct cfc_identity){.name = "bob", .proof = CFC_PROOF_CERTIFICATE};
    if (choice == 0) {
        *one = root;
    } else if (choice % 64 != 63) {
        one->grant_count = 1;
        one->grants[0].roles = choice % 32;
        snprintf(one->grants[0].scope, sizeof(one->grants[0].scope), "acme");
    }
}

static bool
is_good_bearer(const struct world *w, const char *authorization)
{
    return strncasecmp(authorization, "Bearer ", 7) == 0 &&
           strcmp(authorization + 7, w->token) == 0;
}

/* False: 401. */
static bool
identify(struct world *w, const struct cfc_headers *headers, uint8_t choice,
         struct cfc_identity *one)
{
    struct cfc_credentials credentials = {.authorization = headers->authorization, .unix_ns = NOW};
    int rc;

    if (headers->authorization == NULL) {
        make_somebody(choice, one);
        return true;
    }
    rc = cfc_access_identify(&w->access, &credentials, one);
    CFC_FUZZ_CHECK(rc == CONFCAST_OK || rc == CONFCAST_ERR_AUTHORITY);
    CFC_FUZZ_CHECK((rc == CONFCAST_OK) == is_good_bearer(w, headers->authorization));
    CFC_FUZZ_CHECK(rc != CONFCAST_OK || strcmp(one->name, "ann") == 0);
    return rc == CONFCAST_OK;
}

/* ---- What must hold ---------------------------------------------------------------------------
 */

static void
check_reply(const struct world *w, const struct cfc_reply *reply)
{
#define STATUS_(code) || reply->status == (code)
    CFC_FUZZ_CHECK(false CFC_API_STATUSES(STATUS_));
#undef STATUS_
    CFC_FUZZ_CHECK(reply->body != NULL || reply->stream.read != NULL);
    if (reply->body != NULL && strcmp(reply->type, "application/json") == 0) {
        json_t *root_json = json_loadb(reply->body, reply->body_size, JSON_REJECT_DUPLICATES, NULL);
        const json_t *error = json_object_get(root_json, "error");

        CFC_FUZZ_CHECK(json_is_object(root_json));
        if (reply->status != 200 && reply->status != 503) {
            CFC_FUZZ_CHECK(json_is_string(json_object_get(error, "code")));
            CFC_FUZZ_CHECK(json_is_string(json_object_get(error, "message")));
        }
        json_decref(root_json);
    }
    CFC_FUZZ_CHECK(reply->body == NULL ||
                   memmem(reply->body, reply->body_size, w->token, CFC_TOKEN_TEXT_SIZE) == NULL);
}

static void
check_bounds(const struct world *w, const struct cfc_reply *reply)
{
    struct cfc_definition definition = {0};
    char *scopes = NULL;
    const char *scope;
    size_t count = 0;

    CFC_FUZZ_CHECK(reply->body == NULL ||
                   memmem(reply->body, reply->body_size, SECRET, sizeof(SECRET) - 1) == NULL);
    CFC_FUZZ_CHECK(cfc_service_get(w->service, "other", 0, &definition) == CONFCAST_OK);
    CFC_FUZZ_CHECK(definition.meta.revision == 1);
    cfc_definition_free(&definition);
    CFC_FUZZ_CHECK(cfc_service_scopes(w->service, &scopes, &count) == CONFCAST_OK);
    scope = scopes;
    for (size_t i = 0; i < count; i++, scope += strlen(scope) + 1) {
        CFC_FUZZ_CHECK(strcmp(scope, "other") == 0 || strcmp(scope, "acme") == 0 ||
                       strncmp(scope, "acme/", 5) == 0);
    }
    free(scopes);
}

static void
serve(struct world *w, const struct cfc_headers *headers, const struct cfc_identity *one,
      const char *method, struct cfc_request *request, struct cfc_reply *reply)
{
    uint64_t seq = cfc_service_seq(w->service);
    const struct cfc_api_route *route = cfc_api_find(request, method, reply);
    const char *dry_run;

    if (route == NULL) {
        CFC_FUZZ_CHECK(reply->status == 400 || reply->status == 404 || reply->status == 405);
        return;
    }
    request->author = one->name[0] != '\0' ? one->name : "anonymous";
    request->claimed = headers->author;
    request->identity = one;
    request->idempotency_key = headers->idempotency_key;
    if (request->body_size > cfc_api_body_size_max(&w->api, route)) {
        cfc_reply_error(reply, 413, "limit", "the body is above its limit");
    } else if (cfc_api_authorize(&w->api, request, route, reply)) {
        cfc_api_handle(&w->api, request, route, reply);
        if (reply->later != NULL) {
            return; /* a backup, which is no part of this */
        }
    }
    dry_run = cfc_target_param(&request->target, "dry_run");
    if (reply->status != 200 || strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
        (dry_run != NULL && (strcmp(dry_run, "1") == 0 || strcmp(dry_run, "true") == 0))) {
        CFC_FUZZ_CHECK(cfc_service_seq(w->service) == seq);
    }
    check_reply(w, reply);
    if (!one->is_all) {
        check_bounds(w, reply);
    }
}

static void
run(struct world *w, const uint8_t *bytes, size_t size)
{
    static char first[CFC_TARGET_SIZE_MAX + 32];
    static struct header_text texts[HEADER_COUNT_MAX];
    static struct cfc_request request;
    const uint8_t *p = bytes + 1;
    const uint8_t *end = bytes + size;
    struct cfc_headers headers = {.has_twice = false};
    struct cfc_reply reply = {0};
    struct cfc_identity one;
    char line[HEADER_SIZE_MAX];
    size_t line_size = 0;
    char *target;

    if (!take_line(&p, end, first, sizeof(first), &line_size)) {
        return;
    }
    for (size_t i = 0; i < HEADER_COUNT_MAX && take_line(&p, end, line, sizeof(line), &line_size) &&
                       line_size > 0;
         i++) {
        take_header(w, &headers, &texts[i], line, line_size);
    }
    target = strchr(first, ' ');
    memset(&request, 0, sizeof(request));
    if (target == NULL) {
        return;
    }
    *target++ = '\0';
    request.body = p < end ? (const char *)p : NULL;
    request.body_size = (size_t)(end - p);
    request.unix_ns = NOW + 1;
    if (cfc_headers_check_framing(&headers, "HTTP/1.1", &reply) &&
        cfc_target_parse(target, &request.target) == CONFCAST_OK &&
        cfc_headers_check(&headers, true, &reply) && identify(w, &headers, bytes[0], &one)) {
        serve(w, &headers, &one, first, &request, &reply);
    }
    cfc_reply_clear(&reply);
}

/* Most inputs are refused and change nothing: the next one finds the same world. */
int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct world w;
    static uint64_t seq;

    if (size == 0) {
        return 0;
    }
    if (w.service == NULL) {
        open_world(&w);
        seq = cfc_service_seq(w.service);
    }
    run(&w, bytes, size);
    if (cfc_service_seq(w.service) != seq) {
        close_world(&w);
        w.service = NULL;
    }
    return 0;
}
