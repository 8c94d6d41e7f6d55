"""The bank of the demo domain: its database, its made-up customers, and what the agent may do for them."""
