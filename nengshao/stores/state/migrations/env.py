"""Alembic's entry: runs revisions on the connection, and in the transaction, of `upgrade_schema`."""

from alembic import context

from nengshao.stores.state.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, when the transaction is begun by hand as ours is
)
context.run_migrations()
