"""``tunewise ask`` on a newcomer's folder: what is read and what is said about the rest, what is kept, and when it does not answer."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from test_retrieval import asked, embed, minilm

from tunewise import cli, documents, rag
from whentofinetune.commands import ask_documents
from whentofinetune.datasets import company

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


@pytest.fixture
def folder(tmp_path) -> Path:
    docs = tmp_path / "docs"
    (docs / "garden").mkdir(parents=True)
    (docs / "boiler.md").write_text(BOILER, encoding="utf-8")
    (docs / "neighbours.txt").write_text(NEIGHBOURS, encoding="utf-8")
    (docs / "garden" / "plan.pdf").write_bytes(pdf(*GARDEN))
    return docs


@pytest.fixture
def light(monkeypatch, tmp_path):
    """A cache of its own, vectors of words instead of MiniLM's, and a model that says which passages it was given. Returns what was embedded."""
    seen: list[str] = []

    def embedded(texts):
        seen.extend(texts)
        return embed(texts)

    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ask_documents, "_embed", embedded)
    monkeypatch.setattr(ask_documents, "RELEVANT", 0.25)
    monkeypatch.setattr(
        ask_documents,
        "answered",
        lambda model, question, texts, tuned: rag.read(
            f"{len(texts)} passages, the first ends so: {texts[0][-12:]} [1]", len(texts)
        ),
    )
    return seen


# -- reading ---------------------------------------------------------------------------------------------------------


def test_each_passage_knows_where_it_is_from(folder):
    found = documents.read_folder(folder)
    assert found.files == 3 and not found.left_out and not found.notes
    assert [(p.where, p.text.split("\n")[0]) for p in found.passages] == [
        ("boiler.md, The boiler, line 6", "It is serviced every October by Frau Lindner."),
        ("boiler.md, The boiler > Pressure, line 14", "The gauge should stand between 1.2 and 1.8 bar"),
        ("boiler.md, The boiler > Noises, line 20", "Knocking in the morning is air in the pipes."),
        ("garden/plan.pdf, page 1", GARDEN[0]),
        ("garden/plan.pdf, page 2", GARDEN[1]),
        ("neighbours.txt, line 1", "Notes for the neighbours"),
    ]
    assert "# this is code" in found.passages[0].text and "not a passage" not in "".join(
        p.text for p in found.passages
    )
    assert found.passages[1].full.startswith("The boiler > Pressure\n\n")


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_passages_have_at_most_so_many_words_and_together_all_of_them(name, tmp_path):
    sentences = [f"Sentence number {i} tells of {'very ' * (i % 9)}many things." for i in range(200)]
    text = "\n\n".join("\n".join(sentences[i : i + 7]) for i in range(0, 200, 7))
    (tmp_path / name).write_text(text, encoding="utf-8")
    passages = documents.read_folder(tmp_path).passages
    assert all(len(p.text.split()) <= documents.WORDS for p in passages) and len(passages) >= 10
    assert " ".join(p.text for p in passages).split() == text.split()
    assert all(p.text.endswith(".") for p in passages)  # no sentence is cut
    for p in passages:
        assert text.split("\n")[p.line - 1].startswith(p.text.split(".")[0][:20])


