# SPDX-License-Identifier: ISC
"""A Postfix of our own, run from the folder where `make check` unpacked it; needs root, as its master does."""
import grp
import os
import pwd
import shutil
import tempfile

from . import net, process
from .proxy import BUILD

ROOT = os.path.join(BUILD, "postfix")
OWNER, GROUP = "daemon", "mail"  # accounts that every Debian has


def missing():
    """Why it cannot run here, or None."""
    if os.geteuid() != 0:
        return "Postfix needs root"
    if not os.path.exists(os.path.join(ROOT, "usr", "sbin", "postfix")):
        return "Postfix was not unpacked (make check does it)"
    return None


class Postfix:
    """Takes mail for example.org into the maildirs of a Dovecot, which also judges AUTH."""

    def __init__(self, folder, dovecot, cert=None, key=None, settings=None):
        self.folder = folder
        self.dovecot = dovecot
        self.host = net.address()
        self.port = net.port(self.host)
        self.log_file = os.path.join(folder, "postfix.log")
        self.tls = {"smtpd_tls_cert_file": cert, "smtpd_tls_key_file": key, "smtpd_tls_security_level": "may"} if cert else {}
        self.settings = settings or {}
        # UNIX sockets have short names
        self.run = tempfile.mkdtemp(prefix="mpp-", dir="/tmp")
        self.process = None
        os.chmod(self.run, 0o755)
        self._make_queue()
        self._write_config()

    def _make_queue(self):
        uid, gid = pwd.getpwnam(OWNER).pw_uid, grp.getgrnam(GROUP).gr_gid
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"):
            path = os.path.join(self.run, "queue", name)
            os.makedirs(path)
            os.chown(path, uid, 0)
            os.chmod(path, 0o700)
        for name, mode in (("public", 0o710), ("maildrop", 0o730)):
            path = os.path.join(self.run, "queue", name)
            os.makedirs(path)
            os.chown(path, uid, gid)
            os.chmod(path, mode)
        os.makedirs(os.path.join(self.run, "queue", "pid"))
        os.makedirs(os.path.join(self.run, "data"))
        os.chown(os.path.join(self.run, "data"), uid, 0)

    def _write_config(self):
        lib = os.path.join(ROOT, "usr", "lib", "postfix")
        mail = pwd.getpwnam(self.dovecot.user)
        values = {
            "compatibility_level": "3.6",
            "queue_directory": f"{self.run}/queue",
            "data_directory": f"{self.run}/data",
            "daemon_directory": f"{lib}/sbin",
            "command_directory": f"{ROOT}/usr/sbin",
            "shlib_directory": lib,
            "import_environment": f"LD_LIBRARY_PATH={lib} MAIL_CONFIG LANG=C",
            "mail_owner": OWNER,
            "setgid_group": GROUP,
            "maillog_file": self.log_file,
            "maillog_file_prefixes": "/",
            "myhostname": "mx.test",
            "mydestination": "",
            "mynetworks": "127.255.255.0/24",
            "inet_interfaces": "127.0.0.1",
            "smtpd_peername_lookup": "no",
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            "smtpd_delay_open_until_valid_rcpt": "no",
            "smtpd_forbid_unauth_pipelining": "yes",  # the default from 3.9 on
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination",
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"{self.dovecot.run}/sasl",
            "virtual_mailbox_domains": "example.org",
            "virtual_mailbox_base": f"{self.dovecot.folder}/mail",
            "virtual_mailbox_maps": f"texthash:{self.run}/mailboxes",
            "virtual_uid_maps": f"static:{mail.pw_uid}",
            "virtual_gid_maps": f"static:{mail.pw_gid}",
            "virtual_minimum_uid": "1",
            "default_transport": "discard",  # of what would leave this machine
            "local_recipient_maps": "",
            "alias_maps": "",
            **self.tls,
            **self.settings,
        }
        with open(os.path.join(self.run, "mailboxes"), "w") as f:
            f.writelines(f"{user} {user}/\n" for user in self.dovecot.users)
        with open(os.path.join(self.run, "main.cf"), "w") as f:
            f.writelines(f"{k} = {v}\n" for k, v in values.items())
        with open(os.path.join(self.run, "master.cf"), "w") as f:
            f.write(f"{self.host}:{self.port} inet n - n - - smtpd\n"
                    "pickup unix n - n 60 1 pickup\n"
                    "cleanup unix n - n - 0 cleanup\n"
                    "qmgr unix n - n 300 1 qmgr\n"
                    "rewrite unix - - n - - trivial-rewrite\n"
                    "bounce unix - - n - 0 bounce\n"
                    "defer unix - - n - 0 bounce\n"
                    "trace unix - - n - 0 bounce\n"
                    "proxymap unix - - n - - proxymap\n"
                    "discard unix - - n - - discard\n"
                    "error unix - - n - - error\n"
                    "retry unix - - n - - error\n"
                    "virtual unix - n n - - virtual\n"
                    "anvil unix - - n - 1 anvil\n"
                    "tlsmgr unix - - n 1000? 1 tlsmgr\n"
                    "postlog unix-dgram n - n - 1 postlogd\n")

    def start(self):
        lib = os.path.join(ROOT, "usr", "lib", "postfix")
        self.process = process.Process([os.path.join(lib, "sbin", "master"), "-c", self.run, "-s"],
                                       os.path.join(self.folder, "postfix.out"),
                                       {"LD_LIBRARY_PATH": lib, "MAIL_CONFIG": self.run})
        self.process.wait_for(lambda: process.can_connect(self.host, self.port), "Postfix")
        return self

    def log(self):
        if not os.path.exists(self.log_file):
            return ""
        with open(self.log_file, errors="replace") as f:
            return f.read()

    def close(self):
        if self.process:
            self.process.stop()
            self.process = None
        shutil.rmtree(self.run, ignore_errors=True)
