"""The OpenAPI description is kept, whatever is sent: schemathesis tries what it allows and not."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from serving import serving

schemathesis = pytest.importorskip("schemathesis")

# Without shrinking: a failure names the request, and a short run is worth more than a short case.
SHORT = settings(
    max_examples=10,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    deadline=None,
)


@pytest.fixture(scope="module")
def address(model):
    with serving(model, max_client_batch_size=8) as (client, _, _):
        yield str(client.base_url).rstrip("/")


PATHS = ("/predict", "/health", "/info", "/metrics")
ALLOWED, WRONG = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


# Only /predict is sent something that could be wrong.
@pytest.mark.parametrize(
    ("path", "mode"), [("/predict", WRONG), *((path, ALLOWED) for path in PATHS)]
)
def test_answers_are_as_described(address, path, mode):
    # Driven by Hypothesis itself: schemathesis' own fixtures lag behind pytest.
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} == {*PATHS}
    (operation,) = [each for each in operations if each.path == path]

    @SHORT
    @given(operation.as_strategy(generation_mode=mode))
    def try_it(case):
        case.call_and_validate()

    try_it()
