#include "consumer/pull_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "protocol/base/time.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    STALL_TIMEOUT_MS = 15000,
    TOTAL_TIMEOUT_MS = 600000,
    SPEED_MIN = 64, /* bytes a second below which an answer counts as stalled */
    EVENTS_MAX = 32,
    BUFFER_SIZE = 128 * 1024,
    RETRY_S_MAX = 3600,
};

struct slot {
    struct cfc_pull_http *http;
    uint32_t idx;
    CURL *easy; /* kept from request to request */
    struct curl_slist *headers;
    uint64_t size; /* bytes of the answer's body so far */
    bool is_busy;
    bool is_too_big;
    bool is_refused;
    bool is_headed; /* its headers came to their end: libcurl takes less for an answer */
    struct cfc_pull_http_result result;
    char text[CURL_ERROR_SIZE];
};

struct cfc_pull_http {
    struct cfc_pull_http_config config;
    char *ca_file;
    char *cert_file;
    char *key_file;
    CURLM *multi;
    int epoll_fd;
    uint64_t deadline_ns; /* libcurl's timer, monotonic */
    uint64_t kicked_ns;   /* when its timers were looked at last */
    struct slot slots[CFC_PULL_HTTP_MAX];
    atomic_int fds[CFC_PULL_HTTP_FDS_MAX]; /* sockets, plus 1; 0 = free.  For forked children */
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_code;

static void
init_curl(void)
{
    curl_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- Sockets and timers -----------------------------------------------------------------------
 */

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct cfc_pull_http *http = arg;
    int fd;

    (void)purpose;
    for (int i = 0; i < CFC_PULL_HTTP_FDS_MAX; i++) {
        if (atomic_load(&http->fds[i]) == 0) {
            fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
            if (fd < 0) {
                return CURL_SOCKET_BAD;
            }
            atomic_store(&http->fds[i], fd + 1);
            return fd;
        }
    }
    return CURL_SOCKET_BAD;
}

static int
close_socket(void *arg, curl_socket_t fd)
{
    struct cfc_pull_http *http = arg;

    for (int i = 0; i < CFC_PULL_HTTP_FDS_MAX; i++) {
        if (atomic_load(&http->fds[i]) == fd + 1) {
            atomic_store(&http->fds[i], 0);
            break;
        }
    }
    return close(fd);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct cfc_pull_http *http = arg;
    struct epoll_event event = {.data.fd = fd};

    (void)easy;
    (void)socket_arg;
    if (what == CURL_POLL_REMOVE) {
        /* One that is closed already has left by itself. */
        (void)epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(http->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
        return epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    return 0;
}

static uint64_t
mono_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * CFC_S + (uint64_t)t.tv_nsec;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct cfc_pull_http *http = arg;

    (void)multi;
    http->deadline_ns = timeout_ms < 0 ? CFC_NEVER : mono_now_ns() + (uint64_t)timeout_ms * CFC_MS;
    return 0;
}

/* ---- What comes -------------------------------------------------------------------------------
 */

static size_t
on_body(char *bytes, size_t one, size_t size, void *arg)
{
    struct slot *slot = arg;
    const struct cfc_pull_http_config *config = &slot->http->config;
    long status = 0;

    (void)one;
    if (size > config->size_max - slot->size) {
        slot->is_too_big = true;
        return 0;
    }
    slot->size += size;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && !config->on_bytes(config->arg, slot->idx, (uint8_t *)bytes, size)) {
        slot->is_refused = true;
        return 0;
    }
    return size;
}

/* The value of a header line when it has this name; NULL for another one. */
static const char *
value_of(const char *line, size_t size, const char *name, size_t *value_size)
{
    size_t name_size = strlen(name);

    if (size <= name_size || strncasecmp(line, name, name_size) != 0 || line[name_size] != ':') {
        return NULL;
    }
    line += name_size + 1;
    size -= name_size + 1;
    while (size > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        size--;
    }
    while (size > 0 &&
           (line[size - 1] == '\r' || line[size - 1] == '\n' || line[size - 1] == ' ')) {
        size--;
    }
    *value_size = size;
    return line;
}

static uint32_t
parse_seconds(const char *text, size_t size)
{
    uint32_t seconds = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || seconds > RETRY_S_MAX) {
            return 0;
        }
        seconds = seconds * 10 + (uint32_t)(text[i] - '0');
    }
    return seconds < RETRY_S_MAX ? seconds : RETRY_S_MAX;
}

static size_t
on_header(char *line, size_t one, size_t size, void *arg)
{
    struct slot *slot = arg;
    const char *value;
    size_t value_size;

    (void)one;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        slot->is_headed = false;
    } else if (line[0] == '\r' || line[0] == '\n') {
        slot->is_headed = true;
    }
    value = value_of(line, size, "Confcast-Nonce", &value_size);
    if (value != NULL) {
        slot->result.has_nonce = cfc_pull_hex_parse(value, value_size, slot->result.nonce,
                                                    CFC_PULL_NONCE_SIZE) == CONFCAST_OK;
    }
    value = value_of(line, size, "Retry-After", &value_size);
    if (value != NULL) {
        slot->result.retry_s = parse_seconds(value, value_size);
    }
    return size;
}

