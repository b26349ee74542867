"""Where the time goes: samples of the processor's clock (perf record) in the engine and in one consumer while 64 MiB go to 4 receivers, told by
what the code is for.  Hardware counters are not there on a virtual machine; callgrind's counts of the hot paths are in perf/peers."""

import os
import re
import subprocess
import time

from harness.ours import Ours
from harness.rows import OURS, Figure, Row, RowError, Sample
from harness.side import OBJECT, Payloads
from rows.object import SIZE

RECEIVERS = 4
RATE_HZ = 1999
# The first that fits a line "DSO SYMBOL" counts.
STAGES = {
    "engine": (("SHA-256 and signatures", r"libcrypto|libsodium|sha256|ed25519"),
               ("sending: kernel", r"\[kernel"),
               ("sending: PMD", r"librte_net|rte_eth|af_packet|pktmbuf"),
               ("receiving", r"rx_parse|cfc_rx|receive"),
               ("scheduling, repair, pacing", r"cfc_|sender|pacer|rate|queue|repair"),
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


class Profile(Row):
    name = "profile"
    title = "where the processor time of the engine and of a consumer goes while 64 MiB go to 4 receivers"
    figures = (Figure("share", "%"),)
    seconds = 15

    def run(self, ctx):
        perf = ctx.tool("perf", "linux-perf")
        topology = ctx.topology()
        ours = Ours()
        try:
            ours.start(ctx, topology, RECEIVERS, OBJECT, 0, False)
            with ctx.folder(in_memory=True) as folder:
                payloads = Payloads(folder, SIZE, seed=5)
                pids = {"engine": ours.fleet.engine.pid, "consumer": ours.fleet.active[0].process.pid}
                recorders = {what: self.record(perf, pid, os.path.join(folder, what)) for what, pid in pids.items()}
                time.sleep(0.3)
                for _ in range(ctx.rounds(2, 8)):
                    ours.send(payloads.next())
                for what, recorder in recorders.items():
                    recorder.send_signal(2)
                    recorder.wait()
                    yield from self.shares(perf, os.path.join(folder, what), what)
        finally:
            ours.close()
        if "<not supported>" in subprocess.run([perf, "stat", "-e", "cache-misses", "true"], text=True, stderr=subprocess.PIPE, check=False).stderr:
            ctx.note("cache misses per read: this machine has no hardware counters")

    @staticmethod
    def record(perf, pid, path):
        return subprocess.Popen([perf, "record", "-q", "-e", "cpu-clock", "-F", str(RATE_HZ), "-p", str(pid), "-o", path],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @staticmethod
    def shares(perf, path, what):
        done = subprocess.run([perf, "report", "-i", path, "--stdio", "-q", "-F", "overhead,dso,symbol", "-g", "none"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        found = re.findall(r"^\s*([\d.]+)%\s+(\S.*?)\s*$", done.stdout, re.M)
        if not found:
            raise RowError(f"perf report: {done.stderr.strip()[-200:] or 'no samples'}")
        shares = {stage: 0.0 for stage, _ in STAGES[what]}
        for percent, symbol in found:
            stage = next(stage for stage, pattern in STAGES[what] if re.search(pattern, symbol))
            shares[stage] += float(percent)
        for stage, share in shares.items():
            yield Sample(f"{what}: {stage}", "share", OURS, share)


ROWS = [Profile()]
