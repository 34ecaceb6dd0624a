# SPDX-License-Identifier: ISC
"""A new program takes over from the running one."""
import grp
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import threading

import pytest
from conftest import backend
from harness import imap, net, wait
from harness.process import has_ended
from harness.proxy import BUILD

USER, PASSWORD = "u1@example.org", "pw"


def install(p, text=None):
    """Puts a new file in the program's place, as a package manager does: a copy of it, or a script."""
    new = p.program + ".new"
    if text is None:
        shutil.copy(os.path.join(BUILD, "mailproxyd"), new)
    else:
        with open(new, "w") as f:
            f.write(text)
    os.chmod(new, 0o755)
    os.replace(new, p.program)


def inode(path):
    return os.stat(path).st_ino


def program_of(pid):
    """The inode of its program. The processes may not be dumped: only root looks into them."""
    try:
        return inode(f"/proc/{pid}/exe")
    except PermissionError:
        pytest.skip("only root sees which program a process runs")


@pytest.fixture
def make(make_proxy, settings, dovecot1, folder):
    """make(more settings) starts a proxy whose program can be replaced."""
    def start(control=None, **more):
        settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
        p = make_proxy({**settings, **more}, start=False)
        if control:
            p.configure({"control": [{**p.settings["control"][0], **control}]})
        p.program = os.path.join(folder, "mailproxyd")
        install(p)
        p.start()
        p.add_user(USER, PASSWORD)
        return p
    return start


@pytest.fixture
def proxy(make):
    return make()


def logged_in(p):
    return imap.logged_in(p, USER, PASSWORD)


def old_socket(p):
    return p.control + ".old"


def upgrade(p, *args):
    """Upgrades; returns the pids of the engine before and after."""
    before = p.engine_pid()
    op = p.ctl("system", "upgrade", "--wait", *args)
    assert op["kind"] == "upgrade" and op["state"] == "done", op
    after = wait.until(lambda: p.is_ready() and p.engine_pid(), "the new engine")
    assert after != before
    return before, after


def failed(p, *args):
    """An upgrade that has to fail; returns its error as JSON."""
    done = p.ctl_run("-o", "json", "system", "upgrade", *args, check=False)
    assert done.returncode == 1, done
    return done.stdout


def nothing_changed(p, pid, c):
    assert p.engine_pid() == pid
    status = p.ctl("system", "status")
    assert status["state"] == "running" and "old_pid" not in status and status["restarts"] == 0
    assert not os.path.exists(old_socket(p))
    assert c.command("n", "NOOP")[-1].startswith("n OK")
    logged_in(p).close()


def old_pid(p):
    return wait.until(lambda: p.ctl("system", "status").get("old_pid"), "an old engine")


def old_is_gone(p):
    """Of one that died it is said for a moment that it does not answer (status 7)."""
    def is_gone():
        done = p.ctl_run("-o", "json", "system", "status", check=False)
        return done.returncode == 0 and "old_pid" not in done.stdout
    wait.until(is_gone, "the old engine's end")


class Clients:
    """Threads that connect, and log in, all the time."""

    def __init__(self, p, n):
        self.p, self.troubles, self.served = p, [], 0
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(n)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.stop.is_set():
            try:
                c = logged_in(self.p)
                assert c.command("b", "LOGOUT")[-1].startswith("b OK")
                c.close()
                with self.lock:
                    self.served += 1
            except (AssertionError, OSError) as e:
                self.troubles.append(repr(e))

    def wait_for_more(self, n):
        before = self.served
        wait.until(lambda: self.served >= before + n, "clients that are served")

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()
        assert self.troubles == []


def test_upgrade_under_clients(proxy):
    supervisor = proxy.process.pid
    old_program = program_of(supervisor)
    c = logged_in(proxy)
    assert c.command("b", "SELECT INBOX")[-1].startswith("b OK")
    clients = Clients(proxy, 4)
    clients.wait_for_more(4)
    install(proxy)
    before, after = upgrade(proxy, "--reason", "a test")
    clients.wait_for_more(8)
    clients.end()
    # the supervisor is the same process and the new program, and so is what it starts
    assert proxy.process.pid == supervisor and proxy.process.is_running()
    wait.until(lambda: program_of(supervisor) == inode(proxy.program), "the new program")
    assert program_of(supervisor) != old_program
    assert program_of(after) == inode(proxy.program)
    assert program_of(before) == old_program
    # what was open goes on
    assert any("Welcome" in line for line in c.command("c", "FETCH 1 BODY[HEADER]"))
    status = proxy.ctl("system", "status")
    assert status["restarts"] == 0 and status["state"] == "running"
    assert status["old_pid"] == before and status["old_control"] == old_socket(proxy)
    wait.until(lambda: proxy.ctl("system", "status")["old_sessions"] == 1, "the count of the old sessions")
    d = logged_in(proxy)
    assert [(x["user"], x["engine"]) for x in proxy.sessions("--sort", "started")] == [(USER, before), (USER, after)]
    assert d.command("e", "LOGOUT")[-1].startswith("e OK")
    # with its last session the old engine ends, and so does its socket
    assert c.command("d", "LOGOUT")[-1].startswith("d OK")
    c.close()
    wait.until(lambda: has_ended(before), "the old engine's end")
    old_is_gone(proxy)
    assert not os.path.exists(old_socket(proxy))
    row = [x for x in proxy.ctl("audit", "list") if x["command"] == "system.upgrade"]
    assert len(row) == 1 and row[0]["reason"] == "a test" and row[0]["result"] == "ok"


