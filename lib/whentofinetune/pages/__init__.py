"""What a reader sees of the book: figures, words and verdicts of each chapter, live calculators, the site's own parts."""

from whentofinetune.pages.live import Live
from whentofinetune.pages.try_it import TryIt
from whentofinetune.pages.verdict import verdict

__all__ = ["Live", "TryIt", "verdict"]
