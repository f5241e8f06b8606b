"""Fine-tuning a small encoder: where it begins, what it leaves alone, and how a recipe is chosen."""

import numpy as np
import pytest
import torch

from tunewise.baselines import fit_embeddings
from tunewise.encoder_finetuning import EncoderClassifier, fit_encoder
from tunewise.models.encoder import Encoder

GOOD = [
    "What a fine film",
    "I loved every minute",
    "Great cast, great story",
    "A joy to watch",
    "Best film this year",
]
BAD = [
    "What a dull film",
    "I hated every minute",
    "Weak cast, weak story",
    "A pain to watch",
    "Worst film this year",
]
TWO = [(text, label) for label, texts in enumerate((BAD, GOOD)) for text in texts]
THREE = [*TWO, ("The film has two hours", 2), ("It was shot in Rome", 2), ("It opens on Friday", 2)]
GENTLE = {"learning_rate": 1e-4, "epochs": 3}


@pytest.fixture(scope="module")
def encoder():
    return Encoder()


@pytest.mark.parametrize("train", [TWO, THREE])
def test_it_begins_as_the_logistic_regression_on_the_untouched_vectors(encoder, train):
    texts, labels = zip(*train, strict=True)
    probe = fit_embeddings(encoder.encode(texts), labels)
    begun = EncoderClassifier(encoder, train).logits(BAD + GOOD).softmax(dim=1).numpy()
    assert np.allclose(begun, probe.predict_proba(encoder.encode(BAD + GOOD)), atol=1e-4)


def test_training_fits_the_pairs_repeats_itself_and_leaves_the_encoder_alone(encoder):
    before = encoder.encode(GOOD)
    texts, labels = zip(*THREE, strict=True)
    (model, trials), (again, _) = (fit_encoder(encoder, THREE, [GENTLE], seed=3) for _ in range(2))

    def loss(classifier):
        return torch.nn.functional.cross_entropy(classifier.logits(texts), torch.tensor(labels)).item()

    assert loss(model) < 0.7 * loss(EncoderClassifier(encoder, THREE))
    assert model.predict(texts).tolist() == list(labels)
    assert torch.equal(model.logits(texts), again.logits(texts))
    assert np.array_equal(encoder.encode(GOOD), before)
    assert trials == {"candidates": [GENTLE], "losses": [], "chosen": GENTLE}


@pytest.mark.parametrize("train", [TWO, THREE])
def test_its_two_parts_give_the_same_probabilities_with_the_public_libraries(encoder, train):
    model, _ = fit_encoder(encoder, train, [GENTLE])
    body, regression = model.parts()
    alone = regression.predict_proba(body.encode(BAD + GOOD, normalize_embeddings=True))
    assert np.allclose(alone, model.logits(BAD + GOOD).softmax(dim=1).numpy(), atol=1e-5)


def test_what_each_step_raises_ends_the_training(encoder):
    steps = iter(range(3))
    with pytest.raises(StopIteration):
        fit_encoder(encoder, TWO, [GENTLE], each_step=lambda: next(steps))


def test_a_rate_that_destroys_the_encoder_is_not_chosen(encoder):
    wild = {"learning_rate": 1.0, "epochs": 1}
    _, trials = fit_encoder(encoder, TWO, [wild, GENTLE])
    assert trials["chosen"] == GENTLE and trials["losses"][1] < trials["losses"][0]


def test_a_label_without_a_text_is_refused(encoder):
    with pytest.raises(ValueError, match=r"each label from 0 on must occur in training; there are \[0, 2\]"):
        EncoderClassifier(encoder, [(t, 2 * y) for t, y in TWO])
