"""What was proven of a cascade, as plain data: JSON beside the model, and words for a user."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tersely.certificates.bounds import documents_needed
from tersely.certificates.netloss import documents_for_net_loss
from tersely.certificates.parts import Part
from tersely.errors import DataError, ModelError

VERSION = 1
LARGE_SHARE = 0.1  # of its documents: a class that loses so many is named

CRITERIA = {
    "disagreement": "{worse:,} with a different label than the reference",
    "loss": "{worse:,} turned wrong and {better:,} right",
    "error": "{worse:,} of {documents:,} answered texts with a wrong label",
}
"""What a limit is on, by criterion, and how it is said of a certificate's counts."""


@dataclass(frozen=True)
class Certificate:
    """What the documents for proof say of one limit, at its point or else the path's first one."""

    limit: float  # the share that is allowed
    point: int | None  # the loosest point of the path that is proven, from 0; None for none
    bound: float  # the share that is not exceeded at this confidence
    documents: int  # all that count: those for proof, or those of them that are answered (`error`)
    early: int  # how many are answered by a stage before the reference
    worse: int  # how many got another label, turned wrong, or got a wrong one
    better: int = 0  # how many turned right (`loss`)
    by_class: Mapping[str, list[int]] = field(default_factory=dict)
    """`documents`, `worse` and `better` of each class."""

    @property
    def proven(self) -> bool:
        """Whether a point of the path is proven to keep the limit."""
        return self.point is not None


@dataclass(frozen=True)
class Certificates:
    """What was proven along one path, at each limit on its own, from strict to loose.

    `confidence` is that of each limit, not of all together; `first` the point at which the tests
    began, of `points`; `documents` and `fingerprint` are those of the texts for proof, and `parts`
    say what the others did.
    """

    criterion: str
    confidence: float
    points: int
    first: int
    documents: int
    fingerprint: str
    certificates: tuple[Certificate, ...]
    parts: tuple[Part, ...] = ()

    def at(self, limit: float) -> Certificate:
        """Return the certificate of a limit; a DataError names the nearest that were proven."""
        proven = [each for each in self.certificates if each.proven]
        nearest = sorted(proven, key=lambda each: abs(each.limit - limit))[:2]
        if nearest and abs(nearest[0].limit - limit) < 1e-9:
            return nearest[0]
        found = sorted(100 * each.limit for each in nearest)
        names = " and ".join(f"{value:g}%" for value in found)
        raise DataError(
            f"a limit of {100 * limit:g}% on the {self.criterion} is not certified for this model; "
            + (f"the nearest that are: {names}" if names else "none is: prove it on more texts")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the certificates as JSON has them."""
        return {"version": VERSION} | asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild certificates; a ModelError says if they are of a newer version, or not whole."""
        version = data.get("version") if isinstance(data, Mapping) else None
        if version != VERSION:
            raise ModelError(
                f"certificates.version must be {VERSION}, got {version!r}; use a newer tersely if "
                "it is higher, else certify the model again"
            )
        given = {name: value for name, value in data.items() if name != "version"}
        try:
            given["certificates"] = tuple(Certificate(**each) for each in given["certificates"])
            given["parts"] = tuple(Part(**each) for each in given["parts"])
            return cls(**given)
        except (KeyError, TypeError) as error:
            raise ModelError(f"certificates are incomplete: {error}; make them again") from None

    def lines(self, limit: float | None = None) -> list[str]:
        """Return what is proven, what it hides, and what more texts would bring.

        A limit that is named comes first, and those that are not proven last.
        """
        found, unproven = [], {}
        for each in sorted(self.certificates, key=lambda one: (one.limit != limit, not one.proven)):
            counts = CRITERIA[self.criterion].format(**vars(each))
            most = f"at most {each.bound:.2%} at {self.confidence:.0%} confidence"
            if not each.proven:
                said = f"not proven; {counts}, of {self.documents:,} texts: {most}"
                if each.limit == limit:
                    found.append(f"{each.limit:.2%}: {said}; {self._more(each)}")
                else:
                    unproven.setdefault(said, []).append(each)
                continue
            early = f"{each.early:,} of {self.documents:,} texts are answered"
            early += "" if self.criterion == "error" else " early"
            found.append(f"{each.limit:.2%}: {early}, {counts}: {most}")
            lost = [
                f"{name!r} {worse - better} of {documents:,}"
                for name, (documents, worse, better) in each.by_class.items()
                if worse - better >= LARGE_SHARE * documents
            ]
            if lost:
                found.append(f"{each.limit:.2%}: classes that lose many: {', '.join(lost)}")
        for said, alike in unproven.items():
            limits = ", ".join(f"{each.limit:.2%}" for each in alike)
            loosest = "" if len(alike) == 1 else f"for {alike[-1].limit:.2%} "
            found.append(f"{limits}: {said}; {loosest}{self._more(alike[-1])}")
        return found

    def _more(self, each: Certificate) -> str:
        """Say how many documents would prove the first point, if any number does."""
        worse, better = (count / max(1, each.documents) for count in (each.worse, each.better))
        if self.criterion == "loss":
            needed = documents_for_net_loss(each.limit, worse, better)
        else:
            needed = documents_needed(each.limit, worse)
        if needed is None:
            return "no realistic number of texts would be enough at this rate"
        kind = "that are answered" if self.criterion == "error" else "for proof"
        return f"about {needed:,} texts {kind} would be enough at this rate"
