"""docs/performance.md: its figures come from results and from nowhere else.

What is recorded of a run lies beside it in docs/performance.jsonl.  In the text, blocks between <!-- figures ... --> and <!-- end --> are written
from that, and so are the pictures; perf/run --doc does both, and a test holds all of it against the recorded lines.  Blocks:

  machine                    what it was measured on, which rows at which commit and when, and what was not measured
  goals                      every line of the table that has a goal
  bounds                     what is not met, and what was measured that bounds it (Goal.bound)
  lines ROW [CASE]           the lines of a row, of the cases that contain CASE
  sides ROW FIGURE STAT [CASE]   one line per side, one column per case; in brackets ours / that side
  curve NAME                 a picture"""

import json
import os
import re

from harness import machine, results, svg, table
from harness.table import goal_text, line_from, number, spread_text
from harness.topology import PERF

DOCS = os.path.join(os.path.dirname(PERF), "docs")
PAGE = os.path.join(DOCS, "performance.md")
RECORD = os.path.join(DOCS, "performance.jsonl")
IMAGES = os.path.join(DOCS, "images")
BLOCK = re.compile(r"<!-- figures ([^\n]*?) -->\n(.*?)<!-- end -->", re.S)
# Measured figures look like this.  Outside of blocks there is to be none.
MEASURED = re.compile(r"(?<![\w.])\d[\d,.]*\s?(?:ms|us|µs|ns|Mbit/s|Gbit/s|MB/s|GB/s|Mpps|cycles|×|x the|times)(?!\w)")


RUN = ("commit", "quick", "at", "load", "stolen")  # of a row's record: when its lines were measured


class Record:
    """What is recorded: the machine, lines of the table and the run that each is from, and what was not measured."""

    def __init__(self, records):
        def of(kind):
            return [r for r in records if r["kind"] == kind]

        self.machine = of("machine")[0]
        self.lines = [line_from(r) for r in of("line")]
        self.runs = {}  # {(commit, is it quick): {row: {case: (at, load, stolen)}}}
        for r in of("line"):
            cases = self.runs.setdefault((r["commit"], r["quick"]), {}).setdefault(r["row"], {})
            cases[r["case"]] = (r["at"], r["load"], r.get("stolen"))
        self.not_measured = results.not_measured(of("note"), of("left out"), {(line.row, line.case) for line in self.lines})

    def of(self, row, case=""):
        return [line for line in self.lines if line.row == row and case in line.case]

    def value(self, row, case, figure, side, stat="median"):
        """Of one side, or None."""
        for line in self.lines:
            if (line.row, line.case, line.figure, line.stat) == (row, case, figure, stat):
                if side == "ours" and line.ours is not None:
                    return line.ours
                if side == line.other:
                    return line.other_value
        return None


def merge(runs):
    """The records of several runs as those of one: of each case of a row the last from a row that did not fail.  They have to be of one machine.
    What is recorded already (RECORD) may be one of them: its lines keep the runs that they are from."""
    about, rows, notes, left_out = None, {}, {}, {}
    for records in runs:
        for record in records:
            if record["kind"] == "machine":
                if about and machine.hardware_text(record) != machine.hardware_text(about):
                    raise SystemExit("perf/run: these results are of different machines, packages or builds")
                about = record
        for row, lines, said, missing in results.row_parts(records):
            name, fresh = row["row"], {}
            for line in lines:
                fresh.setdefault(line["case"], []).append({**{key: row.get(key) for key in RUN}, **line})
            # Measured as a whole it replaces what was there, else only its cases.
            rows[name] = {**(rows.get(name, {}) if row["wanted"] else {}), **fresh}
            notes[name] = (notes.get(name, []) if row["wanted"] else []) + said
            left_out[name] = (left_out.get(name, []) if row["wanted"] else []) + missing
    joined = [about]
    for name, cases in rows.items():
        joined += [line for found in cases.values() for line in found] + notes[name] + left_out[name]
        joined.append({"kind": "row", "row": name, "error": None, "wanted": []})
    return joined


def markdown(headings, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, ["---"] * len(headings), *rows]) + "\n"


