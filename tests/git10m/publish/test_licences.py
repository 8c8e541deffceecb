"""Licences as they are really worded."""

from __future__ import annotations

import pytest

from git10m.publish.licences import hub_licences, refusal, strictest, understand

OPEN = {
    "CC-BY-4.0": "CC-BY-4.0",
    "CC BY 4.0": "CC-BY-4.0",
    "cc_by_4.0": "CC-BY-4.0",
    "ccby 4.0": "CC-BY-4.0",
    "Attribution 4.0 International (CC BY 4.0)": "CC-BY-4.0",
    "Creative Commons Attribution 4.0 International": "CC-BY-4.0",
    "https://creativecommons.org/licenses/by/4.0/deed.en": "CC-BY-4.0",
    "CC-BY-SA 3.0 IGO": "CC-BY-SA-3.0-IGO",
    "https://creativecommons.org/licenses/by-sa/3.0/igo/": "CC-BY-SA-3.0-IGO",
    "CC BY": "CC-BY",
    "CC0": "CC0-1.0",
    "CC0-1.0": "CC0-1.0",
    "https://creativecommons.org/publicdomain/zero/1.0/": "CC0-1.0",
    "Public domain": "public domain",
    "US Government, public domain": "public domain",
    "Copernicus Sentinel data terms (free, full and open)": "Copernicus Sentinel data terms",
    "OGL": "OGL-UK-3.0",
    "Open Government Licence v3.0": "OGL-UK-3.0",
    "Open Government Licence – Canada": "OGL-Canada-2.0",
    "Etalab 2.0": "etalab-2.0",
    "Licence Ouverte / Open Licence 2.0": "etalab-2.0",
    "ODbL": "ODbL-1.0",
    "Open Database License (ODbL) v1.0": "ODbL-1.0",
    "dl-de/by-2-0": "DL-DE-BY-2.0",
    "Datenlizenz Deutschland – Zero – Version 2.0": "DL-DE-ZERO-2.0",
    "Apache License 2.0": "Apache-2.0",
    "MIT": "MIT",
    "CC-BY-4.0 OR CC-BY-ND-4.0": "CC-BY-4.0",
    "Open government data of swisstopo: free use, source to be named": (
        "Open government data of swisstopo: free use, source to be named"
    ),
}

NO_DERIVATIVES = (
    *("CC-BY-NC-ND-4.0", "CC BY-ND", "Creative Commons BY-NC-ND 4.0", "BY-ND 4.0", "KOGL type 4"),
    *("Creative Commons Attribution-NonCommercial-NoDerivatives 4.0", "CC-BY-4.0 AND CC-BY-ND-4.0"),
    *("https://creativecommons.org/licenses/by-nd/4.0/", "Free to use, no derivatives", "CC BY NC ND"),
)

NO_COPIES = (
    *(
        "proprietary",
        "All Rights Reserved",
        "© Maxar, all rights reserved",
        "not for redistribution",
        "Google Maps terms",
    ),
    *("CC BY 4.0 in the public part, otherwise all rights reserved", "commercial licence of the vendor"),
    *("For internal use only", "Do not redistribute", "Redistribution is prohibited"),
)

UNSTATED = (None, "", " ", "other", "Various", "unknown", "N/A", "see website")


@pytest.mark.parametrize(("said", "name"), OPEN.items())
def test_open_licences_are_understood_in_their_spellings(said: str, name: str) -> None:
    assert understand(said).name == name
    assert refusal(said) is None


@pytest.mark.parametrize("said", NO_DERIVATIVES)
def test_no_derivatives_is_refused(said: str) -> None:
    assert "derivatives" in (refusal(said) or "")


@pytest.mark.parametrize("said", NO_COPIES)
def test_what_may_not_be_passed_on_is_refused(said: str) -> None:
    assert "redistribution" in (refusal(said) or "")


@pytest.mark.parametrize("said", UNSTATED)
def test_what_is_not_stated_is_refused(said: str | None) -> None:
    assert understand(said).name == "unstated"
    assert refusal(said) == "no licence is stated"


@pytest.mark.parametrize("said", [*OPEN, *NO_DERIVATIVES, *NO_COPIES, *UNSTATED])
def test_a_name_is_understood_as_itself(said: str | None) -> None:
    """``--allow-licence`` takes the names that messages give."""
    name = understand(said).name
    assert understand(name).name == name
    assert (refusal(name) is None) == (refusal(said) is None)


def test_the_hub_takes_its_own_names() -> None:
    assert hub_licences(["CC BY 4.0", "ODbL", "etalab-2.0"]) == ["cc-by-4.0", "etalab-2.0", "odbl"]
    assert hub_licences(["CC BY 4.0", "Copernicus"]) == ["other"]
    assert hub_licences(["CC-BY-SA-3.0-IGO"]) == ["other"]
    assert hub_licences([]) == ["unknown"]


def test_a_mixture_says_what_is_asked_of_it() -> None:
    said = " ".join(strictest(["CC-BY-SA-4.0", "ODbL", "CC BY-NC 4.0", None]))
    assert "CC-BY-NC-4.0 must not be used commercially" in said
    assert "CC-BY-SA-4.0, ODbL-1.0 each ask for themselves" in said
    assert "without a stated licence" in said
    assert strictest(["CC0-1.0", "public domain"]) == []
