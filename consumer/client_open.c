/* Opening a client and closing it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

#include "consumer/agent_link.h"
#include "consumer/client.h"
#include "consumer/client_pull.h"
#include "consumer/fork_guard.h"
#include "consumer/set.h"
#include "protocol/base/scope.h"

enum {
    RECEIVE_BUFFER_DEFAULT = 8 << 20,
    RECEIVE_BUFFER_SMALL = 2 << 20, /* as the system counts: twice what was asked for */
};

static const uint64_t CACHE_SIZE_MAX = UINT64_C(1) << 30;
static const uint64_t MEMORY_DEFAULT = UINT64_C(512) << 20;

/* ---- Files ----------------------------------------------------------------------------------- */

static int
open_file(const char *path, bool is_secret, int *fd)
{
    struct stat st;

    /* The configuration may be a link into another folder, and root's.  O_NONBLOCK: no FIFO stops
     * us. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        return errno == ENOENT ? CONFCAST_ERR_NOT_FOUND : CONFCAST_ERR_IO;
    }
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(*fd);
        return CONFCAST_ERR_IO;
    }
    if (is_secret && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        close(*fd);
        return CONFCAST_ERR_AUTHORITY;
    }
    return CONFCAST_OK;
}

/* Reads up to `capacity` bytes; LIMIT when there are more. */
static int
read_bytes(int fd, uint8_t *bytes, size_t capacity, size_t *size)
{
    ssize_t n = 1;

    *size = 0;
    while (n > 0 && *size <= capacity) {
        n = read(fd, bytes + *size, capacity + 1 - *size);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        *size += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        return CONFCAST_ERR_IO;
    }
    return *size > capacity ? CONFCAST_ERR_LIMIT : CONFCAST_OK;
}

int
cfc_client_read_file(const char *path, size_t size_max, bool is_secret, uint8_t **bytes,
                     size_t *size)
{
    int fd;
    int error = open_file(path, is_secret, &fd);

    *bytes = NULL;
    *size = 0;
    if (error != CONFCAST_OK) {
        return error;
    }
    *bytes = calloc(1, size_max + 1);
    error = *bytes != NULL ? read_bytes(fd, *bytes, size_max, size) : CONFCAST_ERR_NO_MEMORY;
    close(fd);
    return error; /* the caller wipes and frees in any case */
}

static int
load_credential(struct confcast *client, const struct confcast_options *options)
{
    uint8_t *bytes;
    size_t size;
    int error = cfc_client_read_file(options->credential_path, CFC_CREDENTIAL_FILE_SIZE_MAX, true,
                                     &bytes, &size);

    if (error == CONFCAST_OK) {
        error = cfc_credential_parse(bytes, size, client->credential);
    }
    if (bytes != NULL) {
        explicit_bzero(bytes, size);
        free(bytes);
    }
    if (error == CONFCAST_OK && options->id != NULL &&
        strcmp(options->id, client->credential->id) != 0) {
        error = CONFCAST_ERR_AUTHORITY;
    }
    return error;
}

/* ---- The receiver ---------------------------------------------------------------------------- */

uint64_t
cfc_client_random(void)
{
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        seed = cfc_index_seed() ^ cfc_client_now().mono_ns;
    }
    return seed;
}

static struct cfc_label
label_of(const char *key, const char *value)
{
    return (struct cfc_label){.key = key,
                              .value = value,
                              .key_size = (uint8_t)strlen(key),
                              .value_size = (uint8_t)strlen(value)};
}

/* Adds a label, or replaces the one with its key. */
static int
put_label(struct cfc_label *labels, uint32_t *count, const struct cfc_label *label)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (labels[i].key_size == label->key_size &&
            memcmp(labels[i].key, label->key, label->key_size) == 0) {
            labels[i] = *label;
            return CONFCAST_OK;
        }
    }
    if (*count == CFC_LABEL_COUNT_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    labels[(*count)++] = *label;
    return CONFCAST_OK;
}

/* The credential's labels, with the options' over them.  `labels` has room for CFC_LABEL_COUNT_MAX.
 */
static int
gather_labels(const struct confcast *client, const struct confcast_options *options,
              struct cfc_label *labels, uint32_t *count)
{
    const struct cfc_credential *credential = client->credential;
    int error = CONFCAST_OK;