def test_one_file_that_cannot_be_read_is_named_and_the_rest_goes_on(folder):
    (folder / "letter.docx").write_bytes(b"PK")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    (folder / "cut.pdf").write_bytes(pdf("Whole once.")[:200])
    (folder / "locked.pdf").write_bytes(pdf("Secret.", password="x"))
    (folder / "scan.pdf").write_bytes(pdf("", ""))
    (folder / "half-scan.pdf").write_bytes(pdf("Something on wasps.", ""))
    (folder / "nothing.txt").write_text(" \n", encoding="utf-8")
    (folder / "program.txt").write_bytes(bytes(range(256)) * 4)
    (folder / "gone.txt").symlink_to(folder / "never-there.txt")
    (folder / ".hidden.txt").write_text("not read", encoding="utf-8")
    found = documents.read_folder(folder)
    assert found.files == 4 and "not read" not in str(found)
    why = dict(line.split(": ", 1) for line in found.left_out)
    assert why.pop("letter.docx") == "not one of .txt, .md, .markdown, .pdf"
    assert "no PDF, or a damaged one" in why.pop("broken.pdf") and "no PDF, or a damaged one" in why.pop(
        "cut.pdf"
    )
    assert why.pop("locked.pdf") == "needs a password: save a copy without one"
    assert "made of pictures" in why.pop("scan.pdf")
    assert why.pop("nothing.txt") == "is empty"
    assert "is not text" in why.pop("program.txt")
    assert why.pop("gone.txt").startswith("can't be opened")
    assert not why
    assert found.notes == ["half-scan.pdf: no text on page 2 (pictures?)"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_in_another_encoding_is_read(encoding, tmp_path):
    text = "The café’s naïve résumé costs 5 € at Müller’s, every day of the week."
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    found = documents.read_folder(tmp_path)
    assert found.passages[0].text == text
    assert bool(found.notes) == (encoding == "cp1252")  # where it was guessed, that is said


def test_a_word_that_a_pdf_cuts_at_a_lines_end_is_whole_again(tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf("The ther-\nmostat is in the\nhall. Zone-\nB stays."))
    (passage,) = documents.read_folder(tmp_path).passages
    assert "The thermostat is in the hall." in passage.text and "Zone-" in passage.text


def test_running_headers_and_page_numbers_are_no_part_of_the_text(tmp_path):
    (tmp_path / "a.pdf").write_bytes(
        pdf(
            *(
                f"The House Book\n{text}\n- {i} -"
                for i, text in enumerate((*GARDEN, "Wasps sleep in May."), 8)
            )
        )
    )
    assert [p.text for p in documents.read_folder(tmp_path).passages] == [*GARDEN, "Wasps sleep in May."]
    (tmp_path / "a.pdf").write_bytes(pdf("Two pages may\nbegin alike.", "Two pages may\nbegin alike."))
    assert documents.read_folder(tmp_path).passages[0].text == "Two pages may begin alike."


def test_many_files_of_other_kinds_take_one_line(folder):
    for i in range(40):
        (folder / f"{i}.jpg").write_bytes(b"\xff\xd8")
    assert documents.read_folder(folder).left_out == [
        "40 files of other kinds (.jpg): not .txt, .md, .markdown, .pdf"
    ]


def test_a_file_in_place_of_a_folder_is_read(folder):
    assert {p.file for p in documents.read_folder(folder / "neighbours.txt").passages} == {"neighbours.txt"}


# -- asking ----------------------------------------------------------------------------------------------------------


def run(capsys, *words: str) -> tuple[int, str, str]:
    status = cli.main(["ask", *words])
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.parametrize("how", ["bm25", "dense", "hybrid"])
def test_an_answer_comes_with_the_passages_that_it_is_from(folder, light, capsys, how):
    status, out, _ = run(
        capsys, "--docs", str(folder), "--how", how, "--k", "2", "What is the pressure of the gauge in bar?"
    )
    assert status == 0
    assert "so: tem is cold." in out and "it names passage 1" in out
    assert (
        "[1] boiler.md, The boiler > Pressure, line 14" in out
        and "between 1.2 and 1.8 bar when the system" in out
    )
    assert (
        out
        == run(
            capsys,
            "--docs",
            str(folder),
            "--how",
            how,
            "--k",
            "2",
            "What is the pressure of the gauge in bar?",
        )[1]
    )


def test_a_model_that_reads_no_answer_is_not_given_one(folder, light, capsys, monkeypatch):
    monkeypatch.setattr(ask_documents, "answered", lambda *_: rag.read(" ", 4))
    status, out, _ = run(capsys, "--docs", str(folder), "Where is the key of the shed?")
    assert (
        status == 0
        and "read no answer in them (--tuned lets it learn to read first). The nearest passages:" in out
        and GARDEN[1] in out
    )


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        ("43.7 kg", "43.7 kg"),
        ("In May. Or in June.", "In May. Or in June."),
        ("It is in the hall. It is in the hall. It is in", "It is in the hall."),
        ("Yes. It rains. Yes. No.", "Yes. It rains."),
    ],
)
def test_an_answer_says_nothing_twice(said, kept):
    assert ask_documents.once(said) == kept


