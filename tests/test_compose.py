"""What can be known of compose.yaml and Dockerfile without Docker."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from configs.load import load_config
from flows.cli.main import app
from flows.cli.services import scheduled_flows
from flows.deployment.deployments import DeploymentSpec, make_deployments
from labeling.review.label_studio.install import label_studio_version
from labeling.sources.ytdlp import RUNTIMES
from tests.conftest import ROOT

TEXT = (ROOT / "compose.yaml").read_text("utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
WORKERS = ("worker", "gpu-worker", "web")
"""Services that run maskmill."""


def test_each_variable_is_explained_in_the_example_and_each_of_those_is_used() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    told = set(re.findall(r"^([A-Z_]+)=.+$", example, re.M))
    assert set(re.findall(r"\$\{([A-Z_]+)\}", TEXT)) == told
    assert "$" not in re.sub(r"\$\{[A-Z_]+\}", "", TEXT)


def test_secrets_come_from_a_file_that_git_ignores() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            if (
                re.search("PASSWORD|TOKEN|AUTH|API_KEY", name)
                and name != "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"
            ):
                assert re.fullmatch(r"\$\{[A-Z_]+\}", value), name


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_of_one_version(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert tag in {"cpu", "gpu"} if "build" in SERVICES[name] else re.match(r"\d", tag)
    if image == "heartexlabs/label-studio":
        assert tag == label_studio_version()
    if image == "prefecthq/prefect":
        pinned = re.search(r"^prefect==(.+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.M)
        assert pinned is not None
        assert tag == f"{pinned[1]}-python3.11"


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_says_how_it_is_and_starts_again(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", WORKERS)
def test_the_workers_commands_are_maskmills(name: str) -> None:
    program, *words = SERVICES[name]["command"]
    assert program == "maskmill"
    understood(words)


def test_the_commands_of_the_header_are_maskmills() -> None:
    ran = re.findall(r"run --rm worker maskmill (.+)", TEXT)
    assert ran
    for words in ran:
        understood(words.split())


@pytest.mark.parametrize("name", WORKERS)
def test_workers_wait_for_what_they_want_and_know_where_it_is(name: str) -> None:
    environment = SERVICES[name]["environment"]
    hosts = set(re.findall(r"(?://|@)([a-z-]+):\d+", " ".join(environment.values())))
    assert hosts == {"postgres", "prefect", "label-studio"} <= set(SERVICES)
    assert set(SERVICES[name]["depends_on"]) == {"postgres", "prefect"}


@pytest.mark.parametrize("name", WORKERS)
def test_workers_see_videos_configs_and_models_and_cannot_change_them(name: str) -> None:
    mounted = [place for place in SERVICES[name]["volumes"] if place.startswith("$")]
    assert mounted == ["${VIDEOS}:/videos:ro", "${CONFIGS}:/configs:ro", "${MODELS}:/models:ro"]


def test_the_config_that_the_header_deploys_is_mounted_and_its_schedules_fire() -> None:
    (path,) = re.findall(r"maskmill deploy /videos --config /configs/(\S+)", TEXT)
    config = load_config(str(ROOT / "compose" / path))
    assert re.search(r"^CONFIGS=\./compose$", (ROOT / ".env.example").read_text("utf-8"), re.M)
    spec = DeploymentSpec(
        sources=["/videos"],
        config=config,
        name="nightly",
        home=Path("/srv/maskmill"),
        flows=scheduled_flows(),
    )
    scheduled = [one for deployment in make_deployments(spec) for one in deployment.schedules or ()]
    assert len(scheduled) == len(config.schedules.model_dump(exclude_none=True)) == 5
    assert all(schedule.active for schedule in scheduled)


def test_the_libraries_of_the_image_are_those_of_the_extras() -> None:
    (code,) = re.findall(r'RUN python -c "(.+?)" "\$\{EXTRAS\}"', DOCKERFILE)
    words = [sys.executable, "-c", code, "lite,review,postgres"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [one for extra in words[-1].split(",") for one in project["optional-dependencies"][extra]]
    assert listed == [*project["dependencies"], *extras]


def test_an_edit_of_the_code_installs_no_library_again() -> None:
    """Docker repeats the steps from the first COPY whose files changed."""
    steps = re.findall(r"^(COPY .+|RUN pip .+|.*--requirement libraries.txt)$", DOCKERFILE, re.M)
    assert steps[1:] == [
        "COPY pyproject.toml constraints.txt ./",
        "    && pip install --no-cache-dir --constraint constraints.txt --requirement libraries.txt",
        "COPY . .",
        "RUN pip install --no-cache-dir --no-deps .",
    ]


def test_the_image_has_a_javascript_runtime_that_yt_dlp_takes() -> None:
    copied = re.findall(r"^COPY --from=\S+ /(\w+) /usr/local/bin/\1$", DOCKERFILE, re.M)
    assert len(copied) == 1
    assert copied[0] in RUNTIMES


def test_a_gpu_is_wanted_by_the_gpus_worker_alone() -> None:
    wanting = {name for name, service in SERVICES.items() if "deploy" in service}
    assert wanting == {"gpu-worker"} == {name for name, service in SERVICES.items() if "profiles" in service}
    (device,) = SERVICES["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_each_volume_and_config_that_is_used_is_there() -> None:
    whole = yaml.safe_load(TEXT)
    named = {
        place.partition(":")[0]
        for service in SERVICES.values()
        for place in service.get("volumes", [])
        if not place.startswith("$")
    }
    assert named == set(whole["volumes"])
    databases = whole["configs"]["databases"]["content"]
    for service in ("prefect", "label-studio"):
        values = " ".join(SERVICES[service]["environment"].values())
        assert any(name in values for name in re.findall(r"CREATE DATABASE (\w+);", databases))


def test_the_image_is_made_of_what_is_packaged() -> None:
    let_in = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.M))
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt"} <= let_in
    assert {"flows", "tasks", "labeling", "db", "configs"} <= let_in
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    for name in WORKERS:
        for extra in SERVICES[name]["build"]["args"]["EXTRAS"].split(","):
            assert re.search(rf"^{extra} = \[", pyproject, re.M)


def understood(words: list[str]) -> None:
    """Whether the command line can be read; nothing is run."""
    group = typer.main.get_command(app)
    context = group.make_context("maskmill", list(words))
    name, command, arguments = group.resolve_command(context, words)  # type: ignore[attr-defined]
    assert name == words[0]
    command.make_context(name, arguments, parent=context)
