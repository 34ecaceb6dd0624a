# SPDX-License-Identifier: ISC
"""Moving in from nginx: an nginx and the proxy that was made from its configuration stand side by side, with the same auth server and
the same mail servers, and are asked the same things."""
import base64
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import threading

import pytest
from harness import net, process, wait
from harness.proxy import BUILD, ENVIRONMENT, Proxy, allowance
from harness.server import Server

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
MODULE = "/usr/lib/nginx/modules/ngx_mail_module.so"
pytestmark = pytest.mark.skipif(not (os.path.exists(NGINX) and os.path.exists(MODULE)), reason="nginx with its mail module is not here")

LISTENERS = ("imap", "imaps", "tlsonly", "balanced", "strangers", "digests", "pop3", "pop3s", "mx", "submission", "login")

CONFIG = """
load_module {module};
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
events {{ worker_connections 512; }}
mail {{
  server_name proxy.test;
  auth_http {auth};
  auth_http_header X-Secret "of the auth server";
  timeout 20s;
  max_errors 3;
  ssl_certificate {cert};
  ssl_certificate_key {key};
  ssl_protocols TLSv1.2 TLSv1.3;
  imap_capabilities IMAP4rev1 UIDPLUS;
  include servers/*.conf;
}}
"""
SERVERS = {
    "imap": "listen {at}; protocol imap; starttls on; imap_auth plain login cram-md5;",
    "imaps": "listen {at} ssl; protocol imap; imap_auth plain external; ssl_verify_client optional; ssl_client_certificate {ca};",
    "tlsonly": "listen {at}; protocol imap; starttls only;",
    "balanced": "listen {at} proxy_protocol; protocol imap; set_real_ip_from 127.0.0.0/8; proxy_protocol on;",
    "strangers": "listen {at} proxy_protocol; protocol imap; set_real_ip_from 192.0.2.0/24; proxy_protocol on;",
    "digests": "listen {at}; protocol pop3; pop3_auth apop;",
    "pop3": "listen {at}; protocol pop3; starttls on; pop3_auth plain apop cram-md5; pop3_capabilities TOP USER UIDL;",
    "pop3s": "listen {at} ssl; protocol pop3;",
    "mx": "listen {at}; protocol smtp; starttls on; smtp_auth none; smtp_capabilities \"SIZE 1000\" 8BITMIME;",
    "submission": "listen {at}; protocol smtp; starttls on; smtp_capabilities PIPELINING;",
    "login": "listen {at}; protocol smtp; proxy_smtp_auth on; xclient off; proxy_pass_error_message on;",
}


# ---- what stands behind both: each writes down what it is told ----

