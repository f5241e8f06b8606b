"""tunewise: measure whether to fine-tune a language model, or to do something else.

The rooms, from the ground up (each imports only rooms above it in this list):

- ``calculators``: memory, cost, decision; pure standard library, so it also runs in the reader's browser
- ``runs``: run records, the result cache, resume
- ``models``: load, quantise, generate, score labels
- ``tasks``: data, prompt, metric
- ``methods``: prompting, retrieval, fine-tuning, simple baselines
- ``measure``: metrics with confidence intervals, paired tests
- ``experiments``: one module a question
- ``pages``: figures, tables, widgets, live-page parts
- ``cli``: the command ``tunewise``

``places`` (folders and the data that ships) stands under all of them.
"""

__version__ = "0.1.0"
