#include "controlplane/api/tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "confcast/error.h"
#include "controlplane/keys/files.h"

enum {
    CHAIN_COUNT_MAX = 8,      /* certificates that a client may send */
    ALT_NAME_SIZE_MAX = 1024, /* bytes; a certificate with a longer one is refused */
    ALT_NAME_COUNT_MAX = 64,
};

struct cfc_tls {
    const char *cert_file; /* the caller's, as is crl_file */
    const char *key_file;
    pthread_mutex_t own_lock; /* around `cert` and `key` */
    char *cert;
    char *key; /* locked memory, kept out of core dumps; GnuTLS has a copy during a handshake */
    char *ca;
    const char *crl_file; /* the caller's */
    enum cfc_tls_name client_name;
    pthread_mutex_t lock;           /* around `trust` and what it was made of */
    gnutls_x509_trust_list_t trust; /* NULL: nobody is let in */
    gnutls_x509_crl_t *crls;        /* what is in `trust`, to know whose they are */
    unsigned crl_count;
    struct stat crl_stat; /* of the file that `trust` was made with */
};

static _Atomic(struct cfc_tls *) in_use; /* what handshakes ask for */

static const char *const name_words[CFC_TLS_NAME_COUNT] = {
#define WORD_(name, word) word,
    CFC_TLS_NAMES(WORD_)
#undef WORD_
};

int
cfc_tls_name_parse(const char *word, enum cfc_tls_name *name)
{
    for (int i = 0; i < CFC_TLS_NAME_COUNT; i++) {
        if (strcmp(name_words[i], word) == 0) {
            *name = (enum cfc_tls_name)i;
            return CONFCAST_OK;
        }
    }
    return CONFCAST_ERR_INVALID;
}

static int
read_file(const char *path, bool is_secret, char **text, size_t *size, char why[CFC_TLS_WHY_SIZE])
{
    int rc = cfc_file_read(path, CFC_TLS_FILE_SIZE_MAX, is_secret, text, size);

    if (rc != CONFCAST_OK) {
        snprintf(why, CFC_TLS_WHY_SIZE, "%s: %s", path, confcast_error_text(rc));
    }
    return rc;
}

static void
drop_trust(struct cfc_tls *tls)
{
    if (tls->trust != NULL) {
        gnutls_x509_trust_list_deinit(tls->trust, 1);
    }
    for (unsigned i = 0; i < tls->crl_count; i++) {
        gnutls_x509_crl_deinit(tls->crls[i]);
    }
    gnutls_free(tls->crls);
    tls->trust = NULL;
    tls->crls = NULL;
    tls->crl_count = 0;
}

/* Each CRL of the file must be one that the client CA signed. */
static int
add_crls(struct cfc_tls *tls, gnutls_x509_trust_list_t trust)
{
    gnutls_datum_t datum;
    char *text = NULL;
    size_t size = 0;
    int count;
    int rc = CONFCAST_OK;

    if (cfc_file_read(tls->crl_file, CFC_TLS_FILE_SIZE_MAX, false, &text, &size) != CONFCAST_OK) {
        return CONFCAST_ERR_IO;
    }
    datum = (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned)size};
    if (gnutls_x509_crl_list_import2(&tls->crls, &tls->crl_count, &datum, GNUTLS_X509_FMT_PEM, 0) <
        0) {
        tls->crls = NULL;
        tls->crl_count = 0;
        rc = CONFCAST_ERR_INVALID;
    } else {
        count = gnutls_x509_trust_list_add_trust_mem(
            trust, NULL, &datum, GNUTLS_X509_FMT_PEM,
            GNUTLS_TL_VERIFY_CRL | GNUTLS_TL_FAIL_ON_INVALID_CRL, 0);
        rc = count >= 1 && (unsigned)count == tls->crl_count ? CONFCAST_OK : CONFCAST_ERR_INVALID;
    }
    free(text);
    return rc;
}

