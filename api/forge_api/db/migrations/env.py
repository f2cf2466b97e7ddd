"""Alembic's entry: runs the migrations over the connection that the caller opened, in the caller's transaction."""

from alembic import context

from forge_api.db.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()
