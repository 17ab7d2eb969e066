"""Names of nodes and steps at a heatmap of a run."""

from interp.figures.run_axes import node_axis, room_below, row_height, state_axis


def test_every_node_is_named_and_every_name_has_room():
    axis = node_axis(["x_7", "x_12"])
    assert axis["ticktext"] == ["x_7", "x_12"]
    assert axis["range"] == [-0.5, 1.5]
    assert room_below(["x_7", "x_12"]) > room_below(["x_7"]) > room_below([])


def test_few_rows_have_a_label_each_and_many_have_as_many_as_fit():
    assert state_axis(4, first=3)["ticktext"] == ["2", "3", "4", "5"]
    assert state_axis(3)["ticktext"] == ["start", "0", "1"]
    many = state_axis(101)
    assert row_height(101) < row_height(24) == row_height(4)
    assert [row * row_height(101) for row in many["tickvals"][:2]] == [0, 26]  # a label needs 16 pixels
    assert state_axis(101, height=24)["ticktext"][1] == "0"
