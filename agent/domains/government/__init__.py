"""The city of the demo domain: reports, tickets, permits, taxes and bookings of its residents, and what may be done."""
