"""An upload goes through the real flow, with the preset that requires no weights but the shipped network's."""

import io
import zipfile
from fractions import Fraction
from pathlib import Path

import httpx
import pytest

from flows.web.app import WebSettings
from flows.web.job_options import JobOptions
from flows.web.security import access_rules
from labeling.matting.network import shipped_weights
from labeling.synthetic.scene import render_scene
from tests.flows.web.conftest import is_finished, problems, serving, upload, wait_for


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_video_is_matted_and_a_broken_one_beside_it_fails(tmp_path: Path) -> None:
    if not shipped_weights().is_file():
        pytest.skip("the package has no matting network yet")
    scene = render_scene(tmp_path / "scene.mp4", seconds=5, fps=Fraction(4), size_hw=(120, 160))
    settings = WebSettings(
        JobOptions(home=tmp_path / "home", config="offline"), access_rules("127.0.0.1", None, [])
    )
    with serving(settings) as address, httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        answer = upload(
            client,
            ("scene.mp4", scene.read_bytes()),
            ("no.mp4", b"text" * 99),
            background="blur",
            format="webm",
        )
        job = wait_for(client, answer.json()["id"], is_finished, limit_s=1000)
        assert job["state"] == "done", job
        assert problems(job) == {"no.mp4": "not_a_video"}
        assert job["videos"][0]["moments"] == 20
        with zipfile.ZipFile(io.BytesIO(client.get(job["result"]).content)) as archive:
            names = set(archive.namelist())
    assert {"scene/composite.mp4", "scene/scene.webm", "scene/alpha/00019.png", "scene/plate.png"} <= names
    assert not any(name.endswith((".json", ".jsonl")) for name in names)  # they name folders of the server
