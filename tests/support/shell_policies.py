"""Forms that ``shell_environment_policy`` can have, and whether each keeps the API key from the model's commands."""

from __future__ import annotations

from typing import NamedTuple


class Form(NamedTuple):
    """A host's configuration, and what the turn is given with ``--config``."""

    text: str
    overrides: tuple[str, ...] = ()


def below(text: str, *overrides: str) -> Form:
    return Form(f"[shell_environment_policy]\n{text}\n", overrides)


KEEPS = {
    "as the role writes it": below('exclude = ["CODEX_API_KEY", "OPENAI_API_KEY"]'),
    "dotted": Form('shell_environment_policy.inherit = "all"\nshell_environment_policy.exclude = ["CODEX_API_KEY"]'),
    "inline table": Form('shell_environment_policy = { exclude = ["CODEX_API_KEY"] }'),
    "single quotes": below("exclude = ['CODEX_API_KEY']"),
    "indented": Form("  [shell_environment_policy]\n   exclude = [\n  'A', # x\n 'CODEX_API_KEY',\n]"),
    "comment after the header": Form('[ shell_environment_policy ] # x\nexclude = ["CODEX_API_KEY"]'),
    "quoted keys": Form('["shell_environment_policy"]\n"exclude" = ["CODEX_API_KEY"]'),
    "escaped": below('exclude = ["\\u0043ODEX_API_KEY"]'),
    "carriage returns": Form('[shell_environment_policy]\r\nexclude = ["CODEX_API_KEY"]\r\n'),
    "glob": below('exclude = ["CODEX_*"]'),
    "any": below('exclude = ["*"]'),
    "glob inside": below('exclude = ["C*_K?Y"]'),
    "one character each": below('exclude = ["CODEX?API?KEY"]'),
    "lower case": below('exclude = ["codex_api_*"]'),
    "sign of Kelvin": below('exclude = ["CODEX_API_\u212aEY"]'),
    "default excludes": below("ignore_default_excludes = false"),
    "inherit none": below('inherit = "none"'),
    "inherit core": below('inherit = "core"'),
    "core, and asked for by name": below('inherit = "core"\ninclude_only = ["CODEX_API_KEY"]'),
    "others only": below('include_only = ["PATH", "HOME"]'),
    "excluded and included": below('ignore_default_excludes = false\ninclude_only = ["*KEY"]'),
    "set to something else": below('set = { CODEX_API_KEY = "other" }'),
    "set in a table": Form('[shell_environment_policy.set]\nCODEX_API_KEY = "other"'),
    "excluded by the turn": below('inherit = "all"', 'shell_environment_policy.exclude=["CODEX_*"]'),
    "a table of the turn's": Form("", ('shell_environment_policy={exclude = ["CODEX_API_KEY"]}',)),
    "the turn adds to the host's": below('exclude = ["CODEX_API_KEY"]', 'shell_environment_policy={inherit = "all"}'),
    "a word of the turn's": Form("", ("shell_environment_policy.inherit=none",)),
}
LEAKS = {
    "nothing": Form(""),
    "in a comment": below('# exclude = ["CODEX_API_KEY"]\nexclude = []'),
    "in a comment of the list": below('exclude = [\n# "CODEX_API_KEY"\n"AWS_*"]'),
    "in a text": Form('developer_instructions = """\n[shell_environment_policy]\nexclude = ["CODEX_API_KEY"]\n"""'),
    "in another table": Form('[shell_environment_policy]\n[features]\n"exclude" = false\n[other]\nexclude = ["*KEY"]'),
    "in a table of that name elsewhere": Form('[x.shell_environment_policy]\nexclude = ["CODEX_API_KEY"]'),
    "capital letters": Form('[Shell_Environment_Policy]\nexclude = ["CODEX_API_KEY"]'),
    "misspelt": below('excludes = ["CODEX_API_KEY"]'),
    "a part of the name": below('exclude = ["API_KEY"]'),
    "blanks": below('exclude = [" CODEX_API_KEY "]'),
    "class of characters": below('exclude = ["CODEX_[A-Z]PI_KEY"]'),
    "no default excludes": below("ignore_default_excludes = true"),
    "inherit all": below('inherit = "all"'),
    "included": below('include_only = ["PATH", "codex_*"]'),
    "nothing included": below("include_only = []"),
    "set in lower case": below('set = { codex_api_key = "other" }'),
    "undone by the turn": below('exclude = ["CODEX_API_KEY"]', "shell_environment_policy.exclude=[]"),
    "replaced by the turn": below('exclude = ["CODEX_*"]', 'shell_environment_policy={exclude = ["AWS_*"]}'),
    "inherited for the turn": below('inherit = "none"', "shell_environment_policy.inherit=all"),
}
# No turn runs with these.
REFUSED = {
    "array of tables": Form('[[shell_environment_policy]]\nexclude = ["CODEX_API_KEY"]'),
    "no list": below('exclude = "CODEX_API_KEY"'),
    "not only texts": below('exclude = ["CODEX_API_KEY", 1]'),
    "no such word": below('inherit = "nothing"'),
    "profile": Form('profile = "p"\n[profiles.p.shell_environment_policy]\nexclude = ["CODEX_API_KEY"]'),
    "twice": below('exclude = []\nexclude = ["CODEX_API_KEY"]'),
    "no TOML": below('exclude = ["CODEX_API_KEY"]\nx ='),
}
FORMS = {**KEEPS, **LEAKS, **REFUSED}
