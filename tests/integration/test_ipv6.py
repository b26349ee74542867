#!/usr/bin/env python3
"""A whole fleet over IPv6: groups ff35::/16 with source-specific joins, MLD snooping, unicast repair and reports, with
losses.  Nothing of it may pass over IPv4.

usage: test_ipv6.py [UNITTEST-ARGUMENT...]"""

import json
import os
import random
import signal
import string
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts"))
import fleet as fleets  # noqa: E402

SCOPE = "acme/checkout/prod"
CONSUMERS = 3
EXIT_SKIP = 77


def document(number, size):
    generator = random.Random(number)
    return {"number": number, "text": "".join(generator.choices(string.ascii_letters, k=size))}


class Ipv6(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = fleets.Fleet(f"ipv6-{os.getpid()}", SCOPE, CONSUMERS, loss=2.0, ipv6=True)
        try:
            cls.fleet.up()
        except BaseException:
            cls.fleet.print_logs()
            cls.fleet.down()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.fleet.down()

    def netns(self, role, *command):
        return subprocess.run(["ip", "netns", "exec", f"{self.fleet.bed.prefix}-{role}", *command], text=True, check=True,
                              stdout=subprocess.PIPE).stdout

    def counters(self, role, *names):
        """Of /proc/net/snmp6 and /proc/net/snmp."""
        values = dict(line.split() for line in self.netns(role, "cat", "/proc/net/snmp6").splitlines())
        udp = [line.split() for line in self.netns(role, "cat", "/proc/net/snmp").splitlines() if line.startswith("Udp:")]
        values |= dict(zip(udp[0], udp[1]))
        return [int(values[name]) for name in names]

    def publish(self, size):
        path = os.path.join(self.fleet.folder, "document.json")
        value = document(size, size)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(value, file)
        self.fleet.ctl("put", SCOPE, "-f", path, "--promote")
        try:
            self.fleet.wait_applied()
        except fleets.FleetError:
            self.fleet.print_logs()
            raise
        for consumer in self.fleet.consumers:
            self.assertEqual(json.loads(consumer.get()), value)

    def test_1_small_and_large_contents_reach_all_in_spite_of_losses(self):
        before = self.counters("c1", "Udp6InDatagrams", "InDatagrams")
        for size in (200, 5000, 600000):
            self.publish(size)
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
        self.publish(600001)
        self.assertLess(frames() - before, 100)

    def test_4_an_engine_that_comes_back_serves_them_again(self):
        self.fleet.engine.send_signal(signal.SIGKILL)
        self.fleet.engine.wait()
        self.fleet.start_engine()
        time.sleep(0.5)
        self.publish(5001)


def main():
    reason = fleets.testbed.why_not_here()
    if reason is None and not fleets.testbed.has_ipv6():
        reason = "the kernel knows no IPv6"
    if reason:
        print(reason)
        return EXIT_SKIP
    program = unittest.main(exit=False, verbosity=2)
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
