"""Markdown has tasks and footnotes."""

from __future__ import annotations

from chatlab.render.markdown import render


def test_items_of_a_list_are_tasks() -> None:
    made = render("- [ ] *one*\n- [x] two\n- [link](https://a.example)\n\n[ ] none")
    assert '<li class="task">☐ <em>one</em></li>' in made and '<li class="task">☑ two</li>' in made
    assert made.count("task") == 2


def test_footnotes_are_numbered_by_where_they_are_named_and_said_at_the_end() -> None:
    made = render("[^a]: The *first*\n  and more\n\nOne[^b] two[^a] one[^b] none[^c]\n\n[^b]: The second[^a]")
    assert made == (
        '<p dir="auto">One<sup>1</sup> two<sup>2</sup> one<sup>1</sup> none[^c]</p>\n'
        '<ol class="footnotes" dir="auto">\n<li>The second<sup>2</sup></li>\n'
        "<li>The <em>first</em><br>\nand more</li>\n</ol>\n"
    )
