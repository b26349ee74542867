#include "consumer/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

#include "consumer/cache_file.h"
#include "protocol/base/scope.h"

enum {
    RECEIVE_BUFFER_DEFAULT = 8 << 20,
    BATCHES_MAX = 32, /* receive batches before events and sending get their turn */
};

static const uint64_t CACHE_SIZE_MAX = UINT64_C(1) << 30;
static const uint64_t MEMORY_DEFAULT = UINT64_C(512) << 20;

/* ---- The loop -------------------------------------------------------------------------------- */

static void
receive(struct confcast *client)
{
    struct cfc_datagram datagrams[CFC_PORT_BATCH];

    for (int batch = 0; batch < BATCHES_MAX; batch++) {
        size_t count = cfc_port_udp_receive(client->port, datagrams);
        struct cfc_now now;

        if (count == 0) {
            break;
        }
        now = cfc_client_now();
        for (size_t i = 0; i < count; i++) {
            /* What is wrong with a frame is counted by the receiver. */
            (void)cfc_receiver_on_frame(client->receiver, datagrams[i].bytes, datagrams[i].size,
                                        &now);
        }
        cfc_client_drain_events(client);
    }
}

static void
transmit(struct confcast *client)
{
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    size_t size = 0;
    struct cfc_now now = cfc_client_now();

    while (cfc_receiver_poll_frame(client->receiver, &now, frame, sizeof(frame), &size) ==
           CONFCAST_OK) {
        if (cfc_port_udp_send(client->port, frame, size) != CONFCAST_OK) {
            break; /* the protocol repeats what matters */
        }
    }
}

static struct timespec
time_until(uint64_t deadline_ns)
{
    uint64_t now = cfc_client_now().mono_ns;
    uint64_t wait = deadline_ns > now ? deadline_ns - now : 0;

    if (wait > CFC_S) {
        wait = CFC_S;
    }
    return (struct timespec){.tv_sec = (time_t)(wait / CFC_S), .tv_nsec = (long)(wait % CFC_S)};
}

/* call_rcu() asks for a registered thread; a reader section registers it, and its end unregisters.
 */
static void
register_reader(void)
{
    confcast_read_lock();
    confcast_read_unlock();
}