class Mail:
    """Mail servers that take any login but that of a user `refused`. Connections are told apart by who asks: see events_of."""

    def __init__(self):
        self.events = []
        self.lock = threading.Lock()
        self.servers = {name: Server(getattr(self, name)) for name in ("imap", "pop3", "smtp", "bare")}

    def say(self, *event):
        with self.lock:
            self.events.append(event)

    def take(self):
        with self.lock:
            events, self.events = self.events, []
        return events

    def lines(self, client):
        f = client.makefile("rb")
        while line := f.readline():
            text = line.decode(errors="replace").rstrip("\r\n")
            if text.startswith("PROXY "):
                self.say("proxy", " ".join(text.split()[:3]))
                continue
            yield f, text

    def imap(self, client):
        client.sendall(b"* OK fake ready\r\n")
        for f, text in self.lines(client):
            while found := re.search(r"\{(\d+)(\+?)\}$", text):
                if not found[2]:
                    client.sendall(b"+ OK\r\n")
                literal = re.sub(r'(["\\])', r"\\\1", f.read(int(found[1])).decode())
                text = f'{text[:found.start()]}"{literal}"' + f.readline().decode().rstrip("\r\n")
            tag, verb, *rest = text.split(" ", 2)
            verb = verb.upper()
            if verb == "LOGIN":
                user, password = [re.sub(r"\\(.)", r"\1", a) or b for a, b in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', rest[0])]
                self.say("login", user, password)
                good = user != "refused"
                client.sendall(f"{tag} {'OK logged in' if good else 'NO not here'}\r\n".encode())
            elif verb == "CAPABILITY":
                client.sendall(f"* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n".encode())
            else:
                self.say("line", text)
                client.sendall(f"{tag} OK {verb} by the server\r\n".encode())

    def pop3(self, client):
        client.sendall(b"+OK fake ready\r\n")
        user = ""
        for _, text in self.lines(client):
            verb, _, rest = text.partition(" ")
            if verb.upper() == "USER":
                user = rest
                client.sendall(b"+OK\r\n")
            elif verb.upper() == "PASS":
                self.say("login", user, rest)
                client.sendall(b"-ERR not here\r\n" if user == "refused" else b"+OK logged in\r\n")
            elif verb.upper() == "CAPA":
                client.sendall(b"-ERR no\r\n")
            else:
                self.say("line", text)
                client.sendall(b"+OK by the server\r\n")

    def smtp(self, client):
        client.sendall(b"220 fake ESMTP\r\n")
        for _, text in self.lines(client):
            verb = text.split(" ")[0].upper()
            if verb == "XCLIENT":
                parts = [p for p in text.split(" ")[1:] if p.split("=")[0] in ("ADDR", "LOGIN", "NAME")]
                self.say("xclient", *sorted(parts))
                client.sendall(b"220 fake ESMTP\r\n")
            elif verb == "EHLO":
                client.sendall(b"250-fake\r\n250-XCLIENT ADDR LOGIN NAME\r\n250 AUTH PLAIN\r\n")
            elif verb == "AUTH":
                self.say("auth", base64.b64decode(text.split(" ")[2]).decode())
                refused = b"\0refused\0" in base64.b64decode(text.split(" ")[2])
                client.sendall(b"535 5.7.8 not here\r\n" if refused else b"235 2.7.0 ok\r\n")
            else:
                self.say("line", text)
                client.sendall(b"550 5.1.1 nobody\r\n" if "nobody" in text else b"250 2.0.0 by the server\r\n")

    def bare(self, client):
        """SMTP that announces nothing."""
        client.sendall(b"220 fake SMTP\r\n")
        for _, text in self.lines(client):
            verb = text.split(" ")[0].upper()
            self.say("bare", verb)
            client.sendall({"EHLO": b"250 fake\r\n", "AUTH": b"235 2.7.0 ok\r\n", "XCLIENT": b"220 fake\r\n"}.get(verb, b"250 2.0.0 by the server\r\n"))

    def close(self):
        for s in self.servers.values():
            s.close()


class Auth:
    """Judges by the name of the user."""

    ANSWERS = {
        "wrong": {"Auth-Status": "Wrong name or password"},
        "again": {"Auth-Status": "Wrong, try again", "Auth-Wait": "1"},
        "blocked": {"Auth-Status": "Blocked", "Auth-Error-Code": "550 5.7.1"},
        "temporary": {"Auth-Status": "Later", "Auth-Error-Code": "451 4.3.0"},
        "badserver": {"Auth-Status": "OK", "Auth-Server": "not-an-address", "Auth-Port": "1"},
        "noserver": {"Auth-Status": "OK"},
    }

    def __init__(self, mail):
        self.mail = mail
        self.requests = []
        self.closed = (net.address(), 9)
        self.server = Server(self.serve)
        self.url = f"{self.server.host}:{self.server.port}/auth"

    def serve(self, client):
        f = client.makefile("rb")
        while request := f.readline():
            headers = []
            while (line := f.readline().decode().strip()):
                headers.append(tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), ""))
            h = dict(headers)
            self.requests.append(h)
            user, proto = h.get("Auth-User", ""), h.get("Auth-Protocol", "imap")
            to = self.mail.servers["bare" if user == "bare" else proto]
            reply = {"Auth-Status": "OK", "Auth-Server": to.host, "Auth-Port": str(to.port)}
            if h.get("Auth-Method") in ("apop", "cram-md5", "external"):
                reply["Auth-Pass"] = "known"
            if user == "other":
                reply.update({"Auth-User": "renamed", "Auth-Pass": "changed"})
            if user == "down":
                reply.update({"Auth-Server": self.closed[0], "Auth-Port": str(self.closed[1])})
            if "nobody-known" in h.get("Auth-SMTP-To", ""):
                reply = {"Auth-Status": "No such user", "Auth-Error-Code": "550 5.1.1", "Auth-Wait": "1"}
            reply = self.ANSWERS.get(user, reply)
            text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in reply.items()) + "\r\n"
            client.sendall(text.encode())
            if b"HTTP/1.0" in request:
                return client.close()

    def take(self):
        requests, self.requests = self.requests, []
        return requests

    def close(self):
        self.server.close()


# ---- the two ----

class Side:
    """One of the two, and what it is reached at."""

    def __init__(self, host, ports):
        self.host, self.ports = host, ports


