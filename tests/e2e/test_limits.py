# SPDX-License-Identifier: ISC
"""Limits and bans as clients and operators see them: sessions, rates, failures, overrides, restarts."""
import base64
import json
import os
import signal
import socket
import threading
import time

import pytest
from conftest import backend
from harness import imap, net, wait
from harness.proxy import OPERATOR, CtlError

USER, PASSWORD = "u1@example.org", "pw"
OTHER = "u2@example.org"
FRONTS = ("imap", "pop3", "smtp")
GREETINGS = {"imap": "* OK", "pop3": "+OK", "smtp": "220 "}
# how a connection is refused, how a login is
REFUSED = {"imap": "* BYE [LIMIT] ", "pop3": "-ERR [IN-USE] ", "smtp": "421 4.7.0 "}
BANNED = {"imap": "* BYE [LIMIT] ", "pop3": "-ERR [LOGIN-DELAY] ", "smtp": "421 4.7.0 "}
NO_LOGIN = {"imap": "a NO [LIMIT] ", "pop3": "-ERR [IN-USE] ", "smtp": "454 4.7.0 "}
NO_LOGIN_BANNED = {"imap": "a NO [LIMIT] ", "pop3": "-ERR [LOGIN-DELAY] ", "smtp": "454 4.7.0 "}
WRONG = {"imap": "a NO [AUTHENTICATIONFAILED]", "pop3": "-ERR [AUTH]", "smtp": "535 5.7.8"}
WELCOME = {"imap": "a OK", "pop3": "+OK", "smtp": "235 "}


@pytest.fixture
def make(make_proxy, settings, dovecot1):
    def make(limits=None, **more):
        settings["listeners"] = [
            {"name": "imap", "protocol": "imap", "tls": "starttls", "allow_plaintext": True,
             "mechanisms": ["COMMAND", "PLAIN", "SCRAM-SHA-256"]},
            {"name": "imaps", "protocol": "imap", "tls": "implicit"},
            {"name": "pop3", "protocol": "pop3", "allow_plaintext": True},
            {"name": "smtp", "protocol": "smtp", "allow_plaintext": True},
        ]
        settings["pools"] = [{"name": "main", "tls": "off", "smtp_auth": True, "backends": [backend(dovecot1)]}]
        settings["resolver"] = {"enabled": False}
        settings["limits"] = limits or {}
        settings.update(more)
        p = make_proxy(settings)
        p.add_user(USER, PASSWORD)
        p.add_user(OTHER, PASSWORD)
        return p
    return make


class Client:
    def __init__(self, p, front="imap", source=None):
        self.front = front
        self.lines = imap.Lines(p.host, p.ports[front], source=source)
        self.greeting = self.lines.line()

    def ask(self, text):
        self.lines.send(text + "\r\n")
        return self.lines.line()

    def login(self, user=USER, password=PASSWORD):
        """The line that answers a login."""
        if self.front == "imap":
            return self.lines.command("a", f"LOGIN {user} {password}")[-1]
        if self.front == "pop3":
            assert self.ask(f"USER {user}").startswith("+OK")
            return self.ask(f"PASS {password}")
        self.lines.send("EHLO client.test\r\n")
        self.lines.until("250 ")
        token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        return self.ask(f"AUTH PLAIN {token}")

    def is_welcome(self):
        return self.greeting.startswith(GREETINGS[self.front])

    def is_closed(self):
        return self.lines.rest() == b""

    def close(self):
        self.lines.close()


def subject(p, name):
    return next((r for r in p.ctl("limit", "list") if r["subject"] == name), None)


def wait_for_sessions(p, name, n):
    wait.until(lambda: (subject(p, name) or {"sessions": 0})["sessions"] == n, f"{n} sessions of {name}")


def all_gone(p):
    """Nothing is counted any more."""
    wait.until(lambda: not [r for r in p.ctl("limit", "list") if r.get("sessions")], "the counts at 0")


# ---- sessions ----

