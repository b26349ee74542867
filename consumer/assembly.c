#include "consumer/assembly.h"

#include <stdlib.h>

#include "confcast/error.h"
#include "protocol/snapshot/coding.h"

enum {
    BODY_SIZE_MIN = 128 << 10, /* below it all is done at once */
    LATE_SIZE_MAX = 16 << 20,  /* of the body, digested beside symbols to come: those of a burst */
};

struct cfc_assembly {
    struct cfc_coder *coder;
    struct cfc_sha256 *sha;
    bool is_on;
    bool is_broken;      /* this collection is left to others */
    uint64_t collection; /* of the last part; 0 = none yet */
    struct cfc_loaded *base;
    size_t coded_done;
    uint8_t *body;
    size_t body_size;
    size_t body_done;
    struct cfc_index_pass *pass;
};

struct cfc_assembly *
cfc_assembly_new(void)
{
    struct cfc_assembly *a = calloc(1, sizeof(*a));

    if (a == NULL) {
        return NULL;
    }
    a->coder = cfc_coder_new(&cfc_consumer_heap);
    a->sha = cfc_sha256_new();
    if (a->coder == NULL || a->sha == NULL) {
        cfc_assembly_free(a);
        return NULL;
    }
    return a;
}

void
cfc_assembly_reset(struct cfc_assembly *a)
{
    cfc_sha256_begin(a->sha, NULL); /* nothing of the body is late any more */
    cfc_index_abandon(a->pass);
    cfc_free(&cfc_consumer_heap, a->body);
    cfc_loaded_unref(a->base);
    a->pass = NULL;
    a->body = NULL;
    a->base = NULL;
    a->is_on = false;
    a->collection = 0;
}

void
cfc_assembly_free(struct cfc_assembly *a)
{
    if (a != NULL) {
        if (a->sha != NULL) {
            cfc_assembly_reset(a);
        }
        cfc_coder_free(a->coder);
        cfc_sha256_free(a->sha);
        free(a);
    }
}

static int
begin(struct cfc_assembly *a, const struct cfc_receiver_part *part, struct cfc_loaded *base)
{
    a->body = cfc_alloc(&cfc_consumer_heap, part->body_size);
    if (a->body == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    a->is_on = true;
    a->base = base != NULL ? cfc_loaded_ref(base) : NULL;
    a->body_size = part->body_size;
    a->body_done = 0;
    a->coded_done = 0;
    a->pass = cfc_index_begin(a->body, a->body_size, cfc_index_seed(), &cfc_consumer_heap);
    if (a->pass == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_content_id_begin(a->sha);
    return cfc_coding_begin(a->coder, (enum cfc_encoding)part->encoding, part->coded_size,
                            base != NULL ? base->body : NULL, base != NULL ? base->body_size : 0,
                            a->body, a->body_size);
}

/* Digests what was decoded: at once, or beside the symbols that are still to come, as far as there
 * are that many. */
static void
digest(struct cfc_assembly *a, size_t from, size_t coded_left, struct cfc_sha256 *beside)
{
    size_t late_max = coded_left < LATE_SIZE_MAX ? coded_left : LATE_SIZE_MAX;

    if (beside == NULL) {
        cfc_sha256_add(a->sha, a->body + from, a->body_done - from);
    } else {
        cfc_sha256_add_beside(a->sha, a->body + from, a->body_done - from, beside, late_max);
    }
}

/* Decodes up to `size` coded bytes. */
static int
go_on(struct cfc_assembly *a, const uint8_t *coded, size_t size, size_t coded_size,
      struct cfc_sha256 *beside)
{
    size_t before = a->body_done;
    int error =
        cfc_coding_add(a->coder, coded + a->coded_done, size - a->coded_done, &a->body_done);

    if (error != CONFCAST_OK) {
        return error;
    }
    a->coded_done = size;
    digest(a, before, coded_size - size, beside);
    error = cfc_index_step(a->pass, a->body_done);
    return error == CONFCAST_ERR_AGAIN ? CONFCAST_OK : error;
}

bool
cfc_assembly_take(struct cfc_assembly *a, const struct cfc_receiver_part *part,
                  struct cfc_loaded *base)
{
    int error = CONFCAST_OK;

    if (part->collection != a->collection) {
        cfc_assembly_reset(a);
        a->collection = part->collection;
        a->is_broken = part->body_size < BODY_SIZE_MIN;
    }
    if (a->is_broken || part->size == 0 || (a->is_on && part->size <= a->coded_done)) {
        return false;
    }
    if (!a->is_on) {
        error = begin(a, part, base);
    }
    if (error == CONFCAST_OK) {
        size_t left = part->size - a->coded_done;

        left = left < CFC_ASSEMBLY_PIECE_MAX ? left : CFC_ASSEMBLY_PIECE_MAX;
        error = go_on(a, part->bytes, a->coded_done + left, part->coded_size, part->sha);
    }
    if (error != CONFCAST_OK) {
        cfc_assembly_reset(a);
        a->collection = part->collection;
        a->is_broken = true;
    }
    return a->is_on && a->coded_done < part->size;
}

/* Takes the body away from `a` in any case. */
static int
finish(struct cfc_assembly *a, const struct cfc_receiver_event *event, struct cfc_loaded **out)
{
    struct cfc_digest id;
    struct cfc_index index;
    uint8_t *body;
    int error = CONFCAST_OK;

    if (a->coded_done < event->size) {
        error = go_on(a, event->bytes, event->size, event->size, NULL);
    }
    if (error == CONFCAST_OK) {
        error = cfc_coding_end(a->coder);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_sha256_end(a->sha, &id);
    if (!cfc_digest_equal(&id, &event->content)) {
        return CONFCAST_ERR_DIGEST;
    }
    error = cfc_index_end(a->pass, &index);
    a->pass = NULL;
    if (error != CONFCAST_OK) {
        return error;
    }
    body = a->body;
    a->body = NULL;
    return cfc_loaded_take(body, a->body_size, &id, &index, out);
}

int
cfc_assembly_finish(struct cfc_assembly *a, const struct cfc_receiver_event *event,
                    struct cfc_loaded **out)
{
    int error = CONFCAST_ERR_NOT_FOUND;

    *out = NULL;
    if (a->collection == event->collection) {
        if (a->is_on) {
            error = finish(a, event, out);
        }
        cfc_assembly_reset(a);
    }
    return error == CONFCAST_OK ? CONFCAST_OK : CONFCAST_ERR_NOT_FOUND;
}
