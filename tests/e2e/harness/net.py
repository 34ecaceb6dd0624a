# SPDX-License-Identifier: ISC
"""Addresses and ports that no other run on this machine uses."""
import itertools
import os
import random
import socket
import threading

_count = itertools.count(1)
_lock = threading.Lock()
_given = set()


def address():
    """A loopback address of this process's own: ports on it collide with nobody's. All are written in 15 characters, so that
    screens with them look alike."""
    pid = os.getpid()
    with _lock:
        n = next(_count)
    return f"127.{100 + pid // 155 % 155}.{100 + pid % 155}.{100 + n % 155}"


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_free(host, number):
    with socket.socket(family(host)) as s:
        try:
            s.bind((host, number))
        except OSError:
            return False
    return True


def port(host):
    """A port that is free on host now, and that nobody was given before; nobody else binds there. IPv6 has one loopback address for
    everybody: there it is none that the kernel gives to whoever connects."""
    while True:
        if family(host) == socket.AF_INET6:
            number = random.randrange(10000, 32000)
            if not _is_free(host, number):
                continue
        else:
            with socket.socket(family(host)) as s:
                s.bind((host, 0))
                number = s.getsockname()[1]
        with _lock:
            if (host, number) not in _given:
                _given.add((host, number))
                return number
