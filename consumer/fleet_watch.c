#include "consumer/fleet_watch.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "consumer/client.h"
#include "protocol/base/time.h"

#define LOOK_PERIOD_NS       CFC_S
#define STRANGER_TOLD_MIN_NS (10 * CFC_S)

static int
read_fleet(struct confcast *client, const char *path, struct cfc_fleet *out)
{
    uint8_t *bytes;
    size_t size;
    int error = cfc_client_read_file(path, CFC_FLEET_FILE_SIZE_MAX, false, &bytes, &size);

    if (error == CONFCAST_OK) {
        error = cfc_fleet_parse(bytes, size, client->credential->root_key, out);
    }
    if (error == CONFCAST_OK && strcmp(out->name, client->credential->fleet) != 0) {
        error = CONFCAST_ERR_AUTHORITY;
    }
    free(bytes);
    return error;
}

int
cfc_fleet_watch_open(struct confcast *client, const char *path)
{
    struct cfc_fleet_watch *watch = &client->fleet_watch;

    watch->path = strdup(path);
    if (watch->path == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    /* Before it is read: what changes meanwhile is seen as a change. */
    (void)stat(path, &watch->seen);
    return read_fleet(client, path, client->fleet);
}

void
cfc_fleet_watch_close(struct confcast *client)
{
    free(client->fleet_watch.path);
}

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool
is_same_place(const struct cfc_fleet *a, const struct cfc_fleet *b)
{
    return memcmp(&a->group_base, &b->group_base, sizeof(a->group_base)) == 0 &&
           a->group_count == b->group_count && a->engine_count == b->engine_count &&
           memcmp(a->engines, b->engines, sizeof(a->engines)) == 0;
}

/* The receiver's verifier reads the ring where it lies. */
static void
take_keys(struct confcast *client, const struct cfc_fleet *fleet)
{
    uint64_t before = 0;
    int error = CONFCAST_OK;

    if (client->cache != NULL) {
        error = cfc_floor_raise_fleet(cfc_cache_floor(client->cache), fleet->sequence, &before);
    }
    client->fleet->release_keys = fleet->release_keys;
    client->fleet->sequence = fleet->sequence;
    client->fleet_watch.stranger_count = 0;
    cfc_client_say(client, 2, "fleet file taken sequence=%llu release_keys=%u%s",
                   (unsigned long long)fleet->sequence, fleet->release_keys.key_count,
                   error == CONFCAST_OK ? "" : ", but the state directory takes no writes");
    if (!is_same_place(client->fleet, fleet)) {
        cfc_client_say(client, 1,
                       "the fleet file has other groups or engines: they count from the "
                       "next start on");
    }
}

static void
look(struct confcast *client)
{
    struct cfc_fleet_watch *watch = &client->fleet_watch;
    struct cfc_fleet *fleet;
    struct stat now;
    int error;

    if (stat(watch->path, &now) != 0 || is_same_file(&now, &watch->seen)) {
        return;
    }
    fleet = calloc(1, sizeof(*fleet));
    if (fleet == NULL) {
        return; /* looked at again */
    }
    watch->seen = now;
    error = read_fleet(client, watch->path, fleet);
    if (error != CONFCAST_OK) {
        cfc_client_say(client, 0, "the new fleet file is not used error=%s",
                       confcast_error_word(error));
    } else if (fleet->sequence < client->fleet->sequence) {
        cfc_client_say(
            client, 0, "the new fleet file is not used error=rollback sequence=%llu seen=%llu",
            (unsigned long long)fleet->sequence, (unsigned long long)client->fleet->sequence);
    } else if (fleet->sequence > client->fleet->sequence) {
        take_keys(client, fleet);
    }
    free(fleet);
}

static void
tell_strangers(struct confcast *client, uint64_t now_ns)
{
    struct cfc_fleet_watch *watch = &client->fleet_watch;

    if (watch->stranger_count == 0 ||
        (watch->stranger_told_ns != 0 && now_ns - watch->stranger_told_ns < STRANGER_TOLD_MIN_NS)) {
        return;
    }
    cfc_client_say(
        client, 0,
        "frames are signed by a key that the fleet file gives no authority sequence=%llu "
        "frames=%llu: is there a newer fleet.json?",
        (unsigned long long)client->fleet->sequence, (unsigned long long)watch->stranger_count);
    watch->stranger_count = 0;
    watch->stranger_told_ns = now_ns;
}

void
cfc_fleet_watch_tend(struct confcast *client, uint64_t now_ns)
{
    struct cfc_fleet_watch *watch = &client->fleet_watch;

    if (watch->path == NULL || now_ns < watch->look_at_ns) {
        return;
    }
    watch->look_at_ns = now_ns + LOOK_PERIOD_NS;
    look(client);
    tell_strangers(client, now_ns);
}

void
cfc_fleet_watch_stranger(struct confcast *client)
{
    client->fleet_watch.stranger_count++;
}
