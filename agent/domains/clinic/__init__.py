"""The clinic of the demo domain: patients, appointments, prescriptions, results and bills, and what may be done."""
