"""A labelled corpus of documents that every machine with the libraries can build for itself.

`tersely demo` may not need a hub or anybody's data set. The documentation of the installed Python
libraries is prose with a subject; the module it stands in says which. Training and held-out
documents come from different modules, because documents of one module repeat each other.
"""

from __future__ import annotations

import random
import statistics
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tersely.demo.extraction import Document, documents_in, find_modules
from tersely.demo.near_copies import distinct
from tersely.demo.stripping import strip_giveaways
from tersely.demo.subjects import SUBJECTS, Subjects, subject_of
from tersely.errors import DataError, TerselyWarning

__all__ = ["DemoCorpus", "Progress", "build_corpus"]

Progress = Callable[[str, int, int], None]
"""Called as `progress(stage, done, total)`."""

_FEWEST_DOCUMENTS = 10  # a subject with fewer is left out: nothing could be learned or measured
_LARGEST_TO_MEDIAN = 3  # no subject gives more documents than this many times the median one

_Labelled = tuple[str, Document]  # (subject, document)


@dataclass(frozen=True)
class DemoCorpus:
    """Training and held-out documents with their subjects; the lists of a side run in parallel.

    Attributes:
        train_texts: documents to train on, in random order.
        train_labels: their subject areas.
        train_origins: where they come from, as `module:object`.
        heldout_texts: documents of other modules, in random order.
        heldout_labels: their subject areas.
        heldout_origins: where they come from, as `module:object`.
    """

    train_texts: list[str]
    train_labels: list[str]
    train_origins: list[str]
    heldout_texts: list[str]
    heldout_labels: list[str]
    heldout_origins: list[str]

    @property
    def labels(self) -> list[str]:
        """The subject areas, sorted."""
        return sorted({*self.train_labels, *self.heldout_labels})


def build_corpus(
    training: int = 1500,
    heldout: int = 1000,
    seed: int = 0,
    minimum_words: int = 60,
    *,
    subjects: Subjects = SUBJECTS,
    progress: Progress | None = None,
) -> DemoCorpus:
    """Build a text classification corpus from the documentation of installed Python libraries.

    Nothing is imported or downloaded: source files are parsed. The same libraries and the same
    seed give the same corpus.

    Args:
        training: number of documents to train on, 1500 by default.
        heldout: number of held-out documents, 1000 by default.
        seed: decides which modules are held out and which documents are drawn.
        minimum_words: shorter documents are left out; counted after stripping, 60 by default.
        subjects: subject area -> module prefixes.
        progress: called with `"reading"`, files read, files in all.

    Raises:
        DataError: if a number is not positive, or fewer documents are found than asked for.

    Warns:
        TerselyWarning: if subjects are left out, or files cannot be read.

    Example:
        >>> corpus = build_corpus(60, 40, subjects={"mail": ["email"], "web": ["http", "urllib"]})
        >>> len(corpus.train_texts), len(corpus.heldout_texts), corpus.labels
        (60, 40, ['mail', 'web'])
    """
    for name, number in [
        ("training", training),
        ("heldout", heldout),
        ("minimum_words", minimum_words),
    ]:
        if number < 1:
            raise DataError(
                f"the demonstration corpus needs a positive number for {name}, got {number}; "
                "pass 1 or more"
            )
    found, missing = _labelled_documents(subjects, minimum_words, progress)
    chance = random.Random(seed)
    kept = _without_small_subjects(found, subjects, missing)
    train, held = _split_by_module(kept, training / (training + heldout), chance)
    return DemoCorpus(
        *_columns(_draw(train, training, "training", missing, chance)),
        *_columns(_draw(held, heldout, "held-out", missing, chance)),
    )


def _labelled_documents(
    subjects: Subjects, minimum_words: int, progress: Progress | None
) -> tuple[list[_Labelled], list[str]]:
    """Read, strip, and label every document long enough; also name the missing libraries."""
    prefixes = [prefix for group in subjects.values() for prefix in group]
    libraries = frozenset(prefix.partition(".")[0] for prefix in prefixes)
    modules, missing = find_modules(prefixes)
    documents: list[Document] = []
    unreadable: list[str] = []
    for done, (module, file) in enumerate(modules.items(), start=1):
        try:
            raw = documents_in(file, module)
        except (SyntaxError, ValueError, OSError):
            unreadable.append(module)
            raw = []
        for document in raw:
            if _words(document.text) < minimum_words:
                continue
            text = strip_giveaways(document.text, module, document.name, libraries)
            if _words(text) >= minimum_words:
                documents.append(Document(module, document.name, text))
        if progress is not None:
            progress("reading", done, len(modules))
    if unreadable:
        warnings.warn(
            f"{len(unreadable)} of {len(modules)} source files could not be read and are left "
            f"out of the demonstration corpus, the first is {unreadable[0]}",
            TerselyWarning,
            stacklevel=3,
        )
    distinct_documents = distinct(documents, lambda document: document.text)
    return [(subject_of(each.module, subjects), each) for each in distinct_documents], missing


