"""What a model did with its documents: how far each word got, and what was never read."""

from tersely.explain.document import Explanation, explain_document
from tersely.explain.show import write_html

__all__ = ["Explanation", "explain_document", "write_html"]
