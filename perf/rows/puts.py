"""Synced puts: confcastd against etcd 3.4 on the same disk, by the same load generator, in turns.

perf/puts_load.c (one thread of C, epoll, the same work per put for each) puts documents of 200 bytes under 1,000 names in turn, one request in
flight per client:

  ours                  PUT /v1/config/... over HTTP/1.1: checks the JSON, writes a revision and its audit entry, answers when they are durable
  HTTP alone            GET /healthz of confcastd: what HTTP costs here, without any put
  etcd, HTTP/JSON       POST /v3/kv/put on etcd's gateway, which asks its own gRPC server: what etcd offers over HTTP
  etcd, gRPC            etcdserverpb.KV/Put, a connection per client
  etcd, gRPC, 1 conn.   the same, all clients on one connection: the fastest that etcd can be asked

etcd runs with its defaults.  All sync before they answer; any other answer than a success ends the row.  "store CPU" is the processor time of the
store's process per put, which other work on the machine disturbs least."""

import os
import subprocess
import time
import urllib.request

from harness.rows import OURS, Figure, Goal, Row, RowError, Sample, json_lines
from harness.sockets import free_port
from harness.topology import cpu_ns_of, testbed

CLIENTS, SIZE, KEYS = 32, 200, 1000
SYNCED = ("HTTP that does nothing gives {=;puts;HTTP alone} here, so HTTP is not the bound. A put takes {=;store CPU;ours} of the store, one of etcd's gateway "
          "{=;store CPU;etcd, HTTP/JSON}, one over gRPC {=;store CPU;etcd, gRPC}; the load generator and the store share two cores, and both stores wait for the "
          "same disk's syncs.")


def wait_for(url):
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
                return
        except OSError:
            time.sleep(0.05)
    raise RowError(f"nobody answers at {url}")


class Store:
    """A store that runs: its process, its address, and how it is loaded."""

    def __init__(self, ctx, folder):
        self.ctx = ctx
        self.folder = os.path.join(folder, self.name)
        self.port = free_port()
        self.log = open(os.path.join(folder, f"{self.name}.log"), "wb")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log)
        wait_for(f"http://127.0.0.1:{self.port}{self.health}")

    def stop(self):
        testbed.end_processes({self.process.pid})
        self.process.wait()
        self.log.close()

    def load(self, mode, streams, seconds, clients=CLIENTS):
        """(requests per second, their p50 in ms, microseconds of the store's processor time for each)"""
        before = cpu_ns_of(self.process.pid)
        result = json_lines([self.ctx.program("puts_load"), mode, self.port, clients // streams, streams, seconds, SIZE, KEYS])[-1]
        return result["puts"] / result["us"] * 1e6, result["p50_us"] / 1e3, (cpu_ns_of(self.process.pid) - before) / 1e3 / result["puts"]


class Confcast(Store):
    name = "confcastd"
    health = "/readyz"

    def command(self):
        return [self.ctx.built("controlplane/app/confcastd"), "--data", self.folder, "--listen", f"127.0.0.1:{self.port}"]


class Etcd(Store):
    name = "etcd"
    health = "/health"

    def command(self):
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_port()}"
        return [self.ctx.tool("etcd", "etcd-server"), "--data-dir", self.folder, "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]


class Puts(Row):
    name = "puts"
    title = "synced puts of 200 bytes by 32 clients, beside etcd on the same disk"
    figures = (Figure("puts", "1/s"), Figure("p50", "ms"), Figure("store CPU", "us/put"))
    goals = (Goal("puts", ">=", 4, "etcd, HTTP/JSON", bound=SYNCED),)
    seconds = 15

    def run(self, ctx):
        turns = ((OURS, Confcast, "confcastd", 1), ("HTTP alone", Confcast, "confcastd-floor", 1), ("etcd, HTTP/JSON", Etcd, "etcd-json", 1),
                 ("etcd, gRPC", Etcd, "etcd-grpc", 1), ("etcd, gRPC, 1 conn.", Etcd, "etcd-grpc", CLIENTS))
        case = f"{CLIENTS} clients"
        with ctx.folder() as folder:
            stores = {}
            try:
                for kind in (Confcast, Etcd):
                    stores[kind] = kind(ctx, folder)
                for _ in range(ctx.rounds(1, 5)):
                    for side, kind, mode, streams in turns:
                        rate, p50, cpu = stores[kind].load(mode, streams, ctx.rounds(2, 3))
                        yield Sample(case, "puts", side, rate)
                        yield Sample(case, "p50", side, p50)
                        yield Sample(case, "store CPU", side, cpu)
            finally:
                for store in stores.values():
                    store.stop()


ROWS = [Puts()]
