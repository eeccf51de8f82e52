"""A path is walked to its first failure, each limit by itself; the record says what it hides."""

import json

import numpy as np
import pytest

from tersely.certificates import Certificates, Part, fingerprint, prove, surest_point, upper_bound
from tersely.errors import DataError, ModelError

DOCUMENTS = 1000
TEXTS = [f"text {number}" for number in range(DOCUMENTS)]
EARLY = np.arange(DOCUMENTS) < np.array([[200], [400], [600], [800], [1000]])


def changed(*counts):
    """The first documents change at each point."""
    return np.arange(DOCUMENTS) < np.array(counts)[:, None]


def test_each_limit_has_the_last_point_before_its_first_failure():
    # The fourth point alone is too bad for 1 %: what follows it is not looked at.
    found = prove(TEXTS, EARLY, changed(0, 1, 3, 9, 3), limits=(0.02, 0.01, 0.001))
    strict, middle, loose = found.certificates
    assert (strict.point, middle.point, loose.point) == (None, 2, 4)
    assert (middle.worse, middle.early, middle.bound) == (3, 600, upper_bound(3, DOCUMENTS))
    assert strict.bound == upper_bound(0, DOCUMENTS)
    assert found.fingerprint == fingerprint(TEXTS)
    assert "10 of 1,000 texts" not in "".join(found.lines())
    assert "2,995 texts for proof would be enough" in found.lines()[-1]
    assert found.lines(limit=0.001)[0] == found.lines()[-1]
    # What is alike at several limits is said once.
    lines = prove(TEXTS, EARLY, changed(0, 1, 3, 9, 3), limits=(0.01, 0.001, 0.0005)).lines()
    assert len(lines) == 2 and lines[1].startswith("0.05%, 0.10%: not proven; ")
    assert lines[1].endswith("for 0.10% about 2,995 texts for proof would be enough at this rate")


def test_a_net_loss_weighs_losses_against_gains():
    wrong = changed(0, 2, 10, 10, 30)
    right = changed(5, 6, 30, 30, 30) ^ wrong
    found = prove(TEXTS, EARLY, wrong, right, criterion="loss", limits=(0.005, 0.02))
    assert [each.point for each in found.certificates] == [3, 3]
    assert found.certificates[0].better == 20
    assert found.certificates[0].bound < 0, "a gain is proven"
    assert "10 turned wrong and 20 right" in found.lines()[0]


def test_an_error_is_counted_among_what_is_answered():
    wrong = changed(0, 4, 12, 60, 200)
    found = prove(TEXTS, EARLY, wrong, criterion="error", limits=(0.01, 0.02, 0.05), first=1)
    assert [each.point for each in found.certificates] == [None, None, 2]
    assert found.certificates[2].documents == 600
    assert found.certificates[2].bound == upper_bound(12, 600)
    assert surest_point(EARLY, wrong) == 0
    assert surest_point(EARLY, changed(3, 3, 3, 60, 200)) == 2


def test_a_class_that_is_erased_is_named():
    classes = ["rare" if number < 9 else "common" for number in range(DOCUMENTS)]
    found = prove(TEXTS, EARLY, changed(0, 0, 0, 0, 5), limits=[0.02], classes=classes)
    assert found.certificates[0].by_class == {"common": [991, 0, 0], "rare": [9, 5, 0]}
    assert found.lines()[1] == "2.00%: classes that lose many: 'rare' 5 of 9"


def test_a_record_comes_back_from_json_as_it_was():
    parts = [Part("choosing", "set 5 thresholds", 400, "0123456789abcdef")]
    classes = ["a", "b"] * 500
    made = prove(TEXTS, EARLY, changed(0, 1, 2, 3, 4), classes=classes, parts=parts)
    assert Certificates.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    with pytest.raises(ModelError, match=r"must be 1, got 2; use a newer tersely"):
        Certificates.from_dict(made.to_dict() | {"version": 2})
    with pytest.raises(ModelError, match="certificates are incomplete"):
        Certificates.from_dict({"version": 1, "certificates": []})


def test_a_limit_that_was_not_certified_names_the_nearest():
    found = prove(TEXTS, EARLY, changed(0, 0, 0, 0, 0))
    assert found.at(0.02).limit == 0.02
    with pytest.raises(DataError, match=r"the nearest that are: 1% and 2%"):
        found.at(0.015)
    with pytest.raises(DataError, match="none is"):
        prove(TEXTS, EARLY, changed(*[500] * 5) & EARLY).at(0.01)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"early": EARLY[::-1]}, "200 of point 0 are missing at point 1"),
        ({"worse": changed(0, 0, 0, 900, 0)}, "stays the same"),
        ({"worse": changed(0, 0, 0)}, "must all have the shape"),
        ({"worse": np.full(EARLY.shape, 2)}, "true or false"),
        ({"early": EARLY[:, :5]}, "points, 1000"),
        ({"early": EARLY[:0]}, "points, 1000"),
        ({"texts": ["Text 1 ", *TEXTS[1:]]}, "1 of 1,000 texts for proof repeat another"),
        ({"classes": ["a"]}, "got 1"),
        ({"criterion": "losses"}, "did you mean 'loss'"),
        ({"criterion": "loss"}, "better must be given"),
        ({"first": 5}, "from 0 to 4"),
        ({"limits": [0.5, 1.0]}, "got 1"),
    ],
)
def test_what_proves_nothing_is_refused(changes, match):
    given = {"texts": TEXTS, "early": EARLY, "worse": changed(0, 0, 0, 0, 0)} | changes
    with pytest.raises(DataError, match=match):
        prove(**given)
