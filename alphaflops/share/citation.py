"""How to cite the software and the paper that it re-runs: one record, written in every format that is asked for.

``CITATION.cff``, ``.zenodo.json`` and ``codemeta.json`` of the checkout are made here (``alphaflops cite --format``).
So they agree with each other, with the version, and with an installed package, which has none of these files.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from .. import __version__
from ..errors import AlphaflopsError

SOFTWARE_LICENCE: Final = "MIT"
SOFTWARE_LICENCE_AT: Final = "https://spdx.org/licenses/MIT"
TEXT_LICENCE: Final = "CC-BY-4.0"
TEXT_LICENCE_AT: Final = "https://creativecommons.org/licenses/by/4.0/"
YEAR: Final = 2026
REPOSITORY: Final[str | None] = None
"""Public address of the repository, once there is one: the citation files and the book's links to it, to Binder and to
Colab follow from it."""

SOFTWARE: Final[Mapping[str, Any]] = {
    "title": "alphaflops: a paper on FLOPs and parallel hardware, rerun on your machine",
    "abstract": (
        "A book that re-runs the experiments of 'Dissecting FLOPs along input dimensions for GreenAI cost estimations' "
        "on the reader's own hardware, and a library that counts neural-network layers, times them and tests formulas "
        "for their cost."
    ),
    "author": "The alphaflops authors",
    "keywords": ["FLOPs", "GreenAI", "benchmark", "cost model", "reproducibility", "PyTorch"],
}
"""The software, apart from its version."""

PAPER: Final[Mapping[str, Any]] = {
    "title": "Dissecting FLOPs along input dimensions for GreenAI cost estimations",
    "authors": [("Asperti", "Andrea"), ("Evangelista", "Davide"), ("Marzolla", "Moreno")],
    "year": 2021,
    "conference": "Machine Learning, Optimization, and Data Science (LOD 2021)",
    "series": "Lecture Notes in Computer Science",
    "volume": "13164",
    "publisher": "Springer",
    "doi": "10.1007/978-3-030-95470-3_7",
    "arxiv": "2107.11949",
}
"""The paper whose figures are re-run."""

REPLICATION: Final[Mapping[str, Any]] = {
    "title": "FLOPs vs Real Work: The Importance of Replication in AI Efficiency Assessment",
    "authors": [("Barba Roque", "Enrique"), ("Cruz", "Luís")],
    "year": 2026,
    "conference": "EASE 2026",
    "arxiv": "2608.14550",
}
"""The replication whose experiments and constants are included."""


def _people(work: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"family-names": family, "given-names": given} for family, given in work["authors"]]


def _work(work: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": "conference-paper",
        "title": work["title"],
        "authors": _people(work),
        "year": work["year"],
    }
    told["collection-title"] = work["conference"]
    told |= {key: work[key] for key in ("volume", "doi") if key in work}
    told |= {"publisher": {"name": work["publisher"]}} if "publisher" in work else {}
    told["identifiers"] = [{"type": "other", "value": f"arXiv:{work['arxiv']}"}]
    return told


def citation() -> dict[str, Any]:
    """Give the content of ``CITATION.cff``, format 1.2.0."""
    return {
        "cff-version": "1.2.0",
        "message": "Please cite the paper, and this software if you used it.",
        "type": "software",
        "title": SOFTWARE["title"],
        "version": __version__,
        "abstract": SOFTWARE["abstract"],
        "authors": [{"name": SOFTWARE["author"]}],
        **({"repository-code": REPOSITORY} if REPOSITORY else {}),
        "license": SOFTWARE_LICENCE,
        "keywords": SOFTWARE["keywords"],
        "preferred-citation": _work(PAPER),
        "references": [_work(REPLICATION)],
    }


def zenodo() -> dict[str, Any]:
    """Give the content of ``.zenodo.json``, which an archive reads when a release is deposited."""
    here = [{"identifier": REPOSITORY, "relation": "isIdenticalTo", "scheme": "url"}] if REPOSITORY else []
    return {
        "title": SOFTWARE["title"],
        "upload_type": "software",
        "version": __version__,
        "description": SOFTWARE["abstract"],
        "creators": [{"name": SOFTWARE["author"]}],
        "license": SOFTWARE_LICENCE,
        "access_right": "open",
        "keywords": SOFTWARE["keywords"],
        "notes": f"Text, notebooks and measurements: {TEXT_LICENCE}.",
        "related_identifiers": [
            {"identifier": PAPER["doi"], "relation": "isSupplementTo", "scheme": "doi"},
            {"identifier": f"arXiv:{PAPER['arxiv']}", "relation": "isSupplementTo", "scheme": "arxiv"},
            {"identifier": f"arXiv:{REPLICATION['arxiv']}", "relation": "references", "scheme": "arxiv"},
            *here,
        ],
    }


def codemeta() -> dict[str, Any]:
    """Give the content of ``codemeta.json``, format 3.0."""
    people = [{"@type": "Person", "familyName": family, "givenName": given} for family, given in PAPER["authors"]]
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": "alphaflops",
        "description": SOFTWARE["abstract"],
        **({"codeRepository": REPOSITORY} if REPOSITORY else {}),
        "version": __version__,
        "license": SOFTWARE_LICENCE_AT,
        "author": [{"@type": "Organization", "name": SOFTWARE["author"]}],
        "keywords": SOFTWARE["keywords"],
        "programmingLanguage": "Python",
        "runtimePlatform": "Python 3.11 or newer",
        "developmentStatus": "active",
        "referencePublication": {
            "@type": "ScholarlyArticle",
            "@id": f"https://doi.org/{PAPER['doi']}",
            "name": PAPER["title"],
            "author": people,
            "datePublished": str(PAPER["year"]),
        },
    }


def yaml(value: Any, indent: int = 0) -> str:
    """Write nested dicts and lists as YAML; every text is quoted, so that none is read as a number or date."""
    pad = "  " * indent
    lines = []
    if isinstance(value, Mapping):
        for key, item in value.items():
            nested = isinstance(item, Mapping | list)
            lines.append(f"{pad}{key}:\n{yaml(item, indent + 1)}" if nested else f"{pad}{key}: {yaml(item)}")
        return "\n".join(lines)
    if isinstance(value, list):
        for item in value:
            text = yaml(item, indent + 1)
            lines.append(f"{pad}- {text.lstrip()}")
        return "\n".join(lines)
    return json.dumps(value, ensure_ascii=False)


def bibtex() -> str:
    """Write the paper, the replication and the software as BibTeX entries."""
    paper = {
        "author": " and ".join(f"{family}, {given}" for family, given in PAPER["authors"]),
        "title": f"{{{PAPER['title']}}}",
        "booktitle": PAPER["conference"],
        **{key: PAPER[key] for key in ("series", "volume", "publisher", "year", "doi")},
    }
    replication = {
        "author": " and ".join(f"{family}, {given}" for family, given in REPLICATION["authors"]),
        "title": f"{{{REPLICATION['title']}}}",
        "booktitle": REPLICATION["conference"],
        "year": REPLICATION["year"],
        "eprint": REPLICATION["arxiv"],
        "archiveprefix": "arXiv",
    }
    software = {
        "author": f"{{{SOFTWARE['author']}}}",
        "title": f"{{{SOFTWARE['title']}}}",
        "version": __version__,
        "year": YEAR,
    }
    entries = (("inproceedings", "asperti2021", paper), ("inproceedings", "barbaroque2026", replication))
    return "\n".join(
        f"@{kind}{{{key},\n" + "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items()) + "}"
        for kind, key, fields in (*entries, ("software", "alphaflops", software))
    )


def _apa_authors(work: Mapping[str, Any]) -> str:
    names = [f"{family}, {given[0]}." for family, given in work["authors"]]
    return ", ".join(names[:-1]) + f", & {names[-1]}"


def apa() -> str:
    """Write the paper, the replication and the software as APA references."""
    return "\n".join(
        (
            f"{_apa_authors(PAPER)} ({PAPER['year']}). {PAPER['title']}. In {PAPER['conference']}, {PAPER['series']} "
            f"{PAPER['volume']}. {PAPER['publisher']}. https://doi.org/{PAPER['doi']}",
            f"{_apa_authors(REPLICATION)} ({REPLICATION['year']}). {REPLICATION['title']}. "
            f"{REPLICATION['conference']}. arXiv:{REPLICATION['arxiv']}",
            f"{SOFTWARE['author']} ({YEAR}). {SOFTWARE['title']} (Version {__version__}) [Computer software].",
        )
    )


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


FORMATS: Final[Mapping[str, Callable[[], str]]] = {
    "apa": apa,
    "bibtex": bibtex,
    "cff": lambda: yaml(citation()),
    "zenodo": lambda: _json(zenodo()),
    "codemeta": lambda: _json(codemeta()),
}
"""What `cite` writes, by name."""

COMMITTED: Final = {"CITATION.cff": "cff", ".zenodo.json": "zenodo", "codemeta.json": "codemeta"}
"""Files of the checkout and the format that each is written in."""


def cite(form: str = "apa") -> str:
    """Write how to cite the software and the paper.

    Raises
    ------
    AlphaflopsError
        If the format is unknown.
    """
    if form not in FORMATS:
        raise AlphaflopsError(f"format {form!r} is unknown: choose one of {', '.join(FORMATS)}")
    return FORMATS[form]()
