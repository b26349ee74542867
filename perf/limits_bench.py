#!/usr/bin/env python3
"""A fleet against what the same machine carries without any protocol: the engine's hand-over to applied by all, in turns
with plain UDP multicast of the same frames to receivers in the same namespaces (bench_raw).

usage: perf/limits_bench.py small [--consumers 8] [--rounds 200] [--size 4096] [--text] [--loss 0] [--disk]
       perf/limits_bench.py bulk  [--consumers 4] [--rounds 5] [--megabytes 64] [--loss 0] [--shaped] [--disk]

Consumers are hosts of their own and do not share a disk: their state lies in memory unless --disk is given, which has all of
them write to the one disk of this machine while they apply.

small: one key of a config changes, which codes to about --size bytes; with --text it is --size bytes of JSON, which code to
fewer.  The raw round is as many datagrams of the same sizes, and one Ed25519 check at each receiver.  Goals: p50 at most 3 x
raw; at 1 % loss p99 under 1 ms and at most 1.5 x the content's bytes.

bulk: a config of random text.  Raw rounds come in two kinds: receivers that only read, and receivers that digest each
datagram.  A raw round is over when the last receiver had its last datagram, whether it got all or not.  With --shaped the
engine's link is shaped to 1 Gbit/s (tbf) and both senders are paced just below that.  Goals, of raw: 0.70 at 0 % and 0.65 at
1 % loss; 0.9 of raw with SHA-256; shaped 0.98 and 0.93; at 1 % at most 1.09 Ethernet bytes for each byte of content.

The hand-over is when the first message of a change goes to the engine: a relay between confcastd and the engine notes it.
Prints one JSON line per result.  Needs root; see scripts/setup.
"""

import argparse
import json
import os
import select
import shutil
import signal
import socket
import string
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "../scripts"))
import fleet as fleets  # noqa: E402
import fleet_bench  # noqa: E402
import small_bench  # noqa: E402

RAW_PORT = 7600
RAW_GROUP = "239.77.9.1"
SCOPE = fleet_bench.SCOPE
ARENA, CONTENT, HEAD = 3, 4, 6  # protocol/handoff/handoff.h
SYMBOL_FRAME = 1464
SHAPED_MBIT = 960  # UDP payload in 1 Gbit/s of Ethernet frames: 1472 of 1514 bytes


class Relay:
    """Between confcastd and the engine; notes when what is to be sent passes."""

    def __init__(self, path, engine_path):
        self.engine_path = engine_path
        self.passed = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(1)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            control, _ = self.listener.accept()
            engine = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            engine.connect(self.engine_path)
            threading.Thread(target=self.copy, args=(control, engine, True), daemon=True).start()
            threading.Thread(target=self.copy, args=(engine, control, False), daemon=True).start()

    def copy(self, source, sink, is_down):
        while True:
            packet, ancillary, _, _ = source.recvmsg(16384, 256)
            if not packet:
                sink.shutdown(socket.SHUT_WR)
                return
            number = struct.unpack_from("<H", packet, 4)[0]
            if is_down and number in (ARENA, CONTENT, HEAD):
                self.passed.append((time.time_ns(), number))
            sink.sendmsg([packet], [(level, kind, data) for level, kind, data in ancillary])
            for level, kind, data in ancillary:
                for fd in struct.unpack(f"{len(data) // 4}i", data):
                    os.close(fd)

    def first_ns(self):
        return self.passed[0][0]


