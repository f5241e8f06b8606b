"""``python -m tunewise``: the same as the command ``tunewise``."""

from tunewise.cli import main

raise SystemExit(main())
