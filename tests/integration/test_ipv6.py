#!/usr/bin/env python3
"""A whole fleet over IPv6: groups ff35::/16 with source-specific joins, MLD snooping, unicast repair and reports, with
losses.  Nothing of it may pass over IPv4.

usage: test_ipv6.py [UNITTEST-ARGUMENT...]"""

import json
import os
import signal
import subprocess
import sys
import time

from fleet_story import FleetCase, fleets, run_cases

SCOPE = "acme/checkout/prod"
CONSUMERS = 3


class Ipv6(FleetCase):
    @classmethod
    def make_fleet(cls):
        return fleets.Fleet(f"ipv6-{os.getpid()}", SCOPE, CONSUMERS, loss=2.0, ipv6=True)

    def netns(self, role, *command):
        return subprocess.run(["ip", "netns", "exec", f"{self.fleet.bed.prefix}-{role}", *command], text=True, check=True,
                              stdout=subprocess.PIPE).stdout

    def counters(self, role, *names):
        """Of /proc/net/snmp6 and /proc/net/snmp."""
        values = dict(line.split() for line in self.netns(role, "cat", "/proc/net/snmp6").splitlines())
        udp = [line.split() for line in self.netns(role, "cat", "/proc/net/snmp").splitlines() if line.startswith("Udp:")]
        values |= dict(zip(udp[0], udp[1]))
        return [int(values[name]) for name in names]

    def test_1_small_and_large_contents_reach_all_in_spite_of_losses(self):
        before = self.counters("c1", "Udp6InDatagrams", "InDatagrams")
        for size in (200, 5000, 600000):
            self.publish(size, size)
        after = self.counters("c1", "Udp6InDatagrams", "InDatagrams")
        self.assertGreater(after[0] - before[0], 300)
        self.assertEqual(after[1] - before[1], 0, "datagrams over IPv4")
        self.assertGreater(sum(count for _, count in self.fleet.bed.drops()), 0)

    def test_2_the_engine_says_where_it_is_and_consumers_joined_its_groups_by_source(self):
        with open(os.path.join(self.fleet.folder, "engine.log.err"), encoding="utf-8") as log:
            self.assertIn("[fd77::1]:7500, MTU 1500", log.read())
        # Device, group, source, INCLUDE count, EXCLUDE count.
        joined = [line.split() for line in self.netns("c1", "cat", "/proc/net/mcfilter6").splitlines()[1:]]
        engine = "fd77" + "0" * 27 + "1"
        control_group = "ff35" + "0" * 20 + "80000004"
        self.assertIn((control_group, engine, "1", "0"), [tuple(row[2:6]) for row in joined])

    def test_3_the_bridge_forwards_the_groups_only_to_those_who_joined(self):
        def frames():
            # A veth counts multicast as packets: the control host has joined nothing.
            links = json.loads(self.netns("control", "ip", "-j", "-s", "link", "show", "eth0"))
            return links[0]["stats64"]["rx"]["packets"]
        before = frames()
        self.publish(600001, 600001)
        self.assertLess(frames() - before, 100)

    def test_4_an_engine_that_comes_back_serves_them_again(self):
        self.fleet.engine.send_signal(signal.SIGKILL)
        self.fleet.engine.wait()
        self.fleet.start_engine()
        time.sleep(0.5)
        self.publish(5001, 5001)


if __name__ == "__main__":
    sys.exit(run_cases(None if fleets.testbed.has_ipv6() else "the kernel knows no IPv6"))