@pytest.mark.parametrize("front", FRONTS)
def test_sessions_in_all(make, front):
    p = make({"sessions": 2})
    first, second = Client(p, front), Client(p, "imap")
    assert first.is_welcome() and second.is_welcome()
    third = Client(p, front)
    assert third.greeting.startswith(REFUSED[front]) and third.is_closed()
    first.close()
    wait.until(lambda: Client(p, front).is_welcome(), "room for another client")
    wait.until(lambda: p.ctl("stats", "show")["limited"] >= 1, "the counter")
    assert "session-limit" in p.whole_log()


@pytest.mark.parametrize("front", FRONTS)
def test_sessions_of_an_address(make, front):
    p = make({"sessions_per_ip": 2})
    first, second = Client(p, front, "127.0.0.5"), Client(p, front, "127.0.0.5")
    third = Client(p, front, "127.0.0.5")
    assert third.greeting == REFUSED[front] + "Too many connections from your address." and third.is_closed()
    other = Client(p, front, "127.0.0.6")
    assert first.is_welcome() and second.is_welcome() and other.is_welcome()
    row = subject(p, "127.0.0.5")
    assert (row["kind"], row["sessions"], row["max_sessions"], row["refused"]) == ("address", 2, 2, 1)
    first.close()
    wait_for_sessions(p, "127.0.0.5", 1)
    assert Client(p, front, "127.0.0.5").is_welcome()
    assert p.whole_log().count("client-refused") == 1


def test_implicit_tls_is_closed_without_words(make):
    p = make({"sessions_per_ip": 1})
    first = Client(p, "imap")
    with pytest.raises(OSError):
        imap.tls(p.host, p.ports["imaps"])
    first.close()
    wait.until(lambda: not p.sessions(), "the end of the first")
    imap.tls(p.host, p.ports["imaps"]).logout()


@pytest.mark.parametrize("front", FRONTS)
def test_sessions_of_a_user(make, front):
    p = make({"sessions_per_user": 1})
    first = Client(p, "imap")
    assert first.login().startswith("a OK")
    second = Client(p, front)
    assert second.login() == NO_LOGIN[front] + "Too many connections of this user."
    other = Client(p, front)
    assert other.login(OTHER).startswith(WELCOME[front])
    row = subject(p, USER)
    assert (row["kind"], row["sessions"], row["max_sessions"], row["refused"]) == ("user", 1, 1, 1)
    first.close()
    wait_for_sessions(p, USER, 0)
    assert second.login().startswith(WELCOME[front]), "the refused client may try again"
    for c in (second, other):
        c.close()
    all_gone(p)


def test_own_limit_of_a_user(make):
    p = make()
    p.ctl("user", "set", USER, "--max-sessions", "2")
    clients = [Client(p) for _ in range(3)]
    answers = [c.login() for c in clients]
    assert [a.startswith("a OK") for a in answers] == [True, True, False]
    assert answers[2] == NO_LOGIN["imap"] + "Too many connections of this user."
    assert subject(p, USER)["max_sessions"] == 2
    other = Client(p)
    assert other.login(OTHER).startswith("a OK")


def test_limits_from_a_reload(make):
    p = make()
    clients = [Client(p, source="127.0.0.5") for _ in range(3)]
    assert all(c.is_welcome() for c in clients)
    p.configure({"limits": {"sessions_per_ip": 3, "sessions_per_user": 1}})
    p.ctl("config", "reload")
    assert not Client(p, source="127.0.0.5").is_welcome(), "sessions from before the reload count"
    assert clients[0].login().startswith("a OK")
    assert clients[1].login() == NO_LOGIN["imap"] + "Too many connections of this user."
    p.configure({"limits": {"sessions_per_ip": 0, "sessions_per_user": 0}})
    p.ctl("config", "reload")
    assert Client(p, source="127.0.0.5").is_welcome()
    assert clients[1].login().startswith("a OK")


