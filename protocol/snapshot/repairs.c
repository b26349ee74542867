#include "protocol/snapshot/repairs.h"

#include <assert.h>

#include "confcast/error.h"
#include "protocol/fec/fec.h"

void
cfc_repairs_build(const struct cfc_tree *tree, const uint8_t *coded, uint8_t *out)
{
    const struct cfc_content *c = &tree->content;
    size_t size = c->symbol_size;

    for (uint32_t block = 0; c->repair_leaves > 0 && block < tree->geometry.block_count; block++) {
        uint32_t k = cfc_geometry_block_symbols(&tree->geometry, c, block);
        int code = cfc_fec_encode(coded + (size_t)block * c->fec_k * size, k, size,
                                  cfc_geometry_symbol_size(&tree->geometry, c, block, k - 1), k,
                                  c->repair_leaves, out);

        assert(code == CONFCAST_OK);
        (void)code;
        out += c->repair_leaves * size;
    }
}
