"""SQL that works on both SQLite and PostgreSQL."""