def test_json_holds_what_was_printed(folder, light, capsys):
    (folder / "letter.docx").write_bytes(b"PK")
    status, out, err = run(capsys, "--docs", str(folder), "--json", "Where is the key of the shed?")
    found = json.loads(out)
    assert status == 0 and found["model"] == "smollm2-135m" and found["similarity"] >= 0.25
    first = found["passages"][0]
    assert (first["file"], first["page"], first["text"], first["cited"]) == (
        "garden/plan.pdf",
        2,
        GARDEN[1],
        True,
    )
    assert len(found["passages"]) == 4 and not found["passages"][1]["cited"]
    assert (
        found["left_out"] == ["letter.docx: not one of .txt, .md, .markdown, .pdf"]
        and "left out: letter.docx" in err
    )


def test_the_second_question_embeds_nothing_but_itself_and_a_changed_file_is_read_again(
    folder, light, capsys
):
    first = "Where is the key of the shed?"
    run(capsys, "--docs", str(folder), first)
    assert len(light) > 6
    light.clear()
    run(capsys, "--docs", str(folder), "Who gets no milk?")
    assert set(light) == {"Who gets no milk?"}
    light.clear()
    (folder / "garden" / "plan.pdf").write_bytes(pdf(GARDEN[0], "The key of the shed hangs in the hall."))
    (folder / "neighbours.txt").unlink()
    _, out, _ = run(capsys, "--docs", str(folder), first)
    assert set(light) == {first, "The key of the shed hangs in the hall."}
    assert "hangs in the hall" in out and "flower pot" not in out and "neighbours.txt" not in out


def test_what_was_kept_of_a_file_may_be_damaged(folder, light, capsys):
    run(capsys, "--docs", str(folder), "Must the cat have no milk?")
    kept = list((ask_documents.paths.cache_dir("ask", "files")).glob("*.json"))
    assert len(kept) == 3
    for path in kept:
        path.write_text('{"passages": [{"wor', encoding="utf-8")
    assert run(capsys, "--docs", str(folder), "Must the cat have no milk?")[0] == 0
    files = [
        p
        for p in ask_documents.paths.cache_dir("ask").rglob("*")
        if p.is_file() and p.name in ("meta.json", "storage.sqlite")
    ]
    assert len(files) == 2
    for path in files:
        path.write_bytes(b"no such thing")
        status, _, err = run(capsys, "--docs", str(folder), "Must the cat have no milk?")
        assert status == 0 and "damaged: making it again" in err


def test_files_of_the_same_content_are_told_apart(folder, light, capsys):
    (folder / "copy.txt").write_text(NEIGHBOURS, encoding="utf-8")
    found = json.loads(
        run(capsys, "--docs", str(folder), "--json", "--k", "2", "Who must have no milk? The cat?")[1]
    )
    assert [p["file"] for p in found["passages"]] == ["copy.txt", "neighbours.txt"]


