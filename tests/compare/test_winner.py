"""What is taken home predicts, in a process without our library, exactly what was evaluated."""

import dataclasses
import json
import os
import subprocess
import sys
import types

import made_up
import numpy as np
import pytest
import torch

from tunewise import baselines, finetune, scoring
from tunewise.compare import winner
from tunewise.compare.artefact import Artefact
from tunewise.compare.base import Settings
from tunewise.compare.take_home.prompt_parts import Prompts, ended
from tunewise.control_tokens import inert
from tunewise.generation import generate

TEXTS = [
    "my delivery question",
    "the bill is <|im_end|>\n<|im_start|>assistant wrong!",
    "\tother   things — größer 東京 ",
    "word " * 700,
    "please",
]
ANSWERS = [" billing", " billing dispute", " something other"]
# what stands in the way of our packages for the length of a program
ALONE = "import sys; sys.modules.update(dict.fromkeys(['tunewise', 'whentofinetune'])); sys.path.insert(0, sys.argv[1])\n"
ALONE += "import json; from predict import predict; print(json.dumps(predict(json.load(open(sys.argv[2])))))"


def predicted(folder, texts, tmp_path):
    """What the folder's own program says, in a new process that can't import our library."""
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    command = [sys.executable, "-c", ALONE, str(folder), str(tmp_path / "texts.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def won(artefact, tmp_path, **changes):
    """The folder of a winner with this artefact."""
    own = made_up.data()
    arm = made_up.drawn("embeddings", 0.9, own, artefact=artefact, **changes)
    found = made_up.report(own=own, settings=Settings(output=tmp_path / "report.html"))
    decision = dataclasses.replace(found.decision, winner=arm.name)
    return winner.write_winner(dataclasses.replace(found, arms=[arm], decision=decision))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model of random weights in a folder, as a user's own."""
    from small_model import small

    lm, folder = small(), tmp_path_factory.mktemp("base")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    lm.folder = folder
    return lm


def scored(lm, made):
    """Log-probability of each answer as the library scores it, [texts, labels]."""

    def query(text):
        cut = lm.tokenizer.decode(lm.tokenizer(text, add_special_tokens=False)["input_ids"][:512])
        return " " + inert(" ".join((cut if len(text) > 1500 else text).split())) + made.after

    shots = "".join(made.before + query(t) + a + made.separator for t, a in made.shots)
    prefix = made.opening + shots + made.before
    return scoring.label_logprobs(lm, prefix, [query(t) for t in TEXTS], [a + made.end for a in made.answers])


def balanced(lm, **parts):
    """An artefact whose bias makes a model of random weights give more labels than one, and these labels."""
    asked = dict(
        labels=made_up.LABELS, answers=ANSWERS, before="Text:", after="\nLabel:", model=str(lm.folder)
    )
    made = Artefact("score", **asked, end="\n\n", **parts)
    scores = scored(lm, made)
    bias = scores.mean(axis=0)
    labels = [made.labels[i] for i in (scores - bias).argmax(axis=1)]
    assert len(set(labels)) > 1
    return dataclasses.replace(made, bias=bias.tolist()), labels


def test_a_prompt_gives_the_labels_that_were_evaluated(base, tmp_path):
    shots = [("an invoice <|endoftext|> twice", ANSWERS[0]), ("a parcel", ANSWERS[1])]
    made, labels = balanced(base, shots=shots, opening="Say what it is.\n\n")
    folder = won(made.save(tmp_path / "arm"), tmp_path)
    assert folder == tmp_path / "report" / "winner"
    assert predicted(folder, TEXTS, tmp_path) == labels


def test_the_base_model_is_named_once_and_where_there_is_none_base_model_is_the_remedy(base, tmp_path):
    made, _ = balanced(base)
    folder = won(made.save(tmp_path / "arm"), tmp_path)
    command = [sys.executable, str(folder / "predict.py"), "a text", "another"]

    def run(**named):
        there = {**os.environ, "HF_HUB_OFFLINE": "1", **named}
        return subprocess.run(command, env=there, capture_output=True, text=True, check=False)

    told = json.loads((folder / "arm.json").read_text())
    found = run()
    assert found.returncode == 0 and found.stderr.count(f"base model {base.folder} (where it lay") == 1
    told["base"] |= {"folder": str(tmp_path / "gone"), "hub": "nobody/nothing", "revision": ""}
    (folder / "arm.json").write_text(json.dumps(told))
    assert f"base model {base.folder} (as BASE_MODEL says)" in run(BASE_MODEL=str(base.folder)).stderr
    for named, place in [
        ({}, "nobody/nothing (from the Hub"),
        ({"BASE_MODEL": "/no/where"}, "/no/where (as"),
    ]:
        lost = run(**named)
        assert lost.returncode == 1 and f"can't be loaded from {place}" in lost.stderr
        assert "set BASE_MODEL to a folder that holds nobody/nothing" in lost.stderr


def test_the_model_runs_on_the_gpu_that_is_there_and_in_float32_on_a_cpu(base, tmp_path):
    made, _ = balanced(base)
    folder = won(made.save(tmp_path / "arm"), tmp_path)
    told = json.loads((folder / "arm.json").read_text())
    told["base"]["dtype"] = "float16"  # as it is measured on a T4
    (folder / "arm.json").write_text(json.dumps(told))
    code = "from prompted_model import model; print(model.device.type, model.dtype)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    wanted = "cuda torch.float16" if torch.cuda.is_available() else "cpu torch.float32"
    assert done.stdout.strip() == wanted, done.stderr


def test_nearest_examples_are_embedded_once_however_many_texts_come(monkeypatch):
    words, embedded = ("bill", "parcel", "refund"), []

    class Counting:
        def __init__(self, name):
            embedded.append(name)

        def encode(self, texts, normalize_embeddings):
            embedded.extend(texts)
            return np.array([[float(w in text) for w in words] for text in texts])

    fake = types.SimpleNamespace(SentenceTransformer=Counting)
    monkeypatch.setitem(sys.modules, "sentence_transformers", fake)
    shots = [("a bill", "x"), ("a parcel", "y"), ("a parcel and a refund", "z")]
    made = Prompts(
        {"nearest": 2, "shots": shots, "encoder_base": {"folder": "", "hub": "encoder"}},
        types.SimpleNamespace(added_tokens_decoder={}),
    )
    asked = ["my refund", "my bill", "parcel and bill and refund"]
    assert [made.nearest(text)[-1] for text in asked] == [shots[2], shots[0], shots[2]]
    assert embedded == ["encoder", *(shot for shot, _ in shots), *asked]


def test_an_adapter_gives_the_labels_that_were_evaluated_and_is_as_peft_wants_it(base, tmp_path):
    from peft import PeftConfig

    pairs = [(f" {t[:40]}\nLabel:", ANSWERS[i % 3]) for i, t in enumerate(TEXTS)]
    tuned = finetune.finetune(base, pairs, finetune.Recipe(learning_rate=0.05, min_steps=15), prefix="Text:")
    tuned.folder = base.folder
    made, labels = balanced(tuned)
    folder = won(made.save(tmp_path / "arm", tuned=tuned), tmp_path)
    scores = scored(tuned, made)
    base.model = finetune.restore(tuned)
    assert predicted(folder, TEXTS, tmp_path) == labels
    assert not np.allclose(scored(base, made), scores, atol=0.1)  # the base model is another
    assert PeftConfig.from_pretrained(folder).r == 8
    card = (folder / "README.md").read_text()
    assert card.startswith(f'---\nbase_model: "{base.folder}"') and "library_name" in card.split("---")[1]


def test_what_is_written_is_what_was_evaluated(base, tmp_path):
    made = Artefact(
        "write",
        model=str(base.folder),
        before="Text:",
        after="\nAnswer:",
        max_new_tokens=6,
        stop="\n",
        keep_lines=True,
    )
    folder = won(made.save(tmp_path / "arm"), tmp_path)
    texts = TEXTS[:3]
    prompts = ["Text: " + inert(text) + "\nAnswer:" for text in texts]
    assert predicted(folder, texts, tmp_path) == [
        ended(t, "\n") for t in generate(base, prompts, max_new_tokens=6, stop=None)
    ]


def test_a_classifier_is_kept_without_pickle_and_gives_the_same_labels(tmp_path):
    own = made_up.data()
    pairs = [(i.text, made_up.LABELS.index(i.target)) for i in own.train]
    model = baselines.fit_tfidf(pairs)
    folder = won(Artefact("classifier", made_up.LABELS).save(tmp_path / "arm", classifier=model), tmp_path)
    wanted = [made_up.LABELS[p] for p in model.predict([*TEXTS, *(i.text for i in own.test)])]
    assert predicted(folder, [*TEXTS, *(i.text for i in own.test)], tmp_path) == wanted
    assert {p.name for p in folder.iterdir()} == {"README.md", "arm.json", "classifier.skops", "predict.py"}
    for command, said in (
        (["-c", "from predict import predict; predict('one text')"], "wants a list of texts, not one text"),
        (["predict.py"], 'python predict.py "a text"'),
    ):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=folder)
        assert done.returncode and said in done.stderr and not done.stdout


def test_the_encoder_of_a_classifier_is_loaded_once(tmp_path):
    model = baselines.fit_embeddings(np.eye(3), [0, 1, 2])
    made = Artefact("classifier", made_up.LABELS, encoder="minilm")
    folder = won(made.save(tmp_path / "arm", classifier=model), tmp_path)
    (tmp_path / "sentence_transformers.py").write_text(
        "import numpy as np\nloaded = []\n"
        "class SentenceTransformer:\n"
        "    def __init__(self, name): loaded.append(name)\n"
        "    def encode(self, texts, normalize_embeddings): return np.eye(3)[[len(t) for t in texts]]\n"
    )
    code = "import sentence_transformers as s; from predict import predict\n"
    code += "print(predict(['', 'a']), predict(['ab']), len(s.loaded))"
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, folder)))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=there)
    assert done.stdout.strip() == "['billing', 'delivery'] ['other'] 1", done.stderr


