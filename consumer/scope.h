/* One subscription.  Readers load `view`; the status copy is under `lock`; everything else is the
 * loop thread's. */
#ifndef CFC_CONSUMER_SCOPE_H
#define CFC_CONSUMER_SCOPE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "confcast/confcast.h"
#include "consumer/view.h"
#include "protocol/base/limits.h"
#include "protocol/session/receiver.h"

/* The signed times of the head accepted last. */
struct cfc_head_times {
    uint64_t version; /* 0 = not known */
    uint64_t activate_unix_ns;
    uint64_t confirm_unix_ns;
    uint8_t fallback_arms; /* bit i: arm i has a fallback */
};

struct confcast_scope {
    struct confcast_view *view; /* published by RCU; NULL until something is served */
    struct confcast *client;
    uint32_t idx; /* the receiver's number of this scope */
    uint64_t scope_id;
    char path[CFC_SCOPE_SIZE_MAX + 1];

    pthread_mutex_t lock; /* guards the next four */
    pthread_cond_t changed;
    struct confcast_status status;
    bool is_closed;
    uint32_t waiter_count;

    /* The loop thread only. */
    confcast_change_fn *change;
    void *change_arg;
    confcast_validate_fn *validate;
    void *validate_arg;
    uint64_t since_ns;       /* monotonic time of the subscription */
    bool is_restoring;       /* a swap to what the process before served */
    uint64_t trial_since_ns; /* monotonic time of the content's swap; 0 = it is not on trial */
    int persist_error;       /* why the newest state is not durable; CONFCAST_OK */
    struct cfc_head_times times;
    bool is_deferred; /* `deferred` is a SERVE that waits for retired memory */
    struct cfc_receiver_event deferred;
};

#endif
