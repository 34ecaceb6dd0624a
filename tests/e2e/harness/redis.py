# SPDX-License-Identifier: ISC
"""Redis servers and Sentinels of the tests' own, and proxies that are a fleet over one."""
import ctypes
import hashlib
import hmac
import os
import shutil
import signal
import subprocess

from . import net, process, wait

PROGRAM = "redis-server"
SECRET = "0123456789abcdef" * 4
AES_256_GCM = 11  # gnutls_cipher_algorithm_t


def missing():
    """Why there is no Redis to be had; None when there is."""
    return None if shutil.which(PROGRAM) and shutil.which("redis-cli") else "no redis-server"


class RedisServer:
    """On an address and a port of its own, and a UNIX socket beside it. settings: more of redis.conf; it keeps nothing on the disk unless they
    say so."""

    def __init__(self, folder, name="redis", password=None, host=None, port=None, **settings):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.name, self.password = folder, name, password
        self.host = host or net.address()
        self.port = port or net.port(self.host)
        self.address = f"{self.host}:{self.port}"
        self.socket = os.path.join("/tmp", f"mpr-{os.getpid()}-{self.port}.sock")
        self.settings = {"bind": self.host, "port": self.port, "unixsocket": self.socket, "dir": folder, "save": '""',
                         "appendonly": "no", "daemonize": "no", "databases": 4, "replica-announce-ip": self.host, "repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1}
        if password:
            self.settings.update({"requirepass": password, "masterauth": password})
        self.settings.update({key.replace("_", "-"): value for key, value in settings.items()})
        self.process = None

    def arguments(self):
        path = os.path.join(self.folder, f"{self.name}.conf")
        with open(path, "w") as f:
            f.writelines(f"{key} {value}\n" for key, value in self.settings.items())
        return [PROGRAM, path]

    def start(self):
        self.process = process.Process(self.arguments(), os.path.join(self.folder, f"{self.name}.log"))
        self.process.wait_for(lambda: self.is_answering(), f"{self.name} answers")
        return self

    def is_answering(self):
        return self.cli("PING", check=False).strip() == "PONG"

    def cli(self, *words, check=True, encoding="utf-8"):
        """What redis-cli says to a command: raw text, lists one element a line. encoding: "latin-1" for bytes of any value."""
        environment = {**os.environ, **({"REDISCLI_AUTH": self.password} if self.password else {})}
        done = subprocess.run(["redis-cli", "--raw", "-h", self.host, "-p", str(self.port), *map(str, words)], capture_output=True, encoding=encoding,
                              timeout=20, env=environment)
        if check and (done.returncode != 0 or done.stdout.startswith(("ERR ", "NOAUTH ", "WRONGPASS "))):
            raise AssertionError(f"redis-cli {words}: {done.stdout}{done.stderr}")
        return done.stdout.rstrip("\n")

    def lines(self, *words):
        return [line for line in self.cli(*words).split("\n") if line]

    def stop(self):
        """It is there and says nothing."""
        self.process.signal(signal.SIGSTOP)

    def cont(self):
        self.process.signal(signal.SIGCONT)

    def kill(self):
        """At once, with all that it has not written."""
        self.process.signal(signal.SIGKILL)
        self.process.child.wait()
        self.process.stop()

    def restart(self):
        """After a kill, or in the middle of everything."""
        if self.process.is_running():
            self.kill()
        return self.start()

    def close(self):
        if self.process and self.process.is_running():
            self.cont()
            self.process.stop()
        if os.path.exists(self.socket):
            os.unlink(self.socket)


class Sentinels:
    """n Sentinels over a primary and its replicas."""

    def __init__(self, folder, primary, name="mail", n=3, down_after_ms=500):
        self.name = name
        self.servers = []
        for i in range(n):
            s = RedisServer(folder, f"sentinel{i}", host=primary.host)
            s.settings = {"bind": s.host, "port": s.port, "dir": folder, "daemonize": "no",
                          "sentinel announce-ip": s.host,
                          "sentinel monitor": f"{name} {primary.host} {primary.port} {n // 2 + 1}"}
            s.settings[f"sentinel down-after-milliseconds {name}"] = down_after_ms
            s.settings[f"sentinel failover-timeout {name}"] = 2000
            if primary.password:
                s.settings[f"sentinel auth-pass {name}"] = primary.password
            arguments = s.arguments
            s.arguments = lambda arguments=arguments: [*arguments(), "--sentinel"]
            self.servers.append(s)

    def start(self, replicas=1):
        for s in self.servers:
            s.start()
        for s in self.servers:
            wait.until(lambda s=s: self._sees(s, replicas), "Sentinels to see each other and the replicas")
        return self

    def _sees(self, s, replicas):
        words = s.lines("SENTINEL", "MASTER", self.name)
        facts = dict(zip(words[::2], words[1::2]))
        return facts["num-other-sentinels"] == str(len(self.servers) - 1) and facts["num-slaves"] == str(replicas)

    @property
    def addresses(self):
        return [s.address for s in self.servers]

    def primary(self):
        """host:port as the first of them tells."""
        return ":".join(self.servers[0].lines("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name))

    def close(self):
        for s in self.servers:
            s.close()


def secret(folder):
    """The file that all nodes of a fleet have."""
    path = os.path.join(folder, "fleet.secret")
    if not os.path.exists(path):
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
            f.write(SECRET)
    return path


def user_key(user):
    """What a user is called in the store."""
    key = hashlib.sha256(SECRET.encode()).digest()
    return "mp:mail:u:" + hmac.new(key, user.lower().encode(), hashlib.sha256).hexdigest()[:32]


def sign(stream, text):
    """As a node of the fleet signs a message for a stream (daemon/fleet/fleet_message.h)."""
    key = hashlib.sha256(SECRET.encode()).digest()
    return hmac.new(key, hashlib.sha256(stream.encode()).digest() + hashlib.sha256(text.encode()).digest(), hashlib.sha256).hexdigest()


class _Datum(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_uint)]


def seal(label, place, text):
    """As a node of the fleet seals a text for a place in the store (daemon/fleet/seal.h)."""
    secret = hashlib.sha256(SECRET.encode()).digest()
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    key = hmac.new(extracted, f"mailproxy fleet {label}".encode() + b"\x01", hashlib.sha256).digest()
    gnutls, cipher, nonce = ctypes.CDLL("libgnutls.so.30"), ctypes.c_void_p(), os.urandom(12)
    assert gnutls.gnutls_aead_cipher_init(ctypes.byref(cipher), AES_256_GCM, ctypes.byref(_Datum(key, len(key)))) == 0
    out, size = ctypes.create_string_buffer(len(text) + 16), ctypes.c_size_t(len(text) + 16)
    assert gnutls.gnutls_aead_cipher_encrypt(cipher, nonce, ctypes.c_size_t(12), place.encode(), ctypes.c_size_t(len(place)), ctypes.c_size_t(16),
                                             text, ctypes.c_size_t(len(text)), out, ctypes.byref(size)) == 0
    gnutls.gnutls_aead_cipher_deinit(cipher)
    return b"\x01" + nonce + out.raw


def fleet(folder, servers, **more):
    """The group for the configuration of each node: the same name and secret. servers: RedisServer, or addresses."""
    servers = servers if isinstance(servers, (list, tuple)) else [servers]
    return {"name": "mail", "servers": [getattr(s, "address", s) for s in servers], "secret_file": secret(folder), **more}
