/* A string into an array: what snprintf("%s") does, without a format. */
#ifndef CFC_BASE_TEXT_COPY_H
#define CFC_BASE_TEXT_COPY_H

#include <stddef.h>
#include <string.h>

/* Cuts what does not fit.  `out_size` (bytes, with the NUL) is not 0. */
static inline void
cfc_text_copy(char *out, size_t out_size, const char *text)
{
    size_t size = strnlen(text, out_size - 1);

    memcpy(out, text, size);
    out[size] = '\0';
}

#endif
