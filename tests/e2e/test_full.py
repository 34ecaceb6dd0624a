# SPDX-License-Identifier: ISC
"""Backends with max_sessions: who gets a place, who waits and for how long, and that no place is ever lost."""
import base64
import os
import signal
import socket
import time

import pytest
from conftest import backend
from harness import imap, prometheus, wait
from harness.server import Server
from test_backends import crash, fails, rows
from test_upgrade import install

USERS = [f"u{i}@example.org" for i in range(1, 7)]
PASSWORD = "pw"


@pytest.fixture
def make(make_proxy, settings, dovecot1, dovecot2):
    """make(n1, n2, more settings): dc1 and dc2 of one pool with these limits."""
    def start(n1, n2, start=True, **more):
        pool = {"name": "main", "tls": "off", "balance": "least",
                "backends": [backend(dovecot1, max_sessions=n1), backend(dovecot2, max_sessions=n2)]}
        p = make_proxy({**settings, "pools": [pool], **more}, start=False)
        if start:
            begin(p)
        return p
    return start


def begin(p):
    p.start()
    for user in USERS:
        p.add_user(user, PASSWORD, backend_user="u1@example.org")


def connect(p, listener="imap"):
    c = imap.Lines(p.host, p.ports[listener])
    c.line()
    return c


def log_in(p, user=USERS[0]):
    """Sends the login, and does not wait for its answer."""
    c = connect(p)
    c.send(f"a LOGIN {user} {PASSWORD}\r\n")
    return c


def is_in(c):
    return c.until("a ")[-1].startswith("a OK")


def waiting(p, n):
    wait.until(lambda: p.ctl("pool", "list")[0].get("waiting", 0) == n, f"{n} logins that wait")


def verdict(p, user=USERS[0]):
    return p.ctl("route", "explain", user, "--listener", "imap")["verdict"]


def test_the_next_one_then_a_place_that_comes_free(make):
    p = make(1, 1)
    with_place = [log_in(p, USERS[0]), log_in(p, USERS[1])]
    assert all(is_in(c) for c in with_place)
    now = rows(p)
    assert {(r["sessions"], r["full"], r["max_sessions"]) for r in now.values()} == {(1, "1 of 1", 1)}
    assert verdict(p, USERS[2]).startswith("waits for a place: dc")
    assert "is full: 1 of 1" in verdict(p, USERS[2])
    queue = []
    for i, user in enumerate(USERS[2:6]):
        queue.append(log_in(p, user))
        waiting(p, i + 1)
    queue.pop(1).close()  # one who waits and leaves
    waiting(p, 3)
    with_place.pop(0).close()
    assert is_in(queue[0])  # first come
    with_place.pop(0).close()
    assert is_in(queue[1])
    waiting(p, 1)
    queue.pop(0).close()
    assert is_in(queue[1])
    for c in queue:
        c.close()
    wait.until(lambda: all(r["sessions"] == 0 and r["in_flight"] == 0 and "full" not in r for r in rows(p).values()), "nobody")
    wait.until(lambda: sum("room again" in e["text"] for e in p.ctl("--allow-empty", "event", "list", "type=backend")) == 2, "room again")
    events = [e["text"] for e in p.ctl("event", "list", "type=backend")]
    assert sum(text.startswith("full: 1 of 1") for text in events) == 2, events
    log = p.whole_log()
    assert log.count("backend-full") == 2 and log.count("backend-room") == 2
    assert log.count("login-held") == 4 and "reason=full" in log


