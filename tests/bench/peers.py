# SPDX-License-Identifier: ISC
"""The proxies that are compared, each configured for the same work: the same listeners, certificates, backends, two workers."""
import contextlib
import grp
import itertools
import os
import pwd
import shutil
import signal
import socket
import tempfile

import proc
from harness import certs, dovecot_syntax, net, process, redis, wait
from harness.proxy import Proxy

WORKERS = 2
START_INSTRUMENTED_S = 180  # callgrind, on a busy machine
# Plain listeners offer STARTTLS; the others say TLS first, with these keys.
LISTENERS = {"imap": ("imap", "ecdsa"), "pop3": ("pop3", "ecdsa"), "smtp": ("smtp", "ecdsa"),
             "imap-ecdsa": ("imap", "ecdsa"), "imap-rsa": ("imap", "rsa"), "imap-both": ("imap", "ecdsa", "rsa"),
             "pop3-ecdsa": ("pop3", "ecdsa"), "smtp-ecdsa": ("smtp", "ecdsa"),
             "imap-to-tls": ("imap", "ecdsa"), "imap-tls-tls": ("imap", "ecdsa")}
TO_TLS = ("imap-to-tls", "imap-tls-tls")  # the backend is reached by TLS


def is_plain(listener):
    return "-" not in listener or listener == "imap-to-tls"


def ports(host, names):
    """{name: port}, all different: the kernel may give one out again as soon as it is free."""
    with contextlib.ExitStack() as stack:
        sockets = {name: stack.enter_context(socket.socket()) for name in names}
        for s in sockets.values():
            s.bind((host, 0))
        return {name: s.getsockname()[1] for name, s in sockets.items()}


class Site:
    """What all proxies share: the fake backend and auth server, and the certificates."""

    HOSTS = 4  # loopback addresses of the backend: one has not enough ports for 100,000 sessions
    PUSH_MS = 5000

    def __init__(self, folder, build, has_tls=True):
        self.folder, self.build = folder, build
        self.hosts = [net.address() for _ in range(self.HOSTS)]
        self.ports = ports(self.hosts[0], ("imap", "pop3", "smtp", "http", "imap-tls"))
        authority = certs.Authority(os.path.join(folder, "ca"))
        self.certs = {kind: authority.issue(kind, "DNS:proxy.test", kind="rsa" if kind == "rsa" else "ec")
                      for kind in ("ecdsa", "rsa")}
        for _, key in self.certs.values():
            os.chmod(key, 0o644)
        argv = [os.path.join(build, "bench", "fake_backend"), "hosts=" + ",".join(self.hosts),
                f"push_ms={self.PUSH_MS}"] + [f"{name}={port}" for name, port in self.ports.items() if name != "imap-tls"]
        self.backend = process.Process(argv, os.path.join(folder, "fake_backend.log"))
        self.backend.wait_for(lambda: "ready" in self.backend.text(), "the fake backend")
        self.ca = authority.cert
        self.tls = None
        if has_tls:
            self.start_tls(folder, *authority.issue("backend", f"IP:{self.hosts[0]}"))

    def start_tls(self, folder, cert, key):
        """The fake backend behind TLS: another HAProxy, whose time nobody counts."""
        bundle, path = os.path.join(folder, "backend.pem"), os.path.join(folder, "backend-tls.cfg")
        with open(bundle, "w") as f, open(cert) as c, open(key) as k:
            f.write(c.read() + k.read())
        with open(path, "w") as f:
            f.write(f"""
global
  maxconn 8000
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen imap
  bind {self.hosts[0]}:{self.ports["imap-tls"]} ssl crt {bundle}
  server fake {self.hosts[0]}:{self.ports["imap"]}
""")
        self.tls = process.Process(["/usr/sbin/haproxy", "-db", "-f", path], os.path.join(folder, "backend-tls.log"))
        self.tls.wait_for(lambda: process.can_connect(self.hosts[0], self.ports["imap-tls"]), "TLS of the fake backend")

    def pids(self):
        return [self.backend.pid] + ([self.tls.pid] if self.tls else [])

    def stop(self):
        if self.tls:
            self.tls.stop()
        self.backend.stop()


