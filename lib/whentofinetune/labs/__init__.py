"""Lab notebooks in nbgrader's format: student versions, repair of what comes back, marks.

Students import :func:`variant` from here and nothing else; the rest needs nbgrader (the extra ``labs``).
"""

from whentofinetune.labs.variant import Variant, variant

__all__ = ["Variant", "variant"]
