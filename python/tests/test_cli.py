"""The commands, as programs would call them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from inferlay.cli import main

numpy = pytest.importorskip("numpy")

CONFIG = """
backend: "null"
input: [{ name: x, data_type: TYPE_FP32, dims: [2] }, { name: s, data_type: TYPE_STRING, dims: [1] }]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "echo"
    (folder / "1").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    return folder.parent


def outputs(text: str) -> Any:
    told = json.loads(text)
    assert told["model_name"] == "echo" and told["model_version"] == "1"
    return {one["name"]: (one["datatype"], one["shape"], one["data"]) for one in told["outputs"]}


EXPECTED = {"x": ("FP32", [2], [1, 2]), "s": ("BYTES", [1], ["a\u00e9"])}


def test_models_are_listed(repository: Path, capsys: Any) -> None:
    assert main(["models", str(repository)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "version", "state", "inputs", "outputs"]
    assert lines[1].split()[:3] == ["echo", "1", "READY"]
    assert main(["models", "--json", str(repository)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "echo"


def test_a_model_that_does_not_serve_is_told_of(repository: Path, capsys: Any) -> None:
    (repository / "echo" / "config.yaml").write_text("backend: nowhere")
    assert main(["models", str(repository)]) == 1
    assert "nowhere" in capsys.readouterr().out


@pytest.mark.parametrize(
    "told",
    [
        {"x": [1, 2], "s": ["a\u00e9"]},
        {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]},
                {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["a\u00e9"]},
            ]
        },
    ],
    ids=["plain", "KServe"],
)
def test_json_goes_in_and_comes_out(repository: Path, tmp_path: Path, capsys: Any, told: Any, monkeypatch: Any) -> None:
    (tmp_path / "input.json").write_text(json.dumps(told))
    assert main(["run", str(repository), "echo", str(tmp_path / "input.json")]) == 0
    assert outputs(capsys.readouterr().out) == EXPECTED
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(told)))
    target = tmp_path / "output.json"
    assert main(["run", str(repository), "echo", "-", "--output", str(target)]) == 0
    assert outputs(target.read_text()) == EXPECTED


