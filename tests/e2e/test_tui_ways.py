# SPDX-License-Identifier: ISC
"""mailproxy-tui: what an operator wants to know or to do, with its keystrokes, from one daemon with a day behind it."""
import os
import re
import time

import pytest
from conftest import site_settings
from harness import imap, wait
from harness.proxy import Proxy
from harness.screen import Screen
from harness.server import Server
from tui_case import USERS, login, open_screen  # noqa: F401

MANY = 4  # sessions of u1


def fail(p, user="u2@example.org"):
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.command("a", f'LOGIN "{user}" wrong')
    c.close()


@pytest.fixture(scope="module")
def site(root, dovecot1, dovecot2, server_cert):
    p = Proxy(os.path.join(root, "ways"), site_settings(dovecot1, dovecot2, server_cert)).start()
    for name, password in USERS.items():
        p.add_user(name, password)
    clients = [login(p) for _ in range(MANY)] + [login(p, "u2@example.org")]
    for _ in range(3):
        fail(p)
    fail(p, "star*@example.org")
    yield p
    for c in clients:
        c.close()
    p.stop()


@pytest.fixture
def tui(site, folder):
    s = Screen(folder, "-s", site.control, "-i", "250ms")
    s.until("main/dc1")
    yield s
    s.close()


def task(tui, most, *keys):
    """Presses keys, which are no more than an operator should need; each letter of a text is one."""
    pressed = sum(1 if re.fullmatch(r"[A-Z][A-Za-z]+|F\d+", k) else len(k) for k in keys)
    assert pressed <= most
    tui.keys(*keys)


def test_user_with_most_sessions(tui):
    task(tui, 3, "2", "g", "u")
    tui.until(r"groups by user  2")
    tui.until(rf"^ u1@example\.org +{MANY} +80%")
    # The group's sessions, and back the way that was come.
    tui.keys("Enter")
    tui.until(rf"sessions  {MANY}, \d in all  filter: user=u1@example\.org")
    tui.keys("BSpace")
    tui.until("groups by user")
    tui.keys("BSpace")
    tui.until(r"sessions  5")


def test_a_group_is_ended_by_its_filter(tui, site):
    tui.keys("9")
    tui.until(rf"u1@example\.org +{MANY}")
    tui.keys("x")
    tui.until(rf"End all {MANY} sessions that match user=u1@example\.org\?")
    tui.keys("y")
    tui.until(r"type 4|y")
    tui.keys("Escape")
    tui.until("nothing was done")
    assert len(site.sessions()) == MANY + 1
    tui.keys("g", "p")
    tui.until(r"^ imap +5")
    tui.keys("L")
    tui.until("this row has no user")


def test_one_clients_sessions(tui, site):
    tui.keys("2")
    tui.until("u2@example.org")
    tui.keys("/", "u2", "Enter")
    tui.until("filter: user=")
    tui.keys("f", "i")
    text = tui.until(r"filter: user=\*u2\* ip=127\.")
    assert "u2@example.org" in text
    tui.keys("*", "x")
    tui.until(r"End session|End \d sessions")
    tui.keys("Escape", "Escape", "Escape")


def test_one_clients_sessions_are_ended(tui, site):
    site.add_user("g1@example.org", "pw")
    far = [imap.Lines(site.host, site.ports["imap"], source="127.99.9.9") for _ in range(8)]
    for c in far:
        c.line()
        assert c.command("a", "LOGIN g1@example.org pw")[-1].startswith("a OK")
    first = ["9", "g", "i"]
    tui.keys(*first)
    tui.until(r"groups by address")
    tui.until(r"^ 127\.99\.9\.9 +8 ")
    tui.keys("x")
    tui.until(r"End all 8 sessions that match ip==?\S*127\.99\.9\.9")
    task(tui, 6 - len(first) - 1, "8", "Enter")
    tui.until("8 sessions ended")
    for c in far:
        assert "BYE" in c.rest().decode()
        c.close()
    wait.until(lambda: len(site.sessions()) == MANY + 1, "the end of that client's sessions")
    site.ctl("user", "remove", "g1@example.org", "--yes")
    tui.keys("g", "u")
    tui.until("groups by user")


