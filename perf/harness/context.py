"""What a row gets: the build, the topology, how much time there is, and where to say what was not measured."""

import contextlib
import fnmatch
import os
import shutil
import sys
import time

from harness.rows import RowSkipped
from harness.topology import PERF, Topology, make_folder

REPO = os.path.dirname(PERF)
RECEIVERS_MAX = 8


class Context:
    def __init__(self, is_quick, build, wanted=(), is_verbose=True):
        self.quick = is_quick
        self.build = build
        self.wanted = [name.partition("/") for name in wanted]
        self.row = None  # the name of the one that is being measured
        self.is_verbose = is_verbose
        self.notes = []  # (row, text)
        self.left_out = []  # (row, case, why)
        self._topology = None

    def rounds(self, quick, full):
        """How often to repeat."""
        return quick if self.quick else full

    def wanted_of(self, row):
        """What cases of a row the command line names; none: all."""
        cases = [part for name, _, part in self.wanted if fnmatch.fnmatch(row, name)]
        return [] if "" in cases else cases

    def wants(self, case):
        """Whether the command line left this case in: NAME/CASE measures only the cases that contain CASE."""
        cases = self.wanted_of(self.row)
        return not cases or any(part in case for part in cases)

    def program(self, name):
        """A program of perf/, built."""
        return self.built("perf/" + name)

    def built(self, path):
        full = os.path.join(self.build, path)
        if not os.path.exists(full):
            raise RowSkipped(f"{path} is not built: ninja -C {os.path.relpath(self.build)}")
        return full

    def tool(self, name, package):
        """A program of the machine."""
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path is None:
            raise RowSkipped(f"{name} is not installed: apt-get install {package}")
        return path

    def topology(self):
        """The topology of this run: one sender and 8 receivers' hosts; rows use the first N.  Without loss, not shaped."""
        if self._topology is None:
            self._topology = Topology("bed", RECEIVERS_MAX, build=self.build).__enter__()
        if self._topology.loss:
            self._topology.set_loss(0)
        self._topology.set_shaped(False)
        return self._topology

    def close(self):
        if self._topology is not None:
            self._topology.down()
            self._topology = None

    @contextlib.contextmanager
    def folder(self, in_memory=False):
        """A folder of a row's own, on the machine's disk or in memory, gone afterwards."""
        folder = make_folder(in_memory)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def note(self, text):
        """Says what was not measured, or not in full."""
        if (self.row, text) not in self.notes:
            self.notes.append((self.row, text))

    def leave_out(self, case, why):
        """Says that a case was not measured."""
        if (self.row, case, why) not in self.left_out:
            self.left_out.append((self.row, case, why))

    def log(self, text):
        if self.is_verbose:
            print(f"   {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
