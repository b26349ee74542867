/* One request to the control plane over HTTP, by libcurl: TCP or a unix socket. */
#ifndef CFC_CTL_HTTP_H
#define CFC_CTL_HTTP_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/ctl/ctl.h"

struct cfc_ctl_response {
    long status;
    char *body; /* NUL-terminated, never NULL after CFC_EXIT_OK */
    size_t size;
    int64_t unix_s; /* the server's time, by its Date header; 0 = it gave none */
};

/* Path and query under construction: the pieces are appended, values escaped. */
struct cfc_ctl_path {
    char text[8192];
    size_t size;
    bool has_failed; /* did not fit */
    bool has_query;
};

/* Begins with `prefix` and, when it is not NULL, `tail`, a scope or an id as it is. */
void cfc_ctl_path_init(struct cfc_ctl_path *path, const char *prefix, const char *tail);
/* Appends name=value; nothing for a NULL value. */
void cfc_ctl_path_param(struct cfc_ctl_path *path, const char *name, const char *value);

/* Sends a request and waits for the answer.  A change (anything but GET) carries an idempotency
 * key, so that it is sent again when its answer is lost; `body` NULL is none.  CFC_EXIT_OK means a
 * status of 2xx; else the reason has been printed (for a conflict: who holds what) and the code is
 * the one to exit with.  Free the response in either case. */
int cfc_ctl_call(struct cfc_ctl *ctl, const char *method, const struct cfc_ctl_path *path,
                 const void *body, size_t body_size, struct cfc_ctl_response *response);

/* The same, and the body as JSON, which the caller drops. */
int cfc_ctl_call_json(struct cfc_ctl *ctl, const char *method, const struct cfc_ctl_path *path,
                      const void *body, size_t body_size, json_t **out);

/* Ends the connection that is kept between calls. */
void cfc_ctl_close(struct cfc_ctl *ctl);

void cfc_ctl_response_free(struct cfc_ctl_response *response);

/* The text of a member of the outermost object, as it stands in the body: a document keeps its
 * canonical form.  False when there is none. */
bool cfc_ctl_raw_member(const char *text, size_t size, const char *key, const char **member,
                        size_t *member_size);

#endif
