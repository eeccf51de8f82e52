"""The formula against torch's own counter, family by family."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel

from tersely.bench import padded_macs
from tersely.bench.macs import FEED_FORWARD_MATRICES

HIDDEN, INNER = 16, 40
# What the counter finds outside the layers: projections of the embeddings, and poolers.
OUTSIDE = ("embeddings_project", "embedding_hidden_mapping_in", "pooler")


def tiny(family):
    inner = {"hidden_dim": INNER} if family == "distilbert" else {"intermediate_size": INNER}
    special = {f"{name}_token_id": 1 for name in ("pad", "bos", "eos", "cls", "sep")}
    if family == "modernbert":
        special |= {"local_attention": 4, "global_attn_every_n_layers": 2}
    return AutoConfig.for_model(
        family,
        vocab_size=50,
        hidden_size=HIDDEN,
        num_hidden_layers=3,
        num_attention_heads=4,
        **inner,
        **special,
    )


@pytest.mark.parametrize("family", FEED_FORWARD_MATRICES)
def test_the_count_is_that_of_torchs_counter(family):
    config = tiny(family)
    model = AutoModel.from_config(config).eval()
    ids = torch.randint(2, 50, (3, 11))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH), torch.inference_mode():
        model(input_ids=ids, attention_mask=mask)
    counts = counter.get_flop_counts()
    outside = sum(
        sum(counts[name].values()) for name in counts if name.rpartition(".")[2] in OUTSIDE
    )
    total = counter.get_total_flops() - outside
    assert padded_macs(config, [(3, 11)]) == total / 2


def test_batches_add_up_and_padding_counts():
    config = tiny("bert")
    one = padded_macs(config, [(1, 8)])
    assert padded_macs(config, [(2, 8), (1, 8)]) == 3 * one
    assert padded_macs(config, [(1, 9)]) > one
    assert padded_macs(config, []) == 0


def test_an_unknown_family_is_not_counted():
    assert padded_macs(AutoConfig.for_model("deberta-v2"), [(1, 8)]) is None
