#!/usr/bin/env python3
"""How long others wait while a big document is put and promoted.

usage: perf/promote_bench.py [--size-mb 60] [--rounds 3] [--folder DIR]

A thread puts and promotes a document of so many megabytes (27 bytes a value); another one meanwhile asks for the status of a small scope
and puts into it, in turn, every 5 ms, each on a connection of its own.  Prints one JSON line per phase and round: how long the big request
took, and the median and the longest of the small ones during it; "idle" is the same without a big request.
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("CFC_BUILD") or os.path.join(REPO, "build")
VALUE_SIZE = 27


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Client:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, method, path, body=None):
        begin = time.monotonic()
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]}")
        return time.monotonic() - begin


class Others(threading.Thread):
    """Small requests until it is told to stop."""

    def __init__(self, port):
        super().__init__()
        self.client = Client(port)
        self.seconds = []
        self.is_over = threading.Event()

    def run(self):
        n = 0
        while not self.is_over.wait(0.005):
            n += 1
            if n % 2:
                self.seconds.append(self.client.ask("PUT", "/v1/config/small/scope", json.dumps({"n": n})))
            else:
                self.seconds.append(self.client.ask("GET", "/v1/status/small/scope"))


def measure(name, port, work):
    others = Others(port)
    others.start()
    begin = time.monotonic()
    work()
    took = time.monotonic() - begin
    others.is_over.set()
    others.join()
    print(json.dumps({"phase": name, "took_ms": round(took * 1e3), "others": len(others.seconds),
                      "others_p50_ms": round(statistics.median(others.seconds) * 1e3, 2),
                      "others_max_ms": round(max(others.seconds) * 1e3, 1)}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--size-mb", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where the data is kept (the folder for temporary files)")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="confcast-promote-", dir=options.folder)
    port = free_port()
    with open(os.path.join(folder, "log"), "wb") as log:
        daemon = subprocess.Popen([os.path.join(BUILD, "controlplane/app/confcastd"), "--data", os.path.join(folder, "data"), "--listen",
                                   f"127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        for _ in range(200):
            try:
                Client(port).ask("GET", "/readyz")
                break
            except OSError:
                time.sleep(0.05)
        client = Client(port)
        client.ask("PUT", "/v1/config/small/scope", "{}")
        count = options.size_mb * 1000000 // VALUE_SIZE
        for n in range(options.rounds):
            document = "{" + ",".join(f'"key{i:07d}":"{i + n:012d}"' for i in range(count)) + "}"
            measure("idle", port, lambda: time.sleep(2))
            measure("put", port, lambda: client.ask("PUT", "/v1/config/big/scope", document))
            measure("promote", port, lambda: client.ask("POST", "/v1/release/big/scope", '{"action":"promote"}'))
    finally:
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
