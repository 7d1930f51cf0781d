"""The dataset card of a version: Markdown for those who use the dataset."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy.orm import Session

from db.datasets.figures import SMALL_PX, MaskGroup, VersionFigures, version_figures
from db.datasets.queries import version_videos
from db.models.datasets import DatasetVersionRow
from db.review.audit import AuditSummary, summarize_audit
from labeling.datasets.records import SPLITS
from labeling.datasets.versions.content import VideoCredit
from labeling.text.figures import count_of, percent
from tasks.datasets.show import UNKNOWN, VersionDetails, describe_version
from tasks.datasets.strata import untested
from tasks.review.summary import audit_sentence

MAX_SOURCES = 100
"""Videos that are listed one by one."""
_ORIGINS = {
    None: "not seen by a person",
    "prediction": "confirmed by a reviewer",
    "prediction-changed": "corrected by a reviewer",
    "manual": "drawn by a reviewer",
}


def dataset_card(session: Session, made: DatasetVersionRow) -> str:
    """Return the card of a version as Markdown."""
    details = describe_version(session, f"{made.name}@{made.number}")
    figures = version_figures(session, made)
    videos = version_videos(session, made.snapshot_id)
    sections = (
        _heading(details),
        _content(details, figures),
        _sources(details, videos),
        _masks(details, figures),
        _faults(details, figures, _audits(session, details)),
        _origin(details),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _heading(details: VersionDetails) -> Iterator[str]:
    made = details.version
    yield f"# {made.full_name}"
    yield ""
    yield f"Frames of video with masks. Content id: `{made.id}`."


def _content(details: VersionDetails, figures: VersionFigures) -> Iterator[str]:
    made = details.version
    yield "## Content"
    yield ""
    yield (
        f"{count_of(made.frames, 'frame')} with {count_of(made.instances, 'mask')} from "
        f"{count_of(made.videos, 'video')} (sets of images count as one); "
        f"{count_of(figures.frames_without_people, 'frame')} without people."
    )
    yield ""
    yield from _table(("split", "frames"), made.splits.items())
    yield ""
    yield from _table(("decision", "frames"), figures.decisions.items())
    yield ""
    yield from _table(
        ("cause, or size of the smallest person", *SPLITS),
        (
            (stratum, *(splits.get(split, 0) for split in SPLITS))
            for stratum, splits in details.strata.items()
        ),
    )
    yield ""
    yield (
        "An evaluation set: all frames are test. It grows by whole videos only."
        if made.is_frozen
        else "Videos of one uploader or camera, and videos with near-duplicate frames, are in one split. A frame keeps its "
        "split in all versions of this name. So the table's rows are not divided evenly: whole groups of videos are, by a hash."
    )


def _sources(details: VersionDetails, videos: Sequence[VideoCredit]) -> Iterator[str]:
    yield "## Sources and licenses"
    yield ""
    yield from _table(("license", "videos"), details.licenses.items())
    yield ""
    yield from _table(
        ("title", "by", "license", "address"),
        (
            (one.title or one.file_name, one.uploader or UNKNOWN, one.license or UNKNOWN, one.url or "-")
            for one in videos[:MAX_SOURCES]
        ),
    )
    if len(videos) > MAX_SOURCES:
        yield ""
        yield f"And {len(videos) - MAX_SOURCES} more; the image records of the COCO files name all."


def _masks(details: VersionDetails, figures: VersionFigures) -> Iterator[str]:
    yield "## How the masks were made"
    yield ""
    yield from _table(
        ("first made by", "refined by", "then", "masks"), (_mask_row(group) for group in figures.masks)
    )
    yield ""
    yield from _table(("role", "model", "SHA-256 of the weights", "run"), _models(details))


def _mask_row(group: MaskGroup) -> tuple[object, ...]:
    return group.model, group.refined_by or "-", _ORIGINS.get(group.origin, group.origin or ""), group.masks


def _models(details: VersionDetails) -> Iterator[tuple[object, ...]]:
    for run in details.runs:
        for role, model in run["models"].items():
            yield role, model["name"], model["weights_sha256"] or "no weights", run["id"]


def _audits(session: Session, details: VersionDetails) -> list[tuple[str, AuditSummary]]:
    """Return the audits of the version's runs, as they are now, by run; runs without any are left out."""
    found = ((run["id"], summarize_audit(session, run["id"])) for run in details.runs)
    return [(run_id, audit) for run_id, audit in found if audit]


def _faults(
    details: VersionDetails, figures: VersionFigures, audits: Sequence[tuple[str, AuditSummary]]
) -> Iterator[str]:
    made = details.version
    unseen = sum(group.masks for group in figures.masks if group.origin is None)
    yield "## Known faults"
    yield ""
    yield f"- {percent(unseen, made.instances)} of the masks were not seen by a person."
    if figures.teacher is None:
        yield "- How good the teacher is on these videos is not known: no frame of its runs was reviewed."
    else:
        score = figures.teacher
        yield (
            f"- On {count_of(score.frames, 'reviewed frame')} of the same runs, the teacher's masks have a mean IoU of "
            f"{score.iou:.3f} with the reviewers', at boundaries {score.boundary_iou:.3f}. Frames are sent for review because "
            "they are doubtful: the others may be better."
        )
    for run_id, audit in audits:
        yield f"- Audit of persons accepted without a review in run {run_id}, chosen at random: {audit_sentence(audit)}."
    if details.licenses.get(UNKNOWN):
        yield f"- The license of {count_of(details.licenses[UNKNOWN], 'video')} is not stated."
    if figures.small_masks:
        yield f"- {count_of(figures.small_masks, 'mask')} {'is' if figures.small_masks == 1 else 'are'} smaller than {SMALL_PX} pixels."
    if "easy" not in figures.decisions:
        yield "- Frames were chosen where a student network fails: they do not represent the videos."
    for split in SPLITS:
        if split not in made.splits and not made.is_frozen:
            yield f"- No frame is in {split}."
    missing = untested(details.strata)
    if missing and "test" in made.splits:
        yield f"- No frame in test has {' or '.join(missing)}: figures on test say nothing about these."


def _origin(details: VersionDetails) -> Iterator[str]:
    made, query = details.version, details.query
    yield "## How this version was made"
    yield ""
    yield f"With maskmill {details.code_version} at {made.created_at:%Y-%m-%d %H:%M} UTC."
    yield ""
    yield f"- Runs: {', '.join(query['runs'])}"
    yield f"- Decisions: {', '.join(query['decisions'])}"
    yield f"- Conditions: {', '.join(f'`{one}`' for one in query['where']) or 'none'}"
    yield from _left_out(details.excluded)


def _left_out(excluded: Mapping[str, int]) -> Iterator[str]:
    for reason, number in excluded.items():
        yield f"- Left out: {count_of(number, 'frame')} {reason}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(value: object) -> str:
    """Return a cell without characters that would end it, start HTML or a new line."""
    text = " ".join(str(value).split())
    for character in ("\\", "|", "<", "`", "[", "]", "*"):
        text = text.replace(character, f"\\{character}")
    return text
