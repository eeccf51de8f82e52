"""What a model did with its documents: how far each word got, and what was never read."""

from tersely.explain.document import Explanation, explain_document
from tersely.explain.show import write_html
from tersely.explain.survey import Survey, survey_documents

__all__ = ["Explanation", "Survey", "explain_document", "survey_documents", "write_html"]
