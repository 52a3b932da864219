"""One bucket of one InfluxDB 2.x server: lines in, tables out, its errors as ours."""

from __future__ import annotations

import datetime as dt
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from typing import Any, Final, TypeVar

import polars as pl
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.dialect import Dialect
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from nengshao.domain.errors import StoreUnavailable
from nengshao.stores.influx_text import PIECE_BYTES, pieces_of, table_of

BODY_LINES: Final = 10_000
"""Lines per request: some 1 MB."""

_AHEAD: Final = 3
"""Most pieces of an answer that wait to be parsed; then the server waits."""

PLAIN_CSV: Final = Dialect(  # type: ignore[no-untyped-call]  # the client is typed in part
    annotations=[], header=True, delimiter=",", date_time_format="RFC3339Nano"
)

_DROPPED: Final = re.compile(r"partial write: .* dropped=(\d+)", re.DOTALL)
_UNREADABLE: Final = re.compile(r"unable to parse|partial write")


S = TypeVar("S")
T = TypeVar("T")


class InfluxServer:
    """A bucket. Safe to use from several threads: the client keeps a pool of connections."""

    def __init__(self, url: str, token: str, org: str, bucket: str, *, timeout_s: float = 60.0) -> None:
        self.bucket: Final = bucket
        self._org: Final = org
        # gzip stays off: on loopback it only costs, elsewhere a proxy may do it.
        # Any: the client is typed in part.
        self._client: Any = InfluxDBClient(url=url, token=token, org=org, timeout=round(timeout_s * 1000))
        self._writer: Any = self._client.write_api(write_options=SYNCHRONOUS)
        self._reader: Any = self._client.query_api()
        self._sender: Final = ThreadPoolExecutor(1, thread_name_prefix="nengshao-influx")

    def ensure_bucket(self) -> None:
        """Make the bucket, without a retention limit, if it does not exist. Raises: StoreUnavailable."""
        for_ever = {"type": "expire", "everySeconds": 0}
        with _translated():
            buckets = self._client.buckets_api()
            if buckets.find_bucket_by_name(self.bucket) is not None:
                return
            try:
                buckets.create_bucket(bucket_name=self.bucket, retention_rules=for_ever)
            except ApiException:
                # Processes that start together all find none; one of them makes it.
                if buckets.find_bucket_by_name(self.bucket) is None:
                    raise

    def write(self, bodies: Iterable[pl.DataFrame]) -> list[int]:
        """Store lines (row, field, ts, line), in their order; the rows that the server will never take.

        While one body is on its way, `bodies` may make the next.
        Raises: StoreUnavailable; then any of the lines may have been stored.
        """
        sent = [self._sender.submit(self._write_body, body) for body in bodies]
        wait(sent)  # nothing is on its way any more, whatever became of it
        return [row for body in sent for row in body.result()]

    def _write_body(self, body: pl.DataFrame) -> list[int]:
        """Halve a refused body until the offenders are found: a partial write names only the first of them.

        Sorted by field and time, offenders are neighbours, since a conflict of types holds for one field of
        one shard (a stretch of time). Lines of one key keep their order, so that the same one stays the last.
        """
        dropped = self._dropped_of(body)
        if dropped == 0:
            return []
        if body.height in {1, dropped}:  # all of it, or the one line there is
            rows: list[int] = body["row"].to_list()
            return rows
        ordered = body.sort("field", "ts", maintain_order=True)
        half = body.height // 2
        return self._write_body(ordered.head(half)) + self._write_body(ordered.slice(half))

    def _dropped_of(self, body: pl.DataFrame) -> int | None:
        """Send the lines: how many were dropped while the others were stored; None: not known."""
        try:
            with _translated(is_refusal=_is_refusal):
                self._writer.write(self.bucket, self._org, body["line"].str.join("\n").item().encode())
        except ApiException as refusal:
            counted = _DROPPED.search(_text(refusal))
            return int(counted[1]) if counted else None
        return 0

    def read(
        self,
        flux: str,
        schema: Mapping[str, type[pl.DataType]],
        refined: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows,
    ) -> pl.DataFrame:
        """The rows that a Flux query yields, as `schema`, then `refined` a piece at a time.

        While one piece of the answer arrives, those before are parsed; never more of the text than some
        pieces is held.
        Raises: StoreUnavailable.
        """
        with _translated(), closing(self._reader.query_raw(flux, dialect=PLAIN_CSV)) as answer:
            pieces = pieces_of(answer.stream(PIECE_BYTES))
            return pl.concat(_mapped_beside(lambda piece: refined(table_of(piece, schema)), pieces))

    def ping(self) -> None:
        """Ask something that costs nothing. Raises: StoreUnavailable."""
        self.read('buckets() |> limit(n: 1) |> keep(columns: ["name"])', {"name": pl.String})

    def delete(self, measurement: str, tags: Mapping[str, str], start: int, end: int) -> None:
        """Delete what has exactly these tags, at start <= time <= end. Raises: StoreUnavailable."""
        conditions = {"_measurement": measurement} | dict(tags)
        predicate = " AND ".join(f'{name}="{_quoted(value)}"' for name, value in conditions.items())
        with _translated():
            self._client.delete_api().delete(_utc(start), _utc(end), predicate, bucket=self.bucket)

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        self._sender.shutdown()
        self._writer.close()
        self._client.close()


def _mapped_beside(function: Callable[[S], T], items: Iterator[S]) -> list[T]:
    """`function` of each item, in a thread of its own while the next items are awaited here."""
    results: list[T] = []
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="nengshao-parse") as beside:
        for item in items:
            if len(waiting) == _AHEAD:
                results.append(waiting.popleft().result())
            waiting.append(beside.submit(function, item))
    return results + [future.result() for future in waiting]


def _utc(ts: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ts, dt.UTC)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _text(error: ApiException) -> str:
    body = error.body or error.reason or ""
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body)


def _is_refusal(error: ApiException) -> bool:
    """Whether the server says that lines are wrong or too many at once, rather than the request as such."""
    return error.status == 413 or (error.status in {400, 422} and bool(_UNREADABLE.search(_text(error))))


@contextmanager
def _translated(is_refusal: Callable[[ApiException], bool] | None = None) -> Iterator[None]:
    """The client's errors as StoreUnavailable, but for those that `is_refusal` picks.

    A wrong token, organisation or bucket is "unavailable" too: an operator can mend it, and until then
    readings wait instead of ending in quarantine.
    """
    try:
        yield
    except ApiException as error:
        if is_refusal is not None and is_refusal(error):
            raise
        raise StoreUnavailable(_explained(error), retry_after=_retry_after(error)) from error
    except (HTTPError, OSError) as error:
        raise StoreUnavailable(f"InfluxDB 无法连接 / cannot be reached: {error}") from error


def _explained(error: ApiException) -> str:
    hints = {
        401: "令牌无效或无权限，请检查设置 / the token is not accepted, check the settings",
        403: "令牌无权限，请检查设置 / the token may not do this, check the settings",
        404: "组织或存储桶不存在，请检查设置 / no such organisation or bucket, check the settings",
        429: "服务器繁忙 / busy",
    }
    hint = hints.get(int(error.status or 0), "")
    return f"InfluxDB ({error.status}) {hint}: {_text(error)}"


def _retry_after(error: ApiException) -> float | None:
    headers: Mapping[str, str] = error.headers or {}
    value = headers.get("Retry-After")
    return float(value) if value and value.isdecimal() else None
