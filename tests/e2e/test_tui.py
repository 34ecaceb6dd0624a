# SPDX-License-Identifier: ISC
"""mailproxy-tui in a terminal, before a real daemon with real sessions."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import backend
from harness import imap, wait
from harness.proxy import BUILD
from harness.screen import Screen

USERS = {"u1@example.org": "pw", "u2@example.org": "pw"}
NAMES = ["overview", "sessions", "backends", "users", "bans", "events", "operations"]
SIZES = [(80, 24), (132, 50), (40, 10), (1, 1)]


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
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    assert c.command("a", f"LOGIN {user} pw")[-1].startswith("a OK")
    return c


def once(p, *options, size=(100, 30), env=None):
    """The screen as text."""
    done = subprocess.run([os.path.join(BUILD, "mailproxy-tui"), "-s", p.control, "--once", *options],
                          capture_output=True, text=True, timeout=30,
                          env={**os.environ, "COLUMNS": str(size[0]), "LINES": str(size[1]), "LC_ALL": "C.UTF-8",
                               "XDG_CONFIG_HOME": p.folder, "TZ": "UTC", **(env or {})})
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- each screen ----

def test_overview(tui, proxy):
    c = login(proxy)
    text = tui.until(r"main/dc1 +up .*\n(.*\n)* *main/dc2 +up")
    assert re.search(r"^ test  mailproxy \d+\.\d+\.\d+  up \d+s  admin +\d\d:\d\d:\d\d", text)
    tui.until(r"imap +1 +1 ")
    tui.until(r"sessions 1 ")
    assert tui.has(r"peak \d+ in 2m")
    tui.keys("z")
    tui.until(r"peak \d+ in 10m")
    tui.keys("Z")
    tui.until(r"peak \d+ in 2m")
    c.close()


def test_overview_warns(tui, proxy, dovecot1):
    proxy.ctl("backend", "drain", "dc1")
    tui.until(r"! backend main/dc1 is set to drain")
    proxy.ctl("backend", "drain", "dc2")
    tui.until(r"! pool main has no backend that takes logins")
    proxy.ctl("listener", "pause", "imaps")
    tui.until(r"! listener imaps is paused")
    for name in ("dc1", "dc2"):
        proxy.ctl("backend", "ready", name)
    proxy.ctl("listener", "resume", "imaps")
    tui.until_gone("! ")


def test_sessions_and_details(tui, proxy):
    clients = [login(proxy), login(proxy, "u2@example.org")]
    tui.keys("2")
    tui.until(r"sessions  2\b")
    row = proxy.sessions("user=u2*")[0]
    line = tui.until(r"u2@example\.org")
    assert re.search(rf"^{row['id']} +imap +relay .* u2@example\.org +127\.", line, re.MULTILINE)
    tui.keys("/", "u2", "Enter")
    tui.until(r"sessions  1, 2 in all  filter: user=\*u2\*")
    tui.keys("Enter")
    text = tui.until(rf"session {row['id']}")
    text = tui.until(r"user +u2@example\.org")
    assert re.search(r"server +127\.", text) and re.search(r"Recent events", text)
    tui.until(r"login +" + row["id"])
    clients[1].close()
    tui.until(r"what follows is the last that was known")
    tui.keys("q")
    tui.until("nothing matches the filter")
    tui.keys("Escape")
    tui.until(r"sessions  1\b")
    clients[0].close()
    tui.until("no sessions")


def test_ended_rows_stay_once(open_screen, proxy):
    tui = open_screen("-s", proxy.control, "-i", "3s", "--screen", "sessions")
    first, second = login(proxy), login(proxy, "u2@example.org")
    tui.until("u2@example.org")
    ids = [s["id"] for s in proxy.sessions()]
    second.close()
    wait.until(lambda: len(proxy.sessions()) == 1, "the end of the session")
    dim = re.compile(r"\x1b\[[0-9;]*38;5;8m[^\n]*u2@example|\x1b\[2m[^\n]*u2@example|\x1b\[[0-9;]*38;5;245m[^\n]*u2@example")
    wait.until(lambda: dim.search(tui.coloured()), "the greyed row", step=0.05)
    tui.until_gone("u2@example")
    assert ids and tui.has("u1@example")
    first.close()


def test_users(tui, proxy):
    c = login(proxy)
    tui.keys("4")
    tui.until(r"users  2\b")
    tui.keys("Enter")
    text = tui.until(r"Where a login would go now")
    assert re.search(r"name +u1@example\.org", text)
    tui.until(r"verdict +logs in at dc[12]")
    tui.until(r"Sessions: 1")
    tui.until(r"login +\S+ +u1@example\.org")
    c.close()


def test_events(tui, proxy):
    login(proxy).close()
    tui.keys("6")
    tui.until(r"login +\S+ +u1@example\.org")  # what was before is there
    tui.keys("p")
    tui.until("PAUSED")
    login(proxy, "u2@example.org").close()
    tui.until(r"\d+ wait: p goes on")
    assert not tui.has("u2@")
    tui.keys("p")
    tui.until("u2@example.org")
    tui.keys("/", "type=failure", "Enter")
    tui.until(r"filter: type=failure")
    tui.until_gone("u2@")
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.command("a", "LOGIN u1@example.org wrong")
    c.close()
    tui.until(r"failure +\S+ +u1@example\.org")
    tui.keys("Escape")
    tui.until(r"login +\S+ +u2@example\.org")


def test_bans_and_limits(tui, proxy):
    c = login(proxy)
    tui.keys("5")
    tui.until(r"limits  \d")
    tui.until(r"u1@example\.org +user +1")
    tui.keys("n")
    tui.until("Lock out an address, a network or a user")
    tui.keys("192.0.2.0/24", "Tab", "10m", "Tab", "Go away", "Tab", "Tab", "Tab", "Enter")
    tui.until(r"192\.0\.2\.0/24 +network .*Go away")
    assert proxy.ctl("ban", "list")[0]["subject"] == "192.0.2.0/24"
    tui.keys("x")
    tui.until(r"End ban 192\.0\.2\.0/24\?")
    tui.keys("y")
    tui.until("nobody is locked out")
    assert proxy.ctl("ban", "list") == []
    c.close()


# ---- acting ----

def test_kill(tui, proxy):
    clients = [login(proxy) for _ in range(3)]
    tui.keys("2")
    tui.until(r"sessions  3\b")
    ids = [s["id"] for s in proxy.sessions("--sort", "id")]
    tui.keys("Space", "Space", "x")
    text = tui.until(r"End 2 sessions\?")
    assert ids[0] in text and ids[1] in text
    tui.keys("Enter")
    tui.until("nothing was done")
    assert len(proxy.sessions()) == 3
    tui.keys("x", "Tab", "Tab", "Back at noon")
    tui.until("Back at noon")
    tui.keys("BTab", "Enter")
    tui.until("session kill: 2")
    wait.until(lambda: [s["id"] for s in proxy.sessions()] == [ids[2]], "the end of two sessions")
    for c in clients:
        c.close()


def test_kill_says_the_words(tui, proxy):
    c = login(proxy)
    tui.keys("2")
    tui.until(r"sessions  1\b")
    tui.keys("x", "Tab", "Tab", "Back at noon", "BTab", "Enter")
    tui.until("session kill: 1")
    assert "Back at noon" in c.rest().decode()
    c.close()


def test_drain_with_progress(tui, proxy):
    clients = [login(proxy) for _ in range(3)]
    home = proxy.sessions()[0]["backend"]
    tui.keys("3")
    tui.until(r"backends  2")
    tui.keys("/", home, "Enter")
    tui.until(r"backends  1, 2 in all")
    tui.keys("d")
    tui.until(rf"Drain backend main/{home}\?")
    tui.keys("y")
    tui.until(rf"drain main/{home}  0 of 3")
    assert [b["admin"] for b in proxy.ctl("backend", "list", f"name={home}")] == ["drain"]
    tui.keys("7")
    tui.until(rf"drain +main/{home} +running")
    tui.keys("x")
    tui.until(r"Cancel op \d+ \(main/")
    tui.keys("y")
    tui.until(r"cancelled")
    tui.keys("3", "a", "y")
    wait.until(lambda: proxy.ctl("backend", "show", home)["admin"] == "ready", "ready")
    tui.until(r"ready +up")
    for c in clients:
        c.close()


def test_users_are_edited_and_locked(tui, proxy):
    c = login(proxy)
    tui.keys("4")
    tui.until(r"users  2\b")
    tui.keys("e")
    tui.until("Change user u1@example.org")
    while not tui.has(r"note for operators$|note for operators *│"):
        tui.keys("Tab")
    for _ in range(20):
        if re.search(r"\n[^\n]*note for operators[^\n]*\n[^\n]*\[ No \]", tui.text()):
            break
        tui.keys("Tab")
        time.sleep(0.1)
    tui.keys("BSpace", "edited", "Enter", "Tab", "Tab", "Enter")
    wait.until(lambda: proxy.ctl("user", "show", "u1@example.org").get("note") == "edited", "the note")
    tui.keys("L")
    tui.until(r"Lock out user u1@example\.org\?")
    tui.keys("Tab", "Tab", "Call us", "BTab", "Enter")
    tui.until(r"127\.")  # the addresses that were connected
    assert proxy.ctl("user", "show", "u1@example.org")["state"] == "locked"
    assert c.rest().decode().startswith("* BYE")
    c.close()
    tui.keys("q")
    tui.until(r"u1@example\.org +locked")
    tui.keys("U", "y")
    tui.until(r"u1@example\.org +active")


def can_login(proxy, user):
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    works = c.command("a", f"LOGIN {user} pw")[-1].startswith("a OK")
    c.close()
    return works


def test_passwords_are_not_shown(tui, proxy):
    proxy.ctl("user", "passwd", "u1@example.org", "--password-stdin", stdin="other\n")
    assert not can_login(proxy, "u1@example.org")
    tui.keys("4")
    tui.until(r"users  2\b")
    tui.keys("P")
    tui.until("Set the password of user u1@example.org")
    tui.keys("pw", "Tab", "pX", "Tab", "Tab", "Tab", "Tab", "Enter")
    text = tui.until("the two of password are not the same")
    assert "pX" not in text and re.search(r"password +\*\* ", text)
    tui.keys("BSpace", "w", "Tab", "Tab", "Tab", "Tab", "Enter")
    tui.until("user passwd: 1")
    assert can_login(proxy, "u1@example.org")


def test_move(tui, proxy):
    proxy.ctl("user", "set", "u1@example.org", "--backend", "dc1")
    c = login(proxy)
    assert proxy.sessions()[0]["backend"] == "dc1"
    tui.keys("4")
    tui.until(r"u1@example\.org .* dc1 ")
    tui.keys("M")
    tui.until(r"Move user u1@example\.org\?")
    tui.keys("Tab", "Tab", "dc2", "BTab", "Enter")
    wait.until(lambda: proxy.ctl("user", "show", "u1@example.org")["backend"].endswith("dc2"), "the new place")
    c.close()


def test_reload_asks(tui, proxy):
    proxy.configure({"limits": {"sessions_per_user": 77}})
    tui.keys("R")
    text = tui.until(r"Reload the configuration\? \d+ keys? differs?")
    assert "sessions_per_user" in text and "77" in text
    tui.keys("Escape")
    tui.until("nothing was done")
    assert "weight = 77" not in proxy.ctl_run("config", "show").stdout
    tui.keys("R")
    tui.until("Reload the configuration")
    tui.keys("y")
    tui.until("reloaded: 1")
    assert "77" in proxy.ctl_run("config", "show").stdout


# ---- the command line ----

def test_command_line(tui, proxy):
    c = login(proxy)
    tui.keys(":", "session li", "Tab")
    tui.until(r"^:session list $|^:session list *$")
    tui.keys("user=u1", "Tab")
    tui.until(r":session list user=u1@example\.org")
    tui.keys("Enter")
    tui.until(r"^ ID +PROTO")
    tui.until(r"u1@example\.org +127\.")
    tui.keys("q", ":", "Up")
    tui.until(r":session list user=u1@example\.org")
    tui.keys("C-u", "sessions user=u1*", "Enter")  # a plural is a screen
    tui.until(r"sessions  1.*filter: user=u1\*")
    tui.keys(":", "session kill --al", "Tab", "Enter")
    tui.until(r"session kill --all *: would hit 1\. Go on\?")
    tui.keys("Enter")
    tui.until("nothing was done")
    assert len(proxy.sessions()) == 1
    tui.keys(":", "session kill user=u1*", "Enter")
    tui.until("would hit 1")
    tui.keys("y")
    tui.until("session kill: 1")
    wait.until(lambda: proxy.sessions() == [], "the end")
    tui.keys(":", "bakend list", "Enter")
    tui.until("backend")  # the nearest word
    tui.keys("!")
    tui.until(r"Errors, newest first")
    tui.until(r"bakend")
    c.close()


def test_command_line_secrets_and_streams(tui, proxy):
    proxy.ctl("user", "passwd", "u2@example.org", "--password-stdin", stdin="other\n")
    tui.keys(":", "user passwd u2@example.org --password", "Enter")
    tui.until("Go on")
    tui.keys("pw", "Tab", "pw", "Tab", "Tab", "Enter")
    wait.until(lambda: can_login(proxy, "u2@example.org"), "the new password")
    tui.keys(":", "event watch type=login", "Enter")
    tui.until(r"^ TIME +TYPE")
    login(proxy).close()
    tui.until(r"login +\S+ +u1@example")
    tui.keys("q")
    tui.until("backends|BACKEND")
    tui.keys(":", "help session kill", "Enter")
    tui.until("--grace")


# ---- keys ----

def test_keys_that_change_the_view(tui, proxy, folder):
    clients = [login(proxy), login(proxy, "u2@example.org")]
    tui.keys("2")
    tui.until("u2@example.org")
    tui.keys("s")
    tui.until("PROTO▲")
    tui.keys("<")
    tui.until("ID▲")
    tui.keys("r")
    tui.until("ID▼")
    newest, oldest = (row["id"] for row in proxy.sessions("--sort", "-id"))
    tui.until(rf"^{newest} [^\n]*\n{oldest} ")
    tui.keys("w")
    tui.until("LISTENER")
    tui.keys("Right", "Right", "Right")
    tui.until_gone("LISTENER")
    tui.keys("w", "+", "-")
    tui.until(r"refreshes every \d")
    tui.keys("?")
    tui.until("Keys: sessions")
    tui.keys("Escape", "y")
    tui.until("copied")
    tui.keys("S")
    tui.until("save as: mailproxy-sessions-")
    tui.keys("C-u", "saved.txt", "Enter")
    tui.until("saved as saved.txt")
    with open(os.path.join(folder, "saved.txt")) as f:
        assert "u2@example.org" in f.read()
    for key, want in (("Tab", "backends"), ("BTab", "sessions"), ("F1", "Keys"), ("q", "sessions"), ("q", "PROTOCOL")):
        tui.keys(key)
        tui.until(want)
    tui.keys("3", "o")
    tui.until(r"pause")
    tui.keys("m")
    tui.until("mouse on")
    tui.keys("m", "C-l")
    tui.until("backends")
    tui.keys("Q")
    assert tui.status() == 0
    for c in clients:
        c.close()


def test_clipboard(tui, proxy):
    tui.tmux("set-option", "-g", "set-clipboard", "on")
    tui.keys("4")
    tui.until("u1@example.org")
    tui.keys("y")
    tui.until("copied")
    wait.until(lambda: "u1@example.org" in tui.tmux("show-buffer"), "the clipboard")


def test_mouse(open_screen, proxy):
    s = open_screen("-s", proxy.control, "--screen", "users", env={"TERM": "xterm-256color"})
    s.until("u2@example.org")
    s.keys("m")
    s.until("mouse on")
    rows = s.lines()
    row = [i for i, line in enumerate(rows) if "u2@example.org" in line][0]
    s.keys(f"\x1b[<0;5;{row + 1}M", f"\x1b[<0;5;{row + 1}m")
    s.keys("Enter")
    s.until("user u2@example.org")
    s.keys("q")
    s.until("users  2")
    s.keys("\x1b[<0;2;4M", "\x1b[<0;2;4m")  # the title of the first column
    s.until("USER▼")
    s.keys("\x1b[<0;4;2M", "\x1b[<0;4;2m")  # the first tab
    s.until("PROTOCOL")


# ---- robust ----

def test_daemon_goes_and_comes(tui, proxy):
    c = login(proxy)
    tui.keys("2")
    tui.until("u1@example.org")
    proxy.process.stop(40)
    c.close()
    text = tui.until(r"LOST: .*; trying again")
    assert "u1@example.org" in text  # the last that was known
    tui.until(r"\d+s old, of \d\d:\d\d:\d\d")
    tui.keys("x")
    tui.until("there is no connection")
    proxy.start()
    tui.until(r"^ test  mailproxy")
    tui.until("no sessions")


def test_starts_without_a_daemon(open_screen, make_proxy, settings):
    p = make_proxy(settings, start=False)
    s = open_screen("-s", p.control)
    s.until(r"LOST: no daemon at .*; trying again")
    p.start()
    s.until(r"^ test  mailproxy")
    s.until("main/dc1")


def test_resize_storm(tui, proxy):
    clients = [login(proxy) for _ in range(5)]
    for name in range(1, 8):
        tui.keys(str(name))
        for columns, rows in ((1, 1), (300, 100), (2, 50), (200, 2), (10, 3), (60, 20), (1, 9), (31, 7)):
            tui.resize(columns, rows)
    tui.resize(100, 30)
    tui.keys("2")
    tui.until(r"sessions  5\b")
    for columns, rows in ((30, 8), (100, 30)):
        tui.keys("x")
        tui.resize(columns, rows)
        tui.until("End session")
        tui.keys("Escape")
        tui.until_gone("End session")
    for c in clients:
        c.close()


@pytest.mark.parametrize("size", SIZES)
def test_every_screen_at_size(open_screen, proxy, size):
    c = login(proxy)
    s = open_screen("-s", proxy.control, "-i", "250ms", size=size)
    for number, name in enumerate(NAMES, 1):
        s.keys(str(number))
        if size[0] >= 40:
            s.until(rf"{number} {name}")
        lines = s.lines()
        assert len(lines) <= size[1] + 1 and all(len(line) <= size[0] for line in lines)
    s.keys("2", "?", "q", "Enter", "q", "/", "Escape", ":", "Escape", "Q")
    assert s.status() == 0
    c.close()


def test_hostile_names(tui, proxy):
    name = "evil\x1b[31m\u202egnp\u200f日本語" + "x" * 60 + "@example.org"
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(proxy.control)
    f = sock.makefile("rw", encoding="utf-8", newline="\n")
    f.readline()
    f.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "user.add",
                        "params": {"name": "evil日本語" + "x" * 60, "note": name, "no_password": True}}) + "\n")
    f.flush()
    assert "result" in json.loads(f.readline())
    sock.close()
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send(b'a LOGIN "evil\xe2\x80\xaename\x7f" wrong\r\n')
    c.until("a ")
    c.close()
    tui.keys("4", "g")
    text = tui.until("evil日本語x+")
    assert "\u202e" not in text
    tui.keys("Enter")
    text = tui.until(r"note +evil\\x1b\[31m\\u202egnp\\u200f日本語")
    assert all("│" not in line for line in text.split("\n"))
    tui.keys("q", "6")
    text = tui.until("failure")
    assert "\u202e" not in text and "\x7f" not in text


def test_no_color_and_ascii(open_screen, proxy):
    c = login(proxy)
    plain = open_screen("-s", proxy.control, "--screen", "sessions", env={"NO_COLOR": "1"})
    plain.until("u1@example.org")
    assert not re.search(r"\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])[;m]", plain.coloured())
    ascii_only = open_screen("-s", proxy.control, "--ascii")
    text = ascii_only.until(r"dc1 +up")
    assert text.isascii()
    ascii_only.keys("2")
    ascii_only.until("u1@example.org")
    ascii_only.keys("x")
    assert ascii_only.until("End session").isascii()
    posix = open_screen("-s", proxy.control, env={"LC_ALL": "C"})
    assert posix.until(r"dc1 +up").isascii()
    c.close()


@pytest.mark.parametrize("term", ["linux", "xterm", "vt100", "screen", "xterm-256color", "dumb"])
def test_kinds_of_terminals(open_screen, proxy, term):
    s = open_screen("-s", proxy.control, env={"TERM": term})
    if term == "dumb":
        s.until("this terminal cannot show screens")
        assert s.status() == 2
        return
    s.until(r"dc1 +up")
    s.keys("3")
    s.until("listeners")


def test_viewer(make_proxy, settings, open_screen):
    if os.geteuid() != 0:
        pytest.skip("needs another user to look")
    p = make_proxy(settings, start=False)
    p.configure({"control": [{"path": p.control, "mode": "0666", "admin": ["root"], "viewer": ["nobody"]}]})
    os.chmod(p.run, 0o755)
    p.start()
    c = login_after_add(p)
    s = open_screen("-s", p.control, "--screen", "sessions", prefix="setpriv --reuid 65534 --regid 65534 --clear-groups ")
    s.until("u1@example.org")
    s.keys("x")
    s.until("this needs the role operator; the daemon takes you for viewer")
    s.keys("7")
    s.until("to see this needs the role admin")
    s.keys(":", "session kill --all", "Enter")
    s.until("needs the role operator")
    assert len(p.sessions()) == 1
    c.close()


def login_after_add(p):
    p.add_user("u1@example.org", "pw")
    return login(p)


def test_read_only(open_screen, proxy):
    c = login(proxy)
    s = open_screen("-s", proxy.control, "-r", "--screen", "sessions")
    s.until("u1@example.org")
    s.until("READ ONLY")
    s.keys("x")
    s.until("nothing is changed from here")
    s.keys(":", "session kill --all", "Enter")
    s.until("nothing is changed from here")
    assert len(proxy.sessions()) == 1
    c.close()


def test_several_daemons(open_screen, proxy, make_proxy, settings):
    other = make_proxy({**settings, "node": "second", "listeners": [{"name": "imap", "protocol": "imap", "tls": "off"}]})
    s = open_screen("-s", proxy.control, "-s", other.control, "-i", "250ms")
    s.until(r"^ test  second")
    s.until(r"^ test  mailproxy")
    s.keys("]")
    s.until(r"^ second  mailproxy")
    other.process.stop(40)
    s.until(r"second LOST")
    s.keys("[")
    s.until(r"^ test  mailproxy")
    other.start()
    s.until_gone("second LOST")


def test_suspend_and_continue(open_screen, proxy):
    tui = open_screen("-s", proxy.control, is_job=True)
    tui.until("dc1")
    pid = tui.pid()
    for stop in (lambda: tui.keys("C-z"), lambda: os.kill(pid, signal.SIGTSTP)):
        stop()
        tui.until(r"Stopped")
        assert not tui.has("1 overview")
        tui.keys("stty -a; echo e''nd", "Enter")
        assert re.search(r"\sicanon", tui.until("^end"))
        tui.keys("fg", "Enter")
        tui.until("1 overview")
        tui.keys("2")
        tui.until("sessions  ")
        tui.keys("1")
        tui.until("PROTOCOL")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT])
def test_terminal_is_restored(tui, number):
    tui.until("dc1")
    tui.keys("m")
    tui.until("mouse on")
    os.kill(tui.pid(), number)
    status = tui.status()
    assert status == 0 if number in (signal.SIGTERM, signal.SIGHUP) else status == 128 + number
    tui.keys("stty -a; echo e''nd", "Enter")
    text = tui.until("^end")
    assert re.search(r"(^|\s)icanon", text) and re.search(r"(^|\s)echo\s", text)
    assert tui.tmux("display-message", "-p", "#{alternate_on}#{mouse_any_flag}#{cursor_flag}").strip() == "001"


def test_settings_are_kept(open_screen, proxy, folder):
    s = open_screen("-s", proxy.control)
    s.until("1 overview")
    s.keys("4")
    s.until("u1@example.org")
    s.keys("r", ":", "backend list", "Enter")
    s.until("BACKEND")
    s.keys("Q")
    assert s.status() == 0
    with open(os.path.join(folder, "config", "mailproxy", "tui.conf")) as f:
        assert '"-name"' in f.read()
    again = open_screen("-s", proxy.control)
    again.until("USER▼")
    again.keys(":", "Up")
    again.until(":backend list")


# ---- as text ----

def mask(text):
    """Takes out what differs from run to run."""
    text = re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", text)
    text = re.sub(r"\d{4}-\d\d-\d\d", "YYYY-MM-DD", text)
    text = re.sub(r"127\.\d+\.\d+\.\d+(:\d+)?", lambda m: "ADDRESS".ljust(len(m.group())), text)
    text = re.sub(r"mailproxy \d+\.\d+\.\d+", "mailproxy VERSION", text)
    text = re.sub(r"up \d+m?s?", "up TIME", text)
    return "\n".join(re.sub(r" +", " ", line).rstrip() for line in text.split("\n"))


def test_golden_backends(proxy):
    proxy.ctl("backend", "weight", "dc2", "50")
    proxy.ctl("backend", "drain", "dc2")
    wait.until(lambda: all(b["health"] == "up" for b in proxy.ctl("backend", "list")), "the checks")
    assert mask(once(proxy, "--screen", "backends", size=(100, 20))) == """\
 test mailproxy VERSION up TIME admin HH:MM:SS
 1 overview 2 sessions 3 backends 4 users 5 bans 6 events 7 operations
 backends 2
