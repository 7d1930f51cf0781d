"""Tables of the review: the outbox, the annotations and their consensus.

The consensus about a frame belongs to no run: it scores every run that labeled the frame.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, false, text
from sqlalchemy.orm import Mapped, mapped_column

from configs.categories import PERSON
from db.models.core import Base


class LabelStudioProjectRow(Base):
    """A Label Studio project that frames are sent to."""

    __tablename__ = "label_studio_project"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="hash of location, title")
    location: Mapped[str] = mapped_column(comment="server URL, or `local` for this home's own")
    title: Mapped[str] = mapped_column(comment="as created; may differ by now")
    external_id: Mapped[int] = mapped_column(comment="id in Label Studio")
    settings: Mapped[dict[str, Any]] = mapped_column(comment="review settings of the last push")
    pulled_until: Mapped[datetime | None] = mapped_column(comment="UTC of the server; null: never pulled")


class ReviewRow(Base):
    """A frame to be reviewed, with its state: one entry of the outbox."""

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint(
            "state IN ('waiting', 'sending', 'open', 'reviewed', 'unresolved', 'skipped', 'withdrawn', 'deleted', "
            "'confirmed')",
            name="state",
        ),
        Index("ix_review_run_id_state_priority", "run_id", "state", "priority", "frame_id"),
        Index("ix_review_project_id_state", "project_id", "state"),
        Index(
            "ix_review_run_id_of_audit",
            "run_id",
            sqlite_where=text("is_audit = 1"),
            postgresql_where=text("is_audit"),
        ),
    )

    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), comment="run whose masks are shown")
    state: Mapped[str] = mapped_column(
        comment="waiting: to be sent; sending: sent, not confirmed; open: no annotation yet; reviewed: has a "
        "consensus; unresolved: annotated without a consensus; skipped: skipped by all annotators; withdrawn: "
        "no longer to be reviewed; deleted: its task was deleted in Label Studio; confirmed: masks carried from reviewed "
        "frames agree with the teacher's, no review is required"
    )
    priority: Mapped[float] = mapped_column(comment="as decided by that run; highest first")
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey("label_studio_project.id"), comment="null: waiting"
    )
    task_id: Mapped[int | None] = mapped_column(comment="task id in Label Studio")
    fingerprint: Mapped[str] = mapped_column(default="", comment="SHA-256 of the predictions sent")
    propagation_id: Mapped[int | None] = mapped_column(
        comment="the carried masks that were shown; null: the teacher's"
    )
    sent_at: Mapped[datetime | None] = mapped_column(comment="UTC, last time")
    is_audit: Mapped[bool] = mapped_column(
        server_default=false(),
        comment="has an accepted person of its run's audit; it is reviewed like others",
    )


class AnnotationRow(Base):
    """One version of one annotator's annotation of a frame. Versions are only superseded, never changed."""

    __tablename__ = "annotation"
    __table_args__ = (
        CheckConstraint("state IN ('current', 'replaced', 'deleted')", name="state"),
        CheckConstraint("verdict IN ('correct', 'corrected', 'unusable', 'skipped')", name="verdict"),
        Index("ix_annotation_frame_id", "frame_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="hash of project, version")
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"))
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), comment="run whose masks were shown")
    project_id: Mapped[int] = mapped_column(ForeignKey("label_studio_project.id"))
    task_id: Mapped[int] = mapped_column(comment="task id in Label Studio")
    external_id: Mapped[int] = mapped_column(comment="annotation id in Label Studio")
    state: Mapped[str] = mapped_column(comment="current, replaced or deleted")
    annotator: Mapped[str] = mapped_column(comment="e-mail, or `user N`")
    verdict: Mapped[str] = mapped_column()
    seconds: Mapped[float | None] = mapped_column(comment="human work so far; null: not measured")
    created_at: Mapped[datetime] = mapped_column(comment="UTC")
    updated_at: Mapped[datetime] = mapped_column(comment="UTC; identifies the version")
    note: Mapped[str] = mapped_column(comment="text written by the annotator")
    problems: Mapped[list[Any]] = mapped_column(comment="unreadable regions")
    propagation_id: Mapped[int | None] = mapped_column(
        comment="the carried masks that were shown; null: the teacher's"
    )
    is_starred: Mapped[bool] = mapped_column(
        server_default=false(), comment="Label Studio's ground_truth: it counts before others; may change"
    )