def test_a_limit_is_edited_while_logins_wait(make):
    p = make(1, 0)
    p.ctl("backend", "disable", "dc2", "--yes")
    first = log_in(p)
    assert is_in(first)
    second = log_in(p, USERS[1])
    waiting(p, 1)
    assert p.ctl("backend", "set", "dc1", "--max-sessions", "2")["changed"] is True
    assert is_in(second)
    assert p.ctl("backend", "set", "dc1", "--max-sessions", "2")["changed"] is False
    row = rows(p)["dc1"]
    assert row["edits"] == "max_sessions" and row["origin"] == "runtime" and row["full"] == "2 of 2"
    assert "max_sessions = 2;" in p.ctl("config", "export")["text"]
    diff = [r for r in p.ctl("config", "diff") if r["path"].endswith("max_sessions")]
    assert [(r["old"], r["new"]) for r in diff] == [("2", "1")] and diff[0]["effect"] == "runtime edit"
    p.ctl("backend", "set", "dc1", "--max-sessions", "1")  # as the file says; the two sessions stay
    assert rows(p)["dc1"]["origin"] == "runtime" or "max_sessions" not in rows(p)["dc1"].get("edits", "")
    assert rows(p)["dc1"]["full"] == "2 of 1"
    p.ctl("backend", "set", "dc1", "--max-sessions", "7")
    third = log_in(p, USERS[2])
    assert is_in(third)
    for c in (first, second, third):
        c.close()
    crash(p)
    assert rows(p)["dc1"]["max_sessions"] == 7 and rows(p)["dc1"]["in_flight"] == 0
    p.ctl("backend", "reset", "dc1")
    assert rows(p)["dc1"]["max_sessions"] == 1
    fails(p, 2, "backend", "set", "dc1", "--max-sessions", "10000001")
    fails(p, 2, "backend", "set", "dc1", "--max-sessions", "-1")


def test_a_backend_is_added_while_logins_wait(make, dovecot2):
    p = make(1, 0)
    p.ctl("backend", "remove", "dc2", "--yes")
    first = log_in(p)
    assert is_in(first)
    second = log_in(p, USERS[1])
    waiting(p, 1)
    b = backend(dovecot2)
    p.ctl("backend", "add", "main", "new", b["host"], "--ports", ",".join("%s=%d" % item for item in b["ports"].items()))
    assert is_in(second)
    assert {r["backend"] for r in p.sessions("state=relay")} == {"dc1", "new"}
    for c in (first, second):
        c.close()


def test_a_reload_frees_places(make):
    p = make(1, 1)
    clients = [log_in(p, user) for user in USERS[:2]]
    assert all(is_in(c) for c in clients)
    third = log_in(p, USERS[2])
    waiting(p, 1)
    p.settings["pools"][0]["backends"][1]["max_sessions"] = 2
    p.configure({})
    p.ctl("config", "reload")
    assert is_in(third)


def test_pinned_users_wait_for_their_own(make):
    p = make(1, 0)
    p.ctl("user", "set", USERS[1], "--backend", "dc1")
    p.ctl("user", "set", USERS[0], "--backend", "dc1")
    first = log_in(p)
    assert is_in(first)
    second = log_in(p, USERS[1])
    waiting(p, 1)
    assert verdict(p, USERS[1]).startswith("waits for a place: dc1 is full: 1 of 1")
    others = [log_in(p, user) for user in USERS[2:4]]
    assert all(is_in(c) for c in others)  # they go to dc2
    waiting(p, 1)
    first.close()
    assert is_in(second)
    assert {(s["user"], s["backend"]) for s in p.sessions("backend=dc1")} == {(USERS[1], "dc1")}


def test_pinned_users_go_elsewhere_where_the_pool_says_so(make):
    p = make(1, 0, start=False)
    p.settings["pools"][0]["move_pinned"] = True
    p.configure({})
    begin(p)
    for user in USERS[:2]:
        p.ctl("user", "set", user, "--backend", "dc1")
    clients = [log_in(p, user) for user in USERS[:2]]
    assert all(is_in(c) for c in clients)
    assert {r["sessions"] for r in rows(p).values()} == {1}


def plain(user):
    return base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()


WORDS = {
    "imap": (f"a LOGIN {USERS[1]} {PASSWORD}\r\n", "a NO [LIMIT]"),
    "pop3": (f"AUTH PLAIN {plain(USERS[1])}\r\n", "-ERR [SYS/TEMP]"),
    "smtp": (f"EHLO x\r\nAUTH PLAIN {plain(USERS[1])}\r\n", "454 4.3.2"),
    "sieve": (f'AUTHENTICATE "PLAIN" "{plain(USERS[1])}"\r\n', "NO (TRYLATER)"),
}


