# SPDX-License-Identifier: ISC
"""Small promises of mailproxyctl that scripts and hurried people count on."""
import json
import os
import sqlite3
import subprocess
import time

import pytest
from conftest import backend
from harness import imap, wait
from harness.proxy import BUILD
from test_backends import crash

USER, PASSWORD = "u1@example.org", "pw"
HELP = [["user", "lock"], ["user", "move"], ["session", "kill"], ["session", "trace"], ["pool", "set"], ["backend", "drain"], ["route", "add"]]


@pytest.fixture
def proxy(make_proxy, settings, dovecot1, dovecot2):
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1), backend(dovecot2)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    return p


def login(p, user=USER, password=PASSWORD, source=None):
    c = imap.Lines(p.host, p.ports["imap"], source=source)
    greeting = c.line()
    return c, c.command("a", f"LOGIN {user} {password}")[-1] if greeting.startswith("* OK") else greeting


def test_empty_quiet_and_bare(proxy):
    p = proxy
    assert p.ctl_run("ban", "list", "by=failures", check=False).returncode == 3
    assert p.ctl_run("--allow-empty", "ban", "list", "by=failures").returncode == 0
    assert p.ctl_run("-q", "user", "lock", USER, "--yes").stdout == "" and p.ctl_run("-q", "user", "unlock", USER).stdout == ""
    assert "the file is valid" in p.ctl_run("config", "check").stderr
    wait.until(lambda: all(row["health"] == "up" for row in p.ctl("backend", "list")), "the checks")
    for noun in ("user", "backend", "pool", "listener"):
        assert p.ctl_run(noun).stdout == p.ctl_run(noun, "list").stdout, "a noun alone lists"
    wrong = p.ctl_run("user", "lsit", check=False)
    assert wrong.returncode == 2 and "list" in wrong.stderr and "session" not in wrong.stderr, wrong.stderr


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-"])
def test_closed_standard_descriptors(proxy, closed):
    """What is said to people does not go into the socket of the daemon, and what could not be written is no success."""
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", os.path.join(BUILD, "mailproxyctl"), "user", "export"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, env=proxy.ctl_environment(None))
    assert (done.returncode, USER in done.stdout) == ((1, False) if closed == "1>&-" else (0, True)), done.stderr
    if closed == "1>&-":
        assert "cannot write" in done.stderr


@pytest.mark.parametrize("words", ["user list", "-o json user list", "system metrics", "help", "--schema", "--version", "event watch --last 1",
                                   "-w 1 user list", "-o jsonl event watch --last 1"])
def test_full_disk(proxy, words):
    """What could not be written is no success, the reason is told, and what goes on for ever ends."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([os.path.join(BUILD, "mailproxyctl"), *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30,
                              env=proxy.ctl_environment(None))
    assert (done.returncode, done.stderr) == (1, "mailproxyctl: cannot write: No space left on device\n"), (words, done.stderr)


def test_help_has_eighty_columns(proxy, monkeypatch):
    p = proxy
    monkeypatch.setenv("COLUMNS", "80")
    for args in (["help"], ["help", "filter"]) + tuple(["help", *words] for words in HELP):
        lines = p.ctl_run(*args).stdout.splitlines()
        assert lines and max(map(len, lines)) <= 80, (args, max(lines, key=len))


def test_every_column_on_eighty(proxy):
    """All columns of a list on a terminal of 80 columns: where a line has no room for them, a row is a block of lines; pipes get lines."""
    p = proxy
    c, _ = login(p)
    p.ctl("ban", "add", "192.0.2.7")
    blocks = 0
    for noun in ("session", "user", "backend", "pool", "listener", "event", "ban", "limit", "op", "audit", "route"):
        rows = p.ctl("--allow-empty", noun, "list", "--columns", "all")
        t = p.ctl_terminal("--allow-empty", noun, "list", "--columns", "all")
        assert t.status() == 0
        text = t.text.replace("\r\n", "\n")
        piped = p.ctl_run("-o", "table", "--allow-empty", noun, "list", "--columns", "all").stdout.splitlines()
        assert noun in ("event", "audit") or len(piped) == len(rows) + 1, noun
        titles = piped[0].split()
        if rows and text.split()[1] != titles[1]:  # the second word of a table is a title
            blocks += 1
            assert [line.split()[0] for line in text.split("\n\n")[0].splitlines()] == titles, (noun, text)
        else:
            assert max(map(len, text.splitlines())) <= 80, (noun, text)
    assert blocks >= 4
    t = p.ctl_terminal("user", "list", "--columns", "all")
    assert t.status() == 0 and f"{USER}\r\n" in t.text and "\u2026" not in t.text and "~" not in t.text
    c.close()


def test_cursors_are_checked(proxy):
    p = proxy
    for noun in ("session", "event", "audit"):
        done = p.ctl_run("-o", "json", noun, "list", "--cursor", "nonsense", check=False)
        assert done.returncode in (1, 2) and "E_" in done.stdout, (noun, done.stdout)


def test_operations_have_numbers_of_their_own(proxy):
    """Sorted as numbers, and never used twice."""
    p = proxy
    ids = []
    for _ in range(6):
        ids += [p.ctl("backend", verb, "dc1", *more)["op"] for verb, more in (("drain", ["--yes"]), ("disable", ["--yes"]))]
        p.ctl("backend", "ready", "dc1")
    rows = [int(r["id"]) for r in p.ctl("op", "list", "--sort", "-id")]
    assert rows == sorted(rows, reverse=True) and max(rows) > 9 and set(rows) >= {int(i) for i in ids}
    p.stop()
    p.start()
    assert int(p.ctl("backend", "drain", "dc1", "--yes")["op"]) > max(rows)


def test_progress_of_a_drain_that_was_interrupted(proxy):
    p = proxy
    clients = [login(p)[0] for _ in range(3)]
    home = p.sessions()[0]["backend"]
    op = p.ctl("backend", "drain", home, "--yes", "--deadline", "1h")["op"]
    clients.pop().close()
    stored = sqlite3.connect(os.path.join(p.folder, "state", "mailproxy.db"), timeout=30)
    wait.until(lambda: [1 for text, in stored.execute("SELECT json FROM runtime WHERE kind = 'op'") if json.loads(text).get("done") == 1],
               "the progress in the store")
    stored.close()
    crash(p)
    row = p.ctl("op", "show", op)
    assert (row["state"], row["done"], row["total"]) == ("interrupted", 1, 3), row
    for c in clients:
        c.close()


def test_words_of_locks_and_bans(proxy):
    p = proxy
    p.ctl("user", "lock", USER, "--text", "Please call us", "--yes")
    assert "call us" not in login(p, password="wrong")[1]
    assert "Please call us" in login(p)[1]
    p.ctl("user", "unlock", USER)
    p.ctl("ban", "add", "127.0.0.7", "--text", "Your machine sends spam", "--for", "1h")
    assert "Your machine sends spam" in login(p, source="127.0.0.7")[1]


@pytest.mark.parametrize("flag", ["--for", "--until"])
def test_ends_are_said_alike(proxy, flag):
    """Both words take a length, for a lock and for a ban."""
    p = proxy
    assert p.ctl("user", "lock", USER, flag, "2h", "--yes")["changed"]
    assert 7000 < p.ctl("user", "show", USER)["state_until"] / 1000 - time.time() <= 7200
    assert p.ctl("ban", "add", "127.0.0.9", flag, "2h")["changed"]
    assert 7000000 < p.ctl("ban", "list")[0]["left"] <= 7200000
