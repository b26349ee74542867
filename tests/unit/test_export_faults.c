/* Exported files on a disk that fails: a write that says OK survives power loss, also after one
 * that failed half way. */
#include "consumer/app/export.h"

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/disk_model.h"
#include "tests/unit/temp_dir.h"

#define SCOPE_PATH "acme/checkout/prod"
#define JSON       "{\"n\":1}"

enum {
    CALLS_MAX = 100
};

static bool
holds(const char *root, const char *json)
{
    char path[600];
    char text[64] = "";
    size_t size = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/" SCOPE_PATH ".json", root);
    file = fopen(path, "re");
    if (file != NULL) {
        size = fread(text, 1, sizeof(text) - 1, file);
        fclose(file);
    }
    return size == strlen(json) && memcmp(text, json, size) == 0;
}

/* The n-th call of the disk fails; then it is tried again, as an outlet does, and power is lost.
 * Returns whether the n-th call was made at all. */
static bool
fail_once_and_lose_power(unsigned n)
{
    struct temp_dir dir = temp_dir_make();
    char root[300];
    char lost[300];
    bool was_reached;
    int fd = -1;
    int error;

    snprintf(root, sizeof(root), "%s/export", dir.path);
    snprintf(lost, sizeof(lost), "%s/lost", dir.path);
    CU_ASSERT_EQUAL_FATAL(mkdir(root, 0755), 0);
    CU_ASSERT_EQUAL_FATAL(mkdir(lost, 0755), 0);
    CU_ASSERT_EQUAL_FATAL(cfc_export_open(root, &fd), CONFCAST_OK);
    disk_begin(root, DISK_FAIL_ONCE, n, EIO);
    error = cfc_export_write(fd, SCOPE_PATH, 0644, JSON, strlen(JSON), true);
    was_reached = disk.calls >= n;
    if (error != CONFCAST_OK) {
        CU_ASSERT_EQUAL(cfc_export_write(fd, SCOPE_PATH, 0644, JSON, strlen(JSON), true),
                        CONFCAST_OK);
    }
    CU_ASSERT_TRUE(holds(root, JSON));
    disk_lose_power(lost);
    disk_end();
    if (!holds(lost, JSON)) {
        printf("lost after call %u failed\n", n);
        CU_FAIL("it said OK and did not survive");
    }
    close(fd);
    temp_dir_remove(&dir);
    return was_reached;
}

static void
what_was_exported_survives_power_loss_after_a_failure(void)
{
    unsigned n = 1;

    while (n < CALLS_MAX && fail_once_and_lose_power(n)) {
        n++;
    }
    CU_ASSERT(n > 8 && n < CALLS_MAX);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(what_was_exported_survives_power_loss_after_a_failure),
};

CFC_TEST_MAIN("export_faults", cases)
