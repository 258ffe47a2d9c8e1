"""Damage to files for fuzzing: edits of bytes, and of the words and numbers of texts."""

import re

from hypothesis import strategies as st

# What parsers of JSON, YAML, numbers and paths are known to stumble on.
WORDS = (
    "NaN -Infinity 1e999 1e308 -1 0 -0.0 0x10 1_000 true null ~ '' \"\" [] {} [1] : , ; - # | & *a &a <<: --- !!set %YAML "
    "../ . .. \\ud800 \\u0000 !!python/object/apply:os.getcwd 18446744073709551616 9223372036854775807 é ܀ {{1}} <b> $(x)"
)
LONG = (b"[" * 5000, b'{"a":' * 3000, b"9" * 5000, b"a" * 300)
TOKENS = (*map(str.encode, WORDS.split(" ")), *LONG, b"\x00", b"\xff\xfe", b"\n", b" ", b"\t", b"\r")
WORD = re.compile(rb"[\w.+-]+")

EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.integers(0, 2**16), st.integers(0, 7)),
        st.tuples(st.just("cut"), st.integers(0, 2**16), st.integers(1, 40)),
        st.tuples(st.just("insert"), st.integers(0, 2**16), st.binary(min_size=1, max_size=20)),
        st.tuples(st.just("insert"), st.integers(0, 2**16), st.sampled_from(TOKENS)),
        st.tuples(st.just("word"), st.integers(0, 2**16), st.sampled_from(TOKENS)),
        st.tuples(st.just("repeat"), st.integers(0, 2**16), st.integers(1, 200)),
    ),
    min_size=1,
    max_size=4,
)


def edited(data, edits):
    """Applies edits (what, place, how) to bytes, one after the other; a place counts bytes or words, modulo their number."""
    data = bytearray(data)
    for what, place, how in edits:
        if what == "word":
            words = list(WORD.finditer(data))
            if words:
                data[slice(*words[place % len(words)].span())] = how
            continue
        place %= max(1, len(data))
        if what == "flip" and data:
            data[place] ^= 1 << how
        elif what == "cut":
            del data[place : place + how]
        elif what == "insert":
            data[place:place] = how
        elif what == "repeat":
            data[place:place] = data[place : place + how]
    return bytes(data)
