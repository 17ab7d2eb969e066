"""The toolkit: how a recurrent model's run is looked at and intervened on, step by step.

Names are imported on first use, so that ``import interp`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.ablation import Ablation as Ablation
    from interp.ablation import Component as Component
    from interp.ablation import ablate as ablate
    from interp.agreement import Agreement as Agreement
    from interp.attention_roles import AttentionTargets as AttentionTargets
    from interp.attention_roles import attention_targets as attention_targets
    from interp.attribution import AttributionSweep as AttributionSweep
    from interp.attribution import attribution_sweep as attribution_sweep
    from interp.block_change import BlockChange as BlockChange
    from interp.block_change import block_changes as block_changes
    from interp.chance import AgainstChance as AgainstChance
    from interp.characters import Characters as Characters
    from interp.characters import characters_of as characters_of
    from interp.circuit_story import Story as Story
    from interp.circuit_story import story as story
    from interp.circular import CircularProbe as CircularProbe
    from interp.circular import circular_probe as circular_probe
    from interp.code_interventions import CodeInterventions as CodeInterventions
    from interp.codes import CodeUsage as CodeUsage
    from interp.codes import code_usage as code_usage
    from interp.codes import code_usage_of as code_usage_of
    from interp.collecting import collect as collect
    from interp.composition import Composition as Composition
    from interp.composition import head_composition as head_composition
    from interp.cone import DamageCone as DamageCone
    from interp.cone import damage_cones as damage_cones
    from interp.cross_step import CrossStep as CrossStep
    from interp.cross_step import cross_step_matrix as cross_step_matrix
    from interp.cycles import Settling as Settling
    from interp.cycles import approximate_cycles as approximate_cycles
    from interp.cycles import exact_cycles as exact_cycles
    from interp.cycles import lasting_cycles as lasting_cycles
    from interp.datasets import ActivationDataset as ActivationDataset
    from interp.datasets import DatasetError as DatasetError
    from interp.direct_attribution import DirectAttribution as DirectAttribution
    from interp.direct_attribution import direct_logit_attribution as direct_logit_attribution
    from interp.drift import Drift as Drift
    from interp.drift import drift_of as drift_of
    from interp.edges import Edge as Edge
    from interp.edges import EdgeScores as EdgeScores
    from interp.edges import edge_attribution as edge_attribution
    from interp.edges import exact_edges as exact_edges
    from interp.fourier import EmbeddingSpectrum as EmbeddingSpectrum
    from interp.fourier import Fourier as Fourier
    from interp.fourier import FourierVerdict as FourierVerdict
    from interp.fourier import idle_contrast as idle_contrast
    from interp.frequency_ablation import FrequencyAblation as FrequencyAblation
    from interp.frequency_ablation import ablate_frequencies as ablate_frequencies
    from interp.frequency_loss import FrequencyLoss as FrequencyLoss
    from interp.frequency_loss import key_frequency_loss as key_frequency_loss
    from interp.frontier import Frontier as Frontier
    from interp.frontier import frontier_of as frontier_of
    from interp.grouping import HeadGroups as HeadGroups
    from interp.grouping import head_groups as head_groups
    from interp.heads import HeadRole as HeadRole
    from interp.heads import HeadRoles as HeadRoles
    from interp.heads import head_roles as head_roles
    from interp.interventions import MeanAblate as MeanAblate
    from interp.interventions import Recording as Recording
    from interp.interventions import ResampleAblate as ResampleAblate
    from interp.interventions import SetCode as SetCode
    from interp.interventions import SetFrom as SetFrom
    from interp.interventions import SetValue as SetValue
    from interp.interventions import ZeroAblate as ZeroAblate
    from interp.interventions import record as record
    from interp.lens import StepLens as StepLens
    from interp.lens import step_lens as step_lens
    from interp.looped import LoopedError as LoopedError
    from interp.looped import LoopedModel as LoopedModel
    from interp.looped import LoopedRun as LoopedRun
    from interp.looped import StepEdit as StepEdit
    from interp.looped import as_looped as as_looped
    from interp.looped import run_looped as run_looped
    from interp.margins import SnapMargins as SnapMargins
    from interp.margins import snap_margins as snap_margins
    from interp.mdl import OnlineCode as OnlineCode
    from interp.mdl import online_code as online_code
    from interp.motion import Dynamics as Dynamics
    from interp.motion import Motion as Motion
    from interp.motion import dynamics as dynamics
    from interp.motion import dynamics_of as dynamics_of
    from interp.neuron_rerun import NeuronRun as NeuronRun
    from interp.neuron_rerun import neuron_run as neuron_run
    from interp.operand_tuples import OperandGrid as OperandGrid
    from interp.operand_tuples import collect_grid as collect_grid
    from interp.operand_tuples import operand_grid as operand_grid
    from interp.overwrite import Overwrite as Overwrite
    from interp.overwrite import OverwrittenRun as OverwrittenRun
    from interp.overwrite import overwrite_value as overwrite_value
    from interp.pairs import Pair as Pair
    from interp.pairs import PairError as PairError
    from interp.pairs import make_pair as make_pair
    from interp.pairs import sample_pairs as sample_pairs
    from interp.patching import PatchingError as PatchingError
    from interp.patching import PatchSweep as PatchSweep
    from interp.patching import patch_sweep as patch_sweep
    from interp.paths import DirectPaths as DirectPaths
    from interp.paths import Mediation as Mediation
    from interp.paths import Mediator as Mediator
    from interp.paths import direct_paths as direct_paths
    from interp.paths import mediate as mediate
    from interp.pca import PCATrajectories as PCATrajectories
    from interp.pca import pca_trajectories as pca_trajectories
    from interp.perturbed import Controlled as Controlled
    from interp.perturbed import ControlledError as ControlledError
    from interp.perturbed import append_equation as append_equation
    from interp.perturbed import controlled as controlled
    from interp.probe_grid import ProbeGrid as ProbeGrid
    from interp.probe_rows import ProbeError as ProbeError
    from interp.probes import fit_probe_grid as fit_probe_grid
    from interp.probes import fit_probes as fit_probes
    from interp.replay import Replay as Replay
    from interp.replay import run_interventions as run_interventions
    from interp.replay import run_plainly as run_plainly
    from interp.rhs_patterns import RhsPattern as RhsPattern
    from interp.rhs_patterns import rhs_pattern as rhs_pattern
    from interp.sites import Site as Site
    from interp.sites import SiteError as SiteError
    from interp.sparse_probes import SparseProbe as SparseProbe
    from interp.sparse_probes import sparse_probe as sparse_probe
    from interp.spectrum import SiteSpectrum as SiteSpectrum
    from interp.spectrum import site_spectrum as site_spectrum
    from interp.subspaces import Amplification as Amplification
    from interp.subspaces import Subspaces as Subspaces
    from interp.subspaces import factor_subspaces as factor_subspaces
    from interp.symmetry import Symmetry as Symmetry
    from interp.symmetry import measure_symmetry as measure_symmetry
    from interp.transfer import ProbeTransfer as ProbeTransfer
    from interp.transfer import probe_transfer as probe_transfer
    from interp.transitions import Transitions as Transitions
    from interp.tuned_lens import TunedLens as TunedLens
    from interp.tuned_lens import fit_tuned_lens as fit_tuned_lens
    from interp.variances import HeadVariance as HeadVariance
    from interp.variances import head_variance as head_variance
    from interp.violations import Violations as Violations
    from interp.violations import violations_of as violations_of
    from interp.within_step import StepPair as StepPair
    from interp.within_step import step_pair as step_pair

_HOMES = {
    "Ablation": "ablation",
    "ActivationDataset": "datasets",
    "AgainstChance": "chance",
    "Agreement": "agreement",
    "Amplification": "subspaces",
    "AttentionTargets": "attention_roles",
    "AttributionSweep": "attribution",
    "BlockChange": "block_change",
    "Characters": "characters",
    "CircularProbe": "circular",
    "CodeInterventions": "code_interventions",
    "CodeUsage": "codes",
    "Component": "ablation",
    "Composition": "composition",
    "Controlled": "perturbed",
    "ControlledError": "perturbed",
    "CrossStep": "cross_step",
    "DamageCone": "cone",
    "DatasetError": "datasets",
    "DirectAttribution": "direct_attribution",
    "DirectPaths": "paths",
    "Drift": "drift",
    "Dynamics": "motion",
    "Edge": "edges",
    "EdgeScores": "edges",
    "EmbeddingSpectrum": "fourier",
    "Fourier": "fourier",
    "FourierVerdict": "fourier",
    "FrequencyAblation": "frequency_ablation",
    "FrequencyLoss": "frequency_loss",
    "Frontier": "frontier",
    "HeadGroups": "grouping",
    "HeadRole": "heads",
    "HeadRoles": "heads",
    "HeadVariance": "variances",
    "LoopedError": "looped",
    "LoopedModel": "looped",
    "LoopedRun": "looped",
    "MeanAblate": "interventions",
    "Mediation": "paths",
    "Mediator": "paths",
    "Motion": "motion",
    "NeuronRun": "neuron_rerun",
    "OnlineCode": "mdl",
    "OperandGrid": "operand_tuples",
    "Overwrite": "overwrite",
    "OverwrittenRun": "overwrite",
    "PCATrajectories": "pca",
    "Pair": "pairs",
    "PairError": "pairs",
    "PatchSweep": "patching",
    "PatchingError": "patching",
    "ProbeError": "probe_rows",
    "ProbeGrid": "probe_grid",
    "ProbeTransfer": "transfer",
    "Recording": "interventions",
    "Replay": "replay",
    "ResampleAblate": "interventions",
    "RhsPattern": "rhs_patterns",
    "SetCode": "interventions",
    "SetFrom": "interventions",
    "SetValue": "interventions",
    "Settling": "cycles",
    "Site": "sites",
    "SiteError": "sites",
    "SiteSpectrum": "spectrum",
    "SnapMargins": "margins",
    "SparseProbe": "sparse_probes",
    "StepEdit": "looped",
    "StepLens": "lens",
    "StepPair": "within_step",
    "Story": "circuit_story",
    "Subspaces": "subspaces",
    "Symmetry": "symmetry",
    "Transitions": "transitions",
    "TunedLens": "tuned_lens",
    "Violations": "violations",
    "ZeroAblate": "interventions",
    "ablate": "ablation",
    "ablate_frequencies": "frequency_ablation",
    "append_equation": "perturbed",
    "approximate_cycles": "cycles",
    "as_looped": "looped",
    "attention_targets": "attention_roles",
    "attribution_sweep": "attribution",
    "block_changes": "block_change",
    "characters_of": "characters",
    "circular_probe": "circular",
    "code_usage": "codes",
    "code_usage_of": "codes",
    "collect": "collecting",
    "collect_grid": "operand_tuples",
    "controlled": "perturbed",
    "cross_step_matrix": "cross_step",
    "damage_cones": "cone",
    "direct_logit_attribution": "direct_attribution",
    "direct_paths": "paths",
    "drift_of": "drift",
    "dynamics": "motion",
    "dynamics_of": "motion",
    "edge_attribution": "edges",
    "exact_cycles": "cycles",
    "exact_edges": "edges",
    "factor_subspaces": "subspaces",
    "fit_probe_grid": "probes",
    "fit_probes": "probes",
    "fit_tuned_lens": "tuned_lens",
    "frontier_of": "frontier",
    "head_composition": "composition",
    "head_groups": "grouping",
    "head_roles": "heads",
    "head_variance": "variances",
    "idle_contrast": "fourier",
    "key_frequency_loss": "frequency_loss",
    "lasting_cycles": "cycles",
    "make_pair": "pairs",
    "measure_symmetry": "symmetry",
    "mediate": "paths",
    "neuron_run": "neuron_rerun",
    "online_code": "mdl",
    "operand_grid": "operand_tuples",
    "overwrite_value": "overwrite",
    "patch_sweep": "patching",
    "pca_trajectories": "pca",
    "probe_transfer": "transfer",
    "record": "interventions",
    "rhs_pattern": "rhs_patterns",
    "run_interventions": "replay",
    "run_looped": "looped",
    "run_plainly": "replay",
    "sample_pairs": "pairs",
    "site_spectrum": "spectrum",
    "snap_margins": "margins",
    "sparse_probe": "sparse_probes",
    "step_lens": "lens",
    "step_pair": "within_step",
    "story": "circuit_story",
    "violations_of": "violations",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interp' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"interp.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
