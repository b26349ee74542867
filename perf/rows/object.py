"""A big object to 1, 2, 4 and 8 receivers, without and with loss, on the bare bridge and with the sender's link shaped to 1 Gbit/s."""

import time

import peers
from harness.ours import Ours
from harness.raw import Raw
from harness.rows import OURS, Figure, Goal, Row, Sample
from harness.running import Running
from harness.side import OBJECT, Payloads

SIZE = (48 << 20) - (48 << 10)  # as base64 in JSON: 64 MiB, the most that the control plane takes
RECEIVERS = (1, 2, 4, 8)
LOSSES = (0, 0.1, 1, 5)
PEER_RECEIVERS = 4
SETTLE_S = 0.05  # what a round still sends after its end counts as its own


class Object(Row):
    figures = (Figure("goodput", "Mbit/s"), Figure("sent per byte", "bytes"), Figure("receiver CPU", "s"))
    seconds = 120
    # With --quick: what the goals are about once more, by ourselves and those that the goals name; and fewer combinations.
    quick_twice = {(4, 0), (4, 1)}
    quick = {(4, loss) for loss in LOSSES} | {(1, 1), (2, 1), (8, 1)}

    def __init__(self, is_shaped):
        self.is_shaped = is_shaped
        self.name = "object-1g" if is_shaped else "object"
        self.title = "64 MiB of JSON, 48 MiB of them random, until all have it" + (", sender's link shaped to 1 Gbit/s" if is_shaped else "")
        where = "4 receivers, "
        if is_shaped:
            self.quick = {(4, 0), (4, 1), (1, 1), (2, 1), (8, 1)}
            self.goals = (Goal("goodput", ">=", 0.98, "raw", where + "0 %"), Goal("goodput", ">=", 0.93, "raw", where + "1 %"))
        else:
            self.goals = (
                Goal("goodput", ">=", 0.70, "raw", where + "0 %"), Goal("goodput", ">=", 0.65, "raw", where + "1 %"),
                Goal("goodput", ">=", 0.9, "raw + SHA-256", where + "0 %"), Goal("goodput", ">=", 0.9, "raw + SHA-256", where + "1 %"),
                Goal("goodput", ">=", 1.3, "UFTP", where + "0 %"), Goal("goodput", ">=", 1.3, "UFTP", where + "1 %"))
        self.goals += (Goal("sent per byte", "<=", 1.09, None, where + "1 %"),)

    def run(self, ctx):
        topology = ctx.topology()
        topology.set_shaped(self.is_shaped)
        ours = Ours()
        sides = [ours, Raw("raw", "none"), Raw("raw + SHA-256", "sha256")]
        sides += peers.all_sides()
        ctx.note("Aeron, which Debian does not package")
        with ctx.folder(in_memory=True) as folder:
            payloads = Payloads(folder, SIZE)
            try:
                for count in RECEIVERS:
                    yield from self.run_count(ctx, topology, payloads, sides, count)
            finally:
                ours.close()

    def run_count(self, ctx, topology, payloads, sides, count):
        cases = {loss: f"{count} receiver{'s' if count > 1 else ''}, {loss:g} %" for loss in LOSSES}
        losses = [loss for loss in LOSSES if ctx.wants(cases[loss])]
        if ctx.quick:
            for loss in losses:
                if (count, loss) not in self.quick:
                    ctx.leave_out(cases[loss], "without --quick")
            losses = [loss for loss in losses if (count, loss) in self.quick]
        sides = [side for side in sides if side.name == OURS or side.is_limit or count == PEER_RECEIVERS]
        running = Running(ctx, topology, sides if losses else (), OBJECT, count, self.is_shaped)
        try:
            topology.set_loss(0)
            running.start()
            # The first object of a process finds no memory that it had before.
            warm_up = payloads.next() if losses else None
            for side in [side for side in running.started if side.name == OURS or not (ctx.quick and self.is_shaped)]:
                running.attempt(side, "warm-up", lambda: side.send(warm_up))
            for loss in losses:
                topology.set_loss(loss)
                for side in running.started:
                    side.set_loss(loss)
                for turn in range(ctx.rounds(2 if (count, loss) in self.quick_twice else 1, 5)):
                    payload = payloads.next()
                    for side in list(running.started):
                        if not (ctx.quick and turn > 0) or side.name in (OURS, *(goal.other for goal in self.goals)):
                            yield from running.attempt(side, cases[loss],
                                                       lambda: list(self.one(ctx, topology, side, payload, cases[loss], count, turn)))
        finally:
            topology.set_loss(0)
            running.stop()

    @staticmethod
    def one(ctx, topology, side, payload, case, count, turn):
        sent, cpu = topology.sent_bytes(), topology.cpu_seconds()
        outcome = side.send(payload)
        time.sleep(SETTLE_S)
        sent, cpu = topology.sent_bytes() - sent, topology.cpu_seconds() - cpu
        size = (outcome.size or payload.size) * outcome.share
        goodput = size * 8 / outcome.seconds / 1e6
        ctx.log(f"{case}: {side.name} {goodput:.0f} Mbit/s")
        yield Sample(case, "goodput", side.name, goodput, turn=turn)
        yield Sample(case, "sent per byte", side.name, (outcome.wire_bytes or sent) / (outcome.size or payload.size), turn=turn)
        yield Sample(case, "receiver CPU", side.name, (outcome.cpu_seconds or cpu) / count, turn=turn)


ROWS = [Object(False), Object(True)]
