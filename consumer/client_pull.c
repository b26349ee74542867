#include "consumer/client_pull.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consumer/client.h"
#include "consumer/pull.h"
#include "consumer/pull_http.h"
#include "protocol/base/endian.h"
#include "protocol/base/time.h"

enum {
    WAIT_MS_DEFAULT = 10000,
    WAIT_MS_MAX = 60000,
    AFTER_MS_DEFAULT = 10000,
    AFTER_MS_MIN = 100,
    AFTER_MS_MAX = 3600000,
    LONGEST_FACTOR = 30, /* times pull_after_ms: something lacks although symbols come */
    STAY_DOUBLINGS_MAX = 5,
    BAD_FRAMES_MAX = 64,   /* refused ones of one answer, until the rest is not read */
    OTHER_FRAMES_MAX = 64, /* those of one answer that are no pages and symbols: FRESH, HEAD and a
                              CONTENT for each that a head may name are ten */
    TARGET_SIZE_MAX = 2048,
    ACK_SIZE_MAX = 64 * 1024,
};

#define RETRY_NS     (500 * CFC_MS)
#define RETRY_MAX_NS (60 * CFC_S)
#define CHECK_NS     (100 * CFC_MS) /* between looks at how multicast does */
#define HEARD_NS     (3 * CFC_S)    /* FRESH by multicast is expected once a second */
#define STAY_NS      (10 * CFC_S)   /* the shortest time of pulling */
#define SOON_NS      (600 * CFC_S)  /* beginning again within it doubles that */

/* An answer under way. */
struct transfer {
    struct cfc_pull_job job;
    uint64_t report_seq; /* ACK */
    uint64_t accepted;   /* SNAPSHOT: when it began */
    uint64_t symbols;
    uint32_t bad_count;
    uint32_t other_count;
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    size_t frame_size; /* bytes of it that are here */
};

struct cfc_client_pull {
    struct confcast *client;
    struct cfc_pull machine;
    struct cfc_pull_http *http;
    struct cfc_sha256 *sha;
    enum confcast_pull mode;
    uint64_t after_ns;
    uint64_t wait_ns;
    bool is_on;
    bool is_failing; /* told */
    struct transfer transfers[CFC_PULL_HTTP_MAX];
    struct cfc_client_pull_stats stats;

    /* How multicast does. */
    uint64_t checked_ns;
    uint64_t heard_ns;       /* the last FRESH by multicast that was taken; 0 = none */
    uint64_t heard_since_ns; /* without a gap */
    uint64_t symbols;        /* at the last look */
    uint64_t symbols_ns;     /* when they were others */
    uint64_t on_ns, off_ns;  /* when it began and ended last */
    uint8_t stay_doublings;
    uint64_t held_up_ns[CFC_RECEIVER_SCOPES_MAX]; /* since when; 0 = it is not */
};

/* ---- What comes -------------------------------------------------------------------------------
 */

/* A whole frame; false when the rest of the answer is not worth reading. */
static bool
feed(struct cfc_client_pull *p, struct transfer *t)
{
    struct confcast *client = p->client;
    struct cfc_now now = cfc_client_now();
    bool is_other = t->frame[3] != CFC_FRAME_PAGE && t->frame[3] != CFC_FRAME_SYMBOL;
    int code = cfc_receiver_on_pulled(client->receiver, t->frame, t->frame_size, &now);

    client->is_pulled = true; /* what comes of it is told from the rest */
    cfc_client_drain_events(client);
    client->is_pulled = false;
    if (code == CONFCAST_ERR_AUTHORITY) {
        cfc_fleet_watch_stranger(client);
    }
    t->other_count += is_other;
    if (t->other_count > OTHER_FRAMES_MAX) {
        return false;
    }
    switch (code) {
    case CONFCAST_OK:
        return true;
    case CONFCAST_ERR_SHORT:
    case CONFCAST_ERR_VERSION:
    case CONFCAST_ERR_LENGTH:
    case CONFCAST_ERR_LIMIT:
        return false;
    default:
        return ++t->bad_count < BAD_FRAMES_MAX;
    }
}

