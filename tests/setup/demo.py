# SPDX-License-Identifier: ISC
"""`make demo`: two Dovecots with different mail, mailproxyd before them, three users, and words about what to try."""
import json
import os
import pwd
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

from harness import dovecot, net, process  # noqa: E402

WISHED_PORTS = {"imap": 1143, "imaps": 1993, "pop3": 1110, "smtp": 1587, "sieve": 14190}
PASSWORD = "demo"
ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
USERS = {"alice@example.org": "dc1", "bob@example.org": "dc2", "carol@example.org": None}

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


class Demo:
    def __init__(self, build):
        self.build = build
        # Not below the build: where that lies in a home closed to others, a mail server without root's rights cannot go.
        self.folder = tempfile.mkdtemp(prefix="mailproxy-demo-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.socket = os.path.join(self.folder, "control.sock")
        self.ports = {n: p if is_free(p) else net.port("127.0.0.1") for n, p in WISHED_PORTS.items()}
        self.dovecots, self.proxy = [], None

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

    def write_config(self):
        values = {"folder": self.folder, "uid": os.getuid(), "user": pwd.getpwuid(os.getuid()).pw_name, "cert": self.cert, "key": self.key, **self.ports}
        for d in self.dovecots:
            values[f"{d.name}_host"] = d.host
            values.update({f"{d.name}_{p}": port for p, port in d.ports.items()})
        with open(os.path.join(TOP, "conf", "demo.conf")) as f:
            text = string.Template(f.read()).substitute(values)
        self.config = os.path.join(self.folder, "mailproxy.conf")
        with open(self.config, "w") as f:
            f.write(text)

    def ctl(self, *args, stdin=None):
        done = subprocess.run([os.path.join(self.build, "mailproxyctl"), "-s", self.socket, *args], input=stdin,
                              capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def start_proxy(self):
        self.proxy = process.Process([os.path.join(self.build, "mailproxyd"), "-c", self.config],
                                     os.path.join(self.folder, "mailproxyd.out"))
        self.proxy.wait_for(lambda: self.ctl("system", "whoami")[0] == 0, "mailproxyd")
        for user, place in USERS.items():
            pin = ["--backend", place] if place else []
            status, out, err = self.ctl("user", "add", user, "--password-stdin", *pin, stdin=PASSWORD + "\n")
            if status:
                raise SystemExit(f"demo: user {user} could not be added: {err or out}")

    def say(self):
        status, out, _ = self.ctl("-o", "json", "route", "explain", "carol@example.org")
        carol = "mailproxyctl route explain tells"
        if status == 0:
            carol = json.loads(out).get("backend", carol)
        ctl = os.path.relpath(os.path.join(self.build, "mailproxyctl"), TOP)
        tui = os.path.join(self.build, "mailproxy-tui")
        line = f"  {os.path.relpath(tui, TOP)}\n" if os.path.exists(tui) else ""
        print(TEXT.format(password=PASSWORD, top=TOP, socket=self.socket, ctl=ctl, carol=carol, tui=line,
                          log=os.path.join(self.folder, "mailproxyd.log"), **self.ports), flush=True)

    def run(self):
        self.start_dovecots()
        self.write_config()
        self.start_proxy()
        self.say()
        while self.proxy.is_running() and all(d.process.is_running() for d in self.dovecots):
            if signal.sigtimedwait(ENDS, 0.5):
                raise KeyboardInterrupt
        print("demo: a server ended by itself; its output:\n" + self.proxy.text(), file=sys.stderr)
        return 1

    def stop(self, is_good):
        if self.proxy:
            self.proxy.stop()
        for d in self.dovecots:
            d.close()
        if is_good:
            shutil.rmtree(self.folder)
        else:
            print(f"demo: logs are in {self.folder}", file=sys.stderr)


def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    demo = Demo(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, "build")))
    status = 1
    try:
        status = demo.run()
    except KeyboardInterrupt:
        print("\ndemo: ending everything", flush=True)
        status = 0
    finally:
        demo.stop(status == 0)
    sys.exit(status)


main()
