#include "tests/sim/catalog.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/prng.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/repairs.h"
#include "protocol/snapshot/tree.h"
#include "protocol/wire/content.h"

enum {
    ENTRIES_MAX = 4096,
    KEY_SIZE = 24,
    FEC_K = 16, /* small blocks, so that small contents have several */
    REPAIR_LEAVES = 4,
    HUGE_SIZE_MIN = 512 * 1024, /* from here on as the publisher has it */
    HUGE_FEC_K = 64,
    HUGE_REPAIR_LEAVES = 8,
    KEPT_COUNT = 5
};

struct entry {
    char key[KEY_SIZE];
    uint64_t seed; /* of its value */
    uint32_t value_size;
    int layer;
};

void
sim_catalog_init(struct sim_catalog *catalog, const struct cfc_signer *signer)
{
    struct cfc_alloc alloc;

    memset(catalog, 0, sizeof(*catalog));
    alloc = sim_counter_alloc(&catalog->memory);
    catalog->sha = cfc_sha256_new();
    catalog->coder = cfc_coder_new(&alloc);
    assert(catalog->sha != NULL && catalog->coder != NULL);
    catalog->signer = signer;
    catalog->document_count = 1;
}

static void
close_coding(struct sim_coding *coding)
{
    free(coding->coded);
    free(coding->tree);
}

void
sim_catalog_close(struct sim_catalog *catalog)
{
    struct cfc_alloc alloc = sim_counter_alloc(&catalog->memory);

    for (uint32_t i = 0; i < catalog->content_count; i++) {
        struct sim_content *content = catalog->contents[i];

        cfc_free(&alloc, content->body);
        close_coding(&content->whole);
        while (content->deltas != NULL) {
            struct sim_coding *delta = content->deltas;

            content->deltas = delta->next;
            close_coding(delta);
            free(delta);
        }
        free(content);
    }
    cfc_coder_free(catalog->coder);
    cfc_sha256_free(catalog->sha);
    assert(catalog->memory.byte_count == 0);
}

uint32_t
sim_catalog_write(struct sim_catalog *catalog, enum sim_document_kind kind, uint32_t entry_count,
                  uint32_t value_size)
{
    assert(catalog->document_count < SIM_DOCUMENTS_MAX && entry_count <= ENTRIES_MAX / 2);
    catalog->documents[catalog->document_count] = (struct sim_document){.kind = kind,
                                                                        .entry_count = entry_count,
                                                                        .value_size = value_size,
                                                                        .kept_count = KEPT_COUNT};
    return catalog->document_count++;
}

/* Most keys of a document are the same in every document of its layer, most values stay the same
 * from one document to the next, and the two layers share a few keys: as configs are. */
static size_t
list_entries(const struct sim_document *document, uint32_t number, int layer, struct entry *out)
{
    for (uint32_t i = 0; i < document->entry_count; i++) {
        bool is_shared = i % 8 == 0;
        bool is_changed = i == 0 || (i + number) % document->kept_count == 0;

        snprintf(out[i].key, sizeof(out[i].key), "%s.%05" PRIu32,
                 is_shared ? "all"
                 : layer   ? "own"
                           : "tenant",
                 i);
        out[i].seed = ((uint64_t)layer << 48) + ((uint64_t)i << 16) + (is_changed ? number : 0);
        out[i].value_size = document->value_size;
        out[i].layer = layer;
    }
    return document->entry_count;
}

/* By key; the stronger layer first. */
static int
compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->key, y->key);

    return order != 0 ? order : y->layer - x->layer;
}

static void
write_value(struct cfc_body_writer *w, const struct entry *entry)
{
    static const char digits[] = "0123456789abcdef";
    char text[4096];
    struct cfc_prng g = {.state = entry->seed};

    assert(entry->value_size <= sizeof(text));
    for (uint32_t i = 0; i < entry->value_size; i++) {
        text[i] = digits[cfc_prng_below(&g, 16)];
    }
    if (entry->value_size == 0) {
        cfc_body_i64(w, (int64_t)(entry->seed % 1000));
    } else {
        cfc_body_string(w, text, entry->value_size);
    }
}

static void
build_body(struct sim_catalog *catalog, uint32_t tenant_document, uint32_t own_document,
           bool is_reversed, uint8_t **body, size_t *size)
{
    static struct entry entries[ENTRIES_MAX];
    struct cfc_alloc alloc = sim_counter_alloc(&catalog->memory);
    struct cfc_body_writer w;
    size_t count = 0;
    int rc;

    if (tenant_document != SIM_NO_DOCUMENT) {
        count += list_entries(&catalog->documents[tenant_document], tenant_document, 0, entries);
    }
    if (own_document != SIM_NO_DOCUMENT) {
        count += list_entries(&catalog->documents[own_document], own_document, 1, entries + count);
    }
    for (size_t i = 0; is_reversed && i < count / 2; i++) {
        struct entry swapped = entries[i];

        entries[i] = entries[count - 1 - i];
        entries[count - 1 - i] = swapped;
    }
    qsort(entries, count, sizeof(entries[0]), compare_entries);
    cfc_body_writer_init(&w, &alloc);
    cfc_body_begin_object(&w);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(entries[i - 1].key, entries[i].key) == 0) {
            continue;
        }
        cfc_body_key(&w, entries[i].key, strlen(entries[i].key));
        write_value(&w, &entries[i]);
    }
    cfc_body_end(&w);
    rc = cfc_body_finish(&w, body, size);
    assert(rc == CONFCAST_OK);
}

static enum sim_document_kind
worse(enum sim_document_kind a, enum sim_document_kind b)
{
    return a > b ? a : b;
}

