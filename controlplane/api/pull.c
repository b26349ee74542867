/* Snapshots, hellos and reports of consumers that pull. */
#include "controlplane/api/pull.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "controlplane/api/pull_hub.h"
#include "controlplane/publish/report_intake.h"
#include "protocol/wire/frame.h"

bool
cfc_pull_is_target(const char *raw)
{
    return strncmp(raw, "/v1/snapshot/", 13) == 0 || strncmp(raw, "/v1/hello", 9) == 0 ||
           strncmp(raw, "/v1/ack", 7) == 0;
}

static bool
is_ready(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    if (api->pull == NULL || request->consumer == NULL) {
        cfc_reply_error(reply, 503, "not_ready", "this daemon serves no consumers that pull");
        return false;
    }
    return true;
}

/* ---- Snapshots --------------------------------------------------------------------------------
 */

/* ?have=DIGEST,DIGEST,... */
static bool
read_have(const char *text, struct cfc_pull_ask *ask)
{
    while (text != NULL) {
        size_t size = strcspn(text, ",");
        struct cfc_digest *digest = &ask->have[ask->have_count];

        if (ask->have_count == CFC_PULL_HAVE_MAX ||
            cfc_pull_hex_parse(text, size, digest->bytes, sizeof(digest->bytes)) != CONFCAST_OK) {
            return false;
        }
        ask->have_count++;
        text = text[size] == ',' ? text + size + 1 : NULL;
    }
    return true;
}

void
cfc_api_get_snapshot(struct cfc_api *api, const struct cfc_request *request,
                     struct cfc_reply *reply)
{
    struct cfc_pull_wish wish = {.wait_ms = 0};
    struct cfc_sha256 *sha;
    uint64_t wait_s = 0;
    bool is_given;

