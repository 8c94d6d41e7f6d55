"""The gateways' halves of their protocols, as simulated callers use them; one module each, named as the gateway's."""
