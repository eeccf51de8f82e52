"""The page holds what the report holds, and nothing from elsewhere."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from bench_fakes import FakeContender, FakeProbe

from tersely.bench import TextContender, bench
from tersely.bench.html import to_html, write_plots
from tersely.bench.plots import pareto_front
from tersely.errors import OutputError

TEXTS = [f"text {'long ' * (number % 9)}{number}" for number in range(24)]
LABELS = [number % 2 for number in range(24)]


class Parity(TextContender):
    """All that a contender of one's own needs."""

    name = "parity <of> the number"
    about = "a rule of one line"

    def scores(self, texts):
        numbers = [int(text.split()[-1]) % 2 for text in texts]
        return np.log(0.98 * np.eye(2)[numbers] + 0.01)


@pytest.fixture
def report(clock):
    base = FakeContender("dense", clock, [2.0, 2.1], macs=2000)
    half = FakeContender("half", clock, [1.0, 1.2], macs=1000)
    base.tokens_by_block, half.tokens_by_block = (60, 60, 60), (60, 30, 30)
    clock_like = Parity()
    clock_like.run = lambda: FakeContender.run(half) * 0 + clock_like.scores(TEXTS)
    contenders = [base, half, clock_like]
    return bench(
        contenders,
        TEXTS,
        LABELS,
        rounds=4,
        memory=False,
        probe=FakeProbe(peak=2000.0),
        latency_documents=12,
    )


REFERENCES = ("src", "href", "xlink:href", "action")


class Page(HTMLParser):
    """Collects tags, rows and references of a page."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.rows, self.tags, self.references = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [
            v for k, v in attributes if k in ("src", "href", "xlink:href", "action")
        ]
        self.stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        if "tr" in self.stack and self.rows[-1]:
            self.rows[-1][-1] += data


def test_a_contender_of_ones_own_has_its_row_and_its_points(report):
    page = to_html(report)
    rows = {row[0].strip(): row for row in Page(page).rows}
    assert set(rows) == {"contender", "dense", "half", "parity <of> the number"}
    head = [cell.strip() for cell in rows["contender"]]
    cells = dict(zip(head, rows["parity <of> the number"], strict=True))
    assert cells["accuracy"].startswith("100.0 %")
    assert "×2.00" in dict(zip(head, rows["half"], strict=True))["times as fast"]
    assert "a rule of one line" in page
    assert page.count("parity &lt;of&gt; the number") >= 4  # table, list and legends


def test_the_page_needs_nothing_from_elsewhere(report):
    page = Page(to_html(report))
    assert {"svg", "table", "script", "style"} <= set(page.tags)
    assert not [r for r in page.references if not r.startswith("#")]
    assert "link" not in page.tags and "img" not in page.tags
    # Names of SVG are not addresses that anything is loaded from.
    text = re.sub(r'xmlns(:\w+)?="[^"]*"', "", to_html(report))
    assert not re.findall(r"https?://", text)


def test_the_page_holds_no_text_of_a_document(report):
    page = to_html(report)
    assert not any(text in page for text in TEXTS if "long" in text)


def test_plots_are_drawn_as_far_as_there_are_figures(report, tmp_path):
    names = {path.stem for path in write_plots(report, tmp_path / "plots")}
    assert names == {
        "accuracy-against-throughput",
        "speedup-against-saving",
        "latency-against-length",
        "tokens-alive",
    }
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (tmp_path / "plots").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_plots(report, tmp_path / "file" / "plots")


def test_nothing_on_the_front_is_beaten():
    points = [(1, 5), (3, 5), (2, 9), (4, 1), (4, 2), (0.5, 9)]
    assert pareto_front(points) == [(2, 9), (3, 5), (4, 2)]
