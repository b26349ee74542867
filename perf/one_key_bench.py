#!/usr/bin/env python3
"""What one changed key of a large config costs on the wire, and that it arrives: real daemons, DPDK over net_af_packet, a bridge.

usage: perf/one_key_bench.py [--consumers 4] [--rounds 3] [--data FOLDER] [--check]

The config is a generated one of the shape of a CustomResourceDefinition (nested schemas, much prose, 700 KB), or with --data each
JSON file of a folder, as ../shared/data/prometheus-crd.  It is published whole and applied by all; then a round changes one key of it
and publishes that.  Counted are the multicast frames that one of the consumers' hosts sees: those that carry content (CONTENT, PAGE,
SYMBOL, and a HEAD that a content or a delta rides in) and the heads alone.  --check demands at most three frames of content.

Prints one JSON line per config.  Needs root; see scripts/setup.
"""

import argparse
import ctypes
import glob
import json
import os
import random
import shutil
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../scripts"))
import fleet as fleets  # noqa: E402

SCOPE = "bench/crd/prod"
CONTENT_FRAMES_MAX = 3
SETTLE_S = 1.0  # after all have applied it: the head's last repeat comes 0.3 s after the first
HEAD, CONTENT, PAGE, SYMBOL = 1, 2, 3, 4
ETHERNET_P_ALL = 3
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
WORDS = ("the selects which resource is used for objects in this namespace when it defines an optional field that must be "
         "valid label value pods list of containers default configuration endpoint scrape interval timeout relabel").split()


def prose(rng, count):
    return " ".join(rng.choice(WORDS) for _ in range(count))


def schema(rng, depth):
    node = {"description": prose(rng, rng.randint(8, 40)), "type": rng.choice(("object", "string", "integer", "boolean"))}
    if depth > 0 and node["type"] == "object":
        node["properties"] = {f"{rng.choice(WORDS)}{i}": schema(rng, depth - 1) for i in range(rng.randint(3, 9))}
        node["required"] = sorted(node["properties"])[:2]
    return node


def generated(size):
    rng = random.Random(7)
    document = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {"versions": []}}
    while len(json.dumps(document)) < size:
        document["spec"]["versions"].append({"name": f"v{len(document['spec']['versions'])}", "schema": schema(rng, 5)})
    return document


class Sniffer(threading.Thread):
    """Counts what comes by multicast to one host."""

    def __init__(self, netns, port):
        super().__init__(daemon=True)
        self.port = port
        self.content = self.heads = self.content_bytes = 0
        with open(f"/run/netns/{netns}", "rb") as there, open("/proc/self/ns/net", "rb") as home:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0
            try:
                self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_P_ALL))
                self.socket.bind(("eth0", 0))
            finally:
                assert libc.setns(home.fileno(), CLONE_NEWNET) == 0
        self.socket.settimeout(0.1)
        self.is_done = False

    def run(self):
        while not self.is_done:
            try:
                packet, address = self.socket.recvfrom(2048)
            except TimeoutError:
                continue
            if address[2] != socket.PACKET_OUTGOING and packet[0] & 1 and packet[12:14] == b"\x08\x00" and packet[23] == 17:
                self.note(packet[42:])

    def note(self, frame):
        kind = frame[3] if len(frame) >= 18 and frame[:3] == b"\xc5\xcf\x01" else 0
        carries = kind in (CONTENT, PAGE, SYMBOL)
        if kind == HEAD:
            carries = len(frame) > 16 + int.from_bytes(frame[16:18], "little") + 64
            self.heads += not carries
        self.content += carries
        self.content_bytes += len(frame) if carries else 0

    def stop(self):
        self.is_done = True
        self.join()
        self.socket.close()


def publish(fleet, document):
    path = os.path.join(fleet.folder, "next.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    fleet.ctl("put", SCOPE, "-f", path, "--promote")
    fleet.wait_applied()
    return fleet.ctl_json("status", SCOPE)["version"]


def measure(fleet, name, document, rounds):
    frames, sizes, heads = [], [], []
    publish(fleet, document)
    time.sleep(SETTLE_S)
    for number in range(rounds):
        sniffer = Sniffer(fleet.consumers[-1].netns, fleets.PORT)
        sniffer.start()
        changed = dict(document, changed=f"{name} {number} {time.time_ns()}")
        publish(fleet, changed)
        time.sleep(SETTLE_S)
        sniffer.stop()
        for consumer in fleet.consumers:
            value = consumer.get("/changed")
            if value != json.dumps(changed["changed"]):
                raise fleets.FleetError(f"{consumer.id} has {value}")
        frames.append(sniffer.content)
        sizes.append(sniffer.content_bytes)
        heads.append(sniffer.heads)
    check_newcomer(fleet, changed)
    result = {"config": name, "json_bytes": len(json.dumps(document)), "content_frames": frames, "content_bytes": sizes, "plain_heads": heads}
    print(json.dumps(result), flush=True)
    return max(frames)


def check_newcomer(fleet, document):
    """Who holds nothing gets the whole of what went as a delta."""
    consumer = fleet.consumers[0]
    consumer.kill()
    shutil.rmtree(consumer.state_dir)
    consumer.start()
    fleets.wait_until("a newcomer has it", lambda: consumer.get("/changed") == json.dumps(document["changed"]))


def documents(folder):
    if folder is None:
        yield "generated", generated(700000)
        return
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as file:
            yield os.path.basename(path), json.load(file)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--consumers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    reason = fleets.testbed.why_not_here()
    if reason:
        print(reason)
        return fleets.testbed.EXIT_SKIP
    fleet = fleets.Fleet("onekey", SCOPE, consumer_count=options.consumers)
    if fleet.exists():
        fleet.down()
    try:
        fleet.up()
        worst = max(measure(fleet, name, document, options.rounds) for name, document in documents(options.data))
    except (fleets.FleetError, fleets.testbed.BedError) as error:
        print(f"FAILED: {error}")
        fleet.print_logs()
        return 1
    finally:
        fleet.down()
    return 1 if options.check and worst > CONTENT_FRAMES_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
