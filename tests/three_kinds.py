"""Documents of three kinds, and a dense classifier of them: a random encoder under a fitted head.

Enough of what the encoder says is told by single words that a linear stage agrees with it often.
"""

from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from tersely import Classifier
from tersely.modeling import from_encoder
from tiny import tiny_encoder, tiny_tokenizer

WORDS = [f"w{number}" for number in range(60)]


def draw_kinds(documents: int = 400, *, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts and their kinds: two in three words are of the kind's own."""
    chance = np.random.default_rng(seed)
    kinds = chance.integers(3, size=documents)
    texts = []
    for kind in kinds:
        own = chance.choice(WORDS[20 * kind : 20 * kind + 20], size=40)
        words = np.where(chance.random(40) < 2 / 3, own, chance.choice(WORDS, size=40))
        texts.append(" ".join(words[: chance.integers(3, 40)]))
    return texts, kinds


TEXTS, KINDS = draw_kinds()


def write_dense(folder: Path) -> Path:
    """Write a dense tersely classifier of the kinds."""
    tiny_tokenizer(WORDS).save_pretrained(folder)
    tiny_encoder("bert", num_hidden_layers=4).save_pretrained(folder / "encoder")
    pooled = from_encoder(str(folder / "encoder"), num_labels=32)
    with torch.no_grad():
        pooled.head.classifier.weight.copy_(torch.eye(32))
    pooled.save_pretrained(folder)
    features = Classifier.from_pretrained(folder, device="cpu").logits(TEXTS)
    fitted = LogisticRegression(max_iter=1000).fit(features, KINDS)
    model = from_encoder(str(folder / "encoder"), num_labels=3)
    with torch.no_grad():
        model.head.classifier.weight.copy_(torch.from_numpy(fitted.coef_))
        model.head.classifier.bias.copy_(torch.from_numpy(fitted.intercept_))
    model.save_pretrained(folder)
    return folder
