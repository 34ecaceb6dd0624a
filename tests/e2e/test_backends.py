# SPDX-License-Identifier: ISC
"""Backends, pools and listeners changed while the proxy runs: each command done once, twice, wrongly, and after a crash."""
import os
import re
import signal

import pytest
from conftest import backend
from harness import control, imap, net, wait
from harness.control import Control
from harness.proxy import CtlError
from test_control import logged_in

USER, PASSWORD = "u1@example.org", "pw"


@pytest.fixture
def proxy(make_proxy, settings):
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    p.add_user("u2@example.org", PASSWORD)
    return p


def rows(p, *args):
    return {r["name"]: r for r in p.ctl("backend", "list", *args)}


def crash(p):
    """Kills the engine and waits for the next one."""
    pid = p.engine_pid()
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the next engine")


def fails(p, status, *args):
    with pytest.raises(CtlError) as e:
        p.ctl(*args)
    assert e.value.status == status, e.value
    return e.value.output + e.value.errors


def test_the_last_backend_is_taken_out_with_a_word(proxy):
    assert "no backend" not in proxy.ctl("backend", "drain", "dc1", "--yes")["message"]
    assert "no backend of pool main takes logins now" in proxy.ctl("backend", "disable", "dc2", "--yes")["message"]
    assert "no backend of pool main" in proxy.ctl("backend", "disable", "dc2", "--yes")["message"]
    proxy.ctl("backend", "ready", "dc1")
    assert "no backend" not in proxy.ctl("backend", "drain", "dc2", "--yes").get("message", "")


STATES = [("drain", "drain"), ("hold", "hold"), ("disable", "disabled")]


@pytest.mark.parametrize("verb,state", STATES)
def test_states(proxy, verb, state):
    done = proxy.ctl("backend", verb, "dc1", "--yes", "--reason", "disk")
    assert done["changed"] is True
    row = rows(proxy)["dc1"]
    assert row["admin"] == state and row["admin_reason"] == "disk" and row["origin"] == "runtime"
    assert row["admin_since"] > 0 and row["edits"] == state
    again = proxy.ctl("backend", verb, "main/dc1", "--yes")
    assert again["changed"] is False
    assert proxy.ctl("backend", "ready", "dc1")["changed"] is True
    row = rows(proxy)["dc1"]
    assert row["admin"] == "ready" and row["origin"] == "file" and "edits" not in row
    assert proxy.ctl("backend", "ready", "dc1")["changed"] is False
    text = fails(proxy, 3, "backend", verb, "dc3", "--yes")
    assert "E_NO_BACKEND" in text and "dc1" in text
    assert "nowhere/dc1" in fails(proxy, 3, "backend", verb, "nowhere/dc1", "--yes")


@pytest.mark.parametrize("verb,state", STATES)
def test_states_survive_a_crash(proxy, verb, state):
    proxy.ctl("backend", verb, "dc1", "--yes", "--reason", "disk")
    crash(proxy)
    row = rows(proxy)["dc1"]
    assert row["admin"] == state and row["admin_reason"] == "disk"
    proxy.ctl("backend", "ready", "dc1")
    crash(proxy)
    assert rows(proxy)["dc1"]["admin"] == "ready"


def test_both_states_keep_their_reasons(make_proxy, settings):
    """What checks find does not hide why an operator took a backend out, and the other way round."""
    settings["pools"][0]["check"] = {"interval": "100ms", "rise": 1, "fall": 1}
    p = make_proxy(settings)
    p.ctl("backend", "drain", "dc1", "--yes", "--reason", "new kernel")
    p.ctl("backend", "set", "dc1", "--ports", "imap=1")
    row = wait.until(lambda: (lambda r: r if r["health"] == "down" else None)(rows(p)["dc1"]), "dc1 to be down")
    assert row["admin"] == "drain" and row["admin_reason"] == "new kernel" and row["admin_since"] > 0
    assert row["reason"].startswith("imap: connect") and row["health_since"] > 0
    p.ctl("backend", "ready", "dc1")
    row = rows(p)["dc1"]
    assert row["admin"] == "ready" and "admin_reason" not in row and row["reason"].startswith("imap: connect")


