#!/usr/bin/env python3
"""Synced puts over HTTP: confcastd against etcd 3.4 on the same disk, by the same load client, in turns.

usage: perf/puts_bench.py [--clients 32] [--seconds 5] [--rounds 3] [--size 200] [--keys 1000] [--folder DIR]

Each round runs one store after the other, so that what the machine does meanwhile hits both: wrk with so many connections (kept alive,
one request in flight on each) puts documents of --size bytes under --keys names in turn.  confcastd: PUT /v1/config/..., which checks
the JSON, writes a revision and its audit entry, and answers when they are durable.  etcd: POST /v3/kv/put on its HTTP/JSON gateway,
with its defaults.  Both sync before they answer; wrk counts any status but 200 as an error, and an error ends the benchmark.
Prints one JSON line per run, and the ratio of the medians at the end.  Needs wrk and etcd-server (Debian).
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

LUA = r"""
local b = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
local function base64(data)
    return ((data:gsub('.', function(x)
        local r, c = '', x:byte()
        for i = 8, 1, -1 do r = r .. (c % 2 ^ i - c % 2 ^ (i - 1) > 0 and '1' or '0') end
        return r
    end) .. '0000'):gsub('%d%d%d?%d?%d?%d?', function(x)
        if #x < 6 then return '' end
        local c = 0
        for i = 1, 6 do c = c + (x:sub(i, i) == '1' and 2 ^ (6 - i) or 0) end
        return b:sub(c + 1, c + 1)
    end) .. ({ '', '==', '=' })[#data % 3 + 1])
end
local document = '{"limit":100,"name":"' .. string.rep('x', SIZE - 23) .. '"}'
local n = 0
local requests = {}
function init(args)
    for i = 0, KEYS - 1 do
        if ETCD then
            requests[i] = wrk.format('POST', '/v3/kv/put', { ['Content-Type'] = 'application/json' },
                '{"key":"' .. base64('bench/service/s' .. i) .. '","value":"' .. base64(document) .. '"}')
        else
            requests[i] = wrk.format('PUT', '/v1/config/bench/service/s' .. i,
                { ['Content-Type'] = 'application/json' }, document)
        end
    end
end
function request()
    n = n + 1
    return requests[n % KEYS]
end
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('RESULT {"requests":%d,"us":%d,"errors":%d,"p50_us":%d,"p99_us":%d}\n', summary.requests,
        summary.duration, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


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

    def __init__(self, folder, options):
        self.folder = os.path.join(folder, self.name)
        self.port = free_port()
        self.script = os.path.join(folder, f"{self.name}.lua")
        with open(self.script, "w", encoding="ascii") as file:
            file.write(f"local SIZE, KEYS, ETCD = {options.size}, {options.keys}, {str(self.name == 'etcd').lower()}\n")
            file.write(LUA)
        self.log = open(os.path.join(folder, f"{self.name}.log"), "wb")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log)
        wait_for(f"http://127.0.0.1:{self.port}{self.health}")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def load(self, options):
        command = ["wrk", "-t1", f"-c{options.clients}", f"-d{options.seconds}s", "-s", self.script,
                   f"http://127.0.0.1:{self.port}"]
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        result = json.loads(next(line for line in text.splitlines() if line.startswith("RESULT"))[7:])
        if result["errors"] or not result["requests"]:
            raise RuntimeError(f"{self.name}: {result}")
        return {"store": self.name, "puts_per_s": round(result["requests"] / result["us"] * 1e6),
                "p50_us": result["p50_us"], "p99_us": result["p99_us"]}


class Confcast(Store):
    name = "confcastd"
    health = "/readyz"

    def command(self):
        return [os.path.join(BUILD, "controlplane/app/confcastd"), "--data", self.folder, "--listen",
                f"127.0.0.1:{self.port}"]


class Etcd(Store):
    name = "etcd"
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
    for program in ("etcd", "wrk"):
        if shutil.which(program) is None:
            print(f"skipped: {program} is not installed")
            return 77
    folder = tempfile.mkdtemp(prefix="confcast-puts-", dir=options.folder)
    stores = []
    rates = {"confcastd": [], "etcd": []}
    try:
        stores = [Confcast(folder, options), Etcd(folder, options)]
        for _ in range(options.rounds):
            for store in stores:
                result = store.load(options)
                rates[store.name].append(result["puts_per_s"])
                print(json.dumps({**result, "clients": options.clients, "size": options.size}), flush=True)
        ours, theirs = (statistics.median(rates[store.name]) for store in stores)
        print(json.dumps({"bench": "puts", "clients": options.clients, "rounds": options.rounds, "confcastd_median": ours,
                          "etcd_median": theirs, "ratio": round(ours / theirs, 2)}))
    finally:
        for store in stores:
            store.stop()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
