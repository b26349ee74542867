#!/usr/bin/env python3
"""Bytes and time of a pull: each revision of real configurations as a delta against the one before, against the whole, in one run.

usage: perf/pull_bench.py [--revisions 40] [--rounds 3] [--pollers 1000]

A real confcastd --pull without an engine; each revision of ../shared/data (or of the repository's examples where that is not there) is
promoted and then asked for twice with GET /v1/snapshot: once by a consumer that holds nothing, once by one that holds the revision before.
Bytes are those of the answer's body: FRESH, HEAD and the frames of the content.  The milliseconds are from the request to the last byte
on loopback when the coding is there already (the median of --rounds), since a fleet asks for the same.  One JSON line per chain.

Then --pollers requests wait at once for one scope, and a change of 20 KB is released: the milliseconds from the release's answer until the
first and the last of them have the whole answer (one thread of Python reads them all), and what the waiting costs the daemon: threads,
and resident bytes each.
"""

import argparse
import json
import os
import selectors
import shutil
import socket
import statistics
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("CFC_BUILD") or os.path.join(REPO, "build")
os.environ.setdefault("CONFCASTD", os.path.join(BUILD, "controlplane/app/confcastd"))
os.environ.setdefault("CONFCASTCTL", os.path.join(BUILD, "controlplane/ctl/confcastctl"))
os.environ.setdefault("CONFCAST_AGENT", os.path.join(BUILD, "consumer/app/confcast-agent"))
sys.path.insert(0, os.path.join(REPO, "tests/integration"))
import test_pull as pull  # noqa: E402
from control import Daemon, ctl  # noqa: E402


def ask(consumer, target, rounds):
    """The answer's bytes, and the median milliseconds of asking again."""
    body = consumer.request("GET", target).body
    took = []
    for _ in range(rounds):
        start = time.monotonic()
        assert consumer.request("GET", target).body
        took.append((time.monotonic() - start) * 1000)
    return body, statistics.median(took)


def measure(daemon, consumer, name, documents, rounds):
    scope = f"acme/{name}"
    base = None
    whole, delta, whole_ms, delta_ms = [], [], [], []
    for document in documents:
        reply = daemon.request("PUT", f"/v1/config/{scope}", document, unix=True)
        assert reply.status == 200, reply
        reply = daemon.request("POST", f"/v1/release/{scope}", {"action": "promote"}, unix=True)
        assert reply.status == 200, reply
        target = f"/v1/snapshot/{scope}?after=0"
        version = reply.json["version"]
        while True:  # until the publisher has signed it
            body, ms = ask(consumer, target, rounds)
            head = next((frame for kind, frame in pull.frames(body) if kind == pull.HEAD), None)
            if head and int.from_bytes(head[40:48], "little") >= version:
                break
        content = next((frame for kind, frame in pull.frames(body) if kind == pull.CONTENT), None)
        if base and content:
            changed, changed_ms = ask(consumer, f"{target}&have={base}", rounds)
            whole.append(len(body))
            delta.append(len(changed))
            whole_ms.append(ms)
            delta_ms.append(changed_ms)
        base = content[56:88].hex() if content else None
    if whole:
        print(json.dumps({"bench": "pull", "chain": name, "revisions": len(whole), "rounds": rounds,
                          "json_bytes_median": statistics.median(len(json.dumps(d, separators=(",", ":"))) for d in documents),
                          "whole_bytes": [min(whole), statistics.median(whole), max(whole)],
                          "delta_bytes": [min(delta), statistics.median(delta), max(delta)],
                          "delta_to_whole": round(sum(delta) / sum(whole), 4),
                          "whole_ms": round(statistics.median(whole_ms), 2),
                          "delta_ms": round(statistics.median(delta_ms), 2)}), flush=True)


def of_process(daemon, key):
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
        return int(next(line.split()[1] for line in file if line.startswith(key + ":")))


def publish(daemon, scope, document):
    for method, path, body in (("PUT", f"/v1/config/{scope}", document), ("POST", f"/v1/release/{scope}", {"action": "promote"})):
        reply = daemon.request(method, path, body, unix=True)
        assert reply.status == 200, reply
    return reply.json["version"]


def read_all(sockets):
    """Milliseconds until each has its whole answer."""
    start = time.monotonic()
    took = []
    selector = selectors.DefaultSelector()
    for sock in sockets:
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, bytearray())
    while len(took) < len(sockets):
        for key, _ in selector.select(30):
            key.data.extend(key.fileobj.recv(1 << 16))
            head, blank, body = bytes(key.data).partition(b"\r\n\r\n")
            if blank:
                assert head.startswith(b"HTTP/1.1 200"), head
                size = int(head.lower().partition(b"content-length:")[2].split()[0])
                if len(body) >= size:
                    took.append((time.monotonic() - start) * 1000)
                    selector.unregister(key.fileobj)
    return sorted(took)


def crowd(daemon, consumer, count):
    scope = "acme/crowd"
    version = publish(daemon, scope, {"text": os.urandom(10000).hex()})
    target = f"/v1/snapshot/{scope}?after={version}&wait_s=60"
    pull.wait_until(lambda: len(consumer.request("GET", target.replace("wait_s=60", "wait_s=0")).body) > 0)
    idle = of_process(daemon, "VmRSS"), of_process(daemon, "Threads")
    sockets = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", daemon.port))
        header = consumer.header("GET", target)["Authorization"]
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n\r\n".encode())
        sockets.append(sock)
    time.sleep(1)
    waiting = of_process(daemon, "VmRSS"), of_process(daemon, "Threads")
    publish(daemon, scope, {"text": os.urandom(10000).hex()})
    took = read_all(sockets)
    print(json.dumps({"bench": "pull_crowd", "pollers": count, "first_ms": round(took[0], 1), "last_ms": round(took[-1], 1),
                      "threads_added": waiting[1] - idle[1], "bytes_each": (waiting[0] - idle[0]) * 1024 // count}), flush=True)
    for sock in sockets:
        sock.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revisions", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pollers", type=int, default=1000)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="confcast-pull-bench-")
    keys = os.path.join(folder, "keys")
    try:
        assert ctl("key", "init", "--dir", keys, "--engine", "127.0.0.1").returncode == 0
        daemon = Daemon(folder, "--keys", keys, "--pull", "--rate-limit", "1000000", "--connections",
                        str(2 * args.pollers + 64)).start()
        try:
            consumer = pull.RawConsumer(daemon, folder, "bench", keys).greet()
            for name, documents in pull.chains(args.revisions):
                measure(daemon, consumer, name, documents, args.rounds)
            crowd(daemon, consumer, args.pollers)
        finally:
            daemon.stop()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
