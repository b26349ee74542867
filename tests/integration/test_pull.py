"""Consumers that pull over HTTP(S), without any multicast: a real confcastd without an engine, and real agents."""

import glob
import hashlib
import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from control import Daemon, ctl, wait_until
from certificates import make_ca, make_cert, make_crl

AGENT = os.environ["CONFCAST_AGENT"]
SCOPE = "acme/checkout/prod"
WAIT_MS = 1000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Agent:
    """confcast-agent --pull only, with its events."""

    def __init__(self, folder, name, keys, *options, scopes=(SCOPE,)):
        self.state = os.path.join(folder, name)
        self.credential = os.path.join(folder, name + ".json")
        self.options = options
        self.scopes = scopes
        self.fleet = os.path.join(keys, "fleet.json")
        self.events = []
        self.log = []
        self.process = None
        if not os.path.exists(self.credential):
            result = ctl("key", "enroll", "--dir", keys, "--id", name, "-o", self.credential)
            assert result.returncode == 0, result.stderr

    def start(self):
        scopes = [word for scope in self.scopes for word in ("--scope", scope)]
        self.process = subprocess.Popen(
            [AGENT, "--fleet", self.fleet, "--credential", self.credential, *scopes, "--state-dir", self.state,
             "--pull", "only", "--pull-wait-ms", str(WAIT_MS), "--events", "-", *self.options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=self._read, args=(stream, into), daemon=True)
                        for stream, into in ((self.process.stdout, self.events), (self.process.stderr, self.log))]
        for reader in self.readers:
            reader.start()
        return self

    def _read(self, stream, into):
        for line in stream:
            into.append(json.loads(line) if into is self.events else line)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(20)
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def kill(self):
        self.process.kill()
        self.stop()

    def count(self, word):
        return sum(event["event"] == word for event in self.events)

    def last(self, word, scope=None):
        for event in reversed(self.events):
            if event["event"] == word and scope in (None, event.get("scope")):
                return event
        return None

    def await_event(self, word, version=None, scope=None, timeout_s=20):
        try:
            return wait_until(lambda: next((e for e in reversed(self.events) if e["event"] == word and
                                            version in (None, e["version"]) and scope in (None, e.get("scope"))),
                                           None), timeout_s)
        except AssertionError:
            raise AssertionError(f"no {word} {version}: {self.events[-5:]} {self.log[-5:]}") from None

    def get(self, scope=SCOPE, pointer=""):
        result = subprocess.run([AGENT, "get", "--state-dir", self.state, scope, pointer], capture_output=True,
                                text=True, timeout=20, check=False)
        return json.loads(result.stdout) if result.returncode == 0 else None

    def stats(self):
        before = self.count("stats")
        self.process.send_signal(10)
        wait_until(lambda: self.count("stats") > before)
        return self.last("stats")