def test_why_bob_cannot_log_in(tui):
    task(tui, 8, "4", "/", "u2", "Enter", "Enter")
    tui.until(r"users › user u2@example\.org")
    tui.until("Where a login would go now")
    tui.until(r"failure .*u2@example\.org")
    # A row of the page leads on.
    tui.until(r"Sessions: 1")
    tui.keys("Down", "Enter")
    tui.until(r"users › user u2@example\.org › session ")
    tui.keys("b")
    tui.until(r"› session \S+ › backend main/dc")
    tui.keys("BSpace", "BSpace")
    tui.until(r"^ users › user u2@example\.org +\d|^ users › user u2@example\.org *$")
    tui.keys("1")
    tui.until("PROTOCOL")


def test_failed_logins_live_and_ban(tui, site):
    task(tui, 2, "8")
    tui.until(r"failures by address, user and cause  2")
    tui.until(r"^ +3 +3 .* u2@example\.org +auth-failed: wrong password")
    fail(site)
    tui.until(r"^ +4 +4 .* u2@example\.org")
    tui.keys("B")
    tui.until(r"Lock out 127\.")
    tui.until("these stay; new connections and logins are refused")
    task(tui, 5 - 2, "y")
    tui.until(r"127\S+: locked out")
    subject = site.ctl("ban", "list")[0]["subject"]
    assert subject.startswith("127.")
    site.ctl("ban", "remove", subject)
    tui.keys("g", "c")
    tui.until(r"failures by cause")


def test_a_failure_and_its_end_are_one_row(tui, site):
    tui.keys("6", "/", "user=u2*", "Enter")
    tui.until("filter: user=u2")
    tui.keys("Escape")
    fail(site)
    tui.until(r"failure .* u2@example\.org .*auth-failed")
    tui.resize(160, 40)
    tui.until(r"failure .* u2@example\.org .*auth-failed: wrong password; client-closed after ")
    assert not tui.has(r" end +\S+ +- ")


def test_from_an_event_to_everything(tui):
    tui.keys("6", "/", "type=login user=u1*")
    tui.until(rf"^/type=login user=u1\* +{MANY}$")  # counted while it is typed
    tui.keys("Enter", "i")
    tui.until(r"events › address 127\.")
    tui.keys("BSpace")
    tui.until("filter: type=login")
    tui.keys("u")
    tui.until(r"events › user u1@example\.org")
    tui.keys("q", "E")
    tui.until("route explain u1@example.org")
    tui.keys("q", "Enter")
    tui.until("All of this session")


def test_a_name_with_a_star_is_that_name(tui):
    tui.keys("8", "/", "star", "Enter")
    tui.until(r"star\*@example\.org")
    tui.keys("f", "u")
    tui.until(r'filter: user=="star\*@example\.org"')
    text = tui.until(r"events  1 (.|\n)*TEXT(.|\n)*star\*@")
    assert "u1@" not in text.split("TEXT")[1]


def audited(site, command):
    return [a["args"] for a in site.ctl("audit", "list", f"command={command}")]


def test_a_user_is_locked(tui, site):
    site.add_user("u3@example.org", "pw")
    first = ["4", "/", "u3", "Enter"]
    tui.keys(*first)
    tui.until(r"users  1, 3 in all")
    tui.keys("L")
    tui.until(r"Lock out user u3@example\.org\?")
    task(tui, 8 - sum(map(len, first[:-1])) - 2, "y")
    tui.until(r"u3@example\.org +locked")
    site.ctl("user", "remove", "u3@example.org", "--yes")


