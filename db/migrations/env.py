"""Alembic environment: migrations run on the connection that db.connection.schema passes."""

from alembic import context

from db.models import datasets, review, students  # noqa: F401  # register their tables
from db.models.core import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
