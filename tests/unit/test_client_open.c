/* What confcast_open() and confcast_subscribe() refuse, and that nothing is left behind. */
#include "confcast/confcast.h"

#include <dirent.h>

#include "consumer/cache_floor.h"
#include "tests/unit/client_fixture.h"
#include "tests/unit/cunit_main.h"

static int
descriptor_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

/* Opens with the bench's options as they are now, expects an error, and looks for what it left. */
static void
refuse(struct bench *b, int expected)
{
    struct confcast *client = (struct confcast *)(uintptr_t)1;
    int before = descriptor_count();
    int error = confcast_open(&b->options, &client);

    CU_ASSERT_EQUAL(error, expected);
    if (error != expected) {
        printf("expected %s, got %s\n", confcast_error_word(expected), confcast_error_word(error));
    }
    CU_ASSERT_PTR_NULL(client);
    CU_ASSERT_EQUAL(descriptor_count(), before);
    if (error == CONFCAST_OK) {
        confcast_close(client);
    }
}

static void
options_outside_their_range_are_refused(void)
{
    struct confcast_label labels[17] = {{NULL, NULL}};
    struct confcast *client;
    struct confcast_options good;
    struct bench b;

    bench_begin(&b);
    good = b.options;
    CU_ASSERT_EQUAL(confcast_open(NULL, &client), CONFCAST_ERR_INVALID);
    b.options.size = 0;
    refuse(&b, CONFCAST_ERR_INVALID);
    b.options.size = offsetof(struct confcast_options, agent_path) - 1;
    refuse(&b, CONFCAST_ERR_INVALID);
    b.options = good;
    b.options.fleet_path = NULL;
    refuse(&b, CONFCAST_ERR_INVALID);
    b.options = good;
    b.options.credential_path = NULL;
    refuse(&b, CONFCAST_ERR_INVALID);
    b.options = good;
    b.options.interface = NULL;
    refuse(&b, CONFCAST_ERR_INVALID);
    b.options = good;
    b.options.content_size_max = (256u << 20) + 1;
    refuse(&b, CONFCAST_ERR_INVALID);
    b.options = good;
    b.options.label_count = 1;
    refuse(&b, CONFCAST_ERR_INVALID);
    b.options.labels = labels;
    refuse(&b, CONFCAST_ERR_INVALID);
    labels[0] = (struct confcast_label){"a b", "x"};
    refuse(&b, CONFCAST_ERR_INVALID);
    labels[0] = (struct confcast_label){"a", "x y"};
    refuse(&b, CONFCAST_ERR_INVALID);
    for (int i = 0; i < 17; i++) {
        static char keys[17][4];

        snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        labels[i] = (struct confcast_label){keys[i], "x"};
    }
    b.options.label_count = 16; /* and one of the credential's */
    refuse(&b, CONFCAST_ERR_INVALID);
    labels[15].key = "zone"; /* over the credential's */
    bench_open(&b);
    bench_end(&b);
}

static void
options_of_a_later_version_are_taken_unless_something_new_is_set(void)
{
    struct {
        struct confcast_options options;
        uint64_t later;
    } grown;
    struct confcast *client = NULL;
    struct bench b;

    bench_begin(&b);
    memset(&grown, 0, sizeof(grown));
    grown.options = b.options;
    grown.options.size = sizeof(grown);
    CU_ASSERT_EQUAL_FATAL(confcast_open(&grown.options, &client), CONFCAST_OK);
    confcast_close(client);
    grown.later = 1;
    CU_ASSERT_EQUAL(confcast_open(&grown.options, &client), CONFCAST_ERR_INVALID);
    bench_end(&b);
}

