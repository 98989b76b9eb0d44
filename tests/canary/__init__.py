"""What releases of the Codex CLI are like, recorded from the real ones, and how another differs from them."""

import conftest  # noqa: F401  # makes the checkout a collection
