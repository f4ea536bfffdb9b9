"""Metrics: what the engine tells, and what the application adds."""

from __future__ import annotations

import gc
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import inferlay


def test_the_metrics_tell_what_was_done(server: inferlay.Server) -> None:
    server.model("rows").infer([[1.0, 2.0]])
    for line in (
        'nv_inference_request_success{model="rows",version="1"} 1\n',
        'inferlay_request_duration_seconds_count{model="rows",version="1"} 1\n',
        'inferlay_batch_rows_bucket{model="rows",version="1",le="1"} 1\n',
        'inferlay_model_state{model="rows",version="1",state="READY"} 1\n',
        "inferlay_saturation ",
    ):
        assert line in server.metrics(), line
    assert inferlay.METRICS_CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_statistics_have_the_form_of_tritons(server: inferlay.Server) -> None:
    model = server.model("rows")
    model.infer([[1.0, 2.0], [3.0, 4.0]])
    told = model.statistics
    assert told["version"] == "1" and told["inference_stats"]["success"]["count"] == 1
    assert [(batch["batch_size"], batch["compute_infer"]["count"]) for batch in told["batch_stats"]] == [(2, 1)]
    assert told["last_inference"] > 1_500_000_000_000


def test_a_metric_is_shown_as_long_as_it_is_held(server: inferlay.Server) -> None:
    pages = server.metric_counter("app_pages_total", "Pages that were read", {"format": "pdf"})
    pages.increment()
    server.metric_counter("app_pages_total", labels={"format": "pdf"}).increment(1.5)
    gc.collect()
    assert pages.value == 2.5 and repr(pages) == "<inferlay.MetricCounter 2.5>"
    text = server.metrics()
    assert "# HELP app_pages_total Pages that were read\n# TYPE app_pages_total counter\n" in text
    assert 'app_pages_total{format="pdf"} 2.5\n' in text
    del pages
    gc.collect()
    assert "app_pages_total" not in server.metrics()


def test_each_kind_does_what_it_can(server: inferlay.Server) -> None:
    numpy = pytest.importorskip("numpy")
    gauge = server.metric_gauge("app_sessions", "Sessions that are open")
    gauge.set(numpy.float32(3))
    gauge.increment(-1)
    seconds = server.metric_histogram("app_seconds", "Time for parsing", bounds=[0.5, 1])
    seconds.observe(0.75)
    assert gauge.value == 2 and "app_sessions 2\n" in server.metrics()
    assert 'app_seconds_bucket{le="0.5"} 0\napp_seconds_bucket{le="1"} 1\n' in server.metrics()
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(gauge)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nv_pages",), "prefixes"),
        (("a b",), "letters"),
        (("a", "", {"le": "1"}), "Prometheus's own"),
        (("a\0b",), "NUL"),
    ],
)
def test_names_that_cannot_be_shown_are_refused(server: inferlay.Server, arguments: Any, error: str) -> None:
    with pytest.raises(inferlay.InvalidArgument, match=error):
        server.metric_counter(*arguments)


def test_values_that_cannot_be_are_refused(server: inferlay.Server) -> None:
    counter = server.metric_counter("app_total")
    for wrong in (-1, float("nan"), "much", None):
        with pytest.raises(inferlay.InvalidArgument):
            counter.increment(wrong)  # type: ignore[arg-type]
    with pytest.raises(inferlay.AlreadyExists):
        server.metric_gauge("app_total")
    with pytest.raises(inferlay.InvalidArgument, match="bounds"):
        server.metric_histogram("app_seconds", bounds=[2, 1])
    assert counter.value == 0


@pytest.fixture
def exported(repository_root: Path) -> Iterator[str]:
    """The address that the example ``exporter.py`` says."""
    package = str(Path(inferlay.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    program = [sys.executable, str(repository_root / "examples" / "python" / "exporter.py"), "0"]
    with subprocess.Popen(
        program, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    ) as exporter:
        assert exporter.stdout is not None
        yield exporter.stdout.readline().strip()
        exporter.kill()


@pytest.mark.once
def test_the_exporter_answers_with_the_metrics(exported: str) -> None:
    with urllib.request.urlopen(exported, timeout=60) as answer:
        assert answer.headers["Content-Type"] == inferlay.METRICS_CONTENT_TYPE
        assert "app_scrapes_total 1\n" in answer.read().decode()


@pytest.mark.once
def test_prometheus_scrapes_the_exporter(exported: str, tmp_path: Path) -> None:
    folder = os.environ.get("INFERLAY_PROMETHEUS")
    program = os.path.join(folder, "prometheus") if folder else shutil.which("prometheus")
    if not program or not os.path.exists(program):
        warnings.warn("PROMETHEUS IS NOT THERE: nothing scrapes the metrics (apt install prometheus)", stacklevel=1)
        pytest.skip("prometheus is not there")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    scraped = urllib.parse.urlparse(exported).netloc
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: inferlay, static_configs: [{{targets: ['{scraped}']}}]}}]\n"
    )
    with open(tmp_path / "log", "w") as log:
        arguments = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path}", f"--web.listen-address={address}"]
        with subprocess.Popen([program, *arguments], stdout=log, stderr=log) as prometheus:
            try:
                ask(address, "app_scrapes_total", lambda value: value >= 2)
                ask(address, 'inferlay_model_state{model="zero",state="READY"}', lambda value: value == 1)
                ask(address, "inferlay_saturation", lambda value: 0 <= value <= 1)
            finally:
                prometheus.kill()


def ask(address: str, query: str, is_it: Callable[[float], bool]) -> None:
    """Asks Prometheus until the value is right."""
    url = f"http://{address}/api/v1/query?query={urllib.parse.quote(query)}"
    end, found = time.monotonic() + 120, None
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                found = json.load(answer)["data"]["result"]
        except (urllib.error.URLError, ConnectionError):
            pass  # It has not opened its port yet.
        if found and is_it(float(found[0]["value"][1])):
            return
    raise AssertionError(f"{query}: found {found}")
