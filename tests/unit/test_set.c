/* Sets: scopes that readers see change together. */
#include "consumer/set.h"

#include <pthread.h>
#include <sys/wait.h>

#include "consumer/app/share_server.h"
#include "consumer/client.h"
#include "tests/unit/client_fixture.h"
#include "tests/unit/cunit_main.h"

enum {
    MEMBERS = 2,
    CONTENTS_MAX = 2
};

static const char *const paths[MEMBERS] = {CLIENT_SCOPE, "acme/checkout/limits"};

struct fixture {
    struct bench b;
    struct confcast_scope *scopes[MEMBERS];
    struct confcast_set *set;
};

static void
subscribe_both(struct confcast *client, struct confcast_scope **scopes,
               const struct confcast_scope_options *second)
{
    CU_ASSERT_EQUAL_FATAL(confcast_subscribe(client, paths[0], NULL, &scopes[0]), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(confcast_subscribe(client, paths[1], second, &scopes[1]), CONFCAST_OK);
}

static void
open_set(struct fixture *f, const struct confcast_scope_options *second,
         const struct confcast_set_options *options)
{
    bench_open(&f->b);
    subscribe_both(f->b.client, f->scopes, second);
    CU_ASSERT_EQUAL_FATAL(confcast_set_open(f->b.client, f->scopes, MEMBERS, options, &f->set),
                          CONFCAST_OK);
}

static void
begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    bench_begin(&f->b);
    open_set(f, NULL, NULL);
}

static void
end(struct fixture *f)
{
    bench_end(&f->b);
}

/* A head of a member that names {"n": n[0]}, and {"n": n[1]} as its fallback if there are two; the
 * first rides in it, the second is held from an earlier version. */
static struct cfc_head
head_of(struct fixture *f, int member, uint64_t version, const int64_t *n, size_t count,
        uint8_t body[CLIENT_BODY_MAX])
{
    static uint8_t spare[CLIENT_BODY_MAX];
    struct cfc_digest ids[CONTENTS_MAX];
    struct cfc_head head;
    size_t size;

    if (count > 1) {
        bench_body(&f->b, n[1], 50, spare, &ids[1]);
    }
    size = bench_body(&f->b, n[0], 50, body, &ids[0]);
    head = bench_head(&f->b, version, &ids[0]);
    head.scope = paths[member];
    head.scope_size = (uint16_t)strlen(paths[member]);
    head.arms[0].fallback = count > 1 ? ids[1] : head.arms[0].fallback;
    head.inlined = (struct cfc_inline_content){.is_present = true,
                                               .encoding = CFC_ENCODING_RAW,
                                               .body_size = (uint32_t)size,
                                               .coded = body,
                                               .coded_size = size};
    return head;
}

static void
publish(struct fixture *f, int member, uint64_t version, int64_t n)
{
    uint8_t body[CLIENT_BODY_MAX];
    struct cfc_head head = head_of(f, member, version, &n, 1, body);

    bench_send_head(&f->b, &head);
}

static void
publish_both(struct fixture *f, uint64_t version, int64_t n)
{
    publish(f, 0, version, n);
    publish(f, 1, version, n);
}

static int64_t
n_of(const struct confcast_view *view)
{
    return confcast_get_i64(view, CONFCAST_KEY("/n"), -1, NULL);
}

/* What a section sees of the set: both numbers in one, as 1000 * first + second. */
static int64_t
seen(const struct confcast_set *set)
{
    const struct confcast_set_view *view;
    int64_t n;

    confcast_read_lock();
    view = confcast_set_view(set);
    n = 1000 * n_of(confcast_set_member(view, 0)) + n_of(confcast_set_member(view, 1));
    confcast_read_unlock();
    return n;
}

static struct confcast_set_status
status_of(const struct confcast_set *set)
{
    struct confcast_set_status status = {.size = sizeof(status)};

    CU_ASSERT_EQUAL(confcast_set_status(set, &status), CONFCAST_OK);
    return status;
}

