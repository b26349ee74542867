"""A small change until all have applied it: handed to the engine, over HTTP, and from the command line."""

import os
import time

import peers
from harness.ours import Ours, document_of
from harness.raw import FRAME, SYMBOL, Raw
from harness.rows import OURS, Figure, Goal, Row, Sample
from harness.running import Running
from harness.side import CHANGE, Payloads

SIZES = {"4 KB": 4096, "45 KB": 45 * 1024}
LOSSES = (0, 1)
RECEIVERS = 8
HEAD_SIZE = 300
WARM_UP = 2
# Before each round: what the one before it leaves to do is over then (our agents' reports, etcd's commits, the end of processes).  With 5 ms it counts,
# with 60 ms nothing is faster than with 30.
GAP_S = 0.03
# With --quick: peers, ourselves and limits, and as many as a p99 needs where one is a goal.
QUICK_PEERS, QUICK, QUICK_P99 = 10, 16, 101
P99_CASE = "4 KB, 1 %"
TAIL = ("The same datagrams by plain multicast with one Ed25519 check at each of the eight receivers, and nothing repaired (rounds that lost a frame do not count), have a "
        "p99 of {=;to all p99;raw + Ed25519} in turn with us, a median of {=;to all p50;raw + Ed25519}: eight receivers that wake up on two cores. Ours has "
        "{=;to all p50;ours} as its median; what a lost frame adds is a NACK's wait and its way there and back.")


def frames_of(size):
    """The datagrams that such a payload takes at the least: its symbols and a head."""
    whole, rest = divmod(size, SYMBOL)
    return [(HEAD_SIZE, 1)] + ([(FRAME, whole)] if whole else []) + ([(rest + FRAME - SYMBOL, 1)] if rest else [])


class Change(Row):
    name = "change"
    title = "4 KB and 45 KB of random bytes to 8 receivers, handed to the engine until all have applied it"
    figures = (Figure("to all", "ms", ("p50", "p99")), Figure("sent per byte", "bytes"))
    goals = (Goal("to all", "<=", 3, "raw + Ed25519", "4 KB, 0 %", "p50"), Goal("to all", "<=", 1, None, P99_CASE, "p99", TAIL),
             Goal("sent per byte", "<=", 1.5, None, "4 KB, 1 %"))
    seconds = 60

    def run(self, ctx):
        topology = ctx.topology()
        ours, raw = Ours(), Raw("raw + Ed25519", "ed25519")
        running = Running(ctx, topology, [ours, raw, *peers.all_sides()], CHANGE, RECEIVERS, False)
        try:
            running.start()
            for size_name, size in SIZES.items():
                raw.frames = frames_of(size)
                for loss in LOSSES:
                    case = f"{size_name}, {loss} %"
                    if ctx.wants(case):
                        topology.set_loss(loss)
                        for side in running.started:
                            side.set_loss(loss)
                        with ctx.folder(in_memory=True) as folder:
                            yield from self.rounds(ctx, topology, running, Payloads(folder, size, seed=size + loss), case)
        finally:
            topology.set_loss(0)
            running.stop()
            ours.close()

    @staticmethod
    def rounds(ctx, topology, running, payloads, case):
        def one(side, turn):
            time.sleep(GAP_S)
            outcome = side.send(payloads.next())
            return [Sample(case, "to all", side.name, outcome.seconds * 1e3, turn=turn)] if turn >= 0 and outcome.share == 1 else []

        def sent(side):
            if side.name == OURS:  # without what it sends by the clock
                return sum(size for _, size in side.fleet.sent_for_changes().values())
            return topology.sent_bytes()

        def block(side, count):
            before = sent(side)
            for _ in range(count):
                one(side, -1)
            time.sleep(0.2)
            return [Sample(case, "sent per byte", side.name, (sent(side) - before) / count / payloads.size)]

        def count(side):
            if side.name == OURS or side.name == "raw + Ed25519":
                return ctx.rounds(QUICK_P99 if case == P99_CASE else QUICK, 200)
            return ctx.rounds(QUICK_PEERS, 200)

        for turn in range(-WARM_UP, max(map(count, running.started))):
            for side in [side for side in running.started if turn < count(side)]:
                yield from running.attempt(side, case, lambda: one(side, turn))
        # Repeats of a head come later than its round: bytes are counted over a block of each side alone, ours last, since the engine tells them late.
        for side in sorted(running.started, key=lambda side: side.name == OURS):
            yield from running.attempt(side, case, lambda: block(side, ctx.rounds(8, 50)))
        ctx.log(case)


class Publish(Row):
    """Times count from before the request, so they hold the decision and its synced write."""

    name = "publish"
    title = "4 KB and 45 KB put and promoted: from the promotion's request, or confcastctl's start, until 8 receivers have applied it"
    figures = tuple(Figure(name, "ms", ("p50", "p99")) for name in ("decided and answered", "first applied", "all applied"))
    seconds = 25

    def run(self, ctx):
        topology = ctx.topology()
        ours = Ours()
        try:
            ours.start(ctx, topology, RECEIVERS, CHANGE, 0, False)
            for size_name, size in SIZES.items():
                with ctx.folder(in_memory=True) as folder:
                    payloads = Payloads(folder, size, seed=size + 7)
                    for by, send in (("over HTTP", self.over_http), ("by confcastctl put --promote", self.by_cli)):
                        case = f"{size_name} {by}"
                        for number in range(ctx.rounds(20, 200) + WARM_UP if ctx.wants(case) else 0):
                            time.sleep(GAP_S)
                            text = document_of(payloads.next())
                            sent_ns, answered_ns, events = send(ours.fleet, text, folder)
                            ours.fleet.check(events, text, number)
                            if number >= WARM_UP:
                                times = [event["time_unix_ns"] for event in events]
                                yield Sample(case, "decided and answered", OURS, (answered_ns - sent_ns) / 1e6)
                                yield Sample(case, "first applied", OURS, (min(times) - sent_ns) / 1e6)
                                yield Sample(case, "all applied", OURS, (max(times) - sent_ns) / 1e6)
        finally:
            ours.close()

    @staticmethod
    def over_http(fleet, text, _folder):
        sent_ns, answered_ns, version = fleet.publish(text)
        return sent_ns, answered_ns, fleet.wait_version(version)

    @staticmethod
    def by_cli(fleet, text, folder):
        path = os.path.join(folder, "document.json")
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        sent_ns = time.time_ns()
        answer = fleet.ctl_json("put", fleet.scope, "-f", path, "--promote")
        answered_ns = time.time_ns()
        return sent_ns, answered_ns, fleet.wait_version(answer["version"])


ROWS = [Change(), Publish()]
