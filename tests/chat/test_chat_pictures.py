"""Pictures are checked before they are decoded and written anew; what was made to break the decoder is refused."""

import asyncio
import contextlib
import io
import struct
import zlib

import pytest
from chatfakes import RECEIPT, ScriptedReader, lines, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.chat.desk import PictureDesk, told
from agent.chat.headers import Header, PictureError, header_of
from agent.chat.pictures import Shelf, check, clean
from agent.chat.settings import ChatSettings
from agent.clock import RealClock
from models.errors import Overloaded
from models.slots import SlotSpec

Image = pytest.importorskip("PIL.Image")

PLACE = b"GPS 52.5200 N 13.4050 E"


def code(work, *given_) -> str:
    with pytest.raises(PictureError) as refused:
        work(*given_)
    return refused.value.code


def png_of(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that says it is so large; its data are a few bytes."""
    whole = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        whole += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return whole


@pytest.mark.parametrize(
    ("kind", "saving"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True})],
)
def test_headers_are_read(kind, saving):
    assert header_of(picture(kind, (321, 77), **saving)) == Header(kind, 321, 77)


def test_headers_of_webp_with_alpha_and_of_moving_pictures():
    see_through = io.BytesIO()
    Image.new("RGBA", (40, 30), (0, 0, 0, 0)).save(see_through, "WEBP", exif=b"Exif\0\0" + PLACE)
    assert header_of(see_through.getvalue()) == Header("WEBP", 40, 30)
    still, other = Image.new("RGB", (40, 30), "white"), Image.new("RGB", (40, 30), "black")
    for kind in ("WEBP", "PNG"):
        moving = io.BytesIO()
        still.save(moving, kind, save_all=True, append_images=[other])
        assert code(header_of, moving.getvalue()) == "moving"


def test_bombs_are_refused_before_they_are_decoded():
    assert code(check, png_of(50_000, 50_000), 50) == "too_many_pixels"
    assert code(clean, png_of(60_000, 60_000), 50) == "too_many_pixels"
    jpeg = bytearray(picture("JPEG", (64, 64)))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65_535, 65_535)
    assert code(clean, bytes(jpeg), 50) == "too_many_pixels"
    text = zlib.compress(b"x" * 2_000_000)
    assert code(clean, png_of(64, 64, (b"zTXt", b"note\0\0" + text)), 50) == "damaged"
    assert code(check, picture("PNG", (4000, 8)), 50) == "too_small"


def test_what_is_no_picture_or_damaged_is_refused():
    assert code(clean, b"GIF89a" + b"\0" * 50, 50) == "unknown_format"
    assert code(clean, b"<svg xmlns='http://www.w3.org/2000/svg'/>", 50) == "unknown_format"
    assert code(clean, b"\xff\xd8\xff\xe0" + b"\0" * 50, 50) == "damaged"
    assert code(clean, picture("JPEG", (400, 400))[:500], 50) == "damaged"
    assert code(clean, picture("PNG")[:60], 50) == "damaged"
    assert code(clean, png_of(640, 480), 50) == "damaged"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_but_pixels_is_kept_and_the_picture_is_upright(kind):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, PLACE.decode()  # turned by 90 degrees; a description
    made = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(made, kind, exif=exif)
    assert PLACE in made.getvalue()
    done = clean(made.getvalue(), 50)
    assert (done.width, done.height) == (200, 300)
    assert PLACE not in done.jpeg
    with Image.open(io.BytesIO(done.jpeg)) as opened:
        assert opened.format == "JPEG"
        assert not opened.getexif()
        assert "icc_profile" not in opened.info


def test_large_pictures_are_brought_down_and_odd_ones_made_plain():
    assert max(clean(picture("JPEG", (4000, 3000)), 50).width, 0) == 2000
    for mode in ("RGBA", "LA", "P", "L", "1", "I;16"):
        made = io.BytesIO()
        Image.new(mode, (40, 30)).save(made, "PNG")
        assert clean(made.getvalue(), 50).width == 40
    see_through = io.BytesIO()
    Image.new("RGBA", (40, 30), (0, 0, 0, 0)).save(see_through, "PNG")
    with Image.open(io.BytesIO(clean(see_through.getvalue(), 50).jpeg)) as opened:
        assert opened.getpixel((5, 5)) == (255, 255, 255)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
def test_any_bytes_are_a_picture_or_refused(junk, kind, data):
    whole = bytearray(picture(kind, (24, 24)))
    at = data.draw(st.integers(0, len(whole)))
    for given_ in (junk, bytes(whole[:at]) + junk, bytes(whole[:at]) + junk + bytes(whole[at + len(junk) :])):
        with contextlib.suppress(PictureError):  # whatever else is raised fails the test
            assert clean(given_, 1).jpeg


def test_the_shelf_is_bounded_in_number_size_and_time():
    now = [0.0]
    shelf = Shelf(lambda: now[0], most=2, most_bytes=10, keep_ms=1000)
    for name in ("a", "b", "c"):
        shelf.put(name, "c-1", b"123")
    assert shelf.of_call("c-1") == ("b", "c")
    shelf.put("d", "c-2", b"12345678")
    assert shelf.of_call("c-1") == ()
    assert shelf.get("c-1", "d") is None
    assert shelf.get("c-2", "d") == b"12345678"
    now[0] = 1001
    assert shelf.get("c-2", "d") is None


class Feed:
    def __init__(self):
        self.told = []

    def publish(self, kind, call_id, data):
        self.told.append((kind, call_id, data))


async def at_once(work):
    return work()


ORDER = SlotSpec("order_number", "digits", {"min_length": 5, "max_length": 5})


def desk(found, run=at_once, **more):
    return PictureDesk(ChatSettings(), run, RealClock(), reader=ScriptedReader(found), **more)


async def test_what_is_sure_is_delivered_and_all_is_shown_to_the_human_without_private_numbers(monkeypatch):
    monkeypatch.setattr("agent.chat.desk.secrets.token_hex", lambda count: "1234567890123456")  # an id is no number
    given_, feed = [], Feed()

    async def deliver(call_id, read, words):
        given_.append((call_id, words))
        return True

    found = lines(*RECEIPT, ("Card 4111 1111 1111 1111", 0.99, 60, 700))
    taking = desk(found, slots=lambda call_id: [ORDER], deliver=deliver, feed=lambda: feed)
    read = await taking.take("c-1", picture())
    assert given_ == [("c-1", "order number 42719")]
    assert read.delivered == ("order_number",)
    kind, call_id, data = feed.told[0]
    assert (kind, call_id, data["picture_id"]) == ("picture", "c-1", read.picture_id)
    assert data["fields"][0]["name"] == "order_number"
    assert "4111" not in str(data)
    assert "4111" not in str(told(read))
    assert taking.shelf.of_call("c-1") == (read.picture_id,)


async def test_what_is_unsure_is_not_delivered():
    given_ = []

    async def deliver(call_id, read, words):
        given_.append(words)
        return True

    read = await desk(lines(("Order 42719", 0.6, 60, 60)), slots=lambda _: [ORDER], deliver=deliver).take(
        "c", picture()
    )
    assert (read.fields[0].confidence, read.delivered, given_) == (0.6, (), [])


async def test_more_than_wait_and_a_full_pool_are_told_to_try_again():
    async def full(work):
        raise Overloaded("full")

    with pytest.raises(PictureError) as refused:
        await desk((), run=full).take("c", picture())
    assert refused.value.code == "busy"
    hold = asyncio.Event()

    async def slow(work):
        await hold.wait()
        return work()

    taking = desk((), run=slow)
    tasks = [asyncio.create_task(taking.take("c", picture())) for _ in range(5)]
    await asyncio.sleep(0.01)
    hold.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [one.code for one in ended if isinstance(one, PictureError)] == ["busy"]
    assert (await taking.take("c", picture())).fields == ()
