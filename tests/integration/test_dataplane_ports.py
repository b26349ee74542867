#!/usr/bin/env python3
"""confcast-dataplane on PMDs other than its default: net_af_xdp with our own program, net_memif behind a bridge made
of dpdk-testpmd, net_tap, net_ring, net_null.

usage: test_dataplane_ports.py [UNITTEST-ARGUMENT...]"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dataplane_bed as bed  # noqa: E402
import test_dataplane as base  # noqa: E402
from namespace import in_namespace  # noqa: E402

MEMIF_IP = "10.77.0.100"


class OtherPorts(base.Case):
    """PMDs that need no network: EAL, pools, bursts and the lcore loop on them."""

    def on_vdev(self, vdev, *args):
        engine = bed.Engine("--vdev", vdev, *args, ip="10.79.0.1", namespace=base.ENGINE)
        self.addCleanup(engine.kill)
        frames = bed.Frames()
        control = self.control(engine)
        control.hand_over(frames)
        deadline = time.monotonic() + 5
        stats = control.stats()
        while stats["frames_out"] < frames.symbol_count and time.monotonic() < deadline:
            stats = control.stats()
        self.assertGreaterEqual(stats["frames_out"], frames.symbol_count, engine.log())
        self.assertEqual(stats["mbuf_shortage"], 0)
        time.sleep(1.1)  # until the snapshot is newer
        answer = engine.telemetry("/confcast/stats")
        self.assertEqual(engine.stop(), 0)
        return answer

    def test_net_null_takes_everything(self):
        self.on_vdev("net_null0,no-rx=1")

    def test_net_null_gives_frames_of_nothing_at_line_rate(self):
        stats = self.on_vdev("net_null0")
        self.assertGreater(stats["rx"]["foreign"], 10000)

    def test_net_ring_loops_our_own_chains_back(self):
        stats = self.on_vdev("net_ring0")
        self.assertGreater(stats["rx_chained"], 100)
        # What was sent in the turn of the snapshot is received in the next one.
        self.assertGreater(stats["rx"]["own"], stats["frames_out"] - 64)
        self.assertLessEqual(stats["rx"]["own"], stats["frames_out"])

    def test_net_tap_owns_its_address_and_answers_arp(self):
        engine = bed.Engine("--vdev", "net_tap0,iface=cfctap0", ip="10.79.0.1", namespace=base.ENGINE)
        self.addCleanup(engine.kill)
        base.run(base.ENGINE, "ip", "addr", "add", "10.79.0.2/24", "dev", "cfctap0")
        frames = bed.Frames()
        control = self.control(engine)
        control.hand_over(frames)
        done = base.run(base.ENGINE, bed.PEER, "consumer", "10.79.0.1", str(bed.PORT), bed.SESSION_KEY,
                   "host-1", frames.folder)
        answer = bed.json.loads(done.stdout)
        self.assertTrue(answer["joined"], engine.log())
        self.assertTrue(answer["repaired"])
        self.assertEqual(answer["wrong"], 0)
        in_namespace(base.ENGINE, lambda: base.send_junk("10.79.0.1"))
        stats = base.wait_for_stats(engine, lambda s: s["rx"]["fragment"] >= 3 and
                               s["rx"]["bad_length"] >= 1)
        self.assertEqual(stats["rx"]["fragment"], 3)
        self.assertEqual(stats["rx"]["bad_length"], 1)
        self.assertGreaterEqual(stats["arp_replies"], 1)
        self.assertEqual(engine.stop(), 0)


    def test_net_tap_is_found_by_neighbour_discovery(self):
        engine = bed.Engine("--vdev", "net_tap0,iface=cfctap1", "--group-base", "ff35::8000:0", ip="fd79::1",
                            namespace=base.ENGINE)
        self.addCleanup(engine.kill)
        base.run(base.ENGINE, "ip", "addr", "add", "fd79::2/64", "dev", "cfctap1", "nodad")

        def send():
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                for _ in range(3):
                    sock.sendto(b"x" * 15, ("fd79::1", bed.PORT))
                    time.sleep(0.1)
        in_namespace(base.ENGINE, send)
        stats = base.wait_for_stats(engine, lambda s: s["rx"]["datagram"] >= 3)
        self.assertGreaterEqual(stats["nd_replies"], 1)
        self.assertEqual(stats["rx"]["datagram"], 3)
        self.assertEqual(stats["errors"], {"short": 3})
        self.assertEqual(engine.stop(), 0)


class Xdp(base.Case):
    """net_af_xdp: our program takes what is the engine's, the kernel has the rest."""

    def engine(self, *args, **kwargs):
        engine = bed.Engine("--port", "net_af_xdp:eth0", *args, namespace=base.ENGINE, **kwargs)
        self.addCleanup(engine.kill)
        return engine

    def attached(self):
        """The name of the XDP program on the engine's interface, or None."""
        links = json.loads(base.run(base.ENGINE, "ip", "-j", "-d", "link", "show", "eth0").stdout)
        return links[0].get("xdp", {}).get("prog", {}).get("name")

    def test_a_content_arrives_and_a_consumer_is_answered(self):
        engine = self.engine()
        self.assertEqual(self.attached(), "confcast_engine")
        frames = bed.Frames()
        self.deliver(engine, frames, self.receiver())
        self.assertEqual(engine.telemetry("/confcast/port")["chained"], 0)
        base.run(f"{base.PREFIX}-c2", "ip", "neigh", "flush", "dev", "eth0")
        done = base.run(f"{base.PREFIX}-c2", bed.PEER, "consumer", bed.ENGINE_IP, str(bed.PORT), bed.SESSION_KEY, "host-1",
                        frames.folder)
        answer = json.loads(done.stdout)
        self.assertTrue(answer["repaired"], engine.log())
        self.assertTrue(answer["echoed"])
        stats = base.wait_for_stats(engine, lambda s: s["reports"] == 1)
        # ARP was the kernel's to answer, and nothing but ours came through the program.
        self.assertEqual(stats["arp_replies"], 0)
        self.assertEqual({word: count for word, count in stats["rx"].items() if count and word != "datagram"}, {})
        self.assertEqual(engine.stop(), 0)
        self.assertIsNone(self.attached())

    def test_other_addresses_ports_protocols_and_fragments_go_to_the_kernel(self):
        base.run(base.ENGINE, "ip", "addr", "add", "10.77.0.99/24", "dev", "eth0")
        self.addCleanup(base.run, base.ENGINE, "ip", "addr", "del", "10.77.0.99/24", "dev", "eth0")
        engine = self.engine()
        with in_namespace(base.ENGINE, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other, \
                in_namespace(base.ENGINE, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as same, \
                in_namespace(base.ENGINE, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as address, \
                in_namespace(base.ENGINE, lambda: socket.create_server((bed.ENGINE_IP, bed.PORT))) as tcp:
            other.bind((bed.ENGINE_IP, bed.PORT + 1))
            same.bind((bed.ENGINE_IP, bed.PORT))
            address.bind(("10.77.0.99", bed.PORT))
            for sock in (other, same, address):
                sock.settimeout(2)

            def send():
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.setsockopt(socket.IPPROTO_IP, base.IP_MTU_DISCOVER, base.IP_PMTUDISC_DONT)
                    sock.sendto(b"other port", (bed.ENGINE_IP, bed.PORT + 1))
                    sock.sendto(b"y" * 4000, (bed.ENGINE_IP, bed.PORT))
                    sock.sendto(b"other address", ("10.77.0.99", bed.PORT))
                    sock.sendto(b"ours", (bed.ENGINE_IP, bed.PORT))
                socket.create_connection((bed.ENGINE_IP, bed.PORT), 2).close()
            in_namespace(f"{base.PREFIX}-c1", send)
            self.assertEqual(other.recv(100), b"other port")
            self.assertEqual(len(same.recv(9000)), 4000)
            self.assertEqual(address.recv(100), b"other address")
            same.settimeout(0.2)
            self.assertRaises(TimeoutError, same.recv, 100)
            tcp.close()
        stats = base.wait_for_stats(engine, lambda s: s["rx"]["datagram"] == 1)
        self.assertEqual({word: count for word, count in stats["rx"].items() if count}, {"datagram": 1})

    def test_what_a_killed_engine_left_is_harmless_and_removed(self):
        killed = self.engine()
        killed.kill()
        self.assertEqual(self.attached(), "confcast_engine")
        with in_namespace(base.ENGINE, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            sock.settimeout(2)
            sock.bind((bed.ENGINE_IP, bed.PORT))
            in_namespace(f"{base.PREFIX}-c1", lambda: base.send_junk(bed.ENGINE_IP))
            self.assertEqual(sock.recv(100), b"")
        engine = self.engine(control=killed.control)
        engine.wait_for_log("removed the XDP program that a killed engine left on eth0")
        self.deliver(engine, bed.Frames(), self.receiver())
        self.assertEqual(engine.stop(), 0)
        self.assertIsNone(self.attached())

    def test_another_engine_and_another_program_keep_the_interface(self):
        engine = self.engine()
        with self.assertRaisesRegex(AssertionError, "eth0: another engine has it"):
            self.engine()
        self.assertEqual(self.attached(), "confcast_engine")
        self.deliver(engine, bed.Frames(), self.receiver())
        self.assertEqual(engine.stop(), 0)

        folder = os.path.join(bed.FOLDER, "xdp")
        os.makedirs(folder)
        source = os.path.join(folder, "pass.bpf.c")
        with open(source, "w", encoding="ascii") as file:
            file.write('__attribute__((section("xdp"), used)) int somebody_else(void *ctx)\n{\n    return 2;\n}\n')
        subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-c", source, "-o", source[:-2] + ".o"], check=True)
        base.run(base.ENGINE, "ip", "link", "set", "dev", "eth0", "xdp", "obj", source[:-2] + ".o", "sec", "xdp")
        self.addCleanup(base.run, base.ENGINE, "ip", "link", "set", "dev", "eth0", "xdp", "off")
        with self.assertRaisesRegex(AssertionError, "another XDP program .somebody_else. has eth0"):
            self.engine()
        self.assertEqual(self.attached(), "somebody_else")


class Memif(base.Case):
    """The engine as one process, dpdk-testpmd as another: it carries frames between memif and the veth."""

    def test_a_content_arrives_and_a_consumer_is_answered_through_shared_memory(self):
        prefix = f"{base.PREFIX}memif"
        memif = f"socket={bed.FOLDER}/memif.sock,socket-abstract=no"
        said = os.path.join(bed.FOLDER, "testpmd")
        bridge = subprocess.Popen(["ip", "netns", "exec", base.ENGINE, "dpdk-testpmd", "--lcores=0@(0,1),1@(0,1)", "--no-huge",
                                   "--no-shconf", "-m", "64", "--no-pci", "--iova-mode=va", f"--file-prefix={prefix}",
                                   "--no-telemetry", f"--vdev=net_memif0,role=server,{memif}",
                                   "--vdev=net_af_packet0,iface=eth0", "--", "--forward-mode=io", "--total-num-mbufs=4096",
                                   "--auto-start"], stdin=subprocess.PIPE, stdout=open(said, "wb"), stderr=subprocess.DEVNULL)

        def end():
            bridge.kill()
            bridge.wait()
            bridge.stdin.close()
            shutil.rmtree(f"/var/run/dpdk/{prefix}", ignore_errors=True)
        self.addCleanup(end)
        # A memif server that has its socket and is not started yet turns clients away for good.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with open(said, encoding="utf-8") as output:
                if "Checking link statuses" in output.read():
                    break
            time.sleep(0.05)
        # Nobody asks for what is lost here: the ring of 1,024 frames is to last while a busy machine does not run the bridge.
        engine = bed.Engine("--vdev", f"net_memif0,role=client,{memif}", "--rate", "40", ip=MEMIF_IP, namespace=base.ENGINE)
        self.addCleanup(engine.kill)
        sock = in_namespace(f"{base.PREFIX}-c1", lambda: bed.receiver(MEMIF_IP))
        self.addCleanup(sock.close)
        seen = bed.receive(sock, lambda seen: any(bed.kind(frame) == "STATUS" for frame in seen), 30)
        self.assertTrue(seen, "nothing comes through the bridge: " + engine.log())
        frames = bed.Frames()
        self.deliver(engine, frames, sock)
        self.assertEqual(engine.telemetry("/confcast/port")["chained"], 1)
        done = base.run(f"{base.PREFIX}-c2", bed.PEER, "consumer", MEMIF_IP, str(bed.PORT), bed.SESSION_KEY, "host-1",
                        frames.folder)
        answer = json.loads(done.stdout)
        self.assertTrue(answer["joined"], engine.log())
        self.assertTrue(answer["repaired"])
        self.assertEqual(answer["wrong"], 0)
        self.assertTrue(answer["echoed"])
        stats = base.wait_for_stats(engine, lambda s: s["arp_replies"] >= 1)
        self.assertGreaterEqual(stats["arp_replies"], 1)
        self.assertEqual(engine.stop(), 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(base.run_suite(sys.argv[1:], ["OtherPorts", "Xdp", "Memif"]))
