"""Patterns of what is taken out by name: addresses, accounts, numbers, keys.

They are for Python's `re`, and take a time in proportion to the text: each repetition in them is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping

from chatlab.secret import KEY_PATTERN

# A dot and an at sign as they are or in words, and a line break where lines of a letter are folded.
_AT = r"(?:@|[ \t]?[\[({][ \t]?(?i:at)[ \t]?[\])}][ \t]?)"
_DOT = r"(?:\.|[ \t]?[\[({][ \t]?(?i:dot)[ \t]?[\])}][ \t]?)"
_FOLD = r"(?:[ \t]*\r?\n[ \t]*)?"

# An address as one says it. It ends with a domain that many have and that is no word: others would find "look
# at this dot product".
_SAID_AT = r"[ \t]+(?i:at)[ \t]+(?!(?i:an?|the|this|that|every|each|any|one|its|my|our|your)[ \t])"
_SAID_DOT = r"[ \t]+(?i:dot)[ \t]+"
_SAID_END = (
    r"(?i:com|org|net|edu|gov|mil|int|info|biz|dev|app|example"
    r"|de|fr|uk|eu|ch|nl|jp|cn|kr|au|ca|ru|pl|se|dk|fi|cz|br|nz|za|io)(?!\w)"
)

# How many letters and digits stand behind the check digits of an IBAN (the register of SWIFT).
_IBAN_COUNTRIES = {
    11: "NO",
    12: "BE",
    14: "DK FI FK FO GL NL SD",
    15: "MK SI",
    16: "AT BA EE KZ LT LU MN XK",
    17: "CH CR HR LI LV",
    18: "BG BH DE GB GE IE ME RS VA",
    19: "AE GI IL IQ OM SO TL",
    20: "AD CZ DJ ES MD PK RO SA SE SK TN VG",
    21: "LY PT ST",
    22: "IS TR",
    23: "BI FR GR IT MC SM",
    24: "AL AZ BY CY DO GT HU LB NI PL SV",
    25: "BR EG PS QA UA",
    26: "JO KW MU YE",
    27: "MT SC",
    29: "LC RU",
}
_IN_GROUPS = r"(?:[ \t.‐-―-]{0,2}|[ \t]*\r?\n[ \t]*)"
_IBAN = "|".join(
    rf"(?:{'|'.join(countries.split())})\d{{2}}(?:{_IN_GROUPS}[A-Z0-9]){{{length}}}"
    rf"|(?:{'|'.join(countries.lower().split())})\d{{2}}(?:{_IN_GROUPS}\d){{{length}}}"
    for length, countries in _IBAN_COUNTRIES.items()
)

_CALLING_CODE = r"(?:\+|00)[1-9]\d{0,2}"
_NEXT_LINE = r"[ \t./()-]*\r?\n[ \t]*\(?"
_SAID = r"(?:(?<=[^\W\d_][ \t])|(?<=[^\W\d_]:[ \t]))"  # what stands in a sentence is no row of a table

BUILT_IN: Mapping[str, str] = {
    # The last label has a letter first and two of them: `left@right.T`, `react@18.2.0` and `x@y` are none.
    "email": rf"(?<![\w.+-])[\w.+-]{{1,64}}+{_AT}(?!\d++\.\d){_FOLD}"
    rf"(?:[\w-]{{1,63}}+{_DOT}){{1,8}}[^\W\d_](?:[\w-]{{0,61}}[^\W_])"
    rf"|(?<![\w.+-])[\w.+-]{{1,64}}+(?:{_SAID_DOT}[\w+-]{{1,64}}+){{0,3}}{_SAID_AT}"
    rf"(?:[\w-]{{1,63}}+(?:{_SAID_DOT}|\.)){{1,8}}?(?<=[ \t]){_SAID_END}",
    "iban": rf"(?<!\w)(?=[A-Za-z]{{2}}\d{{2}})(?:{_IBAN}"
    r"|[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)(?!\w)",
    "ipv4": r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\.?\w)",
    "url-userinfo": r"(?<=://)[^\s/@?#]{1,256}+(?=@)",
    "api-key": KEY_PATTERN,
    # On two lines where the first alone is too short for a number, or what follows is no word.
    "phone": rf"(?<![\w.])(?:{_CALLING_CODE}(?:[ ./()-]{{0,2}}\d){{0,7}}{_NEXT_LINE}"
    r"\d(?:[ ./()-]{0,2}\d){2,11}"
    rf"|{_CALLING_CODE}(?:[ ./()-]{{0,2}}\d){{6,12}}"
    rf"(?:{_NEXT_LINE}\d(?:[ ./()-]{{0,2}}\d){{1,5}}(?!\w|[ \t]*[^\W\d_]))?"
    rf"|{_SAID}0\d{{1,4}}(?:[ ./-]{{1,2}}\d{{1,4}}){{0,2}}{_NEXT_LINE}\d{{3}}(?:[ ./-]?\d){{0,7}}"
    rf"|{_SAID}\d{{3}}(?:[ .-]\d{{3}}{_NEXT_LINE}|{_NEXT_LINE}\d{{3}}[ .-])\d{{4}}"
    rf"|\(\d{{2,5}}\){_NEXT_LINE}\d(?:[ ./-]{{0,2}}\d){{4,9}}"
    r"|\(?0\d{1,4}\)?(?:[ ./-]{0,2}\d){5,10}"
    r"|(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4})(?!\w)",
}
"""Patterns that go by a name, in the order in which they are applied: what looks like a phone number last."""
