"""The database: SQLAlchemy models, queries and migrations. It reads and writes; it does not judge."""
