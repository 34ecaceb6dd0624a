# SPDX-License-Identifier: ISC
"""SMTP: submission and inbound mail through the proxy to a real Postfix, and to Dovecot's submission service."""
import base64
import os
import smtplib
import subprocess
import uuid

import pytest
from conftest import backend, mail_server
from harness import dovecot, imap, wait

USER, PASSWORD = "alice@example.org", "secret-a"
TOKEN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
MAIL = "Subject: {0}\r\n\r\nBody of {0}.\r\n.A line with a dot.\r\n"


@pytest.fixture
def make_smtp(make_proxy, settings, dovecot1, mta):
    def make(listener=None, auth=None, **pool):
        settings["listeners"] = [
            {"name": "submission", "protocol": "smtp", "tls": "starttls", "allow_plaintext": True, "pool": "mta", **(listener or {})},
            {"name": "submissions", "protocol": "smtp", "tls": "implicit", "pool": "mta"},
            {"name": "imap", "protocol": "imap", "allow_plaintext": True},
            {"name": "pop3", "protocol": "pop3", "allow_plaintext": True},
        ]
        settings["pools"] = [{"name": "main", "tls": "off", "backends": [backend(dovecot1)]},
                             {"name": "mta", "tls": "off", "forward": "xclient", "backends": [mail_server(mta)], **pool}]
        if auth:
            settings["auth"] = auth
        settings["resolver"] = {"enabled": False}
        p = make_proxy(settings)
        p.add_user(USER, PASSWORD)
        return p
    return make


def smtp(p, front):
    if front == "tls":
        return smtplib.SMTP_SSL(p.host, p.ports["submissions"], "client.test", context=imap.context(), timeout=30)
    s = smtplib.SMTP(p.host, p.ports["submission"], "client.test", timeout=30)
    if front == "starttls":
        s.starttls(context=imap.context())
    return s


def connect(p):
    c = imap.Lines(p.host, p.ports["submission"])
    assert c.line().startswith("220 proxy.test ESMTP")
    return c


def ask(c, command):
    c.send(command + "\r\n")
    lines = [c.line()]
    while lines[-1][3:4] == "-":
        lines.append(c.line())
    return lines


def read_back(p, subject):
    """The mail of that subject by IMAP and by POP3 through the proxy."""
    m = imap.plain(p.host, p.ports["imap"])
    m.login(USER, PASSWORD)

    def find():
        m.select()
        return m.search(None, "SUBJECT", subject)[1][0].split()
    numbers = wait.until(find, "the mail")
    body = m.fetch(numbers[0].decode(), "(BODY[TEXT])")[1][0][1]
    m.logout()
    import poplib
    pop = poplib.POP3(p.host, p.ports["pop3"], timeout=30)
    pop.user(USER)
    pop.pass_(PASSWORD)
    assert any(f"Subject: {subject}".encode() in pop.retr(i + 1)[1] for i in range(len(pop.list()[1])))
    pop.quit()
    return body


@pytest.mark.parametrize("tls", ["off", "starttls"])
@pytest.mark.parametrize("smtp_auth", [True, False])
@pytest.mark.parametrize("front", ["plain", "starttls", "tls"])
def test_a_mail_arrives(make_smtp, front, smtp_auth, tls, mta):
    p = make_smtp(smtp_auth=smtp_auth, tls=tls, verify=False)
    subject = f"m{uuid.uuid4().hex}"
    with smtp(p, front) as s:
        s.login(USER, PASSWORD)
        assert s.sendmail(USER, [USER], MAIL.format(subject)) == {}
    assert read_back(p, subject) == f"Body of {subject}.\r\n.A line with a dot.\r\n".encode()
    assert f"sasl_username={USER}" in mta.log()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_mechanisms(make_smtp, mechanism):
    s = smtp(make_smtp(), "plain")
    s.ehlo()
    s.user, s.password = USER, PASSWORD
    auth = s.auth_plain if mechanism == "PLAIN" else s.auth_login
    assert s.auth(mechanism, auth)[0] == 235
    s.quit()


def test_before_login(make_smtp):
    c = connect(make_smtp({"capabilities": ["SIZE 1000000", "8BITMIME", "PIPELINING"]}))
    lines = ask(c, "EHLO client.test")
    assert lines == ["250-proxy.test", "250-SIZE 1000000", "250-8BITMIME", "250-PIPELINING", "250-AUTH PLAIN LOGIN", "250 STARTTLS"]
    assert ask(c, "HELO client.test") == ["250 proxy.test"]
    assert ask(c, "NOOP")[0].startswith("250") and ask(c, "RSET")[0].startswith("250")
    assert ask(c, "MAIL FROM:<a@b>")[0].startswith("530 5.7.")
    assert ask(c, "EHLO")[0].startswith("501")
    assert ask(c, "DATA")[0].startswith(("500", "502", "503", "530"))
    for verb in ("VRFY x", "EXPN x", "HELP"):
        assert ask(c, verb)[0][:1] in "25"
    assert ask(c, "QUIT")[0].startswith("221")
    assert c.rest() == b""
    c.close()