/* Frames follow each other; each says its size. */
static bool
on_bytes(void *arg, uint32_t slot, const uint8_t *bytes, size_t size)
{
    struct cfc_client_pull *p = arg;
    struct transfer *t = &p->transfers[slot];

    if (t->job.kind != CFC_PULL_SNAPSHOT) {
        return true;
    }
    p->stats.bytes += size;
    while (size > 0) {
        size_t wanted = CFC_FRAME_HEADER_SIZE;
        size_t step;

        if (t->frame_size >= CFC_FRAME_HEADER_SIZE) {
            wanted = cfc_get_u16(t->frame + 4);
            if (wanted < CFC_FRAME_HEADER_SIZE || wanted > CFC_FRAME_SIZE_MAX) {
                return false;
            }
        }
        step = wanted - t->frame_size < size ? wanted - t->frame_size : size;
        memcpy(t->frame + t->frame_size, bytes, step);
        t->frame_size += step;
        bytes += step;
        size -= step;
        if (t->frame_size > CFC_FRAME_HEADER_SIZE && t->frame_size == wanted) {
            if (!feed(p, t)) {
                return false;
            }
            t->frame_size = 0;
        }
    }
    return true;
}

static uint64_t
symbol_count(const struct confcast *client)
{
    const struct cfc_receiver_stats *stats = cfc_receiver_stats(client->receiver);

    return stats->symbols + stats->symbols_decoded + stats->contents;
}

static uint64_t
accepted_of(const struct confcast *client, uint32_t scope_idx)
{
    struct cfc_receiver_scope scope;

    return cfc_receiver_scope(client->receiver, scope_idx, &scope) == CONFCAST_OK
               ? scope.entry.accepted
               : 0;
}

static void
say_failure(struct cfc_client_pull *p, const struct transfer *t,
            const struct cfc_pull_http_result *result)
{
    const char *url = p->client->fleet->pull_urls[t->job.url_idx];

    if (p->is_failing) {
        return; /* told, until it works again */
    }
    p->is_failing = true;
    if (result->status != 0) {
        cfc_client_say(p->client, 1, "pull was refused url=%s status=%u", url, result->status);
    } else {
        cfc_client_say(p->client, 1, "pull failed url=%s error=%s text=\"%s\"", url,
                       confcast_error_word(result->code), result->text);
    }
}

static void
on_done(void *arg, uint32_t slot, const struct cfc_pull_http_result *result)
{
    struct cfc_client_pull *p = arg;
    struct confcast *client = p->client;
    struct transfer *t = &p->transfers[slot];
    struct cfc_now now = cfc_client_now();
    struct cfc_pull_outcome outcome = {
        .status = result->status, .retry_s = result->retry_s, .has_nonce = result->has_nonce};
    struct cfc_receiver_need need;

    memcpy(outcome.nonce, result->nonce, sizeof(outcome.nonce));
    if (t->job.kind == CFC_PULL_SNAPSHOT && outcome.status == 200 && t->frame_size > 0) {
        outcome.status = 0; /* it ends within a frame */
    }
    if (outcome.status == 200) {
        p->stats.requests++;
        p->is_failing = false;
        cfc_receiver_pull_ended(client->receiver, true, &now);
    } else if (p->is_on && (outcome.status != 401 || p->machine.was_unauthorized)) {
        p->stats.failures++;
        cfc_receiver_pull_ended(client->receiver, false, &now);
        say_failure(p, t, result);
    }
    if (t->job.kind == CFC_PULL_SNAPSHOT &&
        cfc_receiver_need(client->receiver, t->job.scope_idx, &need) == CONFCAST_OK) {
        outcome.is_lacking = need.is_lacking;
        outcome.is_progress = accepted_of(client, t->job.scope_idx) != t->accepted ||
                              symbol_count(client) != t->symbols;
    }
    if (t->job.kind == CFC_PULL_ACK && outcome.status == 200) {
        cfc_receiver_report_taken(client->receiver, t->report_seq, &now);
    }
    if (cfc_pull_done(&p->machine, &t->job, &outcome, now.mono_ns)) {
        cfc_receiver_report_again(client->receiver, &now);
    }
}

