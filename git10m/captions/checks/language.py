"""Whether a text is English: by its letters, and by the small words that every language needs.

No model, no download: of a text the small words (articles, prepositions, pronouns, auxiliaries) of English and of
other languages in Latin script are counted. Words that several languages share count for each. Names in any script
are no hindrance as long as most letters are Latin. Short texts without small words ("Buildings and roads") pass.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from git10m.captions.checks.reading import Text

__all__ = ["language_faults"]

_LEAST_LATIN = 0.6
"""Least share of Latin letters."""
_LEAST_ENGLISH = 0.1
"""Least share of English small words among the words of a text of `_JUDGED_WORDS` or more."""
_JUDGED_WORDS = 10
_LEAST_FOREIGN = 2
"""Fewest small words of another language that tell of it."""

_SMALL_WORDS = """
    a an the this that these those there here it its is are was were be been being has have had of in on at by with from
    to into over under above below near between among along across through around and or but nor not no as for which who
    whose where when while some many several few all each both one two three four lots other another also about most
    more than very can they them their he she we our you your i his her up down out off next side surrounded covered
    shows showing show seen view image only such just do does did will would so if then within without during before
    after against toward towards beside beyond
"""
_ENGLISH = frozenset(_SMALL_WORDS.split())
_OTHERS = {
    "German": """
        der die das und ist ein eine einer eines einem einen mit auf von zu im dem den des nicht sich auch es sind
        wird werden bei nach durch über unter zwischen sowie aus für einige mehrere viele zeigt diese dieser dieses
        bild""",
    "French": """
        le la les des du de et est un une dans sur avec par pour au aux ce cette ces qui que sont en il elle plus une
        près entre plusieurs quelques montre l'image d'une d'un""",
    "Spanish": """
        el la los las de del y en un una unos unas con por para que es son se al su esta este estas como muy más hay
        entre sobre imagen muestra""",
    "Portuguese": """
        o os as de do da dos das e em no na nos nas um uma uns umas com por para que é são ao à sua esta este como
        mais há entre sobre imagem mostra""",
    "Italian": """
        il lo la gli le di del della dei delle degli e è in un una uno con per che sono si al alla nel nella nelle sul
        sulla questa questo come più tra mostra immagine""",
    "Dutch": """
        de het een en van is in op met te zijn voor aan door dat die deze dit niet ook bij naar uit over onder tussen
        er wordt worden veel enkele toont""",
    "Swedish": """
        och en ett det den är som på av med för till i om har inte de från vid över under mellan genom många några
        visar""",
    "Danish": """
        og en et det den er som på af med for til i om har ikke de fra ved over under mellem gennem mange nogle viser
    """,
    "Norwegian": """
        og en et det den er som på av med for til i om har ikke de fra ved over under mellom gjennom mange noen""",
    "Finnish": "ja on ei se että joka ovat kuva kuvassa kanssa sekä myös tai mutta yli alla välillä monta useita näkyy",
    "Polish": "i w na z do się nie jest są to przez od oraz dla po przy jak które który która między nad pod obraz",
    "Czech": "a v na je se s z do že jsou to pro od po při který která které mezi nad pod snímek několik",
    "Slovak": "a v na je sa s z do že sú to pre od po pri ktorý ktorá ktoré medzi nad pod snímka",
    "Croatian": "i u na je se s iz do da su to za od po pri koji koja koje između iznad ispod slika nekoliko",
    "Hungarian": "a az és egy van is hogy nem mellett között fölött alatt látható kép több képen",
    "Romanian": "și în de la cu pe un o este sunt al a ale din care pentru prin se nu mai între imagine",
    "Turkish": "ve bir bu ile için de da olan çok olarak var arasında üzerinde görüntü gösteriyor",
    "Indonesian": "dan yang di ke dari dengan ini itu untuk pada adalah ada sebuah beberapa oleh antara gambar",
    "Vietnamese": "và của là có trong một các được cho với này những ở trên dưới hình ảnh",
    "Catalan": "el la els les de del i en un una amb per que és són al dels aquesta aquest entre sobre imatge",
    "Estonian": "ja on ei see et mis kui ka või oma üle all vahel pilt pildil mitu",
    "Latvian": "un ir no ar par uz kas tas šis vai bet pie virs zem starp attēls attēlā",
    "Lithuanian": "ir yra iš su apie ant kad tai šis arba bet prie virš po tarp vaizdas",
    "Swahili": "na ya wa ni kwa katika la za hii picha inaonyesha kuna",
    "Latin": "et est sunt cum ad ex sed non quae qui quod dolor sit amet ipsum",
}
_FOREIGN = {name: frozenset(words.split()) - _ENGLISH for name, words in _OTHERS.items()}
_TELLING: dict[str, tuple[str, ...]] = {}
for _name, _words in _FOREIGN.items():
    for _word in _words:
        _TELLING[_word] = (*_TELLING.get(_word, ()), _name)


