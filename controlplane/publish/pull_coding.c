#include "controlplane/publish/pull_coding.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/wire/content.h"

enum stage {
    STAGE_CONTENT,
    STAGE_PAGES,
    STAGE_SYMBOLS,
    STAGE_OVER
};

static uint16_t
coding_number(const struct cfc_config_body *base)
{
    return base == NULL ? CFC_PULL_CODING_FULL
                        : (uint16_t)(CFC_PULL_CODING_FULL + 1 + cfc_digest_key(&base->id) % 0x7fff);
}

static int
code(struct cfc_pull_coding *c, struct cfc_coder *coder, const struct cfc_config_body *body,
     const struct cfc_config_body *base, enum cfc_encoding *encoding)
{
    size_t capacity = cfc_coding_bound(body->body_size);
    uint8_t *fitted;
    int error;

    c->coded = malloc(capacity);
    if (c->coded == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (base != NULL) {
        *encoding = CFC_ENCODING_ZSTD_DELTA;
        error = cfc_coding_encode_delta(coder, base->body, base->body_size, body->body,
                                        body->body_size, c->coded, capacity, &c->coded_size);
    } else {
        error = cfc_coding_encode(coder, body->body, body->body_size, c->coded, capacity,
                                  &c->coded_size, encoding);
    }
    if (error == CONFCAST_OK) {
        fitted = realloc(c->coded, c->coded_size);
        c->coded = fitted != NULL ? fitted : c->coded;
    }
    return error;
}

static void
measure(struct cfc_pull_coding *c)
{
    const struct cfc_geometry *g = &c->tree.geometry;

    c->wire_size =
        c->frame_size + c->coded_size + (uint64_t)g->symbol_count * CFC_SYMBOL_HEADER_SIZE;
    for (uint32_t level = 0; level < c->tree.level_count; level++) {
        for (uint32_t page = 0; page < g->page_counts[level]; page++) {
            c->wire_size += CFC_PAGE_HEADER_SIZE + (uint64_t)CFC_SHORT_DIGEST_SIZE *
                                                       cfc_tree_page_digests(&c->tree, level, page);
        }
    }
}

static int
announce(struct cfc_pull_coding *c, const struct cfc_pull_coding_config *config,
         struct cfc_sha256 *sha, struct cfc_content *content)
{
    int error = cfc_tree_init(&c->tree, content);

    if (error != CONFCAST_OK) {
        return error;
    }
    content->page_levels = (uint8_t)c->tree.level_count;
    content->top_count = (uint8_t)c->tree.top_count;
    c->digests = malloc(cfc_tree_digests_size(&c->tree));
    if (c->digests == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_tree_build(&c->tree, sha, c->coded, NULL, c->digests);
    content->top_digests =
        c->digests + (size_t)cfc_tree_top_offset(&c->tree) * CFC_SHORT_DIGEST_SIZE;
    error =
        cfc_content_encode(content, &config->signer, c->frame, sizeof(c->frame), &c->frame_size);
    measure(c);
    return error;
}

int
cfc_pull_coding_new(const struct cfc_pull_coding_config *config, struct cfc_coder *coder,
                    struct cfc_sha256 *sha, const struct cfc_config_body *body,
                    const struct cfc_config_body *base, struct cfc_pull_coding **out)
{
    struct cfc_pull_coding *c = calloc(1, sizeof(*c));
    enum cfc_encoding encoding = CFC_ENCODING_RAW;
    struct cfc_content content;
    int error;

    *out = NULL;
    if (c == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    atomic_init(&c->ref_count, 1);
    c->id = body->id;
    error = code(c, coder, body, base, &encoding);
    if (error == CONFCAST_OK) {
        content = (struct cfc_content){.coding = coding_number(base),
                                       .encoding = (uint8_t)encoding,
                                       .fec_code = CFC_FEC_NONE,
                                       .fec_k = CFC_BLOCK_SYMBOLS_MAX,
                                       .body_size = body->body_size,
                                       .coded_size = c->coded_size,
                                       .symbol_size = CFC_SYMBOL_SIZE_MAX,
                                       .shard = config->shard,
                                       .content = body->id};
        if (base != NULL) {
            content.base = base->id;
            c->base = base->id;
        }
        error = announce(c, config, sha, &content);
    }
    if (error != CONFCAST_OK) {
        cfc_pull_coding_unref(c);
        return error;
    }
    *out = c;
    return CONFCAST_OK;
}

struct cfc_pull_coding *
cfc_pull_coding_ref(struct cfc_pull_coding *c)
{
    atomic_fetch_add(&c->ref_count, 1);
    return c;
}

void
cfc_pull_coding_unref(struct cfc_pull_coding *c)
{
    if (c != NULL && atomic_fetch_sub(&c->ref_count, 1) == 1) {
        free(c->coded);
        free(c->digests);
        free(c);
    }
}

size_t
cfc_pull_coding_memory(const struct cfc_pull_coding *c)
{
    return sizeof(*c) + c->coded_size + cfc_tree_digests_size(&c->tree);
}

static void
write_page(const struct cfc_pull_coding *c, uint32_t level, uint32_t idx, uint8_t *frame,
           size_t *size)
{
    struct cfc_page page = {
        .coding = c->tree.content.coding,
        .level = (uint8_t)level,
        .index = idx,
        .digest_count = (uint8_t)cfc_tree_page_digests(&c->tree, level, idx),
        .digests =
            c->digests + (size_t)cfc_tree_page_offset(&c->tree, level, idx) * CFC_SHORT_DIGEST_SIZE,
    };

    /* The longest page is far below the largest frame. */
    (void)cfc_page_encode(cfc_digest_key(&c->id), &page, frame, CFC_FRAME_SIZE_MAX, size);
}

static void
write_symbol(const struct cfc_pull_coding *c, uint32_t idx, uint8_t *frame, size_t *size)
{
    size_t at = (size_t)idx * CFC_SYMBOL_SIZE_MAX;
    size_t left = c->coded_size - at;
    size_t payload = left < CFC_SYMBOL_SIZE_MAX ? left : CFC_SYMBOL_SIZE_MAX;

    cfc_symbol_header(cfc_digest_key(&c->id), c->tree.content.coding, idx / CFC_BLOCK_SYMBOLS_MAX,
                      (uint16_t)(idx % CFC_BLOCK_SYMBOLS_MAX), payload, frame);
    memcpy(frame + CFC_SYMBOL_HEADER_SIZE, c->coded + at, payload);
    *size = CFC_SYMBOL_HEADER_SIZE + payload;
}

int
cfc_pull_coding_next(const struct cfc_pull_coding *c, struct cfc_pull_walk *walk, uint8_t *frame,
                     size_t *size)
{
    const struct cfc_geometry *g = &c->tree.geometry;

    if (walk->stage == STAGE_CONTENT) {
        memcpy(frame, c->frame, c->frame_size);
        *size = c->frame_size;
        *walk = (struct cfc_pull_walk){.stage = STAGE_PAGES, .level = c->tree.level_count - 1};
        return CONFCAST_OK;
    }
    if (walk->stage == STAGE_PAGES) {
        write_page(c, walk->level, walk->idx, frame, size);
        if (++walk->idx == g->page_counts[walk->level]) {
            walk->idx = 0;
            walk->stage = walk->level == 0 ? STAGE_SYMBOLS : STAGE_PAGES;
            walk->level -= walk->level > 0;
        }
        return CONFCAST_OK;
    }
    if (walk->stage == STAGE_SYMBOLS && walk->idx < g->symbol_count) {
        write_symbol(c, walk->idx++, frame, size);
        return CONFCAST_OK;
    }
    walk->stage = STAGE_OVER;
    return CONFCAST_ERR_AGAIN;
}
