"""The commands of docs/datasets.md, in order."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from labeling.storage.home import Home
from tasks.execution.context import close_databases
from tests.conftest import ROOT
from tests.planted_reviews import box_mask
from tests.tasks.datasets.planting import SIZE_HW, PlantedVideo, correct, plant

PAGE = (ROOT / "docs" / "datasets.md").read_text("utf-8")


@pytest.mark.slow
def test_the_commands_of_the_page_make_compare_and_write_versions(
    tmp_path: Path, sqlite_with_tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MASKMILL_HOME", raising=False)
    monkeypatch.delenv("MASKMILL_DATABASE_URL", raising=False)
    home = Home(tmp_path / ".maskmill")
    home.create()
    shutil.copyfile(sqlite_with_tables, home.database)
    videos = [PlantedVideo("v0", decision="easy"), PlantedVideo("v1"), PlantedVideo("v2", decision="review")]
    run_id = plant(home, videos)
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
    assert len(commands) == 6
    outputs = []
    for line in commands:
        if " diff " in line:
            correct(home, run_id, videos[1].frame_id(0), box_mask(5, 5, 20, 20, SIZE_HW))
            assert CliRunner().invoke(app, shlex.split(commands[0])[1:]).stdout.startswith("created night@2")
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output)
        outputs.append(done.stdout)
    assert "9 frames" in outputs[0]
    assert "frames: 1 changed; masks in changed frames: 1 changed" in outputs[-1]
    written = {path.name for path in Path("dataset").iterdir()}
    assert {"annotations", "images", "leak_certificate.json", "leaks.html", "README.md"} <= written
    assert json.loads(Path("dataset/leak_certificate.json").read_text())["is_clean"]
    close_databases()
