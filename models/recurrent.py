"""The recurrent Transformer with TransformerLens's hooks: one block stack applied again and again, its state snapped to
symbols between steps.

What it computes is in :mod:`models.network`. Every hook point belongs to a step: ``steps.{t}.blocks.{l}.attn.hook_z``.
The tree grows as runs get longer; weights know nothing of it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models import running, storage
from models.cache import NamesFilter, PositionsFilter, StepCache, StepRecorder
from models.config import Estimator, RecurrentConfig
from models.memory import keep_freed_memory
from models.network import Network
from models.recurrence import until_settled
from models.step_tree import HookNameError as HookNameError
from models.step_tree import StepTree
from models.tokens import ModelInput
from models.views import StepView, UnrolledView


class RecurrentTransformer(StepTree, Network, PyTorchModelHubMixin, library_name="recurlens"):
    """A recurrent, discretely bottlenecked Transformer with TransformerLens's hooks at every step.

    Inputs are graphs, texts or packed ids [batch, pos] (see :data:`models.tokens.ModelInput`). Use
    :meth:`at_step` to hand one step to a TransformerLens utility, :meth:`unrolled` for a whole run as one
    deep model.

    Examples:
        >>> from models import RecurrentConfig, RecurrentTransformer
        >>> cfg = RecurrentConfig(d_model=32, d_head=8, n_heads=4, n_layers=1)
        >>> model = RecurrentTransformer(cfg).eval()
        >>> model("20 = a; 2 = b; a + b = c", n_steps=2).shape  # logits [batch, pos, d_vocab]
        torch.Size([2, 1, 13, 162])
    """

    def __init__(self, cfg: RecurrentConfig) -> None:
        super().__init__()
        self.build(cfg)
        self.steps = nn.ModuleList()
        self.setup()
        self.grow_steps(1)
        self.to(device=cfg.device, dtype=cfg.dtype)

    def forward(
        self,
        input: ModelInput,
        n_steps: int | None = None,
        return_type: Literal["logits", "states"] = "logits",
        estimator: Estimator | None = None,
    ) -> Tensor:
        """Run all steps and return what each read out; hooks and gradients apply.

        Args:
            input: graphs, text, or packed ids of the state entering step 0.
            n_steps: how many steps; default as in :meth:`run`, but a cycle is followed to the bound.
            return_type: ``"logits"`` float [step, batch, pos, d_vocab] or ``"states"`` int
                [step + 1, batch, pos, factor].
            estimator: gradient estimator across the bottleneck, ``"straight_through"``, ``"gumbel"`` or ``"none"``;
                default ``cfg.estimator``. See :meth:`iterate`.
        """
        if return_type not in ("logits", "states"):
            raise ValueError(f"return_type must be 'logits' or 'states', got {return_type!r}")
        initial = self.entering_state(input)
        settle = n_steps is None and self.cfg.default_steps is None
        stop = until_settled(self) if settle else None
        pairs = list(self.iterate(initial, self._count(initial, n_steps), estimator, stop=stop))
        self.warn_of_unreached(len(pairs))
        if return_type == "states":
            return torch.stack([initial, *(state for _, state in pairs)])
        return torch.stack([logits for logits, _ in pairs])

    def entering_state(self, input: ModelInput) -> Int[Tensor, "batch pos factor"]:
        """The discrete state that enters step 0, on the model's device."""
        return self.vocabulary.unpack(self.to_tokens(input)).to(self.W_E.device)

    def _count(self, initial: Tensor, n_steps: int | None) -> int:
        if n_steps is not None:
            if n_steps < 1:
                raise ValueError(f"n_steps must be 1 or more, got {n_steps}")
            return n_steps
        return self.cfg.default_steps or running.step_bound(self.vocabulary, initial)

    def run_with_cache(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input: ModelInput,
        steps: Sequence[int] | int | None = None,
        names: NamesFilter = None,
        positions: PositionsFilter = None,
        n_steps: int | None = None,
        gradients: bool | None = None,
    ) -> tuple[Float[Tensor, "step batch pos d_vocab"], StepCache]:
        """Run and keep activations, each with a step axis.

        Args:
            input: as in :meth:`forward`.
            steps: which steps to keep (default: all that are run). The run goes on to the last of them at
                least.
            names: hook names without step, full (``"blocks.1.attn.hook_z"``) or short (``"hook_z"``: every
                layer), a list of them, or a predicate on full names. Default:
                :data:`models.cache.DEFAULT_NAMES`. ``"all"`` keeps everything.
            positions: ``"rhs"``, indices, a slice, or int [batch, k]; default all. See
                :class:`models.cache.StepRecorder`.
            n_steps: as in :meth:`forward`.
            gradients: whether the logits have a backward pass, for which torch keeps every activation of the run,
                several times what the cache holds. Default: where a hook of the backward pass waits for it. What is
                cached has none in either case.

        Returns:
            The logits of the kept steps and the cache, ``cache[name]`` being [step, batch, ...].

        Raises:
            HookNameError: a name no step has. ValueError: a step beyond the run.

        Examples:
            >>> from models import load
            >>> model = load("compiled")
            >>> _, cache = model.run_with_cache("20 = a; 2 = b; a + b = c", steps=[0, 1], names=["hook_z"])
            >>> cache["blocks.1.attn.hook_z"].shape  # [step, batch, pos, head, d_head]
            torch.Size([2, 1, 13, 6, 32])
        """
        keep_freed_memory()
        wanted = None if steps is None else sorted({steps} if isinstance(steps, int) else set(steps))
        if wanted is not None and (not wanted or wanted[0] < 0):
            raise ValueError(f"steps must be non-negative and at least one, got {steps}")
        encoded = None if isinstance(input, Tensor) else self.to_encoded(input)
        initial = self.entering_state(input if encoded is None else encoded)
        if n_steps is None and wanted is not None and self.cfg.default_steps is None:
            n_steps = wanted[-1] + 1
        bound = self._count(initial, n_steps)
        if wanted is not None and wanted[-1] >= bound:
            raise ValueError(f"step {wanted[-1]} is beyond the run, which has steps 0..{bound - 1}")
        rhs = None if encoded is None else encoded.rhs
        recorder = StepRecorder(self.plain_hook_names(), names, positions, rhs)
        asked = self.awaits_gradients() if gradients is None else gradients
        with (
            torch.set_grad_enabled(asked and torch.is_grad_enabled()),
            self.hooks(fwd_hooks=[(recorder.matcher(wanted), recorder.keep)]),
        ):
            logits = self.forward(input if encoded is None else encoded, n_steps=n_steps)
        kept = list(range(len(logits))) if wanted is None else wanted
        return logits[kept], recorder.cache(self, kept, self.is_padding(initial))

    # Views and copies ---------------------------------------------------------------------------------------

    def at_step(self, step: int, padding: Bool[Tensor, "*batch pos"] | None = None) -> StepView:
        """Step ``step`` as an ordinary TransformerLens model with plain hook names, sharing weights and
        hooks.

        Args:
            step: which one.
            padding: True where the run that the step belongs to has no graph, [pos] for all rows or
                [batch, pos]: ``~model.to_encoded(graphs).mask``. A bidirectional model does not look there.
                Default: :meth:`is_padding` of what the view is given, which is the same unless a
                bidirectional model has written ``[pad]`` over the end of a graph.

        Raises:
            ValueError: a negative step.

        Examples:
            >>> from models import load
            >>> model = load("compiled")
            >>> run = model.run("20 = a; 2 = b; a + b = c")
            >>> step = model.at_step(1)
            >>> _, cache = step.run_with_cache(model.vocabulary.pack(run.states[1]))
            >>> cache["pattern", 1].shape  # TransformerLens's own cache
            torch.Size([1, 6, 13, 13])
        """
        return StepView(self, step, padding)

    def unrolled(self, n_steps: int, padding: Bool[Tensor, "*batch pos"] | None = None) -> UnrolledView:
        """``n_steps`` steps as one TransformerLens model of ``n_steps * n_layers`` blocks, sharing weights
        and hooks; ``padding`` as in :meth:`at_step`.
        """
        return UnrolledView(self, n_steps, padding)

    def process_weights(
        self, fold_ln: bool = True, center_writing_weights: bool = False
    ) -> RecurrentTransformer:
        """A copy that computes the same with simpler weights (TransformerLens's own ``ProcessWeights``).

        ``fold_ln`` moves the LayerNorms' scales and biases into the weights that read them, so that
        ``logit_attrs`` is exact; ``center_writing_weights`` makes everything written to the residual stream
        have mean zero.
        """
        from transformer_lens.weight_processing import ProcessWeights  # a second to import, seldom needed

        if self.cfg.normalization_type != "LN":
            raise ValueError(
                "only normalization_type='LN' has weights to fold, "
                f"this model has {self.cfg.normalization_type!r}"
            )
        if self.cfg.bottleneck == "continuous":
            raise ValueError(
                "a continuous model feeds its final LN's output back, so that LN cannot be folded away"
            )
        state = {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}
        cfg = RecurrentConfig.from_dict(self.cfg.to_dict())
        state = ProcessWeights.process_weights(  # pyright: ignore[reportUnknownMemberType]
            state,
            cfg,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=False,
            fold_value_biases=False,
        )
        cfg.normalization_type = "LNPre" if fold_ln else "LN"
        processed = RecurrentTransformer(cfg)
        kept = processed.state_dict().keys()
        processed.load_state_dict({name: tensor for name, tensor in state.items() if name in kept})
        return processed.train(self.training)

    def untrained(self, seed: int) -> RecurrentTransformer:
        """A freshly initialised model of the same shape, the control of every "structure found" score.

        It is what training began from, drawn anew: distances that heads were born with (``cfg.born_distances``) are
        planted in it as well.
        """
        return RecurrentTransformer(RecurrentConfig.from_dict(self.cfg.to_dict() | {"seed": seed})).train(
            self.training
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> RecurrentTransformer:
        clone = type(self)(copy.deepcopy(self.cfg, memo))
        clone.load_state_dict(self.state_dict())
        for own, theirs in zip(clone.parameters(), self.parameters(), strict=True):
            own.requires_grad_(theirs.requires_grad)
        return clone.train(self.training)

    # Storage ------------------------------------------------------------------------------------------------

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, save_directory: str | Path, *, push_to_hub: bool = False, **hub_options: Any
    ) -> None:
        """Write ``config.json`` and ``model.safetensors``; what was there stays whole until the new files are
        complete. The digest of both goes into ``config.json``, and loading compares it (:mod:`models.storage`).

        ``push_to_hub`` uploads the folder too, with ``hub_options`` as ``PyTorchModelHubMixin.push_to_hub``
        takes them.

        Raises:
            models.storage.CheckpointError: the folder cannot be written, or weights are not finite.
        """
        storage.write(Path(save_directory), self.cfg, self.state_dict())
        if push_to_hub:
            repo_id = hub_options.pop("repo_id", Path(save_directory).name)
            self.push_to_hub(repo_id, **hub_options)  # pyright: ignore[reportUnknownMemberType]

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, pretrained_model_name_or_path: str | Path, **hub_options: Any
    ) -> RecurrentTransformer:
        """The model in a local folder, or on the Hugging Face Hub.

        Raises:
            models.storage.CheckpointError: nothing there, a damaged file, weights that do not fit the
                configuration, that are not what was saved, or that are not finite.
        """
        return storage.model(cls, storage.locate(str(pretrained_model_name_or_path), **hub_options))
