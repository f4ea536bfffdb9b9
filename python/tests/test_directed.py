"""Several versions of a model at once: labels, shares of the traffic, shadows, and what a config says of them."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from conftest import echo, port

import inferlay

PAIR: Dict[str, Any] = echo(port("x", "FP32", [2]), version_policy="all")
COUNT: Dict[str, Any] = echo(port("count", "INT64", [1]), version_policy="all")
VERSIONS = {"1/weights": b"1", "2/weights": b"2", "3/weights": b"3"}
WAIT_S = 60.0


@pytest.fixture
def versions() -> Iterator[inferlay.Server]:
    """A server of a model with three versions."""
    with inferlay.Server(model_control="explicit", progress=False) as made:
        made.load("pair", files={**PAIR, **VERSIONS})
        yield made


def answered(server: inferlay.Server, **asking: Any) -> int:
    return server.infer("pair", [1, 2], **asking).version


def test_a_model_by_its_label_follows_it(versions: inferlay.Server) -> None:
    versions.set_label("pair", "stable", 1)
    versions.set_label("pair", "canary", 3)
    stable = versions.model("pair", label="stable")
    assert stable is versions.model("pair", label="stable") and stable is not versions.model("pair")
    assert repr(stable) == "<inferlay.Model 'pair' label 'stable': x: FP32 [2] -> x: FP32 [2]>"
    assert [stable([1, 2]).version, answered(versions, label="canary"), answered(versions)] == [1, 3, 3]
    versions.set_label("pair", "stable", 2)
    assert stable([1, 2]).version == 2 and stable.submit([1, 2]).result().version == 2
    assert asyncio.run(versions.infer_async("pair", [1, 2], label="stable")).version == 2
    assert stable.is_ready and stable.statistics["version"] == "2"
    assert versions.labels("pair") == {"canary": 3, "stable": 2}
    versions.remove_label("pair", "stable")
    assert not stable.is_ready
    with pytest.raises(inferlay.NotFound, match="label 'stable' not found; known: canary"):
        stable([1, 2])
    with pytest.raises(inferlay.NotFound, match="label 'stable' not found; known: canary"):
        assert stable.statistics
    with pytest.raises(inferlay.NotFound):
        versions.model("pair", label="nobody")


def test_a_label_that_moves_takes_what_is_known_of_inputs_along(versions: inferlay.Server) -> None:
    versions.load("pair", files={**PAIR, "1/weights": b"1"})
    versions.set_label("pair", "stable", 1)
    stable = versions.model("pair", label="stable")
    assert stable([1, 2]).tensor("x").tolist() == [1, 2]
    versions.load("pair", files={**COUNT, "1/weights": b"1", "2/weights": b"others"})
    versions.set_label("pair", "stable", 2)
    assert stable(count=[3]).tensor("count").tolist() == [3]


def test_traffic_is_split_by_weights(versions: inferlay.Server) -> None:
    assert versions.traffic("pair") == {}
    versions.set_traffic("pair", {1: 3, 2: 1})
    assert sorted(answered(versions) for _ in range(8)) == [1] * 6 + [2] * 2
    assert versions.traffic("pair") == {1: 3, 2: 1}
    sequences = {answered(versions, sequence=7) for _ in range(8)}
    assert len(sequences) == 1
    versions.set_traffic("pair", None)
    assert versions.traffic("pair") == {} and answered(versions) == 3


def test_a_shadow_gets_a_copy_and_answers_nobody(versions: inferlay.Server) -> None:
    versions.set_shadow("pair", 3)
    assert answered(versions) == 2 and versions.shadow("pair") == 3
    end = time.monotonic() + WAIT_S
    while versions.model("pair", 3).statistics["inference_count"] == 0:
        assert time.monotonic() < end, "the shadow has got nothing"
    assert versions.model("pair", 3).statistics["shadow_dropped_count"] == 0
    assert 'inferlay_shadow_dropped_total{model="pair",version="3"} 0' in versions.metrics()
    versions.set_shadow("pair", None)
    assert versions.shadow("pair") is None and answered(versions) == 3


def test_a_config_directs_requests_until_it_is_directed_live(versions: inferlay.Server) -> None:
    said = {"version_labels": {"stable": 1}, "traffic": {1: 1, 2: 1}, "shadow": 3}
    config = {**PAIR["config.yaml"], **said}
    versions.load("pair", files=VERSIONS, config=config)
    assert versions.labels("pair") == {"stable": 1} and versions.shadow("pair") == 3
    assert versions.traffic("pair") == {1: 1, 2: 1}
    assert versions.model("pair").config["version_labels"] == {"stable": 1}
    versions.set_label("pair", "stable", 2)
    versions.load("pair", files=VERSIONS, config={**config, "caller_runs": "never"})
    assert versions.labels("pair") == {"stable": 2}
    versions.load("pair", files=VERSIONS, config={**config, "version_labels": {"stable": 3}})
    assert versions.labels("pair") == {"stable": 3}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda server: server.set_label("pair", "1", 1), "expected 1 to 64 letters"),
        (lambda server: server.set_label("pair", "stable", -1), "version: found -1"),
        (lambda server: server.set_label("pair", 5, 1), "label: found 5, expected a str"),
        (lambda server: server.set_traffic("pair", {}), "traffic: "),
        (lambda server: server.set_traffic("pair", {1: 0}), "found no version with a weight, expected one at least"),
        (lambda server: server.set_traffic("pair", [1]), "weights: found list"),
        (lambda server: server.set_traffic("pair", {1: -1}), "weights: version 1: found -1"),
        (lambda server: server.set_shadow("pair", "3"), "version: found '3'"),
        (lambda server: server.model("pair", 1, label="stable"), "found version 1 and label 'stable'"),
    ],
)
def test_what_is_no_direction_is_refused(versions: inferlay.Server, call: Any, message: str) -> None:
    with pytest.raises(inferlay.InvalidArgument, match=message):
        call(versions)


@pytest.mark.parametrize(
    "call",
    [
        lambda server: server.set_label("pair", "stable", 9),
        lambda server: server.set_traffic("pair", {1: 1, 9: 1}),
        lambda server: server.set_shadow("pair", 9),
        lambda server: server.labels("nobody"),
    ],
)
def test_what_is_not_there_is_named(versions: inferlay.Server, call: Any) -> None:
    with pytest.raises(inferlay.NotFound):
        call(versions)


def test_the_config_that_is_named_is_read(tmp_path: Path) -> None:
    (tmp_path / "pair" / "configs").mkdir(parents=True)
    (tmp_path / "pair" / "1").mkdir()
    (tmp_path / "pair" / "config.yaml").write_text(json.dumps(PAIR["config.yaml"]))
    (tmp_path / "pair" / "configs" / "small.yaml").write_text(json.dumps(COUNT["config.yaml"]))
    with inferlay.Server(tmp_path, config_name="small", progress=False) as server:
        assert list(server.model("pair").inputs) == ["count"]
    with inferlay.Server(tmp_path, config_name="large", progress=False) as server:
        assert list(server.model("pair").inputs) == ["x"]
    with pytest.raises(inferlay.InvalidArgument, match="config_name: found 5"):
        inferlay.Server(tmp_path, config_name=5, progress=False)  # type: ignore[arg-type]


def test_a_repository_elsewhere_is_served_from_its_copy(tmp_path: Path) -> None:
    (tmp_path / "drive" / "pair" / "1").mkdir(parents=True)
    (tmp_path / "drive" / "pair" / "config.yaml").write_text(json.dumps(PAIR["config.yaml"]))
    source = inferlay.Source(f"file://{tmp_path}/drive", tmp_path / "cache")
    with inferlay.Server(sources=[source], progress=False) as server:
        assert answered(server) == 1
    with pytest.raises(inferlay.InvalidArgument, match="found no scheme"):
        inferlay.Server(sources=inferlay.Source("models", "cache"), progress=False)
    with pytest.raises(inferlay.InvalidArgument, match="sources: found str, expected a Source"):
        inferlay.Server(sources=["models"], progress=False)  # type: ignore[list-item]


def test_what_is_sealed_is_served_as_it_is_or_not_at_all(tmp_path: Path) -> None:
    model = tmp_path / "pair"
    (model / "1").mkdir(parents=True)
    (model / "config.yaml").write_text(json.dumps(PAIR["config.yaml"]))
    secret, public = inferlay.signing_key()
    assert inferlay.seal(model, algorithm="blake3", key=secret).files == 1
    trusting: Any = {"trusted_keys": public, "require": "signature"}
    assert inferlay.lint(tmp_path, **trusting) == []
    with inferlay.Server(tmp_path, strict=True, progress=False, **trusting) as server:
        assert answered(server) == 1
    (model / "config.yaml").write_text("backend: other")
    (found,) = inferlay.lint(tmp_path, **trusting)
    assert (found.severity, found.model) == ("error", "pair") and "config.yaml" in found.message
    with pytest.raises(inferlay.NotFound):
        inferlay.seal(tmp_path / "nowhere")
    with pytest.raises(inferlay.InvalidArgument, match="algorithm: found 'md5', expected one of 'sha256', 'blake3'"):
        inferlay.seal(model, algorithm="md5")
