#!/usr/bin/env python3
"""Makes a failing run of the simulator small and keeps it as a test.

    shrink.py SIM --story NAME --seed N [options of sim]    shrink, and write tests/sim/seeds/NAME-N.args
    shrink.py --replay FILE SIM                             run what a file says; exit code of the run
    shrink.py --self-test

A file has the options of one run, one line, after lines that begin with # and say what was wrong.
The tests in meson.build replay every file that their list names, and the self-test demands that it
names all of them, so that what failed once is tried for ever.  A smaller run is one with fewer
receivers, and without options that are not needed for it to fail.  mutants.py shrinks the run of a
planted bug, and has its file replayed with the bug and without.
"""

import os
import subprocess
import sys
import tempfile

SEEDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds")
RECEIVERS_MIN = 4
RECEIVERS_DEFAULT = 1000


def get(options, name):
    return options[options.index(name) + 1] if name in options else None


def put(options, name, value):
    rest = list(options)
    if name in rest:
        at = rest.index(name)
        del rest[at:at + 2]
    return rest if value is None else rest + [name, value]


def shrink(fails, options):
    """The smallest options found that still fail; None when these do not."""
    if not fails(options):
        return None
    for name in ("--loss", "--rate"):
        without = put(options, name, None)
        if name in options and fails(without):
            options = without
    low = RECEIVERS_MIN
    high = int(get(options, "--receivers") or RECEIVERS_DEFAULT)
    # The first half that fails is taken: whether fewer fail need not be monotone.
    while low < high:
        middle = (low + high) // 2
        if fails(put(options, "--receivers", str(middle))):
            high = middle
        else:
            low = middle + 1
    return put(options, "--receivers", str(high))


def read(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    assert len(lines) == 1, f"{path} has {len(lines)} runs"
    return lines[0]


def run(program, options):
    return subprocess.run([program, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)


def keep(program, options, folder):
    """Writes the file of the smallest run that fails; its path, None when this one does not fail."""
    found = shrink(lambda tried: run(program, tried).returncode == 1, options)
    if found is None:
        return None
    wrong = run(program, found).stderr.strip().splitlines()
    path = os.path.join(folder, f"{get(found, '--story')}-{get(found, '--seed') or '1'}.args")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"# {wrong[0] if wrong else 'it failed'}\n{' '.join(found)}\n")
    return path


def self_test():
    with open(os.path.join(os.path.dirname(SEEDS), "meson.build"), encoding="utf-8") as file:
        listed = file.read()
    for name in os.listdir(SEEDS):
        assert f"'{name.removesuffix('.args')}'" in listed, f"meson.build does not replay {name}"

    def fails(options):
        receivers = int(get(options, "--receivers") or RECEIVERS_DEFAULT)
        return receivers >= 37 and get(options, "--loss") is not None

    found = shrink(fails, ["--story", "x", "--seed", "7", "--loss", "5", "--rate", "9"])
    assert found == ["--story", "x", "--seed", "7", "--loss", "5", "--receivers", "37"], found
    assert shrink(fails, ["--story", "x", "--loss", "5", "--receivers", "36"]) is None
    with tempfile.NamedTemporaryFile("w", suffix=".args", encoding="utf-8") as file:
        file.write("# what was wrong\n--story x --seed 7\n")
        file.flush()
        assert read(file.name) == ["--story", "x", "--seed", "7"]
    print("shrink: self-test passed")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    if len(sys.argv) == 4 and sys.argv[1] == "--replay":
        result = run(sys.argv[3], read(sys.argv[2]))
        sys.stdout.write(result.stdout)
        sys.stderr.write(result.stderr)
        return result.returncode
    if len(sys.argv) < 4 or get(sys.argv, "--story") is None:
        print(__doc__, file=sys.stderr)
        return 2
    program, options = sys.argv[1], sys.argv[2:]
    path = keep(program, options, SEEDS)
    if path is None:
        print("shrink: this run does not fail", file=sys.stderr)
        return 1
    print(f"{path}: {' '.join(read(path))}; name it in meson.build, so that it is replayed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