def test_old_sessions_are_steered(proxy):
    c, d = logged_in(proxy), logged_in(proxy)
    before, after = upgrade(proxy)
    old = old_socket(proxy)
    assert stat.S_IMODE(os.stat(old).st_mode) == stat.S_IMODE(os.stat(proxy.control).st_mode)
    status = proxy.ctl("system", "status", socket=old)
    assert status["pid"] == before and status["state"] == "retired" and status["sessions"] == 2
    rows = proxy.ctl("session", "list", socket=old)
    e = logged_in(proxy)
    both = proxy.ctl_run("-o", "id", "-s", proxy.control, "-s", old, "session", "list").stdout.split()
    new = [x["id"] for x in proxy.sessions(f"engine={after}")]
    assert len(new) == 1 and len(set(both)) == 3 and {x["id"] for x in rows} | set(new) == set(both)
    # what the other engine would not see is refused; what ends sessions is not
    for command in (["backend", "drain", "dc1"], ["user", "lock", USER, "--yes"], ["config", "reload"], ["system", "upgrade"]):
        done = proxy.ctl_run(*command, check=False, socket=old)
        assert done.returncode == 1 and "another program serves" in done.stderr, done
    # the connection of before comes first or second
    mine = c.sock.getsockname()[1]
    kill = next(x["id"] for x in rows if x["port"] == mine)
    proxy.ctl("session", "kill", kill, "--yes", socket=old)
    assert c.rest().startswith(b"* BYE")
    assert d.command("f", "NOOP")[-1].startswith("f OK")
    proxy.ctl("system", "stop", "--yes", socket=old)
    assert d.rest().startswith(b"* BYE")
    d.close()
    old_is_gone(proxy)
    assert not os.path.exists(old)
    assert e.command("g", "NOOP")[-1].startswith("g OK") and proxy.engine_pid() == after
    assert upgrade(proxy)[0] == after
    e.close(), c.close()


def test_sessions_end_by_the_deadline(proxy):
    c = logged_in(proxy)
    before, _ = upgrade(proxy, "--deadline", "300ms")
    assert c.rest().startswith(b"* BYE")
    c.close()
    wait.until(lambda: has_ended(before), "the old engine's end")


def test_deadline_does_not_exceed_its_rate(proxy):
    clients = [logged_in(proxy) for _ in range(9)]
    upgrade(proxy, "--deadline", "300ms", "--rate", "4")
    told = []

    def wait_for_end(c):
        told.append(c.rest().startswith(b"* BYE"))
        c.close()
    threads = [threading.Thread(target=wait_for_end, args=(c,)) for c in clients]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    moments = proxy.times_of("session-end", 9)
    assert told == [True] * 9 and all(b - a > 0.7 for a, b in zip(moments, moments[5:])), moments


def test_deadline_of_the_configuration(proxy):
    proxy.configure({"reload_session_timeout": "300ms"})
    proxy.ctl("config", "reload")
    c = logged_in(proxy)
    upgrade(proxy)
    assert c.rest().startswith(b"* BYE")
    c.close()


def test_broken_program(proxy):
    c, pid = logged_in(proxy), proxy.engine_pid()
    for text, words in (("#!/bin/sh\necho it is broken; exit 1\n", "it is broken"),
                        ("#!/bin/sh\nkill -SEGV $$\n", "died"),
                        ("#!/no/such/interpreter\n", "No such file"),
                        ("this is no program", "Exec format error")):
        install(proxy, text)
        error = failed(proxy)
        assert words in error and "E_UPGRADE" in error, error
        nothing_changed(proxy, pid, c)
    os.remove(proxy.program)
    assert "No such file" in failed(proxy)
    nothing_changed(proxy, pid, c)
    assert {x["result"] for x in proxy.ctl("audit", "list") if x["command"] == "system.upgrade"} == {"E_UPGRADE"}
    # it helps to put it right
    install(proxy)
    assert upgrade(proxy)[0] == pid
    c.close()


