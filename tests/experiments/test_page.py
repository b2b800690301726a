"""report.html: one file that needs nothing else, and what a person can do with it in a real browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import time
from pathlib import Path

import pytest

from experiments import report, rescues, why
from experiments.page.findings import PagedSweep
from experiments.page.gaps import of_gaps
from experiments.page.read import read_findings, read_sweeps
from experiments.page.why import of_cell
from lstm_jax.analysis.causes import AtDistance, Moment, Verdict
from lstm_jax.figures.page.content import Page, Section, Table
from lstm_jax.figures.page.render import render, write_page
from lstm_jax.sweeps.views.tables import read_rows

RESULTS = Path(__file__).parents[2] / "docs" / "results"
NASTY = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
POINT = ".mark-symbol path"
FIGURES = 5
"""Solve rate, horizons, budget, learning rates, steps to solve: the committed tables have no learning curves."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of the quick result with its verdicts."""
    sweeps, verdicts = read_sweeps([RESULTS / "quick", RESULTS / "why"])
    file = tmp_path_factory.mktemp("page") / "report.html"
    write_page(of_gaps(sweeps, verdicts), file)
    return file


def test_it_is_one_small_file_that_may_ask_for_nothing(page):
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 3_000_000
    assert "default-src 'none'" in text
    own = text[: text.index("<!-- Vega")]
    assert not re.search(r"""(src|href)=["'](?!#)""", own)
    assert re.findall(r"<h2>(.*?)</h2>", own) == [
        "Solve rate against gap", "Horizons and their ratios", "Horizon against budget", "Learning rates",
        "Steps to solve", "Why it stops", "Flags", "All runs", "How it was made",
    ]  # fmt: skip


def test_the_answer_has_every_cell_and_its_interval(page):
    head = html.unescape(page.read_text(encoding="utf-8").partition("</header>")[0])
    assert "gru and lstm@forget_bias=3 learn to look back more than 80 time steps" in head
    assert "lstm learns to look 20.1 time steps back (95% interval 12.3 to 32.3)" in head
    assert "rnn: 13.4 (up to 46.2)" in head
    assert "Not told apart" in head


def test_the_same_numbers_give_the_same_file(page):
    sweeps, verdicts = read_sweeps([RESULTS / "why", RESULTS / "quick"])
    assert render(of_gaps(sweeps, verdicts)) == page.read_text(encoding="utf-8")


def test_several_sweeps_stand_side_by_side_with_what_differs(tmp_path, capsys):
    assert report.main([str(RESULTS / "quick"), str(RESULTS / "reference"), "--out", str(tmp_path / "both.html")]) == 0
    text = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 3_000_000
    assert '<td class="text">max_steps</td><td class="text">2000</td><td class="text">5000</td>' in text
    assert "rnn (quick)" in text
    assert "rnn (reference)" in text


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["quick", "reference"], "out, directories: got None, 2 directories"),
        (["quick", "nowhere", "--out", "page.html"], "expected the directory of a sweep, with sweep.yaml and its runs"),
        (["why", "--out", "page.html"], "expected one of a sweep, with a sweep.yaml in it"),
        (["translation", "--out", "page.html"], "expected sweeps over gaps"),
    ],
)
def test_what_can_not_be_shown_is_one_line(given, error, capsys, monkeypatch):
    monkeypatch.chdir(RESULTS)
    assert report.main(given) == 2
    captured = capsys.readouterr().err
    assert error in captured
    assert captured.count("\n") == 1


def test_a_page_without_figures_or_runs_is_written():
    text = render(Page("Q?", ["None yet."], [], [], [Section("Runs", tables=[Table("runs", [], [])])], 10))
    assert '<meta http-equiv="refresh" content="10">' in text


# In a browser


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", "disable-quic", "disable-dev-shm-usage"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


@pytest.fixture
def opened(browser, page):
    return show(browser, page)


def show(browser, file, width=1200, height=900, scheme="light", figures=FIGURES):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get_log("performance")
    browser.get(file.as_uri())
    wait(lambda: browser.execute_script("return document.documentElement.dataset.drawn") == str(figures))
    return browser


def wait(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def points(browser):
    """How many points the first figure has."""
    return browser.execute_script(
        "return document.querySelectorAll('.chart')[0].querySelectorAll('.mark-symbol path').length"
    )


def test_nothing_is_asked_of_another_place_and_nothing_complained_of(opened):
    assert opened.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = {each["params"]["request"]["url"] for each in sent if each["method"] == "Network.requestWillBeSent"}
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}


def test_the_legend_hides_a_cell_in_all_figures_by_mouse_and_keyboard(opened):
    before = points(opened)
    button = opened.find_element("css selector", "#legend button[data-label=rnn]")
    button.click()
    wait(lambda: points(opened) == before - 4)  # its gaps
    assert button.get_attribute("aria-pressed") == "false"
    button.send_keys("\n")
    wait(lambda: points(opened) == before)


