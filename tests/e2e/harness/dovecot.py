# SPDX-License-Identifier: ISC
"""A Dovecot of our own: any user, unprivileged or as root, nothing of the machine's configuration."""
import grp
import os
import pwd
import shutil
import tempfile
import time

from . import net, process

PORTS = ("imap", "imaps", "pop3", "pop3s", "submission", "sieve")


class Dovecot:
    """users: {name: password}; every other name is refused. master: (name, password) may log in as anybody."""

    def __init__(self, folder, name, users, cert=None, key=None, master=None, greeting=None, relay=None, ssl_required=False):
        self.folder = folder
        self.name = name
        self.users = users
        self.host = net.address()
        self.ports = {p: net.port(self.host) for p in PORTS}
        self.cert, self.key = cert, key
        self.master = master
        self.relay = relay
        self.ssl_required = ssl_required
        self.greeting = greeting or f"{name} ready."
        self.process = None
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

    def write_config(self):
        passwd = os.path.join(self.folder, "passwd")
        with open(passwd, "w") as f:
            for user, password in self.users.items():
                f.write(f"{user}:{{PLAIN}}{password}\n")
        os.chmod(passwd, 0o644)
        masters = os.path.join(self.folder, "masters")
        with open(masters, "w") as f:
            if self.master:
                f.write("%s:{PLAIN}%s\n" % self.master)
        os.chmod(masters, 0o644)
        uid, gid = pwd.getpwnam(self.user).pw_uid, pwd.getpwnam(self.user).pw_gid
        ssl = "no"
        if self.cert:
            ssl = "required" if self.ssl_required else "yes"
        p = self.ports
        text = f"""
base_dir = {self.run}
state_dir = {self.folder}/state
log_path = {self.folder}/dovecot.log
log_timestamp = "%Y-%m-%d %H:%M:%S "
protocols = imap pop3 sieve submission
listen = {self.host}
login_greeting = {self.greeting}
ssl = {ssl}
{f"ssl_cert = <{self.cert}" if self.cert else ""}
{f"ssl_key = <{self.key}" if self.key else ""}
disable_plaintext_auth = no
login_trusted_networks = 127.0.0.0/8
default_internal_user = {self.user}
default_internal_group = {self.group}
default_login_user = {self.user}
auth_mechanisms = plain login
auth_failure_delay = 0
auth_master_user_separator = *
mail_location = maildir:{self.folder}/mail/%u
mail_fsync = never
mail_max_userip_connections = 0
first_valid_uid = 1
hostname = {self.name}.test
default_process_limit = 2000
default_client_limit = 6000
default_vsz_limit = 0
imap_id_log = *
passdb {{
  driver = passwd-file
  args = {masters}
  master = yes
}}
passdb {{
  driver = passwd-file
  args = {passwd}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={self.folder}/mail/%u
}}
submission_relay_host = {self.relay[0] if self.relay else "127.0.0.1"}
submission_relay_port = {self.relay[1] if self.relay else 25}
submission_relay_trusted = yes
service imap-login {{
  chroot =
  service_count = 0
  client_limit = 4000
  inet_listener imap {{
    port = {p["imap"]}
  }}
  inet_listener imaps {{
    port = {p["imaps"] if self.cert else 0}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  service_count = 0
  inet_listener pop3 {{
    port = {p["pop3"]}
  }}
  inet_listener pop3s {{
    port = {p["pop3s"] if self.cert else 0}
    ssl = yes
  }}
}}
service submission-login {{
  chroot =
  service_count = 0
  inet_listener submission {{
    port = {p["submission"]}
  }}
}}
service managesieve-login {{
  chroot =
  service_count = 0
  inet_listener sieve {{
    port = {p["sieve"]}
  }}
}}
service imap {{
  process_limit = 2000
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth {{
  unix_listener sasl {{
    mode = 0666
  }}
  user = {"root" if os.geteuid() == 0 else self.user}
}}
service auth-worker {{
  user = {"root" if os.geteuid() == 0 else self.user}
}}
"""
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
        self.process = process.Process(["/usr/sbin/dovecot", "-F", "-c", self.config],
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