def test_program_that_cannot_take_over(proxy):
    c, pid = logged_in(proxy), proxy.engine_pid()
    real = proxy.program + ".real"
    shutil.copy(os.path.join(BUILD, "mailproxyd"), real)
    install(proxy, f'#!/bin/sh\nexec {real} --test --take-over 0 -c {proxy.config}\n')
    assert "restart it" in failed(proxy)
    nothing_changed(proxy, pid, c)
    c.close()


def test_broken_configuration(proxy):
    c, pid = logged_in(proxy), proxy.engine_pid()
    good = open(proxy.config).read()
    with open(proxy.config, "w") as f:
        f.write(good + "workerz = 2;\n")
    assert "workerz" in failed(proxy)
    nothing_changed(proxy, pid, c)
    c.close()


def test_engine_that_does_not_get_ready(proxy):
    c, pid = logged_in(proxy), proxy.engine_pid()
    shutil.copy(os.path.join(BUILD, "mailproxyd"), proxy.program + ".real")
    install(proxy, f'#!/bin/sh\ncase "$*" in *--engine*) exit 3;; esac\nexec {proxy.program}.real "$@"\n')
    done = proxy.ctl_run("-o", "json", "system", "upgrade", "--wait", check=False)
    op = json.loads(done.stdout)
    assert done.returncode == 1 and op["state"] == "failed" and "status 3" in op["text"], done
    nothing_changed(proxy, pid, c)
    # it says why, when it can
    install(proxy)
    with socket.create_server((proxy.host, 0)) as taken:
        proxy.configure({"metrics": {"address": f"{proxy.host}:{taken.getsockname()[1]}"}})
        op = json.loads(proxy.ctl_run("-o", "json", "system", "upgrade", "--wait", check=False).stdout)
    assert op["state"] == "failed" and "address is in use" in op["text"], op
    nothing_changed(proxy, pid, c)
    assert [x["state"] for x in proxy.ctl("op", "list")] == ["failed", "failed"]
    c.close()


@pytest.fixture
def gate(proxy):
    """A program whose engine starts only when the gate is opened."""
    shutil.copy(os.path.join(BUILD, "mailproxyd"), proxy.program + ".real")
    path, here = proxy.program + ".go", proxy.program + ".here"
    install(proxy, f'''#!/bin/sh
case "$*" in *--engine*) : >{here}; while [ ! -e {path} ]; do sleep 0.02; done;; esac
exec {proxy.program}.real "$@"
''')

    def go():
        open(path, "w").close()
    go.is_reached = lambda: os.path.exists(here)
    return go


def op_state(p, op):
    return p.ctl("op", "show", op)["state"]


def test_while_the_new_engine_starts(proxy, gate):
    """All goes on; a second upgrade is refused; a reload meanwhile holds for the new engine, too."""
    c, before = logged_in(proxy), proxy.engine_pid()
    op = proxy.ctl("system", "upgrade")["op"]
    assert op_state(proxy, op) == "running" and "under way" in failed(proxy)
    assert proxy.ctl("system", "status")["state"] == "running"
    logged_in(proxy).close()
    listeners = proxy.settings["listeners"] + [{"name": "second", "protocol": "imap", "tls": "off", "allow_plaintext": True}]
    proxy.configure({"listeners": listeners})
    proxy.ctl("config", "reload")
    assert proxy.engine_pid() == before
    gate()
    wait.until(lambda: proxy.is_ready() and proxy.engine_pid() != before, "the new engine")
    assert op_state(proxy, op) == "done"
    d = imap.Lines(proxy.host, proxy.ports["second"])
    assert d.line().startswith("* OK")
    c.close(), d.close()


def test_engine_dies_while_the_new_one_starts(proxy, gate):
    before = proxy.engine_pid()
    proxy.ctl("system", "upgrade")  # is answered before the new engine starts: that is a stored operation
    wait.until(gate.is_reached, "the start of the new engine")
    os.kill(before, signal.SIGKILL)
    between = wait.until(lambda: proxy.is_ready() and proxy.engine_pid(), "the old program's next engine")
    c = logged_in(proxy)
    gate()
    wait.until(lambda: proxy.is_ready() and proxy.engine_pid() not in (before, between), "the new engine")
    assert old_pid(proxy) == between
    assert c.command("b", "NOOP")[-1].startswith("b OK")
    c.close()


