"""The report as one HTML file: plotly.js and all figures are inside, nothing is fetched, nothing is random."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from analyses.claims import STATEMENTS, Claim, count_verdicts
from analyses.reporting.parts import Drawing, Job, Part
from analyses.reporting.sections import SECTIONS

if TYPE_CHECKING:
    from analyses.report import ReportStudy

_STYLE: Final = """
:root { --ink: #1c2030; --soft: #5b6072; --line: #dfe2ea; --mark: #3457d5; }
* { box-sizing: border-box; }
html { scroll-behavior: auto; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.5 "Source Sans Pro", Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 40px 80px; }
h1 { font-size: 28px; line-height: 1.25; margin: 8px 0 4px; }
h2 { font-size: 22px; margin: 56px 0 4px; padding-top: 16px; border-top: 1px solid var(--line); }
h1 a, h2 a, figcaption a { color: inherit; text-decoration: none; }
h2 a:hover::after, figcaption a:hover::after { content: " #"; color: var(--mark); }
p { margin: 8px 0; max-width: 100ch; }
.about, .soft { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 16px 0 8px; }
a { color: var(--mark); }
table { border-collapse: collapse; width: 100%; margin: 16px 0; font-size: 14px; line-height: 1.4; }
th { text-align: left; border-bottom: 2px solid var(--ink); padding: 6px 10px 6px 0; vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); padding: 8px 10px 8px 0; vertical-align: top; }
td small { color: var(--soft); font-size: 12.5px; }
.verdict { display: inline-block; min-width: 64px; padding: 1px 8px; border-radius: 3px; font-weight: 600;
  text-align: center; color: #fff; }
.holds { background: #1e6b45; } .partly { background: #8a5a00; } .not { background: #b3261e; }
.does-not-apply, .not-measured { background: #5b6072; }
figure { margin: 24px 0 32px; }
.plot { overflow-x: auto; }
figcaption { font-size: 13px; color: var(--soft); border-left: 3px solid var(--line); padding-left: 10px; }
figure h3 { font-size: 17px; font-weight: 400; margin: 0 0 2px 10px; }
figure p { font-size: 12.5px; margin: 0 0 6px 10px; max-width: 130ch; }
td::first-letter { text-transform: uppercase; }
pre { background: #f6f7fa; padding: 12px 16px; font-size: 13px; line-height: 1.45; white-space: pre-wrap;
  overflow-wrap: anywhere; }
details { margin: 12px 0; } summary { cursor: pointer; color: var(--mark); }
.error { border: 2px solid #b3261e; padding: 8px 16px; }
@media print { main { max-width: none; padding: 0; } nav { display: none; } figure { break-inside: avoid; } }
"""
_FOLDED: Final = 24
"""Lines from which a text is shown on demand."""
_SCRIPT: Final = """
(function () {
  var config = { displaylogo: false, responsive: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  function draw(box) {
    if (box.dataset.drawn) { return; }
    box.dataset.drawn = "1";
    var plot = JSON.parse(document.getElementById(box.id + "-data").textContent);
    Plotly.newPlot(box, plot.data, plot.layout, config);
  }
  var boxes = Array.from(document.querySelectorAll(".plot"));
  var near = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) { if (entry.isIntersecting) { draw(entry.target); } });
  }, { rootMargin: "1200px" });
  boxes.forEach(function (box) { near.observe(box); });
  window.addEventListener("beforeprint", function () { boxes.forEach(draw); });
})();
"""


def page(study: ReportStudy) -> str:
    """The whole file."""
    from plotly.offline import get_plotlyjs

    job, title = study.job, f"Report on {study.job.model}"
    body = [
        f'<h1 id="top"><a href="#top">{escape(title)}</a></h1>',
        f"<p>{escape(study.description)}</p>",
        f'<p class="soft">{escape(_settings(job))}</p>',
        _navigation(study.parts),
        _claims_table(study.claims),
        *(_part(part) for part in study.parts),
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f"<script>{get_plotlyjs()}</script>",
            "</head>",
            "<body><main>",
            *body,
            "</main>",
            f"<script>{_SCRIPT}</script>",
            "</body></html>",
            "",
        ]
    )


def _settings(job: Job) -> str:
    amounts = job.amounts
    return (
        f"Made by recurlens report; seed {job.seed}, operations {', '.join(job.ops)}; sampled graphs: "
        f"{amounts.per_size} of each size for accuracy, {amounts.graphs} of at most {amounts.nodes} nodes elsewhere. "
        "The same settings give the same file on the same kind of processor. Figures are drawn from numbers in this "
        "file; hover for the values."
    )


def _navigation(parts: Sequence[Part]) -> str:
    links = [f'<a href="#{part.key}">{escape(part.title)}</a>' for part in parts]
    return f'<nav aria-label="Sections"><a href="#claims">Claims</a>{"".join(links)}</nav>'


def _claims_table(claims: Sequence[Claim]) -> str:
    rows = "\n".join(
        f'<tr id="claim-{claim.key}"><td>{escape(claim.statement.paper)}<br><small>{escape(claim.statement.where)}'
        f'</small></td><td><span class="verdict {claim.verdict.replace(" ", "-")}">{claim.verdict}</span></td>'
        f"<td>{escape(claim.measured)}</td><td>{escape(claim.control)}</td></tr>"
        for claim in claims
    )
    rules = "\n".join(
        f"<tr><td>{escape(STATEMENTS[claim.key].paper)}</td><td>{escape(STATEMENTS[claim.key].rule)}</td></tr>"
        for claim in claims
    )
    return f"""<h2 id="claims"><a href="#claims">Claims of the paper</a></h2>
<p class="about">What the paper says of its models (Altabaa et al. 2025, arXiv 2510.14095, in our words), what is
measured on this one, a verdict by a fixed rule, and the control that stands beside it:
{escape(count_verdicts(claims))}.</p>
<table><thead><tr><th style="width:31%">The paper</th><th>Verdict</th><th style="width:33%">Measured here</th>
<th>Control</th></tr></thead>
<tbody>{rows}</tbody></table>
<details><summary>The rules of the verdicts</summary>
<p>The same for every model. Unless a rule says otherwise a verdict is at most "partly" where the control does half as
well.</p>
<table><thead><tr><th style="width:40%">The paper</th><th>Rule</th></tr></thead><tbody>{rules}</tbody></table>
</details>"""


def _part(part: Part) -> str:
    about = next(section.about for section in SECTIONS if section.key == part.key)
    lines = [
        f'<h2 id="{part.key}"><a href="#{part.key}">{escape(part.title)}</a></h2>',
        f'<p class="about">{escape(about)}</p>',
    ]
    if part.reason:
        return "\n".join([*lines, f"<p>Does not apply. {escape(part.reason)}</p>"])
    if part.error:
        return "\n".join([*lines, f'<p class="error">This section failed. {escape(part.error)}</p>'])
    contents = part.contents
    lines += [f"<p>{escape(sentence)}</p>" for sentence in contents.sentences]
    if contents.text:
        lines.append(_text(contents.text))
    return "\n".join([*lines, *(_figure(drawing) for drawing in contents.drawings)])


def _text(text: str) -> str:
    """As it is; folded where it is long."""
    shown = f"<pre>{escape(text)}</pre>"
    folded = text.count("\n") > _FOLDED
    return f"<details><summary>The text in full</summary>{shown}</details>" if folded else shown


def _figure(drawing: Drawing) -> str:
    name = f"figure-{drawing.name.replace('_', '-')}"
    said = ""
    if not drawing.captioned:
        said = f"<h3>{escape(drawing.title)}</h3><p>{escape(drawing.reading)}</p>"
    return f"""<figure id="{name}">{said}
<div class="plot" id="{name}-plot" style="height:{drawing.height}px" role="img"
  aria-label="{escape(drawing.title)}"></div>
<figcaption><a href="#{name}">{escape(drawing.title)}</a>, drawn by {escape(drawing.source)}</figcaption>
<script type="application/json" id="{name}-plot-data">{_inert(drawing.plot)}</script></figure>"""


def _inert(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("</", "<\\/").replace("<!--", "<\\!--")
