#!/usr/bin/env python3
"""Plants a bug in the control plane, one at a time, and expects the property test to find it.

    tests/property/mutants.py                    all of them: some five minutes
    tests/property/mutants.py skip-a-stage ...   these

A copy of the source is built, never the tree itself.  Not part of the CI: run it after a change of the
property test or of what it looks at."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
MODEL = "controlplane/model/"

# name: (file, what is there, what is planted)
MUTANTS = {
    "promote-what-is-quarantined": (
        MODEL + "release.c",
        "if (cfc_release_is_quarantined(release, request->revision)) {\n"
        "        return say(why, CONFCAST_ERR_STATE, \"the revision is quarantined\");\n    }\n"
        "    if (is_plain",
        "if (is_plain"),
    "skip-a-stage": (MODEL + "release.c", "release->stage_idx++;", "release->stage_idx += 2;"),
    "swing-between-two-revisions": (
        MODEL + "release.c", "    release->previous_revision = request->previous_revision;\n", ""),
    "confirm-for-ever": (
        MODEL + "service_rollout.c", "if (confirm_by_unix_ns != 0 && confirm_by_unix_ns <= unix_ns)",
        "if (confirm_by_unix_ns != 0 && confirm_by_unix_ns + 1000 * CFC_S <= unix_ns)"),
    "activate-unprepared": (
        MODEL + "rollout.c",
        "return counts->published_unix_ns != 0 && whole > 0 &&\n           prepared >=",
        "return prepared >="),
    "two-rollouts-at-once": (
        MODEL + "impact.c", "if (beginning == NULL || holder == NULL) {",
        "if (beginning == NULL || holder == NULL || true) {"),
    "lose-an-update": (
        MODEL + "step.c",
        "if (!put->has_expected_revision || put->expected_revision == scope->latest_revision) {",
        "if (!put->has_expected_revision || put->expected_revision <= scope->latest_revision) {"),
    "one-key-for-two-requests": (
        MODEL + "service_change.c", "if (known == NULL || strcmp(known, request) != 0) {",
        "if (known == NULL) {"),
    "approve-ones-own": (
        MODEL + "service_approval.c", "if (strcmp(state->author, meta->author) == 0) {",
        "if (state->author == meta->author) {"),
    "let-the-previous-go": (
        MODEL + "step.c", "kept[1] = release->previous_revision;", "kept[1] = 0;"),
    "misplace-a-dependent": (
        MODEL + "catalog.c", "            last->layer_places[i] = place;\n", ""),
    "layers-without-a-guard": (
        MODEL + "service_layers.c",
        "if (expected_version != NULL && *expected_version != setting->scope->layers_seq) {",
        "if (expected_version != NULL && *expected_version > setting->scope->layers_seq) {"),
    "forget-the-floor": (
        MODEL + "effective.c", "decider.seq > pass->floor ? decider.seq : pass->floor",
        "decider.seq"),
    "candidate-to-everybody": (
        MODEL + "effective.c", "return is_candidate ? release->candidate_revision",
        "return is_candidate || release->stage_idx > 0 ? release->candidate_revision"),
    "watch-in-vain": (
        MODEL + "service_release.c",
        "    change->scope->apply.change = ++service->apply.change;\n", ""),
    "begin-the-audit-log-anew": (
        MODEL + "service_audit.c",
        "memcpy(service->audit.head.bytes, value.bytes + 8, 32);",
        "memset(service->audit.head.bytes, 0, 32);"),
    "approvers-write": (
        "controlplane/auth/role.c",
        "[CFC_ROLE_APPROVER] = BIT(PUBLIC) | BIT(READ) | BIT(APPROVE)",
        "[CFC_ROLE_APPROVER] = BIT(PUBLIC) | BIT(READ) | BIT(WRITE) | BIT(APPROVE)"),
    "nulls-stay": (
        "controlplane/json/json_merge.c", "json_is_null(value)", "json_is_true(value)"),
}


def run(folder, *command, **more):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **more)


def plant(folder, path, old, new):
    """The text before; None when it is not there exactly once or more."""
    path = os.path.join(folder, path)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if old not in text:
        return None
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new, 1))
    return text


def build(folder):
    return run(folder, "ninja", "-C", "build", "controlplane/app/confcastd",
               "controlplane/ctl/confcastctl")


def is_found(folder, keep):
    environment = {**os.environ, "PROPERTY_KEEP": keep,
                   "CONFCASTD": os.path.join(folder, "build/controlplane/app/confcastd"),
                   "CONFCASTCTL": os.path.join(folder, "build/controlplane/ctl/confcastctl")}
    test = os.path.join(folder, "tests/property/test_property.py")
    for seeds in ((), ("--seeds", "100..130")):  # as the CI has it, and then for longer
        done = run(folder, sys.executable, "-B", test, "--shrink-seconds", "0", *seeds,
                   env=environment)
        if done.returncode != 0:
            where = "the CI's share" if not seeds else "more seeds"
            lines = [line for line in done.stdout.splitlines() if "no difference" not in line]
            return where, " ".join(lines)[:110] or done.stderr[-110:]
    return None


def main():
    names = sys.argv[1:] or list(MUTANTS)
    missed = []
    folder = tempfile.mkdtemp(prefix="confcast-mutants-")
    try:
        source = os.path.join(folder, "source")
        shutil.copytree(ROOT, source, symlinks=True,
                        ignore=shutil.ignore_patterns("build*", ".git"))
        if run(source, "meson", "setup", "build").returncode != 0 or build(source).returncode != 0:
            print("mutants: the source does not build")
            return 2
        for name in names:
            begun = time.monotonic()
            path, old, new = MUTANTS[name]
            text = plant(source, path, old, new)
            if text is None:
                print(f"mutants: {name}: {path} has no such text any more")
                return 2
            if build(source).returncode != 0:
                print(f"mutants: {name} does not build")
                return 2
            found = is_found(source, folder)
            print(f"mutants: {name}: " + (f"found by {found[0]}: {found[1]}" if found else "MISSED") +
                  f" ({time.monotonic() - begun:.0f} s)", flush=True)
            missed += [] if found else [name]
            with open(os.path.join(source, path), "w", encoding="utf-8") as file:
                file.write(text)
    finally:
        shutil.rmtree(folder)
    print(f"mutants: {len(names) - len(missed)} of {len(names)} are found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