def test_stop_while_the_new_engine_starts(proxy, gate):
    c = logged_in(proxy)
    proxy.ctl("system", "upgrade")
    proxy.process.signal(signal.SIGTERM)
    assert c.rest().startswith(b"* BYE")
    c.close()
    assert proxy.process.child.wait(20) == 0


def test_watchers_hear_of_it(proxy):
    """A stream of the old engine ends with the reason, and so do idle connections."""
    c = logged_in(proxy)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(proxy.control)
        f = s.makefile("rwb", buffering=0)
        f.readline()
        f.write(b'{"jsonrpc": "2.0", "id": 1, "method": "event.watch"}\n')
        assert b'"stream"' in f.readline()
        upgrade(proxy)
        lines = f.read().splitlines()
    error = json.loads(lines[-1])["error"]
    assert error["data"]["name"] == "E_SHUTDOWN" and "connect again" in error["message"]
    assert c.command("b", "NOOP")[-1].startswith("b OK")
    c.close()


def test_new_addresses(proxy):
    """What the configuration says since the last reload holds for the new program."""
    listeners = proxy.settings["listeners"]
    metrics = f"{proxy.host}:{net.port(proxy.host)}"
    proxy.configure({"metrics": {"address": metrics},
                     "listeners": [listeners[0], {"name": "second", "protocol": "imap", "tls": "off", "allow_plaintext": True}]})
    upgrade(proxy)
    c = imap.Lines(proxy.host, proxy.ports["second"])
    assert c.line().startswith("* OK")
    c.close()
    with pytest.raises(ConnectionRefusedError):
        wait.until(lambda: socket.create_connection((proxy.host, proxy.ports["imaps"]), 1).close(), "the end of imaps")
    page = ["curl", "-s", f"http://{metrics}/metrics"]
    assert b"mailproxy" in subprocess.run(page, capture_output=True, check=True).stdout
    # the page is the new engine's also while the old one is there
    old_is_gone(proxy)
    c = logged_in(proxy)
    upgrade(proxy)
    assert b"mailproxy" in subprocess.run(page, capture_output=True, check=True).stdout
    c.close()


