"""What an address or a reader typed is shown as text, on every page and in one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboards import messages
from dashboards.address import not_there, spans_of
from tests.pages import checked, shown

HOSTILE = (
    "![x](http://evil.example/x.png)",
    "a*b*c",
    "<img src=http://evil.example/x.png>",
    "$x$ and $$y$$",
    ":red[danger]",
    ":smile: :material/home:",
    "[here](javascript:alert(1))",
    "`code` ~~gone~~ _lean_ | # no heading",
    "https://evil.example www.evil.example me@evil.example",
    "a -> b <- c -- d >= e",
)
SAYING = {"error", "warning", "info", "success", "caption", "markdown", "toast"}
SAYING |= {"spinner", "progress", "expander", "toggle", "button", "subheader", "header", "popover", "tabs"}
SAYING |= {"download_button", "form_submit_button"}
OF_MARKDOWN = re.compile(
    r"(?<!\\)[`*\[\]<>$~#|]|(?<!\\)_(?!\w)|(?<!\\):[A-Za-z]|://|:[\w+/-]+:|(?:^|\s)(?:<-|->|--|>=)\s|@\w|www\."
)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_shown_as_it_is(text):
    escaped = messages.escape_markdown(text)
    assert not OF_MARKDOWN.search(escaped), escaped
    assert shown(escaped) == text


def test_lines_are_paragraphs_and_no_list_heading_or_code():
    escaped = messages.escape_markdown("- one\n\n    two\n1. three\n=== \n+ four")
    assert escaped.split("\n\n") == ["\\- one", "two", "1\\. three", "\\===", "\\+ four"]


def test_names_and_numbers_stay_readable():
    assert (
        messages.escape_markdown("'x_7' is 12:30, recurlens --graph.") == "'x_7' is 12:30, recurlens --graph."
    )


def test_what_cannot_be_seen_is_shown_by_its_number():
    assert shown(messages.escape_markdown("a\u202eb\x07\ud800")) == "a\\u202eb\\x07\\ud800"


@pytest.mark.parametrize(
    ("text", "expected"), [("x_7", "`x_7`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("a\nb", "`a b`")]
)
def test_code_spans_hold_any_text(text, expected):
    assert messages.code(text) == expected


def test_what_a_template_is_filled_with_is_plain():
    def app() -> None:
        from dashboards import messages

        messages.markdown("**{name}** is here", name="a*b*")
        messages.warning("*no*")
        messages.bullets(["*one*", "two"])

    ran = checked(AppTest.from_function(app).run())
    assert [element.value for element in ran.markdown] == ["**a\\*b\\*** is here", "- \\*one\\*\n- two"]
    assert ran.warning[0].value == "\\*no\\*"


def _is_ours(argument: ast.expr) -> bool:
    """A constant, a constant of the module, or escaped: nothing that a reader could bring."""
    escaped = isinstance(argument, ast.Call) and ast.unparse(argument.func) == "messages.escape_markdown"
    constant = isinstance(argument, ast.Name) and argument.id.isupper()
    return escaped or constant or isinstance(argument, ast.Constant)


def test_pages_say_nothing_but_through_messages(root: Path):
    wrong = []
    for path in sorted((root / "dashboards").rglob("*.py")):
        if path.name == "messages.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in SAYING
            ):
                continue
            owner = ast.unparse(node.func.value)
            through = owner in ("messages", "self") or owner.startswith("logging.")
            told = node.args[1:2] if node.func.attr == "progress" else node.args[:1]
            told += [
                keyword.value for keyword in node.keywords if keyword.arg in ("label", "text", "body", "help")
            ]
            if not through and not all(_is_ours(argument) for argument in told):
                wrong.append(f"{path.name}:{node.lineno} {ast.unparse(node)[:60]}")
            if owner == "messages" and node.func.attr == "markdown" and path.name != "generalisation.py":
                # The sentences of that page are numbers of ours alone.
                wrong += [f"{path.name}:{node.lineno}"] if isinstance(node.args[0], ast.JoinedStr) else []
    assert wrong == []


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_address_is_a_message_of_text(text):
    def app() -> None:
        from dashboards.analysis_page import analysis_page
        from dashboards.pages import analysis_pages

        analysis_page(analysis_pages()["lens"])

    page = AppTest.from_function(app, default_timeout=120)
    page.query_params.update({"model": text, "text": text, "factor": text})
    checked(page.run())
    said = [element.value for element in page.error]
    assert len(said) == 3
    assert not [one for one in said if OF_MARKDOWN.search(one)], said
    assert f"factor={text} in the address was ignored" in shown(said[0])


def test_a_notice_says_what_was_asked_for_and_what_is_shown():
    assert not_there("step", 99, "this run has steps 0 to 7", 7) == (
        "step 99 was asked for; this run has steps 0 to 7, showing 7."
    )
    assert spans_of(["1", "0", "2", "all", "5"]) == "all, 0 to 2, 5"


GRAPH = "20 = a; 2 = b; a + b = c"


@pytest.mark.parametrize(
    ("page", "asked", "notices"),
    [
        ("attention", {"step": "99", "layer": "9", "head": "60"},
         ["step 99 was asked for; this run has 0 to 2, showing 2.",
          "layer 9 was asked for; this model has 0 to 2, showing 2.",
          "head 60 was asked for; this model has all, 0 to 5, showing all."]),
        ("attention", {}, []),
        ("story", {"node": "77", "step": "50"},
         ["node 77 was asked for; this graph has last, 0 to 1, showing the last.",
          "step 50 was asked for; this story has computing, 0 to 2, showing that computes it."]),
        ("story", {"node": "2"}, []),
        ("trajectory.page", {"step": "99", "at": "999"},
         ["step 99 was asked for; this run has steps start, 0 to 2, showing 2.",
          "position 999 was asked for; this graph has positions 0 to 12, showing 12."]),
    ],
)  # fmt: skip
def test_what_an_address_asks_for_in_vain_is_said(page, asked, notices, tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLENS_CACHE", str(tmp_path))

    def app(page: str) -> None:
        import importlib

        from dashboards.analysis_page import analysis_page
        from dashboards.pages import analysis_pages

        if page in analysis_pages():
            analysis_page(analysis_pages()[page])
            return
        module = importlib.import_module(f"dashboards.{page}")
        getattr(module, f"{page.split('.')[0]}_page")()

    ran = AppTest.from_function(app, default_timeout=120, args=(page,))
    ran.query_params.update({"model": "compiled", "text": GRAPH, **asked})
    checked(ran.run())
    assert [shown(element.value) for element in ran.warning] == notices
    checked(ran.run())
    assert not ran.warning
