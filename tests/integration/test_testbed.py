#!/usr/bin/env python3
"""scripts/testbed against real multicast: what it lets through, loses, and leaves behind."""

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from namespace import in_namespace

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTBED = os.path.join(REPO, "scripts/testbed")
PREFIX = f"cftb{os.getpid()}"
GROUP = "239.77.0.1"
PORT = 7500
ENGINE = "10.77.0.1"
IP_ADD_SOURCE_MEMBERSHIP = 39
SO_RCVBUFFORCE = 33
ETH_P_IP = 0x0800
EXIT_SKIP = 77


def testbed(*args, path=None):
    env = dict(os.environ, PATH=path) if path else None
    return subprocess.run([TESTBED, *args], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env, check=False)


def left_namespaces(prefix=PREFIX):
    listing = subprocess.run(["ip", "netns", "list"], text=True, stdout=subprocess.PIPE,
                             check=True).stdout
    return [line.split()[0] for line in listing.splitlines() if line.startswith(prefix + "-")]


def receiver(source=None, port=PORT, any_source=False):
    def make():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        sock.bind(("", port))
        group = socket.inet_aton(GROUP)
        local = socket.inet_aton("0.0.0.0")
        if source:
            sock.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP,
                            group + local + socket.inet_aton(source))
        elif any_source:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + local)
        sock.setblocking(False)
        return sock
    return make


def sender():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
    return sock