static void
nothing_is_seen_until_all_members_have_the_same_version(void)
{
    struct confcast_set_status status;
    struct fixture f;

    begin(&f);
    status = status_of(f.set);
    CU_ASSERT_EQUAL(status.serving, 0);
    CU_ASSERT_FALSE(status.is_held);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 1, 0), CONFCAST_ERR_TIMEOUT);
    publish(&f, 0, 10, 1);
    BENCH_AWAIT(status_of(f.set).is_held);
    status = status_of(f.set);
    CU_ASSERT_EQUAL(status.newest, 10);
    CU_ASSERT_EQUAL(status.serving, 0);
    CU_ASSERT_EQUAL(status.held_by, 1);
    CU_ASSERT_EQUAL(status.reason, CONFCAST_ERR_AGAIN);
    CU_ASSERT_EQUAL(status.state, CONFCAST_STATE_NONE);
    CU_ASSERT_EQUAL(status.member_accepted, 0);
    confcast_read_lock();
    CU_ASSERT_PTR_NULL(confcast_set_view(f.set));
    CU_ASSERT_EQUAL(n_of(confcast_view(f.scopes[0])), 1); /* alone it is served */
    confcast_read_unlock();
    publish(&f, 1, 10, 2);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen(f.set), 1002);
    status = status_of(f.set);
    CU_ASSERT_FALSE(status.is_held);
    CU_ASSERT_EQUAL(status.serving, 10);
    CU_ASSERT_EQUAL(status.held_ns, 0);
    end(&f);
}

static void
members_change_and_go_back_together(void)
{
    uint8_t body[CLIENT_BODY_MAX];
    const int64_t first = 1;
    struct fixture f;

    begin(&f);
    publish_both(&f, 10, 1);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    publish(&f, 0, 11, 2);
    CU_ASSERT_EQUAL(confcast_wait(f.scopes[0], 11, CLIENT_WAIT_MS), CONFCAST_OK);
    BENCH_AWAIT(status_of(f.set).is_held);
    CU_ASSERT_EQUAL(seen(f.set), 1001);
    publish(&f, 1, 11, 2);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen(f.set), 2002);
    for (int member = 0; member < MEMBERS; member++) {
        struct cfc_head head = head_of(&f, member, 12, &first, 1, body);

        head.kind = CFC_HEAD_ROLLBACK;
        bench_send_head(&f.b, &head);
        if (member == 0) {
            CU_ASSERT_EQUAL(confcast_wait(f.scopes[0], 12, CLIENT_WAIT_MS), CONFCAST_OK);
            CU_ASSERT_EQUAL(seen(f.set), 2002);
        }
    }
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen(f.set), 1001);
    end(&f);
}

/* One that never came for a member is not waited for when both have a later one. */
static void
a_version_that_a_member_missed_is_skipped(void)
{
    struct fixture f;

    begin(&f);
    publish_both(&f, 10, 1);
    publish(&f, 0, 11, 2);
    publish_both(&f, 12, 3);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen(f.set), 3003);
    CU_ASSERT_FALSE(status_of(f.set).is_held);
    end(&f);
}

static int
refuse_seven(void *arg, struct confcast_scope *scope, const struct confcast_view *candidate)
{
    (void)arg;
    (void)scope;
    return n_of(candidate) == 7;
}

static void
count_event(void *arg, const struct confcast_event *event)
{
    atomic_int *held = arg;

    if (strcmp(event->event, "set_held") == 0 && strcmp(event->scope, paths[1]) == 0 &&
        event->reason == CONFCAST_ERR_APP_REJECT && event->version == 11) {
        atomic_fetch_add(held, 1);
    }
}

