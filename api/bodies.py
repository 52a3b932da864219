"""Uploaded files: what they are, and their bytes, never read beyond the limit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.errors import BadRequest, NotUtf8, UnknownFormat, UploadEmpty, UploadTooLarge
from nengshao.tables import check_utf8

MULTIPART: Final = "multipart/form-data"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FORMATS: Final[Mapping[str, str]] = {"application/json": "json", "text/csv": "csv", XLSX: "xlsx"}
_SUFFIXES: Final[Mapping[str, str]] = {"json": "json", "csv": "csv", "xlsx": "xlsx"}


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an upload and what they are: "csv", "xlsx" or "json"."""

    raw: bytes
    format: str


def format_of(content_type: str, filename: str | None) -> str:
    """Csv, xlsx or json, by the file's name if it has one, else by its media type.

    Raises: UnknownFormat.
    """
    suffix = (filename or "").rpartition(".")[2].lower()
    found = _SUFFIXES.get(suffix) if filename else _FORMATS.get(content_type)
    if found is None:
        raise UnknownFormat("只接受 CSV、XLSX 或 JSON", "CSV, XLSX or JSON only")
    return found


async def read_body(request: Request, most: int) -> Content:
    """The upload's bytes, from a form's `file` or the body itself.

    Raises: UnknownFormat, UploadTooLarge, UploadEmpty, NotUtf8, BadRequest (a form that cannot be read).
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise UploadTooLarge(f"至多 {most} 字节", f"at most {most} bytes")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = _limited(request, most)
    if content_type == MULTIPART:
        raw, filename = await _read_form_file(request.headers, body)
        found = format_of("", filename)
    else:
        found = format_of(content_type, None)
        raw = b"".join([chunk async for chunk in body])
    if not raw:
        raise UploadEmpty("内容为空", "no bytes")
    if found == "csv":
        try:
            check_utf8(raw)
        except ValueError as exc:
            raise NotUtf8(str(exc)) from exc
    return Content(raw, found)


async def _limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, given up as soon as it is longer than `most` bytes."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise UploadTooLarge(f"至多 {most} 字节", f"at most {most} bytes")
        yield chunk


async def _read_form_file(headers: Headers, body: AsyncGenerator[bytes, None]) -> tuple[bytes, str]:
    """The bytes and name of a form's `file`."""
    try:
        form = await MultiPartParser(headers, body, max_files=1, max_fields=8).parse()
    except MultiPartException as exc:
        raise BadRequest("表单无法识别", f"the form cannot be read: {exc.message}") from exc
    try:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            raise BadRequest("表单缺少 file 文件", "the form has no file called `file`")
        return await part.read(), part.filename or ""
    finally:
        await form.close()
