"""The pages hang together: links lead somewhere, and every page of the book is in its table of contents."""

import re
from pathlib import Path

from tests.docs.pages import pages, prose
from tests.support.server import REPOSITORY

BOOK = REPOSITORY / "docs"
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (?P<words>.*)$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
ELSEWHERE = ("http://", "https://", "mailto:")


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Where a link into a page may lead; a heading that stands twice has a number the second time."""
    found: list[str] = []
    for heading in HEADING.findall(prose(page)):
        name = slug(heading)
        again = sum(one == name or re.fullmatch(rf"{re.escape(name)}-\d+", one) is not None for one in found)
        found.append(f"{name}-{again}" if again else name)
    return set(found)


def links(page: Path) -> list[str]:
    """What a page links to within the repository."""
    return [target for target in LINK.findall(CODE.sub("", prose(page))) if not target.startswith(ELSEWHERE)]


def leads_somewhere(page: Path, target: str) -> bool:
    """A file or a folder, and in a page an anchor."""
    path, _, anchor = target.partition("#")
    aim = (page.parent / path).resolve() if path else page
    if not aim.exists() or REPOSITORY not in (aim, *aim.parents):
        return False
    return not anchor or (aim.suffix == ".md" and anchor in anchors(aim))


def test_every_link_leads_somewhere() -> None:
    """Relative links and anchors, of every page."""
    all_links = [(page, target) for page in pages() for target in links(page)]

    assert len(all_links) > 100
    assert [(str(page.relative_to(REPOSITORY)), to) for page, to in all_links if not leads_somewhere(page, to)] == []


def test_every_page_of_the_book_is_reached_from_its_contents() -> None:
    """By links from docs/README.md, over other pages at most once; runbooks and decisions have lists of their own."""
    contents = BOOK / "README.md"
    reached, todo = {contents}, [contents]
    while todo:
        page = todo.pop()
        if page.name != "README.md":
            continue  # only tables of contents count
        found = {(page.parent / target.partition("#")[0]).resolve() for target in links(page)}
        new = {path for path in found if path.suffix == ".md" and path not in reached}
        reached |= new
        todo += new

    assert {page for page in pages() if BOOK in page.parents} - reached == set()