@pytest.fixture(scope="module")
def site(root, ca, server_cert):
    """nginx, and the proxy that was made from its file: only the address is another."""
    folder = os.path.join(root, "nginx")
    os.makedirs(os.path.join(folder, "servers"))
    mail = Mail()
    auth = Auth(mail)
    host = net.address()
    ports = {name: net.port(host) for name in LISTENERS}
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w") as f:
        f.write(CONFIG.format(module=MODULE, user=user, folder=folder, auth=auth.url, cert=server_cert[0], key=server_cert[1]))
    for n, (name, text) in enumerate(SERVERS.items()):
        with open(os.path.join(folder, "servers", f"{n}-{name}.conf"), "w") as f:
            f.write("server { " + text.format(at=f"{host}:{ports[name]}", ca=ca.cert) + " }\n")
    nginx = process.Process([NGINX, "-p", folder, "-c", path, "-e", f"{folder}/nginx.log"], os.path.join(folder, "out"))
    nginx.wait_for(lambda: all(process.can_connect(host, p) for p in ports.values()), "nginx listens")
    proxy = Imported(folder, path, host)
    proxy.start()
    auth.take(), mail.take()
    yield {"nginx": Side(host, ports), "ours": Side(proxy.host, ports), "auth": auth, "mail": mail, "folder": folder, "conf": path,
           "ca": ca, "proxy": proxy}
    proxy.stop()
    nginx.stop()
    auth.close()
    mail.close()


class Imported(Proxy):
    """What --from-nginx makes of a file, on an address of its own and with the folders of a test: nothing else is changed."""

    def __init__(self, folder, nginx_conf, host):
        super().__init__(os.path.join(folder, "proxy"), {})
        done = from_nginx(nginx_conf, "-o", self.config, "--force")
        self.report = done.stderr
        assert done.returncode == 0, done.stderr
        with open(self.config) as f:
            text = f.read().replace(host + ":", self.host + ":")
        if os.geteuid() != 0:
            text = text.replace('user = "mailproxy";', "")
        text += "".join(f"{k} = {v};\n" for k, v in {
            "state_dir": f'"{folder}/state"', "run_dir": f'"{self.run}"',
            "control": f'( {{ path = "{self.control}"; admin = [ "root", "{os.getuid()}" ]; }} )'}.items())
        with open(self.config, "w") as f:
            f.write(text)
        checked = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-t", "-c", self.config], capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
        assert checked.returncode == 0, checked.stderr


def from_nginx(*args):
    return subprocess.run([os.path.join(BUILD, "mailproxyd"), "--from-nginx", *args], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **ENVIRONMENT})


# ---- dialogues ----

ENDS = {  # a line that ends an answer
    "imap": r"([\w.]+ (OK|NO|BAD)|\+|\* (BYE|BAD))",
    "pop3": r"(\+OK|-ERR|\+)",
    "smtp": r"\d\d\d ",
}
TLS = "tls"  # a step: the handshake
END = "end"  # a step: the server closes


def b64(text):
    return base64.b64encode(text.encode()).decode()


def plain(user, password="pw"):
    return b64(f"\0{user}\0{password}")


def D(name, listener, *steps, why=None, texts=False, **options):
    """A dialogue. steps: what is sent (after the greeting), each answered; "x -> N" is N answers; TLS, END. texts: the words
    have to be the same, too. why: the answers differ, for this reason."""
    return pytest.param(listener, steps, why, texts, options, id=f"{listener}-{name}")


