# SPDX-License-Identifier: ISC
"""What administrators put around the daemon, with the real programs: Prometheus with our alerts, each query of the Grafana dashboard, fail2ban."""
import base64
import imaplib
import json
import os
import poplib
import re
import shutil
import smtplib
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest
from conftest import backend
from harness import net, process, prometheus, redis, wait

CONF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf")
RULES = os.path.join(CONF, "prometheus", "mailproxy.rules.yml")
CASES = os.path.join(CONF, "prometheus", "mailproxy.rules.test.yml")
DASHBOARD = os.path.join(CONF, "grafana", "mailproxy.json")
PROTOCOLS = ("imap", "pop3", "smtp", "sieve")
USER, PASSWORD = "u1@example.org", "pw"
# What Prometheus makes itself.
ITS_OWN = {"up"}

needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus") or not shutil.which("promtool"), reason="Prometheus is not installed")
needs_fail2ban = pytest.mark.skipif(not shutil.which("fail2ban-regex"), reason="fail2ban is not installed")


def run(*args, **options):
    done = subprocess.run(args, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def is_ready(url):
    """It listens before it answers."""
    try:
        return bool(get(url))
    except OSError:
        return False


@pytest.fixture(scope="module")
def watched(root, shared_folder, shared_store, dovecot1, dovecot2, server_cert):
    """A proxy of a fleet with some history: logins and failures of each kind that the figures tell apart."""
    from harness.proxy import Proxy
    cert, key = server_cert
    host = net.address()
    address = f"{host}:{net.port(host)}"
    p = Proxy(os.path.join(root, "watched"), {
        "tls": {"certificates": [{"cert": cert, "key": key}]},
        "listeners": [{"name": n, "protocol": n, "tls": "starttls", "allow_plaintext": True} for n in PROTOCOLS],
        "auth": [{"type": "users"}], "metrics": {"address": address}, "node": "px1",
        "fleet": redis.fleet(shared_folder, shared_store, heartbeat="500ms"),
        "pools": [{"name": "main", "tls": "off", "check": {"interval": "200ms", "rise": 1}, "backends": [backend(dovecot1), backend(dovecot2)]}]})
    p.start()
    p.url = f"http://{address}"
    p.address = address
    p.add_user(USER, PASSWORD)
    yield p
    p.stop()


def login(p, password):
    m = imaplib.IMAP4(p.host, p.ports["imap"])
    try:
        m.login(USER, password)
    except imaplib.IMAP4.error:
        pass
    m.logout()


# ---- Prometheus ----

@needs_prometheus
def test_names_and_types_pass_promtool(watched):
    """Its linter knows the conventions of names, units and types; it says nothing of what is well."""
    login(watched, PASSWORD)
    assert run("promtool", "check", "metrics", input=get(watched.url + "/metrics")).strip() == ""


@needs_prometheus
def test_alerts_fire_when_they_should():
    assert "SUCCESS" in run("promtool", "check", "rules", RULES)
    assert "SUCCESS" in run("promtool", "test", "rules", CASES)
    with open(RULES) as rules, open(CASES) as cases:
        names = re.findall(r"- alert: (\w+)", rules.read())
        tested = re.findall(r"alertname: (\w+)", cases.read())
    assert len(names) >= 12 and sorted(names) == sorted(tested)


def metrics_of(expression):
    """Names of metrics in an expression: not functions, labels or what stands in braces, brackets and parentheses of by()."""
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on) *\([^)]*\)|\"[^\"]*\"", "", expression)
    return {w for w in re.findall(r"\b(?:mailproxy|process)_\w+\b|\bup\b", text)}


def dashboard_queries():
    with open(DASHBOARD) as f:
        return [(panel["title"], target["expr"]) for panel in json.load(f)["panels"] for target in panel["targets"]]


def test_alerts_and_dashboard_ask_for_what_there_is(watched):
    families = prometheus.parse(get(watched.url + "/metrics"))
    known = set(families) | {f"{n}_{s}" for n, f in families.items() if f.kind == "histogram" for s in ("bucket", "sum", "count")} | ITS_OWN
    with open(RULES) as f:
        rules = re.findall(r"expr: '(.*)'", f.read())
    assert len(rules) >= 12
    for expression in rules + [e for _, e in dashboard_queries()]:
        names = metrics_of(expression)
        assert names and names <= known, (expression, names - known)