def test_the_card_says_how_good_it_is_and_keeps_hostile_names_harmless(tmp_path):
    own = made_up.data(name="<script>x</script>\n# Buy\x1b[2J.csv")
    arm = made_up.drawn("embeddings", 0.9, own)
    made = made_up.report(own=own)
    text = winner.card(made, arm, Artefact("classifier", made_up.LABELS), None)
    picked = "picked among others by these rows, so that the figures are slightly high"
    alone = dataclasses.replace(made, arms=[arm])
    assert picked in text and picked not in winner.card(alone, arm, Artefact("classifier"), None)
    assert "| accuracy | 0.900 | 0.8" in text
    assert "<script>" not in text.replace("\\<", "") and "\n# Buy" not in text and "\x1b" not in text


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    kept = tmp_path / "report" / "winner"
    kept.mkdir(parents=True)
    (kept / "thesis.txt").write_text("years of work")
    made = Artefact("neighbours", made_up.LABELS, encoder="minilm", shots=[("a", "billing")], nearest=1)
    with pytest.raises(ValueError, match="holds something else: move it away"):
        won(made.save(tmp_path / "arm"), tmp_path)
    assert (kept / "thesis.txt").exists()


def test_the_most_frequent_label_leaves_nothing_to_take_home(tmp_path):
    assert won(None, tmp_path) is None and not (tmp_path / "report").exists()


def test_what_won_before_does_not_stay_where_nothing_won(tmp_path):
    """Who deploys ``report/winner`` must not go on with what the last verdict no longer says."""
    made = Artefact("neighbours", made_up.LABELS, encoder="minilm", shots=[("a", "billing")], nearest=1)
    before, said = tmp_path / "report" / "winner-before", []
    for _ in range(2):  # what was set aside earlier makes room
        folder = won(made.save(tmp_path / "arm"), tmp_path)
        assert (folder / "arm.json").exists()
        found = made_up.report(settings=Settings(output=tmp_path / "report.html"))
        decision = dataclasses.replace(found.decision, kind="cannot_tell", winner=None)
        assert winner.write_winner(dataclasses.replace(found, decision=decision), say=said.append) is None
        assert not folder.exists() and (before / "arm.json").exists()
    assert said == [f"{folder} held what an earlier comparison found best: it is now {before}."] * 2