def block_machine(record):
    text = machine.hardware_text(record.machine).replace("\n", "  \n")
    told = []
    for (commit, is_quick), rows in record.runs.items():
        marks = [mark for cases in rows.values() for mark in cases.values()]
        names = [name if len(cases) == len({line.case for line in record.of(name)}) else f"{name} ({'; '.join(cases)})"
                 for name, cases in sorted(rows.items())]
        times, loads, stolen = zip(*marks)
        stolen = [share for share in stolen if share is not None]
        taken = f", at most {max(stolen):g} % of the processors taken by the machine's host" if stolen else ""
        told.append(f"Measured at commit {commit} with `perf/run{' --quick' if is_quick else ''}`, rows begun from {min(times)} to {max(times)} UTC, load "
                    f"before them {min(loads):g} to {max(loads):g}{taken}: {', '.join(names)}.")
    told += [f"Not measured: {note}." for note in record.not_measured]
    return text + "\n" + "".join(f"\n- {line}" for line in told) + "\n"


def block_goals(record):
    rows = [[line.row, f"{line.case}: {table.figure_text(line)}", number(line.ratio if line.other else line.ours), line.other or "",
             spread_text(line), line.goal, "met" if line.is_met else "**not met**"] for line in record.lines if line.goal]
    return markdown(["row", "figure", "measured", "as a ratio to", "spread", "goal", ""], rows)


MEASURED_IN_BOUND = re.compile(r"{([^{}]+)}")


def bound_text(record, line, bound):
    """With what was measured in its places."""
    def figure(match):
        *row, case, name, side = match.group(1).split(";")
        name, _, stat = name.partition(" p") if re.search(r" p\d+$", name) else (name, "", "")
        case = line.case if case == "=" else case
        stat = f"p{stat}" if stat else "median"
        value = record.value(row[0] if row else line.row, case, name, side, stat)
        unit = next((found.unit for found in record.of(row[0] if row else line.row, case) if found.figure == name), "")
        return "(not measured)" if value is None else f"{number(value)} {unit}"

    return MEASURED_IN_BOUND.sub(figure, bound)


def all_rows():
    import peers
    import rows
    return rows.all_rows() + peers.all_rows()


def block_bounds(record):
    goals = {row.name: row.goals for row in all_rows()}
    told = {}
    for line in record.lines:
        if line.goal and not line.is_met:
            goal = next((goal for goal in goals.get(line.row, ()) if goal.fits(line.case, line.figure, line.stat, line.other)), None)
            text = bound_text(record, line, goal.bound) if goal and goal.bound else "No bound is shown."
            told.setdefault((line.row, text), []).append(
                f"{line.case}: {table.figure_text(line)}{f' to {line.other}' if line.other else ''} ({number(line.ratio if line.other else line.ours)}, "
                f"wanted {line.goal})")
    return "".join(f"- **{row}**, {'; '.join(lines)}. {text}\n" for (row, text), lines in told.items()) or "All are met.\n"


def block_lines(record, row, case=""):
    lines = record.of(row, case)
    has_other = any(line.other for line in lines)
    has_goal = any(line.goal for line in lines)
    headings = ["", "ours"] + (["peer or limit", "its value", "ratio"] if has_other else []) + ["spread"] + (["goal"] if has_goal else [])
    rows = []
    for line in lines:
        cells = [f"{line.case}: {table.figure_text(line)}", number(line.ours)]
        cells += [line.other or "", number(line.other_value), number(line.ratio)] if has_other else []
        rows.append(cells + [spread_text(line)] + ([goal_text(line)] if has_goal else []))
    return markdown(headings, rows)


def in_order(cases):
    """Those that begin with a number by their numbers: a page may join them from several runs."""
    cases = list(cases)
    if all(case[:1].isdigit() for case in cases):
        cases.sort(key=lambda case: [float(word) for word in re.findall(r"\d+(?:\.\d+)?", case.replace(",", ", "))])
    return cases


def block_sides(record, row, figure, stat, case=""):
    figure = figure.replace("_", " ")
    lines = [line for line in record.of(row, case) if (line.figure, line.stat) == (figure, stat)]
    cases = in_order(dict.fromkeys(line.case for line in lines))
    sides = ["ours"] + list(dict.fromkeys(line.other for line in lines if line.other))
    rows = []
    for side in sides:
        cells = []
        for name in cases:
            value = record.value(row, name, figure, side, stat)
            found = [line for line in lines if line.case == name and side in ("ours", line.other)]
            mark = "*" if found and table.is_largest(stat, max(line.rounds for line in found)) else ""
            ratio = f" ({number(found[0].ratio)})" if found and side != "ours" and found[0].ratio else ""
            cells.append(number(value) + mark + ratio)
        rows.append([side, *cells])
    unit = lines[0].unit if lines else ""
    note = " (* the largest of at most 100 rounds)" if any("*" in cell for cells in rows for cell in cells) else ""
    return markdown([f"{figure}{'' if stat == 'median' else ' ' + stat}, {unit}{note}", *cases], rows)


