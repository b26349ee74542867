#!/usr/bin/env python3
"""What befalls an engine and its network, on a whole fleet: loss, silence, one way only, links that flap, engines that are
killed in the middle of a content, ports that take nothing, control planes that are away.  Afterwards every consumer has
every byte, and the engine no more memory or descriptors than before.

usage: test_dataplane_faults.py [UNITTEST-ARGUMENT...]"""

import json
import os
import shutil
import subprocess
import sys
import time

from fleet_story import FleetCase, fleets, run_cases

SCOPE = "acme/checkout/prod"
CONSUMERS = 3
RATE_MBIT = 40


class Faults(FleetCase):
    number = 0

    @classmethod
    def make_fleet(cls):
        return fleets.Fleet(f"faults-{os.getpid()}", SCOPE, CONSUMERS, engine_args=["--rate", str(RATE_MBIT)])

    def setUp(self):
        self.publish(100)
        self.fleet.wait_applied()

    def publish(self, size):
        """Promotes the next document and waits for nobody."""
        Faults.number += 1
        self.document = self.put(Faults.number, size)

    def check_all(self, timeout_s=30):
        super().check_all(self.document, timeout_s)

    def applied_number(self, consumer):
        return int(consumer.get("/number") or 0)

    def netns(self, name, *command):
        return subprocess.run(["ip", "netns", "exec", name, *command], check=True, text=True, stdout=subprocess.PIPE).stdout

    def in_engine(self, *command):
        return self.netns(f"{self.fleet.bed.prefix}-engine", *command)

    def engine_holds(self):
        """Resident kilobytes and descriptors of the engine."""
        with open(f"/proc/{self.fleet.engine.pid}/status", encoding="ascii") as file:
            rss = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        return rss, len(os.listdir(f"/proc/{self.fleet.engine.pid}/fd"))

    def lose(self, percent):
        self.addCleanup(self.fleet.bed.set_loss, 0, fleets.PORT)
        self.fleet.bed.set_loss(percent, fleets.PORT)

    def test_a_content_arrives_through_loss_of_a_half_and_through_silence(self):
        self.lose(50)
        self.publish(200000)
        self.check_all(60)
        self.fleet.bed.set_loss(100, fleets.PORT)
        self.publish(50000)
        time.sleep(1.5)
        for consumer in self.fleet.consumers:
            self.assertEqual(self.applied_number(consumer), Faults.number - 1)  # the last good one is served
        self.fleet.bed.set_loss(0, fleets.PORT)
        self.check_all()

    def test_a_consumer_that_is_not_heard_applies_by_multicast_and_is_not_counted(self):
        mute = self.fleet.consumers[0]
        rules = "add table inet mute; add chain inet mute out { type filter hook output priority 0; };" \
                f"add rule inet mute out udp dport {fleets.PORT} drop"
        self.netns(mute.netns, "nft", rules)
        try:
            self.publish(100000)
            fleets.wait_until("applying without being heard",
                              lambda: self.applied_number(mute) == Faults.number)
            self.fleet.ctl("wait", SCOPE, "--applied", str(CONSUMERS - 1), "--timeout", "10s")
            with self.assertRaises(fleets.FleetError):
                self.fleet.ctl("wait", SCOPE, "--applied", str(CONSUMERS), "--timeout", "1s")
        finally:
            self.netns(mute.netns, "nft", "delete table inet mute")
        self.check_all()

    def test_a_fleet_goes_on_after_its_engine_was_killed_in_the_middle_of_a_content(self):
        self.publish(3000000)  # about half a second at this rate
        time.sleep(0.2)
        self.fleet.engine.kill()
        self.fleet.engine.wait()
        self.assertLess(self.applied_number(self.fleet.consumers[0]), Faults.number)
        os.unlink(self.fleet.engine_socket)
        self.fleet.start_engine()
        self.check_all()

    def test_a_link_that_flaps_costs_time_and_nothing_else(self):
        before = self.engine_holds()
        self.publish(4000000)
        for _ in range(4):
            self.in_engine("ip", "link", "set", "eth0", "down")
            time.sleep(0.15)
            self.in_engine("ip", "link", "set", "eth0", "up")
            time.sleep(0.15)
        self.check_all()
        self.assertIsNone(self.fleet.engine.poll())
        after = self.engine_holds()
        self.assertEqual(after[1], before[1])

    def test_an_engine_whose_port_takes_nothing_holds_its_memory_and_its_control_socket(self):
        self.publish(2000000)
        self.check_all()
        before = self.engine_holds()
        self.in_engine("ip", "link", "set", "eth0", "down")
        try:
            time.sleep(1.2)
            for _ in range(5):
                self.publish(2000000)  # each takes the place of the one before
                time.sleep(0.2)
            self.fleet.ctl("status", SCOPE)
            after = self.engine_holds()
        finally:
            self.in_engine("ip", "link", "set", "eth0", "up")
        self.check_all()
        # Nothing but the contents themselves, which are shared memory.
        self.assertLess(after[0] - before[0], 6 * 2000)
        time.sleep(1)
        self.assertLessEqual(self.engine_holds()[1], before[1] + 1)

    def test_while_the_control_plane_is_away_losses_are_healed_and_newcomers_served(self):
        newcomer = self.fleet.consumers[-1]
        self.publish(300000)
        self.check_all()
        self.fleet.control.kill()
        self.fleet.control.wait()
        newcomer.kill()
        shutil.rmtree(newcomer.state_dir)
        os.makedirs(newcomer.state_dir)
        self.lose(10)
        newcomer.start()
        fleets.wait_until("a newcomer's content without a control plane",
                          lambda: self.applied_number(newcomer) == Faults.number)
        self.assertEqual(json.loads(newcomer.get()), self.document)
        self.fleet.bed.set_loss(0, fleets.PORT)
        self.fleet.start_control()
        self.check_all()
        self.publish(1000)
        self.check_all()


if __name__ == "__main__":
    sys.exit(run_cases())
