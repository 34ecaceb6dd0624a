# SPDX-License-Identifier: ISC
"""The examples of mailproxy-control(7), run as they stand there."""
import os
import re
import subprocess

import pytest
from test_control import logged_in

USER, PASSWORD = "u1@example.org", "pw"
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "man", "mailproxy-control.7")
SOCKET = "/run/mailproxy/control.sock"


def example(title, control):
    """The text below a title as man(1) shows it, with another socket."""
    with open(PAGE) as f:
        text = re.search(rf"^\.SS {title}\n\.nf\n\\f\(CW(.*?)\\fR\n\.fi$", f.read(), re.MULTILINE | re.DOTALL)[1]
    text = text.replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")
    assert SOCKET in text
    return text.replace(SOCKET, control)


@pytest.fixture
def proxy(make_proxy, settings):
    p = make_proxy(settings)
    p.add_user(USER, PASSWORD)
    return p


@pytest.mark.parametrize("title, command", [("Python", ["/usr/bin/python3", "-c"]), ("socat and jq", ["/bin/sh", "-ec"])])
def test_example(proxy, title, command):
    client = logged_in(proxy)
    session, = proxy.sessions("state=relay")
    done = subprocess.run([*command, example(title, proxy.control)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    want = f"{session['id']} {USER}\n" if title == "Python" else f'["{session["id"]}","{USER}","{session["backend"]}"]\n'
    assert done.stdout == want
    client.close()