def cases_curve(record, row, figure, stat, cases, sides):
    """[(side, [(x, y)])] for cases {x: case}."""
    series = []
    for side in sides:
        points = [(x, record.value(row, case, figure, side, stat)) for x, case in cases.items()]
        points = [(x, y) for x, y in points if y]
        if points:
            series.append((side, points))
    return series


def curves(record):
    """{name: SVG} of all pictures."""
    sides = ["ours"] + list(dict.fromkeys(line.other for line in record.of("object") if line.other))
    limits = [side for side in sides if side == "ours" or side.startswith("raw") and "GSO" not in side]
    by_loss = {loss: f"4 receivers, {loss:g} %" for loss in (0, 0.1, 1, 5)}
    by_count = {count: f"{count} receiver{'s' if count > 1 else ''}, 1 %" for count in (1, 2, 4, 8)}
    by_size = {10 ** n: f"{10 ** n:,} receivers" for n in range(2, 7)}
    fleet = {figure: cases_curve(record, "fleet-size", figure, "median", by_size, ["ours"])
             for figure in ("sent per byte", "NACKs", "NACKs in one round")}
    return {
        "goodput-by-loss": svg.chart("64 MiB to 4 receivers", "loss, %", "Mbit/s",
                                     cases_curve(record, "object", "goodput", "median", by_loss, [s for s in sides if s != "raw GSO"])),
        "goodput-by-receivers": svg.chart("64 MiB at 1 % loss", "receivers", "Mbit/s",
                                          cases_curve(record, "object", "goodput", "median", by_count, limits), x_ticks=[1, 2, 4, 8]),
        "goodput-shaped": svg.chart("64 MiB at 1 % loss, sender's link 1 Gbit/s", "receivers", "Mbit/s",
                                    cases_curve(record, "object-1g", "goodput", "median", by_count, limits), x_ticks=[1, 2, 4, 8]),
        "sent-by-fleet": svg.chart("1 MB at 1 % loss, simulated", "receivers", "bytes sent per byte of content",
                                   fleet["sent per byte"], x_log=True),
        "nacks-by-fleet": svg.chart("1 MB at 1 % loss, simulated", "receivers", "NACKs that the sender hears",
                                    [("all", points) for _, points in fleet["NACKs"]]
                                    + [("in one round", points) for _, points in fleet["NACKs in one round"]], x_log=True),
    }


CURVES = ("goodput-by-loss", "goodput-by-receivers", "goodput-shaped", "sent-by-fleet", "nacks-by-fleet")


def block_curve(_record, name):
    if name not in CURVES:
        raise ValueError(f"no curve {name}")
    return f"![{name.replace('-', ' ')}](images/{name}.svg)\n"


BLOCKS = {"machine": block_machine, "goals": block_goals, "bounds": block_bounds, "lines": block_lines, "sides": block_sides, "curve": block_curve}


def render(text, record):
    """The page with all of its blocks written anew."""
    def write(match):
        kind, *arguments = match.group(1).split(" ")
        if kind == "lines":
            arguments = arguments[:1] + [" ".join(arguments[1:])]
        elif kind == "sides":
            arguments = arguments[:3] + [" ".join(arguments[3:])]
        return f"<!-- figures {match.group(1)} -->\n{BLOCKS[kind](record, *arguments)}<!-- end -->"

    return BLOCK.sub(write, text)


def loose_figures(text):
    """What looks measured in the page's own words."""
    return MEASURED.findall(BLOCK.sub("", text))


def write_all(paths):
    """Records these results and writes the page and its pictures from them."""
    records = merge([results.load(path) for path in paths])
    with open(RECORD, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(r) + "\n" for r in records)
    write_page()


def write_page():
    record = Record(results.load(RECORD))
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(render(text, record))
    os.makedirs(IMAGES, exist_ok=True)
    for name, picture in curves(record).items():
        with open(os.path.join(IMAGES, f"{name}.svg"), "w", encoding="utf-8") as file:
            file.write(picture)
