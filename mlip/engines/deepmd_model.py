"""What a frozen DeePMD-kit model says of its own network."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from mlip.errors import DataError

# Initial weights, and where a file once was: no part of what the network is.
IGNORED = frozenset({"seed", "use_srtab"})


def model_script(model: Path) -> dict[str, Any]:
    """Return the `model` section of the training input stored in a TorchScript model.

    Raises
    ------
    DataError
        If the file is no frozen model of DeePMD-kit's PyTorch backend.
    """
    content = b""
    if zipfile.is_zipfile(model):
        with zipfile.ZipFile(model) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            content = b"".join(archive.read(name) for name in names)
    text = content.decode("latin-1")
    decoder = json.JSONDecoder()
    begin = text.find('{"')
    while begin >= 0:
        try:
            found, _ = decoder.raw_decode(text, begin)
        except json.JSONDecodeError:
            found = None
        if isinstance(found, dict) and "descriptor" in found:
            return found
        begin = text.find('{"', begin + 1)
    raise DataError(
        f"{model}: no frozen DeePMD-kit model (TorchScript, .pth) with its training input "
        "inside. Freeze it again with `dp --pt freeze`."
    )


def network_differences(stored: Any, wanted: Any, key: str = "") -> list[str]:
    """Return in words where a stored network differs from a wanted one.

    Only what `wanted` says is compared: the stored script has every default written out.
    """
    if isinstance(wanted, dict) and isinstance(stored, dict):
        return [
            line
            for name in wanted
            if name not in IGNORED
            for line in network_differences(
                stored.get(name), wanted[name], f"{key}.{name}" if key else name
            )
        ]
    same = stored == wanted
    return [] if same else [f"{key}: found {stored}, expected {wanted}"]
