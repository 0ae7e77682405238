"""The page of `bench report` in a browser: phone, dark mode, keyboard, names for everything, no script."""

from __future__ import annotations

import re

import pytest
from support.report_pages import SCRIPT


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
