# SPDX-License-Identifier: ISC
"""After an upgrade with sessions in both engines, operators see and steer one daemon."""
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
from conftest import backend
from harness import imap, wait
from harness.proxy import BUILD, allowance

PASSWORDS = {"u1@example.org": "pw", "u2@example.org": "pw", "carol@example.org": "secret-c"}
USERS = list(PASSWORDS)


def install(p):
    """A new file in the program's place, as a package manager does."""
    shutil.copy(os.path.join(BUILD, "mailproxyd"), p.program + ".new")
    os.replace(p.program + ".new", p.program)


@pytest.fixture
def proxy(make_proxy, settings, dovecot1, folder):
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
    p = make_proxy(settings, start=False)
    p.program = os.path.join(folder, "mailproxyd")
    install(p)
    p.start()
    for name in USERS:
        p.add_user(name, PASSWORDS[name])
    yield p


def login(p, user):
    return imap.logged_in(p, user, PASSWORDS[user])


def upgrade(p):
    before = p.engine_pid()
    install(p)
    done = json.loads(p.ctl_run("-o", "json", "system", "upgrade", "--wait").stdout)
    assert done["state"] == "done", done
    return before, p.engine_pid()


@pytest.fixture
def two(proxy):
    """u1 and u2 in the old engine, u1 and u3 in the new one."""
    old = [login(proxy, USERS[0]), login(proxy, USERS[1])]
    proxy.pids = upgrade(proxy)
    new = [login(proxy, USERS[0]), login(proxy, USERS[2])]
    yield proxy, old, new
    for c in old + new:
        c.close()


def lives(c):
    return c.command("n", "NOOP")[-1].startswith("n OK")


def test_lists(two):
    p, old, new = two
    rows = p.sessions()
    assert sorted(r["user"] for r in rows) == sorted([USERS[0], USERS[0], USERS[1], USERS[2]])
    assert {(r["user"], r["engine"]) for r in rows} == {(USERS[0], p.pids[0]), (USERS[1], p.pids[0]), (USERS[0], p.pids[1]), (USERS[2], p.pids[1])}
    assert len({r["id"] for r in rows}) == 4
    assert [r["user"] for r in p.sessions("--sort", "-user")] == [USERS[1], USERS[0], USERS[0], USERS[2]]
    assert [r["user"] for r in p.sessions("--sort", "started", "--limit", "2")] == [USERS[0], USERS[1]]
    assert [r["user"] for r in p.sessions(f"engine={p.pids[0]}", "--sort", "user")] == USERS[:2]
    for r in rows:
        assert p.ctl("session", "show", r["id"])["user"] == r["user"]
    # a column only when there is more than one
    assert "ENGINE" in p.ctl_run("-o", "table", "session", "list").stdout.splitlines()[0]
    assert p.ctl("user", "show", USERS[0])["sessions"] == 2


def test_kill(two):
    p, old, new = two
    ids = {(r["user"], r["engine"]): r["id"] for r in p.sessions()}
    # too many in both together
    done = p.ctl_run("session", "kill", f"user={USERS[0]}", "--max", "1", "--yes", check=False)
    assert done.returncode == 1 and all(lives(c) for c in old + new)
    assert p.ctl("session", "kill", f"user={USERS[0]}", "--dry-run")["count"] == 2
    # by id, wherever it is
    assert p.ctl("session", "kill", ids[USERS[1], p.pids[0]], "--yes")["count"] == 1
    assert old[1].rest().startswith(b"* BYE")
    # by filter, in both
    assert p.ctl("session", "kill", f"user={USERS[0]}", "--text", "off you go", "--yes")["count"] == 2
    for c in old[0], new[0]:
        assert b"off you go" in c.rest()
    assert lives(new[1])
    # unknown everywhere
    wait.until(lambda: p.ctl_run("session", "show", ids[USERS[1], p.pids[0]], check=False).returncode == 3, "its end")


def test_lock_and_kick(two):
    p, old, new = two
    done = p.ctl("user", "lock", USERS[0], "--yes")
    assert done["count"] == 2 and "unreached" not in done
    assert b"locked" in old[0].rest() and b"locked" in new[0].rest()
    assert p.ctl("user", "kick", USERS[1], "--yes")["count"] == 1
    assert old[1].rest().startswith(b"* BYE")
    wait.until(lambda: "old_pid" not in p.ctl("system", "status"), "the old engine's end")
    assert "engine" not in p.sessions()[0]


