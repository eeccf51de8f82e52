"""One comparison with fakes: its JSON, its table, its page and its plots."""

import dataclasses
import io
import json
import math
import re

import numpy as np
import pytest
from bench_fakes import FakeContender
from rich.console import Console

from tersely.bench import TextContender, bench, render, write_report
from tersely.bench.memory import PeakMemory
from tersely.errors import DataError, OutputError

TEXTS = ["a b c", "d", "e f", "g"]
LABELS = [0, 1, 0, 0]


def text_of(report, width):
    console = Console(width=width, file=io.StringIO())
    console.print(render(report))
    return console.file.getvalue()


@pytest.fixture
def contenders(clock):
    """A baseline that is right thrice, and one twice as fast that agrees with it thrice."""
    return [
        FakeContender("dense, stock in arrival order", clock, [2.2, 2.0, 4.0], macs=2000),
        FakeContender("[half]", clock, [1.1, 1.0, 2.0], logits=np.eye(2)[[0, 0, 0, 1]], macs=500),
        FakeContender("tf-idf", clock, [0.01]),
    ]


@pytest.fixture
def report(contenders):
    return bench(contenders, TEXTS, LABELS, rounds=3, memory=False)


def test_not_conclusive_is_said_of_paired_intervals_that_hold_1(report):
    """Every contender was named where one round was slow for all of them alike."""
    assert report.results[1].spread.relative > 0.15 and report.inconclusive == []
    doubtful = dataclasses.replace(report.results[1].speedup, interval=(0.9, 1.2))
    result = dataclasses.replace(report.results[1], speedup=doubtful)
    report = dataclasses.replace(report, results=(report.results[0], result))
    assert report.inconclusive == ["[half]"]
    assert "Not conclusive whether faster" in text_of(report, 80)


def test_results_are_set_against_the_baseline(report):
    dense, half, linear = report.results
    assert (report.documents, report.rounds, report.latency_documents) == (4, 3, 4)
    assert report.baseline == dense.name
    assert dense.seconds == pytest.approx((2.0, 4.0, 2.2))
    assert dense.speedup.median == 1 and dense.agreement == 1
    assert (half.speedup.minimum, half.speedup.maximum) == pytest.approx((2.0, 2.0))
    assert half.macs_ratio == 0.25
    assert half.realised_saving == pytest.approx(0.5)
    assert half.agreement == 0.75
    assert (dense.quality["accuracy"], half.quality["accuracy"]) == (0.75, 0.5)
    assert (dense.latency_p50, dense.tokens) == (pytest.approx(3100), 7)
    assert linear.macs is linear.realised_saving is linear.memory is None


def test_memory_is_asked_of_every_contender_in_turn(clock, monkeypatch):
    peaks = {"left": PeakMemory(2**20, 2**19), "right": None}
    monkeypatch.setattr("tersely.bench.run.measure_memory", lambda each, texts: peaks[each.name])
    seen = []
    fakes = [FakeContender(name, clock) for name in peaks]
    options = {"baseline": "right", "latency_documents": 0}
    report = bench(fakes, TEXTS, progress=lambda *step: seen.append(step), **options)
    assert report.baseline == "right" and report.results[0].latency_p50 is None
    assert [result.memory for result in report.results] == list(peaks.values())
    assert seen[-2:] == [("judged: left", 1, 2), ("judged: right", 2, 2)]


@pytest.mark.parametrize(
    ("names", "texts", "baseline", "message"),
    [
        ([], TEXTS, None, "at least one contender"),
        (["a"], [], None, "one document"),
        (["a", "a"], TEXTS, None, "different names"),
        (["a"], TEXTS, "b", "baseline"),
    ],
)
def test_what_cannot_be_compared_is_refused(names, texts, baseline, message):
    with pytest.raises(DataError, match=message):
        bench([FakeContender(name) for name in names], texts, baseline=baseline)


def with_memory(report):
    first, *others = report.results
    first = dataclasses.replace(first, memory=PeakMemory(900 * 2**20, 600 * 2**20))
    return dataclasses.replace(report, results=(first, *others))


