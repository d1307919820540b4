"""The threat model names the test of each answer, and each of them is there."""

import re
from pathlib import Path

MODEL = Path("docs") / "threat-model.md"
ROW = re.compile(r"^\|(?P<who>.*)\|(?P<wants>.*)\|(?P<answer>.*)\|(?P<tests>[^|]*)\|$", re.MULTILINE)
NAMED = re.compile(r"`([^`]+)`")


def rows(repository: Path) -> dict[str, list[str]]:
    """What is named in the last column, by what somebody wants."""
    found = ROW.findall((repository / MODEL).read_text())[2:]  # without the head and its rule
    return {wants.strip(): NAMED.findall(tests) for _, wants, _, tests in found}


def test_each_threat_names_a_test(repository: Path) -> None:
    """An answer without a test is a hope."""
    named = rows(repository)

    assert len(named) > 15
    assert [wants for wants, tests in named.items() if not tests] == []


def test_each_test_that_is_named_exists(repository: Path) -> None:
    """As a path, as the name of one file below tests/, or as `module.function` of a table of hostile requests."""
    files = {path.relative_to(repository).as_posix(): path for path in (repository / "tests").rglob("*.py")}

    def exists(name: str) -> bool:
        if name.endswith(".py"):
            return sum(path == name or path.endswith(f"/{name}") for path in files) == 1
        module, _, function = name.partition(".")
        table = files.get(f"tests/hostile/{module}.py")
        return table is not None and f"\ndef {function}()" in table.read_text()

    named = [name for tests in rows(repository).values() for name in tests]
    assert [name for name in named if not exists(name)] == []
