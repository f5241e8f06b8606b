"""Arms that answer from documents, on a model of random weights: what is searched, what is read, what is trained on."""

import pytest
from small_model import a_seed_astray, small_context

from tunewise.compare.arms import reading
from tunewise.compare.arms.prompts import model_bytes
from tunewise.compare.base import Columns, Item, OwnData, Settings
from tunewise.compare.documents_reader import LocalReader
from tunewise.compare.run import run, to_score
from tunewise.compare.workbench import Workbench

TOOLS = [
    "axe",
    "bolt",
    "clamp",
    "drill",
    "file",
    "gouge",
    "hammer",
    "jack",
    "knife",
    "level",
    "mallet",
    "nail",
    "plane",
    "rasp",
    "saw",
    "tongs",
    "vice",
    "wedge",
]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder with a file a tool, and a question on each: six to learn from, six to choose by, six to test on."""
    ctx, docs = small_context(tmp_path / "cache", monkeypatch, {}), tmp_path / "tools"
    docs.mkdir()
    for i, tool in enumerate(TOOLS):
        (docs / f"{tool}.txt").write_text(
            f"The {tool} lies in drawer {40 + i} of the shop.", encoding="utf-8"
        )
    rows = [
        Item(f"i{i}", i + 2, f"Where does the {tool} lie?", f"drawer {40 + i}", f"g{i}")
        for i, tool in enumerate(TOOLS)
    ]
    data = OwnData(
        "q.csv",
        Columns("answers", "q", "a"),
        (),
        *(tuple(rows[i::3]) for i in range(3)),
        metric="contains",
    )

    def made(**settings):
        asked = Settings(**{"docs": docs, "model": "smollm2-135m"} | settings)
        return Workbench(to_score(data, asked), asked, lambda line: None, ctx)

    return made


def test_there_are_none_without_documents(bench):
    assert reading.arms(bench(docs=None)) == []
    assert [arm.name for arm in reading.arms(bench())] == ["rag", "rag_tuned"]


def test_documents_that_were_edited_are_asked_anew(bench):
    work = bench()
    before = reading.arms(work)[0].inputs()
    assert reading.arms(bench())[0].inputs() == before
    (work.settings.docs / "axe.txt").write_text("The axe was sold.", encoding="utf-8")
    assert reading.arms(bench())[0].inputs() != before


def test_the_reader_is_given_what_the_search_found_and_the_search_is_chosen_on_validation(bench, monkeypatch):
    read = []

    def written(self, prompts):
        read.extend(own for _, own in prompts)
        return [own.split("lies in ")[1].split(" of")[0] for _, own in prompts]

    monkeypatch.setattr(LocalReader, "_written", written)
    work = bench()
    result = reading.rag_arm(work)
    assert result.outcomes["contains"] == [1.0] * 6 and result.predictions[0] == "drawer 42"
    assert {t["search"] for t in result.trials} == {"bm25", "dense", "hybrid"}
    assert all(t["score"] == 1.0 for t in result.trials) and result.settings["search"] == "hybrid"
    assert len(read) == 6 and all(item.text in own for item, own in zip(work.data.test, read, strict=True))


def test_training_pairs_hold_the_right_passage_and_a_near_one_without_it(bench):
    work = bench()
    prefix, pairs = reading._pairs(LocalReader("smollm2-135m", work.ctx.lm), reading.Library(work), "bm25")
    assert prefix.count("<|im_start|>user") == 3 and len(pairs) == 12
    for item, right, near in zip(work.train, pairs[::2], pairs[1::2], strict=True):
        assert f"{item.target} of" in right[0] and right[1] == item.target
        assert f"{item.target} of" not in near[0] and near[1] == "not stated"


def test_both_arms_run_in_a_comparison(bench):
    work = bench(only=("rag", "rag_tuned"))
    report = run(work.data, work.settings, lambda line: None, given=work.ctx)
    assert not report.missing and [arm.name for arm in report.arms] == ["rag", "rag_tuned"]
    for arm in report.arms:
        assert len(arm.predictions) == 6 and arm.cost.prompt_tokens > 50
        assert arm.cost.memory >= model_bytes(work.ctx.lm) > 0
    assert report.arm("rag_tuned").cost.labels == 6 and report.arm("rag_tuned").cost.train_seconds > 0
    assert (
        len(report.arm("rag_tuned").repeats) == 2 and "3 training runs" in report.arm("rag_tuned").notes[-1]
    )


def test_a_seed_that_goes_astray_costs_one_run(bench, monkeypatch):
    a_seed_astray(monkeypatch)
    result = reading.rag_tuned(bench())
    assert len(result.repeats) == 1 and sum("went astray" in note for note in result.notes) == 1
