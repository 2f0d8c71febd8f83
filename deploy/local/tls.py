"""TLS for this machine only: a CA whose key is thrown away, and one certificate for the loopback."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

NAMES = ("localhost", "127.0.0.1", "::1")
LEAST_LEFT = timedelta(days=30)


class LocalTls:
    """The files of a local CA (`ca_file`) and of a server it vouches for (`cert_file`, `key_file`)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.ca_file = self.directory / "ca.pem"
        self.cert_file = self.directory / "cert.pem"
        self.key_file = self.directory / "key.pem"

    def ensure(self) -> Self:
        """Make the files unless good ones are there."""
        if not self.is_good(datetime.now(UTC)):
            self._issue()
        return self

    def context(self) -> ssl.SSLContext:
        """A client's context that trusts this CA and no other."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def _issue(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        ca = trustme.CA()
        leaf = ca.issue_cert(*NAMES)
        self.key_file.unlink(missing_ok=True)
        self.key_file.touch(mode=0o600)
        leaf.private_key_pem.write_to_path(str(self.key_file))
        self.cert_file.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        ca.cert_pem.write_to_path(str(self.ca_file))

    def is_good(self, now: datetime) -> bool:
        """True where the files are there, belong together and stay valid for a while."""
        try:
            ca = x509.load_pem_x509_certificate(self.ca_file.read_bytes())
            cert = x509.load_pem_x509_certificate(self.cert_file.read_bytes())
            cert.verify_directly_issued_by(ca)
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ValueError, InvalidSignature):  # ssl.SSLError is an OSError
            return False
        return min(ca.not_valid_after_utc, cert.not_valid_after_utc) - now > LEAST_LEFT

    def __enter__(self) -> Self:
        return self.ensure()

    def __exit__(self, *_: object) -> None:
        """The files stay: they are used again."""
