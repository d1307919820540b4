"""The log of record: PostgreSQL through SQLAlchemy, and nothing of it outside this folder."""
