"""The export formats: one table for commands, flows and documentation. Their writers are in `labeling.datasets.formats`."""

from typing import Literal, NamedTuple

ExportFormat = Literal[
    "coco", "yolo-seg", "voc", "cvat", "datumaro", "parquet", "webdataset", "masks", "mots", "youtube-vis"
]
ExportedDecision = Literal["accepted", "reviewed", "partial", "confirmed", "review", "easy"]


class FormatText(NamedTuple):
    """What a user reads about a format."""

    description: str
    use: str
    """Next command or call; `{target}` is the folder."""


FORMATS: dict[ExportFormat, FormatText] = {
    "coco": FormatText(
        "COCO instances and person keypoints, masks as RLE.",
        "load {target}/annotations/instances.json with pycocotools, torchvision or FiftyOne",
    ),
    "yolo-seg": FormatText(
        "Ultralytics YOLO polygons; holes are lost.",
        "yolo segment train data={target}/data.yaml model=yolo11n-seg.pt",
    ),
    "voc": FormatText(
        "Pascal VOC: class and object images with the palette, and lists of the splits.",
        'load it with torchvision.datasets.VOCSegmentation("{target}", "2012", "train")',
    ),
    "cvat": FormatText(
        "CVAT for images 1.1: one XML file, masks as CVAT's runs.",
        'upload {target}/annotations.xml to a task with these images, as "CVAT 1.1"',
    ),
    "datumaro": FormatText(
        "Datumaro's JSON: masks as RLE, and keypoints.",
        'load it with datumaro.Dataset.import_from("{target}", "datumaro")',
    ),
    "parquet": FormatText(
        "Hugging Face datasets: parquet with images and masks inside, and Croissant metadata.",
        'load it with datasets.load_dataset("{target}")',
    ),
    "webdataset": FormatText(
        "WebDataset: tar files with image, label image and JSON of each frame.",
        'load {target}/shards/train-*.tar with webdataset.WebDataset or datasets.load_dataset("webdataset", ...)',
    ),
    "masks": FormatText("One PNG per frame; the pixel value is the instance number.", "train on {target}"),
    "mots": FormatText(
        "MOTS: tracks as 16-bit PNG files and gt.txt, one folder per video.", "train on {target}"
    ),
    "youtube-vis": FormatText(
        "YouTube-VIS: one JSON file with the masks of each track.", "train on {target}"
    ),
}