class Peer:
    """One proxy. Subclasses write a configuration and name the command."""

    name = ""
    is_proxy = True
    is_asked_for = False  # compared only by its name
    has_starttls = True

    def __init__(self, site, folder):
        self.site = site
        self.folder = os.path.join(folder, self.name)
        os.makedirs(self.folder, exist_ok=True)
        self.host = net.address()
        self.ports = ports(self.host, LISTENERS)
        self.process = None

    def start(self):
        self.process = process.Process(self.configure(), os.path.join(self.folder, "output.log"))
        for listener, port in self.ports.items():
            self.process.wait_for(lambda h=self.host_of(listener), p=port: process.can_connect(h, p),
                                  f"{self.name} on {listener}")
        return self

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    def host_of(self, listener):
        return self.host

    def address(self, listener):
        return f"{self.host_of(listener)}:{self.ports[listener]}"

    def pids(self):
        return proc.tree(self.process.pid)

    def supports(self, listener, tls):
        return listener in self.ports and (tls != "starttls" or self.has_starttls)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path


class NoProxy(Peer):
    """The ceiling: clients talk to the fake backend itself."""

    name = "none"
    is_proxy = False
    has_starttls = False

    def __init__(self, site, folder):
        super().__init__(site, folder)
        self.host = site.hosts[0]
        self.ports = {p: site.ports[p] for p in ("imap", "pop3", "smtp")}

    def start(self):
        return self

    def pids(self):
        return []


class Nginx(Peer):
    name = "nginx"

    def supports(self, listener, tls):
        return listener not in TO_TLS and super().supports(listener, tls)

    SERVER = """
  server {{
    listen {address}{ssl};
    protocol {protocol};
    {starttls}
    {certificates}
    {auth}
  }}"""

    def server(self, listener):
        protocol, *kinds = LISTENERS[listener]
        pairs = [self.site.certs[k] for k in kinds]
        lines = [f"ssl_certificate {cert}; ssl_certificate_key {key};" for cert, key in pairs]
        return self.SERVER.format(
            address=self.address(listener), ssl="" if is_plain(listener) else " ssl", protocol=protocol,
            starttls="starttls on;" if is_plain(listener) else "", certificates=" ".join(lines),
            auth="smtp_auth plain; proxy_smtp_auth on; xclient off;" if protocol == "smtp" else "")

    def configure(self):
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        path = self.write("nginx.conf", f"""
load_module /usr/lib/nginx/modules/ngx_mail_module.so;
daemon off;
{user}
worker_processes {WORKERS};
pid {self.folder}/nginx.pid;
error_log {self.folder}/nginx.log info;
events {{ worker_connections 8192; }}
mail {{
  server_name proxy.test;
  auth_http {self.site.hosts[0]}:{self.site.ports["http"]}/auth;
  imap_capabilities IMAP4rev1 LITERAL+ SASL-IR ID IDLE UIDPLUS;
  ssl_protocols TLSv1.2 TLSv1.3;
{"".join(self.server(name) for name in LISTENERS)}
}}
""")
        return ["/usr/sbin/nginx", "-p", self.folder, "-c", path, "-e", f"{self.folder}/nginx.log"]


class Haproxy(Peer):
    """TCP mode: it reads no mail protocol, so it can neither offer STARTTLS nor ask who logs in."""

    name = "haproxy"
    has_starttls = False

    def frontend(self, listener):
        protocol, *kinds = LISTENERS[listener]
        crt = ""
        if not is_plain(listener):
            crt = " ssl crt " + self.bundle(listener, kinds)
        return f"""
frontend {listener}
  bind {self.address(listener)}{crt}
  default_backend {protocol}{"-tls" if listener in TO_TLS else ""}
"""

    def bundle(self, listener, kinds):
        """Certificates with their keys; of two kinds, the suffixes tell HAProxy that they belong together."""
        for kind in kinds:
            cert, key = self.site.certs[kind]
            with open(cert) as c, open(key) as k:
                path = self.write(f"{listener}.pem" + (f".{kind}" if len(kinds) > 1 else ""), c.read() + k.read())
        return os.path.join(self.folder, f"{listener}.pem") if len(kinds) > 1 else path

    def configure(self):
        backends = "".join(f"""
backend {protocol}
  server fake {self.site.hosts[0]}:{self.site.ports[protocol]}
""" for protocol in ("imap", "pop3", "smtp")) + f"""
backend imap-tls
  server fake {self.site.hosts[0]}:{self.site.ports["imap-tls"]} ssl verify required ca-file {self.site.ca}
"""
        path = self.write("haproxy.cfg", f"""
global
  nbthread {WORKERS}
  maxconn 8000
  log stdout format raw daemon info
defaults
  mode tcp
  log global
  option tcplog
  timeout connect 10s
  timeout client 1h
  timeout server 1h
{"".join(self.frontend(name) for name in LISTENERS)}
{backends}
""")
        return ["/usr/sbin/haproxy", "-db", "-f", path]


