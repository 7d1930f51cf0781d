"""The base of all parts of a config."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from configs.field_docs import describe

Fraction01 = Annotated[float, Field(ge=0.0, le=1.0)]


class Block(BaseModel):
    """A frozen part of a config; unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        json_schema_extra=describe,  # Prefect's UI shows a field's docstring
        field_title_generator=lambda key, _: key,  # and its key as the title
    )


def _as_names(value: object) -> object:
    """Return one name or id, or several, as a list of texts."""
    several = value if isinstance(value, list | tuple) else [value]
    return [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in several]


Names = Annotated[tuple[str, ...], BeforeValidator(_as_names)]
"""Names or ids; one alone needs no list."""

_SHORTHAND = {
    "torchvision": "model",
    "background": "method",
    "masks_folder": "path",
    "http": "url",
    "python": "factory",
    "matting": "weights",
    "guided_filter": "radius",
    "dense_crf": "backend",
    "pose_guided": "method",
    "flow_smoothing": "neighbors",
}
"""The key that the part after the colon of a short form sets, by kind of segmenter or refiner."""


def expand_shorthand(block: Any) -> Any:
    """Return the mapping of a block in short form; return anything else as it is."""
    if not isinstance(block, str):
        return block
    kind, _, value = block.partition(":")
    return {"kind": kind, _SHORTHAND.get(kind, "path"): value} if value else {"kind": kind}