def test_login_rate(make):
    p = make({"login_rate": 2})
    for _ in range(2):
        c = Client(p, source="127.0.0.5")
        assert c.login().startswith("a OK")
        c.close()
    for front in FRONTS:
        c = Client(p, front, "127.0.0.5")
        assert c.login() == NO_LOGIN[front] + "Too many logins from your address, try again later."
        c.close()
    assert Client(p, source="127.0.0.6").login().startswith("a OK")
    row = subject(p, "127.0.0.5")
    assert row["login_rate"] == 2 and row["logins"] == 2 and row["refused"] == 3
    p.ctl("limit", "clear", "127.0.0.5")
    assert Client(p, source="127.0.0.5").login().startswith("a OK")


# ---- failures ----

def test_delay_grows(make):
    p = make({"failures_before_delay": 1})
    c = Client(p, source="127.0.0.5")
    begin = time.monotonic()
    assert c.login(password="wrong1").startswith(WRONG["imap"])
    middle = time.monotonic()
    assert c.login(password="wrong2").startswith(WRONG["imap"])
    end = time.monotonic()
    assert middle - begin < 1.5 and end - middle >= 2
    row = subject(p, "127.0.0.5")
    assert row["failures"] == 2 and row["delay"] > 3000
    assert p.ctl("limit", "clear", "127.0.0.5")["changed"]
    begin = time.monotonic()
    assert c.login(password="wrong3").startswith(WRONG["imap"])
    assert time.monotonic() - begin < 1.5
    assert c.login().startswith("a OK")


@pytest.mark.parametrize("front", FRONTS)
def test_ban_after_failures(make, front):
    p = make({"failures_before_ban": 2, "ban": "1h"})
    events = Watcher(p)
    bystander = Client(p, source="127.0.0.5")
    c = Client(p, front, "127.0.0.5")
    assert c.login(password="wrong1").startswith(WRONG[front])
    assert c.login(password="wrong2").startswith(WRONG[front])
    assert c.lines.line() == BANNED[front] + "Too many failures, try again later."
    assert c.is_closed()
    again = Client(p, front, "127.0.0.5")
    assert again.greeting == BANNED[front] + "Too many failures, try again later." and again.is_closed()
    assert bystander.login() == NO_LOGIN_BANNED["imap"] + "Too many failures, try again later."
    assert Client(p, front, "127.0.0.6").is_welcome()
    row, = p.ctl("ban", "list")
    assert (row["subject"], row["by"], row["kind"], row["hits"]) == ("127.0.0.5", "failures", "address", 2)
    assert 3500000 < row["left"] <= 3600000
    assert events.wait("ban")["text"] == "127.0.0.5 is banned for 1h00m after 2 failed logins"
    wait.until(lambda: [r for r in p.ctl("audit", "list") if r["command"] == "ban.add" and r["args"] == "127.0.0.5"
                        and r["user"] == "mailproxy" and r["reason"] == "2 failed logins"], "the audit")
    assert p.ctl("ban", "remove", "127.0.0.5")["changed"]
    assert Client(p, front, "127.0.0.5").login().startswith(WELCOME[front])
    events.close()


def test_repeated_credentials_count_once(make):
    p = make({"failures_before_ban": 3})
    for _ in range(3):
        c = Client(p, source="127.0.0.5")
        for _ in range(3):
            assert c.login(password="old").startswith(WRONG["imap"])
        c.close()
    assert p.ctl("ban", "list") == [] and subject(p, "127.0.0.5")["failures"] == 1


def test_trusted_networks(make):
    p = make({"failures_before_ban": 1, "sessions_per_ip": 1, "login_rate": 1, "trusted": ["127.0.0.4/30"]})
    clients = [Client(p, source="127.0.0.5") for _ in range(3)]
    for c in clients:
        assert c.login(password="wrong").startswith(WRONG["imap"])
        assert c.login().startswith("a OK")
    assert subject(p, "127.0.0.5")["trusted"]
    assert p.ctl("ban", "list") == []


