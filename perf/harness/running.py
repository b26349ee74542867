"""The sides of a row while they run beside each other."""

import time

from harness.rows import OURS, RowError

PATIENCE_S = (8, 120)  # for the rounds of one peer in one case: quick, and in full

class Running:
    """Starts sides, lets them take a turn, and goes on without a peer that fails: that is said, and is no failure of ours."""

    def __init__(self, ctx, topology, sides, work, receivers, is_shaped):
        self.ctx = ctx
        self.topology = topology
        self.sides = [side for side in sides if self.is_able(side, work)]
        self.arguments = (work, receivers, is_shaped)
        self.started = []
        self.spent_s = {}

    def is_able(self, side, work):
        if work not in side.works:
            return False
        reason = side.unavailable(self.ctx)
        if reason:
            self.ctx.note(f"{side.name}: {reason}")
        return not reason

    def start(self):
        for side in list(self.sides):
            self.start_one(side)

    def start_one(self, side):
        work, receivers, is_shaped = self.arguments
        self.started.append(side)
        try:
            side.start(self.ctx, self.topology, receivers, work, self.topology.loss, is_shaped)
        except RowError as error:
            self.give_up(side, "start", error)

    def give_up(self, side, case, error):
        if side.name == OURS:
            raise RowError(f"{case}: {error}") from error
        self.ctx.note(f"{side.name} failed ({case}): {error}")
        self.ctx.log(f"{side.name} failed ({case}): {error}")
        self.stop_one(side)

    def attempt(self, side, case, measure):
        """The samples of measure(); none when the side, not being ours, fails: it is then started anew.  A peer that takes very long gets fewer
        rounds than others."""
        spent = self.spent_s.get((side.name, case), 0)
        if side.name != OURS and spent > self.ctx.rounds(*PATIENCE_S):
            self.ctx.note(f"{side.name}, {case}: the rest of its rounds, since they take too long")
            return []
        begin = time.monotonic()
        try:
            return measure()
        except RowError as error:
            self.give_up(side, case, error)
            self.start_one(side)
            return []
        finally:
            self.spent_s[side.name, case] = spent + time.monotonic() - begin

    def stop_one(self, side):
        if side in self.started:
            self.started.remove(side)
            side.stop()

    def stop(self):
        for side in list(self.started):
            self.stop_one(side)
