"""What is read of a folder of documents, of which kinds, and what is said about the rest."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from newcomer import GARDEN, newcomers_folder, pdf

from tunewise.compare import documents_folder as documents


@pytest.fixture
def folder(tmp_path) -> Path:
    return newcomers_folder(tmp_path)


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
    (folder / "letter.odt").write_bytes(b"PK")
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
    assert why.pop("letter.odt") == "not one of .txt, .md, .markdown, .html, .htm, .rst, .docx, .pdf"
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
        "40 files of other kinds (.jpg): not .txt, .md, .markdown, .html, .htm, .rst, .docx, .pdf"
    ]


def test_a_file_in_place_of_a_folder_is_read(folder):
    assert {p.file for p in documents.read_folder(folder / "neighbours.txt").passages} == {"neighbours.txt"}


@pytest.mark.parametrize("name", ["pipe.txt", "pipe.md", "pipe.pdf"])
def test_a_pipe_among_the_documents_is_named_and_not_waited_for(name, folder):
    os.mkfifo(folder / name)
    assert documents.read_folder(folder).left_out == [f"{name}: is no ordinary file"]
    with pytest.raises(ValueError, match="no ordinary file"):
        documents.read_folder(folder / name)


HTML = """<?xml version="1.0"?><!DOCTYPE html><html><head><title>T</title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><main><h1>The boiler</h1><p>It is <b>serviced</b> every <a href="x">October</a>.</p>
<h2>Pressure</h2><table><tr><th>Part</th><th>Bar</th></tr><tr><td>gauge</td><td>1.5</td></tr></table>
<script>alert(1)</script></main><footer>Imprint</footer></body></html>"""


def docx(*paragraphs: tuple[str, str]) -> bytes:
    """A Word file of (style, text)."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    names = "http://schemas.openxmlformats.org/"
    rels = f'<Relationships xmlns="{names}package/2006/relationships"><Relationship Id="r" Type="{names}officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'
    kinds = f'<Types xmlns="{names}package/2006/content-types"><Default Extension="rels" ContentType="application/xml"/></Types>'
    space = f'xmlns:w="{names}wordprocessingml/2006/main"'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("[Content_Types].xml", kinds)
        packed.writestr("_rels/.rels", rels)
        packed.writestr("word/document.xml", f"<w:document {space}><w:body>{body}</w:body></w:document>")
        style = '<w:style w:type="paragraph" w:styleId="{0}"><w:name w:val="{1}"/></w:style>'
        both = style.format("Heading1", "heading 1") + style.format("Normal", "Normal")
        packed.writestr("word/styles.xml", f"<w:styles {space}>{both}</w:styles>")
    return out.getvalue()


def test_html_and_word_files_keep_their_headings(tmp_path):
    (tmp_path / "a.html").write_text(HTML, encoding="utf-8")
    (tmp_path / "b.docx").write_bytes(
        docx(("Heading1", "Care"), ("Normal", "Wash at 30 degrees &lt;b&gt;only&lt;/b&gt;."))
    )
    (tmp_path / "c.docx").write_bytes(b"PK\x03\x04 and then nothing")
    found = documents.read_folder(tmp_path)
    assert [(p.where, " ".join(p.text.split())) for p in found.passages] == [
        ("a.html, The boiler", "It is **serviced** every October."),
        ("a.html, The boiler > Pressure", "| Part | Bar | | --- | --- | | gauge | 1.5 |"),
        ("b.docx, Care", "Wash at 30 degrees <b>only</b>."),
    ]
    (left,) = found.left_out
    assert left.startswith("c.docx: is no DOCX file, or a damaged one")


def test_a_file_with_two_names_is_read_once(folder):
    (folder / "again.md").symlink_to(folder / "boiler.md")
    assert documents.read_folder(folder).files == 3


def test_words_that_run_together_are_named(tmp_path):
    (tmp_path / "a.pdf").write_bytes(
        pdf("\n".join(["Thecatgetshalfatinoffoodinthemorning and in the evening."] * 9))
    )
    (note,) = documents.read_folder(tmp_path).notes
    assert note.startswith("a.pdf: words run together")
    (tmp_path / "a.pdf").write_bytes(
        pdf("See https://example.org/a/very/long/address/of/a/page ................................")
    )
    assert not documents.read_folder(tmp_path).notes
