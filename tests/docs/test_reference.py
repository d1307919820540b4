"""What of the book is made from the code is current."""

import pytest

from settings import Settings
from tests.docs.reference import BOOK, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_page_is_what_the_code_says(name: str) -> None:
    """`make reference` renews it."""
    assert (BOOK / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_setting_is_described() -> None:
    """In its definition, in words that a name does not say."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
