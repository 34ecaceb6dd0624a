# SPDX-License-Identifier: ISC
"""Honest IMAP clients beside an attack: established sessions that say NOOP in turn, and now and then a fresh login, all timed.
They run in a process of their own, so that an attack written in Python does not slow their clock.
As a program: honest.py JSON (members: host, port, user, password, sessions, pause, login_every); reports at the end of its input."""
import json
import os
import select
import subprocess
import sys
import time

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import imap  # noqa: E402


class Times:
    """Latencies in ms."""

    def __init__(self, values):
        self.values = sorted(values)

    def __len__(self):
        return len(self.values)

    def part(self, share):
        return self.values[min(len(self.values) - 1, int(len(self.values) * share))]

    p50 = property(lambda self: self.part(0.50))
    p99 = property(lambda self: self.part(0.99))
    max = property(lambda self: self.values[-1])

    def __repr__(self):
        return f"{len(self)}: p50 {self.p50:.1f} p99 {self.p99:.1f} max {self.max:.1f} ms" if self.values else "none"


class Honest:
    """sessions: how many are established; pause: seconds between two NOOPs; login_every: seconds between two fresh logins, each
    from a new connection."""

    def __init__(self, host, port, user, password, sessions=4, pause=0.002, login_every=0.5):
        what = {"host": host, "port": port, "user": user, "password": password, "sessions": sessions, "pause": pause,
                "login_every": login_every}
        self.child = subprocess.Popen([sys.executable, os.path.abspath(__file__), json.dumps(what)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        assert self.child.stdout.readline() == "ready\n"
        self.before, _ = self.measure(1)  # the machine without the attack, which may be busy with other things

    def bound(self, bound_ms):
        """What the NOOPs may take beside an attack: on a machine that is slow without it, three times that."""
        return max(bound_ms, 3 * self.before.p99)

    def _ask(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, "the honest clients were hurt: see the test's output"
        times = json.loads(line)
        return Times(times["noop"]), Times(times["login"])

    def measure(self, seconds):
        """(NOOPs, logins) of the next seconds; what was before does not count."""
        self._ask()
        time.sleep(seconds)
        return self._ask()

    def best(self, bound_ms, attempts=5, seconds=2):
        """Measures until the NOOPs' p99 is within the bound, a few times: on a busy machine one measurement may be of others' work.
        Returns the last (NOOPs, logins); the caller asserts."""
        for _ in range(attempts):
            noops, logins = self.measure(seconds)
            if len(noops) >= 50 and len(logins) > 0 and noops.p99 < self.bound(bound_ms):
                break
        return noops, logins

    def close(self):
        self.child.stdin.close()
        self.child.wait(30)
        self.child.stdout.close()


class Clients:
    def __init__(self, host, port, user, password, sessions, pause, login_every):
        self.address, self.user = (host, port), (user, password)
        self.pause, self.login_every = pause, login_every
        self.times = {"noop": [], "login": []}
        self.clients = [self.login() for _ in range(sessions)]
        self.n = 0

    def login(self):
        c = imap.Lines(*self.address)
        c.line()
        answer = c.command("a", 'LOGIN "%s" "%s"' % self.user)[-1]
        assert answer.startswith("a OK"), answer
        return c

    def timed(self, what, do):
        begin = time.monotonic()
        result = do()
        self.times[what].append(1000 * (time.monotonic() - begin))
        return result

    def turn(self):
        self.n += 1
        c = self.clients[self.n % len(self.clients)]
        answer = self.timed("noop", lambda: c.command(f"n{self.n}", "NOOP"))[-1]
        assert " OK" in answer, answer

    def run(self):
        print("ready", flush=True)
        due = time.monotonic()
        while True:
            if select.select([sys.stdin], [], [], self.pause)[0]:
                if not sys.stdin.readline():
                    return
                print(json.dumps(self.times), flush=True)
                self.times = {"noop": [], "login": []}
            self.turn()
            if self.login_every and time.monotonic() >= due:
                self.timed("login", self.login).close()
                due = time.monotonic() + self.login_every


if __name__ == "__main__":
    Clients(**json.loads(sys.argv[1])).run()
