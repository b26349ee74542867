#!/usr/bin/env python3
"""confcast-dataplane as a process: what a control plane hands over reaches kernel sockets byte for
byte, consumers are answered, and neither a dead control plane nor a killed engine leaves anything
that needs a hand.

usage: test_dataplane.py [--huge] [UNITTEST-ARGUMENT...]

With --huge, only that it works with huge pages; exits 77 when there are none."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dataplane_bed as bed  # noqa: E402
from namespace import in_namespace  # noqa: E402

PREFIX = f"cfdp{os.getpid()}"
ENGINE = f"{PREFIX}-engine"
EXIT_SKIP = 77
HUGE_MIB_WANTED = 48
IP_MTU_DISCOVER = 10
IP_PMTUDISC_DONT = 0

# include/confcast/error.h, positive
INVALID, RANGE, NOT_FOUND, BUSY, SHORT, FENCED = 2, 4, 6, 8, 20, 41


def testbed(*args):
    return subprocess.run([bed.TESTBED, *args], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)


def run(namespace, *command):
    return subprocess.run(["ip", "netns", "exec", namespace, *command], check=True, text=True,
                          stdout=subprocess.PIPE)


def free_huge_mib():
    values = {}
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            name, value = line.split(":")
            values[name] = int(value.split()[0])
    return values["HugePages_Free"] * values["Hugepagesize"] // 1024


def send_junk(address):
    """Three datagrams that are no frames, one of three fragments, one of a wrong length."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        sock.sendto(b"", (address, bed.PORT))
        sock.sendto(b"x" * 15, (address, bed.PORT))
        sock.sendto(b"\0" * 64, (address, bed.PORT))
        sock.sendto(b"y" * 4000, (address, bed.PORT))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.sendto(struct.pack(">HHHH", 4000, bed.PORT, 900, 0) + b"z" * 20, (address, 0))


def wait_for_stats(engine, is_reached, timeout_s=5):
    """The engine's counters once they are as wanted, or as they are when the time is up."""
    end = time.monotonic() + timeout_s
    while True:
        stats = engine.telemetry("/confcast/stats")
        if stats["rx"] and is_reached(stats) or time.monotonic() > end:
            return stats
        time.sleep(0.1)


class Case(unittest.TestCase):
    """An engine on the bed's veth.  One bed serves all cases."""

    def engine(self, *args, **kwargs):
        engine = bed.Engine("--port", "eth0", *args, namespace=ENGINE, **kwargs)
        self.addCleanup(engine.kill)
        return engine

    def control(self, engine):
        control = bed.Control(engine.control)
        self.addCleanup(control.close)
        return control

    def receiver(self, name="c1"):
        """A socket in all groups; an engine is running."""
        sock = in_namespace(f"{PREFIX}-{name}", bed.receiver)
        self.addCleanup(sock.close)
        # The control group is joined last: when the engine's STATUS comes, the bridge knows all.
        bed.receive(sock, lambda seen: any(bed.kind(frame) == "STATUS" for frame in seen))
        return sock

    def deliver(self, engine, frames, sock):
        """Hands frames over and wants them all at the receiver."""
        control = self.control(engine)
        control.hand_over(frames)
        got = bed.receive(sock, lambda seen: not frames.missing(seen))
        self.assertEqual(frames.missing(got), set(), engine.log())
        return control


