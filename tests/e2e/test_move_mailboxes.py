# SPDX-License-Identifier: ISC
"""user move --exec: the mailbox goes along, by a command that mailproxyctl runs."""
import json
import os
import signal
import socket
import subprocess
import threading

import pytest
from harness import wait
from harness.control import Control
from harness.mailboxes import Load, Mailboxes
from harness.proxy import BUILD

N = 10


@pytest.fixture(scope="module")
def boxes(root):
    folder = os.path.join(root, "mailboxes")
    os.makedirs(folder)
    m = Mailboxes(folder, N)
    yield m
    m.close()


@pytest.fixture
def back(boxes):
    """All users are at the old place again; nobody carried their mail back."""
    yield boxes
    boxes.proxy.ctl_run("user", "move", "--filter", "backend=new", "--to", "old", "--yes", "--wait", check=False)
    wait.until(lambda: not boxes.proxy.sessions(), "all sessions are over")


def where(m):
    return {r["name"]: r["backend"] for r in m.proxy.ctl("user", "list", "name=m*")}


def last_op(m):
    return m.proxy.ctl("op", "list", "kind=move")[0]


def rows(m, ident, *more):
    return {r["user"]: r for r in m.proxy.ctl("--allow-empty", "op", "users", ident, *more)}


def script(m, name, text):
    path = os.path.join(m.folder, name)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def test_words_are_whole(back):
    """Whatever is in a name, it stays in its word: no shell, no second splitting, no option."""
    m = back
    names = ["$(touch x)@example.org", "a b;c'd\"e@example.org", "-rf@example.org", "{to}@example.org"]
    path = script(m, "words", 'for w in "$@"; do echo "<$w>"; done\n')
    for name in names:
        m.proxy.ctl("user", "set", "--backend", "old", "--", name)
    listed = os.path.join(m.folder, "odd.txt")
    with open(listed, "w") as f:
        f.writelines(f"{n}\n" for n in names)
    done = m.proxy.ctl_run("-o", "json", "user", "move", "--from", listed, "--to", "new", "--yes", "--exec",
                           f"{path} {{user}} '{{from}} to {{to}}' --name={{user}} \"x y\" {{to_host}}", check=False)
    assert done.returncode == 7, done
    op = json.loads(done.stdout)
    assert (op["done"], op["failed"]) == (4, 1)
    got = rows(m, op["id"])
    for name in (names[0], names[1], names[3]):
        expected = [f"<{name}>", "<old to new>", f"<--name={name}>", "<x y>", f"<{m.dovecots[1].host}>"]
        assert got[name]["output"].splitlines() == expected and got[name]["exit"] == 0 and got[name]["state"] == "moved"
    assert got[names[2]]["state"] == "failed" and "option" in got[names[2]]["output"]
    assert not os.path.exists("x")
    m.proxy.ctl("user", "remove", *names[:2], names[3], "--yes")
    m.proxy.ctl("user", "remove", "--yes", "--", names[2])


def test_usage(back):
    m = back
    for words, text in ((["--exec", "copy {usr}"], "{usr}"), (["--exec", "copy 'x"], "quote"), (["--exec", ""], "empty")):
        done = m.proxy.ctl_run("user", "move", m.users[0], "--to", "new", "--yes", *words, check=False)
        assert done.returncode == 2 and text in done.stderr, done
    for to in (["--pool", "main"], ["--to", ""]):
        done = m.proxy.ctl_run("user", "move", m.users[0], *to, "--yes", "--exec", "true", check=False)
        assert done.returncode == 2 and "one backend" in done.stderr, done
    assert set(where(m).values()) == {"old"}


def test_failure_rolls_back(back):
    """The exit status decides, for each user by itself; what the command said is kept."""
    m = back
    path = script(m, "some", 'case "$1" in m00[02]*) echo fine; echo "disk is full" >&2; exit 3;; esac\n')
    done = m.move("--parallel", "3", command=f"{path} {{user}}")
    assert done.returncode == 7, done
    for user in (m.users[0], m.users[2]):
        assert f"{user}: the command ended with 3: disk is full" in done.stderr
    places = where(m)
    assert {u for u in places if places[u] == "old"} == {m.users[0], m.users[2]}
    op = last_op(m)
    assert op["state"] == "partly done" and op["failed"] == 2
    failed = rows(m, op["id"], "state=failed")
    assert set(failed) == {m.users[0], m.users[2]} and failed[m.users[0]]["exit"] == 3
    assert failed[m.users[0]]["output"] == "fine\ndisk is full\n"
    # who failed can log in again, where the mail is
    assert len(m.marks(m.users[0])) >= 3
    assert "cannot" not in done.stderr


