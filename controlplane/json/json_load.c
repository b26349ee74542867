#include "controlplane/json/json_load.h"

#include <pthread.h>
#include <stdlib.h>

bool (*cfc_json_alloc_hook)(bool is_reading);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local bool has_failed;
static _Thread_local bool is_reading;

static void *
allocate(size_t size)
{
    void *p = cfc_json_alloc_hook == NULL || !cfc_json_alloc_hook(is_reading) ? malloc(size) : NULL;

    has_failed |= p == NULL;
    return p;
}

/* What was allocated before is malloc's as well. */
static void
install(void)
{
    json_set_alloc_funcs(allocate, free);
}

json_t *
cfc_json_load(const void *bytes, size_t size, size_t flags, json_error_t *why,
              bool *is_out_of_memory)
{
    json_t *root;

    pthread_once(&once, install);
    has_failed = false;
    is_reading = true;
    root = json_loadb(bytes, size, flags, why);
    is_reading = false;
    *is_out_of_memory = has_failed;
    if (has_failed) {
        json_decref(root);
        root = NULL;
    }
    return root;
}

char *
cfc_json_dump(const json_t *value, size_t flags)
{
    char *text;

    pthread_once(&once, install);
    has_failed = false;
    text = json_dumps(value, flags);
    if (has_failed) {
        free(text);
        text = NULL;
    }
    return text;
}
