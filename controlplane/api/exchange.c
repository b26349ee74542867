#include "controlplane/api/exchange.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "confcast/error.h"
#include "controlplane/api/identify.h"
#include "protocol/base/text_copy.h"
#include "protocol/base/time.h"

#define READMIT_NS CFC_S /* what proved somebody is looked at again after so long */

struct cfc_exchange *
cfc_exchange_new(struct cfc_server *server, const char *target)
{
    struct cfc_exchange *x = malloc(sizeof(*x));
    const size_t rest = offsetof(struct cfc_request, rest);
    struct cfc_request *request;

    if (x == NULL) {
        return NULL;
    }
    request = &x->request;
    memset(x, 0, offsetof(struct cfc_exchange, identity));
    cfc_identity_clear(&x->identity);
    memset((char *)request + rest, 0, sizeof(*request) - rest);
    x->server = server;
    x->target_rc = cfc_target_parse(target, &request->target);
    return x;
}

void
cfc_exchange_refuse(struct cfc_exchange *x, unsigned status, const char *code, const char *message)
{
    x->route = NULL;
    cfc_reply_error(&x->reply, status, code, message);
}

uint64_t
cfc_exchange_now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * CFC_S + (uint64_t)now.tv_nsec;
}

/* Who asks, proven by a token or a certificate, or by the kernel.  A look at the same request
 * again does not count as another one. */
static bool
identify(struct cfc_exchange *x, struct MHD_Connection *mhd, bool is_again)
{
    struct cfc_access *access = x->server->api->access;
    struct cfc_asker asker = {.mhd = mhd,
                              .connection = x->connection,
                              .tls = x->server->config.tls,
                              .authorization = x->headers.authorization,
                              .unix_ns = cfc_exchange_now_ns(CLOCK_REALTIME)};
    char text[CFC_PEER_TEXT_SIZE];
    uint64_t wait_ns;
    int rc;

    x->generation = cfc_access_generation(access);
    x->admitted_ns = cfc_exchange_now_ns(CLOCK_MONOTONIC);
    rc = cfc_identify(access, &asker, &x->identity);
    if (rc == CONFCAST_ERR_AUTHORITY) {
        cfc_exchange_refuse(x, 401, "unauthorized",
                            "this needs a valid token or client certificate");
        return false;
    }
    if (rc != CONFCAST_OK) {
        cfc_exchange_refuse(x, 503, "not_ready",
                            "tokens and roles cannot be read now; try again later");
        return false;
    }
    if (!is_again &&
        !cfc_access_may_ask(access, &x->identity, cfc_exchange_now_ns(CLOCK_MONOTONIC), &wait_ns)) {
        cfc_access_deny(access, CFC_DENIAL_RATE, x->identity.name,
                        cfc_connection_peer(x->connection, text));
        cfc_exchange_refuse(x, 429, "rate",
                            "this identity asks too often; wait as long as Retry-After says");
        x->reply.retry_s = (unsigned)(wait_ns / CFC_S + 1);
        return false;
    }
    x->request.identity = &x->identity;
    return true;
}

/* A consumer, proven by its credential. */
static bool
identify_consumer(struct cfc_exchange *x, const char *method)
{
    struct cfc_api *api = x->server->api;
    uint64_t now_ns = cfc_exchange_now_ns(CLOCK_MONOTONIC);
    char text[CFC_PEER_TEXT_SIZE];
    uint64_t wait_ns;
    int rc = CONFCAST_ERR_AUTHORITY;

    if (api->pull == NULL || x->raw_target == NULL) {
        cfc_exchange_refuse(x, 503, "not_ready", "this daemon serves no consumers that pull");
        return false;
    }
    rc = cfc_consumer_auth_check(&api->pull->auth, x->headers.authorization, method, x->raw_target,
                                 now_ns, &x->consumer);
    if (rc == CONFCAST_ERR_REPLAY) {
        atomic_fetch_add(&api->pull->nonces_over, 1);
    } else if (rc != CONFCAST_OK && api->access != NULL && x->headers.authorization != NULL) {
        cfc_access_deny(api->access, CFC_DENIAL_BAD_TOKEN, NULL,
                        cfc_connection_peer(x->connection, text));
    }
    if (rc != CONFCAST_OK) {
        cfc_exchange_refuse(x, 401, "unauthorized",
                            "this needs a consumer's credential, over Confcast-Nonce");
        return false;
    }
    cfc_text_copy(x->identity.name, sizeof(x->identity.name), x->consumer.id);
    x->identity.proof = CFC_PROOF_TOKEN;
    x->identity.is_consumer = true;
    if (api->access != NULL && !cfc_access_may_ask(api->access, &x->identity, now_ns, &wait_ns)) {
        cfc_exchange_refuse(x, 429, "rate",
                            "this consumer asks too often; wait as long as Retry-After says");
        x->reply.retry_s = (unsigned)(wait_ns / CFC_S + 1);
        return false;
    }
    x->request.identity = &x->identity;
    x->request.consumer = &x->consumer;
    return true;
}

/* The author of a change is who was proven.  Where nothing has to be proven (the daemon then
 * listens on loopback only, unless told otherwise), it is whom the client names. */
static void
set_author(struct cfc_exchange *x)
{
    const struct cfc_access *access = x->server->api->access;
    const char *said = x->headers.author;
    bool may_say = access != NULL && !access->is_required && x->identity.proof <= CFC_PROOF_PEER;

    if (said != NULL && may_say) {
        cfc_text_copy(x->author, sizeof(x->author), said);
        x->identity.proof = CFC_PROOF_NONE;
    } else {
        cfc_text_copy(x->author, sizeof(x->author),
                      x->identity.name[0] != '\0' ? x->identity.name : "anonymous");
    }
    x->request.author = x->author;
    x->request.claimed = said != NULL && strcmp(said, x->author) != 0 ? said : NULL;
    x->request.idempotency_key = x->headers.idempotency_key;
}

bool
cfc_exchange_admit(struct cfc_exchange *x, struct MHD_Connection *mhd, const char *method,
                   bool is_again)
{
    struct cfc_api *api = x->server->api;

    if (x->route->right == CFC_RIGHT_PUBLIC) {
        set_author(x);
        return true;
    }
    if (x->is_pull ? !identify_consumer(x, method)
                   : api->access != NULL && !identify(x, mhd, is_again)) {
        return false;
    }
    if (!cfc_api_authorize(api, &x->request, x->route, &x->reply)) {
        x->route = NULL;
        return false;
    }
    set_author(x);
    return true;
}

bool
cfc_exchange_may_still(struct cfc_exchange *x)
{
    const struct cfc_access *access = x->server->api->access;

    if (access == NULL || x->is_pull || x->route->right == CFC_RIGHT_PUBLIC ||
        (x->generation == cfc_access_generation(access) &&
         cfc_exchange_now_ns(CLOCK_MONOTONIC) - x->admitted_ns < READMIT_NS)) {
        return true;
    }
    return cfc_exchange_admit(x, x->mhd, NULL, true);
}

void
cfc_exchange_check_headers(struct cfc_exchange *x)
{
    const struct cfc_access *access = x->server->api->access;
    bool is_local = access != NULL && !access->is_required && x->server->is_loopback &&
                    x->connection != NULL && !x->connection->is_unix;

    if (!cfc_headers_check(&x->headers, is_local, &x->reply)) {
        x->route = NULL;
        if (x->reply.status == 403 && access != NULL) {
            cfc_access_deny(x->server->api->access, CFC_DENIAL_WEB_PAGE, NULL, NULL);
        }
    }
}