def test_scram_failures_count(make):
    p = make({"failures_before_ban": 2})
    c = Client(p, source="127.0.0.5")
    for i in range(2):
        first = base64.b64encode(f"n,,n={USER},r=nonce{i}".encode()).decode()
        c.lines.send(f"a AUTHENTICATE SCRAM-SHA-256 {first}\r\n")
        challenge = base64.b64decode(c.lines.until("+ ")[-1][2:]).decode()
        nonce = challenge.split(",")[0]
        c.lines.send(base64.b64encode(f"c=biws,{nonce},p={'A' * 43}=".encode()).decode() + "\r\n")
        assert c.lines.until("a ")[-1].startswith(WRONG["imap"])
    assert c.lines.line().startswith(BANNED["imap"])


def test_spraying(make):
    """One try for each user, never enough failures for a ban: the users are counted."""
    p = make({"failures_before_ban": 100, "users_before_ban": 6, "spray_window": "24h", "ban": "1h"})
    events = Watcher(p)
    for i in range(30):
        c = Client(p, source="127.0.0.5")
        if not c.is_welcome():
            break
        assert c.login(f"user{i}@example.org", "Spring2026").startswith(WRONG["imap"])
        c.close()
    assert i == 6
    row, = p.ctl("ban", "list")
    assert row["subject"] == "127.0.0.5"
    assert " is banned for 1h00m after failed logins of 6 users" in events.wait("ban")["text"]
    row = subject(p, "127.0.0.5")
    assert row["failed_users"] == 6 and row["failures"] == 0
    events.close()


def test_guessing_at_a_user(make):
    """Ever other passwords from ever other addresses: the answers slow down for that user, who is not locked out."""
    p = make({"passwords_before_delay": 3, "spray_window": "24h"})
    events = Watcher(p)
    slow = 0
    for i in range(5):
        begin = time.monotonic()
        c = Client(p, source=f"127.0.0.{20 + i}")
        assert c.login(password=f"wrong{i}").startswith(WRONG["imap"])
        slow += time.monotonic() - begin >= 2
        c.close()
    assert slow == 2
    event = events.wait("guessing")
    assert event["user"] == USER and event["text"] == "4 wrong passwords from 4 addresses"
    row = subject(p, USER)
    assert (row["kind"], row["failures"], row["addresses"]) == ("user", 5, 5)
    assert "user-guessed-at user=u1@example.org passwords=4 addresses=4" in p.whole_log()
    assert Client(p, source="127.0.0.30").login().startswith("a OK")
    assert p.ctl("limit", "clear", USER)["changed"] and "failures" not in (subject(p, USER) or {})
    events.close()


# ---- bans by hand ----

class Watcher:
    """event watch."""

    def __init__(self, p):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(p.control)
        self.file = self.sock.makefile("rb")
        self.file.readline()
        self.sock.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "event.watch", "params": {}}).encode() + b"\n")
        self.file.readline()

    def wait(self, kind):
        while True:
            event = json.loads(self.file.readline())["params"]
            if event["type"] == kind:
                return event

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.mark.parametrize("front", FRONTS)
def test_ban_of_an_address(make, front):
    p = make()
    before = Client(p, front, "127.0.0.5")
    done = p.ctl("ban", "add", "127.0.0.4/30", "--yes", "--text", "Call the help desk.", "--for", "1h", "--reason", "abuse")
    assert done["count"] == 1 and done["changed"]
    c = Client(p, front, "127.0.0.5")
    assert c.greeting == BANNED[front] + "Call the help desk." and c.is_closed()
    assert before.login() == NO_LOGIN_BANNED[front] + "Call the help desk."
    assert Client(p, front, "127.0.0.9").is_welcome()
    row, = p.ctl("ban", "list")
    assert row["kind"] == "network" and row["by"] == OPERATOR and row["text"] == "Call the help desk." and row["hits"] == 2
    assert p.ctl("limit", "show", "127.0.0.5")["ban"] == "127.0.0.4/30"
    assert "127.0.0.4/30 is banned until" in p.ctl("route", "explain", USER, "--ip", "127.0.0.5")["verdict"]
    assert p.ctl("ban", "remove", "127.0.0.4/30")["changed"]
    assert not p.ctl("ban", "remove", "127.0.0.4/30")["changed"], "twice is no error"
    assert Client(p, front, "127.0.0.5").is_welcome() and before.login().startswith(WELCOME[front])


