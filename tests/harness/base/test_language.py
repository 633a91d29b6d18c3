from harness.base.language import _, language, speak, spoken


def test_what_no_catalogue_knows_stays_english_with_its_values_filled_in() -> None:
    with spoken("tlh"):
        assert _("{n} of {all} rows", n=1, all=2) == "1 of 2 rows"


def test_braces_of_a_text_without_values_stay() -> None:
    assert _("{n}") == "{n}"


def test_a_block_gives_back_the_language_before_it() -> None:
    speak("en")
    with spoken("zh"):
        assert language() == "zh"
    assert language() == "en"