    *count = 0;
    for (uint32_t i = 0; i < credential->label_count; i++) {
        labels[(*count)++] = label_of(credential->labels[i].key, credential->labels[i].value);
    }
    for (size_t i = 0; error == CONFCAST_OK && i < options->label_count; i++) {
        const struct confcast_label *from = &options->labels[i];

        if (from->key == NULL || from->value == NULL) {
            return CONFCAST_ERR_INVALID;
        }
        error = cfc_label_check(from->key, strlen(from->key), from->value, strlen(from->value));
        if (error == CONFCAST_OK) {
            struct cfc_label label = label_of(from->key, from->value);

            error = put_label(labels, count, &label);
        }
    }
    return error;
}

static int
make_receiver(struct confcast *client, const struct confcast_options *options)
{
    struct cfc_receiver_config config = {0};
    struct cfc_label labels[CFC_LABEL_COUNT_MAX];
    uint64_t now = cfc_client_now().unix_ns;
    int error = gather_labels(client, options, labels, &config.label_count);

    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_receiver_config_defaults(&config);
    config.labels = labels;
    config.id = client->credential->id;
    config.id_size = strlen(client->credential->id);
    config.incarnation = client->cache != NULL
                             ? cfc_floor_next_incarnation(cfc_cache_floor(client->cache), now)
                             : now;
    config.session_key = client->credential->session_key;
    config.report_key = client->credential->report_key;
    config.verifier = cfc_keyring_verifier(&client->fleet->release_keys);
    config.alloc = cfc_consumer_heap;
    config.seed = cfc_client_random();
    if (options->content_size_max != 0) {
        config.content_size_max = options->content_size_max;
    }
    config.budget_size = options->memory_max != 0 ? options->memory_max : MEMORY_DEFAULT;
    client->retired_size_max = config.budget_size;
    error = cfc_receiver_new(&config, &client->receiver);
    explicit_bzero(&config.session_key, sizeof(config.session_key));
    explicit_bzero(&config.report_key, sizeof(config.report_key));
    return error;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static int
open_cache(struct confcast *client, const struct confcast_options *options)
{
    struct cfc_cache_config config = {.dir = options->state_dir,
                                      .fleet = client->fleet->name,
                                      .size_max = CACHE_SIZE_MAX,
                                      .strikes_max = options->crash_starts_max};
    uint64_t seen = 0;
    int error = cfc_cache_open(&config, &client->cache);

    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_floor_raise_fleet(cfc_cache_floor(client->cache), client->fleet->sequence, &seen);
    if (seen > client->fleet->sequence) {
        return CONFCAST_ERR_ROLLBACK;
    }
    if (error != CONFCAST_OK) {
        cfc_client_say(client, 0, "the state directory takes no writes error=%s",
                       confcast_error_word(error));
    }
    return CONFCAST_OK;
}

static int
open_port(struct confcast *client, const struct confcast_options *options)
{
    struct cfc_port_udp_config config = {.interface = options->interface,
                                         .source = client->fleet->engines[0],
                                         .receive_buffer_size = options->receive_buffer_size,
                                         .seed = cfc_client_random(),
                                         .now_ns = cfc_client_now().mono_ns};
    const struct cfc_port_udp_stats *stats;
    int error;

    if (config.receive_buffer_size == 0) {
        config.receive_buffer_size = RECEIVE_BUFFER_DEFAULT;
    }
    cfc_fleet_control_group(client->fleet, &config.control_group);
    error = cfc_port_udp_open(&config, &client->port);
    if (error != CONFCAST_OK) {
        return error;
    }
    stats = cfc_port_udp_stats(client->port);
    if (!stats->is_up) {
        cfc_client_say(client, 1, "interface %s has no address yet", options->interface);
    } else if (stats->buffer_size < RECEIVE_BUFFER_SMALL) {
        cfc_client_say(client, 1,
                       "receive buffer is small, bursts will be lost and repaired bytes=%u: raise "
                       "net.core.rmem_max",
                       stats->buffer_size);
    }
    return CONFCAST_OK;
}

static void
say_xdp(void *client, int level, const char *line)
{
    cfc_client_say(client, level, "%s", line);
}

static int
open_xdp(struct confcast *client, const struct confcast_options *options)
{
    struct cfc_xdp_host_config config = {.interface = options->interface,
                                         .wanted = options->xdp,
                                         .fleet = {.source = client->fleet->engines[0],
                                                   .group_base = client->fleet->group_base,
                                                   .group_count = client->fleet->group_count},
                                         .say = say_xdp,
                                         .say_arg = client,
                                         .now_ns = cfc_client_now().mono_ns};

    return cfc_xdp_host_open(&config, &client->xdp);
}

static int
open_parts(struct confcast *client, const struct confcast_options *options)
{
    int error;

    if (options->agent_path != NULL) {
        client->retired_size_max = options->memory_max != 0 ? options->memory_max : MEMORY_DEFAULT;
        return cfc_agent_link_open(client, options->agent_path);
    }
    error = load_credential(client, options);
    if (error == CONFCAST_OK) {
        error = cfc_fleet_watch_open(client, options->fleet_path);
    }
    if (error == CONFCAST_OK && options->state_dir != NULL) {
        error = open_cache(client, options);
    }
    if (error == CONFCAST_OK) {
        error = make_receiver(client, options);
    }
    if (error == CONFCAST_OK && options->pull != CONFCAST_PULL_ONLY) {
        error = open_port(client, options);
        if (error == CONFCAST_OK) {
            error = open_xdp(client, options);
        }
    }
    if (error == CONFCAST_OK) {
        error = cfc_client_pull_open(client, options);
    }
    if (error == CONFCAST_OK && client->cache != NULL) {
        error = cfc_persister_start(client->cache, cfc_client_wake, client, &client->persister);
    }
    return error;
}

static int
init_client(struct confcast *client, const struct confcast_options *options)
{
    client->wake_fd = -1;
    client->log = options->log;
    client->log_arg = options->log_arg;
    client->calls_end = &client->calls;
    pthread_mutex_init(&client->call_lock, NULL);
    pthread_cond_init(&client->call_done, NULL);
    client->credential = calloc(1, sizeof(*client->credential));
    client->fleet = calloc(1, sizeof(*client->fleet));
    client->sha = cfc_sha256_new();
    client->coder = cfc_coder_new(&cfc_consumer_heap);
    client->assembly = cfc_assembly_new();
    if (client->credential == NULL || client->fleet == NULL || client->sha == NULL ||
        client->coder == NULL || client->assembly == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return client->wake_fd >= 0 ? CONFCAST_OK : CONFCAST_ERR_RESOURCE;
}

int
cfc_client_take_struct(void *out, size_t size, const void *given, size_t size_first)
{
    const uint8_t *bytes = given;
    size_t given_size;

    memcpy(&given_size, given, sizeof(given_size));
    if (given_size < size_first) {
        return CONFCAST_ERR_INVALID;
    }
    for (size_t i = size; i < given_size; i++) {
        if (bytes[i] != 0) {
            return CONFCAST_ERR_INVALID;
        }
    }
    memset(out, 0, size);
    memcpy(out, given, given_size < size ? given_size : size);
    return CONFCAST_OK;
}

static int
take_options(const struct confcast_options *given, struct confcast_options *out)
{
    if (given == NULL ||
        cfc_client_take_struct(out, sizeof(*out), given,
                               offsetof(struct confcast_options, agent_path)) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    if (out->agent_path != NULL) {
        bool is_alone =
            out->fleet_path == NULL && out->credential_path == NULL && out->id == NULL &&
            out->interface == NULL && out->state_dir == NULL && out->label_count == 0 &&
            out->content_size_max == 0 && out->receive_buffer_size == 0 &&
            out->pull == CONFCAST_PULL_AUTO && out->pull_ca_file == NULL &&
            out->pull_cert_file == NULL && out->pull_key_file == NULL && out->pull_wait_ms == 0 &&
            out->pull_after_ms == 0 && out->crash_starts_max == 0 && out->xdp == CONFCAST_XDP_OFF;

        return is_alone ? CONFCAST_OK : CONFCAST_ERR_INVALID;
    }
    if (out->fleet_path == NULL || out->credential_path == NULL ||
        (out->interface == NULL && out->pull != CONFCAST_PULL_ONLY) ||
        (out->labels == NULL && out->label_count > 0) || out->xdp > CONFCAST_XDP_GENERIC) {
        return CONFCAST_ERR_INVALID;
    }
    return CONFCAST_OK;
}

int
confcast_open(const struct confcast_options *given, struct confcast **out)
{
    struct confcast_options options;
    struct confcast *client;
    int error;

    *out = NULL;
    if (take_options(given, &options) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    if (cfc_fork_guard_is_frozen()) {
        return CONFCAST_ERR_CLOSED;
    }
    client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = init_client(client, &options);
    if (error == CONFCAST_OK) {
        error = open_parts(client, &options);
    }
    if (error == CONFCAST_OK) {
        error = cfc_fork_guard_add(client);
    }
    if (error == CONFCAST_OK) {
        if (client->link != NULL) {
            cfc_fork_guard_lock(); /* in a child a reader may be about to start it, too */
            cfc_agent_link_resume(client);
            cfc_fork_guard_unlock();
        } else {
            client->has_thread = pthread_create(&client->thread, NULL, cfc_client_run, client) == 0;
        }
        error = client->has_thread ? CONFCAST_OK : CONFCAST_ERR_RESOURCE;
    }
    if (error != CONFCAST_OK) {
        confcast_close(client);
        return error;
    }
    *out = client;
    return CONFCAST_OK;
}

/* ---- Closing --------------------------------------------------------------------------------- */

void
cfc_client_abandon(struct confcast *client)
{
    atomic_store(&client->is_forked, true);
    close(client->wake_fd);
    if (client->link != NULL) {
        cfc_agent_link_abandon(client);
    } else {
        if (client->port != NULL) {
            cfc_port_udp_abandon(client->port);
        }
        cfc_xdp_host_abandon(client->xdp);
        cfc_client_pull_abandon(client);
    }
    if (client->cache != NULL) {
        cfc_cache_abandon(client->cache);
    }
}

/* Sends waiters away and waits until they have gone. */
static void
close_scope(struct confcast_scope *scope)
{
    pthread_mutex_lock(&scope->lock);
    scope->is_closed = true;
    pthread_cond_broadcast(&scope->changed);
    while (scope->waiter_count > 0) {
        pthread_cond_wait(&scope->changed, &scope->lock);
    }
    pthread_mutex_unlock(&scope->lock);
}

static void
free_scope(struct confcast_scope *scope)
{
    cfc_view_free(scope->view); /* after a grace period: see confcast_close() */
    pthread_cond_destroy(&scope->changed);
    pthread_mutex_destroy(&scope->lock);
    free(scope);
}

static void
free_client(struct confcast *client)
{
    cfc_sets_free(client);
    for (uint32_t i = 0; i < client->scope_count; i++) {
        free_scope(client->scopes[i]);
    }
    cfc_contents_free(&client->contents);
    cfc_agent_link_close(client);
    cfc_client_pull_close(client);
    cfc_xdp_host_close(client->xdp);
    cfc_port_udp_close(client->port);
    cfc_receiver_free(client->receiver);
    cfc_cache_close(client->cache);
    cfc_assembly_free(client->assembly);
    cfc_coder_free(client->coder);
    cfc_sha256_free(client->sha);
    if (client->wake_fd >= 0) {
        close(client->wake_fd);
    }
    pthread_cond_destroy(&client->call_done);
    pthread_mutex_destroy(&client->call_lock);
    if (client->credential != NULL) {
        explicit_bzero(client->credential, sizeof(*client->credential));
    }
    free(client->credential);
    cfc_fleet_watch_close(client);
    free(client->fleet);
    free(client);
}

void
confcast_close(struct confcast *client)
{
    if (client == NULL || atomic_load(&client->is_forked)) {
        return; /* in a forked child others may have held the locks: it is left as it is */
    }
    if (cfc_client_is_own_thread(client)) {
        cfc_client_say(client, 0, "confcast_close() was called from a callback: not closed");
        return;
    }
    cfc_fork_guard_remove(client);
    atomic_store(&client->is_stopping, true);
    if (client->has_thread) {
        cfc_client_wake(client);
        pthread_join(client->thread, NULL);
    }
    cfc_persister_free(client->persister);
    cfc_sets_close(client);
    for (uint32_t i = 0; i < client->scope_count; i++) {
        close_scope(client->scopes[i]);
    }
    if (client->scope_count > 0) {
        urcu_bp_synchronize_rcu();
        cfc_grace_acquire();
        urcu_bp_barrier(); /* retired views */
    }
    free_client(client);
}
