"""A throw-away authority and what it signs, made by openssl, which deploy's scripts need anyway."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path


class Authority:
    """Signs for two days."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self.certificate, self._key = folder, folder / "ca.crt", folder / "ca.key"
        _openssl("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.certificate,
                 "-days", "2", "-subj", "/CN=throw-away authority")  # fmt: skip

    def sign(self, name: str, *, file: str, address: str = "") -> Signed:
        """A certificate for that CN and, of a server, that IP address."""
        request, extensions = self._folder / f"{file}.csr", self._folder / f"{file}.ext"
        signed = Signed(self._folder / f"{file}.crt", self._folder / f"{file}.key")
        subject = name.replace("/", r"\/")
        _openssl("req", "-new", *_KEY, "-keyout", signed.key, "-out", request, "-subj", f"/CN={subject}")
        extensions.write_text(f"subjectAltName=IP:{address}" if address else "", encoding="ascii")
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
                 "-CAcreateserial", "-days", "2", "-extfile", extensions,
                 "-out", signed.certificate)  # fmt: skip
        return signed


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
