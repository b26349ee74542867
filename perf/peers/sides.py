"""Sides of perf/run: UFTP, NORM, OpenPGM, etcd and TCP as peers; UDP multicast without repair as a limit.

Each runs a program of perf/peers at the sender's and at each receiver's host and speaks with it in lines (README.md).  A round ends when
the last receiver holds the object, by the clock that all namespaces share; only then do receivers digest what is big, so that no peer
pays for our check of it.  How each is set and why is in README.md.
"""

import json
import os
import selectors
import shutil
import socket
import subprocess
import tempfile
import time

from harness.rows import RowError
from harness.side import Outcome, Side
from harness.topology import SHAPED_UDP_MBIT, cpu_ns_of, in_namespace, make_folder

BULK_SIZE = 1 << 20  # PEER_BULK_SIZE in peer.h
READY_S = 20.0
ROUND_S = 60.0


class Program:
    """A process that prints JSON lines."""

    def __init__(self, topology, netns, command, env=None):
        self.topology = topology
        self.errors = tempfile.TemporaryFile()
        self.name = os.path.basename(str(command[0]))
        self.child = topology.start(netns, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                    env=dict(os.environ, **(env or {})))
        self.rest = b""

    def tell(self, line=""):
        self.child.stdin.write(f"{line}\n".encode())
        self.child.stdin.flush()

    def events(self):
        """What it has printed; blocks when that is nothing yet."""
        got = os.read(self.child.stdout.fileno(), 1 << 16)
        if not got:
            self.errors.seek(0)
            raise RowError(f"{self.name} ended: {self.errors.read().decode(errors='replace').strip()[-300:]}")
        *lines, self.rest = (self.rest + got).split(b"\n")
        return [json.loads(line) for line in lines]

    def cpu_ns(self):
        return cpu_ns_of(self.child.pid)

    def stop(self):
        self.child.stdin.close()
        self.topology.stop(self.child)
        self.child.stdout.close()
        self.errors.close()


