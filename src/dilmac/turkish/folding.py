"""Turkish written without its letters: ç ğ ı ö ş ü (and â î û) typed as c g i o s u.

`fold` is a function of letters; its inverse is not. "olmus" is nine times *olmuş* (been) and once
*ölmüş* (died), "acik" is *açık* and *acık*, "kis" is *kış* and *kıs*. So `unfold` writes back only
whole words of a closed list, each of which was measured.
"""

from __future__ import annotations

import re

from dilmac.turkish.casing import capitalize, upper

_PAIRS = tuple(zip("çğıöşüâîûÇĞİÖŞÜÂÎÛ", "cgiosuaiuCGIOSUAIU", strict=True))


def fold(text: str) -> str:
    """`text` with Turkish letters as ASCII ones: `fold("IŞIK çok iyi") == "ISIK cok iyi"`.

    Maps ç ğ ı ö ş ü â î û and their capitals; every other character stays, so the length does.
    Expects composed letters (`nfc`).
    """
    if not text.isascii():
        # Eighteen passes in C: 300 MB/s, where one `str.translate` makes 21.
        for letter, plain in _PAIRS:
            text = text.replace(letter, plain)
    return text


# Common words whose ASCII spelling means nothing else in Turkish or English. Measured on 57 MB
# (12,645 documents: encyclopedias, law, parliament, business, technical, literature): in each
# word's occurrences the ASCII spelling itself is below 0.5 % (the highest, "olmaktadir": 0.44 %),
# another Turkish word of the same ASCII spelling below 1 % (the highest, kışı for kişi: 0.6 %).
# Documents with two folded words or more, reviews, forums and prompts were left out as careless;
# with the latter, seven entries ("kullaniyorum", "sanirim", "gunde" …) reach 0.5 to 1.5 %.
# Thrown out by the count: aksam (parts), mudur (is it), sinirli (angry), unlu (floury), dondu
# (froze), basina (to the press), kose (Köse), olmus (ölmüş), sali (Sali), sarki (eastern).
# oldugu and its family passed here (0.5 % öldüğü) and went out by the count on other text: in
# biographies 2 % of them are öldüğü (died). Left out beforehand: Turkish words such as ayni, adi,
# hayati, iste, isi, su, turu, suresi, and words of English and names known there (gun, sure, once,
# gore, ask, sari, satin, kirk, Turk, Istanbul).
_WORDS = """
    açıklama açısından açmak adım adına adını ağaç ağır ağız ağustos akıllı alanı aldığı aldığım
    aldım alınan alınır alıp alır alıyorum almış altı altın altında amaç amacıyla anlamı anlamına
    araç aracılığıyla araçlar aralık arasında arasındaki arkadaş arkadaşım arkadaşlar artık aşağı
    aşağıda aşağıdaki aydın ayrıca bağımsız bağlantı bağlı bakımından barış başarı başarılı başka
    başkan başkanı başladı başladım başlangıç başlar başlayan başlık batı bazı biçim biçimde birçok
    birkaç bölge bölüm borç böyle böylece bugün bugünkü bulunduğu bulunmaktadır bunları bunların
    bütçe bütün büyük büyüme çabuk çağrı çalışan çalışıyor çalışma çalışmak çalışmaları çalıştı
    çarşamba çeşit çeşitli çeviri çevre çift çıkan çıkar çıkış çıkıyor çıktı çizgi çocuğu çocuk
    çocuklar çoğu çoğunlukla çoğunu çok çoktan çözmek çözüm çünkü dediği değer değeri değerlendirme
    değerleri değerli değil değildi değildir değilim değilse değişik değişiklik değişim değişken
    değiştirme demiş diğer diğerleri dışarı dışında doğal doğru doğrudan doğu dolayı dolayısıyla
    dönem dönüş dördüncü dört düğün dünya dünyanın düşük düşün düşünce düşünüyorum düzen düzenleme
    edeceğim edeceğiz edilmiş edilmiştir eğer eğitim eşya etmiş ettiği ettiğini eylül farklı fiyatı
    geç geçen geçerli geçici geçiş geçmiş geçti geldiği geliş gelişim gelişme geliştirme gelmiş
    genç gençler geniş gerçek gerçekten giriş gitmiş gönder gördü gördüm görev görmek görsel
    görüldü görülen görüntü görünüyor görüş görüyor görüyorum göster gösteren gösterir göstermek
    göz güç güçlü gümüş günaydın güncel günde güneş güney günler günlük günü günün güven güvenli
    güvenlik güzel güzeldi hakkı hakkında hakkındaki hayır hazır hiç hiçbir hızla hızlı içeren
    içerik içerir içerisinde içi için içinde içindeki içindir içine içten ihtiyaç ilaç ilçe ilişki
    ilişkin insanların işçi ışık işlem işlemi işlev istediği istediğim istediğiniz kaç kadın
    kadınlar kaldı kapalı kapı kardeş karşı karşılık karşıya kasım kayıt kılavuz kırmızı kısa kişi
    kişiler kişinin kişisel kız kızım konuşma konuştu köprü kötü küçük kullandım kullanıcı
    kullanılabilir kullanılan kullanılır kullanım kullanımı kullanın kullanıyorum lazım lütfen
    mayıs mısır mücadele mümkün müşteri müzik nasıl nüfus ödeme ödül oğlum öğrenci öğrenme öğretmen
    olacağı olacağını olacağız olacaktır oldukça olmadığı olmadığını olmaktadır olmalı olmalıdır
    olması olmasına olmasını olmayı olsaydı oluşan oluştu oluşturma oluşur ömür önceden önceki
    öncelikle öncesinde önem önemi önemli onları onların önünde önüne örneği örneğin örnek örnekler
    öyle özel özelliği özellik özellikle özellikler özellikleri özet özür pahalı parça perşembe
    rağmen sağlamak sağlar sağlayan sağlık sanırım şart savaş saygılar sayı sayılı sayın sayısı
    seçenek seçili seçim seçin şehir şekil şekilde şeklinde şey şeyden şeyi şeyin şeyler şeyleri
    sıcak sıfır şifre şimdi şimdilik şimdiye sınav sınıf sipariş sıra sırada sıralama sırası
    sırasında şirket soğuk sonrası sonrasında sonuç sonuçlar söyledi söylemek söyleyen söz sözcük
    sözleşme şubat şunları şüphe süreç sürekli sürücü sürüm tanım tarafından tatlı teşekkür
    teşekkürler tüm türkçe türkiye türkler ücret ücretsiz üçüncü ülke ülkede ülkemizde ülkenin
    uluslararası üniversite üretim ürün ürünler ürünü üst üstelik üstünde üstüne üye üyeleri üyesi
    uygulamaları uygulaması üzere üzerinde üzerindeki üzerinden üzerine üzgünüm vardı vardır varlık
    verdiği verilmiştir vermiş yakın yaklaşık yalnız yalnızca yanlış yapacağım yapı yapılacak
    yapılan yapılır yapılması yapılmış yapılmıştır yapıp yapıyor yapıyorum yapmaktadır yapmış yaptı
    yaptığı yaptım yardım yardımcı yarın yaşam yaşayan yaşında yazı yazılı yazılım yeşil yıl yıldır
    yılı yılında yıllar yıllık yoğun yönelik yönetim yöntem yukarı yukarıda yukarıdaki yüksek yüz
    yüzde yüzden yüzünden zamanı zamanında
"""
_TURKISH = {fold(word): word for word in _WORDS.split()}

