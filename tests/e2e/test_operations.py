# SPDX-License-Identifier: ISC
"""Long commands: drains, moves, paced kills and imports; their progress, their end before time, and what a crash leaves."""
import json
import os
import pwd
import socket
import threading
import time

import pytest
from conftest import backend
from harness import imap, wait
from harness.control import Control
from test_backends import crash, fails, rows
from test_control import logged_in

USER, PASSWORD = "u1@example.org", "pw"


@pytest.fixture
def proxy(make_proxy, settings):
    p = make_proxy(settings)
    for n in (1, 2):
        p.add_user(f"u{n}@example.org", PASSWORD)
    return p


def start(p, *args):
    """Begins an operation; returns its id."""
    return p.ctl(*args)["op"]


def op(p, ident):
    return p.ctl("op", "show", ident)


def ended(p, ident, timeout=30):
    return wait.until(lambda: (lambda o: o if o["state"] != "running" else None)(op(p, ident)), f"operation {ident}", timeout)


def at(p, name):
    return p.sessions("state=relay", f"backend={name}")


def many(p, n, user=USER):
    return [logged_in(p, user) for _ in range(n)]


def close(clients):
    for c in clients:
        c.close()


def busy(p, user=USER, megabytes=24):
    """A session within a response: its client asked for a big message and does not read it."""
    m = imap.plain(p.host, p.ports["imap"])
    m.login(user, PASSWORD)
    m.create("big")
    m.append("big", None, None, b"Subject: big\r\n\r\n" + (b"y" * 76 + b"\r\n") * (megabytes * 1024 * 1024 // 78))
    m.logout()
    c = imap.Lines(p.host, p.ports["imap"])
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    c.line()
    c.command("a", f"LOGIN {user} {PASSWORD}")
    c.command("b", "SELECT big")
    c.send("c FETCH 1 BODY[]\r\n")
    first = c.line()
    assert "FETCH" in first and first.endswith("}")
    return c


def is_ending(p):
    """An operation's first act is the hold; the first session that it tells to end shows that the hold is there."""
    wait.until(lambda: p.sessions("phase=ending"), "a session that is ending")


# ---- drain ----

def test_drain_waits_for_the_sessions(proxy):
    clients = many(proxy, 3)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "drain", home, "--yes")
    o = op(proxy, ident)
    assert o["kind"] == "drain" and o["target"] == f"main/{home}" and o["state"] == "running" and o["total"] == 3
    assert o["user"] == pwd.getpwuid(os.geteuid()).pw_name
    again = proxy.ctl("backend", "drain", home, "--yes")
    assert again["op"] == ident and again["changed"] is False
    clients.pop().close()
    wait.until(lambda: op(proxy, ident)["done"] == 1, "progress")
    assert op(proxy, ident)["percent"] == 33
    close(clients)
    o = ended(proxy, ident)
    assert o["state"] == "done" and o["done"] == 3 and o["ended"] >= o["started"] and o["text"] == "no sessions left"
    assert rows(proxy)[home]["admin"] == "drain"
    assert proxy.ctl("backend", "drain", home, "--yes") == {"count": 0, "changed": False}
    assert [x["id"] for x in proxy.ctl("op", "list", "kind=drain", "state=done")] == [ident]


def test_drain_kicks_at_a_rate(proxy):
    clients = many(proxy, 12)
    home = proxy.sessions("state=relay")[0]["backend"]
    begin = time.monotonic()
    done = proxy.ctl_run("-o", "json", "backend", "drain", home, "--yes", "--kick", "--rate", "6", "--text", "Rebooting", "--wait")
    took = time.monotonic() - begin
    o = json.loads(done.stdout)
    assert o["state"] == "done" and o["total"] == 12 and "12 ended, 12 clean" in o["text"]
    assert 1.5 < took < 15
    for c in clients:
        assert "* BYE" in (text := c.rest().decode()) and "Rebooting" in text
    close(clients)


def test_drain_kicks_the_idle_ones_first(proxy):
    clients = many(proxy, 4)
    home = proxy.sessions("state=relay")[0]["backend"]
    time.sleep(1.1)
    for c in clients[2:]:
        c.command("x", "NOOP")
    ident = start(proxy, "backend", "drain", home, "--yes", "--kick", "--rate", "1")
    wait.until(lambda: len(at(proxy, home)) <= 2, "the first two")
    proxy.ctl("op", "cancel", ident)
    for c in clients[:2]:
        assert "* BYE" in c.rest().decode()
    assert "OK" in clients[3].command("y", "NOOP")[-1]
    close(clients)


def test_drain_deadline(proxy):
    clients = many(proxy, 3)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "drain", home, "--yes", "--deadline", "2s")
    assert op(proxy, ident)["eta"] > 0
    assert len(at(proxy, home)) == 3
    o = ended(proxy, ident)
    assert o["ended"] - o["started"] >= 1900 and "3 ended, 3 clean" in o["text"]
    close(clients)


