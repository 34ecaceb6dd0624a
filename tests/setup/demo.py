# SPDX-License-Identifier: ISC
"""`make demo`: two Dovecots with different mail, mailproxyd before them, three users, and words about what to try.
`make demo-fleet`: the same with three mailproxyds that act as one, over a Redis."""
import json
import os
import pwd
import select
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "tests", "e2e"))

from harness import dovecot, net, process, redis, wait  # noqa: E402

WISHED_PORTS = {"imap": 1143, "imaps": 1993, "pop3": 1110, "smtp": 1587, "sieve": 14190}
PASSWORD = "demo"
ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
USERS = {"alice@example.org": "dc1", "bob@example.org": "dc2", "carol@example.org": None}

NODES = ("px1", "px2", "px3")
FLEET = 'fleet = {{ name = "demo"; servers = [ "{server}" ]; secret_file = "{secret}"; heartbeat = "1s"; }};'

TEXT_FLEET = """
Three mailproxyds, px1, px2 and px3, run as one fleet over a Redis, with two Dovecots behind them. Users (password "{password}"):
alice@example.org (pinned to dc1), bob@example.org (to dc2), carol@example.org (anywhere, but on all nodes the same). IMAPS on 127.0.0.1:
{nodes}

Try, in another terminal in {top}:

  # carol on all three nodes, which stay connected: one backend
  python3 -c 'import imaplib, ssl; L = lambda p: imaplib.IMAP4_SSL("127.0.0.1", p, ssl_context=ssl._create_unverified_context()); \\
{login}; [m.login("carol@example.org", "{password}") for m in (m0, m1, m2)]; input("Enter ends")'

  export MAILPROXY_SOCKET={socket}
  {ctl} fleet list
  {ctl} --fleet sessions
  {ctl} route explain carol@example.org       # where the pin comes from, and who holds it
  {ctl} --fleet user move carol@example.org --to dc2 --wait
  {ctl} --fleet user lock carol@example.org --text "Call us"     # ends her sessions on all nodes
  {ctl} --node px3 system status
{tui}
Log: {log}
Ctrl-C here ends everything.
"""

TEXT = """
mailproxyd runs with two Dovecots behind it. Users (password "{password}"):
  alice@example.org  pinned to dc1
  bob@example.org    pinned to dc2
  carol@example.org  goes where her name hashes to: {carol}

IMAP {imap} (STARTTLS), {imaps} (TLS); POP3 {pop3}; submission {smtp}; ManageSieve {sieve}; all on 127.0.0.1.

Try, in another terminal in {top}:

  # log in by hand: type  a LOGIN alice@example.org {password}   then  b SELECT INBOX   and  c FETCH 1 BODY[TEXT]
  openssl s_client -quiet -crlf -connect 127.0.0.1:{imaps}

  # the same from Python, and stay connected
  python3 -c 'import imaplib, ssl; m = imaplib.IMAP4_SSL("127.0.0.1", {imaps}, ssl_context=ssl._create_unverified_context()); \\
m.login("bob@example.org", "{password}"); m.select(); print(m.fetch("1", "(BODY[TEXT])")); input("Enter ends")'

  # see who is there, and steer
  export MAILPROXY_SOCKET={socket}
  {ctl} sessions
  {ctl} backends
  {ctl} route explain carol@example.org
  {ctl} session kill user=bob@example.org --text "Back in five minutes"
  {ctl} backend drain dc1        # new logins go to dc2 (pinned users wait); then: backend ready dc1
  {ctl} event watch
{tui}
Log: {log}
Ctrl-C here ends everything.
"""


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def openssl_self_signed(folder, addresses):
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    names = ",".join(["DNS:localhost", "IP:127.0.0.1"] + [f"IP:{a}" for a in addresses])
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "30", "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    os.chmod(key, 0o600)
    return cert, key