BACKEND POOL HOST WEIGHT ADMIN HEALTH SESSIONS LOGINS FAILED SINCE
dc1 main ADDRESS 100 ready up 0 0 0 YYYY-MM-DD HH:MM:SS
dc2 main ADDRESS 50 drain up 0 0 0 YYYY-MM-DD HH:MM:SS

 listeners 2
LISTENER PROTO ADDRESS TLS PAUSED
imap imap ADDRESS starttls no
imaps imap ADDRESS implicit no








 ? help Enter details / filter d drain a ready D disable h hold u release = weight c check n new
"""


def test_golden_users(proxy):
    proxy.ctl("user", "lock", "u2@example.org", "--text", "Call us", "--yes")
    assert mask(once(proxy, "--screen", "users", size=(80, 9))) == """\
 test mailproxy VERSION up TIME admin HH:MM:SS
 1 overview 2 sessions 3 backends 4 users 5 bans 6 events 7 operations
 users 2
USER▲ STATE PASSWORD POOL BACKEND LAST-LOGIN
u1@example.org active yescrypt - - -
u2@example.org locked yescrypt - - -


 ? help Enter details / filter x kill L lock U unlock h hold u release M move
"""


def test_golden_small(proxy):
    text = mask(once(proxy, "--screen", "sessions", size=(40, 10)))
    assert text == """\
 test up TIME admin HH:MM:SS
 1 2 sessions 3 4 5 6 7
 sessions 0
