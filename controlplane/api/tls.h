/* TLS 1.3 for the API: the server's own key and certificate, and which client certificates are
 * good.
 *
 * libmicrohttpd runs the sessions (by GnuTLS) and checks no certificate: cfc_tls_peer() does, for
 * each request anew, so that a revocation is in force with the next request, also on a connection
 * that is open already.  Any thread. */
#ifndef CFC_API_TLS_H
#define CFC_API_TLS_H

#include <stdbool.h>
#include <stddef.h>

#define CFC_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3"

enum {
    CFC_TLS_WHY_SIZE = 256, /* bytes for a sentence about what failed */
    CFC_TLS_FILE_SIZE_MAX = 4 << 20,
};

struct cfc_tls;

/* Which name of a client certificate is its identity.  One kind is chosen and the others are never
 * looked at, so that no certificate can be read in two ways (docs/adr/0060-authentication.md). */
#define CFC_TLS_NAMES(X)                                                                           \
    X(CN, "cn")   /* the common name of the subject */                                             \
    X(URI, "uri") /* a subjectAltName: a URI, as SPIFFE ids are */                                 \
    X(DNS, "dns") /* a subjectAltName: a host name */                                              \
    X(EMAIL, "email")

enum cfc_tls_name {
#define CFC_ENUM_(name, word) CFC_TLS_NAME_##name,
    CFC_TLS_NAMES(CFC_ENUM_)
#undef CFC_ENUM_
    CFC_TLS_NAME_COUNT
};

struct cfc_tls_config {
    const char *cert_file;       /* PEM: the chain, own certificate first */
    const char *key_file;        /* PEM; only its owner may be able to touch it */
    const char *client_ca_file;  /* PEM; NULL = no client certificates */
    const char *client_crl_file; /* PEM; NULL = none; read again when it changes */
    enum cfc_tls_name client_name;
};

/* CONFCAST_ERR_INVALID: no such kind of name. */
int cfc_tls_name_parse(const char *word, enum cfc_tls_name *name);

/* CONFCAST_ERR_NOT_FOUND, _AUTHORITY (mode or owner of the key), _INVALID (no such PEM), _IO,
 * _NO_MEMORY, _LIMIT; `why` gets a sentence that names the file and holds nothing of its content.
 */
int cfc_tls_open(const struct cfc_tls_config *config, struct cfc_tls **tls,
                 char why[CFC_TLS_WHY_SIZE]);
void cfc_tls_close(struct cfc_tls *tls); /* NULL is fine; wipes the key */

/* Reads certificate and key again, for the handshakes that begin from now on; sessions that are
 * open go on.  Errors of cfc_tls_open(), after which the old ones are still in use. */
int cfc_tls_reload(struct cfc_tls *tls, char why[CFC_TLS_WHY_SIZE]);

/* A gnutls_certificate_retrieve_function3, which gives each handshake the certificate and key of
 * the `cfc_tls` that was opened last: the library has nothing to tell it by, and a process has one.
 */
struct gnutls_cert_retr_st;
struct gnutls_session_int;
struct gnutls_ocsp_data_st;
struct gnutls_pcert_st;
struct gnutls_privkey_st;
int cfc_tls_retrieve(struct gnutls_session_int *session, const struct gnutls_cert_retr_st *info,
                     struct gnutls_pcert_st **certs, unsigned *count,
                     struct gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count,
                     struct gnutls_privkey_st **key, unsigned *flags);

/* The PEM text of the client CA, which lives as long as `tls`; NULL without client_ca_file. */
const char *cfc_tls_ca(const struct cfc_tls *tls);

/* The client certificate of a session (gnutls_session_t).  False: none was shown.  True: one was,
 * and `name` is its identity; empty when it is expired, revoked, not signed by the client CA, not
 * meant for clients (an extended key usage without clientAuth; RFC 5280, 4.2.1.12), or has not
 * exactly one name of the chosen kind, of at most capacity - 1 bytes and without NUL.  With a CRL
 * file each issuer in the chain needs its CRL in there; one that is missing, cannot be read or is
 * past its next update lets nobody in whom that issuer signed. */
bool cfc_tls_peer(struct cfc_tls *tls, void *session, char *name, size_t capacity);

#endif
