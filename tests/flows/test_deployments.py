"""What Prefect is told about the flows: when they start, with which parameters, from where."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.flows import Flow, load_flow_from_entrypoint

from configs.errors import ConfigError, NoLabelStudio, NoRunYet
from configs.load import load_config
from configs.schedules import FlowSchedule, Schedules
from flows.cli.services import scheduled_flows
from flows.deployment.deployments import (
    ONE_AT_A_TIME,
    SCHEDULED_FLOWS,
    DeploymentSpec,
    make_deployments,
    prefect_schedule,
)
from flows.label import label_shards
from flows.review import pull_reviews, push_reviews
from labeling.storage.home import Home
from tests.conftest import ROOT
from tests.planted_reviews import plant_run

DECLARED = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))


def job(home: Path, *changes: str, name: str = "offline") -> DeploymentSpec:
    return DeploymentSpec(
        sources=["/a.mp4", "/b"],
        config=load_config("offline", changes),
        name=name,
        home=home,
        flows=scheduled_flows(),
    )


def test_deployments_hold_all_that_their_flows_are_to_know(tmp_path: Path) -> None:
    ordered = job(tmp_path, "schedules.push.cron=0 2 * * mon-fri", "review.max_open_tasks=7", name="50%")
    made = {deployment.flow_name: deployment for deployment in make_deployments(ordered)}
    assert {deployment.name for deployment in made.values()} == {"50-"}
    assert [flow for flow, deployment in made.items() if deployment.schedules] == ["push-reviews"]
    generate, push = made["generate-dataset"].parameters, made["push-reviews"].parameters
    assert generate["sources"] == ["/a.mp4", "/b"]
    config = ordered.config
    assert type(config).model_validate(generate["config"]).run_id() == config.run_id()
    for flow in ("push-reviews", "export-dataset", "label-shards"):
        assert made[flow].parameters["run"] == config.run_id()
    assert push["settings"]["max_open_tasks"] == 7
    assert made["pull-reviews"].parameters == made["recover"].parameters == {"home": str(tmp_path)}
    assert all(deployment.tags == ["maskmill", "50%"] for deployment in made.values())


def test_scheduled_exports_and_collections_have_the_settings_of_the_config(tmp_path: Path) -> None:
    changes = ("export.license_allow=[cc0]", "export.blur_faces=true", "retention.runs_days=180")
    made = {one.flow_name: one.parameters for one in make_deployments(job(tmp_path, *changes))}
    assert made["export-dataset"] | {"license_allow": ["cc0"], "blur_faces": True} == made["export-dataset"]
    ages = {"delete": True, "older_than": 1, "runs_older_than": 30, "retention": 180}
    assert made["collect-garbage"] == ages | {"home": str(tmp_path)}
    assert "retention" not in made["generate-dataset"]["config"]
    assert job(tmp_path, *changes).config.run_id() == job(tmp_path).config.run_id()


def test_a_circle_is_deployed_with_the_flow_that_waits_for_approval(tmp_path: Path) -> None:
    changes = (
        "circle.dataset=night",
        "circle.frozen=exam",
        "circle.against=deployed.yaml",
        "circle.training.steps=50",
        "schedules.circle.interval_s=9",
    )
    made = {one.flow_name: one for one in make_deployments(job(tmp_path, *changes))}
    assert [name for name, one in made.items() if one.schedules] == ["run-circle"]
    circle = made["run-circle"].parameters
    assert (circle["circle"]["dataset"], circle["circle"]["training"]["steps"]) == ("night", 50)
    assert circle["circle"]["against"] == str(Path("deployed.yaml").absolute())
    assert made["promote-student"].parameters == {"student": "latest", "on": "exam", "home": str(tmp_path)}
    assert job(tmp_path, *changes).config.run_id() == job(tmp_path).config.run_id()
    for name in ("circle", "promote"):
        flow = scheduled_flows()[name]
        flow.validate_parameters(made[flow.name].parameters)
    with pytest.raises(ConfigError, match=r"circle: \{dataset: NAME, frozen: NAME\}"):
        load_config("offline", ["schedules.circle.interval_s=9"])


MANY_AT_A_TIME = {"label-shards"}


def test_with_the_promoted_student_schedules_follow_the_latest_run(tmp_path: Path) -> None:
    made = make_deployments(job(tmp_path, "student=registry:current"))
    runs = {one.flow_name: one.parameters["run"] for one in made if "run" in one.parameters}
    assert runs == dict.fromkeys(("label-shards", "push-reviews", "export-dataset"), "")
    [generate] = [one for one in made if one.flow_name == "generate-dataset"]
    assert generate.parameters["config"]["student"]["kind"] == "registry"


def test_one_run_of_a_deployment_at_a_time_but_for_those_that_help(tmp_path: Path) -> None:
    for deployment in make_deployments(job(tmp_path)):
        if deployment.flow_name in MANY_AT_A_TIME:
            assert deployment.concurrency_limit is None
            continue
        assert deployment.concurrency_limit == ONE_AT_A_TIME.limit
        assert deployment.concurrency_options is not None
        assert deployment.concurrency_options.collision_strategy == ONE_AT_A_TIME.collision_strategy
        assert deployment.concurrency_options.grace_period_seconds == 600


WORK_WITH_A_RUN = ("label-shards", "push-reviews", "pull-reviews", "export-dataset", "collect-garbage")


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("name", WORK_WITH_A_RUN)
def test_what_a_schedule_starts_before_the_first_run_says_that_there_is_nothing_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(flow, made)] = [
        (flow, made)
        for flow in scheduled_flows().values()
        for made in make_deployments(job(tmp_path / "home"))
        if made.flow_name == flow.name == name
    ]
    with pytest.raises(NoRunYet, match="no home at"):
        flow(**made.parameters)
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "scheduled")
    state: Any = flow(**made.parameters, return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "NothingToDo")
    assert "no home at" in state.message


@pytest.mark.usefixtures("prefect")
def test_a_schedule_waits_for_its_own_run_and_a_mistyped_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    plant_run(home, [])
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "scheduled")
    state: Any = label_shards("0123456789abcdef", home.root, return_state=True)
    assert state.name == "NothingToDo"
    assert "no run '0123456789abcdef'; known: " in (state.message or "")
    with pytest.raises(ConfigError, match="no run '01234'; known: "):
        label_shards("01234", home.root)


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("flow", [push_reviews, pull_reviews])
def test_without_a_label_studio_a_scheduled_review_has_nothing_to_do(
    flow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    plant_run(home, [])
    for variable in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(NoLabelStudio, match="maskmill review up"):
        flow(home=home.root)
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "scheduled")
    state: Any = flow(home=home.root, return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "NothingToDo")
    assert "no Label Studio for" in state.message


@pytest.mark.parametrize(("folder", "out"), [("coco", "/home/m/coco"), ("/nas/coco", "/nas/coco")])
def test_a_scheduled_export_writes_where_it_is_told_and_else_in_the_home(folder: str, out: str) -> None:
    ordered = job(
        Path("/home/m"), f"export.folder={folder}", "export.format=masks", "export.decisions=[easy]"
    )
    parameters = {made.flow_name: made for made in make_deployments(ordered)}["export-dataset"].parameters
    assert parameters["out"] == out
    assert (parameters["format"], parameters["decisions"]) == ("masks", ["easy"])


def test_each_schedule_of_a_config_starts_a_flow() -> None:
    *scheduled, promote = [offer.schedule for offer in SCHEDULED_FLOWS]
    assert promote == "promote"  # started by `circle`
    assert set(scheduled) == set(Schedules.model_fields) == set(scheduled_flows()) - {promote}
    changes = [f"schedules.{name}.interval_s={i}" for i, name in enumerate(scheduled, start=60)]
    circle = ("circle.dataset=night", "circle.frozen=exam")
    for seconds, deployment in enumerate(
        make_deployments(job(Path("/home"), *circle, *changes))[:-1], start=60
    ):
        [one] = deployment.schedules or []
        assert isinstance(one.schedule, IntervalSchedule)
        assert one.schedule.interval == timedelta(seconds=seconds)


def test_every_deployment_loads_by_its_entrypoint_with_the_parameters_it_is_given(tmp_path: Path) -> None:
    for deployment in make_deployments(job(tmp_path)):
        flow = load(str(deployment.entrypoint))
        assert flow.name == deployment.flow_name
        flow.validate_parameters(deployment.parameters)


@pytest.mark.parametrize("declared", DECLARED["deployments"], ids=lambda declared: str(declared["name"]))
def test_every_deployment_of_prefect_yaml_loads_with_the_parameters_it_is_given(
    declared: dict[str, Any],
) -> None:
    flow = load(declared["entrypoint"])
    flow.validate_parameters(declared["parameters"])
    assert Path(declared["parameters"]["home"]).is_absolute()


def test_prefect_yaml_declares_the_flows_that_deploy_registers(tmp_path: Path) -> None:
    flows = [load(declared["entrypoint"]).name for declared in DECLARED["deployments"]]
    assert flows == [deployment.flow_name for deployment in make_deployments(job(tmp_path))]
    one = {"limit": 1, "collision_strategy": "CANCEL_NEW", "grace_period_seconds": 600}
    for flow, declared in zip(flows, DECLARED["deployments"], strict=True):
        assert declared.get("concurrency_limit") == (None if flow in MANY_AT_A_TIME else one)
        assert declared["work_pool"]["name"] == "maskmill"


def load(entrypoint: str) -> Flow[..., Any]:
    """The flow itself: a module that cannot be imported would otherwise give a placeholder made of its text."""
    return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)


def test_a_person_finds_every_field_of_a_form_explained(tmp_path: Path) -> None:
    for deployment in make_deployments(job(tmp_path)):
        assert "Args:" not in str(deployment.description)
        for name, field in deployment._parameter_openapi_schema.properties.items():
            assert field.get("description"), f"{deployment.flow_name}: {name}"
    generate = make_deployments(job(tmp_path))[0]._parameter_openapi_schema
    blocks: dict[str, Any] = generate.model_dump()["definitions"]
    assert (
        "a restart does not shift them" in blocks["FlowSchedule"]["properties"]["interval_s"]["description"]
    )
    assert blocks["Sampling"]["properties"]["every_s"]["title"] == "every_s"
    assert "union IoU" in blocks["Agreement"]["properties"]["hard_below"]["description"]


def test_an_interval_is_counted_from_a_midnight_of_its_zone() -> None:
    schedule = prefect_schedule(FlowSchedule(interval_s=86400, timezone="Europe/Berlin"))
    assert schedule.interval == timedelta(days=1)
    assert schedule.anchor_date.isoformat() == "2020-01-01T00:00:00+01:00"
    assert schedule.timezone == "Europe/Berlin"


def test_a_line_of_cron_keeps_its_zone() -> None:
    schedule = prefect_schedule(FlowSchedule(cron="0 2 * * *", timezone="Asia/Tokyo"))
    assert (schedule.cron, schedule.timezone) == ("0 2 * * *", "Asia/Tokyo")
