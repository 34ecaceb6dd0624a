# SPDX-License-Identifier: ISC
"""A running `mailproxyctl session trace`, read row by row."""
import json
import os
import subprocess

from . import wait
from .proxy import BUILD


class Trace:
    def __init__(self, proxy, *args):
        self.path = os.path.join(proxy.folder, f"trace{len(os.listdir(proxy.folder))}.jsonl")
        running = len(self.operations(proxy))
        with open(self.path, "w", encoding="ascii") as out:
            self.process = subprocess.Popen([os.path.join(BUILD, "mailproxyctl"), "-o", "jsonl", "session", "trace", *args], stdout=out,
                                            stderr=subprocess.PIPE, text=True, env={**os.environ, "MAILPROXY_SOCKET": proxy.control})
        self.proxy = proxy
        wait.until(lambda: len(self.operations(proxy)) > running or self.process.poll() is not None, "the trace to begin")

    @staticmethod
    def operations(proxy):
        return proxy.ctl("--allow-empty", "op", "list", "kind=trace", "state=running") or []

    def rows(self):
        with open(self.path, encoding="ascii") as f:
            return [json.loads(line) for line in f.read().splitlines() if line.endswith("}")]

    def text(self):
        """Everything that was printed, as it stands in the file."""
        with open(self.path, encoding="ascii") as f:
            return f.read()

    def said(self, mark=None):
        return [r["text"] for r in self.rows() if mark in (None, r["mark"])]

    def wait_for(self, text, mark=None):
        wait.until(lambda: any(text in line for line in self.said(mark)), f"{text!r} in the trace")

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate()

    def wait(self, timeout=30):
        """Its own end: exit code and last words."""
        words = self.process.communicate(timeout=timeout)[1]
        return self.process.returncode, words
