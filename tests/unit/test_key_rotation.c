#include "controlplane/keys/rotate.h"

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
static char dir[128];
static char why[CFC_KEYS_WHY_SIZE];
static struct cfc_fleet fleet;
static struct cfc_rotate_result result;

static const char *
in_dir(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static bool
is_there(const char *name)
{
    return access(in_dir(name), F_OK) == 0;
}

static void
new_fleet(const char *name)
{
    static const char *const engines[] = {"10.0.0.1"};
    struct cfc_keys_plan plan = {.dir = dir,
                                 .fleet = "dc1",
                                 .group_base = "239.192.0.0",
                                 .group_count = 4,
                                 .port = 7500,
                                 .engines = engines,
                                 .engine_count = 1};

    if (root[0] == '\0') {
        snprintf(root, sizeof(root), "/tmp/confcast-rotate-XXXXXX");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
    }
    snprintf(dir, sizeof(dir), "%s/%s", root, name);
    CU_ASSERT_EQUAL_FATAL(cfc_keys_create(&plan, why), CONFCAST_OK);
}

static int
step(enum cfc_rotate_step which)
{
    return cfc_keys_rotate(dir, NULL, which, &result, why);
}

static uint32_t
trusted_count(void)
{
    CU_ASSERT_EQUAL_FATAL(cfc_keys_load_fleet(dir, &fleet, why), CONFCAST_OK);
    return fleet.release_keys.key_count;
}

static void
signing_id(uint8_t id[CFC_KEY_ID_SIZE])
{
    struct cfc_signing_key key;

    CU_ASSERT_EQUAL_FATAL(cfc_keys_load_signing(dir, CFC_KEY_RELEASE, &key, why), CONFCAST_OK);
    cfc_key_id(key.public_key, id);
}

static void
three_steps_replace_the_key(void)
{
    uint8_t first[CFC_KEY_ID_SIZE], now[CFC_KEY_ID_SIZE], next[CFC_KEY_ID_SIZE];
    struct stat st;

    new_fleet("three");
    signing_id(first);
    CU_ASSERT_EQUAL_FATAL(step(CFC_ROTATE_BEGIN), CONFCAST_OK);
    CU_ASSERT_EQUAL(result.sequence, 2);
    CU_ASSERT_EQUAL(memcmp(result.signing, first, sizeof(first)), 0);
    memcpy(next, result.other, sizeof(next));
    CU_ASSERT_EQUAL(trusted_count(), 2);
    CU_ASSERT_EQUAL(fleet.sequence, 2);
    CU_ASSERT_EQUAL(memcmp(fleet.release_keys.keys[1].id, next, sizeof(next)), 0);
    CU_ASSERT_EQUAL(fleet.release_keys.keys[1].prefix_count, 0);
    CU_ASSERT_EQUAL(stat(in_dir("release.next.key"), &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);

    CU_ASSERT_EQUAL_FATAL(step(CFC_ROTATE_SWITCH), CONFCAST_OK);
    signing_id(now);
    CU_ASSERT_EQUAL(memcmp(now, next, sizeof(next)), 0);
    CU_ASSERT_EQUAL(memcmp(result.signing, next, sizeof(next)), 0);
    CU_ASSERT_EQUAL(memcmp(result.other, first, sizeof(first)), 0);
    CU_ASSERT_EQUAL(trusted_count(), 2);

    CU_ASSERT_EQUAL_FATAL(step(CFC_ROTATE_RETIRE), CONFCAST_OK);
    CU_ASSERT_EQUAL(trusted_count(), 1);
    CU_ASSERT_EQUAL(fleet.sequence, 3);
    CU_ASSERT_EQUAL(memcmp(fleet.release_keys.keys[0].id, next, sizeof(next)), 0);
    CU_ASSERT_FALSE(is_there("release.next.key"));
    CU_ASSERT_FALSE(is_there("release.previous.key"));
}

static void
a_switch_can_be_undone(void)
{
    uint8_t first[CFC_KEY_ID_SIZE], now[CFC_KEY_ID_SIZE];

    new_fleet("back");
    signing_id(first);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BEGIN), CONFCAST_OK);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL_FATAL(step(CFC_ROTATE_SWITCH), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(step(CFC_ROTATE_BACK), CONFCAST_OK);
        signing_id(now);
        CU_ASSERT_EQUAL(memcmp(now, first, sizeof(first)), 0);
        CU_ASSERT_EQUAL(trusted_count(), 2);
    }
}

static void
a_step_that_is_not_due_changes_nothing(void)
{
    new_fleet("order");
    CU_ASSERT_EQUAL(step(CFC_ROTATE_SWITCH), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BACK), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_RETIRE), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BEGIN), CONFCAST_OK);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BEGIN), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BACK), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_RETIRE), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(trusted_count(), 2);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_SWITCH), CONFCAST_OK);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_SWITCH), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BEGIN), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(fleet.sequence, 2);
    CU_ASSERT_NOT_EQUAL(why[0], '\0');
}

