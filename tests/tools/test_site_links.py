"""Links of a built site that lead nowhere are told."""

from __future__ import annotations

from tools.site_links import site_problems


def test_links_anchors_and_pictures_are_checked(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.png").touch()
    (tmp_path / "index.html").write_text(
        '<p id="here"><a href="sub/page.html#there">x</a> <a href="#here">x</a> <a href="https://host/x">x</a>'
        '<a href="sub/page.html#nowhere">x</a> <a href="gone.html">x</a> <img src="a.png">'
    )
    (tmp_path / "sub" / "page.html").write_text('<h1 id="there">x</h1><img src="../a.png" alt="a square">')
    assert site_problems(tmp_path) == [
        "index.html: picture a.png has no alternative text",
        "index.html: gone.html leads nowhere",
        "index.html: sub/page.html#nowhere leads nowhere",
    ]