class ReviewedInstanceRow(Base):
    """One person, or one object of another category, in one version of an annotation."""

    __tablename__ = "reviewed_instance"
    __table_args__ = (
        CheckConstraint("origin IN ('prediction', 'prediction-changed', 'manual')", name="origin"),
        Index("ix_reviewed_instance_annotation_id", "annotation_id"),
        Index("ix_reviewed_instance_source_id", "source_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="hash of annotation, rank")
    annotation_id: Mapped[int] = mapped_column(ForeignKey("annotation.id"))
    rank: Mapped[int] = mapped_column(comment="from 0")
    source_id: Mapped[int | None] = mapped_column(
        ForeignKey("instance.id"), comment="mask shown; null: drawn by hand"
    )
    origin: Mapped[str] = mapped_column(comment="untouched, corrected or drawn by hand")
    iou: Mapped[float | None] = mapped_column(comment="with the mask shown; null: drawn by hand")
    rle: Mapped[bytes] = mapped_column(comment="counts of a COCO RLE in the frame's size")
    area_px: Mapped[int] = mapped_column(comment="mask area")
    mask_box_x: Mapped[float] = mapped_column(comment="tight box of the mask, whole px")
    mask_box_y: Mapped[float] = mapped_column()
    mask_box_w: Mapped[float] = mapped_column()
    mask_box_h: Mapped[float] = mapped_column()
    keypoints: Mapped[list[Any] | None] = mapped_column(comment="17 x [x, y, confidence]")
    category: Mapped[str] = mapped_column(
        server_default=PERSON, comment="of the dataset, as the annotator chose it"
    )


class PropagationRow(Base):
    """Masks carried to one frame from the reviewed frames before and after. It is only superseded, never changed."""

    __tablename__ = "propagation"
    __table_args__ = (
        CheckConstraint("state IN ('current', 'replaced')", name="state"),
        Index("ix_propagation_run_id_state", "run_id", "state"),
        Index("ix_propagation_frame_id", "frame_id"),
    )

    id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="hash of run, frame, annotations"
    )
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), comment="run whose teacher is compared")
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"))
    before_id: Mapped[int | None] = mapped_column(
        ForeignKey("annotation.id"), comment="consensus of the reviewed frame before; null: none"
    )
    after_id: Mapped[int | None] = mapped_column(ForeignKey("annotation.id"), comment="of the one after")
    state: Mapped[str] = mapped_column(comment="current or replaced")
    agreement: Mapped[float | None] = mapped_column(
        comment="lowest IoU with the teacher's masks; null: no person"
    )
    confidence: Mapped[float | None] = mapped_column(comment="lowest of a person; null: no person")
    unmatched: Mapped[int] = mapped_column(
        comment="people whom only the teacher or only the reviewed frames have"
    )
    priority: Mapped[float] = mapped_column(comment="of a review, 0 to 1, instead of the decision's")


class PropagatedInstanceRow(Base):
    """One person, or one object, carried to one frame."""

    __tablename__ = "propagated_instance"
    __table_args__ = (Index("ix_propagated_instance_propagation_id", "propagation_id"),)

    id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="hash of propagation, rank"
    )
    propagation_id: Mapped[int] = mapped_column(ForeignKey("propagation.id"))
    rank: Mapped[int] = mapped_column(comment="from 0")
    source_id: Mapped[int | None] = mapped_column(
        ForeignKey("instance.id"), comment="the teacher's mask of this person; null: it has none"
    )
    track_id: Mapped[int | None] = mapped_column(comment="the person in this video; null: not tracked")
    confidence: Mapped[float] = mapped_column(comment="0 to 1")
    agreement: Mapped[float | None] = mapped_column(
        comment="IoU with the teacher's mask before both were fused"
    )
    rle: Mapped[bytes] = mapped_column(comment="counts of a COCO RLE in the frame's size")
    category: Mapped[str] = mapped_column(
        server_default=PERSON, comment="of the dataset, as in the reviewed frame"
    )


class ConsensusRow(Base):
    """The annotation that counts for a frame."""

    __tablename__ = "consensus"

    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    annotation_id: Mapped[int] = mapped_column(ForeignKey("annotation.id"), index=True)
    verdict: Mapped[str] = mapped_column(comment="correct, corrected or unusable")
    rule: Mapped[str] = mapped_column(comment="latest, agreement or starred")
    annotators: Mapped[list[Any]] = mapped_column(comment="all considered")
    agreement: Mapped[float | None] = mapped_column(comment="mean union IoU of pairs; null: no pair")


class ModelScoreRow(Base):
    """How well the teacher or the student of a run agrees with the consensus about a frame."""

    __tablename__ = "model_score"
    __table_args__ = (
        CheckConstraint("role IN ('teacher', 'student')", name="role"),
        Index("ix_model_score_frame_id", "frame_id"),
    )

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    annotation_id: Mapped[int] = mapped_column(ForeignKey("annotation.id"), comment="of the consensus")
    iou: Mapped[float] = mapped_column(comment="of the mask unions, 0 to 1")
    boundary_iou: Mapped[float] = mapped_column(comment="of the mask unions, 0 to 1")
    mismatches: Mapped[list[Any]] = mapped_column(comment="as in agreement")
