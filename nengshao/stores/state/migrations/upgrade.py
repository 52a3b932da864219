"""Running the revisions from within the program, wherever the package is installed."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from nengshao.domain.errors import ConfigError

_LOCK: Final = 0x6E656E67_7368616F  # "nengshao" in ASCII, so that no other program takes the same lock


def upgrade_schema(connection: Connection) -> None:
    """Apply, within the connection's transaction, every revision that the database does not have yet.

    Raises: ConfigError if it has a revision that this version does not know.
    """
    if connection.dialect.name == "postgresql":  # SQLite's writers take turns anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    config = Config()
    config.set_main_option("script_location", "nengshao.stores.state:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigError(
            [f"状态库的版本无法识别 / the state's schema is not of this version: {error}"]
        ) from error
