"""What a row of the table is.

A row measures one thing, ours and others' in turns, and yields samples.  Samples of one (case, figure) belong together; the i-th of each
side are from the same round, so that a ratio compares what ran one after the other.
"""

import dataclasses
import json
import operator
import os
import statistics
import subprocess

OURS = "ours"
OPERATORS = {"<=": operator.le, ">=": operator.ge}


class RowError(Exception):
    """The row failed: something that it needs did not work, or a receiver held something else than what was sent."""


class RowSkipped(Exception):
    """The row cannot be measured on this machine; its words say why.  With --quick this is a failure as well."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of a row.  `stats` become lines of the table: median, mean, min, max, or pN."""
    name: str
    unit: str
    stats: tuple = ("median",)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One measurement of one side.  `spread` is (lowest, highest) where the value stands for several rounds of a program."""
    case: str
    figure: str
    side: str
    value: float
    spread: tuple = None


@dataclasses.dataclass(frozen=True)
class Goal:
    """`op` and `value` for ours / `other`, or for ours itself where other is None.  `case` may end in * for all that begin so."""
    figure: str
    op: str
    value: float
    other: str = None
    case: str = "*"
    stat: str = None

    def fits(self, case, figure, stat, other):
        is_case = case.startswith(self.case[:-1]) if self.case.endswith("*") else case == self.case
        return is_case and figure == self.figure and other == self.other and self.stat in (None, stat)

    def is_met(self, value):
        return OPERATORS[self.op](value, self.value)

    def __str__(self):
        return f"{'≥' if self.op == '>=' else '≤'} {self.value:g}" + (" ×" if self.other else "")


class Row:
    """A row: subclasses give name, title, figures, goals and run().  `seconds` is what a quick run may take; it is told, not enforced."""

    name = ""
    title = ""
    figures = ()
    goals = ()
    seconds = 10

    def run(self, ctx):
        """Yields samples.  ctx is a harness.context.Context."""
        raise NotImplementedError

    def figure(self, name):
        return next(figure for figure in self.figures if figure.name == name)


def json_lines(command, cwd=None, timeout_s=600, env=None):
    """What a program prints as JSON lines; it must end with 0."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout_s, check=False)
    if done.returncode != 0:
        raise RowError(f"{os.path.basename(str(command[0]))} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@dataclasses.dataclass(frozen=True)
class Line:
    """Where a ProgramRow finds a figure: `ours` and each of `others` (side -> case) are cases that the program prints."""
    case: str
    figure: str
    ours: str
    others: dict = dataclasses.field(default_factory=dict)
    unit: str = None  # to tell cases of the same name apart


class ProgramRow(Row):
    """A row of one program of perf/ that prints JSON lines {bench, case, unit, rounds, min, median, max} and takes turns by itself.
    It runs `runs` times, and each of its medians is a sample."""

    program = ""
    lines = ()
    quick_args = ()
    full_args = ()
    full_runs = 3

    def command(self, ctx):
        return [ctx.program(self.program), *(self.quick_args if ctx.quick else self.full_args)]

    def run(self, ctx):
        for _ in range(1 if ctx.quick else self.full_runs):
            with ctx.folder() as folder:
                printed = json_lines(self.command(ctx), cwd=folder)
            for line in self.lines:
                for side, case in {OURS: line.ours, **line.others}.items():
                    found = [p for p in printed if p.get("case") == case and line.unit in (None, p.get("unit"))]
                    if not found:
                        raise RowError(f"{self.program} prints no case {case!r}")
                    # The same limit may be measured beside each case: the last one stands for it.
                    result = found[-1]
                    yield Sample(line.case, line.figure, side, result["median"],
                                 (result.get("min", result["median"]), result.get("max", result["median"])))


def stat_of(values, stat):
    """median, mean, min, max, or pN: the value below which N percent lie."""
    if stat == "median":
        return statistics.median(values)
    if stat == "mean":
        return statistics.fmean(values)
    if stat in ("min", "max"):
        return {"min": min, "max": max}[stat](values)
    values = sorted(values)
    return values[min(len(values) - 1, int(float(stat[1:]) / 100 * len(values)))]
