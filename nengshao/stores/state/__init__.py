"""The StateStore in SQL: registry, leases, books, results, alerts and outbox on SQLite or PostgreSQL.

`engine` knows the two databases, `schema` names the tables, `bulk` moves frames in and out; one module per
noun holds a part of the port, and `store.SqlStateStore` is their sum.
"""

from nengshao.stores.state.store import SqlStateStore, open_state

__all__ = ["SqlStateStore", "open_state"]
