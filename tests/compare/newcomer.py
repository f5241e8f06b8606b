"""Documents and readers for tests: a newcomer's folder, PDF files, a reader that says what it was given, and the command without a model."""

import argparse
import io

import pytest
from test_retrieval import embed

from tunewise.compare import ask_command
from tunewise.compare import documents_reader as readers

BOILER = """---
title: not a passage
---
# The boiler

It is serviced every October by Frau Lindner.

```
# this is code, not a heading
```

## Pressure

The gauge should stand between 1.2 and 1.8 bar
when the system is cold.

Noises
------

Knocking in the morning is air in the pipes.
"""
NEIGHBOURS = "Notes for the neighbours\n\nThe cat gets half a tin of food in the morning\nand half in the evening. He must have no milk.\n"
GARDEN = [
    "Tomatoes want water every evening unless it has rained.",
    "The key of the shed lies under the third flower pot.",
]


def pdf(*pages: str, password: str | None = None) -> bytes:
    """A PDF with a line of text on each page; an empty one stays blank."""
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject(k): NameObject(v)
            for k, v in (("/Type", "/Font"), ("/Subtype", "/Type1"), ("/BaseFont", "/Helvetica"))
        }
    )
    for text in pages:
        page = writer.add_blank_page(width=595, height=842)
        if text:
            content = DecodedStreamObject()
            content.set_data(
                b"BT /F 12 Tf 50 700 Td 14 TL "
                + b"".join(b"(%s) Tj T* " % line.encode("cp1252") for line in text.split("\n"))
                + b"ET"
            )
            page[NameObject("/Contents")] = writer._add_object(content)
            page[NameObject("/Resources")] = DictionaryObject(
                {NameObject("/Font"): DictionaryObject({NameObject("/F"): font})}
            )
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def newcomers_folder(tmp_path):
    """A folder with a Markdown file, a text file, and a PDF in a folder."""
    docs = tmp_path / "docs"
    (docs / "garden").mkdir(parents=True)
    (docs / "boiler.md").write_text(BOILER, encoding="utf-8")
    (docs / "neighbours.txt").write_text(NEIGHBOURS, encoding="utf-8")
    (docs / "garden" / "plan.pdf").write_bytes(pdf(*GARDEN))
    return docs


class Echo:
    """A reader that says which passages it was given."""

    name, key, weak = "echo", "echo", False

    def __init__(self, said=None, weak=False):
        self.said, self.weak = said, weak

    def answers(self, questions, passages):
        texts = passages[0]
        said = (
            f"{len(texts)} passages, the first ends so: {texts[0][-12:]}" if self.said is None else self.said
        )
        return [readers.judged(said, questions[0], texts)]


class Deaf(Echo):
    def answers(self, questions, passages):
        pytest.fail("the model was asked")


def run(capsys, *words: str, who=None, seen=None) -> tuple[int, str, str]:
    """The command with vectors of words instead of MiniLM's and a made-up reader: status, stdout, stderr."""
    parser = argparse.ArgumentParser()
    ask_command.add_arguments(parser)

    def embedded(texts):
        if seen is not None:
            seen.extend(texts)
        return embed(texts)

    args = parser.parse_args(["--threshold", "0.25", *words])
    status = ask_command.answer(args, lambda: who or Echo(), embedded)
    said = capsys.readouterr()
    return status, said.out, said.err
