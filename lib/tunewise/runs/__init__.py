"""Run records, the cache of results, resume."""

from tunewise.runs.record import SCALES, NotMeasured, RunRecord, committed, digest, find, load, versions
from tunewise.runs.work import Work

__all__ = ["SCALES", "NotMeasured", "RunRecord", "Work", "committed", "digest", "find", "load", "versions"]
