"""The ledger: SQLAlchemy models, queries and migrations."""
