"""From samples to lines of the table: figure, ours, the other, ratio, spread, goal."""

import dataclasses

from harness.rows import OURS, stat_of

PARTS = 5  # into which a run is cut to say how much a ratio differs within it


@dataclasses.dataclass
class TableLine:
    row: str
    case: str
    figure: str
    stat: str
    unit: str
    ours: float = None
    other: str = None
    other_value: float = None
    ratio: float = None  # ours / other
    spread: tuple = None  # of the ratio, or of ours where there is no other: lowest and highest part of the run
    rounds: int = 0
    goal: str = None
    is_met: bool = None

    @property
    def key(self):
        """Names a line in docs/performance.md."""
        return "/".join([self.row, self.case, self.figure, self.stat, self.other or ""])


def line_from(record):
    """As it was recorded."""
    names = {field.name for field in dataclasses.fields(TableLine)}
    return TableLine(**{key: value for key, value in record.items() if key in names})


def parts(values):
    """The run in at most PARTS pieces in order, so that rounds that followed each other stay together."""
    count = min(PARTS, len(values))
    return [values[i * len(values) // count:(i + 1) * len(values) // count] for i in range(count)]


def pairs_of(ours, others):
    """[(ours, theirs)]: values of the same turn; where turns have no numbers, the i-th of each."""
    if any(sample.turn is None for sample in [*ours, *others]):
        return [(a.value, b.value) for a, b in zip(ours, others)]
    theirs = {sample.turn: sample.value for sample in others}
    return [(sample.value, theirs[sample.turn]) for sample in ours if sample.turn in theirs]


def ratio_of_pairs(pairs, stat):
    """Of a median: the median of the turns' ratios, since what disturbs the machine for seconds disturbs both sides of a turn.  Of others, as of a
    p99: the ratio of both sides' statistics, since the slowest of one need not be the slowest of the other.  None where theirs is 0."""
    if stat in ("median", "p50"):
        ratios = [a / b for a, b in pairs if b != 0]
        return stat_of(ratios, "median") if ratios else None
    value = stat_of([b for _, b in pairs], stat)
    return stat_of([a for a, _ in pairs], stat) / value if value != 0 else None


def ratio_and_spread(ours, others, stat):
    """Ours / theirs, and the lowest and highest among the parts of the run."""
    if all(sample.ratio for sample in others):
        return (stat_of([sample.ratio[0] for sample in others], stat),
                (min(sample.ratio[1] for sample in others), max(sample.ratio[2] for sample in others)))
    pairs = pairs_of(ours, others)
    ratios = [ratio for ratio in (ratio_of_pairs(part, stat) for part in parts(pairs)) if ratio is not None]
    return (ratio_of_pairs(pairs, stat), (min(ratios), max(ratios))) if ratios else (None, None)


def own_spread(ours, stat):
    if len(ours) == 1 and ours[0].spread:
        return ours[0].spread
    values = [stat_of(part, stat) for part in parts([s.value for s in ours])]
    return min(values), max(values)


def judge(goals, line):
    """Puts the goal into a line that has one."""
    for goal in goals:
        if goal.fits(line.case, line.figure, line.stat, line.other):
            line.goal = str(goal)
            line.is_met = goal.is_met(line.ratio if goal.other else line.ours)
    return line


def lines_of(row, samples, goals=None):
    """All lines of a row: one per (case, figure, stat) and other side; others alone where there are none of ours.  `goals`: its own, unless given."""
    goals = row.goals if goals is None else goals
    groups = {}
    for sample in samples:
        groups.setdefault((sample.case, sample.figure), {}).setdefault(sample.side, []).append(sample)
    lines = []
    for (case, figure_name), sides in groups.items():
        figure = row.figure(figure_name)
        ours = sides.pop(OURS, None)
        for stat in figure.stats:
            start = {"row": row.name, "case": case, "figure": figure_name, "stat": stat, "unit": figure.unit}
            mine = stat_of([s.value for s in ours], stat) if ours else None
            has_own_goal = any(goal.fits(case, figure_name, stat, None) for goal in goals)
            if ours and (not sides or has_own_goal):
                lines.append(judge(goals, TableLine(**start, ours=mine, spread=own_spread(ours, stat), rounds=len(ours))))
            for other, theirs in sides.items():
                value = stat_of([s.value for s in theirs], stat)
                line = TableLine(**start, ours=mine, other=other, other_value=value, rounds=len(theirs))
                if ours:
                    line.ratio, line.spread = ratio_and_spread(ours, theirs, stat)
                    line.rounds = min(len(ours), len(theirs))
                if line.ratio is not None:
                    judge(goals, line)
                lines.append(line)
    return lines


def number(value):
    """Three significant digits, and thousands apart."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def spread_text(line):
    if not line.spread or line.spread[0] == line.spread[1]:
        return ""
    return f"{number(line.spread[0])} to {number(line.spread[1])}"


def goal_text(line):
    if line.goal is None:
        return ""
    return f"{line.goal}: {'met' if line.is_met else 'not met'}"


HEADINGS = ("figure", "ours", "peer or limit", "its value", "ratio", "spread", "rounds", "goal")


def is_largest(stat, rounds):
    """A p99 of so few rounds is the largest of them (rows.stat_of)."""
    return stat == "p99" and rounds <= 100


def figure_text(line):
    """Without the figure's name where it is but its unit."""
    stat = "" if line.stat == "median" else f" {line.stat}"
    if is_largest(line.stat, line.rounds):
        stat += f" (the largest of {line.rounds})"
    return f"{line.unit}{stat}" if line.figure == line.unit else f"{line.figure}{stat}, {line.unit}"


def cells(line):
    return (f"{line.case}: {figure_text(line)}", number(line.ours), line.other or "", number(line.other_value), number(line.ratio),
            spread_text(line), str(line.rounds), goal_text(line))


def text_table(lines):
    """The table for a terminal, with a heading per row."""
    rows = [HEADINGS] + [cells(line) for line in lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    out, last = [], None

    def put(row):
        out.append("  ".join(cell.ljust(width) if i in (0, 2, 7) else cell.rjust(width)
                             for i, (cell, width) in enumerate(zip(row, widths))).rstrip())

    put(HEADINGS)
    for line, row in zip(lines, rows[1:]):
        if line.row != last:
            last = line.row
            out.append(f"-- {line.row}")
        put(row)
    return "\n".join(out)
