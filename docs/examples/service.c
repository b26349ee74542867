/* A small service that takes its settings from confcast:
 *
 *     cc -std=c11 service.c $(pkg-config --cflags --libs confcast) -o service
 *     ./service fleet.json credential.json eth0 /var/lib/service acme/checkout/prod
 *
 * It prints a setting when it changes, and ends when its input does. */
#include <stdio.h>
#include <string.h>

#include <confcast/confcast.h>

/* Says no to what this program could not work with.  Nobody has seen it yet. */
static int
validate(void *arg, struct confcast_scope *scope, const struct confcast_view *candidate)
{
    int64_t limit =
        confcast_get_i64(candidate, CONFCAST_KEY("/http_server/concurrency_max"), 1, NULL);

    (void)arg;
    (void)scope;
    return limit > 0 ? 0 : 1;
}

/* Both views may be compared; `before` is NULL for the first one. */
static void
on_change(void *arg, struct confcast_scope *scope, const struct confcast_view *before,
          const struct confcast_view *after)
{
    const struct confcast_key *key = CONFCAST_KEY("/http_server/concurrency_max");

    (void)arg;
    (void)scope;
    printf("version %llu: concurrency_max %lld -> %lld\n",
           (unsigned long long)confcast_view_version(after),
           (long long)confcast_get_i64(before, key, 0, NULL),
           (long long)confcast_get_i64(after, key, 0, NULL));
}

/* What every request does: a few nanoseconds, no lock, one version throughout. */
static void
serve_request(const struct confcast_scope *scope)
{
    const struct confcast_view *view;

    confcast_read_lock();
    view = confcast_view(scope);
    if (confcast_get_bool(view, CONFCAST_KEY("/features/greeting"), true, NULL)) {
        printf("hello from version %llu, limit %lld\n",
               view != NULL ? (unsigned long long)confcast_view_version(view) : 0,
               (long long)confcast_get_i64(view, CONFCAST_KEY("/http_server/concurrency_max"), 64,
                                           NULL));
    }
    confcast_read_unlock();
}

int
main(int argc, char **argv)
{
    struct confcast_options options = CONFCAST_OPTIONS_INIT;
    struct confcast_scope_options watch = CONFCAST_SCOPE_OPTIONS_INIT;
    struct confcast *client;
    struct confcast_scope *scope;
    int error;

    if (argc != 6) {
        fprintf(stderr, "usage: service FLEET CREDENTIAL INTERFACE STATE_DIR SCOPE\n");
        return 3;
    }
    options.fleet_path = argv[1];
    options.credential_path = argv[2];
    options.interface = argv[3];
    options.state_dir = argv[4];
    watch.validate = validate;
    watch.change = on_change;
    error = confcast_open(&options, &client);
    if (error == CONFCAST_OK) {
        error = confcast_subscribe(client, argv[5], &watch, &scope);
    }
    if (error != CONFCAST_OK) {
        fprintf(stderr, "service: %s\n", confcast_error_text(error));
        confcast_close(client);
        return 2;
    }
    /* With a state directory this is short from the second start on.  Going on without a config is
     * fine as well: every getter has a default. */
    error = confcast_wait(scope, 1, 5000);
    if (error != CONFCAST_OK) {
        fprintf(stderr, "service: starting on defaults: %s\n", confcast_error_text(error));
    }
    do {
        serve_request(scope);
    } while (getchar() != EOF);
    confcast_close(client);
    return 0;
}
