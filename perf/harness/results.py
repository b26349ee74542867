"""Results of a run: perf/results/TIME.jsonl, one record a line, written as it comes.  Kinds of records:

  machine       what it runs on (harness/machine.py); a run that is resumed has one for each time
  sample        one measurement (rows.Sample) and its row
  line          a line of the table (table.TableLine)
  note          a row's words on what was not measured
  left out      a row's case that was not measured, and why
  row           the end of a row: seconds, error or None, whether it was --quick, which cases were wanted (none named: all), on which commit and when"""

import json
import os

from harness.table import line_from


class Results:
    def __init__(self, path, is_resumed=False):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        self.path = path
        self.file = open(path, "a" if is_resumed else "w", encoding="utf-8")

    def put(self, kind, record):
        print(json.dumps({"kind": kind, **record}), file=self.file, flush=True)


def load(path):
    """Its records.  A run that was killed may have left half of its last line."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def row_parts(records):
    """(record of the row, its lines, notes, left out) for each row that ended without an error, in order."""
    pending = {"line": [], "note": [], "left out": []}
    for record in records:
        if record["kind"] in pending:
            pending[record["kind"]].append(record)
        elif record["kind"] == "row":
            own = [[r for r in found if r["row"] == record["row"]] for found in pending.values()]
            if not record["error"]:
                yield record, *own
            pending = {kind: [] for kind in pending}


def not_measured(notes, left_out, measured):
    """What was not measured, in words.  `measured`: the (row, case) that were, by this run or by another that is joined with it."""
    texts = list(dict.fromkeys(note["text"] for note in notes))
    groups = {}
    for record in left_out:
        if (record["row"], record["case"]) not in measured:
            cases = groups.setdefault((record["row"], record["why"]), [])
            if record["case"] not in cases:
                cases.append(record["case"])
    return texts + [f"{row}: {'; '.join(cases)} ({why})" for (row, why), cases in groups.items()]


class Earlier:
    """What a run that was ended has measured already: rows that it finished with the same --quick and the same cases wanted."""

    def __init__(self, path, is_quick, wanted_of):
        self.lines, self.notes, self.left_out, self.rows = [], [], [], set()
        for row, lines, notes, left_out in row_parts(load(path)) if path else ():
            if row["quick"] == is_quick and row["wanted"] == wanted_of(row["row"]) and row["row"] not in self.rows:
                self.rows.add(row["row"])
                self.lines += [line_from(line) for line in lines]
                self.notes += notes
                self.left_out += left_out
