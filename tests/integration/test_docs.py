"""Runs what the documents tell a reader to run, in their order, on a real fleet.

Every indented block and every fenced `sh` block of README.md and docs/operators.md is run: one shell
per document, one command after the other.  A command succeeds, unless a comment in it says `# exit N`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "scripts"))
import fleet as fleets  # noqa: E402

CONSUMERS = 4
TIMEOUT_S = 240
NAME = f"docs-{os.getpid()}"
BED = f"cf-by-hand-{os.getpid()}"

# What stands in the way of running a document as it is: the fleet of this test has a name of its own
# and fewer consumers, and the test suite does not run itself once more.
QUICKSTART = """#!/bin/bash
exec {repo}/scripts/quickstart --name {name} "$@" {more}
"""
TEST = """#!/bin/bash
test -x {repo}/scripts/test && bash -n {repo}/scripts/test
"""
# README's daemons run on three hosts: each finds itself in its namespace.
ON_HOST = """#!/bin/bash
exec ip netns exec {bed}-{host} {real} "$@"
"""
HOSTS = {"confcast-dataplane": "engine", "confcastd": "control", "confcast-agent": "c1"}


class DocsError(Exception):
    pass


def blocks(path):
    """(number of the first line, lines) of every block of shell."""
    found, block, fence, previous = [], [], None, ""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n") + [""]
    for number, line in enumerate(lines, 1):
        if fence is not None and line.startswith("```"):
            if fence in ("sh", "bash", "shell"):
                found.append((number - len(block), block))
            block, fence = [], None
        elif fence is not None:
            block.append(line)
        elif line.startswith("```"):
            fence = line[3:].strip()
        elif line.startswith("    ") and (block or not previous.strip()):
            block.append(line[4:])
        elif block and not line.strip():
            block.append("")
        elif block:
            found.append((number - len(block), block))
            block = []
        previous = line
    if block:
        found.append((len(lines) - len(block), block))
    return found


def is_whole(text):
    """The shell would not ask for more."""
    result = subprocess.run(["bash", "-n"], input=text, text=True, stderr=subprocess.PIPE,
                            stdout=subprocess.DEVNULL, check=False)
    return (result.returncode == 0 and "here-document" not in result.stderr and
            not text.rstrip("\n").endswith("\\"))


def commands(path):
    """(line number, text, exit code) of every command."""
    found = []
    for first, lines in blocks(path):
        text, begun = "", first
        for number, line in enumerate(lines, first):
            if not text and (not line.strip() or line.lstrip().startswith("#")):
                continue
            begun = begun if text else number
            text += line + "\n"
            if is_whole(text):
                said = re.search(r"#.*\bexit (\d+)", text)
                found.append((begun, text, int(said.group(1)) if said else 0))
                text = ""
        if text:
            raise DocsError(f"{path}:{begun}: a command that does not end: {text}")
    return found


def script_of(path, units):
    """Stops at the first command whose exit code is another."""
    name = os.path.relpath(path, REPO)
    script = ["trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for number, text, code in units:
        script += [f"echo '--' {name}:{number}", text.rstrip("\n"),
                   "code=$?; if [ $code -ne %d ]; then echo \"%s:%d: exit $code, not %d\" >&2; exit 1; fi"
                   % (code, name, number, code)]
    return "\n".join(script) + "\n"


def write_program(folder, name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)


def run(path, folder, more, path_dirs=()):
    """Runs a document in a folder that looks like a fresh clone."""
    write_program(folder, "scripts/quickstart",
                  QUICKSTART.format(repo=REPO, name=NAME, more=more))
    write_program(folder, "scripts/test", TEST.format(repo=REPO))
    units = commands(path)
    env = {name: value for name, value in os.environ.items() if not name.startswith("CONFCAST_")}
    env["PATH"] = ":".join([*path_dirs, env.get("PATH", "")])
    # A network of its own, since examples listen on fixed ports of loopback.
    process = subprocess.run(
        ["unshare", "--net", "bash", "-c", "ip link set lo up && exec bash -s"],
        input=script_of(path, units), cwd=folder, env=env, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False)
    if process.returncode != 0:
        raise DocsError(process.stdout[-6000:])
    print(f"{os.path.relpath(path, REPO)}: {len(units)} commands", flush=True)
    return len(units)


def readme(folder):
    """Its quickstart, and its daemons by hand on three hosts."""
    fleet = fleets.Fleet(NAME, "any")
    bed = fleets.testbed.Bed(BED)
    bin_folder = os.path.join(folder, "bin")
    for name, host in HOSTS.items():
        real = shutil.which(name, path=fleet.path)
        write_program(bin_folder, name, ON_HOST.format(bed=BED, host=host, real=real))
    bed.up(1, 0, fleets.PORT, fleets.testbed.MTU_DEFAULT)
    try:
        return run(os.path.join(REPO, "README.md"), folder, f"--consumers {CONSUMERS}",
                   [bin_folder, *fleet.bin_dirs])
    finally:
        bed.down()


def operators(folder):
    try:
        return run(os.path.join(REPO, "docs/operators.md"), folder, f"--consumers {CONSUMERS}")
    finally:
        fleets.Fleet(NAME, "any").down()


def check_reader():
    """The reader of documents reads what it has to, and a wrong exit code is seen."""
    with tempfile.NamedTemporaryFile("w", suffix=".md") as file:
        file.write("text\n\n    cat <<'END'\n    a\n\n    b\n    END\n    false  # exit 1: so\n\n"
                   "text\n    no block\n\n```sh\nx=1 \\\n  true\n```\n\n```text\nnever\n```\n")
        file.flush()
        units = commands(file.name)
        if units != [(3, "cat <<'END'\na\n\nb\nEND\n", 0), (8, "false  # exit 1: so\n", 1),
                     (14, "x=1 \\\n  true\n", 0)]:
            raise DocsError(f"read: {units}")
        wrong = subprocess.run(["bash"], input=script_of(file.name, [(1, "false", 0)]), text=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if wrong.returncode != 1:
            raise DocsError("a command that fails is not seen")


def main():
    reason = fleets.testbed.why_not_here()
    if reason:
        print(f"test_docs: skipped: {reason}")
        return 77
    wanted = sys.argv[1:] or ["readme", "operators"]
    try:
        check_reader()
        for document in (readme, operators):
            if document.__name__ in wanted:
                folder = tempfile.mkdtemp(prefix="confcast-docs-")
                try:
                    document(folder)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
    except (DocsError, fleets.FleetError, fleets.testbed.BedError,
            subprocess.TimeoutExpired) as error:
        print(f"test_docs: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
