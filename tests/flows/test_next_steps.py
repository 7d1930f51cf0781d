"""What commands suggest to do next."""

import sys
from pathlib import Path

import pytest

from flows.cli.next_steps import print_next


def test_suggested_commands_can_be_pasted_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name("maskmill")
    monkeypatch.setenv("PATH", str(program.parent))
    print_next("maskmill review up && maskmill open --home maskmill-demo", "")
    assert capsys.readouterr().out.splitlines()[1] == (
        "next: maskmill review up && maskmill open --home maskmill-demo"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    for folder, shown in ((tmp_path, str(program)), (program.parent.parent, "bin/maskmill")):
        monkeypatch.chdir(folder)
        print_next("maskmill review up && maskmill open --home maskmill-demo")
        assert capsys.readouterr().out.strip() == (
            f"next: {shown} review up && {shown} open --home maskmill-demo"
        )
