#include "controlplane/ctl/http.h"

#include <curl/curl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/ctl/grid.h"
#include "controlplane/ctl/subject.h"

enum {
    TRY_COUNT = 3,
    RETRY_DELAY_MS = 200,
    BUSY_TRY_COUNT = 10, /* answers of 429 that are waited out */
    BUSY_WAIT_S_MAX = 10,
    CONNECT_TIMEOUT_MS = 5000,
    REQUEST_TIMEOUT_MS = 120000,
    SILENCE_S = 30, /* a stream says something every 10 s */
};

#define RESPONSE_SIZE_MAX ((size_t)512 << 20)

static void
append(struct cfc_ctl_path *path, const char *text)
{
    size_t size = strlen(text);

    if (path->has_failed || size >= sizeof(path->text) - path->size) {
        path->has_failed = true;
        return;
    }
    memcpy(path->text + path->size, text, size + 1);
    path->size += size;
}

void
cfc_ctl_path_init(struct cfc_ctl_path *path, const char *prefix, const char *tail)
{
    path->size = 0;
    path->has_failed = false;
    path->has_query = false;
    append(path, prefix);
    append(path, tail != NULL ? tail : "");
}

void
cfc_ctl_path_param(struct cfc_ctl_path *path, const char *name, const char *value)
{
    char *escaped;

    if (value == NULL) {
        return;
    }
    escaped = curl_easy_escape(NULL, value, 0);
    path->has_failed = path->has_failed || escaped == NULL;
    append(path, path->has_query ? "&" : "?");
    append(path, name);
    append(path, "=");
    append(path, escaped != NULL ? escaped : "");
    path->has_query = true;
    curl_free(escaped);
}

void
cfc_ctl_response_free(struct cfc_ctl_response *response)
{
    free(response->body);
    memset(response, 0, sizeof(*response));
}

struct sink {
    CURL *curl;
    const struct cfc_ctl *ctl;
    FILE *file; /* for the body of a good answer; NULL = memory */
    char *bytes;
    size_t size;
    size_t capacity;
};

static size_t
on_bytes(char *bytes, size_t one, size_t size, void *arg)
{
    struct sink *sink = arg;
    size_t wanted = sink->size + size + 1;
    size_t capacity = sink->capacity > 0 ? sink->capacity : 4096;
    char *grown;

    (void)one;
    if (sink->file != NULL || sink->ctl->on_body != NULL) {
        long status = 0;

        curl_easy_getinfo(sink->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200 && status <= 299) {
            return sink->file != NULL ? fwrite(bytes, 1, size, sink->file)
                   : sink->ctl->on_body(sink->ctl->on_body_arg, bytes, size) ? size
                                                                             : 0;
        }
    }
    if (size > RESPONSE_SIZE_MAX - sink->size) {
        return 0;
    }
    while (capacity < wanted) {
        capacity *= 2;
    }
    if (capacity > sink->capacity) {
        grown = realloc(sink->bytes, capacity);
        if (grown == NULL) {
            return 0;
        }
        sink->bytes = grown;
        sink->capacity = capacity;
    }
    memcpy(sink->bytes + sink->size, bytes, size);
    sink->size += size;
    sink->bytes[sink->size] = '\0';
    return size;
}

/* "unix:/path" and "unix:///path" name a socket; what follows the host is the same either way. */
static const char *
unix_path_of(const char *server)
{
    if (strncmp(server, "unix:", 5) != 0) {
        return NULL;
    }
    return strncmp(server + 5, "//", 2) == 0 ? server + 7 : server + 5;
}

static int
set_server(CURL *curl, const struct cfc_ctl *ctl, const char *path)
{
    const char *socket_path = unix_path_of(ctl->server);
    size_t size = strlen(ctl->server);
    char url[16384];
    int length;

    if (socket_path == NULL && strncmp(ctl->server, "http://", 7) != 0 &&
        strncmp(ctl->server, "https://", 8) != 0) {
        return cfc_ctl_fail(CFC_EXIT_USAGE,
                            "%s is no server: http://HOST:PORT, https://HOST:PORT or unix:/PATH",
                            ctl->server);
    }
    while (size > 0 && ctl->server[size - 1] == '/') {
        size--;
    }
    length = socket_path != NULL
                 ? snprintf(url, sizeof(url), "http://localhost%s", path)
                 : snprintf(url, sizeof(url), "%.*s%s", (int)size, ctl->server, path);
    if (length < 0 || (size_t)length >= sizeof(url)) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "the request is too long");
    }
    if (socket_path != NULL) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    return CFC_EXIT_OK;
}

