"""Sets of ground truth: labeled images, and videos with mattes and plates."""

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.ground_truth import LabeledSet, MattedVideo
from configs.load import load_ground_truth, load_labeled_sets


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"matte": "a"}, "set either alpha (exact mattes) or cdnet (CDnet masks)"),
        ({"matte": "a", "alpha": "b", "cdnet": "c"}, "set either alpha"),
        ({"cdnet": "c"}, "set matte (a folder), plate (an image), or both"),
        ({"plate": "p.png"}, "set plate and background together"),
        ({"matte": "a", "cdnet": "c", "background": "b.png"}, "set plate and background together"),
        ({"matte": "a", "alpha": "b", "roi": "r.png"}, "roi: not used here"),
        ({"plate": "p.png", "background": "b.png", "offset": 0}, "offset: not used here"),
        ({"matte": "a", "cdnet": "c", "flow": "f"}, "flow: not used here"),
        ({"mate": "a", "cdnet": "c"}, "unknown key 'mate'; did you mean 'matte'?"),
        ({"matte": "a", "cdnet": "c", "offset": "x"}, "offset: Input should be a valid integer"),
        ({"matte": "a", "cdnet": "c", "masks": "m"}, "unknown key 'masks'"),
    ],
)
def test_a_wrong_matted_video_is_refused_by_name(block: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_ground_truth({"office": block})
    assert str(error.value).startswith("labeled set command line: office:")
    assert message in str(error.value)


def test_labeled_images_and_videos_share_a_file_and_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "sets.yaml"
    file.write_text(
        "streets: {images: a, masks: b}\n"
        "office: {matte: out, cdnet: gt, images: in, offset: 0, plate: p.png, background: /b.png}\n"
    )
    streets, office = load_ground_truth(file).values()
    assert isinstance(streets, LabeledSet)
    assert isinstance(office, MattedVideo)
    assert (office.matte, office.cdnet, office.images) == (tmp_path / "out", tmp_path / "gt", tmp_path / "in")
    assert (office.offset, office.plate, office.background) == (0, tmp_path / "p.png", Path("/b.png"))


def test_what_requires_labeled_images_refuses_a_matted_video() -> None:
    with pytest.raises(
        ConfigError, match=r"office: a matte or plate has no labeled images; only `maskmill evaluate`"
    ):
        load_labeled_sets({"office": {"matte": "a", "cdnet": "c"}})