def test_a_drain_with_a_rate(tui, site):
    tui.keys("3")
    tui.until(r"backends  2")
    tui.keys("d")
    tui.until(r"Drain backend main/dc1\?")
    task(tui, 14 - 2, "Tab", "Tab", "9m", "Tab", "5", "BTab", "BTab", "Enter")
    tui.until(r"^ dc1 .* drain")
    assert audited(site, "backend.drain") == ["deadline=9m rate=5 name=main/dc1"]
    for op in site.ctl("--allow-empty", "op", "list", "state=running"):
        site.ctl("op", "cancel", op["id"])
    site.ctl("backend", "ready", "dc1")
    assert len(site.sessions()) == MANY + 1


def test_columns_and_named_filters(tui, site, folder):
    """What was picked once is there the next time."""
    tui.keys("2", "w")
    tui.until(r"\[x\] PROTO")
    tui.keys("p")
    tui.until(r"\[ \] PROTO")
    tui.keys("l", "t", "v")
    tui.until(r"\[x\] VERB")
    tui.keys("Escape")
    text = tui.until(r"^ ID.* VERB ")
    assert " PROTO " not in text
    tui.keys("/", "user=u2*", "Enter", ":", "f mine", "Enter")
    tui.until("F finds this filter as mine")
    tui.keys("Escape")
    tui.until(r"sessions  5")
    tui.keys(":", "q", "Enter")
    assert tui.status() == 0
    s = Screen(folder, "-s", site.control, "-i", "250ms", "--screen", "sessions")
    try:
        text = s.until(r"^ ID.* VERB ")
        assert " PROTO " not in text
        s.keys("F")
        s.until(r"a +mine +user=u2\*")
        s.keys("a")
        s.until(r"sessions  1, 5 in all  filter: user=u2\*")
        s.keys("w", ".")
        s.until(r"^ ID.* PROTO ")
        s.keys(":", "f -mine", "Enter")
        s.until("forgotten: mine")
        s.keys("F")
        s.until("no filter of this list has a name")
    finally:
        s.close()


def test_own_commands(tui, folder):
    tui.keys("2", "s", "u")
    tui.until("USER▲")
    tui.keys("s", "u")
    tui.until("USER▼")
    tui.keys(":", "w saved.txt", "Enter")
    tui.until("saved as saved.txt")
    assert os.path.exists(os.path.join(folder, "saved.txt"))
    tui.keys(":", "q", "Enter")
    assert tui.status() == 0


def server(seconds):
    """An IMAP server that takes so long for a login."""
    def serve(client):
        client.sendall(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\r\n")
        with client.makefile("rb") as lines:
            for words in map(bytes.split, lines):
                if words[1].upper() in (b"LOGIN", b"AUTHENTICATE"):
                    time.sleep(seconds)
                client.sendall(words[0] + b" OK [CAPABILITY IMAP4rev1] done\r\n")
    return Server(serve)


def test_which_backend_is_slow(make_proxy, settings, open_screen):  # noqa: F811
    """It is seen on the smallest of usual screens, without a key, and by one among all of its list."""
    servers = {"quick": server(0), "swift": server(0), "tired": server(0.6)}
    settings["pools"] = [{"name": "main", "tls": "off", "check": {"enabled": False}, "balance": "round-robin",
                          "backends": [{"name": n, "host": s.host, "ports": {"imap": s.port}} for n, s in servers.items()]}]
    p = make_proxy(settings)
    p.add_user("u1@example.org", "pw")
    clients = [login(p) for _ in range(6)]
    wait.until(lambda: any(b.get("slow") for b in p.ctl("backend", "list")), "a slow backend")
    s = open_screen("-s", p.control, "-i", "250ms", size=(80, 24))
    s.until(r"! logins at backend main/tired are slow: p95 \d+ ms")
    s.until(r"^ main/tired .* \d{3,4}ms ")
    task(s, 1, "3")
    s.until(r"^ tired .* \d{3,4}ms ")
    for c in clients:
        c.close()
    for one in servers.values():
        one.close()
