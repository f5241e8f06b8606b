"""What notebooks of the book display that only its site can show: myst-nb asks here, the Sphinx extension in ``book/`` has put in how."""

import json
from collections.abc import Callable, Mapping

from tunewise.report.figures import PLOTLY
from whentofinetune.pages.browser_model import BROWSER_MODEL
from whentofinetune.pages.live import LIVE

SHOWN: dict[str, Callable[[Mapping], str]] = {}  # MIME type -> the HTML of such an output


class Renderer:
    """myst-nb asks it for each output (entry point in pyproject.toml); None means: not mine."""

    # A widget without its kernel is an empty space: what it saved beside itself is shown instead.
    mime_priority_overrides = [
        ("*", PLOTLY, 5),
        ("*", LIVE, 1),
        ("*", BROWSER_MODEL, 1),
        ("*", "application/vnd.jupyter.widget-view+json", None),
    ]

    @staticmethod
    def handle_mime(renderer, data, inline_render: bool):
        """The docutils nodes of an output that :data:`SHOWN` knows; None for others, and inside a line."""
        if inline_render or data.mime_type not in SHOWN:
            return None
        from docutils import nodes

        content = json.loads(data.content) if isinstance(data.content, str) else data.content
        return [nodes.raw("", SHOWN[data.mime_type](content), format="html")]
