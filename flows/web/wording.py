"""Sentences of the web page about failures, for people who do not program."""

import re
from pathlib import Path

from flows.web.jobs import Problem

_SENTENCES = {
    "not_a_video": "This file is not a video, or it is damaged. Open it in a video player to check it.",
    "empty_video": "This video has no readable frame. Export it again and upload the new file.",
    "truncated": "The end of this file is missing. Copy or export it again and upload the new file.",
    "unsupported_video": "This kind of video cannot be read. Convert it to MP4 (H.264) and upload it again.",
    "unsafe_archive": "This archive could damage the server, so it was not opened. Upload the videos themselves.",
    "disk_full": "The server has no space left. Ask the person who runs it to free some space, then try again.",
    "crashed": "The program stopped twice while it processed this video. Convert the video to MP4 (H.264) and try again.",
    "camera_moves": "The camera moves in this video. Use a video that was recorded with a fixed camera.",
    "weights_missing": "The server lacks a file that it needs. Ask the person who runs it to look at its log.",
}


def problem_of(code: str, message: str, folder: Path) -> Problem:
    """Return a failure in words for the user of the page; paths of the server are left out."""
    if code == "config" and "background" in message:
        sentence = "The picture or video for the background cannot be read. Choose another file."
        return Problem(code="background_unreadable", message=sentence)
    return Problem(code=code, message=_SENTENCES.get(code) or without_paths(message, folder))


def without_paths(message: str, folder: Path) -> str:
    """Return a message in which files of a job stand without their folders.

    >>> without_paths("/srv/jobs/1f/uploads/a.mp4: unreadable", Path("/srv/jobs/1f"))
    'a.mp4: unreadable'
    """
    return re.sub(rf"{re.escape(str(folder))}(/[^/\s:]+)*/", "", message)