static void
a_step_that_was_cut_short_is_finished_by_doing_it_again(void)
{
    uint8_t next[CFC_KEY_ID_SIZE], now[CFC_KEY_ID_SIZE];
    char *bytes = NULL;
    size_t size = 0;

    new_fleet("short");
    /* The key was made, the fleet file not. */
    CU_ASSERT_EQUAL_FATAL(cfc_file_read(in_dir("fleet.json"), 65536, false, &bytes, &size), 0);
    CU_ASSERT_EQUAL_FATAL(step(CFC_ROTATE_BEGIN), CONFCAST_OK);
    memcpy(next, result.other, sizeof(next));
    CU_ASSERT_EQUAL_FATAL(cfc_file_replace(in_dir("fleet.json"), bytes, size, 0644), 0);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_SWITCH), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BEGIN), CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(result.other, next, sizeof(next)), 0);
    CU_ASSERT_EQUAL(trusted_count(), 2);
    /* The old key has its second name, the new one does not sign yet. */
    CU_ASSERT_EQUAL(link(in_dir("release.key"), in_dir("release.previous.key")), 0);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_RETIRE), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_SWITCH), CONFCAST_OK);
    signing_id(now);
    CU_ASSERT_EQUAL(memcmp(now, next, sizeof(next)), 0);
    /* The same on the way back. */
    CU_ASSERT_EQUAL(link(in_dir("release.key"), in_dir("release.next.key")), 0);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BACK), CONFCAST_OK);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_SWITCH), CONFCAST_OK);
    /* The file trusts the old key no more, the key is still there. */
    CU_ASSERT_EQUAL(link(in_dir("release.previous.key"), in_dir("kept")), 0);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_RETIRE), CONFCAST_OK);
    CU_ASSERT_EQUAL(rename(in_dir("kept"), in_dir("release.previous.key")), 0);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BACK), CONFCAST_ERR_STATE);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_RETIRE), CONFCAST_OK);
    CU_ASSERT_FALSE(is_there("release.previous.key"));
    CU_ASSERT_EQUAL(trusted_count(), 1);
    CU_ASSERT_EQUAL(fleet.sequence, 3);
    free(bytes);
}

static void
the_root_key_must_be_that_of_the_fleet(void)
{
    char other[256];

    new_fleet("other");
    snprintf(other, sizeof(other), "%s", in_dir("root.key"));
    new_fleet("mine");
    CU_ASSERT_EQUAL(cfc_keys_rotate(dir, other, CFC_ROTATE_BEGIN, &result, why),
                    CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_EQUAL(cfc_keys_rotate(dir, "/nonexistent", CFC_ROTATE_BEGIN, &result, why),
                    CONFCAST_ERR_NOT_FOUND);
    CU_ASSERT_FALSE(is_there("release.next.key"));
    CU_ASSERT_EQUAL(trusted_count(), 1);
    CU_ASSERT_EQUAL(chmod(in_dir("root.key"), 0644), 0);
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BEGIN), CONFCAST_ERR_AUTHORITY);
    CU_ASSERT_FALSE(is_there("release.next.key"));
}

static void
a_file_full_of_keys_takes_no_other(void)
{
    new_fleet("full");
    /* Each leaves its old key in the file, as if it had never been retired. */
    for (uint32_t count = 2; count <= CFC_KEYRING_KEYS_MAX; count++) {
        CU_ASSERT_EQUAL_FATAL(step(CFC_ROTATE_BEGIN), CONFCAST_OK);
        CU_ASSERT_EQUAL_FATAL(step(CFC_ROTATE_SWITCH), CONFCAST_OK);
        CU_ASSERT_EQUAL(unlink(in_dir("release.previous.key")), 0);
        CU_ASSERT_EQUAL(trusted_count(), count);
    }
    CU_ASSERT_EQUAL(step(CFC_ROTATE_BEGIN), CONFCAST_ERR_LIMIT);
    CU_ASSERT_FALSE(is_there("release.next.key"));
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(three_steps_replace_the_key),
    CFC_CASE(a_switch_can_be_undone),
    CFC_CASE(a_step_that_is_not_due_changes_nothing),
    CFC_CASE(a_step_that_was_cut_short_is_finished_by_doing_it_again),
    CFC_CASE(the_root_key_must_be_that_of_the_fleet),
    CFC_CASE(a_file_full_of_keys_takes_no_other),
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
    int rc = cfc_test_main("key_rotation", cases, sizeof(cases) / sizeof(cases[0]));

    if (root[0] != '\0') {
        nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    return rc;
}
