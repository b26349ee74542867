"""Watching the status: streams of events, answers that wait, and clients that read slowly."""

import json
import threading
import time
import unittest

import control

WATCHERS_MAX = 64
WATCHERS_OF_PEER_MAX = 24


class Stream:
    """A stream of server-sent events, read one by one."""

    def __init__(self, connection, path, headers={}):
        self.connection = connection
        connection.request("GET", path, headers=headers)
        self.response = connection.getresponse()

    def event(self):
        """(name, id, data) of the next event; None at the end."""
        fields = {}
        while True:
            line = self.response.readline()
            if not line:
                return None
            line = line.decode().rstrip("\n")
            if line == "" and "data" in fields:
                return fields.get("event"), fields.get("id"), json.loads(fields["data"])
            if ": " in line:
                name, value = line.split(": ", 1)
                fields[name] = value

    def until(self, is_it, timeout_s=10):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            event = self.event()
            if event is None or is_it(event):
                return event
        raise AssertionError("no such event in time")

    def close(self):
        self.connection.close()


class Watch(control.DaemonCase):
    def publish(self, scope, number):
        self.good(self.daemon.request("PUT", f"/v1/config/{scope}", {"n": number}))
        self.good(self.daemon.request("POST", f"/v1/release/{scope}", {"action": "promote"}))

    def stream(self, path, unix=False):
        connection = (control.UnixConnection(self.daemon.unix) if unix else self.daemon.connection())
        stream = Stream(connection, path)
        self.addCleanup(stream.close)
        return stream

    def test_a_stream_shows_the_state_and_then_every_change(self):
        self.publish("w1/app", 1)
        version = self.daemon.get("/v1/status/w1/app").json["version"]
        stream = self.stream("/v1/status/w1/app?watch=1")
        self.assertEqual(stream.response.status, 200)
        self.assertEqual(stream.response.headers["Content-Type"], "text/event-stream")
        name, number, state = stream.event()
        self.assertEqual((name, state["version"]), ("status", version))
        self.assertEqual(int(number), state["change"])
        start = time.monotonic()
        self.publish("w1/app", 2)
        _, _, state = stream.until(lambda e: e[2].get("version", 0) > version)
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(state["scope"], "w1/app")
        self.assertIn("stragglers", state)

    def test_a_stream_of_all_scopes_shows_those_that_changed(self):
        self.publish("w2/a", 1)
        self.publish("w2/b", 1)
        stream = self.stream("/v1/status?watch=1")
        _, _, state = stream.event()
        self.assertLessEqual({"w2/a", "w2/b"}, {s["scope"] for s in state["scopes"]})
        self.publish("w2/b", 2)
        _, _, state = stream.until(lambda e: e[2]["scopes"])
        self.assertEqual({s["scope"] for s in state["scopes"]}, {"w2/b"})

    def test_an_answer_waits_for_a_change(self):
        self.publish("w3/app", 1)
        before = self.daemon.get("/v1/status/w3/app").json
        start = time.monotonic()
        same = self.good(self.daemon.get("/v1/status/w3/app", after=before["change"], wait_s=1))
        self.assertGreater(time.monotonic() - start, 0.9)
        self.assertEqual(same["change"], before["change"])
        threading.Timer(0.5, self.publish, ("w3/app", 2)).start()
        start = time.monotonic()
        after = self.good(self.daemon.get("/v1/status/w3/app", after=before["change"], wait_s=60))
        self.assertLess(time.monotonic() - start, 20)
        self.assertGreater(after["version"], before["version"])
        # What the client knows is old already: nothing to wait for.
        start = time.monotonic()
        self.good(self.daemon.get("/v1/status/w3/app", after=before["change"], wait_s=60))
        self.good(self.daemon.get("/v1/status", after=1, wait_s=60))
        self.assertLess(time.monotonic() - start, 10)

    def test_a_slow_client_is_told_what_it_missed_and_ends_with_the_truth(self):
        for first in range(0, 600, 60):
            items = [{"put": f"w4/{n}", "document": {}} for n in range(first, first + 60)]
            self.good(self.daemon.request("POST", "/v1/batch", {"items": items}))
        stream = self.stream("/v1/status?watch=1", unix=True)  # its buffers do not take one event
        for number in range(1, 8):
            self.publish("w4/slow", number)
            time.sleep(0.25)
        version = self.daemon.get("/v1/status/w4/slow").json["version"]
        seen = []
        stream.until(lambda e: seen.append(e) or any(
            s["scope"] == "w4/slow" and s["version"] == version for s in e[2].get("scopes", [])))
        missed = [e[2]["missed"] for e in seen if e[0] == "missed"]
        self.assertEqual(len(missed), 1)
        self.assertGreaterEqual(missed[0], 3)
        self.assertLess(len(seen), 7)

    def test_watchers_are_bounded_and_leave_everybody_else_alone(self):
        streams = [self.stream("/v1/status?watch=1", unix=True) for _ in range(WATCHERS_MAX + 1)]
        statuses = [s.response.status for s in streams]
        self.assertEqual(statuses[-1], 503)
        # Those of the tests before may not have been noticed to be gone.
        self.assertGreater(statuses.count(200), WATCHERS_MAX // 2)
        self.assertLessEqual(statuses.count(200), WATCHERS_MAX)
        reply = self.daemon.get("/v1/status", watch=1)
        self.assertEqual((reply.status, reply.code), (503, "busy"))
        start = time.monotonic()
        for _ in range(20):
            self.good(self.daemon.get("/healthz"))
        self.assertLess(time.monotonic() - start, 5)
        for stream in streams:
            stream.close()
        # They are missed before the next event of an idle stream, which comes after 10 s.
        start = time.monotonic()
        control.wait_until(lambda: self.stream("/v1/status?watch=1").response.status == 200)
        self.assertLess(time.monotonic() - start, 5)

    def test_one_address_leaves_room_for_others(self):
        streams = [self.stream("/v1/status?watch=1") for _ in range(WATCHERS_OF_PEER_MAX + 1)]
        statuses = [s.response.status for s in streams]
        self.assertEqual(statuses[-1], 503)
        self.assertGreater(statuses.count(200), WATCHERS_OF_PEER_MAX // 2)
        self.assertEqual(self.stream("/v1/status?watch=1", unix=True).response.status, 200)

    def test_a_waiting_client_that_leaves_is_missed(self):
        self.publish("w6/app", 1)
        change = self.daemon.get("/v1/status/w6/app").json["change"]
        control.wait_until(lambda: self.in_flight() == 1)  # which is the one that asks
        connection = self.daemon.connection()
        connection.request("GET", f"/v1/status/w6/app?after={change}&wait_s=100")
        control.wait_until(lambda: self.in_flight() == 2)
        connection.close()
        control.wait_until(lambda: self.in_flight() == 1, timeout_s=8)

    def in_flight(self):
        text = self.daemon.get("/metrics").body.decode()
        return int(next(line for line in text.splitlines()
                        if line.startswith("confcast_http_in_flight ")).split()[1])

    def test_a_release_that_only_pauses_is_shown_at_once(self):
        self.publish("w7/app", 1)
        self.good(self.daemon.request("PUT", "/v1/config/w7/app", {"n": 2}))
        self.good(self.daemon.request("POST", "/v1/release/w7/app",
                                      {"action": "promote", "strategy": "canary:10%"}))
        streams = [self.stream("/v1/status/w7/app?watch=1"), self.stream("/v1/status?watch=1")]
        for stream in streams:
            stream.event()
        self.good(self.daemon.request("POST", "/v1/release/w7/app", {"action": "pause"}))
        for stream in streams:
            start = time.monotonic()
            stream.until(lambda e: any(s.get("state") == "PAUSED" and s["scope"] == "w7/app"
                                       for s in e[2].get("scopes", [e[2]])))
            self.assertLess(time.monotonic() - start, 5)

    def test_wrong_parameters_are_refused(self):
        for query in ("watch=2", "wait_s=1", "after=x", "after=1&wait_s=121", "watch=1&after=1"):
            with self.subTest(query=query):
                self.assertEqual(self.daemon.request("GET", f"/v1/status?{query}").status, 400)
        self.assertEqual(self.daemon.get("/v1/status/nobody", watch=1).status, 404)
        for query in ("after=~x", "after=a%20b", "state=well", "limit=0"):
            with self.subTest(query=query):
                self.assertEqual(self.daemon.request("GET", f"/v1/consumers?{query}").status, 400)
        self.assertEqual(self.daemon.get("/v1/consumers", after="nobody").status, 404)
        self.assertEqual(self.good(self.daemon.get("/v1/consumers", behind=1, state="unknown")),
                         {"consumers": [], "next": None})


class Revoked(control.DaemonCase):
    options = ("--require-auth",)

    def setUp(self):
        super().setUp()
        made = self.good(self.daemon.request(
            "POST", "/v1/tokens", {"identity": "ann", "roles": ["viewer"], "scope": "*"}, unix=True))
        self.token_id = made["id"]
        self.headers = {"Authorization": f"Bearer {made['token']}"}

    def revoke(self):
        self.good(self.daemon.request("DELETE", f"/v1/tokens/{self.token_id}", unix=True))

    def release(self, number):
        self.good(self.daemon.request("PUT", "/v1/config/r/app", {"n": number}, unix=True))
        self.good(self.daemon.request("POST", "/v1/release/r/app", {"action": "promote"}, unix=True))

    def test_no_event_follows_the_end_of_a_token(self):
        self.release(1)
        for path in ("/v1/status?watch=1", "/v1/status/r/app?watch=1"):
            with self.subTest(path=path):
                self.setUp()
                stream = Stream(self.daemon.connection(), path, self.headers)
                self.addCleanup(stream.close)
                self.assertEqual(stream.event()[0], "status")
                self.revoke()
                self.release(2)
                name, _, data = stream.until(lambda e: True)
                self.assertEqual((name, data), ("end", {"code": "unauthorized"}))
                self.assertIsNone(stream.event())

    def test_an_answer_that_waited_beyond_its_token_is_none(self):
        self.release(1)
        change = self.daemon.request("GET", "/v1/status/r/app", unix=True).json["change"]
        connection = self.daemon.connection()
        self.addCleanup(connection.close)
        connection.request("GET", f"/v1/status/r/app?after={change}&wait_s=100",
                           headers=self.headers)
        time.sleep(0.5)
        self.revoke()
        self.release(2)
        self.assertEqual(connection.getresponse().status, 401)


class Stop(control.DaemonCase):
    def test_streams_and_waiting_answers_do_not_hold_the_daemon_up(self):
        stream = Stream(self.daemon.connection(), "/v1/status?watch=1")
        change = stream.event()[2]["change"]
        waiting = self.daemon.connection()
        waiting.request("GET", f"/v1/status?after={change}&wait_s=100")
        time.sleep(0.5)
        start = time.monotonic()
        self.daemon.stop()
        self.assertLess(time.monotonic() - start, 5)
        self.assertIsNone(stream.event())
        stream.close()
        waiting.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