def test_command_that_hangs_or_is_not_there(back):
    m = back
    done = m.move("--exec-timeout", "1s", "--parallel", str(N), command="sleep 100")
    assert done.returncode == 1 and "signal 15" in done.stderr, done
    done = m.move("--parallel", "2", command="/nowhere/copy {user}")
    assert done.returncode == 1 and "No such file" in done.stderr, done
    assert set(where(m).values()) == {"old"}


def attend(m, *words):
    return subprocess.Popen([os.path.join(BUILD, "mailproxyctl"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env={**os.environ, "MAILPROXY_SOCKET": m.proxy.control})


def begun(m, *more):
    path = script(m, "gate", f'while [ ! -e {m.folder}/open ]; do sleep 0.05; done\n')
    if os.path.exists(f"{m.folder}/open"):
        os.unlink(f"{m.folder}/open")
    p = attend(m, "user", "move", "--from", m.names, "--to", "new", "--yes", "--parallel", "3", "--exec", path, *more)
    wait.until(lambda: "move" in [o["kind"] for o in m.proxy.ctl("op", "list", "state=running", "--allow-empty")] and
               len(rows(m, last_op(m)["id"], "state=carrying")) == 3, "three are being carried")
    return p, last_op(m)["id"], f"{path}"


def open_gate(m):
    with open(f"{m.folder}/open", "w"):
        pass


def test_others_are_not_held(back):
    """Who is being carried waits; who is not logs in as ever."""
    m = back
    p, ident, _ = begun(m)
    held = set(rows(m, ident, "state=carrying"))
    free = [u for u in m.users if u not in held]
    m.login(free[0]).logout()
    assert m.proxy.ctl("op", "show", ident)["state"] == "running"
    open_gate(m)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and "10 moved" in out + err, (out, err)
    assert set(where(m).values()) == {"new"}


@pytest.mark.parametrize("how", ["ctrl-c", "op cancel"])
def test_cancel(back, how):
    m = back
    p, ident, _ = begun(m)
    if how == "ctrl-c":
        p.send_signal(signal.SIGINT)
    else:
        m.proxy.ctl("op", "cancel", ident)
    out, err = p.communicate(timeout=30)
    assert p.returncode == 1 and "cancelled" in err, (out, err)
    assert m.proxy.ctl("op", "show", ident)["state"] == "cancelled"
    assert set(where(m).values()) == {"old"}
    m.login(m.users[0]).logout()


def test_resume_after_death(back):
    """The users that were being carried wait for the next mailproxyctl, which begins their commands anew."""
    m = back
    p, ident, command = begun(m)
    refused = m.proxy.ctl_run("op", "resume", ident, "--exec", command, check=False)
    assert refused.returncode == 1 and "another mailproxyctl" in refused.stderr
    p.kill()
    p.communicate()
    open_gate(m)
    done = m.proxy.ctl_run("op", "resume", ident, "--exec", command)
    assert "10 moved" in done.stdout + done.stderr
    assert set(where(m).values()) == {"new"}
    late = m.proxy.ctl_run("op", "resume", ident, "--exec", command, check=False)
    assert late.returncode == 1 and "it is over" in late.stderr


def test_nobody_waits_for_ever(back):
    """mailproxyctl dies, and nobody comes: who was being carried logs in at the old place again; a later one takes up the rest."""
    m = back
    p, ident, command = begun(m, "--resume-within", "300ms")
    user = next(iter(rows(m, ident, "state=carrying")))
    p.kill()
    p.communicate()
    m.login(user).logout()  # waits as long as the hold
    assert rows(m, ident, "state=carrying") == {} and set(where(m).values()) == {"old"}
    op = m.proxy.ctl("op", "show", ident)
    assert op["state"] == "running" and op["done"] == 0 and f"op resume {ident}" in op["text"]
    open_gate(m)
    m.proxy.ctl_run("op", "resume", ident, "--exec", command)
    assert set(where(m).values()) == {"new"}


def test_move_that_nobody_attends(back):
    """Without mailproxyctl nothing happens to anybody."""
    m = back
    c = Control(m.proxy.control)
    ident = c.call("user.move", name=m.users[:2], to="new", exec="true")["result"]["op"]
    # one that only looks on is none that runs commands, and stands in nobody's way
    assert c.call("op.resume", id=ident, exec="true")["result"]["id"] == ident
    op = m.proxy.ctl("op", "show", ident)
    assert op["state"] == "running" and f"op resume {ident}" in op["text"]
    m.login(m.users[0]).logout()
    m.proxy.ctl_run("op", "resume", ident, "--exec", "true")
    assert c.call("op.report", id=ident)["error"]["data"]["name"] in ("E_PERM", "E_UNSUPPORTED")
    c.close()
    assert where(m)[m.users[0]] == "new"


class Relay:
    """A control socket that can be cut off."""

    def __init__(self, path, to):
        self.path, self.to = path, to
        self.pairs = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.to)
            self.pairs.append((near, far))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for s in pair:
                s.shutdown(socket.SHUT_RDWR)
                s.close()


def test_broken_connection(back):
    """mailproxyctl connects anew and goes on; no command is begun twice, none is forgotten."""
    m = back
    path = script(m, "slow", f'echo "$1" >>{m.folder}/begun; while [ ! -e {m.folder}/open ]; do sleep 0.05; done\n')
    if os.path.exists(f"{m.folder}/open"):
        os.unlink(f"{m.folder}/open")
    relay = Relay(os.path.join(m.proxy.run, "relay"), m.proxy.control)
    p = attend(m, "-s", relay.path, "user", "move", "--from", m.names, "--to", "new", "--yes", "--parallel", "3", "--exec",
               f"{path} {{user}}")
    wait.until(lambda: os.path.exists(f"{m.folder}/begun") and len(open(f"{m.folder}/begun").readlines()) == 3, "three run")
    relay.cut()
    open_gate(m)
    out, err = p.communicate(timeout=60)
    relay.listener.close()
    assert p.returncode == 0, (out, err)
    assert sorted(open(f"{m.folder}/begun").read().split()) == m.users
    assert set(where(m).values()) == {"new"}


def test_reports_of_others(back):
    """Only who attends reports; what nobody carries is not taken."""
    m = back
    p, ident, _ = begun(m)
    c = Control(m.proxy.control)
    user = next(iter(rows(m, ident, "state=carrying")))
    assert c.call("op.report", id=ident, user=user, status=0)["error"]["data"]["name"] == "E_PERM"
    c.close()
    assert where(m)[user] == "old"
    open_gate(m)
    p.communicate(timeout=60)
    assert p.returncode == 0


def test_engine_dies(back):
    """The hold dies with the engine: nobody waits, nobody is moved; what was moved stays so."""
    m = back
    p, ident, _ = begun(m)
    pid = m.proxy.engine_pid()
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: m.proxy.is_ready() and m.proxy.engine_pid() != pid, "the next engine")
    m.login(m.users[0]).logout()
    out, err = p.communicate(timeout=60)
    assert p.returncode == 1 and "interrupted" in err, (out, err)
    assert set(where(m).values()) == {"old"}


def test_under_load(boxes):
    """Two Dovecots, doveadm backup, clients that write all the while: no mail is lost, each user waits for their own copy alone."""
    m = boxes
    load = Load(m, 3)
    wait.until(lambda: load.n_mails > N, "the load has begun")
    done = m.move("--parallel", "4")
    load.stop()
    assert done.returncode == 0, done
    assert set(where(m).values()) == {"new"} and not load.refused, load.refused
    got = rows(m, last_op(m)["id"])
    assert len(got) == N and {r["state"] for r in got.values()} == {"moved"}
    assert m.check() >= 3 * N + load.n_mails
