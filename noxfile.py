"""Sessions of nox, all of them described in antsibull-nox.toml: make gates."""

import nox
from antsibull_nox import load_antsibull_nox_toml

nox.options.reuse_venv = "yes"
load_antsibull_nox_toml()
