"""Which process is meant, and whether it still exists."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tasks.execution.process_identity import ProcessIdentity, identify_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def child() -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def identity_of(process: "subprocess.Popen[bytes]") -> ProcessIdentity:
    identity = identify_process(process.pid)
    assert identity is not None
    return identity


def test_a_process_is_alive_until_it_ends(child: "subprocess.Popen[bytes]") -> None:
    identity = identity_of(child)
    assert identity.is_here()
    assert not identity.is_gone()
    child.kill()
    child.wait()
    assert identity.is_gone()
    assert identify_process(child.pid) is None


def test_a_paused_process_is_alive(child: "subprocess.Popen[bytes]") -> None:
    identity = identity_of(child)
    os.kill(child.pid, signal.SIGSTOP)
    assert identity.is_here()
    assert not identity.is_gone()


def test_a_killed_process_is_gone_before_its_parent_waits_for_it(child: "subprocess.Popen[bytes]") -> None:
    identity = identity_of(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert identity.is_gone()


def test_a_later_process_with_the_same_pid_is_another_one(child: "subprocess.Popen[bytes]") -> None:
    identity = identity_of(child)
    assert replace(identity, started=identity.started - 1).is_gone()


def test_of_another_machine_nothing_is_known(child: "subprocess.Popen[bytes]") -> None:
    elsewhere = replace(identity_of(child), machine="elsewhere")
    assert not elsewhere.is_here()
    assert not elsewhere.is_gone()
    assert not replace(elsewhere, pid=2**22 + 1).is_gone()


def test_an_identity_is_read_as_it_was_written() -> None:
    identity = identify_process()
    assert identity is not None
    assert identity.pid == os.getpid()
    assert ProcessIdentity.parse(str(identity)) == identity


@pytest.mark.parametrize("text", [None, "", 17, "host, process 17", "m -1 2", "m 1 2 3"])
def test_other_texts_are_no_identity(text: object) -> None:
    assert ProcessIdentity.parse(text) is None