def test_reloads_meanwhile(proxy):
    """One that comes too late for the old program is not told that the daemon stops."""
    refused = []
    over = threading.Event()

    def reload():
        while not over.is_set():
            done = proxy.ctl_run("config", "reload", check=False)
            if done.returncode:
                refused.append(done.stderr)
    threads = [threading.Thread(target=reload) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(3):
        proxy.ctl_run("system", "upgrade", "--wait")
    over.set()
    for t in threads:
        t.join()
    assert [text for text in refused if "ask again" not in text and "another program serves" not in text] == []


def test_by_signal(proxy):
    c, before = logged_in(proxy), proxy.engine_pid()
    proxy.process.signal(signal.SIGUSR2)
    wait.until(lambda: proxy.is_ready() and proxy.engine_pid() != before, "the new engine")
    assert old_pid(proxy) == before
    row = [x for x in proxy.ctl("audit", "list") if x["command"] == "system.upgrade"]
    assert [x["user"] for x in row] == ["SIGUSR2"]
    # and again, while the old one is there
    second = proxy.engine_pid()
    proxy.process.signal(signal.SIGUSR2)
    wait.until(lambda: proxy.is_ready() and proxy.engine_pid() not in (before, second), "the third engine")
    assert c.command("b", "NOOP")[-1].startswith("b OK")
    c.close()


def test_new_engine_dies_later(proxy):
    c = logged_in(proxy)
    before, after = upgrade(proxy)
    os.kill(after, signal.SIGKILL)
    wait.until(lambda: proxy.is_ready() and proxy.engine_pid() != after, "the next engine")
    status = wait.until(lambda: (lambda s: "old_pid" in s and s)(proxy.ctl("system", "status")), "the old one in the status")
    assert status["restarts"] == 1 and status["old_pid"] == before
    assert program_of(status['pid']) == inode(proxy.program)
    assert c.command("b", "NOOP")[-1].startswith("b OK")
    assert proxy.ctl("system", "status", socket=old_socket(proxy))["pid"] == before
    logged_in(proxy).close()
    c.close()


def test_old_engine_dies(proxy):
    c = logged_in(proxy)
    before, after = upgrade(proxy)
    os.kill(before, signal.SIGKILL)
    old_is_gone(proxy)
    assert proxy.engine_pid() == after and not os.path.exists(old_socket(proxy))
    assert c.rest() == b""
    c.close()


@pytest.mark.parametrize("how", ["signal", "command"])
def test_stop_ends_both(proxy, how):
    c = logged_in(proxy)
    before, after = upgrade(proxy)
    d = logged_in(proxy)
    if how == "signal":
        proxy.process.signal(signal.SIGTERM)
    else:
        proxy.ctl("system", "stop", "--yes")
    assert c.rest().startswith(b"* BYE") and d.rest().startswith(b"* BYE")
    c.close(), d.close()
    assert proxy.process.child.wait(20) == 0
    assert has_ended(before) and has_ended(after)
    assert not os.path.exists(proxy.control) and not os.path.exists(old_socket(proxy))


def test_both_leave_when_the_supervisor_is_gone(proxy):
    c = logged_in(proxy)
    pids = upgrade(proxy)
    d = logged_in(proxy)
    wait.until(lambda: program_of(proxy.process.pid) == inode(proxy.program), "the new supervisor")
    os.kill(proxy.process.pid, signal.SIGKILL)
    assert c.rest().startswith(b"* BYE") and d.rest().startswith(b"* BYE")
    c.close(), d.close()
    wait.until(lambda: all(has_ended(pid) for pid in pids), "their end")
    proxy.process.stop()
    proxy.process = None


def test_operations(proxy):
    """A drain goes on where it is; what would be cut by an upgrade makes it wait."""
    c = logged_in(proxy)
    drain = proxy.ctl("backend", "drain", "dc1", "--yes")["op"]
    upgrade(proxy)
    wait.until(lambda: proxy.ctl("op", "show", drain)["state"] == "running", "what the engine before says of it")
    assert proxy.ctl("op", "show", drain, socket=old_socket(proxy))["state"] == "running"
    assert proxy.ctl("backend", "show", "dc1")["admin"] == "drain"
    proxy.ctl("backend", "ready", "dc1")
    # operations of both have numbers of their own in the store
    first = int(proxy.ctl("backend", "drain", "dc1", "--yes")["op"])
    assert first > int(drain) + 50
    proxy.ctl("backend", "ready", "dc1")
    c.close()


def test_unconfirmed_reload_comes_first(proxy):
    proxy.configure({"limits": {"sessions": 77}})
    proxy.ctl("config", "reload", "--confirm", "1h")
    assert "config confirm" in failed(proxy)
    proxy.ctl("config", "confirm")
    upgrade(proxy)


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
def test_engines_of_another_user(make):
    p = make(user="nobody", group="nogroup", control={"owner": "nobody", "group": "nogroup"})
    c = logged_in(p)
    before, after = upgrade(p)
    ids = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
    for pid in (before, after):
        with open(f"/proc/{pid}/status") as f:
            assert [x.split()[1] for x in f if x.startswith("Uid:")] == [str(ids[0])]
    info = os.stat(old_socket(p))
    assert (info.st_uid, info.st_gid, info.st_mode) == (*ids, os.stat(p.control).st_mode)
    assert c.command("b", "NOOP")[-1].startswith("b OK")
    # both write to the store
    p.ctl("user", "set", USER, "--note", "by the new one")
    p.ctl("session", "kill", "--all", "--yes", socket=old_socket(p))
    assert c.rest().startswith(b"* BYE")
    c.close()
    old_is_gone(p)
    assert {"session.kill", "user.set", "system.upgrade"} <= {x["command"] for x in p.ctl("audit", "list")}


def test_sockets_of_systemd(make_proxy, settings, folder):
    p = make_proxy(settings, start=False)
    s = socket.create_server((p.host, p.ports["imap"]))
    os.dup2(s.fileno(), 200, inheritable=True)
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = os.path.join(p.run, "notify")
    told.bind(path)
    told.settimeout(30)
    script = f'exec 3<&200 200<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec "{BUILD}/mailproxyd" -c "{p.config}"'
    child = subprocess.Popen(["/bin/bash", "-c", script], pass_fds=[200], stdout=subprocess.DEVNULL,
                             stderr=open(p.log_file, "w"), env={**os.environ, "NOTIFY_SOCKET": path})
    os.close(200)
    s.close()
    try:
        wait.until(p.is_ready, "ready")
        assert told.recv(200).startswith(b"READY=1")
        c = imap.Lines(p.host, p.ports["imap"])
        assert c.line().startswith("* OK")
        upgrade(p)
        assert told.recv(200).startswith(b"RELOADING=1")
        assert told.recv(200).startswith(b"READY=1")
        d = imap.Lines(p.host, p.ports["imap"])
        assert d.line().startswith("* OK") and c.command("a", "NOOP")[-1].startswith("a OK")
        c.close(), d.close()
    finally:
        child.terminate()
        assert child.wait(20) == 0
        told.close()
