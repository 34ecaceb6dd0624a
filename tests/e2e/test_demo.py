# SPDX-License-Identifier: ISC
"""`make demo`: it starts, what it says to try works, and Ctrl-C leaves nothing behind."""
import json
import os
import pty
import re
import signal
import subprocess
import sys

import pytest
from harness import imap, redis, wait
from harness.proxy import BUILD

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "setup", "demo.py")


def running(folder):
    return subprocess.run(["pgrep", "-f", folder], capture_output=True, text=True).stdout.split()


def link_programs(folder):
    for program in ("mailproxyd", "mailproxyctl"):
        os.symlink(os.path.join(os.path.abspath(BUILD), program), os.path.join(folder, program))


def place_of(text):
    return re.search(r"^Log: (/tmp/mailproxy-demo-[^/]+)/", text, re.M).group(1)


def begin(folder, *args):
    """The demo's process, what it says once all is there, and the folder that it works in."""
    link_programs(folder)
    log = os.path.join(folder, "log")
    with open(log, "w") as out:
        demo = subprocess.Popen([sys.executable, DEMO, folder, *args], stdout=out, stderr=out)

    def text():
        assert demo.poll() is None, open(log).read()
        return open(log).read()
    wait.until(lambda: "Ctrl-C here" in text(), "the demo", 60)
    return demo, text(), place_of(text())


def end(demo, place):
    assert running(place)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 0
    wait.until(lambda: not running(place), "the end of all servers")
    assert not os.path.exists(place)


def test_demo(folder):
    demo, text, place = begin(folder)
    try:
        port = int(re.search(r"connect 127\.0\.0\.1:(\d+)", text).group(1))
        for user, mail in (("alice", b"This mail is on dc1."), ("bob", b"This mail is on dc2.")):
            m = imap.tls("127.0.0.1", port)
            m.login(user + "@example.org", "demo")
            m.select()
            assert mail in m.fetch("1", "(BODY[TEXT])")[1][0][1]
            m.logout()
    finally:
        end(demo, place)


def test_a_terminal_that_goes_away(folder):
    """A window that is closed, or a connection of ssh that breaks: the kernel tells the terminal's first process only, which may be a
    make that waits for us."""
    link_programs(folder)
    ours, its = pty.openpty()
    demo = subprocess.Popen([sys.executable, DEMO, folder], stdin=its, stdout=its, stderr=its)
    os.close(its)
    text = ""
    while "ends everything.\n" not in text:
        text += os.read(ours, 4096).decode().replace("\r", "")
    os.close(ours)
    assert demo.wait(30) == 0
    wait.until(lambda: not running(place_of(text)), "the end of all servers")
    assert not os.path.exists(place_of(text))


def test_demo_of_a_fleet(folder):
    if redis.missing():
        pytest.skip(redis.missing())
    demo, text, place = begin(folder, "--fleet")
    try:
        clients = []
        for port in re.findall(r"^  px\d: (\d+)$", text, re.M):
            clients.append(imap.tls("127.0.0.1", int(port)))
            clients[-1].login("carol@example.org", "demo")
        ctl = [os.path.join(folder, "mailproxyctl"), "-s", re.search(r"MAILPROXY_SOCKET=(\S+)", text).group(1), "--fleet", "-o", "json"]
        rows = json.loads(subprocess.run([*ctl, "sessions"], check=True, capture_output=True).stdout)
        assert [r["node"] for r in rows] == ["px1", "px2", "px3"] and len({r["backend"] for r in rows}) == 1
        for c in clients:
            c.logout()
    finally:
        end(demo, place)