def test_no_room_in_the_words_of_each_protocol(make):
    listeners = [{"name": name, "protocol": name, "tls": "starttls", "allow_plaintext": True} for name in WORDS]
    p = make(1, 1, listeners=listeners, timeouts={"hold": "300ms"})
    held = [log_in(p), log_in(p, USERS[1])]
    assert all(is_in(c) for c in held)
    clients = {name: imap.Lines(p.host, p.ports[name]) for name in WORDS}
    for name, client in clients.items():
        client.send(WORDS[name][0])
    for name, client in clients.items():
        client.until(WORDS[name][1])
    waiting(p, 0)
    failed = [e for e in p.ctl("event", "list", "type=failure")]
    assert len(failed) == 4 and {e["cause"] for e in failed} == {"backend-full"}, failed
    held.pop().close()
    wait.until(lambda: rows(p)["dc1"]["sessions"] + rows(p)["dc2"]["sessions"] == 1, "one session")
    assert clients["imap"].command("b", f"LOGIN {USERS[2]} {PASSWORD}")[-1].startswith("b OK")


def test_many_wait_and_leave(make):
    """200 logins in the queue, some of which are killed, some leave: the places that were there are there again."""
    p = make(2, 2, start=False)
    p.configure({"timeouts": {"hold": "60s"}})
    begin(p)
    inside = [log_in(p, USERS[i]) for i in range(4)]
    assert all(is_in(c) for c in inside)
    queue = [log_in(p, USERS[i % 6]) for i in range(200)]
    waiting(p, 200)
    p.ctl("user", "kick", USERS[5], "--yes")
    waiting(p, 200 - 33)
    for c in queue[:60]:
        c.close()
    for c in inside:
        c.close()
    wait.until(lambda: sum(r["sessions"] for r in rows(p).values()) == 4, "four that had waited")
    for c in queue[60:]:
        c.close()
    wait.until(lambda: all(r["sessions"] == 0 and r["in_flight"] == 0 for r in rows(p).values()), "nobody")
    waiting(p, 0)
    assert is_in(log_in(p))


