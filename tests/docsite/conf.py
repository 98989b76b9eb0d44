"""How Sphinx makes the pages of the documentation and those of the modules into one site: make docsite"""

project = "alive.codex"
copyright = "Alive maintainers"

extensions = ["myst_parser", "sphinx_antsibull_ext"]
# As GitHub has them.
myst_heading_anchors = 3
# What is indented in our pages is commands; the modules' examples say themselves that they are YAML.
highlight_language = "console"

html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_copy_source = False

# A link that leads nowhere is a warning, and a warning ends the build. What is in Ansible's own pages is not here.
nitpicky = True
_ANSIBLE = r"ansible_collections\.ansible\..*|ansible_configuration_settings|action_plugins|common_return_values"
nitpick_ignore_regex = [("std:.*", _ANSIBLE)]
