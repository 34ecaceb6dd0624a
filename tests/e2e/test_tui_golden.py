# SPDX-License-Identifier: ISC
"""Every screen of mailproxy-tui as it is known to be right, at four sizes, with what differs from run to run masked.

The texts are in golden/; MAILPROXY_GOLDEN=write writes them anew, for somebody to look at.
"""
import difflib
import os
import re

import pytest
from harness import wait
from harness.proxy import OPERATOR
from tui_case import login, once, proxy  # noqa: F401

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
NAMES = ["overview", "sessions", "backends", "users", "bans", "events", "operations", "failures", "groups"]
SIZES = [(80, 24), (132, 50), (40, 10), (1, 1)]

MASKS = [
    (r"\b\d\d-\d\d \d\d:\d\d\b(?!:)", "TIME"),  # of another day
    (r"\d\d:\d\d:\d\d", "TIME"),
    (r"127\.\d+\.\d+\.\d+(:\d+)?", "ADDRESS"),
    (r"\b\d+-[0-9a-f]+\b(?! of)", "ID"),
    (r"[⠀-⣿]+", " "),  # how high a curve is, and in how many samples a login lies, is chance
    (r"[▁▂▃▄▅▆▇█░]+", "▆"),
    (r"(?<![\w./])\d+(\.\d+)*[A-Za-z%]{0,2}(?![\w./])", "#"),
    (r" +", " "),
    (r" peak #(, #)?( in #)?", ""),  # long numbers leave no room for it
    (r"▆( ▆)+", "▆"),
    (r" (CHECK-MS|ORIGIN)$|(?<=TIME TIME) (#|file|runtime)$", ""),  # a check in no time leaves room for the other
    (r"▆ (?=# # # # ago$)", ""),  # logins of the last half minute, which a slow machine is behind
    (r" CERT-FILE$| /\S+/ca/\S+$", ""),  # a long address leaves no room for it
]


def mask(text):
    lines = []
    for line in text.split("\n"):
        for pattern, word in MASKS:
            line = re.sub(pattern, word, line)
        if not re.search(r"backend - - (- dc[12] )?up", line):  # the first checks end at any time
            lines.append(line.rstrip())
    return "\n".join(lines)


@pytest.fixture
def busy(proxy):
    """A proxy on which something of everything has happened."""
    wait.until(lambda: all(b["health"] == "up" for b in proxy.ctl("backend", "list")), "the checks")
    proxy.ctl("user", "set", "u1@example.org", "--backend", "dc1")
    proxy.ctl("user", "lock", "u2@example.org", "--text", "Call us", "--yes")
    proxy.ctl("ban", "add", "192.0.2.0/24", "--yes", "--for", "10m", "--text", "Go away", "--reason", "ticket 4711")
    proxy.ctl("backend", "weight", "dc2", "50")
    proxy.ctl("backend", "drain", "dc2", "--yes")
    wait.until(lambda: proxy.ctl("op", "list")[0]["state"] == "done", "the drain")
    c = login(proxy)
    c.command("b", "NOOP")
    wait.until(lambda: proxy.ctl("user", "show", "u1@example.org").get("last_login"), "the time of the login")
    wait.until(lambda: any(s["in"] for s in proxy.ctl("stats", "history")), "a sample of the login")
    wait.until(lambda: any(b.get("p50") for b in proxy.ctl("backend", "list")), "how long the login took")
    yield proxy
    c.close()


def path_of(name):
    return os.path.join(FOLDER, f"tui-{name}.txt")


def golden(name):
    """The text that is known to be right."""
    with open(path_of(name), encoding="utf-8") as f:
        return f.read()


def write_if_asked(name, text):
    if os.environ.get("MAILPROXY_GOLDEN") == "write":
        with open(path_of(name), "w", encoding="utf-8") as f:
            f.write(text)


def test_screens(busy):
    differences = []
    for name in NAMES:
        if OPERATOR != "root" and re.search(r"\broot\b", golden(name)):
            continue  # a name of another length moves the columns
        text = "# SPDX-License-Identifier: ISC\n"
        for w, h in SIZES:
            text += f"==== {w}x{h}\n" + mask(once(busy, "--screen", name, size=(w, h)))
        write_if_asked(name, text)
        differences += difflib.unified_diff(golden(name).split("\n"), text.split("\n"), name, "now", lineterm="")
    assert not differences, "\n".join(differences)
