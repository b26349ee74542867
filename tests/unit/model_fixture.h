/* A service on a store in memory, and one-line ways to use it in tests. */
#ifndef CFC_TESTS_MODEL_FIXTURE_H
#define CFC_TESTS_MODEL_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/service.h"
#include "controlplane/store/store.h"
#include "tests/unit/cunit_main.h"

#define T0 UINT64_C(1700000000000000000)

struct model {
    struct cfc_store *store; /* a fault wrapper around a store in memory */
    struct cfc_service *service;
    struct cfc_refusal refusal;   /* of the last change */
    struct cfc_put_result put;    /* of the last put or delete */
    struct cfc_release_view view; /* of the last release action */
    uint64_t now;
    const char *key; /* idempotency key of the next changes; NULL = none */
};

static inline struct cfc_change
by_ann(struct model *m)
{
    return (struct cfc_change){
        .author = "ann", .message = "why", .idempotency_key = m->key, .unix_ns = m->now += 1000};
}

static inline void
model_open(struct model *m)
{
    struct cfc_store *inner;

    memset(m, 0, sizeof(*m));
    m->now = T0;
    CU_ASSERT_EQUAL_FATAL(cfc_store_mem_open(&inner), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_store_fault_open(inner, &m->store), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m->store, NULL, &m->service), CONFCAST_OK);
}

/* Closes the service and opens a new one on the same store. */
static inline void
model_reopen(struct model *m)
{
    cfc_service_close(m->service);
    CU_ASSERT_EQUAL_FATAL(cfc_service_open(m->store, NULL, &m->service), CONFCAST_OK);
}

static inline void
model_close(struct model *m)
{
    cfc_service_close(m->service);
    cfc_store_close(m->store);
}

static inline int
put_text(struct model *m, const char *scope, const char *text)
{
    struct cfc_change change = by_ann(m);
    struct cfc_put put = {.scope = scope, .text = text, .text_size = strlen(text)};

    return cfc_service_put(m->service, &change, &put, &m->put, &m->refusal);
}

static inline int
put_expecting(struct model *m, const char *scope, const char *text, uint64_t revision)
{
    struct cfc_change change = by_ann(m);
    struct cfc_put put = {.scope = scope,
                          .text = text,
                          .text_size = strlen(text),
                          .has_expected_revision = true,
                          .expected_revision = revision};

    return cfc_service_put(m->service, &change, &put, &m->put, &m->refusal);
}

static inline int
delete_scope(struct model *m, const char *scope)
{
    struct cfc_change change = by_ann(m);

    return cfc_service_delete(m->service, &change, scope, false, 0, &m->put, &m->refusal);
}

static inline int
release(struct model *m, const char *scope, enum cfc_release_action action, uint64_t revision,
        const char *strategy)
{
    struct cfc_change change = by_ann(m);
    struct cfc_release_order order = {
        .scope = scope, .action = action, .revision = revision, .strategy = strategy};

    return cfc_service_release(m->service, &change, &order, &m->view, &m->refusal);
}

/* The latest revision, by a plan. */
static inline int
promote_by(struct model *m, const char *scope, const char *strategy, struct cfc_release_plan plan)
{
    struct cfc_change change = by_ann(m);
    struct cfc_release_order order = {
        .scope = scope, .action = CFC_ACTION_PROMOTE, .strategy = strategy, .plan = plan};

    return cfc_service_release(m->service, &change, &order, &m->view, &m->refusal);
}

static inline int
promote(struct model *m, const char *scope)
{
    return release(m, scope, CFC_ACTION_PROMOTE, 0, NULL);
}

static inline int
canary(struct model *m, const char *scope, const char *strategy)
{
    return release(m, scope, CFC_ACTION_PROMOTE, 0, strategy);
}

static inline int
act(struct model *m, const char *scope, enum cfc_release_action action)
{
    return release(m, scope, action, 0, NULL);
}

/* Puts and promotes to all. */
static inline int
publish(struct model *m, const char *scope, const char *text)
{
    int error = put_text(m, scope, text);

    return error == CONFCAST_OK ? promote(m, scope) : error;
}

static inline int
set_layers(struct model *m, const char *scope, const char *const *layers, size_t count)
{
    struct cfc_change change = by_ann(m);
    struct cfc_layers result;

    return cfc_service_set_layers(m->service, &change, scope, layers, count, false, 0, &result,
                                  &m->refusal);
}

static inline int
follow(struct model *m, const char *scope)
{
    struct cfc_change change = by_ann(m);

    return cfc_service_follow(m->service, &change, scope);
}

/* The effective text of an arm, or the word of the error; static. */
static inline const char *
effective_arm(struct model *m, const char *scope, bool wants_candidate)
{
    static char text[4096];
    struct cfc_effective effective;
    int error = cfc_service_effective(m->service, scope, wants_candidate, &effective);

    snprintf(text, sizeof(text), "%s",
             error == CONFCAST_OK ? effective.text : confcast_error_word(error));
    cfc_effective_free(&effective);
    return text;
}

static inline const char *
effective(struct model *m, const char *scope)
{
    return effective_arm(m, scope, false);
}

static inline const char *
candidate(struct model *m, const char *scope)
{
    return effective_arm(m, scope, true);
}

/* The version in force; 0 = none. */
static inline uint64_t
version(struct model *m, const char *scope)
{
    struct cfc_decision *decision;
    uint64_t found = 0;

    if (cfc_service_decision(m->service, scope, &decision) == CONFCAST_OK) {
        found = decision->version;
        cfc_decision_unref(decision);
    }
    return found;
}

/* The next decision's "scope@version kind"; "" when none waits; static. */
static inline const char *
polled(struct model *m)
{
    static char text[CFC_SCOPE_SIZE_MAX + 64];
    struct cfc_decision *decision;

    if (cfc_service_poll_decision(m->service, &decision) != CONFCAST_OK) {
        return "";
    }
    snprintf(text, sizeof(text), "%s@%llu %s", decision->scope,
             (unsigned long long)decision->version, cfc_decision_kind_word(decision->kind));
    cfc_decision_unref(decision);
    return text;
}

static inline void
drain(struct model *m)
{
    while (polled(m)[0] != '\0') {
    }
}

#endif
