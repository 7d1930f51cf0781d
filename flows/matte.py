"""The flow that cuts people out of videos of a static camera."""

from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger

from configs.errors import ConfigError, Interrupted
from configs.load import load_config
from configs.matting import MatteSettings
from configs.models import RunConfig
from flows.home import whole_path
from labeling.matting.network import MattingNetwork
from labeling.segmenters.factory import make_segmenter
from labeling.storage.home import Home
from tasks.execution.leases import cancelled, hold_lease
from tasks.matte import MatteOrder, MatteSummary, matte_video_task


@flow(name="matte-videos", flow_run_name="matte {sources}", persist_result=False)
def matte_videos(
    sources: list[str],
    out: Path,
    settings: MatteSettings | None = None,
    config: RunConfig | None = None,
    home: Path = Path(".maskmill"),
) -> list[MatteSummary]:
    """Write alpha, foreground and a composite of each video; an interrupted run continues.

    Args:
        sources: video files.
        out: folder; each video gets a folder of its name in it.
        settings: background, format, plate; None: the defaults.
        config: its teacher finds the people; None: the preset `lite`.
        home: folder of the database, in which the run is registered.
    """
    if not sources:
        raise ConfigError("no videos: name at least one file")
    settings, config = settings or MatteSettings(), config or load_config("lite")
    orders = plan_mattes([Path(source) for source in sources], whole_path(out, "out"), settings)
    network = MattingNetwork(settings.weights)
    teacher = make_segmenter(
        config.teacher, weights_dir=config.weights_dir, device=config.device, batch=config.batch
    )
    created = Home(whole_path(home, "home"))
    created.create()
    try:
        with hold_lease(created, "matte-videos") as lease:
            summaries = [matte_video_task(order, teacher, network, lease.check) for order in orders]
    except Interrupted as error:
        return cancelled(error)  # type: ignore[no-any-return]  # Prefect accepts a state as the result
    for summary in summaries:
        if summary.error:
            get_run_logger().warning("%s: %s: %s", summary.source, summary.error, summary.message)
    return summaries


def plan_mattes(sources: list[Path], out: Path, settings: MatteSettings) -> list[MatteOrder]:
    """Return one order per video; its folder is called like the file, with a number if that is taken."""
    orders: list[MatteOrder] = []
    taken: set[str] = set()
    for source in sources:
        name, number = source.stem, 2
        while name.casefold() in taken:
            name, number = f"{source.stem}-{number}", number + 1
        taken.add(name.casefold())
        orders.append(MatteOrder(source.expanduser().resolve(), out / name, settings))
    return orders


if __name__ == "__main__":
    matte_videos.serve("matte-videos")
