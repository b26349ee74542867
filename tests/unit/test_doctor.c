/* The checks of confcastctl doctor that look at files: both sides of each limit.  Those of the
 * network are looked at by tests/integration/test_doctor.py. */
#include <sys/stat.h>
#include <time.h>

#include "controlplane/ctl/ctl.h"
#include "controlplane/ctl/doctor.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/temp_dir.h"

int
cfc_ctl_fail(enum cfc_ctl_exit code, const char *format, ...)
{
    (void)format;
    return (int)code;
}

static struct cfc_doctor doctor;
static struct temp_dir root;

static void
setup(void)
{
    doctor = (struct cfc_doctor){.rows = json_array()};
    root = temp_dir_make();
}

static void
teardown(void)
{
    json_decref(doctor.rows);
    temp_dir_remove(&root);
}

/* Writes root/path, and the folders on the way. */
static void
write_file(const char *path, const char *text)
{
    char full[512];
    FILE *out;

    snprintf(full, sizeof(full), "%s/%s", root.path, path);
    for (char *p = full + strlen(root.path) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        mkdir(full, 0700);
        *p = '/';
    }
    out = fopen(full, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    fputs(text, out);
    fclose(out);
}

/* The last row says this, and holds an advice unless it is "ok". */
static void
expect(const char *check, const char *result, const char *detail)
{
    const json_t *row = json_array_get(doctor.rows, json_array_size(doctor.rows) - 1);
    const char *advice = json_string_value(json_object_get(row, "advice"));

    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(row, "check")), check);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(row, "result")), result);
    CU_ASSERT_PTR_NOT_NULL(strstr(json_string_value(json_object_get(row, "detail")), detail));
    CU_ASSERT_EQUAL(advice[0] == '\0', strcmp(result, "ok") == 0);
}

static void
free_huge_pages_of_all_sizes_count(void)
{
    setup();
    cfc_doctor_huge_pages(&doctor, root.path);
    expect("huge pages", "warn", "none are free");
    write_file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0\n");
    write_file("sys/kernel/mm/hugepages/else/free_hugepages", "9\n");
    write_file("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "1\n");
    cfc_doctor_huge_pages(&doctor, root.path);
    expect("huge pages", "warn", "none are free");
    write_file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3\n");
    write_file("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n");
    cfc_doctor_huge_pages(&doctor, root.path);
    expect("huge pages", "ok", "1030 MiB");
    CU_ASSERT_FALSE(doctor.has_failed);
    teardown();
}

static void
a_receive_buffer_of_a_mebibyte_is_enough(void)
{
    setup();
    cfc_doctor_receive_buffer(&doctor, root.path);
    expect("receive buffer", "warn", "cannot read");
    write_file("proc/sys/net/core/rmem_max", "1048575\n");
    cfc_doctor_receive_buffer(&doctor, root.path);
    expect("receive buffer", "warn", "1048575");
    write_file("proc/sys/net/core/rmem_max", "1048576\n");
    cfc_doctor_receive_buffer(&doctor, root.path);
    expect("receive buffer", "ok", "1048576");
    CU_ASSERT_FALSE(doctor.has_failed);
    teardown();
}

static void
a_socket_must_be_able_to_join_all_groups_and_that_of_control(void)
{
    setup();
    cfc_doctor_memberships(&doctor, root.path, 8);
    expect("memberships", "warn", "cannot read");
    write_file("proc/sys/net/ipv4/igmp_max_memberships", "9\n");
    cfc_doctor_memberships(&doctor, root.path, 8);
    expect("memberships", "ok", "9 groups of 9");
    CU_ASSERT_FALSE(doctor.has_failed);
    cfc_doctor_memberships(&doctor, root.path, 9);
    expect("memberships", "fail", "10 groups, a socket may join 9");
    CU_ASSERT_TRUE(doctor.has_failed);
    teardown();
}

static void
little_space_is_a_warning_and_hardly_any_a_failure(void)
{
    const uint64_t mib = 1 << 20;
    const uint64_t gib = 1024 * mib;

    CU_ASSERT_EQUAL(cfc_doctor_judge_space(256 * mib - 1, gib), CFC_VERDICT_FAIL);
    CU_ASSERT_EQUAL(cfc_doctor_judge_space(256 * mib, gib), CFC_VERDICT_WARN);
    CU_ASSERT_EQUAL(cfc_doctor_judge_space(gib - 1, gib), CFC_VERDICT_WARN);
    CU_ASSERT_EQUAL(cfc_doctor_judge_space(gib, gib), CFC_VERDICT_OK);
    CU_ASSERT_EQUAL(cfc_doctor_judge_space(100 * gib - 1, 1000 * gib), CFC_VERDICT_WARN);
    CU_ASSERT_EQUAL(cfc_doctor_judge_space(100 * gib, 1000 * gib), CFC_VERDICT_OK);
}

static void
the_space_of_a_folder_is_that_of_its_disk(void)
{
    char path[300];

    setup();
    cfc_doctor_space(&doctor, root.path);
    CU_ASSERT_STRING_EQUAL(
        json_string_value(json_object_get(json_array_get(doctor.rows, 0), "check")), "store space");
    CU_ASSERT_PTR_NOT_NULL(
        strstr(json_string_value(json_object_get(json_array_get(doctor.rows, 0), "detail")),
               "MiB are free"));
    doctor.has_failed = false;
    snprintf(path, sizeof(path), "%s/none", root.path);
    cfc_doctor_space(&doctor, path);
    expect("store space", "fail", "No such file");
    CU_ASSERT_TRUE(doctor.has_failed);
    teardown();
}

static void
a_clock_is_compared_with_the_servers(void)
{
    int64_t now = (int64_t)time(NULL);

    setup();
    cfc_doctor_clock(&doctor, now - 70);
    expect("clock", "fail", "s from the server's");
    doctor.has_failed = false;
    cfc_doctor_clock(&doctor, now + 50);
    expect("clock", "warn", "s from the server's");
    CU_ASSERT_FALSE(doctor.has_failed);
    cfc_doctor_clock(&doctor, 0); /* whatever the kernel says, it is no failure */
    CU_ASSERT_FALSE(doctor.has_failed);
    teardown();
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(free_huge_pages_of_all_sizes_count),
    CFC_CASE(a_receive_buffer_of_a_mebibyte_is_enough),
    CFC_CASE(a_socket_must_be_able_to_join_all_groups_and_that_of_control),
    CFC_CASE(little_space_is_a_warning_and_hardly_any_a_failure),
    CFC_CASE(the_space_of_a_folder_is_that_of_its_disk),
    CFC_CASE(a_clock_is_compared_with_the_servers),
};

CFC_TEST_MAIN("doctor", cases)
