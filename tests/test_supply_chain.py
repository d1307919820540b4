"""What we run is what we locked, and it runs with as few rights as it can."""

import json
import re
from pathlib import Path

import pytest

from tests.support.sbom import bill


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "requirements-node.lock"])
def test_every_python_package_is_pinned_by_hash(repository: Path, lock: str) -> None:
    """Each has a version and a hash, and no lock says where to download from."""
    text = (repository / lock).read_text()

    assert len(bill(text)["components"]) == len(re.findall(r"^[A-Za-z0-9].*==", text, re.MULTILINE)) > 0
    assert "://" not in text


def test_every_npm_package_is_pinned_by_integrity(repository: Path) -> None:
    """A package that is not what was locked is refused by npm."""
    lock = json.loads((repository / "client-example" / "package-lock.json").read_text())

    installed = {name: package for name, package in lock["packages"].items() if name and not package.get("link")}
    assert installed
    assert [name for name, package in installed.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert not any("resolved" in package for package in installed.values())


def test_bill_of_materials_names_what_the_server_runs_on(repository: Path) -> None:
    """The direct dependencies are among its components, once each."""
    names = [component["name"] for component in bill((repository / "requirements.lock").read_text())["components"]]

    assert {"strawberry-graphql", "redis", "pyjwt", "uvicorn", "sqlalchemy", "asyncpg"} <= set(names)


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Its instructions in order, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", dockerfile)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0].upper(), line.partition(" ")[2]) for line in lines]


def test_image_runs_without_rights_and_with_nothing_but_the_server(repository: Path) -> None:
    """Hashes are required, the last user is not root, nothing is added from elsewhere, no secret is built in."""
    steps = instructions((repository / "Dockerfile").read_text())
    last_stage = steps[max(place for place, (name, _) in enumerate(steps) if name == "FROM") :]

    assert [what for name, what in last_stage if name == "USER"] == ["nobody"]
    assert all("--require-hashes" in what for name, what in steps if "pip install" in what)
    assert all("npm ci" in what for name, what in steps if "npm " in what and "run build" not in what)
    assert not any(name == "ADD" for name, _ in steps)
    assert not any(re.search("SECRET|PASSWORD|TOKEN", what) for name, what in steps if name in {"ENV", "ARG"})
    assert all(":" in what and "latest" not in what for name, what in steps if name == "FROM")
    assert not any(what.split()[0] in {".", "./"} for name, what in steps if name == "COPY" and "--from" not in what
                   and what.split()[0] != "client-example/")  # fmt: skip


def test_containers_are_read_only_and_without_capabilities(repository: Path) -> None:
    """The server's containers write to /tmp alone and cannot gain rights; only loopback is published."""
    text = (repository / "compose.yaml").read_text()
    server = text.partition("x-server:")[2].partition("\nservices:")[0]

    for setting in ("read_only: true", "tmpfs: [/tmp]", "cap_drop: [ALL]", "no-new-privileges:true"):
        assert setting in server
    assert "${AUTH_SECRET:?" in server
    published = re.findall(r'ports: \["([^"]+)"\]', text)
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert "privileged: true" not in text
