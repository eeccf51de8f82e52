"""What importing costs, and that transformers knows our models, whatever is imported first.

Each runs in a process of its own, since modules stay imported.
"""

import subprocess
import sys

import pytest

from tersely.modeling import from_encoder
from words import save_encoder, tokenizer

HEAVY = "torch transformers sklearn pandas matplotlib onnx onnxruntime ray fastapi accelerate"
# A classifier needs torch and the models of transformers (which load accelerate), none of these.
TRAINING = "transformers.trainer sklearn pandas matplotlib onnx onnxruntime ray fastapi"


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "error::UserWarning", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded(code: str, names: str) -> str:
    return run(f"{code}\nimport sys\nprint(*(n for n in {names.split()!r} if n in sys.modules))")


def test_import_loads_nothing_heavy_and_no_name_a_trainer():
    assert loaded("import tersely; tersely.__version__; dir(tersely)", HEAVY) == ""
    code = "import tersely\nfor name in tersely.__all__: assert name in dir(tersely)\n"
    assert loaded(code + "from tersely import *; TrainingSettings()", TRAINING) == ""
    with pytest.raises(AssertionError, match="has no attribute 'nothing'"):
        run("import tersely; tersely.nothing")


# Forked from one process that has imported torch alone, which is what takes the time.
ORDERS = """
import os, sys, torch
path = sys.argv[1]
OURS = "import tersely; "
ANY = "from transformers import AutoConfig, AutoModelForSequenceClassification as A; "
MODEL = "config = A.from_pretrained(path).config"
CASES = [
    OURS + ANY + MODEL,
    ANY + OURS + MODEL,
    OURS + "from transformers import PreTrainedModel; " + ANY + MODEL,  # AutoConfig halfway
    OURS + "from transformers import AutoConfig as A, AutoTokenizer as B; "
    "A.for_model('bert'); assert A.from_pretrained.__doc__; B.from_pretrained(path); "
    "config = A.from_pretrained(path)",
    OURS + "from transformers import pipeline; "
    "config = pipeline('text-classification', model=path, device='cpu').model.config",
]
for case in CASES:
    child = os.fork()
    if child == 0:
        try:
            exec(case)
            os.write(1, config.model_type.encode() + b"\\n")
        except BaseException as error:
            os.write(1, f"{case}: {error!r}\\n".encode())
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.slow  # that it does at all, modeling/test_model_families.py shows
def test_transformers_loads_our_models_in_any_order_of_imports(tmp_path):
    from_encoder(str(save_encoder(tmp_path / "encoder")), num_labels=2).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert run(ORDERS, tmp_path).splitlines() == ["tersely"] * 5