/* Under the lock: what clients are held to, from the CA and the CRL as it is now. */
static int
build_trust(struct cfc_tls *tls)
{
    gnutls_datum_t ca = {.data = (unsigned char *)tls->ca, .size = (unsigned)strlen(tls->ca)};
    int rc = CONFCAST_OK;

    drop_trust(tls);
    if (gnutls_x509_trust_list_init(&tls->trust, 0) != 0) {
        tls->trust = NULL;
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (gnutls_x509_trust_list_add_trust_mem(tls->trust, &ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0) <
        1) {
        rc = CONFCAST_ERR_INVALID;
    } else if (tls->crl_file != NULL) {
        rc = add_crls(tls, tls->trust);
    }
    if (rc != CONFCAST_OK) {
        drop_trust(tls);
    }
    return rc;
}

/* A file replaced by one of the same size and time is another inode; one written in place has
 * another time of change, which nobody can set. */
static bool
is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Under the lock. */
static int
refresh_trust(struct cfc_tls *tls)
{
    struct stat st = {0};

    if (tls->crl_file != NULL && stat(tls->crl_file, &st) != 0) {
        st = (struct stat){.st_size = -1};
    }
    if (tls->trust != NULL && is_same_file(&st, &tls->crl_stat)) {
        return CONFCAST_OK;
    }
    tls->crl_stat = st;
    return build_trust(tls);
}

/* The key moves into memory that is locked, and left out of core dumps; the copy is wiped. */
static int
read_key(const char *path, char **key, char why[CFC_TLS_WHY_SIZE])
{
    char *text = NULL;
    size_t size = 0;
    int rc = read_file(path, true, &text, &size, why);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    *key = sodium_malloc(size + 1);
    if (*key != NULL) {
        memcpy(*key, text, size + 1);
    } else {
        snprintf(why, CFC_TLS_WHY_SIZE, "no memory");
        rc = CONFCAST_ERR_NO_MEMORY;
    }
    explicit_bzero(text, size);
    free(text);
    return rc;
}

static gnutls_datum_t
datum_of(const char *text)
{
    return (gnutls_datum_t){.data = (unsigned char *)(uintptr_t)text,
                            .size = (unsigned)strlen(text)};
}

/* Whether they are PEM texts, and of one pair. */
static int
check_pair(const struct cfc_tls *tls, const char *cert, const char *key, char why[CFC_TLS_WHY_SIZE])
{
    gnutls_certificate_credentials_t credentials;
    gnutls_datum_t cert_datum = datum_of(cert);
    gnutls_datum_t key_datum = datum_of(key);
    int error = gnutls_certificate_allocate_credentials(&credentials);

    if (error != 0) {
        snprintf(why, CFC_TLS_WHY_SIZE, "no memory");
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = gnutls_certificate_set_x509_key_mem2(credentials, &cert_datum, &key_datum,
                                                 GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_certificate_free_credentials(credentials);
    if (error < 0) {
        snprintf(why, CFC_TLS_WHY_SIZE, "%s and %s: %s", tls->cert_file, tls->key_file,
                 gnutls_strerror(error));
        return CONFCAST_ERR_INVALID;
    }
    return CONFCAST_OK;
}

int
cfc_tls_reload(struct cfc_tls *tls, char why[CFC_TLS_WHY_SIZE])
{
    char *cert = NULL;
    char *key = NULL;
    char *old;
    size_t size = 0;
    int rc = read_file(tls->cert_file, false, &cert, &size, why);

    if (rc == CONFCAST_OK) {
        rc = read_key(tls->key_file, &key, why);
    }
    if (rc == CONFCAST_OK) {
        rc = check_pair(tls, cert, key, why);
    }
    if (rc == CONFCAST_OK) {
        pthread_mutex_lock(&tls->own_lock);
        old = tls->cert;
        tls->cert = cert;
        cert = old;
        old = tls->key;
        tls->key = key;
        key = old;
        pthread_mutex_unlock(&tls->own_lock);
    }
    free(cert);
    sodium_free(key); /* which wipes it */
    return rc;
}

/* Copies for one handshake, which GnuTLS frees. */
static int
import_own(const struct cfc_tls *tls, gnutls_pcert_st **certs, unsigned *count,
           gnutls_privkey_t *key)
{
    gnutls_datum_t cert_datum = datum_of(tls->cert);
    gnutls_datum_t key_datum = datum_of(tls->key);
    int error;

    *count = CHAIN_COUNT_MAX;
    *certs = gnutls_malloc(CHAIN_COUNT_MAX * sizeof(**certs));
    if (*certs == NULL) {
        return GNUTLS_E_MEMORY_ERROR;
    }
    error = gnutls_pcert_list_import_x509_raw(*certs, count, &cert_datum, GNUTLS_X509_FMT_PEM, 0);
    if (error < 0) {
        goto err_certs;
    }
    error = gnutls_privkey_init(key);
    if (error < 0) {
        goto err_chain;
    }
    error = gnutls_privkey_import_x509_raw(*key, &key_datum, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (error < 0) {
        goto err_key;
    }
    return 0;

err_key:
    gnutls_privkey_deinit(*key);
err_chain:
    for (unsigned i = 0; i < *count; i++) {
        gnutls_pcert_deinit(&(*certs)[i]);
    }
err_certs:
    gnutls_free(*certs);
    *certs = NULL;
    return error;
}

int
cfc_tls_retrieve(struct gnutls_session_int *session, const struct gnutls_cert_retr_st *info,
                 struct gnutls_pcert_st **certs, unsigned *count, struct gnutls_ocsp_data_st **ocsp,
                 unsigned *ocsp_count, struct gnutls_privkey_st **key, unsigned *flags)
{
    struct cfc_tls *tls = atomic_load(&in_use);
    int error;

    (void)session;
    (void)info;
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    if (tls == NULL) {
        return -1;
    }
    pthread_mutex_lock(&tls->own_lock);
    error = import_own(tls, certs, count, key);
    pthread_mutex_unlock(&tls->own_lock);
    return error < 0 ? -1 : 0;
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
    pthread_mutex_init(&tls->own_lock, NULL);
    tls->cert_file = config->cert_file;
    tls->key_file = config->key_file;
    tls->crl_file = config->client_crl_file;
    tls->client_name = config->client_name;
    rc = cfc_tls_reload(tls, why);
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
    atomic_store(&in_use, tls);
    *out = tls;
    return CONFCAST_OK;
}

void
cfc_tls_close(struct cfc_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    if (atomic_load(&in_use) == tls) {
        atomic_store(&in_use, NULL);
    }
    drop_trust(tls);
    sodium_free(tls->key); /* which wipes it */
    free(tls->cert);
    free(tls->ca);
    pthread_mutex_destroy(&tls->own_lock);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

const char *
cfc_tls_ca(const struct cfc_tls *tls)
{
    return tls->ca;
}

/* A list that is read in time also goes out of date while it stays in memory. */
static bool
is_current(gnutls_x509_crl_t crl)
{
    time_t now = time(NULL);
    time_t next = gnutls_x509_crl_get_next_update(crl);

    return gnutls_x509_crl_get_this_update(crl) <= now && next != (time_t)-1 && next >= now;
}

static bool
is_named(const gnutls_datum_t *name, struct cfc_tls *tls)
{
    bool is_found = false;

    for (unsigned i = 0; i < tls->crl_count && !is_found; i++) {
        gnutls_datum_t issuer = {0};

        if (is_current(tls->crls[i]) &&
            gnutls_x509_crl_get_raw_issuer_dn(tls->crls[i], &issuer) == 0) {
            is_found =
                issuer.size == name->size && memcmp(issuer.data, name->data, name->size) == 0;
        }
        gnutls_free(issuer.data);
    }
    return is_found;
}

/* Under the lock: GnuTLS takes a certificate for good whose issuer has no CRL at all, so that it
 * has to be seen to that each has one.  A root at the end of the chain revokes nobody but itself.
 */
static bool
has_crls(struct cfc_tls *tls, gnutls_x509_crt_t *chain, unsigned count)
{
    for (unsigned i = 0; i < count && tls->crl_file != NULL; i++) {
        gnutls_datum_t issuer = {0};
        gnutls_datum_t subject = {0};
        bool is_root;
        bool has_one = false;

        if (gnutls_x509_crt_get_raw_issuer_dn(chain[i], &issuer) == 0 &&
            gnutls_x509_crt_get_raw_dn(chain[i], &subject) == 0) {
            is_root = i > 0 && issuer.size == subject.size &&
                      memcmp(issuer.data, subject.data, subject.size) == 0;
            has_one = is_root || is_named(&issuer, tls);
        }
        gnutls_free(issuer.data);
        gnutls_free(subject.data);
        if (!has_one) {
            return false;
        }
    }
    return true;
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
        error = error == 0 && !has_crls(tls, chain, count) ? -1 : error;
    }
    pthread_mutex_unlock(&tls->lock);
    return error == 0 && status == 0;
}

/* The subject's one common name.  GnuTLS gives it as RFC 4514 writes names: what it had to escape,
 * or to write as hexadecimal digits, is no plain name, and could be taken for another. */
static bool
common_name(gnutls_x509_crt_t cert, char *name, size_t capacity)
{
    size_t size = capacity;
    size_t none = 0;

    return gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) ==
               0 &&
           strlen(name) == size && name[0] != '#' && strchr(name, '\\') == NULL &&
           gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 1, 0, NULL, &none) ==
               GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
}

/* The one subjectAltName of the kind that counts. */
static bool
alt_name(gnutls_x509_crt_t cert, int kind, char *name, size_t capacity)
{
    unsigned found = 0;

    for (unsigned i = 0; i < ALT_NAME_COUNT_MAX; i++) {
        char text[ALT_NAME_SIZE_MAX];
        size_t size = sizeof(text);
        int type = gnutls_x509_crt_get_subject_alt_name(cert, i, text, &size, NULL);

        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
            return found == 1;
        }
        if (type < 0 || (type == kind && (size >= capacity || memchr(text, '\0', size) != NULL))) {
            return false;
        }
        if (type == kind) {
            memcpy(name, text, size);
            name[size] = '\0';
            found++;
        }
    }
    return false;
}

static bool
read_name(const struct cfc_tls *tls, gnutls_x509_crt_t cert, char *name, size_t capacity)
{
    switch (tls->client_name) {
    case CFC_TLS_NAME_CN:
        return common_name(cert, name, capacity);
    case CFC_TLS_NAME_URI:
        return alt_name(cert, GNUTLS_SAN_URI, name, capacity);
    case CFC_TLS_NAME_DNS:
        return alt_name(cert, GNUTLS_SAN_DNSNAME, name, capacity);
    case CFC_TLS_NAME_EMAIL:
        return alt_name(cert, GNUTLS_SAN_RFC822NAME, name, capacity);
    case CFC_TLS_NAME_COUNT:
        break;
    }
    return false;
}

/* All that was sent, or nothing. */
static unsigned
import_chain(const gnutls_datum_t *raw, unsigned sent, gnutls_x509_crt_t chain[CHAIN_COUNT_MAX])
{
    unsigned count = 0;

    while (count < sent && sent <= CHAIN_COUNT_MAX && gnutls_x509_crt_init(&chain[count]) == 0) {
        count++;
        if (gnutls_x509_crt_import(chain[count - 1], &raw[count - 1], GNUTLS_X509_FMT_DER) != 0) {
            break;
        }
        if (count == sent) {
            return count;
        }
    }
    while (count > 0) {
        gnutls_x509_crt_deinit(chain[--count]);
    }
    return 0;
}

bool
cfc_tls_peer(struct cfc_tls *tls, void *session, char *name, size_t capacity)
{
    gnutls_x509_crt_t chain[CHAIN_COUNT_MAX];
    unsigned sent = 0;
    unsigned count;
    const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &sent);

    name[0] = '\0';
    if (raw == NULL || sent == 0) {
        return false;
    }
    count = import_chain(raw, sent, chain);
    if (count == 0 || tls->ca == NULL || !is_good(tls, chain, count) ||
        !read_name(tls, chain[0], name, capacity)) {
        name[0] = '\0';
    }
    while (count > 0) {
        gnutls_x509_crt_deinit(chain[--count]);
    }
    return true;
}
