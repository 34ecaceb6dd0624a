# SPDX-License-Identifier: ISC
"""Several daemons in one view: what is added up, which daemon a row is of and an action goes to, and what happens when one
is away or silent."""
import os
import signal

import pytest
from harness import wait
from harness.proxy import BUILD
from test_remote import FAKE
from tui_case import USERS, login, once, open_screen, proxy  # noqa: F401

FIRST, SECOND = USERS


@pytest.fixture
def other(make_proxy, settings):
    listeners = [{k: v for k, v in one.items() if k != "address"} for one in settings["listeners"]]
    p = make_proxy({**settings, "node": "second", "listeners": listeners})
    for name, password in USERS.items():
        p.add_user(name, password, note="y")
    return p


@pytest.fixture
def both(open_screen, proxy, other):  # noqa: F811
    s = open_screen("-s", proxy.control, "-s", other.control, "-i", "250ms", size=(150, 40))
    s.until(r"^ 2 daemons  mailproxy")
    return s


def state(p):
    return p.ctl("user", "show", FIRST)["state"]


def test_totals_and_tabs(both, proxy, other):  # noqa: F811
    clients = [login(proxy), login(other), login(other, SECOND)]
    both.until(r"^ all  test  second$")
    both.until(r"^ imap +3 +3 ")
    both.until(r"^ test main/\S+ +up")
    both.until(r"^ second main/\S+ +up")
    both.until(rf"{FIRST} +2 ")
    both.keys("]")
    both.until(r"^ test  mailproxy")
    both.until(r"^ imap +1 +1 ")
    both.keys("]")
    both.until(r"^ second  mailproxy")
    both.until(r"^ imap +2 +2 ")
    both.keys("]")
    both.until(r"^ 2 daemons  mailproxy")
    for c in clients:
        c.close()


def test_actions_go_to_the_daemon_of_the_row(both, proxy, other):  # noqa: F811
    clients = [login(proxy), login(other)]
    both.keys("2")
    both.until(r"NODE +ID")
    both.until(rf"^ second .*{FIRST}")
    both.until(rf"^ test .*{FIRST}")
    both.keys("/", "proto=imap", "Enter")
    rows = [line.split()[0] for line in both.lines() if FIRST in line]
    assert sorted(rows) == ["second", "test"]
    both.keys("Home", *["Down"] * rows.index("second"), "x")
    both.until(rf"End session \d-1 \({FIRST}\) at second\?")
    both.keys("y")
    both.until(r"ended|ends")
    wait.until(lambda: not other.sessions(), "the end of the session at the second daemon")
    assert len(proxy.sessions()) == 1
    # Both: each daemon gets its own.
    clients.append(login(other))
    both.until(rf"^ second +{other.sessions()[0]['id']} ")  # the one that ended is still shown
    wait.until(lambda: len([line for line in both.lines() if FIRST in line]) == 2, "the end of the row")
    both.keys("*")
    both.until("2 marked")
    both.keys("x")
    both.until(r"End 2 sessions at 2 daemons\?")
    both.keys("2", "Enter", "y")
    wait.until(lambda: not other.sessions() and not proxy.sessions(), "the end of both sessions")
    for c in clients:
        c.close()


def first_words(s, text):
    return [line.split()[0] for line in s.lines() if text in line]


def test_which_node(both, proxy, other):  # noqa: F811
    """Whose rows they are stays to be seen on a narrow terminal; it orders and filters, here and in mailproxyctl."""
    clients = [login(proxy), login(other, SECOND), login(proxy, SECOND)]
    both.keys("2")
    both.until(rf"^ second .*{SECOND}")
    wait.until(lambda: len(first_words(both, "example.org")) == 3, "three rows")
    both.keys("s", "1")
    wait.until(lambda: first_words(both, "example.org") == ["second", "test", "test"], "the order of nodes")
    both.keys("s", "1")
    wait.until(lambda: first_words(both, "example.org") == ["test", "test", "second"], "the order turned round")
    both.resize(60, 20)
    both.until(rf"NODE.* ID +(\S+ +)*USER")
    both.until(rf"^ second .*{SECOND}")
    both.keys("W", "Right", "Right")
    both.until(r"^ NODE\S* +ID ")
    both.keys("W", "/", "node=second", "Enter")
    both.until_gone(r"^ test ")
    both.until(rf"^ second .*{SECOND}")
    both.resize(150, 40)
    for screen, row in (("4", FIRST), ("6", "login")):
        both.keys(screen, "/", "node=sec*", "Enter")
        both.until_gone(r"^ test ")
        both.until(rf"^ second .*({row})")
    sockets = ("-o", "tsv", "-H", "-s", proxy.control, "-s", other.control)
    assert proxy.ctl_run(*sockets, "sessions", "-c", "user", "node=second").stdout.split() == ["second", SECOND]
    rows = proxy.ctl_run(*sockets, "--sort", "-node", "sessions", "-c", "proto").stdout.split()
    assert rows == ["test", "imap", "test", "imap", "second", "imap"]
    done = proxy.ctl_run(*sockets, "session", "kill", "node=second", "--yes", check=False)
    assert done.returncode == 0 and done.stdout.startswith("second\t") and "\ntest\t" not in done.stdout
    wait.until(lambda: not other.sessions(), "the end of the one at the second daemon")
    assert len(proxy.sessions()) == 2
    for c in clients:
        c.close()


