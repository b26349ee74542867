"""Backups and what comes back from them, and watchers: what is asked of confcastd beside changes."""

import copy
import http.client
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.parse

from control import CONFCASTCTL, CONFCASTD
from difference import Difference

EVENT_TIMEOUT_S = 10


class Outside:
    """Operations of a Run that are no changes of their own."""

    def _ctl(self, *words):
        done = subprocess.run([CONFCASTCTL, "--server", "unix:" + self.daemon.unix, *words],
                              capture_output=True, text=True, check=False,
                              env={**os.environ, "PATH": os.path.dirname(CONFCASTD) + ":" + os.environ["PATH"]})
        if done.returncode != 0:
            raise Difference(f"confcastctl {' '.join(words)} exits with {done.returncode}: {done.stderr}")

    # ---- Backups --------------------------------------------------------------------------------

    def _backup(self, _op):
        path = os.path.join(self.folder, "backup")
        if os.path.exists(path):
            os.unlink(path)
        self._ctl("backup", path)
        self.saved = path, self.model.copy(), copy.copy(self.tokens), False

    def _restore(self, _op):
        """The disk is lost, and what was saved comes back: above every version that was ever seen."""
        if self.saved is None:
            return
        path, model, tokens, is_known = self.saved
        seen = self.model.version
        # Of one backup two restores are the same, unless told what the first one led to.
        told = ("--epoch-seen", str(self.epoch), "--sequence-seen", str(seen)) if is_known else ()
        self.saved = path, model, tokens, True
        self.tokens = copy.copy(tokens)
        self.stop_all()
        shutil.rmtree(self.daemon.data)
        self._ctl("restore", path, "--data", self.daemon.data, *told)
        self.start(after_restore=True)
        self.model = model.copy()
        self.model.version = seen
        floors = {self._get("effective", scope).json["version"] for scope in self.paths
                  if self.model.known(scope) and self.model.version_of(scope)}
        if floors:
            self.model.floor = max(floors)
            if len(floors) > 1 or self.model.floor <= seen:
                raise Difference(f"versions {floors} after a restore, {seen} were seen")
            self.model.version = self.model.floor
        self.counts["restores"] = self.counts.get("restores", 0) + 1
        self.check_state(is_whole=True)

    def _check_epoch(self, after_restore):
        """Each process has an epoch of its own."""
        epoch = self._get("status", "").json["node"]["epoch"]
        if epoch <= self.epoch:
            raise Difference(f"epoch {epoch} after {self.epoch}, restored: {after_restore}")
        self.epoch = epoch

    # ---- Watchers -------------------------------------------------------------------------------

    def _expects(self, path, state):
        return self.compare_expected(self._expect_status(path, {}), state)

    def _watch(self, op):
        """A stream of a scope's status shows what a change did to it."""
        path = op["scope"]
        if not self.model.known(path):
            return
        connection = self.daemon.connection(True, EVENT_TIMEOUT_S)
        try:
            connection.request("GET", f"/v1/status/{path}?watch=1")
            events = read_events(connection.getresponse())
            state = next(events)
            problem = self._expects(path, state)
            if problem:
                raise Difference(f"the first event of {path}: {problem}")
            self.one(op["do"])
            deadline = time.monotonic() + EVENT_TIMEOUT_S / 2
            while self._expects(path, state):
                state = next(events)
                if time.monotonic() > deadline:
                    raise TimeoutError
            self.counts["watched"] = self.counts.get("watched", 0) + 1
        except TimeoutError as error:
            raise Difference(f"no event of {path} shows {self._expect_status(path, {})}") from error
        finally:
            connection.close()

    def _wait(self, op):
        """An answer that waits for a change comes with it."""
        path = op["scope"]
        if not self.model.known(path):
            return
        before = self._expect_status(path, {})
        change = self._get("status", path).json["change"]
        params = urllib.parse.urlencode({"after": change, "wait_s": EVENT_TIMEOUT_S})
        connection = self.daemon.connection(True, 2 * EVENT_TIMEOUT_S)
        answers = []

        def ask():
            try:
                answers.append(connection.getresponse().read())
            except (OSError, http.client.HTTPException):
                pass  # nobody waits any more

        connection.request("GET", f"/v1/status/{path}?{params}")
        waiter = threading.Thread(target=ask, daemon=True)
        waiter.start()
        try:
            begun = time.monotonic()
            self.one(op["do"])
            after = self._expect_status(path, {})
            if before == after:
                return
            waiter.join(EVENT_TIMEOUT_S / 2)
            if not answers:
                raise Difference(f"{path} went from {before} to {after}, and who waits is not told "
                                 f"for {time.monotonic() - begun:.1f} s")
        finally:
            connection.close()


def read_events(response):
    """The states of a stream of server-sent events, one by one."""
    name = None
    for line in iter(response.readline, b""):
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data" and name == "status":
            yield json.loads(value)
