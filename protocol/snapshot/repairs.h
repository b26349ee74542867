/* The repair symbols of a content that have a leaf in its digest tree: what cfc_tree_build() takes.
 * Whoever builds a tree with leaves of repair symbols makes them by this; senders make single ones
 * when they send them.  No state, no allocation; any thread. */
#ifndef CFC_SNAPSHOT_REPAIRS_H
#define CFC_SNAPSHOT_REPAIRS_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/snapshot/tree.h"

/* Bytes that cfc_repairs_build() writes: repair_leaves symbols of full size for each block. */
static inline size_t
cfc_repairs_size(const struct cfc_tree *tree)
{
    return (size_t)tree->geometry.block_count * tree->content.repair_leaves *
           tree->content.symbol_size;
}

/* Makes the first repair_leaves repair symbols of every block, block after block.  `coded` is
 * coded_size bytes; the code is RS-Cauchy, whatever the content says. */
void cfc_repairs_build(const struct cfc_tree *tree, const uint8_t *coded, uint8_t *out);

#endif
