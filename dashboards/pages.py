"""The pages that records describe, by their name in the address; some have choices of their own beside."""

from __future__ import annotations

from functools import cache

from analyses.catalogue import every_record
from dashboards.analysis_page import AnalysisPage, page_of
from dashboards.compare import COMPARE
from dashboards.explain import EXPLAIN
from dashboards.mechanism import MECHANISM
from dashboards.probing import PROBING
from dashboards.story import STORY

SPECIAL = {page.name: page for page in (COMPARE, EXPLAIN, MECHANISM, PROBING, STORY)}


@cache
def analysis_pages() -> dict[str, AnalysisPage]:
    """Every page, in the order of the catalogue."""
    pages = (
        SPECIAL.get(record.page.name or record.name) or page_of(record)
        for record in every_record()
        if record.page
    )
    return {page.name: page for page in pages}