def test_failed_logins_give_their_place_back(make_proxy, settings):
    """A backend that refuses, one that hangs up, one whose client leaves while it is asked."""
    answers = [" NO no\r\n", "", "wait"]

    def serve(client):
        client.sendall(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n")
        for line in client.makefile("rb"):
            tag, verb = line.split()[:2]
            if verb.upper() not in (b"LOGIN", b"AUTHENTICATE"):
                client.sendall(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\n" + tag + b" OK done\r\n")
                continue
            if answers[0] == "wait":
                client.recv(4096)
            elif answers[0]:
                client.sendall(tag + answers[0].encode())
            client.shutdown(socket.SHUT_RDWR)
            return

    server = Server(serve)
    pool = {"name": "main", "tls": "off", "check": {"enabled": False, "fall": 100},
            "backends": [{"name": "b1", "host": server.host, "ports": {"imap": server.port}, "max_sessions": 1}]}
    p = make_proxy({**settings, "pools": [pool], "timeouts": {"hold": "200ms"}})
    p.add_user(USERS[0], PASSWORD)
    while answers:
        for _ in range(3):
            c = log_in(p)
            if answers[0] == "wait":
                wait.until(lambda: rows(p)["b1"]["in_flight"] == 1, "the login under way")
            else:
                assert not is_in(c)
            c.close()
            wait.until(lambda: rows(p)["b1"]["in_flight"] == 0 and "full" not in rows(p)["b1"], "the place")
        answers.pop(0)
    assert "backend-full" not in str(p.ctl("event", "list", "type=failure"))
    server.close()


def test_sessions_of_an_old_engine_count(make, folder):
    p = make(1, 1, start=False)
    p.program = os.path.join(folder, "mailproxyd")
    install(p)
    begin(p)
    old = [log_in(p), log_in(p, USERS[1])]
    assert all(is_in(c) for c in old)
    p.ctl("system", "upgrade", "--wait")
    third = log_in(p, USERS[2])  # at once: before the old engine has told its places
    waiting(p, 1)
    wait.until(lambda: all(r.get("full") == "1 of 1" for r in rows(p).values()), "the old engine's sessions")
    old.pop().close()
    assert is_in(third)
    third.close()
    wait.until(lambda: sum(r["sessions"] for r in rows(p).values()) == 1, "one session")
    old.pop().close()


def test_an_engine_that_dies_holds_no_places(make):
    p = make(1, 1)
    clients = [log_in(p, user) for user in USERS[:2]]
    assert all(is_in(c) for c in clients)
    pid = p.engine_pid()
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the next engine")
    again = [log_in(p, user) for user in USERS[:2]]
    assert all(is_in(c) for c in again)


def test_a_slow_backend_is_seen_at_once(make_proxy, settings, dovecot1):
    """Beside a real server one that takes 400 ms for each answer, and refuses every other login."""
    n = iter(range(100))

    def serve(client):
        client.sendall(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n")
        for line in client.makefile("rb"):
            tag, verb = line.split()[:2]
            if verb.upper() in (b"LOGIN", b"AUTHENTICATE"):
                time.sleep(0.4)
                client.sendall(tag + (b" NO [UNAVAILABLE] not now\r\n" if next(n) % 2 else b" OK in\r\n"))
            else:
                client.sendall(tag + b" OK done\r\n")

    server = Server(serve)
    slow = {"name": "slow", "host": server.host, "ports": {"imap": server.port}}
    pool = {"name": "main", "tls": "off", "check": {"enabled": False, "fall": 100}, "backends": [backend(dovecot1), slow]}
    p = make_proxy({**settings, "pools": [pool]})
    p.add_user("slow@example.org", PASSWORD, backend="slow")
    p.add_user("fast@example.org", PASSWORD, backend="dc1", backend_user="u1@example.org")
    assert "p50" not in rows(p)["slow"] and "fail" not in rows(p)["slow"]
    for _ in range(4):
        is_in(log_in(p, "slow@example.org"))
        assert is_in(log_in(p, "fast@example.org"))
    now = wait.until(lambda: (lambda r: r if "p50" in r["slow"] and "p50" in r["dc1"] else None)(rows(p)), "both to be measured")
    assert 400 <= now["slow"]["p50"] <= 4000 and now["slow"]["p95"] >= now["slow"]["p50"] and now["slow"]["fail"] == 50
    assert now["dc1"]["p50"] < now["slow"]["p50"] and now["dc1"]["fail"] == 0
    for name in ("p50", "p95", "p99", "connect", "fail"):
        assert now["slow"][name + "_10m"] == now["slow"][name], name
    is_slow = now["slow"]["p95"] > 3 * now["dc1"]["p95"]  # the machine may be busy
    assert now["slow"].get("slow", "").endswith(f"the pool's median {now['dc1']['p95']} ms" if is_slow else "") and "slow" not in now["dc1"]
    assert sum(int(n) for n in wait.until(lambda: rows(p)["slow"].get("recent"), "a second").split()) <= 2
    assert now["slow"]["connect"] <= now["slow"]["p50"]
    stats = p.ctl("stats", "show", "--proto", "imap")
    assert 400 <= stats["p99"] and stats["fail"] == 25 and "p50" not in p.ctl("stats", "show", "--proto", "pop3")
    text = p.ctl_run("-o", "table", "backend", "list", "-c", "name,p50,p95,fail").stdout
    assert "P50" in text and "50" in text
    metrics = prometheus.parse(p.ctl("system", "metrics")["text"])
    (_, count), = metrics["mailproxy_server_login_duration_seconds"].series("_count", backend="slow")
    assert count == 2
    server.close()
