/* Headers that decide something: known by name, given once, and not a browser's. */
#include "controlplane/api/headers.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/cunit_main.h"

static struct cfc_headers headers;
static struct cfc_reply reply;

static void
add(const char *name, const char *value)
{
    cfc_headers_add(&headers, name, strlen(name), value, value != NULL ? strlen(value) : 0);
}

/* The status that the headers so far are refused with; 0 = not. */
static unsigned
checked(bool is_local)
{
    bool may;

    cfc_reply_clear(&reply);
    may = cfc_headers_check_framing(&headers, "HTTP/1.1", &reply) &&
          cfc_headers_check(&headers, is_local, &reply);
    CU_ASSERT_EQUAL(may, reply.status == 0);
    return reply.status;
}

static unsigned
checked_one(const char *name, const char *value, bool is_local)
{
    memset(&headers, 0, sizeof(headers));
    add(name, value);
    return checked(is_local);
}

static void
names_are_taken_without_case_and_others_passed_over(void)
{
    memset(&headers, 0, sizeof(headers));
    add("AUTHORIZATION", "Bearer x");
    add("confcast-author", "ann");
    add("content-length", "7");
    add("Expect", NULL);
    add("Idempotency-Key", "k");
    add("host", "x");
    add("Accept", "a");
    add("Accept", "b");
    CU_ASSERT_STRING_EQUAL(headers.authorization, "Bearer x");
    CU_ASSERT_STRING_EQUAL(headers.author, "ann");
    CU_ASSERT_STRING_EQUAL(headers.content_length, "7");
    CU_ASSERT_STRING_EQUAL(headers.expect, "");
    CU_ASSERT_STRING_EQUAL(headers.idempotency_key, "k");
    CU_ASSERT_STRING_EQUAL(headers.host, "x");
    CU_ASSERT_PTR_NULL(headers.origin);
    CU_ASSERT_EQUAL(checked(true), 0);
}

static void
a_header_that_counts_is_given_once(void)
{
    static const char *const names[] = {
        "Authorization", "Confcast-Author", "Content-Length", "Expect",
        "Host",          "Idempotency-Key", "Origin",         "Transfer-Encoding"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        memset(&headers, 0, sizeof(headers));
        add(names[i], "1");
        CU_ASSERT_FALSE(headers.has_twice);
        add(names[i], "1");
        CU_ASSERT_EQUAL(checked(false), 400);
    }
}

static void
a_length_beside_chunks_is_refused(void)
{
    memset(&headers, 0, sizeof(headers));
    add("Transfer-Encoding", "chunked");
    CU_ASSERT_EQUAL(checked(false), 0);
    add("Content-Length", "2");
    CU_ASSERT_EQUAL(checked(false), 400);
}

static void
chunks_of_http_1_1_are_the_one_transfer_coding(void)
{
    static const char *const bad[] = {
        "",         "gzip",      "identity", "gzip, chunked", "chunked, chunked",
        "xchunked", "chunked;a", "chunked "};

    CU_ASSERT_EQUAL(checked_one("Transfer-Encoding", "CHUNKED", false), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(checked_one("Transfer-Encoding", bad[i], false), 400);
    }
    memset(&headers, 0, sizeof(headers));
    add("Transfer-Encoding", "chunked");
    cfc_reply_clear(&reply);
    CU_ASSERT_FALSE(cfc_headers_check_framing(&headers, "HTTP/1.0", &reply));
}

static void
a_name_that_is_no_token_is_refused_whatever_it_is(void)
{
    static const char *const bad[] = {
        "",     "Content-Length ", " Content-Length",     "X\tY",    "X:",
        "X(Y)", "X\x80",           "Transfer-Encoding\r", "Acc\"ept"};

    CU_ASSERT_EQUAL(checked_one("X-a.b_c~1!#$%&'*+^`|", "1", false), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(checked_one(bad[i], "1", false), 400);
    }
    memset(&headers, 0, sizeof(headers));
    cfc_headers_add(&headers, "X\0Y", 3, "1", 1);
    CU_ASSERT_EQUAL(checked(false), 400);
}

static void
a_value_with_control_characters_is_refused_whatever_it_is_of(void)
{
    static const char *const bad[] = {"a\rContent-Length: 2", "a\nb", "\x01", "a\x7f", "\x1b[2J"};

    CU_ASSERT_EQUAL(checked_one("X", "a\tb \xc3\xa9", false), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(checked_one("X", bad[i], false), 400);
    }
    memset(&headers, 0, sizeof(headers));
    cfc_headers_add(&headers, "X", 1, "a\0b", 3);
    CU_ASSERT_EQUAL(checked(false), 400);
}

static void
web_pages_are_refused(void)
{
    CU_ASSERT_EQUAL(checked_one("Origin", "https://evil.example", false), 403);
    CU_ASSERT_EQUAL(checked_one("Origin", "null", false), 403);
    CU_ASSERT_EQUAL(checked_one("Origin", "", true), 403);
}

static void
on_loopback_without_credentials_a_public_host_name_is_refused(void)
{
    static const char *const good[] = {
        "127.0.0.1:7400", "localhost:7400", "[::1]:7400", "x", "::1", "10.0.0.1", ""};
    static const char *const bad[] = {"evil.example", "evil.example:7400", "127.0.0.1.evil.example",
                                      "localhost.", "1.2.3.4x"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CU_ASSERT_EQUAL(checked_one("Host", good[i], true), 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CU_ASSERT_EQUAL(checked_one("Host", bad[i], true), 403);
        CU_ASSERT_EQUAL(checked_one("Host", bad[i], false), 0);
    }
}

static void
names_and_keys_have_1_to_128_printable_characters(void)
{
    static const char *const names[] = {"Confcast-Author", "Idempotency-Key"};
    char text[130];

    for (size_t i = 0; i < 2; i++) {
        memset(text, 'a', sizeof(text));
        text[128] = '\0';
        CU_ASSERT_EQUAL(checked_one(names[i], text, false), 0);
        text[128] = 'a';
        text[129] = '\0';
        CU_ASSERT_EQUAL(checked_one(names[i], text, false), 400);
        CU_ASSERT_PTR_NOT_NULL(strstr(reply.body, names[i]));
        CU_ASSERT_EQUAL(checked_one(names[i], "", false), 400);
        CU_ASSERT_EQUAL(checked_one(names[i], "a\tb", false), 400);
        CU_ASSERT_EQUAL(checked_one(names[i], "a\xc3\xa9", false), 400);
        CU_ASSERT_EQUAL(checked_one(names[i], "a b", false), 0);
    }
    cfc_reply_clear(&reply);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(names_are_taken_without_case_and_others_passed_over),
    CFC_CASE(a_header_that_counts_is_given_once),
    CFC_CASE(a_length_beside_chunks_is_refused),
    CFC_CASE(chunks_of_http_1_1_are_the_one_transfer_coding),
    CFC_CASE(a_name_that_is_no_token_is_refused_whatever_it_is),
    CFC_CASE(a_value_with_control_characters_is_refused_whatever_it_is_of),
    CFC_CASE(web_pages_are_refused),
    CFC_CASE(on_loopback_without_credentials_a_public_host_name_is_refused),
    CFC_CASE(names_and_keys_have_1_to_128_printable_characters),
};

CFC_TEST_MAIN("headers", cases)
