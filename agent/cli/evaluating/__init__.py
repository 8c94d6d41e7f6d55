"""`agent evaluate`: one file for each kind of model."""
