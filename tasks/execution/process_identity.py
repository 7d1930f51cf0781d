"""Identity of an operating system process, so that others can tell whether it still exists."""

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

_PROC = Path("/proc")
_ENDED = {"Z", "X"}
"""States in /proc of a process that has ended and waits for its parent to notice."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process of one machine; the start time tells it from a later process with the same pid."""

    machine: str
    """One boot of one machine, and within it one pid namespace: a container has its own pids."""
    pid: int
    started: int
    """Clock ticks from the boot of the machine to the start of the process."""

    def __str__(self) -> str:
        return f"{self.machine} {self.pid} {self.started}"

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """Read what `str` wrote; None if the text is something else.

        >>> ProcessIdentity.parse("b7-40 17 93")
        ProcessIdentity(machine='b7-40', pid=17, started=93)
        >>> ProcessIdentity.parse(None), ProcessIdentity.parse("process 17")
        (None, None)
        """
        found = re.fullmatch(r"(\S+) (\d+) (\d+)", text) if isinstance(text, str) else None
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    def is_here(self) -> bool:
        """Return whether this machine can see the process, and so knows whether it exists."""
        return self.machine == this_machine()

    def is_gone(self) -> bool:
        """Return whether the process is known to have ended; False if this machine cannot know."""
        if not self.is_here():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # of another user, but it exists
        state = _read_state(self.pid)
        return state is not None and (state[0] in _ENDED or state[1] != self.started)


def identify_process(pid: int | None = None) -> ProcessIdentity | None:
    """Return the identity of a process of this machine, by default of this process.

    None if it has ended, or if the system has no /proc (macOS).
    """
    pid = os.getpid() if pid is None else pid
    machine, state = this_machine(), _read_state(pid)
    return ProcessIdentity(machine, pid, state[1]) if machine and state else None


@cache
def this_machine() -> str | None:
    """Return the name of this boot and pid namespace; None if the system has no /proc."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").stat().st_ino
    except OSError:
        return None
    return f"{boot}-{namespace}"


def _read_state(pid: int) -> tuple[str, int] | None:
    """Return the state letter and start time of a process, as `man proc_pid_stat` describes them."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may contain anything
    return fields[0], int(fields[19])
