#include "controlplane/keys/keys.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/keys/files.h"
#include "tests/unit/cunit_main.h"

static char root[64];
static char why[CFC_KEYS_WHY_SIZE];
static struct cfc_fleet fleet;

static const char *const engines[] = {"10.0.0.1", "10.0.0.2:7501"};

static struct cfc_keys_plan
plan_in(char *dir, size_t capacity, const char *name)
{
    struct cfc_keys_plan plan = {.fleet = "dc1",
                                 .group_base = "239.192.0.0",
                                 .group_count = 4,
                                 .port = 7500,
                                 .engines = engines,
                                 .engine_count = 2};

    if (root[0] == '\0') {
        snprintf(root, sizeof(root), "/tmp/confcast-keys-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
    }
    snprintf(dir, capacity, "%s/%s", root, name);
    plan.dir = dir;
    return plan;
}

static mode_t
mode_of(const char *dir, const char *name)
{
    char path[256];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void
a_new_fleet_verifies_and_its_secrets_are_private(void)
{
    char dir[128];
    struct cfc_keys_plan plan = plan_in(dir, sizeof(dir), "new");
    struct cfc_signing_key key;
    uint8_t id[CFC_KEY_ID_SIZE];

    CU_ASSERT_EQUAL_FATAL(cfc_keys_create(&plan, why), CONFCAST_OK);
    CU_ASSERT_EQUAL(mode_of(dir, "root.key"), 0600);
    CU_ASSERT_EQUAL(mode_of(dir, "release.key"), 0600);
    CU_ASSERT_EQUAL(mode_of(dir, "session.key"), 0600);
    CU_ASSERT_EQUAL(mode_of(dir, "report.key"), 0600);
    CU_ASSERT_EQUAL(mode_of(dir, "fleet.json"), 0644);
    CU_ASSERT_EQUAL_FATAL(cfc_keys_load_fleet(dir, &fleet, why), CONFCAST_OK);
    CU_ASSERT_EQUAL(fleet.engine_count, 2);
    CU_ASSERT_EQUAL(fleet.engines[0].port, 7500);
    CU_ASSERT_EQUAL(fleet.engines[1].port, 7501);
    CU_ASSERT_EQUAL(cfc_keys_load_signing(dir, CFC_KEY_ROOT, &key, why), CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(key.public_key, fleet.root_key, 32), 0);
    CU_ASSERT_EQUAL(cfc_keys_load_signing(dir, CFC_KEY_RELEASE, &key, why), CONFCAST_OK);
    cfc_key_id(key.public_key, id);
    CU_ASSERT_EQUAL(memcmp(id, fleet.release_keys.keys[0].id, sizeof(id)), 0);
    CU_ASSERT_EQUAL(fleet.release_keys.keys[0].prefix_count, 0);
}

static void
two_fleets_share_no_secret(void)
{
    char dir_a[128];
    char dir_b[128];
    struct cfc_keys_plan a = plan_in(dir_a, sizeof(dir_a), "a");
    struct cfc_keys_plan b = plan_in(dir_b, sizeof(dir_b), "b");
    uint8_t keys[2 * CFC_KEY_KIND_COUNT][32];

    CU_ASSERT_EQUAL_FATAL(cfc_keys_create(&a, why), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_keys_create(&b, why), CONFCAST_OK);
    for (int kind = 0; kind < CFC_KEY_KIND_COUNT; kind++) {
        CU_ASSERT_EQUAL(cfc_keys_load(dir_a, (enum cfc_key_kind)kind, keys[2 * kind], why),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(cfc_keys_load(dir_b, (enum cfc_key_kind)kind, keys[2 * kind + 1], why),
                        CONFCAST_OK);
    }
    for (int i = 0; i < 2 * CFC_KEY_KIND_COUNT; i++) {
        for (int k = 0; k < i; k++) {
            CU_ASSERT_NOT_EQUAL(memcmp(keys[i], keys[k], 32), 0);
        }
    }
}

static void
nothing_is_overwritten(void)
{
    char dir[128];
    char path[256];
    struct cfc_keys_plan plan = plan_in(dir, sizeof(dir), "twice");
    uint8_t before[32];
    uint8_t after[32];

    CU_ASSERT_EQUAL_FATAL(cfc_keys_create(&plan, why), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_keys_load(dir, CFC_KEY_SESSION, before, why), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_keys_create(&plan, why), CONFCAST_ERR_EXISTS);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "root.key"));
    snprintf(path, sizeof(path), "%s/root.key", dir);
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL(cfc_keys_create(&plan, why), CONFCAST_ERR_EXISTS);
    CU_ASSERT_EQUAL(access(path, F_OK), -1);
    CU_ASSERT_EQUAL(cfc_keys_load(dir, CFC_KEY_SESSION, after, why), CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(before, after, 32), 0);
    snprintf(path, sizeof(path), "%s/session.key", dir);
    CU_ASSERT_EQUAL(cfc_file_create(path, "x", 1, 0600), CONFCAST_ERR_EXISTS);
}

static void
options_that_make_no_fleet_leave_no_files(void)
{
    static const char *const bad_engine[] = {"10.0.0"};
    char dir[128];
    struct cfc_keys_plan plan = plan_in(dir, sizeof(dir), "bad");
    struct cfc_keys_plan p;

    p = plan;
    p.engine_count = 0;
    CU_ASSERT_EQUAL(cfc_keys_create(&p, why), CONFCAST_ERR_RANGE);
    p = plan;
    p.engines = bad_engine;
    p.engine_count = 1;
    CU_ASSERT_EQUAL(cfc_keys_create(&p, why), CONFCAST_ERR_INVALID);
    p = plan;
    p.group_count = 17;
    CU_ASSERT_EQUAL(cfc_keys_create(&p, why), CONFCAST_ERR_RANGE);
    p = plan;
    p.group_base = "10.1.1.1";
    CU_ASSERT_EQUAL(cfc_keys_create(&p, why), CONFCAST_ERR_RANGE);
    p = plan;
    p.fleet = "caf\xc3\xa9";
    CU_ASSERT_EQUAL(cfc_keys_create(&p, why), CONFCAST_ERR_ENCODING);
    CU_ASSERT_EQUAL(access(dir, F_OK), -1);
}

static void
enrolling_derives_both_keys_from_the_id(void)
{
    char dir[128];
    struct cfc_keys_plan plan = plan_in(dir, sizeof(dir), "enroll");
    struct cfc_credential_label label = {.key = "zone", .value = "eu-1"};
    struct cfc_credential c;
    struct cfc_key secret;
    struct cfc_key expected;
    char *text = NULL;
    size_t size = 0;

    CU_ASSERT_EQUAL_FATAL(cfc_keys_create(&plan, why), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(cfc_keys_enroll(dir, "web-1", &label, 1, &text, &size, why), CONFCAST_OK);
    CU_ASSERT_EQUAL(text[size - 1], '\n');
    CU_ASSERT_EQUAL_FATAL(cfc_credential_parse(text, size, &c), CONFCAST_OK);
    free(text);
    CU_ASSERT_STRING_EQUAL(c.id, "web-1");
    CU_ASSERT_STRING_EQUAL(c.fleet, "dc1");
    CU_ASSERT_STRING_EQUAL(c.labels[0].value, "eu-1");
    CU_ASSERT_EQUAL(cfc_keys_load(dir, CFC_KEY_SESSION, secret.bytes, why), CONFCAST_OK);
    cfc_credential_key(&secret, CFC_DOMAIN_CRED_SESSION, "web-1", 5, &expected);
    CU_ASSERT_EQUAL(memcmp(expected.bytes, c.session_key.bytes, 32), 0);
    CU_ASSERT_EQUAL(cfc_keys_load(dir, CFC_KEY_REPORT, secret.bytes, why), CONFCAST_OK);
    cfc_credential_key(&secret, CFC_DOMAIN_CRED_REPORT, "web-1", 5, &expected);
    CU_ASSERT_EQUAL(memcmp(expected.bytes, c.report_key.bytes, 32), 0);
    CU_ASSERT_EQUAL(cfc_keys_enroll(dir, "web 1", NULL, 0, &text, &size, why),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_keys_enroll("/nonexistent", "web-1", NULL, 0, &text, &size, why),
                    CONFCAST_ERR_NOT_FOUND);
}

static void
a_secret_that_others_can_touch_is_refused(void)
{
    char dir[128];
    char path[256];
    char link_path[256];
    char *bytes = NULL;
    size_t size = 0;
    uint8_t key[32];
    struct cfc_keys_plan plan = plan_in(dir, sizeof(dir), "modes");

    CU_ASSERT_EQUAL_FATAL(cfc_keys_create(&plan, why), CONFCAST_OK);
    snprintf(path, sizeof(path), "%s/session.key", dir);
    CU_ASSERT_EQUAL(chmod(path, 0640), 0);
    CU_ASSERT_EQUAL(cfc_keys_load(dir, CFC_KEY_SESSION, key, why), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(chmod(path, 0602), 0);
    CU_ASSERT_EQUAL(cfc_keys_load(dir, CFC_KEY_SESSION, key, why), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(chmod(path, 0600), 0);
    CU_ASSERT_EQUAL(cfc_keys_load(dir, CFC_KEY_SESSION, key, why), CONFCAST_OK);
    snprintf(link_path, sizeof(link_path), "%s/link", dir);
    CU_ASSERT_EQUAL(symlink(path, link_path), 0);
    CU_ASSERT_EQUAL(cfc_file_read(link_path, 100, false, &bytes, &size), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(unlink(link_path), 0);
    CU_ASSERT_EQUAL(mkfifo(link_path, 0600), 0);
    CU_ASSERT_EQUAL(cfc_file_read(link_path, 100, true, &bytes, &size), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(cfc_file_read(path, 10, true, &bytes, &size), CONFCAST_ERR_LIMIT);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_new_fleet_verifies_and_its_secrets_are_private),
    CFC_CASE(two_fleets_share_no_secret),
    CFC_CASE(nothing_is_overwritten),
    CFC_CASE(options_that_make_no_fleet_leave_no_files),
    CFC_CASE(enrolling_derives_both_keys_from_the_id),
    CFC_CASE(a_secret_that_others_can_touch_is_refused),
};

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

int
main(void)
{
    int rc = cfc_test_main("keys", cases, sizeof(cases) / sizeof(cases[0]));

    if (root[0] != '\0') {
        nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    return rc;
}
