"""The decision helper's form and rules: the article's eight questions (claims C34 to C41), and what follows from the answers.

The rules are read in three stages. In each stage the first rule that fits decides, and its ``then`` joins the answers
under the stage's name, so that later rules can ask for it:

1. ``facts``: where facts come from: ``none`` needed, the ``prompt`` holds them, a ``lookup`` finds them, they go into the
   ``weights``, or it is ``unknown``
2. ``manner``: what makes the model behave as it should: a ``prompt``, ``examples`` in it, to ``tune``, or what must come
   before: to ``measure``; or it is ``unknown``
3. ``advice``: one of :data:`OUTCOMES`

Then every ``note`` that fits adds a step's reason, and every ``conflict`` that fits is asked back. Where two courses are open,
the one that is cheaper to try comes first. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Question:
    """One of the eight. options: answer -> what it says in the form; :data:`UNKNOWN` comes on top of them."""

    name: str
    title: str
    asks: str
    options: Mapping[str, str]


QUESTIONS = (
    Question(
        "knowledge",
        "External knowledge",
        "Does it need facts that the model does not have: your products, your rules, last week's news?",
        {
            "none": "No: what it is given and what it knows is enough",
            "short": "Yes, few enough to stand in every prompt",
            "documents": "Yes, more than a prompt holds",
            "weights": "Yes, and the model must know them without looking anything up",
        },
    ),
    Question(
        "behaviour",
        "Tone, behaviour, vocabulary, style",
        "Must it speak or act in a way of its own: a tone, a format, a vocabulary, a rule for labelling?",
        {
            "plain": "No: the model's usual manner will do",
            "untried": "Yes; a prompt with examples has not been measured yet",
            "enough": "Yes; a prompt with examples was measured and does it",
            "short": "Yes; a prompt with examples was measured and falls short",
        },
    ),
    Question(
        "hallucination",
        "Tolerance of hallucination",
        "How bad is it if a statement is made up?",
        {
            "harmless": "Not bad: somebody reads it with care, or nothing hangs on it",
            "costly": "Costly, but it can be caught and put right",
            "unacceptable": "Not acceptable",
        },
    ),
    Question(
        "labels",
        "Labelled data",
        "How many examples with the right answer are there?",
        {
            "none": "None, not even to test with",
            "tens": "Up to a hundred",
            "hundreds": "Some hundreds",
            "thousands": "A thousand or more",
        },
    ),
    Question(
        "change",
        "Static or changing",
        "How often do the facts or the rules change?",
        {
            "hardly": "Hardly ever",
            "monthly": "Every few months",
            "weekly": "Every week, or faster",
        },
    ),
    Question(
        "sources",
        "Transparency",
        "Must a reader see where an answer comes from?",
        {
            "needless": "No",
            "helpful": "It would help",
            "must": "Yes, for every answer",
        },
    ),
    Question(
        "skills",
        "Cost and complexity",
        "What has the team built and run before?",
        {
            "neither": "Neither a search system nor a tuned model",
            "search": "A search system",
            "tuning": "A tuned model",
            "both": "Both",
        },
    ),
    Question(
        "tasks",
        "Diversity of tasks",
        "How different are the tasks from one another?",
        {
            "one": "It is one task",
            "related": "A few that are alike",
            "many": "Many different ones",
        },
    ),
)

# advice -> (its title, what it means, what to measure next). From the cheapest to the dearest.
OUTCOMES = {
    "measure": (
        "None yet: first measure",
        "The answers do not tell yet which way to go, or there is nothing to measure it with.",
        "Fifty to a hundred real inputs with their right answers; a plain prompt's score on them, with its interval; its failures sorted into missing fact, wrong form, broken rule and noise.",
    ),
    "prompt": (
        "A prompt",
        "Write the instructions, and the facts if there are any, into the prompt.",
        "Several wordings on the same test items. If the best one falls short, sort its failures before doing anything dearer.",
    ),
    "icl": (
        "Examples in the prompt (in-context learning)",
        "Show the model a few examples in its prompt; nothing is trained.",
        "No example, one, four and eight, in several draws and orders, on the same test items; beside them a linear classifier or a vote of the nearest examples, if the task is to label.",
    ),
    "rag": (
        "RAG",
        "Look up passages for each question and let the model answer from them.",
        "First whether the right passage comes back (recall at k). Then the answers, with the passage found and with the right passage given by hand: the gap is the retriever's share.",
    ),
    "fine-tune": (
        "Fine-tuning",
        "Train the model, as LoRA, on your examples.",
        "A learning curve on your labels (10, 30, 100, 300) against the best prompt and against a linear classifier, with intervals; other tasks before and after.",
    ),
    "both": (
        "Both: RAG first, then tuning on top",
        "Look facts up; then teach the manner by training on prompts that hold such passages.",
        "All four: plain, RAG, tuned, RAG and tuned, on the same items, with the interval of the interaction. Keep the tuning only if it adds to RAG alone.",
    ),
}

STEPS = {
    "advice": "Advice",
    "measure": "Measure",
    "prompt": "Prompt",
    "examples": "Examples",
    "facts": "Facts",
    "tune": "Fine-tuning",
}


@dataclass(frozen=True)
class Rule:
    """If all of ``when`` holds, then ``then``, because ``why``.

    stage: facts, manner, advice, note or conflict. when: question or earlier stage -> the answers that fit, separated by spaces.
    then: the stage's result; for a note the step (:data:`STEPS`) to which it belongs; for a conflict nothing.
    claims: ids in ``data/claims.yml``, literature: keys in ``references.bib``, both separated by spaces.
    """

    name: str
    stage: str
    when: Mapping[str, str]
    then: str
    why: str
    claims: str
    literature: str = ""

    def fits(self, known: Mapping[str, str]) -> bool:
        return all(known[what] in allowed.split() for what, allowed in self.when.items())


RULES = (
    # ---- where facts come from ---------------------------------------------------------------------------------------
    Rule(
        "nothing to look up",
        "facts",
        {"knowledge": "none"},
        "none",
        "No facts from outside are needed, so there is nothing to look up.",
        "C34",
    ),
    Rule(
        "facts in the prompt",
        "facts",
        {"knowledge": "short"},
        "prompt",
        "The facts fit into the prompt: put them there. There is no index to build, and a change is one edit. They are paid for with every call, less if the provider caches the prompt.",
        "C32 C28",
        "anthropic2024",
    ),
    Rule(
        "weights cite nothing",
        "facts",
        {"knowledge": "weights", "sources": "must"},
        "lookup",
        "Weights do not say where an answer comes from. A passage that was looked up can be shown.",
        "C39",
        "liu2023verify",
    ),
    Rule(
        "weights go stale",
        "facts",
        {"knowledge": "weights", "change": "monthly weekly"},
        "lookup",
        "Facts in weights are out of date with the next change, and tuned updates are recalled badly. An index is edited.",
        "C38",
        "wu2024",
    ),
    Rule(
        "weights invent",
        "facts",
        {"knowledge": "weights", "hallucination": "unacceptable"},
        "lookup",
        "Tuning on facts that are new to a model makes it invent more elsewhere. A passage that was looked up can be checked against.",
        "C11 C36",
        "gekhman2024 pletenev2025",
    ),
    Rule(
        "facts into weights",
        "facts",
        {"knowledge": "weights", "change": "hardly", "labels": "thousands"},
        "weights",
        "The facts stand still, and there may be enough phrasings of each. Usually tuning is not the way to add facts; this can be the exception.",
        "C34",
        "allenzhu2023 yang2024",
    ),
    Rule(
        "weights need many phrasings",
        "facts",
        {"knowledge": "weights"},
        "lookup",
        "A fact is recalled in other words only if training showed it in many, and it must stay true for long. Unless both are given, look it up: an index can lie on the same machine, without a network.",
        "C34",
        "allenzhu2023 wu2024",
    ),
    Rule(
        "look facts up",
        "facts",
        {"knowledge": "documents"},
        "lookup",
        "Facts that are looked up are recalled better than facts that were tuned in, old ones and new ones.",
        "C32 C34",
        "ovadia2023 wu2024",
    ),
    Rule(
        "sources need passages",
        "facts",
        {"knowledge": "unknown", "sources": "must"},
        "lookup",
        "Whatever the model knows by itself, it can't show where it has it from. For sources, passages must be looked up.",
        "C39",
        "liu2023verify",
    ),
    Rule(
        "are facts missing?",
        "facts",
        {},
        "unknown",
        "It is not known whether facts are missing. Put real questions to the untuned model, once bare and once with the right passage in the prompt: the difference is the most that looking up can bring.",
        "C43",
        "distillabs",
    ),
    # ---- what makes the model behave ---------------------------------------------------------------------------------
    Rule(
        "the usual manner",
        "manner",
        {"behaviour": "plain"},
        "prompt",
        "The model's usual manner will do, so there is nothing that tuning would have to teach.",
        "C35",
        "lin2023",
    ),
    Rule(
        "examples do it",
        "manner",
        {"behaviour": "enough"},
        "examples",
        "A prompt with examples does it, and that was measured. Tuning could only save tokens: see the cost calculator.",
        "C26 C20",
        "agarwal2024manyshot",
    ),
    Rule(
        "instructions first",
        "manner",
        {"behaviour": "untried", "labels": "none"},
        "prompt",
        "Nothing was measured yet and there are no examples: begin with instructions, and with two or three examples written by hand.",
        "C26 C35",
        "lin2023",
    ),
    Rule(
        "examples first",
        "manner",
        {"behaviour": "untried"},
        "examples",
        "A prompt with examples takes an hour and no training, so it comes first. A very small model may gain nothing from it; you will see that in the same hour.",
        "C26",
        "agarwal2024manyshot mosbach2023 liu2022",
    ),
    Rule(
        "nothing to show it with",
        "manner",
        {"behaviour": "short", "labels": "none unknown"},
        "measure",
        "A prompt falls short, but no labelled examples are known of that show by how much, or that could be trained on. They come first.",
        "C43 C44",
        "distillabs zhou2023",
    ),
    Rule(
        "moving target",
        "manner",
        {"behaviour": "short", "change": "weekly", "knowledge": "none"},
        "examples",
        "The rules change faster than one can collect, tune and test again. Examples in a prompt are exchanged at once.",
        "C38 C40",
        "wu2024 jain2024finetune",
    ),
    Rule(
        "small trial",
        "manner",
        {"behaviour": "short", "labels": "tens", "tasks": "one", "skills": "tuning both"},
        "tune",
        "For one narrow task even this many labels can be worth a trial, and a team that has tuned before makes it in a day. Let the learning curve say whether to collect more.",
        "C14 C37",
        "ibrahim2023 bucher2024",
    ),
    Rule(
        "too few labels",
        "manner",
        {"behaviour": "short", "labels": "tens"},
        "examples",
        "These labels are few to train on and to test with. Use them in the prompt, better chosen, and collect some hundreds before tuning.",
        "C37",
        "bucher2024",
    ),
    Rule(
        "labels spread thin",
        "manner",
        {"behaviour": "short", "labels": "hundreds", "tasks": "many"},
        "examples",
        "Some hundreds of labels over many tasks are a few for each, and a model tuned to some tasks may get worse at the others.",
        "C41 C6",
        "luo2023",
    ),
    Rule(
        "tune the manner",
        "manner",
        {"behaviour": "short"},
        "tune",
        "A prompt with examples was measured and falls short, and there are labels to learn from: now tuning is the usual way.",
        "C35 C14 C37",
        "zhou2023 ibrahim2023 bucher2024",
    ),
    Rule(
        "is manner the trouble?",
        "manner",
        {},
        "unknown",
        "It is not known whether the model's manner is the trouble. Sort a plain prompt's failures: missing fact, wrong form, broken rule, noise.",
        "C43",
        "distillabs",
    ),
    # ---- the two together --------------------------------------------------------------------------------------------
    Rule(
        "weights hold both",
        "advice",
        {"facts": "weights"},
        "fine-tune",
        "If facts are to be in the weights, that is tuning, and the manner comes with it. Test it on reworded and reversed questions, beside a lookup of the same facts.",
        "C34",
        "allenzhu2023 wu2024",
    ),
    Rule(
        "one system at a time",
        "advice",
        {"facts": "lookup", "manner": "tune", "skills": "neither unknown"},
        "rag",
        "Facts to look up and a manner to tune: but if the team has built neither, two new systems at once are dear and hide which one helps. Facts first, then measure the manner again.",
        "C40 C42",
        "jain2024finetune ovadia2023",
    ),
    Rule(
        "both, one after the other",
        "advice",
        {"facts": "lookup", "manner": "tune"},
        "both",
        "Facts to look up, and a manner that prompts do not reach. That both together usually win is contested: RAG alone has beaten the hybrid. It is likelier to hold where tuning teaches how to use passages, not facts.",
        "C33 C42",
        "balaguer2024 ovadia2023",
    ),
    Rule(
        "retrieval",
        "advice",
        {"facts": "lookup"},
        "rag",
        "Facts have to be looked up. For the manner a prompt, with or without examples, comes first.",
        "C32",
        "ovadia2023",
    ),
    Rule(
        "facts or manner?",
        "advice",
        {"facts": "unknown", "manner": "tune"},
        "measure",
        "A prompt falls short, but maybe because facts are missing, and those tuning hardly teaches. Sort its failures before training.",
        "C43 C34",
        "distillabs wu2024",
    ),
    Rule(
        "does it know enough?",
        "advice",
        {"facts": "unknown", "manner": "prompt"},
        "measure",
        "A plain prompt is the cheapest answer, but whether the model knows enough for it is not known.",
        "C43",
        "distillabs",
    ),
    Rule(
        "nothing points anywhere",
        "advice",
        {"facts": "none unknown", "manner": "unknown"},
        "measure",
        "Too little is known to choose. An hour of measuring tells more than any advice.",
        "C43",
        "distillabs",
    ),
    Rule(
        "collect first",
        "advice",
        {"manner": "measure"},
        "measure",
        "What comes next depends on a score that can't be measured without labelled examples.",
        "C43 C44",
        "distillabs",
    ),
    Rule(
        "tuning",
        "advice",
        {"manner": "tune"},
        "fine-tune",
        "What is missing is manner, not facts, and cheaper ways have been tried.",
        "C35 C14",
        "zhou2023 ibrahim2023",
    ),
    Rule(
        "in context",
        "advice",
        {"manner": "examples"},
        "icl",
        "Examples in the prompt are the cheapest way that shows the model what is wanted.",
        "C26",
        "agarwal2024manyshot mosbach2023",
    ),
    Rule(
        "a prompt will do",
        "advice",
        {},
        "prompt",
        "A prompt is the cheapest way, and no answer speaks for more.",
        "C26 C35",
        "lin2023",
    ),
    # ---- notes: what else belongs to a step ----------------------------------------------------------------------------
    Rule(
        "a test set",
        "note",
        {"labels": "none unknown"},
        "measure",
        "Before anything is built, write down fifty to a hundred real inputs with their right answers, and keep them out of prompts and training.",
        "C43 C44",
        "distillabs meta2024",
    ),
    Rule(
        "mostly for testing",
        "note",
        {"labels": "tens"},
        "measure",
        "Keep at least half of the labels for testing: with fifty items a score is uncertain by more than ten points either way.",
        "C43",
        "distillabs",
    ),
    Rule(
        "several wordings",
        "note",
        {"behaviour": "untried short unknown", "advice": "measure prompt icl"},
        "prompt",
        "Try several wordings before you say that prompting fails: the wording alone can move a score a long way.",
        "C12 C13",
        "sclar2023 bakshi2024",
    ),
    Rule(
        "constrain the form",
        "note",
        {"behaviour": "untried short"},
        "prompt",
        "If it is form that matters, such as JSON, constrain the decoding: that warrants the form without any training, though not the content.",
        "C10",
        "predibase2024",
    ),
    Rule(
        "look examples up, too",
        "note",
        {"manner": "examples", "labels": "hundreds thousands", "advice": "icl rag"},
        "examples",
        "With this many labels, show for each input the examples most like it, and see whether a plain vote of them does as well.",
        "C30",
        "liu2021",
    ),
    Rule(
        "few examples",
        "note",
        {"manner": "examples", "advice": "icl rag"},
        "examples",
        "Keep the examples few: each is paid for with every call, and of many the model overlooks some.",
        "C28 C29",
        "agarwal2024manyshot liu2023",
    ),
    Rule(
        "prompts leak",
        "note",
        {"manner": "examples", "advice": "icl rag"},
        "examples",
        "What stands in a prompt can be got out of it: leave names and secrets out of the examples.",
        "C31",
        "duan2024",
    ),
    Rule(
        "let it abstain",
        "note",
        {"facts": "lookup prompt", "hallucination": "unacceptable"},
        "facts",
        "Passages make inventions rarer, not impossible. Let the model abstain, count wrong answers and abstentions apart, and have a person check what could do harm.",
        "C36",
        "magesh2024 yoran2023",
    ),
    Rule(
        "check citations",
        "note",
        {"facts": "lookup prompt", "sources": "helpful must"},
        "facts",
        "A citation is no proof: check whether the cited passage holds the answer.",
        "C39",
        "liu2023verify",
    ),
    Rule(
        "who edits the index",
        "note",
        {"facts": "lookup", "change": "monthly weekly"},
        "facts",
        "Settle who edits the index, and how soon a change must show in the answers.",
        "C38",
        "wu2024",
    ),
    Rule(
        "first search system",
        "note",
        {"facts": "lookup", "skills": "neither tuning"},
        "facts",
        "For a first search system begin with word search (BM25) from a well-kept library, and measure whether the right passage comes back before you look at answers.",
        "C40",
        "jain2024finetune",
    ),
    Rule(
        "data first",
        "note",
        {"advice": "fine-tune both"},
        "tune",
        "Have a plan for collecting and improving data before you tune: quality counts for more than size.",
        "C44",
        "zhou2023 meta2024",
    ),
    Rule(
        "no oracle",
        "note",
        {"manner": "tune", "advice": "fine-tune both"},
        "tune",
        "What examples did in the prompt may not foretell what training does, either way: make a small trial before the large one.",
        "C27",
    ),
    Rule(
        "the cheaper rival",
        "note",
        {"manner": "tune", "advice": "fine-tune both", "tasks": "one"},
        "tune",
        "If the task is to choose a label, train a linear classifier on sentence embeddings with the same labels: it costs seconds and comes close.",
        "C1",
        "bucher2024 raschka2024",
    ),
    Rule(
        "no new facts",
        "note",
        {"advice": "fine-tune both", "facts": "none prompt lookup"},
        "tune",
        "Keep facts that the model does not know out of the answers it is trained on: learning them makes it invent more.",
        "C11",
        "gekhman2024",
    ),
    Rule(
        "weights leak, too",
        "note",
        {"advice": "fine-tune both"},
        "tune",
        "Training examples that are repeated can be got out of the weights, and weights can't be edited: leave secrets out.",
        "C31",
        "duan2024",
    ),
    Rule(
        "what it forgets",
        "note",
        {"advice": "fine-tune both"},
        "tune",
        "Test what the model could do before as well: tuning can cost other abilities.",
        "C6",
        "luo2023",
    ),
    Rule(
        "an adapter a task",
        "note",
        {"advice": "fine-tune both", "tasks": "related many"},
        "tune",
        "Compare an adapter for each task with one for all: many adapters can share one base model.",
        "C41",
        "zhao2024",
    ),
    Rule(
        "tune on passages",
        "note",
        {"advice": "both"},
        "tune",
        "Train on prompts that hold retrieved passages, among them some that do not help: that teaches the use of passages, and to leave wrong ones aside.",
        "C23",
        "zhang2024 yoran2023",
    ),
    Rule(
        "first tuning",
        "note",
        {"advice": "fine-tune both", "skills": "neither search"},
        "tune",
        "For a first tuning begin with LoRA on a small model, and count in serving, evaluation and tuning again for each new base model.",
        "C40",
        "jain2024finetune",
    ),
    Rule(
        "tune again",
        "note",
        {"advice": "fine-tune", "change": "monthly weekly"},
        "tune",
        "If what changes is what is trained, each change means tuning and testing again: put it into the sum.",
        "C38 C40",
        "wu2024 jain2024finetune",
    ),
    Rule(
        "does it pay?",
        "note",
        {"advice": "fine-tune both"},
        "tune",
        "A shorter prompt saves tokens with every call; whether it saves money depends on prices, caching and calls a month: see the cost calculator.",
        "C20",
        "finetunedb2024 anthropic2024",
    ),
    # ---- conflicts: asked back -----------------------------------------------------------------------------------------
    Rule(
        "stale by design",
        "conflict",
        {"knowledge": "weights", "change": "weekly"},
        "",
        "The facts change every week, yet the model is to know them without looking them up. What forbids a lookup: no network, speed, secrecy? An index can lie beside the model.",
        "C38",
        "wu2024",
    ),
    Rule(
        "untrained weights",
        "conflict",
        {"knowledge": "weights", "labels": "none"},
        "",
        "Facts are to go into the weights, but there are no examples to train on. Who will write each fact in many phrasings, and the questions to test them?",
        "C34 C44",
        "allenzhu2023",
    ),
    Rule(
        "how was it measured?",
        "conflict",
        {"behaviour": "short", "labels": "none"},
        "",
        "A prompt with examples was measured and falls short, but there are no examples with the right answer. What was it measured with? Keep that: it is your first test set.",
        "C43",
        "distillabs",
    ),
    Rule(
        "nothing to check against",
        "conflict",
        {"hallucination": "unacceptable", "knowledge": "none weights"},
        "",
        "Made-up statements are not acceptable, but there are no sources to check an answer against. What will be checked: that it stands in the given text, or is one of some labels? If neither, which documents could serve?",
        "C36",
        "magesh2024",
    ),
    Rule(
        "nothing to cite",
        "conflict",
        {"sources": "must", "knowledge": "none weights"},
        "",
        "Every answer must show its source, but none is to be looked up. Is the source the text that the model is given? If not, which documents could be cited?",
        "C39",
        "liu2023verify",
    ),
    Rule(
        "what changes?",
        "conflict",
        {"behaviour": "short", "change": "weekly", "knowledge": "none"},
        "",
        "Something changes every week, but no facts from outside are needed. If it is the rules to be learned, tuning would start again each week: could they stand in the prompt as text?",
        "C38 C40",
        "wu2024",
    ),
)

# Which claims the book's experiments test, for the claims that the rules rest on.
EXPERIMENTS = {
    "wordings": "C13",
    "few_shot": "C26 C28 C30",
    "learning_curve": "C1 C13 C14",
    "example_position": "C29",
    "prompt_cost": "C20 C28",
    "gain_prediction": "C27",
    "leaks": "C31",
    "forgetting": "C6",
    "rag_knowledge": "C32 C34",
    "voice": "C9 C35",
    "formats": "C10",
    "rag_hallucination": "C11 C36",
    "label_curve": "C12 C37",
    "rag_dynamic": "C38",
    "rag_citations": "C39",
    "rag_cost": "C40",
    "task_diversity": "C41",
    "rag_hybrid": "C23 C33 C42",
}

# What their records say of each claim, in the verdict boxes' words (``whentofinetune.pages.verdict.AGREES``). The browser has no
# records to read, so it stands here; a test holds it against the records. A claim that is not here has no record yet.
FOUND = {
    "C1": "yes",
    "C6": "partly",
    "C9": "yes",
    "C10": "partly",
    "C11": "partly",
    "C12": "yes",
    "C13": "partly",
    "C14": "yes",
    "C20": "partly",
    "C23": "partly",
    "C26": "partly",
    "C27": "partly",
    "C28": "yes",
    "C29": "yes",
    "C30": "partly",
    "C31": "yes",
    "C32": "no",
    "C33": "partly",
    "C34": "no",
    "C35": "yes",
    "C36": "partly",
    "C37": "yes",
    "C38": "yes",
    "C39": "partly",
    "C40": "partly",
    "C41": "yes",
    "C42": "partly",
}
