"""What hard frames are worth to a student, beside as many random frames, over several rounds.

    python benchmarks/circle.py FOLDER [--seeds 3] [--rounds 3] [--frames 24] [--steps 300] [--quiet | --real ../shared/data]

Three rendered rooms are mined, and a fourth one is a frozen evaluation set. The first student is weak: it was trained on
people who stand still in other minutes of these three rooms. Each round mines the rooms with the student of the round
before, by a run of the product, and trains that round's student from the weak one on hard frames of all rounds so far, mixed
half and half with the standing people. Beside it, as many frames are drawn at random from all frames of the same rooms. The rendered truth is the teacher, and stands for the
reviewer too: accepted frames and those for review have its masks. Each round adds `--frames` frames.
The weak student is trained in two cycles, the second as long as a round: after one cycle, more training on the same images
alone gave more than new frames. The control is trained for as many steps as a round again, on standing people alone.
Every seed has its own random frames and its own trainings; the weak student is one for all.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from real_people import write_base, write_frozen, write_mined
from rendered_rooms import FROZEN, MINED, render_room, write_standing

from configs.models import RunConfig
from configs.segmenters import CustomNetworkBlock
from configs.student_training import StudentTraining
from db.datasets.queries import latest_version
from labeling.datasets.splits.assignment import Division
from labeling.datasets.versions.query import parse_query
from labeling.segmenters.weights import check_sha256
from labeling.storage.home import Home
from labeling.students.files import WEIGHTS
from labeling.students.frame_store import TrainingFrames, write_frames
from maskmill import run
from tasks.datasets.create import create_dataset
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import Context, open_context
from tasks.students.compare import NamedStudent, compare_named
from tasks.students.data import BaseDataset, read_base
from tasks.students.train import StudentOrder, train_student
from tasks.training_records import TrainingData

INPUT_HW = (64, 112)
ALL_TRAIN = Division((1.0, 0.0, 0.0), 0)


@dataclass(frozen=True, slots=True)
class Result:
    """One student on the frozen room."""

    seed: int
    round: int
    """0: before any frame was mined."""
    arm: str
    frames: int
    hard_frames: int
    """That the run of this round found, in all rounds so far."""
    iou: float
    boundary_iou: float
    int8_iou: float


class Circle:
    """The videos, the home and the settings of one benchmark."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.given = folder, arguments
        self.home = Home(folder / "home")
        self.home.create()
        self.context: Context = open_context(self.home)
        self.mined: set[str] = set()
        if data := arguments.real:
            self.videos, self.frozen_videos = (
                write_mined(data, folder / "videos"),
                write_frozen(data, folder / "videos"),
            )
            self.standing, count = write_base(data, folder / "standing")
        else:
            self.videos = [
                path for room in MINED for path in render_room(room, folder / "videos", quiet=arguments.quiet)
            ]
            self.frozen_videos = render_room(FROZEN, folder / "videos")
            self.standing, count = write_standing(MINED, folder / "standing")
        print(f"{count} images for the weak student; {len(self.videos)} videos to mine", flush=True)

    def config(self, student: CustomNetworkBlock) -> RunConfig:
        teacher = {
            "kind": "python",
            "factory": "rendered_rooms:rendered_truth",
            "options": {"folder": str(self.folder / "videos")},
        }
        unneeded = {"min_moving_fraction": 0, "min_missed_person_size": 0, "min_flow_iou": 0}
        return RunConfig.model_validate(
            {
                "teacher": teacher,
                "student": student,
                "tracking": None,
                "trust": unneeded,  # what accepted and reviewed frames get is the truth anyway
                "device": "cpu",
            }
        )

    def settings(
        self, seed: int, steps: int, frames: int | None = None, *, batch: int = 4
    ) -> StudentTraining:
        return StudentTraining(
            seed=seed,
            batch=batch,
            steps=steps,
            input_hw=INPUT_HW,
            learning_rate=self.given.learning_rate,
            max_frames=frames,
            workers=0,
            threads=1,
            device="cpu",
        )

    def dataset(
        self, name: str, run_ids: Sequence[str], decisions: Sequence[str], *, frozen: bool = False
    ) -> int:
        """Make a version of a dataset; return the number of its frames."""
        query = parse_query(run_ids, tuple(decisions), ())
        made = create_dataset(self.context, DatasetOrder(name, query, ALL_TRAIN, is_frozen=frozen))
        if made.excluded:
            print(f"{name}: left out {made.excluded}")
        return made.version.frames

    def freeze(self, weak: "Exported") -> None:
        """Make the evaluation set once, whatever the student finds in it."""
        with self.context.database.session() as session:
            if latest_version(session, "frozen"):
                return
        run_id = self.mine(block_of(weak.network), self.frozen_videos)
        self.dataset("frozen", [run_id], ("accepted", "review", "easy"), frozen=True)

    def mine(self, student: CustomNetworkBlock, videos: Sequence[Path]) -> str:
        """Run the product on videos, unless this run has them all; return its id."""
        config = self.config(student)
        if config.run_id() in self.mined:
            return config.run_id()
        summary = run(videos, config, home=self.home.root)
        print(f"mined {config.run_id()}: {summary.counts}", flush=True)
        self.mined |= {config.run_id()} if videos == self.videos else set()
        return config.run_id()

    def train(self, name: str, dataset: str, settings: StudentTraining, start: Path) -> "Exported":
        base = BaseDataset(self.standing, self.standing.parent / "images")
        order = StudentOrder(dataset, self.folder / "students" / name, settings, str(start), base)
        made = train_student(self.context, order)
        return Exported(made.network, made.int8)

    def measure(self, made: "Exported") -> tuple[float, float, float]:
        """Return IoU, boundary IoU and the int8 file's IoU on the frozen room."""
        files = (NamedStudent("onnx", block_of(made.network)), NamedStudent("int8", block_of(made.int8)))
        with self.context.database.session() as session:
            total = compare_named(self.context, session, files, "frozen:test").total
        return total.iou[0], total.boundary_iou[0], total.iou[1]


