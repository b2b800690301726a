"""docs/reproductions.md: what was published beside what came out here, made from files alone. No jax."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.reproductions import REPRODUCTIONS, forms
from experiments.reproductions.base import Finding, Reproduction, verdict

_HEAD = """\
# Published results, run again

<!-- made by the command below: change experiments/reproductions, not this page -->

    python -m experiments.reproduce --list
    python -m experiments.reproduce --page docs/reproductions.md --out docs/results/reproductions

Each comparison is one file in [experiments/reproductions](../experiments/reproductions): settings as published, what
was published with its source, and the bounds in which the median of our seeds must lie for a claim to hold. All claims
hold: *reproduced*. One does not: *not reproduced*. What is smaller or otherwise unlike the published form is *not
comparable*, and its claims are those that such a form can bear out or not. No setting was tuned to a published number.
Intervals are 95% t intervals of the mean over seeds, of the geometric mean for updates, ratios and errors; they are
wide, as there are few seeds, and there is none where a run never solved its task.
"""


def page(out: Path) -> str:
    """The page, of what `out` has results of; each comparison without results says so."""
    found = [(each, _findings(out, each)) for name in REPRODUCTIONS for each in forms(name)]
    lines = [_HEAD, "| comparison | form | verdict | claims that hold |", "|---|---|---|---|"]
    for reproduction, findings in found:
        holding = sum(bool(each.holds) for each in findings)
        share = f"{holding} of {len(findings)}" if findings else ""
        word = verdict(reproduction, findings) if findings else "not run"
        lines.append(f"| {_link(reproduction)} | {_form(reproduction)} | {word} | {share} |")
    for reproduction, findings in found:
        if findings:
            lines += ["", *_section(reproduction, findings)]
    return "\n".join(lines) + "\n"


def _findings(out: Path, reproduction: Reproduction) -> list[Finding]:
    from experiments.reproduce import CLAIMS, folder, read_claims

    path = folder(out, reproduction) / CLAIMS
    return read_claims(path) if path.is_file() else []


def _form(reproduction: Reproduction) -> str:
    if reproduction.not_comparable:
        return "reduced" if reproduction.reduced else "in another form"
    return "as published"


def _link(reproduction: Reproduction) -> str:
    module = REPRODUCTIONS[reproduction.name].rpartition(".")[2]
    return f"[{reproduction.name}](../experiments/reproductions/{module}.py)"


def _section(reproduction: Reproduction, findings: Sequence[Finding]) -> Iterator[str]:
    option = " --reduced" if reproduction.reduced else ""
    yield f"## {reproduction.name}, {_form(reproduction)}: {verdict(reproduction, findings)}"
    end = "" if reproduction.paper.endswith("?") else "."
    yield f"\n{reproduction.paper}{end}\n\n    python -m experiments.reproduce {reproduction.name}{option}\n"
    yield "| claim | published | ours, median | 95% interval | each seed | bounds | holds |"
    yield "|---|---|---|---|---|---|---|"
    for each in findings:
        holds = {True: "yes", False: "no", None: "not known"}[each.holds]
        yield (
            f"| {each.text} | {each.published} | {_number(each.median)} | {_interval(each)} | {each.ours} | "
            f"{_bounds(each)} | {holds} |"
        )
    yield f"\nSources: {'; '.join(dict.fromkeys(each.source for each in findings))}."
    if reproduction.not_comparable:
        yield f"\nWhy no verdict on the numbers: {reproduction.not_comparable}."
    yield f"\nThe paper leaves out: {reproduction.left_out}.\n\nOurs differs: {reproduction.differs}."


def ours(each: Finding) -> str:
    """What came out, in words: median, interval, seeds."""
    if each.median is None:
        return f"fewer than two seeds say anything (seeds {each.seeds}: {each.ours})"
    return f"{_number(each.median)} ({_interval(each)}; seeds {each.seeds}: {each.ours})"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if math.isinf(value):
        return "never"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _interval(each: Finding) -> str:
    if each.low_95 is None or each.high_95 is None:
        return "no interval"
    return f"{_number(each.low_95)} to {_number(each.high_95)}"


def _bounds(each: Finding) -> str:
    low, high = (_number(end) if math.isfinite(end) else "" for end in (each.low, each.high))
    if low in ("", "0"):
        return f"at most {high}"
    return f"{low} to {high}" if high else f"at least {low}"
