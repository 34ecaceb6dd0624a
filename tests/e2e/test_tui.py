# SPDX-License-Identifier: ISC
"""mailproxy-tui in a terminal, before a real daemon with real sessions: each screen, dialogs, commands and keys."""
import os
import re
import time

from harness import imap, wait
from tui_case import can_login, login, open_screen, proxy, tui  # noqa: F401

# ---- each screen ----

def test_overview(tui, proxy):
    c = login(proxy)
    text = tui.until(r"main/dc1 +up .*\n(.*\n)* *main/dc2 +up")
    assert re.search(r"^ test  mailproxy \d+\.\d+\.\d+  up \d+s  admin +\d\d:\d\d:\d\d", text)
    tui.until(r"imap +1 +1 ")
    tui.until(r"sessions 1 ")
    assert tui.has(r"^ +-2m .* now$")
    tui.keys("z")
    tui.until(r"^ +-10m .* now$")
    tui.keys("Z")
    tui.until(r"^ +-2m .* now$")
    # The values of a time, until Esc. The column before the newest has some when the graphs show several.
    tui.until("[\u2801-\u28ff]{6}")
    tui.keys("Left")
    tui.until(r"logins/s ok \S+ +failed \d.* at \d\d:\d\d:\d\d")
    tui.keys("Escape")
    tui.until(r"logins/s ok \S+ +failed \d.* peak ")
    # Lines lead to what they are about, and back.
    tui.until(r"^.* u1@example\.org +1$")
    tui.keys("Down", "Enter")
    tui.until(r"overview › user u1@example\.org")
    tui.keys("BSpace")
    tui.until("PROTOCOL")
    c.close()


def test_overview_warns(tui, proxy, dovecot1):
    proxy.ctl("backend", "drain", "dc1", "--yes")
    tui.until(r"! backend main/dc1 has been draining")
    proxy.ctl("backend", "drain", "dc2", "--yes")
    tui.until(r"! pool main has no backend that takes logins")
    proxy.ctl("listener", "pause", "imaps")
    tui.until(r"! listener imaps is paused")
    tui.keys("Down", "Enter")  # of the pool: to the backends
    tui.until(r"^ backends +2")
    tui.keys("BSpace", "Down", "Enter")
    tui.until(r"overview › backend main/dc1")
    tui.keys("BSpace")
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
    assert re.search(rf"^ {row['id']} +imap .*relay .* u2@example\.org +127\.", line, re.MULTILINE)
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
    tui.until(r"login +u1@example\.org")  # what was before is there
    tui.keys("p")
    tui.until("PAUSED")
    login(proxy, "u2@example.org").close()
    tui.until(r"\d+ wait: p goes on")
    assert not tui.has(r"login +(\S+ +)?u2@")
    tui.keys("p")
    tui.until(r"login +(\S+ +)?u2@example.org")
    tui.keys("/", "type=failure", "Enter")
    tui.until(r"filter: type=failure")
    tui.until_gone("u2@")
    c = imap.Lines(proxy.host, proxy.ports["imap"])
    c.line()
    c.command("a", "LOGIN u1@example.org wrong")
    c.close()
    tui.until(r"failure +(\S+ +)?u1@example\.org")
    tui.keys("Escape")
    tui.until(r"login +(\S+ +)?u2@example\.org")


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
    tui.keys("y", "Enter")  # the number is not typed
    tui.until("type 2 to say that this is meant")
    tui.keys("Escape")
    tui.until("nothing was done")
    assert len(proxy.sessions()) == 3
    tui.keys("x")
    tui.until(r"End 2 sessions\?")
    tui.keys("2", "Tab", "Back at noon")
    tui.until("Back at noon")
    tui.keys("BTab", "Enter")
    tui.until("2 sessions ended")
    wait.until(lambda: [s["id"] for s in proxy.sessions()] == [ids[2]], "the end of two sessions")
    for c in clients:
        c.close()


