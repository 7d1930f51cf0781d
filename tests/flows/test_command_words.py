"""Times, subcommands and tables of the command line."""

import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from configs.errors import ConfigError, WeightsMissing
from configs.load import validate_config
from flows.cli.console import print_error, print_table, warn
from flows.cli.main import app
from flows.cli.progress import watch_mattes
from labeling.segmenters.requirements import require_parts


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 2, done.output
    return " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:70", "at most 59 minutes or seconds"),
        ("1,5", "write 1.5"),
        ("-3", "write seconds such as 90"),
        ("half", "or 1:02:30 (hh:mm:ss)"),
        ("nan", "write seconds such as 90"),
    ],
)
def test_a_text_that_is_no_time_says_how_to_write_one(text: str, message: str) -> None:
    assert message in refused("matte", "v.mp4", "--out", "o", "--start", text)


def test_all_options_with_a_time_take_minutes_and_keep_their_range() -> None:
    assert "1:40:00 is 6000 s: give a time of from 4 to 600 s" in refused("demo", "--seconds", "1:40:00")
    assert "0.5 is 0.5 s: give a time of at least 1 s" in refused("review", "listen", "--every-s", "0.5")
    assert "--end 5 s is not after --start 65 s" in refused(
        "matte", "v.mp4", "--out", "o", "--start", "1:05", "--end", "5"
    )


def test_an_unknown_subcommand_names_the_others() -> None:
    assert "Did you mean 'list'" in refused("runs", "lst")
    for group in ("config", "dataset", "db", "export", "models", "review", "runs", "student", "train"):
        assert "No such command 'zzz'; there are " in refused(group, "zzz"), group


def test_the_columns_of_ids_are_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: True))
    print_table(("frame", "why"), [("1893748342228478", "a sentence " * 20)], whole=("frame",))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("1893748342228478  a sentence")
    assert max(map(len, lines[1:])) <= 60


def test_the_names_of_strangers_do_not_reach_the_terminal_as_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "a\x1b[2J\x1b]0;title\x07\u202egpj.mp4"
    print_table(("source",), [(name,)])
    warn(name)
    print_error(ConfigError(name))
    printed = capsys.readouterr()
    assert printed.out.split() == ["source", "a?[2J?]0;title??gpj.mp4"]
    assert printed.err.count("a?[2J?]0;title??gpj.mp4") == 2
    assert not set(printed.out + printed.err) & {"\x1b", "\x07", "\u202e"}


def test_all_missing_weights_are_named_at_once(tmp_path: Path) -> None:
    tree = {
        role: {"kind": "onnx", "path": str(tmp_path / f"{role}.onnx"), "input_hw": [64, 64]}
        for role in ("teacher", "student")
    }
    with pytest.raises(WeightsMissing, match=r"(?s)2 files are missing:.*teacher\.onnx.*student\.onnx"):
        require_parts(validate_config(tree, "test"))
    (tmp_path / "teacher.onnx").touch()
    with pytest.raises(WeightsMissing, match=r"^onnx model: no file at .*student\.onnx"):
        require_parts(validate_config(tree, "test"))


@pytest.mark.slow
def test_the_progress_of_a_matte_has_a_rate_and_the_time_left(tmp_path: Path) -> None:
    lines: list[str] = []
    folder = tmp_path / "a"
    folder.mkdir()
    file = folder / "progress.json"
    with watch_mattes([folder], lambda text, *_: lines.append(text)):
        for done in range(100):
            file.write_text(f'{{"stage": "matte", "frames_done": {done}, "frames_total": 100000}}')
            if "ETA" in "".join(lines):
                break
            time.sleep(0.05)
    assert "cutting people out" in lines[-1]
    assert "frames/s · ETA" in lines[-1]
