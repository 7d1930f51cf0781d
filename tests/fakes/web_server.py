"""The web page with the fake of the flow, as a process: `python -m tests.fakes.web_server HOME PORT SECONDS_PER_FRAME`."""

import sys
from pathlib import Path

from flows.web.app import WebSettings
from flows.web.job_options import JobOptions
from flows.web.security import access_rules
from flows.web.serve import serve_page


def main(home: str, port: str, seconds_per_frame: str) -> None:
    command = (sys.executable, "-m", "tests.fakes.matte_job", seconds_per_frame)
    settings = WebSettings(JobOptions(home=Path(home)), access_rules("127.0.0.1", None, []), command=command)
    serve_page(settings, host="127.0.0.1", port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