static int
code_of(const struct slot *slot, CURLcode code)
{
    if (slot->is_too_big) {
        return CONFCAST_ERR_LIMIT;
    }
    if (slot->is_refused) {
        return CONFCAST_ERR_INVALID;
    }
    switch (code) {
    case CURLE_OK:
        return CONFCAST_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return CONFCAST_ERR_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return CONFCAST_ERR_LIMIT;
    case CURLE_OUT_OF_MEMORY:
        return CONFCAST_ERR_NO_MEMORY;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return CONFCAST_ERR_AUTHORITY;
    case CURLE_ABORTED_BY_CALLBACK:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return CONFCAST_ERR_CLOSED;
    default:
        return CONFCAST_ERR_IO;
    }
}

static void
finish(struct slot *slot, CURLcode code)
{
    struct cfc_pull_http *http = slot->http;
    struct cfc_pull_http_result result;
    long status = 0;

    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(http->multi, slot->easy);
    curl_slist_free_all(slot->headers);
    slot->headers = NULL;
    slot->is_busy = false;
    result = slot->result;
    result.code = code_of(slot, code);
    result.status = result.code == CONFCAST_OK && status > 0 ? (uint32_t)status : 0;
    if (result.code == CONFCAST_OK && (status == 0 || !slot->is_headed)) {
        result.code = CONFCAST_ERR_CLOSED;
        result.status = 0;
    }
    result.text = slot->text[0] != '\0' ? slot->text : curl_easy_strerror(code);
    http->config.on_done(http->config.arg, slot->idx, &result);
}

static void
take_finished(struct cfc_pull_http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        struct slot *slot = NULL;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        if (message->msg == CURLMSG_DONE && slot != NULL) {
            finish(slot, message->data.result);
        }
    }
}

/* ---- Life -------------------------------------------------------------------------------------
 */

static int
copy_path(const char *path, char **copy)
{
    if (path == NULL) {
        return CONFCAST_OK;
    }
    if (access(path, R_OK) != 0) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    *copy = strdup(path);
    return *copy != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}

static void
set_defaults(struct cfc_pull_http_config *config)
{
    if (config->connect_timeout_ms == 0) {
        config->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    }
    if (config->stall_timeout_ms == 0) {
        config->stall_timeout_ms = STALL_TIMEOUT_MS;
    }
    if (config->total_timeout_ms == 0) {
        config->total_timeout_ms = TOTAL_TIMEOUT_MS;
    }
}

int
cfc_pull_http_open(const struct cfc_pull_http_config *config, struct cfc_pull_http **out)
{
    struct cfc_pull_http *http = calloc(1, sizeof(*http));
    int error;

    *out = NULL;
    if (http == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    http->config = *config;
    http->epoll_fd = -1;
    http->deadline_ns = CFC_NEVER;
    set_defaults(&http->config);
    for (uint32_t i = 0; i < CFC_PULL_HTTP_MAX; i++) {
        http->slots[i].http = http;
        http->slots[i].idx = i;
    }
    if ((error = copy_path(config->ca_file, &http->ca_file)) != CONFCAST_OK ||
        (error = copy_path(config->cert_file, &http->cert_file)) != CONFCAST_OK ||
        (error = copy_path(config->key_file, &http->key_file)) != CONFCAST_OK) {
        goto err_close;
    }
    error = CONFCAST_ERR_RESOURCE;
    pthread_once(&curl_once, init_curl);
    http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (curl_code != CURLE_OK || http->epoll_fd < 0) {
        goto err_close;
    }
    http->multi = curl_multi_init();
    if (http->multi == NULL) {
        error = CONFCAST_ERR_NO_MEMORY;
        goto err_close;
    }
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)CFC_PULL_HTTP_MAX);
    *out = http;
    return CONFCAST_OK;

err_close:
    cfc_pull_http_close(http);
    return error;
}

void
cfc_pull_http_close(struct cfc_pull_http *http)
{
    if (http == NULL) {
        return;
    }
    for (int i = 0; i < CFC_PULL_HTTP_MAX; i++) {
        struct slot *slot = &http->slots[i];

        if (slot->is_busy) {
            curl_multi_remove_handle(http->multi, slot->easy);
        }
        curl_easy_cleanup(slot->easy);
        curl_slist_free_all(slot->headers);
    }
    if (http->multi != NULL) {
        curl_multi_cleanup(http->multi); /* closes what is kept open, by close_socket() */
    }
    if (http->epoll_fd >= 0) {
        close(http->epoll_fd);
    }
    free(http->ca_file);
    free(http->cert_file);
    free(http->key_file);
    free(http);
}

