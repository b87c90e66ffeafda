"""``python -m codeckit`` is the command ``codeckit``."""

from .cli import main

raise SystemExit(main())
