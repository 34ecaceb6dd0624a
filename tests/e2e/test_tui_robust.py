# SPDX-License-Identifier: ISC
"""mailproxy-tui where things go wrong or differ: daemons that go, sizes, terminals, roles, names, signals, speed; and as text."""
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading

import pytest
from conftest import backend
from harness import imap, wait
from harness.proxy import BUILD
from tui_case import login, once, open_screen, proxy, tui  # noqa: F401

NAMES = ["overview", "sessions", "backends", "users", "bans", "events", "operations", "failures", "groups"]
SIZES = [(80, 24), (132, 50), (40, 10), (1, 1)]


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
        name = {"operations": "ops|operations", "failures": "failed|failures"}.get(name, name)
        if size[0] >= 40:
            s.until(rf"{number} ({name})")
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
                        "params": {"name": "evil日本語" + "x" * 60, "note": name + "👨‍👩‍👧👍🏽", "no_password": True}}) + "\n")
    f.flush()
    assert "result" in json.loads(f.readline())
    sock.close()
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.send(b'a LOGIN "evil\xe2\x80\xaename\x7f" wrong\r\n')
    c.until("a ")
    c.close()
    tui.keys("4", "Home")
    text = tui.until("evil日本語x+")
    assert "\u202e" not in text
    tui.keys("Enter")
    text = tui.until(r"note +evil\\x1b\[31m\\u202egnp\\u200f日本語x+\n +x+@example.org👨👩👧👍\s")
    assert all("│" not in line for line in text.split("\n"))
    tui.keys("q", "6")
    text = tui.until("failure")
    assert "\u202e" not in text and "\x7f" not in text


def test_pasted_text_never_acts(tui, proxy):
    c = login(proxy)
    tui.keys("2")
    tui.until(r"sessions  1\b")
    tui.raw("\x1b[200~proxy\r\x1b[201~")
    tui.until("text was pasted")
    assert len(proxy.sessions()) == 1
    tui.keys("/")
    tui.raw("\x1b[200~u1@example.org\r\x1b[201~")
    tui.until(r"^/u1@example\.org +1 of 1")
    tui.keys("Escape")
    tui.raw("proxy")  # from a terminal that does not tell
    tui.until("End session")
    assert len(proxy.sessions()) == 1
    tui.keys("Escape")
    tui.until("nothing was done")
    c.close()


def test_no_color_and_ascii(open_screen, proxy):
    c = login(proxy)
    plain = open_screen("-s", proxy.control, "--screen", "sessions", env={"NO_COLOR": "1"})
    plain.until("u1@example.org")
    assert not re.search(r"\x1b\[[0-9;]*(3[0-8]|4[0-8]|9[0-7])[;m]", plain.coloured())
    # The titles and the selected row below them look different.
    titles, selected = plain.coloured().split("\n")[3:5]
    assert re.match(r"(\x1b\[0?m)?\x1b\[1;4m|\x1b\[0;1;4m|\x1b\[1m\x1b\[4m", titles), titles
    assert re.match(r"(\x1b\[[0-9;]*m)*\x1b\[(0;)?7m", selected), selected
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


def test_viewer(make_proxy, settings, open_screen, folder):
    if os.geteuid() != 0:
        pytest.skip("needs another user to look")
    p = make_proxy(settings, start=False)
    p.configure({"control": [{"path": p.control, "mode": "0666", "admin": ["root"], "viewer": ["nobody"]}]})
    os.chmod(p.run, 0o755)
    p.start()
    c = login_after_add(p)
    # The build may lie in a home that is closed to others.
    program = shutil.copy(os.path.join(BUILD, "mailproxy-tui"), folder)
    s = open_screen("-s", p.control, "--screen", "sessions", program=program,
                    prefix="setpriv --reuid 65534 --regid 65534 --clear-groups ")
    s.until("u1@example.org")
    s.keys("x")
    s.until("this needs the role operator; the daemon takes you for viewer")
    s.keys("?")
    text = s.until("grey keys need the role in brackets; the daemon takes you for viewer")
    assert re.search(r"^ x +F9 +end the sessions of .* \(operator\)$", text, re.MULTILINE)
    s.keys("q")
    s.until("sessions  1")
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


def test_many_changes_to_their_end(open_screen, proxy):
    """100,000 rows of the audit: the end, the beginning, and one that a filter finds."""
    db = sqlite3.connect(os.path.join(proxy.folder, "state", "mailproxy.db"), timeout=30)
    with db:
        db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
                   "INSERT INTO audit (at_ms, uid, pid, user, command, args, reason, result, count) "
                   "SELECT 1700000000000 + i, 0, 1, 'anna', 'user.set', 'name=u' || i, '', 'ok', 1 FROM n")
    db.close()
    s = open_screen("-s", proxy.control, "-i", "250ms", "--screen", "audit")
    s.until(r"audit  1-\d+ of 10000\d")
    s.keys("G")
    s.until(r"audit  \d+-(10000\d) of \1")
    s.until(r"user\.set +name=u1 ")
    s.keys("/", 'args="name=u4711"', "Enter")
    s.until(r"audit  1, 10000\d in all")
    s.until(r"name=u4711 ")


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
        try:
            while data := source.recv(65536):
                if is_counted:
                    self.bytes += len(data)
                sink.sendall(data)
        except OSError:
            pass  # one of the two has gone


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_asks_only_for_the_page(open_screen, proxy):
    """A long list costs no more than a short one: what is fetched is what is seen, and a page around it."""
    csv = "name\n" + "".join(f"p{i:05}@example.net\n" for i in range(21000))
    proxy.ctl("user", "import", "-", stdin=csv)
    counter = Counter(os.path.join(proxy.run, "counted"), proxy.control)
    s = open_screen("-s", counter.path, "-i", "250ms", "--screen", "users")
    s.until(r"p00000@example\.net")
    # The end of the list, and whoever is there, are found.
    s.keys("End")
    s.until("u2@example.org")
    s.until(r"20978-21002 of 21002")
    s.keys("/", "p20999")
    s.until(r"p20999@example.net")
    s.until(r"1 of 21002")
    s.keys("Escape")
    s.until_gone("p20999")
    for key, want in (("Home", "p00000@"), ("NPage", "p00045@"), ("NPage", "p00070@"), ("PPage", "p00030@"), ("Home", "p00000@")):
        s.keys(key)
        s.until(want)
    before, cpu = counter.bytes, cpu_seconds(s.pid())
    clock = s.lines()[0].split()[-1]
    s.until_gone(rf"admin +{clock}")
    clock = s.lines()[0].split()[-1]
    s.until_gone(rf"admin +{clock}")
    assert 0 < counter.bytes - before < 12 * 40 * 1024
    assert cpu_seconds(s.pid()) - cpu < 0.5


def test_backend_without_a_server(make_proxy, settings, dovecot1, open_screen):
    settings["pools"] = [{"name": "main", "tls": "off", "check": {"interval": "1s", "fall": 1},
                          "backends": [backend(dovecot1), {"name": "gone", "host": "127.0.0.1", "ports": {"imap": 1}}]}]
    p = make_proxy(settings)
    s = open_screen("-s", p.control, "-i", "250ms")
    s.until(r"! backend main/gone (is|has been) down.*refused")
    s.keys("3")
    s.until(r"gone +main")
    s.keys("Down", "c")
    s.until(r"result +failed")