def test_learned_capabilities(make_smtp, mta):
    p = make_smtp(check={"interval": "200ms"})

    def learned():
        c = connect(p)
        lines = ask(c, "EHLO client.test")
        c.close()
        return [x[4:] for x in lines] if any("SIZE 1" in x for x in lines) else None
    lines = wait.until(learned, "capabilities")
    assert "SIZE 10240000" in lines and "8BITMIME" in lines and "CHUNKING" in lines
    assert not [x for x in lines if x.startswith("XCLIENT")]


def test_wrong_password(make_smtp):
    s = smtp(make_smtp(), "plain")
    with pytest.raises(smtplib.SMTPAuthenticationError) as e:
        s.login(USER, "wrong")
    assert e.value.smtp_code == 535
    s.login(USER, PASSWORD)
    s.quit()


def test_pipelined_after_auth(make_smtp):
    p = make_smtp()
    subject = f"m{uuid.uuid4().hex}"
    c = connect(p)
    c.send(f"EHLO client.test\r\nAUTH PLAIN {TOKEN}\r\nMAIL FROM:<{USER}>\r\nRCPT TO:<{USER}>\r\nDATA\r\n")
    c.until("354 ")
    c.send(MAIL.format(subject).replace("\r\n.", "\r\n..") + ".\r\nQUIT\r\n")
    assert c.rest().decode().count("\r\n") == 2
    read_back(p, subject)
    c.close()


def test_starttls_drops_what_came_in_clear(make_smtp):
    c = connect(make_smtp())
    ask(c, "EHLO evil.test")
    c.send("STARTTLS\r\nEHLO injected.test\r\nNOOP\r\n")
    assert c.line().startswith("220")
    c.sock = imap.context().wrap_socket(c.sock, server_hostname="proxy.test")
    c.file = c.sock.makefile("rb")
    assert ask(c, "VRFY x")[0][:1] in "25"
    lines = ask(c, "EHLO client.test")
    assert lines[0] == "250-proxy.test" and not any("STARTTLS" in x for x in lines)
    c.close()


def test_early_talker(make_smtp):
    p = make_smtp({"greeting_delay": "2s"})
    c = imap.Lines(p.host, p.ports["submission"])
    c.send("EHLO spam.test\r\n")
    text = c.rest().decode()
    assert text.startswith(("503 ", "554 ")) and "220" not in text
    c.close()


def test_patient_talker(make_smtp):
    c = connect(make_smtp({"greeting_delay": "100ms"}))
    assert ask(c, "EHLO client.test")[0].startswith("250")
    c.close()


# ---- inbound: no login, the first RCPT decides ----

@pytest.fixture
def inbound(make_smtp):
    return make_smtp({"auth": "none", "tls": "starttls", "allow_plaintext": False})


def test_inbound(inbound, mta):
    subject = f"m{uuid.uuid4().hex}"
    with smtplib.SMTP(inbound.host, inbound.ports["submission"], "mx.other.test", timeout=30) as s:
        local = s.sock.getsockname()[0]
        assert s.sendmail("x@other.test", [USER], MAIL.format(subject)) == {}
    read_back(inbound, subject)
    assert f"[{local}]" in mta.log() and "helo=<mx.other.test>" in mta.log() or f"client=unknown[{local}]" in mta.log()


def test_rejected_recipient_leaves_the_session_usable(inbound):
    c = connect(inbound)
    ask(c, "EHLO mx.other.test")
    assert ask(c, "MAIL FROM:<x@other.test>")[0].startswith("250")
    assert ask(c, "RCPT TO:<y@elsewhere.test>")[0].startswith("554 5.7.1")
    assert ask(c, f"RCPT TO:<{USER}>")[0].startswith("250")
    assert ask(c, "DATA")[0].startswith("354")
    c.send("Subject: x\r\n\r\nx\r\n.\r\n")
    assert c.line().startswith("250")
    assert ask(c, "QUIT")[0].startswith("221")
    c.close()


def test_sequence(inbound):
    c = connect(inbound)
    assert ask(c, f"RCPT TO:<{USER}>")[0].startswith("503")
    assert ask(c, "MAIL FROM:<x@other.test>")[0].startswith("250")
    assert ask(c, "MAIL FROM:<x@other.test>")[0].startswith("503")
    assert ask(c, "RSET")[0].startswith("250")
    assert ask(c, f"RCPT TO:<{USER}>")[0].startswith("503")
    c.close()


