"""PoWER-BERT's soft stage agrees with a slow one on padded tensors, and freezes to shares."""

from __future__ import annotations

import pytest
import torch
from slow_ltp import attend

from method_table import build, pad
from tersely import preset
from tersely.errors import PlanError
from tersely.modeling import with_plan
from tersely.modeling.modules import frozen_plan
from tersely.reduction import DropTokens, LinearRatio
from tiny import tiny_ids

LENGTHS = [40, 17, 3, 29, 2, 33]
BINS = 8
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def learned(**options):
    model = build(preset("power-bert", least=1, bins=BINS, **options), **QUIET).train()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for number in range(4):
            values = torch.rand(BINS, generator=generator) * (1 - number / 5)
            model.learned[str(number)]["select"].retention.copy_(values)
    return model, [model.learned[str(number)]["select"].retention for number in range(4)]


def slow(model, batch, retentions):
    """Logits: each block's ranked k-th vector times the parameter of k, before the feed-forward."""
    real = batch["attention_mask"].bool()
    hidden = model.encoder.embeddings(input_ids=batch["input_ids"])
    for block, retention in zip(model.encoder.encoder.layer, retentions, strict=True):
        hidden, matrices = attend(block, hidden, real, torch.ones(real.shape))
        mean = (matrices * real[:, None, :, None]).mean(1)
        score = mean.sum(1) - mean.diagonal(dim1=1, dim2=2)
        factors = torch.ones(real.shape)
        for row, length in enumerate(real.sum(1).tolist()):
            order = score[row, :length].argsort(descending=True)
            for rank, token in enumerate(order.tolist()):
                if token != 0:
                    factors[row, token] = retention[int((rank + 0.5) / length * BINS)]
        hidden = hidden * factors[..., None]
        inner = torch.nn.functional.gelu(block.intermediate.dense(hidden))
        hidden = block.output.LayerNorm(block.output.dense(inner) + hidden)
    mean = (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)
    return model.head.classifier(mean)


def test_the_soft_stage_is_the_papers():
    model, retentions = learned(target=1.0, strength=0.0)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    output = model(**pad(tiny_ids(LENGTHS)), labels=labels)
    copies = [r.detach().clone().requires_grad_() for r in retentions]
    logits = slow(model, pad(tiny_ids(LENGTHS)), copies)
    torch.testing.assert_close(output.logits, logits, **CLOSE)
    output.loss.backward()
    torch.nn.functional.cross_entropy(logits, labels).backward()
    for retention, copy in zip(retentions, copies, strict=True):
        torch.testing.assert_close(retention.grad, copy.grad, **CLOSE)


def test_the_soft_stages_cost_is_that_of_the_shares_it_stands_for():
    model, _ = learned(target=0.25)
    batch = pad(tiny_ids([40, 40]))
    penalty = model(**batch).penalty
    plan = frozen_plan(model.config.reduction_plan(), model)
    assert plan.steps[0].act == DropTokens()
    keeps = plan.steps[0].select.keeps
    assert keeps == sorted(keeps, reverse=True), "no block keeps more than the one before"
    assert keeps[0] == pytest.approx(model.learned["0"]["select"].retention.mean().item())
    hard = with_plan(model, plan)
    with torch.no_grad():
        taken = hard(**batch, output_trace=True).trace
        whole = with_plan(model, preset("dense"))(**batch, output_trace=True).trace
    ratio = taken.macs / whole.macs
    # Whole tokens stay, where shares count fractions of them.
    assert (penalty.item() / 10) ** 0.5 + 0.25 == pytest.approx(ratio, rel=0.05)


def test_parameters_stay_in_bounds_and_can_come_back():
    model, retentions = learned()
    with torch.no_grad():
        retentions[0].fill_(1.5)
        retentions[1].fill_(-0.5)
    model(**pad(tiny_ids(LENGTHS))).penalty.backward()
    assert retentions[0].max() == 1 and retentions[1].min() == 0
    # Less is taken than the target: what is at a bound is called back from it.
    assert (retentions[0].grad < 0).all() and (retentions[1].grad < 0).all()


def test_every_block_is_pushed_towards_the_target():
    model, retentions = learned(target=0.1)
    with torch.no_grad():
        for retention in retentions:
            retention.fill_(0.9)
    model(**pad(tiny_ids(LENGTHS))).penalty.backward()
    assert all((retention.grad > 0).all() for retention in retentions)


def test_shares_need_one_for_each_block():
    assert LinearRatio(least=1, keeps=[0.5, 0.2]).at_block(2, 2) == LinearRatio(least=1, keep=0.2)
    with pytest.raises(PlanError, match="keeps must be one for each of the step's 3 blocks"):
        LinearRatio(least=1, keeps=[0.5, 0.2]).at_block(1, 3)
    with pytest.raises(PlanError, match=r"keeps must be a number in \[0, 1\], got 2"):
        LinearRatio(least=1, keeps=[2])
