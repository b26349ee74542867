"""What test_dataplane.py needs: an engine as a process, the control plane's end of its control
socket, and receivers in the namespaces of consumers.

CFC_BUILD names the build folder; without it, build/ of this repository."""

import atexit
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("CFC_BUILD", os.path.join(REPO, "build"))
DATAPLANE = os.path.join(BUILD, "dataplane/confcast-dataplane")
PEER = os.path.join(BUILD, "tests/integration/dataplane_peer")
TESTBED = os.path.join(REPO, "scripts/testbed")

ENGINE_IP = "10.77.0.1"
GROUP_BASE = "239.77.0.1"
GROUP_COUNT = 4
PORT = 7500
SESSION_KEY = "5a" * 32
IP_ADD_SOURCE_MEMBERSHIP = 39
SO_RCVBUFFORCE = 33

FRAME_TYPES = {1: "HEAD", 2: "CONTENT", 3: "PAGE", 4: "SYMBOL", 5: "FRESH", 6: "STATUS",
               7: "WELCOME", 8: "GONE"}

# protocol/handoff/handoff.h
MAGIC = 0x48434643
CONTROL_HELLO, SHARD, ARENA, CONTENT, DROP_CONTENT, HEAD, DROP_HEAD, FRESH, SYNCED = range(1, 10)
ENGINE_HELLO, CONSUMER, REPORT, RELEASE_ARENA, REFUSED, ENGINE_STATS = range(32, 38)
COUNTERS = ("frames_in frames_refused frames_out bytes_out heads_sent symbols_sent pages_sent "
            "fresh_sent nacks repairs_unicast repairs_multicast gone_sent reports reports_refused "
            "consumers tx_full mbuf_shortage").split()

