"""Tables of students: networks that were trained here, and which of them was in use when."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.models.core import Base


class StudentRow(Base):
    """An exported network. Its files are in the home, and a row is written after they are."""

    __tablename__ = "student"

    id: Mapped[str] = mapped_column(primary_key=True, comment="SHA-256 of network.onnx, 64 hex digits")
    folder: Mapped[str] = mapped_column(comment="path below the home of its files")
    int8_sha256: Mapped[str] = mapped_column(comment="of network_int8.onnx")
    block: Mapped[dict[str, Any]] = mapped_column(comment="config of network.onnx, without its path")
    dataset: Mapped[str] = mapped_column(comment="version that it was trained on, NAME@NUMBER")
    snapshot_id: Mapped[str] = mapped_column(comment="content of that version, which may be deleted")
    training: Mapped[dict[str, Any]] = mapped_column(comment="what repeats it; see training.json")
    metrics: Mapped[dict[str, Any]] = mapped_column(comment="see labeling.students.scores")
    created_at: Mapped[datetime] = mapped_column(comment="UTC")
    created_by: Mapped[str] = mapped_column(comment="user of the system")


class StudentPromotionRow(Base):
    """A change of the student in use. Rows are only added; the last one names the current student."""

    __tablename__ = "student_promotion"
    __table_args__ = (CheckConstraint("action IN ('promote', 'rollback')", name="action"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="from 1")
    student_id: Mapped[str] = mapped_column(
        ForeignKey("student.id"), index=True, comment="in use from now on"
    )
    action: Mapped[str] = mapped_column(comment="promote or rollback")
    comparison: Mapped[dict[str, Any] | None] = mapped_column(
        JSON(none_as_null=True), comment="with the one before; null: a rollback"
    )
    refusals: Mapped[list[Any]] = mapped_column(comment="sentences that a person overruled; empty: none")
    reason: Mapped[str | None] = mapped_column(comment="why they were overruled, or why it was rolled back")
    made_at: Mapped[datetime] = mapped_column(comment="UTC")
    made_by: Mapped[str] = mapped_column(comment="user of the system, or who approved the flow run")
