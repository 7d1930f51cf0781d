"""Ctrl-C that is held back."""

import ctypes
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from labeling.sources.interrupt import Interrupt


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Python's default handler: a shell's background job ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_has_its_effect_when_it_is_passed_on() -> None:
    interrupt, done = Interrupt(), []
    with interrupt.held():
        press_ctrl_c()
        done.append("the rest of the block")
    assert done
    assert interrupt.came
    with pytest.raises(KeyboardInterrupt):
        interrupt.pass_on()
    assert not interrupt.came


def test_ctrl_c_in_a_callback_of_c_is_not_lost() -> None:
    """Python prints an exception raised there and continues."""
    callback = ctypes.CFUNCTYPE(None)(press_ctrl_c)
    interrupt = Interrupt()
    with interrupt.held():
        callback()
    with pytest.raises(KeyboardInterrupt):
        interrupt.pass_on()


def test_a_second_ctrl_c_stops_at_once() -> None:
    interrupt = Interrupt()
    with interrupt.held():
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()


def test_what_was_not_pressed_is_not_passed_on() -> None:
    interrupt = Interrupt()
    with interrupt.held():
        pass
    interrupt.pass_on()
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()  # outside the block it has its usual effect


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt = Interrupt()
    with interrupt.held():
        press_ctrl_c()
    assert not interrupt.came


def test_another_thread_leaves_ctrl_c_as_it_is() -> None:
    def hold() -> object:
        with Interrupt().held():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(hold).result() is signal.default_int_handler
