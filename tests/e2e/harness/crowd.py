# SPDX-License-Identifier: ISC
"""mailproxyd full of sessions that have no connections (tests/scale/scale.c), and what its threads' turns took."""
import json
import os
import re

from . import process
from .proxy import BUILD, SANITIZERS, Proxy

PROGRAM = os.path.join(BUILD, "scale", "mailproxyd-scale")


class Crowd(Proxy):
    """settings as for Proxy; the pool "main" is that of the made-up sessions."""

    def __init__(self, folder, settings, sessions, users=20000):
        # Sessions without a client hear no goodbye: a stop need not wait for them.
        super().__init__(folder, {"shutdown_timeout": "100ms", **settings})
        self.options = [f"config={self.config}", f"sessions={sessions}", f"users={users}"]

    def start(self):
        os.makedirs(self.settings["state_dir"], exist_ok=True)  # elsewhere the supervisor's work
        self.process = process.Process([PROGRAM, *self.options], self.log_file, SANITIZERS, pipes=True)
        line = self.process.child.stdout.readline()
        assert line == b"ready\n", self.process.text()
        return self

    def turns(self):
        """The most CPU time of one turn since the last call, in ms: (of the control thread, of the workers)."""
        child = self.process.child
        child.stdin.write(b"\n")
        child.stdin.flush()
        took = json.loads(child.stdout.readline())
        return took["control"] / 1000, max(took["workers"]) / 1000

    def _memory(self, name):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(rf"^{name}:\s+(\d+) kB", f.read(), re.M).group(1))

    def memory(self):
        """Resident memory in KiB; its peak is counted from here on."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as f:
            f.write("5")
        return self._memory("VmRSS")

    def peak(self):
        return self._memory("VmHWM")