class RelayedFleet(fleets.Fleet):
    relay = None
    memory = None

    def keep_state_in_memory(self):
        self.memory = tempfile.mkdtemp(prefix="confcast-limits-", dir="/dev/shm")
        for consumer in self.consumers:
            consumer.folder = os.path.join(self.memory, consumer.id)
            consumer.state_dir = os.path.join(consumer.folder, "state")
            consumer.credential = os.path.join(consumer.folder, "credential.json")
            consumer.events_path = os.path.join(consumer.folder, "events.jsonl")

    def down(self):
        super().down()
        if self.memory:
            shutil.rmtree(self.memory)

    def start_control(self):
        engine_path = self.engine_socket
        self.engine_socket = os.path.join(self.folder, "relay.sock")
        self.relay = Relay(self.engine_socket, engine_path)
        super().start_control()
        self.engine_socket = engine_path

    def in_engine(self, *command):
        return self.run(["ip", "netns", "exec", f"{self.bed.prefix}-engine", *command], check=True).stdout

    def shape(self):
        """1 Gbit/s from the engine's host into the bridge, by way of an ifb: the PMD passes its own qdisc by."""
        bridge = f"{self.bed.prefix}-br"
        ports = json.loads(self.run(["ip", "-n", bridge, "-j", "link"], check=True).stdout)
        peer = int(self.in_engine("cat", "/sys/class/net/eth0/iflink"))
        port = next(link["ifname"] for link in ports if link["ifindex"] == peer)
        for command in (f"ip -n {bridge} link add shaper type ifb", f"ip -n {bridge} link set shaper up",
                        f"tc -n {bridge} qdisc add dev {port} ingress",
                        f"tc -n {bridge} filter add dev {port} parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev shaper",
                        f"tc -n {bridge} qdisc add dev shaper root tbf rate 1gbit burst 256kb limit 4mb"):
            self.run(command.split(), check=True)