static void
a_refused_member_holds_the_set_and_is_named(void)
{
    struct confcast_scope_options second = CONFCAST_SCOPE_OPTIONS_INIT;
    struct confcast_set_options options = CONFCAST_SET_OPTIONS_INIT;
    struct confcast_set_status status;
    atomic_int held = 0;
    struct fixture f;

    memset(&f, 0, sizeof(f));
    second.validate = refuse_seven;
    options.held_ms = 50;
    bench_begin(&f.b);
    open_set(&f, &second, &options);
    confcast_on_event(f.b.client, count_event, &held);
    publish_both(&f, 10, 1);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    publish_both(&f, 11, 7);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 11, CLIENT_WAIT_MS), CONFCAST_ERR_APP_REJECT);
    status = status_of(f.set);
    CU_ASSERT_TRUE(status.is_held);
    CU_ASSERT_EQUAL(status.held_by, 1);
    CU_ASSERT_EQUAL(status.reason, CONFCAST_ERR_APP_REJECT);
    CU_ASSERT_EQUAL(status.state, CONFCAST_STATE_REJECTED);
    CU_ASSERT_EQUAL(status.member_accepted, 11);
    CU_ASSERT_EQUAL(seen(f.set), 1001);
    BENCH_AWAIT(held > 0);
    BENCH_AWAIT(status_of(f.set).held_ns >= 50 * CFC_MS);
    publish_both(&f, 12, 2);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen(f.set), 2002);
    CU_ASSERT_EQUAL(held, 1);
    end(&f);
}

struct watcher {
    pthread_t thread;
    const struct confcast_set *set;
    atomic_bool is_ending;
    int64_t mixed;
    int64_t reads;
};

static void *
watch(void *arg)
{
    struct watcher *w = arg;

    while (!atomic_load(&w->is_ending)) {
        int64_t n = seen(w->set);

        w->reads++;
        w->mixed += n / 1000 != n % 1000;
    }
    return NULL;
}

/* Both heads activate, and later revert, at the same signed times. */
static void
members_activate_and_revert_together(void)
{
    uint64_t now_ns = bench_unix_ns();
    const int64_t n[2] = {2, 1};
    uint8_t body[CLIENT_BODY_MAX];
    struct watcher w = {.mixed = 0};
    struct fixture f;

    begin(&f);
    publish_both(&f, 10, 1);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    w.set = f.set;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&w.thread, NULL, watch, &w), 0);
    for (int member = 0; member < MEMBERS; member++) {
        struct cfc_head head = head_of(&f, member, 11, n, 2, body);

        head.activation = CFC_ACTIVATE_AT;
        head.activate_unix_ns = now_ns + 300 * CFC_MS;
        head.confirm_by_unix_ns = now_ns + 600 * CFC_MS;
        bench_send_head(&f.b, &head);
    }
    BENCH_AWAIT(seen(f.set) == 2002);
    BENCH_AWAIT(seen(f.set) == 1001);
    BENCH_AWAIT(!status_of(f.set).is_held);
    CU_ASSERT_EQUAL(status_of(f.set).serving, 11);
    atomic_store(&w.is_ending, true);
    pthread_join(w.thread, NULL);
    CU_ASSERT(w.reads > 0);
    CU_ASSERT_EQUAL(w.mixed, 0);
    end(&f);
}

/* Of two members under one version only one waits for its confirmation: the other goes its way. */
static void
a_member_with_other_times_does_not_hold_the_set(void)
{
    const int64_t n[2] = {2, 1};
    uint8_t body[CLIENT_BODY_MAX];
    struct cfc_head head;
    struct fixture f;

    begin(&f);
    publish_both(&f, 10, 1);
    head = head_of(&f, 0, 11, n, 2, body);
    head.confirm_by_unix_ns = bench_unix_ns() + 200 * CFC_MS;
    bench_send_head(&f.b, &head);
    publish(&f, 1, 11, 2);
    BENCH_AWAIT(seen(f.set) == 2002);
    BENCH_AWAIT(seen(f.set) == 1002);
    CU_ASSERT_FALSE(status_of(f.set).is_held);
    end(&f);
}

