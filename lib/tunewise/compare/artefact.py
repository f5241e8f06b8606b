"""What an arm leaves behind for a caller to use it: a folder with ``arm.json`` and, by what the arm is, weights, a classifier or examples.

:mod:`tunewise.compare.winner` makes of it a folder to take home. An arm writes it with :meth:`Artefact.save`::

    Artefact("score", labels, model="smollm2-135m", prefix=..., before=..., after=..., answers=answers).save(folder)
    Artefact("classifier", labels).save(folder, classifier=pipeline)     # anything of scikit-learn that takes texts
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunewise.step_cache import write_whole

if TYPE_CHECKING:
    from tunewise.finetune import Tuned

# The folder beside arm.json with an encoder that was trained, as sentence-transformers keeps it.
OWN_ENCODER = "encoder"
How = Literal["score", "write", "classifier", "neighbours", "endpoint"]


@dataclass(frozen=True)
class Artefact:
    """How an arm answers.

    Parameters
    ----------
    how
        ``score``: the model scores ``answers`` after the prompt. ``write``: it writes. ``classifier``: scikit-learn, in ``classifier.skops``.
        ``neighbours``: the target of the nearest examples. ``endpoint``: a server is asked with ``system`` and the prompt.
    labels
        In the order of ``answers`` and of the classifier's classes; empty where it writes.
    model
        The name under which the base model was loaded (or the served model's).
    encoder
        The sentence encoder, ``minilm``, where the classifier takes vectors or examples are found by them; :data:`OWN_ENCODER` where it was trained.
    opening, shots, before, after
        A prompt is ``opening``, then the shots one after another, then ``before``, the text after a space, ``after``. A shot is (text, answer): it is
        printed as ``before + " " + text + after + answer + separator``.
    nearest
        How many shots are chosen for each text, the nearest last; 0 where all of ``shots`` are in the prompt. Neighbours: how many vote.
    end
        What is scored after each answer, where one answer begins another.
    bias
        What calibration takes off the log-probability of each answer; empty without calibration.
    adapter
        Whether ``adapter/`` holds a PEFT adapter.
    keep_lines
        Whether line breaks in a text stay; else all white space becomes one space.
    """

    how: How
    labels: Sequence[str] = ()
    model: str = ""
    encoder: str = ""
    opening: str = ""
    shots: Sequence[tuple[str, str]] = ()
    before: str = ""
    after: str = ""
    separator: str = "\n\n"
    answers: Sequence[str] = ()
    end: str = ""
    nearest: int = 0
    bias: Sequence[float] = ()
    system: str = ""
    max_new_tokens: int = 0
    stop: str | None = None
    schema: Mapping[str, Any] | None = None
    adapter: bool = False
    keep_lines: bool = False

    def save(
        self, folder: Path, *, classifier: Any = None, encoder: Any = None, tuned: Tuned | None = None
    ) -> Path:
        """Write ``arm.json``, and ``classifier.skops``, ``encoder/`` or ``adapter/`` where there is one; returns ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        if classifier is not None:
            import skops.io

            skops.io.dump(classifier, folder / "classifier.skops")
        if encoder is not None:
            from tunewise.models.load import quiet

            with quiet():
                encoder.save(str(folder / OWN_ENCODER), create_model_card=False)
        if tuned is not None:
            from tunewise.finetune import save_adapter

            save_adapter(tuned, folder / "adapter")
        told = dataclasses.asdict(dataclasses.replace(self, adapter=tuned is not None))
        write_whole(folder / "arm.json", json.dumps(told, ensure_ascii=False, indent=1))
        return folder

    @classmethod
    def load(cls, folder: Path) -> Artefact:
        """Read what :meth:`save` wrote. Raises ValueError with what is wrong with the folder."""
        try:
            told = json.loads((folder / "arm.json").read_text(encoding="utf-8"))
            told["shots"] = [(text, answer) for text, answer in told["shots"]]
            return cls(**told)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{folder} holds no arm of a comparison: {type(error).__name__} in arm.json"
            ) from error
