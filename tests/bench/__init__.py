"""Speed, side by side: ``python -m bench`` from ``tests/``, or ``make bench``. See harness.py for what a row is."""

import conftest  # noqa: F401  # makes the checkout a collection, for Ansible too
