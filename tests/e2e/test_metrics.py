# SPDX-License-Identifier: ISC
"""The metrics page, the history, statistics and the system commands."""
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from conftest import backend
from harness import engine, imap, net, prometheus, wait
from harness.proxy import CtlError

USER, PASSWORD = "u1@example.org", "pw"
ODD = "b-2.odd_name"


@pytest.fixture
def proxy(make_proxy, settings, dovecot1, dovecot2):
    settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]},
                         {"name": "other", "tls": "off", "backends": [{**backend(dovecot2), "name": ODD}]}]
    host = net.address()
    settings["metrics"] = {"address": f"{host}:{net.port(host)}"}
    p = make_proxy(settings)
    p.url = f"http://{settings['metrics']['address']}"
    p.add_user(USER, PASSWORD)
    return p


def fetch(p, path="/metrics", method="GET"):
    request = urllib.request.Request(p.url + path, method=method, data=b"x" if method == "POST" else None)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers, answer.read().decode()


def page(p):
    return prometheus.parse(fetch(p)[1])


def login(p, password=PASSWORD):
    c = imap.Lines(p.host, p.ports["imap"])
    c.line()
    return c, c.command("a", f"LOGIN {USER} {password}")[-1]


def test_page_is_strict_prometheus(proxy):
    headers, text = fetch(proxy)
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = prometheus.parse(text)
    assert families["mailproxy_build_info"].kind == "gauge"
    (labels, value), = families["mailproxy_build_info"].series("")
    assert value == 1 and labels["version"] == proxy.ctl("system", "status")["version"]
    assert set(prometheus.parse(proxy.ctl("system", "metrics")["text"])) == set(families)
    for name in families:
        assert name.startswith(("mailproxy_", "process_")), name


def test_what_is_counted(proxy):
    before = page(proxy)
    started = before["process_start_time_seconds"].value()
    assert abs(started - time.time()) < 60 and page(proxy)["process_start_time_seconds"].value() == started
    assert before["mailproxy_logins_total"].value(protocol="imap") == 0
    c, answer = login(proxy)
    assert answer.startswith("a OK")
    bad, answer = login(proxy, "wrong")
    assert answer.startswith("a NO")
    now = page(proxy)
    assert now["mailproxy_logins_total"].value(protocol="imap") == 1
    assert now["mailproxy_login_failures_total"].value(protocol="imap") == 1
    assert now["mailproxy_auth_failures_total"].value(protocol="imap") == 1
    assert now["mailproxy_logins_total"].value(protocol="pop3") == 0
    assert now["mailproxy_sessions"].value(protocol="imap") == 2
    assert now["mailproxy_sessions_relaying"].value(protocol="imap") == 1
    assert now["mailproxy_backend_sessions"].value(pool="main", backend="dc1") == 1
    assert now["mailproxy_backend_logins_total"].value(pool="main", backend="dc1") == 1
    assert now["mailproxy_backend_sessions"].value(pool="other", backend=ODD) == 0
    states = dict((ls["state"], v) for ls, v in now["mailproxy_backend_admin_state"].series("", backend="dc1"))
    assert states["ready"] == 1 and sum(states.values()) == 1
    for name in ("mailproxy_login_duration_seconds", "mailproxy_backend_login_duration_seconds"):
        (_, n), = now[name].series("_count", protocol="imap")
        (_, seconds), = now[name].series("_sum", protocol="imap")
        assert n == 1 and 0 < seconds < 30
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
                 "process_max_fds", "mailproxy_workers", "mailproxy_config_generation"):
        assert now[name].value() > 0
    if "process_open_fds" in now and os.geteuid() == 0:
        pid = proxy.engine_pid()
        assert abs(now["process_open_fds"].value() - engine.descriptors(pid)) <= 5
    assert now["mailproxy_limit_users"].value() == 1
    c.close()
    bad.close()


def test_bytes_of_a_backend_move_during_the_relay(proxy):
    c, _ = login(proxy)

    def sent():
        return page(proxy)["mailproxy_backend_client_sent_bytes_total"].value(pool="main", backend="dc1")

    def grows():
        c.command("b", "NOOP")
        return sent() > 0
    wait.until(grows, "bytes of the backend while its session goes on", step=0.2)
    c.close()


def status_of(p, path):
    """The status and the first line of a page."""
    try:
        return 200, fetch(p, path)[1].strip()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode().strip()