def test_until_restart(proxy):
    proxy.ctl("backend", "weight", "dc1", "7")
    proxy.ctl("backend", "drain", "dc1", "--yes", "--until-restart")
    proxy.ctl("backend", "weight", "dc2", "9", "--until-restart")
    now = rows(proxy)
    assert now["dc1"]["edits"] == "weight, drain (until restart)" and now["dc2"]["weight"] == 9
    crash(proxy)
    now = rows(proxy)
    assert now["dc1"]["admin"] == "ready" and now["dc1"]["weight"] == 7 and now["dc1"]["edits"] == "weight"
    assert now["dc2"]["weight"] == 100 and now["dc2"]["origin"] == "file"


def test_weight(proxy):
    assert proxy.ctl("backend", "weight", "dc1", "0")["changed"] is True
    assert proxy.ctl("backend", "weight", "dc1", "0")["changed"] is False
    assert rows(proxy)["dc1"]["weight"] == 0
    for _ in range(4):
        logged_in(proxy).close()
    assert rows(proxy)["dc1"]["logins"] == 0
    # What the file says is no edit.
    assert proxy.ctl("backend", "weight", "dc1", "100")["changed"] is True
    assert rows(proxy)["dc1"]["origin"] == "file"
    assert "E_BAD_PARAM" in fails(proxy, 2, "backend", "weight", "dc1", "1001")
    fails(proxy, 2, "backend", "weight", "dc1", "heavy")
    fails(proxy, 2, "backend", "weight", "dc1")
    fails(proxy, 3, "backend", "weight", "dc7", "5")


def test_set_moves_new_logins(proxy, dovecot1, dovecot2):
    proxy.ctl("backend", "weight", "dc2", "0")
    c = logged_in(proxy)
    assert proxy.ctl("backend", "set", "dc1", "--host", dovecot2.host, "--ports", f"imap={dovecot2.ports['imap']}")["changed"]
    before = dovecot2.logins("imap", "user=<u1@example.org>")
    d = logged_in(proxy)
    assert "OK" in c.command("b", "NOOP")[-1]
    servers = {s["server"] for s in proxy.sessions("state=relay")}
    assert servers == {f"{dovecot1.host}:{dovecot1.ports['imap']}", f"{dovecot2.host}:{dovecot2.ports['imap']}"}
    wait.until(lambda: dovecot2.logins("imap", "user=<u1@example.org>") > before, "the login at dc2")
    crash(proxy)
    assert rows(proxy)["dc1"]["host"] == dovecot2.host
    assert proxy.ctl("backend", "reset", "dc1")["changed"] is True
    assert proxy.ctl("backend", "reset", "dc1")["changed"] is False
    assert rows(proxy)["dc1"]["host"] == dovecot1.host
    fails(proxy, 2, "backend", "set", "dc1")
    assert "gopher" in fails(proxy, 2, "backend", "set", "dc1", "--ports", "gopher=70")
    assert "from 1 to 65535" in fails(proxy, 2, "backend", "set", "dc1", "--ports", "imap=99999")
    for host in ("two words", "", "[::1", "mx/imap", "10.0.0.1:143", "unix:mail", "a@b"):
        fails(proxy, 2, "backend", "set", "dc1", "--host", host)
    c.close()
    d.close()


