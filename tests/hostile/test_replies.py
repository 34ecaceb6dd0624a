# SPDX-License-Identifier: ISC
"""Clients that ask without end and never read: their replies must not pile up in the proxy's memory."""
import socket
import ssl
import threading
import time

import pytest
from harness import engine

ASK = {"imap": b"a CAPABILITY\r\n", "pop3": b"CAPA\r\n", "smtp": b"EHLO x\r\n", "sieve": b"CAPABILITY\r\n"}
# Answered with a challenge each time, and never completed.
SASL = {"imap": b"a AUTHENTICATE LOGIN\r\nAA==\r\n*\r\n", "pop3": b"AUTH LOGIN\r\nAA==\r\n*\r\n", "smtp": b"AUTH LOGIN\r\nAA==\r\n*\r\n",
        "sieve": b'AUTHENTICATE "LOGIN"\r\n"AA=="\r\n"*"\r\n'}
MEMORY_MAX = 8 << 20
SECONDS = 1


class Asker(threading.Thread):
    """Sends the same commands until the socket takes no more for good, or the proxy closes; reads nothing."""

    def __init__(self, host, port, text, tls=False, first=b""):
        super().__init__(daemon=True)
        self.sock = socket.create_connection((host, port), timeout=10)
        if tls:
            self.sock = ssl._create_unverified_context().wrap_socket(self.sock)
        self.data = text * (16384 // len(text))
        self.sent = 0
        if first:
            self.sock.sendall(first)
        self.end = time.monotonic() + SECONDS
        self.sock.settimeout(0.2)
        self.start()

    def run(self):
        while time.monotonic() < self.end:
            try:
                self.sent += self.sock.send(self.data)
            except TimeoutError:
                continue
            except OSError:
                return

    def close(self):
        self.join()
        self.sock.close()


def attack(p, askers):
    growth = engine.Growth(p.engine_pid())
    made = [a() for a in askers]
    for a in made:
        a.join()
    growth.look()
    for a in made:
        a.close()
    # Each of them was read from at all.
    assert all(a.sent > 10000 for a in made), [a.sent for a in made]
    return growth.stop()


@pytest.mark.parametrize("text", [ASK, SASL], ids=["capabilities", "sasl"])
def test_replies_pile_up(attacked, beside, text):
    """All protocols, in clear and in TLS, at once: the bound is for all of them together."""
    p = attacked(max_errors=0)
    honest = beside(p)
    grown = attack(p, [lambda n=n, tls=tls: Asker(p.host, p.ports[n + ("s" if tls else "")], text[n], tls)
                       for n in text for tls in (False, True)])
    noops, logins = honest.best(50, seconds=1)
    print(f"{grown >> 10} KiB, noops {noops}, logins {logins}")
    assert grown < MEMORY_MAX, f"{grown >> 20} MiB"
    assert noops.p99 < honest.bound(50) and len(logins) > 0
    assert p.process.is_running()
