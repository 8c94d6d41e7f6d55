"""Reports on simulated calls: for the terminal, for programs, for the browser, and against an earlier one."""
