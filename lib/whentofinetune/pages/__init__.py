"""What a reader sees of the book: figures, words and verdicts of each chapter, live calculators, the site's own parts."""

from whentofinetune.pages.form import ask_it, try_it
from whentofinetune.pages.live import Live
from whentofinetune.pages.questions import check, predict
from whentofinetune.pages.verdict import verdict

__all__ = ["Live", "ask_it", "check", "predict", "try_it", "verdict"]