def test_a_point_says_its_numbers(opened):
    from selenium.webdriver import ActionChains

    point = opened.find_elements("css selector", f".chart {POINT}")[0]
    ActionChains(opened).move_to_element(point).perform()
    wait(
        lambda: (
            "visible" in opened.execute_script("return document.querySelector('#vg-tooltip-element')?.className ?? ''")
        )
    )
    said = opened.find_element("css selector", "#vg-tooltip-element").text
    assert "rnn" in said
    assert "solve_rate" in said


def test_a_table_is_sorted_filtered_and_downloaded(opened):
    def column(place):
        cells = "[...document.querySelectorAll('[data-name=runs] tbody tr')].filter((row) => !row.hidden)"
        return opened.execute_script(f"return {cells}.map((row) => row.cells[{place}].textContent)")

    heads = opened.find_elements("css selector", "[data-name=runs] th")
    assert [head.text for head in heads[:2]] == ["cell", "gap"]
    for _ in range(2):
        opened.execute_script("arguments[0].querySelector('button').click()", heads[1])
    gaps = [int(gap) for gap in column(1)]
    assert gaps == sorted(gaps, reverse=True)
    assert heads[1].get_attribute("aria-sort") == "descending"
    opened.find_element("css selector", "[data-name=runs] input").send_keys("gru unsolved")
    assert set(column(0)) == {"gru"}
    assert set(column(4)) == {"unsolved"}
    opened.execute_script(
        "URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return 'blob:x'; }"
    )
    opened.execute_script("HTMLAnchorElement.prototype.click = () => {}")
    opened.execute_script("document.querySelector('[data-name=runs] .tools button').click()")
    wait(lambda: opened.execute_script("return window.saved") is not None)
    lines = opened.execute_script("return window.saved").splitlines()
    assert lines[0].startswith("cell,gap,seed,learning_rate,status")
    assert len(lines) == 1 + len(column(0))


def test_light_and_dark(browser, page):
    def colours():
        script = "const style = getComputedStyle(arguments[0]); return [style.color, style.fill, style.backgroundColor]"
        text = browser.find_element("css selector", ".chart .role-axis-title text")
        root = browser.find_element("css selector", "html")
        return browser.execute_script(script, text)[1], browser.execute_script(script, root)[2]

    show(browser, page)
    light = colours()
    show(browser, page, scheme="dark")
    dark = colours()
    assert light != dark
    assert all(a != b for a, b in zip(light, dark, strict=True))
    browser.find_element("css selector", "#theme").click()
    assert colours() == light


def test_a_phone_shows_question_answer_and_the_begin_of_the_figure(browser, page):
    show(browser, page, width=360, height=740)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    top = browser.execute_script("return document.querySelector('.chart').getBoundingClientRect().top")
    assert top < 740 / 2 + 130
    widest = browser.execute_script(
        "return Math.max(...[...document.querySelectorAll('svg')].map((each) => each.getBoundingClientRect().right))"
    )
    assert widest <= 360 + 1


def test_what_a_user_has_named_stays_text(browser, tmp_path):
    file = tmp_path / "nasty.html"
    write_page(of_gaps([PagedSweep(read_findings(RESULTS / "quick"), NASTY)]), file)
    show(browser, file)
    assert browser.title == "How far back can a recurrent network learn to look, and why does it stop?"
    assert NASTY in browser.find_element("css selector", "#legend button").text
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    from selenium.webdriver import ActionChains

    ActionChains(browser).move_to_element(
        browser.find_elements("css selector", ".chart .mark-symbol path")[0]
    ).perform()
    wait(lambda: NASTY in browser.find_element("css selector", "#vg-tooltip-element").text)
    assert browser.title != "broken"


def test_the_page_of_a_cell_shows_what_was_measured_its_budgets_and_its_rescues(browser, tmp_path):
    verdicts = read_rows(RESULTS / "why" / "verdicts.csv", Verdict)
    moments = [row for row in read_rows(RESULTS / "why" / "diagnostics.csv", Moment) if row.cell == "lstm"]
    far = [row for row in read_rows(RESULTS / "why" / "by_distance.csv", AtDistance) if row.cell == "lstm"]
    rescued = [row for row in rescues.read(RESULTS / "rescues" / "rescues.csv") if row.cell == "lstm"]
    said = [why.sentence(row) for row in verdicts if row.cell == "lstm"]
    levels = {"signal": 1 / 128, "sharpness": 38.0}
    page = of_cell(
        "lstm", moments, far, rescued, read_findings(RESULTS / "quick"), said=said, protocol="", levels=levels
    )
    titles = [section.title for section in page.sections if section.chart is not None]
    gaps = sorted({row.gap for row in rescued})
    assert len(gaps) >= 2
    assert titles[-1 - len(gaps) :] == ["Budgets", *(f"Rescues at gap {gap}" for gap in gaps)]
    assert "lstm at 20: needs more updates" in page.answer[1]
    write_page(page, tmp_path / "why.html")
    show(browser, tmp_path / "why.html", figures=len(titles))
    assert browser.get_log("browser") == []
