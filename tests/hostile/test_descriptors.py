# SPDX-License-Identifier: ISC
"""Clients that take every descriptor there is: who was accepted gets its backend, operators get in, nothing spins, and new clients
come in again when others have gone."""
import re
import resource
import socket
import subprocess
import time

import pytest
from conftest import PASSWORD, USER
from harness import control, engine, imap, wait

LIMIT = 192


@pytest.fixture
def small(attacked):
    """A proxy that may have only so many descriptors."""
    p = attacked(start=False)
    p.wrapper = ["prlimit", f"--nofile={LIMIT}:{LIMIT}"]
    p.start()
    p.add_user(USER, PASSWORD)
    return p


def spent(pid):
    """CPU seconds of each thread in the next one."""
    before = engine.threads(pid)
    time.sleep(1)
    return {name: cpu - before.get(name, 0) for name, cpu in engine.threads(pid).items()}


def crowd(p, count):
    """Clients that connect and say nothing; most of them wait in the kernel's queue."""
    return [socket.create_connection((p.host, p.ports["imap"]), timeout=5) for _ in range(count)]


@pytest.mark.parametrize("limit", [96, 128, 256])
def test_operators_get_in_where_there_are_few(attacked, limit):
    """Also when each client that got in has its backend's connection, too, and an edit has to be stored."""
    p = attacked(start=False)
    p.wrapper = ["prlimit", f"--nofile={limit}:{limit}"]
    p.start()
    p.add_user(USER, PASSWORD)
    clients = crowd(p, limit)
    wait.until(lambda: p.ctl("system", "status")["state"] == "full", "the limit")
    count = p.ctl("system", "status")["sessions"]
    for c in clients[:count]:
        c.settimeout(30)
        assert c.recv(200).startswith(b"* OK")
        c.sendall(f'a LOGIN "{USER}" "{PASSWORD}"\r\n'.encode())
    for c in clients[:count]:
        assert c.recv(1000).startswith(b"a OK")
    assert len(p.ctl("session", "list")) == count
    p.add_user("late@example.org", PASSWORD)
    assert p.ctl("config", "reload") == []
    for c in clients:
        c.close()


def test_too_few_for_anybody(attacked):
    """Whoever starts it hears how many it needs; with so many it starts."""
    p = attacked(start=False)
    said = subprocess.run(["prlimit", "--nofile=64:64", p.program, "-c", p.config], capture_output=True, text=True, timeout=60)
    assert said.returncode == 71
    needed = int(re.search(r"64 file descriptors are too few: this configuration needs (\d+)", said.stderr).group(1))
    said = subprocess.run(["prlimit", f"--nofile={needed - 1}:{needed - 1}", p.program, "-c", p.config], capture_output=True, text=True, timeout=60)
    assert said.returncode == 71
    p.wrapper = ["prlimit", f"--nofile={needed}:{needed}"]
    p.start()
    assert p.ctl("session", "list") == []


def test_crowd_takes_all_descriptors(small):
    p = small
    pid = p.engine_pid()
    first = imap.Lines(p.host, p.ports["imap"])
    first.line()
    clients = crowd(p, LIMIT)
    wait.until(lambda: p.ctl("system", "status")["state"] == "full", "the limit")
    assert p.log().count("accept-paused") == 1, "said once"
    # Everybody else goes on: the one that came before logs in, which takes a descriptor, operators come and go, edits are stored.
    assert first.command("a", f'LOGIN "{USER}" "{PASSWORD}"')[-1].startswith("a OK")
    for n in range(4):
        p.add_user(f"n{n}@example.org", PASSWORD)
    assert engine.descriptors(pid) < LIMIT
    # Nobody spins while clients wait.
    assert max(spent(pid).values()) < 0.3
    assert p.log().count("accept-paused") == 1
    # All that came get their greeting when others go.
    for c in clients:
        c.settimeout(30)
        assert c.recv(100).startswith(b"* OK")
        c.close()
    late = imap.Lines(p.host, p.ports["imap"])
    assert late.line().startswith("* OK")
    wait.until(lambda: p.ctl("system", "status")["state"] == "running", "room again")
    for c in (first, late):
        c.close()


def test_operators_take_all_descriptors(small):
    """More of them than there are descriptors: some are turned away, and clients log in meanwhile."""
    p = small
    pid = p.engine_pid()
    inside = imap.Lines(p.host, p.ports["imap"])
    inside.line()
    made = []
    for _ in range(LIMIT + 50):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(p.control)
        made.append(s)
    greetings = [s.recv(1000) for s in made]
    refused = sum(b"no descriptors left" in g for g in greetings)
    assert refused >= 50 and all(greetings), refused
    assert engine.descriptors(pid) < LIMIT - 8
    assert max(spent(pid).values()) < 0.3
    assert inside.command("a", f'LOGIN "{USER}" "{PASSWORD}"')[-1].startswith("a OK")
    for s in made:
        s.close()
    wait.until(lambda: p.ctl("system", "status")["pid"] == pid, "operators again")
    inside.close()


def test_nothing_left_for_anybody(small):
    """Not even the reserve: nothing spins, no backend is blamed, and everything goes on when there is room again."""
    p = small
    pid = p.engine_pid()
    inside = imap.Lines(p.host, p.ports["imap"])
    inside.line()
    name = p.ctl("backend", "list")[0]["name"]
    operator = control.Control(p.control)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, LIMIT))
    clients = crowd(p, 5)
    operators = []
    for _ in range(5):
        s = socket.socket(socket.AF_UNIX)
        s.connect(p.control)
        operators.append(s)
    assert max(spent(pid).values()) < 0.3
    assert p.log().count("accept-paused") == 1
    # Nobody can log in, and a check finds nothing out; neither is a fault of the backend.
    for _ in range(2):
        assert inside.command("a", f'LOGIN "{USER}" "{PASSWORD}"')[-1].startswith("a NO [UNAVAILABLE]")
    for _ in range(3):
        checked = operator.call("backend.check", name=name)["result"]
        assert checked["result"] == "failed" and "this machine lacks" in checked["text"], checked
        assert checked["health"] != "down", checked
    p.wait_for_log("check-not-possible")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    assert inside.command("a", f'LOGIN "{USER}" "{PASSWORD}"')[-1].startswith("a OK")
    for c in clients:
        c.settimeout(10)
        assert c.recv(100).startswith(b"* OK")
        c.close()
    for s in operators:
        s.settimeout(10)
        assert s.recv(1000)
        s.close()
    operator.close()
    inside.close()
