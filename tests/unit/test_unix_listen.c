/* Listening unix sockets, and those that several want. */
#include "consumer/app/unix_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/temp_dir.h"

static void
leave_dead_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path));
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

struct starter {
    pthread_t thread;
    pthread_barrier_t *barrier;
    const char *path;
    struct cfc_unix_listener listener;
    int code;
};

static void *
start_listening(void *arg)
{
    struct starter *s = arg;

    pthread_barrier_wait(s->barrier);
    s->code = cfc_unix_listen(s->path, 0600, 4, &s->listener);
    return NULL;
}

static bool
is_answered(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_fine;

    memcpy(address.sun_path, path, strlen(path));
    is_fine = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_fine;
}

/* They all find the socket of one that died. */
static void
of_agents_that_start_at_once_one_gets_the_socket(void)
{
    enum {
        STARTERS = 6,
        ROUNDS = 100
    };
    struct starter starters[STARTERS];
    pthread_barrier_t barrier;
    char path[300];
    struct temp_dir dir = temp_dir_make();

    snprintf(path, sizeof(path), "%s/share", dir.path);
    CU_ASSERT_EQUAL(pthread_barrier_init(&barrier, NULL, STARTERS), 0);
    for (int round = 0; round < ROUNDS; round++) {
        int won = 0;

        leave_dead_socket(path);
        for (int i = 0; i < STARTERS; i++) {
            starters[i] = (struct starter){.barrier = &barrier, .path = path};
            CU_ASSERT_EQUAL_FATAL(
                pthread_create(&starters[i].thread, NULL, start_listening, &starters[i]), 0);
        }
        for (int i = 0; i < STARTERS; i++) {
            pthread_join(starters[i].thread, NULL);
        }
        CU_ASSERT_TRUE(is_answered(path));
        for (int i = 0; i < STARTERS; i++) {
            won += starters[i].code == CONFCAST_OK;
            CU_ASSERT(starters[i].code == CONFCAST_OK || starters[i].code == CONFCAST_ERR_BUSY);
            cfc_unix_listen_close(&starters[i].listener, path);
        }
        CU_ASSERT_EQUAL(won, 1);
        CU_ASSERT_EQUAL(access(path, F_OK), -1);
    }
    pthread_barrier_destroy(&barrier);
    temp_dir_remove(&dir);
}

static void
files_of_others_at_the_path_stay(void)
{
    struct temp_dir dir = temp_dir_make();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct cfc_unix_listener listener;
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/share", dir.path);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CU_ASSERT_EQUAL(cfc_unix_listen(path, 0600, 4, &listener), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    close(fd);
    unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* a living socket of another kind */
    memcpy(address.sun_path, path, strlen(path));
    CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL(listen(fd, 8), 0);
    CU_ASSERT_EQUAL(cfc_unix_listen(path, 0600, 4, &listener), CONFCAST_ERR_IO);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    close(fd);
    temp_dir_remove(&dir);
}

static void
the_lock_is_held_as_long_as_somebody_listens(void)
{
    struct temp_dir dir = temp_dir_make();
    struct cfc_unix_listener first;
    struct cfc_unix_listener second;
    char path[300];
    char lock[310];

    snprintf(path, sizeof(path), "%s/share", dir.path);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    CU_ASSERT_EQUAL(cfc_unix_listen(path, 0600, 4, &first), CONFCAST_OK);
    CU_ASSERT_EQUAL(unlink(path), 0); /* whoever removed it: it is not free */
    CU_ASSERT_EQUAL(cfc_unix_listen(path, 0600, 4, &second), CONFCAST_ERR_BUSY);
    CU_ASSERT_EQUAL(second.fd, -1);
    CU_ASSERT_EQUAL(second.lock_fd, -1);
    cfc_unix_listen_close(&second, path);
    cfc_unix_listen_close(&first, path);
    CU_ASSERT_EQUAL(access(lock, F_OK), 0);
    CU_ASSERT_EQUAL(cfc_unix_listen(path, 0600, 4, &second), CONFCAST_OK);
    CU_ASSERT_TRUE(is_answered(path));
    cfc_unix_listen_close(&second, path);
    CU_ASSERT_EQUAL(access(path, F_OK), -1);
    CU_ASSERT_EQUAL(unlink(lock), 0);
    CU_ASSERT_EQUAL(symlink("/dev/null", lock), 0); /* what is no file of ours is not followed */
    CU_ASSERT_EQUAL(cfc_unix_listen(path, 0600, 4, &second), CONFCAST_ERR_IO);
    temp_dir_remove(&dir);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(of_agents_that_start_at_once_one_gets_the_socket),
    CFC_CASE(files_of_others_at_the_path_stay),
    CFC_CASE(the_lock_is_held_as_long_as_somebody_listens),
};

CFC_TEST_MAIN("unix_listen", cases)