@pytest.mark.parametrize("how", ["bm25", "dense", "hybrid"])
def test_nothing_relevant_is_said_and_not_answered(folder, light, capsys, monkeypatch, how):
    monkeypatch.setattr(ask_documents, "answered", lambda *_: pytest.fail("the model was asked"))
    status, out, _ = run(capsys, "--docs", str(folder), "--how", how, "Quantum chromodynamics?")
    assert status == 1 and "Nothing relevant was found, so there is no answer." in out
    assert ("No passage shares a word" in out) == (how == "bm25") and (
        "The nearest passage (similarity" in out
    ) == (how != "bm25")
    assert (
        json.loads(run(capsys, "--docs", str(folder), "--how", how, "--json", "Quantum chromodynamics?")[1])[
            "answer"
        ]
        is None
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--docs", "{}/nowhere", "What?"], "there is no folder"),
        (["--docs", "{}/empty", "What?"], "is empty: put documents into it (.txt, .md, .markdown, .pdf)"),
        (["--docs", "{}/only-pictures", "What?"], "can be read:\n  a.png: not one of"),
        (["--docs", "{}", "   "], "the question is empty"),
        (["--docs", "{}", "--k", "0", "What?"], "--k must be 1 or more"),
        (["--docs", "{}", "--model", "gpt-5", "What?"], "no model is called 'gpt-5'"),
        (["--docs", "{}", "--model", "minilm", "What?"], "minilm answers no questions"),
        (
            ["--docs", "{}", "--store", "http://127.0.0.1:1", "What?"],
            "no Qdrant server answers at http://127.0.0.1:1",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(folder, light, capsys, words, said):
    (folder / "empty").mkdir()
    (folder / "only-pictures").mkdir()
    (folder / "only-pictures" / "a.png").write_bytes(b"\x89PNG")
    status, out, err = run(capsys, *(w.format(folder) for w in words))
    assert status == 2 and not out
    assert said in err and "tunewise ask: " in err


def test_a_missing_package_is_named(folder, light, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pypdf", None)
    status, _, err = run(capsys, "--docs", str(folder), "What?")
    assert status == 2 and 'reading documents needs pypdf: pip install "tunewise[rag] @ git+https' in err


# -- with the models -------------------------------------------------------------------------------------------------

OFF_TOPIC = """What is the capital of Peru?
How do I make a sourdough starter?
Who wrote War and Peace?
Why is the sky blue?
How many legs has a spider?
What is the boiling point of ethanol?
Who won the football world cup in 1998?
How do vaccines work?
What is the square root of 144?
Which planet has the most moons?
How do I reverse a list in Python?
When did the Berlin wall fall?
What does a cardiologist do?
How long is a marathon?
What is the plot of Hamlet?
How is cheese made?
Which language is spoken in Brazil?
What causes earthquakes?
How do I get from Vienna to Prague by train?
What are the symptoms of the flu?
Who painted the Mona Lisa?
How do I train for a triathlon?
What is compound interest?
Can dogs eat chocolate?
What is the deepest part of the ocean?
How does a bill become law?
What is a good recipe for lentil soup?
When was the printing press invented?
How do I tune a guitar?
What is photosynthesis?
Which film won the most Oscars?
How do bees make honey?
What is the exchange rate of the yen?
How old is the universe?
Why do cats purr?
What is a sonnet?
How do I file my taxes online?
Who discovered penicillin?
What should I plant in March?
How far away is the moon?""".splitlines()


def test_the_threshold_parts_questions_on_the_documents_from_others():
    """Of all thresholds it is, but for the noise of the draw, the one with the largest sum of the two shares that are right (Youden's index)."""
    texts = [p.text for p in company.passages()]

    def nearest(questions):
        return (minilm()(questions) @ minilm()(texts).T).max(axis=1)

    on = np.concatenate(
        [nearest(asked(kind, 40)[1]) for kind in ("direct", "reversed", "changed", "multihop")]
    )
    off = nearest(OFF_TOPIC)
    index = {t: np.mean(on >= t) - np.mean(off >= t) for t in np.arange(0.1, 0.7, 0.01)}
    ours = np.mean(on >= ask_documents.RELEVANT) - np.mean(off >= ask_documents.RELEVANT)
    assert ours >= max(index.values()) - 0.05 and ours >= 0.8
    # what it cannot do: questions that the handbook leaves open are as near
    assert np.mean(nearest(asked("unanswerable", 40)[1]) >= ask_documents.RELEVANT) >= 0.9


def test_a_newcomers_folder_is_answered_by_the_model(folder, capsys, monkeypatch, tmp_path):
    held = ask_documents.paths.cache_dir("models")
    monkeypatch.setattr(
        ask_documents.paths,
        "cache_dir",
        lambda *parts: held if parts[:1] == ("models",) else _made(tmp_path.joinpath("cache", *parts)),
    )
    status, out, err = run(
        capsys, "--docs", str(folder), "--json", "Under what does the key of the shed lie?"
    )
    found = json.loads(out)
    assert status == 0 and "indexing" in err
    assert found["passages"][0]["text"] == GARDEN[1] and found["answer"] is not None
    assert run(capsys, "--docs", str(folder), "What is the exchange rate of the yen?")[0] == 1


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