def test_drain(two):
    p, old, new = two
    op = p.ctl("backend", "drain", "dc1", "--kick", "--yes", "--wait")
    assert op["state"] == "done" and "no sessions left" in op["text"], op
    assert all(c.rest().startswith(b"* BYE") for c in old + new)
    assert op["total"] == 4 and op["done"] == 4, op


def test_rate_of_both(two):
    p, old, new = two
    begun = time.monotonic()
    p.ctl("session", "kill", "--all", "--rate", "2", "--yes", "--wait")
    assert time.monotonic() - begun >= 1.4  # four at two a second, and not each engine for itself
    assert all(c.rest().startswith(b"* BYE") for c in old + new)


def test_trace(two):
    p, old, new = two
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(p.control)
        f = s.makefile("rwb", buffering=0)
        f.readline()
        f.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "session.trace", "params": {"filter": f"user={USERS[0]}"}}).encode() + b"\n")
        assert b'"stream"' in f.readline()
        seen = set()
        while len(seen) < 2:  # what each engine relays comes in one stream
            for c in old[0], new[0]:
                assert lives(c)
            row = json.loads(f.readline())["params"]
            if "NOOP" in row["text"]:
                seen.add(row["session"])
    assert seen == {r["id"] for r in p.sessions(f"user={USERS[0]}")}


def test_silent_engine(two):
    """Stopped: named in time, with 7; nobody is held up. When it goes on, it has missed nothing."""
    p, old, new = two
    os.kill(p.pids[0], signal.SIGSTOP)
    try:
        begun = time.monotonic()
        done = p.ctl_run("session", "list", check=False)
        assert done.returncode == 7 and str(p.pids[0]) in done.stderr and USERS[2] in done.stdout, done
        assert time.monotonic() - begun < allowance(5)
        # now it is known
        begun = time.monotonic()
        for command in (["user", "lock", USERS[1], "--yes"], ["session", "kill", f"user={USERS[0]}", "--yes"],
                        ["backend", "list"], ["stats", "show"], ["system", "status"], ["ban", "add", "192.0.2.7"]):
            done = p.ctl_run(*command, check=False)
            assert done.returncode == 7 and str(p.pids[0]) in done.stderr, (command, done)
        assert time.monotonic() - begun < allowance(3)
        assert p.ctl_run("session", "show", "63-1", check=False).returncode == 7
        op = json.loads(p.ctl_run("-o", "json", "backend", "drain", "dc1", "--kick", "--yes", "--wait", check=False).stdout)
        assert op["state"] == "partly done" and str(p.pids[0]) in op["text"], op
        assert new[0].rest().startswith(b"* BYE") and new[1].rest().startswith(b"* BYE")
    finally:
        os.kill(p.pids[0], signal.SIGCONT)
    p.wait_for_log("engine-answers")
    # the lock came while it was silent: now it learns of it, and its user goes; the other one stays
    assert b"locked" in old[1].rest()
    wait.until(lambda: len(p.sessions()) == 1, "its session in the list")
    assert lives(old[0])


def test_events_of_both(two):
    """One stream and one history: what an engine that finishes tells has its process id."""
    p, old, new = two
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(p.control)
        f = s.makefile("rwb", buffering=0)
        f.readline()
        f.write(b'{"jsonrpc": "2.0", "id": 1, "method": "event.watch", "params": {"filter": "type=end"}}\n')
        assert b'"stream"' in f.readline()
        old[0].close()
        row = json.loads(f.readline())["params"]
        assert row["user"] == USERS[0] and row["engine"] == str(p.pids[0]) and row["age"] > 0
        new[0].close()
        row = json.loads(f.readline())["params"]
        assert row["user"] == USERS[0] and "engine" not in row
    rows = p.ctl("event", "list", "type=end", f"user={USERS[0]}")
    assert [r.get("engine") for r in rows] == [None, str(p.pids[0])]
    assert len(p.ctl("event", "list", f"engine={p.pids[0]}", "type=end")) == 1