class Proxy:
    """A mailproxyd in a folder of its own; of several each has a name."""

    def __init__(self, build, folder, name, ports):
        self.build, self.folder, self.name = build, folder, name
        self.socket = os.path.join(folder, "control.sock")
        self.ports = {n: p if is_free(p) else net.port("127.0.0.1") for n, p in ports.items()}
        self.process = None

    def start(self, values, changes, more):
        """values, changes: of conf/demo.conf; more: stands behind it."""
        os.makedirs(self.folder, exist_ok=True)
        values = {**values, **self.ports, "folder": self.folder, "node": self.name}
        with open(os.path.join(TOP, "conf", "demo.conf")) as f:
            text = string.Template(f.read()).substitute(values) + more
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        config = os.path.join(self.folder, "mailproxy.conf")
        with open(config, "w") as f:
            f.write(text)
        self.process = process.Process([os.path.join(self.build, "mailproxyd"), "-c", config],
                                       os.path.join(self.folder, "mailproxyd.out"))
        self.process.wait_for(lambda: self.ctl("system", "whoami")[0] == 0, "mailproxyd")
        for user, place in USERS.items():
            pin = ["--backend", place] if place else []
            status, out, err = self.ctl("user", "add", user, "--password-stdin", *pin, stdin=PASSWORD + "\n")
            if status:
                raise SystemExit(f"demo: user {user} could not be added: {err or out}")

    def ctl(self, *args, stdin=None):
        done = subprocess.run([os.path.join(self.build, "mailproxyctl"), "-s", self.socket, *args], input=stdin,
                              capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr


class Demo:
    def __init__(self, build, is_fleet):
        self.build, self.is_fleet = build, is_fleet
        # Not below the build: where that lies in a home closed to others, a mail server without root's rights cannot go.
        self.folder = tempfile.mkdtemp(prefix="mailproxy-demo-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        if is_fleet:
            self.proxies = [Proxy(build, os.path.join(self.folder, name), name, {n: p + 10000 * i for n, p in WISHED_PORTS.items()})
                            for i, name in enumerate(NODES)]
        else:
            self.proxies = [Proxy(build, self.folder, "demo", WISHED_PORTS)]
        self.dovecots, self.redis = [], None

    def start_dovecots(self):
        for name in ("dc1", "dc2"):
            folder = os.path.join(self.folder, name)
            os.makedirs(folder)
            self.dovecots.append(dovecot.Dovecot(folder, name, {u: PASSWORD for u in USERS}))
        self.cert, self.key = openssl_self_signed(self.folder, [d.host for d in self.dovecots])
        for d in self.dovecots:
            d.cert, d.key = self.cert, self.key
            d.write_config()
            for user in USERS:
                d.deliver(user, f"Hello from {d.name}", f"This mail is on {d.name}.")
            d.start()

    def start_proxies(self):
        values = {"uid": os.getuid(), "user": pwd.getpwuid(os.getuid()).pw_name, "cert": self.cert, "key": self.key}
        for d in self.dovecots:
            values[f"{d.name}_host"] = d.host
            values.update({f"{d.name}_{p}": port for p, port in d.ports.items()})
        changes, more = [], ""
        if self.is_fleet:
            self.redis = redis.RedisServer(os.path.join(self.folder, "redis")).start()
            # Where the nodes did not know of each other, a user would have sessions on both backends.
            changes = [('balance = "user"', 'balance = "round-robin"')]
            more = FLEET.format(server=self.redis.address, secret=redis.secret(self.folder))
        for p in self.proxies:
            p.start(values, changes, more)
        for p in self.proxies if self.is_fleet else []:
            wait.until(lambda p=p: p.ctl("fleet", "list", "state=serving")[1].count("serving") == len(NODES), "nodes that know each other")

    def say(self):
        first = self.proxies[0]
        status, out, _ = first.ctl("-o", "json", "route", "explain", "carol@example.org")
        carol = "mailproxyctl route explain tells"
        if status == 0:
            carol = json.loads(out).get("backend", carol)
        ctl = os.path.relpath(os.path.join(self.build, "mailproxyctl"), TOP)
        tui = os.path.join(self.build, "mailproxy-tui")
        line = f"  {os.path.relpath(tui, TOP)}\n" if os.path.exists(tui) else ""
        imaps = "\n".join(f"  {p.name}: {p.ports['imaps']}" for p in self.proxies)
        login = "; ".join(f"m{i} = L({p.ports['imaps']})" for i, p in enumerate(self.proxies))
        text = TEXT_FLEET if self.is_fleet else TEXT
        words = text.format(password=PASSWORD, top=TOP, socket=first.socket, ctl=ctl, carol=carol, tui=line, nodes=imaps, login=login,
                            log=os.path.join(first.folder, "mailproxyd.log"), **first.ports)
        try:
            print(words, flush=True)
        except OSError:  # the terminal went away meanwhile
            raise KeyboardInterrupt from None

    @staticmethod
    def is_to_end():
        """A signal, or a terminal that is gone: only its first process is told of that, which may be a make that waits for us."""
        terminal = select.poll()
        terminal.register(1, 0)
        return signal.sigtimedwait(ENDS, 0.5) or any(what & select.POLLHUP for _, what in terminal.poll(0))

    def run(self):
        self.start_dovecots()
        self.start_proxies()
        self.say()
        servers = [p.process for p in self.proxies] + [d.process for d in self.dovecots]
        while all(s.is_running() for s in servers):
            if self.is_to_end():
                raise KeyboardInterrupt
        print("demo: a server ended by itself; its output:\n" + "\n".join(p.process.text() for p in self.proxies), file=sys.stderr)
        return 1

    def stop(self, is_good):
        for p in self.proxies:
            if p.process:
                p.process.stop()
        for d in self.dovecots:
            d.close()
        if self.redis:
            self.redis.close()
        if is_good:
            shutil.rmtree(self.folder)
        else:
            print(f"demo: logs are in {self.folder}", file=sys.stderr)


def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    words = [w for w in sys.argv[1:] if w != "--fleet"]
    demo = Demo(os.path.abspath(words[0] if words else os.path.join(TOP, "build")), "--fleet" in sys.argv)
    status = 1
    try:
        status = demo.run()
    except KeyboardInterrupt:
        status = 0
        try:
            print("\ndemo: ending everything", flush=True)
        except OSError:  # nobody is left to read it; what is in the buffer has to go somewhere at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    finally:
        demo.stop(status == 0)
    sys.exit(status)


main()
