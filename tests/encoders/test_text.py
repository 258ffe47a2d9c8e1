"""Words of texts equal those of a tokeniser in plain Python, for any bytes."""

import re

import pytest
import torch

from zoo.encoders.captions import NO_WORD, Captions, TextEncoder, WordEmbedding, tokenise

MASK = (1 << 64) - 1
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
TEXTS = [
    "There is a red sphere to the left of the blue cube.",
    "the LEFT-hand side;of\tit, 3 times 42!",
    "",
    "...  !?",
    "Zoë's Kästchen, 猫が好き",
    "a",
    "sphere sphere Sphere SPHERE",
    "trailing space ",
    "x" * 60,
    "a b c d e f g h i j k l m n o p q r s t",
]


def mixed(bits):
    bits = ((bits ^ (bits >> 30)) * FIRST) & MASK
    bits = ((bits ^ (bits >> 27)) * SECOND) & MASK
    return bits ^ (bits >> 31)


def fold(key, number):
    return mixed(mixed((key + GOLDEN) & MASK) ^ mixed((number * FIRST + SECOND) & MASK))


def bucket(data, num_buckets, *, final):
    total = sum(fold(byte, place) for place, byte in enumerate(data)) & MASK
    total = total if final == 0 else fold(total, final)
    return 1 + (fold(total, 0) & (MASK >> 1)) % (num_buckets - 1)


def words_of(data):
    """The words of bytes, lower-cased: what the tokeniser stands for."""
    return [word.lower() for word in re.findall(rb"[A-Za-z0-9\x80-\xff]+", data.split(b"\0", 1)[0])]


def encoded(texts, length=64):
    rows = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return torch.tensor([list(row[:length].ljust(length, b"\0")) for row in rows], dtype=torch.uint8).view(-1, length)


def random_bytes(count, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    # Few different bytes, so that zeros, capitals, separators and long words all occur.
    alphabet = torch.tensor([0, *b"AZaz @[`{09/:.", 127, 128, 255] + [ord("q")] * 20, dtype=torch.uint8)
    return alphabet[torch.randint(0, len(alphabet), (count, length), generator=generator)]


def check(texts, found, *, num_buckets, max_words, ngram):
    for index, row in enumerate(texts):
        data = bytes(row.tolist())
        words = words_of(data)[:max_words]
        expected = [bucket(word, num_buckets, final=0) for word in words]
        assert found.buckets[index].tolist() == expected + [NO_WORD] * (max_words - len(words)), data
        assert found.mask[index].tolist() == [True] * len(words) + [False] * (max_words - len(words))
        spans = list(re.finditer(rb"[A-Za-z0-9\x80-\xff]+", data.split(b"\0", 1)[0]))[:max_words]
        owners, ngrams = [max_words] * len(data), [NO_WORD] * len(data)
        for place, span in enumerate(spans):
            for start in range(*span.span()):
                owners[start] = place
                if ngram and start + ngram <= span.end():
                    ngrams[start] = bucket(data[start : start + ngram].lower(), num_buckets, final=1)
        assert found.owners[index].tolist() == owners
        assert found.ngrams[index].tolist() == ngrams


@pytest.mark.parametrize(("max_words", "ngram"), [(64, 0), (64, 3), (5, 1), (1, 2)])
def test_it_equals_a_tokeniser_in_plain_python(max_words, ngram):
    for texts in (encoded(TEXTS), random_bytes(40, 50)):
        for num_buckets in (2, 97, 4096):
            found = tokenise(texts, num_buckets=num_buckets, max_words=max_words, ngram=ngram)
            check(texts, found, num_buckets=num_buckets, max_words=max_words, ngram=ngram)


def test_all_bytes_and_no_bytes():
    whole = torch.arange(1, 256, dtype=torch.uint8)[None]
    check(whole, tokenise(whole, num_buckets=99, max_words=9, ngram=2), num_buckets=99, max_words=9, ngram=2)
    for shape in ((0, 12), (3, 0), (0, 0)):
        found = tokenise(torch.zeros(shape, dtype=torch.uint8), num_buckets=8, max_words=4, ngram=2)
        assert found.buckets.shape == found.mask.shape == (shape[0], 4)
        assert found.ngrams.shape == found.owners.shape == shape
        assert not found.mask.any()


def test_padding_and_other_texts_do_not_matter():
    alone = tokenise(encoded(TEXTS[:1], 51), num_buckets=4096, max_words=16)
    among = tokenise(encoded(TEXTS, 200), num_buckets=4096, max_words=16)
    assert torch.equal(alone.buckets[0], among.buckets[0])


def test_words_of_a_caption_rarely_meet():
    words = [f"{first}{second}" for first in ("ball", "cube", "red", "left", "behind") for second in range(40)]
    texts = encoded([" ".join(words)], length=2000)
    found = tokenise(texts, num_buckets=4096, max_words=300)
    assert found.mask.sum() == len(words)
    # 200^2 / (2 * 4096) = 4.9 pairs are expected to meet.
    assert len(set(found.buckets[found.mask].tolist())) > len(words) - 12


def test_the_order_of_bytes_and_of_words_counts():
    found = tokenise(encoded(["abc acb bca", "bca acb abc"]), num_buckets=1 << 40, max_words=3).buckets
    assert len(set(found[0].tolist())) == 3
    assert found[0].flip(0).tolist() == found[1].tolist()


@pytest.mark.parametrize("ngram", [0, 3])
def test_embeddings_are_the_word_and_the_mean_of_its_ngrams(ngram):
    torch.manual_seed(0)
    embedding = WordEmbedding(num_buckets=512, max_words=8, ngram=ngram, channels=4).double()
    vectors, mask = embedding(encoded(["left lefts of", ""]))
    assert mask.sum(1).tolist() == [3, 0]
    assert not vectors[~mask].any()
    for place, word in enumerate([b"left", b"lefts", b"of"]):
        expected = embedding.words.weight[bucket(word, 512, final=0)]
        grams = [word[start : start + ngram] for start in range(len(word) - ngram + 1)] if ngram else []
        if grams:
            expected = expected + sum(embedding.ngrams.weight[bucket(g, 512, final=1)] for g in grams) / len(grams)
        torch.testing.assert_close(vectors[0, place], expected)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return TextEncoder(Captions.Config(max_words=24, text_channels=16, heads=2)).double()


def test_wording_counts_and_case_padding_and_punctuation_do_not(encoder):
    with torch.no_grad():
        same = encoder(encoded(["the red cube", "The Red, cube!", "  the red cube"]))
        torch.testing.assert_close(same[1:], same[:1].expand(2, -1), rtol=1e-12, atol=1e-12)
        longer = encoder(encoded(["the red cube"], length=256))
        torch.testing.assert_close(longer, same[:1], rtol=1e-12, atol=1e-12)
        texts = ["the red cube", "the blue cube", "cube red the", "the red", "", "red red red cube"]
        found = encoder(encoded(texts))
    assert torch.isfinite(found).all()
    distances = torch.cdist(found, found) + 10 * torch.eye(len(texts), dtype=torch.float64)
    assert distances.min() > 1e-3


def test_words_behind_the_last_that_is_read_change_nothing(encoder):
    words = ["word"] * 24
    with torch.no_grad():
        found = encoder(encoded([" ".join(words), " ".join([*words, "more", "words"])], length=200))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


def test_every_parameter_is_trained(encoder):
    encoder.zero_grad(set_to_none=True)
    encoder(encoded(TEXTS)).square().mul(torch.arange(16)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    encoder.zero_grad(set_to_none=True)
    encoder(encoded([])).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
