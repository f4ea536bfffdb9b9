"""Servers: what they say of themselves, how they start and end, and where they may not be used."""

from __future__ import annotations

import copy
import gc
import io
import logging
import multiprocessing
import os
import pickle
import weakref
from pathlib import Path
from typing import Any, List

import pytest
from conftest import echo, port

import inferlay
from inferlay import notices

numpy = pytest.importorskip("numpy")

PAIR = {"pair": echo(port("x", "FP32", [2]))}


def test_a_server_says_what_it_serves(server: inferlay.Server) -> None:
    assert server.is_live and server.is_ready
    assert {"name": "pair", "version": 1, "state": "READY", "reason": ""} in server.models
    assert server.metadata["name"] == "inferlay" and server.metadata["version"] == inferlay.__version__
    assert "null" in [backend["name"] for backend in server.backends]
    assert server.devices[0]["kind"] == "CPU"
    server.infer("pair", [1, 2])
    assert "nv_inference_request_success" in server.metrics()
    assert any(one["name"] == "pair" and one["inference_count"] == 1 for one in server.statistics)
    server.trace_every(1)
    server.infer("pair", [1, 2])
    assert "pair" in str(server.traces)


def test_a_model_says_what_it_is_and_did(server: inferlay.Server) -> None:
    model = server.model("two")
    assert model is server.model("two") and model.is_ready and model.versions == [1]
    assert model.inputs["b"] == inferlay.Port("b", inferlay.DataType.INT64, (1,))
    assert model.outputs["a"].shape == (2,)
    assert model.config["name"] == "two" and model.metadata["platform"] == "null"
    assert model.statistics["inference_count"] == 0
    assert repr(model) == ("<inferlay.Model 'two': a: FP32 [2], b: INT64 [1] -> a: FP32 [2], b: INT64 [1]>")
    assert repr(server.model("two", 1)).startswith("<inferlay.Model 'two' version 1: ")
    assert "<td>input</td><td>b</td><td>INT64</td><td>[1]</td>" in model._repr_html_()


def test_a_server_is_shown_as_a_table() -> None:
    with inferlay.Server(models={**PAIR, "broken": {"config.yaml": "backend: nowhere"}}, progress=False) as server:
        assert "broken 1 UNAVAILABLE" in repr(server) and "pair 1 READY" in repr(server)
        shown = server._repr_html_()
        assert "<td>pair</td><td>1</td><td>READY</td><td>x: FP32 [2]</td>" in shown and "nowhere" in shown
        with pytest.raises(inferlay.Unavailable, match="nowhere"):
            server.model("broken")
    assert repr(server) == "<inferlay.Server, closed>" and "<table>" in server._repr_html_()


def test_a_strict_start_fails_with_the_first_model() -> None:
    with pytest.raises(inferlay.Unavailable, match="nowhere"):
        inferlay.Server(models={"broken": {"config.yaml": "backend: nowhere"}}, strict=True, progress=False)


def test_a_closed_server_refuses_and_closes_again(server: inferlay.Server) -> None:
    model = server.model("pair")
    response = model([1, 2])
    server.close()
    server.close()
    assert not server.is_live and not model.is_ready
    for ask in (model.infer, model.submit, lambda value: model.infer_many([value])):
        with pytest.raises(inferlay.Unavailable):
            ask([1, 2])
    assert response["x"].tolist() == [1, 2]


def test_a_server_goes_with_the_last_that_refers_to_it() -> None:
    server = inferlay.Server(models=PAIR, progress=False)
    model, engine = server.model("pair"), weakref.ref(server._engine)
    del server
    assert model([1, 2])["x"].tolist() == [1, 2]
    del model
    assert engine() is None


def test_models_come_and_go(server: inferlay.Server, tmp_path: Path) -> None:
    server.remove("pair")
    with pytest.raises(inferlay.NotFound, match="model 'pair' not found; known: "):
        server.infer("pair", [1, 2])
    (tmp_path / "model.unknown").write_text("no model")
    with pytest.raises(inferlay.Error):
        server.load_file(tmp_path / "model.unknown")


def test_options_are_a_mapping_or_a_text() -> None:
    for options in ({"execution_threads_max": 1, "strict": True}, "strict: true\nspin_max: 0"):
        with inferlay.Server(models=PAIR, options=options, progress=False) as server:
            assert server.infer("pair", [1, 2])["x"].tolist() == [1, 2]
    with pytest.raises(inferlay.InvalidArgument, match="strikt"):
        inferlay.Server(models=PAIR, options={"strikt": True}, progress=False)
    with pytest.raises(inferlay.InvalidArgument, match="without NUL"):
        inferlay.Server("a\0b")
    with pytest.raises(inferlay.NotFound):
        inferlay.Server("/nowhere/at/all")


def test_a_model_of_one_file_has_a_server_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(inferlay.Error):
        inferlay.load(tmp_path / "none.onnx")
    with pytest.raises(inferlay.Error):
        inferlay.load(b"no model")
    with pytest.raises(inferlay.NotFound, match="model 'a': .*none.onnx: No such file"):
        inferlay.Server(models={"a": tmp_path / "none.onnx"}, progress=False)
    with pytest.raises(inferlay.InvalidArgument, match="model 'a': .*: Is a directory"):
        inferlay.Server(models={"a": tmp_path}, progress=False)