/* ---- What goes --------------------------------------------------------------------------------
 */

static void
write_target(struct cfc_client_pull *p, const struct cfc_pull_job *job, char *target)
{
    struct cfc_receiver_need need = {.have_count = 0};
    const struct confcast_scope *scope = p->client->scopes[job->scope_idx];
    size_t size;

    (void)cfc_receiver_need(p->client->receiver, job->scope_idx, &need);
    size = (size_t)snprintf(target, TARGET_SIZE_MAX, "/v1/snapshot/%s?after=%llu&wait_s=%u",
                            scope->path, (unsigned long long)need.after, job->wait_s);
    for (uint32_t i = 0; i < need.have_count; i++) {
        size +=
            (size_t)snprintf(target + size, TARGET_SIZE_MAX - size, "%s", i == 0 ? "&have=" : ",");
        cfc_pull_hex_write(need.have[i].bytes, sizeof(need.have[i].bytes), target + size);
        size += 2 * sizeof(need.have[i].bytes);
    }
}

/* All parts of the report that is due. */
static int
write_reports(struct cfc_client_pull *p, uint8_t *body, size_t *body_size, uint64_t *seq)
{
    struct cfc_now now = cfc_client_now();
    int code = CONFCAST_OK;

    *body_size = 0;
    while (code == CONFCAST_OK && *body_size + CFC_FRAME_SIZE_MAX <= ACK_SIZE_MAX) {
        size_t size = 0;

        code = cfc_receiver_poll_report(p->client->receiver, &now, body + *body_size,
                                        CFC_FRAME_SIZE_MAX, &size, seq);
        *body_size += code == CONFCAST_OK ? size : 0;
    }
    return *body_size > 0 ? CONFCAST_OK : code;
}

static int
send_job(struct cfc_client_pull *p, const struct cfc_pull_job *job, const char *method,
         const char *target, const uint8_t *body, size_t body_size, uint32_t *slot)
{
    const struct cfc_credential *credential = p->client->credential;
    const char *base = p->client->fleet->pull_urls[job->url_idx];
    struct cfc_pull_auth auth = {.id = ""};
    char authorization[CFC_PULL_AUTH_TEXT_MAX];
    char url[CFC_FLEET_URL_SIZE_MAX + TARGET_SIZE_MAX];
    size_t base_size = strlen(base);
    struct cfc_pull_http_request request = {.url = url,
                                            .authorization = authorization,
                                            .body = body,
                                            .body_size = body_size,
                                            .wait_ms = job->wait_s * 1000};

    while (base_size > 0 && base[base_size - 1] == '/') {
        base_size--;
    }
    snprintf(url, sizeof(url), "%.*s%s", (int)base_size, base, target);
    memcpy(auth.id, credential->id, strlen(credential->id) + 1);
    memcpy(auth.nonce, job->nonce, sizeof(auth.nonce));
    cfc_pull_auth_make(&auth, &credential->report_key, method, target,
                       body != NULL ? body : (const uint8_t *)"", body_size, p->sha);
    cfc_pull_auth_write(&auth, authorization);
    return cfc_pull_http_start(p->http, &request, slot);
}

