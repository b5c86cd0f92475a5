"""Which characters make a script: what the rendered pool is drawn from, and each a target domain."""

from __future__ import annotations

from collections.abc import Mapping


def _between(first: int, last: int, leave_out: str = "") -> str:
    return "".join(chr(code) for code in range(first, last + 1) if chr(code) not in leave_out)


SCRIPTS: Mapping[str, str] = {
    # Small letters with their capital's shape (c, o, s, ...) are left out: they would be a second name for one picture.
    "latin": "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "abdefghjmnqrty",
    "greek": "ΓΔΘΛΞΠΣΦΨΩΒΕΖΗΚΜΝΡΤΥ" + "αβγδεζηθλμνξπρστφχψω",
    "cyrillic": "БГДЖЗИЛПФЦЧШЩЪЫЬЭЮЯ" + "абвгдежийклмнптфыюяэ",
    "armenian": _between(0x531, 0x556),
    "georgian": _between(0x10D0, 0x10F0),
    "hebrew": _between(0x5D0, 0x5EA),
    "arabic": _between(0x627, 0x63A, leave_out="\u0629") + _between(0x641, 0x64A, leave_out="\u0649"),
    "tifinagh": _between(0x2D30, 0x2D65, leave_out="ⴲⴴⴸⵈⵋⵒⵞⵠⴵⴾⵆⵂⵐⵝ"),
    "syllabics": "ᐁᐃᐅᐊᐯᐱᐳᐸᑌᑎᑐᑕᑫᑭᑯᑲᒉᒋᒍᒐᒣᒥᒧᒪᓀᓂᓄᓇᓭᓯᓱᓴᔦᔨᔪᔭᕂᕆᕈᕋ",
    "operators": "∀∂∃∅∆∇∈∉∋∏∑∓∗√∝∞∠∥∧∨∩∪∫∴∼≅≈≠≡≤≪⊂⊃⊆⊕⊗⊥⊢⋄⋮",
    "phonetic": "ɐɑɒɓɔɕɖɘəɜɞɟɠɣɤɥɦɨɫɮɯɰɲɵɶɸɹɺɻʁʃʄʉʊʌʍʎʒʔʘ",
    "lao": "ກຂຄງຈຊຍດຕຖທນບປຜຝພຟມຢຣລວສຫອຮ",
    "lisu": _between(0xA4D0, 0xA4F7),
    "nko": _between(0x7CA, 0x7E7),
}
"""Name -> its characters, 24 to 40 of them, one class each.

Results are reported on the first ten (`REPORTED`). Settings are chosen on the next four (`FOR_CHOOSING`), so that no
reported number depends on a choice that was made with it.
"""

REPORTED = tuple(SCRIPTS)[:10]
"""Target domains of published comparisons."""

FOR_CHOOSING = tuple(SCRIPTS)[10:14]
"""Target domains on which settings are searched and chosen."""
