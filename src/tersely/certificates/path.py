"""How far along a path of thresholds, from strict to loose, a limit is proven.

The path is settled on documents for choosing. On those for proof its points are tested one after
the other, each at the full 5 %, and the first that fails ends it: the first point that truly breaks
the limit passes in at most 5 of 100 samples, and those behind it are reached in no others. So
nothing is paid for the number of points (fixed-sequence testing, "Learn then Test", 2110.01052),
and each limit, which has a sequence of its own, holds on its own.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tersely.certificates.bounds import CONFIDENCE, LIMITS, check_limit, upper_bound
from tersely.certificates.netloss import net_loss_bound, net_loss_p_value
from tersely.certificates.parts import Part, Text, different, fingerprint
from tersely.certificates.record import CRITERIA, Certificate, Certificates
from tersely.errors import DataError, close_match


def loosest_proven(
    documents: ArrayLike, worse: ArrayLike, better: ArrayLike | None, limit: float, after: int = -1
) -> int:
    """Return the last point before the first that fails, `after` if that is the next one.

    Counts `(points,)`, seen or hoped for, are those of each; `better` makes them those of a net
    loss. Points up to `after` are not tested: a stricter limit proved them, or they were left out.
    """
    check_limit(limit)
    if better is None:
        passes = upper_bound(worse, documents) <= limit
        return after + int(np.logical_and.accumulate(passes[after + 1 :]).sum())
    for point in range(after + 1, len(worse)):
        counts = worse[point], better[point], documents[point]
        if net_loss_p_value(*counts, limit) > 1 - CONFIDENCE:
            return point - 1
    return len(worse) - 1


def surest_point(early: ArrayLike, wrong: ArrayLike) -> int:
    """Return the point where the bound on the error of what is answered is least.

    Before it so few are answered that little can be proven of them: with the criterion `"error"`
    the tests begin here. Both arrays are of the documents for *choosing*, `(points, documents)`: on
    those for proof it would be a choice that they may not make.
    """
    answered = np.asarray(early, dtype=bool)
    errors = (answered & np.asarray(wrong, dtype=bool)).sum(axis=1)
    return int(np.argmin(upper_bound(errors, answered.sum(axis=1))))


def prove(
    texts: Sequence[Text],
    early: ArrayLike,
    worse: ArrayLike,
    better: ArrayLike | None = None,
    *,
    criterion: str = "disagreement",
    limits: Sequence[float] = LIMITS,
    first: int = 0,
    classes: Sequence[str] | None = None,
    parts: Sequence[Part] = (),
) -> Certificates:
    """Return how far along the path each limit is proven by documents that did nothing else.

    Args:
        texts: the documents for proof, all different, drawn as those to come will be.
        early: who is answered by a stage before the reference, `(points, documents)`: who is at one
            point is at all that follow.
        worse: who of them gets another label (`"disagreement"`), turns wrong (`"loss"`), or gets a
            wrong label (`"error"`), of the same shape.
        better: who of them turns right, for `"loss"` alone.
        criterion: `"error"` is the share of wrong labels *among* the answered: of a document to
            come it holds given that it is answered.
        limits: shares between 0 and 1.
        first: the point at which the tests begin, settled with the path: see `surest_point`.
        classes: the class of each document: the reference's label, or the true one.
        parts: what each part of the documents did, for the record.

    Raises:
        DataError: if the path is not from strict to loose, texts occur twice, or marks do not fit.
    """
    _check_given(texts, criterion, better, classes)
    answered, lost, won = _marks(len(texts), early, worse, better)
    if not 0 <= first < len(answered):
        raise DataError(f"first must be from 0 to {len(answered) - 1}, got {first}")
    counting = answered if criterion == "error" else np.ones_like(answered)
    documents, losses, gains = (each.sum(axis=1).tolist() for each in (counting, lost, won))
    found, reached = [], first - 1
    for limit in sorted(set(limits)):
        gained = None if better is None else gains
        reached = loosest_proven(documents, losses, gained, limit, after=reached)
        at = max(first, reached)
        if better is None:
            bound = float(upper_bound(losses[at], documents[at]))
        else:
            bound = net_loss_bound(losses[at], gains[at], documents[at])
        # A net loss's bound is rounded up; what passed is within its limit exactly.
        proven = (at, min(bound, limit)) if at == reached else (None, bound)
        counts = documents[at], int(answered[at].sum()), losses[at], gains[at]
        by_class = _by_class(classes, counting[at], lost[at], won[at])
        found.append(Certificate(limit, *proven, *counts, by_class))
    about = {"documents": len(texts), "fingerprint": fingerprint(texts), "parts": tuple(parts)}
    about |= {"points": len(answered), "first": first, "certificates": tuple(found)}
    return Certificates(criterion=criterion, confidence=CONFIDENCE, **about)


def _by_class(classes: Sequence[str] | None, *marks: np.ndarray) -> dict[str, list[int]]:
    """Count marks `(documents,)` by class; classes of which no document counts are left out."""
    if classes is None:
        return {}
    names, numbers = np.unique(np.asarray(classes, dtype=str), return_inverse=True)
    counts = np.stack([np.bincount(numbers[each], minlength=len(names)) for each in marks], axis=1)
    counted = zip(names.tolist(), counts.tolist(), strict=True)
    return {name: each for name, each in counted if each[0]}


def _check_given(
    texts: Sequence[Text], criterion: str, better: ArrayLike | None, classes: Sequence[str] | None
) -> None:
    if criterion not in CRITERIA:
        raise DataError(
            f"expected a criterion of {', '.join(CRITERIA)}, got {criterion!r}"
            f"{close_match(criterion, CRITERIA)}"
        )
    if (better is None) == (criterion == "loss"):
        raise DataError(
            f"better must be given for the criterion 'loss' and for no other, got {criterion!r}"
        )
    if repeated := len(texts) - len(different(texts)):
        raise DataError(
            f"{repeated} of {len(texts):,} texts for proof repeat another but for spaces and case; "
            "leave them out, since each counts once"
        )
    if classes is not None and len(classes) != len(texts):
        raise DataError(f"expected a class for each of {len(texts):,} texts, got {len(classes):,}")


def _marks(
    documents: int, early: ArrayLike, worse: ArrayLike, better: ArrayLike | None
) -> list[np.ndarray]:
    """Return marks as booleans `(points, documents)`, if they are those of a path."""
    shape = np.shape(early)
    given = [early, worse, np.zeros(shape) if better is None else better]
    for each in map(np.asarray, given):
        if each.shape != shape or len(shape) != 2 or shape[1] != documents or not each.size:
            told = f"must all have the shape (points, {documents}), got {each.shape}"
            raise DataError(f"early, worse and better {told}")
        if not np.isin(each, (0, 1)).all():
            raise DataError("early, worse and better must be true or false, got other numbers")
    early, worse, better = (np.asarray(each, dtype=bool) for each in given)
    lost = (early[:-1] & ~early[1:]).sum(axis=1)
    if lost.any():
        point = int(np.flatnonzero(lost)[0])
        raise DataError(
            f"each point must answer all documents early that the point before it does, but "
            f"{lost[point]} of point {point} are missing at point {point + 1}; sort the points"
        )
    if ((worse | better) & ~early | worse & better).any():
        raise DataError(
            "worse and better must be documents that are answered early, and none may be both; "
            "what the reference answers stays the same"
        )
    return [early, worse, better]
