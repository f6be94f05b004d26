"""The certificate that every server presents where TLS is measured: one, made for the run."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1 on a P-256 key; PEM files."""

    chain: Path
    key: Path
    """PKCS #8, without a password."""

    def client(self) -> ssl.SSLContext:
        """TLS 1.3 and no other, trusting this certificate alone; the ciphers OpenSSL's own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.chain)
        return context


def certificate(directory: Path) -> Certificate | None:
    """Makes it there; None where there is no `openssl` to make it with."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    command = [openssl, "req", "-x509", "-days", "2", "-nodes", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-out", str(made.chain), "-keyout", str(made.key)]
    subprocess.run(command, check=True, capture_output=True)
    return made
