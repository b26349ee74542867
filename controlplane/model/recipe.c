#include "controlplane/model/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/json/json_check.h"
#include "controlplane/json/json_merge.h"
#include "controlplane/json/json_parse.h"

#define RECIPE_DOMAIN "confcast/v1/recipe"

void
cfc_recipe_seal(struct cfc_recipe *recipe, struct cfc_sha256 *sha)
{
    for (uint32_t i = 0; i < recipe->count; i++) {
        struct cfc_definition_text *text = &recipe->parts[i].text;

        if (text->value.bytes != NULL) {
            cfc_sha256_once(sha, NULL, text->value.bytes, text->value.size, &text->digest);
        }
    }
    cfc_sha256_begin(sha, RECIPE_DOMAIN);
    for (uint32_t i = 0; i < recipe->count; i++) {
        cfc_sha256_add(sha, recipe->parts[i].text.digest.bytes,
                       sizeof(recipe->parts[i].text.digest.bytes));
    }
    cfc_sha256_end(sha, &recipe->id);
}

void
cfc_recipe_free(struct cfc_recipe *recipe)
{
    for (uint32_t i = 0; i < recipe->count; i++) {
        cfc_store_value_free(&recipe->parts[i].text.value);
    }
    recipe->count = 0;
    recipe->size = 0;
}

/* ---- Merging ----------------------------------------------------------------------------------
 */

int
cfc_merging_take(struct cfc_merging *merging, const json_t *doc)
{
    struct cfc_json_nulls nulls;

    if (merging->first == NULL && merging->merged == NULL) {
        cfc_json_find_nulls(doc, &nulls);
        if (nulls.count == 0) {
            merging->first = json_incref((json_t *)(uintptr_t)doc);
            return CONFCAST_OK;
        }
    }
    if (merging->first != NULL) {
        merging->merged = json_deep_copy(merging->first);
        json_decref(merging->first);
        merging->first = NULL;
        if (merging->merged == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    return cfc_json_merge_patch(&merging->merged, doc);
}

int
cfc_merging_finish(struct cfc_merging *merging, const json_t **root, uint8_t **bytes, size_t *size)
{
    if (merging->first == NULL && merging->merged == NULL) {
        merging->merged = json_object();
    }
    *root = merging->first != NULL ? merging->first : merging->merged;
    return *root != NULL ? cfc_json_to_body(*root, bytes, size) : CONFCAST_ERR_NO_MEMORY;
}

void
cfc_merging_free(struct cfc_merging *merging)
{
    json_decref(merging->first);
    json_decref(merging->merged);
}

int
cfc_config_body_make(const struct cfc_digest *id, const json_t *root, const uint8_t *bytes,
                     size_t size, struct cfc_config_body **body)
{
    int error = cfc_json_check_body(root, bytes, size);

    if (error != CONFCAST_OK) {
        return error;
    }
    *body = malloc(sizeof(**body) + size);
    if (*body == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    atomic_init(&(*body)->ref_count, 1);
    (*body)->id = *id;
    (*body)->body_size = size;
    memcpy((*body)->body, bytes, size);
    return CONFCAST_OK;
}

/* ---- Cooking ----------------------------------------------------------------------------------
 */

static int
take_text(struct cfc_merging *merging, const struct cfc_store_value *text)
{
    json_t *root = NULL;
    int error = cfc_json_parse_canonical((const char *)text->bytes, text->size, &root);

    if (error != CONFCAST_OK) {
        return error == CONFCAST_ERR_NO_MEMORY ? error : CONFCAST_ERR_CORRUPT;
    }
    error = cfc_merging_take(merging, root);
    json_decref(root);
    return error;
}

static int
take_part(struct cfc_merging *merging, const struct cfc_recipe_part *part, cfc_recipe_read_fn read,
          void *arg)
{
    struct cfc_store_value text = {0};
    int error;

    if (part->root != NULL) {
        return cfc_merging_take(merging, part->root);
    }
    if (part->text.value.bytes != NULL) {
        return take_text(merging, &part->text.value);
    }
    error = read(arg, &part->text, &text);
    if (error == CONFCAST_OK) {
        error = take_text(merging, &text);
    }
    cfc_store_value_free(&text);
    return error;
}

int
cfc_recipe_cook(const struct cfc_recipe *recipe, cfc_recipe_read_fn read, void *arg,
                struct cfc_config_body **body)
{
    struct cfc_merging merging = {.first = NULL};
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_digest id;
    const json_t *root;
    uint8_t *bytes = NULL;
    size_t size = 0;
    int error = sha != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;

    for (uint32_t i = 0; error == CONFCAST_OK && i < recipe->count; i++) {
        error = take_part(&merging, &recipe->parts[i], read, arg);
    }
    if (error == CONFCAST_OK) {
        error = cfc_merging_finish(&merging, &root, &bytes, &size);
    }
    if (error == CONFCAST_OK) {
        cfc_content_id(sha, bytes, size, &id);
        error = cfc_config_body_make(&id, root, bytes, size, body);
    }
    free(bytes);
    cfc_merging_free(&merging);
    cfc_sha256_free(sha);
    return error;
}