class PullCase(unittest.TestCase):
    scheme = "http"
    host = "localhost"
    daemon_options = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="confcast-pull-")
        cls.keys = os.path.join(cls.folder, "keys")
        cls.port = cls.url_port = free_port()
        cls.prepare()
        result = ctl("key", "init", "--dir", cls.keys, "--engine", "127.0.0.1", "--pull-url",
                     f"{cls.scheme}://{cls.host}:{cls.url_port}")
        assert result.returncode == 0, result.stderr
        cls.daemon = Daemon(cls.folder, "--keys", cls.keys, "--pull", "--listen", f"127.0.0.1:{cls.port}",
                            *cls.daemon_options).start()

    @classmethod
    def prepare(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        code = cls.daemon.stop()
        shutil.rmtree(cls.folder)
        assert code == 0, "".join(cls.daemon.log[-20:])

    def setUp(self):
        self.agents = []

    def tearDown(self):
        for agent in self.agents:
            self.assertIn(agent.stop(), (0, 2))  # 2: it was not to start

    def agent(self, name, *options, **more):
        agent = Agent(self.folder, name, self.keys, *options, **more)
        self.agents.append(agent)
        return agent.start()

    def request(self, *args, **kwargs):
        reply = self.daemon.request(*args, unix=True, **kwargs)
        self.assertEqual(reply.status, 200, reply)
        return reply.json

    def publish(self, document, scope=SCOPE, **release):
        revision = self.request("PUT", f"/v1/config/{scope}", document)["revision"]
        return self.request("POST", f"/v1/release/{scope}", {"action": "promote", "revision": revision, **release})

    def status(self, scope=SCOPE):
        return self.request("GET", f"/v1/status/{scope}")


def pull_auth(key, consumer, nonce, method, target, body=b""):
    """The Authorization header, as docs/wire-format.md has it."""
    digest = hashlib.sha256(b"confcast/v1/pull-body\0" + body).digest()
    mac = hashlib.blake2b(b"confcast/v1/pull\0" + bytes([len(consumer)]) + consumer.encode() + nonce + digest +
                          bytes([len(method)]) + method.encode() + target.encode(), key=key, digest_size=16)
    return f"Confcast {consumer} {nonce.hex()} {digest.hex()} {mac.hexdigest()}"


class RawConsumer:
    """The routes for consumers, one request at a time."""

    def __init__(self, daemon, folder, name, keys):
        path = os.path.join(folder, name + ".json")
        if not os.path.exists(path):
            result = ctl("key", "enroll", "--dir", keys, "--id", name, "-o", path)
            assert result.returncode == 0, result.stderr
        with open(path, encoding="utf-8") as file:
            self.key = bytes.fromhex(json.load(file)["report_key"])
        self.daemon = daemon
        self.name = name
        self.nonce = bytes(16)

    def header(self, method, target, body=b""):
        return {"Authorization": pull_auth(self.key, self.name, self.nonce, method, target, body)}

    def request(self, method, target, body=None, headers=None):
        given = headers or self.header(method, target, body or b"")
        reply = self.daemon.request(method, target, body, given)
        if reply.headers["Confcast-Nonce"]:
            self.nonce = bytes.fromhex(reply.headers["Confcast-Nonce"])
        return reply

    def greet(self):
        assert self.request("GET", "/v1/snapshot/none?after=0").status == 401
        return self


def frames(data):
    """(type, bytes) of each frame."""
    found = []
    while data:
        size = int.from_bytes(data[4:6], "little")
        assert data[:2] == b"\xc5\xcf" and 16 <= size <= len(data), data[:16]
        found.append((data[3], data[:size]))
        data = data[size:]
    return found


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def chains(revision_max=10):
    """Names and first revisions: the repository's examples, and real ones where ../shared/data is there."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    examples = sorted(glob.glob(os.path.join(root, "docs/examples/**/*.json"), recursive=True))
    yield "examples", [document for document in map(load, examples) if "null" not in json.dumps(document)]
    for folder in sorted(glob.glob(os.path.join(root, "../shared/data/*/"))):
        paths = sorted(glob.glob(folder + "*.json"))[:revision_max]
        yield os.path.basename(folder.rstrip("/")), [load(path) for path in paths]


HEAD, CONTENT, PAGE, SYMBOL, FRESH = 1, 2, 3, 4, 5


class Pull(PullCase):
    def test_every_revision_is_followed_applied_and_reported(self):
        scope = "acme/each"
        self.publish({"n": 0, "text": "x" * 5000}, scope)
        agent = self.agent("each", scopes=(scope,))
        for n in range(1, 8):
            document = {"n": n, "text": "x" * 5000, "list": list(range(n))}
            released = self.publish(document, scope)
            agent.await_event("applied", released["version"])
            self.assertEqual(agent.get(scope), document)
        status = wait_until(lambda: (lambda s: s["applied"] == 1 and s)(self.status(scope)))
        self.assertEqual((status["total"], status["published"]), (1, status["version"]))
        agent.await_event("durable", released["version"])
        wait_until(lambda: self.status(scope)["durable"] == 1)
        stats = agent.stats()
        self.assertEqual((stats["is_pulling"], stats["datagrams"], stats["pull_failures"]), (True, 0, 0))

    def test_a_change_arrives_while_the_request_waits(self):
        scope = "acme/quick"
        self.publish({"n": 0}, scope)
        agent = self.agent("quick", "--pull-wait-ms", "30000", scopes=(scope,))
        agent.await_event("applied")
        time.sleep(0.5)
        before = agent.stats()["pulls"]
        start = time.monotonic()
        agent.await_event("applied", self.publish({"n": 1}, scope)["version"])
        self.assertLess(time.monotonic() - start, 5)
        self.assertLessEqual(agent.stats()["pulls"] - before, 6)  # it did not ask again and again

    def test_rollback_hold_and_a_time_are_kept(self):
        scope = "acme/acts"
        first = self.publish({"v": 1, "text": "y" * 3000}, scope)
        agent = self.agent("acts", scopes=(scope,))
        agent.await_event("applied", first["version"])
        second = self.publish({"v": 2, "text": "y" * 3000}, scope)
        agent.await_event("applied", second["version"])
        back = self.request("POST", f"/v1/release/{scope}", {"action": "rollback"})
        agent.await_event("applied", back["version"])
        self.assertEqual(agent.get(scope, "/v"), 1)

        held = self.publish({"v": 3, "text": "y" * 3000}, scope, activate="hold")
        agent.await_event("prepared", held["version"])
        self.assertEqual(agent.get(scope, "/v"), 1)
        wait_until(lambda: self.status(scope)["prepared"] == 1)
        on = self.request("POST", f"/v1/release/{scope}", {"action": "advance"})
        agent.await_event("applied", on["version"])
        self.assertEqual(agent.get(scope, "/v"), 3)

        at = time.time() + 3
        timed = self.publish({"v": 4, "text": "y" * 3000}, scope, activate=f"at={int(at * 1e9)}")
        agent.await_event("prepared", timed["version"])
        self.assertEqual(agent.get(scope, "/v"), 3)
        event = agent.await_event("applied", timed["version"])
        self.assertGreaterEqual(event["time_unix_ns"], int(at * 1e9) - 1000000)

    def test_several_scopes_and_one_that_comes_later(self):
        scopes = tuple(f"acme/many/s{i}" for i in range(20))  # more than wait at one time
        for scope in scopes[:-1]:
            self.publish({"name": scope}, scope)
        agent = self.agent("many", scopes=scopes)
        for scope in scopes[:-1]:
            agent.await_event("applied", scope=scope)
        self.assertIsNone(agent.last("applied", scopes[-1]))
        self.publish({"name": "late"}, scopes[-1])
        agent.await_event("applied", scope=scopes[-1])
        self.assertEqual(agent.get(scopes[-1], "/name"), "late")
        wait_until(lambda: all(self.status(scope)["applied"] == 1 for scope in scopes))

    def test_a_small_change_of_a_big_config_is_a_small_delta(self):
        scope = "acme/big"
        document = {f"key{i:05}": {"value": i * 7919 % 100003, "text": f"entry {i * 31 % 977}"} for i in range(20000)}
        self.publish(document, scope)
        agent = self.agent("big", scopes=(scope,))
        agent.await_event("applied")
        whole = agent.stats()["pull_bytes"]
        document["key00500"]["value"] = -1
        document["key90000"] = {"value": 0}
        released = self.publish(document, scope)
        agent.await_event("applied", released["version"])
        delta = agent.stats()["pull_bytes"] - whole
        self.assertEqual(agent.get(scope), document)
        self.assertGreater(whole, 50000)
        self.assertLess(delta, whole / 10)

    def test_the_revisions_of_real_configs_are_followed(self):
        for name, documents in chains():
            scope = f"acme/real/{name}"
            agent = None
            for document in documents:
                released = self.publish(document, scope)
                agent = agent or self.agent(f"real-{name}", scopes=(scope,))
                agent.await_event("applied", released["version"])
                self.assertEqual(agent.get(scope), document)
            wait_until(lambda: self.status(scope)["applied"] == 1)  # noqa: B023
            agent.stop()

    def test_a_restart_of_the_control_plane_is_lived_through(self):
        scope = "acme/restart"
        self.publish({"n": 1}, scope)
        agent = self.agent("restart", scopes=(scope,))
        agent.await_event("applied")
        agent.await_event("durable")
        self.daemon.kill()
        agent.await_event("stale")
        self.assertEqual(agent.get(scope), {"n": 1})
        agent.kill()
        agent.start()  # from the disk, with nobody to ask
        agent.await_event("applied", timeout_s=5) if agent.count("applied") == 0 else None
        self.assertEqual(wait_until(lambda: agent.get(scope)), {"n": 1})
        self.daemon.start()
        agent.await_event("fresh", timeout_s=60)
        agent.await_event("applied", self.publish({"n": 2}, scope)["version"])
        wait_until(lambda: self.status(scope)["applied"] == 1)

    def test_a_consumer_ends_at_once_while_its_request_waits(self):
        scope = "acme/ends"
        self.publish({"n": 1}, scope)
        agent = self.agent("ends", "--pull-wait-ms", "60000", scopes=(scope,))
        agent.await_event("applied")
        time.sleep(0.5)
        start = time.monotonic()
        self.assertEqual(agent.stop(), 0)
        self.assertLess(time.monotonic() - start, 1)


class Routes(PullCase):
    def setUp(self):
        super().setUp()
        self.consumer = RawConsumer(self.daemon, self.folder, "raw", self.keys).greet()

    def test_only_a_credential_of_the_fleet_opens_them_and_only_them(self):
        self.publish({"n": 1}, "acme/auth")
        target = "/v1/snapshot/acme/auth?after=0"
        self.assertEqual(self.consumer.request("GET", target).status, 200)
        good = self.consumer.header("GET", target)["Authorization"]
        for wrong in (None, "Bearer x", good[:-1] + ("0" if good[-1] != "0" else "1"), good.replace("raw", "war"), good + " "):
            headers = {"Authorization": wrong} if wrong else {}
            reply = self.daemon.request("GET", target, headers=headers)
            self.assertEqual((reply.status, len(reply.headers["Confcast-Nonce"])), (401, 32), wrong)
        self.assertEqual(self.daemon.request("GET", target + "0", headers={"Authorization": good}).status, 401)
        self.assertEqual(self.daemon.request("GET", "/v1/config/acme/auth", headers={"Authorization": good}).status, 401)
        self.consumer.nonce = bytes(16)
        self.assertEqual(self.consumer.request("GET", target).status, 401)
        self.assertEqual(self.consumer.request("GET", target).status, 200)

    def test_what_is_malformed_is_refused(self):
        for query in ("after=x", "after=-1", "wait_s=61", "wait_s=x", "have=", "have=00", "have=" + "g" * 64,
                      "have=" + ",".join(["ab" * 32] * 9), "have=" + "ab" * 32 + ",", "x=1", "after=1&after=1"):
            self.assertEqual(self.consumer.request("GET", f"/v1/snapshot/acme/x?{query}").status, 400, query)
        self.assertEqual(self.consumer.request("GET", "/v1/snapshot/acme/x?have=" + ",".join(["ab" * 32] * 8)).status, 200)
        self.assertEqual(self.consumer.request("GET", "/v1/snapshot/Acme").status, 400)
        for route in ("/v1/hello", "/v1/ack"):
            for body in (b"x", b"\0" * 100, os.urandom(2000), b"\xc5\xcf\x01\x11" + b"\xff\xff" + b"\0" * 60):
                self.assertEqual(self.consumer.request("POST", route, body).status, 400, (route, body[:20]))
            other = self.consumer.header("POST", route, b"this")
            self.assertEqual(self.consumer.request("POST", route, b"that", other).status, 401)
            self.assertEqual(self.consumer.request("POST", route, b"x" * 70000).status, 413)

    def test_an_answer_is_fresh_head_and_what_is_lacking(self):
        scope = "acme/parts"
        release = self.publish({"text": os.urandom(20000).hex()}, scope)
        data = self.consumer.request("GET", f"/v1/snapshot/{scope}?after=0&wait_s=10").body  # it may not be signed yet
        kinds = [kind for kind, _ in frames(data)]
        self.assertEqual(kinds[:4], [FRESH, HEAD, CONTENT, PAGE])
        self.assertEqual(set(kinds[4:]), {SYMBOL})
        content = frames(data)[2][1][56:88].hex()
        held = self.consumer.request("GET", f"/v1/snapshot/{scope}?after=0&have={content}").body
        self.assertEqual([kind for kind, _ in frames(held)], [FRESH, HEAD])
        version = release["version"]
        start = time.monotonic()
        idle = self.consumer.request("GET", f"/v1/snapshot/{scope}?after={version}&wait_s=1").body
        self.assertEqual([kind for kind, _ in frames(idle)], [FRESH])
        self.assertGreater(time.monotonic() - start, 0.9)

    def test_hundreds_wait_without_a_thread_and_all_are_told(self):
        scope = "acme/crowd"
        version = self.publish({"text": os.urandom(3000).hex()}, scope)["version"]
        target = f"/v1/snapshot/{scope}?after={version}&wait_s=30"
        threads = len(os.listdir(f"/proc/{self.daemon.process.pid}/task"))
        waiting = []
        for _ in range(100):
            connection = self.daemon.connection()
            connection.request("GET", target, headers=self.consumer.header("GET", target))
            waiting.append(connection)
        time.sleep(0.5)
        self.assertLessEqual(len(os.listdir(f"/proc/{self.daemon.process.pid}/task")), threads)
        before = self.metric("confcast_pull_codings")
        for connection in waiting[:20]:
            connection.close()  # nobody is there any more
        self.addCleanup(lambda: [connection.close() for connection in waiting])
        self.publish({"text": os.urandom(3000).hex()}, scope)
        sizes = {len(connection.getresponse().read()) for connection in waiting[20:]}
        self.assertEqual(len(sizes), 1)
        self.assertGreater(sizes.pop(), 3000)
        self.assertEqual(self.metric("confcast_pull_codings") - before, 1)  # coded once for all

    def metric(self, name):
        text = self.daemon.request("GET", "/metrics", unix=True).body.decode()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))


class Liar(http.server.BaseHTTPRequestHandler):
    """A control plane, or somebody on the way to it, that does not say what it should."""

    protocol_version = "HTTP/1.1"
    daemon_port = 0
    modes = {}  # by scope; "good" where there is none
    recorded = {}  # an answer with a head, by scope
    requests = {}
    open_streams = 0
    endless_bytes = 0

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def fetch(self):
        size = int(self.headers.get("Content-Length") or 0)
        connection = http.client.HTTPConnection("127.0.0.1", Liar.daemon_port, timeout=70)
        try:
            connection.request(self.command, self.path, self.rfile.read(size) if size else None,
                               {"Authorization": self.headers["Authorization"]})
            response = connection.getresponse()
            return response.status, response.headers.get("Confcast-Nonce", ""), response.read()
        finally:
            connection.close()

    def give(self, status, nonce, body, size=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.send_header("Confcast-Nonce", nonce)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        scope = self.path.partition("?")[0][len("/v1/snapshot/"):]
        Liar.requests[scope] = Liar.requests.get(scope, 0) + 1
        try:
            status, nonce, body = self.fetch()
        except OSError:
            status, nonce, body = 503, "", b""
        try:
            self.lie(scope, status, nonce, body)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def lie(self, scope, status, nonce, body):
        mode = Liar.modes.get(scope, "good")
        is_snapshot = self.path.startswith("/v1/snapshot") and status == 200
        if is_snapshot and len(body) > 1000 and mode == "good":
            Liar.recorded[scope] = body
        if mode == "good" or not is_snapshot:
            self.give(status, nonce, body)
        elif mode == "truncated":
            self.give(200, nonce, body[:len(body) * 2 // 3], len(body))
            self.close_connection = True
        elif mode == "cut":  # a whole answer of HTTP that ends within a frame
            self.give(200, nonce, body[:len(body) * 2 // 3])
        elif mode == "signature":
            self.give(200, nonce, b"".join(flip(frame, -1 if kind == HEAD else None) for kind, frame in frames(body)))
        elif mode == "digest":
            self.give(200, nonce, b"".join(flip(frame, 40 if kind == SYMBOL else None) for kind, frame in frames(body)))
        elif mode == "headless":
            self.give(200, nonce, b"".join(frame for kind, frame in frames(body) if kind != HEAD))
        elif mode == "older":
            self.give(200, nonce, Liar.recorded[scope])
        elif mode == "garbage":
            self.give(200, nonce, os.urandom(100000))
        elif mode == "huge":
            self.give(200, nonce, body, 1 << 60)
            self.close_connection = True
        elif mode == "endless":
            self.endless(scope, nonce, frames(body)[0][1])
        elif mode == "redirect":
            self.give(302, nonce, b"", Location=self.path)
        elif mode == "error":
            self.give(500, nonce, b"{}")
        elif mode == "busy":
            self.give(503, nonce, b"{}", Retry_After="1")
        elif mode == "nobody":
            self.give(401, nonce, b"{}")
        elif mode == "slow":
            self.give(200, nonce, b"", 1 << 20)
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
                if Liar.modes.get(scope) != "slow":
                    return

    def endless(self, scope, nonce, frame):
        Liar.open_streams += 1
        try:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Confcast-Nonce", nonce)
            self.end_headers()
            piece = frame * 100
            while Liar.modes.get(scope) == "endless":
                self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
                Liar.endless_bytes += len(piece)
        finally:
            Liar.open_streams -= 1
            self.close_connection = True


def flip(frame, at):
    """The frame with a bit of it changed; at None: as it is."""
    if at is None or len(frame) <= abs(at):
        return frame
    changed = bytearray(frame)
    changed[at] ^= 1
    return bytes(changed)


class LiarServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # agents end while an answer is on its way


class Hostile(PullCase):
    @classmethod
    def prepare(cls):
        cls.liar = LiarServer(("127.0.0.1", 0), Liar)
        cls.url_port = cls.liar.server_port
        cls.host = "127.0.0.1"
        Liar.daemon_port = cls.port
        threading.Thread(target=cls.liar.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        Liar.modes.clear()
        super().tearDownClass()
        cls.liar.shutdown()
        cls.liar.server_close()

    def document(self, n):
        return {"n": n, "text": hashlib.sha512(b"%d" % n).hexdigest() * 1 + os.urandom(30000).hex()}

    def memory_kb(self, agent):
        with open(f"/proc/{agent.process.pid}/status", encoding="ascii") as file:
            return int(next(line.split()[1] for line in file if line.startswith("VmHWM")))

    def test_lies_change_nothing_are_not_hammered_and_the_truth_heals(self):
        lies = ("truncated", "cut", "signature", "digest", "headless", "older", "garbage", "huge", "endless", "redirect",
                "error", "busy", "nobody")
        scopes = {lie: f"acme/lies/{lie}" for lie in lies}
        first = {lie: self.publish(self.document(1), scopes[lie])["version"] for lie in lies}
        agents = {lie: self.agent(f"lied-to-{lie}", scopes=(scopes[lie],)) for lie in lies}
        for lie, agent in agents.items():
            agent.await_event("applied", first[lie])
        Liar.modes = {scope: lie for lie, scope in scopes.items()}
        before = dict(Liar.requests)
        second = {lie: self.publish(self.document(2), scopes[lie])["version"] for lie in lies}
        time.sleep(4)
        for lie, agent in agents.items():
            with self.subTest(lie=lie):
                self.assertIsNone(agent.process.poll())
                self.assertEqual(agent.last("applied")["version"], first[lie])
                self.assertEqual(agent.get(scopes[lie], "/n"), 1)
                self.assertLess(Liar.requests[scopes[lie]] - before[scopes[lie]], 12)
                self.assertLess(self.memory_kb(agent), 100000)
        self.assertLess(Liar.endless_bytes, 20 << 20)  # what sockets hold, of a few tries
        Liar.modes = {}
        for lie, agent in agents.items():
            with self.subTest(healed_from=lie):
                agent.await_event("applied", second[lie], timeout_s=30)
                self.assertEqual(agent.get(scopes[lie], "/n"), 2)
        wait_until(lambda: all(self.status(scope)["applied"] == 1 for scope in scopes.values()))
        wait_until(lambda: Liar.open_streams == 0)

    def test_an_answer_that_drips_holds_up_neither_reading_nor_the_end(self):
        scope = "acme/slow"
        first = self.publish(self.document(1), scope)
        agent = self.agent("slow", scopes=(scope,))
        agent.await_event("applied", first["version"])
        Liar.modes[scope] = "slow"
        self.publish(self.document(2), scope)
        agent.await_event("stale")
        self.assertEqual(agent.get(scope, "/n"), 1)
        start = time.monotonic()
        self.assertEqual(agent.stop(), 0)
        self.assertLess(time.monotonic() - start, 1)


class Tls(PullCase):
    scheme = "https"
    host = "127.0.0.1"

    @classmethod
    def prepare(cls):
        make_ca(cls.folder, "ca")
        make_ca(cls.folder, "foreign")
        make_cert(cls.folder, "ca", "server", "server")
        make_cert(cls.folder, "ca", "client", "client")
        make_crl(cls.folder, "ca")
        cls.daemon_options = ("--tls-cert", cls.path("server.pem"), "--tls-key", cls.path("server.key"),
                              "--tls-client-ca", cls.path("ca.pem"), "--tls-client-crl", cls.path("ca.crl"))

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    def test_a_server_that_we_trust_is_taken_with_and_without_a_certificate_of_ours(self):
        scope = "acme/tls"
        released = self.publish({"n": 1}, scope)
        plain = self.agent("tls", "--pull-ca", self.path("ca.pem"), scopes=(scope,))
        certified = self.agent("tls-client", "--pull-ca", self.path("ca.pem"), "--pull-cert", self.path("client.pem"),
                               "--pull-key", self.path("client.key"), scopes=(scope,))
        for agent in (plain, certified):
            agent.await_event("applied", released["version"])
        wait_until(lambda: self.status(scope)["applied"] == 2)

    def test_a_server_of_another_authority_is_not(self):
        self.publish({"n": 1}, "acme/tls2")
        for name, options in (("foreign", ("--pull-ca", self.path("foreign.pem"))), ("system", ())):
            agent = self.agent("tls-" + name, *options, scopes=("acme/tls2",))
            wait_until(lambda: any("pull failed" in line and "error=authority" in line for line in agent.log))  # noqa: B023
            self.assertEqual(agent.count("accepted"), 0)
            self.assertEqual(agent.stats()["pulls"], 0)

    def test_a_certificate_file_that_is_not_there_is_told_at_the_start(self):
        agent = self.agent("tls-missing", "--pull-ca", self.path("nothing.pem"))
        self.assertEqual(agent.process.wait(10), 2)


class TlsName(Tls):
    """The certificate is for 127.0.0.1."""

    host = "localhost"

    def test_a_server_that_we_trust_is_taken_with_and_without_a_certificate_of_ours(self):
        self.publish({"n": 1}, "acme/name")
        agent = self.agent("tls-name", "--pull-ca", self.path("ca.pem"), scopes=("acme/name",))
        wait_until(lambda: any("error=authority" in line for line in agent.log))
        self.assertEqual(agent.count("accepted"), 0)


class Unserved(unittest.TestCase):
    def test_without_pull_the_routes_say_so(self):
        with tempfile.TemporaryDirectory() as folder:
            daemon = Daemon(folder).start()
            try:
                for method, path in (("GET", "/v1/snapshot/acme"), ("POST", "/v1/hello"), ("POST", "/v1/ack")):
                    reply = daemon.request(method, path, b"x" if method == "POST" else None)
                    self.assertEqual((reply.status, reply.code), (503, "not_ready"))
            finally:
                self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
