"""Scores of what an arm wrote: short answers, fields of an extraction, a function of the user's, a schema from targets."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewise.compare import answer_scoring as scoring
from tunewise.compare.base import Item


def items(*targets):
    return [Item(f"i{n}", n + 2, "text", target, f"i{n}") for n, target in enumerate(targets)]


@pytest.mark.parametrize(
    ("said", "target", "exact", "f1", "contains"),
    [
        ("The Eiffel Tower.", "Eiffel tower", 1, 1, 1),
        ("in Paris, France", "Paris", 0, 0.5, 1),  # 2 PR / (P + R) with P = 1/3, R = 1
        ("London", '["Paris", "London"]', 1, 1, 1),
        ("-", "+", 0, 0, 0),
        ("", "Paris", 0, 0, 0),
        ("東京", "東京", 1, 1, 1),
    ],
)
def test_short_answers(said, target, exact, f1, contains):
    found = scoring.outcomes_of("answers", items(target), [said])
    assert found == {"exact": [exact], "f1": [f1], "contains": [contains]}


@pytest.mark.parametrize(
    ("said", "fields", "all_fields", "valid"),
    [
        ('{"name": "Ann", "age": 3}', 1, 1, 1),
        ('```json\n{"name": " ANN ", "age": 3.0}\n```', 1, 1, 1),
        ('{"name": "Ann", "age": 4}', 0.5, 0, 1),
        ('{"name": "Ann", "age": 3, "more": 1}', 2 / 3, 0, 0),
        ('{"name": "Ann", "age": true}', 0.5, 0, 0),
        ('{"name": "Ann"', 0, 0, 0),
        ("[1]", 0, 0, 0),
        ('{"name": "Ann", "age": NaN}', 0, 0, 0),
        ("[" * 100_000, 0, 0, 0),
        ('{"name": ' + "[" * 500 + "]" * 500 + "}", 0, 0, 0),
    ],
)
def test_fields_of_an_extraction(said, fields, all_fields, valid):
    target = '{"name": "Ann", "age": 3}'
    found = scoring.outcomes_of(
        "extraction", items(target), [said], schema=scoring.infer_schema({"row 2": target})
    )
    assert found == {"fields": [pytest.approx(fields)], "all_fields": [all_fields], "valid": [valid]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), min_size=1, max_size=4))
def test_targets_keep_to_the_schema_that_is_made_from_them(targets):
    schema = scoring.infer_schema({f"row {i}": json.dumps(t) for i, t in enumerate(targets)})
    for target in targets:
        jsonschema.validate(target, schema)
        found = scoring.outcomes_of(
            "extraction", items(json.dumps(target)), [json.dumps(target)], schema=schema
        )
        assert found == {"fields": [1], "all_fields": [1], "valid": [1]}


def test_a_target_that_is_no_object_is_named():
    with pytest.raises(scoring.ScoringError, match="a.csv, row 3 is no JSON object: 'Ann'"):
        scoring.infer_schema({"a.csv, row 2": '{"name": "Ann"}', "a.csv, row 3": "Ann"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ('{"type": 3}', "is no JSON Schema"),
        ('{"type": "array"}', "describes no object with properties"),
        ('{"properties": {"a": {}}, "required": ["b"]}', "requires 'b'"),
        (None, "can't be read"),
    ],
)
def test_a_faulty_schema_is_one_sentence(tmp_path, content, said):
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(scoring.ScoringError, match=said):
        scoring.read_schema(path)


CODE = """
def half(said, target):
    return len(said) / len(target)
def broken(said, target):
    return {}[said]
def endless(said, target):
    return float("nan")
"""


def test_a_function_of_the_users(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    scorer = scoring.load_scorer(f"{file}:half")
    assert scoring.outcomes_of("answers", items("four"), ["ab"], scorer=scorer)["score"] == [0.5]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("mine.py:broken", "row 2: KeyError: 'ab'"),
        ("mine.py:endless", "row 2: it returned nan"),
        ("mine.py:none", "no function 'none'; it has half, broken, endless"),
        ("other.py:half", "other.py is not there"),
        ("mine.half", "must be written file.py:function"),
        ("bad.py:half", "can't be run: SyntaxError"),
    ],
)
def test_a_faulty_scorer_is_one_sentence_with_the_row(tmp_path, monkeypatch, named, said):
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "bad.py").write_text("def half(:")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(scoring.ScoringError, match=said):
        scoring.outcomes_of("answers", items("four"), ["ab"], scorer=scoring.load_scorer(named))
