"""Every configured format has a writer."""

from typing import get_args

from configs.export_formats import FORMATS, ExportFormat
from labeling.datasets.formats.registry import WRITERS


def test_every_export_format_of_the_config_has_a_writer() -> None:
    assert set(WRITERS) == set(FORMATS) == set(get_args(ExportFormat))
