"""Errors as `application/problem+json` (RFC 9457): one table from error class to answer.

A problem carries `type`, `title` (English), `title_zh`, `status`, `detail` (Chinese first, then English)
and `instance`. What went wrong inside is for the log, never for the answer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from nengshao.domain import errors

MEDIA_TYPE: Final = "application/problem+json"

_log: Final = logging.getLogger(__name__)

_RETRY_AFTER_S: Final = 5
"""What a client is told to wait when a store does not say how long."""


class ApiError(errors.NengshaoError):
    """A request that is answered with a problem; both texts are shown to the caller."""

    def __init__(self, detail_zh: str, detail_en: str) -> None:
        self.detail = f"{detail_zh} / {detail_en}"
        super().__init__(detail_en)


class NotAuthenticated(ApiError):
    """No token, or not the right one."""


class AccessNotConfigured(ApiError):
    """The service was started without a token, so nobody can be let in."""


class NotFound(ApiError):
    """There is no such thing, or it is not the caller's to see."""


class NotReplayable(ApiError):
    """The entry's raw bytes were not kept."""


class UploadTooLarge(ApiError):
    """The body is larger than the service takes."""


class UploadEmpty(ApiError):
    """The body, or the file in it, has no bytes."""


class UnknownFormat(ApiError):
    """The upload is none of the formats that are read."""


class NotUtf8(ApiError):
    """A CSV file in another encoding; the reason says where."""

    def __init__(self, reason: str) -> None:
        super().__init__("文件不是 UTF-8", "not UTF-8")
        self.detail = reason


class RowsNotValid(ApiError):
    """Rows that cannot be taken; a line for each thing that is wrong with them."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("数据不符合要求", "rows not valid")
        self.detail = "\n".join(problems)


class BadRequest(ApiError):
    """Well-formed parameters that cannot be answered: a window too long, an unknown cursor."""


class NotAllowed(ApiError):
    """The caller may see it, but not decide it."""


class AlreadyDecided(ApiError):
    """It is not open any more."""


class NotPossible(ApiError):
    """What the books hold forbids it; the problems say what."""

    def __init__(self, error: errors.ConfigError) -> None:
        super().__init__("无法办理", "not possible")
        self.detail = "\n".join(error.problems)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an error class is answered."""

    status: int
    slug: str
    title: str
    title_zh: str


ANSWERS: Final[Mapping[type[Exception], Answer]] = {
    NotAuthenticated: Answer(401, "not-authenticated", "Authentication required", "需要访问令牌"),
    AccessNotConfigured: Answer(503, "access-not-configured", "No access configured", "服务未配置访问令牌"),
    NotFound: Answer(404, "not-found", "Not found", "未找到"),
    NotAllowed: Answer(403, "not-allowed", "Not allowed", "无权办理"),
    AlreadyDecided: Answer(409, "already-decided", "Already decided", "已经办理"),
    NotPossible: Answer(409, "not-possible", "Not possible", "无法办理"),
    NotReplayable: Answer(409, "not-replayable", "Cannot be replayed", "无法重放"),
    UploadTooLarge: Answer(413, "upload-too-large", "Upload too large", "上传内容过大"),
    UnknownFormat: Answer(415, "unknown-format", "Unknown upload format", "无法识别的上传格式"),
    UploadEmpty: Answer(422, "upload-empty", "Empty upload", "上传内容为空"),
    NotUtf8: Answer(422, "not-utf-8", "File not in UTF-8", "文件不是 UTF-8"),
    RowsNotValid: Answer(422, "rows", "Rows not valid", "数据不符合要求"),
    BadRequest: Answer(422, "bad-request", "Request cannot be answered", "请求无法处理"),
    RequestValidationError: Answer(422, "validation", "Parameters not valid", "参数不符合要求"),
    errors.StoreUnavailable: Answer(503, "store-unavailable", "Storage unavailable", "存储暂不可用"),
    errors.LeaseLost: Answer(503, "lease-lost", "Another process has taken over", "已由其他进程接管"),
    errors.StoreRejected: Answer(500, "store-rejected", "Storage refused the data", "存储拒绝该数据"),
    errors.ConfigError: Answer(500, "configuration", "Configuration cannot be used", "配置无法使用"),
    errors.NengshaoError: Answer(500, "internal", "Internal error", "内部错误"),
    Exception: Answer(500, "internal", "Internal error", "内部错误"),
}
"""The one table of HTTP codes. An error is answered by the nearest of its classes that stands here."""

