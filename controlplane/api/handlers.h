/* The handlers behind the route table, and what they share.  Each parses its parameters, calls the
 * service once, and renders. */
#ifndef CFC_API_HANDLERS_H
#define CFC_API_HANDLERS_H

#include "controlplane/api/api.h"

/* Definitions. */
void cfc_api_put_config(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_config(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_delete_config(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_history(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);

/* Several of these in one step. */
void cfc_api_post_batch(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);

/* Releases, layers, effective config. */
void cfc_api_get_release(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_post_release(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_layers(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_put_layers(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_effective(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);

/* Four eyes. */
void cfc_api_put_schema(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_schema(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_approve(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_settings(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_put_settings(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);

/* Views. */
void cfc_api_get_status(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_scope_status(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_consumers(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_scopes(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_consumer(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_audit(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);

/* Who may do what. */
void cfc_api_post_token(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_tokens(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_delete_token(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_roles(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_put_roles(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);

/* Consumers that pull. */
void cfc_api_get_snapshot(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_post_hello(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_post_ack(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);

/* The node itself. */
void cfc_api_get_health(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_ready(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_post_backup(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);
void cfc_api_get_metrics(struct cfc_api *, const struct cfc_request *, struct cfc_reply *);

/* Query parameters.  False: *reply is a 400 that names the parameter. */
bool cfc_api_param_uint(const struct cfc_request *request, const char *name, uint64_t max,
                        bool *is_given, uint64_t *out, struct cfc_reply *reply);
bool cfc_api_param_flag(const struct cfc_request *request, const char *name, bool *out,
                        struct cfc_reply *reply);
/* ?limit=, 1..CFC_API_LIMIT_MAX. */
bool cfc_api_param_limit(const struct cfc_request *request, size_t *out, struct cfc_reply *reply);

/* Who asks for a change: from the request, ?message= and ?dry_run=. */
bool cfc_api_change(const struct cfc_request *request, struct cfc_change *change,
                    struct cfc_reply *reply);

/* The texts that a release order points into. */
struct cfc_api_order_text {
    char action[32];
    char strategy[CFC_STRATEGY_TEXT_MAX];
    char message[CFC_MESSAGE_SIZE_MAX + 1];
};

/* Takes the members of a release order out of `body`; one that is left over is refused.  False:
 * *reply is the error. */
bool cfc_api_read_order(json_t *body, struct cfc_release_order *order,
                        struct cfc_api_order_text *text, struct cfc_change *change,
                        struct cfc_reply *reply);

/* The reply to a change that the service refused. */
void cfc_api_refused(struct cfc_reply *reply, int rc, const struct cfc_refusal *refusal);

/* Values of JSON that several handlers render; NULL without memory. */
json_t *cfc_api_time_json(uint64_t unix_ns); /* RFC 3339 with microseconds; null for 0 */
json_t *cfc_api_digest_json(const struct cfc_digest *digest);
json_t *cfc_api_meta_json(const struct cfc_definition_meta *meta);
json_t *cfc_api_release_json(const struct cfc_release *release);
/* What a put should be warned of: a list of sentences. */
json_t *cfc_api_warnings_json(const struct cfc_json_nulls *nulls);

/* What a dry run would do, without the scopes that who asks may not read. */
json_t *cfc_api_preview_json(struct cfc_api *api, const struct cfc_request *request,
                             const json_t *preview);

/* Appends what consumers said last to `list`; false without memory, or when it is NULL. */
bool cfc_api_append_views(json_t *list, const struct cfc_apply_view *items, size_t count);

/* Sets a member, taking over `value`; false without memory, or when value is NULL. */
bool cfc_api_set(json_t *object, const char *key, json_t *value);

#endif