/* The rule itself, since the moment between two members' timers is short. */
static void
members_in_other_phases_of_one_version_hold_the_set(void)
{
    struct confcast_view *views[MEMBERS];
    struct fixture f;

    begin(&f);
    publish_both(&f, 10, 1);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    confcast_set_close(f.set);
    /* Without a set nobody looks at these fields. */
    for (int i = 0; i < MEMBERS; i++) {
        views[i] = f.scopes[i]->view;
        views[i]->served.confirm_unix_ns = 5;
        views[i]->served.phase = CFC_APPLY_APPLIED;
    }
    views[1]->served.phase = CFC_APPLY_REVERTED;
    CU_ASSERT_EQUAL_FATAL(confcast_set_open(f.b.client, f.scopes, MEMBERS, NULL, &f.set),
                          CONFCAST_OK);
    CU_ASSERT_PTR_NULL(f.set->view);
    CU_ASSERT_EQUAL(status_of(f.set).held_by, 0); /* it is to be reverted, too */
    confcast_set_close(f.set);
    views[1]->served.confirm_unix_ns = 0; /* without one it is as it is for good */
    CU_ASSERT_EQUAL_FATAL(confcast_set_open(f.b.client, f.scopes, MEMBERS, NULL, &f.set),
                          CONFCAST_OK);
    CU_ASSERT_PTR_NOT_NULL(f.set->view);
    end(&f);
}

struct told {
    int count;
    int64_t before;
    int64_t after;
};

static void
note_change(void *arg, struct confcast_set *set, const struct confcast_set_view *before,
            const struct confcast_set_view *after)
{
    struct told *told = arg;

    told->count++;
    told->before =
        1000 * n_of(confcast_set_member(before, 0)) + n_of(confcast_set_member(before, 1));
    told->after = 1000 * n_of(confcast_set_member(after, 0)) + n_of(confcast_set_member(after, 1));
    CU_ASSERT_PTR_EQUAL(confcast_set_view(set), after);
    CU_ASSERT_EQUAL(confcast_set_close(set), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(confcast_set_wait(set, 1000, 1), CONFCAST_ERR_INVALID);
}

static void
a_change_is_told_once_with_both_views(void)
{
    struct confcast_set_options options = CONFCAST_SET_OPTIONS_INIT;
    struct told told = {.count = 0};
    struct fixture f;

    memset(&f, 0, sizeof(f));
    options.change = note_change;
    options.change_arg = &told;
    bench_begin(&f.b);
    open_set(&f, NULL, &options);
    publish_both(&f, 10, 1);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(told.count, 1);
    CU_ASSERT_EQUAL(told.before, -1001);
    publish_both(&f, 11, 1); /* the same contents */
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 11, CLIENT_WAIT_MS), CONFCAST_OK);
    publish(&f, 0, 12, 1);
    publish(&f, 1, 12, 5);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_close(&f.b);
    CU_ASSERT_EQUAL(told.count, 2);
    CU_ASSERT_EQUAL(told.before, 1001);
    CU_ASSERT_EQUAL(told.after, 1005);
    end(&f);
}

static void
a_restart_serves_the_set_from_disk(void)
{
    struct fixture f;

    begin(&f);
    publish_both(&f, 10, 4);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    bench_close(&f.b);
    open_set(&f, NULL, NULL);
    CU_ASSERT_EQUAL(seen(f.set), 4004);
    end(&f);
}

