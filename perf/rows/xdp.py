"""What a stream of contents that nobody on a host wants costs this host, with the XDP filter of its agent and without it.

Three links leave the sender: to a host whose agent has the filter, to one whose agent has none, and one that loses all that is sent (a blackhole qdisc). The
agents follow another scope of the group that the stream goes to. A host's cost is the time that the processors of the whole machine did not idle while the
stream ran, less what the same stream costs into nothing: the kernel's receive path and the agent, wherever they run. The links are veth, whose native XDP copies
each frame of a sender that is a socket; a driver with a ring of its own does not."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import time

from harness.rows import OURS, Figure, Goal, Row, RowError, Sample
from harness.topology import fleets

SCOPE = "bench/followed/prod"
NO_FILTER = "no filter"
SOURCE = "10.77.0.1"
PORT = 7500
GROUPS = 4
BASE = "239.77.9."
RATES = {"81,000 frames/s (1 Gbit/s)": 81000, "as fast as it can": 0}


def scope_id(scope):
    return int.from_bytes(hashlib.sha256(scope.encode()).digest()[:8], "little")


# Another scope of the same group.
STREAM_ID = next(i for i in map(scope_id, (f"bench/unwanted{n}/prod" for n in range(99))) if i % GROUPS == scope_id(SCOPE) % GROUPS)


def busy_s():
    """Processor time of the whole machine since it started in which it did not idle.  /proc/timer_list has that to the nanosecond; /proc/stat
    counts ticks, which are more than a stream costs, and guesses whose they were."""
    processors = os.sched_getaffinity(0)
    for processor in processors:  # one that idles counts it when it wakes up
        os.sched_setaffinity(0, {processor})
    os.sched_setaffinity(0, processors)
    with open("/proc/timer_list", encoding="ascii", errors="replace") as file:
        text = file.read()
    idle_ns = [int(value) for value in re.findall(r"\.(?:idle|iowait)_sleeptime\s*: (\d+)", text)]
    if not idle_ns:
        raise RowError("this kernel does not say how long its processors idled (/proc/timer_list)")
    now_ns = int(re.search(r"now at (\d+) nsecs", text).group(1))
    return (now_ns * os.cpu_count() - sum(idle_ns)) / 1e9


class Bed:
    """The namespaces; `hosts` by side, each with its agent."""

    def __init__(self, ctx, folder):
        self.ctx = ctx
        self.folder = folder
        self.prefix = f"cfperf{os.getpid()}-xdp"
        self.sender = f"{self.prefix}-s"
        self.links = {OURS: "filtered", NO_FILTER: "plain", None: "nothing"}
        self.hosts = {OURS: f"{self.prefix}-f", NO_FILTER: f"{self.prefix}-n"}
        self.agents = {}

    def run(self, *command):
        done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise RowError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def ctl(self, *args):
        return self.run(self.ctx.built("controlplane/ctl/confcastctl"), *args)

    def up(self):
        for name in (self.sender, *self.hosts.values()):
            self.run("ip", "netns", "add", name)
        self.run("ip", "-n", self.sender, "link", "add", "nothing", "type", "veth", "peer", "name", "other")
        self.run("ip", "-n", self.sender, "link", "set", "other", "up")
        self.run("tc", "-n", self.sender, "qdisc", "add", "dev", "nothing", "root", "blackhole")
        for side, host in self.hosts.items():
            self.run("ip", "-n", self.sender, "link", "add", self.links[side], "type", "veth", "peer", "name", "eth0", "netns", host)
            self.run("ip", "-n", host, "addr", "add", "10.77.0.11/24", "dev", "eth0")
            self.run("ip", "-n", host, "link", "set", "eth0", "up")
        self.run("ip", "-n", self.sender, "addr", "add", f"{SOURCE}/32", "dev", "nothing")
        for link in self.links.values():
            self.run("ip", "-n", self.sender, "link", "set", link, "up")
        keys = os.path.join(self.folder, "keys")
        self.ctl("key", "init", "--dir", keys, "--fleet", "bench", "--group-base", f"{BASE}0", "--group-count", str(GROUPS), "--port", str(PORT),
                 "--engine", f"{SOURCE}:{PORT}")
        for side, host in self.hosts.items():
            self.start_agent(side, host, keys)
        fleets.wait_until("the filter", lambda: self.stats(OURS).get("xdp") == "native" and not self.stats(OURS)["is_xdp_open"], 20)

    def state_dir(self, side):
        return os.path.join(self.folder, self.links[side])

    def start_agent(self, side, host, keys):
        credential = os.path.join(self.folder, f"{self.links[side]}.json")
        self.ctl("key", "enroll", "--dir", keys, "--id", self.links[side], "-o", credential)
        command = ["ip", "netns", "exec", host, self.ctx.built("consumer/app/confcast-agent"), "--fleet", os.path.join(keys, "fleet.json"),
                   "--credential", credential, "--scope", SCOPE, "--interface", "eth0", "--state-dir", self.state_dir(side)]
        command += ["--xdp", "native"] if side == OURS else []
        self.agents[side] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stats(self, side):
        done = subprocess.run([self.ctx.built("consumer/app/confcast-agent"), "stats", "--state-dir", self.state_dir(side)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def stream(self, side, seconds, rate):
        """(frames, processor seconds)"""
        before = busy_s()
        out = self.run("ip", "netns", "exec", self.sender, self.ctx.program("perf_stream"), self.links[side], SOURCE,
                       f"{BASE}{scope_id(SCOPE) % GROUPS}", PORT, f"{STREAM_ID:x}", seconds, rate)
        time.sleep(0.1)  # what is queued
        return json.loads(out)["frames"], busy_s() - before

    def down(self):
        for agent in self.agents.values():
            agent.kill()
            agent.wait()
        for name in (self.sender, *self.hosts.values()):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)


class Xdp(Row):
    name = "xdp"
    title = "a stream that nobody on a host wants: processor time that each frame costs this host, with the agent's XDP filter and without"
    figures = (Figure("cost", "us/frame"), Figure("sent", "frames/s"))
    goals = (Goal("cost", "<=", 1 / 3, NO_FILTER),)
    seconds = 20

    def run(self, ctx):
        with ctx.folder() as folder, contextlib.ExitStack() as stack:
            bed = Bed(ctx, folder)
            stack.callback(bed.down)
            bed.up()
            for case, rate in RATES.items():
                if ctx.wants(case):
                    for turn in range(ctx.rounds(3, 5)):
                        yield from self.round(bed, case, rate, ctx.rounds(0.5, 2.0), turn)

    @staticmethod
    def round(bed, case, rate, seconds, turn):
        frames, spent = bed.stream(None, seconds, rate)
        sending = spent / frames
        for side in (OURS, NO_FILTER):
            before = bed.stats(side)
            frames, spent = bed.stream(side, seconds, rate)
            after = bed.stats(side)
            if side == OURS and after["xdp_unwanted"] - before["xdp_unwanted"] < 0.99 * frames:
                raise RowError(f"of {frames} frames the filter dropped {after['xdp_unwanted'] - before['xdp_unwanted']}")
            if side != OURS and after["datagrams"] + after["overflows"] - before["datagrams"] - before["overflows"] < 0.99 * frames:
                raise RowError(f"of {frames} frames {after['datagrams'] - before['datagrams']} came")
            yield Sample(case, "cost", side, (spent / frames - sending) * 1e6, turn=turn)
            yield Sample(case, "sent", side, frames / seconds, turn=turn)


ROWS = [Xdp()]
