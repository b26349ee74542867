/* Contents in sealed memfds: what is made, and what is not taken. */
#include "consumer/shared_content.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consumer/share_wire.h"
#include "tests/unit/client_fixture.h"
#include "tests/unit/cunit_main.h"

static struct cfc_loaded *
loaded_with(struct bench *b, int64_t n, struct cfc_digest *id)
{
    struct cfc_loaded *loaded = NULL;
    uint8_t *body = malloc(CLIENT_BODY_MAX);
    size_t size;

    CU_ASSERT_PTR_NOT_NULL_FATAL(body);
    size = bench_body(b, n, 10, body, id);
    CU_ASSERT_EQUAL_FATAL(cfc_loaded_new(body, size, id, b->sha, &loaded), CONFCAST_OK);
    return loaded;
}

static void
a_shared_content_can_be_read_and_not_be_changed(void)
{
    struct cfc_loaded *mapped = NULL;
    struct cfc_loaded *loaded;
    struct confcast_view *view;
    struct cfc_digest other;
    struct cfc_digest id;
    struct bench b;
    int fd = -1;
    int again;

    bench_begin(&b);
    loaded = loaded_with(&b, 7, &id);
    other = id;
    other.bytes[31] ^= 1;
    CU_ASSERT_EQUAL_FATAL(cfc_shared_content_make(loaded, &fd), CONFCAST_OK);
    CU_ASSERT(write(fd, "x", 1) < 0 && errno == EPERM);
    CU_ASSERT(ftruncate(fd, 10) != 0 && errno == EPERM);
    CU_ASSERT_PTR_EQUAL(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    CU_ASSERT_EQUAL(cfc_shared_content_map(fd, &other, &mapped), CONFCAST_ERR_CORRUPT);
    CU_ASSERT_EQUAL_FATAL(cfc_shared_content_map(fd, &id, &mapped), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_shared_content_make(mapped, &again), CONFCAST_ERR_INVALID);
    close(fd);
    view = cfc_view_new(mapped, &(struct cfc_served){.epoch = 1, .version = 1});
    CU_ASSERT_EQUAL(confcast_get_i64(view, CONFCAST_KEY("/n"), -1, NULL), 7);
    CU_ASSERT_STRING_EQUAL(confcast_get_string(view, CONFCAST_KEY("/pad"), "", NULL, NULL),
                           "xxxxxxxxxx");
    cfc_view_free(view);
    cfc_loaded_unref(mapped);
    cfc_loaded_unref(loaded);
    bench_end(&b);
}

/* A memfd with these bytes. */
static int
memfd_with(const void *bytes, size_t size, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    CU_ASSERT_EQUAL(write(fd, bytes, size), (ssize_t)size);
    CU_ASSERT_EQUAL(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void
a_memfd_that_lies_is_refused(void)
{
    static const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    struct cfc_share_content header;
    struct cfc_loaded *mapped = NULL;
    struct cfc_loaded *loaded;
    struct cfc_digest id;
    uint8_t bytes[8192];
    struct bench b;
    ssize_t size;
    int fd = -1;

    bench_begin(&b);
    loaded = loaded_with(&b, 7, &id);
    CU_ASSERT_EQUAL_FATAL(cfc_shared_content_make(loaded, &fd), CONFCAST_OK);
    size = pread(fd, bytes, sizeof(bytes), 0);
    close(fd);
    CU_ASSERT_FATAL(size > 200 && size < (ssize_t)sizeof(bytes));
    for (int missing = 0; missing < 3; missing++) {
        static const int without[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};

        fd = memfd_with(bytes, (size_t)size, seals & ~without[missing]);
        CU_ASSERT_EQUAL(cfc_shared_content_map(fd, &id, &mapped), CONFCAST_ERR_CORRUPT);
        close(fd);
    }
    for (int lie = 0; lie < 9; lie++) {
        uint8_t changed[sizeof(bytes)];
        size_t changed_size = (size_t)size;
        int expected = CONFCAST_ERR_CORRUPT;

        memcpy(&header, bytes, sizeof(header));
        switch (lie) {
        case 0:
            header.magic++;
            break;
        case 1:
            header.line_count++;
            break;
        case 2:
            header.line_count = 0;
            header.body_offset = header.slots_offset;
            header.body_size = (uint32_t)((uint64_t)size - header.body_offset);
            break;
        case 3:
            header.body_size++;
            break;
        case 4:
            header.body_offset += 64;
            break;
        case 5:
            header.slots_offset += 64;
            break;
        case 6:
            changed_size--;
            break;
        case 7:
            changed_size = 40;
            break;
        default:
            expected = CONFCAST_OK;
        }
        memcpy(changed, bytes, sizeof(changed));
        memcpy(changed, &header, sizeof(header));
        fd = memfd_with(changed, changed_size, seals);
        CU_ASSERT_EQUAL(cfc_shared_content_map(fd, &id, &mapped), expected);
        close(fd);
    }
    cfc_loaded_unref(mapped);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CU_ASSERT_EQUAL(cfc_shared_content_map(fd, &id, &mapped), CONFCAST_ERR_CORRUPT);
    close(fd);
    cfc_loaded_unref(loaded);
    bench_end(&b);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_shared_content_can_be_read_and_not_be_changed),
    CFC_CASE(a_memfd_that_lies_is_refused),
};

CFC_TEST_MAIN("shared_content", cases)
