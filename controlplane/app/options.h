/* The command line of confcastd. */
#ifndef CFC_APP_OPTIONS_H
#define CFC_APP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/api/tls.h"
#include "controlplane/log/log.h"
#include "controlplane/model/rollout.h"

struct cfc_options {
    const char *restore_from; /* a backup: make the data folder from it and end; NULL = no */
    bool is_lift;             /* lift the store and end */
    uint64_t epoch_seen;      /* for both; 0 = unknown */
    uint64_t sequence_seen;
    const char *data_dir;       /* never NULL */
    const char *keys_dir;       /* NULL only without engine_socket and serves_pull */
    const char *listen;         /* NULL = no TCP */
    const char *unix_path;      /* NULL = no unix socket */
    const char *validators_dir; /* NULL = no validators */
    const char *engine_socket;  /* NULL = no engine */
    const char *tls_cert;       /* NULL = no TLS */
    const char *tls_key;        /* NULL only without tls_cert */
    const char *tls_client_ca;  /* NULL = no client certificates; else requires_auth is set */
    const char *tls_client_crl;
    enum cfc_tls_name tls_client_name; /* CFC_TLS_NAME_CN unless given */
    uint32_t rate_per_s;               /* requests of one proven identity; never 0 */
    uint32_t connection_max;           /* of each socket; 0 = the server's default */
    bool serves_pull;                  /* to consumers that pull */
    bool requires_auth;                /* without credentials nobody may do anything */
    bool is_insecure;                  /* may listen beyond loopback without requires_auth */
    uint32_t request_timeout_ms;       /* 0 = the server's default */
    uint32_t document_size_max;        /* bytes; 0 = the default, 64 MiB */
    uint64_t body_total_max;           /* bytes; 0 = the default of the server */
    uint64_t stale_after_ns;           /* 0 = the service's default */
    uint64_t fresh_period_ns;          /* 0 = the publisher's default */
    struct cfc_rollout_limits rollout; /* zero members = the defaults */
    enum cfc_log_level log_level;
};

enum cfc_options_result {
    CFC_OPTIONS_RUN,
    CFC_OPTIONS_DONE,  /* --help or --version was answered: exit 0 */
    CFC_OPTIONS_WRONG, /* said on stderr: exit 2 */
};

/* The strings point into argv. */
enum cfc_options_result cfc_options_parse(int argc, char **argv, struct cfc_options *options);

#endif
