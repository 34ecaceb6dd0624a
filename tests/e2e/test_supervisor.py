# SPDX-License-Identifier: ISC
"""Start, stop, reload and death of the engine."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest
from conftest import backend
from harness import imap, process, wait
from harness.proxy import BUILD, ENVIRONMENT

USER, PASSWORD = "u1@example.org", "pw"


@pytest.fixture
def proxy(make_proxy, settings, dovecot1):
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    return p


def logged_in(p):
    return imap.logged_in(p, USER, PASSWORD)


def test_stop_says_goodbye(proxy):
    c = logged_in(proxy)
    proxy.process.signal(signal.SIGTERM)
    assert c.rest().startswith(b"* BYE")
    c.close()
    assert proxy.process.child.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_while_the_engine_starts(make_proxy, settings, number):
    """A service manager that stops what it has just started sees no failure."""
    p = make_proxy(settings, start=False)
    p.process = process.Process([p.program, "-c", p.config], p.log_file, ENVIRONMENT)

    def engine():
        with open(f"/proc/{p.process.pid}/task/{p.process.pid}/children") as f:
            return next((int(child) for child in f.read().split() if process.name(child) == "mp-engine"), None)
    pid = wait.until(engine, "the engine")
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, number)  # as from a terminal, to all processes
    p.process.signal(number)
    with contextlib.suppress(ProcessLookupError):  # the signal may have been faster than the stop
        os.kill(pid, signal.SIGCONT)
    assert p.process.child.wait(20) == 0


def test_stop_by_command(proxy):
    c = logged_in(proxy)
    proxy.ctl("system", "stop", "--yes")
    assert c.rest().startswith(b"* BYE")
    c.close()
    assert proxy.process.child.wait(20) == 0


def test_reload_keeps_sessions(proxy):
    c = logged_in(proxy)
    proxy.configure({"limits": {"sessions": 77}})
    changes = proxy.ctl("config", "reload")
    assert any("limits.sessions" in x["path"] for x in changes)
    assert c.command("b", "NOOP")[-1].startswith("b OK")
    logged_in(proxy).close()
    c.close()


def test_reload_by_signal_binds_new_addresses(proxy):
    listeners = proxy.settings["listeners"] + [{"name": "second", "protocol": "imap", "tls": "off", "allow_plaintext": True}]
    proxy.configure({"listeners": listeners})
    proxy.reload()
    wait.until(lambda: "second" in [x["name"] for x in proxy.ctl("listener", "list")], "the second listener")
    c = imap.Lines(proxy.host, proxy.ports["second"])
    assert c.line().startswith("* OK")
    c.close()
    proxy.configure({"listeners": listeners[:-1]})
    proxy.reload()

    def is_closed():
        try:
            socket.create_connection((proxy.host, proxy.ports["second"]), 1).close()
            return False
        except ConnectionResetError:  # it came while the socket was closed
            return False
        except ConnectionRefusedError:
            return True
    wait.until(is_closed, "the second listener's end")


def test_wrong_config_changes_nothing(proxy):
    good = open(proxy.config).read()
    with open(proxy.config, "w") as f:
        f.write(good + "nonsense_key = 1;\nworkerz = 2;\n")
    done = proxy.ctl_run("-o", "json", "config", "check", check=False)
    problems = json.loads(done.stdout)
    assert done.returncode == 1
    assert {"nonsense_key", "workerz"} <= {x["key"] for x in problems}
    assert any("workers" in x["text"] for x in problems)
    done = proxy.ctl_run("config", "reload", check=False)
    assert done.returncode == 1
    logged_in(proxy).close()


def test_second_daemon_with_the_same_store(proxy, folder):
    """It is refused and told who has the store: also during and after an upgrade, never after a death, and -t does not mind."""
    from harness.proxy import Proxy
    second = Proxy(os.path.join(folder, "second"), {k: v for k, v in proxy.settings.items() if k not in ("run_dir", "control", "listeners")})

    def start(*options):
        return subprocess.run([second.program, *options, "-c", second.config], capture_output=True, text=True, timeout=60)

    def assert_refused():
        done = start()
        assert done.returncode != 0
        assert f"{proxy.settings['state_dir']}/mailproxy.db: the store is in use by another mailproxyd (PID {proxy.process.child.pid})" in done.stderr

    def locks_of(pid):
        return [x for x in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{x}").endswith(".lock")]
    assert_refused()
    assert start("-t").returncode == 0
    c = logged_in(proxy)
    engine = proxy.engine_pid()
    proxy.ctl("system", "upgrade", "--yes")
    wait.until(lambda: proxy.is_ready() and proxy.engine_pid() != engine, "the new engine")
    wait.until(lambda: "--take-over" in open(f"/proc/{proxy.process.child.pid}/cmdline").read(), "the new supervisor")
    assert_refused()
    c.close()
    wait.until(lambda: not os.path.exists(f"/proc/{engine}"), "the old engine's end")
    assert_refused()
    proxy.ctl("config", "reload")
    os.kill(proxy.engine_pid(), signal.SIGKILL)
    wait.until(proxy.is_ready, "an engine after one that died")
    assert_refused()
    assert len(locks_of(proxy.process.child.pid)) == 1
    if os.geteuid() == 0:  # what an engine has open nobody else may see
        assert locks_of(proxy.engine_pid()) == []

    proxy.process.child.kill()
    proxy.process.child.wait(20)
    proxy.process = None
    second.start()
    second.stop()


def test_test_option_lists_all_problems(folder):
    path = os.path.join(folder, "bad.conf")
    with open(path, "w") as f:
        f.write('workers = "many";\nlisteners = ( { name = "a"; protocol = "imap"; address = "nowhere"; tls = "maybe"; } );\n'
                'pools = ( { name = "p"; backends = ( { name = "b"; hosst = "x"; } ); } );\nroutes = ( { pool = "q"; } );\n')
    done = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-t", "-c", path], capture_output=True, text=True)
    assert done.returncode != 0
    text = done.stdout + done.stderr
    for part in ("bad.conf:1", "workers", "bad.conf:2", "tls", "hosst", "host", "bad.conf:4"):
        assert part in text, text


def test_no_client_is_refused_while_the_engine_dies(proxy):
    stop = threading.Event()
    refused, served = [], []

    def connect():
        while not stop.is_set():
            try:
                s = socket.create_connection((proxy.host, proxy.ports["imap"]), 20)
                s.settimeout(20)
                try:
                    # a connection of the dying engine may end; it is not refused
                    served.append(s.recv(100))
                except ConnectionResetError:
                    pass
                s.close()
            except (ConnectionRefusedError, socket.timeout) as e:
                refused.append(e)
    threads = [threading.Thread(target=connect) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(3):
        pid = proxy.engine_pid()
        before = len(served)
        os.kill(pid, signal.SIGKILL)
        wait.until(lambda: proxy.is_ready() and proxy.engine_pid() != pid, "the next engine")
        wait.until(lambda: len(served) > before + 5, "clients that are served")
    stop.set()
    for t in threads:
        t.join()
    assert refused == []
    logged_in(proxy).close()


def test_killed_20_times(proxy):
    """Back-off, but never given up."""
    pids = set()
    for _ in range(20):
        pid = proxy.engine_pid()
        pids.add(pid)
        os.kill(pid, signal.SIGKILL)
        if len(pids) >= 4:
            break
        wait.until(lambda: proxy.is_ready() and proxy.engine_pid() not in pids, "the next engine")
    wait.until(lambda: proxy.is_ready() and proxy.engine_pid() not in pids, "the last engine")
    assert proxy.log().count("engine-died") == len(pids)
    logged_in(proxy).close()


def test_engine_leaves_when_the_supervisor_is_gone(proxy):
    pid = proxy.engine_pid()
    c = logged_in(proxy)
    os.kill(proxy.process.pid, signal.SIGKILL)
    assert c.rest().startswith(b"* BYE")
    c.close()

    def is_gone():
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().split()[2] == "Z"
        except FileNotFoundError:
            return True
    wait.until(is_gone, "the engine's end")
    proxy.process.stop()
    proxy.process = None


def test_log_files_are_reopened(make_proxy, settings, folder):
    path = os.path.join(folder, "a.log")
    settings["log"] = [{"target": "file", "path": path, "format": "json", "level": "info"},
                       {"target": "stderr", "level": "debug"}]
    p = make_proxy(settings)
    os.rename(path, path + ".1")
    p.process.signal(signal.SIGUSR1)
    wait.until(lambda: os.path.exists(path), "the new file")
    import json
    for line in open(path + ".1"):
        assert json.loads(line)["event"]


def test_broken_store_is_refused_and_untouched(make_proxy, settings, folder):
    p = make_proxy(settings, start=False)
    os.makedirs(p.settings["state_dir"], exist_ok=True)
    path = os.path.join(folder, "users.db")
    with open(path, "wb") as f:
        f.write(b"this is not a database" * 1000)
    before = open(path, "rb").read()
    p.configure({"store": {"path": path}})
    done = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-c", p.config], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "users.db" in done.stderr
    assert open(path, "rb").read() == before


def test_listen_fds(make_proxy, settings):
    """Socket activation: a socket that is there already is taken."""
    p = make_proxy(settings, start=False)
    s = socket.create_server((p.host, p.ports["imap"]))
    os.dup2(s.fileno(), 200, inheritable=True)
    script = f'exec 3<&200; LISTEN_PID=$$ LISTEN_FDS=1 exec "{BUILD}/mailproxyd" -c "{p.config}"'
    child = subprocess.Popen(["/bin/bash", "-c", script], pass_fds=[200], stdout=subprocess.DEVNULL,
                             stderr=open(p.log_file, "w"))
    try:
        wait.until(p.is_ready, "ready")
        c = imap.Lines(p.host, p.ports["imap"])
        assert c.line().startswith("* OK")
        c.close()
    finally:
        child.terminate()
        assert child.wait(20) == 0
        os.close(200)
        s.close()


def test_proxy_header(make_proxy, settings, dovecot1):
    settings["listeners"] = [{"name": "imap", "protocol": "imap", "tls": "off", "allow_plaintext": True,
                              "proxy_protocol": ["127.0.0.0/8"]},
                             {"name": "imaps", "protocol": "imap", "tls": "implicit", "proxy_protocol": ["127.0.0.0/8"]}]
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    c = socket.create_connection((p.host, p.ports["imap"]))
    for part in (b"PRO", b"XY TCP4 192.0.2.7 192.0", b".2.8 1234 143\r\na LOGIN u1@example.org pw\r\n"):
        c.sendall(part)
    f = c.makefile("rb")
    assert f.readline().startswith(b"* OK")
    while not f.readline().startswith(b"a OK"):
        pass
    assert p.sessions("ip=192.0.2.7")[0]["user"] == USER
    c.close()
    c = socket.create_connection((p.host, p.ports["imaps"]))
    c.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.8 1234 993\r\n")
    t = imap.context().wrap_socket(c, server_hostname="proxy.test")
    assert t.recv(100).startswith(b"* OK")
    assert len(p.sessions("ip=192.0.2.9")) == 1
    t.close()
    c = imap.Lines(p.host, p.ports["imap"])
    c.send("a NOOP\r\n")
    assert c.rest() == b""
    c.close()


def test_session_limit(make_proxy, settings):
    settings["limits"] = {"sessions": 2}
    p = make_proxy(settings)
    a, b = (imap.Lines(p.host, p.ports["imap"]) for _ in range(2))
    a.line(), b.line()
    c = imap.Lines(p.host, p.ports["imap"])
    assert c.rest().startswith(b"* BYE")
    a.close(), b.close(), c.close()


def test_listeners_are_listed_while_it_stops(make_proxy, settings):
    p = make_proxy(settings)
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(p.control)
        f = s.makefile("rwb", buffering=0)
        f.readline()
        p.process.signal(signal.SIGTERM)
        assert c.line().startswith("* BYE")  # and stays, so that the end waits
        f.write(b'{"jsonrpc": "2.0", "id": 1, "method": "listener.list"}\n')
        assert b'"rows"' in f.readline()
    c.close()
    p.stop()


def test_an_engine_that_cannot_go_on_reads_the_file(make_proxy, settings, folder):
    """The configuration of the one that died does not start any more: the mended file does."""
    for name in ("first", "second"):
        os.mkdir(os.path.join(folder, name))
    settings["store"] = {"path": os.path.join(folder, "first", "mailproxy.db")}
    p = make_proxy(settings)
    p.configure({"store": {"path": os.path.join(folder, "second", "mailproxy.db")}})
    pid = p.engine_pid()
    os.rename(os.path.join(folder, "first"), os.path.join(folder, "gone"))
    with open(os.path.join(folder, "first"), "w"):
        pass  # no folder: no store
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "an engine with the file's configuration")
    assert "start-failed" in p.log() and os.path.exists(os.path.join(folder, "second", "mailproxy.db"))


def test_quit_waits_for_sessions(proxy):
    """SIGQUIT is as nginx's: nobody new, and the end when the last one has gone by itself. Operators still get in."""
    c = logged_in(proxy)
    proxy.process.signal(signal.SIGQUIT)

    def is_closed():
        try:
            socket.create_connection((proxy.host, proxy.ports["imap"]), 1).close()
            return False
        except ConnectionRefusedError:
            return True
    wait.until(is_closed, "the listener's end")
    assert proxy.ctl("system", "status")["state"] == "stopping"
    assert proxy.ctl_run("config", "reload", check=False).returncode != 0
    assert c.command("b", "NOOP")[-1].startswith("b OK")
    wait.until(lambda: len(proxy.sessions()) == 1, "the end of those who tried the listener")
    assert proxy.process.child.poll() is None
    assert c.command("c", "LOGOUT")[-1].startswith("c OK")
    c.close()
    assert proxy.process.child.wait(20) == 0
    assert "quitting sessions=" in proxy.log()


