"""A user's own segmenter, made by a function of a module that is written here."""

from pathlib import Path

import numpy as np
import pytest

from configs.errors import ConfigError, WeightsMissing
from configs.segmenters import PythonBlock
from labeling.segmenters.protocol import Segmenter
from labeling.segmenters.python_factory import load_factory
from labeling.structures.frames import Clip, Frame

MODULE = '''
from configs.errors import WeightsMissing
from labeling.structures.instances import Instance, ModelCard
from labeling.structures.masks import Mask


class Plain:
    """No prepare."""

    def __init__(self, score=0.5):
        self.card = ModelCard("python", "plain", "", "{}")
        self.score = score

    def segment(self, frames):
        return [[Instance(Mask.empty(f.size_hw), self.score, (0, 0, 0, 0))] for f in frames]


class Learning(Plain):
    def prepare(self, clip):
        return Plain(float(len(clip.video_id)))


class WithoutSegment:
    card = ModelCard("python", "x", "", "{}")


class WithoutCard:
    def segment(self, frames):
        return []


class WrongCard(WithoutCard):
    card = "mine"


def breaks():
    return 1 / 0


def needs_weights():
    raise WeightsMissing("mine.bin is not there")


a_number = 3
'''
FRAME = Frame("ab" * 32, 0, np.zeros((4, 4, 3), dtype=np.uint8))


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_segmenters_for_tests.py").write_text(MODULE)
    (tmp_path / "breaks_on_import_for_tests.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)


def load(name: str, **options: object) -> Segmenter:
    return load_factory(PythonBlock(factory=f"my_segmenters_for_tests:{name}", options=options))


def test_the_factory_is_called_with_its_options_and_prepare_is_added() -> None:
    segmenter = load("Plain", score=0.25)
    assert isinstance(segmenter, Segmenter)
    assert segmenter.card.name == "plain"
    assert segmenter.prepare(Clip("ab" * 32)) is segmenter
    assert segmenter.segment([FRAME])[0][0].score == 0.25


def test_an_own_prepare_is_kept() -> None:
    assert load("Learning").prepare(Clip("ab" * 32)).segment([FRAME])[0][0].score == 64.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Missing", "has no 'Missing'"),
        ("a_number", "is a int, not a function"),
        ("breaks", "failed with options.*ZeroDivisionError"),
        ("WithoutCard", "whose card is missing"),
        ("WrongCard", "whose card is a str"),
        ("WithoutSegment", "without a method segment"),
    ],
)
def test_errors_of_a_factory_are_named(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"my_segmenters_for_tests.*{message}"):
        load(name)


def test_unknown_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"\['color'\].*unexpected keyword argument 'color'"):
        load("Plain", color="red")


@pytest.mark.parametrize("module_name", ["no_such_module_for_tests", "breaks_on_import_for_tests"])
def test_a_module_that_cannot_be_imported_is_named(module_name: str) -> None:
    with pytest.raises(ConfigError, match=f"{module_name}.*cannot be imported.*PYTHONPATH"):
        load_factory(PythonBlock(factory=f"{module_name}:make"))


def test_our_own_errors_pass_through() -> None:
    with pytest.raises(WeightsMissing, match=r"mine\.bin"):
        load("needs_weights")
