"""A side of the rows "object" and "change": ours, a peer, or a limit.

A side moves bytes from the sender's host to the receivers' hosts of a topology.  The harness makes fresh payloads, calls the sides in turns,
counts the bytes that the sender's link carried and the processor time of the receivers' hosts, and divides.
"""

import dataclasses
import hashlib
import os
import random

OBJECT = "object"  # one big payload until all have it; Payload.path is a file
CHANGE = "change"  # a small payload until all have it; called often


@dataclasses.dataclass
class Payload:
    """Random bytes that nobody has seen before, and a file in memory (/dev/shm) that holds them."""
    data: bytes
    path: str

    @property
    def size(self):
        return len(self.data)

    @property
    def sha256(self):
        return hashlib.sha256(self.data).hexdigest()


@dataclasses.dataclass
class Outcome:
    """`seconds`: from handing the payload over until the last receiver has all of it, checked.  `size`: the bytes that count for goodput where
    that is not payload.size.  `share`: what arrived at the receiver that got least, below 1 only for sides without reliability.
    `wire_bytes` and `cpu_seconds`: only where the harness's own count would be wrong."""
    seconds: float
    size: int = None
    share: float = 1.0
    wire_bytes: int = None
    cpu_seconds: float = None


class Side:
    """One of those that take turns.  Subclasses live in perf/harness (ours, raw) and perf/peers."""

    name = ""
    works = (OBJECT, CHANGE)
    is_limit = False  # a limit is measured in every case, a peer where Row says so
    settings = ""  # how it was tuned, for the record and for docs/performance.md

    def unavailable(self, ctx):
        """Why it cannot run on this machine, or None.  May install a Debian package first (ctx.tool() tells what is missing)."""
        return None

    def start(self, ctx, topology, receivers, work, loss, is_shaped):
        """Starts what it needs at topology.sender and at the first `receivers` of topology.receivers, and waits until it is ready.
        `is_shaped`: the sender's link carries topology.SHAPED_UDP_MBIT of UDP payload."""
        raise NotImplementedError

    def set_loss(self, loss):
        """The loss of the topology has changed while this side runs; most sides need not know."""

    def send(self, payload):
        """One round: gets the payload to all receivers, checks it at each of them (its bytes or their SHA-256), and returns an Outcome.
        RowError when a receiver has something else, or nothing after a minute."""
        raise NotImplementedError

    def stop(self):
        """Ends what start() began; called once for each start(), also after a failure."""


class Payloads:
    """Makes payloads of one size, from a seed, in a folder in memory."""

    def __init__(self, folder, size, seed=1):
        self.random = random.Random(seed)
        self.path = os.path.join(folder, f"payload-{size}")
        self.size = size

    def next(self):
        # Pieces, since randbytes() makes one integer of it all.
        data = b"".join(self.random.randbytes(min(1 << 16, self.size - at)) for at in range(0, self.size, 1 << 16))
        with open(self.path, "wb") as file:
            file.write(data)
        return Payload(data, self.path)
