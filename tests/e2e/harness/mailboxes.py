# SPDX-License-Identifier: ISC
"""Mailboxes that are moved from one Dovecot to another while their owners write into them."""
import imaplib
import os
import random
import threading
import time

from . import certs, dovecot, imap
from .proxy import Proxy

PASSWORD = "pw"


def backend(d):
    return {"name": d.name, "host": d.host, "ports": {"imap": d.ports["imap"]}}


class Mailboxes:
    """Two Dovecots (old, new) that know the same n users, and a proxy in front of them. All mailboxes are at the old one."""

    def __init__(self, folder, n, n_mails=3):
        self.folder = folder
        os.chmod(folder, 0o755)
        self.users = [f"m{i:03}@example.org" for i in range(n)]
        ca = certs.Authority(os.path.join(folder, "ca"))
        self.dovecots = []
        for name in ("old", "new"):
            path = os.path.join(folder, name)
            os.makedirs(path)
            cert, key = ca.issue(f"{name}.test", f"DNS:{name}.test,DNS:localhost")
            os.chmod(key, 0o644)
            self.dovecots.append(dovecot.Dovecot(path, name, {u: PASSWORD for u in self.users}, cert, key))
        self.sent = {u: [] for u in self.users}  # the mails that must never be lost, by a mark
        for user in self.users:
            for i in range(n_mails):
                self.dovecots[0].deliver(user, f"first {i}", f"mark-{user}-first-{i}-end")
                self.sent[user].append(f"mark-{user}-first-{i}-end")
        for d in self.dovecots:
            d.start()
        cert, key = ca.issue("proxy.test", "DNS:proxy.test")
        self.proxy = Proxy(os.path.join(folder, "proxy"), {
            "tls": {"certificates": [{"cert": cert, "key": key}]},
            "listeners": [{"name": "imap", "protocol": "imap", "tls": "starttls", "allow_plaintext": True}],
            "auth": [{"type": "users"}, {"type": "backend"}],
            "timeouts": {"hold": "60s"},
            "pools": [{"name": "main", "tls": "off", "backends": [backend(d) for d in self.dovecots]}]})
        self.proxy.start()
        for user in self.users:
            self.proxy.ctl("user", "set", user, "--backend", "old")
        names = os.path.join(folder, "names.txt")
        with open(names, "w") as f:
            f.writelines(f"{u}\n" for u in self.users)
        self.names = names

    def close(self):
        self.proxy.stop()
        for d in self.dovecots:
            d.close()

    @property
    def command(self):
        """A one-way copy with Dovecot's own tool, which takes what was at the new place away."""
        return (f"doveadm -c {self.folder}/{{from}}/dovecot.conf backup -u {{user}} "
                f"maildir:{self.folder}/{{to}}/mail/{{user}}")

    def move(self, *more, command=None, **options):
        return self.proxy.ctl_run("user", "move", "--from", self.names, "--to", "new", "--exec", command or self.command,
                                  "--yes", *more, check=False, **options)

    def login(self, user):
        m = imap.plain(self.proxy.host, self.proxy.ports["imap"])
        m.login(user, PASSWORD)
        return m

    def marks(self, user):
        """Of the mails that the user sees."""
        m = self.login(user)
        m.select()
        found = []
        for part in m.fetch("1:*", "(BODY.PEEK[TEXT])")[1]:
            if isinstance(part, tuple):
                found.append(part[1].decode().strip())
        m.logout()
        return found

    def check(self):
        """No mail that was acknowledged is missing, none is there twice; returns how many there are."""
        n = 0
        for user in self.users:
            marks = self.marks(user)
            assert len(marks) == len(set(marks)), f"{user} has mails twice"
            assert set(self.sent[user]) <= set(marks), f"{user} lost {set(self.sent[user]) - set(marks)}"
            n += len(marks)
        return n


class Load:
    """Clients that log in, store a mail and log out, over and over; each mail that was acknowledged is noted."""

    def __init__(self, mailboxes, n_clients=4):
        self.m = mailboxes
        self.is_over = False
        self.n_logins = self.n_mails = 0
        self.slowest = 0.0
        self.refused = []  # NO to a login, which no move is a reason for
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(n_clients)]
        for t in self.threads:
            t.start()

    def client(self, number):
        dice = random.Random(number)
        count = 0
        while not self.is_over:
            user = dice.choice(self.m.users)
            mark = f"mark-{user}-{number}-{count}-end"
            count += 1
            try:
                begun = time.monotonic()
                try:
                    c = self.m.login(user)
                except imaplib.IMAP4.error as e:
                    if "abort" not in type(e).__name__:
                        self.refused.append(str(e))
                    continue
                with self.lock:
                    self.slowest = max(self.slowest, time.monotonic() - begun)
                    self.n_logins += 1
                text = f"From: a@b\r\nTo: {user}\r\nSubject: load\r\n\r\n{mark}\r\n".encode()
                if c.append("INBOX", None, None, text)[0] == "OK":
                    with self.lock:
                        self.n_mails += 1
                        self.m.sent[user].append(mark)
                c.logout()
            except (imaplib.IMAP4.error, OSError):
                pass  # a goodbye: the client comes again

    def stop(self):
        self.is_over = True
        for t in self.threads:
            t.join()
