"""Turkish told by its own words: the quick answer for most documents, ten times an identifier's.

The words are frequent in Turkish and not in its sisters, who write `və`, `üçün`, `ilə`, `bilen`,
`uchun`, `bilan`, `içün`. With 4 of them, and 6 % of the words, 86-97 % of Turkish documents are
known by 2 x 200 characters, and none of 1,477 passages of news in eleven other languages was taken
for Turkish (what stands often in Azerbaijani or Turkmen news is not in the list, nor `önce`, which
is `once` without its dots: words are compared folded).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dilmac.corpus.words import Hashes, hash_words, tables

MIN_WORDS = 4  # of the list, in a sample
MIN_SHARE = 0.06  # of the sample's words
# Letters that Azerbaijani, Turkmen, Crimean Tatar, Tatar and Uzbek have and Turkish has not.
_SISTERS = re.compile("[əƏñÑýÝňŇžŽʻ‘`]|[oOgG]['’][lzqrtgybn]")

_TURKISH_ONLY = """
ve için ile olarak değil gibi kadar çok tarafından ancak ise veya göre üzere olduğu olduğundan
ederek edilen edilmesi edilir olmak şekilde büyük iyi diye böyle şöyle nasıl bile şey şeyi fakat
çünkü artık hemen yalnızca sadece bazı diğer birlikte nedeniyle üzerinde içinde altında yapılan
yapılması yapmak yapılır olabilir vardır gerekir ilgili sayılı tarihinde yılında teşekkür ederim
sayın bizim değildir olmuştur etmiştir eder ettiği bulunan bulunduğu kullanılan kullanarak
kullanılır kullanabilirsiniz aşağıdaki gereken gerekli bunun bununla buna siz hâlâ ayrıca
özellikle çoğu herhangi dolayı karşı içerir içeren sağlar sağlayan olup olur oluşturur oluşturmak
değilse varsa önemli farklı aynı tüm yıl yılı eski uzun kısa açık durum durumda bilgi kullanıcı
veri örnek örneğin değer sayfa dosya sistem işlem işlemi alan alanı türkiye türk istanbul ankara
başkan başkanı milletvekili meclis kanunu kanunun madde maddenin fıkra hükümleri hüküm uyarınca
tarihli sayısı cumhurbaşkanı bakanlığı bakanı devlet hükümet ülke ülkenin şehir şehri köy kişinin
kişiler çocuk kadın insanlar bugün yarın şimdi sabah akşam aldım aldı gitti söyledi yaptı başladı
kullandım memnun ürün ürünü tavsiye seçin tıklayın girin ekleyin oluşturun açın kullanın
görüntüler görüntülenir belirtir belirtilen döndürür yöntemi özelliği işlevi sınıfı türü değeri
sonucu sonuç sonraki önceki bilinen doğmuş ölmüştür doğdu öldü kurulmuş yapmıştır almıştır
vermiştir osmanlı savaşı savaş imparatorluğu üniversitesi
"""


def is_surely_turkish(samples: Sequence[str]) -> NDArray[np.bool_]:
    """Which samples hold so many words of Turkish alone that no identifier is needed [samples]."""
    sure = np.zeros(len(samples), dtype=np.bool_)
    known = _hashes()
    for first, table in tables(samples):
        place = np.minimum(np.searchsorted(known, table.hashes), len(known) - 1)
        is_known = known[place] == table.hashes
        running = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_known)])
        counts = np.diff(running[table.bounds])
        num_words = np.diff(table.bounds)
        sure[first : first + len(counts)] = (counts >= MIN_WORDS) & (
            counts >= MIN_SHARE * num_words
        )
    for number, sample in enumerate(samples):
        if sure[number] and _SISTERS.search(sample):
            sure[number] = False
    return sure


@cache
def _hashes() -> Hashes:
    return np.sort(hash_words(sorted(set(_TURKISH_ONLY.split()))))
