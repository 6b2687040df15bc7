"""A Sphinx directive for generated text: `{generated} kinds stages` puts in what `reference.kinds` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from reference import GENERATED
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Generated(SphinxDirective):
    """Parse the Markdown that a function of `reference` returns, headings included."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        name, *rest = self.arguments
        return self.parse_text_to_nodes(GENERATED[name](*rest), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directive known."""
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True}
