"""What an English 'her' or 'his' is in its sentence, by rules; what they are not sure of stays unknown.

'her' is him or his, 'his' is her or hers. No tagger is asked: the words beside it decide, where they leave one reading.
A noun that is a verb too ('I saw her work') decides nothing, nor does an unlisted word after 'her'. 'his' before any
word that can begin a noun phrase is taken for 'her', but after 'of' and before a past tense ('but his survived').
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEXT = re.compile(r"\s*([A-Za-z][A-Za-z'-]*)")
_LAST = re.compile(r"(?:([A-Za-z']+)\s+)?([A-Za-z']+)\s*\Z")
_NO_NOUN_PHRASE = _words(
    "a an the this these those some any and or but nor because if when while although though after "
    "before until unless since as than to of in on at by for with from into onto about against through during "
    "between without is are was were am be been has have had do does did could shall should i you he she it we "
    "they my your its our their who whom whose which that what how why where "
)
"""Words before which 'her' is an object and 'his' stands alone: they cannot go on with what somebody possesses."""
_POSSESSED = _words(
    "own mother father sister brother husband wife daughter son parents family friend friends colleague "
    "colleagues children career character eyes story performance team clothes idea ideas opinion decision "
    "advice talent acting portrayal body apartment kitchen salary "
)
"""What is possessed and is no verb, so that 'I saw her ...' cannot go on with it."""
_GIVE = _words(
    "give gives gave given giving bring brings brought offer offers offered send sends sent show shows showed "
    "tell tells told buy buys bought make makes made find finds found call calls called teach teaches taught "
    "cost costs lend lent owe owes owed pay pays paid hand handed get gets got "
)
"""Verbs with two objects: 'gave her advice' may be him or his."""
_OF_THEM = _words("one some many most all none both each either several two three any few ")


def sense_of(word: str, before: str, after: str) -> str | None:
    """What 'her' or 'his' is between these parts of a text: object, possessive (pronoun); None where unsure."""
    is_her = word.lower() == "her"
    alone = "object" if is_her else "possessive pronoun"
    if after[:1] in ("-", "'", "’"):
        return None
    following = _NEXT.match(after)
    if following is None:
        rest = after.strip()
        return alone if not rest or rest[0] in ".,;:!?)" else None
    follows, last = following[1].lower(), _LAST.search(before)
    earlier, previous = ((last[1] or "").lower(), last[2].lower()) if last else ("", "")
    if follows in _NO_NOUN_PHRASE:
        return None if not is_her and follows in ("and", "or") else alone
    if is_her:
        return "possessive" if follows in _POSSESSED and previous not in _GIVE else None
    sure = follows in _POSSESSED or earlier in _OF_THEM if previous == "of" else not follows.endswith("ed")
    return "possessive" if sure else None
