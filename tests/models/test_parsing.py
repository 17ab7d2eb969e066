"""What people type: every spelling that is read, every mistake with its own error, and no other exception at all."""

import pickle
import random
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.graph import ComputationGraph
from models.graph_errors import (
    CycleError,
    DuplicateDefinitionError,
    DuplicateOperandError,
    EmptyInputError,
    GraphArgumentError,
    GraphError,
    LiteralOperandError,
    MalformedEquationError,
    ReservedNameError,
    TextTooLongError,
    TooManyOperandsError,
    TooManyVariablesError,
    UndefinedVariableError,
    UnknownOperationError,
    ValueRangeError,
    VariableRangeError,
)

parse = ComputationGraph.parse
LEAVES = "3 = a; 4 = b; 5 = c; "


def last(text: str) -> str:
    """The canonical form of the last of some equations whose operands are a, b, c."""
    return parse(LEAVES + text).equations[-1]


# ---- what is read


@pytest.mark.parametrize("sign", ["ADD", "add", "Add", "+", "plus", "PLUS"])
def test_addition(sign: str) -> None:
    assert last(f"a {sign} b = n") == "a ADD b = n"


@pytest.mark.parametrize("sign", ["SUB", "sub", "-", "minus", "−", "–"])
def test_subtraction(sign: str) -> None:
    assert last(f"a {sign} b = n") == "a SUB b = n"


@pytest.mark.parametrize("sign", ["MUL", "mul", "*", "×", "·", "⋅", "times", "x", "X"])
def test_multiplication(sign: str) -> None:
    assert last(f"a {sign} b = n") == "a MUL b = n"


@pytest.mark.parametrize("arrow", ["=", "->", "→", "=>", "⇒"])
def test_arrows(arrow: str) -> None:
    assert last(f"a + b {arrow} n") == "a ADD b = n"
    assert last(f"a+b{arrow}n") == "a ADD b = n"
    assert parse(f"7 {arrow} n").equations == ["7 = n"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a+b-c=n", "a ADD b SUB c = n"),
        ("a*b×c->n", "a MUL b MUL c = n"),
        ("a-b->n", "a SUB b = n"),
        ("  a\t+ b\u00a0=\u2003n ", "a ADD b = n"),
        ("a = n", "a = n"),
        ("n = a + b", "a ADD b = n"),
        ("n -> a + b", "a ADD b = n"),
        ("n = 7", "7 = n"),
        ("007 = n", "7 = n"),
        ("\ufeffa + b =\u200b n", "a ADD b = n"),
    ],
)
def test_spacing_and_sides(text: str, canonical: str) -> None:
    assert last(text) == canonical


@pytest.mark.parametrize(
    "separator", ["\n", ";", ",", "[sep]", " [SEP] ", "[ Sep ]", "\r\n", ";;\n , [sep]", "\u2028"]
)
def test_separators(separator: str) -> None:
    text = separator.join(["", "20 = x_7", "2 = x_42", "x_7 + x_42 = x_23", ""])
    assert parse(text).equations == ["20 = x_7", "2 = x_42", "x_7 ADD x_42 = x_23"]


def test_separators_mix() -> None:
    assert parse("1 = a\n2 = b; 3 = c, a + b = d [sep] d = e").evaluate() == {
        "a": 1,
        "b": 2,
        "c": 3,
        "d": 3,
        "e": 3,
    }


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a x b = n", "a MUL b = n"),
        ("a x b x c = n", "a MUL b MUL c = n"),
        ("9 = x; a x x = n", "a MUL x = n"),
        ("9 = x; x x a = n", "x MUL a = n"),
        ("9 = x; x + a = n", "x ADD a = n"),
        ("9 = x; x = n", "x = n"),
        ("a + b = x", "a ADD b = x"),
        ("x = 9", "9 = x"),
    ],
)
def test_x_is_a_sign_or_a_name_by_its_place(text: str, canonical: str) -> None:
    assert last(text) == canonical