# A word that stands alone: not a part of an address, a path, a file name or an identifier
# (`guzel.com`, `#cok`, `icin_var`, `cok-guzel`), where the ASCII spelling is meant.
_LONE_WORD = re.compile(r"(?<![\w@#/\\.&=~-])[A-Za-z]{2,}(?![\w@/\\=~-]|[.:&#?]\w|:/)")

# Further evidence of Turkish for `is_ascii_turkish`: frequent words and last four letters of
# longer words, chosen by count on the same corpus, none frequent in English text or program code.
_COMMON_WORDS = frozenset(
    b"""
    ancak bana belki beni benim bir biz bizim bu buna bunu bunun dedi devlet durum eden eder ederim
    edilir etmek fakat geldi gelen gereken gibi hangi hemen ilgili ilk ise istiyorum iyi kadar
    kanun neden nedeniyle nerede olan olarak oldu olsa olur olursa onu onun sadece sayfa sonra
    tekrar ve veya yeni yok zaman zaten
    """.split()
)
# Words that other languages have, too, though not all of them together.
_SHARED_WORDS = frozenset(
    b"""
    ama ben bile da daha de edilen en devam hem her ile kendi kez ki madde mi milyon ne sen siz tek
    var veri
    """.split()
)
_COMMON_ENDINGS = frozenset(
    b"""
    acak amak anan arak arda ayan daki deki ecek edir eler erde erek erin erli etim idir ilen ilir
    imiz inde inin iniz iyet iyle iyor ktir lara lere leri maya mesi meye mler ndan nden nlar orum
    oruz rine rini sini syon unda unun
    """.split()
)
# Endings that have lost a letter: 98 % of the words with them have one (-ları, -ında, -dığı …).
_FOLDED_ENDINGS = frozenset(
    b"""
    adir anin anir aniz arim arin ayin cagi cegi digi dugu egin gini ilan inda irma isma iyla izca
    lari ligi lmis lugu masi mayi nici nmis sina stir tigi unde
    """.split()
)
# Ambiguous between two Turkish words, both of which have lost a letter: no `unfold`, but a sign.
_FOLDED_EITHER_WAY = frozenset(
    b"""
    oldugu oldugum oldugumu oldugumuz olduguna oldugunda oldugundan oldugunu olmus olmustur
    """.split()
)
# No sign: words of German (dort), Italian (alti), French (universite), Spanish, Latin.
_FOLDED_ELSEWHERE = frozenset({b"alti", b"dort", b"hic", b"parca", b"universite"})
_FOLDED_WORDS = _FOLDED_EITHER_WAY.union(map(str.encode, _TURKISH)) - _FOLDED_ELSEWHERE