static void
set_body(CURL *curl, const char *method, const void *body, size_t size)
{
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
}

/* What proves who asks, and who answers. */
static void
set_credentials(CURL *curl, const struct cfc_ctl *ctl)
{
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    if (ctl->ca_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, ctl->ca_file);
    }
    if (ctl->cert_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, ctl->cert_file);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, ctl->key_file);
    }
    if (ctl->token != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, ctl->token);
    }
}

static struct curl_slist *
add_header(struct curl_slist *list, const char *name, const char *value)
{
    char line[512];
    int size = snprintf(line, sizeof(line), "%s: %s", name, value);

    return size > 0 && (size_t)size < sizeof(line) ? curl_slist_append(list, line) : list;
}

static struct curl_slist *
headers_of(const struct cfc_ctl *ctl, const char *method)
{
    struct curl_slist *list = add_header(NULL, "Content-Type", "application/json");
    unsigned char random[16];
    char key[2 * sizeof(random) + 1];

    if (ctl->author != NULL) {
        list = add_header(list, "Confcast-Author", ctl->author);
    }
    if (strcmp(method, "GET") == 0) {
        return list;
    }
    if (ctl->idempotency_key != NULL) {
        return add_header(list, "Idempotency-Key", ctl->idempotency_key);
    }
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(key, sizeof(key), random, sizeof(random));
    return add_header(list, "Idempotency-Key", key);
}

/* The server may have taken the request, and only its answer is missing. */
static bool
is_answer_lost(CURLcode code)
{
    return code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
           code == CURLE_PARTIAL_FILE;
}

/* Sends it until there is an answer, or none can be expected. */
static CURLcode
perform_once(const struct cfc_ctl *ctl, CURL *curl, struct sink *sink)
{
    CURLcode code = CURLE_OK;
    struct timespec delay = {.tv_nsec = RETRY_DELAY_MS * 1000000L};
    bool was_lost = false;

    for (int i = 0; i < TRY_COUNT; i++) {
        sink->size = 0;
        if (sink->file != NULL &&
            (fseek(sink->file, 0, SEEK_SET) != 0 || ftruncate(fileno(sink->file), 0) != 0)) {
            return CURLE_WRITE_ERROR;
        }
        code = curl_easy_perform(curl);
        was_lost = was_lost || is_answer_lost(code);
        /* Once an answer was lost, the server may be on its way back. */
        if (code == CURLE_OK || !was_lost || ctl->limit_ms != 0 || ctl->on_body != NULL) {
            return code;
        }
        nanosleep(&delay, NULL);
    }
    return code;
}

/* The same, and waits as a server asks that has too much to do. */
static CURLcode
perform(const struct cfc_ctl *ctl, CURL *curl, struct sink *sink)
{
    CURLcode code = CURLE_OK;

    for (int i = 0; i < BUSY_TRY_COUNT; i++) {
        curl_off_t wait_s = 0;
        long status = 0;
        struct timespec delay = {0};

        code = perform_once(ctl, curl, sink);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait_s);
        if (code != CURLE_OK || status != 429 || wait_s > BUSY_WAIT_S_MAX || ctl->limit_ms != 0) {
            return code;
        }
        delay.tv_sec = (time_t)(wait_s > 0 ? wait_s : 1);
        nanosleep(&delay, NULL);
    }
    return code;
}

static int
connect_failure(const struct cfc_ctl *ctl, CURLcode code, const char *detail)
{
    if (ctl->is_quiet) {
        return code == CURLE_OPERATION_TIMEDOUT ? CFC_EXIT_TIMEOUT : CFC_EXIT_CONNECT;
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return cfc_ctl_fail(CFC_EXIT_TIMEOUT, "%s: no answer in time", ctl->server);
    }
    return cfc_ctl_fail(CFC_EXIT_CONNECT, "cannot reach %s: %s", ctl->server,
                        detail[0] != '\0' ? detail : curl_easy_strerror(code));
}

