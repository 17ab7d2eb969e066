"""What probes read in graphs they were not fitted to: against scikit-learn used directly, and on the compiled model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import interp
from analyses.inputs import InputError
from analyses.probe_reading import study_reading
from interp.data.collecting import collect
from interp.probing.reading import ProbeReading, read_with_probes
from interp.probing.rows import ProbeError
from models import ComputationGraph
from models.compiled import compile_model

OWN = "1 = x_0; 3 = x_1; x_0 + x_1 = x_2; x_2 + x_1 = x_3"
POST = "blocks.2.hook_resid_post"


@pytest.fixture(scope="module")
def model():
    return compile_model(("ADD",), modulus=5, n_variables=16)


@pytest.fixture(scope="module")
def training() -> list[ComputationGraph]:
    return [ComputationGraph.sample(10, modulus=5, n_variables=16, seed=seed) for seed in range(12)]


@pytest.fixture(scope="module")
def own() -> ComputationGraph:
    return ComputationGraph.parse(OWN, 5, 16)


@pytest.fixture(scope="module")
def reading(model, training, own) -> ProbeReading:
    return read_with_probes(
        model, [own], training=training, sites=["resid_pre", "resid_post"], status="computing"
    )


def test_a_computing_node_is_read_where_its_value_is_planted(reading):
    last = reading.sites.index(POST)
    first = reading.sites.index("blocks.0.hook_resid_pre")
    assert reading.asked[:, last].sum(0).tolist() == [1, 1, 1, 1]
    assert [int(step) for step in reading.asked[:, last].argmax(0)] == [0, 0, 1, 2]
    assert reading.right[:, last].any(0).all()
    assert reading.accuracy()[last] == 1
    assert reading.accuracy()[first] < 1


def test_a_reading_is_that_of_scikit_learn(model, training, own):
    reading = read_with_probes(model, [own], training=training, sites=["resid_post"])
    data = collect(model, training, [POST], "rhs", len(reading.true))
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    step = 1
    features = data.activations[POST][step].astype(np.float64)
    kept = features.std(0) > 1e-6 * features.std(0).max()
    probe.fit(features[:, kept], data.labels["value"])
    mine = collect(model, [own], [POST], "rhs", len(reading.true)).activations[POST][step]
    expected = probe.predict(mine[:, kept].astype(np.float64))
    assert reading.read[step, reading.sites.index(POST)].tolist() == [str(value) for value in expected]
    assert reading.true[step].tolist() == ["1", "3", "4", "2"]
    assert reading.n_training.tolist() == [120] * len(reading.true)


def test_a_line_of_the_table_is_a_reading(reading):
    frame = reading.to_frame()
    assert len(frame) == int(reading.asked.sum())
    assert (frame["right"] == (frame["read"] == frame["true"])).all()
    line = frame[(frame["site"] == POST) & (frame["node"] == 3)].iloc[0]
    assert (line["name"], line["depth"], line["step"], line["true"], line["read"]) == ("x_3", 2, 2, "2", "2")


def test_the_figure_frames_what_is_wrong(reading):
    spec = json.loads(reading.figure().to_json())
    maps = [trace for trace in spec["data"] if trace["type"] == "heatmap"]
    assert len(maps) == len(reading.sites)
    frames = [trace for trace in spec["data"] if trace.get("name") == "wrong"]
    assert sum(trace["x"].count(None) for trace in frames) == int((reading.asked & ~reading.right).sum())
    assert maps[reading.sites.index(POST)]["z"][0] == [1, 1, None, None]
    with pytest.raises(IndexError, match="allowed are 0 to 0"):
        reading.figure(1)


def test_the_two_lists_cannot_change_places(model, training, own):
    assert interp.read_with_probes is read_with_probes
    with pytest.raises(TypeError, match="positional"):
        read_with_probes(model, [own], training)


def test_what_cannot_be_read_is_said(model, training, own):
    with pytest.raises(ProbeError, match="no target 'colour'"):
        read_with_probes(model, [own], training=training, target="colour")
    with pytest.raises(ProbeError, match="0 graphs to read"):
        read_with_probes(model, [], training=training)
    with pytest.raises(InputError, match="1 graphs to read and 0 to fit on"):
        study_reading([own], n_training=0)


def test_the_study_of_two_graphs():
    graphs = [ComputationGraph.parse(text) for text in ("1 = a; 2 = b; a + b = c", "3 = d; d = e")]
    study = study_reading(graphs, sites=["resid_post"], kind="ridge", n_training=8, n_nodes=8)
    assert list(study.figures()) == ["reading", "reading_1"]
    assert len(study.to_dict()["readings"]) == len(study.to_frame())
    assert study.table().row_count == len(study.reading.sites) * len(study.reading.true)
    best = int(np.nanargmax(study.reading.accuracy()))
    right, asked = study.reading.right[:, best].sum(), study.reading.asked[:, best].sum()
    assert (
        f"the target value right in {right} of {asked} readings at {study.reading.sites[best]}"
        in study.verdict()
    )
    waiting = study_reading(
        [ComputationGraph.parse("1 = a")], sites=["resid_post"], status="waiting", n_training=8, n_nodes=8
    )
    assert waiting.verdict().startswith("No node is read")
