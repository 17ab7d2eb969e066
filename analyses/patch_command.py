"""The options of `recurlens patch`, and what they are made into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from analyses.inputs import GraphSource, InputError, Outputs, load_model
from analyses.options import (
    MOST_GRAPHS,
    AddressOption,
    BackendOption,
    ConfigOption,
    GraphArgument,
    GraphOption,
    GraphsFileOption,
    JobsOption,
    JsonOption,
    ModelOption,
    NNodesOption,
    OpsOption,
    OutOption,
    QuietOption,
    ResumeOption,
    SeedOption,
    StepsOption,
    at_least,
    check_resume,
    fitting_model,
    graph_source,
    only_one,
    repeated_graphs,
    reports_bad_input,
    run_alone,
)
from analyses.own_metric import OWN, metric_name
from analyses.patching import DIRECTIONS, TOGETHER, TextPair, Where, patch
from analyses.studies import tell
from interp.causal.metric_records import METRICS
from interp.engine.sparse.tally import Exactness
from models.bounds import index_of
from models.graph_errors import clip
from models.printable import printable

if TYPE_CHECKING:
    from models.recurrent import RecurrentTransformer

_SOURCES = {
    "text": "GRAPH",
    "graph": "--graph",
    "graphs_file": "--graphs-file",
    "n_nodes": "--n-nodes",
    "clean": "--clean with --corrupt",
}
MOST_INDICES = 100_000
"""Steps, layers, heads or positions in one option; there are never so many."""
_KINDS = "leaf-value, operand, operation, leaf-swap"


@reports_bad_input
def patch_command(
    context: typer.Context,
    text: GraphArgument = None,
    graph: GraphOption = None,
    graphs_file: GraphsFileOption = None,
    n_nodes: NNodesOption = None,
    clean: Annotated[
        str | None, typer.Option("--clean", metavar="TEXT", help="The clean text; needs --corrupt.")
    ] = None,
    corrupt: Annotated[
        str | None, typer.Option("--corrupt", metavar="TEXT", help="The corrupt text, of the same length.")
    ] = None,
    pair_kind: Annotated[
        str, typer.Option("--pair-kind", help=f"How the corrupt graph is made: {_KINDS}.")
    ] = "leaf-value",
    node: Annotated[
        str | None, typer.Option("--node", help="The node that is edited.  [default: drawn]")
    ] = None,
    n_pairs: Annotated[
        int,
        typer.Option(
            "--n-pairs", callback=at_least(1, MOST_GRAPHS), help="Sampled pairs, of seed, seed + 1, ..."
        ),
    ] = 1,
    seed: SeedOption = 0,
    ops: OpsOption = "ADD",
    model: ModelOption = "compiled",
    sites: Annotated[
        str, typer.Option("--sites", help="Hook points, such as resid_pre,z,mlp_out.")
    ] = "resid_pre",
    step: Annotated[
        str, typer.Option("--step", help="Steps to patch: all, together (in one patch), 0,2 or 0:4.")
    ] = "all",
    layer: Annotated[str, typer.Option("--layer", help="Layers: all, 0,1 or 0:2.")] = "all",
    head: Annotated[str, typer.Option("--head", help="Heads: all, together, 0,2 or 0:4.")] = "all",
    pos: Annotated[
        str, typer.Option("--pos", help="Positions: rhs, operands, all, together, 0,2 or 0:4.")
    ] = "all",
    metric: Annotated[
        str, typer.Option("--metric", help=f"One of {', '.join(METRICS)}, or {OWN}.")
    ] = "logit_diff",
    read: Annotated[
        str | None,
        typer.Option("--read", metavar="NODES", help="Nodes the metric reads.  [default: those that differ]"),
    ] = None,
    direction: Annotated[
        str, typer.Option("--direction", help="denoise (clean into corrupt) or noise (corrupt into clean).")
    ] = "denoise",
    steps: StepsOption = None,
    exact: Annotated[
        str,
        typer.Option(
            "--exact",
            help=f"Which positions are computed: one of {', '.join(get_args(Exactness))} (docs, Speed).",
        ),
    ] = "states",
    jobs: JobsOption = 1,
    backend: BackendOption = "loky",
    address: AddressOption = None,
    resume: ResumeOption = False,
    json_file: JsonOption = None,
    out: OutOption = None,
    quiet: QuietOption = False,
    config: ConfigOption = None,
) -> None:
    """Patch one run's activations into another, step by step, and measure what comes back."""
    from analyses.kept import forget
    from analyses.sweeps import check_backend

    chosen = only_one(context, _SOURCES)
    metric_name(metric)
    _check_choice("--direction", direction, DIRECTIONS)
    _check_choice("--exact", exact, get_args(Exactness))
    check_backend(backend, address)
    check_resume(resume, out)
    where = Where(
        names=tuple(name.strip() for name in sites.split(",")),
        steps=_parse_numbers("--step", step, ("all", TOGETHER)),
        layers=_parse_numbers("--layer", layer, ("all",)),
        heads=_parse_numbers("--head", head, ("all", TOGETHER)),
        positions=_parse_numbers("--pos", pos, ("rhs", "operands", "all", TOGETHER)),
    )
    outputs = Outputs("patching", json_file, out)
    outputs.check()
    if chosen == "clean":
        for text in (clean, corrupt):
            model = GraphSource(text=text).fitting(model)
        pairs = [_given_pair(load_model(model), clean, corrupt)]
    else:
        model = fitting_model(context)
        pairs = read_pairs(load_model(model), graph_source(context), pair_kind, node, n_pairs)
    if read is not None and len(pairs) > 1:
        raise InputError(f"--read names nodes of one graph, and there are {len(pairs)} pairs: leave it out.")
    nodes = None if read is None else [name.strip() for name in read.split(",")]

    result = patch(
        pairs,
        where,
        metric,
        direction,
        model,
        nodes,
        steps,
        jobs,
        backend,
        quiet,
        address,
        out,
        resume,
        exact,
    )
    written = outputs.write(result.to_dict(), result.rows())
    if out is not None:
        from analyses.export import write_study

        used = _repeatable(context, chosen)
        more, problem = write_study(out, "patching", result.frame, result.figure(), "patch", used)
        written += more
        if problem is not None:
            typer.echo(printable(f"No {out / 'patching.png'} was written: {problem}"), err=True)
        forget(out)
    tell(result, written, quiet)


