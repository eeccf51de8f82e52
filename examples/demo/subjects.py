"""The subject areas of the demo's corpus, as one table that can be read in a minute.

A document's label is what its module is about, and most subjects span several libraries, so that
a classifier cannot get by on the house style of one of them. The longest prefix wins:
`scipy.sparse.csgraph` is about graphs although `scipy.sparse` is about arrays.
"""

from __future__ import annotations

from collections.abc import Mapping

Subjects = Mapping[str, str]
"""Subject area -> the module prefixes that belong to it, with blanks between."""

SUBJECTS: Subjects = {
    "arrays": """
        numpy._core numpy.lib numpy.ma numpy.matlib numpy.matrixlib scipy.sparse sympy.tensor
        torch._tensor_docs torch._torch_docs torch.functional torch.sparse""",
    "calculus and functions": """
        mpmath.calculus mpmath.functions numpy.polynomial scipy.differentiate scipy.integrate
        scipy.interpolate scipy.special sympy.calculus sympy.functions sympy.integrals sympy.series
        torch.autograd torch.special""",
    "concurrency": """
        asyncio concurrent joblib multiprocessing queue subprocess threading torch.distributed
        torch.futures torch.multiprocessing torch.nn.parallel""",
    "data preparation": """
        sklearn.compose sklearn.datasets sklearn.feature_extraction sklearn.feature_selection
        sklearn.impute sklearn.kernel_approximation sklearn.pipeline sklearn.preprocessing
        sklearn.random_projection torch.utils.data""",
    "files and formats": """
        codecs configparser csv gzip json mimetypes networkx.readwrite numpy.lib._datasource
        numpy.lib._format_impl numpy.lib._iotools numpy.lib._npyio_impl pandas.io pathlib pickle
        plistlib pprint scipy.io shutil tarfile tempfile torch.package torch.serialization xml
        zipfile""",
    "graphs": "networkx.algorithms networkx.classes scipy.sparse.csgraph",
    "images and signals": """
        numpy.fft scipy.fft scipy.fftpack scipy.ndimage scipy.signal
        sklearn.feature_extraction.image torch.fft torch.signal transformers.audio_utils
        transformers.image_transforms transformers.image_utils""",
    "language models": """
        sklearn.feature_extraction.text transformers.data transformers.generation
        transformers.models.bart transformers.models.bert transformers.models.gpt2
        transformers.models.llama transformers.models.roberta transformers.models.t5
        transformers.pipelines transformers.tokenization_python
        transformers.tokenization_utils_base transformers.tokenization_utils_tokenizers""",
    "linear algebra": """
        mpmath.matrices networkx.linalg numpy.linalg scipy.linalg scipy.sparse.linalg
        sympy.matrices torch.linalg""",
    "model evaluation": """
        sklearn.calibration sklearn.inspection sklearn.metrics sklearn.model_selection""",
    "networking": """
        email http huggingface_hub imaplib ipaddress nntplib smtplib socket socketserver ssl urllib
        wsgiref xmlrpc""",
    "neural networks": """
        sklearn.neural_network torch.ao.nn torch.nn transformers.activations
        transformers.modeling_utils""",
    "optimisation": "scipy.optimize torch.optim transformers.optimization",
    "plotting": """
        networkx.drawing pandas.plotting sklearn.inspection._plot sklearn.metrics._plot
        sklearn.model_selection._plot sympy.plotting tkinter turtle""",
    "statistics": "scipy.stats sklearn.covariance statistics sympy.stats torch.distributions",
    "supervised learning": """
        sklearn.discriminant_analysis sklearn.ensemble sklearn.gaussian_process
        sklearn.linear_model sklearn.naive_bayes sklearn.neighbors sklearn.svm sklearn.tree""",
    "symbolic algebra": "sympy.core sympy.polys sympy.sets sympy.simplify sympy.solvers",
    "tables": "pandas.core",
    "unsupervised learning": """
        scipy.cluster sklearn.cluster sklearn.decomposition sklearn.manifold sklearn.mixture""",
}


def subject_of(module: str, subjects: Subjects = SUBJECTS) -> str | None:
    """Look a dotted module path up in the table; None if no prefix of it is there.

    Example:
        >>> subject_of("scipy.sparse.csgraph._validation"), subject_of("scipy.sparse._csr")
        ('graphs', 'arrays')
    """
    by_prefix = {
        prefix: subject for subject, listed in subjects.items() for prefix in listed.split()
    }
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((by_prefix[prefix] for prefix in prefixes if prefix in by_prefix), None)
