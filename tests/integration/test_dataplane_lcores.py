#!/usr/bin/env python3
"""The engine with several lcores against a control plane and receivers of the test's own: the rate cap of the port as a
whole, heads before the contents of other lcores, requests answered by the lcore that has the content, and ports with
fewer queues than lcores.

usage: test_dataplane_lcores.py [UNITTEST-ARGUMENT...]"""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dataplane_bed as bed  # noqa: E402
import test_dataplane  # noqa: E402
from test_dataplane import ENGINE, Case  # noqa: E402

LCORES = 3
MBIT = 125000


class Lcores(Case):
    def engine(self, *args, **kwargs):
        return super().engine("--lcores", str(LCORES), *args, **kwargs)

    def test_contents_of_all_lcores_arrive_byte_for_byte(self):
        engine = self.engine()
        sock = self.receiver()
        contents = [bed.Frames(scope=f"acme/web-{number}", seed=number + 1, size=(number * 37 + 1) * 1440 - 100)
                    for number in range(8)]
        self.control(engine).hand_over(*contents)
        got = bed.receive(sock, lambda frames: all(not one.missing(frames) - {"fresh"} for one in contents), 10)
        for one in contents:
            self.assertEqual(one.missing(got) - {"fresh"}, set())
        time.sleep(1.2)
        lanes = engine.telemetry("/confcast/lcores")
        self.assertEqual(len(lanes), LCORES)
        self.assertTrue(all(lanes[f"lcore_{number}"]["frames_out"] > 0 for number in range(LCORES)), lanes)

    def test_the_rate_is_the_cap_of_all_lcores_together(self):
        engine = self.engine("--rate", "40")
        sock = self.receiver()
        contents = [bed.Frames(scope=f"acme/web-{number}", seed=number + 1, size=600 * 1440) for number in range(6)]
        control = self.control(engine)
        begin = time.monotonic()
        control.hand_over(*contents)
        got = bed.receive(sock, lambda frames: all(not one.missing(frames) - {"fresh"} for one in contents), 15)
        seconds = time.monotonic() - begin
        size = sum(len(frame) for frame in got)
        self.assertGreater(size, 6 * 600 * 1440)
        # A burst is a few hundred frames at most; slower is no fault of a test machine.
        self.assertLess(size, 40 * MBIT * seconds + 400000)
        queues = engine.telemetry("/confcast/queues")
        self.assertEqual(queues["pacing_rate_bytes"], 40 * MBIT)

    def test_a_head_goes_before_the_contents_of_the_other_lcores(self):
        engine = self.engine("--rate", "16")
        sock = self.receiver()
        large = [bed.Frames(scope=f"acme/web-{number}", seed=number + 1, size=1500 * 1440) for number in range(4)]
        control = self.control(engine)
        control.hand_over(*large)
        self.assertTrue(bed.receive(sock, lambda frames: len(frames) > 300, 10))
        small = bed.Frames(scope="acme/stop", seed=9, size=1000)
        arena = control.arena(small.tree + small.coded)
        control.content(small, arena)
        control.head(small.head)
        got = bed.receive(sock, lambda frames: small.head in frames, 10)
        self.assertIn(small.head, got)
        # What was in the socket and in the port's rings when it came goes before it: the rest of 6,000 does not.
        self.assertLess(got.index(small.head), 1500)

    def test_a_port_with_fewer_queues_than_lcores_is_refused(self):
        folder = bed.tempfile.mkdtemp(dir=bed.FOLDER)
        key = os.path.join(folder, "session.key")
        with open(key, "w", encoding="ascii") as file:
            file.write(f"confcast-key-1 session {bed.SESSION_KEY}\n")
        common = ["--group-base", bed.GROUP_BASE, "--group-count", "4", "--udp-port", str(bed.PORT), "--session-key", key,
                  "--control", os.path.join(folder, "sock")]
        for port, word in ((["--vdev", "net_af_packet0,iface=eth0,qpairs=1", "--ip", bed.ENGINE_IP, "--lcores", "2"],
                            "net_af_packet offers 1 queues each way and --lcores 2 wants 2"),
                           (["--port", "net_af_xdp:eth0", "--lcores", "8"],
                            "eth0 has 1 combined queues and --lcores 8 wants 8")):
            done = subprocess.run(["ip", "netns", "exec", ENGINE, bed.DATAPLANE, *port, *common], text=True, check=False,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=30)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(word, done.stderr)


class LcoresConsumers(test_dataplane.Consumers):
    """What consumers are answered, by whichever lcore."""

    def engine(self, *args, **kwargs):
        return super().engine("--lcores", str(LCORES), *args, **kwargs)


class LcoresHandover(test_dataplane.Handover):
    """What a control plane may do, with several lcores behind it."""

    def engine(self, *args, **kwargs):
        return super().engine("--lcores", str(LCORES), *args, **kwargs)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(test_dataplane.run_suite(sys.argv[1:], ["Lcores", "LcoresConsumers", "LcoresHandover"]))
