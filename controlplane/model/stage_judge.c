/* The validators of a stage that advances by itself, in a thread of their own. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/service_internal.h"
#include "controlplane/model/validate.h"

/* One question under way, or its answer that nobody took yet. */
struct cfc_stage_judge {
    pthread_t thread;
    char scope[CFC_SCOPE_SIZE_MAX + 1]; /* that asked */
    uint64_t release_version;
    struct cfc_validation jobs;
    atomic_bool is_done; /* below is written before it, by the thread */
    int error;
    struct cfc_refusal refusal;
};

static void *
run(void *arg)
{
    struct cfc_stage_judge *judge = arg;

    judge->error = cfc_validation_run(&judge->jobs, &judge->refusal);
    atomic_store(&judge->is_done, true);
    return NULL;
}

void
cfc_stage_judge_end(struct cfc_service *service)
{
    struct cfc_stage_judge *judge = service->judge;

    if (judge != NULL) {
        pthread_join(judge->thread, NULL);
        cfc_validation_free(&judge->jobs);
        free(judge);
        service->judge = NULL;
    }
}

/* Takes the jobs over. */
static int
begin(struct cfc_service *service, const struct cfc_scope *scope, struct cfc_validation *needed)
{
    struct cfc_stage_judge *judge = calloc(1, sizeof(*judge));

    if (judge == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    snprintf(judge->scope, sizeof(judge->scope), "%s", scope->path);
    judge->release_version = scope->release.release_version;
    judge->jobs = *needed;
    if (pthread_create(&judge->thread, NULL, run, judge) != 0) {
        free(judge);
        return CONFCAST_ERR_AGAIN;
    }
    memset(needed, 0, sizeof(*needed));
    service->judge = judge;
    return CONFCAST_ERR_AGAIN;
}

int
cfc_stage_judge_ask(struct cfc_service *service, const struct cfc_scope *scope,
                    struct cfc_validation *needed, char *message, size_t message_size)
{
    struct cfc_stage_judge *judge = service->judge;
    bool is_answer;
    int error;

    if (judge == NULL) {
        return begin(service, scope, needed);
    }
    if (!atomic_load(&judge->is_done)) {
        return CONFCAST_ERR_AGAIN;
    }
    /* An answer to another question, or one that nobody asks any more, makes room. */
    is_answer = strcmp(judge->scope, scope->path) == 0 &&
                judge->release_version == scope->release.release_version &&
                cfc_validation_covers(&judge->jobs, needed) && judge->error != CONFCAST_ERR_BUSY;
    error = judge->error;
    snprintf(message, message_size, "%s", judge->refusal.message);
    cfc_stage_judge_end(service);
    return is_answer ? error : begin(service, scope, needed);
}