@pytest.mark.parametrize(
    "name", ["total", "_", "x", "x1", "X_7", "x_7b", "add_2", "été", "数", "Ω", "сумма", "a" * 100]
)
def test_free_names(name: str) -> None:
    graph = parse(f"7 = {name}; {name} = copy_of")
    assert graph.equations == [f"7 = {name}", f"{name} = copy_of"]
    assert graph.evaluate() == {name: 7, "copy_of": 7}
    assert [node.variable for node in graph.nodes] == [0, 1]


def test_names_are_compared_composed() -> None:
    assert parse("7 = e\u0301; \u00e9 = n").equations == ["7 = é", "é = n"]


def test_free_names_take_the_first_variables_not_in_the_text() -> None:
    graph = parse("1 = a; 2 = x_1; 3 = b; x_1 + a = x_3; b = c; x_3 = d")
    assert {node.name: node.variable for node in graph.nodes} == {
        "a": 0,
        "x_1": 1,
        "b": 2,
        "x_3": 3,
        "c": 4,
        "d": 5,
    }


def test_own_names_survive_every_round_trip() -> None:
    graph = parse("b + total = sum; 4 = total; total = b; 9 = x_0")
    assert graph.equations == ["4 = total", "total = b", "b ADD total = sum", "9 = x_0"]
    assert [node.variable for node in graph.nodes] == [1, 2, 3, 0]
    assert parse(graph.to_text("\n")) == graph
    assert ComputationGraph.from_json(graph.to_json()) == graph


def test_leading_zeros_name_the_same_variable() -> None:
    assert parse("3 = x_007; x_7 = n").equations == ["3 = x_7", "x_7 = n"]


def test_128_free_names_fit() -> None:
    graph = parse(";".join(f"{i % 23} = name{i}" for i in range(128)))
    assert [node.variable for node in graph.nodes] == list(range(128))


# ---- order


def test_a_topological_order_is_kept() -> None:
    text = "5 = a; a = b; 6 = c; c + b = d; 7 = e; a = f"
    assert parse(text).to_text() == "5 = a; a = b; 6 = c; c ADD b = d; 7 = e; a = f"


def test_another_order_changes_as_little_as_first_come_first_served() -> None:
    assert parse("c = d; 1 = a; b = c; 2 = z; a = b").equations == [
        "1 = a",
        "2 = z",
        "a = b",
        "b = c",
        "c = d",
    ]


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_shuffled_equations_make_the_same_graph(seed: int, n_nodes: int) -> None:
    graph = ComputationGraph.sample(n_nodes, ("ADD", "SUB", "MUL"), min(4, n_nodes), seed=seed)
    equations = graph.equations
    random.Random(seed).shuffle(equations)
    again = ComputationGraph.from_equations(equations)
    assert again.evaluate() == graph.evaluate()
    assert again.depths() == graph.depths()
    assert sorted(again.equations) == sorted(graph.equations)


# ---- mistakes


class Mistake(NamedTuple):
    """A text, the error it must raise, the equation it must name, and what the message must contain."""

    text: str
    error: type[GraphError]
    equation: str
    says: tuple[str, ...]