DIALOGUES = [
    D("banner", "imap"),
    D("capability", "imap", "a CAPABILITY"),
    D("noop-logout", "imap", "a NOOP", "b LOGOUT", END),
    D("login", "imap", "a LOGIN good pw", "b SELECT INBOX"),
    D("login-quoted", "imap", 'a LOGIN "good" "p\\"w"'),
    D("login-literals", "imap", "a LOGIN {4}", "good {2}", "pw"),
    D("login-literal-plus", "imap", "a LOGIN {4+}\r\ngood {2+}\r\npw"),
    D("login-empty-password", "imap", 'a LOGIN good ""', why="ours ask nobody about an empty password"),
    D("login-one-argument", "imap", "a LOGIN good"),
    D("plain", "imap", "a AUTHENTICATE PLAIN", plain("good")),
    D("plain-initial", "imap", "a AUTHENTICATE PLAIN " + plain("good")),
    D("sasl-login", "imap", "a AUTHENTICATE LOGIN", b64("good"), b64("pw")),
    D("sasl-bad-base64", "imap", "a AUTHENTICATE PLAIN", "!!!"),
    D("sasl-unknown", "imap", "a AUTHENTICATE NONSENSE", why="nginx says BAD; ours NO [CANNOT], as RFC 5530 has it"),
    D("wrong-password", "imap", "a LOGIN wrong pw", END, texts=True,
      why="nginx says the words of the auth server alone; ours say [AUTHENTICATIONFAILED] before them, and goodbye"),
    D("auth-wait", "imap", "a LOGIN again pw", "b LOGIN good pw"),
    D("renamed", "imap", "a LOGIN other pw"),
    D("backend-down", "imap", "a LOGIN down pw", why="nginx says BAD and closes; ours say NO [UNAVAILABLE], and the client may try again"),
    D("bad-auth-server", "imap", "a LOGIN badserver pw", why="nginx says BAD and closes; ours say NO [UNAVAILABLE]"),
    D("pipelined", "imap", "a NOOP\r\nb CAPABILITY\r\nc LOGIN good pw -> 3"),
    D("pipelined-after-login", "imap", "a LOGIN good pw\r\nb SELECT INBOX -> 2"),
    D("bare-lf", "imap", "a NOOP\nb NOOP\n -> 2"),
    D("unknown-command", "imap", "a NONSENSE"),
    D("too-many-errors", "imap", "a X", "b X", "c X", END),
    D("id-before-login", "imap", 'a ID ("name" "x")', why="nginx knows no ID before the login; ours do"),
    D("starttls", "imap", "a STARTTLS", TLS, "b CAPABILITY", "c LOGIN good pw"),
    D("starttls-twice", "imap", "a STARTTLS", TLS, "b STARTTLS"),
    D("banner", "imaps", implicit=True),
    D("capability", "imaps", "a CAPABILITY", implicit=True),
    D("capability-certificate", "imaps", "a CAPABILITY", implicit=True, certificate=True),
    D("login-not-announced", "imaps", "a AUTHENTICATE LOGIN", b64("good"), b64("pw"), implicit=True),
    D("external-without-certificate", "imaps", "a AUTHENTICATE EXTERNAL " + b64("good"), implicit=True),
    D("external-prompted", "imaps", "a AUTHENTICATE EXTERNAL", b64("good"), implicit=True),
    D("external-refused", "imaps", "a AUTHENTICATE EXTERNAL " + b64("again"), "b AUTHENTICATE EXTERNAL " + b64("good"), implicit=True),
    D("login", "imaps", "a LOGIN good pw", implicit=True),
    D("alpn", "imaps", "a NOOP", implicit=True, alpn="imap"),
    D("alpn-other", "imaps", implicit=True, alpn="http/1.1"),
    D("tls12", "imaps", "a LOGIN good pw", implicit=True, version=ssl.TLSVersion.TLSv1_2),
    D("certificate", "imaps", "a LOGIN good pw", implicit=True, certificate=True),
    D("external", "imaps", "a AUTHENTICATE EXTERNAL " + b64("good"), implicit=True, certificate=True),
    D("capability", "tlsonly", "a CAPABILITY"),
    D("login-without-tls", "tlsonly", "a LOGIN good pw", why="nginx says BAD; ours NO [PRIVACYREQUIRED]"),
    D("plain-without-tls", "tlsonly", "a AUTHENTICATE PLAIN " + plain("good"), why="nginx says BAD; ours say NO [PRIVACYREQUIRED]"),
    D("login", "tlsonly", "a STARTTLS", TLS, "b CAPABILITY", "c LOGIN good pw"),
    D("proxy-header", "balanced", "a LOGIN good pw", first="PROXY TCP4 192.0.2.7 127.0.0.1 1234 143\r\n"),
    D("proxy-header-unknown", "balanced", "a LOGIN good pw", first="PROXY UNKNOWN\r\n"),
    D("proxy-header-broken", "balanced", END, first="PROXY TCP4 nonsense\r\n", greets=False),
    D("proxy-header-not-believed", "strangers", "a LOGIN good pw", first="PROXY TCP4 192.0.2.7 127.0.0.1 1234 143\r\n"),
    D("proxy-header-missing", "strangers", END, first="a NOOP\r\n", greets=False),

    D("capa", "digests", "CAPA -> .", why="nginx says SASL with nothing behind it; ours leave the line out"),
    D("plain-not-announced", "digests", "AUTH PLAIN " + plain("good")),
    D("login-not-announced", "digests", "AUTH LOGIN", b64("good"), b64("pw")),
    D("user-pass", "digests", "USER good", "PASS pw"),
    D("banner", "pop3"),
    D("capa", "pop3", "CAPA -> ."),
    D("login", "pop3", "USER good", "PASS pw", "STAT"),
    D("password-with-blanks", "pop3", "USER good", "PASS p w"),
    D("pass-without-user", "pop3", "PASS pw"),
    D("auth-plain", "pop3", "AUTH PLAIN", plain("good")),
    D("auth-plain-initial", "pop3", "AUTH PLAIN " + plain("good")),
    D("auth-login", "pop3", "AUTH LOGIN", b64("good"), b64("pw")),
    D("auth-list", "pop3", "AUTH -> ."),
    D("wrong-password", "pop3", "USER wrong", "PASS pw", END),
    D("backend-refuses", "pop3", "USER refused", "PASS pw"),
    D("quit", "pop3", "QUIT", END),
    D("noop", "pop3", "NOOP"),
    D("unknown", "pop3", "NONSENSE"),
    D("pipelined", "pop3", "USER good\r\nPASS pw\r\nSTAT -> 3"),
    D("stls", "pop3", "STLS", TLS, "CAPA -> .", "USER good", "PASS pw"),
    D("login", "pop3s", "USER good", "PASS pw", implicit=True),
    D("alpn-other", "pop3s", implicit=True, alpn="imap"),

    D("banner", "mx", texts=True),
    D("ehlo", "mx", "EHLO client.test"),
    D("ehlo-tls", "mx", "STARTTLS", TLS, "EHLO client.test"),
    D("helo", "mx", "HELO client.test", texts=True),
    D("mail", "mx", "EHLO client.test", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "RCPT TO:<e@f.test>"),
    D("mail-without-helo", "mx", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>"),
    D("mail-parameters", "mx", "EHLO client.test", "MAIL FROM:<a@b.test> SIZE=10", "RCPT TO:<c@d.test>"),
    D("rcpt-first", "mx", "EHLO client.test", "RCPT TO:<c@d.test>"),
    D("mail-twice", "mx", "EHLO client.test", "MAIL FROM:<a@b.test>", "MAIL FROM:<a@b.test>"),
    D("backend-refuses-rcpt", "mx", "EHLO client.test", "MAIL FROM:<a@b.test>", "RCPT TO:<nobody@d.test>", "RCPT TO:<c@d.test>",
      why="nginx relays to the server that refused; ours ask the auth server anew for the next recipient"),
    D("auth-refuses-rcpt", "mx", "EHLO client.test", "MAIL FROM:<a@b.test>", "RCPT TO:<nobody-known@d.test>", "RCPT TO:<c@d.test>"),
    D("rset-noop-quit", "mx", "EHLO client.test", "NOOP", "RSET", "QUIT", END),
    D("unknown", "mx", "NONSENSE"),
    D("vrfy", "mx", "VRFY x", why="nginx does not know it; ours say 252, as RFC 5321 wants"),
    D("auth-not-announced", "mx", "EHLO client.test", "AUTH PLAIN " + plain("good"), "NOOP"),
    D("auth-login-not-announced", "mx", "EHLO client.test", "AUTH LOGIN", b64("good"), b64("pw"), "NOOP"),

    D("ehlo", "submission", "EHLO client.test"),
    D("mail-without-login", "submission", "EHLO client.test", "MAIL FROM:<a@b.test>"),
    D("plain", "submission", "EHLO client.test", "AUTH PLAIN " + plain("good"), "MAIL FROM:<a@b.test>"),
    D("plain-prompted", "submission", "EHLO client.test", "AUTH PLAIN", plain("good")),
    D("login", "submission", "EHLO client.test", "AUTH LOGIN", b64("good"), b64("pw")),
    D("wrong-password", "submission", "EHLO client.test", "AUTH PLAIN " + plain("wrong"), END),
    D("auth-wait", "submission", "EHLO client.test", "AUTH PLAIN " + plain("again"), "AUTH PLAIN " + plain("good")),
    D("error-code", "submission", "EHLO client.test", "AUTH PLAIN " + plain("blocked"), END),
    D("temporary", "submission", "EHLO client.test", "AUTH PLAIN " + plain("temporary"), END),
    D("starttls", "submission", "EHLO client.test", "STARTTLS", TLS, "EHLO client.test", "AUTH PLAIN " + plain("good")),
    D("auth-at-the-server", "login", "EHLO client.test", "AUTH PLAIN " + plain("good"), "MAIL FROM:<a@b.test>"),
    D("auth-where-none-is-announced", "login", "EHLO client.test", "AUTH PLAIN " + plain("bare"), "NOOP"),
    D("xclient-where-none-is-announced", "submission", "EHLO client.test", "AUTH PLAIN " + plain("bare"), "NOOP"),
    D("server-refuses", "login", "EHLO client.test", "AUTH PLAIN " + plain("refused")),
]


class Talk:
    """A client of one side: what it got, as lists of lines."""

    def __init__(self, side, listener, proto, options, ca):
        self.proto, self.options, self.ca = proto, options, ca
        self.sock = socket.create_connection((side.host, side.ports[listener]), timeout=allowance(30))
        self.got = []
        if options.get("first"):
            self.sock.sendall(options["first"].encode())
        if options.get("implicit"):
            self.handshake()
        self.file = self.sock.makefile("rb")

    def handshake(self):
        context = ssl._create_unverified_context()
        if "alpn" in self.options:
            context.set_alpn_protocols([self.options["alpn"]])
        if "version" in self.options:
            context.maximum_version = self.options["version"]
        if self.options.get("certificate"):
            context.load_cert_chain(*self.ca)
        self.sock = context.wrap_socket(self.sock, server_hostname="proxy.test")
        self.file = self.sock.makefile("rb")

    def answer(self, end):
        lines = []
        while True:
            line = self.file.readline().decode(errors="replace").rstrip("\r\n")
            lines.append(line or END)
            if not line or re.match(end, line):
                return lines

    def step(self, step):
        if step == TLS:
            return self.handshake()
        if step == END:
            while self.file.readline():  # goodbyes
                pass
            self.got.append([END])
            return None
        text, _, count = step.partition(" -> ")
        self.sock.sendall((text if text.endswith("\n") else text + "\r\n").encode())
        if count == ".":
            self.got.append(self.answer(r"(\.$|-ERR)"))
            return None
        for _ in range(int(count or 1)):
            self.got.append(self.answer(ENDS[self.proto]))
        return None

    def run(self, steps):
        if self.options.get("greets", True):
            self.got.append(self.answer(r"(\* |\+OK|\d\d\d )"))
        for step in steps:
            self.step(step)


def proto_of(listener):
    return "imap" if listener in ("imap", "imaps", "tlsonly", "balanced", "strangers") else "pop3" if listener.startswith("pop3") or listener == "digests" else "smtp"


def kind(proto, line):
    """What a client acts on: the words for people are left out."""
    line = re.sub(r"<[^>]*@proxy\.test>", "<salt>", line)
    if proto == "imap":
        if line.startswith("* CAPABILITY"):
            return "* CAPABILITY " + " ".join(sorted(line.split()[2:]))
        found = re.match(r"(\S+) (OK|NO|BAD|BYE)", line)
        return found[0] if found else "+" if line.startswith("+") else line
    if proto == "pop3":
        found = re.match(r"\+OK|-ERR|\+ .*", line)
        return " ".join(line.split()[:1] + sorted(line.split()[1:])) if line.startswith("SASL") else found[0] if found else line
    if line.startswith("250") and ("AUTH" in line or line[4:5].isupper()):
        return "250 " + " ".join(sorted(line[4:].split()))
    return line[:3]


def kinds(proto, answers):
    out = []
    for lines in answers:
        # a code that says where it is: SASL prompts and words that follow a status are for people
        said = [kind(proto, line) for line in lines]
        out.append(sorted(said[:-1]) + said[-1:] if proto != "smtp" else sorted(said))
    return out


HEADERS = ("Auth-Method", "Auth-User", "Auth-Pass", "Auth-Protocol", "Auth-Login-Attempt", "Client-IP", "Client-Host", "Auth-SMTP-Helo",
           "Auth-SMTP-From", "Auth-SMTP-To", "Auth-SSL", "Auth-SSL-Protocol", "Auth-SSL-Verify", "Auth-SSL-Subject", "X-Secret",
           "Proxy-Protocol-Addr", "Proxy-Protocol-Port")


def play(site, side, listener, steps, options):
    """(answers, requests at the auth server, what the mail servers were told)"""
    site["auth"].take(), site["mail"].take()
    talk = None
    try:
        talk = Talk(site[side], listener, proto_of(listener), options, site["client"])
        talk.run(steps)
        answers = talk.got
    except (ssl.SSLError, ConnectionError) as e:
        answers = [["no handshake" if isinstance(e, ssl.SSLError) else "reset"]]
    requests = [{h: r[h] for h in HEADERS if h in r} for r in site["auth"].take()]
    events = site["mail"].take()
    if talk:
        talk.sock.close()
    return answers, requests, events


@pytest.fixture(scope="module")
def client_cert(site):
    site["client"] = site["ca"].issue("client", "DNS:client.test", usage="clientAuth")
    return site["client"]


@pytest.mark.parametrize("listener, steps, why, texts, options", DIALOGUES)
def test_dialogue(site, client_cert, listener, steps, why, texts, options):
    proto = proto_of(listener)
    nginx = play(site, "nginx", listener, steps, options)
    ours = play(site, "ours", listener, steps, options)
    same = (kinds(proto, nginx[0]) == kinds(proto, ours[0]) and nginx[1] == ours[1] and nginx[2] == ours[2] and
            (not texts or nginx[0] == ours[0]))
    shown = f"\nnginx: {nginx}\nours:  {ours}"
    if why:
        assert not same, "they are the same by now: take the reason away" + shown
    else:
        assert same, shown


def test_most_dialogues_are_the_same():
    different = [d.id for d in DIALOGUES if d.values[2]]
    assert len(DIALOGUES) >= 100 and len(different) <= 12, different


# ---- the program, and the page that tells the way ----

SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "unit", "nginx", "site")
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "nginx")
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "man", "mailproxy-nginx.7.in")