static void
files_that_are_missing_or_open_to_others_are_refused(void)
{
    struct confcast_options good;
    struct bench b;

    bench_begin(&b);
    good = b.options;
    b.options.fleet_path = "/nonexistent/fleet.json";
    refuse(&b, CONFCAST_ERR_NOT_FOUND);
    b.options = good;
    b.options.credential_path = "/nonexistent/credential.json";
    refuse(&b, CONFCAST_ERR_NOT_FOUND);
    b.options.credential_path = b.dir.path; /* a folder */
    refuse(&b, CONFCAST_ERR_IO);
    b.options = good;
    b.options.interface = "nosuchinterface";
    refuse(&b, CONFCAST_ERR_NOT_FOUND);
    b.options = good;
    b.options.state_dir = "/nonexistent/parent/state";
    refuse(&b, CONFCAST_ERR_NOT_FOUND);
    b.options = good;
    for (mode_t bit = 1; bit <= 040; bit <<= 1) { /* each bit of group and others */
        CU_ASSERT_EQUAL(chmod(b.credential_path, 0600 | bit), 0);
        refuse(&b, CONFCAST_ERR_AUTHORITY);
    }
    CU_ASSERT_EQUAL(chmod(b.credential_path, 0400), 0);
    bench_open(&b);
    bench_end(&b);
}

static void
damaged_and_foreign_files_are_refused(void)
{
    struct cfc_signing_key other;
    uint8_t seed[32] = {9};
    struct bench b;

    bench_begin(&b);
    bench_write_file(b.fleet_path, "{\"format\":", 10, 0644);
    refuse(&b, CONFCAST_ERR_SYNTAX);
    bench_write_file(b.fleet_path, "", 0, 0644);
    refuse(&b, CONFCAST_ERR_SYNTAX);
    bench_write_fleet(&b, "dc2", 7); /* signed, but of another fleet than the credential's */
    refuse(&b, CONFCAST_ERR_AUTHORITY);
    bench_write_fleet(&b, "dc1", 7);
    cfc_signing_key_from_seed(seed, &other);
    bench_write_credential(&b, "dc1", &other); /* pins another root */
    refuse(&b, CONFCAST_ERR_AUTHORITY);
    bench_write_credential(&b, "dc1", &b.root);
    b.options.id = "host-2";
    refuse(&b, CONFCAST_ERR_AUTHORITY);
    b.options.id = CLIENT_ID;
    bench_write_file(b.credential_path, "{}", 2, 0600);
    CU_ASSERT_NOT_EQUAL(confcast_open(&b.options, &b.client), CONFCAST_OK);
    bench_write_credential(&b, "dc1", &b.root);
    bench_open(&b);
    bench_end(&b);
}

static void
one_flipped_byte_in_the_fleet_file_is_found(void)
{
    char text[2048];
    struct bench b;
    ssize_t size;
    char *at;
    int fd;

    bench_begin(&b);
    fd = open(b.fleet_path, O_RDWR | O_CLOEXEC);
    size = read(fd, text, sizeof(text) - 1);
    CU_ASSERT_FATAL(size > 0);
    text[size] = '\0';
    at = strstr(text, "\"count\":4");
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    CU_ASSERT_EQUAL(pwrite(fd, "5", 1, at - text + 8), 1);
    close(fd);
    refuse(&b, CONFCAST_ERR_SIGNATURE);
    bench_end(&b);
}

static void
a_fleet_file_that_goes_back_is_refused(void)
{
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_close(&b);
    bench_write_fleet(&b, "dc1", 6);
    refuse(&b, CONFCAST_ERR_ROLLBACK);
    bench_write_fleet(&b, "dc1", 7);
    bench_open(&b);
    bench_close(&b);
    bench_write_fleet(&b, "dc1", 9);
    bench_open(&b);
    bench_close(&b);
    bench_write_fleet(&b, "dc1", 8);
    refuse(&b, CONFCAST_ERR_ROLLBACK);
    b.options.state_dir = NULL; /* nothing is remembered */
    bench_open(&b);
    bench_end(&b);
}

