"""How the shop's things are called in a sentence, in English and Chinese."""

from __future__ import annotations

from collections.abc import Sequence

from agent.domains.shop.store import Product

# sku: (name, measure word)
_PRODUCTS_ZH = {
    "TENT-2": ("雪松双人帐篷", "顶"),
    "TENT-4": ("云杉四人帐篷", "顶"),
    "PACK-45": ("山脊背包", "个"),
    "BOOT-H": ("峰顶登山靴", "双"),
    "LAN-1": ("灯塔露营灯", "盏"),
    "BAG-20": ("北方睡袋", "个"),
    "STOVE-1": ("星火露营炉", "个"),
    "JACK-R": ("疾风冲锋衣", "件"),
    "POLE-2": ("山径登山杖", "副"),
    "FILT-1": ("溪流净水器", "个"),
    "PAD-1": ("云朵防潮垫", "张"),
}
_CARRIERS_ZH = {"Cascade Parcel": "瀑布快递", "Blue Heron Freight": "蓝鹭货运"}
REFUND_DAYS = {"en": "3 to 5 business days", "zh": "3到5个工作日"}


def item_name(product: Product, language: str) -> str:
    """A product's name as an item of a list."""
    return _PRODUCTS_ZH[product.sku][0] if language == "zh" else product.name


def product_words(product: Product, language: str, quantity: int = 1) -> str:
    """A product inside a sentence: "the Ridge backpack", "2 times the Ridge backpack", "两个山脊背包"."""
    if language == "zh":
        name, measure = _PRODUCTS_ZH[product.sku]
        return name if quantity == 1 else f"{'两' if quantity == 2 else quantity}{measure}{name}"
    return product.spoken if quantity == 1 else f"{quantity} times {product.spoken}"


def list_words(names: Sequence[str], language: str) -> str:
    """One or more names as one phrase: "a, b and c", "a、b和c"."""
    comma, last = ("、", "和") if language == "zh" else (", ", " and ")
    return names[0] if len(names) == 1 else f"{comma.join(names[:-1])}{last}{names[-1]}"


def whole_order(language: str) -> str:
    """Everything in an order."""
    return "整张订单" if language == "zh" else "the whole order"


def carrier_name(carrier: str, language: str) -> str:
    """Who carries a parcel; a carrier without a Chinese name keeps its own."""
    return _CARRIERS_ZH.get(carrier, carrier) if language == "zh" else carrier


def order_words(number: str, language: str) -> str:
    """A caller's own order: "your order 42719"."""
    return f"您的订单{number}" if language == "zh" else f"your order {number}"


def refund_days(language: str) -> str:
    """How long a refund takes."""
    return REFUND_DAYS["zh" if language == "zh" else "en"]
