from __future__ import annotations

import io

from PIL import Image

from benchmarks.browser.screenshots import BYTES, FOLDER, small


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_a_picture_keeps_its_size_and_its_colours_and_takes_few_bytes() -> None:
    page = Image.new("RGB", (1280, 900), "white")
    page.paste((200, 30, 40), (100, 100, 300, 200))
    made = Image.open(io.BytesIO(small(png(page)))).convert("RGB")
    assert made.size == (1280, 900)
    assert made.getpixel((200, 150)) == (200, 30, 40)
    assert made.getpixel((5, 5)) == (255, 255, 255)


def test_a_busy_picture_gets_as_few_colours_as_it_must() -> None:
    noise = Image.effect_noise((400, 300), 80).convert("RGB")
    wide = Image.effect_noise((1280, 900), 80).convert("RGB")
    assert len(small(png(noise))) <= BYTES
    assert len(small(png(wide))) < len(png(wide)) / 2


def test_no_picture_of_the_docs_is_larger_than_promised() -> None:
    pictures = list(FOLDER.glob("dashboard-*.png"))
    assert pictures
    assert [picture.name for picture in pictures if picture.stat().st_size > BYTES] == []
