# SPDX-License-Identifier: ISC
"""Certificates for the tests: a CA, server and client certificates, made by openssl."""
import datetime
import os
import subprocess
import tempfile


def _openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


class Authority:
    """A CA in a folder."""

    def __init__(self, folder, name="Test CA"):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.cert = os.path.join(folder, "ca.pem")
        self.key = os.path.join(folder, "ca.key")
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                 "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",  # which Python 3.13 asks for
                 "-keyout", self.key, "-out", self.cert)

    def issue(self, name, sans, kind="ec", usage="serverAuth", days=30):
        """A certificate and key; returns their paths. sans: "DNS:x,IP:1.2.3.4". days: -1 = it ended yesterday."""
        base = os.path.join(self.folder, name)
        newkey = ["-newkey", "rsa:2048"] if kind == "rsa" else \
            ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        _openssl("req", *newkey, "-nodes", "-subj", f"/CN={name}", "-keyout", base + ".key", "-out", base + ".csr")
        with open(base + ".ext", "w") as f:
            f.write(f"subjectAltName={sans}\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n")
        if days < 0:
            self._sign_ended(base, days)
        else:
            _openssl("x509", "-req", "-in", base + ".csr", "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                     "-days", str(days), "-extfile", base + ".ext", "-out", base + ".pem")
        return base + ".pem", base + ".key"

    def _sign_ended(self, base, days):
        """`openssl x509` signs nothing that has ended; `openssl ca` takes any dates."""
        now = datetime.datetime.now(datetime.timezone.utc)
        start, end = (f"{now + datetime.timedelta(days=d):%Y%m%d%H%M%SZ}" for d in (days - 30, days))
        with open(base + ".conf", "w") as f:
            f.write(f"[ca]\ndefault_ca=x\n[x]\ndatabase={base}.index\nnew_certs_dir={self.folder}\nrand_serial=yes\n"
                    "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        open(base + ".index", "w").close()
        _openssl("ca", "-batch", "-notext", "-config", base + ".conf", "-in", base + ".csr", "-cert", self.cert,
                 "-keyfile", self.key, "-startdate", start, "-enddate", end, "-extfile", base + ".ext", "-out", base + ".pem")


def can_resume(first, second):
    """Does the second proxy take a client's TLS session that began at the first? Both have a listener imaps."""
    with tempfile.TemporaryDirectory() as folder:
        saved = os.path.join(folder, "session.pem")
        for p, option in ((first, "-sess_out"), (second, "-sess_in")):
            done = subprocess.run(["openssl", "s_client", "-connect", f"{p.host}:{p.ports['imaps']}", "-ign_eof", option, saved],
                                  input="a LOGOUT\r\n", capture_output=True, text=True, timeout=30)
            assert "* BYE" in done.stdout, done.stdout + done.stderr
        return "Reused, TLSv1.3" in done.stdout
