"""What repair costs by the size of the fleet: the simulator with the product's sender and the product's decisions for each receiver."""

from harness.rows import OURS, Figure, Goal, Row, RowError, Sample, json_lines

SIZES = (100, 1000, 10000, 100000, 1000000)
QUICK_MAX = 100000
REFERENCE = 1000


class FleetSize(Row):
    name = "fleet-size"
    title = "simulated: 1 MB at 1 % independent loss to 100 to 1,000,000 receivers"
    figures = (Figure("sent per byte", "bytes"), Figure("NACKs", "heard"), Figure("NACKs in one round", "heard"),
               Figure("sent per byte to that of 1,000", "ratio"))
    goals = (Goal("sent per byte to that of 1,000", "<=", 1.08), Goal("NACKs in one round", "<=", 100))
    seconds = 10

    def run(self, ctx):
        lean = ctx.built("tests/sim/lean")
        reference = {}
        for size in SIZES:
            case = f"{size:,} receivers"
            if ctx.quick and size > QUICK_MAX:
                ctx.leave_out(case, "two minutes, without --quick")
                continue
            if not ctx.wants(case) and size != REFERENCE:
                continue
            for seed in range(1, 2 if ctx.quick or size > QUICK_MAX else 6):
                result = json_lines([lean, "--receivers", size, "--seed", seed])[-1]
                if not result["ok"]:
                    raise RowError(f"{case}: not complete")
                yield Sample(case, "sent per byte", OURS, result["price"])
                yield Sample(case, "NACKs", OURS, result["nacks"])
                yield Sample(case, "NACKs in one round", OURS, result["nacks_per_round_max"])
                if size == REFERENCE:
                    reference[seed] = result["price"]
                elif size > REFERENCE:
                    yield Sample(case, "sent per byte to that of 1,000", OURS, result["price"] / reference[seed])


ROWS = [FleetSize()]
