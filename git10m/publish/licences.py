"""Licences: what a name or sentence means, what it forbids, and how the hub names it.

Imagery comes with an SPDX identifier at best and a sentence at worst. One table understands the common spellings of
both; everything else keeps its own words and is taken for a licence that nobody here has read. Nothing of this is
legal advice: it sorts rows, and says plainly what was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

__all__ = ["UNSTATED", "Licence", "hub_licences", "hub_name", "refusal", "strictest", "understand"]

UNSTATED = "unstated"
"""Name of what has no licence, as ``--allow-licence`` takes it."""


@dataclass(frozen=True, slots=True)
class Licence:
    """What one licence asks and forbids.

    Attributes:
        name: SPDX identifier where there is one, else its usual name, else the very words that were found.
        hub: The Hugging Face hub's name; None where it has none.
        spdx: Whether ``name`` is an SPDX identifier.
        known: Whether it was understood; of other licences only what their words say plainly is known.
        derivatives: Whether altered copies may be passed on.
        redistribution: Whether copies may be passed on at all.
        share_alike: Whether what is made from it must come under the same terms.
        non_commercial: Whether commercial use is forbidden.
        credit: Whether its source must be named.
        url: Where its text stands.
    """

    name: str
    hub: str | None = None
    spdx: bool = True
    known: bool = True
    derivatives: bool = True
    redistribution: bool = True
    share_alike: bool = False
    non_commercial: bool = False
    credit: bool = True
    url: str | None = None


_HUB_CREATIVE_COMMONS = frozenset(
    {
        *("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0"),
        *("cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    }
)

_ODC = "https://opendatacommons.org/licenses"
_TABLE: tuple[tuple[str, Licence], ...] = (
    # Order matters: the first pattern that is found wins. Texts are in small letters, words parted by one space.
    (r"\bcc ?(0|zero)\b|\bcc pddc\b|\bpublicdomain/zero\b|creative commons zero",
     Licence("CC0-1.0", "cc0-1.0", url="https://creativecommons.org/publicdomain/zero/1.0/", credit=False)),
    (r"\bpddl\b|public domain dedication and licen[cs]e",
     Licence("PDDL-1.0", "pddl", url=f"{_ODC}/pddl/1-0/", credit=False)),
    (r"\bodbl\b|open (data commons )?(open )?database licen[cs]e",
     Licence("ODbL-1.0", "odbl", share_alike=True, url=f"{_ODC}/odbl/1-0/")),
    (r"\bodc by\b|open data commons attribution", Licence("ODC-By-1.0", "odc-by", url=f"{_ODC}/by/1-0/")),
    (r"\bcdla sharing( 1\.0)?\b|community data license agreement sharing",
     Licence("CDLA-Sharing-1.0", "cdla-sharing-1.0", share_alike=True, url="https://cdla.dev/sharing-1-0/")),
    (r"\bcdla permissive 1\.0\b", Licence("CDLA-Permissive-1.0", "cdla-permissive-1.0",
                                          url="https://cdla.dev/permissive-1-0/")),
    (r"\bcdla permissive( 2\.0)?\b|community data license agreement permissive",
     Licence("CDLA-Permissive-2.0", "cdla-permissive-2.0", url="https://cdla.dev/permissive-2-0/")),
    (r"\betalab( 2\.0| 2)?\b|licence ouverte|open licen[cs]e 2\.0",
     Licence("etalab-2.0", "etalab-2.0", url="https://www.etalab.gouv.fr/licence-ouverte-open-licence/")),
    (r"\bdl de[ /](by|namensnennung)\b|datenlizenz deutschland namensnennung",
     Licence("DL-DE-BY-2.0", url="https://www.govdata.de/dl-de/by-2-0")),
    (r"\bdl de[ /](zero|nulls?)\b|datenlizenz deutschland zero",
     Licence("DL-DE-ZERO-2.0", url="https://www.govdata.de/dl-de/zero-2-0", credit=False)),
    (r"\bogl canada\b|open government licen[cs]e canada|\bogl ca\b",
     Licence("OGL-Canada-2.0", url="https://open.canada.ca/en/open-government-licence-canada")),
    (r"\bogl( uk)?( v?3\.0| 3)?\b|open government licen[cs]e",
     Licence("OGL-UK-3.0", url="https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/")),
    (r"\bnlod\b|norwegian licen[cs]e for open", Licence("NLOD-2.0", url="https://data.norge.no/nlod/en/2.0")),
    (r"\bkogl\b.*\b[34]\b", Licence("KOGL types 3 and 4", spdx=False, derivatives=False)),
    (r"\bkogl\b.*\b2\b", Licence("KOGL type 2", spdx=False, non_commercial=True)),
    (r"\bkogl\b", Licence("KOGL type 1", spdx=False)),
    (r"\bcopernicus\b|\bsentinel data (terms|legal)",
     Licence("Copernicus Sentinel data terms", spdx=False,
             url="https://sentinel.esa.int/documents/247904/690755/Sentinel_Data_Legal_Notice")),
    (r"nasa earth ?(science|data)|nasa open data", Licence("NASA Earth science data terms", spdx=False)),
    (r"\bapache( license| licence)?( version)?( 2(\.0)?)?\b",
     Licence("Apache-2.0", "apache-2.0", url="https://www.apache.org/licenses/LICENSE-2.0")),
    (r"^(the )?mit( license| licence)?$", Licence("MIT", "mit", url="https://opensource.org/license/mit")),
    (r"^(bsd 3 clause|bsd 3)( license)?$", Licence("BSD-3-Clause", "bsd-3-clause")),
    (r"^unlicense$", Licence("Unlicense", "unlicense", credit=False)),
    (r"\bpublic ?domain\b|^pdm?( 1\.0)?$|\bus government works?\b|\bno (known )?copyright\b",
     Licence("public domain", spdx=False, credit=False)),
)  # fmt: skip
_PATTERNS = tuple((re.compile(pattern), licence) for pattern, licence in _TABLE)

_SAYS_NOTHING = frozenset(
    {
        *("", "other", "various", "none", "unknown", "null", "nan", "n/a", "n a", "na", "tbd", "unstated", "custom"),
        *("not stated", "unspecified", "not specified", "undefined", "no license", "no licence"),
        *("see website", "see below"),
    }
)
_NO_DERIVATIVES = re.compile(
    r"\bno ?deriv|\bnoderiv|without (any )?modification|may not be (modified|altered)|keine bearbeitung|\bno changes\b"
)
_NO_COPIES = re.compile(
    r"\bproprietary\b|all rights reserved|alle rechte vorbehalten|tous droits réservés|"
    r"(?<!non )(?<!non)commercial licen[cs]e|"
    r"(no|not|never)( be| for| to be)? (further )?re ?distribut|no (re)?distribution|redistribution (is )?(prohibited|"
    r"forbidden|not)|not be shared|internal use|personal use|research use only|confidential|\bgoogle (maps|earth)\b|"
    r"\bbing maps\b|view(ing)? only|\b(eula|end user licen[cs]e)\b"
)
_NOT_COMMERCIAL = re.compile(r"\bnon ?commercial|not for commercial|no commercial use|\bresearch only\b")
_SHARE_ALIKE = re.compile(r"\bshare ?alike|same (licen[cs]e|terms)")
_CC_CODE = re.compile(
    r"(?:\bcc ?|\bcreative ?commons (?:licen[cs]e )?|creativecommons\.org/licenses/|^(?=by (?:nc|nd|sa|\d)))"
    r"by((?: (?:nc|nd|sa))*)\b(?:[ /]*v?(\d(?:\.\d)?))?"
)
_PORTS = re.compile(r"[ /](igo|[a-z]{2})$")


def understand(said: str | None) -> Licence:
    """Return what a licence means that is stated as an identifier, an address or a sentence.

    ``A AND B`` asks what both ask; ``A OR B`` is the more liberal one, for whoever takes it may choose.

    Args:
        said: As the recipe, catalog or file states it; None where nothing is said.
    """
    text = " ".join((said or "").split())
    parts = [part.strip(" ()") for part in re.split(r"\s+AND\s+|\s+\+\s+", text) if part.strip(" ()")]
    if len(parts) > 1:
        return _joined(text, [understand(part) for part in parts])
    choices = [part.strip(" ()") for part in re.split(r"\s+OR\s+", text) if part.strip(" ()")]
    if len(choices) > 1:
        return min((understand(choice) for choice in choices), key=_strictness)
    return _understood(text)


def refusal(said: str | None) -> str | None:
    """Return why rows of a licence are not published unless asked for: None where they may be."""
    licence = understand(said)
    if licence.name == UNSTATED:
        return "no licence is stated"
    if not licence.redistribution:
        return "forbids redistribution"
    return None if licence.derivatives else "forbids derivatives, and a tile that was cut and warped is one"


def hub_name(said: str | None) -> str:
    """Return the hub's name of a licence, ``"other"`` where it has none."""
    return understand(said).hub or "other"