def test_drain_ends_a_busy_session_at_its_boundary(proxy):
    c = busy(proxy)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "drain", home, "--yes", "--kick", "--grace", "25s")
    wait.until(lambda: proxy.sessions("phase=ending"), "the session that was told")
    assert op(proxy, ident)["state"] == "running"
    text = c.rest()
    assert b"BYE" not in text[:-2000] and b"* BYE" in text[-2000:]
    assert ended(proxy, ident)["state"] == "done"
    c.close()


def test_logins_go_elsewhere_and_come_back(proxy):
    clients = many(proxy, 2)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "drain", home, "--yes", "--kick", "--rate", "100")
    ended(proxy, ident)
    other = many(proxy, 2)
    assert not at(proxy, home) and len(proxy.sessions("state=relay")) == 2
    proxy.ctl("backend", "ready", home)
    back = logged_in(proxy)
    assert len(at(proxy, home)) == 1
    close(clients + other + [back])


@pytest.mark.parametrize("verb", ["ready", "hold", "cancel"])
def test_drain_ends_before_time(proxy, verb):
    clients = many(proxy, 3)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "drain", home, "--yes", "--deadline", "1h")
    if verb == "cancel":
        assert proxy.ctl("op", "cancel", ident)["changed"] is True
    else:
        proxy.ctl("backend", verb, home)
    o = ended(proxy, ident)
    assert o["state"] == "cancelled"
    assert rows(proxy)[home]["admin"] == {"ready": "ready", "hold": "hold", "cancel": "drain"}[verb]
    assert len(at(proxy, home)) == 3
    assert proxy.ctl("op", "cancel", ident)["changed"] is False
    close(clients)


def test_drain_with_hold(proxy):
    c = logged_in(proxy)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "drain", home, "--yes", "--kick", "--hold")
    assert ended(proxy, ident)["state"] == "done"
    assert rows(proxy)[home]["admin"] == "hold"
    d = imap.Lines(proxy.host, proxy.ports["imap"])
    d.line()
    d.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    wait.until(lambda: proxy.sessions("state=held"), "the held login")
    proxy.ctl("backend", "ready", home)
    assert d.until("a ")[-1].startswith("a OK")
    close([c, d])


def test_drain_guards(proxy):
    clients = many(proxy, 3)
    home = proxy.sessions("state=relay")[0]["backend"]
    ids = {s["id"] for s in at(proxy, home)}
    would = proxy.ctl("backend", "drain", home, "--kick", "--dry-run")
    assert {r["id"] for r in would["rows"]} == ids and would["changed"] is False
    part = would["breakdown"]
    assert (part["protocols"], part["backends"]) == ({"imap": 3}, {home: 3}) and part["idle"] + part["running"] == 3
    assert would["message"].startswith(f"3 sessions would end: 3 imap; 3 on {home}; ")
    for words, text in ((["--dry-run"], "it would be refused"), (["--force", "--dry-run"], "would go on there"),
                        (["--drain", "--dry-run"], "would be waited for"), (["--drain", "--kick", "--dry-run"], "would end")):
        done = proxy.ctl("backend", "remove", home, *words)
        assert done["count"] == 3 and not done["changed"] and text in done["message"], done
    stop = proxy.ctl("system", "stop", "--dry-run")
    assert stop["count"] == 3 and not stop["changed"], stop
    assert proxy.is_ready() and home in {b["name"] for b in proxy.ctl("backend", "list")}
    assert proxy.ctl("backend", "drain", home, "--dry-run")["message"].startswith("3 sessions would stay until they end by themselves: ")
    assert "3 imap" in fails(proxy, 1, "backend", "drain", home)
    assert "E_TOO_MANY" in fails(proxy, 1, "backend", "drain", home, "--yes", "--kick", "--max", "2")
    assert "E_TOO_MANY" in fails(proxy, 1, "backend", "disable", home, "--max", "2", "--yes")
    assert "E_CONFIRM" in fails(proxy, 1, "backend", "disable", home)
    assert rows(proxy)[home]["admin"] == "ready" and {s["id"] for s in at(proxy, home)} == ids
    fails(proxy, 2, "backend", "drain", home, "--yes", "--rate", "0")
    assert proxy.ctl("op", "list", "--allow-empty") == []
    close(clients)


