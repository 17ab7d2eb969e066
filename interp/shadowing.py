"""Folders of a user that hide ours: the packages of the toolkit have short names that other projects use too.

Python takes the first `models` on its path, which is the one in the folder where it was started. It needs nothing of
ours, since what it is about may be what cannot be imported.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec


class ShadowedPackageError(ImportError):
    """Another package of the same name comes first; the message says which folder, and what to do."""


def refuse_shadows(root: str, names: Sequence[str]) -> None:
    """Look, without importing them, where `names` would be imported from; takes some 50 microseconds each.

    root: the folder that holds our packages.

    Raises:
        ShadowedPackageError: one of them is found elsewhere.
    """
    for name in names:
        ours = os.path.join(root, name)
        try:
            spec = find_spec(name)
        except ValueError:  # a module made by hand, without a spec, as some tests do
            continue
        if spec is None:
            continue
        places = list(spec.submodule_search_locations or [spec.origin or ""])
        if any(os.path.realpath(place) == os.path.realpath(ours) for place in places):
            continue
        theirs = places[0]
        raise ShadowedPackageError(
            f"{theirs} hides the package {name!r} of recurlens, which is {ours}: Python finds it first. Start Python "
            f"in another folder, take {os.path.dirname(theirs)} off PYTHONPATH, or rename {theirs}."
        )