def test_health_and_readiness(proxy):
    assert status_of(proxy, "/healthz") == (200, "ok") and status_of(proxy, "/readyz") == (200, "ready")
    assert fetch(proxy, "/readyz")[0]["Cache-Control"] == "no-store"
    names = [r["name"] for r in proxy.ctl("listener", "list")]
    for name in names[:-1]:
        proxy.ctl("listener", "pause", name)
    assert status_of(proxy, "/readyz")[0] == 200  # one still accepts
    proxy.ctl("listener", "pause", names[-1])
    assert status_of(proxy, "/readyz") == (503, "not ready: no listener accepts")
    assert status_of(proxy, "/healthz") == (200, "ok")
    now = page(proxy)
    assert now["mailproxy_ready"].value() == 0 and now["mailproxy_listener_paused"].value(listener=names[0]) == 1
    assert now["mailproxy_trouble"].value(part="store") == 0
    proxy.ctl("listener", "resume", names[-1])
    assert status_of(proxy, "/readyz") == (200, "ready") and page(proxy)["mailproxy_ready"].value() == 1
    proxy.ctl("listener", "resume", names[0])
    proxy.ctl("backend", "disable", "dc1", "--yes")  # no reason: other proxies have the same backends
    assert status_of(proxy, "/readyz") == (200, "ready")


def test_not_ready_while_it_stops(proxy):
    """From the moment on in which a stop begins until the last session has ended."""
    c, _ = login(proxy)
    proxy.process.signal(signal.SIGQUIT)
    wait.until(lambda: status_of(proxy, "/readyz") == (503, "not ready: stopping"), "readiness to end")
    assert status_of(proxy, "/healthz") == (200, "ok")
    c.close()
    wait.until(lambda: not proxy.process.is_running(), "the end")


def test_other_paths_and_methods(proxy):
    for path, method in (("/", "GET"), ("/metrics/x", "GET"), ("/metrics", "POST"), ("/readyz/", "GET"), ("/healthz", "POST")):
        with pytest.raises(urllib.error.HTTPError) as e:
            fetch(proxy, path, method)
        assert e.value.code in (404, 405, 501)


