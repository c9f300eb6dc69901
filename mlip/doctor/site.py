"""The site file that is in use, and what it sets."""

from __future__ import annotations

import os

from mlip.engines.layer import Layer
from mlip.errors import InputError
from mlip.recipes.site import VARIABLE, read_site, site_file


def check_site() -> Layer:
    """Return the site file and its keys; none is no fault, a wrong one stops every run."""
    name = "site file"
    path = site_file()
    if path is None:
        text = f"no {VARIABLE} and no ~/.config/lips-mlip/site.yml: engines start as installed"
        return Layer(name, "absent", False, "", text)
    try:
        site = read_site()
    except InputError as error:
        way = f"unset {VARIABLE}" if os.environ.get(VARIABLE) else f"correct {path}"
        return Layer(name, "broken", True, "", str(error), way)
    set_keys = site.model_dump(exclude_defaults=True)
    words = "; ".join(
        f"{key}: {' '.join(value) if isinstance(value, tuple) else value}"
        for key, value in set_keys.items()
    )
    return Layer(name, "ok", False, "", f"{path}: {words or 'sets nothing'}")
