#include "controlplane/app/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "controlplane/log/log.h"

static bool
is_kept(int capability)
{
    return capability == CAP_DAC_OVERRIDE || capability == CAP_NET_BIND_SERVICE;
}

static int
drop_held(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    uint32_t kept[_LINUX_CAPABILITY_U32S_3] = {0};

    for (int capability = 0; capability <= CAP_LAST_CAP; capability++) {
        if (is_kept(capability)) {
            kept[capability / 32] |= 1u << (capability % 32);
        }
    }
    if (syscall(SYS_capget, &header, data) != 0) {
        return -1;
    }
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].effective &= kept[i];
        data[i].permitted &= kept[i];
        data[i].inheritable = 0;
    }
    return (int)syscall(SYS_capset, &header, data);
}

void
cfc_confine_process(void)
{
    /* Each on its own: one that fails must not leave out the others. */
    bool is_confined = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;

    is_confined &= prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    /* The bounding set first: shrinking it needs a capability that goes with the others. */
    for (int capability = 0; capability <= CAP_LAST_CAP; capability++) {
        if (!is_kept(capability) && prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) {
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
    }
    if (drop_held() != 0 || !is_confined) {
        cfc_log(CFC_LOG_WARN, "main", "cannot confine the process reason=\"%s\"", strerror(errno));
    }
}