def test_arrays_go_in_and_come_out(repository: Path, tmp_path: Path) -> None:
    source, target = str(tmp_path / "input.npz"), str(tmp_path / "output.npz")
    numpy.savez(source, x=numpy.array([1, 2], numpy.float32), s=numpy.array(["a"]))
    assert main(["run", str(repository), "echo", source, "--output", target]) == 0
    with numpy.load(target) as found:
        assert found["x"].tolist() == [1, 2] and found["s"].tolist() == [b"a"]
    config = repository / "echo" / "config.yaml"
    config.write_text('backend: "null"\ninput: [{ name: x, data_type: TYPE_FP32, dims: [2] }]\n')
    numpy.save(tmp_path / "input.npy", numpy.array([1, 2], numpy.float32))
    assert main(["run", str(repository), "echo", str(tmp_path / "input.npy"), "--output", target]) == 0


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        ("none", "{}", "model 'none' not found"),
        ("echo", "{", "found no JSON"),
        ("echo", '{"inputs": [{"name": "x", "shape": [3], "data": [1]}]}', "found 1 elements, expected 3"),
        ("echo", '{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}', "expected FP32"),
        ("echo", '{"x": [1, 2]}', "'s'"),
        ("echo", "[" * 100_000, "found no JSON"),
        ("echo", '{"inputs": [5]}', "found 5, expected name"),
        ("echo", '{"inputs": [{"data": [1]}]}', "expected name"),
        ("echo", '{"inputs": [{"name": ["x"], "data": [1]}]}', "expected name"),
        ("echo", '{"inputs": [{"name": "x", "shape": [1]}]}', "expected name, datatype, shape and data"),
        ("echo", '{"inputs": [{"name": "x", "shape": 2, "data": [1, 2]}]}', "found shape 2"),
        ("echo", '{"inputs": [{"name": "x", "shape": [-1, -2], "data": [1, 2]}]}', "found shape [-1, -2]"),
        ("echo", '{"inputs": [{"name": "x", "shape": [2], "data": 5}]}', "found 5 as data"),
        ("echo", '{"x": [1, 2], "s": ["\\ud800"]}', "input 's'"),
    ],
)
def test_what_is_wrong_is_a_line_on_stderr(
    repository: Path, tmp_path: Path, capsys: Any, model: str, text: str, expected: str
) -> None:
    (tmp_path / "input.json").write_text(text)
    assert main(["run", str(repository), model, str(tmp_path / "input.json")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("inferlay: ") and expected in said and said.count("\n") == 1


def test_a_file_that_is_not_there_is_a_line_on_stderr(repository: Path, capsys: Any) -> None:
    assert main(["run", str(repository), "echo", "nowhere.json"]) == 1
    assert main(["models", str(repository / "nowhere")]) == 1
    assert capsys.readouterr().err.count("inferlay: ") == 2


def test_a_command_that_is_none_is_bad_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve"])
    assert ended.value.code == 2


@pytest.mark.parametrize("name", ["input.npy", "input.npz"])
@pytest.mark.parametrize("content", [b"", b"xx", b"PK", b"\x93NUMPY\x01\x00"])
def test_a_file_that_holds_no_arrays_is_a_line_on_stderr(
    repository: Path, tmp_path: Path, capsys: Any, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["run", str(repository), "echo", str(tmp_path / name)]) == 1
    assert f"{name}: found no arrays" in capsys.readouterr().err


def test_an_output_of_another_kind_is_refused_and_not_written(repository: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "input.json").write_text('{"x": [1, 2], "s": ["a"]}')
    target = tmp_path / "output.npy"
    assert main(["run", str(repository), "echo", str(tmp_path / "input.json"), "--output", str(target)]) == 1
    assert "expected .json or .npz" in capsys.readouterr().err and not target.exists()


def test_what_is_written_is_strict_json_and_can_be_read(repository: Path, tmp_path: Path, capsys: Any) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    for data in (["NaN", "-Infinity"], ["Infinity", 1.5]):
        (tmp_path / "input.json").write_text(json.dumps({"x": data, "s": ["NaN"]}))
        assert main(["run", str(repository), "echo", str(tmp_path / "input.json")]) == 0
        written = capsys.readouterr().out
        json.loads(written, parse_constant=refuse)
        assert outputs(written) == {"x": ("FP32", [2], data), "s": ("BYTES", [1], ["NaN"])}


@pytest.mark.parametrize("kind", ["FP16", "FP32", "FP64", "BF16"])
@pytest.mark.parametrize("form", ['{"x": DATA}', "DATA", '{"inputs": [{"name": "x", "shape": [1, 2], "data": DATA}]}'])
def test_numbers_that_are_not_finite_are_read_in_every_form(
    repository: Path, tmp_path: Path, capsys: Any, kind: str, form: str
) -> None:
    config = f'backend: "null"\ninput: [{{ name: x, data_type: TYPE_{kind}, dims: [1, 2] }}]\n'
    (repository / "echo" / "config.yaml").write_text(config)
    for data in ('[["NaN", "Infinity"]]', "[[NaN, Infinity]]"):
        (tmp_path / "input.json").write_text(form.replace("DATA", data))
        assert main(["run", str(repository), "echo", str(tmp_path / "input.json")]) == 0
        assert outputs(capsys.readouterr().out) == {"x": (kind, [1, 2], [["NaN", "Infinity"]])}


def test_a_text_is_no_number_where_the_model_takes_whole_ones(repository: Path, tmp_path: Path, capsys: Any) -> None:
    config = 'backend: "null"\ninput: [{ name: x, data_type: TYPE_INT32, dims: [1] }]\n'
    (repository / "echo" / "config.yaml").write_text(config)
    (tmp_path / "input.json").write_text('{"x": ["NaN"]}')
    assert main(["run", str(repository), "echo", str(tmp_path / "input.json")]) == 1
    assert "input 'x': expected a list of INT32" in capsys.readouterr().err
