#include "consumer/app/outlet.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "consumer/app/export.h"
#include "consumer/app/hook.h"
#include "consumer/cache_file.h"
#include "consumer/scope.h"
#include "consumer/view.h"
#include "protocol/base/limits.h"
#include "protocol/base/time.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/json_write.h"

enum {
    SCOPES_MAX = 256,
    RETRY_MIN_MS = 1000,
    RETRY_MAX_MS = 64000,
    COMMAND_SIZE_MAX = 1 << 16, /* of one that is noted as done */
};

struct outlet_scope {
    struct cfc_digest exported; /* zero: none by this agent */
    struct cfc_digest tried;    /* of the command, whatever came of it */
    int export_error;           /* told of once */
};

struct cfc_outlet {
    struct cfc_outlet_config config;
    int export_fd;
    int executed_fd;
    int wake_fd;
    int stop_fd;
    int retry_ms; /* 0: nothing has failed */
    pthread_t thread;
    bool has_thread;
    atomic_bool is_stopping;
    struct outlet_scope scopes[SCOPES_MAX];
};

/* What a scope serves, held while it goes out. */
struct served {
    struct cfc_loaded *loaded; /* a reference; NULL: nothing */
    uint64_t epoch;
    uint64_t version;
};

__attribute__((format(printf, 3, 4))) static void
say(struct cfc_outlet *outlet, int level, const char *format, ...)
{
    char line[512];
    va_list args;

    if (outlet->config.log == NULL) {
        return;
    }
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    outlet->config.log(outlet->config.log_arg, level, line);
}

