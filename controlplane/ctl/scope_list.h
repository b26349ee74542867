/* The scopes that the server knows. */
#ifndef CFC_CTL_SCOPE_LIST_H
#define CFC_CTL_SCOPE_LIST_H

#include <jansson.h>

#include "controlplane/ctl/ctl.h"

/* A list of {scope, ...} in *list, which the caller drops: `under` and all below it, for which a
 * role there suffices, or with NULL all, for which it takes one everywhere.  An exit code, said on
 * stderr; *list is NULL then. */
int cfc_scope_list(struct cfc_ctl *ctl, const char *under, json_t **list);

#endif
