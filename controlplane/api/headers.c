#include "controlplane/api/headers.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "controlplane/model/service.h"

/* A token of RFC 9110, 5.6.2. */
static bool
is_token(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool is_plain = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z') ||
                        (text[i] >= 'A' && text[i] <= 'Z');

        if (!is_plain && (text[i] == '\0' || strchr("!#$%&'*+-.^_`|~", text[i]) == NULL)) {
            return false;
        }
    }
    return size > 0;
}

static bool
has_control(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

void
cfc_headers_add(struct cfc_headers *headers, const char *name, size_t name_size, const char *value,
                size_t value_size)
{
    static const struct {
        const char *name;
        size_t offset;
    } known[] = {
        {"Authorization", offsetof(struct cfc_headers, authorization)},
        {"Confcast-Author", offsetof(struct cfc_headers, author)},
        {"Content-Length", offsetof(struct cfc_headers, content_length)},
        {"Expect", offsetof(struct cfc_headers, expect)},
        {"Host", offsetof(struct cfc_headers, host)},
        {"Idempotency-Key", offsetof(struct cfc_headers, idempotency_key)},
        {"Origin", offsetof(struct cfc_headers, origin)},
        {"Transfer-Encoding", offsetof(struct cfc_headers, transfer_encoding)},
    };

    headers->is_malformed |=
        !is_token(name, name_size) || (value != NULL && has_control(value, value_size));
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcasecmp(known[i].name, name) == 0) {
            const char **slot = (const char **)((char *)headers + known[i].offset);

            headers->has_twice |= *slot != NULL;
            *slot = value != NULL ? value : "";
            return;
        }
    }
}

/* 1 to `size_max` characters of printable ASCII. */
static bool
is_plain(const char *text, size_t size_max)
{
    size_t size = strlen(text);

    for (size_t i = 0; i < size; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e) {
            return false;
        }
    }
    return size >= 1 && size <= size_max;
}

/* An address, localhost, or a name without a dot, which no public name server answers for. */
static bool
is_local_host(const char *host)
{
    size_t size = strcspn(host, ":");

    if (host[0] == '[') {
        return true; /* an IPv6 address: no name has brackets */
    }
    return memchr(host, '.', size) == NULL || strspn(host, "0123456789.") >= size;
}

bool
cfc_headers_check_framing(const struct cfc_headers *headers, const char *version,
                          struct cfc_reply *reply)
{
    if (headers->is_malformed) {
        cfc_reply_error(reply, 400, "invalid", "a header is malformed");
        return false;
    }
    if (headers->has_twice) {
        cfc_reply_error(reply, 400, "invalid", "a header that counts is given twice");
        return false;
    }
    if (headers->content_length != NULL && headers->transfer_encoding != NULL) {
        cfc_reply_error(reply, 400, "invalid", "a body has a length or chunks, and not both");
        return false;
    }
    if (headers->transfer_encoding != NULL &&
        (strcasecmp(headers->transfer_encoding, "chunked") != 0 ||
         strcmp(version, "HTTP/1.1") != 0)) {
        cfc_reply_error(reply, 400, "invalid", "chunked, in HTTP/1.1, is the one transfer coding");
        return false;
    }
    return true;
}

bool
cfc_headers_check(const struct cfc_headers *headers, bool is_local, struct cfc_reply *reply)
{
    if (headers->origin != NULL ||
        (is_local && headers->host != NULL && !is_local_host(headers->host))) {
        cfc_reply_error(reply, 403, "forbidden",
                        "requests of web pages, and to names of this host, are not taken; use its "
                        "address or localhost, without Origin");
        return false;
    }
    if (headers->author != NULL && !is_plain(headers->author, CFC_AUTHOR_SIZE_MAX)) {
        cfc_reply_error(reply, 400, "invalid",
                        "Confcast-Author: 1 to 128 printable ASCII characters");
        return false;
    }
    if (headers->idempotency_key != NULL &&
        !is_plain(headers->idempotency_key, CFC_IDEMPOTENCY_KEY_SIZE_MAX)) {
        cfc_reply_error(reply, 400, "invalid",
                        "Idempotency-Key: 1 to 128 printable ASCII characters");
        return false;
    }
    return true;
}