def test_tls_of_one_backend(make_proxy, settings, dovecot1, dovecot2, ca, folder):
    """The key of one backend and the runtime edit beside it: logins, checks, listing, diff, export, restart, reset."""
    first = backend(dovecot1, tls="implicit")
    first["ports"] = {"imap": dovecot1.ports["imaps"]}
    settings["pools"] = [{"name": "main", "tls": "off", "verify": False, "backends": [first, backend(dovecot2)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD, backend="dc1")
    p.add_user("u2@example.org", PASSWORD, backend="dc2")

    def backend_tls(user):
        c = logged_in(p, user)
        row = p.sessions("state=relay", f"user={user}")[0]
        c.close()
        wait.until(lambda: not p.sessions(f"user={user}"), "the end of the session")
        return None if row["server_tls"] == "no" else row["server_tls"]

    assert {n: r["tls"] for n, r in rows(p).items()} == {"dc1": "implicit", "dc2": "off"}
    assert backend_tls(USER).startswith("TLS") and backend_tls("u2@example.org") is None
    assert p.ctl("backend", "check", "dc1")["result"] == "good"
    assert rows(p)["dc1"]["cert_days"] > 0 and "cert_days" not in rows(p)["dc2"]
    # An edit, done once and twice; what the file says is none.
    assert p.ctl("backend", "set", "dc2", "--tls", "starttls")["changed"] is True
    assert p.ctl("backend", "set", "dc2", "--tls", "starttls")["changed"] is False
    row = rows(p)["dc2"]
    assert row["tls"] == "starttls" and row["origin"] == "runtime" and row["edits"] == "tls"
    assert backend_tls("u2@example.org").startswith("TLS")
    assert p.ctl("backend", "check", "dc2")["result"] == "good" and rows(p)["dc2"]["cert_days"] > 0
    p.ctl("backend", "set", "dc1", "--tls", "pool", "--ports", f"imap={dovecot1.ports['imap']}", "--until-restart")
    assert rows(p)["dc1"]["tls"] == "off" and backend_tls(USER) is None
    assert {(r["path"], r["old"], r.get("new"), r["effect"]) for r in p.ctl("config", "diff")} == {
        ("pools[main].backends[dc2].tls", "starttls", "pool", "runtime edit"),
        ("pools[main].backends[dc1].tls", "pool", "implicit", "runtime edit until restart"),
        ("pools[main].backends[dc1].ports.imap", str(dovecot1.ports["imap"]), str(dovecot1.ports["imaps"]),
         "runtime edit until restart")}
    crash(p)
    assert {n: r["tls"] for n, r in rows(p).items()} == {"dc1": "implicit", "dc2": "starttls"}
    # The file with the edit folded in says the same; a change of the file beside an edit is told.
    text = p.ctl_run("config", "export").stdout
    assert text.count('tls = "implicit"') >= 1 and text.count('tls = "starttls"') == 2  # of the backend and of a listener
    p.settings["pools"][0]["backends"][1]["tls"] = "implicit"
    p.configure({})
    assert [r["effect"] for r in p.ctl("config", "reload") if r["path"].endswith("[dc2].tls")] == ["hidden by a runtime edit"]
    with open(p.config, "w") as f:
        f.write(text)
    p.ctl("config", "reload")
    wait.until(lambda: rows(p)["dc2"]["origin"] == "file", "the end of the edit that is in the file")
    assert rows(p)["dc2"]["tls"] == "starttls" and p.ctl("backend", "reset", "dc2")["changed"] is False
    assert backend_tls("u2@example.org").startswith("TLS")
    assert "starttls" in fails(p, 2, "backend", "set", "dc2", "--tls", "ssl")
    # Added by hand, with the usual port of the mode.
    add = ("backend", "add", "main", "new", dovecot2.host, "--tls", "implicit")
    assert p.ctl(*add)["changed"] is True and p.ctl(*add)["changed"] is False
    assert rows(p)["new"]["tls"] == "implicit" and "imap=993" in rows(p)["new"]["ports"]
    assert "backend set" in fails(p, 1, "backend", "add", "main", "new", dovecot2.host, "--tls", "off")


def test_tls_of_one_backend_is_verified(make_proxy, settings, dovecot1):
    """The pool's verify holds for what an operator adds too; nothing goes out in clear instead."""
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    assert p.ctl("backend", "check", "dc1")["result"] == "good"
    p.ctl("backend", "set", "dc1", "--tls", "starttls")
    row = p.ctl("backend", "check", "dc1")
    assert row["result"] == "failed" and "tls" in row["text"]
    before = dovecot1.logins("imap", "user=<u1@example.org>")
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert "UNAVAILABLE" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
    assert dovecot1.logins("imap", "user=<u1@example.org>") == before
    c.close()


def test_add_and_remove(make_proxy, settings, dovecot1, dovecot2):
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    ports = f"imap={dovecot2.ports['imap']}"
    add = ("backend", "add", "main", "new", dovecot2.host, "--ports", ports, "--weight", "50")
    assert p.ctl(*add)["changed"] is True
    assert p.ctl(*add)["changed"] is False
    fails(p, 1, "backend", "add", "main", "new", dovecot1.host)
    assert "main" in fails(p, 3, "backend", "add", "mian", "other", dovecot1.host)
    fails(p, 2, "backend", "add", "main", "two words", dovecot1.host)
    row = rows(p)["new"]
    assert row["weight"] == 50 and row["host"] == dovecot2.host and row["edits"].startswith("added")
    p.ctl("backend", "drain", "dc1", "--yes")
    c = logged_in(p)
    assert p.sessions("state=relay")[0]["backend"] == "new"
    crash(p)
    assert rows(p)["new"]["host"] == dovecot2.host
    c = logged_in(p)
    assert "drain" in fails(p, 1, "backend", "remove", "new", "--yes")
    assert p.ctl("backend", "remove", "new", "--force", "--yes")["changed"] is True
    assert set(rows(p)) == {"dc1"}
    assert "OK" in c.command("b", "NOOP")[-1]
    fails(p, 3, "backend", "remove", "new", "--yes")
    c.close()


def test_remove_one_of_the_file(proxy):
    assert proxy.ctl("backend", "remove", "dc2", "--yes")["changed"] is True
    assert proxy.ctl("backend", "remove", "dc2", "--yes")["changed"] is False
    assert set(rows(proxy)) == {"dc1"}
    crash(proxy)
    assert set(rows(proxy)) == {"dc1"}
    assert proxy.ctl("backend", "reset", "dc2")["changed"] is True
    assert set(rows(proxy)) == {"dc1", "dc2"}


def test_remove_one_with_pinned_users(proxy):
    proxy.ctl("user", "set", USER, "--backend", "dc1")
    proxy.ctl("user", "set", "u2@example.org", "--backend", "dc1", "--pool", "main")
    text = fails(proxy, 1, "backend", "remove", "dc1", "--yes")
    assert "2 users are pinned to dc1" in text and "E_BUSY" in text and set(rows(proxy)) == {"dc1", "dc2"}
    proxy.ctl("user", "move", "--filter", "backend=dc1", "--to", "dc2", "--yes", "--wait")
    assert proxy.ctl("backend", "remove", "dc1", "--yes")["changed"] is True
    assert set(rows(proxy)) == {"dc2"}
    assert "pinned" in fails(proxy, 1, "backend", "remove", "dc2", "--drain", "--wait", "--yes")
    assert rows(proxy)["dc2"]["admin"] == "drain"
    assert proxy.ctl("backend", "remove", "dc2", "--force", "--yes")["changed"] is True
    assert proxy.ctl("--allow-empty", "backend", "list") == []


def test_ambiguous_name(make_proxy, settings, dovecot1):
    settings["pools"] = [{"name": n, "tls": "off", "backends": [backend(dovecot1)]} for n in ("a", "b")]
    p = make_proxy(settings)
    assert "a/dc1" in fails(p, 2, "backend", "drain", "dc1", "--yes")
    p.ctl("backend", "drain", "b/dc1", "--yes")
    assert {r["pool"]: r["admin"] for r in p.ctl("backend", "list")} == {"a": "ready", "b": "drain"}


def test_list_filter_sort_limit(proxy):
    proxy.ctl("backend", "weight", "dc1", "7")
    assert list(rows(proxy, "weight<50")) == ["dc1"]
    assert list(rows(proxy, "dc2")) == ["dc2"]
    assert [r["name"] for r in proxy.ctl("backend", "list", "--sort", "weight")] == ["dc1", "dc2"]
    assert [r["name"] for r in proxy.ctl("backend", "list", "--sort=-weight", "--limit", "1")] == ["dc2"]
    assert "health" in fails(proxy, 2, "backend", "list", "helth=up")


def test_check_now(proxy, dovecot1):
    row = proxy.ctl("backend", "check", "dc1")
    assert row["result"] == "good" and row["name"] == "dc1"
    proxy.ctl("backend", "set", "dc1", "--ports", "imap=1")
    row = proxy.ctl("backend", "check", "dc1")
    assert row["result"] == "failed" and row["text"]
    fails(proxy, 3, "backend", "check", "dc9")


def test_a_server_that_stops_and_comes_back(make_proxy, settings, root, ca, dovecot1):
    """Down after fall, failing fast meanwhile, up after rise; both told as events with their reasons."""
    from conftest import _dovecot
    d = _dovecot(root, ca, "mortal")
    secret = os.path.join(root, "check-password")
    with open(secret, "w") as f:
        f.write("pw\n")
    settings["listeners"].append({"name": "pop3", "protocol": "pop3", "allow_plaintext": True})
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1), backend(d)],
                          "check": {"interval": "100ms", "rise": 2, "fall": 2, "user": USER, "password_file": secret}}]
    try:
        p = make_proxy(settings)
        p.add_user(USER, PASSWORD, backend="mortal")
        p.add_user("u2@example.org", PASSWORD)
        wait.until(lambda: rows(p)["mortal"]["health"] == "up", "mortal to be up")
        assert sorted(p.ctl("backend", "check", "mortal")["text"].split("; ")) == ["imap: ok", "pop3: ok"]
        d.stop()
        row = wait.until(lambda: (lambda r: r if r["health"] == "down" else None)(rows(p)["mortal"]), "mortal to be down")
        # a check that was under way at the end saw its connection closed
        assert re.search("connection (refused|closed)", row["reason"])
        text = p.ctl("backend", "check", "mortal")["text"]
        assert "imap: connect: connection refused" in text and "pop3: connect: connection refused" in text
        assert "checks tell" in p.ctl("route", "explain", USER)["verdict"]
        p.ctl("backend", "hold", "dc1")
        page = p.ctl("system", "metrics")["text"]
        p.ctl("backend", "release", "dc1")
        for name, mortal, dc1 in (("up", 0, 1), ("down", 1, 0), ("down_protocols", 2, 0), ("ready", 1, 0)):
            assert f'mailproxy_backend_{name}{{pool="main",backend="mortal"}} {mortal}\n' in page
            assert f'mailproxy_backend_{name}{{pool="main",backend="dc1"}} {dc1}\n' in page
        c = imap.Lines(p.host, p.ports["imap"])
        c.line()
        assert "UNAVAILABLE" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
        c.close()
        failures = rows(p)["mortal"]["failures"]
        logged_in(p, "u2@example.org").close()
        assert rows(p)["mortal"]["failures"] == failures  # nobody tries it while it is down
        d.start()
        wait.until(lambda: (lambda r: r["health"] == "up" and "down" not in r)(rows(p)["mortal"]), "mortal to be up again")
        logged_in(p).close()
        r = Control(p.control)
        r.call("event.watch", filter="type=backend backend=mortal", last=20)
        r.send({"jsonrpc": "2.0", "id": 2, "method": "system.whoami"})
        texts = []
        while "id" not in (message := r.receive()):
            texts.append(message["params"]["text"])
        r.close()
        assert texts[-1] == "up" and any(re.match("down.*connection (refused|closed)", t) for t in texts)
    finally:
        d.close()


