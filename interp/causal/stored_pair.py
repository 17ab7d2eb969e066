"""What results of a pair of runs say about themselves, as it is stored beside their numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from interp.engine.sites import Site
from models.graph import ComputationGraph


def read_about(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in `about`, the JSON that `save` wrote, with sites and graphs in place of their text."""
    about = json.loads(str(arrays["about"]))
    about["sites"] = tuple(Site.from_dict(site) for site in about["sites"])
    about["nodes"] = tuple(about["nodes"])
    for name in ("clean_graph", "corrupt_graph"):
        about[name] = ComputationGraph.from_json(about[name])
    return about
