"""The page of `bench report` in a browser.

Sorting, filtering, the gallery, keyboard, phone, dark mode, names for everything.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from support.commands import PATIENCE
from support.photos import make_photos, read_list, write_list

from harness.cli import status

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed; it comes with the dev extra"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    """A page with two methods, two localizers, two categories, and a name that would be a script."""
    folder = tmp_path_factory.mktemp("browser")
    photos = make_photos(folder / "photos", images=6)
    content = read_list(photos)
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = ("blob", "blot", SCRIPT)[number % 3]
        pair["keypoint_ids"] = ["eye", "ear", SCRIPT, "paw", "tail"]
        pair["labels"]["truncation"] = number % 4
        # The first points move as far as no method follows.
        for point in range(number % 5):
            pair["target_points"][point][0] += 9 * (-1) ** point
    write_list(photos, content)
    data = f"folder={photos}"
    methods = ["--methods", "position,hog", "--localizers", "argmax,bilinear"]
    assert status(["run", *methods, "--datasets", data, "--out", str(folder / "r")]) == 0
    assert status(["report", str(folder / "r"), "-o", str(folder / "page.html"), "--datasets", data]) == 0
    return folder / "page.html"


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=1000 * PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, page_file):
    """Opens the page; at the end of the test there must have been no message, no error and no request."""
    contexts, messages = [], []

    def open_page(width=1280, height=900, file=page_file, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: messages.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (messages.append("dialog"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                messages.append(request.url[:80]) if not request.url.startswith(("file:", "data:")) else None
            ),
        )
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert messages == []


def column(page, key, number):
    return page.eval_on_selector_all(
        f"#{key} tbody tr:not([hidden])", f"rows => rows.map(row => row.cells[{number}].textContent)"
    )


def heading(page, key, name):
    return page.locator(f"#{key} thead th", has_text=name).first


def test_a_click_on_a_heading_sorts(visit):
    page = visit()
    before = column(page, "leaderboard", 5)
    head = heading(page, "leaderboard", "@0.10")
    number = head.evaluate("cell => cell.cellIndex")
    assert head.get_attribute("aria-sort") == "none"
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    values = [float(text.split()[0]) for text in column(page, "leaderboard", number)]
    assert values == sorted(values, reverse=True)
    assert (
        page.locator("[data-table=leaderboard] .announce").text_content()
        == f"Sorted by {head.text_content().strip()}, descending."
    )
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    values = [float(text.split()[0]) for text in column(page, "leaderboard", number)]
    assert values == sorted(values)
    assert page.locator("#leaderboard thead th:not([aria-sort=none])").count() == 1
    assert sorted(column(page, "leaderboard", 5)) == sorted(before)


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_headings_sort_by_keyboard(visit, key):
    page = visit()
    head = heading(page, "leaderboard", "method")
    head.get_by_role("button").focus()
    page.keyboard.press(key)
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, "leaderboard", 1) == ["hog", "hog", "position", "position"]
    page.keyboard.press(key)
    assert column(page, "leaderboard", 1) == ["position", "position", "hog", "hog"]


def test_numbers_sort_as_numbers_and_dashes_last(visit, page_file, tmp_path):
    start, body, end = re.split(
        r'(?s)(?<=<table id="leaderboard">)(.*?)(?=</table>)',
        page_file.read_text(encoding="utf-8"),
        maxsplit=1,
    )
    texts = iter(["9.5 ±1.0", "–", "10.5 ±9.0", "1,000.0"])
    # The first column of numbers of each row.
    row = r'(<td class="n">)(?:<\w+>)?\d+\.\d ±[^<]*(?:</(?:strong|u)>)?((?:(?!</tr>).)*</tr>)'
    body = re.sub(row, lambda found: found[1] + next(texts) + found[2], body, flags=re.DOTALL)
    (tmp_path / "page.html").write_text(start + body + end, encoding="utf-8")
    page = visit(file=tmp_path / "page.html")
    assert column(page, "leaderboard", 5) == ["9.5 ±1.0", "–", "10.5 ±9.0", "1,000.0"]
    head = page.locator("#leaderboard thead th").nth(5)
    head.get_by_role("button").click()
    assert column(page, "leaderboard", 5) == ["1,000.0", "10.5 ±9.0", "9.5 ±1.0", "–"]
    head.get_by_role("button").click()
    assert column(page, "leaderboard", 5) == ["9.5 ±1.0", "10.5 ±9.0", "1,000.0", "–"]


def test_filtering_counts_what_is_left(visit):
    page = visit()
    box = page.locator("[data-table=leaderboard]")
    count = box.locator("output")
    assert count.text_content() == "4 of 4 rows"
    box.get_by_role("searchbox").fill("ARGMAX hog")
    assert count.text_content() == "1 of 4 rows"
    assert column(page, "leaderboard", 1) == ["hog"]
    box.get_by_role("searchbox").fill("nothing like it")
    assert count.text_content() == "0 of 4 rows"
    box.get_by_role("searchbox").fill("")
    box.get_by_label("localizer").select_option("bilinear")
    assert count.text_content() == "2 of 4 rows"
    assert set(column(page, "leaderboard", 3)) == {"bilinear"}
    # Hidden rows stay hidden in another order.
    heading(page, "leaderboard", "method").get_by_role("button").click()
    assert set(column(page, "leaderboard", 3)) == {"bilinear"}


def cards(page):
    """Id and category of each card, and the number of points that each method has right."""
    return page.eval_on_selector_all(
        ".card",
        """all => all.map(card => [
            card.querySelector("h4").textContent,
            card.querySelector(".quietly").textContent,
            [...card.querySelectorAll(".score")].map(score => parseInt(score.textContent)),
        ])""",
    )


def choose(page, role, label):
    page.locator(f"[data-role={role}]").select_option(label=label)


def names(page, role):
    return page.eval_on_selector_all(
        f"[data-role={role}] option", "all => all.map(option => option.textContent)"
    )


def test_the_gallery_begins_with_what_differs_most(visit):
    page = visit()
    choose(page, "b", "hog (bilinear)")
    differences = [abs(scores[0] - scores[1]) for _, _, scores in cards(page)]
    assert len(differences) == 12
    assert differences == sorted(differences, reverse=True)
    assert differences[0] > 0


def test_the_script_begins_with_the_cards_that_are_there_without_it(visit):
    without = cards(visit(java_script_enabled=False))
    assert len(without) == 6
    assert cards(visit())[:6] == without


def test_orders(visit):
    page = visit()
    choose(page, "b", "none")
    assert page.locator("[data-role=order]").input_value() == "worst"
    worst = [scores[0] for _, _, scores in cards(page)]
    assert worst == sorted(worst)
    choose(page, "order", "best of A first")
    best = [scores[0] for _, _, scores in cards(page)]
    assert best == sorted(best, reverse=True)
    assert best[0] > worst[0]
    assert all(len(scores) == 1 for _, _, scores in cards(page))


def test_another_method_changes_the_cards(visit):
    page = visit()
    choose(page, "b", "none")
    methods = names(page, "a")
    assert len(methods) == 4
    seen = []
    for method in methods:
        choose(page, "a", method)
        assert page.locator(".card .drawn b").first.text_content() == method
        scores = [right for _, _, (right,) in cards(page)]
        assert scores == sorted(scores)
        seen.append(str(cards(page)))
    assert len(set(seen)) > 1


def test_categories(visit):
    page = visit()
    count = page.locator(".gallery output")
    assert count.text_content() == "30 of 30 pairs, 12 shown"
    assert names(page, "category") == ["all", SCRIPT, "blob", "blot"]
    for category in (SCRIPT, "blob", "blot"):
        choose(page, "category", category)
        assert {name for _, name, _ in cards(page)} == {category}
        assert count.text_content() == "10 of 30 pairs, 10 shown"
        assert not page.get_by_role("button", name="Show more").is_visible()


def test_more_cards_and_focus_goes_on(visit):
    page = visit()
    page.get_by_role("button", name="Show more").click()
    assert len(cards(page)) == 24
    assert page.evaluate("document.activeElement === document.querySelectorAll('.card')[12]")
    page.get_by_role("button", name="Show more").click()
    assert len(cards(page)) == len({name for name, _, _ in cards(page)}) == 30


def test_a_card_shows_its_points(visit):
    page = visit()
    for _, _, scores in cards(page):
        assert len(scores) == 2
    first = page.locator(".card").first
    drawing = first.locator("svg").first
    right = int(first.locator(".score").first.text_content().split()[0])
    assert drawing.locator("g.right").count() == right
    assert drawing.locator("g.wrong").count() == 5 - right
    assert drawing.locator("use").count() == 2
    assert f"{right} of 5 points correct" in drawing.get_attribute("aria-label")
    titles = drawing.locator("g title").all_text_contents()
    assert {title.rpartition(": ")[0] for title in titles} == {"eye", "ear", SCRIPT, "paw", "tail"}
    # Right and wrong differ in more than their colour.
    style = "(line) => getComputedStyle(line).strokeDasharray"
    assert page.locator("g.right .line").first.evaluate(style) == "none"
    assert page.locator("g.wrong .line").first.evaluate(style) != "none"
    assert page.locator("g.right .dot").count() > 0
    assert page.locator("g.wrong .cross").count() > 0


def test_pictures_are_drawn(visit):
    """The two halves of a card have the colours of their photos, not the paper's."""
    import io

    import numpy as np
    import PIL.Image

    page = visit()
    page.eval_on_selector_all(".card g", "all => all.forEach(one => one.remove())")
    shot = page.locator(".card svg").first.screenshot()
    pixels = np.asarray(PIL.Image.open(io.BytesIO(shot)).convert("RGB"), dtype=float)
    for half in np.array_split(pixels, 2, axis=1):
        assert half.std(axis=(0, 1)).min() > 10


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_the_page_never_scrolls_sideways(visit, width):
    page = visit(width=width, height=740)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """width => [...document.querySelectorAll("body *")].filter(one => {
            const box = one.getBoundingClientRect();
            return box.right > width + 1 && box.width && !one.closest(".scroll") && !one.closest(".store");
        }).map(one => one.outerHTML.slice(0, 80))""",
        width,
    )
    assert outside == []