def language_faults(text: Text) -> list[str]:
    """Return what tells that a text is not English: the script, another language, or no English small words."""
    if not text.raw.isascii():
        letters = [letter for letter in text.raw if letter.isalpha()]
        latin = sum(letter < "\u0250" or "\u1e00" <= letter <= "\u1eff" for letter in letters)
        if latin < _LEAST_LATIN * len(letters):
            strange = next(letter for letter in letters if not (letter < "\u0250" or "\u1e00" <= letter <= "\u1eff"))
            return [f"most letters are not Latin ({unicodedata.name(strange, 'letter').split()[0].lower()})"]
    words = [word for word in text.words if word[0].isalpha()]
    english = sum(word in _ENGLISH for word in words)
    if (other := _other_language(text, words, english)) is not None:
        return [other]
    if len(words) >= _JUDGED_WORDS and english < _LEAST_ENGLISH * len(words):
        return [f"{english} of {len(words)} words are English small words"]
    return _foreign_sentence(text)


def _other_language(text: Text, words: Sequence[str], english: int) -> str | None:
    """Return the language of which there are more small words than of English; of names they are no sign."""
    counts: dict[str, int] = {}
    for i, word in enumerate(text.words):
        if word in _TELLING and (not text.capital[i] or text.first[i]) and not _within_name(text, i):
            for name in _TELLING[word]:
                counts[name] = counts.get(name, 0) + 1
    if not counts:
        return None
    name = max(counts, key=lambda each: (counts[each], each))
    if counts[name] >= _LEAST_FOREIGN and counts[name] > english and counts[name] >= 0.12 * len(words):
        return name
    return None


def _within_name(text: Text, i: int) -> bool:
    """Tell whether a small word stands between capitals: "Rio de Janeiro", "Frankfurt am Main"."""
    near = (*range(max(0, i - 2), i), *range(i + 1, min(len(text.words), i + 3)))
    before = any(text.capital[j] for j in near if j < i)
    return before and any(text.capital[j] for j in near if j > i)


def _foreign_sentence(text: Text) -> list[str]:
    """Find a sentence in another language within an English text."""
    if not text.sentence or text.sentence[-1] == 0:
        return []
    starts = [i for i, number in enumerate(text.sentence) if i == 0 or number != text.sentence[i - 1]]
    for start, end in zip(starts, [*starts[1:], len(text.words)], strict=True):
        part = text.words[start:end]
        words = [word for word in part if word[0].isalpha()]
        if len(words) < 5 or not any(word in _TELLING for word in words):
            continue
        english = sum(word in _ENGLISH for word in words)
        piece = Text(text.raw, part, text.capital[start:end], text.joined[start:end], [0], text.first[start:end])
        if english <= 1 and (other := _other_language(piece, words, english)) is not None:
            return [f"a sentence in {other}"]
    return []