static enum cfc_ctl_exit
exit_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return CFC_EXIT_FORBIDDEN;
    case 404:
        return CFC_EXIT_NOT_FOUND;
    case 408:
    case 504:
        return CFC_EXIT_TIMEOUT;
    case 409:
    case 412:
        return CFC_EXIT_CONFLICT;
    case 413:
    case 422:
        return CFC_EXIT_REFUSED;
    case 307:
    case 421:
        return CFC_EXIT_FENCED;
    default:
        return status >= 400 && status < 500 && status != 429 ? CFC_EXIT_USAGE : CFC_EXIT_CONNECT;
    }
}

static void
print_member(const char **comma, const char *key, const json_t *value)
{
    char *text = cfc_grid_text(value);

    fprintf(stderr, "%s %s %s", *comma, key, text != NULL ? text : "?");
    free(text);
    *comma = ",";
}

/* What is in the way, and whose it is: of a release what was done last and by whom, of anything
 * else every member that is a word or a number. */
static void
print_current(const json_t *current)
{
    static const char *const of_release[] = {
        "holder",      "state",  "active_revision", "candidate_revision",
        "last_action", "author", "changed",         "release_version"};
    const char *comma = "confcastctl: current:";
    bool is_release = json_object_get(current, "last_action") != NULL;
    const char *key;
    json_t *value;

    for (size_t i = 0; is_release && i < sizeof(of_release) / sizeof(of_release[0]); i++) {
        value = json_object_get(current, of_release[i]);
        if (json_is_string(value) || json_is_integer(value)) {
            print_member(&comma, of_release[i], value);
        }
    }
    json_object_foreach((json_t *)(uintptr_t)current, key, value)
    {
        if (!is_release && (json_is_string(value) || json_is_integer(value))) {
            print_member(&comma, key, value);
        }
    }
    fputs(comma[0] == ',' ? "\n" : "", stderr);
}

/* "there is no such object" becomes a sentence that says which. */
static void
print_refusal(enum cfc_ctl_exit result, const char *code, const char *message, const char *path)
{
    char subject[CFC_SUBJECT_SIZE];

    cfc_ctl_subject(path, subject);
    if (result == CFC_EXIT_NOT_FOUND && subject[0] != '\0' &&
        strcmp(message, confcast_error_text(CONFCAST_ERR_NOT_FOUND)) == 0) {
        cfc_ctl_fail(result, "%s: there %s no %s", code,
                     strncmp(subject, "settings", 8) == 0 ? "are" : "is", subject);
    } else {
        cfc_ctl_fail(result, "%s: %s", code, message);
    }
}

static int
refusal(const struct cfc_ctl *ctl, const char *path, const struct cfc_ctl_response *response)
{
    json_t *root =
        json_loadb(response->body != NULL ? response->body : "", response->size, 0, NULL);
    const json_t *error = json_object_get(root, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    enum cfc_ctl_exit result = exit_of_status(response->status);

    if (!ctl->is_quiet && !(ctl->accepts_absent && result == CFC_EXIT_NOT_FOUND) &&
        !(ctl->accepts_conflict && result == CFC_EXIT_CONFLICT)) {
        if (message != NULL) {
            print_refusal(result, code != NULL ? code : "error", message, path);
        } else {
            cfc_ctl_fail(result, "%s answered with HTTP status %ld", ctl->server, response->status);
        }
        print_current(json_object_get(error, "current"));
        if (response->status == 401 && ctl->token == NULL && ctl->cert_file == NULL) {
            cfc_ctl_fail(result, "give --token-file FILE, or --cert FILE and --key FILE");
        }
    }
    json_decref(root);
    return result;
}

static int64_t
server_time(CURL *curl)
{
    struct curl_header *header = NULL;
    time_t time_s = -1;

    if (curl_easy_header(curl, "Date", 0, CURLH_HEADER, -1, &header) == CURLHE_OK) {
        time_s = curl_getdate(header->value, NULL);
    }
    return time_s > 0 ? (int64_t)time_s : 0;
}

static int
call(struct cfc_ctl *ctl, CURL *curl, const char *method, const struct cfc_ctl_path *path,
     const void *body, size_t body_size, struct cfc_ctl_response *response)
{
    struct curl_slist *headers = headers_of(ctl, method);
    char detail[CURL_ERROR_SIZE] = "";
    struct sink sink = {.curl = curl, .ctl = ctl, .file = ctl->body_file};
    CURLcode code;
    int rc = set_server(curl, ctl, path->text);

    if (rc != CFC_EXIT_OK) {
        curl_slist_free_all(headers);
        return rc;
    }
    set_credentials(curl, ctl);
    set_body(curl, method, body, body_size);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     ctl->limit_ms != 0 ? (long)ctl->limit_ms : (long)CONNECT_TIMEOUT_MS);
    if (ctl->body_file == NULL && ctl->on_body == NULL) {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                         ctl->limit_ms != 0 ? (long)ctl->limit_ms : (long)REQUEST_TIMEOUT_MS);
    } else {
        /* As long as it takes, while bytes come. */
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                         ctl->on_body != NULL ? (long)SILENCE_S : (long)REQUEST_TIMEOUT_MS / 1000);
    }
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &sink);
    code = perform(ctl, curl, &sink);
    curl_slist_free_all(headers);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response->status);
    response->unix_s = server_time(curl);
    response->body = sink.bytes;
    response->size = sink.size;
    if (code != CURLE_OK) {
        return connect_failure(ctl, code, detail);
    }
    if (response->status < 200 || response->status > 299) {
        return refusal(ctl, path->text, response);
    }
    if (response->body == NULL) {
        response->body = strdup("");
    }
    return response->body != NULL ? CFC_EXIT_OK : cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
}

