#include "controlplane/api/tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "confcast/error.h"
#include "controlplane/keys/files.h"

enum {
    CHAIN_COUNT_MAX = 8, /* certificates that a client may send */
};

struct cfc_tls {
    char *cert;
    char *key;
    size_t key_size;
    char *ca;
    const char *crl_file;           /* the caller's */
    pthread_mutex_t lock;           /* around `trust` and what it was made of */
    gnutls_x509_trust_list_t trust; /* NULL: nobody is let in */
    struct timespec crl_time;       /* of the file that `trust` was made with */
    off_t crl_size;
};

static int
read_file(const char *path, bool is_secret, char **text, size_t *size, char why[CFC_TLS_WHY_SIZE])
{
    int rc = cfc_file_read(path, CFC_TLS_FILE_SIZE_MAX, is_secret, text, size);

    if (rc != CONFCAST_OK) {
        snprintf(why, CFC_TLS_WHY_SIZE, "%s: %s", path, confcast_error_text(rc));
    }
    return rc;
}

static int
add_crl(struct cfc_tls *tls, gnutls_x509_trust_list_t trust)
{
    gnutls_datum_t datum;
    char *text = NULL;
    size_t size = 0;
    int count;

    if (cfc_file_read(tls->crl_file, CFC_TLS_FILE_SIZE_MAX, false, &text, &size) != CONFCAST_OK) {
        return CONFCAST_ERR_IO;
    }
    datum = (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned)size};
    count = gnutls_x509_trust_list_add_trust_mem(trust, NULL, &datum, GNUTLS_X509_FMT_PEM, 0,
                                                 GNUTLS_TL_VERIFY_CRL);
    free(text);
    return count >= 1 ? CONFCAST_OK : CONFCAST_ERR_INVALID;
}

/* Under the lock: what clients are held to, from the CA and the CRL as it is now. */
static int
build_trust(struct cfc_tls *tls)
{
    gnutls_datum_t ca = {.data = (unsigned char *)tls->ca, .size = (unsigned)strlen(tls->ca)};
    gnutls_x509_trust_list_t trust = NULL;
    int rc = CONFCAST_OK;

    if (tls->trust != NULL) {
        gnutls_x509_trust_list_deinit(tls->trust, 1);
        tls->trust = NULL;
    }
    if (gnutls_x509_trust_list_init(&trust, 0) != 0) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (gnutls_x509_trust_list_add_trust_mem(trust, &ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0) < 1) {
        rc = CONFCAST_ERR_INVALID;
    } else if (tls->crl_file != NULL) {
        rc = add_crl(tls, trust);
    }
    if (rc != CONFCAST_OK) {
        gnutls_x509_trust_list_deinit(trust, 1);
        return rc;
    }
    tls->trust = trust;
    return CONFCAST_OK;
}

/* Under the lock. */
static int
refresh_trust(struct cfc_tls *tls)
{
    struct stat st = {0};

    if (tls->crl_file != NULL && stat(tls->crl_file, &st) != 0) {
        st.st_size = -1;
    }
    if (tls->trust != NULL && st.st_size == tls->crl_size &&
        st.st_mtim.tv_sec == tls->crl_time.tv_sec && st.st_mtim.tv_nsec == tls->crl_time.tv_nsec) {
        return CONFCAST_OK;
    }
    tls->crl_size = st.st_size;
    tls->crl_time = st.st_mtim;
    return build_trust(tls);
}

int
cfc_tls_open(const struct cfc_tls_config *config, struct cfc_tls **out, char why[CFC_TLS_WHY_SIZE])
{
    struct cfc_tls *tls = calloc(1, sizeof(*tls));
    size_t size = 0;
    int rc;

    *out = NULL;
    if (tls == NULL) {
        snprintf(why, CFC_TLS_WHY_SIZE, "no memory");
        return CONFCAST_ERR_NO_MEMORY;
    }
    pthread_mutex_init(&tls->lock, NULL);
    tls->crl_file = config->client_crl_file;
    rc = read_file(config->cert_file, false, &tls->cert, &size, why);
    if (rc == CONFCAST_OK) {
        rc = read_file(config->key_file, true, &tls->key, &tls->key_size, why);
    }
    if (rc == CONFCAST_OK && config->client_ca_file != NULL) {
        rc = read_file(config->client_ca_file, false, &tls->ca, &size, why);
    }
    if (rc == CONFCAST_OK && tls->ca != NULL) {
        rc = refresh_trust(tls);
        if (rc != CONFCAST_OK) {
            snprintf(why, CFC_TLS_WHY_SIZE, "%s or its CRL: not a PEM file of certificates",
                     config->client_ca_file);
        }
    }
    if (rc != CONFCAST_OK) {
        cfc_tls_close(tls);
        return rc;
    }
    *out = tls;
    return CONFCAST_OK;
}

void
cfc_tls_close(struct cfc_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    if (tls->trust != NULL) {
        gnutls_x509_trust_list_deinit(tls->trust, 1);
    }
    if (tls->key != NULL) {
        explicit_bzero(tls->key, tls->key_size);
    }
    free(tls->key);
    free(tls->cert);
    free(tls->ca);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

const char *
cfc_tls_cert(const struct cfc_tls *tls)
{
    return tls->cert;
}

const char *
cfc_tls_key(const struct cfc_tls *tls)
{
    return tls->key;
}

const char *
cfc_tls_ca(const struct cfc_tls *tls)
{
    return tls->ca;
}

static bool
is_good(struct cfc_tls *tls, gnutls_x509_crt_t *chain, unsigned count)
{
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    unsigned status = ~0u;
    int error = -1;

    pthread_mutex_lock(&tls->lock);
    if (refresh_trust(tls) == CONFCAST_OK) {
        error = gnutls_x509_trust_list_verify_crt2(tls->trust, chain, count, &purpose, 1, 0,
                                                   &status, NULL);
    }
    pthread_mutex_unlock(&tls->lock);
    return error == 0 && status == 0;
}

bool
cfc_tls_peer(struct cfc_tls *tls, void *session, char *name, size_t capacity)
{
    gnutls_x509_crt_t chain[CHAIN_COUNT_MAX];
    unsigned sent = 0;
    unsigned count = 0;
    const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &sent);

    name[0] = '\0';
    if (raw == NULL || sent == 0) {
        return false;
    }
    while (count < sent && sent <= CHAIN_COUNT_MAX && gnutls_x509_crt_init(&chain[count]) == 0) {
        count++;
        if (gnutls_x509_crt_import(chain[count - 1], &raw[count - 1], GNUTLS_X509_FMT_DER) != 0) {
            break;
        }
    }
    if (count == sent && tls->ca != NULL && is_good(tls, chain, count) &&
        gnutls_x509_crt_get_dn_by_oid(chain[0], GNUTLS_OID_X520_COMMON_NAME, 0, 0, name,
                                      &capacity) != 0) {
        name[0] = '\0';
    }
    for (unsigned i = 0; i < count; i++) {
        gnutls_x509_crt_deinit(chain[i]);
    }
    return true;
}
