/* The bodies of status answers, for the handlers and for those who watch. */
#ifndef CFC_API_STATUS_H
#define CFC_API_STATUS_H

#include <jansson.h>

#include "controlplane/api/api.h"

/* {node, scopes, change} as text, which is the caller's to free: all scopes, or those whose status
 * changed after `after`.  *seen: give it as `after` the next time, and no change is missed.
 * NO_MEMORY; LIMIT: more than `size_max` bytes. */
int cfc_api_all_status(struct cfc_api *api, uint64_t after, uint64_t unix_ns, size_t size_max,
                       char **text, size_t *size, uint64_t *seen);

/* The status of one scope with up to `stragglers` consumers that are behind.  NOT_FOUND, NO_MEMORY.
 */
int cfc_api_scope_status(struct cfc_api *api, const char *scope, size_t stragglers,
                         uint64_t unix_ns, json_t **body, uint64_t *seen);

#endif
