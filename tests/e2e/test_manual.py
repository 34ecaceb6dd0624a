# SPDX-License-Identifier: ISC
"""The examples of mailproxy-control(7), run as they stand there."""
import os
import re
import subprocess

import pytest
from harness.proxy import BUILD
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


MANUALS = sorted(name for name in os.listdir(os.path.dirname(PAGE)) if re.fullmatch(r".*\.\d", name))


@pytest.mark.parametrize("name", MANUALS)
def test_examples_are_safe_in_a_shell(name):
    """A > that is part of a filter would write a file, and zsh and fish refuse a * that matches none: both stand in quotes."""
    with open(os.path.join(os.path.dirname(PAGE), name)) as f:
        text = f.read().replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")
    lines = re.findall(r"^(?:\\f\(CW|\.B \"?)?(mailproxyctl .*?)(?:\\fR|\")?$", text, re.MULTILINE)
    assert lines or name not in ("mailproxyctl.8", "mailproxy.7", "mailproxy-runbook.7", "mailproxy-fleet.7")
    for line in lines:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
        assert not re.search(r"[*?~]|[a-z]\S*[<>!]", bare), line


def test_help_fits_a_terminal():
    """No line of help is longer than 80 columns, unless a word is."""
    ctl = os.path.join(BUILD, "mailproxyctl")
    table = subprocess.run([ctl, "help"], capture_output=True, text=True, check=True).stdout
    nouns = [line.split()[0] for line in table.split("nouns and their verbs:\n")[1].split("\n\n")[0].splitlines() if not line.startswith("   ")]
    assert len(nouns) > 10
    for noun in [None, *nouns]:
        text = subprocess.run([ctl, *([noun] if noun else []), "--help"], capture_output=True, text=True, check=True).stdout
        verbs = [line.split()[0] for line in text.split("\n\n")[1].splitlines() if line.startswith("  ") and not line.startswith("   ")] if noun else []
        for page in [text] + [subprocess.run([ctl, noun, v, "--help"], capture_output=True, text=True, check=True).stdout for v in verbs]:
            prose = page.split("\nexamples:\n")[0]
            assert [line for line in prose.splitlines() if len(line) > 80 and not line.startswith("usage:")] == []
