#!/usr/bin/env python3
"""Synced puts: confcastd against etcd 3.4 on the same disk, by the same load generator, in turns.

usage: perf/puts_bench.py [--clients 32] [--seconds 5] [--rounds 3] [--size 200] [--keys 1000] [--folder DIR]

Each round runs one after the other, so that what the machine does meanwhile hits all of them; perf/puts_load.c (one thread of C, epoll,
the same work per put for each) puts documents of --size bytes under --keys names in turn, one request in flight per client:

  confcastd        PUT /v1/config/... over HTTP/1.1: checks the JSON, writes a revision and its audit entry, answers when they are durable
  confcastd-floor  GET /healthz: what HTTP alone costs here, without any put
  etcd-json        POST /v3/kv/put on etcd's HTTP/JSON gateway, which asks its own gRPC server: what etcd offers over HTTP
  etcd-grpc        etcdserverpb.KV/Put over gRPC, a connection per client
  etcd-grpc-1      the same, all clients on one connection: the fastest that etcd can be asked

etcd runs with its defaults.  All sync before they answer; any other answer than a success ends the benchmark.  server_us is the processor
time of the store's process per put, which other work on the machine disturbs least.  Prints one JSON line per run, and the ratios of the
medians at the end.  Needs etcd-server (Debian).
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("CFC_BUILD") or os.path.join(REPO, "build")
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(url):
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nobody answers at {url}")


class Store:
    """A store that runs: its process, its address, and the script that loads it."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, self.name)
        self.port = free_port()
        self.log = open(os.path.join(folder, f"{self.name}.log"), "wb")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log)
        wait_for(f"http://127.0.0.1:{self.port}{self.health}")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def cpu_us(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK_US

    def load(self, case, options):
        mode, streams = case.removesuffix("-1"), options.clients if case.endswith("-1") else 1
        before = self.cpu_us()
        command = [os.path.join(BUILD, "perf/puts_load"), mode, self.port, options.clients // streams, streams, options.seconds,
                   options.size, options.keys]
        result = json.loads(subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE).stdout)
        return {"case": case, "puts_per_s": round(result["puts"] / result["us"] * 1e6), "p50_us": result["p50_us"],
                "p99_us": result["p99_us"], "server_us": round((self.cpu_us() - before) / result["puts"], 1),
                "client_us": round(result["cpu_us"] / result["puts"], 1)}


class Confcast(Store):
    name = "confcastd"
    cases = ("confcastd", "confcastd-floor")
    health = "/readyz"

    def command(self):
        return [os.path.join(BUILD, "controlplane/app/confcastd"), "--data", self.folder, "--listen",
                f"127.0.0.1:{self.port}"]


class Etcd(Store):
    name = "etcd"
    cases = ("etcd-json", "etcd-grpc", "etcd-grpc-1")
    health = "/health"

    def command(self):
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_port()}"
        return ["etcd", "--data-dir", self.folder, "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name, value in (("clients", 32), ("seconds", 5), ("rounds", 3), ("size", 200), ("keys", 1000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", help="where both keep their data (the folder for temporary files)")
    options = parser.parse_args()
    if shutil.which("etcd") is None:
        print("skipped: etcd is not installed")
        return 77
    folder = tempfile.mkdtemp(prefix="confcast-puts-", dir=options.folder)
    stores = []
    try:
        stores = [Confcast(folder), Etcd(folder)]
        runs = {case: [] for store in stores for case in store.cases}
        for _ in range(options.rounds):
            for store, case in ((store, case) for store in stores for case in store.cases):
                result = store.load(case, options)
                runs[case].append(result)
                print(json.dumps({**result, "clients": options.clients, "size": options.size}), flush=True)
        for key, sign in (("puts_per_s", 1), ("server_us", -1)):
            medians = {case: statistics.median(run[key] for run in results) for case, results in runs.items()}
            ratios = {case: round((medians["confcastd"] / value) ** sign, 2) for case, value in medians.items()}
            print(json.dumps({"bench": f"puts, {key}", "rounds": options.rounds, "medians": medians, "confcastd_to": ratios}))
    finally:
        for store in stores:
            store.stop()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
