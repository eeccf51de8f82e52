"""A pipeline of spaCy itself, trained on a few sentences, saved, and loaded from its directory."""

from __future__ import annotations

import random

import pytest
import torch

from tersely.errors import ModelError
from tersely.methods.patterns import Syntax
from tersely.modeling import from_encoder
from tersely.reduction import Knowledge, Plan, Step
from tersely.text.syntax import DependencyParser, spacy_heads
from words import save_encoder, tokenizer

spacy = pytest.importorskip("spacy")

# spaCy and what it stands on have warnings of their own.
pytestmark = pytest.mark.filterwarnings("default")

# Words of the tests' tokenizer, each governed by the word with this number; the verb is the root.
SENTENCES = [
    (["cat", "word1", "dog"], [1, 1, 1]),
    (["word2", "cat", "word1", "word3", "dog"], [1, 2, 2, 4, 2]),
    (["dog", "word1", "word2", "cat"], [1, 1, 3, 1]),
    (["word3", "dog", "word1", "word2", "cat"], [1, 2, 2, 4, 2]),
    (["word2", "dog", "word1"], [1, 2, 2]),
    (["piano", "word1", "word3", "drum"], [1, 1, 3, 1]),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    from spacy.tokens import Doc
    from spacy.training import Example

    random.seed(0)
    spacy.util.fix_random_seed(0)
    pipeline = spacy.blank("en")
    parser = pipeline.add_pipe("parser")
    kinds = {"word1": "ROOT", "word2": "det", "word3": "det"}
    examples = []
    for words, heads in SENTENCES:
        deps = [kinds.get(word, "dep") for word in words]
        for dep in deps:
            parser.add_label(dep)
        whole = Doc(pipeline.vocab, words=words, heads=heads, deps=deps)
        examples.append(Example(Doc(pipeline.vocab, words=words), whole))
    optimizer = pipeline.initialize(lambda: examples)
    for _ in range(60):
        random.shuffle(examples)
        pipeline.update(examples, sgd=optimizer)
    folder = tmp_path_factory.mktemp("spacy") / "pipeline"
    pipeline.to_disk(folder)
    return folder


def test_a_pipeline_on_disk_gives_the_heads_that_it_learned(directory):
    heads = spacy_heads(str(directory))
    assert [heads(words) for words, _ in SENTENCES] == [wanted for _, wanted in SENTENCES]


def test_a_model_attends_along_the_parse(directory, tmp_path):
    plan = Plan("syntax", [Step(Syntax(), {"start": 0})])
    model = from_encoder(str(save_encoder(tmp_path)), plan=plan, num_labels=3).eval()
    parser = DependencyParser(tokenizer(), spacy_heads(directory))
    model.knowledge = Knowledge(parser=parser)
    ids = tokenizer()("word2 cat word1 word3 dog")["input_ids"]
    assert parser(ids) == ([-1, 0, 1, 2, 3, 4, -1], SENTENCES[1][1])
    with torch.inference_mode():
        trace = model(torch.tensor([ids]), output_trace=True).trace
    # [CLS] with all; of five words each with itself, and four arcs both ways.
    arcs = 5 + 2 * 4
    assert {layer.connected[0] for layer in trace.blocks} == {arcs + 2 * 7 - 1 + 1}


def test_a_pipeline_that_is_not_there_or_cannot_parse(tmp_path):
    with pytest.raises(ModelError, match="spaCy has no pipeline 'en_core_web_nothing'"):
        spacy_heads("en_core_web_nothing")
    spacy.blank("en").to_disk(tmp_path / "blank")
    heads = spacy_heads(tmp_path / "blank")
    with pytest.raises(ModelError, match="has no dependency parser"):
        heads(["a", "word"])
    assert heads([]) == []
