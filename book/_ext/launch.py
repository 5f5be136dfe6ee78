"""Links to the repository, to Binder and to Colab on every chapter, once CITATION.cff names a public address."""

import yaml

from alphaflops.book.contents import checkout

BRANCH = "main"


def theme_options(cited: dict) -> dict:
    """Give the theme's settings for a citation; none while it names no address."""
    address = cited.get("repository-code")
    if not address:
        return {}
    launch = {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
        "notebook_interface": "jupyterlab",
    }
    buttons = {"use_repository_button": True, "use_issues_button": True, "launch_buttons": launch}
    return {"repository_url": address, "repository_branch": BRANCH, "path_to_docs": "", **buttons}


def add_links(app, config):
    """Add the settings to those of ``_config.yml``."""
    cited = yaml.safe_load((checkout() / "CITATION.cff").read_text(encoding="utf-8"))
    config.html_theme_options = {**config.html_theme_options, **theme_options(cited)}


def setup(app):
    """Register with Sphinx."""
    app.connect("config-inited", add_links, priority=400)  # before the theme reads its options
    return {"parallel_read_safe": True, "parallel_write_safe": True}
