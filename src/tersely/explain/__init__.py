"""What a model did with its documents: how far each word got, and what was never read."""

from __future__ import annotations

from tersely.explain.document import (
    BlockFigures,
    Explanation,
    TokenLineage,
    WordLineage,
    explain_document,
)
from tersely.explain.html import to_html, write_html
from tersely.explain.survey import ClassWords, Survey, WordStay, survey_documents

__all__ = [
    "BlockFigures",
    "ClassWords",
    "Explanation",
    "Survey",
    "TokenLineage",
    "WordLineage",
    "WordStay",
    "explain_document",
    "survey_documents",
    "to_html",
    "write_html",
]
