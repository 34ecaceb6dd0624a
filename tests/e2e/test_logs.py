# SPDX-License-Identifier: ISC
"""Nothing waits for a log: not for a pipe that nobody reads, not for a full disk, not for syslog. What is lost is told."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from harness import imap, net, process, wait
from harness.control import Control
from harness.proxy import SANITIZERS
from test_control import logged_in

USER, PASSWORD = "u1@example.org", "pw"


class Unread:
    """The daemon with its standard error in a pipe that nobody reads, until somebody does."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.reader, writer = os.pipe()
        self.child = subprocess.Popen([proxy.program, "-c", proxy.config], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=writer, env={**os.environ, **SANITIZERS},
                                      preexec_fn=process._child_setup, start_new_session=True)
        os.close(writer)
        self.text, self.thread = b"", None
        wait.until(proxy.is_ready, "ready")

    def read(self):
        def run():
            while chunk := os.read(self.reader, 65536):
                self.text += chunk
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
        status = self.child.wait(40)
        if self.thread:
            self.thread.join(10)
        os.close(self.reader)
        return status


@pytest.fixture
def unread(make_proxy, settings):
    started = []

    def make(more=None):
        p = make_proxy({**settings, **(more or {})}, start=False)
        started.append(Unread(p))
        return p, started[0]
    yield make
    for u in started:
        if u.child.poll() is None:
            u.stop()


def flood(p, n=None):
    """Lines of the log until some are lost, or n of them."""
    c = Control(p.control)
    reason = "r" * 900
    for i in range(n or 40000):
        for _ in range(20):
            c.send({"jsonrpc": "2.0", "id": i, "method": "system.log_level",
                    "params": {"level": ("info", "debug")[i % 2], "reason": reason}})
        for _ in range(20):
            assert "result" in c.receive()
        if dropped(c.call("system.metrics")["result"]["text"]) > 0 or (n and i >= n):
            break
    c.close()


def dropped(text):
    return int(re.search(r"^mailproxy_log_lines_dropped_total (\d+)", text, re.M).group(1))


def lost_lines(p):
    return dropped(p.ctl("system", "metrics")["text"])


class Troubles:
    """Events of that type, as they come."""

    def __init__(self, p):
        self.control = Control(p.control)
        assert self.control.call("event.watch", filter="type=trouble")["result"]["stream"]

    def wait(self, text):
        while text not in self.control.receive()["params"]["text"]:
            pass


def test_unread_pipe(unread):
    """An unread pipe of 64 kB once stopped all mail after 370 sessions."""
    p, u = unread()
    p.add_user(USER, PASSWORD)
    pid = p.engine_pid()
    flood(p)
    assert "stderr loses lines" in p.ctl("system", "status")["trouble"]
    begin = time.monotonic()
    for _ in range(100):
        logged_in(p).close()
    assert time.monotonic() - begin < 30
    assert p.engine_pid() == pid and lost_lines(p) > 100
    u.read()
    wait.until(lambda: b"log-lines-dropped" in u.text, "the line that tells")
    wait.until(lambda: "trouble" not in p.ctl("system", "status"), "the end of the trouble")
    lost = lost_lines(p)
    logged_in(p).close()
    assert u.stop() == 0
    assert sum(int(n) for n in re.findall(rb"log-lines-dropped lines=(\d+)", u.text)) == lost
    for line in u.text.decode().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT", line) or line.startswith("mailproxyd: "), line
    assert b" stopped cut=0\n" in u.text


def test_unread_pipe_and_crash(unread):
    """The supervisor does not hang either: it starts the next engine."""
    p, u = unread()
    p.add_user(USER, PASSWORD)
    flood(p)
    pid = p.engine_pid()
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: p.is_ready() and p.engine_pid() != pid, "the next engine")
    logged_in(p).close()
    u.child.terminate()
    assert u.child.wait(40) == 0  # the end waits for nobody
    u.read()


def test_full_disk(make_proxy, settings):
    p = make_proxy({**settings, "log": [{"target": "file", "path": "/dev/full", "level": "debug"}, {"target": "stderr"}]})
    p.add_user(USER, PASSWORD)
    wait.until(lambda: "trouble" in p.ctl("system", "status"), "the trouble")
    assert p.ctl("system", "status")["trouble"] == "log /dev/full cannot be written: No space left on device"
    p.wait_for_log("log-not-written path=/dev/full")
    logged_in(p).close()
    flood(p)
    logged_in(p).close()
    p.configure({"log": [{"target": "stderr", "level": "debug"}]})
    p.ctl("config", "reload")
    wait.until(lambda: "trouble" not in p.ctl("system", "status"), "the end of the trouble")


