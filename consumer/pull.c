#include "consumer/pull.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"

static void
enter(struct cfc_pull *p, enum cfc_pull_state state)
{
    p->state = state;
}

void
cfc_pull_init(struct cfc_pull *p, const struct cfc_pull_config *config)
{
    memset(p, 0, sizeof(*p));
    p->config = *config;
    p->prng.state = config->seed;
    enter(p, CFC_PULL_STATE_IDLE);
}

/* Doubles with the tries; half of it is random. */
static uint64_t
back_off_ns(struct cfc_pull *p, uint8_t tries)
{
    uint64_t spacing_ns = p->config.retry_ns
                          << (tries < CFC_PULL_DOUBLINGS_MAX ? tries : CFC_PULL_DOUBLINGS_MAX);

    if (spacing_ns > p->config.retry_max_ns) {
        spacing_ns = p->config.retry_max_ns;
    }
    return spacing_ns / 2 + cfc_prng_below(&p->prng, spacing_ns / 2 + 1);
}

static uint8_t
one_more(uint8_t tries)
{
    return tries < CFC_PULL_DOUBLINGS_MAX ? (uint8_t)(tries + 1) : tries;
}

void
cfc_pull_start(struct cfc_pull *p, uint64_t spread_ns, uint64_t now_ns)
{
    if (p->state != CFC_PULL_STATE_IDLE) {
        return;
    }
    p->tries = 0;
    p->was_unauthorized = false;
    p->at_ns = now_ns + cfc_prng_below(&p->prng, spread_ns + 1);
    for (uint32_t i = 0; i < p->scope_count; i++) {
        p->scopes[i].tries = 0;
        p->scopes[i].at_ns = now_ns;
        p->scopes[i].is_quick = true;
    }
    enter(p, CFC_PULL_STATE_GREETING);
}

void
cfc_pull_stop(struct cfc_pull *p)
{
    enter(p, CFC_PULL_STATE_IDLE);
}

void
cfc_pull_set_scopes(struct cfc_pull *p, uint32_t count, uint64_t now_ns)
{
    assert(count <= CFC_RECEIVER_SCOPES_MAX);
    for (; p->scope_count < count; p->scope_count++) {
        p->scopes[p->scope_count] = (struct cfc_pull_scope){.is_quick = true, .at_ns = now_ns};
    }
}

void
cfc_pull_hurry(struct cfc_pull *p, uint32_t scope_idx, uint64_t now_ns)
{
    struct cfc_pull_scope *scope = &p->scopes[scope_idx];

    if (scope->tries == 0 && scope->at_ns > now_ns) {
        scope->at_ns = now_ns;
    }
}

static bool
is_long(const struct cfc_pull *p)
{
    return p->scope_count <= CFC_PULL_LONG_MAX;
}

/* The scope whose turn has been for longest; NULL for none. */
static struct cfc_pull_scope *
due_scope(struct cfc_pull *p, uint64_t now_ns)
{
    struct cfc_pull_scope *first = NULL;

    for (uint32_t i = 0; i < p->scope_count; i++) {
        struct cfc_pull_scope *scope = &p->scopes[i];

        if (!scope->is_busy && scope->at_ns <= now_ns &&
            (first == NULL || scope->at_ns < first->at_ns)) {
            first = scope;
        }
    }
    return first;
}

int
cfc_pull_next(struct cfc_pull *p, bool is_report_due, uint64_t now_ns, struct cfc_pull_job *job)
{
    struct cfc_pull_scope *scope;

    if (p->state == CFC_PULL_STATE_IDLE || now_ns < p->at_ns) {
        return CONFCAST_ERR_AGAIN;
    }
    *job = (struct cfc_pull_job){.url_idx = p->url_idx, .begin_ns = now_ns};
    memcpy(job->nonce, p->nonce, sizeof(job->nonce));
    if (p->state == CFC_PULL_STATE_GREETING) {
        job->kind = CFC_PULL_HELLO;
        if (p->is_greeting) {
            return CONFCAST_ERR_AGAIN;
        }
        p->is_greeting = true;
        return CONFCAST_OK;
    }
    scope = p->busy_count < CFC_PULL_LONG_MAX ? due_scope(p, now_ns) : NULL;
    if (scope != NULL) {
        job->kind = CFC_PULL_SNAPSHOT;
        job->scope_idx = (uint32_t)(scope - p->scopes);
        job->wait_s = is_long(p) && !scope->is_quick ? (uint32_t)(p->config.wait_ns / CFC_S) : 0;
        scope->is_busy = true;
        p->busy_count++;
        return CONFCAST_OK;
    }
    if (is_report_due && !p->is_acking) {
        job->kind = CFC_PULL_ACK;
        p->is_acking = true;
        return CONFCAST_OK;
    }
    return CONFCAST_ERR_AGAIN;
}

/* Nothing goes for a while, and then to the next control plane.  Requests that fail together count
 * once. */
