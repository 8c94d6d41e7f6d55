"""Pictures read by the real reader: a receipt, a photographed one, a screen in Chinese, and one with nothing in it."""

import io

import pytest

from agent.chat.fields import fields_of
from agent.chat.ocr import Reader
from agent.chat.pictures import clean
from models.slots import SlotSpec

pytestmark = [pytest.mark.slow, pytest.mark.aside]
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("rapidocr")
from PIL import ImageDraw, ImageFilter, ImageFont  # noqa: E402

RECEIPT = [
    ("NORTHWIND OUTFITTERS", ""),
    ("Order No:", "42719"),
    ("Date", "2026-11-03"),
    ("Tent, two persons", "189.00"),
    ("Subtotal", "189.00"),
    ("Tax", "14.18"),
    ("TOTAL", "$203.18"),
]
ORDER = SlotSpec("order_number", "digits", {"min_length": 5, "max_length": 5})


@pytest.fixture(scope="module")
def reader():
    return Reader()


def drawn(rows, size=(800, 700)):
    image = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(32)
    for index, (left, right) in enumerate(rows):
        draw.text((50, 50 + 80 * index), left, font=font, fill="black")
        draw.text((560, 50 + 80 * index), right, font=font, fill="black")
    return image


def read(reader, image, kind="JPEG"):
    made = io.BytesIO()
    image.save(made, kind)
    lines = reader.read(clean(made.getvalue(), 50).jpeg)
    return {one.name: one for one in fields_of(lines, [ORDER])}, lines


def test_a_receipt(reader):
    found, lines = read(reader, drawn(RECEIPT))
    assert found["order_number"].value == "42719"
    assert found["order_number"].slot == "order_number"
    assert found["total"].value == {"minor": 20318, "currency": "USD"}
    assert found["date"].value == "2026-11-03"
    assert min(one.confidence for one in found.values()) > 0.8
    assert lines[0].text.startswith("NORTHWIND")


def test_a_receipt_photographed_askew_and_unsharp(reader):
    image = drawn(RECEIPT).rotate(3, fillcolor=(90, 80, 70), expand=True).filter(ImageFilter.GaussianBlur(1.2))
    found, _ = read(reader, image)
    assert found["order_number"].value == "42719"
    assert found["total"].value == {"minor": 20318, "currency": "USD"}


def test_a_screen_with_an_error_code(reader):
    image = Image.new("RGB", (900, 300), (0, 70, 160))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(34)
    draw.text((40, 40), "Your device ran into a problem", font=font, fill="white")
    draw.text((40, 140), "Stop code: MEMORY_MANAGEMENT", font=font, fill="white")
    found, _ = read(reader, image, "PNG")
    assert found["error_code"].value == "MEMORY_MANAGEMENT"


def test_a_picture_of_nothing(reader):
    assert read(reader, Image.new("RGB", (300, 300), "white")) == ({}, ())
