# SPDX-License-Identifier: ISC
"""What an administrator meets first: mailproxyd --init up to a first mail, and the examples in conf/examples with real servers."""
import base64
import imaplib
import os
import poplib
import pwd
import re
import smtplib
import socket
import stat
import subprocess
import uuid

import pytest
from conftest import USERS
from harness import certs, dovecot, imap, net, postfix, process, wait
from harness.proxy import BUILD, ENVIRONMENT, Proxy
from harness.terminal import Terminal

DAEMON = os.path.join(BUILD, "mailproxyd")
ENV = {**os.environ, **ENVIRONMENT}
ME = pwd.getpwuid(os.geteuid()).pw_name
EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "examples")
ALICE, PASSWORD = "alice@example.org", USERS["alice@example.org"]


def init(*args, **options):
    return subprocess.run([DAEMON, "--init", *args], capture_output=True, text=True, timeout=60, env=ENV, stdin=subprocess.DEVNULL, **options)


def port_offset(host):
    """Something to add to the well-known ports, so that they are free on an address."""
    while True:
        offset = min(net.port(host), 61000) - 4190
        if not any(process.can_connect(host, offset + p) for p in (143, 993, 465, 587)):
            return offset


class Initial(Proxy):
    """A proxy that runs with what --init has written, as it is."""

    def __init__(self, folder, host, offset):
        super().__init__(folder, {})
        os.unlink(self.config)
        self.host = host
        self.ports = {"imap": offset + 143, "imaps": offset + 993, "submission": offset + 587, "submissions": offset + 465}
        self.options = ["-o", self.config, "--listen", host, "--port-offset", str(offset), "--folder", self.run,
                        *(["--user", ME] if os.geteuid() == 0 else [])]


@pytest.fixture
def initial(folder):
    made = []

    def make():
        host = net.address()
        made.append(Initial(os.path.join(folder, f"init{len(made)}"), host, port_offset(host)))
        return made[-1]
    yield make
    for p in made:
        p.stop()


def read_back(p, user, password, subject):
    m = imap.tls(p.host, p.ports["imaps"])
    m.login(user, password)

    def found():
        m.select()
        return m.search(None, "SUBJECT", subject)[1][0]
    number = wait.until(found, f"the mail {subject}")
    text = m.fetch(number.split()[-1], "(BODY[TEXT])")[1][0][1]
    m.logout()
    return text


# ---- mailproxyd --init ----

def test_from_init_to_the_first_mail(initial, dovecot1, server_cert, request):
    """One command, the daemon, and a mail that was sent is read: nothing else is written or changed."""
    has_mta = not postfix.missing()
    mta = request.getfixturevalue("mta") if has_mta else None
    p = initial()
    servers = f"{dovecot1.host} imap={dovecot1.ports['imap']}" + (f", {mta.host} smtp={mta.port}" if has_mta else "")
    done = init("--server-name", "proxy.test", "--backends", servers, "--backend-ca", "none", "--protocols",
                "imap,smtp" if has_mta else "imap", "--cert", server_cert[0], "--key", server_cert[1], *p.options)
    assert done.returncode == 0, done.stderr
    assert f"{p.config} is written and valid" in done.stdout
    assert stat.S_IMODE(os.stat(p.config).st_mode) == 0o600
    checked = subprocess.run([DAEMON, "-t", "-c", p.config], capture_output=True, text=True, env=ENV)
    assert checked.returncode == 0, checked.stderr
    p.start()
    wait.until(lambda: all(b["health"] == "up" for b in p.ctl("backend", "list")), "the backends")
    m = imap.tls(p.host, p.ports["imaps"])
    m.login(ALICE, PASSWORD)
    m.logout()
    if has_mta:
        subject = f"m{uuid.uuid4().hex}"
        with smtplib.SMTP(p.host, p.ports["submission"], "client.test", timeout=30) as s:
            s.starttls(context=imap.context())
            s.login(ALICE, PASSWORD)
            s.sendmail(ALICE, [ALICE], f"From: {ALICE}\r\nTo: {ALICE}\r\nSubject: {subject}\r\n\r\nThe first mail.\r\n")
        assert b"The first mail." in read_back(p, ALICE, PASSWORD, subject)