static void
begin(struct cfc_client_pull *p, const struct cfc_pull_job *job)
{
    struct confcast *client = p->client;
    struct cfc_pull_outcome failed = {.status = 0};
    struct cfc_now now = cfc_client_now();
    static const char *const targets[] = {
        [CFC_PULL_HELLO] = "/v1/hello", [CFC_PULL_ACK] = "/v1/ack"};
    char target[TARGET_SIZE_MAX];
    uint8_t hello[CFC_FRAME_SIZE_MAX];
    uint8_t *body = NULL;
    size_t body_size = 0;
    uint64_t report_seq = 0;
    uint32_t slot = 0;
    int code = CONFCAST_OK;

    if (job->kind == CFC_PULL_SNAPSHOT) {
        write_target(p, job, target);
        code = send_job(p, job, "GET", target, NULL, 0, &slot);
    } else if (job->kind == CFC_PULL_HELLO) {
        code = cfc_receiver_write_hello(client->receiver, hello, sizeof(hello), &body_size);
        if (code == CONFCAST_OK) {
            code = send_job(p, job, "POST", targets[job->kind], hello, body_size, &slot);
        }
    } else {
        body = malloc(ACK_SIZE_MAX);
        code =
            body != NULL ? write_reports(p, body, &body_size, &report_seq) : CONFCAST_ERR_NO_MEMORY;
        if (code == CONFCAST_OK) {
            code = send_job(p, job, "POST", targets[job->kind], body, body_size, &slot);
        }
        free(body);
    }
    if (code != CONFCAST_OK) {
        cfc_client_say(client, 1, "pull cannot be sent error=%s", confcast_error_word(code));
        cfc_receiver_pull_ended(client->receiver, false, &now);
        (void)cfc_pull_done(&p->machine, job, &failed, now.mono_ns);
        return;
    }
    p->transfers[slot].job = *job;
    p->transfers[slot].report_seq = report_seq;
    p->transfers[slot].accepted = accepted_of(client, job->scope_idx);
    p->transfers[slot].symbols = symbol_count(client);
    p->transfers[slot].bad_count = 0;
    p->transfers[slot].other_count = 0;
    p->transfers[slot].frame_size = 0;
}

static bool
is_report_due(const struct cfc_client_pull *p, uint64_t now_ns)
{
    return cfc_receiver_report_due(p->client->receiver) <= now_ns;
}

/* ---- Beside multicast -------------------------------------------------------------------------
 */

static void
turn_on(struct cfc_client_pull *p, const struct cfc_now *now)
{
    enum cfc_pull_mode mode = p->mode == CONFCAST_PULL_ONLY ? CFC_PULL_ONLY : CFC_PULL_BESIDE;

    p->is_on = true;
    p->on_ns = now->mono_ns;
    if (p->off_ns != 0 && now->mono_ns - p->off_ns < SOON_NS) {
        p->stay_doublings += p->stay_doublings < STAY_DOUBLINGS_MAX;
    } else {
        p->stay_doublings = 0;
    }
    cfc_receiver_set_pull(p->client->receiver, mode, p->wait_ns, now);
    cfc_pull_start(&p->machine, 0, now->mono_ns);
}

static void
turn_off(struct cfc_client_pull *p, const struct cfc_now *now)
{
    p->is_on = false;
    p->off_ns = now->mono_ns;
    memset(p->held_up_ns, 0, sizeof(p->held_up_ns));
    cfc_pull_stop(&p->machine);
    cfc_pull_http_cancel(p->http);
    cfc_receiver_set_pull(p->client->receiver, CFC_PULL_OFF, 0, now);
    cfc_client_say(p->client, 2, "multicast works again, pulling ends");
}

/* The bounds differ from consumer to consumer, by up to a half, so that a fleet does not come as
 * one. */
static uint64_t
spread(const struct cfc_client_pull *p, uint64_t bound_ns)
{
    return bound_ns + bound_ns / 2 * (p->machine.config.seed % 1024) / 1024;
}

