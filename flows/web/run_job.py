"""The process of one job: `python -m flows.web.run_job OPTIONS FOLDER`. It ends when its server does."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from configs.environment import set_prefect_defaults
from configs.errors import MaskmillError
from flows.web.comparison import comparing
from flows.web.job_options import JobOptions
from flows.web.job_queue import ERROR_FILE
from flows.web.jobs import Job, read_job
from labeling.storage.atomic import write_atomically

Matte = Callable[[Job, list[str], str, Path], None]
"""Mattes sources on a background into a folder, as `flows.matte.matte_videos` does."""


def follow_server() -> None:
    """Kill this process and all that it started as soon as the server has ended, which closes stdin."""

    def wait() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock would abort the interpreter at its end
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="follow-server", daemon=True).start()


def process_job(folder: Path, matte: Matte) -> int:
    """Matte the videos of a job and return the exit code. What an earlier process finished is kept.

    An error that is the same for all videos is written into the job's folder.
    """
    job = read_job(folder)
    sources = [str(folder / file.stored) for file in job.videos()]
    background = str(folder / job.background.stored) if job.background.stored else job.background.value
    try:
        with comparing(folder, job):
            matte(job, sources, background, folder / "result")
    except MaskmillError as error:
        stated = json.dumps({"code": error.code, "message": str(error)})
        write_atomically(folder / ERROR_FILE, stated.encode())
        return 1
    return 0


def main(options: JobOptions, folder: Path) -> int:
    follow_server()
    set_prefect_defaults(logging_level="INFO")

    def matte(job: Job, sources: list[str], background: str, out: Path) -> None:
        from configs.load import load_config
        from configs.matting import MatteSettings
        from flows.cli.temporary_server import temporary_server
        from flows.matte import matte_videos

        settings = MatteSettings(background=background, format=job.format, weights=options.weights)
        config = load_config(options.config, list(options.changes))
        with temporary_server():
            matte_videos(sources, out, settings=settings, config=config, home=options.home)

    return process_job(folder, matte)


if __name__ == "__main__":
    sys.exit(main(JobOptions.model_validate_json(sys.argv[1]), Path(sys.argv[2])))
