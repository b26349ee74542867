/* Effective config, and why it has a value. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/handlers.h"

enum {
    LOSER_TEXT_MAX = 64 * 1024 /* bytes of a value that did not win; longer ones are left out */
};

static void
reply_effective(struct cfc_api *api, const struct cfc_request *request, bool wants_candidate,
                struct cfc_reply *reply)
{
    struct cfc_effective effective = {0};
    json_t *meta = json_object();
    int rc = cfc_service_effective(api->service, request->rest, wants_candidate, &effective);

    if (rc != CONFCAST_OK) {
        json_decref(meta);
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    if (!cfc_api_set(meta, "scope", json_string(request->rest)) ||
        !cfc_api_set(meta, "version", json_integer((json_int_t)effective.version)) ||
        !cfc_api_set(meta, "content", cfc_api_digest_json(&effective.content_id)) ||
        !cfc_api_set(meta, "variant",
                     json_string(effective.is_candidate ? "candidate" : "stable"))) {
        json_decref(meta);
        meta = NULL;
    }
    cfc_reply_document(reply, meta, effective.text, effective.text_size);
    cfc_effective_free(&effective);
}

/* ---- Why ---------------------------------------------------------------------------------------
 * Values go in as they are, in their canonical form, which jansson would not print; so the answer
 * is written by hand, its members sorted like those of all answers. */

static void
write_string(FILE *out, const char *text, size_t size)
{
    json_t *string = json_stringn(text, size);

    json_dumpf(string, out, JSON_ENCODE_ANY);
    json_decref(string);
}

static void
write_value(FILE *out, const char *text, size_t size, size_t size_max)
{
    if (text != NULL && size <= size_max) {
        fwrite(text, 1, size, out);
    } else {
        fputs("null", out);
    }
}

/* An answer under way. */
struct why {
    struct cfc_api *api;
    const struct cfc_request *request;
    const char *pointer;
    struct cfc_explanation explanation;
};

/* What lost is not in the effective config: reading it takes the right to read its layer. */
static bool
may_read(const struct why *why, const char *layer)
{
    struct cfc_reply refusal = {0};
    bool may = cfc_api_require(why->api, why->request, CFC_RIGHT_READ, layer, &refusal);

    cfc_reply_clear(&refusal);
    return may;
}

/* {at, candidate, effect, found, hidden, layer, revision, size, state, value} */
static void
write_layer(FILE *out, const struct why *why, const struct cfc_explained_layer *layer)
{
    bool is_hidden = !may_read(why, layer->scope);

    fputs("{\"at\":", out);
    write_string(out, why->pointer, layer->at_size);
    fprintf(out, ",\"candidate\":%s,\"effect\":\"%s\",\"found\":%s,\"hidden\":%s,\"layer\":",
            layer->is_candidate ? "true" : "false", cfc_explain_effect_word(layer->effect),
            layer->text != NULL ? "true" : "false", is_hidden ? "true" : "false");
    write_string(out, layer->scope, strlen(layer->scope));
    fprintf(out, ",\"revision\":%llu,\"size\":%zu,\"state\":\"%s\",\"value\":",
            (unsigned long long)layer->revision, layer->text_size,
            cfc_release_state_word(layer->state));
    write_value(out, is_hidden ? NULL : layer->text, layer->text_size, LOSER_TEXT_MAX);
    fputc('}', out);
}

/* Those whose word counts for less, the strongest first. */
static void
write_losers(FILE *out, const struct why *why)
{
    const struct cfc_explanation *explanation = &why->explanation;
    const char *separator = "";

    for (int i = explanation->winner_idx - 1; i >= 0; i--) {
        if (explanation->layers[i].effect != CFC_EXPLAIN_NONE) {
            fputs(separator, out);
            write_layer(out, why, &explanation->layers[i]);
            separator = ",";
        }
    }
}

static void
write_why(FILE *out, const struct why *why)
{
    const struct cfc_explanation *explanation = &why->explanation;
    const char *scope = why->request->rest;

    fprintf(out, "{\"found\":%s,\"losers\":[", explanation->text != NULL ? "true" : "false");
    write_losers(out, why);
    fputs("],\"pointer\":", out);
    write_string(out, why->pointer, strlen(why->pointer));
    fputs(",\"scope\":", out);
    write_string(out, scope, strlen(scope));
    fputs(",\"value\":", out);
    write_value(out, explanation->text, explanation->text_size, SIZE_MAX);
    fprintf(out, ",\"variant\":\"%s\",\"version\":%llu,\"winner\":",
            explanation->is_candidate ? "candidate" : "stable",
            (unsigned long long)explanation->version);
    if (explanation->winner_idx >= 0) {
        write_layer(out, why, &explanation->layers[explanation->winner_idx]);
    } else {
        fputs("null", out);
    }
    fputc('}', out);
}

static void
reply_why(struct cfc_api *api, const struct cfc_request *request, bool wants_candidate,
          const char *pointer, struct cfc_reply *reply)
{
    struct why why = {.api = api, .request = request, .pointer = pointer};
    char *text = NULL;
    size_t size = 0;
    FILE *out;
    int rc = cfc_service_explain(api->service, request->rest, wants_candidate, pointer,
                                 &why.explanation);

    if (rc != CONFCAST_OK) {
        cfc_reply_failure(
            reply, rc,
            rc == CONFCAST_ERR_INVALID
                ? "explain: a JSON Pointer is empty or begins with a slash, and has ~ "
                  "only in ~0 and ~1"
                : NULL,
            NULL);
        return;
    }
    out = open_memstream(&text, &size);
    if (out != NULL) {
        write_why(out, &why);
        if (fclose(out) != 0) {
            free(text);
            text = NULL;
        }
    }
    cfc_explanation_free(&why.explanation);
    cfc_reply_text(reply, "application/json", text, size);
}

void
cfc_api_get_effective(struct cfc_api *api, const struct cfc_request *request,
                      struct cfc_reply *reply)
{
    const char *variant = cfc_target_param(&request->target, "variant");
    const char *pointer = cfc_target_param(&request->target, "explain");
    bool wants_candidate = variant != NULL && strcmp(variant, "candidate") == 0;

    if (variant != NULL && !wants_candidate && strcmp(variant, "stable") != 0) {
        cfc_reply_error(reply, 400, "invalid", "variant: stable or candidate");
    } else if (pointer != NULL) {
        reply_why(api, request, wants_candidate, pointer, reply);
    } else {
        reply_effective(api, request, wants_candidate, reply);
    }
}
