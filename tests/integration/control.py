"""Starts a real confcastd on loopback and a unix socket, and speaks to it."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts"))

CONFCASTD = os.environ["CONFCASTD"]
CONFCASTCTL = os.environ["CONFCASTCTL"]
START_TIMEOUT_S = 30


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Reply:
    """Status, headers and body of an answer; .json is the body parsed."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["error"]["code"]

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Daemon:
    """One confcastd with a data folder of its own.  It may be killed and started again."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.unix = os.path.join(folder, "api.sock")
        self.options = options
        self.wrapper = []  # a command that runs confcastd and becomes it
        self.process = None
        self.is_ready = False
        self.port = None
        self.log = []

    def start(self):
        self.is_ready = False
        self.process = subprocess.Popen(
            [*self.wrapper, CONFCASTD, "--data", self.data, "--listen", "127.0.0.1:0", "--unix", self.unix,
             *self.options],
            stderr=subprocess.PIPE, text=True, errors="replace")
        ready = threading.Event()
        self.reader = threading.Thread(target=self._read_log, args=(self.process, ready),
                                       daemon=True)
        self.reader.start()
        if not ready.wait(START_TIMEOUT_S) or not self.is_ready:
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
            self.kill()
            raise RuntimeError("confcastd did not start:\n" + "".join(self.log[-20:]))
        return self

    def _read_log(self, process, ready):
        for line in process.stderr:
            self.log.append(line)
            match = re.search(r"listening tcp=\S+ port=(\d+)", line)
            if match:
                self.port = int(match.group(1))
            if " ready pid=" in line:
                self.is_ready = True
                ready.set()
        ready.set()

    def kill(self):
        """kill -9: nothing is said, nothing is flushed."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()
            self.reader.join()
            self.process.stderr.close()

    def stop(self):
        """A clean stop; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self.reader.join()
        self.process.stderr.close()
        return code

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connection(self, unix=False, timeout=30):
        if unix:
            return UnixConnection(self.unix, timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, unix=False):
        connection = self.connection(unix)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
            if isinstance(body, str):
                body = body.encode()
            connection.request(method, path, body=body, headers=headers or {})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **params):
        return self.request("GET", path + query(params))

    def put(self, scope, document, headers=None, **params):
        return self.request("PUT", f"/v1/config/{scope}" + query(params), document, headers)

    def release(self, scope, action, headers=None, **members):
        return self.request("POST", f"/v1/release/{scope}", {"action": action, **members}, headers)

    def raw(self, data, timeout=30, unix=False):
        """Sends bytes as they are and returns all that comes back until the peer closes."""
        if unix:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.connect(self.unix)
        else:
            sock = socket.create_connection(("127.0.0.1", self.port))
        sock.settimeout(timeout)
        with sock:
            sock.sendall(data)
            return read_all(sock)

    def ctl(self, *args, stdin=None, server=None, env=None):
        return ctl("--server", server or self.url, *args, stdin=stdin, env=env)


def read_all(sock):
    received = b""
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            return received
        if not piece:
            return received
        received += piece


def query(params):
    given = {name: value for name, value in params.items() if value is not None}
    return "?" + urllib.parse.urlencode(given) if given else ""


def ctl(*args, stdin=None, env=None):
    base = {name: value for name, value in os.environ.items()
            if name not in ("CONFCAST_SERVER", "CONFCAST_AUTHOR")}
    return subprocess.run([CONFCASTCTL, *args], input=stdin, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env={**base, **(env or {})}, timeout=120,
                          check=False)


def wait_until(what, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = what()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


class DaemonCase(unittest.TestCase):
    """A daemon per test class, and a fresh tenant per test."""

    options = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="confcast-api-")
        try:
            cls.daemon = Daemon(cls.folder, *cls.options).start()
        except Exception:
            shutil.rmtree(cls.folder)
            raise

    @classmethod
    def tearDownClass(cls):
        try:
            code = cls.daemon.stop()
        finally:
            cls.daemon.kill()
            shutil.rmtree(cls.folder)
        if code != 0:
            raise AssertionError("confcastd stopped with %d:\n%s" %
                                 (code, "".join(cls.daemon.log[-20:])))

    tenants = 0

    def setUp(self):
        DaemonCase.tenants += 1
        self.tenant = f"t{DaemonCase.tenants}"

    def good(self, reply):
        self.assertEqual(reply.status, 200, reply)
        return reply.json

    def refused(self, reply, status, code=None):
        self.assertEqual(reply.status, status, reply)
        self.assertIn("message", reply.json["error"])
        if code:
            self.assertEqual(reply.code, code, reply)
        return reply.json["error"]
