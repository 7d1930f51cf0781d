"""Croissant metadata of the parquet files: `croissant.json` (https://docs.mlcommons.org/croissant/docs/croissant-spec.html)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CROISSANT = "croissant.json"
_FILES = "parquet-files"
_PARQUET = "application/x-parquet"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As the specification gives it."""
_COLUMNS = {
    "image_id": ("sc:Integer", "Number of the frame, unique in the dataset."),
    "file_name": ("sc:Text", "Name of the image."),
    "width": ("sc:Integer", "Width in pixels."),
    "height": ("sc:Integer", "Height in pixels."),
    "video_id": ("sc:Text", "SHA-256 of the video."),
    "t_ms": ("sc:Integer", "Presentation time in the video in milliseconds."),
    "source_url": ("sc:Text", "Where the video comes from."),
    "title": ("sc:Text", "Title of the video."),
    "uploader": ("sc:Text", "Who published the video."),
    "license": ("sc:Text", "License as stated by the source."),
    "decision": ("sc:Text", "How the masks were accepted."),
}
_IMAGES = {
    "image": "The frame.",
    "mask": "A label image: the position of the instance in `objects`, from 1; 0 is background.",
}


@dataclass(frozen=True, slots=True)
class DataFile:
    """A parquet file of the dataset."""

    path: str
    """Below the dataset's folder."""
    split: str
    size_bytes: int
    sha256: str


def croissant_json(
    files: Sequence[DataFile], categories: Sequence[str], licenses: Sequence[str] = ()
) -> bytes:
    """Return the metadata; `mlcroissant validate --jsonld croissant.json` accepts it, and its records can be read."""
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "maskmill-dataset",
        "description": f"Frames of video with instance masks of {', '.join(categories)}, labeled with maskmill.",
        "license": list(licenses) or "unknown",
        "distribution": [
            *map(_file_object, files),
            {
                "@type": "cr:FileSet",
                "@id": _FILES,
                "name": _FILES,
                "encodingFormat": _PARQUET,
                "includes": "data/*.parquet",
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "frames",
                "name": "frames",
                "field": [*map(_image_field, _IMAGES), *map(_value_field, _COLUMNS)],
            }
        ],
    }
    return (json.dumps(document, indent=1) + "\n").encode("ascii")


def _file_object(file: DataFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "description": f"Frames of the split {file.split}.",
        "contentUrl": file.path,
        "contentSize": f"{file.size_bytes} B",
        "encodingFormat": _PARQUET,
        "sha256": file.sha256,
    }


def _value_field(name: str) -> dict[str, Any]:
    data_type, description = _COLUMNS[name]
    return _field(name, data_type, description)


def _image_field(name: str) -> dict[str, Any]:
    return _field(name, "sc:ImageObject", _IMAGES[name], {"transform": {"jsonPath": "bytes"}})


def _field(name: str, data_type: str, description: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    source = {"fileSet": {"@id": _FILES}, "extract": {"column": name}, **(more or {})}
    return {
        "@type": "cr:Field",
        "@id": f"frames/{name}",
        "name": name,
        "description": description,
        "dataType": data_type,
        "source": source,
    }
