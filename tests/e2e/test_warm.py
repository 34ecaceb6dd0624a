# SPDX-License-Identifier: ISC
"""pools[].warm: connections to backends that are ready before somebody logs in."""
import base64
import threading

import pytest
from conftest import backend
from harness import imap, prometheus, wait
from harness.server import Server

USER, PASSWORD = "carol@example.org", "secret-c"
PLAIN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
# What is said to log in, how its answer begins, and something that only a session can be asked.
LOGINS = {
    "imap": ("* OK", f"a LOGIN {USER} {PASSWORD}", "a ", "a OK", "b SELECT INBOX", "b "),
    "pop3": ("+OK", f"AUTH PLAIN {PLAIN}", "", "+OK", "STAT", "+OK "),
    "sieve": ("OK", f'AUTHENTICATE "PLAIN" "{PLAIN}"', "", "OK", "LISTSCRIPTS", "OK"),
    "smtp": ("220", f"AUTH PLAIN {PLAIN}", "", "235", None, None),  # there is nobody whom it could hand mail to
}
SERVICES = {"imap": "imap", "pop3": "pop3", "sieve": "managesieve", "smtp": "submission"}


@pytest.fixture
def make(make_proxy, settings):
    """make(backends, pool settings): a listener of each protocol; warm connections by one worker."""
    def start(backends, **pool):
        settings["workers"] = 1
        settings["listeners"] = [{"name": p, "protocol": p, "tls": "starttls", "allow_plaintext": True} for p in LOGINS]
        settings["resolver"] = {"enabled": False}
        # Checks connect, too, and would be counted.
        settings["pools"] = [{"name": "main", "tls": "off", "smtp_auth": True, "warm": 2, "check": {"enabled": False},
                              "backends": backends, **pool}]
        p = make_proxy(settings)
        p.add_user(USER, PASSWORD)
        return p
    return start


def log_in(p, protocol):
    """A client that is logged in."""
    greeting, login, tag, ok, _, _ = LOGINS[protocol]
    c = imap.Lines(p.host, p.ports[protocol])
    c.until(greeting)
    if protocol == "smtp":
        c.send("EHLO client.test\r\n")
        c.until("250 ")
    c.send(login + "\r\n")
    assert c.until(tag or ok)[-1].startswith(ok)
    return c


def taken(p, protocol="imap"):
    """Logins over a connection that was ready."""
    metrics = prometheus.parse(p.ctl("system", "metrics")["text"])
    return metrics["mailproxy_warm_logins_total"].value(protocol=protocol)


def log_in_until_taken(p, protocol="imap"):
    """Logs in until a connection is ready; the client that got it."""
    clients, before = [], taken(p, protocol)

    def got():
        if clients:
            clients.pop().close()
        clients.append(log_in(p, protocol))
        return taken(p, protocol) > before
    wait.until(got, f"a login over a connection that was ready, {protocol}")
    return clients[0]


# Dovecot has no port of its own for the others, and its submission service no STARTTLS.
WAYS = [("off", p) for p in LOGINS] + [("starttls", p) for p in LOGINS if p != "smtp"] + [("implicit", "imap"), ("implicit", "pop3")]


@pytest.mark.parametrize("tls, protocol", WAYS)
def test_a_login_is_the_same(make, dovecot1, tls, protocol):
    """The server hears of the client as by any other login, and a session follows."""
    entry = backend(dovecot1)
    if tls == "implicit":
        entry["ports"] = {"imap": dovecot1.ports["imaps"], "pop3": dovecot1.ports["pop3s"]}
    p = make([entry], tls=tls, verify=False, forward=["id", "xclient"])
    c = log_in_until_taken(p, protocol)
    *_, command, answer = LOGINS[protocol]
    if command:
        c.send(command + "\r\n")
        assert c.until(answer)
        assert USER in [r.get("user") for r in p.ctl("session", "list")]
    local = c.sock.getsockname()[0]
    wait.until(lambda: dovecot1.logins(SERVICES[protocol], f"user=<{USER}>, method=PLAIN, rip={local}"), "rip")
    c.close()


class Greeter:
    """An IMAP server that counts who waits for what."""

    def __init__(self):
        self.lock = threading.Lock()
        self.waiting = 0      # connections that have said nothing yet
        self.connections = 0
        self.server = Server(self.serve)

    def serve(self, client):
        with self.lock:
            self.connections += 1
            self.waiting += 1
        try:
            client.sendall(b"* OK [CAPABILITY IMAP4rev1] hi\r\n")
            first = client.recv(4096)
        finally:
            with self.lock:
                self.waiting -= 1
        if first:
            client.sendall(first.split()[0] + b" OK in\r\n")
            while client.recv(4096):
                pass

    def entry(self):
        return {"name": "b1", "host": self.server.host, "ports": {"imap": self.server.port}}


@pytest.fixture
def greeter():
    g = Greeter()
    yield g
    g.server.close()


def test_as_many_as_are_asked_for(make, greeter):
    p = make([greeter.entry()])
    assert greeter.connections == 0  # nobody has logged in yet
    clients = [log_in(p, "imap")]
    wait.until(lambda: greeter.waiting == 2, "two that wait")
    for i in range(4):
        clients.append(log_in(p, "imap"))
        wait.until(lambda: greeter.waiting == 2, "two that wait")
        assert greeter.connections == 4 + i
    assert taken(p) == 4
    assert len(p.ctl("session", "list")) == 5  # those that wait are nobody's


def test_servers_that_leave(make, greeter):
    """A login does not fail for a connection that had been given up, and the backend is not blamed."""
    p = make([greeter.entry()])
    log_in(p, "imap")
    wait.until(lambda: greeter.waiting == 2, "two that wait")
    for client in list(greeter.server.clients):
        client.close()
    for _ in range(3):
        log_in(p, "imap").close()
    row, = p.ctl("backend", "list")
    assert row["health"] != "down" and not row.get("login_failures", 0)


def test_drained_reloaded_stopped(make, greeter):
    p = make([greeter.entry()])
    log_in(p, "imap")
    wait.until(lambda: greeter.waiting == 2, "two that wait")
    p.ctl("backend", "drain", "b1")
    wait.until(lambda: greeter.waiting == 0, "none that wait")
    p.ctl("backend", "ready", "b1")
    log_in(p, "imap")
    wait.until(lambda: greeter.waiting == 2, "two that wait")
    p.settings["pools"][0]["warm"] = 0
    p.configure(p.settings)
    p.ctl("config", "reload")
    wait.until(lambda: greeter.waiting == 0, "none that wait")
    log_in(p, "imap")
    assert taken(p) == 0
    p.settings["pools"][0]["warm"] = 1
    p.configure(p.settings)
    p.ctl("config", "reload")
    log_in(p, "imap")
    wait.until(lambda: greeter.waiting == 1, "one that waits")
    p.stop()
    wait.until(lambda: greeter.waiting == 0, "none that wait")