def test_one_protocol_of_a_server_is_down(make_proxy, settings):
    """Its users go elsewhere with that protocol only; listing, event and explanation say which one it is."""
    import poplib
    settings["listeners"].append({"name": "pop3", "protocol": "pop3", "allow_plaintext": True})
    settings["pools"][0]["check"] = {"interval": "100ms", "rise": 1, "fall": 1}
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    wait.until(lambda: {r["health"] for r in rows(p).values()} == {"up"}, "the first checks")
    home = p.ctl("route", "explain", USER)["backend"]
    other = {"dc1": "dc2", "dc2": "dc1"}[home]
    p.ctl("backend", "set", home, "--ports", "pop3=1")
    row = wait.until(lambda: (lambda r: r if r.get("down") else None)(rows(p)[home]), "pop3 to be down")
    assert row["down"] == "pop3" and row["health"] == "up" and row["reason"].startswith("pop3: connect")
    assert rows(p)[other]["health"] == "up" and "down" not in rows(p)[other]
    there = p.ctl("route", "explain", USER, "--listener", "pop3")
    assert there["backend"] == other and there["order"].startswith(f"{home} (ready, up, pop3 down")
    assert p.ctl("route", "explain", USER)["backend"] == home
    c = logged_in(p)
    m = poplib.POP3(p.host, p.ports["pop3"], timeout=30)
    m.user(USER)
    m.pass_(PASSWORD)
    assert {(r["proto"], r["backend"]) for r in p.sessions("state=relay")} == {("imap", home), ("pop3", other)}
    m.quit()
    c.close()