static void
what_cannot_be_a_set_is_refused(void)
{
    struct confcast_scope *many[CONFCAST_SET_SCOPES_MAX + 1];
    struct confcast_set_options odd = CONFCAST_SET_OPTIONS_INIT;
    struct confcast_set_status status = {.size = 8};
    struct confcast_set *set;
    struct fixture f;
    char path[64];
    int count = 1; /* the fixture's */

    begin(&f);
    CU_ASSERT_EQUAL(confcast_set_open(f.b.client, f.scopes, 0, NULL, &set), CONFCAST_ERR_INVALID);
    CU_ASSERT_PTR_NULL(set);
    many[0] = many[1] = f.scopes[0];
    CU_ASSERT_EQUAL(confcast_set_open(f.b.client, many, 2, NULL, &set), CONFCAST_ERR_INVALID);
    many[1] = NULL;
    CU_ASSERT_EQUAL(confcast_set_open(f.b.client, many, 2, NULL, &set), CONFCAST_ERR_INVALID);
    odd.size = 8;
    CU_ASSERT_EQUAL(confcast_set_open(f.b.client, many, 1, &odd, &set), CONFCAST_ERR_INVALID);
    for (int i = 0; i < CONFCAST_SET_SCOPES_MAX + 1; i++) {
        snprintf(path, sizeof(path), "acme/many/s%d", i);
        CU_ASSERT_EQUAL(confcast_subscribe(f.b.client, path, NULL, &many[i]), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(confcast_set_open(f.b.client, many, CONFCAST_SET_SCOPES_MAX + 1, NULL, &set),
                    CONFCAST_ERR_INVALID);
    while (confcast_set_open(f.b.client, many, CONFCAST_SET_SCOPES_MAX, NULL, &set) ==
           CONFCAST_OK) {
        count++;
    }
    CU_ASSERT_EQUAL(count, CONFCAST_SETS_MAX);
    CU_ASSERT_EQUAL(confcast_set_open(f.b.client, many, 1, NULL, &set), CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(confcast_set_close(f.set), CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_set_open(f.b.client, many, 1, NULL, &set), CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_set_close(NULL), CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_set_status(set, &status), CONFCAST_ERR_INVALID);
    CU_ASSERT_PTR_NULL(confcast_set_member(NULL, 0));
    CU_ASSERT_EQUAL(confcast_set_version(NULL), 0);
    end(&f);
}

struct waiter {
    struct confcast_set *set;
    int result;
};

static void *
wait_for_ever(void *arg)
{
    struct waiter *w = arg;

    w->result = confcast_set_wait(w->set, 99, 60000);
    return NULL;
}

static void
closing_sends_waiters_away_and_leaves_sections_their_views(void)
{
    const struct confcast_set_view *view;
    struct waiter w = {.result = 0};
    struct fixture f;
    pthread_t thread;

    begin(&f);
    publish_both(&f, 10, 3);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    w.set = f.set;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, wait_for_ever, &w), 0);
    for (bool is_waiting = false; !is_waiting;) {
        pthread_mutex_lock(&f.set->lock);
        is_waiting = f.set->waiter_count > 0;
        pthread_mutex_unlock(&f.set->lock);
    }
    confcast_read_lock();
    view = confcast_set_view(f.set);
    CU_ASSERT_EQUAL(confcast_set_close(f.set), CONFCAST_OK);
    CU_ASSERT_EQUAL(n_of(confcast_set_member(view, 1)), 3);
    CU_ASSERT_PTR_NULL(confcast_set_member(view, MEMBERS));
    confcast_read_unlock();
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(w.result, CONFCAST_ERR_CLOSED);
    publish_both(&f, 11, 4); /* members go on */
    CU_ASSERT_EQUAL(confcast_wait(f.scopes[1], 11, CLIENT_WAIT_MS), CONFCAST_OK);
    end(&f);
}

/* ---- Through the agent ----------------------------------------------------------------------- */

static struct cfc_share_server *
share(struct fixture *f, const char *path)
{
    struct cfc_share_server_config config = {.path = path,
                                             .mode = 0600,
                                             .client = f->b.client,
                                             .scopes = f->scopes,
                                             .paths = paths,
                                             .scope_count = MEMBERS};
    struct cfc_share_server *server = NULL;

    CU_ASSERT_EQUAL_FATAL(cfc_share_server_start(&config, &server), CONFCAST_OK);
    return server;
}

static void
a_process_and_its_children_have_sets_through_the_agent(void)
{
    struct confcast_options options = CONFCAST_OPTIONS_INIT;
    struct confcast_scope *scopes[MEMBERS];
    struct cfc_share_server *server;
    struct confcast_set *set;
    struct confcast *client;
    struct fixture f;
    char path[320];
    int status = -1;
    int ready[2];
    char byte = 0;
    pid_t child;

    begin(&f);
    snprintf(path, sizeof(path), "%s/share", f.b.dir.path);
    server = share(&f, path);
    publish_both(&f, 10, 1);
    CU_ASSERT_EQUAL(confcast_set_wait(f.set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    options.agent_path = path;
    CU_ASSERT_EQUAL_FATAL(confcast_open(&options, &client), CONFCAST_OK);
    subscribe_both(client, scopes, NULL);
    CU_ASSERT_EQUAL_FATAL(confcast_set_open(client, scopes, MEMBERS, NULL, &set), CONFCAST_OK);
    CU_ASSERT_EQUAL(confcast_set_wait(set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen(set), 1001);
    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        bool is_fine = seen(set) == 1001;

        is_fine = write(ready[1], &byte, 1) == 1 && is_fine;
        is_fine = confcast_set_wait(set, 12, CLIENT_WAIT_MS) == CONFCAST_OK && is_fine;
        _exit(is_fine && seen(set) == 3003 ? 0 : 1);
    }
    CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
    publish(&f, 1, 11, 2);
    BENCH_AWAIT(status_of(set).is_held);
    CU_ASSERT_EQUAL(status_of(set).held_by, 0);
    CU_ASSERT_EQUAL(seen(set), 1001);
    publish_both(&f, 12, 3);
    CU_ASSERT_EQUAL(confcast_set_wait(set, 12, CLIENT_WAIT_MS), CONFCAST_OK);
    CU_ASSERT_EQUAL(seen(set), 3003);
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    close(ready[0]);
    close(ready[1]);
    confcast_close(client);
    cfc_share_server_stop(server);
    end(&f);
}

static void
members_revert_together_through_the_agent(void)
{
    struct confcast_options options = CONFCAST_OPTIONS_INIT;
    struct confcast_scope *scopes[MEMBERS];
    struct cfc_share_server *server;
    struct watcher w = {.mixed = 0};
    const int64_t n[2] = {2, 1};
    uint8_t body[CLIENT_BODY_MAX];
    struct confcast_set *set;
    struct confcast *client;
    uint64_t confirm_ns;
    struct fixture f;
    char path[320];

    begin(&f);
    snprintf(path, sizeof(path), "%s/share", f.b.dir.path);
    server = share(&f, path);
    options.agent_path = path;
    CU_ASSERT_EQUAL_FATAL(confcast_open(&options, &client), CONFCAST_OK);
    subscribe_both(client, scopes, NULL);
    CU_ASSERT_EQUAL_FATAL(confcast_set_open(client, scopes, MEMBERS, NULL, &set), CONFCAST_OK);
    publish_both(&f, 10, 1);
    CU_ASSERT_EQUAL(confcast_set_wait(set, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    w.set = set;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&w.thread, NULL, watch, &w), 0);
    confirm_ns = bench_unix_ns() + 300 * CFC_MS;
    for (int member = 0; member < MEMBERS; member++) {
        struct cfc_head head = head_of(&f, member, 11, n, 2, body);

        head.confirm_by_unix_ns = confirm_ns;
        bench_send_head(&f.b, &head);
    }
    BENCH_AWAIT(seen(set) == 2002);
    BENCH_AWAIT(seen(set) == 1001);
    atomic_store(&w.is_ending, true);
    pthread_join(w.thread, NULL);
    CU_ASSERT_EQUAL(w.mixed, 0);
    CU_ASSERT_EQUAL(scopes[0]->view->served.confirm_unix_ns, confirm_ns);
    CU_ASSERT_EQUAL(scopes[0]->view->served.phase, CFC_APPLY_REVERTED);
    confcast_close(client);
    cfc_share_server_stop(server);
    end(&f);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(nothing_is_seen_until_all_members_have_the_same_version),
    CFC_CASE(members_change_and_go_back_together),
    CFC_CASE(a_version_that_a_member_missed_is_skipped),
    CFC_CASE(a_refused_member_holds_the_set_and_is_named),
    CFC_CASE(members_activate_and_revert_together),
    CFC_CASE(a_member_with_other_times_does_not_hold_the_set),
    CFC_CASE(members_in_other_phases_of_one_version_hold_the_set),
    CFC_CASE(a_change_is_told_once_with_both_views),
    CFC_CASE(a_restart_serves_the_set_from_disk),
    CFC_CASE(what_cannot_be_a_set_is_refused),
    CFC_CASE(closing_sends_waiters_away_and_leaves_sections_their_views),
    CFC_CASE(a_process_and_its_children_have_sets_through_the_agent),
    CFC_CASE(members_revert_together_through_the_agent),
};

CFC_TEST_MAIN("set", cases)
