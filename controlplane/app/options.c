#include "controlplane/app/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/api/listen.h"
#include "protocol/base/time.h"

enum {
    OPT_BODIES_MAX = 256,
    OPT_CONNECTIONS,
    OPT_DATA,
    OPT_DOCUMENT_MAX,
    OPT_ENGINE_SOCKET,
    OPT_EPOCH_SEEN,
    OPT_FRESH_PERIOD_MS,
    OPT_HELP,
    OPT_INSECURE,
    OPT_KEYS,
    OPT_LIFT,
    OPT_LISTEN,
    OPT_LOG_LEVEL,
    OPT_PULL,
    OPT_RATE_LIMIT,
    OPT_REQUEST_TIMEOUT_MS,
    OPT_REQUIRE_AUTH,
    OPT_RESTORE,
    OPT_ROLLOUT_LACKING_PPM,
    OPT_ROLLOUT_REJECTED_PPM,
    OPT_ROLLOUT_SILENT_PPM,
    OPT_SEQUENCE_SEEN,
    OPT_STALE_AFTER_MS,
    OPT_TLS_CERT,
    OPT_TLS_CLIENT_CA,
    OPT_TLS_CLIENT_CRL,
    OPT_TLS_CLIENT_NAME,
    OPT_TLS_KEY,
    OPT_UNIX,
    OPT_VALIDATORS,
    OPT_VERSION,
};

enum {
    RATE_PER_S_DEFAULT = 1000,
};

static const struct option table[] = {
    {"bodies-max-bytes", required_argument, NULL, OPT_BODIES_MAX},
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"data", required_argument, NULL, OPT_DATA},
    {"document-max-bytes", required_argument, NULL, OPT_DOCUMENT_MAX},
    {"engine-socket", required_argument, NULL, OPT_ENGINE_SOCKET},
    {"epoch-seen", required_argument, NULL, OPT_EPOCH_SEEN},
    {"fresh-period-ms", required_argument, NULL, OPT_FRESH_PERIOD_MS},
    {"help", no_argument, NULL, OPT_HELP},
    {"insecure", no_argument, NULL, OPT_INSECURE},
    {"keys", required_argument, NULL, OPT_KEYS},
    {"lift", no_argument, NULL, OPT_LIFT},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"pull", no_argument, NULL, OPT_PULL},
    {"rate-limit", required_argument, NULL, OPT_RATE_LIMIT},
    {"request-timeout-ms", required_argument, NULL, OPT_REQUEST_TIMEOUT_MS},
    {"require-auth", no_argument, NULL, OPT_REQUIRE_AUTH},
    {"restore", required_argument, NULL, OPT_RESTORE},
    {"rollout-lacking-ppm", required_argument, NULL, OPT_ROLLOUT_LACKING_PPM},
    {"rollout-rejected-ppm", required_argument, NULL, OPT_ROLLOUT_REJECTED_PPM},
    {"rollout-silent-ppm", required_argument, NULL, OPT_ROLLOUT_SILENT_PPM},
    {"sequence-seen", required_argument, NULL, OPT_SEQUENCE_SEEN},
    {"stale-after-ms", required_argument, NULL, OPT_STALE_AFTER_MS},
    {"tls-cert", required_argument, NULL, OPT_TLS_CERT},
    {"tls-client-ca", required_argument, NULL, OPT_TLS_CLIENT_CA},
    {"tls-client-crl", required_argument, NULL, OPT_TLS_CLIENT_CRL},
    {"tls-client-name", required_argument, NULL, OPT_TLS_CLIENT_NAME},
    {"tls-key", required_argument, NULL, OPT_TLS_KEY},
    {"unix", required_argument, NULL, OPT_UNIX},
    {"validators", required_argument, NULL, OPT_VALIDATORS},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static void
