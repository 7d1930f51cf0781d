"""Tables of dataset versions. What they hold is written once and never changed.

A snapshot is content: frames with their labels. Its labels are stored by content too, so that a later version
stores only the frames that changed. Nothing here refers to a run: a run can be deleted.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.models.core import Base


class DatasetRow(Base):
    """A name under which versions are made. How it is divided holds for all of them."""

    __tablename__ = "dataset"

    name: Mapped[str] = mapped_column(primary_key=True)
    shares: Mapped[list[Any]] = mapped_column(comment="of train, val and test; they add up to 1")
    seed: Mapped[int] = mapped_column(comment="another seed divides otherwise")
    is_frozen: Mapped[bool] = mapped_column(
        comment="an evaluation set: all is test, and it grows by whole videos only"
    )
    created_at: Mapped[datetime] = mapped_column(comment="UTC")


class SnapshotRow(Base):
    """Frames with their labels, identified by their content."""

    __tablename__ = "snapshot"

    id: Mapped[str] = mapped_column(primary_key=True, comment="SHA-256 of the content, 64 hex digits")
    frames: Mapped[int] = mapped_column()
    instances: Mapped[int] = mapped_column()
    videos: Mapped[int] = mapped_column(comment="videos and sets of images")


class DatasetVersionRow(Base):
    """One version of a dataset, and how it was made."""

    __tablename__ = "dataset_version"

    name: Mapped[str] = mapped_column(ForeignKey("dataset.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, comment="from 1")
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), index=True)
    query: Mapped[dict[str, Any]] = mapped_column(comment="runs, decisions and conditions")
    runs: Mapped[list[Any]] = mapped_column(comment="id, name, config and model cards by role of each run")
    code_version: Mapped[str] = mapped_column(comment="of maskmill")
    excluded: Mapped[dict[str, Any]] = mapped_column(comment="frames that were left out, by reason")
    created_at: Mapped[datetime] = mapped_column(comment="UTC")


class SnapshotVideoRow(Base):
    """A video of a snapshot with its credit as it was."""

    __tablename__ = "snapshot_video"

    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"), primary_key=True)
    file_name: Mapped[str] = mapped_column(comment="of the video or its folder")
    kind: Mapped[str | None] = mapped_column(comment="of its source; null: no source is recorded")
    spec: Mapped[str | None] = mapped_column(comment="of its source")
    url: Mapped[str | None] = mapped_column()
    title: Mapped[str | None] = mapped_column()
    uploader: Mapped[str | None] = mapped_column()
    license: Mapped[str | None] = mapped_column(comment="as stated by the origin; null: not stated")
    upload_date: Mapped[str | None] = mapped_column(comment="ISO 8601 date")


class FrameLabelsRow(Base):
    """One frame with its labels, identified by their content; versions share it."""

    __tablename__ = "frame_labels"

    id: Mapped[str] = mapped_column(primary_key=True, comment="SHA-256 of the content, first 32 hex digits")
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), index=True)
    image: Mapped[str] = mapped_column(index=True, comment="path below the home; named by its bytes")
    width: Mapped[int] = mapped_column(comment="px")
    height: Mapped[int] = mapped_column(comment="px")
    decision: Mapped[str] = mapped_column(comment="accepted, reviewed, confirmed, review or easy")
    reviewer: Mapped[str | None] = mapped_column(comment="whose annotation counts; null: not reviewed")
    propagated_from: Mapped[list[Any]] = mapped_column(comment="reviewed frames that confirmed it")


class LabelRow(Base):
    """One person of a frame with labels."""

    __tablename__ = "label"

    labels_id: Mapped[str] = mapped_column(ForeignKey("frame_labels.id"), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True, comment="from 0")
    instance_id: Mapped[int] = mapped_column(comment="as in exports: of the prediction, or of the drawn mask")
    rle: Mapped[bytes] = mapped_column(comment="counts of a COCO RLE in the frame's size")
    area_px: Mapped[int] = mapped_column(comment="mask area")
    mask_box_x: Mapped[float] = mapped_column(comment="tight box of the mask, whole px")
    mask_box_y: Mapped[float] = mapped_column()
    mask_box_w: Mapped[float] = mapped_column()
    mask_box_h: Mapped[float] = mapped_column()
    detector_box_x: Mapped[float] = mapped_column(comment="box from the detector, px")
    detector_box_y: Mapped[float] = mapped_column()
    detector_box_w: Mapped[float] = mapped_column()
    detector_box_h: Mapped[float] = mapped_column()
    score: Mapped[float] = mapped_column(comment="0 to 1; 1: reviewed")
    keypoints: Mapped[list[Any] | None] = mapped_column(comment="17 x [x, y, confidence]")
    model: Mapped[str] = mapped_column(comment="kind:name of the model, or manual")
    origin: Mapped[str | None] = mapped_column(
        comment="prediction, prediction-changed or manual, as in reviewed_instance; null: not reviewed"
    )
    reviewer: Mapped[str | None] = mapped_column()
    refined_by: Mapped[str | None] = mapped_column(comment="refiners that replaced the mask; null: none")
    iou_before: Mapped[float | None] = mapped_column(
        comment="IoU with the model's own mask; null: not refined"
    )
    track_id: Mapped[int | None] = mapped_column(comment="the person in this video; null: not tracked")
    category: Mapped[str] = mapped_column(comment="of the dataset")


class SnapshotFrameRow(Base):
    """A frame of a snapshot, in the order of videos and time."""

    __tablename__ = "snapshot_frame"
    __table_args__ = (Index("ix_snapshot_frame_labels_id", "labels_id"),)

    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, comment="from 0")
    labels_id: Mapped[str] = mapped_column(ForeignKey("frame_labels.id"))


class DatasetSplitRow(Base):
    """Where a frame is in all versions of a dataset. Rows are only added: a frame never moves."""

    __tablename__ = "dataset_split"
    __table_args__ = (
        CheckConstraint("split IN ('train', 'val', 'test')", name="split"),
        Index("ix_dataset_split_name_video_id", "name", "video_id"),
    )

    name: Mapped[str] = mapped_column(ForeignKey("dataset.name"), primary_key=True)
    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"))
    split: Mapped[str] = mapped_column(comment="train, val or test")


class ImageDescriptorRow(Base):
    """What near-duplicates are found by; computed once per image, and again by a changed method."""

    __tablename__ = "image_descriptor"

    image: Mapped[str] = mapped_column(primary_key=True, comment="path below the home; named by its bytes")
    method: Mapped[str] = mapped_column(primary_key=True, comment="name and version of the descriptor")
    descriptor: Mapped[bytes] = mapped_column(comment="see labeling.datasets.splits.descriptors")
