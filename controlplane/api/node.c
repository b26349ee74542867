/* The node itself: health and readiness. */
#include "confcast/error.h"
#include "controlplane/api/handlers.h"

void
cfc_api_get_health(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    (void)api;
    (void)request;
    cfc_reply_json(reply, 200, json_pack("{ss}", "status", "ok"));
}

/* It serves its API, but what it decides reaches nobody. */
static void
refuse_regress(struct cfc_reply *reply, const struct cfc_publisher_status *status)
{
    cfc_reply_failure(
        reply, CONFCAST_ERR_REGRESS,
        "consumers have seen more than this store holds, so nothing is published: stop the daemon "
        "and restore a newer backup, or lift this store with confcastd --lift",
        json_pack("{sI sI}", "seen_epoch", (json_int_t)status->proof_epoch, "seen_version",
                  (json_int_t)status->proof_version));
}

void
cfc_api_get_ready(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_publisher_status status = {0};

    (void)request;
    if (!atomic_load(&api->is_ready)) {
        cfc_reply_error(reply, 503, "not_ready", "the daemon is starting or stopping");
        return;
    }
    if (api->publisher != NULL) {
        api->publisher_status(api->publisher, &status);
    }
    if (status.is_refusing) {
        refuse_regress(reply, &status);
        return;
    }
    cfc_reply_json(reply, 200, json_pack("{ss}", "status", "ready"));
}
