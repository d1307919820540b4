"""What can go wrong below the resolvers, in two words: later, or never."""


class StreamsUnavailable(Exception):
    """Redis did not answer, or not in time. Nothing is lost: PostgreSQL has the log. Try again."""


class EntryUnreadable(ValueError):
    """A stream entry that cannot be decoded. PostgreSQL has the activity it stands for."""
