"""The network that the rows of a fleet are measured in, on this one machine.

A sender's host, a control host and receivers' hosts, each a network namespace of its own, on a bridge with IGMP snooping (scripts/testbed).
On top of that: seeded loss at each receiver's link by a BPF program (perf/loss.bpf.c), and the sender's link shaped to 1 Gbit/s by tbf.

    with Topology("name", receivers=4) as topology:
        topology.set_loss(1.0)              # percent, of UDP and TCP frames, independent at each receiver
        topology.set_shaped(True)
        child = topology.start(topology.receivers[0], ["uftpd", ...])

It comes down when the block ends, and what was started inside with it.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

PERF = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(PERF, "../scripts"))
import fleet as fleets  # noqa: E402

testbed = fleets.testbed
CLONE_NEWNET = 0x40000000
SHAPED_MBIT = 1000
SHAPED_UDP_MBIT = 960  # of UDP payload in 1 Gbit/s of Ethernet frames: 1,472 of 1,514 bytes, less 1 % for what comes between
PREFIX = "cfperf"
FOLDERS = ("/dev/shm", "/var/tmp")

libc = ctypes.CDLL(None, use_errno=True)


def in_namespace(name, make):
    """make() with the calling thread inside the namespace."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{name}", "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            return make()
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                os._exit(1)


def make_folder(in_memory):
    """An empty folder of this process, in memory or on the machine's disk; whoever makes it removes it."""
    return tempfile.mkdtemp(prefix=f"confcast-perf-{os.getpid()}-", dir=FOLDERS[0] if in_memory else FOLDERS[1])


def remove_orphans():
    """Beds, fleets and folders of runs that were killed before they could remove them."""
    for place in FOLDERS:
        for name in os.listdir(place):
            found = re.match(r"confcast-perf-(\d+)-", name)
            if found and not testbed.alive(int(found.group(1))):
                shutil.rmtree(os.path.join(place, name), ignore_errors=True)
    listing = testbed.run(["ip", "netns", "list"])
    for pid in {int(match) for match in re.findall(rf"^(?:cf-)?{PREFIX}(\d+)-", listing, re.M)}:
        if not testbed.alive(pid):
            for name in set(re.findall(rf"^({PREFIX}{pid}-[a-z0-9]+)-(?:br|engine)", listing, re.M)):
                testbed.Bed(name).down()


class Topology:
    def __init__(self, name, receivers=8, seed=1, mtu=1500, build=None):
        self.bed = testbed.Bed(f"{PREFIX}{os.getpid()}-{name}")
        self.build = build or os.environ.get("CFC_BUILD") or os.path.join(PERF, "../build")
        self.count = receivers
        self.seed = seed
        self.mtu = mtu
        self.sender = f"{self.bed.prefix}-engine"
        self.control = f"{self.bed.prefix}-control"
        self.sender_ip = "10.77.0.1"
        self.receivers = [self.bed.consumer(number) for number in range(1, receivers + 1)]
        self.loss = 0.0
        self.is_shaped = False
        self.children = []

    def receiver_ip(self, index):
        """Of receivers[index]."""
        return f"10.77.0.{11 + index}"

    def __enter__(self):
        try:
            self.bed.up(self.count, 0.0, fleets.PORT, self.mtu)
            self.clear_filters()
        except BaseException:
            self.down()
            raise
        return self

    def clear_filters(self):
        """Takes packet filters out of everybody's way: the bed's own loss, which is of one port, and those that a host may have put behind
        its bridges (br_netfilter), which no switch has."""
        for netns in self.receivers:
            self.run(netns, ["nft", "delete", "table", "inet", "confcast_bed"])
        for name in ("iptables", "ip6tables", "arptables"):
            path = f"/proc/sys/net/bridge/bridge-nf-call-{name}"
            self.run(self.bed.bridge, ["sh", "-c", f"! test -e {path} || echo 0 > {path}"])

    def __exit__(self, *_):
        self.down()

    def down(self):
        self.bed.down()
        for child in self.children:
            child.wait()
        self.children = []

    def start(self, netns, command, **options):
        """A process inside a namespace of the topology: a subprocess.Popen, ended with the topology at the latest.  Its pid is
        that of the program itself."""
        options.setdefault("stdin", subprocess.DEVNULL)
        child = subprocess.Popen(["ip", "netns", "exec", netns, *[str(word) for word in command]], **options)
        self.children.append(child)
        return child

    def run(self, netns, command, **options):
        """Runs a command to its end inside a namespace; its output, or RuntimeError."""
        done = subprocess.run(["ip", "netns", "exec", netns, *[str(word) for word in command]], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def stop(self, child):
        """SIGTERM, then SIGKILL."""
        if child.poll() is None:
            testbed.end_processes({child.pid})
        child.wait()
        if child in self.children:
            self.children.remove(child)

    def set_loss(self, percent):
        """At every receiver, independently: the n-th frame since this call is lost in every run with the same seed."""
        for number, netns in enumerate(self.receivers):
            self.run(netns, [os.path.join(self.build, "perf/perf_loss"), "eth0", testbed.loss_ppm_of(percent),
                             self.seed * 1000 + number])
        self.loss = percent

    def set_shaped(self, is_shaped):
        """1 Gbit/s from the sender's host into the bridge, by way of an ifb at the bridge's port: a PMD passes its own qdisc by."""
        if is_shaped == self.is_shaped:
            return
        bridge = self.bed.bridge
        port = "engine"
        up = (f"ip -n {bridge} link add shaper type ifb", f"ip -n {bridge} link set shaper up",
              f"tc -n {bridge} qdisc add dev {port} ingress",
              f"tc -n {bridge} filter add dev {port} parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev shaper",
              f"tc -n {bridge} qdisc add dev shaper root tbf rate {SHAPED_MBIT}mbit burst 256kb limit 4mb")
        down = (f"tc -n {bridge} qdisc del dev {port} ingress", f"ip -n {bridge} link del shaper")
        for command in up if is_shaped else down:
            testbed.run(command.split())
        self.is_shaped = is_shaped

    def counters(self, netns):
        """(received bytes, sent bytes) of a host's eth0 since it exists: Ethernet frames without their check sequence."""
        def read():
            with open("/proc/thread-self/net/dev", encoding="ascii") as file:
                fields = next(line.split(":")[1].split() for line in file if line.strip().startswith("eth0:"))
            return int(fields[0]), int(fields[8])

        return in_namespace(netns, read)

    def sent_bytes(self):
        return self.counters(self.sender)[1]

    def cpu_seconds(self, netns=None):
        """Processor time of all that runs in a namespace, or in those of all receivers."""
        names = [netns] if netns else self.receivers
        total = 0
        for name in names:
            for pid in testbed.run(["ip", "netns", "pids", name]).split():
                total += cpu_ns_of(int(pid))
        return total / 1e9

    def links(self):
        return json.loads(testbed.run(["ip", "-n", self.bed.bridge, "-j", "link"]))


def cpu_ns_of(pid):
    """Processor time of all threads of a process; 0 when it is gone."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total