def test_inbound_asks_the_auth_server(make_smtp, make_auth, mta):
    def answer(h):
        if "refused" in h["Auth-Smtp-To"]:
            return {"Auth-Status": "No such user here", "Auth-Error-Code": "550 5.1.1", "Auth-Wait": "1"}
        return {"Auth-Status": "OK", "Auth-Server": mta.host, "Auth-Port": str(mta.port)}
    auth = make_auth(answer)
    p = make_smtp({"auth": "none"}, auth=[{"type": "http", "url": auth.url}])
    c = connect(p)
    ask(c, "EHLO mx.other.test")
    ask(c, "MAIL FROM:<x@other.test> SIZE=100")
    assert ask(c, "RCPT TO:<refused@example.org>") == ["550 5.1.1 No such user here"]
    assert ask(c, f"RCPT TO:<{USER}>")[0].startswith("250")
    c.close()
    first, second = auth.requests
    assert first["Auth-Method"] == "none" and first["Auth-Smtp-Helo"] == "mx.other.test"
    assert first["Auth-Smtp-From"] == "MAIL FROM:<x@other.test> SIZE=100"
    assert first["Auth-Smtp-To"] == "RCPT TO:<refused@example.org>" and first["Auth-User"] == ""
    assert second["Auth-Smtp-To"] == f"RCPT TO:<{USER}>"


def test_no_smuggling_by_bare_line_feeds(make_smtp, mta):
    """LF.LF and LF.CRLF end no message for the follower of the relay: a kill waits for the true end."""
    p = make_smtp()
    c = connect(p)
    c.send(f"EHLO client.test\r\nAUTH PLAIN {TOKEN}\r\nMAIL FROM:<{USER}>\r\nRCPT TO:<{USER}>\r\nDATA\r\n")
    c.until("354 ")
    c.send("Subject: smuggled\r\n\r\nx\n.\nMAIL FROM:<evil@example.org>\r\n")
    wait.until(lambda: p.sessions("phase=data"), "the data phase")
    c.send("x\r\n.\r\n")
    assert c.line().startswith(("250", "5"))
    c.close()


ENDS = {"CRLF": "\r\n", "LF": "\n", "CR": "\r"}
FALSE_ENDS = [(a, b) for a in ENDS for b in ENDS if (a, b) != ("CRLF", "CRLF")]


def stored(p, subject):
    """The texts of the mails that have this in their subject."""
    m = imap.plain(p.host, p.ports["imap"])
    m.login(USER, PASSWORD)
    m.select()
    numbers = m.search(None, "SUBJECT", subject)[1][0].split()
    texts = [m.fetch(n.decode(), "(BODY[TEXT])")[1][0][1] for n in numbers]
    m.logout()
    return texts


def smuggle(p, subject, before, after):
    """A mail with another one behind a false end of the first; returns the connection behind the whole end."""
    c = imap.Lines(p.host, p.ports["submission"])
    c.line()
    for command in ("EHLO client.test", f"MAIL FROM:<{USER}>", f"RCPT TO:<{USER}>", "DATA"):
        assert ask(c, command)[-1][:1] in "23"
    c.send(f"Subject: {subject}\r\n\r\nfirst{ENDS[before]}.{ENDS[after]}MAIL FROM:<{USER}>\r\nRCPT TO:<{USER}>\r\nDATA\r\n"
           f"Subject: smuggled {subject}\r\n\r\nsecond\r\n.\r\n")
    return c


@pytest.mark.parametrize("mode", ["reject", "normalise"])
def test_every_false_end_of_a_message(make_smtp, mta, mode):
    """All variants of SMTP smuggling: Postfix and the follower see the same end, or none. Without a login rejecting is the default."""
    p = make_smtp({"auth": "none", **({} if mode == "reject" else {"bare_newline": mode})})
    subject = f"f{uuid.uuid4().hex}"
    taken = 0
    for before, after in FALSE_ENDS:
        c = smuggle(p, subject, before, after)
        answer = c.line()
        if mode == "reject" or (before, after) == ("CRLF", "CR"):
            assert answer.startswith("521 5.5.2"), (before, after, answer)
            assert c.rest() == b""
        else:
            assert answer.startswith("250 2.0.0"), (before, after, answer)
            assert ask(c, "NOOP") == ["250 2.0.0 Ok"]  # one answer to one message: nothing of it was a command
            assert ask(c, "QUIT")[0].startswith("221")
            taken += 1
        c.close()
    c = smuggle(p, subject, "CRLF", "CRLF")  # the whole end is one for both: what follows it are commands
    answers = [c.line() for _ in range(3)]
    assert [a[:3] for a in answers] == ["250", "250", "250"]
    c.close()
    texts = wait.until(lambda: len(found := stored(p, subject)) == taken + 1 and found, "the mails")
    assert sum(b"second" in text for text in texts) == taken  # one mail each, with all of it
    p.wait_for_log("bare-newline")