@pytest.mark.parametrize("answer", ["y", "n"])
def test_question_on_a_terminal(proxy, answer):
    """It tells what would end, and nothing happens before the answer."""
    client = logged_in(proxy)
    home = proxy.sessions("state=relay")[0]["backend"]
    t = proxy.ctl_terminal("backend", "drain", home, "--kick", "--wait")
    t.until(rf"backend drain: 1 session would end: 1 imap; 1 on {home}; 1 (idle|running commands)\. Go on\? \[y/N\] ")
    assert rows(proxy)[home]["admin"] == "ready"
    t.say(answer + "\n")
    assert t.status() == (0 if answer == "y" else 1)
    assert rows(proxy)[home]["admin"] == ("drain" if answer == "y" else "ready")
    close([client])


@pytest.mark.parametrize("verb", ["drain", "disable"])
def test_question_about_a_backend_without_sessions(proxy, verb):
    """Nothing would end, but new logins go elsewhere. A script, which nobody can ask, goes on."""
    t = proxy.ctl_terminal("backend", verb, "dc1")
    t.until(rf"backend {verb}: 0 sessions would (end|stay until they end by themselves)\. Go on\? \[y/N\] ")
    t.say("n\n")
    assert t.status() == 1 and rows(proxy)["dc1"]["admin"] == "ready"
    assert proxy.ctl("backend", verb, "dc1")["changed"] is True


def test_ban_of_a_network_asks(proxy):
    client = logged_in(proxy)
    text = fails(proxy, 1, "ban", "add", "127.0.0.0/9")
    assert "E_CONFIRM" in text and "8388608 addresses would be refused; 1 session would stay: 1 imap" in text
    assert "E_TOO_MANY" in fails(proxy, 1, "ban", "add", "127.0.0.0/9", "10.0.0.0/8", "--max", "20000000", "--yes")
    assert proxy.ctl("ban", "list", "--allow-empty") == []
    assert "256 IPv6 networks (/64) would be refused" in fails(proxy, 1, "ban", "add", "2001:db8::/56")
    for nets, text in ((["::/0"], "18446744073709551616 IPv6 networks (/64)"), (["0.0.0.0/0"], "4294967296 addresses"),
                       (["10.0.0.0/31", "192.0.2.1", "somebody"], "3 addresses and 1 user"),
                       (["0.0.0.0/0", "::/63", "a", "b"], "4294967296 addresses, 2 IPv6 networks (/64) and 2 users")):
        assert proxy.ctl("ban", "add", *nets, "--dry-run")["message"].startswith(text + " would be refused; ")
    assert "E_TOO_MANY" in fails(proxy, 1, "ban", "add", "::/0", "--max", "9000000000000000000", "--yes")
    assert proxy.ctl_run("ban", "add", "192.0.2.1", "--dry-run").stderr == "192.0.2.1 would be refused\n"
    assert proxy.ctl("ban", "add", "192.0.2.1", "somebody", "--dry-run")["message"] == "1 address and 1 user would be refused"
    proxy.ctl("ban", "add", "192.0.2.1", "192.0.2.2/32", "2001:db8::/64", "somebody")  # one address or user each
    proxy.ctl("ban", "add", "192.0.2.0/24", "--yes")
    assert len(proxy.ctl("ban", "list")) == 5
    assert client.command("b", "NOOP")[-1].startswith("b OK")
    close([client])


