"""Models that come and go while a server runs: loads, unloads and polls, repositories, changes, paging."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from conftest import Gate, echo, port

import inferlay
from inferlay import notices

WAIT_S = 60.0
PAIR = echo(port("x", "FP32", [2]))


@pytest.fixture
def empty() -> Iterator[inferlay.Server]:
    """A server that loads what it is asked for."""
    with inferlay.Server(model_control="explicit", progress=False) as made:
        yield made


def write(folder: Path, name: str, *versions: int, config: Any = PAIR["config.yaml"]) -> Path:
    """A model in a folder."""
    for version in versions or (1,):
        (folder / name / str(version)).mkdir(parents=True, exist_ok=True)
    (folder / name / "config.yaml").write_text(str(config).replace("'", '"'))
    return folder


def states(server: inferlay.Server) -> List[Any]:
    return [(row["name"], row["version"], row["state"]) for row in server.models]


def test_what_is_asked_for_is_loaded_at_the_start_and_later(tmp_path: Path) -> None:
    write(write(tmp_path, "early"), "late", 1, 2)
    with inferlay.Server(tmp_path, model_control="explicit", load=["early"], progress=False) as server:
        assert states(server) == [("early", 1, "READY"), ("late", 1, "UNKNOWN"), ("late", 2, "UNKNOWN")]
        assert "late 1 UNKNOWN" in repr(server)
        with pytest.raises(inferlay.Unavailable):
            server.model("late")
        assert server.load("late", versions=[1]).versions == [1]
        with pytest.raises(inferlay.NotFound, match="late"):
            server.load("later")
        with pytest.raises(inferlay.FailedPrecondition):
            server.poll()


def test_a_failed_load_leaves_what_serves(empty: inferlay.Server) -> None:
    model = empty.load("pair", files=PAIR)
    with pytest.raises(inferlay.Error, match="nowhere"):
        empty.load("pair", files=PAIR, config={"backend": "nowhere"})
    assert model([1, 2]).tensor("x").tolist() == [1, 2]


def test_a_held_handle_follows_a_model_that_is_replaced_by_any_load(empty: inferlay.Server) -> None:
    model = empty.load("pair", files=PAIR)
    assert model([1, 2]).tensor("x").tolist() == [1, 2]
    empty.load("pair", files={**echo(port("count", "INT64", [1])), "1/weights": b"others"})
    assert model.inputs == {"count": inferlay.Port("count", inferlay.DataType.INT64, (1,))}
    assert model(count=[3]).tensor("count").tolist() == [3]


def test_a_held_handle_follows_a_model_that_is_replaced_by_a_poll(tmp_path: Path) -> None:
    write(tmp_path, "pair")
    options: Any = {"model_control": "poll", "settle_time": 0.0, "poll_period": 3600.0, "progress": False}
    with inferlay.Server(tmp_path, **options) as server:
        model = server.model("pair")
        assert model([1, 2]).tensor("x").tolist() == [1, 2]
        (tmp_path / "pair" / "1" / "weights").write_bytes(b"others")
        write(tmp_path, "pair", config=echo(port("count", "INT64", [1]))["config.yaml"])
        server.poll()
        assert model(count=[3]).tensor("count").tolist() == [3]
        (tmp_path / "pair").rename(tmp_path.parent / f"{tmp_path.name}-away")
        server.poll()
        with pytest.raises((inferlay.Unavailable, inferlay.NotFound)):
            server.model("pair")


def test_an_unload_is_told_at_its_end(gate: Gate) -> None:
    with inferlay.Server(progress=False) as server:
        held = Gate(server)
        answer = held.model.submit([1, 2])
        assert held.begun.wait(WAIT_S)
        operation = server.unload("slow", wait=False)
        assert not operation.is_done and repr(operation) == "<inferlay.Operation, under way>"
        with pytest.raises(inferlay.Timeout):
            operation.wait(timeout=0.0)
        told: "queue.Queue[Any]" = queue.Queue()
        operation.on_done(told.put)
        held.opened.set()
        assert told.get(timeout=WAIT_S) is None and operation.is_done
        assert answer.result().tensor("x").tolist() == [1, 2]
        with pytest.raises(inferlay.NotFound):
            server.unload("sloww")
        assert "failed: " in repr(server.unload("sloww", wait=False))


def test_tasks_await_operations_and_changes(empty: inferlay.Server) -> None:
    async def live() -> List[str]:
        changes = empty.changes()

        async def listen() -> List[str]:
            return [change.state async for change in changes if change.model == "pair"]

        listening = asyncio.ensure_future(listen())
        model = await empty.load_async("pair", files=PAIR)
        assert (await model.infer_async([1, 2])).tensor("x").tolist() == [1, 2]
        await empty.unload("pair", wait=False)
        with pytest.raises(inferlay.NotFound):
            await empty.load_async("nobody")
        with pytest.raises(inferlay.NotFound):
            await empty.unload_async("nobody either")
        # The last change is told before the server has stopped, which ends the changes.
        await asyncio.get_running_loop().run_in_executor(None, empty.close)
        return await listening

    assert asyncio.run(live()) == ["LOADING", "READY", "UNLOADING", "UNAVAILABLE"]


def test_a_task_that_no_longer_awaits_leaves_the_operation_alone(gate: Gate) -> None:
    async def leave() -> inferlay.Operation:
        with inferlay.Server(progress=False) as server:
            held = Gate(server)
            held.model.submit([1, 2])
            await asyncio.get_running_loop().run_in_executor(None, held.begun.wait)
            operation = server.unload("slow", wait=False)

            async def ended() -> None:
                await operation

            task = asyncio.ensure_future(ended())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            held.opened.set()
            await operation
            return operation

    assert asyncio.run(leave()).is_done


def test_an_operation_that_a_stop_overtakes_is_told_of_once(tmp_path: Path) -> None:
    options: Any = {"settle_time": 3600.0, "poll_period": 3600.0, "progress": False}
    server = inferlay.Server(tmp_path, model_control="poll", **options)
    write(tmp_path, "pair")
    operation = server.poll(wait=False)
    told: "queue.Queue[Any]" = queue.Queue()
    operation.on_done(told.put)
    operation.on_done(told.put)

    async def wait() -> None:
        waiting = asyncio.ensure_future(ended())
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, server.close)
        with pytest.raises(inferlay.Unavailable):
            await waiting

    async def ended() -> None:
        await operation

    with pytest.raises(inferlay.Timeout):
        operation.wait(timeout=0.0)
    asyncio.run(wait())
    assert [type(told.get(timeout=WAIT_S)) for _ in range(2)] == [inferlay.Unavailable] * 2
    notices.notices().catch_up()
    assert told.empty()
    with pytest.raises(inferlay.Unavailable):
        operation.wait()
    with pytest.raises(inferlay.Unavailable):
        server.load("pair", wait=False).wait()


def test_a_config_of_its_own_is_given_in_either_format(empty: inferlay.Server) -> None:
    text = "backend: 'null' input { name: 'x' data_type: TYPE_FP32 dims: 2 }"
    files = {"1/weights": b""}
    assert empty.load("pair", files=files, config=text, config_format="pbtxt").inputs["x"].shape == (2,)
    # A mapping is the same in both.
    assert empty.load("pair", files=files, config=PAIR["config.yaml"], config_format="pbtxt").is_ready
    with pytest.raises(inferlay.InvalidArgument, match="config"):
        empty.load("pair", files=files, config=text)
    with pytest.raises(inferlay.InvalidArgument, match="config_format: found 'toml', expected one of 'yaml', 'pbtxt'"):
        empty.load("pair", files=files, config=text, config_format="toml")


def test_a_load_may_say_what_becomes_of_the_old_version(empty: inferlay.Server) -> None:
    for swap in (None, "overlap", "replace"):
        assert empty.load("pair", files=PAIR, swap=swap).is_ready
    with pytest.raises(inferlay.InvalidArgument, match="swap: found 'later', expected one of 'overlap', 'replace'"):
        empty.load("pair", files=PAIR, swap="later")


def test_changes_are_told_to_functions_and_threads(empty: inferlay.Server) -> None:
    told: "queue.Queue[inferlay.Change]" = queue.Queue()
    found: List[str] = []
    changes = empty.changes()
    thread = threading.Thread(target=lambda: found.extend(change.state for change in changes))
    thread.start()
    with empty.subscribe(told.put) as subscription:
        empty.load("pair", files=PAIR)
        assert told.get(timeout=WAIT_S) == inferlay.Change("pair", 1, "LOADING", "")
        assert told.get(timeout=WAIT_S) == inferlay.Change("pair", 1, "READY", "")
    assert repr(subscription) == "<inferlay.Subscription, closed>"
    with pytest.raises(inferlay.InvalidArgument):
        empty.subscribe(5)  # type: ignore[arg-type]
    with empty.changes() as others, pytest.raises(inferlay.Timeout):
        others.take(timeout=0.0)
    empty.unload("pair")
    empty.close()
    thread.join(WAIT_S)
    assert found == ["LOADING", "READY", "UNLOADING", "UNAVAILABLE"] and told.empty()


def test_a_function_that_fails_does_not_keep_others_from_being_told(empty: inferlay.Server) -> None:
    told: "queue.Queue[inferlay.Change]" = queue.Queue()

    def broken(change: inferlay.Change) -> None:
        raise ValueError(change)

    with empty.subscribe(broken), empty.subscribe(told.put):
        empty.load("pair", files=PAIR, wait=False).on_done(broken)
        assert [told.get(timeout=WAIT_S).state for _ in range(2)] == ["LOADING", "READY"]


def test_what_nobody_refers_to_is_subscribed_no_more(empty: inferlay.Server) -> None:
    gc.collect()
    before = len(notices.notices().listeners)
    changes = empty.changes()
    assert len(notices.notices().listeners) == before + 1
    del changes
    gc.collect()
    assert len(notices.notices().listeners) == before


def test_changes_of_a_server_that_was_closed_end_at_once() -> None:
    server = inferlay.Server(progress=False)
    server.close()
    assert list(server.changes()) == []
    server.subscribe(print).close()


def test_changes_keep_the_server_that_they_are_of() -> None:
    changes = inferlay.Server(models={"pair": PAIR}, progress=False).changes()
    gc.collect()
    with pytest.raises(inferlay.Timeout):
        changes.take(timeout=0.0)
    changes.close()
    assert list(changes) == []


def test_tasks_that_no_longer_wait_for_a_change_leave_nothing_behind(empty: inferlay.Server) -> None:
    async def wait() -> None:
        for _ in range(100):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(changes.__anext__(), 0.0001)

    changes = empty.changes()
    asyncio.run(wait())
    assert changes._waiters == []


def test_a_function_that_does_not_come_back_keeps_nobody_from_closing(empty: inferlay.Server) -> None:
    begun, go = threading.Event(), threading.Event()

    def stay(_: inferlay.Change) -> None:
        begun.set()
        go.wait(WAIT_S)

    subscription, changes = empty.subscribe(stay), empty.changes()
    empty.load("pair", files=PAIR)
    assert begun.wait(WAIT_S)
    empty.close()
    assert not go.is_set()
    go.set()
    subscription.close()
    changes.close()


def test_the_end_of_an_operation_is_told_to_functions_alone(empty: inferlay.Server) -> None:
    with pytest.raises(inferlay.InvalidArgument, match="found int, expected a function"):
        empty.unload("nobody", wait=False).on_done(5)  # type: ignore[arg-type]


def test_repositories_come_and_go_under_names_of_their_own(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", "pair"), write(tmp_path / "two", "rows")
    # Several of each, which must all live until the library has read them.
    more = [write(tmp_path / f"more{index}", f"more{index}") for index in range(3)]
    names = {"pair": "twins", "more0": "a", "more1": "b", "more2": "c"}
    both = inferlay.Repository([one, two, *more], prefix="lab", served_as=names)
    with inferlay.Server(both, model_control="explicit", load=["lab/twins", "lab/c"], progress=False) as server:
        assert server.load("lab/rows").versions == [1] and server.model("lab/twins").is_ready
        assert [server.load(f"lab/{name}").versions for name in "abc"] == [[1]] * 3
        server.remove_repository(both)
        with pytest.raises(inferlay.NotFound):
            server.load("lab/rows")
        server.add_repository(one)
        assert server.load("pair").versions == [1]
        with pytest.raises(inferlay.AlreadyExists):
            server.add_repository(str(one))
        server.remove_repository(one)


def test_models_are_paged_within_a_budget() -> None:
    # All that a lane must know, so that it is loaded when it is asked.
    whole = echo(port("x", "FP32", [2]), output=[port("x", "FP32", [2])], max_batch_size=0)
    models = {"one": whole, "two": whole}
    budgets: Any = {"memory_budget": 1 << 20, "device_memory_budgets": {0: 1 << 20}}
    with inferlay.Server(models=models, pinned=["one"], retire_timeout=1.0, **budgets, progress=False) as server:
        assert server.paging()["budget_bytes"] == 1 << 20 and server.paging()["resident_count"] == 1
        assert server.infer("two", [1, 2]).tensor("x").tolist() == [1, 2]
        assert server.paging()["loads"] == 1
        server.pin("one", False)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"model_control": "always"}, "model_control: found 'always', expected one of 'none', 'explicit', 'poll'"),
        ({"load": ["a"]}, "load: found it with model_control='none'"),
        ({"load": "a", "model_control": "explicit"}, "load: found str, expected a list of names"),
        ({"settle_time": 1.0}, "settle_time: found it with model_control='none', expected it with 'poll'"),
        ({"ready_marker": "a/b", "model_control": "poll"}, "ready marker"),
        ({"poll_period": -1, "model_control": "poll"}, "found -1 seconds"),
        ({"memory_budget": -1}, "memory_budget: found -1"),
        ({"device_memory_budgets": [1]}, "device_memory_budgets: found list"),
        ({"pinned": [5]}, "pinned: found 5, expected a str"),
        ({"repository": 5}, "repository: found int, expected a path, a Repository, or a list of these"),
        ({"repository": inferlay.Repository([])}, "folders: found none"),
    ],
    ids=str,
)
def test_a_server_refuses_what_is_no_option(said: Any, message: str) -> None:
    with pytest.raises(inferlay.InvalidArgument, match=message):
        inferlay.Server(**said, progress=False)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"name": 5}, "found 5, expected a str"),
        ({"name": "a", "config": 5}, "config: found int"),
        ({"name": "a", "versions": []}, "versions: found none"),
        ({"name": "a", "versions": [-1]}, "versions: found -1"),
        ({"name": "a", "files": b"data"}, "files: found bytes"),
    ],
    ids=str,
)
def test_a_load_refuses_what_is_no_argument(empty: inferlay.Server, said: Any, message: str) -> None:
    with pytest.raises(inferlay.InvalidArgument, match=message):
        empty.load(**said)
