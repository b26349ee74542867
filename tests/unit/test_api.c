/* Routes and handlers without sockets, on a service over the store in memory. */
#include "controlplane/api/api.h"

#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/store/store.h"
#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"

static struct cfc_store *store;
static struct cfc_service *service;
static struct cfc_api api;
static struct cfc_request request;
static struct cfc_reply reply;

static void
open_all(void)
{
    CU_ASSERT_EQUAL_FATAL(cfc_store_mem_open(&store), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(store, NULL, &service), CONFCAST_OK);
    cfc_api_init(&api, service, 1 << 20);
}

static void
close_all(void)
{
    cfc_reply_clear(&reply);
    cfc_service_close(service);
    cfc_store_close(store);
}

/* Sends one request through the table; returns the status. */
static unsigned
send_request(const char *method, const char *target, const char *body)
{
    const struct cfc_api_route *route;

    cfc_reply_clear(&reply);
    memset(&request, 0, sizeof(request));
    CU_ASSERT_EQUAL_FATAL(cfc_target_parse(target, &request.target), CONFCAST_OK);
    request.author = "ann";
    request.body = body;
    request.body_size = body != NULL ? strlen(body) : 0;
    request.unix_ns = 1700000000 * CFC_S;
    route = cfc_api_find(&request, method, &reply);
    if (route != NULL) {
        route->handle(&api, &request, &reply);
    }
    return reply.status;
}

static bool
answer_has(const char *text)
{
    return reply.body != NULL && strstr(reply.body, text) != NULL;
}

static void
every_path_takes_its_methods_and_no_other(void)
{
    static const struct {
        const char *path;
        const char *methods;
    } rows[] = {
        {"/v1/config/a", "PUT GET DELETE"},
        {"/v1/batch", "POST"},
        {"/v1/schema/a", "GET PUT"},
        {"/v1/settings/a", "GET PUT"},
        {"/v1/history/a", "GET"},
        {"/v1/release/a", "GET POST"},
        {"/v1/effective/a", "GET"},
        {"/v1/layers/a", "GET PUT"},
        {"/v1/status", "GET"},
        {"/v1/status/a", "GET"},
        {"/v1/consumers", "GET"},
        {"/v1/consumers/a", "GET"},
        {"/v1/audit", "GET"},
        {"/v1/tokens", "GET POST"},
        {"/v1/tokens/0123456789abcdef", "DELETE"},
        {"/v1/roles", "GET PUT"},
        {"/healthz", "GET"},
        {"/readyz", "GET"},
        {"/metrics", "GET"},
    };
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t m = 0; m < sizeof(methods) / sizeof(methods[0]); m++) {
            bool is_known = strstr(rows[i].methods, methods[m]) != NULL;

            cfc_reply_clear(&reply);
            memset(&request, 0, sizeof(request));
            CU_ASSERT_EQUAL_FATAL(cfc_target_parse(rows[i].path, &request.target), CONFCAST_OK);
            CU_ASSERT_EQUAL(cfc_api_find(&request, methods[m], &reply) != NULL, is_known);
            CU_ASSERT_EQUAL(reply.status, is_known ? 0 : 405);
        }
        CU_ASSERT_EQUAL(cfc_api_find(&request, "HEAD", &reply) != NULL,
                        strstr(rows[i].methods, "GET") != NULL);
    }
    cfc_reply_clear(&reply);
}

static void
unknown_paths_and_malformed_tails_are_refused(void)
{
    static const char *const absent[] = {
        "/", "/v1", "/v1/", "/v1/config", "/v2/config/a", "/healthz/", "/v1/auditx", "/V1/audit"};
    static const char *const malformed[] = {"/v1/config/", "/v1/config/A",   "/v1/config/a/",
                                            "/v1/status/", "/v1/consumers/", "/v1/consumers/a/b"};

    open_all();
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        CU_ASSERT_EQUAL(send_request("GET", absent[i], NULL), 404);
    }
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        CU_ASSERT_EQUAL(send_request("GET", malformed[i], NULL), 400);
    }
    close_all();
}

static void
a_parameter_is_known_by_its_whole_name(void)
{
    open_all();
    CU_ASSERT_EQUAL(send_request("PUT", "/v1/config/a?dry_run=1", "{}"), 200);
    CU_ASSERT_EQUAL(send_request("PUT", "/v1/config/a?dry=1", "{}"), 400);
    CU_ASSERT_EQUAL(send_request("PUT", "/v1/config/a?dry_run1=1", "{}"), 400);
    CU_ASSERT_EQUAL(send_request("PUT", "/v1/config/a?message%20dry_run=1", "{}"), 400);
    CU_ASSERT_EQUAL(send_request("GET", "/v1/config/a?message=x", NULL), 400);
    close_all();
}