def test_progress_is_told_to_a_function_and_drawn_on_a_terminal() -> None:
    seen: List[inferlay.Progress] = []
    models = {**PAIR, "broken": {"config.yaml": "backend: nowhere"}}
    inferlay.Server(models=models, progress=seen.append).close()
    assert sorted((one.model, bool(one.reason)) for one in seen) == [("broken", True), ("pair", False)]
    assert [one.done for one in seen] == [1, 2] and {one.total for one in seen} == {2}


def test_a_bar_tells_how_far_loading_is_and_how_fast_it_goes(monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "82")
    stream, times_s = io.StringIO(), iter([10.0, 10.5, 14.0, 16.0])
    bar = notices.Bar(stream, lambda: next(times_s))
    bar(inferlay.Progress("one", 1, 1, 3, ""))
    bar(inferlay.Progress("broken", 1, 2, 3, "no backend"))
    bar(inferlay.Progress("one-of-a-name-that-is-long", 1, 3, 3, ""))
    bar.close()
    lines = stream.getvalue().split("\r\x1b[K")
    assert lines == [
        "",
        "loading models  33%|######--------------| 1/3 [00:00<00:01, 2.00 models/s] one",
        "loading models  66%|#############-------| 2/3 [00:04<00:02, 2.00 s/model] failed:",
        "loading models 100%|####################| 3/3 [00:06<00:00, 2.00 s/model] one-of-\n",
    ]


def test_nothing_is_drawn_where_stderr_is_no_terminal(capfd: Any) -> None:
    inferlay.Server(models=PAIR).close()
    assert capfd.readouterr() == ("", "")


def test_the_log_goes_to_logging(caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG, logger="inferlay"):
        inferlay.Server(models={"broken": {"config.yaml": "backend: nowhere"}}, progress=False).close()
        notices.notices().take_all()
    lines = [record for record in caplog.records if "nowhere" in record.getMessage()]
    assert lines and lines[0].levelno == logging.ERROR and lines[0].name == "inferlay"


def test_a_function_that_fails_on_progress_does_not_fail_the_start(caplog: Any) -> None:
    def fail(progress: inferlay.Progress) -> None:
        raise ValueError("not today")

    with inferlay.Server(models=PAIR, progress=fail) as server:
        assert server.is_ready
    assert "not today" in caplog.text


def test_a_function_that_leaves_on_progress_leaves_nothing_behind() -> None:
    queue = notices.notices()
    # Who starts the server is the one that tells, not the thread.
    with queue._taking:

        def leave(_: inferlay.Progress) -> None:
            raise SystemExit(4)

        with pytest.raises(SystemExit):
            inferlay.Server(models=PAIR, progress=leave)
    assert not queue.reports and queue._watcher.thread.is_alive()
    inferlay.Server(models=PAIR, progress=False).close()


def test_nothing_of_this_process_is_pickled_or_copied(server: inferlay.Server) -> None:
    response = server.infer("pair", [1, 2])
    operation, changes = server.unload("nobody", wait=False), server.changes()
    for thing in (server, server.model("pair"), response, response.tensor("x"), operation, changes):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="pickled"):
                attempt(thing)
    assert pickle.loads(pickle.dumps(response["x"])).tolist() == [1, 2]


def test_an_error_is_of_its_class_and_of_pythons(server: inferlay.Server) -> None:
    assert issubclass(inferlay.NotFound, KeyError) and issubclass(inferlay.Timeout, TimeoutError)
    assert issubclass(inferlay.InvalidArgument, ValueError) and issubclass(inferlay.Unsupported, NotImplementedError)
    codes = {kind.code for kind in inferlay.Error.__subclasses__()}
    assert codes == set(range(13))
    error = pickle.loads(pickle.dumps(inferlay.NotFound("no such thing")))
    assert str(error) == "no such thing" and error.message == "no such thing"


def child(path: str) -> None:
    with inferlay.Server(models=PAIR, progress=False) as server:
        numpy.save(path, server.infer("pair", [1, 2])["x"])


def test_a_spawned_process_has_a_server_of_its_own(server: inferlay.Server, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=child, args=(str(tmp_path / "a.npy"),))
    process.start()
    process.join()
    assert process.exitcode == 0 and numpy.load(tmp_path / "a.npy").tolist() == [1, 2]


def test_the_child_of_a_fork_is_refused_and_the_parent_goes_on(server: inferlay.Server) -> None:
    model = server.model("pair")
    response = model([1, 2])
    pid = os.fork()
    if pid == 0:
        refused = 0
        for call in (
            lambda: model([1, 2]),
            lambda: model.submit([1, 2]),
            lambda: inferlay.Server(models=PAIR, progress=False),
            lambda: server.models,
            lambda: server.close(),
        ):
            try:
                call()
            except inferlay.FailedPrecondition as error:
                refused += "child of a fork" in str(error)
        del model, response
        gc.collect()
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    assert model([1, 2])["x"].tolist() == [1, 2] and response["x"].tolist() == [1, 2]


@pytest.mark.parametrize("drain", [-1, float("nan"), "1"], ids=str)
def test_a_time_that_is_none_leaves_the_server_as_it_is(drain: Any) -> None:
    server = inferlay.Server(models=PAIR, progress=False)
    with pytest.raises(inferlay.InvalidArgument, match="seconds, expected 0 or more"):
        server.close(drain=drain)
    with pytest.raises(inferlay.InvalidArgument, match="timeout: found .* seconds"):
        server.infer("pair", [1, 2], timeout=drain)
    assert server.is_live and server.infer("pair", [1, 2])["x"].tolist() == [1, 2]
    server.close()
    assert not server.is_live
