"""Where the time goes, by stage: samples of the processor's clock (perf record), told by what the code is for, and in cycles of each frame.

Two runs.  bench_engine alone on net_null, where nothing but the engine's own path is left.  And the engine and one consumer while 64 MiB go to 4
receivers: there, a stage's cycles are its share of the samples, of the processor time that the kernel counts for the process, by the frames that the
engine sent meanwhile (all of which each consumer receives).  Sampling costs nothing where it is not done, and where it is done it does not lie about
stages of a few cycles, as reading the clock around each of them would.  Hardware counters are not there on a virtual machine; callgrind's counts of
the hot paths are in perf/guard."""

import glob
import os
import re
import subprocess
import time

from harness import machine
from harness.ours import METRICS, TOLD_EVERY_S, Ours
from harness.rows import OURS, Figure, Row, RowError, Sample, json_lines
from harness.side import OBJECT, Payloads
from rows.object import SIZE

RECEIVERS = 4
RATE_HZ = 1999
ALONE_RATE_HZ = 9999
START_MS = 400  # of bench_engine: EAL, memory
# The first that fits a line "DSO SYMBOL" counts.  Code without a symbol table goes by its library.
OWN_STAGES = (
    ("pacing", r"cfc_(pacer|budget|fleet_loss)"),
    ("headers", r"cfc_(symbol_header|page_encode|net_template|frame_begin|\w+_encode)|cfc_net_"),
    ("mbufs", r"cfc_port_tx_(begin|commit|raw)|take_mbufs|alloc_bulk|tls_get_addr"),
    ("burst and freeing", r"librte_|cfc_port_tx_(flush|reclaim)|on_ext_free|payload_done"),
    ("receiving", r"receive_queue|cfc_port_rx|\bon_frame|cfc_rx_|cfc_neighbors"),
    ("NACKs and reports", r"cfc_sender_on_frame|cfc_repair_ask|cfc_roster|cfc_link_tx_on|siphash|cfc_upcall|cfc_(nack|report|hello)\w*_decode"),
    ("scheduling and repair", r"cfc_(sender|content_tx|pass_queue|repair|head_tx|beacon_tx|link_tx|turns|tree|geometry|fec)|block_frames|enter_\w+|"
                              r"poll_(next|echo|status)|cfc_lane_|libisal|ec_encode|gf_"),
)
STAGES = {
    "engine": (("kernel: copying", r"\[kernel.*(memcpy|rep_movs|skb_copy_bits|copy_(from|to|page))"),
               ("kernel: the port's socket", r"\[kernel.*(packet_|tpacket|xsk|xdp_umem)"),
               ("kernel: buffers", r"\[kernel.*(skb|kmem|kfree|slab|alloc|page|folio|free)"),
               ("kernel: veth and bridge", r"\[kernel.*(\bbr_|__br_|veth|netif_|backlog|net_rx|dev_|nf_|deliver|xdp|bpf|gro_|napi|eth_type)"),
               ("kernel: IP, UDP, sockets", r"\[kernel.*(ip_|ipv4|ip_mc|inet|udp|sock|\bsk_|ep_poll|datagram|fib_|mroute|raw_local)"),
               ("kernel: else", r"\[kernel"),
               *OWN_STAGES,
               ("else", r"")),
    "consumer": (("SHA-256", r"libcrypto|sha256"),
                 ("zstd", r"ZSTD|HUF_|FSE_|libzstd"),
                 ("Ed25519", r"libsodium|ed25519"),
                 ("erasure code", r"gf_|ec_encode|isal"),
                 ("kernel: clearing pages", r"\[kernel.*clear_page"),
                 ("kernel: pages else", r"\[kernel.*(page_fault|fault|rmqueue|alloc_pages|zap_|lru|folio|pte|unmap|mmu|tlb|charge)"),
                 ("kernel: receiving", r"\[kernel.*(udp|skb|recv|sock|copy_to_iter|_copy_to_user|rep_movs|datagram|net_|ip_|inet|csum|veth|napi|br_)"),
                 ("kernel: files", r"\[kernel.*(write|shmem|ext4|file|xas_|iov_iter|copy_from)"),
                 ("kernel: else", r"\[kernel"),
                 ("validating and indexing", r"body|index|validate|hash|xxh|XXH"),
                 ("copying", r"memmove|memcpy|memset"),
                 ("else", r"")),
}
# What bench_engine does between its rounds is not of a frame.
ALONE_STAGES = ((None, r"libsodium|libcrypto|sha256|libzstd"), *OWN_STAGES, ("else", r""))