def test_pinned_user_waits_at_a_drained_backend(proxy):
    proxy.ctl("user", "set", USER, "--backend", "dc1")
    proxy.ctl("backend", "drain", "dc1", "--yes")
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    wait.until(lambda: len(proxy.sessions("state=held")) == 1, "the waiting login")
    assert "waits" in proxy.ctl("route", "explain", USER)["verdict"]
    proxy.ctl("backend", "ready", "dc1")
    assert c.until("a ")[-1].startswith("a OK")
    c.close()


def test_pinned_user_moves_when_configured(make_proxy, settings):
    settings["pools"][0]["move_pinned"] = True
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD, backend="dc1")
    p.ctl("backend", "drain", "dc1", "--yes")
    c = logged_in(p)
    assert p.sessions("state=relay")[0]["backend"] == "dc2"
    assert p.ctl("route", "explain", USER)["backend"] == "dc2"
    c.close()


def test_pools(proxy):
    proxy.ctl("backend", "drain", "dc1", "--yes")
    c = logged_in(proxy)
    assert proxy.ctl("pool", "list") == [{"name": "main", "balance": "user", "tls": "off", "backends": 2, "usable": 1,
                                          "sessions": 1, "origin": "file"}]
    c.close()


def test_listener_pause(proxy):
    row = {r["name"]: r for r in proxy.ctl("listener", "list")}["imap"]
    assert row["paused"] is False and row["proto"] == "imap" and row["tls"] == "starttls" and "PLAIN" in row["mechanisms"]
    assert proxy.ctl("listener", "pause", "imap")["changed"] is True
    assert proxy.ctl("listener", "pause", "imap")["changed"] is False
    c = imap.Lines(proxy.host, proxy.ports["imap"], timeout=1)
    with pytest.raises(TimeoutError):
        c.line()
    c.sock.settimeout(30)
    assert proxy.ctl("listener", "resume", "imap")["changed"] is True
    assert proxy.ctl("listener", "resume", "imap")["changed"] is False
    d = imap.Lines(proxy.host, proxy.ports["imap"])
    assert d.line().startswith("* OK")
    assert "imap" in fails(proxy, 3, "listener", "pause", "imapp")
    c.sock.close()
    d.close()