static void
tell(struct cfc_outlet *outlet, size_t i, const char *word, const struct served *served, int reason)
{
    struct confcast_event event = {.event = word,
                                   .scope = outlet->config.paths[i],
                                   .epoch = served->epoch,
                                   .version = served->version,
                                   .bytes = served->loaded->body_size,
                                   .reason = reason};
    struct timespec now;

    if (outlet->config.event == NULL) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    event.unix_ns = (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
    memcpy(event.content, served->loaded->id.bytes, sizeof(event.content));
    outlet->config.event(outlet->config.event_arg, &event);
}

static struct served
take_served(const struct confcast_scope *scope)
{
    struct served served = {.loaded = NULL};
    const struct confcast_view *view;

    confcast_read_lock();
    view = confcast_view(scope);
    if (view != NULL) {
        served.loaded = cfc_loaded_ref(view->loaded);
        served.epoch = view->served.epoch;
        served.version = view->served.version;
    }
    confcast_read_unlock();
    return served;
}

/* ---- Files ----------------------------------------------------------------------------------- */

static int
export_one(struct cfc_outlet *outlet, size_t i, const struct served *served,
           const struct cfc_buffer *json)
{
    struct outlet_scope *scope = &outlet->scopes[i];
    bool is_doubtful = cfc_digest_is_zero(&scope->exported) || scope->export_error != CONFCAST_OK;
    int error =
        cfc_export_write(outlet->export_fd, outlet->config.paths[i], outlet->config.export_mode,
                         (const char *)json->bytes, json->size, is_doubtful);

    if (error == CONFCAST_OK) {
        scope->exported = served->loaded->id;
        tell(outlet, i, "exported", served, 0);
    } else if (error != scope->export_error) {
        say(outlet, 0, "cannot write %s/%s.json: %s", outlet->config.export_dir,
            outlet->config.paths[i], confcast_error_text(error));
        tell(outlet, i, "export_failed", served, error);
    }
    scope->export_error = error;
    return error;
}

/* ---- The command ----------------------------------------------------------------------------- */

static void
note_name(const struct confcast_scope *scope, char name[17])
{
    snprintf(name, 17, "%016llx", (unsigned long long)scope->scope_id);
}

/* What is noted of a command that ended well: for which content, and which command. */
static size_t
note_of(const struct cfc_outlet *outlet, const struct served *served, uint8_t *note)
{
    size_t size = strlen(outlet->config.command);

    memcpy(note, served->loaded->id.bytes, 32);
    memcpy(note + 32, outlet->config.command, size);
    return 32 + size;
}

static bool
was_executed(struct cfc_outlet *outlet, size_t i, const struct served *served)
{
    uint8_t note[32 + COMMAND_SIZE_MAX];
    size_t size = note_of(outlet, served, note);
    uint8_t *bytes = NULL;
    size_t there = 0;
    bool is_same;
    char name[17];

    note_name(outlet->config.scopes[i], name);
    if (cfc_file_read(outlet->executed_fd, name, sizeof(note), &bytes, &there) != CONFCAST_OK) {
        return false;
    }
    is_same = there == size && memcmp(bytes, note, size) == 0;
    free(bytes);
    return is_same;
}

static void
note_executed(struct cfc_outlet *outlet, size_t i, const struct served *served)
{
    uint8_t note[32 + COMMAND_SIZE_MAX];
    size_t size = note_of(outlet, served, note);
    char name[17];

    note_name(outlet->config.scopes[i], name);
    if (cfc_file_replace(outlet->executed_fd, name, note, size) != CONFCAST_OK) {
        say(outlet, 1, "cannot note that the command ran: the next agent runs it again scope=%s",
            outlet->config.paths[i]);
    }
}

/* Whatever comes of a run, the host is no more as the last good one left it. */
static void
forget_executed(struct cfc_outlet *outlet, size_t i)
{
    char name[17];

    note_name(outlet->config.scopes[i], name);
    if (unlinkat(outlet->executed_fd, name, 0) == 0) {
        (void)cfc_dir_sync(outlet->executed_fd);
    }
}

/* false: it could not be run now. */
static bool
execute(struct cfc_outlet *outlet, size_t i, const struct served *served,
        const struct cfc_buffer *json)
{
    char file[4096];
    struct cfc_hook_run run = {
        .command = outlet->config.command,
        .scope = outlet->config.paths[i],
        .epoch = served->epoch,
        .version = served->version,
        .content = served->loaded->id.bytes,
        .json = (const char *)json->bytes,
        .json_size = json->size,
        .timeout_ms = outlet->config.timeout_s * 1000,
        .stop_fd = outlet->stop_fd,
    };
    int status;
    int error;

    if (outlet->export_fd >= 0) {
        snprintf(file, sizeof(file), "%s/%s.json", outlet->config.export_dir,
                 outlet->config.paths[i]);
        run.file = file;
    }
    forget_executed(outlet, i);
    error = cfc_hook_run(&run, &status);
    if (error == CONFCAST_OK) {
        note_executed(outlet, i, served);
        tell(outlet, i, "executed", served, 0);
    } else if (error == CONFCAST_ERR_RESOURCE || error == CONFCAST_ERR_NO_MEMORY ||
               error == CONFCAST_ERR_NO_SPACE || error == CONFCAST_ERR_IO) {
        say(outlet, 1, "the command cannot be run now scope=%s error=%s", outlet->config.paths[i],
            confcast_error_word(error));
        return false;
    } else if (error != CONFCAST_ERR_CLOSED) {
        say(outlet, 0, "the command failed scope=%s version=%llu status=%d error=%s",
            outlet->config.paths[i], (unsigned long long)served->version, status,
            confcast_error_word(error));
        tell(outlet, i, "exec_failed", served, error);
    }
    return true;
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* false: it is to be tried again. */
static bool
send_out(struct cfc_outlet *outlet, size_t i, const struct served *served)
{
    struct outlet_scope *scope = &outlet->scopes[i];
    const struct cfc_digest *id = &served->loaded->id;
    bool is_export_due = outlet->export_fd >= 0 && !cfc_digest_equal(&scope->exported, id);
    bool is_command_due = outlet->config.command != NULL && !cfc_digest_equal(&scope->tried, id);
    struct cfc_buffer json;
    bool is_done = false;

    if (!is_export_due && !is_command_due) {
        return true;
    }
    cfc_buffer_init(&json, &cfc_consumer_heap, SIZE_MAX / 2);
    if (cfc_json_write(&json, cfc_body_root(served->loaded->body)) == CONFCAST_OK) {
        is_done = !is_export_due || export_one(outlet, i, served, &json) == CONFCAST_OK;
        if (is_done && is_command_due) {
            is_done = was_executed(outlet, i, served) || execute(outlet, i, served, &json);
            scope->tried = is_done ? *id : scope->tried;
        }
    }
    cfc_buffer_free(&json);
    return is_done;
}

static bool
send_out_all(struct cfc_outlet *outlet)
{
    bool is_done = true;

    for (size_t i = 0; i < outlet->config.scope_count && !atomic_load(&outlet->is_stopping); i++) {
        struct served served = take_served(outlet->config.scopes[i]);

        if (served.loaded != NULL) {
            is_done = send_out(outlet, i, &served) && is_done;
            cfc_loaded_unref(served.loaded);
        }
    }
    return is_done;
}

static void
set_retry(struct cfc_outlet *outlet, bool is_done)
{
    if (is_done) {
        outlet->retry_ms = 0;
    } else if (outlet->retry_ms == 0) {
        outlet->retry_ms = RETRY_MIN_MS;
    } else if (outlet->retry_ms < RETRY_MAX_MS) {
        outlet->retry_ms *= 2;
    }
}

static void *
run(void *arg)
{
    struct cfc_outlet *outlet = arg;

    while (!atomic_load(&outlet->is_stopping)) {
        struct pollfd polls[2] = {{.fd = outlet->wake_fd, .events = POLLIN},
                                  {.fd = outlet->stop_fd, .events = POLLIN}};
        uint64_t count;

        set_retry(outlet, send_out_all(outlet));
        if (poll(polls, 2, outlet->retry_ms > 0 ? outlet->retry_ms : -1) > 0 &&
            (polls[0].revents & POLLIN) != 0) {
            (void)!read(outlet->wake_fd, &count, sizeof(count));
        }
    }
    return NULL;
}

static void
signal_fd(int fd)
{
    uint64_t one = 1;

    (void)!write(fd, &one, sizeof(one)); /* a full counter is readable */
}

static void
on_change(void *arg, struct confcast_scope *scope, const struct confcast_view *before,
          const struct confcast_view *after)
{
    struct cfc_outlet *outlet = arg;

    (void)scope;
    (void)before;
    (void)after;
    signal_fd(outlet->wake_fd);
}

/* ---- Start and stop -------------------------------------------------------------------------- */

static int
open_state(struct cfc_outlet *outlet)
{
    bool is_new;
    int dir_fd;
    int error = cfc_dir_open(AT_FDCWD, outlet->config.state_dir, false, &dir_fd, &is_new);

    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_dir_open(dir_fd, "executed", true, &outlet->executed_fd, &is_new);
    close(dir_fd);
    if (error == CONFCAST_OK) {
        cfc_dir_clean(outlet->executed_fd);
    }
    return error;
}

static int
start(struct cfc_outlet *outlet)
{
    int error = CONFCAST_OK;

    if (outlet->config.command != NULL) {
        error = strlen(outlet->config.command) <= COMMAND_SIZE_MAX ? open_state(outlet)
                                                                   : CONFCAST_ERR_LIMIT;
    }
    if (error == CONFCAST_OK && outlet->config.export_dir != NULL) {
        error = cfc_export_open(outlet->config.export_dir, &outlet->export_fd);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    outlet->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    outlet->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (outlet->wake_fd < 0 || outlet->stop_fd < 0) {
        return CONFCAST_ERR_RESOURCE;
    }
    for (size_t i = 0; i < outlet->config.scope_count; i++) {
        error = confcast_on_change(outlet->config.scopes[i], on_change, outlet);
        if (error != CONFCAST_OK) {
            return error;
        }
    }
    outlet->has_thread = pthread_create(&outlet->thread, NULL, run, outlet) == 0;
    return outlet->has_thread ? CONFCAST_OK : CONFCAST_ERR_RESOURCE;
}

int
cfc_outlet_start(const struct cfc_outlet_config *config, struct cfc_outlet **out)
{
    struct cfc_outlet *outlet = calloc(1, sizeof(*outlet));
    int error;

    *out = NULL;
    if (outlet == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    outlet->config = *config;
    outlet->export_fd = -1;
    outlet->executed_fd = -1;
    outlet->wake_fd = -1;
    outlet->stop_fd = -1;
    error = start(outlet);
    if (error != CONFCAST_OK) {
        cfc_outlet_stop(outlet);
        return error;
    }
    *out = outlet;
    return CONFCAST_OK;
}

static void
close_if_open(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void
cfc_outlet_stop(struct cfc_outlet *outlet)
{
    if (outlet == NULL) {
        return;
    }
    for (size_t i = 0; i < outlet->config.scope_count; i++) {
        (void)confcast_on_change(outlet->config.scopes[i], NULL, NULL);
    }
    atomic_store(&outlet->is_stopping, true);
    if (outlet->has_thread) {
        signal_fd(outlet->stop_fd);
        pthread_join(outlet->thread, NULL);
    }
    close_if_open(outlet->export_fd);
    close_if_open(outlet->executed_fd);
    close_if_open(outlet->wake_fd);
    close_if_open(outlet->stop_fd);
    free(outlet);
}