/* Builds the tree and signs CONTENT. */
static void
announce(struct sim_catalog *catalog, const struct sim_content *content, uint16_t number,
         struct sim_coding *coding)
{
    struct cfc_content wire = {.coding = number,
                               .encoding = (uint8_t)coding->encoding,
                               .fec_code = CFC_FEC_RS_CAUCHY,
                               .fec_k = FEC_K,
                               .repair_leaves = REPAIR_LEAVES,
                               .symbol_size = CFC_SYMBOL_SIZE_DEFAULT,
                               .body_size = content->body_size,
                               .coded_size = coding->coded_size,
                               .content = content->id};
    struct cfc_tree tree;
    uint8_t *repairs;
    int rc;

    if (coding->base != NULL) {
        wire.base = coding->base->id;
    }
    if (coding->coded_size >= HUGE_SIZE_MIN) {
        wire.fec_k = HUGE_FEC_K;
        wire.repair_leaves = HUGE_REPAIR_LEAVES;
    }
    rc = cfc_tree_init(&tree, &wire);
    assert(rc == CONFCAST_OK);
    coding->tree_size = cfc_tree_digests_size(&tree);
    coding->tree = sim_alloc(coding->tree_size);
    repairs = sim_alloc(cfc_repairs_size(&tree));
    cfc_repairs_build(&tree, coding->coded, repairs);
    cfc_tree_build(&tree, catalog->sha, coding->coded, repairs, coding->tree);
    free(repairs);
    wire.page_levels = (uint8_t)tree.level_count;
    wire.top_count = (uint8_t)tree.top_count;
    wire.top_digests = coding->tree + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE;
    rc = cfc_content_encode(&wire, catalog->signer, coding->frame, sizeof(coding->frame),
                            &coding->frame_size);
    assert(rc == CONFCAST_OK);
}

static void
encode_whole(struct sim_catalog *catalog, struct sim_content *content)
{
    struct sim_coding *whole = &content->whole;
    size_t capacity = cfc_coding_bound(content->body_size);
    int rc;

    whole->coded = sim_alloc(capacity);
    rc = cfc_coding_encode(catalog->coder, content->body, content->body_size, whole->coded,
                           capacity, &whole->coded_size, &whole->encoding);
    assert(rc == CONFCAST_OK);
    content->is_inline = whole->coded_size <= SIM_INLINE_SIZE_MAX;
    announce(catalog, content, 0, whole);
}

const struct sim_coding *
sim_catalog_delta(struct sim_catalog *catalog, const struct sim_content *content,
                  const struct sim_content *base)
{
    struct sim_content *owner = NULL;
    size_t capacity = cfc_coding_bound(content->body_size);
    struct sim_coding *delta;
    uint16_t number = 1;
    int rc;

    for (uint32_t i = 0; i < catalog->content_count; i++) {
        owner = catalog->contents[i] == content ? catalog->contents[i] : owner;
    }
    assert(owner != NULL);
    for (delta = owner->deltas; delta != NULL; delta = delta->next) {
        if (delta->base == base) {
            return delta;
        }
        number++;
    }
    delta = sim_alloc(sizeof(*delta));
    delta->base = base;
    delta->encoding = CFC_ENCODING_ZSTD_DELTA;
    delta->coded = sim_alloc(capacity);
    rc = cfc_coding_encode_delta(catalog->coder, base->body, base->body_size, content->body,
                                 content->body_size, delta->coded, capacity, &delta->coded_size);
    assert(rc == CONFCAST_OK);
    if (delta->coded_size > content->whole.coded_size / 2) {
        close_coding(delta);
        free(delta);
        return NULL;
    }
    announce(catalog, content, number, delta);
    delta->next = owner->deltas;
    owner->deltas = delta;
    return delta;
}

const struct sim_content *
sim_catalog_content(struct sim_catalog *catalog, uint32_t tenant_document, uint32_t own_document)
{
    struct sim_content *content;

    for (uint32_t i = 0; i < catalog->content_count; i++) {
        if (catalog->contents[i]->tenant_document == tenant_document &&
            catalog->contents[i]->own_document == own_document) {
            return catalog->contents[i];
        }
    }
    assert(catalog->content_count < SIM_CONTENTS_MAX);
    content = sim_alloc(sizeof(*content));
    content->tenant_document = tenant_document;
    content->own_document = own_document;
    content->kind =
        worse(catalog->documents[tenant_document].kind, catalog->documents[own_document].kind);
    build_body(catalog, tenant_document, own_document, false, &content->body, &content->body_size);
    if (content->kind == SIM_DOCUMENT_BROKEN) {
        content->body[0] ^= 0x55;
    }
    cfc_content_id(catalog->sha, content->body, content->body_size, &content->id);
    content->key = cfc_digest_key(&content->id);
    encode_whole(catalog, content);
    catalog->contents[catalog->content_count++] = content;
    return content;
}

const struct sim_content *
sim_catalog_find(const struct sim_catalog *catalog, const struct cfc_digest *id)
{
    for (uint32_t i = 0; i < catalog->content_count; i++) {
        if (cfc_digest_equal(&catalog->contents[i]->id, id)) {
            return catalog->contents[i];
        }
    }
    return NULL;
}

bool
sim_catalog_recompute(struct sim_catalog *catalog, const struct sim_content *content)
{
    struct cfc_alloc alloc = sim_counter_alloc(&catalog->memory);
    struct cfc_digest id;
    uint8_t *body;
    size_t size;

    if (content->kind == SIM_DOCUMENT_BROKEN) {
        return true;
    }
    build_body(catalog, content->tenant_document, content->own_document, true, &body, &size);
    cfc_content_id(catalog->sha, body, size, &id);
    cfc_free(&alloc, body);
    return cfc_digest_equal(&id, &content->id);
}
