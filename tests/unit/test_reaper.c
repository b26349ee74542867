#include "controlplane/api/reaper.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confcast/error.h"
#include "protocol/base/time.h"
#include "tests/unit/cunit_main.h"

enum {
    TIMEOUT_MS = 60,
    PATIENCE_MS = 5000,
};

/* A connection with its peer's end. */
struct pair {
    struct cfc_connection connection;
    int peer;
};

static void
pair_open(struct pair *pair, struct cfc_reaper *reaper)
{
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    memset(pair, 0, sizeof(*pair));
    pair->connection.fd = fds[0];
    pair->peer = fds[1];
    cfc_reaper_add(reaper, &pair->connection);
}

static void
pair_close(struct pair *pair)
{
    cfc_reaper_remove(&pair->connection);
    close(pair->connection.fd);
    close(pair->peer);
}

/* What the peer has received once it can read, or "" for the end; NULL after `ms` of silence. */
static const char *
received(const struct pair *pair, int ms)
{
    static char text[1024];
    struct pollfd poll_fd = {.fd = pair->peer, .events = POLLIN};
    ssize_t size;

    if (poll(&poll_fd, 1, ms) != 1) {
        return NULL;
    }
    size = recv(pair->peer, text, sizeof(text) - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static bool
begins_with(const char *text, const char *start)
{
    return text != NULL && strncmp(text, start, strlen(start)) == 0;
}

static bool
has_ended(const struct pair *pair)
{
    const char *text = received(pair, PATIENCE_MS);

    return text != NULL && text[0] == '\0';
}

static void
a_request_that_does_not_arrive_gets_408_and_the_end(void)
{
    struct cfc_reaper reaper;
    struct pair pair;

    CU_ASSERT_EQUAL_FATAL(cfc_reaper_start(&reaper, TIMEOUT_MS * CFC_MS), CONFCAST_OK);
    pair_open(&pair, &reaper);
    CU_ASSERT(cfc_reaper_enter(&pair.connection, CFC_CONNECTION_RECEIVING));
    CU_ASSERT(begins_with(received(&pair, PATIENCE_MS), "HTTP/1.1 408 "));
    CU_ASSERT(has_ended(&pair));
    CU_ASSERT_FALSE(cfc_reaper_enter(&pair.connection, CFC_CONNECTION_ANSWERING));
    CU_ASSERT_EQUAL(reaper.late_count, 1);
    pair_close(&pair);
    cfc_reaper_stop(&reaper);
}

static void
a_connection_without_a_request_ends_without_a_word(void)
{
    struct cfc_reaper reaper;
    struct pair pair;

    CU_ASSERT_EQUAL_FATAL(cfc_reaper_start(&reaper, TIMEOUT_MS * CFC_MS), CONFCAST_OK);
    pair_open(&pair, &reaper);
    CU_ASSERT(has_ended(&pair));
    CU_ASSERT_EQUAL(reaper.late_count, 0);
    pair_close(&pair);
    cfc_reaper_stop(&reaper);
}

static void
bytes_that_wait_to_be_read_put_the_deadline_off(void)
{
    struct cfc_reaper reaper;
    struct pair pair;
    char byte;

    CU_ASSERT_EQUAL_FATAL(cfc_reaper_start(&reaper, TIMEOUT_MS * CFC_MS), CONFCAST_OK);
    pair_open(&pair, &reaper);
    CU_ASSERT_EQUAL(send(pair.peer, "x", 1, 0), 1);
    CU_ASSERT_PTR_NULL(received(&pair, 6 * TIMEOUT_MS));
    CU_ASSERT_EQUAL(recv(pair.connection.fd, &byte, 1, 0), 1);
    CU_ASSERT(has_ended(&pair));
    pair_close(&pair);
    cfc_reaper_stop(&reaper);
}

static void
a_request_being_answered_has_no_deadline(void)
{
    struct cfc_reaper reaper;
    struct pair pair;

    CU_ASSERT_EQUAL_FATAL(cfc_reaper_start(&reaper, TIMEOUT_MS * CFC_MS), CONFCAST_OK);
    pair_open(&pair, &reaper);
    CU_ASSERT(cfc_reaper_enter(&pair.connection, CFC_CONNECTION_ANSWERING));
    CU_ASSERT_PTR_NULL(received(&pair, 4 * TIMEOUT_MS));
    CU_ASSERT(cfc_reaper_enter(&pair.connection, CFC_CONNECTION_IDLE));
    CU_ASSERT(has_ended(&pair));
    pair_close(&pair);
    cfc_reaper_stop(&reaper);
}

static void
a_client_that_does_not_take_its_answer_is_ended_by_the_size_of_it(void)
{
    struct cfc_reaper reaper;
    struct pair pair;

    CU_ASSERT_EQUAL_FATAL(cfc_reaper_start(&reaper, TIMEOUT_MS * CFC_MS), CONFCAST_OK);
    pair_open(&pair, &reaper);
    CU_ASSERT(cfc_reaper_enter(&pair.connection, CFC_CONNECTION_ANSWERING));
    cfc_reaper_enter_sending(&pair.connection, 60 * (size_t)CFC_SEND_RATE_MIN);
    CU_ASSERT_PTR_NULL(received(&pair, 4 * TIMEOUT_MS));
    cfc_reaper_enter_sending(&pair.connection, 1);
    CU_ASSERT(has_ended(&pair));
    pair_close(&pair);
    cfc_reaper_stop(&reaper);
}

static void
a_connection_that_comes_while_others_have_no_deadline_has_one(void)
{
    struct cfc_reaper reaper;
    struct pair first;
    struct pair second;

    CU_ASSERT_EQUAL_FATAL(cfc_reaper_start(&reaper, TIMEOUT_MS * CFC_MS), CONFCAST_OK);
    pair_open(&first, &reaper);
    CU_ASSERT(cfc_reaper_enter(&first.connection, CFC_CONNECTION_ANSWERING));
    CU_ASSERT_PTR_NULL(received(&first, 4 * TIMEOUT_MS));
    pair_open(&second, &reaper);
    CU_ASSERT(has_ended(&second));
    pair_close(&second);
    pair_close(&first);
    cfc_reaper_stop(&reaper);
}

static void
connections_are_removed_in_any_order(void)
{
    struct cfc_reaper reaper;
    struct pair pairs[3];

    CU_ASSERT_EQUAL_FATAL(cfc_reaper_start(&reaper, PATIENCE_MS * CFC_MS), CONFCAST_OK);
    for (int skipped = 0; skipped < 3; skipped++) {
        for (int i = 0; i < 3; i++) {
            pair_open(&pairs[i], &reaper);
        }
        pair_close(&pairs[skipped]);
        pair_close(&pairs[(skipped + 1) % 3]);
        pair_close(&pairs[(skipped + 2) % 3]);
        CU_ASSERT_PTR_NULL(reaper.first);
    }
    cfc_reaper_stop(&reaper);
}

static void
one_peer_holds_no_more_than_its_share_whatever_its_connections(void)
{
    struct cfc_reaper reaper;
    struct pair pairs[4];

    CU_ASSERT_EQUAL_FATAL(cfc_reaper_start(&reaper, TIMEOUT_MS * CFC_S), CONFCAST_OK);
    for (size_t i = 0; i < 4; i++) {
        pair_open(&pairs[i], &reaper);
    }
    pairs[2].connection.peer[0] = 9;
    pairs[3].connection.is_unix = true;
    CU_ASSERT(cfc_reaper_hold(&pairs[0].connection, 60, 100));
    CU_ASSERT_FALSE(cfc_reaper_hold(&pairs[1].connection, 41, 100));
    CU_ASSERT(cfc_reaper_hold(&pairs[1].connection, 40, 100));
    CU_ASSERT_FALSE(cfc_reaper_hold(&pairs[0].connection, 1, 100));
    CU_ASSERT_FALSE(cfc_reaper_hold(&pairs[0].connection, SIZE_MAX, 100));
    CU_ASSERT(cfc_reaper_hold(&pairs[2].connection, 100, 100));
    CU_ASSERT(cfc_reaper_hold(&pairs[3].connection, 1000, 100));
    cfc_reaper_drop(&pairs[1].connection);
    CU_ASSERT(cfc_reaper_hold(&pairs[0].connection, 40, 100));
    CU_ASSERT_FALSE(cfc_reaper_hold(&pairs[0].connection, 1, 100));
    pair_close(&pairs[0]);
    CU_ASSERT(cfc_reaper_hold(&pairs[1].connection, 100, 100));
    for (size_t i = 1; i < 4; i++) {
        pair_close(&pairs[i]);
    }
    cfc_reaper_stop(&reaper);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_request_that_does_not_arrive_gets_408_and_the_end),
    CFC_CASE(a_connection_without_a_request_ends_without_a_word),
    CFC_CASE(bytes_that_wait_to_be_read_put_the_deadline_off),
    CFC_CASE(a_request_being_answered_has_no_deadline),
    CFC_CASE(a_client_that_does_not_take_its_answer_is_ended_by_the_size_of_it),
    CFC_CASE(a_connection_that_comes_while_others_have_no_deadline_has_one),
    CFC_CASE(connections_are_removed_in_any_order),
    CFC_CASE(one_peer_holds_no_more_than_its_share_whatever_its_connections),
};

CFC_TEST_MAIN("reaper", cases)
