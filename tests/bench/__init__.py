"""Speed, side by side: ``python -m bench`` from ``tests/``, or ``make bench``. See harness.py for what a row is."""
