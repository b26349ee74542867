/* A backup of the store, sent while it is read. */
#include "controlplane/store/backup.h"

#include "confcast/error.h"
#include "controlplane/api/handlers.h"
#include "controlplane/log/log.h"

static int
read_backup(void *arg, void *bytes, size_t capacity, size_t *size)
{
    int rc = cfc_backup_read(arg, bytes, capacity, size);

    if (rc != CONFCAST_OK) {
        cfc_log(CFC_LOG_ERROR, "api", "backup ended early error=%s", confcast_error_word(rc));
    }
    return rc;
}

static void
close_backup(void *arg)
{
    cfc_backup_close(arg);
}

static void
make_backup(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    struct cfc_reply_stream stream = {.read = read_backup, .close = close_backup};
    const struct cfc_backup_info *info;
    struct cfc_backup *backup;
    int rc = cfc_service_backup(api->service, request->unix_ns, &backup);

    if (rc == CONFCAST_ERR_BUSY) {
        cfc_reply_error(reply, 409, "busy", "another backup is under way; try again later");
        return;
    }
    if (rc != CONFCAST_OK) {
        cfc_reply_failure(reply, rc, NULL, NULL);
        return;
    }
    info = cfc_backup_info(backup);
    cfc_log(CFC_LOG_INFO, "api", "backup author=%s epoch=%llu sequence=%llu bytes=%llu",
            request->author, (unsigned long long)info->epoch, (unsigned long long)info->sequence,
            (unsigned long long)cfc_backup_size(backup));
    stream.arg = backup;
    stream.size = cfc_backup_size(backup);
    cfc_reply_stream(reply, "application/octet-stream", &stream);
}

void
cfc_api_post_backup(struct cfc_api *api, const struct cfc_request *request, struct cfc_reply *reply)
{
    (void)api;
    (void)request;
    reply->later = make_backup;
}