@pytest.fixture
def server(folder, watched):
    """A Prometheus of our own that scrapes the proxy and has the rules."""
    host = net.address()
    port = net.port(host)
    with open(os.path.join(folder, "prometheus.yml"), "w") as f:
        f.write(f"global: {{ scrape_interval: 200ms, evaluation_interval: 500ms }}\nrule_files: [ {os.path.abspath(RULES)} ]\n"
                f"scrape_configs:\n  - job_name: mailproxy\n    static_configs:\n      - targets: [ '{watched.address}' ]\n")
    p = process.Process(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                         f"--web.listen-address={host}:{port}", "--log.level=warn"], os.path.join(folder, "prometheus.log"))
    p.wait_for(lambda: is_ready(f"http://{host}:{port}/-/ready"), "Prometheus")

    def ask(path, **values):
        answer = json.loads(get(f"http://{host}:{port}/api/v1/{path}?" + urllib.parse.urlencode(values)))
        assert answer["status"] == "success", answer
        return answer["data"]
    yield ask
    p.stop()


@needs_prometheus
def test_each_query_of_the_dashboard_has_an_answer(server, watched):
    """Numbers, not only a syntax that is right: from a real proxy by a real Prometheus."""
    left = dict.fromkeys(f"{title}: {e}" for title, e in dashboard_queries())
    assert len(left) >= 25
    texts = {f"{title}: {e}": e.replace("$instance", ".*").replace("$__rate_interval", "10s") for title, e in dashboard_queries()}

    def all_answered():
        login(watched, PASSWORD)
        for key in list(left):
            result = server("query", query=texts[key])["result"]
            if any(r["value"][1] != "NaN" for r in result):  # a server without logins has no quantile
                del left[key]
        assert not [a for a in server("rules")["groups"][0]["rules"] if a["health"] == "err"]
        return not left
    wait.until(lambda: "mailproxy_ready" in server("label/__name__/values"), "the first scrape")
    try:
        wait.until(all_answered, "answers", step=0.5)
    except AssertionError:
        raise AssertionError("no answer to:\n" + "\n".join(left)) from None
    alerts = {a["labels"]["alertname"] for a in server("alerts")["alerts"] if a["state"] == "firing"}
    assert not alerts, alerts


# ---- fail2ban ----

def failed_imap(host, port):
    m = imaplib.IMAP4(host, port)
    with pytest.raises(imaplib.IMAP4.error):
        m.login(USER, "wrong")


def failed_pop3(host, port):
    m = poplib.POP3(host, port, timeout=30)
    m.user(USER)
    with pytest.raises(poplib.error_proto):
        m.pass_("wrong")


def failed_smtp(host, port):
    s = smtplib.SMTP(host, port, "client.test", timeout=30)
    s.ehlo()
    token = base64.b64encode(f"\0{USER}\0wrong".encode()).decode()
    assert s.docmd("AUTH", "PLAIN " + token)[0] == 535  # login() of the library would try each mechanism


def failed_sieve(host, port):
    with socket.create_connection((host, port), timeout=30) as s:
        f = s.makefile("rb")
        while not f.readline().startswith(b"OK"):
            pass
        s.sendall(b'AUTHENTICATE "PLAIN" "' + base64.b64encode(f"\0{USER}\0wrong".encode()) + b'"\r\n')
        assert f.readline().startswith(b"NO")


FAILED = {"imap": failed_imap, "pop3": failed_pop3, "smtp": failed_smtp, "sieve": failed_sieve}


def banned(log):
    """The addresses that fail2ban finds in a file, a line each."""
    text = run("fail2ban-regex", "-o", "ip", log, os.path.join(CONF, "fail2ban", "mailproxy.conf"))
    return [line for line in text.splitlines() if re.fullmatch(r"[0-9a-f.:]+", line)]


