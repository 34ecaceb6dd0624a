# SPDX-License-Identifier: ISC
"""A program on a terminal: what it asks, and what it is answered."""
import os
import pty
import re
import select
import subprocess
import time


class Terminal:
    """stdin, stdout and stderr of a program are one terminal of 80 columns."""

    def __init__(self, args, env):
        self.fd, inner = pty.openpty()
        self.text = ""
        self.child = subprocess.Popen(args, stdin=inner, stdout=inner, stderr=inner, env={**env, "COLUMNS": "80"})
        os.close(inner)

    def until(self, pattern, timeout=30):
        end = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            ready = select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]
            data = self._read() if ready else b""
            assert data, f"no {pattern!r} in {self.text!r}"
            self.text += data.decode(errors="replace")
        return self.text

    def _read(self):
        try:
            return os.read(self.fd, 65536)
        except OSError:  # the program has ended
            return b""

    def say(self, text):
        os.write(self.fd, text.encode())

    def status(self, timeout=30):
        """Its exit status; what it said until then is in text."""
        while data := self._read():
            self.text += data.decode(errors="replace")
        os.close(self.fd)
        return self.child.wait(timeout)