static void
a_change_goes_from_put_to_effective(void)
{
    open_all();
    CU_ASSERT_EQUAL(send_request("PUT", "/v1/config/a/b?message=m", "{\"x\":1.0}"), 200);
    CU_ASSERT(answer_has("\"revision\":1"));
    CU_ASSERT_EQUAL(send_request("GET", "/v1/config/a/b", NULL), 200);
    CU_ASSERT(answer_has("\"document\":{\"x\":1}"));
    CU_ASSERT(answer_has("\"author\":\"ann\""));
    CU_ASSERT(answer_has("\"time\":\"2023-11-14T22:13:20.000000Z\""));
    CU_ASSERT_EQUAL(send_request("GET", "/v1/release/a/b", NULL), 200);
    CU_ASSERT(answer_has("\"state\":\"EMPTY\""));
    CU_ASSERT(answer_has("\"active_revision\":null"));
    CU_ASSERT_EQUAL(
        send_request("POST", "/v1/release/a/b", "{\"action\":\"promote\",\"revision\":1}"), 200);
    CU_ASSERT(answer_has("\"state\":\"ACTIVE\""));
    CU_ASSERT(answer_has("\"affected\":1"));
    CU_ASSERT_EQUAL(send_request("GET", "/v1/effective/a/b", NULL), 200);
    CU_ASSERT(answer_has("\"document\":{\"x\":1}"));
    CU_ASSERT_EQUAL(send_request("GET", "/metrics", NULL), 200);
    CU_ASSERT(answer_has("confcast_scope_version{scope=\"a/b\"} "));
    close_all();
}

static void
revisions_in_a_body_are_whole_numbers(void)
{
    static const char *const bad[] = {"-1", "1.5", "\"1\"", "true", "null", "[1]", "1e16"};
    char body[128];

    open_all();
    CU_ASSERT_EQUAL(send_request("PUT", "/v1/config/a", "{}"), 200);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(body, sizeof(body), "{\"action\":\"promote\",\"revision\":%s}", bad[i]);
        CU_ASSERT_EQUAL(send_request("POST", "/v1/release/a", body), 400);
    }
    CU_ASSERT_EQUAL(
        send_request("POST", "/v1/release/a", "{\"action\":\"promote\",\"revision\":1e0}"), 200);
    close_all();
}

static void
readiness_follows_the_daemon(void)
{
    open_all();
    CU_ASSERT_EQUAL(send_request("GET", "/readyz", NULL), 503);
    atomic_store(&api.is_ready, true);
    CU_ASSERT_EQUAL(send_request("GET", "/readyz", NULL), 200);
    CU_ASSERT_EQUAL(send_request("GET", "/healthz", NULL), 200);
    close_all();
}

static void
statuses_are_counted(void)
{
    open_all();
    cfc_api_count_reply(&api, 200);
    cfc_api_count_reply(&api, 409);
    cfc_api_count_reply(&api, 409);
    CU_ASSERT_EQUAL(send_request("GET", "/metrics", NULL), 200);
    CU_ASSERT(answer_has("confcast_http_requests_total{code=\"200\"} 1\n"));
    CU_ASSERT(answer_has("confcast_http_requests_total{code=\"409\"} 2\n"));
    CU_ASSERT(answer_has("confcast_http_requests_total{code=\"507\"} 0\n"));
    close_all();
}

/* A write that the store cannot make is an error with a status, and nothing is changed. */
static void
a_failing_store_is_an_answer(void)
{
    static const struct {
        int error;
        unsigned status;
    } rows[] = {{CONFCAST_ERR_NO_SPACE, 507}, {CONFCAST_ERR_IO, 503}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cfc_store *inner;

        CU_ASSERT_EQUAL_FATAL(cfc_store_mem_open(&inner), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_store_fault_open(inner, &store), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(cfc_service_open(store, NULL, &service), CONFCAST_OK);
        cfc_api_init(&api, service, 1 << 20);
        CU_ASSERT_EQUAL(send_request("PUT", "/v1/config/a", "{\"n\":1}"), 200);
        *cfc_store_fault_plan(store) =
            (struct cfc_store_fault){.fail_at = 1, .is_lasting = true, .error = rows[i].error};
        CU_ASSERT_EQUAL(send_request("PUT", "/v1/config/a", "{\"n\":2}"), rows[i].status);
        *cfc_store_fault_plan(store) = (struct cfc_store_fault){.fail_at = 0};
        CU_ASSERT_EQUAL(send_request("GET", "/v1/config/a", NULL), 200);
        CU_ASSERT(answer_has("\"document\":{\"n\":1}"));
        close_all();
    }
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(every_path_takes_its_methods_and_no_other),
    CFC_CASE(unknown_paths_and_malformed_tails_are_refused),
    CFC_CASE(a_parameter_is_known_by_its_whole_name),
    CFC_CASE(a_change_goes_from_put_to_effective),
    CFC_CASE(revisions_in_a_body_are_whole_numbers),
    CFC_CASE(readiness_follows_the_daemon),
    CFC_CASE(statuses_are_counted),
    CFC_CASE(a_failing_store_is_an_answer),
};

CFC_TEST_MAIN("api", cases)
