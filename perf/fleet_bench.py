#!/usr/bin/env python3
"""What a whole fleet on this machine does: real daemons, DPDK over net_af_packet, a bridge, MTU 1500.

usage: perf/fleet_bench.py latency [--consumers 8] [--rounds 200] [--size 4096] [--loss 0]
       perf/fleet_bench.py bulk    [--consumers 4] [--rounds 3] [--megabytes 64] [--loss 0] [--rate 0]

latency: publish to applied.  A round changes one key of a config of --size bytes by PUT and promotes it by POST over confcastd's unix
socket; the times are those of the agents' `applied` events (one machine, one clock) minus the moment before the POST was sent:
"first" and "all" are the first and the last consumer, "decided" the POST's own answer.

bulk: one config of --megabytes of random text (incompressible but for its alphabet: 6 bits a byte) until all consumers have applied it, and the
bytes that the engine's host sent for it. --rate is the engine's pacing in Mbit/s, 0 = none.

Prints one JSON line per result.  Needs root; see scripts/setup.
"""

import argparse
import http.client
import json
import os
import random
import socket
import string
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../scripts"))
import fleet as fleets  # noqa: E402

SCOPE = "bench/service/prod"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(120)
        self.sock.connect(self.path)


def request(connection, method, path, body):
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise fleets.FleetError(f"{method} {path}: {answer.status} {text[:300]!r}")
    return json.loads(text)


class Tail:
    """Reads an agent's new events, whole lines only."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.rest = b""

    def applied(self):
        lines = (self.rest + self.file.read()).split(b"\n")
        self.rest = lines.pop()
        return {event["version"]: event["time_unix_ns"] for event in map(json.loads, lines)
                if event["event"] == "applied"}


def wait_applied(tails, version, timeout_s):
    """When each consumer applied `version`, unix ns."""
    times = [None] * len(tails)
    deadline = time.monotonic() + timeout_s
    while None in times:
        for number, tail in enumerate(tails):
            if times[number] is None:
                times[number] = tail.applied().get(version)
        if None in times:
            if time.monotonic() > deadline:
                raise fleets.FleetError(f"version {version} is not everywhere after {timeout_s} s")
            time.sleep(0.001)
    return times


def report(name, case, unit, values):
    values = sorted(values)

    def at(share):
        return values[min(len(values) - 1, int(share * len(values)))]

    print(json.dumps({"bench": name, "case": case, "unit": unit, "rounds": len(values),
                      "min": round(values[0], 3), "median": round(at(0.5), 3),
                      "p99": round(at(0.99), 3), "max": round(values[-1], 3)}), flush=True)


def config_of(size, number):
    """A service config of about `size` bytes of which one key changes from round to round."""
    document = {"revision": number, "keys": {}}
    generator = random.Random(1)
    while len(json.dumps(document)) < size:
        key = "".join(generator.choices(string.ascii_lowercase, k=8))
        document["keys"][key] = "".join(generator.choices(string.ascii_letters, k=24))
    return json.dumps(document)


def publish(connection, body):
    request(connection, "PUT", f"/v1/config/{SCOPE}", body)
    sent_ns = time.time_ns()
    answer = request(connection, "POST", f"/v1/release/{SCOPE}", '{"action":"promote"}')
    return sent_ns, time.time_ns(), answer["version"]


def latency(args):
    fleet = fleets.Fleet(f"perf-{os.getpid()}", SCOPE, args.consumers, args.loss)
    first, last, decided, each = [], [], [], []
    try:
        fleet.up()
        connection = UnixConnection(fleet.socket)
        template = json.loads(config_of(args.size, 0))
        tails = [Tail(consumer.events_path) for consumer in fleet.consumers]
        for number in range(args.rounds + 5):
            template["revision"] = number
            sent_ns, answered_ns, version = publish(connection, json.dumps(template))
            time.sleep(args.gap)  # nobody looks meanwhile: who polls takes the processors that are measured
            times = wait_applied(tails, version, 30)
            if number >= 5:  # the first rounds warm caches and connect the fleet
                each += [(at - sent_ns) / 1e6 for at in times]
                first.append((min(times) - sent_ns) / 1e6)
                last.append((max(times) - sent_ns) / 1e6)
                decided.append((answered_ns - sent_ns) / 1e6)
    finally:
        fleet.down()
    case = f"{args.size} B, {args.consumers} consumers, loss {args.loss:g} %"
    report("publish_to_applied", f"{case}: decided and answered", "ms", decided)
    report("publish_to_applied", f"{case}: first consumer", "ms", first)
    report("publish_to_applied", f"{case}: each consumer", "ms", each)
    report("publish_to_applied", f"{case}: all consumers", "ms", last)


def sent_bytes(fleet):
    text = fleet.run(["ip", "netns", "exec", f"{fleet.bed.prefix}-engine", "cat",
                      "/sys/class/net/eth0/statistics/tx_bytes"], check=True).stdout
    return int(text)


def bulk(args):
    alphabet = string.ascii_letters + string.digits + "+-"
    table = bytes(alphabet[byte & 63].encode()[0] for byte in range(256))
    fleet = fleets.Fleet(f"perf-{os.getpid()}", SCOPE, args.consumers, args.loss,
                         engine_args=["--rate", str(args.rate)])
    seconds, goodput, wire = [], [], []
    size = int(args.megabytes * 1024 * 1024) - 4096
    try:
        fleet.up()
        connection = UnixConnection(fleet.socket)
        publish(connection, '{"a":1}')
        tails = [Tail(consumer.events_path) for consumer in fleet.consumers]
        fleet.wait_applied()
        for number in range(args.rounds):
            blobs = [os.urandom(1 << 16).translate(table).decode() for _ in range(size >> 16)]
            before = sent_bytes(fleet)
            sent_ns, answered_ns, version = publish(connection, json.dumps({"blobs": blobs}))
            times = wait_applied(tails, version, 600)
            time.sleep(0.2)
            seconds.append((max(times) - answered_ns) / 1e9)
            coded = sum(len(blob) for blob in blobs) * 6 / 8
            goodput.append(coded * 8 / seconds[-1] / 1e6)
            wire.append((sent_bytes(fleet) - before) / coded)
    finally:
        fleet.down()
    case = f"{args.megabytes:g} MiB, {args.consumers} consumers, loss {args.loss:g} %, " \
           + (f"paced at {args.rate} Mbit/s" if args.rate else "not paced")
    report("bulk", f"{case}: answered to applied by all", "s", seconds)
    report("bulk", f"{case}: entropy of the content / that time", "Mbit/s", goodput)
    report("bulk", f"{case}: Ethernet bytes sent / entropy of the content", "ratio", wire)


def main():
    parser = argparse.ArgumentParser(description="A whole fleet, measured.")
    parser.add_argument("what", choices=("latency", "bulk"))
    parser.add_argument("--consumers", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--gap", type=float, default=0.06, help="seconds of a round of latency")
    args = parser.parse_args()
    reason = fleets.testbed.why_not_here()
    if reason:
        print(reason, file=sys.stderr)
        return fleets.testbed.EXIT_SKIP
    defaults = {"latency": (8, 200), "bulk": (4, 3)}[args.what]
    args.consumers = args.consumers or defaults[0]
    args.rounds = args.rounds or defaults[1]
    {"latency": latency, "bulk": bulk}[args.what](args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
