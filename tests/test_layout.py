"""The folders are packages of ours, whatever else is installed."""

import importlib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

FOLDERS = ["schema", "resolvers", "streams", "cache", "telemetry"]


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_imports_from_this_checkout(name: str, repository: Path) -> None:
    """`import schema` means ours, not a package of the same name from an index."""
    module = importlib.import_module(name)

    assert module.__file__ is not None
    assert repository / name == Path(module.__file__).parent
    assert name not in packages_distributions()


def test_lock_files_name_no_download_address(repository: Path) -> None:
    """What is pinned is pinned by hash, wherever it is fetched from."""
    for lock in repository.glob("*.lock"):
        assert "://" not in lock.read_text()
    assert '"resolved"' not in (repository / "client-example" / "package-lock.json").read_text()
