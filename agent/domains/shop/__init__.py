"""The shop of the demo domain: its database, its made-up customers and orders, and what the agent may do with them."""
