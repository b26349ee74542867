/* Big bodies, made without the service's lock. */
#include <stdlib.h>

#include "confcast/error.h"
#include "controlplane/model/service_internal.h"
#include "controlplane/store/internal.h"

/* A piece of a blob under the lock: others get their turn between two. */
static int
read_part(struct cfc_service *service, const struct cfc_definition_text *text, uint64_t offset,
          struct cfc_store_value *value)
{
    uint64_t left = text->size - offset;
    uint64_t size;
    int error = cfc_service_enter(service);

    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_store_get_blob_part(service->store, &text->digest, offset, value->bytes + offset,
                                    left < CFC_STORE_BLOB_CHUNK_SIZE ? (size_t)left
                                                                     : CFC_STORE_BLOB_CHUNK_SIZE);
    if (error == CONFCAST_ERR_CORRUPT &&
        cfc_store_blob_size(service->store, &text->digest, &size) == CONFCAST_ERR_NOT_FOUND) {
        error = CONFCAST_ERR_AGAIN; /* Retention took the revision meanwhile. */
    }
    cfc_service_leave(service);
    return error;
}

static int
check_text(const struct cfc_definition_text *text, const struct cfc_store_value *value)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_digest digest;

    if (sha == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_sha256_once(sha, NULL, value->bytes, value->size, &digest);
    cfc_sha256_free(sha);
    return cfc_digest_equal(&digest, &text->digest) ? CONFCAST_OK : CONFCAST_ERR_CORRUPT;
}

static int
read_blob(void *arg, const struct cfc_definition_text *text, struct cfc_store_value *value)
{
    struct cfc_service *service = arg;
    int error = CONFCAST_OK;

    value->size = (size_t)text->size;
    value->bytes = malloc(value->size + 1);
    if (value->bytes == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    value->bytes[value->size] = 0;
    for (uint64_t offset = 0; error == CONFCAST_OK && offset < text->size;
         offset += CFC_STORE_BLOB_CHUNK_SIZE) {
        error = read_part(service, text, offset, value);
    }
    return error == CONFCAST_OK ? check_text(text, value) : error;
}

int
cfc_service_cook(struct cfc_service *service, const struct cfc_recipe *recipe,
                 struct cfc_config_body **body)
{
    int error = cfc_recipe_cook(recipe, read_blob, service, body);

    cfc_store_crash_point("recipe:cooked");
    return error;
}

int
cfc_service_serve(struct cfc_service *service, const struct cfc_recipe *recipe,
                  struct cfc_config_body **body)
{
    *body = cfc_bodies_add(service->bodies, *body);
    if (*body == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_bodies_note_recipe(service->bodies, &recipe->id, *body);
    service->has_idle_bodies = true;
    return CONFCAST_OK;
}
