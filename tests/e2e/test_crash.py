# SPDX-License-Identifier: ISC
"""The engine is killed at each step of a move, an import and a drain: what the store says afterwards is one of two things,
nobody is held, the operation is said to be interrupted, and the same command finishes the work.

A trigger in the store's file stops the step that writes: the engine is within the transaction when it dies."""
import os
import sqlite3
import threading
import time

import pytest
from harness import imap, wait
from harness.control import Control
from test_backends import crash, rows
from test_control import logged_in
from test_operations import at, busy, close, ended, home_of, many, other_than, start

USER, PASSWORD = "u1@example.org", "pw"
# More than any test waits for.
FOREVER = "(WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 20000000000) SELECT count(*) FROM c)"
# Which write never ends.
PIN = "INSERT ON name WHEN new.backend IS NOT NULL"
OP_BEGIN = "INSERT ON runtime WHEN new.kind = 'op'"
OP_END = "UPDATE ON runtime WHEN new.kind = 'op' AND new.json LIKE '%\"ended\"%' AND new.json NOT LIKE '%interrupted%'"
STATE = "INSERT ON runtime WHEN new.kind = 'backend'"


@pytest.fixture
def proxy(make_proxy, settings):
    p = make_proxy(settings)
    for n in (1, 2):
        p.add_user(f"u{n}@example.org", PASSWORD)
    return p


def database(p):
    return sqlite3.connect(os.path.join(p.folder, "state", "mailproxy.db"), timeout=30, isolation_level=None)


class Step:
    """A step of the engine that does not end: a write of the store."""

    def __init__(self, p, when):
        self.p = p
        self.db = database(p)
        self.db.execute(f"CREATE TRIGGER step BEFORE {when} BEGIN SELECT {FOREVER}; END")

    def is_locked(self):
        self.db.execute("PRAGMA busy_timeout = 0")
        try:
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute("ROLLBACK")
            return False
        except sqlite3.OperationalError:
            return True

    def reached(self):
        """The write lock is held, for longer than any other write takes."""
        def is_stuck():
            for _ in range(20):
                if not self.is_locked():
                    return False
                time.sleep(0.02)
            return True
        wait.until(is_stuck, "the step")

    def crash(self):
        self.reached()
        crash(self.p)
        self.db.execute("PRAGMA busy_timeout = 30000")
        self.db.execute("DROP TRIGGER step")
        self.db.close()


def asked(p, method, **params):
    """Sends a command whose answer may never come."""
    r = Control(p.control)
    r.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    return r


def is_safe(p):
    """Whatever was under way: the file is whole, nothing runs or is held, and logins work."""
    db = database(p)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    assert not [o for o in p.ctl("op", "list", "--allow-empty") if o["state"] == "running"]
    assert p.ctl("--allow-empty", "user", "list", "!state=active") == []
    logged_in(p).close()
    assert p.sessions("state=held") == []


def interrupted(p, kind):
    """The one operation, which is said to be interrupted."""
    o = p.ctl("op", "list", f"kind={kind}")
    assert len(o) == 1 and o[0]["state"] == "interrupted" and "restarted" in o[0]["text"], o
    p.wait_for_log("op-interrupted")
    return o[0]


# ---- move ----

def test_move_before_it_is_recorded(proxy):
    step = Step(proxy, OP_BEGIN)
    old = home_of(proxy)
    c = logged_in(proxy)
    r = asked(proxy, "user.move", name=[USER], to=other_than(old))
    step.reached()
    # Nothing begins that could not be told of.
    assert "OK" in c.command("b", "NOOP")[-1] and at(proxy, old)
    step.crash()
    is_safe(proxy)
    assert proxy.ctl("op", "list", "--allow-empty") == []
    assert "backend" not in proxy.ctl("user", "show", USER)
    close([c, r])


