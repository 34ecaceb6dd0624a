# SPDX-License-Identifier: ISC
"""A server process that never outlives its test."""
import ctypes
import os
import signal
import socket
import subprocess

from . import wait

_libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def _child_setup():
    """The child dies with us and starts with no signal blocked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def can_connect(host, port):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


class Process:
    """A child with its output in a file; with pipes its input and output are for talking and only errors go there."""

    def __init__(self, argv, log, env=None, cwd=None, pipes=False):
        self.log = log
        self.argv = argv
        self.output = open(log, "ab")
        stdin, stdout = (subprocess.PIPE, subprocess.PIPE) if pipes else (subprocess.DEVNULL, self.output)
        self.child = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=self.output,
                                      env={**os.environ, **(env or {})}, cwd=cwd, preexec_fn=_child_setup,
                                      start_new_session=True)

    @property
    def pid(self):
        return self.child.pid

    def is_running(self):
        return self.child.poll() is None

    def wait_for(self, condition, what, timeout=wait.TIMEOUT):
        def check():
            if not self.is_running():
                raise AssertionError(f"{self.argv[0]} ended with {self.child.returncode} before {what}:\n{self.text()}")
            return condition()
        return wait.until(check, what, timeout)

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def signal(self, number):
        self.child.send_signal(number)

    def stop(self, timeout=20):
        """Ends it and everything it started; returns its status."""
        if self.is_running():
            self.child.terminate()
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.output.close()
        return self.child.returncode


def name(pid):
    """As ps(1) shows it; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


def has_ended(pid):
    """Also when nobody has asked how: an orphan waits for that where the first process of a container does not care."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
