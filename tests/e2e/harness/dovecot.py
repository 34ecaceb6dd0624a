# SPDX-License-Identifier: ISC
"""A Dovecot of our own: any user, unprivileged or as root, nothing of the machine's configuration."""
import grp
import os
import pwd
import shutil
import tempfile
import time

from . import net, process
from .dovecot_syntax import PROGRAM, block, syntax

PORTS = ("imap", "imaps", "pop3", "pop3s", "submission", "sieve")


class Dovecot:
    """users: {name: password}; every other name is refused. master: (name, password) may log in as anybody."""

    def __init__(self, folder, name, users, cert=None, key=None, master=None, greeting=None, relay=None, ssl_required=False,
                 has_proxied=False):
        self.folder = folder
        self.name = name
        self.users = users
        self.host = net.address()
        self.ports = {p: net.port(self.host) for p in (*PORTS, *(("imap_proxied", "submission_proxied") if has_proxied else ()))}
        self.cert, self.key = cert, key
        self.master = master
        self.relay = relay
        self.ssl_required = ssl_required
        self.has_proxied = has_proxied  # further ports for clients that come with a PROXY header: "imap_proxied", "submission_proxied"
        self.greeting = greeting or f"{name} ready."
        self.process = None
        self.syntax = syntax()
        # UNIX sockets have short names
        self.run = tempfile.mkdtemp(prefix="mpd-", dir="/tmp")
        os.chmod(self.run, 0o755)
        for part in ("mail", "state"):
            os.makedirs(os.path.join(folder, part), exist_ok=True)
        is_root = os.geteuid() == 0
        self.user = "nobody" if is_root else pwd.getpwuid(os.geteuid()).pw_name
        self.group = grp.getgrgid(pwd.getpwnam(self.user).pw_gid).gr_name
        if is_root:
            self._open_path(folder)
            for part in ("mail", "state"):
                shutil.chown(os.path.join(folder, part), self.user, self.group)
        self.write_config()

    @staticmethod
    def _open_path(folder):
        """The mail user must be able to reach its mail: pytest's folders are closed to others."""
        while folder != "/" and folder.startswith(tempfile.gettempdir() + "/"):
            os.chmod(folder, os.stat(folder).st_mode | 0o055)
            folder = os.path.dirname(folder)

    def _passwords(self, name, entries):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.writelines("%s:{PLAIN}%s\n" % entry for entry in entries)
        os.chmod(path, 0o644)
        return path

    def _service(self, protocol, listeners, *more):
        """The login service of a protocol. listeners: {name: port, 0 = none}; imaps and pop3s speak TLS."""
        text = ["chroot =", self.syntax.serve_for_ever, *more]
        for name, port in listeners.items():
            is_tls = name in ("imaps", "pop3s")
            text += [f"inet_listener {name} {{", f"  port = {port if self.cert or not is_tls else 0}",
                     *(["  ssl = yes"] if is_tls else []), "}"]
        if self.has_proxied and f"{protocol}_proxied" in self.ports:
            text += [f"inet_listener {protocol}_proxied {{", f"  port = {self.ports[protocol + '_proxied']}", "  haproxy = yes", "}"]
        return block(f"service {protocol}-login", *text)

    def _services(self):
        p = self.ports
        judge = "root" if os.geteuid() == 0 else self.user
        return (self._service("imap", {"imap": p["imap"], "imaps": p["imaps"]}, "client_limit = 4000")
                + self._service("pop3", {"pop3": p["pop3"], "pop3s": p["pop3s"]})
                + self._service("submission", {"submission": p["submission"], "submissions": 0})
                + self._service("managesieve", {"sieve": p["sieve"]})
                + block("service imap", "process_limit = 2000")
                # without the socket nobody waits longer because others failed before
                + block("service anvil", "chroot =", "unix_listener anvil-auth-penalty {", "  mode = 0", "}")
                + block("service stats", "chroot =")
                + block("service auth", "unix_listener sasl {", "  mode = 0666", "}", f"user = {judge}")
                + block("service auth-worker", f"user = {judge}"))

    def _ssl(self):
        if not self.cert:
            return "ssl = no\n"
        return f"ssl = {'required' if self.ssl_required else 'yes'}\n" + self.syntax.certificate(self.cert, self.key)

    def write_config(self):
        entry, syn = pwd.getpwnam(self.user), self.syntax
        users = self._passwords("passwd", self.users.items())
        masters = self._passwords("masters", [self.master] if self.master else [])
        home = f"{self.folder}/mail/{syn.user}"
        relay_host, relay_port = self.relay or ("127.0.0.1", 25)
        text = syn.head() + f"""
base_dir = {self.run}
state_dir = {self.folder}/state
log_path = {self.folder}/dovecot.log
log_timestamp = "%Y-%m-%d %H:%M:%S "
protocols = imap pop3 sieve submission
listen = {self.host}
login_greeting = {self.greeting}
login_trusted_networks = 127.0.0.0/8
haproxy_trusted_networks = 127.0.0.0/8
default_internal_user = {self.user}
default_internal_group = {self.group}
default_login_user = {self.user}
auth_mechanisms = plain login
auth_failure_delay = 0
auth_master_user_separator = *
mail_fsync = never
mail_max_userip_connections = 0
first_valid_uid = 1
hostname = {self.name}.test
default_process_limit = 2000
default_client_limit = 6000
submission_relay_host = {relay_host}
submission_relay_port = {relay_port}
submission_relay_trusted = yes
""" + (self._ssl() + syn.cleartext + syn.no_memory_limit + syn.log_client_id + syn.maildir(home)
            + syn.passwd_file("masters", masters, is_master=True) + syn.passwd_file("users", users)
            + syn.static("userdb", {"uid": entry.pw_uid, "gid": entry.pw_gid, "home": home}) + self._services())
        self.config = os.path.join(self.folder, "dovecot.conf")
        with open(self.config, "w") as f:
            f.write(text)

    def deliver(self, user, subject, body):
        """Puts a message into the user's INBOX."""
        new = os.path.join(self.folder, "mail", user, "new")
        for part in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(self.folder, "mail", user, part), exist_ok=True)
        seconds, ns = divmod(time.time_ns(), 10**9)  # maildir(5): messages stand in the order of their names
        name = f"{seconds}.M{ns // 1000:06}Q{len(os.listdir(new))}.{self.name}"
        with open(os.path.join(new, name), "w", newline="") as f:
            f.write(f"From: postmaster@{self.name}.test\r\nTo: {user}\r\nSubject: {subject}\r\n\r\n{body}\r\n")
        if os.geteuid() == 0:
            for root, folders, files in os.walk(os.path.join(self.folder, "mail", user)):
                for entry in [root] + [os.path.join(root, x) for x in folders + files]:
                    shutil.chown(entry, self.user, self.group)

    def start(self):
        self.process = process.Process([PROGRAM, "-F", "-c", self.config],
                                       os.path.join(self.folder, "dovecot.out"))
        for port in ("imap", "pop3", "submission", "sieve"):
            self.process.wait_for(lambda p=port: process.can_connect(self.host, self.ports[p]), f"{self.name} {port}")
        return self

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.run, ignore_errors=True)

    def log(self):
        path = os.path.join(self.folder, "dovecot.log")
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as f:
            return f.read()

    def logins(self, service, facts):
        """How many logins the log tells of; service: "imap", "managesieve"; facts: the line's beginning, "user=<joe>, method=PLAIN"."""
        return self.log().count(f"{service}-login: Info: {self.syntax.login} {facts}")
