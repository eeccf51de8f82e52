"""How a model is run is kept with it, and holds where it was found."""

import pytest
import torch

from method_table import METHODS, build, pad
from tersely.errors import ModelError, TerselyWarning
from tersely.modeling import Execution
from tiny import tiny_ids


def test_what_was_found_on_a_cpu_holds_there_alone():
    execution = Execution(8192, 2, "int8")
    assert execution.on(torch.device("cpu")) is execution
    with pytest.warns(TerselyWarning, match="found on a CPU"):
        assert execution.on(torch.device("cuda")) == Execution(8192)
    assert Execution(8192).on(torch.device("cuda")) == Execution(8192)


@pytest.mark.parametrize(
    "data", [{"batch_tokens": 1}, {"threads": 0}, {"precision": "int4"}, {"speed": 9}]
)
def test_what_cannot_be_is_refused(data):
    with pytest.raises(ModelError, match="execution"):
        Execution.from_dict(data)


@pytest.mark.parametrize(
    ("method", "head"),
    # Where tokens are combined, none is left that a family's own head could read.
    [(m, h) for m in ("dense", "topk") for h in ("mean", "family")] + [("focus-pfc", "mean")],
)
@torch.no_grad()
def test_int8_computes_as_many_macs_and_says_so(method, head):
    model = build(METHODS[method], head=head).eval()
    documents = pad(tiny_ids([11, 30, 4, 23]))
    eight = Execution(precision="int8").convert(model)
    kinds = {type(part) for part in eight.encoder.modules()}
    assert torch.ao.nn.quantized.dynamic.Linear in kinds and torch.nn.Linear not in kinds
    own, other = (each(**documents, output_trace=True) for each in (model, eight))
    assert own.trace.other_macs == other.trace.other_macs > 0
    one, two = own.trace.blocks, other.trace.blocks
    assert [layer.macs for layer in one] == [layer.macs for layer in two]
    assert torch.allclose(own.logits, other.logits, atol=0.5)