def test_not_opened_again(make_proxy, settings, folder):
    """Neither SIGUSR1 nor a reload fails for that; it is said in the file that is open, by the status, and as an event."""
    logs = os.path.join(folder, "logs")
    os.mkdir(logs)
    path = os.path.join(logs, "proxy.log")
    p = make_proxy({**settings, "log": [{"target": "file", "path": path, "level": "debug"}, {"target": "stderr"}]})
    p.add_user(USER, PASSWORD)
    pid = p.engine_pid()
    events = Troubles(p)
    os.rename(logs, logs + ".away")
    p.process.signal(signal.SIGUSR1)
    what = f"log {path} cannot be opened again"
    wait.until(lambda: what in p.ctl("system", "status").get("trouble", ""), "the trouble")
    p.wait_for_log("log-not-opened")
    events.wait(what)
    logged_in(p).close()
    with open(os.path.join(logs + ".away", "proxy.log")) as f:
        assert "log-not-opened" in f.read()
    os.rename(logs + ".away", logs)
    os.rename(path, path + ".1")
    os.symlink(path + ".1", path)  # root would follow it into any file
    p.process.signal(signal.SIGUSR1)
    wait.until(lambda: "symbolic link" in p.ctl("system", "status").get("trouble", ""), "the trouble")
    p.ctl("config", "reload")
    assert "symbolic link" in p.ctl("system", "status")["trouble"]
    os.unlink(path)
    p.process.signal(signal.SIGUSR1)
    wait.until(lambda: "trouble" not in p.ctl("system", "status"), "the end of the trouble")
    events.wait("all logs are written again")
    logged_in(p).close()
    wait.until(lambda: open(path).read().count("login"), "lines in the new file")
    assert p.engine_pid() == pid
    events.control.close()


def test_syslog_that_nobody_reads(make_proxy, settings, folder):
    path = os.path.join(folder, "s")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    p = make_proxy({**settings, "log": [{"target": "syslog", "path": path, "level": "debug", "facility": "local3"},
                                        {"target": "stderr", "level": "info"}]})
    p.add_user(USER, PASSWORD)
    flood(p, 20)
    for _ in range(50):
        logged_in(p).close()
    s.settimeout(20)
    packets = []
    while not any(b"]: operator" in x for x in packets) or not any(b"]: login" in x for x in packets):
        packets.append(s.recv(8192))
    assert all(re.match(rb"<15[0-9]>\w+ [ \d]\d [\d:]{8} mailproxyd\[\d+\]: ", x) and b"\n" not in x for x in packets)
    s.close()


def test_each_listener_has_its_own_logs(make_proxy, settings, folder, dovecot1):
    """A listener's sessions go to the logs that it names, one of them another machine's syslog; what the daemon says does not."""
    remote = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    remote.bind((net.address(), 0))
    remote.settimeout(20)
    own, main = os.path.join(folder, "own.log"), os.path.join(folder, "main.log")
    settings["listeners"] = [{"name": n, "protocol": "imap", "tls": "off", "allow_plaintext": True} for n in ("one", "two")]
    settings["listeners"][1]["log"] = ["own", "far"]
    p = make_proxy({**settings, "log": [
        {"target": "file", "path": main, "level": "info"},
        {"name": "own", "default": False, "target": "file", "path": own, "level": "notice"},
        {"name": "far", "default": False, "target": "syslog", "server": "%s:%d" % remote.getsockname(), "level": "info", "facility": "local3",
         "tag": "mx", "hostname": True}]})
    for name in ("one", "two"):
        c = imap.Lines(p.host, p.ports[name])
        c.line()
        assert c.command("a", "LOGIN nobody@example.org x")[-1].startswith("a NO")
        c.close()
    packet = remote.recv(8192)
    while b"session-end" not in packet:
        assert re.match(rb"<15[0-9]>\w+ [ \d]\d [\d:]{8} " + re.escape(socket.gethostname().encode()) + rb" mx\[\d+\]: ", packet)
        assert b"listener=two" in packet or b"session=" in packet
        packet = remote.recv(8192)

    def lines(path):
        with open(path) as f:
            return f.read()
    wait.until(lambda: "login-failed" in lines(own) and "session-end" in lines(main), "the lines of both")
    assert "listener=one" not in lines(own) and "session-end" not in lines(own)  # notice, and no more
    assert "listener=two" not in lines(main) and "listener=one" in lines(main)
    remote.close()


def test_warnings_of_the_file_are_in_the_log(make_proxy, settings, folder):
    """As events of the log that is configured; where that is not the standard error who starts the daemon sees them there, too."""
    path = os.path.join(folder, "file.log")
    p = make_proxy({**settings, "log": [{"target": "file", "path": path, "format": "json"}],
                    "pools": [*settings["pools"], {"name": "unused", "tls": "off", "backends": []}]})

    def warnings():
        with open(path) as f:
            return [line for line in map(json.loads, f) if line["event"] == "config-warning"]
    first = wait.until(warnings, "the warning")
    assert [(w["level"], w["key"]) for w in first] == [("warn", "pools[1].backends")] and "is empty" in first[0]["detail"]
    assert first[0]["at"].startswith(p.config + ":")
    assert p.log().count("warning: pools[1].backends: is empty") == 1
    os.kill(p.engine_pid(), signal.SIGKILL)
    wait.until(lambda: len(warnings()) == 2, "that of the next engine")
    assert p.log().count("warning: ") == 1  # which nobody has started by hand


def test_damaged_store_is_said_on_stderr(make_proxy, settings, folder):
    """Also where the log goes into a file."""
    os.makedirs(os.path.join(folder, "state"), exist_ok=True)
    path = os.path.join(folder, "mailproxy.db")
    with open(path, "w") as f:
        f.write("no store" * 100)
    p = make_proxy({**settings, "store": {"path": path},
                    "log": [{"target": "file", "path": os.path.join(folder, "file.log")}]}, start=False)
    done = subprocess.run([p.program, "-c", p.config], capture_output=True, text=True, timeout=60, env={**os.environ, **SANITIZERS})
    assert done.returncode != 0
    assert f"mailproxyd: not started: {path}" in done.stderr and "it is not an SQLite file" in done.stderr
    with open(os.path.join(folder, "file.log")) as f:
        assert "start-failed" in f.read()
