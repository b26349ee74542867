#!/usr/bin/env python3
"""The consumer's XDP filter (confcast-agent --xdp) on a whole fleet: what nobody on a host wants is dropped and counted, what
somebody wants comes, with losses too, and other processes of the host are heard.

usage: test_xdp.py [UNITTEST-ARGUMENT...]"""

import hashlib
import json
import os
import random
import shutil
import string
import struct
import subprocess
import sys
import time

import exposition
from fleet_story import FleetCase, fleets, run_cases

GROUPS = 4  # of fleet.py
SCOPE = "acme/checkout/prod"
SIZE = 150_000  # of a document that does not compress
FRAMES_MIN = 40  # that such a content takes at least
NOBODY = 65534


def group_of(scope):
    return struct.unpack("<Q", hashlib.sha256(scope.encode()).digest()[:8])[0] % GROUPS


# In the same group as SCOPE, and so delivered to whoever follows it; and in another.
FOREIGN = next(name for name in (f"acme/foreign{i}/prod" for i in range(99)) if group_of(name) == group_of(SCOPE))
ELSEWHERE = next(name for name in (f"acme/other{i}/prod" for i in range(99)) if group_of(name) != group_of(SCOPE))


class Agent(fleets.Consumer):
    """An agent that follows `scope` in the namespace of consumer `host`, in `wrapper` if there is one."""

    def __init__(self, fleet, number, host, scope, *args):
        super().__init__(fleet, number)
        self.netns = fleet.bed.consumer(host)
        self.scope = scope
        self.args = list(args)
        self.wrapper = []

    def command(self):
        command = super().command() + self.args
        command[command.index("--scope") + 1] = self.scope
        return self.wrapper + command

    def start(self):
        open(self.events_path, "w", encoding="utf-8").close()
        open(self.events_path + ".err", "w", encoding="utf-8").close()
        super().start()

    def stats(self):
        result = self.fleet.run(["confcast-agent", "stats", "--state-dir", self.state_dir])
        return json.loads(result.stdout) if result.returncode == 0 else None

    def await_stats(self, what, condition, timeout_s=20):
        def probe():
            stats = self.stats()
            return stats if stats and condition(stats) else None
        try:
            return fleets.wait_until(what, probe, timeout_s, 0.1)
        except fleets.FleetError as error:
            raise fleets.FleetError(f"{error}: {self.stats()} {self.log()[-2000:]}") from None

    def await_filter(self, mode="native"):
        """Until it drops."""
        return self.await_stats("the filter", lambda s: s["xdp"] == mode and not s["is_xdp_open"])

    def log(self):
        with open(self.events_path + ".err", encoding="utf-8") as file:
            return file.read()

    def serves(self, number):
        return self.fleet.run(["confcast-agent", "get", "--state-dir", self.state_dir, self.scope,
                               "/number"]).stdout == str(number)

    def await_number(self, number, timeout_s=20):
        fleets.wait_until(f"document {number} at {self.id}", lambda: self.serves(number), timeout_s)

    def end(self):
        self.process.terminate()
        self.process.wait(20)


