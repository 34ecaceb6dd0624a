# SPDX-License-Identifier: ISC
"""The key t: what a session or a user says, live in the dashboard."""
import os
import re
import stat

import pytest
from harness import imap, wait
from tui_case import login, open_screen, proxy  # noqa: F401


@pytest.fixture
def tui(open_screen, proxy):
    s = open_screen("-s", proxy.control, "-i", "250ms", size=(150, 30))
    s.until("1 overview")
    return s


def trace(p):
    return p.ctl("op", "list", "kind=trace")[0]


def test_a_session(tui, proxy, folder):
    c = login(proxy)
    tui.keys("2")
    tui.until(r"u1@example\.org")
    tui.keys("t")
    mine = proxy.sessions()[0]["id"]
    tui.until(rf"session trace id={mine}")
    tui.until(r"under way: relay, user u1@example\.org")
    c.command("b1", "NOOP")
    tui.until(rf"\d\d:\d\d:\d\d\.\d\d\d  {mine} +>>  b1 NOOP\\r\\n")
    tui.keys("p")
    tui.until("PAUSED: p goes on")
    c.command("b2", "NOOP")
    c.command("b3", 'LIST "" INBOX')
    wait.until(lambda: trace(proxy)["done"] > 100, "the bytes")
    tui.until(r"trace of id=\S+: [\d.]+K? of 16M, \d+m left")
    assert not tui.has("b2 NOOP")
    tui.keys("p")
    tui.until(r">>  b2 NOOP\\r\\n(.*\n)*.*<<  b3 OK")
    tui.keys("S")
    tui.until(r"mailproxy-sessions-\S+\.txt")
    tui.keys("C-u", os.path.join(folder, "saved.txt"), "Enter")
    tui.until("saved as")
    path = os.path.join(folder, "saved.txt")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert re.search(r"^\S+  \S+ +>>  b2 NOOP\\r\\n$", text, re.MULTILINE)
    assert trace(proxy)["state"] == "running"
    tui.keys("Escape")
    tui.until(r"sessions  1\b")
    wait.until(lambda: trace(proxy)["state"] == "done", "the end of the trace")
    c.close()


def test_many_lines_scroll(tui, proxy):
    c = login(proxy)
    tui.keys("2")
    tui.until(r"u1@example\.org")
    tui.keys("t")
    tui.until("under way")
    for i in range(60):
        c.command(f"n{i}", "NOOP")
    tui.until("n59 OK")
    tui.keys("g")
    tui.until("under way")
    c.command("last", "NOOP")
    tui.until_gone("n59 OK")
    tui.keys("G")
    tui.until("last OK")
    tui.keys("q")
    c.close()


def test_a_user_who_cannot_log_in(tui, proxy):
    tui.keys("4")
    tui.until(r"u1@example\.org")
    tui.keys("t")
    tui.until(r"session trace user=u1@example\.org")
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    assert c.command("a", "LOGIN u1@example.org wrong-one")[-1].startswith("a NO")
    text = tui.until(r"C<  a NO \[AUTHENTICATIONFAILED\]")
    assert re.search(r"C>  a LOGIN u1@example\.org \*\*\*\*", text) and "wrong-one" not in text
    assert re.search(r"--  login-failed: wrong password", text)
    c.close()
    proxy.ctl("op", "cancel", trace(proxy)["id"])
    tui.until("cancelled")
    tui.keys("Escape")
    tui.until(r"users  2\b")


def test_is_for_admins(open_screen, proxy):
    c = login(proxy)
    s = open_screen("-s", proxy.control, "-i", "250ms", "-r")
    s.until("READ ONLY")
    s.keys("2")
    s.until(r"u1@example\.org")
    s.keys("t")
    s.until("started with -r: nothing is changed from here")
    assert not proxy.ctl("--allow-empty", "op", "list", "kind=trace")
    c.close()