def hub_licences(said: Iterable[str | None]) -> list[str]:
    """Name licences as the hub does; one that it has no name for makes the whole ``other``."""
    listed = list(said)
    known = sorted({hub_name(each) for each in listed})
    return known if known and "other" not in known else ["other" if listed else "unknown"]


def strictest(said: Sequence[str | None]) -> list[str]:
    """Say in plain sentences what a mixture of licences asks of whoever uses all of it."""
    found = {licence.name: licence for licence in map(understand, said)}
    unstated = found.pop(UNSTATED, None) is not None
    asks = {
        "must not be used commercially": [name for name, each in found.items() if each.non_commercial],
        "must be passed on, where it was altered, under the same licence": _alike(found),
        "must not be passed on in altered form": [name for name, each in found.items() if not each.derivatives],
        "must not be passed on at all": [name for name, each in found.items() if not each.redistribution],
        "must be shown with a credit line": [name for name, each in found.items() if each.credit and each.known],
        "comes under terms that git10m does not know: read them": [n for n, each in found.items() if not each.known],
    }
    sentences = [f"What is under {', '.join(sorted(names))} {what}." for what, names in asks.items() if names]
    if unstated:
        sentences.append("A part comes without a stated licence: nobody has said that it may be used.")
    if len(_alike(found)) > 1:
        named = ", ".join(sorted(_alike(found)))
        sentences.append(f"{named} each ask for themselves: a work made of both may be impossible to license.")
    return sentences