def test_json_holds_every_figure_and_null_for_an_undefined_one(report):
    report = with_memory(report)
    first = dataclasses.replace(report.results[0], quality={"pearson": math.nan, "mse": 1.0})
    report = dataclasses.replace(report, results=(first, *report.results[1:]))
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert content["version"] == 3 and content["rounds"] == 3
    assert content["results"][0]["quality"] == {"pearson": None, "mse": 1.0}
    assert content["results"][0]["memory"]["peak_bytes"] == 900 * 2**20
    assert content["results"][1]["seconds"] == list(report.results[1].seconds)


def test_the_table_holds_every_name_and_figure_in_80_columns(report):
    text = text_of(with_memory(report), 80)
    words = text.split()
    for result in report.results:
        assert set(result.name.split()) <= set(words)
    # Documents per second and their ratio, MACs' ratio, peak memory, what of the saving arrived.
    for figure in ("1.82", "×2.00", "×0.250", "900", "0.500", "0.750", "75.0%"):
        assert figure in words
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


class Parity(TextContender):
    """All that a contender of one's own needs."""

    name = "parity <of> the number"
    about = "a rule of one line"

    def scores(self, texts):
        return np.log(0.98 * np.eye(2)[[int(text.split()[-1]) % 2 for text in texts]] + 0.01)


@pytest.fixture
def whole(clock):
    texts = [f"text {'long ' * (number % 9)}{number}" for number in range(24)]
    base = FakeContender("dense", clock, [2.0, 2.1], macs=2000, logits=np.eye(2)[[0] * 24])
    half = FakeContender("half", clock, [1.0, 1.05], macs=1000)
    rule = Parity()
    rule.run = lambda: FakeContender.run(half) * 0 + rule.scores(texts)
    labels = [number % 2 for number in range(24)]
    options = {"rounds": 4, "memory": False, "latency_documents": 12}
    return bench([base, half, rule], texts, labels, **options)


def test_the_page_holds_every_contender_and_needs_nothing_from_elsewhere(whole, tmp_path):
    page = write_report(whole, tmp_path / "report.html").read_text("utf-8")
    assert "a rule of one line" in page and "<svg" in page
    assert page.count("parity &lt;of&gt; the number") >= 3  # table, list and legend
    assert ">×2.00<" in page and ">1.000<" in page
    assert re.search(r"<small>[^<]* to [^<,]*</small><small>p = ", page)  # two narrow lines
    assert "–; " not in page and "<small></small>" not in page
    # Names of SVG are not addresses that anything is loaded from.
    assert not re.findall(r"https?://", re.sub(r'xmlns(:\w+)?="[^"]*"', "", page))
    assert not re.findall(r'<(link|img)|src=|(?<!xlink:)href="(?!#)', page)
    assert "long long" not in page
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(whole, tmp_path / "nowhere" / "report.html")


def test_the_page_shows_what_accelerate_certified_of_a_contender(whole, tmp_path):
    picture = tmp_path / "speed.svg"
    picture.write_text("<svg><script>alert(1)</script></svg>")
    pictures = [("half", picture), ("dense", tmp_path / "none.svg")]
    page = write_report(whole, tmp_path / "report.html", pictures).read_text("utf-8")
    assert "half: speed against certified limit" in page and "alert(1)" not in page
    assert re.findall("src=.{27}", page) == ['src="data:image/svg+xml;base64,']


def test_the_verdict_says_who_is_best_by_how_much_at_what_cost(whole, report):
    """Nobody said that TF-IDF was better, with p = 0.034 in the table."""
    (said,) = whole.verdict()
    assert said.startswith("half is most accurate: 100.0 % against 50.0 %, +50.0 points (+")
    assert said.endswith("at 2 times the speed of dense.") and "not conclusive" not in said
    assert "half is most accurate" in " ".join(text_of(whole, 80).split())
    (said,) = report.verdict()
    assert said.startswith("Nothing here is shown to be more accurate than dense")
    assert "tf-idf, reaches 75.0 % against 75.0 %, +0.0 points (+0.0 to +0.0, not concl" in said