def test_explain(proxy):
    row = proxy.ctl("route", "explain", USER)
    assert row["known"] == "yes" and row["state"] == "active" and row["providers"] == "users"
    assert row["reason"] == "default pool" and row["verdict"] == f"logs in at {row['backend']}"
    assert row["order"].startswith(row["backend"])
    c = logged_in(proxy)
    assert proxy.sessions("state=relay")[0]["backend"] == row["backend"]
    c.close()
    other = {"dc1": "dc2", "dc2": "dc1"}[row["backend"]]
    proxy.ctl("backend", "drain", row["backend"], "--yes")
    assert proxy.ctl("route", "explain", USER)["backend"] == other
    proxy.ctl("backend", "drain", other, "--yes")
    assert proxy.ctl("route", "explain", USER)["verdict"].startswith("fails: no backend")
    proxy.ctl("user", "lock", USER, "--text", "call us", "--yes")
    row = proxy.ctl("route", "explain", USER)
    assert row["verdict"] == "refused: the user is locked: call us" and row["state"] == "locked"
    row = proxy.ctl("route", "explain", "nobody@example.org")
    assert row["known"] == "no" and row["verdict"].startswith("refused: no provider")
    fails(proxy, 3, "route", "explain", USER, "--listener", "pop9")
    proxy.ctl("user", "set", "u2@example.org", "--protocols", "pop3")
    assert "may not use imap" in proxy.ctl("route", "explain", "u2@example.org")["verdict"]


def explain(p, *args):
    return p.ctl("route", "explain", *(args or [USER]))


def test_explain_everything_that_is_in_the_way(make_proxy, settings):
    settings["limits"] = {"sessions_per_user": 1}
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD, backend="dc1")
    c = logged_in(p)
    p.ctl("listener", "pause", "imap")
    p.ctl("backend", "disable", "dc1", "--yes", "--grace", "1h")
    p.ctl("user", "set", USER, "--protocols", "pop3")
    p.ctl("user", "hold", USER)
    row = explain(p)
    assert row["verdict"] == "waits: listener imap is paused" and row["reason"] == "user's backend" and "backend" not in row
    assert row["also"] == ("refused: the user may not use imap; waits: the user is on hold; refused: the user has 1 of 1 sessions; "
                           "waits: its backend dc1 is disabled")
    p.ctl("ban", "add", "192.0.2.0/24", "--yes")
    assert "; refused: 192.0.2.0/24 is banned; " in explain(p, USER, "--ip", "192.0.2.9")["also"]
    c.close()