static void
fail(struct cfc_pull *p, const struct cfc_pull_job *job, uint32_t retry_s, uint64_t now_ns)
{
    uint64_t wait_ns;

    if (p->state == CFC_PULL_STATE_IDLE || job->begin_ns < p->at_ns) {
        return;
    }
    wait_ns = back_off_ns(p, p->tries);
    if (wait_ns < retry_s * CFC_S) {
        wait_ns = retry_s * CFC_S + back_off_ns(p, 0);
    }
    p->at_ns = now_ns + wait_ns;
    p->tries = one_more(p->tries);
    p->url_idx = (p->url_idx + 1) % p->config.url_count;
    enter(p, CFC_PULL_STATE_GREETING);
}

/* A nonce ended with its time or its control plane: one more try is free. */
static void
renew(struct cfc_pull *p, const struct cfc_pull_job *job, const struct cfc_pull_outcome *outcome,
      uint64_t now_ns)
{
    if (memcmp(job->nonce, p->nonce, sizeof(job->nonce)) != 0) {
        return; /* another answer has brought a newer one */
    }
    if (!outcome->has_nonce || p->was_unauthorized) {
        fail(p, job, outcome->retry_s, now_ns);
        return;
    }
    memcpy(p->nonce, outcome->nonce, sizeof(p->nonce));
    p->was_unauthorized = true;
    if (p->state != CFC_PULL_STATE_IDLE) {
        enter(p, CFC_PULL_STATE_GREETING);
    }
}

static void
on_snapshot(struct cfc_pull *p, const struct cfc_pull_job *job,
            const struct cfc_pull_outcome *outcome, uint64_t now_ns)
{
    struct cfc_pull_scope *scope = &p->scopes[job->scope_idx];
    bool was_short = now_ns - job->begin_ns < job->wait_s * CFC_S / 2;

    if (outcome->is_lacking || (was_short && !outcome->is_progress)) {
        scope->at_ns = now_ns + back_off_ns(p, scope->tries);
        scope->tries = one_more(scope->tries);
        scope->is_quick = true;
        return;
    }
    if (job->wait_s > 0 || outcome->is_progress || !is_long(p)) {
        scope->tries = 0; /* one that did not wait shows nothing of the server's patience */
    }
    scope->is_quick = false;
    scope->at_ns = now_ns;
    if (!is_long(p)) {
        scope->at_ns += p->config.wait_ns - p->config.wait_ns / 8 +
                        cfc_prng_below(&p->prng, p->config.wait_ns / 8);
    }
}

bool
cfc_pull_done(struct cfc_pull *p, const struct cfc_pull_job *job,
              const struct cfc_pull_outcome *outcome, uint64_t now_ns)
{
    bool is_current = job->url_idx == p->url_idx;

    if (job->kind == CFC_PULL_HELLO) {
        p->is_greeting = false;
    } else if (job->kind == CFC_PULL_ACK) {
        p->is_acking = false;
    } else {
        p->scopes[job->scope_idx].is_busy = false;
        p->busy_count--;
    }
    if (outcome->status == 401 && is_current) {
        renew(p, job, outcome, now_ns);
    } else if (outcome->status != 200) {
        if (job->kind == CFC_PULL_SNAPSHOT) {
            p->scopes[job->scope_idx].is_quick = true;
        }
        fail(p, job, outcome->retry_s, now_ns);
    }
    if (outcome->status != 200) {
        return false;
    }
    if (is_current && outcome->has_nonce) {
        memcpy(p->nonce, outcome->nonce, sizeof(p->nonce));
    }
    if (is_current && job->kind == CFC_PULL_SNAPSHOT) {
        /* A HELLO that is taken where snapshots are not must not begin the waits anew. */
        p->tries = 0;
        p->was_unauthorized = false;
    }
    if (job->kind == CFC_PULL_SNAPSHOT) {
        on_snapshot(p, job, outcome, now_ns);
    }
    if (job->kind == CFC_PULL_HELLO && p->state == CFC_PULL_STATE_GREETING && is_current) {
        enter(p, CFC_PULL_STATE_POLLING);
        return true;
    }
    return false;
}

uint64_t
cfc_pull_deadline(const struct cfc_pull *p, uint64_t report_due_ns)
{
    uint64_t due_ns = CFC_NEVER;

    if (p->state == CFC_PULL_STATE_IDLE) {
        return CFC_NEVER;
    }
    if (p->state == CFC_PULL_STATE_GREETING) {
        return p->is_greeting ? CFC_NEVER : p->at_ns;
    }
    for (uint32_t i = 0; p->busy_count < CFC_PULL_LONG_MAX && i < p->scope_count; i++) {
        const struct cfc_pull_scope *scope = &p->scopes[i];

        if (!scope->is_busy && scope->at_ns < due_ns) {
            due_ns = scope->at_ns;
        }
    }
    if (!p->is_acking && report_due_ns < due_ns) {
        due_ns = report_due_ns;
    }
    return due_ns > p->at_ns ? due_ns : p->at_ns;
}
