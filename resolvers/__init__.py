"""What the fields do, in plain Python; the log of record is in resolvers/database."""