def main() -> None:
    """Entry point of `python -m analyses.patching`."""
    run_alone(patch_command)


def read_pairs(
    model: RecurrentTransformer, source: GraphSource, kind: str, node: str | None, n_pairs: int
) -> list[TextPair]:
    """Pairs made of the graphs of `source`; of sampled ones pair i has the graph and the edit of seed + i.

    Raises InputError where a graph admits no edit of the kind.
    """
    from interp.causal.pairs import PairError, make_pair

    if n_pairs > 1 and source.n_nodes is None:
        raise InputError(f"--n-pairs {n_pairs} draws graphs, so it needs --n-nodes.")
    if source.n_nodes is None:
        graphs = source.graphs(model)
    else:
        graphs = [
            graph for i in range(n_pairs) for graph in replace(source, seed=source.seed + i).graphs(model)
        ]
    ops = source.ops if kind == "operation" and source.n_nodes is not None else None
    pairs: list[TextPair] = []
    for index, graph in enumerate(graphs):
        try:
            pair = make_pair(graph, kind, source.seed + index, node=node, ops=ops)
        except PairError as error:
            raise InputError(f"Graph {index}: {error}" if len(graphs) > 1 else str(error)) from error
        pairs.append((pair.clean, pair.corrupt))
    return pairs


def _parse_numbers(flag: str, text: str, words: Sequence[str]) -> Any:
    """One of `words`, or "0,2" and "0:4" (the stop left out) as indices."""
    if text in words:
        return text
    found: list[int] = []
    for part in text.split(","):
        start, colon, stop = part.strip().partition(":")
        first, last = index_of(start), index_of(stop if colon else start)
        if first is None or last is None:
            found = []
            break
        indices = range(first, last if colon else last + 1)
        if len(found) + len(indices) > MOST_INDICES:
            raise InputError(f"{flag} is {clip(text)!r}: it has more than {MOST_INDICES} indices.")
        found += indices
    if not found:
        listed = "".join(f"{word}, " for word in words)
        raise InputError(f"{flag} is {clip(text)!r}: give {listed}indices (0,2) or a range (0:4).")
    return tuple(found)


def _given_pair(model: RecurrentTransformer, clean: str | None, corrupt: str | None) -> TextPair:
    if clean is None or corrupt is None:
        raise InputError("--clean and --corrupt are the two texts of a pair: give both.")
    one, other = (GraphSource(text=text).graphs(model)[0] for text in (clean, corrupt))
    if len(one) != len(other):
        raise InputError(
            f"The clean text has {len(one)} nodes and the corrupt one {len(other)}: they are compared node by node."
        )
    return one, other


def _check_choice(flag: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InputError(f"{flag} is {value!r}: it must be one of {', '.join(allowed)}.")


def _repeatable(context: typer.Context, source: str) -> dict[str, Any]:
    """The options that say what was run (not where it was written), under the names that --config takes.

    source: the parameter that the graphs came from; the others, and what is only for them, are left out.
    """
    left_out = {"out", "json_file", "quiet", "config", "resume", *_SOURCES, "corrupt"}
    if source == "clean":
        left_out |= {"pair_kind", "node", "n_pairs", "seed", "ops"}
    params = context.params
    names = [param.name for param in context.command.params if param.name is not None]
    used = {name: params[name] for name in names if name in params and name not in left_out}
    if source == "clean":
        pair = {"clean": params["clean"], "corrupt": params["corrupt"]}
    elif source in ("text", "graph"):
        pair = {"graph": repeated_graphs(params["text"], params["graph"])}
    elif source == "graphs_file":
        pair = {"graphs_file": str(Path(params["graphs_file"]).resolve())}
    else:
        pair = {source: params[source]}
    return pair | used
