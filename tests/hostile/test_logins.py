# SPDX-License-Identifier: ISC
"""Logins that nobody waits for, and clients that fail without end: what they cost others, the log, and themselves."""
import re
import socket
import struct
import threading
import time

from harness import imap, wait

ATTACKER = "127.0.0.9"
RESET = struct.pack("ii", 1, 0)
THREADS = 8
LIMITS = {"trusted": [], "failures_before_ban": 0}


class Flood:
    """Threads that connect from one address, log in with ever other passwords and reset the connection at once."""

    def __init__(self, p, total):
        self.address, self.total = (p.host, p.ports["imap"]), total
        self.lock, self.n, self.is_over = threading.Lock(), 0, False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(THREADS)]
        for t in self.threads:
            t.start()

    def take(self):
        with self.lock:
            self.n += 1
            return self.n if self.n <= self.total and not self.is_over else 0

    def run(self):
        while n := self.take():
            try:
                with socket.create_connection(self.address, timeout=10, source_address=(ATTACKER, 0)) as s:
                    s.recv(1000)
                    s.sendall(b"a LOGIN nobody%d@example.org guess%d\r\n" % (n, n))
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            except OSError:  # banned
                pass

    def join(self):
        for t in self.threads:
            t.join()


def subject(p):
    return next((r for r in p.ctl("--allow-empty", "limit", "list") if r["subject"] == ATTACKER), None)


def test_logins_that_nobody_waits_for(attacked, beside, record_property):
    """A user without a remembered password logs in from elsewhere within a second, and the queue is empty when the flood is over."""
    p = attacked(limits={**LIMITS, "failures_before_delay": 1}, auth=[{"type": "users", "cache": 0}])
    honest = beside(p, login_every=0.1)
    _, before = honest.measure(3)
    bound = max(1000, 4 * before.max)  # of a machine that others keep busy
    flood = Flood(p, 1_000_000)
    wait.until(lambda: (subject(p) or {"failures": 0})["failures"] > 100, "the flood")
    for _ in range(5):
        _, logins = honest.measure(3)
        if len(logins) and logins.max < bound:
            break
    flood.is_over = True
    flood.join()
    record_property("flood", f"{flood.n} connections, honest logins {logins}, before {before}")
    assert len(logins) and logins.max < bound, (logins, before)
    begin = time.monotonic()
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert c.command("a", 'LOGIN "u1@example.org" "pw"')[-1].startswith("a OK")
    assert time.monotonic() - begin < 5
    c.close()
    assert "the client left before the answer" in p.log()


def test_who_does_not_wait_is_banned(attacked, beside):
    """Not to wait for the answer is no way around the count of failures."""
    p = attacked(limits={"trusted": [], "failures_before_ban": 50})
    honest = beside(p)
    Flood(p, 1000).join()
    wait.until(lambda: [r["subject"] for r in p.ctl("--allow-empty", "ban", "list")] == [ATTACKER], "the ban")
    noops, logins = honest.measure(1)
    assert len(noops) and len(logins)


def test_log_lines_are_bounded(attacked):
    """Thousands of clients that fail: a bounded number of lines, and one that counts the others, none lost."""
    p = attacked(limits={"trusted": [], "failures_before_ban": 0, "log_lines": 120, "log_lines_total": 6000})
    Flood(p, 2000).join()
    c = imap.Lines(p.host, p.ports["imap"], source=ATTACKER)  # the flood's logins are over before it is heard
    c.line()
    wait.until(lambda: len(p.sessions()) == 1, "the end of the flood")
    c.close()
    wait.until(lambda: not p.sessions(), "the end of the last")
    text = p.ctl("system", "metrics")["text"]
    left_out = int(re.search(r"^mailproxy_log_lines_left_out_total (\d+)$", text, re.M).group(1))
    path = p.log_file
    p.stop()
    with open(path, encoding="utf-8") as f:
        log = f.read()
    lines = [line for line in log.splitlines() if f"client={ATTACKER}" in line]
    summary = [line for line in lines if " log-lines-left-out " in line]
    assert len(lines) - len(summary) <= 120 and "login-failed" in log
    counts = [(int(a), int(b)) for a, b in re.findall(r"log-lines-left-out client=\S+ lines=(\d+) logins=(\d+) seconds=", log)]
    assert sum(n for n, _ in counts) == left_out > 1000
    assert 0 < sum(n for _, n in counts) < left_out