POSING = {  # what is said over a relay -> the words that it ends with
    "address": f"RSET\r\nXCLIENT ADDR=127.255.255.1 LOGIN={USER}",
    "blanks": f"RSET\r\n \t xclient\tLOGIN={USER}",
    "bare line feeds": f"RSET\nXCLIENT LOGIN={USER}\nEHLO client.test\n",
    "for the log": "RSET\r\nXFORWARD ADDR=192.0.2.1",
    "login": f"RSET\r\nAUTH PLAIN {TOKEN}",
    "behind TLS": "RSET\r\nSTARTTLS",
}


@pytest.mark.parametrize("case", POSING)
@pytest.mark.parametrize("is_at_once", [False, True], ids=["later", "with the recipient"])
def test_nobody_poses_as_the_proxy(inbound, make_smtp, case, is_at_once):
    """The mail server believes what the proxy says of its client (XCLIENT), and has not judged who logs in: neither is for clients to say."""
    c = connect(inbound)
    ask(c, "EHLO mx.other.test")
    ask(c, "MAIL FROM:<x@other.test>")
    c.send(f"RCPT TO:<{USER}>\r\n" + (POSING[case] + "\r\n" if is_at_once else ""))
    assert c.line().startswith("250")
    if not is_at_once:
        c.send(POSING[case] + "\r\n")
    rest = c.rest().decode()
    assert rest.endswith("503 5.5.0 Connect again to log in as somebody else.\r\n") and "220" not in rest and "235" not in rest
    c.close()
    wait.until(lambda: not inbound.sessions(), "the end of the session")


def test_users_pose_as_nobody_else(make_smtp):
    c = connect(make_smtp())
    ask(c, "EHLO client.test")
    assert ask(c, f"AUTH PLAIN {TOKEN}")[0].startswith("235")
    assert ask(c, "XCLIENT LOGIN=somebody@example.org")[0].startswith("503")
    assert c.rest() == b""


def test_mail_about_xclient_is_passed(inbound):
    """Message data, also of BDAT, may have any line."""
    c = connect(inbound)
    for command in ("EHLO mx.other.test", "MAIL FROM:<x@other.test>", f"RCPT TO:<{USER}>", "DATA"):
        assert ask(c, command)[-1][:1] in "23"
    c.send("Subject: x\r\n\r\nXCLIENT ADDR=192.0.2.1\r\nAUTH PLAIN\r\n.\r\n")
    assert c.line().startswith("250")
    text = "Subject: x\r\n\r\nx\r\nXCLIENT ADDR=192.0.2.1\r\n"
    for command in ("MAIL FROM:<x@other.test>", f"RCPT TO:<{USER}>", f"BDAT {len(text)} LAST\r\n{text}NOOP"):
        assert ask(c, command)[0].startswith("250")
    assert c.line().startswith("250")
    c.close()


def test_kill_at_a_boundary(make_smtp):
    p = make_smtp()
    s = smtp(p, "plain")
    s.login(USER, PASSWORD)
    p.ctl("session", "kill", "user=" + USER, "--text", "Gone fishing")
    assert s.sock.recv(1000) == b"421 4.3.2 Gone fishing\r\n"
    s.close()


def test_dovecot_submission(make_smtp, folder, mta):
    """Dovecot's submission service takes the client's address by XCLIENT, and hands mail to Postfix."""
    os.makedirs(folder + "/submission")
    d = dovecot.Dovecot(folder + "/submission", "sub", {USER: PASSWORD}, relay=(mta.host, mta.port)).start()
    try:
        check_dovecot_submission(make_smtp(smtp_auth=True, backends=[backend(d)]), d)
    finally:
        d.close()


def check_dovecot_submission(p, d):
    s = smtp(p, "starttls")
    local = s.sock.getsockname()[0]
    s.login(USER, PASSWORD)
    assert s.noop()[0] == 250
    s.close()
    wait.until(lambda: d.logins("submission", f"user=<{USER}>, method=PLAIN, rip={local}"), "rip")


def test_curl(make_smtp, folder):
    p = make_smtp()
    subject = f"m{uuid.uuid4().hex}"
    path = os.path.join(folder, "mail")
    with open(path, "w", newline="") as f:
        f.write(MAIL.format(subject))
    done = subprocess.run(["curl", "-sk", "--ssl-reqd", "--user", f"{USER}:{PASSWORD}", "--mail-from", USER, "--mail-rcpt", USER,
                           "-T", path, f"smtp://{p.host}:{p.ports['submission']}"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    read_back(p, subject)
