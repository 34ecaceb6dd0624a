# SPDX-License-Identifier: ISC
"""The daemon as a service of systemd: signs of life, how much the unit lets it do, and a life without root."""
import os
import re
import shutil
import socket
import subprocess

import pytest
from harness import imap, net, wait
from harness.proxy import ENVIRONMENT

CONF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf")
USER, PASSWORD = "alice@example.org", "secret-a"


@pytest.fixture
def manager(folder):
    """The socket on which a service manager listens."""
    path = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(30)
        yield s


def test_signs_of_life(make_proxy, settings, manager, monkeypatch):
    """As often as the unit asks for, from the supervisor; a new engine does not interrupt them."""
    monkeypatch.setitem(ENVIRONMENT, "NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setitem(ENVIRONMENT, "WATCHDOG_USEC", "2000000")
    p = make_proxy(settings)
    heard = []

    def hears(n):
        while heard.count("WATCHDOG=1") < n:
            heard.extend(manager.recv(1000).decode().split("\n"))
    hears(2)
    assert "READY=1" in heard
    del heard[:]
    pid = p.engine_pid()
    os.kill(pid, 9)
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the next engine")
    hears(2)


def test_no_signs_for_another_process(make_proxy, settings, manager, monkeypatch):
    """The variables may be those of a program that started this one (sd_watchdog_enabled(3))."""
    monkeypatch.setitem(ENVIRONMENT, "NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setitem(ENVIRONMENT, "WATCHDOG_USEC", "1000")
    monkeypatch.setitem(ENVIRONMENT, "WATCHDOG_PID", "1")
    p = make_proxy(settings)
    p.reload()
    heard = []
    wait.until(lambda: heard.append(manager.recv(1000).decode()) or "RELOADING=1" in heard, "the reload")
    wait.until(lambda: heard.append(manager.recv(1000).decode()) or "READY=1" in heard[heard.index("RELOADING=1"):], "its end")
    assert not [text for text in heard if "WATCHDOG" in text]


def exposure(folder, drop_in=None):
    """The figure of systemd-analyze: from 0, nothing is allowed, to 10."""
    with open(os.path.join(CONF, "mailproxy.service")) as f:
        text = f.read().replace("@SBINDIR@/mailproxyd", "/bin/true").replace("@ETCDIR@", "/etc/mailproxy")
    unit = os.path.join(folder, "mailproxy.service")
    with open(unit, "w") as f:
        f.write(text)
    if drop_in:
        os.makedirs(unit + ".d", exist_ok=True)
        shutil.copy(os.path.join(CONF, "systemd", drop_in), unit + ".d")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True, timeout=60)
    found = re.search(r"Overall exposure level for mailproxy\.service: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


def calls_of_unit():
    """What the unit's SystemCallFilter lets through; systemd says what its groups hold."""
    with open(os.path.join(CONF, "mailproxy.service")) as f:
        words = re.search(r"^SystemCallFilter=(.*)", f.read(), re.M)[1].split()
    groups, calls = [w for w in words if w.startswith("@")], {w for w in words if not w.startswith("@")}
    while groups:
        text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", groups.pop()], capture_output=True, text=True, check=True).stdout
        for word in re.findall(r"^ +(\S+)", text, re.M):
            groups.append(word) if word.startswith("@") else calls.add(word)
    return calls


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_unit_allows_the_sandbox():
    """The engine confines itself within the unit: without the calls for that it would go on unconfined, with a warning."""
    allowed = calls_of_unit()
    assert {"seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= allowed
    with open(os.path.join(CONF, "..", "daemon", "sandbox", "calls.def")) as f:
        used = set(re.findall(r"^CALL\((\w+),", f.read(), re.M))
    assert not used - allowed, "calls of the engine that the unit refuses"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_exposure(folder):
    assert exposure(folder) <= 3.0  # a supervisor with root's rights, for keys that only root can read
    assert exposure(folder, "own-user.conf") <= 1.8


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can give a process this one capability")
def test_own_user_with_low_ports(make_proxy, settings, dovecot1, server_cert, folder):
    """As conf/systemd/own-user.conf starts it: one capability and no other, and a port that is root's."""
    key = os.path.join(folder, "key.pem")
    shutil.copy(server_cert[1], key)
    host = net.address()
    port = next(n for n in range(993, 500, -1) if not can_connect(host, n))
    settings["tls"]["certificates"][0]["key"] = key
    settings["listeners"] = [{"name": "imaps", "protocol": "imap", "tls": "implicit", "address": f"{host}:{port}"}]
    settings["auth"] = [{"type": "backend"}]
    p = make_proxy(settings, start=False)
    del p.settings["user"]
    p.configure({"control": [{"path": p.control, "admin": ["root"]}]})
    for path in (p.folder, p.run):
        os.chmod(path, 0o755)
        shutil.chown(path, "nobody")
    for path in (key, p.config):
        os.chmod(path, 0o600)
        shutil.chown(path, "nobody")
    only = "-all,+net_bind_service"
    p.wrapper = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--inh-caps", only, "--ambient-caps", only,
                 "--bounding-set", only, "--no-new-privs"]
    p.start()
    m = imap.tls(host, port)
    m.login(USER, PASSWORD)
    assert m.select()[0] == "OK"
    m.logout()


def can_connect(host, port):
    with socket.socket() as s:
        return s.connect_ex((host, port)) == 0