static void
a_state_directory_in_use_damaged_or_foreign_is_refused(void)
{
    char path[400];
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    refuse(&b, CONFCAST_ERR_BUSY);
    bench_close(&b);
    CU_ASSERT_EQUAL(chmod(b.state_dir, 0777), 0);
    refuse(&b, CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(chmod(b.state_dir, 0700), 0);
    bench_write_fleet(&b, "dc2", 9);
    bench_write_credential(&b, "dc2", &b.root);
    refuse(&b, CONFCAST_ERR_AUTHORITY);
    bench_write_fleet(&b, "dc1", 9);
    bench_write_credential(&b, "dc1", &b.root);
    snprintf(path, sizeof(path), "%s/floor", b.state_dir);
    CU_ASSERT_EQUAL(truncate(path, 10), 0);
    refuse(&b, CONFCAST_ERR_CORRUPT);
    bench_end(&b);
}

static void
labels_of_the_options_win_over_those_of_the_credential(void)
{
    struct confcast_label labels[] = {{"zone", "us-2"}};
    struct bench b;

    for (int with_option = 0; with_option < 2; with_option++) {
        uint8_t body[CLIENT_BODY_MAX];
        struct cfc_digest ids[2];
        struct cfc_head head;
        size_t size;

        bench_begin(&b);
        if (with_option) {
            b.options.labels = labels;
            b.options.label_count = 1;
        }
        bench_open(&b);
        bench_subscribe(&b, NULL);
        /* Arm 0 is for zone eu-1, arm 1 for the others, whose content is inside. */
        bench_body(&b, 1, 0, body, &ids[0]);
        size = bench_body(&b, 2, 0, body, &ids[1]);
        head = bench_head(&b, 5, &ids[1]);
        head.arm_count = 2;
        head.arms[0] = (struct cfc_arm){.selector = CFC_SELECT_LABEL,
                                        .content = ids[0],
                                        .label_key = "zone",
                                        .label_key_size = 4,
                                        .label_value = "eu-1",
                                        .label_value_size = 4};
        head.arms[1].content = ids[1];
        head.inlined = (struct cfc_inline_content){.is_present = true,
                                                   .arm = 1,
                                                   .encoding = CFC_ENCODING_RAW,
                                                   .body_size = (uint32_t)size,
                                                   .coded = body,
                                                   .coded_size = size};
        bench_send_head(&b, &head);
        BENCH_AWAIT(bench_status(&b).accepted == 5);
        if (with_option) {
            CU_ASSERT_EQUAL(confcast_wait(b.scope, 5, CLIENT_WAIT_MS), CONFCAST_OK);
        } else {
            CU_ASSERT_EQUAL(confcast_wait(b.scope, 5, 50), CONFCAST_ERR_TIMEOUT);
        }
        CU_ASSERT_EQUAL(bench_n(&b), with_option ? 2 : -1);
        bench_end(&b);
    }
}

/* ---- Scopes ---------------------------------------------------------------------------------- */

static void
subscriptions_are_checked(void)
{
    struct confcast_scope_options options = CONFCAST_SCOPE_OPTIONS_INIT;
    struct confcast_scope *scope = NULL;
    struct confcast_scope *again = NULL;
    char path[64];
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    CU_ASSERT_EQUAL(confcast_subscribe(b.client, "Not/a/scope", NULL, &scope),
                    CONFCAST_ERR_SCOPE_NAME);
    CU_ASSERT_PTR_NULL(scope);
    CU_ASSERT_EQUAL(confcast_subscribe(b.client, "", NULL, &scope), CONFCAST_ERR_SCOPE_NAME);
    options.size = 3;
    CU_ASSERT_EQUAL(confcast_subscribe(b.client, "acme/s0", &options, &scope),
                    CONFCAST_ERR_INVALID);
    for (int i = 0; i < 256; i++) {
        snprintf(path, sizeof(path), "acme/s%d", i);
        CU_ASSERT_EQUAL(confcast_subscribe(b.client, path, NULL, &scope), CONFCAST_OK);
    }
    CU_ASSERT_EQUAL(confcast_subscribe(b.client, "acme/s255", NULL, &again), CONFCAST_ERR_EXISTS);
    CU_ASSERT_PTR_EQUAL(again, scope);
    CU_ASSERT_EQUAL(confcast_subscribe(b.client, "acme/s256", NULL, &again), CONFCAST_ERR_LIMIT);
    CU_ASSERT_PTR_NULL(again);
    bench_end(&b);
}

static void
a_state_directory_remembers_1024_scopes(void)
{
    struct confcast_scope *scope = NULL;
    char path[64];
    struct bench b;

    bench_begin(&b);
    for (int i = 0; i < CFC_FLOOR_SCOPES_MAX; i++) {
        if (i % 256 == 0) {
            bench_close(&b);
            bench_open(&b);
        }
        snprintf(path, sizeof(path), "acme/s%d", i);
        CU_ASSERT_EQUAL(confcast_subscribe(b.client, path, NULL, &scope), CONFCAST_OK);
    }
    bench_close(&b);
    bench_open(&b);
    CU_ASSERT_EQUAL(confcast_subscribe(b.client, "acme/one-more", NULL, &scope),
                    CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(confcast_subscribe(b.client, "acme/s0", NULL, &scope), CONFCAST_OK);
    bench_end(&b);
}

static void
structs_of_another_size_are_understood(void)
{
    struct {
        struct confcast_status status;
        uint64_t later;
    } grown = {.later = 5};
    struct confcast_status status = {.size = sizeof(status) - 1};
    struct confcast_stats stats = {.size = 8};
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    CU_ASSERT_EQUAL(confcast_status(b.scope, &status), CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(confcast_stats(b.client, &stats), CONFCAST_ERR_INVALID);
    grown.status.size = sizeof(grown);
    CU_ASSERT_EQUAL(confcast_status(b.scope, &grown.status), CONFCAST_OK);
    CU_ASSERT_EQUAL(grown.status.size, sizeof(grown));
    CU_ASSERT_EQUAL(grown.later, 0);
    bench_end(&b);
}

static void
what_is_wrong_with_frames_is_counted_and_changes_nothing(void)
{
    uint8_t frame[CFC_FRAME_SIZE_MAX];
    uint8_t old_frame[CFC_FRAME_SIZE_MAX];
    uint8_t body[CLIENT_BODY_MAX];
    struct confcast_stats before;
    struct confcast_stats after;
    struct cfc_digest id;
    struct cfc_head head;
    size_t old_size = 0;
    size_t size = 0;
    struct bench b;

    bench_begin(&b);
    bench_open(&b);
    bench_subscribe(&b, NULL);
    bench_body(&b, 9, 0, body, &id);
    head = bench_head(&b, 9, &id);
    cfc_head_encode(&head, &b.signer, b.sha, old_frame, sizeof(old_frame), &old_size);
    bench_publish(&b, 10, 7, 0);
    CU_ASSERT_EQUAL(confcast_wait(b.scope, 10, CLIENT_WAIT_MS), CONFCAST_OK);
    head = bench_head(&b, 11, &id);
    cfc_head_encode(&head, &b.signer, b.sha, frame, sizeof(frame), &size);
    before = bench_stats(&b);
    bench_send(&b, "garbage", 7);
    bench_send(&b, old_frame, old_size); /* replayed */
    frame[size - 1] ^= 1;                /* forged */
    bench_send(&b, frame, size);
    bench_send(&b, frame, size - 1); /* cut */
    BENCH_AWAIT(bench_stats(&b).frames == before.frames + 4);
    after = bench_stats(&b);
    CU_ASSERT_EQUAL(after.refused[-CONFCAST_ERR_SHORT] - before.refused[-CONFCAST_ERR_SHORT], 1);
    CU_ASSERT_EQUAL(after.refused[-CONFCAST_ERR_ROLLBACK], 1);
    CU_ASSERT_EQUAL(after.refused[-CONFCAST_ERR_SIGNATURE], 1);
    CU_ASSERT_EQUAL(after.refused[-CONFCAST_ERR_LENGTH], 1);
    CU_ASSERT_EQUAL(bench_status(&b).accepted, 10);
    CU_ASSERT_EQUAL(bench_n(&b), 7);
    bench_end(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(options_outside_their_range_are_refused),
    CFC_CASE(options_of_a_later_version_are_taken_unless_something_new_is_set),
    CFC_CASE(files_that_are_missing_or_open_to_others_are_refused),
    CFC_CASE(damaged_and_foreign_files_are_refused),
    CFC_CASE(one_flipped_byte_in_the_fleet_file_is_found),
    CFC_CASE(a_fleet_file_that_goes_back_is_refused),
    CFC_CASE(a_state_directory_in_use_damaged_or_foreign_is_refused),
    CFC_CASE(labels_of_the_options_win_over_those_of_the_credential),
    CFC_CASE(subscriptions_are_checked),
    CFC_CASE(a_state_directory_remembers_1024_scopes),
    CFC_CASE(structs_of_another_size_are_understood),
    CFC_CASE(what_is_wrong_with_frames_is_counted_and_changes_nothing),
};

CFC_TEST_MAIN("client_open", cases)
