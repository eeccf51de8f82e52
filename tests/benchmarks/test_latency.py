"""Latency with a cascade and without: every document in both ways, alone and from a server."""

import asyncio

import latency
import serve_load
from cascades import TEXTS
from serving import serving


def test_a_document_alone_and_a_server_under_load_are_timed(cascade):
    found = latency.alone(cascade, TEXTS[:20], rounds=1)
    assert {*found} == {"cascade", "reference"}
    assert all(0 < each["p50_ms"] <= each["p95_ms"] for each in found.values())
    assert set(found["cascade"]["answered_by"]) == {"topk", "reference"}
    assert found["reference"]["answered_by"] == {"reference": 20}
    with serving(cascade) as (client, _, _):
        measured = serve_load.measure(str(client.base_url), TEXTS, 0.3, rates=(0.7,))
        (load,) = asyncio.run(measured)["loads"].values()
    assert load["statuses"]["200"] > 0 and 0 < load["p50_ms"] <= load["p95_ms"]