print_help(void)
{
    puts(
        "usage: confcastd --data DIR [--keys DIR [--engine-socket PATH] [--pull]] [OPTION]...\n\n"
        "  --data DIR               the store; made when it is not there\n"
        "  --keys DIR               key folder of the fleet (confcastctl key init)\n"
        "  --engine-socket PATH     control socket of confcast-dataplane; without it nothing is\n"
        "                           published\n"
        "  --pull                   let consumers pull over this API, beside an engine or without\n"
        "                           one; needs --keys\n"
        "  --listen ADDRESS:PORT    HTTP API (127.0.0.1:7400); port 0 = any, none = no TCP\n"
        "  --unix PATH              HTTP API on a unix socket\n"
        "  --validators DIR         programs that settings may name to judge configs\n"
        "  --require-auth           nothing without a token or a client certificate; on the unix\n"
        "                           socket root and the daemon's user are operators\n"
        "  --tls-cert FILE --tls-key FILE  TLS 1.3 on TCP; both PEM\n"
        "  --tls-client-ca FILE     client certificates signed by these; needs --tls-cert, means\n"
        "                           --require-auth\n"
        "  --tls-client-crl FILE    those that are revoked; read again when it changes\n"
        "  --tls-client-name KIND   which name of it says who somebody is: cn (the default), or "
        "the\n"
        "                           one uri, dns or email among its subjectAltNames\n"
        "  --rate-limit N           requests a second of one token or certificate (1000); more "
        "get\n"
        "                           429\n"
        "  --insecure               listen beyond loopback although anybody may do anything\n"
        "  --connections N          at once on each socket (256); one for every consumer that\n"
        "                           pulls. One address may have half of them\n"
        "  --request-timeout-ms N   for a request to arrive as a whole (30000)\n"
        "  --document-max-bytes N   of one definition (67108864)\n"
        "  --bodies-max-bytes N     of request bodies in memory at once (268435456); one address\n"
        "                           may have half of them\n"
        "  --stale-after-ms N       silence after which a consumer counts as stale (30000)\n"
        "  --rollout-lacking-ppm N  a stage advances with so many of a million consumers not yet\n"
        "                           on it (10000)\n"
        "  --rollout-rejected-ppm N  and with so many more rejections than in the stable arm\n"
        "                           (10000)\n"
        "  --rollout-silent-ppm N   and with so many that fell silent (10000)\n"
        "  --fresh-period-ms N      between two freshness beacons (1000)\n"
        "  --restore FILE           make --data DIR from a backup, and end; see confcastctl "
        "backup\n"
        "  --lift                   raise epoch and versions of a store that was put back by "
        "other\n"
        "                           means, and end\n"
        "  --epoch-seen N --sequence-seen N  highest that anybody saw, for these two; else a safe\n"
        "                           distance above what the store knows\n"
        "  --log-level LEVEL        error, warn, info or debug (info)");
}

/* A whole number from 1 to `max`. */
static bool
parse_number(const char *name, const char *text, uint64_t max, uint64_t *out)
{
    size_t size = strlen(text);
    unsigned long long value;

    value =
        strspn(text, "0123456789") == size && size > 0 && size < 16 ? strtoull(text, NULL, 10) : 0;
    if (value == 0 || value > max) {
        fprintf(stderr, "confcastd: --%s needs a whole number from 1 to %llu, not %s\n", name,
                (unsigned long long)max, text);
        return false;
    }
    *out = value;
    return true;
}

static uint64_t
number_max(int opt)
{
    switch (opt) {
    case OPT_BODIES_MAX:
        return UINT64_C(64) << 30;
    case OPT_DOCUMENT_MAX:
        return 256u << 20;
    case OPT_EPOCH_SEEN:
    case OPT_SEQUENCE_SEEN:
        return UINT64_C(1) << 49;
    case OPT_ROLLOUT_LACKING_PPM:
    case OPT_ROLLOUT_REJECTED_PPM:
    case OPT_ROLLOUT_SILENT_PPM:
        return CFC_STAGE_PPM_ALL;
    case OPT_CONNECTIONS:
        return 60000;
    case OPT_RATE_LIMIT:
        return 1000000;
    default:
        return 86400000;
    }
}

static bool
set_number(int opt, const char *name, struct cfc_options *options)
{
    uint64_t value = 0;

    if (!parse_number(name, optarg, number_max(opt), &value)) {
        return false;
    }
    switch (opt) {
    case OPT_BODIES_MAX:
        options->body_total_max = value;
        break;
    case OPT_CONNECTIONS:
        options->connection_max = (uint32_t)value;
        break;
    case OPT_DOCUMENT_MAX:
        options->document_size_max = (uint32_t)value;
        break;
    case OPT_EPOCH_SEEN:
        options->epoch_seen = value;
        break;
    case OPT_SEQUENCE_SEEN:
        options->sequence_seen = value;
        break;
    case OPT_FRESH_PERIOD_MS:
        options->fresh_period_ns = value * CFC_MS;
        break;
    case OPT_REQUEST_TIMEOUT_MS:
        options->request_timeout_ms = (uint32_t)value;
        break;
    case OPT_RATE_LIMIT:
        options->rate_per_s = (uint32_t)value;
        break;
    case OPT_ROLLOUT_LACKING_PPM:
        options->rollout.lacking_ppm_max = (uint32_t)value;
        break;
    case OPT_ROLLOUT_REJECTED_PPM:
        options->rollout.rejected_ppm_max = (uint32_t)value;
        break;
    case OPT_ROLLOUT_SILENT_PPM:
        options->rollout.silent_ppm_max = (uint32_t)value;
        break;
    default:
        options->stale_after_ns = value * CFC_MS;
        break;
    }
    return true;
}