def test_explain_a_pin_to_nothing(proxy):
    proxy.ctl("backend", "add", "main", "new", "127.0.0.1", "--ports", "imap=9")
    proxy.ctl("user", "set", USER, "--backend", "new")
    proxy.ctl("backend", "remove", "new", "--yes", "--force")
    row = explain(proxy)
    assert row["verdict"] == "fails: the user is pinned to backend new, which is in no pool" and row["reason"] == "user's backend"
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    assert "UNAVAILABLE" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
    c.close()


def test_explain_when_it_is_tried_again(make_proxy, settings):
    """Backends that are down: without checks a login tries again, with them the next check tells."""
    dead = {"name": "dead", "host": "127.0.0.1", "ports": {"imap": net.port("127.0.0.1")}}
    settings["pools"] = [
        {"name": "blind", "tls": "off", "backends": [dead], "check": {"enabled": False}},
        {"name": "seen", "tls": "off", "backends": [{**dead, "name": "gone"}], "check": {"interval": "20s", "fall": 1}}]
    settings["routes"] = [{"domain": "nowhere.example", "pool": "blind"}, {"user": "seen*", "listener": "imap", "pool": "seen"}]
    p = make_proxy(settings)
    for user in ("a@nowhere.example", "seen@example.org"):
        p.add_user(user, PASSWORD)
        c = imap.Lines(p.host, p.ports["imap"])
        c.line()
        assert "UNAVAILABLE" in c.command("a", f"LOGIN {user} {PASSWORD}")[-1]
        c.close()
    wait.until(lambda: rows(p)["gone"]["health"] == "down" and "last_check" in rows(p)["gone"], "the check")
    row = explain(p, "a@nowhere.example")
    assert row["reason"] == "route 1: domain=nowhere.example" and row["pool"] == "blind"
    if "backend" not in row:  # the pause after a failure is short
        assert 0 <= row["retry"] <= 60000 and "dead is tried again in" in row["verdict"]
        assert "dead (ready, down, tried again in" in row["order"]
    row = explain(p, "seen@example.org")
    assert row["reason"] == "route 2: user=seen* listener=imap" and 0 <= row["retry"] <= 20000
    assert row["verdict"].startswith("fails: no backend of pool seen takes logins: gone is down (")
    assert "connection refused); gone is checked again in" in row["verdict"]
    assert row["order"].startswith("gone (ready, down, checked again in")


@pytest.mark.parametrize("balance", ["least", "round-robin"])
def test_explain_other_balancings(make_proxy, settings, balance):
    settings["pools"][0]["balance"] = balance
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    row = explain(p)
    if balance == "least":
        assert row["backend"] == "dc1"
        c = logged_in(p)
        where = p.sessions("state=relay")[0]["backend"]
        assert explain(p)["backend"] == {"dc1": "dc2", "dc2": "dc1"}[where]
        c.close()
        wait.until(lambda: not p.sessions(), "the end of the session")
    else:
        assert "backend" not in row and row["verdict"] == "logs in by turns at dc1, dc2"
    p.ctl("backend", "hold", "dc1")
    row = explain(p)
    assert row["backend"] == "dc2" and row["verdict"] == "logs in at dc2"
    logged_in(p).close()
    p.ctl("backend", "drain", "dc2", "--yes")
    assert explain(p)["verdict"] == "waits: backend dc1 is on hold"


