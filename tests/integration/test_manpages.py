#!/usr/bin/env python3
"""The manual pages as they are installed: well formed, and whole by the table of the program; docs/cli.md by the same table."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = os.environ["CFC_BUILD"]
REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(REPO, "scripts/manpages")
CTL = os.path.join(BUILD, "controlplane/ctl/confcastctl")
PAGES = os.path.join(BUILD, "docs")
DAEMONS = {"confcastd": "controlplane/app/confcastd", "confcast-dataplane": "dataplane/confcast-dataplane",
           "confcast-agent": "consumer/app/confcast-agent"}
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z0-9-]*")


def run(*command, env=None):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, env=env)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(maxsize=None)
def rendered(path):
    """A page as man shows it, in one line."""
    env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MAN_KEEP_FORMATTING": "", "MANPAGER": "cat"}
    result = run("man", "-l", path, env=env)
    assert result.returncode == 0, result.stderr
    return re.sub(r"\s+", " ", result.stdout)


def pages():
    return sorted(name for name in os.listdir(PAGES) if re.search(r"\.[158]$", name))


class Manpages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = run(CTL, "--dump-commands").stdout
        cls.table = json.loads(cls.text)

    def test_groff_and_mandoc_have_nothing_to_say(self):
        env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100"}
        self.assertGreater(len(pages()), 35)
        for name in pages():
            path = os.path.join(PAGES, name)
            shown = run("man", "--warnings", "-l", path, env=env)
            self.assertEqual((shown.returncode, shown.stderr), (0, ""), name)
            lint = run("mandoc", "-T", "lint", "-W", "warning", path)
            self.assertEqual((lint.returncode, lint.stdout + lint.stderr), (0, ""), name)

    def test_every_command_and_option_is_in_its_page(self):
        whole = rendered(os.path.join(PAGES, "confcastctl.1"))
        for option in self.table["options"]:
            self.assertIn(f"--{option['name']}", whole)
        for word in self.table["environment"] + self.table["exits"]:
            self.assertIn(word["word"], whole)
        for command in self.table["commands"]:
            page = rendered(os.path.join(PAGES, f"confcastctl-{command['name'].split()[0]}.1"))
            self.assertIn(f"confcastctl {command['name']} {command['usage']}".strip(), page)
            self.assertIn(f"{command['name']} {command['usage']}".strip(), whole)
            for option in command["options"]:
                term = f"-{option['short']}, " if option["short"] else ""
                self.assertIn(f"{term}--{option['name']} {option.get('value', '')}".strip(), page)
            for heading in ("SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT",
                            "EXAMPLES", "SEE ALSO"):
                self.assertIn(f" {heading} ", page, command["name"])

    def test_every_option_of_a_daemon_is_in_its_page(self):
        for name, path in DAEMONS.items():
            result = run(os.path.join(BUILD, path), "--help")
            self.assertEqual(result.returncode, 0, name)
            options = set(OPTION.findall(result.stdout + result.stderr))
            self.assertGreater(len(options), 8)
            self.assertEqual(options - set(OPTION.findall(rendered(os.path.join(PAGES, name + ".8")))), set())

    def test_what_pages_refer_to_is_there(self):
        for name in pages():
            for other, section in re.findall(r"(confcast[a-z-]*)\((\d)\)", rendered(os.path.join(PAGES, name))):
                self.assertIn(f"{other}.{section}", pages(), name)

    def test_the_page_of_the_fleet_file_has_the_members_of_its_document(self):
        page = rendered(os.path.join(PAGES, "confcast-fleet.5"))
        members = re.findall(r"^\| `([a-z_.]+)` \|", read(os.path.join(REPO, "docs/fleet-file.md")), re.M)
        self.assertGreater(len(members), 15)
        for member in members:
            self.assertIn(f" {member} ", page)

    def test_the_environment_that_the_program_reads_is_in_the_table(self):
        folder = os.path.join(REPO, "controlplane/ctl")
        source = "".join(read(os.path.join(folder, name)) for name in os.listdir(folder)
                         if name.endswith(".c") and name != "table.c")
        names = set(re.findall(r'"(CONFCAST_[A-Z_]+|NO_COLOR)"', source))
        self.assertEqual(names, {word["word"] for word in self.table["environment"]})

    def test_the_commands_in_the_document_are_those_of_the_table(self):
        made = self.manpages("--markdown")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertTrue(made.stdout in read(os.path.join(REPO, "docs/cli.md")),
                        "run scripts/manpages --table build/docs/confcastctl.json --markdown docs/cli.md")

    def test_exit_codes_in_the_document_are_those_of_the_table(self):
        codes = re.findall(r"^\| (\d) \|", read(os.path.join(REPO, "docs/cli.md")), re.M)
        self.assertEqual(codes, [word["word"] for word in self.table["exits"]])

    def test_commands_that_the_documents_show_can_be_given(self):
        documents = [os.path.join(REPO, name) for name in ("README.md", "docs/cli.md", "docs/operators.md")]
        checked = self.manpages("--examples", *documents)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertGreater(int(checked.stdout), 80)

    def manpages(self, *args, text=None):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(text or self.text)
            file.flush()
            return run(sys.executable, SCRIPT, "--table", file.name, *args)

    def make(self, table, prose):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "prose.txt")
            with open(path, "w", encoding="utf-8") as file:
                file.write(prose)
            return self.manpages("--out", folder, "--date", "2026-01-01", "--version", "1", path, text=json.dumps(table))

    def test_what_does_not_fit_the_table_makes_no_pages(self):
        prose = read(os.path.join(REPO, "docs/man/confcastctl.txt"))
        self.assertEqual(self.make(self.table, prose).returncode, 0)
        cases = {
            "['frob']": (self.table, prose + "\n# frob\nText.\n"),
            "['key']": (self.table, prose[:prose.index("# key\n")]),
            "--frob is not an option of history": (self.table, prose.replace("history acme/checkout --limit", "history acme/checkout --frob")),
            "frob is not a command": (self.table, prose.replace("confcastctl pause acme", "confcastctl frob acme")),
            "arguments": (self.table, prose.replace("confcastctl enable acme/checkout", "confcastctl enable")),
            "['restore']": ({**self.table, "commands": [c for c in self.table["commands"] if c["name"] != "restore"]}, prose),
        }
        for why, (table, text) in cases.items():
            result = self.make(table, text)
            self.assertEqual(result.returncode, 1, why)
            self.assertIn(why, result.stderr)


if __name__ == "__main__":
    missing = [name for name in ("man", "mandoc", "groff") if shutil.which(name) is None]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed (scripts/setup does)")
        sys.exit(77)
    unittest.main(verbosity=2)
