"""One module a subcommand of ``tunewise``: ``add_arguments(parser)`` and ``main(args) -> exit status``."""
