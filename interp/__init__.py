"""The toolkit: how a recurrent model's run is looked at and intervened on, step by step.

Names are imported on first use, so that ``import interp`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.activations.collecting import collect as collect
    from interp.activations.datasets import ActivationDataset as ActivationDataset
    from interp.activations.datasets import DatasetError as DatasetError
    from interp.activations.rhs_patterns import RhsPattern as RhsPattern
    from interp.activations.rhs_patterns import rhs_pattern as rhs_pattern
    from interp.causal.ablation import Ablation as Ablation
    from interp.causal.ablation import Component as Component
    from interp.causal.ablation import ablate as ablate
    from interp.causal.agreement import Agreement as Agreement
    from interp.causal.attribution import AttributionSweep as AttributionSweep
    from interp.causal.attribution import attribution_sweep as attribution_sweep
    from interp.causal.cone import DamageCone as DamageCone
    from interp.causal.cone import damage_cones as damage_cones
    from interp.causal.cross_step import CrossStep as CrossStep
    from interp.causal.cross_step import cross_step_matrix as cross_step_matrix
    from interp.causal.edges import Edge as Edge
    from interp.causal.edges import EdgeScores as EdgeScores
    from interp.causal.edges import edge_attribution as edge_attribution
    from interp.causal.edges import exact_edges as exact_edges
    from interp.causal.overwrite import Overwrite as Overwrite
    from interp.causal.overwrite import OverwrittenRun as OverwrittenRun
    from interp.causal.overwrite import overwrite_value as overwrite_value
    from interp.causal.pairs import Pair as Pair
    from interp.causal.pairs import PairError as PairError
    from interp.causal.pairs import make_pair as make_pair
    from interp.causal.pairs import sample_pairs as sample_pairs
    from interp.causal.patching import PatchingError as PatchingError
    from interp.causal.patching import PatchSweep as PatchSweep
    from interp.causal.patching import patch_sweep as patch_sweep
    from interp.causal.paths import DirectPaths as DirectPaths
    from interp.causal.paths import Mediation as Mediation
    from interp.causal.paths import Mediator as Mediator
    from interp.causal.paths import direct_paths as direct_paths
    from interp.causal.paths import mediate as mediate
    from interp.causal.within_step import StepPair as StepPair
    from interp.causal.within_step import step_pair as step_pair
    from interp.chance import AgainstChance as AgainstChance
    from interp.codebook.code_interventions import CodeInterventions as CodeInterventions
    from interp.codebook.code_interventions import code_interventions as code_interventions
    from interp.codebook.codes import CodeUsage as CodeUsage
    from interp.codebook.codes import code_usage as code_usage
    from interp.codebook.codes import code_usage_of as code_usage_of
    from interp.codebook.margins import SnapMargins as SnapMargins
    from interp.codebook.margins import snap_margins as snap_margins
    from interp.codebook.transitions import Transitions as Transitions
    from interp.frequencies.characters import Characters as Characters
    from interp.frequencies.characters import characters_of as characters_of
    from interp.frequencies.fourier import EmbeddingSpectrum as EmbeddingSpectrum
    from interp.frequencies.fourier import Fourier as Fourier
    from interp.frequencies.fourier import FourierVerdict as FourierVerdict
    from interp.frequencies.fourier import fourier as fourier
    from interp.frequencies.fourier import idle_contrast as idle_contrast
    from interp.frequencies.frequency_ablation import FrequencyAblation as FrequencyAblation
    from interp.frequencies.frequency_ablation import ablate_frequencies as ablate_frequencies
    from interp.frequencies.frequency_loss import FrequencyLoss as FrequencyLoss
    from interp.frequencies.frequency_loss import key_frequency_loss as key_frequency_loss
    from interp.frequencies.neuron_rerun import NeuronRun as NeuronRun
    from interp.frequencies.neuron_rerun import neuron_run as neuron_run
    from interp.frequencies.operand_tuples import OperandGrid as OperandGrid
    from interp.frequencies.operand_tuples import collect_grid as collect_grid
    from interp.frequencies.operand_tuples import operand_grid as operand_grid
    from interp.frequencies.spectrum import SiteSpectrum as SiteSpectrum
    from interp.frequencies.spectrum import site_spectrum as site_spectrum
    from interp.frequencies.symmetry import Symmetry as Symmetry
    from interp.frequencies.symmetry import measure_symmetry as measure_symmetry
    from interp.interventions import MeanAblate as MeanAblate
    from interp.interventions import Recording as Recording
    from interp.interventions import ResampleAblate as ResampleAblate
    from interp.interventions import SetCode as SetCode
    from interp.interventions import SetFrom as SetFrom
    from interp.interventions import SetValue as SetValue
    from interp.interventions import ZeroAblate as ZeroAblate
    from interp.interventions import record as record
    from interp.lenses.direct_attribution import DirectAttribution as DirectAttribution
    from interp.lenses.direct_attribution import direct_logit_attribution as direct_logit_attribution
    from interp.lenses.lens import StepLens as StepLens
    from interp.lenses.lens import step_lens as step_lens
    from interp.lenses.tuned_lens import TunedLens as TunedLens
    from interp.lenses.tuned_lens import fit_tuned_lens as fit_tuned_lens
    from interp.looped import LoopedError as LoopedError
    from interp.looped import LoopedModel as LoopedModel
    from interp.looped import LoopedRun as LoopedRun
    from interp.looped import StepEdit as StepEdit
    from interp.looped import as_looped as as_looped
    from interp.looped import run_looped as run_looped
    from interp.mechanism.attention_roles import AttentionTargets as AttentionTargets
    from interp.mechanism.attention_roles import attention_targets as attention_targets
    from interp.mechanism.block_change import BlockChange as BlockChange
    from interp.mechanism.block_change import block_changes as block_changes
    from interp.mechanism.composition import Composition as Composition
    from interp.mechanism.composition import head_composition as head_composition
    from interp.mechanism.grouping import HeadGroups as HeadGroups
    from interp.mechanism.grouping import head_groups as head_groups
    from interp.mechanism.heads import HeadRole as HeadRole
    from interp.mechanism.heads import HeadRoles as HeadRoles
    from interp.mechanism.heads import head_roles as head_roles
    from interp.mechanism.perturbed import Controlled as Controlled
    from interp.mechanism.perturbed import ControlledError as ControlledError
    from interp.mechanism.perturbed import append_equation as append_equation
    from interp.mechanism.perturbed import controlled as controlled
    from interp.mechanism.subspaces import Amplification as Amplification
    from interp.mechanism.subspaces import Subspaces as Subspaces
    from interp.mechanism.subspaces import factor_subspaces as factor_subspaces
    from interp.mechanism.variances import HeadVariance as HeadVariance
    from interp.mechanism.variances import head_variance as head_variance
    from interp.motion.cycles import Settling as Settling
    from interp.motion.cycles import approximate_cycles as approximate_cycles
    from interp.motion.cycles import exact_cycles as exact_cycles
    from interp.motion.cycles import lasting_cycles as lasting_cycles
    from interp.motion.drift import Drift as Drift
    from interp.motion.drift import drift_of as drift_of
    from interp.motion.dynamics import Dynamics as Dynamics
    from interp.motion.dynamics import Motion as Motion
    from interp.motion.dynamics import dynamics as dynamics
    from interp.motion.dynamics import dynamics_of as dynamics_of
    from interp.motion.frontier import Frontier as Frontier
    from interp.motion.frontier import frontier_of as frontier_of
    from interp.motion.pca import PCATrajectories as PCATrajectories
    from interp.motion.pca import pca_trajectories as pca_trajectories
    from interp.motion.violations import Violations as Violations
    from interp.motion.violations import violations_of as violations_of
    from interp.probing.circular import CircularProbe as CircularProbe
    from interp.probing.circular import circular_probe as circular_probe
    from interp.probing.grid import ProbeGrid as ProbeGrid
    from interp.probing.mdl import OnlineCode as OnlineCode
    from interp.probing.mdl import online_code as online_code
    from interp.probing.probes import fit_probe_grid as fit_probe_grid
    from interp.probing.probes import fit_probes as fit_probes
    from interp.probing.rows import ProbeError as ProbeError
    from interp.probing.sparse import SparseProbe as SparseProbe
    from interp.probing.sparse import sparse_probe as sparse_probe
    from interp.probing.transfer import ProbeTransfer as ProbeTransfer
    from interp.probing.transfer import probe_transfer as probe_transfer
    from interp.replay import Replay as Replay
    from interp.replay import run_interventions as run_interventions
    from interp.replay import run_plainly as run_plainly
    from interp.sites import Site as Site
    from interp.sites import SiteError as SiteError
    from interp.stories.circuit_story import Story as Story
    from interp.stories.circuit_story import story as story

_HOMES = {
    "Ablation": "causal.ablation",
    "ActivationDataset": "activations.datasets",
    "AgainstChance": "chance",
    "Agreement": "causal.agreement",
    "Amplification": "mechanism.subspaces",
    "AttentionTargets": "mechanism.attention_roles",
    "AttributionSweep": "causal.attribution",
    "BlockChange": "mechanism.block_change",
    "Characters": "frequencies.characters",
    "CircularProbe": "probing.circular",
    "CodeInterventions": "codebook.code_interventions",
    "CodeUsage": "codebook.codes",
    "Component": "causal.ablation",
    "Composition": "mechanism.composition",
    "Controlled": "mechanism.perturbed",
    "ControlledError": "mechanism.perturbed",
    "CrossStep": "causal.cross_step",
    "DamageCone": "causal.cone",
    "DatasetError": "activations.datasets",
    "DirectAttribution": "lenses.direct_attribution",
    "DirectPaths": "causal.paths",
    "Drift": "motion.drift",
    "Dynamics": "motion.dynamics",
    "Edge": "causal.edges",
    "EdgeScores": "causal.edges",
    "EmbeddingSpectrum": "frequencies.fourier",
    "Fourier": "frequencies.fourier",
    "FourierVerdict": "frequencies.fourier",
    "FrequencyAblation": "frequencies.frequency_ablation",
    "FrequencyLoss": "frequencies.frequency_loss",
    "Frontier": "motion.frontier",
    "HeadGroups": "mechanism.grouping",
    "HeadRole": "mechanism.heads",
    "HeadRoles": "mechanism.heads",
    "HeadVariance": "mechanism.variances",
    "LoopedError": "looped",
    "LoopedModel": "looped",
    "LoopedRun": "looped",
    "MeanAblate": "interventions",
    "Mediation": "causal.paths",
    "Mediator": "causal.paths",
    "Motion": "motion.dynamics",
    "NeuronRun": "frequencies.neuron_rerun",
    "OnlineCode": "probing.mdl",
    "OperandGrid": "frequencies.operand_tuples",
    "Overwrite": "causal.overwrite",
    "OverwrittenRun": "causal.overwrite",
    "PCATrajectories": "motion.pca",
    "Pair": "causal.pairs",
    "PairError": "causal.pairs",
    "PatchSweep": "causal.patching",
    "PatchingError": "causal.patching",
    "ProbeError": "probing.rows",
    "ProbeGrid": "probing.grid",
    "ProbeTransfer": "probing.transfer",
    "Recording": "interventions",
    "Replay": "replay",
    "ResampleAblate": "interventions",
    "RhsPattern": "activations.rhs_patterns",
    "SetCode": "interventions",
    "SetFrom": "interventions",
    "SetValue": "interventions",
    "Settling": "motion.cycles",
    "Site": "sites",
    "SiteError": "sites",
    "SiteSpectrum": "frequencies.spectrum",
    "SnapMargins": "codebook.margins",
    "SparseProbe": "probing.sparse",
    "StepEdit": "looped",
    "StepLens": "lenses.lens",
    "StepPair": "causal.within_step",
    "Story": "stories.circuit_story",
    "Subspaces": "mechanism.subspaces",
    "Symmetry": "frequencies.symmetry",
    "Transitions": "codebook.transitions",
    "TunedLens": "lenses.tuned_lens",
    "Violations": "motion.violations",
    "ZeroAblate": "interventions",
    "ablate": "causal.ablation",
    "ablate_frequencies": "frequencies.frequency_ablation",
    "append_equation": "mechanism.perturbed",
    "approximate_cycles": "motion.cycles",
    "as_looped": "looped",
    "attention_targets": "mechanism.attention_roles",
    "attribution_sweep": "causal.attribution",
    "block_changes": "mechanism.block_change",
    "characters_of": "frequencies.characters",
    "circular_probe": "probing.circular",
    "code_interventions": "codebook.code_interventions",
    "code_usage": "codebook.codes",
    "code_usage_of": "codebook.codes",
    "collect": "activations.collecting",
    "collect_grid": "frequencies.operand_tuples",
    "controlled": "mechanism.perturbed",
    "cross_step_matrix": "causal.cross_step",
    "damage_cones": "causal.cone",
    "direct_logit_attribution": "lenses.direct_attribution",
    "direct_paths": "causal.paths",
    "drift_of": "motion.drift",
    "dynamics": "motion.dynamics",
    "dynamics_of": "motion.dynamics",
    "edge_attribution": "causal.edges",
    "exact_cycles": "motion.cycles",
    "exact_edges": "causal.edges",
    "factor_subspaces": "mechanism.subspaces",
    "fit_probe_grid": "probing.probes",
    "fit_probes": "probing.probes",
    "fit_tuned_lens": "lenses.tuned_lens",
    "fourier": "frequencies.fourier",
    "frontier_of": "motion.frontier",
    "head_composition": "mechanism.composition",
    "head_groups": "mechanism.grouping",
    "head_roles": "mechanism.heads",
    "head_variance": "mechanism.variances",
    "idle_contrast": "frequencies.fourier",
    "key_frequency_loss": "frequencies.frequency_loss",
    "lasting_cycles": "motion.cycles",
    "make_pair": "causal.pairs",
    "measure_symmetry": "frequencies.symmetry",
    "mediate": "causal.paths",
    "neuron_run": "frequencies.neuron_rerun",
    "online_code": "probing.mdl",
    "operand_grid": "frequencies.operand_tuples",
    "overwrite_value": "causal.overwrite",
    "patch_sweep": "causal.patching",
    "pca_trajectories": "motion.pca",
    "probe_transfer": "probing.transfer",
    "record": "interventions",
    "rhs_pattern": "activations.rhs_patterns",
    "run_interventions": "replay",
    "run_looped": "looped",
    "run_plainly": "replay",
    "sample_pairs": "causal.pairs",
    "site_spectrum": "frequencies.spectrum",
    "snap_margins": "codebook.margins",
    "sparse_probe": "probing.sparse",
    "step_lens": "lenses.lens",
    "step_pair": "causal.within_step",
    "story": "stories.circuit_story",
    "violations_of": "motion.violations",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interp' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"interp.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
