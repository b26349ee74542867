/* All that a service decided, as text, so that two services can be compared. */
#ifndef CFC_TESTS_MODEL_DUMP_H
#define CFC_TESTS_MODEL_DUMP_H

#include "controlplane/model/record.h"
#include "tests/unit/model_fixture.h"

static inline void
dump_decision(FILE *out, const struct cfc_decision *decision, bool with_versions)
{
    if (with_versions) {
        fprintf(out, " version=%llu", (unsigned long long)decision->version);
    }
    fprintf(out, " kind=%s salt=%llx time=%llu", cfc_decision_kind_word(decision->kind),
            (unsigned long long)decision->salt,
            with_versions ? (unsigned long long)decision->changed_unix_ns : 0);
    fprintf(out, " activation=%d %llu confirm=%llu", (int)decision->activation,
            (unsigned long long)decision->activate_unix_ns,
            with_versions ? (unsigned long long)decision->confirm_by_unix_ns
                          : decision->confirm_by_unix_ns != 0);
    for (uint32_t i = 0; i < decision->arm_count; i++) {
        const struct cfc_decision_arm *arm = &decision->arms[i];
        char id[65];

        cfc_digest_to_hex(&arm->content->id, id);
        fprintf(out, " arm(%d %u %s=%s %s", (int)arm->selector, arm->threshold, arm->label_key,
                arm->label_value, id);
        if (arm->fallback != NULL) {
            cfc_digest_to_hex(&arm->fallback->id, id);
            fprintf(out, " fallback %s", id);
        }
        fprintf(out, " body ");
        for (size_t j = 0; j < arm->content->body_size; j++) {
            fprintf(out, "%02x", arm->content->body[j]);
        }
        fprintf(out, ")");
    }
}

/* Whose texts are not kept. */
static inline void
dump_gone(FILE *out, struct cfc_service *service, const char *scope)
{
    struct cfc_definition_meta *items;
    size_t count;

    CU_ASSERT_EQUAL_FATAL(cfc_service_history(service, scope, 0, 1000, &items, &count),
                          CONFCAST_OK);
    for (size_t i = 0; i < count; i++) {
        struct cfc_definition definition;
        int error = cfc_service_get(service, scope, items[i].revision, &definition);

        CU_ASSERT_EQUAL(error, items[i].is_gone ? CONFCAST_ERR_GONE : CONFCAST_OK);
        cfc_definition_free(&definition);
        if (items[i].is_gone) {
            fprintf(out, " gone=%llu", (unsigned long long)items[i].revision);
        }
    }
    free(items);
}

static inline void
dump_scope(FILE *out, struct cfc_service *service, const char *scope, bool with_versions)
{
    struct cfc_release_view view;
    struct cfc_definition definition;
    struct cfc_decision *decision;
    struct cfc_layers layers;

    fprintf(out, "%s", scope);
    if (cfc_service_get(service, scope, 0, &definition) == CONFCAST_OK) {
        fprintf(out, " revision=%llu%s %s", (unsigned long long)definition.meta.revision,
                definition.meta.is_tombstone ? " tombstone" : "",
                definition.text != NULL ? definition.text : "");
        cfc_definition_free(&definition);
    }
    CU_ASSERT_EQUAL(cfc_service_get_release(service, scope, &view), CONFCAST_OK);
    fprintf(out, " %s stage=%u waiting=%d active=%llu candidate=%llu previous=%llu n=%llu",
            cfc_release_state_word(view.release.state), view.release.stage_idx,
            (int)view.release.is_waiting, (unsigned long long)view.release.active_revision,
            (unsigned long long)view.release.candidate_revision,
            (unsigned long long)view.release.previous_revision,
            (unsigned long long)view.release.release_version);
    for (uint32_t i = 0; i < view.release.quarantined_count; i++) {
        fprintf(out, " quarantined=%llu", (unsigned long long)view.release.quarantined[i]);
    }
    dump_gone(out, service, scope);
    CU_ASSERT_EQUAL(cfc_service_get_layers(service, scope, &layers), CONFCAST_OK);
    for (uint32_t i = 0; i < layers.count; i++) {
        fprintf(out, " /%s", layers.scopes[i]);
    }
    if (cfc_service_decision(service, scope, &decision) == CONFCAST_OK) {
        dump_decision(out, decision, with_versions);
        cfc_decision_unref(decision);
    }
    fputc('\n', out);
}

/* The caller frees it. */
static inline char *
dump(struct cfc_service *service, bool with_versions)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    char *scopes;
    size_t count;
    const char *scope;

    CU_ASSERT_EQUAL_FATAL(cfc_service_scopes(service, &scopes, &count), CONFCAST_OK);
    scope = scopes;
    for (size_t i = 0; i < count; i++) {
        dump_scope(out, service, scope, with_versions);
        scope += strlen(scope) + 1;
    }
    free(scopes);
    fclose(out);
    return text;
}

/* Who changed what, from the last entry down, without versions.  The caller frees it. */
static inline char *
dump_audit(struct cfc_service *service)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    json_t *entries = NULL;
    json_t *entry;
    size_t i;

    CU_ASSERT_EQUAL_FATAL(cfc_service_audit(service, 0, 1000, &entries, NULL), CONFCAST_OK);
    json_array_foreach(entries, i, entry)
    {
        const char *scope = json_string_value(json_object_get(entry, "scope"));

        fprintf(out, "%lld %s %s %lld\n",
                (long long)json_integer_value(json_object_get(entry, "n")),
                json_string_value(json_object_get(entry, "action")), scope != NULL ? scope : "-",
                (long long)json_integer_value(json_object_get(entry, "revision")));
    }
    json_decref(entries);
    fclose(out);
    return text;
}

#endif
