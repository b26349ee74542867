#include "controlplane/publish/coded_draft.h"

#include <stdlib.h>

#include "confcast/error.h"
#include "controlplane/publish/likeness.h"
#include "protocol/snapshot/repairs.h"
#include "protocol/snapshot/tree.h"
#include "protocol/wire/content.h"

enum {
    REPAIR_LEAVES = 8,
    REPAIR_LEAVES_MIN = 2,
};

/* Leaves of repair symbols: what a sender may send unasked and every receiver can check.  A content
 * of few symbols does not pay for more of them than it has itself. */
static uint8_t
repair_leaves(uint32_t symbol_count)
{
    if (symbol_count >= REPAIR_LEAVES) {
        return REPAIR_LEAVES;
    }
    return symbol_count > REPAIR_LEAVES_MIN ? (uint8_t)symbol_count : REPAIR_LEAVES_MIN;
}

/* Builds the tree and signs the CONTENT frame. */
static int
announce(const struct cfc_coded_set_config *config, const struct cfc_draft_desk *desk,
         struct cfc_draft *draft)
{
    struct cfc_coded *coded = draft->coded;
    struct cfc_content content = {
        .coding = coded->coding,
        .encoding = coded->encoding,
        .fec_code = CFC_FEC_RS_CAUCHY,
        .fec_k = CFC_BLOCK_SYMBOLS_MAX,
        .body_size = coded->body_size,
        .coded_size = coded->coded_size,
        .symbol_size = (uint16_t)config->symbol_size,
        .shard = config->shard,
        .content = coded->id,
        .base = coded->base,
    };
    struct cfc_tree tree;
    uint8_t *repairs;
    int error = cfc_tree_init(&tree, &content);

    if (error != CONFCAST_OK) {
        return error;
    }
    content.repair_leaves = repair_leaves(tree.geometry.symbol_count);
    error = cfc_tree_init(&tree, &content);
    if (error != CONFCAST_OK) {
        return error;
    }
    content.page_levels = (uint8_t)tree.level_count;
    content.top_count = (uint8_t)tree.top_count;
    coded->tree_size = cfc_tree_digests_size(&tree);
    draft->digests = malloc(coded->tree_size);
    repairs = malloc(cfc_repairs_size(&tree));
    if (draft->digests == NULL || repairs == NULL) {
        free(repairs);
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_repairs_build(&tree, draft->bytes, repairs);
    cfc_tree_build(&tree, desk->sha, draft->bytes, repairs, draft->digests);
    free(repairs);
    content.top_digests =
        draft->digests + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE;
    return cfc_content_encode(&content, &config->signer, coded->frame, sizeof(coded->frame),
                              &coded->frame_size);
}

static int
encode(const struct cfc_draft_desk *desk, struct cfc_draft *draft, size_t capacity)
{
    const struct cfc_config_body *body = draft->body;
    const struct cfc_config_body *base = draft->base;
    struct cfc_coded *coded = draft->coded;
    enum cfc_encoding encoding = CFC_ENCODING_ZSTD_DELTA;
    int error;

    if (base != NULL &&
        !cfc_likeness_is_worth(base->body, base->body_size, body->body, body->body_size)) {
        return CONFCAST_ERR_AGAIN;
    }
    if (base == NULL) {
        error = cfc_coding_encode(desk->coder, body->body, body->body_size, draft->bytes, capacity,
                                  &coded->coded_size, &encoding);
    } else {
        coded->base = base->id;
        error =
            cfc_coding_encode_delta(desk->coder, base->body, base->body_size, body->body,
                                    body->body_size, draft->bytes, capacity, &coded->coded_size);
    }
    coded->encoding = (uint8_t)encoding;
    return error;
}

static bool
is_worth_it(const struct cfc_draft *draft)
{
    return draft->whole == NULL ||
           draft->coded->coded_size <= draft->whole->coded_size / CFC_CODED_DELTA_PART;
}

int
cfc_draft_code(const struct cfc_coded_set_config *config, const struct cfc_draft_desk *desk,
               struct cfc_draft *draft)
{
    const struct cfc_config_body *body = draft->body;
    size_t capacity = cfc_coding_bound(body->body_size);
    int error;

    draft->coded = calloc(1, sizeof(*draft->coded));
    draft->bytes = malloc(capacity);
    if (draft->coded == NULL || draft->bytes == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    draft->coded->id = body->id;
    draft->coded->body_size = body->body_size;
    draft->coded->coding = draft->coding;
    error = encode(desk, draft, capacity);
    if (error == CONFCAST_OK && !is_worth_it(draft)) {
        error = CONFCAST_ERR_AGAIN;
    }
    return error == CONFCAST_OK ? announce(config, desk, draft) : error;
}

void
cfc_draft_free(struct cfc_draft *draft)
{
    free(draft->bytes);
    free(draft->digests);
    free(draft->coded); /* NULL once it belongs to the set */
}
