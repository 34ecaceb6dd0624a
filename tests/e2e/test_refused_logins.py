# SPDX-License-Identifier: ISC
"""Logins that are refused before anybody judges them: each has one line and one event, and nobody is banned for them."""
import os

import pytest
from harness import imap, wait
from harness.control import Control
from harness.proxy import Proxy
from test_explain import explain, fail2ban

PLAIN = "AHUAcA=="  # u, p
# The listener, what the client says, what it is answered, and of the line: cause, user, mechanism (or the protocol's own command).
TRIES = {
    "imap login": ("imap", ["a LOGIN clear@x.test secret"], "a NO [PRIVACYREQUIRED]", "tls-required", "clear@x.test", "login-command"),
    "imap literal password": ("imap", ["a LOGIN sync@x.test {6}"], "a NO [PRIVACYREQUIRED]", "tls-required", "sync@x.test", "login-command"),
    "imap literal user": ("imap", ["a LOGIN {6}"], "a NO [PRIVACYREQUIRED]", "tls-required", "", "login-command"),
    "imap no name": ("imap", ["a LOGIN"], "a NO [PRIVACYREQUIRED]", "tls-required", "", "login-command"),
    "imap plain": ("imap", ["a AUTHENTICATE PLAIN " + PLAIN], "a NO [PRIVACYREQUIRED]", "tls-required", "", "plain"),
    "imap unknown": ("imap", ["a AUTHENTICATE NONSENSE"], "a NO [CANNOT]", "mech-disabled", "", "none"),
    "imap external": ("imap", ["a AUTHENTICATE EXTERNAL ="], "a NO [CANNOT]", "mech-disabled", "", "external"),
    "imap base64": ("imap", ["a AUTHENTICATE CRAM-MD5", "%"], "a BAD", "auth-bad-response", "", "cram-md5"),
    "imap initial base64": ("open", ["a AUTHENTICATE PLAIN %"], "a BAD", "auth-bad-response", "", "plain"),
    "imap empty password": ("open", ['a LOGIN empty@x.test ""'], "a NO [AUTHENTICATIONFAILED]", "auth-failed", "empty@x.test", "login-command"),
    "imap before required tls": ("must", ["a LOGIN must@x.test secret"], "a NO [PRIVACYREQUIRED]", "tls-required", "must@x.test", "login-command"),
    "pop3 user": ("pop3", ["USER pop@x.test"], "-ERR Encryption", "tls-required", "pop@x.test", "user-pass"),
    "pop3 user and pass": ("pop3", ["USER both@x.test", "PASS secret"], "-ERR Encryption", "tls-required", "both@x.test", "user-pass"),
    "pop3 pass alone": ("pop3", ["PASS secret"], "-ERR Encryption", "tls-required", "", "user-pass"),
    "pop3 plain": ("pop3", ["AUTH PLAIN " + PLAIN], "-ERR Encryption", "tls-required", "", "plain"),
    "pop3 apop": ("pop3", ["APOP apop@x.test 0123456789abcdef0123456789abcdef"], "-ERR Auth", "mech-disabled", "apop@x.test", "apop"),
    "smtp plain": ("smtp", ["EHLO c.test", "AUTH PLAIN " + PLAIN], "538 5.7.11", "tls-required", "", "plain"),
    "smtp unknown": ("smtp", ["EHLO c.test", "AUTH NONSENSE"], "504 5.5.4", "mech-disabled", "", "none"),
    "smtp before starttls": ("submission", ["EHLO c.test", "AUTH LOGIN"], "530 5.7.0", "tls-required", "", "plain"),
    "sieve plain": ("sieve", [f'AUTHENTICATE "PLAIN" "{PLAIN}"'], "NO (ENCRYPT-NEEDED)", "tls-required", "", "plain"),
    "sieve unknown": ("sieve", ['AUTHENTICATE "NONSENSE"'], "NO ", "mech-disabled", "", "none"),
}
# What is no try to log in has no such line.
OTHERS = {
    "smtp mail": ("submission", ["EHLO c.test", "MAIL FROM:<a@x.test>"], "530 5.7.0"),
    "sieve put": ("sieve", ["LISTSCRIPTS"], "NO "),
    "imap unknown": ("imap", ["a SELECT INBOX"], "a BAD"),
}


