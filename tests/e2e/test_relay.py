# SPDX-License-Identifier: ISC
"""The relay: much data both ways, many sessions, half closes, backends that die."""
import base64
import hashlib
import os
import socket
import struct
import threading
import time

import pytest
from conftest import backend
from harness import imap, net, wait
from harness.server import Server

USER, PASSWORD = "u1@example.org", "pw"
BIG = 50 * 1024 * 1024


@pytest.fixture
def proxy(make_proxy, settings, dovecot1):
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    p.add_user("u2@example.org", PASSWORD)
    return p


@pytest.mark.parametrize("front", ["plain", "tls"])
def test_big_message_both_ways(proxy, front):
    body = (os.urandom(1 << 20).hex().encode() + b"\r\n") * (BIG // (2 << 20))
    message = b"Subject: big\r\n\r\n" + body
    m = imap.plain(proxy.host, proxy.ports["imap"]) if front == "plain" else imap.tls(proxy.host, proxy.ports["imaps"])
    m.login(USER, PASSWORD)
    m.create("big")
    m.select("big")
    assert m.append("big", None, None, message)[0] == "OK"
    m.noop()
    n = m.select("big")[1][0].decode()
    back = m.fetch(n, "(BODY[])")[1][0][1]
    assert hashlib.sha256(back).digest() == hashlib.sha256(message).digest()
    m.store(n, "+FLAGS", "\\Deleted")
    m.expunge()
    m.logout()


def test_slow_reader_does_not_fill_memory(proxy):
    """Back-pressure: a client that does not read holds the backend up, not our memory."""
    body = b"x" * 78 + b"\r\n"
    m = imap.plain(proxy.host, proxy.ports["imap"])
    m.login(USER, PASSWORD)
    m.create("slow")
    assert m.append("slow", None, None, b"Subject: s\r\n\r\n" + body * 400000)[0] == "OK"
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    # a window smaller than the loopback's segments would open five times a second only
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
    c.line()
    c.command("a", f"LOGIN {USER} {PASSWORD}")
    c.command("b", "SELECT slow")
    before = proxy.ctl("system", "status")["memory"]
    c.send("c FETCH 1 BODY[]\r\n")
    wait.until(lambda: any(s.get("verb") == "FETCH" and s["out"] > 10000 for s in proxy.sessions("user=" + USER)), "the fetch")
    assert proxy.ctl("system", "status")["memory"] - before < 16 * 1024 * 1024
    got = sum(len(x) for x in c.until("c "))
    assert got > 30000000
    c.close()
    m.logout()


def test_half_close(make_proxy, settings, folder):
    """A late reply still arrives after the client's FIN."""
    said = []

    def serve(c):
        f = c.makefile("rb")
        c.sendall(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] fake\r\n")
        for line in f:
            tag = line.split()[0]
            if line.upper().split()[1:2] == [b"SLOW"]:
                said.append(f.readline())  # waits for the client's end
                c.sendall(tag + b" OK late\r\n")
                break
            c.sendall(tag + b" OK done\r\n")
        f.close()
        c.close()
    server = Server(serve)
    settings["pools"] = [{"name": "main", "tls": "off", "forward": "off", "backends": [
        {"name": "fake", "host": server.host, "ports": {"imap": server.port}}]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = imap.logged_in(p, USER, PASSWORD)
    c.send("b SLOW\r\n")
    c.sock.shutdown(socket.SHUT_WR)
    assert c.until("b ")[-1] == "b OK late"
    assert said == [b""]
    c.close()
    server.close()


@pytest.mark.parametrize("who", ["client", "client at once", "server"])
def test_half_closed_is_not_for_ever(make_proxy, settings, who):
    """One side has closed and has its answers, and the other one does not follow."""
    over = threading.Event()

    def serve(c):
        f = c.makefile("rb")
        c.sendall(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] fake\r\n")
        for line in f:
            c.sendall(line.split()[0] + b" OK done\r\n")
            if b"NOOP" in line and who == "server":
                c.shutdown(socket.SHUT_WR)
        over.wait(60)
    server = Server(serve)
    settings["pools"] = [{"name": "main", "tls": "off", "forward": "off", "backends": [
        {"name": "fake", "host": server.host, "ports": {"imap": server.port}}]}]
    p = make_proxy({**settings, "timeouts": {"closing": "300ms"}})
    p.add_user(USER, PASSWORD)
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.send(f"a LOGIN {USER} {PASSWORD}\r\nb NOOP\r\n")
    if who == "client at once":
        c.sock.shutdown(socket.SHUT_WR)
    assert c.until("b ")[-1] == "b OK done"
    if who == "client":
        c.sock.shutdown(socket.SHUT_WR)
    try:
        wait.until(lambda: not p.sessions(), "the end of the session", 10)
        assert c.rest() == b""
        p.wait_for_log("reason=" + ("server-closed" if who == "server" else "client-closed"))
    finally:
        over.set()
        c.close()
        server.close()


def test_many_sessions(proxy):
    clients = []

    def open_some(n):
        for _ in range(n):
            c = imap.logged_in(proxy, USER, PASSWORD)
            clients.append(c)
    threads = [threading.Thread(target=open_some, args=(20,)) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(clients) == 200
    rows = proxy.sessions("state=relay")
    assert len(rows) == 200 and len({r["id"] for r in rows}) == 200
    assert {r["worker"] for r in rows} == {0, 1}
    for c in clients:
        c.send("b NOOP\r\n")
    for c in clients:
        assert c.until("b ")[-1].startswith("b OK")
        c.close()
    wait.until(lambda: proxy.sessions() == [], "the end of all sessions")


def test_backend_down_the_next_is_tried(make_proxy, settings, dovecot1):
    host = net.address()
    settings["pools"] = [{"name": "main", "tls": "off", "balance": "round-robin", "backends": [
        {"name": "dead", "host": host, "ports": {"imap": net.port(host)}}, backend(dovecot1)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    for _ in range(4):
        m = imap.plain(p.host, p.ports["imap"])
        m.login(USER, PASSWORD)
        assert [s["backend"] for s in p.sessions("user=" + USER)] == ["dc1"]
        m.logout()
        wait.until(lambda: p.sessions() == [], "the end")


def test_all_backends_down(make_proxy, settings):
    host = net.address()
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [
        {"name": "dead", "host": host, "ports": {"imap": net.port(host)}}]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert "[UNAVAILABLE]" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
    c.close()


def test_backend_dies_in_the_middle(make_proxy, settings, root, ca):
    from conftest import _dovecot
    d = _dovecot(root, ca, "dying")
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(d)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.command("a", f"LOGIN {USER} {PASSWORD}")
    d.close()
    c.rest()
    c.close()
    p.wait_for_log("by=backend")


def sick_mailbox(client):
    """An IMAP server that is fine, but for one mailbox, which makes it hang up."""
    file = client.makefile("rwb", buffering=0)
    file.write(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ ID] hello\r\n")
    for line in file:
        tag, verb = line.split()[:2]
        if verb.upper() in (b"LOGIN", b"AUTHENTICATE"):
            if USER.encode() in line or base64.b64encode(b"\0" + USER.encode())[:16] in line:
                client.shutdown(socket.SHUT_RDWR)
                return
        if verb.upper() == b"CAPABILITY":
            file.write(b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ ID\r\n")
        file.write(tag + b" OK done\r\n")


def test_one_sick_mailbox_takes_no_server_away(make_proxy, settings):
    servers = [Server(sick_mailbox) for _ in range(2)]
    settings["pools"] = [{"name": "main", "tls": "off", "check": {"enabled": False, "fall": 3}, "backends": [
        {"name": f"s{i}", "host": s.host, "ports": {"imap": s.port}} for i, s in enumerate(servers)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    p.add_user("u2@example.org", PASSWORD)
    for _ in range(5):
        c = imap.Lines(p.host, p.ports["imap"])
        c.line()
        assert "UNAVAILABLE" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
        c.close()
    rows = p.ctl("backend", "list")
    assert sum(r["failures"] for r in rows) >= 10 and "down" not in {r["health"] for r in rows}
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert "OK" in c.command("a", f"LOGIN u2@example.org {PASSWORD}")[-1]
    c.close()
    for s in servers:
        s.close()


def test_one_user_always_goes_to_one_backend(make_proxy, settings):
    p = make_proxy(settings)
    places = {}
    for _ in range(3):
        for user, password in (("u1@example.org", "pw"), ("u2@example.org", "pw"), ("alice@example.org", "secret-a"),
                               ("bob@example.org", "secret-b")):
            if user not in places:
                p.add_user(user, password)
            m = imap.plain(p.host, p.ports["imap"])
            m.login(user, password)
            places.setdefault(user, set()).add(p.sessions("user=" + user)[-1]["backend"])
            m.logout()
    assert all(len(v) == 1 for v in places.values())


def test_session_end_is_logged(proxy):
    m = imap.plain(proxy.host, proxy.ports["imap"])
    m.login(USER, PASSWORD)
    m.logout()
    proxy.wait_for_log("session-end")
    line = [x for x in proxy.log().splitlines() if "session-end" in x and "user=" + USER in x][-1]
    for part in ("client=127.", "backend=dc1", "in=", "out=", "seconds=", "by=", "reason="):
        assert part in line


class Fragile(Server):
    """An IMAP server that lets everybody in, and dies when it is told to."""

    def __init__(self):
        super().__init__(self.talk)

    def talk(self, client):
        file = client.makefile("rwb", buffering=0)
        file.write(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello\r\n")
        for line in file:
            file.write(line.split()[0] + b" OK [CAPABILITY IMAP4rev1] done\r\n")

    def die(self):
        self.stop_listening()
        for c in self.clients:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.shutdown(socket.SHUT_RDWR)


def test_clients_of_a_dead_backend_are_not_let_go_at_once(make_proxy, settings):
    server = Fragile()
    settings["pools"] = [{"name": "main", "tls": "off", "close_spread": "2s", "check": {"enabled": False},
                          "backends": [{"name": "f", "host": server.host, "ports": {"imap": server.port}}]}]
    p = make_proxy(settings)
    p.add_user("u1@example.org", "pw")
    clients = []
    for _ in range(20):
        c = imap.Lines(p.host, p.ports["imap"])
        c.line()
        assert c.command("a", "LOGIN u1@example.org pw")[-1].startswith("a OK")
        clients.append(c)
    ends = []

    def listen(c):
        text = c.rest()
        ends.append((time.monotonic(), text))
    threads = [threading.Thread(target=listen, args=(c,)) for c in clients]
    for t in threads:
        t.start()
    server.die()
    for t in threads:
        t.join(30)
    times = sorted(e[0] for e in ends)
    assert len(ends) == 20 and times[-1] - times[0] > 0.3
    assert all(e[1].startswith(b"* BYE [UNAVAILABLE]") for e in ends), ends
    for c in clients:
        c.close()


def kept_alive(host, port):
    """Connections to the address, and those of them for which the kernel has a keep-alive timer."""
    import socket
    want = "%08X:%04X" % (int.from_bytes(socket.inet_aton(host), "little"), port)
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    found = [row for row in rows if row[2] == want and row[3] == "01"]
    return len(found), len([row for row in found if row[5].startswith("02:")])


def test_a_host_that_vanishes_is_noticed(make_proxy, settings, dovecot1):
    """A backend whose machine lost its power says nothing: the kernel has to ask."""
    address = dovecot1.host, dovecot1.ports["imap"]
    for value, want in (("60s", (1, 1)), ("0", (1, 0))):
        settings["pools"] = [{"name": "main", "tls": "off", "keepalive": value, "check": {"enabled": False}, "backends": [backend(dovecot1)]}]
        p = make_proxy(settings)
        p.add_user(USER, PASSWORD)
        c = imap.plain(p.host, p.ports["imap"])
        c.login(USER, PASSWORD)
        wait.until(lambda: kept_alive(*address) == want, f"the timer with {value}")
        c.logout()
        wait.until(lambda: kept_alive(*address)[0] == 0, "the end of the connection")
        p.stop()
        settings["listeners"] = [{k: v for k, v in one.items() if k != "address"} for one in settings["listeners"]]


@pytest.mark.parametrize("limit_s", [1, 6])  # shorter and longer than the silence after which keep-alive begins
def test_a_quiet_session_ends(make_proxy, settings, limit_s):
    p = make_proxy({**settings, "timeouts": {"relay_idle": f"{limit_s}s"}})
    p.add_user(USER, PASSWORD)
    c = imap.logged_in(p, USER, PASSWORD)
    busy = time.monotonic()
    while time.monotonic() - busy < 0.6:
        assert c.command("b", "NOOP")[-1].startswith("b OK")
    quiet = time.monotonic()
    assert c.rest().startswith(b"* BYE")
    assert limit_s - 0.1 <= time.monotonic() - quiet
    c.close()
    p.wait_for_log("idle-timeout")


def test_sessions_of_an_old_configuration_end_when_wanted(make_proxy, settings):
    p = make_proxy({**settings, "reload_session_timeout": "300ms"})
    p.add_user("u1@example.org", "pw")
    old = imap.Lines(p.host, p.ports["imap"])
    old.line()
    assert old.command("a", "LOGIN u1@example.org pw")[-1].startswith("a OK")
    p.configure({"max_errors": 7})
    p.reload()
    assert old.rest().startswith(b"* BYE")
    new = imap.Lines(p.host, p.ports["imap"])
    new.line()
    assert new.command("a", "LOGIN u1@example.org pw")[-1].startswith("a OK")
    p.wait_for_log("sessions-retired", 2)
    assert new.command("b", "NOOP")[-1].startswith("b OK")
    new.close()
    old.close()
