#!/usr/bin/env python3
"""Random operations on a real confcastd, killed every now and then, against a small reference model.

    test_property.py                       the stories of stories/ and the fixed seeds of the CI
    test_property.py --seeds 100..120 --ops 400
    test_property.py --seconds 600         seeds from --seeds on, for as long
    test_property.py --replay FILE         a sequence that a failure left behind

A failing seed leaves its operations, shrunk, in property-SEED.json of the folder --keep names."""

import argparse
import concurrent.futures
import glob
import json
import os
import sys
import time

import driver
import generate

HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS = "1..4"
OP_COUNT = 130
STORIES_AT_ONCE = 4  # they wait most of the time
SHRINK_S = 60
PRINTED_MAX = 12  # operations of a shrunk sequence


def run_seed(seed, op_count, trace):
    """(operations, what went wrong or None, counts)"""
    ops = []
    generator = generate.Generator(seed)
    run = driver.Run(generate.PATHS, trace)
    try:
        for _ in range(op_count):
            op = generator.next(run.model)
            ops.append(json.loads(json.dumps(op)))
            run.one(ops[-1])
        run.all([])
        return ops, None, run
    except driver.Difference as difference:
        return ops, str(difference), run
    finally:
        run.close()


def run_ops(ops, trace=lambda op: None):
    run = driver.Run(generate.PATHS, trace)
    try:
        run.all(ops)
        return None
    except driver.Difference as difference:
        return str(difference)
    finally:
        run.close()


def shrink(ops, why, seconds):
    """Leaves out pieces for as long as something still goes wrong."""
    deadline = time.monotonic() + seconds
    size = len(ops) // 2
    while size > 0 and time.monotonic() < deadline:
        at = 0
        while at < len(ops) and time.monotonic() < deadline:
            fewer = ops[:at] + ops[at + size:]
            said = run_ops(fewer)
            if said:
                ops, why = fewer, said
            else:
                at += size
        size = size // 2 if size > 1 else 0
    return ops, why


def report(seed, ops, why, args):
    print(f"property: seed {seed} fails after {len(ops)} operations:\n  {why}", flush=True)
    path = os.path.join(args.keep, f"property-{seed}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(ops, file, indent=1)
    if args.shrink_seconds > 0:
        ops, why = shrink(ops, why, args.shrink_seconds)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(ops, file, indent=1)
        print(f"property: shrunk to {len(ops)} operations:\n  {why}")
        for op in ops[-PRINTED_MAX:]:
            print("  " + json.dumps(op))
    print(f"property: run it again: tests/property/test_property.py --replay {path}", flush=True)


def tell_stories(trace):
    """Sequences that have to be run every time: what once went wrong, and what chance may miss."""
    begun = time.monotonic()
    paths = sorted(glob.glob(os.path.join(HERE, "stories/*.json")))

    def tell(path):
        with open(path, encoding="utf-8") as file:
            return run_ops(json.load(file), trace)

    with concurrent.futures.ThreadPoolExecutor(STORIES_AT_ONCE) as pool:
        for path, why in zip(paths, pool.map(tell, paths)):
            if why:
                print(f"property: {os.path.basename(path)}: {why}")
                return False
    print(f"property: no difference in {len(paths)} stories, {time.monotonic() - begun:.1f} s",
          flush=True)
    return len(paths) > 0


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", metavar="A..B", help=SEEDS)
    parser.add_argument("--ops", type=int, default=OP_COUNT, help="operations of a seed")
    parser.add_argument("--seconds", type=float, help="go on behind the seeds for so long")
    parser.add_argument("--replay", metavar="FILE")
    parser.add_argument("--shrink-seconds", type=float, default=SHRINK_S)
    parser.add_argument("--keep", default=os.environ.get("PROPERTY_KEEP", "."), metavar="DIR")
    parser.add_argument("--trace", action="store_true", help="print every operation")
    return parser.parse_args()


def main():
    args = parse_args()
    trace = (lambda op: print(json.dumps(op), flush=True)) if args.trace else (lambda op: None)
    if args.replay:
        with open(args.replay, encoding="utf-8") as file:
            why = run_ops(json.load(file), trace)
        print(f"property: {why or 'no difference'}")
        return 1 if why else 0
    if args.seeds is None and not tell_stories(trace):
        return 1
    first, _, last = (args.seeds or SEEDS).partition("..")
    seed, last = int(first), int(last or first)
    begun = time.monotonic()
    total, codes = {}, {}
    while seed <= last or (args.seconds and time.monotonic() - begun < args.seconds):
        ops, why, run = run_seed(seed, args.ops, trace)
        if why:
            report(seed, ops, why, args)
            return 1
        for to, counts in ((total, run.counts), (codes, run.codes)):
            for name, count in counts.items():
                to[name] = to.get(name, 0) + count
        seed += 1
    print(f"property: no difference in seeds {first} to {seed - 1}, "
          f"{time.monotonic() - begun:.1f} s: " +
          ", ".join(f"{count} {name}" for name, count in total.items()))
    print("property: refused with " + ", ".join(f"{name} {codes[name]}" for name in sorted(codes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
