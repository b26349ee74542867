"""Plain UDP multicast without any protocol, as a limit: bench_raw's sendmmsg and recvmmsg."""

import select
import subprocess

from harness.rows import RowError
from harness.side import Outcome, Side
from harness.topology import SHAPED_UDP_MBIT

# Each kind has a group and a port of its own, since they run beside each other.
PLACES = {"none": ("239.77.9.1", "7600"), "sha256": ("239.77.9.2", "7601"), "ed25519": ("239.77.9.3", "7602")}
SYMBOL, FRAME = 1440, 1464  # payload of a symbol, and the datagram that carries it
ROUND_TIMEOUT_S = 60


class Raw(Side):
    """`check`: none, sha256 (each datagram is digested), ed25519 (one signature is checked when a round is whole)."""

    is_limit = True

    def __init__(self, name, check):
        self.name = name
        self.check = check
        self.settings = f"sendmmsg and recvmmsg by 64, 64 MiB of receive buffer, check: {check}"
        self.frames = None  # [(size, count), ...] of a round; default: the payload in datagrams of FRAME bytes
        self.topology = self.sender = None
        self.receivers = []

    def start(self, ctx, topology, receivers, work, loss, is_shaped):
        program = ctx.program("bench_raw")
        where = [*PLACES[self.check], "eth0"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.topology, self.round, self.mbit = topology, 0, SHAPED_UDP_MBIT if is_shaped else 0
        self.receivers = [topology.start(netns, [program, "receive", *where, self.check], **pipes)
                          for netns in topology.receivers[:receivers]]
        for child in self.receivers:  # it says so when it is in the group
            if not select.select([child.stdout], [], [], 10)[0] or child.stdout.readline() != b"ready\n":
                raise RowError("a raw receiver does not start")
        self.sender = topology.start(topology.sender, [program, "send", *where], **pipes)

    def stop(self):
        for child in [self.sender, *self.receivers]:
            if child is not None:
                self.topology.stop(child)
                child.stdin.close()
                child.stdout.close()
        self.sender, self.receivers = None, []

    def send(self, payload):
        frames = self.frames or [(FRAME, -(-payload.size // SYMBOL))]
        self.round += 1
        words = " ".join(f"{size}x{count}" for size, count in frames)
        self.sender.stdin.write(f"{self.round} {self.mbit} {words}\n".encode())
        self.sender.stdin.flush()
        begin_ns = int(self.sender.stdout.readline().split()[1])
        last_ns, share = 0, 1.0
        for receiver in self.receivers:
            if not select.select([receiver.stdout], [], [], ROUND_TIMEOUT_S)[0]:
                raise RowError("a raw receiver heard nothing")
            _, got, wanted, at_ns = map(int, receiver.stdout.readline().split())
            last_ns, share = max(last_ns, at_ns), min(share, got / wanted)
        return Outcome((last_ns - begin_ns) / 1e9, share=share)
