/* Puts perf/loss.bpf.c on an interface of the namespace that it runs in.
 *
 *   perf_loss INTERFACE PPM SEED     0 ppm takes it away
 *
 * The program stays when this one has ended, until it is replaced or the interface goes. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* The program's bytes are one long string in there. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "perf/loss.skel.h"
#pragma GCC diagnostic pop

static int
fail(const char *what, int error)
{
    fprintf(stderr, "perf_loss: %s: error %d\n", what, error);
    return 1;
}

int
main(int argc, char **argv)
{
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = 1,
                        .flags = BPF_TC_F_REPLACE);
    struct loss *loss = NULL;
    int error;

    if (argc != 4) {
        fputs("perf_loss: see the head of its source\n", stderr);
        return 2;
    }
    hook.ifindex = (int)if_nametoindex(argv[1]);
    if (hook.ifindex == 0) {
        return fail(argv[1], errno);
    }
    if (strtoul(argv[2], NULL, 10) == 0) {
        hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS; /* all of it: the qdisc too */
        error = bpf_tc_hook_destroy(&hook);
        return error == 0 || error == -ENOENT || error == -EINVAL ? 0 : fail("destroy", error);
    }
    error = bpf_tc_hook_create(&hook);
    if (error != 0 && error != -EEXIST) {
        return fail("hook", error);
    }
    loss = loss__open();
    if (loss == NULL) {
        return fail("open", errno);
    }
    loss->rodata->loss_ppm = (uint32_t)strtoul(argv[2], NULL, 10);
    loss->rodata->seed = strtoull(argv[3], NULL, 10);
    error = loss__load(loss);
    if (error == 0) {
        options.prog_fd = bpf_program__fd(loss->progs.lose);
        error = bpf_tc_attach(&hook, &options);
    }
    loss__destroy(loss);
    return error == 0 ? 0 : fail("attach", error);
}
