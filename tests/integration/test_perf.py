#!/usr/bin/env python3
"""The harness of perf/: how it pairs, divides and judges, and that docs/performance.md says what was recorded."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "perf"))
sys.dont_write_bytecode = True

from harness import doc, results, rows, svg, table, topology  # noqa: E402
from harness.running import Running  # noqa: E402
from harness.rows import OURS, Figure, Goal, Row, RowError, Sample  # noqa: E402
from harness.side import CHANGE, OBJECT, Side  # noqa: E402


class Speed(Row):
    name = "speed"
    figures = (Figure("speed", "m/s"), Figure("time", "ms", ("p50", "p99")))
    goals = (Goal("speed", ">=", 0.5, "peer"), Goal("speed", ">=", 100, None, "far"), Goal("time", "<=", 7, None, stat="p99"))


def samples(side, values, case="near", figure="speed"):
    return [Sample(case, figure, side, value) for value in values]


def only(lines, **what):
    found = [line for line in lines if all(getattr(line, name) == value for name, value in what.items())]
    assert len(found) == 1, lines
    return found[0]


class Table(unittest.TestCase):
    def test_a_ratio_is_ours_by_theirs_and_its_spread_that_of_rounds_in_turns(self):
        line = only(table.lines_of(Speed(), samples(OURS, [2, 8, 3]) + samples("peer", [4, 4, 4])), other="peer")
        self.assertEqual((line.ours, line.other_value, line.ratio, line.spread, line.rounds), (3, 4, 0.75, (0.5, 2.0), 3))

    def test_a_ratio_is_the_median_of_the_turns_ratios(self):
        line = only(table.lines_of(Speed(), samples(OURS, [1, 2, 30]) + samples("peer", [1, 4, 15])), other="peer")
        self.assertEqual((line.ours, line.other_value, line.ratio), (2, 4, 1))

    def test_a_ratio_of_tails_is_that_of_both_tails(self):
        line = only(table.lines_of(Speed(), samples(OURS, [1, 2, 30], figure="time") + samples("peer", [15, 4, 1], figure="time")), stat="p99",
                    other="peer")
        self.assertEqual(line.ratio, 2)

    def test_turns_that_one_side_lacks_are_left_out_of_the_ratio(self):
        ours = [Sample("near", "speed", OURS, value, turn=turn) for turn, value in enumerate([2, 8, 3])]
        line = only(table.lines_of(Speed(), ours + [Sample("near", "speed", "peer", 4, turn=1)]), other="peer")
        self.assertEqual((line.ratio, line.rounds), (2, 1))

    def test_a_ratio_to_nothing_is_none(self):
        line = only(table.lines_of(Speed(), samples(OURS, [2]) + samples("peer", [0])), other="peer")
        self.assertEqual((line.ratio, line.spread, line.goal), (None, None, None))

    def test_a_percentile_is_a_value_that_was_measured(self):
        for count, p99 in ((20, 20), (100, 100), (101, 100), (200, 199)):
            self.assertEqual(rows.stat_of(list(range(1, count + 1)), "p99"), p99)

    def test_a_p99_of_few_rounds_is_called_what_it_is(self):
        for count, text in ((100, "time p99 (the largest of 100), ms"), (101, "time p99, ms")):
            line = only(table.lines_of(Speed(), samples(OURS, range(count), figure="time")), stat="p99")
            self.assertEqual(table.figure_text(line), text)

    def test_both_sides_of_a_goal_for_a_ratio(self):
        for ours, is_met in ((2, True), (1.99, False)):
            line = only(table.lines_of(Speed(), samples(OURS, [ours]) + samples("peer", [4])), other="peer")
            self.assertEqual((line.goal, line.is_met), ("≥ 0.5 ×", is_met))

    def test_a_goal_without_a_peer_has_a_line_of_its_own(self):
        lines = table.lines_of(Speed(), samples(OURS, [99], "far") + samples("else", [1], "far"))
        self.assertIs(only(lines, other=None).is_met, False)
        self.assertIsNone(only(lines, other="else").goal)

    def test_a_goal_is_for_its_statistic_alone(self):
        lines = table.lines_of(Speed(), samples(OURS, range(1, 101), figure="time"))
        self.assertEqual([(line.stat, line.ours, line.is_met) for line in lines], [("p50", 51, None), ("p99", 100, False)])

    def test_a_peer_without_us_is_shown_without_a_ratio(self):
        line = only(table.lines_of(Speed(), samples("peer", [4])), other="peer")
        self.assertEqual((line.ours, line.ratio, line.goal), (None, None, None))

    def test_parts_of_a_run_are_in_order_and_whole(self):
        self.assertEqual(table.parts(list(range(12))), [[0, 1], [2, 3], [4, 5, 6], [7, 8], [9, 10, 11]])
        self.assertEqual(table.parts([1, 2]), [[1], [2]])

    def test_numbers_have_three_digits(self):
        self.assertEqual([table.number(x) for x in (None, 0, 0.01234, 1.234, 12.34, 123.4, 1234.5)],
                         ["", "0", "0.0123", "1.23", "12.3", "123", "1,234"])


class Programs(unittest.TestCase):
    printed = [{"case": "plain, 1 thread", "unit": "ns", "min": 1, "median": 2, "max": 3}, {"case": "ours, 1 thread", "unit": "ns", "median": 4},
               {"case": "ours / plain, 1 thread", "unit": "ratio", "min": 1, "median": 2, "max": 4},
               {"case": "lock, 1 thread", "unit": "ns", "median": 8},
               {"case": "lock / ours, 1 thread", "unit": "ratio", "min": 1, "median": 2, "max": 4}]

    def test_a_printed_ratio_puts_its_limit_beside_the_case(self):
        found = list(rows.samples_of(self.printed, limits=("plain", "lock")))
        self.assertEqual([(s.case, s.side, s.value) for s in found],
                         [("ours, 1 thread", OURS, 4), ("ours, 1 thread", "plain", 2), ("ours, 1 thread", "lock", 8)])
        self.assertEqual([s.ratio for s in found], [None, (2, 1, 4), (0.5, 0.25, 1)])

    def test_the_ratio_of_the_program_counts_and_not_that_of_medians(self):
        line = only(table.lines_of(rows.ProgramRow("p", "p"), list(rows.samples_of(self.printed, limits=("plain", "lock")))), other="lock")
        self.assertEqual((line.ratio, line.spread), (0.5, (0.25, 1)))

    def test_a_pattern_picks_cases(self):
        self.assertEqual(list(rows.samples_of(self.printed, pick="^nothing")), [])

    def test_a_program_that_fails_fails_the_row(self):
        with self.assertRaises(RowError):
            rows.json_lines(["false"])


class Turns(unittest.TestCase):
    class Context:
        quick = True

        def __init__(self):
            self.notes = []

        def note(self, text):
            self.notes.append(text)

        log = note

        def rounds(self, quick, _):
            return quick

    class Topology:
        loss = 0

    class Peer(Side):
        works = (CHANGE,)

        def __init__(self, name, starts=True):
            self.name, self.starts, self.log = name, starts, []

        def start(self, *_):
            self.log.append("start")
            if not self.starts:
                raise RowError("no")

        def stop(self):
            self.log.append("stop")

    def running(self, *sides):
        self.ctx = self.Context()
        running = Running(self.ctx, self.Topology(), sides, CHANGE, 4, False)
        running.start()
        return running

    def fail(self):
        raise RowError("lost")

    def test_a_peer_that_fails_is_told_and_started_anew(self):
        peer = self.Peer("peer")
        running = self.running(peer)
        self.assertEqual(running.attempt(peer, "case", self.fail), [])
        self.assertEqual(peer.log, ["start", "stop", "start"])
        self.assertIn("peer failed (case): lost", self.ctx.notes)

    def test_a_peer_that_does_not_start_takes_no_turns(self):
        self.assertEqual(self.running(self.Peer("peer", starts=False)).started, [])

    def test_we_do_not_fail_in_silence(self):
        ours = self.Peer(OURS)
        with self.assertRaises(RowError):
            self.running(ours).attempt(ours, "case", self.fail)

    def test_who_cannot_do_it_is_not_asked(self):
        peer = self.Peer("peer")
        Running(self.Context(), self.Topology(), [peer], OBJECT, 4, False).start()
        self.assertEqual(peer.log, [])

    def test_everything_that_was_started_is_stopped_once(self):
        peers = [self.Peer("a"), self.Peer("b")]
        running = self.running(*peers)
        running.stop()
        running.stop()
        self.assertEqual([peer.log for peer in peers], [["start", "stop"]] * 2)


def run_of(row, cases, at="1", wanted=(), error=None, said=(), missing=()):
    """Records of a run of one row."""
    lines = [{"kind": "line", "row": row, "case": case, "figure": "f", "stat": "median", "unit": "u", "ours": ours} for case, ours in cases.items()]
    return [*lines, *({"kind": "note", "row": row, "text": text} for text in said),
            *({"kind": "left out", "row": row, "case": case, "why": "why"} for case in missing),
            {"kind": "row", "row": row, "seconds": 1, "error": error, "quick": True, "wanted": list(wanted), "commit": "c" + at, "at": at,
             "load": 0.5, "stolen": 1.0}]


MACHINE = {"kind": "machine", "cpu": "x", "cores": 2, "mhz": 1, "memory_mib": 1, "huge_pages": 0, "system": "s", "kernel": "k", "compiler": "c",
           "build_type": "b", "packages": {}}


class Joined(unittest.TestCase):
    def joined(self, *runs):
        return doc.Record(doc.merge([[MACHINE, *run] for run in runs]))

    def values(self, record):
        return {(line.row, line.case): line.ours for line in record.lines}

    def test_a_whole_row_replaces_what_was_there(self):
        record = self.joined(run_of("a", {"x": 1, "y": 2}, said=["old"]), run_of("a", {"x": 3}, "2", said=["new"]))
        self.assertEqual(self.values(record), {("a", "x"): 3})
        self.assertEqual(record.not_measured, ["new"])

    def test_a_piece_replaces_its_cases_alone(self):
        record = self.joined(run_of("a", {"x": 1, "y": 2}, said=["old"]), run_of("a", {"x": 3}, "2", wanted=["x"]))
        self.assertEqual(self.values(record), {("a", "x"): 3, ("a", "y"): 2})
        self.assertEqual(record.not_measured, ["old"])

    def test_a_failed_row_replaces_nothing(self):
        record = self.joined(run_of("a", {"x": 1}), run_of("a", {"x": 3}, "2", error="no"))
        self.assertEqual(self.values(record), {("a", "x"): 1})

    def test_a_case_that_was_left_out_counts_until_a_run_has_it(self):
        first = run_of("a", {"x": 1}, missing=["y", "z"])
        self.assertEqual(self.joined(first).not_measured, ["a: y; z (why)"])
        self.assertEqual(self.joined(first, run_of("a", {"y": 2}, "2", wanted=["y"])).not_measured, ["a: z (why)"])

    def test_the_page_says_which_commit_each_case_is_from(self):
        text = doc.block_machine(self.joined(run_of("a", {"x": 1, "y": 2}) + run_of("b", {"x": 1}), run_of("a", {"x": 3}, "2", wanted=["x"])))
        self.assertRegex(text, r"commit c1 .*: a \(y\), b\.")
        self.assertRegex(text, r"commit c2 .*: a \(x\)\.")

    def test_what_is_recorded_can_be_joined_with_more(self):
        recorded = doc.merge([[MACHINE, *run_of("a", {"x": 1, "y": 2}, missing=["z"]), *run_of("b", {"x": 1}, said=["note"])]])
        record = doc.Record(doc.merge([recorded, [MACHINE, *run_of("a", {"x": 3}, "2", wanted=["x"])]]))
        self.assertEqual(self.values(record), {("a", "x"): 3, ("a", "y"): 2, ("b", "x"): 1})
        self.assertEqual(record.runs, {("c2", True): {"a": {"x": ("2", 0.5, 1.0)}}, ("c1", True): {"a": {"y": ("1", 0.5, 1.0)}, "b": {"x": ("1", 0.5, 1.0)}}})
        self.assertEqual(record.not_measured, ["note", "a: z (why)"])

    def test_a_p99_of_few_rounds_is_marked_on_the_page(self):
        line = {"kind": "line", "row": "a", "figure": "f", "stat": "p99", "unit": "u", "ours": 1, "other": "peer", "other_value": 2, "ratio": 0.5}
        run = [{**line, "case": "few", "rounds": 100}, {**line, "case": "many", "rounds": 101}, *run_of("a", {})]
        self.assertIn("| ours | 1.00* | 1.00 |\n| peer | 2.00* (0.5) | 2.00 (0.5) |", doc.block_sides(self.joined(run), "a", "f", "p99"))

    def test_results_of_two_machines_are_not_joined(self):
        with self.assertRaises(SystemExit):
            doc.merge([[MACHINE, *run_of("a", {"x": 1})], [{**MACHINE, "cpu": "y"}, *run_of("b", {"x": 1})]])


class Bounds(unittest.TestCase):
    def record(self):
        cases = {"near": 4, "far": 9}
        lines = [line for line in run_of("a", cases) if line["kind"] == "line"]
        lines += [{**line, "stat": "p99", "ours": 2 * line["ours"]} for line in lines]
        lines += [{**lines[0], "row": "b", "ours": None, "other": "peer", "other_value": 7}]
        return doc.Record(doc.merge([[MACHINE, *lines[:4], *run_of("a", {})], [MACHINE, lines[4], *run_of("b", {})]]))

    def test_what_was_measured_stands_in_its_place(self):
        record = self.record()
        for bound, text in (("{=;f;ours}", "4.00 u"), ("{far;f;ours}", "9.00 u"), ("{far;f p99;ours}", "18.0 u"), ("{b;=;f;peer}", "7.00 u"),
                            ("{b;=;f;ours}", "(not measured)")):
            self.assertEqual(doc.bound_text(record, record.lines[0], bound), text)

    def test_bounds_speak_of_figures_that_there_are(self):
        record = doc.Record(results.load(doc.RECORD))
        known = {(line.row, line.figure) for line in record.lines}
        for row in doc.all_rows():
            for goal in row.goals:
                for named in doc.MEASURED_IN_BOUND.findall(goal.bound):
                    *other, _, figure, _ = named.split(";")
                    self.assertIn((other[0] if other else row.name, figure.partition(" p9")[0].partition(" p5")[0]), known, goal.bound)


class Resumed(unittest.TestCase):
    def earlier(self, records, end="\n", is_quick=True, wanted=()):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write("\n".join(map(json.dumps, records)) + end)
            file.flush()
            return results.Earlier(file.name, is_quick, lambda _: list(wanted))

    def test_finished_rows_are_not_measured_again(self):
        earlier = self.earlier(run_of("a", {"x": 1}) + run_of("b", {"x": 1}, error="no") + run_of("c", {"x": 1})[:1])
        self.assertEqual((earlier.rows, [line.key for line in earlier.lines]), ({"a"}, ["a/x/f/median/"]))

    def test_half_a_line_is_left_out(self):
        self.assertEqual(self.earlier(run_of("a", {"x": 1}), end="\n{\"kind").rows, {"a"})
        self.assertEqual(self.earlier(run_of("a", {"x": 1}), end="").rows, set())

    def test_other_rounds_or_cases_are_measured_again(self):
        self.assertEqual(self.earlier(run_of("a", {"x": 1}), is_quick=False).rows, set())
        self.assertEqual(self.earlier(run_of("a", {"x": 1}), wanted=["x"]).rows, set())
        self.assertEqual(self.earlier(run_of("a", {"x": 1}, wanted=["x"]), wanted=["x"]).rows, {"a"})


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.record = doc.Record(results.load(doc.RECORD))
        with open(doc.PAGE, encoding="utf-8") as file:
            cls.text = file.read()

    def test_figures_are_those_that_are_recorded(self):
        self.assertEqual(doc.render(self.text, self.record), self.text, "run perf/run --doc")

    def test_pictures_are_those_of_what_is_recorded(self):
        for name, picture in doc.curves(self.record).items():
            with open(os.path.join(doc.IMAGES, f"{name}.svg"), encoding="utf-8") as file:
                self.assertEqual(file.read(), picture, name)

    def test_there_is_no_other_figure(self):
        self.assertEqual(doc.loose_figures(self.text), [])
        self.assertEqual(doc.loose_figures("it takes 3.1 ms and 2 µs,\n<!-- figures goals -->\n4 ms\n<!-- end -->\n"), ["3.1 ms", "2 µs"])

    def test_a_changed_figure_is_noticed(self):
        line = next(line for line in self.record.lines if line.goal)
        changed = doc.Record(results.load(doc.RECORD))
        changed.lines[self.record.lines.index(line)] = dataclasses.replace(line, ratio=123.0, ours=123.0)
        self.assertNotEqual(doc.render(self.text, changed), self.text)

    def test_every_row_on_the_page_is_recorded_and_can_be_run(self):
        listed = subprocess.run([os.path.join(REPO, "perf/run"), "--list"], text=True, stdout=subprocess.PIPE, check=True).stdout
        shown = set(re.findall(r"<!-- figures (?:lines|sides) ([a-z0-9-]+)", self.text))
        self.assertGreater(len(shown), 10)
        self.assertEqual(shown - {line.split()[0] for line in listed.splitlines()}, set())
        self.assertEqual(shown - {line.row for line in self.record.lines}, set())

    def test_a_row_that_is_not_there_is_refused(self):
        done = subprocess.run([os.path.join(REPO, "perf/run"), "nothing"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertNotEqual(done.returncode, 0)


class Folders(unittest.TestCase):
    def test_those_of_runs_that_were_killed_are_removed_and_no_others(self):
        child = subprocess.Popen(["true"])
        child.wait()
        mine, orphan = topology.make_folder(True), tempfile.mkdtemp(prefix=f"confcast-perf-{child.pid}-", dir=topology.FOLDERS[0])
        try:
            topology.remove_orphans()
            self.assertTrue(os.path.isdir(mine))
            self.assertFalse(os.path.exists(orphan))
        finally:
            os.rmdir(mine)


class Pictures(unittest.TestCase):
    def test_points_lie_where_the_axes_say(self):
        picture = svg.chart("t", "x", "y", [("a", [(1, 0), (100, 10)])], x_log=True)
        low, high = svg.LEFT, svg.WIDTH - svg.RIGHT
        self.assertIn(f'points="{low:.1f},{svg.HEIGHT - svg.BOTTOM:.1f} {high:.1f},{svg.TOP:.1f}"', picture)


if __name__ == "__main__":
    unittest.main(verbosity=2)
