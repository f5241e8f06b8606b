"""Subcommands that the book adds to the command ``tunewise``: name -> (module, one line of help)."""

_SAYS = {
    "claims_command": "the article's claims: their tests, and what the records say",
    "decide_command": "prompt, examples, RAG or fine-tuning: eight questions, one recommendation",
    "doctor": "what this machine can do, and what is missing",
    "labs_command": "make, collect and repair lab notebooks",
    "list_runs": "the experiments and their records",
    "plan_command": "what tuning a larger model on your rows takes: tokens, GPUs, hours, price",
    "run_experiment": "run an experiment, or find its finished record",
}
COMMANDS = {name.split("_")[0]: (f"{__name__}.{name}", says) for name, says in _SAYS.items()}
