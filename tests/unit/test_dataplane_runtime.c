/* EAL's folders: a living engine keeps its own, a killed one's is swept, and what is not ours
 * stays. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confcast/error.h"
#include "dataplane/runtime_dir.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/temp_dir.h"

static bool
exists(const struct temp_dir *base, const char *name)
{
    char path[400];

    snprintf(path, sizeof(path), "%s/dpdk/%s", base->path, name);
    return access(path, F_OK) == 0;
}

static void
make_file(const struct temp_dir *base, const char *name)
{
    char path[400];
    int fd;

    snprintf(path, sizeof(path), "%s/dpdk/%s", base->path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    close(fd);
}

static void
make_folder(const struct temp_dir *base, const char *name, bool is_old)
{
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    char path[400];

    snprintf(path, sizeof(path), "%s/dpdk", base->path);
    (void)mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/dpdk/%s", base->path, name);
    CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
    if (is_old) {
        CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, old, 0), 0);
    }
}

/* A process that claims a folder and waits to be killed. */
static pid_t
start_owner(const struct temp_dir *base, const char *prefix)
{
    struct cfc_runtime_dir dir;
    char byte = 0;
    int pipes[2];
    pid_t pid;

    CU_ASSERT_EQUAL_FATAL(pipe(pipes), 0);
    pid = fork();
    if (pid == 0) {
        byte = (char)-cfc_runtime_dir_claim(base->path, prefix, &dir);
        if (write(pipes[1], &byte, 1) != 1) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    CU_ASSERT_EQUAL(read(pipes[0], &byte, 1), 1);
    CU_ASSERT_EQUAL(byte, 0);
    close(pipes[0]);
    close(pipes[1]);
    return pid;
}

static void
killed_engine_s_folder_is_swept_and_a_living_one_s_is_not(void)
{
    struct temp_dir base = temp_dir_make();
    pid_t living = start_owner(&base, "confcast-00000001");
    pid_t killed = start_owner(&base, "confcast-00000002");
    struct cfc_runtime_dir dir;

    make_file(&base, "confcast-00000002/dpdk_telemetry.v2");
    CU_ASSERT_EQUAL(cfc_runtime_dir_sweep(base.path), 0);
    CU_ASSERT_EQUAL(cfc_runtime_dir_claim(base.path, "confcast-00000001", &dir),
                    CONFCAST_ERR_EXISTS);
    kill(killed, SIGKILL);
    waitpid(killed, NULL, 0);
    CU_ASSERT_EQUAL(cfc_runtime_dir_sweep(base.path), 1);
    CU_ASSERT_TRUE(exists(&base, "confcast-00000001"));
    CU_ASSERT_FALSE(exists(&base, "confcast-00000002"));
    kill(living, SIGKILL);
    waitpid(living, NULL, 0);
    /* Its folder may as well be taken by the next one as it is. */
    CU_ASSERT_EQUAL(cfc_runtime_dir_claim(base.path, "confcast-00000001", &dir), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_runtime_dir_sweep(base.path), 0);
    cfc_runtime_dir_release(&dir);
    CU_ASSERT_FALSE(exists(&base, "confcast-00000001"));
    cfc_runtime_dir_release(&dir);
    temp_dir_remove(&base);
}

static void
folder_without_an_owner_is_swept_when_it_is_old_and_nobody_answers_in_it(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct temp_dir base = temp_dir_make();
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    make_folder(&base, "confcast-old", true);
    make_folder(&base, "confcast-new", false);
    make_folder(&base, "confcast-answering", false);
    snprintf(address.sun_path, sizeof(address.sun_path),
             "%.60s/dpdk/confcast-answering/dpdk_telemetry.v2", base.path);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%.60s/dpdk/confcast-answering",
             base.path);
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, address.sun_path,
                              (const struct timespec[2]){{.tv_sec = 1}, {.tv_sec = 1}}, 0),
                    0);
    CU_ASSERT_EQUAL(cfc_runtime_dir_sweep(base.path), 1);
    CU_ASSERT_FALSE(exists(&base, "confcast-old"));
    CU_ASSERT_TRUE(exists(&base, "confcast-new"));
    CU_ASSERT_TRUE(exists(&base, "confcast-answering"));
    close(fd);
    CU_ASSERT_EQUAL(cfc_runtime_dir_sweep(base.path), 1);
    CU_ASSERT_FALSE(exists(&base, "confcast-answering"));
    temp_dir_remove(&base);
}

static void
what_is_not_ours_or_holds_more_than_files_stays(void)
{
    struct temp_dir base = temp_dir_make();
    char path[400];

    CU_ASSERT_EQUAL(cfc_runtime_dir_sweep(base.path), 0);
    make_folder(&base, "rte", true);
    make_folder(&base, "confcast-deep", true);
    make_folder(&base, "confcast-deep/below", true);
    make_file(&base, "confcast-deep/below/file");
    make_folder(&base, "target", true);
    make_file(&base, "target/file");
    snprintf(path, sizeof(path), "%s/dpdk/confcast-link", base.path);
    CU_ASSERT_EQUAL(symlink("target", path), 0);
    make_folder(&base, "confcast-linked-owner", true);
    snprintf(path, sizeof(path), "%s/dpdk/confcast-linked-owner/owner", base.path);
    CU_ASSERT_EQUAL(symlink("../target/file", path), 0);
    CU_ASSERT_EQUAL(cfc_runtime_dir_sweep(base.path), 0);
    CU_ASSERT_TRUE(exists(&base, "rte"));
    CU_ASSERT_TRUE(exists(&base, "confcast-deep/below/file"));
    CU_ASSERT_TRUE(exists(&base, "target/file"));
    temp_dir_remove(&base);
}

static void
base_that_cannot_be_written_or_is_too_long_is_an_error(void)
{
    struct cfc_runtime_dir dir;
    char base[400];

    CU_ASSERT_EQUAL(cfc_runtime_dir_claim("/proc/none", "confcast-1", &dir), CONFCAST_ERR_RESOURCE);
    memset(base, 'x', sizeof(base));
    base[sizeof(base) - 1] = '\0';
    CU_ASSERT_EQUAL(cfc_runtime_dir_claim(base, "confcast-1", &dir), CONFCAST_ERR_LIMIT);
    cfc_runtime_dir_release(&dir);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(killed_engine_s_folder_is_swept_and_a_living_one_s_is_not),
    CFC_CASE(folder_without_an_owner_is_swept_when_it_is_old_and_nobody_answers_in_it),
    CFC_CASE(what_is_not_ours_or_holds_more_than_files_stays),
    CFC_CASE(base_that_cannot_be_written_or_is_too_long_is_an_error),
};

CFC_TEST_MAIN("dataplane_runtime", cases)