MISTAKES = [
    Mistake("", EmptyInputError, "", ("no equation", "20 = x_7")),
    Mistake(" ;,\n[sep] \ufeff", EmptyInputError, "", ("no equation",)),
    Mistake("1 = a; b + c", MalformedEquationError, "b + c", ("no '=', '->' or '→'", "x_7 + x_42 = x_23")),
    Mistake("1 = a = b", MalformedEquationError, "1 = a = b", ("2 of '=', '->', '→'", "new line")),
    Mistake("= a", MalformedEquationError, "= a", ("left side is empty",)),
    Mistake("a =", MalformedEquationError, "a =", ("right side is empty",)),
    Mistake("3 = 4", MalformedEquationError, "3 = 4", ("no side is a single name",)),
    Mistake("a + b = c + d", MalformedEquationError, "a + b = c + d", ("no side is a single name",)),
    Mistake("a + = n", MalformedEquationError, "a + = n", ("operand is missing after '+'",)),
    Mistake("+ a = n", MalformedEquationError, "+ a = n", ("operand is missing before '+'",)),
    Mistake("a * * b = n", MalformedEquationError, "a * * b = n", ("operand is missing before '*'",)),
    Mistake("a x = n", MalformedEquationError, "a x = n", ("operand is missing after 'x'",)),
    Mistake(
        "a b = n", MalformedEquationError, "a b = n", ("operation is missing between 'a' and 'b'", "ADD (+)")
    ),
    Mistake("a 3 = n", MalformedEquationError, "a 3 = n", ("operation is missing between 'a' and '3'",)),
    Mistake(
        "2a = n",
        MalformedEquationError,
        "2a = n",
        ("'2a' is neither a number nor a name", "start with a letter"),
    ),
    Mistake("٣ = n", MalformedEquationError, "٣ = n", ("neither a number nor a name",)),
    Mistake("(a + b) * c = n", MalformedEquationError, "(a + b) * c = n", ("'('", "left to right")),
    Mistake("1 = a.b", MalformedEquationError, "1 = a.b", ("'.'", "letters, digits and '_'")),
    Mistake("1 = a\u0007", MalformedEquationError, "1 = a\u0007", ("'\\x07'",)),
    Mistake(
        "a / b = n", UnknownOperationError, "a / b = n", ("'/'", "ADD (+), SUB (-), MUL (*, ×, ·, x) and MAX")
    ),
    Mistake("a ÷ b = n", UnknownOperationError, "a ÷ b = n", ("'÷'",)),
    Mistake("a ^ b = n", UnknownOperationError, "a ^ b = n", ("'^'",)),
    Mistake("a DIV b = n", UnknownOperationError, "a DIV b = n", ("'DIV'", "ADD (+)")),
    Mistake("1 = plus", ReservedNameError, "1 = plus", ("'plus'", "ADD, PLUS, SUB, MINUS, MUL, TIMES")),
    Mistake("a ADD Mul = n", ReservedNameError, "a ADD Mul = n", ("'Mul'",)),
    Mistake("3 + a = n", LiteralOperandError, "3 + a = n", ("number 3", "'3 = n'")),
    Mistake("a + 99 = n", LiteralOperandError, "a + 99 = n", ("number 99", "'1 = n'")),
    Mistake("a + -3 = n", LiteralOperandError, "a + -3 = n", ("number -3",)),
    Mistake("3 x 4 = n", LiteralOperandError, "3 x 4 = n", ("number 3",)),
    Mistake("a + b + c + d = e", TooManyOperandsError, "a + b + c + d = e", ("4 operands", "1 to 3")),
    Mistake("1 = a; a + a = n", DuplicateOperandError, "a + a = n", ("'a' is an operand twice", "copy")),
    Mistake("x x x = n", DuplicateOperandError, "x x x = n", ("'x' is an operand twice",)),
    Mistake("x_07 + x_7 = n", DuplicateOperandError, "x_07 + x_7 = n", ("'x_7'",)),
    Mistake("23 = a", ValueRangeError, "23 = a", ("23", "0 to 22")),
    Mistake("-1 = a", ValueRangeError, "-1 = a", ("-1", "0 to 22")),
    Mistake("a = −1", ValueRangeError, "a = −1", ("-1",)),
    Mistake("2.5 = a", ValueRangeError, "2.5 = a", ("2.5", "whole numbers")),
    Mistake("9" * 5000 + " = a", ValueRangeError, "9" * 5000 + " = a", ("…", "0 to 22")),
    Mistake("1 = x_128", VariableRangeError, "1 = x_128", ("'x_128'", "x_0 to x_127")),
    Mistake("1 = x_" + "9" * 5000, VariableRangeError, "1 = x_" + "9" * 5000, ("x_0 to x_127",)),
    Mistake("1 = a; 2 = a", DuplicateDefinitionError, "2 = a", ("'a' is defined a second time", "'1 = a'")),
    Mistake("1=a;" * 10_001, TextTooLongError, "", ("10001 equations", "at most 10000")),
    Mistake("1 = " + "a" * 101, TextTooLongError, "1 = " + "a" * 101, ("has 101 characters", "at most 100")),
    Mistake("a" * 90_000 + " = b", TextTooLongError, "a" * 90_000 + " = b", ("has 90000 characters",)),
    Mistake("a" * 1_000_001, TextTooLongError, "", ("1000001 characters", "at most 1000000")),
    Mistake("1 = a; 2 = b; b = a", DuplicateDefinitionError, "b = a", ("this copies 'b'",)),
    Mistake("1 = x_7; 2 = x_07", DuplicateDefinitionError, "2 = x_07", ("'x_7'",)),
    Mistake(
        ";".join(f"0 = n{i}" for i in range(129)),
        TooManyVariablesError,
        "0 = n128",
        ("129 variables", "at most 128"),
    ),
    Mistake(
        "1 = total; totl = n",
        UndefinedVariableError,
        "totl = n",
        ("'totl'", "'1 = totl'", "Did you mean total?"),
    ),
    Mistake("1 = a; qqq + a = n", UndefinedVariableError, "qqq + a = n", ("'qqq' is not defined",)),
    Mistake("1 = c; b + c = a; a = b", CycleError, "b + c = a", ("a -> b -> a", "nodes before it")),
    Mistake("a = a", CycleError, "a = a", ("a -> a",)),
    Mistake("3 = z; z + c = a; a = b; b = c; c = d", CycleError, "z + c = a", ("a -> b -> c -> a",)),
]