def test_drain_of_several(proxy):
    """One operation, one rate over all; a state given to one of them takes it out of the drain."""
    clients = many(proxy, 3) + many(proxy, 3, "u2@example.org")
    homes = {s["backend"] for s in proxy.sessions("state=relay")}
    assert "6 sessions would end" in fails(proxy, 1, "backend", "drain", "dc1", "main/dc2", "dc1", "--kick")
    fails(proxy, 3, "backend", "drain", "dc1", "dc9", "--yes")
    fails(proxy, 3, "backend", "drain", "--filter", "name=dc9", "--yes")
    assert {r["admin"] for r in rows(proxy).values()} == {"ready"}
    ident = start(proxy, "backend", "drain", "--filter", "pool=main name=dc1,main/dc2", "--yes", "--deadline", "1h")
    row = op(proxy, ident)
    assert row["target"] == "main/dc1, main/dc2" and row["total"] == 6 and {rows(proxy)[n]["admin"] for n in ("dc1", "dc2")} == {"drain"}
    assert start(proxy, "backend", "drain", "dc2", "dc1", "--yes", "--deadline", "2h") == ident
    home = homes.pop()
    other = "dc2" if home == "dc1" else "dc1"
    second = start(proxy, "backend", "drain", home, "--yes", "--kick", "--rate", "100")
    assert second != ident and ended(proxy, second)["state"] == "done" and not at(proxy, f"main/{home}")
    if at(proxy, other):
        assert op(proxy, ident)["state"] == "running"
    proxy.ctl("backend", "ready", other)
    assert ended(proxy, ident)["state"] == ("cancelled" if homes else "done")
    close(clients)


def test_ready_waits_until_it_is_up(make_proxy, settings, dovecot1):
    settings["pools"][0]["check"] = {"interval": "100ms", "fall": 1, "rise": 1}
    settings["pools"][0]["backends"] = [{"name": "gone", "host": dovecot1.host, "ports": {"imap": 1}}]
    p = make_proxy(settings)
    wait.until(lambda: rows(p)["gone"]["health"] == "down", "the check")
    done = p.ctl_run("backend", "ready", "gone", "--wait=500ms", check=False)
    assert done.returncode == 6 and "goes on" in done.stderr
    assert "gone is down: " in p.ctl("op", "list", "kind=ready")[0]["text"]
    p.ctl("backend", "set", "gone", "--ports", f"imap={dovecot1.ports['imap']}")
    done = p.ctl_run("-o", "json", "backend", "ready", "gone", "--wait")
    assert json.loads(done.stdout)["state"] == "done" and rows(p)["gone"]["health"] == "up"


def test_words_of_operators(proxy, settings):
    """op wait, a noun alone, both names of a duration, nothing said, and nothing found."""
    clients = many(proxy, 2)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "drain", home, "--yes", "--deadline", "1h")
    late = proxy.ctl_run("op", "wait", ident, "--timeout", "300ms", check=False)
    assert late.returncode == 6 and f"operation {ident} goes on" in late.stderr
    start(proxy, "backend", "drain", home, "--yes", "--kick")
    assert json.loads(proxy.ctl_run("-o", "json", "op", "wait", ident).stdout)["state"] == "done"
    fails(proxy, 3, "op", "wait", "777")
    assert [r["id"] for r in proxy.ctl("op")] == [ident]
    proxy.ctl("user", "lock", USER, "--for", "1h", "--yes")
    assert proxy.ctl("user", "show", USER)["state_until"] > time.time() * 1000 + 3500 * 1000
    proxy.ctl("ban", "add", "192.0.2.1", "--until", "1h")
    assert 0 < proxy.ctl("ban", "list")[0]["left"] <= 3600 * 1000
    nothing = proxy.ctl_run("session", "kill", "user=zzz", "--yes", "--allow-empty")
    assert nothing.stdout == nothing.stderr == ""
    proxy.ctl("user", "unlock", USER)
    clients += many(proxy, 2, "u2@example.org")
    quiet = proxy.ctl_run("-q", "session", "kill", "user=u2@example.org", "--yes")
    assert quiet.stdout == quiet.stderr == ""
    assert "the file is valid" in proxy.ctl_run("-o", "table", "config", "check").stdout
    close(clients)


def test_disable_ends_all(proxy):
    clients = many(proxy, 5)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "disable", home, "--yes")
    assert ended(proxy, ident)["state"] == "done"
    for c in clients:
        assert "* BYE" in c.rest().decode()
    checked = rows(proxy)[home].get("last_check")
    time.sleep(0.5)
    assert rows(proxy)[home].get("last_check") == checked
    close(clients)


def test_remove_with_drain(proxy):
    clients = many(proxy, 3)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "remove", home, "--drain", "--kick", "--rate", "100", "--yes")
    o = ended(proxy, ident)
    assert o["state"] == "done" and "removed" in o["text"]
    assert home not in rows(proxy)
    close(clients)


def test_lost_connection_does_not_stop_it(proxy):
    clients = many(proxy, 6)
    home = proxy.sessions("state=relay")[0]["backend"]
    r = Control(proxy.control)
    r.send({"jsonrpc": "2.0", "id": 1, "method": "backend.drain", "params": {"name": home, "kick": True, "rate": 6}})
    r.close()
    wait.until(lambda: proxy.ctl("op", "list", "state=done", "--allow-empty"), "the drain")
    assert not at(proxy, home)
    close(clients)