def samples_of(perf, path):
    """[(samples, "DSO SYMBOL")]"""
    done = subprocess.run([perf, "report", "-i", path, "--stdio", "-q", "-F", "sample,dso,symbol", "-g", "none"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    found = re.findall(r"^\s*(\d+)\s+(\S.*?)\s*$", done.stdout, re.M)
    if not found:
        raise RowError(f"perf report: {done.stderr.strip()[-200:] or 'no samples'}")
    return [(int(count), symbol) for count, symbol in found]


def shares_of(samples, stages):
    """{stage: its part of 1}"""
    counts = {stage: 0 for stage, _ in stages}
    for count, symbol in samples:
        counts[next(stage for stage, pattern in stages if re.search(pattern, symbol))] += count
    counts.pop(None, None)
    return {stage: count / sum(counts.values()) for stage, count in counts.items()}


def processor_ns(pid):
    """What all threads of a process have had."""
    times = [machine.read(path).split() for path in glob.glob(f"/proc/{pid}/task/*/schedstat")]
    return sum(int(words[0]) for words in times if words)


class Profile(Row):
    name = "profile"
    title = "where the processor time of the engine and of a consumer goes: bench_engine on net_null, and 64 MiB to 4 receivers"
    figures = (Figure("cycles", "cycles/frame"), Figure("share", "%"))
    seconds = 25

    def run(self, ctx):
        perf = ctx.tool("perf", "linux-perf")
        if ctx.wants("alone"):
            yield from self.alone(ctx, perf)
        yield from self.fleet(ctx, perf)
        if "<not supported>" in subprocess.run([perf, "stat", "-e", "cache-misses", "true"], text=True, stderr=subprocess.PIPE, check=False).stderr:
            ctx.note("cache misses per read: this machine has no hardware counters")

    @staticmethod
    def alone(ctx, perf):
        with ctx.folder(in_memory=True) as folder:
            path = os.path.join(folder, "alone")
            printed = json_lines([perf, "record", "-q", "-D", START_MS, "-e", "cpu-clock", "-F", ALONE_RATE_HZ, "-o", path,
                                  ctx.program("bench_engine"), "--alone", "--rounds", ctx.rounds(300, 1000)])
            whole = next(p["median"] for p in printed if p["unit"] == "cycles/frame")
            for stage, share in shares_of(samples_of(perf, path), ALONE_STAGES).items():
                yield Sample(f"engine alone: {stage}", "cycles", OURS, share * whole)
            yield Sample("engine alone: all", "cycles", OURS, whole)

    def fleet(self, ctx, perf):
        topology = ctx.topology()
        ours = Ours()
        hz = machine.describe(ctx.build)["mhz"] * 1e6
        try:
            ours.start(ctx, topology, RECEIVERS, OBJECT, 0, False)
            with ctx.folder(in_memory=True) as folder:
                payloads = Payloads(folder, SIZE, seed=5)
                pids = {"engine": ours.fleet.engine.pid, "consumer": ours.fleet.active[0].process.pid}
                recorders = {what: self.record(perf, pid, os.path.join(folder, what)) for what, pid in pids.items()}
                time.sleep(TOLD_EVERY_S)
                frames = -self.frames(topology)
                spent_ns = {what: -processor_ns(pid) for what, pid in pids.items()}
                for _ in range(ctx.rounds(2, 8)):
                    ours.send(payloads.next())
                spent_ns = {what: spent_ns[what] + processor_ns(pid) for what, pid in pids.items()}
                time.sleep(TOLD_EVERY_S)
                frames += self.frames(topology)
                for what, recorder in recorders.items():
                    recorder.send_signal(2)
                    recorder.wait()
                    cycles = spent_ns[what] * hz / 1e9 / frames
                    for stage, share in shares_of(samples_of(perf, os.path.join(folder, what)), STAGES[what]).items():
                        yield Sample(f"{what}: {stage}", "cycles", OURS, share * cycles)
                        yield Sample(f"{what}: {stage}", "share", OURS, 100 * share)
                    yield Sample(f"{what}: all", "cycles", OURS, cycles)
        finally:
            ours.close()

    @staticmethod
    def frames(topology):
        """All that the engine has sent."""
        text = topology.run(topology.sender, ["curl", "-s", f"http://{METRICS}/metrics"])
        return sum(int(line.split()[-1]) for line in text.splitlines() if line.startswith("confcast_engine_sent_frames_total{"))

    @staticmethod
    def record(perf, pid, path):
        return subprocess.Popen([perf, "record", "-q", "-e", "cpu-clock", "-F", str(RATE_HZ), "-p", str(pid), "-o", path],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


ROWS = [Profile()]
