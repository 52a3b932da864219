"""`nengshao upload`: a person's file to the running service, which alone may write its stores."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

from nengshao.domain.errors import ConfigError, StoreUnavailable
from nengshao.settings import read_secret

_TYPES: Final = {
    ".csv": "text/csv",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".json": "application/json",
}
_WAIT_S: Final = 60.0


def send_upload(address: str, token_file: Path, enterprise: str, file: Path) -> dict[str, Any]:
    """The service's answer once the file's readings are in the books: what became of each, and why.

    Raises: ConfigError (the file, the token, or what the service refuses), StoreUnavailable (no service, or
    not booked in a minute; the same file may be sent again, it counts once).
    """
    if file.suffix.lower() not in _TYPES or not file.is_file():
        raise ConfigError([f"{file}: 需要 CSV、XLSX 或 JSON 文件 / a CSV, XLSX or JSON file is needed"])
    token = read_secret(token_file)
    path = f"/v1/readings?enterprise={urllib.parse.quote(enterprise)}"
    upload = _call(address + path, token, file.read_bytes(), _TYPES[file.suffix.lower()])
    deadline = time.monotonic() + _WAIT_S
    while upload["state"] == "waiting":
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"upload {upload['id']} is still waiting")
        time.sleep(0.2)
        upload = _call(f"{address}/v1/uploads/{upload['id']}", token)
    return upload


def _call(url: str, token: str, body: bytes | None = None, content_type: str = "") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": content_type} if content_type else {})
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  # the operator's own address
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as exc:
        detail = exc.read().decode(errors="replace")
        if exc.code >= 500:
            raise StoreUnavailable(detail) from exc
        raise ConfigError([detail]) from exc
    except OSError as exc:
        raise StoreUnavailable(f"{url}: {exc}") from exc