def test_crash_during_a_drain(proxy):
    clients = many(proxy, 3)
    home = proxy.sessions("state=relay")[0]["backend"]
    ident = start(proxy, "backend", "drain", home, "--yes", "--deadline", "1h")
    crash(proxy)
    o = op(proxy, ident)
    assert o["state"] == "interrupted" and "restarted" in o["text"]
    proxy.wait_for_log("op-interrupted")
    assert rows(proxy)[home]["admin"] == "drain"
    # Ids are not used again, and a new drain takes up the work.
    c = logged_in(proxy)
    assert not at(proxy, home)
    other = {"dc1": "dc2", "dc2": "dc1"}[home]
    assert int(start(proxy, "backend", "drain", other, "--yes")) == int(ident) + 1
    close(clients + [c])


def test_wait_over_a_crash(proxy):
    clients = many(proxy, 2)
    home = proxy.sessions("state=relay")[0]["backend"]
    out = []
    t = threading.Thread(target=lambda: out.append(
        proxy.ctl_run("backend", "drain", home, "--yes", "--deadline", "1h", "--wait", check=False)))
    t.start()
    wait.until(lambda: proxy.ctl("op", "list", "--allow-empty"), "the operation")
    crash(proxy)
    t.join(30)
    assert out and out[0].returncode == 1 and "interrupted" in out[0].stderr
    close(clients)


def test_op_arguments(proxy):
    assert proxy.ctl("op", "list") == []
    fails(proxy, 3, "op", "show", "77")
    fails(proxy, 3, "op", "cancel", "x")
    fails(proxy, 2, "op", "show")


# ---- move ----

def home_of(p, user=USER):
    return p.ctl("route", "explain", user)["backend"]


def other_than(name):
    return {"dc1": "dc2", "dc2": "dc1"}[name]


def test_hold_that_ends_by_itself(proxy):
    proxy.ctl("user", "set", USER, "--backend", "dc1")
    begun = time.monotonic()
    ident = start(proxy, "backend", "hold", "dc1", "--for", "2s", "--reason", "snapshot")
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    assert op(proxy, ident)["kind"] == "hold" and 0 < op(proxy, ident)["eta"] <= 2000
    assert c.until("a ")[-1].startswith("a OK") and time.monotonic() - begun >= 2
    o = ended(proxy, ident)
    assert o["state"] == "done" and o["text"] == "released" and rows(proxy)["dc1"]["admin"] == "ready"
    c.close()


def test_hold_whose_end_is_called_off(proxy):
    """By another order of the operator, or by cancelling: what is in force afterwards is what was said last."""
    for args, admin in ((("backend", "release", "dc1"), "ready"), (("backend", "drain", "dc1", "--yes"), "drain"),
                        (("backend", "hold", "dc1"), "hold")):
        ident = start(proxy, "backend", "hold", "dc1", "--for", "1h")
        proxy.ctl(*args)
        assert ended(proxy, ident)["state"] == "cancelled" and rows(proxy)["dc1"]["admin"] == admin
    ident = start(proxy, "backend", "hold", "dc1", "--for", "1h")
    assert start(proxy, "backend", "hold", "dc1", "--for", "2h") == ident and op(proxy, ident)["eta"] > 3600000
    proxy.ctl("op", "cancel", ident)
    assert ended(proxy, ident)["state"] == "cancelled" and rows(proxy)["dc1"]["admin"] == "hold"
    fails(proxy, 2, "backend", "hold", "dc1", "--for", "0s")
    ident = start(proxy, "backend", "hold", "dc1", "--for", "1h")
    crash(proxy)
    assert op(proxy, ident)["state"] == "interrupted" and rows(proxy)["dc1"]["admin"] == "hold"
    assert proxy.ctl_run("backend", "hold", "dc1", "--for", "1s", "--wait").returncode == 0
    assert rows(proxy)["dc1"]["admin"] == "ready"


