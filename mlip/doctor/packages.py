"""Whether Python and our own packages are the right ones."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from mlip.engines.layer import Layer

DISTRIBUTION = "lips-mlip"
PACKAGES = ("mlip", "analysis")
OLDEST_PYTHON = (3, 10)


def check_python() -> Layer:
    """Return whether this Python is new enough, and which one it is."""
    found = platform.python_version()
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info < OLDEST_PYTHON:
        return Layer(
            "Python",
            "broken",
            True,
            found,
            f"{sys.executable}; expected {oldest} or newer",
            f"rm -r .venv && make install PYTHON=python{oldest}",
        )
    return Layer("Python", "ok", True, found, sys.executable)


def check_packages() -> Layer:
    """Return where `mlip` and `analysis` come from, and whether another project owns them.

    Both names are taken on the package index by others; installed side by side, the one
    installed last overwrites files of the other.
    """
    name = "mlip and analysis"
    try:
        found = version(DISTRIBUTION)
    except PackageNotFoundError:
        found = ""
    files = {package: _file(package) for package in PACKAGES}
    places = ", ".join(f"{package}: {path}" for package, path in files.items())
    strangers = foreign_owners(packages_distributions())
    if strangers:
        return Layer(
            name,
            "broken",
            True,
            found,
            f"{places}. {', '.join(strangers)} installs packages of the same name",
            f"{sys.executable} -m pip uninstall -y {' '.join(strangers)} && make install",
        )
    if len({path.parents[1] for path in files.values()}) > 1:
        return Layer(
            name,
            "broken",
            True,
            found,
            f"{places}: not from one place",
            "unset PYTHONPATH; rm -r .venv && make install",
        )
    if not found:
        return Layer(name, "ok", True, "", f"{places} (source tree, not installed)")
    return Layer(name, "ok", True, found, places)


def foreign_owners(owners: Mapping[str, list[str]]) -> list[str]:
    """Return the distributions, other than ours, that own our import names.

    Parameters
    ----------
    owners : mapping
        Import name to distributions, see `importlib.metadata.packages_distributions`.
    """
    claims = {owner for package in PACKAGES for owner in owners.get(package, [])}
    return sorted(owner for owner in claims if owner.replace("_", "-").lower() != DISTRIBUTION)


def _file(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return Path("/not/found") / package
    return Path(spec.origin)
