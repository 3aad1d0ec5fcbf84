"""What the words around a number say it is: "T.C. kimlik no:", "tel:", "sipariş no"."""

from __future__ import annotations

import re

from dilmac.turkish import lower

BEFORE_CHARS = 56  # "vergi dairesi ve numarası: Büyük Mükellefler V.D. " is 50 characters
AFTER_CHARS = 40
NEAR_CHARS = 24  # "kimlik numarası olarak " is 23 characters

# Applied to text in Turkish lower case, where an ASCII-typed I has become ı. Of two labels that
# begin at one place the first counts, so "vergi kimlik no" is no "kimlik no".
_LABELS = re.compile(
    r"(?P<vkn>\bvkn|\bverg[iı][ -]?(?:k[iı]ml[iı]k|no|num|da[iı]res|s[iı]c[iı]l|mükell|mukell)\w*"
    r"|\bv\.? ?d\.? ?no|\bvno\b)"
    r"|(?P<tckn>\btc(?:kn|kno|no)?\b|\btckn|\btck[iı]ml[iı]k|\bt\. ?c\. ?(?:no|k[iı]m|num|vat)"
    r"|\bk[iı]ml[iı]k (?:no|num)|\bvatanda[sş]l[iı]k (?:no|num))"
    r"|(?P<iban>\b[iı]ban|\bhesap no|\bhesap num)"
    r"|(?P<card>\bkart\b|\bkart(?:[iı]| no| num|[iı]n)|\bv[iı]sa\b|\bmastercard|\btroy\b|\bamex"
    r"|\bcard\b)"
    r"|(?P<phone>\btel\b|\btlf\b|telefon|\bphone|\bgsm|\bcep\b|\bfaks|\bfax\b|\bwhats|\bsms\b"
    r"|\b[iı]let[iı][sş][iı]m|\b[iı]rt[iı]bat|\bdan[iı][sş]ma|\bsantral|\bça[gğ]r[iı] merkez"
    r"|\bara(?:\b|y[iı]n|yab|yıp|mak|m[iı]|d[iı]m)|\bmob[iı]l\b|\bhat(?:t[iı])?\b)"
)
_PLACEHOLDER = re.compile(r"<[a-z]+>")  # of an earlier mask: no label for what comes after it
_SENTENCE_END = re.compile(r"[^\W\d_]{3}[.!?]\s+(?=[^\W\d_])")

# What numbers are besides personal data. Only directly in front, as in "sipariş numarası: ":
# these words are too common to mean a number wherever they stand.
_OTHER_BEFORE = re.compile(
    r"\b(?:s[iı]par[iı][sş]|fatura|ser[iı]|tak[iı]p|kargo|gönder[iı]|referans|barkod|[iı]sbn|[iı]ssn"
    r"|ean|gt[iı]n|[iı]me[iı]|esas|karar|dosya|dekont|parsel|stok|ürün|abone|tes[iı]sat|pol[iı]çe"
    r"|s[iı]c[iı]l|evrak|belge|makbuz|protokol|sayaç|model|sürüm|vers[iı]yon|mers[iı]s|gt[iı]p|do[iı]"
    r"|kay[iı]t|i[sş]lem|[iı]d|gu[iı]d|port|kod)\w*(?: (?:no|num|kod|[iı]d)\w*)?"
    r"(?:'?\w{1,4})?[ .:=#(\"]{0,4}\Z"
)

# A number of these is an amount.
_AMOUNT_AFTER = re.compile(
    r"(?:,\d+)? ?(?:tl\b|ytl\b|try\b|l[iı]ra|kuru[sş]|dolar|avro|euro\b|usd\b|eur\b|[₺$€£%]"
    r"|m[²³23]\b|k[gm]\b|ton\b|metre|m[iı]lyon|m[iı]lyar|tr[iı]lyon|adet\b|bayt|byte|bit\b)"
)
_AMOUNT_BEFORE = re.compile(r"[₺$€£] ?\Z")


def label_of(text: str, start: int, end: int) -> tuple[str, int]:
    """Kind of the nearest label and its distance [characters]; `("", 0)` where there is none.

    Looks in front of the number inside of the same sentence, and behind it ("… numaralı telefon")
    inside of the same phrase.
    """
    before = text[max(0, start - BEFORE_CHARS) : start]
    for sentence in list(_SENTENCE_END.finditer(before))[-1:]:
        before = before[sentence.end() :]
    before = _PLACEHOLDER.sub(" ", lower(before))
    after = _PLACEHOLDER.sub(".", lower(text[end : end + AFTER_CHARS]))
    found = [
        (len(before) - match.end(), match.lastgroup or "")
        for match in list(_LABELS.finditer(before))[-1:]
    ]
    first = _LABELS.search(re.split(r"[.,;:!?()\n\d]", after, maxsplit=1)[0])
    if first:
        found.append((first.start(), first.lastgroup or ""))
    distance, kind = min(found, default=(0, ""))
    return kind, distance


def is_something_else(text: str, start: int) -> bool:
    """Whether the words directly in front name a number of another kind."""
    return bool(_OTHER_BEFORE.search(lower(text[max(0, start - BEFORE_CHARS) : start])))


def is_amount(text: str, start: int, end: int) -> bool:
    """Whether a unit follows, or the sign of a currency stands in front."""
    return bool(
        _AMOUNT_AFTER.match(lower(text[end : end + 12]))
        or _AMOUNT_BEFORE.search(text, max(0, start - 2), start)
    )
