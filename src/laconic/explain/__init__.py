"""What a model did with its documents: how far each word got, and what was never read."""

from __future__ import annotations

from laconic.explain.document import (
    BlockFigures,
    Explanation,
    TokenFate,
    WordFate,
    explain_document,
)
from laconic.explain.html import to_html, write_html
from laconic.explain.survey import ClassWords, Survey, WordStay, survey_documents

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
]
