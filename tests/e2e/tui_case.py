# SPDX-License-Identifier: ISC
"""What the tests of mailproxy-tui share: a proxy with two users, dashboards in terminals, sessions."""
import os
import subprocess

import pytest
from harness import imap
from harness.proxy import BUILD
from harness.screen import Screen

USERS = {"u1@example.org": "pw", "u2@example.org": "pw"}


@pytest.fixture
def proxy(make_proxy, settings):
    p = make_proxy(settings)
    for name, password in USERS.items():
        p.add_user(name, password, note="x")
    return p


@pytest.fixture
def open_screen(folder):
    """open_screen(options...) starts a dashboard; all of them are closed at the end."""
    made = []

    def make(*options, **more):
        made.append(Screen(folder, *options, **more))
        return made[-1]

    yield make
    for s in made:
        s.close()


@pytest.fixture
def tui(open_screen, proxy):
    s = open_screen("-s", proxy.control, "-i", "250ms")
    s.until("1 overview")
    return s


def login(p, user="u1@example.org"):
    return imap.logged_in(p, user, "pw")


def once(p, *options, size=(100, 30), env=None):
    """The screen as text."""
    done = subprocess.run([os.path.join(BUILD, "mailproxy-tui"), "-s", p.control, "--once", *options],
                          capture_output=True, text=True, timeout=30,
                          env={**os.environ, "COLUMNS": str(size[0]), "LINES": str(size[1]), "LC_ALL": "C.UTF-8",
                               "XDG_CONFIG_HOME": p.folder, "TZ": "UTC", **(env or {})})
    assert done.returncode == 0, done.stderr
    return done.stdout


def can_login(proxy, user):
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    works = c.command("a", f"LOGIN {user} pw")[-1].startswith("a OK")
    c.close()
    return works
