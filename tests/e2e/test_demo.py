# SPDX-License-Identifier: ISC
"""`make demo`: it starts, what it says to try works, and Ctrl-C leaves nothing behind."""
import os
import re
import signal
import subprocess
import sys

from harness import imap, wait
from harness.proxy import BUILD

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "setup", "demo.py")


def running(folder):
    return subprocess.run(["pgrep", "-f", folder], capture_output=True, text=True).stdout.split()


def test_demo(folder):
    for program in ("mailproxyd", "mailproxyctl"):
        os.symlink(os.path.join(os.path.abspath(BUILD), program), os.path.join(folder, program))
    log = os.path.join(folder, "log")
    with open(log, "w") as out:
        demo = subprocess.Popen([sys.executable, DEMO, folder], stdout=out, stderr=out)
    try:
        def text():
            assert demo.poll() is None, open(log).read()
            return open(log).read()
        wait.until(lambda: "Ctrl-C here" in text(), "the demo")
        place = re.search(r"^Log: (/tmp/mailproxy-demo-[^/]+)/", text(), re.M).group(1)
        assert running(place)
        port = int(re.search(r"connect 127\.0\.0\.1:(\d+)", text()).group(1))
        for user, mail in (("alice", b"This mail is on dc1."), ("bob", b"This mail is on dc2.")):
            m = imap.tls("127.0.0.1", port)
            m.login(user + "@example.org", "demo")
            m.select()
            assert mail in m.fetch("1", "(BODY[TEXT])")[1][0][1]
            m.logout()
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0
    wait.until(lambda: not running(place), "the end of all servers")
    assert not os.path.exists(place)