def test_ban_of_a_user(make):
    p = make()
    before = Client(p)
    assert before.login().startswith("a OK")
    p.ctl("ban", "add", USER.upper())
    for front in FRONTS:
        assert Client(p, front).login() == NO_LOGIN_BANNED[front] + "Too many failures, try again later."
    assert Client(p).login(OTHER).startswith("a OK")
    assert before.lines.command("b", "NOOP")[-1].startswith("b OK"), "sessions that are there stay"
    row, = p.ctl("ban", "list", "kind=user")
    assert row["subject"] == USER and row["hits"] == 3 and "until" not in row
    assert "is banned" in p.ctl("route", "explain", USER)["verdict"]
    p.ctl("ban", "remove", USER)
    assert Client(p).login().startswith("a OK")


def test_ban_ends_by_itself(make):
    p = make()
    events = Watcher(p)
    p.ctl("ban", "add", "127.0.0.5", "--for", "1500ms")
    assert not Client(p, source="127.0.0.5").is_welcome()
    wait.until(lambda: Client(p, source="127.0.0.5").is_welcome(), "the end of the ban", step=0.1)
    assert p.ctl("ban", "list") == []
    assert events.wait("ban")["text"].endswith(f"is banned by {OPERATOR}")
    assert events.wait("ban")["text"] == "the ban of 127.0.0.5 is over"
    events.close()


