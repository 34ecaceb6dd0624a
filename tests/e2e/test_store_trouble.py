# SPDX-License-Identifier: ISC
"""A store that cannot be written: nothing is half done, it is said, and what needs no store goes on."""
import glob
import os
import resource
import signal
import sqlite3
import subprocess
import time

import pytest
from harness import wait
from harness.proxy import BUILD
from harness.control import Control
from test_backends import crash, fails, rows
from test_control import logged_in
from test_operations import ended

USER, PASSWORD = "u1@example.org", "pw"
# Commands that change something in the store, and how they are taken back.
CHANGES = [(["backend", "drain", "dc1", "--yes"], ["backend", "ready", "dc1"]),
           (["backend", "weight", "dc1", "7"], ["backend", "reset", "dc1"]),
           (["user", "lock", USER, "--yes"], ["user", "unlock", USER]),
           (["user", "set", USER, "--note", "n"], ["user", "set", USER, "--note", ""]),
           (["user", "add", "new@example.org", "--no-password"], ["user", "remove", "new@example.org", "--yes"])]


def state(p):
    """What the changes would change."""
    user = p.ctl("user", "show", USER)
    return ({n: (r["admin"], r["weight"]) for n, r in rows(p).items()}, user["state"], user.get("note"),
            len(p.ctl("user", "list")))


def serves(p, error):
    """Mail goes on and everything can be looked at, while each change is refused as a whole, with its reason."""
    c = logged_in(p)
    before = state(p)
    for change, _ in CHANGES:
        text = fails(p, 1, *change)
        assert error in text and ("nothing was changed" in text or change[0] == "user"), text
    assert state(p) == before
    # A ban is in force at once, and it is said that it will not last.
    assert "only until a restart" in fails(p, 7, "ban", "add", "192.0.2.77")
    assert [b["subject"] for b in p.ctl("ban", "list")] == ["192.0.2.77"]
    assert "OK" in c.command("b", "NOOP")[-1]
    p.wait_for_log("audit-failed")
    c.close()


def recovers(p, pid):
    """Without a restart; and what is said now is kept over one."""
    for change, back in CHANGES:
        wait.until(lambda: p.ctl_run(*change, check=False).returncode == 0, "the store")
        p.ctl(*back)
    assert p.ctl("ban", "add", "192.0.2.77", "--text", "stored")["changed"] is True
    assert p.engine_pid() == pid
    p.ctl("backend", "drain", "dc1", "--yes")
    crash(p)
    assert rows(p)["dc1"]["admin"] == "drain"
    assert [b["subject"] for b in p.ctl("ban", "list")] == ["192.0.2.77"]
    logged_in(p).close()


def test_file_size_limit(make_proxy, settings):
    """As a quota does it: the store's files may not grow any more."""
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    pid = p.engine_pid()
    path = os.path.join(p.folder, "state", "mailproxy.db")
    db, reader = sqlite3.connect(path), sqlite3.connect(path, isolation_level=None)
    db.execute("CREATE TABLE filler (x)")
    db.execute("INSERT INTO filler VALUES (zeroblob(?))", [2 << 20])
    db.commit()
    # Who reads keeps the writer from beginning its log anew.
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM filler").fetchall()
    was = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 20, was[1]))
    serves(p, "E_STORE_FULL")
    assert p.engine_pid() == pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, was)
    for c in (reader, db):
        c.close()
    recovers(p, pid)


def files(p):
    """The store, its log, and the log's index."""
    return [os.path.join(p.folder, "state", "mailproxy.db" + end) for end in ("", "-wal", "-shm")]


def flush(files):
    """The kernel looks at a mapped page again only once it has been written to the disk."""
    for name in files:
        fd = os.open(name, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


@pytest.fixture
def immutable():
    """Makes files read-only also for root and for those who have them open."""
    changed = []

    def change(flag, files):
        done = subprocess.run(["chattr", flag, *files], capture_output=True)
        if done.returncode != 0:
            pytest.skip("chattr: " + done.stderr.decode().strip())
        changed[:] = files if flag == "+i" else []
    yield change
    if changed:
        change("-i", list(changed))


def test_read_only(make_proxy, settings, immutable):
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    pid = p.engine_pid()
    flush(files(p))
    immutable("+i", files(p))
    serves(p, "E_STORE_READONLY")
    assert p.engine_pid() == pid
    immutable("-i", files(p))
    recovers(p, pid)


def test_index_that_cannot_be_written(make_proxy, settings, immutable):
    """It is mapped into the engine's memory: the kernel says so with a signal that used to end it."""
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    pid = p.engine_pid()
    index = files(p)[2:]
    flush(index)
    immutable("+i", index)
    p.ctl_run("user", "add", "other@example.org", "--no-password", check=False)
    p.wait_for_log("store-read-only")
    serves(p, "E_STORE_READONLY")
    assert p.engine_pid() == pid
    immutable("-i", index)
    recovers(p, pid)


def test_read_only_while_the_engine_starts(make_proxy, settings, immutable):
    """What the store had is read from a copy in memory, the log's latest words too."""
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    p.ctl("backend", "weight", "dc2", "9")
    pid = p.engine_pid()
    everything = glob.glob(os.path.join(p.folder, "state", "mailproxy.db*"))
    assert len(everything) == 5  # the samples for graphs and the lock are beside it
    immutable("+i", everything)
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the next engine")
    line = next(x for x in p.log().splitlines() if "store-read-only" in x)
    assert "mailproxy.db cannot be opened" in line and "changes are refused" in line
    assert "history-not-kept" in p.log()
    assert rows(p)["dc2"]["weight"] == 9
    pid = p.engine_pid()
    serves(p, "E_STORE_READONLY")
    assert p.engine_pid() == pid
    immutable("-i", everything)
    recovers(p, pid)


def test_full_while_the_engine_starts(make_proxy, settings, small):
    """As an engine that takes over, and as the first one of all."""
    p = make_proxy({**settings, "state_dir": small})
    p.add_user(USER, PASSWORD)
    fill(small)
    crash(p)
    serves(p, "E_STORE_FULL")
    os.unlink(os.path.join(small, "fill"))
    p.ctl("ban", "clear", "--all", "--yes")
    p.process.stop()
    fill(small)
    p.start()
    assert "no space left for the store" in next(x for x in p.log().splitlines() if "store-read-only" in x)
    pid = p.engine_pid()
    serves(p, "E_STORE_READONLY")
    os.unlink(os.path.join(small, "fill"))
    recovers(p, pid)


def test_empty_store_that_cannot_be_written(make_proxy, settings, small):
    """Without a store there is nothing to serve from: it says why, and does not start with no users."""
    fill(small)
    p = make_proxy({**settings, "state_dir": small}, start=False)
    done = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-c", p.config], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "no space left for the store" in done.stderr


@pytest.fixture
def small(folder):
    """A file system of 4 MB."""
    path = os.path.join(folder, "small")
    os.makedirs(path)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path],
                                           capture_output=True).returncode != 0:
        pytest.skip("cannot mount a small file system")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(path):
    with open(os.path.join(path, "fill"), "wb", buffering=0) as f:
        size = 65536
        while size:
            try:
                if f.write(b"x" * size) < size:
                    size //= 2
            except OSError:
                size //= 2


