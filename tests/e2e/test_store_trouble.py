# SPDX-License-Identifier: ISC
"""A store that cannot be written: nothing is half done, it is said, and what needs no store goes on."""
import os
import sqlite3
import subprocess
import time

import pytest
from harness import wait
from harness.control import Control
from test_backends import crash, fails, rows
from test_control import logged_in
from test_operations import ended

USER, PASSWORD = "u1@example.org", "pw"


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
    text = fails(p, 1, "backend", "drain", "dc1")
    assert name in text and "nothing was changed" in text
    assert name in fails(p, 1, "backend", "weight", "dc1", "7")
    assert name in fails(p, 1, "user", "lock", USER, "--yes")
    assert name in fails(p, 1, "user", "add", "new@example.org", "--no-password")
    after = rows(p)
    assert {n: (r["admin"], r["weight"]) for n, r in after.items()} == {n: (r["admin"], r["weight"]) for n, r in before.items()}
    assert p.ctl("user", "show", USER)["state"] == "active"
    # Without the store it goes.
    assert p.ctl("backend", "drain", "dc1", "--until-restart")["changed"] is True
    assert rows(p)["dc1"]["admin"] == "drain"
    p.ctl("backend", "ready", "dc1", "--until-restart")
    # An operation begins all the same; users that cannot be pinned stay where they are.
    new = {"dc1": "dc2", "dc2": "dc1"}[p.ctl("route", "explain", USER)["backend"]]
    o = ended(p, p.ctl("user", "move", USER, "--to", new)["op"], 60)
    assert o["state"] == "failed" and USER in o["text"]
    assert "backend" not in p.ctl("user", "show", USER)
    d = logged_in(p)
    os.unlink(os.path.join(small, "fill"))
    wait.until(lambda: p.ctl_run("backend", "drain", "dc1", check=False).returncode == 0, "the store")
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
    db.execute("ROLLBACK")
    db.close()
    assert p.ctl("backend", "drain", "dc1")["changed"] is True
    r.close()
