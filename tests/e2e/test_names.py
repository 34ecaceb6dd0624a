# SPDX-License-Identifier: ISC
"""What operators say of a name holds whoever judges its password: the store, an auth server, or the mail server."""
import imaplib
import json
import os
import signal

import pytest
from conftest import backend
from harness import imap, wait
from harness.control import Control

USER, PASSWORD = "bob@example.org", "secret-b"
AUTH = ["http", "backend"]


@pytest.fixture(params=AUTH)
def judged(request, make_proxy, make_auth, settings, dovecot1):
    """A proxy whose users are nobody's but an auth server's, or the mail server's. The auth server names dc1."""
    first = dovecot1

    def answer(h):
        if h["Auth-Pass"] != PASSWORD or h["Auth-User"] not in (USER, "alias@example.org"):
            return {"Auth-Status": "Wrong", "Auth-Wait": "1"}
        return {"Auth-Status": "OK", "Auth-User": USER, "Auth-Server": first.host, "Auth-Port": str(first.ports["imap"])}

    if request.param == "http":
        auth = make_auth(answer)
        settings["auth"] = [{"type": "users"}, {"type": "http", "url": auth.url}]
    else:
        settings["auth"] = [{"type": "users"}, {"type": "backend"}]
    settings["pools"][0]["balance"] = "round-robin"
    p = make_proxy(settings)
    p.judge = request.param
    return p


def login(p, user=USER, password=PASSWORD):
    m = imap.plain(p.host, p.ports["imap"])
    m.login(user, password)
    return m


def refused(p, words, user=USER, password=PASSWORD):
    m = imap.plain(p.host, p.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error, match=words) as e:
        m.login(user, password)
    m.shutdown()
    return str(e.value)


def home(m):
    m.select()
    text = m.fetch("1", "(BODY[TEXT])")[1][0][1]
    return "dc1" if b"This is dc1" in text else "dc2"


def user(p, name=USER):
    return p.ctl("user", "show", name)


def test_lock_and_unlock(judged):
    p = judged
    m = login(p)
    hit = p.ctl("user", "lock", USER, "--text", "call us", "--yes")
    assert hit["count"] == 1 and hit["rows"][0]["user"] == USER
    assert b"BYE" in m.sock.recv(4096)
    assert "AUTHENTICATIONFAILED" not in refused(p, "call us")
    # who does not know the password learns nothing
    assert "call us" not in refused(p, "AUTHENTICATIONFAILED", password="wrong")
    if p.judge == "http":  # every name of the mailbox
        refused(p, "call us", "alias@example.org")
    row = user(p)
    assert row["state"] == "locked" and row["source"] == p.judge and row["state_text"] == "call us"
    # no account came of it: the proxy judges nobody
    assert p.ctl("system", "status")["users"] == 0
    m.shutdown()
    wait.until(lambda: not p.sessions(), "all sessions are gone")
    assert p.ctl("user", "lock", USER, "--text", "call us", "--yes")["changed"] is False
    assert p.ctl("user", "unlock", USER)["changed"] is True
    login(p).logout()
    assert p.ctl("user", "unlock", USER)["changed"] is False


def test_lock_survives_a_restart(judged):
    judged.ctl("user", "lock", USER, "--text", "call us", "--until", "1h", "--yes")
    pid = judged.engine_pid()
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: judged.is_ready() and judged.engine_pid() != pid, "the next engine")
    refused(judged, "call us")
    assert judged.ctl("user", "list", "state=locked")[0]["name"] == USER


def test_hold_and_release(judged):
    p = judged
    p.ctl("user", "hold", USER)
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.send(f'a LOGIN {USER} "{PASSWORD}"\r\n')
    wait.until(lambda: any(s["state"] == "held" for s in p.ctl("session", "list")), "the login is held")
    assert p.ctl("user", "release", USER)["changed"] is True
    assert c.until("a ")[-1].startswith("a OK")
    c.close()


def test_protocols_and_limit(judged):
    p = judged
    p.ctl("user", "set", USER, "--protocols", "pop3")
    refused(p, "may not use this protocol")
    assert "protocol" not in refused(p, "AUTHENTICATIONFAILED", password="wrong")
    p.ctl("user", "set", USER, "--protocols", "", "--max-sessions", "1")
    m = login(p)
    refused(p, "LIMIT")
    assert user(p)["sessions"] == 1
    m.logout()
    # an account is not made by the way
    for words in (["--note", "x"], ["--backend-user", "x"], ["--no-password"]):
        done = p.ctl_run("user", "set", USER, *words, check=False)
        assert done.returncode == 3 and "user add" in done.stderr, (words, done)
    assert p.ctl("system", "status")["users"] == 0


def test_pin(judged):
    p = judged
    for name in ("dc2", "dc1", "dc2"):
        p.ctl("user", "set", USER, "--backend", name)
        m = login(p)
        assert home(m) == name
        m.logout()
    assert "dc2" in json.dumps(p.ctl("route", "explain", USER))
    p.ctl("user", "set", USER, "--backend", "")
    if p.judge == "http":
        assert home(login(p)) == "dc1"  # the auth server's word again


