/* Whether it is worth trying to code one body as a delta against another.
 *
 * Coding against a base takes 5 ms for each megabyte when the two are alike, but up to 50 when they
 * are not, and then for nothing.  So large bodies are compared first, at 1 ms for a megabyte: by
 * words of eight bytes that their own hash chooses, one in 4,096, wherever they lie, as in
 * A. Broder, On the resemblance and containment of documents, 1997.
 *
 * No state; any thread. */
#ifndef CFC_PUBLISH_LIKENESS_H
#define CFC_PUBLISH_LIKENESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_LIKENESS_SMALL_MAX = 256 * 1024 /* smaller bodies are coded sooner than compared */
};

/* Whether a decoder's window reaches over both, so that all of the base is of use. */
bool cfc_likeness_fits(size_t base_size, size_t body_size);

/* Whether at least a quarter of `body`, or of samples of it, seems to be in `base`.  True for small
 * bodies, without memory to find out, and for bodies that have too few words to tell. */
bool cfc_likeness_is_worth(const uint8_t *base, size_t base_size, const uint8_t *body,
                           size_t body_size);

#endif