class Delivery(Case):
    def check(self, *args, chained):
        frames = bed.Frames()
        engine = self.engine(*args)
        sock = self.receiver()
        control = self.deliver(engine, frames, sock)
        stats = control.stats()
        self.assertGreaterEqual(stats["symbols_sent"], frames.symbol_count)
        self.assertGreaterEqual(stats["frames_out"], frames.symbol_count)
        port = engine.telemetry("/confcast/port")
        self.assertEqual(port["driver"], "net_af_packet")
        self.assertEqual(port["chained"], chained)
        self.assertEqual(engine.stop(), 0)
        self.assertFalse(os.path.exists(engine.control))
        return engine

    def test_a_content_arrives_byte_for_byte_as_chained_mbufs(self):
        engine = self.check("--no-huge", chained=1)
        self.assertIn("no huge pages, as asked", engine.log())

    def test_a_content_arrives_byte_for_byte_as_copies(self):
        self.check("--no-huge", "--linear", chained=0)

    def test_fresh_is_sent_again_while_the_control_plane_is_gone(self):
        frames = bed.Frames()
        engine = self.engine()
        sock = self.receiver()
        control = self.deliver(engine, frames, sock)
        control.close()
        got = bed.receive(sock, lambda seen: seen.count(frames.fresh) >= 2)
        self.assertGreaterEqual(got.count(frames.fresh), 2)
        engine.wait_for_log("control plane: gone")

    def test_all_of_the_ring_may_be_under_way_on_a_slow_link(self):
        engine = self.engine("--no-huge")
        self.assertIsNotNone(self.control(engine).wait_for(bed.ENGINE_HELLO))
        sizes = [int(size) for size in re.findall(r"\btb(\d+)", run(ENGINE, "ss", "-0", "-a", "-m").stdout)]
        self.assertEqual(len(sizes), 1)
        self.assertGreaterEqual(sizes[0], 1024 * 2048)

    def test_an_idle_engine_sleeps(self):
        frames = bed.Frames()
        engine = self.engine()
        self.deliver(engine, frames, self.receiver())
        time.sleep(0.5)
        before = engine.cpu_seconds()
        time.sleep(3)
        used = (engine.cpu_seconds() - before) / 3
        self.assertLess(used, 0.05, "part of a core while idle")

    def test_a_jumbo_port_carries_jumbo_symbols(self):
        for name in ("eth0",):
            run(ENGINE, "ip", "link", "set", name, "mtu", "9000")
        self.addCleanup(run, ENGINE, "ip", "link", "set", "eth0", "mtu", "1500")
        engine = self.engine()
        control = self.control(engine)
        hello = control.wait_for(bed.ENGINE_HELLO)
        self.assertEqual(struct.unpack_from("<QI", hello)[1], 8932)
        frames = bed.Frames(symbol_size=8896, size=8896 * 20)
        control.hand_over(frames)
        self.assertEqual(control.refusal(0.5), None)
        deadline = time.monotonic() + 5
        while control.stats()["symbols_sent"] < 20 and time.monotonic() < deadline:
            pass
        # The bridge of the bed is at 1,500 and drops them: the engine's side of the veth counts.
        port = engine.telemetry("/confcast/port")
        self.assertEqual(port["tx_errors"], 0)
        self.assertGreaterEqual(port["tx_packets"], 20)