class Xdp(FleetCase):
    documents = 0

    @classmethod
    def make_fleet(cls):
        fleet = fleets.Fleet(f"xdp-{os.getpid()}", SCOPE, 3)
        # One host with a filter, one without, and a third consumer that is a second process of the first host.
        cls.mine = Agent(fleet, 1, 1, SCOPE, "--scope", ELSEWHERE, "--xdp", "auto")
        cls.other = Agent(fleet, 2, 2, FOREIGN)
        cls.second = Agent(fleet, 3, 1, FOREIGN)
        fleet.consumers = [cls.mine, cls.other, cls.second]
        return fleet

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.second.end()
        for scope in (SCOPE, FOREIGN, ELSEWHERE):
            cls.publish(scope)

    @classmethod
    def publish(cls, scope, size=100, number=None):
        """A document with a number of its own, or the one that had this number; which is returned."""
        if number is None:
            Xdp.documents += 1
            number = Xdp.documents
        text = "".join(random.Random(number).choices(string.ascii_letters + string.digits, k=size))
        path = os.path.join(cls.fleet.folder, "next.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"number": number, "text": text}, file)
        cls.fleet.ctl("put", scope, "-f", path, "--promote")
        return number

    def setUp(self):
        self.addCleanup(self.restore)
        if self.mine.process.poll() is not None:
            self.mine.start()
        self.mine.await_filter()

    def restore(self):
        if sys.exc_info()[0] is not None:
            self.fleet.print_logs()
        if self.second.process.poll() is None:
            self.second.process.kill()
            self.second.process.wait()
        self.second.args, self.second.wrapper, self.second.scope = [], [], FOREIGN
        subprocess.run(["rm", "-rf", self.second.state_dir], check=True)
        os.makedirs(self.second.state_dir, mode=0o700)

    def netns(self, *command, check=True):
        return subprocess.run(["ip", "netns", "exec", self.mine.netns, *command], text=True, check=check,
                              stdout=subprocess.PIPE).stdout

    def attached(self):
        """The name of the program on the first host's interface, or None."""
        links = json.loads(self.netns("ip", "-j", "-d", "link", "show", "eth0"))
        return links[0].get("xdp", {}).get("prog", {}).get("name")

    def test_what_nobody_wants_is_dropped_and_counted_and_what_is_wanted_comes(self):
        self.assertEqual(self.attached(), "confcast_filter")
        before = self.mine.stats()
        number = self.publish(FOREIGN, SIZE)
        self.other.await_number(number)
        after = self.mine.await_stats("drops", lambda s: s["xdp_unwanted"] >= before["xdp_unwanted"] + FRAMES_MIN)
        # Nothing of it went up: what the process was given are FRESH and the like.
        self.assertLess(after["frames"] - before["frames"], FRAMES_MIN)
        number = self.publish(SCOPE, SIZE)
        self.mine.await_number(number)
        last = self.mine.stats()
        self.assertGreaterEqual(last["symbols"] - after["symbols"], FRAMES_MIN)
        self.assertEqual(last["xdp_malformed"], 0)
        self.assertGreater(last["xdp_others"], 0)

    def test_losses_are_repaired_through_the_filter(self):
        before = self.mine.stats()
        self.fleet.bed.set_loss(20.0, fleets.PORT)
        try:
            number = self.publish(SCOPE, SIZE)
            self.mine.await_number(number, 40)
        finally:
            self.fleet.bed.set_loss(0.0, fleets.PORT)
        self.assertGreater(self.mine.stats()["nacks"], before["nacks"])

    def test_a_scope_that_another_process_follows_is_let_through_as_long_as_it_lives(self):
        number = self.publish(FOREIGN, SIZE)
        self.other.await_number(number)
        self.second.start()
        told = self.mine.await_stats("word of the other process", lambda s: s["xdp_processes"] == 1)
        self.assertEqual(told["xdp"], "native")
        self.second.await_number(number)
        self.assertTrue(self.second.await_stats("the owner", lambda s: s["is_xdp_told"])["is_xdp_told"])
        before, passed = self.second.stats(), self.mine.stats()["xdp_passed"]
        number = self.publish(FOREIGN, SIZE)
        self.second.await_number(number)
        after = self.second.stats()
        self.assertGreaterEqual(after["symbols"] - before["symbols"], FRAMES_MIN)
        self.assertGreaterEqual(self.mine.stats()["xdp_passed"] - passed, FRAMES_MIN)
        self.assertEqual(after["nacks"], before["nacks"], "it came by multicast, not by asking")

        self.second.kill()
        self.mine.await_stats("the end of the other process", lambda s: s["xdp_processes"] == 0)
        before = self.mine.stats()
        number = self.publish(FOREIGN, SIZE)
        self.other.await_number(number)
        self.mine.await_stats("drops", lambda s: s["xdp_unwanted"] >= before["xdp_unwanted"] + FRAMES_MIN)

    def test_a_content_that_is_held_comes_to_another_process_that_needs_it(self):
        number = self.publish(SCOPE, SIZE)
        self.mine.await_number(number)
        self.second.scope = SCOPE
        self.second.start()
        self.second.await_number(number)

    def test_a_content_that_is_held_is_dropped_when_another_group_gets_it(self):
        number = self.publish(SCOPE, SIZE)
        self.mine.await_number(number)
        before = self.mine.stats()
        self.publish(ELSEWHERE, SIZE, number)
        after = self.mine.await_stats("drops", lambda s: s["xdp_held"] >= before["xdp_held"] + FRAMES_MIN)
        self.assertEqual(after["symbols"], before["symbols"])
        self.assertLess(after["frames"] - before["frames"], FRAMES_MIN)
        fleets.wait_until("the same document in another scope", lambda: self.fleet.run(
            ["confcast-agent", "get", "--state-dir", self.mine.state_dir, ELSEWHERE, "/number"]).stdout == str(number), 20)
        self.mine.await_number(self.publish(SCOPE))

    def test_killing_the_owner_leaves_nothing_attached_and_the_next_one_takes_it_up(self):
        self.second.args = ["--xdp", "auto"]
        self.second.start()
        stats = self.second.await_stats("the refusal", lambda s: s.get("xdp_error") == "busy" and s["is_xdp_told"])
        self.assertEqual(stats["xdp"], "off")
        self.assertEqual(self.attached(), "confcast_filter")
        self.second.kill()
        self.mine.kill()
        self.assertIsNone(self.attached())
        self.mine.start()
        self.mine.await_filter()
        self.second.start()
        self.second.await_stats("the refusal", lambda s: s.get("xdp_error") == "busy")
        self.mine.kill()
        self.second.await_filter()
        self.assertEqual(self.attached(), "confcast_filter")
        self.second.end()
        self.assertIsNone(self.attached())

    def test_without_rights_it_says_so_once_and_runs_on(self):
        self.mine.end()
        self.assertIsNone(self.attached())
        self.second.args, self.second.scope = ["--xdp", "auto"], SCOPE
        self.second.wrapper = ["setpriv", "--inh-caps=-all", "--bounding-set=-bpf,-net_admin,-sys_admin,-perfmon"]
        self.second.start()
        number = self.publish(SCOPE, SIZE)
        self.second.await_number(number)
        stats = self.second.stats()
        self.assertEqual((stats["xdp"], stats["xdp_error"]), ("off", "permission"))
        time.sleep(1.5)  # a further look
        self.assertEqual(self.second.log().count("no XDP filter"), 1, self.second.log())
        self.assertIn("error=permission", self.second.log())
        self.assertIsNone(self.attached())

    def test_a_user_with_the_three_capabilities_has_a_filter_and_its_commands_have_no_rights(self):
        self.mine.end()
        fleet_file = os.path.join(self.second.folder, "fleet.json")
        shutil.copy(self.fleet.fleet_file, fleet_file)
        os.chmod(self.fleet.folder, 0o711)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", self.second.folder], check=True)
        rights = "-all,+bpf,+perfmon,+net_admin"
        self.second.wrapper = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", f"--inh-caps={rights}",
                               f"--ambient-caps={rights}", f"--bounding-set={rights}"]
        self.second.scope = SCOPE
        self.second.args = ["--fleet", fleet_file, "--xdp", "auto", "--exec", "grep CapEff /proc/self/status"]
        self.second.start()
        self.second.await_filter()
        self.assertEqual(self.attached(), "confcast_filter")
        self.second.await_number(self.publish(SCOPE))
        fleets.wait_until("the command", lambda: "CapEff" in self.second.log(), 20)
        self.assertNotRegex(self.second.log(), r"CapEff:\s*0*[1-9a-f]")
        self.second.end()

    def test_it_gives_way_when_others_may_listen_behind_the_interface(self):
        self.netns("ip", "link", "add", "link", "eth0", "name", "mv0", "type", "macvlan")
        try:
            self.mine.await_stats("the end of the filter", lambda s: s["xdp"] == "off")
            self.assertEqual(self.mine.stats()["xdp_error"], "unavailable")
            self.assertIsNone(self.attached())
        finally:
            self.netns("ip", "link", "del", "mv0")
        self.mine.await_filter()

    def test_counters_are_there_as_metrics(self):
        text = self.fleet.run(["confcast-agent", "stats", "--state-dir", self.mine.state_dir, "--metrics"], check=True).stdout
        samples = exposition.parse(text)
        self.assertIn('confcast_agent_xdp_attached{mode="native"} 1', text)
        self.assertIn("confcast_agent_xdp_dropped_unwanted_total", text)
        self.assertGreater(len(samples), 25)


if __name__ == "__main__":
    sys.exit(run_cases())
