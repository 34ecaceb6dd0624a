# SPDX-License-Identifier: ISC
"""mailproxy-tui in a tmux of the test's own: keys in, screens out."""
import itertools
import os
import re
import shlex
import signal
import subprocess

from . import wait
from .proxy import BUILD

_numbers = itertools.count(1)
KEYS = {"\r": "Enter", "\t": "Tab", "\x1b": "Escape", " ": "Space"}


class Screen:
    """options: arguments of mailproxy-tui; env: its environment; a size is columns and rows; is_job: it is a job of a shell
    that can stop it."""

    def __init__(self, folder, *options, size=(100, 30), env=None, prefix="", is_job=False,
                 program=os.path.join(BUILD, "mailproxy-tui")):
        self.name = f"mp-{os.getpid()}-{next(_numbers)}"
        self.folder, self.is_job = folder, is_job
        self.socket = os.path.join(folder, self.name)
        self.status_file = os.path.join(folder, self.name + ".status")
        values = {"LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": os.path.join(folder, "config"), "TZ": "UTC", **(env or {})}
        words = ["env", "-u", "COLUMNS", "-u", "LINES", "-u", "NO_COLOR"] + [f"{k}={v}" for k, v in values.items()]
        command = prefix + shlex.join(words + [program, *options])
        # The shell stays to tell how it ended, and what the terminal looks like then.
        line = f"cd {shlex.quote(folder)}; {command}; echo $? >{shlex.quote(self.status_file)}; exec sh"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(size[0]), "-y", str(size[1]),
                  "bash --norc --noprofile -i" if is_job else line)
        self.tmux("set-option", "-g", "status", "off")
        self.resize(*size)
        if is_job:
            self.keys(command, "Enter")

    def tmux(self, *args):
        return subprocess.run(["tmux", "-S", self.socket, *args], check=True, capture_output=True, text=True).stdout

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def keys(self, *keys):
        """Names of tmux ("Down", "F9"), or texts that are typed."""
        for key in keys:
            if len(key) > 1 and re.fullmatch(r"[CSM]-.|[A-Z][A-Za-z]+|F\d+", key):
                self.tmux("send-keys", key)
            else:
                self.tmux("send-keys", "-l", key)

    def raw(self, text):
        """Sends text at one go: a sequence that came in pieces would be other keys."""
        self.tmux("set-buffer", "-b", "raw", text)
        self.tmux("paste-buffer", "-b", "raw", "-r", "-d")

    def text(self, *more):
        return self.tmux("capture-pane", "-p", *more)

    def coloured(self):
        return self.text("-e")

    def lines(self):
        return self.text().split("\n")

    def has(self, pattern):
        return re.search(pattern, self.text(), re.MULTILINE)

    def until(self, pattern, timeout=wait.TIMEOUT):
        """Waits for a regular expression; returns the screen that has it."""
        try:
            wait.until(lambda: self.has(pattern), pattern, timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}; the screen is:\n{self.text()}") from None
        return self.text()

    def until_gone(self, pattern):
        try:
            wait.until(lambda: not self.has(pattern), f"the end of {pattern}")
        except AssertionError as e:
            raise AssertionError(f"{e}; the screen is:\n{self.text()}") from None

    def pid(self):
        """Of the dashboard itself, below one shell or two."""
        def children(*argv):
            return subprocess.run(["pgrep", "-P", *argv], capture_output=True, text=True).stdout.split()
        parents = self.tmux("display-message", "-p", "#{pane_pid}").split()
        while parents:
            if found := children(",".join(parents), "mailproxy-tui"):
                return int(found[0])
            parents = children(",".join(parents))
        raise ProcessLookupError("there is no dashboard")

    def status(self):
        """Waits for its end; the exit status."""
        def read():
            if not os.path.exists(self.status_file):
                return None
            with open(self.status_file) as f:
                return f.read().strip()
        return int(wait.until(read, "the end of mailproxy-tui"))

    def end(self):
        """Ends the dashboard, if it still runs; what a sanitizer found makes its status bad."""
        try:
            os.kill(self.pid(), signal.SIGTERM)
        except ProcessLookupError:
            return
        if not self.is_job:
            assert self.status() == 0, self.text("-S", "-")

    def close(self):
        """The dashboard goes before its terminal: with the hang-up comes a SIGCONT, and one that hits the leak check of a
        sanitizer at the end of a process makes that wait for ever."""
        try:
            self.end()
        finally:
            subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)