static bool
set_option(int opt, const char *name, struct cfc_options *options)
{
    switch (opt) {
    case OPT_DATA:
        options->data_dir = optarg;
        return true;
    case OPT_KEYS:
        options->keys_dir = optarg;
        return true;
    case OPT_LISTEN:
        options->listen = strcmp(optarg, "none") != 0 ? optarg : NULL;
        return true;
    case OPT_UNIX:
        options->unix_path = optarg;
        return true;
    case OPT_VALIDATORS:
        if (optarg[0] != '/') {
            fprintf(stderr, "confcastd: --validators takes the whole path of a folder\n");
            return false;
        }
        options->validators_dir = optarg;
        return true;
    case OPT_ENGINE_SOCKET:
        options->engine_socket = optarg;
        return true;
    case OPT_TLS_CERT:
        options->tls_cert = optarg;
        return true;
    case OPT_TLS_KEY:
        options->tls_key = optarg;
        return true;
    case OPT_TLS_CLIENT_CA:
        options->tls_client_ca = optarg;
        options->requires_auth = true;
        return true;
    case OPT_TLS_CLIENT_CRL:
        options->tls_client_crl = optarg;
        return true;
    case OPT_TLS_CLIENT_NAME:
        if (cfc_tls_name_parse(optarg, &options->tls_client_name) != CONFCAST_OK) {
            fprintf(stderr, "confcastd: --tls-client-name takes cn, uri, dns or email\n");
            return false;
        }
        return true;
    case OPT_REQUIRE_AUTH:
        options->requires_auth = true;
        return true;
    case OPT_RESTORE:
        options->restore_from = optarg;
        return true;
    case OPT_PULL:
        options->serves_pull = true;
        return true;
    case OPT_LIFT:
        options->is_lift = true;
        return true;
    case OPT_INSECURE:
        options->is_insecure = true;
        return true;
    case OPT_LOG_LEVEL:
        if (cfc_log_level_parse(optarg, &options->log_level) != CONFCAST_OK) {
            fprintf(stderr, "confcastd: --log-level takes error, warn, info or debug\n");
            return false;
        }
        return true;
    default:
        return set_number(opt, name, options);
    }
}

static enum cfc_options_result
check(const struct cfc_options *options)
{
    if (options->data_dir == NULL) {
        fprintf(stderr, "confcastd: --data DIR is needed; see --help\n");
        return CFC_OPTIONS_WRONG;
    }
    if (options->restore_from != NULL || options->is_lift) {
        if (options->restore_from != NULL && options->is_lift) {
            fprintf(stderr, "confcastd: --restore lifts what it restores; --lift is without it\n");
            return CFC_OPTIONS_WRONG;
        }
        return CFC_OPTIONS_RUN;
    }
    if (options->epoch_seen != 0 || options->sequence_seen != 0) {
        fprintf(stderr,
                "confcastd: --epoch-seen and --sequence-seen go with --restore or --lift\n");
        return CFC_OPTIONS_WRONG;
    }
    if ((options->engine_socket != NULL || options->serves_pull) && options->keys_dir == NULL) {
        fprintf(stderr, "confcastd: --engine-socket and --pull need --keys DIR, to sign with\n");
        return CFC_OPTIONS_WRONG;
    }
    if (options->listen == NULL && options->unix_path == NULL) {
        fprintf(stderr, "confcastd: nothing to listen on\n");
        return CFC_OPTIONS_WRONG;
    }
    if ((options->tls_cert != NULL) != (options->tls_key != NULL) ||
        (options->tls_client_ca != NULL && options->tls_cert == NULL) ||
        (options->tls_client_crl != NULL && options->tls_client_ca == NULL)) {
        fprintf(stderr, "confcastd: --tls-cert and --tls-key go together; --tls-client-ca needs "
                        "them, and --tls-client-crl needs --tls-client-ca\n");
        return CFC_OPTIONS_WRONG;
    }
    if (options->listen != NULL && !options->requires_auth && !options->is_insecure &&
        !cfc_listen_is_loopback(options->listen)) {
        fprintf(stderr,
                "confcastd: %s is open to others: --require-auth asks them for tokens or "
                "certificates, --insecure lets anybody do anything\n",
                options->listen);
        return CFC_OPTIONS_WRONG;
    }
    return CFC_OPTIONS_RUN;
}

enum cfc_options_result
cfc_options_parse(int argc, char **argv, struct cfc_options *options)
{
    int index = 0;
    int opt;

    *options = (struct cfc_options){
        .listen = "127.0.0.1:7400", .log_level = CFC_LOG_INFO, .rate_per_s = RATE_PER_S_DEFAULT};
    while ((opt = getopt_long(argc, argv, "", table, &index)) != -1) {
        if (opt == '?') {
            return CFC_OPTIONS_WRONG;
        }
        if (opt == OPT_HELP) {
            print_help();
            return CFC_OPTIONS_DONE;
        }
        if (opt == OPT_VERSION) {
            puts("confcastd " CFC_VERSION);
            return CFC_OPTIONS_DONE;
        }
        if (!set_option(opt, table[index].name, options)) {
            return CFC_OPTIONS_WRONG;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "confcastd: %s is no option\n", argv[optind]);
        return CFC_OPTIONS_WRONG;
    }
    return check(options);
}