def _words(text: str) -> int:
    return len(text.split())


def _advice(missing: list[str]) -> str:
    """Say which libraries would bring more documents."""
    absent = f"not installed: {', '.join(missing)}; " if missing else ""
    return f"{absent}run: pip install 'tersely[demo]'"


def _without_small_subjects(
    found: list[_Labelled], subjects: Subjects, missing: list[str]
) -> list[_Labelled]:
    """Leave out subjects that cannot appear on both sides."""
    documents = Counter(subject for subject, _ in found)
    modules = {subject: set() for subject in subjects}
    for subject, document in found:
        modules[subject].add(document.module)
    small = sorted(
        subject
        for subject in subjects
        if documents[subject] < _FEWEST_DOCUMENTS or len(modules[subject]) < 2
    )
    if len(subjects) - len(small) < 2:
        raise DataError(
            f"the demonstration corpus needs two subjects or more with {_FEWEST_DOCUMENTS} "
            f"documents in two modules, got {len(subjects) - len(small)}; {_advice(missing)}"
        )
    if small:
        warnings.warn(
            f"{len(small)} of {len(subjects)} subjects of the demonstration corpus are left out "
            f"for want of documents: {', '.join(small)}; {_advice(missing)}",
            TerselyWarning,
            stacklevel=3,
        )
    return [each for each in found if each[0] not in small]


def _split_by_module(
    found: list[_Labelled], share: float, chance: random.Random
) -> tuple[list[_Labelled], list[_Labelled]]:
    """Send whole modules to training or held-out, subject by subject, near the training share."""
    by_module: defaultdict[tuple[str, str], list[_Labelled]] = defaultdict(list)
    for each in found:
        by_module[each[0], each[1].module].append(each)
    sides: tuple[list[_Labelled], list[_Labelled]] = ([], [])
    for subject in sorted({subject for subject, _ in found}):
        groups = [group for (of, _), group in sorted(by_module.items()) if of == subject]
        # Large modules first, so that small ones can make up for them; some noise, so that
        # another seed holds other modules out.
        groups.sort(key=lambda group: -len(group) * chance.uniform(0.5, 1.0))
        filled = [0.0, 0.0]
        for group in groups:
            side = int(filled[0] / share > filled[1] / (1 - share)) if any(filled) else 0
            sides[side].extend(group)
            filled[side] += len(group)
    return sides


def _draw(
    side: list[_Labelled], wanted: int, name: str, missing: list[str], chance: random.Random
) -> list[_Labelled]:
    """Draw documents, as many of each subject as of the others while there are enough."""
    by_subject: defaultdict[str, list[_Labelled]] = defaultdict(list)
    for each in side:
        by_subject[each[0]].append(each)
    shares = _even_shares({subject: len(group) for subject, group in by_subject.items()}, wanted)
    if sum(shares.values()) < wanted:
        raise DataError(
            f"the demonstration corpus needs {wanted} {name} documents, found "
            f"{sum(shares.values())} that can be used; ask for fewer, or {_advice(missing)}"
        )
    drawn = [
        each
        for subject in sorted(shares)
        for each in chance.sample(by_subject[subject], shares[subject])
    ]
    chance.shuffle(drawn)
    return drawn


def _even_shares(available: dict[str, int], wanted: int) -> dict[str, int]:
    """Share `wanted` out evenly; what small subjects cannot give, larger ones do, up to the cap."""
    cap = int(_LARGEST_TO_MEDIAN * statistics.median(available.values()))
    shares: dict[str, int] = {}
    for subject in sorted(available, key=lambda each: (available[each], each)):
        left = len(available) - len(shares)
        even = -(-(wanted - sum(shares.values())) // left)
        shares[subject] = min(available[subject], cap, even)
    return shares


def _columns(drawn: Iterable[_Labelled]) -> tuple[list[str], list[str], list[str]]:
    texts, labels, origins = [], [], []
    for subject, document in drawn:
        texts.append(document.text)
        labels.append(subject)
        origins.append(document.origin)
    return texts, labels, origins
