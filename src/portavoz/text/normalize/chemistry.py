"""Formulas of chemistry, letter by letter: Fe2O3, CaCO3, Mg(OH)2, Cl-."""

from __future__ import annotations

import re

from . import numbers
from .rules import Rules, spell

CHEMISTRY = Rules("chemistry")  # at a capital letter

_ELEMENT = (
    r"(?:A[cglrstu]|B[aeir]?|C[adeflorsu]?|Dy|E[rsu]|F[er]?|G[ade]|H[efgo]?|I[nr]?|Kr?|L[aiu]|M[gno]|N[abdeip]?|Os?"
    r"|P[abdrtu]?|R[abehnu]|S[bceimnr]?|T[abcehilm]|U|V|W|Xe|Yb?|Z[nr])"
)
_ATOMS = rf"(?:{_ELEMENT}\d{{0,2}})"
_ATOM = re.compile(r"([A-Z][a-z]?)(\d*)|\)(\d*)")
_IONS = "Na|K|Li|Ag|Ca|Mg|Ba|Cu|Fe|Zn|Al|Cl|Br|I|F|H|OH|NH4|NO3|SO4|HCO3|CO3|PO4"


@CHEMISTRY.rule(rf"(?=[A-Za-z()]{{0,24}}\d)(?:{_ATOMS}|\((?:{_ATOMS}){{1,4}}\)\d{{1,2}}){{2,9}}(?![A-Za-z\d'’-])")
def _formula(m: re.Match[str]) -> str | None:
    """Fe2O3 and CaCO3; a row of capitals and figures is no formula for certain, but read the same way."""
    return _read(m[0]) if any(c.islower() for c in m[0]) or "(" in m[0] else None


@CHEMISTRY.rule(rf"({_IONS})(\d?)([-−+])(?![\w+-])")
def _ion(m: re.Match[str]) -> str | None:
    """Cl-, Ca2+; a dash that goes on is left to others."""
    if len(m[1]) < 2 and not m[2]:
        return None
    charge = f"{numbers.number(m[2])} " if m[2] else ""
    return f"{_read(m[1])} {charge}{'plus' if m[3] == '+' else 'minus'}"


def _read(formula: str) -> str:
    said: list[str] = []
    for atom in _ATOM.finditer(formula):
        said += spell(atom[1] or "").split()
        said += numbers.number(atom[2] or atom[3] or "").split()
    return " ".join(said)
