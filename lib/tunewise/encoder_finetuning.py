"""Fine-tune a sentence encoder as a classifier: what fine-tuning meant before large language models.

    model, trials = fit_encoder(Encoder(), train, [{"learning_rate": 5e-5, "epochs": 4}], seed=0)
    model.predict(texts)

All weights are trained, with a linear layer on the mean-pooled vector. That layer begins as a logistic regression on the vectors of the untouched
encoder: linear probing, then fine-tuning (Kumar et al. 2022, "Fine-tuning can distort pretrained features").
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tunewise.baselines import fit_embeddings
from tunewise.finetune import held_out_fifth
from tunewise.models.encoder import Encoder

BATCH, MIN_STEPS, WARMUP = 16, 20, 0.1
Labelled = Sequence[tuple[str, int]]


class EncoderClassifier(torch.nn.Module):
    """A copy of a sentence encoder and a linear layer; labels are 0 to n - 1, each of them in ``train``.

    probe: the logistic regression on the vectors of ``train`` that the layer begins as, for who has it; else it is fitted.
    """

    def __init__(self, encoder: Encoder, train: Labelled, probe: Any = None) -> None:
        super().__init__()
        texts, labels = zip(*train, strict=True)
        probe = probe or fit_embeddings(encoder.encode(texts), labels)
        if not np.array_equal(probe.classes_, np.arange(len(probe.classes_))):
            raise ValueError(
                f"each label from 0 on must occur in training; there are {probe.classes_.tolist()}"
            )
        weight, bias = probe.coef_, probe.intercept_
        if len(weight) == 1:  # of two labels scikit-learn keeps one row
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        self.encoder = copy.deepcopy(encoder.model)
        self.head = torch.nn.Linear(weight.shape[1], len(weight))
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight))
            self.head.bias.copy_(torch.from_numpy(bias))

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Logits, float32 [texts, labels]."""
        most = self.encoder.max_seq_length
        options = {"padding": True, "truncation": True, "max_length": most, "return_tensors": "pt"}
        tokens = self.encoder.tokenizer(list(texts), **options)
        return self.head(self.encoder(dict(tokens))["sentence_embedding"])

    def logits(self, texts: Sequence[str], batch: int = 64) -> torch.Tensor:
        """Logits without dropout, float32 [texts, labels]."""
        self.eval()
        with torch.inference_mode():
            return torch.cat([self(texts[i : i + batch]) for i in range(0, len(texts), batch)])

    def parts(self) -> tuple[Any, Any]:
        """The sentence-transformers model, and scikit-learn's logistic regression on its vectors, which together give the same probabilities."""
        from sklearn.linear_model import LogisticRegression

        regression = LogisticRegression()
        weight, bias = (p.detach().double().numpy() for p in (self.head.weight, self.head.bias))
        if len(weight) == 2:
            weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
        regression.classes_, regression.n_features_in_ = np.arange(self.head.out_features), weight.shape[1]
        regression.coef_, regression.intercept_ = weight, bias
        return self.encoder, regression

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """The most probable label of each text, int [texts]."""
        return self.logits(texts).argmax(dim=1).numpy()


def fit_encoder(
    encoder: Encoder,
    train: Labelled,
    candidates: Sequence[Mapping[str, Any]],
    seed: int = 0,
    *,
    probe: Any = None,
    each_step: Callable[[], None] = lambda: None,
) -> tuple[EncoderClassifier, dict[str, Any]]:
    """Train on (text, label) pairs with the best of ``candidates``.

    Parameters
    ----------
    encoder
        It is copied, and stays as it is.
    candidates
        Recipes: ``learning_rate`` (peak, of AdamW) and ``epochs``. Of several, each is trained on four fifths of the pairs, and the one with the
        lowest loss on the last fifth is trained anew on all.
    seed
        Of the held-out fifth, the order of examples, and dropout.
    probe
        As :class:`EncoderClassifier` takes it, for training on all pairs.
    each_step
        Called before every step of training; what it raises ends the training.

    Returns
    -------
    tuple
        The model, and the trials: candidates, their held-out losses (nats a text), which was chosen.
    """
    losses: list[float] = []
    if len(candidates) > 1:
        kept, tried = held_out_fifth(train, seed)
        texts, labels = zip(*tried, strict=True)
        for recipe in candidates:
            logits = _trained(EncoderClassifier(encoder, kept), kept, seed, each_step, **recipe).logits(texts)
            losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).item())
    best = candidates[int(np.argmin(losses))] if losses else candidates[0]
    trials = {
        "candidates": [dict(c) for c in candidates],
        "losses": [round(x, 4) for x in losses],
        "chosen": dict(best),
    }
    return _trained(EncoderClassifier(encoder, train, probe), train, seed, each_step, **best), trials


def steps_of(n: int, epochs: int) -> int:
    """Steps of training on ``n`` texts."""
    return max(epochs * math.ceil(n / BATCH), MIN_STEPS)


def _trained(
    model: EncoderClassifier,
    train: Labelled,
    seed: int,
    each_step: Callable[[], None],
    *,
    learning_rate: float,
    epochs: int,
) -> EncoderClassifier:
    steps = steps_of(len(train), epochs)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01, fused=True)
    rising = max(1, int(WARMUP * steps))
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / rising, (steps - s) / max(1, steps - rising))
    )
    rng, order = np.random.default_rng([41, seed]), np.array([], dtype=int)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(steps):
            each_step()
            if not len(order):
                order = rng.permutation(len(train))
            batch, order = [train[i] for i in order[:BATCH]], order[BATCH:]
            model.train()
            texts, labels = zip(*batch, strict=True)
            loss = torch.nn.functional.cross_entropy(model(texts), torch.tensor(labels))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
    optimizer.zero_grad()  # what is kept needs no gradients
    return model