def test_init_on_a_terminal(initial, dovecot1, server_cert):
    """Questions in an order that makes sense, a mistake is told and asked again; no password goes over a line without TLS."""
    p = initial()
    t = Terminal([DAEMON, "--init", *p.options], ENV)
    for question, answer in ((r"Name of this server.*: $", "proxy.test"), (r"What to serve.*: $", "imap,news"),
                             (r'"imap,news" has "news".*\r\nWhat to serve.*: $', "imap"), (r"Who judges.*: $", "users"),
                             (r"Mail servers.*: $", f"{dovecot1.host} imap={dovecot1.ports['imap']}"), (r"How to reach.*: $", "off"),
                             (r"Certificate.*: $", server_cert[0]), (r"private key.*: $", server_cert[1])):
        t.text = ""
        t.until("(?s)" + question)
        t.say(answer + "\n")
    assert t.status() == 0, t.text
    assert "is written and valid" in t.text and "user add" in t.text
    p.start()
    p.add_user(ALICE, PASSWORD)
    m = imaplib.IMAP4(p.host, p.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error):
        m.login(ALICE, PASSWORD)
    m.starttls(imap.context())
    m.login(ALICE, PASSWORD)
    m.logout()


def test_init_writes_over_nothing(folder, server_cert):
    path = os.path.join(folder, "mailproxy.conf")
    args = ["--backends", "10.0.0.1", "--cert", server_cert[0], "--key", server_cert[1], "--folder", os.path.join(folder, "state"), "--user", ME]
    with open(path, "w") as f:
        f.write("mine")
    done = init("-o", path)  # refused before anything is asked
    assert done.returncode == 73 and "--force" in done.stderr
    done = init("-o", path, *args)
    assert done.returncode == 73 and "--force" in done.stderr
    with open(path) as f:
        assert f.read() == "mine"
    done = init("-o", path, "--force", *args)
    assert done.returncode == 0, done.stderr
    with open(path) as f:
        assert "10.0.0.1" in f.read()
    assert sorted(os.listdir(folder)) == ["mailproxy.conf", "state"]
    os.symlink(path, os.path.join(folder, "link"))
    done = init("-o", os.path.join(folder, "link"), "--force", *args)
    assert done.returncode == 73 and "no regular file" in done.stderr and os.path.islink(os.path.join(folder, "link"))
    assert init("-o", os.path.join(folder, "none", "x"), *args).returncode == 73
    shown = init("-o", "-", *args)
    assert shown.returncode == 0 and "listeners = (" in shown.stdout


@pytest.mark.parametrize("args, words", [
    (["--backends", "a:143"], "ports stand in ports"), (["--auth", "ldap"], "is not backend, users"), (["--nonsense"], "unrecognized"),
    (["--cert", "/no/such"], "is not there"), ([], "--backends is missing"), (["x"], "unexpected argument x"),
    (["--server-name", "a.b\nuser = \"root\";"], "control characters"), (["--protocols", "imap,imap"], "twice")])
def test_init_tells_what_is_wrong(folder, args, words):
    done = init("-o", os.path.join(folder, "x"), *args)
    assert done.returncode == 64 and words in done.stderr and not os.listdir(folder)