def test_automatic_bans_of_both(proxy):
    """Who guesses at the program before the upgrade is refused by the one after it, and the other way round."""
    p = proxy
    p.configure({"limits": {"failures_before_ban": 2, "ban": "1h", "trusted": []}, "timeouts": {"failure_delay": "0"}})
    p.ctl("config", "reload")
    early = {source: imap.Lines(p.host, p.ports["imap"], source=source) for source in ("127.0.0.5", "127.0.0.6")}
    assert all(c.line().startswith("* OK") for c in early.values())
    upgrade(p)
    for word in ("wrong1", "wrong2"):
        assert early["127.0.0.5"].command("a", f"LOGIN {USERS[0]} {word}")[-1].startswith("a NO [AUTH")
    row, = wait.until(lambda: p.ctl("ban", "list", "--allow-empty"), "the ban of the old engine")
    assert (row["subject"], row["by"]) == ("127.0.0.5", "failures")
    assert imap.Lines(p.host, p.ports["imap"], source="127.0.0.5").line().startswith("* BYE [LIMIT]")
    guesser = imap.Lines(p.host, p.ports["imap"], source="127.0.0.6")
    guesser.line()
    for word in ("wrong1", "wrong2"):
        assert guesser.command("a", f"LOGIN {USERS[0]} {word}")[-1].startswith("a NO [AUTH")
    wait.until(lambda: len(p.ctl("ban", "list")) == 2, "the ban of the new engine")
    assert early["127.0.0.6"].command("a", f"LOGIN {USERS[0]} {PASSWORDS[USERS[0]]}")[-1].startswith("a NO [LIMIT]")


def test_operations_of_both(proxy):
    """A drain that began before the upgrade is listed, shown, waited for and cancelled like any other."""
    c = login(proxy, USERS[0])
    drain = proxy.ctl("backend", "drain", "dc1", "--yes")["op"]
    before, _ = upgrade(proxy)
    row = wait.until(lambda: next((o for o in proxy.ctl("op", "list", "state=running", "--allow-empty") if o["id"] == drain), None),
                     "the drain")
    assert row["engine"] == before and row["total"] == 1 and proxy.ctl("op", "show", drain)["state"] == "running"
    assert proxy.ctl("op", "cancel", drain)["changed"] is True
    row = wait.until(lambda: (lambda o: o if o["state"] == "cancelled" else None)(proxy.ctl("op", "show", drain)), "its end")
    assert "engine" not in row and proxy.ctl("op", "cancel", drain)["changed"] is False
    assert lives(c)
    c.close()


def test_an_engine_dies_with_its_operation(proxy):
    c = login(proxy, USERS[0])
    drain = proxy.ctl("backend", "drain", "dc1", "--yes")["op"]
    before, _ = upgrade(proxy)
    wait.until(lambda: proxy.ctl("op", "show", drain)["state"] == "running", "the drain")
    os.kill(before, signal.SIGKILL)
    wait.until(lambda: proxy.ctl("op", "show", drain)["state"] == "interrupted", "its end")
    c.close()


def sessions_of_all(p):
    """The sessions of all engines; None while one that has just died is still counted, which exit 7 tells."""
    done = p.ctl_run("-o", "json", "--allow-empty", "session", "list", check=False)
    assert done.returncode in (0, 7), done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_move_over_both(two, dovecot2):
    """Held, ended and flipped in both engines: the move is done when neither has a session at the old place."""
    p, old, new = two
    p.ctl("backend", "add", "main", "dc2", dovecot2.host, "--ports", ",".join(f"{k}={v}" for k, v in backend(dovecot2)["ports"].items()))
    done = json.loads(p.ctl_run("-o", "json", "user", "move", USERS[0], USERS[1], USERS[2], "--to", "dc2", "--yes", "--wait").stdout)
    assert done["state"] == "done" and done["done"] == 3, done
    assert all(c.rest().startswith(b"* BYE") for c in old + new)
    c = login(p, USERS[0])
    for ended in old + new:
        ended.close()
    wait.until(lambda: [s["backend"] for s in p.sessions()] == ["dc2"], "the session at the new place alone")
    # What became of each user is told by the engine after the next upgrade, too; nobody works for an operation that is over.
    users = p.ctl("op", "users", done["id"])
    assert {r["user"]: r["state"] for r in users} == {u: "moved" for u in USERS}
    upgrade(p)
    assert p.ctl("op", "users", done["id"]) == users
    late = p.ctl_run("op", "resume", done["id"], "--exec", "true {user}", check=False)
    assert late.returncode == 1 and "it is over" in late.stderr, late.stderr
    c.close()