@pytest.fixture(scope="module")
def shared(root, server_cert):
    cert, key = server_cert
    clear = {"tls": "starttls", "mechanisms": ["PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL"]}
    p = Proxy(os.path.join(root, "refused"), {
        "tls": {"certificates": [{"cert": cert, "key": key}]},
        "listeners": [
            {"name": "imap", "protocol": "imap", **clear},
            {"name": "open", "protocol": "imap", "tls": "starttls", "allow_plaintext": True},
            {"name": "must", "protocol": "imap", "tls": "required"},
            {"name": "pop3", "protocol": "pop3", "tls": "starttls"},
            {"name": "smtp", "protocol": "smtp", "tls": "starttls"},
            {"name": "submission", "protocol": "smtp", "tls": "required"},
            {"name": "sieve", "protocol": "sieve", "tls": "starttls"},
        ],
        "limits": {"failures_before_ban": 3},
        "auth": [{"type": "users"}],
        "pools": [{"name": "main", "tls": "off", "backends": [{"name": "b", "host": "127.0.0.1", "ports": {"imap": 1}}],
                   "check": {"enabled": False}}],
    }).start()
    yield p
    p.stop()


def say(p, listener, commands, answer):
    """What the log has of logins that failed in the session of a client that got its answer and has gone."""
    c = imap.Lines(p.host, p.ports[listener])
    for command in commands:
        c.send(command + "\r\n")
    c.until(answer)
    for command in commands[:-1]:
        if command.startswith("USER "):
            c.until("-ERR")  # what it says of PASS, too
    port = c.sock.getsockname()[1]
    c.close()
    wait.until(lambda: not p.sessions(), "the end of the session")
    return [x for x in p.whole_log().split("\n") if " login-failed " in x and f":{port} " in x]


def event_of(p, session):
    r = Control(p.control)
    r.call("event.watch", filter=f"type=failure session={session}", last=10)
    event = r.receive()["params"]
    r.close()
    return event


@pytest.mark.parametrize("name", TRIES)
def test_try(shared, name):
    listener, commands, answer, cause, user, mechanism = TRIES[name]
    lines = say(shared, listener, commands, answer)
    assert len(lines) == 1, lines
    words = dict(w.split("=", 1) for w in lines[0].split(" login-failed ")[1].split(" ") if "=" in w)
    assert words["cause"] == cause and words["listener"] == listener and words["source"] == "proxy"
    assert words.get("user", "").strip('"') == user and words["mechanism"] == mechanism
    assert "secret" not in lines[0] and PLAIN not in lines[0]
    assert fail2ban(lines[0]) == ("127.0.0.1" if cause == "auth-failed" else None)
    event = event_of(shared, words["session"])
    assert event["cause"] == cause and event["listener"] == listener and event.get("user", "") == user
    assert shared.ctl("ban", "list") == []


@pytest.mark.parametrize("name", OTHERS)
def test_no_try(shared, name):
    assert say(shared, *OTHERS[name]) == []


def test_explain_quotes_it(shared):
    say(shared, "imap", ["a LOGIN told@x.test secret"], "a NO [PRIVACYREQUIRED]")
    shared.add_user("told@x.test", "pw")
    row = explain(shared, "told@x.test")
    assert "Encryption is required" in row["failures"] and " ago from 127" in row["failures"]


def test_one_that_tries_on_is_closed(shared):
    """Every refused try counts, in all protocols alike."""
    for listener, command in (("sieve", f'AUTHENTICATE "PLAIN" "{PLAIN}"'), ("smtp", "AUTH PLAIN " + PLAIN)):
        c = imap.Lines(shared.host, shared.ports[listener])
        for _ in range(5):
            c.send(command + "\r\n")
        assert c.rest().count(b"Encryption is required") == 5
        c.close()
