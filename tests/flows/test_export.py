"""The export flow, compared with the command."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.errors import ConfigError, ExportError
from configs.export_formats import ExportFormat
from configs.load import load_config
from flows.cli.main import app
from flows.export import export_dataset
from flows.generate import generate_dataset
from labeling.synthetic.scene import render_scene
from tasks.execution.context import close_databases

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture(scope="module")
def home(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("exported")
    render_scene(folder / "scene.mp4", seconds=4)
    generate_dataset([str(folder / "scene.mp4")], load_config("offline"), home=folder / "home")
    yield folder / "home"
    close_databases()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", ["coco", "yolo-seg", "masks", "mots", "youtube-vis"])
def test_the_flow_writes_the_same_files_as_the_command(
    format: ExportFormat, home: Path, tmp_path: Path
) -> None:
    written = export_dataset(str(tmp_path / "flow"), home, format, decisions=("accepted", "review", "easy"))
    arguments = ["export", format, str(tmp_path / "command"), "--home", str(home)]
    for decision in ("accepted", "review", "easy"):
        arguments += ["--decision", decision]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert written.frames > 0
    assert files(tmp_path / "flow") == files(tmp_path / "command")


def test_an_export_replaces_an_earlier_export_and_nothing_else(home: Path, tmp_path: Path) -> None:
    export_dataset(str(tmp_path / "out"), home, decisions=("easy",))
    before = files(tmp_path / "out")
    export_dataset(str(tmp_path / "out"), home, decisions=("easy", "accepted", "review"))
    assert files(tmp_path / "out") != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="mine"):
        export_dataset(str(tmp_path / "mine"), home)
    assert files(tmp_path / "mine") == {"thesis.txt": b"years of work"}


def test_a_missing_home_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no home at .*nowhere"):
        export_dataset(str(tmp_path / "out"), tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()