FOLDER = tempfile.mkdtemp(prefix="cfc-dataplane-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def group_address(number):
    return socket.inet_ntoa(struct.pack(">I", struct.unpack(
        ">I", socket.inet_aton(GROUP_BASE))[0] + number))


def receiver(source=ENGINE_IP):
    """A socket that has joined all groups of the engine."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    sock.bind(("", PORT))
    for number in range(GROUP_COUNT + 1):
        sock.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP,
                        socket.inet_aton(group_address(number)) + socket.inet_aton("0.0.0.0") +
                        socket.inet_aton(source))
    return sock


def receive(sock, is_done, timeout_s=5.0):
    """Frames until is_done(frames) or the time is up."""
    frames = []
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if select.select([sock], [], [], 0.05)[0]:
            frames.append(sock.recv(16384))
            while True:
                try:
                    frames.append(sock.recv(16384, socket.MSG_DONTWAIT))
                except BlockingIOError:
                    break
        if is_done(frames):
            break
    return frames


def kind(frame):
    return FRAME_TYPES.get(frame[3], "?")


class Frames:
    """A head, its content and FRESH, made by dataplane_peer."""

    def __init__(self, scope="acme/web", epoch=1, version=1, size=300 * 1440 - 100, symbol_size=1440,
                 seed=1):
        self.folder = tempfile.mkdtemp(dir=FOLDER)
        made = subprocess.run([PEER, "frames", self.folder, scope, str(epoch), str(version),
                               str(size), str(symbol_size), str(seed)],
                              stdout=subprocess.PIPE, check=True, text=True)
        about = json.loads(made.stdout)
        self.epoch = epoch
        self.symbol_size = symbol_size
        self.scope_id = about["scope_id"]
        self.content_id = bytes.fromhex(about["content"])
        self.content_key = about["content_key"]
        self.symbol_count = about["symbols"]
        self.page_count = about["pages"]
        self.content, self.tree, self.coded, self.head, self.fresh = (
            self.read(name) for name in ("content.frame", "tree", "coded", "head.frame",
                                         "fresh.frame"))

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def symbol(self, block, index):
        at = (block * 64 + index) * self.symbol_size
        return self.coded[at:at + self.symbol_size]

    def missing(self, frames):
        """What of all this is not among the frames, byte for byte."""
        lacking = set()
        seen = set(frames)
        symbols = {}
        for frame in frames:
            if kind(frame) == "SYMBOL" and struct.unpack_from("<Q", frame, 8)[0] == self.content_key:
                coding, index, block = struct.unpack_from("<HHI", frame, 16)
                symbols[block, index] = frame[24:]
        for name in ("head", "content", "fresh"):
            if getattr(self, name) not in seen:
                lacking.add(name)
        for number in range(self.symbol_count):
            place = divmod(number, 64)
            if symbols.get(place) != self.symbol(*place):
                lacking.add(f"symbol {place}")
        pages = {frame[24:] for frame in frames
                 if kind(frame) == "PAGE" and
                 struct.unpack_from("<Q", frame, 8)[0] == self.content_key}
        if b"".join(sorted(pages)) == b"" or len(pages) != self.page_count:
            lacking.add(f"{self.page_count - len(pages)} pages")
        lacking |= {"a page's bytes" for page in pages if page not in self.tree}
        return lacking


def ask_telemetry(log, command):
    """What rte_telemetry of the engine that wrote this log answers."""
    prefix = log.rsplit("file prefix ", 1)[1].split()[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(5)
        sock.connect(f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2")
        sock.recv(16384)
        sock.send(command.encode())
        return json.loads(sock.recv(65536))[command.split(",")[0]]


class Engine:
    """confcast-dataplane in a namespace."""

    def __init__(self, *args, namespace=None, control=None, ip=None, log=None):
        self.folder = tempfile.mkdtemp(dir=FOLDER)
        self.control = control or os.path.join(self.folder, "control.sock")
        key = os.path.join(self.folder, "session.key")
        with open(key, "w", encoding="ascii") as file:
            file.write(f"confcast-key-1 session {SESSION_KEY}\n")
        os.chmod(key, 0o600)
        command = ["ip", "netns", "exec", namespace] if namespace else []
        command += [DATAPLANE, "--group-base", GROUP_BASE, "--group-count", str(GROUP_COUNT),
                    "--udp-port", str(PORT), "--session-key", key, "--control", self.control]
        command += ["--ip", ip] if ip else []
        self.log_path = log or os.path.join(self.folder, "log")
        self.started = time.monotonic()
        with open(self.log_path, "ab") as log_file:
            self.process = subprocess.Popen(command + list(args), stderr=log_file,
                                            stdout=log_file)
        self.wait_ready()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for_log(self, text, timeout_s=5):
        end = time.monotonic() + timeout_s
        while text not in self.log():
            if time.monotonic() > end:
                raise AssertionError(f"the engine did not say {text!r}:\n{self.log()}")
            time.sleep(0.01)

    def wait_ready(self):
        while time.monotonic() < self.started + 20:
            if "confcast-dataplane: ready\n" in self.log():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        status = self.process.poll()
        self.kill()
        raise AssertionError(f"the engine did not become ready (status {status}):\n{self.log()}")

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it did not stop"

    def kill(self):
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.wait()

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def telemetry(self, command):
        return ask_telemetry(self.log(), command)


class Control:
    """The control plane's end: hands frames over and reads what comes back."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(5)
        self.sock.connect(path)
        self.arena_count = 0
        self.received = []
        self.packet = b""  # what is left of the last one

    def close(self):
        self.sock.close()

    def send(self, number, body=b"", fds=()):
        packet = struct.pack("<IHH", MAGIC, number, 1) + body
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))]
        self.sock.sendmsg([packet], ancillary)

    def hello(self):
        self.send(CONTROL_HELLO, struct.pack("<Q", 1))

    def shard(self, epoch, fleet_size=2, shard=0):
        self.send(SHARD, struct.pack("<IIQ", shard, fleet_size, epoch))

    def arena(self, payload, seals=None, size=None, number=None):
        if number is None:
            self.arena_count += 1
            number = self.arena_count
        fd = os.memfd_create("arena", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.write(fd, payload)
        if seals is None:
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        self.send(ARENA, struct.pack("<QQ", number, len(payload) if size is None else size), [fd])
        os.close(fd)
        return number

    def content(self, frames, arena, tree_offset=0, coded_offset=None, tree_size=None,
                pull_only=False):
        if coded_offset is None:
            coded_offset = len(frames.tree)
        if tree_size is None:
            tree_size = len(frames.tree)
        self.send(CONTENT, struct.pack("<QQQQB3xI", arena, tree_offset, tree_size, coded_offset,
                                       pull_only, len(frames.content)) + frames.content)

    def head(self, frame):
        self.send(HEAD, struct.pack("<I", len(frame)) + frame)

    def fresh(self, frame, changed=True):
        self.send(FRESH, struct.pack("<B3xI", changed, len(frame)) + frame)

    def hand_over(self, *all_frames):
        """Everything from the hello to SYNCED.  The numbers of the arenas."""
        self.hello()
        arenas = []
        for frames in all_frames:
            self.shard(frames.epoch)
            arenas.append(self.arena(frames.tree + frames.coded))
            self.content(frames, arenas[-1])
        for frames in all_frames:
            self.head(frames.head)
            self.fresh(frames.fresh)
        self.send(SYNCED)
        return arenas

    @staticmethod
    def message_size(packet):
        """Of the first message; CONSUMER and REPORT may share a packet."""
        number = struct.unpack_from("<IHH", packet)[1]
        if number == REPORT:
            id_size, frame_size = struct.unpack_from("<B3xI", packet, 8)
            return 8 + 8 + id_size + frame_size
        if number == CONSUMER:
            return 8 + 24 + struct.unpack_from("<I", packet, 28)[0]
        return len(packet)

    def receive(self, timeout_s=2.0):
        """The next message as (type, body), or None."""
        if not self.packet:
            self.sock.settimeout(timeout_s)
            try:
                self.packet = self.sock.recv(16384)
            except (TimeoutError, socket.timeout):
                return None
        if not self.packet:
            return None
        size = self.message_size(self.packet)
        message, self.packet = self.packet[:size], self.packet[size:]
        magic, number, version = struct.unpack_from("<IHH", message)
        assert (magic, version) == (MAGIC, 1)
        self.received.append((number, message[8:]))
        return self.received[-1]

    def wait_for(self, number, timeout_s=3.0):
        """The body of the next packet of a type, or None."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            packet = self.receive(max(0.01, end - time.monotonic()))
            if packet is None:
                return None
            if packet[0] == number:
                return packet[1]
        return None

    def refusal(self, timeout_s=3.0):
        """(type, positive error number, key) of the next REFUSED."""
        body = self.wait_for(REFUSED, timeout_s)
        if body is None:
            return None
        number, error, _, key = struct.unpack("<HHIQ", body)
        return number, error, key

    def stats(self):
        body = self.wait_for(ENGINE_STATS)
        assert body is not None, "no ENGINE_STATS"
        count = struct.unpack_from("<I", body)[0]
        return dict(zip(COUNTERS, struct.unpack_from(f"<{count}Q", body, 8)))

    def is_closed(self, timeout_s=3.0):
        """Whether the engine closes the connection."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            try:
                if not self.sock.recv(16384):
                    return True
            except (TimeoutError, socket.timeout):
                return False
            except ConnectionResetError:
                return True
        return False