def test_explain_with_an_auth_server(make_proxy, settings, make_auth):
    auth = make_auth(lambda h: {"Auth-Status": "OK"})
    settings["auth"] = [{"type": "users"}, {"type": "http", "url": auth.url}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    row = explain(p, "stranger@example.org")
    assert row["known"] == "no" and row["providers"] == "users, http"
    assert row["verdict"] == f"logs in at {row['backend']}, unless the auth server says otherwise"
    assert explain(p)["verdict"] == f"logs in at {explain(p)['backend']}"
    settings["auth"] = [{"type": "http", "url": auth.url}]
    settings["pools"] = []
    p.configure(settings)
    p.ctl("config", "reload")
    assert explain(p)["verdict"] == "goes where the auth server says"
    assert not auth.requests  # nobody was asked


def test_dynamic_backend(make_proxy, settings, make_auth, dovecot1):
    auth = make_auth(lambda h: {"Auth-Status": "OK", "Auth-Server": dovecot1.host, "Auth-Port": str(dovecot1.ports["imap"])})
    settings["auth"] = [{"type": "http", "url": auth.url}]
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [{"name": "other", "host": "127.0.0.1"}]}]
    p = make_proxy(settings)
    logged_in(p).close()
    name = f"{dovecot1.host}:{dovecot1.ports['imap']}"
    assert rows(p)[name]["origin"] == "dynamic" and rows(p)[name]["pool"] == "(dynamic)"
    p.ctl("backend", "hold", name)
    crash(p)
    assert rows(p)[name]["admin"] == "hold"
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    c.send(f"a LOGIN {USER} {PASSWORD}\r\n")
    wait.until(lambda: p.sessions("state=held"), "the held login")
    p.ctl("backend", "release", name)
    assert c.until("a ")[-1].startswith("a OK")
    fails(p, 3, "backend", "weight", name, "5")
    c.close()


def test_without_any_pool(make_proxy, settings, make_auth, dovecot1):
    """Only servers that the auth server names: without a pool they are trusted with no password unless TLS and their certificate allow it;
    a pool without backends says how else they are reached."""
    auth = make_auth(lambda h: {"Auth-Status": "OK", "Auth-Server": dovecot1.host, "Auth-Port": str(dovecot1.ports["imap"])})
    settings["auth"] = [{"type": "http", "url": auth.url}]
    settings["pools"] = []
    p = make_proxy(settings)
    pid = p.engine_pid()
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert "[UNAVAILABLE]" in c.command("a", f"LOGIN {USER} {PASSWORD}")[-1]
    c.close()
    p.wait_for_log("step=tls")
    p.configure({"pools": [{"name": "named", "tls": "off", "backends": []}]})
    p.ctl("config", "reload")
    c = logged_in(p)
    assert p.sessions("state=relay")[0]["pool"] == "(dynamic)"
    c.close()
    assert p.engine_pid() == pid


def test_unreadable_row_is_reported_and_kept(proxy):
    import sqlite3
    proxy.ctl("backend", "weight", "dc1", "7")
    db = sqlite3.connect(os.path.join(proxy.folder, "state", "mailproxy.db"), timeout=30)
    assert db.execute("UPDATE runtime SET json = '{\"weight\": \"heavy\"}' WHERE kind = 'backend'").rowcount == 1
    db.commit()
    crash(proxy)
    assert rows(proxy)["dc1"]["weight"] == 100
    proxy.wait_for_log("runtime-row-unreadable")
    assert any("cannot be read" in r["effect"] and r["path"] == "main/dc1" for r in proxy.ctl("config", "diff"))
    crash(proxy)
    assert db.execute("SELECT count(*) FROM runtime WHERE kind = 'backend'").fetchone() == (1,)
    assert proxy.ctl("backend", "reset", "dc1")["changed"] is True
    assert proxy.ctl("config", "diff") == []
    assert db.execute("SELECT count(*) FROM runtime WHERE kind = 'backend'").fetchone() == (0,)
    db.close()


def test_changes_of_many_at_once(proxy):
    """Edits do not overtake each other, and all are in force at the end."""
    clients = [Control(proxy.control) for _ in range(10)]
    for i, r in enumerate(clients):
        for n in range(20):
            r.send({"jsonrpc": "2.0", "id": n, "method": "backend.weight",
                    "params": {"name": f"dc{i % 2 + 1}", "weight": 1 + i * 20 + n}})
    for r in clients:
        for n in range(20):
            assert r.receive()["result"]["changed"] is True
        r.close()
    before = {n: r["weight"] for n, r in rows(proxy).items()}
    crash(proxy)
    assert {n: r["weight"] for n, r in rows(proxy).items()} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_nobody_does_what_their_role_forbids(make_proxy, settings):
    """Every command of the table that needs more than a viewer, asked by one."""
    p = control.proxy_for_nobody(make_proxy, settings, "viewer")
    methods = [r["command"].replace(" ", ".") for r in p.ctl("system", "help") if r["role"] != "viewer"]
    assert len(methods) > 30
    _, *answers = control.ask_as_nobody(p, *methods)
    assert [a["error"]["data"]["name"] for a in answers] == ["E_PERM"] * len(methods)