def test_page_bears_bad_requests(proxy):
    """Nothing that a stranger sends takes memory or the engine; what is not finished is closed."""
    host, port = proxy.settings["metrics"]["address"].rsplit(":", 1)
    pid = proxy.engine_pid()

    def send(*pieces):
        with socket.create_connection((host, int(port)), timeout=20) as s:
            try:
                for piece in pieces:
                    s.sendall(piece)
                return s.recv(100)
            except (BrokenPipeError, ConnectionResetError):
                return b""

    def memory():
        with open(f"/proc/{pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    before = memory()
    head = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
    large = [b"a" * 65536] * 400
    for pieces in ([head, *(b"X-%d: " % i + b"a" * 60000 + b"\r\n" for i in range(400))], [head, b"X: ", *large],
                   [b"GET /", *large], [head, b"Content-Length: 26214400\r\n\r\n", *large],
                   [head, b"Transfer-Encoding: chunked\r\n\r\n1900000\r\n", *large]):
        answer = send(*pieces)
        assert not answer or answer.split(b" ")[1].startswith(b"4"), answer
    assert memory() - before < 20 << 20
    for bad in (b"\0" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"GET http://[::1 HTTP/1.1\r\n\r\n",
                b"GET /%zz%00../../etc/passwd HTTP/1.0\r\n\r\n", b"\r\n", head + b"Content-Length: -5\r\n\r\n",
                b"BREW / HTTP/1.1\r\n\r\n"):
        answer = send(bad)
        assert answer.split(b" ")[1][:1] in b"45", (bad, answer)
    assert send(b"HEAD /readyz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")
    assert send(b"HEAD /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")
    assert proxy.engine_pid() == pid and page(proxy)


def test_page_takes_few_descriptors(proxy):
    """However many come, and however slowly they speak: mail goes on, and those who ask get their page when their turn comes."""
    host, port = proxy.settings["metrics"]["address"].rsplit(":", 1)
    pid = proxy.engine_pid()
    before = engine.descriptors(pid)
    crowd = [socket.create_connection((host, int(port)), timeout=60) for _ in range(300)]
    over = threading.Event()

    def drip():
        while not over.wait(1):
            for s in crowd[:64]:
                try:
                    s.send(b"G")
                except OSError:
                    pass
    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        crowd[-1].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")  # it is the last in the kernel's queue
        most = 0
        for _ in range(20):
            time.sleep(0.05)
            most = max(most, engine.descriptors(pid) - before)
        assert most <= 32 + 4
        c, answer = login(proxy)
        assert answer.startswith("a OK")
        c.close()
        for s in crowd[32:-1]:
            s.close()
        assert crowd[-1].recv(100).startswith(b"HTTP/1.0 200")  # once those who only drip have had their time
        assert sum(engine.threads(pid).values()) < 5
    finally:
        over.set()
        dripping.join()
        for s in crowd:
            s.close()
    assert page(proxy)
    wait.until(lambda: engine.descriptors(pid) <= before, "all descriptors to be given back")


def test_history(proxy):
    c, _ = login(proxy)
    rows = wait.until(lambda: [r for r in proxy.ctl("stats", "history") if r["logins"]] and proxy.ctl("stats", "history"),
                      "a sample with the login")
    assert sum(r["logins"] for r in rows) == 1 and rows[-1]["sessions"] == 1
    times = [r["time"] for r in rows]
    assert times == sorted(times) and abs(times[-1] / 1000 - time.time()) < 10
    for args, logins in ((["--proto", "imap"], 1), (["--proto", "pop3"], 0), (["--backend", "dc1"], 1),
                         (["--backend", "main/dc1"], 1), (["--backend", ODD], 0)):
        assert sum(r["logins"] for r in proxy.ctl("stats", "history", *args)) == logins, args
    assert len(proxy.ctl("stats", "history", "--limit", "1")) == 1
    assert proxy.ctl("stats", "history", "--step", "1m") == []
    last = rows[-1]
    proxy.stop()
    proxy.start()
    kept = [r for r in proxy.ctl("stats", "history") if r["time"] <= last["time"]]
    assert last in kept and sum(r["logins"] for r in kept) == 1
    assert sum(r["logins"] for r in proxy.ctl("stats", "history", "--proto", "imap") if r["time"] <= last["time"]) == 1
    c.close()


@pytest.mark.parametrize("args, status", [(["--step", "2s"], 1), (["--proto", "nntp"], 1), (["--backend", "b9"], 3),
                                          (["--proto", "imap", "--backend", "dc1"], 1)])
def test_history_errors(proxy, args, status):
    with pytest.raises(CtlError) as e:
        proxy.ctl("stats", "history", *args)
    assert e.value.status in (status, 2)


def test_stats_show(proxy):
    c, _ = login(proxy)
    row = proxy.ctl("stats", "show")
    assert row["logins"] == 1 and row["sessions"] == 1 and row["relaying"] == 1 and row["accepted"] == 1
    assert proxy.ctl("stats", "show", "--proto", "pop3")["logins"] == 0
    for name in ("login_rate", "failure_rate", "in_rate", "out_rate", "limited", "failures"):
        assert row[name] == 0 or name == "login_rate" or name.endswith("_rate")
    with pytest.raises(CtlError):
        proxy.ctl("stats", "show", "--proto", "nntp")
    c.close()


def test_last_login_reaches_the_store(proxy):
    assert not proxy.ctl("user", "show", USER).get("last_login")
    c, _ = login(proxy)
    at = wait.until(lambda: proxy.ctl("user", "show", USER).get("last_login"), "the last login")
    assert abs(at / 1000 - time.time()) < 30
    c.close()


def test_last_login_is_written_at_the_end(proxy):
    c, _ = login(proxy)
    c.close()
    proxy.ctl("system", "stop", "--yes")
    wait.until(lambda: not proxy.process.is_running(), "the end")
    proxy.start()
    assert proxy.ctl("user", "show", USER).get("last_login")


def test_log_level(proxy):
    proxy.ctl("system", "log-level", "error")
    with pytest.raises(CtlError):
        proxy.ctl("system", "log-level", "loud")
    c, _ = login(proxy)
    c.close()
    wait.until(lambda: not proxy.sessions(), "the end of the session")
    proxy.ctl("system", "log-level", "info")
    assert "session-end" not in proxy.whole_log()
    c, _ = login(proxy)
    c.close()
    proxy.wait_for_log("session-end")


def test_stop_by_command(proxy):
    c, _ = login(proxy)
    assert proxy.ctl("system", "stop", "--yes", "--reason", "test") is not None
    assert any(line.startswith("* BYE") for line in c.rest().decode().split("\r\n"))
    wait.until(lambda: not proxy.process.is_running(), "the end")