def _alike(found: Mapping[str, Licence]) -> list[str]:
    return [name for name, each in found.items() if each.share_alike]


def _understood(text: str) -> Licence:
    plain = re.sub(r"[\s_\-–—,;:()\"'®™©]+", " ", text.lower().replace("u.s.", "us")).strip(" .")
    if plain in _SAYS_NOTHING:
        return Licence(UNSTATED, spdx=False, known=False, derivatives=False, redistribution=False)
    derivatives, redistribution = _NO_DERIVATIVES.search(plain) is None, _NO_COPIES.search(plain) is None
    named = _creative_commons(plain) or next((one for pattern, one in _PATTERNS if pattern.search(plain)), None)
    if named is not None:
        # A sentence that names a licence and forbids what it allows is believed where it forbids.
        if (named.derivatives and not derivatives) or (named.redistribution and not redistribution):
            return replace(
                named, name=text, spdx=False, hub=None, derivatives=derivatives, redistribution=redistribution
            )
        return named
    return Licence(
        text,
        spdx=False,
        known=False,
        share_alike=_SHARE_ALIKE.search(plain) is not None,
        non_commercial=_NOT_COMMERCIAL.search(plain) is not None,
        url=text if re.fullmatch(r"https?://\S+", text) else None,
        derivatives=derivatives,
        redistribution=redistribution,
    )


def _creative_commons(plain: str) -> Licence | None:
    """Understand CC BY in all its forms: codes, addresses and names in words."""
    code = _CC_CODE.search(plain)
    if code is not None:
        asked, version = set(code[1].split()), code[2]
        after = _PORTS.search(plain[code.start() : code.end() + 4])
    elif "creative commons" in plain and ("attribution" in plain or "share" in plain):
        terms = {"nc": r"non ?commercial", "nd": r"no ?deriv", "sa": r"share ?alike"}
        asked = {term for term, words in terms.items() if re.search(words, plain)}
        number = re.search(r"\b(\d\.\d)\b", plain)
        version, after = (number[1] if number else None), re.search(r" (igo)\b", plain)
    else:
        return None
    if version is not None and "." not in version:
        version += ".0"
    letters = "-".join(["by", *(term for term in ("nc", "nd", "sa") if term in asked)])
    # SPDX orders ND before SA, and no licence has both.
    port = after[1].upper() if after else None
    name = "-".join(["CC", letters.upper(), *([version] if version else []), *([port] if port and version else [])])
    hub = name.lower()
    path = f"{version}/" if version and port is None else f"{version}/{port.lower()}/" if version and port else ""
    return Licence(
        name,
        hub if hub in _HUB_CREATIVE_COMMONS else None,
        spdx=version is not None,
        derivatives="nd" not in asked,
        share_alike="sa" in asked,
        non_commercial="nc" in asked,
        url=f"https://creativecommons.org/licenses/{letters}/{path}",
    )


def _joined(text: str, parts: Sequence[Licence]) -> Licence:
    named = [part for part in parts if part.name != UNSTATED]
    return Licence(
        " AND ".join(part.name for part in named) if named else UNSTATED,
        spdx=all(part.spdx for part in parts),
        known=all(part.known for part in parts),
        derivatives=all(part.derivatives for part in parts),
        redistribution=all(part.redistribution for part in parts),
        share_alike=any(part.share_alike for part in parts),
        non_commercial=any(part.non_commercial for part in parts),
        credit=any(part.credit for part in parts),
    )


def _strictness(licence: Licence) -> tuple[bool, ...]:
    return (
        licence.name == UNSTATED,
        not licence.redistribution,
        not licence.derivatives,
        licence.non_commercial,
        licence.share_alike,
        licence.credit,
    )
