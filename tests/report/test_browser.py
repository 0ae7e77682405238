"""The page of `bench report` in a browser: sorting, filtering, the gallery."""

from __future__ import annotations

import re

import pytest
from support.report_pages import SCRIPT


def titles(page, key):
    return page.locator(f"#{key} thead th").all_text_contents()


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
    row = r'(<td class="n">)(?:<\w+>)?\d+\.\d(?: [±–][^<]*)?(?:</(?:strong|u)>)?((?:(?!</tr>).)*</tr>)'
    body = re.sub(row, lambda found: found[1] + next(texts) + found[2], body, flags=re.DOTALL)
    (tmp_path / "page.html").write_text(start + body + end, encoding="utf-8")
    page = visit(file=tmp_path / "page.html")
    first = titles(page, "leaderboard").index("localizer") + 1
    assert column(page, "leaderboard", first) == ["9.5 ±1.0", "–", "10.5 ±9.0", "1,000.0"]
    head = page.locator("#leaderboard thead th").nth(first)
    head.get_by_role("button").click()
    assert column(page, "leaderboard", first) == ["1,000.0", "10.5 ±9.0", "9.5 ±1.0", "–"]
    head.get_by_role("button").click()
    assert column(page, "leaderboard", first) == ["9.5 ±1.0", "10.5 ±9.0", "1,000.0", "–"]


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
    localizer = titles(page, "leaderboard").index("localizer")
    assert set(column(page, "leaderboard", localizer)) == {"bilinear"}
    # Hidden rows stay hidden in another order.
    heading(page, "leaderboard", "method").get_by_role("button").click()
    localizer = titles(page, "leaderboard").index("localizer")
    assert set(column(page, "leaderboard", localizer)) == {"bilinear"}


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
