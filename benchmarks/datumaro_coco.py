"""Datumaro reads a COCO dataset and writes it again; runs in an environment that has it, and nothing of ours.

    python datumaro_coco.py FROM TO

Prints JSON: seconds of reading, seconds of writing.
"""

import json
import sys
import time

from datumaro.components.dataset import Dataset


def main() -> None:
    source, target = sys.argv[1:]
    begin = time.perf_counter()
    dataset = Dataset.import_from(source, "coco_instances")
    dataset.init_cache()
    read = time.perf_counter()
    dataset.export(target, "coco_instances", save_media=False, segmentation_mode="mask")
    written = time.perf_counter()
    print(json.dumps([read - begin, written - read]))


if __name__ == "__main__":
    main()
