# SPDX-License-Identifier: ISC
"""What root does for the daemon: files are read by the supervisor, sockets replace sockets only, and contents outlive files."""
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest
from harness import imap, wait
from harness.proxy import BUILD, CtlError

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")


def crash(p):
    pid = p.engine_pid()
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the next engine")


def tls_greeting(p):
    c = imap.context().wrap_socket(socket.create_connection((p.host, p.ports["imaps"]), 10), server_hostname="proxy.test")
    assert c.recv(100).startswith(b"* OK")
    c.close()


def test_broken_certificate_and_a_crash(make_proxy, settings, folder):
    """The next engine has the contents of before; a reload says what is wrong."""
    certs = settings["tls"]["certificates"]
    for c in certs:
        for key in ("cert", "key"):
            copy = os.path.join(folder, os.path.basename(c[key]))
            shutil.copy(c[key], copy)
            c[key] = copy
    p = make_proxy(settings)
    tls_greeting(p)
    for c in certs:
        with open(c["cert"], "w") as f:
            f.write("nonsense")
        os.remove(c["key"])
    for _ in range(2):
        crash(p)
        tls_greeting(p)
    with pytest.raises(CtlError) as e:
        p.ctl("config", "reload")
    assert certs[0]["key"] in e.value.output
    tls_greeting(p)


def test_configuration_that_is_gone_and_a_crash(make_proxy, settings):
    p = make_proxy(settings)
    os.rename(p.config, p.config + ".away")
    crash(p)
    tls_greeting(p)
    os.rename(p.config + ".away", p.config)


@as_root
def test_reload_with_what_only_root_may_read(make_proxy, settings, folder):
    """Configuration, key and log belong to root; the engine is somebody else and opens none of them."""
    settings["user"] = "nobody"
    p = make_proxy(settings, start=False)
    logs = os.path.join(folder, "logs")
    os.mkdir(logs, 0o700)
    path = os.path.join(logs, "a.log")
    p.configure({"log": [{"target": "file", "path": path, "level": "info"}, {"target": "stderr", "level": "debug"}]})
    os.chmod(p.config, 0o600)
    p.start()
    assert os.stat(path).st_uid == 0 and stat.S_IMODE(os.stat(path).st_mode) == 0o640
    with open(f"/proc/{p.engine_pid()}/status") as f:
        assert [x.split()[1] for x in f if x.startswith("Uid:")] == [str(pwd.getpwnam("nobody").pw_uid)]
    p.configure({"limits": {"sessions": 77}})
    os.chmod(p.config, 0o600)
    assert any("limits.sessions" in x["path"] for x in p.ctl("config", "reload"))
    os.rename(path, path + ".1")
    p.process.signal(signal.SIGUSR1)
    wait.until(lambda: os.path.exists(path), "the new file")
    assert "trouble" not in p.ctl("system", "status")


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_only_a_socket_makes_room(make_proxy, settings, folder, kind):
    p = make_proxy(settings, start=False)
    target = os.path.join(folder, "precious")
    with open(target, "w") as f:
        f.write("precious")
    if kind == "file":
        os.rename(target, p.control)
    elif kind == "folder":
        os.mkdir(p.control)
    else:
        os.symlink(target, p.control)
    before = os.lstat(p.control)
    done = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-c", p.config], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and p.control in done.stderr, done
    after = os.lstat(p.control)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    with open(p.control if kind == "file" else target) as f:
        assert f.read() == "precious"
    shutil.rmtree(p.run)


def test_socket_that_was_left_over_makes_room(make_proxy, settings):
    p = make_proxy(settings, start=False)
    s = socket.socket(socket.AF_UNIX)
    s.bind(p.control)
    s.close()
    p.start()
    assert p.is_ready()


@as_root
def test_folder_that_another_user_could_move(make_proxy, settings, folder):
    """In the time between two looks it could be any folder of root's."""
    p_run = os.path.join("/tmp", f"mpx-owned-{os.getpid()}")
    outer = os.path.join(p_run, "inner")
    os.makedirs(outer)
    try:
        os.chown(p_run, pwd.getpwnam("nobody").pw_uid, -1)
        p = make_proxy(settings, start=False)
        path = os.path.join(outer, "control.sock")
        p.configure({"control": [{**p.settings["control"][0], "path": path}]})
        done = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-c", p.config], capture_output=True, text=True, timeout=30)
        assert done.returncode != 0 and path in done.stderr and "another user" in done.stderr, done
        assert not os.path.exists(path)
        shutil.rmtree(p.run)
    finally:
        shutil.rmtree(p_run)


def test_control_socket_that_is_lost(make_proxy, settings):
    """Removed, with its folder, or with something else in its place: it comes back by itself, and who is connected stays."""
    p = make_proxy(settings)
    pid = p.engine_pid()
    p.ctl("user", "add", "before@example.org", "--no-password")
    watching = subprocess.Popen([os.path.join(BUILD, "mailproxyctl"), "-s", p.control, "-o", "jsonl", "event", "watch", "--last", "5"], stdout=subprocess.PIPE, text=True)
    assert watching.stdout.readline()  # it is connected
    os.remove(p.control)
    wait.until(p.is_ready, "the socket")
    mode = os.stat(p.control).st_mode

    shutil.rmtree(p.run)
    wait.until(p.is_ready, "the socket and its folder")
    assert os.stat(p.control).st_mode == mode

    os.remove(p.control)
    with open(p.control, "w") as f:
        f.write("precious")
    p.wait_for_log("socket-lost")
    time.sleep(1.2)  # said once, though it is tried again
    with open(p.control) as f:
        assert f.read() == "precious"
    os.remove(p.control)
    wait.until(p.is_ready, "the socket")

    log = p.whole_log()
    assert log.count("socket-lost") == 1 and log.count("socket-bound-again") == 3 and p.engine_pid() == pid
    p.ctl("user", "add", "seen@example.org", "--no-password")
    assert any("seen@example.org" in line for line in iter(watching.stdout.readline, ""))
    watching.kill()
    watching.wait()


def test_two_control_sockets_that_are_lost(make_proxy, settings):
    """Each is told for itself, also when the other one has been told before."""
    p = make_proxy(settings, start=False)
    other = os.path.join(p.run, "other.sock")
    p.configure({"control": [p.settings["control"][0], {**p.settings["control"][0], "path": other}]})
    p.start()
    for n, path in enumerate((p.control, other), 1):
        os.remove(path)
        with open(path, "w") as f:
            f.write("precious")
        p.wait_for_log("socket-lost", n)
    for path in (p.control, other):
        os.remove(path)
    p.wait_for_log("socket-bound-again", 2)
    lost = [line for line in p.whole_log().splitlines() if "socket-lost" in line]
    assert len(lost) == 2 and p.control in lost[0] and other in lost[1], lost


def test_run_folder_that_is_lost(make_proxy, settings):
    """It is made again by the next engine's start, with the control socket."""
    p = make_proxy(settings)
    pid = p.engine_pid()
    shutil.rmtree(p.run)
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the control socket")
    tls_greeting(p)