def test_move_and_kick(judged):
    p = judged
    m = login(p)
    first = home(m)
    other = "dc2" if first == "dc1" else "dc1"
    done = p.ctl("user", "move", USER, "--to", other, "--yes", "--wait")
    assert done["state"] == "done" and "1 moved" in done["text"]
    m = login(p)
    assert home(m) == other
    assert user(p)["backend"] == other
    assert p.ctl("user", "kick", USER, "--yes")["count"] == 1
    assert b"BYE" in m.sock.recv(4096)
    assert p.ctl("user", "kick", "other@example.org", "--yes", "--allow-empty")["count"] == 0
    # those with sessions can be picked by a filter
    m = login(p)
    would = p.ctl("user", "move", "--filter", f"sessions>0 source={p.judge}", "--to", first, "--dry-run")
    assert [r["name"] for r in would["rows"]] == [USER]
    m.logout()


def test_list_export_import(judged, folder):
    p = judged
    m = login(p)
    assert {(r["name"], r["source"], r["sessions"]) for r in p.ctl("user", "list")} == {(USER, p.judge, 1)}
    p.ctl("user", "lock", "aaa@example.org", "--text", "no, \"never\"", "--yes")
    p.ctl("user", "add", "carol@example.org", "--password-hash-file", hash_file(folder))
    p.ctl("user", "set", "zoe@example.org", "--backend", "dc2", "--protocols", "imap", "--max-sessions", "3")
    names = [r["name"] for r in p.ctl("user", "list")]
    assert names == ["aaa@example.org", USER, "carol@example.org", "zoe@example.org"]
    assert [r["name"] for r in p.ctl("user", "list", "--sort", "-sessions", "--limit", "1")] == [USER]
    assert [r["name"] for r in p.ctl("user", "list", "source=store")] == ["carol@example.org"]
    # pages lead through all of them
    c = Control(p.control)
    assert [r["name"] for page in c.pages("user.list", limit=2) for r in page["rows"]] == names
    part = c.call("user.list", offset=1, limit=2)["result"]
    assert part["matched"] == 4 and [r["name"] for r in part["rows"]] == names[1:3]
    part = c.call("user.list", offset=1, limit=2, sort="-name", filter="source!=store")["result"]
    assert part["matched"] == 3 and [r["name"] for r in part["rows"]] == [names[1], names[0]]
    c.close()
    m.logout()
    wait.until(lambda: len(p.ctl("user", "list")) == 3, "nobody has a session")
    before = stripped(p)
    for form in ("csv", "libconfig"):
        path = os.path.join(folder, form)
        with open(path, "w") as f:
            f.write(p.ctl_run("user", "export", "--format", form).stdout)
        p.ctl("user", "remove", *[r["name"] for r in before], "--yes")
        assert p.ctl("user", "list") == []
        p.ctl("user", "import", path, "--format", form)
        assert stripped(p) == before


def stripped(p):
    return [{k: v for k, v in r.items() if k not in ("created", "changed", "last_login")} for r in p.ctl("user", "list")]


def hash_file(folder):
    path = os.path.join(folder, "hash")
    with open(path, "w") as f:
        f.write("{PLAIN}secret-c")
    return path


# ---- no way past the auth server ----

def test_account_without_password(make_proxy, make_auth, settings, dovecot1):
    """The mail server would take any of its own users: the auth server's No counts, whatever the store has of the name."""
    asked = []

    def answer(h):
        asked.append(h["Auth-User"])
        return {"Auth-Status": "Not today", "Auth-Wait": "1"}

    settings["auth"] = [{"type": "users"}, {"type": "http", "url": make_auth(answer).url}]
    p = make_proxy(settings)
    refused(p, "Not today")
    p.ctl("user", "add", USER, "--no-password")
    assert user(p)["source"] == "store" and user(p)["password"] == "http"
    refused(p, "Not today")
    p.ctl("user", "set", USER, "--backend", "dc1")
    p.ctl("user", "hold", USER)
    refused(p, "Not today")
    assert asked == [USER] * 3
    p.ctl("user", "remove", USER, "--yes")
    assert p.ctl("user", "list") == []


# ---- only the store judges: names that it does not have are nobody's ----

def test_unknown_names(make_proxy, settings):
    p = make_proxy(settings)
    p.ctl("user", "add", USER, "--no-password")
    for words in (["lock", "bop@example.org", "--yes"], ["hold", "bop@example.org"], ["kick", "bop@example.org", "--yes"],
                  ["set", "bop@example.org", "--max-sessions", "1"], ["show", "bop@example.org"],
                  ["move", "bop@example.org", "--to", "dc1", "--yes"]):
        done = p.ctl_run("user", *words, check=False)
        assert done.returncode == 3 and USER in done.stderr, words


# ---- moves to where nobody can be served ----

def test_move_to_a_backend_that_cannot_serve(make_proxy, settings, dovecot1):
    down = {**backend(dovecot1), "name": "down", "ports": {"imap": 1}}
    settings["pools"][0]["backends"] = [backend(dovecot1), down]
    settings["pools"][0]["check"] = {"interval": "200ms", "fall": 1}
    p = make_proxy(settings)
    p.ctl("user", "add", USER, "--no-password")
    wait.until(lambda: [b for b in p.ctl("backend", "list", "name=down") if b["health"] == "down"], "it is found down")
    for target, prepare in (("down", None), ("dc1", ["backend", "drain", "dc1", "--yes"]), ("dc1", ["backend", "disable", "dc1"])):
        if prepare:
            p.ctl(*prepare)
        done = p.ctl_run("user", "move", USER, "--to", target, "--yes", check=False)
        assert done.returncode == 1 and "--force" in done.stderr, done
        assert "backend" not in user(p)
        p.ctl("user", "move", USER, "--to", target, "--force", "--yes", "--wait")
        assert user(p)["backend"] == target
        p.ctl("user", "move", USER, "--to", "", "--yes", "--wait")