static void *
run(void *arg)
{
    struct confcast *client = arg;
    int fds[2];

    register_reader();
    cfc_port_udp_fds(client->port, fds);
    while (!atomic_load(&client->is_stopping)) {
        struct pollfd polls[3] = {
            {.fd = client->wake_fd, .events = POLLIN},
            {.fd = fds[0], .events = POLLIN},
            {.fd = fds[1], .events = POLLIN},
        };
        struct timespec wait;
        uint64_t count;

        pthread_mutex_lock(&client->loop_lock);
        receive(client);
        cfc_client_drain_events(client);
        transmit(client);
        cfc_client_refresh_status(client);
        wait = time_until(cfc_receiver_deadline(client->receiver));
        pthread_mutex_unlock(&client->loop_lock);
        if (ppoll(polls, 3, &wait, NULL) > 0 && (polls[0].revents & POLLIN) != 0 &&
            read(client->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN) {
            cfc_client_say(client, 1, "wake-up not read errno=%d", errno);
        }
    }
    return NULL;
}

static void
wake(struct confcast *client)
{
    uint64_t one = 1;

    /* A full counter means that a wake-up is pending already. */
    (void)!write(client->wake_fd, &one, sizeof(one));
}

/* On the persister's thread. */
static void
on_persisted(void *arg, uint32_t scope_idx, uint64_t version, int code)
{
    struct confcast *client = arg;
    struct cfc_now now = cfc_client_now();
    struct cfc_receiver_event about = {.scope_idx = scope_idx, .version = version, .reason = code};
    const struct confcast_view *view;

    pthread_mutex_lock(&client->loop_lock);
    view = client->scopes[scope_idx]->view; /* replaced under this lock only */
    if (view != NULL && view->version == version) {
        about.epoch = view->epoch;
        about.content = view->loaded->id;
    }
    if (code == CONFCAST_OK && version != 0) {
        cfc_receiver_durable(client->receiver, scope_idx, version, &now);
        cfc_client_tell(client, "durable", &about, 0);
    } else if (code != CONFCAST_OK) {
        cfc_client_say(client, 0, "state not durable error=%s", confcast_error_word(code));
        cfc_client_tell(client, "not_durable", &about, 0);
    }
    pthread_mutex_unlock(&client->loop_lock);
    wake(client);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int
read_file(const char *path, size_t size_max, bool is_secret, uint8_t **bytes, size_t *size)
{
    struct stat st;
    int error;

    if (is_secret && stat(path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return CONFCAST_ERR_AUTHORITY;
    }
    /* The configuration may be a link into another folder, and root's: read it plainly. */
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return errno == ENOENT ? CONFCAST_ERR_NOT_FOUND : CONFCAST_ERR_IO;
    }
    error = CONFCAST_OK;
    *size = 0;
    *bytes = malloc(size_max + 1);
    if (*bytes == NULL) {
        error = CONFCAST_ERR_NO_MEMORY;
    }
    while (error == CONFCAST_OK) {
        ssize_t n = read(fd, *bytes + *size, size_max + 1 - *size);

        if (n < 0) {
            error = CONFCAST_ERR_IO;
        } else if (n == 0) {
            break;
        } else {
            *size += (size_t)n;
            error = *size > size_max ? CONFCAST_ERR_LIMIT : CONFCAST_OK;
        }
    }
    close(fd);
    if (error != CONFCAST_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return error;
}

static int
load_identity(struct confcast *client, const struct confcast_options *options)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    int error =
        read_file(options->credential_path, CFC_CREDENTIAL_FILE_SIZE_MAX, true, &bytes, &size);

    client->credential = calloc(1, sizeof(*client->credential));
    client->fleet = calloc(1, sizeof(*client->fleet));
    if (error == CONFCAST_OK && (client->credential == NULL || client->fleet == NULL)) {
        error = CONFCAST_ERR_NO_MEMORY;
    }
    if (error == CONFCAST_OK) {
        error = cfc_credential_parse(bytes, size, client->credential);
        explicit_bzero(bytes, size);
    }
    free(bytes);
    bytes = NULL;
    if (error == CONFCAST_OK && options->id != NULL &&
        strcmp(options->id, client->credential->id) != 0) {
        error = CONFCAST_ERR_AUTHORITY;
    }
    if (error == CONFCAST_OK) {
        error = read_file(options->fleet_path, CFC_FLEET_FILE_SIZE_MAX, false, &bytes, &size);
    }
    if (error == CONFCAST_OK) {
        error = cfc_fleet_parse(bytes, size, client->credential->root_key, client->fleet);
    }
    if (error == CONFCAST_OK && strcmp(client->fleet->name, client->credential->fleet) != 0) {
        error = CONFCAST_ERR_AUTHORITY;
    }
    free(bytes);
    return error;
}

static uint64_t
random_seed(void)
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
    config.labels = labels;
    cfc_receiver_config_defaults(&config);
    config.labels = labels;
    config.id = client->credential->id;
    config.id_size = strlen(client->credential->id);
    config.incarnation =
        client->cache != NULL ? cfc_cache_next_incarnation(client->cache, now) : now;
    config.session_key = client->credential->session_key;
    config.report_key = client->credential->report_key;
    config.verifier = cfc_keyring_verifier(&client->fleet->release_keys);
    config.alloc = cfc_consumer_heap;
    config.seed = random_seed();
    if (options->content_size_max != 0) {
        config.content_size_max = options->content_size_max;
    }
    config.budget_size = options->memory_max != 0 ? options->memory_max : MEMORY_DEFAULT;
    error = cfc_receiver_new(&config, &client->receiver);
    explicit_bzero(&config.session_key, sizeof(config.session_key));
    explicit_bzero(&config.report_key, sizeof(config.report_key));
    return error;
}

static int
open_parts(struct confcast *client, const struct confcast_options *options)
{
    struct cfc_port_udp_config port = {.interface = options->interface};
    int error = load_identity(client, options);

    if (error == CONFCAST_OK && options->state_dir != NULL) {
        struct cfc_cache_config cache = {.dir = options->state_dir, .size_max = CACHE_SIZE_MAX};

        error = cfc_cache_open(&cache, &client->cache);
    }
    if (error == CONFCAST_OK) {
        error = make_receiver(client, options);
    }
    if (error == CONFCAST_OK) {
        port.source = client->fleet->engines[0];
        cfc_fleet_control_group(client->fleet, &port.control_group);
        port.receive_buffer_size = options->receive_buffer_size != 0 ? options->receive_buffer_size
                                                                     : RECEIVE_BUFFER_DEFAULT;
        error = cfc_port_udp_open(&port, &client->port);
    }
    if (error == CONFCAST_OK && client->cache != NULL) {
        error = cfc_persister_start(client->cache, on_persisted, client, &client->persister);
    }
    return error;
}

static int
init_client(struct confcast *client, const struct confcast_options *options)
{
    pthread_mutexattr_t recursive;

    client->pid = getpid();
    client->wake_fd = -1;
    client->log = options->log;
    client->log_arg = options->log_arg;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&client->loop_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    client->sha = cfc_sha256_new();
    client->coder = cfc_coder_new(&cfc_consumer_heap);
    if (client->sha == NULL || client->coder == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return client->wake_fd >= 0 ? CONFCAST_OK : CONFCAST_ERR_RESOURCE;
}

int
confcast_open(const struct confcast_options *options, struct confcast **out)
{
    struct confcast *client;
    int error;

    *out = NULL;
    if (options == NULL || options->size != sizeof(*options) || options->fleet_path == NULL ||
        options->credential_path == NULL || options->interface == NULL) {
        return CONFCAST_ERR_INVALID;
    }
    client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = init_client(client, options);
    if (error == CONFCAST_OK) {
        error = open_parts(client, options);
    }
    if (error == CONFCAST_OK && pthread_create(&client->thread, NULL, run, client) != 0) {
        error = CONFCAST_ERR_RESOURCE;
    }
    if (error != CONFCAST_OK) {
        confcast_close(client);
        return error;
    }
    client->has_thread = true;
    *out = client;
    return CONFCAST_OK;
}

/* ---- Closing --------------------------------------------------------------------------------- */

static void
close_scope(struct confcast_scope *scope)
{
    pthread_mutex_lock(&scope->lock);
    scope->is_closed = true;
    pthread_cond_broadcast(&scope->changed);
    pthread_mutex_unlock(&scope->lock);
}

static void
free_scope(struct confcast_scope *scope)
{
    cfc_view_free(scope->view); /* after a grace period: see confcast_close() */
    pthread_cond_destroy(&scope->changed);
    pthread_mutex_destroy(&scope->lock);
    pthread_mutex_destroy(&scope->callback_lock);
    free(scope);
}

void
confcast_close(struct confcast *client)
{
    if (client == NULL) {
        return;
    }
    atomic_store(&client->is_stopping, true);
    if (client->has_thread) {
        wake(client);
        pthread_join(client->thread, NULL);
    }
    cfc_persister_stop(client->persister);
    for (uint32_t i = 0; i < client->scope_count; i++) {
        close_scope(client->scopes[i]);
    }
    urcu_memb_synchronize_rcu();
    urcu_memb_barrier(); /* retired views */
    for (uint32_t i = 0; i < client->scope_count; i++) {
        free_scope(client->scopes[i]);
    }
    for (uint32_t i = 0; i < client->content_count; i++) {
        cfc_loaded_unref(client->contents[i]);
    }
    cfc_port_udp_close(client->port);
    cfc_receiver_free(client->receiver);
    cfc_cache_close(client->cache);
    cfc_coder_free(client->coder);
    cfc_sha256_free(client->sha);
    if (client->wake_fd >= 0) {
        close(client->wake_fd);
    }
    pthread_mutex_destroy(&client->loop_lock);
    if (client->credential != NULL) {
        explicit_bzero(client->credential, sizeof(*client->credential));
    }
    free(client->credential);
    free(client->fleet);
    free(client);
}

/* ---- Subscriptions --------------------------------------------------------------------------- */

static struct confcast_scope *
new_scope(struct confcast *client, const char *path)
{
    struct confcast_scope *scope = calloc(1, sizeof(*scope));
    pthread_condattr_t monotonic;

    if (scope == NULL) {
        return NULL;
    }
    scope->client = client;
    scope->scope_id = cfc_scope_id(client->sha, path, strlen(path));
    strncpy(scope->path, path, sizeof(scope->path) - 1);
    scope->status.size = sizeof(scope->status);
    pthread_mutex_init(&scope->lock, NULL);
    pthread_mutex_init(&scope->callback_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&scope->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return scope;
}

/* Floor, last head and contents from disk; what they say is served before this returns. */
static void
restore(struct confcast *client, struct confcast_scope *scope)
{
    uint8_t head[CFC_FRAME_SIZE_MAX];
    size_t head_size = 0;
    uint64_t epoch = 0;
    uint64_t version = 0;
    struct cfc_now now = cfc_client_now();

    if (client->cache == NULL ||
        cfc_cache_floor(client->cache, scope->scope_id, &epoch, &version) != CONFCAST_OK) {
        return;
    }
    if (cfc_cache_head(client->cache, scope->scope_id, head, sizeof(head), &head_size) !=
        CONFCAST_OK) {
        head_size = 0;
    }
    cfc_receiver_restore(client->receiver, scope->idx, epoch, version, head_size > 0 ? head : NULL,
                         head_size, &now);
    if (head_size > 0) {
        cfc_client_load_named(client, head, head_size);
    }
    cfc_client_drain_events(client);
    scope->is_from_disk = scope->view != NULL;
}

static int
subscribe(struct confcast *client, const char *path, struct confcast_scope **out)
{
    struct cfc_fleet_address group;
    struct confcast_scope *scope;
    uint32_t idx;
    int error;

    for (uint32_t i = 0; i < client->scope_count; i++) {
        if (strcmp(client->scopes[i]->path, path) == 0) {
            *out = client->scopes[i];
            return CONFCAST_ERR_EXISTS;
        }
    }
    scope = new_scope(client, path);
    if (scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_fleet_group(client->fleet, scope->scope_id, &group);
    error = cfc_port_udp_join(client->port, &group);
    if (error == CONFCAST_OK) {
        error = cfc_receiver_subscribe(client->receiver, path, strlen(path), &idx);
    }
    if (error != CONFCAST_OK) {
        free_scope(scope);
        return error;
    }
    scope->idx = idx;
    client->scopes[idx] = scope;
    client->scope_count = idx + 1;
    restore(client, scope);
    cfc_client_refresh_status(client);
    *out = scope;
    return CONFCAST_OK;
}

int
confcast_subscribe(struct confcast *client, const char *path, struct confcast_scope **out)
{
    int error;

    *out = NULL;
    if (client->pid != getpid()) {
        return CONFCAST_ERR_CLOSED;
    }
    error = cfc_scope_check(path, strlen(path));
    if (error != CONFCAST_OK) {
        return error;
    }
    register_reader();
    pthread_mutex_lock(&client->loop_lock);
    error = subscribe(client, path, out);
    pthread_mutex_unlock(&client->loop_lock);
    wake(client);
    return error;
}

/* ---- Status, waiting, callbacks -------------------------------------------------------------- */

int
confcast_status(const struct confcast_scope *scope, struct confcast_status *status)
{
    struct confcast_scope *mine = (struct confcast_scope *)(uintptr_t)scope;

    if (status->size != sizeof(*status)) {
        return CONFCAST_ERR_INVALID;
    }
    pthread_mutex_lock(&mine->lock);
    *status = mine->status;
    pthread_mutex_unlock(&mine->lock);
    return CONFCAST_OK;
}

/* AGAIN: not yet.  Under the scope's lock. */
static int
wait_result(const struct confcast_scope *scope, uint64_t version)
{
    if (scope->status.serving >= version && scope->status.serving != 0) {
        return CONFCAST_OK;
    }
    if (scope->is_closed) {
        return CONFCAST_ERR_CLOSED;
    }
    if (scope->status.state == CONFCAST_STATE_REJECTED && scope->status.accepted >= version) {
        return scope->status.reason;
    }
    return CONFCAST_ERR_AGAIN;
}

int
confcast_wait(struct confcast_scope *scope, uint64_t version, uint32_t timeout_ms)
{
    struct timespec deadline;
    int result;

    if (scope->client->pid != getpid()) {
        return CONFCAST_ERR_CLOSED;
    }
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_nsec -= 1000000000;
        deadline.tv_sec++;
    }
    pthread_mutex_lock(&scope->lock);
    while ((result = wait_result(scope, version)) == CONFCAST_ERR_AGAIN) {
        if (pthread_cond_timedwait(&scope->changed, &scope->lock, &deadline) == ETIMEDOUT) {
            result = wait_result(scope, version);
            result = result == CONFCAST_ERR_AGAIN ? CONFCAST_ERR_TIMEOUT : result;
            break;
        }
    }
    pthread_mutex_unlock(&scope->lock);
    return result;
}

/* Waits for a running callback, unless it is the one that asks. */
static bool
lock_callbacks(struct confcast_scope *scope)
{
    if (pthread_equal(pthread_self(), scope->client->thread)) {
        return false;
    }
    pthread_mutex_lock(&scope->callback_lock);
    return true;
}

static void
unlock_callbacks(struct confcast_scope *scope, bool is_locked)
{
    if (is_locked) {
        pthread_mutex_unlock(&scope->callback_lock);
    }
}

int
confcast_on_change(struct confcast_scope *scope, confcast_change_fn *fn, void *arg)
{
    bool is_locked = lock_callbacks(scope);

    scope->change = fn;
    scope->change_arg = arg;
    unlock_callbacks(scope, is_locked);
    return CONFCAST_OK;
}

int
confcast_set_validator(struct confcast_scope *scope, confcast_validate_fn *fn, void *arg)
{
    bool is_locked = lock_callbacks(scope);

    scope->validate = fn;
    scope->validate_arg = arg;
    unlock_callbacks(scope, is_locked);
    return CONFCAST_OK;
}

int
confcast_on_event(struct confcast *client, confcast_event_fn *fn, void *arg)
{
    if (client->pid != getpid()) {
        return CONFCAST_ERR_CLOSED;
    }
    pthread_mutex_lock(&client->loop_lock);
    client->event = fn;
    client->event_arg = arg;
    pthread_mutex_unlock(&client->loop_lock);
    return CONFCAST_OK;
}