@pytest.mark.parametrize("moment", ["told", "waiting"])
def test_move_while_a_session_ends(proxy, moment):
    old = home_of(proxy)
    c = busy(proxy)
    start(proxy, "user", "move", USER, "--to", other_than(old), "--grace", "60s", "--timeout", "60s")
    wait.until(lambda: proxy.sessions("phase=ending"), "the session that was told")
    clients = [c]
    if moment == "waiting":
        d = imap.Lines(proxy.host, proxy.ports["imap"])
        d.line()
        d.send(f"a LOGIN {USER} {PASSWORD}\r\n")
        wait.until(lambda: proxy.sessions("state=held"), "the held login")
        clients.append(d)
    crash(proxy)
    interrupted(proxy, "move")
    is_safe(proxy)
    assert "backend" not in proxy.ctl("user", "show", USER) and home_of(proxy) == old
    close(clients)


@pytest.mark.parametrize("when", [PIN, OP_END], ids=["pin", "end"])
def test_move_while_it_is_written(proxy, when):
    """The pin is the old one as long as its writing has not ended, and the new one afterwards."""
    old = home_of(proxy)
    new = other_than(old)
    c = logged_in(proxy)
    step = Step(proxy, when)
    start(proxy, "user", "move", USER, "--to", new)
    assert "* BYE" in c.rest().decode()
    step.crash()
    interrupted(proxy, "move")
    is_safe(proxy)
    row = proxy.ctl("user", "show", USER)
    assert (row.get("pool"), row.get("backend")) == (("main", new) if when == OP_END else (None, None))
    assert home_of(proxy) == (new if when == OP_END else old)
    # Taken up again, it goes to its end.
    assert ended(proxy, start(proxy, "user", "move", USER, "--to", new))["state"] == "done"
    d = logged_in(proxy)
    assert at(proxy, new)
    close([c, d])


def test_move_of_many_within_one(proxy):
    """The first users are moved, one is within its writing, and the others have not begun."""
    names = [f"m{i}@example.net" for i in range(20)]
    proxy.ctl("user", "import", "-", stdin="name\n" + "".join(f"{n}\n" for n in sorted(names)))
    proxy.ctl("user", "move", "m0@example.net", "--to", "dc1", "--wait")
    step = Step(proxy, "INSERT ON name WHEN new.backend = 'dc2' AND new.name = 'm15@example.net'")
    start(proxy, "user", "move", "--filter", "name=m*@example.net", "--to", "dc2", "--parallel", "1", "--yes")
    step.crash()
    assert [o["state"] for o in proxy.ctl("op", "list", "kind=move")] == ["interrupted", "done"]
    is_safe(proxy)
    pins = {u["name"]: u.get("backend") for u in proxy.ctl("user", "list", "name=m*@example.net")}
    moved = sorted(names)[:sorted(names).index("m15@example.net")]
    assert {n for n, b in pins.items() if b == "dc2"} == set(moved)
    assert {b for n, b in pins.items() if n not in moved} == {None}
    o = ended(proxy, start(proxy, "user", "move", "--filter", "name=m*@example.net", "--to", "dc2", "--yes"))
    assert o["state"] == "done" and f"{len(moved)} there already" in o["text"]


# ---- import ----

CSV = "name,note\n" + "".join(f"i{n:04}@example.net,n\n" for n in range(2000))
STOP = "i1500@example.net"


def imported(p):
    return len(p.ctl("--allow-empty", "user", "list", "name=i*@example.net"))


def test_import_between_two_parts(proxy):
    r = Control(proxy.control)
    assert "result" in r.call("user.import", data=CSV[:20000], part=1, more=True)
    crash(proxy)
    is_safe(proxy)
    assert imported(proxy) == 0 and proxy.ctl("op", "list", "--allow-empty") == []
    # The next engine knows no first part.
    r.close()
    r = Control(proxy.control)
    assert r.call("user.import", data=CSV[20000:], part=2)["error"]["data"]["name"] == "E_BAD_PARAM"
    r.close()


