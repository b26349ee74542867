"""The instructions of the hot paths, as callgrind counts them (perf/guard), beside the committed baseline: they do not depend on what else the machine
does.  A guard's test holds them; here they are for the table."""

import os

from harness.rows import OURS, Figure, Row, Sample, json_lines
from harness.topology import PERF


class Instructions(Row):
    name = "instructions"
    title = "instructions of the hot paths for each unit of work: of all code, and of our own"
    figures = (Figure("all code", "instructions"), Figure("our own", "instructions"))
    seconds = 15

    def run(self, ctx):
        ctx.tool("valgrind", "valgrind")
        for line in json_lines([os.path.join(PERF, "guard/guard"), "print", "--build", ctx.build]):
            case = f"{line['path']}, a {line['unit']}"
            for figure, kind in (("all code", "all"), ("our own", "own")):
                yield Sample(case, figure, OURS, line[kind])
                if line["baseline"]:
                    yield Sample(case, figure, "baseline", line["baseline"][kind])


ROWS = [Instructions()]