def luminance(colour):
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    red, green, blue = map(linear, channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def linear(channel):
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def contrast(ink, paper):
    low, high = sorted((luminance(ink), luminance(paper)))
    return (high + 0.05) / (low + 0.05)


TEXTS = """() => [...document.querySelectorAll("body *")].filter(element => {
    const hasText = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    const skipped = "script, style, noscript, option, g, .store, .announce, .quiet, .skip";
    return hasText && element.getClientRects().length && !element.closest(skipped);
}).map(element => {
    const style = getComputedStyle(element);
    let behind = element, back = "rgba(0, 0, 0, 0)";
    while (behind && back === "rgba(0, 0, 0, 0)") {
        back = getComputedStyle(behind).backgroundColor;
        behind = behind.parentElement;
    }
    return [element.closest("svg") ? style.fill : style.color, back, element.outerHTML.slice(0, 80)];
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_every_text(visit, scheme):
    page = visit(color_scheme=scheme)
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.1) == (scheme == "dark")
    texts = page.evaluate(TEXTS)
    assert len(texts) > 100
    for ink, back, html in texts:
        assert contrast(ink, back) >= 4.5, html


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_follow_the_page_into_dark_mode(visit, scheme):
    page = visit(color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    inks = page.eval_on_selector_all(
        "#alpha-section svg text", "all => all.map(one => getComputedStyle(one).fill)"
    )
    assert len(inks) > 5
    assert min(contrast(ink, paper) for ink in inks) > 7


def test_every_control_can_be_reached_and_shows_its_focus(visit):
    page = visit()
    wanted = page.evaluate(
        """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
            .filter(one => one.checkVisibility() && !one.disabled).length"""
    )
    seen = {}
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        state = page.evaluate(
            """() => {
                const active = document.activeElement, style = getComputedStyle(active);
                if (active === document.body) return null;
                if (!active.dataset.seen) active.dataset.seen = Math.random();
                const width = parseFloat(style.outlineWidth);
                return [active.dataset.seen, style.outlineStyle, width, active.outerHTML.slice(0, 80)];
            }"""
        )
        if state is None:
            break
        seen.setdefault(state[0], state)
    assert len(seen) == wanted
    for _, style, width, html in seen.values():
        assert style != "none", html
        assert width >= 2, html


def test_the_skip_link_leads_to_the_content(visit):
    page = visit()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_everything_has_a_name_and_landmarks_are_there(visit):
    page = visit()
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    session = page.context.new_cdp_session(page)
    tree = session.send("Accessibility.getFullAXTree")["nodes"]
    nodes = [node for node in tree if not node.get("ignored")]
    roles = {}
    for node in nodes:
        roles.setdefault(node.get("role", {}).get("value"), []).append(node.get("name", {}).get("value", ""))
    for role in (
        "button",
        "link",
        "searchbox",
        "combobox",
        "image",
        "figure",
        "region",
        "table",
        "heading",
        "columnheader",
        "rowheader",
    ):
        assert roles.get(role), role
        assert all(name.strip() for name in roles[role]), role
    for role in ("banner", "main", "navigation", "contentinfo", "search"):
        assert roles.get(role), role
    assert len(roles["figure"]) == 4
    assert len(roles["image"]) == 4 + 24
    assert len(set(roles["region"])) == len(roles["region"])
    assert page.evaluate("document.documentElement.lang") == "en"


def test_without_the_script_the_page_still_has_everything_but_controls(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("#leaderboard tbody tr").count() == 4
    assert page.locator("figure svg").count() >= 4
    assert page.locator("form:visible").count() == 0
    assert page.locator(".card svg use").count() == 6 * 2 * 2


def test_hostile_names_are_text(visit):
    page = visit()
    assert page.locator("img").count() == 0
    assert SCRIPT in page.locator("#category-section").text_content()