@pytest.mark.parametrize("place", [0, 2, 5, -1])
def test_init_may_stand_anywhere(folder, place, server_cert):
    """The file of -c is the one that is written."""
    path = os.path.join(folder, "x.conf")
    args = ["-c", path, "--backends", "10.0.0.1", "--no-questions", "--cert", server_cert[0], "--key", server_cert[1],
            "--folder", os.path.join(folder, "state"), "--user", ME]
    args.insert(place if place >= 0 else len(args), "--init")
    done = subprocess.run([DAEMON, *args], capture_output=True, text=True, timeout=60, env=ENV, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and f"{path} is written and valid" in done.stdout, done.stderr


@pytest.mark.parametrize("one, other", [(["-t"], ["--dump"]), (["--dump"], ["--from-nginx", "/dev/null"]), (["-t"], ["--print-keys"]),
                                        (["-t"], ["-V"]), (["--dump"], ["-h"]), (["-V"], ["-h"]), (["-t"], ["-t"]),
                                        (["-t"], ["-c", "/dev/null"]), (["--from-nginx", "/dev/null"], ["-o", "-"])])
def test_the_order_of_options_never_matters(one, other):
    said = [subprocess.run([DAEMON, *args], capture_output=True, text=True, timeout=60, env=ENV, stdin=subprocess.DEVNULL)
            for args in (one + other, other + one)]
    assert said[0].returncode == said[1].returncode and said[0].stdout == said[1].stdout and said[0].stderr == said[1].stderr


def test_init_help_names_each_option():
    done = init("-h")
    assert done.returncode == 0
    options = set(re.findall(r"^ +(?:-o, )?--([a-z-]+)", done.stdout, re.MULTILINE))
    assert {"output", "force", "server-name", "backends", "cert", "listen"} <= options
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    with open(os.path.join(EXAMPLES, "..", "man", "mailproxyd.8")) as f:
        page = f.read().replace("\\-", "-")
    for option in options:
        assert f"--{option}" in page, option


def test_init_tells_that_it_is_not_valid_yet(folder, server_cert):
    """The file is there to be mended; what is wrong is named as -t names it."""
    path = os.path.join(folder, "x.conf")
    with open(os.path.join(folder, "bad.key"), "w") as f:
        f.write("nonsense")
    done = init("-o", path, "--backends", "10.0.0.1", "--cert", server_cert[0], "--key", os.path.join(folder, "bad.key"),
                "--folder", os.path.join(folder, "state"), "--user", ME)
    assert done.returncode == 78 and os.path.exists(path)
    assert "bad.key" in done.stderr and "not valid yet" in done.stdout


# ---- conf/examples ----

@pytest.fixture(scope="module")
def server(root):
    """A mail server with a certificate for its address, as an office's own CA signs it; the examples' servers are all this one."""
    ca = certs.Authority(os.path.join(root, "examples-ca"))
    folder = os.path.join(root, "example-server")
    os.makedirs(folder)
    users = {ALICE: PASSWORD, "bob@example.net": "secret-b", "monitor@example.org": "secret-m"}
    d = dovecot.Dovecot(folder, "server", users, has_proxied=True)
    d.cert, d.key = ca.issue("server.examples", f"IP:{d.host}")
    d.ca = ca.cert
    os.chmod(d.key, 0o644)
    d.write_config()
    yield d.start()
    d.close()


class Example(Proxy):
    """An example as it stands in the tree, with this machine's addresses, ports, files and folders in place of those it names."""

    def __init__(self, folder, name, values, cert):
        super().__init__(folder, {})
        with open(os.path.join(EXAMPLES, name)) as f:
            text = f.read()
        for old, new in values.items():
            assert old in text, f"{name} has no {old}"
            text = text.replace(old, new)

        def listen(match):
            name = re.findall(r'name = "([^"]+)"', text[:match.start()])[-1]
            self.ports[name] = net.port(self.host)
            return f'address = "{self.host}:{self.ports[name]}"'
        text = re.sub(r'address = \[ "0\.0\.0\.0:\d+", "\[::\]:\d+" \]', listen, text)
        text = re.sub(r'cert = "[^"]+"; key = "[^"]+"', f'cert = "{cert[0]}"; key = "{cert[1]}"', text)
        text = text.replace("/var/log/mailproxy", folder).replace('user = "mailproxy";', f'user = "{ME}";' if os.geteuid() == 0 else "")
        text = re.sub(r"(?m)^control = .*$", "", text)
        text += "".join(f"{k} = {v};\n" for k, v in {
            "state_dir": f'"{folder}/state"', "run_dir": f'"{self.run}"',
            "control": f'( {{ path = "{self.control}"; admin = [ "root", "{os.getuid()}" ]; }} )'}.items())
        with open(self.config, "w") as f:
            f.write(text)
        done = subprocess.run([DAEMON, "-t", "-c", self.config], capture_output=True, text=True, env=ENV)
        assert done.returncode == 0 and not [w for w in done.stderr.splitlines() if "has no effect" in w], done.stderr


@pytest.fixture
def example(folder, server_cert):
    made = []

    def make(name, values):
        made.append(Example(os.path.join(folder, name), name, values, server_cert))
        return made[-1].start()
    yield make
    for p in made:
        p.stop()


def where(p, user, password, listener="imaps"):
    """The backend that a login leads to, where the mailbox can be read."""
    m = imap.tls(p.host, p.ports[listener])
    m.login(user, password)
    assert m.select()[0] == "OK"
    row, = p.sessions(f"user={user}", "state=relay")
    m.logout()
    wait.until(lambda: not p.sessions(f"user={user}"), "the end of the session")
    return f"{row['pool']}/{row['backend']}"


def host_ports(d, suffix=""):
    ports = {"imap": d.ports["imap" + suffix], "smtp": d.ports["submission" + suffix], "sieve": d.ports["sieve"]}
    return f'host = "{d.host}"; ports = {{ {" ".join(f"{k} = {v};" for k, v in ports.items())} }};'


def submission(p, user, password):
    s = smtplib.SMTP_SSL(p.host, p.ports["submissions"], "client.test", context=imap.context(), timeout=30)
    assert s.login(user, password)[0] == 235
    s.close()  # there is no server behind Dovecot's, which would say so at QUIT


def test_small_office(example, server):
    p = example("small-office.conf", {'host = "10.0.0.11";': host_ports(server), "/etc/mailproxy/office-ca.pem": server.ca})
    assert where(p, ALICE, PASSWORD) == "main/mail1"
    submission(p, ALICE, PASSWORD)
    s = smtplib.SMTP(p.host, p.ports["submission"], "client.test", timeout=30)
    s.ehlo()
    assert not s.has_extn("auth") and s.starttls(context=imap.context())[0] == 220
    assert s.login(ALICE, PASSWORD)[0] == 235
    s.close()
    with socket.create_connection((p.host, p.ports["sieve"]), timeout=30) as s:
        def until_ok(f):
            while not (line := f.readline()).startswith(b"OK"):
                assert line.startswith(b'"'), line
        until_ok(s.makefile("rb"))
        s.sendall(b"STARTTLS\r\n")
        until_ok(s.makefile("rb"))
        tls = imap.context().wrap_socket(s)
        f = tls.makefile("rb")
        until_ok(f)
        token = base64.b64encode(f"\0{ALICE}\0{PASSWORD}".encode())
        tls.sendall(b'AUTHENTICATE "PLAIN" "' + token + b'"\r\n')
        until_ok(f)
        tls.sendall(b"LISTSCRIPTS\r\n")
        until_ok(f)


def test_auth_http(example, server, make_auth):
    def answer(headers):
        if headers.get("X-Auth-Key") != "secret":
            return {"Auth-Status": "forbidden"}
        return {"Auth-Status": "OK", "Auth-Server": server.host, "Auth-Port": str(server.ports[headers["Auth-Protocol"]])}
    auth = make_auth(answer)
    p = example("auth-http.conf", {"http://127.0.0.1:9000/auth": auth.url})
    m = imap.tls(p.host, p.ports["imaps"])
    m.login(ALICE, PASSWORD)
    assert m.select()[0] == "OK"
    m.logout()
    m = imap.starttls(p.host, p.ports["imap"])
    m.login(ALICE, PASSWORD)
    m.logout()
    s = poplib.POP3_SSL(p.host, p.ports["pop3s"], context=imap.context(), timeout=30)
    s.user(ALICE)
    assert s.pass_(PASSWORD).startswith(b"+OK")
    s.quit()
    assert {r["Auth-Protocol"] for r in auth.requests} == {"imap", "pop3"}


def test_hosting(example, server, folder):
    password_file = os.path.join(folder, "monitor.password")
    with open(password_file, "w") as f:
        f.write("secret-m\n")
    metrics = net.address()
    p = example("hosting.conf", {
        **{f'host = "{h}";': host_ports(server) for h in ("10.0.0.11", "10.0.0.12", "10.0.1.11")},
        "/etc/mailproxy/backend-ca.pem": server.ca, "/etc/mailproxy/monitor.password": password_file,
        "127.0.0.1:9143": f"{metrics}:{net.port(metrics)}"})
    for user, password in ((ALICE, PASSWORD), ("bob@example.net", "secret-b")):
        p.add_user(user, password)
    assert where(p, "bob@example.net", "secret-b") == "legacy/old"
    first = where(p, ALICE, PASSWORD)
    assert first in ("main/m1", "main/m2") and where(p, ALICE, PASSWORD) == first
    p.ctl("backend", "drain", first, "--yes")
    assert where(p, ALICE, PASSWORD) == {"main/m1": "main/m2", "main/m2": "main/m1"}[first]
    submission(p, "bob@example.net", "secret-b")


def test_behind_balancer(example, server, folder):
    ticket_key = os.path.join(folder, "tickets.key")
    with open(ticket_key, "wb") as f:
        f.write(os.urandom(64))
    metrics = net.address()
    p = example("behind-balancer.conf", {
        **{f'host = "{h}"; ports = {{ imap = 10143; smtp = 10587; }};': host_ports(server, "_proxied") for h in ("10.0.0.11", "10.0.0.12")},
        "/etc/mailproxy/backend-ca.pem": server.ca, "/etc/mailproxy/tickets.key": ticket_key,
        "10.0.0.21:9143": f"{metrics}:{net.port(metrics)}", '[ "10.0.0.0/24" ]': '[ "127.0.0.0/8" ]'})
    s = socket.create_connection((p.host, p.ports["imaps"]), timeout=30)
    s.sendall(b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 993\r\n")
    tls = imap.context().wrap_socket(s, server_hostname="proxy.test")
    f = tls.makefile("rb")
    assert f.readline().startswith(b"* OK")
    tls.sendall(f"a LOGIN {ALICE} {PASSWORD}\r\n".encode())
    while not (line := f.readline()).startswith(b"a "):
        assert line
    assert line.startswith(b"a OK"), line
    assert p.sessions()[0]["ip"] == "192.0.2.77"
    wait.until(lambda: "rip=192.0.2.77" in server.log(), "the client's address in Dovecot's log")
    tls.close()


def test_each_example_has_a_test():
    tested = re.findall(r'example\("([^"]+)"', open(__file__).read())
    assert sorted(set(tested)) == sorted(os.listdir(EXAMPLES))
