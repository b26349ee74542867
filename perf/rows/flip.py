"""What everybody already holds is turned on by one frame: a rollback, and the next stage of a rollout, beside the promotion of a new content."""

import time

from harness.ours import Ours, document_of
from harness.rows import OURS, Figure, Row, Sample
from harness.side import CHANGE, Payloads

RECEIVERS = 8
SIZES = {"4 KB": 4096, "1 MB": 1 << 20}
SETTLE_S = 0.3
HELD_S = 0.5
NEW = "a new content"


class Flip(Row):
    name = "flip"
    title = "rollback and stage advance to 8 receivers, from the request until all have applied it, beside a new content of that size"
    figures = (Figure("to all", "ms", ("p50", "p99")), Figure("sent", "bytes"))
    seconds = 25

    def run(self, ctx):
        topology = ctx.topology()
        ours = Ours()
        try:
            ours.start(ctx, topology, RECEIVERS, CHANGE, 0, False)
            with ctx.folder(in_memory=True) as folder:
                for size_name, size in SIZES.items():
                    payloads = Payloads(folder, size, seed=size + 11)
                    self.change(topology, ours.fleet, document_of(payloads.next()), '{"action":"promote"}', 0)
                    for number in range(ctx.rounds(3, 30)):
                        yield from self.round(ctx, topology, ours.fleet, payloads, size_name, number)
        finally:
            ours.close()

    def round(self, ctx, topology, fleet, payloads, size_name, number):
        """Promotes a new content and rolls back; puts another out in two stages."""
        first = self.change(topology, fleet, document_of(payloads.next()), '{"action":"promote"}', number)
        back = self.change(topology, fleet, None, '{"action":"rollback"}', number)
        staged = document_of(payloads.next())
        fleet.put(staged)
        fleet.wait_version(fleet.release('{"action":"promote","strategy":"stages:50%,100%"}')["version"])
        time.sleep(HELD_S)  # those of the second stage fetch it as well
        advance = self.change(topology, fleet, None, '{"action":"advance"}', number)
        for case, result in ((f"{size_name}: rollback", back), (f"{size_name}: next stage", advance)):
            for side, (ms, sent) in ((OURS, result), (NEW, first)):
                yield Sample(case, "to all", side, ms)
                yield Sample(case, "sent", side, sent)

    @staticmethod
    def change(topology, fleet, text, action, number):
        """(ms from the request until all have applied it, Ethernet bytes sent for it)"""
        if text is not None:
            fleet.put(text)
        before = topology.sent_bytes()
        sent_ns = time.time_ns()
        events = fleet.wait_version(fleet.release(action)["version"])
        time.sleep(SETTLE_S)
        sent = topology.sent_bytes() - before
        if text is not None:
            fleet.check(events, text, number)
        return (max(event["time_unix_ns"] for event in events) - sent_ns) / 1e6, sent


ROWS = [Flip()]
