#!/usr/bin/env python3
"""A whole fleet whose engine has several lcores: real contents to real consumers, losses healed by the lcore that sent
what was lost, every consumer accounted for.

usage: test_lcores.py [UNITTEST-ARGUMENT...]"""

import json
import os
import signal
import sys
import time

from dataplane_bed import ask_telemetry
from fleet_story import FleetCase, fleets, run_cases

SCOPE = "acme/checkout/prod"
CONSUMERS = 3
LCORES = 3


class Lcores(FleetCase):
    @classmethod
    def make_fleet(cls):
        return fleets.Fleet(f"lcores-{os.getpid()}", SCOPE, CONSUMERS, loss=2.0, engine_args=["--lcores", str(LCORES)])

    def log(self):
        with open(os.path.join(self.fleet.folder, "engine.log.err"), encoding="utf-8") as log:
            return log.read()

    def telemetry(self, command):
        return ask_telemetry(self.log(), command)

    def test_1_contents_of_all_sizes_reach_all_in_spite_of_losses(self):
        for number, size in enumerate((200, 5000, 60000, 600000, 2000000, 61000, 601000, 5001)):
            self.publish(number, size)
        self.assertGreater(sum(count for _, count in self.fleet.bed.drops()), 50)

    def test_2_the_status_is_complete(self):
        status = self.fleet.ctl_json("status", SCOPE)
        self.assertEqual((status["alive"], status["applied"], status["stale"]), (CONSUMERS, CONSUMERS, 0), status)

    def test_3_every_lcore_had_its_part_and_their_sum_is_told(self):
        time.sleep(1.2)  # counters are at most a second old
        lanes = self.telemetry("/confcast/lcores")
        self.assertEqual(len(lanes), LCORES)
        frames = [lanes[f"lcore_{i}"]["frames_out"] for i in range(LCORES)]
        for helper in frames[1:]:
            self.assertGreater(helper, 100, lanes)
        stats = self.telemetry("/confcast/stats")
        self.assertGreaterEqual(stats["frames_out"], sum(frames))
        self.assertLess(stats["frames_out"], sum(frames) + 100)
        self.assertGreater(stats["repairs_unicast"] + stats["repairs_multicast"], 0)
        self.assertEqual(stats["consumers"], CONSUMERS)

    def test_4_a_scope_is_seen_to_have_been_sent_by_its_lcore(self):
        scope = self.telemetry(f"/confcast/scope,{SCOPE}")
        self.assertGreater(scope["coding_0"]["symbols"], 0, scope)
        self.assertEqual(scope["coding_0"]["symbols_done"], scope["coding_0"]["symbols"], scope)

    def test_5_a_rollback_costs_no_payload(self):
        before = self.telemetry("/confcast/stats")["symbols_sent"]
        self.fleet.ctl("rollback", SCOPE)
        self.fleet.wait_applied()
        self.assertEqual(json.loads(self.fleet.consumers[0].get())["number"], 6)
        time.sleep(1.2)
        self.assertEqual(self.telemetry("/confcast/stats")["symbols_sent"], before)

    def test_6_an_engine_that_comes_back_serves_them_again(self):
        self.fleet.engine.send_signal(signal.SIGKILL)
        self.fleet.engine.wait()
        self.fleet.start_engine()
        time.sleep(0.5)
        self.publish(90, 300000)

    def test_7_an_idle_engine_sleeps_with_all_its_lcores(self):
        time.sleep(1.5)
        with open(f"/proc/{self.fleet.engine.pid}/stat", encoding="ascii") as file:
            before = file.read().rsplit(") ", 1)[1].split()
        time.sleep(2)
        with open(f"/proc/{self.fleet.engine.pid}/stat", encoding="ascii") as file:
            after = file.read().rsplit(") ", 1)[1].split()
        ticks = sum(int(after[i]) - int(before[i]) for i in (11, 12))
        self.assertLess(ticks / os.sysconf("SC_CLK_TCK") / 2, 0.05)

    def test_8_it_stops_with_all_its_lcores(self):
        self.fleet.engine.send_signal(signal.SIGTERM)
        self.assertEqual(self.fleet.engine.wait(10), 0)
        self.fleet.start_engine()


if __name__ == "__main__":
    sys.exit(run_cases())
