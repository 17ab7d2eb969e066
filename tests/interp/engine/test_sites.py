"""Sites: names, positions, grids, errors."""

import json

import pytest

from interp.engine.sites import Site, SiteError, operand, position_of, resolve, rhs
from models import ComputationGraph
from models.compiled import compile_model

GRAPH = ComputationGraph.parse("2 = a; 3 = b; a + b = c; c = d", modulus=5, n_variables=16)
MODEL = compile_model(("ADD",), modulus=5, n_variables=16)
ENCODED = MODEL.to_encoded(GRAPH)


def test_full_hook_names_are_taken_apart() -> None:
    site = Site("steps.3.blocks.1.attn.hook_z", pos=4, head=2)
    assert site == Site("z", step=3, layer=1, pos=4, head=2)
    assert Site("hook_resid_pre", layer=0) == Site("resid_pre", layer=0)
    assert Site("hook_logits").hook_name == "hook_logits"
    assert site.hook_name == "blocks.1.attn.hook_z"


def test_printing_hashing_and_json() -> None:
    site = Site("z", step=3, layer=1, pos=rhs("c"), head=2)
    assert str(site) == "step 3 · blocks.1.attn.hook_z · pos rhs:c · head 2"
    assert str(Site("state", factor="value")) == "step all · hook_state · pos all · value"
    assert Site.from_dict(json.loads(json.dumps(site.to_dict()))) == site
    assert len({site, Site.from_dict(site.to_dict())}) == 1


def test_positions_by_what_stands_there() -> None:
    # 2 = a [sep] 3 = b [sep] a + b = c [sep] c = d
    # 0 1 2   3   4 5 6   7   8 9 10 11 12 13  14 15 16
    assert position_of(rhs("c"), ENCODED) == position_of(rhs(2), ENCODED) == 12
    assert position_of(operand("c", 1), ENCODED) == 10
    assert position_of("all", ENCODED) is None
    assert position_of(16, ENCODED) == 16


def test_grid_has_every_combination_in_order() -> None:
    sites = Site.grid(MODEL, GRAPH, "z", step=[1, 2], layer=[0], pos="rhs", head=[0, 5])
    assert sites[:3] == [Site("z", 1, 0, rhs(0), 0), Site("z", 1, 0, rhs(0), 5), Site("z", 1, 0, rhs(1), 0)]
    assert len(sites) == 2 * 4 * 2
    assert len(Site.grid(MODEL, ENCODED, "resid_pre", n_steps=3)) == 3 * 3 * 17
    assert len(Site.grid(MODEL, GRAPH, "z", n_steps=1, pos="operands", head=None)) == 3 * 3
    assert Site.grid(MODEL, GRAPH, "state", step=[0], pos=[4]) == [Site("state", 0, None, 4)]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Site("nonsense"), "no site 'nonsense'; there are state, embed"),
        (lambda: Site("z"), "'z' has a layer, got layer=None"),
        (lambda: Site("state", layer=1), "'state' has no layer"),
        (lambda: Site("resid_pre", layer=0, head=1), "has no heads; those that have are q, k, v"),
        (lambda: Site("z", layer=0, factor="value"), "only 'state' and 'logits' have factors"),
        (lambda: Site("state", factor="colour"), "syntax, variable, operation, value"),
        (lambda: Site("state", pos="lhs:3"), "allowed are an index, 'all'"),
        (lambda: Site("state", pos=-1), "allowed are an index, 'all'"),
        (lambda: Site("state", step=-1), "step must be 0 or more"),
        (lambda: Site("blocks.1.attn.hook_z", layer=0), "the name says layer 1"),
        (lambda: Site.from_dict({"nam": "z"}), "is no site"),
        (lambda: Site.grid(MODEL, GRAPH, "z"), "needs n_steps"),
        (lambda: Site.grid(MODEL, GRAPH, "z", step=[0], head=[9]), r"no head 9; the model has heads 0\.\.5"),
        (lambda: resolve(Site("z", layer=3), MODEL, ENCODED), r"no layer 3; the model has layers 0\.\.2"),
        (lambda: position_of(17, ENCODED), r"no position 17; the text has positions 0\.\.16"),
        (lambda: position_of(rhs("x"), ENCODED), r"no node 'x'; there are 0\.\.3, named a, b, c, d"),
        (lambda: position_of(operand("d", 1), ENCODED), "node d has 1 operands"),
    ],
)
def test_what_does_not_exist_says_what_does(build, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SiteError, match=message):
        build()


def test_a_grid_is_checked_axis_by_axis_before_it_is_built() -> None:
    """10,000,000,000 sites were built before the first was found not to exist."""
    for axes, message in (
        ({"step": range(100_000), "pos": range(100_000)}, "there is no step 3; the run has steps 0..2"),
        ({"step": [0], "pos": range(100_000), "layer": range(100_000)}, "there is no position 17"),
        ({"step": [0], "pos": [0], "layer": range(100_000), "head": [99]}, "there is no"),
    ):
        with pytest.raises(SiteError, match=message):
            Site.grid(MODEL, ENCODED, "z", n_steps=3, **axes)
    named = Site.grid(
        MODEL, ENCODED, "steps.2.blocks.1.hook_resid_pre", step=[2], layer=[1], pos=[0], n_steps=3
    )
    assert named == [Site("resid_pre", 2, 1, 0)]


@pytest.mark.parametrize("digits", ["²", "٣", "9" * 5000, "1e3", "-1"])
def test_digits_that_are_no_index_are_site_errors(digits: str) -> None:
    for pos in (rhs(digits), f"operand:c:{digits}"):
        with pytest.raises(SiteError):
            resolve(Site("state", 0, pos=pos), MODEL, ENCODED)
    for name in (f"steps.{digits}.blocks.0.attn.hook_z", f"blocks.{digits}.attn.hook_z"):
        with pytest.raises(SiteError):
            Site(name)