class Raw:
    """bench_raw in the namespaces of a fleet."""

    def __init__(self, fleet, check):
        program = os.path.join(os.environ.get("CFC_BUILD") or os.path.join(HERE, "../build"), "perf/bench_raw")
        where = [RAW_GROUP, str(RAW_PORT), "eth0"]
        self.round = 0
        self.rests = {}
        self.receivers = [self.start(consumer.netns, [program, "receive", *where, check]) for consumer in fleet.consumers]
        for receiver in self.receivers:
            receiver.stdout.readline()  # "ready": it has joined
        self.sender = self.start(f"{fleet.bed.prefix}-engine", [program, "send", *where])
        time.sleep(0.3)  # the bridge learns of the group

    @staticmethod
    def start(netns, command):
        return subprocess.Popen(["ip", "netns", "exec", netns, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        for process in [self.sender, *self.receivers]:
            process.kill()
            process.wait()

    def send(self, sizes, mbit=0.0, wait_s=0.0):
        """One round: seconds until the last receiver was through, and the share that arrived where least did.  Nothing is
        read for wait_s."""
        self.round += 1
        words = " ".join(f"{size}x{count}" for size, count in sizes)
        self.sender.stdin.write(f"{self.round} {mbit} {words}\n".encode())
        self.sender.stdin.flush()
        time.sleep(wait_s)
        begin_ns = int(self.sender.stdout.readline().split()[1])
        last_ns, share = 0, 1.0
        for receiver in self.receivers:
            if not select.select([receiver.stdout], [], [], 30)[0]:
                raise fleets.FleetError("a raw receiver heard nothing")
            _, got, wanted, at_ns = map(int, receiver.stdout.readline().split())
            last_ns, share = max(last_ns, at_ns), min(share, got / wanted)
        return (last_ns - begin_ns) / 1e9, share


def lose_raw_too(fleet):
    """The loss of the bed for the raw port as well."""
    for consumer in fleet.consumers:
        fleet.run(["ip", "netns", "exec", consumer.netns, "nft", "add", "rule", "inet", "confcast_bed", "input", "udp",
                   "dport", str(RAW_PORT), "goto", "lossy"], check=True)


def at(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def show(bench, case, **figures):
    print(json.dumps({"bench": bench, "case": case} | {name: round(value, 3) for name, value in figures.items()}), flush=True)


def engine_bytes(fleet):
    """UDP payload by what it was for, from the engine's metrics."""
    text = fleet.in_engine("curl", "-s", "http://127.0.0.1:9464/metrics")
    return {line.split('"')[1]: int(line.split()[-1]) for line in text.splitlines()
            if line.startswith("confcast_engine_sent_bytes_total{")}


def one_change(fleet, connection, body, tails):
    """Seconds from the hand-over until all have applied, and the version."""
    fleet.relay.passed.clear()
    _, _, version = fleet_bench.publish(connection, body)
    times = fleet_bench.wait_applied(tails, version, 600)
    return (max(times) - fleet.relay.first_ns()) / 1e9


def small(args, fleet):
    small_bench.run(args, fleet, lambda it: Raw(it, "ed25519"), show, at)


def bulk(args, fleet):
    alphabet = string.ascii_letters + string.digits + "+-"
    table = bytes(alphabet[byte & 63].encode()[0] for byte in range(256))
    size = int(args.megabytes * 1024 * 1024) - 4096
    connection = fleet_bench.UnixConnection(fleet.socket)
    fleet_bench.publish(connection, '{"a":1}')
    tails = [fleet_bench.Tail(consumer.events_path) for consumer in fleet.consumers]
    fleet.wait_applied()
    entropy = (size >> 16 << 16) * 6 // 8
    mbit = SHAPED_MBIT if args.shaped else 0
    goodput = {"raw": [], "raw and SHA-256": [], "confcast": []}
    wire, spent = [], {}
    for _ in range(args.rounds):
        for name, check in (("raw", "none"), ("raw and SHA-256", "sha256")):
            raw = Raw(fleet, check)
            try:
                seconds, share = raw.send([(SYMBOL_FRAME, entropy // 1440)], mbit)
            finally:
                raw.close()
            goodput[name].append(entropy * share * 8 / seconds / 1e6)
        blobs = [os.urandom(1 << 16).translate(table).decode() for _ in range(size >> 16)]
        kinds, before = engine_bytes(fleet), fleet_bench.sent_bytes(fleet)
        seconds = one_change(fleet, connection, json.dumps({"blobs": blobs}), tails)
        time.sleep(1.2)  # the engine tells its counters once a second
        goodput["confcast"].append(entropy * 8 / seconds / 1e6)
        coded = (engine_bytes(fleet)["source"] - kinds["source"]) * 1440 / SYMBOL_FRAME
        wire.append((fleet_bench.sent_bytes(fleet) - before) / coded)
        for kind, total in engine_bytes(fleet).items():
            spent.setdefault(kind, []).append((total - kinds[kind]) / coded)
    case = f"{args.megabytes:g} MiB, {args.consumers} consumers, loss {args.loss:g} %" + (", tbf 1 Gbit/s" if args.shaped else "")
    for name, values in goodput.items():
        show("bulk", f"{case}: {name}, Mbit/s", min=min(values), median=at(values, .5), max=max(values))
    for name in ("raw", "raw and SHA-256"):
        ratios = [ours / limit for ours, limit in zip(goodput["confcast"], goodput[name])]
        show("bulk", f"{case}: confcast / {name}", min=min(ratios), median=at(ratios, .5), max=max(ratios))
    show("bulk", f"{case}: Ethernet bytes / content bytes", min=min(wire), median=at(wire, .5), max=max(wire))
    show("bulk", f"{case}: of them UDP payload by what it was for", **{kind: at(shares, .5) for kind, shares in spent.items()})
    lost = sum(line.count("overflowed") for consumer in fleet.consumers for line in open(consumer.events_path + ".err", encoding="utf-8"))
    show("bulk", f"{case}: warnings of receive buffers that overflowed", count=lost)


def main():
    parser = argparse.ArgumentParser(description="A fleet against the machine's limits.")
    parser.add_argument("what", choices=("small", "bulk"))
    parser.add_argument("--consumers", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--gap", type=float, default=0.06, help="seconds of a round of small, and of a raw one")
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--shaped", action="store_true")
    parser.add_argument("--disk", action="store_true")
    args = parser.parse_args()
    reason = fleets.testbed.why_not_here()
    if reason:
        print(reason, file=sys.stderr)
        return fleets.testbed.EXIT_SKIP
    defaults = {"small": (8, 200), "bulk": (4, 5)}[args.what]
    args.consumers = args.consumers or defaults[0]
    args.rounds = args.rounds or defaults[1]
    rate = {"small": 0, "bulk": SHAPED_MBIT if args.shaped else 0}[args.what]
    fleet = RelayedFleet(f"limits-{os.getpid()}", SCOPE, args.consumers, args.loss,
                         engine_args=["--rate", str(rate), "--metrics", "127.0.0.1:9464"])
    try:
        if not args.disk:
            fleet.keep_state_in_memory()
        fleet.up()
        if args.loss:
            lose_raw_too(fleet)
        if args.shaped:
            fleet.shape()
        {"small": small, "bulk": bulk}[args.what](args, fleet)
    finally:
        fleet.down()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and take the fleet down
    sys.exit(main())