_SAMPLE_CHARACTERS = 20_000
_PUNCTUATION = "“”‘’„«»–—…•·\xa0"  # not ASCII, and no sign of a language
# Bytes, not `str`: one table makes lower case and drops what is no letter, twice as fast as a
# regular expression.
_LOWER_OR_SPACE = bytes(
    byte | 32 if chr(byte).isalpha() and byte < 128 else 32 for byte in range(256)
)


def unfold(text: str) -> str:
    """The inverse of `fold`, where it is certain: `unfold("Cok guzel") == "Çok güzel"`.

    Certain means: a whole word of a closed list of 505 common words whose ASCII spelling makes up
    less than 0.5 % of their occurrences in properly spelled Turkish and is no English word. What
    is ambiguous ("acik", "kis", "oldugu") stays, and so do addresses, file names, identifiers and
    words in mixed case. Meant for text that is Turkish (`is_ascii_turkish`): in Latin or Uzbek a
    listed spelling may be a word. On news and articles outside of the corpus it restores a fifth
    of the lost letters, and 2 of the 6,242 words that it changed were wrong. Length and fold stay:
    `fold(unfold(text)) == fold(text)`.
    """
    return _LONE_WORD.sub(_unfold_word, text)


def _unfold_word(match: re.Match[str]) -> str:
    word = match.group()
    turkish = _TURKISH.get(word.lower())
    if turkish is None or word.islower():
        return turkish or word
    if word.isupper():
        return upper(turkish)
    return capitalize(turkish) if word.istitle() else word


def is_ascii_turkish(text: str) -> bool:
    """Whether `text` is Turkish that was typed without its letters: "cok guzel, degil mi".

    Two things must hold. The text is ASCII but for punctuation and few other characters: below
    2.5 %, and below 1 % of Turkish letters (in Turkish they are 9 %). And it holds folded words,
    common ones or long words with an ending that has lost a letter, among other Turkish words and
    endings. In a text of fewer than 12 words two folded words are needed; below 4 words the answer
    is no. A long text is judged by its first 20,000 characters.

    Measured: it says yes to 99.8 % of 12,270 folded documents of 20 words and more, to 96 % of
    passages of exactly 20 words (88 % in textbooks full of formulas and in proverbs), to 99.3 % of
    40; it says yes to none of 12,576 Turkish documents with their letters, 868 English and 820
    program files, 275 in eleven other languages. These texts were in view when words and bounds
    were chosen. On texts that share nothing with them: 98.8 % of 686 folded news sentences, 98.6 %
    of 351 encyclopedia articles, all of 370 answers, and none of them unfolded nor of 1,023 English
    news sentences. Program code that is full of such words ("icin", "deger") counts as Turkish.
    """
    sample = text[:_SAMPLE_CHARACTERS]
    ascii_sample = sample.encode("ascii", "replace")
    foreign = ascii_sample.count(b"?") - sum(map(sample.count, "?" + _PUNCTUATION))
    if foreign > 0.025 * len(sample):
        return False
    if foreign and sum(map(sample.count, "çğıöşüÇĞİÖŞÜ")) > 0.01 * len(sample):
        return False
    words = ascii_sample.translate(_LOWER_OR_SPACE).split()
    endings = [word[-4:] for word in words if len(word) > 5 and word not in _FOLDED_WORDS]
    folded_words, common_words = _count(words, _FOLDED_WORDS), _count(words, _COMMON_WORDS)
    folded = folded_words + _count(endings, _FOLDED_ENDINGS)
    if len(words) < 4 or folded < (2 if len(words) < 12 else 1):
        return False
    # Endings alone are Italian, too: dollari, popolari, esemplari.
    if not folded_words and not common_words:
        return False
    common = common_words + _count(words, _SHARED_WORDS) + _count(endings, _COMMON_ENDINGS)
    # Uzbek, too, is spelled in ASCII and shares words with Turkish (bir, bu, yil, -lari), but it
    # is full of q: without this line 23 of 309 passages of 20 words pass, with it none.
    evidence = 2 * folded + common - 2 * (ascii_sample.count(b"q") + ascii_sample.count(b"Q"))
    return evidence >= 0.2 * len(words)


def _count(words: list[bytes], known: frozenset[bytes]) -> int:
    return sum(map(known.__contains__, words))