def test_move_one(proxy):
    old = home_of(proxy)
    new = other_than(old)
    c = logged_in(proxy)
    ident = start(proxy, "user", "move", USER, "--to", new, "--text", "Moving you", "--reason", "balance")
    o = ended(proxy, ident)
    assert o["state"] == "done" and o["kind"] == "move" and o["done"] == o["total"] == 1 and "1 moved" in o["text"]
    text = c.rest().decode()
    assert "* BYE" in text and "Moving you" in text
    row = proxy.ctl("user", "show", USER)
    assert row["backend"] == new and row["pool"] == "main" and row["state"] == "active"
    d = logged_in(proxy)
    assert [s["backend"] for s in proxy.sessions("state=relay")] == [new]
    # Done twice: nothing happens to the session, which is there already.
    o = ended(proxy, start(proxy, "user", "move", USER, "--to", f"main/{new}"))
    assert o["state"] == "done" and "1 there already" in o["text"]
    assert "OK" in d.command("b", "NOOP")[-1]
    # And back to what the routes say.
    ended(proxy, start(proxy, "user", "move", USER, "--to", ""))
    row = proxy.ctl("user", "show", USER)
    assert "backend" not in row and "pool" not in row
    close([c, d])


def test_move_makes_logins_wait(proxy):
    old = home_of(proxy)
    c = busy(proxy)
    ident = start(proxy, "user", "move", USER, "--to", other_than(old), "--grace", "25s")
    is_ending(proxy)
    d = imap.Lines(proxy.host, proxy.ports["imap"])
    d.line()
    d.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    wait.until(lambda: proxy.sessions("state=held"), "the held login")
    u2 = logged_in(proxy, "u2@example.org")
    assert op(proxy, ident)["state"] == "running"
    text = c.rest()
    assert b"* BYE" in text[-2000:]
    assert d.until("a ")[-1].startswith("a OK")
    assert ended(proxy, ident)["state"] == "done"
    assert [s["backend"] for s in proxy.sessions("state=relay", f"user={USER}")] == [other_than(old)]
    close([c, d, u2])


def test_move_rolls_back(proxy):
    """The old backend does not get empty in time: the user stays, and who waited goes on there."""
    old = home_of(proxy)
    c = busy(proxy)
    ident = start(proxy, "user", "move", USER, "--to", other_than(old), "--grace", "20s", "--timeout", "2s")
    is_ending(proxy)
    d = imap.Lines(proxy.host, proxy.ports["imap"])
    d.line()
    d.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    wait.until(lambda: proxy.sessions("state=held"), "the held login")
    o = ended(proxy, ident)
    assert o["state"] == "failed" and o["failed"] == 1 and "did not end in time" in o["text"] and USER in o["text"]
    assert d.until("a ")[-1].startswith("a OK")
    assert "backend" not in proxy.ctl("user", "show", USER)
    assert {s["backend"] for s in proxy.sessions("state=relay", f"user={USER}")} == {old}
    close([c, d])


def test_move_cancelled(proxy):
    old = home_of(proxy)
    c = busy(proxy)
    ident = start(proxy, "user", "move", USER, "u2@example.org", "--to", other_than(old), "--grace", "20s", "--timeout", "20s",
                  "--parallel", "1", "--yes")
    is_ending(proxy)
    d = imap.Lines(proxy.host, proxy.ports["imap"])
    d.line()
    d.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    wait.until(lambda: proxy.sessions("state=held"), "the held login")
    proxy.ctl("op", "cancel", ident)
    o = ended(proxy, ident)
    assert o["state"] == "cancelled" and o["done"] == 0
    assert d.until("a ")[-1].startswith("a OK")
    for user in (USER, "u2@example.org"):
        assert "backend" not in proxy.ctl("user", "show", user)
    close([c, d])


def test_move_many(proxy):
    for i in range(60):
        proxy.add_user(f"m{i}@example.net")
    would = proxy.ctl("user", "move", "--filter", "name=m*@example.net", "--to", "dc2", "--dry-run")
    assert would["count"] == 60 and len(would["rows"]) == 60
    assert "E_TOO_MANY" in fails(proxy, 1, "user", "move", "--filter", "name=m*@example.net", "--to", "dc2", "--max", "59",
                                 "--yes")
    assert "E_CONFIRM" in fails(proxy, 1, "user", "move", "--filter", "name=m*@example.net", "--to", "dc2")
    o = ended(proxy, start(proxy, "user", "move", "nobody@example.net", "--filter", "name=m*@example.net", "--to", "dc2",
                           "--parallel", "20", "--yes"))
    assert o["state"] == "partly done" and o["total"] == 61 and o["failed"] == 1 and "nobody@example.net" in o["text"]
    assert len(proxy.ctl("user", "list", "backend=dc2")) == 60
    assert proxy.ctl_run("user", "move", "nobody@example.net", USER, "--to", "dc1", "--yes", "--wait",
                         check=False).returncode == 7