def test_ban_clear_and_filters(make):
    p = make({"failures_before_ban": 1})
    p.ctl("ban", "add", "--yes", "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "someone", "user:10.0.0.1")
    assert Client(p, source="127.0.0.5").login(password="wrong").startswith(WRONG["imap"])
    wait.until(lambda: len(p.ctl("ban", "list")) == 6, "six bans")
    assert {r["subject"] for r in p.ctl("ban", "list", "kind=user")} == {"someone", "user:10.0.0.1"}
    assert [r["subject"] for r in p.ctl("ban", "list", "by=failures")] == ["127.0.0.5"]
    assert [r["subject"] for r in p.ctl("ban", "list", "10.0.0.0/8")] == ["10.0.0.0/8"]
    names = [r["subject"] for r in p.ctl("ban", "list", "--sort", "subject")]
    assert names == sorted(names, key=str.lower)
    with pytest.raises(CtlError):
        p.ctl("ban", "clear")
    assert p.ctl("ban", "clear", "by=failures", "--dry-run")["count"] == 1
    assert p.ctl("ban", "clear", "by=failures", "--yes")["count"] == 1
    assert len(p.ctl("ban", "list")) == 5
    with pytest.raises(CtlError):
        p.ctl("ban", "clear", "--all", "--max", "4", "--yes")
    assert len(p.ctl("ban", "list")) == 5
    assert p.ctl("ban", "clear", "--all", "--yes")["count"] == 5
    assert p.ctl("ban", "list") == []
    with pytest.raises(CtlError) as e:
        p.ctl("ban", "clear", "--all", "--yes")
    assert e.value.status == 3, "nothing matched"


@pytest.mark.parametrize("args", [["10.0.0.1/8"], ["10.0.0.0/33"], ["10.0.0.1:25"], ["", "10.0.0.1"], ["10.0.0.1", "a\nb"]])
def test_ban_of_nonsense(make, args):
    p = make()
    with pytest.raises(CtlError) as e:
        p.ctl("ban", "add", *args)
    assert e.value.status in (1, 2) and p.ctl("ban", "list") == []


# ---- restarts ----

def kill_engine(p):
    old = p.engine_pid()
    os.kill(old, signal.SIGKILL)

    def is_back():
        try:
            return p.engine_pid() != old
        except CtlError:
            return False
    wait.until(is_back, "the next engine")


def test_bans_and_overrides_survive_kill_9(make):
    p = make({"failures_before_ban": 1, "ban": "1h"})
    assert Client(p, source="127.0.0.5").login(password="wrong").startswith(WRONG["imap"])
    wait.until(lambda: [r for r in p.ctl("audit", "list") if r["user"] == "mailproxy"], "the ban in the store")
    p.ctl("ban", "add", "127.0.0.16/30", "--yes", "--text", "No.")
    p.ctl("ban", "add", OTHER, "--for", "2h")
    p.ctl("limit", "set", USER, "--sessions", "1")
    before = {r["subject"]: r for r in p.ctl("ban", "list")}
    kill_engine(p)
    after = {r["subject"]: r for r in p.ctl("ban", "list")}
    assert set(after) == set(before) == {"127.0.0.5", "127.0.0.16/30", OTHER}
    for name, row in after.items():
        for key in ("by", "kind", "created", "until", "text"):
            assert row.get(key) == before[name].get(key), (name, key)
    assert not Client(p, source="127.0.0.5").is_welcome()
    assert Client(p, source="127.0.0.17").greeting == BANNED["imap"] + "No."
    assert Client(p).login(OTHER).startswith(NO_LOGIN_BANNED["imap"])
    first, second = Client(p), Client(p)
    assert first.login().startswith("a OK") and second.login().startswith(NO_LOGIN["imap"])
    p.ctl("ban", "clear", "--all", "--yes")
    p.ctl("limit", "clear", USER)
    kill_engine(p)
    assert p.ctl("ban", "list") == []
    assert Client(p, source="127.0.0.5").login().startswith("a OK")


# ---- overrides ----

def test_override_of_an_address(make):
    p = make({"sessions_per_ip": 1})
    p.ctl("limit", "set", "127.0.0.5", "--sessions", "2", "--for", "1h", "--reason", "office")
    row = subject(p, "127.0.0.5")
    assert row["override"] and row["max_sessions"] == 2 and row["left"] > 3500000
    clients = [Client(p, source="127.0.0.5") for _ in range(3)]
    assert [c.is_welcome() for c in clients] == [True, True, False]
    p.ctl("limit", "set", "127.0.0.5", "--sessions", "0")
    assert Client(p, source="127.0.0.5").is_welcome()
    assert [r["subject"] for r in p.ctl("limit", "list", "override=yes")] == ["127.0.0.5"]
    assert p.ctl("limit", "clear", "127.0.0.5")["changed"]
    assert not Client(p, source="127.0.0.5").is_welcome()


def test_override_of_failures(make):
    """An office behind one address whose old printer fails all day: no ban while it is being mended."""
    p = make({"failures_before_ban": 2, "sessions_per_ip": 5})
    p.ctl("limit", "set", "127.0.0.5", "--failures", "0", "--for", "1h", "--reason", "ticket 4711")
    # What a second command does not name stays.
    p.ctl("limit", "set", "127.0.0.5", "--sessions", "1", "--for", "1h")
    for i in range(5):
        client = Client(p, source="127.0.0.5")
        assert client.login(password=f"wrong{i}").startswith(WRONG["imap"])
        client.close()
        all_gone(p)
    assert p.ctl("ban", "list") == []
    row = p.ctl("limit", "show", "127.0.0.5")
    assert row["max_failures"] == 0 and row["max_sessions"] == 1 and row["override"] is True
    assert p.ctl("limit", "show", "127.0.0.6")["max_failures"] == 2
    kill_engine(p)
    assert p.ctl("limit", "show", "127.0.0.5")["max_failures"] == 0
    p.ctl("limit", "clear", "127.0.0.5")
    for i in range(2):
        Client(p, source="127.0.0.5").login(password=f"wrong{i}")
    wait.until(lambda: [r["subject"] for r in p.ctl("ban", "list")] == ["127.0.0.5"], "the ban")
    with pytest.raises(CtlError):
        p.ctl("limit", "set", USER, "--failures", "5")


def test_override_of_a_user(make):
    p = make({"sessions_per_user": 1})
    clients = [Client(p) for _ in range(3)]
    assert clients[0].login().startswith("a OK")
    assert clients[1].login().startswith(NO_LOGIN["imap"])
    p.ctl("limit", "set", USER, "--sessions", "2", "--for", "2s")
    assert clients[1].login().startswith("a OK")
    wait.until(lambda: not [r for r in p.ctl("limit", "list") if r["override"]], "the end of the override")
    assert clients[2].login().startswith(NO_LOGIN["imap"])
    with pytest.raises(CtlError):
        p.ctl("limit", "set", USER, "--login-rate", "5")
    with pytest.raises(CtlError):
        p.ctl("limit", "set", USER)


# ---- the PROXY protocol ----

def proxied(p, src, listener="imap"):
    c = imap.Lines(p.host, p.ports[listener])
    family, dst = ("TCP6", "2001:db8::1") if ":" in src else ("TCP4", "192.0.2.1")
    c.send(f"PROXY {family} {src} {dst} 4711 143\r\n")
    return c, c.line()


def test_addresses_of_proxy_headers(make, settings):
    p = make({"sessions_per_ip": 1, "failures_before_ban": 2})
    for listener in p.settings["listeners"]:
        listener["proxy_protocol"] = ["127.0.0.0/8"]
    p.configure({})
    p.ctl("config", "reload")
    first, line = proxied(p, "198.51.100.7")
    assert line.startswith("* OK")
    for front in FRONTS:
        _, line = proxied(p, "198.51.100.7", front)
        assert line == REFUSED[front] + "Too many connections from your address."
    second, line = proxied(p, "198.51.100.8")
    assert line.startswith("* OK"), "the load balancer's own address does not count"
    assert subject(p, "198.51.100.7")["sessions"] == 1
    first.close()
    wait_for_sessions(p, "198.51.100.7", 0)
    for word in ("wrong1", "wrong2"):
        assert second.command("a", f"LOGIN {USER} {word}")[-1].startswith(WRONG["imap"])
    assert second.line().startswith(BANNED["imap"])
    _, line = proxied(p, "198.51.100.8")
    assert line.startswith(BANNED["imap"])
    assert [r["subject"] for r in p.ctl("ban", "list")] == ["198.51.100.8"]
    with pytest.raises(OSError):
        c = imap.Lines(p.host, p.ports["imaps"])
        c.send("PROXY TCP4 198.51.100.8 192.0.2.1 4711 993\r\n")
        imap.context().wrap_socket(c.sock)
    all_gone(p)


def test_slips_of_an_operator(make):
    """A slip must not lock out for ever, nor somebody else."""
    p = make()
    for args in (("ban", "add", "127.0.0.5", "--for", "0s"), ("limit", "set", "127.0.0.5", "--sessions", "1", "--for", "0s"),
                 ("user", "lock", USER, "--until", "0s", "--yes"), ("limit", "set", "300.1.1.1", "--sessions", "3"),
                 ("ban", "add", "10.0.0.256"), ("ban", "add", "10.0.0"), ("ban", "add", "1::2::3")):
        with pytest.raises(CtlError) as e:
            p.ctl(*args)
        assert e.value.status == 2, args
    assert p.ctl("ban", "list") == [] and p.ctl("user", "show", USER)["state"] == "active"
    p.ctl("ban", "add", "4711", "user:10.0.0.256")
    assert {(r["subject"], r["kind"]) for r in p.ctl("ban", "list")} == {("4711", "user"), ("user:10.0.0.256", "user")}


def test_addresses_of_one_subscriber(make, settings):
    """A /64 is one subscriber: its addresses share limits, overrides and bans."""
    p = make({"sessions_per_ip": 1, "failures_before_ban": 2})
    for listener in p.settings["listeners"]:
        listener["proxy_protocol"] = ["127.0.0.0/8"]
    p.configure({})
    p.ctl("config", "reload")
    first, line = proxied(p, "2001:db8:1:2::3")
    assert line.startswith("* OK")
    assert proxied(p, "2001:db8:1:2:ffff::4")[1] == REFUSED["imap"] + "Too many connections from your address."
    other, line = proxied(p, "2001:db8:1:3::3")
    assert line.startswith("* OK")
    assert subject(p, "2001:db8:1:2::/64")["sessions"] == 1
    p.ctl("limit", "set", "2001:db8:1:2:aaaa::9", "--sessions", "2", "--for", "1h")
    row = p.ctl("limit", "show", "2001:db8:1:2:bbbb::1")
    assert row["max_sessions"] == 2 and row["override"] is True
    second, line = proxied(p, "2001:db8:1:2:ffff::4")
    assert line.startswith("* OK")
    assert first.command("a", f"LOGIN {USER} wrong1")[-1].startswith(WRONG["imap"])
    assert second.command("a", f"LOGIN {USER} wrong2")[-1].startswith(WRONG["imap"])
    assert second.line().startswith(BANNED["imap"])
    assert [r["subject"] for r in p.ctl("ban", "list")] == ["2001:db8:1:2::/64"]
    assert proxied(p, "2001:db8:1:2::5")[1].startswith(BANNED["imap"])
    assert proxied(p, "2001:db8:1:4::5")[1].startswith("* OK")
    second.close()
    wait_for_sessions(p, "2001:db8:1:2::/64", 1)
    p.ctl("ban", "remove", "2001:db8:1:2::/64")
    assert proxied(p, "2001:db8:1:2::5")[1].startswith("* OK")
    first.close()
    other.close()


# ---- counts ----

def test_a_failed_backend_login_gives_its_place_back(make):
    host = net.address()
    p = make({"sessions_per_user": 1}, pools=[{"name": "main", "tls": "off", "max_tries": 1, "check": {"enabled": False}, "backends": [
        {"name": "gone", "host": host, "ports": {"imap": net.port(host)}}]}])
    c = Client(p)
    for _ in range(3):
        assert c.login().startswith("a NO [UNAVAILABLE]")
    wait_for_sessions(p, USER, 0)
    c.close()
    all_gone(p)


def test_counts_after_a_storm(make):
    """Clients that come, log in, fail and vanish at any moment leave no count behind."""
    p = make({"sessions_per_user": 5, "sessions_per_ip": 100, "login_rate": 100000, "failures_before_delay": 1000})

    def storm(n):
        for i in range(20):
            try:
                c = Client(p, FRONTS[(n + i) % 3], f"127.0.1.{n + 1}")
                if not c.is_welcome():
                    continue
                what = (n * 7 + i) % 5
                if what == 0:
                    c.lines.send(f"a LOGIN {USER} {PASSWORD}\r\n")
                elif what == 1:
                    c.login()
                elif what == 2:
                    c.login(password="wrong")
                elif what == 3:
                    c.login(OTHER)
                    c.lines.send("b NOOP\r\n")
                c.close()
            except (OSError, AssertionError):
                pass

    threads = [threading.Thread(target=storm, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait.until(lambda: not p.sessions(), "the end of all sessions")
    all_gone(p)
    assert p.ctl("stats", "show")["logins"] > 0


def test_a_login_that_is_judged_again_counts_once(make, dovecot1, dovecot2):
    """Held by its backend, then moved: the same session is admitted twice and takes one place."""
    p = make({"sessions_per_user": 1}, pools=[{"name": "main", "tls": "off", "backends": [backend(dovecot1), backend(dovecot2)]}])
    p.ctl("user", "set", USER, "--backend", "dc1")
    p.ctl("backend", "hold", "dc1")
    c = Client(p)
    c.lines.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    wait.until(lambda: p.sessions("state=held"), "the held login")
    p.ctl_run("user", "move", USER, "--to", "dc2", "--wait")
    assert c.lines.until("a ")[-1].startswith("a OK")
    assert p.sessions()[0]["backend"] == "dc2"
    assert Client(p).login().startswith(NO_LOGIN["imap"])
    c.lines.close()
    wait.until(lambda: Client(p).login().startswith("a OK"), "the place")
