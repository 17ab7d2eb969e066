"""All analyses with a record. One file each; a new one is imported here, and has a command, a page and a section.

A record names its function by a text, so that nothing heavy is imported for `--help`.
"""

from analyses.catalogue.ablation import ABLATION
from analyses.catalogue.atlas import ATLAS
from analyses.catalogue.attention import ATTENTION
from analyses.catalogue.attribution import ATTRIBUTION
from analyses.catalogue.attribution_graph import ATTRIBUTION_GRAPH
from analyses.catalogue.benchmark_circuits import BENCHMARK_CIRCUITS
from analyses.catalogue.certificate import CERTIFICATE
from analyses.catalogue.circuit import CIRCUIT
from analyses.catalogue.codes import CODES
from analyses.catalogue.cross_step import CROSS_STEP
from analyses.catalogue.dynamics import DYNAMICS
from analyses.catalogue.evaluate import EVALUATE
from analyses.catalogue.failures import FAILURES
from analyses.catalogue.interchange import INTERCHANGE
from analyses.catalogue.lens import LENS
from analyses.catalogue.mechanism import MECHANISM
from analyses.catalogue.patching import PATCHING
from analyses.catalogue.probe_reading import PROBE_READING
from analyses.catalogue.probing import PROBING
from analyses.catalogue.solve import SOLVE
from analyses.catalogue.story import STORY
from analyses.catalogue.training_dynamics import TRAINING_DYNAMICS
from analyses.framework.record import Analysis

CATALOGUE: tuple[Analysis, ...] = (
    SOLVE,
    EVALUATE,
    PATCHING,
    CROSS_STEP,
    ATTRIBUTION,
    ABLATION,
    CIRCUIT,
    ATTRIBUTION_GRAPH,
    PROBING,
    PROBE_READING,
    CODES,
    LENS,
    DYNAMICS,
    ATTENTION,
    FAILURES,
    ATLAS,
    CERTIFICATE,
    INTERCHANGE,
    MECHANISM,
    STORY,
    TRAINING_DYNAMICS,
    BENCHMARK_CIRCUITS,
)
"""In the order of `recurlens --help` and, where they have a page, of the navigation."""