def test_quit_is_cut_short(proxy):
    """By SIGTERM, by the limit that the configuration has, by a death of the engine."""
    c = logged_in(proxy)
    proxy.process.signal(signal.SIGQUIT)
    proxy.wait_for_log("quitting")
    proxy.process.signal(signal.SIGTERM)
    assert c.rest().startswith(b"* BYE")
    c.close()
    assert proxy.process.child.wait(20) == 0


def test_quit_has_a_limit(proxy):
    proxy.configure({"reload_session_timeout": "1s"})
    proxy.ctl("config", "reload")
    c = logged_in(proxy)
    proxy.process.signal(signal.SIGQUIT)
    assert c.rest().startswith(b"* BYE")
    c.close()
    assert proxy.process.child.wait(20) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_check_as_the_user(make_proxy, settings, folder):
    """-t as root finds what only the started daemon would: nobody may not write to root's folder."""
    state = os.path.join(folder, "private")
    os.mkdir(state, 0o700)
    p = make_proxy({**settings, "user": "nobody", "state_dir": state}, start=False)

    def check():
        return subprocess.run([p.program, "-t", "-c", p.config], capture_output=True, text=True, timeout=60)
    done = check()
    assert done.returncode == 78 and f"store.path: {state} cannot be written by user nobody: Permission denied" in done.stderr
    shutil.chown(state, "nobody")
    db = os.path.join(state, "mailproxy.db")
    with open(db, "w"):
        os.chmod(db, 0o600)
    done = check()
    assert done.returncode == 78 and f"{db} cannot be written by user nobody" in done.stderr
    shutil.chown(db, "nobody")
    s = socket.socket(socket.AF_UNIX)
    s.bind(os.path.join(folder, "backend"))
    os.chmod(os.path.join(folder, "backend"), 0o600)
    p.configure({"pools": [{"name": "main", "tls": "off", "backends": [{"name": "u", "host": "unix:" + os.path.join(folder, "backend")}]}]})
    done = check()
    assert done.returncode == 0, done.stderr
    assert "pools[0].backends[0].host" in done.stderr and "cannot be connected to by user nobody" in done.stderr
    s.close()