ID▲ STATE USER IP BACKEND AGE
 no sessions




 ? help Enter details / filter x kill
"""


def test_once_says_what_is_wrong(folder):
    done = subprocess.run([os.path.join(BUILD, "mailproxy-tui"), "-s", os.path.join(folder, "none"), "--once"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 5 and "no daemon at" in done.stderr
    for options in (["--screen", "nonsense"], ["-i", "1h"], ["extra"], ["--nonsense"]):
        done = subprocess.run([os.path.join(BUILD, "mailproxy-tui"), *options], capture_output=True, text=True, timeout=30)
        assert done.returncode == 2 and "usage:" in done.stderr
    done = subprocess.run([os.path.join(BUILD, "mailproxy-tui")], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2 and "--once" in done.stderr


# ---- fast ----

class Counter:
    """A control socket that passes everything on and counts what the daemon sends."""

    def __init__(self, path, target):
        self.path, self.target, self.bytes = path, target, 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.socket.accept()
        daemon = socket.socket(socket.AF_UNIX)
        daemon.connect(self.target)
        threading.Thread(target=self.copy, args=(client, daemon, False), daemon=True).start()
        self.copy(daemon, client, True)

    def copy(self, source, sink, is_counted):
        while data := source.recv(65536):
            if is_counted:
                self.bytes += len(data)
            sink.sendall(data)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_asks_only_for_the_page(open_screen, proxy):
    """A long list costs no more than a short one: what is fetched is what is seen, and a page around it."""
    csv = "name\n" + "".join(f"p{i:05}@example.net\n" for i in range(20000))
    proxy.ctl("user", "import", "-", stdin=csv)
    counter = Counter(os.path.join(proxy.run, "counted"), proxy.control)
    s = open_screen("-s", counter.path, "-i", "250ms", "--screen", "users")
    s.until(r"p00000@example\.net")
    for key, want in (("NPage", "p00045@"), ("NPage", "p00070@"), ("PPage", "p00030@"), ("Home", "p00000@")):
        s.keys(key)
        s.until(want)
    before, cpu = counter.bytes, cpu_seconds(s.pid())
    clock = s.lines()[0].split()[-1]
    s.until_gone(clock)
    clock = s.lines()[0].split()[-1]
    s.until_gone(clock)
    assert 0 < counter.bytes - before < 12 * 40 * 1024
    assert cpu_seconds(s.pid()) - cpu < 0.5


def test_backend_without_a_server(make_proxy, settings, dovecot1, open_screen):
    settings["pools"] = [{"name": "main", "tls": "off", "check": {"interval": "1s", "fall": 1},
                          "backends": [backend(dovecot1), {"name": "gone", "host": "127.0.0.1", "ports": {"imap": 1}}]}]
    p = make_proxy(settings)
    s = open_screen("-s", p.control, "-i", "250ms")
    s.until(r"! backend main/gone is down.*refused")
    s.keys("3")
    s.until(r"gone +main")
    s.keys("Down", "c")
    s.until(r"result +failed")
