"""How much of what a PMD can carry the engine uses: bench_engine on each, against a bare loop that fills the same frames in the same process, with
listeners on the other side.

net_null has cycles of our own per frame through the whole path (schedule, header, pace, zero copy); "paced" is the same with small symbols and the
token bucket on, so that pacing is in the path and the cap is not what limits.  On net_memif dpdk-testpmd receives.  net_af_packet and net_af_xdp
send over a veth pair to a kernel socket.

What dpdk-testpmd (txonly, two segments where the PMD takes them) gets out of the same port stands beside it, measured before and after ours.  It
sends the bytes of few mbufs again and again, which stay in its cache, where an engine reads each byte of a content once.  "payload in cache" is the
engine with contents that all are the same 64 KB."""

import json
import os
import shutil
import socket
import subprocess
import time

from harness.rows import OURS, Figure, Goal, Row, RowError, Sample, json_lines
from harness.topology import PREFIX, testbed

CACHED = ("--megabytes", 1, "--scopes", 16, "--rounds", 40)  # contents of 64 KB
VISIT_ROUNDS, VISIT_S = 3, 0.2  # of a dpdk-testpmd that sends
SYMBOL = 1440
HEADER = 66  # Ethernet, IPv4, UDP, symbol
MEMIF = ("The bare loop, which fills the same frames without any protocol, takes {=;whole;bare loop} on this port, the engine {=;whole;ours}; testpmd sends the "
         "same bytes again and again, which its copy into shared memory finds in the cache.")
KERNEL = ("Of {=;whole;ours} that a frame takes on this port, the bare loop takes {=;whole;bare loop}: the kernel's way from the port to a socket, which differs from "
          "round to round by more than the engine's own cost ({net_null;own;ours} where there is no kernel).")
CHAINED, LINEAR = f"--txpkts={HEADER},{SYMBOL}", f"--txpkts={HEADER + SYMBOL}"
START_S = 30
BASE, GROUPS, PORT = "239.77.0.0", "17", "7500"
TO_LISTENER = ("--eth-peer=0,01:00:5e:4d:00:00", f"--tx-ip=10.77.0.1,{BASE}", f"--tx-udp={PORT},{PORT}")  # testpmd's


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

    def testpmd(self, number, role, device, mode, *args, prefix=()):
        """dpdk-testpmd on core `number`.  Its main thread waits for a key and takes no time."""
        command = [*prefix, self.ctx.tool("dpdk-testpmd", "dpdk"), "--lcores", f"0@{number},1@{number}", "--no-huge", "--no-shconf", "-m", "128",
                   "--no-pci", f"--file-prefix={self.prefix(role)}", "--iova-mode=va", f"--vdev={device}",
                   "--", f"--forward-mode={mode}", "--total-num-mbufs=8192", "--auto-start", *args]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def sent(self, role):
        """Packets that a testpmd has sent, and when."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(f"/var/run/dpdk/{self.prefix(role)}/dpdk_telemetry.v2")
            sock.recv(16384)
            sock.send(b"/ethdev/stats,0")
            count = json.loads(sock.recv(65536))["/ethdev/stats"]["opackets"]
            return count, time.monotonic()

    def await_sending(self, role):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                if self.sent(role)[0] > 0:
                    return
            except (OSError, ValueError, KeyError, TypeError):  # it is not ready to answer
                pass
            time.sleep(0.05)
        raise RowError("dpdk-testpmd sends nothing")

    def memif_server(self):
        """A dpdk-testpmd that receives on the second core; a new one for each that sends, since it does not outlive a memif that is closed."""
        path = f"{self.folder}/memif.sock"
        for child in self.children:
            child.kill()
            child.wait()
        if os.path.exists(path):
            os.unlink(path)
        self.testpmd(1, "server", self.memif_device("server"), "rxonly")
        deadline = time.monotonic() + START_S
        while not os.path.exists(path):
            if time.monotonic() > deadline:
                raise RowError("dpdk-testpmd makes no memif")
            time.sleep(0.05)
        time.sleep(0.5)

    def testpmd_rates(self, device, *args, prefix=()):
        """Mpps of a dpdk-testpmd that sends as fast as it can on the first core."""
        sender = self.testpmd(0, "client", device, "txonly", *args, prefix=prefix)
        self.await_sending("client")
        rates = []
        for _ in range(self.ctx.rounds(VISIT_ROUNDS, 3 * VISIT_ROUNDS)):
            (before, begin), _, (after, end) = self.sent("client"), time.sleep(VISIT_S), self.sent("client")
            if after > before:  # else its receiver had no turn
                rates.append((after - before) / (end - begin) / 1e6)
        testbed.end_processes({sender.pid})
        sender.wait()
        return rates

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
             Goal("rate", ">=", 0.85, "dpdk-testpmd", "net_memif*", bound=MEMIF), Goal("rate", ">=", 0.95, "bare loop", "net_af_packet", bound=KERNEL),
             Goal("rate", ">=", 0.95, "bare loop", "net_af_xdp", bound=KERNEL))
    seconds = 45

    def run(self, ctx):
        cases = {"net_null": self.null, "net_null, paced": self.paced, "net_memif": self.memif, "net_memif, payload in cache": self.memif_cached,
                 "net_af_packet": self.af_packet, "net_af_xdp": self.af_xdp}
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

    def beside_testpmd(self, case, bench, args, testpmd_args, prefix=(), prepare=lambda: None):
        """The engine, and dpdk-testpmd before and after it.  `prepare` is called before each."""
        prepare()
        rates = bench.testpmd_rates(*testpmd_args, prefix=prefix)
        prepare()
        printed = bench.engine(*args, prefix=prefix, lcore=0)
        prepare()
        rates += bench.testpmd_rates(*testpmd_args, prefix=prefix)
        samples = list(self.samples(case, printed))
        yield from samples
        ours = next(sample.value for sample in samples if sample.figure == "rate" and sample.side == OURS)
        if not rates:
            raise RowError("dpdk-testpmd sends nothing")
        rates.sort()
        middle = rates[len(rates) // 2]
        yield Sample(case, "rate", "dpdk-testpmd", middle, (rates[0], rates[-1]), (ours / middle, ours / rates[-1], ours / rates[0]))

    def null(self, case, bench):
        yield from self.beside_testpmd(case, bench, (), ("net_null0,no-rx=1", CHAINED))

    def paced(self, case, bench):
        yield from self.samples(case, bench.engine("--symbol", "400", "--rate", "128000"))

    def memif(self, case, bench, args=()):
        device = bench.memif_device("client")
        yield from self.beside_testpmd(case, bench, ("--vdev", device, *args), (device, CHAINED), prepare=bench.memif_server)

    def memif_cached(self, case, bench):
        yield from self.memif(case, bench, CACHED)

    def af_packet(self, case, bench):
        yield from self.beside_testpmd(case, bench, ("--port", "eth0"), ("net_af_packet0,iface=eth0,framesz=2048,blocksz=4096,framecnt=1024", CHAINED,
                                       *TO_LISTENER), bench.veth())

    def af_xdp(self, case, bench):
        prefix = bench.veth()
        yield from self.beside_testpmd(case, bench, ("--port", "net_af_xdp:eth0"), ("net_af_xdp0,iface=eth0,busy_budget=0", LINEAR, *TO_LISTENER),
                                       prefix, lambda: testbed.run([*prefix, "ip", "link", "set", "eth0", "xdp", "off"]))


ROWS = [Engine()]
