"""How much of what a PMD can carry the engine uses: bench_engine on each, against a bare loop that fills the same frames in the same process, with
listeners on the other side.

net_null has cycles of our own per frame through the whole path (schedule, header, pace, zero copy); "paced" is the same with small symbols and the
token bucket on, so that pacing is in the path and the cap is not what limits.  On net_memif dpdk-testpmd receives, and what it gets from
another dpdk-testpmd (txonly, two segments) stands beside it.  net_af_packet and net_af_xdp send over a veth pair to a kernel socket."""

import json
import os
import shutil
import socket
import subprocess
import time

from harness.rows import OURS, Figure, Goal, Row, Sample, json_lines
from harness.topology import PREFIX, testbed

SYMBOL = 1440
HEADER = 66  # Ethernet, IPv4, UDP, symbol
MEMIF = ("The bare loop, which fills the same frames without any protocol, takes {=;whole;bare loop} on this port, the engine {=;whole;ours}; testpmd sends the "
         "same bytes again and again, which its copy into shared memory finds in the cache.")
KERNEL = ("Of {=;whole;ours} that a frame takes on this port, the bare loop takes {=;whole;bare loop}: the kernel's way from the port to a socket, which differs from "
          "round to round by more than the engine's own cost ({net_null;own;ours} where there is no kernel).")
BASE, GROUPS, PORT = "239.77.0.0", "17", "7500"


