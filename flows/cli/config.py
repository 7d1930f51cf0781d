"""`maskmill config`: show, start and check config files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import ConfigError
from flows.cli.console import Commands, JsonOption, SetOption, chosen_config, emit

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Show configs, and start one of your own.")
SCHEMA = "maskmill-schema.json"
"""File beside a new config that editors read."""
_NEW = """\
# yaml-language-server: $schema={schema}
# Changes the preset `{base}`: `maskmill config show {file}` prints every setting, with comments.
base: {base}

# The network that you deploy. `maskmill try {file} IMAGE` shows what it sees.
student: {student}

# Folder that is searched for weights before the cache; `maskmill models list` shows what is found.
# weights_dir: weights
"""
_OWN = """
  kind: {kind}
  path: {path}
  input_hw: {input_hw}  # {source}
  output: probability   # or logits, class_map"""
_HINT = """
# Your own network instead, an .onnx, .tflite or TorchScript file:
# student:
#   kind: onnx            # or litert for .tflite, torchscript for .pt
#   path: student.onnx
#   output: probability   # or logits, class_map
"""
_USUAL_HW = (256, 256)
_GUESS = "a guess, as the file names no size: write the height and width that it was trained with"


@app.command()
def show(
    config: Annotated[
        str | None,
        typer.Argument(metavar="[PRESET|FILE]", help="Default: the preset that `run` would take."),
    ] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print every setting of a preset or file as commented YAML, which can be used as a file."""
    from configs.document import render_config
    from configs.load import load_tree, validate_config

    name = chosen_config(config)
    tree = load_tree(name, changes or [])
    found = validate_config(tree, name)
    title = f"All settings of {name}" + (f" with {', '.join(changes)}" if changes else "")
    emit(
        found.model_dump(mode="json"),
        lambda: typer.echo(render_config(found, tree, title=title), nl=False),
        as_json=as_json,
    )


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="YAML file to write.")] = Path("mine.yaml"),
    base: Annotated[
        str | None,
        typer.Option(metavar="PRESET", help="Preset to change; default: the one that `run` would take."),
    ] = None,
    student: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your network: .onnx, .tflite or TorchScript.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a small config file: a preset and your student."""
    from configs.document import config_schema
    from configs.load import load_config
    from tasks.files import write_file

    if file.exists():
        raise ConfigError(f"{file} exists: name another file, or delete it")
    name = chosen_config(base)
    load_config(name)
    write_file(file.parent / SCHEMA, json.dumps(config_schema(), indent=1).encode())
    text = _NEW.format(schema=SCHEMA, base=name, file=file, student=_student(name, student))
    write_file(file, (text + ("" if student else _HINT)).encode())
    emit(
        {"file": file, "base": name, "schema": file.parent / SCHEMA},
        lambda: typer.echo(f"{file}: edit it, then `maskmill run SOURCE --config {file}`"),
        as_json=as_json,
    )


def _student(base: str, network: Path | None) -> str:
    """Return the YAML value of the student: a network file, or the base's own in its short form."""
    from configs.load import load_tree
    from configs.segmenters import NETWORK_KINDS

    if network is None:
        block = load_tree(base)["student"]
        values = [str(value) for key, value in block.items() if key != "kind"]
        return ":".join([block["kind"], *values[:1]])
    kind = NETWORK_KINDS.get(network.suffix.lower())
    if kind is None:
        raise ConfigError(f"--student {network}: name a file that ends with {', '.join(NETWORK_KINDS)}")
    from labeling.segmenters.network_files import declared_input_hw

    declared = declared_input_hw(kind, network)
    return _OWN.format(
        kind=kind,
        path=json.dumps(str(network.absolute())),
        input_hw=list(declared or _USUAL_HW),
        source="height and width of the network's input, from its file" if declared else _GUESS,
    )


@app.command()
def schema(as_json: JsonOption = False) -> None:
    """Print the JSON schema of config files, for editors."""
    from configs.document import config_schema

    typer.echo(json.dumps(config_schema(), indent=2))