    if (!is_ready(api, request, reply) ||
        !cfc_api_param_uint(request, "after", UINT64_MAX, &is_given, &wish.ask.after, reply) ||
        !cfc_api_param_uint(request, "wait_s", CFC_PULL_WAIT_S_MAX, &is_given, &wait_s, reply)) {
        return;
    }
    if (!read_have(cfc_target_param(&request->target, "have"), &wish.ask)) {
        cfc_reply_error(reply, 400, "invalid", "have: up to 8 content digests, by commas");
        return;
    }
    sha = cfc_sha256_new();
    reply->wish = malloc(sizeof(*reply->wish));
    if (sha == NULL || reply->wish == NULL) {
        cfc_sha256_free(sha);
        cfc_reply_failure(reply, CONFCAST_ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    wish.ask.scope_id = cfc_scope_id(sha, request->rest, strlen(request->rest));
    wish.wait_ms = (uint32_t)wait_s * 1000;
    *reply->wish = wish;
    cfc_sha256_free(sha);
    /* Where connections can wait this is replaced by the frames. */
    cfc_reply_json(reply, 200, json_object());
}

/* ---- Hellos and reports -----------------------------------------------------------------------
 */

/* The body that the Authorization header vouches for; NULL: *reply is the error. */
static struct cfc_sha256 *
check_body(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_sha256 *sha;

    if (!is_ready(api, request, reply)) {
        return NULL;
    }
    sha = cfc_sha256_new();
    if (sha == NULL) {
        cfc_reply_failure(reply, CONFCAST_ERR_NO_MEMORY, NULL, NULL);
        return NULL;
    }
    if (cfc_pull_auth_check_body(request->consumer, request->body, request->body_size, sha) !=
        CONFCAST_OK) {
        cfc_sha256_free(sha);
        cfc_reply_error(reply, 401, "unauthorized", "the body is not the one that was vouched for");
        return NULL;
    }
    return sha;
}

static void
refuse_frame(struct cfc_reply *reply, int error)
{
    cfc_reply_error(reply,
                    error == CONFCAST_ERR_NO_MEMORY || error == CONFCAST_ERR_BUSY ? 503 : 400,
                    confcast_error_word(error), confcast_error_text(error));
}

void
cfc_api_post_hello(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_sha256 *sha = check_body(api, request, reply);
    int error;

    if (sha == NULL) {
        return;
    }
    cfc_sha256_free(sha);
    error = cfc_publisher_hello(api->pull->publisher, request->consumer->id,
                                (const uint8_t *)request->body, request->body_size);
    if (error != CONFCAST_OK) {
        refuse_frame(reply, error);
        return;
    }
    atomic_fetch_add(&api->pull->hellos, 1);
    cfc_reply_json(reply, 200,
                   json_pack("{sI}", "epoch", (json_int_t)cfc_service_epoch(api->service)));
}

/* One REPORT frame at the start of the bytes; *size is its size. */
static int
take_report(struct cfc_api *api, const struct cfc_request *request, struct cfc_sha256 *sha,
            const uint8_t *bytes, size_t left, size_t *size)
{
    *size = left >= 6 ? cfc_get_u16(bytes + 4) : 0;
    if (*size < CFC_FRAME_HEADER_SIZE || *size > left) {
        return CONFCAST_ERR_LENGTH;
    }
    return cfc_report_intake(api->service, sha, api->pull->auth.fleet_report_key,
                             request->consumer->id, strlen(request->consumer->id), bytes, *size,
                             request->unix_ns);
}

void
cfc_api_post_ack(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_sha256 *sha = check_body(api, request, reply);
    json_int_t taken = 0;
    int error = CONFCAST_OK;
    size_t size;

    if (sha == NULL) {
        return;
    }
    for (size_t at = 0; error == CONFCAST_OK && at < request->body_size; at += size) {
        error = take_report(api, request, sha, (const uint8_t *)request->body + at,
                            request->body_size - at, &size);
        taken += error == CONFCAST_OK;
    }
    cfc_sha256_free(sha);
    atomic_fetch_add(&api->pull->reports, (unsigned long long)taken);
    if (error != CONFCAST_OK) {
        atomic_fetch_add(&api->pull->reports_refused, 1);
        refuse_frame(reply, error);
        return;
    }
    cfc_reply_json(reply, 200, json_pack("{sI}", "taken", taken));
}

/* ---- Metrics ----------------------------------------------------------------------------------
 */

void
cfc_pull_put_metrics(struct cfc_pull *pull, FILE *out)
{
    struct cfc_pull_store_stats stats;

    cfc_pull_store_stats(pull->store, &stats);

    const struct {
        const char *name;
        const char *type;
        const char *help;
        uint64_t value;
    } series[] = {
        {"answers_total", "counter", "Snapshots asked for and answered.", stats.answers},
        {"answers_news_total", "counter", "Of them with a head.", stats.answers_news},
        {"contents_full_total", "counter", "Contents given out whole.", stats.full_sent},
        {"contents_delta_total", "counter", "Contents given out as deltas.", stats.delta_sent},
        {"content_full_bytes_total", "counter", "Bytes of frames of those given out whole.",
         stats.full_bytes},
        {"content_delta_bytes_total", "counter", "Bytes of frames of deltas.", stats.delta_bytes},
        {"codings", "gauge", "Coded contents kept.", stats.codings},
        {"coded_bytes", "gauge", "Bytes of them.", stats.coded_size},
        {"hellos_total", "counter", "Hellos taken.", atomic_load(&pull->hellos)},
        {"reports_total", "counter", "Reports taken.", atomic_load(&pull->reports)},
        {"reports_refused_total", "counter", "Reports refused.",
         atomic_load(&pull->reports_refused)},
        {"nonces_over_total", "counter", "Requests under a nonce that had ended.",
         atomic_load(&pull->nonces_over)},
    };

    for (size_t i = 0; i < sizeof(series) / sizeof(series[0]); i++) {
        fprintf(out,
                "# HELP confcast_pull_%s %s\n# TYPE confcast_pull_%s %s\nconfcast_pull_%s %llu\n",
                series[i].name, series[i].help, series[i].name, series[i].type, series[i].name,
                (unsigned long long)series[i].value);
    }
}