def test_full(make_proxy, settings, small):
    p = make_proxy({**settings, "state_dir": small})
    p.add_user(USER, PASSWORD)
    fill(small)
    name = "E_STORE_FULL"
    c = logged_in(p)
    before = rows(p)
    text = fails(p, 1, "backend", "drain", "dc1", "--yes")
    assert name in text and "nothing was changed" in text
    assert name in fails(p, 1, "backend", "weight", "dc1", "7")
    assert name in fails(p, 1, "user", "lock", USER, "--yes")
    assert name in fails(p, 1, "user", "add", "new@example.org", "--no-password")
    after = rows(p)
    assert {n: (r["admin"], r["weight"]) for n, r in after.items()} == {n: (r["admin"], r["weight"]) for n, r in before.items()}
    assert p.ctl("user", "show", USER)["state"] == "active"
    # Without the store it goes.
    assert p.ctl("backend", "drain", "dc1", "--yes", "--until-restart")["changed"] is True
    assert rows(p)["dc1"]["admin"] == "drain"
    p.ctl("backend", "ready", "dc1", "--until-restart")
    # An operation begins all the same; users that cannot be pinned stay where they are.
    new = {"dc1": "dc2", "dc2": "dc1"}[p.ctl("route", "explain", USER)["backend"]]
    o = ended(p, p.ctl("user", "move", USER, "--to", new)["op"], 60)
    assert o["state"] == "failed" and USER in o["text"]
    assert "backend" not in p.ctl("user", "show", USER)
    d = logged_in(p)
    os.unlink(os.path.join(small, "fill"))
    wait.until(lambda: p.ctl_run("backend", "drain", "dc1", "--yes", check=False).returncode == 0, "the store")
    assert p.ctl("user", "lock", USER, "--yes")["changed"] is True
    crash(p)
    assert rows(p)["dc1"]["admin"] == "drain" and p.ctl("user", "show", USER)["state"] == "locked"
    c.close()
    d.close()


def test_locked(make_proxy, settings):
    """Somebody else holds the file: a change waits a while, then it is refused as a whole. Everything else goes on."""
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    db = sqlite3.connect(os.path.join(p.folder, "state", "mailproxy.db"), isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    r = Control(p.control)
    r.send({"jsonrpc": "2.0", "id": 1, "method": "backend.drain", "params": {"name": "dc1"}})
    begin = time.monotonic()
    logged_in(p).close()
    assert p.ctl("user", "show", USER)["name"] == USER and len(rows(p)) == 2
    assert time.monotonic() - begin < 3
    answer = r.receive()["error"]
    assert answer["data"]["name"] == "E_BUSY" and "nothing was changed" in answer["message"]
    assert rows(p)["dc1"]["admin"] == "ready"
    r.close()
    # An engine that starts meanwhile needs to read only.
    crash(p)
    logged_in(p).close()
    db.execute("ROLLBACK")
    db.close()
    pid = p.engine_pid()
    recovers(p, pid)


def test_removed(make_proxy, settings):
    """A file that is removed under the daemon: said before an edit is lost; edits are refused, mail and listings go on."""
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    pid = p.engine_pid()
    path = os.path.join(p.folder, "state", "mailproxy.db")
    r = Control(p.control)
    assert r.call("event.watch", filter="type=trouble")["result"]["stream"]
    os.rename(path, path + ".away")
    assert f"{path} was removed while the daemon runs" in r.receive()["params"]["text"]
    assert "was removed" in p.ctl("system", "status")["trouble"]
    p.wait_for_log("store-lost")
    text = fails(p, 1, "user", "add", "new@example.org", "--no-password")
    assert "E_STORE_GONE" in text and path in text
    serves(p, "E_STORE_GONE")
    # A file that somebody puts there is another store.
    with open(path, "w") as f:
        f.write("not ours")
    assert "E_STORE_GONE" in fails(p, 1, "user", "add", "new@example.org", "--no-password")
    wait.until(lambda: "was replaced" in p.ctl("system", "status")["trouble"], "the other file")
    os.rename(path + ".away", path)
    wait.until(lambda: "trouble" not in p.ctl("system", "status"), "the store")
    r.close()
    recovers(p, pid)
