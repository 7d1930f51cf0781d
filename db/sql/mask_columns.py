"""What the ledger keeps of a mask: its runs, and what others would have to decode them for."""

from collections.abc import Sequence

from labeling.structures.masks import Mask, mask_areas, mask_boxes


def mask_columns(masks: Sequence[Mask]) -> list[dict[str, object]]:
    """The columns of each mask that `instance` and `reviewed_instance` have, measured in one call."""
    areas, boxes = mask_areas(masks).tolist(), mask_boxes(masks).tolist()
    return [
        {
            "rle": mask.counts,
            "area_px": area,
            "mask_box_x": x,
            "mask_box_y": y,
            "mask_box_w": w,
            "mask_box_h": h,
        }
        for mask, area, (x, y, w, h) in zip(masks, areas, boxes, strict=True)
    ]
