# SPDX-License-Identifier: ISC
"""mailproxyd under test, and mailproxyctl to drive it."""
import ctypes
import datetime
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

from . import net, process, schemas, wait
from .terminal import Terminal

BUILD = os.environ.get("MAILPROXY_BUILD") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "build")
SUPPRESSIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tsan.supp")
SANITIZERS = {"ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1",
              "TSAN_OPTIONS": f"halt_on_error=1:second_deadlock_stack=1:suppressions={SUPPRESSIONS}"}
IS_SANITIZED = os.path.basename(os.path.abspath(BUILD)) in ("build-address", "build-thread")
OPERATOR = pwd.getpwuid(os.geteuid()).pw_name  # who the tests' own commands come from
# Each test is one of the list of system calls, too: what is not in it is written to the error output.
ENVIRONMENT = {**SANITIZERS, "MAILPROXY_SANDBOX_REPORT": "1"}
DEFAULT_PORT = {"imap": 143, "pop3": 110, "smtp": 587, "sieve": 4190}


def allowance(seconds):
    """A time that something may take, or that it has to last: sanitizers make programs several times slower."""
    return seconds * 4 if IS_SANITIZED else seconds


def quote(value):
    """A value in libconfig's syntax."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return "{ " + " ".join(f"{k} = {quote(v)};" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(quote(v) for v in value)
        return f"( {inner} )" if any(isinstance(v, dict) for v in value) or not value else f"[ {inner} ]"
    raise TypeError(type(value))


def render(settings):
    return "".join(f"{k} = {quote(v)};\n" for k, v in settings.items())


def cheap_hash(password):
    """SHA-512-crypt with few rounds."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    return crypt(password.encode(), b"$6$rounds=1000$saltsalt$").decode()


class CtlError(Exception):
    def __init__(self, status, output, errors):
        super().__init__(f"mailproxyctl exited with {status}: {errors or output}")
        self.status, self.output, self.errors = status, output, errors