static bool
is_multicast_of_no_help(struct cfc_client_pull *p, uint64_t now_ns)
{
    struct confcast *client = p->client;
    uint64_t symbols = symbol_count(client);
    bool is_stuck = false;

    if (symbols != p->symbols || p->symbols_ns == 0) {
        p->symbols = symbols;
        p->symbols_ns = now_ns;
    }
    for (uint32_t i = 0; i < client->scope_count; i++) {
        struct cfc_receiver_need need;
        uint64_t since_ns;

        if (!cfc_receiver_is_held_up(client->receiver, i)) {
            p->held_up_ns[i] = 0;
            continue;
        }
        if (p->held_up_ns[i] == 0) {
            p->held_up_ns[i] = now_ns;
        }
        (void)cfc_receiver_need(client->receiver, i, &need);
        since_ns = p->held_up_ns[i];
        if (need.is_lacking && p->symbols_ns > since_ns) {
            since_ns = p->symbols_ns; /* something comes */
        }
        is_stuck = is_stuck || now_ns - since_ns >= spread(p, p->after_ns) ||
                   now_ns - p->held_up_ns[i] >= spread(p, LONGEST_FACTOR * p->after_ns);
    }
    return is_stuck;
}

static bool
does_multicast_suffice(const struct cfc_client_pull *p, uint64_t now_ns)
{
    uint64_t stay_ns = (STAY_NS < p->after_ns ? STAY_NS : p->after_ns) << p->stay_doublings;
    struct cfc_receiver_need need;

    if (now_ns - p->on_ns < stay_ns || p->heard_ns == 0 || now_ns - p->heard_ns > HEARD_NS ||
        now_ns - p->heard_since_ns < HEARD_NS) {
        return false;
    }
    for (uint32_t i = 0; i < p->client->scope_count; i++) {
        if (cfc_receiver_need(p->client->receiver, i, &need) == CONFCAST_OK && need.is_lacking) {
            return false;
        }
    }
    return true;
}

static void
look(struct cfc_client_pull *p, const struct cfc_now *now)
{
    bool is_advised = cfc_receiver_is_pull_advised(p->client->receiver, now);

    if (p->mode == CONFCAST_PULL_ONLY || now->mono_ns - p->checked_ns < CHECK_NS) {
        return;
    }
    p->checked_ns = now->mono_ns;
    if (!p->is_on && (is_advised || is_multicast_of_no_help(p, now->mono_ns))) {
        cfc_client_say(p->client, 1, "%s, pulling begins",
                       is_advised ? "the engine advises to pull" : "multicast does not help");
        turn_on(p, now);
    } else if (p->is_on && !is_advised && does_multicast_suffice(p, now->mono_ns)) {
        turn_off(p, now);
    }
}

void
cfc_client_pull_heard(struct confcast *client, const uint8_t *frame, uint64_t mono_ns)
{
    struct cfc_client_pull *p = client->pull;

    if (p == NULL || frame[3] != CFC_FRAME_FRESH) {
        return;
    }
    if (p->heard_ns == 0 || mono_ns - p->heard_ns > HEARD_NS) {
        p->heard_since_ns = mono_ns;
    }
    p->heard_ns = mono_ns;
}

/* ---- Life -------------------------------------------------------------------------------------
 */

static int
check_options(const struct confcast *client, const struct confcast_options *options)
{
    bool is_tuned = options->pull_ca_file != NULL || options->pull_cert_file != NULL ||
                    options->pull_key_file != NULL || options->pull_wait_ms != 0 ||
                    options->pull_after_ms != 0;

    if (options->pull > CONFCAST_PULL_OFF ||
        (options->pull_cert_file != NULL) != (options->pull_key_file != NULL) ||
        (options->pull_wait_ms != 0 &&
         (options->pull_wait_ms < 1000 || options->pull_wait_ms > WAIT_MS_MAX)) ||
        (options->pull_after_ms != 0 &&
         (options->pull_after_ms < AFTER_MS_MIN || options->pull_after_ms > AFTER_MS_MAX)) ||
        (options->pull == CONFCAST_PULL_OFF && is_tuned) ||
        (options->pull == CONFCAST_PULL_ONLY && client->fleet->pull_url_count == 0)) {
        return CONFCAST_ERR_INVALID;
    }
    return CONFCAST_OK;
}

