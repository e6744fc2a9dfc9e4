"""Entry point of alembic; storage.migrating passes the connection."""

from alembic import context

from odds_service.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction contains all of it
)
context.run_migrations()