@pytest.mark.parametrize(
    "mistake", MISTAKES, ids=lambda mistake: f"{mistake.error.__name__}-{mistake.text[:12]!a}"
)
def test_each_mistake_has_its_error(mistake: Mistake) -> None:
    with pytest.raises(GraphError) as caught:
        parse(mistake.text)
    assert type(caught.value) is mistake.error
    assert caught.value.equation == mistake.equation
    message = str(caught.value)
    assert len(message) < 600
    for part in mistake.says:
        assert part in message
    if 0 < len(mistake.equation) < 100:
        assert message.startswith(f"In '{mistake.equation}': ")


def test_every_error_of_the_parser_has_a_mistake_above() -> None:
    elsewhere = {"GraphArgumentError", "GraphStructureError", "GraphFormatError"}
    assert {mistake.error for mistake in MISTAKES} == {
        error for error in GraphError.__subclasses__() if error.__name__ not in elsewhere
    }


def test_no_suggestion_where_nothing_is_close() -> None:
    with pytest.raises(UndefinedVariableError) as caught:
        parse("1 = a; 2 = b; qqq = n")
    assert "Did you mean" not in str(caught.value)


def test_a_long_cycle_is_shown_by_its_ends() -> None:
    with pytest.raises(CycleError, match=r": n1 -> n2 -> .* -> n7 -> … -> n96 -> .* -> n0 -> n1\."):
        parse("; ".join(f"n{i} = n{(i + 1) % 100}" for i in range(100)))


def test_limits_are_arguments() -> None:
    assert parse("30 = a", modulus=31).evaluate() == {"a": 30}
    assert len(parse("1=a;1=b;1=c;1=d;a+b+c+d=n", max_operands=4)) == 5
    assert parse("1 = x_200", n_variables=201).nodes[0].variable == 200
    with pytest.raises(ValueRangeError, match="0 to 4"):
        parse("5 = a", modulus=5)
    with pytest.raises(VariableRangeError, match="x_0 to x_7"):
        parse("1 = x_8", n_variables=8)
    with pytest.raises(TooManyVariablesError, match="at most 1"):
        parse("1 = a; a = b", n_variables=1)
    with pytest.raises(TooManyOperandsError, match="1 to 1"):
        parse("1 = a; 2 = b; a + b = c", max_operands=1)
    for bad in ({"modulus": 1}, {"n_variables": 0}, {"max_operands": 0}):
        with pytest.raises(GraphArgumentError, match="Allowed: a whole number of at least"):
            parse("0 = a", **bad)


