"""What a Python lock file pins, as CycloneDX 1.5: `python -m tests.support.sbom requirements.lock`."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^ ;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> Iterator[dict[str, Any]]:
    """A component for each pinned package. Raises ValueError for a package without a hash."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock):
        pin = _PIN.match(block.strip())
        if pin is None:
            continue
        name, version = re.sub(r"[-_.]+", "-", pin["name"]).lower(), pin["version"]
        hashes = _HASH.findall(block)
        if not hashes:
            raise ValueError(f"{name} {version} is locked without a hash")
        purl = f"pkg:pypi/{name}@{version}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            # One of them is installed, which depends on the machine: they are the wheels that may be.
            "properties": [{"name": "divisionbell:sha256", "value": one} for one in hashes],
        }


def bill(lock: str) -> dict[str, Any]:
    """The bill of materials. The same lock file makes the same bytes."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "divisionbell", "name": "divisionbell"}},
        "components": list(components(lock)),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bill(Path(sys.argv[1]).read_text()), indent=2) + "\n")
