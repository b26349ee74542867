"""Documents with a history, and a confcastd --pull without an engine that they are pulled from."""

import glob
import json
import os
import selectors
import socket
import statistics
import sys
import time

from harness.rows import RowError
from harness.topology import PERF

REPO = os.path.dirname(PERF)
CROWD_SCOPE = "acme/crowd"
CROWD_SIZE = 20000
SIGN_TIMEOUT_S = 30


def canonical(document):
    """As RFC 8785 has it for all that occurs in these documents."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def chains(revision_max):
    """(name, texts of revisions in order): real ones where ../shared/data is there, else the repository's examples with one value changed."""
    folders = sorted(glob.glob(os.path.join(REPO, "../shared/data/*/")))
    for folder in folders:
        texts = []
        for path in sorted(glob.glob(folder + "*.json"))[:revision_max]:
            with open(path, encoding="utf-8") as file:
                texts.append(canonical(json.load(file)))
        yield os.path.basename(folder.rstrip("/")), texts
    if not folders:
        with open(os.path.join(REPO, "docs/examples/acme.json"), encoding="utf-8") as file:
            document = json.load(file)
        yield "example", [canonical({**document, "revision": number}) for number in range(revision_max)]


class PullDaemon:
    """tests/integration knows how to be a consumer that pulls."""

    def __init__(self, ctx, folder):
        os.environ["CONFCASTD"] = ctx.built("controlplane/app/confcastd")
        os.environ["CONFCASTCTL"] = ctx.built("controlplane/ctl/confcastctl")
        os.environ["CONFCAST_AGENT"] = ctx.built("consumer/app/confcast-agent")
        sys.path.insert(0, os.path.join(REPO, "tests/integration"))
        import control
        import test_pull
        self.pull = test_pull
        self.folder = folder
        self.keys = os.path.join(folder, "keys")
        if control.ctl("key", "init", "--dir", self.keys, "--engine", "127.0.0.1").returncode != 0:
            raise RowError("confcastctl key init failed")
        self.daemon = control.Daemon(folder, "--keys", self.keys, "--pull", "--rate-limit", "1000000", "--connections", "4096")

    def __enter__(self):
        self.daemon.start()
        self.consumer = self.pull.RawConsumer(self.daemon, self.folder, "bench", self.keys).greet()
        return self

    def __exit__(self, *_):
        self.daemon.stop()

    def publish(self, scope, text):
        for method, path, body in (("PUT", f"/v1/config/{scope}", text), ("POST", f"/v1/release/{scope}", {"action": "promote"})):
            reply = self.daemon.request(method, path, body, unix=True)
            if reply.status != 200:
                raise RowError(f"{method} {path}: {reply}")
        return reply.json["version"]

    def ask(self, target, rounds):
        """(the answer, median milliseconds of asking again)"""
        body = self.consumer.request("GET", target).body
        took = []
        for _ in range(rounds):
            start = time.monotonic()
            if not self.consumer.request("GET", target).body:
                raise RowError(f"{target}: nothing")
            took.append((time.monotonic() - start) * 1000)
        return body, statistics.median(took)

    def frame(self, body, kind):
        return next((frame for number, frame in self.pull.frames(body) if number == kind), None)

    def chain(self, name, texts, rounds):
        """((bytes, ms) of the whole, (bytes, ms) of the delta) for each revision but the first."""
        scope = f"acme/{name}"
        target = f"/v1/snapshot/{scope}?after=0"
        base = None
        for text in texts:
            version = self.publish(scope, text)
            deadline = time.monotonic() + SIGN_TIMEOUT_S
            while True:  # until the publisher has signed it
                body, ms = self.ask(target, rounds)
                head = self.frame(body, self.pull.HEAD)
                if head and int.from_bytes(head[40:48], "little") >= version:
                    break
                if time.monotonic() > deadline:
                    raise RowError(f"{name}: version {version} is not signed")
            content = self.frame(body, self.pull.CONTENT)
            if base and content:
                changed, changed_ms = self.ask(f"{target}&have={base}", rounds)
                yield (len(body), ms), (len(changed), changed_ms)
            base = content[56:88].hex() if content else None

    def of_process(self, key):
        with open(f"/proc/{self.daemon.process.pid}/status", encoding="ascii") as file:
            return int(next(line.split()[1] for line in file if line.startswith(key + ":")))

    def crowd(self, count):
        """(ms until the first, and the last, has its answer; threads added; resident bytes each)"""
        version = self.publish(CROWD_SCOPE, {"text": os.urandom(CROWD_SIZE // 2).hex()})
        target = f"/v1/snapshot/{CROWD_SCOPE}?after={version}&wait_s=60"
        self.pull.wait_until(lambda: len(self.consumer.request("GET", target.replace("wait_s=60", "wait_s=0")).body) > 0)
        idle = self.of_process("VmRSS"), self.of_process("Threads")
        sockets = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", self.daemon.port))
            header = self.consumer.header("GET", target)["Authorization"]
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\n\r\n".encode())
            sockets.append(sock)
        time.sleep(0.5)
        waiting = self.of_process("VmRSS"), self.of_process("Threads")
        self.publish(CROWD_SCOPE, {"text": os.urandom(CROWD_SIZE // 2).hex()})
        took = read_all(sockets)
        for sock in sockets:
            sock.close()
        return took[0], took[-1], waiting[1] - idle[1], max(0, (waiting[0] - idle[0]) * 1024 // count)


def read_all(sockets):
    """Milliseconds until each has its whole answer, in order."""
    start = time.monotonic()
    took = []
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, bytearray())
        while len(took) < len(sockets):
            ready = selector.select(30)
            if not ready:
                raise RowError(f"{len(sockets) - len(took)} of {len(sockets)} that wait got no answer")
            for key, _ in ready:
                key.data.extend(key.fileobj.recv(1 << 16))
                head, blank, body = bytes(key.data).partition(b"\r\n\r\n")
                if blank:
                    if not head.startswith(b"HTTP/1.1 200"):
                        raise RowError(f"who waits got {head[:60]}")
                    size = int(head.lower().partition(b"content-length:")[2].split()[0])
                    if len(body) >= size:
                        took.append((time.monotonic() - start) * 1000)
                        selector.unregister(key.fileobj)
    return sorted(took)
