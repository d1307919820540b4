"""The printed schema."""

from pathlib import Path

from schema.root import build_schema


def test_printed_schema_is_the_one_in_the_repository(repository: Path) -> None:
    """A change of the API shows in `schema/schema.graphql`; renew it with `make sdl`."""
    printed = build_schema().as_str() + "\n"

    assert printed == (repository / "schema" / "schema.graphql").read_text()