def wait_for_port(netns, address):
    """Until somebody listens."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            in_namespace(netns, lambda: socket.create_connection(address, timeout=1).close())
            return
        except OSError:
            if time.monotonic() > deadline:
                raise RowError(f"nobody listens at {address}") from None
            time.sleep(0.05)


class PeerSide(Side):
    """A side whose two ends are programs of perf/peers."""

    program = ""
    port, group = 0, "239.77.9.10"
    modes = ("", "")  # of the sender and of the receivers
    tools = ()  # (program, Debian package) that it needs besides
    rates_mbit = {}  # receivers: Mbit/s of payload, unshaped; the next lower number counts
    shaped_share = 1.0  # of SHAPED_UDP_MBIT
    is_reliable = True

    def __init__(self):
        self.ctx = self.topology = self.folder = self.sender = None
        self.receivers = []
        self.helpers = []  # processes that are not ours
        self.round = 0

    def unavailable(self, ctx):
        for program, package in self.tools:
            if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
                return f"{program} is not installed: perf/peers/setup (package {package})"
        if not os.path.exists(self.path_of(ctx)):
            return f"{self.program} is not built: perf/peers/setup"
        return None

    def path_of(self, ctx):
        return os.path.join(ctx.build, "perf/peers", self.program)

    def rate(self, receivers, is_shaped):
        """Mbit/s of payload, 0 for as fast as it goes."""
        rate = next((rate for count, rate in sorted(self.rates_mbit.items(), reverse=True) if count <= receivers), 0)
        return min(rate or SHAPED_UDP_MBIT, SHAPED_UDP_MBIT * self.shaped_share) if is_shaped else rate

    def start(self, ctx, topology, receivers, work, loss, is_shaped):
        self.ctx, self.topology, self.round = ctx, topology, 0
        self.folder = make_folder(in_memory=True)
        self.start_helpers(receivers)
        self.receivers = [Program(topology, netns, self.receiver_command(number))
                          for number, netns in enumerate(topology.receivers[:receivers], 1)]
        self.wait_for_receivers()
        rate = self.rate(receivers, is_shaped)
        self.sender = Program(topology, topology.sender, self.sender_command(receivers, rate))
        everybody = [self.sender, *self.receivers]
        self.gather(everybody, lambda _, event: event["event"] == "ready", READY_S)
        time.sleep(0.3)  # the bridge learns of the group

    def start_helpers(self, receivers):
        """What has to run before the programs."""

    def wait_for_receivers(self):
        """What has to be true of the receivers before there is a sender."""

    def common(self, role):
        return [self.path_of(self.ctx), role, "--interface", "eth0", "--address", self.topology.sender_ip, "--group", self.group,
                "--port", self.port]

    def receiver_command(self, number):
        return [*self.common("receive"), "--number", number, "--mode", self.modes[1]]

    def sender_command(self, receivers, rate):
        return [*self.common("send"), "--receivers", receivers, "--rate", rate, "--mode", self.modes[0]]

    def gather(self, programs, is_last, timeout_s):
        """Reads events of programs until is_last(program, event) was true once for each of them."""
        deadline = time.monotonic() + timeout_s
        waiting = set(programs)
        with selectors.DefaultSelector() as selector:
            for program in programs:
                selector.register(program.child.stdout, selectors.EVENT_READ, program)
            while waiting:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise RowError(f"{self.name}: {len(waiting)} of {len(programs)} say nothing for {timeout_s:.0f} s")
                for key, _ in ready:
                    for event in key.data.events():
                        if is_last(key.data, event):
                            waiting.discard(key.data)

    def cpu_ns(self):
        return sum(program.cpu_ns() for program in self.receivers) + sum(cpu_ns_of(child.pid) for child in self.helpers)

    def send(self, payload):
        self.round += 1
        times, got, digests = {}, {}, {}
        cpu_ns = self.cpu_ns()

        def on_event(program, event):
            if event.get("round") != self.round:
                if event["event"] == "lost" and self.is_reliable:
                    raise RowError(f"{self.name}: a receiver has lost data for good")
                return False
            if event["event"] == "sent":
                times["begin"], times["end"] = event["begin_ns"], event["end_ns"]
                return True
            if event["event"] == "verified":
                digests[program] = event["sha256"]
                return True
            if event["event"] == "lost" and self.is_reliable:
                raise RowError(f"{self.name}: a receiver has lost data for good")
            times[program] = event["ns"]
            got[program] = event["size"]
            return event["event"] == "lost" or payload.size >= BULK_SIZE

        self.sender.tell(f"{self.round} {payload.path}")
        self.gather([self.sender, *self.receivers], on_event, ROUND_S)
        cpu_ns = self.cpu_ns() - cpu_ns
        whole = [program for program in self.receivers if got[program] == payload.size]
        if payload.size >= BULK_SIZE:
            for program in whole:
                program.tell()
            self.gather(whole, on_event, ROUND_S)
        if any(digests[program] != payload.sha256 for program in whole):
            raise RowError(f"{self.name}: a receiver has something else than what was sent")
        seconds = (max(times[program] for program in self.receivers) - times["begin"]) / 1e9
        return Outcome(seconds=seconds, share=min(got.values()) / payload.size, cpu_seconds=cpu_ns / 1e9)

    def stop(self):
        for program in filter(None, [self.sender, *self.receivers]):
            program.stop()
        for child in self.helpers:
            self.topology.stop(child)
        self.sender, self.receivers, self.helpers = None, [], []
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


class Uftp(PeerSide):
    name = "UFTP"
    program = "peer_uftp"
    port, group = 7611, "239.77.9.11"
    tools = (("uftp", "uftp"), ("uftpd", "uftp"))
    rates_mbit = {1: 2000, 2: 1500, 4: 1000, 8: 600}
    settings = "uftp 4.10; -b 1428 -B 32 MB -r 0.01:0.01:1 -s 10; uftpd -c 1 MB, files in memory"
    BUFFER = 32 << 20
    PRIVATE_GROUP = "239.77.9.12"

    def done(self, number):
        return os.path.join(self.folder, f"{number}")

    def start_helpers(self, receivers):
        for number, netns in enumerate(self.topology.receivers[:receivers], 1):
            os.makedirs(self.done(number))
            self.helpers.append(self.topology.start(
                netns, ["uftpd", "-d", "-q", "-t", "-x", 0, "-I", "eth0", "-M", self.group, "-p", self.port, "-B", self.BUFFER,
                        "-c", 1048576, "-D", self.done(number)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def receiver_command(self, number):
        return [self.path_of(self.ctx), "receive", self.done(number)]

    def sender_command(self, receivers, rate):
        clients = ",".join(f"0x{0x0a4d000a + number:08X}" for number in range(1, receivers + 1))
        return [self.path_of(self.ctx), "send", "uftp", "-x", 0, "-I", "eth0", "-M", self.group, "-P", self.PRIVATE_GROUP, "-p", self.port,
                "-R", int(rate * 1000) or -1, "-B", self.BUFFER, "-b", 1428, "-r", "0.01:0.01:1", "-s", 10, "-H", clients]


class Norm(PeerSide):
    name = "NORM"
    program = "peer_norm"
    port, group = 7612, "239.77.9.13"
    rates_mbit = {1: 1500, 2: 1000, 4: 650, 8: 400}
    settings = "libnorm 1.5.9; NORM_OBJECT_DATA, segment 1424, block 64, parity 16, GRTT 2 ms, backoff 1"


class Pgm(PeerSide):
    name = "OpenPGM"
    program = "peer_pgm"
    port, group = 7613, "239.77.9.14"
    rates_mbit = {1: 1500, 2: 1200, 4: 900, 8: 500}
    settings = "libpgm 5.3 in UDP; one packet a message, window 60,000, NAK backoff 2 ms"


class Etcd(PeerSide):
    name = "etcd"
    program = "peer_etcd"
    port = 7614
    tools = (("etcd", "etcd-server"),)
    modes = ("4", "")
    settings = "etcd 3.4, data in memory; one gRPC watch a receiver; values of 1 MiB, 4 puts under way"

    def start_helpers(self, receivers):
        url = f"http://{self.topology.sender_ip}:{self.port}"
        peer_url = f"http://127.0.0.1:{self.port + 1}"
        self.helpers.append(self.topology.start(
            self.topology.sender, ["etcd", "--data-dir", self.folder, "--listen-client-urls", url, "--advertise-client-urls", url,
                                   "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
                                   "--initial-cluster", f"default={peer_url}", "--quota-backend-bytes", 8 << 30],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for_port(self.topology.sender, (self.topology.sender_ip, self.port))

    def cpu_ns(self):
        """The server is not a receiver's."""
        return sum(program.cpu_ns() for program in self.receivers)


class Tcp(PeerSide):
    name = "TCP"
    program = "peer_tcp"
    port = 7616
    settings = "one connection a receiver, one thread that fills them in turn; the kernel's default (CUBIC)"


class RawGso(PeerSide):
    """UDP multicast without repair, as fast as this kernel carries it."""

    name = "raw GSO"
    program = "peer_raw"
    port, group = 7617, "239.77.9.15"
    modes = ("gso", "gro")
    is_limit = True
    is_reliable = False
    settings = "UDP_SEGMENT of 44 datagrams, UDP_GRO, no repair"

    def rate(self, receivers, is_shaped):
        return SHAPED_UDP_MBIT if is_shaped else 0


SIDES = (Uftp, Norm, Pgm, Etcd, Tcp, RawGso)
