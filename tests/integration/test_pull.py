"""Consumers that pull over HTTP(S), without any multicast: a real confcastd without an engine, and real agents."""

import glob
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from control import CONFCASTCTL, Daemon, ctl, wait_until

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
    daemon_options = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="confcast-pull-")
        cls.keys = os.path.join(cls.folder, "keys")
        cls.port = free_port()
        cls.prepare()
        result = ctl("key", "init", "--dir", cls.keys, "--engine", "127.0.0.1", "--pull-url",
                     f"{cls.scheme}://localhost:{cls.port}")
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
            agent.stop()

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


class Pull(PullCase):
    def test_every_revision_is_followed_applied_and_reported(self):
        scope = "acme/each"
        self.publish({"n": 0, "text": "x" * 5000}, scope)
        agent = self.agent("each", scopes=(scope,))
        for n in range(1, 8):
            released = self.publish({"n": n, "text": "x" * 5000, "list": list(range(n))}, scope)
            agent.await_event("applied", released["version"])
            self.assertEqual(agent.get(scope), {"n": n, "text": "x" * 5000, "list": list(range(n))})
        status = wait_until(lambda: (lambda s: s["applied"] == 1 and s)(self.status(scope)))
        self.assertEqual((status["total"], status["published"]), (1, status["version"]))
        agent.await_event("durable", released["version"])
        wait_until(lambda: self.status(scope)["durable"] == 1)


if __name__ == "__main__":
    unittest.main()
