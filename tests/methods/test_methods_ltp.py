"""Learned Token Pruning agrees with the paper's, on padded tensors of BERT: nothing is removed.

Scores are `s_i = 1/(H·n) Σ_h Σ_j A_ji` over the queries j that are alive, in a document of n
tokens. A soft mask is `σ((s_i − θ)/T)`, times the block's output; a hard one takes the tokens below
the threshold out of the keys of all following blocks and out of the classifier's mean.
"""

import pytest
import torch
from slow_bert import attend, classify, transform
from torch import Tensor, nn

from method_table import QUIET, build, pad
from tersely import preset
from tersely.modeling import with_plan
from tersely.modeling.modules import frozen_plan
from tersely.reduction import DropTokens, Threshold
from tiny import tiny_ids

LENGTHS = [40, 17, 3, 29, 2, 33]
THRESHOLDS = [0.4, 0.7, 0.9, 0.8]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def slow_ltp(
    model: nn.Module,
    batch: dict[str, Tensor],
    thresholds: list[Tensor],
    *,
    stage: str,
    temperature: float = 1.0,
    padded: bool = False,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Logits, each block's mask, and who is alive after it, `(documents, length)`.

    `stage` is `"soft"`, `"hard"`, or `"straight"` for hard with the gradients of soft masks.
    Thresholds and the temperature are in mean scores; `padded` divides them by the padded length,
    as the released code does, and not by the document's.
    """
    real = batch["attention_mask"].bool()
    hidden = model.encoder.embeddings(input_ids=batch["input_ids"])
    lengths = real.sum(1, keepdim=True).float()
    size = torch.full_like(lengths, real.shape[1]) if padded else lengths
    alive, gate = real, torch.ones(real.shape)
    first = torch.arange(real.shape[1]).expand_as(real) == 0
    masks, history = [], []
    for block, threshold in zip(model.encoder.encoder.layer, thresholds, strict=True):
        hidden, matrices = attend(block, hidden, alive[:, None, None], gate)
        paid = (matrices * alive[:, None, :, None]).mean(1).sum(1) / size  # (documents, keys)
        paid = paid.detach() if stage == "straight" else paid
        mask = torch.sigmoid((paid - threshold / size) / (temperature / size))
        mask = torch.where(first, 1.0, mask)
        hidden = transform(block, hidden)
        masks.append(mask)
        if stage == "soft":
            hidden = hidden * mask[..., None]
        else:
            alive = alive & ((paid >= threshold / size) | first)
            if stage == "straight":
                gate = gate * (1 + mask - mask.detach())
        history.append(alive)
    return classify(model, hidden, gate * alive), masks, history


def batch() -> dict:
    return pad(tiny_ids(LENGTHS))


def learned(name: str, **options):
    model = build(preset(name, least=1, **options), **QUIET).train()
    parameters = [model.learned[str(i)]["select"].threshold for i in range(4)]
    with torch.no_grad():
        for parameter, value in zip(parameters, THRESHOLDS, strict=True):
            parameter.fill_(value)
    return model, parameters


def rows(tensor: torch.Tensor) -> torch.Tensor:
    return torch.cat([row[:length] for row, length in zip(tensor, LENGTHS, strict=True)])


@pytest.mark.parametrize("padded", [False, True])
def test_the_soft_stage_is_the_papers(padded):
    model, thresholds = learned("ltp-paper", temperature=0.3, regularizer=0.25)
    output = model(**batch(), labels=torch.tensor([0, 1, 2, 0, 1, 2]))
    copies = [t.detach().clone().requires_grad_() for t in thresholds]
    options = {"stage": "soft", "temperature": 0.3, "padded": padded}
    logits, masks, _ = slow_ltp(model, batch(), copies, **options)
    torch.testing.assert_close(output.logits, logits, **CLOSE)
    size = 0.25 * torch.stack([rows(mask).mean() for mask in masks]).mean()
    torch.testing.assert_close(output.penalty, size, **CLOSE)

    output.loss.backward()
    gradients = [p.grad.clone() for p in thresholds]
    model.zero_grad()
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0, 1, 2])) + size
    loss.backward()
    torch.testing.assert_close(gradients, [copy.grad for copy in copies], **CLOSE)
    # The encoder is taught by the masks as well: scores carry gradients here.
    assert model.encoder.encoder.layer[3].attention.self.query.weight.grad.abs().max() > 0
    model.eval()
    torch.testing.assert_close(model(**batch()).logits, logits, **CLOSE)


@pytest.mark.parametrize("padded", [False, True])
@torch.no_grad()
def test_the_hard_stage_is_the_papers_on_the_scale_of_either_length(padded):
    soft, _ = learned("ltp-paper")
    plan = frozen_plan(soft.config.reduction_plan(), soft)
    step = plan.steps[0]
    assert step.act == DropTokens()
    assert not step.score.gradients
    assert step.select == Threshold(least=1, pin="first", thresholds=step.select.thresholds)
    assert step.select.thresholds == pytest.approx(THRESHOLDS)
    model = with_plan(soft, plan)
    assert len(model.learned) == 0
    output = model(**batch(), output_trace=True)
    thresholds = [torch.tensor(value) for value in step.select.thresholds]
    logits, _, alive = slow_ltp(model, batch(), thresholds, stage="hard", padded=padded)
    torch.testing.assert_close(output.logits, logits, **CLOSE)
    counts = [layer.transformed for layer in output.trace.blocks]
    assert counts == [mask.sum(1).tolist() for mask in alive]
    assert len({*counts[-1]}) > 2 and counts[-1][0] < 40


def test_straight_through_gradients_are_those_of_a_hard_mask_on_the_logits():
    model, thresholds = learned("ltp", temperature=0.3, strength=0.0)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    output = model(**batch(), labels=labels, output_trace=True)
    copies = [t.detach().clone().requires_grad_() for t in thresholds]
    logits, _, alive = slow_ltp(model, batch(), copies, stage="straight", temperature=0.3)
    torch.testing.assert_close(output.logits, logits, **CLOSE)
    assert output.trace.tokens_alive() == [mask.sum(1).tolist() for mask in alive]

    output.loss.backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    torch.nn.functional.cross_entropy(logits, labels).backward()
    for number, copy in enumerate(copies):
        own = ours[f"learned.{number}.select.threshold"]
        assert own.abs() > 1e-6
        torch.testing.assert_close(own, copy.grad, **CLOSE)
    for name, parameter in model.named_parameters():
        if not name.startswith("learned."):
            torch.testing.assert_close(ours[name], parameter.grad, **CLOSE)
