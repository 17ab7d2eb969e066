"""What a stored model is known by: every change of its files is refused, or changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models import CheckpointError, RecurrentConfig, RecurrentTransformer, available, load, storage
from models.config import DIGEST
from models.loading import ZOO
from models.snapshots import DIGESTS, read_digests, snapshot_files, snapshots
from models.training.presets import training_config
from models.training.trainer import Trainer

CFG = RecurrentConfig(n_layers=1, d_model=12, n_heads=2, d_head=6, d_mlp=16)
BUNDLED = [name for name in available() if name != "compiled"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    RecurrentTransformer(CFG).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def config_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "config.json").read_text())


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def refused(folder: Path) -> bool:
    try:
        load(folder)
    except CheckpointError:
        return True
    return False


def parts_of(content: bytes) -> dict[str, tuple[int, int]]:
    header = 8 + int.from_bytes(content[:8], "little")
    return {"length": (0, 8), "header": (8, header), "data": (header, len(content))}


@pytest.mark.parametrize("part", ["length", "header", "data"])
def test_every_flipped_bit_of_the_weights_is_refused(part: str, folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    start, end = parts_of(whole)[part]
    rng = np.random.default_rng(0)
    bits = 8 * start + rng.choice(8 * (end - start), min(60, 8 * (end - start)), replace=False)
    for bit in bits:
        path.write_bytes(flipped(whole, int(bit)))
        assert refused(folder), bit
    path.write_bytes(whole)
    assert not refused(folder)


def test_a_flipped_bit_of_the_configuration_is_refused_or_changes_nothing(folder: Path) -> None:
    path = folder / "config.json"
    whole, before = path.read_bytes(), load(folder)
    harmless = 0
    for bit in np.random.default_rng(1).choice(8 * len(whole), 250, replace=False):
        path.write_bytes(flipped(whole, int(bit)))
        if not refused(folder):
            harmless += 1
            after = load(folder)
            assert after.cfg == before.cfg, bit
            assert all(
                torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items()
            )
    assert harmless < 125, "only white space can be changed"


def test_the_weights_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    other = RecurrentTransformer(CFG)
    with torch.no_grad():
        other.embed.W_E += 1
    other.save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="are not as they were saved, their SHA-256 is another than"):
        load(folder)


def test_a_folder_without_a_digest_is_loaded_unchecked(folder: Path, tmp_path: Path) -> None:
    config = config_of(folder)
    assert len(str(config.pop(DIGEST))) == 64
    (folder / "config.json").write_text(json.dumps(config))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(flipped(whole, 8 * len(whole) - 20))
    load(folder).save_pretrained(tmp_path / "again")
    assert DIGEST in config_of(tmp_path / "again")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.fill_(float("nan")), "embed.W_E has numbers that are not finite"),
        (lambda tensor: tensor.fill_(float("-inf")), "embed.W_E has numbers that are not finite"),
        (lambda tensor: tensor.int(), "embed.W_E is of type torch.int32; weights are of a floating type"),
        (lambda tensor: tensor.bool(), "embed.W_E is of type torch.bool"),
    ],
)
def test_weights_are_finite_numbers_of_a_floating_type(
    change: Callable[[torch.Tensor], torch.Tensor], message: str, folder: Path
) -> None:
    config = config_of(folder)
    del config[DIGEST]
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"embed.W_E": change(tensors["embed.W_E"])}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_a_model_that_is_not_finite_is_not_saved(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = load(folder)
    with torch.no_grad():
        model.embed.W_E[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match="not finite"):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_digest_goes_to_the_hub_and_comes_back(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploading copies the folder that `push_to_hub` writes; downloading copies what was uploaded."""
    hub = tmp_path / "hub"

    class Api:
        def __init__(self, *args: object, **kwargs: object) -> None: ...

        def create_repo(self, repo_id: str, **kwargs: object) -> object:
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, folder_path: Path, **kwargs: object) -> str:
            shutil.copytree(folder_path, hub)
            return "uploaded"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **kwargs: str(hub))
    load(folder).push_to_hub("owner/name")
    assert config_of(hub)[DIGEST] == config_of(folder)[DIGEST]
    assert RecurrentTransformer.from_pretrained("owner/name").cfg == CFG
    whole = (hub / "model.safetensors").read_bytes()
    (hub / "model.safetensors").write_bytes(flipped(whole, 8 * len(whole) - 1))
    with pytest.raises(CheckpointError, match="not as they were saved"):
        RecurrentTransformer.from_pretrained("owner/name")


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_model_has_its_digest(name: str) -> None:
    assert DIGEST in config_of(ZOO / name)
    assert storage.read(ZOO / name).problem == ""
    if (ZOO / name / "snapshots").is_dir():
        listed = {f"snapshots/{path.name}" for _, path in snapshot_files(name)}
        assert set(read_digests(ZOO / name)) == listed
        assert len(list(snapshots(name))) == len(listed)


def test_a_snapshot_that_was_changed_is_refused(tmp_path: Path) -> None:
    Trainer(training_config("discrete", "smoke", steps=10, snapshots=3), tmp_path, quiet=True).run()
    (_, first), (_, last) = snapshot_files(tmp_path)
    assert [step for step, _ in snapshots(tmp_path)] == [1, 10]
    whole = first.read_bytes()
    first.write_bytes(flipped(whole, 8 * len(whole) - 12))
    with pytest.raises(CheckpointError, match="step_0000001.safetensors is not as it was saved"):
        list(snapshots(tmp_path))
    shutil.copy(last, first)
    with pytest.raises(CheckpointError, match="step_0000001.safetensors is not as it was saved"):
        list(snapshots(tmp_path))
    (tmp_path / DIGESTS).unlink()
    assert len(list(snapshots(tmp_path))) == 2


def test_a_file_among_the_snapshots_that_is_none_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for name in ("step_12", "step_9", "step_abc"):
        (folder / f"{name}.safetensors").touch()
    with pytest.raises(
        CheckpointError, match="step_abc.safetensors is no snapshot: its name must be step_1234"
    ):
        snapshot_files(tmp_path)
    (folder / "step_abc.safetensors").unlink()
    assert [step for step, _ in snapshot_files(tmp_path)] == [9, 12]


@pytest.mark.parametrize("n_files", [1, 2])
def test_a_save_that_is_cut_short_leaves_one_of_the_two_models(
    n_files: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill: nothing is tidied up behind the files that were renamed."""
    before = load(folder)
    after = RecurrentTransformer(RecurrentConfig.from_dict(CFG.to_dict() | {"seed": 5, "dropout": 0.5}))
    stopped = tmp_path / "stopped"
    original, written = storage.write_atomically, []

    def write(path: Path, content: Callable[..., object]) -> None:
        original(path, content)
        written.append(path)
        if len(written) == n_files:
            shutil.copytree(folder, stopped)

    monkeypatch.setattr(storage, "write_atomically", write)
    monkeypatch.setattr(
        storage, "write_text", lambda path, text: write(path, lambda f: f.write(text.encode()))
    )
    after.save_pretrained(folder)
    found = load(stopped)
    expected = before if n_files == 1 else after
    assert found.cfg == expected.cfg and torch.equal(found.W_Q, expected.W_Q)
    assert load(folder).cfg == after.cfg