def test_move_those_of_a_file(proxy, folder):
    """Names, one a line, in a file of more than one request; the same guards as for names on the command line."""
    csv = "name,password_hash\n" + "".join(f"f{i}@example.net,\n" for i in range(1500))
    proxy.ctl("user", "import", "-", stdin=csv)
    path = os.path.join(folder, "names")
    strangers = [f"a-stranger-with-a-long-name-{i}@example.net" for i in range(600)]
    with open(path, "w") as f:
        f.write("# the first 1400\n\n" + "".join(f" f{i}@example.net \n" for i in range(1400)) + "\n".join(strangers))
    assert os.path.getsize(path) > 40 * 1024
    would = proxy.ctl("user", "move", "--from", path, "--to", "dc2", "--dry-run")
    assert would["count"] == 1400 and would["rows"][0]["name"] == "f0@example.net"
    assert proxy.ctl("--allow-empty", "user", "list", "backend=dc2", "--limit", "1") == []
    assert "E_CONFIRM" in fails(proxy, 1, "user", "move", "--from", path, "--to", "dc2")
    assert "E_TOO_MANY" in fails(proxy, 1, "user", "move", "--from", path, "--to", "dc2", "--max", "1399", "--yes")
    o = ended(proxy, start(proxy, "user", "move", "--from", path, "--to", "dc2", "--parallel", "100", "--yes"), 60)
    assert o["state"] == "partly done" and o["total"] == 2000 and o["failed"] == 600 and strangers[0] in o["text"]
    assert len(proxy.ctl("user", "list", "backend=dc2")) == 1400
    done = proxy.ctl("user", "move", "--from", "-", "f1400@example.net", "--to", "dc2", "--yes", stdin="f1401@example.net\n")
    assert ended(proxy, done["op"])["done"] == 2
    assert len(proxy.ctl("user", "list", "backend=dc2")) == 1402
    fails(proxy, 3, "user", "move", "--from", "/dev/null", "--to", "dc2", "--yes")
    assert "E_IO" in fails(proxy, 1, "user", "move", "--from", os.path.join(folder, "none"), "--to", "dc2", "--yes")


def test_parts_of_a_file_belong_to_one_command(proxy):
    r = Control(proxy.control)
    part = {"part": 1, "more": True}
    assert r.call("user.import", data="name,password_hash\n", **part)["result"]["count"] == 0
    error = r.call("user.move", **{"from": "u1@example.org\n", "to": "dc1", "part": 2})["error"]
    assert error["data"]["name"] == "E_BAD_PARAM"
    assert r.call("user.import", data="part1@example.net,\n", part=2)["result"]["count"] == 1
    assert r.call("user.move", **{"from": "u1@exam", "to": "dc1", **part})["result"]["count"] == 0
    assert r.call("user.move", **{"from": "ple.org\n", "to": "dc1", "part": 2})["result"]["count"] == 1
    r.close()


def test_import_of_users_pinned_to_nowhere(proxy):
    text = "name,pool,backend\n" + "".join(f"{n}@example.net,,gone\n" for n in "abcd") + "e@example.net,main,dc1\nf@example.net,old,\n"
    done = proxy.ctl("user", "import", "-", stdin=text)
    assert done["count"] == 6
    assert done["message"].endswith("5 are pinned to what is in no pool: a@example.net (gone), b@example.net (gone), "
                                    "c@example.net (gone), ...")
    assert "5 are pinned" in proxy.ctl("op", "list", "kind=import")[0]["text"]
    assert "pinned" not in proxy.ctl("user", "import", "-", stdin="name,backend\ne@example.net,dc2\n")["message"]


def test_move_to_where_nobody_is(proxy):
    assert proxy.ctl("user", "move", USER, "--to", "dc2", "--yes")["message"].startswith("operation ")
    proxy.ctl("backend", "drain", "dc1", "--yes")
    assert "dc1 is set to drain" in fails(proxy, 1, "user", "move", USER, "--to", "dc1", "--yes")
    done = proxy.ctl("user", "move", USER, "--to", "dc1", "--force", "--yes")
    assert "dc1 is set to drain" in done["message"] and ended(proxy, done["op"])["state"] == "done"


