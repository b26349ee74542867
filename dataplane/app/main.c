/* confcast-dataplane: the engine of a multicast domain.
 *
 * Threads:
 *   confcast-dataplane  the lcore, which is the main thread: port, protocol, control socket
 *   MHD-single          with --metrics: answers Prometheus from the same snapshot
 *   eal-intr-thread, rte_mp_handle, telemetry-v2   EAL's own; none of them touches ours but for
 *                       telemetry, which copies the engine's snapshot under its mutex
 * Rings and pools:
 *   one receive and one transmit queue of the port; mempools confcast_rx, confcast_header (not with
 *   net_af_xdp), confcast_ext; 32 frames that wait for the transmit queue
 * Sockets:
 *   --control PATH      unix SOCK_SEQPACKET, listening, and one connection (the control plane)
 *   --metrics WHERE     TCP or unix, HTTP
 *   the doorbell        UDP on the own address and port (net_af_packet only), carries nothing
 *   dpdk_telemetry.v2   EAL's, below /var/run/dpdk
 *   and whatever the PMD opens
 * Memory of others: the control plane's sealed memfds, mapped read-only
 *
 * Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot start or the port is gone for good,
 * 3 for a wrong command line. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "confcast/error.h"
#include "dataplane/eal.h"
#include "dataplane/engine.h"
#include "dataplane/exporter.h"
#include "dataplane/log.h"
#include "dataplane/options.h"
#include "dataplane/telemetry.h"
#include "dataplane/xdp.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 3
};

static struct cfc_engine *signalled_engine;

static void
on_signal(int number)
{
    (void)number;
    cfc_engine_stop(signalled_engine);
}

static void
set_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int
run(struct cfc_options *options)
{
    struct cfc_exporter *exporter = NULL;
    struct cfc_engine *engine;
    int rc = CONFCAST_OK;

    if (options->metrics != NULL) {
        rc = cfc_exporter_open(options->metrics, &exporter);
    }
    if (rc == CONFCAST_OK && options->is_xdp) {
        rc = cfc_xdp_prepare(options->interface, options->lcore_count, options->xdp_program,
                             sizeof(options->xdp_program));
    }
    if (rc == CONFCAST_OK) {
        rc = cfc_eal_start(options);
    }
    if (rc != CONFCAST_OK) {
        cfc_exporter_close(exporter);
        return rc;
    }
    rc = cfc_engine_open(options, &engine);
    if (rc == CONFCAST_OK) {
        signalled_engine = engine;
        set_signals(on_signal);
        cfc_telemetry_open(engine);
        cfc_log_info("ready");
        rc = cfc_engine_run(engine);
        set_signals(SIG_DFL);
        cfc_telemetry_close();
        cfc_engine_close(engine);
    }
    cfc_exporter_close(exporter);
    cfc_eal_stop();
    if (options->is_xdp) {
        cfc_xdp_remove(options->interface);
    }
    cfc_log_info("stopped");
    return rc;
}

int
main(int argc, char **argv)
{
    static struct cfc_options options;

    if (cfc_options_parse(argc, argv, &options) != CONFCAST_OK) {
        return EXIT_USAGE;
    }
    if (options.is_help) {
        cfc_options_help();
        return EXIT_OK;
    }
    if (options.is_version) {
        puts("confcast-dataplane " CFC_VERSION);
        return EXIT_OK;
    }
    if (cfc_options_complete(&options) != CONFCAST_OK) {
        return EXIT_FAILED;
    }
    return run(&options) == CONFCAST_OK ? EXIT_OK : EXIT_FAILED;
}