def block_of(path: str) -> CustomNetworkBlock:
    from labeling.students.export import student_block

    return student_block(Path(path), check_sha256(Path(path), ""), INPUT_HW)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=24, help="Frames that a round adds.")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--weak-steps", type=int, default=600)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument(
        "--real", type=Path, metavar="DATA", help="Real photos and a video (`real_people`) in place of rooms."
    )
    parser.add_argument(
        "--quiet", action="store_true", help="Mined rooms in which people walk or crouch in one frame of ten."
    )
    given = parser.parse_args()
    circle = Circle(given.folder.resolve(), given)
    results: list[Result] = []
    for seed in range(1, given.seeds + 1):
        results += run_seed(circle, seed)
        (given.folder / "results.json").write_text(json.dumps([asdict(one) for one in results], indent=1))
    report(results)


def run_seed(circle: Circle, seed: int) -> list[Result]:
    """Train the control, and both arms of each round."""
    given, results = circle.given, list[Result]()

    def measure(number: int, arm: str, frames: int, hard: int, made: Exported) -> None:
        results.append(Result(seed, number, arm, frames, hard, *circle.measure(made)))
        print(json.dumps(asdict(results[-1])), flush=True)

    train_standing(circle, "weak-1", circle.settings(1, given.weak_steps, batch=8))
    first = circle.folder / "students" / "weak-1" / WEIGHTS
    weak = train_standing(circle, "weak-2", circle.settings(1, given.steps), first)
    circle.freeze(weak)
    measure(0, "weak", 0, 0, weak)
    start = circle.folder / "students" / "weak-2" / WEIGHTS
    control = train_standing(circle, f"control-{seed}", circle.settings(seed, given.steps), start)
    measure(0, "control", 0, 0, control)
    student, runs = weak, list[str]()
    for number in range(1, given.rounds + 1):
        runs.append(circle.mine(block_of(student.network), circle.videos))
        hard = circle.dataset(f"hard-{seed}-{number}", runs, ("accepted", "review"))
        circle.dataset(f"all-{seed}", runs[:1], ("accepted", "review", "easy"))
        frames = min(hard, given.frames * number)
        for arm, dataset in (("random", f"all-{seed}"), ("hard", f"hard-{seed}-{number}")):
            settings = circle.settings(seed, given.steps, frames)
            student = circle.train(f"{arm}-{seed}-{number}-{frames}", dataset, settings, start)
            measure(number, arm, frames, hard, student)
    return results


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of a student."""

    network: str
    int8: str


def train_standing(
    circle: Circle, name: str, settings: StudentTraining, start: Path | None = None
) -> Exported:
    """Train on people who stand still alone, by the same loop as all others."""
    from labeling.students.export import write_student
    from labeling.students.train import train_student_network

    folder = circle.folder / "students" / name
    base = BaseDataset(circle.standing, circle.standing.parent / "images")
    train = write_frames(folder / "train", "standing", read_base(base, TrainingData()), INPUT_HW)
    frames = TrainingFrames(train, write_frames(folder / "val", "none", (), INPUT_HW))
    network = train_student_network(settings, frames, folder, start=start)
    written = write_student(network, settings, frames, folder)
    return Exported(str(written.block.path), str(written.int8_block.path))


def report(results: Sequence[Result]) -> None:
    """Print the curve, and the gains of the last round."""
    weak = {one.seed: one.iou for one in results if one.arm == "weak"}
    print(f"{'round':>5} {'frames':>7} {'gain(hard)':>18} {'gain(random)':>18} {'ratio':>6}")
    for number in sorted({one.round for one in results} - {0}):
        gains = {
            arm: np.array(
                [one.iou - weak[one.seed] for one in results if (one.arm, one.round) == (arm, number)]
            )
            for arm in ("hard", "random")
        }
        frames = np.mean([one.frames for one in results if one.round == number])
        ratio = gains["hard"].mean() / gains["random"].mean()
        shown = [f"{gain.mean():+.3f} +- {gain.std():.3f}" for gain in gains.values()]
        print(f"{number:>5} {frames:>7.0f} {shown[0]:>18} {shown[1]:>18} {ratio:>6.2f}")
    for arm in ("weak", "control"):
        print(f"{arm}: IoU {np.mean([one.iou for one in results if one.arm == arm]):.3f}")


if __name__ == "__main__":
    main()