class Bench:
    """One PMD's surroundings."""

    def __init__(self, ctx, folder):
        self.ctx = ctx
        self.folder = folder
        self.children = []
        self.namespaces = []

    def close(self):
        for child in self.children:
            if child.poll() is None:
                testbed.end_processes({child.pid})
            child.wait()
            if child.stdin:
                child.stdin.close()
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False)
        for role in ("server", "client"):
            shutil.rmtree(f"/var/run/dpdk/{self.prefix(role)}", ignore_errors=True)

    def engine(self, *args, prefix=(), lcore=None):
        command = [*prefix, self.ctx.program("bench_engine"), "--rounds", self.ctx.rounds(5, 15), "--megabytes", self.ctx.rounds(8, 16), *args]
        return json_lines(command + (["--lcore", lcore] if lcore is not None else []))

    def prefix(self, role):
        return f"{PREFIX}{os.getpid()}{role}"

    def memif_device(self, role):
        return f"net_memif0,role={role},socket={self.folder}/memif.sock,socket-abstract=no,bsize=2048,rsize=10"

    def testpmd(self, number, role, mode, *args):
        """dpdk-testpmd on core `number`.  Its main thread waits for a key and takes no time."""
        command = [self.ctx.tool("dpdk-testpmd", "dpdk"), "--lcores", f"0@{number},1@{number}", "--no-huge", "--no-shconf", "-m", "128", "--no-pci",
                   f"--file-prefix={self.prefix(role)}", "--iova-mode=va", f"--vdev={self.memif_device(role)}",
                   "--", f"--forward-mode={mode}", "--total-num-mbufs=8192", "--auto-start", *args]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.children.append(child)
        time.sleep(1.5)
        return child

    def sent(self, role):
        """Packets that a testpmd has sent, and when."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(f"/var/run/dpdk/{self.prefix(role)}/dpdk_telemetry.v2")
            sock.recv(16384)
            sock.send(b"/ethdev/stats,0")
            count = json.loads(sock.recv(65536))["/ethdev/stats"]["opackets"]
            return count, time.monotonic()

    def veth(self):
        """A veth pair between two namespaces; a socket in all groups reads at the far end."""
        near, far = f"{PREFIX}{os.getpid()}-a", f"{PREFIX}{os.getpid()}-b"
        for name in (near, far):
            testbed.run(["ip", "netns", "add", name])
            self.namespaces.append(name)
        testbed.run(["ip", "-batch", "-"], f"link add eth0 netns {near} type veth peer name eth0 netns {far}\n")
        for name, address in ((near, "10.77.0.1"), (far, "10.77.0.2")):
            batch = [f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up", "route add 224.0.0.0/4 dev eth0"]
            testbed.run(["ip", "-n", name, "-batch", "-"], "\n".join(batch) + "\n")
        self.children.append(subprocess.Popen(["ip", "netns", "exec", far, "taskset", "-c", "1", self.ctx.program("bench_listener"), BASE, GROUPS,
                                               PORT, "eth0"], stderr=subprocess.DEVNULL))
        time.sleep(0.5)
        return ["ip", "netns", "exec", near]


class Engine(Row):
    name = "engine"
    title = "the engine's own cost per frame and its rate, by PMD, beside a bare loop on the same PMD and dpdk-testpmd"
    figures = (Figure("own", "cycles/frame"), Figure("whole", "cycles/frame"), Figure("rate", "Mpps"))
    goals = (Goal("own", "<=", 120, None, "net_null"), Goal("rate", ">=", 10, None, "net_null"),
             Goal("rate", ">=", 0.85, "dpdk-testpmd", bound=MEMIF), Goal("rate", ">=", 0.95, "bare loop", "net_af_packet", bound=KERNEL),
             Goal("rate", ">=", 0.95, "bare loop", "net_af_xdp", bound=KERNEL))
    seconds = 30

    def run(self, ctx):
        cases = {"net_null": self.null, "net_null, paced": self.paced, "net_memif": self.memif, "net_af_packet": self.af_packet,
                 "net_af_xdp": self.af_xdp}
        for case, measure in cases.items():
            if not ctx.wants(case):
                continue
            with ctx.folder() as folder:
                bench = Bench(ctx, folder)
                try:
                    yield from measure(case, bench)
                finally:
                    bench.close()
            ctx.log(case)

    @staticmethod
    def samples(case, printed):
        by_name = {(p["case"], p["unit"]): (p["median"], p["min"], p["max"]) for p in printed}
        own, whole = by_name["own = engine - bare loop", "cycles/frame"], by_name["engine", "cycles/frame"]
        bare, rate = by_name["bare loop", "cycles/frame"], by_name["engine", "Mpps"]
        ratio = by_name["engine / bare loop", "ratio"]  # of rates
        yield Sample(case, "own", OURS, own[0], own[1:])
        yield Sample(case, "whole", OURS, whole[0], whole[1:])
        yield Sample(case, "whole", "bare loop", bare[0], bare[1:], (1 / ratio[0], 1 / ratio[2], 1 / ratio[1]))
        yield Sample(case, "rate", OURS, rate[0], rate[1:])
        yield Sample(case, "rate", "bare loop", rate[0] / ratio[0], None, ratio)

    def null(self, case, bench):
        yield from self.samples(case, bench.engine())

    def paced(self, case, bench):
        yield from self.samples(case, bench.engine("--symbol", "400", "--rate", "128000"))

    def memif(self, case, bench):
        bench.testpmd(1, "server", "rxonly")
        sender = bench.testpmd(0, "client", "txonly", f"--txpkts={HEADER},{SYMBOL}")
        rates = []
        for _ in range(bench.ctx.rounds(5, 15)):
            (before, begin), _, (after, end) = bench.sent("client"), time.sleep(0.2), bench.sent("client")
            rates.append((after - before) / (end - begin) / 1e6)
        sender.kill()
        sender.wait()
        time.sleep(0.5)
        yield from self.samples(case, bench.engine("--vdev", bench.memif_device("client"), lcore=0))
        rates.sort()
        yield Sample(case, "rate", "dpdk-testpmd", rates[len(rates) // 2], (rates[0], rates[-1]))

    def af_packet(self, case, bench):
        yield from self.samples(case, bench.engine("--port", "eth0", prefix=bench.veth(), lcore=0))

    def af_xdp(self, case, bench):
        yield from self.samples(case, bench.engine("--port", "net_af_xdp:eth0", prefix=bench.veth(), lcore=0))


ROWS = [Engine()]
