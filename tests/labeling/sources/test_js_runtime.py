"""Detection of JavaScript runtimes, with programs that answer like the real ones."""

from pathlib import Path

import pytest

from labeling.sources.ytdlp import js_runtime_status


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the only one in PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, name: str, answer: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)


def test_no_runtime_is_reported_with_advice(programs: Path) -> None:
    status = js_runtime_status()
    assert (status.name, status.version, status.ok) == (None, None, False)
    assert "install deno" in status.explanation


def test_an_old_runtime_is_reported_with_its_version(programs: Path) -> None:
    install(programs, "node", "v20.11.0")
    status = js_runtime_status()
    assert (status.name, status.version, status.ok) == ("node", "20.11.0", False)
    assert "too old" in status.explanation


def test_the_first_runtime_that_is_new_enough_is_used(programs: Path) -> None:
    install(programs, "deno", "deno 1.0.0 (release)")
    install(programs, "node", "v22.4.1")
    install(programs, "bun", "1.3.0")
    assert js_runtime_status()[:3] == ("node", "22.4.1", True)
    install(programs, "deno", "deno 2.5.0 (release)")
    assert js_runtime_status()[:3] == ("deno", "2.5.0", True)


def test_yt_dlp_tries_all_runtimes(programs: Path) -> None:
    from configs.models import Ingest
    from labeling.sources.ytdlp import YtDlpLogger, make_downloader

    install(programs, "node", "v22.4.1")
    with make_downloader(Ingest(), YtDlpLogger(), allow_link_local=False) as downloader:
        found = [name for name, runtime in downloader._js_runtimes.items() if runtime.info]
    assert found == ["node"]
