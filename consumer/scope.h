/* One subscription.  The client's thread writes it; readers load `view` under RCU; the status copy
 * is under `lock`. */
#ifndef CFC_CONSUMER_SCOPE_H
#define CFC_CONSUMER_SCOPE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "confcast/confcast.h"
#include "consumer/view.h"
#include "protocol/base/limits.h"

struct confcast_scope {
    struct confcast_view *view; /* published by RCU; NULL until something is served */
    struct confcast *client;
    uint32_t idx; /* the receiver's number of this scope */
    uint64_t scope_id;
    char path[CFC_SCOPE_SIZE_MAX + 1];

    pthread_mutex_t lock; /* guards status and is_closed */
    pthread_cond_t changed;
    struct confcast_status status;
    bool is_closed;

    pthread_mutex_t callback_lock; /* held while a callback runs */
    confcast_change_fn *change;
    void *change_arg;
    confcast_validate_fn *validate;
    void *validate_arg;

    /* The client's thread only. */
    bool is_from_disk; /* what is served came from the cache */
    uint32_t reported_freshness;
};

#endif
