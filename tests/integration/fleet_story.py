"""What tests of a whole fleet share: stories that check() as they go, and unittest cases on one fleet."""

import json
import os
import random
import signal
import string
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts"))
import fleet as fleets  # noqa: E402

ERRORS = (fleets.FleetError, fleets.testbed.BedError, subprocess.SubprocessError)
passed = 0


def check(what, condition, detail=""):
    global passed
    if not condition:
        raise fleets.FleetError(f"{what}: {detail}")
    passed += 1


def run_on(fleet, story):
    """story() while the fleet is up; down afterwards, with the daemons' last words if it failed."""
    try:
        fleet.up()
        story()
    except ERRORS:
        fleet.print_logs()
        raise
    finally:
        fleet.down()


def tell(story, first=lambda: None):
    """first(), which needs no fleet, and story(); the exit code."""
    # Whose time is up takes its fleet down, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        first()
        reason = fleets.testbed.why_not_here()
        if reason:
            print(reason)
            return fleets.testbed.EXIT_SKIP
        story()
    except ERRORS as error:
        print(f"FAILED: {error}")
        print(f"{passed} passed, 1 failed")
        return 1
    print(f"{passed} passed, 0 failed")
    return 0


class FleetCase(unittest.TestCase):
    """Cases on one fleet, the one that make_fleet() makes."""

    @classmethod
    def setUpClass(cls):
        cls.fleet = cls.make_fleet()
        cls.addClassCleanup(cls.fleet.down)
        try:
            cls.fleet.up()
        except BaseException:
            cls.fleet.print_logs()
            raise

    def put(self, number, size, *args):
        """Promotes a document of random text of about `size` bytes, which is returned."""
        value = {"number": number, "text": "".join(random.Random(number).choices(string.ascii_letters, k=size))}
        path = os.path.join(self.fleet.folder, "document.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(value, file)
        self.fleet.ctl("put", self.fleet.scope, "-f", path, "--promote", *args)
        return value

    def check_all(self, value, timeout_s=20):
        """Everybody applies it, to the byte."""
        try:
            self.fleet.wait_applied(timeout_s)
        except fleets.FleetError:
            self.fleet.print_logs()
            raise
        for consumer in self.fleet.consumers:
            self.assertEqual(json.loads(consumer.get()), value, consumer.id)

    def publish(self, number, size, *args):
        self.check_all(self.put(number, size, *args))


def run_cases(reason=None):
    """Runs the cases of the main module; the exit code.  `reason`: why they cannot run here."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    reason = fleets.testbed.why_not_here() or reason
    if reason:
        print(reason)
        return fleets.testbed.EXIT_SKIP
    program = unittest.main(exit=False, verbosity=2, warnings="ignore")
    return 0 if program.result.wasSuccessful() else 1