def test_move_arguments(proxy):
    fails(proxy, 2, "user", "move", USER, "--yes")
    fails(proxy, 2, "user", "move", USER, "--to", "dc1", "--pool", "main", "--yes")
    fails(proxy, 2, "user", "move", "--to", "dc1", "--yes")
    fails(proxy, 2, "user", "move", USER, "--to", "dc1", "--parallel", "0", "--yes")
    assert "dc1" in fails(proxy, 3, "user", "move", USER, "--to", "dc9", "--yes")
    assert "main" in fails(proxy, 3, "user", "move", USER, "--pool", "mian", "--yes")
    assert USER in fails(proxy, 3, "user", "move", "u3@example.org", "--to", "dc1", "--yes")
    fails(proxy, 3, "user", "move", "--filter", "name=zzz*", "--to", "dc1", "--yes")


def test_move_to_a_pool(make_proxy, settings, dovecot1, dovecot2):
    settings["pools"] = [{"name": "a", "tls": "off", "backends": [backend(dovecot1)]},
                         {"name": "b", "tls": "off", "backends": [backend(dovecot2)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = logged_in(p)
    assert ended(p, start(p, "user", "move", USER, "--pool", "b"))["state"] == "done"
    assert "* BYE" in c.rest().decode()
    d = logged_in(p)
    assert p.sessions("state=relay")[0]["pool"] == "b"
    close([c, d])


def test_crash_during_many_moves(proxy):
    n = 3000
    proxy.ctl("user", "import", "-", stdin="name\n" + "".join(f"m{i}@example.net\n" for i in range(n)))
    ident = start(proxy, "user", "move", "--filter", "name=m*@example.net", "--to", "dc2", "--parallel", "1", "--yes")
    wait.until(lambda: op(proxy, ident)["done"] >= 20, "some of them")
    crash(proxy)
    assert op(proxy, ident)["state"] == "interrupted"
    users = proxy.ctl("user", "list", "name=m*@example.net")
    moved = [u for u in users if u.get("backend") == "dc2" and u.get("pool") == "main"]
    rest = [u for u in users if "backend" not in u and "pool" not in u]
    assert len(moved) >= 20 and len(moved) + len(rest) == n
    o = ended(proxy, start(proxy, "user", "move", "--filter", "name=m*@example.net", "--to", "dc2", "--parallel", "50",
                           "--yes"), 60)
    assert o["state"] == "done" and f"{len(moved)} there already" in o["text"]


# ---- kill with a rate, import ----

def test_paced_kill(proxy):
    clients = many(proxy, 8)
    stay = logged_in(proxy, "u2@example.org")
    begin = time.monotonic()
    ident = start(proxy, "session", "kill", f"user={USER}", "--rate", "5", "--yes")
    # Who comes later is not meant.
    late = logged_in(proxy)
    o = ended(proxy, ident)
    assert time.monotonic() - begin > 1
    assert o["state"] == "done" and o["done"] == o["total"] == 8 and o["target"] == f"user={USER}"
    assert o["text"] == "8 ended, 8 clean"
    for c in clients:
        assert "* BYE" in c.rest().decode()
    for c in (stay, late):
        assert "OK" in c.command("b", "NOOP")[-1]
    fails(proxy, 3, "session", "kill", "user=zzz", "--rate", "5", "--yes")
    fails(proxy, 1, "session", "kill", "--all", "--rate", "5", "--yes", "--max", "1")
    close(clients + [stay, late])


def test_paced_kill_cancelled(proxy):
    clients = many(proxy, 6)
    ident = start(proxy, "session", "kill", "--all", "--rate", "1", "--yes")
    wait.until(lambda: op(proxy, ident)["done"] > 0, "the first")
    proxy.ctl("op", "cancel", ident)
    o = ended(proxy, ident)
    assert o["state"] == "cancelled" and 0 < o["done"] < 6
    assert len(proxy.sessions("state=relay")) == 6 - o["done"]
    close(clients)


def test_import_is_an_operation(proxy):
    csv = "name,note\n" + "".join(f"user{i}@example.net,n{i}\n" for i in range(20000))
    proxy.ctl("user", "import", "-", stdin=csv)
    o = proxy.ctl("op", "list", "kind=import")[0]
    assert o["state"] == "done" and o["done"] == o["total"] == 20000 and "20000 added" in o["text"]
    assert proxy.ctl_run("user", "import", "-", stdin="name,nonsense\nx,y\n", check=False).returncode == 1
    assert [x["state"] for x in proxy.ctl("op", "list", "kind=import")] == ["failed", "done"]