def test_the_same_name_twice(both, proxy, other):  # noqa: F811
    """A user of both daemons is locked at one; a group is of all, and so is what is done to it."""
    clients = [login(proxy), login(other), login(other)]
    both.keys("4", "/", "note=y", "Enter")
    both.until(rf"^ second +{FIRST}")
    both.until_gone(r"^ test ")
    both.keys("L")
    both.until(rf"Lock out user {FIRST} at second\?")
    both.until(r"2 sessions now")
    both.keys("y")
    wait.until(lambda: state(other) == "locked", "the lock")
    assert state(proxy) == "active"
    clients.append(login(other, SECOND))
    clients.append(login(proxy, SECOND))
    both.keys("Escape", "9")
    both.until(rf"^ {SECOND} +2 ")
    both.keys("/", SECOND, "Enter")
    both.until(r"groups by user  1, 2 in all  filter")
    both.keys("x")
    both.until(rf"End all 2 sessions that match user=\S*{SECOND}.* at all 2 daemons\?")
    both.keys("2", "Enter", "y")
    wait.until(lambda: len(proxy.sessions()) == 1 and not other.sessions(), "the end of the group")
    for c in clients:
        c.close()


def test_away(both, proxy, other):  # noqa: F811
    """A daemon that is gone is named, and the others are shown as ever."""
    client = login(proxy)
    both.keys("2")
    both.until(rf"^ test .*{FIRST}")
    other.process.stop(40)
    both.until("second LOST")
    both.until(r"^ 1 of 2 daemons .* without second: not connected ")
    more = login(proxy, SECOND)
    both.until(rf"^ test .*{SECOND}")
    text = once(proxy, "-s", other.control, "--screen", "sessions", size=(150, 30))
    assert "1 of 2 daemons" in text and SECOND in text
    other.start()
    both.until_gone("LOST|without second")
    third = login(other)
    both.until(rf"^ second .*{FIRST}")
    for c in (client, more, third):
        c.close()


def test_silent(both, proxy, other):  # noqa: F811
    """A daemon that keeps its connection and answers nothing holds nobody up."""
    engine = other.engine_pid()
    both.keys("2")
    both.until("sessions  0")
    os.kill(engine, signal.SIGSTOP)
    try:
        both.until(r"second SILENT")
        both.until(r"^ 1 of 2 daemons .* without second: does not answer ")
        client = login(proxy)
        both.until(rf"^ test .*{FIRST}")
    finally:
        os.kill(engine, signal.SIGCONT)
    both.until_gone("SILENT|without second")
    client.close()


def nodes_of_logins(s):
    """The first column of the events of this type, which is the third one."""
    return [words[0] for words in map(str.split, s.lines()) if words[2:3] == ["login"]]


def test_events_and_commands(both, proxy, other):  # noqa: F811
    """Events of both in the order of their times, details at the daemon of the row, commands to both."""
    both.keys("6")
    clients = []
    for p, user in ((proxy, FIRST), (other, SECOND), (proxy, FIRST)):
        clients.append(login(p, user))
        # One after the other: each has a time of its own.
        wait.until(lambda: len(nodes_of_logins(both)) == len(clients), f"{len(clients)} logins")
    assert nodes_of_logins(both) == ["test", "second", "test"]
    both.keys("2", "Home")
    both.until(r"^ second ")
    rows = [line.split()[0] for line in both.lines() if "example.org" in line]
    both.keys(*["Down"] * rows.index("second"), "Enter")
    both.until(rf"session \d-\d at second\n[\s\S]*{SECOND}")
    both.keys("u")
    both.until(rf"user {SECOND} at second\n[\s\S]*note +y")
    both.keys("q", ":", "users", "Enter")
    both.until(rf"^ test +{FIRST}")
    both.keys(":", "user show u1@example.org", "Enter")
    both.until(rf"^ sec\S+ +{FIRST}")
    for c in clients:
        c.close()


def test_over_ssh(proxy, other, open_screen, folder):  # noqa: F811
    """One daemon is here and one behind ssh: one view, actions reach both, and the far one may go and come back."""
    ssh = os.path.join(folder, "ssh")
    with open(ssh, "w", encoding="utf-8") as f:
        f.write(FAKE.format(log=os.path.join(folder, "ssh.log"), build=os.path.abspath(BUILD)))
    os.chmod(ssh, 0o700)
    s = open_screen("-s", "ssh://mx2" + other.control, "-s", proxy.control, "-i", "250ms", "--screen", "sessions", size=(150, 40),
                    env={"PATH": folder + ":" + os.environ["PATH"]})
    s.until(r"^ 2 daemons ")
    clients = [login(proxy), login(other, SECOND)]
    s.until(rf"^ test .*{FIRST}")
    s.until(rf"^ second .*{SECOND}")
    s.keys("/", SECOND, "Enter", "x")
    s.until(rf"\({SECOND}\) at second\?")
    s.keys("y")
    wait.until(lambda: not other.sessions(), "the end of the far session")
    s.keys("Escape", "Escape")
    other.process.stop(40)
    s.until("second LOST")
    s.until(r"^ 1 of 2 daemons .* without second: not connected ")
    s.until(rf"^ test .*{FIRST}")
    other.start()
    s.until_gone("LOST|without second")
    clients.append(login(other, SECOND))
    s.until(rf"^ second .*{SECOND}")
    for c in clients:
        c.close()


def test_the_engine_that_does_not_answer_is_named(open_screen, proxy):  # noqa: F811
    """An engine that an upgrade left behind, and that is stopped, is named in the first line."""
    client = login(proxy)
    old = proxy.engine_pid()
    proxy.ctl("system", "upgrade")
    wait.until(lambda: proxy.engine_pid() != old, "the new engine")
    s = open_screen("-s", proxy.control, "-i", "250ms", "--screen", "sessions")
    s.until(FIRST)
    os.kill(old, signal.SIGSTOP)
    try:
        s.until(r"^ test .* without .*engine")
    finally:
        os.kill(old, signal.SIGCONT)
    s.until_gone("without ")
    client.close()
