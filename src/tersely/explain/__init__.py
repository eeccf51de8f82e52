"""What a model did with its documents: how far each word got, and what was never read."""

from __future__ import annotations

from tersely.explain.document import (
    BlockFigures,
    Explanation,
    TokenFate,
    WordFate,
    explain_document,
)
from tersely.explain.html import to_html, write_html
from tersely.explain.plot import write_plot
from tersely.explain.survey import ClassWords, Survey, WordStay, survey_documents

__all__ = [
    "BlockFigures",
    "ClassWords",
    "Explanation",
    "Survey",
    "TokenFate",
    "WordFate",
    "WordStay",
    "explain_document",
    "survey_documents",
    "to_html",
    "write_html",
    "write_plot",
]