def test_an_engine_dies_within_a_command(two):
    """While it is asked: the command answers with what is left, and names it or finds that it is gone."""
    p, old, new = two
    os.kill(p.pids[0], signal.SIGSTOP)
    child = subprocess.Popen([os.path.join(BUILD, "mailproxyctl"), "-o", "json", "session", "kill", "--all", "--yes"],
                             env={**os.environ, "MAILPROXY_SOCKET": p.control}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.1)  # whichever comes first, the answer is about the engine that is there
    os.kill(p.pids[0], signal.SIGKILL)
    out, errors = child.communicate(timeout=30)
    assert child.returncode in (0, 7), errors
    assert json.loads(out)["count"] == 2
    assert all(c.rest().startswith(b"* BYE") for c in new)
    wait.until(lambda: sessions_of_all(p) == [], "no session")


def test_counts_of_both(two):
    p, old, new = two
    assert p.ctl("system", "status")["sessions"] == 4 and p.ctl("backend", "show", "dc1")["sessions"] == 4
    assert p.ctl("stats", "show")["relaying"] == 4
    assert {r["key"]: r["sessions"] for r in p.ctl("user", "top")} == {USERS[0]: 2, USERS[1]: 1, USERS[2]: 1}
    old[0].close()
    wait.until(lambda: p.ctl("stats", "show")["relaying"] == 3 and p.ctl("backend", "show", "dc1")["sessions"] == 3, "one less")


def subjects(p):
    return {r["subject"]: r["sessions"] for r in p.ctl("limit", "list")}


def test_limits_of_both(two):
    """Sessions of the old engine count against the limits of users and addresses, and are listed; when they end, or the engine dies, no more."""
    p, old, new = two
    wait.until(lambda: subjects(p) == {"127.0.0.1": 4, USERS[0]: 2, USERS[1]: 1, USERS[2]: 1}, "the sessions of both")
    assert {r["name"]: r["sessions"] for r in p.ctl("user", "list", "--offset", "0")} == {USERS[0]: 2, USERS[1]: 1, USERS[2]: 1}
    assert p.ctl("limit", "show", USERS[0])["sessions"] == 2 and p.ctl("limit", "show", "127.0.0.1")["sessions"] == 4
    p.ctl("limit", "set", USERS[0], "--sessions", "2")
    assert p.ctl("route", "explain", USERS[0])["verdict"] == "refused: the user has 2 of 2 sessions"
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert c.command("a", f"LOGIN {USERS[0]} {PASSWORDS[USERS[0]]}")[-1].startswith("a NO [LIMIT]")
    c.close()
    old[0].close()
    wait.until(lambda: subjects(p) == {"127.0.0.1": 3, USERS[0]: 1, USERS[1]: 1, USERS[2]: 1}, "one less")
    login(p, USERS[0]).close()
    wait.until(lambda: subjects(p).get(USERS[0]) == 1, "its end")
    os.kill(p.pids[0], signal.SIGKILL)
    wait.until(lambda: subjects(p) == {"127.0.0.1": 2, USERS[0]: 1, USERS[2]: 1}, "those of the engine that is left")


def test_engine_that_dies(two):
    p, old, new = two
    os.kill(p.pids[0], signal.SIGKILL)
    rows = wait.until(lambda: sessions_of_all(p), "an answer of all engines that are left")
    assert len(rows) == 2 and all("engine" not in r for r in rows)
    assert p.ctl("session", "kill", "--all", "--yes")["count"] == 2


def test_two_upgrades(two):
    p, old, new = two
    second, third = upgrade(p)
    last = login(p, USERS[1])
    assert second == p.pids[1]
    rows = p.sessions()
    assert sorted({r["engine"] for r in rows}) == sorted([*p.pids, third]) and len(rows) == 5
    assert p.ctl("user", "kick", USERS[0], USERS[1], "--yes")["count"] == 4
    assert all(c.rest().startswith(b"* BYE") for c in (*old, new[0], last))
    wait.until(lambda: len(p.sessions()) == 1, "one session left")
    # each has a control socket of its own
    assert p.ctl("system", "status", socket=p.control + ".old2")["pid"] == second
    assert lives(new[1])
    last.close()
