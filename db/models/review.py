"""The tables of review: what waits for people, what they said, and what is held to be true since.

Truth is a fact about a frame and belongs to no run: every run that looked at the frame is scored by it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.models.core import Base


class LabelStudioProjectRow(Base):
    """A project in a Label Studio that frames are sent to."""

    __tablename__ = "label_studio_project"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="from place and title")
    place: Mapped[str] = mapped_column(comment="the server's URL; local: the home's own, on any port")
    title: Mapped[str] = mapped_column(comment="by which the project is found")
    number: Mapped[int] = mapped_column(comment="Label Studio's id; another one after it was deleted there")
    settings: Mapped[dict[str, Any]] = mapped_column(comment="review settings of the last push")
    pulled_until: Mapped[datetime | None] = mapped_column(
        comment="UTC by the server's clock: changes before are here; null: nothing was pulled"
    )


class ReviewRow(Base):
    """A frame that a run wants reviewed: the outbox, and where the frame is since."""

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint(
            "state IN ('waiting', 'sending', 'open', 'reviewed', 'unresolved', 'skipped', 'withdrawn', 'deleted')",
            name="state",
        ),
        Index("ix_review_run_id_state_value", "run_id", "state", "value", "frame_id"),
        Index("ix_review_project_id_state", "project_id", "state"),
    )

    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), comment="whose masks are shown")
    state: Mapped[str] = mapped_column(
        comment="waiting: to be sent; sending: handed over, not confirmed; open: nobody's word yet; reviewed: "
        "there is a truth; unresolved: words that give none; skipped: passed over by all; withdrawn: not wanted "
        "any more; deleted: its task was deleted in Label Studio"
    )
    value: Mapped[float] = mapped_column(comment="of a look, as that run decided: highest first")
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey("label_studio_project.id"), comment="null: waiting"
    )
    task: Mapped[int | None] = mapped_column(comment="Label Studio's id")
    fingerprint: Mapped[str] = mapped_column(default="", comment="SHA-256 of the predictions sent")
    sent_at: Mapped[datetime | None] = mapped_column(comment="UTC, last time")


class AnnotationRow(Base):
    """One version of one annotator's word on one frame; versions are never changed, only outdated."""

    __tablename__ = "annotation"
    __table_args__ = (
        CheckConstraint("state IN ('current', 'replaced', 'deleted')", name="state"),
        CheckConstraint("verdict IN ('correct', 'fixed', 'unusable', 'skipped')", name="verdict"),
        Index("ix_annotation_frame_id", "frame_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="project, number, version")
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"))
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), comment="whose masks were shown")
    project_id: Mapped[int] = mapped_column(ForeignKey("label_studio_project.id"))
    task: Mapped[int] = mapped_column(comment="Label Studio's id")
    number: Mapped[int] = mapped_column(comment="Label Studio's id of the annotation")
    state: Mapped[str] = mapped_column(comment="current; replaced by a later version; deleted there")
    annotator: Mapped[str] = mapped_column(comment="e-mail, or `user N`")
    verdict: Mapped[str] = mapped_column()
    seconds: Mapped[float | None] = mapped_column(comment="of human work so far; null: not measured")
    created_at: Mapped[datetime] = mapped_column(comment="UTC")
    updated_at: Mapped[datetime] = mapped_column(comment="UTC: the version")
    note: Mapped[str] = mapped_column(comment="what the annotator wrote")
    problems: Mapped[list[Any]] = mapped_column(comment="regions that were left out, and why")


class ReviewedInstanceRow(Base):
    """One person as one version of an annotation has it."""

    __tablename__ = "reviewed_instance"
    __table_args__ = (
        CheckConstraint("origin IN ('prediction', 'prediction-changed', 'manual')", name="origin"),
        Index("ix_reviewed_instance_annotation_id", "annotation_id"),
        Index("ix_reviewed_instance_source_id", "source_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="from annotation and rank")
    annotation_id: Mapped[int] = mapped_column(ForeignKey("annotation.id"))
    rank: Mapped[int] = mapped_column(comment="from 0")
    source_id: Mapped[int | None] = mapped_column(
        ForeignKey("instance.id"), comment="the mask that was shown; null: drawn by hand"
    )
    origin: Mapped[str] = mapped_column(comment="untouched, corrected or drawn by hand")
    iou: Mapped[float | None] = mapped_column(comment="with the mask that was shown")
    rle: Mapped[bytes] = mapped_column(comment="counts of COCO's compressed RLE, size is the frame's")
    area_px: Mapped[int] = mapped_column()
    mask_box_x: Mapped[float] = mapped_column(server_default="0", comment="tight box of the mask, whole px")
    mask_box_y: Mapped[float] = mapped_column(server_default="0")
    mask_box_w: Mapped[float] = mapped_column(server_default="0")
    mask_box_h: Mapped[float] = mapped_column(server_default="0")
    keypoints: Mapped[list[Any] | None] = mapped_column(comment="17 x [x px, y px, confidence]")


class ConsensusRow(Base):
    """The annotation that is believed about a frame."""

    __tablename__ = "consensus"

    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    annotation_id: Mapped[int] = mapped_column(ForeignKey("annotation.id"), index=True)
    verdict: Mapped[str] = mapped_column(comment="correct, fixed or unusable")
    rule: Mapped[str] = mapped_column(comment="latest or agreement")
    annotators: Mapped[list[Any]] = mapped_column(comment="everybody whose word was weighed")
    agreement: Mapped[float | None] = mapped_column(comment="mean union IoU of their pairs; null: one alone")


class ModelScoreRow(Base):
    """How a run's teacher or student compares with the truth about a frame."""

    __tablename__ = "model_score"
    __table_args__ = (
        CheckConstraint("role IN ('teacher', 'student')", name="role"),
        Index("ix_model_score_frame_id", "frame_id"),
    )

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    annotation_id: Mapped[int] = mapped_column(ForeignKey("annotation.id"), comment="the truth of then")
    iou: Mapped[float] = mapped_column(comment="of the unions, 0 to 1")
    boundary_iou: Mapped[float] = mapped_column(comment="of the unions' contour bands")
    mismatches: Mapped[list[Any]] = mapped_column(comment="[cause, truth's ranks, role's ranks, IoU]")
