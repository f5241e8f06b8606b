"""Subcommands that the book adds to the command ``tunewise``: name -> (module, one line of help)."""

COMMANDS = {
    "claims": (
        "whentofinetune.commands.claims_command",
        "the article's claims: their tests, and what the records say",
    ),
    "decide": (
        "whentofinetune.commands.decide_command",
        "prompt, examples, RAG or fine-tuning: eight questions, one recommendation",
    ),
    "doctor": ("whentofinetune.commands.doctor", "what this machine can do, and what is missing"),
    "labs": ("whentofinetune.commands.labs_command", "make, collect and repair lab notebooks"),
    "list": ("whentofinetune.commands.list_runs", "the experiments and their records"),
    "run": ("whentofinetune.commands.run_experiment", "run an experiment, or find its finished record"),
}
