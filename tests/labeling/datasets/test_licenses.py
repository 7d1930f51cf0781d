"""The licence filter and the attribution of exported videos."""

import pytest

from configs.errors import ConfigError
from labeling.datasets.attribution import Attribution
from labeling.datasets.licenses import LicenseFilter
from tests.labeling.datasets.frames import image_of

SIZE_HW = (48, 64)


def test_only_allowed_licenses_pass_and_the_others_are_counted() -> None:
    licenses = ["CC-BY-4.0", None, "CC0", "proprietary", "cc-by-sa-3.0", None]
    frames = [image_of(n, SIZE_HW, license=name) for n, name in enumerate(licenses, start=1)]
    allowed = LicenseFilter(["cc-by*", " cc0 "])
    assert [frame.id for frame in allowed.keep(frames)] == [1, 3, 5]
    assert allowed.notes() == [
        "3 frames left out, whose license is none of cc-by*, cc0 (not stated: 2, proprietary: 1)"
    ]


def test_without_a_pattern_there_is_no_filter() -> None:
    with pytest.raises(ConfigError, match="--license-allow requires licenses"):
        LicenseFilter([" "])


def test_each_video_is_credited_once_with_what_is_known_of_it() -> None:
    first = image_of(1, SIZE_HW)
    second = image_of(3, SIZE_HW, license=None)._replace(
        video_id="cd" * 32, title=None, uploader="a_b [x]", source_url=None, upload_date=None
    )
    attribution = Attribution()
    assert len(list(attribution.watch([first, first._replace(id=2), second]))) == 3
    page = attribution.page().decode()
    assert (
        "- “Zwei Füße, “walk”” by someone, 2024-05-31, <https://example.org/walk>, "
        "CC-BY-4.0 (<https://creativecommons.org/licenses/by/4.0/>): 2 frames (abababababab)" in page
    )
    assert (
        "- video cdcdcdcdcdcd by a\\_b \\[x\\], source not stated, license not stated: 1 frame (cdcdcdcdcdcd)"
        in page
    )