class Proxy:
    """settings: the configuration as dicts and lists; listeners without an address get one. Folders and sockets are filled in."""

    def __init__(self, folder, settings):
        self.folder = folder
        # UNIX sockets have short names
        self.run = tempfile.mkdtemp(prefix="mpx-", dir="/tmp")
        self.host = net.address()
        self.ports = {}
        self.control = os.path.join(self.run, "control.sock")
        self.config = os.path.join(folder, "mailproxy.conf")
        self.log_file = os.path.join(folder, "mailproxyd.log")
        self.program = os.path.join(BUILD, "mailproxyd")
        self.wrapper = []  # a program that starts the daemon, with its arguments
        self.process = None
        self.n_marks = 0  # see whole_log
        os.makedirs(folder, exist_ok=True)
        self.settings = {
            "server_name": "proxy.test",
            "node": "test",
            "workers": 2,
            "state_dir": os.path.join(folder, "state"),
            "run_dir": self.run,
            "log": [{"target": "stderr", "level": "debug"}],
            "control": [{"path": self.control, "admin": ["root", str(os.getuid())]}],
            "timeouts": {"failure_delay": "50ms"},
            # Clients of tests come from loopback, and many of them.
            "limits": {"sessions_per_ip": 0, "failures_before_delay": 0, "failures_before_ban": 0, "users_before_ban": 0,
                       "passwords_before_delay": 0, "log_lines": 0, "log_lines_total": 0, "trusted": []},
        }
        if os.geteuid() == 0:
            self.settings["user"] = "root"
        self.configure(settings)

    def configure(self, settings):
        """Merges settings and writes the file; a reload takes it over."""
        for key, value in settings.items():
            if isinstance(value, dict) and isinstance(self.settings.get(key), dict):
                self.settings[key] = {**self.settings[key], **value}
            else:
                self.settings[key] = value
        for listener in self.settings.get("listeners", []):
            name = listener["name"]
            if "address" not in listener:
                self.ports[name] = net.port(self.host)
                listener["address"] = f"{self.host}:{self.ports[name]}"
        with open(self.config, "w") as f:
            f.write(render(self.settings))

    def start(self, timeout=wait.TIMEOUT):
        self.process = process.Process([*self.wrapper, self.program, "-c", self.config], self.log_file, ENVIRONMENT)
        self.process.wait_for(self.is_ready, "ready", timeout)
        return self

    def is_ready(self):
        try:
            return self.ctl("system", "whoami")["role"] == "admin"
        except CtlError:
            return False

    def begin_stop(self):
        """It need not be waited for alone."""
        if self.process and self.process.is_running():
            self.process.child.terminate()

    def stop(self):
        """Ends it in good order; a status other than 0 or a sanitizer's report is a failure."""
        process, self.process = self.process, None
        status = process.stop(40) if process else None
        shutil.rmtree(self.run, ignore_errors=True)  # also of one that a test has ended itself, or never started
        if not process:
            return
        text = process.text()
        assert status == 0, f"mailproxyd ended with {status}:\n{text[-4000:]}"
        for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer",
                     "session-bad-transition", "sandbox: unlisted system call"):
            assert word not in text, text[text.index(word) - 200:][:6000]

    def die(self):
        """At once, without a word to anybody."""
        engine = self.engine_pid()
        self.process.signal(signal.SIGSTOP)  # or it would start another one
        os.kill(engine, signal.SIGKILL)
        self.process.signal(signal.SIGKILL)
        self.process.child.wait()
        self.process = None  # nobody asks how it ended
        wait.until(lambda: process.has_ended(engine), "the end of its engine")

    def reload(self):
        self.process.signal(signal.SIGHUP)

    def log(self):
        return self.process.text()

    def whole_log(self):
        """With all that has happened until now: a thread writes the lines, a moment later and in their order."""
        self.n_marks += 1
        mark = f"log-mark-{self.n_marks}"
        self.ctl("config", "confirm", "--reason", mark)
        self.wait_for_log(mark)
        return self.log()

    def wait_for_log(self, text, count=1):
        wait.until(lambda: self.log().count(text) >= count, f"{text!r} in the log")

    def times_of(self, event, count):
        """When the last `count` events of a name happened, in seconds, as the log says."""
        self.wait_for_log(f" {event} ", count)
        stamps = re.findall(rf"^(\S+)Z \w+ {event} ", self.log(), re.M)[-count:]
        return sorted(datetime.datetime.fromisoformat(stamp).timestamp() for stamp in stamps)

    def engine_pid(self):
        return self.ctl("system", "status")["pid"]

    def ctl_environment(self, socket=None):
        """Without the size of the terminal that the tests run on: who pipes has none."""
        size = ("COLUMNS", "LINES")
        return {**{k: v for k, v in os.environ.items() if k not in size}, "MAILPROXY_SOCKET": socket or self.control}

    def ctl_run(self, *args, stdin=None, check=True, socket=None, timeout=60):
        """Runs mailproxyctl; returns the finished process."""
        done = subprocess.run([os.path.join(BUILD, "mailproxyctl"), *args], input=stdin, capture_output=True, text=True,
                              timeout=timeout, env=self.ctl_environment(socket))
        if check and done.returncode != 0:
            raise CtlError(done.returncode, done.stdout, done.stderr)
        return done

    def ctl_terminal(self, *args):
        """mailproxyctl on a terminal, where it asks."""
        return Terminal([os.path.join(BUILD, "mailproxyctl"), *args], self.ctl_environment())

    def ctl(self, *args, stdin=None, socket=None):
        """Runs mailproxyctl and returns what it says as JSON."""
        out = self.ctl_run("-o", "json", *args, stdin=stdin, socket=socket).stdout
        if not out.strip():
            return None
        answer = json.loads(out)
        schemas.check(args, answer)
        return answer

    def sessions(self, *args):
        return self.ctl("--allow-empty", "session", "list", *args)

    def add_user(self, name, password=None, is_costly=False, **options):
        args = ["user", "add", name]
        for key, value in options.items():
            args += [f"--{key.replace('_', '-')}", str(value)]
        if password is None:
            args.append("--no-password")
            return self.ctl(*args)
        if is_costly or "keep_plain" in options:
            return self.ctl(*args, "--password-stdin", stdin=password + "\n")
        # What the daemon would make itself takes a tenth of a second of a processor, here and at each first login.
        return self.ctl(*args, "--password-hash-stdin", stdin=cheap_hash(password) + "\n")
