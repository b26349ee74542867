#!/usr/bin/env python3
"""How much of what a PMD can carry the engine uses: bench_engine on each, against a bare loop in the same process and
listeners on the other side.

usage: perf/engine_bench.py [null] [paced] [memif] [af_packet] [af_xdp] [--rounds 15] [--megabytes 16] [--build DIR]

null       net_null: cycles of our own per frame through the whole path (schedule, header, pace, zero copy)
paced      net_null with small symbols and the token bucket on, so that pacing is in the path and the cap is not what limits
memif      two processes: dpdk-testpmd receives; what it gets from another dpdk-testpmd (txonly, two segments) stands beside it
af_packet  veth pair in namespaces of its own; the listener is a kernel socket that reads with recvmmsg
af_xdp     likewise, with our XDP program

Prints one JSON line per result.  Needs root; see scripts/setup.  Everything runs on this machine: give it two free cores.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SYMBOL = 1440
HEADER = 66  # Ethernet, IPv4, UDP, symbol


def show(result):
    print(json.dumps(result), flush=True)


class Bench:
    def __init__(self, args):
        self.args = args
        self.program = os.path.join(args.build, "perf/bench_engine")
        self.folder = tempfile.mkdtemp(prefix="cfc-bench-")
        self.children = []
        self.namespaces = []

    def close(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False)
        for role in ("server", "client"):
            shutil.rmtree(f"/var/run/dpdk/{self.prefix(role)}", ignore_errors=True)
        shutil.rmtree(self.folder)

    def engine(self, case, *args, prefix=(), lcore=None):
        command = [*prefix, self.program, "--rounds", str(self.args.rounds), "--megabytes", str(self.args.megabytes), *args]
        command += ["--lcore", str(lcore)] if lcore is not None else []
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}:\n{done.stderr}")
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                show({"pmd": case} | json.loads(line))

    def null(self):
        self.engine("net_null")

    def paced(self):
        self.engine("net_null, paced", "--symbol", "400", "--rate", "128000")

    def testpmd(self, number, role, mode, *args):
        """dpdk-testpmd on core `number`.  Its main thread waits for a key and takes no time."""
        command = ["dpdk-testpmd", "--lcores", f"0@{number},1@{number}", "--no-huge", "--no-shconf", "-m", "128", "--no-pci",
                   f"--file-prefix={self.prefix(role)}", "--iova-mode=va", f"--vdev={self.memif_device(role)}",
                   "--", f"--forward-mode={mode}", "--total-num-mbufs=8192", "--auto-start", *args]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.children.append(child)
        time.sleep(1.5)
        return child

    def prefix(self, role):
        return f"cfcbench{os.getpid()}{role}"

    def memif_device(self, role):
        return f"net_memif0,role={role},socket={self.folder}/memif.sock,socket-abstract=no,bsize=2048,rsize=10"

    def sent(self, role):
        """Packets that a testpmd has sent, and when."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(f"/var/run/dpdk/{self.prefix(role)}/dpdk_telemetry.v2")
            sock.recv(16384)
            sock.send(b"/ethdev/stats,0")
            count = json.loads(sock.recv(65536))["/ethdev/stats"]["opackets"]
            return count, time.monotonic()

    def memif(self):
        self.testpmd(1, "server", "rxonly")
        sender = self.testpmd(0, "client", "txonly", f"--txpkts={HEADER},{SYMBOL}")
        rates = []
        for _ in range(self.args.rounds):
            (before, begin), _, (after, end) = self.sent("client"), time.sleep(0.2), self.sent("client")
            rates.append((after - before) / (end - begin) / 1e6)
        sender.kill()
        sender.wait()
        self.children.remove(sender)
        rates.sort()
        show({"pmd": "net_memif", "bench": "testpmd", "case": "txonly, two segments", "unit": "Mpps", "rounds": len(rates),
              "min": round(rates[0], 3), "median": round(rates[len(rates) // 2], 3), "max": round(rates[-1], 3)})
        time.sleep(0.5)
        self.engine("net_memif", "--vdev", self.memif_device("client"), lcore=0)

    def veth(self):
        """A veth pair between two namespaces; a socket in all groups reads at the far end."""
        near, far = f"cfcbench{os.getpid()}a", f"cfcbench{os.getpid()}b"
        for name in (near, far):
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.namespaces.append(name)
        batch = [f"link add eth0 netns {near} type veth peer name eth0 netns {far}"]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(batch), text=True, check=True)
        for name, address in ((near, "10.77.0.1"), (far, "10.77.0.2")):
            batch = [f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up", "route add 224.0.0.0/4 dev eth0"]
            subprocess.run(["ip", "-n", name, "-batch", "-"], input="\n".join(batch), text=True, check=True)
        self.children.append(subprocess.Popen(["ip", "netns", "exec", far, "taskset", "-c", "1",
                                               os.path.join(self.args.build, "perf/bench_listener"), "239.77.0.0", "17", "7500",
                                               "eth0"]))
        time.sleep(0.5)
        return ["ip", "netns", "exec", near]

    def af_packet(self):
        self.engine("net_af_packet", "--port", "eth0", prefix=self.veth(), lcore=0)

    def af_xdp(self):
        self.engine("net_af_xdp", "--port", "net_af_xdp:eth0", prefix=self.veth(), lcore=0)


def main():
    cases = ["null", "paced", "memif", "af_packet", "af_xdp"]
    parser = argparse.ArgumentParser(usage="\n".join(__doc__.splitlines()[3:4])[7:])
    parser.add_argument("cases", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--megabytes", type=int, default=16)
    parser.add_argument("--build", default=os.path.join(REPO, "build"))
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("engine_bench: needs root", file=sys.stderr)
        return 77
    for case in args.cases or cases:
        if case not in cases:
            parser.error(f"{case}: one of {' '.join(cases)}")
        bench = Bench(args)
        try:
            getattr(bench, case)()
        finally:
            bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