def test_golden_site(folder):
    """A configuration of 120 lines with includes, as it grew over the years: its file and its report."""
    output = os.path.join(folder, "out.conf")
    done = from_nginx(os.path.join(SITE, "nginx.conf"), "-o", output)
    assert done.returncode == 1 and done.stdout == ""  # some of it has no equal
    assert stat.S_IMODE(os.stat(output).st_mode) == 0o600
    with open(output) as f:
        texts = {"site.conf": f.read(), "site.report": done.stderr}
    for name, text in texts.items():
        text = "# SPDX-License-Identifier: ISC\n" + text.replace(os.path.realpath(SITE), "/etc/nginx")
        path = GOLDEN + "-" + name
        if os.environ.get("MAILPROXY_GOLDEN") == "write":
            with open(path, "w") as f:
                f.write(text)
        with open(path) as f:
            assert text == f.read(), "MAILPROXY_GOLDEN=write writes it anew"
    assert "s3cr3t" not in done.stderr


def test_golden_site_is_valid(folder, ca, server_cert):
    """The same with its certificates in place."""
    site = os.path.join(folder, "nginx")
    shutil.copytree(SITE, site)
    os.makedirs(os.path.join(site, "tls"))
    for kind in ("rsa", "ecdsa"):
        shutil.copy(server_cert[0], os.path.join(site, "tls", f"mail.{kind}.pem"))
        shutil.copy(server_cert[1], os.path.join(site, "tls", f"mail.{kind}.key"))
    shutil.copy(ca.cert, os.path.join(site, "tls", "client-ca.pem"))
    with open(os.path.join(site, "tls", "passphrases"), "w") as f:
        f.write("secret\n")
    with open(os.path.join(site, "tls", "ticket.key"), "wb") as f:
        f.write(os.urandom(80))
    text = from_nginx(os.path.join(site, "nginx.conf")).stdout
    text = re.sub(r'(user|group) = "www-data";', "", text).replace("/var/log/nginx", folder)
    text += f'state_dir = "{folder}/state"; run_dir = "{folder}";' + ('user = "root";' if os.geteuid() == 0 else "")
    path = os.path.join(folder, "out.conf")
    with open(path, "w") as f:
        f.write(text)
    done = subprocess.run([os.path.join(BUILD, "mailproxyd"), "-t", "-c", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr


def test_output_and_status(folder):
    conf, output = os.path.join(folder, "nginx.conf"), os.path.join(folder, "out.conf")
    with open(conf, "w") as f:
        f.write("mail { auth_http a; server { listen 143; } }")
    assert from_nginx(conf, "-o", output).returncode == 0
    with open(output, "w") as f:
        f.write("mine")
    done = from_nginx(conf, "-o", output)  # what is there stays
    assert done.returncode == 73 and "--force" in done.stderr
    with open(output) as f:
        assert f.read() == "mine"
    assert from_nginx(conf, "-o", output, "--force").returncode == 0
    with open(output) as f:
        assert "listeners" in f.read()
    assert sorted(os.listdir(folder)) == ["nginx.conf", "out.conf"]
    pipe, link = os.path.join(folder, "pipe"), os.path.join(folder, "link")
    os.mkfifo(pipe)
    os.symlink(output, link)
    for other in (pipe, link, folder):  # only files are replaced
        before = os.lstat(other)
        for options in ([], ["--force"]):
            done = from_nginx(conf, "-o", other, *options)
            assert done.returncode == 73 and "--force" not in done.stderr and "no regular file" in done.stderr
        assert os.lstat(other)[:3] == before[:3]
    os.unlink(pipe), os.unlink(link)
    assert sorted(os.listdir(folder)) == ["nginx.conf", "out.conf"]
    assert from_nginx(conf, "-o", os.path.join(folder, "none", "x")).returncode == 73
    assert "listeners" in from_nginx(conf).stdout
    assert from_nginx(os.path.join(folder, "gone")).returncode == 78
    with open(conf, "w") as f:
        f.write("mail {\n auth_http a;\n server { listen nonsense; }\n}")
    done = from_nginx(conf)
    assert done.returncode == 78 and done.stdout == "" and f"{conf}:3: listen: " in done.stderr
    program = os.path.join(BUILD, "mailproxyd")
    for wrong in (["-o", "x"], ["--force"], ["--from-nginx", conf, "--force"]):
        assert subprocess.run([program, *wrong], capture_output=True).returncode == 64


def commands_of_the_page():
    with open(PAGE) as f:
        blocks = re.findall(r"^\.EX\n(.*?)^\.EE$", f.read(), re.MULTILINE | re.DOTALL)
    lines = [line.replace("\\-", "-").replace("\\e", "\\") for block in blocks for line in block.splitlines()]
    assert len(lines) >= 10
    return lines


class Service:
    """What systemctl does of the page: an nginx with the mail block or without it, and the service."""

    def __init__(self, folder, host, auth, env):
        self.folder, self.host, self.auth, self.env = folder, host, auth, env
        # Ports below 1024 are not for everybody.
        self.is_real = os.geteuid() == 0
        self.daemon = None
        self.has_mail = True
        self.write()
        if self.is_real:
            self.nginx = process.Process([NGINX, "-p", folder, "-c", self.conf, "-e", f"{folder}/nginx.log", "-g", "daemon off;"],
                                         os.path.join(folder, "out"))
            self.nginx.wait_for(lambda: self.greeting() == "* OK IMAP4 ready", "nginx listens")

    def write(self):
        self.conf = os.path.join(self.folder, "nginx", "nginx.conf")
        mail = f"mail {{ auth_http {self.auth.url}; server {{ listen {self.host}:143; }} }}" if self.has_mail else ""
        with open(self.conf, "w") as f:
            f.write(f"user {pwd.getpwuid(os.geteuid()).pw_name}; load_module {MODULE}; pid {self.folder}/nginx.pid; events {{ }} {mail}")

    def greeting(self):
        try:
            with socket.create_connection((self.host, 143), timeout=30) as s:
                return s.makefile("rb").readline().decode().rstrip("\r\n")
        except OSError:
            return None

    def call(self, verb, unit):
        if not self.is_real:
            return
        if (verb, unit) == ("reload", "nginx"):
            self.has_mail = not self.has_mail
            self.write()
            self.nginx.signal(signal.SIGHUP)
            wait.until(lambda: self.greeting() == ("* OK IMAP4 ready" if self.has_mail else None), "nginx has read it again")
        elif (verb, unit) == ("restart", "mailproxy"):
            self.daemon = process.Process([os.path.join(BUILD, "mailproxyd"), "-c", f"{self.folder}/mailproxy/mailproxy.conf"],
                                          os.path.join(self.folder, "log"), self.env)
            self.daemon.wait_for(lambda: (self.greeting() or "").startswith("* OK [CAPABILITY "), "the service listens")
        else:
            assert (verb, unit) == ("stop", "mailproxy")
            assert self.daemon.stop() == 0 and self.greeting() is None
            self.daemon = None

    def stop(self):
        if self.is_real:
            assert self.daemon is None and self.greeting() == "* OK IMAP4 ready", "the way back was not gone to its end"

    def close(self):
        if self.is_real:
            self.nginx.stop()
            if self.daemon:
                self.daemon.stop()


def test_the_way_in_the_page(folder, server_cert, site):
    """Each command of mailproxy-nginx(7), in its order, with folders of the test for those of the machine."""
    host = net.address()
    for name in ("nginx", "mailproxy", "run"):
        os.makedirs(os.path.join(folder, name))
    run = Proxy(os.path.join(folder, "unused"), {}).run
    service = None
    try:
        env = {**os.environ, **ENVIRONMENT, "PATH": os.path.abspath(BUILD) + ":" + os.environ["PATH"],
               "MAILPROXY_SOCKET": os.path.join(run, "control.sock")}
        path = os.path.join(folder, "mailproxy", "from-nginx.conf")
        daemon = None
        service = Service(folder, host, site["auth"], env)
        for line in commands_of_the_page():
            if line.startswith("systemctl "):
                service.call(*line.split()[1:])
                continue
            if line == "kill %1":
                assert daemon.stop() == 0
                continue
            line = line.replace("/etc/", folder + "/").replace("127.0.0.1:10143", f"{host}:10143").replace("joe:secret", "good:pw")
            if line.endswith(" &"):
                daemon = process.Process(line[:-2].split(), os.path.join(folder, "log"), env)
                daemon.wait_for(lambda: process.can_connect(host, 10143), "it listens")
                continue
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, env=env)
            assert done.returncode == 0, (line, done.stdout, done.stderr, daemon and daemon.text())
            if "--from-nginx" in line:
                with open(path, "a") as f:
                    f.write(f'state_dir = "{folder}/state"; run_dir = "{run}";\n')
            if "listener list" in line:
                assert f"{host}:10143" in done.stdout
        assert ("login", "good", "pw") in site["mail"].take()
        site["auth"].take()
        service.stop()
    finally:
        if service:
            service.close()
        shutil.rmtree(run, ignore_errors=True)
