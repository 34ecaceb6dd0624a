# SPDX-License-Identifier: ISC
"""Clients that never log in and want to stay, or to be kept: each way ends by itself, and costs little until then."""
import socket
import threading
import time

import pytest
from conftest import PASSWORD, USER
from harness import engine, wait

MEMORY_MAX = 8 << 20
HASH_MEMORY = 16 << 20
CLIENTS = 20
TIMEOUTS = {"command": "1500ms", "tls": "1500ms", "proxy_header": "1500ms", "preauth": "4s", "failure_delay": "100ms",
            "closing": "500ms"}


@pytest.fixture
def target(attacked):
    p = attacked(timeouts=TIMEOUTS, auth_threads=1, start=False)
    p.configure({"listeners": p.settings["listeners"] + [
        {"name": "proxied", "protocol": "imap", "allow_plaintext": True, "proxy_protocol": ["0.0.0.0/0"]}]})
    p.start()
    p.add_user(USER, PASSWORD, is_costly=True)
    return p


class Client(threading.Thread):
    """Sends pieces, one every `pause` seconds, and reads nothing; `ended` says how long it took until the proxy closed."""

    def __init__(self, p, listener, pieces, pause):
        super().__init__(daemon=True)
        self.sock = socket.create_connection((p.host, p.ports[listener]), timeout=20)
        self.pieces, self.pause = pieces, pause
        self.begin = time.monotonic()
        self.start()

    def run(self):
        try:
            for piece in self.pieces:
                self.sock.sendall(piece)
                time.sleep(self.pause)
        except OSError:
            pass
        self.answer = b""
        try:
            while data := self.sock.recv(65536):
                self.answer += data
        except OSError:
            pass
        self.ended = time.monotonic() - self.begin
        self.sock.close()


def letters(text):
    return [text[i:i + 1] for i in range(len(text))]


# Name: listener, what is sent, seconds between the pieces.
LINGER = {
    "silence": ("imap", [], 0),
    "half a command": ("imap", [b"a CAPA"], 0),
    "letters": ("imap", letters(b"a" * 100), 0.1),
    "a tag without end": ("imap", [b"a" * 65536] * 16, 0),
    "a literal without end": ("imap", [b"a LOGIN {1000000000}\r\n", b"x" * 100000], 0),
    "literals without end": ("imap", [b"a LOGIN {30000+}\r\n" + b"x" * 30000 + b" {30000+}\r\n" + b"x" * 30000] * 10, 0),
    "a response without end": ("imap", [b"a AUTHENTICATE PLAIN\r\n"] + [b"A" * 65536] * 16, 0),
    "an exchange without end": ("smtp", [b"EHLO x\r\nAUTH LOGIN\r\n", b"QUFB" * 100000], 0),
    "an address without end": ("smtp", [b"EHLO x\r\nMAIL FROM:<" + b"a" * 500000], 0),
    "pop without end": ("pop3", [b"USER " + b"a" * 500000], 0),
    "sieve without end": ("sieve", [b'AUTHENTICATE "PLAIN" {400000+}\r\n' + b"a" * 400000], 0),
    "a header in letters": ("proxied", letters(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2" + b"0" * 100), 0.1),
    "no header": ("proxied", [], 0),
    "half a hello": ("imaps", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"], 0),
    "a hello in letters": ("imaps", letters(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + bytes(100)), 0.1),
    "STARTTLS and silence": ("imap", [b"a STARTTLS\r\n"], 0),
    "logins": ("imap", [b'a LOGIN "%s" "no"\r\n' % USER.encode()] * 40, 0.02),
    "logins in a packet": ("imap", [b'a LOGIN "%s" "no"\r\n' % USER.encode() * 2000], 0),
    "a delay and no reader": ("pop3", [b"USER %s\r\nPASS no\r\n" % USER.encode() + b"CAPA\r\n" * 10000], 0),
}


def test_lingering_clients(target):
    """All kinds at once, several of each: nobody is there after the last deadline, and memory stays what it was."""
    p = target
    growth = engine.Growth(p.engine_pid())
    clients = {name: [Client(p, *what) for _ in range(CLIENTS)] for name, what in LINGER.items()}
    for name, some in clients.items():
        for c in some:
            c.join(30)
            assert not c.is_alive(), name
    took = {name: max(c.ended for c in some) for name, some in clients.items()}
    grown = growth.stop()
    print({name: round(s, 1) for name, s in took.items()}, f"{grown >> 10} KiB")
    assert max(took.values()) < 12, took
    # All of them together, and one password hash, which needs 16 MiB.
    assert grown < MEMORY_MAX + HASH_MEMORY, f"{grown >> 20} MiB"
    wait.until(lambda: not p.sessions(), "the end of all sessions")
    # Of the many logins in one packet, no more were judged than a session has.
    assert all(c.answer.count(b"AUTHENTICATIONFAILED") <= 5 for c in clients["logins in a packet"])