def test_kill_says_the_words(tui, proxy):
    c = login(proxy)
    tui.keys("2")
    tui.until(r"sessions  1\b")
    tui.keys("x")
    tui.until("End session")
    tui.keys("Tab", "Tab", "Back at noon", "BTab", "Enter")
    tui.until("1 session ended")
    assert "Back at noon" in c.rest().decode()
    c.close()


def test_drain_with_progress(tui, proxy):
    clients = [login(proxy) for _ in range(3)]
    home = proxy.sessions()[0]["backend"]
    tui.keys("3")
    tui.until(r"backends  2")
    tui.keys("/", home, "Enter")
    tui.until(r"backends  1, 2 in all")
    tui.until(rf"^ {home} .* ready +up +(- +)?3 ")
    tui.keys("d")
    tui.until(rf"Drain backend main/{home}\?")
    tui.until("3 sessions now")
    text = tui.until("until-restart")
    assert text.index("deadline") < text.index("rate ") < text.index("until-restart")
    tui.keys("y")
    tui.until(rf"drain of main/{home}: 0 of 3")
    assert [b["admin"] for b in proxy.ctl("backend", "list", f"name={home}")] == ["drain"]
    tui.keys("7")
    tui.until(rf"drain +main/{home} +running")
    tui.keys("x")
    tui.until(r"Cancel op \d+ \(main/")
    tui.keys("y")
    tui.until(rf"drain of main/{home}: cancelled")
    tui.keys("3", "a")
    tui.until("Make ready")
    tui.keys("y")
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
    tui.until(r"1 session now")
    tui.until(r"all of these end, and logins are refused until it is unlocked")
    tui.keys("Tab", "Tab", "Call us", "BTab", "Enter")
    tui.until(r"127\.")  # the addresses that were connected
    assert proxy.ctl("user", "show", "u1@example.org")["state"] == "locked"
    assert c.rest().decode().startswith("* BYE")
    c.close()
    tui.keys("q")
    tui.until(r"u1@example\.org +locked")
    tui.keys("U")
    tui.until(r"Unlock user")
    tui.keys("y")
    tui.until(r"u1@example\.org +active")


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
    tui.until(r"user u1@example\.org: the password is set")
    assert can_login(proxy, "u1@example.org")


def test_move(tui, proxy):
    proxy.ctl("user", "set", "u1@example.org", "--backend", "dc1")
    c = login(proxy)
    assert proxy.sessions()[0]["backend"] == "dc1"
    tui.keys("4")
    tui.until(r"u1@example\.org .* dc1 ")
    tui.keys("M")
    tui.until(r"Move user u1@example\.org\?")
    tui.until(r"1 session now")
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
    tui.keys(":", "session kill --al", "Tab")
    tui.until(r":session kill --all")
    tui.keys("Enter")
    tui.until(r"session kill --all *: 1 session would end: .*Go on\?")
    tui.keys("Enter")
    tui.until("nothing was done")
    assert len(proxy.sessions()) == 1
    tui.keys(":", "session kill user=u1*", "Enter")
    tui.until("1 session would end")
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
    tui.keys(">")
    tui.until("LISTENER▲")
    tui.keys("<")
    tui.until("ID▲")
    tui.keys("r")
    tui.until("ID▼")
    newest, oldest = (row["id"] for row in proxy.sessions("--sort", "-id"))
    tui.until(rf"^ {newest} [^\n]*\n {oldest} ")
    tui.keys("W")
    tui.until("LISTENER")
    tui.keys("Right", "Right", "Right")
    tui.until_gone("LISTENER")
    tui.keys("W", "+", "-")
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
    s.raw(f"\x1b[<0;5;{row + 1}M\x1b[<0;5;{row + 1}m")
    s.keys("Enter")
    s.until("user u2@example.org")
    s.keys("q")
    s.until("users  2")
    s.raw("\x1b[<0;2;4M\x1b[<0;2;4m")  # the title of the first column
    s.until("USER▼")
    s.raw("\x1b[<0;4;2M\x1b[<0;4;2m")  # the first tab
    s.until("PROTOCOL")
