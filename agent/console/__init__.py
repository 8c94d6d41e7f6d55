"""What people who talk to callers work with: their accounts, the console's page, its API and its sockets."""
