"""Models as ONNX graphs in which tokens are really removed, and what runs them.

Importing this loads neither onnx nor onnxruntime; making a graph and running one do.
"""

# ruff: noqa: F401 - these are the room's public names.
from tersely.export.directory import export_model, files_of_export, is_export, load_export
