"""Short texts keep all of their tokens (fault F1: a share of three tokens was [CLS] alone)."""

import pytest
import torch

from method_table import METHODS, build, pad
from tersely import preset
from tersely.reduction import LEAST, find_preset, presets
from tiny import tiny_ids

SHORT = [1, 3, 4, LEAST]
LONG = [60, 47, 64]
# Keys alone leave, as in the paper; what only fades removes nothing yet.
OTHERS = ("focus-p", "focus-pf", "focus-pfc", "ltp-paper", "power-bert")
WITH_FLOOR = [n for n in presets() if "least" in find_preset(n).options and n not in OTHERS]


@torch.no_grad()
def run(plan, lengths):
    model = build(plan).eval()
    dense = build(METHODS["dense"]).eval()
    shared = {n: p for n, p in model.state_dict().items() if not n.startswith("learned.")}
    dense.load_state_dict(shared)
    batch = pad(tiny_ids(lengths))
    return model(**batch, output_trace="sizes"), dense(**batch)


@pytest.mark.parametrize("method", WITH_FLOOR)
def test_a_short_text_is_read_whole_and_the_end_of_a_long_one_never_is_less(method):
    output, dense = run(preset(method), SHORT)
    assert output.trace.tokens_alive() == [SHORT] * 4
    torch.testing.assert_close(output.logits, dense.logits, rtol=1e-5, atol=1e-5)
    output, _ = run(preset(method), LONG)
    assert min(map(min, output.trace.tokens_alive())) >= LEAST


@pytest.mark.parametrize("drop", ["tokens", "keys"])
def test_the_papers_key_pruning_stays_as_it_is_and_tokens_that_leave_have_a_floor(drop):
    output, dense = run(preset("focus-pf", keep=0.5, drop=drop), SHORT)
    assert output.trace.tokens_alive() == [SHORT] * 4, "no token leaves either way"
    fewer = [block.keys for block in output.trace.blocks][-1]
    assert (fewer == SHORT) == (drop == "tokens")
    assert torch.allclose(output.logits, dense.logits, atol=1e-5) == (drop == "tokens")
