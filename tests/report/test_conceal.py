"""What is written down names nobody."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussweep.report.conceal import conceal
from lussweep.study.keys import hashed_id

SPACED = "/data/Jane Doe/left lung.avi"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("frames of P1", f"frames of {hashed_id('P1')}"),
        ("P1_left and P1-right", f"{hashed_id('P1')}_left and {hashed_id('P1')}-right"),
        ("P12 is another", "P12 is another"),
        ("epoch 12 of 100, 1/2 of n/a", "epoch 12 of 100, 1/2 of n/a"),
        ("Jane\n Doe", hashed_id("Jane  Doe")),
        ("got 'a\\\\b'", f"got '{hashed_id('a' + chr(92) + 'b')}'"),
        (f"{SPACED}: is empty", f"{hashed_id(SPACED)}: is empty"),
        ("No such file: '/x/Jo Po/a b.png'", f"No such file: '{hashed_id('/x/Jo Po/a b.png')}'"),
        ("at /x/jo.avi, or", f"at {hashed_id('/x/jo.avi')}, or"),
        ("jo_po.png is no image", f"{hashed_id('jo_po.png')} is no image"),
        ("see https://pytorch.org/a/b", "see https://pytorch.org/a/b"),
        (
            'File "/home/jo/lussweep/lussweep/run.py", line 3',
            'File "lussweep/run.py", line 3',
        ),
        (
            'File "/home/jo/venv/lib/python3.11/site-packages/torch/nn.py", line 3',
            'File "torch/nn.py", line 3',
        ),
        ('File "/home/jo/own.py", line 3', f'File "{hashed_id("/home/jo/own.py")}", line 3'),
        ("/run one/artifacts/gan/1a", f"{hashed_id('/run one')}/artifacts/gan/1a"),
    ],
)  # fmt: skip
def test_ids_and_paths_become_hashes_and_the_rest_stays(text: str, expected: str) -> None:
    ids = ["P1", "Jane  Doe", "a\\b"]
    assert conceal(text, ids, [SPACED, "/run one"]) == expected


def test_an_image_is_hidden_with_its_folder() -> None:
    folder = "/data/Jane Doe"
    for text in (f"{folder}: Jane Doe 7.png is no image", f"{folder}/Jane Doe 7.png is no image"):
        told = conceal(text, [], [folder])
        assert told.startswith("#") and told.endswith(" is no image") and "Doe" not in told
    advice = f"{folder}: the folder holds no image: put .png, .jpg files in it"
    assert conceal(advice, [], [folder]).endswith(": the folder holds no image: put .png, .jpg "
                                                  "files in it")  # fmt: skip


NAMES = st.text("abPQ19 _-.'\\é/", min_size=2, max_size=8).filter(str.strip)


@given(st.lists(NAMES, min_size=1, max_size=4), st.data())
@settings(derandomize=True, deadline=None, max_examples=200)
def test_no_name_between_other_words_survives(names: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(names))
    quoted = data.draw(st.sampled_from([name, repr(name), f"({name})", f"{name}:"]))
    text = f"the video {quoted} xx"
    told = conceal(text, names)
    assert hashed_id(name) in told or told != text
    plain = re.sub("#[0-9a-f]{8}", "#", told)
    if any(c.isalnum() for c in name):
        assert " ".join(name.split()) not in plain.removeprefix("the video ")


def test_thousands_of_ids_are_looked_for_at_once() -> None:
    ids = [f"patient {i}" for i in range(20_000)]
    told = conceal("patient 7 and patient 19999 and patient 20000", ids)
    assert told == f"{hashed_id('patient 7')} and {hashed_id('patient 19999')} and patient 20000"
