# SPDX-License-Identifier: ISC
"""After an upgrade with sessions in both engines, operators see and steer one daemon."""
import json
import os
import shutil
import signal
import socket
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
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert c.command("a", f"LOGIN {user} {PASSWORDS[user]}")[-1].startswith("a OK")
    return c


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
    wait.until(lambda: len(p.sessions()) == 2, "its sessions in the list")
    # the lock came while it was silent: its user goes at the next word about him
    assert p.ctl("user", "kick", USERS[1], "--yes")["count"] == 1


def test_engine_that_dies(two):
    p, old, new = two
    os.kill(p.pids[0], signal.SIGKILL)
    wait.until(lambda: len(p.sessions()) == 2 and "engine" not in p.sessions()[0], "only the new engine's sessions")
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
