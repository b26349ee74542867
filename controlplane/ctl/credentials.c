#include "controlplane/ctl/credentials.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/keys/files.h"

static const char *
option_or_env(const struct cfc_ctl_args *args, const char *option, const char *env)
{
    const char *value = cfc_ctl_option(args, option);

    value = value != NULL ? value : getenv(env);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int
refuse_file(int rc, const char *path)
{
    switch (rc) {
    case CONFCAST_ERR_AUTHORITY:
        return cfc_ctl_fail(CFC_EXIT_FORBIDDEN,
                            "%s must be a regular file that only its owner can read (chmod 600)",
                            path);
    case CONFCAST_ERR_NOT_FOUND:
        return cfc_ctl_fail(CFC_EXIT_NOT_FOUND, "there is no file %s", path);
    default:
        return cfc_ctl_fail(CFC_EXIT_USAGE, "cannot read %s: %s", path, confcast_error_text(rc));
    }
}

/* One word of printable ASCII, with white space around it. */
static bool
take_token(const char *text, size_t size, char token[CFC_CTL_TOKEN_SIZE_MAX + 1])
{
    while (size > 0 && strchr(" \t\r\n", text[0]) != NULL) {
        text++;
        size--;
    }
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e) {
            return false;
        }
    }
    if (size == 0 || size > CFC_CTL_TOKEN_SIZE_MAX) {
        return false;
    }
    memcpy(token, text, size);
    token[size] = '\0';
    return true;
}

static int
token_from_file(const char *path, char token[CFC_CTL_TOKEN_SIZE_MAX + 1])
{
    char *bytes = NULL;
    size_t size = 0;
    int rc = cfc_file_read(path, 2 * CFC_CTL_TOKEN_SIZE_MAX, true, &bytes, &size);
    bool is_good;

    if (rc != CONFCAST_OK) {
        return refuse_file(rc, path);
    }
    is_good = take_token(bytes, size, token);
    sodium_memzero(bytes, size);
    free(bytes);
    return is_good ? CFC_EXIT_OK
                   : cfc_ctl_fail(CFC_EXIT_USAGE, "%s holds no token: one word is expected", path);
}

/* The key must be as private as a token; libcurl reads it itself. */
static int
check_key_file(const char *path)
{
    char *bytes = NULL;
    size_t size = 0;
    int rc = cfc_file_read(path, 1 << 20, true, &bytes, &size);

    if (rc != CONFCAST_OK) {
        return refuse_file(rc, path);
    }
    sodium_memzero(bytes, size);
    free(bytes);
    return CFC_EXIT_OK;
}

static bool
is_loopback(const char *host)
{
    struct in_addr v4;

    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127);
}

/* True for http:// to another machine: whoever is on the way could read a token. */
static bool
is_in_the_clear(const char *server)
{
    CURLU *url = strncmp(server, "http://", 7) == 0 ? curl_url() : NULL;
    char *host = NULL;
    bool is_clear = false;

    if (url != NULL && curl_url_set(url, CURLUPART_URL, server, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        is_clear = !is_loopback(host);
    }
    curl_free(host);
    curl_url_cleanup(url);
    return is_clear;
}

int
cfc_ctl_credentials(struct cfc_ctl *ctl, const struct cfc_ctl_args *args,
                    char token[CFC_CTL_TOKEN_SIZE_MAX + 1])
{
    const char *path = option_or_env(args, "token-file", "CONFCAST_TOKEN_FILE");
    const char *text = getenv("CONFCAST_TOKEN");
    int rc = CFC_EXIT_OK;

    token[0] = '\0';
    if (path != NULL) {
        rc = token_from_file(path, token);
    } else if (text != NULL && text[0] != '\0' && !take_token(text, strlen(text), token)) {
        rc = cfc_ctl_fail(CFC_EXIT_USAGE, "CONFCAST_TOKEN holds no token: one word is expected");
    }
    if (rc != CFC_EXIT_OK) {
        return rc;
    }
    ctl->token = token[0] != '\0' ? token : NULL;
    if (ctl->token != NULL && is_in_the_clear(ctl->server)) {
        return cfc_ctl_fail(
            CFC_EXIT_USAGE,
            "a token is not sent to %s unencrypted: use https:// or unix:", ctl->server);
    }
    ctl->ca_file = option_or_env(args, "cacert", "CONFCAST_CACERT");
    ctl->cert_file = option_or_env(args, "cert", "CONFCAST_CERT");
    ctl->key_file = option_or_env(args, "key", "CONFCAST_KEY");
    if ((ctl->cert_file == NULL) != (ctl->key_file == NULL)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "a client certificate is --cert and --key");
    }
    return ctl->key_file != NULL ? check_key_file(ctl->key_file) : CFC_EXIT_OK;
}