def test_import_before_it_is_recorded(proxy):
    step = Step(proxy, OP_BEGIN)
    r = asked(proxy, "user.import", data=CSV)
    step.crash()
    is_safe(proxy)
    assert imported(proxy) == 0 and proxy.ctl("op", "list", "--allow-empty") == []
    r.close()


@pytest.mark.parametrize("when,count", [(f"INSERT ON user WHEN new.name = '{STOP}'", 0), (OP_END, 2000)], ids=["within", "end"])
def test_import_while_it_is_written(proxy, when, count):
    step = Step(proxy, when)
    out = []
    t = threading.Thread(target=lambda: out.append(proxy.ctl_run("user", "import", "-", stdin=CSV, check=False)))
    t.start()
    step.crash()
    t.join()
    # Who waited for it was told the truth: that it is not known, or that it is done.
    assert out[0].returncode == (5 if count == 0 else 0)
    o = interrupted(proxy, "import")
    assert o["target"] == "users"
    is_safe(proxy)
    assert imported(proxy) == count
    proxy.ctl("user", "import", "-", stdin=CSV)
    assert imported(proxy) == 2000


# ---- drain ----

def test_drain_while_its_state_is_written(proxy):
    c = logged_in(proxy)
    home = proxy.sessions("state=relay")[0]["backend"]
    step = Step(proxy, STATE)
    r = asked(proxy, "backend.drain", name=home, kick=True)
    step.reached()
    # Not before it is written.
    assert rows(proxy)[home]["admin"] == "ready" and "OK" in c.command("b", "NOOP")[-1]
    step.crash()
    is_safe(proxy)
    assert rows(proxy)[home]["admin"] == "ready" and proxy.ctl("op", "list", "--allow-empty") == []
    close([c, r])


@pytest.mark.parametrize("moment", ["deadline", "kicking", "boundary"])
def test_drain_while_it_runs(proxy, moment):
    clients = many(proxy, 4) if moment != "boundary" else [busy(proxy)]
    home = proxy.sessions("state=relay")[0]["backend"]
    start(proxy, "backend", "drain", home, "--yes", *{"deadline": ["--deadline", "1h"], "kicking": ["--kick", "--rate", "1"],
                                             "boundary": ["--kick", "--grace", "60s"]}[moment])
    if moment == "kicking":
        wait.until(lambda: len(at(proxy, home)) < 4, "the first that was sent away")
        assert at(proxy, home)
    elif moment == "boundary":
        wait.until(lambda: proxy.sessions("phase=ending"), "the session that was told")
    crash(proxy)
    o = interrupted(proxy, "drain")
    assert o["total"] == len(clients)
    is_safe(proxy)
    # The state stays, and the work is over: the sessions went with the engine.
    assert rows(proxy)[home]["admin"] == "drain"
    d = logged_in(proxy)
    assert not at(proxy, home)
    assert proxy.ctl("backend", "drain", home, "--yes") == {"count": 0, "changed": False}
    close(clients + [d])


def test_drain_while_its_end_is_written(proxy):
    c = logged_in(proxy)
    home = proxy.sessions("state=relay")[0]["backend"]
    step = Step(proxy, OP_END)
    start(proxy, "backend", "drain", home, "--yes", "--kick")
    assert "* BYE" in c.rest().decode()
    c.close()
    step.crash()
    interrupted(proxy, "drain")
    is_safe(proxy)
    assert rows(proxy)[home]["admin"] == "drain"


def test_removal_while_it_is_written(proxy):
    c = logged_in(proxy)
    home = proxy.sessions("state=relay")[0]["backend"]
    step = Step(proxy, "UPDATE ON runtime WHEN new.kind = 'backend'")
    start(proxy, "backend", "remove", home, "--drain", "--kick", "--yes")
    assert "* BYE" in c.rest().decode()
    c.close()
    step.crash()
    interrupted(proxy, "drain")
    is_safe(proxy)
    assert rows(proxy)[home]["admin"] == "drain"
    assert ended(proxy, start(proxy, "backend", "remove", home, "--drain", "--yes"))["state"] == "done"
    assert home not in rows(proxy)
