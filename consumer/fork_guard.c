#include "consumer/fork_guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>
#include <urcu/urcu-bp.h>

#include "confcast/error.h"
#include "consumer/agent_link.h"
#include "consumer/big_memory.h"
#include "consumer/client.h"
#include "consumer/trials.h"

static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static int handlers_error;
static atomic_bool has_handlers;
static _Thread_local bool is_prepared; /* by confcast_prepare_fork(), for the fork() to come */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list and descriptors */
static struct confcast *clients;
atomic_bool cfc_fork_is_pending;
atomic_bool cfc_fork_is_wanted;
static bool is_rcu_told; /* of the fork that is under way; under the lock */
static atomic_bool is_frozen;

void
cfc_fork_guard_lock(void)
{
    pthread_mutex_lock(&lock);
}

void
cfc_fork_guard_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* Takes the locks of all links, or none.  Callbacks run under them and may take the guard's. */
static bool
lock_links(void)
{
    for (struct confcast *client = clients; client != NULL; client = client->fork_next) {
        if (client->link != NULL && !cfc_agent_link_try_lock(client)) {
            for (struct confcast *done = clients; done != client; done = done->fork_next) {
                if (done->link != NULL) {
                    cfc_agent_link_unlock(done);
                }
            }
            return false;
        }
    }
    return true;
}

static void
unlock_links(void)
{
    for (struct confcast *client = clients; client != NULL; client = client->fork_next) {
        if (client->link != NULL) {
            cfc_agent_link_unlock(client);
        }
    }
}

static void
prepare(void)
{
    cfc_fork_guard_lock();
    atomic_store(&cfc_fork_is_wanted, true);
    while (!lock_links()) {
        const struct timespec pause = {.tv_nsec = 50000};

        cfc_fork_guard_unlock();
        nanosleep(&pause, NULL);
        cfc_fork_guard_lock();
        atomic_store(&cfc_fork_is_wanted, true);
    }
    atomic_store(&cfc_fork_is_wanted, false);
    /* A frozen child has no thread of RCU's that could be told. */
    is_rcu_told = !atomic_load(&is_frozen) && urcu_bp_read_ongoing() == 0;
    if (is_rcu_told) {
        urcu_bp_call_rcu_before_fork();
        urcu_bp_before_fork();
    }
    /* After the wait for readers, who may take them. */
    cfc_reader_lock_keys();
    cfc_trials_lock_list();
    /* Last: whatever holds another lock may ask for memory. */
    cfc_big_lock();
}

static void
before_fork(void)
{
    if (!is_prepared) {
        prepare();
    }
    is_prepared = false;
}

void
confcast_prepare_fork(void)
{
    if (atomic_load(&has_handlers) && !is_prepared) {
        prepare();
        is_prepared = true;
    }
}

static void
in_parent(void)
{
    cfc_big_unlock();
    cfc_trials_unlock_list();
    cfc_reader_unlock_keys();
    if (is_rcu_told) {
        urcu_bp_after_fork_parent();
        urcu_bp_call_rcu_after_fork_parent();
    }
    unlock_links();
    cfc_fork_guard_unlock();
}

/* Only what is async-signal-safe: other threads of the parent may have held any lock but these. */
static void
in_child(void)
{
    struct confcast **at;

    cfc_big_unlock_in_child();
    cfc_trials_unlock_list();
    cfc_reader_unlock_keys();
    if (is_rcu_told) {
        urcu_bp_after_fork_child();
        urcu_bp_call_rcu_after_fork_child();
    } else {
        atomic_store(&is_frozen, true);
    }
    at = &clients;
    while (*at != NULL) {
        struct confcast *client = *at;

        if (is_rcu_told && client->link != NULL && cfc_agent_link_after_fork(client)) {
            atomic_store(&cfc_fork_is_pending, true);
            at = &client->fork_next;
        } else {
            cfc_client_abandon(client);
            *at = client->fork_next;
        }
    }
    pthread_mutex_unlock(&lock);
}

static void
set_handlers(void)
{
    handlers_error = pthread_atfork(before_fork, in_parent, in_child);
    atomic_store(&has_handlers, handlers_error == 0);
}

int
cfc_fork_guard_add(struct confcast *client)
{
    pthread_once(&handlers_once, set_handlers);
    if (handlers_error != 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    pthread_mutex_lock(&lock);
    client->fork_next = clients;
    clients = client;
    pthread_mutex_unlock(&lock);
    return CONFCAST_OK;
}

void
cfc_fork_guard_remove(struct confcast *client)
{
    pthread_mutex_lock(&lock);
    for (struct confcast **at = &clients; *at != NULL; at = &(*at)->fork_next) {
        if (*at == client) {
            *at = client->fork_next;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

void
cfc_fork_guard_resume_now(void)
{
    pthread_mutex_lock(&lock);
    if (atomic_load(&cfc_fork_is_pending)) {
        for (struct confcast *client = clients; client != NULL; client = client->fork_next) {
            if (client->link != NULL) {
                cfc_agent_link_resume(client);
            }
        }
        atomic_store(&cfc_fork_is_pending, false);
    }
    pthread_mutex_unlock(&lock);
}

bool
cfc_fork_guard_is_frozen(void)
{
    return atomic_load(&is_frozen);
}