_DETAILS: Final[Mapping[type[Exception], str]] = {
    RequestValidationError: "见 errors / see errors",
    errors.StoreUnavailable: "请稍后重试 / try again later",
    errors.LeaseLost: "请稍后重试 / try again later",
}

_STATUS_ZH: Final = {404: "没有这个地址", 405: "该地址不支持此方法"}


class FieldProblem(BaseModel):
    """One parameter that is not valid."""

    loc: list[str | int] = Field(description="参数位置 / where the parameter stands")
    msg: str = Field(description="原因 / what is wrong with it")


class Problem(BaseModel):
    """错误答复（RFC 9457）/ an error's answer."""

    type: str = Field(description="错误类型标识 / identifies the kind of problem")
    title: str = Field(description="英文标题 / title in English")
    title_zh: str = Field(description="中文标题 / title in Chinese")
    status: int = Field(description="HTTP 状态码 / HTTP status")
    detail: str = Field(description="说明，先中文后英文 / explanation, Chinese first")
    instance: str = Field(description="请求路径 / path of the request")
    errors: list[FieldProblem] | None = Field(None, description="逐项参数错误 / what is not valid")


def answer_for(error: type[Exception]) -> Answer:
    """The row of the nearest class of `error` in the table; every exception has one."""
    return next(ANSWERS[cls] for cls in error.__mro__ if cls in ANSWERS)


def problem_of(error: Exception, path: str) -> Problem:
    """The problem that `error` is answered with on `path`."""
    answer = answer_for(type(error))
    return Problem(
        type=f"urn:nengshao:problem:{answer.slug}",
        title=answer.title,
        title_zh=answer.title_zh,
        status=answer.status,
        detail=_detail(error),
        instance=path,
        errors=_field_problems(error.errors()) if isinstance(error, RequestValidationError) else None,
    )


def _detail(error: Exception) -> str:
    if isinstance(error, ApiError):
        return error.detail
    known = (_DETAILS[cls] for cls in type(error).__mro__ if cls in _DETAILS)
    return next(known, "原因已记录在服务日志 / the reason is in the service's log")


def _field_problems(found: Sequence[Any]) -> list[FieldProblem]:
    return [
        FieldProblem(loc=list(item["loc"]), msg=item["msg"].removeprefix("Value error, ")) for item in found
    ]


def headers_of(error: Exception) -> dict[str, str]:
    """Headers that the answer to `error` needs: who is asked for, how long to wait."""
    if isinstance(error, NotAuthenticated):
        return {"WWW-Authenticate": 'Bearer realm="nengshao"'}
    if isinstance(error, errors.StoreUnavailable):
        return {"Retry-After": str(math.ceil(error.retry_after or _RETRY_AFTER_S))}
    return {"Retry-After": str(_RETRY_AFTER_S)} if isinstance(error, errors.LeaseLost) else {}


def _response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _answer(request: Request, error: Exception) -> JSONResponse:
    problem = problem_of(error, request.url.path)
    # Errors that nobody planned leave the application after the answer, and the server logs them.
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and isinstance(error, errors.NengshaoError):
        _log.error("%s %s answered %d", request.method, problem.instance, problem.status, exc_info=error)
    return _response(problem, headers_of(error))


def _answer_http(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses: an unknown address, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class
    title = HTTPStatus(error.status_code).phrase
    title_zh = _STATUS_ZH.get(error.status_code, "请求无法处理")
    problem = Problem(
        type="about:blank", title=title, title_zh=title_zh, status=error.status_code,
        detail=f"{title_zh} / {title}", instance=request.url.path,
    )  # fmt: skip
    return _response(problem, error.headers)


def install(app: FastAPI) -> None:
    """Let every error that leaves a handler be answered by this table."""
    for error in ANSWERS:
        app.add_exception_handler(error, _answer)
    app.add_exception_handler(HTTPException, _answer_http)
