"""Alembic's environment: migrations run on the connection that db.connection.schema hands over."""

from alembic import context

from db.models import review as review_models  # noqa: F401  # its tables are part of the schema
from db.models.core import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters tables by copying them
)
with context.begin_transaction():
    context.run_migrations()