def test_errors_travel_between_processes() -> None:
    with pytest.raises(CycleError) as caught:
        parse("a = a")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.equation) == (CycleError, str(caught.value), "a = a")


# ---- whatever the text

pieces = st.sampled_from(
    [
        *("a", "b", "x", "x_1", "x_999", "7", "22", "-1", "ADD", "minus", "+", "-", "*", "×", "=", "->", "→"),
        *(";", ",", "\n", "[sep]", " "),
        *("(", "[", ".", ">", "é", "\u0301", "²", "/", "DIV", "1.5", "\x00", "\ud800", "9" * 30),
    ]
)


@settings(deadline=None)
@given(st.text() | st.lists(pieces, max_size=40).map("".join) | st.lists(pieces, max_size=40).map(" ".join))
@example("x_" + "0" * 5000 + "1 = 2")
@example("= =")
def test_any_text_is_a_graph_or_a_graph_error(text: str) -> None:
    try:
        graph = parse(text)
    except GraphError as error:
        assert error.equation == "" or str(error).startswith("In '")  # noqa: PT017
        return
    assert parse(graph.to_text()) == graph
    assert ComputationGraph.from_json(graph.to_json()) == graph


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000,
        "+" * 100_000,
        ";" * 100_000,
        "=" * 100_000,
        "[" * 100_000,
        "[sep" * 25_000,
        ("[" + " " * 300) * 330,
        "1" * 100_000 + "=a",
        "1" * 99_990 + "a=b",
        "x_" + "1" * 100_000 + "=3",
        "1=a;" * 25_000,
        "a=b;" * 25_000,
        "a+" * 50_000 + "a=b",
        "+".join(f"a{i}" for i in range(15_000)) + "=b",
        "1.1" * 33_000,
        "a" * 50_000 + "=" + "a" * 49_999 + "b",
        ";".join(f"v{i}=w{i}" for i in range(9_000)),
        ";".join(f"1=v{i}" for i in range(12_000)),
        "e\u0301" * 50_000,
        "a" + "\u0301\u0323" * 50_000 + "=b",
        "1=a\n" * 1_000_000,
        "1=a\n" * 249_999,
        "- " * 499_999,
        "é " * 499_999,
        ";".join(f"n{i}=n{(i + 1) % 9_999}" for i in range(9_999)),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_huge_inputs_answer_at_once(text: str) -> None:
    begin = time.process_time()
    with pytest.raises(GraphError) as caught:
        parse(text)
    assert time.process_time() - begin < 15  # at most 0.3 s on an idle machine; this is against hanging
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("text_of", "message"),
    [
        (lambda n: " + ".join(f"a{i}" for i in [*range(n), n - 1]) + " = b", "is an operand twice"),
        (lambda n: ";".join(f"a{i} = a{(i + 1) % n}" for i in range(n)), "needs its own value"),
    ],
    ids=["an operand twice", "a cycle"],
)
def test_what_grows_with_the_square_is_gone(text_of: Callable[[int], str], message: str) -> None:
    """Sizes that a vocabulary of 128 variables would refuse first. Ten times the length is to take ten times as long;
    it took a hundred times.
    """

    def seconds(n: int) -> float:
        text, found = text_of(n), float("inf")
        for _ in range(3):
            begin = time.process_time()
            with pytest.raises(GraphError, match=message):
                parse(text, n_variables=10**9, max_operands=10**9)
            found = min(found, time.process_time() - begin)
        return found

    assert seconds(10_000) < 40 * seconds(1_000)
