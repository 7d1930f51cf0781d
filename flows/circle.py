"""The flow of one round of the circle: mine, pull reviews, make a dataset version, train; a person approves the student."""

from pathlib import Path

from prefect import flow
from prefect.deployments import run_deployment
from prefect.logging import get_run_logger
from prefect.runtime import deployment

from configs.circle import Circle
from configs.models import RunConfig
from db.runs.queries import runs_of_name
from db.students.registry import CURRENT, current_student, student_of_dataset
from flows.generate import generate_dataset
from flows.home import existing_context, whole_path
from flows.review import pull_reviews
from flows.train import train_student
from labeling.datasets.splits.assignment import Division, parse_shares
from labeling.datasets.versions.query import parse_query
from tasks.datasets.create import create_dataset
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import Context


@flow(name="run-circle", flow_run_name="circle {name}", persist_result=False)
def run_circle(
    sources: list[str],
    config: RunConfig,
    circle: Circle,
    name: str = "",
    home: Path = Path(".maskmill"),
) -> str:
    """Mine, take over reviews, make a dataset version, train a student on it, and ask for its approval.

    The student is compared and promoted by the deployment `promote-student` of the same name, which waits for a
    person. Each step is done once: a round that was stopped goes on where it ended, and one without new frames trains
    nothing.

    Args:
        sources: files, folders, globs, archives, lists, URLs, cameras.
        config: the run.
        circle: dataset, evaluation set and training.
        name: the config's name; its runs give the frames.
        home: folder for the database, the images and the trainings.

    Returns:
        The id of the student of the latest version.
    """
    generate_dataset(sources, config, name, home)
    pulled = pull_reviews(home, return_state=True)
    if pulled.is_failed():
        get_run_logger().warning("reviews were not pulled; the next round takes them: %s", pulled.message)
    context = existing_context(whole_path(home, "home"))
    version = _make_version(context, circle, name)
    with context.database.session() as session:
        student_id = student_of_dataset(session, version)
        start = CURRENT if current_student(session) else None
    if student_id is None:
        folder = context.home.root / "trainings" / version
        student_id = train_student(version, folder, circle.training, start, home=home).sha256
    _ask_for_approval(student_id, circle, against=None if start else circle.against)
    return student_id


def _make_version(context: Context, circle: Circle, name: str) -> str:
    """Make a version from all runs of this name, the newest first; return the latest version, new or not."""
    with context.database.session() as session:
        query = parse_query(runs_of_name(session, name), circle.decisions, ())
    made = create_dataset(context, DatasetOrder(circle.dataset, query, Division(parse_shares(circle.split))))
    words = "created" if made.is_new else "unchanged"
    get_run_logger().info("%s %s: %d frames", words, made.version.full_name, made.version.frames)
    return made.version.full_name


def _ask_for_approval(student_id: str, circle: Circle, *, against: str | None) -> None:
    """Start the deployment that compares and waits; once for each student."""
    if not deployment.id:
        get_run_logger().info(
            "to promote it: maskmill student promote %s --on %s", student_id[:12], circle.frozen
        )
        return
    run_deployment(
        f"promote-student/{deployment.name}",
        parameters={"student": student_id, "on": circle.frozen, "against": against},
        timeout=0,
        as_subflow=False,
        idempotency_key=f"{student_id} on {circle.frozen}",
    )


if __name__ == "__main__":
    run_circle.serve("run-circle")