void
cfc_pull_http_abandon(struct cfc_pull_http *http)
{
    for (int i = 0; i < CFC_PULL_HTTP_FDS_MAX; i++) {
        int fd = atomic_load(&http->fds[i]) - 1;

        if (fd >= 0) {
            close(fd);
        }
    }
    close(http->epoll_fd);
}

/* ---- Requests ---------------------------------------------------------------------------------
 */

static void
set_trust(const struct cfc_pull_http *http, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* not that of the environment either */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (http->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (http->cert_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, http->cert_file);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, http->key_file);
    }
}

static void
set_limits(const struct cfc_pull_http *http, CURL *easy, uint32_t wait_ms)
{
    const struct cfc_pull_http_config *config = &http->config;
    long stall_s = (long)((wait_ms + config->stall_timeout_ms + 999) / 1000);

    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* does not wait for a name's look-up */
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SPEED_MIN);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, stall_s);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)wait_ms + (long)config->total_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)config->size_max);
}

static void
set_callbacks(struct cfc_pull_http *http, struct slot *slot)
{
    CURL *easy = slot->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->text);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, http);
}

static int
add_header(struct slot *slot, const char *name, const char *value)
{
    char line[CFC_PULL_AUTH_TEXT_MAX + 32];
    struct curl_slist *list;
    size_t name_size = strlen(name);
    size_t value_size = strlen(value);

    if (name_size + value_size >= sizeof(line)) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(line, name, name_size);
    memcpy(line + name_size, value, value_size + 1);
    list = curl_slist_append(slot->headers, line);
    slot->headers = list != NULL ? list : slot->headers;
    return list != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}

static int
set_request(struct slot *slot, const struct cfc_pull_http_request *request)
{
    int error = add_header(slot, "Authorization: ", request->authorization);

    if (error == CONFCAST_OK) {
        error = add_header(slot, "Expect:", ""); /* no round trip before a body */
    }
    if (error == CONFCAST_OK && request->body != NULL) {
        error = add_header(slot, "Content-Type: ", "application/vnd.confcast.frames");
        curl_easy_setopt(slot->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        if (curl_easy_setopt(slot->easy, CURLOPT_COPYPOSTFIELDS, request->body) != CURLE_OK) {
            error = CONFCAST_ERR_NO_MEMORY;
        }
    }
    if (error == CONFCAST_OK &&
        curl_easy_setopt(slot->easy, CURLOPT_URL, request->url) != CURLE_OK) {
        error = CONFCAST_ERR_NO_MEMORY;
    }
    curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers);
    return error;
}

int
cfc_pull_http_start(struct cfc_pull_http *http, const struct cfc_pull_http_request *request,
                    uint32_t *out)
{
    struct slot *slot = NULL;
    int error;

    for (int i = 0; i < CFC_PULL_HTTP_MAX && slot == NULL; i++) {
        slot = http->slots[i].is_busy ? NULL : &http->slots[i];
    }
    if (slot == NULL) {
        return CONFCAST_ERR_AGAIN;
    }
    if (slot->easy == NULL) {
        slot->easy = curl_easy_init();
        if (slot->easy == NULL) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    curl_easy_reset(slot->easy);
    memset(&slot->result, 0, sizeof(slot->result));
    slot->text[0] = '\0';
    slot->size = 0;
    slot->is_too_big = slot->is_refused = slot->is_headed = false;
    set_trust(http, slot->easy);
    set_limits(http, slot->easy, request->wait_ms);
    set_callbacks(http, slot);
    error = set_request(slot, request);
    if (error == CONFCAST_OK && curl_multi_add_handle(http->multi, slot->easy) != CURLM_OK) {
        error = CONFCAST_ERR_NO_MEMORY;
    }
    if (error != CONFCAST_OK) {
        curl_slist_free_all(slot->headers);
        slot->headers = NULL;
        return error;
    }
    slot->is_busy = true;
    *out = slot->idx;
    return CONFCAST_OK;
}

void
cfc_pull_http_cancel(struct cfc_pull_http *http)
{
    for (int i = 0; i < CFC_PULL_HTTP_MAX; i++) {
        if (http->slots[i].is_busy) {
            finish(&http->slots[i], CURLE_ABORTED_BY_CALLBACK);
        }
    }
}

void
cfc_pull_http_run(struct cfc_pull_http *http, uint64_t mono_ns)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(http->epoll_fd, events, EVENTS_MAX, 0);
    int running;

    /* libcurl sets a timer once; what came too early for it is made up for. */
    if (http->deadline_ns <= mono_ns || mono_ns - http->kicked_ns >= CFC_S) {
        http->kicked_ns = mono_ns;
        http->deadline_ns = CFC_NEVER; /* unless the next call sets it anew */
        curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    for (int i = 0; i < count; i++) {
        int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

        curl_multi_socket_action(http->multi, events[i].data.fd, what, &running);
    }
    take_finished(http);
}

int
cfc_pull_http_fd(const struct cfc_pull_http *http)
{
    return http->epoll_fd;
}

uint64_t
cfc_pull_http_deadline(const struct cfc_pull_http *http)
{
    return http->deadline_ns;
}
