"""Position encodings are records: one that is added is a configuration, trains, resumes and replays like the others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from interp import Site, ZeroAblate, run_interventions, run_plainly
from models import ComputationGraph, RecurrentConfig, RecurrentTransformer, positions
from models.config import ConfigError
from models.position_encodings import POSITIONS, PositionEncoding, resumable_positions

SIZES = {"d_model": 16, "d_head": 4, "n_heads": 2, "d_mlp": 16, "position_window": 8}
GRAPH = ComputationGraph.sample(6, seed=0)


class Slopes(positions.RelativeBias):
    """A penalty of 2^-(head + 1) per position of distance."""

    def reset_parameters(self) -> None:
        distance = torch.arange(self.bias.shape[1])
        self.bias = nn.Parameter(-(2.0 ** -torch.arange(1, len(self.bias) + 1)[:, None]) * distance)


@pytest.fixture
def slopes(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(positions, "Slopes", Slopes, raising=False)
    monkeypatch.setitem(
        POSITIONS, "slopes", PositionEncoding("slopes", "a penalty", "Slopes", by_distance=True)
    )
    return "slopes"


def test_a_record_is_all_that_an_encoding_is(slopes: str) -> None:
    cfg = RecurrentConfig(**SIZES, positions=slopes)
    assert RecurrentConfig.from_json(cfg.to_json()) == cfg
    model = RecurrentTransformer(cfg).eval()
    assert isinstance(model.layers[0].attn.pos, Slopes) and model.resumable
    near, far = model.layers[0].attn.pos.scores(4)[0, 0, 3, [2, 0]].tolist()
    assert (near, far) == (-0.5, -1.5)
    off = ZeroAblate(Site("attn_out", step=1, layer=0, pos="rhs:3"))
    (fast,), (plain,) = (run(model, GRAPH, [[off]], n_steps=3) for run in (run_interventions, run_plainly))
    assert fast.final.equal(plain.final)
    with pytest.raises(ConfigError, match="'nothing' is not allowed; choose one of .*'none', 'slopes'"):
        RecurrentConfig(positions="nothing")


@pytest.mark.parametrize("name", POSITIONS)
def test_each_says_what_it_has(name: str) -> None:
    """What a record says is so in a model: its modules, their scores, its length, whether a step can be resumed."""
    record = POSITIONS[name]
    cfg = RecurrentConfig(**SIZES, positions=name, n_ctx=20)
    model = RecurrentTransformer(cfg).eval()
    assert (model.pos_embed is not None, model.relative is not None) == (
        bool(record.added),
        bool(record.shared),
    )
    assert model.resumable == (name in resumable_positions())
    assert cfg.positional_embedding_type == record.transformer_lens
    if record.scores:
        q = torch.randn(2, 2, 5, 4)
        shared = None if model.relative is None else model.relative()
        assert model.layers[0].attn.pos.of_pairs(q, q, 2.0, shared).shape[1:] == (2, 5, 5)
    long = model.to_encoded(GRAPH)
    assert long.mask.shape[1] > 20
    if record.limited:
        with pytest.raises(ValueError, match="learned up to n_ctx=20"):
            model.run(GRAPH, n_steps=1)
    else:
        assert model.run(GRAPH, n_steps=1).n_steps == 1
