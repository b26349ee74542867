/* When what the service says may be told; backups, and what consumers have proved. */
#include "confcast/error.h"
#include "controlplane/model/service_internal.h"
#include "controlplane/store/backup.h"
#include "controlplane/store/meta.h"

const struct cfc_histogram *
cfc_service_syncs(struct cfc_service *service)
{
    return service->committer != NULL ? cfc_committer_syncs(service->committer) : NULL;
}

uint64_t
cfc_service_store_size(struct cfc_service *service)
{
    return cfc_store_size(service->store);
}

void
cfc_service_mark_begin(struct cfc_service *service, struct cfc_mark *mark)
{
    *mark = (struct cfc_mark){0};
    if (service->committer != NULL) {
        cfc_committer_mark_begin(service->committer, mark);
    }
}

void
cfc_service_mark_end(struct cfc_service *service, struct cfc_mark *mark)
{
    if (service->committer != NULL) {
        cfc_committer_mark_end(service->committer, mark);
    }
}

bool
cfc_service_is_durable(struct cfc_service *service, const struct cfc_mark *mark)
{
    return service->committer == NULL || cfc_committer_is_durable(service->committer, mark);
}

void
cfc_service_when_durable(struct cfc_service *service, struct cfc_waiter *waiter)
{
    if (service->committer == NULL) {
        waiter->fn(waiter, CONFCAST_OK);
    } else {
        cfc_committer_when_durable(service->committer, waiter);
    }
}

struct blocked {
    struct cfc_waiter waiter;
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool is_told;
    int error;
};

static void
unblock(struct cfc_waiter *waiter, int error)
{
    struct blocked *blocked = (struct blocked *)waiter;

    pthread_mutex_lock(&blocked->lock);
    blocked->error = error;
    blocked->is_told = true;
    pthread_cond_signal(&blocked->told);
    pthread_mutex_unlock(&blocked->lock);
}

int
cfc_service_wait_durable(struct cfc_service *service, const struct cfc_mark *mark)
{
    struct blocked blocked = {.waiter = {.mark = *mark, .fn = unblock}};

    pthread_mutex_init(&blocked.lock, NULL);
    pthread_cond_init(&blocked.told, NULL);
    cfc_service_when_durable(service, &blocked.waiter);
    pthread_mutex_lock(&blocked.lock);
    while (!blocked.is_told) {
        pthread_cond_wait(&blocked.told, &blocked.lock);
    }
    pthread_mutex_unlock(&blocked.lock);
    pthread_cond_destroy(&blocked.told);
    pthread_mutex_destroy(&blocked.lock);
    return blocked.error;
}

int
cfc_service_backup(struct cfc_service *service, uint64_t unix_ns, struct cfc_backup **backup)
{
    /* Without the lock: changes go on meanwhile. */
    return cfc_backup_open(service->store, unix_ns, backup);
}

int
cfc_service_note_proof(struct cfc_service *service, uint64_t epoch, uint64_t version)
{
    int error = cfc_service_enter(service);

    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_store_note_proof(service->store, epoch, version);
    if (error == CONFCAST_OK) {
        service->seq = cfc_store_seq(service->store);
    } else if (error != CONFCAST_ERR_NO_SPACE) {
        service->needs_load = true;
    }
    cfc_service_leave(service);
    return error;
}

int
cfc_service_get_proof(struct cfc_service *service, uint64_t *epoch, uint64_t *version)
{
    int error = cfc_service_enter(service);

    *epoch = 0;
    *version = 0;
    if (error == CONFCAST_OK) {
        error = cfc_store_get_proof(service->store, epoch, version);
        cfc_service_leave(service);
    }
    return error;
}
