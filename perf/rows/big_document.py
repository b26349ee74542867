"""How long others wait while a big document is put and promoted.

A thread puts and promotes a document of so many megabytes (27 bytes a value); another one meanwhile asks for the status of a small scope and puts into
it, in turn, every 5 ms, each on a connection of its own."""

import http.client
import json
import os
import subprocess
import threading
import time

from harness.rows import OURS, Figure, Row, RowError, Sample
from harness.sockets import free_port
from harness.topology import testbed
from rows.puts import wait_for

VALUE_SIZE = 27


class Client:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, method, path, body=None):
        begin = time.monotonic()
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RowError(f"{method} {path}: {answer.status} {text[:200]}")
        return time.monotonic() - begin


class Others(threading.Thread):
    """Small requests until it is told to stop."""

    def __init__(self, port):
        super().__init__()
        self.client = Client(port)
        self.seconds = []
        self.error = None
        self.is_over = threading.Event()

    def run(self):
        n = 0
        try:
            while not self.is_over.wait(0.005):
                n += 1
                if n % 2:
                    self.seconds.append(self.client.ask("PUT", "/v1/config/small/scope", json.dumps({"n": n})))
                else:
                    self.seconds.append(self.client.ask("GET", "/v1/status/small/scope"))
        except (RowError, OSError, http.client.HTTPException) as error:
            self.error = error


class BigDocument(Row):
    name = "big-document"
    title = "60 MB put and promoted, and how long small requests wait meanwhile"
    figures = (Figure("the request", "s"), Figure("others", "ms", ("median", "max")))
    seconds = 12

    def run(self, ctx):
        port = free_port()
        with ctx.folder() as folder:
            with open(os.path.join(folder, "log"), "wb") as log:
                daemon = subprocess.Popen([ctx.built("controlplane/app/confcastd"), "--data", os.path.join(folder, "data"), "--listen",
                                           f"127.0.0.1:{port}"], stdout=log, stderr=log)
            try:
                wait_for(f"http://127.0.0.1:{port}/readyz")
                client = Client(port)
                client.ask("PUT", "/v1/config/small/scope", "{}")
                for n in range(ctx.rounds(1, 3)):
                    count = 60 * 1000000 // VALUE_SIZE
                    document = "{" + ",".join(f'"key{i:07d}":"{i + n:012d}"' for i in range(count)) + "}"
                    yield from self.measure("nothing big", port, lambda: time.sleep(1), False)
                    yield from self.measure("put", port, lambda: client.ask("PUT", "/v1/config/big/scope", document), True)
                    yield from self.measure("promote", port,
                                            lambda: client.ask("POST", "/v1/release/big/scope", '{"action":"promote"}'), True)
            finally:
                testbed.end_processes({daemon.pid}, grace_s=10)
                daemon.wait()

    @staticmethod
    def measure(case, port, work, is_request):
        others = Others(port)
        others.start()
        begin = time.monotonic()
        try:
            work()
            took = time.monotonic() - begin
        finally:
            others.is_over.set()
            others.join()
        if others.error:
            raise RowError(f"{case}: a small request failed: {others.error}")
        if is_request:
            yield Sample(case, "the request", OURS, took)
        for seconds in others.seconds:
            yield Sample(case, "others", OURS, seconds * 1e3)


ROWS = [BigDocument()]
