"""Real revisions of real configurations, one after the other: what a change costs on the wire.

Beside us etcd, which sends the value to each watcher, and a full resend: the whole document, coded by zstd as we code it, in the datagrams that it needs
at the least, by plain multicast without repair."""

import ctypes
import json
import os
import time

import peers
from harness.ours import Ours
from harness.pulling import PullDaemon, canonical, chains
from harness.raw import Raw
from harness.rows import OURS, Figure, Goal, Row, RowError, Sample
from harness.running import Running
from harness.side import CHANGE, Payload
from rows.change import frames_of

RECEIVERS = 4
ZSTD_LEVEL = 3  # as the control plane has it
SETTLE_S = 0.3  # repeats of the head come within it
QUICK_REVISIONS = 7


def coded_size(data):
    """Of zstd's frame."""
    zstd = ctypes.CDLL("libzstd.so.1")
    for function in (zstd.ZSTD_compress, zstd.ZSTD_compressBound):
        function.restype = ctypes.c_size_t
    room = zstd.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    size = zstd.ZSTD_compress(ctypes.create_string_buffer(room), ctypes.c_size_t(room), data, ctypes.c_size_t(len(data)), ZSTD_LEVEL)
    if zstd.ZSTD_isError(ctypes.c_size_t(size)):
        raise RowError("zstd failed")
    return size


class Revisions(Row):
    name = "revisions"
    title = "revisions of real configurations to 4 receivers: Ethernet bytes on the sender's link for a change, all repeats in"
    figures = (Figure("sent for a change", "bytes"), Figure("to all", "ms"))
    seconds = 45

    def run(self, ctx):
        topology = ctx.topology()
        ours = Ours()
        sides = [Raw("full resend", "none"), *(side for side in peers.all_sides() if side.name == "etcd")]
        others = Running(ctx, topology, sides, CHANGE, RECEIVERS, False)
        try:
            ours.start(ctx, topology, RECEIVERS, CHANGE, 0, False)
            others.start()
            for name, documents in chains(QUICK_REVISIONS if ctx.quick else 40):
                if ctx.wants(name):
                    yield from self.chain(ctx, topology, ours.fleet, others, name, documents)
        finally:
            others.stop()
            ours.close()

    @staticmethod
    def chain(ctx, topology, fleet, others, name, documents):
        largest = 0
        for number, document in enumerate(documents):
            before = topology.sent_bytes()
            fleet.put(document)
            sent_ns = time.time_ns()
            events = fleet.wait_version(fleet.release()["version"])
            time.sleep(SETTLE_S)
            sent = topology.sent_bytes() - before
            fleet.check(events, document, number)
            # The first of a chain has nothing to do with what was there before.
            case = f"{name}, the first, whole" if number == 0 else f"{name}, each next"
            yield Sample(case, "sent for a change", OURS, sent)
            largest = max(largest, sent if number > 0 else 0)
            yield Sample(case, "to all", OURS, (max(event["time_unix_ns"] for event in events) - sent_ns) / 1e6)
            with ctx.folder(in_memory=True) as folder:
                payload = Payload(document.encode(), os.path.join(folder, "document.json"))
                with open(payload.path, "wb") as file:
                    file.write(payload.data)
                for side in list(others.started):
                    if isinstance(side, Raw):
                        side.frames = frames_of(coded_size(payload.data))
                    yield from others.attempt(side, case, lambda: Revisions.of_other(topology, side, payload, case))
        if largest:
            yield Sample(f"{name}, the largest next", "sent for a change", OURS, largest)
        ctx.log(name)

    @staticmethod
    def of_other(topology, side, payload, case):
        before = topology.sent_bytes()
        outcome = side.send(payload)
        time.sleep(0.02)
        return [Sample(case, "sent for a change", side.name, topology.sent_bytes() - before),
                Sample(case, "to all", side.name, outcome.seconds * 1e3)]


class Pull(Row):
    """Bytes are those of the answer's body: FRESH, HEAD and the frames of the content.  The milliseconds are from the request to the last byte on
    loopback when the coding is there already, since a fleet asks for the same."""

    name = "pull"
    title = "revisions pulled over HTTP by who has the one before, beside the whole; and 1,000 that wait for one change"
    figures = (Figure("answer", "bytes"), Figure("time", "ms"), Figure("first has it", "ms"), Figure("last has it", "ms"),
               Figure("waiting costs, each", "bytes"), Figure("waiting costs", "threads"))
    seconds = 20

    def run(self, ctx):
        with ctx.folder() as folder, PullDaemon(ctx, folder) as daemon:
            for name, documents in chains(QUICK_REVISIONS if ctx.quick else 40):
                if ctx.wants(name):
                    yield from self.chain(ctx, daemon, name, documents)
            for _ in range(ctx.rounds(1, 3)):
                first, last, threads, size = daemon.crowd(ctx.rounds(500, 1000))
                case = f"{ctx.rounds(500, 1000):,} wait"
                yield Sample(case, "first has it", OURS, first)
                yield Sample(case, "last has it", OURS, last)
                yield Sample(case, "waiting costs, each", OURS, size)
                yield Sample(case, "waiting costs", OURS, threads)

    def chain(self, ctx, daemon, name, documents):
        for whole, delta in daemon.chain(name, documents, ctx.rounds(2, 3)):
            yield Sample(name, "answer", OURS, delta[0])
            yield Sample(name, "answer", "the whole", whole[0])
            yield Sample(name, "time", OURS, delta[1])
            yield Sample(name, "time", "the whole", whole[1])


class OneKey(Row):
    """The engine's counters by kind of frame say what a change took, repeats among it; it tells them once a second."""

    name = "one-key"
    title = "one key of a configuration of 680 KB changes: what the engine sends for it to 4 receivers"
    figures = (Figure("of content", "frames"), Figure("in all", "frames"), Figure("in all, Ethernet", "bytes"), Figure("to all", "ms"))
    goals = (Goal("of content", "<=", 3, None, "prometheus-crd"),)
    seconds = 15

    def run(self, ctx):
        topology = ctx.topology()
        ours = Ours()
        try:
            ours.start(ctx, topology, RECEIVERS, CHANGE, 0, False)
            name, texts = next(((name, texts) for name, texts in chains(1) if name == "prometheus-crd"), next(chains(1)))
            document = json.loads(texts[0])
            for number in range(ctx.rounds(2, 10) + 1):
                document["changed"] = number
                text = canonical(document)
                ours.fleet.put(text)
                before = ours.fleet.sent_for_changes()
                sent_ns = time.time_ns()
                events = ours.fleet.wait_version(ours.fleet.release()["version"])
                ours.fleet.check(events, text, number)
                after = ours.fleet.sent_for_changes()
                spent = {kind: (after[kind][0] - before[kind][0], after[kind][1] - before[kind][1]) for kind in after}
                if number > 0:  # the first is the whole
                    yield Sample(name, "of content", OURS, sum(frames for kind, (frames, _) in spent.items() if kind != "head"))
                    yield Sample(name, "in all", OURS, sum(frames for frames, _ in spent.values()))
                    yield Sample(name, "in all, Ethernet", OURS, sum(size for _, size in spent.values()))
                    yield Sample(name, "to all", OURS, (max(event["time_unix_ns"] for event in events) - sent_ns) / 1e6)
                    ctx.log(" ".join(f"{kind} {frames}" for kind, (frames, _) in spent.items() if frames))
        finally:
            ours.close()


ROWS = [Revisions(), OneKey(), Pull()]