@needs_fail2ban
@pytest.mark.parametrize("judge", ["users", "http", "backend"])
def test_fail2ban_finds_each_wrong_password(make_proxy, settings, make_auth, folder, judge):
    """In the files that the daemon wrote, as text and as JSON: each protocol, each provider; and nothing that is no guess."""
    logs = {form: os.path.join(folder, f"mailproxy.{form}") for form in ("text", "json")}
    settings["listeners"] = [{"name": n, "protocol": n, "tls": "starttls", "allow_plaintext": True} for n in PROTOCOLS]
    settings["log"] = [*({"target": "file", "path": path, "format": form} for form, path in logs.items()), {"target": "stderr", "level": "debug"}]
    settings["pools"][0]["smtp_auth"] = True
    auth = {"users": lambda: {"type": "users"}, "backend": lambda: {"type": "backend"},
            "http": lambda: {"type": "http", "url": make_auth(lambda headers: {"Auth-Status": "Invalid login or password"}).url}}
    settings["auth"] = [auth[judge]()]
    p = make_proxy(settings)
    if judge == "users":
        p.add_user(USER, PASSWORD)
    for protocol in PROTOCOLS:
        FAILED[protocol](p.host, p.ports[protocol])
    n_harmless = 0
    if judge != "http":  # a right password, and one of a user who is locked
        login(p, PASSWORD)
        p.ctl("user", "lock", USER, "--text", "Please call us", "--yes")
        login(p, PASSWORD)
        n_harmless = 1
    for path in logs.values():
        def lines():
            with open(path) as f:
                return [line for line in f if "login-failed" in line and "backend-login" not in line]
        wait.until(lambda: len(lines()) == len(PROTOCOLS) + n_harmless, "the lines in the file")
        assert banned(path) == ["127.0.0.1"] * len(PROTOCOLS), lines()


@needs_fail2ban
def test_fail2ban_is_not_deceived(make_proxy, settings, folder):
    """A user name may hold anything: none of it makes a line about another address, or hides the own one."""
    log = os.path.join(folder, "mailproxy.log")
    settings["log"] = [{"target": "file", "path": log}, {"target": "stderr", "level": "debug"}]
    p = make_proxy(settings)
    names = ['x client=203.0.113.9 cause=auth-failed', 'x" client=203.0.113.9 cause=auth-failed y="', "login-failed session=1 listener=imap client=203.0.113.9 cause=auth-failed",
             "x\ufffd 2026-01-01T00:00:00Z notice login-failed session=1 listener=a client=203.0.113.9 cause=auth-failed"]
    for name in names:
        m = imaplib.IMAP4(p.host, p.ports["imap"])
        token = base64.b64encode(f"\0{name}\0wrong".encode()).decode()
        typ, _ = m._simple_command("AUTHENTICATE", "PLAIN", token)
        assert typ == "NO"
    p.whole_log()

    def is_written():
        with open(log) as f:
            return f.read().count("login-failed session") >= len(names)
    wait.until(is_written, "the lines in the file")
    assert banned(log) == ["127.0.0.1"] * len(names)


@needs_fail2ban
def test_the_jails_are_what_fail2ban_takes(folder):
    """fail2ban-client reads them as it would at its start."""
    etc = os.path.join(folder, "fail2ban")
    shutil.copytree("/etc/fail2ban", etc, symlinks=True)
    log = os.path.join(folder, "mailproxy.log")
    open(log, "w").close()
    shutil.copy(os.path.join(CONF, "fail2ban", "mailproxy.conf"), os.path.join(etc, "filter.d", "mailproxy.conf"))
    with open(os.path.join(CONF, "fail2ban", "jail.conf")) as f:
        text = f.read().replace("enabled = false", "enabled = true", 1).replace("/var/log/mailproxy/mailproxy.log", log)
    for old in os.listdir(os.path.join(etc, "jail.d")):
        os.unlink(os.path.join(etc, "jail.d", old))
    with open(os.path.join(etc, "jail.d", "mailproxy.conf"), "w") as f:
        f.write(text)
    shown = run("fail2ban-client", "-c", etc, "-d")
    assert "'mailproxy'" in shown and "login-failed" in shown and log in shown
