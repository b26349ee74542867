"""What a row of the table is.

A row measures one thing, ours and others' in turns, and yields samples.  Samples of one (case, figure) belong together; the i-th of each
side are from the same round, so that a ratio compares what ran one after the other.
"""

import dataclasses
import json
import operator
import os
import re
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
    """One measurement of one side.  `spread` is (lowest, highest) where the value stands for several rounds of a program;
    `ratio` is (median, lowest, highest) of ours / this side where the program that took the turns itself said so.
    `turn` numbers the rounds in which sides took turns, where not every side has a sample of each."""
    case: str
    figure: str
    side: str
    value: float
    spread: tuple = None
    ratio: tuple = None
    turn: int = None


@dataclasses.dataclass(frozen=True)
class Goal:
    """`op` and `value` for ours / `other`, or for ours itself where other is None.  `case` may end in * for all that begin so.  `bound` says what
    keeps us from it, for the page where it is not met: {case;figure;side}, of the same row, or {ROW;case;figure;side} stand for what was
    measured, and {=} for the case of the goal; a figure may have its statistic behind it (to all p99)."""
    figure: str
    op: str
    value: float
    other: str = None
    case: str = "*"
    stat: str = None
    bound: str = ""

    def fits(self, case, figure, stat, other):
        is_case = case.startswith(self.case[:-1]) if self.case.endswith("*") else case == self.case
        return is_case and figure == self.figure and other == self.other and self.stat in (None, stat)

    def is_met(self, value):
        return OPERATORS[self.op](value, self.value)

    def __str__(self):
        return f"{'≥' if self.op == '>=' else '≤'} {self.value:g}" + (" ×" if self.other else "")


class Row:
    """A row: subclasses give name, title, figures, goals and run().  `seconds` is what a quick run takes.  `is_smaller_when_quick`: with --quick it
    measures less than what the goals are for, so that they are not judged."""

    name = ""
    title = ""
    figures = ()
    goals = ()
    seconds = 10
    is_smaller_when_quick = False

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


class ProgramRow(Row):
    """A row of one program of perf/ that takes its turns itself and prints JSON lines {bench, case, unit, rounds, min, median, max} (bench.h).

    Every case becomes a line, its unit being the figure.  A case "A / B" of the unit "ratio" puts B beside A as its peer or limit.  `limits` are
    cases, without what follows a comma, that are not ours.  `pick` is a pattern of the cases that are of interest."""

    program = ""
    pick = ""
    limits = ()
    quick_args = ()
    full_args = ()
    full_runs = 3

    def __init__(self, name="", title="", **attributes):
        self.name, self.title = name or self.name, title or self.title
        for key, value in attributes.items():
            setattr(self, key, value)

    def command(self, ctx):
        return [ctx.program(self.program), *(self.quick_args if ctx.quick else self.full_args)]

    def figure(self, name):
        return Figure(name, name)

    def run(self, ctx):
        for _ in range(1 if ctx.quick else self.full_runs):
            with ctx.folder() as folder:
                yield from samples_of(json_lines(self.command(ctx), cwd=folder), self.pick, self.limits)


def triple(printed):
    return printed["median"], printed.get("min", printed["median"]), printed.get("max", printed["median"])


def paired(printed):
    """(A, B, their ratio as printed) for each case "A / B"; A and B are None where no such cases were printed.  The same limit may be
    measured beside each case: a ratio refers to the last one before it."""
    seen = {}
    for p in printed:
        if p["unit"] != "ratio":
            seen.setdefault(p["case"], {})[p["unit"]] = p
        elif " / " in p["case"]:
            name, _, other = p["case"].partition(" / ")
            _, comma, where = other.partition(", ")
            mine = seen.get(name) or seen.get(f"{name}{comma}{where}") or {}
            unit = next((unit for unit in mine if unit in seen.get(other, {})), None)
            yield (mine[unit], seen[other][unit], p) if unit else (None, None, p)
        else:
            yield None, None, p


def samples_of(printed, pick="", limits=(), rename=str):
    """Samples of what a program printed."""
    def is_limit(p):
        return p["case"].partition(", ")[0] in limits

    printed = [p for p in printed if "case" in p and "median" in p and re.search(pick, p["case"])]
    for p in printed:
        if p["unit"] != "ratio" and not is_limit(p):
            yield Sample(rename(p["case"]), p["unit"], OURS, p["median"], triple(p)[1:])
    for ours, other, p in paired(printed):
        ratio = triple(p)
        if ours is None:
            yield Sample(rename(p["case"]), "ratio", OURS, ratio[0], ratio[1:])
            continue
        if is_limit(ours) and is_limit(other):
            continue
        if is_limit(ours):  # turned round, so that ours comes first
            ours, other, ratio = other, ours, (1 / ratio[0], 1 / ratio[2], 1 / ratio[1])
        yield Sample(rename(ours["case"]), ours["unit"], other["case"].partition(", ")[0], other["median"], triple(other)[1:], ratio)


def stat_of(values, stat):
    """median, mean, min, max, or pN: the least value that more than N percent of the values do not exceed, one that was measured: of 200
    values p99 is the second largest, of 100 and less the largest."""
    if stat == "median":
        return statistics.median(values)
    if stat == "mean":
        return statistics.fmean(values)
    if stat in ("min", "max"):
        return {"min": min, "max": max}[stat](values)
    values = sorted(values)
    return values[min(len(values) - 1, int(float(stat[1:]) / 100 * len(values)))]
