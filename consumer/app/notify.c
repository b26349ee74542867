#include "consumer/app/notify.h"

#include <systemd/sd-daemon.h>

void
cfc_notify_ready(unsigned scope_count)
{
    (void)sd_notifyf(0, "READY=1\nSTATUS=following %u scopes", scope_count);
}

void
cfc_notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

uint64_t
cfc_notify_interval_ns(void)
{
    uint64_t watchdog_us = 0;

    return sd_watchdog_enabled(0, &watchdog_us) > 0 ? watchdog_us * 1000 / 3 : 0;
}

void
cfc_notify_alive(void)
{
    (void)sd_notify(0, "WATCHDOG=1");
}
