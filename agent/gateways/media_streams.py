"""The gateways that speak Twilio's protocol or a dialect of it."""

from __future__ import annotations

from agent.gateways.exotel import EXOTEL
from agent.gateways.plivo import PLIVO, VOBIZ
from agent.gateways.signalwire import SIGNALWIRE
from agent.gateways.telnyx import TELNYX
from agent.gateways.twilio import TWILIO

GATEWAYS = (TWILIO, SIGNALWIRE, TELNYX, PLIVO, VOBIZ, EXOTEL)