class Dovecot(Peer):
    """Login processes that proxy and are used again. Where users live is a constant: no auth server is asked."""

    name = "dovecot"
    SERVICES = {"imap": "imap-login", "pop3": "pop3-login", "smtp": "submission-login"}

    def __init__(self, site, folder):
        super().__init__(site, folder)
        # Certificates go with local addresses: one address for each set of them.
        self.hosts = {kinds: net.address() for kinds in sorted({tuple(k) for _, *k in LISTENERS.values()})}
        self.syntax = dovecot_syntax.syntax()
        self.run = tempfile.mkdtemp(prefix="mpb-", dir="/tmp")  # UNIX sockets have short names
        os.chmod(self.run, 0o755)

    def stop(self):
        super().stop()
        shutil.rmtree(self.run, ignore_errors=True)

    def host_of(self, listener):
        return self.hosts[tuple(LISTENERS[listener][1:])]

    def certificates(self, kinds):
        return "".join(self.syntax.certificate(*self.site.certs[kind], is_second=i > 0) for i, kind in enumerate(kinds))

    def service(self, protocol):
        listeners = "".join(f"""
  inet_listener {listener} {{
    {self.syntax.listen} = {self.host_of(listener)}
    port = {self.ports[listener]}
    {"" if is_plain(listener) else "ssl = yes"}
  }}""" for listener, (p, *_) in LISTENERS.items() if p == protocol)
        # The standard listeners would take the standard ports.
        off = "".join(f"""
  inet_listener {name} {{
    port = 0
  }}""" for name in {"imap": ["imaps"], "pop3": ["pop3s"], "smtp": ["submission", "submissions"]}[protocol])
        return f"""
service {self.SERVICES[protocol]} {{
  chroot =
  {self.syntax.serve_for_ever}
  process_min_avail = {WORKERS}
  process_limit = {WORKERS}
  client_limit = 8192{listeners}{off}
}}"""

    def configure(self):
        is_root = os.geteuid() == 0
        user = "nobody" if is_root else pwd.getpwuid(os.geteuid()).pw_name
        group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
        ports = self.site.ports
        port = self.syntax.by_protocol({"imap": ports["imap"], "pop3": ports["pop3"], "submission": ports["smtp"]})
        proxied = {"nopassword": "y", "proxy": "y", "host": self.site.hosts[0], "port": port}
        nobody = {"uid": user, "gid": group, "home": "/nonexistent"}
        path = self.write("dovecot.conf", f"""{self.syntax.head()}
base_dir = {self.run}
state_dir = {self.folder}
log_path = {self.folder}/dovecot.log
protocols = imap pop3 submission
ssl = yes
{self.certificates(("ecdsa",))}
{"".join(f"local {host} {{{chr(10)}{self.certificates(kinds)}}}{chr(10)}" for kinds, host in self.hosts.items())}
{self.syntax.cleartext}{self.syntax.no_memory_limit}default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
default_client_limit = 18000
first_valid_uid = 1
hostname = proxy.test
{self.syntax.static("passdb", proxied)}{self.syntax.static("userdb", nobody)}
{"".join(self.service(p) for p in self.SERVICES)}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service auth {{
  user = {"root" if is_root else user}
}}
""")
        return [dovecot_syntax.PROGRAM, "-F", "-c", path]


