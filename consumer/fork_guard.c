#include "consumer/fork_guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "confcast/error.h"
#include "consumer/client.h"

static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static int handlers_error;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list and descriptors */
static struct confcast *clients;
static bool was_used;
static atomic_bool is_child;

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

/* Only what is async-signal-safe: other threads of the parent may have held any lock. */
static void
in_child(void)
{
    for (struct confcast *client = clients; client != NULL; client = client->fork_next) {
        cfc_client_abandon(client);
    }
    clients = NULL;
    if (was_used) {
        atomic_store(&is_child, true);
    }
    pthread_mutex_unlock(&lock);
}

static void
set_handlers(void)
{
    handlers_error = pthread_atfork(cfc_fork_guard_lock, cfc_fork_guard_unlock, in_child);
}

int
cfc_fork_guard_add(struct confcast *client)
{
    pthread_once(&handlers_once, set_handlers);
    if (handlers_error != 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    pthread_mutex_lock(&lock);
    was_used = true;
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

bool
cfc_fork_guard_is_child(void)
{
    return atomic_load_explicit(&is_child, memory_order_relaxed);
}
