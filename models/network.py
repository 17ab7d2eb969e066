"""The weights and the recurrence of a model: a step, its readout, and runs of many steps.

    state -> embed -> [blocks, final LN] -> four readouts -> argmax per factor -> the state that enters the
    next step

Four small methods (embed_state, step, unembed, discretise) are the whole of it; everything else iterates
them. Nothing here needs TransformerLens: hook points come from :meth:`Network.step_hooks`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models import bottleneck, running
from models.components import Block, KeysAndValues, attention_context
from models.config import Estimator, RecurrentConfig
from models.embedding import FactoredEmbed, FactoredUnembed
from models.graph import ComputationGraph
from models.hook_tree import HookTree, StepHooks
from models.norm import make_norm
from models.position_encodings import POSITIONS, resumable_positions
from models.positions import RelativeBias
from models.recurrence import Between, Recurrence, one_step
from models.stepper import Stop, run_steps
from models.tokens import TokenAccess
from models.trajectory import Trajectory
from models.vocabulary import EncodedGraphs, FactoredVocabulary
from models.weights import WeightAccess

if TYPE_CHECKING:
    pass

_SEEDED = threading.Lock()
"""Held while weights are drawn from torch's one generator, so that two threads do not draw each other's."""


class Network(WeightAccess, TokenAccess, nn.Module):
    """What a model computes, hooked (:class:`models.RecurrentTransformer`) or not (:class:`UnhookedTransformer`).

    A class that extends it calls :meth:`build` when the module is initialised.
    """

    def build(self, cfg: RecurrentConfig) -> None:
        """Draw the weights of a configuration."""
        self.cfg = cfg
        rng = cast(Any, torch.random)
        with _SEEDED, rng.fork_rng(devices=[]):
            rng.manual_seed(cfg.seed)
            self.embed = FactoredEmbed(cfg)
            encoding = POSITIONS[cfg.positions]
            self.pos_embed: nn.Module | None = encoding.module("added", cfg)
            self.relative: nn.Module | None = encoding.module("shared", cfg)
            self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_layers))
            if cfg.born_distances:
                cast(RelativeBias, self.layers[0].attn.pos).plant(cfg.born_distances)
            self.ln_final = make_norm(cfg.normalization_type, cfg.d_model, cfg.eps)
            self.unembed = FactoredUnembed(cfg)

    # Hook points, of which there are none here ----------------------------------------------------------------

    def grow_steps(self, n_steps: int) -> None:
        """Make sure that there are hook points for ``n_steps`` steps."""

    def step_hooks(self, step: int) -> StepHooks:
        """The hook points of ``step``."""
        return _no_hooks(self.cfg.n_layers)

    def is_watched(self) -> bool:
        """Whether any hook is attached at any step."""
        return False

    def warn_of_unreached(self, n_steps: int) -> None:
        """Say which hooks a run of ``n_steps`` steps has not come to."""

    @property
    def vocabulary(self) -> FactoredVocabulary:
        """What symbols the model reads and writes."""
        return self.cfg.vocabulary

    # The recurrence -----------------------------------------------------------------------------------------

    def embed_state(self, state: Int[Tensor, "batch pos factor"]) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream that a discrete state enters with."""
        return self.embed(state)

    def step(
        self,
        resid: Float[Tensor, "batch pos d_model"],
        step: int = 0,
        key_mask: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """All blocks and the final LN, once, with the hooks of ``step``.

        ``key_mask`` is True where a position may be attended to; right padding needs none in a causal model.
        """
        self.grow_steps(step + 1)
        hooks = self.step_hooks(step)
        resid = hooks.hook_embed(resid)
        if self.pos_embed is not None:
            resid = resid + hooks.hook_pos_embed(self.pos_embed(resid))
        relative = None if self.relative is None else self.relative()
        context = attention_context(self.cfg, resid, relative, key_mask)
        for block, block_hooks in zip(self.layers, hooks.blocks, strict=True):
            resid = block(resid, cast(HookTree, block_hooks), context)
        return self.ln_final(resid, hooks.ln_final)

    @property
    def resumable(self) -> bool:
        """Whether :meth:`resume` can be used: causal attention, and positions told by distance or not at all."""
        return self.cfg.attention_dir == "causal" and POSITIONS[self.cfg.positions].by_distance

    def resume(
        self,
        resid: Float[Tensor, "batch pos d_model"],
        past: Sequence[KeysAndValues],
        layer: int = 0,
        step: int = 0,
    ) -> Float[Tensor, "batch pos d_vocab"]:
        """Logits of the last positions of a step, entered before block ``layer``.

        In a causal model, positions before the first that differs keep their keys and values, so a change is
        computed from there on and from its layer on.

        Args:
            resid: what enters block ``layer`` at the positions that follow the past.
            past: for every layer from ``layer`` on, keys and values of the positions before,
                [1 or batch, past, head, d_head] (``hook_k``, ``hook_v``).

        Raises:
            ValueError: a model that is not :attr:`resumable`.
        """
        if not self.resumable:
            allowed = " or ".join(map(repr, resumable_positions()))
            raise ValueError(
                f"only causal models with positions {allowed} can be resumed within a step; "
                f"this one has {self.cfg.attention_dir!r} attention and positions {self.cfg.positions!r}"
            )
        self.grow_steps(step + 1)
        hooks = self.step_hooks(step)
        if layer == 0:
            resid = hooks.hook_embed(resid)
        context = attention_context(self.cfg, resid, None, None, n_past=past[0][0].shape[1])
        for index, before in zip(range(layer, self.cfg.n_layers), past, strict=True):
            block_hooks = cast(HookTree, hooks.blocks[index])
            resid = self.layers[index](resid, block_hooks, replace(context, past=before))
        return hooks.hook_logits(self.unembed(self.ln_final(resid, hooks.ln_final)))

    def discretise(self, logits: Float[Tensor, "batch pos d_vocab"]) -> Int[Tensor, "batch pos factor"]:
        """The most likely symbol of every factor: the state that enters the next step."""
        return bottleneck.snap(self.vocabulary, logits)

    def is_padding(self, state: Int[Tensor, "batch pos factor"]) -> Bool[Tensor, "batch pos"]:
        """Where, as far as a state can tell, no graph is: the positions at its end that say ``[pad]`` and N/A.

        Padding stands at the end and stays as it is, so a ``[pad]`` that a model writes before something else,
        or beside another symbol, is inside its graph. One that it writes at the very end of a graph looks the
        same as padding: there only the graph can tell (``~encoded.mask``).
        """
        is_pad = (state == self.vocabulary.padding.to(state.device)).all(-1)
        return is_pad.flip(-1).cumprod(-1).flip(-1).bool()

    def transition(
        self,
        state: Int[Tensor, "batch pos factor"],
        step: int = 0,
        padding: Bool[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch pos d_vocab"]:
        """One step from a discrete state to the logits of the next; the unit that training works on.

        ``padding`` says where no graph is (default: :meth:`is_padding` of ``state``); bidirectional attention
        skips it.
        """
        padding = self.is_padding(state) if padding is None else padding
        return one_step(self, state, None, step, padding)[1]

    def iterate(
        self,
        initial: Int[Tensor, "batch pos factor"],
        n_steps: int,
        estimator: Estimator | None = None,
        hidden: Float[Tensor, "batch pos d_model"] | None = None,
        padding: Bool[Tensor, "batch pos"] | None = None,
        stop: Stop | None = None,
    ) -> Iterator[tuple[Float[Tensor, "batch pos d_vocab"], Int[Tensor, "batch pos factor"]]]:
        """Run ``n_steps`` steps, or until ``stop`` says so; after each yield its logits and the state they are
        snapped to.

        Between steps a ``discrete`` model passes on the snapped state and a ``continuous`` one its final
        hidden state; ``hidden`` enters step 0 instead of the embedding of ``initial``. A ``hook_state`` that
        writes symbols into a continuous model moves its hidden state (:meth:`FactoredUnembed.rewrite`). Where no
        graph is (``padding``; default: :meth:`is_padding` of ``initial``) the state stays as it is, and
        bidirectional attention does not look, in no step; a ``[pad]`` that the model writes inside a graph is a
        symbol like any other. Gradients cross a discrete bottleneck only with an ``estimator`` (default:
        ``cfg.estimator``); where one comes to it and ``"none"`` is but the default, a
        :class:`models.bottleneck.StoppedGradientWarning` says so in the backward pass.
        """
        tell = estimator is None and self.cfg.bottleneck == "discrete" and torch.is_grad_enabled()
        recurrence = Recurrence(self, self.cfg.estimator if estimator is None else estimator, tell)
        padding = self.is_padding(initial) if padding is None else padding
        for step in run_steps(recurrence, Between(initial, hidden), padding, n_steps, stop=stop):
            yield cast(Tensor, step.state.logits), step.state.symbols

    # Whole runs ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def run(
        self,
        graphs: ComputationGraph | Sequence[ComputationGraph] | EncodedGraphs | str,
        n_steps: int | None = None,
        initial_state: Int[Tensor, "batch pos factor"] | None = None,
        initial_hidden: Float[Tensor, "batch pos d_model"] | None = None,
    ) -> Trajectory:
        """Iterate until the discrete state stops changing, or for exactly ``n_steps`` steps.

        Without ``n_steps`` the run takes ``cfg.default_steps`` where the method fixes them, else it ends when
        every graph has reached a fixed point or a cycle; it is cut off after as many steps as there are
        equations, plus two, which ``hit_bound`` and ``bound`` report. ``initial_state`` replaces the state
        that enters step 0 (a resumed or edited run); padding is where ``graphs`` have no token, whatever it says.
        Where the bottleneck is ``continuous`` it is only what the run shows before its first step, and
        ``initial_hidden`` is what enters, if given (``hook_embed`` of the step that is resumed).

        Raises:
            GraphError: text that is no graph, or a graph outside the vocabulary.
            ValueError: negative ``n_steps``; an initial state of another shape or with unknown symbols; an
                initial hidden state of another shape, or of a model with a discrete bottleneck.

        Examples:
            >>> from models import load
            >>> run = load("compiled").run("20 = a; 2 = b; a + b = c")
            >>> run.n_steps, run.solved_at.tolist()
            (3, [[0, 0, 1]])
        """
        if n_steps is not None and n_steps < 0:
            raise ValueError(f"n_steps must be 0 or more, got {n_steps}")
        encoded = self.to_encoded(graphs)
        initial = encoded.factors if initial_state is None else initial_state
        if initial.shape != encoded.factors.shape:
            raise ValueError(
                f"initial_state must be {tuple(encoded.factors.shape)}, got {tuple(initial.shape)}"
            )
        self.vocabulary.pack(initial)  # says so if a symbol is unknown
        if initial_hidden is not None:
            if self.cfg.bottleneck != "continuous":
                raise ValueError(
                    "initial_hidden is given to a model of bottleneck 'discrete', whose steps only symbols enter; "
                    "allowed is initial_state"
                )
            shape = *initial.shape[:2], self.cfg.d_model
            if initial_hidden.shape != shape:
                raise ValueError(f"initial_hidden must be {shape}, got {tuple(initial_hidden.shape)}")
        run = running.run(self, encoded, initial, n_steps, initial_hidden)
        self.warn_of_unreached(run.n_steps)
        return run


class UnhookedTransformer(Network):
    """A model that runs and cannot be watched: what ``models.load`` gives, without hooks, caches and views.

    It is there because TransformerLens, from which hooks come, takes longer to import than most runs take; see
    :func:`models.load_unhooked`.
    """

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.build(cfg)
        self.to(device=cfg.device, dtype=cfg.dtype)


@cache
def _no_hooks(n_layers: int) -> StepHooks:
    return StepHooks(n_layers)