class Mailproxy(Peer):
    name = "mailproxyd"
    is_instrumented = False
    parts = None  # of the profile of an instrumented one
    to_tls = None  # a second one, for the listeners of TO_TLS

    def listener(self, name):
        protocol, *kinds = LISTENERS[name]
        pairs = [dict(zip(("cert", "key"), self.site.certs[k])) for k in kinds]
        return {"name": name, "protocol": protocol, "address": self.address(name), "allow_plaintext": True,
                "tls": "starttls" if is_plain(name) else "implicit", "tls_options": {"certificates": pairs}}

    def settings(self):
        ports = {p: self.site.ports[p] for p in ("imap", "pop3", "smtp")}
        return {
            "workers": WORKERS,
            "log": [{"target": "file", "path": os.path.join(self.folder, "mailproxyd.log"), "level": "info"}],
            "resolver": {"enabled": False},
            "listeners": [self.listener(name) for name in LISTENERS if name not in TO_TLS],
            "auth": [{"type": "http", "url": f"http://{self.site.hosts[0]}:{self.site.ports['http']}/auth"}],
            "pools": [{"name": "main", "tls": "off", "smtp_auth": True,
                       "backends": [{"name": f"b{i}", "host": host, "ports": ports}
                                    for i, host in enumerate(self.site.hosts)]}],
        }

    def settings_to_tls(self):
        """Of the one that reaches the backend by TLS: the auth server would name another port. Like HAProxy it asks nobody who logs in."""
        pool = {"name": "tls", "tls": "implicit", "ca_file": self.site.ca,
                "backends": [{"name": "t0", "host": self.site.hosts[0], "ports": {"imap": self.site.ports["imap-tls"]}}]}
        return {**self.settings(), "listeners": [self.listener(name) for name in TO_TLS], "auth": [{"type": "backend"}],
                "pools": [pool]}

    def pids(self):
        return proc.tree(self.process.pid) + (proc.tree(self.to_tls.process.pid) if self.to_tls else [])

    def start(self):
        self.proxy = Proxy(self.folder, self.settings())
        if self.is_instrumented:
            self.parts = itertools.count(1)
            os.makedirs(self.proxy.settings["state_dir"], exist_ok=True)
            # The engine may write nowhere else, and makes no FIFO.
            words = [shutil.which("valgrind"), "-q", "--tool=callgrind", "--vgdb=no", "--dump-before=log_set_fd",
                     f"--callgrind-out-file={self.profile('%p')}", self.proxy.program]
            self.proxy.wrapper = ["env", f"LD_PRELOAD={self.site.build}/bench/self_exec.so", "SELF_EXEC=" + "\n".join(words)]
        self.process = self.proxy.start(START_INSTRUMENTED_S if self.is_instrumented else wait.TIMEOUT).process
        if self.site.tls and not self.is_instrumented:
            self.to_tls = Proxy(os.path.join(self.folder, "to-tls"), self.settings_to_tls()).start()
        return self

    def profile(self, pid):
        """Where callgrind writes about a process."""
        return os.path.join(self.proxy.settings["state_dir"], f"callgrind.{pid}")

    def instructions(self):
        """Of the instrumented engine, in user space, since the last call. Its profile is written when it takes a log file that was opened again."""
        part = f"{self.profile(self.proxy.engine_pid())}.{next(self.parts)}"
        os.kill(self.process.pid, signal.SIGUSR1)

        def total():
            with contextlib.suppress(FileNotFoundError), open(part) as f:
                return next((int(line.split()[1]) for line in f if line.startswith("totals:")), None)
            return None
        return wait.until(total, "callgrind's figures", START_INSTRUMENTED_S)

    def stop(self):
        if self.process:
            self.proxy.stop()
            self.process = None
        if self.to_tls:
            self.to_tls.stop()
            self.to_tls = None

    def list_sessions(self):
        """How many it lists."""
        return self.proxy.ctl_run("-o", "tsv", "--no-header", "session", "list").stdout.count("\n")


class MailproxyKeys(Mailproxy):
    """With the private keys in a process of their own."""
    name = "mailproxyd+keys"
    is_asked_for = True

    def settings(self):
        return {**super().settings(), "tls": {"key_process": True}}


class MailproxyPool(Mailproxy):
    """It chooses the backend itself, as a node of a fleet does, instead of an auth server: what the next one is compared with."""
    name = "mailproxyd+pool"
    is_asked_for = True

    def settings(self):
        return {**super().settings(), "auth": [{"type": "backend"}]}


class MailproxyFleet(MailproxyPool):
    """The only node of a fleet, whose Redis on a UNIX socket says where each user belongs. The time of Redis is not the proxy's."""
    name = "mailproxyd+fleet"
    store = None

    def settings(self):
        return {**super().settings(), "fleet": redis.fleet(self.folder, f"unix:{self.store.socket}")}

    def start(self):
        self.store = redis.RedisServer(self.folder).start()
        return super().start()

    def stop(self):
        super().stop()
        if self.store:
            self.store.close()
            self.store = None


PEERS = {p.name: p for p in (NoProxy, Mailproxy, MailproxyKeys, MailproxyPool, MailproxyFleet, Nginx, Haproxy, Dovecot)}
USUAL = [name for name, p in PEERS.items() if not p.is_asked_for]
