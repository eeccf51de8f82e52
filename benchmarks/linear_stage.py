"""The linear stage on word pieces: accuracy beside words in scikit-learn, bytes, time.

    OMP_NUM_THREADS=1 python benchmarks/linear_stage.py --data $DATA [--sets r8 bbc]

Fitted on all training documents (7,500 of imdb), tested on the test part; the stage reads the first
256 tokens, as the encoder beside it does; TF-IDF of words and pairs of words reads whole texts. The
stage is timed in turns with the tokenizer, on 1,000 test documents, in batches of 4,096 tokens.
All times are the processor's, of one thread, since the machine may have other work. A set whose
figures are there already is left as it is.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from common import drawn, parser, quiet, versions, write
from tersely._io import describe_machine
from tersely.defaults import packaged_encoder
from tersely.linear import LinearStage, fit_linear
from tersely.ragged import Layout
from tersely.text import Documents, LabelSpace, read_documents
from tersely.text.batching import fill_batches
from tersely.text.encoding import EncodedDocuments, encode
from tersely.text.metrics import calibration_error, evaluate_logits

SETS = ("r8", "bbc", "20ng", "arxiv", "sst2", "imdb")
LENGTH, BATCH, TIMED = 256, 4096, 1000


def row(encoded: EncodedDocuments) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay documents end to end, with their boundaries."""
    ids = torch.from_numpy(np.concatenate(encoded.windows).astype(np.int64))
    return ids, Layout.from_lengths(encoded.sizes.tolist()).offsets


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return accuracy and macro F1."""
    found = evaluate_logits(logits, labels)
    return {name: round(found[name], 4) for name in ("accuracy", "macro_f1")}


def words(texts: dict[str, list[str]], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    """Fit scikit-learn's models on words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import ComplementNB
    from sklearn.svm import LinearSVC

    begun = time.process_time()
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    vectors = vectorizer.fit_transform(texts["train"])
    held = vectorizer.transform(texts["test"])
    record: dict[str, Any] = {"features": vectors.shape[1]}
    record["seconds_of_features"] = round(time.process_time() - begun, 1)
    models = {
        "svc": LinearSVC(class_weight="balanced", random_state=0),
        "naive-bayes": ComplementNB(alpha=0.1),
    }
    for name, model in models.items():
        begun = time.process_time()
        model.fit(vectors, labels["train"])
        logits = np.eye(len(model.classes_))[model.predict(held)]
        seconds = round(time.process_time() - begun, 1)
        record[name] = scores(logits, labels["test"]) | {"seconds": seconds}
    return record


def microseconds(stage: LinearStage, tokenizer: Any, texts: list[str], rounds: int) -> dict:
    """Time the stage and the tokenizer in turns, microseconds a document."""
    encoded = encode(tokenizer, texts, max_length=LENGTH)
    batches = [row(encoded.select(batch)) for batch in fill_batches(encoded.sizes, BATCH)]
    taken: dict[str, list[float]] = {"tokenizer": [], "stage": []}
    for _ in range(rounds + 1):
        begun = time.process_time()
        encode(tokenizer, texts, max_length=LENGTH)
        middle = time.process_time()
        with torch.inference_mode():
            for inputs in batches:
                stage(*inputs)
        taken["tokenizer"].append(middle - begun)
        taken["stage"].append(time.process_time() - middle)
    each = {n: 1e6 * statistics.median(s[1:]) / len(texts) for n, s in taken.items()}
    ratio = statistics.median(
        stage / tokens for stage, tokens in list(zip(*reversed(taken.values()), strict=True))[1:]
    )
    return {name: round(value, 1) for name, value in each.items()} | {"ratio": round(ratio, 3)}


def measure(data: Path, name: str, encoder: Path, rounds: int) -> dict[str, Any]:
    """Fit, test and time on one data set."""
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    documents: dict[str, Documents] = {
        split: read_documents(data / name / f"{split}.parquet", labels="required")
        for split in ("train", "test")
    }
    if name == "imdb":
        documents["train"] = drawn(documents["train"], 7500)
    space = LabelSpace.infer(documents["train"].labels)
    labels = {split: space.encode(part.labels) for split, part in documents.items()}
    encoded = {s: encode(tokenizer, p.texts, max_length=LENGTH) for s, p in documents.items()}
    begun = time.process_time()
    fit = fit_linear(
        *row(encoded["train"]),
        labels["train"],
        classes=len(space.names),
        vocabulary=len(tokenizer),
        special_ids=tuple(tokenizer.all_special_ids),
        most_bytes=(encoder / "model.safetensors").stat().st_size // 10,
    )
    record = fit.record() | {"seconds": round(time.process_time() - begun, 1)}
    with torch.inference_mode():
        answers = fit.stage(*row(encoded["test"])).numpy()
    record["test"] = scores(answers, labels["test"])
    record["test"]["calibration_error"] = round(calibration_error(answers, labels["test"]), 4)
    timed = drawn(documents["test"], TIMED).texts
    record["microseconds"] = microseconds(fit.stage, tokenizer, timed, rounds)
    record["words"] = words({split: part.texts for split, part in documents.items()}, labels)
    load = round(os.getloadavg()[0], 1)
    return {"test_documents": len(labels["test"]), "load_of_the_machine": load} | record


def main() -> None:
    """Measure the sets that are not in the record yet."""
    options = parser(__doc__, "linear_stage.json", "data", rounds=5)
    options.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    given = options.parse_args()
    quiet()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    about = {"max_length": LENGTH, "machine": describe_machine(), "versions": versions()}
    record = json.loads(given.out.read_text()) if given.out.exists() else about | {"sets": {}}
    for name in given.sets:
        if name not in record["sets"]:
            record["sets"][name] = measure(given.data, name, packaged_encoder(), given.rounds)
            write(given.out, record)


if __name__ == "__main__":
    main()
