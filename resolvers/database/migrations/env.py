"""Alembic's entry: runs the migrations on the connection that `resolvers.database.migrate` hands in."""

from alembic import context

from resolvers.database.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run migrations with: python -m cli migrate")
context.configure(connection=connection, target_metadata=metadata, compare_server_default=False)
with context.begin_transaction():
    context.run_migrations()
