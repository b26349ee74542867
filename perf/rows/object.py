"""A big object to 1, 2, 4 and 8 receivers, without and with loss, on the bare bridge and with the sender's link shaped to 1 Gbit/s."""

import math
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
BLOCK_SYMBOLS = 64  # that repair symbols stand for
LEAST = "least (computed)"
SHARED = ("Everybody shares two cores, so the goodput is what their processor time allows. A receiver of ours takes {=;receiver CPU;ours} for an object, one "
          "of raw + SHA-256 {=;receiver CPU;raw + SHA-256}, one of UFTP {=;receiver CPU;UFTP}: ours also decodes, digests the decoded whole, validates and "
          "indexes it before it counts; the row `receive` has each of these alone. Goodput differs between rounds by more than what is missing here, as the "
          "spread shows; this row is the one that says most about the machine's other guests.")
SHAPED = ("At four receivers the processors and not the link are the limit: raw multicast itself reaches {=;goodput;raw} of the 960 that fit, and GSO, which "
          "spares the processors, {=;goodput;raw GSO}. To one receiver, where the link is the limit, we reach {1 receiver, 1 %;goodput;ours}, raw "
          "{1 receiver, 1 %;goodput;raw}.")
SENT = ("Raw multicast takes {=;sent per byte;raw}, which is headers and what coding leaves of base64. With the fewest repair symbols that any code "
        "on blocks of 64 can do with at this loss, the worst receiver of each block deciding, it would be {=;sent per byte;least (computed)}. What is above is heads, "
        "repair that is sent again because it was lost or came late, and whole symbols for the last of them.")


def least_share(receivers, loss):
    """The repair symbols for each symbol of a block that has to reach all receivers: what the one lacks that lost most of it."""
    within, total = 0.0, 0.0
    for lost in range(BLOCK_SYMBOLS):
        within += math.comb(BLOCK_SYMBOLS, lost) * loss ** lost * (1 - loss) ** (BLOCK_SYMBOLS - lost)
        total += 1 - min(within, 1.0) ** receivers
    return total / BLOCK_SYMBOLS


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
            wanted = (("raw", "0 %", 0.98), ("raw", "1 %", 0.93))
        else:
            wanted = (("raw", "0 %", 0.70), ("raw", "1 %", 0.65), ("raw + SHA-256", "0 %", 0.9), ("raw + SHA-256", "1 %", 0.9), ("UFTP", "0 %", 1.3),
                      ("UFTP", "1 %", 1.3))
        self.goals = tuple(Goal("goodput", ">=", value, other, where + loss, bound=SHAPED if is_shaped else SHARED) for other, loss, value in wanted)
        self.goals += (Goal("sent per byte", "<=", 1.09, None, where + "1 %", bound=SENT),)

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
        per_byte = (outcome.wire_bytes or sent) / (outcome.size or payload.size)
        yield Sample(case, "sent per byte", side.name, per_byte, turn=turn)
        if side.name == "raw":
            yield Sample(case, "sent per byte", LEAST, per_byte * (1 + least_share(count, topology.loss / 100)), turn=turn)
        yield Sample(case, "receiver CPU", side.name, (outcome.cpu_seconds or cpu) / count, turn=turn)


ROWS = [Object(False), Object(True)]
