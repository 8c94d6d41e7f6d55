"""Text and pictures: the dialogue by web chat, the caller's softphone in a browser, and pictures callers send."""