class Consumers(Case):
    def test_a_nack_is_answered_by_unicast_and_a_report_is_echoed(self):
        frames = bed.Frames()
        engine = self.engine()
        control = self.deliver(engine, frames, self.receiver())
        done = run(f"{PREFIX}-c2", bed.PEER, "consumer", bed.ENGINE_IP, str(bed.PORT),
                   bed.SESSION_KEY, "host-1", frames.folder)
        answer = bed.json.loads(done.stdout)
        self.assertTrue(answer["joined"], engine.log())
        self.assertTrue(answer["repaired"])
        self.assertEqual(answer["wrong"], 0)
        self.assertTrue(answer["echoed"])
        consumer = control.wait_for(bed.CONSUMER)
        self.assertIsNotNone(consumer)
        self.assertEqual(consumer[10:16], b"\xff\xff" + socket.inet_aton("10.77.0.12"))
        report = control.wait_for(bed.REPORT)
        self.assertIsNotNone(report)
        self.assertEqual(report[8:14], b"host-1")
        stats = control.stats()
        self.assertEqual(stats["nacks"], 1)
        self.assertEqual(stats["repairs_unicast"], 3)
        self.assertEqual(stats["reports"], 1)

    def test_an_unknown_consumer_is_not_let_in_and_the_port_answers_no_icmp(self):
        frames = bed.Frames()
        engine = self.engine()
        self.deliver(engine, frames, self.receiver())
        done = run(f"{PREFIX}-c2", bed.PEER, "consumer", bed.ENGINE_IP, str(bed.PORT), "00" * 32,
                   "host-1", frames.folder)
        self.assertFalse(bed.json.loads(done.stdout)["joined"])
        sock = in_namespace(f"{PREFIX}-c2",
                                lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with sock:
            sock.settimeout(0.5)
            sock.connect((bed.ENGINE_IP, bed.PORT))
            for _ in range(100):
                sock.send(b"not a frame of ours")  # ICMP unreachable would make this fail
            with self.assertRaises(TimeoutError):
                sock.recv(100)

    def test_what_is_no_frame_is_counted_by_its_reason(self):
        engine = self.engine()
        in_namespace(f"{PREFIX}-c1", lambda: send_junk(bed.ENGINE_IP))
        # net_af_packet has the kernel put fragments together, and cuts what its ring cannot hold.
        stats = wait_for_stats(engine, lambda s: s["rx"]["bad_length"] >= 2)
        self.assertEqual(stats["rx"]["bad_length"], 2)
        self.assertEqual(stats["rx"]["fragment"], 0)
        self.assertEqual(stats["rx"]["datagram"], 3)
        self.assertEqual(stats["errors"], {"short": 2, "version": 1})


    def test_reports_wait_for_a_control_plane_that_does_not_read(self):
        engine = self.engine()
        control = self.control(engine)
        control.hello()
        run(f"{PREFIX}-c2", bed.PEER, "reports", bed.ENGINE_IP, str(bed.PORT), bed.SESSION_KEY,
            "host", "400")
        stats = wait_for_stats(engine, lambda s: s["reports"] + s["reports_refused"] >= 23600)
        # One report of a hundred may be lost on its way into the engine's ring.
        self.assertGreater(stats["reports"] + stats["reports_refused"], 23600)
        self.assertGreater(stats["reports_refused"], 0)
        self.assertGreater(stats["control_blocked"], 0)
        # Each report that was taken, and so echoed, arrives once the control plane reads.
        taken = {}
        count = 0
        while count < stats["reports"]:
            body = control.wait_for(bed.REPORT)
            self.assertIsNotNone(body, f"after {count} of {stats['reports']} reports")
            id_size = body[0]
            name = body[8:8 + id_size]
            seq = struct.unpack_from("<Q", body, 8 + id_size + 24)[0]
            self.assertGreater(seq, taken.get(name, 0))
            taken[name] = seq
            count += 1
        self.assertIsNotNone(control.wait_for(bed.ENGINE_STATS))


class Handover(Case):
    def test_a_control_plane_that_comes_back_drops_what_it_does_not_mention(self):
        first = bed.Frames(scope="acme/web", seed=1)
        second = bed.Frames(scope="acme/db", seed=2, size=50 * 1440)
        engine = self.engine()
        sock = self.receiver()
        control = self.control(engine)
        control.hand_over(first, second)
        got = bed.receive(sock, lambda seen: first.head in seen and not second.missing(seen))
        self.assertEqual(second.missing(got) - {"fresh"}, set())
        control.close()

        control = self.control(engine)
        arenas = control.hand_over(second)
        self.assertIsNone(control.refusal(0.3))
        engine.wait_for_log("synced: 1 heads, ")
        self.assertIn("dropped 1 heads, 1 contents", engine.log())
        # The content is held since the first connection, and yet this one's arena is released.
        control.send(bed.DROP_HEAD, struct.pack("<Q", second.scope_id))
        control.send(bed.DROP_CONTENT, second.content_id)
        released = control.wait_for(bed.RELEASE_ARENA)
        self.assertEqual(released, struct.pack("<Q", arenas[0]))
        stats = wait_for_stats(engine, lambda s: s["arena_bytes"] == 0)
        self.assertEqual(stats["arena_bytes"], 0)

    def test_a_second_control_plane_is_told_that_it_is_one_too_many(self):
        engine = self.engine()
        first = self.control(engine)
        first.hello()
        self.assertIsNotNone(first.wait_for(bed.ENGINE_HELLO))
        second = self.control(engine)
        self.assertEqual(second.refusal(), (bed.CONTROL_HELLO, BUSY, 0))
        self.assertTrue(second.is_closed())
        self.assertIsNotNone(first.wait_for(bed.ENGINE_STATS))
        first.close()
        third = self.control(engine)
        self.assertIsNotNone(third.wait_for(bed.ENGINE_HELLO))

    def test_what_is_wrong_is_refused_and_the_rest_goes_on(self):
        frames = bed.Frames()
        engine = self.engine()
        sock = self.receiver()
        control = self.control(engine)
        control.hello()
        control.shard(5)
        control.shard(4)
        self.assertEqual(control.refusal(), (bed.SHARD, FENCED, 0))
        control.arena(frames.tree, seals=bed.fcntl.F_SEAL_SHRINK, number=70)
        self.assertEqual(control.refusal(), (bed.ARENA, INVALID, 70))
        control.arena(frames.tree, size=len(frames.tree) + 4096, number=71)
        self.assertEqual(control.refusal(), (bed.ARENA, INVALID, 71))
        control.content(frames, 71)
        self.assertEqual(control.refusal(), (bed.CONTENT, NOT_FOUND, frames.content_key))
        arena = control.arena(frames.tree + frames.coded)
        for where in ({"coded_offset": len(frames.tree) + 1}, {"tree_offset": 2**63},
                      {"coded_offset": 2**64 - 1}):
            control.content(frames, arena, **where)
            self.assertEqual(control.refusal(), (bed.CONTENT, RANGE, frames.content_key), where)
        control.content(frames, arena, tree_size=len(frames.tree) - 16)
        self.assertEqual(control.refusal(), (bed.CONTENT, INVALID, frames.content_key))
        later = bed.Frames(epoch=5)
        control.head(later.head)  # before its content
        self.assertEqual(control.refusal(), (bed.HEAD, NOT_FOUND, later.scope_id))
        control.head(b"short")
        self.assertEqual(control.refusal(), (bed.HEAD, SHORT, 0))
        control.content(later, arena)
        control.head(frames.head)  # of an epoch that is fenced
        self.assertEqual(control.refusal(), (bed.HEAD, FENCED, frames.scope_id))
        control.head(later.head)
        control.fresh(later.fresh)
        got = bed.receive(sock, lambda seen: not later.missing(seen))
        self.assertEqual(later.missing(got), set())

    def test_a_control_plane_that_talks_nonsense_is_cut_off_and_sending_goes_on(self):
        frames = bed.Frames()
        engine = self.engine()
        sock = self.receiver()
        self.deliver(engine, frames, sock).close()
        read_fd, write_fd = os.pipe()
        self.addCleanup(os.close, read_fd)
        self.addCleanup(os.close, write_fd)
        nonsense = [
            lambda c: c.sock.send(b"x"),
            lambda c: c.sock.send(os.urandom(16384)),
            lambda c: c.send(99),
            lambda c: c.send(bed.SYNCED),  # before the hello
            lambda c: (c.hello(), c.send(bed.RELEASE_ARENA, bytes(8))),
            lambda c: (c.hello(), c.send(bed.ARENA, struct.pack("<QQ", 1, 4096))),  # no descriptor
            lambda c: (c.hello(), c.send(bed.SYNCED, b"", [read_fd])),
            lambda c: (c.hello(), c.send(bed.ARENA, struct.pack("<QQ", 1, 4096),
                                         [read_fd, write_fd])),
            lambda c: (c.hello(), c.send(bed.ARENA, struct.pack("<QQ", 1, 4096), [read_fd] * 20)),
        ]
        engine.wait_for_log("control plane: gone")
        fds = len(os.listdir(f"/proc/{engine.process.pid}/fd"))
        for number, talk in enumerate(nonsense):
            control = self.control(engine)
            talk(control)
            self.assertTrue(control.is_closed(), f"number {number}")
            control.close()
        self.assertEqual(len(os.listdir(f"/proc/{engine.process.pid}/fd")), fds)
        got = bed.receive(sock, lambda seen: seen.count(frames.fresh) >= 2)
        self.assertGreaterEqual(got.count(frames.fresh), 2)


class Restart(Case):
    def test_a_killed_engine_starts_again_with_nothing_in_its_way(self):
        frames = bed.Frames()
        engine = self.engine()
        sock = self.receiver()
        self.deliver(engine, frames, sock)
        engine.kill()
        self.assertTrue(os.path.exists(engine.control))
        again = self.engine(control=engine.control)
        bed.receive(sock, lambda seen: False, 0.2)  # what the first one sent last
        self.deliver(again, frames, sock)
        self.assertEqual(again.stop(), 0)

    def test_what_a_killed_engine_left_for_telemetry_is_swept_and_a_living_one_s_is_not(self):
        def folder(engine):
            return "/var/run/dpdk/" + engine.log().rsplit("file prefix ", 1)[1].split()[0]

        living = bed.Engine("--port", "eth0", namespace=f"{PREFIX}-c1")
        self.addCleanup(living.kill)
        # Any engine that starts on this machine sweeps: what another one was faster at is tried again.
        for _ in range(10):
            killed = self.engine()
            self.assertTrue(os.path.exists(folder(killed)))
            killed.kill()
            third = self.engine()
            self.assertFalse(os.path.exists(folder(killed)))
            if "left behind that were killed" in third.log():
                break
            self.assertEqual(third.stop(), 0)
        third.wait_for_log("left behind that were killed")
        self.assertEqual(living.telemetry("/confcast/port")["driver"], "net_af_packet")
        self.assertEqual(third.stop(), 0)
        self.assertFalse(os.path.exists(folder(third)))

    def test_two_engines_do_not_share_a_control_socket(self):
        engine = self.engine()
        with self.assertRaisesRegex(AssertionError, "(is not to be had|another engine)"):
            self.engine(control=engine.control)
        self.assertIsNotNone(self.control(engine).wait_for(bed.ENGINE_HELLO))

    def test_the_link_goes_and_comes(self):
        frames = bed.Frames()
        engine = self.engine()
        sock = self.receiver()
        control = self.deliver(engine, frames, sock)
        run(ENGINE, "ip", "link", "set", "eth0", "down")
        self.addCleanup(run, ENGINE, "ip", "link", "set", "eth0", "up")
        engine.wait_for_log("the link of eth0 is down")
        later = bed.Frames(version=2, seed=3, size=3000 * 1440)  # more than the ring holds
        arena = control.arena(later.tree + later.coded)
        control.content(later, arena)
        control.head(later.head)
        control.fresh(later.fresh)
        self.assertIsNone(control.refusal(0.5))
        self.assertGreater(control.stats()["tx_full"], 0)
        run(ENGINE, "ip", "link", "set", "eth0", "up")
        got = bed.receive(sock, lambda seen: len(later.missing(seen)) < 100, 8)
        # What the kernel had taken may be lost, which is a ring of 1,024: it sends that as soon as the link is
        # up, and the bridge need not forward yet.  The rest waited.
        self.assertLess(len(later.missing(got)), 1200, engine.log())

    def test_an_interface_that_is_gone_ends_the_engine(self):
        run(ENGINE, "ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1")
        run(ENGINE, "ip", "addr", "add", "10.78.0.1/24", "dev", "gone0")
        run(ENGINE, "ip", "link", "set", "gone0", "up")
        engine = bed.Engine("--port", "gone0", namespace=ENGINE)
        self.addCleanup(engine.kill)
        run(ENGINE, "ip", "link", "del", "gone0")
        self.assertEqual(engine.process.wait(10), 1)
        self.assertIn("interface gone0 is gone", engine.log())


class Huge(Delivery):
    """The whole of Delivery once more, with huge pages."""

    def engine(self, *args, **kwargs):
        engine = super().engine(*[arg for arg in args if arg != "--no-huge"], **kwargs)
        self.assertIn("huge pages: ", engine.log())
        return engine

    def check(self, *args, chained):
        engine = super().check(*args, chained=chained)
        self.assertNotIn("no huge pages", engine.log())
        return engine

    def test_a_content_arrives_byte_for_byte_as_chained_mbufs(self):
        self.check(chained=1)


def run_suite(args, names):
    """Runs the cases of the main module on a bed of two consumers; the exit status."""
    if os.geteuid() != 0:
        print("needs root")
        return EXIT_SKIP
    up = testbed("up", PREFIX, "--consumers", "2")
    if up.returncode != 0:
        print(up.stderr)
        return up.returncode
    time.sleep(0.5)  # the bridge floods until its first query has been answered
    try:
        if not any(not arg.startswith("-") for arg in args):
            args = [*args, *names]
        program = unittest.main(argv=[sys.argv[0], *args], exit=False, verbosity=2)
        return 0 if program.result.wasSuccessful() else 1
    finally:
        testbed("down", PREFIX)


def main():
    args = [arg for arg in sys.argv[1:] if arg != "--huge"]
    has_huge = "--huge" in sys.argv[1:]
    if has_huge and free_huge_mib() < HUGE_MIB_WANTED:
        print(f"{free_huge_mib()} MiB of huge pages are free, wanted {HUGE_MIB_WANTED}: "
              "vm.nr_hugepages")
        return EXIT_SKIP
    return run_suite(args, ["Huge"] if has_huge else ["Delivery", "Consumers", "Handover", "Restart"])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
