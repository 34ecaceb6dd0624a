# SPDX-License-Identifier: ISC
"""What differs in the configuration and the log between Dovecot 2.3 and 2.4: everything else is written once, by who uses it."""
import re
import subprocess

PROGRAM = "/usr/sbin/dovecot"


def block(head, *lines):
    return "%s {\n%s\n}\n" % (head, "\n".join(f"  {line}" for line in lines))


class Syntax23:
    version = (2, 3)
    user = "%u"
    login = "Login:"  # before the facts of a login in the log
    cleartext = "disable_plaintext_auth = no\n"
    no_memory_limit = "default_vsz_limit = 0\n"
    serve_for_ever = "service_count = 0"
    listen = "address"  # the address of one listener
    log_client_id = "imap_id_log = *\n"

    @staticmethod
    def head():
        return ""

    @staticmethod
    def certificate(cert, key, is_second=False):
        prefix = "ssl_alt" if is_second else "ssl"
        return f"{prefix}_cert = <{cert}\n{prefix}_key = <{key}\n"

    @staticmethod
    def maildir(path):
        return f"mail_location = maildir:{path}\n"

    @staticmethod
    def passwd_file(name, path, is_master=False):
        del name
        return block("passdb", "driver = passwd-file", f"args = {path}", *(["master = yes"] if is_master else []))

    @staticmethod
    def static(kind, fields):
        """kind: "passdb" or "userdb"."""
        return block(kind, "driver = static", "args = " + " ".join(f"{k}={v}" for k, v in fields.items()))

    @staticmethod
    def by_protocol(values):
        """A value that depends on the protocol of the login. values: {"imap": ..., "pop3": ..., "submission": ...}"""
        return f"%{{if;%s;eq;imap;{values['imap']};%{{if;%s;eq;pop3;{values['pop3']};{values['submission']}}}}}"


class Syntax24:
    version = (2, 4)
    user = "%{user}"
    login = "Logged in:"
    cleartext = "auth_allow_cleartext = yes\n"
    no_memory_limit = "default_vsz_limit = unlimited\n"
    serve_for_ever = "restart_request_count = unlimited"
    listen = "listen"
    log_client_id = ""

    def __init__(self, text):
        self.text = text  # "2.4.1"

    def head(self):
        return f"dovecot_config_version = {self.text}\ndovecot_storage_version = {self.text}\n"

    @staticmethod
    def certificate(cert, key, is_second=False):
        prefix = "ssl_server_alt" if is_second else "ssl_server"
        return f"{prefix}_cert_file = {cert}\n{prefix}_key_file = {key}\n"

    @staticmethod
    def maildir(path):
        return f"mail_driver = maildir\nmail_path = {path}\n"

    @staticmethod
    def passwd_file(name, path, is_master=False):
        return block(f"passdb {name}", "driver = passwd-file", f"passwd_file_path = {path}",
                     *(["master = yes"] if is_master else []))

    @staticmethod
    def static(kind, fields):
        return block(f"{kind} static", "fields {", *(f"  {k} = {v}" for k, v in fields.items()), "}")

    @staticmethod
    def by_protocol(values):
        return "%{protocol | " + " | ".join(f"regexp('^{name}$', '{value}')" for name, value in values.items()) + "}"


def syntax():
    """That of the Dovecot on this machine."""
    out = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.match(r"(\d+)\.(\d+)\.\d+", out)
    return Syntax24(found.group()) if (int(found[1]), int(found[2])) >= (2, 4) else Syntax23()