int
cfc_ctl_call(struct cfc_ctl *ctl, const char *method, const struct cfc_ctl_path *path,
             const void *body, size_t body_size, struct cfc_ctl_response *response)
{
    CURL *curl;

    memset(response, 0, sizeof(*response));
    if (path->has_failed) {
        return cfc_ctl_fail(CFC_EXIT_USAGE, "the request is too long");
    }
    /* One handle for all requests keeps the connection. */
    curl = ctl->curl != NULL ? ctl->curl : curl_easy_init();
    if (curl == NULL) {
        return cfc_ctl_fail(CFC_EXIT_CONNECT, "no memory");
    }
    ctl->curl = curl;
    curl_easy_reset(curl);
    return call(ctl, curl, method, path, body, body_size, response);
}

void
cfc_ctl_close(struct cfc_ctl *ctl)
{
    curl_easy_cleanup(ctl->curl);
    ctl->curl = NULL;
}

int
cfc_ctl_call_json(struct cfc_ctl *ctl, const char *method, const struct cfc_ctl_path *path,
                  const void *body, size_t body_size, json_t **out)
{
    struct cfc_ctl_response response;
    int rc = cfc_ctl_call(ctl, method, path, body, body_size, &response);

    *out = NULL;
    if (rc == CFC_EXIT_OK) {
        *out = json_loadb(response.body, response.size, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(*out)) {
            json_decref(*out);
            *out = NULL;
            rc = cfc_ctl_fail(CFC_EXIT_CONNECT, "%s answered with something that is no JSON object",
                              ctl->server);
        }
    }
    cfc_ctl_response_free(&response);
    return rc;
}

/* The end of the string that begins at text[i], beyond its closing quote. */
static size_t
end_of_string(const char *text, size_t size, size_t i)
{
    for (i++; i < size && text[i] != '"'; i++) {
        i += text[i] == '\\' ? 1 : 0;
    }
    return i + 1;
}

bool
cfc_ctl_raw_member(const char *text, size_t size, const char *key, const char **member,
                   size_t *member_size)
{
    size_t key_size = strlen(key);
    size_t depth = 0;
    size_t start = 0; /* of the value looked for; 0 = not found yet */

    for (size_t i = 0; i < size; i++) {
        size_t end = i + 1;

        if (text[i] == '"') {
            end = end_of_string(text, size, i);
            if (depth == 1 && start == 0 && end < size && text[end] == ':' &&
                end - i - 2 == key_size && memcmp(text + i + 1, key, key_size) == 0) {
                start = end + 1;
            }
        } else if (depth == 1 && start > 0 && (text[i] == ',' || text[i] == '}')) {
            *member = text + start;
            *member_size = i - start;
            return true;
        } else if (text[i] == '{' || text[i] == '[') {
            depth++;
        } else if (text[i] == '}' || text[i] == ']') {
            depth -= depth > 0 ? 1 : 0;
        }
        i = end - 1;
    }
    return false;
}
