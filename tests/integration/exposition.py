"""A strict reader of the Prometheus text format 0.0.4, and of the rules that its users count on.

What it demands beyond the grammar: HELP and TYPE before the samples of a family, once and together; no
sample twice; counters that end in _total or are a histogram's; buckets that rise, end in +Inf and agree with
the count; numbers that are finite."""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?"  # finite, and none of ours is negative
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? ({NUMBER})")
HELP = re.compile(rf"# HELP ({NAME}) (\S.*)")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge|histogram)")


class Malformed(AssertionError):
    pass


def demand(is_true, line, what):
    if not is_true:
        raise Malformed(f"{what}: {line!r}")


def family_of(name, types):
    for suffix in ("_bucket", "_sum", "_count"):
        if name.endswith(suffix) and types.get(name[:-len(suffix)]) == "histogram":
            return name[:-len(suffix)]
    return name


def check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        others = tuple(label for label in labels if not label.startswith("le="))
        entry = series.setdefault(others, {"buckets": []})
        if sample == name + "_bucket":
            bound = next(label for label in labels if label.startswith("le="))[4:-1]
            entry["buckets"].append((math.inf if bound == "+Inf" else float(bound), value))
        else:
            demand(len(others) == len(labels), sample, "a bound outside of a bucket")
            entry[sample[len(name):]] = value
    for others, entry in series.items():
        bounds = [bound for bound, _ in entry["buckets"]]
        counts = [count for _, count in entry["buckets"]]
        demand(bounds == sorted(set(bounds)) and bounds[-1:] == [math.inf], name, f"bounds of {others}")
        demand(counts == sorted(counts), name, f"buckets that fall, of {others}")
        demand(entry.get("_count") == counts[-1], name, f"a count that is not the last bucket's, of {others}")
        demand("_sum" in entry, name, f"no sum of {others}")


def parse(text):
    """{(name, labels): value} of a whole answer."""
    types, helps, families, samples, last = {}, set(), {}, {}, None
    demand(text.endswith("\n"), text[-20:], "the last line has no end")
    for line in text[:-1].split("\n"):
        if match := HELP.fullmatch(line):
            demand(match[1] not in helps, line, "a second HELP")
            helps.add(match[1])
            last = match[1]
        elif match := TYPE.fullmatch(line):
            demand(match[1] not in types and match[1] == last, line, "a TYPE that does not follow its HELP, once")
            types[match[1]] = match[2]
            demand((match[2] == "counter") == match[1].endswith("_total"), line, "a counter ends in _total")
        else:
            match = SAMPLE.fullmatch(line)
            demand(match, line, "no sample")
            family = family_of(match[1], types)
            demand(family in types and family == last, line, "a sample outside of its family")
            labels = tuple(re.findall(LABEL, match[2] or ""))
            names = [label.split("=", 1)[0] for label in labels]
            demand(len(set(names)) == len(names), line, "a label twice")
            key = (match[1], labels)
            value = float(match[3])
            demand(key not in samples, line, "a sample twice")
            samples[key] = value
            families.setdefault(family, {})[key] = value
    for name, kind in types.items():
        if kind == "histogram":
            check_histogram(name, families.get(name, {}))
    return samples
