# SPDX-License-Identifier: ISC
"""What an engine costs, from outside: its memory and its threads' CPU time, from /proc."""
import os
import re
import threading

import pytest

TICKS = os.sysconf("SC_CLK_TCK")


def memory(pid):
    """Bytes of its own (not of files) that are in memory."""
    with open(f"/proc/{pid}/status") as f:
        return 1024 * int(re.search(r"^RssAnon:\s+(\d+) kB", f.read(), re.M).group(1))


def descriptors(pid):
    """How many it has open. The engine may not be dumped: only root looks into it."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        pytest.skip("only root sees the descriptors of a process that may not be dumped")


def threads(pid):
    """CPU seconds of each thread so far: {"worker 0": 1.25, ...}."""
    result = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/stat") as f:
                text = f.read()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        result[name] = result.get(name, 0) + (int(rest[11]) + int(rest[12])) / TICKS
    return result


class Growth:
    """Watches an engine's memory: `peak` is the most it grew since the beginning, in bytes."""

    def __init__(self, pid):
        self.pid, self.start, self.peak = pid, memory(pid), 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.wait(0.02):
            self.look()

    def look(self):
        self.peak = max(self.peak, memory(self.pid) - self.start)
        return self.peak

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.peak
