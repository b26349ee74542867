/* What a change would do, as a dry run answers it: docs/api.md, `preview`. */
#ifndef CFC_CTL_PREVIEW_H
#define CFC_CTL_PREVIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "controlplane/ctl/ctl.h"

/* The scopes that would get a new version, with consumers, bytes and keys; NULL writes nothing. */
void cfc_preview_write(FILE *out, const json_t *preview, bool has_color);

/* Tells people the `warnings` of an answer, on stderr; for JSON and YAML they are in the answer. */
void cfc_preview_warn(const struct cfc_ctl *ctl, const json_t *answer);

/* The answer to a change: warnings, its members, its preview.  CFC_EXIT_OK. */
int cfc_preview_print(const struct cfc_ctl *ctl, json_t *answer);

#endif