static int
open_parts(struct cfc_client_pull *p, const struct confcast_options *options, uint64_t seed)
{
    uint64_t content_max =
        options->content_size_max != 0 ? options->content_size_max : CFC_BODY_SIZE_MAX;
    struct cfc_pull_http_config http = {
        .ca_file = options->pull_ca_file,
        .cert_file = options->pull_cert_file,
        .key_file = options->pull_key_file,
        /* Every content that a head may name, with what goes around it. */
        .size_max = 2 * CFC_ARM_COUNT_MAX * (content_max + content_max / 64) + (UINT64_C(1) << 20),
        .on_bytes = on_bytes,
        .on_done = on_done,
        .arg = p};
    struct cfc_pull_config machine = {.url_count = p->client->fleet->pull_url_count,
                                      .wait_ns = p->wait_ns,
                                      .retry_ns = RETRY_NS,
                                      .retry_max_ns = RETRY_MAX_NS,
                                      .seed = seed};

    cfc_pull_init(&p->machine, &machine);
    p->sha = cfc_sha256_new();
    return p->sha != NULL ? cfc_pull_http_open(&http, &p->http) : CONFCAST_ERR_NO_MEMORY;
}

int
cfc_client_pull_open(struct confcast *client, const struct confcast_options *options)
{
    struct cfc_client_pull *p;
    struct cfc_now now = cfc_client_now();
    int error = check_options(client, options);

    if (error != CONFCAST_OK || options->pull == CONFCAST_PULL_OFF ||
        client->fleet->pull_url_count == 0) {
        return error;
    }
    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    p->client = client;
    p->mode = (enum confcast_pull)options->pull;
    p->wait_ns = (options->pull_wait_ms != 0 ? options->pull_wait_ms : WAIT_MS_DEFAULT) * CFC_MS;
    p->after_ns =
        (options->pull_after_ms != 0 ? options->pull_after_ms : AFTER_MS_DEFAULT) * CFC_MS;
    client->pull = p; /* from here on closed with the client */
    error = open_parts(p, options, cfc_client_random());
    if (error == CONFCAST_OK && p->mode == CONFCAST_PULL_ONLY) {
        turn_on(p, &now);
    }
    return error;
}

void
cfc_client_pull_close(struct confcast *client)
{
    struct cfc_client_pull *p = client->pull;

    if (p != NULL) {
        cfc_pull_http_close(p->http);
        cfc_sha256_free(p->sha);
        free(p);
        client->pull = NULL;
    }
}

void
cfc_client_pull_abandon(struct confcast *client)
{
    if (client->pull != NULL) {
        cfc_pull_http_abandon(client->pull->http);
    }
}

void
cfc_client_pull_run(struct confcast *client)
{
    struct cfc_client_pull *p = client->pull;
    struct cfc_now now = cfc_client_now();
    struct cfc_pull_job job;

    if (p == NULL) {
        return;
    }
    look(p, &now);
    cfc_pull_set_scopes(&p->machine, client->scope_count, now.mono_ns);
    cfc_pull_http_run(p->http, now.mono_ns);
    while (cfc_pull_next(&p->machine, is_report_due(p, now.mono_ns), now.mono_ns, &job) ==
           CONFCAST_OK) {
        begin(p, &job);
        now = cfc_client_now();
    }
}

int
cfc_client_pull_fd(const struct confcast *client)
{
    return client->pull != NULL ? cfc_pull_http_fd(client->pull->http) : -1;
}

uint64_t
cfc_client_pull_deadline(const struct confcast *client)
{
    const struct cfc_client_pull *p = client->pull;
    uint64_t deadline_ns;
    uint64_t http_ns;

    if (p == NULL) {
        return CFC_NEVER;
    }
    deadline_ns = cfc_pull_deadline(&p->machine, cfc_receiver_report_due(client->receiver));
    http_ns = cfc_pull_http_deadline(p->http);
    return http_ns < deadline_ns ? http_ns : deadline_ns;
}

void
cfc_client_pull_stats(const struct confcast *client, struct cfc_client_pull_stats *out)
{
    memset(out, 0, sizeof(*out));
    if (client->pull != NULL) {
        *out = client->pull->stats;
        out->is_pulling = client->pull->is_on;
    }
}
