"""The documentation page: every operation with a curl line, from the OpenAPI document, nothing from outside.

A county office may have no internet, so nothing is loaded from anywhere. The page and the document hold
no data and need no token, so that a browser can open them; without a configured token they stay closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from api.auth import Authenticators
from api.bodies import MULTIPART

router = APIRouter(include_in_schema=False)

_HOST: Final = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?", re.ASCII)

_STYLE: Final = """
body{font:16px/1.6 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
h2{margin-top:2.5rem;border-bottom:1px solid #ccc}article{margin:1.5rem 0}
h3{font-size:1rem;margin:0}code,pre{font-family:ui-monospace,monospace}
pre{background:#f4f4f4;padding:.6rem;overflow-x:auto;white-space:pre-wrap}
.method{display:inline-block;min-width:3.5rem;font-weight:700;color:#05527a}
table{border-collapse:collapse;font-size:.9rem}td{padding:.1rem .8rem .1rem 0;vertical-align:top}
"""

_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

_INTRO: Final = """
<p>除 <code>/health</code> 外，所有请求都要带访问令牌。
下面的命令假定令牌在环境变量 <code>TOKEN</code> 中。<br>
Everything but <code>/health</code> needs the access token; the lines below expect it in
<code>TOKEN</code>.</p>
<p>完整的机器可读定义 / the full machine-readable definition: <a href="/openapi.json">/openapi.json</a></p>
"""


@router.get("/openapi.json")
def openapi_document(request: Request, _configured: Authenticators) -> JSONResponse:
    """The OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def docs(request: Request, _configured: Authenticators) -> HTMLResponse:
    """The documentation page, with curl lines for the address it was asked for at."""
    host = request.headers.get("host", "")
    shown = host if _HOST.fullmatch(host) else "127.0.0.1"
    return HTMLResponse(docs_page(request.app.openapi(), f"{request.url.scheme}://{shown}"), headers=_HEADERS)


def docs_page(document: Mapping[str, Any], address: str) -> str:
    """The page as HTML."""
    info = document["info"]
    sections = "".join(_sections(document, address))
    return (
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>{_INTRO}{sections}</body></html>"
    )


def _sections(document: Mapping[str, Any], address: str) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            article = _article(method.upper(), path, operation, address)
            by_tag.setdefault(operation["tags"][0], []).append(article)
    for tag, articles in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(articles)}"


def _article(method: str, path: str, operation: Mapping[str, Any], address: str) -> str:
    description = operation.get("description", "").strip()
    shown = f"<pre>{escape(description)}</pre>" if "\n" in description else f"<p>{escape(description)}</p>"
    return (
        f'<article><h3><span class="method">{method}</span> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</h3>{shown}{_parameters(operation)}"
        f"<pre>{escape(curl_line(method, path, operation, address))}</pre></article>"
    )


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{'必填' if item['required'] else ''}</td>"
        f"<td>{escape(item.get('description', ''))}</td></tr>"
        for item in operation.get("parameters", [])
    )
    return f"<table>{rows}</table>" if rows else ""


def curl_line(method: str, path: str, operation: Mapping[str, Any], address: str) -> str:
    """A command that calls the operation; braces stand where an identifier goes."""
    required = [
        f"{item['name']}={{{item['name']}}}"
        for item in operation.get("parameters", [])
        if item["in"] == "query" and item["required"]
    ]
    query = "?" + "&".join(required) if required else ""
    parts = ["curl"]
    if method != "GET":
        parts.append(f"-X {method}")
    if operation.get("security"):
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in operation:
        is_upload = MULTIPART in operation["requestBody"]["content"]
        parts.append(
            "-F file=@data.csv" if is_upload else '-H "Content-Type: application/json" -d @body.json'
        )
    return " ".join([*parts, f"'{address}{path}{query}'"])