def wire():
    """Sees every IPv4 packet that comes in at eth0, wanted or not."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    sock.bind(("eth0", ETH_P_IP))
    sock.setblocking(False)
    return sock


def drain(sock):
    packets = []
    while True:
        try:
            packets.append(sock.recv(2048))
        except BlockingIOError:
            return packets


def drain_udp(sock):
    # Byte 9 of an IPv4 header is the protocol.
    return [packet for packet in drain(sock) if packet[9] == socket.IPPROTO_UDP]


def send(sock, count, size=1400, port=PORT):
    for index in range(count):
        sock.sendto(struct.pack("<I", index) + bytes(size - 4), (GROUP, port))
        if index % 50 == 49:
            time.sleep(0.002)
    time.sleep(0.1)


def wait_for_snooping():
    # The bridge floods until its first query's response interval is over.
    time.sleep(0.5)


class LiveBed(unittest.TestCase):
    loss = "0"

    def setUp(self):
        self.addCleanup(testbed, "down", PREFIX)
        result = testbed("up", PREFIX, "--consumers", "4", "--loss", self.loss)
        self.assertEqual(result.returncode, 0, result.stderr)
        wait_for_snooping()

    def open(self, name, make):
        sock = in_namespace(f"{PREFIX}-{name}", make)
        self.addCleanup(sock.close)
        return sock


class Delivery(LiveBed):
    def test_multicast_reaches_the_joined_and_only_them(self):
        joined = [self.open("c1", receiver(ENGINE)), self.open("c2", receiver(any_source=True))]
        idle = self.open("c3", receiver())
        bystander = self.open("c4", wire)
        out = self.open("engine", sender)
        wait_for_snooping()
        send(out, 200)
        self.assertEqual([len(drain(sock)) for sock in joined], [200, 200])
        self.assertEqual(len(drain(idle)), 0)
        # Not even its link sees them: the bridge snoops.
        self.assertEqual(drain_udp(bystander), [])

    def test_a_source_specific_join_keeps_other_senders_out(self):
        joined = self.open("c1", receiver(ENGINE))
        out = self.open("control", sender)
        wait_for_snooping()
        send(out, 20)
        self.assertEqual(drain(joined), [])
        send(self.open("engine", sender), 20)
        self.assertEqual(len(drain(joined)), 20)

    def test_checksums_on_the_wire_are_complete(self):
        sniffer = self.open("c1", wire)
        self.open("c1", receiver(any_source=True))
        out = self.open("engine", sender)
        wait_for_snooping()
        out.sendto(b"x" * 101, (GROUP, PORT))
        time.sleep(0.1)
        packets = drain_udp(sniffer)
        self.assertEqual(len(packets), 1)
        addresses, udp = packets[0][12:20], packets[0][20:]
        words = addresses + struct.pack("!HH", socket.IPPROTO_UDP, len(udp)) + udp + b"\0"
        self.assertEqual(sum(struct.unpack(f"!{len(words) // 2}H", words)) % 0xffff, 0)

    def test_no_loss_drops_nothing(self):
        joined = self.open("c1", receiver(ENGINE))
        wait_for_snooping()
        send(self.open("engine", sender), 500)
        self.assertEqual(len(drain(joined)), 500)
        self.assertEqual(testbed("drops", PREFIX).stdout.split()[1::2], ["0"] * 4)


class Loss(LiveBed):
    loss = "20"

    def test_each_consumer_loses_its_own_share_and_counts_it(self):
        names = ["c1", "c2", "c3", "c4"]
        joined = [self.open(name, receiver(ENGINE)) for name in names]
        wait_for_snooping()
        send(self.open("engine", sender), 2000)
        got = [{packet[:4] for packet in drain(sock)} for sock in joined]
        drops = dict(line.split() for line in testbed("drops", PREFIX).stdout.splitlines())
        for name, packets in zip(names, got):
            # 20 % of 2,000 is 400, six sigma 107.
            self.assertTrue(290 <= 2000 - len(packets) <= 510, 2000 - len(packets))
            self.assertEqual(int(drops[f"{PREFIX}-{name}"]), 2000 - len(packets))
        self.assertEqual(len({frozenset(packets) for packets in got}), 4)

    def test_other_ports_lose_nothing(self):
        joined = self.open("c1", receiver(any_source=True, port=PORT + 1))
        wait_for_snooping()
        send(self.open("engine", sender), 500, port=PORT + 1)
        self.assertEqual(len(drain(joined)), 500)

    def test_loss_changes_while_the_bed_is_up(self):
        joined = self.open("c1", receiver(ENGINE))
        self.assertEqual(testbed("loss", PREFIX, "100").returncode, 0)
        wait_for_snooping()
        out = self.open("engine", sender)
        send(out, 50)
        self.assertEqual(drain(joined), [])
        self.assertEqual(testbed("loss", PREFIX, "0").returncode, 0)
        send(out, 50)
        self.assertEqual(len(drain(joined)), 50)
        # The count goes on over the changes.
        self.assertEqual(testbed("drops", PREFIX).stdout.split()[1], "50")


class Teardown(unittest.TestCase):
    def setUp(self):
        self.addCleanup(testbed, "down", PREFIX)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def fake_nft(self, script):
        """A PATH on which nft, the last tool that `up` runs, is `script`."""
        path = os.path.join(self.folder, "nft")
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + script + "\n")
        os.chmod(path, 0o755)
        return self.folder + ":" + os.environ["PATH"]

    def start_half(self):
        """An `up` that hangs when all but the loss rules is made."""
        mark = os.path.join(self.folder, "mark")
        path = self.fake_nft(f"touch {mark}; exec sleep 30")
        child = subprocess.Popen([TESTBED, "up", PREFIX, "--consumers", "2"],
                                 env=dict(os.environ, PATH=path))
        deadline = time.monotonic() + 10
        while not os.path.exists(mark):
            if time.monotonic() > deadline:
                child.kill()
                self.fail("the bed did not come half up")
            time.sleep(0.02)
        return child

    def start_run(self):
        child = subprocess.Popen([TESTBED, "run", "--consumers", "1", "--", "sh", "-c",
                                  "echo $$; exec sleep 60"], text=True, stdout=subprocess.PIPE)
        self.addCleanup(child.stdout.close)
        return child, f"cfbed{child.pid}", int(child.stdout.readline())

    def test_down_removes_all_and_may_be_repeated(self):
        self.assertEqual(testbed("up", PREFIX, "--consumers", "2").returncode, 0)
        self.assertEqual(len(left_namespaces()), 5)
        inside = subprocess.Popen(["ip", "netns", "exec", f"{PREFIX}-c1", "sleep", "60"])
        time.sleep(0.3)
        self.assertEqual(testbed("down", PREFIX).returncode, 0)
        self.assertEqual(left_namespaces(), [])
        self.assertEqual(inside.wait(5), -signal.SIGTERM)
        self.assertEqual(testbed("down", PREFIX).returncode, 0)

    def test_down_kills_what_ignores_sigterm(self):
        self.assertEqual(testbed("up", PREFIX, "--consumers", "1").returncode, 0)
        inside = subprocess.Popen(["ip", "netns", "exec", f"{PREFIX}-c1", "sh", "-c",
                                   "trap '' TERM; sleep 60; sleep 60"])
        time.sleep(0.3)
        self.assertEqual(testbed("down", PREFIX).returncode, 0)
        self.assertEqual(inside.wait(5), -signal.SIGKILL)
        self.assertEqual(left_namespaces(), [])

    def test_down_spares_a_bed_whose_name_begins_alike(self):
        longer = PREFIX + "-c1"
        self.addCleanup(testbed, "down", longer)
        self.assertEqual(testbed("up", longer, "--consumers", "1").returncode, 0)
        self.assertEqual(testbed("down", PREFIX).returncode, 0)
        self.assertEqual(len(left_namespaces(longer)), 4)

    def test_an_up_that_fails_leaves_nothing(self):
        result = testbed("up", PREFIX, "--consumers", "2",
                         path=self.fake_nft("echo no luck; exit 1"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("no luck", result.stderr)
        self.assertEqual(left_namespaces(), [])

    def test_an_up_that_finds_a_bed_leaves_that_alone(self):
        self.assertEqual(testbed("up", PREFIX, "--consumers", "1").returncode, 0)
        result = testbed("up", PREFIX, "--consumers", "2")
        self.assertEqual(result.returncode, 1)
        self.assertIn("exists", result.stderr)
        self.assertEqual(len(left_namespaces()), 4)

    def test_ctrl_c_in_the_middle_leaves_nothing(self):
        child = self.start_half()
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(10), 128 + signal.SIGINT)
        self.assertEqual(left_namespaces(), [])

    def test_down_removes_what_a_killed_up_left(self):
        child = self.start_half()
        child.kill()
        child.wait()
        self.assertEqual(len(left_namespaces()), 5)
        self.assertEqual(testbed("down", PREFIX).returncode, 0)
        self.assertEqual(left_namespaces(), [])

    def test_run_hands_on_the_exit_status_and_removes_its_bed(self):
        result = testbed("run", "--consumers", "2", "--", "sh", "-c",
                         "echo $BED_PREFIX $BED_ENGINE $BED_CONSUMERS; exit 7")
        self.assertEqual(result.returncode, 7, result.stderr)
        prefix, engine, *consumers = result.stdout.split()
        self.assertEqual([engine] + consumers,
                         [f"{prefix}-engine", f"{prefix}-c1", f"{prefix}-c2"])
        self.assertEqual(left_namespaces(prefix), [])

    def test_run_ends_its_command_and_its_bed_on_sigterm(self):
        child, prefix, _ = self.start_run()
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(10), 128 + signal.SIGTERM)
        self.assertEqual(left_namespaces(prefix), [])

    def test_the_bed_of_a_killed_run_goes_with_the_next_run(self):
        child, prefix, inside = self.start_run()
        # It is in no namespace of the bed, and would hold this test's output open.
        self.addCleanup(os.kill, inside, signal.SIGKILL)
        child.kill()
        child.wait()
        self.assertEqual(len(left_namespaces(prefix)), 4)
        self.assertEqual(testbed("run", "--consumers", "1", "--", "true").returncode, 0)
        self.assertEqual(left_namespaces(prefix), [])

    def test_wrong_values_are_refused(self):
        for args in (("up", "Bad"), ("up", PREFIX, "--consumers", "0"),
                     ("up", PREFIX, "--consumers", "201"), ("up", PREFIX, "--loss", "101")):
            self.assertEqual(testbed(*args).returncode, 1, args)
            self.assertEqual(left_namespaces(), [])


if __name__ == "__main__":
    probe = testbed("down", PREFIX)
    if probe.returncode == EXIT_SKIP:
        print(probe.stderr.strip())
        sys.exit(EXIT_SKIP)
    unittest.main(verbosity=2)
