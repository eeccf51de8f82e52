"""A trained model, and a server of it that a file's tests share."""

import pytest

from serving import save_trained, serving


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return save_trained(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(model):
    with serving(model, payload_limit=20_000, max_client_batch_size=4) as (client, service, _):
        yield client, service
