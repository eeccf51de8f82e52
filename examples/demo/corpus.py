"""A labelled corpus of documents that every machine with the libraries can build for itself.

The demo may not need a hub or anybody's data set. The documentation of the installed Python
libraries is prose with a subject; the module it stands in says which. Training and held-out
documents come from different modules, because documents of one module repeat each other.
"""

from __future__ import annotations

import math
import random
import re
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from documentation import Document, documents_in, find_modules, strip_giveaways
from subjects import SUBJECTS, Subjects, subject_of
from tersely.errors import DataError, TerselyWarning

_FEWEST = 10  # documents; a subject with fewer is left out: nothing could be learned or measured
_READ = 3  # files are read until a subject has so many times an even share of the documents
_ADVICE = "install more libraries: pip install --group demo"

Labelled = tuple[str, Document]  # (subject, document)


def build_corpus(
    training: int = 1000,
    heldout: int = 600,
    seed: int = 0,
    minimum_words: int = 40,
    subjects: Subjects = SUBJECTS,
) -> tuple[list[Labelled], list[Labelled]]:
    """Build a text classification corpus from the documentation of installed Python libraries.

    Nothing is imported or downloaded: source files are parsed. The same libraries and the same
    seed give the same corpus.

    Args:
        training: number of documents to train on.
        heldout: number of held-out documents, from other modules.
        seed: decides which modules are read and held out, and which documents are drawn.
        minimum_words: shorter documents are left out; counted after stripping.
        subjects: subject area -> module prefixes.

    Returns:
        The (subject, document) pairs to train on and those held out, both in random order.

    Raises:
        DataError: if a number is not positive, or fewer documents are found than asked for.

    Warns:
        TerselyWarning: if libraries are missing, subjects left out, or files cannot be read.
    """
    for name, number in {"training": training, "heldout": heldout, "words": minimum_words}.items():
        if number < 1:
            raise DataError(f"expected a positive number of {name}, got {number}; pass 1 or more")
    chance = random.Random(seed)
    enough = _READ * math.ceil((training + heldout) / len(subjects))
    found = _without_small_subjects(_read(subjects, enough, minimum_words, chance), subjects)
    train, held = _split_by_module(found, training / (training + heldout), chance)
    return _draw(train, training, "training", chance), _draw(held, heldout, "held-out", chance)


def _read(
    subjects: Subjects, enough: int, minimum_words: int, chance: random.Random
) -> list[Labelled]:
    """Read modules of each subject in random order until it has enough documents."""
    prefixes = " ".join(subjects.values()).split()
    libraries = {prefix.partition(".")[0] for prefix in prefixes}
    files, missing = find_modules(prefixes)
    modules: defaultdict[str | None, list[str]] = defaultdict(list)
    for module in files:
        modules[subject_of(module, subjects)].append(module)
    found: list[Labelled] = []
    unreadable: list[str] = []
    for subject in sorted(subjects):
        chance.shuffle(modules[subject])
        of_subject: list[Document] = []
        for module in modules[subject]:
            # Never all from one module, which could not stand on both sides.
            if len(of_subject) >= enough and len({each.module for each in of_subject}) > 1:
                break
            try:
                raw = documents_in(files[module], module)
            except (SyntaxError, ValueError, OSError):
                unreadable.append(module)
                continue
            long = (each for each in raw if len(each.text.split()) >= minimum_words)
            stripped = (replace(each, text=strip_giveaways(each, libraries)) for each in long)
            of_subject += [each for each in stripped if len(each.text.split()) >= minimum_words]
        found += [(subject, document) for document in of_subject]
    for names, trouble in ((missing, "not installed"), (unreadable, "could not be read")):
        if names:
            _warn(f"{len(names)} of the corpus's sources {trouble}: {', '.join(names[:9])}")
    return distinct(found)


def distinct(found: Iterable[Labelled]) -> list[Labelled]:
    """Keep the first of every group of documents whose texts are copies or near-copies.

    Libraries copy documentation: numpy's six families of polynomials differ in one word. Two texts
    are near-copies if, up to white space, they begin with the same 200 characters, or if they
    share a good part of their runs of three words: 12 of the 32 runs with the smallest checksums.
    """
    kept: list[Labelled] = []
    openings: set[str] = set()
    holders: defaultdict[int, list[int]] = defaultdict(list)  # checksum -> places in `kept`
    for each in found:
        text = each[1].text
        opening = " ".join(text.split())[:200]
        words = re.findall(r"\w+", text.lower())
        runs = {
            zlib.crc32(" ".join(run).encode())
            for run in zip(words, words[1:], words[2:], strict=False)
        }
        sketch = sorted(runs)[:32]
        common = Counter(place for checksum in sketch for place in holders[checksum])
        if opening in openings or max(common.values(), default=0) >= 12:
            continue
        openings.add(opening)
        for checksum in sketch:
            holders[checksum].append(len(kept))
        kept.append(each)
    return kept


def _without_small_subjects(found: list[Labelled], subjects: Subjects) -> list[Labelled]:
    """Leave out subjects that cannot appear on both sides."""
    documents = Counter(subject for subject, _ in found)
    modules = Counter(subject for subject, _ in {(s, document.module) for s, document in found})
    small = sorted(s for s in subjects if documents[s] < _FEWEST or modules[s] < 2)
    if len(subjects) - len(small) < 2:
        raise DataError(
            f"expected two subjects or more with {_FEWEST} documents in two modules, got "
            f"{len(subjects) - len(small)}; {_ADVICE}"
        )
    if small:
        _warn(f"{len(small)} of {len(subjects)} subjects have too few documents: {small}")
    return [each for each in found if each[0] not in small]


def _split_by_module(
    found: list[Labelled], share: float, chance: random.Random
) -> tuple[list[Labelled], list[Labelled]]:
    """Send whole modules to training or held-out, subject by subject, near the training share."""
    by_module: defaultdict[tuple[str, str], list[Labelled]] = defaultdict(list)
    for each in found:
        by_module[each[0], each[1].module].append(each)
    sides: tuple[list[Labelled], list[Labelled]] = ([], [])
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


def _draw(side: list[Labelled], wanted: int, name: str, chance: random.Random) -> list[Labelled]:
    """Draw documents, as many of each subject as of the others while there are enough."""
    if len(side) < wanted:
        raise DataError(
            f"expected {wanted} {name} documents, found {len(side)} that can be used; ask for "
            f"fewer, or {_ADVICE}"
        )
    by_subject: defaultdict[str, list[Labelled]] = defaultdict(list)
    for each in side:
        by_subject[each[0]].append(each)
    drawn: list[Labelled] = []
    # Small subjects first: what they cannot give, the larger ones do.
    for done, group in enumerate(sorted(by_subject.values(), key=len)):
        even = math.ceil((wanted - len(drawn)) / (len(by_subject) - done))
        drawn += chance.sample(group, min(len(group), even))
    chance.shuffle(drawn)
    return drawn


def _warn(text: str) -> None:
    warnings.warn(f"{text}; {_ADVICE}", TerselyWarning, stacklevel=4)
